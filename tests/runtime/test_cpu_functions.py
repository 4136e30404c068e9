"""The vector functions against f64 NumPy: every error in units in the last place, and the edges.

Denormal numbers count as zero in the arithmetic of a step (`runtime/simd/denormals.py`), but not
where a function only looks at bits or passes its argument on. So a denormal argument may be taken
as it is or as zero, and a denormal result may be zero.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from math import erf, inf, nan

import numpy as np
import pytest
from cuda_plans import Arena, loops

from chainrule.compiler import random
from chainrule.compiler.plan import Access, Let, Loops, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Position
from chainrule.runtime.cpu import CpuDevice, CpuLoaded
from chainrule.runtime.simd.functions import ULP

SIZE = 1 << 15
FLUSHED = platform.machine() in ("x86_64", "AMD64")
TINY = np.finfo(np.float32).tiny
REFERENCE: dict[str, Callable[..., np.ndarray]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "tanh": np.tanh, "erf": np.vectorize(erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "sin": np.sin, "cos": np.cos,
}  # fmt: skip
EDGES = [
    0.0, -0.0, 1.0, -1.0, inf, -inf, nan, 1e-45, -1e-45, 1e-38, -1e-38, 3e38, -3e38, 88.7,
    88.73, 89.0, -87.0, -88.0, -103.0, -103.9, -104.5, 0.5, -0.5, 1e-10, 16777217.0,
]  # fmt: skip


def program(names: list[str], dtype: str, operands: int = 1) -> CpuLoaded:
    """One kernel that applies every function to the same inputs."""
    arena = Arena(SIZE)
    inputs = [arena.add(f"x{k}", (), "input", dtype, batched=True) for k in range(operands)]
    outputs = [arena.add(name, (), "output", dtype, batched=True) for name in names]
    stage = Stage(
        (),
        tuple(Access(k, dtype, (), 0, 1) for k in range(operands)),
        tuple(Let(Call(n, *(Element(k) for k in range(operands))), dtype) for n in names),
        tuple(
            Write(Access(operands + k, dtype, (), 0, 1), Temp(k)) for k in range(len(names))
        ),
    )  # fmt: skip
    return CpuDevice(threads=1).load(arena.plan(loops((*inputs, *outputs), stage)))


def apply(loaded: CpuLoaded, *x: np.ndarray) -> dict[str, np.ndarray]:
    names = [b.name for b in loaded.plan.buffers if b.kind == "output"]
    found: dict[str, list[np.ndarray]] = {n: [] for n in names}
    for start in range(0, len(x[0]), SIZE):
        part = [a[start : start + SIZE] for a in x]
        for k, a in enumerate(part):
            loaded.write(f"x{k}", a)
        loaded.run(len(part[0]))
        for n in names:
            found[n].append(loaded.read(n, len(part[0])))
    return {n: np.concatenate(v) for n, v in found.items()}


@pytest.fixture(scope="module")
def single() -> CpuLoaded:
    return program(list(REFERENCE), "f32")


def as_seen(x: np.ndarray) -> np.ndarray:
    """Numbers as steps see them: zero of their sign where they are denormal in f32."""
    return np.where(np.abs(x) < TINY, np.copysign(0, x), x) if FLUSHED else x


def error_of(function: Callable[..., np.ndarray], got: np.ndarray, *x: np.ndarray) -> np.ndarray:
    """`ulps` of a result, whichever way its denormal arguments and results were taken."""
    exact = function(*(a.astype(np.float64) for a in x))
    seen = function(*(as_seen(a).astype(np.float64) for a in x))
    found = [ulps(got, want) for want in (exact, as_seen(exact), seen, as_seen(seen))]
    return np.min([np.nan_to_num(e, nan=inf) for e in found], axis=0)


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Distance in units in the last place of the f32 result; 0 where both are the same edge."""
    rounded = want.astype(np.float32)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        distance = np.abs(got.astype(np.float64) - want) / unit
    return np.where(same, np.minimum(np.nan_to_num(distance, nan=0.0, posinf=0.0), 0.5), distance)


def sample() -> np.ndarray:
    """Every 5000th f32 there is, positive and negative, and a dense stretch around the origin."""
    bits = np.arange(0, 0x7F800000, 5003, dtype=np.uint32)
    positive = bits.view(np.float32)
    dense = np.linspace(-20, 20, 200_001).astype(np.float32)
    return np.concatenate([positive, -positive, dense])


def test_f32_functions_keep_their_bounds_over_all_arguments(single: CpuLoaded) -> None:
    x = sample()
    with np.errstate(all="ignore"):
        for name, got in apply(single, x).items():
            error = error_of(REFERENCE[name], got, x)
            worst = int(np.argmax(error))
            assert error[worst] <= ULP[name], (
                f"{name}({x[worst]!r}) = {got[worst]!r}, {error[worst]:.2f} ulp"
            )


def test_f32_functions_are_right_at_the_edges(single: CpuLoaded) -> None:
    x = np.array(EDGES, np.float32)
    with np.errstate(all="ignore"):
        for name, got in apply(single, x).items():
            for value, a, error in zip(x, got, error_of(REFERENCE[name], got, x), strict=True):
                assert error <= 5, f"{name}({value}) = {a}"


