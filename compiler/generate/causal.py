"""Can the steps of a net be taken one at a time, each knowing only those before it?

In: what a net computes, elaborated for T steps and for T + 1. An axis whose size differs counts the
steps. Out: nothing, or Failure E287 at the value that mixes steps: whatever keeps that axis and
moves nothing along it is the same computed step by step; a scan may walk it forwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod

from ...dsl.diagnostics import Failure, fail
from ...dsl.source import Span
from ..elaborate.scope import LIBRARY
from ..graph import topological
from ..scans.build import pieces
from ..value import Value

_KEEP = ("elementwise", "reduction", "contraction", "assemble")
_MOVES = ("reshape", "transpose", "broadcast", "slice")
_UNKNOWN_LENGTH = "how long a text will be is not known while it is made"


def check_causal(
    longer: Value, scores: Value, feed: Value, lengths: Collection[str], places: Mapping[str, Span]
) -> list[int]:
    """Which scans walk the steps, counted in the order of the graph. `longer` is `scores` of one
    step more; `lengths` are the inputs that say how many steps there are; `places` is where layers
    were written. Raises Failure E287."""
    order, other = topological([scores]), topological([longer])
    if [v.op.name for v in order] != [v.op.name for v in other]:
        raise fail("E287", "this net is another one for texts of another length", feed.origin.span,
                   help="let nothing but the sizes of sequences depend on the length")  # fmt: skip
    try:
        walked = _Walk(dict(zip(order, other, strict=True)), feed, lengths).scans
    except _Unfit as unfit:
        raise unfit.failure(places) from None
    every = [v for v in order if v.op.family == "scan"]
    return [every.index(v) for v in walked]


class _Unfit(Exception):
    """A value that cannot be computed step by step."""

    def __init__(self, value: Value, message: str, help: str = "") -> None:
        self.value, self.message, self.help = value, message, help

    def failure(self, places: Mapping[str, Span]) -> Failure:
        """At the value, or at the line that asks for the library's layer that it is in."""
        where = self.value.origin
        span, instance = where.span, where.instance
        while span is not None and span.source.name.startswith(LIBRARY) and instance:
            span, instance = places.get(instance, span), instance.rpartition(".")[0]
        own = span is where.span
        return fail("E287", self.message, span, note=str(self.value.type) if own else "",
                    help=self.help)  # fmt: skip


