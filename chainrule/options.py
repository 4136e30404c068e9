"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .project import DEVICES

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def file_argument(function: F) -> F:
    """The `.net` file. Whether it exists is the parser's to say, with a suggestion."""
    return click.argument("file", type=click.Path(path_type=Path))(function)


def set_option(function: F) -> F:
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE",
        help="Override a setting or constant; may be given several times.",
    )(function)  # fmt: skip


def net_option(function: F) -> F:
    return click.option("--net", metavar="NAME", help="Which net, where the file has several.")(
        function
    )


def train_option(function: F) -> F:
    return click.option(
        "--train", "train_name", metavar="NAME",
        help="Which train declaration, by its net, where the file has several.",
    )(function)  # fmt: skip


def out_option(function: F) -> F:
    return _out("--out")(function)


def short_out_option(function: F) -> F:
    """`-o` too, where no other option has it."""
    return _out("-o", "--out")(function)


def run_option(function: F) -> F:
    """Of commands that only read what a run left."""
    return _out("--out", what="Where the run is.")(function)


def _out(*names: str, what: str = "Where results go.") -> Callable[[F], F]:
    return click.option(
        *names, type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
        help=f"{what}  [default: out/NAME of the file]",
    )  # fmt: skip


def device_options(function: F) -> F:
    function = click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", help="Threads to use (cpu)."
    )(function)
    return click.option(
        "--device", type=click.Choice(DEVICES), default="cpu", show_default=True,
        help="Where to run: compiled for cpu or cuda, or plain NumPy.",
    )(function)  # fmt: skip


def data_option(function: F) -> F:
    return click.option(
        "--data", "data_root", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
        help="Look for data files here first.",
    )(function)  # fmt: skip


def weights_option(function: F) -> F:
    return click.option(
        "--weights", type=click.Path(path_type=Path), metavar="FILE",
        help="Weights to use.  [default: those of the last run under out/]",
    )(function)  # fmt: skip


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
