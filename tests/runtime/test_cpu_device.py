"""The CPU device: its memory, many steps in one call, its cache, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_plans import Arena, elementwise, loops, product, whole

from chainrule.compiler.plan import Access, Extent, Fold, Let, Matrix, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime import cpu, threads
from chainrule.runtime.cpu import CpuDevice, CpuLoaded
from chainrule.runtime.device import Feed

SIZE, UNITS = 19, 5


def regression(capacity: int = 8) -> Plan:
    """One step of least squares: e = x W − y, loss = Σ e²/m, W ← W − rate·xᵀe, seen += 1."""
    arena = Arena(capacity)
    x = arena.add("x", (SIZE,), "input", batched=True)
    y = arena.add("y", (UNITS,), "input", batched=True)
    w = arena.add("W", (SIZE, UNITS), "param", order=(1, 0))
    seen = arena.add("seen", (), "state")
    rate = arena.add("rate", (), "scalar")
    arena.add("step", (), "scalar")
    e = arena.add("e", (UNITS,), "temp", batched=True)
    loss = arena.add("loss")
    sum_ = Access(-1, "f32", ())
    forward = product(
        (x, w, y, e), (Extent(1, True), Extent(UNITS), Extent(SIZE)),
        Matrix(0, (SIZE,), (1,)), Matrix(1, (UNITS,), (1,)),
        Stage((-1, -1), (sum_, Access(2, "f32", (UNITS, 1))),
              (Let(Call("sub", Element(0), Element(1)), "f32"),),
              (Write(Access(3, "f32", (UNITS, 1)), Temp(0)),)),
    )  # fmt: skip
    squares = Stage(
        (UNITS,), (whole(0, (UNITS,)),),
        (Let(Call("square", Element(0)), "f32"), Let(Call("batch"), "f32"),
         Let(Call("div", Temp(0), Temp(1)), "f32")),
        (), (Fold(Access(1, "f32", ()), Temp(2), "sum", 1, batch=True),),
    )  # fmt: skip
    place = Access(2, "f32", (UNITS, 1))
    update = product(
        (x, e, w, rate), (Extent(SIZE), Extent(UNITS), Extent(1, True)),
        Matrix(0, (1,), (SIZE,)), Matrix(1, (UNITS,), (1,)),
        Stage((-1, -1), (sum_, place, Access(3, "f32", (0, 0))),
              (Let(Call("mul", Element(2), Element(0)), "f32"),
               Let(Call("sub", Element(1), Temp(0)), "f32")),
              (Write(place, Temp(1)),)),
    )  # fmt: skip
    count = elementwise((seen, seen), (), (whole(0, (), batched=False),),
                        whole(1, (), batched=False),
                        (Call("add", Element(0), Literal(1.0)), "f32"), batched=False)  # fmt: skip
    total = loops((e, loss), squares, batched=False, over=True)
    return arena.plan(forward, total, update, count, recorded=("loss",))


def data(examples: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, SIZE)).astype(np.float32)
    return {"x": x, "y": rng.normal(size=(examples, UNITS)).astype(np.float32)}


def started(threads: int = 1) -> CpuLoaded:
    loaded = CpuDevice(threads=threads).load(regression())
    loaded.share_everything()
    loaded.write("W", np.linspace(-1, 1, SIZE * UNITS).reshape(UNITS, SIZE))
    return loaded


def feed(fields: dict[str, np.ndarray], rows: np.ndarray, batch: int = 8) -> Feed:
    steps = -(-len(rows) // batch)
    return Feed(fields, rows, batch, {"rate": np.linspace(0.01, 0.02, steps)})


def test_many_steps_in_one_call_are_the_steps_one_by_one() -> None:
    fields, rows = data(), np.random.default_rng(1).integers(0, 20, 52)
    many = started()
    records = many.run_steps(feed(fields, rows), seed=1, step=3)
    assert records.shape == (7, 1)
    single = started()
    for k in range(7):
        part = rows[8 * k : 8 * k + 8]  # the last step has 4 examples
        single.write("x", fields["x"][part])
        single.write("y", fields["y"][part])
        single.write("rate", np.float32(np.linspace(0.01, 0.02, 7)[k]))
        assert single.run(len(part), step=3 + k) == {"loss": records[k, 0]}
    np.testing.assert_array_equal(single.read("W"), many.read("W"))
    assert many.read("step") == 9
    assert many.read("seen") == 7


def test_steps_follow_numpy_in_f64() -> None:
    fields, rows = data(), np.arange(16)
    loaded = started()
    w = loaded.read("W").T.astype(np.float64)
    records = loaded.run_steps(feed(fields, rows), seed=1, step=1)
    for k, rate in enumerate((0.01, 0.02)):
        x, y = fields["x"][8 * k : 8 * k + 8], fields["y"][8 * k : 8 * k + 8]
        error = x @ w - y
        assert records[k, 0] == pytest.approx((error**2).sum() / 8, rel=1e-5)
        w -= rate * x.T @ error
    np.testing.assert_allclose(loaded.read("W").T, w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", [cpu.PART, 1.0])
@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(
    count: int, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share for each thread, and with more parts than threads, taken by who is free."""
    monkeypatch.setattr(cpu, "PART", part)
    fields, rows = data(), np.arange(400) % 20
    one, more = started(), started(count)
    for step in (1, 51):
        a = one.run_steps(feed(fields, rows), seed=1, step=step)
        b = more.run_steps(feed(fields, rows), seed=1, step=step)
        assert a.tobytes() == b.tobytes()
    assert (more._table(count)[:, 3].max() > count) == (part == 1.0)
    assert one.read("W").tobytes() == more.read("W").tobytes()


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_that_is_not_finite_is_the_last(count: int) -> None:
    fields, rows = data(), np.arange(64) % 20
    fields["x"][9] = np.nan
    loaded = started(count)
    records = loaded.run_steps(feed(fields, rows), seed=1, step=1)
    assert len(records) == 2
    assert np.isfinite(records[0, 0]) and np.isnan(records[1, 0])
    assert loaded.read("seen") == 2


