"""What `chainrule doc` knows: every word that can be written in a `.net` file, with its
description.

In: nothing, or a module with the user's own blocks. Out: `Entry`s taken from where the words are
defined: comments above blocks and optimizers, docstrings of operations, data sources and steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .dsl import syntax as ast
from .dsl.diagnostics import did_you_mean, fail

if TYPE_CHECKING:
    from .compiler.elaborate import Module

KINDS = (
    "layer or function", "optimizer", "statement", "function", "operation", "data source",
    "data step", "yours",
)  # fmt: skip
_HIDDEN = (
    "input", "param", "state", "scalar", "constant", "batch_size", "bound", "scan", "part",
)  # fmt: skip

STATEMENTS = {
    "scan": (
        "scan x in xs with h: [n] = 0 (reverse, mask, truncate, stateful) { … yield h }",
        """Runs its body for each step of a sequence, carrying values from one step to the next.
        `x` is one step of `xs`; assigning to `h` gives its next value, and after the scan `h` is
        the last one. `reverse = true` walks from the end, `mask = mask(xs)` stops at each example's
        own length, `truncate = k` cuts the gradient where k divides the number of the step,
        `stateful = true` begins a batch where the last one ended.""",
    ),
    "yield": (
        "yield e, or yield name = e, …",
        """What a step of a `scan` gives: after it, `yielded` has the values of all steps, [T, …]
        (with names, `yielded.name`).""",
    ),
}

# How a function that is no operation of its own is written, and what it does where its code does
# not say.
USAGE = {
    "bernoulli": ("bernoulli(p, shape) or bernoulli(p, like = x)", ""),
    "categorical": ("categorical(p) or categorical(scores = z)", ""),
    "classes": ("classes(x)", ""),
    "flatten": ("flatten(x)", "The elements of one example as one vector."),
    "grad": ("grad(y, x)", ""),
    "is_label": ("is_label(x)", ""),
    "is_value": ("is_value(x)", ""),
    "length": ("length(x)", ""),
    "mask": ("mask(x)", ""),
    "max": ("max(x, axis, over, keep)", "The greatest element; `max(a, b)`: the greater of two."),
    "mean": ("mean(x, axis, over, keep)", ""),
    "min": ("min(x, axis, over, keep)", "The smallest element; `min(a, b)`: the smaller of two."),
    "normal": (
        "normal(shape, mean = 0, std = 1) or normal(mean, std)",
        """Normal numbers, drawn anew for each example; without a shape, one for each element of the
        mean and the deviation.""",
    ),
    "one_hot": ("one_hot(label, classes)", ""),
    "pad": ("pad(x, padding, value = 0)", ""),
    "pair": ("pair(n)", ""),
    "per_channel": ("per_channel(v, like = x)", ""),
    "rank": ("rank(x)", ""),
    "size": ("size(x, axis)", ""),
    "uniform": (
        "uniform(shape, low = 0, high = 1) or uniform(low, high)",
        """Evenly spread numbers, drawn anew for each example; without a shape, one for each element
        of the limits.""",
    ),
    "windows": (
        "windows(x, kernel, stride = 1, dilation = 1, padding = 0, value = 0, axes)",
        "",
    ),
}


@dataclass(frozen=True)
class Entry:
    """One word. `body` is its definition in `.net`, or its formula."""

    name: str
    kind: str
    usage: str
    doc: str
    body: str = ""

    @property
    def first(self) -> str:
        """The first sentence."""
        text = " ".join(self.doc.split())
        head, stop, _ = text.partition(". ")
        return head + "." if stop else text

    def __str__(self) -> str:
        lines = [f"{self.usage}    ({self.kind})", ""]
        lines += [self.doc or "No description."]
        if self.body:
            lines += ["", *("    " + line for line in self.body.split("\n"))]
        return "\n".join(lines)


def entries(module: Module | None = None) -> list[Entry]:
    """Every word, by kind and name; a module's own blocks come last."""
    from .compiler.elaborate.functions import FUNCTIONS
    from .compiler.elaborate.module import library_block, library_names
    from .compiler.op import registry
    from .runtime.data import SOURCES, STEPS

    found = [_block(b) for name in library_names() if (b := library_block(name)) is not None]
    for name, (usage, text) in STATEMENTS.items():
        found.append(Entry(name, "statement", usage, _tidy(text)))
    found += [_function(name) for name in FUNCTIONS]
    hidden = {*_HIDDEN, *FUNCTIONS}
    shown = (op for name, op in registry().items() if name not in hidden and not op.lowered)
    found += [_operation(op) for op in shown]
    for kind, table in (("data source", SOURCES), ("data step", STEPS)):
        for name, part in table.items():
            found.append(Entry(name, kind, str(part.signature), _tidy(part.doc)))
    if module is not None:
        own: list[ast.Block] = [*module.blocks.values(), *module.optimizers.values()]
        found += [_block(b, "yours") for b in own]
    return sorted(found, key=lambda e: (KINDS.index(e.kind), e.name))


def entry(name: str, module: Module | None = None) -> list[Entry]:
    """The entries of that name (a block and an operation may share it). Raises Failure E611."""
    every = entries(module)
    found = [e for e in every if e.name == name]
    if not found:
        near = did_you_mean(name, [e.name for e in every])
        raise fail("E611", f"there is no block, operation, optimizer or data source `{name}`",
                   help=near or "`chainrule doc` alone lists them")  # fmt: skip
    return found


def _block(block: ast.Block, kind: str = "") -> Entry:
    from .dsl.format import format_source
    from .dsl.source import Source
    from .dsl.write import settings

    what = "optimizer" if isinstance(block, ast.Optimizer) else "layer or function"
    text = format_source(Source(block.name.id, block.span.text + "\n")).rstrip()
    return Entry(
        block.name.id, kind or what, f"{block.name.id}{settings(block.settings)}",
        _tidy(block.doc), text,
    )  # fmt: skip


def _function(name: str) -> Entry:
    from .compiler.elaborate.functions import documentation

    usage, text = USAGE[name]
    return Entry(name, "function", usage, _tidy(text or documentation(name)))


def _operation(op: Any) -> Entry:
    from .compiler.op import REQUIRED

    parts = list(op.parameters)
    for option, default in op.options.items():
        parts.append(option if default is REQUIRED else f"{option} = {_written(default)}")
    usage = f"{op.name}({', '.join(parts)})"
    if op.infix:
        usage += f" or {f' {op.infix} '.join(op.parameters)}"
    formula = f"LaTeX: {op.latex}" if op.latex else ""
    return Entry(op.name, "operation", usage, _tidy(op.doc), formula)


def _written(value: Any) -> str:
    """A default as it would be typed."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tidy(text: str) -> str:
    """Indentation of docstrings taken away; paragraphs kept."""
    lines = [line.strip() for line in text.strip().split("\n")]
    return "\n".join(lines)
