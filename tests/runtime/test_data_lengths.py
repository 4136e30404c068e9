"""Lengths and buckets: orders, what batches are told, tables with sequences, binding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.source import Source, Span
from chainrule.runtime.data import Bucket, Dataset, InputSpec, Request, bind
from chainrule.runtime.data.orders import bucketed, epoch_order
from chainrule.runtime.feeding import Feeder
from tests.runtime.test_data_texts import build, refusal

# ---------------------------------------------------------------- buckets


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 90),
    batch=st.integers(1, 20),
    width=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_a_bucketed_epoch_holds_every_example_once(
    n: int, batch: int, width: int, epoch: int
) -> None:
    lengths = np.random.default_rng(n).integers(1, 12, n)
    order = bucketed((lengths // width)[:, None], batch, seed=3, epoch=epoch)
    assert sorted(order.tolist()) == list(range(n))


def test_batches_of_a_bucket_have_similar_lengths() -> None:
    lengths = np.repeat(np.arange(1, 11), 40)  # forty examples of each length
    order = bucketed((lengths // 2)[:, None], 8, seed=1, epoch=1)
    spread = np.ptp(lengths[order].reshape(-1, 8), axis=1)
    # 20 to 80 examples a bucket, all multiples of a batch: no batch mixes two buckets.
    assert spread.max() == 1
    plain = epoch_spread(lengths, np.random.default_rng(0).permutation(400))
    assert plain > 5


def epoch_spread(lengths: np.ndarray, order: np.ndarray) -> float:
    return float(np.ptp(lengths[order].reshape(-1, 8), axis=1).mean())


def test_the_second_field_orders_examples_whose_first_is_alike() -> None:
    keys = np.array([[a, b] for a in range(3) for b in range(6) for _ in range(4)])
    order = bucketed(keys, 4, seed=0, epoch=2)
    batches = keys[order].reshape(-1, 4, 2)
    assert (batches == batches[:, :1]).all()
    assert len({tuple(b[0]) for b in batches}) == 18


def test_the_order_depends_on_seed_and_epoch_and_not_on_who_asks() -> None:
    data = build("addition(n = 200, digits = 3) -> bucket(width = 1)", Path())
    assert data.bucket == Bucket(1)

    def order(seed: int, epoch: int) -> list[int]:
        return epoch_order(data.train, 16, seed, epoch, bucket=data.bucket).tolist()

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2) and order(1, 1) != order(2, 1)
    short = {tuple(sorted(order(1, epoch)[-8:])) for epoch in range(5)}
    assert len(short) == 5  # not always the same examples end up in the short batch


def test_without_shuffling_or_for_streams_there_are_no_buckets() -> None:
    data = build("addition(n = 30, digits = 2) -> bucket", Path())
    plain = epoch_order(data.train, 4, 1, 1, shuffle=False, bucket=data.bucket)
    assert plain.tolist() == list(range(30))
    rows = epoch_order(data.train, 4, 1, 1, bucket=data.bucket, stateful=True)
    assert rows[:8].tolist() == [0, 7, 14, 21, 1, 8, 15, 22]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("moons() -> bucket", "E434", "`moons` has no sequences"),
        ("dates(n = 5) -> bucket(fields = sauce)", "E408", "did you mean `source`?"),
        ("dates(n = 5) -> bucket(width = 0)", "E409", "width"),
    ],
)
def test_a_mistake_about_buckets_is_told(text: str, code: str, says: str) -> None:
    found = refusal(text, Path())
    assert found.code == code and says in found.message + found.help


def test_a_bucket_of_a_field_that_never_varies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1 2,5,1\n3,6,2\n")
    text = 'csv("t.csv", target = y, sequence = a) -> bucket(fields = {})'
    assert build(text.format("a"), tmp_path).bucket == Bucket(4, ("a",))
    found = refusal(text.format("b"), tmp_path)
    assert found.code == "E434" and "`b` has no sequences" in found.message and "`a`" in found.help


# ---------------------------------------------------------------- what batches are told


def feeder(data: Dataset, *fields: str, stream: bool = False, clock: str = "T") -> Feeder:
    """A net whose inputs share a clock: all have room for the longest of them."""
    room = max(data.fields[f].shape[0] for f in fields)
    requests = {f: Request(f, data.fields[f].dtype, (room,), clock) for f in fields}
    return Feeder(data.train, requests, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_each_batch_is_told_the_steps_of_its_longest_sequence(stream: bool) -> None:
    data = build("addition(n = 50, digits = 3, seed = 4)", Path())
    fed = feeder(data, "source", "next", stream=stream)
    longest = np.maximum(data.train.lengths("source"), data.train.lengths("next"))
    order = np.random.default_rng(0).permutation(50)
    for start in (0, 3):
        with fed.epoch(order, 8, start) as feed:
            done, found = start, []
            while done < 7:
                fields, rows, lengths = feed.take(2)
                found += lengths["T"].tolist()
                steps = -(-len(rows) // 8)
                at = order[done * 8 : (done + steps) * 8]
                np.testing.assert_array_equal(fields["source"][rows], data.train.rows("source", at))
                done += steps
        expected = [int(longest[order[i * 8 : i * 8 + 8]].max()) for i in range(start, 7)]
        assert found == expected


def test_a_clock_of_full_sequences_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefgh" * 4)
    data = build('text("a.txt", window = 4)', tmp_path)
    assert feeder(data, "text", "next").lengths == {}
    assert feeder(build("addition(n = 9)", Path()), "source", clock="").lengths == {}


def test_measuring_takes_the_shortest_first() -> None:
    data = build("addition(n = 60, digits = 3)", Path())
    order = feeder(data, "source").measuring_order()
    assert (np.diff(data.train.lengths("source")[order]) >= 0).all()
    assert sorted(order.tolist()) == list(range(60))


def test_sequences_are_padded_to_what_a_trained_net_takes() -> None:
    data = build("addition(n = 5, digits = 1)", Path())
    wide = data.train.array("source", "i32", (6,))
    np.testing.assert_array_equal(wide[:, :3], data.train.array("source"))
    assert wide.shape == (5, 6) and not wide[:, 3:].any()


# ---------------------------------------------------------------- tables


def table(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder


def test_columns_side_by_side_are_one_sequence(tmp_path: Path) -> None:
    base = table(tmp_path, "id,x1,x2,x3,kind\n7,1,2,3,up\n8,4,5,6,down\n")
    data = build('csv("t.csv", target = kind, sequence = "x1..x3", features = id)', base)
    assert data.train.array("sequence").tolist() == [[1, 2, 3], [4, 5, 6]]
    assert str(data.fields["sequence"]) == "sequence: [3]" and data.fields["sequence"].sequence
    assert data.inputs == ("sequence", "features", "id") and data.targets == ("kind",)


def test_groups_of_columns_are_the_features_of_each_step(tmp_path: Path) -> None:
    base = table(tmp_path, "a1,a2,b1,b2,y\n1,2,3,4,0.5\n5,6,7,8,1.5\n")
    data = build('csv("t.csv", target = y, sequence = ["a1..a2", "b1..b2"])', base)
    assert data.train.array("sequence").tolist() == [[[1, 3], [2, 4]], [[5, 7], [6, 8]]]
    assert data.inputs == ("sequence",)


def test_numbers_in_a_cell_are_a_sequence_as_long_as_they_are(tmp_path: Path) -> None:
    base = table(tmp_path, "heart,y\n1 2 3,a\n4,b\n1 2 3,a\n")
    data = build('csv("t.csv", target = y, sequence = heart)', base)
    assert data.train.array("heart").tolist() == [[1, 2, 3], [4, 0, 0], [1, 2, 3]]
    assert data.train.array("heart.length").tolist() == [3, 1, 3]


def test_semicolons_part_the_steps_of_a_cell(tmp_path: Path) -> None:
    base = table(tmp_path, "way,y\n1 2; 3 4 ;5 6,1\n7 8,2\n")
    data = build('csv("t.csv", target = y, sequence = [way])', base)
    assert data.train.array("way").tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert data.train.lengths("way").tolist() == [3, 1]


def test_normalising_sequences_looks_at_their_steps_and_leaves_padding_zero(
    tmp_path: Path,
) -> None:
    base = table(tmp_path, "way,y\n1 10; 3 30; 5 50,1\n7 70,2\n")
    data = build('csv("t.csv", target = y, sequence = way) -> normalize(way)', base)
    rows = data.train.array("way", "f64")
    steps = np.array([[1, 10], [3, 30], [5, 50], [7, 70]], np.float64)
    expected = (steps - steps.mean(0)) / steps.std(0)
    np.testing.assert_allclose(np.concatenate([rows[0], rows[1, :1]]), expected)
    assert not rows[1, 1:].any()


@pytest.mark.parametrize(
    ("text", "sequence", "code", "says"),
    [
        ("a,y\n1 2,1\n1 x 3,2\n", "a", "E433", "line 3, column `a`: step 2: `x` is not a number"),
        ("a,y\n1 2;3,1\n", "a", "E433", "line 2, column `a`: its steps have 1 to 2 numbers"),
        ("a,y\n1 2;3 4,1\n5;6,2\n", "a", "E433", "line 3"),
        ("a,y\n;,1\n", "a", "E433", "no step"),
        ("a,y\n,1\n", "a", "E407", "missing"),
        ("a1,a2,y\n1,2,1\n", '"a2..a1"', "E433", "comes after"),
        ("a1,a2,y\n1,2,1\n", '"a1..b2"', "E408", "`b2`"),
        ("a1,a2,b,y\n1,2,3,1\n", '["a1..a2", "b..b"]', "E433", "has 2, `b..b` has 1"),
        ("a1,a2,y\n1,up,1\n", '"a1..a2"', "E407", "`a2`"),
        ("a,y\n1 2,1\n", "b", "E408", "`b`"),
    ],
)
def test_a_mistake_in_a_table_of_sequences_is_told_with_line_and_column(
    tmp_path: Path, text: str, sequence: str, code: str, says: str
) -> None:
    base = table(tmp_path, text)
    found = refusal(f'csv("t.csv", target = y, sequence = {sequence})', base)
    assert found.code == code and says in found.message + found.help


def test_arrays_become_sequences_with_the_lengths_of_another_field(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[3, 1, 9], [2, 2, 2]]), n=np.array([2, 3]),
             y=np.array([0, 1]))  # fmt: skip
    data = build('npz("a.npz") -> sequence(x, length = n)', tmp_path)
    assert str(data.fields["x"]) == "x: tokens[3, 10]"
    assert data.train.array("x").tolist() == [[3, 1, 0], [2, 2, 2]]
    assert data.train.lengths("x").tolist() == [2, 3] and "n" not in data.fields
    found = refusal('npz("a.npz") -> sequence(x, length = y)', tmp_path)
    assert found.code == "E433" and "example 0 has the length 0" in found.message


# ---------------------------------------------------------------- binding


def disagreement(data: Dataset, *inputs: InputSpec) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        bind(data, {i.name: i for i in inputs})
    return caught.value.diagnostics[0]


PLACE = Span(Source("n.net", "input source: tokens[5, 15]"), 0, 5)


def spec(name: str, shape: tuple[int, ...], classes: int | None = None) -> InputSpec:
    dtype = "f32" if classes is None else "i32"
    return InputSpec(name, shape, dtype, classes, PLACE)


def test_tokens_and_their_hidden_lengths_meet_the_field() -> None:
    data = build("addition(n = 5, digits = 2)", Path())  # source: tokens[5, 15]
    inputs = {"x": spec("x", (5,), 15), "x.length": spec("x.length", ())}
    assert bind(data, inputs) == {"x": "source", "x.length": "source.length"}
    wider = {"source": spec("source", (9,), 20)}
    assert bind(data, wider) == {"source": "source"}


@pytest.mark.parametrize(
    ("wanted", "code", "says"),
    [
        (spec("source", (4,), 15), "E414", "write `T`"),
        (spec("source", (5,), 9), "E415", "9 different tokens"),
        (spec("source", (5,)), "E415", "tokens[T, k]"),
        (spec("source", (), 15), "E415", "tokens[5, 15]"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(wanted: InputSpec, code: str, says: str) -> None:
    data = build("addition(n = 5, digits = 2)", Path())
    found = disagreement(data, wanted)
    assert found.code == code and says in found.message + found.help


def test_a_class_a_number_and_pictures_are_no_tokens() -> None:
    digits = build("digits()", Path())
    assert disagreement(digits, spec("digit", (5,), 10)).code == "E415"
    found = disagreement(digits, spec("image", (64,), 17))
    assert found.code == "E415" and "sequence(image)" in found.help


def test_numeric_sequences_may_be_shorter_than_the_net_takes_but_not_longer() -> None:
    data = build("copy(n = 4, length = 3)", Path())  # inputs: [8, 10]
    assert bind(data, {"inputs": spec("inputs", (12, 10))}) == {"inputs": "inputs"}
    assert "write `T`" in disagreement(data, spec("inputs", (6, 10))).help
    assert "[T, 10]" in disagreement(data, spec("inputs", (8, 9))).help
