"""PyTorch, eager: modules, autograd, torch.optim."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..rows import Layer, Row, Shape, parts_of, shape_after


class Residual(nn.Module):
    """relu(long(x) + short(x))."""

    def __init__(self, long: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.long, self.short = long, short

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.long(x) + self.short(x))


def module(layer: Layer, shape: Shape) -> nn.Module:
    kind = layer[0]
    if kind == "conv":
        _, channels, kernel, stride, padding, bias = layer
        return nn.Conv2d(shape[0], channels, kernel, stride, padding, bias=bias)
    if kind == "basic":
        return Residual(*(chain(part, shape) for part in parts_of(layer, shape)))
    if kind == "dense":
        return nn.Linear(shape[0], layer[1])
    if kind == "batchnorm":
        return nn.BatchNorm2d(shape[0])
    if kind == "global_avg_pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = {
        "relu": nn.ReLU, "tanh": nn.Tanh, "flat": nn.Flatten, "max_pool": nn.MaxPool2d,
        "avg_pool": nn.AvgPool2d, "dropout": nn.Dropout,
    }  # fmt: skip
    return plain[kind](*layer[1:])


def chain(layers: list[Layer] | tuple[Layer, ...], shape: Shape) -> nn.Module:
    parts = []
    for layer in layers:
        parts.append(module(layer, shape))
        shape = shape_after(layer, shape)
    return nn.Sequential(*parts)


def make(
    row: Row, *, channels_last: bool = False, compiled: bool = False, device: str = "cpu"
) -> Callable[[int], None]:
    x, y = (torch.from_numpy(a) for a in row.data())
    model = chain(row.layers, row.shape)
    if row.loss == "softmax":
        y = y.long()
    if not row.is_image:
        dense = [part for part in model.modules() if isinstance(part, nn.Linear)]
        with torch.no_grad():
            for part, (w, b) in zip(dense, row.weights(), strict=True):
                part.weight.copy_(torch.from_numpy(w))
                part.bias.copy_(torch.from_numpy(b))
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y, model = x.to(device), y.to(device), model.to(device)
    kinds = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam}
    extra = {"momentum": 0.9} if row.optimizer == "momentum" else {}
    optimizer = kinds[row.optimizer](model.parameters(), lr=row.lr, **extra)
    criterion = nn.CrossEntropyLoss() if row.loss == "softmax" else nn.MSELoss()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return criterion(model(x), y)

    if compiled:
        loss = torch.compile(loss)

    def run(count: int) -> None:
        for k in range(count):
            start = k * row.batch % row.examples
            optimizer.zero_grad()
            loss(x[start : start + row.batch], y[start : start + row.batch]).backward()
            optimizer.step()

    return run
