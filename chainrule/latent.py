"""Ways through the latent space of a generative net.

In: a `Sampler`, two points, a grid, examples of the data. Out: what the net makes of the points,
as arrays `[rows, columns, *shape]` in the units of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compiler.graph import Graph, Output, topological
from .compiler.nodes import (
    Generative,
    cut,
    depends,
    find,
    generative,
    names,
    only,
    reconstructing,
)
from .compiler.ops.draws import Draw
from .compiler.pipeline import forward, stabilise
from .compiler.value import Value
from .dsl.diagnostics import fail
from .sampling import Sampler, examples, few, positive

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
STEPS, ROWS, SIDE = 10, 8, 20
PARALLEL = 0.9995  # cosine above which two directions are one
# What the code of an example is called, in the order in which they are looked for.
CODES = ("mean", "mu", "code", "z")


def interpolate(
    sampler: Sampler,
    rows: int = ROWS,
    steps: int = STEPS,
    *,
    seed: int | None = None,
    spherical: bool | None = None,
    ends: tuple[Array, Array] | None = None,
) -> Array:
    """[rows, steps, *shape]: each row goes from one point of latent space to another.

    The points are draws, or `ends` (two arrays [rows, *latent]). `spherical`: along the great
    circle, by default between normal draws. In k dimensions nearly all of a normal distribution
    lies at a distance near √k from the origin; a straight line between two draws leaves that shell
    (its middle is at √(k/2)), so that the net would decode what it never saw (White 2016).
    """
    positive("rows", rows)
    if steps < 2:
        raise fail("E619", "an interpolation has two steps at least: its ends")
    few(rows, steps)
    several = len(sampler.source.draws) > 1
    draws = sampler.draws(2 * rows, seed) if ends is None or several else []
    first, last = ends or (draws[0][0::2], draws[0][1::2])
    if spherical is None:
        spherical = ends is None and sampler.source.latent.op.name == "normal"
    points = between(first, last, np.linspace(0, 1, steps), spherical)
    others = [np.repeat(d[0::2], steps, axis=0) for d in draws[1:]]
    found = sampler.decoded([points.reshape(-1, *first.shape[1:]), *others])
    return found.reshape(len(first), steps, *found.shape[1:])


def between(first: Array, last: Array, shares: Array, spherical: bool) -> Array:
    """Points [n, steps, *shape] from `first` to `last` [n, *shape], straight or on a circle.

    slerp(a, b; t) = sin((1−t)ω)/sin ω · a + sin(tω)/sin ω · b, with ω the angle between a and b.
    """
    a, b = (x.reshape(len(x), 1, -1).astype(np.float64) for x in (first, last))
    t = np.asarray(shares, np.float64)[None, :, None]
    if spherical:
        norms = np.linalg.norm(a, axis=2, keepdims=True) * np.linalg.norm(b, axis=2, keepdims=True)
        cosine = np.sum(a * b, axis=2, keepdims=True) / np.maximum(norms, 1e-12)
        straight = np.abs(cosine) > PARALLEL  # the circle is no plane's, or hardly bent
        angle = np.arccos(np.where(straight, 0.0, cosine))
        u = np.where(straight, 1 - t, np.sin((1 - t) * angle) / np.sin(angle))
        v = np.where(straight, t, np.sin(t * angle) / np.sin(angle))
    else:
        u, v = 1 - t, t
    return (u * a + v * b).reshape(len(a), len(shares), *first.shape[1:]).astype(np.float32)


def manifold(sampler: Sampler, side: int = SIDE) -> Array:
    """[side, side, *shape]: a plane of two latent numbers, evenly spread in probability: through
    the inverse of the normal distribution function (Kingma & Welling 2014, figure 4).

    Raises Failure E618 where the latent draw is not of two numbers."""
    positive("side", side)
    few(side, side)
    latent = sampler.source.latent
    if latent.type.size != 2:
        raise fail(
            "E618", f"a manifold has two latent numbers; `{sampler.name}` is drawn from "
            f"{list(latent.shape)}", sampler.source.output.span,
            help="train with `normal([2])`, or ask for `--interpolate`",
        )  # fmt: skip
    shares = (np.arange(side) + 0.5) / side
    if latent.op.name == "normal":
        shares = np.array([NormalDist().inv_cdf(p) for p in shares])
    across, up = np.meshgrid(shares, shares[::-1])
    points = np.stack([across, up], axis=2).reshape(-1, *latent.shape)
    others = [np.repeat(d, len(points), axis=0) for d in sampler.draws(1)[1:]]
    found = sampler.decoded([points.astype(np.float32), *others])
    return found.reshape(side, side, *found.shape[1:])


def decoder(
    model: Model,
    node: str | None = None,
    given: Mapping[str, Any] | None = None,
    latent: str | None = None,
) -> tuple[Sampler, str | None]:
    """What decodes the codes of examples, and the node that encodes them: a generative output, or
    else the second half of an autoencoder, whose code takes the place of a draw.

    Raises Failure E614, E617, E618."""
    chosen: list[str] = []

    def half(whole: Graph) -> Generative:
        pairs = [o for o, _ in reconstructing(whole) if node in (None, o.name)]
        known = names(whole)
        words = [latent] if latent else [n for w in CODES for n in known if _is_called(n, w)]
        for output in pairs:
            for word in words:
                code = find(whole, word)
                if code is not output.value and depends(output.value, [code]):
                    _check_alone(whole, output, code, word)
                    chosen.append(word)
                    return Generative(output, (code,))
        if not pairs:
            what = f"`{model.name}` has no output that is made of draws, or gives an input back"
            raise fail("E614", what, model.net.name.span,
                       help="add `output reconstruction = decode(code)`")  # fmt: skip
        what = f"`{latent}` is no code" if latent else "it is not plain which node is the code"
        raise fail("E618", f"{what} that `{pairs[0].name}` is computed from",
                   help="choose it with `--latent NAME`")  # fmt: skip

    whole = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    if generative(whole if node is None else only(whole, {node: find(whole, node)})):
        return Sampler(model, node, given), latent
    return Sampler(model, source=half), chosen[0]


def _is_called(path: str, word: str) -> bool:
    return path.rpartition(".")[2] == word


def _check_alone(whole: Graph, output: Output, code: Value, word: str) -> None:
    """Raise E618 where a decoder sees more of an example than its code."""
    rest = only(whole, {output.name: output.value})
    beside = [f.name for f in cut(rest, code, "draw.0").inputs if f.name != "draw.0"]
    if beside:
        raise fail("E618", f"`{output.name}` is computed from `{beside[0]}` beside `{word}`, so "
                   "a code alone is not decoded", output.span)  # fmt: skip


def codes(
    sampler: Sampler, positions: Sequence[int], latent: str | None = None, part: str | None = None
) -> Array:
    """The latent codes [n, *latent] of some examples of the data: what the node `latent` computes,
    by default one that is called mean, mu, code or z. Raises Failure E617, E618."""
    model, chosen = sampler.model, sampler.model.part(part)
    fields = examples(model, positions, part)
    wanted = sampler.source.latent.shape
    name = latent or _code(sampler, fields)
    graph = stabilise(only(sampler.whole, {name: find(sampler.whole, name)}))
    if graph.outputs[0].value.shape != wanted:
        shape = list(graph.outputs[0].value.shape)
        message = f"`{name}` is {shape}, and `{sampler.name}` is drawn from {list(wanted)}"
        raise fail("E618", message, help="`--latent NAME` is the node that encodes an example")
    lacking = [f.name for f in graph.inputs if f.name not in fields]
    if lacking:
        raise fail("E618", f"`{name}` needs `{lacking[0]}`, which the {chosen} part has not")
    found = model.session.compute(f"code {name}", lambda: graph, fields, count=len(positions))
    return found[name]


def _code(sampler: Sampler, fields: Mapping[str, Array]) -> str:
    """The node that encodes an example, if it is plain which one."""
    whole, wanted = sampler.whole, sampler.source.latent.shape
    inputs = [f.value for f in whole.inputs if f.name in fields]
    fitting = {}
    for name in names(whole):
        value = find(whole, name)
        if value.shape == wanted and value.type.is_float and depends(value, inputs):
            fitting[name] = value
    fitting = {n: v for n, v in fitting.items() if v not in inputs}
    for word in CODES:
        for name in fitting:
            if _is_called(name, word):
                return name
    settled = [n for n, v in fitting.items() if not _is_drawn(v)] or list(fitting)
    if len(settled) == 1:
        return settled[0]
    shown = ", ".join(f"`{n}`" for n in settled)
    raise fail(
        "E618", f"it is not plain which node of `{sampler.model.name}` encodes an example",
        help=f"choose one with `--latent`: {shown}" if settled else
        f"none of {list(wanted)} is computed from an input",
    )  # fmt: skip


def _is_drawn(value: Value) -> bool:
    return any(isinstance(v.op, Draw) for v in topological([value]))
