"""A worksheet of a derivation: exercises with gaps, and their answers.

In: a `Derivation` and a seed. Out: a `Worksheet` as data: factors of chains to fill in, rules to
name, shapes to give, closed forms to find, numbers to compute (a tiny instance of the net whose
numbers come out even, from `worksheet_numbers`), and a line that is wrong. The same seed gives the
same worksheet. `worksheet_text`, `worksheet_latex` and `worksheet_html` write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from . import terms as t
from .derivation import Derivation, Fact, Passage
from .terms import Term
from .unicode import unicode

T = TypeVar("T")
GAP = t.bracket(t.symbol("?"))
# Rules of the compiler that offer themselves where a derivation uses few.
RULES = ("cancelling", "common factors", "like terms", "a sum of logarithms", "the chain rule")


@dataclass(frozen=True)
class Words:
    text: str


@dataclass(frozen=True)
class Formula:
    """Terms with a sign between them; `number` where lines are counted."""

    terms: tuple[Term, ...]
    sign: str = "="
    number: int = 0


@dataclass(frozen=True)
class Grid:
    """A name and its numbers, row by row."""

    left: Term
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Gap:
    """Room to write in."""

    lines: int = 1


Piece = Words | Formula | Grid | Gap


@dataclass(frozen=True)
class Exercise:
    """What is asked, and the answer."""

    title: str
    asked: tuple[Piece, ...]
    answer: tuple[Piece, ...]


@dataclass(frozen=True)
class Worksheet:
    """The equations it is about, and the exercises in order."""

    net: str
    seed: int
    notes: tuple[str, ...]
    given: tuple[Fact, ...]
    exercises: tuple[Exercise, ...]

    @property
    def title(self) -> str:
        return f"Worksheet: backpropagation through {self.net}"


def worksheet(d: Derivation, seed: int = 1) -> Worksheet:
    """The exercises that a derivation has matter for. Deterministic."""
    from .worksheet_numbers import computing

    draw = Random(seed)
    # No exercise gives away what another asks for.
    whole = [p for p in d.passages if p.chain.kind == "chain" and 2 <= len(p.chain.parts) <= 7]
    chained = chosen(whole, min(3, (len(whole) + 1) // 2), draw)
    closed = chosen([p for p in whole if p not in chained and not t.hidden(p.closed)], 3, draw)
    found = [
        *_factors(chained, draw), *_rules(d, draw), *_shapes(d, draw), *_closed_forms(closed),
        *computing(d, draw), *_wrong_line([p for p in d.passages if p not in closed], draw),
    ]  # fmt: skip
    return Worksheet(d.net, seed, tuple(d.notes), d.given, tuple(found))


def chosen(found: Sequence[T], count: int, draw: Random) -> list[T]:
    """Some of them, in their order."""
    places = sorted(draw.sample(range(len(found)), min(count, len(found))))
    return [found[k] for k in places]


def _factors(found: Sequence[Passage], draw: Random) -> Iterator[Exercise]:
    """A chain with one factor missing."""
    for p in found:
        parts = list(p.chain.parts)
        k = draw.randrange(len(parts))
        missing, parts[k] = parts[k], GAP
        asked = (Words("One factor of the chain is missing. Which?"),
                 Formula((p.left, t.chain(*parts))), Gap())  # fmt: skip
        yield Exercise("Fill in the chain", asked, (Formula((GAP, missing)),))


def _rules(d: Derivation, draw: Random) -> Iterator[Exercise]:
    """A simplification whose rule is to be named, out of several."""
    fit = {r.rule: r for p in d.passages for r in p.rewrites
           if r.before.size <= 24 and r.after.size <= 24}  # fmt: skip
    known = list(dict.fromkeys([*fit, *RULES]))
    for r in chosen(list(fit.values()), 3, draw):
        # Two rules that cancel something would both be right.
        alike = "cancel" in r.rule
        others = [x for x in known if x != r.rule and not (alike and "cancel" in x)]
        offered = [r.rule, *draw.sample(others, min(3, len(others)))]
        draw.shuffle(offered)
        told = "; ".join(f"({chr(97 + k)}) {rule}" for k, rule in enumerate(offered))
        asked = (Words("Which rule makes this step?"), Formula((r.before, r.after), "→"),
                 Words(told + "."), Gap())  # fmt: skip
        letter = chr(97 + offered.index(r.rule))
        yield Exercise("Name the rule", asked, (Words(f"({letter}) {r.rule}: {r.reason}."),))


def _shapes(d: Derivation, draw: Random) -> Iterator[Exercise]:
    """The shapes of some gradients."""
    products = dict(d.products)
    sizes = {s.name: s for s in d.shapes}
    fit = [p for p in d.passages if p.left.kind == "partial" and p.left.parts[1] in sizes
           and len(sizes[p.left.parts[1]].sizes) > 0]  # fmt: skip
    picked = chosen(fit, 4, draw)
    if not picked:
        return
    asked: list[Piece] = [Words("What is the shape of each?")]
    answer: list[Piece] = []
    for p in picked:
        asked += [Formula((p.left,)), Gap()]
        answer += [Formula((p.left,)), Words(f"[{sizes[p.left.parts[1]].shape}]"
                   + (f", since {products[p.left]}" if p.left in products else ""))]  # fmt: skip
    yield Exercise("Give the shape", tuple(asked), tuple(answer))


def _closed_forms(found: Sequence[Passage]) -> Iterator[Exercise]:
    """From the chain to the closed form."""
    for p in found:
        asked = (Words("Multiply the chain out. What is the closed form?"),
                 Formula((p.left, p.chain)), Gap(3))  # fmt: skip
        yield Exercise("Find the closed form", asked, (Formula((p.left, p.closed)),))


def _wrong_line(found: Sequence[Passage], draw: Random) -> Iterator[Exercise]:
    """Some closed forms of which one is wrong."""
    fit = [p for p in found if not t.hidden(p.closed) and p.closed.size <= 30]
    around = [k for k, p in enumerate(fit) if spoiled(p.closed, Random(0)) is not None]
    if len(fit) < 3 or not around:
        return
    k = draw.choice(around)
    start = min(max(k - draw.randrange(5), 0), max(len(fit) - 5, 0))
    shown: list[Passage] = fit[start : start + 5]
    asked: list[Piece] = [Words("One of these lines is wrong. Which, and what should it be?")]
    for number, p in enumerate(shown, start=1):
        wrong = spoiled(p.closed, draw) if p is fit[k] else None
        asked.append(Formula((p.left, wrong or p.closed), number=number))
    answer = (Words(f"Line {k - start + 1}. It should be"), Formula((fit[k].left, fit[k].closed)))
    yield Exercise("Find the wrong line", (*asked, Gap()), answer)


def spoiled(term: Term, draw: Random) -> Term | None:
    """The term with one mistake that students make; None where none of them fits."""
    found = [made for made in _mistakes(term) if unicode(made) != unicode(term)]
    return draw.choice(found) if found else None


def _mistakes(term: Term) -> Iterator[Term]:
    """A difference turned round, a transpose forgotten, a factor or 1/m left out."""
    if term.kind == "sub":
        yield t.sub(term.parts[1], term.parts[0])
    if term.kind == "transpose":
        yield term.parts[0]
    if term.kind == "hadamard":
        yield term.parts[0]
        yield t.add(*term.parts)
    if term.kind == "times" and term.parts[0].kind == "over_m":
        yield term.parts[1]
    if term.kind == "mean" and len(term.parts) == 1:
        yield t.total(term.parts[0], term.text)
    for k, part in enumerate(term.parts):
        if term.kind in ("sub", "add", "transpose", "hadamard", "times", "product", "mean", "neg",
                         "total"):  # fmt: skip
            for made in _mistakes(part):
                parts = (*term.parts[:k], made, *term.parts[k + 1 :])
                yield Term(term.kind, parts, term.text, term.size)