class _Walk:
    def __init__(self, pairs: Mapping[Value, Value], feed: Value, lengths: Collection[str]) -> None:
        self.feed, self.lengths = feed, lengths
        self.steps = feed.shape[0]
        self.clock = str(feed.attrs["clock"])
        self.along = {v: self._axes(v, w) for v, w in pairs.items()}
        self.moving: set[Value] = set()  # depends on what is fed back
        found: list[Value] = []
        for v, w in pairs.items():
            self._length(v)
            if v is feed or any(a in self.moving for a in v.args):
                self.moving.add(v)
            if v.op.family == "scan" and v.attrs["steps"] != w.attrs["steps"]:
                self._scan(v)
                self.moving.add(v)
                found.append(v)
            else:
                self._value(v, pairs)
        self.scans = tuple(found)

    def _axes(self, v: Value, w: Value) -> tuple[int, ...]:
        """The axes that count steps."""
        if len(v.shape) != len(w.shape):
            raise _mixes(v)
        axes = tuple(k for k, (n, m) in enumerate(zip(v.shape, w.shape, strict=True)) if n != m)
        if len(axes) > 1 or any(v.shape[k] != self.steps for k in axes):
            raise _mixes(v)
        return axes

    def _scan(self, scan: Value) -> None:
        p = pieces(scan)
        if p.reverse:
            raise _Unfit(
                scan, "cannot generate with a net that reads ahead: this scan walks from the end "
                "of what is being generated",
                "leave out `reverse` there; an encoder of another input may have it",
            )  # fmt: skip
        for _, a in p.sequences:
            if self.along[a] != (0,):
                raise _mixes(a)
        for _, a in (*p.carries, *p.shared):
            if self.along[a] or a in self.moving:
                raise _mixes(a)

    def _value(self, v: Value, pairs: Mapping[Value, Value]) -> None:
        if v.op.family == "leaf":
            self._leaf(v)
            return
        if v.op.name == "positions":
            self._positions(v, pairs)
            return
        if v.op.family == "part":
            self._part(v)
            return
        if not any(self.along[a] for a in v.args):
            if v.op.family == "scan" or not self.along[v] or v.op.name == "broadcast":
                return
            raise _mixes(v)
        if len(self.along[v]) != 1:
            raise _mixes(v)
        self._kept(v)

    def _leaf(self, v: Value) -> None:
        name, kind = str(v.attrs.get("name", "")), v.op.name
        if kind == "input" and v.attrs.get("clock") == self.clock and v is not self.feed:
            raise _Unfit(
                v, f"`{name}` has the steps of `{self.feed.attrs['name']}`, and will not be known "
                "while these are generated",
                "give the length of another sequence another name: `tokens[S, k]`",
            )  # fmt: skip
        if self.along[v] and kind == "param":
            raise _Unfit(v, f"`{name}` has weights for every step: {_UNKNOWN_LENGTH}")

    def _positions(self, v: Value, pairs: Mapping[Value, Value]) -> None:
        """The numbers of the steps serve to leave out those that an example has not."""
        if not self.along[v]:
            return
        for user in pairs:
            if v in user.args and not is_step_mask(user):
                raise _mixes(user)

    def _length(self, v: Value) -> None:
        """The length may be asked for by a mask alone."""
        asked = [a for a in v.args if a.attrs.get("name", "") in self.lengths]
        if asked and not is_step_mask(v):
            raise _Unfit(v, f"this uses how long the text is: {_UNKNOWN_LENGTH}",
                         "use `mask` alone, or the length of another input")  # fmt: skip

    def _part(self, v: Value) -> None:
        scan = v.args[0]
        walked = bool(self.along[v])
        if scan in self.moving and not walked:
            raise _Unfit(
                v, "this is known when all steps are done, and cannot help to make them",
                "use what the scan yields at each step",
            )  # fmt: skip
        if walked and self.along[v] != (0,):
            raise _mixes(v)

    def _kept(self, v: Value) -> None:
        """One axis of steps goes in, one comes out: is it the same one?"""
        sources = [a for a in v.args if self.along[a]]
        if v.op.name in _MOVES:
            if v.op.name == "reshape" and not _same_place(sources[0], self.along, v):
                raise _mixes(v)
            return
        if v.op.family == "elementwise":
            behind = {len(a.shape) - self.along[a][0] for a in sources}
            if behind != {len(v.shape) - self.along[v][0]}:
                raise _mixes(v)
            return
        if v.op.name == "gather" and not self.along[v.args[0]]:
            return
        if v.op.family not in _KEEP:
            raise _mixes(v)


def is_step_mask(v: Value) -> bool:
    """Is it `positions < length`, as `mask(text)` has it?"""
    if v.op.name != "lt" or v.args[0].op.name != "positions":
        return False
    return str(v.args[1].attrs.get("name", "")).endswith(".length")


def _same_place(x: Value, along: Mapping[Value, Sequence[int]], y: Value) -> bool:
    """Do as many elements lie before and behind the steps, before and after a reshape?"""
    (p,), (q,) = along[x], along[y]
    return prod(x.shape[:p]) == prod(y.shape[:q])


def _mixes(v: Value) -> _Unfit:
    word = f"`{v.origin.name}`" if v.origin.name else "this"
    return _Unfit(v, f"cannot generate step by step: {word} needs several steps at once",
                  "carry what is needed of earlier steps in a `scan`")  # fmt: skip
