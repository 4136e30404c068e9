"""Normal forms: every value as one of ten kinds of work, whatever operation made it.

In: a graph. Out: `Normal`: for each value that computes something its form, with operands as places
over its own index space; aliases (values that are the same numbers in the same order) resolved; and
the values that must lie in memory whatever fusion decides. Asks operations for their family only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from ..graph import Graph
from ..op import Assemble, Box
from ..scalar import Call, Element, Literal, Position, Scalar
from ..value import Value
from .affine import Place, compose, contiguous, digits, repeated, still
from .borders import apart
from .forms import (
    COSTS,
    HOIST,
    Fold,
    Form,
    Gathered,
    Given,
    Matmul,
    Normal,
    Operand,
    Pieces,
    Point,
    Result,
    Scanned,
    Scattered,
    Stepped,
    example_of,
)
from .lookups import gathered_layout, scattered_sizes, table_places
from .products import Layout, Letters, layout, letters_of

_REMEMBERED = 1 << 12


def normalise(graph: Graph, spread: Mapping[Value, int] | None = None) -> Normal:
    """The normal form of every value of the graph. `spread`: leaves whose examples do not lie one
    after another, and how many elements they are apart."""
    n = Normal(graph, spread=spread or {})
    n.updated = {str(o.target.attrs["name"]) for o in graph.outputs
                 if o.kind == "update" and o.target is not None}  # fmt: skip
    n.results = {o.value for o in graph.outputs}
    for v in graph.nodes:
        if v in graph.after:
            n.after[v] = tuple(n.rep[g] for g in graph.after[v])
        made = _form(n, v)
        if isinstance(made, Value):
            n.rep[v] = made
            continue
        n.rep[v] = v
        n.forms[v] = made
        _require(n, made)
    n.stored.update(n.rep[v] for v in graph.kept if not isinstance(n.forms[n.rep[v]], Given))
    for o in graph.outputs:
        value = n.rep[o.value]
        n.outputs.append((o, value))
        if not isinstance(n.forms[value], Given):
            n.stored.add(value)
    return n


def _form(n: Normal, v: Value) -> Form | Value:
    family = v.op.family
    if family == "elementwise":
        return _elementwise(n, v)
    if family == "leaf":
        return _leaf(n, v)
    if family == "view":
        return _view(n, v)
    if family == "contraction":
        return _contraction(n, v)
    if family == "reduction":
        return _reduction(n, v)
    if family == "assemble":
        return _assemble(n, v)
    if family == "lookup":
        return _lookup(n, v)
    if family == "scan":
        return Scanned(v, tuple(_plain(n, x) for x in v.args))
    if family == "part":
        return _result(n, v)
    if family == "along":
        return Stepped(v, (_plain(n, v.args[0]),))
    raise TypeError(f"`{v.op.name}` gives initial values only; it cannot be part of a step")


def _leaf(n: Normal, v: Value) -> Form | Value:
    if "name" in v.attrs:
        name = str(v.attrs["name"])
        first = n.given.setdefault(name, v)
        if first is not v:
            return first
        return Given(v, name, n.spread.get(v, v.type.size if v.type.batched else 0))
    if v.is_constant:
        return Point(v, (), Literal(v.attrs["value"]), 0)
    return Point(v, (), Call("batch"), 0)


def _result(n: Normal, v: Value) -> Form | Value:
    """A part of a scan; another one of the same index is the same."""
    key = n.rep[v.args[0]], int(v.attrs["index"])
    first = n.parts.setdefault(key, v)
    return Result(v, (_plain(n, key[0]),), key[1]) if first is v else first


def _operand(n: Normal, x: Value, offset: int, strides: tuple[int, ...],
             shape: tuple[int, ...]) -> Operand:  # fmt: skip
    value = n.rep[x]
    same = offset == 0 and strides == contiguous(shape) and value.type.size == prod(shape)
    return Operand(value, offset, strides, same)


def _elementwise(n: Normal, v: Value) -> Form | Value:
    word = _word(v)
    shape = v.shape
    if word.same_as is not None:
        x = v.args[word.same_as]
        if x.type.dtype == v.type.dtype and _whole(x, v):
            return n.rep[x]
    operands = tuple(
        _operand(n, v.args[k], 0, repeated(v.args[k].shape, shape), shape) for k in word.operands
    )
    n.seeded = n.seeded or word.draws
    return Point(v, operands, word.expression, word.cost, word.draws)


@dataclass(frozen=True, slots=True)
class _Word:
    """An elementwise operation's expression: constants are literals in it, `operands` the rest."""

    expression: Scalar
    operands: tuple[int, ...]
    cost: int
    draws: bool
    same_as: int | None  # it is that operand


