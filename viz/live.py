"""The page that shows a training while it runs: one HTML file, and a script of what is new.

In: what is known of the run (`Live`). Out: the page's text, and the text of `live.js`, which the
page loads again and again from its own folder: that works for a file, where fetching does not, and
needs no server. Who writes the files, and when, is the caller's business. Without scripts the page
shows what it was written with.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from .curves import Panel
from .line_chart import Line, Points, chart

PERIOD = 1000  # milliseconds between two looks
SILENCE = 600  # seconds without news after which the page stops looking


@dataclass(frozen=True)
class Norm:
    """‖∂L/∂θ‖ of a layer after some epoch."""

    layer: str
    points: Points


@dataclass(frozen=True)
class Shown:
    """What the net made: a picture's file (relative to the page), or a text."""

    title: str
    file: str = ""
    text: str = ""


@dataclass(frozen=True)
class Live:
    """A run so far. `state` is running, or how it ended."""

    net: str
    state: str
    words: str  # how far it is
    done: float  # share of the whole, 0…1
    panels: Sequence[Panel] = ()
    now: dict[str, Points] = field(default_factory=dict)  # means of the epoch under way, by value
    rates: Points = ()
    rate_name: str = "learning rate"
    norms: Sequence[Norm] = ()
    shown: Sequence[Shown] = ()

    @property
    def running(self) -> bool:
        return self.state == "running"


def news(live: Live, number: int) -> str:
    """`live.js`: the run so far, as a call of the page's function; `number` tells new from old."""
    facts = {
        "number": number, "running": live.running, "state": _state(live), "words": live.words,
        "done": round(live.done, 4), "body": body(live),
    }  # fmt: skip
    return f"chainruleLive({json.dumps(facts)});\n"


def page(live: Live) -> str:
    """`live.html`. That of a run that has ended looks for nothing."""
    look = _SCRIPT if live.running else ""
    pause = '<button id="pause" type="button" aria-pressed="false">Pause</button>'
    return (
        _PAGE.replace("{title}", html.escape(f"{live.net}: training"))
        .replace("{state}", html.escape(_state(live)))
        .replace("{words}", html.escape(live.words))
        .replace("{done}", f"{live.done:.4f}")
        .replace("{pause}", pause if live.running else "")
        .replace("{script}", look)
        .replace("{body}", body(live))
    )


def body(live: Live) -> str:
    """Charts and samples."""
    charts = [chart(p.label, _lines(p, live)) for p in live.panels]
    if not live.panels and live.now:
        charts.append(chart("so far", [Line(n, p, k) for k, (n, p) in enumerate(live.now.items())]))
    if live.rates:
        charts.append(chart(live.rate_name, [Line(live.rate_name, live.rates, 0)], plain=True))
    if live.norms:
        lines = [Line(n.layer, n.points, k, k % 12 >= 6) for k, n in enumerate(live.norms)]
        charts.append(chart("gradient norms ‖∂L/∂θ‖", lines))
    made = "".join(map(_made, live.shown))
    samples = f'<h2>What it makes</h2><div class="made">{made}</div>' if made else ""
    return f'<div class="charts">{"".join(charts)}</div>{samples}'


def _lines(panel: Panel, live: Live) -> list[Line]:
    """A colour for each value, dashed on validation; the epoch under way goes on from the last."""
    found = []
    for k, (name, splits) in enumerate(panel.values.items()):
        alone = len(panel.values) == 1
        for split, points in splits.items():
            if split == "train":
                points = [*points, *live.now.get(name, ())]
            words = {"train": "training", "valid": "validation"}.get(split, split)
            colour = (1 if split != "train" else 0) if alone else k
            label = words if alone else f"{name}, {words}"
            found.append(Line(label, points, colour, split != "train"))
    return found


