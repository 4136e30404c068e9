"""From a `.net` file and what was asked on the command line to the pieces of a run.

In: a module, the name of a net, a device word, a data folder. Out: the `train` declaration meant,
the data set, which field feeds which input, the sizes that the data fix, a device. Both the command
line and the Python API start here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dsl import syntax as ast
from .dsl.diagnostics import did_you_mean, fail

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .compiler.graph import Graph
    from .runtime.data import Dataset, Field, Vocabulary
    from .runtime.device import Device

DEVICES = ("cpu", "cuda", "plain")


def settings_given(pairs: Iterable[str]) -> dict[str, str]:
    """`["classes=100"]` as a mapping. Raises Failure E603."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            message = f"`--set {pair}` is not of the form name=value"
            raise fail("E603", message, help="write `--set classes=100`")
        given[name.strip()] = value.strip()
    return given


def open_module(path: Path, overrides: Mapping[str, Any] | None = None) -> Module:
    """The file and what it imports. Raises Failure with every mistake found."""
    from .compiler.elaborate import load_module

    return load_module(path, {name: written(value) for name, value in (overrides or {}).items()})


def written(value: Any) -> str:
    """A Python value as `.net` text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    return str(value)


def check_overrides(module: Module) -> None:
    """Raise Failure E272 for a `--set` that nothing answered to. After elaboration only."""
    known = [x.name.id for net in module.nets.values() for x in net.settings]
    for name in module.unused_overrides():
        if name in known:  # another net of the file has it: that one may be trained next
            continue
        known += list(module.consts)
        near = did_you_mean(name, known)
        shown = near or (f"there are {', '.join(known)}" if known else "the file has no settings")
        message = f"`--set {name}=…` sets nothing: no net has that setting, and it is no constant"
        raise fail("E272", message, help=shown)


def run_names(module: Module) -> dict[str, ast.Train]:
    """What the `train` declarations are called, in the order written: `--train`, folders of results
    and `load` know them so. It is the net's name; a second one of `net` is `net_2`."""
    nets = {t.name.id for t in module.trains}
    found: dict[str, ast.Train] = {}
    for train in module.trains:
        name, count = train.name.id, 1
        while name in found or (count > 1 and name in nets):
            count += 1
            name = f"{train.name.id}_{count}"
        found[name] = train
    return found


def run_name(module: Module, train: ast.Train | None) -> str:
    """What that declaration of the module is called; "" for another one."""
    return next((n for n, each in run_names(module).items() if each is train), "")


def choose_train(module: Module, name: str | None) -> ast.Train | None:
    """The `train` declaration of that name; without a name the only one, or None.

    Raises Failure E608 where there is none of that name, or several to choose from.
    """
    runs = run_names(module)
    shown = ", ".join(f"`{n}`" for n in runs)
    if name is not None:
        if name not in runs:
            near = did_you_mean(name, runs)
            way_out = near or (f"there are {shown}" if runs else "")
            raise fail("E608", f"there is no `train {name}` in {module.source.name}", help=way_out)
        return runs[name]
    if len(runs) > 1:
        message = f"{module.source.name} has several train declarations: {shown}"
        way_out = f"choose one: `--train {next(iter(runs))}`"
        raise fail("E608", message, module.trains[1].name.span, help=way_out)
    return module.trains[0] if module.trains else None


def with_train_settings(module: Module, train: ast.Train | None) -> Module:
    """The module as `train net(units = 3) on data` wants it; `--set` goes before that.

    Raises Failure E233 for a setting that the net has not.
    """
    from .compiler.elaborate.constants import constant_value

    if train is None or not train.settings:
        return module
    known = [x.name.id for x in module.net(train.name.id).settings]
    given = {}
    for position, argument in enumerate(train.settings):
        name = argument.name or (known[position] if position < len(known) else "")
        if name not in known:
            message = (
                f"the net `{train.name.id}` has no setting `{name or argument.value.span.text}`"
            )
            near = did_you_mean(name, known)
            raise fail("E233", message, argument.span, help=near or f"it has {', '.join(known)}")
        value = argument.value
        is_word = isinstance(value, ast.Name) and value.id not in module.consts
        given[name] = value.id if is_word else constant_value(value, module)  # type: ignore[attr-defined]
    return replace(module, overrides={**given, **module.overrides})


def renames(train: ast.Train | None) -> dict[str, str]:
    """`with image = pixels` as input -> field."""
    return {b.input.id: b.field.id for b in train.bindings} if train else {}


def plain_consts(module: Module) -> dict[str, object]:
    """The constants that are numbers, texts or flags."""
    return {n: v for n, v in module.consts.items() if isinstance(v, int | float | str | bool)}


