"""Weights of one net for another: which array of a file becomes which array of the net.

In: arrays by name (theirs), the net's parameters and states (ours), and a `Load`: the part of
theirs, the part of ours, a map of names within the parts. Out: new values and a `Report` of what
matched, what of theirs was not used, and what of ours stays as it was and why; or a `Failure`: E291
for a part that the net has not, E548 where names do not meet, E549 where shapes or element types
do not. Where theirs come from is left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ...dsl.diagnostics import did_you_mean, fail
from ...dsl.source import Span
from .foreign_names import is_foreign, proposed

Array = NDArray[Any]
SHOWN = 12  # names on a line of the report


@dataclass(frozen=True)
class Rename:
    """A pair of `map`. Each `*` of `theirs` stands for any text, and so in turn do those of `ours`;
    None leaves out what matches."""

    theirs: str
    ours: str | None
    span: Span | None = None

    @property
    def text(self) -> str:
        """As it is written."""
        return f'"{self.theirs}" = ' + (f'"{self.ours}"' if self.ours is not None else "none")

    def found(self, name: str) -> tuple[str, ...] | None:
        """The texts of the stars where the name matches, an earlier one as long as can be. From the
        right, each piece at its last place: no pattern takes more than one search for each `*`."""
        first, *rest = self.theirs.split("*")
        if not rest:
            return () if name == first else None
        least = len(first) + 1  # every star stands for one character or more
        *middle, last = rest
        end = len(name) - len(last)
        texts: list[str] = []
        for piece in reversed(middle):
            place = name.rfind(piece, least, max(end - 1, 0))
            if place < 0:
                return None
            texts.append(name[place + len(piece) : end])
            end = place
        if end < least or not (name.startswith(first) and name.endswith(last)):
            return None
        return (name[len(first) : end], *reversed(texts))

    def renamed(self, texts: tuple[str, ...]) -> str | None:
        """Our name for it."""
        if self.ours is None:
            return None
        pieces = self.ours.split("*")
        ours = [pieces[0]]
        for text, piece in zip(texts, pieces[1:], strict=True):
            ours += [text, piece]
        return "".join(ours)


@dataclass(frozen=True)
class Load:
    """What a `load` line asks for: a `file`, or the trained net `net`; a `part` of its names;
    `into`, a part of ours; and the `map`."""

    file: str = ""
    net: str = ""
    part: str = ""
    into: str = ""
    renames: tuple[Rename, ...] = ()
    span: Span | None = None
    source_span: Span | None = None
    into_span: Span | None = None


@dataclass(frozen=True)
class Report:
    """What became of every array. `matched` are (theirs, ours), `kept` (ours, why)."""

    source: str
    into: str
    matched: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...] = ()  # by the map
    unused: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """For a reader: what came from where, then what did not."""
        names = [ours if theirs == ours else f"{theirs} → {ours}" for theirs, ours in self.matched]
        arrays = "array" if len(names) == 1 else "arrays"
        where = f" into {self.into}" if self.into else ""
        lines = [f"loaded {len(names)} {arrays} from {self.source}{where}: {_several(names)}"]
        if self.left_out:
            lines.append(f"  left out by the map: {_several(self.left_out)}")
        if self.unused:
            lines.append(f"  not used of the file: {_several(self.unused)}")
        if self.kept:
            kept = [f"{name} ({why})" for name, why in self.kept]
            lines.append(f"  as initialised: {_several(kept)}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _several(names: Iterable[str]) -> str:
    every = list(names)
    rest = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + rest


def load_into(
    theirs: Mapping[str, Array], ours: Mapping[str, Array], load: Load, source: str
) -> tuple[dict[str, Array], Report]:
    """New values for some of `ours`, and the report. `source` is what theirs are called."""
    target = part_of(ours, load)
    given = _their_part({_printable(n): a for n, a in theirs.items()}, load, source)
    pairs, left_out = _mapped(given, target, load, source)
    pairs |= _same_names(given, target, pairs, left_out, load)
    if not pairs:
        raise _nothing(given, target, load, source)
    _check(pairs, given, target, load, source)
    values = {
        target[name].name: given[their].array.astype(target[name].array.dtype, order="C")
        for name, their in pairs.items()
    }
    used = set(pairs.values()) | left_out
    unused = [n for n in given if n not in used]
    kept = tuple((named.name, _why(name, unused)) for name, named in target.items()
                 if name not in pairs)  # fmt: skip
    matched = tuple((given[their].name, target[name].name) for name, their in pairs.items())
    report = Report(
        source, load.into, matched, tuple(n for n in given if n in left_out), tuple(unused), kept
    )
    return values, report


def _printable(name: str) -> str:
    """A name of a stranger's file with line breaks and the like written out, fit for a message."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _why(name: str, unused: Iterable[str]) -> str:
    near = did_you_mean(name, unused).removeprefix("did you mean ").rstrip("?")
    return "no such name" + (f", the nearest is {near}" if near else "")


# ---------------------------------------------------------------- parts


@dataclass(frozen=True)
class Named:
    """An array and its whole name."""

    name: str
    array: Array


