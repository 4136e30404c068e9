"""`chainrule generate FILE`: texts that a trained net says token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say, say_error
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
    from ..dsl import syntax as ast
    from ..generating import Measured, Writer
    from ..model import Model

SHOWN = 5  # texts of a part that are printed


@click.command("generate")
@file_argument
@click.option("--name", metavar="NAME", help="Which `generate` declaration, of several.")
@click.option("--start", metavar="TEXT", help="What the text begins with.")
@click.option("--source", "sources", multiple=True, metavar="TEXT",
              help="A text to be translated or answered; may be given several times.")  # fmt: skip
@click.option("--part", type=click.Choice(("train", "valid", "test")),
              help="Generate for every example of a part, and compare.")  # fmt: skip
@click.option("--bleu", "with_bleu", is_flag=True, help="Of a part: also BLEU, by sacrebleu.")
@click.option("--length", type=int, metavar="N", help="Tokens at most.")
@click.option("--greedy", is_flag=True, help="Always the likeliest token.")
@click.option("--temperature", type=float, metavar="X", help="By chance: flatter above 1.")
@click.option("--top-k", type=int, metavar="N", help="By chance, among the N likeliest.")
@click.option("--beam", type=int, metavar="N", help="Beam search with N beginnings.")
@click.option("--length-penalty", type=float, metavar="X",
              help="Exponent of the penalty in a beam search.  [default: 0.6]")  # fmt: skip
@click.option("--samples", type=int, metavar="N", help="Texts for each example.")
@click.option("--seed", type=int, metavar="N", help="Of chance.  [default: 0]")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the texts, one on each line.",
)  # fmt: skip
@train_option
@set_option
@weights_option
@device_options
@data_option
@run_option
@json_option
def command(
    file: Path,
    name: str | None,
    sources: tuple[str, ...],
    part: str | None,
    with_bleu: bool,
    output: Path | None,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Let a trained net speak: one token after another.

    The `generate` declaration of the file says how, if there is one; options go
    before it. With --part, the texts for a part of the data are compared with
    what they should be.
    """
    from ..dsl.diagnostics import fail
    from ..generating import Writer
    from ..model import Model
    from ..project import open_module, settings_given
    from ..runtime.generate.measure import require_bleu
    from ..weights import trained

    if part is not None and (sources or options["start"] is not None):
        word = "--source" if sources else "--start"
        raise fail("E613", f"`--part` takes its examples from the data, so `{word}` says nothing",
                   help="leave out one of them")  # fmt: skip
    if with_bleu and part is None:
        raise fail("E613", "`--bleu` compares the texts of a part with what they should be",
                   help="add `--part test`")  # fmt: skip
    if with_bleu:
        require_bleu()
    module = open_module(file, settings_given(settings))
    declared, net = _chosen(module, name, train_name)
    model = Model(module, net=net, train=train_name or _train_of(module, net), device=device,
                  threads=threads, data_root=data_root)  # fmt: skip
    path = trained(model, file, weights, out)
    writer = Writer(model, declared, options)
    if part is not None:
        _measured(model, writer, part, with_bleu, output, as_json, path)
        return
    texts = writer.write(_inputs(writer, sources))
    _write(output, [g.text for g in texts])
    if as_json:
        rows = [{"text": g.text, "tokens": list(g.tokens), "log_probability": g.log_probability,
                 "example": g.example, "sample": g.sample} for g in texts]  # fmt: skip
        say(json.dumps({"net": model.name, "weights": str(path), "texts": rows}))
    elif output is None:
        say("\n\n".join(g.text for g in texts) if _is_long(texts) else
            "\n".join(g.text for g in texts))  # fmt: skip


def _chosen(
    module: Any, name: str | None, train_name: str | None
) -> tuple[ast.Generate | None, str | None]:
    """The declaration, and the net that it is about: else that of `--train`, else the only one."""
    from ..compiler.generate.choice import generated_net
    from ..generating import choose_generate

    declared = choose_generate(module, name)
    if declared is None:
        return None, train_name
    net = generated_net(module, declared)
    if name is None and train_name not in (None, net):
        return None, train_name
    return declared, net


def _train_of(module: Any, net: str | None) -> str | None:
    """The net's own `train`: its data hold the vocabulary and the sizes."""
    return net if net is not None and any(t.name.id == net for t in module.trains) else None


def _inputs(writer: Writer, sources: tuple[str, ...]) -> dict[str, Any]:
    from ..dsl.diagnostics import fail

    if not sources:
        return {}
    tokens = [leaf.name for leaf in writer.net.inputs if leaf.value.type.classes is not None]
    if len(tokens) != 1:
        shown = " and ".join(f"`{n}`" for n in tokens) or "none"
        raise fail("E572", f"`--source` is for a net that reads one text; this one reads {shown}",
                   help="leave it out, or give arrays in Python")  # fmt: skip
    return {tokens[0]: list(sources)}


def _measured(
    model: Model, writer: Writer, part: str, with_bleu: bool, output: Path | None, as_json: bool,
    path: Path,
) -> None:  # fmt: skip
    from ..loading import Loading

    with Loading() as loading:
        found = writer.measure(part, with_bleu, lambda d, n: loading.told("generating", d, n))
    _write(output, found.texts)
    if as_json:
        facts: dict[str, Any] = {
            "net": model.name, "weights": str(path), "part": part, "examples": len(found.texts),
            "exact": found.exact, "bleu": found.bleu, "signature": found.signature,
            "texts": found.texts, "wanted": found.wanted,
        }  # fmt: skip
        say(json.dumps(facts))
        return
    say(_shown(writer, part, found))
    say(f"{model.name} on {len(found.texts):,} {part} examples ({path})")
    say(f"exact  {100 * found.exact:.2f}%")
    if found.bleu is not None:
        say(f"BLEU   {found.bleu:.2f}  ({found.signature})")


def _shown(writer: Writer, part: str, found: Measured) -> str:
    """The first texts, with what they should be."""
    sources = writer.sources(part)
    lines = []
    for k, (text, wanted) in enumerate(zip(found.texts[:SHOWN], found.wanted, strict=False)):
        lines += [f"  {sources[k]}"] if sources else []
        lines += [f"→ {text}", f"  {wanted}  (wanted)" if text != wanted else "  right", ""]
    return "\n".join(lines)


def _is_long(texts: list[Any]) -> bool:
    return len(texts) > 1 and any("\n" in g.text for g in texts)


def _write(output: Path | None, texts: list[str]) -> None:
    """One line for each text."""
    from ..runtime.files import write_text

    if output is None:
        return
    write_text(output, "".join(" ".join(t.splitlines()) + "\n" for t in texts))
    say_error(f"wrote {len(texts):,} texts to {output}")
