"""Worksheets: gaps whose answers are right, numbers that come out even, the same for a seed."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest

from chainrule.compiler.pipeline import forward, load_module
from chainrule.viz import terms as t
from chainrule.viz import worksheet_html, worksheet_latex, worksheet_text
from chainrule.viz.derivation import Derivation
from chainrule.viz.derive import derive
from chainrule.viz.unicode import unicode
from chainrule.viz.worksheet import Formula, Grid, Worksheet, spoiled, worksheet

from .nets import ALL, DIGITS, LINEAR, net
from .test_latex import EXAMPLES, SIZES, needs_latex, overfull

FEW = ("digits", "lenet", "sequences_mnist", "vae", "xor")


def of_example(path: Path, seed: int = 1) -> tuple[Derivation, Worksheet]:
    graph = forward(load_module(path), training=True, sizes=SIZES)
    d = derive(graph, graph.of_kind("loss")[0].name)
    return d, worksheet(d, seed)


def grids(w: Worksheet, name: str) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Of each exercise with that answer: what is given, and the answer."""
    found = []
    for e in w.exercises:
        answers = [p for p in e.answer if isinstance(p, Grid) and unicode(p.left) == name]
        if answers:
            given = {unicode(p.left): numbers(p) for p in e.asked if isinstance(p, Grid)}
            found.append((given, numbers(answers[0])))
    return found


def numbers(grid: Grid) -> np.ndarray:
    return np.array([[float(x.replace("−", "-")) for x in row] for row in grid.rows])


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_answers_in_numbers_are_those_of_numpy(seed: int) -> None:
    w = worksheet(derive(net(DIGITS)), seed)
    for given, z in grids(w, "Z₁"):
        np.testing.assert_array_equal(given["W₁"] @ given["X"] + given["b₁"], z)
    ((given, slope),) = grids(w, "∂L/∂W₂")
    np.testing.assert_array_equal((given["A₂"] - given["Y"]) @ given["A₁"].T / 2, slope)
    ((given, back),) = grids(w, "∂L/∂Z₁")
    delta = given["W₂"].T @ (given["A₂"] - given["Y"])
    np.testing.assert_array_equal(delta * (given["Z₁"] > 0), back)


@pytest.mark.parametrize("seed", range(1, 9))
def test_numbers_come_out_even_and_small(seed: int) -> None:
    w = worksheet(derive(net(DIGITS)), seed)
    cells = [x for e in w.exercises for p in (*e.asked, *e.answer) if isinstance(p, Grid)
             for row in p.rows for x in row]  # fmt: skip
    assert len(cells) > 60
    for cell in cells:
        value = Fraction(cell.replace("−", "-"))
        assert abs(value) <= 60 and 32 % value.denominator == 0
        assert len(cell) <= 8


def test_probabilities_sum_to_one_and_labels_are_one_hot() -> None:
    w = worksheet(derive(net(DIGITS)), 3)
    ((given, _),) = grids(w, "∂L/∂Z₂")
    np.testing.assert_array_equal(given["A₂"].sum(axis=0), [1, 1])
    np.testing.assert_array_equal(given["Y"].sum(axis=0), [1, 1])


def test_a_seed_gives_one_worksheet_and_another_seed_another() -> None:
    d = derive(net(DIGITS))
    assert worksheet_text.text(worksheet(d, 4), True) == worksheet_text.text(worksheet(d, 4), True)
    assert worksheet_text.text(worksheet(d, 4)) != worksheet_text.text(worksheet(d, 5))


def test_a_missing_factor_completes_the_chain() -> None:
    d = derive(net(DIGITS))
    chains = {p.left: p.chain for p in d.passages}
    asked = [e for e in worksheet(d, 2).exercises if e.title == "Fill in the chain"]
    assert len(asked) == 3
    for e in asked:
        ((gap, missing),) = (p.terms for p in e.answer if isinstance(p, Formula))
        ((left, shown),) = (p.terms for p in e.asked if isinstance(p, Formula))
        filled = [missing if part == gap else part for part in shown.parts]
        assert t.chain(*filled) == chains[left]


