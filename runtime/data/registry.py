"""The sources and steps that a data declaration may name.

A source is a function from its arguments to a `Dataset`; a step takes the set before it as well.
The decorators declare the parameters beside the function, and `signature` and docstring give the
help texts. `pipeline` imports every module that declares one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arguments import Given, Parameter, Signature
from .dataset import Dataset

SourceFunction = Callable[[Given], Dataset]
StepFunction = Callable[[Dataset, Given], Dataset]


@dataclass(frozen=True)
class Source:
    signature: Signature
    make: SourceFunction

    @property
    def doc(self) -> str:
        return self.make.__doc__ or ""


@dataclass(frozen=True)
class Step:
    signature: Signature
    apply: StepFunction

    @property
    def doc(self) -> str:
        return self.apply.__doc__ or ""


SOURCES: dict[str, Source] = {}
STEPS: dict[str, Step] = {}


def source(
    name: str, *parameters: Parameter, extra: str = ""
) -> Callable[[SourceFunction], SourceFunction]:
    """Declare a function as the source `name(parameters)`."""

    def declare(function: SourceFunction) -> SourceFunction:
        SOURCES[name] = Source(Signature(name, parameters, extra), function)
        return function

    return declare


def step(
    name: str, *parameters: Parameter, extra: str = ""
) -> Callable[[StepFunction], StepFunction]:
    """Declare a function as the step `-> name(parameters)`."""

    def declare(function: StepFunction) -> StepFunction:
        STEPS[name] = Step(Signature(name, parameters, extra), function)
        return function

    return declare
