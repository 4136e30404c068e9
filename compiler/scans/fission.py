"""A scan taken apart: what needs the step before it, and what can be done for all steps at once.

In: a scan of the readable graph, and its operands after lowering. Out: a smaller scan of only what
is recurrent, and for the rest framed values, which one kernel computes for all steps and examples:

* before the scan: products that depend on the sequence alone (Wₓ·xₜ of all steps is one product);
* after it: products that nothing carried depends on. Σₜ of gradients by weights is one product,
  whose sum runs over steps and examples;
* outside: what is the same at every step (a weight turned round, the keys of an attention).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..graph import Graph, topological
from ..op import apply, build, constant, operation
from ..ops.scan import Body, bound
from ..value import Value, origin
from .build import Recurrence, body_graph, depends, part
from .split import split

FLAT = frozenset(
    ("elementwise", "view", "reduction", "contraction", "assemble", "lookup", "convolution")
)
_LINEAR = frozenset(
    ("neg", "concat", "pad", "reshape", "transpose", "slice", "cast", "broadcast", "sum")
)


@dataclass(frozen=True)
class Sources:
    """The operands of a scan: `rows(k)` is sequence k framed, `direct(k)` as it lies."""

    rows: Callable[[int], Value]
    direct: Callable[[int], Value]


@dataclass(frozen=True)
class Results:
    """Of each result of the old scan the new value: last carried values, framed yields, sums."""

    last: list[Value]
    yields: list[Value]
    sums: list[Value]


def fission(p: Recurrence, sources: Sources, lower: Callable[[Graph], Graph]) -> Results:
    """`p` has new operands for inits and shared values. `lower` is for scans inside the body."""
    body = Body((), (*p.next, *p.yields, *p.sums))
    found = [o.value for o in split(body_graph(body)).outputs]
    n, m = len(p.next), len(p.next) + len(p.yields)
    p = replace(p, next=found[:n], yields=found[n:m], sums=found[m:])
    return _Fission(p, sources, lower).results()


class _Fission:
    def __init__(self, p: Recurrence, sources: Sources, lower: Callable[[Graph], Graph]) -> None:
        self.p, self.sources, self.lower = p, sources, lower
        self.carried = {b: k for k, (b, _) in enumerate(p.carries)}
        self.slices = {b: k for k, (b, _) in enumerate(p.sequences)}
        self.shared = dict(p.shared)
        given = {*self.carried, *self.slices, *self.shared}
        results = [*p.next, *p.yields, *p.sums]
        self.order = [v for v in topological(results) if v not in given]
        self.order_set = set(self.order)
        self.changing = depends(self.order, {*self.carried, *self.slices})
        self.recurrent = depends(self.order, set(self.carried))
        self.feeding = set(topological(p.next))
        self.free: dict[Value, bool] = {}  # can be computed for all steps at once
        self.before = self._before()
        self.after = self._after()
        self.stacks: dict[Value, int] = {}  # values of the body that the new scan yields
        self._flat: dict[Value, Value] = {}
        self._outer: dict[Value, Value] = dict(self.shared)
        self.scan: Value | None = None

    # ------------------------------------------------------------ what goes where

    def _is_free(self, v: Value, stacked: bool) -> bool:
        """All operands can be had for all steps. `stacked`: also what the scan itself makes."""
        if v in self.slices:
            return True
        if v in self.carried:
            return stacked
        if v in self.shared:
            return not v.type.batched
        if v not in self.changing:
            return not v.type.batched or _is_number(v)
        if self.free.get(v, False):
            return True
        return stacked and v.type.batched and v.type.frame is None and v.op.family != "scan"

    def _before(self) -> set[Value]:
        """Values without anything carried in them that are worth computing for all steps."""
        chosen: set[Value] = set()
        alone = not self.p.carries
        for v in self.order:
            if v not in self.changing or v in self.recurrent:
                continue
            free = _fits(v) and v.type.batched and all(self._is_free(a, False) for a in v.args)
            self.free[v] = free
            if not free:
                continue
            grown = v.type.size > max((a.type.size for a in v.args), default=0)
            follows = any(a in chosen for a in v.args) and not grown
            if _is_heavy(v) or follows or alone:
                chosen.add(v)
        for v in reversed(self.order):  # and what those are made of
            if v in chosen:
                chosen.update(a for a in v.args if self.free.get(a, False))
        return chosen

    def _after(self) -> set[Value]:
        """Products that nothing carried depends on, and all that is computed from them."""
        outer = [v for v in self.order if v in self.changing and v not in self.feeding]
        possible: set[Value] = set()
        for v in outer:
            if v in self.before:
                continue
            if _fits(v) and all(a in possible or self._is_free(a, True) for a in v.args):
                possible.add(v)
        users: dict[Value, list[Value]] = {}
        for v in outer:
            for a in v.args:
                users.setdefault(a, []).append(v)
        heavy: set[Value] = set()
        for v in outer:
            if v in possible and (_is_heavy(v) or any(a in heavy for a in v.args)):
                heavy.add(v)
        chosen, count = heavy, -1
        while len(chosen) != count:  # what is given up is made by the scan, and so is what needs it
            count = len(chosen)
            for v in reversed(outer):
                if v in chosen and not all(u in chosen for u in users.get(v, [])):
                    chosen.discard(v)
            for v in outer:
                if v in chosen and not all(a in chosen or self._stays(a) for a in v.args):
                    chosen.discard(v)
            for s in self.p.sums:
                if s in chosen and not self._sums_up(s, chosen):
                    chosen.discard(s)
        return chosen

    def _stays(self, a: Value) -> bool:
        """Whether an operand can be had for all steps though it is not made behind the scan."""
        if a in self.before or a not in self.changing or a in self.slices or a in self.carried:
            return True
        return a.type.batched and a.type.frame is None and a.op.family != "scan"

    def _sums_up(self, v: Value, chosen: set[Value]) -> bool:
        """Whether Σₜ v is a value of all steps at once."""
        if v.type.batched or v not in chosen:
            return False
        if _reduces_examples(v):
            return True
        if v.op.name in ("add", "sub"):
            return all(self._sums_up(a, chosen) for a in v.args)
        if v.op.name in _LINEAR:
            return all(self._sums_up(a, chosen) for a in v.args)
        if v.op.name in ("mul", "div"):
            changing = [a for a in v.args if a in self.changing]
            right = v.op.name == "div" and v.args[1] in self.changing
            return len(changing) == 1 and not right and self._sums_up(changing[0], chosen)
        return False

    # ------------------------------------------------------------ for all steps at once

    def flat(self, root: Value) -> Value:
        """A value of the body for all steps: framed, or the same for all."""
        for v in topological([root]):
            if v not in self._flat:
                self._flat[v] = self._flattened(v)
        return self._flat[root]

    def _flattened(self, v: Value) -> Value:
        if v in self.slices:
            return self.sources.rows(self.slices[v])
        if v in self.shared:
            return self.shared[v]
        if v in self.carried:
            return v  # taken from the stack by whoever asks for it
        if v not in self.changing:
            return self.outer(_unbatched(v))
        if v in self.before or v in self.after:
            args = tuple(self._stack_or_flat(a) for a in v.args)
            return Value(v.op, args, v.attrs, v.op.type_of(args, v.attrs), v.origin)
        return v

    def _stack_or_flat(self, a: Value) -> Value:
        made = a in self.before or a in self.after
        if a in self.changing and not made and a not in self.slices:
            return self.stacked(a)
        return self._flat[a]

    def stacked(self, v: Value) -> Value:
        """What the scan itself makes of v, at every step."""
        assert self.scan is not None
        return part(self.scan, self.stacks[v], v.origin.name)

    def outer(self, root: Value) -> Value:
        """A value that is the same at every step, computed outside."""
        for v in topological([root]):
            if v not in self._outer:
                self._outer[v] = v.on(tuple(self._outer[a] for a in v.args))
        return self._outer[root]

    # ------------------------------------------------------------ what remains

    def results(self) -> Results:
        p = self.p
        roots = list(p.next)
        wanted: dict[Value, None] = {}
        for v in (*self.after, *self.before):
            for a in v.args:
                self._want(a, wanted)
        for y in p.yields:
            self._want(y, wanted)
        every = [*self.carried, *self.shared, *self.order]
        wanted = dict.fromkeys(v for v in every if v in wanted)
        totals = [s for s in p.sums if s not in self.after]
        roots += [*wanted, *totals]
        if roots:
            self.scan = self._core(roots, list(wanted), totals)
        n = len(p.next)
        last = [] if self.scan is None else [
            part(self.scan, k, b.origin.name) for b, k in self.carried.items()
        ]  # fmt: skip
        sums = []
        for s in p.sums:
            if s in self.after:
                sums.append(self.flat(s))
            else:
                assert self.scan is not None
                sums.append(part(self.scan, n + totals.index(s), s.origin.name))
        yields = [self._framed(y) for y in p.yields]
        return Results(last, yields, sums)

    def _want(self, v: Value, wanted: dict[Value, None]) -> None:
        made = v in self.before or v in self.after or v in self.slices
        if (v in self.changing and not made) or (v not in self.changing and v in self.p.yields):
            wanted[v] = None

    def _framed(self, y: Value) -> Value:
        if y in self.stacks:
            return self.stacked(y)
        return self.flat(y)

    def _core(self, roots: Sequence[Value], stacks: list[Value], totals: list[Value]) -> Value:
        """The scan of what is left."""
        p = self.p
        made = _Core(self, roots)
        q = Recurrence(
            steps=p.steps, clock=p.clock, reverse=p.reverse, truncate=p.truncate, framed=True
        )
        q.carries = list(p.carries)
        q.next = [made.of(v) for v in p.next]
        for s in totals:
            zero = constant(0.0, s.type.dtype)
            start = apply("broadcast", zero, shape=s.shape, batch=s.type.batched)
            b = bound(f"sum_{s.origin.name}", start.type, s.origin)
            q.carries.append((b, start))
            with origin(s.origin):
                q.next.append(b + made.of(s))
        first = len(q.next)
        self.stacks = {v: first + k for k, v in enumerate(stacks)}
        q.yields = [_per_example(made.of(v)) for v in stacks]
        q.shared = list(made.shared.items())
        q.sequences = list(made.sequences.items())
        body = Body((), (*q.next, *q.yields))
        lowered = self.lower(body_graph(body))
        found = [o.value for o in lowered.outputs]
        q.next, q.yields = found[:first], found[first:]
        used = set(topological(found))
        q.shared = [x for x in q.shared if x[0] in used]
        q.sequences = [x for x in q.sequences if x[0] in used]
        return q.value()


class _Core:
    """The values of a body on the operands that the smaller scan has."""

    def __init__(self, whole: _Fission, roots: Sequence[Value]) -> None:
        self.whole = whole
        self.shared: dict[Value, Value] = {}  # placeholder -> operand
        self.sequences: dict[Value, Value] = {}
        self.new: dict[Value, Value] = {}
        for v in self._needed(roots):
            self.new[v] = self._made(v)

    def of(self, v: Value) -> Value:
        return self.new[v]

    def _needed(self, roots: Sequence[Value]) -> list[Value]:
        """Operands first; not behind what comes as an operand."""
        needed: set[Value] = set()
        waiting = list(roots)
        while waiting:
            v = waiting.pop()
            if v in needed:
                continue
            needed.add(v)
            if not self._comes_from_outside(v):
                waiting += v.args
        w = self.whole
        given = [*w.carried, *w.slices, *w.shared]
        return [v for v in [*given, *w.order] if v in needed]

    def _comes_from_outside(self, v: Value) -> bool:
        w = self.whole
        if v in w.before:
            return True
        return v not in w.changing and v in w.order_set and _worth_hoisting(v)

    def _made(self, v: Value) -> Value:
        w = self.whole
        if v in w.carried:
            return v
        if v in w.slices:
            self.sequences[v] = w.sources.direct(w.slices[v])
            return v
        if v in w.shared:
            self.shared[v] = w.shared[v]
            return v
        if v in w.before:
            b = bound(v.origin.name or "value", v.type, v.origin)
            self.sequences[b] = w.flat(v)
            return b
        if self._comes_from_outside(v):
            return self._hoisted(w.outer(v), v)
        if v.op.name == "matmul" and self._turns(v):
            return self._turned(v)
        return v.on(tuple(self.new[a] for a in v.args))

    def _hoisted(self, operand: Value, v: Value) -> Value:
        b = bound(v.origin.name or "value", operand.type, v.origin)
        self.shared[b] = operand
        return b

    def _turns(self, v: Value) -> bool:
        """A product with a matrix of parameters: a kernel reads it along the results."""
        matrix, x = v.args
        fixed = matrix not in self.whole.changing and not matrix.type.batched
        return fixed and len(matrix.shape) == 2 and len(x.shape) == 1

    def _turned(self, v: Value) -> Value:
        matrix, x = v.args
        with origin(matrix.origin):
            outside = self.whole.outer(matrix)
            operand = apply("transpose", outside, perm=(1, 0))
            if outside.op.name == "transpose" and outside.attrs["perm"] == (1, 0):
                (operand,) = outside.args
        b = self._hoisted(operand, matrix)
        with origin(v.origin):
            x = self.new[x]
            batch = "b" if x.type.batched else ""
            return apply("einsum", b, x, spec=f"ji,{batch}j->{batch}i")


def _fits(v: Value) -> bool:
    drawn = v.op.family == "elementwise" and not v.op.parameters
    return v.op.family in FLAT and not drawn and v.type.frame is None


def _is_heavy(v: Value) -> bool:
    if v.op.family in ("contraction", "lookup", "convolution"):
        return True
    return v.op.family == "reduction" and bool(v.attrs["batch"])


def _reduces_examples(v: Value) -> bool:
    """Whether v sums over the examples of its framed operands, so over the steps too."""
    if v.type.batched or not any(a.type.batched for a in v.args):
        return False
    if v.op.name == "sum":
        return bool(v.attrs["batch"])
    if v.op.name == "scatter":
        return bool(v.attrs["batch"])
    return v.op.family == "contraction" and all(a.type.batched for a in v.args)


def _is_number(v: Value) -> bool:
    """Made of constants alone."""
    return not any(
        x.op.family == "part" or (x.op.family == "leaf" and "name" in x.attrs)
        for x in topological([v])
    )


def _unbatched(v: Value) -> Value:
    """A number that is the same for every example, once."""
    if v.type.batched and v.op.name == "broadcast":
        return build(operation("broadcast"), v.args, {"shape": v.shape, "batch": False})
    return v


def _per_example(v: Value) -> Value:
    if v.type.batched:
        return v
    return apply("broadcast", v, shape=v.shape, batch=True)


def _worth_hoisting(v: Value) -> bool:
    """What is the same at every step and more than a number in another shape."""
    if _is_number(v):
        return False
    if v.op.family == "view":
        return _worth_hoisting(v.args[0]) if v.args[0].args else False
    return v.op.family not in ("leaf", "assemble")
