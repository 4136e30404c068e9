"""The kernel cache: what it finds, what it keeps, and the processes that help to fill it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.runtime import kernel_cache, kernel_workers, waiting

ROOT = Path(__file__).resolve().parents[2]
TEXT = """\
from chainrule.runtime.simd import *


@kernel
def run(arena, row, batch, thread, threads):
    p0 = at_f32(arena, row, 0)
    for i in range(0, batch, 16):
        store(p0, i, f32(16, {value}))
"""
KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)


def text(value: float) -> str:
    return TEXT.format(value=float(value))


def result(address: int) -> float:
    """What a kernel writes everywhere."""
    arena, row = np.zeros(32, np.float32), np.zeros(1, np.int64)
    KERNEL(address)(arena.ctypes.data, row.ctypes.data, 32, 0, 1)
    assert (arena == arena[0]).all()
    return float(arena[0])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_cache, "_addresses", {})
    return tmp_path / "cache"


def children() -> list[int]:
    """Processes that this one started and that still run or wait to be buried."""
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []


def test_equal_texts_are_one_kernel(cache: Path) -> None:
    addresses = kernel_cache.compile_all([text(1), text(2), text(1)])
    assert addresses[0] == addresses[2] != addresses[1]
    assert [result(a) for a in addresses] == [1.0, 2.0, 1.0]
    assert len(list(cache.rglob("k_*.o"))) == 2


def test_a_note_stands_above_the_text_and_changes_no_name(cache: Path) -> None:
    kernel_cache.compile_all([text(3)], ["first made for h"])
    (source,) = cache.rglob("k_*.py")
    assert source.read_text() == "# first made for h\n" + text(3)
    kernel_cache.compile_all([text(3)], ["first made for g"])
    assert len(list(cache.rglob("k_*.py"))) == 1


def test_copies_of_this_process_compile_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    copy = kernel_workers._copy

    def watched(others: list[kernel_workers._Worker]) -> kernel_workers._Worker:
        copied.append(copy(others))
        return copied[-1]

    monkeypatch.setattr(kernel_workers, "_copy", watched)
    monkeypatch.setattr(kernel_workers, "_can_copy", lambda: sys.platform == "linux")
    addresses = kernel_cache.compile_all([text(n) for n in range(8)], helpers=2)
    assert [result(a) for a in addresses] == list(range(8))
    assert len(copied) == (2 if sys.platform == "linux" else 0)
    assert not children()


def test_new_processes_compile_where_a_copy_is_not_safe(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = []
    ask = kernel_workers._Worker.ask
    monkeypatch.setattr(kernel_workers, "_can_copy", lambda: False)
    monkeypatch.setattr(kernel_workers, "START_FROM", 2)
    here = kernel_workers.compile_text
    others = threading.Event()

    def watched(self: kernel_workers._Worker, *question: object) -> object:
        answered.append(ask(self, *question))  # type: ignore[arg-type]
        others.set()
        return answered[-1]

    def slow(*question: object) -> object:
        others.wait(30)  # a new process needs its time
        return here(*question)  # type: ignore[arg-type]

    monkeypatch.setattr(kernel_workers._Worker, "ask", watched)
    monkeypatch.setattr(kernel_workers, "compile_text", slow)
    addresses = kernel_cache.compile_all([text(n) for n in range(4)], helpers=1)
    assert [result(a) for a in addresses] == list(range(4))
    assert answered and all(answered)
    assert not children()


def test_a_strange_thread_forbids_copies() -> None:
    stop = threading.Event()
    stranger = threading.Thread(target=stop.wait, name="somebody else's")
    stranger.start()
    try:
        assert not kernel_workers._can_copy()
    finally:
        stop.set()
        stranger.join()


def test_a_kernel_that_no_helper_can_compile_is_reported_here(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.errors import NumbaError

    monkeypatch.setattr(kernel_workers, "_can_copy", lambda: sys.platform == "linux")
    wrong = text(1).replace("store(", "nowhere(")
    with pytest.raises(NumbaError, match="nowhere"):
        kernel_cache.compile_all([text(1), wrong, text(2)], helpers=1)
    assert not children()


def test_no_helper_outlives_an_interruption(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*question: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(kernel_workers, "_can_copy", lambda: sys.platform == "linux")
    monkeypatch.setattr(kernel_workers, "compile_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernel_cache.compile_all([text(n) for n in range(6)], helpers=2)
    assert not children()


def test_a_full_disk_keeps_nothing_and_stops_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("chainrule.runtime.machine_code.write_whole", full)
    monkeypatch.setattr(kernel_cache, "write_whole", full)
    assert [result(a) for a in kernel_cache.compile_all([text(5)])] == [5.0]
    assert not list(cache.rglob("k_*"))


def test_without_a_cache_folder_kernels_live_as_long_as_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(kernel_cache, "_addresses", {})
    where = kernel_cache.folder()
    assert where.is_dir() and where.stat().st_mode & 0o777 == 0o700
    assert tmp_path not in where.parents and where == kernel_cache.folder()
    assert [result(a) for a in kernel_cache.compile_all([text(6)])] == [6.0]


def test_a_cache_that_others_can_write_is_not_used(cache: Path) -> None:
    assert kernel_cache.folder().stat().st_mode & 0o777 == 0o700
    cache.chmod(0o777)
    with pytest.raises(Failure, match=r"E511.*writable by others"):
        kernel_cache.folder()


def test_listeners_hear_from_nothing_to_everything(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr(waiting, "compiling", [lambda *numbers: heard.append(numbers)])
    kernel_cache.compile_all([text(n) for n in range(3)], helpers=0)
    assert heard == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
    heard.clear()
    kernel_cache.compile_all([text(0)])
    assert not heard


def started_in_a_process(cache: Path) -> tuple[int, int, bool]:
    """Kernels that a process compiled and found; whether it needed Numba."""
    code = (
        "import sys; from chainrule.runtime import kernel_cache as k; import test_cpu_device as t;"
        "t.started().run(4); print(k.Counts.compiled, k.Counts.found, 'numba' in sys.modules)"
    )
    here = Path(__file__)
    path = os.pathsep.join([str(here.parent), str(here.parents[2])])
    environment = {**os.environ, "CHAINRULE_CACHE": str(cache), "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True, cwd=here.parent)  # fmt: skip
    assert done.returncode == 0, done.stderr
    compiled, found, numba = done.stdout.split()
    return int(compiled), int(found), numba == "True"


def test_a_second_start_compiles_nothing_and_does_without_numba(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert started_in_a_process(cache) == (5, 0, True)  # four kernels and the driver
    assert started_in_a_process(cache) == (0, 5, False)
    broken = next(cache.rglob("k_*.o"))
    broken.write_bytes(broken.read_bytes()[:200])
    assert started_in_a_process(cache)[0] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_kernels_are_compiled_leaves_no_traceback_and_no_process(
    tmp_path: Path,
) -> None:
    code = (  # a shell's background job starts with Ctrl-C ignored, and so would this process
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; from chainrule.cli import guarded; from chainrule.runtime import kernel_cache;"
        "import test_kernel_cache as t; print('ready', flush=True);"
        "sys.exit(guarded(lambda: kernel_cache.compile_all([t.text(n) for n in range(2000)])))"
    )
    command = [sys.executable, "-c", code]
    path = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    environment = {**os.environ, "CHAINRULE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("k_*.o")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the helpers as well
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_numba_may_compile_the_same_words_in_between(cache: Path) -> None:
    from numba import cfunc

    from chainrule.runtime.simd import SIGNATURE

    assert result(kernel_cache.compile_all([text(1)])[0]) == 1.0
    names: dict[str, object] = {}
    exec(text(2).replace("@kernel\n", ""), names)
    between = cfunc(SIGNATURE, error_model="numpy")(names["run"])
    assert result(between.address) == 2.0
    assert result(kernel_cache.compile_all([text(3)])[0]) == 3.0
