"""Which input of a net is a picture, and examples of it as pixels.

In: a model. Out: the input that is seen, its channels, height and width; examples of a part with
their pixels, the class that the net tells and the true one. Raises Failure E621 where no input is a
picture, E625 where the part has no such example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..answers import answer
from ..compiler.graph import Leaf
from ..dsl.diagnostics import fail
from ..runtime.metrics import classes_of
from ..sampling import class_names
from ..sheets import look_of

if TYPE_CHECKING:
    from ..model import Model

Array = NDArray[Any]


@dataclass(frozen=True)
class Seen:
    """The input that is a picture."""

    leaf: Leaf
    shape: tuple[int, int, int]

    @property
    def name(self) -> str:
        return self.leaf.name

    def pixels(self, array: Array) -> Array:
        """Numbers of the input [n, …] as [n, C, h, w]."""
        return array.reshape(len(array), *self.shape)


def seen(model: Model, what: str) -> Seen:
    """The first input that outputs are computed from and that is a picture. Raises Failure E621."""
    aside = model.session.targets
    for leaf in model.evaluation.inputs:
        if leaf.name in aside or not leaf.value.type.is_float:
            continue
        look = look_of(model, leaf.value)
        if look is not None and look.shape[0] in (1, 3):
            return Seen(leaf, look.shape)
    shown = ", ".join(f"`{f.name}: {list(f.value.shape)}`" for f in model.evaluation.inputs
                      if f.name not in aside) or "no input"  # fmt: skip
    raise fail(
        "E621",
        f"{what} needs a net that sees pictures, and `{model.name}` takes {shown}",
        model.net.name.span,
        help="an input [1, h, w], [3, h, w] or a square of numbers is a picture",
    )


@dataclass(frozen=True)
class Examples:
    """Some examples of a part: `fields` as the net takes them; of a classifier the `scores`, the
    `predicted` and the `true` class, and the classes' names."""

    positions: tuple[int, ...]
    part: str
    fields: dict[str, Array]
    scores: Array | None = None
    predicted: Array | None = None
    true: Array | None = None
    names: tuple[str, ...] = ()
    output: str = ""  # the one that tells the class

    def words(self, k: int) -> str:
        """`7`, or `7, taken for 1`."""
        if self.true is None or self.predicted is None:
            return ""
        true, told = self.names[int(self.true[k])], self.names[int(self.predicted[k])]
        return true if true == told else f"{true}, taken for {told}"


def chosen(model: Model, positions: Sequence[int], part: str | None) -> Examples:
    """Examples by their places in a part, with what the net says of them."""
    feeder = model.feeder(part)
    name = model.part(part)
    if any(not 0 <= k < len(feeder) for k in positions):
        raise fail("E625", f"the {name} part has no example "
                   f"{next(k for k in positions if not 0 <= k < len(feeder))}",
                   help=f"its examples are 0 to {len(feeder) - 1:,}")  # fmt: skip
    at = np.asarray(list(positions), np.int64)
    fields = {
        n: feeder.part.rows(r.field, at, r.dtype, r.shape) for n, r in feeder.requests.items()
    }
    found = Examples(tuple(positions), name, fields)
    for target in model.session.targets:
        leaf = model.evaluation.leaves[target]
        classes, output = leaf.value.type.classes, answer(model.evaluation, target)
        if classes is None or output is None or leaf.value.shape:
            continue
        scores = model.session.predict(fields)[output].reshape(len(at), -1)
        told = classes_of(scores)
        if scores.shape[1] == 1:
            scores = np.concatenate([1 - scores, scores], axis=1)
        names = class_names(model, leaf)
        shown = names if len(names) == classes else list(map(str, range(classes)))
        return Examples(found.positions, name, fields, scores, told, fields[target],
                        tuple(shown), output)  # fmt: skip
    return found


def first_of_each(model: Model, part: str | None, most: int) -> tuple[int, ...]:
    """The first example of each class, where there are classes; else the first ones."""
    feeder = model.feeder(part)
    for target in model.session.targets:
        type = model.evaluation.leaves[target].value.type
        if type.classes is not None and not type.shape and target in feeder.requests:
            labels = feeder.arrays[target]
            _, at = np.unique(labels, return_index=True)
            return tuple(int(k) for k in at[:most])
    return tuple(range(min(most, len(feeder))))
