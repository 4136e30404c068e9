"""Lowered graphs with scans, made at random: carried values, sequences of all kinds, nesting.

`Case(seed, …).graph(steps)` is the same net for any number of steps, so that a run of fewer steps
than a plan holds can be compared with a net that has no more.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import Array, apply, build, constant, operation
from chainrule.compiler.ops.scan import bound, slice_type
from chainrule.compiler.scans.build import Recurrence, part
from chainrule.compiler.types import Frame, Type
from chainrule.compiler.value import Value
from chainrule.runtime.plain import run_graph

SIZES = (1, 3, 5, 16, 19)
INNER = 3  # steps of a scan inside another


class Case:
    """A random net. `mixed`: its steps may reduce over the batch, or carry what all examples
    share."""

    def __init__(self, seed: int, dtype: str = "f64", *, mixed: bool = False) -> None:
        self.seed, self.dtype, self.mixed = seed, dtype, mixed

    def graph(self, steps: int) -> Graph:
        return _Maker(self, steps).graph()

    def given(self, steps: int, batch: int) -> dict[str, Array]:
        """Numbers for the leaves of the net of so many steps."""
        r = np.random.default_rng(self.seed)
        found: dict[str, Array] = {}
        for name, f in sorted(self.graph(steps).leaves.items()):
            t = f.value.type
            inner = t.shape if t.frame is None else (t.frame.steps, *t.shape)
            shape = (batch, *inner) if t.batched else inner
            found[name] = r.normal(size=shape).astype(t.numpy) * 0.7
        return found

    def expected(self, given: Mapping[str, Array], steps: int, batch: int) -> dict[str, Array]:
        """What the plain interpreter says of the first `steps` steps."""
        graph = self.graph(steps)
        cut: dict[str, Array | float] = {}
        for name, array in given.items():
            t = graph.leaves[name].value.type
            if t.frame is not None or (t.batched and name.startswith("axis")):
                cut[name] = array[:, :steps]
            else:
                cut[name] = array[:steps] if name.startswith("axis") else array
        return {name: a for (_, name), a in run_graph(graph, cut, batch=batch).items()}


class _Maker:
    def __init__(self, case: Case, steps: int) -> None:
        self.r, self.dtype, self.mixed = random.Random(case.seed), case.dtype, case.mixed
        self.frame = Frame("T", steps)
        self.leaves: dict[str, Value] = {}
        self.n = self.r.choice(SIZES)

    def graph(self) -> Graph:
        rows = self._leaf("input", "rows", Type((self.n,), self.dtype, True, frame=self.frame))
        flat = apply("tanh", self._product(rows))
        values: list[Value] = []
        for _ in range(self.r.randint(1, 2)):
            values += self._scan(flat, values)
        outputs = []
        for k, v in enumerate(dict.fromkeys(values)):
            if v.type.frame is None or self.r.random() < 0.2:  # what is an output is in no stack
                outputs.append(Output("output", f"o{k}", v))
            if v.type.frame is not None:
                twice = v * 2.0 + apply("sum", flat, axis=0, keep=True)
                outputs.append(Output("output", f"a{k}", apply("along_steps", twice)))
                outputs.append(Output("output", f"s{k}", apply("sum", v, over="batch")))
                grown = apply("einsum", flat, v, spec="bi,bj->ij")
                count = build(operation("batch_size"), (), {"dtype": self.dtype})
                outputs.append(Output("output", f"g{k}", grown / count))
        leaves = {name: Leaf(v, v.op.name) for name, v in self.leaves.items()}
        return Graph("scans", tuple(outputs), leaves)

    def _leaf(self, kind: str, name: str, type: Type) -> Value:
        if name not in self.leaves:
            self.leaves[name] = leaf(kind, name, type)
        return self.leaves[name]

    def _param(self, *shape: int) -> Value:
        return self._leaf("param", f"w{len(self.leaves)}", Type(shape, self.dtype))

    def _product(self, x: Value) -> Value:
        return apply("einsum", x, self._param(x.shape[0], self.n), spec="bi,ij->bj")

    # ------------------------------------------------------------ a scan

    def _scan(self, flat: Value, before: list[Value]) -> list[Value]:
        r, steps = self.r, self.frame.steps
        p = Recurrence(steps=steps, clock="T", framed=True, reverse=r.random() < 0.5)
        pool: list[Value] = []
        for k in range(r.randint(1, 3)):
            pool.append(self._carry(p, k))
        framed = [flat, *(v for v in before if v.type.frame is not None)]
        for _ in range(r.randint(1, 2)):
            pool.append(self._sequence(p, r.choice(framed)))
        if r.random() < 0.5:
            type = Type((steps, self.n), self.dtype, True)
            pool.append(self._sequence(p, self._leaf("input", f"axis{len(self.leaves)}", type)))
        if r.random() < 0.4:
            type = Type((steps, self.n), self.dtype)
            pool.append(self._sequence(p, self._leaf("param", f"axis{len(self.leaves)}", type)))
        if r.random() < 0.5:
            each = self._leaf("input", "each", Type((self.n,), self.dtype, True))
            pool.append(self._share(p, each * 0.5))
        for _ in range(r.randint(3, 8)):
            pool.append(self._step(p, pool))
        if r.random() < 0.5:
            pool.append(self._nested(p, pool))
        p.next = [self._fitting(pool, b, last=True) for b, _ in p.carries]
        choices = [v for v in pool if v.type.batched]
        p.yields = [r.choice(choices) for _ in range(r.randint(1, 3))]
        if r.random() < 0.7 and p.next[0].type.batched:
            p.yields.append(p.next[0])
        if r.random() < 0.5 and p.carries[0][0].type.batched:
            p.yields.append(p.carries[0][0])
        scan = p.value()
        count = len(p.next) + len(p.yields)
        return [part(scan, k) for k in range(count) if k >= len(p.next) or r.random() < 0.7]

    def _carry(self, p: Recurrence, k: int) -> Value:
        shared = self.mixed and self.r.random() < 0.4
        first: Value = constant(0.0, self.dtype, (self.n,))
        if self.r.random() < 0.5:
            first = self._param(self.n)
        if not shared:
            first = apply("broadcast", first, shape=(self.n,), batch=True)
            if self.r.random() < 0.3:
                first = self._leaf("input", "start", Type((self.n,), self.dtype, True))
        b = bound(f"h{k}", first.type)
        p.carries.append((b, first))
        return b

    def _sequence(self, p: Recurrence, x: Value) -> Value:
        b = bound("x", slice_type(x.type, self.frame.steps))
        p.sequences.append((b, x))
        return b

    def _share(self, p: Recurrence, x: Value) -> Value:
        b = bound("g", x.type)
        p.shared.append((b, x))
        return b

    def _step(self, p: Recurrence, pool: list[Value]) -> Value:
        r = self.r
        kind = r.choice(("tanh", "add", "add", "mul", "product", "product", "fold", "reduce"))
        x, y = r.choice(pool), r.choice(pool)
        if kind == "tanh":
            return apply("sigmoid", x - 0.3)
        if kind == "product" and x.type.batched:
            w = self._share(p, self._param(x.shape[0], self.n))
            return apply("tanh", apply("einsum", x, w, spec="bi,ij->bj") + y)
        if kind == "fold":
            return x - apply("max", x, axis=0, keep=True)
        if kind == "reduce" and self.mixed and x.type.batched:
            count = build(operation("batch_size"), (), {"dtype": self.dtype})
            mean = apply("sum", x, over="batch") / count
            return x - mean if r.random() < 0.6 else apply("tanh", mean)
        return apply("tanh", apply("mul" if kind == "mul" else "add", x, y))

    def _nested(self, p: Recurrence, pool: list[Value]) -> Value:
        """A scan in the step: over an axis of three equal parts, and over rows of its own."""
        r = self.r
        batched = [v for v in pool if v.type.batched]
        x, start = r.choice(batched), r.choice(batched)
        table = self._share(p, self._param(INNER, self.n))
        axis = apply("reshape", x, shape=(1, self.n)) * table
        q = Recurrence(steps=INNER, framed=True, reverse=r.random() < 0.5)
        a = bound("a", axis.type.with_(shape=(self.n,)))
        q.sequences, q.yields = [(a, axis)], [apply("sin", a)]
        rows = part(q.value(), 0)
        rows = apply("tanh", rows + rows * 0.5)
        s = Recurrence(steps=INNER, framed=True, reverse=r.random() < 0.5)
        c, row, axis_slice = bound("c", start.type), bound("r", a.type), bound("t", a.type)
        w = bound("w", Type((self.n, self.n), self.dtype))
        s.carries, s.sequences = [(c, start)], [(row, rows), (axis_slice, axis)]
        s.shared = [(w, self._share(p, self._param(self.n, self.n)))]
        product = apply("einsum", c, w, spec="bi,ij->bj")
        s.next = [apply("tanh", product + row * axis_slice)]
        s.yields = [c]
        made = s.value()
        total = apply("sum", apply("along_steps", part(made, 1)), axis=0)
        return apply("tanh", part(made, 0) + total)

    def _fitting(self, pool: list[Value], b: Value, last: bool) -> Value:
        same = [v for v in pool if v.type.batched == b.type.batched and v.shape == b.shape]
        return self.r.choice(same[-3:] if last else same)
