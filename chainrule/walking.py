"""The step-by-step page of a model: the stops of `viz.walk` with numbers.

In: a model and an example. Out: one HTML file as text. Every number is the plain interpreter's, in
f64: forward and backward in the net, in the steps of its scans, and after the update. Raises
Failure E640 where there is no such example, E641 for a net too large to walk through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .compiler.graph import Graph, Leaf, topological
from .compiler.minimize import Minimize, minimized
from .compiler.op import Array, Run
from .compiler.pipeline import compile_plan, forward, gradients
from .compiler.pipeline import step as training_step
from .compiler.step import batch_mean, trainable, updates
from .compiler.value import Value
from .dsl.diagnostics import Failure, fail
from .pictures import frozen_parameters, loss_of
from .project import run_name
from .runtime.gradcheck import random_inputs
from .runtime.plain import evaluate
from .runtime.session import initial_values
from .viz.backprop import Backprop, backprop
from .viz.backward import SHORT
from .viz.equations import equations
from .viz.names import names
from .viz.through import Through
from .viz.walk import updates as rules_of
from .viz.walk.page import Page, Slope, page
from .viz.walk.stops import NET, Key, Stop, stops
from .weights import find_weights

if TYPE_CHECKING:
    from .model import Model

MOST = 600  # stops of a page
RATES, REACH = 33, 100.0  # learning rates of the slider: from a hundredth to a hundred times
LARGE = 2_000_000  # parameters of a net whose loss is not computed for each of them
SHOWN = 6  # elements of a parameter on its update


@dataclass(frozen=True)
class Asked:
    """Which example of which part, how many from there, and of which loss; `random`: made up."""

    example: int = 0
    batch: int = 1
    part: str | None = None
    loss: str | None = None
    random: bool = False


def load_if_trained(model: Model, file: Path, weights: Path | None, out: Path | None) -> str:
    """Load the weights named, or of the file's last run if there are any; says which."""
    try:
        run = run_name(model.module, model.declaration) or model.name
        path = find_weights(file, run, weights, out)
    except Failure:
        return "initial weights"
    model.load_weights(path)
    return f"weights of {path.name}"


def walk(model: Model, asked: Asked, weights: str = "initial weights") -> str:
    """The page, as HTML."""
    return page(walked_through(model, asked, weights))


def walked_through(model: Model, asked: Asked, weights: str = "initial weights") -> Page:
    """Everything that the page tells."""
    train = model.declaration
    graph = forward(
        model.module, model.name, training=True, dtype="f64", sizes=model.sizes,
        frozen=frozen_parameters(train),
    )  # fmt: skip
    loss = loss_of(graph, asked.loss)
    over = [m for m, _ in minimized(train)] if train is not None else []
    minimize = next((m for m in over if m.loss in (None, loss.name)), None)
    found = equations(graph, [loss])
    end = found.graph.loss(loss.name)
    params = trainable(found.graph, minimize.over if minimize is not None else ("*",))
    if 2 * len(found.steps) > MOST:
        raise _too_large(graph, 2 * len(found.steps))
    b = backprop(found, names(found, batch=False), end, [p.value for p in params], batch=False,
                 short=SHORT)  # fmt: skip
    walked = stops(b)
    if len(walked) > MOST:
        raise _too_large(graph, len(walked))
    given, words = _given(model, graph, asked)
    numbers = Numbers(b, given, asked.batch, model.settings.seed)
    known = numbers.of(walked)
    made, slopes, rates, losses = _update(model, graph, minimize, b, params, numbers, known)
    plan_of = training_step(model.module, train, dtype=model.dtype, sizes=model.sizes) \
        if train is not None else gradients(_lowered(model), loss.name)  # fmt: skip
    return Page(
        title=f"{model.name}, step by step", source=model.module.source, graph=graph, backprop=b,
        stops=(*walked, *made), numbers=known, plan=compile_plan(plan_of, asked.batch),
        slopes=slopes, rates=rates, losses=losses, words=f"{words}, {weights}",
    )  # fmt: skip


