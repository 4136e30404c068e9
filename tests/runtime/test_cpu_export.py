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
from chainrule.runtime.session import Session, initial_values, part_of

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


GAN = """
net small {
  input x: [7]
  G = dense(7)
  D = dense(1)
  fake = G(normal([3]))
  output fake
  loss d_loss = mean(softplus(-D(x))) + mean(softplus(D(fake)))
  loss g_loss = mean(softplus(-D(fake)))
}
train small on digits() {
  repeat 2 minimize d_loss over D with adam(lr = 0.1)
  minimize g_loss over G with adam(lr = 0.1)
  schedule cosine
  batch 4
}
"""


def test_an_exported_step_of_two_losses_with_draws_is_that_of_the_device(tmp_path: Path) -> None:
    """What a schedule multiplies the learning rate by is 1 in a package."""
    module = parse_module(Source("small.net", GAN))
    graph = step(module, module.trains[0])
    plan = compile_plan(graph, 4)
    start = initial_values(graph, 3)
    export(plan, start, tmp_path)
    loaded = CpuDevice(threads=1).load(plan)
    for name, array in {**start, "x": X[:4], "rate": np.float32(1)}.items():
        loaded.write(name, array)
    told = [loaded.run(4, seed=5, step=k + 1) for k in range(2)]
    assert not np.allclose(loaded.read("G.W"), start["G.W"])
    np.save(tmp_path / "x.npy", X[:4])
    shown = outside(
        tmp_path,
        "x = np.load('x.npy')\n"
        "print([small.step(seed=5, x=x) for _ in range(2)])\n"
        "np.savez('G.npz', *map(small.program().read, ('G.W', 'D.W')))\n",
    )
    assert shown.strip() == str(told)
    found = np.load(tmp_path / "G.npz")
    np.testing.assert_array_equal(found["arr_0"], loaded.read("G.W"))
    np.testing.assert_array_equal(found["arr_1"], loaded.read("D.W"))


def test_an_exported_generator_draws_as_many_as_it_is_asked_for(tmp_path: Path) -> None:
    module = parse_module(Source("small.net", GAN))
    graph = part_of(evaluation(module), "output")
    start = initial_values(graph, 3)
    export(compile_plan(graph, 4), start, tmp_path)
    shown = outside(
        tmp_path,
        "a, b, c = (small.predict(6, seed=s)['output'] for s in (1, 2, 1))\n"
        "print(a.shape, (a == b).any(), (a == c).all())\n"
        "np.save('a.npy', a)\n",
    )
    assert shown.split("\n")[0] == "(6, 7) False True"
    session = Session(graph, CpuDevice(threads=2), values=start)
    expected = session.compute("predict", lambda: graph, {}, count=6, batch=4, seed=1)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected["output"])


@pytest.mark.parametrize(
    ("name", "word"), [("digits", "digits"), ("3d", "net_3d"), ("a/../b", "a____b"), ("", "net")]
)
def test_a_package_has_a_name_that_python_takes(name: str, word: str) -> None:
    assert identifier(name) == word and word.isidentifier()
