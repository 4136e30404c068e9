"""Vectors of numbers in LLVM: formulas over them, written as Python arithmetic.

In: an LLVM builder and vector values. Out: instructions. `X` wraps one vector so that the
functions of `functions.py` read as mathematics; nothing here knows Numba. Arithmetic keeps its
order: no reassociation and no contraction that is not written as `fma`, so that a result
depends neither on the host's vector width nor on how a loop was cut.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
ELEMENTS: dict[str, ir.Type] = {"f32": F32, "f64": F64, "i32": I32, "u32": I32, "bool": I1}
BYTES = {"f32": 4, "f64": 8, "i32": 4, "u32": 4, "bool": 1}


class X:
    """A vector value and the builder that adds instructions for its arithmetic."""

    __slots__ = ("b", "v")

    def __init__(self, b: ir.IRBuilder, v: Any) -> None:
        self.b, self.v = b, v

    @property
    def type(self) -> ir.VectorType:
        return self.v.type

    @property
    def lanes(self) -> int:
        return int(self.type.count)

    @property
    def is_float(self) -> bool:
        return isinstance(self.type.element, ir.FloatType | ir.DoubleType)

    @property
    def is_f32(self) -> bool:
        return isinstance(self.type.element, ir.FloatType)

    def like(self, number: float) -> X:
        """The same number in every lane, in this vector's type."""
        value = float(number) if self.is_float else int(number)
        return X(self.b, ir.Constant(self.type, [value] * self.lanes))

    def lift(self, other: X | float) -> X:
        return other if isinstance(other, X) else self.like(other)

    def _two(self, name: str, other: X | float) -> X:
        operation = getattr(self.b, ("f" if self.is_float else "") + name)
        return X(self.b, operation(self.v, self.lift(other).v))

    def __add__(self, other: X | float) -> X:
        return self._two("add", other)

    def __radd__(self, other: float) -> X:
        return self.lift(other) + self

    def __sub__(self, other: X | float) -> X:
        return self._two("sub", other)

    def __rsub__(self, other: float) -> X:
        return self.lift(other) - self

    def __mul__(self, other: X | float) -> X:
        return self._two("mul", other)

    def __rmul__(self, other: float) -> X:
        return self.lift(other) * self

    def __truediv__(self, other: X | float) -> X:
        return X(self.b, self.b.fdiv(self.v, self.lift(other).v))

    def __rtruediv__(self, other: float) -> X:
        return self.lift(other) / self

    def __neg__(self) -> X:
        return X(self.b, self.b.fneg(self.v)) if self.is_float else self.like(0) - self

    def __and__(self, other: X | float) -> X:
        return X(self.b, self.b.and_(self.v, self.lift(other).v))

    def __or__(self, other: X | float) -> X:
        return X(self.b, self.b.or_(self.v, self.lift(other).v))

    def __xor__(self, other: X | float) -> X:
        return X(self.b, self.b.xor(self.v, self.lift(other).v))

    def __invert__(self) -> X:
        return X(self.b, self.b.not_(self.v))

    def __lshift__(self, bits: int) -> X:
        return X(self.b, self.b.shl(self.v, self.like(bits).v))

    def __rshift__(self, bits: int) -> X:
        """Logical."""
        return X(self.b, self.b.lshr(self.v, self.like(bits).v))

    def arithmetic_shift(self, bits: int) -> X:
        return X(self.b, self.b.ashr(self.v, self.like(bits).v))

    def compare(self, relation: str, other: X | float, *, or_nan: bool = False) -> X:
        """A mask; with a NaN on either side it is false (`!=`: true), or true with `or_nan`."""
        right = self.lift(other).v
        if not self.is_float:
            return X(self.b, self.b.icmp_signed(relation, self.v, right))
        ordered = relation != "!=" and not or_nan
        make = self.b.fcmp_ordered if ordered else self.b.fcmp_unordered
        return X(self.b, make(relation, self.v, right))

    def is_nan(self) -> X:
        return X(self.b, self.b.fcmp_unordered("uno", self.v, self.v))

    def select(self, yes: X | float, no: X | float) -> X:
        """This mask chooses, lane by lane."""
        model = yes if isinstance(yes, X) else no
        assert isinstance(model, X)
        return X(self.b, self.b.select(self.v, model.lift(yes).v, model.lift(no).v))

    def call(self, name: str, *others: X) -> X:
        """An LLVM intrinsic on vectors of this type: `llvm.sqrt`, `llvm.fma`."""
        letter = ("f" if self.is_float else "i") + str(width(self.type.element))
        full = f"{name}.v{self.lanes}{letter}"
        args = [self.v, *(o.v for o in others)]
        return X(
            self.b, self.b.call(declare(self.b, full, self.type, [a.type for a in args]), args)
        )

    def fma(self, factor: X | float, term: X | float) -> X:
        """self · factor + term, rounded once."""
        return self.call("llvm.fma", self.lift(factor), self.lift(term))

    def sqrt(self) -> X:
        return self.call("llvm.sqrt")

    def floor(self) -> X:
        return self.call("llvm.floor")

    def nearest(self) -> X:
        """To an integer, ties to even."""
        return self.call("llvm.rint")

    def magnitude(self) -> X:
        if self.is_float:
            return self.call("llvm.fabs")
        return self.compare("<", 0).select(-self, self)

    def with_sign_of(self, other: X) -> X:
        return self.call("llvm.copysign", other)

    def bits(self) -> X:
        """The same bits as integers of the same width."""
        whole = ir.IntType(width(self.type.element))
        return X(self.b, self.b.bitcast(self.v, ir.VectorType(whole, self.lanes)))

    def as_float(self) -> X:
        """Integer bits read as a float of that width."""
        element = F32 if self.type.element.width == 32 else F64
        return X(self.b, self.b.bitcast(self.v, ir.VectorType(element, self.lanes)))

    def to(self, dtype: str) -> X:
        """Converted; a float goes to an integer by truncation, saturating, NaN to 0."""
        return convert(self, dtype)

    def lane(self, index: int) -> Any:
        return self.b.extract_element(self.v, ir.Constant(I32, index))

    def each(self, function: str, *others: X) -> X:
        """A C library function of that name, one lane after another."""
        element = self.type.element
        callee = declare(self.b, function, element, [element] * (1 + len(others)))
        result = ir.Constant(self.type, ir.Undefined)
        for i in range(self.lanes):
            number = self.b.call(callee, [self.lane(i), *(o.lane(i) for o in others)])
            result = self.b.insert_element(result, number, ir.Constant(I32, i))
        return X(self.b, result)


