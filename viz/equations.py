"""A forward graph as the equations a textbook would write: few named steps, each of several
operations.

In: a forward graph before simplification. Out: `Equations`: the values that deserve a name (the
anchors: leaves, results of blocks, the user's own names), each with the values its equation
uses and its body cut free from the rest. Names themselves are chosen in `names`, the text in
`formula`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from ..compiler.graph import Graph, Output, topological
from ..compiler.graph import leaf as make_leaf
from ..compiler.value import Value
from .draws import drawn, inside_draws
from .seen import bare, from_library
from .wholes import Inner, inner, is_part_of_whole

LEAVES = ("input", "param", "state", "scalar")
NUMBERS = ("normal", "uniform")  # draws that stand for themselves
PRODUCTS = ("matmul", "convolve", "convolve_transposed")


@dataclass(frozen=True)
class Step:
    """One equation: `value` from `operands`, which are anchors too."""

    value: Value
    operands: tuple[Value, ...]
    kind: str  # affine, elementwise, loss, function, draw, gradient
    inside: tuple[Value, ...] = ()  # every value the equation computes, itself included
    of: Value | None = None  # of a gradient that the net itself computes: the last value it needs

    @cached_property
    def params(self) -> tuple[Value, ...]:
        return tuple(v for v in self.operands if v.op.name == "param")

    @property
    def inputs(self) -> tuple[Value, ...]:
        return tuple(v for v in self.operands if v.op.name != "param")

    @property
    def block(self) -> str:
        return self.value.origin.block


@dataclass(frozen=True)
class Equations:
    """Steps in order. `stand_in` gives each anchor a leaf that stands for it in cut bodies."""

    graph: Graph
    steps: dict[Value, Step]
    stand_in: dict[Value, Value] = field(repr=False)
    _bodies: dict[Value, dict[Value, Value]] = field(default_factory=dict, repr=False)

    def body(self, v: Value, through: Iterable[Value] = ()) -> dict[Value, Value]:
        """The equation of `v` over stand-ins, as what each value below it became.

        Anchors in `through` keep their own equation inside; all others are cut.
        """
        whole = {v, *through}
        if len(whole) > 1:
            return rebuilt(v, lambda a: None if a in whole else self.stand_in.get(a))
        if v not in self._bodies:
            self._bodies[v] = rebuilt(v, lambda a: None if a is v else self.stand_in.get(a))
        return self._bodies[v]

    @cached_property
    def inner(self) -> dict[Value, Inner]:
        """What stands inside the steps that are whole blocks."""
        found = {v: inner(v, step.inside) for v, step in self.steps.items()}
        return {v: i for v, i in found.items() if i is not None}

    @cached_property
    def blocks(self) -> dict[str, str]:
        """The block of each instance."""
        found: dict[str, str] = {}
        for v, step in self.steps.items():
            for x in (*step.inside, *step.params):
                if x.origin.block:
                    found.setdefault(x.origin.instance, x.origin.block)
            if v.op.name == "one_hot":
                found.setdefault(v.origin.instance, v.origin.block)
        return found

    @cached_property
    def labels(self) -> list[Value]:
        """Labels as one-hot vectors."""
        return [v for v in self.steps if v.op.name == "one_hot"]

    @cached_property
    def learning(self) -> set[str]:
        """Instances that have parameters of their own."""
        return {v.origin.instance for v in self.stand_in if v.op.name == "param"}

    def users(self) -> dict[Value, list[Value]]:
        """The steps that use each anchor."""
        users: dict[Value, list[Value]] = {v: [] for v in self.stand_in}
        for v, step in self.steps.items():
            for a in step.operands:
                users[a].append(v)
        return users


def equations(
    graph: Graph, roots: Iterable[Output] | None = None, *, exact: bool = False
) -> Equations:
    """The steps that lead to the roots (all outputs unless told otherwise); see `merged`."""
    graph = merged(graph, exact=exact)
    chosen = graph.outputs if roots is None else tuple(
        o for o in graph.outputs if any(o.kind == r.kind and o.name == r.name for r in roots)
    )  # fmt: skip
    ends = {o.value for o in chosen}
    order = topological(o.value for o in chosen)
    anchors = _anchors(order, ends)
    losses = {o.value for o in chosen if o.kind == "loss"}
    steps = {}
    for v in order:
        if v in anchors and v.op.family != "leaf" and v.op.name not in NUMBERS:
            steps[v] = _step(v, anchors, v in losses, order)
    # In the order of use, so that names are numbered as a reader meets them.
    met = [a for step in steps.values() for a in (*step.operands, step.value)]
    stand_in = {v: _stand_in(v, k) for k, v in enumerate(dict.fromkeys(met))}
    return Equations(graph, steps, stand_in)


def _leaf_order(v: Value) -> tuple[int, str]:
    """Data first, then parameters: matrices before vectors."""
    return (1 - len(v.shape), str(v.attrs["name"])) if v.op.name == "param" else (-9, "")


def merged(graph: Graph, *, exact: bool = False) -> Graph:
    """Equal values (same operation, same operands) become one; the first one's origin stays.

    Unless `exact`, the shift inside the library's softmax is left out, and the floor under the sum
    of a masked one: they keep numbers finite, and change nothing else.
    """
    seen: dict[tuple[object, ...], Value] = {}

    def once(v: Value) -> Value:
        if not exact and (_is_shift(v) or _is_floor(v)):
            return v.args[0]
        kept = seen.setdefault(v.key(), v)
        if v.origin.name and not kept.origin.name:
            seen[v.key()] = v
        return kept

    return graph.rewrite(once)


def _is_shift(v: Value) -> bool:
    """x − stop_gradient(max x) of the library's softmax and log_softmax."""
    if v.op.name != "sub" or v.args[1].op.name != "stop_gradient" or not from_library(v):
        return False
    return v.origin.block in ("softmax", "log_softmax")


