"""The step-by-step page: source, picture, formulas, numbers and kernels of a walk as one file.

In: a `Page`: stops, numbers by key, a plan. Out: HTML that needs nothing else: no network (its
policy forbids it), no fonts, no scripts but its own. Without its script it is a list of all steps.
What a user wrote is text here, never markup. The same page is the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from numpy.typing import NDArray

from ...compiler.graph import Graph
from ...compiler.plan import Plan
from ...compiler.value import Value
from ...dsl.source import Source, Span
from ..backprop import Backprop
from ..backward import drawn_with_nodes
from ..dot import escape
from ..mathml import formula
from ..unicode import unicode
from . import diagram
from .kernels import Kernels
from .numbers import card, line, short
from .stops import BACKWARD, FORWARD, UPDATE, Formula, Key, Stop

PHASES = (FORWARD, BACKWARD, UPDATE)
SOURCES = 12_000  # characters of one kernel


@dataclass(frozen=True)
class Slope:
    """Some elements of a parameter, their gradients, and how far they move for η = 1."""

    index: tuple[tuple[int, ...], ...]
    theta: tuple[float, ...]
    gradient: tuple[float, ...]
    move: tuple[float, ...]


@dataclass(frozen=True)
class Page:
    """All that a page tells. `words` say which example and which weights; `losses` are those after
    a step with each of `rates`, the middle one being the file's."""

    title: str
    source: Source
    graph: Graph
    backprop: Backprop
    stops: tuple[Stop, ...]
    numbers: Mapping[Key, NDArray[Any]]
    plan: Plan
    slopes: Mapping[Key, Slope] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    words: str = ""


