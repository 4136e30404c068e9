"""Types of values: the shape of one example, the element type, one per example or one for all.

The batch axis is never part of `shape`. A value that depends on an input has `batched=True`: there
is one per example. Parameters, states and constants have not. Lowering knows values of which there
is one for each step of a sequence and each example: those have a `frame`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

FLOATS = ("f32", "f64")
DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}
_RANK = {"bool": 0, "i32": 1, "f32": 2, "f64": 3}


@dataclass(frozen=True, slots=True)
class Frame:
    """The steps of a sequence: at most `steps`; how many a batch has, the runtime says of `clock`
    (the name of the size in the source; "" where it is always the same)."""

    clock: str
    steps: int


@dataclass(frozen=True, slots=True)
class Type:
    """`shape` is for one example; `classes` is k for labels of `class[k]`.

    With a `frame` (after lowering), there is one for each step and example: step after step, in
    each the examples one after another."""

    shape: tuple[int, ...] = ()
    dtype: str = "f32"
    batched: bool = False
    classes: int | None = None
    frame: Frame | None = None

    @property
    def size(self) -> int:
        """Elements of one example."""
        return prod(self.shape)

    @property
    def numpy(self) -> np.dtype[Any]:
        return DTYPES[self.dtype]

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    def with_(self, **changes: object) -> Type:
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.classes is not None and self.dtype == "i32":
            inner = ", ".join([*map(str, self.shape), str(self.classes)])
            return f"tokens[{inner}]" if self.shape else f"class[{inner}]"
        shape = f"[{', '.join(map(str, self.shape))}]"
        return shape if self.dtype == "f32" else f"{shape} {self.dtype}"


class ShapeError(Exception):
    """An operation does not fit its operands.

    `operand` is the index of the offending one; `note` is what to print beside the underline.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "E301",
        operand: int | None = None,
        help: str = "",
        note: str = "",
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.operand = message, code, operand
        self.help, self.note = help, note


def promote(*dtypes: str) -> str:
    """The wider of several element types: bool < i32 < f32 < f64."""
    return max(dtypes, key=_RANK.__getitem__)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy broadcasting of per-example shapes. Raises ShapeError."""
    first = shapes[0]
    if all(s == first for s in shapes[1:]):
        return first
    rank = max(map(len, shapes))
    result = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {1}
        if len(sizes) > 1:
            shown = " and ".join(str(list(s)) for s in shapes)
            raise ShapeError(
                f"shapes {shown} do not broadcast: sizes {' and '.join(map(str, sorted(sizes)))}"
                " meet in one axis",
                code="E302",
                help="sizes go together when they are the same, or one of them is 1",
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def axis_index(axis: int, rank: int) -> int:
    """A possibly negative axis as 0…rank−1. Raises ShapeError."""
    if not -rank <= axis < rank:
        if rank > 1:
            advice = f"axes count from 0 to {rank - 1}; -1 is the last"
        else:
            advice = "its only axis is 0" if rank else "a scalar has no axes"
        raise ShapeError(f"axis {axis} does not exist in a value of {rank} ax{'ei'[rank == 1]}s",
                         code="E303", help=advice)  # fmt: skip
    return axis % rank
