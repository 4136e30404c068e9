"""Graphs as `.net` text, and back: every stage prints as one flat net and parses to the same graph.

One line is one operation; numbers stand inside. A name is the user's own, with its block instance
(`encoder.dense` is written `encoder__dense`), or v1, v2, …. What plain `.net` does not say of a
leaf follows as a guard: `when shared` (an input that is the same for every example), `when runtime`
(a number that the trainer sets), `when stored_1_0` (the order in which its axes lie in memory),
`when clock_T` (the name of its first size), `when framed_5_T` (one for each of 5 steps of T); and
`update W = … when gradient` is the gradient of W. Initial values are kept as the user wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..dsl import syntax as s
from ..dsl.diagnostics import fail
from ..dsl.parse import parse
from ..dsl.source import Source, Span
from .graph import Graph, Leaf, Output
from .op import operation, registry
from .scans.build import part
from .text_scans import WORDS as SCAN_WORDS
from .text_scans import read_scan, scan_lines, value_key
from .types import Frame, ShapeError, Type, promote
from .value import Origin, Value, origin

_SETS = {"input": "input", "param": "param", "state": "state", "scalar": "state"}
_NUMBERED = re.compile(r"v\d+")

# ---------------------------------------------------------------- names


def encoded(name: str) -> str:
    """A name of any characters as one word: `.` is `__`, a `_` before `_` or `.` is `_ʹ`."""
    text = re.sub(r"_(?=[_.])", "_ʹ", name).replace(".", "__")
    return re.sub(r"[^\w]", lambda m: f"_ˣ{ord(m.group()):x}_", text)


def decoded(word: str) -> str:
    text = re.sub(r"_ˣ([0-9a-f]+)_", lambda m: chr(int(m.group(1), 16)), word)
    return re.sub(r"_ʹ|__", lambda m: "_" if m.group() == "_ʹ" else ".", text)


def _path(where: Origin) -> str:
    """The user's name in its block instance: `encoder.dense.z`."""
    if not where.instance or f"{where.name}.".startswith(f"{where.instance}."):
        return where.name
    return f"{where.instance}.{where.name}"


class _Names:
    """A word of its own for every value."""

    def __init__(self, graph: Graph) -> None:
        self.used = {encoded(name) for name in graph.leaves} | {*SCAN_WORDS, "none"}
        self.count = 0

    def of(self, v: Value) -> str:
        if v.op.family == "leaf" and "name" in v.attrs and v.op.name != "bound":
            return encoded(v.attrs["name"])
        word = encoded(_path(v.origin)) if v.origin.name else ""
        if not word or _NUMBERED.fullmatch(word) or word[0].isdigit():
            return self._fresh()
        chosen, turn = word, 1
        while chosen in self.used:
            turn += 1
            chosen = f"{word}_{turn}"
        self.used.add(chosen)
        return chosen

    def _fresh(self) -> str:
        self.count += 1
        while f"v{self.count}" in self.used:
            self.count += 1
        return f"v{self.count}"


# ---------------------------------------------------------------- printing


def print_graph(graph: Graph) -> str:
    """The graph as one flat net; the body of a scan stands inside its statement."""
    names: dict[Value, str] = {}
    words = _Names(graph)

    def lines(nodes: Iterable[Value], shown: set[Value]) -> list[str]:
        found: list[str] = []
        nodes = tuple(nodes)
        inside = _inside(nodes)
        for v in nodes:
            if v.is_constant and v not in shown and v in inside:
                names[v] = _number(v.attrs["value"])
                continue
            names[v] = words.of(v)
            if v.op.family == "scan":
                found += scan_lines(v, names, words.of, _literal, lines)
            elif v.op.family == "part":
                found.append(f"{names[v]} = part({names[v.args[0]]}, index = {v.attrs['index']})")
            elif v.op.family != "leaf" or "name" not in v.attrs:
                found.append(f"{names[v]} = {_expression(v, [names[a] for a in v.args])}")
        return found

    every = [_leaf_line(f) for f in graph.leaves.values()]
    every += lines(graph.nodes, {o.value for o in graph.outputs})
    every += [_output_line(o, names[o.value]) for o in graph.outputs]
    training = "(training = true)" if graph.training else ""
    body = "".join(f"  {line}\n" for line in every)
    return f"net {encoded(graph.name)}{training} {{\n{body}}}\n"


def _inside(nodes: Iterable[Value]) -> set[Value]:
    """The constants that every user takes in the type a number written there would have."""
    nodes = tuple(nodes)
    found = {v for v in nodes if v.is_constant and v.shape == ()}
    for v in nodes:
        for a in v.args:
            if a.is_constant and (v.op.family == "scan" or a.type.dtype != _number_dtype(v.args)):
                found.discard(a)
    return found