_words: dict[tuple[object, ...], _Word] = {}


def _word(v: Value) -> _Word:
    """Remembered: a large net says the same few words over and over."""
    numbers = tuple(str(a.attrs["value"]) if a.is_constant else a.type.dtype for a in v.args)
    attrs = tuple(v.attrs.items()) if v.attrs else ()
    key = (v.op, attrs, v.type.dtype, len(v.shape), numbers)
    found = _words.get(key)
    if found is None:
        if len(_words) > _REMEMBERED:
            _words.clear()
        found = _words[key] = _new_word(v)
    return found


def _new_word(v: Value) -> _Word:
    slots = [k for k, a in enumerate(v.args) if not a.is_constant]
    terms: list[Scalar] = [
        Literal(a.attrs["value"]) if a.is_constant else Element(slots.index(k))
        for k, a in enumerate(v.args)
    ]
    expression: Scalar = v.op.expression(v, *terms)  # type: ignore[attr-defined]
    used = sorted(p.slot for p in set(_parts(expression)) if isinstance(p, Element))
    if used != list(range(len(slots))):
        expression = _renumbered(expression, {slot: k for k, slot in enumerate(used)})
        slots = [slots[k] for k in used]
    calls = [p.function for p in _parts(expression) if isinstance(p, Call)]
    cost = sum(COSTS.get(f, 1) for f in calls)
    draws = any(f in ("uniform", "normal") for f in calls)
    same_as = slots[expression.slot] if isinstance(expression, Element) else None
    return _Word(expression, tuple(slots), cost, draws, same_as)


def _view(n: Normal, v: Value) -> Form | Value:
    offset, strides = v.op.view(v)  # type: ignore[attr-defined]
    strides = still(tuple(strides), v.shape)
    (x,) = v.args
    if offset == 0 and strides == contiguous(v.shape) and _whole(x, v):
        return n.rep[x]
    return Point(v, (_operand(n, x, offset, strides, v.shape),), Element(0), 0)


def _reduction(n: Normal, v: Value) -> Form | Value:
    (x,) = v.args
    gone: tuple[int, ...] = v.attrs["axes"]
    kept = tuple(k for k in range(len(x.shape)) if k not in gone)
    batch = bool(v.attrs["batch"])
    kind = str(v.op.kind)  # type: ignore[attr-defined]
    folded = tuple(k for k in gone if x.shape[k] != 1)
    if not batch and not folded and kind != "argmax" and x.type.dtype == v.type.dtype:
        return n.rep[x]
    if kind == "argmax" and not folded:
        folded = gone[:1]  # of one element, at position 0
    order = (*kept, *folded)
    axes = tuple(x.shape[k] for k in order)
    strides = contiguous(x.shape)
    operand = _operand(n, x, 0, tuple(strides[k] for k in order), axes)
    return Fold(v, (operand,), Element(0), axes, len(folded), batch, kind)


def _assemble(n: Normal, v: Value) -> Form:
    op = v.op
    assert isinstance(op, Assemble)
    boxes = op.boxes(v)
    operands = tuple(
        _operand(n, v.args[b.operand], b.offset, still(b.strides, b.shape), b.shape) for b in boxes
    )
    adds = op.adds and not _apart(boxes)
    covered = not adds and sum(prod(b.shape) for b in boxes) == v.type.size
    return Pieces(v, operands, boxes, covered, op.fill(v), adds)


def _apart(boxes: tuple[Box, ...]) -> bool:
    """Whether boxes that may overlap do not: windows side by side."""
    if len({(b.shape, b.steps) for b in boxes}) > 1:
        return False
    return apart(tuple(b.start for b in boxes), boxes[0].shape, boxes[0].steps)


