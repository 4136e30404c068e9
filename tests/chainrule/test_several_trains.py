"""`chainrule train` of a file with several `train` declarations: all, in the order written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from chainrule.cli import cli
from chainrule.compiler.elaborate import parse_module
from chainrule.dsl.source import Source
from chainrule.project import run_names
from chainrule.runtime.checkpoint import load_weights
from chainrule.runtime.train.interrupts import Interrupts

NET = """\
net NAME(units = 2) {
  input x: [2]
  input y: class[2]
  h = x -> dense(4) -> tanh
  p = h -> dense(2)
  output p
  loss cross_entropy(p, y)
}
"""
TRAIN = """\
train NAME on points with x = point, y = label {
  LOADoptimizer sgd(lr = 0.1)
  batch 10
  epochs 2
}
"""
DATA = "data points = moons(n = 60)\n"


def train(name: str, load: str = "") -> str:
    return TRAIN.replace("NAME", name).replace("LOAD", f"{load}\n  " if load else "")


def net(name: str) -> str:
    return NET.replace("NAME", name)


TWO = net("first") + net("second") + DATA + train("first") + train("second", "load first into h")


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, [*map(str, args), "--device", "plain"])
    assert "Traceback" not in result.output and "internal error" not in result.output
    return result


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in the working folder, whose `out/two` gets the results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.net").write_text(TWO)
    return Path("two.net")


OUT = Path("out/two")


def weights(name: str) -> dict[str, np.ndarray]:
    return load_weights(OUT / name / "model.safetensors")


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[n], b[n]) for n in a)


def test_all_are_trained_in_order_each_in_its_folder(two: Path) -> None:
    result = run("train", two)
    assert result.exit_code == 0, result.output
    places = [result.output.index(text) for text in (
        "train first (1 of 2)", "train second (2 of 2)",
        "loaded 2 arrays from out/two/first/model.safetensors into h: h.W, h.b", "training second",
    )]  # fmt: skip
    assert places == sorted(places)
    assert not (OUT / "model.safetensors").exists()
    assert not same(weights("first"), weights("second"))


def test_one_can_be_picked(two: Path) -> None:
    result = run("train", two, "--train", "first")
    assert result.exit_code == 0 and " of 2)" not in result.output
    assert (OUT / "first").is_dir() and not (OUT / "second").exists()


def test_what_is_loaded_must_have_been_trained(two: Path) -> None:
    result = run("train", two, "--train", "second")
    assert result.exit_code == 2 and "error[E540]" in result.output
    assert "train it first: `chainrule train two.net --train first`" in result.output


def test_other_commands_ask_which_one(two: Path) -> None:
    run("train", two, "-q")
    result = run("eval", two)
    assert result.exit_code == 2 and "error[E608]" in result.output
    assert run("eval", two, "--train", "second").exit_code == 0


def test_out_is_the_folder_of_their_folders(two: Path) -> None:
    assert run("train", two, "-q", "--out", "there").exit_code == 0
    assert Path("there/second/model.safetensors").is_file() and not OUT.exists()
    assert run("eval", two, "--train", "second", "--out", "there").exit_code == 0


def test_a_setting_of_one_net_may_be_set_for_the_file(two: Path) -> None:
    two.write_text(TWO.replace("net second(units = 2)", "net second(width = 2)")
                      .replace("p = h -> dense(2)", "p = h -> dense(2)"))  # fmt: skip
    assert run("train", two, "-q", "--set", "width=3").exit_code == 0
    result = run("train", two, "-q", "--set", "wdth=3")
    assert result.exit_code == 2 and "error[E272]" in result.output


# ---------------------------------------------------------------- two of the same net


def test_a_second_train_of_a_net_has_its_own_name_and_folder(two: Path) -> None:
    two.write_text(net("first") + DATA + train("first") + train("first", "load first"))
    result = run("train", two)
    assert result.exit_code == 0, result.output
    assert "train first_2 (2 of 2)" in result.output
    assert "loaded 4 arrays from out/two/first/model.safetensors" in result.output
    assert not same(weights("first"), weights("first_2"))
    assert run("eval", two, "--train", "first_2").exit_code == 0


def test_names_of_runs_never_collide() -> None:
    text = net("a") + net("a_2") + DATA + "".join(map(train, ("a", "a", "a_2", "a")))
    names = run_names(parse_module(Source("n.net", text)))
    assert [(n, t.name.id) for n, t in names.items()] == [
        ("a", "a"), ("a_3", "a"), ("a_2", "a_2"), ("a_4", "a"),
    ]  # fmt: skip


# ---------------------------------------------------------------- resuming


@contextmanager
def interrupted(run_number: int) -> Iterator[None]:
    """The run of that number is asked to stop at its first look."""
    begun: list[object] = []

    def enter(self: Interrupts) -> Interrupts:
        begun.append(self)
        self.asked = len(begun) == run_number
        return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interrupts, "__enter__", enter)
        patch.setattr(Interrupts, "__exit__", lambda *_: None)
        yield


def test_an_interruption_stops_the_sequence_and_resume_goes_on_with_it(two: Path) -> None:
    run("train", two, "-q")
    first, second = weights("first"), weights("second")
    with interrupted(1):
        result = run("train", two, "--epochs", "2")
    assert result.exit_code == 130
    assert "training second" not in result.output
    assert "go on with: chainrule train two.net --epochs 2 --device plain --resume" in result.output
    result = run("train", two, "--epochs", "2", "--resume")
    assert result.exit_code == 0, result.output
    # The second's files are of the run before: what it loads has changed since.
    assert "resumed" not in result.output.partition("train second")[2]
    assert "loaded 2 arrays" in result.output
    assert same(weights("first"), first) and same(weights("second"), second)


def test_resume_skips_what_is_finished_and_goes_on_where_it_stopped(two: Path) -> None:
    run("train", two, "-q")
    second = weights("second")
    with interrupted(2):
        assert run("train", two).exit_code == 130
    result = run("train", two, "--resume")
    assert "train first (1 of 2): trained already\n" in result.output
    assert "training first" not in result.output and "training second" in result.output
    assert "loaded" not in result.output  # the checkpoint has what was loaded
    assert same(weights("second"), second)
    result = run("train", two, "--resume")
    assert result.output.count("trained already") == 2


def test_resume_trains_longer_where_more_is_asked(two: Path) -> None:
    run("train", two, "-q")
    result = run("train", two, "--resume", "--epochs", "3")
    assert "resumed after step" in result.output and "trained already" not in result.output


def test_resume_of_what_never_began_or_is_of_another_seed_is_refused(two: Path) -> None:
    result = run("train", two, "--resume")
    assert result.exit_code == 2 and "error[E540]" in result.output
    run("train", two, "-q")
    result = run("train", two, "--resume", "--seed", "5")
    assert result.exit_code == 2 and "error[E547]" in result.output


# ---------------------------------------------------------------- of an imported file


def test_a_net_that_an_imported_file_trains_can_be_loaded(two: Path) -> None:
    two.write_text(
        'import "other.net"\n' + net("second") + DATA + train("second", "load first.h into h")
    )
    Path("other.net").write_text(net("first") + DATA.replace("points", "dots")
                                 + train("first").replace("points", "dots"))  # fmt: skip
    result = run("train", two)
    assert result.exit_code == 2
    assert "train it first: `chainrule train other.net`" in result.output
    assert run("train", "other.net", "-q").exit_code == 0
    result = run("train", two)
    assert result.exit_code == 0
    assert "loaded 2 arrays from h of out/other/model.safetensors into h" in result.output
