"""`chainrule fmt FILE…`: the one standard layout, comments kept."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from ..console import complain, say, say_error
from ..dsl.diagnostics import Diagnostic, Failure, fail


@click.command("fmt")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Change nothing; print what would change.")
def command(files: tuple[Path, ...], check: bool, diff: bool) -> None:
    """Lay .net files out in the standard way, in place; `-` reads standard input.

    A file with a mistake is left as it is.
    """
    from ..dsl.format import format_source
    from ..dsl.parse import read
    from ..dsl.source import Source

    mistakes: list[Diagnostic] = []
    changed = 0
    for path in files:
        try:
            piped = str(path) == "-"
            source = Source("<stdin>", _stdin()) if piped else read(path)
            text = format_source(source)
        except Failure as failure:
            mistakes += failure.diagnostics
            continue
        differs = text != source.text
        changed += differs
        if diff:
            _print_diff(source, text)
        elif piped and not check:
            click.echo(text, nl=False)
        elif check and differs:
            say(f"would lay out {path}")
        elif differs:
            _write(path, text)
            say(f"laid out {path}")
    if mistakes:
        complain(Failure(mistakes))
        raise SystemExit(2)
    if check and changed:
        say_error(f"{changed} of {len(files)} files would change")
        raise SystemExit(1)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail("E120", f"standard input is not UTF-8 text (byte {error.start})") from None


def _write(path: Path, text: str) -> None:
    from ..runtime.files import write_text

    write_text(path, text)


def _print_diff(source: object, text: str) -> None:
    name, before = getattr(source, "name", ""), getattr(source, "text", "")
    lines = difflib.unified_diff(
        before.splitlines(), text.splitlines(), f"{name} (as it is)", f"{name} (laid out)",
        lineterm="",
    )  # fmt: skip
    for line in lines:
        say(line)
