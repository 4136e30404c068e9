"""Products of matrices: outer products, and transpositions inside products."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..ops.views import transposed
from ..patterns import law
from ..rewrite import Table
from ..types import Type
from ..value import Value

_x = leaf("input", "x", Type((3,), "f64", True))
_y = leaf("input", "y", Type((5,), "f64", True))
_A = leaf("input", "A", Type((3, 4), "f64"))
_B = leaf("input", "B", Type((4, 5), "f64", True))


@law(
    "a column times a row",
    "matmul",
    "x yᵀ is the outer product",
    lambda: [_x @ transposed(_y)],
)
def outer_product(v: Value, table: Table) -> Value | None:
    x, row = v.args
    if len(x.shape) != 1 or row.op.name != "reshape" or len(row.args[0].shape) != 1:
        return None
    return apply("outer", x, row.args[0])


@law(
    "the transpose of a product",
    "transpose",
    "(A B)ᵀ = Bᵀ Aᵀ where A or B is itself a transpose; (x yᵀ)ᵀ = y xᵀ",
    lambda: [transposed(transposed(_B) @ transposed(_A)), transposed(apply("outer", _x, _y))],
)
def of_product(v: Value, table: Table) -> Value | None:
    (p,) = v.args
    if v.attrs["perm"] != (1, 0):
        return None
    if p.op.name == "outer":
        return apply("outer", *reversed(p.args))
    if p.op.name != "matmul" or [len(a.shape) for a in p.args] != [2, 2]:
        return None
    # Only if it takes transpositions away: both operands are transposes.
    if not all(a.op.name == "transpose" for a in p.args):
        return None
    return p.args[1].args[0] @ p.args[0].args[0]


RULES = (outer_product, of_product)
