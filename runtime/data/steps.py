"""The steps of a data pipe: `-> split(valid = 0.1, seed = 1) -> normalize`.

In: a data set and checked arguments. Out: another view of the same numbers; only `normalize`
ever reads them, and only at the end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...dsl.diagnostics import Failure, did_you_mean
from .arguments import Given, Parameter
from .batches import permutation
from .dataset import Column, Columns, Dataset, Indices, Part, shape_text
from .pictures import picture_shape
from .registry import step

_SEED = Parameter("seed", "integer", 0, 0, 2**63 - 1)


def unknown_field(given: Given, at: str, name: str, dataset: Dataset) -> Failure:
    """E408, with the nearest name."""
    shown = ", ".join(f"`{known}`" for known in list(dataset.fields)[:12])
    near = did_you_mean(name, dataset.fields)
    message = f"`{dataset.name}` has no field `{name}`"
    return given.fail("E408", message, at, help=near or f"its fields are {shown}")


def known_fields(
    dataset: Dataset, given: Given, at: str, names: tuple[str, ...]
) -> tuple[str, ...]:
    """The names, all of which the set has. Raises Failure E408."""
    for name in names:
        if name not in dataset.fields:
            raise unknown_field(given, at, name, dataset)
    return names


@step("split", Parameter("valid", "share", None, 0), Parameter("test", "share", None, 0), _SEED)
def split(dataset: Dataset, given: Given) -> Dataset:
    """Hold out examples by chance: fractions or counts. The same seed gives the same parts.

    Of a text blocks are held out: `valid` is what follows the train part, `test` is the end.

    `valid` comes from the train part; so does `test`, for sources without a test part of their
    own. Asking `test` of an embedded set that has one draws all parts anew.
    """
    if given.share("valid") is None and given.share("test") is None:
        raise given.fail(
            "E409", "`split` needs `valid`, `test` or both", help="`split(valid = 0.1)`"
        )
    train, valid, test = dataset.train, dataset.valid, dataset.test
    if len(valid) and given.share("valid") is not None:
        raise given.fail("E412", f"`{dataset.name}` already has a validation part", "valid")
    pool = train.indices
    if len(test) and given.share("test") is not None:
        if not dataset.own_test or test.columns is not train.columns:
            message = f"`{dataset.name}` already has a test part of {len(test)} examples"
            raise given.fail("E412", message, "test", help="leave out `test`: that part is used")
        pool = np.sort(np.concatenate([pool, test.indices]))
    counts = {name: _count(given, name, len(pool)) for name in ("valid", "test")}
    held, gaps = (
        counts["valid"] + counts["test"],
        (dataset.gap or 0) * sum(map(bool, counts.values())),
    )
    if held + gaps >= len(pool):
        message = f"nothing is left to train on: {held} of {len(pool)} examples are held out"
        note = f"and {gaps} between the parts, which share tokens with both" if gaps else ""
        raise given.fail("E412", message, note=note)
    if dataset.gap is not None:
        rest, drawn_valid, drawn_test = _blocks(pool, counts["valid"], counts["test"], dataset.gap)
    else:
        order = pool[permutation(len(pool), given.integer("seed"), _SPLIT)]
        drawn_valid, drawn_test, rest = np.split(order, [counts["valid"], held])
    parts = {"train": Part(train.columns, _sorted(rest))}
    if counts["valid"]:
        parts["valid"] = Part(train.columns, _sorted(drawn_valid))
    if counts["test"]:
        parts["test"] = Part(train.columns, _sorted(drawn_test))
    drawn = dataset.with_parts(parts)
    return replace(drawn, own_test=dataset.own_test and not counts["test"])


def _blocks(pool: Indices, valid: int, test: int, gap: int) -> tuple[Indices, Indices, Indices]:
    """The beginning, what follows, and the end; `gap` examples are left out between them."""
    n = len(pool)
    begins_test = n - test
    ends_valid = begins_test - (gap if test else 0)
    begins_valid = ends_valid - valid
    ends_train = begins_valid - (gap if valid else 0)
    return pool[:ends_train], pool[begins_valid:ends_valid], pool[begins_test:]


_SPLIT = 2**63  # an epoch that training never reaches: its order is the split's own
_SHUFFLE = 2**63 + 1


def _sorted(indices: Indices) -> Indices:
    """File order: reading a map forwards is faster, and training shuffles anyway."""
    return np.sort(indices).astype(np.int64)


def _count(given: Given, at: str, total: int) -> int:
    share = given.share(at)
    if share is None or share == 0:
        return 0
    if share < 1:
        count = round(share * total)
        if count == 0:
            message = f"{share:g} of {total} examples is none"
            raise given.fail("E412", message, at, help="hold out a larger share, or a count")
        return count
    if share != int(share):
        message = f"`{at} = {share:g}` is neither a fraction below 1 nor a whole number"
        raise given.fail("E409", message, at)
    return int(share)


@step(
    "normalize",
    Parameter("fields", "names", None),
    Parameter("scale", "number", None),
    Parameter("per", "word", None),
)
def normalize(dataset: Dataset, given: Given) -> Dataset:
    """Mean 0 and deviation 1, from the train part only; or `scale = 255`: divide by that.

    Tables are normalised feature by feature, images channel by channel; `per = "feature"`,
    `per = "channel"` or `per = "field"` says otherwise. Targets are left alone unless named.
    """
    asked = given.names("fields")
    fields = known_fields(dataset, given, "fields", asked or _numeric_inputs(dataset))
    if not fields:
        raise given.fail("E408", f"`{dataset.name}` has no numeric input to normalize")
    per = given.values["per"]
    if per not in (None, "feature", "channel", "field"):
        raise given.fail("E409", '`per` is "feature", "channel" or "field"', "per")
    scale = None if given.values["scale"] is None else given.number("scale")
    if scale == 0:
        raise given.fail("E409", "`scale` cannot be 0", "scale")
    for name in fields:
        if dataset.fields[name].classes is not None or dataset.fields[name].dtype == "i32":
            message = f"`{name}` is a class, and only numbers can be normalized"
            raise given.fail("E409", message, "fields", help="`-> one_hot` makes numbers of it")
        if per == "channel" and picture_shape(dataset.train.columns[name]) is None:
            message = f"`{dataset.fields[name]}` is no picture of [channels, height, width]"
            raise given.fail("E409", message, "per", help=f"`-> reshape({name}, [1, 28, 28])`")

    def change(columns: Columns) -> Columns:
        changed = dict(columns)
        for name in fields:
            column = columns[name]
            if scale is not None:
                changed[name] = replace(column, unit=column.unit * scale)
            else:
                image = picture_shape(column)
                several = image is not None and image[0] > 1
                way = per or (("channel" if several else "field") if column.pooled else "feature")
                way = "step" if column.field.sequence and per is None else way
                image = image if way == "channel" else column.image
                changed[name] = replace(column, normalize=str(way), image=image)
        return changed

    return dataset.mapped(change)


def _numeric_inputs(dataset: Dataset) -> tuple[str, ...]:
    numeric = (f for f in dataset.fields.values() if not f.target and f.classes is None)
    return tuple(f.name for f in numeric if f.dtype != "i32")


@step("one_hot", Parameter("fields", "names", None))
def one_hot(dataset: Dataset, given: Given) -> Dataset:
    """A class field as a vector: 1 at its class, 0 elsewhere. Default: every class target."""
    labelled = [n for n, f in dataset.fields.items() if f.classes is not None and not f.shape]
    asked = given.names("fields")
    default = tuple(n for n in labelled if dataset.fields[n].target)
    fields = known_fields(dataset, given, "fields", asked or default)
    for name in fields:
        if name not in labelled:
            message = f"`{dataset.fields[name]}` is not a class"
            raise given.fail("E409", message, "fields", help="`one_hot` takes `class[k]` fields")
    if not fields:
        raise given.fail("E409", f"`{dataset.name}` has no class target to make one-hot")

    def vector(column: Column) -> Column:
        classes = column.field.classes or 0
        changed = replace(column.field, shape=(classes,), dtype="f32")
        return replace(column, field=changed, one_hot=True)

    return dataset.mapped(
        lambda columns: {n: vector(c) if n in fields else c for n, c in columns.items()}
    )


@step("shuffle", _SEED)
def shuffle(dataset: Dataset, given: Given) -> Dataset:
    """Put the train part in a drawn order, once; training draws a new one every epoch itself."""
    train = dataset.train
    order = permutation(len(train), given.integer("seed"), _SHUFFLE)
    return replace(dataset, train=Part(train.columns, train.indices[order]))


@step(
    "take",
    Parameter("n", "integer", low=1),
    Parameter("valid", "integer", None, 1),
    Parameter("test", "integer", None, 1),
)
def take(dataset: Dataset, given: Given) -> Dataset:
    """The first n examples of the train part, and of `valid` and `test` where counts are given."""
    parts = {"train": _first(dataset.train, given, "n")}
    for name in ("valid", "test"):
        if given.values[name] is not None:
            parts[name] = _first(getattr(dataset, name), given, name)
    return dataset.with_parts(parts)


def _first(part: Part, given: Given, at: str) -> Part:
    n = given.integer(at)
    if n > len(part):
        message = f"{n} examples are asked for, and there are {len(part)}"
        raise given.fail("E412", message, at)
    return Part(part.columns, part.indices[:n])


@step("rename", extra="pairs")
def rename(dataset: Dataset, given: Given) -> Dataset:
    """`rename(image = pixels)`: the field `pixels` is called `image` from here on."""
    new_names = {}
    for new, old in given.values.items():
        known_fields(dataset, given, new, (str(old),))
        if str(old) in new_names:
            raise given.fail("E409", f"`{old}` is renamed twice", new)
        new_names[str(old)] = new
    result = [new_names.get(name, name) for name in dataset.fields]
    for new in given.values:
        if result.count(new) > 1:
            raise given.fail("E409", f"`{dataset.name}` would have two fields `{new}`", new)

    def change(columns: Columns) -> Columns:
        return {
            new_names.get(name, name): _renamed(column, new_names.get(name, name))
            for name, column in columns.items()
        }

    return dataset.mapped(change)


def _renamed(column: Column, name: str) -> Column:
    return replace(column, field=replace(column.field, name=name))


@step("select", extra="names")
def select(dataset: Dataset, given: Given) -> Dataset:
    """Keep these fields only: `select(image, digit)`."""
    kept = [str(value) for value in given.values.values()]
    if not kept:
        raise given.fail("E409", "`select` needs at least one field")
    for place, name in given.values.items():
        known_fields(dataset, given, place, (str(name),))
    return dataset.mapped(lambda columns: {name: columns[name] for name in kept})


@step("reshape", Parameter("field", "name"), Parameter("shape", "sizes"))
def reshape(dataset: Dataset, given: Given) -> Dataset:
    """The same numbers in another shape: `reshape(image, [1, 28, 28])`."""
    (name,) = known_fields(dataset, given, "field", (str(given.values["field"]),))
    field, shape = dataset.fields[name], given.sizes("shape")
    if int(np.prod(shape, dtype=object)) != field.size:
        message = (
            f"`{field}` has {field.size} numbers an example, and {shape_text(shape)} "
            f"takes {int(np.prod(shape, dtype=object))}"
        )
        raise given.fail("E414", message, "shape")
    return dataset.mapped(lambda columns: _reshaped(columns, name, shape))


@step("flatten", Parameter("fields", "names", None))
def flatten(dataset: Dataset, given: Given) -> Dataset:
    """Every input of two or more axes as one row of numbers: [28, 28] becomes [784]."""
    deep = tuple(n for n, f in dataset.fields.items() if len(f.shape) > 1 and not f.target)
    for name in known_fields(dataset, given, "fields", given.names("fields") or deep):
        size = dataset.fields[name].size

        def change(columns: Columns, name: str = name, size: int = size) -> Columns:
            return _reshaped(columns, name, (size,))

        dataset = dataset.mapped(change)
    return dataset


def _reshaped(columns: Columns, name: str, shape: tuple[int, ...]) -> Columns:
    column = columns[name]
    return {**columns, name: replace(column, field=column.field.reshaped(shape))}