def _lowered(model: Model) -> Graph:
    return forward(model.module, model.name, training=True, dtype=model.dtype, sizes=model.sizes)


def _too_large(graph: Graph, count: int) -> Failure:
    return fail("E641", f"a walk through `{graph.name}` would have {count:,} steps and more",
                help="make the net smaller with `--set`, or draw it: `chainrule draw`")  # fmt: skip


# ---------------------------------------------------------------- the example


def _given(model: Model, graph: Graph, asked: Asked) -> tuple[dict[str, Array], str]:
    """Every leaf by name, and what the example is in words. Raises Failure E640."""
    given: dict[str, Array] = {n: np.asarray(a) for n, a in model.session.values.items()}
    if asked.random or model.declaration is None:
        given |= random_inputs(graph, asked.batch, 1)
        return given, "an example made of random numbers"
    part = model.part(asked.part)
    feeder = model.feeder(asked.part)
    count, last = len(feeder), asked.example + asked.batch
    if last > count:
        raise fail(
            "E640", f"the {part} part has {count:,} examples, and example {last - 1} is wanted",
            help=f"they are counted from 0: `--example {max(0, count - asked.batch)}` is the last",
        )  # fmt: skip
    arrays = feeder.arrays
    given |= {n: np.asarray(a[asked.example : last]) for n, a in arrays.items()}
    which = f"example {asked.example}" if asked.batch == 1 else (
        f"examples {asked.example} to {last - 1}")  # fmt: skip
    return given, f"{which} of the {part} part"


# ---------------------------------------------------------------- numbers


