"""The kernels view: which nodes of the lowered graph became one kernel, and for which equation.

In: a `Plan` and the graph of its step. Out: DOT. A small step is a graph, a box around the nodes of
each kernel; a larger one a table in the order of launches, a line under each epoch, where all
threads wait; in a large one kernels that do the same are one row, with how many they are. One
kernel can be opened: its nodes, what it reads, what it writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..compiler.graph import Graph
from ..compiler.plan import AnyKernel, Plan, Recurrence
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from .dot import Cluster, Dot, Html, escape, lines
from .fit import CROWD, fitted, type_size
from .launches import Held, Launch, byte_words, cut, launches, source_line, value_words
from .nodes import is_number, meaning, shape, words
from .render import refuse_large
from .style import SMALL, SMALLEST
from .style import theme as theme_of

GRAPH = 45  # nodes that are drawn one by one
ROWS = 28  # of a table on a slide
COLOURS = {"forward": "data", "backward": "gradient", "update": "param"}
KINDS = {"param": "param", "state": "state", "input": "data", "output": "output"}


def kernels(
    plan: Plan,
    graph: Graph,
    theme: str = "light",
    *,
    depth: int | None = None,
    number: int | None = None,
    fit: bool = True,
) -> str:
    """DOT text of the kernels of a step. `number`: one of them, opened. `depth`: 1 for the table
    without folding, 2 for all nodes; as fits, if not told. Raises Failure E577."""
    picture = _Picture(plan, launches(plan, graph), theme)
    if number is not None:
        if not 1 <= number <= len(plan.kernels):
            raise fail(
                "E577",
                f"there is no kernel {number}: the step has {len(plan.kernels)}",
                help="`--view kernels` numbers them in the order of their launches",
            )
        return picture.opened(picture.steps[number - 1])
    drafts = list(picture.drafts(depth))
    if not fit:
        return drafts[0]()
    return next((d for d in (f() for f in drafts[:-1]) if (type_size(d) or 0) >= SMALLEST),
                drafts[-1]())  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Kernels that do the same in different places, in the order of launches."""

    steps: tuple[Launch, ...]

    @property
    def first(self) -> Launch:
        return self.steps[0]

    @property
    def codes(self) -> int:
        """How many of them have code of their own."""
        return len({s.kernel.key for s in self.steps})


def folded(steps: Sequence[Launch], most: int = ROWS) -> list[Row]:
    """A row for each kernel if that is few enough; else for those with the same operations in the
    same part of the step; else the kinds that move most bytes, and the rest in one row."""
    if len(steps) <= most:
        return [Row((s,)) for s in steps]
    kinds: dict[object, list[Launch]] = {}
    for s in steps:
        done = tuple(sorted(Counter(v.op.name for v in s.kernel.values if _counts(v)).items()))
        kinds.setdefault((s.form, s.part, done), []).append(s)
    rows = [Row(tuple(group)) for group in kinds.values()]
    if len(rows) <= most:
        return rows
    weight = {id(r): -sum(s.cost.nbytes for s in r.steps) for r in rows}
    large = sorted(rows, key=lambda r: weight[id(r)])[: most - 1]
    kept = {id(r) for r in large}
    rest = [s for r in rows if id(r) not in kept for s in r.steps]
    return [*(r for r in rows if id(r) in kept), Row(tuple(rest))]


