"""Plain machine source to LLVM's intermediate language.

The language of the machines is small on purpose (integers, records, arrays of them, ``if``, ``while``, ``for`` over
ranges, calls), so its compiler is, too: every function is written out once for the types that it is called with, and
its types follow from its arguments. What Python says, compiled code does: division and remainder round down,
comparisons chain, ``and`` and ``or`` stop early. What is not in the language is an error that names the line.

Integers have 64 bits; machines stay inside. An index must lie inside its array: with `checks` a program stops at the
first that does not, and says where.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

INT_BYTES = {np.dtype(np.int64): 8, np.dtype(np.int32): 4}
"""Integers that an array may hold, and their size."""

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
           ast.LShift: "shl", ast.RShift: "ashr"}  # fmt: skip
_COMPARISONS = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge"}


class NotInLanguage(Exception):
    """A machine uses something that compiled code does not have."""


# --- types and values ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Int:
    """A 64-bit integer."""


@dataclass(frozen=True, slots=True)
class Bool:
    """The outcome of a comparison."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """None."""


class Layout:
    """How a record lies in memory. One object for each NumPy type, so that types compare by identity."""

    _all: dict[np.dtype, Layout] = {}

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype, self.size = dtype, dtype.itemsize
        self.fields: dict[str, tuple[int, Int | Layout, int]] = {}
        for name in dtype.names or ():
            kind, offset = dtype.fields[name][:2]  # type: ignore[index]
            base, count = (kind.subdtype[0], kind.shape[0]) if kind.subdtype else (kind, 0)
            self.fields[name] = (offset, INT if base == np.int64 else Layout.of(base), count)

    @classmethod
    def of(cls, dtype: np.dtype) -> Layout:
        """The layout of a structured type."""
        if dtype not in cls._all:
            cls._all[dtype] = cls(dtype)
        return cls._all[dtype]


@dataclass(frozen=True, slots=True)
class Array:
    """An array of records, or of integers of so many bytes."""

    element: Layout | int


INT, BOOL, NOTHING = Int(), Bool(), Nothing()
Type = Int | Bool | Nothing | Layout | Array


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression comes to: an operand of LLVM, for arrays with their length, for tuples their parts."""

    type: Type
    operand: str = ""
    length: str = ""
    parts: tuple[Value, ...] = ()


def type_of(argument: Any) -> Type:
    """Type of an argument of a root: an integer, a record (array without dimensions), an array."""
    if not isinstance(argument, np.ndarray):
        return INT
    if argument.ndim == 0:
        return Layout.of(argument.dtype)
    return Array(INT_BYTES[argument.dtype] if argument.dtype in INT_BYTES else Layout.of(argument.dtype))


def _parameters(kind: Type, name: str) -> tuple[Value, str]:
    """A parameter and how it is declared."""
    if isinstance(kind, (Int, Bool)):
        return Value(kind, name), f"{_word(kind)} {name}"
    if isinstance(kind, Array):
        return Value(kind, name, f"{name}.n"), f"ptr {name}, i64 {name}.n"
    return Value(kind, name), f"ptr {name}"


# --- the whole program -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Instance:
    """A function for certain types of its arguments."""

    name: str
    result: tuple[Type, ...] | None = None  # None: not known yet


