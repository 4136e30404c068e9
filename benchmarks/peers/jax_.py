"""JAX: one jitted step with donated buffers; 64 steps in one scan where a step is mere overhead.

Images are channels-last, as JAX's users write them; batch norm keeps its running statistics.
Sequences are [steps, batch, n]; a recurrent layer is a `lax.scan` over the products of all inputs,
which are one product before it, or columns of the weights where the input is one-hot: that makes
row g's step a fifth shorter. (`unroll` made it longer.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..rows import GATES, Layer, Row, Shape, parts_of, shape_after

AXES = ("NHWC", "HWIO", "NHWC")


def parameters(layers: list[Layer] | tuple[Layer, ...], shape: Shape, rng: Any) -> list[Any]:
    """What each layer learns (and, of batch norm, its running statistics)."""
    found: list[Any] = []
    for layer in layers:
        kind = layer[0]
        if kind == "conv":
            size = (layer[2], layer[2], shape[0], layer[1])
            weight = rng.normal(size=size) / np.prod(size[:3]) ** 0.5
            found.append([weight, np.zeros(layer[1])] if layer[5] else [weight])
        elif kind == "dense":
            weight = rng.normal(size=(layer[1], shape[0])) / shape[0] ** 0.5
            found.append([weight, np.zeros(layer[1])])
        elif kind == "batchnorm":
            found.append([np.ones(shape[0]), np.zeros(shape[0])])
        elif kind == "basic":
            found.append([parameters(part, shape, rng) for part in parts_of(layer, shape)])
        else:
            found.append([])
        shape = shape_after(layer, shape)
    return found


def statistics(layers: list[Layer] | tuple[Layer, ...], shape: Shape) -> list[Any]:
    found: list[Any] = []
    for layer in layers:
        if layer[0] == "batchnorm":
            found.append([np.zeros(shape[0]), np.ones(shape[0])])
        elif layer[0] == "basic":
            found.append([statistics(part, shape) for part in parts_of(layer, shape)])
        else:
            found.append([])
        shape = shape_after(layer, shape)
    return found


def pooled(x: Any, size: int, start: float, add: Any) -> Any:
    return lax.reduce_window(x, start, add, (1, size, size, 1), (1, size, size, 1), "VALID")


def states(kind: str, p: Any, x: Any) -> Any:
    """Those of all steps of a recurrent layer; `p` as `Row.weights` has it. Integers in `x` stand
    for one-hot rows."""
    inputs = p[0].T[x] if jnp.issubdtype(x.dtype, jnp.integer) else x @ p[0].T
    wh, units = p[1].T, p[1].shape[1]
    zero = jnp.zeros((x.shape[1], units), wh.dtype)

    def lstm(carried: Any, xt: Any) -> Any:
        h, c = carried
        i, f, g, o = jnp.split(xt + h @ wh, 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(h: Any, xt: Any) -> Any:
        a = h @ wh
        r, z = jnp.split(jax.nn.sigmoid(xt[:, : 2 * units] + a[:, : 2 * units]), 2, 1)
        n = jnp.tanh(xt[:, 2 * units :] + r * (a[:, 2 * units :] + p[3]))
        h = (1 - z) * n + z * h
        return h, h

    def rnn(h: Any, xt: Any) -> Any:
        h = jnp.tanh(xt + h @ wh)
        return h, h

    cells: dict[str, tuple[Any, Any]] = {
        "lstm": (lstm, (zero, zero)), "gru": (gru, zero), "rnn": (rnn, zero),
    }  # fmt: skip
    return lax.scan(*cells[kind], inputs + p[2])[1]


def apply(
    layers: list[Layer] | tuple[Layer, ...], shape: Shape, params: Any, stats: Any, x: Any, key: Any
) -> tuple[Any, Any]:
    """The values after the layers, and the running statistics."""
    after: list[Any] = []
    for n, (layer, p, s) in enumerate(zip(layers, params, stats, strict=True)):
        kind, new = layer[0], s
        if kind == "conv":
            pad = [(layer[4], layer[4])] * 2
            x = lax.conv_general_dilated(x, p[0], (layer[3],) * 2, pad, dimension_numbers=AXES)
            x = x + p[1] if len(p) > 1 else x
        elif kind == "dense":
            x = x @ p[0].T + p[1]
        elif kind == "batchnorm":
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            x = (x - mean) * lax.rsqrt(var + 1e-5) * p[0] + p[1]
            new = [0.9 * s[0] + 0.1 * mean, 0.9 * s[1] + 0.1 * var]
        elif kind == "basic":
            ways = zip(parts_of(layer, shape), p, s, strict=True)
            (long, first), (short, second) = (
                apply(part, shape, q, t, x, key) for part, q, t in ways
            )
            x, new = jax.nn.relu(long + short), [first, second]
        elif kind == "max_pool":
            x = pooled(x, layer[1], -jnp.inf, lax.max)
        elif kind == "avg_pool":
            x = pooled(x, layer[1], 0.0, lax.add) / layer[1] ** 2
        elif kind == "global_avg_pool":
            x = x.mean((1, 2))
        elif kind == "one_hot":
            pass  # see `states`
        elif kind in GATES:
            x = states(kind, p, x)
        elif kind == "last":
            x = x[-1]
        elif kind == "flat":
            x = x.reshape(len(x), -1)
        elif kind == "dropout":
            kept = jax.random.bernoulli(jax.random.fold_in(key, n), 1 - layer[1], x.shape)
            x = jnp.where(kept, x / (1 - layer[1]), 0)
        else:
            x = jax.nn.relu(x) if kind == "relu" else jnp.tanh(x)
        after.append(new)
        shape = shape_after(layer, shape)
    return x, after


def loss_of(row: Row) -> Callable[..., Any]:
    def loss(params: Any, stats: Any, key: Any, x: Any, y: Any) -> Any:
        z, stats = apply(row.layers, row.shape, params, stats, x, key)
        if row.loss == "softmax":
            return -jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], -1).mean(), stats
        return ((z - y) ** 2).mean(), stats

    return loss


def update_of(row: Row) -> Callable[..., Any]:
    loss = loss_of(row)

    def update(state: Any, batch: Any) -> Any:
        params, v, s, stats, t = state
        key = jax.random.fold_in(jax.random.key(0), t)
        gradient = jax.value_and_grad(loss, has_aux=True)
        (found, stats), g = gradient(params, stats, key, *batch)
        t = t + 1
        if row.optimizer == "sgd":
            params = jax.tree.map(lambda p, d: p - row.lr * d, params, g)
        elif row.optimizer == "momentum":
            v = jax.tree.map(lambda a, d: 0.9 * a + d, v, g)
            params = jax.tree.map(lambda p, a: p - row.lr * a, params, v)
        else:
            v = jax.tree.map(lambda a, d: 0.9 * a + 0.1 * d, v, g)
            s = jax.tree.map(lambda a, d: 0.999 * a + 0.001 * d * d, s, g)
            c, e = 1 - 0.9 ** t.astype(jnp.float32), 1 - 0.999 ** t.astype(jnp.float32)
            params = jax.tree.map(
                lambda p, a, b: p - row.lr * (a / c) / (jnp.sqrt(b / e) + 1e-8), params, v, s
            )
        return (params, v, s, stats, t), found

    return update


def make(row: Row) -> Callable[[int], Any]:
    x, y = row.data()
    if row.is_image:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    x, y = jnp.asarray(x), jnp.asarray(y)

    def single(tree: Any) -> Any:
        return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)

    if row.is_image:
        params = single(parameters(row.layers, row.shape, np.random.default_rng(2)))
    else:
        given = iter(row.weights())
        learns = [layer[0] == "dense" or layer[0] in GATES for layer in row.layers]
        params = [single(list(next(given))) if k else [] for k in learns]
    zeros = jax.tree.map(jnp.zeros_like, params)
    stats = single(statistics(row.layers, row.shape))
    state = (params, zeros, jax.tree.map(jnp.zeros_like, params), stats, jnp.int32(0))
    update = update_of(row)
    batches = [
        (x[k : k + row.batch], y[k : k + row.batch]) for k in range(0, row.examples, row.batch)
    ]
    if row.is_recurrent:
        batches = [(x.swapaxes(0, 1), y.T) for x, y in batches]
    chunk = 64 if row.key == "k" else 1
    if chunk == 1:
        step = jax.jit(update, donate_argnums=0)
        feeds: list[Any] = batches
    else:
        step = jax.jit(lambda s, b: lax.scan(update, s, b), donate_argnums=0)
        stacked = [jnp.stack(f) for f in zip(*batches[:chunk], strict=True)]
        feeds = [tuple(stacked)]

    def run(count: int) -> Any:
        nonlocal state
        for k in range(-(-count // chunk)):
            state, found = step(state, feeds[k % len(feeds)])
        jax.block_until_ready(state)
        return found if chunk == 1 else found[-1]

    return run
