"""The small programs of a plan's stages as the text of a CUDA kernel.

In: lets, writes and folds over elements, temporaries, literals and positions. Out: lines that
mean the same to `numba.cuda`, to its simulator and to a reader. Loops and indices are the affair
of `cuda_loops` and `cuda_product`. Mathematical functions come from `math`, the only set that
every Numba knows on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..plan import Access, Stage, Temp
from ..scalar import Call, Element, Literal, Position, Scalar
from ..types import promote
from .cuda_random import draw
from .cuda_writer import NUMPY, Text, convert, greater, literal, load, store

_ARITHMETIC = {"add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "neg": "-{0}"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_MATH = ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "erf", "sin", "cos", "floor")
_DRAWS = ("uniform", "normal")

Place = Callable[[Access], str]


@dataclass(frozen=True)
class Indices:
    """Where the current element stands, as expressions: `axes[k]` along stage axis k, `flat` in the
    example, `counter` for random draws."""

    axes: tuple[str, ...]
    flat: str
    counter: str


class Program:
    """Writes one stage, element by element.

    `tag` keeps the names of several stages of one kernel apart (a name has one type in a kernel).
    `known` are elements that are not read from memory: operand -> name.
    """

    def __init__(self, stage: Stage, tag: str = "", known: dict[int, str] | None = None) -> None:
        self.stage, self.tag, self.known = stage, tag, known or {}

    def lets(self, out: Text, at: Indices, place: Place) -> None:
        """Read every element that is used, then compute every let."""
        for slot in sorted(used_elements(self.stage) - set(self.known)):
            access = self.stage.reads[slot]
            out.line(f"x{slot}{self.tag} = {load(place(access), access.dtype)}")
        for index, let in enumerate(self.stage.lets):
            name, call = f"t{index}{self.tag}", let.expression
            if not isinstance(call, Call):
                out.line(f"{name} = {self.value(call, let.dtype, at)}")
            elif call.function in _DRAWS:
                draw(out, name, call.function, _stream(call), at.counter, let.dtype)
            else:
                out.line(f"{name} = {self._call(call, let.dtype, at)}")

    def writes(self, out: Text, at: Indices, place: Place) -> None:
        """Store the results of the current element."""
        for write in self.stage.writes:
            value = self.value(write.value, write.access.dtype, at)
            out.line(store(place(write.access), value, write.access.dtype))

    def value(self, scalar: Scalar, want: str, at: Indices) -> str:
        """An operand as an expression of type `want`."""
        match scalar:
            case Literal(number):
                return literal(number, want)
            case Position(axis):
                index = at.flat if axis < 0 else at.axes[axis]
                return convert(f"np.int32({index})", "i32", want)
            case Element(slot):
                name = self.known.get(slot, f"x{slot}{self.tag}")
                return convert(name, self.stage.reads[slot].dtype, want)
            case Temp(index):
                return convert(f"t{index}{self.tag}", self.stage.lets[index].dtype, want)
        raise TypeError(f"not an operand: {scalar}")

    def kind(self, scalar: Scalar) -> str | None:
        """Element type of an operand; None for a literal, which takes its neighbour's."""
        match scalar:
            case Element(slot):
                return self.stage.reads[slot].dtype
            case Temp(index):
                return self.stage.lets[index].dtype
            case Position():
                return "i32"
        return None

    def _call(self, call: Call, dtype: str, at: Indices) -> str:
        """One function of `scalar.FUNCTIONS`, its result of type `dtype`."""
        name, arguments = call.function, call.arguments
        if name == "batch":
            return f"{NUMPY[dtype]}(i64[3])"
        if name in NUMPY:  # a conversion: through that type, even where the let has another
            own = self.kind(arguments[0]) or name
            return convert(convert(self.value(arguments[0], own, at), own, name), name, dtype)
        if name in _COMPARE:
            kinds = [k for k in map(self.kind, arguments) if k is not None]
            common = promote(*kinds) if kinds else "f64"
            a, b = (self.value(s, common, at) for s in arguments)
            return convert(f"({a} {_COMPARE[name]} {b})", "bool", dtype)
        if name in ("and", "or", "not"):
            parts = [self.value(s, "bool", at) for s in arguments]
            text = f"not {parts[0]}" if name == "not" else f" {name} ".join(parts)
            return convert(f"({text})", "bool", dtype)
        if name == "select":
            a, b = (self.value(s, dtype, at) for s in arguments[1:])
            return f"{a} if {self.value(arguments[0], 'bool', at)} else {b}"
        return _arithmetic(name, [self.value(s, dtype, at) for s in arguments], dtype)


def _arithmetic(name: str, x: list[str], dtype: str) -> str:
    """A function whose arguments and result have one numeric type."""
    if dtype == "bool":
        raise TypeError(f"`{name}` is not defined for truth values")
    one, zero, numpy = literal(1, dtype), literal(0, dtype), NUMPY[dtype]
    if name in _ARITHMETIC:
        text = _ARITHMETIC[name].format(*x)
        return f"np.int32({text})" if dtype == "i32" else text
    if name == "div":
        return f"np.int32({x[0]} // {x[1]})" if dtype == "i32" else f"{x[0]} / {x[1]}"
    if name in ("max", "min"):
        return greater(x[0], x[1], name)
    if name == "sign":  # a zero or a NaN is its own sign
        below = f"{literal(-1, dtype)} if {x[0]} < {zero} else {x[0]}"
        return f"{one} if {x[0]} > {zero} else ({below})"
    if name in _MATH:
        return f"{numpy}(math.{name}({x[0]}))"
    forms = {
        "square": f"{numpy}({x[0]} * {x[0]})",
        "pow": f"{numpy}({x[0]} ** {x[-1]})",
        "abs": f"{numpy}(abs({x[0]}))",
        "reciprocal": f"{one} / {x[0]}",
        "rsqrt": f"{one} / {numpy}(math.sqrt({x[0]}))",
        "sigmoid": f"{one} / ({one} + {numpy}(math.exp(-{x[0]})))",
    }
    if name not in forms:
        raise TypeError(f"the CUDA emitter does not know `{name}`")
    return forms[name]


def _stream(call: Call) -> int:
    stream = call.arguments[0]
    if not isinstance(stream, Literal):
        raise TypeError("the stream of a draw is a number known at compile time")
    return int(stream.value)


def used_elements(stage: Stage) -> set[int]:
    """The operands that a stage uses."""
    return {s.slot for s in operands(stage) if isinstance(s, Element)}


def operands(stage: Stage) -> Iterator[Scalar]:
    """Every operand of the lets, writes and folds."""
    for let in stage.lets:
        if isinstance(let.expression, Call):
            yield from let.expression.arguments
        else:
            yield let.expression
    yield from (w.value for w in stage.writes)
    yield from (f.value for f in stage.folds)


def positions(stage: Stage) -> set[int]:
    """The axes whose positions are used (−1: the flat index)."""
    found = {s.axis for s in operands(stage) if isinstance(s, Position)}
    return found | ({-1} if draws(stage) else set())


def counts_examples(stage: Stage) -> bool:
    """Whether the stage asks for the number of examples of the batch."""
    calls = (let.expression for let in stage.lets)
    return any(isinstance(c, Call) and c.function == "batch" for c in calls)


def draws(stage: Stage) -> bool:
    """Whether the stage draws random numbers."""
    calls = (let.expression for let in stage.lets)
    return any(isinstance(c, Call) and c.function in _DRAWS for c in calls)
