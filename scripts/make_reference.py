"""Write docs/reference.md: every block, function, operation, optimizer, data source and data step.

In: the registry of operations, the standard library, the data sources. Out: one page of tables.
`--check` says whether the page is the one of the code; a test asks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chainrule.compiler.elaborate.module import library_block, library_names
from chainrule.dsl import syntax as ast
from chainrule.reference import Entry, entries

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference

Every word that a `.net` file can use. `scripts/make_reference.py` writes this page from the code;
`chainrule doc NAME` shows the same, with the definition. What the words are used in is told in
[language.md](language.md), what data sources do in [data.md](data.md).
"""
TITLES = {
    "layers.net": "Layers",
    "images.net": "Layers of images `[channels, height, width]`",
    "sequences.net": "Layers of sequences",
    "recurrent.net": "Recurrent layers (of sequences `[T, n]`)",
    "attention.net": "Attention and memory",
    "normalisation.net": "Normalisation",
    "activations.net": "Activations",
    "losses.net": "Losses",
    "generative.net": "Losses of generative networks",
    "draws.net": "Draws that gradients pass, and noise",
    "metrics.net": "Metrics",
    "initialisers.net": "Initialisers (after `~`)",
    "optimizers.net": "Optimizers",
}


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print("up to date" if same else "docs/reference.md differs: run scripts/make_reference.py")
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    known = {(e.name, e.kind): e for e in entries()}
    parts = [HEAD]
    for file, title in TITLES.items():
        blocks = [b for n in library_names() if (b := library_block(n)) and _file(b) == file]
        rows = [_block_row(b, known) for b in blocks]
        parts.append(_table(title, ("word", "what it is"), rows))
    kinds = {
        "statement": "Statements of recurrence",
        "function": "Functions",
        "operation": "Operations",
        "data source": "Data sources",
        "data step": "Data steps",
    }
    for kind, title in kinds.items():
        found = [e for e in known.values() if e.kind == kind]
        parts.append(_table(title, ("word", "what it is"), [_row(e) for e in found]))
    return "\n".join(parts)


def _file(block: ast.Block) -> str:
    return block.span.source.name.rpartition("/")[2]


def _block_row(block: ast.Block, known: dict[tuple[str, str], Entry]) -> tuple[str, str]:
    optimizer = isinstance(block, ast.Optimizer)
    entry = known[block.name.id, "optimizer" if optimizer else "layer or function"]
    usage = entry.usage
    if _file(block) == "initialisers.net":
        usage = _initialiser(block)
    inputs = [n.id for i in block.body if isinstance(i, ast.Input) for n in i.names]
    takes = f" Takes {', '.join(f'`{n}`' for n in inputs)}." if len(inputs) > 1 else ""
    return f"`{usage}`", _cell(entry.doc) + takes


def _initialiser(block: ast.Block) -> str:
    """`~ normal(mean = 0.0, std = 1.0)`: what the user gives; sizes come from the parameter."""
    own = [x for x in block.settings if x.name.id not in ("shape", "fan_in", "fan_out")]
    shown = [f"{x.name.id} = {x.default.span.text}" if x.default else x.name.id for x in own]
    word = block.name.id.removesuffix("_init")
    return f"~ {word}({', '.join(shown)})" if shown else f"~ {word}"


def _row(entry: Entry) -> tuple[str, str]:
    return f"`{entry.usage}`", _cell(entry.doc)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(title: str, head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"## {title}", "", f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {word} | {text} |" for word, text in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
