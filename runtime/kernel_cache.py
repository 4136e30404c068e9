"""Kernels on disk: each text once, by its content, compiled once for each kind of machine.

In: source texts. Out: their addresses in memory. A kernel's file lies in a folder named after
everything compiled code depends on besides its text (the vector words, numba, llvmlite, the
processor); its machine code lies beside it. Several cold kernels are compiled by a second
process as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fail
from .machine_code import keep, link, write_whole

SIMD = "chainrule.runtime.simd"
WORTH_A_PROCESS = 6  # cold kernels, of 0.15 s each; a process starts in about 0.5 s
DRIVER = "driver"
_addresses: dict[Path, int] = {}
_functions: list[Any] = []  # what Numba compiled lives as long as its objects


class Counts:
    """How many kernels were compiled, and how many came from the disk, in this process."""

    compiled = 0
    found = 0


def root() -> Path:
    """The cache folder: CHAINRULE_CACHE, or `chainrule` in the user's cache folder."""
    chosen = os.environ.get("CHAINRULE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chainrule"


@cache
def _machine_key() -> str:
    """What compiled code depends on besides its text."""
    from importlib.metadata import version

    import llvmlite.binding as llvm

    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*(here / "simd").glob("*.py")]):
        digest.update(path.read_bytes())
    features = llvm.get_host_cpu_features()
    facts = (version("numba"), version("llvmlite"), sys.version, llvm.get_host_cpu_name(),
             sorted(features.items()), os.environ.get("NUMBA_CPU_NAME"))  # fmt: skip
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """The folder of this machine's kernels, made if need be. Raises Failure E511 if it is not
    ours.
    """
    path = root() / "kernels" / _machine_key()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place in (root(), path.parent, path):
            _refuse_foreign(place)
    except OSError as error:
        reason = error.strerror or str(error)
        raise fail(
            "E511", f"cannot keep compiled kernels in `{path}`: {reason}",
            help="set CHAINRULE_CACHE to a folder of yours",
        ) from error  # fmt: skip
    return path


def _refuse_foreign(path: Path) -> None:
    """Code is loaded from here: nobody else may be able to write it."""
    if not hasattr(os, "getuid"):
        return
    facts = path.stat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        who = "belongs to another user" if facts.st_uid != os.getuid() else "is writable by others"
        raise fail(
            "E511", f"the cache folder `{path}` {who}: code is not loaded from there",
            help="set CHAINRULE_CACHE to a folder that only you can write",
        )  # fmt: skip


def place(text: str, comment: str = "") -> Path:
    """The file of a kernel, written if it is not there. `comment` is put in front of a new one."""
    path = folder() / f"k_{hashlib.sha256(text.encode()).hexdigest()[:24]}.py"
    if not path.exists():
        whole = f"# {comment}\n{text}" if comment else text
        write_whole(path, whole.encode())
    return path


def code_of(path: Path) -> Path:
    """Where the machine code of a kernel lies."""
    return path.with_suffix(".o")


def load(path: Path) -> int:
    """The address of a kernel, which stays for the life of the process."""
    known = _addresses.get(path)
    if known is None:
        known = _addresses[path] = _linked(code_of(path)) or _compiled(path)
    return known


def _linked(code: Path) -> int | None:
    """Machine code from the disk; None where there is none that can be used."""
    try:
        address = link(code)
    except (OSError, ValueError, RuntimeError):
        return None
    Counts.found += 1
    return address


def _compiled(path: Path) -> int:
    """A kernel compiled here, and kept."""
    name = f"chainrule_kernel_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Numba looks the module up by name when it reads its own cache
    spec.loader.exec_module(module)
    return _kept(module.run, code_of(path))


def _kept(function: Any, code: Path) -> int:
    Counts.compiled += 1
    _functions.append(function)
    keep(code, function)
    return int(function.address)


def driver() -> int:
    """The address of `driver.walk`."""
    text = Path(__file__).with_name("driver.py").read_bytes()
    code = folder() / f"driver_{hashlib.sha256(text).hexdigest()[:24]}.o"
    known = _addresses.get(code)
    if known is None:
        known = _linked(code)
        if known is None:
            from .driver import compiled

            known = _kept(compiled(), code)
        _addresses[code] = known
    return known


def compile_all(texts: Sequence[str], comments: Sequence[str] = (), helpers: int = 1) -> list[int]:
    """The addresses of all kernels. `helpers`: processes that may help to compile cold ones."""
    notes = comments or [""] * len(texts)
    paths = [place(t, c) for t, c in zip(texts, notes, strict=True)]
    cold = [p for p in dict.fromkeys(paths) if p not in _addresses and not code_of(p).exists()]
    processes = []
    if helpers > 0 and len(cold) >= WORTH_A_PROCESS:
        processes = [_helper(cold, n, helpers) for n in range(helpers)]
    addresses = [load(p) for p in paths]
    for process in processes:  # what it is still at, this process has compiled itself
        process.kill()
        process.wait()
    return addresses


def _helper(paths: Sequence[Path], number: int, helpers: int) -> subprocess.Popen[bytes]:
    """A process that compiles from the end of the list, while this one works from its start."""
    mine = [str(p) for p in paths[::-1]]
    mine = [DRIVER] * (number == 0) + mine[number::helpers]
    # -P: a folder named like us in the current directory must not be taken for us.
    code = (
        "import sys; from chainrule.runtime.kernel_cache import compile_cold as c; c(sys.argv[1:])"
    )
    command = [sys.executable, "-P", "-c", code, *mine]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def compile_cold(paths: Sequence[str]) -> None:
    """Compile the files that nobody has compiled yet, and the driver where it is asked for."""
    for text in paths:
        if text == DRIVER:
            driver()
            continue
        path = Path(text)
        if not code_of(path).exists():
            load(path)
