"""Compiles plain machine source, whole programs at a time, to this processor's code.

A *root* is a function of records, arrays and integers; with all that it calls it becomes one LLVM module
(`model.compiled.language`), which is optimised as a whole, kept in a cache folder and loaded from there by the next
process (`model.compiled.code`). The file is named by the hash of everything that it was made from: a changed source is
another file, so that nothing stale is ever run.

A root may be called from several threads at once on arguments of their own: Python's lock is released meanwhile.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
import types
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from model.compiled.code import Code, file_of, load
from model.compiled.language import Array, Program, Type, type_of
from model.records import Record

_compiling = threading.Lock()
"""One compilation at a time: threads that need the same code wait for it."""


class Compiled:
    """A root, compiled when it is called first.

    Parameters
    ----------
    root : callable
    checks : bool
        Whether indexes are checked; costs a quarter of the speed.
    """

    def __init__(self, root: Callable, checks: bool = False) -> None:
        self._root, self._checks = root, checks
        self._codes: dict[tuple[Type, ...], tuple[Code, list[str]]] = {}

    def __call__(self, *arguments: Any) -> int:
        """Call it: records are arrays without dimensions, integers are integers. None and False are 0.

        Raises
        ------
        IndexError
            With `checks`: an index was outside; says where.
        """
        return self.bind(*arguments)()

    def bind(self, *arguments: Any) -> Callable[[], int]:
        """The call with these arguments, to be made many times: what they hold may change, where they lie may not."""
        types = tuple(type_of(argument) for argument in arguments)
        if types not in self._codes:
            with _compiling:
                if types not in self._codes:
                    self._codes[types] = self._code(types)
        code, places = self._codes[types]
        words: list[int] = []
        for argument, kind in zip(arguments, types, strict=True):
            words.append(argument.ctypes.data if isinstance(argument, np.ndarray) else int(argument))
            if isinstance(kind, Array):
                words.append(len(argument))

        def call(alive: tuple = arguments) -> int:
            result = code.call(*words)
            if places and code.failed:
                raise IndexError(f"index outside: {places[code.failed - 1]}")
            return result

        return call

    def _code(self, types: tuple[Type, ...]) -> tuple[Code, list[str]]:
        """Compile it, or read it from the cache; says on a terminal when that takes time."""
        if sys.stderr.isatty() and not is_cached(self._root):
            print(f"compiling {_name(self._root)} (once for this version, some seconds) ...", file=sys.stderr)
        program = Program(self._checks)
        words = sum(2 if isinstance(kind, Array) else 1 for kind in types)
        if self._checks:  # the places are known only to who has written the text
            text = program.entry(self._root, types)
            return load(file_of(f"{_name(self._root)}.checked", text), lambda: text, words), program.places
        return load(
            file_of(_name(self._root), source_of(self._root)), lambda: program.entry(self._root, types), words
        ), []


def compile_function(root: Callable, checks: bool = False) -> Compiled:
    """The compiled twin of a plain function and of everything that it calls."""
    return Compiled(root, checks)


def is_cached(root: Callable) -> bool:
    """True when an earlier process has compiled this very source."""
    return file_of(_name(root), source_of(root)).exists()


def to_numpy(record: Record, states: Sequence[Any]) -> np.ndarray:
    """Slotted objects of a record as an array that compiled code takes."""
    array = np.zeros(len(states), record.dtype)
    for element, state in zip(array, states, strict=True):
        _fill(element, record, state)
    return array


def one_to_numpy(record: Record, state: Any) -> np.ndarray:
    """A slotted object of a record as an array without dimensions, which compiled code takes for a record."""
    return to_numpy(record, [state]).reshape(())


def _fill(target: Any, record: Record, source: Any) -> None:
    for field in record.fields:
        value = getattr(source, field.name)
        if field.record and field.count:
            for number, element in enumerate(value):
                _fill(target[field.name][number], field.record, element)
        elif field.record:
            _fill(target[field.name], field.record, value)
        else:
            target[field.name] = value


def _name(root: Callable) -> str:
    return f"{root.__module__}.{root.__name__}"


def source_of(root: Callable) -> str:
    """All that the code of a root can depend on: modules that its module imports, and the compiler's own.

    Of each module its file, and its constants and functions as they are now: somebody may have put in others.
    """
    parts, done = [], set()
    wanted = [root.__module__, __name__, Code.__module__, Program.__module__]
    while wanted:
        name = wanted.pop()
        if name not in done:
            done.add(name)
            text, imported = _read(name)
            parts.append(f"{name}\n{text}\n{_contents(sys.modules[name])}")
            wanted += imported
    return "".join(sorted(parts))


@cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a module and the modules of ours that it imports at its top level.

    By a regular expression: parsing a hundred modules took a fifth of a second at every start. What it takes for an
    import by mistake does no harm.
    """
    text = Path(sys.modules[name].__file__ or "").read_text(encoding="utf-8")
    found = []
    for module, names, plain in _IMPORT.findall(_COMMENT.sub("", text)):
        found += [module, *(f"{module}.{part}" for part in _WORDS.findall(names)), *_WORDS.findall(plain)]
    ours = (name for name in found if name in sys.modules and name.partition(".")[0] in _PACKAGES)
    return text, tuple(ours)


def _contents(module: types.ModuleType) -> str:
    """Constants, and functions that are not the module's own."""
    lines = []
    for name, thing in vars(module).items():
        if isinstance(thing, (int, tuple)):
            lines.append(f"{name} = {thing!r}")
        elif isinstance(thing, types.FunctionType) and thing.__module__.partition(".")[0] not in _PACKAGES:
            lines.append(f"{name}: {inspect.getsource(thing)}")
        elif isinstance(thing, types.FunctionType):
            lines.append(f"{name}: {thing.__module__}.{thing.__qualname__}")
    return "\n".join(lines)


_PACKAGES = ("model", "sim")
_IMPORT = re.compile(r"^(?:from ([\w.]+) import (\([^)]*\)|.*)|import (.*))$", re.MULTILINE)
_COMMENT, _WORDS = re.compile(r"#.*"), re.compile(r"[\w.]+")
