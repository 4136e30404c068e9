"""Whole training steps of the standard library's parts: planned, they give the plain numbers."""

from __future__ import annotations

import pytest

from .plancase import CLASSIFIER, assert_plan_is_right, training

OPTIMIZERS = ("sgd", "momentum", "heavy_ball", "nesterov", "adagrad", "rmsprop", "adadelta",
              "adam", "adamw")  # fmt: skip
PIECES = ("linear", "step", "relu", "leaky_relu", "prelu", "elu", "selu", "swish", "softplus",
          "gelu", "tanh", "sigmoid", "softmax", "maxout(4)", "batchnorm()", "layernorm()",
          "dropout(0.3)", "residual(5)", "mlp([4, 3])")  # fmt: skip
LOSSES = ("mse", "mae", "huber", "squared_error")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_gives_the_plain_numbers(name: str):
    made = assert_plan_is_right(training(CLASSIFIER, f"{name}()"))
    assert len(made.kernels) <= 10


@pytest.mark.parametrize("piece", PIECES)
def test_every_layer_and_activation_gives_the_plain_numbers(piece: str):
    assert_plan_is_right(training(CLASSIFIER.replace("relu", piece)), tolerance=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("units", [1, 3])
def test_every_regression_loss_gives_the_plain_numbers(loss: str, units: int):
    body = f"""
  input x: [7]
  input t: [{units}]
  y = x -> dense(5) -> tanh -> dense({units})
  output y
  loss {loss}(y, t)
"""
    assert_plan_is_right(training(body))


def test_gradients_clipped_by_their_norm_give_the_plain_numbers():
    assert_plan_is_right(training(CLASSIFIER, "adam()\n clip 1.0"))


@pytest.mark.parametrize("batch", [1, 4])
def test_the_last_short_batch_of_a_plan_gives_the_plain_numbers(batch: int):
    assert_plan_is_right(training(CLASSIFIER, "adam()"), batch=batch, capacity=4)
