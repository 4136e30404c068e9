"""Exercises with numbers: a tiny instance of a net, in exact fractions that come out even.

In: a `Derivation` and a source of chance. Out: exercises whose numbers are small integers and
halves. Every size of the net becomes 2 or 3, parameters and inputs small integers; equations and
closed forms are evaluated as they are printed, and what no fraction can tell (a softmax, a tanh) is
given: probabilities of quarters, halves. So the numbers of one worksheet fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from random import Random

import numpy as np
from numpy.typing import NDArray

from . import terms as t
from .derivation import Derivation, Shape
from .terms import Term
from .unicode import unicode
from .worksheet import GAP, Exercise, Formula, Gap, Grid, Piece, Words

Numbers = NDArray[np.object_]
TRIES = 60
DEEPEST = 30  # equations that are followed back; beyond, a value is drawn
MOST, FINEST = 60, 32  # of the numbers in an answer: greatest, and denominator
ATOMS = ("symbol", "step", "partial", "prime")


class Uneven(Exception):
    """A term that has no exact number here."""


def computing(d: Derivation, draw: Random) -> Iterator[Exercise]:
    """Numbers of the tiny instance, then those of images where the net has some."""
    yield from _instance(d, draw)
    kinds = {s for f in d.given for s in t.kinds(f.right)}
    if "convolve" in kinds:
        yield _convolution(draw)
    if "greatest w" in kinds:
        yield _pooling(draw)


def _instance(d: Derivation, draw: Random) -> Iterator[Exercise]:
    """Some values forward, then gradients backward."""
    drafts = (_Draft(Tiny(d, Random(draw.random()))) for _ in range(TRIES))
    best = max(drafts, key=lambda x: x.worth)
    tiny = best.tiny
    for left, right in best.tasks:
        back = left.kind == "partial"
        many = f"m = {tiny.examples}" if d.textbook else "one example (m = 1)"
        counted = f" {many} and" if back else ""
        asked: list[Piece] = [
            Words("A tiny instance of the net has other sizes. Compute"),
            Formula((left,) if back else (left, right)),
            Words(f"for{counted}"),
            *(Grid(a, tiny.grid(a)) for a in tiny.needs(right)),
            Gap(2),
        ]
        answer = (*((Formula((left, right)),) if back else ()), Grid(left, tiny.grid(right)))
        title = "Compute the gradient" if back else "Compute the value"
        yield Exercise(title, tuple(asked), answer)


class _Draft:
    """A tiny instance, what can be asked of it, and how well it suits a sheet of paper."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.tasks = [
            (left, right) for left, right in tiny.tasks
            if tiny.is_even(right) and all(map(tiny.is_even, (*tiny.needs(right), left)))
        ]  # fmt: skip
        shown = [_fractions(tiny.value(x)) for task in self.tasks for x in task]
        largest = max((abs(x) for a in shown for x in a), default=Fraction(0))
        # A ReLU that is open for one example and shut for another teaches most.
        mixed = sum(min(a) < 0 < max(a) for a in shown)
        self.worth = (len(self.tasks), -max(int(largest), 9), mixed)


