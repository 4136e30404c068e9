"""`chainrule gradcheck FILE`: does the compiler differentiate this net rightly?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import say, table
from ..dsl.diagnostics import did_you_mean, fail
from ..options import data_option, device_options, file_argument, net_option, set_option

if TYPE_CHECKING:
    from ..compiler.graph import Graph


@click.command("gradcheck")
@file_argument
@net_option
@set_option
@click.option(
    "--loss", "loss_name", metavar="NAME", help="One of several losses; all of them otherwise."
)
@click.option("--batch", type=click.IntRange(min=1), default=5, show_default=True, metavar="N")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
@click.option(
    "--elements", type=click.IntRange(min=1), default=24, show_default=True, metavar="N",
    help="How many elements of each parameter to try.",
)  # fmt: skip
@device_options
@data_option
def command(
    file: Path,
    net: str | None,
    settings: tuple[str, ...],
    loss_name: str | None,
    batch: int,
    seed: int,
    elements: int,
    device: str,
    threads: int | None,
    data_root: Path | None,
) -> None:
    """Compare every parameter's gradient with finite differences, in f64.

    Prints the greatest relative difference for the compiled gradient and for the
    plain interpreter. Exit code 1 if one is above 1e-6.
    """
    from ..cli import RunFailed
    from ..compiler.pipeline import forward
    from ..model import Model
    from ..project import make_device, open_module, settings_given
    from ..runtime.gradcheck import TOLERANCE, gradcheck, random_inputs
    from ..runtime.session import initial_values

    model = Model(
        open_module(file, settings_given(settings)), net=net, dtype="f64", data_root=data_root
    )
    graph = forward(model.module, model.name, training=True, dtype="f64", sizes=model.sizes)
    values = initial_values(graph, seed, model.module.folder)
    losses = chosen_losses(graph, loss_name)
    found = []
    for loss in losses:
        checked = gradcheck(
            graph, values, random_inputs(graph, batch, seed), make_device(device, threads),
            loss=loss, elements=elements, seed=seed,
        )  # fmt: skip
        found += checked
        if len(graph.of_kind("loss")) > 1:
            say(f"loss {loss}")
        rows = [
            ["parameter", "shape", "tried", f"compiled ({device})", "interpreter", "|gradient|", ""]
        ]
        for c in checked:
            rows.append([
                c.name, str(list(c.shape)), str(c.elements), f"{c.compiled:.1e}",
                f"{c.oracle:.1e}", f"{c.greatest:.2g}", "ok" if c.holds else "WRONG",
            ])  # fmt: skip
        say(table(rows, right={2, 3, 4, 5}))
    wrong = [c.name for c in found if not c.holds]
    if wrong:
        raise RunFailed(
            f"{len(wrong)} of {len(found)} gradients differ by more than {TOLERANCE:g} "
            "from finite differences (a kink, as of relu at 0, can be the cause: try --seed)"
        )
    say(f"all {len(found)} gradients agree with finite differences within {TOLERANCE:g}")


def chosen_losses(graph: Graph, name: str | None) -> list[str]:
    """The loss of that name, or all of them. Raises Failure E260, E261."""
    known = [o.name for o in graph.of_kind("loss")]
    if not known:
        raise fail(
            "E260", f"the net `{graph.name}` has no loss, so there is no gradient to check",
            help="add `loss cross_entropy(scores, label)`",
        )  # fmt: skip
    if name is not None and name not in known:
        raise fail(
            "E261", f"there is no loss `{name}`",
            help=did_you_mean(name, known) or f"the net has {', '.join(known)}",
        )  # fmt: skip
    return known if name is None else [name]
