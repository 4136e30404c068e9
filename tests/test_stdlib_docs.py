"""What ships as `.net` text is laid out in the standard way and documented; the pages about the
language are true: every example in them is checked, and the reference is the one of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.compiler.check import check, stand_ins
from chainrule.compiler.elaborate import parse_module
from chainrule.compiler.elaborate.module import library_block, library_names
from chainrule.dsl.format import format_source
from chainrule.dsl.parse import parse
from chainrule.dsl.source import Source
from chainrule.reference import entries

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.net"))
SHIPPED = [*sorted((ROOT / "compiler/stdlib").glob("*.net")), *EXAMPLES]
FENCE = re.compile(r"^```net([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ["language.md", "tutorial.md"]


def blocks() -> list[tuple[str, int, str, str]]:
    """(page, line, what the fence says, text) of every `.net` example."""
    found = []
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for m in FENCE.finditer(text):
            found.append((page, text.count("\n", 0, m.start()) + 1, m[1].strip(), m[2]))
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_file_is_laid_out_in_the_standard_way(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_source(Source(path.name, text)) == text


@pytest.mark.parametrize("name", library_names())
def test_a_library_block_says_what_it_does(name: str) -> None:
    block = library_block(name)
    assert block is not None and block.doc.rstrip().endswith(".")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_says_what_it_shows(path: Path) -> None:
    nets = [d for d in parse(Source.read(path)).declarations if type(d).__name__ == "Net"]
    assert nets and all(n.doc.rstrip().endswith(".") for n in nets)


def test_every_entry_of_the_reference_has_a_description() -> None:
    assert [e.name for e in entries() if len(e.doc) < 5] == []


def test_the_reference_is_the_one_of_the_code() -> None:
    command = [sys.executable, str(ROOT / "scripts/make_reference.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


# ---------------------------------------------------------------- the pages about the language

NET = """
net page {{
  input x: [784]
  input image: [1, 28, 28]
  input label: class[10]
  input target: [10]
  {}
}}
"""


def wrapped(kind: str, text: str) -> str:
    """A fragment of a page as a whole file: `statements` stand in a net, `lines` in a `train`."""
    if kind == "statements":
        return NET.format(text.replace("\n", "\n  "))
    if kind == "train":
        net = NET.format("h = x -> dense(10)\n  loss cross_entropy(h, label)")
        return net + "train page on digits() {\n" + text + "}\n"
    return text


@pytest.mark.parametrize(
    ("page", "line", "kind", "text"), blocks(), ids=lambda v: str(v) if len(str(v)) < 20 else ""
)
def test_an_example_of_a_page_is_right(page: str, line: int, kind: str, text: str) -> None:
    module = parse_module(Source(f"{page}:{line}", wrapped(kind, text)))
    found = check(module, stand_ins(module))
    if kind == "wrong":
        assert found, "this example should be refused"
        return
    assert [d.render() for d in found] == []


def test_the_pages_hold_enough_examples_to_be_worth_checking() -> None:
    assert len(blocks()) >= 18
