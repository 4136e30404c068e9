"""`chainrule doc NAME`: what a word of the language means."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import WIDTH, say


@click.command("doc")
@click.argument("name", required=False)
@click.option(
    "--file", type=click.Path(path_type=Path), metavar="FILE",
    help="Also the blocks and optimizers of this .net file.",
)  # fmt: skip
def command(name: str | None, file: Path | None) -> None:
    """Describe a block, operation, optimizer, data source or data step.

    Shows how it is used, its description, and its definition: the standard
    library is written in .net. Without a name, lists everything.
    """
    from ..project import open_module
    from ..reference import KINDS, entries, entry

    module = open_module(file) if file is not None else None
    if name is not None:
        say("\n\n".join(map(str, entry(name, module))))
        return
    every = entries(module)
    width = max(len(e.name) for e in every)
    for kind in KINDS:
        chosen = [e for e in every if e.kind == kind]
        if chosen:
            say(f"{kind}s" if kind != "yours" else "in your file")
        for e in chosen:
            line = f"  {e.name:<{width}}  {e.first}"
            say(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…")
