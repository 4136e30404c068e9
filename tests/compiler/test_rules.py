"""Every rule keeps the value: checked on random numbers, and exactly where it is rational."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from chainrule.compiler.graph import leaf, topological
from chainrule.compiler.op import apply
from chainrule.compiler.patterns import number
from chainrule.compiler.rewrite import Engine, Rule, Trace, _index, rules
from chainrule.compiler.types import Type
from chainrule.compiler.value import Origin, Value, origin
from chainrule.runtime.plain import evaluate

ALL = rules("stabilise") + rules("simplify") + rules("use")
BATCH = 4


def given(roots: list[Value], seed: int) -> dict[str, np.ndarray]:
    """Random numbers for the leaves, positive where the name says so."""
    rng = np.random.default_rng(seed)
    found = {}
    for v in topological(roots):
        if v.op.family != "leaf" or "name" not in v.attrs:
            continue
        shape = ((BATCH,) if v.type.batched else ()) + v.shape
        x = rng.normal(size=shape)
        if "positive" in v.attrs["name"]:
            x = np.abs(x) + 0.1
        if v.type.dtype == "i32":
            x = rng.integers(0, v.type.classes or 9, size=shape)
        if v.type.dtype == "bool":
            x = x > 0
        found[v.attrs["name"]] = x
    return found


def simplified(root: Value, stage: str) -> tuple[Value, Trace]:
    trace = Trace()
    engine = Engine(_index(stage), trace, budget=200)
    with origin(Origin()):
        after = engine.normal(root)
    assert engine.budget > 0, "the rules go round in circles"
    return after, trace


@pytest.mark.parametrize("rule", ALL, ids=lambda r: f"{r.family}-{r.name}".replace(" ", "_"))
def test_a_rule_applies_to_its_samples_and_keeps_their_value(rule: Rule) -> None:
    applied = False
    for k, sample in enumerate(rule.samples()):
        after, trace = simplified(sample, rule.stage)
        steps = [s for s in trace.steps if s.rule.name == rule.name]
        applied |= bool(steps)
        values = [sample, after] + [v for s in trace.steps for v in (s.before, s.after)]
        results = evaluate(values, given(values, k), batch=BATCH)
        assert after.type == sample.type
        np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-9)
        for before, later in zip(results[2::2], results[3::2], strict=True):
            np.testing.assert_allclose(later, before, rtol=1e-9, atol=1e-9)
    assert applied, "no sample reaches the rule"


def test_deviations_from_anything_but_the_mean_are_summed() -> None:
    x = leaf("input", "x", Type((3, 5), "f64", True))
    m = apply("batch_size", dtype="f64")
    total, rows = apply("sum", x, over="batch"), apply("sum", x, axis=1, keep=True)
    for y in (
        apply("sum", x - 2 * total / m, over="batch"),
        apply("sum", x - total, over="batch"),
        apply("sum", x - rows / 3, axis=1),
        apply("sum", x - rows / 5, axis=0),
        apply("sum", x - rows / 5, over="batch"),
        apply("sum", (x - rows / 5) * x, axis=1),
    ):
        after, trace = simplified(y, "simplify")
        assert "deviations from the mean sum to zero" not in [s.rule.name for s in trace.steps]
        before, later = evaluate([y, after], given([y], 3), batch=BATCH)
        np.testing.assert_allclose(later, before, rtol=1e-9, atol=1e-9)


def test_every_rule_has_a_name_of_its_own_and_a_reason() -> None:
    names = [(r.family, r.name) for r in ALL]
    assert len(set(names)) == len(names)
    assert all(r.reason for r in ALL)


RATIONAL: dict[str, Callable[..., Fraction]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "neg": operator.neg,
}  # fmt: skip


def exact(v: Value, at: dict[str, Fraction]) -> Fraction:
    """A rational expression at rational numbers."""
    if v.is_constant:
        return Fraction(v.attrs["value"])
    if v.op.name in ("input", "scalar"):
        return at[v.attrs["name"]]
    if v.op.name == "pow":
        n = number(v.args[1])
        assert n is not None
        return exact(v.args[0], at) ** int(n)
    return RATIONAL[v.op.name](*(exact(a, at) for a in v.args))


def is_rational(rule: Rule) -> bool:
    if rule.before is None or rule.after is None:
        return False
    known = {*RATIONAL, "pow", "constant", "input", "scalar"}
    nodes = topological([rule.before, rule.after])
    whole = all(float(number(v.args[1]) or 0).is_integer() for v in nodes if v.op.name == "pow")
    return whole and all(v.op.name in known for v in nodes)


@pytest.mark.parametrize("rule", [r for r in ALL if is_rational(r)], ids=lambda r: r.name)
def test_a_rational_rule_holds_exactly(rule: Rule) -> None:
    """Two rational functions that agree at enough random points are equal (Schwartz & Zippel)."""
    random = Random(7)
    assert rule.before is not None and rule.after is not None
    for _ in range(40):
        at = {c: Fraction(random.randint(2, 10**9), random.randint(2, 10**9)) for c in "xyzpank"}
        assert exact(rule.before, at) == exact(rule.after, at)