def _number_dtype(args: tuple[Value, ...]) -> str:
    """The element type of a number among these operands."""
    return promote("f32", *(a.type.dtype for a in args if not a.is_constant and a.type.is_float))


def _number(x: float) -> str:
    text = repr(x).removesuffix(".0")
    return f"({text})" if text.startswith("-") else text


def _leaf_line(f: Leaf) -> str:
    v = f.value
    guards = []
    if f.kind == "input" and not v.type.batched:
        guards.append("shared")
    if f.kind == "scalar":
        guards.append("runtime")
    if v.attrs.get("clock"):
        guards.append(f"clock_{encoded(v.attrs['clock'])}")
    if v.type.frame is not None:
        guards.append(f"framed_{v.type.frame.steps}_{encoded(v.type.frame.clock)}")
    if "order" in v.attrs:
        guards.append("_".join(("stored", *map(str, v.attrs["order"]))))
    parts = [f"{_SETS[f.kind]} {encoded(f.name)}: {v.type}"]
    parts += [f.initialiser] if f.initialiser else []
    parts += ["frozen"] if f.frozen else []
    parts += [f"decay {f.decay!r}"] if f.decay else []
    parts += [f'from "{f.file}"'] if f.file else []
    parts += [f"when {' and '.join(guards)}"] if guards else []
    return " ".join(parts)


def _output_line(o: Output, value: str) -> str:
    if o.kind not in ("update", "gradient"):
        return f"{o.kind} {encoded(o.name)} = {value}"
    target = o.target.attrs["name"] if o.target is not None else o.name
    return f"update {encoded(target)} = {value}{' when gradient' if o.kind == 'gradient' else ''}"


def _expression(v: Value, args: list[str]) -> str:
    op = v.op
    if op.name in ("neg", "not"):
        return f"{'-' if op.name == 'neg' else 'not '}{args[0]}"
    if op.infix and not v.attrs:
        return f" {op.infix} ".join(args)
    if op.name == "transpose" and v.attrs["perm"] == (1, 0):
        return f"{args[0]}'"
    options = _reduction_options(v) if op.family == "reduction" else dict(v.attrs)
    given = [f"{k} = {_literal(x)}" for k, x in options.items()]
    return f"{op.name}({', '.join([*args, *given])})"


def _reduction_options(v: Value) -> dict[str, Any]:
    axes: tuple[Any, ...] = v.attrs["axes"]
    options: dict[str, Any] = {"over": ("batch", *axes)} if v.attrs["batch"] else {"axis": axes}
    if v.attrs["keep"]:
        options["keep"] = True
    if "classes" in v.attrs:
        options["classes"] = v.attrs["classes"]
    return options


def _literal(x: Any) -> str:
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, tuple):
        return f"[{', '.join(_literal(i) for i in x)}]"
    if isinstance(x, str):
        return x if x == "batch" else f'"{x}"'
    if isinstance(x, float):
        return _number(x).strip("()")
    return str(x)


# ---------------------------------------------------------------- parsing


def parse_graph(text: str, name: str = "graph.net") -> Graph:
    """The graph of a text that `print_graph` wrote. Raises Failure."""
    file = parse(Source(name, text))
    nets = [d for d in file.declarations if isinstance(d, s.Net)]
    if len(nets) != 1 or len(file.declarations) != 1:
        raise fail("E290", "a graph is one net and nothing else", None)
    return _Reader(nets[0]).graph()


