"""Handouts and worksheets from the command line: one document of a net, offline."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chainrule.cli import cli

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
NET = """
# A <b>small</b> net & its data: \\end{verbatim} μ → 100 %
net small {
  input x: [4]
  input y: class[3]
  h = relu(x -> dense(5))
  scores = h -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, y)
}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.net"
    path.write_text(NET, encoding="utf-8")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


class Outline(HTMLParser):
    """Headings, tags that are open, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.ids += [i for i in (given.get("id"),) if i]
        self.addresses += [a for k, a in given.items() if k in ("src", "href", "xlink:href") and a]
        if tag not in ("meta", "link", "br", "img", "mspace"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("mspace",) and self.open and tag in self.open:
            assert self.open.pop() == tag


def outline(path: Path) -> Outline:
    found = Outline()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def test_a_handout_is_one_offline_page(small: Path, tmp_path: Path) -> None:
    result = run("handout", small, "--answers", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["handout.html"]
    page = outline(tmp_path / "o" / "handout.html")
    assert page.open == []
    assert {"svg", "math", "pre", "table"} <= page.tags
    assert "script" not in page.tags and "b" in page.tags
    assert all(a.startswith("#") for a in page.addresses)
    assert all(a[1:] in page.ids for a in page.addresses)
    for id in ("source", "diagram", "layers", "derivation-1", "exercises", "answers"):
        assert id in page.ids
    text = (tmp_path / "o" / "handout.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;small&lt;/b&gt; net &amp; its data" in text
    assert "default-src 'none'" in text


def test_a_handout_without_answers_has_none(small: Path, tmp_path: Path) -> None:
    run("handout", small, "--out", tmp_path)
    assert "Answers" not in (tmp_path / "handout.html").read_text(encoding="utf-8")


def test_a_markdown_handout_has_its_picture_beside_it(small: Path, tmp_path: Path) -> None:
    run("handout", small, "--format", "markdown", "--out", tmp_path)
    text = (tmp_path / "handout.md").read_text(encoding="utf-8")
    assert "![Layers of small](handout-layers.svg)" in text
    assert (tmp_path / "handout-layers.svg").read_bytes().startswith(b"<?xml")
    for title in ("## The net", "## Layers", "## Backpropagation through small", "## Exercises"):
        assert title in text
    assert "38 parameters" not in text and "43 parameters" in text


@needs_latex
def test_a_latex_handout_compiles_beside_its_picture(small: Path, tmp_path: Path) -> None:
    run("handout", small, "--format", "latex", "--answers", "--out", tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "handout.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = result.stdout.decode(errors="replace")
    assert result.returncode == 0, log[-2000:]
    assert "Overfull" not in log
    source = (tmp_path / "handout.tex").read_text(encoding="utf-8")
    assert source.isascii() and "mu -> 100 %" in source


def test_the_same_file_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        run("handout", small, "--out", tmp_path / folder)
    one, other = ((tmp_path / f / "handout.html").read_bytes() for f in ("a", "b"))
    assert one == other


@pytest.mark.parametrize("kind", ["text", "markdown", "latex", "html"])
def test_a_worksheet_in_every_format(small: Path, kind: str) -> None:
    printed = run("derive", small, "--worksheet", "--seed", 3, "--format", kind)
    assert printed.exit_code == 0, printed.output
    assert "Worksheet: backpropagation through small" in printed.output
    assert "Answers" not in printed.output
    whole = run("derive", small, "--worksheet", "--seed", 3, "--format", kind, "--answers")
    assert "Answers" in whole.output


def test_a_derivation_as_a_page(small: Path, tmp_path: Path) -> None:
    result = run("derive", small, "--format", "html", "--index", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    page = outline(tmp_path / "derivation.html")
    assert page.open == []
    assert {"given", "local", "gradients", "elements", "result", "shapes", "check"} <= {*page.ids}
    assert all(a[1:] in page.ids for a in page.addresses)


def test_options_of_a_worksheet_belong_to_a_worksheet(small: Path) -> None:
    for args in (("--answers",), ("--seed", 2), ("--worksheet", "--index")):
        result = run("derive", small, *args)
        assert result.exit_code == 2
        assert "E586" in result.output


def test_the_numeric_check_is_printed(small: Path) -> None:
    printed = run("derive", small).output
    assert re.search(r"∂L/∂W₁\[\d, \d\] +\S+ +\S+ +\de−\d+", printed)
    assert "∂L/∂W₂: [3 × m] [m × 5] = [3 × 5]" in printed
    assert "W₂  3 × 5  parameter, 15 numbers" in printed
