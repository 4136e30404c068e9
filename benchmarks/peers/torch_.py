"""PyTorch, eager: modules, autograd, torch.optim."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..rows import Row


def make(row: Row) -> Callable[[int], None]:
    x, y = (torch.from_numpy(a) for a in row.data())
    if row.loss == "softmax":
        y = y.long()
    parts: list[torch.nn.Module] = []
    for k, (w, b) in enumerate(row.weights()):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
        parts.append(layer)
        if k < len(row.sizes) - 2:
            parts.append(torch.nn.ReLU() if row.activation == "relu" else torch.nn.Tanh())
    model = torch.nn.Sequential(*parts)
    kind = torch.optim.SGD if row.optimizer == "sgd" else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=row.lr)
    loss = torch.nn.CrossEntropyLoss() if row.loss == "softmax" else torch.nn.MSELoss()

    def run(count: int) -> None:
        for k in range(count):
            start = k * row.batch % row.examples
            optimizer.zero_grad()
            loss(model(x[start : start + row.batch]), y[start : start + row.batch]).backward()
            optimizer.step()

    return run
