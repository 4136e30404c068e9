"""Lowering of sequences: step after step in memory, all examples of a step side by side.

In: a graph with scans. Out: the same mathematics in which a sequence [T, n] per example is a framed
value [n], one for each step and example, wherever every operation on it treats the steps alike;
what of a scan is not recurrent is done for all steps at once (`fission`). So the products of all
steps are one product, and Σₜ of a gradient is part of its sum over the batch. Where an operation
needs the steps as an axis (attention), `along_steps` makes one; a scan that only passes slices on
goes back.

The axis of the steps is always the first one of a readable value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..contract import contract
from ..graph import Graph, Leaf
from ..op import apply, build, constant, operation
from ..ops.scan import bound, frame_of, slice_type
from ..rewrite import is_elementwise
from ..types import Frame
from ..value import Value, origin
from .build import Recurrence, part, pieces
from .fission import Sources, fission


def framed(graph: Graph) -> Graph:
    """Every scan of the graph lowered; a graph without scans stays as it is."""
    if not any(v.op.family == "scan" for v in graph.nodes):
        return graph
    # Products with their transpositions and sums over the batch are told by letters, of which the
    # steps are one.
    return _Frames(contract(graph)).graph()


@dataclass
class _Made:
    """A lowered value in one form or both: `plain`, with the steps as an axis, and `rows`, framed.
    `frame` is that of a value that is framed by nature."""

    plain: Value | None = None
    rows: Value | None = None
    frame: Frame | None = None


class _Frames:
    """One walk over a graph."""

    def __init__(self, old: Graph) -> None:
        self.old = old
        self.made: dict[Value, _Made] = {}
        self.parts: dict[tuple[Value, int], _Made] = {}  # results of scans
        self.inputs = _framed_inputs(old)

    def graph(self) -> Graph:
        for v in self.old.nodes:
            with origin(v.origin):
                self.made[v] = self._lowered(v)
        outputs = []
        for o in self.old.outputs:
            if o.target is not None:
                self.made.setdefault(o.target, _Made(o.target))
            target = None if o.target is None else self.plain(o.target)
            outputs.append(replace(o, value=self.plain(o.value), target=target))
        leaves = {name: self._leaf(f) for name, f in self.old.leaves.items()}
        return replace(self.old, outputs=tuple(outputs), leaves=leaves)

    def _leaf(self, f: Leaf) -> Leaf:
        made = self.made.get(f.value)
        if made is None or made.frame is None or made.rows is None:
            return f
        return replace(f, value=made.rows)

    # ------------------------------------------------------------ the two forms of a value

    def plain(self, v: Value) -> Value:
        """v with the steps as its first axis."""
        made = self.made[v]
        if made.plain is None:
            assert made.rows is not None
            with origin(v.origin):
                made.plain = apply("along_steps", made.rows)
        return made.plain

    def rows(self, v: Value, frame: Frame) -> Value:
        """v framed."""
        made = self.made[v]
        if made.rows is None or made.rows.type.frame != frame:
            with origin(v.origin):
                rows = _rows(self.plain(v), frame)
            if made.frame is not None:
                return rows  # framed by another clock
            made.rows = rows
        return made.rows

    def frame_of(self, v: Value) -> Frame | None:
        return self.made[v].frame

    # ------------------------------------------------------------ one value

    def _lowered(self, v: Value) -> _Made:
        family = v.op.family
        if v in self.inputs:
            own = self.inputs[v]
            type = v.type.with_(shape=v.shape[1:], frame=own)
            leaf = Value(v.op, (), {**v.attrs, "type": type}, type, v.origin)
            return _Made(rows=leaf, frame=own)
        if family == "scan":
            self._scan(v)
            return _Made(constant(0.0))  # only its parts are read
        if family == "part":
            return self.parts[v.args[0], v.attrs["index"]]
        frames = {self.made[a].frame for a in v.args} - {None}
        if len(frames) == 1:
            (frame,) = frames
            assert frame is not None
            made = self._rowwise(v, frame)
            if made is not None:
                return made
        return _Made(v.on(tuple(self.plain(a) for a in v.args)))

    def _rowwise(self, v: Value, frame: Frame) -> _Made | None:
        """v computed for each step on its own, or from all steps together; None where neither."""
        family = v.op.family
        if v.op.name == "one_hot":
            args = (self.rows(v.args[0], frame),)  # its axis of one element stays where it is
            made = Value(v.op, args, v.attrs, v.op.type_of(args, v.attrs), v.origin)
            return _Made(rows=made, frame=frame)
        if is_elementwise(v.op):
            return self._elementwise(v, frame)
        if family == "reduction":
            return self._reduction(v, frame)
        if family == "contraction":
            return self._contraction(v, frame)
        if family == "lookup":
            return self._lookup(v, frame)
        if family in ("view", "assemble"):
            return self._moved(v, frame)
        return None

    def _same(self, v: Value, args: tuple[Value, ...], frame: Frame, **attrs: Any) -> _Made:
        """The same operation on the rows of its operands."""
        rows = tuple(self.rows(a, frame) for a in args)
        return _Made(rows=build(v.op, rows, {**v.attrs, **attrs}), frame=frame)

    def _elementwise(self, v: Value, frame: Frame) -> _Made | None:
        if v.shape[:1] != (frame.steps,):
            return None
        args = []
        for a in v.args:
            x = self._aligned(a, v, frame)
            if x is None:
                return None
            args.append(x)
        if not any(x.type.frame == frame for x in args):
            return None
        made = build(v.op, tuple(args), v.attrs)
        if made.shape != v.shape[1:]:
            made = build(operation("broadcast"), (made,), {"shape": v.shape[1:], "batch": False})
        return _Made(rows=made, frame=frame)

    def _aligned(self, a: Value, v: Value, frame: Frame) -> Value | None:
        """An operand of an elementwise operation, for each step."""
        rank = len(v.shape)
        if self.frame_of(a) == frame and len(a.shape) == rank:
            return self.rows(a, frame)
        if self.frame_of(a) is not None and self.frame_of(a) != frame:
            return None
        once = _repeated(a, rank)
        if once is not None:
            return self._on_plain(once)
        if len(a.shape) == rank and a.shape[0] == frame.steps:
            return self.rows(a, frame)
        # One for each example, the same at every step: repeated along them.
        whole = (frame.steps, *((1,) * (rank - 1 - len(a.shape)) + a.shape)[-(rank - 1) :])
        if rank == 1:
            whole = (frame.steps,)
        return _rows(apply("broadcast", self.plain(a), shape=whole), frame)

    def _on_plain(self, once: Value) -> Value:
        """A value of the old graph's making, on new operands."""
        if once in self.made:
            return self.plain(once)
        return once.with_args(tuple(self._on_plain(x) for x in once.args))

    def _reduction(self, v: Value, frame: Frame) -> _Made | None:
        (x,) = v.args
        axes: tuple[int, ...] = v.attrs["axes"]
        batch = bool(v.attrs["batch"])
        rest = tuple(k - 1 for k in axes if k > 0)
        rows = self.rows(x, frame)
        if 0 not in axes:
            if batch:
                return None
            made = apply(v.op.name, rows, axis=rest, keep=v.attrs["keep"])
            return _Made(rows=made, frame=frame)
        if v.op.name not in ("sum", "max", "min"):
            return None
        if batch:
            total = apply(v.op.name, rows, over=("batch", *rest))
        else:
            inner = apply(v.op.name, rows, axis=rest) if rest else rows
            total = _over_steps(inner, v.op.name, frame)
        if total.shape != v.shape:
            total = apply("reshape", total, shape=v.shape)
        return _Made(total)

    def _contraction(self, v: Value, frame: Frame) -> _Made | None:
        spec: str = v.op.spec(tuple(a.type for a in v.args), v.attrs)  # type: ignore[attr-defined]
        operands, result = spec.split("->")
        letters = operands.split(",")
        inside = [self.frame_of(a) == frame for a in v.args]
        firsts = {w.lstrip("b")[:1] for w, is_in in zip(letters, inside, strict=True) if is_in}
        if len(firsts) != 1:
            return None
        (step,) = firsts
        for a, word, is_in in zip(v.args, letters, inside, strict=True):
            if not is_in and (a.type.batched or step in word):
                return None
        args = tuple(
            self.rows(a, frame) if is_in else self.plain(a)
            for a, is_in in zip(v.args, inside, strict=True)
        )
        without = [word.replace(step, "") for word in letters]
        own = result.lstrip("b")
        if step not in own:
            if not all(inside) or result.startswith("b"):
                return None
            made = apply("einsum", *args, spec=f"{without[0]},{without[1]}->{own}")
            return _Made(made)
        new = "b" + own.replace(step, "")
        made = apply("einsum", *args, spec=f"{without[0]},{without[1]}->{new}")
        if own[0] == step:
            return _Made(rows=made, frame=frame)
        # The steps are not the first axis of the result.
        along = apply("along_steps", made)
        order = [step, *own.replace(step, "")]
        return _Made(apply("transpose", along, perm=tuple(order.index(c) for c in own)))

    def _lookup(self, v: Value, frame: Frame) -> _Made | None:
        x, y = v.args
        if v.op.name == "gather":
            if x.type.batched or self.frame_of(y) != frame:
                return None
            args = (self.plain(x), self.rows(y, frame))
            return _Made(rows=build(v.op, args, v.attrs), frame=frame)
        steps = (frame.steps,)
        if not v.attrs["batch"] or x.shape[:1] != steps or y.shape[:1] != steps:
            return None
        return _Made(build(v.op, (self.rows(x, frame), self.rows(y, frame)), v.attrs))

    def _moved(self, v: Value, frame: Frame) -> _Made | None:
        """Views and joins that leave the steps where they are."""
        name, attrs, first = v.op.name, v.attrs, v.args[0]
        if v.shape[:1] != (frame.steps,) or first.shape[:1] != (frame.steps,):
            return None
        if name == "reshape":
            return self._same(v, v.args, frame, shape=v.shape[1:])
        if name == "transpose" and attrs["perm"][0] == 0:
            return self._same(v, v.args, frame, perm=tuple(k - 1 for k in attrs["perm"][1:]))
        if name == "slice" and attrs["size"][0] == frame.steps:
            return self._same(v, v.args, frame, start=attrs["start"][1:], size=attrs["size"][1:])
        if name == "broadcast" and len(first.shape) == len(v.shape):
            return self._same(v, v.args, frame, shape=v.shape[1:], batch=False)
        if name == "concat" and attrs["axis"] > 0:
            return self._same(v, v.args, frame, axis=attrs["axis"] - 1)
        if name == "pad" and attrs["shape"][0] == frame.steps:
            return self._same(v, v.args, frame, start=attrs["start"][1:], shape=attrs["shape"][1:])
        return None

    # ------------------------------------------------------------ scans

    def _scan(self, v: Value) -> None:
        old = pieces(v)
        frame = frame_of(v)
        p = replace(
            old,
            carries=[(b, self.plain(a)) for b, a in old.carries],
            shared=[(b, self.plain(a)) for b, a in old.shared],
        )

        def rows(k: int) -> Value:
            return self.rows(old.sequences[k][1], frame)

        def direct(k: int) -> Value:
            a = old.sequences[k][1]
            return self.rows(a, frame) if self.frame_of(a) == frame else self.plain(a)

        found = fission(p, Sources(rows, direct), framed)
        n, m = len(old.next), len(old.next) + len(old.yields)
        for k, x in enumerate(found.last):
            self.parts[v, k] = _Made(x)
        for k, x in enumerate(found.yields):
            self.parts[v, n + k] = _Made(rows=x, frame=frame)
        for k, x in enumerate(found.sums):
            self.parts[v, m + k] = _Made(x)