class Tiny:
    """Numbers for every name of a derivation, drawn when they are first asked for."""

    def __init__(self, d: Derivation, draw: Random) -> None:
        self.draw, self.d = draw, d
        self.examples = 2 if d.textbook else 1
        self.shapes = {s.name: s for s in d.shapes}
        self.small = _small(d.shapes)
        self.means = {f.left: f.right for f in (*d.given, *d.local) if f.sign == "="}
        self.means |= {p.left: p.closed for p in d.passages}
        # What one step of a scan is depends on other steps: there every name is given.
        self.means = {k: v for k, v in self.means.items() if not {"step"} & t.kinds(k)}
        self.depth = 0
        self.numbers: dict[Term, Numbers] = {}
        judged = any(f.right.kind == "call" and f.right.text in ("σ", "softmax") for f in d.given)
        self.binary = judged

    @property
    def tasks(self) -> list[tuple[Term, Term]]:
        """What can be asked: two values forward, the gradients of the last layers."""
        forward = [(f.left, f.right) for f in self.d.given
                   if f.right.kind in ("add", "product") and f.left.kind == "symbol"]  # fmt: skip
        backward = [(p.left, p.closed) for p in self.d.passages if p.left.kind == "partial"]
        # Where the net is not a chain, many gradients cannot be told: those that can come first.
        fit = [x for x in backward if self.fits(x[1]) and x[1].kind != "partial"]
        return [x for x in forward if self.fits(x[1])][:2] + fit[:4]

    def fits(self, term: Term) -> bool:
        try:
            return self.value(term) is not None and bool(self.needs(term))
        except Uneven:
            return False

    def needs(self, term: Term) -> list[Term]:
        """The names in a term, a known g′ written out."""
        found: dict[Term, None] = {}
        stack = [term]
        while stack:
            x = stack.pop()
            if x.kind == "prime" and x in self.means:
                stack.append(self.means[x])
            elif x.kind in ATOMS:
                found.setdefault(x)
            else:
                stack += x.parts[::-1]
        return list(found)

    def is_even(self, term: Term) -> bool:
        try:
            numbers = self.value(term)
        except Uneven:
            return False
        flat = _fractions(numbers)
        fine = all(abs(x) <= MOST and FINEST % x.denominator == 0 for x in flat)
        return fine and (any(flat) or term.kind in ATOMS)

    def grid(self, term: Term) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(map(written, row)) for row in self.value(term))

    # ------------------------------------------------------------ evaluation

    def value(self, term: Term) -> Numbers:
        """The numbers of a term, as a matrix. Raises Uneven."""
        if term.kind in ATOMS:
            if term not in self.numbers:
                self.numbers[term] = self._made(term)
            return self.numbers[term]
        rule = _RULES.get(term.kind)
        if rule is None:
            raise Uneven(term.kind)
        return rule(self, term)

    def _made(self, term: Term) -> Numbers:
        means = self.means.get(term)
        if means is not None and self.depth < DEEPEST:
            self.depth += 1
            try:
                return self.value(means)
            except Uneven:
                if term.kind == "prime":
                    raise
            finally:
                self.depth -= 1
        return self._drawn(term, self._size(term))

    def _size(self, term: Term) -> tuple[int, int]:
        name = term.parts[1] if term.kind == "partial" else term
        shape = self.shapes.get(name) or self._at_any_step(name)
        if shape is None or len(shape.sizes) > 2:
            raise Uneven(unicode(term))
        sizes = tuple(self.small[n] for n in shape.sizes)
        if len(sizes) == 2:
            return sizes[0], sizes[1]
        columns = self.examples if shape.batched else 1
        return (sizes[0] if sizes else 1), columns

    def _at_any_step(self, name: Term) -> Shape | None:
        if name.kind != "step":
            return None
        return next((s for n, s in self.shapes.items()
                     if n.kind == "step" and n.parts == name.parts), None)  # fmt: skip

    def _drawn(self, term: Term, size: tuple[int, int]) -> Numbers:
        means = self.means.get(term)
        function = means.text if means is not None and means.kind == "call" else ""
        if function == "softmax":
            return _columns(size, self.draw, _SPREADS.get(size[0], ()))
        if function == "onehot":
            return _columns(size, self.draw, (tuple([1] + [0] * (size[0] - 1)),))
        kinds = {
            "σ": (Fraction(1, 2), Fraction(1, 4)),
            "tanh": (Fraction(-1, 2), 0, Fraction(1, 2)),
        }
        among = kinds.get(function, (-2, -1, -1, 0, 1, 1, 2))
        if self.binary and term.kind == "symbol" and term.text in ("Y", "y"):
            among = (0, 1)
        return _filled(size, lambda: self.draw.choice(among))


def _small(shapes: tuple[Shape, ...]) -> dict[int, int]:
    """Each size of the net as a small one: neighbours differ."""
    found = {1: 1, 2: 2, 3: 3}
    turn = (2, 3)
    for s in shapes:
        for n in reversed(s.sizes):
            if n not in found:
                found[n] = turn[len(found) % 2]
    return found


_SPREADS: dict[int, tuple[tuple[Fraction, ...], ...]] = {
    1: ((Fraction(1),),),
    2: ((Fraction(1, 2), Fraction(1, 2)), (Fraction(1, 4), Fraction(3, 4))),
    3: ((Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)),),
}


