"""`scan`: a body elaborated once, for all steps.

In: the statement and its scope. Out: a `scan` value, the last carried values under their names, and
`yielded`. Names are looked up in the body as anywhere else; what the body uses from outside becomes
an operand of the scan when the body is done. Assigning to a carried name gives its next value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from ...dsl import syntax as s
from ...dsl.diagnostics import Label, did_you_mean, fail
from ...dsl.source import Span
from ..autodiff import like
from ..graph import Leaf, Output, leaf, substituted, topological
from ..op import apply, constant
from ..op import cast as convert
from ..ops.scan import bound, slice_type
from ..scans.build import Recurrence, part
from ..scans.retype import batched_throughout
from ..value import Origin, Value, origin
from .calls import made
from .clocks import clock_of
from .scope import Meaning, Poisoned, Record, Scope
from .variables import declared_type, new_leaf

OPTIONS = ("reverse", "mask", "truncate", "stateful")
_FOREIGN: Mapping[type, str] = {
    s.Input: "input", s.State: "state", s.Update: "update", s.Loss: "loss", s.Metric: "metric",
    s.Output: "output",
}  # fmt: skip


@dataclass
class Recurring:
    """A scan in the making: what a step is given, what it yields."""

    plan: Recurrence
    span: Span  # of its first sequence
    yields: dict[str, Value] = field(default_factory=dict)
    yielded_at: Span | None = None

    def slice_of(self, sequence: Value, word: str, where: Origin) -> Value:
        """A placeholder for one step of a sequence."""
        b = bound(word, slice_type(sequence.type, self.plan.steps), where)
        self.plan.sequences.append((b, sequence))
        return b


def run_scan(statement: s.Scan, scope: Scope, top: bool) -> None:
    """The statement. Raises Failure E280 to E284, and what the body raises."""
    options = _options(statement, scope)
    sequences = [(i, _per_example(_sequence(i, scope))) for i in statement.inputs]
    steps = _steps(sequences, scope)
    clocks = {clock_of(x) for _, x in sequences}
    plan = Recurrence(
        steps=steps, clock=clocks.pop() if len(clocks) == 1 else "",
        reverse=bool(options["reverse"]), truncate=cast(int, options["truncate"]),
    )  # fmt: skip
    starts = [(c, _start(c, scope)) for c in statement.carries]
    mask = _mask(options["mask"], sequences, statement, scope)
    recurring = Recurring(plan, statement.inputs[0].span)
    where = Origin(statement.span, scope.path, scope.block)
    inner = replace(
        scope, names=dict(scope.names), defined={}, bound_in={}, chain=[], recurrence=recurring,
    )  # fmt: skip
    for i, x in sequences:
        inner.names[i.name.id] = recurring.slice_of(x, i.name.id, replace(where, name=i.name.id))
    kept = bool(options["stateful"]) and scope.net.training
    for c, start in starts:
        with origin(where):
            first = _kept_state(c, start, scope) if kept else start
            first = _per_example(first)
        b = bound(c.name.id, first.type, replace(where, span=c.span, name=c.name.id))
        plan.carries.append((b, first))
        inner.names[c.name.id] = b
    step_mask = None
    if isinstance(mask, Value):
        step_mask = recurring.slice_of(mask, "mask", where)
    _run(statement, inner, scope, recurring)
    with origin(where):
        scan = _finished(statement, inner, recurring, step_mask)
    _bind_results(statement, scope, recurring, scan, where)
    if kept:
        _keep(statement, scope, recurring, scan)


# ---------------------------------------------------------------- what it is given


def _options(statement: s.Scan, scope: Scope) -> dict[str, Meaning]:
    from .expressions import describe, evaluate

    found: dict[str, Meaning] = {"reverse": False, "mask": None, "truncate": 0, "stateful": False}  # type: ignore[dict-item]
    for a in statement.options:
        if a.name not in OPTIONS:
            raise fail(
                "E282",
                f"`scan` has no option `{a.name}`" if a.name else "options of `scan` have names",
                a.span,
                help=did_you_mean(a.name or "", OPTIONS) or f"its options are {', '.join(OPTIONS)}",
            )
        value = evaluate(a.value, scope)
        advice = "for example `(reverse = true, truncate = 32)`"
        if a.name == "truncate":
            right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            wanted = "a number of steps from 1, or 0 for none"
        elif a.name == "mask":
            right = isinstance(value, Value) or (isinstance(value, bool | int) and not value)
            wanted = "one truth value for each step"
            advice = "for example `(mask = mask(text))`"
        else:
            right, wanted = isinstance(value, bool), "true or false"
        if not right:
            raise fail(
                "E282", f"`{a.name}` is {wanted}, got {describe(value)}", a.span,
                help=advice,
            )  # fmt: skip
        found[a.name] = value
    return found


def _sequence(i: s.ScanInput, scope: Scope) -> Value:
    from .expressions import describe, evaluate

    x = evaluate(i.sequence, scope)
    if isinstance(x, Value) and x.shape:
        return x
    kind = str(x.type) if isinstance(x, Value) else describe(x)
    raise fail(
        "E280",
        f"`scan` walks along the first axis of a sequence, got {kind}",
        i.sequence.span,
        note=kind,
        labels=made(x, i.sequence.span, scope) if isinstance(x, Value) else (),
        help="a sequence is [T, n]: T steps of n numbers",
    )


def _per_example(x: Value) -> Value:
    """What a step is given, for each example: lowering expects that of every scan."""
    return x if x.type.batched else apply("broadcast", x, shape=x.shape, batch=True)


def _steps(sequences: Sequence[tuple[s.ScanInput, Value]], scope: Scope) -> int:
    first, x = sequences[0]
    for other, y in sequences[1:]:
        if y.shape[0] != x.shape[0]:
            raise fail(
                "E280",
                f"`{first.name.id}` has {x.shape[0]} steps, `{other.name.id}` {y.shape[0]}",
                other.sequence.span,
                note=str(y.type),
                labels=(Label(first.sequence.span, str(x.type)),),
                help="sequences that are walked together have as many steps",
            )
    return x.shape[0]


def _mask(
    given: Meaning,
    sequences: Sequence[tuple[s.ScanInput, Value]],
    statement: s.Scan,
    scope: Scope,
) -> Value | None:
    """The mask, if there is one: a truth value for each step."""
    if not isinstance(given, Value):
        return None
    place = next(a.span for a in statement.options if a.name == "mask")
    first, x = sequences[0]
    if given.shape != (x.shape[0],):
        raise fail(
            "E280",
            f"`{first.name.id}` has {x.shape[0]} steps, the mask is {given.type}",
            place,
            note=str(given.type),
            labels=(Label(first.sequence.span, str(x.type)),),
            help="a mask has one truth value for each step: `mask(text)`",
        )
    return given if given.type.dtype == "bool" else apply("ne", given, 0.0)


def _start(c: s.Carry, scope: Scope) -> Value:
    """The first value of what is carried, in its declared shape."""
    from .expressions import evaluate, operand

    value = operand(evaluate(c.value, scope), c.value.span, scope)
    with origin(Origin(c.span, scope.path, scope.block)):
        start = value if isinstance(value, Value) else constant(value, scope.net.dtype)
        if c.type is None:
            return start
        wanted = declared_type(c.type, scope, batched=start.type.batched)
        if start.type.dtype != wanted.dtype:
            start = convert(start, wanted.dtype)
        if start.shape == wanted.shape:
            return start
        if len(start.shape) > len(wanted.shape) or any(
            n not in (1, m) for n, m in zip(start.shape[::-1], wanted.shape[::-1], strict=False)
        ):
            raise fail(
                "E281",
                f"`{c.name.id}` is declared {wanted}, its first value is {start.type}",
                c.value.span,
                note=str(start.type),
                labels=(Label(c.type.span, "declared here"),),
                help="leave out the type: the first value fixes it",
            )
        return apply("broadcast", start, shape=wanted.shape, batch=start.type.batched)


# ---------------------------------------------------------------- the body


def _run(statement: s.Scan, inner: Scope, scope: Scope, recurring: Recurring) -> None:
    from .body import defined_by, run_body

    for c in statement.carries:
        if not any(c.name.id in defined_by(each) for each in statement.body):
            raise fail(
                "E281",
                f"no step changes `{c.name.id}`",
                c.span,
                note="carried from step to step",
                help=f"give its next value in the body, `{c.name.id} = …`,"
                " or define it above the scan",
            )
    for each in statement.body:
        if type(each) in _FOREIGN:
            word = _FOREIGN[type(each)]
            raise fail(
                "E284",
                f"`{word}` cannot stand inside a scan",
                each.span,
                labels=(Label(statement.inputs[0].span, "this scan"),),
                help="`yield` the value, and use `yielded` after the scan",
            )
    stack = scope.net.recurrences
    stack.append(recurring)
    before = len(scope.net.diagnostics)
    try:
        run_body(statement.body, inner, top=False)
    finally:
        stack.pop()
    scope.layers_made = inner.layers_made
    scope.of_steps |= inner.defined
    scope.of_steps.setdefault("yielded", statement.span)
    if len(scope.net.diagnostics) > before:
        raise Poisoned


def run_yield(statement: s.Yield, scope: Scope, top: bool) -> None:
    """`yield h`, `yield state = h, weights = a`. Raises Failure E283."""
    from .expressions import evaluate, operand

    recurring = scope.recurrence
    if recurring is None:
        raise fail(
            "E283", "`yield` stands inside a `scan`", statement.span,
            help="`output` gives a value away here",
        )  # fmt: skip
    for item in statement.items:
        word = item.name.id if item.name else ""
        clash = word in recurring.yields or (recurring.yields and not word)
        if clash or (recurring.yields and "" in recurring.yields):
            raise fail(
                "E283",
                "a scan that yields several values names each of them",
                item.span,
                labels=(Label(recurring.yielded_at, "the first one"),)
                if recurring.yielded_at
                else (),
                help="write `yield state = h, weights = a`",
            )
        value = operand(evaluate(item.value, scope), item.value.span, scope)
        if not isinstance(value, Value):
            value = constant(value, scope.net.dtype)
        recurring.yields[word] = value
        recurring.yielded_at = recurring.yielded_at or item.span


def _finished(
    statement: s.Scan, inner: Scope, recurring: Recurring, step_mask: Value | None
) -> Value:
    """The scan, with what it uses from outside as operands."""
    plan = recurring.plan
    for (b, _), c in zip(plan.carries, statement.carries, strict=True):
        plan.next.append(_next(inner.names[c.name.id], b, c, inner))
    plan.yields = list(recurring.yields.values())
    batched_throughout(plan)
    if step_mask is not None:
        pairs = zip(plan.next, plan.carries, strict=True)
        plan.next = [like(apply("where", step_mask, v, b), b) for v, (b, _) in pairs]
        plan.yields = [like(apply("where", step_mask, y, _zero(y)), y) for y in plan.yields]
        batched_throughout(plan)
    _capture(plan)
    return plan.value()


def _zero(y: Value) -> Value:
    return like(constant(0.0, y.type.dtype), y)


def _next(meaning: Meaning, b: Value, c: s.Carry, scope: Scope) -> Value:
    from .expressions import describe

    if isinstance(meaning, int | float) and not isinstance(meaning, bool):
        meaning = constant(float(meaning), b.type.dtype, b.shape)
    if not isinstance(meaning, Value) or meaning.shape != b.shape:
        got = str(meaning.type) if isinstance(meaning, Value) else describe(meaning)
        place = scope.defined.get(c.name.id, c.span)
        raise fail(
            "E281",
            f"`{c.name.id}` begins as {b.type}, and a step makes it {got}",
            place,
            note=got,
            labels=(Label(c.span, f"{b.type} here"),),
            help="what is carried keeps its shape from step to step",
        )
    return convert(meaning, b.type.dtype)


def _capture(plan: Recurrence) -> None:
    """Values that no step changes come from outside, as operands; plain numbers stay."""
    results = [*plan.next, *plan.yields]
    given = {b for b, _ in (*plan.carries, *plan.sequences)}
    order = topological(results)
    inner: set[Value] = set(given)
    named: set[Value] = set()  # depends on something that has a name
    for v in order:
        if any(a in inner for a in v.args):
            inner.add(v)
        is_leaf = v.op.family == "leaf" and "name" in v.attrs
        if is_leaf or v.op.family == "part" or any(a in named for a in v.args):
            named.add(v)
    outside = dict.fromkeys(
        a for v in order if v in inner for a in v.args if a not in inner and a in named
    )
    outside.update(dict.fromkeys(r for r in results if r not in inner and r in named))
    new: dict[Value, Value] = {}
    for v in outside:
        word = v.origin.name or str(v.attrs.get("name", "")).rsplit(".", 1)[-1] or "value"
        new[v] = bound(word, v.type, replace(v.origin, name=word))
        plan.shared.append((new[v], v))
    results = substituted(results, new)
    n = len(plan.next)
    plan.next, plan.yields = results[:n], results[n:]


# ---------------------------------------------------------------- results


def _bind_results(
    statement: s.Scan, scope: Scope, recurring: Recurring, scan: Value, where: Origin
) -> None:
    n = len(statement.carries)
    with origin(where):
        for k, c in enumerate(statement.carries):
            scope.names[c.name.id] = part(scan, k, c.name.id)
            scope.defined.setdefault(c.name.id, c.span)
        found = {w: part(scan, n + k, w) for k, w in enumerate(recurring.yields)}
    if list(found) == [""]:
        scope.names["yielded"] = found[""]
    elif found:
        scope.names["yielded"] = Record(found)


def _kept_state(c: s.Carry, start: Value, scope: Scope) -> Value:
    """The state, one for each row of the batch, that a stateful scan begins with."""
    named = any(v.op.family == "leaf" and "name" in v.attrs for v in topological([start]))
    if named:
        raise fail(
            "E282",
            f"a stateful scan begins with a number, `{c.name.id}` with what is computed",
            c.value.span,
            help=f"write `{c.name.id}: [n] = 0`, or leave out `stateful`",
        )
    path = f"{scope.path}.{c.name.id}" if scope.path else c.name.id
    type = start.type.with_(batched=True)
    value = leaf("state", path, type, c.span, instance=scope.path, block=scope.block)
    new_leaf(Leaf(value, "state", start, "= 0", span=c.span), c.span, scope)
    return value


def _keep(statement: s.Scan, scope: Scope, recurring: Recurring, scan: Value) -> None:
    """`stateful`: the next batch begins where this one ends, row by row."""
    for k, c in enumerate(statement.carries):
        state = recurring.plan.carries[k][1]
        name = str(state.attrs["name"])
        scope.net.outputs.append(Output("update", name, part(scan, k), state, c.span))


__all__ = ["Recurring", "run_scan", "run_yield"]
