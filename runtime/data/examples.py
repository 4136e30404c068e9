"""Examples that a user brings to `predict`, and predictions on their way out.

In: a CSV, NPZ or JSON file and the fields it must hold. Out: one array a field, `[n, *shape]`,
in the field's own units; or E418 naming the columns, shapes or values that are wrong.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...dsl.diagnostics import Failure, did_you_mean, fail
from ..files import write_bytes, write_text
from .arrays import read_npz
from .dataset import NUMPY, Array, Field, shape_text
from .memory import readable
from .text_table import Table, read_table

_LARGEST_TEXT = 256 << 20  # bytes
_FORMATS = "`.csv`, `.npz` and `.json`"


def read_examples(path: Path, fields: Sequence[Field]) -> dict[str, Any]:
    """The values of each field from a user's file: an array, or a list of texts or sequences."""
    if not path.is_file():
        reason = "is not a regular file" if path.exists() else "does not exist"
        raise fail("E403", f"`{path}` {reason}", help="give a file of examples to predict")
    readers = {".csv": _from_csv, ".npz": _from_npz, ".json": _from_json, ".txt": _from_text}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise fail("E418", f"`{path}`: examples are read from {_FORMATS} files, texts from `.txt`")
    examples = reader(path, fields)
    counts = {name: len(values) for name, values in examples.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"`{name}` has {n}" for name, n in counts.items())
        raise fail("E420", f"`{path}`: the numbers of examples differ: {shown}")
    return examples


def expected_columns(field: Field) -> list[str]:
    """The CSV columns of a field: its own name, its features' names, or name[0], name[1], …."""
    if field.columns and len(field.columns) == field.size:
        return list(field.columns)
    if not field.shape:
        return [field.name]
    return [f"{field.name}[{i}]" for i in range(field.size)]


def _from_csv(path: Path, fields: Sequence[Field]) -> dict[str, Any]:
    labels = [f.name for f in fields if f.labels or f.vocabulary is not None]
    header = _has_header(path)
    table = read_table(path, header=header, as_labels=labels if header else ())
    named = {field.name: _named_columns(field, table) for field in fields}
    lone = fields[0] if len(fields) == 1 else None
    if lone is not None and len(named[lone.name]) < lone.size and len(table.names) == lone.size:
        named[lone.name] = list(table.names)  # by position: one field, as many columns
    found: dict[str, Any] = {}
    for field in fields:
        columns = named[field.name]
        if field.vocabulary is not None and field.name in table.words:
            found[field.name] = _texts(table, field.name)
            continue
        if len(columns) < field.size:
            raise _missing_columns(path, field, table)
        if field.labels and columns[0] in table.words:
            found[field.name] = _labels(path, field, _texts(table, columns[0]))
            continue
        matrix = np.stack([_numeric(path, table, c) for c in columns], axis=1)
        found[field.name] = _typed(path, field, matrix)
    return found


def _has_header(path: Path) -> bool:
    """Is anything on the first line not a number?"""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(1 << 20)
    except (OSError, UnicodeDecodeError):
        return True  # `read_table` says what is wrong
    return any(not _is_number(cell) for cell in first.split(","))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named_columns(field: Field, table: Table) -> list[str]:
    present = set(table.names)
    for pattern in ("{name}[{i}]", "{name}_{i}", "{name}.{i}"):
        names = [pattern.format(name=field.name, i=i) for i in range(field.size)]
        if present.issuperset(names):
            return names
    names = expected_columns(field)
    return names if present.issuperset(names) else []


def _missing_columns(path: Path, field: Field, table: Table) -> Failure:
    wanted = expected_columns(field)
    absent = [name for name in wanted if name not in table.names]
    shown = ", ".join(f"`{name}`" for name in absent[:6]) + (", …" if len(absent) > 6 else "")
    have = ", ".join(f"`{name}`" for name in table.names[:6])
    have += ", …" if len(table.names) > 6 else ""
    near = did_you_mean(absent[0], table.names) if absent else ""
    return fail(
        "E418",
        f"`{path}` lacks columns for `{field}`: {shown}",
        help=near or f"it has {len(table.names)} columns ({have}); {field.size} are needed",
    )


def _numeric(path: Path, table: Table, name: str) -> Array:
    if name in table.words:
        first = next(iter(table.vocabulary[name]))
        raise fail("E418", f"`{path}`: column `{name}` holds `{first}`, which is not a number")
    return table.numeric(name)


def _texts(table: Table, name: str) -> list[str]:
    kinds, words = table.labelled(name)
    return [words[k] for k in kinds]


def _labels(path: Path, field: Field, texts: Sequence[str]) -> Array:
    known = {text: k for k, text in enumerate(field.labels)}
    for text in texts:
        if text not in known:
            near = did_you_mean(text, known)
            shown = ", ".join(f"`{label}`" for label in field.labels[:12])
            message = f"`{path}`: `{text}` is not a label of `{field.name}`"
            raise fail("E418", message, help=near or f"the labels are {shown}")
    return np.array([known[text] for text in texts], np.int32)


def _from_npz(path: Path, fields: Sequence[Field]) -> dict[str, Array]:
    arrays = read_npz(path, None)
    if len(fields) == 1 and len(arrays) == 1:
        return {fields[0].name: _typed(path, fields[0], next(iter(arrays.values())))}
    return {field.name: _typed(path, field, _pick(path, field, arrays)) for field in fields}


