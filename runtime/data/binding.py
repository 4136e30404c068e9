"""Which field of a data set feeds which input of a net.

In: the net's inputs as types, the data set, the renamings of `with image = pixels`. Out: input →
field, or every disagreement at once, each with the two facts and what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...dsl.diagnostics import Diagnostic, Failure, did_you_mean
from ...dsl.source import Span
from .dataset import LENGTH, Dataset, Field, Shape, shape_text


@dataclass(frozen=True)
class InputSpec:
    """An `input` of a net: `input image: [784]`, `input digit: class[10]`."""

    name: str
    shape: Shape
    dtype: str = "f32"
    classes: int | None = None
    span: Span | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        if self.classes is not None and not self.shape:
            return f"{self.name}: class[{self.classes}]"
        if self.classes is not None:
            return f"{self.name}: tokens[{self.shape[0]}, {self.classes}]"
        suffix = "" if self.dtype == "f32" else f" {self.dtype}"
        return f"{self.name}: {shape_text(self.shape)}{suffix}"


def bind(
    dataset: Dataset,
    inputs: Mapping[str, InputSpec],
    renames: Mapping[str, str] | None = None,
    spans: Mapping[str, Span] | None = None,
) -> dict[str, str]:
    """Input name → field name. `renames`: the same, as written; `spans`: where, by input.

    An input takes the field of its own name; inputs called `x` and `y` take the first input and
    the first target field where no field has that name. The hidden input `text.length` takes the
    lengths of the field that `text` takes.
    """
    renames, spans = renames or {}, spans or {}
    problems: list[Diagnostic] = []
    bound: dict[str, str] = {}
    for name in renames:
        if name not in inputs:
            near = did_you_mean(name, inputs)
            message = f"the net has no input `{name}`"
            way_out = near or f"its inputs are {_quoted(inputs)}"
            problems.append(Diagnostic("E413", message, spans.get(name), help=way_out))
    hidden = [name for name in inputs if name.endswith(LENGTH) and name not in dataset.fields]
    for name, wanted in inputs.items():
        if name in hidden:
            continue
        field = _field(dataset, wanted, renames.get(name), spans.get(name))
        if isinstance(field, Diagnostic):
            problems.append(field)
            continue
        problem = _disagreement(wanted, field, dataset.name)
        if problem is not None:
            problems.append(problem)
        bound[name] = field.name
    if problems:
        raise Failure(problems)
    return bound | {n: bound[n.removesuffix(LENGTH)] + LENGTH for n in hidden}


def _field(
    dataset: Dataset, wanted: InputSpec, renamed: str | None, span: Span | None
) -> Field | Diagnostic:
    fields = dataset.fields
    if renamed is not None:
        if renamed in fields:
            return fields[renamed]
        near = did_you_mean(renamed, fields)
        message = f"`{dataset.name}` has no field `{renamed}`"
        way_out = near or f"its fields are {_quoted(fields)}"
        return Diagnostic("E413", message, span or wanted.span, help=way_out)
    if wanted.name in fields:
        return fields[wanted.name]
    first = {"x": dataset.inputs[:1], "y": dataset.targets[:1]}.get(wanted.name, ())
    if first:
        return fields[first[0]]
    return Diagnostic(
        "E413",
        f"no field of `{dataset.name}` feeds the input `{wanted.name}`",
        wanted.span,
        note=f"the fields are {', '.join(str(f) for f in list(fields.values())[:12])}",
        help=f"say which: `with {wanted.name} = {_likely(dataset, wanted)}`",
    )


def _likely(dataset: Dataset, wanted: InputSpec) -> str:
    """The field most likely meant: near in name, else the first that would fit."""
    near = did_you_mean(wanted.name, dataset.fields)
    if near:
        return near.split("`")[1]
    for name, field in dataset.fields.items():
        if _disagreement(wanted, field, dataset.name) is None:
            return name
    return next(iter(dataset.fields))


def _disagreement(wanted: InputSpec, field: Field, data: str) -> Diagnostic | None:
    if wanted.classes is not None and (wanted.shape or field.is_tokens):
        return _token_disagreement(wanted, field, data)
    if wanted.classes is not None:
        return _class_disagreement(wanted, field, data)
    if field.is_tokens and field.classes is not None:
        return Diagnostic(
            "E415",
            f"the input `{wanted.name}` is {shape_text(wanted.shape)} of numbers, and "
            f"`{field.name}` of `{data}` is {_kind(field)}",
            wanted.span,
            help=f"declare it as `input {wanted.name}: tokens[T, k]`",
        )
    if field.classes is not None and not field.shape:
        return _number_disagreement(wanted, field, data)
    if wanted.size == field.size or _holds(wanted, field):
        return None
    if field.sequence and len(field.shape) == len(wanted.shape):
        return _too_long(wanted, field, data)
    return Diagnostic(
        "E414",
        f"the input `{wanted.name}` is {shape_text(wanted.shape)}, "
        f"and `{field.name}` of `{data}` is {shape_text(field.shape)}",
        wanted.span,
        note=f"{wanted.size} numbers an example; the data have {field.size}",
        help=f"write `input {wanted.name}: {shape_text(field.shape)}`",
    )


def _holds(wanted: InputSpec, field: Field) -> bool:
    """Is there room for all steps of the field's sequences?"""
    if not field.sequence or len(wanted.shape) != len(field.shape):
        return False
    return wanted.shape[0] >= field.shape[0] and wanted.shape[1:] == field.shape[1:]