def _contraction(n: Normal, v: Value) -> Form:
    spec: str = v.op.spec(tuple(a.type for a in v.args), v.attrs)  # type: ignore[attr-defined]
    x, y = v.args
    letters = letters_of(spec, x.shape, y.shape)
    if not letters.is_product:
        return _thin(n, v, letters)
    for resolve in (True, False):
        (a, f), (b, g) = (_resolved(n, z) if resolve else (_plain(n, z), 1.0) for z in (x, y))
        found = layout(
            letters,
            a.strides, example_of(n.forms[a.value]), b.strides, example_of(n.forms[b.value]),
        )  # fmt: skip
        if found is not None:
            operands = (b, a) if found.swapped else (a, b)
            return _scaled(n, v, operands, found, f * g)
    return _thin(n, v, letters)


def _scaled(n: Normal, v: Value, operands: tuple[Operand, ...], found: Layout,
            factor: float) -> Form:  # fmt: skip
    """The product v of operands that were divided by `factor` together."""
    if factor == 1.0:
        return Matmul(v, operands, found)
    raw = Value(v.op, v.args, v.attrs, v.type, v.origin)
    n.rep[raw] = raw
    if v in n.after:
        n.after[raw] = n.after[v]
    n.forms[raw] = Matmul(raw, operands, found)
    _require(n, n.forms[raw])
    whole = Operand(raw, 0, contiguous(v.shape), True)
    return Point(v, (whole,), Call("mul", Literal(factor), Element(0)), 1)


def _lookup(n: Normal, v: Value) -> Form:
    x, y = v.args
    if v.op.name == "gather":
        table = _rows_of(n, x, 1)
        return Gathered(v, (table, _plain(n, y)), gathered_layout(v.type, len(y.shape)))
    places, columns = scattered_sizes(x.shape, y.shape)
    return Scattered(v, (_plain(n, x), _rows_of(n, y, len(x.shape))), places, columns)


def _rows_of(n: Normal, x: Value, leading: int) -> Operand:
    """x over (rows, columns), where its first `leading` axes are the rows: through views, if rows
    and columns have one stride each (a matrix stored the other way round is read in place)."""
    found, factor = _resolved(n, x)
    along = table_places(x.shape, found.strides, leading)
    if along is None or factor != 1.0:
        found, along = _plain(n, x), table_places(x.shape, contiguous(x.shape), leading)
    assert along is not None
    return Operand(found.value, found.offset, along, False)


def _resolved(n: Normal, x: Value) -> tuple[Operand, float]:
    """x through the views and constant factors on top of it: the first value below that will lie in
    memory, and the factor between them (2u and u need not both be stored)."""
    value, shape, factor = n.rep[x], x.shape, 1.0
    at: Place = (0, contiguous(shape))
    while True:
        form = n.forms[value]
        if not isinstance(form, Point) or len(form.operands) != 1 or value in n.stored:
            break
        (below,) = form.operands
        times = _factor(form)
        if times is None or below.value.type != value.type.with_(shape=below.value.shape):
            break
        if times != 1.0 and value in n.results:
            break
        deeper = compose(below.offset, below.strides, value.shape, at, shape)
        if deeper is None:
            break
        value, at, factor = below.value, deeper, factor * times
    same = at == (0, contiguous(shape)) and value.type.size == prod(shape)
    return Operand(value, at[0], at[1], same), factor


def _factor(form: Point) -> float | None:
    """c where the value is c times its only operand."""
    e = form.expression
    if isinstance(e, Element):
        return 1.0
    if not isinstance(e, Call) or not form.operands[0].same:
        return None
    match e.function, e.arguments:
        case "mul", (Literal(c), Element()) | (Element(), Literal(c)):
            return c
        case "div", (Element(), Literal(c)) if c:
            return 1.0 / c
        case "neg", (Element(),):
            return -1.0
    return None


def _plain(n: Normal, x: Value) -> Operand:
    return _operand(n, x, 0, contiguous(x.shape), x.shape)


