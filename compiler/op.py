"""What an operation is: shape rule, derivative, one-element expression, reference, formula.

An operation is one class in one file of `ops/`; it is found from there by the language, fusion, the
emitters, diagrams, documentation and tests. Families:

* `Elementwise`: one element of the result from the elements of the operands at the same place
  (NumPy broadcasting); `scalar` is the expression.
* `View`: moves elements: result[i] = operand[offset + Σ stride·i]; `view` gives offset and strides.
* `Assemble`: writes boxes of its operands into the result (concat, pad, overlapping windows).
* `Reduction`: folds axes (and the batch where `over_batch`) with `kind`.
* `Contraction`: sums products; `spec` is the einsum string, `b` being the batch.
* `convolution`: the convolutions of `ops/convolution.py`, which are lowered to contractions.
* `Leaf`: no operands: input, param, state, scalar, constant, batch_size.

The compiler never asks for an operation by class: it asks for its family.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scalar import Scalar
from .types import ShapeError, Type, axis_index, broadcast_shapes, promote
from .value import Value, current_origin

Array = NDArray[Any]
Attrs = Mapping[str, Any]
REGISTRY: dict[str, Op] = {}


class Run(NamedTuple):
    """What a run of a graph is about, besides its leaves: sizes and the counters of draws."""

    batch: int = 1
    seed: int = 0
    step: int = 1


class Op:
    """An operation. Stateless: one instance serves every graph."""

    name: ClassVar[str] = ""  # the word typed in .net; by default the class name in lower case
    family: ClassVar[str] = ""
    latex: ClassVar[str] = ""  # {x}, {y}, {z} are the operands, {attr} an attribute
    infix: ClassVar[str] = ""  # operator in .net text, if it has one
    parameters: ClassVar[tuple[str, ...]] = ("x",)  # operand names, in order
    options: ClassVar[dict[str, Any]] = {}  # attribute: default (or REQUIRED)
    variadic: ClassVar[bool] = False  # any number of operands (concat)
    # For the tests of every operation: operands' shapes and attributes that fit together, and
    # where operands may lie.
    samples: ClassVar[tuple[tuple[tuple[tuple[int, ...], ...], dict[str, Any]], ...]] = ()
    domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    abstract: ClassVar[bool] = True
    lowered: ClassVar[bool] = False  # made by lowering, after differentiation: has no derivative

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.abstract = abstract
        if abstract:
            return
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()
        REGISTRY[cls.name] = cls()

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        """Type of the result. Raises ShapeError."""
        raise TypeError(f"{self.name} has no shape rule")

    def type_of(self, args: tuple[Value, ...], attrs: Attrs) -> Type:
        """`infer`, and where operands are framed, so is what is per example. Raises ShapeError."""
        type = self.infer(tuple(a.type for a in args), attrs)
        if not type.batched or type.frame is not None:
            return type
        frames = {a.type.frame for a in args if a.type.batched}
        if frames <= {None}:
            return type
        if len(frames) > 1:
            raise ShapeError(f"`{self.name}` on values of different frames")
        return type.with_(frame=frames.pop())

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        """Operands and attributes in normal form (conversions inserted, axes made positive)."""
        return args, attrs

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        """∂L/∂operand for each operand, from g = ∂L/∂y. Shapes may still be broadcast: autodiff
        sums them back to the operand's. None: no gradient flows there."""
        raise ShapeError(f"`{self.name}` has no derivative", code="E310")

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        """The reference in NumPy. Batched operands carry the batch as axis 0."""
        raise TypeError(f"{self.name} has no reference")

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Array:
        """`evaluate` for the operations that also need the batch size, the seed or the step."""
        return self.evaluate(y, args)

    def flops(self, y: Value) -> int:
        """Floating-point operations for one example."""
        return 0

    @property
    def doc(self) -> str:
        return (self.__doc__ or "").strip()


REQUIRED = object()


class Leaf(Op, abstract=True):
    """A value that is given, not computed."""

    family = "leaf"
    parameters = ()


