"""Recurrences on CUDA: in the simulator they agree with the interpreter and the CPU, and compile to
PTX without a word of f64."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.emit.cuda import emit
from chainrule.compiler.emit.cuda_launch import CudaLaunch, CudaLoop
from chainrule.compiler.pipeline import compile_plan, gradients, step
from chainrule.compiler.plan import Plan
from chainrule.compiler.schedule import plan
from chainrule.compiler.types import Frame
from chainrule.dsl.source import Source
from chainrule.runtime.cuda_modules import compile_ptx
from chainrule.runtime.device import Feed, Loaded
from chainrule.runtime.plain import evaluate
from tests.randomscans import SIZES as NAMED
from tests.randomscans import given_for, random_scans
from tests.runtime.cuda_plans import SIMULATOR, run_simulated
from tests.runtime.recurrentnets import (
    CELLS,
    STEPS,
    cell_graph,
    cell_plan,
    inputs,
    params,
)
from tests.runtime.scancases import Case

QUICK = "lstm"

if not SIMULATOR:

    def test_recurrences_agree_in_the_simulator() -> None:
        run_simulated(__file__)

    @pytest.mark.slow
    def test_many_recurrences_agree_in_the_simulator() -> None:
        run_simulated(__file__, slow=True)

    def check_ptx(made: Plan, cc: tuple[int, int]) -> None:
        for name, ptx in compile_ptx(made, cc).items():
            assert f".target sm_{cc[0]}{cc[1]}" in ptx and ".entry" in ptx, name
            assert not re.search(r"\.f64", ptx), name

    def test_a_recurrent_net_compiles(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
        check_ptx(cell_plan("rnn", 64), (9, 0))

    @pytest.mark.slow
    @pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
    @pytest.mark.parametrize("name", CELLS)
    def test_every_recurrent_cell_compiles(name, cc, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
        check_ptx(cell_plan(name, 64), cc)

    def test_texts_do_not_depend_on_the_number_of_steps() -> None:
        few, many = (emit(plan(Case(4).graph(n), 8)) for n in (4, 7))
        kinds = [{k.name.partition("_")[0] for k in p.kernels} for p in (few, many)]
        assert kinds[0] == kinds[1] and "along" in kinds[0]
        assert len(few.kernels) == len(many.kernels) and len(few.launches) == len(many.launches)

    def test_a_run_of_fewer_steps_makes_fewer_calls_on_places_of_its_own() -> None:
        program = emit(cell_plan("rnn", 64))
        whole, short = program.run(5), program.run(5, [1, 2])
        turns = [len(e.parts[1]) for e in program.launches if isinstance(e, CudaLoop)]
        assert len(program.frames) == 1 and len(turns) == 2
        assert len(whole.calls) - len(short.calls) == (STEPS - 2) * sum(turns)
        assert {c.batch for c in short.calls} >= {5, 2 * 5}  # of a step, and of all of them

    @pytest.mark.parametrize("reverse", [False, True])
    def test_places_move_from_step_to_step(reverse: bool) -> None:
        """Rows by the examples that there are, elements of an axis, two halves in turn."""
        examples, turns = 5, 6
        programs = [emit(plan(Case(seed).graph(turns), 8)) for seed in range(12)]
        loops = [
            (program.run(examples), loop)
            for program in programs
            for loop in program.launches
            if isinstance(loop, CudaLoop) and loop.reverse == reverse
        ]
        seen: set[str] = set()
        for run, loop in loops:
            if any(isinstance(e, CudaLoop) for e in loop.parts[1]):
                continue
            first, count = len(loop.parts[0]), len(loop.parts[1])
            calls = [c for c in run.calls if c.of == loop.of][first : first + turns * count]
            for number, launch in enumerate(loop.parts[1]):
                assert isinstance(launch, CudaLaunch)
                mine, spots = calls[number::count], loop.spots
                assert {c.kernel for c in mine} == {launch.kernel}
                for slot, spot in enumerate(map(spots.__getitem__, launch.slots)):
                    found = np.array([run.table[c.at + slot] for c in mine])
                    seen.add(spot.kind)
                    size = spot.type.size * spot.type.numpy.itemsize
                    rows = size * (examples if spot.type.batched else 1)
                    if spot.kind == "ring":
                        assert (found[2:] == found[:-2]).all()
                        assert abs(found[1] - found[0]) == rows
                        continue
                    step = {"rows": rows, "axis": size, "still": 0}[spot.kind]
                    assert (np.diff(found) == (-step if reverse else step)).all(), spot
        assert seen == {"rows", "ring", "axis", "still"}

else:
    from chainrule.runtime.cpu import CpuDevice
    from chainrule.runtime.cuda import CudaDevice

    # steps, steps that the run has, capacity, batch
    SIZES = ((4, 4, 3, 3), (1, 1, 2, 1), (5, 3, 7, 5), (3, 2, 4, 4))

    def slow(count: int, *quick: int) -> list[object]:
        """Seeds, of which some are quick enough for every day."""
        return [k if k in quick else pytest.param(k, marks=pytest.mark.slow) for k in range(count)]

    def check_case(case: Case, many: int, taken: int, capacity: int, batch: int) -> None:
        made = plan(case.graph(many), capacity)
        given = case.given(many, batch)
        loaded = CudaDevice().load(made)
        for name, array in given.items():
            loaded.write(name, array)
        loaded.run(batch, lengths={"T": many})
        loaded.run(batch, lengths={"T": taken})
        for name, want in case.expected(given, taken, batch).items():
            framed = made.buffers[made.outputs[name]].type.frame is not None
            found = loaded.read(name, batch)
            if framed or name.startswith("a"):
                want = want.reshape(taken, batch, -1).swapaxes(0, 1) if framed else want
                assert not found[:, taken:].any(), name
                found = found[:, :taken]
            tolerance = 1e-10 if case.dtype == "f64" else 3e-4
            np.testing.assert_allclose(
                found.reshape(want.shape), want, tolerance, tolerance, err_msg=name
            )

    @pytest.mark.parametrize("seed", slow(16, 0, 2, 3))
    def test_a_scan_gives_what_its_steps_give_one_after_another(seed: int) -> None:
        check_case(Case(seed), *SIZES[seed % 4])

    @pytest.mark.parametrize("seed", slow(12, 0, 3))
    def test_a_step_may_reduce_over_the_batch_or_carry_what_examples_share(seed: int) -> None:
        check_case(Case(100 + seed, mixed=True), *SIZES[seed % 4])

    @pytest.mark.parametrize("seed", slow(4, 1))
    def test_scans_in_single_precision(seed: int) -> None:
        check_case(Case(200 + seed, "f32", mixed=seed % 2 == 0), *SIZES[seed % 4])

    @pytest.mark.parametrize("seed", slow(12, 0))
    def test_gradients_of_random_recurrent_nets_equal_the_interpreter(seed: int) -> None:
        module = parse_module(Source("random.net", random_scans(seed)))
        graph = gradients(forward(module, "random", training=True, dtype="f64", sizes=NAMED))
        numbers = given_for(seed, 3)
        given = {**params(graph, seed), **{f.name: numbers[f.name] for f in graph.inputs}}
        loaded = CudaDevice().load(compile_plan(graph, 4))
        write(loaded, given)
        loaded.run(3, seed=4, step=1)
        values = evaluate([o.value for o in graph.outputs], given, batch=3, seed=4)
        compared = 0
        for o, want in zip(graph.outputs, values, strict=True):
            if o.name in loaded.plan.outputs:
                found = loaded.read(o.name, 3 if o.value.type.batched else None)
                np.testing.assert_allclose(found, want, 1e-9, 1e-11, err_msg=o.name)
                compared += 1
        assert compared >= len(graph.params)

    def write(loaded: Loaded, given: dict[str, np.ndarray]) -> None:
        """What the plan asks for: what no gradient needs is not in it."""
        for name, array in given.items():
            if name in loaded.plan.index_of:
                loaded.write(name, array)

    @pytest.mark.parametrize(
        "name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CELLS]
    )
    def test_a_cell_of_the_library_agrees_with_the_cpu(name: str) -> None:
        graph, made = cell_graph(name), cell_plan(name, 5)
        runs = [device.load(made) for device in (CudaDevice(), CpuDevice(1))]
        for lengths in ({}, {"T": STEPS - 1}):
            given = {**params(graph), **inputs(3)}
            given["xs.length"] = np.minimum(given["xs.length"], lengths.get("T", STEPS))
            found = []
            for loaded in runs:
                write(loaded, given)
                recorded = loaded.run(3, seed=2, step=3, lengths=lengths)
                found.append({**recorded, **{n: loaded.read(n) for n in made.outputs}})
            assert found[0].keys() == found[1].keys() and len(found[0]) > 3
            for key, want in found[1].items():
                np.testing.assert_allclose(found[0][key], want, 1e-5, 1e-5, err_msg=key)

    def carrying() -> Plan:
        """A training step with a value that each row carries from batch to batch."""
        text = """
