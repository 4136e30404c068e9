"""Write tests/compiler/layers.npz: what PyTorch computes for the library's layers of images.

Out: for each call of a layer, its output on one batch, its parameters, and the gradients of the
mean over the batch of ½ Σ y² by a factor S (of the image's shape) before the layer and by each
parameter, all in double precision. Run it where torch is installed; the tests read the file only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

OUT = Path(__file__).parents[1] / "tests" / "compiler" / "layers.npz"
BATCH, SHAPE = 2, (4, 6, 5)
Layer = Callable[[torch.Tensor], torch.Tensor]

# Our call, PyTorch's layer, our names of its parameters.
CASES: dict[str, tuple[Layer, dict[str, str]]] = {
    "conv(5, 3)": (nn.Conv2d(4, 5, 3, padding="same"), {"weight": "W", "bias": "b"}),
    "conv(6, (3, 2), stride = 2, padding = 1, groups = 2)": (
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2),
        {"weight": "W", "bias": "b"},
    ),
    "conv(4, 3, stride = (1, 2), dilation = 2, padding = 2, bias = false)": (
        nn.Conv2d(4, 4, 3, stride=(1, 2), dilation=2, padding=2, bias=False),
        {"weight": "W"},
    ),
    "depthwise_conv(3, stride = 2, padding = 1, multiplier = 2)": (
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4),
        {"weight": "W", "bias": "b"},
    ),
    "conv_transpose(5, 4, stride = 2, padding = 1)": (
        nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1),
        {"weight": "W", "bias": "b"},
    ),
    "conv_transpose(6, 3, stride = (2, 1), padding = valid, dilation = 2, groups = 2)": (
        nn.ConvTranspose2d(4, 6, 3, stride=(2, 1), dilation=2, groups=2),
        {"weight": "W", "bias": "b"},
    ),
    "conv_transpose(3, 3, stride = 2)": (
        # `same` cuts the odd row and column off the end.
        nn.Sequential(nn.ConvTranspose2d(4, 3, 3, stride=2), nn.ZeroPad2d((0, -1, 0, -1))),
        {"0.weight": "W", "0.bias": "b"},
    ),
    "max_pool(2)": (nn.MaxPool2d(2), {}),
    "max_pool(3, stride = 2, padding = 1)": (nn.MaxPool2d(3, stride=2, padding=1), {}),
    "avg_pool(3, stride = 2, padding = 1)": (nn.AvgPool2d(3, stride=2, padding=1), {}),
    "avg_pool(3, stride = 2, padding = 1, counted = false)": (
        nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        {},
    ),
    "global_avg_pool": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), {}),
    "global_max_pool": (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), {}),
    "lrn(size = 3, alpha = 0.3, k = 1)": (nn.LocalResponseNorm(3, alpha=0.9), {}),
    "batchnorm": (
        nn.BatchNorm2d(4, momentum=0.1),
        {
            "weight": "gamma",
            "bias": "beta",
            "running_mean": "running_mean",
            "running_var": "running_variance",
        },
    ),
    "groupnorm(2)": (nn.GroupNorm(2, 4), {"weight": "gamma", "bias": "beta"}),
    "groupnorm(1)": (nn.GroupNorm(1, 4), {"weight": "gamma", "bias": "beta"}),
    "instancenorm": (nn.InstanceNorm2d(4, affine=True), {"weight": "gamma", "bias": "beta"}),
    "layernorm": (nn.LayerNorm(5), {"weight": "gamma", "bias": "beta"}),
    "prelu": (nn.PReLU(4), {"weight": "a"}),
    "upsample(2)": (nn.Upsample(scale_factor=2), {}),
    "upsample((3, 2), mode = bilinear)": (nn.Upsample(scale_factor=(3, 2), mode="bilinear"), {}),
    "pad((1, 2), value = 3)": (nn.ConstantPad2d((2, 2, 1, 1), 3.0), {}),
}


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    x = torch.randn(BATCH, *SHAPE)
    found = {"x": x.numpy(), "calls": np.array(list(CASES))}
    for k, (layer, names) in enumerate(CASES.values()):
        found |= {f"{k}.{name}": value for name, value in numbers(layer, names, x).items()}
    np.savez_compressed(OUT, **found)


def numbers(layer: Layer, names: dict[str, str], x: torch.Tensor) -> dict[str, np.ndarray]:
    assert isinstance(layer, nn.Module)
    layer = layer.double()
    found: dict[str, np.ndarray] = {}
    values = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    for name, ours in names.items():
        value = values[name].data
        # Norms start from 1 and 0: other numbers tell more.
        value.copy_(torch.rand(value.shape) + 0.5 if "var" in name else torch.randn(value.shape))
        found[ours] = value.numpy().copy()
    layer.eval()
    in_use = layer(x).detach()
    layer.train()
    s = torch.ones(SHAPE, requires_grad=True)
    y = layer(x * s)
    (y.square().sum() / 2 / BATCH).backward()
    found["y"] = y.detach().numpy()
    if not torch.equal(y, in_use):
        found["in use"] = in_use.numpy()
    found["grad S"] = s.grad.numpy()
    for name, ours in names.items():
        if values[name].grad is not None:
            found[f"grad {ours}"] = values[name].grad.numpy()
        elif name.startswith("running"):
            found[f"next {ours}"] = values[name].numpy().copy()
    return found


if __name__ == "__main__":
    main()
