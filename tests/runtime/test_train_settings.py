"""What the lines of a `train` block mean, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from chainrule.dsl import syntax as ast
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.parse import parse
from chainrule.dsl.source import Source
from chainrule.runtime.schedules import Cosine, Plateau, Step, Warmup
from chainrule.runtime.train.settings import (
    Sample,
    Settings,
    read_settings,
    require_end,
    with_overrides,
)


def train(lines: str) -> ast.Train:
    file = parse(Source("t.net", f"train n on d {{\n{lines}\n}}\n"))
    (found,) = file.declarations
    assert isinstance(found, ast.Train)
    return found


def read(lines: str) -> Settings:
    return read_settings(train(lines), {"k": 4})


def code(lines: str) -> list[str]:
    with pytest.raises(Failure) as caught:
        read(lines)
    return [d.code for d in caught.value.diagnostics]


def test_every_line_sets_what_it_says() -> None:
    found = read(
        "optimizer adam()\nclip 1.0\nbatch 64\nepochs 5\nseed 3\nthreads 2\nshuffle false\n"
        "checkpoint 2\nstop_early(patience = 3, monitor = accuracy, min_delta = 0.01)"
    )
    assert (found.batch, found.epochs, found.seed, found.threads) == (64, 5, 3, 2)
    assert (found.shuffle, found.checkpoint) == (False, 2)
    assert found.stop is not None
    assert (found.stop.patience, found.stop.monitor, found.stop.min_delta) == (3, "accuracy", 0.01)


def test_batch_all_is_the_full_batch_and_numbers_may_be_computed() -> None:
    assert read("batch all").batch is None
    assert read("batch 1").batch == 1
    assert read("batch 2 * k").batch == 8


def test_schedules_are_read_in_order() -> None:
    found = read("schedule warmup(2), step(every = 10, factor = 0.5)\n").schedules
    assert found == ((Warmup(2), Step(10, 0.5)),)
    assert read("schedule cosine").schedules == ((Cosine(),),)
    assert read("schedule plateau(patience = 2)").plateau == Plateau(patience=2)


def test_each_schedule_line_is_kept_by_itself_and_only_some_lines_are_for_groups() -> None:
    found = read("schedule warmup(2)\nschedule cosine, plateau for head.*")
    assert found.schedules == ((Warmup(2),), (Cosine(), Plateau()))
    assert found.plateau == Plateau()
    assert code("schedule plateau\nschedule plateau for head.*") == ["E277"]
    assert code("clip 1.0 for head.*\nbatch 5 for head") == ["E276", "E276"]


def test_a_misspelt_line_suggests_the_nearest() -> None:
    with pytest.raises(Failure) as caught:
        read("epoch 5")
    (found,) = caught.value.diagnostics
    assert found.code == "E275" and found.span is not None and found.span.line == 2
    assert found.help == "did you mean `epochs`?"


def test_several_mistakes_are_told_in_one_run() -> None:
    assert code("epoch 5\nbatch many\nseed -1") == ["E275", "E276", "E276"]


@pytest.mark.parametrize(
    "line",
    [
        "batch many",
        "batch 0",
        "batch 2.5",
        "batch 1, 2",
        "epochs 0",
        "shuffle maybe",
        "schedule",
        "schedule cosin",
        "schedule cosine(warm = 2)",
        "schedule step",
        "schedule step(2, 3, 4)",
        "schedule cosine(floor = 2)",
        "stop_early(patience = 0)",
        "stop_early(patience = 2, patience = 3)",
        'seed "a"',
        "seed 1 / 0",
        "augment",
        "augment 5",
        "augment rotat(10)",
        "augment rotate",
        "augment rotate(-1)",
        "augment rotate(1, 2)",
        "augment scale(1.1, 0.9)",
        "augment scale(0, 1)",
        "augment flip(diagonal)",
        "augment crop(2.5)",
        "augment crop(8, padding = 1)",
        "augment cutout(0)",
        "augment shift(1e9)",
    ],
)
def test_a_wrong_argument_is_refused_at_its_place(line: str) -> None:
    assert code(line) == ["E276"]


def test_transforms_are_read_in_order_with_their_defaults() -> None:
    found = read("augment crop(24), flip, shift(2)").augment
    assert found is not None
    assert [t.name for t in found.transforms] == ["crop", "flip", "shift"]
    assert found.transforms[0].values == {"height": 24, "width": None, "pad": 0}
    assert found.transforms[1].values == {"axis": "horizontal"}
    assert found.exact and not read("augment shift(2.5)").augment.exact  # type: ignore[union-attr]


def test_a_transform_given_twice_is_refused_but_for_the_two_flips() -> None:
    assert code("augment rotate(5), rotate(6)") == ["E277"]
    assert code("augment flip(horizontal), flip") == ["E277"]
    assert read("augment flip(horizontal), flip(vertical)").augment is not None


def test_lines_that_disagree_are_refused_with_both_places() -> None:
    assert code("epochs 5\nsteps 100") == ["E277"]
    with pytest.raises(Failure) as caught:
        read("batch 5\nbatch 6")
    (found,) = caught.value.diagnostics
    assert found.code == "E277" and found.labels[0].span.line == 2


def test_several_load_lines_are_kept_in_their_order() -> None:
    first, second = read('load "encoder.safetensors" into h\nload lenet.a map "b.*" = none').loads
    assert (first.file, first.into, first.renames) == ("encoder.safetensors", "h", ())
    assert (second.net, second.part, second.into) == ("lenet", "a", "")
    assert [r.text for r in second.renames] == ['"b.*" = none']
    assert code("load(3)") == ["E291"]


def test_training_needs_an_end() -> None:
    declared = train("optimizer adam()")
    with pytest.raises(Failure) as caught:
        require_end(read_settings(declared), declared)
    assert caught.value.diagnostics[0].code == "E278"


def test_the_command_line_goes_before_the_file() -> None:
    declared = read("epochs 5\nbatch 64")
    changed = with_overrides(declared, {"steps": 7, "batch": "all", "epochs": None})
    assert (changed.steps, changed.epochs, changed.batch) == (7, None, None)


@pytest.mark.parametrize("given", [{"batch": 0}, {"epochs": -1}, {"epochs": float("nan")}])
def test_an_override_out_of_range_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(Failure):
        with_overrides(Settings(), given)


def test_samples_are_shown_at_the_epochs_asked_for_and_after_the_last() -> None:
    assert read("sample").sample == Sample(every=5, count=None, of="")
    found = read("sample(every = 3, count = k, of = fake)").sample
    assert found == Sample(every=3, count=4, of="fake")
    assert found is not None
    assert [e for e in range(1, 9) if found.due(e, e == 8)] == [3, 6, 8]
    assert read("epochs 3").sample is None


@pytest.mark.parametrize(
    "line",
    ["sample 5", "sample(evry = 5)", "sample(every = 0)", "sample(count = 5000)", "sample(of = 3)"],
)
def test_a_wrong_sample_line_is_refused(line: str) -> None:
    assert code(line) == ["E276"]