class Elementwise(Op, abstract=True):
    """Element by element, with NumPy broadcasting of per-example shapes."""

    family = "elementwise"
    result: ClassVar[str] = ""  # element type of the result; "" means that of the operands

    def scalar(self, *x: Scalar) -> Scalar:
        """One element of the result."""
        raise TypeError(f"{self.name} has no scalar expression")

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        """`scalar`, for the value y: what fusion asks. Operations with attributes (cast, one_hot,
        draws) say here how these enter; `Position(k)` counts along axis k of y."""
        return self.scalar(*x)

    def reference(self, *x: Array) -> Array:
        """What the tests trust, on aligned arrays."""
        raise TypeError(f"{self.name} has no reference")

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        dtype = self.operand_dtype(tuple(a.type for a in args))
        return tuple(cast(a, dtype) for a in args), attrs

    def operand_dtype(self, types: tuple[Type, ...]) -> str:
        """The common element type; f32 at least unless the operation is for any type."""
        dtype = promote(*(t.dtype for t in types))
        return dtype if self.result == "bool" or dtype in ("f32", "f64", "i32") else "f32"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        shape = broadcast_shapes(*(t.shape for t in types))
        batched = any(t.batched for t in types)
        return Type(shape, self.result or types[-1].dtype, batched)

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        aligned = [align(a, x, y) for a, x in zip(args, y.args, strict=True)]
        result = np.asarray(self.reference(*aligned))
        return result.astype(y.type.numpy, copy=False)

    def flops(self, y: Value) -> int:
        return y.type.size


class View(Op, abstract=True):
    """Moves elements without computing: result[i] = operand[offset + Σ strideₖ·iₖ]."""

    family = "view"

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        """(offset, stride of each result axis) into the operand's contiguous example."""
        raise TypeError(f"{self.name} has no view")

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        offset, strides = self.view(y)
        x = np.ascontiguousarray(args[0])
        batched = y.args[0].type.batched
        rows = x.reshape(x.shape[0], -1) if batched else x.reshape(1, -1)
        result = rows[:, places(y.shape, offset, strides)]
        return result if batched else result[0]


class Box(NamedTuple):
    """Elements `offset + Σ strides·i` of an operand, for i over `shape`, go to `start + Σ steps·i`
    of the result (flat indices into one example)."""

    operand: int
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    start: int
    steps: tuple[int, ...]


class Assemble(Op, abstract=True):
    """Writes boxes of its operands into the result (adds them if `adds`); the rest is `fill`."""

    family = "assemble"
    adds: ClassVar[bool] = False

    def boxes(self, y: Value) -> tuple[Box, ...]:
        """What goes where. Boxes overlap only if the operation adds."""
        raise TypeError(f"{self.name} has no boxes")

    def fill(self, y: Value) -> float:
        """What stands where no box is."""
        return 0.0

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        batch = next((a.shape[0] for a, x in zip(args, y.args, strict=True) if x.type.batched), 0)
        rows = batch if y.type.batched else 1
        result = np.full((rows, y.type.size), self.fill(y), y.type.numpy)
        for box in self.boxes(y):
            x = y.args[box.operand].type
            values = args[box.operand].reshape(batch if x.batched else 1, x.size)
            found = values[:, places(box.shape, box.offset, box.strides).ravel()]
            where = places(box.shape, box.start, box.steps).ravel()
            result[:, where] = result[:, where] + found if self.adds else found
        return result.reshape((rows, *y.shape) if y.type.batched else y.shape)


def places(shape: tuple[int, ...], offset: int, strides: tuple[int, ...]) -> NDArray[np.int64]:
    """`offset + Σ strides·i` for all i over `shape`."""
    total = np.full(shape, offset, np.int64)
    for axis, (stride, size) in enumerate(zip(strides, shape, strict=True)):
        along = np.arange(size) * stride
        total += along.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return total