def test_a_snapshot_brings_params_and_states_back() -> None:
    fields, rows = data(), np.arange(16)
    loaded = started()
    before, kept = loaded.read("W"), loaded.snapshot()
    first = loaded.run_steps(feed(fields, rows), seed=1, step=1)
    assert (loaded.read("W") != before).any()
    loaded.restore(kept)
    np.testing.assert_array_equal(loaded.read("W"), before)
    assert loaded.read("seen") == 0
    np.testing.assert_array_equal(loaded.run_steps(feed(fields, rows), seed=1, step=1), first)


def test_wrong_shapes_and_batches_are_refused() -> None:
    loaded = started()
    for name, array in (("W", np.zeros((SIZE, UNITS))), ("x", np.zeros((9, SIZE))),
                        ("x", np.zeros((2, SIZE + 1))), ("rate", np.zeros(1))):  # fmt: skip
        with pytest.raises(ValueError, match=f"`{name}` takes shape"):
            loaded.write(name, array)
    with pytest.raises(ValueError, match="capacity"):
        loaded.run(9)
    with pytest.raises(ValueError, match="examples"):
        loaded.run_steps(feed(data(), np.array([20])), seed=0, step=1)


def test_a_plan_larger_than_memory_is_refused_with_both_figures() -> None:
    arena = Arena(1)
    arena.add("W", (1 << 25, 1 << 20), "param")
    with pytest.raises(Failure, match=r"E510.*needs 131072\.0 GiB of memory, and .* are available"):
        CpuDevice(threads=1).load(arena.plan())


def test_small_steps_stay_on_one_thread() -> None:
    loaded = CpuDevice(threads=2).load(regression())
    loaded.write("W", np.zeros((UNITS, SIZE)))
    assert loaded._threads == 1


def test_threads_meet_only_where_they_share() -> None:
    loaded = CpuDevice(threads=2).load(regression())
    alone = loaded._table(2)
    assert not alone[:, 3].any() and not alone[:, 2].any()
    loaded.share_everything()
    shared = loaded._table(2)
    assert shared[1:, 2].any() and shared[:, 3].tolist() == [2, 0, 2, 0]


def test_the_number_of_threads_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    assert threads.processors() == 3
    assert CpuDevice().threads == 3
    monkeypatch.setenv("CHAINRULE_THREADS", "many")
    assert threads.processors() >= 1


def test_memory_is_what_the_system_says() -> None:
    available = cpu.available_memory()
    assert available is None or available > 1 << 20
