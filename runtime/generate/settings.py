"""How to generate: the lines of a `generate` block, and what the command line overrides.

In: a declaration, or values by name. Out: a `Generation`, or a Failure: E288 for a line that there
is not or a value of another kind, E289 for lines that disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...dsl import syntax as ast
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..train.directives import literal

# Which words choose tokens, so that a word on the command line takes the place of all in the file.
METHODS = ("greedy", "temperature", "top_k", "beam")
_COUNTS = {"length": 1, "top_k": 1, "beam": 1, "seed": 0, "samples": 1}  # and the least of each
_NUMBERS = ("temperature", "length_penalty")
_TEXTS = ("start", "source")
_WORDS = ("feed", "scores")
KNOWN = (*_TEXTS, "length", *METHODS, "length_penalty", "samples", "seed", *_WORDS)


@dataclass(frozen=True)
class Generation:
    """`start` comes before what is generated; `source` is the text for the other input of tokens.
    Without `temperature`, `top_k`, `beam` and several `samples`, the likeliest token is taken.
    `length_penalty` is α of ((5 + |y|) / 6)^α (Wu et al., 2016)."""

    start: str = ""
    source: str | None = None
    length: int | None = None
    greedy: bool = False
    temperature: float | None = None
    top_k: int | None = None
    beam: int | None = None
    length_penalty: float | None = None
    samples: int = 1
    seed: int = 0
    feed: str = ""
    scores: str = ""

    @property
    def draws(self) -> bool:
        """Is chance asked?"""
        return self.temperature is not None or self.top_k is not None or self.samples > 1

    @property
    def width(self) -> int:
        """How many beginnings are kept."""
        return self.beam or 1


def read_generation(
    declared: ast.Generate, consts: Mapping[str, object] | None = None
) -> Generation:
    """What the lines of a `generate` block say. Raises Failure with every mistake."""
    given: dict[str, Any] = {}
    seen: dict[str, Span] = {}
    wrong = Failure()
    for line in declared.body:
        word = line.keyword.id
        try:
            if word in seen:
                raise fail("E289", f"`{word}` is given twice", line.span,
                           labels=(Label(seen[word], "first given here"),),
                           help="remove one of them")  # fmt: skip
            given[word] = _value(line, consts or {})
            seen[word] = line.span
        except Failure as failure:
            wrong.diagnostics += failure.diagnostics
    if not wrong.diagnostics:
        try:
            return checked(Generation(**given), set(given), seen)
        except Failure as failure:
            wrong.diagnostics += failure.diagnostics
    raise Failure(wrong.diagnostics)


def with_overrides(settings: Generation, given: Mapping[str, Any]) -> Generation:
    """What the command line or the API says goes before what the file says. Raises E288, E289."""
    asked = {n: v for n, v in given.items() if v is not None and v is not False}
    for name, value in asked.items():
        if name not in {f.name for f in fields(Generation)}:
            known = ", ".join(KNOWN)
            raise fail("E288", f"`generate` takes no `{name}`",
                       help=did_you_mean(name, KNOWN) or f"it takes {known}")  # fmt: skip
        _check(name, value, None)
    if any(word in asked for word in METHODS):
        settings = replace(settings, greedy=False, temperature=None, top_k=None, beam=None)
        if "beam" in asked and "samples" not in asked:
            settings = replace(settings, samples=1)
        if "beam" not in asked and "length_penalty" not in asked:
            settings = replace(settings, length_penalty=None)
    return checked(replace(settings, **asked), set(asked), {})


def checked(settings: Generation, given: set[str], places: Mapping[str, Span]) -> Generation:
    """Raise E289 where two ways to choose tokens are asked for."""
    by_chance = [w for w in ("temperature", "top_k") if getattr(settings, w) is not None]
    by_chance += ["samples"] if settings.samples > 1 else []
    certain = ["greedy"] if settings.greedy else []
    certain += ["beam"] if settings.beam is not None else []
    if len(certain) > 1 or (certain and by_chance):
        one, other = (certain + by_chance)[:2]
        raise fail(
            "E289", f"`{one}` and `{other}` are different ways to choose what comes next",
            places.get(other), help="keep one of them",
            labels=(Label(places[one], "the other one"),) if one in places else (),
        )  # fmt: skip
    if settings.length_penalty is not None and settings.beam is None:
        raise fail("E289", "`length_penalty` weighs what a beam search has found",
                   places.get("length_penalty"), help="add `beam 5`")  # fmt: skip
    return settings


def _value(line: ast.Directive, consts: Mapping[str, object]) -> Any:
    word = line.keyword.id
    if word not in KNOWN:
        known = ", ".join(f"`{k}`" for k in KNOWN)
        near = did_you_mean(word, KNOWN) or f"lines of a `generate` block are {known}"
        raise fail("E288", f"`{word}` is no line of a `generate` block", line.keyword.span,
                   help=near)  # fmt: skip
    if word == "greedy" and not line.arguments and line.target is None:
        return True
    called = line.called
    values = tuple(a.value for a in called.arguments) if called else line.arguments
    if len(values) != 1 or line.target is not None or word == "greedy":
        wanted = "stands alone" if word == "greedy" else "takes one value"
        raise fail("E288", f"`{word}` {wanted}", line.span, help=f"write `{_example(word)}`")
    try:
        value = literal(values[0], consts)
    except Failure as failure:
        raise fail("E288", failure.diagnostics[0].message, values[0].span,
                   help=f"write `{_example(word)}`") from failure  # fmt: skip
    if word in _TEXTS and not isinstance(values[0], ast.String) and value not in consts.values():
        raise fail("E288", f"`{word}` is a text in quotes, not `{values[0].span.text}`",
                   values[0].span, help=f"write `{_example(word)}`")  # fmt: skip
    return _check(word, value, values[0].span)


def _check(word: str, value: Any, span: Span | None) -> Any:
    """The value, if it is of the right kind."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if word in _COUNTS:
        good = number and math.isfinite(value) and float(value).is_integer()
        good = good and value >= _COUNTS[word]
        wanted, value = f"a whole number from {_COUNTS[word]}", int(value) if good else value
    elif word in _NUMBERS:
        good = number and math.isfinite(value) and (value > 0 or word == "length_penalty")
        good = good and value >= 0
        wanted = "a number above 0" if word == "temperature" else "a number from 0"
    elif word == "greedy":
        good, wanted = isinstance(value, bool), "true or false"
    else:
        good, wanted = isinstance(value, str), "a text" if word in _TEXTS else "a name"
    if not good:
        shown = span.text if span is not None else str(value)
        raise fail("E288", f"`{word}` is {wanted}, not `{shown}`", span,
                   help=f"write `{_example(word)}`")  # fmt: skip
    return value


def _example(word: str) -> str:
    examples = {"start": 'start "ROMEO:"', "source": 'source "3 May 1979"', "length": "length 400",
                "greedy": "greedy", "temperature": "temperature 0.8", "top_k": "top_k 10",
                "beam": "beam 5", "length_penalty": "length_penalty 0.6", "samples": "samples 3",
                "seed": "seed 1", "feed": "feed target", "scores": "scores logits"}  # fmt: skip
    return examples[word]
