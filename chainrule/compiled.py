"""Pictures of what the compiler makes of a net: its passes, its kernels, its memory.

In: a model and what is wanted. Out: DOT text. The net is compiled as `train` compiles it, or as it
is in use where no `train` says how it learns; the drawing is `viz`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compiler.pipeline import compile_plan, forward, step

if TYPE_CHECKING:
    from .compiler.graph import Graph
    from .model import Model

VIEWS = ("passes", "kernels", "memory")
BATCH = 32  # where no `train` says another


def draw(
    model: Model,
    view: str,
    *,
    theme: str = "light",
    depth: int | None = None,
    stage: str | None = None,
    rule: str | None = None,
    number: int | None = None,
) -> str:
    """DOT text of one of `VIEWS`. `stage`, `rule` and `number` choose one change of the passes;
    `number` one of the kernels. Raises Failure E577 to E579 for what there is not."""
    whole = _step(model)
    if view == "passes":
        from .viz.passes_view import passes

        start = forward(model.module, model.name, training=model.declaration is not None,
                        dtype=model.dtype, sizes=model.sizes)  # fmt: skip
        return passes(start, whole, theme, name=stage, rule=rule, number=number)
    plan = compile_plan(whole, model.settings.batch or BATCH)
    if view == "kernels":
        from .viz.kernels_view import kernels

        return kernels(plan, whole, theme, depth=depth, number=number)
    from .viz.memory_view import memory

    return memory(plan, whole, theme)


def _step(model: Model) -> Graph:
    """The graph of a training step, or of the net in use."""
    if model.declaration is None:
        return model.evaluation
    return step(model.module, model.declaration, dtype=model.dtype, sizes=model.sizes)
