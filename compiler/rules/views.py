"""Views: reshapes, transpositions and repetitions that are joined, moved outwards or left out."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply, build
from ..ops.reductions import kept_shape
from ..patterns import law
from ..rewrite import Table, elementwise_words, first_samples, fitted
from ..types import Type
from ..value import Value

_x = leaf("input", "x", Type((3, 5), "f64", True))
_y = leaf("input", "y", Type((5,), "f64"))


@law(
    "repetition moves outwards",
    " ".join(elementwise_words()),
    "an operation on repeated elements is the repeated operation",
    first_samples(
        [
            apply("broadcast", _y, shape=(3, 5), batch=True) * _x,
            apply("exp", apply("broadcast", _y, shape=(3, 5))),
        ]
    ),
)
def repetition(v: Value, table: Table) -> Value | None:
    if not any(a.op.name == "broadcast" for a in v.args):
        return None
    args = tuple(a.args[0] if a.op.name == "broadcast" else a for a in v.args)
    smaller = build(v.op, args, v.attrs)
    return fitted(smaller, v.type)


@law(
    "one view of another",
    "reshape transpose broadcast",
    "two views of the same kind are one; a view that changes nothing is left out",
    first_samples(
        [
            apply("reshape", apply("reshape", _x, shape=(15,)), shape=(5, 3)),
            apply("reshape", _x, shape=(3, 5)),
            apply("transpose", apply("transpose", _x)),
            apply("broadcast", apply("broadcast", _y, shape=(2, 5)), shape=(2, 5), batch=True),
            apply("broadcast", _y, shape=(5,)),
        ]
    ),
)
def joined(v: Value, table: Table) -> Value | None:
    (x,) = v.args
    if x.type == v.type and not _moves(v):
        return x
    if x.op is not v.op:
        return None
    (inner,) = x.args
    if v.op.name == "transpose":
        order = x.attrs["perm"]
        return apply("transpose", inner, perm=tuple(order[k] for k in v.attrs["perm"]))
    if v.op.name == "reshape":
        return apply("reshape", inner, shape=v.shape)
    return apply("broadcast", inner, shape=v.shape, batch=v.attrs["batch"] or x.attrs["batch"])


def _moves(v: Value) -> bool:
    return v.op.name == "transpose" and v.attrs["perm"] != tuple(range(len(v.shape)))


@law(
    "keeping the folded axes",
    "reshape",
    "a reduction that is given its axes of size 1 back keeps them",
    first_samples([apply("reshape", apply("sum", _x, axis=1), shape=(3, 1))]),
)
def kept(v: Value, table: Table) -> Value | None:
    (y,) = v.args
    if y.op.name not in ("sum", "max", "min") or y.attrs["keep"] or v.shape != kept_shape(y):
        return None
    return build(y.op, y.args, {**_user_options(y), "keep": True})


def _user_options(y: Value) -> dict[str, object]:
    over = (*y.attrs["axes"], "batch") if y.attrs["batch"] else y.attrs["axes"]
    return {"over": over}


@law(
    "reshaping what is repeated along the batch",
    "reshape",
    "the reshape is done once, before the repetition",
    first_samples([apply("reshape", apply("broadcast", _y, shape=(5,), batch=True), shape=(5, 1))]),
)
def repeated_reshape(v: Value, table: Table) -> Value | None:
    (r,) = v.args
    if r.op.name != "broadcast" or r.args[0].type.size != r.type.size:
        return None
    return fitted(apply("reshape", r.args[0], shape=v.shape), v.type)


RULES = (repetition, joined, kept, repeated_reshape)
