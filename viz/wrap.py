"""Cutting a wide picture into rows, to be read like the lines of a text.

In: the nodes, edges and columns of a picture that runs from left to right. Out: the row of each
node. Cuts are made where few edges cross, at widths that are about equal; nodes that stand in one
column stay together. How rows are told to the layout engine is `dot`'s business.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

GAP = 0.6  # inches between two columns, edges' labels not counted
SLACK, EVEN = 0.3, 0.1  # of a row's width: how far a cut may move to cross fewer edges
BOX = 2  # edges that cutting a box counts for


def rows(
    widths: Mapping[str, float],
    edges: Sequence[tuple[str, str]],
    columns: Iterable[Sequence[str]],
    boxes: Iterable[Sequence[str]],
    count: int,
    slack: float = SLACK,
) -> dict[str, int]:
    """The row of each node, from 0, left ones first. `widths` in inches, `columns` are nodes of the
    same rank, and `boxes` are better not cut."""
    unit = _units(widths, columns)
    inner = list(dict.fromkeys((unit[a], unit[b]) for a, b in edges if unit[a] != unit[b]))
    rank = _ranks(dict.fromkeys(unit.values()), inner)
    wide: dict[int, float] = defaultdict(float)
    for node, width in widths.items():
        k = rank[unit[node]]
        wide[k] = max(wide[k], width + GAP)
    spans = [(rank[a], rank[b]) for a, b in inner]
    for box in boxes:
        ranks = [rank[unit[node]] for node in box]
        spans += [(min(ranks), max(ranks))] * BOX
    cuts = _cuts(wide, spans, count, slack)
    row = {u: sum(k >= cut for cut in cuts) for u, k in rank.items()}
    fed = {b for _, b in inner}
    for u in row:  # what nothing leads to stands in the row of what uses it first
        users = [row[b] for a, b in inner if a == u] if u not in fed else []
        row[u] = min(users, default=row[u])
    return {node: row[unit[node]] for node in sorted(widths, key=lambda n: rank[unit[n]])}


def estimated_width(label: str) -> float:
    """Inches of a label, in the type of our pictures."""
    plain = re.sub(r"<TR>|<BR/>|\n", "\n", label)
    longest = max((len(re.sub(r"<[^<>]*>|&[^;]*;", "", s)) for s in plain.split("\n")), default=0)
    return 0.25 + 0.105 * longest


def _units(widths: Iterable[str], columns: Iterable[Sequence[str]]) -> dict[str, str]:
    """Each node's column, named by one of its nodes."""
    unit = {node: node for node in widths}
    for column in columns:
        names = {unit[node] for node in column}
        first = unit[column[0]]
        unit = {node: first if u in names else u for node, u in unit.items()}
    return unit


def _ranks(units: Iterable[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Columns from left to right; what has few operands stands just before what uses it."""
    after: dict[str, list[str]] = {u: [] for u in units}
    before: dict[str, list[str]] = {u: [] for u in after}
    for a, b in edges:
        after[a].append(b)
        before[b].append(a)
    order = _ordered(after, before)
    place = {u: k for k, u in enumerate(order)}
    rank: dict[str, int] = {}
    for u in order:
        rank[u] = max((rank[a] + 1 for a in before[u] if place[a] < place[u]), default=0)
    for u in reversed(order):
        later = [rank[b] for b in after[u] if place[b] > place[u]]
        if later and len(before[u]) <= len(after[u]):
            rank[u] = max(rank[u], min(later) - 1)
    return rank


def _ordered(after: Mapping[str, list[str]], before: Mapping[str, list[str]]) -> list[str]:
    """Operands first; where there is a loop, in the order of writing."""
    missing = {u: len(b) for u, b in before.items()}
    ready = [u for u, n in missing.items() if n == 0]
    order: dict[str, None] = {}
    while len(order) < len(missing):
        if not ready:
            ready = [next(u for u in missing if u not in order)]
        u = ready.pop(0)
        if u in order:
            continue
        order[u] = None
        for b in after[u]:
            missing[b] -= 1
            if missing[b] == 0:
                ready.append(b)
    return list(order)


def _cuts(
    wide: Mapping[int, float], edges: Sequence[tuple[int, int]], count: int, slack: float
) -> list[int]:
    """The ranks at which a new row starts."""
    starts = {}
    total = 0.0
    for k in sorted(wide):
        starts[k] = total
        total += wide[k]
    cuts: list[int] = []
    for n in range(1, count):
        ideal = n * total / count
        near = [k for k in starts if abs(starts[k] - ideal) <= slack * total / count and k > 0]
        near = [k for k in near if k not in cuts] or [
            min((k for k in starts), key=lambda k: abs(starts[k] - ideal))
        ]
        cuts.append(min(near, key=lambda k: (sum(a < k <= b for a, b in edges),
                                             abs(starts[k] - ideal))))  # fmt: skip
    return sorted(set(cuts))
