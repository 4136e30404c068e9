"""Every seeded mistake gets the diagnostics that its file expects, as `chainrule check` tells them.

A file in `tests/mistakes` says in trailing comments what must be said of it, one line for each
diagnostic and no others: `# expect E212 4: did you mean `dense`?` is the code, the line, and the
help (or, where there is none, the message).
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chainrule.cli import cli
from chainrule.pages import codes

HERE = Path(__file__).with_name("mistakes")
FILES = sorted(HERE.glob("*.net"))
EXPECT = re.compile(r"^# expect (E\d{3}) (\d+): (.+)$", re.MULTILINE)

# What no file can do by itself, and why.
NOT_FROM_A_FILE = {
    "E120": "a file that is too large or no text: `zero_byte.net` shows the second",
    "E204": "needs a hundred files: test_a_long_chain_of_imports_is_refused",
    "E211": "several nets and none chosen: only where one is asked for",
    "E226": "the grammar refuses it first: a tree made by hand",
    "E272": "a `--set` that nothing answers to",
    "E290": "the text of a graph, not of a net",
    "E310": "every operation has a derivative or none flows: kept for new ones",
}


@cache
def checked(path: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["check", str(path), *options])


def expected(path: Path) -> list[tuple[str, int, str]]:
    found = EXPECT.findall(path.read_text(encoding="utf-8"))
    return [(code, int(line), text) for code, line, text in found]


def diagnostics(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(checked(path, "--json").stdout)["diagnostics"]
    return found


def names(path: Path) -> str:
    return path.stem


def test_there_are_at_least_a_hundred_seeded_mistakes() -> None:
    assert len(FILES) >= 100


@pytest.mark.parametrize("path", FILES, ids=names)
def test_a_mistake_gets_exactly_the_diagnostics_that_its_file_expects(path: Path) -> None:
    found = [(d["code"], d["place"]["line"], d["help"] or d["message"]) for d in diagnostics(path)]
    assert found == expected(path) != []


@pytest.mark.parametrize("path", FILES, ids=names)
def test_a_mistake_is_told_with_its_place_and_without_a_traceback(path: Path) -> None:
    result = checked(path)
    text = result.stderr
    errors = [d for d in diagnostics(path) if d["severity"] == "error"]
    assert result.exit_code == (2 if errors else 0)
    assert "Traceback" not in text and "internal error" not in text
    for d in diagnostics(path):
        place = d["place"]
        assert f"{place['file']}:{place['line']}:{place['column']}" in text
        assert d["code"] in text and d["message"] in text and d["help"] in text


@pytest.mark.parametrize("path", FILES, ids=names)
def test_a_mistake_is_underlined_where_its_text_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    for d in diagnostics(path):
        place = d["place"]
        assert 1 <= place["column"] <= len(lines[place["line"] - 1]) + 1
        assert (place["end_line"], place["end_column"]) >= (place["line"], place["column"])


def test_every_mistake_says_what_to_do_or_needs_no_advice() -> None:
    silent = {d["code"] for path in FILES for d in diagnostics(path) if not d["help"]}
    # A size of 0, a root of a negative number: the message is the whole advice.
    assert silent <= {"E228", "E276", "E307"}


def test_every_code_that_a_file_can_cause_is_seeded() -> None:
    seeded = {code for path in FILES for code, _, _ in expected(path)}
    reachable = {code for code in codes() if code < "E400"}
    assert reachable - seeded - set(NOT_FROM_A_FILE) == set()


def test_every_seeded_code_has_a_page_that_shows_the_mended_text() -> None:
    for code in {code for path in FILES for code, _, _ in expected(path)}:
        page = CliRunner().invoke(cli, ["explain", code])
        assert page.exit_code == 0 and page.output.startswith(f"# {code}: "), code
        assert page.output.count("`") >= 4, code


def test_a_long_chain_of_imports_is_refused(tmp_path: Path) -> None:
    for k in range(102):
        (tmp_path / f"a{k}.net").write_text(f'import "a{k + 1}.net"\n')
    result = checked(tmp_path / "a0.net")
    assert result.exit_code == 2
    assert "error[E204]" in result.stderr


def test_a_setting_that_no_net_has_is_refused() -> None:
    path = HERE.parents[1] / "examples" / "digits.net"
    result = checked(path, "--set", "width=3", "--no-data")
    assert result.exit_code == 2
    assert "error[E272]" in result.stderr
