"""Backpropagation through one scan: the derivatives of a step, and their sums over time.

In: a `Backprop` and a scan of its net. Out: `Through`: the derivatives of one step, δ by δ, in
which what arrives from the step behind it is written out (∂L/∂c_t = … + ∂L/∂c_{t+1} ⊙ f_{t+1}), and
what the scan sends back to its operands, Σₜ over the steps for what they share. `written_out` makes
a scan of exactly these formulas, so that evaluating it checks every line that is printed (Werbos,
1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..compiler.autodiff import like
from ..compiler.graph import Output
from ..compiler.graph import leaf as make_leaf
from ..compiler.op import apply, constant
from ..compiler.ops.scan import bound, slice_type
from ..compiler.scans.build import Pair, Recurrence, part, pieces
from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop, backprop
from .equations import equations, rebuilt
from .names import Names
from .steps import LETTERS, Cell, StepNames, cell, step_names
from .terms import Term

SHORT = 4  # parts of a δ that is written out where it is used: ∂L/∂h_t


@dataclass(eq=False)
class Through:
    """One scan on the way back. `step` has the derivatives of a step by its leaves `given`;
    `sent` are pairs of an operand (over stand-ins) and a leaf for what it is sent."""

    cell: Cell
    names: StepNames
    step: Backprop
    last: dict[int, Value]  # carried value: what arrives at the end, over outer stand-ins
    stacked: dict[int, Value]  # yield: what arrives, step by step
    arriving: dict[int, Value]  # leaves of the step
    seeds: dict[int, Value]
    operands: tuple[Value, ...]
    leaves: dict[Value, Value] = field(default_factory=dict)  # given: leaf of what it is sent

    @property
    def sent(self) -> list[Pair]:
        """(operand, what it is sent)."""
        places = {leaf: k for k, leaf in enumerate(self.cell.given)}
        return [(self.operands[places[g]], leaf) for g, leaf in self.leaves.items()]

    def back(self, k: int) -> Term | None:
        """What a step sends to the step before it: ∂L/∂(carried value k), over its own step."""
        leaf = self.cell.carried[k]
        return self.step.params[leaf].closed if leaf in self.step.params else None

    def arrival(self, k: int) -> Term:
        """What arrives at carried value k of step t from the step behind it."""
        found = self.back(k)
        c = self.cell
        if found is None:
            return t.number(0)
        found = t.shifted(found, c.letter, c.forward)
        cut = c.pieces.truncate
        return t.hadamard(t.bracket(_goes_on(c, cut)), found) if cut else found

    def written_out(self, whole: Mapping[Value, Value]) -> dict[Value, Value]:
        """Each leaf of `leaves` as a result of one scan, whose body is the closed forms."""
        c, get = self.cell, whole.get
        operands = tuple(rebuilt(a, get)[a] for a in self.operands)
        f = pieces(c.scan)
        again = replace(
            f,
            carries=list(zip((b for b, _ in f.carries), operands, strict=False)),
            yields=[b for b, _ in f.carries], sums=[], truncate=0,
            sequences=list(zip((b for b, _ in f.sequences), operands[len(f.carries):],
                               strict=False)),
            shared=list(zip((b for b, _ in f.shared),
                            operands[len(f.carries) + len(f.sequences) :], strict=True)),
        )  # fmt: skip
        n = len(f.carries)
        forward = again.value() if n else None
        new: dict[Value, Value] = dict(zip(c.given, c.scan.attrs["body"].bound, strict=True))
        made = Recurrence(steps=f.steps, clock=f.clock, reverse=not f.reverse)
        for k, leaf in self.arriving.items():
            d = new[leaf] = bound("d", leaf.type)
            first = self.last.get(k)
            start = constant(0.0, leaf.type.dtype) if first is None else rebuilt(first, get)[first]
            made.carries.append((d, like(start, leaf)))
        for j, leaf in self.seeds.items():
            new[leaf] = bound("g", leaf.type)
            made.sequences.append((new[leaf], rebuilt(self.stacked[j], get)[self.stacked[j]]))
        made.sequences += again.sequences
        if forward is not None:
            made.sequences += [(b, part(forward, n + k)) for k, (b, _) in enumerate(f.carries)]
        made.shared = again.shared
        closed = {g: rebuilt(v := self.step.expand(self.step.params[g]), new.get)[v]
                  for g in self.step.params}  # fmt: skip
        zero = {k: like(constant(0.0, v.type.dtype), v) for k, v in self.arriving.items()}
        made.next = [closed.get(c.carried[k], zero[k]) for k in self.arriving]
        if f.truncate:
            made.next = _cut(made, c, made.next)
        made.yields = [closed[g] for g in c.slices if g in self.leaves]
        made.sums = [closed[g] for g in c.shared if g in self.leaves]
        scan = made.value()
        order = [*(c.carried[k] for k in self.arriving), *(g for g in c.slices if g in self.leaves),
                 *(g for g in c.shared if g in self.leaves)]  # fmt: skip
        return {self.leaves[g]: part(scan, k) for k, g in enumerate(order) if g in self.leaves}

    def terms(self) -> Iterator[tuple[Value, Term]]:
        """(leaf, term) of what the operands are sent, as the formulas outside write it."""
        c, loss = self.cell, t.symbol("L")
        for g, leaf in self.leaves.items():
            closed = self.step.params[g].closed
            if g in c.slices:
                yield leaf, t.family(t.partial(loss, self.names[g]), c.letter)
            elif g in c.carried:
                start = c.pieces.steps + 1 if c.pieces.reverse else 0
                yield leaf, t.at_step(self.arrival(c.carried.index(g)), c.letter, start)
            else:
                yield leaf, summed(closed, c.letter)


def summed(closed: Term, letter: str) -> Term:
    """Σᵢ Σₜ of what each step and example contributes."""
    inner = _for_one(closed)
    if inner is None:
        return t.total(closed, letter)
    return t.total(t.total(inner, letter), "i")


def _for_one(term: Term) -> Term | None:
    """The term without its sum over the examples."""
    if term.kind == "total" and term.text == "i":
        return term.parts[0]
    if term.kind in ("add", "sub"):
        a, b = map(_for_one, term.parts)
        if a is not None and b is not None:
            return t.add(a, b) if term.kind == "add" else t.sub(a, b)
    if term.kind == "neg":
        inner = _for_one(term.parts[0])
        return t.neg(inner) if inner is not None else None
    return None


def _goes_on(c: Cell, cut: int) -> Term:
    """The condition under which the gradient reaches step t from the one behind it."""
    now = t.symbol(c.letter)
    if c.pieces.reverse:
        now = t.add(t.sub(t.symbol(c.letter.upper()), now), t.number(1))
    return t.compare("≠", t.call("mod", now, t.number(cut)), t.number(0))


def _cut(made: Recurrence, c: Cell, gradients: list[Value]) -> list[Value]:
    """Nothing passes from a step whose number (from 0) `truncate` divides."""
    numbers = apply("positions", shape=(c.pieces.steps,), dtype="f32")
    now = bound("t", slice_type(numbers.type, c.pieces.steps))
    made.sequences.append((now, numbers))
    count = apply("sub", float(c.pieces.steps - 1), now) if c.pieces.reverse else now
    k = float(c.pieces.truncate)
    rest = count - k * apply("floor", count * (1.0 / k) + 0.5 / k)
    on = apply("gt", rest, 0.5)
    return [like(apply("where", on, g, like(constant(0.0, g.type.dtype), g)), g) for g in gradients]


# ---------------------------------------------------------------- deriving a step


def through(b: Backprop, scan: Value) -> Through:
    """The derivatives of one step of `scan`, given those of its results."""
    c = cell(scan, b.letter)
    results = [w for w in b.equations.steps if w.op.family == "part" and w.args[0] is scan]
    arrived = {w.attrs["index"]: w for w in results if w in b.slots}
    n = len(c.carried)
    names = step_names(c, b.names.terms)
    operands = tuple(rebuilt(a, b.equations.stand_in.get)[a] for a in scan.args)
    moving = [k for k, v in enumerate(c.next) if v.type.is_float]
    arriving = {k: make_leaf("input", f"arriving{k}", c.carried[k].type) for k in moving}
    seeds = {k: make_leaf("input", f"seed{k}", c.yields[k].type)
             for k in range(len(c.yields)) if n + k in arrived}  # fmt: skip
    last = {k: b.slots[arrived[k]] for k in moving if k in arrived}
    stacked = {k: b.slots[arrived[n + k]] for k in seeds}
    direct = {k: t.partial(t.symbol("L"), t.part(b.names[arrived[n + k]], c.letter)) for k in seeds}
    made: Through | None = None
    for _ in range(2):  # what arrives from the step behind is known when the step is derived
        behind = {k: made.arrival(k) if made else t.symbol("…") for k in moving}
        step = _step(b, c, names, arriving, seeds, behind, direct)
        made = Through(c, names, step, last, stacked, arriving, seeds, operands)
    assert made is not None
    for g in c.given:
        if g in step.params and (g not in c.carried or c.carried.index(g) in arriving):
            made.leaves[g] = make_leaf("input", f"sent {g.attrs['name']}", g.type)
            if g in c.slices:
                type = g.type.with_(shape=(c.pieces.steps, *g.shape))
                made.leaves[g] = make_leaf("input", f"sent {g.attrs['name']}", type)
    b.known.update(made.terms())
    return made


def _step(
    b: Backprop,
    c: Cell,
    names: StepNames,
    arriving: Mapping[int, Value],
    seeds: Mapping[int, Value],
    behind: Mapping[int, Term],
    direct: Mapping[int, Term],
) -> Backprop:
    """Backpropagation through a step, whose loss is Σ (what arrives) · (its results)."""
    products = [_dot(c.next[k], d) for k, d in arriving.items()]
    products += [_dot(c.yields[k], g) for k, g in seeds.items()]
    total = products[0]
    for p in products[1:]:
        total = total + p
    loss = Output("loss", "arriving", total)
    graph = c.step.with_outputs([*c.step.outputs, loss])
    eq = equations(graph)
    end = eq.graph.loss()
    terms: dict[Value, Term] = {**names.terms, end.value: t.symbol("L")}
    terms.update({d: behind[k] for k, d in arriving.items()})
    terms.update({g: direct[k] for k, g in seeds.items()})
    given = [g for g in c.given if g.type.is_float and g in eq.stand_in]
    inner = LETTERS[(LETTERS.index(b.letter) + 1) % len(LETTERS)]
    merge = not c.carried  # what is carried has gates, each with a line of its own
    return backprop(eq, Names(terms, False), end, given, batch=False, merge=merge, short=SHORT,
                    mean=False, primed=False, letter=inner)  # fmt: skip


def _dot(x: Value, g: Value) -> Value:
    product = x * g
    return apply("sum", product) if product.shape else product