def _made(one: Shown) -> str:
    title = html.escape(one.title)
    if one.file:
        source = html.escape(one.file, quote=True)
        inside = f'<img src="{source}" alt="{title}">'
    else:
        inside = f"<pre>{html.escape(one.text)}</pre>"
    return f"<figure><figcaption>{title}</figcaption>{inside}</figure>"


def _state(live: Live) -> str:
    return f"{live.net}: {live.state}"


_SCRIPT = f"""<script>
"use strict";
let seen = -1, paused = false, last = Date.now(), over = false;
function chainruleLive(news) {{
  if (news.number === seen || paused) return;
  seen = news.number; last = Date.now(); over = !news.running;
  const state = document.getElementById("state");
  if (state.textContent !== news.state) state.textContent = news.state;
  document.getElementById("words").textContent = news.words;
  document.getElementById("done").value = news.done;
  document.getElementById("live").innerHTML = news.body;
  if (over) document.getElementById("pause").hidden = true;
}}
function look() {{
  if (over) return;
  if (Date.now() - last > {SILENCE} * 1000) {{
    document.getElementById("words").textContent += " (no news: reload the page to look again)";
    return;
  }}
  setTimeout(look, {PERIOD});
  if (paused || document.hidden) {{ last = Date.now(); return; }}
  const script = document.createElement("script");
  script.onload = script.onerror = () => script.remove();
  script.src = "live.js?" + Date.now();
  document.head.append(script);
}}
document.getElementById("pause").onclick = (event) => {{
  paused = !paused;
  event.target.textContent = paused ? "Go on" : "Pause";
  event.target.setAttribute("aria-pressed", String(paused));
}};
look();
</script>"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root { color-scheme: light dark; --ground: #FFFFFF; --ink: #1A1A1A; --faint: #5F6368;
  --rule: #DADCE0; --c0: #0072B2; --c1: #B34700; --c2: #00795A; --c3: #A3487F; --c4: #8A5A00;
  --c5: #5F6368; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181D; --ink: #ECEFF4; --faint: #A9B1BD;
  --rule: #3A404A; --c0: #56B4E9; --c1: #FF9248; --c2: #3DD6A8; --c3: #D9A3E8; --c4: #E69F00;
  --c5: #A9B1BD; } }
body { margin: 0 auto; max-width: 1240px; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 16px/1.45 "DejaVu Sans", Verdana, Helvetica, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; }
#words { color: var(--faint); margin: .2rem 0; font-variant-numeric: tabular-nums; }
progress { width: 100%; height: .8rem; accent-color: var(--c0); }
button { font: inherit; padding: .35rem .9rem; min-height: 44px; }
.charts, .made { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } .charts figure { flex: 1 1 420px; max-width: 610px; }
.made figure { flex: 0 1 390px; }
figcaption { font-weight: bold; } .chart { width: 100%; height: auto; }
.chart text { fill: var(--ink); font-size: 15px; } .end { text-anchor: end; }
.mid { text-anchor: middle; } .grid { stroke: var(--rule); fill: none; }
.line { fill: none; stroke-width: 2.2; } .dashed { stroke-dasharray: 7 5; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.dot { stroke: none; } .dot.c0 { fill: var(--c0); } .dot.c1 { fill: var(--c1); }
.dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); } .dot.c4 { fill: var(--c4); }
.dot.c5 { fill: var(--c5); }
.keys { list-style: none; margin: 0; padding: 0 0 0 1rem; display: flex; flex-wrap: wrap;
  gap: 0 1.2rem; } .keys svg { width: 30px; height: 8px; }
.made img { max-width: 100%; image-rendering: pixelated; } pre { white-space: pre-wrap; }
</style>
</head>
<body>
<header>
<h1 id="state" role="status">{state}</h1>
<p id="words">{words}</p>
<progress id="done" value="{done}" max="1" aria-label="share of the training done"></progress>
{pause}
</header>
<main id="live">{body}</main>
<noscript><p>Without scripts this page does not update by itself: it is written again when the
training ends.</p></noscript>
{script}
</body>
</html>
"""
