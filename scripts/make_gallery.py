"""Draw every view of every example, and write docs/gallery.md. Run by developers: `make gallery`.

    python scripts/make_gallery.py [EXAMPLE ...] [--out FOLDER]

The pictures and an index.html of them go to `out/gallery`; the table of docs/gallery.md tells of
each whether it could be drawn and how small its type is on a slide. With the names of examples
only theirs are drawn, and only their rows of the table are written anew.

No data are read, so that the gallery is the same on every machine: sizes that data would fix are
small, numbers are random or small integers, weights are the initial ones.
"""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chainrule.dsl.diagnostics import Failure
from chainrule.model import Model
from chainrule.pictures import draw
from chainrule.project import open_module, open_sizes
from chainrule.runtime.data import Dataset
from chainrule.viz.fit import type_size
from chainrule.viz.render import engine
from chainrule.viz.style import SLIDE, SMALLEST

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "gallery.md"
SIZES = {"S": 7, "T": 9, "n": 30, "k": 20, "m": 6}  # where data fix them: letters, words
TABLE = "| example |"


@dataclass(frozen=True)
class View:
    """A column of the table: what `draw` is asked for, and pictures that show how to read it."""

    name: str
    options: Mapping[str, Any]
    reading: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What became of one picture: its points and its file, or the code and words of a refusal."""

    view: str
    points: float = 0.0
    pages: int = 1
    file: str = ""
    code: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.code:
            return f"[{self.code}](errors/{self.code}.md)"
        shown = f"{self.points:.1f}" + (f" × {self.pages}" if self.pages > 1 else "")
        return shown if self.points >= SMALLEST - 0.05 else f"**{shown}**"


RECURRENCE = {"view": "recurrence"}
VIEWS = (
    View(
        "layers", {"view": "layers"},
        "One box an application of a block, from left to right; a long net goes to and fro in"
        " rows. Edges carry shapes, boxes parameters and work; × 10 stands for ten equal"
        " stretches.",
        ("lenet-layers", "resnet152-layers"),
    ),
    View(
        "operations", {"view": "operations"},
        "One node an operation with its formula, parameters as leaves, a box around each block."
        " Follow the arrows: what enters a node is what its formula is made of.",
        ("digits-operations",),
    ),
    View(
        "backward", {"view": "backward"},
        "Above, the net from left to right; below each equation its gradient ∂L/∂(value) in closed"
        " form, red arrows going back from the loss. A double border: the gradient needs this value"
        " again. Σ adds what comes back from several uses.",
        ("digits-backward", "mnist_deep-backward"),
    ),
    View(
        "unrolled", RECURRENCE,
        "The steps side by side: x_t from below, what is carried along the steps, results above.",
        ("lstm-unrolled", "seq2seq-unrolled"),
    ),
    View(
        "folded", {**RECURRENCE, "form": "folded"},
        "The same net as one cell with a loop: the arrow back is what one step gives the next.",
        ("lstm-folded",),
    ),
    View(
        "cell", {**RECURRENCE, "form": "cell"},
        "One step opened. Lines through the top are what is carried; gates multiply what passes.",
        ("lstm-cell", "gru-cell"),
    ),
    View(
        "through time", {**RECURRENCE, "backward": True},
        "Dashed, the gradient from the loss back through the steps; what every step contributes to"
        " the shared weights meets in a Σ.",
        ("lstm-through-time",),
    ),
    View(
        "training", {"view": "training"},
        "The layers, and for each `minimize` line the path of its gradient in a colour and with"
        " dashes of its own, back to the parameters that it changes; a bar where it is stopped.",
        ("vae-training", "gan-training"),
    ),
    View(
        "circuit", {"view": "circuit", "integers": True},
        "The net with numbers: the value above each wire, below it the gradient of the loss."
        " Gates that are shut are grey. In the gallery the numbers are small integers.",
        ("regression-circuit", "digits-circuit"),
    ),
    View(
        "neurons", {"view": "neurons"},
        "A circle a unit, a line a weight: the wider, the larger; blue and full is positive, red"
        " and dashed negative.",
        ("iris-neurons",),
    ),
    View(
        "shapes", {"view": "shapes"},
        "What the net makes of an image, as volumes drawn to scale: width and height of the maps,"
        " depth for channels; the small windows are kernels.",
        ("lenet-shapes", "alexnet-shapes"),
    ),
    View(
        "flow", {"view": "flow"},
        "The wider an edge, the larger the norm of the gradient that flows back over it: where it"
        " thins out, it vanishes; the strip shows it by time step.",
        ("dates-flow",),
    ),
    View(
        "passes", {"view": "passes"},
        "A row for each pass of the compiler: its purpose, the nodes before and after, and the"
        " rules that it applied, how often and why they hold.",
        ("digits-passes", "digits-passes-rule"),
    ),
    View(
        "kernels", {"view": "kernels"},
        "The kernels in the order of their launches: which line of the net, how many nodes became"
        " one, what is read and written.",
        ("digits-kernels", "digits-kernel"),
    ),
    View(
        "memory", {"view": "memory"},
        "Launches from left to right, addresses upwards, a rectangle for each value: what the"
        " backward pass needs piles up until it runs. The red line is the fullest moment.",
        ("lenet-memory",),
    ),
)  # fmt: skip


class WithoutData(Model):
    """A model of an example that reads no data."""

    @property
    def dataset(self) -> Dataset | None:
        return None

    @cached_property
    def sizes(self) -> dict[str, int]:
        return SIZES if open_sizes(self.net, self.module) else {}


def examples() -> list[str]:
    return sorted(p.stem for p in EXAMPLES.glob("*.net"))


def row(example: str, out: Path | None, views: Iterable[View] = VIEWS) -> list[Cell]:
    """Every view of one example, measured; drawn into the folder if there is one."""
    model = WithoutData(open_module(EXAMPLES / f"{example}.net"))
    return [cell(model, example, view, out) for view in views]


def cell(model: Model, example: str, view: View, out: Path | None) -> Cell:
    try:
        picture = draw(model, **view.options)
        dots = picture.pages or [picture.dot]
        points = min(type_size(dot) or 0.0 for dot in dots)
        file = f"{example}-{view.name.replace(' ', '-')}.svg"
        if out is not None:
            picture.save(out / file)
    except Failure as failure:
        first = failure.diagnostics[0]
        return Cell(view.name, code=first.code, reason=first.message)
    return Cell(view.name, points, len(dots), file)


def table_row(example: str, cells: Sequence[Cell]) -> str:
    link = f"[{example}](../examples/{example}.net)"
    return f"| {link} | {' | '.join(map(str, cells))} |"


def known_rows() -> dict[str, str]:
    """The rows of the table as it is committed, by example."""
    if not PAGE.exists():
        return {}
    found = re.findall(r"(?m)^\| \[(\w+)\].*$", PAGE.read_text(encoding="utf-8"))
    lines = re.findall(r"(?m)^\| \[\w+\].*$", PAGE.read_text(encoding="utf-8"))
    return dict(zip(found, lines, strict=True))


def page(rows: Mapping[str, str]) -> str:
    """docs/gallery.md. `rows` are those of the table, by example."""
    parts = [
        "# Gallery\n",
        "Every view of `chainrule draw`, with one or two pictures and how to read them; below, a"
        " table of all views of all examples. [diagrams.md](diagrams.md) has the options."
        " `make gallery` draws them all into `out/gallery`, with an `index.html`, and writes this"
        " page.\n",
    ]
    for view in VIEWS:
        parts += [f"## {view.name}\n", f"{view.reading}\n"]
        parts += [f"![{n}](images/{n}.svg)\n" for n in view.images if _there(n)]
    names = [view.name for view in VIEWS]
    slide = f"{SLIDE[0]} × {SLIDE[1]} inch"
    parts += [
        "## All examples\n",
        f"The smallest type in points once the picture fits a {slide} slide; **bold** is below"
        f" {SMALLEST:g} pt, too small; 10.2 × 3 are three pages, a slide"
        " each. A code is the reason why there is no such picture. Sizes"
        " that only data fix are small here, numbers are random.\n",
        "\n".join(
            [f"{TABLE} {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}", *rows.values()]
        ),
        f"\n{missing(rows)}{tally(rows)}\n",
        "\n".join(f"- [{c}](errors/{c}.md): {_title(c)}" for c in _codes(rows.values())),
        f"\n<!-- laid out by {engine()} -->\n",
    ]
    return "\n".join(parts)


def missing(rows: Mapping[str, str]) -> str:
    """Which examples have no row yet."""
    names = [e for e in examples() if e not in rows]
    return f"Not measured yet: {', '.join(names)}. " if names else ""


def tally(rows: Mapping[str, str]) -> str:
    """How many pictures there are, and how many are too small."""
    text = "\n".join(rows.values())
    small = len(re.findall(r"\| \*\*", text))
    drawn = len(re.findall(r"\| \d", text)) + small
    refused = len(re.findall(r"\| \[E", text))
    return f"{drawn} pictures, {small} of them too small; {refused} refused:"


def _there(image: str) -> bool:
    return (ROOT / "docs" / "images" / f"{image}.svg").exists()


def _codes(lines: Iterable[str]) -> list[str]:
    return sorted(set(re.findall(r"\[(E\d{3})\]", "\n".join(lines))))


def _title(code: str) -> str:
    first = (ROOT / "docs" / "errors" / f"{code}.md").read_text(encoding="utf-8").splitlines()[0]
    return first.partition(": ")[2]


def index(out: Path) -> str:
    """The pictures of the folder as thumbnails, a section for each view."""
    parts = [
        "<!doctype html><meta charset='utf-8'><title>chainrule: gallery</title><style>"
        "body{font:16px sans-serif;margin:2em}div{display:flex;flex-wrap:wrap;gap:1em}"
        "figure{margin:0;width:20em}img{width:20em;height:11.25em;object-fit:contain;"
        "border:1px solid #999;background:#fff}</style><h1>Gallery</h1>"
    ]
    for view in VIEWS:
        ending = f"-{view.name.replace(' ', '-')}.svg"
        parts.append(f"<h2>{view.name}</h2><p>{html.escape(view.reading)}</p><div>")
        for example in examples():
            file = example + ending
            for page in [file, *_pages(out / file)]:
                if not (out / page).exists():
                    continue
                parts.append(
                    f"<figure><a href='{page}'><img loading='lazy' src='{page}'"
                    f" alt='{view.name} of {example}'></a>"
                    f"<figcaption>{example}</figcaption></figure>"
                )
        parts.append("</div>")
    return "\n".join(parts) + "\n"


def _pages(file: Path) -> list[str]:
    """The names of the pages of a picture in the folder, in order."""
    found = file.parent.glob(f"{file.stem}-*.svg")
    numbers = {p.stem.rpartition("-")[2]: p.name for p in found}
    return [numbers[n] for n in sorted((n for n in numbers if n.isdigit()), key=int)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gallery")
    given = parser.parse_args(arguments)
    wanted = given.examples or examples()
    if unknown := sorted(set(wanted) - set(examples())):
        parser.error(f"no such example: {', '.join(unknown)}")
    given.out.mkdir(parents=True, exist_ok=True)
    for example in wanted:
        cells = row(example, given.out)
        lines = {**known_rows(), example: table_row(example, cells)}
        PAGE.write_text(
            page({e: lines[e] for e in examples() if e in lines}), encoding="utf-8"
        )  # after each: an hour's work is not lost
        print(lines[example], flush=True)
        for c in cells:
            if c.code:
                print(f"  {c.view}: {c.code} {c.reason}")
    (given.out / "index.html").write_text(index(given.out), encoding="utf-8")
    print(given.out / "index.html")


if __name__ == "__main__":
    main()
