"""A writer of DOT text: nodes, edges, clusters, ranks, with every text escaped.

In: plain texts and attributes. Out: deterministic DOT, in the order things were added. What a
user wrote (names, formulas, file names) reaches the text only through `quoted` and `escape`;
identifiers are ours. Knows nothing of values and graphs.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, zip_longest

from ..dsl.source import Span
from .style import FONT, FONT_SIZE, SMALL, Theme
from .wrap import SLACK, estimated_width
from .wrap import rows as rows_of


@dataclass(frozen=True)
class Html:
    """An HTML-like label; its text is escaped already."""

    text: str


Label = str | Html
Attribute = str | int | float | bool | Html
Node = tuple[str, dict[str, Attribute]]
Edge = tuple[str, str, dict[str, Attribute]]
Rank = tuple[str, tuple[str, ...]]


def escape(text: str) -> str:
    """Text that is safe in an HTML-like label or in SVG: no mark-up, no control characters."""
    return html.escape(printable(text), quote=True)


def printable(text: str) -> str:
    """Without control characters and lone surrogates, which no picture format can hold."""
    return "".join(c for c in text if c == "\n" or (c.isprintable() or c == " "))


def place(span: Span) -> str:
    """Where something stands, for a tooltip: without folders, for pictures are passed on."""
    name = span.source.name
    shown = name.replace("\\", "/").rpartition("/")[2]
    if name.startswith("<chainrule>"):
        return f"in the library, {shown}"
    return f"at {shown}:{span.line}:{span.column}"


def quoted(text: str) -> str:
    """A DOT string that shows `text` as it is: escapes and entities lose their meaning."""
    text = printable(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n") + '"'


def lines(*rows: str | tuple[str, str], small: float = SMALL, faint: str = "") -> Html:
    """A label of several lines: the first bold, the others small; a pair is (text, style).

    Styles: `bold`, `plain`, `small`, `faint`, or a colour, `#0072B2`.
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
    if kind.startswith("#"):
        return f'<FONT POINT-SIZE="{small:g}" COLOR="{kind}"><B>{safe}</B></FONT>'
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


def attributes(given: dict[str, Attribute]) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in given.items())


@dataclass
class Cluster:
    """A box around nodes, with a title; clusters nest."""

    id: str
    attributes: dict[str, Attribute]
    nodes: list[str] = field(default_factory=list)
    inner: list[Cluster] = field(default_factory=list)

    @property
    def everything(self) -> list[str]:
        """Its nodes, and those of the boxes in it."""
        return [*self.nodes, *(n for c in self.inner for n in c.everything)]


