"""Writing one stage: values as reads, a straight-line program, writes and folds.

In: values in normal form, each wanted at a place over the axes of a loop nest, and a policy that
says of each whether to read it or to compute it here. Out: a `Stage`. Equal subexpressions become
one `Let`. An epilogue is built over the axes of the product's result; its accesses are then told in
rows, columns and loop, which not every access can be (`along_product`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod

from ..plan import Access, Fold, Let, Stage, Temp, Write
from ..scalar import Call, Element, Literal, Position, Scalar
from ..types import FLOATS, promote
from ..value import Value
from .affine import Place, collapse, compose, contiguous, digits
from .forms import Form, Given, Point, example_of
from .products import Layout

Term = tuple[Scalar, str]  # an operand of a let, and its element type ("" for a literal)
_TRUTH = frozenset(("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"))
_CONVERSIONS = frozenset(("f32", "f64", "i32", "bool"))
_TYPED = frozenset(("batch", "uniform", "normal"))
_VARIED = frozenset(("uniform", "normal"))
_TEMPS = [Temp(k) for k in range(256)]


@lru_cache(maxsize=1 << 14)
def along_product(layout: Layout, shape: tuple[int, ...], strides: tuple[int, ...],
                  example: int) -> tuple[tuple[int, ...], int] | None:  # fmt: skip
    """Strides over the result's axes as strides along (rows…, columns), and along the loop, if they
    exist."""
    found = []
    first, *rest = layout.row_axes
    groups = [("rows", first), *(("nested", r) for r in rest), ("columns", layout.column_axes),
              ("loop", layout.loop_axes)]  # fmt: skip
    for name, axes in groups:
        terms: list[tuple[int | None, int]] = [(shape[k], strides[k]) for k in axes]
        if layout.batch == name:
            terms.insert(0, (None, example))
        stride = collapse(terms)
        if stride is None:
            return None
        found.append(stride)
    return tuple(found[:-1]), found[-1]


def position_terms(layout: Layout, axis: int) -> int | None:
    """Which `Position` of an epilogue is the index along that axis of the result."""
    for n, axes in enumerate(layout.row_axes):
        if axes == (axis,) and (n or layout.batch != "rows"):
            return n
    if layout.column_axes == (axis,) and layout.batch != "columns":
        return len(layout.row_axes)
    return None


@lru_cache(maxsize=1 << 12)
def positions_of(expression: Scalar) -> frozenset[int]:
    """The axes whose `Position` an expression uses."""
    if isinstance(expression, Position):
        return frozenset((expression.axis,))
    if isinstance(expression, Call):
        return frozenset().union(*map(positions_of, expression.arguments))
    return frozenset()


class StageBuilder:
    """One stage in the making. `axes`: its loop nest (of the result, for an epilogue).

    `reads_value(v, place)` is the policy: True to read v from memory. `slot(v)` gives v's slot.
    """

    def __init__(
        self,
        forms: dict[Value, Form],
        axes: tuple[int, ...],
        reads_value: Callable[[Value, Place], bool],
        slot: Callable[[Value], int],
        layout: Layout | None = None,
    ) -> None:
        self.forms, self.axes, self.layout = forms, axes, layout
        self.reads_value, self.slot = reads_value, slot
        self.natural: Place = (0, contiguous(axes))
        self.values: dict[Value, None] = {}  # computed here, in order
        self.writes: list[Write] = []
        self.folds: list[Fold] = []
        self._reads: dict[Access, Element] = {}
        self._lets: list[Let] = []
        self._known: dict[tuple[object, ...], Temp] = {}  # function, type, operands -> result
        self._memo: dict[tuple[Value, Place], Term] = {}
        self._steady: set[int] = set()  # ids of terms that are the same for all elements

    def start_with_sum(self, v: Value) -> None:
        """Element(0) is the product itself."""
        assert self.layout is not None
        place = Access(-1, v.type.dtype, (0,) * (len(self.layout.rows) + 1))
        self._reads[place] = Element(0)
        self._memo[v, self.natural] = (Element(0), v.type.dtype)
        self.values[v] = None

    def term(self, v: Value, place: Place) -> Term:
        """The element of v at `place`. A loop, not recursion: chains may be long."""
        memo, forms = self._memo, self.forms
        root = (v, place)
        pending = [root]
        while pending:
            key = pending[-1]
            if key in memo:
                pending.pop()
                continue
            w, at = key
            form = forms[w]
            if isinstance(form, Given) or (w is not v and self.reads_value(w, at)):
                memo[key] = self._read(w, at)
                pending.pop()
                continue
            if not isinstance(form, Point):
                memo[key] = self._read(w, at)
                pending.pop()
                continue
            keys = []
            for o in form.operands:
                below = compose(o.offset, o.strides, w.shape, at, self.axes)
                assert below is not None, "an operand out of reach must lie in memory"
                keys.append((o.value, below))
            missing = [k for k in keys if k not in memo]
            if missing:
                pending.extend(missing)
                continue
            memo[key] = self._compute(form, at, [memo[k] for k in keys])
            pending.pop()
        return memo[root]

    def read_or_compute(self, v: Value, place: Place) -> Term:
        """Like `term`, but v itself may be read, too."""
        key = (v, place)
        if key not in self._memo and self.reads_value(v, place):
            self._memo[key] = self._read(v, place)
        return self.term(v, place)

    def write(self, slot: int, v: Value, term: Term, at: Place, offset: int = 0) -> None:
        """Store an element of v, of whose buffer `at` is the place."""
        access = self._access(slot, v, (at[0] + offset, at[1]))
        self.writes.append(Write(access, self._as(term, v.type.dtype)))

    def added(self, v: Value, at: Place, term: Term) -> Term:
        """A term added to what has been stored of v at that place."""
        own = self._read(v, at)[0]
        return self._let(Call("add", own, self._as(term, v.type.dtype)), v.type.dtype), v.type.dtype

    def compute(self, expression: Scalar, args: list[Term], v: Value) -> Term:
        """An expression that belongs to no point: what a fold sums."""
        return self._lower(expression, args, v, None)

    def stage(self) -> Stage:
        axes = self.axes if self.layout is None else (-1,) * (len(self.layout.rows) + 1)
        written = tuple(self.writes), tuple(self.folds)
        return Stage(axes, tuple(self._reads), tuple(self._lets), *written)

    # ------------------------------------------------------------ pieces

    def _compute(self, form: Point, at: Place, args: list[Term]) -> Term:
        v = form.value
        self.values[v] = None
        if isinstance(form.expression, Literal):
            return form.expression, ""
        term = self._lower(form.expression, args, v, at)
        return term if term[1] in ("", v.type.dtype) else (
            self._let(Call(v.type.dtype, term[0]), v.type.dtype), v.type.dtype)  # fmt: skip

    def _lower(self, e: Scalar, args: list[Term], v: Value, at: Place | None) -> Term:
        """An operation's own small expression tree as lets."""
        if isinstance(e, Element):
            return args[e.slot]
        if isinstance(e, Literal):
            return e, ""
        if isinstance(e, Position):
            return self._position(e.axis, v, at), "i32"
        assert isinstance(e, Call)
        if e.function in ("uniform", "normal"):
            return self._let(e, v.type.dtype), v.type.dtype
        parts = [self._lower(a, args, v, at) for a in e.arguments]
        dtype = _result(e.function, parts, v.type.dtype)
        if parts and e.function == dtype == parts[0][1]:
            return parts[0]  # a conversion to what it is
        terms = tuple([p for p, _ in parts])
        if e.function == "div" and dtype in FLOATS and self._by_one_number(*terms):
            terms = terms[0], self._let(_call("reciprocal", terms[1:]), dtype)
            return self._let(_call("mul", terms), dtype), dtype
        return self._let(_call(e.function, terms), dtype), dtype

    def _by_one_number(self, x: Scalar, y: Scalar) -> bool:
        """A quotient whose divisor is the same everywhere: one division then does for all."""
        return id(y) in self._steady and id(x) not in self._steady and not isinstance(x, Literal)

    def _position(self, axis: int, v: Value, at: Place | None) -> Scalar:
        at = at or self.natural
        if axis == -1:
            start, along = at
        else:
            found = digits(*at, self.axes, v.shape)
            assert found is not None
            start, along = found[axis]
        total: Scalar | None = None
        for k, c in enumerate(along):
            if c == 0:
                continue
            index: Scalar = Position(k)
            if self.layout is not None:
                known = position_terms(self.layout, k)
                assert known is not None
                index = Position(known)
            if c != 1:
                index = self._let(Call("mul", index, Literal(float(c))), "i32")
            total = index if total is None else self._let(Call("add", total, index), "i32")
        if total is None:
            return Literal(float(start))
        return self._let(Call("add", total, Literal(float(start))), "i32") if start else total

    def _let(self, expression: Call, dtype: str) -> Temp:
        # Operands are told apart by identity (literals and positions by value): hashing whole
        # expressions took a third of planning.
        key = (expression.function, dtype, *map(_identity, expression.arguments))
        found = self._known.get(key)
        if found is None:
            index = len(self._lets)
            found = _TEMPS[index] if index < len(_TEMPS) else Temp(index)
            self._known[key] = found
            self._lets.append(Let(expression, dtype))
            if expression.function not in _VARIED and all(
                id(a) in self._steady or isinstance(a, Literal) for a in expression.arguments
            ):
                self._steady.add(id(found))
        return found

    def _as(self, term: Term, dtype: str) -> Scalar:
        scalar, own = term
        return scalar if own in ("", dtype) else self._let(Call(dtype, scalar), dtype)

    def _read(self, v: Value, place: Place) -> Term:
        access = self._access(self.slot(v), v, place)
        found = self._reads.get(access)
        if found is None:
            found = self._reads[access] = Element(len(self._reads))
            if not access.example and not any(access.strides):
                self._steady.add(id(found))
        return found, v.type.dtype

    def _access(self, slot: int, v: Value, place: Place) -> Access:
        offset, strides = place
        example = example_of(self.forms[v])
        if self.layout is None:
            return Access(slot, v.type.dtype, strides, offset, example)
        found = along_product(self.layout, self.axes, strides, example)
        assert found is not None, "an operand out of reach of an epilogue"
        return Access(slot, v.type.dtype, found[0], offset, found[1])


