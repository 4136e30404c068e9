"""One training step as one graph: forward, backward, the optimizer's equations for each parameter.

In: the forward graph of a net and what to minimise. Out: a graph whose outputs are the losses and
metrics as means over the batch, and an update for every parameter and state it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..dsl import syntax as s
from ..dsl.diagnostics import Failure, Label, did_you_mean, fail
from .autodiff import gradient
from .elaborate.expressions import describe, evaluate, operand
from .elaborate.initial import initial_value
from .elaborate.instances import bind_settings
from .elaborate.limits import OutOfWork
from .elaborate.module import Module, library_block, library_names
from .elaborate.scope import Collected, Meaning, Poisoned, Scope, written_at
from .graph import Graph, Leaf, Output, leaf
from .minimize import Clip, Minimize, Rule, minimized
from .op import apply, constant
from .types import Type
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
    return [p for p in graph.params if not p.frozen and any(_matches(p.name, w) for w in over)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or name.startswith(pattern + ".")


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
    gradients = _clipped(_decayed(parameter_gradients(graph, loss, params), params), minimize.clip)
    optimizers = _Optimizers(graph, module, minimize)
    updates: list[Output] = []
    for p, g in zip(params, gradients, strict=True):
        updates += optimizers.updates(p, g)
    kept = [o for o in means(graph).outputs if o.kind in ("loss", "metric", "update")]
    leaves = {**graph.leaves, **optimizers.leaves}
    return replace(
        graph, outputs=(*kept, *updates), leaves=leaves, training=True,
        checkpointing=minimize.checkpointing,
    )  # fmt: skip


def _nothing_to_learn(graph: Graph, minimize: Minimize) -> Failure:
    """E262: nothing is declared, nothing matches, or all that matches is frozen."""
    shown = ", ".join(f"`{w}`" for w in minimize.over if w != "*")
    frozen = [p for p in graph.params if any(_matches(p.name, w) for w in minimize.over)]
    layers = sorted({p.name.partition(".")[0] for p in graph.params if not p.frozen})
    if frozen:
        message = "there is nothing to learn: every parameter" + (f" of {shown}" if shown else "")
        message += " is frozen"
        labels = tuple(Label(p.span, f"`{p.name}` is frozen here") for p in frozen[:1] if p.span)
        advice = "remove `frozen` from a parameter"
    elif not graph.params:
        message, labels = f"there is nothing to learn: `{graph.name}` has no parameters", ()
        advice = "add a layer with weights: `x -> dense(10)`"
    else:
        message, labels = f"there is nothing to learn: no parameter belongs to {shown}", ()
        near = did_you_mean(minimize.over[0], layers)
        advice = near or f"the layers with parameters are {', '.join(f'`{n}`' for n in layers)}"
    return fail("E262", message, minimize.span, labels=labels, help=advice)


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


def _decayed(gradients: list[Value], params: Sequence[Leaf]) -> list[Value]:
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


class _Optimizers:
    """The equations of the chosen optimizers, run once for each parameter."""

    def __init__(self, graph: Graph, module: Module, minimize: Minimize) -> None:
        self.module, self.minimize = module, minimize
        self.leaves: dict[str, Leaf] = {}
        self.net = Collected(module, True, "f32")
        self.chosen: dict[int, tuple[s.Optimizer, dict[str, Meaning], bool]] = {}

    def updates(self, param: Leaf, grad: Value) -> list[Output]:
        """New values of the parameter and of its states."""
        rule = self._rule(param)
        declared, settings, library = self._settings(rule)
        dtype = param.value.type.dtype
        self.net.dtype = dtype
        names: dict[str, Meaning] = dict(settings)
        if self.minimize.scheduled and "lr" in names:
            # Schedules multiply the learning rate by a number the runtime sets for each step.
            with origin(Origin(role="update", name="lr")):
                names["lr"] = operand_value(names["lr"]) * self._scalar("rate", dtype)
        names |= {"param": param.value, "grad": grad, "step": self._scalar("step", dtype)}
        scope = Scope(self.net, param.value.origin.instance, declared.name.id, names, {}, library)
        outputs: list[Output] = []
        where = Origin(param.span, param.value.origin.instance, declared.name.id, role="update")
        try:
            with origin(where):
                for statement in declared.body:
                    self._statement(statement, declared, scope, param, outputs)
        except (Poisoned, OutOfWork):
            raise Failure(self.net.diagnostics) from None
        return outputs

    def _statement(
        self,
        statement: s.Statement,
        declared: s.Optimizer,
        scope: Scope,
        param: Leaf,
        outputs: list[Output],
    ) -> None:
        if isinstance(statement, s.State):
            for name in statement.names:
                scope.names[name.id] = self._state(statement, name, declared, scope, param)
        elif isinstance(statement, s.Equation):
            for target in statement.targets:
                scope.names[target.id] = evaluate(statement.value, scope)
        elif isinstance(statement, s.Update):
            outputs.append(self._update(statement, scope, param))
        else:
            raise fail(
                "E263",
                "an optimizer is made of `state`, `update` and equations",
                statement.span,
                labels=(Label(declared.name.span, "this optimizer"),),
                help="for example `update param = param - lr * grad`",
            )

    def _update(self, statement: s.Update, scope: Scope, param: Leaf) -> Output:
        word = statement.name.id
        target = param.value if word == "param" else scope.names.get(word)
        leaves = {**self.leaves, param.name: param}
        if not isinstance(target, Value) or target.attrs.get("name") not in leaves:
            raise fail(
                "E245",
                f"`{word}` is neither `param` nor a state of this optimizer",
                statement.name.span,
                help=did_you_mean(word, ["param", *scope.names])
                or f"declare it above: `state {word} = 0`",
            )
        value = operand(evaluate(statement.value, scope), statement.value.span, scope)
        if not isinstance(value, Value):
            value = constant(value, target.type.dtype)
        if value.shape == () != target.shape:
            value = apply("broadcast", value, shape=target.shape, batch=False)
        if value.shape != target.shape or value.type.batched:
            raise fail(
                "E312",
                f"`{word}` is {target.type}, its update {value.type}",
                statement.value.span,
                labels=(Label(param.span, f"for the parameter `{param.name}`"),)
                if param.span
                else (),
                help="an update has the shape of its parameter: compute element by element",
            )
        if word != "param":
            scope.names[word] = value  # equations below use the new value, as the textbook does
        return Output("update", str(target.attrs["name"]), value, target, statement.span)

    def _state(
        self, statement: s.State, name: s.Ident, declared: s.Optimizer, scope: Scope, param: Leaf
    ) -> Value:
        type = param.value.type
        path = f"{param.name}.{declared.name.id}.{name.id}"
        value = leaf("state", path, type, name.span, role="update")
        initial, text = initial_value(statement.initialiser, statement.value, type, scope, path)
        self.leaves[path] = Leaf(value, "state", initial, text, span=name.span)
        return value

    def _scalar(self, name: str, dtype: str) -> Value:
        found = self.leaves.get(name)
        if found is None:
            found = Leaf(leaf("scalar", name, Type((), dtype), role="update"), "scalar")
            self.leaves[name] = found
        return (
            apply("cast", found.value, dtype=dtype)
            if found.value.type.dtype != dtype
            else found.value
        )

    def _rule(self, param: Leaf) -> Rule:
        chosen = [r for r in self.minimize.rules if _matches(param.name, r.pattern)]
        if not chosen:
            raise fail(
                "E264",
                f"no optimizer is given for `{param.name}`",
                self.minimize.span,
                labels=(Label(param.span, "this parameter"),) if param.span else (),
                help="add a line without `for`: `optimizer adam(lr = 1e-3)`",
            )
        return chosen[-1]

    def _settings(self, rule: Rule) -> tuple[s.Optimizer, dict[str, Meaning], bool]:
        if id(rule) not in self.chosen:
            self.chosen[id(rule)] = resolve_optimizer(rule.optimizer, self.module, self.net)
        return self.chosen[id(rule)]


def operand_value(meaning: Meaning) -> Value | float:
    """A setting as something to compute with. Raises Failure E220."""
    if isinstance(meaning, Value | float | int):
        return meaning
    raise fail("E220", f"{describe(meaning)} is not a number")


def resolve_optimizer(
    e: s.Expr, module: Module, net: Collected
) -> tuple[s.Optimizer, dict[str, Meaning], bool]:
    """An optimizer and its settings from `adam(lr = 1e-3)`. Raises Failure E264, E233, E265."""
    function = e.function if isinstance(e, s.Call) else e
    if not isinstance(function, s.Name):
        raise fail(
            "E264",
            "an optimizer is a name with settings",
            e.span,
            help="write `optimizer adam(lr = 1e-3)`",
        )
    declared = module.optimizer(function.id)
    if declared is None:
        known = [
            *module.optimizers,
            *(n for n in library_names() if isinstance(library_block(n), s.Optimizer)),
        ]
        raise fail(
            "E264",
            f"there is no optimizer `{function.id}`",
            function.span,
            help=did_you_mean(function.id, known) or f"one of {', '.join(known)}",
        )
    scope = Scope(net, "", declared.name.id, {}, {})
    from .elaborate.expressions import arguments

    positional, named = arguments(e, scope) if isinstance(e, s.Call) else ([], {})
    settings = bind_settings(declared, positional, named, e.span, scope)
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fail(
                "E265",
                f"`{key}` of `{function.id}` is a number, got {describe(value)}",
                written_at(named, key, e.span),
                labels=(Label(declared.name.span, "declared here"),),
                help=f"write `{function.id}({key} = 0.01)`",
            )
    library = function.id not in module.optimizers
    return declared, settings, library


__all__ = [
    "Clip",
    "Minimize",
    "Rule",
    "batch_mean",
    "means",
    "minimized",
    "parameter_gradients",
    "resolve_optimizer",
    "trainable",
    "training_step",
    "with_gradients",
]