# ---------------------------------------------------------------- borders


def _rows(plain: Value, frame: Frame) -> Value:
    """A value with an axis of steps, framed: a scan that passes its slices on."""
    p = Recurrence(steps=frame.steps, clock=frame.clock, framed=True)
    b = bound(plain.origin.name or "value", slice_type(plain.type, frame.steps), plain.origin)
    p.sequences = [(b, plain)]
    p.yields = [b if b.type.batched else apply("broadcast", b, shape=b.shape, batch=True)]
    return part(p.value(), 0, plain.origin.name)


_FOLDS = {"sum": "add", "max": "maximum", "min": "minimum"}
_FIRST = {"sum": 0.0, "max": float("-inf"), "min": float("inf")}


def _over_steps(rows: Value, kind: str, frame: Frame) -> Value:
    """The sum (or extremum) of a framed value over the steps, per example."""
    p = Recurrence(steps=frame.steps, clock=frame.clock, framed=True)
    x = bound("x", rows.type.with_(frame=None))
    first = constant(_FIRST[kind], x.type.dtype)
    start = build(operation("broadcast"), (first,), {"shape": x.shape, "batch": True})
    total = bound("total", start.type)
    p.carries, p.sequences = [(total, start)], [(x, rows)]
    p.next = [apply(_FOLDS[kind], total, x)]
    return part(p.value(), 0)


