"""Random nets as `.net` text: random shapes, operations, layers, sharing and fan-out."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

SIZES = (1, 2, 3, 5, 7, 11, 13)
SMOOTH = (
    "tanh({x})", "sigmoid({x})", "exp(0.3 * tanh({x}))", "softplus({x})", "gelu({x})",
    "swish({x})", "elu({x})", "log(1 + {x}^2)", "sqrt(0.5 + {x}^2)", "erf({x})", "sin({x})",
    "cos({x})", "-{x}", "{x}^2 * 0.2", "{x} / (1 + {x}^2)", "relu({x})", "leaky_relu({x}, 0.2)",
    "abs({x})", "max({x}, 0.1)", "min({x}, 0.7)", "where({x} > 0.2, {x}, 0.5 * {x})",
    "dropout({x}, 0.25)", "stop_gradient({x}) * 0.5 + {x}", "log1p(exp({x}))", "selu({x})",
)  # fmt: skip
PAIRS = ("{x} + {y}", "{x} - 0.5 * {y}", "{x} * tanh({y})", "{x} / (1.5 + {y}^2)",
         "max({x}, {y})", "where({x} < {y}, {x} * 0.5, {y})")  # fmt: skip
VECTOR = ("softmax({x})", "log_softmax({x}) * 0.1", "layernorm({x})", "batchnorm({x})",
          "prelu({x})", "{x} - mean({x})", "{x} * sum({x}, keep = true) * 0.1",
          "{x} / (1 + max(abs({x})))")  # fmt: skip


@dataclass
class Draft:
    """A net being written: its lines, and the shape of every name."""

    lines: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)  # name: (in, out)

    def add(self, expression: str, shape: tuple[int, ...]) -> None:
        name = f"v{len(self.shapes)}"
        self.lines.append(f"  {name} = {expression}")
        self.shapes[name] = shape

    def of_rank(self, rank: int) -> list[str]:
        return [n for n, s in self.shapes.items() if len(s) == rank]


@st.composite
def nets(draw: st.DrawFn, most: int = 10) -> str:
    """The text of a net with inputs a, b, a label, and one loss."""
    d = Draft()
    n, k, m = (draw(st.sampled_from(SIZES)) for _ in range(3))
    d.shapes |= {"a": (n,), "b": (m, k), "c": ()}
    classes = draw(st.integers(2, 5))
    for _ in range(draw(st.integers(2, most))):
        STEPS[draw(st.sampled_from(sorted(STEPS)))](draw, d)
    chosen = draw(st.lists(st.sampled_from(sorted(d.shapes)), min_size=1, max_size=3, unique=True))
    last = f"v{len(d.shapes) - 1}"
    terms = [f"mean(tanh({name})^2 + {name} * 0.1)" for name in {last, *chosen} if name in d.shapes]
    vector = draw(st.sampled_from(d.of_rank(1)))
    d.lines.append(f"  scores = {vector} -> dense({classes})")
    terms.append("cross_entropy(scores, label)")
    body = "\n".join(d.lines)
    return f"""
net random {{
  input a: [{n}]
  input b: [{m}, {k}]
  input c: []
  input label: class[{classes}]
{body}
  output softmax(scores)
  loss {" + ".join(sorted(terms))}
  metric accuracy(scores, label)
}}
train random on digits() {{
  optimizer adam(lr = 0.01)
  batch 5
}}
"""


def _smooth(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(sorted(d.shapes)))
    d.add(draw(st.sampled_from(SMOOTH)).format(x=x), d.shapes[x])


def _pair(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(sorted(d.shapes)))
    fit = [y for y, s in d.shapes.items() if _broadcast(d.shapes[x], s) is not None]
    y = draw(st.sampled_from(fit))
    shape = _broadcast(d.shapes[x], d.shapes[y])
    assert shape is not None
    d.add(draw(st.sampled_from(PAIRS)).format(x=x, y=y), shape)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
        return None
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def _vector(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(d.of_rank(1)))
    d.add(draw(st.sampled_from(VECTOR)).format(x=x), d.shapes[x])


def _dense(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(d.of_rank(1)))
    units = draw(st.sampled_from(SIZES))
    d.add(f"{x} -> dense({units})", (units,))


def _shared(draw: st.DrawFn, d: Draft) -> None:
    """A layer made once and applied wherever a vector has its size."""
    x = draw(st.sampled_from(d.of_rank(1)))
    size = d.shapes[x][0]
    known = [name for name, (n, _) in d.layers.items() if n == size]
    if not known:
        name = f"D{len(d.layers)}"
        d.lines.append(f"  {name} = dense({size})")
        d.layers[name] = (size, size)
        known = [name]
    layer = draw(st.sampled_from(known))
    d.add(f"{layer}({layer}({x}) * 0.5)", d.shapes[x])


def _reduce(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(sorted(d.shapes)))
    shape = d.shapes[x]
    if not shape:
        return
    axis = draw(st.integers(0, len(shape) - 1))
    word = draw(st.sampled_from(["mean", "max", "min", "sum"]))
    keep = draw(st.booleans())
    left = tuple(1 if k == axis else n for k, n in enumerate(shape) if keep or k != axis)
    scale = " * 0.3" if word == "sum" else ""
    d.add(f"{word}({x}, axis = {axis}, keep = {str(keep).lower()}){scale}", left)


def _batch(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(sorted(d.shapes)))
    d.add(f"{x} - mean({x}, over = batch)", d.shapes[x])


def _slice(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(d.of_rank(1)))
    n = d.shapes[x][0]
    low = draw(st.integers(0, n - 1))
    high = draw(st.integers(low + 1, n))
    d.add(f"{x}[{low}:{high}]", (high - low,))


def _concat(draw: st.DrawFn, d: Draft) -> None:
    x, y = draw(st.sampled_from(d.of_rank(1))), draw(st.sampled_from(d.of_rank(1)))
    d.add(f"concat({x}, {y})", (d.shapes[x][0] + d.shapes[y][0],))


def _matrix(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(d.of_rank(2)))
    rows, columns = d.shapes[x]
    kind = draw(st.sampled_from(["flat", "turn", "square", "apply", "outer"]))
    if kind == "flat":
        d.add(f"flatten({x})", (rows * columns,))
    elif kind == "turn":
        d.add(f"{x}'", (columns, rows))
    elif kind == "square":
        d.add(f"({x} @ {x}') * 0.3", (rows, rows))
    elif kind == "apply":
        fit = [v for v in d.of_rank(1) if d.shapes[v][0] == columns]
        if fit:
            d.add(f"({x} @ {draw(st.sampled_from(fit))}) * 0.4", (rows,))
    else:
        v, w = draw(st.sampled_from(d.of_rank(1))), draw(st.sampled_from(d.of_rank(1)))
        d.add(f"({v} @ {w}') * 0.3", (d.shapes[v][0], d.shapes[w][0]))


def _reshape(draw: st.DrawFn, d: Draft) -> None:
    x = draw(st.sampled_from(d.of_rank(1)))
    n = d.shapes[x][0]
    rows = draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0]))
    d.add(f"reshape({x}, [{rows}, {n // rows}])", (rows, n // rows))


STEPS = {
    "smooth": _smooth, "pair": _pair, "vector": _vector, "dense": _dense, "shared": _shared,
    "reduce": _reduce, "batch": _batch, "slice": _slice, "concat": _concat, "matrix": _matrix,
    "reshape": _reshape,
}  # fmt: skip
