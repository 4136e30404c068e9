"""The straight-line program of a stage as lines of Python over vectors.

In: the stage, its loops, where its operands lie. Out: for each depth of the loop nest, the
lines that can stand there: every value is computed outside the loops it does not depend on, so
that the step size of an optimizer is worked out once and not for every weight. The words used
are those of `runtime/simd`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from ..plan import Stage, Temp
from ..scalar import Call, Element, Literal, Position, Scalar
from .cpu_nest import Loop, Place

RANK = {"bool": 0, "i32": 1, "f32": 2, "f64": 3}
INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "and": "&", "or": "|",
}  # fmt: skip
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
WORDS = {"abs": "absolute", "max": "maximum", "min": "minimum", "pow": "power"}
INDENT = "    "


@dataclass(frozen=True)
class Given:
    """A variable that already stands: name, element type, depth."""

    name: str
    dtype: str
    depth: int


def number(value: float, dtype: str) -> str:
    """A literal in Python; `inf` and `nan` are names of the kernel's module."""
    if dtype in ("i32", "bool"):
        return str(int(value))
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "(-inf)"
    return repr(float(value)) if value >= 0 and not str(value).startswith("-") else f"({value!r})"


@dataclass
class Body:
    """`lines(depth, part)` gives what stands at that depth; `part` where the vector is a tail.

    `fixed` are variables given instead of reads (the sum of a product). `counter` is the text of
    a draw's counter, `tail` that of the number of lanes in a tail.
    """

    stage: Stage
    loops: tuple[Loop, ...]
    reads: tuple[Place, ...]
    lanes: int
    counter: str
    prefix: str = ""
    fixed: Mapping[int, Given] = field(default_factory=dict)
    tail: str = "c"

    def __post_init__(self) -> None:
        self.vector = next((k for k, loop in enumerate(self.loops) if loop.vector), None)
        self.values: dict[int, Given] = {}
        self.elements: dict[int, Given] = dict(self.fixed)
        self._lines: list[tuple[int, str]] = []
        self._inverses: dict[Scalar, str] = {}
        for i in sorted(self._used_reads() - set(self.fixed)):
            place = self.reads[i]
            self.elements[i] = Given(f"{self.prefix}x{i}", place.dtype, place.depth())
        needed = self._needed()
        for k, let in enumerate(self.stage.lets):
            if k in needed:
                self.values[k] = Given(f"{self.prefix}t{k}", let.dtype, self._depth(let.expression))
                text = self._quotient(k) or self._text(let.expression, let.dtype)
                self._lines.append((self.values[k].depth, f"{self.values[k].name} = {text}"))

    def _quotient(self, k: int) -> str:
        """A division by what is known further out, as a product with its reciprocal, which is
        worked out there: a vector division takes ten times as long. Empty for anything else.
        """
        call, dtype = self.stage.lets[k].expression, self.stage.lets[k].dtype
        if not (isinstance(call, Call) and call.function == "div" and dtype in ("f32", "f64")):
            return ""
        left, right = call.arguments
        if not isinstance(right, Element | Temp) or self.dtype(right) != dtype:
            return ""
        depth = self._depth(right)
        if depth >= self.values[k].depth:
            return ""
        if right not in self._inverses:
            self._inverses[right] = f"{self._name(right)}_inverse"
            self._lines.append((depth, f"{self._inverses[right]} = 1.0 / {self._name(right)}"))
        return f"{self.operand(left, dtype)} * {self._inverses[right]}"

    # -------------------------------------------------------------------------------- what is used

    def _roots(self) -> list[Scalar]:
        return [w.value for w in self.stage.writes] + [f.value for f in self.stage.folds]

    def _needed(self) -> set[int]:
        needed: set[int] = set()
        pending = self._roots()
        while pending:
            item = pending.pop()
            if isinstance(item, Temp) and item.index not in needed:
                needed.add(item.index)
                pending.append(self.stage.lets[item.index].expression)
            elif isinstance(item, Call):
                pending += item.arguments
        return needed

    def _used_reads(self) -> set[int]:
        needed = self._needed()
        pending = self._roots() + [self.stage.lets[k].expression for k in needed]
        found: set[int] = set()
        while pending:
            item = pending.pop()
            if isinstance(item, Element):
                found.add(item.slot)
            elif isinstance(item, Call):
                pending += item.arguments
        return found

    # ------------------------------------------------------------------------------------- values

    def _depth(self, item: Scalar) -> int:
        """The number of loops that must stand around a value."""
        if isinstance(item, Element):
            return self.elements[item.slot].depth
        if isinstance(item, Temp):
            return self.values[item.index].depth
        if isinstance(item, Position):
            return len(self.loops) if item.axis < 0 else self._loop_of(item.axis) + 1
        if isinstance(item, Call):
            if item.function in ("uniform", "normal"):
                return len(self.loops)
            return max((self._depth(a) for a in item.arguments), default=0)
        return 0

    def _loop_of(self, axis: int) -> int:
        """The loop that stands for a stage axis alone; −1 where the axis has one element."""
        return next((k for k, loop in enumerate(self.loops) if loop.axes == (axis,)), -1)

    def dtype(self, item: Scalar) -> str | None:
        """Element type of a value; None for a number, which takes any."""
        if isinstance(item, Element):
            return self.elements[item.slot].dtype
        if isinstance(item, Temp):
            return self.values[item.index].dtype
        if isinstance(item, Position):
            return "i32"
        return None

    def operand(self, item: Scalar, dtype: str) -> str:
        """A value as an operand of that type; numbers stay numbers."""
        if isinstance(item, Literal):
            return number(item.value, dtype)
        if isinstance(item, Call):
            return f"({self._text(item, dtype)})"
        own = self.dtype(item)
        text = self._name(item)
        return text if own == dtype else f"to_{dtype}({text})"

    def vector_of(self, item: Scalar, dtype: str) -> str:
        """A value as a vector of that type."""
        if isinstance(item, Literal):
            return f"{constructor(dtype)}({self.lanes}, {number(item.value, dtype)})"
        return self.operand(item, dtype)

    def _name(self, item: Scalar) -> str:
        if isinstance(item, Element):
            return self.elements[item.slot].name
        if isinstance(item, Temp):
            return self.values[item.index].name
        assert isinstance(item, Position)
        return self._position(item.axis)

    def _position(self, axis: int) -> str:
        if axis >= 0:
            k = self._loop_of(axis)
            return self._ramp(k, 1) if k >= 0 else f"i32({self.lanes}, 0)"
        terms = [self._ramp(k, step) for k, step in enumerate(self._flat_steps()) if step]
        return f"({' + '.join(terms)})" if terms else f"i32({self.lanes}, 0)"

    def _ramp(self, k: int, step: int) -> str:
        name = self.loops[k].name
        word = "count_from" if k == self.vector else "i32"
        text = f"{word}({self.lanes}, {name})"
        return text if step == 1 else f"{text} * {step}"

    def _flat_steps(self) -> list[int]:
        """How far one turn of each loop goes in the flat index of the example."""
        axes = self.stage.axes
        return [
            math.prod(axes[loop.axes[-1] + 1 :]) if loop.axes[-1] >= 0 else 0 for loop in self.loops
        ]

    # -------------------------------------------------------------------------------- expressions

    def _text(self, item: Scalar, dtype: str) -> str:
        if not isinstance(item, Call):
            return self.vector_of(item, dtype)
        name, args = item.function, item.arguments
        if name == "batch":
            return f"{constructor(dtype)}({self.lanes}, header(arena, 3))"
        if name in ("uniform", "normal"):
            stream = args[0]
            assert isinstance(stream, Literal)
            return f"{name}_{dtype}({self.lanes}, seed, {int(stream.value)}, step, {self.counter})"
        if name in RANK:
            return self._cast(args[0], name)
        if name == "select":
            chosen = self._pair(args[1:], dtype)
            return f"select({self._mask(args[0])}, {chosen[0]}, {chosen[1]})"
        if name == "not":
            return f"~{self._mask(args[0])}"
        if name in ("and", "or"):
            return f"{self._mask(args[0])} {INFIX[name]} {self._mask(args[1])}"
        return self._arithmetic(name, args, dtype)

    def _cast(self, item: Scalar, dtype: str) -> str:
        if isinstance(item, Literal):
            return self.vector_of(item, dtype)
        own = self.dtype(item) or dtype
        text = self.operand(item, own)
        return text if own == dtype else f"to_{dtype}({text})"

    def _mask(self, item: Scalar) -> str:
        if isinstance(item, Literal):
            return f"mask({self.lanes}, {int(bool(item.value))})"
        own = self.dtype(item) or "bool"
        text = self.operand(item, own)
        return text if own == "bool" else f"to_bool({text})"

    def _pair(self, args: Sequence[Scalar], dtype: str) -> list[str]:
        """Operands of one type, the first a vector if none else is."""
        texts = [self.operand(a, dtype) for a in args]
        if all(isinstance(a, Literal) for a in args):
            texts[0] = self.vector_of(args[0], dtype)
        return texts

    def _common(self, args: Sequence[Scalar], dtype: str) -> str:
        own = [self.dtype(a) or "bool" for a in args if not isinstance(a, Literal | Call)]
        return max(own, key=RANK.__getitem__, default=dtype)

    def _arithmetic(self, name: str, args: tuple[Scalar, ...], dtype: str) -> str:
        if name in COMPARISONS:
            dtype = self._common(args, "f32")
            dtype = "i32" if dtype == "bool" else dtype
        elif dtype == "bool":
            dtype = "i32"
        if name == "div" and dtype == "i32":
            left, right = self._pair(args, "f64")
            return f"to_i32({left} / {right})"
        texts = self._pair(args, dtype)
        if name == "neg":
            return f"-{texts[0]}"
        if name == "pow" and args[1] == Literal(2.0):
            return f"square({texts[0]})"
        if name in INFIX:
            return f"{texts[0]} {INFIX[name]} {texts[1]}"
        name = self._bounded(name, args[0])
        return f"{WORDS.get(name, name)}({', '.join(texts)})"

    def _bounded(self, name: str, item: Scalar) -> str:
        """The word for a function of e^−|x| and its like, where much less has to be watched for."""
        inner = self._meant(item)
        if name == "exp" and _is(inner, "neg") and _is(self._meant(inner.arguments[0]), "abs"):
            return "exp_below"
        if name == "log1p" and _is(inner, "exp"):
            return "log1p_unit" if self._bounded("exp", inner.arguments[0]) != "exp" else name
        return name

    def _meant(self, item: Scalar) -> Scalar:
        """The expression behind a name."""
        return self.stage.lets[item.index].expression if isinstance(item, Temp) else item

    # ------------------------------------------------------------------------------------- output

    def lines(self, depth: int, part: bool) -> list[str]:
        """Reads and lets that stand inside `depth` loops, in order."""
        result = [
            f"{given.name} = {self._read(self.reads[i], part)}"
            for i, given in self.elements.items()
            if i not in self.fixed and given.depth == depth
        ]
        return result + [line for d, line in self._lines if d == depth]

    def _read(self, place: Place, part: bool) -> str:
        index, pointer = place.index(self.loops), f"p{place.slot}"
        stride = place.strides[self.vector] if self.vector is not None else 1
        count = self.tail if part else str(self.lanes)
        if stride == 0 and self.lanes > 1:
            return f"spread({pointer}, {index}, {self.lanes})"
        if stride not in (0, 1) and self.lanes > 1:
            return f"gather({pointer}, {index}, {stride}, {self.lanes}, {count})"
        if part:
            return f"load_part({pointer}, {index}, {self.lanes}, {count})"
        return f"load({pointer}, {index}, {self.lanes})"

    def write(self, place: Place, value: str, part: bool) -> str:
        """Store a vector."""
        index, pointer = place.index(self.loops), f"p{place.slot}"
        stride = place.strides[self.vector] if self.vector is not None else 1
        count = self.tail if part else str(self.lanes)
        if stride not in (0, 1) and self.lanes > 1:
            return f"scatter({pointer}, {index}, {stride}, {value}, {count})"
        if stride == 0 and self.lanes > 1:
            return f"store_part({pointer}, {index}, {value}, 1)"
        if part:
            return f"store_part({pointer}, {index}, {value}, {count})"
        return f"store({pointer}, {index}, {value})"


def _is(item: Scalar, function: str) -> TypeGuard[Call]:
    return isinstance(item, Call) and item.function == function


def constructor(dtype: str) -> str:
    """The function that puts a number into every lane."""
    return "mask" if dtype == "bool" else dtype


def indent(lines: Sequence[str], depth: int = 1) -> list[str]:
    return [INDENT * depth + line if line else line for line in lines]
