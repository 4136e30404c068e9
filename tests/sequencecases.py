"""What PyTorch computes for layers of sequences (tests/reference/*.npz), as nets and their leaves.

`case("lstm", "lengths")` is the `.net` text of that case, numbers for its leaves, and what must
come out: results, and gradients by inputs and parameters. `scripts/references.py` tells what the
files hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import gradients
from chainrule.dsl.source import Source

FOLDER = Path(__file__).with_name("reference")
BATCH, STEPS = 3, 5
Arrays = dict[str, NDArray[Any]]
CELLS = ("rnn", "lstm", "gru")
KINDS = (
    "one", "started", "two", "both", "lengths", "both_lengths", "two_lengths", "truncated",
)  # fmt: skip
EVERY = (
    *((cell, kind) for cell in CELLS for kind in KINDS),
    *(("attention", k) for k in ("one", "many", "unscaled", "masked", "many_masked")),
    *(("additive", k) for k in ("one", "masked")),
    *(("losses", k) for k in ("one", "masked")),
)


@dataclass(frozen=True)
class Case:
    """`expected` goes by the names of the graph's outputs."""

    text: str
    given: Arrays
    expected: Arrays
    steps: int  # of the longest example

    def graph(self, dtype: str = "f64") -> Graph:
        module = parse_module(Source("case.net", self.text))
        sizes = {"T": STEPS}
        return gradients(forward(module, training=True, dtype=dtype, sizes=sizes))


def case(file: str, kind: str) -> Case:
    record = np.load(FOLDER / f"{file}.npz")[kind]
    found: Arrays = {str(name): record[name] for name in record.dtype.names}
    lines, params = _text(file, kind, found)
    factors = {k.removeprefix("factor/"): v for k, v in found.items() if k.startswith("factor/")}
    inputs = [k.removeprefix("grad/") for k in found if f"given/{k.removeprefix('grad/')}" in found]
    inputs = [name for name in inputs if f"grad/{name}" in found]
    text = ["net t {", *lines]
    text += [f"  param F_{n}: {list(f.shape)} = 0 frozen" for n, f in factors.items()]
    terms = [f"sum(F_{n} * {_result(file, n)})" for n in factors]
    text.append(f"  total = {' + '.join(terms)}")
    text += [f"  output {n} = {_result(file, n)}" for n in factors if file != "losses"]
    text += [f"  output by_{n} = grad(total, {n})" for n in inputs]
    text += ["  loss total", "}", ""]
    given = {_ours(k): v for k, v in found.items() if k.startswith("given/")}
    given |= {f"F_{n}": f for n, f in factors.items()}
    given |= {params[k]: v for k, v in found.items() if k.startswith("param/")}
    if "lengths" in given:
        of = "labels" if file == "losses" else "x"
        given[f"{of}.length"] = given.pop("lengths").astype(np.int32)
    expected = {n: found[f"result/{n}"] for n in factors if file != "losses"}
    expected |= {f"by_{n}": found[f"grad/{n}"] * BATCH for n in inputs}
    for k, name in params.items():
        expected[f"grad {name}"] = found[k.replace("param/", "grad/")]
    lengths = [v for k, v in given.items() if k.endswith(".length")]
    return Case("\n".join(text), given, expected, int(lengths[0].max()) if lengths else STEPS)


def _ours(key: str) -> str:
    return key.partition("/")[2]


def _result(file: str, name: str) -> str:
    return "e" if file == "losses" else f"r.{name}"


def _text(file: str, kind: str, found: Arrays) -> tuple[list[str], dict[str, str]]:
    """The statements that give `r`, and our full names of the parameters."""
    masked = "mask = mask(x)" if "given/lengths" in found else ""
    names = [k for k in found if k.startswith("param/")]
    if file == "losses":
        mask = ", mask = mask(labels)" if masked else ""
        return [
            "  input scores: [5, 6]", "  input labels: tokens[T, 6]",
            f"  e = cross_entropy(scores, labels{mask})",
        ], {}  # fmt: skip
    if file in ("attention", "additive"):
        return _attention(file, kind, found), {k: f"r.{_ours(k)}" for k in names}
    lines = ["  input x: [T, 3]"]
    settings = [masked] if masked else []
    for name in ("start", "start_cell"):
        if f"given/{name}" in found:
            lines.append(f"  input {name}: [4]")
            settings.append(f"{name} = {name}")
    settings += ["truncate = 2"] if kind == "truncated" else []
    call, units, prefix = "", "4", {"": "r."}
    if "two" in kind and file == "lstm":  # `stacked` keeps the cells to itself
        lines.append(f"  first = x -> lstm({', '.join([units, *settings])})")
        lines.append(f"  r = first.hs -> lstm({', '.join([units, *settings])})")
        prefix = {"0.": "first.", "1.": "r."}
    elif "two" in kind:
        call, units, prefix = f"stacked({file}, ", "[4, 4]", {"0.": "r.layer.", "1.": "r.layer_2."}
    elif "both" in kind:
        call, prefix = f"bidirectional({file}, ", {"ahead.": "r.ahead.", "back.": "r.back."}
    else:
        call = f"{file}("
    if call:
        lines.append(f"  r = x -> {call}{', '.join([units, *settings])})")
    params = {}
    for k in names:
        name = _ours(k)
        first = name.rpartition(".")[0]
        start = f"{first}." if first else ""
        params[k] = prefix[start] + name.removeprefix(start)
    return lines, params


def _attention(file: str, kind: str, found: Arrays) -> list[str]:
    lines = [
        f"  input {n}: {list(found[f'given/{n}'].shape[1:])}" for n in ("query", "keys", "values")
    ]
    settings = ["7"] if file == "additive" else []
    if "given/mask" in found:
        lines.append("  input mask: [5] bool")
        settings.append("mask = mask")
    settings += ["scaled = false"] if kind == "unscaled" else []
    word = "additive_attention" if file == "additive" else "attention"
    call = f"{word}({', '.join(settings)})" if settings else word
    return [*lines, f"  r = (query, keys, values) -> {call}"]