class _Reader:
    """Reads the flat statements of one net, in order."""

    def __init__(self, net: s.Net) -> None:
        self.net = net
        self.values: dict[str, Value] = {}
        self.leaves: dict[str, Leaf] = {}
        self.outputs: list[Output] = []

    def graph(self) -> Graph:
        for statement in self.net.body:
            self._statement(statement)
        training = any(x.name.id == "training" for x in self.net.settings)
        return Graph(decoded(self.net.name.id), tuple(self.outputs), self.leaves, training)

    def _statement(self, t: s.Statement) -> None:
        if isinstance(t, s.Input | s.Param | s.State):
            self._leaf(t)
        elif isinstance(t, s.Equation):
            self._equation(t)
        elif isinstance(t, s.Output):
            for item in t.items:
                self._output("output", item.name, item.value, t.span)
        elif isinstance(t, s.Loss):
            self._output("loss", t.name, t.value, t.span)
        elif isinstance(t, s.Metric):
            self._output("metric", t.name, t.value, t.span)
        elif isinstance(t, s.Update):
            self._update(t)
        elif isinstance(t, s.Scan):
            name, scan = read_scan(t, self.values, self._operand, _plain, decoded, self._statement)
            self.values[name] = scan
        else:
            raise _foreign(t.span)

    def _leaf(self, t: s.Input | s.Param | s.State) -> None:
        (ident,) = t.names
        guards = set(_guards(t.guard))
        word = decoded(ident.id)
        kind = type(t).__name__.lower()
        kind = "scalar" if "runtime" in guards else kind
        if t.type is None:
            raise _foreign(t.span)
        batched = kind == "input" and "shared" not in guards
        found = _type(t.type).with_(batched=batched)
        for guard in guards:
            if guard.startswith("framed_"):
                _, steps, clock = guard.split("_", 2)
                found = found.with_(frame=Frame(decoded(clock), int(steps)))
        attrs: dict[str, Any] = {"name": word, "type": found}
        for guard in guards:
            if guard.startswith("clock_"):
                attrs["clock"] = decoded(guard.removeprefix("clock_"))
            if guard.startswith("stored_"):
                attrs["order"] = tuple(map(int, guard.split("_")[1:]))
        v = Value(operation(kind), (), attrs, found, Origin(ident.span, name=word))
        self.values[ident.id] = v
        self.leaves[word] = Leaf(v, kind, **_leaf_facts(t))

    def _equation(self, t: s.Equation) -> None:
        (ident,) = t.targets
        word = "" if _NUMBERED.fullmatch(ident.id) else decoded(ident.id)
        self.values[ident.id] = self._built(t.value, Origin(t.span, name=word))

    def _output(self, kind: str, ident: s.Ident | None, e: s.Expr, span: Span) -> None:
        name = decoded(ident.id) if ident is not None else kind
        self.outputs.append(Output(kind, name, self._operand(e), None, span))

    def _update(self, t: s.Update) -> None:
        name = decoded(t.name.id)
        target = self.values[t.name.id]
        gradient = "gradient" in _guards(t.guard)
        kind, shown = ("gradient", f"grad {name}") if gradient else ("update", name)
        self.outputs.append(Output(kind, shown, self._operand(t.value), target, t.span))

    def _operand(self, e: s.Expr) -> Value:
        if isinstance(e, s.Name) and e.id in self.values:
            return self.values[e.id]
        raise fail("E290", "an operand of a graph is the name of a line above", e.span)

    def _built(self, e: s.Expr, where: Origin) -> Value:
        word, operands, options = _operation(e)
        if word == "constant":
            return _constant(options, where)
        if word == "part":
            return self._part(operands, options, where, e)
        given = [_plain_number(x) for x in operands]
        known = [
            None if n is not None else self._operand(x)
            for n, x in zip(given, operands, strict=True)
        ]
        dtype = _number_dtype(tuple(v for v in known if v is not None))
        args = tuple(
            v if v is not None else _constant({"value": n, "dtype": dtype, "shape": ()}, where)
            for v, n in zip(known, given, strict=True)
        )
        op = registry().get(word)
        if op is None:
            raise fail("E290", f"`{word}` is not an operation", e.span)
        attrs = options
        if op.family == "reduction":
            attrs = _reduction_attrs(options)
            if not all(k in range(len(args[0].shape)) for k in attrs["axes"]):
                raise fail("E290", f"`{word}` folds axes that its operand has not", e.span)
        if word == "transpose" and not attrs:
            attrs = {"perm": (1, 0)}
        try:
            return Value(op, args, attrs, op.type_of(args, attrs), where)
        except (ShapeError, KeyError, ValueError, TypeError, IndexError) as error:
            raise fail("E290", f"`{word}` cannot be read: {error}", e.span) from None

    def _part(
        self, operands: list[s.Expr], options: dict[str, Any], where: Origin, e: s.Expr
    ) -> Value:
        try:
            with origin(where):
                (scan,) = map(self._operand, operands)
                return part(scan, int(options["index"]), where.name)
        except (KeyError, IndexError, ValueError) as error:
            raise fail("E290", f"`part` cannot be read: {error}", e.span) from None


def _foreign(span: Span) -> Exception:
    return fail("E290", "this does not occur in the text of a graph", span)


def _constant(attrs: dict[str, Any], where: Origin) -> Value:
    attrs = {**attrs, "value": float(attrs["value"])}
    return Value(operation("constant"), (), attrs, Type(attrs["shape"], attrs["dtype"]), where)


