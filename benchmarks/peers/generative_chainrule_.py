"""Ours on a generative row: its `.net` text, compiled; a run is one call into the compiled loop."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.runtime.device import Device

from ..generative import PIXELS, Array, Generative
from .chainrule_ import started

VAE = """
net row {{
  input x: [{pixels}]
  h            = x -> dense({units}) -> relu
  mu           = h -> dense({latent})
  log_variance = h -> dense({latent})
  {noise}
  z      = mu + exp(0.5 * log_variance) * noise
  d      = z -> dense({units}) -> relu
  scores = d -> dense({pixels})
  loss {pixels} * binary_cross_entropy_with_logits(scores, x) + kl_normal(mu, log_variance)
}}
train row on digits() {{
  optimizer adam(lr = {lr}, beta1 = {beta1})
  batch {batch}
}}
"""
GAN = """
block generator {{
  input z: [n]
  h      = z -> dense({units}) -> relu
  pixels = h -> dense({pixels})
  output sigmoid(pixels)
}}
block discriminator {{
  input x: [n]
  h     = x -> dense({units}) -> leaky_relu(0.2)
  score = h -> dense(1)
  output sum(score)
}}
net row {{
  input x: [{pixels}]
  G = generator()
  D = discriminator()
  {noise}
  fake   = G(noise)
  judged = D(fake)
  loss d_loss = softplus(-D(x)) + softplus(judged)
  loss loss   = softplus(-judged)
}}
train row on digits() {{
  minimize d_loss over D with adam(lr = {lr}, beta1 = {beta1})
  minimize loss   over G with adam(lr = {lr}, beta1 = {beta1})
  batch {batch}
}}
"""
TEXTS = {"vae": VAE, "gan": GAN}
NAMES = {
    "encoder": "h", "mean": "mu", "log_variance": "log_variance", "decoder": "d",
    "scores": "scores", "G1": "G.h", "G2": "G.pixels", "D1": "D.h", "D2": "D.score",
}  # fmt: skip


def text(row: Generative) -> str:
    noise = "noise = normal([{}])" if row.drawn else "input noise: [{}]"
    settings = {"units": row.units, "latent": row.latent, "lr": row.lr, "beta1": row.beta1}
    return TEXTS[row.kind].format(
        pixels=PIXELS, batch=row.batch, noise=noise.format(row.latent), **settings
    )


def named_weights(row: Generative) -> dict[str, Array]:
    """Those that every peer starts from, by the names of the library."""
    found = {}
    for name, (w, b) in row.weights().items():
        found |= {f"{NAMES[name]}.W": w, f"{NAMES[name]}.b": b}
    return found


def make(row: Generative, device: Device | None = None) -> Callable[[int], float]:
    x, noise = row.data()
    fields = {"x": x} if row.drawn else {"x": x, "noise": noise}
    return started(row.key, text(row), row.batch, named_weights(row), fields, {}, device)
