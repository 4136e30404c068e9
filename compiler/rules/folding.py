"""A net in use: the scale of a normalisation goes into the weights of the product before it.

With running statistics a batch normalisation is one scale and one shift for each result, known
before any example is: γ·(W x + b − μ)/√(σ² + ε) + β = (s ⊙ W) x + s·(b − μ) + β, s = γ/√(σ² + ε).
The same holds for a convolution, whose results are channels. Only for nets in use: in training the
statistics depend on the product itself. `compiler.use` applies the rule where nothing else needs
the product as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..graph import leaf, topological
from ..op import apply, constant
from ..patterns import law
from ..rewrite import Table
from ..types import Type
from ..value import Value

_UNKNOWN = ("input", "scalar", "batch_size")
_LINEAR = ("add", "sub", "mul", "div", "neg")


@dataclass(frozen=True)
class Scaled:
    """scale · product + shift; None stands for 1 and for 0. `inner`: what lies between."""

    product: Value
    scale: Value | None = None
    shift: Value | None = None
    inner: tuple[Value, ...] = ()

    def times(self, s: Value | float) -> Scaled:
        one = s if isinstance(s, Value) else constant(s, self.product.type.dtype)
        scale = one if self.scale is None else s * self.scale
        return replace(self, scale=scale, shift=None if self.shift is None else s * self.shift)

    def plus(self, t: Value) -> Scaled:
        return replace(self, shift=t if self.shift is None else self.shift + t)


def known(v: Value) -> bool:
    """Whether parameters and states alone determine v."""
    return all(
        x.op.name not in _UNKNOWN and (x.args or (x.op.family == "leaf" and not x.type.batched))
        for x in topological([v])
    )


def scaled_product(
    v: Value,
    is_known: Callable[[Value], bool] = known,
    alone: Callable[[Value], bool] = lambda _: True,
) -> Scaled | None:
    """v as scale · product + shift, where nothing else uses (`alone`) what lies between."""
    path: list[tuple[Value, int]] = []  # from v down: an operation, and which operand varies
    at = v
    while weights_of(at, is_known) is None:
        varying = [k for k, a in enumerate(at.args) if not is_known(a)]
        if at.op.name not in _LINEAR or len(varying) != 1 or (at.op.name, varying) == ("div", [1]):
            return None
        path.append((at, varying[0]))
        at = at.args[varying[0]]
        if at.type != v.type or not alone(at):
            return None
    found = Scaled(at, inner=tuple(x.args[k] for x, k in path))
    for x, k in reversed(path):
        after = _followed(found, x, k, is_known)
        if after is None:
            return None
        found = after
    return found


def _followed(found: Scaled, x: Value, k: int, is_known: Callable[[Value], bool]) -> Scaled | None:
    """One operation more; its operand k is what was found."""
    if x.op.name == "neg":
        return found.times(-1.0)
    other = x.args[1 - k]
    if x.op.name == "add":
        return found.plus(other)
    if x.op.name == "sub":
        return found.times(-1.0).plus(other) if k else found.plus(-other)
    if not _along_results(other, found.product, is_known):
        return None
    return found.times(other if x.op.name == "mul" else 1.0 / other)


def weights_of(v: Value, is_known: Callable[[Value], bool] = known) -> tuple[int, int, int] | None:
    """(operand that holds weights, its axis of results, the axis of results of v), if v is a
    product or convolution of weights and examples."""
    if v.op.name == "matmul" and v.type.batched:
        w, x = v.args
        if len(w.shape) == 2 and is_known(w):
            return 0, 0, 0
        if len(x.shape) == 2 and is_known(x):
            return 1, 1, len(v.shape) - 1
    if v.op.name == "convolve" and v.type.batched and is_known(v.args[1]):
        return 1, 0, 0
    return None


def _along_results(s: Value, product: Value, is_known: Callable[[Value], bool]) -> bool:
    """Whether s is one number, or one for each result of the product."""
    found = weights_of(product, is_known)
    assert found is not None
    behind = len(product.shape) - len(s.shape)
    return behind >= 0 and all(n == 1 or k + behind == found[2] for k, n in enumerate(s.shape))


def folded(found: Scaled, is_known: Callable[[Value], bool] = known) -> Value:
    """The product with its scale inside the weights, plus the shift."""
    place = weights_of(found.product, is_known)
    assert place is not None and found.scale is not None
    slot, axis, _ = place
    args = list(found.product.args)
    w, s = args[slot], found.scale
    if s.type.size > 1:
        along = tuple(s.type.size if k == axis else 1 for k in range(len(w.shape)))
        s = apply("reshape", s, shape=along)
    elif s.shape:
        s = apply("reshape", s, shape=())
    args[slot] = s * w
    product = found.product
    new = Value(product.op, tuple(args), product.attrs, product.type, product.origin)
    return new if found.shift is None else new + found.shift


_x = leaf("input", "x", Type((3,), "f64", True))
_image = leaf("input", "image", Type((2, 5, 5), "f64", True))
_W = leaf("param", "W", Type((4, 3), "f64"))
_K = leaf("param", "K", Type((4, 2, 3, 3), "f64"))
_b, _g, _m = (leaf("param", n, Type((4,), "f64")) for n in ("b", "gamma", "mean"))
_v = leaf("state", "variance_positive", Type((4,), "f64"))


def _samples() -> list[Value]:
    z = _W @ _x + _b
    u = apply("convolve", _image, _K, padding=1)
    g, m, s = (apply("reshape", t, shape=(4, 1, 1)) for t in (_g, _m, _v))
    rows = leaf("input", "rows", Type((2, 3), "f64", True))
    return [
        _g * (z - _m) / apply("sqrt", _v + 1e-5) + _b,
        g * ((u - m) / apply("sqrt", s)),
        (rows @ apply("transpose", _W)) * _g - _b,
        2.0 * (_m - _W @ _x),
    ]


@law(
    "a normalisation goes into the weights before it",
    "add sub mul div neg",
    "s·(W x + b − μ) + β = (s⊙W) x + s·(b − μ) + β: known before any example is",
    _samples,
    stage="use",
)
def into_weights(v: Value, table: Table) -> Value | None:
    found = scaled_product(v)
    return None if found is None or found.scale is None else folded(found)


RULES = (into_weights,)
