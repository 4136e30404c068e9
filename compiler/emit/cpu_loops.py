"""`Loops` kernels as Python text: nested loops over vectors.

In: a kernel. Out: the lines of its function's body, and whether threads can share it. Batched
kernels give each thread a range of examples; a single elementwise stage is cut anywhere between
vectors; sums over the batch are cut by columns, each of them added up in ascending order of the
examples by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from math import isqrt, prod

from ..plan import Access, Fold, Loops, Stage
from .cpu_body import Body, constructor, indent, number
from .cpu_nest import Loop, Nest, Place, draws, nest, simplified
from .cpu_tables import SPARE, tables

LEAST = {"sum": 0.0, "max": float("-inf"), "min": float("inf"), "argmax": float("-inf")}
LEAST_WHOLE = {"sum": 0, "max": -(2**31), "min": 2**31 - 1, "argmax": -(2**31)}
JOIN = {"max": "maximum", "min": "minimum"}
LONG = 128  # additions one after another: longer sums are cut into runs, which are added up
WORTH = 4  # additions that are worth a sum of their own


@dataclass(frozen=True)
class Written:
    """The body of a kernel's function."""

    lines: list[str]
    shared: bool  # by threads; if not, thread 0 does all of it


def loops_body(kernel: Loops) -> Written:
    """The text of a `Loops` kernel, after the slots have been given names."""
    stages = [simplified(s) for s in kernel.stages]
    seeds = [
        "seed = header(arena, 0)",
        "step = header(arena, 1)",
        "first_example = header(arena, 2)",
    ]
    lines = seeds if any(draws(s) for s in stages) else []
    if kernel.over_batch:
        body = _over_batch(stages)
    elif kernel.batched and (len(stages) > 1 or stages[0].folds):
        body = _each_example(stages, len(kernel.slots) + 1)
    elif len(stages) == 1 and not stages[0].folds:
        body = _elements(stages[0], kernel.batched, len(kernel.slots) + 1)
    else:
        slots = count(len(kernel.slots) + 1)
        made = [_tabled(s, nest, f"s{k}_", slots) for k, s in enumerate(stages)]
        texts = [
            [*m.declared, *m.fill, *_Text(m.space, f"s{k}_").lines()] for k, m in enumerate(made)
        ]
        body = Written([t for text in texts for t in text], False)
    return Written(lines + body.lines, body.shared)


@dataclass(frozen=True)
class _Tabled:
    """A nest whose stage reads tables, the lines that declare these and those that fill them."""

    space: Nest
    declared: list[str]
    fill: list[str]
    examples: bool = False  # filled anew for each example


def _tabled(
    stage: Stage, make: Callable[[Stage], Nest], prefix: str, slots: Iterator[int],
    outer: Loop | None = None,
) -> _Tabled:  # fmt: skip
    """`make` gives the nest of a stage; `outer` is its loop over the examples, if it has one."""
    space = make(stage)
    found = tables(space, slots)
    if found is None or (found.examples and outer is None):
        return _Tabled(space, [], [])
    declared = [
        f"p{slot} = local_{dtype}({size + SPARE})" for slot, (dtype, size) in found.sizes.items()
    ]
    over = outer if found.examples else None
    text = _Text(nest(found.fill, outer=over), f"{prefix}v", inside=int(found.examples))
    lines = [*text.body.lines(0, False), *text.lines()] if found.examples else text.lines()
    return _Tabled(make(found.stage), declared, lines, found.examples)


def _each_example(stages: list[Stage], slot: int) -> Written:
    outer = Loop("e", None, (-1,))
    slots = count(slot)
    made = [
        _tabled(stage, partial(nest, outer=outer), f"s{k}_", slots, outer)
        for k, stage in enumerate(stages)
    ]
    if len(made) == 1 and _by_rows(made[0]):
        text = _Text(made[0].space, "s0_", split=True, batched=True)
        return Written([*made[0].declared, *made[0].fill, *text.rows()], True)
    texts = [_Text(m.space, f"s{k}_", inside=1, batched=True) for k, m in enumerate(made)]
    # What no example changes is read once, unless a stage leaves something in scratch memory.
    fixed = [
        [*([] if m.examples else m.fill), *t.body.lines(0, False)]
        for m, t in zip(made, texts, strict=True)
    ]
    scratch = any(p.strides[0] == 0 for t in texts for p in (*t.space.writes, *t.space.folds))
    lines = [line for m in made for line in m.declared]
    lines += [] if scratch else [line for found in fixed for line in found]
    lines += [
        "first, last = share(batch, thread, threads, 1), share(batch, thread + 1, threads, 1)",
        "for e in range(first, last):",
    ]
    for k, (one, text) in enumerate(zip(made, texts, strict=True)):
        if len(stages) > 1:
            lines.append(f"    # stage {k + 1}")
        lines += indent([*(fixed[k] if scratch else []), *(one.fill if one.examples else [])])
        lines += indent(text.lines())
    return Written(lines, True)


