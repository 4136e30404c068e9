"""The equations of a net grouped into the boxes of a layer diagram, and equal boxes folded.

In: equations and a depth. Out: boxes, in order, with what each holds: values, parameters, work.
A box is one application of a block; applying a layer twice gives two boxes that share their
parameters. A block without parameters is one box, whatever it is made of.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..compiler.value import Value
from .equations import Equations, Step


@dataclass(eq=False)
class Box:
    """One application of a block (or one equation of the net's own)."""

    path: str  # of the instance; for an equation, that of the block around it and a dot, or ""
    block: str
    steps: list[Step] = field(default_factory=list)
    shared: bool = False  # another box, before this one, has the same parameters
    tails: list[str] = field(default_factory=list)  # functions that stand in the box of a layer
    composite: bool = False  # a closed block with layers inside
    repeats: list[Box] = field(default_factory=list)  # the same layer, applied once more
    inside: str = ""  # the instance whose other applications stand in `repeats`

    @property
    def applications(self) -> list[Box]:
        """Itself and the others that are drawn as it."""
        return [self, *self.repeats]

    @property
    def values(self) -> set[Value]:
        return {s.value for b in self.applications for s in b.steps}

    @property
    def params(self) -> list[Value]:
        found = (p for s in self.steps if s.kind != "gradient" for p in s.params)
        return list(dict.fromkeys(found))

    @property
    def inputs(self) -> list[Value]:
        """What comes from other boxes; running statistics are the box's own."""
        own = self.values
        taken = (v for b in self.applications for v in b.taken)
        return list(dict.fromkeys(v for v in taken if v not in own))

    @property
    def taken(self) -> list[Value]:
        """The operands of its own application."""
        return [v for s in self.steps for v in _taken(s) if v.op.name != "state"]

    @property
    def result(self) -> Value:
        return self.steps[-1].value

    @property
    def size(self) -> int:
        """Numbers learned."""
        return sum(p.type.size for p in self.params)

    @property
    def flops(self) -> int:
        """Floating-point operations for one example."""
        inside = dict.fromkeys(v for s in self.steps for v in s.inside)
        return sum(v.op.flops(v) for v in inside)

    @property
    def scans(self) -> list[Value]:
        """The scans whose results it gives."""
        return list(dict.fromkeys(v.args[0] for v in self.values_in_order if _is_part(v)))

    @property
    def values_in_order(self) -> list[Value]:
        return [s.value for s in self.steps]

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for boxes that do the same on the same shapes."""
        words = tuple(v.op.name for s in self.steps for v in s.inside)
        shapes = tuple(p.shape for p in self.params)
        return (self.block, words, shapes, self.result.shape, tuple(v.shape for v in self.inputs))


def _taken(s: Step) -> tuple[Value, ...]:
    """A gradient is drawn as coming from what it is the gradient of."""
    return s.inputs if s.of is None else (s.of,)


def boxes(equations: Equations, depth: int | None = None) -> list[Box]:
    """The boxes in order. `depth` counts levels of nesting; None opens every block that learns."""
    learned = _paths_with_params(equations)
    paths = {
        v: "" if step.kind == "gradient" else _shown_path(_instance(v), depth, learned)
        for v, step in equations.steps.items()
    }
    losses = {v for v, step in equations.steps.items() if step.kind == "loss"}
    for v in _between_losses(equations, paths, losses):
        paths[v] = ""
    outer = {p.rpartition(".")[0] for p in paths.values()}
    made: dict[tuple[str, int], Box] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    owners: set[Value] = set()
    for v, step in equations.steps.items():
        path = paths[v]
        if (not path or path in outer) and _is_part(v):  # the results of one scan in one box
            key = ("scan", id(v.args[0]))
            made.setdefault(key, Box(f"{path}.".lstrip("."), "")).steps.append(step)
            continue
        if not path or path in outer:  # an equation beside other boxes
            made["", len(made)] = Box(f"{path}.".lstrip("."), "", [step])
            continue
        site = (path, v.origin.instance, v.op.name, v.origin.span, step.params, v.shape)
        call = seen[site]
        seen[site] += 1
        made.setdefault((path, call), Box(path, "")).steps.append(step)
    found = list(made.values())
    for box in found:
        box.block = block_name(equations, box.path)
        box.composite = bool(box.path) and any(
            str(p.attrs["name"]).startswith(f"{box.path}.")
            and "." in str(p.attrs["name"])[len(box.path) + 1 :]
            for p in box.params
        )
        box.shared = bool(box.params) and all(p in owners for p in box.params)
        owners.update(box.params)
    return found


def _between_losses(
    equations: Equations, paths: Mapping[Value, str], losses: set[Value]
) -> list[Value]:
    """What stands in the block of one loss and is used by another: it belongs to neither."""
    homes = {paths[v] for v in losses} - {""} if len(losses) > 1 else set()
    users = equations.users()
    return [
        v
        for v, path in paths.items()
        if path in homes and v not in losses and any(paths[w] != path for w in users[v])
    ]


def _is_part(v: Value) -> bool:
    return v.op.family == "part"


def _instance(v: Value) -> str:
    """The block a value belongs to; a conversion of a result belongs to the result's."""
    return v.args[0].origin.instance if v.op.name == "cast" else v.origin.instance


def _paths_with_params(equations: Equations) -> set[str]:
    """Instances that have parameters somewhere inside."""
    found: set[str] = set()
    for v in equations.stand_in:
        if v.op.name != "param":
            continue
        path = str(v.attrs["name"]).rpartition(".")[0]
        while path:
            found.add(path)
            path = path.rpartition(".")[0]
    return found


def _shown_path(instance: str, depth: int | None, learned: set[str]) -> str:
    """The instance cut at the depth, and at the first block that learns nothing."""
    parts = instance.split(".") if instance else []
    if depth is not None:
        parts = parts[: max(depth, 0)]
    for k in range(1, len(parts) + 1):
        if ".".join(parts[:k]) not in learned:
            return ".".join(parts[:k])
    return ".".join(parts)


def block_name(equations: Equations, path: str) -> str:
    """The name of the block whose instance is at `path`, or the path's last word."""
    if not path or path.endswith("."):
        return ""
    if path in equations.blocks:
        return equations.blocks[path]
    return path.rsplit(".", 1)[-1].rstrip("0123456789").rstrip("_")


def packed(found: Sequence[Box], names: Mapping[int, str], kept: set[Value]) -> list[Box]:
    """The boxes with functions put into the box of the layer before them, where nothing else uses
    that: conv, batchnorm, relu. `names` are those of the functions, by box; `kept` are values that
    stay results."""
    users = Counter(v for b in found for v in b.inputs)
    made: dict[Value, Box] = {}
    result: list[Box] = []
    for b in found:
        layer = _layer_before(b, made) if id(b) in names else None
        whole = None
        if layer is not None and not any(users[v] > 1 or v in kept for v in b.inputs):
            whole = _joined(layer, b, names[id(b)])
        if layer is not None and whole is not None:
            result[result.index(layer)] = whole
        else:
            result.append(b)
        made.update(dict.fromkeys((whole or b).values, whole or b))
    return result


def _layer_before(b: Box, made: Mapping[Value, Box]) -> Box | None:
    """The layer whose results alone the box takes, in each of its applications."""
    sources = {id(made[v]) for v in b.inputs if v in made}
    if len(sources) != 1 or any(v not in made for v in b.inputs):
        return None
    layer = made[b.inputs[0]]
    fits = bool(layer.params) and not layer.composite and layer.inside == b.inside
    if not fits or len(layer.repeats) != len(b.repeats):
        return None
    pairs = zip(layer.applications, b.applications, strict=True)
    return layer if all(x.taken == [a.result] for a, x in pairs if x.steps) else None


def _joined(layer: Box, b: Box, name: str) -> Box:
    """The layer with a function in its box, in each application."""
    pairs = zip(layer.repeats, b.repeats, strict=True)
    again = [Box(a.path, a.block, [*a.steps, *x.steps], a.shared) for a, x in pairs]
    return Box(layer.path, layer.block, [*layer.steps, *b.steps], layer.shared,
               [*layer.tails, name], repeats=again, inside=layer.inside)  # fmt: skip


# ---------------------------------------------------------------- folding equal boxes


@dataclass(frozen=True)
class Fold:
    """`boxes` stand for themselves and `times` − 1 equal stretches that follow them."""

    boxes: tuple[Box, ...]
    times: int
    dropped: tuple[Box, ...]


def folds(found: Sequence[Box], least: int = 3, longest: int = 8) -> list[Fold]:
    """Stretches of a chain that repeat at least `least` times (closed blocks: twice), each box
    feeding only the next."""
    chain = _links(found)
    result = []
    k = 0
    while k < len(found):
        best = _best_fold(found, chain, k, longest)
        enough = 2 if found[k].composite else least
        if best is None or best.times < enough or _better_next(best, found, chain, k, longest):
            k += 1
            continue
        result.append(best)
        k += len(best.boxes) * best.times
    return result


def _better_next(best: Fold, found: Sequence[Box], chain: list[bool], k: int, longest: int) -> bool:
    """Whether a fold as long starts a little later, and with a layer: dense, relu reads better than
    relu, dense."""
    if best.boxes[0].params:
        return False
    for start in range(k + 1, min(k + len(best.boxes), len(found))):
        other = _best_fold(found, chain, start, longest)
        if found[start].params and other is not None and other.times >= best.times:
            return True
    return False


def _links(found: Sequence[Box]) -> list[bool]:
    """For each box: whether it takes what the box before it gives, and nobody else does."""
    makers = {v: b for b in found for v in b.values}
    users: dict[int, set[int]] = {id(b): set() for b in found}
    for b in found:
        for v in b.inputs:
            if v in makers:
                users[id(makers[v])].add(id(b))
    linked = [False]
    for before, b in itertools.pairwise(found):
        sources = {id(makers[v]) for v in b.inputs if v in makers}
        own = not b.shared and len(b.inputs) == len(sources)
        linked.append(own and sources == {id(before)} and users[id(before)] == {id(b)})
    return linked


def _best_fold(found: Sequence[Box], linked: list[bool], k: int, longest: int) -> Fold | None:
    best: Fold | None = None
    reach = k + 1
    while reach < len(found) and linked[reach]:
        reach += 1
    for period in range(1, min(longest, (reach - k) // 2) + 1):
        pattern = [b.signature for b in found[k : k + period]]
        times = 1
        while k + (times + 1) * period <= reach:
            start = k + times * period
            if [b.signature for b in found[start : start + period]] != pattern:
                break
            times += 1
        if times > 1 and (best is None or times * period > best.times * len(best.boxes)):
            end = k + times * period
            best = Fold(tuple(found[k : k + period]), times, tuple(found[k + period : end]))
    return best
