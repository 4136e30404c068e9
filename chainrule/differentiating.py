"""The gradient of a net's loss for given examples, as numbers.

In: a model, arrays by input name. Out: ∂L/∂parameter of the mean loss, by parameter name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .arrays import Arrays, declared_inputs, named
from .compiler.graph import Graph
from .compiler.pipeline import forward
from .compiler.pipeline import gradients as with_gradients
from .dsl.diagnostics import fail
from .runtime.session import longest, part_of, with_lengths
from .sequences import batches

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]


def gradients(model: Model, inputs: Arrays, targets: Arrays | None) -> dict[str, Array]:
    """`Model.gradients`."""
    names = list(declared_inputs(model.net))
    aside = () if targets is None else model.session.targets
    arrays = named(inputs, [n for n in names if n not in aside])
    if targets is not None:
        arrays |= named(targets, list(model.session.targets))
    numbered = batches(model.evaluation.leaves, arrays, lambda: model.vocabularies)
    ready = with_lengths(model.evaluation, numbered)
    if len({len(a) for a in ready.values()}) != 1:
        raise fail("E610", "the arrays hold different numbers of examples")
    return of_fields(model, ready)


def of_fields(model: Model, ready: Mapping[str, Array]) -> dict[str, Array]:
    """The same, of examples as programs take them."""
    count = len(next(iter(ready.values())))
    program = model.session.program("gradients", lambda: _graph(model), count)
    missing = [n for n in program.inputs if n not in ready]
    if missing:
        raise fail("E610", f"the input `{missing[0]}` is not given")
    program.push(model.session.values)
    for name in program.inputs:
        program.loaded.write(name, ready[name])
    steps = longest(model.evaluation, ready, slice(None))
    if steps:
        program.loaded.run(count, seed=model.settings.seed, lengths=steps)
    else:
        program.loaded.run(count, seed=model.settings.seed)
    return {
        str(o.target.attrs["name"]): program.loaded.read(o.name)
        for o in program.graph.of_kind("gradient")
        if o.target is not None
    }


def _graph(model: Model) -> Graph:
    whole = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    return part_of(with_gradients(whole), "gradient")