net adding {
  input xs: [T, 2]
  input y: []
  param W: [3, 2] ~ glorot
  scan x in xs with h: [3] = 0 (stateful = true, mask = mask(xs)) {
    h = tanh(0.5 * h + W @ x)
    yield h
  }
  loss squared_error(sum(h) + sum(yielded), y)
}
train adding on pairs { optimizer sgd(lr = 0.1) }
"""
        module = parse_module(Source("adding.net", text))
        train = module.trains[0]
        graph = step(module, train, sizes={"T": STEPS})
        return compile_plan(graph, 4)

    def test_steps_have_batches_and_lengths_of_their_own_and_rows_carry_values() -> None:
        made = carrying()
        rng = np.random.default_rng(0)
        n, lengths = 11, np.array([4, 2, 3], np.int64)
        counts = np.array([4, 1, 3, 2, 2, 1, 1, 2, 3, 1, 3], np.int32)
        fields = {
            "xs": rng.normal(size=(n, STEPS, 2)).astype(np.float32),
            "y": rng.normal(size=n).astype(np.float32),
            "xs.length": counts,
        }
        weight = rng.normal(size=(3, 2)).astype(np.float32)
        feed = Feed(fields, np.arange(n, dtype=np.int64), 4, {}, {"T": lengths})
        found = []
        for device in (CudaDevice(), CpuDevice(1)):
            loaded = device.load(made)
            loaded.write("W", weight)
            kept = loaded.snapshot()
            first = loaded.run_steps(feed, seed=1, step=1)
            state = next(b.name for b in made.buffers if b.kind == "state" and b.type.batched)
            after = loaded.read(state, 4)
            assert after.any(axis=1).all()
            loaded.restore(kept)
            assert not loaded.read(state, 4).any()
            again = loaded.run_steps(feed, seed=1, step=1)
            np.testing.assert_array_equal(first, again)
            found.append((first, loaded.read("W"), after))
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)

    def test_the_tables_of_few_sizes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("chainrule.runtime.cuda.TABLES", 2)
        case = Case(1)
        loaded = CudaDevice().load(plan(case.graph(3), 3))
        given = case.given(3, 2)
        write(loaded, given)
        for taken in (3, 1, 2, 3, 2):
            loaded.run(2, lengths={"T": taken})
        number = loaded._program.frames.index(Frame("T", 3)) + 1
        assert [steps[number] for _, *steps in loaded._tables] == [3, 2]
        for name, want in case.expected(given, 2, 2).items():
            found = loaded.read(name, 2)
            if not name.startswith("a") and found.shape == want.shape:
                np.testing.assert_allclose(found, want, 1e-10, 1e-10, err_msg=name)

    def test_a_length_outside_of_the_plan_is_refused() -> None:
        loaded = CudaDevice().load(plan(Case(1).graph(3), 2))
        for wrong in (0, 4):
            with pytest.raises(ValueError, match="1 to 3 steps"):
                loaded.run(1, lengths={"T": wrong})