class Dot:
    """One directed picture under construction; `text()` is the result."""

    def __init__(
        self,
        title: str,
        theme: Theme,
        rankdir: str = "LR",
        *,
        size: float = FONT_SIZE,
        letters: bool = False,
        gap: float | None = None,
        **more: Attribute,
    ) -> None:
        self.theme = theme
        self._size = size  # of the type of headings
        self._letters = letters  # in the marks that join rows, instead of numbers
        self._gap = gap  # inches between columns, if it matters
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
            "ranksep": 0.3 if gap is None else gap,
            **more,
        }
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._ranks: list[Rank] = []
        self._clusters: list[Cluster] = []
        self._below: list[tuple[str, ...]] = []

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

    def below(self, *nodes: str) -> None:
        """Nodes that stand in a row of their own, below all others."""
        self._below.append(nodes)

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

    def below_legend(self, rows: Html) -> None:
        """Further rows under the legend."""
        label = self._graph["label"]
        above = label.text.removesuffix("&#160;<BR/>") if isinstance(label, Html) else ""
        self._graph["label"] = Html(f"{above}{rows.text}<BR/>&#160;<BR/>")

    def caption(self, label: Html) -> None:
        """A title and legend of another form."""
        self._graph["label"] = label

    def _title_markup(self) -> str:
        label = self._graph["label"]
        return label.text if isinstance(label, Html) else f"<B>{escape(str(label))}</B>"

    def text(self, rows: int = 1, slack: float = SLACK) -> str:
        """The DOT text; with `rows` a picture from left to right is cut into rows, where boxes end
        or, with little `slack`, so that they are about equal."""
        if rows == 1 and not self._below:
            return self._written(self._nodes, self._edges, self._clusters, self._ranks)
        row, nodes, edges = self._in_rows(rows, slack)
        return self._rows_written(row, nodes, edges)

    def pages(self, count: int, groups: Sequence[int] = ()) -> list[str]:
        """The picture cut into `count` rows (or fewer), on pages of as many rows as the groups say,
        or of one: an edge from row to row ends at a mark and goes on at the mark of the same
        number."""
        row, nodes, edges = self._in_rows(count, SLACK)
        used = sorted(set(row.values()))  # cuts may leave rows empty
        row = {n: used.index(r) for n, r in row.items()}
        ends = list(accumulate(groups or [1] * len(used)))
        title = self._graph["label"]
        found = []
        for k, end in enumerate(ends):
            first = ends[k - 1] if k else 0
            here = {n: r - first for n, r in row.items() if first <= r < end}
            self._graph["label"] = _numbered(title, f"{k + 1} of {len(ends)}")
            kept = [(id, given) for id, given in nodes if id in here]
            inside = [edge for edge in edges if edge[0] in here and edge[1] in here]
            found.append(self._rows_written(here, kept, inside))
        self._graph["label"] = title
        return found

    def _rows_written(self, row: dict[str, int], nodes: list[Node], edges: list[Edge]) -> str:
        narrow = 0.16 if self._gap is None else self._gap
        # Tighter: such pictures are large.
        more: dict[str, Attribute] = {"ranksep": narrow, "nodesep": 0.1, "pad": 0.1}
        held = [(kind, tuple(n for n in names if n in row)) for kind, names in self._ranks]
        ranks = [(kind, names) for kind, names in held if names]
        if ranks:  # the columns of all rows meet: row 2 stands below row 1
            ranks, below = _grid(ranks, row)
            return self._written(nodes, [*edges, *below], self._clusters, ranks, more=more)
        clusters = _row_clusters(self._clusters, row)
        return self._written(nodes, edges, clusters, ranks, _row_starts(row, edges), more)

    def _written(
        self,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        clusters: Sequence[Cluster],
        ranks: Sequence[Rank],
        starts: Sequence[str] = (),
        more: Mapping[str, Attribute] | None = None,
    ) -> str:
        base: dict[str, Attribute] = {
            "fontname": FONT,
            "fontsize": self._size,
            "fontcolor": self.theme.ink,
        }
        arrow: dict[str, Attribute] = {
            **base,
            "fontsize": SMALL,
            "color": self.theme.ink,
            "arrowsize": 0.8,
        }
        out = ["digraph chainrule {"]
        out.append(f"  graph [{attributes({**self._graph, **(more or {})})}];")
        out.append(f"  node [{attributes({**base, 'margin': '0.06,0.03'})}];")
        out.append(f"  edge [{attributes(arrow)}];")
        out += [f"  {id} [{attributes(given)}];" for id, given in nodes]
        for cluster in clusters:
            out += _cluster_lines(cluster, "  ")
        out += [f"  {{ rank={kind}; {'; '.join(names)}; }}" for kind, names in ranks]
        out += starts
        for start, end, given in edges:
            tail = f" [{attributes(given)}]" if given else ""
            out.append(f"  {start} -> {end}{tail};")
        out.append("}")
        return "\n".join(out) + "\n"

    def _in_rows(self, count: int, slack: float) -> tuple[dict[str, int], list[Node], list[Edge]]:
        """Nodes and edges in rows. An edge from row to row ends at a numbered mark, and goes on at
        the mark of the same number."""
        row = self._row_of_nodes(count, slack)
        nodes, marks = list(self._nodes), _Marks(self.theme, self._letters)
        edges: list[Edge] = []
        for start, end, given in self._edges:
            if row[start] == row[end]:
                edges.append((start, end, given))
            elif given.get("style") != "invis":
                edges += marks.cut(start, end, given, row)
        nodes += marks.nodes
        return row, nodes, edges

    def _row_of_nodes(self, count: int, slack: float) -> dict[str, int]:
        apart = {n: k for k, nodes in enumerate(self._below) for n in nodes}
        widths = {
            id: estimated_width(_plain(given["label"]))
            for id, given in self._nodes
            if id not in apart
        }
        edges = [
            (a, b)
            for a, b, given in self._edges
            if given.get("constraint") is not False and a not in apart
        ]
        columns = [nodes for kind, nodes in self._ranks if kind == "same"]
        boxes = [c.everything for c in self._clusters if apart.keys().isdisjoint(c.everything)]
        row = rows_of(widths, edges, columns, boxes, count, slack)
        last = max(row.values())
        return {**row, **{n: last + 1 + k for n, k in apart.items()}}


