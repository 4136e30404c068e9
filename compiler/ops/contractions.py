"""Contractions: products summed over shared indices. Vectors are columns, as in a textbook."""

from __future__ import annotations

from typing import Any, ClassVar

from ..op import REQUIRED, Attrs, Contraction, apply
from ..types import ShapeError, Type
from ..value import Value
from .views import transposed

_LEADING = "cdefgh"  # letters of the axes before a matrix's rows and columns; `b` is the batch


def with_batch(spec: str, types: tuple[Type, ...]) -> str:
    """`spec` with a leading `b` for the batched operands and for the result if any is."""
    operands, result = spec.split("->")
    parts = [
        "b" * t.batched + letters for letters, t in zip(operands.split(","), types, strict=True)
    ]
    return f"{','.join(parts)}->{'b' * any(t.batched for t in types)}{result}"


class Matmul(Contraction):
    """The matrix product; a vector is a column: [u, n] @ [n] is [u], [u] @ [1, n] is [u, n]."""

    samples = (
        (((3, 5), (5,)), {}),
        (((3, 5), (5, 7)), {}),
        (((3,), (1, 5)), {}),
        (((1, 5), (5,)), {}),
        (((3,), (1,)), {}),
        (((1, 1), (1,)), {}),
        (((2, 3, 5), (5, 7)), {}),
        (((3, 5), (2, 5, 7)), {}),
        (((2, 3, 5), (2, 5, 7)), {}),
        (((2, 3, 5), (5,)), {}),
    )
    latex = "{x} {y}"
    infix = "@"

    def spec(self, types: tuple[Type, ...], attrs: Attrs) -> str:
        x, y = (t.shape for t in types)
        if not x or not y:
            raise ShapeError("`@` needs vectors or matrices, got a scalar", code="E320",
                             operand=0 if not x else 1, note=_shown(x, y),
                             help="write `*` to multiply by a number")  # fmt: skip
        inner_x = 1 if len(x) == 1 else x[-1]
        inner_y = y[0] if len(y) == 1 else y[-2]
        if inner_x != inner_y:
            raise ShapeError(f"`@` needs matching inner sizes, got {inner_x} and {inner_y}",
                             code="E301", note=_shown(x, y), help=_advice(x, y))  # fmt: skip
        return with_batch(_matmul_letters(x, y), types)

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        x, y = args
        ranks = len(x.shape), len(y.shape)
        if ranks == (2, 1):
            return apply("outer", g, y), transposed(x) @ g
        if ranks == (2, 2):
            return g @ transposed(y), transposed(x) @ g
        if ranks == (1, 2):  # an outer product: [n] @ [1, k]
            row = apply("reshape", y, shape=(y.shape[1],))
            return g @ row, transposed(x) @ g
        if ranks == (1, 1):  # a column times a single number: [n] @ [1]
            return g * y, transposed(x) @ g
        return product_gradients(self.spec((x.type, y.type), z.attrs), g, x, y)