def part_of(arrays: Mapping[str, Array], load: Load) -> dict[str, Named]:
    """Ours within `into`, by their names there. Raises Failure E291."""
    found = _within(arrays, load.into)
    if not found:
        known = _parts(arrays)
        message = f"the net has no part `{load.into}` with parameters"
        top = ", ".join(f"`{p}`" for p in known if "." not in p)
        way_out = did_you_mean(load.into, known) or f"it has {top}"
        raise fail("E291", message, load.into_span or load.span, help=way_out)
    return found


def _their_part(arrays: Mapping[str, Array], load: Load, source: str) -> dict[str, Named]:
    found = _within(arrays, load.part)
    if not found:
        known = _parts(arrays)
        near = did_you_mean(load.part, known)
        top = ", ".join(f"`{p}`" for p in known if "." not in p)
        message = f"`{source}` holds no part `{load.part}`" if arrays else f"`{source}` is empty"
        raise fail("E548", message, load.source_span or load.span,
                   help=near or (f"it holds {top}" if top else ""))  # fmt: skip
    return found


def _within(arrays: Mapping[str, Array], part: str) -> dict[str, Named]:
    start = f"{part}." if part else ""
    return {n[len(start) :]: Named(n, a) for n, a in arrays.items() if n.startswith(start)}


def _parts(names: Iterable[str]) -> list[str]:
    """`a` and `a.b` of `a.b.W`."""
    found: dict[str, None] = {}
    for name in names:
        pieces = name.split(".")
        found |= dict.fromkeys(".".join(pieces[:k]) for k in range(1, len(pieces)))
    return list(found)


# ---------------------------------------------------------------- names


def _mapped(
    given: Mapping[str, Named], target: Mapping[str, Named], load: Load, source: str
) -> tuple[dict[str, str], set[str]]:
    """Ours -> theirs as the map says, and what it leaves out. The last pair that matches counts."""
    pairs: dict[str, str] = {}
    left_out: set[str] = set()
    matching: set[Rename] = set()
    effective: set[Rename] = set()
    wanted: dict[Rename, str] = {}  # a name of ours that a pair asked for in vain
    for their in given:
        last: tuple[Rename, tuple[str, ...]] | None = None
        for rename in load.renames:
            match = rename.found(their)
            if match is not None:
                last = rename, match
                matching.add(rename)
        if last is None:
            continue
        rename, match = last
        name = rename.renamed(match)
        if name is None:
            left_out.add(their)
            effective.add(rename)
        elif name not in target:
            wanted.setdefault(rename, name)
        elif name in pairs:
            message = f"`{pairs[name]}` and `{their}` would both become `{target[name].name}`"
            raise fail("E548", message, rename.span or load.span,
                       help=f"leave one of them out: `\"{their}\" = none`")  # fmt: skip
        else:
            pairs[name] = their
            effective.add(rename)
    for rename in load.renames:
        if rename not in effective:
            raise _without_effect(rename, rename in matching, wanted.get(rename), given, target,
                                  load, source)  # fmt: skip
    return pairs, left_out


def _without_effect(
    rename: Rename,
    matches: bool,
    wanted: str | None,
    given: Mapping[str, Named],
    target: Mapping[str, Named],
    load: Load,
    source: str,
) -> Exception:
    """Why a pair of the map changes nothing."""
    if wanted is not None:
        where = f"`{load.into}`" if load.into else "the net"
        message = f"{where} has no `{wanted}`, which `{rename.text}` asks for"
        near = did_you_mean(wanted, target)
        return fail("E548", message, rename.span or load.span,
                    help=near or f"there are {_quoted(target)}")  # fmt: skip
    if matches:
        message = f"`{rename.text}` has no effect: later pairs take all that it matches"
        way_out = "the last pair that matches counts: write the general ones first"
        return fail("E548", message, rename.span or load.span, help=way_out)
    message = f"`{rename.text}` has no effect: `{source}` holds no `{rename.theirs}`"
    inside = any(n.startswith(f"{rename.theirs}.") for n in given)
    if inside:
        ours = f'"{rename.ours}.*"' if rename.ours is not None else "none"
        way_out = f'for all of it write `"{rename.theirs}.*" = {ours}`'
    else:
        way_out = did_you_mean(rename.theirs, given) or f"it holds {_quoted(given)}"
    return fail("E548", message, rename.span or load.span, help=way_out)


def _quoted(names: Iterable[str]) -> str:
    return _several(f"`{n}`" for n in names)


def _same_names(
    given: Mapping[str, Named],
    target: Mapping[str, Named],
    pairs: Mapping[str, str],
    left_out: set[str],
    load: Load,
) -> dict[str, str]:
    """Ours -> theirs for what no pair of the map speaks of: equal names, or those of the one part
    of theirs that holds every name which is left."""
    touched = {n for n in given if any(r.found(n) is not None for r in load.renames)} | left_out
    free = {n: a for n, a in given.items() if n not in touched}
    open_ = {n: a for n, a in target.items() if n not in pairs}
    start = "" if set(open_) <= set(free) else _start(free, open_, load)
    return {n: start + n for n in target if n in open_ and start + n in free}


