"""What a user is told about a mistake: code, place, the facts in conflict, a way out.

A `Diagnostic` is data; `render` gives the text of the language page, `as_json` the same for tools.
Every stage reports through `Failure`, which carries one or more of them. No traceback reaches a
user: the command line catches `Failure` and prints its diagnostics.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .source import Span

LONGEST = 160  # of a source line that is shown whole


@dataclass(frozen=True)
class Label:
    """A second place that bears on the mistake, and what is to be read there."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One mistake. `code` has a page: `chainrule explain CODE`."""

    code: str
    message: str
    span: Span | None = None
    note: str = ""  # printed beside the underline
    labels: tuple[Label, ...] = ()
    help: str = ""
    severity: str = "error"  # or "warning"

    def render(self) -> str:
        """The text form: header, source line with underline, other places, help."""
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        places = [Label(self.span, self.note)] if self.span else []
        places += self.labels
        width = max((len(str(p.span.line)) for p in places), default=1) + 2
        name = None
        for place in places:
            span = place.span
            if span.source.name != name:
                arrow = "-->" if name is None else ":::"
                lines.append(f"{' ' * (width - 1)}{arrow} {span}")
                lines.append(" " * width + "|")
                name = span.source.name
            lines += _excerpt(place, width, primary=place.span is self.span)
            lines.append(" " * width + "|")
        if places and not self.help:
            lines.pop()
        elif places:
            lines[-1] = f"{' ' * width}= help: {self.help}"
        elif self.help:
            lines.append(f"  = help: {self.help}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same facts for editors and scripts."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **({"place": _place(self.span)} if self.span else {}),
            "note": self.note,
            "labels": [{**_place(label.span), "text": label.text} for label in self.labels],
            "help": self.help,
        }


def _place(span: Span) -> dict[str, Any]:
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": end_line,
        "end_column": end_column,
    }


def _excerpt(place: Label, width: int, primary: bool) -> list[str]:
    span = place.span
    line, column = span.source.position(span.start)
    text = span.source.line(line)
    length = max(1, min(span.end - span.start, len(text) - column + 1))
    # A tab stays a tab under the caret, so that the underline meets its text in any terminal.
    indent = "".join("\t" if c == "\t" else " " for c in text[: column - 1])
    mark = ("^" if primary else "-") * length
    note = f" {place.text}" if place.text else ""
    gutter = f"{line:>{width - 1}} | "
    shown = text.rstrip()
    if len(shown) > LONGEST:  # a window on it
        first = max(0, column - LONGEST // 2)
        shown = ("…" if first else "") + shown[first : first + LONGEST] + "…"
        indent = indent[first:] + (" " if first else "")
        mark = mark[: LONGEST - len(indent) + 1]
    return [gutter + shown, " " * width + "| " + indent + mark + note]


@dataclass
class Failure(Exception):
    """Raised when a stage cannot go on; carries everything it found wrong."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


def fail(code: str, message: str, span: Span | None = None, **facts: Any) -> Failure:
    """A `Failure` of one diagnostic, to be raised."""
    return Failure([Diagnostic(code, message, span, **facts)])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean `x`?` for the nearest known word, or an empty string."""
    if len(word) < 3:  # anything is near to `n`
        return ""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""
