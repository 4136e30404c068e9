"""Many texts from many examples: rows in groups, and the way of choosing that was asked for.

In: a net taken apart, parameters, arrays of examples, a `Generation`. Out: the tokens of each text.
Texts and their numbers are left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_

import numpy as np

from ...compiler.generate.split import LENGTH, Stepwise
from ..device import Device
from .beam import PENALTY, beam_search
from .choose import Array, ByChance, Likeliest, write
from .settings import Generation
from .stepper import Stepper

ROWS = 256  # sequences at once


@dataclass(frozen=True)
class Said:
    """`tokens` without the start and the end; `log_probability` is theirs and the end's."""

    tokens: tuple[int, ...]
    log_probability: float
    example: int = 0
    sample: int = 0


class Generator:
    """Steps compiled when first needed, and again only for more rows."""

    def __init__(self, net: Stepwise, device: Device) -> None:
        self.net, self.device = net, device
        self._stepper: Stepper | None = None
        self._pushed: list[Array] = []

    def stepper(self, rows: int, values: Mapping[str, Array]) -> Stepper:
        """For that many rows, with these parameters."""
        if self._stepper is None or self._stepper.capacity < rows:
            self._stepper = Stepper(self.net, rows, self.device)
            self._pushed = []
        given = list(values.values())
        if len(given) != len(self._pushed) or not all(map(is_, given, self._pushed)):
            self._stepper.push(values)
            self._pushed = given
        return self._stepper

    def generate(
        self,
        values: Mapping[str, Array],
        inputs: Mapping[str, Array],
        settings: Generation,
        *,
        start: Sequence[int],
        length: int,
        end: int | None = None,
        never: Sequence[int] = (),
        told: Callable[[int, int], None] | None = None,
    ) -> list[Said]:
        """The texts for each example (one, where the net is given nothing), samples side by side.

        `start`: the tokens that all begin with, one at least. `told` hears how many examples of how
        many are done. Examples of similar length go together.
        """
        count = len(next(iter(inputs.values()))) if inputs else 1
        copies = settings.width if settings.beam is not None else settings.samples
        group = max(1, ROWS // copies)
        stepper = self.stepper(min(group, count) * copies, values)
        order = _by_length(inputs, count)
        found: list[Said] = []
        for first in range(0, count, group):
            rows = order[first : first + group]
            stepper.begin({n: a[rows] for n, a in inputs.items()}, len(rows), copies)
            if settings.beam is not None:
                alpha = PENALTY if settings.length_penalty is None else settings.length_penalty
                best = beam_search(stepper, copies, start, length, alpha, end, never)
                found += [Said(tuple(t), p, int(k)) for k, (t, p) in zip(rows, best, strict=True)]
            else:
                numbers = [int(k) * copies + i for k in rows for i in range(copies)]
                choose = _chooser(settings, numbers, length, never)
                for number, (tokens, log) in zip(
                    numbers, write(stepper, start, length, choose, end), strict=True
                ):
                    found.append(Said(tuple(tokens), log, *divmod(number, copies)))
            if told is not None:
                told(min(first + group, count), count)
        return sorted(found, key=lambda s: (s.example, s.sample))


def _chooser(
    settings: Generation, numbers: Sequence[int], length: int, never: Sequence[int]
) -> Likeliest | ByChance:
    if not settings.draws:
        return Likeliest(never)
    temperature = 1.0 if settings.temperature is None else settings.temperature
    return ByChance(numbers, length, settings.seed, temperature, settings.top_k, never)


def _by_length(inputs: Mapping[str, Array], count: int) -> Array:
    """The shortest first, so that little is computed for nothing."""
    lengths = [a for n, a in inputs.items() if n.endswith(LENGTH)]
    return np.lexsort(lengths) if lengths else np.arange(count)