class Program:
    """All functions that a root needs, as one LLVM module.

    Parameters
    ----------
    checks : bool
        Whether indexes are checked.
    """

    def __init__(self, checks: bool = False) -> None:
        self.checks = checks
        self.texts: list[str] = []
        self.places: list[str] = []
        self._instances: dict[tuple[Callable, tuple[Type, ...]], Instance] = {}
        self._constants: dict[tuple[int, ...], str] = {}
        self._trees: dict[Callable, ast.FunctionDef] = {}

    def instance(self, function: Callable, arguments: tuple[Type, ...]) -> Instance:
        """The function for these types; it is written out when it is met first."""
        key = (function, arguments)
        if key not in self._instances:
            short = f"{function.__module__}.{function.__name__}"
            made = self._instances[key] = Instance(f'@"{short}.{len(self._instances)}"')
            made.result = _Body(self, function, self._tree(function), made, arguments).write()
        made = self._instances[key]
        if made.result is None:
            raise NotInLanguage(f"{function.__module__}.{function.__name__} calls itself")
        return made

    def constant(self, numbers: tuple[int, ...]) -> str:
        """A table of constants."""
        if numbers not in self._constants:
            name = self._constants[numbers] = f"@table.{len(self._constants)}"
            entries = ", ".join(f"i64 {number}" for number in numbers)
            self.texts.append(f"{name} = private constant [{len(numbers)} x i64] [{entries}]")
        return self._constants[numbers]

    def place(self, text: str) -> int:
        """Number of a place in the source, for messages."""
        self.places.append(text)
        return len(self.places)

    def _tree(self, function: Callable) -> ast.FunctionDef:
        if function not in self._trees:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
            assert isinstance(tree, ast.FunctionDef)
            self._trees[function] = tree
        return self._trees[function]

    def entry(self, root: Callable, arguments: tuple[Type, ...]) -> str:
        """Write the root and a C function ``entry`` around it; returns the module's text.

        ``entry`` takes one 64-bit word for each parameter (arrays: two) and returns a 64-bit integer. With checks it
        notes the first place that went wrong in ``failed``.
        """
        made = self.instance(root, arguments)
        names, declared = [], []
        for number, kind in enumerate(arguments):
            _, text = _parameters(kind, f"%a{number}")
            names.append(text)
            declared.append(text)
        call = f"call {_returned(made.result)} {made.name}({', '.join(names)})"
        lines = [f"define i64 @entry({', '.join(declared)}) {{"]
        if made.result == (NOTHING,):
            lines += [f"  {call}", "  ret i64 0"]
        elif made.result == (BOOL,):
            lines += [f"  %r = {call}", "  %w = zext i1 %r to i64", "  ret i64 %w"]
        else:
            lines += [f"  %r = {call}", "  ret i64 %r"]
        self.texts.append("\n".join([*lines, "}"]))
        self.texts.append("@failed = global i64 0")
        return "\n\n".join(self.texts)


def _returned(result: tuple[Type, ...] | None) -> str:
    assert result is not None
    parts = [_word(kind) for kind in result]
    return parts[0] if len(parts) == 1 else "{" + ", ".join(parts) + "}"


def _word(kind: Type) -> str:
    if isinstance(kind, Int):
        return "i64"
    if isinstance(kind, Bool):
        return "i1"
    if isinstance(kind, Nothing):
        return "void"
    return "ptr"


# --- one function ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Loop:
    again: str
    end: str