def test_the_wrong_line_is_the_only_wrong_one() -> None:
    d = derive(net(DIGITS))
    closed = {p.left: p.closed for p in d.passages}
    for seed in range(1, 12):
        e = worksheet(d, seed).exercises[-1]
        assert e.title == "Find the wrong line"
        lines = [p for p in e.asked if isinstance(p, Formula)]
        wrong = [p.number for p in lines if closed[p.terms[0]] != p.terms[1]]
        assert len(wrong) == 1
        assert worksheet_text.text(worksheet(d, seed), True).count(f"Line {wrong[0]}.") == 1


def test_no_exercise_gives_away_a_closed_form_that_another_asks_for() -> None:
    d = derive(net(DIGITS))
    for seed in range(1, 12):
        w = worksheet(d, seed)
        asked = {p.terms[0] for e in w.exercises if e.title == "Find the closed form"
                 for p in e.asked if isinstance(p, Formula)}  # fmt: skip
        closed = {p.left: p.closed for p in d.passages if p.left in asked}
        shown = [p.terms for e in w.exercises for p in e.asked if isinstance(p, Formula)]
        assert closed
        assert not any(terms[0] in closed and closed[terms[0]] in terms for terms in shown)


def test_a_mistake_changes_the_formula() -> None:
    closed = derive(net(LINEAR)).passages[0].closed
    found = {unicode(spoiled(closed, Random(k)) or closed) for k in range(9)}
    assert found == {"Y − Z"}
    assert spoiled(t.symbol("x"), Random(1)) is None


@pytest.mark.parametrize("name", list(ALL))
def test_a_worksheet_fits_80_columns_and_keeps_its_answers_apart(name: str) -> None:
    graph = net(ALL[name])
    w = worksheet(derive(graph, graph.of_kind("loss")[0].name))
    printed = worksheet_text.text(w)
    assert max(map(len, printed.splitlines())) <= 80
    assert "Answers" not in printed
    assert worksheet_text.text(w, True).startswith(printed.rstrip("\n"))
    assert "## Answers" in worksheet_text.markdown(w, True)
    page = worksheet_html.html(w, True)
    assert 'class="answers"' in page and "<script" not in page and "http" not in page.replace(
        'http-equiv', "")  # fmt: skip


@needs_latex
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.stem in FEW[:2]], ids=lambda p: p.stem)
def test_a_worksheet_compiles_and_fits_the_page(path: Path, tmp_path: Path) -> None:
    compiles(path, tmp_path)


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_worksheet_of_every_example_compiles(path: Path, tmp_path: Path) -> None:
    compiles(path, tmp_path)


def compiles(path: Path, folder: Path) -> None:
    _, w = of_example(path)
    kinds = {e.title for e in w.exercises}
    assert len(kinds) >= 3
    (folder / "w.tex").write_text(worksheet_latex.latex(w, True), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "w.tex"]
    result = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = result.stdout.decode(errors="replace")
    assert result.returncode == 0, log[-2000:]
    assert overfull(log) == []


def test_images_have_exercises_of_their_own() -> None:
    path = next(p for p in EXAMPLES if p.stem == "lenet")
    _, w = of_example(path)
    (e,) = (e for e in w.exercises if e.title == "Compute a convolution")
    given = {unicode(p.left): numbers(p) for p in e.asked if isinstance(p, Grid)}
    z, slope = (numbers(p) for p in e.answer if isinstance(p, Grid))
    for kernel, found in ((given["W"], z), (given["δ"], slope)):
        windows = np.lib.stride_tricks.sliding_window_view(given["X"], (2, 2))
        np.testing.assert_array_equal((windows * kernel).sum(axis=(2, 3)), found)


def test_a_page_has_no_markup_of_the_users() -> None:
    d = derive(net(DIGITS.replace("net digits", "net dig_its")))
    assert "dig_its" in worksheet_html.html(worksheet(d))
    assert re.search(r"dig\\_its", worksheet_latex.latex(worksheet(d)))
