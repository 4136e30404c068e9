"""Values that are given: inputs, parameters, states, runtime scalars, constants, the batch size."""

from __future__ import annotations

import numpy as np

from ..op import Array, Attrs, Leaf, Run
from ..types import Type
from ..value import Value


class Given(Leaf, abstract=True):
    """A leaf whose number the caller supplies, under `attrs["name"]`."""

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        given: Type = attrs["type"]
        return given


class Input(Given):
    """Data: one for each example."""

    latex = "{name}"


class Param(Given):
    """A learned parameter: the same for every example."""

    latex = "{name}"


class State(Given):
    """Carried from step to step, not learned: a running mean, an optimizer's momentum."""

    latex = "{name}"


class Scalar(Given):
    """A number that the runtime sets before each step: `step` (from 1), a learning-rate factor."""

    latex = "{name}"


class BatchSize(Leaf):
    """m, the number of examples in the batch."""

    name = "batch_size"
    latex = "m"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type((), attrs.get("dtype", "f32"))

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Array:
        return np.asarray(run.batch, y.type.numpy)


class Constant(Leaf):
    """One number in every element."""

    latex = "{value}"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type(attrs["shape"], attrs["dtype"])

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        return np.full(y.shape, y.attrs["value"], y.type.numpy)