class Numbers:
    """Arrays by key, by the plain interpreter."""

    def __init__(self, b: Backprop, given: Mapping[str, Array], batch: int, seed: int) -> None:
        self.b, self.given, self.batch = b, given, batch
        self.run = Run(batch, seed, 1)

    def of(self, walked: Iterable[Stop]) -> dict[Key, Array]:
        """The numbers of every key of the stops; those of one example without an axis for it."""
        keys = dict.fromkeys(k for s in walked for k in (s.key, *(key for _, key in s.uses)))
        net = [k for k in keys if k.place == NET]
        values = [self.value(k) for k in net]
        scans = self.b.scans
        operands = [a for scan in scans for a in scan.args]
        ends = [w for w in self.b.deltas if w.op.family == "part" and w.args[0] in scans]
        deltas = [self.b.expand(self.b.deltas[w]) for w in ends]
        found = evaluate([*values, *operands, *deltas], self.given, batch=self.batch,
                         seed=self.run.seed)  # fmt: skip
        known = {k: self._shown(a, v) for k, a, v in zip(net, found, values, strict=False)}
        outside = dict(zip(operands, found[len(values) :], strict=False))
        arrived = dict(zip(ends, found[len(values) + len(operands) :], strict=True))
        for s in scans.values():
            known |= self._through(
                s,
                [k for k in keys if k.place.scan is s.cell.scan],
                outside,
                {w: a for w, a in arrived.items() if w.args[0] is s.cell.scan},
            )
        return known

    def value(self, key: Key) -> Value:
        """What a key of the net stands for."""
        b = self.b
        if not key.gradient:
            return key.value
        if key.value is b.loss:
            return b.loss / b.loss
        return b.expand(b.deltas[key.value] if key.value in b.deltas else b.params[key.value])

    def _shown(self, array: Array, v: Value) -> Array:
        return array[0] if v.type.batched and self.batch == 1 else array

    def _compute(self, roots: Sequence[Value], held: Mapping[Value, Array]) -> dict[Value, Array]:
        """The numbers of some values from those of others, and of parameters by name."""
        found = dict(held)
        with np.errstate(all="ignore"):
            for v in topological(roots):
                if v in found:
                    continue
                if v.op.family == "leaf" and v.attrs.get("name") in self.given:
                    found[v] = np.asarray(self.given[v.attrs["name"]], v.type.numpy)
                else:
                    found[v] = v.op.compute(v, tuple(found[a] for a in v.args), self.run)
        return found

    def _through(
        self,
        s: Through,
        keys: Sequence[Key],
        outside: Mapping[Value, Array],
        arrived: Mapping[Value, Array],
    ) -> dict[Key, Array]:
        """The chosen steps of a scan, forward and back, one step after another."""
        cell = s.cell
        known: dict[Key, Array] = {}
        count = cell.pieces.steps
        turns = [*range(1, count + 1)][:: cell.forward]
        before: dict[int, dict[Value, Array]] = {}
        now = {leaf: outside[cell.operand(leaf)] for leaf in cell.given if leaf not in cell.slices
               and leaf.op.name != "param"}  # fmt: skip
        stacks = {leaf: outside[cell.operand(leaf)] for leaf in cell.slices}
        late = {*s.arriving.values(), *s.seeds.values()}  # known on the way back
        ahead = [k for k in keys if not k.gradient and k.value not in late]
        for t in turns:
            before[t] = now | {x: _at(a, cell.operand(x), t) for x, a in stacks.items()}
            here = [k for k in ahead if k.place.t == t]
            found = self._compute([*cell.next, *(k.value for k in here)], before[t])
            known |= {k: self._shown(found[k.value], k.value) for k in here}
            now = now | {leaf: found[v] for leaf, v in zip(cell.carried, cell.next, strict=True)}
        known |= self._back(s, keys, before, turns[::-1], arrived)
        return known

    def _back(
        self,
        s: Through,
        keys: Sequence[Key],
        before: Mapping[int, dict[Value, Array]],
        turns: Sequence[int],
        arrived: Mapping[Value, Array],
    ) -> dict[Key, Array]:
        cell = s.cell
        known: dict[Key, Array] = {}
        results = {w.attrs["index"]: w for w in arrived}
        coming = {k: arrived[results[k]] if k in s.last else self._nothing(leaf)
                  for k, leaf in s.arriving.items()}  # fmt: skip
        back = {k: s.step.expand(s.step.params[cell.carried[k]]) for k in s.arriving
                if cell.carried[k] in s.step.params}  # fmt: skip
        wanted = {k.value for k in keys if k.gradient}
        slopes = {v: s.step.expand(d) for v, d in {**s.step.deltas, **s.step.params}.items()
                  if v in wanted}  # fmt: skip
        for t in turns:
            held = before[t] | {leaf: coming[k] for k, leaf in s.arriving.items()}
            held |= {leaf: _at(arrived[results[len(cell.carried) + j]],
                               results[len(cell.carried) + j], t)
                     for j, leaf in s.seeds.items()}  # fmt: skip
            here = [k for k in keys if k.place.t == t]
            roots = [slopes[k.value] for k in here if k.gradient]
            found = self._compute([*back.values(), *roots], held)
            for k in here:
                v = slopes[k.value] if k.gradient else k.value
                if v in found:
                    known[k] = self._shown(found[v], v)
            coming = {k: found[back[k]] if k in back else self._nothing(leaf)
                      for k, leaf in s.arriving.items()}  # fmt: skip
            if _cut(s, t):
                coming = {k: np.zeros_like(a) for k, a in coming.items()}
        return known

    def _nothing(self, leaf: Value) -> Array:
        shape = (self.batch, *leaf.shape) if leaf.type.batched else leaf.shape
        return np.zeros(shape)


def _at(array: Array, stacked: Value, t: int) -> Array:
    """What a sequence has at step t."""
    return array[:, t - 1] if stacked.type.batched else array[t - 1]


def _cut(s: Through, t: int) -> bool:
    """Whether `truncate` lets nothing pass from step t to the one before it."""
    cut, count = s.cell.pieces.truncate, s.cell.pieces.steps
    if not cut:
        return False
    before = count - t if s.cell.pieces.reverse else t - 1
    return before % cut == 0


