"""An exported package gives what the device gives, without chainrule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.pipeline import compile_plan, evaluation, parse_module, step
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.export import export, identifier

TEXT = """
net small {
  input x: [7]
  input y: class[3]
  z = x -> dense(3)
  output softmax(z)
  loss cross_entropy(z, y)
}
train small on digits() {
  optimizer momentum(lr = 0.1)
  batch 4
}
"""
RNG = np.random.default_rng(2)
WEIGHTS = {"z.W": RNG.normal(size=(3, 7)).astype("f4"), "z.b": RNG.normal(size=3).astype("f4")}
X = RNG.normal(size=(10, 7)).astype("f4")
Y = RNG.integers(0, 3, 10).astype("i4")


def outside(folder: Path, code: str) -> str:
    """What a process prints that cannot import chainrule."""
    head = "import sys; sys.modules['chainrule'] = None; import numpy as np, small\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", head + code], cwd=folder, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_exported_net_predicts_without_chainrule(tmp_path: Path) -> None:
    module = parse_module(Source("small.net", TEXT))
    plan = compile_plan(evaluation(module, kinds=("output",)), 4)
    files = export(plan, WEIGHTS, tmp_path)
    assert all(f.is_file() and tmp_path in f.parents for f in files)
    assert (tmp_path / "small" / "README.md").read_text().startswith("# small")
    np.savez(tmp_path / "x.npz", x=X)
    shown = outside(
        tmp_path,
        "found = small.predict(x=np.load('x.npz')['x'])\n"
        "np.savez('found.npz', *found.values())\n"
        "try:\n    small.predict(x=np.zeros((2, 8)))\n"
        "except ValueError as error:\n    print(error)\n",
    )  # fmt: skip
    assert shown == "`x` takes shape [2, 7], got [2, 8]\n"
    scores = X @ WEIGHTS["z.W"].T + WEIGHTS["z.b"]
    e = np.exp(scores - scores.max(1, keepdims=True))
    found = np.load(tmp_path / "found.npz")["arr_0"]
    np.testing.assert_allclose(found, e / e.sum(1, keepdims=True), rtol=2e-6)


def test_an_exported_step_trains_without_chainrule(tmp_path: Path) -> None:
    module = parse_module(Source("small.net", TEXT))
    graph = step(module, module.trains[0])
    plan = compile_plan(graph, 4)
    export(plan, WEIGHTS, tmp_path)
    loaded = CpuDevice(threads=1).load(plan)
    for name, array in WEIGHTS.items():
        loaded.write(name, array)
    losses = []
    for k in range(3):
        loaded.write("x", X[:4])
        loaded.write("y", Y[:4])
        losses.append(loaded.run(4, step=k + 1)["loss"])
    np.savez(tmp_path / "data.npz", x=X[:4], y=Y[:4])
    shown = outside(
        tmp_path,
        "d = np.load('data.npz')\n"
        "print([small.step(x=d['x'], y=d['y'])['loss'] for _ in range(3)])\n"
        "np.save('W.npy', small.program().read('z.W'))\n",
    )  # fmt: skip
    assert shown.strip() == str(losses)
    np.testing.assert_array_equal(np.load(tmp_path / "W.npy"), loaded.read("z.W"))


@pytest.mark.parametrize(
    ("name", "word"), [("digits", "digits"), ("3d", "net_3d"), ("a/../b", "a____b"), ("", "net")]
)
def test_a_package_has_a_name_that_python_takes(name: str, word: str) -> None:
    assert identifier(name) == word and word.isidentifier()
