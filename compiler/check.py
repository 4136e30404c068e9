"""Everything that can be known of a file without data: every net, both ways, and every train.

In: a module. Out: all diagnostics, each once. What needs the data (fields, sizes that only they
fix) is checked where data are bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dsl import syntax as s
from ..dsl.diagnostics import Diagnostic, Failure, Label, did_you_mean, fail
from .autodiff import gradient
from .elaborate import Module, forward
from .elaborate.limits import bounded
from .elaborate.scope import Collected
from .generate.choice import generated_net
from .graph import Graph, Leaf, Output, topological
from .minimize import minimized
from .optimizers import resolve_optimizer
from .renamed import renamed_blocks
from .step import trainable
from .training import in_turns, learning
from .value import Value

# Operations through which no gradient flows.
FLAT = ("lt", "le", "gt", "ge", "eq", "ne", "sign", "floor", "argmax", "stop_gradient", "one_hot")
# Draws with such an end, and what lets their parameters learn.
SMOOTHED = {
    "bernoulli": "let gradients pass: `bernoulli_st(p)`, or `relaxed_bernoulli` of scores",
    "categorical": "let gradients pass: `gumbel_softmax` of scores gives a vector",
}


def check(module: Module, sizes: Mapping[str, int] | None = None) -> list[Diagnostic]:
    """The mistakes of a module, in the order of their places. `sizes` are those that data fix."""
    found: list[Diagnostic] = []
    broken: set[str] = set()
    for name in module.nets:
        before = len(found)
        for training in (True, False):
            _try(lambda n=name, t=training: forward(module, n, training=t, sizes=sizes), found)  # type: ignore[misc]
            if any(d.code == "E251" for d in found[before:]):
                break  # the limit takes seconds to reach: once is enough
        if len(found) > before:
            broken.add(name)
    for train in module.trains:
        if not _try(lambda t=train: names(module, t), found):  # type: ignore[misc]
            continue
        if train.name.id in broken:
            _try(lambda t=train: _optimizers(module, t), found)  # type: ignore[misc]
        else:
            _try(lambda t=train: found.extend(_steps(module, t, sizes)), found)  # type: ignore[misc]
    for generate in module.generates:
        _try(lambda g=generate: generated_net(module, g), found)  # type: ignore[misc]
    found += renamed_blocks(module)
    for name in module.unused_overrides():
        found.append(_unused(module, name))
    return sorted(_distinct(found), key=place)


def names(module: Module, train: s.Train) -> None:
    """The net and the data a `train` speaks of. Raises Failure E210, E271."""
    if train.name.id not in module.nets:
        raise fail(
            "E210",
            f"there is no net `{train.name.id}`",
            train.name.span,
            help=did_you_mean(train.name.id, module.nets),
        )
    if isinstance(train.data, s.Name) and train.data.id not in module.data:
        raise fail(
            "E271",
            f"there is no data `{train.data.id}`",
            train.data.span,
            help=did_you_mean(train.data.id, module.data)
            or f"declare it: `data {train.data.id} = digits()`",
        )


def stand_ins(module: Module) -> dict[str, int] | None:
    """Sizes for names that only the data fix, where only steps and counts of labels are open:
    a file of sequences can be checked without its data. None where another size is open."""
    found: dict[str, int] = {}
    for net in module.nets.values():
        known = {x.name.id for x in net.settings} | set(module.consts)
        for statement in net.body:
            if not isinstance(statement, s.Input):
                continue
            t = statement.type
            steps, counts = _open_places(t)
            for e in (*steps, *counts):
                if isinstance(e, s.Name) and e.id not in known:
                    first = _STEPS if e in steps else _CLASSES
                    found.setdefault(e.id, first + len(found))
            named = t.sizes[len(steps) :] if isinstance(t, s.TensorType) else ()
            if any(isinstance(e, s.Name) and e.id not in known | set(found) for e in named):
                return None
    return found


_STEPS, _CLASSES = 6, 23  # where stand-ins begin; no two are the same


def _open_places(t: s.TypeExpr) -> tuple[tuple[s.Expr, ...], tuple[s.Expr, ...]]:
    """The sizes of a type that count steps, and those that count labels."""
    if isinstance(t, s.ClassType):
        return (), (t.count,)
    if isinstance(t, s.TokensType):
        return (t.length,), (t.count,)
    return (t.sizes[:1] if len(t.sizes) > 1 else ()), ()


def _steps(
    module: Module, train: s.Train, sizes: Mapping[str, int] | None = None
) -> list[Diagnostic]:
    """Builds the steps of a `train`; gives warnings of parameters that they cannot change."""
    graph = learning(module, train, sizes=sizes)
    in_turns(graph, module, minimized(train))
    stuck: list[Diagnostic] = []
    for minimize, _ in minimized(train):
        loss = graph.loss(minimize.loss)
        params = trainable(graph, minimize.over)
        found = gradient(loss.value, [p.value for p in params])
        still = [p for p, g in zip(params, found, strict=True) if _is_zero(g)]
        if still:
            stuck.append(_cannot_learn(still, loss))
    return stuck + _left_out(graph, train)


def _left_out(graph: Graph, train: s.Train) -> list[Diagnostic]:
    """A warning for each loss that no `minimize` line names, where others are named."""
    named = {m.loss for m, _ in minimized(train)}
    if None in named:
        return []
    return [
        Diagnostic(
            "E299",
            f"the loss `{o.name}` is minimised by no line of `train {train.name.id}`",
            o.span,
            labels=(Label(train.name.span, "this training"),),
            help=f"add `minimize {o.name} over …`, or call it a metric: `metric {o.name} = …`",
            severity="warning",
        )
        for o in graph.of_kind("loss")
        if o.name not in named
    ]


def _is_zero(g: Value) -> bool:
    while g.op.family == "view":
        (g,) = g.args
    return g.is_constant and g.attrs["value"] == 0


def _cannot_learn(params: list[Leaf], loss: Output) -> Diagnostic:
    """A warning, with the operation where the gradient ends, if there is one."""
    names = ", ".join(f"`{p.name}`" for p in params)
    reached = {p.value for p in params}
    labels: tuple[Label, ...] = ()
    advice = "put a smooth function there (sigmoid for step)"
    for v in topological([loss.value]):
        if any(a in reached for a in v.args):
            reached.add(v)
            if v.op.name in FLAT and v.origin.span is not None:
                drawn = next((w for w in SMOOTHED if v.origin.span.text.startswith(w)), "")
                advice = SMOOTHED.get(drawn, advice)
                flat = f"`{drawn or v.op.name}` is flat here"
                labels = (Label(v.origin.span, f"{flat}: its derivative is 0 wherever it has one"),)
                break
    if not labels and loss.value not in reached:
        advice = "no equation leads from there to the loss: add one"
    return Diagnostic(
        "E267",
        f"{names} cannot learn: the gradient of the loss is zero there",
        params[0].span if not labels else loss.span,
        note="" if not labels else "the loss that is minimised",
        labels=labels,
        help=f"{advice}, or declare the parameter `frozen`",
        severity="warning",
    )


def _optimizers(module: Module, train: s.Train) -> None:
    """The optimizers alone, where the net cannot be built: their mistakes are independent."""
    for minimize, _ in minimized(train):
        for rule in minimize.rules:
            resolve_optimizer(rule.optimizer, module, Collected(module, True, "f32"))


def _try(action: Callable[[], object], found: list[Diagnostic]) -> bool:
    try:
        with bounded():
            action()
    except Failure as failure:
        found += failure.diagnostics
        return False
    return True


def _unused(module: Module, name: str) -> Diagnostic:
    known = [x.name.id for n in module.nets.values() for x in n.settings] + list(module.consts)
    near = did_you_mean(name, known)
    return Diagnostic(
        "E272",
        f"`--set {name}=…` sets nothing: no net has that setting, and it is no constant",
        help=near or (f"there are {', '.join(known)}" if known else "the file has no settings"),
    )


def _distinct(found: list[Diagnostic]) -> list[Diagnostic]:
    unique = {(d.code, d.message, str(d.span)): d for d in found}
    return list(unique.values())


def place(d: Diagnostic) -> tuple[str, int]:
    """By which diagnostics are put in order."""
    return (d.span.source.name, d.span.start) if d.span else ("", 0)