class _Picture:
    def __init__(self, plan: Plan, steps: tuple[Launch, ...], theme: str) -> None:
        self.plan, self.steps = plan, steps
        self.look = theme_of(theme)
        self.same: dict[object, int] = {}  # code -> the first launch that runs it
        for s in steps:
            self.same.setdefault(s.kernel.key, s.number)

    def drafts(self, depth: int | None) -> Iterator[partial[str]]:
        nodes = {v for s in self.steps for v in s.kernel.values if not is_number(v)}
        if (depth is not None and depth > 1) or (depth is None and len(nodes) <= GRAPH):
            refuse_large(len(nodes))
            for rows in (1, 2, 3) if len(nodes) <= CROWD else (1,):
                yield partial(self.graph, rows)
        if depth is None or depth == 1:
            yield partial(self.table, [Row((s,)) for s in self.steps] if depth else
                          folded(self.steps))  # fmt: skip

    def _title(self, dot: Dot, steps: Sequence[Launch]) -> None:
        values = {v for s in self.steps for v in s.kernel.values}
        used = {p for s in steps for p in s.parts}
        epochs = 1 + max((s.epoch for s in self.steps), default=0)
        more = (
            f"   {len(values)} nodes in {len(self.steps)} kernels,"
            f" {len(self.same)} of them different code; {epochs} epochs"
        )
        dot.legend([(COLOURS[p], p) for p in COLOURS if p in used], more)

    # ------------------------------------------------------------ a table

    def table(self, rows: Sequence[Row]) -> str:
        dot = Dot(f"{self.plan.name}: kernels, batch {self.plan.capacity}", self.look)
        self._title(dot, self.steps)
        is_folded = any(len(r.steps) > 1 for r in rows)
        heads = ("launch", "part", "line of the net", "computes", "nodes", "reads", "writes")
        body = [_cells([(h, "head") for h in heads], self.look.ink, self.look.faint)]
        last = 0
        for row in rows:
            if not is_folded and row.first.epoch != last:
                body.append("<HR/>")  # all threads wait here
            last = row.first.epoch
            paint = self.look.paint(COLOURS[row.first.part])
            cells = self._together(row) if is_folded else self._alone(row.first)
            body.append(_cells(cells, self.look.ink, self.look.faint, paint.fill, paint.line))
        room = 3 if len(rows) <= 16 else 1
        look = f'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{room}"'
        dot.node(Html(f"<TABLE {look}>{''.join(body)}</TABLE>"), "other", shape="plaintext",
                 style="", tooltip="kernels in the order of their launches")  # fmt: skip
        if not is_folded:
            note = "a line between rows: a barrier, all threads wait"
        else:
            note = "kernels that do the same in different layers are one row"
        dot.below_legend(Html(f'<FONT POINT-SIZE="{SMALL:g}">{escape(note)}</FONT>'))
        return dot.text()

    def _alone(self, s: Launch) -> list[tuple[str, str]]:
        same = self.same[s.kernel.key]
        code = f", code of {same}" if same != s.number else ""
        return [
            (str(s.number), "number"),
            (s.part, "text"),
            (_line(s), "text"),
            (f"{computes(s)}{code}", "text"),
            (str(len(s.kernel.values)), "number"),
            (_buffers(s.reads), "text"),
            (_buffers(s.writes), "text"),
        ]

    def _together(self, row: Row) -> list[tuple[str, str]]:
        s = row.first
        numbers = [str(x.number) for x in row.steps]
        shown = f"{numbers[0]}, …" if len(numbers) > 1 else numbers[0]
        kinds = len({tuple(v.op.name for v in x.kernel.values) for x in row.steps})
        alike = kinds <= 3
        places = {str(x.line) for x in row.steps if x.line}
        line = _line(s)
        if len(places) > 1:
            line = f"{cut(line, 22)} + {len(places) - 1} more" if alike else f"{len(places)} lines"
        what = computes(s, 36) if alike else "other kernels"
        many = len(row.steps)
        nodes = sum(len(x.kernel.values) for x in row.steps)
        read = sum(h.nbytes for x in row.steps for h in x.reads)
        written = sum(h.nbytes for x in row.steps for h in x.writes)
        return [
            (f"{shown} ×{many}" if many > 1 else shown, "number"),
            (s.part if alike else "", "text"), (line, "text"),
            (what + (_codes(row.codes) if alike and many > 1 else ""), "text"),
            (str(nodes), "number"),
            (byte_words(read), "text"), (byte_words(written), "text"),
        ]  # fmt: skip

    # ------------------------------------------------------------ a graph

    def graph(self, rows: int) -> str:
        dot = Dot(f"{self.plan.name}: kernels, batch {self.plan.capacity}", self.look)
        self._title(dot, self.steps)
        made: dict[Value, str] = {}  # in the last kernel that computed it
        for s in self.steps:
            self._cluster(dot, s, made)
        return dot.text(rows)

    def _cluster(self, dot: Dot, s: Launch, made: dict[Value, str]) -> Cluster:
        """The nodes of one kernel in a box, with arrows from what was made before."""
        paint = self.look.paint(COLOURS[s.part])
        line = f"  {_line(s)}" if s.line else ""
        box = dot.cluster(f"{s.number} · {s.part}{line}", (), color=paint.line,
                          penwidth=1.6, fontcolor=self.look.ink)  # fmt: skip
        copied = s.kernel.label.startswith("new ")  # from a temporary to where it belongs
        inside = [v for v in s.kernel.values if not is_number(v) and not copied]
        own = set(inside)
        for v in inside:
            box.nodes.append(self._node(dot, v, made))
        if not inside:
            box.nodes.append(dot.node(cut(s.kernel.label or s.form, 40), "view"))
            for h in s.reads:
                if copied and h.value in made:
                    dot.edge(made[h.value], box.nodes[0], shape(h.value))
        for v in inside:
            for a in dict.fromkeys(_shown(a, made) for a in v.args if not is_number(a)):
                if a.op.family == "leaf" and a not in made:
                    made[a] = dot.node(lines(words(a), str(a.type)), meaning(a))
                if a in made:
                    crosses = a not in own and a.op.family != "leaf"
                    dot.edge(made[a], made[v], shape(a) if crosses else "")
        return box

    def _node(self, dot: Dot, v: Value, made: dict[Value, str]) -> str:
        made[v] = dot.node(lines((words(v), "plain")), meaning(v), tooltip=f"{v.op.name} {v.type}")
        return made[v]

    # ------------------------------------------------------------ one kernel

    def opened(self, s: Launch) -> str:
        """One kernel: what it reads, its nodes in a box, what it writes."""
        dot = Dot(f"{self.plan.name}: kernel {s.number} of {len(self.steps)}", self.look)
        same = [x.number for x in self.steps if x.kernel.key == s.kernel.key and x is not s]
        code = f"; the code of {', '.join(map(str, same[:8]))} too" if same else ""
        line = source_line(s.line) if s.line else _elsewhere(s)
        more = f"   {line} · {computes(s)}{code}"
        dot.legend([(COLOURS[s.part], s.part)], cut(more, 120))
        if isinstance(s.kernel, Recurrence):
            self._turns(dot, s, s.kernel)
        else:
            self._nodes(dot, s)
        return fitted([partial(dot.text, rows) for rows in (1, 2, 3)])

    def _nodes(self, dot: Dot, s: Launch) -> None:
        """Buffers that are read, nodes, buffers that are written."""
        made: dict[Value, str] = {}
        known: dict[str, str] = {}
        own = set(s.kernel.values)
        for h in s.reads:
            if h.value not in own:
                id = self._buffer(dot, h, "reads")
                made[h.value] = known[h.buffer.name or id] = id
        for a in (_shown(a, made) for v in s.kernel.values for a in v.args):
            if a.op.family == "leaf" and str(a.attrs.get("name")) in known:
                made[a] = known[str(a.attrs["name"])]
        self._cluster(dot, s, made)
        for h in s.writes:
            end = self._buffer(dot, h, "writes")
            last = next((made[v] for v in reversed(s.kernel.values) if v in made), None)
            start = made.get(_shown(h.value, made), last)
            if start is not None:
                dot.edge(start, end)

    def _turns(self, dot: Dot, s: Launch, kernel: Recurrence) -> None:
        """The kernels of one step of a recurrence, each between what it alone reads and writes; a
        dashed arrow for what the step before has left."""
        known = {h.index: h for h in (*s.reads, *s.writes)}
        paint = self.look.paint(COLOURS[s.part])
        walk = "from the last to the first" if kernel.reverse else "one after another"
        title = f"{s.number} · {s.part}: again for each of {kernel.over.steps} steps, {walk}"
        box = dot.cluster(title, (), color=paint.line, penwidth=1.6, fontcolor=self.look.ink)
        nodes = []
        for k in kernel.turns:
            nodes.append(dot.node(lines((_inside(k), "plain"), _operations(k)), COLOURS[s.part]))
        box.nodes += nodes
        writer = {index: node for k, node in zip(kernel.turns, nodes, strict=True)
                  for index in self._places(kernel, k, k.writes)}  # fmt: skip
        done: set[int] = set()
        for k, node in zip(kernel.turns, nodes, strict=True):
            reads, writes = (self._places(kernel, k, slots) for slots in (k.reads, k.writes))
            given = [known[i] for i in reads if i in known and i not in writer]
            made = [known[i] for i in writes if i in known]
            if given:
                dot.edge(self._buffers_node(dot, given, "reads"), node)
            for index in reads:
                if index in done:
                    dot.edge(writer[index], node)
                elif index in writer:
                    dot.edge(writer[index], node, style="dashed", constraint=False)
            if made:
                dot.edge(node, self._buffers_node(dot, made, "writes"))
            done.update(writes)

    def _buffers_node(self, dot: Dot, held: Sequence[Held], verb: str) -> str:
        rows = [f"{value_words(h)} {byte_words(h.nbytes)}" for h in held]
        return dot.node(lines((verb, "small"), *((r, "small") for r in rows)), "view")

    def _places(self, kernel: Recurrence, inner: AnyKernel, slots: Sequence[int]) -> list[int]:
        """The buffers behind slots of a kernel inside a recurrence."""
        found = [kernel.slots[kernel.spots[inner.slots[i]].slot] for i in slots]
        return list(dict.fromkeys(map(self._whole, found)))

    def _whole(self, index: int) -> int:
        """The buffer that one is a part of."""
        while self.plan.buffers[index].within >= 0:
            index = self.plan.buffers[index].within
        return index

    def _buffer(self, dot: Dot, h: Held, verb: str) -> str:
        label = lines(value_words(h), f"{verb} {byte_words(h.nbytes)}")
        return dot.node(label, KINDS.get(h.buffer.kind, "view"),
                        tooltip=f"buffer {h.index} at {h.buffer.offset:,}")  # fmt: skip