def _is_floor(v: Value) -> bool:
    """max(Σ e, 1e-30) of the library's softmax with a mask."""
    if v.op.name != "maximum" or not from_library(v) or v.origin.block != "softmax":
        return False
    return v.args[0].op.name == "sum" and bare(v.args[1]).is_constant


def rebuilt(v: Value, exchange: Callable[[Value], Value | None]) -> dict[Value, Value]:
    """`v` with values exchanged, where `exchange` gives one: what each on the way became."""
    done: dict[Value, Value] = {}
    stack = [v]
    while stack:
        x = stack[-1]
        if x in done:
            stack.pop()
            continue
        new = exchange(x)
        if new is not None:
            done[x] = new
            continue
        missing = [a for a in x.args if a not in done]
        if missing:
            stack += missing
            continue
        args = tuple(done[a] for a in x.args)
        same = all(a is b for a, b in zip(args, x.args, strict=True))
        done[x] = x if same else x.with_args(args)
        stack.pop()
    return done


def _stand_in(v: Value, number: int) -> Value:
    kind = "input" if v.type.batched else "param"
    return make_leaf(kind, f"v{number}", v.type, v.origin.span)


def _anchors(order: tuple[Value, ...], ends: set[Value]) -> set[Value]:
    """Leaves, results of blocks, labels as one-hot, and names the reader knows."""
    with_params = {v.origin.instance for v in order if any(a.op.name == "param" for a in v.args)}
    # What a bias is added to has no name in a textbook: Z = W ∗ X + b.
    inner = {a for v in order if v.op.name == "add" and _is_affine(v) for a in v.args}
    anchors = {v for v in order if v.op.name in LEAVES}
    within = inside_draws(order)
    anchors.update(v for v in order if drawn(v) and v not in within)
    anchors.update(v for v in order if is_bar(v))
    for v in order:
        named = _is_named(v, with_params) and not (v in inner and from_library(v))
        told = v.op.name == "one_hot" or v.op.family == "part" or is_sum_of_squares(v)
        if (v in ends or told or named) and v not in within:
            anchors.add(v)
        anchors.update(_around_layer(v))
        for a in v.args:
            if (
                a.op.family != "leaf"
                and _leaves_block(a, v)
                and not (v in ends and v.op.name == "cast")
            ):
                anchors.add(a)
    slopes = _slopes(order, ends)
    inner_slopes = {v for v in order if v.origin.role == "backward" and v not in slopes}
    anchors = (anchors | slopes) - inner_slopes - (_counts(order) - ends)
    return {v for v in anchors if v.op.family != "leaf" or v.op.name in LEAVES}


def _counts(order: Iterable[Value]) -> set[Value]:
    """What is made of numbers and of how many examples there are: it belongs to every user."""
    found: set[Value] = set()
    for v in order:
        made = bool(v.args) and all(a in found for a in v.args)
        if made or v.op.name in ("constant", "batch_size"):
            found.add(v)
    return found


