"""The first example, compiled, from the file to the test accuracy that the README promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import chainrule

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits.net"


def test_digits_reaches_97_percent_on_examples_it_has_not_seen(tmp_path: Path) -> None:
    model = chainrule.load(DIGITS)
    model.fit(out=tmp_path)
    assert model.evaluate(part="test")["accuracy"] >= 0.97
    other = chainrule.load(DIGITS, device="plain")
    other.load_weights(tmp_path / "model.safetensors")
    images = np.random.default_rng(0).random((70, 64))
    np.testing.assert_allclose(model.predict(images), other.predict(images), atol=1e-6)


def test_three_compiled_steps_are_those_of_the_plain_interpreter() -> None:
    found = []
    for device in ("cpu", "plain"):
        model = chainrule.load(DIGITS, device=device)
        model.fit(steps=3)
        found.append(dict(model.parameters))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-5)