def width(element: ir.Type) -> int:
    """Bits of an element."""
    if isinstance(element, ir.IntType):
        return int(element.width)
    return 32 if isinstance(element, ir.FloatType) else 64


def declare(b: ir.IRBuilder, name: str, result: ir.Type, args: list[ir.Type]) -> Any:
    """The function of that name in the module under construction."""
    known = b.module.globals.get(name)
    return known or ir.Function(b.module, ir.FunctionType(result, args), name)


def vector(dtype: str, lanes: int) -> ir.VectorType:
    return ir.VectorType(ELEMENTS[dtype], lanes)


def splat(b: ir.IRBuilder, number: Any, lanes: int) -> X:
    """A scalar in every lane."""
    kind = ir.VectorType(number.type, lanes)
    if isinstance(number, ir.Constant):
        return X(b, ir.Constant(kind, [number.constant] * lanes))
    blank = ir.Constant(kind, ir.Undefined)
    first = b.insert_element(blank, number, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return X(b, b.shuffle_vector(first, blank, mask))


def ramp(b: ir.IRBuilder, lanes: int, element: ir.Type = I32) -> X:
    """0, 1, 2, …"""
    return X(b, ir.Constant(ir.VectorType(element, lanes), list(range(lanes))))


def first_lanes(b: ir.IRBuilder, lanes: int, count: Any) -> X:
    """The mask of lanes below `count` (int64, at least 0)."""
    if isinstance(count, ir.Constant):
        kept = [int(i < count.constant) for i in range(lanes)]
        return X(b, ir.Constant(ir.VectorType(I1, lanes), kept))
    limit = ir.Constant(I64, lanes)
    clipped = b.trunc(b.select(b.icmp_signed("<", count, limit), count, limit), I32)
    return ramp(b, lanes).compare("<", splat(b, clipped, lanes))


def convert(x: X, dtype: str) -> X:
    """See `X.to`."""
    b, kind = x.b, vector(dtype, x.lanes)
    if x.type.element == kind.element:
        return x
    if dtype == "bool":
        return x.compare("!=", 0)
    if x.type.element == I1:
        integers = X(b, b.zext(x.v, vector("i32", x.lanes)))
        return integers if dtype == "i32" else X(b, b.uitofp(integers.v, kind))
    if dtype == "i32":
        name = f"llvm.fptosi.sat.v{x.lanes}i32.v{x.lanes}f{width(x.type.element)}"
        return X(b, b.call(declare(b, name, kind, [x.type]), [x.v]))
    if not x.is_float:
        return X(b, b.sitofp(x.v, kind))
    return X(b, b.fpext(x.v, kind) if dtype == "f64" else b.fptrunc(x.v, kind))


def halves(x: X) -> tuple[X, X]:
    """The lower and the upper lanes."""
    half = x.lanes // 2
    return tuple(
        X(x.b, x.b.shuffle_vector(x.v, x.v, ir.Constant(ir.VectorType(I32, half), list(places))))
        for places in (range(half), range(half, x.lanes))
    )  # type: ignore[return-value]


def fold(x: X, join: Any) -> Any:
    """All lanes joined in a fixed tree: lane i with lane i + n/2, and so on. Gives the scalar."""
    while x.lanes > 1:
        low, high = halves(x)
        x = join(low, high)
    return x.lane(0)
