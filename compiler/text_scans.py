"""Scans in the text of a graph: a statement with the body's lines inside.

    scan x in v3 with h = v4 (name = "v7", steps = 5, W = r__W) {
      v5 = einsum(h, W, spec = "bi,ij->bj")
      h_2 = tanh(v6)
      yield h = h_2, state = h_2
    }
    v8 = part(v7, index = 1)

In: a scan and the names of its operands; or the statement, and the values known so far. Out: lines;
or the scan. What is carried comes first among the results, in the order of `with`, then the yields,
and at the end as many sums as the option `sums` says. An option that is no word of a scan is what
all steps share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..dsl import syntax as s
from ..dsl.diagnostics import fail
from .ops.scan import Body, bound, inside, slice_type
from .scans.build import Recurrence, pieces
from .types import ShapeError, Type
from .value import Origin, Value, origin

WORDS = ("name", "steps", "clock", "reverse", "truncate", "framed", "sums")
_DEFAULTS: Mapping[str, Any] = {
    "steps": 1, "clock": "", "reverse": False, "truncate": 0, "framed": False,
}  # fmt: skip
Lines = Callable[[Iterable[Value], set[Value]], list[str]]


def scan_lines(
    v: Value,
    names: dict[Value, str],
    word: Callable[[Value], str],
    literal: Callable[[Any], str],
    lines: Lines,
) -> list[str]:
    """The statement. `lines` writes the values of a body; those of a set get names."""
    p, body = pieces(v), v.attrs["body"]
    for b in body.bound:
        names[b] = word(b)
    sequences = [f"{names[b]} in {names[a]}" for b, a in p.sequences]
    header = f"scan {', '.join(sequences) or f'none in {names[v]}'}"
    if p.carries:
        header += f" with {', '.join(f'{names[b]} = {names[a]}' for b, a in p.carries)}"
    options: dict[str, Any] = {"name": names[v]}
    options |= {k: v.attrs[k] for k, plain in _DEFAULTS.items() if v.attrs[k] != plain}
    if p.sums:
        options["sums"] = len(p.sums)
    given = [f"{k} = {literal(x)}" for k, x in options.items()]
    given += [f"{names[b]} = {names[a]}" for b, a in p.shared]
    inner = lines(inside(body), set(body.results))
    kinds = [*(names[b] for b, _ in p.carries), *(f"yield_{k + 1}" for k in range(len(p.yields)))]
    kinds += [f"sum_{k + 1}" for k in range(len(p.sums))]
    results = [f"{k} = {names[r]}" for k, r in zip(kinds, body.results, strict=True)]
    return [
        f"{header} ({', '.join(given)}) {{",
        *(f"  {line}" for line in inner),
        f"  yield {', '.join(results)}",
        "}",
    ]


def read_scan(
    t: s.Scan,
    values: dict[str, Value],
    operand: Callable[[s.Expr], Value],
    plain: Callable[[s.Expr], Any],
    decoded: Callable[[str], str],
    run: Callable[[s.Statement], None],
) -> tuple[str, Value]:
    """The name of the scan, and the scan. Raises Failure E290."""
    options = {a.name: plain(a.value) for a in t.options if a.name in WORDS}
    name = str(options.pop("name", ""))
    sums = int(options.pop("sums", 0))
    try:
        p = Recurrence(**{**_DEFAULTS, **options})
        for i in t.inputs:
            if i.name.id == "none":
                continue
            x = operand(i.sequence)
            place = _placeholder(i.name, slice_type(x.type, p.steps), values, decoded)
            p.sequences.append((place, x))
        for c in t.carries:
            first = operand(c.value)
            p.carries.append((_placeholder(c.name, first.type, values, decoded), first))
        for a in t.options:
            if a.name is not None and a.name not in WORDS:
                x = operand(a.value)
                ident = s.Ident(a.span, a.name)
                p.shared.append((_placeholder(ident, x.type, values, decoded), x))
        results: list[Value] = []
        for statement in t.body:
            if isinstance(statement, s.Yield):
                results += [operand(item.value) for item in statement.items]
            else:
                run(statement)
        n = len(p.carries)
        p.next, p.yields = results[:n], results[n : len(results) - sums]
        p.sums = results[len(results) - sums :] if sums else []
        with origin(Origin(t.span, name=decoded(name))):
            return name, p.value()
    except (ShapeError, TypeError, IndexError, ValueError) as error:
        raise fail("E290", f"the scan cannot be read: {error}", t.span) from None


def _placeholder(
    ident: s.Ident, type: Type, values: dict[str, Value], decoded: Callable[[str], str]
) -> Value:
    word = decoded(ident.id)
    values[ident.id] = bound(word, type, Origin(ident.span, name=word))
    return values[ident.id]


def scan_key(
    v: Value, found: Mapping[Value, int], numbers: dict[tuple[Any, ...], int]
) -> tuple[Any, ...]:
    """What a scan computes, as a key that is equal for equal scans: bodies are compared by what
    they do to their placeholders, whatever these are called."""
    body: Body = v.attrs["body"]
    inner: dict[Value, int] = {}
    for k, b in enumerate(body.bound):
        inner[b] = numbers.setdefault(("bound", k, b.type), len(numbers))
    for w in inside(body):
        inner[w] = numbers.setdefault(value_key(w, inner, numbers), len(numbers))
    attrs = tuple(sorted((k, x) for k, x in v.attrs.items() if k != "body"))
    results = tuple(inner[r] for r in body.results)
    return (v.op.name, tuple(found[a] for a in v.args), attrs, v.type, results)


def value_key(
    v: Value, found: Mapping[Value, int], numbers: dict[tuple[Any, ...], int]
) -> tuple[Any, ...]:
    """The same of any value."""
    if v.op.family == "scan":
        return scan_key(v, found, numbers)
    attrs = tuple(sorted((k, x) for k, x in v.attrs.items()))
    return (v.op.name, tuple(found[a] for a in v.args), attrs, v.type)


__all__ = ["read_scan", "scan_lines", "value_key"]
