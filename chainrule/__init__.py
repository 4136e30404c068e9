"""chainrule: neural networks from textbook equations.

>>> import chainrule
>>> model = chainrule.load("digits.net")
>>> model.fit(epochs=10)
>>> model.predict(images)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dsl.diagnostics import Diagnostic, Failure

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Diagnostic", "Failure", "Model", "load", "loads"]


def load(
    path: str | Path,
    *,
    set: Mapping[str, Any] | None = None,
    net: str | None = None,
    train: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    dtype: str = "f32",
    seed: int | None = None,
    data_root: str | Path | None = None,
) -> Model:
    """A net from a `.net` file.

    `set` overrides settings and constants (`set={"classes": 100}`); `net` and `train` choose where
    the file has several. Raises `Failure` with every mistake in the file.
    """
    from .model import Model
    from .project import open_module

    root = Path(data_root) if data_root is not None else None
    return Model(
        open_module(Path(path), set), net=net, train=train, device=device, threads=threads,
        dtype=dtype, seed=seed, data_root=root,
    )  # fmt: skip


def loads(text: str, *, name: str = "<text>", set: Mapping[str, Any] | None = None,
          **options: Any) -> Model:  # fmt: skip
    """A net from `.net` text; `options` are those of `load`. Paths start at the working folder."""
    from .compiler.elaborate import parse_module
    from .dsl.source import Source
    from .model import Model
    from .project import written

    given = {key: written(value) for key, value in (set or {}).items()}
    return Model(parse_module(Source(name, text), given), **options)


def __getattr__(name: str) -> Any:
    """`chainrule.Model` and `chainrule.__version__`, loaded when asked for: importing stays
    quick."""
    if name == "Model":
        from .model import Model

        return Model
    if name == "__version__":
        from importlib.metadata import version

        return version("chainrule")
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
