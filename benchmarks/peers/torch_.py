"""PyTorch, eager: modules, autograd, torch.optim (`fused`, its fastest form).

Sequences are [steps, batch, n], which is faster here than `batch_first`. Of the ways to make
one-hot rows, `F.one_hot`, rows of an identity and data prepared outside the step, the second is as
fast as the last. PyTorch's recurrent layers add two biases where the equations have one: the second
one stays zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..rows import GATES, Layer, Row, Shape, parts_of, shape_after

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Residual(nn.Module):
    """relu(long(x) + short(x))."""

    def __init__(self, long: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.long, self.short = long, short

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.long(x) + self.short(x))


class OneHot(nn.Module):
    """Rows of the identity."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.eye(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(x, self.rows)


class Recurrent(nn.Module):
    """The states of all steps."""

    def __init__(self, kind: str, n: int, units: int) -> None:
        super().__init__()
        self.layer = RECURRENT[kind](n, units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]

    def start_from(self, wx: torch.Tensor, wh: torch.Tensor, *biases: torch.Tensor) -> None:
        """See `Row.weights`."""
        second = self.layer.bias_hh_l0
        with torch.no_grad():
            self.layer.weight_ih_l0.copy_(wx)
            self.layer.weight_hh_l0.copy_(wh)
            self.layer.bias_ih_l0.copy_(biases[0])
            second.zero_()
        if len(biases) == 1:
            second.requires_grad_(False)
            return
        learned = torch.zeros_like(second)  # of a GRU's second bias, the candidate's
        units = len(biases[1])
        learned[-units:] = 1
        with torch.no_grad():
            second[-units:] = biases[1]
        second.register_hook(lambda g: g * learned.to(g.device))


class Last(nn.Module):
    """The last step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[-1]


def module(layer: Layer, shape: Shape) -> nn.Module:
    kind = layer[0]
    if kind == "conv":
        _, channels, kernel, stride, padding, bias = layer
        return nn.Conv2d(shape[0], channels, kernel, stride, padding, bias=bias)
    if kind == "basic":
        return Residual(*(chain(part, shape) for part in parts_of(layer, shape)))
    if kind == "dense":
        return nn.Linear(shape[-1], layer[1])
    if kind == "one_hot":
        return OneHot(layer[1])
    if kind in GATES:
        return Recurrent(kind, shape[-1], layer[1])
    if kind == "last":
        return Last()
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


def start_from(row: Row, model: nn.Module) -> None:
    """Give a net without images the weights that every peer starts from."""
    learning = [part for part in model.modules() if isinstance(part, nn.Linear | Recurrent)]
    for part, weights in zip(learning, row.weights(), strict=True):
        given = [torch.from_numpy(w) for w in weights]
        if isinstance(part, Recurrent):
            part.start_from(*given)
            continue
        with torch.no_grad():
            part.weight.copy_(given[0])
            part.bias.copy_(given[1])


def make(
    row: Row, *, channels_last: bool = False, compiled: bool = False, device: str = "cpu"
) -> Callable[[int], torch.Tensor]:
    x, y = (torch.from_numpy(a) for a in row.data())
    model = chain(row.layers, row.shape)
    if row.loss == "softmax":
        y = y.long()
    if not row.is_image:
        start_from(row, model)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y, model = x.to(device), y.to(device), model.to(device)
    batches = list(zip(x.split(row.batch), y.split(row.batch), strict=True))
    if row.is_recurrent:
        batches = [(steps_first(x), steps_first(y)) for x, y in batches]
    kinds = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam}
    extra = {"momentum": 0.9} if row.optimizer == "momentum" else {}
    optimizer = kinds[row.optimizer](model.parameters(), lr=row.lr, fused=True, **extra)
    criterion = nn.CrossEntropyLoss() if row.loss == "softmax" else nn.MSELoss()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = model(x)
        return criterion(z.flatten(0, -2), y.flatten()) if row.label_shape else criterion(z, y)

    if compiled:
        loss = torch.compile(loss)

    def run(count: int) -> torch.Tensor:
        for k in range(count):
            optimizer.zero_grad()
            found = loss(*batches[k % len(batches)])
            found.backward()
            optimizer.step()
        return found.detach()

    return run


def steps_first(x: torch.Tensor) -> torch.Tensor:
    """[batch, steps, …] as [steps, batch, …]; labels without steps as they are."""
    return x.transpose(0, 1).contiguous() if x.ndim > 1 else x
