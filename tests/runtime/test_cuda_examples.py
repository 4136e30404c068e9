"""Whole steps on CUDA: random graphs and the dense examples, against interpreter and CPU.

The simulator's part runs in a process of its own; PTX needs neither GPU nor simulator.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import compile_plan, evaluation, load_module, step
from chainrule.compiler.plan import Plan
from chainrule.compiler.schedule import plan as schedule
from chainrule.runtime.device import Feed
from tests.runtime.cuda_plans import SIMULATOR, run_simulated
from tests.runtime.generativenets import GENERATIVE
from tests.runtime.recurrentnets import SEQUENCES, example_feed, example_graph, start_of

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.net"))
# What the simulator would take minutes for is compiled, not run; digits and lenet have own tests.
DEEP = ("alexnet", "lenet", "resnet", "vgg")
MAKERS = ("vae", "autoencoder", "denoising", "pretraining", "gan", "dcgan", "wgan", "transfer")
LARGE = ("mnist", "nielsen", "digits", *MAKERS, *DEEP)
DENSE = [p for p in EXAMPLES if not p.stem.startswith(DEEP) and p.stem not in SEQUENCES]
SMALL = [p for p in DENSE if not p.stem.startswith(LARGE)]


HEAD = """
  output softmax(s)
  loss cross_entropy(s, y)
}
train net1 on digits() {
  optimizer sgd(lr = 0.1)
  batch 3
}
"""
RESIDUAL = """
block unit(channels, stride = 1) {
  input x: [c, height, width]
  short = x -> conv(channels, 1, stride = stride, bias = false) -> batchnorm
  inner = x -> conv(channels, 3, stride = stride, bias = false) -> batchnorm -> relu
  far = inner -> conv(channels, 3, bias = false) -> batchnorm
  output relu(far + short)
}
"""
# Tiny nets of every kind of kernel that images need: text before `net`, then what becomes of x.
IMAGES = {
    "lenet": (
        "",
        """
  input x: [1, 12, 12]
  a = x -> conv(3, 5, padding = valid) -> tanh -> avg_pool(2)
  b = a -> conv(4, 3, padding = valid) -> tanh -> max_pool(2)
  s = b -> flatten -> dense(5) -> tanh -> dense(4)""",
    ),
    "resnet": (
        RESIDUAL,
        """
  input x: [2, 7, 8]
  a = x -> conv(3, 3) -> batchnorm -> relu -> max_pool(3, stride = 2, padding = 1)
  s = a -> unit(3) -> unit(4, stride = 2) -> global_avg_pool -> dense(4)""",
    ),
    "groups, dilation, dropout": (
        "",
        """
  input x: [4, 5, 4]
  a = x -> conv(4, 3, groups = 2, dilation = 2) -> relu -> depthwise_conv(3, stride = 2)
  b = a -> groupnorm(2) -> dropout(0.3) -> lrn(3) -> conv_transpose(2, 2, stride = 2)
  s = b -> upsample(2) -> flatten -> dense(4)""",
    ),
}


def image_net(name: str, folder: Path) -> Path:
    """The file of one of the tiny nets."""
    before, body = IMAGES[name]
    path = folder / "net1.net"
    path.write_text(f"{before}net net1 {{\n  input y: class[4]{body}{HEAD}", encoding="utf-8")
    return path


def generative_net(name: str, folder: Path) -> Path:
    """The file of one of the tiny generative nets."""
    path = folder / "net1.net"
    path.write_text(GENERATIVE[name], encoding="utf-8")
    return path


def training(path: Path, dtype: str = "f32") -> list[Graph]:
    """The training steps of every `train` of an example."""
    module = load_module(path)
    return [step(module, train, dtype=dtype) for train in module.trains]


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(p, id=p.stem) for p in paths]


if not SIMULATOR:
    from chainrule.runtime.cuda_modules import compile_ptx

    @pytest.mark.slow
    @pytest.mark.parametrize("name", SEQUENCES)
    def test_every_example_of_sequences_compiles_to_ptx(name: str) -> None:
        """Its cells compile for other capabilities in `test_cuda_scans.py`."""
        graph = example_graph(name, small=False)
        for ptx in compile_ptx(compile_plan(graph, 64), (9, 0)).values():
            assert ".entry" in ptx and not re.search(r"\.f64", ptx), "f32 must not widen"

    def test_whole_steps_agree_in_the_simulator() -> None:
        run_simulated(__file__)

    @pytest.mark.slow
    def test_lenet_and_deep_steps_agree_in_the_simulator() -> None:
        run_simulated(__file__, slow=True)

    @pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
    def test_the_digits_example_compiles_to_ptx(cc: tuple[int, int]) -> None:
        (graph,) = training(next(p for p in EXAMPLES if p.stem == "digits"))
        for ptx in compile_ptx(compile_plan(graph, 32), cc).values():
            assert f".target sm_{cc[0]}{cc[1]}" in ptx

    @pytest.mark.slow
    @pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
    @pytest.mark.parametrize("name", IMAGES)
    def test_image_nets_compile_to_ptx(name: str, cc: tuple[int, int], tmp_path: Path) -> None:
        (graph,) = training(image_net(name, tmp_path))
        for ptx in compile_ptx(compile_plan(graph, 64), cc).values():
            assert ".entry" in ptx and not re.search(r"\.f64", ptx), "f32 must not widen"

    @pytest.mark.slow
    @pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
    @pytest.mark.parametrize("path", named(DENSE))
    def test_every_dense_example_compiles_to_ptx(path: Path, cc: tuple[int, int]) -> None:
        module = load_module(path)
        graphs = [*training(path), *(evaluation(module, t.name.id) for t in module.trains)]
        for graph in graphs:
            for ptx in compile_ptx(compile_plan(graph, 64), cc).values():
                assert ".entry" in ptx and not re.search(r"\.f64", ptx), "f32 must not widen"

    @pytest.mark.parametrize("name", GENERATIVE)
    def test_generative_nets_compile_to_ptx(name: str, tmp_path: Path) -> None:
        (graph,) = training(generative_net(name, tmp_path))
        for ptx in compile_ptx(compile_plan(graph, 64), (9, 0)).values():
            assert ".entry" in ptx and not re.search(r"\.f64", ptx), "f32 must not widen"

else:
    from chainrule.runtime.cpu import CpuDevice
    from chainrule.runtime.cuda import CudaDevice
    from chainrule.runtime.plain import run_graph
    from chainrule.runtime.plan_oracle import PlanOracle
    from tests.compiler.plancase import Builder, numbers

    def given_to(plan: Plan, seed: int) -> dict[str, np.ndarray]:
        """Starting numbers for params and states, in the user's orientation."""
        rng = np.random.default_rng(seed)
        found = {}
        for b in plan.buffers:
            if b.kind == "param":
                shape = b.user_shape
                found[b.name] = rng.normal(0, 0.2, shape).astype(b.type.numpy)
            elif b.kind == "state":
                shape = b.user_shape
                found[b.name] = np.full(shape, "variance" in b.name, b.type.numpy)
        return found

    def examples_for(graph: Graph, count: int) -> dict[str, np.ndarray]:
        """Random examples for every input."""
        rng = np.random.default_rng(3)
        fields = {}
        for leaf in graph.inputs:
            t = leaf.value.type
            shape = (count, *t.shape)
            fields[leaf.name] = (
                rng.integers(0, t.classes or 2, shape).astype(t.numpy)
                if not t.is_float
                else rng.random(shape).astype(t.numpy)
            )
        return fields

    def compare_with_the_cpu(graph: Graph, batch: int, count: int) -> None:
        """Consecutive steps give the same records, params and states."""
        plan = compile_plan(graph, batch)
        start, fields = given_to(plan, 1), examples_for(graph, count)
        fed = {n: a for n, a in fields.items() if n in plan.index_of}
        order = np.random.default_rng(4).permutation(count)
        scalars = {
            b.name: np.linspace(0.5, 1, -(-count // batch))
            for b in plan.buffers
            if b.kind == "scalar" and b.name != "step"
        }
        records, after = [], []
        for device in (CpuDevice(1), CudaDevice()):
            loaded = device.load(plan)
            for name, values in start.items():
                loaded.write(name, values)
            records.append(loaded.run_steps(Feed(fed, order, batch, scalars), seed=6, step=1))
            after.append({name: loaded.read(name) for name in start})
        np.testing.assert_allclose(records[1], records[0], rtol=1e-5, atol=1e-6)
        for name in start:
            np.testing.assert_allclose(
                after[1][name], after[0][name], rtol=1e-5, atol=1e-5, err_msg=name
            )

    def compare_with_the_interpreter(graph: Graph, batch: int) -> None:
        """Two whole steps give the same records, params and states as the readable graph: in f64,
        for Adam makes a large step of what is left where gradients cancel."""
        plan = compile_plan(graph, batch)
        values, fields = given_to(plan, 1), examples_for(graph, batch)
        loaded = CudaDevice().load(plan)
        for name, array in {**values, **fields}.items():
            if name in plan.index_of:
                loaded.write(name, array)
        for number in (1, 2):
            given = {**values, **fields}
            found = run_graph(graph, given, batch=batch, seed=6, step=number)
            told = {name: float(a) for (kind, name), a in found.items() if kind != "update"}
            values |= {name: a for (kind, name), a in found.items() if kind == "update"}
            assert loaded.run(batch, seed=6, step=number) == pytest.approx(told, 1e-8, 1e-9)
        for name, want in values.items():
            np.testing.assert_allclose(loaded.read(name), want, 1e-8, 1e-9, err_msg=name)

    @pytest.mark.parametrize("name", GENERATIVE)
    def test_steps_of_generative_nets_equal_the_cpu_and_the_interpreter(
        name: str, tmp_path: Path
    ) -> None:
        path = generative_net(name, tmp_path)
        (graph,) = training(path)
        compare_with_the_cpu(graph, batch=3, count=5)
        (graph,) = training(path, "f64")
        compare_with_the_interpreter(graph, batch=3)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", SEQUENCES)
    def test_two_steps_of_an_example_of_sequences_equal_the_cpu(name: str) -> None:
        graph = example_graph(name, small=True)
        plan = compile_plan(graph, 3)
        start, feed, found = start_of(plan, graph), example_feed(plan, 5), []
        for device in (CudaDevice(), CpuDevice(1)):
            loaded = device.load(plan)
            for key, values in start.items():
                loaded.write(key, values)
            records = loaded.run_steps(feed, seed=3, step=1)
            assert len(records) == 2
            found.append({"records": records, **{key: loaded.read(key) for key in start}})
        for key, want in found[1].items():
            np.testing.assert_allclose(found[0][key], want, 1e-5, 1e-5, err_msg=key)

    def test_three_steps_of_the_digits_example_equal_the_cpu() -> None:
        (graph,) = training(next(p for p in EXAMPLES if p.stem == "digits"))
        compare_with_the_cpu(graph, batch=8, count=21)  # the last batch is short

    @pytest.mark.parametrize("name", IMAGES)
    def test_two_steps_of_tiny_image_nets_equal_the_plans_meaning(
        name: str, tmp_path: Path
    ) -> None:
        (graph,) = training(image_net(name, tmp_path))
        plan, batch = compile_plan(graph, 3), 3
        loaded, oracle = CudaDevice().load(plan), PlanOracle(plan)
        given = {**given_to(plan, 1), **examples_for(graph, batch)}
        for name, values in given.items():
            if name in plan.index_of:
                b = plan.buffer(name)
                loaded.write(name, values)
                oracle.write(name, values if b.type.batched else b.stored(values))
        for step in (1, 2):
            found = loaded.run(batch, seed=6, step=step)
            assert found == pytest.approx(oracle.run(batch, seed=6, step=step), rel=1e-5)
        for name in given_to(plan, 1):
            b = plan.buffer(name)
            np.testing.assert_allclose(
                loaded.read(name), b.seen(oracle.read(name)), rtol=1e-5, atol=1e-5, err_msg=name
            )

    @pytest.mark.slow
    @pytest.mark.parametrize("name", IMAGES)
    def test_two_steps_of_tiny_image_nets_equal_the_cpu(name: str, tmp_path: Path) -> None:
        (graph,) = training(image_net(name, tmp_path))
        compare_with_the_cpu(graph, batch=3, count=5)

    @pytest.mark.slow
    def test_a_step_of_lenet_equals_the_cpu() -> None:
        (graph,) = training(next(p for p in EXAMPLES if p.stem == "lenet"))
        compare_with_the_cpu(graph, batch=1, count=1)

    @pytest.mark.parametrize("path", named(SMALL))
    def test_two_steps_of_every_small_example_equal_the_cpu(path: Path) -> None:
        for graph in training(path):
            compare_with_the_cpu(graph, batch=3, count=5)

    @pytest.mark.parametrize("seed", range(12))
    def test_random_graphs_equal_the_interpreter(seed: int) -> None:
        graph = Builder(seed, 12).graph()
        batch = 3
        loaded = CudaDevice().load(schedule(graph, 4))
        given = numbers(graph, batch)
        for name, values in given.items():
            if name in loaded.plan.index_of:
                loaded.write(name, values)
        loaded.run(batch, seed=5, step=2)
        expected = run_graph(graph, given, batch=batch, seed=5, step=2)
        for o in graph.outputs:
            name = str(o.target.attrs["name"]) if o.kind == "update" and o.target else o.name
            want = expected[o.kind, o.name]
            found = loaded.read(name, batch).reshape(want.shape)
            np.testing.assert_allclose(
                found, want, rtol=1e-9, atol=1e-9, err_msg=f"{o.kind} {o.name}"
            )
