"""Kernels over images for the CUDA tests: convolutions and their gradients as products of nested
axes, built by hand as the compiler plans them.

Images lie channels-last, with a border of zeros already around them; `Image` knows sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.plan import Access, Extent, Let, Matrix, Product, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position, Scalar
from tests.runtime.cuda_plans import ONE, contiguous

BATCH = Extent(1, True)


@dataclass(frozen=True)
class Image:
    """A convolution of a padded image [high, wide, channels] with a kernel `tall` × `across`."""

    high: int
    wide: int
    channels: int
    tall: int
    across: int
    filters: int
    stride: int = 1
    dilation: int = 1

    @property
    def size(self) -> int:
        return self.high * self.wide * self.channels

    @property
    def result(self) -> tuple[int, int]:
        high, wide = ((k - 1) * self.dilation + 1 for k in (self.tall, self.across))
        return (self.high - high) // self.stride + 1, (self.wide - wide) // self.stride + 1

    @property
    def rows(self) -> tuple[Extent, ...]:
        return (BATCH, *(Extent(n) for n in self.result))

    @property
    def line(self) -> int:
        return self.wide * self.channels

    @property
    def at_rows(self) -> tuple[int, ...]:
        """Strides of the image along the rows of the product."""
        return self.size, self.stride * self.line, self.stride * self.channels

    @property
    def taps(self) -> tuple[tuple[Extent, ...], tuple[int, ...]]:
        """The axes of the depth and their strides; width and channels are one where they touch."""
        step = self.dilation
        if step == 1:
            return (Extent(self.tall), Extent(self.across * self.channels)), (self.line, 1)
        axes = (Extent(self.tall), Extent(self.across), Extent(self.channels))
        return axes, (step * self.line, step * self.channels, 1)


def epilogue(
    axes: int, write: Access, *lets: tuple[Scalar, str], reads: tuple[Access, ...] = (),
    dtype: str = "f32",
) -> Stage:  # fmt: skip
    """The last let (or the sum, where there is none), stored."""
    made = tuple(Let(e, d) for e, d in lets)
    value = Temp(len(made) - 1) if made else Element(0)
    return Stage((-1,) * axes, (Access(-1, dtype, ()), *reads), made, (Write(write, value),))


def multiply(
    slots: tuple[int, ...], rows: tuple[Extent, ...], columns: int, depth: tuple[Extent, ...],
    a: Matrix, b: Matrix, stage: Stage, loop: Extent = ONE, dtype: str = "f32",
) -> Product:  # fmt: skip
    return Product("by hand", slots, (), None, (), (), rows, Extent(columns), depth, loop, a, b,
                   dtype, stage)  # fmt: skip


def forward(image: Image, dtype: str = "f32") -> Product:
    """max(x ∗ w + b, 0); slots x [H, W, C], w [KH, KW, C, O], b [O], y [H', W', O]."""
    depth, at_depth = image.taps
    high, wide = image.result
    o = image.filters
    stage = epilogue(
        4, Access(3, dtype, (high * wide * o, wide * o, o, 1)),
        (Call("add", Element(0), Element(1)), dtype), (Call("max", Temp(0), Literal(0.0)), dtype),
        reads=(Access(2, dtype, (0, 0, 0, 1)),), dtype=dtype,
    )  # fmt: skip
    taps = tuple(e.size for e in depth)
    b = Matrix(1, tuple(s * o for s in contiguous(taps)), (1,))
    return multiply((0, 1, 2, 3), image.rows, o, depth, Matrix(0, image.at_rows, at_depth), b,
                    stage, dtype=dtype)  # fmt: skip


def by_weights(image: Image, dtype: str = "f32") -> Product:
    """w − δ-weighted sum of the image; slots x, δ [H', W', O], w."""
    taps, at_taps = image.taps
    high, wide = image.result
    o = image.filters
    place = Access(2, dtype, (*(s * o for s in contiguous(tuple(e.size for e in taps))), 1))
    stage = epilogue(len(taps) + 1, place, (Call("sub", Element(1), Element(0)), dtype),
                     reads=(place,), dtype=dtype)  # fmt: skip
    b = Matrix(1, (high * wide * o, wide * o, o), (1,))
    return multiply((0, 1, 2), taps, o, image.rows, Matrix(0, at_taps, image.at_rows), b, stage,
                    dtype=dtype)  # fmt: skip


def by_data(image: Image, dtype: str = "f32") -> Product:
    """The gradient of a stride-1 convolution's padded image; slots δ with a border of kernel − 1
    around it [H' + 2(KH − 1), …, O], w, dx [H, W, C]. The kernel is walked backwards."""
    o, c = image.filters, image.channels
    wide = image.result[1] + 2 * (image.across - 1)
    high = image.result[0] + 2 * (image.tall - 1)
    rows = (BATCH, Extent(image.high), Extent(image.wide))
    depth = (Extent(image.tall), Extent(image.across), Extent(o))
    a = Matrix(0, (high * wide * o, wide * o, o), (wide * o, o, 1))
    last = (image.tall * image.across - 1) * c * o
    b = Matrix(1, (-image.across * c * o, -c * o, 1), (o,), last)
    stage = epilogue(4, Access(2, dtype, (image.size, image.line, c, 1)), dtype=dtype)
    return multiply((0, 1, 2), rows, c, depth, a, b, stage, dtype=dtype)


def positions(image: Image) -> Product:
    """Where each sum stands: 1000·y + 100·x + o where it is positive, a draw elsewhere."""
    product = forward(image)
    lets = (
        (Call("f32", Position(1)), "f32"), (Call("mul", Temp(0), Literal(1000.0)), "f32"),
        (Call("f32", Position(2)), "f32"), (Call("mul", Temp(2), Literal(100.0)), "f32"),
        (Call("f32", Position(3)), "f32"), (Call("add", Temp(1), Temp(3)), "f32"),
        (Call("add", Temp(5), Temp(4)), "f32"),
        (Call("uniform", Literal(4.0), Position(-1)), "f32"),
        (Call("gt", Element(0), Literal(0.0)), "bool"),
        (Call("select", Temp(8), Temp(6), Temp(7)), "f32"),
    )  # fmt: skip
    write = product.epilogue.writes[0].access
    return multiply(product.slots, product.rows, image.filters, product.depth, product.a, product.b,
                    epilogue(4, write, *lets))  # fmt: skip
