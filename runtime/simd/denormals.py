"""Numbers too small for the normal form count as zero while steps run.

Processors take many times as long for them, and gates that are shut make many: σ(−100). What is
lost is below 1.2e-38 in f32. The state of the thread is put back afterwards, so that NumPy's
numbers stay as they are. On other processors than x86 nothing is changed.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .lanes import I8, I32

FLUSH = 0x8040  # results to zero (bit 15), operands to zero (bit 6) of MXCSR
_HAS_MXCSR = platform.machine() in ("x86_64", "AMD64")


def _access(builder: Any, name: str, place: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, I8.as_pointer())])


@intrinsic
def without_denormals(typingctx: Any) -> Any:
    """From here on they are zero; gives what `as_before` needs."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if not _HAS_MXCSR:
            return ir.Constant(I32, 0)
        place = cgutils.alloca_once(builder, I32)
        _access(builder, "stmxcsr", place)
        before = builder.load(place, typ=I32)
        builder.store(builder.or_(before, ir.Constant(I32, FLUSH)), place)
        _access(builder, "ldmxcsr", place)
        return before

    return types.int32(), lower


@intrinsic
def as_before(typingctx: Any, state: Any) -> Any:
    """The thread's own way with them again."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if _HAS_MXCSR:
            place = cgutils.alloca_once(builder, I32)
            builder.store(args[0], place)
            _access(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), lower
