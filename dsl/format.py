"""The formatter: syntax to text in one canonical layout, the inverse of `parse`.

In: a source, or syntax nodes. Out: text that parses to the same syntax, with every comment kept.
Formatting what is formatted changes nothing: each choice below depends on the syntax, the
comments and which lines stand directly under one another, never on spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .compare import same_syntax
from .parse import parse
from .rows import Row, Rows
from .source import Source
from .syntax import Comment, Directive, File, Statement
from .wrap import WIDTH, wrap
from .write import format_expr, format_type

__all__ = [
    "format_expr",
    "format_file",
    "format_source",
    "format_statement",
    "format_type",
    "same_syntax",
]

INDENT = 2
KEYWORD = len("output")  # the keywords of a net's ports and results stand in one column
# Columns further apart than this are left ragged rather than lined up.
CELL_GAP, GUARD_GAP, COMMENT_GAP = 16, 40, 30
BEFORE_GUARD = 4  # spaces before a column of guards


def format_source(source: Source) -> str:
    """The file in canonical layout; a `Failure` where it does not parse."""
    return format_file(parse(source))


def format_file(file: File) -> str:
    """A syntax tree as a file; comments and blank lines where its source has them."""
    rows = list(Rows(file.source).file(file.declarations))
    lines = _merge(file.source, rows, file.comments)
    return _text(lines)


def format_statement(statement: Statement | Directive, indent: int = 0) -> str:
    """One statement, with the statements inside it; no newline at the end."""
    rows = list(Rows(statement.span.source).body([statement], 0))
    text = _text([_Line(row) for row in rows])
    margin = " " * indent
    return "\n".join(margin + line if line else "" for line in text.splitlines())


@dataclass(slots=True)
class _Line:
    """A row, or a comment of its own, and whether a blank line comes before it."""

    row: Row | None
    comment: str = ""
    depth: int = 0
    blank: bool = False


# ---------------------------------------------------------------- comments and blank lines


def _merge(source: Source, rows: Sequence[Row], comments: Sequence[Comment]) -> list[_Line]:
    lines: list[_Line] = []
    places: list[tuple[int, int]] = []  # first and last source line of each
    waiting = list(comments)[::-1]
    for row in rows:
        while waiting and waiting[-1].span.start < row.start:
            _comment(source, waiting.pop(), lines, places, row.depth + row.closes)
        lines.append(_Line(row))
        last = source.position(max(row.stop - 1, row.start))[0]
        places.append((source.position(row.start)[0], last))
    while waiting:
        _comment(source, waiting.pop(), lines, places, 0)
    _blank_lines(lines, places)
    return lines


def _comment(
    source: Source,
    comment: Comment,
    lines: list[_Line],
    places: list[tuple[int, int]],
    depth: int,
) -> None:
    text = _comment_text(comment)
    row = next((line.row for line in reversed(lines) if line.row), None)
    if row is not None and (not comment.own_line or comment.span.start < row.stop):
        row.comments.append(text)
        return
    number = source.position(comment.span.start)[0]
    lines.append(_Line(None, text, depth))
    places.append((number, number))


def _comment_text(comment: Comment) -> str:
    raw = comment.span.text.rstrip()
    if not raw.startswith("#"):
        raw = f"# {comment.text}".rstrip()
    return raw if len(raw) == 1 or raw[1] in " \t#!" else f"# {raw[1:]}"


def _blank_lines(lines: Sequence[_Line], places: Sequence[tuple[int, int]]) -> None:
    for at in range(1, len(lines)):
        before, here = lines[at - 1].row, lines[at].row
        if (before and before.opens) or (here and here.closes):
            continue
        apart = places[at][0] - places[at - 1][1] > 1
        lines[at].blank = apart or bool(before and before.top and before.closes)
    for at, line in enumerate(lines):
        if line.row and line.row.top and line.row.opens:
            first = at
            while first and lines[first - 1].row is None and not lines[first].blank:
                first -= 1
            lines[first].blank = first > 0


# ---------------------------------------------------------------- text


def _text(lines: Sequence[_Line]) -> str:
    out: list[str] = []
    group: list[Row] = []
    for line in lines:
        row = line.row
        if group and (line.blank or row is None or row.depth != group[-1].depth or row.closes):
            out += _group(group)
            group = []
        if line.blank:
            out.append("")
        if row is None:
            out.append(" " * (INDENT * line.depth) + line.comment)
        else:
            group.append(row)
    out += _group(group)
    return "\n".join(out) + "\n" if out else ""


def _group(rows: list[Row]) -> list[str]:
    """The lines of rows directly under one another."""
    if len(rows) > 1 and rows[0].opens and not rows[0].closes and rows[1].closes:
        return _group(rows[:1]) + _group(rows[1:])
    texts = _line_up(rows)
    lines: list[list[str]] = []
    for row, text in zip(rows, texts, strict=True):
        lines.append(wrap(text, INDENT * row.depth))
    _put_comments(rows, lines)
    return [line for several in lines for line in several]


def _line_up(rows: Sequence[Row]) -> list[str]:
    """Each row's text, its cells under those of its neighbours of the same family."""
    texts = [" ".join(row.cells) for row in rows]
    ports_only = not any(row.family == "variable" for row in rows)
    for begin, end in _runs(rows, lambda a, b: a.family == b.family != ""):
        run = rows[begin:end]
        keyword = KEYWORD if run[0].in_net and ports_only else 0
        lined = _cells(run, keyword)
        if all(_fits(row, f"{text} {row.guard}") for row, text in zip(run, lined, strict=True)):
            texts[begin:end] = lined
    for begin, end in _runs(rows, lambda a, b: bool(a.guard and b.guard)):
        _guards(rows[begin:end], texts, begin)
    return texts


