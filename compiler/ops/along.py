"""From rows of a frame to an axis: what a sequence leaves for each step, beside each other.

Made by lowering where something looks at all steps of an example at once. Steps that the batch does
not have are zero.
"""

from __future__ import annotations

import numpy as np

from ..op import Array, Attrs, Op
from ..types import ShapeError, Type
from ..value import Value


class Along(Op):
    """The rows of a frame as the first axis of each example, zero behind the last step."""

    name = "along_steps"
    family = "along"
    lowered = True
    latex = "{x}"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        if x.frame is None:
            raise ShapeError("`along_steps` needs rows of a frame")
        return x.with_(shape=(x.frame.steps, *x.shape), frame=None)

    def type_of(self, args: tuple[Value, ...], attrs: Attrs) -> Type:
        return self.infer(tuple(a.type for a in args), attrs)

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        (x,), steps, batched = args, y.shape[0], y.type.batched
        rows = x.reshape(steps, -1, *y.shape[1:])
        return np.ascontiguousarray(rows.swapaxes(0, 1) if batched else rows[:, 0])
