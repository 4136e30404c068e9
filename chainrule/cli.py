"""The command line: finds the command, and turns every way out into a message and an exit code.

In: the arguments. Out: 0, or 1 for a run that failed, 2 for bad input, 130 for an interruption.
Each command is one module of `commands/`, imported only when it is asked for, so that `--version`,
`explain` and `fmt` start at once.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from .console import complain, say_error
from .dsl.diagnostics import Failure, did_you_mean, fail

# In the order of a first hour with chainrule; the help page follows it.
COMMANDS = {
    "init": "Write a starting .net file.",
    "check": "Check .net files and say what they define.",
    "fmt": "Lay .net files out in the one standard way.",
    "summary": "Layers, shapes, parameters, work and memory.",
    "data": "Describe the data of a file, and show examples.",
    "train": "Train a net as its `train` declaration says.",
    "eval": "Measure a trained net on a part of its data.",
    "predict": "Run a trained net on examples from a file.",
    "embed": "Write what a node computes for every example.",
    "sample": "Draw what a generative net makes.",
    "generate": "Let a trained net write texts, token by token.",
    "profile": "Time every kernel of a training step.",
    "draw": "Draw the layers, the operations or the backward pass.",
    "walk": "Walk through one training step, on a page of its own.",
    "plot": "Plot training, and what a net has learned.",
    "derive": "Derive each parameter's gradient, step by step.",
    "handout": "Write one document of a net, for a lecture.",
    "gradcheck": "Compare gradients with finite differences.",
    "compile": "Write a package that runs without chainrule.",
    "doc": "Describe a block, operation or optimizer.",
    "explain": "Explain an error code.",
    "completion": "Print a completion script for your shell.",
}
RUN_FAILED = frozenset({"E501"})  # the input was fine, the run was not
INTERRUPTED = 130
_SMALLER = "take smaller layers, a smaller batch, or `-> take(n)` of the data"


class Interrupted(Exception):
    """A run stopped by the user, cleanly; the message says how to go on."""


class RunFailed(Exception):
    """A command did its work and the answer is no (a check that does not hold). Exit code 1."""


class Front(click.Group):
    """The group of commands: imports one when it is called, and guards the whole run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{cmd_name}_", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in COMMANDS and not word.startswith("-") and not ctx.resilient_parsing:
            near = did_you_mean(word, COMMANDS)
            shown = near or "`chainrule --help` lists the commands"
            raise fail("E601", f"there is no command `{word}`", help=shown)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        def run() -> Any:
            return super(Front, self).main(
                args,
                prog_name or "chainrule",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        sys.exit(guarded(run))


def guarded(run: Callable[[], Any]) -> int:
    """Run, and give the exit code; whatever goes wrong becomes a message on standard error."""
    try:
        code = run()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Failure as failure:
        complain(failure)
        codes = {d.code for d in failure.diagnostics}
        return 1 if codes & RUN_FAILED else 2
    except click.UsageError as error:
        complain(_usage(error))
        return 2
    except click.ClickException as error:
        complain(fail("E603", error.format_message()))
        return 2
    except RunFailed as answer:
        if str(answer):
            say_error(str(answer))
        return 1
    except Interrupted as stop:
        say_error(str(stop))
        return INTERRUPTED
    except (KeyboardInterrupt, click.Abort):
        say_error("interrupted")
        return INTERRUPTED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except MemoryError:
        complain(fail("E510", "there is not enough memory for this", help=_SMALLER))
        return 2
    except BrokenPipeError:
        return _pipe_closed()
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _pipe_closed()
        return _unexpected(error)
    except RecursionError:
        complain(fail("E235", "expressions or statements are nested too deep",
                      help="give the inner parts names, and use those"))  # fmt: skip
        return 2
    except Exception as error:
        return _unexpected(error)


def _pipe_closed() -> int:
    """The reader went away (`| head`): nothing to say, and nothing to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(error: click.UsageError) -> Failure:
    where = f"`{error.ctx.command_path} --help` shows how it is used" if error.ctx else ""
    if isinstance(error, click.NoSuchOption):
        options = [o for p in error.ctx.command.params for o in p.opts] if error.ctx else []
        near = did_you_mean(error.option_name, options)
        return fail("E602", f"there is no option `{error.option_name}`", help=near or where)
    message = error.format_message().rstrip(".").replace("'", "`")
    return fail("E603", message[:1].lower() + message[1:], help=where)


def _unexpected(error: Exception) -> int:
    """A defect of chainrule: say so briefly, and how to report it."""
    if os.environ.get("CHAINRULE_DEBUG") == "1":
        import traceback

        traceback.print_exc()
        return 1
    place = ""
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("chainrule"):
            place = f" in {module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(error).split())[:200]
    say_error(f"internal error: {type(error).__name__}: {text}{place}")
    say_error("This is a mistake in chainrule, not in your input. Please report it on")
    say_error("the issue page of the project")
    say_error("with the command, the .net file and the output under CHAINRULE_DEBUG=1.")
    return 1


@click.group(
    name="chainrule",
    cls=Front,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="`chainrule COMMAND --help` tells more about one of them.",
)
@click.version_option(package_name="chainrule", message="chainrule %(version)s")
def cli() -> None:
    """Neural networks from textbook equations: check, train, draw, derive."""


def main() -> None:
    """The entry point `chainrule`."""
    from .compiling import watch

    watch()
    cli.main()
