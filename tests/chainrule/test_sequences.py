"""Nets of sequences from data to prediction: lengths, vocabularies, texts, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import chainrule
from chainrule import Failure
from chainrule.cli import cli

# A bag of characters, summed over the steps that there are: small, and wrong if a length is.
BAG = """
net bag(units = 6) {
  input text: tokens[T, k]
  input next: tokens[T, k]
  scores = one_hot(text) -> dense(k)
  output scores
  loss cross_entropy(mask = mask(next))(scores, next)
}
"""
STORY = "the cat sat on the mat. the dog sat on the cat. " * 6
TRAIN = """
train bag on story {
  optimizer adam(lr = 1e-2)
  batch 4
  epochs 3
}
"""
SUMS = (
    BAG.replace("text", "source", 1).replace("one_hot(text)", "one_hot(target)")
    + "data sums = addition(120, digits = 3) -> bucket(width = 1)\n"
)
ADDING = """
net adding(units = 6) {
  input source: tokens[S, k]
  input target: tokens[T, v]
  input next: tokens[T, v]
  scan x in one_hot(source) with h: [units] = 0 (mask = mask(source)) {
    h = tanh(dense(units)(x) + dense(units)(h))
  }
  code = h -> dense(v)
  scores = (one_hot(target) -> dense(v)) + code
  output scores
  loss cross_entropy(mask = mask(next))(scores, next)
}
data sums = addition(120, digits = 3, seed = 2) -> split(valid = 20, seed = 1) -> bucket(width = 1)
train adding on sums {
  optimizer adam(lr = 1e-2)
  batch 16
  epochs 4
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "story.txt").write_text(STORY)
    text = BAG + 'data story = text("story.txt", window = 8) -> split(valid = 4)\n' + TRAIN
    (tmp_path / "bag.net").write_text(text)
    (tmp_path / "adding.net").write_text(ADDING)
    return tmp_path


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.output


# ---------------------------------------------------------------- training


def test_a_resumed_bucketed_run_equals_an_uninterrupted_one(folder: Path) -> None:
    def trained(*epochs: float) -> dict[str, np.ndarray]:
        for number, limit in enumerate(epochs):
            model = chainrule.load(folder / "adding.net", device="cpu")
            out = folder / f"out{len(epochs)}"
            model.fit(epochs=limit, out=out, resume=number > 0)
        return {n: np.array(model.parameters[n]) for n in model.parameters}

    whole, parts = trained(4), trained(2, 4)
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)


def test_the_compiled_loop_and_the_interpreter_agree_on_sequences_of_all_lengths(
    folder: Path,
) -> None:
    found = {}
    for device in ("cpu", "plain"):
        model = chainrule.load(folder / "adding.net", device=device)
        model.fit(epochs=2)
        found[device] = {n: np.array(model.parameters[n]) for n in model.parameters}
        found[device]["valid"] = np.array(model.evaluate(part="valid")["loss"])
        found[device]["test"] = np.array(model.evaluate(part="test")["loss"])
        asked = {"source": ["1+2", "123+456"], "target": [[2, 4], [2, 4, 5]]}
        said = model.predict(asked)
        assert said.shape == (2, 5, 14)
        found[device]["said"] = np.concatenate([said[0, :2], said[1, :3]])
        alone = model.predict({name: rows[:1] for name, rows in asked.items()})
        np.testing.assert_allclose(alone[0, :2], said[0, :2], rtol=1e-4, atol=1e-6)
    for name, array in found["cpu"].items():
        np.testing.assert_allclose(array, found["plain"][name], rtol=2e-3, atol=2e-5)


def test_another_bucket_is_another_run(folder: Path) -> None:
    path = folder / "adding.net"
    chainrule.load(path, device="plain").fit(epochs=1, out=folder / "out")
    path.write_text(ADDING.replace("bucket(width = 1)", "bucket(width = 2)"))
    with pytest.raises(Failure) as caught:
        chainrule.load(path, device="plain").fit(epochs=2, out=folder / "out", resume=True)
    assert caught.value.diagnostics[0].code == "E547"
    assert "bucketing" in caught.value.diagnostics[0].message


def test_arrays_and_lists_of_sequences_can_be_fitted(folder: Path) -> None:
    model = chainrule.loads(BAG + TRAIN.replace("story", 'text("story.txt")'), device="plain")
    texts = [[1, 2, 3], [2, 1], [3]]
    history = model.fit({"text": texts, "next": texts}, epochs=2)
    assert model.sizes == {"T": 3, "k": 4}
    assert np.isfinite(history.rows[-1].values["loss"])
    uneven = model.predict([[1, 2], [3]])
    assert uneven.shape == (2, 3, 4)


# ---------------------------------------------------------------- vocabularies in checkpoints


def test_predict_takes_texts_and_knows_the_vocabulary(folder: Path) -> None:
    model = chainrule.load(folder / "bag.net", device="plain")
    model.fit()
    words = model.vocabularies["text"]
    scores = model.predict("the dog")
    assert scores.shape == (8, len(words))
    several = model.predict(["the dog", "a"])
    np.testing.assert_array_equal(several[0], scores)
    ids = words.encode("the dog")
    np.testing.assert_array_equal(model.predict(ids)[:7], scores[:7])


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("the dog sat on", "E433"),
        (np.array([1, 99]), "E432"),
        ([["a", "b"]], "E610"),
        (3.5, "E610"),
    ],
)
def test_what_is_no_sequence_for_the_net_is_refused(folder: Path, given: object, code: str) -> None:
    model = chainrule.load(folder / "bag.net", device="plain")
    with pytest.raises(Failure) as caught:
        model.predict(given)
    assert caught.value.diagnostics[0].code == code


