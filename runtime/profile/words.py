"""What the kernels of a profile say beside the words of `simd`: a clock, a table, an address."""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..driver import write_i64
from ..simd.lanes import I32, I64

MONOTONIC = 6 if sys.platform == "darwin" else 1  # the clock's number for clock_gettime


@intrinsic
def clock(typingctx: Any) -> Any:
    """Ticks of a clock that all processors share. Where reading the processor's own takes a
    privilege, nanoseconds of the system's."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(I64, [])
            name = "llvm.readcyclecounter"
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        time = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
        kind = ir.FunctionType(I32, [I32, time.type])
        call = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(call, [ir.Constant(I32, MONOTONIC), time])
        read = builder.load(time, typ=ir.ArrayType(I64, 2))
        seconds, rest = builder.extract_value(read, 0), builder.extract_value(read, 1)
        return builder.add(builder.mul(seconds, ir.Constant(I64, 10**9)), rest)

    return types.int64(), lower


@intrinsic
def number(typingctx: Any, table: Any, index: Any) -> Any:
    """int64 number `index` of the table that a pointer points to."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.bitcast(args[0], I64.as_pointer())
        return builder.load(builder.gep(place, [args[1]], source_etype=I64), typ=I64)

    return types.int64(table, types.int64), lower


__all__ = ["clock", "number", "write_i64"]
