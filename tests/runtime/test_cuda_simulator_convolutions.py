"""Convolutions on CUDA (in the simulator) give what the plan's own interpreter gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule.compiler.emit.cuda import emit
from chainrule.compiler.emit.cuda_kernel import Tile, Tuning
from chainrule.compiler.plan import Access, Extent, Matrix, Plan, Product
from tests.runtime.cuda_images import (
    BATCH,
    Image,
    by_data,
    by_weights,
    epilogue,
    forward,
    multiply,
    positions,
)
from tests.runtime.cuda_plans import SIMULATOR, Arena, run_simulated

CAPACITY = 3  # examples
IMAGES = {
    "3 x 3": Image(6, 7, 3, 3, 3, 5),
    "stride 2": Image(7, 8, 2, 3, 2, 3, stride=2),
    "1 x 1": Image(3, 5, 4, 1, 1, 6),
    "dilated": Image(7, 6, 3, 2, 3, 2, dilation=2),
    "one channel": Image(5, 5, 1, 2, 2, 1),
}

if not SIMULATOR:

    def test_convolutions_agree_in_the_simulator() -> None:
        run_simulated(__file__)

else:
    from chainrule.runtime.cuda import CudaDevice
    from tests.runtime.cuda_agree import agree

    def plan_of(kernel: Product, *shapes: tuple[tuple[int, ...], bool]) -> Plan:
        """The kernel with a buffer for each slot; the last is the result."""
        arena = Arena(CAPACITY)
        for number, (shape, batched) in enumerate(shapes):
            kind = "output" if number == len(shapes) - 1 else "input"
            arena.add(f"s{number}", shape, kind, kernel.dtype, batched=batched)
        return arena.plan(kernel)

    def convolved(image: Image, make: object, dtype: str = "f32") -> Plan:
        kernel = make(image, dtype) if make is not positions else positions(image)  # type: ignore[operator]
        x, y = (image.high, image.wide, image.channels), (*image.result, image.filters)
        w = (image.tall, image.across, image.channels, image.filters)
        if make is by_weights:
            return plan_of(kernel, (x, True), (y, True), (w, False))
        if make is by_data:
            wide = [n + 2 * (k - 1) for n, k in zip(y, w[:2], strict=False)]
            return plan_of(kernel, ((*wide, image.filters), True), (w, False), (x, True))
        return plan_of(kernel, (x, True), (w, False), ((image.filters,), False), (y, True))

    WHOLE = Tuning(threads=4, tile=Tile(8, 8, 16, 4, 4))  # sums are not cut into parts
    TILES = [WHOLE.tile, Tile(8, 4, 3, 4, 2), Tile(16, 4, 2, 8, 1), Tile(4, 8, 4, 1, 4)]

    @pytest.mark.parametrize("name", IMAGES)
    @pytest.mark.parametrize("make", [forward, by_weights])
    def test_a_convolution_and_its_gradient_by_weights(name: str, make: object) -> None:
        agree(convolved(IMAGES[name], make), WHOLE)

    @pytest.mark.parametrize("name", ["3 x 3", "1 x 1", "one channel"])
    def test_the_gradient_by_data_walks_the_kernel_backwards(name: str) -> None:
        agree(convolved(IMAGES[name], by_data), WHOLE)

    @pytest.mark.parametrize("tile", TILES[1:])
    @pytest.mark.parametrize("make", [forward, by_weights, by_data])
    def test_every_tile_gives_the_same(tile: Tile, make: object) -> None:
        agree(convolved(Image(4, 5, 3, 2, 3, 5), make), replace(WHOLE, tile=tile), (2,))

    @pytest.mark.parametrize("make", [forward, by_weights, by_data])
    def test_doubles(make: object) -> None:
        agree(convolved(Image(4, 5, 3, 2, 3, 5), make, "f64"), WHOLE, (2,))

    @pytest.mark.parametrize("make", [forward, by_weights, by_data])
    def test_a_long_depth_is_summed_in_parts(make: object) -> None:
        image = Image(4, 5, 3, 2, 3, 5)
        tuning, plan = replace(WHOLE, spread=5, turns=1), convolved(image, make)
        assert emit(plan, tuning).kernels[0].parts.count > 1
        agree(plan, tuning)

    def test_parts_do_not_depend_on_the_device() -> None:
        found = []
        for blocks in (1, 300):
            plan = convolved(Image(6, 7, 3, 3, 3, 5), by_weights)
            loaded = CudaDevice(replace(WHOLE, spread=5, turns=1, blocks=blocks)).load(plan)
            for b in plan.buffers:
                lead = (CAPACITY,) if b.type.batched else ()
                shape = lead + b.type.shape
                loaded.write(b.name, np.random.default_rng(0).standard_normal(shape))
            loaded.run(CAPACITY)
            found.append(loaded.read("s2"))
        np.testing.assert_array_equal(*found)

    @pytest.mark.parametrize("tuning", [WHOLE, replace(WHOLE, spread=5, turns=1)])
    def test_positions_and_draws_count_by_the_nested_rows(tuning: Tuning) -> None:
        agree(convolved(Image(4, 5, 3, 2, 3, 5), positions), tuning)

    @pytest.mark.parametrize("tuning", [WHOLE, replace(WHOLE, spread=9, turns=1)])
    def test_groups_are_the_loop(tuning: Tuning) -> None:
        """Two groups: channels 0 and 1 make filters 0 to 2, channels 2 and 3 the others."""
        write = Access(2, "f32", (6 * 12, 3 * 12, 12, 1), 0, 3)
        rows = (BATCH, Extent(2), Extent(3))
        kernel = multiply(
            (0, 1, 2), rows, 3, (Extent(2), Extent(2), Extent(2)),
            Matrix(0, (48, 16, 4), (16, 4, 1), 0, 2), Matrix(1, (12, 6, 3), (1,), 0, 24),
            epilogue(4, write), loop=Extent(2),
        )  # fmt: skip
        agree(
            plan_of(kernel, ((3, 4, 4), True), ((2, 2, 2, 2, 3), False), ((2, 3, 12), True)), tuning
        )

    def test_a_result_whose_rows_lie_side_by_side() -> None:
        write = Access(2, "f32", (12, 1, 6))
        rows = (BATCH, Extent(6))
        kernel = multiply((0, 1, 2), rows, 2, (Extent(5),), Matrix(0, (30, 5), (1,)),
                          Matrix(1, (2,), (1,)), epilogue(3, write))  # fmt: skip
        agree(plan_of(kernel, ((6, 5), True), ((5, 2), False), ((2, 6), True)), WHOLE)
