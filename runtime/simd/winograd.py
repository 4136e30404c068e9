"""Winograd's minimal filtering, F(2×2, 3×3): the transforms of tiles, on vectors of channels.

A 3×3 window over a tile of 4 × 4 gives 2 × 2 results with 16 multiplications in place of 36:
Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A (Lavin and Gray 2016, after Winograd 1980). Each transform is one
small matrix applied along the columns and along the rows of a tile; its transpose gives the
gradient of the weights: dg = Gᵀ[Σ (A δ Aᵀ) ⊙ (Bᵀ d B)]G.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .lanes import BYTES, I64, X
from .memory import POINTER, STORED
from .vector import Vec

Line = list[X]


def _input(d: Line) -> Line:
    """Bᵀ d"""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _weights(g: Line) -> Line:
    """G g"""
    ends, middle = (g[0] + g[2]) * 0.5, g[1] * 0.5
    return [g[0], ends + middle, ends - middle, g[2]]


def _output(m: Line) -> Line:
    """Aᵀ m"""
    return [m[0] + (m[1] + m[2]), (m[1] - m[2]) - m[3]]


def _gradient(d: Line) -> Line:
    """A δ"""
    return [d[0], d[0] + d[1], d[0] - d[1], -d[1]]


def _summed(p: Line) -> Line:
    """Gᵀ p"""
    half, apart = (p[1] + p[2]) * 0.5, (p[1] - p[2]) * 0.5
    return [p[0] + half, apart, half + p[3]]


KINDS: dict[str, tuple[int, Callable[[Line], Line]]] = {
    "input": (4, _input),
    "weights": (3, _weights),
    "output": (4, _output),
    "gradient": (2, _gradient),
    "summed": (4, _summed),
}


def winograd(
    kind: str, dtype: str, lanes: int, source: tuple[int, int], target: tuple[int, int]
) -> Any:
    """A word `transform(p, i, q, j)`: the tile at p[i] goes to q[j], `lanes` channels of it.

    `source` and `target`: the steps from row to row and from column to column of a tile.
    """
    size, along = KINDS[kind]
    vec, pointer, whole = Vec(dtype, lanes), POINTER[dtype], types.int64

    def transform(typingctx: Any, p: Any, i: Any, q: Any, j: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            b, number = builder, context.get_data_type(STORED[dtype])
            vector = ir.VectorType(number, vec.lanes)

            def at(base: Any, first: Any, place: int) -> Any:
                start = b.gep(base, [first], source_etype=number)
                found = b.gep(start, [ir.Constant(I64, place)], source_etype=number)
                return b.bitcast(found, vector.as_pointer())

            tile = []
            for y in range(size):
                line = []
                for x in range(size):
                    value = b.load(at(args[0], args[1], y * source[0] + x * source[1]), typ=vector)
                    value.align = BYTES[dtype]
                    line.append(X(b, value))
                tile.append(line)
            columns = [along([line[x] for line in tile]) for x in range(size)]
            for y in range(len(columns[0])):
                for x, value in enumerate(along([column[y] for column in columns])):
                    place = at(args[2], args[3], y * target[0] + x * target[1])
                    b.store(value.v, place).align = BYTES[dtype]
            return context.get_dummy_value()

        return types.void(pointer, whole, pointer, whole), lower

    return intrinsic(transform)
