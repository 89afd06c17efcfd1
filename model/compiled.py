"""Compiles plain machine source with numba: one file, named by the hash of its content.

Machines are plain Python modules that import each other. numba could compile them in place, but its cache goes stale
when a callee in *another* file changes, and functions made as closures miss it in every process. So the functions that
a root needs are joined into one generated module, in which

* a function ``on_timer`` of module ``model.sentinel`` is called ``model_sentinel__on_timer``,
* integer constants of the modules stand as literals,

and that module, named by the hash of its text, is imported from a cache folder. A changed source is another module.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
import textwrap
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

from model import cache
from model.records import Record


def compile_function(root: Callable) -> Callable:
    """The numba-compiled twin of a plain function and of everything it calls.

    Compilation itself happens at the first call with given types (tens of seconds for the engine, once for each
    version of the source; afterwards it is read from the cache in well under a second).
    """
    module = _load(join(root))
    return getattr(module, _qualified(root))


def to_numpy(record: Record, states: Sequence[Any]) -> np.ndarray:
    """Slotted objects of a record as an array that compiled code takes."""
    array = np.zeros(len(states), record.dtype)
    for element, state in zip(array, states, strict=True):
        _fill(element, record, state)
    return array


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


def is_cached(root: Callable) -> bool:
    """True when an earlier process has compiled this very source."""
    folder = cache_folder() / "__pycache__"
    return any(folder.glob(f"{_module_name(join(root))}.{_qualified(root)}-*.nbi"))


def cache_folder() -> Path:
    """Where generated modules and numba's cache live: ``$HASTUDY_CACHE``, else the user's cache folder."""
    return cache.folder("compiled")


def join(root: Callable) -> str:
    """Source of one module with `root` and all functions that it needs."""
    wanted, done, parts = [root], {}, []
    while wanted:
        function = wanted.pop()
        name = _qualified(function)
        if name in done:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        linker = _Linker(function)
        linker.visit(definition)
        definition.name = name
        _drop_docstring(definition)
        options = "cache=True" if function is root else "cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True"
        done[name] = f"# {function.__module__}.{function.__name__}\n@njit({options})\n{ast.unparse(tree)}\n"
        wanted.extend(linker.callees)
    parts = [done[name] for name in sorted(done)]
    return "from numba import int64, njit\n\n\n" + "\n\n".join(parts)


class _Linker(ast.NodeTransformer):
    """Replaces what a function takes from its module: functions by their joined names, integers by literals."""

    def __init__(self, function: Callable) -> None:
        self._globals = function.__globals__
        self._locals = set(function.__code__.co_varnames)
        self.callees: list[Callable] = []

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._locals or node.id not in self._globals:
            return node
        return self._link(self._globals[node.id], node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Arguments lose their literal type: numba would compile the callee anew for every constant it is given."""
        self.generic_visit(node)
        if any(isinstance(node.func, ast.Name) and node.func.id == _qualified(callee) for callee in self.callees):
            node.args = [_as_int64(argument) for argument in node.args]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        base = node.value
        if isinstance(base, ast.Name) and base.id not in self._locals:
            module = self._globals.get(base.id)
            if isinstance(module, types.ModuleType):
                return self._link(getattr(module, node.attr), node)
        self.generic_visit(node)
        return node

    def _link(self, value: Any, node: ast.expr) -> ast.expr:
        if isinstance(value, types.FunctionType):
            self.callees.append(value)
            return ast.copy_location(ast.Name(_qualified(value), ast.Load()), node)
        if isinstance(value, int) or (isinstance(value, tuple) and all(isinstance(part, int) for part in value)):
            return ast.copy_location(ast.parse(repr(value), mode="eval").body, node)
        return node


def _as_int64(argument: ast.expr) -> ast.expr:
    if isinstance(argument, ast.Constant) and type(argument.value) is int:
        return ast.Call(ast.Name("int64", ast.Load()), [argument], [])
    return argument


def _qualified(function: Callable) -> str:
    return f"{function.__module__.replace('.', '_')}__{function.__name__}"


def _drop_docstring(definition: ast.FunctionDef) -> None:
    if ast.get_docstring(definition) is not None and len(definition.body) > 1:
        del definition.body[0]


def _module_name(text: str) -> str:
    salt = f"{numba.__version__} {sys.version_info[:2]}"
    return "hastudy_" + hashlib.sha256((salt + text).encode()).hexdigest()[:16]


def _load(text: str) -> types.ModuleType:
    name = _module_name(text)
    if name in sys.modules:
        return sys.modules[name]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    if not file.exists():
        temporary = folder / f"{name}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