def computes(s: Launch, width: int = 44) -> str:
    """The kernel's equation, without the name of its layer, which the line tells."""
    text = s.kernel.label
    before, colon, rest = text.partition(": ")
    if colon and " " not in before:
        text = rest
    return cut(text or s.form, width)


def _line(s: Launch, width: int = 36) -> str:
    """The number of the line and what stands there; the title names the net."""
    if s.line is None:
        return _elsewhere(s)
    return cut(source_line(s.line, 99).partition(":")[2], width)


def _inside(kernel: AnyKernel) -> str:
    """The equation of a kernel inside a recurrence, without the numbers that tell leaves apart."""
    return cut(re.sub(r"~\d+", "", kernel.label).rpartition(": ")[2], 36)


def _operations(kernel: AnyKernel) -> str:
    count = Counter(v.op.name for v in kernel.values if not is_number(v))
    return cut(", ".join(f"{n} {op}" if n > 1 else op for op, n in count.items()), 40)


def _codes(count: int) -> str:
    return " (the same code)" if count == 1 else f" ({count} codes)"


def _elsewhere(s: Launch) -> str:
    """What a kernel belongs to that no line of the net asks for."""
    return "the optimizer" if s.part == "update" else ""


def _counts(v: Value) -> bool:
    return v.op.family != "view" and not is_number(v)