def _thin(n: Normal, v: Value, letters: Letters) -> Form:
    """A contraction as a fold of products (or, with nothing to sum, as a plain product)."""
    axes, places = letters.space
    operands = tuple(
        _operand(n, x, 0, tuple(strides), axes)
        for x, strides in zip(v.args, places, strict=True)
    )  # fmt: skip
    times = Call("mul", Element(0), Element(1))
    folded = len(axes) - len(letters.kept)
    if not folded and not letters.over_batch:
        return Point(v, _over(operands, axes, v.shape), times, 1)
    return Fold(v, operands, times, axes, folded, letters.over_batch, "sum")


def _over(operands: tuple[Operand, ...], axes: tuple[int, ...],
          shape: tuple[int, ...]) -> tuple[Operand, ...]:  # fmt: skip
    """Operands over `axes` (sizes of 1 left out) as operands over `shape`."""
    result = []
    for o in operands:
        left = list(o.strides)
        strides = tuple(left.pop(0) if n != 1 else 0 for n in shape)
        result.append(Operand(o.value, o.offset, strides, o.same))
    return tuple(result)


def _require(n: Normal, form: Form) -> None:
    """What lies in memory because of this form: operands it cannot compute on the way."""
    v = form.value
    if isinstance(form, Given):
        n.cost[v] = 0
        return
    if isinstance(form, Result):
        n.cost[v] = 0
        n.stored.add(v)
        return
    if isinstance(form, Matmul | Gathered | Scattered | Scanned | Stepped):
        n.cost[v] = 0
        if isinstance(form, Scattered | Stepped):
            n.stored.add(v)
        for o in form.operands:
            if not isinstance(n.forms[o.value], Given):
                n.stored.add(o.value)
        return
    space = form.axes if isinstance(form, Fold) else v.shape
    size, batched = prod(space), v.type.batched or (isinstance(form, Fold) and form.batch)
    total = 0
    stiff = isinstance(form, Point) and form.draws
    for k, o in enumerate(form.operands):
        w = o.value
        below = n.forms[w]
        if not isinstance(below, Point):
            continue
        if isinstance(form, Pieces):
            space = form.boxes[k].shape
        grows = size >= 2 * w.type.size or batched > w.type.batched
        if isinstance(form, Pieces):
            grows = batched > w.type.batched
        rigidly = w in n.rigid and not (o.same and w.type.batched == batched)
        if rigidly or (w in n.opaque and not _digits_known(o, w, space)):
            n.stored.add(w)
            n.hoisted.add(w)
        if grows and n.cost[w] >= HOIST and below.operands:
            n.stored.add(w)
            n.hoisted.add(w)
        # Stored or not: a neighbour in the same stage computes it anew.
        stiff = stiff or w in n.rigid
        if w not in n.stored:
            total += n.cost[w]
    if isinstance(form, Point):
        n.cost[v] = total + form.cost
        if stiff:
            n.rigid.add(v)
        if _is_opaque(n, form):
            n.opaque.add(v)
    else:
        n.cost[v] = 0
        if isinstance(form, Pieces):
            n.stored.add(v)


def _is_opaque(n: Normal, form: Point) -> bool:
    """Whether an element's index along each axis is needed, not only its flat index."""
    for o in form.operands:
        if (any(o.strides) and not o.same) or o.value in n.opaque:
            return True
    return uses_position(form.expression) and not form.draws


def _digits_known(o: Operand, w: Value, space: tuple[int, ...]) -> bool:
    if o.same and space == w.shape:
        return True
    return digits(o.offset, o.strides, space, w.shape) is not None


def _whole(x: Value, v: Value) -> bool:
    return x.type.size == v.type.size and x.type.batched == v.type.batched


# ---------------------------------------------------------------- expressions


def _parts(expression: Scalar) -> Iterable[Scalar]:
    stack = [expression]
    while stack:
        part = stack.pop()
        yield part
        if isinstance(part, Call):
            stack.extend(part.arguments)


@lru_cache(maxsize=1 << 12)
def uses_position(expression: Scalar) -> bool:
    return any(isinstance(p, Position) for p in _parts(expression))


def _renumbered(expression: Scalar, places: dict[int, int]) -> Scalar:
    if isinstance(expression, Element):
        return Element(places[expression.slot])
    if isinstance(expression, Call):
        return Call(expression.function, *(_renumbered(a, places) for a in expression.arguments))
    return expression
