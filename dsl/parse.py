"""Text to syntax: `parse` for a whole file, `parse_expression` for one value.

In: a `Source`. Out: the syntax tree, or a `Failure` with every syntax mistake found. After a
mistake the parser drops that statement and goes on with the next one, so that one run reports
several; `layout` has balanced the brackets beforehand, so a dropped statement has a known end.
What to say about a mistake is `mistakes`' affair; names and shapes are the compiler's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lark.exceptions import UnexpectedToken
from lark.grammar import Rule

from .collector import without_collector
from .diagnostics import Diagnostic, Failure, did_you_mean, fail
from .documentation import attach
from .layout import CLOSES, Layout
from .lexer import TERMINALS, WORDS, Lexeme, grammar, lex
from .misplaced import misplaced
from .mistakes import Situation, explain, repair
from .source import Source, Span
from .syntax import Expr, File, Import

MAX_CHARACTERS = 4_000_000
MAX_DIAGNOSTICS = 50

# Words that begin a statement, and yet may be the target of an equation: `state = tanh(x)`.
_TARGETS = {"param", "state", "update", "when", "repeat", "for", "scan", "load", "minimize"}


def read(path: Path, span: Span | None = None) -> Source:
    """A `.net` file's text; a `Failure` E120 where it cannot be one. `span`: who asks for it."""
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise fail("E120", f"`{path}` is too large for a `.net` file", span, help=_TOO_LARGE)
        return Source.read(path)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        advice = did_you_mean(path.name, _siblings(path)) or _PATHS
        raise fail("E120", f"cannot read `{path}`: {reason}", span, help=advice) from None
    except UnicodeDecodeError as error:
        message = f"`{path}` is not UTF-8 text (byte {error.start})"
        advice = "save it as UTF-8, or check that it is a `.net`"
        raise fail("E120", message, span, help=advice) from None


def _siblings(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.glob("*.net")]
    except OSError:
        return []


_PATHS = "check the path; in `import` it starts at the folder of the importing file"
_TOO_LARGE = f"the limit is {MAX_CHARACTERS // 1_000_000} million characters; split it by `import`"


def parse(source: Source) -> File:
    """The syntax tree of a file; a `Failure` with all mistakes where there are any."""
    file, diagnostics = parse_partial(source)
    if diagnostics:
        raise Failure(diagnostics)
    return file


def parse_partial(source: Source) -> tuple[File, list[Diagnostic]]:
    """What could be understood of a file, and what could not."""
    refusal = _refusal(source)
    if refusal:
        return File(source, (), ()), [refusal]
    with without_collector():
        run = _Run(source, "file")
    # A declaration without a name stands for a header that could not be read (`_feed_header`).
    declarations = [d for d in run.result or () if d.name.id or isinstance(d, Import)]
    described = attach(declarations, run.comments)
    return File(source, described, run.comments), run.report(misplaced(described))


def parse_expression(source: Source) -> Expr:
    """One expression, as on the command line after `--set name=`."""
    refusal = _refusal(source)
    if refusal:
        raise Failure([refusal])
    run = _Run(source, "expression")
    diagnostics = run.report([])
    if diagnostics:
        raise Failure(diagnostics)
    tree: Expr = run.result
    return tree


def _refusal(source: Source) -> Diagnostic | None:
    text = source.text
    if len(text) > MAX_CHARACTERS:
        message = f"`{source.name}` is too large for a `.net` file"
        return Diagnostic("E120", message, help=_TOO_LARGE)
    at = text.find("\0")
    if at >= 0:
        span = Span(source, at, at + 1)
        hint = "save it as plain text, or check that it is a `.net` file"
        return Diagnostic("E120", "this is not a text file", span, "a zero byte", help=hint)
    return None


