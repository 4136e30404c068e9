"""Textbook names for a chain of layers of images: Z₁ = W₁ ∗ X + b₁, A₁ = relu(Z₁), P₁ = max_w A₁.

In: the equations of a net. Out: a name for each value, if every layer feeds only the next and one
of them is a convolution. Images have capitals, vectors small letters; all are of one example. A
number is that of the layer a value comes from. Other nets keep the names of their file (`names`).
"""

from __future__ import annotations

from collections import Counter

from ..compiler.value import Value
from .equations import Equations, Step, is_sum_of_squares
from .geometry import CONVOLUTIONS, is_flat

NORMAL, POOLED = "N", "P"
OTHERS = ("A", "H", "G", "Q", "U", "V")


def image_chain(equations: Equations) -> list[Value] | None:
    """The affine steps in order, where each feeds only the next and one convolves."""
    layers = [v for v, s in equations.steps.items() if s.kind == "affine"]
    used = Counter(p for s in equations.steps.values() for p in s.params)
    convolves = any(x.op.name in CONVOLUTIONS for v in layers for x in equations.steps[v].inside)
    if not convolves or any(n > 1 for n in used.values()):
        return None
    previous: Value | None = None
    for v in layers:
        data = _data(equations.steps[v])
        if len(data) != 1 or len(equations.steps[v].params) > 2:
            return None
        source = _behind(equations, data[0])
        if source is not previous and not (previous is None and source.op.name == "input"):
            return None
        previous = v
    return layers


def image_names(equations: Equations, layers: list[Value]) -> dict[Value, str]:
    """Names of what the chain computes, of its parameters, its input and its labels."""
    numbers = {v: k for k, v in enumerate(layers, start=1)}
    found: dict[Value, str] = {}
    taken: set[str] = set()
    for v, step in equations.steps.items():
        behind = v if v in numbers else _behind(equations, v)
        if behind not in numbers or step.kind == "loss" or not v.type.is_float:
            continue
        number = numbers[behind]
        for letter in _letters(equations, v, step, v in numbers):
            name = f"{letter if len(v.shape) > 1 else letter.lower()}_{number}"
            if name not in taken:
                taken.add(name)
                found[v] = name
                break
        found.update(_params(step, number, v in numbers))
    first = _behind(equations, layers[0], past=True)
    found[first] = "X" if len(first.shape) > 1 else "x"
    targets = [v for v in equations.labels if v not in found]
    if len(targets) == 1:
        found[targets[0]] = "y"
    return found


def _params(step: Step, number: int, affine: bool) -> dict[Value, str]:
    if affine:
        return {p: f"{'W' if len(p.shape) > 1 else 'b'}_{number}" for p in step.params}
    return {p: f"{str(p.attrs['name']).rpartition('.')[2]}_{number}" for p in step.params}


def _letters(equations: Equations, v: Value, step: Step, affine: bool) -> tuple[str, ...]:
    """What a step may be called, the best first."""
    if affine:
        return ("Z",)
    if v in equations.inner:
        return (NORMAL, *OTHERS[1:])
    if is_sum_of_squares(v):
        return ("S", *OTHERS[1:])
    if is_flat(step.inside):
        return ("F", *OTHERS[1:])
    (x,) = _data(step)[:1] or (v,)
    if len(x.shape) == 3 and v.shape != x.shape:
        return (POOLED, *OTHERS[1:])
    return OTHERS if step.kind == "elementwise" or step.block == "softmax" else OTHERS[1:]


def _data(step: Step) -> list[Value]:
    return [a for a in step.inputs if a.type.batched]


def _sources(equations: Equations, v: Value) -> list[Value]:
    """The data of a step, without what is made of other data of it alone: A / S^β has A."""
    data = _data(equations.steps[v])
    made = [a for a in data if a in equations.steps and _data(equations.steps[a])[1:] == []
            and _data(equations.steps[a])[0] in data]  # fmt: skip
    return [a for a in data if a not in made] if len(made) < len(data) else data


def _behind(equations: Equations, v: Value, past: bool = False) -> Value:
    """The layer or input that `v` is made from, by steps with one operand; `past` goes through
    layers."""
    while v in equations.steps and (past or equations.steps[v].kind != "affine"):
        data = _sources(equations, v)
        if len(data) != 1:
            return v
        v = data[0]
    return v
