"""Random graphs of values, built straight from operations, for testing fusion and scheduling.

Small and odd shapes; sharing and fan-out; views on views; folds over axes and over the batch; thin
and fat contractions; updates that read each other's old values.
"""

from __future__ import annotations

import random
from math import prod

import numpy as np

from chainrule.compiler.channels import channels_last
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import Array, apply, build, operation
from chainrule.compiler.pipeline import lower, optimise, parse_module, step
from chainrule.compiler.plan import Plan
from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.schedule import plan
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from chainrule.dsl.source import Source
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plan_oracle import PlanOracle, run_plan

SIZES = (1, 2, 3, 5, 7)
UNARY = ("neg", "tanh", "sigmoid", "abs", "sin", "cos", "floor", "sign")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
ELEMENT = "f64"


class Builder:
    """A pool of values that grows by random operations."""

    def __init__(self, seed: int, steps: int) -> None:
        self.r = random.Random(seed)
        self.pool: list[Value] = []
        self.leaves: dict[str, Value] = {}
        self.streams = 0
        for k in range(self.r.randint(1, 3)):
            self._leaf("input", f"x{k}", True)
        for k in range(self.r.randint(1, 4)):
            self._leaf("param", f"w{k}", False)
        self._leaf("state", "s", False)
        self._leaf("scalar", "step", False, ())
        self.pool.append(build(operation("batch_size"), (), {"dtype": ELEMENT}))
        while steps:
            made = self._try()
            if made is not None and made.type.size <= 300:
                self.pool.append(made)
                steps -= 1

    def graph(self) -> Graph:
        outputs = [
            Output("output", f"o{k}", v)
            for k, v in enumerate(self.r.sample(self.pool, min(4, len(self.pool))))
        ]
        for name, target in self.leaves.items():
            if target.op.name not in ("param", "state") or self.r.random() < 0.3:
                continue
            fitting = [
                v for v in self.pool
                if v.type == target.type and v.type.dtype == ELEMENT
            ]  # fmt: skip
            if fitting:
                value = self.r.choice(fitting)
                outputs.append(Output("update", name, value, target))
        leaves = {n: Leaf(v, v.op.name) for n, v in self.leaves.items()}
        return Graph("random", tuple(outputs), leaves)

    def _leaf(
        self, kind: str, name: str, batched: bool, shape: tuple[int, ...] | None = None
    ) -> None:
        if shape is None:
            shape = tuple(self.r.choice(SIZES) for _ in range(self.r.randint(0, 3)))
        v = leaf(kind, name, Type(shape, ELEMENT, batched))
        self.leaves[name] = v
        self.pool.append(v)

    def _pick(self) -> Value:
        recent = self.pool[-4:] if self.r.random() < 0.5 else self.pool
        return self.r.choice(recent)

    def _try(self) -> Value | None:
        makers = (self._unary, self._binary, self._binary, self._where, self._reduce, self._view,
                  self._view, self._assemble, self._product, self._product, self._product,
                  self._dense, self._dense, self._outer, self._draw, self._one_hot)  # fmt: skip
        return self.r.choice(makers)()

    def _unary(self) -> Value:
        return apply(self.r.choice(UNARY), _number(self._pick()))

    def _binary(self) -> Value | None:
        x = _number(self._pick())
        if self.r.random() < 0.3:
            return apply(self.r.choice(BINARY), x, self.r.choice((0.5, 2.0, -1.0)))
        fitting = [y for y in self.pool if _broadcasts(x.shape, y.shape)]
        return apply(self.r.choice(BINARY), x, _number(self.r.choice(fitting)))

    def _where(self) -> Value | None:
        x = _number(self._pick())
        fitting = [y for y in self.pool if _broadcasts(x.shape, y.shape)]
        y = _number(self.r.choice(fitting))
        return apply("where", apply(self.r.choice(("gt", "le")), x, y), x, 0.25)

    def _reduce(self) -> Value:
        x = _number(self._pick())
        axes: list[int | str] = [k for k in range(len(x.shape)) if self.r.random() < 0.5]
        kind = self.r.choice(("sum", "sum", "max", "min", "argmax"))
        if x.type.batched and self.r.random() < 0.4 and kind != "argmax":
            axes.append("batch")
        return apply(kind, x, over=tuple(axes), keep=self.r.random() < 0.3)

    def _view(self) -> Value | None:
        x = self._pick()
        shape, kind = x.shape, self.r.choice(("reshape", "transpose", "slice", "broadcast"))
        if kind == "reshape":
            return apply("reshape", x, shape=self._reshaped(shape))
        if kind == "transpose":
            return apply("transpose", x, perm=tuple(self.r.sample(range(len(shape)), len(shape))))
        if kind == "slice":
            start = tuple(self.r.randrange(n) for n in shape)
            size = tuple(self.r.randint(1, n - s) for n, s in zip(shape, start, strict=True))
            return apply("slice", x, start=start, size=size)
        wide = tuple(self.r.choice(SIZES) if n == 1 else n for n in shape)
        lead = (self.r.choice((2, 3)),) if self.r.random() < 0.4 else ()
        return apply("broadcast", x, shape=lead + wide, batch=self.r.random() < 0.3)

    def _reshaped(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        size = prod(shape)
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        first = self.r.choice(divisors)
        return self.r.choice([(size,), (first, size // first), (1, first, size // first)])

    def _assemble(self) -> Value | None:
        x = _number(self._pick())
        if not x.shape:
            return None
        if self.r.random() < 0.5:
            start = tuple(self.r.randint(0, 2) for _ in x.shape)
            shape = tuple(s + n + self.r.randint(0, 2) for s, n in zip(start, x.shape, strict=True))
            return apply("pad", x, start=start, shape=shape)
        same = [y for y in self.pool if y.shape == x.shape]
        y = _number(self.r.choice(same))
        return apply("concat", x, y, axis=self.r.randrange(len(x.shape)))

    def _product(self) -> Value | None:
        """Any einsum of two values: letters by size, so that many meet."""
        x, y = _number(self._pick()), _number(self._pick())
        names = {1: "uvw", 2: "cde", 3: "ijk", 5: "lmn", 7: "opq"}
        parts, sizes = [], {}
        for v in (x, y):
            free = {n: list(s) for n, s in names.items()}
            letters = ""
            for n in v.shape:
                if n not in free or not free[n]:
                    return None
                c = free[n].pop(0 if self.r.random() < 0.7 else -1)
                letters, sizes[c] = letters + c, n
            parts.append("b" * v.type.batched + letters)
        every = sorted(set(parts[0] + parts[1]) - {"b"})
        kept = [c for c in every if self.r.random() < 0.6]
        self.r.shuffle(kept)
        if prod(sizes[c] for c in kept) > 300:
            return None
        batch = "b" if "b" in parts[0] + parts[1] and self.r.random() < 0.7 else ""
        return apply("einsum", x, y, spec=f"{parts[0]},{parts[1]}->{batch}{''.join(kept)}")

    def _dense(self) -> Value | None:
        """W x, its transpose, or a gradient: products whose sizes are sure to meet."""
        x = _number(self._pick())
        if len(x.shape) not in (1, 2):
            return None
        n, u = x.shape[-1], self.r.choice((2, 3, 5))
        name = f"d{n}{u}"
        if name not in self.leaves:
            self._leaf("param", name, False, (n, u))
        w = self.leaves[name]
        letters = ("b" * x.type.batched) + "ti"[2 - len(x.shape) :]
        if self.r.random() < 0.3:
            w = apply("transpose", w, perm=(1, 0))
            y = apply("einsum", x, w, spec=f"{letters},ui->{letters[:-1]}u")
        else:
            y = apply("einsum", x, w, spec=f"{letters},iu->{letters[:-1]}u")
        if self.r.random() < 0.5:
            return y
        self.pool.append(y)
        batch = "" if self.r.random() < 0.8 else "b" * x.type.batched
        return apply("einsum", y, x, spec=f"{letters[:-1]}u,{letters}->{batch}iu")

    def _outer(self) -> Value | None:
        x, y = _number(self._pick()), _number(self._pick())
        return apply("outer", x, y) if len(x.shape) == len(y.shape) == 1 else None

    def _draw(self) -> Value:
        x = self._pick()
        self.streams += 1
        return apply("uniform", shape=x.shape, stream=self.streams, batched=self.r.random() < 0.7,
                     dtype=ELEMENT)  # fmt: skip

    def _one_hot(self) -> Value | None:
        x = self._pick()
        if x.type.dtype != "i32":
            return None
        return apply("one_hot", x, classes=self.r.choice((2, 3, 5)), dtype=ELEMENT)


def _number(x: Value) -> Value:
    return x if x.type.dtype == ELEMENT else apply("cast", x, dtype=ELEMENT)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs)


def numbers(graph: Graph, batch: int, seed: int = 0) -> dict[str, Array]:
    """Random numbers for every leaf but `step`."""
    rng = np.random.default_rng(seed)
    given = {}
    for name, known in graph.leaves.items():
        t = known.value.type
        shape = (batch, *t.shape) if t.batched else t.shape
        if t.is_float:
            given[name] = rng.uniform(-1, 1, shape)
        else:
            given[name] = rng.integers(0, t.classes or 2, shape)
    given.pop("step", None)
    return given


def assert_plan_is_right(
    graph: Graph, batch: int = 3, capacity: int = 4, tolerance: float = 1e-9
) -> Plan:
    """Planned, checked and run by the oracle, a graph gives what the plain interpreter gives."""
    made = plan(channels_last(graph), capacity)
    check_plan(made)
    given = numbers(graph, batch)
    oracle = run_plan(made, given, batch=batch, seed=5, step=2)
    expected = run_graph(graph, given, batch=batch, seed=5, step=2)
    for o in graph.outputs:
        want = expected[o.kind, o.name]
        got = _result(oracle, o, batch)
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=tolerance, atol=tolerance,
                                   err_msg=f"{o.kind} {o.name}")  # fmt: skip
    return made


def _result(oracle: PlanOracle, o: Output, batch: int) -> Array:
    if o.kind == "update":
        assert o.target is not None
        return oracle.read(str(o.target.attrs["name"]), batch)
    return oracle.read(o.name, batch)


def training(body: str, optimizer: str = "sgd(lr = 0.1)", dtype: str = "f64", **more: str) -> Graph:
    """The lowered training step of a net whose body is given."""
    text = (
        f"net model {{\n{body}\n}}\ndata d = xor()\n"
        f"train model on d {{\n optimizer {optimizer}\n batch 4\n epochs 1\n}}\n"
    )
    module = parse_module(Source("test.net", text), more)
    graph = step(module, module.trains[0], dtype=dtype)
    return lower(optimise(graph))


CLASSIFIER = """
  input x: [7]
  input y: class[3]
  h = x -> dense(5) -> relu
  z = h -> dense(3)
  output softmax(z)
  loss cross_entropy(z, y)
  metric accuracy(z, y)
"""


def deep(layers: int, width: int = 6, optimizer: str = "sgd(lr = 0.1)") -> Graph:
    """A classifier of many equal layers."""
    return training(
        f"""
  input x: [{width}]
  input y: class[{width}]
  repeat {layers} {{
    x = x -> dense({width}) -> tanh
  }}
  loss cross_entropy(x, y)
""",
        optimizer,
    )
