"""`Loops` kernels as Python text: nested loops over vectors.

In: a kernel. Out: the lines of its function's body, and whether threads can share it. Batched
kernels give each thread a range of examples; a single elementwise stage is cut anywhere between
vectors; sums over the batch are cut by columns, each of them added up in ascending order of the
examples by one thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import Fold, Loops, Stage
from .cpu_body import Body, constructor, indent, number
from .cpu_nest import Loop, Nest, Place, draws, nest, simplified

LEAST = {"sum": 0.0, "max": float("-inf"), "min": float("inf"), "argmax": float("-inf")}
LEAST_WHOLE = {"sum": 0, "max": -(2**31), "min": 2**31 - 1, "argmax": -(2**31)}
JOIN = {"max": "maximum", "min": "minimum"}
WIDE = 4  # vectors side by side in sums over the batch: one alone would wait for each addition


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
        body = _each_example(stages)
    elif len(stages) == 1 and not stages[0].folds:
        body = _elements(stages[0], kernel.batched)
    else:
        body = Written(
            [t for k, s in enumerate(stages) for t in _Text(nest(s), f"s{k}_").lines()], False
        )
    return Written(lines + body.lines, body.shared)


def _each_example(stages: list[Stage]) -> Written:
    outer = Loop("e", None, (-1,))
    texts = [
        _Text(nest(stage, outer=outer), f"s{k}_", inside=1, batched=True)
        for k, stage in enumerate(stages)
    ]
    # What no example changes is read once, unless a stage leaves something in scratch memory.
    fixed = [text.body.lines(0, False) for text in texts]
    scratch = any(p.strides[0] == 0 for t in texts for p in (*t.space.writes, *t.space.folds))
    lines = [] if scratch else [line for found in fixed for line in found]
    lines += [
        "first, last = share(batch, thread, threads, 1), share(batch, thread + 1, threads, 1)",
        "for e in range(first, last):",
    ]
    for k, text in enumerate(texts):
        if len(stages) > 1:
            lines.append(f"    # stage {k + 1}")
        lines += indent([*(fixed[k] if scratch else []), *text.lines()])
    return Written(lines, True)


def _elements(stage: Stage, batched: bool) -> Written:
    space = nest(stage, batch=batched)
    text = _Text(space, "", split=True, batched=batched)
    return Written(text.lines(), bool(space.loops))


def _over_batch(stages: list[Stage]) -> Written:
    """Columns side by side, examples in ascending order; then what goes on with each result."""
    first = stages[0]
    lanes = None
    plain = nest(first, batch=True)
    k = plain.vector
    if k is not None and plain.loops[k].axes != (-1,) and k < min(plain.kept):
        wide = plain.lanes * WIDE
        lanes = wide if (plain.loops[k].size or 0) >= wide and len(first.lets) <= WIDE else None
    nests = [nest(first, batch=True, lanes=lanes), *(nest(s) for s in stages[1:])]
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

    def lines(self) -> list[str]:
        return self._level(self.inside, False)

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
        if not loop.vector:
            turns = f"range({bounds})" if start == "0" else f"range({start}, {bounds})"
            return [*lines, f"for {loop.name} in {turns}:", *indent(self._level(depth + 1, part))]
        return lines + self._vectors(loop, depth, start, bounds)

    def _vectors(self, loop: Loop, depth: int, start: str, end: str) -> list[str]:
        """Whole vectors, then what is left."""
        lanes, size, name = self.space.lanes, loop.size, loop.name
        lines = []
        known = size is not None and not (self.split and depth == 0)
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
            inner = self._level(depth + 1, False)
            lines += [f"for {name} in range({start}, {whole}, {lanes}):", *indent(inner)]
        if left:
            tail = self._level(depth + 1, True)
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
        fold, lanes = self.space.stage.folds[k], self.space.lanes
        dtype = self._dtype(fold, self.space.folds[k])
        least = (LEAST if dtype in ("f32", "f64") else LEAST_WHOLE)[fold.kind]
        lines = [f"{self._name(k)} = {constructor(dtype)}({lanes}, {number(least, dtype)})"]
        if fold.kind == "argmax":
            lines.append(f"{self._name(k)}_at = i32({lanes}, 0)")
        return lines

    def _name(self, k: int) -> str:
        return f"{self.prefix}f{k}"

    def _accumulate(self, k: int, fold: Fold, place: Place, part: bool) -> list[str]:
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
        if not self._across(k):
            result = f"{name}_at" if fold.kind == "argmax" else name
            return [self.body.write(place, result, part)]
        index = place.index(self.space.loops)
        if fold.kind == "argmax":
            result = f"argmax_lanes({name}, {name}_at)"
        else:
            result = f"{fold.kind}_lanes({name})"
        return [f"store_part(p{place.slot}, {index}, {result}, 1)"]
