"""The plan's own interpreter: runs kernels in NumPy exactly as `plan.py` documents them.

In: a `Plan` and arrays by name. Out: what `read` finds in the arena afterwards. It tests fusion and
scheduling without emitters: the arena is real, so a buffer that is reused too early gives wrong
numbers here, too. Slow; memory that nothing has written yet holds NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import random
from ..compiler.plan import (
    Access,
    Along,
    AnyKernel,
    Fold,
    Lookup,
    Matrix,
    Plan,
    Product,
    Recurrence,
    Scatter,
    Stage,
    Temp,
)
from ..compiler.scalar import Call, Element, Literal, Position, Scalar
from ..compiler.types import DTYPES, Frame
from .plan_oracle_scan import copy_along, turns_of

Array = NDArray[Any]
_FOLDS: dict[str, Any] = {"sum": np.sum, "max": np.max, "min": np.min}
_UNARY: dict[str, Any] = {
    "neg": np.negative, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(erf, otypes=[np.float64]),
    "sin": np.sin, "cos": np.cos, "abs": np.abs, "sign": np.sign, "floor": np.floor,
    "square": np.square, "reciprocal": lambda x: 1 / x, "not": np.logical_not,
}  # fmt: skip
_BINARY: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "pow": np.power,
    "max": np.maximum, "min": np.minimum, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and,
    "or": np.logical_or,
}  # fmt: skip


class PlanOracle:
    """The arena of one plan, and a run of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.bytes = np.full(plan.arena, 0xFF, np.uint8)
        self.batch, self.seed, self.step = 1, 0, 1  # batch: that of the kernel at hand
        self.examples = 1
        self.lengths: Mapping[str, int] = {}
        self._slots: list[Array] = []

    def write(self, name: str, array: Array | float) -> None:
        """Set an input, param, state or scalar, as the graph sees it."""
        index = self.plan.index_of[name]
        type = self.plan.buffers[index].type
        values = np.asarray(array, type.numpy)
        flat = (values if type.frame is None else values.swapaxes(0, 1)).reshape(-1)
        self._memory(index)[: flat.size] = flat

    def read(self, name: str, batch: int = 1) -> Array:
        """An array by name, as the graph sees it."""
        index = self.plan.index_of[name]
        type = self.plan.buffers[index].type
        if type.frame is not None:
            steps = self._steps(type.frame)
            rows = self._memory(index)[: steps * batch * type.size]
            found = np.zeros((batch, type.frame.steps, *type.shape), type.numpy)
            found[:, :steps] = rows.reshape(steps, batch, *type.shape).swapaxes(0, 1)
            return found
        shape = (batch, *type.shape) if type.batched else type.shape
        return self._memory(index)[: prod(shape)].reshape(shape).copy()

    def run(
        self, batch: int = 1, *, seed: int = 0, step: int = 1,
        lengths: Mapping[str, int] | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """One step on what was written."""
        self.examples, self.seed, self.step = batch, seed, step
        self.lengths = lengths or {}
        if "step" in self.plan.index_of:
            self.write("step", step)
        with np.errstate(all="ignore"):
            for kernel in self.plan.kernels:
                self.kernel(kernel, [self._memory(i) for i in kernel.slots], batch)
        return {n: float(self._memory(i)[0]) for n, i in self.plan.recorded.items()}

    def kernel(self, kernel: AnyKernel, slots: list[Array], batch: int) -> None:
        """One kernel on the memory of its slots."""
        if isinstance(kernel, Recurrence):
            for inner, places in turns_of(kernel, slots, batch, self._steps(kernel.over)):
                self.kernel(inner, places, batch)
            return
        if isinstance(kernel, Along):
            copy_along(kernel, slots[0], slots[1], batch, self._steps(kernel.over))
            return
        self._slots = slots
        self.batch = batch * (1 if kernel.frame is None else self._steps(kernel.frame))
        if isinstance(kernel, Product):
            self._product(kernel)
            return
        if isinstance(kernel, Lookup):
            self._lookup(kernel)
            return
        if isinstance(kernel, Scatter):
            self._scatter(kernel)
            return
        for k, stage in enumerate(kernel.stages):
            over = kernel.over_batch and k == 0
            space = (self.batch if kernel.batched or over else 1, *stage.axes)
            self._stage(stage, space, {})

    def _steps(self, frame: Frame) -> int:
        return self.lengths.get(frame.clock, frame.steps)

    def _memory(self, index: int) -> Array:
        b = self.plan.buffers[index]
        start = b.offset + b.ahead * self.examples
        return self.bytes[start : start + b.nbytes(self.plan.capacity)].view(b.type.numpy)

    # ------------------------------------------------------------ stages

    def _stage(self, stage: Stage, space: tuple[int, ...], known: dict[int, Array]) -> None:
        """`space` is (examples, axes…); `known` are elements that no memory holds."""
        env = _Program(self, stage, space, known)
        values = [env.value(w.value, w.access.dtype) for w in stage.writes]
        results = [(f, self._folded(f, env.value(f.value, _fold_type(f)))) for f in stage.folds]
        for w, value in zip(stage.writes, values, strict=True):
            self._slot(w.access)[_places(w.access, space)] = value
        for f, value in results:
            kept = space[: len(space) - f.axes]
            kept = (1, *kept[1:]) if f.batch else kept
            self._slot(f.access)[_places(f.access, kept)] = value

    def _folded(self, f: Fold, value: Array) -> Array:
        if f.kind == "argmax":
            kept = value.shape[: value.ndim - f.axes]
            first: Array = np.argmax(value.reshape(*kept, -1), axis=-1)
            return first.astype(np.int32)
        axes = tuple(range(value.ndim - f.axes, value.ndim)) + ((0,) if f.batch else ())
        result: Array = _FOLDS[f.kind](value, axis=axes) if axes else value
        return result[None] if f.batch else result

    def _slot(self, access: Access) -> Array:
        return self._slots[access.slot]

    # ------------------------------------------------------------ products

    def _product(self, k: Product) -> None:
        columns, loop = k.columns.at(self.batch), k.loop.at(self.batch)
        rows, depth = (tuple(e.at(self.batch) for e in axes) for axes in (k.rows, k.depth))
        a = self._matrix(k.a, loop, rows, depth)
        b = self._matrix(k.b, loop, depth, (columns,))
        c = np.einsum("lik,lkj->lij", a, b).astype(DTYPES[k.dtype])
        space = (loop, *rows, columns)
        self._stage(k.epilogue, space, {0: c.reshape(space)})

    def _matrix(
        self, m: Matrix, loop: int, rows: tuple[int, ...], columns: tuple[int, ...]
    ) -> Array:
        where = Access(m.slot, "", (*m.row, *m.column), m.offset, m.loop)
        found: Array = self._slot(where)[_places(where, (loop, *rows, *columns))]
        return found.reshape(loop, prod(rows), prod(columns))

    # ------------------------------------------------------------ lookups

    def _lookup(self, k: Lookup) -> None:
        examples = self.batch if k.rows.batched else 1
        at = self._rows(k, examples)
        found = np.empty((examples, k.rows.size, k.columns), DTYPES[k.table.dtype])
        places = _places(k.table, (examples, k.count, k.columns))
        for e in range(examples):
            found[e] = self._slot(k.table)[places[e]][at[e]]
        space = (1, k.rows.at(self.batch), k.columns)
        self._stage(k.epilogue, space, {0: found.reshape(space)})

    def _scatter(self, k: Scatter) -> None:
        examples = self.batch if k.rows.batched else 1
        at = self._rows(k, examples)
        source = self._slot(k.source)[_places(k.source, (examples, k.rows.size, k.columns))]
        places = _places(k.target, (examples, k.count, k.columns))
        target = self._slot(k.target)
        target[places] = 0
        for e in range(examples):
            for t in range(k.rows.size):
                target[places[e, at[e, t]]] += source[e, t]

    def _rows(self, k: Lookup | Scatter, examples: int) -> NDArray[np.int64]:
        ids = self._slot(k.ids)[_places(k.ids, (examples, k.rows.size))]
        return np.clip(ids, 0, k.count - 1).astype(np.int64)


class _Program:
    """The lets of one stage over all elements of its space."""

    def __init__(self, oracle: PlanOracle, stage: Stage, space: tuple[int, ...],
                 known: dict[int, Array]) -> None:  # fmt: skip
        self.oracle, self.stage, self.space = oracle, stage, space
        self.elements = [
            known[k] if k in known else oracle._slot(a)[_places(a, space)]
            for k, a in enumerate(stage.reads)
        ]
        self.temps: list[Array] = []
        for let in stage.lets:
            assert isinstance(let.expression, Call)
            result = self._call(let.expression, let.dtype)
            shaped = np.broadcast_to(np.asarray(result), space)
            self.temps.append(shaped.astype(DTYPES[let.dtype]))

    def value(self, e: Scalar, dtype: str = "") -> Array:
        if isinstance(e, Temp):
            return self.temps[e.index]
        if isinstance(e, Element):
            return self.elements[e.slot]
        if isinstance(e, Literal):
            return np.full(self.space, e.value, DTYPES[dtype or "f64"])
        assert isinstance(e, Position)
        if e.axis == -1:
            flat = np.arange(prod(self.space[1:]), dtype=np.int32)
            return np.broadcast_to(flat.reshape(1, *self.space[1:]), self.space)
        shape = [1] * len(self.space)
        shape[e.axis + 1] = -1
        along = np.arange(self.space[e.axis + 1], dtype=np.int32).reshape(shape)
        return np.broadcast_to(along, self.space)

    def _call(self, e: Call, dtype: str) -> Array:
        o = self.oracle
        if e.function in ("uniform", "normal"):
            stream, counter = e.arguments
            assert isinstance(stream, Literal) and counter == Position(-1)
            draw = random.uniform if e.function == "uniform" else random.normal
            return draw(self.space, int(stream.value), dtype, o.seed, o.step)
        if e.function == "batch":
            return np.asarray(o.examples)
        args = [self._argument(a, e, dtype) for a in e.arguments]
        if e.function == "select":
            return np.where(args[0], args[1], args[2])
        if e.function in DTYPES:
            return args[0].astype(DTYPES[e.function])
        return np.asarray((_UNARY if len(args) == 1 else _BINARY)[e.function](*args))

    def _argument(self, a: Scalar, e: Call, dtype: str) -> Array:
        """A literal takes the type of what stands beside it, or of the result."""
        if not isinstance(a, Literal):
            return self.value(a)
        others = [self.value(x).dtype for x in e.arguments if not isinstance(x, Literal)]
        wanted = DTYPES[dtype] if dtype != "bool" or not others else others[0]
        return np.full(self.space, a.value, wanted)


def _fold_type(f: Fold) -> str:
    return "f64" if f.kind == "argmax" else f.access.dtype


def _places(a: Access, space: tuple[int, ...]) -> NDArray[np.int64]:
    """The index of every element of the space."""
    strides = (a.example, *a.strides)
    total = np.full(space, a.offset, np.int64)
    for k, (s, n) in enumerate(zip(strides, space, strict=True)):
        shape = [1] * len(space)
        shape[k] = n
        total = total + (np.arange(n, dtype=np.int64) * s).reshape(shape)
    return total


def run_plan(plan: Plan, given: Mapping[str, Array | float], *, batch: int = 1, seed: int = 0,
             step: int = 1) -> PlanOracle:  # fmt: skip
    """A fresh arena, the given leaves, one run."""
    oracle = PlanOracle(plan)
    for name, array in given.items():
        oracle.write(name, array)
    oracle.run(batch, seed=seed, step=step)
    return oracle
