"""`chainrule generate` and `Model.generate`: texts in, texts out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import chainrule
from chainrule import Failure, Model
from chainrule.cli import cli
from chainrule.dsl.format import format_source
from chainrule.dsl.source import Source
from chainrule.runtime.generate.settings import KNOWN

CHAR = """data saying = text("a.txt", window = 8) -> split(valid = 0.2)
net char {
  input text: tokens[T, k]
  input next: tokens[T, k]
  h = text -> embedding(6) -> lstm(12)
  scores = h.hs -> dense(k)
  output scores
  loss cross_entropy(scores, next)
}
train char on saying {
  optimizer adam()
  epochs 1
}
generate line from char {
  start "now"
  length 12
}
generate wild from char {
  start "dis"
  temperature 2
  samples 2
}
"""
ADD = """data sums = addition(n = 40, digits = 1)
net add {
  input source: tokens[S, m]
  input target: tokens[T, k]
  input next: tokens[T, k]
  enc = source -> embedding(4) -> gru(6, mask = mask(source))
  dec = target -> embedding(4) -> gru(6, start = enc.last)
  output dec.hs -> dense(k)
  loss cross_entropy(dec.hs -> dense(k), next, mask = mask(next))
}
train add on sums {
  optimizer adam()
  epochs 1
}
"""


@pytest.fixture
def char(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("now is the winter of our discontent\n" * 6)
    return written(tmp_path / "char.net", CHAR)


@pytest.fixture
def add(tmp_path: Path) -> Path:
    return written(tmp_path / "add.net", ADD)


def written(path: Path, text: str) -> Path:
    """The file, and weights that nobody has trained beside it."""
    path.write_text(text)
    model = chainrule.load(path, device="plain")
    model.save(path.with_suffix(".safetensors"))
    return path


def opened(path: Path) -> Model:
    model = chainrule.load(path, device="plain")
    model.load_weights(path.with_suffix(".safetensors"))
    return model


def asked(path: Path, *options: str) -> Any:
    words = ["generate", str(path), "--device", "plain"]
    words += ["--weights", str(path.with_suffix(".safetensors"))]
    return CliRunner().invoke(cli, [*words, *options])


def test_a_declaration_says_how_to_generate(char: Path) -> None:
    found = asked(char, "--name", "line")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("now") and len(found.stdout.rstrip("\n")) <= 15
    (one,) = opened(char).generate("line")
    assert str(one) == found.stdout.rstrip("\n") and len(one.tokens) == 12
    assert one.log_probability < 0


def test_options_go_before_the_declaration(char: Path) -> None:
    words = "--name wild --length 5 --samples 3 --seed 4 --json"
    found = json.loads(asked(char, *words.split()).stdout)
    assert [len(t["tokens"]) for t in found["texts"]] == [5, 5, 5]
    assert [t["sample"] for t in found["texts"]] == [0, 1, 2]
    same = opened(char).generate("wild", length=5, samples=3, seed=4)
    assert [t["text"] for t in found["texts"]] == [g.text for g in same]


def test_texts_are_generated_without_the_data(char: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (char.parent / "a.txt").unlink()
    assert asked(char, "--name", "line").exit_code == 0


def test_a_declaration_must_be_chosen_where_there_are_several(char: Path) -> None:
    for options, text in (([], "choose one: `--name line`"),
                          (["--name", "lime"], "did you mean `line`?")):  # fmt: skip
        found = asked(char, *options)
        assert found.exit_code == 2 and "E612" in found.stderr and text in found.stderr


def test_a_start_is_of_known_characters(char: Path) -> None:
    found = asked(char, "--name", "line", "--start", "né")
    assert "E571" in found.stderr and "`é`" in found.stderr
    model = opened(char)
    assert str(model.generate("line", start="of ")[0]).startswith("of ")
    by_number = model.generate("line", start=[1, 2])[0]
    assert len(by_number.tokens) == 12
    with pytest.raises(Failure, match="E571"):
        model.generate("line", start=[1, 99])


def test_without_a_start_a_new_line_begins(char: Path) -> None:
    model = opened(char)
    found = model.generate("wild", start="", length=4, samples=1)[0]
    after = model.generate("wild", start="\n", length=4, samples=1)[0]
    assert found.tokens == after.tokens and after.text == "\n" + found.text


def test_a_source_is_answered(add: Path) -> None:
    model = opened(add)
    texts = model.generate(inputs=["1+2", "3+4"])
    assert [t.example for t in texts] == [0, 1]
    assert str(texts[0]) == str(model.generate(source="1+2")[0])
    assert str(texts[1]) == str(model.generate(inputs={"source": ["3+4"]})[0])
    assert all(set(str(t)) <= set("0123456789") for t in texts)
    found = asked(add, "--source", "1+2", "--source", "3+4", "--beam", "3")
    wide = model.generate(inputs=["1+2", "3+4"], beam=3)
    assert found.stdout.splitlines() == [str(t) for t in wide]


def test_a_part_is_compared_with_what_it_should_be(add: Path, tmp_path: Path) -> None:
    found = asked(add, "--part", "train", "--json", "-o", str(tmp_path / "texts.txt"))
    facts = json.loads(found.stdout)
    assert facts["examples"] == 40 == len(facts["texts"])
    right = sum(t == w for t, w in zip(facts["texts"], facts["wanted"], strict=True))
    assert facts["exact"] == right / 40 and facts["bleu"] is None
    assert (tmp_path / "texts.txt").read_text().splitlines() == facts["texts"]
    data = opened(add).dataset
    assert data is not None
    words = data.vocabularies
    sums = [words["source"].text(row) for row in data.train.array("source").tolist()]
    assert facts["wanted"] == [str(eval(s)) for s in sums]
    shown = asked(add, "--part", "train").stdout
    assert sums[0] in shown and f"exact  {100 * right / 40:.2f}%" in shown


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--part", "test", "--source", "1+2"], "E613"),
        (["--source", "1+2", "--bleu"], "E613"),
        ([], "E572"),
        (["--source", "1+2", "--temperature", "-1"], "E288"),
        (["--source", "1+2", "--beam", "2", "--samples", "2"], "E289"),
        (["--part", "test", "--temperature", "1", "--samples", "2"], "E289"),
    ],
)
def test_what_cannot_be_generated_is_told(add: Path, options: list[str], code: str) -> None:
    found = asked(add, *options)
    assert found.exit_code == 2 and code in found.stderr, found.output


def test_a_text_that_goes_on_has_nothing_to_be_compared_with(char: Path) -> None:
    assert "E575" in asked(char, "--name", "line", "--part", "valid").stderr


def test_a_net_of_numbers_generates_numbers(tmp_path: Path) -> None:
    (tmp_path / "n.net").write_text(CHAR[CHAR.index("net") : CHAR.index("train")])
    model = chainrule.load(tmp_path / "n.net", device="plain")
    model.__dict__["sizes"] = {"T": 8, "k": 5}
    found = model.generate(start=[1, 2], length=4)[0]
    assert len(found.tokens) == 4 and found.text.split()[:2] == ["1", "2"]
    for start, code in ((None, "E573"), ("a", "E570")):
        with pytest.raises(Failure, match=code):
            model.generate(start=start)


DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_examples_of_the_page_are_right(tmp_path: Path) -> None:
    page = (DOCS / "generate.md").read_text(encoding="utf-8")
    texts = re.findall(r"```net\n(.*?)```", page, re.DOTALL)
    assert len(texts) == 2
    (tmp_path / "novel.txt").write_text("It was a dark and stormy night.\n" * 20)
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.net"
        path.write_text(text)
        found = CliRunner().invoke(cli, ["check", str(path)])
        assert found.exit_code == 0, found.output
        assert format_source(Source(path.name, text)) == text


def test_every_line_of_generate_is_in_the_page() -> None:
    page = (DOCS / "generate.md").read_text(encoding="utf-8")
    assert [word for word in KNOWN if f"`{word}" not in page] == []