class _Run:
    """One text through the parser, with recovery."""

    def __init__(self, source: Source, start: str) -> None:
        self.source = source
        self.start = start
        words, self.comments = lex(source)
        layout = Layout(words)
        self.words = layout.run()
        self.diagnostics: list[Diagnostic] = layout.diagnostics
        # Lark's parser state: two stacks that recovery may shorten.
        self.state: Any = grammar().parse_interactive("", start=start).parser_state
        self.tables: Any = self.state.parse_conf.states
        self.result: Any = None
        if not any(d.code == "E121" for d in self.diagnostics):
            self._drive()

    def report(self, more: list[Diagnostic]) -> list[Diagnostic]:
        """All diagnostics, in the order of the text, one for a place."""
        found = {(d.span.start if d.span else 0, d.code): d for d in self.diagnostics + more}
        return [found[key] for key in sorted(found)][:MAX_DIAGNOSTICS]

    def _drive(self) -> None:
        at = 0
        while at < len(self.words):
            try:
                self._feed(at)
                at += 1
            except UnexpectedToken:
                at = self._mend(at)
            except Failure as failure:
                self.diagnostics += failure.diagnostics
                at = self._skip(at)
            if at < 0 or len(self.diagnostics) > 2 * MAX_DIAGNOSTICS:
                return
        end = Span(self.source, len(self.source.text), len(self.source.text))
        try:
            self.result = self.state.feed_token(Lexeme("$END", "", end), is_end=True)
        except UnexpectedToken:
            self.words.append(Lexeme("$END", "", end))
            self._explain(len(self.words) - 1)
        except Failure as failure:
            self.diagnostics += failure.diagnostics

    def _feed(self, at: int) -> None:
        word = self.words[at]
        kind = self._kind(at)
        if kind != word.type:
            word = Lexeme(kind, word.text, word.span)
        self.state.feed_token(word)

    def _kind(self, at: int) -> str:
        """The terminal that a word stands for in the parser's present state."""
        word = self.words[at]
        useful = self.tables[self.state.state_stack[-1]]
        following = self.words[at + 1] if at + 1 < len(self.words) else None
        if word.type == "NAME":
            called = following is not None and following.type == "LPAR" and not following.spaced
            if called and "CALLER" in useful:
                return "CALLER"
            target = following is not None and following.type in ("EQ", "COMMA")
            if target and word.text in _TARGETS and "NAME" in useful:
                return "NAME"
            candidates = WORDS.get(word.text, ())
        else:
            candidates = TERMINALS.get(word.type, ())
        return next((kind for kind in candidates if kind in useful), word.type)

    # ------------------------------------------------------------ recovery

    def _mend(self, at: int) -> int:
        """Report the word that the grammar has no use for; where to go on."""
        word = self.words[at]
        if word.type in CLOSES.values() and word.span.start == word.span.end:
            return self._skip(at)  # put there by `layout`, which has said so
        situation = self._explain(at)
        instead = repair(situation)
        if instead is None:
            return self._skip(at)
        self._unwind()
        begin = situation.begin
        self.words[begin] = replace(self.words[begin], text=instead)
        return begin

    def _explain(self, at: int) -> Situation:
        useful = {kind for kind in self.tables[self.state.state_stack[-1]] if self._takes(kind)}
        begin = self._statement_start(at)
        situation = Situation(self.words, at, useful, self._where(), begin)
        self.diagnostics.append(explain(situation))
        return situation

    def _takes(self, kind: str) -> bool:
        """Whether the parser would shift a terminal now: its tables promise some that it refuses
        once it has completed the rules before (lookaheads of merged states)."""
        stack = list(self.state.state_stack)
        while True:
            action = self.tables[stack[-1]].get(kind)
            if action is None or not kind.isupper():
                return False
            rule = action[1]
            if not isinstance(rule, Rule):
                return True
            if rule.expansion:
                del stack[-len(rule.expansion) :]
            stack.append(self.tables[stack[-1]][rule.origin.name][1])

    def _where(self) -> str:
        """The innermost surroundings: file, body, directives or expression."""
        for state in reversed(self.state.state_stack):
            if self._is_list(state):
                table = self.tables[state]
                kinds = {"DEFINITION": "file", "INPUT": "body", "MINIMIZE": "directives"}
                return next(name for kind, name in kinds.items() if kind in table)
        return "expression"

    def _is_list(self, state: int) -> bool:
        """Whether statements, declarations or directives may begin in this state."""
        table = self.tables[state]
        return "_NL" in table and ("DEFINITION" in table or "INPUT" in table or "CALLER" in table)

    def _skip(self, at: int) -> int:
        """Drop the statement that holds word `at`, but read a body that it opens."""
        if not self._unwind():
            return -1
        where = self._where()
        begin = self._statement_start(at)
        depth = self.words[begin].depth
        for place in range(at, len(self.words)):
            word = self.words[place]
            if word.type == "NEWLINE" and word.depth == depth:
                return place
            if word.type == "LBRACE" and word.depth == depth and where != "directives":
                self._feed_header(where, begin, word.span)
                return place
        return len(self.words)

    def _unwind(self) -> bool:
        """Forget the unfinished statement; whether the parser can take another one."""
        stack, values = self.state.state_stack, self.state.value_stack
        while stack and not self._is_list(stack[-1]):
            stack.pop()
            if values:
                values.pop()
        return bool(stack)

    def _statement_start(self, at: int) -> int:
        """Where the statement begins that holds word `at`."""
        bodies = 0
        for place in range(at, 0, -1):
            before = self.words[place - 1]
            if before.type == "RBRACE":
                bodies += 1
            elif before.type == "LBRACE" and bodies:
                bodies -= 1
            elif not bodies and before.type in ("NEWLINE", "LBRACE"):
                return place
        return 0

    def _feed_header(self, where: str, begin: int, span: Span) -> None:
        """Something in place of a header that could not be read, so that its body can be."""
        if where == "body":
            header = [("REPEAT", "repeat"), ("NUMBER", "1")]
        elif self.words[begin].text in ("train", "generate"):
            header = [("GENERATE", "generate"), ("NAME", ""), ("_FROM", "from"), ("NAME", "")]
        else:
            header = [("DEFINITION", "net"), ("NAME", "")]
        for kind, text in header:
            self.state.feed_token(Lexeme(kind, text, span))
