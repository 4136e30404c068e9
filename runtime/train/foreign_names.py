"""Names that PyTorch gives, and ours: a guess at which is which.

In: names and shapes of a file and of a net. Out: pairs, layer by layer in order, where every array
of a layer of ours has one of its shape. PyTorch keeps weights as we do: Linear.weight [units, n],
Conv2d.weight [units, c, kh, kw]; in a normalisation, weight is gamma and bias is beta.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Shape = tuple[int, ...]
_ROLES = {"b": "bias", "beta": "bias", "running_mean": "running_mean",
          "running_variance": "running_var"}  # fmt: skip
_THEIRS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def is_foreign(names: Iterable[str]) -> bool:
    """Do these look like the names of PyTorch's modules?"""
    return any(name.rpartition(".")[2] in _THEIRS for name in names)


def proposed(
    theirs: Mapping[str, Shape], ours: Mapping[str, Shape]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(theirs, ours) by order and shape; and those matrices that would fit if transposed."""
    layers = _layers(theirs)
    waiting = sorted(layers, key=_natural)
    pairs: list[tuple[str, str]] = []
    turned: list[tuple[str, str]] = []
    for part, leaves in _layers(ours).items():
        wanted = {_ROLES.get(leaf, "weight"): leaf for leaf in leaves}
        for layer in waiting:
            held = layers[layer]
            found = [(_joined(layer, role), _joined(part, leaf)) for role, leaf in wanted.items()]
            if len(wanted) < len(leaves) or not all(role in held for role in wanted):
                continue
            if all(theirs[t] == ours[o] for t, o in found):
                pairs += found
                waiting.remove(layer)
                break
            turned += [(t, o) for t, o in found if len(ours[o]) == 2 and
                       theirs[t] == ours[o][::-1] != ours[o]]  # fmt: skip
    return pairs, turned


def _layers(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        part, _, leaf = name.rpartition(".")
        found.setdefault(part, []).append(leaf)
    return found


def _joined(part: str, leaf: str) -> str:
    return f"{part}.{leaf}" if part else leaf


def _natural(name: str) -> list[tuple[int, int, str]]:
    """`2.weight` comes before `10.weight`."""
    pieces = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pieces]
