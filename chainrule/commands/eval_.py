"""`chainrule eval FILE`: measure a trained net on a part of its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say, table
from ..options import (
    data_option,
    device_options,
    file_argument,
    json_option,
    out_option,
    set_option,
    train_option,
    weights_option,
)

if TYPE_CHECKING:
    from ..runtime.metrics import ClassReport, Report

WIDEST = 20  # classes whose confusion matrix fits a terminal


@click.command("eval")
@file_argument
@train_option
@set_option
@weights_option
@click.option("--part", type=click.Choice(("train", "valid", "test")), help="Which examples.")
@click.option("--report", is_flag=True, help="Also print the confusion matrix, or R² and errors.")
@device_options
@data_option
@out_option
@json_option
def command(
    file: Path,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    part: str | None,
    report: bool,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure a trained net: mean loss and metrics over the test part.

    Where the data have no test part, the validation part is used, else the
    training part.
    """
    from ..opening import open_model
    from ..progress import number
    from ..weights import trained

    model = open_model(
        file, settings, train_name, device=device, threads=threads, data_root=data_root
    )
    source = trained(model, file, weights, out)
    chosen = model.part(part)
    scores = model.evaluate(part=chosen)
    count = len(model.dataset.parts[chosen]) if model.dataset else 0
    details = model.report(part=chosen) if report or as_json else None
    if as_json:
        facts: dict[str, Any] = {
            "net": model.name, "weights": str(source), "part": chosen, "examples": count,
            "scores": scores, "report": details.as_json() if details else None,
        }  # fmt: skip
        say(json.dumps(facts))
        return
    say(f"{model.name} on {count:,} {chosen} examples ({source})")
    say(table([[name, number(value)] for name, value in scores.items()], right={1}, head=False))
    if details is not None:
        say()
        say(_shown(details))


def _shown(report: Report) -> str:
    from ..runtime.metrics import ClassReport

    if isinstance(report, ClassReport):
        return _classes(report)
    return table(
        [["R²", f"{report.r2:.4f}"], ["RMSE", f"{report.rmse:.4g}"], ["MAE", f"{report.mae:.4g}"]],
        right={1}, head=False,
    )  # fmt: skip


def _classes(report: ClassReport) -> str:
    rows = [["class", "precision", "recall", "F1", "examples"]]
    for k, label in enumerate(report.labels):
        shares = (report.precision[k], report.recall[k], report.f1[k])
        present = int(report.matrix[k].sum())
        rows.append([label, *(_percent(s) for s in shares), f"{present:,}"])
    lines = [table(rows, right={1, 2, 3, 4})]
    lines += [f"top-{k} {_percent(share)}" for k, share in report.top.items()]
    if len(report.labels) <= WIDEST:
        head = ["true \\ said", *(str(k) for k in report.labels)]
        body = [
            [label, *(str(n) if n else "·" for n in row)]
            for label, row in zip(report.labels, report.matrix, strict=True)
        ]
        matrix = table([head, *body], right=set(range(1, len(head))))
        lines += ["", matrix]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.1f}%"