def page(given: Page) -> str:
    """The HTML."""
    return _Writer(given).text()


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    """What a content security policy calls this text."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@dataclass
class _Writer:
    page: Page

    def __post_init__(self) -> None:
        p = self.page
        self.kernels = Kernels(p.plan)
        self.nodes: dict[Key, str] = {}
        self.pictures = list(self._pictures())
        self.lines = [self._line(s) for s in p.stops]
        self.kernel_of = [self._kernel(s) for s in p.stops]
        self.used = [k for k in dict.fromkeys(self.kernel_of) if k is not None]
        self.made: dict[Key, int] = {}  # key: the stop that makes it
        for k, s in enumerate(p.stops):
            self.made.setdefault(s.key, k)
        self.shown: dict[Key, int] = {}  # parameters whose numbers stand at a stop already

    def text(self) -> str:
        """Head, tools, panes, script."""
        css = _file("page.css") + diagram.dark_colours('[data-theme="dark"] .picture svg')
        script = _file("page.js")
        policy = (f"default-src 'none'; img-src data:; style-src {_hashed(css)}; "
                  f"script-src {_hashed(script)}; base-uri 'none'; form-action 'none'")  # fmt: skip
        head = (
            '<!DOCTYPE html>\n<html lang="en" data-theme="light">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.page.title)}</title>\n<style>{css}</style>\n</head>\n"
        )
        body = (
            f'<body>\n<a class="skip" href="#card">to the current step</a>\n{self._header()}\n'
            '<p id="status" role="status" aria-live="polite" class="unseen"></p>\n'
            f"<main>\n{self._source()}\n{self._kernels()}\n{self._diagrams()}\n{self._card()}\n"
            f'</main>\n<script type="application/json" id="data">{self._data()}</script>\n'
            f"<script>{script}</script>\n</body>\n</html>\n"
        )
        return head + body

    # -------------------------------------------------------- tools

    def _header(self) -> str:
        p = self.page
        phases = "".join(
            f'<button type="button" data-phase="{name}" aria-pressed="false">{name}</button>'
            for name in PHASES if any(s.phase == name for s in p.stops)
        )  # fmt: skip
        return (
            f'<header>\n<h1>{escape(p.title)}</h1>\n<p class="words">{escape(p.words)}</p>\n'
            '<div class="tools">\n<div role="group" aria-label="steps">'
            '<button type="button" id="first" aria-label="first step">|◀</button>'
            '<button type="button" id="back" aria-keyshortcuts="ArrowLeft">◀ back</button>'
            f'<span id="count">1 of {len(p.stops)}</span>'
            '<button type="button" id="next" aria-keyshortcuts="ArrowRight">next ▶</button>'
            '<button type="button" id="last" aria-label="last step">▶|</button></div>\n'
            f'<div role="group" aria-label="parts of a training step">{phases}</div>\n'
            f'{self._rate()}<div role="group" aria-label="how the page looks">'
            '<button type="button" id="present" aria-pressed="false">presenter</button>'
            '<button type="button" id="dark" aria-pressed="false">dark</button>'
            '<button type="button" id="sheets" aria-pressed="false">a sheet a step</button>'
            '<button type="button" id="print">print</button></div>\n</div>\n</header>'
        )

    def _rate(self) -> str:
        p = self.page
        if not p.rates:
            return ""
        middle = len(p.rates) // 2
        loss = ""
        if p.losses:
            now = short(p.losses[middle])
            loss = f'<span>loss after it: <output id="after" for="rate">{now}</output></span>'
        return (
            '<div class="rate"><label for="rate">learning rate η</label>'
            f'<input type="range" id="rate" min="0" max="{len(p.rates) - 1}" value="{middle}">'
            f'<output id="eta" for="rate">{short(p.rates[middle])}</output>{loss}</div>\n'
        )

    # -------------------------------------------------------- panes

    def _source(self) -> str:
        """The file, each line a link to its first step."""
        rows = []
        for n, text in enumerate(self.page.source.text.rstrip("\n").split("\n"), start=1):
            first = next((k for k, at in enumerate(self.lines) if at == n), None)
            code = f"<code>{escape(text) or ' '}</code>"
            if first is not None:
                code = f'<a href="#step-{first + 1}" data-line="{n}">{code}</a>'
            rows.append(f'<li id="line-{n}">{code}</li>')
        name = self.page.source.name.replace("\\", "/").rpartition("/")[2]
        return (f'<section class="pane source" aria-label="source"><h2>{escape(name)}</h2>'
                f'<ol class="code">{"".join(rows)}</ol></section>')  # fmt: skip

    def _kernels(self) -> str:
        items = []
        for k in sorted(self.used):
            told = self.kernels.told(k)
            first = self.kernel_of.index(k)
            text = escape(told.text[:SOURCES])
            whole = f'<pre tabindex="0"><code>{text}</code></pre>' if text else ""
            items.append(
                f'<details id="kernel-{k}" name="kernels"><summary>{told.number} '
                f"{escape(told.label)}</summary><p>{escape(told.words)} "
                f'<a href="#step-{first + 1}" data-kernel="{k}">its steps</a></p>{whole}</details>'
            )
        count = len(self.page.plan.kernels)
        return (f'<section class="pane kernels" aria-label="kernels"><h2>Kernels, in order of '
                f"{count} launches</h2>{''.join(items)}</section>")  # fmt: skip

    def _diagrams(self) -> str:
        parts = [f'<div class="picture" id="{name}-picture">{svg}</div>'
                 for name, svg in self.pictures]  # fmt: skip
        return (f'<section class="pane diagram" aria-label="diagram"><h2>Diagram</h2>'
                f"{''.join(parts)}</section>")  # fmt: skip

    def _pictures(self) -> Iterator[tuple[str, str]]:
        """The net, and a step of each scan that is walked through."""
        p = self.page
        wanted = {s.node for s in p.stops}
        scans = {"net": (p.backprop, None), **{
            f"scan{k}": (s.step, s) for k, s in enumerate(p.backprop.scans.values(), start=1)
        }}  # fmt: skip
        for name, (b, scan) in scans.items():
            title = p.graph.name if scan is None else f"{scan.cell.title}, {scan.cell.steps}"
            drawn = drawn_with_nodes(b, title)
            here = scan.cell.scan if scan is not None else None
            for key in wanted:
                # What goes back to the step before has no node but that of what came from it.
                mirrored = key.gradient and key.value in drawn.mirror
                ids = drawn.mirror if mirrored else drawn.forward
                if key.place.scan is here and key.value in ids:
                    self.nodes[key] = f"{name}-{ids[key.value]}"
            known = {n.partition("-")[2] for n in self.nodes.values() if n.startswith(f"{name}-")}
            yield name, diagram.inline(drawn.text, name, known)

    def _line(self, s: Stop) -> int:
        """The user's own line: of the value, else of the block instance that it stands in."""
        own = s.span or s.of.origin.span
        if own is not None and own.source is self.page.source:
            return own.line
        path = s.of.origin.instance or str(s.of.attrs.get("name", "")).rpartition(".")[0]
        if s.key.place.scan is not None and not path:
            path = s.key.place.scan.origin.instance
        while path:
            place = self.page.graph.places.get(path)
            if place is not None and place.source is self.page.source:
                return place.line
            path = path.rpartition(".")[0]
        if s.key.place.scan is not None:
            return self._line_of_scan(s.key.place.scan)
        return 0

    def _line_of_scan(self, scan: Value) -> int:
        place = self.page.graph.places.get(scan.origin.instance) or scan.origin.span
        return place.line if place is not None and place.source is self.page.source else 0

    def _kernel(self, s: Stop) -> int | None:
        if s.phase == UPDATE:
            return self.kernels.updating(str(s.of.attrs["name"]))
        in_scan = s.key.place.scan is not None
        if s.phase == BACKWARD:
            return self.kernels.of_gradient(s.of, s.inside, in_scan) if s.inside else None
        return self.kernels.of(s.inside, in_scan)

    # -------------------------------------------------------- the steps

    def _card(self) -> str:
        articles = "\n".join(self._article(k, s) for k, s in enumerate(self.page.stops))
        return (f'<section class="pane card" id="card" tabindex="-1" aria-label="current step">'
                f"{articles}</section>")  # fmt: skip

    def _article(self, k: int, s: Stop) -> str:
        node = self.nodes.get(s.node, "")
        kernel = self.kernel_of[k]
        facts = f' data-node="{node}"' if node else ""
        facts += f' data-line="{self.lines[k]}"' if self.lines[k] else ""
        facts += f' data-kernel="{kernel}"' if kernel is not None else ""
        lines = s.formulas or (Formula(s.name),)
        main = max(lines, key=lambda f: (f.left == s.name, not f.note.startswith("before")))
        shown = "".join(self._formula(f, f is main) for f in lines)
        array = self.page.numbers.get(s.key)
        is_vector = s.of.op.name == "input" and len(s.of.shape) == 1
        result = f"<h4>numbers</h4>{card(array, image=is_vector)}" if array is not None else ""
        if s.key in self.page.slopes:
            result = self._moved(self.page.slopes[s.key], s)
        return (
            f'<article class="step {s.phase}" id="step-{k + 1}"{facts} '
            f'data-told="{escape(s.told)}">'
            f'<p class="where">step {k + 1} of {len(self.page.stops)}: {s.phase}</p>'
            f"<h3>{escape(s.title)}</h3>{shown}{self._links(k, s)}{result}{self._uses(k, s)}"
            "</article>"
        )

    def _formula(self, f: Formula, main: bool) -> str:
        terms = (f.left, f.right) if f.left is not None else (f.right,)
        note = f'<span class="note">{escape(f.note)}</span>' if f.note else ""
        kind = "formula main" if main else "formula"
        return f'<div class="{kind}">{formula(*terms, sign=f.sign)}{note}</div>'

    def _links(self, k: int, s: Stop) -> str:
        """The source line, the library's line, the node, the kernel."""
        parts = []
        if self.lines[k]:
            parts.append(f'<a href="#line-{self.lines[k]}">line {self.lines[k]}</a>')
        parts += self._library(s.of.origin.span)
        if s.node in self.nodes:
            parts.append(f'<a href="#{self.nodes[s.node]}">in the diagram</a>')
        kernel = self.kernel_of[k]
        if kernel is not None:
            number = self.kernels.all[kernel][0]
            parts.append(f'<a href="#kernel-{kernel}">kernel {number}</a>')
        return f'<p class="links">{" · ".join(parts)}</p>' if parts else ""

    def _library(self, span: Span | None) -> list[str]:
        if span is None or span.source is self.page.source:
            return []
        name = span.source.name.rpartition("/")[2]
        text = span.source.line(span.line).strip()
        return [f"<span>{escape(name)}, line {span.line}: <code>{escape(text)}</code></span>"]

    def _uses(self, k: int, s: Stop) -> str:
        """What the operation reads: each in a line, and a parameter whole at its first use."""
        items = []
        for term, key in s.uses:
            array = self.page.numbers.get(key)
            if array is None:
                continue
            shown = (
                f'{formula(term, block=False)} <span class="number">{escape(line(array))}</span>'
            )
            made = self.made.get(key, self.shown.get(key))
            if made is not None and made != k:
                shown += f' <a href="#step-{made + 1}">step {made + 1}</a>'
            elif array.size > 1:
                self.shown[key] = k
                words = f"all of {escape(unicode(term))}"
                shown += f"<details><summary>{words}</summary>{card(array)}</details>"
            items.append(f"<li>{shown}</li>")
        return f'<h4>computed from</h4><ul class="uses">{"".join(items)}</ul>' if items else ""

    def _moved(self, slope: Slope, s: Stop) -> str:
        """A table of elements that follows the learning rate."""
        rate = self.page.rates[len(self.page.rates) // 2]
        rows = []
        each = zip(slope.index, slope.theta, slope.gradient, slope.move, strict=True)
        for index, theta, gradient, move in each:
            place = ", ".join(map(str, index)) or "–"
            rows.append(
                f'<tr><th scope="row">[{place}]</th><td>{short(theta)}</td><td>{short(gradient)}'
                f'</td><td>{short(move)}</td><td class="new" data-theta="{theta!r}" '
                f'data-move="{move!r}">{short(theta - rate * move)}</td></tr>'
            )
        name = escape(unicode(s.name))
        words = ("element", f"{name} now", f"∂L/∂{name}", "step d", f"new: {name} − η d")
        head = "".join(f'<th scope="col">{x}</th>' for x in words)
        return (
            f'<h4>its elements with the greatest gradients, at η = <output class="eta">'
            f'{short(rate)}</output></h4><div class="wide"><table class="numbers"><thead><tr>{head}'
            f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )

    def _data(self) -> str:
        """What the script computes with."""
        p = self.page
        found = {
            "rates": list(p.rates),
            "losses": [float(f"{x:.9g}") if math.isfinite(x) else None for x in p.losses],
        }
        return json.dumps(found, sort_keys=True, allow_nan=False).replace("<", "\\u003c")
