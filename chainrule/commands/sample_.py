"""`chainrule sample FILE`: what a trained generative net makes, as a picture or as numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say
from ..options import (
    data_option,
    device_options,
    file_argument,
    json_option,
    run_option,
    set_option,
    train_option,
    weights_option,
)

if TYPE_CHECKING:
    from ..grids import Grid
    from ..model import Model

# What each way of sampling may be told besides what all are; the first is the plain one.
WAYS = {
    "samples": {"count", "seed", "columns", "node", "given"},
    "each": {"columns", "seed", "node", "given"},
    "interpolate": {"rows", "steps", "seed", "spherical", "node", "given"},
    "between": {"steps", "spherical", "latent", "part", "node", "given"},
    "manifold": {"rows", "node", "given"},
    "reconstruct": {"count", "columns", "part", "node"},
}
WORDS = {"spherical": "--spherical` or `--linear", "given": "--set-input"}


@click.command("sample")
@file_argument
@click.option("--count", type=int, metavar="N", help="How many samples.  [default: 64]")
@click.option("--node", metavar="NAME", help="Which output, of several.")
@click.option("--seed", type=int, metavar="N", help="Of chance.  [default: that of the training]")
@click.option("--set-input", "given", multiple=True, metavar="NAME=CLASS",
              help="The class of a label that the net is given.")  # fmt: skip
@click.option("--each", metavar="NAME", help="A row for each class of this label.")
@click.option("--interpolate", is_flag=True, help="Rows that go from one sample to another.")
@click.option("--between", nargs=2, type=int, multiple=True, metavar="I J",
              help="A row from example I to J of the data; again for another row.")  # fmt: skip
@click.option("--manifold", is_flag=True, help="The plane of two latent numbers.")
@click.option("--reconstruct", is_flag=True, help="Examples, and what the net gives back.")
@click.option("--steps", type=int, metavar="N", help="Of an interpolation.  [default: 10]")
@click.option("--rows", type=int, metavar="N",
              help="Of an interpolation [default: 8], or of the plane [default: 20].")  # fmt: skip
@click.option("--spherical/--linear", default=None,
              help="On a circle [default between normal draws], or straight.")  # fmt: skip
@click.option("--latent", metavar="NAME", help="The node that encodes an example, for --between.")
@click.option("--part", type=click.Choice(("train", "valid", "test")), help="Which examples.")
@click.option("--columns", type=int, metavar="N", help="Of the picture.  [default: 8]")
@click.option("--scale", type=click.IntRange(min=1), metavar="N",
              help="How many pixels a pixel becomes.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write .png, or the numbers as .npz, .csv or .json.  "
              "[default: beside the weights]")  # fmt: skip
@train_option
@set_option
@weights_option
@device_options
@data_option
@run_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    output: Path | None,
    scale: int | None,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Draw samples of a trained generative net.

    Its samples are an output that depends on no input:
    `output sampled = decode(normal([20]))`. Of a net with a `generate`
    declaration, texts are printed.
    """
    from ..opening import open_model
    from ..project import output_folder
    from ..weights import trained

    way = _way(asked)
    model = open_model(
        file, settings, train_name, device=device, threads=threads, data_root=data_root
    )
    if way == "samples" and asked["node"] is None and _writes(model):
        from .generate_ import command as generate

        ctx.invoke(generate, file=file, samples=asked["count"], seed=asked["seed"], output=output,
                   train_name=train_name, settings=settings, weights=weights, device=device,
                   threads=threads, data_root=data_root, out=out, as_json=as_json)  # fmt: skip
        return
    path = trained(model, file, weights, out)
    folder = path.parent if weights is None else output_folder(file, out)
    made = _made(model, way, asked)
    written = made.write(output or folder / made.file, scale)
    if as_json:
        say(json.dumps({"net": model.name, "weights": str(path), "files": [str(p) for p in written],
                        "arrays": {n: list(a.shape) for n, a in made.arrays.items()}}))  # fmt: skip
        return
    for each in written:
        say(f"wrote {made.told} to {each}")


def _writes(model: Model) -> bool:
    """Has the net a `generate` declaration?"""
    from ..compiler.generate.choice import generated_net

    module = model.module
    return any(generated_net(module, each) == model.name for each in module.generates)


def _way(asked: dict[str, Any]) -> str:
    """Which way of sampling is meant. Raises E619 for two, and for options of another."""
    from ..dsl.diagnostics import fail

    chosen = [way for way in WAYS if way != "samples" and asked[way]]
    if "between" in chosen and "interpolate" in chosen:
        chosen.remove("interpolate")  # it is one
    if len(chosen) > 1:
        shown = " and ".join(f"`--{way}`" for way in chosen)
        raise fail("E619", f"{shown} are different pictures", help="ask for one at a time")
    way = chosen[0] if chosen else "samples"
    for name, value in asked.items():
        if name not in WAYS and name not in WAYS[way] and value not in (None, ()):
            fitting = [f"`--{other}`" for other in WAYS if name in WAYS[other] and other in asked]
            word = WORDS.get(name, f"--{name}")
            way_out = f"it goes with {' or '.join(fitting)}" if fitting else "leave it out"
            raise fail("E619", f"`{word}` says nothing of {_word(way)}", help=way_out)
    return way


def _word(way: str) -> str:
    return "plain samples" if way == "samples" else f"`--{way}`"


def _made(model: Model, way: str, asked: dict[str, Any]) -> Grid:
    from ..grids import Gallery

    given = dict(_pair(text) for text in asked["given"])
    return Gallery(model, asked["node"], given).make(way, asked)


def _pair(text: str) -> tuple[str, str]:
    from ..dsl.diagnostics import fail

    name, equals, word = text.partition("=")
    if not equals or not name.strip() or not word.strip():
        raise fail("E603", f"`--set-input {text}` is not of the form name=class",
                   help="write `--set-input digit=3`")  # fmt: skip
    return name.strip(), word.strip()