def _runs(rows: Sequence[Row], belong: Callable[[Row, Row], bool]) -> list[tuple[int, int]]:
    """The longest stretches in which each row belongs with the one before; too long ones alone."""
    runs, begin = [], 0
    for at in range(1, len(rows) + 1):
        together = (
            at < len(rows)
            and belong(rows[at - 1], rows[at])
            and _fits(rows[at - 1], rows[at - 1].text)
            and _fits(rows[at], rows[at].text)
        )
        if not together:
            runs.append((begin, at))
            begin = at
    return runs


def _fits(row: Row, text: str) -> bool:
    return INDENT * row.depth + len(text) <= WIDTH


def _cells(run: Sequence[Row], keyword: int) -> list[str]:
    """The rows' cells in columns, but for a column that would leave too wide a gap."""
    texts = [""] * len(run)
    for at in range(max(len(row.cells) for row in run)):
        followed = [len(row.cells[at]) for row in run if len(row.cells) > at + 1]
        widest = max(followed, default=0)
        if at == 0 and run[0].family in ("input", "result"):
            widest = max(widest, keyword)
        pad = widest - min(followed, default=0) <= CELL_GAP
        for place, row in enumerate(run):
            if len(row.cells) > at + 1:
                texts[place] += (row.cells[at].ljust(widest) if pad else row.cells[at]) + " "
            elif len(row.cells) == at + 1:
                texts[place] += row.cells[at]
    return texts


def _guards(run: Sequence[Row], texts: list[str], begin: int) -> None:
    """Adds the guards of a run, in one column where that fits."""
    own = texts[begin : begin + len(run)]
    column = max(map(len, own)) + (BEFORE_GUARD if len(run) > 1 else 1)
    pad = column - min(map(len, own)) <= GUARD_GAP and all(
        _fits(row, " " * column + row.guard) for row in run
    )
    for at, row in enumerate(run):
        if row.guard:
            texts[begin + at] = (own[at].ljust(column) if pad else f"{own[at]} ") + row.guard


def _put_comments(rows: Sequence[Row], lines: list[list[str]]) -> None:
    """Adds trailing comments, those of neighbouring lines in one column."""
    begin = 0
    while begin < len(rows):
        end = begin
        while end < len(rows) and rows[end].comments:
            end += 1
        widths = [len(lines[at][-1]) for at in range(begin, end)]
        pad = bool(widths) and max(widths) - min(widths) <= COMMENT_GAP
        for at in range(begin, end):
            text = lines[at][-1]
            text = text.ljust(max(widths)) if pad else text
            lines[at][-1] = f"{text}  {'  '.join(rows[at].comments)}"
        begin = end + 1