def _pick(path: Path, field: Field, arrays: Mapping[str, Any]) -> Any:
    if field.name in arrays:
        return arrays[field.name]
    near = did_you_mean(field.name, arrays)
    shown = ", ".join(f"`{name}`" for name in list(arrays)[:12]) or "nothing"
    message = f"`{path}` holds no `{field.name}`"
    raise fail("E418", message, help=near or f"it holds {shown}; `{field}` is needed")


def _from_text(path: Path, fields: Sequence[Field]) -> dict[str, Any]:
    """One text on each line, for the only field."""
    if len(fields) != 1 or fields[0].vocabulary is None:
        shown = ", ".join(f"`{field}`" for field in fields)
        message = f"`{path}`: examples of {shown} are read from {_FORMATS} files"
        raise fail("E418", message, help="a `.txt` file holds texts for a net's only input")
    try:
        size = path.stat().st_size
        if size > _LARGEST_TEXT:
            raise fail("E418", f"`{path}` is larger than {readable(_LARGEST_TEXT)}")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise fail("E403", f"cannot read `{path}`: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise fail("E427", f"`{path}` is not UTF-8 text", help="save it as UTF-8") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise fail("E418", f"`{path}` holds no examples")
    return {fields[0].name: texts}


def _from_json(path: Path, fields: Sequence[Field]) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise fail("E418", f"`{path}` is not JSON: {error}") from error
    except OSError as error:
        raise fail("E403", f"cannot read `{path}`: {error.strerror or error}") from error
    if isinstance(facts, dict):
        return {f.name: _json_array(path, f, _pick(path, f, facts)) for f in fields}
    if not isinstance(facts, list) or not facts:
        message = f"`{path}` is neither an object of arrays nor a list of examples"
        raise fail("E418", message, help=f'write `{{"{fields[0].name}": [[…], …]}}`')
    if all(isinstance(row, dict) for row in facts):
        return {
            f.name: _json_array(path, f, [_pick(path, f, row) for row in facts]) for f in fields
        }
    return {f.name: _json_array(path, f, facts) for f in fields[:1]} | {
        f.name: _pick(path, f, {}) for f in fields[1:]
    }


def _json_array(path: Path, field: Field, values: Any) -> Any:
    if field.vocabulary is not None and isinstance(values, str):
        return [values]
    if field.sequence and isinstance(values, list) and values:
        texts = field.vocabulary is not None and all(isinstance(v, str) for v in values)
        lists = all(isinstance(v, list) for v in values)
        if texts or (lists and len({len(v) for v in values}) > 1):
            return values
    if field.labels and isinstance(values, list) and all(isinstance(v, str) for v in values):
        return _labels(path, field, values)
    try:
        array = np.array(values, np.float64)
    except (ValueError, TypeError) as error:
        message = f"`{path}`: `{field.name}` is not an even array of numbers"
        raise fail("E418", message, help=f"every example has the shape of `{field}`") from error
    return _typed(path, field, array)


def _typed(path: Path, field: Field, values: Array) -> Array:
    """The field's dtype and shape; one lone example counts as a batch of one."""
    if values.dtype.kind not in "fiub":
        raise fail("E418", f"`{path}`: `{field.name}` holds {values.dtype}, not numbers")
    if values.shape == field.shape or values.ndim == 0:
        values = values[None]
    n = values.shape[0]
    if n == 0:
        raise fail("E418", f"`{path}` holds no examples")
    if field.sequence and values.ndim == 1 + len(field.shape) and values.size != n * field.size:
        return values  # shorter than the longest: the model says whether it takes them
    if values.size != n * field.size:
        raise fail(
            "E418",
            f"`{path}`: one example of `{field.name}` has shape {shape_text(values.shape[1:])}, "
            f"and the net takes {shape_text(field.shape)}",
        )
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values.reshape(n, -1)))[0][0])
        raise fail("E419", f"`{path}`: example {row} of `{field.name}` holds NaN or infinity")
    top = field.classes or 0
    if field.dtype == "i32" and (
        (values < 0).any() or (values != np.floor(values)).any() or (top and (values >= top).any())
    ):
        raise fail("E419", f"`{path}`: labels of `{field}` are whole numbers from 0 to {top - 1}")
    shaped = values.reshape(n, *field.shape)
    return np.ascontiguousarray(shaped, dtype=NUMPY[field.dtype])


# ---------------------------------------------------------------- predictions


def write_predictions(path: Path, predictions: Mapping[str, Array]) -> None:
    """Write arrays as `.csv`, `.npz` or `.json`, by the ending; whole or not at all."""
    arrays = {name: np.atleast_1d(np.asarray(values)) for name, values in predictions.items()}
    kind = path.suffix.lower()
    if kind == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # names are free
        write_bytes(path, buffer.getbuffer())
    elif kind == ".json":
        write_text(path, json.dumps({n: _json_safe(a.tolist()) for n, a in arrays.items()}) + "\n")
    elif kind == ".csv":
        write_text(path, csv_text(arrays))
    else:
        raise fail("E418", f"`{path}`: predictions are written as {_FORMATS} files")


def _json_safe(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, list):
        return [_json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_text(arrays: Mapping[str, Array]) -> str:
    """Predictions as CSV: a column for each number of an example."""
    names: list[str] = []
    columns: list[Array] = []
    for name, values in arrays.items():
        flat = values.reshape(len(values), -1)
        single = values.ndim == 1
        names += [name] if single else [f"{name}[{i}]" for i in range(flat.shape[1])]
        columns += list(flat.T)
    lines = [",".join(_cell(name) for name in names)]
    lines += [",".join(_cell(str(v)) for v in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(c in text for c in ',"\n\r') else text
