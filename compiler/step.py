"""One training step as one graph: forward, backward, the optimizer's equations for each parameter.

In: the forward graph of a net and what to minimise. Out: a graph whose outputs are the losses and
metrics as means over the batch, and an update for every parameter and state it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..dsl.diagnostics import Failure, Label, did_you_mean, fail
from ..dsl.source import Span
from .autodiff import gradient
from .elaborate.module import Module
from .graph import Graph, Leaf, Output
from .minimize import Clip, Minimize, matches
from .op import apply
from .optimizers import Optimizers
from .value import Origin, Value, origin


def means(graph: Graph) -> Graph:
    """Losses and metrics as means over the batch: (1/m) Σ."""
    outputs = [
        replace(o, value=batch_mean(o.value)) if o.kind in ("loss", "metric") else o
        for o in graph.outputs
    ]
    return graph.with_outputs(outputs)


def batch_mean(value: Value) -> Value:
    """(1/m) Σ over the batch; what is not per example is its own mean."""
    if not value.type.batched:
        return value
    with origin(replace(value.origin, of=None)):
        total = apply("sum", value, over=("batch",))
        return total / apply("batch_size", dtype=value.type.dtype)


def parameter_gradients(graph: Graph, loss: Output, params: Sequence[Leaf]) -> list[Value]:
    """∂L/∂W for the mean loss L = (1/m) Σ ℓ: the sum of the examples' gradients, divided by m.

    Dividing at the end keeps every δ inside in its textbook form, ∂ℓ/∂Z = A − Y.
    """
    total = loss.value
    wrt = [p.value for p in params]
    found = gradient(total, wrt)
    if not total.type.batched:
        return found
    m = apply("batch_size", dtype=total.type.dtype)
    result = []
    for g, p in zip(found, params, strict=True):
        with origin(
            Origin(
                p.span, p.value.origin.instance, p.value.origin.block, p.name, "backward", p.value
            )
        ):
            result.append(g / m)
    return result


def trainable(graph: Graph, over: Sequence[str] = ("*",)) -> list[Leaf]:
    """Parameters that are not frozen and match one of the patterns (`D` stands for all of D)."""
    return [p for p in graph.params if not p.frozen and any(matches(p.name, w) for w in over)]


def with_gradients(graph: Graph, loss: str | None = None) -> Graph:
    """The forward graph with a `gradient` output for each trainable parameter of the mean loss."""
    chosen = graph.loss(loss)
    params = trainable(graph)
    outputs = [
        Output("gradient", f"grad {p.name}", g, p.value, p.span)
        for p, g in zip(params, parameter_gradients(graph, chosen, params), strict=True)
    ]
    return means(graph).with_outputs([*means(graph).outputs, *outputs])


def training_step(graph: Graph, module: Module, minimize: Minimize) -> Graph:
    """Forward, backward and update. Raises Failure E260 to E264, and what the equations raise."""
    loss = _loss(graph, minimize, module)
    params = trainable(graph, minimize.over)
    if not params:
        raise _nothing_to_learn(graph, minimize)
    _check_over(graph, minimize)
    gradients = parameter_gradients(graph, loss, params)
    found, leaves = updates(graph, module, minimize, params, gradients)
    kept = [o for o in means(graph).outputs if o.kind in ("loss", "metric", "update")]
    return replace(
        graph, outputs=(*kept, *found), leaves={**graph.leaves, **leaves}, training=True,
        checkpointing=minimize.checkpointing,
    )  # fmt: skip


def updates(
    graph: Graph,
    module: Module,
    minimize: Minimize,
    params: Sequence[Leaf],
    gradients: Sequence[Value],
) -> tuple[list[Output], dict[str, Leaf]]:
    """New parameters, optimizer states and their leaves, from the gradients of a step."""
    optimizers = Optimizers(graph, module, minimize)
    found: list[Output] = []
    for p, g in zip(params, _clipped(_decayed(gradients, params), minimize.clip), strict=True):
        found += optimizers.updates(p, g)
    return found, optimizers.leaves


def _nothing_to_learn(graph: Graph, minimize: Minimize) -> Failure:
    """E262: nothing is declared, nothing matches, or all that matches is frozen."""
    shown = ", ".join(f"`{w}`" for w in minimize.over if w != "*")
    frozen = [p for p in graph.params if any(matches(p.name, w) for w in minimize.over)]
    if frozen and minimize.freezes:
        labels: tuple[Label, ...] = tuple(Label(e.span, "frozen here") for e in minimize.freezes)
        message = f"there is nothing to learn: all{f' of {shown}' if shown else ''} is frozen"
        return fail(
            "E262",
            message,
            minimize.span,
            labels=labels,
            help="take it out of `freeze`, or let other layers learn",
        )
    if frozen:
        message = "there is nothing to learn: every parameter" + (f" of {shown}" if shown else "")
        message += " is frozen"
        labels = tuple(Label(p.span, f"`{p.name}` is frozen here") for p in frozen[:1] if p.span)
        advice = "remove `frozen` from a parameter"
    elif not graph.params:
        message, labels = f"there is nothing to learn: `{graph.name}` has no parameters", ()
        advice = "add a layer with weights: `x -> dense(10)`"
    else:
        return _no_parameter(graph, minimize.over[0], minimize.places[0] or minimize.span)
    return fail("E262", message, minimize.span, labels=labels, help=advice)


def _check_over(graph: Graph, minimize: Minimize) -> None:
    """Raise E262 for a word after `over` that means no parameter, though others do."""
    for pattern, place in zip(minimize.over, minimize.places, strict=True):
        if not any(matches(p.name, pattern) for p in graph.params):
            raise _no_parameter(graph, pattern, place)


def _no_parameter(graph: Graph, pattern: str, place: Span | None) -> Failure:
    layers = sorted({p.name.partition(".")[0] for p in graph.params if not p.frozen})
    message = f"there is nothing to learn: no parameter belongs to `{pattern}`"
    advice = f"the layers with parameters are {', '.join(f'`{n}`' for n in layers)}"
    return fail("E262", message, place, help=did_you_mean(pattern, layers) or advice)


def _loss(graph: Graph, minimize: Minimize, module: Module) -> Output:
    name = minimize.loss
    losses = graph.of_kind("loss")
    if not losses:
        raise fail(
            "E260",
            f"the net `{graph.name}` has no loss, so it cannot be trained",
            module.nets[graph.name].name.span,
            help="add `loss cross_entropy(scores, label)`",
        )
    if name is None and len(losses) > 1:
        names = ", ".join(f"`{o.name}`" for o in losses)
        raise fail(
            "E261",
            f"the net has several losses ({names}): say which to minimise",
            losses[1].span,
            help=f"in train: `minimize {losses[0].name} over … with adam()`",
        )
    for o in losses:
        if name in (None, o.name):
            return o
    known = [o.name for o in losses]
    raise fail(
        "E261",
        f"there is no loss `{name}`",
        minimize.span,
        labels=tuple(Label(o.span, f"this one is called `{o.name}`") for o in losses if o.span),
        help=did_you_mean(name or "", known) or f"the net has {', '.join(known)}",
    )


def _decayed(gradients: Sequence[Value], params: Sequence[Leaf]) -> list[Value]:
    """L2: a parameter declared `decay λ` adds λ/2 ‖W‖² to the loss, so λ W to its gradient."""
    return [g + p.decay * p.value if p.decay else g for g, p in zip(gradients, params, strict=True)]


def _clipped(gradients: list[Value], clip: Clip | None) -> list[Value]:
    if clip is None:
        return gradients
    with origin(Origin(role="update", name="clip")):
        if clip.value is not None:
            low, high = -clip.value, clip.value
            gradients = [apply("minimum", apply("maximum", g, low), high) for g in gradients]
        if clip.norm is None:
            return gradients
        squares = [apply("sum", g * g) for g in gradients]
        total = squares[0]
        for square in squares[1:]:
            total = total + square
        # Pascanu et al. (2013): scaled down to the limit, never up.
        tiny = 1e-30
        scale = apply("minimum", clip.norm / apply("sqrt", total + tiny), 1.0)
        return [g * scale for g in gradients]


__all__ = [
    "batch_mean",
    "means",
    "parameter_gradients",
    "trainable",
    "training_step",
    "updates",
    "with_gradients",
]
