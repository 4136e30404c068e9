"""The words of generated CPU kernels: vectors, memory, blocks, and how a kernel is compiled.

`from … import *` gives a kernel module all of them. Nothing here imports the rest of chainrule, so
that an exported package carries these files along and runs with numpy and numba alone.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numba
from numba.core import types

from .blocks import least, share, transpose
from .memory import (
    at_bool,
    at_f32,
    at_f64,
    at_i32,
    gather,
    header,
    id_at,
    load,
    load_part,
    local_f32,
    local_f64,
    scatter,
    spread,
    store,
    store_part,
)  # fmt: skip
from .product import ask, register_block
from .vector import (
    absolute,
    argmax_lanes,
    below,
    better,
    cos,
    count_from,
    erf,
    exp,
    exp_below,
    expm1,
    f32,
    f64,
    floor,
    fma,
    i32,
    log,
    log1p,
    log1p_unit,
    mask,
    max_lanes,
    maximum,
    min_lanes,
    minimum,
    normal_f32,
    normal_f64,
    power,
    reciprocal,
    rsqrt,
    select,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    sum_lanes,
    tanh,
    to_bool,
    to_f32,
    to_f64,
    to_i32,
    uniform_f32,
    uniform_f64,
)  # fmt: skip
from .winograd import winograd

# arena, offsets of the slots in bytes, examples, number of this thread, threads
SIGNATURE = types.void(
    types.CPointer(types.uint8), types.CPointer(types.int64), types.int64, types.int64, types.int64
)


# Whether Numba keeps compiled code beside the sources: an exported package turns this on,
# chainrule has a cache of its own.
settings = {"disk_cache": False}


def kernel(function: Callable[..., None]) -> Any:
    """Compile a kernel to a C function."""
    return numba.cfunc(SIGNATURE, cache=settings["disk_cache"], error_model="numpy")(function)


__all__ = [
    "absolute",
    "argmax_lanes",
    "ask",
    "at_bool",
    "at_f32",
    "at_f64",
    "at_i32",
    "below",
    "better",
    "cos",
    "count_from",
    "erf",
    "exp",
    "exp_below",
    "expm1",
    "f32",
    "f64",
    "floor",
    "fma",
    "gather",
    "header",
    "i32",
    "id_at",
    "inf",
    "kernel",
    "least",
    "load",
    "load_part",
    "local_f32",
    "local_f64",
    "log",
    "log1p",
    "log1p_unit",
    "mask",
    "max_lanes",
    "maximum",
    "min_lanes",
    "minimum",
    "nan",
    "normal_f32",
    "normal_f64",
    "power",
    "reciprocal",
    "register_block",
    "rsqrt",
    "scatter",
    "select",
    "share",
    "sigmoid",
    "sign",
    "sin",
    "spread",
    "sqrt",
    "square",
    "store",
    "store_part",
    "sum_lanes",
    "tanh",
    "to_bool",
    "to_f32",
    "to_f64",
    "to_i32",
    "transpose",
    "uniform_f32",
    "uniform_f64",
    "winograd",
]
