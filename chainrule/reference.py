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

KINDS = ("layer or function", "optimizer", "operation", "data source", "data step", "yours")
_HIDDEN = ("input", "param", "state", "scalar", "constant", "batch_size")


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
    from .compiler.elaborate.module import library_block, library_names
    from .compiler.op import registry
    from .runtime.data import SOURCES, STEPS

    found = [_block(b) for name in library_names() if (b := library_block(name)) is not None]
    shown = {n: op for n, op in registry().items() if n not in _HIDDEN and not op.lowered}
    found += [_operation(op) for op in shown.values()]
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
