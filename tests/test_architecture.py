"""The rules of the house that a machine can check: who imports whom, and that every code has a
page.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# package -> the packages of ours it may import
ALLOWED = {
    "dsl": {"dsl"},
    "compiler": {"compiler", "dsl"},
    "runtime": {"runtime", "compiler", "dsl"},
    "viz": {"viz", "compiler", "dsl"},
    "chainrule": {"chainrule", "runtime", "viz", "compiler", "dsl"},
}
# library -> where alone it may be imported
HOMES = {
    "numba": ("runtime/",),
    "llvmlite": ("runtime/",),
    "lark": ("dsl/",),
    "graphviz": ("viz/render.py",),
    "pygraphviz": ("viz/render.py", "viz/layout.py"),
}


def sources() -> list[Path]:
    return [p for package in ALLOWED for p in (ROOT / package).rglob("*.py")]


def imported(path: Path) -> list[str]:
    """Absolute names of every module a file imports; ours as `dsl.parse`, without `chainrule.`."""
    package = path.relative_to(ROOT).parent.parts
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += from_names(node, package)
    ours = []
    for name in names:
        if name.startswith("chainrule."):
            head = name.split(".")[1]
            ours.append(name.removeprefix("chainrule.") if head in ALLOWED else name)
        else:
            ours.append(name)
    return ours


def from_names(node: ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    if not node.level:
        return [node.module or ""]
    place = ("chainrule", *package) if package[0] != "chainrule" else package
    base = place[: len(place) - node.level + 1]
    module = ".".join([*base, *([node.module] if node.module else [])])
    if module == "chainrule":
        return [f"chainrule.{a.name}" for a in node.names]
    return [module]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        head = name.split(".")[0]
        if head in ALLOWED:
            assert head in ALLOWED[layer], f"{layer} may not import {name}"
        if head in HOMES:
            place = str(path.relative_to(ROOT))
            assert place.startswith(HOMES[head]), f"{name} may be imported in {HOMES[head]} only"


def codes_in_the_source() -> set[str]:
    texts = (p.read_text(encoding="utf-8") for p in sources())
    return {code for text in texts for code in re.findall(r'"(E\d{3})"', text)}


def pages() -> dict[str, str]:
    return {p.stem: p.read_text(encoding="utf-8") for p in (ROOT / "docs/errors").glob("E*.md")}


def test_every_error_code_has_a_page() -> None:
    assert codes_in_the_source() - set(pages()) == set()


def test_every_page_belongs_to_a_code() -> None:
    assert set(pages()) - codes_in_the_source() == set()


@pytest.mark.parametrize("code", sorted(pages()))
def test_a_page_has_a_title_and_an_example(code) -> None:
    text = pages()[code]
    assert text.startswith(f"# {code}: ")
    assert "```" in text


def test_no_file_is_too_long_to_open() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in sources()
        if (n := len(p.read_text().splitlines())) > 500
    }
    assert long == {}