class _Marks:
    """Numbered circles where an edge leaves a row and where it comes in."""

    def __init__(self, theme: Theme, letters: bool) -> None:
        self.theme = theme
        self.letters = letters
        self.nodes: list[Node] = []
        self._known: dict[tuple[str, str, int], str] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    def cut(
        self, start: str, end: str, given: dict[str, Attribute], row: dict[str, int]
    ) -> list[Edge]:
        """The two halves of an edge; what leaves one node in one colour has one mark."""
        source = end if given.get("dir") == "back" else start
        half = {k: v for k, v in given.items() if k not in ("weight", "constraint")}
        bare = {k: v for k, v in half.items() if k != "label"}
        known = (source, str(given.get("color", "")), row[source]) in self._known
        out = self._mark(source, row[start], half, row)
        into = self._mark(source, row[end], half, row)
        # The label stands where the value comes from.
        if source == end:
            return [(start, out, bare)] if known else [(start, out, bare), (into, end, half)]
        return [(into, end, bare)] if known else [(start, out, half), (into, end, bare)]

    def _mark(self, source: str, at: int, given: dict[str, Attribute], row: dict[str, int]) -> str:
        key = (source, str(given.get("color", "")))
        if (*key, at) in self._known:
            return self._known[*key, at]
        number = self._numbers.setdefault(key, len(self._numbers) + 1)
        id = f"mark_{number}_{at}"
        colour = given.get("color", self.theme.ink)
        look: dict[str, Attribute] = {
            "label": _letter(number) if self.letters else str(number),
            "shape": "circle", "style": "", "color": colour,
            "fontcolor": colour, "fontsize": SMALL, "margin": 0.02, "width": 0.3, "height": 0.3,
        }  # fmt: skip
        self.nodes.append((id, look))
        self._known[*key, at] = id
        row[id] = at
        return id


def _numbered(title: Attribute, page: str) -> Attribute:
    """The title with the number of the page behind it."""
    if not isinstance(title, Html):
        return f"{title}, {page}"
    first, bold, rest = title.text.partition("</B>")
    return Html(f"{first}, {page}{bold}{rest}")


def _letter(number: int) -> str:
    """a for 1, and aa behind z."""
    return "abcdefghijklmnopqrstuvwxyz"[(number - 1) % 26] * (1 + (number - 1) // 26)


def _grid(ranks: Sequence[Rank], row: dict[str, int]) -> tuple[list[Rank], list[Edge]]:
    """The k-th columns of all rows as one, and unseen edges that put them below each other."""
    place = {node: k for k, node in enumerate(row)}
    columns: dict[int, list[tuple[str, ...]]] = {}
    for _, names in sorted(ranks, key=lambda rank: min(place[n] for n in rank[1])):
        columns.setdefault(row[names[0]], []).append(names)
    found: list[Rank] = []
    below: list[Edge] = []
    for stack in zip_longest(*(columns[r] for r in sorted(columns)), fillvalue=()):
        parts = [names for names in stack if names]
        found.append(("same", tuple(n for names in parts for n in names)))
        below += [(a[-1], b[0], {"style": "invis"}) for a, b in pairwise(parts)]
    return found, below


def _row_clusters(clusters: Sequence[Cluster], row: dict[str, int]) -> list[Cluster]:
    """An unseen box around each row, and in it what stands there of every box."""
    found = []
    for r in sorted(set(row.values())):
        look: dict[str, Attribute] = {"style": "invis", "label": "", "margin": 4}
        whole = Cluster(f"cluster_row_{r}", look, [n for n in row if row[n] == r])
        whole.inner = [c for c in (_part(c, row, r) for c in clusters) if c is not None]
        found.append(whole)
    return found


def _row_starts(row: dict[str, int], edges: Sequence[Edge]) -> list[str]:
    """A column of points before the rows, which holds them in order."""
    points = [f"start_{r}" for r in range(max(row.values()) + 1)]
    out = [f'  {p} [shape=point, style=invis, width=0, label=""];' for p in points]
    out.append(f"  {{ rank=same; {' -> '.join(points)} [style=invis]; }}")
    heads = {b for _, b, _ in edges}
    for r, point in enumerate(points):
        firsts = [n for n in row if row[n] == r and n not in heads]
        marks = [n for n in firsts if n.startswith("mark_")]
        out += [f"  {point} -> {n} [style=invis];" for n in marks or firsts[:1]]
    return out


def _plain(label: Attribute) -> str:
    return label.text if isinstance(label, Html) else str(label)


def _part(cluster: Cluster, row: dict[str, int], r: int) -> Cluster | None:
    """What stands of a box in row r."""
    nodes = [n for n in cluster.nodes if row.get(n) == r]
    inner = [c for c in (_part(c, row, r) for c in cluster.inner) if c is not None]
    if not nodes and not inner:
        return None
    return Cluster(f"{cluster.id}_{r}", {**cluster.attributes, "margin": 6}, nodes, inner)


def _cluster_lines(cluster: Cluster, indent: str) -> list[str]:
    out = [f"{indent}subgraph {cluster.id} {{"]
    out += [f"{indent}  {key}={_value(value)};" for key, value in cluster.attributes.items()]
    out += [f"{indent}  {node};" for node in cluster.nodes]
    for inner in cluster.inner:
        out += _cluster_lines(inner, indent + "  ")
    return [*out, indent + "}"]
