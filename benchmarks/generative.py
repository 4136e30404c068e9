"""The generative rows of docs/performance.md: a training step of a VAE, and of a GAN, f32.

Every peer reads the sizes, weights and examples from here; the nets themselves each writes in its
own words, in `peers/generative_*`. The draws are made inside the step (`drawn`), by each with its
own generator; given as data instead, all must compute the same losses (`benchmarks.agree`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
PIXELS = 784


@dataclass(frozen=True)
class Generative:
    """`kind` "vae": an encoder x → relu(units) → mean and log variance of z, a decoder z →
    relu(units) → scores; the loss is the binary cross-entropy of all pixels plus the KL term.

    "gan": G, z → relu(units) → sigmoid pixels, against D, x → leaky relu(units), slope 0.2 → score;
    D learns from a batch of data and one of G's, then G from its same images as the new D judges
    them: softplus(−D(x)) + softplus(D(G(z))), then softplus(−D(G(z))), which does not saturate
    (Goodfellow et al., 2014). The loss that a step gives is G's.
    """

    key: str
    title: str
    kind: str
    units: int
    latent: int
    batch: int
    lr: float
    beta1: float
    examples: int = 8192
    drawn: bool = True

    family: ClassVar[str] = "generative_"
    is_image: ClassVar[bool] = False

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Name of each dense layer -> units and inputs."""
        n, z = self.units, self.latent
        if self.kind == "vae":
            return {"encoder": (n, PIXELS), "mean": (z, n), "log_variance": (z, n),
                    "decoder": (n, z), "scores": (PIXELS, n)}  # fmt: skip
        return {"G1": (n, z), "G2": (PIXELS, n), "D1": (n, PIXELS), "D2": (1, n)}

    @property
    def flops(self) -> int:
        """Products, forward and backward; no gradient by data that no update needs."""
        size = {name: 2 * a * b for name, (a, b) in self.layers.items()}
        if self.kind == "vae":
            return self.batch * (3 * sum(size.values()) - size["encoder"])
        g, d = size["G1"] + size["G2"], size["D1"] + size["D2"]
        learn_d = g + 2 * d + 2 * (d + size["D2"])
        learn_g = d + d + g + size["G2"]
        return self.batch * (learn_d + learn_g)

    def data(self) -> tuple[Array, Array]:
        """Images, and a standard normal z for each, used where `drawn` is false."""
        rng = np.random.default_rng(1)
        images = rng.random((self.examples, PIXELS), np.float32)
        return images, rng.standard_normal((self.examples, self.latent), np.float32)

    def weights(self) -> dict[str, tuple[Array, Array]]:
        """W [units, inputs] and b of each layer; the same numbers for every peer."""
        rng = np.random.default_rng(2)

        def layer(units: int, n: int) -> tuple[Array, Array]:
            w = rng.normal(size=(units, n)) / n**0.5
            return w.astype(np.float32), np.zeros(units, np.float32)

        return {name: layer(*shape) for name, shape in self.layers.items()}


GENERATIVE = {
    "j": Generative("j", "VAE 784-400-20-400-784, batch 128, Adam", "vae", 400, 20, 128, 1e-3, 0.9),
    "l": Generative("l", "GAN, G 64-256-784, D 784-256-1, batch 64, Adam, one step of each", "gan",
                    256, 64, 64, 2e-4, 0.5),
}  # fmt: skip