def _shown(v: Value, made: Mapping[Value, str]) -> Value:
    """The value behind those without nodes: casts, repetitions, other ways to lay the same out."""
    while v not in made and len(v.args) == 1:
        v = v.args[0]
    return v


def _buffers(held: Sequence[Held], width: int = 28) -> str:
    """Names of what lies in buffers, as many as there is room for, and all their bytes."""
    total = byte_words(sum(h.nbytes for h in held))
    names = list(dict.fromkeys(map(value_words, held)))
    shown: list[str] = []
    while names and len(", ".join([*shown, names[0]])) <= width - 4:
        shown.append(names.pop(0))
    if not shown and names:
        shown.append(cut(names.pop(0), width - 4))
    more = f" + {len(names)}" if names else ""
    return f"{', '.join(shown)}{more}: {total}" if held else ""


def _cells(
    cells: Sequence[tuple[str, str]], ink: str, faint: str, fill: str = "", line: str = ""
) -> str:
    """A row of a table; the first cell has the colour of its part."""
    out = []
    for k, (text, kind) in enumerate(cells):
        side = "RIGHT" if kind == "number" else "LEFT"
        paint = f' BGCOLOR="{fill}"' if k == 0 and fill else ""
        safe = escape(text) or "&#160;"
        if kind == "head":
            inner = f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{faint}"><B>{safe}</B></FONT>'
        else:
            inner = f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{ink}">{safe}</FONT>'
            inner = f"<B>{inner}</B>" if k == 0 else inner
        out.append(f'<TD ALIGN="{side}"{paint}>{inner}&#160;</TD>')
    return f"<TR>{''.join(out)}</TR>"
