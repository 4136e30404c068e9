"""Machine code kept in files, and linked into this process without Numba.

In: object code with the name of its function. Out: the address of the function. Starting Numba
costs half a second, so a program that finds all its kernels compiled does not: llvmlite's
linker is enough. Code that needs Numba's own helpers is not kept.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOREIGN = (b"numba_gil", b"PyErr_", b"NRT_")  # symbols that exist only where Numba has started


@dataclass(frozen=True)
class Code:
    """Object code, and the name of the C function in it."""

    name: str
    object: bytes


def write_whole(path: Path, data: bytes) -> None:
    """A file that others see whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:  # a full disk, or Ctrl-C: leave no litter
        os.unlink(temporary)
        raise


def keep(path: Path, function: Any) -> None:
    """Write the object code of a C function that Numba compiled, if it stands by itself."""
    code = bytes(function._library._get_compiled_object())
    if not any(symbol in code for symbol in FOREIGN):
        write_code(path, Code(function.native_name, code))


def write_code(path: Path, code: Code) -> None:
    """A file for `link`."""
    digest = hashlib.sha256(code.object).hexdigest()
    write_whole(path, f"{code.name} {digest}\n".encode() + code.object)


def read_code(path: Path) -> Code:
    """What `write_code` wrote. Raises OSError, and ValueError if it is damaged: the linker would
    crash on it."""
    head, _, code = path.read_bytes().partition(b"\n")
    name, _, digest = head.decode("ascii", "replace").partition(" ")
    if hashlib.sha256(code).hexdigest() != digest:
        raise ValueError(f"{path} is damaged")
    return Code(name, code)


def link(path: Path) -> int:
    """The address of the function in a file written by `keep`; else raises ValueError."""
    return link_code(read_code(path))


def link_code(code: Code) -> int:
    """The address of the function, which stays for the life of the process."""
    import llvmlite.binding as llvm

    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    address = int(engine.get_function_address(code.name))
    if not address:
        raise ValueError(f"the object code does not define {code.name}")
    return address


@cache
def _engine() -> Any:
    """One linker for the process: it owns the memory of the code."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