def _columns(size: tuple[int, int], draw: Random, kinds: tuple[tuple[object, ...], ...]) -> Numbers:
    """A matrix whose columns are shuffled ones of the kinds."""
    if not kinds:
        raise Uneven("no columns of that size")
    out = np.empty(size, dtype=object)
    for k in range(size[1]):
        column = list(draw.choice(kinds))
        draw.shuffle(column)
        out[:, k] = [Fraction(str(x)) for x in column]
    return out


def _filled(size: tuple[int, int], make: Callable[[], object]) -> Numbers:
    out = np.empty(size, dtype=object)
    for place in np.ndindex(size):
        out[place] = Fraction(str(make()))
    return out


def _fractions(a: Numbers) -> list[Fraction]:
    return [Fraction(str(x)) for x in a.flat]


def written(x: object) -> str:
    """−3, 0.25: every fraction here has a short decimal."""
    value = Fraction(str(x))
    shown = str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
    return shown.replace("-", "−")


# ---------------------------------------------------------------- one rule a kind of term

Rule = Callable[[Tiny, Term], Numbers]


def _number(tiny: Tiny, term: Term) -> Numbers:
    return np.array([[Fraction(term.text)]], dtype=object)


def _elementwise(join: Callable[[Numbers, Numbers], Numbers]) -> Rule:
    def rule(tiny: Tiny, term: Term) -> Numbers:
        a, b = map(tiny.value, term.parts)
        fits = all(x == y or 1 in (x, y) for x, y in zip(a.shape, b.shape, strict=True))
        if not fits:
            raise Uneven("shapes differ")
        return join(a, b)

    return rule


def _divided(a: Numbers, b: Numbers) -> Numbers:
    if not all(b.flat):
        raise Uneven("division by 0")
    return np.asarray(a / b, dtype=object)


def _product(tiny: Tiny, term: Term) -> Numbers:
    a, b = map(tiny.value, term.parts)
    if a.shape[1] != b.shape[0]:
        if 1 not in (a.size, b.size):
            raise Uneven("shapes differ")
        return np.asarray(a * b, dtype=object)
    return np.asarray(a @ b, dtype=object)


def _power(tiny: Tiny, term: Term) -> Numbers:
    base, exponent = tiny.value(term.parts[0]), term.parts[1]
    if exponent.kind != "number" or not exponent.text.isdigit():
        raise Uneven("power")
    return np.asarray(base ** int(exponent.text), dtype=object)


def _total(tiny: Tiny, term: Term) -> Numbers:
    """Σ over the elements of each example, Σᵢ over the examples."""
    if term.text not in ("", "i"):
        raise Uneven("sum over places")
    x = tiny.value(term.parts[0])
    return (
        x if term.text and tiny.examples == 1 else x.sum(axis=1 if term.text else 0, keepdims=True)
    )


def _mean(tiny: Tiny, term: Term) -> Numbers:
    if len(term.parts) > 1 or term.text not in ("", "i"):
        raise Uneven("mean over places")
    x = tiny.value(term.parts[0])
    if tiny.examples == 1:  # of one example a matrix is a product already
        return x
    return np.asarray(x.sum(axis=1, keepdims=True) * Fraction(1, tiny.examples), dtype=object)


_COMPARED: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": lambda a, b: a < b, "≤": lambda a, b: a <= b, ">": lambda a, b: a > b,
    "≥": lambda a, b: a >= b, "=": lambda a, b: a == b, "≠": lambda a, b: a != b,
}  # fmt: skip


def _compared(tiny: Tiny, term: Term) -> Numbers:
    if term.text not in _COMPARED:
        raise Uneven(term.text)
    a, b = np.broadcast_arrays(*map(tiny.value, term.parts))
    return np.asarray(np.frompyfunc(_COMPARED[term.text], 2, 1)(a, b), dtype=object)


def _bracket(tiny: Tiny, term: Term) -> Numbers:
    if term.parts[0].kind != "compare":
        raise Uneven("condition")
    held = _compared(tiny, term.parts[0])
    return np.asarray(np.frompyfunc(lambda x: Fraction(int(x)), 1, 1)(held), dtype=object)


