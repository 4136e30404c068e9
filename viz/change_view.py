"""One change of the compiler: the nodes before, and the nodes after it.

In: a `Change` of a pass or rule, and the graph of the step for its places. Out: DOT with two boxes
side by side. What went has a dashed border, what came a thick one; operands that both sides use are
grey, and those without a name get a letter, so that the two formulas can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from ..compiler.graph import Graph
from ..compiler.value import Value
from . import terms as t
from .changes import Change
from .dot import Dot, Html, escape, lines
from .fit import fitted
from .formula import formula
from .launches import cut, place_of, source_line
from .nodes import brief, formula_over, is_number, name, shape, words
from .style import SMALL
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

MOST = (40, 6, 3)  # nodes of a kind on a side: the most that can be read
LOOKS = {
    "before": ("loss", "rounded,filled,dashed"),
    "after": ("elementwise", "rounded,filled,bold"),
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def change(
    step: Graph, one: Change, number: int, count: int, theme: str = "light", *, fit: bool = True
) -> str:
    """DOT text of one change, the `number`-th of `count`."""
    picture = _Picture(step, one, number, count, theme)
    ways = [partial(picture.text, way, most) for most in MOST for way in ("TB", "LR")]
    return fitted(ways) if fit else ways[0]()


class _Picture:
    def __init__(self, step: Graph, one: Change, number: int, count: int, theme: str) -> None:
        self.step, self.one, self.number, self.count = step, one, number, count
        self.look = theme_of(theme)
        self.sides = (
            ("before", one.gone, one.before), ("after", one.new, one.after)
        )  # fmt: skip
        self.known = self._names()

    def _names(self) -> dict[Value, Term]:
        """Names of operands that stay; letters for those that have none."""
        known: dict[Value, Term] = {}
        used: set[str] = set()
        for _, own, roots in self.sides:
            shown = set(own)
            kept = [a for v in own for a in v.args if a not in shown]
            kept += [r for r in roots if r not in shown]
            for a in dict.fromkeys(kept):
                if a not in known and not is_number(a):
                    known[a] = name(a) or t.symbol(self._letter(used))
                    used.add(unicode(known[a]))
        return known

    def _letter(self, used: set[str]) -> str:
        number = 0
        while True:
            found = LETTERS[number % 26] + (str(number // 26) if number >= 26 else "")
            if found not in used:
                return found
            number += 1

    def text(self, direction: str, most: int = MOST[0]) -> str:
        one = self.one
        kind = "pass" if one.rule == one.stage else f"{one.stage}, rule"
        title = f"{self.step.name}: {kind} “{one.rule}”, {self.number:,} of {self.count:,}"
        dot = Dot(title, self.look, rankdir=direction, ranksep=0.35, nodesep=0.3)
        dot.legend([("loss", "goes (dashed)"), ("elementwise", "comes (thick border)"),
                    ("view", "stays")])  # fmt: skip
        rows = [one.reason, *self._formulas()]
        where = next((p for v in (*one.before, *one.after) if (p := place_of(v, self.step))), None)
        if where is not None:
            rows.append(f"for {source_line(where)}")
        markup = "<BR/>".join(f'<FONT POINT-SIZE="{SMALL:g}">{escape(r)}</FONT>' for r in rows)
        dot.below_legend(Html(f"<BR/>{markup}"))
        for title, own, roots in self.sides:
            self._side(dot, title, own, roots, most)
        return dot.text()

    def _formulas(self) -> Iterator[str]:
        """What was exchanged, as formulas, where it is one value for another."""
        if len(self.one.before) == len(self.one.after) == 1:
            roots = [self.one.before[0], self.one.after[0]]
            left, right = (formula_over(r, self.known) for r in roots)
            if left != right:
                yield cut(f"{left}   →   {right}", 110)

    def _side(
        self, dot: Dot, title: str, own: Sequence[Value], roots: Sequence[Value], most: int
    ) -> None:
        every = [v for v in own if not is_number(v)]
        # Of too many, those that say most: not the single results of a scan.
        shown = sorted(every, key=lambda v: v.op.family != "part")[-most:]
        label = f"{title}: {len(every)} node{'' if len(every) == 1 else 's'}"
        if len(shown) < len(every):
            label += f", {len(shown)} of them shown"
        box = dot.cluster(label, (), color=self.look.ink, fontcolor=self.look.ink)
        meaning, style = LOOKS[title]
        ids: dict[Value, str] = {}
        for v in shown:
            ids[v] = dot.node(lines((self._words(v), "plain"), *_small(shape(v))), meaning,
                              style=style, tooltip=f"{v.op.name} {v.type}")  # fmt: skip
        # Where all is gone, what is left is what was there.
        stays = [a for v in shown for a in v.args] or [r for r in roots if r not in ids]
        stays = [a for a in dict.fromkeys(stays) if a in self.known and a not in ids]
        for a in stays[:most]:
            ids[a] = self._stays(dot, a)
        for r in () if ids else roots:  # numbers alone
            ids[r] = dot.node(unicode(formula(r, {})), meaning, style=style)
        box.nodes += ids.values()
        for v in shown:
            for a in v.args:
                if a in ids:
                    dot.edge(ids[a], ids[v])
        if len(stays) > most:
            rest = dot.node(f"and {len(stays) - most} more", "view", style="dashed")
            dot.edge(rest, ids[next(v for v in shown if stays[most] in v.args)])
            box.nodes.append(rest)

    def _stays(self, dot: Dot, a: Value) -> str:
        """An operand of both sides: its name, or a letter and what it is."""
        label, words_of = unicode(self.known[a]), cut(brief(a), 24)
        rows = [label] if words_of == label else [label, f"= {words_of}"]
        return dot.node(lines(*rows, *_small(shape(a))), "view", tooltip=f"{a.op.name} {a.type}")

    def _words(self, v: Value) -> str:
        """The formula of a node over what stays; a dot for what goes or comes too."""
        if v.op.name == "einsum" or v.op.family in ("view", "assemble"):
            return words(v)
        if v.op.name == "mul" and v.args[0] is v.args[1]:  # is not a square yet
            return " · ".join(2 * [unicode(self.known.get(v.args[0], t.symbol("·")))])
        known = {a: self.known.get(a, t.symbol("·")) for a in v.args if not is_number(a)}
        text = formula_over(v, known)
        plain = text in (unicode(k) for k in known.values())
        return words(v) if plain else cut(text, 40)


def _small(text: str) -> list[tuple[str, str]]:
    return [(text, "small")] if text else []
