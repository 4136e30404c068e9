"""LaTeX derivations: formulas broken into lines, and documents that compile (where LaTeX is)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward, load_module
from chainrule.viz import terms as t
from chainrule.viz.derive import derive
from chainrule.viz.derive_latex import latex as document
from chainrule.viz.latex import latex
from chainrule.viz.latex_lines import LIMIT, fitted, lines, width

from .nets import ALL, net

# Of nets whose data say how long sequences are, and how many words there are.
SIZES = {"S": 7, "T": 9, "n": 30, "k": 20, "m": 6}
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.net"))
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")


def long_sum(count: int) -> t.Term:
    total = t.product(t.symbol("W_1"), t.symbol("x"))
    for k in range(2, count):
        total = t.add(total, t.product(t.symbol(f"W_{k}"), t.symbol("x")))
    return total


def test_a_short_formula_stays_in_one_line() -> None:
    assert lines(long_sum(4)) == [latex(long_sum(4))]


def test_a_long_sum_is_broken_before_its_signs() -> None:
    rows = lines(long_sum(30))
    assert len(rows) > 1
    assert all(row.startswith("+ ") for row in rows[1:])
    assert " ".join(rows) == latex(long_sum(30))


def test_a_chain_is_broken_between_its_factors() -> None:
    parts = [t.partial(t.symbol(f"A_{k + 1}"), t.symbol(f"A_{k}")) for k in range(30)]
    rows = lines(t.chain(*parts))
    assert len(rows) > 1
    assert sum(row.count(r"\frac") for row in rows) == 30


def test_a_bracket_stays_open_over_the_lines_and_is_closed() -> None:
    rows = lines(t.hadamard(t.symbol("gamma"), long_sum(30)))
    assert rows[0].startswith(r"\gamma \odot \bigl(")
    assert rows[-1].endswith(r"\bigr)")


def test_what_cannot_be_broken_is_shrunk_to_its_room() -> None:
    fraction = t.quotient(long_sum(20), t.symbol("s"))
    assert width(fraction) > LIMIT
    assert lines(fraction) == [latex(fraction)]
    assert fitted("x", 10.0) == r"\fit[63pt]{x}"


def test_a_sum_over_an_index_is_broken_inside_its_brackets() -> None:
    rows = lines(t.total(long_sum(30), "i"))
    assert rows[0].startswith(r"\sum_{i}\Bigl(")
    assert rows[-1].endswith(r"\Bigr)")
    assert len(rows) > 1


def test_a_raised_name_that_is_squared_stands_in_brackets() -> None:
    """`a^{(1)}_{h}^{2}` would be a double superscript, which LaTeX refuses."""
    squared = t.power(t.indexed(t.symbol("a_1"), "h"), t.number(2))
    assert latex(squared) == "(a^{(1)}_{h})^{2}"


def compiled(graph: Graph, loss: str, folder: Path) -> str:
    """The log of the compilation."""
    (folder / "d.tex").write_text(document(derive(graph, loss, index=True)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    result = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = result.stdout.decode(errors="replace")
    assert result.returncode == 0, log[-2000:]
    return log


def overfull(log: str) -> list[str]:
    """The lines that are too wide, and by how many points."""
    return re.findall(r"Overfull \\hbox \((\d+\.\d+)pt too wide\)", log)


@needs_latex
@pytest.mark.parametrize("name", ["digits", "sigmoids", "normed", "twins"])
def test_a_derivation_compiles_and_fits_the_page(name: str, tmp_path: Path) -> None:
    graph = net(ALL[name], training=True)
    assert overfull(compiled(graph, graph.of_kind("loss")[0].name, tmp_path)) == []


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_derivation_of_an_example_compiles(path: Path, tmp_path: Path) -> None:
    graph = forward(load_module(path), training=True, sizes=SIZES)
    assert overfull(compiled(graph, graph.of_kind("loss")[0].name, tmp_path)) == []
    assert "?" not in (tmp_path / "d.tex").read_text(encoding="utf-8")