def _choice(tiny: Tiny, term: Term) -> Numbers:
    if term.parts[0].kind != "compare":
        raise Uneven("condition")
    held, a, b = _compared(tiny, term.parts[0]), *map(tiny.value, term.parts[1:])
    return np.where(held.astype(bool), a, b)


def _call(tiny: Tiny, term: Term) -> Numbers:
    if term.text != "max" or len(term.parts) != 2:
        raise Uneven(term.text)
    return np.asarray(np.maximum(*np.broadcast_arrays(*map(tiny.value, term.parts))), dtype=object)


_RULES: dict[str, Rule] = {
    "number": _number,
    "neg": lambda tiny, x: np.asarray(-tiny.value(x.parts[0]), dtype=object),
    "add": _elementwise(lambda a, b: a + b),
    "sub": _elementwise(lambda a, b: a - b),
    "hadamard": _elementwise(lambda a, b: a * b),
    "times": _elementwise(lambda a, b: a * b),
    "quotient": _elementwise(_divided),
    "product": _product,
    "transpose": lambda tiny, x: tiny.value(x.parts[0]).T,
    "power": _power,
    "total": _total,
    "mean": _mean,
    "over_m": lambda tiny, x: np.array([[Fraction(1, tiny.examples)]], dtype=object),
    "bracket": _bracket,
    "choice": _choice,
    "call": _call,
}


# ---------------------------------------------------------------- images


def _convolution(draw: Random) -> Exercise:
    """A kernel over a small image, and the gradient by the kernel."""
    x = _filled((3, 3), lambda: draw.randint(-1, 3))
    w = _filled((2, 2), lambda: draw.randint(-1, 2))
    delta = _filled((2, 2), lambda: draw.randint(-1, 2))
    image, kernel, seed = t.symbol("X"), t.symbol("W"), t.symbol("delta")
    z, slope = t.convolved(kernel, image), t.partial(t.symbol("L"), kernel)
    asked: tuple[Piece, ...] = (
        Words("A small image and a kernel, no padding. Slide the kernel without turning it; then"
              " correlate the image with δ, the gradient that arrives."),
        *(Grid(name, _rows(a)) for name, a in ((image, x), (kernel, w), (seed, delta))),
        Formula((t.symbol("Z"), z)), Gap(2), Formula((slope, t.convolved(image, seed))), Gap(2),
    )  # fmt: skip
    answer = (Grid(t.symbol("Z"), _rows(_slid(w, x))), Grid(slope, _rows(_slid(delta, x))))
    return Exercise("Compute a convolution", asked, answer)


def _slid(kernel: Numbers, image: Numbers) -> Numbers:
    """The cross-correlation, without padding."""
    high, wide = (a - b + 1 for a, b in zip(image.shape, kernel.shape, strict=True))
    out = np.empty((high, wide), dtype=object)
    for i, j in np.ndindex(high, wide):
        window = image[i : i + kernel.shape[0], j : j + kernel.shape[1]]
        out[i, j] = (window * kernel).sum()
    return out


def _pooling(draw: Random) -> Exercise:
    """Max pooling forward and back."""
    numbers = draw.sample(range(-4, 12), 16)
    a = np.array([Fraction(n) for n in numbers], dtype=object).reshape(4, 4)
    delta = _filled((2, 2), lambda: draw.choice((-2, -1, 1, 2, 3)))
    p, back = np.empty((2, 2), dtype=object), np.full((4, 4), Fraction(0), dtype=object)
    for i, j in np.ndindex(2, 2):
        window = a[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        p[i, j] = window.max()
        k, n = np.argwhere(window == p[i, j])[0]
        back[2 * i + k, 2 * j + n] = delta[i, j]
    image, pooled = t.symbol("A"), t.symbol("P")
    by_image = t.partial(t.symbol("L"), image)
    asked = (
        Words("Max pooling of windows of 2×2. What comes out, and what does each element get?"),
        Grid(image, _rows(a)), Grid(t.partial(t.symbol("L"), pooled), _rows(delta)),
        Formula((pooled, GAP)), Formula((by_image, GAP)), Gap(2),
    )  # fmt: skip
    return Exercise(
        "Compute a pooling", asked, (Grid(pooled, _rows(p)), Grid(by_image, _rows(back)))
    )


def _rows(a: Numbers) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(written, row)) for row in a)
