"""What the values of a net are called: textbook notation for a chain of dense layers, else the
user's.

In: the equations of a net. Out: a term for each anchor. In a chain of dense layers the values
are Z_l = W_l A_{l−1} + b_l and A_l = g(Z_l), with A₀ = X and the labels Y; matrices hold the
examples in their columns; for one example they are z_l, a_l, x, y. Chains of images are named by
`image_names`. Any other net keeps the names in its file, with counters where a name is used more
than once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..compiler.value import Value
from . import terms as t
from .draws import LETTERS, drawn
from .equations import Equations, Step, is_sum_of_squares
from .formula import right_hand_side
from .image_names import image_chain, image_names
from .seen import from_library
from .terms import Term
from .unicode import unicode

LETTERS_OF_BLOCKS = {
    "softmax": "p", "sigmoid": "p", "kl_normal": "KL", "binary_cross_entropy": "BCE",
    "binary_cross_entropy_with_logits": "BCE",
}  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Terms by value; `textbook` tells whether the layers' values have their textbook names."""

    terms: dict[Value, Term]
    textbook: bool
    layers: tuple[Value, ...] = ()  # the affine steps, in order

    def __getitem__(self, v: Value) -> Term:
        return self.terms[v]

    def text(self, v: Value) -> str:
        return unicode(self.terms[v])


def names(equations: Equations, *, batch: bool = True) -> Names:
    """Names for every anchor: capitals where matrices hold the batch."""
    layers = dense_chain(equations)
    images = image_chain(equations) if layers is None else None
    if images is not None:
        found = image_names(equations, images)
        own = _own_names(equations, found) | {v: t.symbol(n) for v, n in found.items()}
        return Names(_at_ends({**own, **_inner_names(equations, own)}), False, tuple(images))
    if layers is None:
        own = _own_names(equations)
        return Names(_at_ends({**own, **_inner_names(equations, own)}), False)
    return Names(_textbook_names(equations, layers, batch), True, tuple(layers))


def _at_ends(found: dict[Value, Term]) -> dict[Value, Term]:
    """h_T for what a scan carried to its end."""
    for v, name in found.items():
        named = v.op.family == "part" and name.kind == "symbol" and v.origin.name
        if named and v.origin.name == _carried_word(v):
            found[v] = t.step(name, "1" if v.args[0].attrs["reverse"] else "T")
    return found


def _carried_word(v: Value) -> str | None:
    """The name of the carried value that a result of a scan is the last one of."""
    (scan,) = v.args
    k = v.attrs["index"]
    return str(scan.attrs["body"].bound[k].origin.name) if k < scan.attrs["carries"] else None


def _stacked_word(v: Value) -> str:
    """hs for the values h of all steps."""
    (scan,) = v.args
    results = scan.attrs["body"].results
    y, n = results[v.attrs["index"]], scan.attrs["carries"]
    carried = next((k for k in range(n) if results[k] is y), None)
    word = scan.attrs["body"].bound[carried].origin.name if carried is not None else y.origin.name
    return f"{_last(word) or 'y'}s"


def dense_chain(equations: Equations) -> list[Value] | None:
    """The affine steps in order, where each feeds only the next; None for any other net."""
    layers = [v for v, s in equations.steps.items() if s.kind == "affine" and v.origin.instance]
    if not layers or any(len(v.shape) != 1 for v in layers):
        return None
    used = Counter(p for s in equations.steps.values() for p in s.params)
    owned = {p for v in layers for p in equations.steps[v].params}
    if any(n > 1 for n in used.values()) or set(used) != owned:
        return None
    previous: Value | None = None
    for v in layers:
        data = equations.steps[v].inputs
        if len(data) != 1 or len(equations.steps[v].params) > 2:
            return None
        source = _source(equations, data[0])
        if source is not previous and not (previous is None and source.op.name == "input"):
            return None
        previous = v
    return layers


def _source(equations: Equations, v: Value) -> Value:
    """The layer or input behind `v`, through steps of one operand (activations, dropout)."""
    while v in equations.steps and equations.steps[v].kind != "affine":
        step = equations.steps[v]
        if len(step.operands) != 1:
            return v
        v = step.operands[0]
    return v


def _textbook_names(equations: Equations, layers: list[Value], batch: bool) -> dict[Value, Term]:
    found: dict[Value, str] = {}
    numbered = len(layers) > 1

    def layer_name(letter: str, number: int) -> str:
        shown = letter if batch or letter in "Wb" else letter.lower()
        return f"{shown}_{number}" if numbered else shown

    numbers = {v: number for number, v in enumerate(layers, start=1)}
    taken: set[str] = set()
    for v, number in numbers.items():
        found[v] = layer_name("Z", number)
        for p in equations.steps[v].params:
            found[p] = layer_name("W" if len(p.shape) == 2 else "b", number)
    for v, step in equations.steps.items():
        if v in found or step.kind == "loss" or len(step.operands) != 1:
            continue
        behind = _source(equations, v)
        if behind in numbers and v.shape == behind.shape and v.type.is_float:
            number = numbers[behind]
            free = (n for n in ("A", "H", "G", "Q") if layer_name(n, number) not in taken)
            letter = next(free, None)
            if letter:
                found[v] = layer_name(letter, number)
                taken.add(found[v])
    _name_data(equations, layers, found, batch)
    return {**_own_names(equations, found), **{v: t.symbol(n) for v, n in found.items()}}


