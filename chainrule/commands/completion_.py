"""`chainrule completion SHELL`: a script that completes commands, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..console import say

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a completion script for your shell.

    \b
    bash:  eval "$(chainrule completion bash)"                 in ~/.bashrc
    zsh:   eval "$(chainrule completion zsh)"                  in ~/.zshrc
    fish:  chainrule completion fish | source     in ~/.config/fish/config.fish
    """
    from ..cli import cli

    found = get_completion_class(shell)
    assert found is not None  # `SHELLS` are the ones that click knows
    # The text alone: `source()` would also ask bash for its version.
    complete = found(cli, {}, "chainrule", "_CHAINRULE_COMPLETE")
    say(complete.source_template % complete.source_vars())
