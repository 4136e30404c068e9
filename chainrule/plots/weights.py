"""The weights of the first layer of a net that sees pictures.

In: a model with its weights. Out: an array [units, C, h, w], and the plot. The first layer is the
first product or convolution that the picture goes into; the weights of a product with the picture
as a vector are given back its shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler.nodes import depends
from ..compiler.pipeline import forward
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from ..viz.plots.weights import weights
from .asked import Asked
from .seeing import Array, Seen, seen

if TYPE_CHECKING:
    from ..model import Model

PRODUCTS = ("contraction", "convolution")


def first_layer(model: Model) -> tuple[str, Array]:
    """The name of the parameter, and its numbers as pictures. Raises Failure E621."""
    found = seen(model, "a plot of weights")
    graph = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    image = graph.leaves[found.name].value
    for v in graph.nodes:
        params = [a for a in v.args if a.op.name == "param" and len(a.shape) in (2, 4)]
        if v.op.family in PRODUCTS and params and depends(v, [image]):
            name = str(params[0].attrs["name"])
            return name, _pictures(model, found, params[0], model.session.values[name])
    raise fail("E621", f"`{found.name}` of `{model.name}` goes into no layer with weights",
               model.net.name.span, help="add one: `image -> dense(30)`")  # fmt: skip


def _pictures(model: Model, found: Seen, param: Value, array: Array) -> Array:
    if array.ndim == 4:
        return array if array.shape[1] == 3 else array.reshape(-1, 1, *array.shape[2:])
    size = found.leaf.value.type.size
    if array.shape[1] == size:
        return array.reshape(-1, *found.shape)
    name = param.attrs["name"]
    raise fail(
        "E621", f"`{name}` is {list(array.shape)}: its rows are not pictures like `{found.name}`",
        model.net.name.span, help="the first layer must see the picture itself",
    )  # fmt: skip


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    name, array = first_layer(model)
    units = "kernels" if model.session.values[name].ndim == 4 else "units"
    return weights(array, path, theme=asked.theme, name=name, units=units)
