"""Brackets and newlines: from words to the words that the grammar sees.

In: lexemes. Out: lexemes whose brackets balance and whose newlines each end a statement.
A missing or stray bracket is reported here and mended, so that one slip never makes the parser
read the rest of the file wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .diagnostics import Diagnostic, Label
from .lexer import Lexeme
from .source import Span

MAX_DEPTH = 200
CLOSES = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
OPENS = {close: open_ for open_, close in CLOSES.items()}
SIGN = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}

_INFIX = {"OPERATOR", "STAR", "MINUS"}
_BLOCKS = {"block", "net", "optimizer", "train", "generate"}
_STATEMENTS = {"input", "output", "param", "state", "update", "loss", "metric", "yield", "repeat"}


VALUE_ENDS = {"NAME", "NUMBER", "STRING", "RPAR", "RSQB", "TICK"}


def is_infix(word: Lexeme) -> bool:
    """Whether the word joins what stands before it with what follows."""
    return word.type in _INFIX or word.text in ("and", "or")


@dataclass
class Layout:
    """One pass over the words of a file."""

    words: list[Lexeme]
    out: list[Lexeme] = field(default_factory=list)
    open: list[Lexeme] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    _indent: dict[int, int] = field(default_factory=dict)  # of the line that opened a bracket
    _line_indent: int = 0
    _suspect: Lexeme | None = None  # a `{` whose `}` stood at another indent
    _scan_header: bool = False
    _next: list[int] = field(default_factory=list)  # place of the next word that is no newline

    def run(self) -> list[Lexeme]:
        self._next = _next_words(self.words)
        for at, word in enumerate(self.words):
            if word.type == "NEWLINE":
                self._newline(at, word)
                continue
            if word.first:
                self._line_indent = word.span.column
                self._notice_unclosed(at)
            if word.type in CLOSES:
                if not self._opening(at, word):
                    break
            elif word.type in OPENS:
                self._closing(word)
            else:
                self._put(word)
                if word.type == "OPEN_STRING":
                    self._close_line(word)
        self._end()
        return self.out

    # ------------------------------------------------------------ newlines

    def _newline(self, at: int, word: Lexeme) -> None:
        if self.open and self.open[-1].type != "LBRACE":
            return
        if not self.out or self.out[-1].type == "NEWLINE":
            return
        following = self._next[at]
        if following < len(self.words) and self._continues(following):
            return
        self._put(word)

    def _continues(self, following: int) -> bool:
        """Whether the line that begins at `following` goes on with the statement before it."""
        last, word = self.out[-1], self.words[following]
        if last.type == "RBRACE" and word.text == "otherwise":
            return True
        if last.type in ("LBRACE", "RBRACE"):
            return False
        if is_infix(word) and not self._is_target(following):
            return True
        if word.type == "LBRACE" or (word.text == "with" and not self._is_target(following)):
            return True
        if last.type == "COMMA" or (is_infix(last) and not self._ends_pattern()):
            return not self._begins_statement(following, last.type == "COMMA")
        return False

    def _ends_pattern(self) -> bool:
        """Whether the last word is the star of `head.*`."""
        return [word.type for word in self.out[-2:]] == ["DOT", "STAR"]

    def _is_target(self, at: int) -> bool:
        return at + 1 < len(self.words) and self.words[at + 1].type in ("EQ", "COMMA")

    def _begins_statement(self, at: int, after_comma: bool) -> bool:
        """Whether a line can only be a new statement, so that the one above was left unfinished."""
        word = self.words[at]
        if word.type == "RBRACE" or at + 1 == len(self.words):
            return word.type == "RBRACE"
        following = self.words[at + 1].type
        if word.type != "NAME":
            return False
        if word.text in _STATEMENTS or word.text in _BLOCKS:
            if self.words[at + 1].text in ("in", "and", "or"):
                return False
            return following in ("NAME", "NUMBER", "LSQB", "STRING")
        return not after_comma and following == "EQ"

    # ------------------------------------------------------------ brackets

    def _opening(self, at: int, word: Lexeme) -> bool:
        if len(self.open) >= MAX_DEPTH:
            self.diagnostics.append(
                Diagnostic(
                    "E121",
                    f"brackets are nested more than {MAX_DEPTH} deep",
                    word.span,
                    "one bracket too many",
                    help="give the inner parts names and use those",
                )
            )
            return False
        if word.type == "LPAR" and self._begins_options(at, word):
            word.type = "OPTIONS_LPAR"
        if word.type == "LBRACE":
            self._close_round(word.span)
        self._put(word)
        self.open.append(word)
        self._indent[word.span.start] = self._line_indent
        return True

    def _begins_options(self, at: int, word: Lexeme) -> bool:
        """`scan … with h = h0 (reverse = true) {`: set off by a space, as no call is written."""
        if not self._scan_header:
            return False
        before = self.out[-1]
        ends = before.type in VALUE_ENDS and before.text not in ("in", "not", "and", "or")
        if not ends and not self._ends_pattern():
            return False
        if not word.spaced and before.type != "NUMBER":
            return False
        depth = 0
        for place in range(at, len(self.words)):
            kind = self.words[place].type
            depth += (kind in CLOSES) - (kind in OPENS)
            if depth == 0:
                following = self._next[place]
                return following < len(self.words) and self.words[following].type == "LBRACE"
        return False

    def _closing(self, word: Lexeme) -> None:
        wanted = OPENS[word.type]
        if wanted == "LBRACE":
            self._close_round(word.span)
        if not self.open:
            self._stray(word)
            return
        top = self.open[-1]
        if _kind(top) != wanted:
            if top.type == "LBRACE":
                self._stray(word)
                return
            self._mismatch(top, word)
            word.type = CLOSES[_kind(top)]
        elif wanted == "LBRACE":
            self._note_indent(top, word)
            self._end_statement(word.span)
        self.open.pop()
        self._put(word)

    def _note_indent(self, top: Lexeme, word: Lexeme) -> None:
        off = word.first and word.span.column < self._indent[top.span.start]
        if off and self._suspect is None:
            self._suspect = top

    def _notice_unclosed(self, at: int) -> None:
        """A line that cannot stand inside the brackets open here shows that one was forgotten."""
        word = self.words[at]
        if not self.open or word.type != "NAME":
            return
        if self.open[-1].type != "LBRACE" and self._new_line_of_code(at):
            self._close_round(word.span)
            self._end_statement(word.span)
        if self.open and self.open[-1].type == "LBRACE" and self._declares(at):
            self._never_closed(self._suspect or self.open[0], word.span, "before this declaration")
            self._suspect = None
            while self.open:
                self._end_statement(word.span)
                self._close_last(word.span)
            self._end_statement(word.span)

    def _new_line_of_code(self, at: int) -> bool:
        before, word = self.out[-1], self.words[at]
        following = self.words[at + 1].type if at + 1 < len(self.words) else "NEWLINE"
        joined = at + 1 < len(self.words) and is_infix(self.words[at + 1])
        if word.text in _STATEMENTS | _BLOCKS and following == "NAME" and not joined:
            return True
        if before.type in ("COMMA", "LPAR", "OPTIONS_LPAR") or is_infix(word):
            return False
        open_ended = before.type in ("COLON", "EQ", *CLOSES) or is_infix(before)
        return following == "EQ" or (following == "NAME" and not joined and not open_ended)

    def _declares(self, at: int) -> bool:
        """Whether a line inside braces begins a declaration, which never stands there."""
        word = self.words[at]
        if word.text not in _BLOCKS | {"data", "const", "import"}:
            return False
        following = self.words[at + 1].type if at + 1 < len(self.words) else "NEWLINE"
        if word.text == "import":
            return following == "STRING"
        if following != "NAME":
            return False
        if word.text in ("data", "const"):
            third = self.words[at + 2].type if at + 2 < len(self.words) else "NEWLINE"
            return third == "EQ" and word.span.column == 1
        end = at
        while end + 1 < len(self.words) and self.words[end + 1].type != "NEWLINE":
            end += 1
        return self.words[end].type in ("LBRACE", "RBRACE")

    # ------------------------------------------------------------ repairs

    def _end(self) -> None:
        if not self.words:
            return
        last = self.words[-1].span
        if self.open and not any(d.code == "E121" for d in self.diagnostics):
            bracket = self._suspect or next(
                (b for b in self.open if b.type != "LBRACE"), self.open[0]
            )
            last_code = next((w.span for w in reversed(self.words) if w.type != "NEWLINE"), last)
            self._never_closed(bracket, last_code, "the file ends here")
        while self.open:
            if self.open[-1].type == "LBRACE":
                self._end_statement(last)
            self._close_last(last)
        self._end_statement(last)

    def _end_statement(self, span: Span) -> None:
        if self.out and self.out[-1].type not in ("NEWLINE", "LBRACE"):
            self._put(Lexeme("NEWLINE", "\n", Span(span.source, span.start, span.start)))

    def _close_round(self, here: Span) -> None:
        """Close every ( and [ still open where none can be."""
        while self.open and self.open[-1].type != "LBRACE":
            self._never_closed(self.open[-1], self.out[-1].span)
            self._close_last(here)

    def _close_line(self, text: Lexeme) -> None:
        """An endless text has swallowed the brackets that would close those of its line."""
        while self.open and self.open[-1].type != "LBRACE":
            if self.open[-1].span.line != text.span.line:
                return
            self._close_last(text.span)

    def _close_last(self, span: Span) -> None:
        kind = CLOSES[_kind(self.open.pop())]
        self._put(Lexeme(kind, SIGN[kind], Span(span.source, span.start, span.start)))

    def _put(self, word: Lexeme) -> None:
        begins = not self.out or self.out[-1].type in ("NEWLINE", "LBRACE")
        if begins or word.type in ("NEWLINE", "LBRACE"):
            self._scan_header = begins and word.text == "scan"
        word.depth = len(self.open)
        self.out.append(word)

    def _never_closed(self, bracket: Lexeme, noticed: Span, where: str = "") -> None:
        sign, close = SIGN[_kind(bracket)], SIGN[CLOSES[_kind(bracket)]]
        self.diagnostics.append(
            Diagnostic(
                "E101",
                f"`{sign}` is never closed",
                noticed,
                f"expected `{close}` {where}" if where else f"expected `{close}` by here",
                labels=(Label(bracket.span, f"this `{sign}` is still open"),),
                help=f"add the missing `{close}`",
            )
        )

    def _stray(self, word: Lexeme) -> None:
        self.diagnostics.append(
            Diagnostic(
                "E102",
                f"`{word.text}` closes nothing",
                word.span,
                f"no `{SIGN[OPENS[word.type]]}` is open here",
                help=f"remove it, or open a `{SIGN[OPENS[word.type]]}` before it",
            )
        )

    def _mismatch(self, top: Lexeme, word: Lexeme) -> None:
        right = SIGN[CLOSES[_kind(top)]]
        self.diagnostics.append(
            Diagnostic(
                "E102",
                f"`{SIGN[_kind(top)]}` is closed by `{word.text}`",
                word.span,
                f"expected `{right}`",
                labels=(Label(top.span, "opened here"),),
                help=f"write `{right}` instead of `{word.text}`",
            )
        )


def _next_words(words: list[Lexeme]) -> list[int]:
    places, following = [0] * len(words), len(words)
    for at in range(len(words) - 1, -1, -1):
        places[at] = following
        if words[at].type != "NEWLINE":
            following = at
    return places


def _kind(bracket: Lexeme) -> str:
    return "LPAR" if bracket.type == "OPTIONS_LPAR" else bracket.type
