"""Kernels on disk: each text once, by its content, compiled once for each kind of machine.

In: source texts. Out: their addresses in memory. A kernel's file lies in a folder named after
everything compiled code depends on besides its text (the vector words, the compiler, numba,
llvmlite, the processor); its machine code lies beside it. Where nothing can be written, kernels
are compiled for this process alone. Compiling is left to `kernel_workers.py`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..dsl.diagnostics import fail
from . import waiting
from .machine_code import Code, link, link_code, write_code, write_whole

SIMD = "chainrule.runtime.simd"
DRIVER = "driver"  # stands for the text of `driver.walk`
RECURRENCE = "recurrence"  # and of `recurrence.run`
_addresses: dict[Path, int] = {}


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
    import sys
    from importlib.metadata import version

    import llvmlite.binding as llvm

    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (here / "kernel_compiler.py", *sorted((here / "simd").glob("*.py"))):
        digest.update(path.read_bytes())
    features = llvm.get_host_cpu_features()
    facts = (version("numba"), version("llvmlite"), sys.version, llvm.get_host_cpu_name(),
             sorted(features.items()), os.environ.get("NUMBA_CPU_NAME"))  # fmt: skip
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """The folder of this machine's kernels, made if need be, or one of this process alone where it
    cannot be made. Raises Failure E511 if it is not ours.
    """
    path = root() / "kernels" / _machine_key()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return _private()
    for place in (root(), path.parent, path):
        _refuse_foreign(place)
    return path


@cache
def _private() -> Path:
    """A folder that goes with this process. Raises Failure E511 if there is no room for one."""
    import atexit
    import shutil
    import tempfile

    try:
        path = Path(tempfile.mkdtemp(prefix="chainrule-"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise fail(
            "E511", f"cannot keep compiled kernels in `{root()}` or elsewhere: {reason}",
            help="set CHAINRULE_CACHE to a folder of yours",
        ) from error  # fmt: skip
    atexit.register(shutil.rmtree, path, ignore_errors=True)
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


def _place(where: Path, text: str) -> Path:
    """The file of a kernel, or of the driver."""
    content = text.encode()
    if text in (DRIVER, RECURRENCE):
        files = {f"{DRIVER}.py", f"{text}.py"}
        content = b"".join(Path(__file__).with_name(f).read_bytes() for f in sorted(files))
    kind = text if text in (DRIVER, RECURRENCE) else "k"
    return where / f"{kind}_{hashlib.sha256(content).hexdigest()[:24]}.py"


def _write_source(path: Path, text: str, comment: str) -> None:
    """For whoever reads it; compiling does not need the file."""
    if text in (DRIVER, RECURRENCE) or path.exists():
        return
    try:
        write_whole(path, (f"# {comment}\n{text}" if comment else text).encode())
    except OSError:
        return


def code_of(path: Path) -> Path:
    """Where the machine code of a kernel lies."""
    return path.with_suffix(".o")


def _linked(code: Path) -> int | None:
    """Machine code from the disk; None where there is none that can be used."""
    try:
        address = link(code)
    except (OSError, ValueError, RuntimeError):
        return None
    Counts.found += 1
    return address


def driver() -> int:
    """The address of `driver.walk`."""
    return compile_all([DRIVER], helpers=0)[0]


def compile_all(texts: Sequence[str], comments: Sequence[str] = (), helpers: int = 1) -> list[int]:
    """The addresses of all kernels, for the life of the process. `helpers`: processes that may help
    to compile cold ones."""
    where = folder()
    paths = {text: _place(where, text) for text in texts}
    notes = dict(zip(texts, comments, strict=True)) if comments else {}
    cold = []
    for text, path in paths.items():
        if path in _addresses:
            continue
        found = _linked(code_of(path))
        if found is not None:
            _addresses[path] = found
            continue
        _write_source(path, text, notes.get(text, ""))
        cold.append(text)
    if cold:
        _compile(cold, paths, helpers)
    return [_addresses[paths[text]] for text in texts]


def _compile(cold: Sequence[str], paths: dict[str, Path], helpers: int) -> None:
    from . import kernel_workers

    ready: list[tuple[Path, Code]] = []

    def done(text: str, code: Code) -> None:
        path = paths[text]
        ready.append((path, code))
        Counts.compiled += 1
        with suppress(OSError):  # read-only, or full: the code is in memory all the same
            write_code(code_of(path), code)
        _tell(len(ready), len(cold))

    _tell(0, len(cold))
    try:
        kernel_workers.compile_texts(cold, [paths[t] for t in cold], helpers, done)
    finally:
        _tell(len(cold), len(cold))
    for path, code in ready:
        _addresses[path] = link_code(code)


def _tell(ready: int, total: int) -> None:
    for listener in waiting.compiling:
        listener(ready, total)
