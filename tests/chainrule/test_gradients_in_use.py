"""Gradients as outputs: saliency maps and adversarial examples are lines of a net in use."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule

TEXT = """
# A classifier that also says what its decision hangs on, and how to fool it.
net digits {
  input image: [2, 4, 4]
  input digit: class[3]
  scores   = image -> conv(3, 3) -> tanh -> flat -> dense(3)
  saliency = abs(grad(max(scores), image))
  fooled   = image + 0.05 * sign(grad(cross_entropy(scores, digit), image))
  output scores = scores, saliency = saliency, fooled = fooled
  loss cross_entropy(scores, digit)
}
"""


@pytest.fixture(scope="module")
def model() -> chainrule.Model:
    return chainrule.loads(TEXT, device="cpu")


def test_a_saliency_map_is_how_the_greatest_score_changes_with_each_pixel(model) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(size=(5, 2, 4, 4)).astype(np.float32)
    digit = rng.integers(0, 3, 5).astype(np.int32)
    found = model.predict({"image": image, "digit": digit})
    assert found["saliency"].shape == image.shape
    h = 1e-2
    for place in [(0, 0, 0), (1, 2, 3), (0, 3, 1)]:
        moved = []
        for sign in (1, -1):
            changed = image.copy()
            changed[(slice(None), *place)] += sign * h
            moved.append(model.predict({"image": changed, "digit": digit})["scores"])
        best = found["scores"].argmax(1)
        rows = np.arange(5)
        slope = (moved[0][rows, best] - moved[1][rows, best]) / (2 * h)
        np.testing.assert_allclose(
            found["saliency"][(rows, *place)], abs(slope), rtol=2e-2, atol=2e-3
        )


def test_a_step_along_the_sign_of_the_gradient_makes_the_loss_greater(model) -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(size=(20, 2, 4, 4)).astype(np.float32)
    digit = rng.integers(0, 3, 20).astype(np.int32)
    fooled = model.predict({"image": image, "digit": digit})["fooled"]
    np.testing.assert_allclose(np.abs(fooled - image), 0.05, rtol=1e-4)
    before = model.evaluate({"image": image, "digit": digit})["loss"]
    after = model.evaluate({"image": fooled, "digit": digit})["loss"]
    assert after > before + 0.05
