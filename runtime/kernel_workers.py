"""Kernels compiled side by side, by this process and by helpers.

In: source texts. Out: the code of each, as it gets ready. A helper is a copy of this process
where that is safe (it finds Numba imported), else a new one; it reads texts from a pipe and
answers with code, so that it ends with the pipe, whatever happens to this process. A text whose
helper fails is compiled here, where a mistake can be reported.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .kernel_cache import DRIVER, RECURRENCE
from .machine_code import Code

COPY_FROM, START_FROM = 2, 6  # so many texts are worth a copy of this process, or a new one
NAMES = ("MainThread", "chainrule-")  # threads that hold no lock while kernels are compiled
FOREIGN = {"jax", "torch", "tensorflow"}  # have threads of their own, which Python does not list
SIZE = 8  # bytes of the number that precedes a message

Done = Callable[[str, Code], None]


def compile_texts(texts: Sequence[str], paths: Sequence[Path], helpers: int, done: Done) -> None:
    """Compile each text, `paths` telling Numba where it lies. `helpers`: how many processes may
    help. `done` is called as each gets ready, in one thread at a time. Raises what compiling
    raises.
    """
    where = dict(zip(texts, paths, strict=True))
    waiting = deque(sorted(where, key=_effort, reverse=True))
    with _quiet_collector(), _crew(min(helpers, len(where) - 1), len(where)) as workers:
        lock = threading.Lock()

        def ready(text: str, code: Code) -> None:
            with lock:
                done(text, code)

        def serve(worker: _Worker) -> None:
            while waiting:
                try:
                    text = waiting.popleft()
                except IndexError:
                    return
                code = worker.ask(text, where[text])
                if code is None:
                    waiting.append(text)  # for this process
                    return
                ready(text, code)

        threads = [
            threading.Thread(target=serve, args=(w,), name=f"chainrule-compiling-{n}", daemon=True)
            for n, w in enumerate(workers)
        ]
        for thread in threads:
            thread.start()
        while waiting or any(thread.is_alive() for thread in threads):
            try:
                text = waiting.popleft()
            except IndexError:
                for thread in threads:
                    thread.join(0.05)
                continue
            ready(text, compile_text(text, where[text]))


def compile_text(text: str, path: Path) -> Code:
    """The code of one kernel, or of what walks them."""
    from .kernel_compiler import compile_c

    if text == DRIVER:
        from .driver import SIGNATURE, walk

        return compile_c(walk, SIGNATURE)
    if text == RECURRENCE:
        from . import recurrence

        return compile_c(recurrence.run, recurrence.SIGNATURE)
    from .simd import SIGNATURE as KERNEL

    module = types.ModuleType(f"chainrule_kernel_{path.stem}")
    module.__file__ = str(path)
    # The words' own decorator compiles for exported packages.
    source = compile(text.replace("@kernel\n", "\n", 1), str(path), "exec")
    sys.modules[module.__name__] = module  # names of symbols are made of the module's
    try:
        exec(source, module.__dict__)
        return compile_c(module.run, KERNEL)
    finally:
        del sys.modules[module.__name__]


def _effort(text: str) -> int:
    """What takes long comes first, so that the last ones to be ready are small. A product's block
    is one word that stands for hundreds."""
    return len(text) + 4_000 * text.count("register_block(") + 10_000 * (text == DRIVER)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """No garbage collection, which would look at all of Numba again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


# -------------------------------------------------------------------------------------- helpers


@dataclass
class _Worker:
    """A process at the other end of two pipes. `end` is told to stop it."""

    questions: BinaryIO
    answers: BinaryIO
    end: Callable[[], object]

    def ask(self, text: str, path: Path) -> Code | None:
        """The code of a text; None if the helper failed."""
        try:
            _send(self.questions, f"{path}\n{text}".encode())
            answer = _receive(self.answers)
        except (OSError, ValueError):
            return None
        name, _, code = answer.partition(b"\n")
        return Code(name.decode(), code) if code else None

    def stop(self) -> None:
        self.end()
        for pipe in (self.questions, self.answers):
            try:
                pipe.close()
            except OSError:
                continue  # what it had not read


@contextmanager
def _crew(wanted: int, texts: int) -> Iterator[list[_Worker]]:
    """Helpers for so many texts, as far as they pay; all are gone afterwards."""
    workers: list[_Worker] = []
    try:
        if wanted > 0 and texts >= COPY_FROM and _can_copy():
            from . import driver, kernel_compiler  # what a copy need not import

            assert driver and kernel_compiler
            for _ in range(wanted):
                workers.append(_copy(workers))
        elif wanted > 0 and texts >= START_FROM and sys.executable:
            workers += [_start() for _ in range(wanted)]
    except OSError:
        pass  # no more processes: those that there are do it
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def _can_copy() -> bool:
    """Whether a copy of this process can go on: no other thread may hold a lock."""
    if sys.platform != "linux" or FOREIGN & sys.modules.keys():
        return False
    return all(t.name.startswith(NAMES) for t in threading.enumerate())


def _copy(others: Sequence[_Worker]) -> _Worker:
    """A copy of this process that does nothing but compile."""
    read_question, write_question = os.pipe()
    read_answer, write_answer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads of BLAS
        child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for pipe in (write_question, read_answer):
                os.close(pipe)
            for worker in others:
                os.close(worker.questions.fileno())
            _serve(os.fdopen(read_question, "rb"), os.fdopen(write_answer, "wb"))
        finally:
            os._exit(0)
    os.close(read_question)
    os.close(write_answer)

    def end() -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    return _Worker(os.fdopen(write_question, "wb"), os.fdopen(read_answer, "rb"), end)


def _start() -> _Worker:
    """A new process that compiles."""
    # -P: a folder named like us in the current directory must not be taken for us.
    code = "from chainrule.runtime.kernel_workers import serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None

    def end() -> None:
        process.kill()
        process.wait()

    return _Worker(process.stdin, process.stdout, end)  # type: ignore[arg-type]


def serve() -> None:
    """What a new process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is not an answer
    _serve(sys.stdin.buffer, answers)


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more; an empty answer tells of a failure."""
    gc.disable()
    while True:
        try:
            path, _, text = _receive(questions).decode().partition("\n")
        except ValueError:
            return
        try:
            code = compile_text(text, Path(path))
            answer = code.name.encode() + b"\n" + code.object
        except Exception:
            answer = b""
        try:
            _send(answers, answer)
        except OSError:
            return
        gc.collect(0)


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(len(message).to_bytes(SIZE, "little") + message)
    pipe.flush()


def _receive(pipe: BinaryIO) -> bytes:
    """The next message. Raises ValueError at the end."""
    head = pipe.read(SIZE)
    size = int.from_bytes(head, "little")
    message = pipe.read(size) if len(head) == SIZE else b""
    if len(head) < SIZE or len(message) < size:
        raise ValueError("the other end is gone")
    return message
