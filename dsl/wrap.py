"""Breaks a line that is too long, where a reader would.

In: one statement's text on one line. Out: the same words on several lines, none wider than asked
where that can be: pipes one stage a line, then sums and lists filled, then the inside of brackets.
`layout` reads every line made here as the continuation of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .layout import CLOSES, OPENS, VALUE_ENDS, is_infix
from .lexer import Lexeme, lex
from .source import Source

WIDTH = 100
DEEPEST = 60  # indent beyond which lines stay long


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement on one line, its words and how many brackets stand around each."""

    text: str
    words: list[Lexeme]
    depths: list[int]

    def slice(self, begin: int, end: int) -> str:
        start = self.words[begin].span.start
        return self.text[start : self.words[end - 1].span.end]


def wrap(text: str, indent: int) -> list[str]:
    """The lines of a statement, the first indented by `indent`."""
    if indent + len(text) <= WIDTH:
        return [" " * indent + text]
    words, _ = lex(Source("", text))
    depths, depth = [], 0
    for word in words:
        depth -= word.type in OPENS
        depths.append(depth)
        depth += word.type in CLOSES
    return _lines(_Text(text, words, depths), 0, len(words), indent, indent + 4)


def _lines(t: _Text, begin: int, end: int, indent: int, further: int) -> list[str]:
    """Words `begin` to `end`, the first line at `indent`, the others at `further`."""
    if indent + len(t.slice(begin, end)) <= WIDTH or indent > DEEPEST:
        return [" " * indent + t.slice(begin, end)]
    level = t.depths[begin]
    at_level = [place for place in range(begin + 1, end) if t.depths[place] == level]
    pipes = [place for place in at_level if t.words[place].text == "->"]
    if pipes:
        return _split(t, [begin, *pipes, end], indent, further)
    breaks = [place for place in at_level if _joins(t, place)]
    breaks += [place for place in at_level if t.words[place - 1].type == "COMMA"]
    if breaks:
        return _split(t, _fill(t, begin, sorted(breaks), end, indent, further), indent, further)
    return _inside(t, begin, end, indent)


def _joins(t: _Text, place: int) -> bool:
    """Whether a line may break before this word: a loose operator between two values."""
    word, before = t.words[place], t.words[place - 1]
    return is_infix(word) and before.type in VALUE_ENDS and word.text not in ("^", "->")


def _fill(
    t: _Text, begin: int, breaks: list[int], end: int, indent: int, further: int
) -> list[int]:
    """As few of the breaks as keep the lines short."""
    chosen, margin = [begin], indent
    for place, following in zip(breaks, [*breaks[1:], end], strict=True):
        if margin + len(t.slice(chosen[-1], following)) > WIDTH:
            chosen.append(place)
            margin = further
    return [*chosen, end]


def _split(t: _Text, places: list[int], indent: int, further: int) -> list[str]:
    lines: list[str] = []
    for begin, end in pairwise(places):
        margin = further if lines else indent
        if len(places) > 2 and _has(t, begin, end):
            lines += _lines(t, begin, end, margin, margin + 4)
        else:
            lines += _inside(t, begin, end, margin)
    return lines


def _has(t: _Text, begin: int, end: int) -> bool:
    """Whether a piece made by a split has breaks of its own kind left in it."""
    level = t.depths[begin]
    return any(
        t.depths[place] == level and t.words[place].text != "->" and _joins(t, place)
        for place in range(begin + 1, end)
    )


def _inside(t: _Text, begin: int, end: int, indent: int) -> list[str]:
    """Breaks within the widest brackets of a piece that has no break outside them."""
    level = t.depths[begin]
    whole = [" " * indent + t.slice(begin, end)]
    if len(whole[0]) <= WIDTH or indent > DEEPEST:
        return whole
    pairs = _pairs(t, begin, end, level)
    if not pairs:
        return whole
    open_, close = max(pairs, key=lambda pair: pair[1] - pair[0])
    head = " " * indent + t.slice(begin, open_ + 1)
    tail = " " * indent + t.slice(close, end)
    body: list[str] = []
    start = open_ + 1
    commas = [
        place
        for place in range(open_ + 1, close)
        if t.depths[place] == level + 1 and t.words[place].type == "COMMA"
    ]
    for stop in [*(place + 1 for place in commas), close]:
        if start < stop:
            body += _lines(t, start, stop, indent + 2, indent + 6)
        start = stop
    return [head, *body, tail]


def _pairs(t: _Text, begin: int, end: int, level: int) -> list[tuple[int, int]]:
    """The outermost brackets with something between them."""
    pairs, open_ = [], -1
    for place in range(begin, end):
        if t.depths[place] != level:
            continue
        if t.words[place].type in ("LPAR", "LSQB"):
            open_ = place
        elif t.words[place].type in ("RPAR", "RSQB") and place > open_ + 1 >= 1:
            pairs.append((open_, place))
    return pairs
