"""Weights that come from elsewhere: other programs' files, nets trained before, other models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import chainrule
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.checkpoint import load_weights, save
from chainrule.runtime.train.observer import Observer

PICTURES = """\
net pictures {
  input image: [2, 6, 6]
  input kind: class[3]
  features = image -> conv(4, 3, padding = valid) -> batchnorm -> relu
  scores   = features -> flat -> dense(3)
  output scores
  loss cross_entropy(scores, kind)
}
"""


class Heard(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def code(failure: pytest.ExceptionInfo[Failure]) -> str:
    return failure.value.diagnostics[0].code


# ---------------------------------------------------------------- PyTorch's layout


def pytorchs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The state of `Sequential(Conv2d(2, 4, 3), BatchNorm2d(4), ReLU, Flatten, Linear(64, 3))`."""
    shapes = {
        "0.weight": (4, 2, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,),
        "1.running_mean": (4,), "4.weight": (3, 64), "4.bias": (3,),
    }  # fmt: skip
    state = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    state["1.running_var"] = rng.uniform(0.5, 2, size=4).astype(np.float32)
    state["1.num_batches_tracked"] = np.array(7)
    return state


def forward(state: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """What PyTorch computes in use, as its documentation writes it."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    h = np.einsum("nchwij,ocij->nohw", windows, state["0.weight"])
    h += state["0.bias"][:, None, None]
    scale = state["1.weight"] / np.sqrt(state["1.running_var"] + 1e-5)
    h = (h - state["1.running_mean"][:, None, None]) * scale[:, None, None]
    h = np.maximum(0, h + state["1.bias"][:, None, None])
    return h.reshape(len(h), -1) @ state["4.weight"].T + state["4.bias"]


def test_weights_of_pytorch_load_by_the_map_that_is_proposed(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    state = pytorchs(rng)
    save_file(state, tmp_path / "torch.safetensors")
    model = chainrule.loads(PICTURES, device="plain")
    with pytest.raises(Failure) as caught:
        model.load(tmp_path / "torch.safetensors")
    assert code(caught) == "E548"
    proposed = caught.value.diagnostics[0].help.partition("map ")[2]
    names = dict(pair.strip().split(" = ") for pair in proposed.split(","))
    names = {a.strip('"'): b.strip('"') for a, b in names.items()}
    report = model.load(tmp_path / "torch.safetensors", names=names)
    assert len(report.matched) == 8 and report.kept == ()
    assert report.unused == ("1.num_batches_tracked",)
    images = rng.normal(size=(5, 2, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(model.predict(images), forward(state, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_converted(dtype: type, tmp_path: Path) -> None:
    model = chainrule.loads(PICTURES, device="plain")
    bias = np.array([0.5, -1.25, 3], dtype)
    save_file({"scores.b": bias}, tmp_path / "w.safetensors")
    model.load(tmp_path / "w.safetensors")
    found = model.parameters["scores.b"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, bias)


def raw(path: Path, name: str, kind: str, shape: list[int], data: bytes) -> None:
    """A safetensors file of one array, of an element type that NumPy has not."""
    entry = {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_bf16_is_converted_and_other_types_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    numbers = np.array([1.0, -2.5, 0.15625], np.float32)  # exact in eight bits
    raw(path, "scores.b", "BF16", [3], (numbers.view(np.uint32) >> 16).astype("<u2").tobytes())
    model = chainrule.loads(PICTURES, device="plain")
    model.load(path)
    np.testing.assert_array_equal(model.parameters["scores.b"], numbers)
    raw(path, "scores.b", "F8_E4M3", [3], b"abc")
    with pytest.raises(Failure) as caught:
        model.load(path)
    assert code(caught) == "E549" and "F8_E4M3" in str(caught.value)


# ---------------------------------------------------------------- from Python


def test_a_model_gives_a_part_of_itself_to_another() -> None:
    first = chainrule.loads(PICTURES, device="plain")
    first.parameters["features.W"] = np.full((4, 2, 3, 3), 0.5, np.float32)
    second = chainrule.loads(PICTURES.replace("[3]", "[5]").replace("dense(3)", "dense(5)"),
                             device="plain")  # fmt: skip
    with pytest.raises(Failure) as caught:
        second.load(first)
    assert code(caught) == "E549" and "[3]" in str(caught.value) and "[5]" in str(caught.value)
    report = second.load(first, names={"scores.*": None})
    assert (second.parameters["features.W"] == 0.5).all()
    assert "left out by the map: scores.W, scores.b" in str(report)
    assert [name for name, _ in report.kept] == ["scores.W", "scores.b"]


def test_arrays_load_as_a_file_does_and_a_failure_changes_nothing() -> None:
    model = chainrule.loads(PICTURES, device="plain")
    before = model.parameters["scores.b"].copy()
    with pytest.raises(Failure):
        model.load({"scores.b": np.ones(3, np.float32), "scores.W": np.ones((2, 2), np.float32)})
    np.testing.assert_array_equal(model.parameters["scores.b"], before)
    model.load({"bias": np.ones(3, np.float32)}, into="scores", names={"bias": "b"})
    assert (model.parameters["scores.b"] == 1).all()


# ---------------------------------------------------------------- load in train


LINE = """\
net line {
  input x: [2]
  input y: class[2]
  h = x -> dense(4) -> tanh
  p = h -> dense(2)
  output p
  loss cross_entropy(p, y)
}
train line on moons(n = 40) with x = point, y = label {
  LOAD
  optimizer sgd(lr = 0)
  epochs 1
}
"""


def written(folder: Path, load: str, text: str = LINE) -> Path:
    path = folder / "line.net"
    path.write_text(text.replace("LOAD", load))
    return path


def test_a_load_line_is_obeyed_before_the_first_step_and_reported(tmp_path: Path) -> None:
    weights = {"body.W": np.full((4, 2), 0.25, np.float32), "rest": np.zeros(1, np.float32)}
    save_file(weights, tmp_path / "w.safetensors")
    path = written(tmp_path, 'load "w.safetensors" into h map "body.W" = "W"')
    model, heard = chainrule.load(path, device="plain"), Heard()
    model.fit(observer=heard)
    assert (model.parameters["h.W"] == 0.25).all()
    assert heard.notes[0].endswith("w.safetensors into h: body.W → h.W")
    assert heard.notes[1:] == [
        "  not used of the file: rest",
        "  as initialised: h.b (no such name)",
    ]


def test_later_load_lines_go_over_earlier_ones(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        arrays = {n: np.full(s, value, np.float32) for n, s in (("h.W", (4, 2)), ("h.b", (4,)))}
        save_file(arrays, tmp_path / f"{name}.safetensors")
    path = written(tmp_path, 'load "a.safetensors"\n  load "b.safetensors" map "h.W" = none')
    model = chainrule.load(path, device="plain")
    model.fit()
    assert (model.parameters["h.W"] == 1).all() and (model.parameters["h.b"] == 2).all()


def test_a_second_fit_goes_on_and_loads_nothing_again(tmp_path: Path) -> None:
    save_file({"h.b": np.ones(4, np.float32)}, tmp_path / "w.safetensors")
    model = chainrule.load(written(tmp_path, 'load "w.safetensors"'), device="plain")
    model.fit()
    model.parameters["h.b"] = np.full(4, 7, np.float32)
    model.fit()
    assert (model.parameters["h.b"] == 7).all()


def test_a_checkpoint_gives_its_best_weights_and_not_the_optimizers(tmp_path: Path) -> None:
    arrays = {"h.b": np.zeros(4, np.float32), "best/h.b": np.ones(4, np.float32),
              "h.b.adam.m": np.full(4, 9, np.float32)}  # fmt: skip
    save(tmp_path / "c.safetensors", arrays, {"net": "line"})
    model = chainrule.load(written(tmp_path, ""), device="plain")
    report = model.load(tmp_path / "c.safetensors")
    assert (model.parameters["h.b"] == 1).all()
    assert report.unused == ()


def test_a_missing_file_is_told_at_the_line_with_those_that_there_are(tmp_path: Path) -> None:
    save_file({"h.b": np.ones(4, np.float32)}, tmp_path / "w.safetensors")
    model = chainrule.load(written(tmp_path, 'load "none.safetensors"'), device="plain")
    with pytest.raises(Failure) as caught:
        model.fit()
    (found,) = caught.value.diagnostics
    assert found.code == "E540" and found.span is not None and found.span.line == 10
    assert "beside the `.net` file, where there are `w.safetensors`" in found.help


def test_resuming_loads_nothing_again(tmp_path: Path) -> None:
    save_file({"h.b": np.ones(4, np.float32)}, tmp_path / "w.safetensors")
    path = written(tmp_path, 'load "w.safetensors"', LINE.replace("lr = 0)", "lr = 0.5)"))
    whole, cut = (chainrule.load(path, device="plain") for _ in range(2))
    whole.fit(epochs=2)
    cut.fit(epochs=1, out=tmp_path / "out")
    again, heard = chainrule.load(path, device="plain"), Heard()
    again.fit(epochs=2, out=tmp_path / "out", resume=True, observer=heard)
    assert not any("loaded" in note for note in heard.notes)
    for name in whole.parameters:
        np.testing.assert_array_equal(again.parameters[name], whole.parameters[name])


# ---------------------------------------------------------------- param … from


def test_a_parameter_from_a_file_may_name_its_array(tmp_path: Path) -> None:
    save_file(
        {"fc.weight": np.arange(6, dtype=np.float32).reshape(3, 2)}, tmp_path / "w.safetensors"
    )
    text = """net n {
      input x: [2]
      param W: [3, 2] from "w.safetensors:NAME"
      output W @ x
    }"""
    path = tmp_path / "n.net"

    def first(name: str) -> np.ndarray:
        path.write_text(text.replace("NAME", name))
        found: np.ndarray = chainrule.load(path, device="plain").parameters["W"]
        return found

    np.testing.assert_array_equal(
        first("fc.weight"), load_weights(tmp_path / "w.safetensors")["fc.weight"]
    )
    with pytest.raises(Failure) as caught:
        first("fc.wieght")
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("E543", "did you mean `fc.weight`?")
    path.write_text(text.replace(":NAME", ""))
    with pytest.raises(Failure) as caught:
        chainrule.load(path, device="plain").parameters["W"]
    (found,) = caught.value.diagnostics
    assert found.help == 'it holds `fc.weight`; name one: `from "w.safetensors:NAME"`'
    path.write_text(
        text.replace("NAME", "fc.weight").replace("[3, 2]", "[2, 3]").replace("@", "'@")
    )
    with pytest.raises(Failure) as caught:
        chainrule.load(path, device="plain").parameters["W"]
    assert "turned round" in caught.value.diagnostics[0].help