def _call(function: str, arguments: tuple[Scalar, ...]) -> Call:
    """`Call(function, *arguments)` for arguments that are already expressions, in half the time."""
    made = object.__new__(Call)
    object.__setattr__(made, "function", function)
    object.__setattr__(made, "arguments", arguments)
    return made


def _identity(operand: Scalar) -> object:
    if isinstance(operand, Literal):
        return str(operand.value)
    return operand.axis if isinstance(operand, Position) else id(operand)


def _result(function: str, parts: list[Term], own: str) -> str:
    """Element type of a function's result."""
    if function in _TRUTH:
        return "bool"
    if function in _CONVERSIONS:
        return function
    if function in _TYPED:
        return own
    typed = [d for _, d in (parts[1:] if function == "select" else parts) if d]
    if not typed:
        return own
    return typed[0] if len(typed) == 1 else promote(*typed)


# ---------------------------------------------------------------- fewer axes


def simplified(stages: list[Stage], together: bool) -> tuple[Stage, ...]:
    """The same stages over fewer axes: those of one element dropped, neighbours joined that all
    accesses walk with one stride. `together`: the stages share their leading axes."""
    if not together:
        return tuple(_merged(s, _plan(*_needs([s]))) for s in stages)
    first = max(stages, key=lambda s: len(s.axes))
    _, strides, bounds, pinned = _needs(stages)
    plan = _plan(first.axes, strides, bounds, pinned)
    return tuple(_merged(s, [g for g in plan if g[0] < len(s.axes)]) for s in stages)


