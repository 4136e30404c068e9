"""What `train` makes of a net: one graph of a whole step, its `minimize` lines one after another.

In: a module, a `train` declaration. Out: the forward graph as training runs it, with what `freeze`
names as it is in use; and the step, in which every line computes with what the lines before it have
changed. Since values are shared, what two lines have in common is computed once, and the plan sees
a step of several losses as it sees any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..dsl import syntax as s
from ..dsl.diagnostics import did_you_mean, fail
from .elaborate import Module, forward
from .elaborate.limits import Budget
from .graph import Graph, Leaf, Output, leaf, substituted, topological
from .groups import check_groups
from .minimize import Minimize, frozen_by, matches, minimized
from .ops.draws import Draw
from .passes import stabilise
from .step import training_step
from .value import Value

_STREAMS = 0x3C6EF372  # between the streams of a draw in two turns


def learning(
    module: Module,
    train: s.Train,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
) -> Graph:
    """The forward graph as a `train` declaration runs it. Raises Failure, E298 for a `freeze` of
    what is not there."""
    named = frozen_by(train)
    patterns = tuple(e.span.text for e in named)
    graph = forward(module, train.name.id, training=True, dtype=dtype, sizes=sizes, frozen=patterns)
    for e in named:
        if not any(matches(p.name, e.span.text) for p in graph.params):
            layers = sorted({p.name.rpartition(".")[0] for p in graph.params} - {""})
            raise fail(
                "E298",
                f"`freeze` names `{e.span.text}`, and no parameter belongs to it",
                e.span,
                help=did_you_mean(e.span.text, layers)
                or f"the layers with parameters are {', '.join(f'`{n}`' for n in layers)}",
            )
    check_groups(graph, train)
    return stabilise(graph)


def step(
    module: Module,
    train: s.Train,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
) -> Graph:
    """One training step: forward, backward, update, for each `minimize` line after the other."""
    return in_turns(learning(module, train, dtype=dtype, sizes=sizes), module, minimized(train))


def in_turns(graph: Graph, module: Module, asked: Sequence[tuple[Minimize, int]]) -> Graph:
    """The lines of a step one after another, each so many times, as one graph.

    A line is differentiated by itself, with the parameters as leaves; only then do the updates of
    the lines before take the place of those leaves. So no gradient flows through an update. All
    turns see the same examples; every turn after a line's first has draws of its own, and the first
    turns share theirs. A loss is told by the line that minimises it, in its last turn. Other
    numbers, and the states of the net (running statistics), come once a step: from the first turn.
    Raises Failure E251 where the turns take more operations than a net may have.
    """
    if len(asked) == 1 and asked[0][1] == 1:
        return training_step(graph, module, asked[0][0])
    now: dict[Value, Value] = {}  # what has become of each parameter and optimizer state
    outputs: dict[tuple[str, str], Output] = {}
    leaves: dict[str, Leaf] = dict(graph.leaves)
    budget = Budget()
    for minimize, turns in asked:
        line = _with_own_states(training_step(graph, module, minimize), graph, leaves)
        leaves |= line.leaves
        operations = sum(1 for v in topological(o.value for o in line.outputs) if v.args)
        budget.spend(minimize.repeated or minimize.span, turns * operations)
        for turn in range(turns):
            told = _told(line, graph, graph.loss(minimize.loss).name, outputs)
            changed = _in_turn(line, turn, turns)
            values = substituted([o.value for o in told], {**changed, **now})
            for o, value in zip(told, values, strict=True):
                outputs[o.kind, o.name] = replace(o, value=value)
                if o.target is not None and not _of_net(o, graph):
                    now[o.target] = value
    ordered = sorted(outputs.values(), key=lambda o: ("loss", "metric", "update").index(o.kind))
    return replace(
        graph, outputs=tuple(ordered), leaves=leaves, training=True,
        checkpointing=asked[0][0].checkpointing,
    )  # fmt: skip


def _told(
    line: Graph, graph: Graph, loss: str, known: Mapping[tuple[str, str], Output]
) -> list[Output]:
    """The outputs of a turn that count: its loss, its updates, and what no turn before had."""
    chosen = []
    for o in line.outputs:
        own = (o.kind == "loss" and o.name == loss) or (
            o.kind == "update" and not _of_net(o, graph)
        )
        if own or (o.kind, o.name) not in known:
            chosen.append(o)
    return chosen


def _of_net(o: Output, graph: Graph) -> bool:
    """Is this the update of a state that the net itself declares?"""
    return o.kind == "update" and any(leaf.name == o.name for leaf in graph.states)


def _in_turn(line: Graph, turn: int, turns: int) -> dict[Value, Value]:
    """What differs between the turns of a line: how many updates it has made, and its draws."""
    changed: dict[Value, Value] = {}
    counter = line.leaves.get("step")
    if counter is not None and turns > 1:
        changed[counter.value] = (counter.value - 1.0) * float(turns) + float(turn + 1)
    if turn == 0:
        return changed
    for v in topological(o.value for o in line.outputs):
        if isinstance(v.op, Draw):
            stream = (v.attrs["stream"] + turn * _STREAMS) % 2**31
            attrs = {**v.attrs, "stream": stream}
            changed[v] = Value(v.op, v.args, attrs, v.type, v.origin)
    return changed


def _with_own_states(line: Graph, graph: Graph, taken: Mapping[str, Leaf]) -> Graph:
    """Where two lines change the same parameter, each has optimizer states of its own, and counts
    its own steps."""
    new: dict[Value, Value] = {}
    leaves: dict[str, Leaf] = {}
    for name, known in line.leaves.items():
        if name in graph.leaves or known.kind != "state" or name not in taken:
            leaves[name] = known
            continue
        path = _free(name, taken)
        value = known.value
        new[value] = leaf("state", path, value.type, value.origin.span, role="update")
        leaves[path] = replace(known, value=new[value])
    if not new:
        return line
    values = substituted([o.value for o in line.outputs], new)
    outputs = []
    for o, value in zip(line.outputs, values, strict=True):
        target = new.get(o.target, o.target) if o.target is not None else None
        name = str(target.attrs["name"]) if target is not None else o.name
        outputs.append(replace(o, name=name, value=value, target=target))
    return replace(line, outputs=tuple(outputs), leaves=leaves)


def _free(name: str, taken: Mapping[str, Leaf]) -> str:
    """`W.adam.v` as `W.adam_2.v`."""
    path, _, state = name.rpartition(".")
    number = 2
    while f"{path}_{number}.{state}" in taken:
        number += 1
    return f"{path}_{number}.{state}"
