"""Where the files of a data declaration are.

In: a path as written. Out: a file or folder that exists, or E403 with every place looked at.
Relative paths start at the `.net` file; `--data FOLDER` on the command line comes before that, and
there `data/mnist/labels` is looked for as it is written, as `mnist/labels` and as `labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...dsl.diagnostics import Failure, did_you_mean
from .arguments import Given, Scope


def candidates(scope: Scope, path: str) -> list[Path]:
    """The places that a path may mean, nearest wish first."""
    written = Path(path)
    if written.is_absolute():
        return [written]
    places = []
    if scope.override_root is not None:
        ends = (Path(*written.parts[k:]) for k in range(len(written.parts)))
        places += [scope.override_root / end for end in ends]
    return [*places, scope.base / written]


def find_file(given: Given, at: str, path: str | None = None) -> Path:
    """The regular file that the argument `at` names."""
    written = given.text(at) if path is None else path
    tried = candidates(given.scope, written)
    found = first(tried, Path.is_file)
    if found is not None:
        return found
    folder = first(tried, Path.exists)
    if folder is not None:
        kind = "a folder" if folder.is_dir() else "not a regular file"
        raise given.fail("E403", f"`{written}` is {kind}, and `{given.name}` reads a file", at)
    raise missing(given, at, f"no file `{written}`", tried)


def first(paths: Iterable[Path], fits: Callable[[Path], bool]) -> Path | None:
    """The first path that fits; one that the system cannot even look up does not."""
    for path in paths:
        try:
            if fits(path):
                return path
        except (OSError, ValueError):  # a name too long, or with a zero byte
            continue
    return None


def missing(given: Given, at: str, message: str, tried: Sequence[Path]) -> Failure:
    """E403: what was looked for, and the way out."""
    places = [str(path) for path in dict.fromkeys(tried)]
    rest = f" and {len(places) - 4} more places" if len(places) > 4 else ""
    looked = ", ".join(places[:4]) + rest
    near = _neighbour(tried[-1]) if tried else ""
    way_out = "paths start at the folder of the `.net` file; an absolute path is taken as it is"
    return given.fail("E403", message, at, note=f"looked for {looked}", help=near or way_out)


def unreadable(given: Given, at: str, path: Path, error: OSError) -> Failure:
    return given.fail("E403", f"cannot read `{path}`: {error.strerror or error}", at)


def _neighbour(path: Path) -> str:
    try:
        return did_you_mean(path.name, sorted(p.name for p in path.parent.iterdir())[:10_000])
    except (OSError, ValueError):
        return ""