def _start(free: Mapping[str, Named], open_: Mapping[str, Named], load: Load) -> str:
    """`features.` where that part of theirs, and no other, holds all of ours."""
    found = _holding(free, open_)
    if len(found) > 1:
        fitting = [p for p in found if _fits(free, open_, p)]
        found = [p for p in fitting if p == load.into] or fitting
    return f"{found[0]}." if len(found) == 1 else ""


def _holding(free: Mapping[str, Named], open_: Mapping[str, Named]) -> list[str]:
    return [p for p in _parts(free) if open_ and all(f"{p}.{n}" in free for n in open_)]


def _fits(free: Mapping[str, Named], open_: Mapping[str, Named], part: str) -> bool:
    return all(free[f"{part}.{n}"].array.shape == a.array.shape for n, a in open_.items())


def _nothing(
    given: Mapping[str, Named], target: Mapping[str, Named], load: Load, source: str
) -> Exception:
    """E548: no name of theirs is a name of ours; what would help."""
    where = f"`{load.into}`" if load.into else "the net"
    message = (
        f"nothing of `{source}` fits: it holds {_quoted(given)}; {where} has {_quoted(target)}"
    )
    return fail("E548", message, load.span, help=_way_out(given, target, load))


def _way_out(given: Mapping[str, Named], target: Mapping[str, Named], load: Load) -> str:
    shapes = {n: a.array.shape for n, a in given.items()}
    wanted = {n: a.array.shape for n, a in target.items()}
    if is_foreign(given):
        pairs, turned = proposed(shapes, wanted)
        if pairs:
            text = ",\n      ".join(f'"{their}" = "{name}"' for their, name in pairs)
            left = len(target) - len(pairs)
            note = f"\n    ({left} of ours have no array of their shape)" if left else ""
            return f"these are names of PyTorch; by order and shape:\n    map {text}{note}"
        if turned:
            return _turned_round(*turned[0])
    several = _holding(given, target)
    if several:
        return f"several parts fit, name one: {_ways(several, load)}"
    counts = {p: sum(f"{p}.{n}" in given for n in target) for p in _parts(given)}
    best = max(counts, key=lambda p: counts[p], default="")
    if best and counts[best]:
        return f"the part `{best}` of it has {counts[best]} of our names: {_ways([best], load)}"
    inside = [p for p in _parts(target) if all(f"{p}.{n}" in target for n in given)]
    if inside:
        into = f"{load.into}.{inside[0]}" if load.into else inside[0]
        return f"all of it fits into one part: `into {into}`"
    return 'say which is which: `map "their name" = "our name"`'


def _ways(parts: Iterable[str], load: Load) -> str:
    if load.net:
        start = f"{load.net}.{load.part}." if load.part else f"{load.net}."
        return " or ".join(f"`load {start}{p}`" for p in parts)
    return " or ".join(f'`map "{p}.*" = "*"`' for p in parts)


# ---------------------------------------------------------------- shapes and element types


def _check(
    pairs: Mapping[str, str],
    given: Mapping[str, Named],
    target: Mapping[str, Named],
    load: Load,
    source: str,
) -> None:
    """Raise E549 with every array that does not fit."""
    facts: list[str] = []
    wrong: list[str] = []
    advice = ""
    for name, their in pairs.items():
        there, here = given[their], target[name]
        if there.array.shape != here.array.shape:
            facts.append(
                f"`{there.name}` is {list(there.array.shape)} in the file, "
                f"and `{here.name}` is {list(here.array.shape)} in the net"
            )
            if there.array.ndim == 2 and there.array.shape[::-1] == here.array.shape:
                advice = advice or _turned_round(their, name)
        elif there.array.dtype.kind != here.array.dtype.kind:
            facts.append(f"`{there.name}` holds {there.array.dtype}, `{here.name}` "
                         f"{here.array.dtype}")  # fmt: skip
        else:
            continue
        wrong.append(their)
    if facts:
        shown = "; ".join(facts[:6]) + (f"; and {len(facts) - 6} more" if len(facts) > 6 else "")
        raise fail("E549", f"`{source}` does not fit: {shown}", load.span,
                   help=advice or _leave_out(wrong, given))  # fmt: skip


def _turned_round(their: str, ours: str) -> str:
    return (
        f"`{their}` is turned round: it is [inputs, units], and `{ours}` is [units, inputs], as "
        "PyTorch's `Linear.weight` is too; transpose it where it is saved"
    )


def _leave_out(wrong: list[str], given: Mapping[str, Named]) -> str:
    """`map "head.*" = none`: the parts whose arrays do not fit, else the arrays."""
    patterns: dict[str, None] = {}
    for name in wrong:
        part, dot, _ = name.rpartition(".")
        inside = [n for n in given if dot and n.startswith(f"{part}.")]
        patterns[f"{part}.*" if len(inside) > 1 else name] = None
    text = ", ".join(f'"{p}" = none' for p in patterns)
    return f"leave out what is different here: `map {text}`"
