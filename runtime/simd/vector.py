"""Vectors as values inside Numba kernels: types, arithmetic, functions.

Out: what generated kernels call. `load(p, i, 16)` and friends are in `memory.py`. A vector has
an element type (f32, f64, i32, u32, bool) and a number of lanes; operators and functions work
lane by lane, a Python number beside a vector takes its type. Compiled code has no
reassociation, so results do not depend on the host.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, register_model

from . import threefry
from .functions import BINARY, UNARY
from .functions import maximum as _maximum
from .functions import minimum as _minimum
from .lanes import I1, X, convert, first_lanes, fold, ramp, splat
from .lanes import vector as llvm_vector


class Vec(types.Type):
    """A vector of `lanes` elements of type `dtype`."""

    def __init__(self, dtype: str, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"{dtype}x{lanes}")

    def of(self, dtype: str) -> Vec:
        return Vec(dtype, self.lanes)


@register_model(Vec)
class VecModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vec) -> None:
        super().__init__(dmm, fe_type, llvm_vector(fe_type.dtype, fe_type.lanes))


OPERANDS = (Vec, types.Float, types.Integer, types.Boolean)


def as_vector(b: ir.IRBuilder, kind: Any, value: Any, target: Vec) -> X:
    """An argument as a vector of type `target`: a vector as it is, a number in every lane."""
    if isinstance(kind, Vec):
        return convert(X(b, value), target.dtype)
    element = llvm_vector(target.dtype, 1).element
    if isinstance(value, ir.Constant) and value.constant is not None and element != I1:
        number = value.constant
        is_float = target.dtype in ("f32", "f64")
        return splat(b, ir.Constant(element, float(number) if is_float else int(number)),
                     target.lanes)  # fmt: skip
    return splat(b, _number(b, kind, value, target.dtype), target.lanes)


def _number(b: ir.IRBuilder, kind: Any, value: Any, dtype: str) -> Any:
    """A Numba scalar as an element of that type."""
    single = X(b, b.insert_element(ir.Constant(ir.VectorType(value.type, 1), ir.Undefined), value,
                                   ir.Constant(ir.IntType(32), 0)))  # fmt: skip
    element = llvm_vector(dtype, 1).element
    if isinstance(value.type, ir.IntType) and isinstance(element, ir.IntType):
        if element == I1:
            return single.compare("!=", 0).lane(0)
        narrow = value.type.width > element.width
        cast = b.trunc if narrow else (b.sext if value.type.width < element.width else None)
        return cast(value, element) if cast else value
    if isinstance(value.type, ir.IntType):
        return b.sitofp(value, element)
    return convert(single, dtype).lane(0)


def _together(args: tuple[Any, ...]) -> Vec | None:
    """The vector type of an operation on vectors of one type and numbers."""
    vectors = {a for a in args if isinstance(a, Vec)}
    if len(vectors) != 1 or not all(isinstance(a, OPERANDS) for a in args):
        return None
    return vectors.pop()


# ------------------------------------------------------------------------------------ operators


ARITHMETIC: dict[Any, Callable[[X, X], X]] = {
    operator.add: lambda x, y: x + y,
    operator.sub: lambda x, y: x - y,
    operator.mul: lambda x, y: x * y,
    operator.truediv: lambda x, y: x / y,
    operator.and_: lambda x, y: x & y,
    operator.or_: lambda x, y: x | y,
    operator.xor: lambda x, y: x ^ y,
}
COMPARISON = {
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "==",
    operator.ne: "!=",
}  # fmt: skip


def _template(result: Callable[[Vec], Vec], arity: int) -> type[Any]:
    class Operator(AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: Any) -> Any:
            kind = _together(args) if len(args) == arity else None
            return None if kind is None else signature(result(kind), *args)

    return Operator


def _lower_two(function: Callable[[X, X], X]) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = _together(sig.args)
        assert kind is not None
        x, y = (as_vector(builder, t, a, kind) for t, a in zip(sig.args, args, strict=True))
        return function(x, y).v

    return lower


def _register(symbol: Any, function: Callable[[X, X], X], result: Callable[[Vec], Vec]) -> None:
    infer_global(symbol)(_template(result, 2))
    lower = _lower_two(function)
    for left, right in ((Vec, Vec), (Vec, types.Any), (types.Any, Vec)):
        lower_builtin(symbol, left, right)(lower)


for _symbol, _function in ARITHMETIC.items():
    _register(_symbol, _function, lambda kind: kind)


def _comparison(relation: str) -> Callable[[X, X], X]:
    return lambda x, y: x.compare(relation, y)


for _symbol, _relation in COMPARISON.items():
    _register(_symbol, _comparison(_relation), lambda kind: kind.of("bool"))


def _lower_one(function: Callable[[X], X]) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return function(X(builder, args[0])).v

    return lower


infer_global(operator.neg)(_template(lambda kind: kind, 1))
lower_builtin(operator.neg, Vec)(_lower_one(lambda x: -x))
infer_global(operator.invert)(_template(lambda kind: kind, 1))
lower_builtin(operator.invert, Vec)(_lower_one(lambda x: ~x))


# ------------------------------------------------------------------------------------ functions


def _unary(function: Callable[[X], X]) -> Any:
    def typing(typingctx: Any, x: Any) -> Any:
        return (x(x), _lower_one(function)) if isinstance(x, Vec) else None

    return intrinsic(typing)


def _binary(function: Callable[[X, X], X]) -> Any:
    def typing(typingctx: Any, x: Any, y: Any) -> Any:
        kind = _together((x, y))
        return None if kind is None else (kind(x, y), _lower_two(function))

    return intrinsic(typing)


exp, expm1, log, log1p = (_unary(UNARY[n]) for n in ("exp", "expm1", "log", "log1p"))
exp_below, log1p_unit = (_unary(UNARY[n]) for n in ("exp_below", "log1p_unit"))
sqrt, rsqrt, tanh, sigmoid = (_unary(UNARY[n]) for n in ("sqrt", "rsqrt", "tanh", "sigmoid"))
erf, sin, cos, absolute = (_unary(UNARY[n]) for n in ("erf", "sin", "cos", "absolute"))
sign, floor, square, reciprocal = (
    _unary(UNARY[n]) for n in ("sign", "floor", "square", "reciprocal")
)
power, maximum, minimum = (_binary(BINARY[n]) for n in ("pow", "maximum", "minimum"))


@intrinsic
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """x·y + z, rounded once."""
    kind = _together((x, y, z))
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b, c = (as_vector(builder, t, v, kind) for t, v in zip(sig.args, args, strict=True))
        return a.fma(b, c).v

    return kind(x, y, z), lower


@intrinsic
def select(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where the mask is set, `no` in the others."""
    kind = _together((yes, no))
    if kind is None or not isinstance(mask, Vec):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        chosen = [
            as_vector(builder, t, v, kind) for t, v in zip(sig.args[1:], args[1:], strict=True)
        ]
        return convert(X(builder, args[0]), "bool").select(*chosen).v

    return kind(mask, yes, no), lower