# ---------------------------------------------------------------- the update


def _update(
    model: Model,
    graph: Graph,
    minimize: Minimize | None,
    b: Backprop,
    params: Sequence[Leaf],
    numbers: Numbers,
    known: dict[Key, Array],
) -> tuple[list[Stop], dict[Key, Slope], tuple[float, ...], tuple[float, ...]]:
    """The stops of the update, how each parameter moves with the learning rate, the learning rates
    of the slider, and the loss after a step of each. Adds the new parameters to what is known."""
    told = [p for p in params if p.value in b.params]
    if minimize is None or not told:
        return [], {}, (), ()
    leaves = {p.value: rules_of.gradient_leaf(p) for p in told}
    always = replace(minimize, schedules=("*",))
    made, states = updates(graph, model.module, always, told, [leaves[p.value] for p in told])
    rules = rules_of.rules(made, "f64")
    given = dict(numbers.given) | initial_values(replace(graph, leaves=states), model.settings.seed)
    given |= {"rate": np.asarray(1.0), "step": np.asarray(1)}
    slopes = dict(zip(told, evaluate([numbers.value(Key(p.value, gradient=True)) for p in told],
                                     numbers.given, batch=numbers.batch,
                                     seed=numbers.run.seed), strict=True))  # fmt: skip
    given |= {str(leaves[p.value].attrs["name"]): slopes[p] for p in told}
    eta = float(evaluate([rules.rate], given)[0]) if rules.rate is not None else 0.0
    new = {p.name: rules.of(p.name)[-1].value for p in told}
    spans = {p.name: next((r.optimizer.span for r in minimize.rules), None) for p in told}
    walked = rules_of.stops(rules, told, leaves, b.names.terms, b.names[b.loss],
                            {p.name: p.value for p in told}, spans)  # fmt: skip

    def after(rate: float) -> dict[str, Array]:
        found = evaluate([*new.values()], given | {rules_of.RATE: np.asarray(rate)})
        return dict(zip(new, found, strict=True))

    now, twice = after(eta), after(2 * eta)
    moves: dict[Key, Slope] = {}
    for p, stop in zip(told, walked, strict=True):
        known[stop.key] = now[p.name]
        theta = np.asarray(given[p.name], dtype=float)
        move = (theta - now[p.name]) / (eta or 1.0)
        straight = np.allclose(theta - twice[p.name], 2 * eta * move, rtol=1e-9, atol=1e-15)
        if rules.rate is not None and straight:
            moves[stop.key] = _slope(theta, slopes[p], move)
    if not moves:
        return walked, {}, (), ()
    grid = tuple(float(f"{eta * REACH ** (2 * k / (RATES - 1) - 1):.4g}") for k in range(RATES))
    return walked, moves, grid, _losses(b.loss, numbers, after, grid)


def _slope(theta: Array, gradient: Array, move: Array) -> Slope:
    """The elements with the greatest gradients."""
    flat = np.abs(gradient.reshape(-1))
    places = np.sort(np.argsort(-flat, kind="stable")[:SHOWN])
    index = [tuple(int(i) for i in np.unravel_index(k, theta.shape)) for k in places]
    return Slope(tuple(index), *(tuple(map(float, a.reshape(-1)[places]))
                                 for a in (theta, gradient, move)))  # fmt: skip


def _losses(
    loss: Value,
    numbers: Numbers,
    after: Callable[[float], dict[str, Array]],
    grid: Sequence[float],
) -> tuple[float, ...]:
    """The mean loss of the same examples after a step of each learning rate."""
    if sum(np.size(a) for a in numbers.given.values()) > LARGE:
        return ()
    mean = batch_mean(loss)
    found = [
        evaluate([mean], dict(numbers.given) | after(rate), batch=numbers.batch,
                 seed=numbers.run.seed)[0]
        for rate in grid
    ]  # fmt: skip
    return tuple(float(a) for a in found)
