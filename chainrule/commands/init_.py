"""`chainrule init`: a starting `.net` file that trains as it is."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say
from ..dsl.diagnostics import fail
from ..starters import STARTERS, starter


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("first.net"))
@click.option(
    "--kind", type=click.Choice(list(STARTERS)), default="classifier", show_default=True,
    help="What the net is to do.",
)  # fmt: skip
def command(file: Path, kind: str) -> None:
    """Write a starting .net file (first.net, or FILE).

    Asks nothing and never overwrites: change the file as you like.
    """
    from ..runtime.files import write_text

    if file.suffix != ".net":
        message = f"`{file}` does not end in .net"
        raise fail("E605", message, help=f"write `chainrule init {file.with_suffix('.net')}`")
    if file.exists():
        message = f"`{file}` exists already, and init never overwrites"
        raise fail("E606", message, help="give another name: `chainrule init other.net`")
    write_text(file, starter(kind, file.stem))
    say(f"wrote {file}")
    say(f"next: chainrule check {file}")
    say(f"      chainrule train {file}")
