"""LLVM's intermediate language to a callable, kept on disk for the next process."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from model import cache

SPEED_LEVEL = 3
"""LLVM's -O level. Kind: assumed."""


def folder() -> Path:
    """Where compiled code lies."""
    return cache.folder("compiled")


def file_of(name: str, text: str) -> Path:
    """The object file for a source on this processor."""
    salt = f"{llvmlite.__version__} {sys.version_info[:2]} {_processor()} {SPEED_LEVEL}"
    return folder() / f"{name}-{hashlib.sha256((salt + text).encode()).hexdigest()[:16]}.o"


def load(file: Path, make_text: Callable[[], str], words: int) -> Code:
    """The code in `file`; what is not there yet is compiled (seconds) and kept.

    Parameters
    ----------
    file : Path
    make_text : callable
        Returns the text of the module.
    words : int
        64-bit words that its ``entry`` takes.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(_compile(make_text()))
        temporary.replace(file)
    return Code(file.read_bytes(), words)


class Code:
    """A loaded object file.

    Attributes
    ----------
    call : callable
        Its ``entry``. Python's lock is released meanwhile.
    """

    def __init__(self, data: bytes, words: int) -> None:
        empty = llvm.parse_assembly("")
        empty.triple = _target().triple
        self._engine = llvm.create_mcjit_compiler(empty, _new_target())  # an engine owns its target
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()
        entry = self._engine.get_function_address("entry")
        self.call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * words)(entry)
        self._failed = ctypes.c_int64.from_address(self._engine.get_global_value_address("failed"))

    @property
    def failed(self) -> int:
        """Number of the last place where an index was outside, 0 = none; asking forgets it."""
        number, self._failed.value = self._failed.value, 0
        return number


def _compile(text: str) -> bytes:
    """An object file."""
    module = llvm.parse_assembly(text)
    module.triple = _target().triple
    module.data_layout = str(_target().target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=SPEED_LEVEL)
    passes = llvm.create_pass_builder(_target(), options)
    passes.getModulePassManager().run(module, passes)
    return _target().emit_object(module)


def _processor() -> str:
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@functools.cache
def _target() -> llvm.TargetMachine:
    return _new_target()


def _new_target() -> llvm.TargetMachine:
    """This machine, with all that its processor can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=SPEED_LEVEL,
        reloc="pic",
        codemodel="default",
    )