def _name_data(
    equations: Equations, layers: list[Value], found: dict[Value, str], batch: bool
) -> None:
    """X for what enters the first layer, Y for the labels: one-hot, or a target of the loss."""
    first = equations.steps[layers[0]].inputs[0]
    while first in equations.steps and len(equations.steps[first].operands) == 1:
        first = equations.steps[first].operands[0]
    if first.op.name == "input":
        found.setdefault(first, "X" if batch else "x")
    compared = {a for s in equations.steps.values() if s.kind == "loss" for a in s.operands}
    targets = [v for v in equations.stand_in if v.op.name == "one_hot" and v in compared]
    inputs = [v for v in equations.stand_in if v.op.name == "input" and v is not first]
    targets = targets or [v for v in inputs if v.type.is_float]
    if len(targets) == 1:
        found[targets[0]] = "Y" if batch else "y"


def numbered_names(equations: Equations, taken: dict[Value, str]) -> dict[Value, Term]:
    """The user's names, made unique beside those that are given."""
    given = {v: t.symbol(n) for v, n in taken.items() if v in equations.stand_in}
    return {**_own_names(equations, taken), **given}


def _own_names(equations: Equations, taken: dict[Value, str] | None = None) -> dict[Value, Term]:
    """The user's names, made unique."""
    wanted = {v: wanted_name(v, equations) for v in equations.stand_in if v not in (taken or {})}
    counts = Counter(wanted.values()) + Counter((taken or {}).values())
    # A name that stands once in the user's own file is the user's; the library's are numbered.
    own = Counter(n for v, n in wanted.items() if not from_library(v) and _is_given(v))
    seen: Counter[str] = Counter()
    found = {}
    for v, name in wanted.items():
        theirs = own[name] == 1 and not from_library(v) and _is_given(v)
        if counts[name] > 1 and not theirs:
            seen[name] += 1
            name = f"{name}_{seen[name]}"
        found[v] = t.symbol(name)
    return found


def _inner_names(equations: Equations, own: dict[Value, Term]) -> dict[Value, Term]:
    """μ, σ², x̂ of the normalisations, numbered where there are several."""
    taken = {name.text for name in own.values()}
    numbered = len(equations.inner) > 1 or not taken.isdisjoint(("x_hat", "mu", "sigma"))
    found: dict[Value, Term] = {}
    for number, inner in enumerate(equations.inner.values(), start=1):
        found.update(inner.terms(f"_{number}" if numbered else ""))
    return found


def _is_given(v: Value) -> bool:
    return bool(v.origin.name or v.attrs.get("name"))


def wanted_name(v: Value, equations: Equations) -> str:
    """The name a reader would expect: the user's, else one by what the value is."""
    step = equations.steps.get(v)
    if step is not None and step.kind == "loss":
        losses = [s for s in equations.steps.values() if s.kind == "loss"]
        called = [o.name for o in equations.graph.of_kind("loss") if o.value is v]
        return "L" if len(losses) == 1 or not called else called[0]
    if is_sum_of_squares(v):
        return "S"
    if drawn(v):
        return _last(v.origin.name) or LETTERS[drawn(v)]
    name = _last(v.origin.name) or _last(str(v.attrs.get("name", "")))
    if step is not None and v.origin.name == equations.graph.name:
        name = "output"  # an output without a name has the net's
    if name and not (step is not None and step.kind == "affine" and name == v.origin.block):
        return name
    if v.op.family == "part":
        return _carried_word(v) or _stacked_word(v)
    if step is None:
        return "v"
    if step.value.op.name == "add" and step.kind == "function" and not from_library(step.value):
        return "s"
    if step.kind == "elementwise" and v.origin.instance and not v.shape:
        return _block_letter(step)
    return {"affine": "z", "elementwise": "a"}.get(step.kind) or _block_letter(step)


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _block_letter(step: Step) -> str:
    return LETTERS_OF_BLOCKS.get(step.block) or step.block or step.value.op.name


def function_name(equations: Equations, v: Value) -> str:
    """How an elementwise step's function is written: `relu`, `tanh`, σ; `g` if it has no name."""
    right = right_hand_side(v, {x: t.symbol("x") for x in equations.steps[v].operands})
    if right.kind == "call" and right.text not in ("max", "min"):
        return right.text
    o = v.origin
    return o.block if o.instance and o.instance not in equations.learning else "g"
