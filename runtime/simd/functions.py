"""Elementary functions on vectors of floats, in the order of their formulas.

In and out: `X`. f32 functions are polynomials after a reduction of the argument; their greatest
error over all arguments, in units in the last place, is in `ULP` and measured by the tests. NaN
gives NaN, infinities and denormals give what C gives. f64 functions, rare in training, call the
C library lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from .lanes import X, convert, declare, fold

ULP = {
    "exp": 1.0,
    "expm1": 1.5,
    "log": 1.0,
    "log1p": 1.5,
    "exp_below": 1.5,
    "log1p_unit": 2.0,
    "sqrt": 0.5,
    "rsqrt": 1.5,
    "tanh": 2.1,
    "sigmoid": 2.3,
    "erf": 1.0,
    "sin": 0.51,
    "cos": 0.51,
    "pow": 0.51,
}

LOG2_E = 1.44269504088896341
LN2_HIGH = 0.693359375  # 9 bits: its product with a whole |n| < 2¹⁵ is exact
LN2_LOW = -2.12194440054690583e-4
LN2 = 0.693147180559945309
PI = 3.14159265358979323846


def horner(x: X, coefficients: Sequence[float]) -> X:
    """The polynomial with the highest power first, one fma for each power."""
    result = x.like(coefficients[0])
    for c in coefficients[1:]:
        result = result.fma(x, c)
    return result


def power_of_two(n: X, dtype: str = "f32") -> X:
    """2ⁿ for whole n within the exponents of normal numbers."""
    bias, shift = (127, 23) if dtype == "f32" else (1023, 52)
    return ((n + bias) << shift).as_float()


def _whole(x: X) -> X:
    """A float holding a whole number, as an integer of its own width."""
    kind = ir.VectorType(ir.IntType(32 if x.is_f32 else 64), x.lanes)
    letter = "f32" if x.is_f32 else "f64"
    name = f"llvm.fptosi.sat.v{x.lanes}i{32 if x.is_f32 else 64}.v{x.lanes}{letter}"
    return X(x.b, x.b.call(declare(x.b, name, kind, [x.type]), [x.v]))


def _reduce(x: X) -> tuple[X, X]:
    """x = n·log 2 + r with |r| ≤ log 2 / 2: gives (n, r)."""
    n = (x * LOG2_E).nearest()
    r = n.fma(-LN2_HIGH, x)
    return n, n.fma(-LN2_LOW, r)


def _clamp(x: X, low: float, high: float) -> X:
    """NaN stays NaN."""
    x = x.compare("<", low).select(x.like(low), x)
    return x.compare(">", high).select(x.like(high), x)


# (eʳ − 1 − r) / r² on |r| ≤ log 2 / 2 (Moshier, Cephes expf)
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)


def exp(x: X) -> X:
    """eˣ = 2ⁿ·eʳ; 2ⁿ in two factors, so that results among the denormals are rounded once."""
    if not x.is_f32:
        return x.each("exp")
    x = _clamp(x, -104.0, 89.0)
    n, r = _reduce(x)
    e = horner(r, _EXP).fma(r * r, r) + 1
    whole = _whole(n)
    half = whole.arithmetic_shift(1)
    return e * power_of_two(half) * power_of_two(whole - half)


def expm1(x: X) -> X:
    """2ⁿ·(eʳ − 1) + (2ⁿ − 1), with half of 2ⁿ until the end so that it does not overflow early."""
    if not x.is_f32:
        return x.each("expm1")
    x = _clamp(x, -30.0, 89.0)
    n, r = _reduce(x)
    p = horner(r, _EXP).fma(r * r, r)
    s = power_of_two(_whole(n) - 1)
    far = s.fma(p, s - 0.5) * 2
    return n.compare("==", 0).select(p, far)


# (log(1+z) − z + z²/2) / z³ on √½ − 1 < z < √2 − 1 (Moshier, Cephes logf)
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip


def log(x: X) -> X:
    """log x = n·log 2 + log(1 + z), with 1 + z in [√½, √2)."""
    if not x.is_f32:
        return x.each("log")
    tiny = x.compare("<", 1.17549435e-38)
    y = tiny.select(x * 8388608.0, x)  # denormals become normal, times 2²³
    bits = y.bits()
    # Subtracting the bits of √½ carries into the exponent exactly where the mantissa is above it.
    shifted = bits - 0x3F3504F3
    n = X(x.b, x.b.sitofp(shifted.arithmetic_shift(23).v, x.type))
    n = tiny.select(n - 23.0, n)
    z = ((shifted & 0x007FFFFF) + 0x3F3504F3).as_float() - 1
    square = z * z
    tail = horner(z, _LOG) * z * square
    tail = n.fma(LN2_LOW, tail)
    tail = square.fma(-0.5, tail)
    result = n.fma(LN2_HIGH, z + tail)
    result = x.compare("==", float("inf"), or_nan=True).select(x, result)
    result = x.compare("<", 0).select(x.like(float("nan")), result)
    return x.compare("==", 0).select(x.like(float("-inf")), result)


def log1p(x: X) -> X:
    """log u + (x − (u − 1))/u with u = 1 + x: the second term restores what rounding u lost."""
    if not x.is_f32:
        return x.each("log1p")
    u = x + 1
    near = log(u) + (x - (u - 1)) / u
    special = x.compare("==", float("inf"), or_nan=True) | x.compare("<=", -1)
    small = x.magnitude().compare("<", 2.0**-25)
    return special.select(log(u), small.select(x, near))


def sqrt(x: X) -> X:
    return x.sqrt()


def rsqrt(x: X) -> X:
    return 1 / x.sqrt()


_ROUNDER = 12582912.0  # 1.5·2²³: what is added to it is rounded to a whole number, in its low bits


def _below(x: X, low: float) -> tuple[X, X]:
    """(2ⁿ, eʳ − 1) for x = n·log 2 + r ≤ 0; below `low` as at `low`, which is −88 at least: there
    2ⁿ is a normal number or, at its end, 0."""
    x = x.compare("<", low).select(x.like(low), x)
    shifted = x.fma(LOG2_E, _ROUNDER)
    n = shifted - _ROUNDER
    r = n.fma(-LN2_LOW, n.fma(-LN2_HIGH, x))
    power = ((shifted.bits() + 127) << 23).as_float()
    return power, horner(r, _EXP).fma(r * r, r)


def exp_below(x: X) -> X:
    """eˣ of x ≤ 0, with nothing against overflow: as `sigmoid` makes it, so that both are one where
    they stand together."""
    if not x.is_f32:
        return x.each("exp")
    power, p = _below(x, -88.0)
    return power.fma(p, power)


# (2·atanh(w/2) / w − 1) / w² on 0 ≤ w ≤ 2/3, in w²: least squares at Chebyshev's points
_ATANH = (5.247569004e-04, 2.205777746e-03, 1.250239716e-02, 8.333329958e-02)


def log1p_unit(x: X) -> X:
    """log(1 + x) of 0 ≤ x ≤ 1: 2·atanh(w/2) with w = 2x/(2 + x), which is 2/3 at most."""
    if not x.is_f32:
        return x.each("log1p")
    w = (x + x) / (x + 2)
    square = w * w
    return (horner(square, _ATANH) * square).fma(w, w)


def tanh(x: X) -> X:
    """With e = exp(−2|x|) − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1), which never overflows: −e/(2 + e) near 0,
    1 − 2(e + 1)/(2 + e) away from it, where the quotient is small and so are its errors."""
    if not x.is_f32:
        return x.each("tanh")
    power, p = _below(x.magnitude() * -2, -30.0)
    e = power.fma(p, power - 1)
    far = x.magnitude().compare(">", 0.55)
    quotient = far.select(power.fma(p, power) * 2, -e) / (e + 2)
    return far.select(1 - quotient, quotient).with_sign_of(x)


def sigmoid(x: X) -> X:
    """1/(1 + e⁻ˣ) for x ≥ 0, eˣ/(1 + eˣ) below: the exponential never overflows."""
    e = exp_below(-x.magnitude())
    top = x.compare("<", 0).select(e, x.like(1))
    return top / (e + 1)


# erf x near 0 and 1 − exp(polynomial) away from it (coefficients by N. Juffa).
_ERF_NEAR = (
    -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
)  # fmt: skip
_ERF_FAR = (
    -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1,
    -1.28717512e-1,
)  # fmt: skip


def erf(x: X) -> X:
    if not x.is_f32:
        return x.each("erf")
    t = x.magnitude()
    capped = t.compare(">", 4.0).select(x.like(4.0), t)  # erf 4 rounds to 1
    far = -expm1(horner(capped, _ERF_FAR).fma(capped, -capped))
    near = horner(x * x, _ERF_NEAR).fma(x, x)
    return t.compare(">", 0.927734375).select(far.with_sign_of(x), near)


PI_2_HIGH, PI_2_LOW = 1.57079632673412561417, 6.07710050650619224932e-11  # 33 bits + the rest
_SIN = (-2.5052106798274583e-8, 2.7557313707070068e-6, -1.984126982985795e-4,
        8.333333333322489e-3, -1.66666666666666307e-1)  # fmt: skip
_COS = (2.08767569878681e-9, -2.7557319223936e-7, 2.4801587298767e-5,
        -1.3888888888873e-3, 4.16666666666666e-2, -0.5)  # fmt: skip


def circle(x: X, quarter: int) -> X:
    """sin(x + quarter·π/2) of f64 |x| ≤ 10⁶, to what an f32 result needs: x = n·π/2 + r.

    n·PI_2_HIGH is exact while n has 20 bits.
    """
    n = (x * (2 / PI)).nearest()
    r = n.fma(-PI_2_LOW, n.fma(-PI_2_HIGH, x))
    square = r * r
    s = horner(square, _SIN).fma(square * r, r)
    c = horner(square, _COS).fma(square, 1)
    turn = _whole(n) + quarter
    result = (turn & 1).compare("!=", 0).select(c, s)
    return (turn & 2).compare("!=", 0).select(-result, result)


def _circular(x: X, quarter: int, name: str) -> X:
    """f32 is worked in f64; large arguments go to the C library."""
    if not x.is_f32:
        return x.each(name)
    b = x.b
    wide = convert(x, "f64")
    near = convert(circle(wide, quarter), "f32")
    large = x.magnitude().compare(">", 1e6, or_nan=True)
    some = fold(large, lambda p, q: p | q)
    before = b.block
    with b.if_then(some, likely=False):
        slow = convert(large.select(wide, wide.like(0)).each(name), "f32")
        mixed = large.select(slow, near)
        after = b.block
    joined = b.phi(x.type)
    joined.add_incoming(near.v, before)
    joined.add_incoming(mixed.v, after)
    return X(b, joined)


def sin(x: X) -> X:
    return _circular(x, 0, "sin")


def cos(x: X) -> X:
    return _circular(x, 1, "cos")


def _log2_double(x: X) -> X:
    """log2 of positive normal f64 to about 2⁻⁵⁰, with atanh's series: enough for f32 powers."""
    bits = x.bits()
    shifted = bits - 0x3FE6A09E667F3BCD
    n = X(x.b, x.b.sitofp(shifted.arithmetic_shift(52).v, x.type))
    m = ((shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).as_float()
    f = (m - 1) / (m + 1)  # |f| ≤ 0.1716: terms fall by 34 each
    series = horner(f * f, [1 / k for k in range(17, 0, -2)])
    return (f * series).fma(2 / LN2, n)


def _exp2_double(x: X) -> X:
    n = x.nearest()
    r = (x - n) * LN2
    factorial, terms = 1.0, [1.0]
    for k in range(1, 12):
        factorial *= k
        terms.append(1 / factorial)
    return horner(r, terms[::-1]) * power_of_two(_whole(n), "f64")


def pow(x: X, y: X) -> X:
    """xʸ = 2^(y·log₂|x|), in f64 for f32 operands, with C's special cases."""
    if not x.is_f32:
        return x.each("pow", y)
    a, p = convert(x.magnitude(), "f64"), convert(y, "f64")
    size = p * _log2_double(a)
    infinite = x.like(float("inf"))
    general = convert(_exp2_double(_clamp(size, -400.0, 400.0)), "f32")
    grows = y.compare(">", 0)
    general = x.compare("==", 0).select(grows.select(x.like(0), infinite), general)
    endless = x.magnitude().compare("==", float("inf"))
    general = endless.select(grows.select(infinite, x.like(0)), general)
    # Above 2²⁴ every float is even. A negative base needs a whole y; an odd one keeps its sign.
    whole = y.compare("==", y.floor())
    half = y * 0.5
    odd = whole & half.compare("!=", half.floor()) & y.magnitude().compare("<", 16777216.0)
    signed = (odd & X(x.b, x.bits().compare("<", 0).v)).select(-general, general)
    finite_negative = x.compare("<", 0) & x.compare(">", float("-inf"))
    real = ~(finite_negative & ~whole)
    result = real.select(signed, x.like(float("nan")))
    # y = ±∞: decided by |x| against 1.
    far = y.magnitude().compare("==", float("inf"))
    outside = x.magnitude().compare(">", 1)
    limit = X(x.b, x.b.icmp_signed("==", outside.v, grows.v)).select(infinite, x.like(0))
    limit = x.magnitude().compare("==", 1).select(x.like(1), limit)
    result = far.select(limit, result)
    result = (x.is_nan() | y.is_nan()).select(x.like(float("nan")), result)
    one = x.compare("==", 1) | y.compare("==", 0)
    return one.select(x.like(1), result)


def absolute(x: X) -> X:
    return x.magnitude()


def floor(x: X) -> X:
    return x.floor() if x.is_float else x


def sign(x: X) -> X:
    """−1, 0 or 1; NaN stays."""
    below = x.compare("<", 0).select(x.like(-1), x)
    return x.compare(">", 0).select(x.like(1), below)


def square(x: X) -> X:
    return x * x


def reciprocal(x: X) -> X:
    return 1 / x


def maximum(x: X, y: X) -> X:
    """NaN where either is NaN, as in NumPy."""
    if not x.is_float:
        return x.compare(">", y).select(x, y)
    if isinstance(y.v, ir.Constant):  # a known number: one comparison keeps the NaN of x
        return x.compare(">", y, or_nan=True).select(x, y)
    return x.is_nan().select(x, x.compare(">", y).select(x, y))


def minimum(x: X, y: X) -> X:
    """NaN where either is NaN, as in NumPy."""
    if not x.is_float:
        return x.compare("<", y).select(x, y)
    if isinstance(y.v, ir.Constant):
        return x.compare("<", y, or_nan=True).select(x, y)
    return x.is_nan().select(x, x.compare("<", y).select(x, y))


UNARY: dict[str, Callable[[X], X]] = {
    "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "exp_below": exp_below,
    "log1p_unit": log1p_unit, "sqrt": sqrt, "rsqrt": rsqrt,
    "tanh": tanh, "sigmoid": sigmoid, "erf": erf, "sin": sin, "cos": cos, "absolute": absolute,
    "sign": sign, "floor": floor, "square": square, "reciprocal": reciprocal,
}  # fmt: skip
BINARY: dict[str, Callable[[X, X], X]] = {"pow": pow, "maximum": maximum, "minimum": minimum}