def _by_rows(made: _Tabled) -> bool:
    """Whether threads can share the examples and the rows inside them, all results independent."""
    space = made.space
    if made.examples or len(space.loops) < 2 or space.loops[0].axes != (-1,):
        return False
    return not any(loop.vector for loop in space.loops[:2]) and min(space.kept, default=2) > 1


def _elements(stage: Stage, batched: bool, slot: int) -> Written:
    made = _tabled(stage, partial(nest, batch=batched), "", count(slot))
    text = _Text(made.space, "", split=True, batched=batched)
    lines = text.rows() if _by_rows(made) else text.lines()
    return Written([*made.declared, *made.fill, *lines], bool(made.space.loops))


def _over_batch(stages: list[Stage]) -> Written:
    """Columns side by side, examples in ascending order; then what goes on with each result."""
    nests = [nest(stages[0], batch=True), *(nest(s) for s in stages[1:])]
    split, unit = _columns(nests)
    lines = []
    for i, space in enumerate(nests):
        lines += _Text(space, f"s{i}_", split=split, unit=unit, batched=i == 0).lines()
    return Written(lines, split)


def _columns(nests: list[Nest]) -> tuple[bool, int]:
    """Whether all nests start with a loop over the same columns, and the multiple to cut it in."""
    if not all(n.loops and min(n.kept, default=1) for n in nests):
        return False, 1
    heads = [n.loops[0] for n in nests]
    first = heads[0]
    if first.size is None or any(h.size != first.size or h.vector != first.vector for h in heads):
        return False, 1
    return True, max(n.lanes for n in nests)


