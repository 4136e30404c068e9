"""Words of a `.net` text.

In: a `Source`. Out: `Lexeme`s (every one with its span), the comments, and nothing thrown away: a
character that no word begins with is a lexeme too (JUNK), for the parser to complain about.
What newlines and brackets mean is `layout`'s, which word is a keyword where is `WORDS` here and
the parser's tables.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lark import Lark, Token

from .build import Builder
from .source import Source, Span
from .syntax import Comment

GRAMMAR = Path(__file__).with_name("grammar.lark")

# Word -> the terminals it may stand for, where the parser's state has a use for one of them.
WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("block", "net", "optimizer"), ("DEFINITION",)),
    **dict.fromkeys(("data", "const"), ("CONSTANT",)),
    **dict.fromkeys(("param", "state"), ("VARIABLE",)),
    **dict.fromkeys(("output", "loss", "metric", "yield"), ("RESULT",)),
    **dict.fromkeys(("true", "false"), ("BOOL",)),
    **dict.fromkeys(("and", "or"), ("OPERATOR",)),
    **{
        word: (word.upper(),)
        for word in (
            *("import", "train", "generate", "input", "update", "when", "otherwise", "repeat"),
            *("scan", "not", "frozen", "tied", "decay", "minimize", "load", "class", "tokens"),
        )
    },
    **{word: (f"_{word.upper()}",) for word in ("on", "with", "in", "to", "over", "into", "map")},
    "from": ("FROM", "_FROM"),
    "for": ("FOR", "_FOR"),
}

# Words of the lexer -> their terminals in the grammar, where the names differ.
TERMINALS: dict[str, tuple[str, ...]] = {
    "NEWLINE": ("_NL",),
    "COMMA": ("_COMMA",),
    "DOT": ("_DOT",),
    "EQ": ("_EQ",),
    "COLON": ("COLON", "_COLON"),
}


@dataclass(slots=True)
class Lexeme:
    """One word. `depth` is the number of brackets around it."""

    type: str
    text: str
    span: Span
    first: bool = False  # the first of its line
    spaced: bool = False  # white space stands before it
    depth: int = 0


class _AllWords:
    """Tells Lark to keep words that its rules name differently or never use."""

    always_accept = (
        *("NEWLINE", "COMMENT", "COMMA", "DOT", "COLON", "EQ"),
        *("OPEN_STRING", "FOREIGN", "JUNK"),
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


def _cache_file() -> str | None:
    """Where the compiled tables are kept between runs, which saves most of the start-up time.

    Lark reads them back with pickle, so the folder must be one that nobody else can write to.
    """
    chosen = os.environ.get("CHAINRULE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(base or Path.home() / ".cache") / "chainrule"
        folder = Path(chosen).expanduser().absolute() if chosen else folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = folder.stat()
        if os.name == "posix" and (facts.st_uid != os.getuid() or facts.st_mode & 0o022):
            return None
        file = folder / f"grammar-{sys.version_info[0]}.{sys.version_info[1]}.tables"
        if file.is_symlink() or (file.exists() and file.stat().st_uid != facts.st_uid):
            return None
    except (OSError, RuntimeError):  # no home, or a read-only one: compile the grammar each time
        return None
    return str(file)


@cache
def grammar() -> Lark:
    """The compiled grammar; the syntax tree is built while it parses (`Builder`)."""
    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=["file", "expression"],
        transformer=Builder(),
        postlex=_AllWords(),
        maybe_placeholders=True,
        cache=_cache_file() or False,
    )


@cache
def _pattern() -> re.Pattern[str]:
    """The words of the grammar as one expression, in the order of precedence that Lark gives them.

    Scanning with it is several times faster than with Lark's own lexer, which counts lines.
    """
    words = [t for t in grammar().terminals if t.pattern is not None]
    words.sort(key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    return re.compile("|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in words))


def lex(source: Source) -> tuple[list[Lexeme], tuple[Comment, ...]]:
    """All words of the text, newlines included, and its comments apart."""
    words: list[Lexeme] = []
    comments: list[Comment] = []
    first, end = True, 0
    for match in _pattern().finditer(source.text):
        kind = match.lastgroup or ""
        if kind == "SPACE":
            continue
        start, stop = match.span()
        span = Span(source, start, stop)
        text = match.group()
        if kind == "COMMENT":
            comments.append(Comment(span, text[1:].strip(), first))
            end = stop
            continue
        if kind == "NAME" and not text.isascii():
            text = unicodedata.normalize("NFC", text)  # an accent is one with its letter
        words.append(Lexeme(kind, text, span, first, start > end))
        first, end = kind == "NEWLINE", stop
    return words, tuple(comments)
