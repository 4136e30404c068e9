"""PyTorch, eager, on a generative row: functions of `torch.nn.functional`, autograd, fused Adam.

Each loss's gradient is computed for the parameters that it moves only. A GAN's images are made
once for both updates; D judges data and images as one batch, which is a little faster than two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ..generative import Generative

Layers = dict[str, list[torch.Tensor]]


def vae(p: Layers, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The negative evidence lower bound, mean over the batch."""
    h = F.relu(F.linear(x, *p["encoder"]))
    mean, log_variance = F.linear(h, *p["mean"]), F.linear(h, *p["log_variance"])
    z = mean + torch.exp(0.5 * log_variance) * noise
    scores = F.linear(F.relu(F.linear(z, *p["decoder"])), *p["scores"])
    likelihood = F.binary_cross_entropy_with_logits(scores, x, reduction="sum")
    kl = 0.5 * torch.sum(mean.square() + log_variance.exp() - 1 - log_variance)
    return (likelihood + kl) / len(x)


def generated(p: Layers, noise: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(F.linear(F.relu(F.linear(noise, *p["G1"])), *p["G2"]))


def judged(p: Layers, x: torch.Tensor) -> torch.Tensor:
    return F.linear(F.leaky_relu(F.linear(x, *p["D1"]), 0.2), *p["D2"])


def d_loss(p: Layers, x: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    real, made = judged(p, torch.cat([x, fake])).split(len(x))
    return F.softplus(-real).mean() + F.softplus(made).mean()


def g_loss(p: Layers, fake: torch.Tensor) -> torch.Tensor:
    return F.softplus(-judged(p, fake)).mean()


def make(row: Generative, *, compiled: bool = False, device: str = "cpu") -> Callable[[int], float]:
    params = {
        name: [torch.from_numpy(a).to(device).requires_grad_() for a in arrays]
        for name, arrays in row.weights().items()
    }
    x, z = (torch.from_numpy(a).to(device).split(row.batch) for a in row.data())

    def adam(names: list[str]) -> torch.optim.Adam:
        mine = [a for name in names for a in params[name]]
        return torch.optim.Adam(mine, lr=row.lr, betas=(row.beta1, 0.999), fused=True)

    def noise(k: int) -> torch.Tensor:
        if not row.drawn:
            return z[k]
        return torch.randn(row.batch, row.latent, device=device)

    def vae_loss(x: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(len(x), row.latent, device=device) if row.drawn else given
        return vae(params, x, drawn)

    wrapped = torch.compile if compiled else (lambda f: f)
    if row.kind == "vae":
        optimizer, loss = adam(list(params)), wrapped(vae_loss)

        def step(k: int) -> torch.Tensor:
            optimizer.zero_grad()
            found = loss(x[k], z[k])
            found.backward()
            optimizer.step()
            return found

    else:
        d_step, g_step = adam(["D1", "D2"]), adam(["G1", "G2"])
        g_params = [a for name in ("G1", "G2") for a in params[name]]
        make_images, learn_d, learn_g = (
            wrapped(f) for f in (
                lambda noise: generated(params, noise),
                lambda x, fake: d_loss(params, x, fake),
                lambda fake: g_loss(params, fake),
            )
        )  # fmt: skip

        def step(k: int) -> torch.Tensor:
            fake = make_images(noise(k))
            d_step.zero_grad()
            learn_d(x[k], fake.detach()).backward()
            d_step.step()
            g_step.zero_grad()
            found = learn_g(fake)
            found.backward(inputs=g_params)
            g_step.step()
            return found

    def run(count: int) -> float:
        for k in range(count):
            found = step(k % len(x))
        return float(found.detach())

    return run
