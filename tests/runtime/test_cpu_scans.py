"""Recurrences on the CPU against the plain interpreter: random scans, all batches, all lengths."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scancases import Case

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply, build, constant, operation
from chainrule.compiler.ops.scan import bound
from chainrule.compiler.plan import Recurrence as Recurs
from chainrule.compiler.plan_check import PlanError, check_plan
from chainrule.compiler.scans.build import Recurrence, part
from chainrule.compiler.schedule import plan
from chainrule.compiler.types import Frame, Type
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Feed
from chainrule.runtime.export import export
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plan_oracle import PlanOracle

# steps, steps that the run has, capacity, batch
SIZES = ((4, 4, 3, 3), (1, 1, 2, 1), (5, 3, 40, 33), (6, 6, 64, 64), (7, 1, 12, 5))
DEVICES = [CpuDevice(1), CpuDevice(2)]


def _agree(case: Case, steps: int, taken: int, capacity: int, batch: int) -> None:
    made = plan(case.graph(steps), capacity)
    check_plan(made)
    given = case.given(steps, batch)
    wanted = case.expected(given, taken, batch)
    oracle = PlanOracle(made)
    runs = [(oracle, None), *((device.load(made), device) for device in DEVICES)]
    bits: dict[str, bytes] = {}
    for run, device in runs:
        if device is DEVICES[1]:
            run.share_everything()
        for name, array in given.items():
            run.write(name, array)
        for _ in range(2):
            run.run(batch, lengths={"T": taken})
        for name, array in wanted.items():
            frame = made.buffers[made.outputs[name]].type.frame
            found = run.read(name, batch)
            want = array
            if frame is not None or name.startswith("a"):
                want = array if frame is None else array.reshape(taken, batch, -1).swapaxes(0, 1)
                assert not found[:, taken:].any(), name
                found = found[:, :taken]
            tolerance = 1e-10 if case.dtype == "f64" else 3e-4
            np.testing.assert_allclose(
                found.reshape(want.shape), want, tolerance, tolerance, err_msg=f"{name} {device}"
            )
            if device is not None:
                assert bits.setdefault(name, found.tobytes()) == found.tobytes(), name


@pytest.mark.parametrize("seed", range(12))
def test_a_scan_gives_what_its_steps_give_one_after_another(seed: int) -> None:
    _agree(Case(seed), *SIZES[seed % len(SIZES)])


@pytest.mark.parametrize("seed", range(100, 108))
def test_a_step_may_reduce_over_the_batch_or_carry_what_examples_share(seed: int) -> None:
    _agree(Case(seed, mixed=True), *SIZES[seed % len(SIZES)])


@pytest.mark.parametrize("seed", range(200, 204))
def test_scans_in_single_precision(seed: int) -> None:
    _agree(Case(seed, "f32", mixed=seed % 2 == 0), *SIZES[seed % len(SIZES)])


def _summed(steps: int, units: int = 5) -> Graph:
    """A recurrent net whose loss is Σ h² over steps and examples, and a state that adds them up."""
    frame = Frame("T", steps)
    xs = leaf("input", "xs", Type((3,), "f64", True, frame=frame))
    ids = leaf("input", "ids", Type((), "i32", True, frame=frame))
    weights = leaf("param", "W", Type((3, units), "f64"))
    inner = leaf("param", "U", Type((units, units), "f64"))
    total = leaf("state", "total", Type((), "f64"))
    p = Recurrence(steps=steps, clock="T", framed=True)
    product = apply("einsum", xs, weights, spec="bi,ij->bj") + apply("cast", ids, dtype="f64")
    h, x = bound("h", Type((units,), "f64", True)), bound("x", Type((units,), "f64", True))
    w = bound("U", inner.type)
    zero = apply("broadcast", constant(0.0, "f64"), shape=(units,), batch=True)
    p.carries, p.sequences, p.shared = [(h, zero)], [(x, product)], [(w, inner)]
    p.next = [apply("tanh", x + apply("einsum", h, w, spec="bi,ij->bj"))]
    p.yields = p.next
    hs = part(p.value(), 1)
    squares = hs * hs
    loss = apply("sum", apply("sum", squares, axis=0), over="batch")
    count = build(operation("batch_size"), (), {"dtype": "f64"})
    outputs = (
        Output("loss", "loss", loss / count),
        Output("update", "total", total + loss, total),
    )
    kinds = {v.attrs["name"]: Leaf(v, v.op.name) for v in (xs, ids, weights, inner, total)}
    return Graph("summed", outputs, kinds)


def test_consecutive_steps_have_batches_and_lengths_of_their_own() -> None:
    steps, batch, lengths = 6, 20, np.array([6, 2, 1], np.int64)
    rng = np.random.default_rng(3)
    fields = {"xs": rng.normal(size=(60, steps, 3)),
              "ids": rng.integers(0, 3, (60, steps)).astype(np.int32)}  # fmt: skip
    weights = {"W": rng.normal(size=(3, 5)), "U": rng.normal(size=(5, 5)) * 0.4}
    rows = rng.permutation(60)[:50].astype(np.int64)  # the last batch has 10 examples
    wanted, total = [], 0.0
    for k, taken in enumerate(lengths):
        mine = rows[k * batch : (k + 1) * batch]
        given = {n: a[mine][:, :taken] for n, a in fields.items()}
        numbers = {**given, **weights, "total": np.float64(total)}
        found = run_graph(_summed(int(taken)), numbers, batch=len(mine))
        wanted.append(float(found["loss", "loss"]))
        total = float(found["update", "total"])
    for device in DEVICES:
        loaded = device.load(plan(_summed(steps), 40))
        if device is DEVICES[1]:
            loaded.share_everything()
        for name, array in weights.items():
            loaded.write(name, array)
        feed = Feed(fields, rows, batch, {}, {"T": lengths})
        np.testing.assert_allclose(loaded.run_steps(feed, seed=0, step=1)[:, 0], wanted, 1e-12)
        assert float(loaded.read("total")) == pytest.approx(total, rel=1e-12)


def test_two_scans_with_one_body_keep_their_own_intermediate_values() -> None:
    steps, batch = 3, 4
    x = leaf("input", "x", Type((5,), "f64", True, frame=Frame("T", steps)))
    w = leaf("param", "w", Type((5, 5), "f64"))
    h, b = (bound(n, Type((5,), "f64", True)) for n in "hb")
    v = bound("w", w.type)
    inner = apply("einsum", h, v, spec="bi,ij->bj")
    p = Recurrence(steps=steps, clock="T", framed=True)
    p.sequences, p.shared = [(b, x)], [(v, w)]
    p.next = [apply("tanh", apply("einsum", inner + b, v, spec="bi,ij->bj"))]
    outputs = []
    for k in range(2):
        first = constant(0.3 * k, "f64", (5,))
        p.carries = [(h, apply("broadcast", first, shape=(5,), batch=True))]
        outputs.append(Output("output", f"o{k}", part(p.value(), 0)))
    leaves = {n.attrs["name"]: Leaf(n, n.op.name) for n in (x, w)}
    graph = Graph("twins", tuple(outputs), leaves)
    made = plan(graph, batch)
    check_plan(made)
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(batch, steps, 5)), "w": rng.normal(size=(5, 5))}
    loaded = DEVICES[1].load(made)
    loaded.share_everything()
    for name, array in given.items():
        loaded.write(name, array)
    loaded.run(batch)
    for (_, name), array in run_graph(graph, given, batch=batch).items():
        np.testing.assert_allclose(loaded.read(name, batch), array, 1e-12)


def test_a_length_outside_of_the_plan_is_refused() -> None:
    loaded = DEVICES[0].load(plan(_summed(4), 2))
    for wrong in (0, 5):
        with pytest.raises(ValueError, match="1 to 4 steps"):
            loaded.run(1, lengths={"T": wrong})


def test_an_exported_recurrence_gives_the_same_numbers(tmp_path: Path) -> None:
    steps, batch = 4, 18
    case = Case(7)
    made = plan(case.graph(steps), 18)
    given = case.given(steps, batch)
    params = {b.name: given[b.name] for b in made.buffers if b.kind == "param"}
    export(made, params, tmp_path)
    sys.path.insert(0, str(tmp_path))
    try:
        found = importlib.import_module("scans").predict(
            **{n: a for n, a in given.items() if n not in params}
        )
    finally:
        sys.path.remove(str(tmp_path))
    wanted = case.expected(given, steps, batch)
    for name, array in found.items():
        framed = made.buffers[made.outputs[name]].type.frame is not None
        want = wanted[name].reshape(steps, batch, -1).swapaxes(0, 1) if framed else wanted[name]
        np.testing.assert_allclose(array.reshape(want.shape), want, 1e-9, 1e-9, err_msg=name)


def test_a_place_outside_of_its_buffer_is_found_before_it_is_used() -> None:
    made = plan(_summed(4), 3)
    index = next(k for k, x in enumerate(made.kernels) if isinstance(x, Recurs))
    kernel = made.kernels[index]
    assert isinstance(kernel, Recurs)
    spots = [replace(s, lead=1) if s.kind == "rows" else s for s in kernel.spots]
    spoilt = replace(kernel, spots=tuple(spots))
    kernels = (*made.kernels[:index], spoilt, *made.kernels[index + 1 :])
    with pytest.raises(PlanError, match="reaches element"):
        check_plan(replace(made, kernels=kernels))
