"""Random recurrent nets as `.net` text, from a seed: what the tests of every stage run.

Each has a few scans one after another, with one to three carried values of different shapes, masks,
directions, truncation, yields, values from outside (for each example and shared), attention over an
earlier sequence, inner scans, and a loss over everything they give. Sizes are small and odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import gradients
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

Array = NDArray[Any]
BATCH = 3
STEPS, FEATURES, LABELS = 5, 3, 4
SIZES = {"T": STEPS, "k": LABELS}
_BOUNDED = ("tanh({})", "sigmoid({})", "sin({})")  # or a few steps would make numbers too large
_SAME = (*_BOUNDED, "0.5 * {}", "tanh({}) * {}")


@dataclass
class _Text:
    rng: np.random.Generator
    params: list[str]
    lines: list[str]
    sequences: list[tuple[str, int]]  # names of [T, n]
    vectors: list[tuple[str, int]]  # names of [n], one for each example
    truncate: bool
    count: int = 0

    def name(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count}"

    def one_of(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def param(self, *shape: int) -> str:
        name = self.name("W")
        start = "normal" if len(shape) < 2 else "glorot"
        self.params.append(f"  param {name}: {list(shape)} ~ {start}")
        return name

    def same(self, x: str) -> str:
        return str(self.one_of(_BOUNDED if x.startswith("(") else _SAME)).replace("{}", x)

    def affine(self, parts: list[tuple[str, int]], units: int) -> str:
        """W @ concat(parts) + b, or a sum of products."""
        total = sum(n for _, n in parts)
        if len(parts) > 1 and self.chance(0.6):
            joined = f"concat({', '.join(p for p, _ in parts)})"
            return f"{self.param(units, total)} @ {joined} + {self.param(units)}"
        return " + ".join(f"{self.param(units, n)} @ {p}" for p, n in parts)


def random_scans(seed: int, truncate: bool = True) -> str:
    """The text of a net `random` with inputs xs, text, label and wide. Truncated gradients are not
    those of the loss."""
    t = _Text(np.random.default_rng(seed), [], [], [], [], truncate)
    t.lines += ["  embedded = gather(E, text)"]
    t.sequences += [("xs", FEATURES), ("embedded", 2)]
    t.vectors += [("wide", 2)]
    for _ in range(int(t.rng.integers(1, 4))):
        _scan(t)
    terms = [f"mean({s} * {s})" for s, _ in t.sequences[2:]]
    terms += [f"sum({t.same(v)})" for v, _ in t.vectors]
    if t.chance(0.5):
        s, n = t.sequences[-1]
        scores = f"{s} @ {t.param(n, LABELS)}"
        terms.append(f"cross_entropy_over({scores}, text)")
    v, n = t.vectors[-1]
    terms.append(f"cross_entropy({t.param(LABELS, n)} @ {v}, label)")
    return "\n".join([
        _LOSS,
        "net random {",
        f"  input xs: [T, {FEATURES}]",
        "  input text: tokens[T, k]",
        "  input label: class[k]",
        "  input wide: [2]",
        "  param E: [k, 2] ~ normal",
        *t.params,
        *t.lines,
        f"  loss {' + '.join(terms)}",
        *(f"  output {s}_out = {s}" for s, _ in t.sequences[2:3]),
        "}",
        "",
    ])  # fmt: skip


_LOSS = """
block cross_entropy_over {
  input scores: [T, k]
  input labels: tokens[T, k]
  e = exp(scores - max(scores, axis = 1, keep = true))
  output -mean(log(sum(e * one_hot(labels), axis = 1) / sum(e, axis = 1)))
}
"""


def _scan(t: _Text) -> None:
    walked = [t.one_of(t.sequences)]
    if t.chance(0.3):
        walked.append(t.one_of(t.sequences))
    names = [t.name("x") for _ in walked]
    carries: list[tuple[str, int, str]] = []
    for _ in range(int(t.rng.integers(0, 3))):
        same = [v for v, n in t.vectors if n == 3]
        start = t.one_of([": [3] = 0", ": [3] = 0.5", *(f" = {v}" for v in same)])
        carries.append((t.name("h"), 3, start))
    options = []
    if t.chance(0.3):
        options.append("reverse = true")
    if t.chance(0.4):
        options.append(f"mask = mask({t.one_of(['xs', 'text'])})")
    if t.truncate and t.chance(0.25):
        options.append(f"truncate = {int(t.rng.integers(1, 4))}")
    ins = ", ".join(f"{x} in {s}" for x, (s, _) in zip(names, walked, strict=True))
    held = ", ".join(f"{h}{start}" for h, _, start in carries)
    head = f"  scan {ins}" + (f" with {held}" if held else "")
    t.lines.append(head + (f" ({', '.join(options)})" if options else "") + " {")
    given = [(x, n) for x, (_, n) in zip(names, walked, strict=True)]
    given += [(h, n) for h, n, _ in carries]
    if t.chance(0.4):
        given.append(t.one_of(t.vectors))
    inside = _inside(t, given)
    for h, n, _ in carries:
        t.lines.append(f"    {h} = {t.same(h)} * 0.3 + {t.same(f'({t.affine(inside, n)})')}")
    y = t.name("y")
    out = [(h, n) for h, n, _ in carries] or inside
    t.lines.append(f"    yield {y} = {t.same(f'({t.affine(out, 3)})')}, other = {out[0][0]}")
    t.lines.append("  }")
    s = t.name("s")
    t.lines.append(f"  {s} = yielded.{y}")
    t.sequences.append((s, 3))
    t.vectors += [(h, n) for h, n, _ in carries]
    if t.chance(0.3):
        v = t.name("v")
        t.lines.append(f"  {v} = max({s}, axis = 0)")
        t.vectors.append((v, 3))


def _inside(t: _Text, given: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """More values of a step: activations, an attention, an inner scan, dropout."""
    found = list(given)
    if t.chance(0.4):
        a = t.name("a")
        x, n = t.one_of(given)
        t.lines.append(f"    {a} = {t.same(f'({t.affine([(x, n)], 3)})')}")
        found.append((a, 3))
    if t.chance(0.35):
        s, n = t.one_of(t.sequences)
        q, m = t.one_of(given)
        e, c = t.name("e"), t.name("c")
        t.lines.append(f"    {e} = exp(tanh({s} @ ({t.param(n, m)} @ {q})))")
        t.lines.append(f"    {c} = {s}' @ ({e} / sum({e}))")
        found.append((c, n))
    if t.chance(0.25):
        s, n = t.one_of(t.sequences)
        q, m = t.one_of(given)
        r, g = t.name("r"), t.name("g")
        t.lines.append(f"    scan {r} in {s} with {g}: [2] = 0 {{")
        t.lines.append(f"      {g} = tanh({t.affine([(r, n), (q, m), (g, 2)], 2)})")
        t.lines.append("    }")
        found.append((g, 2))
    if t.chance(0.2):
        x, n = t.one_of(given)
        d = t.name("d")
        t.lines.append(f"    {d} = {x} -> dropout(0.4)")
        found.append((d, n))
    return found


def given_for(seed: int, batch: int) -> dict[str, NDArray[Any]]:
    """Inputs of the net, lengths too."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, STEPS + 1, batch)
    lengths[0] = STEPS
    return {
        "xs": rng.normal(size=(batch, STEPS, FEATURES)),
        "text": rng.integers(0, LABELS, (batch, STEPS)).astype(np.int32),
        "label": rng.integers(0, LABELS, batch).astype(np.int32),
        "wide": rng.normal(size=(batch, 2)),
        "xs.length": lengths.astype(np.int32),
        "text.length": lengths.astype(np.int32),
    }


def gradient_graph(seed: int, truncate: bool = True) -> Graph:
    module = parse_module(Source("random.net", random_scans(seed, truncate)))
    return gradients(forward(module, "random", training=True, dtype="f64", sizes=SIZES))


def leaves(graph: Graph, seed: int) -> dict[str, Array]:
    initial = evaluate([p.initial for p in graph.params if p.initial is not None], {}, seed=seed)
    values = {p.name: x for p, x in zip(graph.params, initial, strict=True)}
    inputs = given_for(seed, BATCH)
    return {**values, **{f.name: inputs[f.name] for f in graph.inputs}}


def numbers(graph: Graph, given: dict[str, Array]) -> list[Array]:
    return evaluate([o.value for o in graph.outputs], given, batch=BATCH)