def _needs(stages: list[Stage]) -> tuple[tuple[int, ...], frozenset[tuple[int, ...]],
                                         frozenset[int], frozenset[int]]:  # fmt: skip
    axes = max((s.axes for s in stages), key=len)
    strides: set[tuple[int, ...]] = set()
    bounds: set[int] = set()
    pinned: set[int] = set()
    for s in stages:
        strides.update(a.strides for a in s.reads)
        strides.update(w.access.strides for w in s.writes)
        strides.update(f.access.strides for f in s.folds)
        bounds.update(len(s.axes) - f.axes for f in s.folds)
        bounds.add(len(s.axes))
        for let in s.lets:
            pinned.update(positions_of(let.expression))
    return axes, frozenset(strides), frozenset(bounds), frozenset(pinned - {-1})


@lru_cache(maxsize=1 << 12)
def _plan(axes: tuple[int, ...], strides: frozenset[tuple[int, ...]], bounds: frozenset[int],
          pinned: frozenset[int]) -> list[tuple[int, ...]]:  # fmt: skip
    """Old axes of each new axis. Nothing is joined across a bound (where a fold begins)."""
    groups: list[list[int]] = []
    for k, n in enumerate(axes):
        alone = k in bounds and (k + 1 in bounds or k + 1 == len(axes))
        if n == 1 and k not in pinned and not alone:
            continue
        if groups and _joins(groups[-1][-1], k, axes, strides, bounds, pinned):
            groups[-1].append(k)
        else:
            groups.append([k])
    return [tuple(g) for g in groups]


def _joins(j: int, k: int, axes: tuple[int, ...], strides: frozenset[tuple[int, ...]],
           bounds: frozenset[int], pinned: frozenset[int]) -> bool:  # fmt: skip
    if any(b in bounds for b in range(j + 1, k + 1)) or j in pinned or k in pinned:
        return False
    return all(len(s) <= k or s[j] == s[k] * axes[k] for s in strides)


def _merged(stage: Stage, plan: list[tuple[int, ...]]) -> Stage:
    if plan == [(k,) for k in range(len(stage.axes))]:
        return stage
    new = {g[0]: i for i, g in enumerate(plan)}

    def access(a: Access) -> Access:
        strides = tuple(a.strides[g[-1]] for g in plan if g[-1] < len(a.strides))
        return Access(a.slot, a.dtype, strides, a.offset, a.example)

    def fold(f: Fold) -> Fold:
        start = len(stage.axes) - f.axes
        kept = sum(g[0] >= start for g in plan)
        return Fold(access(f.access), f.value, f.kind, kept, f.batch)

    return Stage(
        tuple(prod(stage.axes[k] for k in g) for g in plan),
        tuple(map(access, stage.reads)),
        tuple(Let(_moved(let.expression, new), let.dtype) for let in stage.lets),
        tuple(Write(access(w.access), w.value) for w in stage.writes),
        tuple(map(fold, stage.folds)),
    )


def _moved(e: Scalar, new: dict[int, int]) -> Scalar:
    if isinstance(e, Position) and e.axis >= 0:
        return Position(new[e.axis])
    if isinstance(e, Call):
        return Call(e.function, *(_moved(a, new) for a in e.arguments))
    return e