def _operation(e: s.Expr) -> tuple[str, list[s.Expr], dict[str, Any]]:
    """(word, operands, options) of one line's right side."""
    if isinstance(e, s.Unary):
        return ("neg" if e.op == "-" else "not"), [e.operand], {}
    if isinstance(e, s.Binary):
        words = {op.infix: name for name, op in registry().items() if op.infix}
        return words[e.op], [e.left, e.right], {}
    if isinstance(e, s.Transpose):
        return "transpose", [e.operand], {}
    if isinstance(e, s.Call) and isinstance(e.function, s.Name):
        operands = [a.value for a in e.arguments if a.name is None]
        options = {a.name: _plain(a.value) for a in e.arguments if a.name is not None}
        return e.function.id, operands, options
    raise _foreign(e.span)


def _plain(e: s.Expr) -> Any:
    """A literal: number, string, truth value, list of them, or `batch`."""
    if isinstance(e, s.Number | s.String | s.Bool):
        return e.value
    if isinstance(e, s.List):
        return tuple(_plain(i) for i in e.items)
    if isinstance(e, s.Name) and e.id == "batch":
        return "batch"
    number = _plain_number(e)
    if number is None:
        raise _foreign(e.span)
    return number


def _plain_number(e: s.Expr) -> float | int | None:
    if isinstance(e, s.Name) and e.id == "inf":
        return float("inf")
    if isinstance(e, s.Number):
        return e.value
    if isinstance(e, s.Unary) and e.op == "-":
        number = _plain_number(e.operand)
        return None if number is None else -number
    return None


def _reduction_attrs(options: dict[str, Any]) -> dict[str, Any]:
    items: tuple[Any, ...] = options.get("over", options.get("axis", ()))
    axes = tuple(k for k in items if k != "batch")
    labels = {"classes": options["classes"]} if "classes" in options else {}
    keep = bool(options.get("keep", False))
    return {"axes": axes, "batch": "batch" in items, "keep": keep, **labels}


def _type(t: s.TypeExpr) -> Type:
    if isinstance(t, s.ClassType):
        return Type((), "i32", classes=_whole(t.count))
    if isinstance(t, s.TokensType):
        return Type((_whole(t.length),), "i32", classes=_whole(t.count))
    return Type(tuple(_whole(n) for n in t.sizes), t.dtype or "f32")


def _whole(e: s.Expr) -> int:
    if isinstance(e, s.Number) and isinstance(e.value, int):
        return e.value
    raise fail("E290", "a size in a graph is a whole number", e.span)


def _guards(guard: s.Guard | None) -> Iterator[str]:
    stack = [guard.condition] if guard is not None else []
    while stack:
        e = stack.pop()
        if isinstance(e, s.Name):
            yield e.id
        elif isinstance(e, s.Binary):
            stack += [e.left, e.right]


def _leaf_facts(t: s.Input | s.Param | s.State) -> dict[str, Any]:
    facts: dict[str, Any] = {"span": t.span}
    if isinstance(t, s.Input):
        return facts
    if t.initialiser is not None:
        facts["initialiser"] = f"~ {t.initialiser.span.text}"
    elif t.value is not None:
        facts["initialiser"] = f"= {t.value.span.text}"
    if isinstance(t, s.Param):
        facts["frozen"] = t.frozen
        facts["decay"] = float(_plain(t.decay)) if t.decay is not None else 0.0
        facts["file"] = _plain(t.from_file) if t.from_file is not None else ""
    return facts


# ---------------------------------------------------------------- comparing


def same_graph(a: Graph, b: Graph) -> bool:
    """Do two graphs have the same leaves, the same outputs and compute them in the same way?"""
    if (a.name, a.training, len(a.outputs)) != (b.name, b.training, len(b.outputs)):
        return False
    if [_facts(f) for f in a.leaves.values()] != [_facts(f) for f in b.leaves.values()]:
        return False
    numbers: dict[tuple[Any, ...], int] = {}
    left, right = _numbered(a, numbers), _numbered(b, numbers)
    return all(
        (o.kind, o.name, left[o.value], _target(o)) == (p.kind, p.name, right[p.value], _target(p))
        for o, p in zip(a.outputs, b.outputs, strict=True)
    )


def _facts(f: Leaf) -> tuple[Any, ...]:
    order, clock = f.value.attrs.get("order", ()), f.value.attrs.get("clock", "")
    return (f.name, f.kind, f.value.type, order, clock, f.initialiser, f.frozen, f.decay, f.file)


def _target(o: Output) -> str | None:
    return None if o.target is None else str(o.target.attrs["name"])


def _numbered(graph: Graph, numbers: dict[tuple[Any, ...], int]) -> dict[Value, int]:
    """Equal numbers for values that compute the same in the same way."""
    found: dict[Value, int] = {}
    for v in graph.nodes:
        found[v] = numbers.setdefault(value_key(v, found, numbers), len(numbers))
    return found