def _conversion(dtype: str) -> Any:
    def typing(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None
        return x.of(dtype)(x), _lower_one(lambda v: convert(v, dtype))

    return intrinsic(typing)


to_f32, to_f64, to_i32, to_bool = (_conversion(d) for d in ("f32", "f64", "i32", "bool"))


def _constructor(dtype: str) -> Any:
    def typing(typingctx: Any, lanes: Any, number: Any) -> Any:
        if not isinstance(lanes, types.IntegerLiteral):
            return None
        kind = Vec(dtype, lanes.literal_value)

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return as_vector(builder, sig.args[1], args[1], kind).v

        return kind(lanes, number), lower

    return intrinsic(prefer_literal=True)(typing)


# A number in every lane: f32(16, 0.5).
f32, f64, i32, mask = (_constructor(d) for d in ("f32", "f64", "i32", "bool"))


@intrinsic(prefer_literal=True)
def count_from(typingctx: Any, lanes: Any, first: Any) -> Any:
    """first, first + 1, … as i32."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    kind = Vec("i32", lanes.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        start = as_vector(builder, sig.args[1], args[1], kind)
        return (start + ramp(builder, kind.lanes)).v

    return kind(lanes, first), lower


@intrinsic(prefer_literal=True)
def below(typingctx: Any, lanes: Any, count: Any) -> Any:
    """The mask of the first `count` lanes."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    kind = Vec("bool", lanes.literal_value)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = context.cast(builder, args[1], sig.args[1], types.int64)
        return first_lanes(builder, kind.lanes, number).v

    return kind(lanes, count), lower


# ------------------------------------------------------------------------------- across the lanes


def _first_index(x: X, where: X) -> X:
    """Of the lanes that hold the greatest number (or a NaN, if there is one), the least index."""
    greatest = splat(x.b, fold(x, _maximum), x.lanes)
    equal = x.compare("==", greatest)
    if x.is_float:
        equal = equal | (greatest.is_nan() & x.is_nan())
    return equal.select(where, where.like(0x7FFFFFFF))


def _across(join: Callable[[X, X], X]) -> Any:
    """All lanes joined in a fixed tree, the result in every lane."""

    def lower(x: X) -> X:
        return splat(x.b, fold(x, join), x.lanes)

    return _unary(lower)


sum_lanes = _across(lambda x, y: x + y)
max_lanes = _across(_maximum)
min_lanes = _across(_minimum)


@intrinsic
def argmax_lanes(typingctx: Any, x: Any, where: Any) -> Any:
    """The index (in `where`) of the greatest number of x, the first of equals, in every lane."""
    if not (isinstance(x, Vec) and where == x.of("i32")):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        candidates = _first_index(X(builder, args[0]), X(builder, args[1]))
        return splat(builder, fold(candidates, _minimum), x.lanes).v

    return where(x, where), lower


@intrinsic
def better(typingctx: Any, x: Any, best: Any) -> Any:
    """Where x replaces the greatest so far: greater, or the first NaN."""
    if not (isinstance(x, Vec) and x == best):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        new, old = X(builder, args[0]), X(builder, args[1])
        if not new.is_float:
            return new.compare(">", old).v
        known = X(builder, builder.fcmp_ordered("ord", old.v, old.v))
        return (new.compare(">", old, or_nan=True) & known).v

    return x.of("bool")(x, best), lower


# ----------------------------------------------------------------------------------------- draws


def _draw(dtype: str, distribution: Callable[[str, tuple[X, X]], X]) -> Any:
    def typing(typingctx: Any, lanes: Any, seed: Any, stream: Any, step: Any, first: Any) -> Any:
        if not isinstance(lanes, types.IntegerLiteral):
            return None
        kind = Vec(dtype, lanes.literal_value)

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            whole = [context.cast(builder, v, t, types.int64)
                     for t, v in zip(sig.args[1:], args[1:], strict=True)]  # fmt: skip
            return distribution(dtype, threefry.words(builder, kind.lanes, *whole)).v

        return kind(lanes, seed, stream, step, first), lower

    return intrinsic(prefer_literal=True)(typing)


uniform_f32, uniform_f64 = (_draw(d, threefry.uniform) for d in ("f32", "f64"))
normal_f32, normal_f64 = (_draw(d, threefry.normal) for d in ("f32", "f64"))