def _matmul_letters(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    if len(x) == 1:
        return "i,j->i" if len(y) == 1 else "i,jk->ik" if len(y) == 2 else _no_product(x, y)
    lead_x, lead_y = x[:-2], y[:-2]
    if lead_x and lead_y and lead_x != lead_y:
        _no_product(x, y)
    lead = _LEADING[: max(len(lead_x), len(lead_y))]
    left = (lead if lead_x else "") + "ij"
    if len(y) == 1:
        return f"{left},j->{lead}i"
    right = (lead if lead_y else "") + "jk"
    return f"{left},{right}->{lead}ik"


def _no_product(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    raise ShapeError("`@` needs the axes before the last two to be the same, or absent on one side",
                     code="E320", note=_shown(x, y))  # fmt: skip


def _advice(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    """How the inner sizes of x @ y could be made to match."""
    if len(x) == len(y) == 1:
        return "write `x' @ y` for the inner product"
    if len(x) > 1 and x[-2] == (y[0] if len(y) == 1 else y[-2]):
        return "transpose the left side: `W' @ x`"
    if len(y) > 1 and y[-1] == (1 if len(x) == 1 else x[-1]):
        return "transpose the right side: `x @ W'`"
    inner_x, inner_y = (1 if len(x) == 1 else x[-1]), (y[0] if len(y) == 1 else y[-2])
    return f"make both of them {inner_y}, or both {inner_x}"


def _shown(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    return f"{list(x)} @ {list(y)}"


class Outer(Contraction):
    """Every product of an element of x and an element of y: x yᵀ of two vectors."""

    samples = (
        (((3,), (5,)), {}),
        (((1,), (7,)), {}),
    )
    latex = "{x} {y}^{{T}}"

    def spec(self, types: tuple[Type, ...], attrs: Attrs) -> str:
        for k, t in enumerate(types):
            if len(t.shape) != 1:
                raise ShapeError(f"`outer` needs two vectors, got {list(t.shape)}", code="E320",
                                 operand=k)  # fmt: skip
        return with_batch("i,j->ij", types)

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        x, y = args
        return g @ y, transposed(g) @ x


class Einsum(Contraction):
    """Products summed over the letters that are not in the result: `"ij,j->i"`, `b` the batch."""

    latex = r"\operatorname{{einsum}}_{{{spec}}}({x}, {y})"
    samples = (
        (((3, 5), (5,)), {"spec": "ij,j->i"}),
        (((3, 5), (7, 5)), {"spec": "ij,kj->ki"}),
        (((3, 5), (5, 3)), {"spec": "ij,ji->"}),
        (((3, 5), (2,)), {"spec": "ij,k->jk"}),
    )
    options: ClassVar[dict[str, Any]] = {"spec": REQUIRED}

    def spec(self, types: tuple[Type, ...], attrs: Attrs) -> str:
        spec: str = attrs["spec"].replace(" ", "")
        operands, arrow, result = spec.partition("->")
        parts = operands.split(",")
        letters = result + "".join(parts)
        if not arrow or len(parts) != 2 or (letters and not letters.isalpha()):
            raise ShapeError(f"`{spec}` is not a sum of products of two operands", code="E323",
                             help='write for example "ij,j->i"')  # fmt: skip
        for k, (part, t) in enumerate(zip(parts, types, strict=True)):
            _check_operand(spec, part, t, k)
        if set(result) - set("".join(parts)) or len(set(result)) < len(result):
            raise ShapeError(f"the result of `{spec}` must use each letter of the operands at most"
                             " once", code="E323")  # fmt: skip
        if "b" in result[1:]:
            raise ShapeError(f"`b` is the batch and comes first in `{spec}`", code="E323")
        return spec

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        args, _ = super().prepare(args, attrs)
        spec = str(attrs["spec"]).replace(" ", "")
        if "b" not in spec and any(a.type.batched for a in args):
            spec = with_batch(spec, tuple(a.type for a in args))
        return args, {"spec": spec}

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        return product_gradients(z.attrs["spec"], g, *args)


def _check_operand(spec: str, letters: str, t: Type, k: int) -> None:
    if letters.startswith("b") != t.batched:
        found = "is" if t.batched else "is not"
        raise ShapeError(f"operand {k + 1} of `{spec}` {found} per example: `b` is the batch",
                         code="E323", operand=k)  # fmt: skip
    named = letters[1:] if t.batched else letters
    if len(named) != len(t.shape) or "b" in named or len(set(named)) < len(named):
        raise ShapeError(f"`{letters}` in `{spec}` does not name the axes of {list(t.shape)}",
                         code="E323", operand=k,
                         help="one letter for each axis; `b` first if per example")  # fmt: skip


def product_gradients(spec: str, g: Value, x: Value, y: Value) -> tuple[Value, Value]:
    """∂/∂x and ∂/∂y of an einsum: the result's letters and the other operand's give them."""
    operands, result = spec.split("->")
    left, right = operands.split(",")
    if g.type.batched and not result.startswith("b"):
        result = "b" + result
    return (
        _product_gradient(result, g, right, y, left, x),
        _product_gradient(result, g, left, x, right, y),
    )


def _product_gradient(
    result: str, g: Value, other: str, value: Value, wanted: str, x: Value
) -> Value:
    """Letters that only x has were summed alone: the gradient is the same all along them."""
    known = set(result) | set(other)
    found = "".join(c for c in wanted if c in known)
    if "b" in known and "b" not in found:
        found = "b" + found  # one product per example; autodiff sums them
    product = apply("einsum", g, value, spec=f"{result},{other}->{found}")
    if product.shape == x.shape and product.type.batched >= x.type.batched:
        return product
    sizes = dict(zip(found.lstrip("b"), product.shape, strict=True))
    kept = tuple(sizes.get(c, 1) for c in wanted.lstrip("b"))
    if kept != product.shape:
        product = apply("reshape", product, shape=kept)
    return apply("broadcast", product, shape=x.shape, batch=x.type.batched)
