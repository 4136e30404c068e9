"""The pages behind the error codes, from the installed package.

They are written in `docs/errors/`, which is also the sub-package `chainrule.errors`: what a reader
of the repository finds and what `chainrule explain` prints are the same files.
"""

from __future__ import annotations

from importlib import resources

from .dsl.diagnostics import did_you_mean, fail


def codes() -> list[str]:
    """Every code that has a page."""
    folder = resources.files(f"{__package__}.errors")
    names = (entry.name for entry in folder.iterdir())
    return sorted(n[:-3] for n in names if n.startswith("E") and n.endswith(".md"))


def page(code: str) -> str:
    """The page of a code, in Markdown. Raises Failure E604."""
    wanted = code.strip().strip("[]").upper()
    known = codes()
    if wanted.isdigit():
        wanted = f"E{wanted}"
    if wanted not in known:
        near = did_you_mean(wanted, known)
        raise fail("E604", f"there is no page for `{code}`",
                   help=near or "`chainrule explain` alone lists the codes")  # fmt: skip
    return (resources.files(f"{__package__}.errors") / f"{wanted}.md").read_text(encoding="utf-8")


def title(code: str) -> str:
    """The first line of a page without its `# E301: `."""
    first = page(code).split("\n", 1)[0].lstrip("# ")
    return first.partition(": ")[2] or first
