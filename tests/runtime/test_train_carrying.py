"""States that every row of the batch has for itself: what each row sees, and how epochs begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply, constant
from chainrule.compiler.step import batch_mean
from chainrule.compiler.types import Type
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.checkpoint import load
from chainrule.runtime.data import Dataset
from chainrule.runtime.plain_device import PlainDevice
from chainrule.runtime.train.carrying import is_stateful, row_states
from chainrule.runtime.train.job import Job
from chainrule.runtime.train.loop import train
from chainrule.runtime.train.settings import Settings
from tests.runtime.test_data_texts import build


def adding() -> Graph:
    """Each row adds up the numbers of the windows that it sees: s ← s + Σ text."""
    text = leaf("input", "text", Type((2,), "i32", True, 99))
    state = leaf("state", "s", Type((), "f32", True))
    total = apply("sum", apply("cast", text, dtype="f32"), axes=(0,))
    grown = apply("add", state, total)
    loss = batch_mean(grown)
    leaves = {
        "text": Leaf(text, "input"),
        "s": Leaf(state, "state", constant(0.0, "f32"), "= 0"),
    }
    outputs = (Output("loss", "loss", loss), Output("update", "s", grown, state))
    return Graph("adding", outputs, leaves, training=True)


def job(data: Dataset, **settings: object) -> Job:
    graph = adding()
    evaluation = replace(graph, outputs=(), leaves={})
    return Job(
        graph, evaluation, data, {"text": "text"},
        replace(Settings(batch=3, epochs=1), **settings), PlainDevice(),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrstu")
    return build('text("a.txt", window = 2)', tmp_path)  # 10 windows: (1, 2), (3, 4), …


def test_a_graph_with_a_state_for_each_row_is_stateful() -> None:
    assert is_stateful(adding()) and row_states(adding()) == ("s",)
    shared = leaf("state", "m", Type((3,), "f32"))
    plain = Graph("g", (), {"m": Leaf(shared, "state")})
    assert not is_stateful(plain)


def test_each_row_reads_its_own_stretch_of_the_text(data: Dataset, tmp_path: Path) -> None:
    ran = train(replace(job(data), folder=tmp_path))
    assert ran.step == 3  # of 10 windows 3 rows take 3 each; the last is left out
    windows = data.train.array("text").sum(axis=1)
    kept = load(tmp_path / "checkpoint.safetensors").tensors["s"]
    np.testing.assert_array_equal(kept, windows[:9].reshape(3, 3).sum(axis=1))


def test_every_epoch_begins_anew_and_a_resumed_run_is_the_same(
    data: Dataset, tmp_path: Path
) -> None:
    once = train(job(data)).history.rows[-1].values["loss"]
    twice = train(job(data, epochs=2)).history.rows[-1].values["loss"]
    assert once == twice
    train(replace(job(data), folder=tmp_path))
    again = train(replace(job(data, epochs=2), folder=tmp_path), resume=True)
    assert again.history.rows[-1].values["loss"] == twice


def test_examples_that_do_not_follow_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrstu")
    for text in ('text("a.txt", window = 2, stride = 1)', 'text("a.txt", window = 2) -> shuffle'):
        with pytest.raises(Failure) as caught:
            train(job(build(text, tmp_path)))
        assert caught.value.diagnostics[0].code == "E431"
