"""How threads meet in compiled code.

`meet` is a barrier on a counter that only grows; `claim` hands out numbers. A waiting thread
spins for a moment, which is all it takes when every thread has a core; then it sleeps until the
last one wakes it, so that a busy machine can run that one. Where there is no futex it offers
its core instead.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .lanes import I32, I64

PATIENCE = 1000  # turns of a spinning thread: about 10 µs
SLEEPERS = 1  # the word behind the counter: how many sleep, or are about to
FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}  # number of the system call on Linux
WAIT, WAKE = 128, 129  # for threads of one process


def _futex() -> int | None:
    return FUTEX.get(platform.machine()) if sys.platform == "linux" else None


@intrinsic
def meet(typingctx: Any, counter: Any, goal: Any, threads: Any) -> Any:
    """A barrier: the counter grows by one for each thread; gives what it stands at when all came.

    Everything written before is seen after. The word behind the counter belongs to the barrier.
    """

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        b = builder
        place = b.inttoptr(args[0], I64.as_pointer())
        goal = b.add(args[1], args[2])
        one = ir.Constant(I64, 1)
        came = b.add(b.atomic_rmw("add", place, one, "seq_cst"), one)
        look, rest, last, done = (b.append_basic_block(n) for n in ("look", "rest", "last", "done"))
        before = b.block
        b.cbranch(b.icmp_signed("<", came, goal), look, last)
        b.position_at_end(look)
        turns = b.phi(I64)
        turns.add_incoming(ir.Constant(I64, 0), before)
        here = b.load_atomic(place, "acquire", 8, typ=I64)
        b.cbranch(b.icmp_signed("<", here, goal), rest, done)
        b.position_at_end(rest)
        _rest(b, place, goal, turns)
        turns.add_incoming(b.add(turns, one), b.block)
        b.branch(look)
        b.position_at_end(last)
        _wake(b, place)
        b.branch(done)
        b.position_at_end(done)
        return goal

    return types.int64(types.int64, types.int64, types.int64), lower


def _rest(b: ir.IRBuilder, place: Any, goal: Any, turns: Any) -> None:
    """One turn of waiting: a hint to the processor, later sleep."""
    if platform.machine() in ("x86_64", "AMD64"):
        kind = ir.FunctionType(ir.VoidType(), [])
        b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.x86.sse2.pause"), [])
    if sys.platform == "win32":
        return
    with b.if_then(b.icmp_signed(">", turns, ir.Constant(I64, PATIENCE)), likely=False):
        if _futex() is None:
            kind = ir.FunctionType(I32, [])
            b.call(cgutils.get_or_insert_function(b.module, kind, "sched_yield"), [])
        else:
            _sleep(b, place, goal)


def _sleep(b: ir.IRBuilder, place: Any, goal: Any) -> None:
    """Until the counter changes. The sleeper is counted before it looks at the counter again, and
    the last thread looks for sleepers after it has counted itself: one of the two sees the
    other.
    """
    sleepers = b.gep(place, [ir.Constant(I64, SLEEPERS)], source_etype=I64)
    b.atomic_rmw("add", sleepers, ir.Constant(I64, 1), "seq_cst")
    seen = b.load_atomic(place, "seq_cst", 8, typ=I64)
    with b.if_then(b.icmp_signed("<", seen, goal)):
        _system(b, place, WAIT, b.and_(seen, ir.Constant(I64, 0xFFFFFFFF)))
    b.atomic_rmw("sub", sleepers, ir.Constant(I64, 1), "seq_cst")


def _wake(b: ir.IRBuilder, place: Any) -> None:
    """The last thread wakes those who sleep."""
    if _futex() is None:
        return
    sleepers = b.gep(place, [ir.Constant(I64, SLEEPERS)], source_etype=I64)
    some = b.load_atomic(sleepers, "seq_cst", 8, typ=I64)
    with b.if_then(b.icmp_signed(">", some, ir.Constant(I64, 0)), likely=False):
        _system(b, place, WAKE, ir.Constant(I64, 0x7FFFFFFF))


def _system(b: ir.IRBuilder, place: Any, operation: int, value: Any) -> None:
    """futex(place, operation, value, no time limit); the low word comes first in memory."""
    kind = ir.FunctionType(I64, [I64], var_arg=True)
    call = cgutils.get_or_insert_function(b.module, kind, "syscall")
    number, zero = ir.Constant(I64, _futex()), ir.Constant(I64, 0)
    address = b.ptrtoint(place, I64)
    b.call(call, [number, address, ir.Constant(I64, operation), value, zero, zero, zero])


@intrinsic
def claim(typingctx: Any, counter: Any) -> Any:
    """The number in a counter, which grows by one: no two threads get the same."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], I64.as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(I64, 1), "monotonic")

    return types.int64(types.int64), lower
