"""Write tests/reference/generative.npz and penalty.npz: PyTorch's numbers for generative networks.

Run it where torch 2.13 is installed, `python scripts/references_generative.py`; tests read the
files only. The form of the files is that of `references.py`: one record for each case, with what is
given, parameters, the result `loss` (one for each example), and the gradients of the mean over the
batch of factor · loss.

generative.npz, losses of [3, 5] numbers, summed or averaged over the features as PyTorch does:

| case | PyTorch |
| --- | --- |
| smoothed | cross_entropy(label_smoothing=0.1) of `scores` and `labels` [3] |
| smoothed_bits | binary_cross_entropy_with_logits of `scores` and 0.9 y + 0.05, the mean |
| discriminator | that of `real` and 0.9, plus that of `fake` and 0 |
| generator, minimax | that of `fake` and 1; minus that of `fake` and 0 |
| bernoulli | Bernoulli(logits=`scores`).log_prob(`x`), summed, negative |
| gaussian | Normal(`mu`, exp(`log_variance` / 2)).log_prob(`x`), summed, negative |
| kl, kls | kl_divergence of that from Normal(0, 1), from a second Normal, summed |

penalty.npz: (sqrt(Σ (∂D/∂x)² + 1e-12) − 1)² at `x`, differentiated again by the critic's parameters
and by x. Cases: leaky and tanh, dense layers of 7, 5 and 1 units on [3, 4]; conv, two convolutions
(3 kernels with stride 2 and leaky ReLU, 4 with tanh) and a dense layer on [3, 2, 6, 5].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from references import BATCH, Arrays, Tensors, drawn, numbers, write
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

FEATURES = 5
Loss = Callable[[Tensors], Tensor]


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    write("generative", {case: loss(names, how) for case, (names, how) in LOSSES.items()})
    torch.manual_seed(4)
    write("penalty", {case: penalty(*made) for case, made in critics().items()})


def bits(scores: Tensor, y: Tensor) -> Tensor:
    each = functional.binary_cross_entropy_with_logits(scores, y, reduction="none")
    return each.mean(1)


def normal(given: Tensors, end: str = "") -> Normal:
    return Normal(given[f"mu{end}"], torch.exp(given[f"log_variance{end}"] / 2))


def standard(like: Tensor) -> Normal:
    return Normal(torch.zeros_like(like), torch.ones_like(like))


LOSSES: dict[str, tuple[str, Loss]] = {
    "smoothed": (
        "scores labels",
        lambda g: functional.cross_entropy(
            g["scores"], g["labels"], label_smoothing=0.1, reduction="none"
        ),
    ),
    "smoothed_bits": ("scores y", lambda g: bits(g["scores"], 0.9 * g["y"] + 0.05)),
    "discriminator": (
        "real fake",
        lambda g: (
            bits(g["real"], torch.full_like(g["real"], 0.9))
            + bits(g["fake"], torch.zeros_like(g["fake"]))
        ),
    ),
    "generator": ("fake", lambda g: bits(g["fake"], torch.ones_like(g["fake"]))),
    "minimax": ("fake", lambda g: -bits(g["fake"], torch.zeros_like(g["fake"]))),
    "bernoulli": (
        "scores y",
        lambda g: (
            -Bernoulli(logits=g["scores"], validate_args=False).log_prob(g["y"]).sum(1)
        ),
    ),
    "gaussian": ("mu log_variance x", lambda g: -normal(g).log_prob(g["x"]).sum(1)),
    "kl": ("mu log_variance", lambda g: kl_divergence(normal(g), standard(g["mu"])).sum(1)),
    "kls": (
        "mu log_variance mu_2 log_variance_2",
        lambda g: kl_divergence(normal(g), normal(g, "_2")).sum(1),
    ),
}  # fmt: skip


def loss(names: str, how: Loss) -> Arrays:
    given: Tensors = {}
    for name in names.split():
        if name == "labels":
            given[name] = torch.randint(FEATURES, (BATCH,))
        elif name == "y":
            given[name] = torch.rand(BATCH, FEATURES)
        else:
            given[name] = drawn(BATCH, FEATURES)
    return numbers(given, {}, lambda: {"loss": how(given)})


def critics() -> dict[str, tuple[tuple[int, ...], nn.Sequential, dict[str, str]]]:
    """The shape of an example, PyTorch's layers, and our names for them."""

    def dense(activation: nn.Module) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(4, 7), activation, nn.Linear(7, 5), activation, nn.Linear(5, 1)
        )

    conv = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(36, 1),
    )  # fmt: skip
    three = {"0": "z", "2": "z_2", "4": "z_3"}
    return {
        "leaky": ((4,), dense(nn.LeakyReLU(0.2)), three),
        "tanh": ((4,), dense(nn.Tanh()), three),
        "conv": ((2, 6, 5), conv, {"0": "a", "2": "b", "5": "c"}),
    }


def penalty(shape: tuple[int, ...], critic: nn.Sequential, names: dict[str, str]) -> Arrays:
    given, params = {"x": drawn(BATCH, *shape)}, dict[str, Tensor]()
    for name, p in critic.named_parameters():
        with torch.no_grad():
            p.copy_(torch.randn(p.shape) * 0.5)
        layer, _, kind = name.partition(".")
        params[f"{names[layer]}.{'W' if kind == 'weight' else 'b'}"] = p

    def results() -> Tensors:
        x = given["x"]
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        norm = torch.sqrt(slope.square().flatten(1).sum(1) + 1e-12)
        return {"loss": (norm - 1).square()}

    found = numbers(given, params, results)
    for name, p in params.items():  # the last bias has no part in the slope
        found.setdefault(f"grad/{name}", torch.zeros(p.shape).numpy())
    return found


if __name__ == "__main__":
    main()