class Reduction(Op, abstract=True):
    """Folds the `axes` of the result's operand, and the batch where `batch` is true."""

    family = "reduction"
    kind: ClassVar[str] = ""  # sum, max, min, argmax
    samples = (
        (((5,),), {}),
        (((3, 5),), {"axis": 1}),
        (((3, 1, 7),), {"axis": (0, 2), "keep": True}),
        (((3, 5),), {"axis": -2, "keep": True}),
        (((3,),), {"over": "batch"}),
        (((3, 5),), {"over": ("batch", 1)}),
    )
    options: ClassVar[dict[str, Any]] = {"axis": None, "over": None, "keep": False}
    result: ClassVar[str] = ""

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        rank = len(args[0].shape)
        over = attrs.get("over")
        axis = attrs.get("axis")
        if over is not None and axis is not None:
            raise ShapeError("give `axis` or `over`, not both", code="E304",
                             help="`over = (batch, 0)` means the batch and axis 0")  # fmt: skip
        chosen = over if over is not None else axis
        if chosen is None:
            items: tuple[Any, ...] = tuple(range(rank))
        else:
            items = chosen if isinstance(chosen, tuple) else (chosen,)
        axes = tuple(sorted({axis_index(int(a), rank) for a in items if a != "batch"}))
        keep = bool(axes and attrs.get("keep", False))  # without axes it says nothing
        attrs = {"axes": axes, "batch": "batch" in items, "keep": keep}
        return args, attrs

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        if attrs["batch"] and not x.batched:
            raise ShapeError("there is no batch to reduce over: the value is not per example",
                             code="E305", operand=0, help="leave out `batch`")  # fmt: skip
        axes, keep = attrs["axes"], attrs["keep"]
        kept = [1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes]
        batched = x.batched and not attrs["batch"]
        return Type(tuple(kept), self.result or x.dtype, batched)

    def fold(self, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
        """The reference: NumPy's reduction."""
        raise TypeError(f"{self.name} has no reference")

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        x = y.args[0].type
        shift = 1 if x.batched else 0
        axes = tuple(a + shift for a in y.attrs["axes"])
        result = self.fold(args[0], axes, y.attrs["keep"]) if axes else args[0]
        if y.attrs["batch"]:
            result = self.fold(result, (0,), False)
        return np.asarray(result).astype(y.type.numpy, copy=False)

    def flops(self, y: Value) -> int:
        return y.args[0].type.size


class Contraction(Op, abstract=True):
    """Sums products of two operands over shared indices, as an einsum."""

    family = "contraction"
    parameters = ("x", "y")

    def spec(self, types: tuple[Type, ...], attrs: Attrs) -> str:
        """Einsum string over per-example axes; `b` leads where something is per example."""
        raise TypeError(f"{self.name} has no spec")

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        dtype = promote("f32", *(a.type.dtype for a in args))
        return tuple(cast(a, dtype) for a in args), attrs

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        operands, result = self.spec(types, attrs).split("->")
        sizes: dict[str, int] = {}
        for letters, t in zip(operands.split(","), types, strict=True):
            for letter, n in zip(letters.lstrip("b"), t.shape, strict=True):
                if sizes.setdefault(letter, n) != n:
                    raise ShapeError(f"sizes {sizes[letter]} and {n} meet in one index")
        shape = tuple(sizes[c] for c in result.lstrip("b"))
        return Type(shape, types[0].dtype, result.startswith("b"))

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        spec = self.spec(tuple(a.type for a in y.args), y.attrs)
        return np.asarray(np.einsum(spec, *args, optimize=True), dtype=y.type.numpy)

    def flops(self, y: Value) -> int:
        operands, _ = self.spec(tuple(a.type for a in y.args), y.attrs).split("->")
        sizes: dict[str, int] = {}
        for letters, x in zip(operands.split(","), y.args, strict=True):
            sizes.update(zip(letters.lstrip("b"), x.shape, strict=True))
        total = 2
        for n in sizes.values():
            total *= n
        return total


def align(array: Array, x: Value, y: Value) -> Array:
    """Insert axes behind the batch so that NumPy broadcasts per-example shapes."""
    if not x.type.batched:
        return array
    missing = len(y.shape) - len(x.shape)
    return array.reshape(array.shape[:1] + (1,) * missing + array.shape[1:]) if missing else array


# ---------------------------------------------------------------- building values


def operation(name: str) -> Op:
    """An operation by its word. Raises KeyError."""
    return registry()[name]


_loaded = False


def registry() -> dict[str, Op]:
    """Every operation in `ops/`, by word."""
    global _loaded
    if not _loaded:
        _loaded = True
        package = importlib.import_module(".ops", __package__)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f".ops.{module.name}", __package__)
    return REGISTRY


def apply(name: str, *args: Value | float, **attrs: Any) -> Value:
    """The operation `name` on values and numbers. Raises ShapeError."""
    op = operation(name)
    floats = (a.type.dtype for a in args if isinstance(a, Value) and a.type.is_float)
    dtype = promote("f32", *floats)
    values = tuple(a if isinstance(a, Value) else constant(a, dtype) for a in args)
    return build(op, values, attrs)


def build(op: Op, args: tuple[Value, ...], attrs: Attrs) -> Value:
    """One value from normalised operands."""
    args, attrs = op.prepare(args, attrs)
    return Value(op, args, attrs, op.type_of(args, attrs), current_origin())


def constant(value: float, dtype: str = "f32", shape: tuple[int, ...] = ()) -> Value:
    """A number, the same in every element of `shape`."""
    attrs = {"value": float(value), "dtype": dtype, "shape": shape}
    return Value(operation("constant"), (), attrs, Type(shape, dtype), current_origin())


def cast(x: Value, dtype: str) -> Value:
    """`x` with another element type; numbers are simply rewritten."""
    if x.type.dtype == dtype:
        return x
    if x.is_constant:
        return constant(x.attrs["value"], dtype, x.shape)
    return build(operation("cast"), (x,), {"dtype": dtype})
