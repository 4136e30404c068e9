"""Choosing and converting: where, cast, stop_gradient, one_hot."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..op import REQUIRED, Array, Attrs, Elementwise, apply, build, cast, operation
from ..scalar import Call, Position, Scalar
from ..types import DTYPES, ShapeError, Type, broadcast_shapes
from ..value import Value


class Where(Elementwise):
    """x where the condition holds, else y."""

    latex = r"\begin{{cases}} {x} & {c} \\ {y} \end{{cases}}"
    parameters = ("c", "x", "y")

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        condition, *branches = args
        dtype = self.operand_dtype(tuple(b.type for b in branches))
        return (cast(condition, "bool"), *(cast(b, dtype) for b in branches)), attrs

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("select", *x)

    def reference(self, *x: Array) -> Array:
        return np.where(x[0], x[1], x[2])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        c = args[0]
        return None, apply("where", c, g, 0), apply("where", c, 0, g)


class Cast(Elementwise):
    """The same numbers in another element type; the gradient is cast back."""

    latex = r"{x}"
    samples = (
        (((3,),), {"dtype": "f32"}),
        (((3, 5),), {"dtype": "f64"}),
    )
    options: ClassVar[dict[str, Any]] = {"dtype": REQUIRED}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        if attrs.get("dtype") not in DTYPES:
            raise ShapeError(f"`{attrs.get('dtype')}` is not an element type", code="E326",
                             help=f"one of {', '.join(DTYPES)}")  # fmt: skip
        return args, attrs

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type(types[0].shape, attrs["dtype"], types[0].batched)

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        return Call(y.type.dtype, x[0])

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0]

    def reference(self, *x: Array) -> Array:
        return x[0]

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        x = args[0].type
        return (cast(g, x.dtype) if x.is_float and y.type.is_float else None,)

    def flops(self, y: Value) -> int:
        return 0


class StopGradient(Elementwise):
    """x itself, taken as a constant by differentiation."""

    name = "stop_gradient"
    latex = r"\operatorname{{const}}({x})"

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        return args, attrs

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0]

    def reference(self, *x: Array) -> Array:
        return x[0]

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)

    def flops(self, y: Value) -> int:
        return 0


class OneHot(Elementwise):
    """1 at the label's position along a new last axis, 0 elsewhere."""

    name = "one_hot"
    latex = r"\operatorname{{onehot}}({x})"
    samples = (
        (((),), {"classes": 3}),
        (((5,),), {"classes": 2}),
    )
    options: ClassVar[dict[str, Any]] = {"classes": None, "dtype": "f32"}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        (x,) = args
        if x.type.dtype not in ("i32", "bool"):
            raise ShapeError(f"`one_hot` needs labels, got {x.type}", code="E308", operand=0,
                             help="declare the input as `class[k]`")  # fmt: skip
        classes = attrs.get("classes") or x.type.classes
        if classes is None:
            raise ShapeError("`one_hot` does not know how many classes there are", code="E308",
                             operand=0, help="write `one_hot(x, classes = 10)`")  # fmt: skip
        # The class axis is new: a label [T] becomes [T, 1], to be compared with 0…k−1.
        if x.shape:
            x = build(operation("reshape"), (x,), {"shape": (*x.shape, 1)})
        return (x,), {"classes": int(classes), "dtype": attrs.get("dtype", "f32")}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        shape = broadcast_shapes(x.shape, (attrs["classes"],))
        return Type(shape, attrs["dtype"], x.batched)

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        return Call(y.type.dtype, Call("eq", x[0], Position(len(y.shape) - 1)))

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        label = args[0] if y.args[0].shape else args[0][..., None]
        hot: Any = label == np.arange(y.attrs["classes"])
        return np.asarray(hot, dtype=y.type.numpy)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)
