"""NumPy arrays on their way into a net: as a data set for `fit`, as a batch for `predict`.

In: arrays by input name, or in the order of the inputs. Out: a `Dataset`, or arrays `[n, *shape]`
of the inputs' own element types. Raises Failure E610 where names or shapes do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiler.graph import Leaf
from .dsl import syntax as ast
from .dsl.diagnostics import did_you_mean, fail
from .runtime.data import Column, Dataset, Field, Part

Array = NDArray[Any]
Arrays = Mapping[str, Any] | Sequence[Any]


def named(given: Arrays, inputs: Sequence[str]) -> dict[str, Any]:
    """Arrays by input name; a sequence follows the order in which inputs are declared. Texts, and
    rows of different lengths, stay as they are."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in inputs:
                shown = ", ".join(f"`{n}`" for n in inputs)
                near = did_you_mean(name, inputs)
                message = f"the net has no input `{name}`"
                raise fail("E610", message, help=near or f"its inputs are {shown}")
        return {name: _plain(array) for name, array in given.items()}
    if len(given) != len(inputs):
        shown = ", ".join(f"`{n}`" for n in inputs)
        raise fail("E610", f"expected {len(inputs)} arrays ({shown}), got {len(given)}")
    return {name: _plain(array) for name, array in zip(inputs, given, strict=True)}


def _plain(given: Any) -> Any:
    """An array, if it is one."""
    first = given[0] if isinstance(given, list | tuple) and given else given
    if isinstance(first, str):
        return given
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        return given


def dataset_from(
    net: ast.Net, train: Arrays, valid: Arrays | None = None, test: Arrays | None = None
) -> Dataset:
    """A data set in memory, its fields named as the net's inputs."""
    inputs = declared_inputs(net)
    parts = [_part(inputs, named(given or [], list(inputs) if given else []))
             for given in (train, valid, test)]  # fmt: skip
    filled = [p if len(p) else Part(parts[0].columns, p.indices) for p in parts]
    first, second, third = filled
    return Dataset("arrays", first, second, third)


def declared_inputs(net: ast.Net) -> dict[str, ast.TypeExpr]:
    """The inputs in the order written."""
    return {
        name.id: statement.type
        for statement in net.body
        if isinstance(statement, ast.Input)
        for name in statement.names
    }


def _part(inputs: Mapping[str, ast.TypeExpr], arrays: Mapping[str, Array]) -> Part:
    columns = {name: _column(name, inputs[name], array) for name, array in arrays.items()}
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"`{n}` {c}" for n, c in counts.items())
        raise fail("E610", f"the arrays hold different numbers of examples: {shown}")
    count = next(iter(counts.values()), 0)
    return Part(columns, np.arange(count, dtype=np.int64))


def _column(name: str, type: ast.TypeExpr, array: Any) -> Column:
    if isinstance(array, list | tuple):
        array, lengths = _rows(name, array)
        column = _column(name, type, array)
        field = replace(column.field, sequence=True)
        return replace(column, field=field, lengths=lengths)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        message = f"`{name}` must be an array of numbers, one row an example"
        raise fail("E610", message)
    if isinstance(type, ast.ClassType):
        labels = array.reshape(len(array)) if array.size == len(array) else array
        if labels.ndim != 1 or (labels.size and (labels < 0).any()):
            raise fail("E610", f"`{name}` holds labels: one whole number from 0 for each example")
        classes = int(labels.max()) + 1 if labels.size else None
        field = Field(name, (), "i32", classes, target=True)
        return Column(field, labels.astype(np.int32))
    if isinstance(type, ast.TokensType):
        if array.ndim != 2 or array.size == 0 or array.min() < 0 or array.dtype.kind not in "iu":
            message = f"`{name}` holds tokens: a row of whole numbers from 0 for each example"
            raise fail("E610", message)
        field = Field(name, array.shape[1:], "i32", int(array.max()) + 1, sequence=True)
        return Column(field, array.astype(np.int32))
    dtype = "f64" if array.dtype == np.float64 and getattr(type, "dtype", None) == "f64" else "f32"
    return Column(Field(name, array.shape[1:], dtype), array)


def _rows(name: str, rows: Sequence[Any]) -> tuple[Array, Array]:
    """Sequences of different lengths, with zeros after each, and the lengths."""
    arrays = [np.asarray(row) for row in rows]
    shapes = {a.shape[1:] for a in arrays}
    kinds = {a.dtype.kind for a in arrays}
    if not arrays or len(shapes) > 1 or not kinds <= set("fiub") or any(not a.ndim for a in arrays):
        message = f"`{name}` must be an array of numbers, or a list of one sequence an example"
        raise fail("E610", message)
    lengths = np.array([len(a) for a in arrays], np.int32)
    out = np.zeros((len(arrays), max(1, lengths.max()), *shapes.pop()), np.result_type(*arrays))
    for number, row in enumerate(arrays):
        out[number, : len(row)] = row
    return out, lengths


def batch_of(leaf: Leaf, array: Any) -> Array:
    """One input's examples as the compiled net takes them; equal sizes are reshaped."""
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise fail("E610", f"`{leaf.name}` holds rows of different lengths") from error
    t = leaf.value.type
    if values.dtype.kind not in "fiub":
        raise fail("E610", f"`{leaf.name}` must be an array of numbers")
    if values.shape == t.shape:
        values = values[None]
    count = len(values) if values.ndim else 0
    if count == 0 or values.size != count * t.size:
        raise fail(
            "E610",
            f"`{leaf.name}` takes one row an example, [n{''.join(f', {k}' for k in t.shape)}], "
            f"got {list(values.shape)}",
        )
    if t.classes is not None and ((values < 0).any() or (values >= t.classes).any()):
        raise fail("E610", f"`{leaf.name}` holds labels from 0 to {t.classes - 1}")
    return np.ascontiguousarray(values.reshape(count, *t.shape), dtype=t.numpy)