def _slopes(order: Iterable[Value], ends: set[Value]) -> set[Value]:
    """What `grad(y, x)` gives to the net itself; what it computes on its way has no name."""
    found = {v for v in ends if v.origin.role == "backward"}
    for v in order:
        if v.origin.role == "forward":
            found.update(a for a in v.args if a.origin.role == "backward" and _computes(a))
    return found


def _computes(v: Value) -> bool:
    """Not a number repeated."""
    return bool(v.args) and not bare(v).is_constant


def _around_layer(v: Value) -> list[Value]:
    """What enters a product with a parameter, and what comes out, though nobody named it."""
    if v.op.name in PRODUCTS and _is_affine(v):
        return [a for a in v.args if a.type.batched]
    if from_library(v):  # relu(x + y): a sum of the user's stands by itself
        sums = [a for a in v.args if a.op.name == "add" and a.type.batched and a.shape]
        found = [a for a in sums if not from_library(a) and all(x.type.batched for x in a.args)]
        if found:
            return found
    through = ("add", "sigmoid", "tanh", "maximum")
    added = v.op.name == "add" and _is_affine(v)
    if v.op.name in ("sigmoid", "tanh") and len(v.shape) == 3 and _is_affine(v.args[0]):
        return [v.args[0], v]  # pooling behind it is another step
    if v.op.name in through and not added:
        return [a for a in v.args if a.op.family != "leaf" and _is_affine(a)]
    return []


def is_bar(v: Value) -> bool:
    """A `stop_gradient` that the user wrote: no gradient goes past it."""
    return v.op.name == "stop_gradient" and not from_library(v) and v.type.batched


def is_sum_of_squares(v: Value) -> bool:
    """S = k + α Σ x² of local response normalisation, whose power divides x."""
    return v.op.name == "add" and v.origin.block == "lrn" and from_library(v)


def _is_named(v: Value, with_params: set[str]) -> bool:
    o = v.origin
    if not o.name or o.role != "forward" or v.op.family == "leaf" or is_part_of_whole(v):
        return False
    inner = o.instance != "" and from_library(v) and o.instance not in with_params
    return not inner and _is_interesting(v)


def _is_interesting(v: Value) -> bool:
    return v.op.name not in ("stop_gradient", "cast", "broadcast")


def _leaves_block(a: Value, user: Value) -> bool:
    """Whether `a` is a result of a block that `user` does not belong to."""
    if not a.origin.instance or not _is_interesting(a):
        return False
    return user.origin.instance != a.origin.instance and not user.origin.instance.startswith(
        a.origin.instance + "."
    )


def _step(v: Value, anchors: set[Value], is_loss: bool, order: tuple[Value, ...]) -> Step:
    operands: dict[Value, None] = {}
    inside: list[Value] = []
    seen = {v}
    stack = [v]
    while stack:
        x = stack.pop()
        inside.append(x)
        for a in reversed(x.args):
            if a in anchors:
                operands.setdefault(a)
            elif a not in seen:
                seen.add(a)
                stack.append(a)
    found = tuple(sorted(operands, key=_leaf_order))
    if v.origin.role == "backward":
        of = next((a for a in reversed(order) if a in operands and a.type.batched), None)
        return Step(v, found, "gradient", tuple(reversed(inside)), of)
    return Step(v, found, _kind(v, found, inside, is_loss), tuple(reversed(inside)))


def _kind(v: Value, operands: tuple[Value, ...], inside: list[Value], is_loss: bool) -> str:
    if is_loss:
        return "loss"
    if drawn(v):
        return "draw"
    if _is_affine(v):
        return "affine"
    data = [a for a in operands if a.op.name != "param"]
    plain = all(x.op.family in ("elementwise", "leaf") for x in inside)
    if plain and len(operands) == len(data) == 1 and data[0].shape == v.shape:
        return "elementwise"
    return "function"


def _is_affine(v: Value) -> bool:
    """W x + b, W x, x Wᵀ, W ∗ X + b or W x + U h + b: products with parameters, and perhaps one
    added."""
    if v.op.name == "add":
        parts = [a for a in v.args if bare(a).op.name != "param"]
        return bool(parts) and all(map(_is_affine, parts))
    if v.op.name not in PRODUCTS:
        return False
    kernel = v.args[0 if v.op.name == "matmul" else 1]
    if kernel.op.name in ("transpose", "reshape"):
        kernel = kernel.args[0]
    return kernel.op.name == "param"
