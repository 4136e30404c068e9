"""Nets to walk through, their pages, and a reader of such pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from chainrule.compiler.pipeline import load_module, parse_module
from chainrule.dsl.source import Source
from chainrule.model import Model
from chainrule.viz.walk.page import Page, page
from chainrule.walking import Asked, walked_through

EXAMPLES = Path(__file__).parents[1] / "examples"
RECURRENT = """net memory {
  input x: [4, 3]
  input y: [2]
  rows = x -> CELL
  out  = rows.last -> dense(2)
  output out
  loss squared_error(out, y)
}
train memory on csv("none.csv") {
  optimizer RULE
  epochs 1
}
"""


def recurrent(cell: str = "lstm(5)", rule: str = "sgd(lr = 0.5)") -> str:
    return RECURRENT.replace("CELL", cell).replace("RULE", rule)


def model_of(text: str, name: str = "net.net") -> Model:
    return Model(parse_module(Source(name, text)), device="plain")


def example(name: str, **settings: str) -> Model:
    return Model(load_module(EXAMPLES / f"{name}.net", settings), device="plain")


def walked(model: Model, batch: int = 1) -> Page:
    """A walk with an example of random numbers."""
    return walked_through(model, Asked(batch=batch, random=True))


def html_of(model: Model, batch: int = 1) -> str:
    return page(walked(model, batch))


@dataclass
class Article:
    """A step as a page shows it."""

    id: str
    facts: dict[str, str]
    text: str = ""
    math: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """The elements of a page, its steps, and every address in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.steps: list[Article] = []
        self.handlers: list[str] = []
        self.inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("href", "src", "xlink:href", "action", "data", "srcset", "poster"):
            if name in given:
                self.addresses.append(given[name])
        if tag == "article":
            self.inside = True
            self.steps.append(Article(given["id"], given))
        elif self.inside and tag == "math":
            self.steps[-1].math.append(given["alttext"])
        elif self.inside and tag == "a":
            self.steps[-1].links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.steps[-1].text += data