class _Text:
    """The lines of one nest.

    `inside` outer loops stand already. `split`: threads share the outermost loop, in multiples
    of `unit`.
    """

    def __init__(
        self, space: Nest, prefix: str, *, split: bool = False, unit: int = 0, inside: int = 0,
        batched: bool = False,
    ) -> None:  # fmt: skip
        self.space, self.split, self.inside = space, split, inside
        self.unit = unit or space.lanes
        self.prefix = prefix
        self.body = Body(
            space.stage, space.loops, space.reads, space.lanes, self._counter(batched), prefix
        )
        self.runs, self.run = self._runs()
        self.inner = False  # inside a run

    def _counter(self, batched: bool) -> str:
        """Where in its stream the draw of the first lane lies."""
        space = self.space
        terms = [f"first_example * {space.size}"] if batched else []
        for loop in space.loops:
            last = loop.axes[-1]
            step = space.size if last < 0 else 1
            for n in space.stage.axes[last + 1 :] if last >= 0 else ():
                step *= n
            terms.append(f"{step} * {loop.name}" if step != 1 else loop.name)
        return " + ".join(terms) or "0"

    def _runs(self) -> tuple[int, int]:
        """The loop whose turns are summed on their own before they join the whole sum, and how many
        of them at a time (0: all). −1 where the sums are short.

        A sum of n numbers, one after another, errs by about √n roundings; by runs of √n, by ⁴√n.
        """
        space, last = self.space, len(self.space.loops) - 1
        first = max(space.kept, default=0)
        if last < first or not any(map(self._in_runs, range(len(space.folds)))):
            return -1, 0
        sizes = [0 if loop.size is None else loop.size for loop in space.loops]
        turns = sizes[last] // space.lanes if last == space.vector else sizes[last]
        if turns >= LONG:
            run = 1 << (isqrt(turns).bit_length() - 1)
            return last, run * space.lanes if last == space.vector else run
        outside = prod(n or LONG for n in sizes[first:last])
        return (last, 0) if turns >= WORTH and outside * turns >= LONG else (-1, 0)

    def _in_runs(self, k: int) -> bool:
        return self.space.stage.folds[k].kind == "sum" and self.space.folds[k].dtype != "i32"

    def lines(self) -> list[str]:
        return self._level(self.inside, False)

    def rows(self) -> list[str]:
        """The outer two loops, examples and rows, as one that threads share."""
        outer, row = self.space.loops[:2]
        each = row.extent
        return [
            *self.body.lines(0, False),
            f"total = {outer.extent} * {each}",
            "first, last = share(total, thread, threads, 1), share(total, thread + 1, threads, 1)",
            "for q in range(first, last):",
            f"    {outer.name}, {row.name} = q // {each}, q % {each}",
            *indent([*self.body.lines(1, False), *self._level(2, False)]),
        ]

    def _level(self, depth: int, part: bool) -> list[str]:
        """What stands inside `depth` loops, inner loops included."""
        space = self.space
        lines = self.body.lines(depth, part)
        opened = [k for k, kept in enumerate(space.kept) if max(kept, self.inside) == depth]
        for k in opened:
            lines += self._open(k)
        if depth == len(space.loops):
            lines += self._innermost(part)
        else:
            lines += self._loop(depth, part)
        for k in opened:
            lines += self._close(k, part)
        return lines

    def _loop(self, depth: int, part: bool) -> list[str]:
        loop = self.space.loops[depth]
        bounds = loop.extent
        lines = []
        start = "0"
        if self.split and depth == 0:
            unit = self.unit if loop.vector else 1
            lines += [
                f"total = {bounds}",
                f"first, last = share(total, thread, threads, {unit}), "
                f"share(total, thread + 1, threads, {unit})",
            ]
            start, bounds = "first", "last"
        if depth != self.runs:
            return lines + self._turns(loop, depth, start, bounds, part)
        return lines + self._in_run(loop, depth, bounds, part)

    def _turns(self, loop: Loop, depth: int, start: str, end: str, part: bool) -> list[str]:
        if loop.vector:
            return self._vectors(loop, start, end, partial(self._level, depth + 1))
        turns = f"range({end})" if start == "0" else f"range({start}, {end})"
        return [f"for {loop.name} in {turns}:", *indent(self._level(depth + 1, part))]

    def _in_run(self, loop: Loop, depth: int, bounds: str, part: bool) -> list[str]:
        """A loop inside a fold, by runs."""
        assert loop.size is not None or not self.run
        chosen = [k for k in range(len(self.space.folds)) if self._in_runs(k)]
        zeros = [self._zero(k, "_run") for k in chosen]
        joined = [f"{self._name(k)} = {self._name(k)} + {self._name(k)}_run" for k in chosen]
        self.inner = True
        if not self.run:
            lines = [*zeros, *self._turns(loop, depth, "0", bounds, part), *joined]
            self.inner = False
            return lines
        assert loop.size is not None
        step = self.space.lanes if loop.vector else 1
        left = loop.size % step
        whole, begin = loop.size - left, f"{loop.name}_run"
        end = f"{begin} + {self.run}"
        if whole % self.run:
            end = f"least({end}, {whole})"
        steps = f"{begin}, {end}, {step}" if loop.vector else f"{begin}, {end}"
        inner = indent(self._level(depth + 1, part and not loop.vector))
        self.inner = False
        runs = [*zeros, f"for {loop.name} in range({steps}):", *inner, *joined]
        lines = [f"for {begin} in range(0, {whole}, {self.run}):", *indent(runs)]
        if left:
            lines += [f"{loop.name} = {whole}", f"c = {left}", *self._level(depth + 1, True)]
        return lines

    def _vectors(
        self, loop: Loop, start: str, end: str, inside: Callable[[bool], list[str]]
    ) -> list[str]:
        """Whole vectors, then what is left."""
        lanes, size, name = self.space.lanes, loop.size, loop.name
        lines = []
        known = size is not None and start != "first"
        if known and size is not None:
            whole, left = str(size - size % lanes), size % lanes
        elif size is not None:  # a thread's range ends between vectors, or at the end
            whole, left = f"last - {size % lanes} * (last == {size})", size % lanes
        else:
            whole, left = f"{end} - ({end} - {start}) % {lanes}", 1
        if known and size is not None and size < lanes:
            pass
        else:
            if left and not known:
                lines.append(f"whole = {whole}")
                whole = "whole"
            inner = inside(False)
            lines += [f"for {name} in range({start}, {whole}, {lanes}):", *indent(inner)]
        if left:
            tail = inside(True)
            first = whole if not (known and size is not None and size < lanes) else "0"
            lines += [
                f"for {name} in range({first}, {end}, {lanes}):",
                f"    c = {end} - {name}",
                *indent(tail),
            ]
        return lines

    # ---------------------------------------------------------------------------- writes and folds

    def _innermost(self, part: bool) -> list[str]:
        stage, space = self.space.stage, self.space
        lines = [
            self.body.write(place, self.body.vector_of(w.value, place.dtype), part)
            for w, place in zip(stage.writes, space.writes, strict=True)
        ]
        for k, (fold, place) in enumerate(zip(stage.folds, space.folds, strict=True)):
            lines += self._accumulate(k, fold, place, part and self._across(k))
        return lines

    def _across(self, k: int) -> bool:
        """Whether fold k goes over the lanes of the vector."""
        vector = self.space.vector
        return vector is not None and vector >= self.space.kept[k]

    def _dtype(self, fold: Fold, place: Place) -> str:
        if fold.kind != "argmax":
            return place.dtype
        return self.body.dtype(fold.value) or "f32"

    def _open(self, k: int) -> list[str]:
        lines = [] if self._found(k) is not None else [self._zero(k)]
        if self.space.stage.folds[k].kind == "argmax":
            lines.append(f"{self._name(k)}_at = i32({self.space.lanes}, 0)")
        return lines

    def _zero(self, k: int, suffix: str = "") -> str:
        """A fold of nothing."""
        fold = self.space.stage.folds[k]
        dtype = self._dtype(fold, self.space.folds[k])
        least = (LEAST if dtype in ("f32", "f64") else LEAST_WHOLE)[fold.kind]
        value = number(least, dtype)
        return f"{self._name(k)}{suffix} = {constructor(dtype)}({self.space.lanes}, {value})"

    def _name(self, k: int) -> str:
        return f"{self.prefix}f{k}"

    def _found(self, k: int) -> int | None:
        """For a maximum, the fold that looks for its index: it knows the number, too."""
        folds = self.space.stage.folds
        fold = folds[k]
        if fold.kind != "max" or self.body.dtype(fold.value) != fold.access.dtype:
            return None
        same = replace(fold, kind="argmax", access=Access(0, "", ()))
        plain = [replace(f, access=same.access) for f in folds]
        return plain.index(same) if same in plain else None

    def _accumulate(self, k: int, fold: Fold, place: Place, part: bool) -> list[str]:
        if self._found(k) is not None:
            return []
        name, lanes = self._name(k), self.space.lanes
        dtype = self._dtype(fold, place)
        value = self.body.vector_of(fold.value, dtype)
        kept = f"below({lanes}, c)"
        if fold.kind == "argmax":
            wins = f"better({value}, {name})" + (f" & {kept}" if part else "")
            return [
                f"{name}_wins = {wins}",
                f"{name}_at = select({name}_wins, {self._folded_index(k)}, {name}_at)",
                f"{name} = select({name}_wins, {value}, {name})",
            ]
        if part:
            least = (LEAST if dtype in ("f32", "f64") else LEAST_WHOLE)[fold.kind]
            value = f"select({kept}, {value}, {number(least, dtype)})"
        if fold.kind == "sum":
            name += "_run" * (self.inner and self._in_runs(k))
            return [f"{name} = {name} + {value}"]
        return [f"{name} = {JOIN[fold.kind]}({name}, {value})"]

    def _folded_index(self, k: int) -> str:
        """The flat index along the folded axes."""
        space, terms = self.space, []
        for d in range(space.kept[k], len(space.loops)):
            loop, step = space.loops[d], 1
            for n in space.stage.axes[loop.axes[-1] + 1 :]:
                step *= n
            word = "count_from" if d == space.vector else "i32"
            text = f"{word}({space.lanes}, {loop.name})"
            terms.append(text if step == 1 else f"{text} * {step}")
        return " + ".join(terms) or f"i32({space.lanes}, 0)"

    def _close(self, k: int, part: bool) -> list[str]:
        fold, place, name = self.space.stage.folds[k], self.space.folds[k], self._name(k)
        found = self._found(k)
        name = name if found is None else self._name(found)
        if not self._across(k):
            result = f"{name}_at" if fold.kind == "argmax" else name
            return [self.body.write(place, result, part)]
        index = place.index(self.space.loops)
        if fold.kind == "argmax":
            result = f"argmax_lanes({name}, {name}_at)"
        else:
            result = f"{fold.kind}_lanes({name})"
        return [f"store_part(p{place.slot}, {index}, {result}, 1)"]
