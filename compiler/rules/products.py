"""Products of matrices: outer products, and transpositions inside products."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..ops.views import transposed
from ..patterns import filled, law, number
from ..rewrite import Table, fitted
from ..types import Type
from ..value import Value

_x = leaf("input", "x", Type((3,), "f64", True))
_y = leaf("input", "y", Type((5,), "f64", True))
_once = Type((5,), "f64")
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
    "(A B)ᵀ = Bᵀ Aᵀ where A or B is itself a transpose; (x yᵀ)ᵀ = y xᵀ, summed or not",
    lambda: [
        transposed(transposed(_B) @ transposed(_A)),
        transposed(apply("outer", _x, _y)),
        transposed(apply("sum", apply("outer", _x, _y), over="batch")),
    ],
)
def of_product(v: Value, table: Table) -> Value | None:
    (p,) = v.args
    if v.attrs["perm"] != (1, 0):
        return None
    if p.op.name == "outer":
        return apply("outer", *reversed(p.args))
    if p.op.name == "sum" and p.attrs["axes"] == () and p.args[0].op.name == "outer":
        return apply("sum", apply("outer", *reversed(p.args[0].args)), over="batch")
    if p.op.name != "matmul" or [len(a.shape) for a in p.args] != [2, 2]:
        return None
    # Only if it takes transpositions away: both operands are transposes.
    if not all(a.op.name == "transpose" for a in p.args):
        return None
    return p.args[1].args[0] @ p.args[0].args[0]


@law(
    "a matrix times equal numbers",
    "matmul",
    "W (n, …, n)ᵀ is n times the sum of each row of W",
    lambda: [
        _A @ filled(2.0, Type((4,), "f64")),
        _A @ filled(1.0, Type((4,), "f64", True)),
        _B @ filled(-1.0, Type((5,), "f64")),
    ],
)
def sums_of_rows(v: Value, table: Table) -> Value | None:
    matrix, column = v.args
    n = number(column)
    if n is None or len(matrix.shape) != 2 or len(column.shape) != 1:
        return None
    return fitted(n * apply("sum", matrix, axis=1), v.type)


@law(
    "an outer product with equal numbers",
    "outer",
    "x (n, …, n) is n·x in every column",
    lambda: [
        apply("outer", _x, filled(2.0, Type((1,), "f64", True))),
        apply("outer", _x, filled(1.0, Type((4,), "f64"))),
        apply("outer", filled(3.0, Type((4,), "f64", True)), _y),
        apply("outer", filled(3.0, Type((4,), "f64", True)), leaf("input", "w", _once)),
    ],
)
def repeated(v: Value, table: Table) -> Value | None:
    x, y = v.args
    for column, other, shape in ((x, y, (-1, 1)), (y, x, (1, -1))):
        n = number(other)
        if n is not None:
            return fitted(apply("reshape", n * column, shape=shape), v.type)
    return None


RULES = (outer_product, of_product, sums_of_rows, repeated)