def test_weights_bring_their_vocabulary_and_sizes_where_the_data_are_gone(folder: Path) -> None:
    model = chainrule.load(folder / "bag.net", device="plain")
    model.fit(out=folder / "out")
    model.save(folder / "kept.safetensors")
    expected = model.predict("the cat")
    (folder / "story.txt").unlink()
    for name in ("out/model.safetensors", "out/checkpoint.safetensors", "kept.safetensors"):
        fresh = chainrule.load(folder / "bag.net", device="plain")
        fresh.load_weights(folder / name)
        assert fresh.vocabularies["text"] == model.vocabularies["text"]
        assert fresh.sizes == model.sizes
        np.testing.assert_array_equal(fresh.predict("the cat"), expected)


def test_other_texts_are_measured_with_the_nets_own_vocabulary(folder: Path) -> None:
    model = chainrule.load(folder / "bag.net", device="plain")
    model.fit(out=folder / "out")
    before = model.evaluate(part="valid")
    (folder / "story.txt").write_text("XYZ" + STORY[3:])
    fresh = chainrule.load(folder / "bag.net", device="plain")
    fresh.load_weights(folder / "out" / "model.safetensors")
    assert fresh.vocabularies == model.vocabularies
    # X, Y and Z are unknown, and the end of the text is what it was.
    assert (
        fresh.dataset is not None and fresh.dataset.train.array("text")[0, :3].tolist() == [0] * 3
    )
    assert fresh.evaluate(part="valid") == before


def test_weights_of_another_vocabulary_are_refused_once_data_are_in_use(folder: Path) -> None:
    chainrule.load(folder / "bag.net", device="plain").fit(out=folder / "out")
    (folder / "story.txt").write_text(STORY.replace("dog", "cow"))
    fresh = chainrule.load(folder / "bag.net", device="plain")
    assert fresh.dataset is not None
    with pytest.raises(Failure) as caught:
        fresh.load_weights(folder / "out" / "model.safetensors")
    assert caught.value.diagnostics[0].code == "E432"


# ---------------------------------------------------------------- the command line


def test_data_prints_examples_as_text(folder: Path) -> None:
    lines = run("data", folder / "bag.net").splitlines()
    assert lines[0].startswith("story: ")
    assert '  text  "the cat "' in lines and '  next  "he cat s"' in lines
    lines = run("data", folder / "adding.net").splitlines()
    assert any("5 to 7 steps" in line for line in lines)


def test_predict_reads_texts_and_writes_texts(folder: Path) -> None:
    run("train", folder / "bag.net", "-q", "--out", folder / "out", "--device", "plain")
    (folder / "asked.txt").write_text("the cat\nthe dog\n")
    (folder / "asked.csv").write_text("text\nthe cat\nthe dog\n")
    (folder / "asked.json").write_text('{"text": ["the cat", "the dog"]}')
    answers = []
    for end in ("txt", "csv", "json"):
        found = run("predict", folder / "bag.net", folder / f"asked.{end}",
                    "--out", folder / "out", "--device", "plain")  # fmt: skip
        rows = found.splitlines()
        assert rows[0].startswith("next,output[0],") and len(rows) == 3
        assert len(rows[1].split(",")[0]) == 7  # as many characters as were asked
        answers.append(found)
    assert answers[0] == answers[1] == answers[2]


STATEFUL = """
net rnn(units = 5) {
  input text: tokens[T, k]
  input next: tokens[T, k]
  scan x in one_hot(text) with h: [units] = 0 (stateful = true) {
    h = tanh(dense(units)(x) + dense(units)(h))
    yield h
  }
  scores = yielded -> dense(k)
  output scores
  loss cross_entropy(scores, next)
}
train rnn on text("story.txt", window = 8) {
  optimizer adam(lr = 1e-2)
  batch 4
  epochs 2
}
"""


def test_a_stateful_net_reads_on_where_the_batch_before_ended(folder: Path) -> None:
    found = {}
    for device, text in (
        ("cpu", STATEFUL),
        ("plain", STATEFUL),
        ("fresh", STATEFUL.replace("stateful = true", "stateful = false")),
    ):
        (folder / "rnn.net").write_text(text)
        model = chainrule.load(folder / "rnn.net", device="cpu" if device == "cpu" else "plain")
        found[device] = model.fit().rows[-1].values["loss"]
    assert found["cpu"] == pytest.approx(found["plain"], rel=1e-4)
    assert found["fresh"] != pytest.approx(found["plain"], rel=1e-3)


def test_rows_of_a_picture_are_the_steps_of_a_sequence() -> None:
    text = """
    net rows {
      input image: [T, 8]
      input digit: class[k]
      loss cross_entropy(image -> flatten -> dense(k), digit)
    }
    train rows on digits() {
      optimizer sgd(lr = 0.1)
      epochs 1
    }
    """
    model = chainrule.loads(text, device="plain")
    assert model.sizes == {"T": 8, "k": 10}
    model.fit(steps=2)


def test_inputs_that_share_a_clock_have_room_for_the_longest(folder: Path) -> None:
    text = ADDING.replace("tokens[S, k]", "tokens[T, k]")
    (folder / "adding.net").write_text(text)
    model = chainrule.load(folder / "adding.net", device="plain")
    assert model.sizes == {"T": 7, "k": 15, "v": 14}
    model.fit(steps=2)
