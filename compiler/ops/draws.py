"""Random draws, from counters: the same seed gives the same numbers on every target.

A draw is told apart by its `stream`; `batched` gives fresh numbers for every example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .. import random
from ..op import REQUIRED, Array, Attrs, Elementwise, Op, Run
from ..scalar import Call, Position, Scalar
from ..types import ShapeError, Type
from ..value import Value


class Draw(Elementwise, abstract=True):
    """Elementwise without operands: element i of example e comes from the counter e·size + i.

    i counts the elements with axis `order[k]` as the k-th. Images count channels last, which is how
    they lie in memory, so that a mask is the same numbers whatever the layout.
    """

    parameters = ()
    samples = (
        ((), {"shape": (3, 5)}),
        ((), {"shape": (7,), "batched": True, "stream": 3}),
    )
    options: ClassVar[dict[str, Any]] = {
        "shape": REQUIRED,
        "stream": 0,
        "batched": False,
        "dtype": "f32",
        "order": None,
    }
    sample: ClassVar[Callable[..., Array]]

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        shape = tuple(int(n) for n in attrs["shape"])
        order = attrs.get("order")
        if order is None:
            order = (1, 2, 0) if len(shape) == 3 else ()
        return args, {
            "shape": shape,
            "stream": int(attrs.get("stream", 0)),
            "batched": bool(attrs.get("batched", False)),
            "dtype": attrs.get("dtype", "f32"),
            "order": tuple(int(k) for k in order),
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type(attrs["shape"], attrs["dtype"], attrs["batched"])

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        assert not y.attrs["order"], "lowering puts draws into the order in which they count"
        return Call(self.name, y.attrs["stream"], Position(-1))

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Array:
        order: tuple[int, ...] = y.attrs["order"] or tuple(range(len(y.shape)))
        lead = (run.batch,) if y.type.batched else ()
        counted = (*lead, *(y.shape[k] for k in order))
        found = self.sample(counted, y.attrs["stream"], y.type.dtype, run.seed, run.step)
        back = [order.index(k) + len(lead) for k in range(len(order))]
        return found.transpose([*range(len(lead)), *back])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return ()


class Uniform(Draw):
    """Independent numbers, evenly spread over [0, 1)."""

    latex = r"\mathcal{{U}}(0, 1)"
    sample = staticmethod(random.uniform)


class Normal(Draw):
    """Independent numbers from the standard normal distribution."""

    latex = r"\mathcal{{N}}(0, 1)"
    sample = staticmethod(random.normal)


class Orthogonal(Op):
    """A random matrix with orthonormal rows or columns, whichever are fewer; for initial values."""

    family = "draw"
    latex = r"\mathcal{{O}}"
    parameters = ()
    samples = (
        ((), {"shape": (3, 5)}),
        ((), {"shape": (5, 3)}),
    )
    options: ClassVar[dict[str, Any]] = {"shape": REQUIRED, "stream": 0, "dtype": "f32"}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        shape = tuple(int(n) for n in attrs["shape"])
        if len(shape) != 2:
            raise ShapeError(f"`orthogonal` makes matrices, not {list(shape)}", code="E327",
                             help="draw a vector with `~ normal` or `~ glorot`")  # fmt: skip
        return args, {
            "shape": shape,
            "stream": int(attrs.get("stream", 0)),
            "dtype": attrs.get("dtype", "f32"),
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type(attrs["shape"], attrs["dtype"])

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Array:
        return random.orthogonal(y.shape, y.attrs["stream"], y.type.dtype, run.seed, run.step)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return ()
