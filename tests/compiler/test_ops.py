"""Every operation of the registry: complete, right in shape, value and derivative. New ones too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chainrule.compiler.autodiff import gradient
from chainrule.compiler.graph import leaf
from chainrule.compiler.op import Elementwise, Op, apply, build, registry
from chainrule.compiler.scalar import Call, Element, Literal, Position, Scalar
from chainrule.compiler.types import ShapeError, Type
from chainrule.compiler.value import Value
from chainrule.runtime.plain import evaluate

APART = ("leaf", "scan", "part", "along")  # scans have tests of their own: test_scans.py
OPS = [op for op in registry().values() if op.family not in APART]
BATCH = 3
# Element by element, at odd shapes: 1, primes, and what broadcasts to them.
SHAPES = [((7,), (7,), (7,)), ((3, 5), (5,), (3, 1)), ((), (5,), (1,)), ((1, 1), (2, 3, 1), (7,))]
names = {"ids": lambda x: x.name if isinstance(x, Op) else None}


def cases(op: Op) -> list[tuple[list[tuple[int, ...]], dict]]:
    if op.samples:
        return [(list(shapes), attrs) for shapes, attrs in op.samples]
    return [(list(shapes[: len(op.parameters)]), {}) for shapes in SHAPES]


def operands(op: Op, shapes: list, batched: tuple[bool, ...]) -> list[Value]:
    dtypes = {
        ("one_hot", 0): "i32", ("where", 0): "bool", ("gather", 1): "i32", ("scatter", 0): "i32",
    }  # fmt: skip
    found = []
    for k, (shape, b) in enumerate(zip(shapes, batched, strict=True)):
        dtype = dtypes.get((op.name, k), "f64")
        found.append(leaf("input", f"x{k}", Type(shape, dtype, b)))
    return found


def all_cases(op: Op):
    """Each sample with all operands per example, with none, and with the first alone."""
    for shapes, attrs in cases(op):
        ways = {(True,) * len(shapes), (False,) * len(shapes), (True, *[False] * len(shapes))}
        if op.family == "lookup":  # ids of each example in what all of them share
            ways.add((False, True))
        for batched in sorted({w[: len(shapes)] for w in ways}):
            over = attrs.get("over", ())
            needs_batch = "batch" in (over if isinstance(over, tuple) else (over,))
            needs_batch |= op.name == "scatter" and attrs.get("batch", False)
            if needs_batch and not any(batched):
                continue
            if op.name == "argmax" and needs_batch:
                continue
            yield operands(op, shapes, batched), attrs


def random(xs: list[Value], op: Op, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    given = {}
    for x in xs:
        shape = ((BATCH,) if x.type.batched else ()) + x.shape
        given[x.attrs["name"]] = (
            rng.integers(0, 2, shape)
            if x.type.dtype in ("i32", "bool")
            else rng.uniform(*op.domain, shape)
        )
    return given


@pytest.mark.parametrize("op", OPS, **names)
def test_an_operation_says_what_it_is(op: Op) -> None:
    assert op.doc.endswith("."), "one sentence of definition"
    assert op.latex, "a formula"
    assert len(op.parameters) < 4
    values = dict.fromkeys(("x", "y", "c", *op.options, "start", "spec"), "x")
    op.latex.format(**values)


@pytest.mark.parametrize("op", OPS, **names)
def test_the_shape_rule_agrees_with_the_reference(op: Op) -> None:
    for xs, attrs in all_cases(op):
        y = build(op, tuple(xs), attrs)
        (found,) = evaluate([y], random(xs, op), batch=BATCH)
        expected = ((BATCH,) if y.type.batched else ()) + y.shape
        assert found.shape == expected, (attrs, [x.type for x in xs])
        assert found.dtype == y.type.numpy


def scalar_value(e: Scalar, elements: list[np.ndarray], places: tuple[np.ndarray, ...]):
    """A scalar expression in NumPy: a second opinion on `reference`."""
    if isinstance(e, Literal):
        return np.float64(e.value)
    if isinstance(e, Element):
        return elements[e.slot]
    if isinstance(e, Position):
        return places[e.axis]
    assert isinstance(e, Call)
    a = [scalar_value(x, elements, places) for x in e.arguments]
    from math import erf

    words = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
        "pow": np.power, "max": np.maximum, "min": np.minimum, "exp": np.exp, "expm1": np.expm1,
        "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: x**-0.5,
        "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(erf),
        "sin": np.sin, "cos": np.cos, "abs": np.abs, "sign": np.sign, "floor": np.floor,
        "square": np.square, "reciprocal": np.reciprocal, "lt": np.less, "le": np.less_equal,
        "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
        "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "select": np.where,
        "f32": np.float32, "f64": np.float64, "i32": np.int32, "bool": np.bool_,
    }  # fmt: skip
    return words[e.function](*a)


@pytest.mark.parametrize(
    "op", [o for o in OPS if isinstance(o, Elementwise) and o.parameters], **names
)
def test_the_scalar_expression_is_the_reference(op: Elementwise) -> None:
    for shapes, attrs in cases(op):
        xs = operands(op, shapes, (False,) * len(shapes))
        y = build(op, tuple(xs), attrs)
        given = random(xs, op)
        arrays = evaluate([*y.args, y], given)
        elements = [np.broadcast_to(a, y.shape) for a in arrays[:-1]]
        expression = op.expression(y, *(Element(k) for k in range(len(elements))))
        found = scalar_value(expression, elements, tuple(np.indices(y.shape)))
        np.testing.assert_allclose(found, arrays[-1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 0.5, -1, -0.5, -2, 1.7])
def test_a_power_with_a_known_exponent_has_a_shorter_expression(exponent: float) -> None:
    x = leaf("input", "x0", Type((5,), "f64"))
    y = x**exponent
    at = np.linspace(0.3, 2, 5)
    found = scalar_value(y.op.expression(y, Element(0), Element(1)), [at, exponent], ())
    np.testing.assert_allclose(np.broadcast_to(found, 5), at**exponent)


def weighted(y: Value, seed: int) -> Value:
    """A scalar in which every element of y counts differently."""
    rng = np.random.default_rng(seed)
    weight = leaf("input", f"w{seed}", Type(y.shape, "f64", y.type.batched))
    WEIGHTS[f"w{seed}"] = rng.normal(size=((BATCH,) if y.type.batched else ()) + y.shape)
    over = (*range(len(y.shape)), "batch") if y.type.batched else tuple(range(len(y.shape)))
    return apply("sum", y * weight, over=over)


WEIGHTS: dict[str, np.ndarray] = {}


def check_gradient(total: Value, x: Value, g: Value, given: dict, label: object) -> None:
    name = x.attrs["name"]
    (found,) = evaluate([g], given, batch=BATCH)
    assert found.shape == given[name].shape, label
    h = 1e-5
    expected = np.zeros_like(given[name])
    for place in np.ndindex(expected.shape):
        ends = []
        for sign in (1, -1):
            moved = given[name].copy()
            moved[place] += sign * h
            ends.append(evaluate([total], {**given, name: moved}, batch=BATCH)[0])
        expected[place] = (ends[0] - ends[1]) / (2 * h)
    scale = max(1.0, np.abs(expected).max(initial=0))
    assert np.abs(found - expected).max(initial=0) <= 1e-6 * scale, label


def differentiable(op: Op, xs: list[Value], attrs: dict) -> Value | None:
    y = build(op, tuple(xs), attrs)
    floats = [x for x in xs if x.type.dtype == "f64"]
    smooth = op.name != "stop_gradient"  # it denies its derivative: that is what it is for
    known = smooth and not op.lowered  # what lowering makes is never differentiated
    return y if y.type.dtype == "f64" and floats and known else None


@pytest.mark.parametrize("op", OPS, **names)
def test_the_derivative_agrees_with_finite_differences_and_so_does_its_own(op: Op) -> None:
    for xs, attrs in all_cases(op):
        y = differentiable(op, xs, attrs)
        if y is None:
            continue
        WEIGHTS.clear()
        total = weighted(y, 1)
        floats = [x for x in xs if x.type.dtype == "f64"]
        first = gradient(total, floats)
        again = [weighted(g, 2 + k) for k, g in enumerate(first)]
        given = {**random(xs, op), **WEIGHTS}
        for x, g in zip(floats, first, strict=True):
            check_gradient(total, x, g, given, (attrs, [v.type for v in xs]))
        for g, x in itertools.product(again, floats):
            (second,) = gradient(g, [x])
            check_gradient(g, x, second, given, ("second", attrs, [v.type for v in xs]))


# ---------------------------------------------------------------- corners


def test_relu_has_slope_zero_at_zero() -> None:
    x = leaf("input", "x0", Type((3,), "f64"))
    (g,) = gradient(apply("sum", apply("maximum", x, 0)), [x])
    assert evaluate([g], {"x0": np.array([-1.0, 0.0, 2.0])})[0].tolist() == [0, 0, 1]


def test_stop_gradient_stops_the_gradient_and_nothing_else() -> None:
    x = leaf("input", "x0", Type((3,), "f64"))
    y = apply("sum", apply("stop_gradient", x) * x)
    (g,) = gradient(y, [x])
    at = np.array([-1.0, 0.5, 2.0])
    total, found = evaluate([y, g], {"x0": at})
    assert total == (at * at).sum()
    np.testing.assert_array_equal(found, at)


def test_the_gradient_of_a_maximum_is_shared_by_equal_elements() -> None:
    x = leaf("input", "x0", Type((4,), "f64"))
    (g,) = gradient(apply("max", x), [x])
    assert evaluate([g], {"x0": np.array([2.0, 1, 2, 0])})[0].tolist() == [0.5, 0, 0.5, 0]


def test_log_of_one_plus_exp_does_not_overflow() -> None:
    x = leaf("input", "x0", Type((3,), "f64"))
    (y,) = evaluate([apply("log1pexp", x)], {"x0": np.array([-1000.0, 0, 1000])})
    np.testing.assert_allclose(y, [0, np.log(2), 1000])


def test_a_power_of_a_negative_base_has_a_derivative_for_a_whole_exponent() -> None:
    x = leaf("input", "x0", Type((), "f64"))
    (g,) = gradient(x**3, [x])
    assert evaluate([g], {"x0": np.array(-2.0)})[0] == 12


def i(*shape: int, k: int | None = None) -> Value:
    return leaf("input", "i", Type(shape, "i32", classes=k))


@pytest.mark.parametrize(
    ("build_it", "code", "message"),
    [
        (lambda a, b: a(512, 512) @ a(784), "E301", "`@` needs matching inner sizes, got 512"),
        (lambda a, b: a(3) + a(2), "E302", "do not broadcast"),
        (lambda a, b: apply("sum", a(3), axis=1), "E303", "axis 1 does not exist"),
        (lambda a, b: apply("sum", a(3), axis=0, over=0), "E304", "not both"),
        (lambda a, b: apply("sum", a(3), over="batch"), "E305", "no batch"),
        (lambda a, b: a(2, 2) @ a(), "E320", "got a scalar"),
        (lambda a, b: apply("reshape", a(6), shape=(4,)), "E321", "cannot become"),
        (lambda a, b: apply("slice", a(3), start=(2,), size=(2,)), "E306", "outside axis 0"),
        (lambda a, b: apply("concat", a(2, 3), a(2, 4)), "E322", "the other sizes to match"),
        (lambda a, b: apply("einsum", a(2), a(3), spec="ij,j->i"), "E323", "does not name"),
        (lambda a, b: apply("transpose", a(2, 3), perm=(0, 0)), "E324", "is not an order"),
        (lambda a, b: apply("argmax", b(3), over="batch"), "E325", "over the batch"),
        (lambda a, b: apply("cast", a(3), dtype="f8"), "E326", "not an element type"),
        (lambda a, b: apply("one_hot", a(3)), "E308", "needs labels"),
        (lambda a, b: apply("broadcast", a(3), shape=(2,)), "E302", "do not broadcast"),
        (lambda a, b: apply("gather", a(3, 2), a(3)), "E308", "needs whole numbers to look up"),
        (lambda a, b: apply("gather", a(), i(3)), "E328", "needs a table, got a scalar"),
        (lambda a, b: apply("gather", a(3, 2), i(4, k=5)), "E328", "5 classes in a table of 3"),
        (lambda a, b: apply("scatter", i(4), a(3, 2), rows=2), "E328", "one row for each id"),
        (lambda a, b: apply("scatter", i(4), a(4), rows=0), "E328", "at least one row"),
        (lambda a, b: apply("scatter", i(4), a(4), rows=2, batch=True), "E305", "no batch to sum"),
    ],
)
def test_operands_that_do_not_fit_are_told_why(build_it, code: str, message: str) -> None:
    def once(*shape: int) -> Value:
        return leaf("input", "a", Type(shape, "f64"))

    def each(*shape: int) -> Value:
        return leaf("input", "b", Type(shape, "f64", True))

    with pytest.raises(ShapeError) as caught:
        build_it(once, each)
    assert caught.value.code == code
    assert message in caught.value.message


def test_a_product_that_does_not_fit_shows_both_shapes() -> None:
    with pytest.raises(ShapeError) as caught:
        leaf("param", "W", Type((512, 512))) @ leaf("input", "x", Type((784,)))
    assert caught.value.message == "`@` needs matching inner sizes, got 512 and 784"
    assert caught.value.note == "[512, 512] @ [784]"
