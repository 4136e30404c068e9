"""Pictures whose places are chosen by us: boxes, circles, words and wires with corners.

In: places in inches, y upwards. Out: DOT text in which every node is pinned, so that the engine
draws and does not lay out. Textbook figures (cells, unrolled networks) have a form of their own
that no general layout finds. Texts are escaped as in `dot`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dot import Attribute, Html, attributes, escape, lines
from .style import FONT, FONT_SIZE, SMALL, Theme

Point = tuple[float, float]
Joint = str | Point
Look = dict[str, Attribute]


class Sheet:
    """One picture under construction; `text()` is the result."""

    def __init__(self, title: str, theme: Theme, legend: Sequence[tuple[str, str]] = ()) -> None:
        self.theme = theme
        self._title = title
        self._legend = list(legend)
        self._nodes: list[tuple[str, dict[str, Attribute]]] = []
        self._edges: list[tuple[str, str, dict[str, Attribute]]] = []
        self._points: dict[Point, str] = {}
        self._places: dict[str, Point] = {}

    def node(self, at: Point, label: str | Html, meaning: str, width: float, height: float,
             **more: Attribute) -> str:  # fmt: skip
        """A box of that size around a label."""
        paint = self.theme.paint(meaning)
        look: dict[str, Attribute] = {
            "label": label, "shape": paint.shape, "style": "rounded,filled",
            "fillcolor": paint.fill, "color": paint.line, "width": width, "height": height,
            "fixedsize": True,
        }  # fmt: skip
        return self._add(at, {**look, **more})

    def circle(self, at: Point, sign: str, meaning: str = "elementwise") -> str:
        return self.node(at, sign, meaning, 0.42, 0.42, shape="circle", style="filled",
                         fontsize=17.0, margin=0)  # fmt: skip

    def dot(self, at: Point, colour: str = "") -> str:
        """Where wires meet."""
        colour = colour or self.theme.ink
        look: dict[str, Attribute] = {
            "shape": "circle", "style": "filled", "fillcolor": colour, "color": colour,
            "width": 0.09, "height": 0.09, "fixedsize": True, "label": "",
        }  # fmt: skip
        return self._add(at, dict(reversed(list(look.items()))))

    def words(self, at: Point, text: str, *, size: float = SMALL, colour: str = "",
              bold: bool = False, fill: str = "") -> str:  # fmt: skip
        """Text around a place; lines are centred. With a fill it stands before wires."""
        shown = escape(text).replace("\n", "<BR/>")
        shown = f"<B>{shown}</B>" if bold else shown
        colour = colour or self.theme.ink
        cell = f' BGCOLOR="{fill}"' if fill else ""
        table = (f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"{cell}>'
                 f'<TR><TD><FONT POINT-SIZE="{size:g}" COLOR="{colour}">{shown}</FONT></TD></TR>'
                 "</TABLE>")  # fmt: skip
        return self._add(at, {"label": Html(table), "shape": "plaintext", "margin": 0})

    def column(self, at: Point, rows: Sequence[str], width: float, *, size: float = SMALL,
               colour: str = "") -> str:  # fmt: skip
        """Lines of text that begin at the left, the top left corner at a place."""
        colour = colour or self.theme.ink
        font = f'<FONT POINT-SIZE="{size:g}" COLOR="{colour}">'
        cells = "".join(
            f'<TR><TD ALIGN="LEFT" WIDTH="{72 * width:.0f}">{font}{escape(r) or "&#160;"}</FONT>'
            "</TD></TR>" for r in rows
        )  # fmt: skip
        table = ('<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">'
                 f"{cells}</TABLE>")  # fmt: skip
        height = len(rows) * (1.25 * size + 4) / 72
        centre = (at[0] + width / 2, at[1] - height / 2)
        return self._add(centre, {"label": Html(table), "shape": "plaintext", "margin": 0})

    def frame(self, low: Point, high: Point, meaning: str = "layer", **more: Attribute) -> str:
        """A box behind what is drawn later."""
        centre = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
        return self.node(centre, "", meaning, high[0] - low[0], high[1] - low[1], **more)

    def wire(self, *joints: Joint, arrow: bool = True, look: Look | None = None) -> None:
        """A line through nodes and places, with its arrow at the end."""
        more = look or {}
        ends = [j if isinstance(j, str) else self._point(j) for j in joints]
        last = len(ends) - 2
        for k in range(len(ends) - 1):
            tip: dict[str, Attribute] = {} if arrow and k == last else {"arrowhead": "none"}
            edge = (ends[k], ends[k + 1], {**tip, **more})
            if edge not in self._edges:  # where two wires share a stretch it is drawn once
                self._edges.append(edge)

    def at(self, node: str) -> Point:
        return self._places[node]

    def _point(self, at: Point) -> str:
        if at not in self._points:
            look: dict[str, Attribute] = {"shape": "point", "width": 0.001, "style": "invis",
                                          "label": ""}  # fmt: skip
            self._points[at] = self._add(at, look)
        return self._points[at]

    def _add(self, at: Point, look: dict[str, Attribute]) -> str:
        id = f"n{len(self._nodes)}"
        self._nodes.append((id, {**look, "pos": f"{at[0]:.3f},{at[1]:.3f}!"}))
        self._places[id] = at
        return id

    def text(self) -> str:
        """The DOT text."""
        label = f"<B>{escape(self._title)}</B>"
        if self._legend:
            marks = [
                f'<FONT COLOR="{self._colour(m)}">■</FONT><FONT POINT-SIZE="{SMALL:g}"> '
                f"{escape(words)}</FONT>"
                for m, words in self._legend
            ]
            label += "<BR/>" + "&#160;&#160;&#160; ".join(marks)
        graph: dict[str, Attribute] = {
            "layout": "neato", "splines": "line", "outputorder": "nodesfirst",
            "bgcolor": self.theme.background, "fontname": FONT, "fontsize": FONT_SIZE + 4,
            "fontcolor": self.theme.ink, "labelloc": "t", "label": Html(label + "<BR/>&#160;<BR/>"),
            "pad": 0.2, "notranslate": True, "overlap": True,
        }  # fmt: skip
        base: dict[str, Attribute] = {
            "fontname": FONT, "fontsize": FONT_SIZE, "fontcolor": self.theme.ink,
        }  # fmt: skip
        edge: dict[str, Attribute] = {**base, "color": self.theme.ink, "arrowsize": 0.8}
        out = ["digraph chainrule {", f"  graph [{attributes(graph)}];"]
        out += [f"  node [{attributes(base)}];", f"  edge [{attributes(edge)}];"]
        out += [f"  {id} [{attributes(look)}];" for id, look in self._nodes]
        for start, end, look in self._edges:
            out.append(f"  {start} -> {end}{f' [{attributes(look)}]' if look else ''};")
        return "\n".join([*out, "}"]) + "\n"

    def _colour(self, meaning: str) -> str:
        return self.theme.ink if meaning == "ink" else self.theme.paint(meaning).line


__all__ = ["Joint", "Look", "Point", "Sheet", "lines"]