@dataclass(slots=True)
class _Body:
    """Writes one function."""

    program: Program
    function: Callable
    tree: ast.FunctionDef
    made: Instance
    arguments: tuple[Type, ...]
    lines: list[str] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    local: dict[str, tuple[Type, str]] = field(default_factory=dict)
    fixed: dict[str, Value] = field(default_factory=dict)
    loops: list[_Loop] = field(default_factory=list)
    result: tuple[Type, ...] | None = None
    count: int = 0
    block: str = ""
    is_open: bool = True

    def write(self) -> tuple[Type, ...]:
        """Write the function; returns the types of its results."""
        names = [argument.arg for argument in self.tree.args.args]
        if len(names) != len(self.arguments):
            raise self._error(self.tree, f"takes {len(names)} arguments, is given {len(self.arguments)}")
        declared = []
        assigned = {
            node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._begin("body")
        for name, kind in zip(names, self.arguments, strict=True):
            value, text = _parameters(kind, f"%p.{name}")
            declared.append(text)
            if name in assigned:
                self._store_name(name, value)
            else:
                self.fixed[name] = value
        self._statements(self.tree.body)
        if self.is_open:
            self._return(None)
        result = self.result or (NOTHING,)
        returned = _returned(result)
        head = f"define internal {returned} {self.made.name}({', '.join(declared)}) {{\nentry:"
        tail = self._tail(result)
        self.program.texts.append("\n".join([head, *self.slots, "  br label %body", *self.lines, *tail, "}"]))
        return result

    def _tail(self, result: tuple[Type, ...]) -> list[str]:
        lines = ["leave:"]
        if result == (NOTHING,):
            return [*lines, "  ret void"]
        for number, kind in enumerate(result):
            word = "ptr" if isinstance(kind, Layout) else "i64"
            lines.append(f"  %ret{number}.w = load {word}, ptr %ret{number}")
            if isinstance(kind, Bool):
                lines.append(f"  %ret{number}.v = trunc i64 %ret{number}.w to i1")
            else:
                lines.append(f"  %ret{number}.v = bitcast {word} %ret{number}.w to {word}")
        if len(result) == 1:
            return [*lines, f"  ret {_returned(result)} %ret0.v"]
        packed = "undef"
        for number, kind in enumerate(result):
            lines.append(
                f"  %pack{number} = insertvalue {_returned(result)} {packed}, {_word(kind)} %ret{number}.v, {number}"
            )
            packed = f"%pack{number}"
        return [*lines, f"  ret {_returned(result)} {packed}"]

    # --- text ---

    def _error(self, node: ast.AST, why: str) -> NotInLanguage:
        return NotInLanguage(f"{self._where(node)}: {why}")

    def _where(self, node: ast.AST) -> str:
        first = self.function.__code__.co_firstlineno
        return f"{self.function.__module__}.{self.function.__name__}, line {first + getattr(node, 'lineno', 1) - 1}"

    def _new(self, stem: str = "v") -> str:
        self.count += 1
        return f"%{stem}{self.count}"

    def _emit(self, text: str) -> None:
        if self.is_open:
            self.lines.append(f"  {text}")

    def _set(self, text: str) -> str:
        """A new operand that is what `text` computes."""
        name = self._new()
        self._emit(f"{name} = {text}")
        return name

    def _begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block, self.is_open = label, True

    def _label(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def _jump(self, label: str) -> None:
        if self.is_open:
            self._emit(f"br label %{label}")
            self.is_open = False

    def _branch(self, condition: str, yes: str, no: str) -> None:
        self._emit(f"br i1 {condition}, label %{yes}, label %{no}")
        self.is_open = False

    def _slot(self, word: str, name: str) -> str:
        self.slots.append(f"  {name} = alloca {word}")
        return name

    # --- statements ---

    def _statements(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if not self.is_open:
                return  # what follows a return is never reached
            method = getattr(self, f"_do_{type(statement).__name__}", None)
            if method is None:
                raise self._error(statement, f"{type(statement).__name__} is not in the language")
            method(statement)

    def _do_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._value(node.value)

    def _do_Pass(self, node: ast.Pass) -> None:
        pass

    def _do_Return(self, node: ast.Return) -> None:
        self._return(node)

    def _return(self, node: ast.Return | None) -> None:
        values: tuple[Value, ...] = ()
        if node is not None and node.value is not None:
            value = self._value(node.value)
            values = value.parts or (value,)
        kinds = tuple(value.type for value in values) or (NOTHING,)
        if self.result is None:
            self.result = kinds
            for number, kind in enumerate(kinds):
                if kind != NOTHING:
                    self._slot("ptr" if isinstance(kind, Layout) else "i64", f"%ret{number}")
        elif self.result != kinds:
            if set(self.result + kinds) != {INT, BOOL} or len(kinds) != 1:
                raise self._error(node or self.tree, f"returns {kinds}, elsewhere {self.result}")
            self.result = (INT,)
        for number, value in enumerate(values):
            word = "ptr" if isinstance(value.type, Layout) else "i64"
            self._emit(f"store {word} {self._plain(value)}, ptr %ret{number}")
        self._jump("leave")

    def _do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) != 1:
            raise self._error(node, "one target at a time")
        self._store(node.targets[0], self._value(node.value))

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            before = self._value(ast.Name(node.target.id, ast.Load()))
            after = self._binary(node, node.op, before, self._value(node.value))
            self._store(node.target, after)
            return
        address, word = self._address(node.target)
        before = Value(INT, self._load(address, word))
        after = self._binary(node, node.op, before, self._value(node.value))
        self._put(address, word, after)

    def _store(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Tuple):
            if len(target.elts) != len(value.parts):
                raise self._error(target, f"{len(target.elts)} targets for {len(value.parts)} values")
            for element, part in zip(target.elts, value.parts, strict=True):
                self._store(element, part)
        elif isinstance(target, ast.Name):
            self._store_name(target.id, value)
        elif isinstance(value.type, Layout):
            place = self._value(target)
            if place.type is not value.type:
                raise self._error(target, "a record of another kind")
            pointers = f"ptr {place.operand}, ptr {value.operand}"
            self._emit(f"call void @llvm.memmove.p0.p0.i64({pointers}, i64 {value.type.size}, i1 false)")
        else:
            address, word = self._address(target)
            self._put(address, word, value)

    def _store_name(self, name: str, value: Value) -> None:
        if name not in self.local:
            slot = self._slot(_word(value.type), f"%l.{name}")
            if isinstance(value.type, Array):
                self._slot("i64", f"{slot}.n")
            self.local[name] = (value.type, slot)
        kind, slot = self.local[name]
        operand = self._plain(value) if kind == INT else value.operand
        if kind != (INT if kind == INT and value.type == BOOL else value.type):
            raise self._error(self.tree, f"{name} is {kind}, then {value.type}")
        self._emit(f"store {_word(kind)} {operand}, ptr {slot}")
        if isinstance(kind, Array):
            self._emit(f"store i64 {value.length}, ptr {slot}.n")

    def _put(self, address: str, word: str, value: Value) -> None:
        operand = self._plain(value)
        if value.type not in (INT, BOOL):
            raise NotInLanguage(f"{self.function.__module__}.{self.function.__name__}: only integers are stored")
        if word == "i32":
            operand = self._set(f"trunc i64 {operand} to i32")
        self._emit(f"store {word} {operand}, ptr {address}")

    def _do_If(self, node: ast.If) -> None:
        yes, no, end = self._label("then"), self._label("else"), self._label("end")
        self._condition(node.test, yes, no if node.orelse else end)
        reached = not node.orelse
        self._begin(yes)
        self._statements(node.body)
        reached |= self.is_open
        self._jump(end)
        if node.orelse:
            self._begin(no)
            self._statements(node.orelse)
            reached |= self.is_open
            self._jump(end)
        if reached:
            self._begin(end)

    def _do_While(self, node: ast.While) -> None:
        again, body, end = self._label("while"), self._label("do"), self._label("done")
        self._jump(again)
        self._begin(again)
        self._condition(node.test, body, end)
        self._loop(node.body, body, again, end)

    def _loop(self, statements: Sequence[ast.stmt], body: str, again: str, end: str) -> None:
        self.loops.append(_Loop(again, end))
        self._begin(body)
        self._statements(statements)
        self._jump(again)
        self.loops.pop()
        self._begin(end)

    def _do_For(self, node: ast.For) -> None:
        call = node.iter
        is_range = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
        if not is_range or not isinstance(node.target, ast.Name) or node.orelse:
            raise self._error(node, "for goes over a range")
        bounds = [self._plain(self._value(argument)) for argument in call.args]  # type: ignore[union-attr]
        first, last = ("0", bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else "1"
        if not _is_number(step):
            raise self._error(node, "steps are constants")
        again, body, next_, end = self._label("for"), self._label("do"), self._label("next"), self._label("done")
        counter = self._slot("i64", self._new("counter"))
        self._emit(f"store i64 {first}, ptr {counter}")
        self._jump(again)
        self._begin(again)
        now = self._set(f"load i64, ptr {counter}")
        compare = "sgt" if step.startswith("-") else "slt"
        self._branch(self._set(f"icmp {compare} i64 {now}, {last}"), body, end)
        self.loops.append(_Loop(next_, end))
        self._begin(body)
        self._store_name(node.target.id, Value(INT, now))
        self._statements(node.body)
        self._jump(next_)
        self.loops.pop()
        self._begin(next_)
        self._emit(f"store i64 {self._set(f'add i64 {now}, {step}')}, ptr {counter}")
        self._jump(again)
        self._begin(end)

    def _do_Break(self, node: ast.Break) -> None:
        self._jump(self.loops[-1].end)

    def _do_Continue(self, node: ast.Continue) -> None:
        self._jump(self.loops[-1].again)

    # --- conditions ---

    def _condition(self, node: ast.expr, yes: str, no: str) -> None:
        """Go to `yes` or to `no`."""
        if isinstance(node, ast.BoolOp):
            for part in node.values[:-1]:
                further = self._label("and" if isinstance(node.op, ast.And) else "or")
                if isinstance(node.op, ast.And):
                    self._condition(part, further, no)
                else:
                    self._condition(part, yes, further)
                self._begin(further)
            self._condition(node.values[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._condition(node.operand, no, yes)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            self._condition(_unchained(node), yes, no)
        else:
            self._branch(self._truth(self._value(node)), yes, no)

    def _truth(self, value: Value) -> str:
        if value.type == BOOL:
            return value.operand
        if value.type != INT:
            raise NotInLanguage(f"{self.function.__module__}.{self.function.__name__}: only integers are true or false")
        return self._set(f"icmp ne i64 {value.operand}, 0")

    def _plain(self, value: Value) -> str:
        """The operand, a boolean as integer."""
        if value.type != BOOL:
            return value.operand
        if value.operand in ("true", "false"):
            return "1" if value.operand == "true" else "0"
        return self._set(f"zext i1 {value.operand} to i64")

    # --- expressions ---

    def _value(self, node: ast.expr) -> Value:
        method = getattr(self, f"_see_{type(node).__name__}", None)
        if method is None:
            raise self._error(node, f"{type(node).__name__} is not in the language")
        return method(node)

    def _see_Constant(self, node: ast.Constant) -> Value:
        return self._literal(node, node.value)

    def _literal(self, node: ast.AST, thing: Any) -> Value:
        if thing is True or thing is False:
            return Value(BOOL, "true" if thing else "false")
        if isinstance(thing, int):
            return Value(INT, str(int(thing)))
        if isinstance(thing, tuple) and all(isinstance(part, int) for part in thing):
            table = self.program.constant(tuple(int(part) for part in thing))
            parts = tuple(Value(INT, str(int(part))) for part in thing)
            return Value(Array(8), table, str(len(thing)), parts)
        raise self._error(node, f"{thing!r} is not in the language")

    def _see_Name(self, node: ast.Name) -> Value:
        if node.id in self.fixed:
            return self.fixed[node.id]
        if node.id in self.local:
            kind, slot = self.local[node.id]
            operand = self._set(f"load {_word(kind)}, ptr {slot}")
            length = self._set(f"load i64, ptr {slot}.n") if isinstance(kind, Array) else ""
            return Value(kind, operand, length)
        return self._literal(node, self._global(node))

    def _global(self, node: ast.expr) -> Any:
        """The Python object that a name outside the function stands for; None if it is none."""
        if isinstance(node, ast.Name) and node.id not in self.fixed and node.id not in self.local:
            return self.function.__globals__.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(module := self._global(node.value), types.ModuleType):
            return getattr(module, node.attr)
        return None

    def _see_Attribute(self, node: ast.Attribute) -> Value:
        if isinstance(module := self._global(node.value), types.ModuleType):
            return self._literal(node, getattr(module, node.attr))
        address, kind, count = self._field(node)
        if count:
            return Value(Array(8 if kind == INT else kind), address, str(count))
        return Value(INT, self._load(address, "i64")) if kind == INT else Value(kind, address)

    def _field(self, node: ast.Attribute) -> tuple[str, Int | Layout, int]:
        """Address, type and count of a field."""
        holder = self._value(node.value)
        if not isinstance(holder.type, Layout) or node.attr not in holder.type.fields:
            raise self._error(node, f"no field {node.attr} in {holder.type}")
        offset, kind, count = holder.type.fields[node.attr]
        return self._set(f"getelementptr inbounds i8, ptr {holder.operand}, i64 {offset}"), kind, count

    def _see_Subscript(self, node: ast.Subscript) -> Value:
        address, word = self._address(node)
        if isinstance(word, Layout):
            return Value(word, address)
        return Value(INT, self._load(address, word))

    def _address(self, node: ast.expr) -> tuple[str, Any]:
        """Where an attribute or element is, and the word that it is (elements that are records: their layout)."""
        if isinstance(node, ast.Attribute):
            address, kind, count = self._field(node)
            if kind != INT or count:
                raise self._error(node, "only integers are stored")
            return address, "i64"
        if not isinstance(node, ast.Subscript):
            raise self._error(node, f"{type(node).__name__} cannot be stored to")
        array = self._value(node.value)
        index = self._plain(self._value(node.slice))
        if not isinstance(array.type, Array):
            raise self._error(node, f"{array.type} is no array")
        if self.program.checks:
            index = self._checked(node, index, array.length)
        element = array.type.element
        size = element if isinstance(element, int) else element.size
        offset = self._set(f"mul nsw i64 {index}, {size}")
        address = self._set(f"getelementptr inbounds i8, ptr {array.operand}, i64 {offset}")
        return address, element if isinstance(element, Layout) else f"i{8 * element}"

    def _checked(self, node: ast.AST, index: str, length: str) -> str:
        """The index; one that is outside is noted and becomes 0."""
        if _is_number(index) and _is_number(length) and 0 <= int(index) < int(length):
            return index
        wrong, right = self._label("wrong"), self._label("right")
        before = self.block
        self._branch(self._set(f"icmp ult i64 {index}, {length}"), right, wrong)
        self._begin(wrong)
        self._emit(f"store i64 {self.program.place(self._where(node))}, ptr @failed")
        self._jump(right)
        self._begin(right)
        return self._set(f"phi i64 [{index}, %{before}], [0, %{wrong}]")

    def _load(self, address: str, word: str) -> str:
        loaded = self._set(f"load {word}, ptr {address}")
        return self._set(f"sext i32 {loaded} to i64") if word == "i32" else loaded

    def _see_Tuple(self, node: ast.Tuple) -> Value:
        return Value(NOTHING, parts=tuple(self._value(element) for element in node.elts))

    def _see_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self._value(node.operand)
        if isinstance(node.op, ast.Not):
            return Value(BOOL, self._set(f"xor i1 {self._truth(value)}, true"))
        if isinstance(node.op, ast.USub) and _is_number(value.operand):
            return Value(INT, str(-int(value.operand)))
        if isinstance(node.op, ast.USub):
            return Value(INT, self._set(f"sub i64 0, {self._plain(value)}"))
        if isinstance(node.op, ast.Invert):
            return Value(INT, self._set(f"xor i64 {self._plain(value)}, -1"))
        raise self._error(node, "no such operator")

    def _see_BinOp(self, node: ast.BinOp) -> Value:
        return self._binary(node, node.op, self._value(node.left), self._value(node.right))

    def _binary(self, node: ast.AST, operator: ast.operator, left: Value, right: Value) -> Value:
        if left.type not in (INT, BOOL) or right.type not in (INT, BOOL):
            raise self._error(node, f"{type(operator).__name__} of {left.type} and {right.type}")
        a, b = self._plain(left), self._plain(right)
        if isinstance(operator, (ast.FloorDiv, ast.Mod)):
            return Value(INT, self._divide(a, b, isinstance(operator, ast.Mod)))
        if type(operator) not in _BINARY:
            raise self._error(node, f"{type(operator).__name__} is not in the language")
        return Value(INT, self._set(f"{_BINARY[type(operator)]} i64 {a}, {b}"))

    def _divide(self, a: str, b: str, remainder: bool) -> str:
        """Python rounds down, processors round to zero."""
        rest = self._set(f"srem i64 {a}, {b}")
        signs = self._set(f"xor i64 {rest}, {b}")
        differ = self._set(f"icmp slt i64 {signs}, 0")
        off = self._set(f"and i1 {differ}, {self._set(f'icmp ne i64 {rest}, 0')}")
        if remainder:
            return self._set(f"select i1 {off}, i64 {self._set(f'add i64 {rest}, {b}')}, i64 {rest}")
        quotient = self._set(f"sdiv i64 {a}, {b}")
        return self._set(f"select i1 {off}, i64 {self._set(f'sub i64 {quotient}, 1')}, i64 {quotient}")

    def _see_Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1:
            return self._value(_unchained(node))
        left, right, operator = self._value(node.left), node.comparators[0], node.ops[0]
        if isinstance(operator, (ast.In, ast.NotIn)):
            return self._member(node, left, self._value(right), isinstance(operator, ast.NotIn))
        a, b = self._plain(left), self._plain(self._value(right))
        if left.type not in (INT, BOOL) or type(operator) not in _COMPARISONS:
            raise self._error(node, "integers are compared")
        return Value(BOOL, self._set(f"icmp {_COMPARISONS[type(operator)]} i64 {a}, {b}"))

    def _member(self, node: ast.AST, value: Value, among: Value, negated: bool) -> Value:
        if not among.parts:
            raise self._error(node, "in wants a tuple")
        found = "false"
        for part in among.parts:
            equal = self._set(f"icmp eq i64 {self._plain(value)}, {self._plain(part)}")
            found = self._set(f"or i1 {found}, {equal}")
        return Value(BOOL, self._set(f"xor i1 {found}, true") if negated else found)

    def _see_BoolOp(self, node: ast.BoolOp) -> Value:
        """As a value: of truths only, because Python's ``3 or 5`` is 3."""
        outcome, end = self._slot("i1", self._new("outcome")), self._label("outcome")
        for part in node.values:
            value = self._value(part)
            if value.type != BOOL:
                raise self._error(part, "the parts of a truth that is kept are truths")
            self._emit(f"store i1 {value.operand}, ptr {outcome}")
            further = self._label("further")
            yes, no = (further, end) if isinstance(node.op, ast.And) else (end, further)
            self._branch(value.operand, yes, no)
            self._begin(further)
        self._jump(end)
        self._begin(end)
        return Value(BOOL, self._set(f"load i1, ptr {outcome}"))

    def _see_IfExp(self, node: ast.IfExp) -> Value:
        yes, no, end = self._label("yes"), self._label("no"), self._label("either")
        self._condition(node.test, yes, no)
        self._begin(yes)
        one = self._value(node.body)
        one_operand, one_block = self._plain(one), self.block
        self._jump(end)
        self._begin(no)
        other = self._value(node.orelse)
        other_operand, other_block = self._plain(other), self.block
        self._jump(end)
        self._begin(end)
        kind = INT if one.type == BOOL else one.type
        if kind != (INT if other.type == BOOL else other.type):
            raise self._error(node, f"{one.type} or {other.type}")
        word = "i64" if kind == INT else "ptr"
        return Value(kind, self._set(f"phi {word} [{one_operand}, %{one_block}], [{other_operand}, %{other_block}]"))

    # --- calls ---

    def _see_Call(self, node: ast.Call) -> Value:
        if node.keywords:
            raise self._error(node, "arguments are given by place")
        function = self._global(node.func)
        if isinstance(function, types.FunctionType):
            return self._call(function, [self._value(argument) for argument in node.args])
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        values = [self._value(argument) for argument in node.args]
        if name in ("min", "max") and len(values) >= 2:
            best = self._plain(values[0])
            for value in values[1:]:
                best = self._set(f"call i64 @llvm.s{name}.i64(i64 {best}, i64 {self._plain(value)})")
            return Value(INT, best)
        if name == "abs":
            return Value(INT, self._set(f"call i64 @llvm.abs.i64(i64 {self._plain(values[0])}, i1 false)"))
        if name == "len" and isinstance(values[0].type, Array):
            return Value(INT, values[0].length)
        raise self._error(node, f"no function {ast.unparse(node.func)}")

    def _call(self, function: Callable, values: list[Value]) -> Value:
        arguments = []
        for value in values:
            arguments.append(f"{_word(value.type)} {value.operand}")
            if isinstance(value.type, Array):
                arguments.append(f"i64 {value.length}")
        kinds = tuple(value.type for value in values)
        made = self.program.instance(function, kinds)
        assert made.result is not None
        call = f"call {_returned(made.result)} {made.name}({', '.join(arguments)})"
        if made.result == (NOTHING,):
            self._emit(call)
            return Value(NOTHING)
        got = self._set(call)
        if len(made.result) == 1:
            return Value(made.result[0], got)
        parts = [
            Value(kind, self._set(f"extractvalue {_returned(made.result)} {got}, {number}"))
            for number, kind in enumerate(made.result)
        ]
        return Value(NOTHING, parts=tuple(parts))


def _is_number(operand: str) -> bool:
    return operand.lstrip("-").isdigit()


def _unchained(node: ast.Compare) -> ast.expr:
    """``a < b < c`` as ``a < b and b < c``: machines have no side effects inside comparisons."""
    operands = [node.left, *node.comparators]
    pairs = [
        ast.copy_location(ast.Compare(left, [operator], [right]), node)
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False)
    ]
    return ast.copy_location(ast.BoolOp(ast.And(), pairs), node)