def build_data(
    module: Module,
    value: ast.Expr,
    name: str,
    data_root: Path | None = None,
    vocabularies: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """The data set that an expression means; other declarations can be its source."""
    from .loading import Loading
    from .runtime.data import build_dataset

    known: dict[str, object] = plain_consts(module)
    known |= {d.name.id: d.value for d in module.data.values()}
    with Loading() as loading:
        return build_dataset(
            value, base=module.folder, constants=known, override_root=data_root, name=name,
            progress=loading.told, vocabularies=vocabularies,
        )  # fmt: skip


def dataset_of(
    module: Module,
    train: ast.Train,
    data_root: Path | None = None,
    vocabularies: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """The data that `train net on data` names; `vocabularies` of a trained net, by field.

    Raises Failure E2xx and E4xx."""
    name = train.data.id if isinstance(train.data, ast.Name) else ""
    value = module.data[name].value if name and name in module.data else train.data
    dataset = build_data(module, value, name, data_root, vocabularies)
    return with_augment(dataset, module, train)


def with_augment(dataset: Dataset, module: Module, train: ast.Train | None) -> Dataset:
    """The data with what the `augment` line of `train` does to their pictures."""
    from .runtime.data import augmented
    from .runtime.train.augmenting import augment_of

    augment = augment_of(train, plain_consts(module)) if train is not None else None
    return dataset if augment is None else augmented(dataset, augment)


def open_sizes(net: ast.Net, module: Module) -> bool:
    """Is there a name in an input's type that neither a setting nor a constant fixes?"""
    known = {x.name.id for x in net.settings} | set(module.consts)
    for type in (x.type for x in net.body if isinstance(x, ast.Input)):
        sizes = type.sizes if isinstance(type, ast.TensorType) else (type.count,)
        sizes += (type.length,) if isinstance(type, ast.TokensType) else ()
        if any(isinstance(e, ast.Name) and e.id not in known for e in sizes):
            return True
    return False


def sizes_from(net: ast.Net, dataset: Dataset, wanted: Mapping[str, str]) -> dict[str, int]:
    """The names in the net's input types that the data fix: `n` of `input x: [n]`, `T` and `k` of
    `input text: tokens[T, k]`. Inputs that share a name share the largest size."""
    settings = {x.name.id for x in net.settings}
    sizes: dict[str, int] = {}
    for statement in net.body:
        if not isinstance(statement, ast.Input):
            continue
        for ident in statement.names:
            field = _field(dataset, ident.id, wanted)
            if field is None:
                continue
            for name, size in _fixed(statement.type, field):
                if name not in settings:
                    sizes[name] = max(size, sizes.get(name, 0))
    return sizes


def _field(dataset: Dataset, name: str, wanted: Mapping[str, str]) -> Field | None:
    fields = dataset.fields
    chosen = wanted.get(name, name)
    if chosen not in fields:
        first = {"x": dataset.inputs[:1], "y": dataset.targets[:1]}.get(name, ())
        chosen = first[0] if first else chosen
    return fields.get(chosen)


def _fixed(type: ast.TypeExpr, field: Field) -> list[tuple[str, int]]:
    """The names in a type, with the sizes that a field gives them."""
    written: tuple[ast.Expr, ...]
    if isinstance(type, ast.ClassType):
        written, known = (type.count,), (field.classes,)
    elif isinstance(type, ast.TokensType):
        steps = field.shape[0] if field.is_tokens else None
        written, known = (type.length, type.count), (steps, field.classes)  # type: ignore[assignment]
    else:
        written = type.sizes
        known = _tensor_sizes(written, field)  # type: ignore[assignment]
    pairs = zip(written, known, strict=True)
    return [(e.id, n) for e, n in pairs if isinstance(e, ast.Name) and n is not None]


def _tensor_sizes(written: tuple[ast.Expr, ...], field: Field) -> tuple[int | None, ...]:
    """The sizes of a tensor: those of the field, or of the same numbers in other axes, if one size
    is left open (`[T, 28]` of 784 numbers)."""
    if len(written) == 1:
        return (field.size,)
    if len(written) == len(field.shape):
        return field.shape
    given = [e.value for e in written if isinstance(e, ast.Number) and isinstance(e.value, int)]
    others = math.prod(given)
    if len(given) != len(written) - 1 or others <= 0 or field.size % others:
        return (None,) * len(written)
    return tuple(None if isinstance(e, ast.Number) else field.size // others for e in written)


def bind_inputs(graph: Graph, dataset: Dataset, train: ast.Train | None) -> dict[str, str]:
    """Input -> field for a graph. Raises Failure E413 to E415 with every disagreement."""
    from .runtime.data import InputSpec, bind

    inputs = {}
    for leaf in graph.inputs:
        t = leaf.value.type
        inputs[leaf.name] = InputSpec(leaf.name, t.shape, t.dtype, t.classes, leaf.span)
    spans = {b.input.id: b.span for b in train.bindings} if train else {}
    return bind(dataset, inputs, renames(train), spans)


def make_device(name: str, threads: int | None = None) -> Device:
    """A device by its word. Raises Failure E603 for another word, E5xx where it is not there."""
    if name == "plain":
        from .runtime.plain_device import PlainDevice

        return PlainDevice()
    if name == "cuda":
        from .runtime.cuda import CudaDevice

        return CudaDevice()
    if name != "cpu":
        near = did_you_mean(name, DEVICES)
        raise fail("E603", f"there is no device `{name}`", help=near or "cpu, cuda or plain")
    from .runtime.cpu import CpuDevice

    return CpuDevice(threads=threads)


def output_folder(path: Path | None, out: Path | None) -> Path:
    """`--out`, or `out/` and the name of the file."""
    return out if out is not None else Path("out") / (path.stem if path else "net")