def test_f32_powers_agree_with_c() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 4, 20_000), np.repeat(EDGES, len(EDGES)),
                        -rng.integers(0, 9, 2000).astype(float)]).astype(np.float32)  # fmt: skip
    y = np.concatenate([rng.uniform(-40, 40, 20_000), np.tile(EDGES, len(EDGES)),
                        rng.integers(-9, 9, 2000).astype(float)]).astype(np.float32)  # fmt: skip
    got = apply(program(["pow"], "f32", 2), x, y)["pow"]
    with np.errstate(all="ignore"):
        error = error_of(np.power, got, x, y)
    worst = int(np.argmax(error))
    assert error[worst] <= ULP["pow"], f"{x[worst]} ^ {y[worst]} = {got[worst]}"


def test_f64_functions_are_those_of_c() -> None:
    x = np.concatenate([np.linspace(-30, 30, 5001), EDGES])
    with np.errstate(all="ignore"):
        for name, got in apply(program(list(REFERENCE), "f64"), x).items():
            want = REFERENCE[name](x)
            close = np.isclose(got, want, rtol=5e-15, atol=1e-300, equal_nan=True)
            assert close.all(), (name, x[~close], got[~close], want[~close])


def draw(dtype: str, kind: str, stream: int, shape: tuple[int, ...], batch: int) -> Loops:
    size = int(np.prod(shape))
    stage = Stage(
        shape, (), (Let(Call(kind, stream, Position(-1)), dtype),),
        (Write(Access(0, dtype, tuple(np.cumprod((1, *shape[:0:-1]))[::-1].tolist()), 0, size),
               Temp(0)),),
    )  # fmt: skip
    return loops((0,), stage)


@pytest.mark.parametrize(
    ("seed", "stream", "step", "first", "words"),
    [
        (0, 0, 0, 0, (0x6B200159, 0x99BA4EFE)),
        (0x13198A2E, 0x03707344, 0x85A308D3, 0x243F6A88, (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_draws_are_threefry_of_the_published_vectors(
    seed: int, stream: int, step: int, first: int, words: tuple[int, int]
) -> None:
    arena = Arena(4)
    arena.add("u", (), "output", "f64", batched=True)
    loaded = CpuDevice(threads=1).load(arena.plan(draw("f64", "uniform", stream, (), 4)))
    loaded._arena[16:24].view(np.int64)[0] = first
    loaded.run(1, seed=seed, step=step)
    want = ((words[0] >> 5) * 67108864.0 + (words[1] >> 6)) / 9007199254740992.0
    assert loaded.read("u", 1)[0] == want


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_draws_are_those_of_the_reference_on_any_number_of_threads(dtype: str) -> None:
    arena = Arena(9)
    arena.add("u", (3, 7), "output", dtype, batched=True)
    seed = 5 << 32 | 77
    for kind, reference in (("uniform", random.uniform), ("normal", random.normal)):
        plan = arena.plan(draw(dtype, kind, 3, (3, 7), 9))
        want = reference((9, 3, 7), 3, dtype, seed, 4)
        for threads in (1, 3):
            loaded = CpuDevice(threads=threads).load(plan)
            loaded._threads = threads
            loaded.run(9, seed=seed, step=4)
            np.testing.assert_allclose(loaded.read("u", 9), want, rtol=2e-6, atol=1e-6)
            if kind == "uniform":
                np.testing.assert_array_equal(loaded.read("u", 9), want)


def test_a_softplus_keeps_its_bounds_with_exponentials_that_cannot_overflow() -> None:
    """Of −|x| the kernel takes a shorter exponential, and a shorter logarithm of 1 + it."""
    arena = Arena(SIZE)
    x0 = arena.add("x0", (), "input", "f32", batched=True)
    names = ("exp_below", "log1p_unit")
    outputs = [arena.add(name, (), "output", "f32", batched=True) for name in names]
    calls = (Call("abs", Element(0)), Call("neg", Temp(0)), Call("exp", Temp(1)),
             Call("log1p", Temp(2)))  # fmt: skip
    stage = Stage(
        (), (Access(0, "f32", (), 0, 1),), tuple(Let(c, "f32") for c in calls),
        tuple(Write(Access(1 + k, "f32", (), 0, 1), Temp(2 + k)) for k in range(2)),
    )  # fmt: skip
    loaded = CpuDevice(threads=1).load(arena.plan(loops((x0, *outputs), stage)))
    x = np.concatenate([sample(), np.array(EDGES, np.float32)])
    with np.errstate(all="ignore"):
        found = apply(loaded, x)
        small = found["exp_below"]
        for name, got, error in (
            ("exp_below", small, error_of(lambda a: np.exp(-np.abs(a)), small, x)),
            ("log1p_unit", found["log1p_unit"], error_of(np.log1p, found["log1p_unit"], small)),
        ):
            worst = int(np.argmax(error))
            assert error[worst] <= ULP[name], (
                f"{name} at {x[worst]!r} is {got[worst]!r}, {error[worst]:.2f} ulp"
            )
