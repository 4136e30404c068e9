"""The image networks of `examples/`: parameter counts as published, shapes of the stages, one
file for a whole family."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chainrule.cli import cli
from chainrule.compiler.elaborate import forward, load_module
from chainrule.compiler.graph import Graph
from chainrule.summary import layers_of

EXAMPLES = Path(__file__).parents[1] / "examples"
IMAGES = ("lenet", "alexnet", "alexnet_cifar", "vgg", "vgg_cifar", "resnet", "resnet_cifar")


def graph(name: str, training: bool = False, **settings: str) -> Graph:
    module = load_module(EXAMPLES / f"{name}.net", settings)
    return forward(module, module.trains[0].name.id, training=training)


def parameters(g: Graph) -> int:
    return sum(p.value.type.size for p in g.params)


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        # LeCun et al. (1998) with full connections from S2 to C3 and dense scores.
        ("lenet", {}, 61_706),
        # torchvision's models, without the running statistics.
        ("alexnet", {}, 61_100_840),
        ("vgg", {"depth": "11"}, 132_863_336),
        ("vgg", {"depth": "13"}, 133_047_848),
        ("vgg", {}, 138_357_544),
        ("vgg", {"depth": "16", "norm": "true"}, 138_365_992),
        ("vgg", {"depth": "19"}, 143_667_240),
        ("resnet", {"depth": "18"}, 11_689_512),
        ("resnet", {"depth": "34"}, 21_797_672),
        ("resnet", {}, 25_557_032),
        ("resnet", {"depth": "101"}, 44_549_160),
        ("resnet", {"depth": "152"}, 60_192_808),
        # Krizhevsky et al. (2012): "60 million parameters"; and without the two columns.
        ("alexnet", {"widths": "[96, 256, 384, 384, 256]", "groups": "2"}, 60_965_224),
        ("alexnet", {"widths": "[96, 256, 384, 384, 256]"}, 62_378_344),
        # He et al. (2016): 0.27 M and 0.85 M; the projections of option B are 2,752 of them.
        ("resnet_cifar", {}, 272_474),
        ("resnet_cifar", {"n": "9"}, 855_770),
    ],
)
def test_a_net_has_the_published_number_of_parameters(name, settings, count) -> None:
    assert parameters(graph(name, **settings)) == count


def shapes(g: Graph, *names: str) -> list[tuple[int, ...]]:
    """Shapes of the values of those names, in the order of the names."""
    found = {v.origin.name: v.shape for v in g.nodes if not v.origin.instance or v.origin.name}
    return [found[n] for n in names]


def test_lenet_goes_through_the_sizes_of_the_paper() -> None:
    stages = shapes(graph("lenet"), "c1", "s2", "c3", "s4", "c5", "f6", "scores")
    assert stages == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)]


def test_alexnet_goes_through_the_sizes_of_the_paper() -> None:
    g = graph("alexnet", widths="[96, 256, 384, 384, 256]", groups="2")
    convolutions = [v.shape for v in g.nodes if v.op.name == "convolve"]
    assert convolutions == [(96, 55, 55), (256, 27, 27), *[(384, 13, 13)] * 2, (256, 13, 13)]
    assert shapes(g, "x1", "x2", "x5") == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


def test_vgg_halves_the_image_five_times() -> None:
    pooled = [v.shape for v in graph("vgg").nodes if v.op.name == "max" and len(v.shape) == 3]
    assert pooled == [
        (64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(("depth", "wider"), [("34", 1), ("50", 4)])
def test_resnet_halves_the_image_before_every_later_stage(depth, wider) -> None:
    stages = shapes(graph("resnet", depth=depth), "pool", "stage1", "stage2", "stage3", "stage4")
    sizes = [(64 * wider, 56, 56), (128 * wider, 28, 28), (256 * wider, 14, 14)]
    assert stages == [(64, 56, 56), *sizes, (512 * wider, 7, 7)]


@pytest.mark.parametrize(
    ("depth", "layers", "projections"),
    [("18", 18, 3), ("34", 34, 3), ("50", 50, 4), ("101", 101, 4), ("152", 152, 4)],
)
def test_the_depth_counts_the_layers_but_for_projections(depth, layers, projections) -> None:
    g = graph("resnet", depth=depth)
    weighted = [p for p in g.params if p.name.endswith(".W")]
    assert len(weighted) - projections == layers
    norms = [p for p in g.params if p.name.endswith(".gamma")]
    assert len(norms) == len(weighted) - 1  # after every convolution


def test_resnet_has_the_stride_in_the_convolution_of_3_by_3() -> None:
    strided = [
        v for v in graph("resnet").nodes if v.op.name == "convolve" and v.attrs["stride"][0] == 2
    ]
    assert [v.args[1].shape[-1] for v in strided] == [7, 3, 1, 3, 1, 3, 1]


def test_a_depth_that_is_not_there_is_told_once() -> None:
    path = str(EXAMPLES / "resnet.net")
    result = CliRunner().invoke(cli, ["check", path, "--set", "depth=42", "--no-data"])
    assert result.exit_code == 2
    assert result.stderr.count("error[E212]") == 1
    assert "where depth is 42" in result.stderr


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_network_can_be_checked_without_its_data(name) -> None:
    result = CliRunner().invoke(cli, ["check", str(EXAMPLES / f"{name}.net"), "--no-data"])
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("name", ["alexnet_cifar", "vgg_cifar", "resnet_cifar"])
def test_a_net_for_small_images_takes_a_picture_of_cifar(name) -> None:
    g = graph(name, training=True)
    assert g.leaves["image"].value.shape == (3, 32, 32)
    assert shapes(g, "scores") == [(10,)]
    assert parameters(g) < 3_000_000


def test_the_summary_lists_the_stages_in_order_under_the_words_that_made_them() -> None:
    rows = layers_of(graph("resnet_cifar"))
    assert [(r.name, r.block, r.shape) for r in rows[:5]] == [
        ("stem", "conv_norm", "[16, 32, 32]"),
        ("relu", "relu", "[16, 32, 32]"),
        ("stage1", "stage", "[16, 32, 32]"),
        ("stage2", "stage", "[32, 16, 16]"),
        ("stage3", "stage", "[64, 8, 8]"),
    ]
    assert sum(r.parameters for r in rows) == 272_474