def _repeated(a: Value, rank: int) -> Value | None:
    """An operand that is the same at every step and for all examples, without an axis for the
    steps; built of old values."""
    if a.op.name == "broadcast" and len(a.shape) == rank and not a.args[0].type.batched:
        (x,) = a.args
        if len(x.shape) == rank and x.shape[0] == 1:
            x = apply("reshape", x, shape=x.shape[1:])
        if len(x.shape) < rank:
            return x if x.shape == a.shape[1:] or not x.shape else build(
                operation("broadcast"), (x,), {"shape": a.shape[1:], "batch": False}
            )  # fmt: skip
    if a.type.batched:
        return None
    if len(a.shape) < rank:
        return a
    return apply("reshape", a, shape=a.shape[1:]) if a.shape[0] == 1 else None


# ---------------------------------------------------------------- inputs


def _framed_inputs(graph: Graph) -> dict[Value, Frame]:
    """The inputs that lie step after step: what scans walk along, and others of their clocks."""
    found: dict[Value, set[Frame]] = {}
    clocks: dict[str, Frame] = {}
    for v in graph.nodes:
        if v.op.family != "scan":
            continue
        frame = frame_of(v)
        if frame.clock:
            clocks[frame.clock] = frame
        for _, a in pieces(v).sequences:
            for leaf in _leaves_behind(a, frame.steps):
                found.setdefault(leaf, set()).add(frame)
    for v in graph.nodes:
        frame_ = clocks.get(str(v.attrs.get("clock", ""))) if v.op.name == "input" else None
        if frame_ is not None and v.shape[:1] == (frame_.steps,):
            found.setdefault(v, set()).add(frame_)
    return {leaf: next(iter(frames)) for leaf, frames in found.items() if len(frames) == 1}


def _leaves_behind(a: Value, steps: int) -> list[Value]:
    """The inputs with that many steps that a sequence is computed from, step by step."""
    leaves, waiting, seen = [], [a], {a}
    while waiting:
        v = waiting.pop()
        if v.op.name == "input" and v.type.batched and v.shape[:1] == (steps,):
            leaves.append(v)
        walks = is_elementwise(v.op) or v.op.family in ("lookup", "contraction")
        walks = walks or (v.op.name == "reshape" and v.args[0].shape[:1] == v.shape[:1])
        for x in v.args if walks else ():
            if x not in seen and x.shape[:1] == (steps,):
                seen.add(x)
                waiting.append(x)
    return leaves
