"""Products with one-hot vectors: a row of the matrix instead of a sum of zeros.

Rules run after differentiation, so each gradient has a rule of its own: by the matrix it is a sum
of rows at the places of the ones.
"""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..ops.views import transposed
from ..patterns import law
from ..rewrite import Table, first_samples
from ..types import Type
from ..value import Value

FEWEST = 8  # classes: with fewer, the product is as quick

_W = leaf("input", "W", Type((5, 9), "f64"))
_V = leaf("input", "V", Type((9, 5), "f64"))
_i = leaf("input", "i", Type((), "i32", True, classes=9))
_t = leaf("input", "t", Type((3,), "i32", True, classes=9))
_g = leaf("input", "g", Type((5,), "f64", True))
_G = leaf("input", "G", Type((3, 5), "f64", True))
_one = apply("one_hot", _i, classes=9, dtype="f64")
_many = apply("one_hot", _t, classes=9, dtype="f64")


def _ids(hot: Value) -> Value | None:
    """The ids of one-hot vectors of enough classes."""
    if hot.op.name == "cast":
        (hot,) = hot.args
    if hot.op.name != "one_hot" or hot.attrs["classes"] < FEWEST:
        return None
    (ids,) = hot.args
    shape = hot.shape[:-1]
    if ids.shape == shape:
        return ids
    if ids.op.name == "reshape" and ids.args[0].shape == shape:
        return ids.args[0]
    return apply("reshape", ids, shape=shape)


@law(
    "a product with a one-hot vector",
    "matmul",
    "W eᵢ is column i of W; eᵢᵀ W is row i",
    first_samples([_W @ _one, _many @ _V, _many @ transposed(_W)]),
)
def product(v: Value, table: Table) -> Value | None:
    x, y = v.args
    ranks = len(x.shape), len(y.shape)
    if ranks == (2, 1):
        ids = _ids(y)
        return None if ids is None else apply("gather", _columns(x), ids)
    if ranks != (2, 2):
        return None
    ids = _ids(x)
    return None if ids is None else apply("gather", y, ids)


@law(
    "a sum of products with one-hot vectors",
    "sum",
    "Σ δ eᵢᵀ has in column i the sum of the δ whose one is there",
    first_samples(
        [apply("sum", apply("outer", *xs), over="batch") for xs in ((_g, _one), (_one, _g))]
    ),
)
def outer(v: Value, table: Table) -> Value | None:
    (p,) = v.args
    if p.op.name != "outer" or not v.attrs["batch"] or v.attrs["axes"]:
        return None
    for hot, other, turned in ((p.args[0], p.args[1], False), (p.args[1], p.args[0], True)):
        ids = _ids(hot)
        if ids is not None:
            total = apply("scatter", ids, other, rows=hot.shape[0], batch=True)
            return apply("transpose", total) if turned else total
    return None


@law(
    "a product with columns of one-hot vectors",
    "matmul",
    "Eᵀ G, where the rows of E are one-hot, sums the rows of G whose one is in the same place",
    first_samples([transposed(_many) @ _G]),
)
def rows_summed(v: Value, table: Table) -> Value | None:
    x, y = v.args
    if x.op.name != "transpose" or x.attrs["perm"] != (1, 0) or len(y.shape) != 2:
        return None
    ids = _ids(x.args[0])
    return None if ids is None else apply("scatter", ids, y, rows=x.shape[0])


@law(
    "sums of rows over the batch",
    "sum",
    "the sum over the batch goes with the sum over the ids",
    first_samples([apply("sum", apply("scatter", _t, _G, rows=9), over="batch")]),
)
def over_batch(v: Value, table: Table) -> Value | None:
    (p,) = v.args
    if p.op.name != "scatter" or not v.attrs["batch"] or v.attrs["axes"]:
        return None
    return apply("scatter", *p.args, rows=p.attrs["rows"], batch=True)


def _columns(w: Value) -> Value:
    """The transpose, without turning a matrix twice."""
    if w.op.name == "transpose" and w.attrs["perm"] == (1, 0):
        return w.args[0]
    return apply("transpose", w)


RULES = (product, outer, rows_summed, over_batch)
