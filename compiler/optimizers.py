"""The equations of an optimizer, run for each parameter.

In: a parameter, its gradient, what `train` asks for. Out: updates of the parameter and of the
states that the optimizer keeps for it. The gradient itself is `step`'s.
"""

from __future__ import annotations

from ..dsl import syntax as s
from ..dsl.diagnostics import Failure, Label, did_you_mean, fail
from .elaborate.expressions import arguments, describe, evaluate, operand
from .elaborate.initial import initial_value
from .elaborate.instances import bind_settings
from .elaborate.limits import OutOfWork
from .elaborate.module import Module, library_block, library_names
from .elaborate.scope import Collected, Meaning, Poisoned, Scope, written_at
from .graph import Graph, Leaf, Output, leaf
from .minimize import Minimize, Rule, matches, rate_of
from .op import apply, constant
from .types import Type
from .value import Origin, Value, origin


class Optimizers:
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
        lines = [k for k, p in enumerate(self.minimize.schedules) if matches(param.name, p)]
        if lines and "lr" in names:
            # Schedules multiply the learning rate by a number the runtime sets for each step.
            with origin(Origin(role="update", name="lr")):
                rate = self._scalar(rate_of(lines[-1]), dtype)
                names["lr"] = operand_value(names["lr"]) * rate
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
        chosen = [r for r in self.minimize.rules if matches(param.name, r.pattern)]
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
