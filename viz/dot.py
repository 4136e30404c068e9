"""A writer of DOT text: nodes, edges, clusters, ranks, with every text escaped.

In: plain texts and attributes. Out: deterministic DOT, in the order things were added. What a
user wrote (names, formulas, file names) reaches the text only through `quoted` and `escape`;
identifiers are ours. Knows nothing of values and graphs.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .style import FONT, FONT_SIZE, SMALL, Theme


@dataclass(frozen=True)
class Html:
    """An HTML-like label; its text is escaped already."""

    text: str


Label = str | Html
Attribute = str | int | float | bool | Html


def escape(text: str) -> str:
    """Text that is safe in an HTML-like label or in SVG: no mark-up, no control characters."""
    return html.escape(printable(text), quote=True)


def printable(text: str) -> str:
    """Without control characters and lone surrogates, which no picture format can hold."""
    return "".join(c for c in text if c == "\n" or (c.isprintable() or c == " "))


def quoted(text: str) -> str:
    """A DOT string that shows `text` as it is: escapes and entities lose their meaning."""
    text = printable(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n") + '"'


def lines(*rows: str | tuple[str, str], small: float = SMALL, faint: str = "") -> Html:
    """A label of several lines: the first bold, the others small; a pair is (text, style).

    Styles: `bold`, `plain`, `small`, `faint`.
    """
    cells = []
    for number, row in enumerate(rows):
        text, kind = row if isinstance(row, tuple) else (row, "bold" if number == 0 else "small")
        cells.append(f"<TR><TD>{_styled(text, kind, small, faint)}</TD></TR>")
    look = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"'
    return Html(f"<TABLE {look}>{''.join(cells)}</TABLE>")


def _styled(text: str, kind: str, small: float, faint: str) -> str:
    safe = escape(text).replace("\n", "<BR/>")
    if kind == "bold":
        return f"<B>{safe}</B>"
    if kind == "plain":
        return safe
    colour = f' COLOR="{faint}"' if kind == "faint" and faint else ""
    return f'<FONT POINT-SIZE="{small:g}"{colour}>{safe}</FONT>'


def _value(value: Attribute) -> str:
    if isinstance(value, Html):
        return f"<{value.text}>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return quoted(value) if isinstance(value, str) else str(value)


def _attributes(given: dict[str, Attribute]) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in given.items())


@dataclass
class Cluster:
    """A box around nodes, with a title; clusters nest."""

    id: str
    attributes: dict[str, Attribute]
    nodes: list[str] = field(default_factory=list)
    inner: list[Cluster] = field(default_factory=list)


class Dot:
    """One directed picture under construction; `text()` is the result."""

    def __init__(self, title: str, theme: Theme, rankdir: str = "LR", **more: Attribute) -> None:
        self.theme = theme
        self.horizontal = rankdir == "LR"
        self._cluster_count = 0
        self._graph: dict[str, Attribute] = {
            "rankdir": rankdir,
            "bgcolor": theme.background,
            "fontname": FONT,
            "fontsize": FONT_SIZE + 4,
            "fontcolor": theme.ink,
            "labelloc": "t",
            "label": title,
            "pad": 0.25,
            "nodesep": 0.2,
            "ranksep": 0.3,
            **more,
        }
        self._nodes: list[tuple[str, dict[str, Attribute]]] = []
        self._edges: list[tuple[str, str, dict[str, Attribute]]] = []
        self._ranks: list[tuple[str, tuple[str, ...]]] = []
        self._clusters: list[Cluster] = []

    def node(self, label: Label, meaning: str, id: str = "", **more: Attribute) -> str:
        """A node in the colours of its meaning; returns its identifier."""
        id = id or f"n{len(self._nodes)}"
        paint = self.theme.paint(meaning)
        style = "rounded,filled" + (",dashed" if paint.dashed else "")
        self._nodes.append(
            (
                id,
                {
                    "label": label,
                    "shape": paint.shape,
                    "style": style,
                    "fillcolor": paint.fill,
                    "color": paint.line,
                    **more,
                },
            )
        )
        return id

    def edge(self, start: str, end: str, label: Label = "", **more: Attribute) -> None:
        given: dict[str, Attribute] = {"label": label} if label else {}
        self._edges.append((start, end, {**given, **more}))

    def rank(self, *nodes: str, kind: str = "same") -> None:
        """Nodes that stand in one column (or row)."""
        self._ranks.append((kind, nodes))

    def cluster(
        self,
        label: Label,
        nodes: Iterable[str] = (),
        inside: Cluster | None = None,
        **more: Attribute,
    ) -> Cluster:
        """A titled box around nodes."""
        id = f"cluster_{self._cluster_count}"
        self._cluster_count += 1
        look: dict[str, Attribute] = {
            "label": label,
            "style": "rounded",
            "color": self.theme.faint,
            "fontcolor": self.theme.faint,
            "fontsize": SMALL,
            "labeljust": "l",
            "margin": 10,
        }
        made = Cluster(id, {**look, **more}, list(nodes))
        (inside.inner if inside else self._clusters).append(made)
        return made

    def legend(self, entries: Sequence[tuple[str, str]], more: str = "") -> None:
        """What the colours mean, under the title: (meaning, words) pairs, and `more` in words."""
        marks = []
        for meaning, words in entries:
            colour = self.theme.paint(meaning).line
            marks.append(
                f'<FONT COLOR="{colour}">■</FONT>'
                f'<FONT POINT-SIZE="{SMALL:g}"> {escape(words)}</FONT>'
            )
        if more:
            marks.append(f'<FONT POINT-SIZE="{SMALL:g}">{escape(more)}</FONT>')
        row = "&#160;&#160;&#160; ".join(marks)
        self._graph["label"] = Html(f"{self._title_markup()}<BR/>{row}<BR/>&#160;<BR/>")

    def _title_markup(self) -> str:
        label = self._graph["label"]
        return label.text if isinstance(label, Html) else f"<B>{escape(str(label))}</B>"

    def text(self) -> str:
        """The DOT text."""
        base: dict[str, Attribute] = {
            "fontname": FONT,
            "fontsize": FONT_SIZE,
            "fontcolor": self.theme.ink,
        }
        arrow: dict[str, Attribute] = {
            **base,
            "fontsize": SMALL,
            "color": self.theme.ink,
            "arrowsize": 0.8,
        }
        out = ["digraph chainrule {"]
        out.append(f"  graph [{_attributes(self._graph)}];")
        out.append(f"  node [{_attributes({**base, 'margin': '0.06,0.03'})}];")
        out.append(f"  edge [{_attributes(arrow)}];")
        out += [f"  {id} [{_attributes(given)}];" for id, given in self._nodes]
        for cluster in self._clusters:
            out += _cluster_lines(cluster, "  ")
        out += [f"  {{ rank={kind}; {'; '.join(nodes)}; }}" for kind, nodes in self._ranks]
        for start, end, given in self._edges:
            tail = f" [{_attributes(given)}]" if given else ""
            out.append(f"  {start} -> {end}{tail};")
        out.append("}")
        return "\n".join(out) + "\n"


def _cluster_lines(cluster: Cluster, indent: str) -> list[str]:
    out = [f"{indent}subgraph {cluster.id} {{"]
    out += [f"{indent}  {key}={_value(value)};" for key, value in cluster.attributes.items()]
    out += [f"{indent}  {node};" for node in cluster.nodes]
    for inner in cluster.inner:
        out += _cluster_lines(inner, indent + "  ")
    return [*out, indent + "}"]
