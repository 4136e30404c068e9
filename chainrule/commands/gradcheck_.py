"""`chainrule gradcheck FILE`: does the compiler differentiate this net rightly?"""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say, table
from ..options import data_option, device_options, file_argument, net_option, set_option


@click.command("gradcheck")
@file_argument
@net_option
@set_option
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
    found = []
    for loss in graph.of_kind("loss"):
        found += gradcheck(
            graph, values, random_inputs(graph, batch, seed), make_device(device, threads),
            loss=loss.name, elements=elements, seed=seed,
        )  # fmt: skip
    rows = [
        ["parameter", "shape", "tried", f"compiled ({device})", "interpreter", "|gradient|", ""]
    ]
    for c in found:
        rows.append([
            c.name, str(list(c.shape)), str(c.elements), f"{c.compiled:.1e}", f"{c.oracle:.1e}",
            f"{c.greatest:.2g}", "ok" if c.holds else "WRONG",
        ])  # fmt: skip
    say(table(rows, right={2, 3, 4, 5}))
    wrong = [c.name for c in found if not c.holds]
    if wrong:
        raise RunFailed(
            f"{len(wrong)} of {len(found)} gradients differ by more than {TOLERANCE:g} "
            "from finite differences (a kink, as of relu at 0, can be the cause: try --seed)"
        )
    say(f"all {len(found)} gradients agree with finite differences within {TOLERANCE:g}")