def _too_long(wanted: InputSpec, field: Field, data: str) -> Diagnostic:
    if wanted.shape[1:] != field.shape[1:]:
        sizes = [str(n) for n in field.shape[1:]]
        way_out = f"write `input {wanted.name}: [T, {', '.join(sizes)}]`"
    else:
        way_out = "write `T` in place of the number: the data say how many steps there are"
    return Diagnostic(
        "E414",
        f"the input `{wanted.name}` is {str(wanted).partition(': ')[2]}, and sequences of "
        f"`{field.name}` of `{data}` are up to {_kind(field)}",
        wanted.span,
        help=way_out,
    )


def _kind(field: Field) -> str:
    """`tokens[20, 65]`."""
    return str(field).partition(": ")[2]


def _token_disagreement(wanted: InputSpec, field: Field, data: str) -> Diagnostic | None:
    """Both must be a class for each step, with room for the longest and for every class."""
    kind = str(wanted).partition(": ")[2]
    if not field.is_tokens or field.classes is None or not wanted.shape:
        way_out = f"declare it as `input {wanted.name}: {_kind(field)}`"
        if field.dtype != "i32" and len(field.shape) == 1 and wanted.shape:
            way_out = f"if its numbers are classes, pipe the data through `sequence({field.name})`"
        message = (
            f"the input `{wanted.name}` is {kind}, and `{field.name}` of `{data}` is {_kind(field)}"
        )
        return Diagnostic("E415", message, wanted.span, help=way_out)
    if wanted.shape[0] < field.shape[0]:
        return _too_long(wanted, field, data)
    if wanted.classes is not None and wanted.classes < field.classes:
        return Diagnostic(
            "E415",
            f"the input `{wanted.name}` has {wanted.classes} different tokens, "
            f"and `{field.name}` of `{data}` has {field.classes}",
            wanted.span,
            help=f"write `tokens[T, k]`: the data say what T and k are, here {_kind(field)}",
        )
    return None


def _class_disagreement(wanted: InputSpec, field: Field, data: str) -> Diagnostic | None:
    if field.classes is None:
        return Diagnostic(
            "E415",
            f"the input `{wanted.name}` is a class, and `{field.name}` of `{data}` is "
            f"{shape_text(field.shape)} of numbers",
            wanted.span,
            help=f"declare it as `input {wanted.name}: {shape_text(field.shape)}`, or read labels: "
            "`csv(file, target = …, classes = true)`",
        )
    if field.shape:
        return Diagnostic(
            "E415",
            f"the input `{wanted.name}` is a class, and `{field.name}` of `{data}` is one-hot",
            wanted.span,
            help="leave out `-> one_hot`, or declare "
            f"`input {wanted.name}: {shape_text(field.shape)}`",
        )
    if wanted.classes is not None and wanted.classes < field.classes:
        return Diagnostic(
            "E415",
            f"the input `{wanted.name}` has {wanted.classes} classes, "
            f"and `{field.name}` of `{data}` has {field.classes}",
            wanted.span,
            help=f"write `class[{field.classes}]`",
        )
    return None


def _number_disagreement(wanted: InputSpec, field: Field, data: str) -> Diagnostic | None:
    """A class label may feed numbers only where 0 and 1 mean no and yes."""
    if wanted.size == 1 and field.classes == 2:
        return None
    fits = wanted.shape == (field.classes,)
    one_hot = f"pipe the data through `one_hot({field.name})`, or declare "
    return Diagnostic(
        "E415",
        f"the input `{wanted.name}` is {shape_text(wanted.shape)} of numbers, "
        f"and `{field.name}` of `{data}` is class[{field.classes}]",
        wanted.span,
        help=(one_hot if fits else "declare ") + f"`input {wanted.name}: class[{field.classes}]`",
    )


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in list(names)[:12])
