"""`chainrule explain CODE`: the page behind an error code."""

from __future__ import annotations

import click

from .. import pages
from ..console import say


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Explain an error code, with an example and its mending.

    Without a code, lists all of them.
    """
    if code is not None:
        say(pages.page(code).rstrip())
        return
    for known in pages.codes():
        say(f"{known}  {pages.title(known)}")
