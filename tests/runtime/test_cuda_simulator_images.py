"""Loops over images on CUDA (in the simulator) give what the plan's own interpreter gives: channel
sums, pooling windows, pieces, broadcasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chainrule.compiler.emit.cuda import emit
from chainrule.compiler.emit.cuda_kernel import SIMULATOR as SMALL
from chainrule.compiler.emit.cuda_kernel import Tuning
from chainrule.compiler.plan import Access, Fold, Let, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position
from tests.runtime.cuda_plans import SIMULATOR, Arena, contiguous, loops, run_simulated, whole

if not SIMULATOR:

    def test_loops_over_images_agree_in_the_simulator() -> None:
        run_simulated(__file__)

else:
    from tests.runtime.cuda_agree import agree

    HIGH, WIDE, CHANNELS = 5, 3, 6
    IMAGE = (HIGH, WIDE, CHANNELS)
    SIZE = HIGH * WIDE * CHANNELS
    # How one threads' block, many threads, and sums in parts share the same work.
    TUNINGS = [
        pytest.param(replace(SMALL, turns=1000), id="whole"),
        pytest.param(Tuning(threads=8, spread=9, turns=1), id="parts"),
        pytest.param(Tuning(threads=16, turns=1), id="many threads"),
    ]

    def names(plan: Plan, tuning: Tuning) -> list[str]:
        program = emit(plan, tuning)
        return [program.kernels[e.kernel].name.partition("_")[0] for e in program.launches]

    def by_channel(slot: int, dtype: str = "f32") -> Access:
        """An image as [C, H, W], channels last in memory."""
        return Access(slot, dtype, (1, WIDE * CHANNELS, CHANNELS), 0, SIZE)

    def channel(slot: int, axes: int = 1) -> Access:
        return Access(slot, "f32", (1,) + (0,) * (axes - 1))

    def normalisation() -> Plan:
        """Per channel over batch and image: Σx, Σx²; then the mean and the greater moment."""
        arena = Arena(3)
        arena.add("x", IMAGE, "input", batched=True)
        for name in ("sum", "squares", "mean", "most"):
            arena.add(name, (CHANNELS,))
        lets = (Let(Call("square", Element(0)), "f32"),)
        folds = (
            Fold(channel(1), Element(0), "sum", 2, True),
            Fold(channel(2), Temp(0), "sum", 2, True),
        )
        first = Stage((CHANNELS, HIGH, WIDE), (by_channel(0),), lets, (), folds)
        lets = (
            Let(Call("batch"), "f32"), Let(Call("div", Element(0), Temp(0)), "f32"),
            Let(Call("max", Element(0), Element(1)), "f32"),
        )  # fmt: skip
        writes = Write(channel(3), Temp(1)), Write(channel(4), Temp(2))
        then = Stage((CHANNELS,), (channel(1), channel(2)), lets, writes)
        return arena.plan(loops((0, 1, 2, 3, 4), first, then, batched=False, over=True))

    @pytest.mark.parametrize("tuning", TUNINGS)
    def test_channel_sums_over_batch_and_image(tuning: Tuning) -> None:
        agree(normalisation(), tuning)

    def test_long_channel_sums_are_joined_by_a_second_kernel() -> None:
        plan = normalisation()
        assert names(plan, Tuning(threads=8, spread=9, turns=1)) == ["results", "joined"]
        assert names(plan, Tuning()) == ["results"], "a small sum is not worth a second launch"

    @pytest.mark.parametrize("tuning", TUNINGS)
    @pytest.mark.parametrize("kind", ["sum", "max", "min"])
    def test_folds_of_one_array(kind: str, tuning: Tuning) -> None:
        """A single result of many terms, not per example."""
        arena = Arena(1)
        arena.add("w", (7, 31), "param")
        arena.add("y", ())
        fold = Fold(Access(1, "f32", ()), Element(0), kind, 2)
        stage = Stage((7, 31), (whole(0, (7, 31), batched=False),), (), (), (fold,))
        agree(arena.plan(loops((0, 1), stage, batched=False)), tuning, (1,))

    @pytest.mark.parametrize("tuning", TUNINGS)
    def test_the_mean_of_each_channel_of_each_example(tuning: Tuning) -> None:
        arena = Arena(3)
        arena.add("x", IMAGE, "input", batched=True)
        arena.add("y", (CHANNELS,), batched=True)
        lets = (Let(Call("mul", Element(0), Literal(1 / (HIGH * WIDE))), "f32"),)
        fold = Fold(whole(1, (CHANNELS,)), Temp(0), "sum", 2)
        stage = Stage((CHANNELS, HIGH, WIDE), (by_channel(0),), lets, (), (fold,))
        agree(arena.plan(loops((0, 1), stage)), tuning)

    def windows(slot: int) -> Access:
        """3 × 2 windows, 2 and 1 apart, of an image: [y, x, c, ky, kx]."""
        line = WIDE * CHANNELS
        return Access(slot, "f32", (2 * line, CHANNELS, 1, line, CHANNELS), 0, SIZE)

    @pytest.mark.parametrize("tuning", TUNINGS)
    @pytest.mark.parametrize("kind", ["max", "sum", "argmax"])
    def test_pooling_windows_that_overlap(kind: str, tuning: Tuning) -> None:
        shape = (2, 2, CHANNELS)
        dtype = "i32" if kind == "argmax" else "f32"
        arena = Arena(3)
        arena.add("x", IMAGE, "input", batched=True)
        arena.add("y", shape, "output", dtype, batched=True)
        fold = Fold(whole(1, shape, dtype), Element(0), kind, 2)
        stage = Stage((*shape, 3, 2), (windows(0),), (), (), (fold,))
        agree(arena.plan(loops((0, 1), stage)), tuning)

    def overlap_add(arena: Arena) -> tuple[Stage, ...]:
        """Windows [2, 2, C, 3, 2] added back into the image: a stage of zeros, then one for each
        place in the window, which adds to what is there."""
        arena.add("d", (2, 2, CHANNELS, 3, 2), "input", batched=True)
        arena.add("x", IMAGE, batched=True)
        line, inner = WIDE * CHANNELS, (2, 2, CHANNELS)
        stages = [Stage(IMAGE, (), (), (Write(whole(1, IMAGE), Literal(0.0)),))]
        for ky in range(3):
            for kx in range(2):
                steps = contiguous((*inner, 3, 2))[:3]
                start = ky * line + kx * CHANNELS
                to = Access(1, "f32", (2 * line, CHANNELS, 1), start, SIZE)
                given = Access(0, "f32", steps, ky * 2 + kx, 24 * CHANNELS)
                lets = (Let(Call("add", Element(1), Element(0)), "f32"),)
                stages.append(Stage(inner, (given, to), lets, (Write(to, Temp(0)),)))
        return tuple(stages)

    @pytest.mark.parametrize("threads", [4, 64])
    def test_overlapping_pieces_add_up(threads: int) -> None:
        arena = Arena(3)
        kernel = loops((0, 1), *overlap_add(arena))
        plan, tuning = arena.plan(kernel), replace(SMALL, threads=threads)
        assert names(plan, tuning) == (["elements"] * 7 if threads == 4 else ["together"])
        agree(plan, tuning)

    @pytest.mark.parametrize("threads", [4, 64])
    def test_interleaved_pieces_and_a_border(threads: int) -> None:
        """Four images [2, 2, C] written into every second pixel, inside a border of ones."""
        arena = Arena(3)
        shape, inner = (6, 6, CHANNELS), (2, 2, CHANNELS)
        size, line = 36 * CHANNELS, 6 * CHANNELS
        for k in range(4):
            arena.add(f"x{k}", inner, "input", batched=True)
        arena.add("y", shape, batched=True)
        stages = [Stage(shape, (), (), (Write(whole(4, shape), Literal(1.0)),))]
        for k in range(4):
            start = (1 + k // 2) * line + (1 + k % 2) * CHANNELS
            to = Access(4, "f32", (2 * line, 2 * CHANNELS, 1), start, size)
            stages.append(Stage(inner, (whole(k, inner),), (), (Write(to, Element(0)),)))
        agree(arena.plan(loops((0, 1, 2, 3, 4), *stages)), replace(SMALL, threads=threads))

    @pytest.mark.parametrize("batched", [True, False])
    def test_pieces_that_do_not_meet_are_one_launch(batched: bool) -> None:
        """A border above and below, and what is between, doubled."""
        arena = Arena(3)
        line, inner = WIDE * CHANNELS, (HIGH - 3, WIDE, CHANNELS)
        arena.add("x", inner, "input", batched=batched)
        arena.add("y", IMAGE, batched=batched)
        size = SIZE if batched else 0
        above = Write(Access(1, "f32", (1,), 0, size), Literal(3.0))
        below = Write(Access(1, "f32", (line, 1), (HIGH - 2) * line, size), Literal(4.0))
        between = Access(1, "f32", (line, CHANNELS, 1), line, size)
        stages = (
            Stage((line,), (), (), (above,)),
            Stage((2, line), (), (), (below,)),
            Stage(inner, (whole(0, inner, batched=batched),),
                  (Let(Call("add", Element(0), Element(0)), "f32"),), (Write(between, Temp(0)),)),
        )  # fmt: skip
        plan = arena.plan(loops((0, 1), *stages, batched=batched))
        for threads in (4, 64):
            tuning = replace(SMALL, threads=threads)
            assert names(plan, tuning) == ["pieces"]
            agree(plan, tuning)
        met = replace(below, access=replace(below.access, offset=(HIGH - 3) * line))
        stages = (stages[0], replace(stages[1], writes=(met,)), stages[2])
        plan = arena.plan(loops((0, 1), *stages, batched=batched))
        tuning = replace(SMALL, threads=2)
        assert names(plan, tuning) == ["pieces", "elements"], "the last of two writes must win"
        agree(plan, tuning)

    @pytest.mark.parametrize("tuning", TUNINGS)
    def test_channels_are_scaled_shifted_and_dropped(tuning: Tuning) -> None:
        arena = Arena(3)
        arena.add("x", IMAGE, "input", batched=True)
        arena.add("scale", (CHANNELS,), "param")
        arena.add("shift", (CHANNELS,), "param")
        arena.add("y", IMAGE, batched=True)
        reads = whole(0, IMAGE), Access(1, "f32", (0, 0, 1)), Access(2, "f32", (0, 0, 1))
        lets = (
            Let(Call("mul", Element(0), Element(1)), "f32"),
            Let(Call("add", Temp(0), Element(2)), "f32"),
            Let(Call("uniform", Literal(2.0), Position(-1)), "f32"),
            Let(Call("lt", Temp(2), Literal(0.5)), "bool"),
            Let(Call("f32", Position(1)), "f32"),
            Let(Call("select", Temp(3), Temp(1), Temp(4)), "f32"),
        )
        stage = Stage(IMAGE, reads, lets, (Write(whole(3, IMAGE), Temp(5)),))
        agree(arena.plan(loops((0, 1, 2, 3), stage)), tuning)

    @pytest.mark.parametrize("threads", [4, 64])
    def test_large_stages_of_folds_and_elements(threads: int) -> None:
        """Per example: x − its mean, over the root of its mean square; statistics in memory."""
        arena = Arena(3)
        arena.add("x", IMAGE, "input", batched=True)
        arena.add("mean", (), batched=True)
        arena.add("scale", (), batched=True)
        arena.add("y", IMAGE, batched=True)
        one = lambda slot: Access(slot, "f32", (0, 0, 0), 0, 1)  # noqa: E731
        per, less = Literal(1 / SIZE), Let(Call("sub", Element(0), Element(1)), "f32")
        stages = (
            Stage(IMAGE, (whole(0, IMAGE),), (Let(Call("mul", Element(0), per), "f32"),), (),
                  (Fold(Access(1, "f32", (), 0, 1), Temp(0), "sum", 3),)),
            Stage(IMAGE, (whole(0, IMAGE), one(1)),
                  (less, Let(Call("square", Temp(0)), "f32"),
                   Let(Call("mul", Temp(1), per), "f32")),
                  (),
                  (Fold(Access(2, "f32", (), 0, 1), Temp(2), "sum", 3),)),
            Stage((), (Access(2, "f32", (), 0, 1),), (Let(Call("rsqrt", Element(0)), "f32"),),
                  (Write(Access(2, "f32", (), 0, 1), Temp(0)),)),
            Stage(IMAGE, (whole(0, IMAGE), one(1), one(2)),
                  (less, Let(Call("mul", Temp(0), Element(2)), "f32")),
                  (Write(whole(3, IMAGE), Temp(1)),)),
        )  # fmt: skip
        plan, tuning = arena.plan(loops((0, 1, 2, 3), *stages)), Tuning(threads=threads, turns=1000)
        apart = ["results", "results", "elements"]  # the root is taken where its fold ends
        assert names(plan, tuning) == (apart if threads == 4 else ["together"])
        agree(plan, tuning)
