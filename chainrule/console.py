"""What the command line says: plain text on a pipe, colour on a terminal.

In: texts and failures. Out: lines on standard output (results) and standard error (everything
else). Colour is left out when the stream is not a terminal or `NO_COLOR` is set.
"""

from __future__ import annotations

import os
import sys

import click

from .dsl.diagnostics import Diagnostic, Failure

WIDTH = 80


def say(text: str = "") -> None:
    """A line of the result."""
    click.echo(text)


def say_error(text: str) -> None:
    """A line that is not part of the result."""
    click.echo(text, err=True)


def complain(failure: Failure) -> None:
    """Print what went wrong, each mistake once, on standard error."""
    shown: set[str] = set()
    for diagnostic in failure.diagnostics:
        text = diagnostic.render()
        if text not in shown:
            say_error(("\n" if shown else "") + _coloured(diagnostic, text))
            shown.add(text)
    mistakes = {d.render() for d in failure.diagnostics if d.severity == "error"}
    if len(mistakes) > 1:
        say_error(f"\n{len(mistakes)} mistakes")


def colour_wanted(stream: object) -> bool:
    """A terminal, and nobody asked for no colour."""
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return bool(is_terminal) and not os.environ.get("NO_COLOR")


def _coloured(diagnostic: Diagnostic, text: str) -> str:
    if not colour_wanted(sys.stderr):
        return text
    colour = "red" if diagnostic.severity == "error" else "yellow"
    head, _, rest = text.partition("\n")
    label, _, message = head.partition(": ")
    lines = [click.style(label, fg=colour, bold=True) + ": " + click.style(message, bold=True)]
    for line in rest.split("\n") if rest else []:
        bare = line.partition("|")[2].strip()
        if bare.startswith("^"):
            line = click.style(line, fg=colour)
        elif bare.startswith("---"):
            line = click.style(line, fg="blue")
        elif line.lstrip().startswith("= help"):
            line = click.style(line, fg="cyan")
        lines.append(line)
    return "\n".join(lines)


def table(rows: list[list[str]], right: set[int] | None = None, head: bool = True) -> str:
    """Columns lined up with two spaces between; `right` are the right-aligned ones."""
    if not rows:
        return ""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    right = right or set()
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(w) if k in right else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if head and number == 0:
            lines.append("  ".join("─" * w for w in widths))
    return "\n".join(lines)
