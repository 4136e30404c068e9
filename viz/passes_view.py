"""The passes view: what each pass of the compiler does, to how many nodes, by which rules.

In: the forward graph in training and the graph of a whole step. Out: DOT: a table with a row for
each pass and, below it, its rules with their reasons; or one change, before and after, by
`change_view`, for a pass, a rule or a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..compiler.graph import Graph
from ..dsl.diagnostics import did_you_mean, fail
from .change_view import change
from .changes import Change, Stage, history
from .dot import Dot, Html, escape
from .launches import cut
from .style import SMALL, Theme
from .style import theme as theme_of

ROWS = 26  # of a table on a slide
WIDTH = 98  # letters of a purpose or a reason


def passes(
    forward: Graph,
    step: Graph,
    theme: str = "light",
    *,
    name: str | None = None,
    rule: str | None = None,
    number: int | None = None,
    fit: bool = True,
) -> str:
    """DOT text of all passes; with a `name`, a `rule` or a `number` one change of these, the first
    unless told. Raises Failure: E578 for a pass or rule that did nothing, E579 for a number."""
    stages = history(forward, step)
    if name is None and rule is None and number is None:
        return _table(step, stages, theme)
    found = chosen(stages, name, rule)
    at = 1 if number is None else number
    if not 1 <= at <= len(found):
        what = f"`{rule or name}`" if rule or name else "the compiler"
        raise fail("E579", f"there is no change {at}: {what} made {len(found):,}",
                   help=f"`--number` goes from 1 to {len(found):,}")  # fmt: skip
    return change(step, found[at - 1], at, len(found), theme, fit=fit)


def chosen(stages: Sequence[Stage], name: str | None, rule: str | None) -> list[Change]:
    """The changes of a pass, by a rule, or all. Raises Failure E578."""
    found = [c for s in stages if name in (None, s.name) for c in s.changes]
    if name is not None and not found:
        able = list(dict.fromkeys(s.name for s in stages if s.changes))
        known = [s.name for s in stages]
        why = "changed nothing here that can be drawn" if name in known else "is not a pass"
        near = did_you_mean(name, able) or f"passes that did: {', '.join(able)}"
        raise fail("E578", f"`{name}` {why}", help=near)
    if rule is None:
        return found
    known = list(dict.fromkeys(c.rule for c in found))
    if rule not in known:
        near = did_you_mean(rule, known) or "`--view passes` lists the rules that did something"
        raise fail("E578", f"no rule `{rule}` changed anything here", help=near)
    return [c for c in found if c.rule == rule]


def _table(step: Graph, stages: Sequence[Stage], theme: str) -> str:
    look = theme_of(theme)
    dot = Dot(f"{step.name}: what the compiler does", look)
    first, last = len(stages[0].before.nodes), len(stages[-1].after.nodes)
    applied = sum(len(s.steps) for s in stages)
    dot.legend(
        [("data", "pass"), ("gradient", "what makes the gradient"), ("elementwise", "rule")],
        f"   {first:,} nodes in the equations, {last:,} before kernels; {applied:,} rewritings",
    )
    rows = [_row(look, ("", "pass", "what it is for", "nodes"), "head")]
    quiet: list[Stage] = []
    busy = [s for s in stages if s.after is not s.before]
    pauses = sum(a.after is a.before and b.after is not b.before for a, b in pairwise(stages)) + 1
    room = _room([len(s.rules) for s in stages], ROWS - len(busy) - pauses)
    for s in stages:
        if s.after is s.before:
            quiet.append(s)
            continue
        rows += _quiet(look, quiet)
        quiet = []
        rows += _stage(look, s, room)
    rows += _quiet(look, quiet)
    table = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2"'
    dot.node(Html(f"<TABLE {table}>{''.join(rows)}</TABLE>"), "other", shape="plaintext", style="",
             tooltip="passes in their order")  # fmt: skip
    return dot.text()


def _room(wanted: Sequence[int], rows: int) -> int:
    """How many rows for rules each pass may have, so that all together fit."""
    room = max(wanted, default=0)
    while room > 2 and sum(min(w, room) for w in wanted) > rows:
        room -= 1
    return room


def _stage(look: Theme, s: Stage, room: int) -> list[str]:
    before, after = len(s.before.nodes), len(s.after.nodes)
    kind = "gradient" if s.name == "differentiate" else "data"
    rows = [_row(look, ("", s.name, s.purpose, f"{before:,} → {after:,}"), kind)]
    rules = s.rules
    shown = rules if len(rules) <= room else rules[: room - 1]
    for name, reason, n in shown:
        words = f"{name}: {reason}" if name not in reason else reason
        rows.append(_row(look, (f"{n} ×", "", words, ""), "rule"))
    rest = rules[len(shown) :]
    if rest:
        times = sum(n for _, _, n in rest)
        rows.append(_row(look, (f"{times} ×", "", f"{len(rest)} more rules", ""), "rule"))
    return rows


def _quiet(look: Theme, stages: Sequence[Stage]) -> list[str]:
    """Passes that had nothing to do, in one row."""
    if not stages:
        return []
    names = ", ".join(dict.fromkeys(s.name for s in stages))
    return [_row(look, ("", "", f"nothing to do for: {names}", ""), "faint")]


def _row(look: Theme, cells: tuple[str, str, str, str], kind: str) -> str:
    """How often, name, words, nodes."""
    count, name, words, nodes = cells
    colour = look.faint if kind in ("head", "faint") else look.ink
    fill = look.paint(kind).fill if kind in ("data", "gradient") else ""
    if kind == "rule":
        fill = look.paint("elementwise").fill
    rule = kind == "rule"
    text = [
        ("RIGHT", count, fill if rule else "", False),
        ("LEFT", name, "" if rule else fill, True),
        ("LEFT", cut(words, WIDTH), "", kind == "head"),
        ("RIGHT", nodes, "", kind != "rule"),
    ]
    out = []
    for side, shown, paint, bold in text:
        back = f' BGCOLOR="{paint}"' if paint else ""
        safe = escape(shown) or "&#160;"
        inner = f"<B>{safe}</B>" if bold and shown else safe
        font = f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{colour}">{inner}</FONT>'
        out.append(f'<TD ALIGN="{side}"{back}>{font}&#160;</TD>')
    return f"<TR>{''.join(out)}</TR>"
