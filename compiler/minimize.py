"""What a `train` declaration asks of a step: optimizers, clipping, losses, recomputation.

In: the lines of `train` that shape the step. Out: a `Minimize` for each step. What they mean for a
graph is left to `step`; the lines that the training loop obeys are read by the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..dsl import syntax as s
from ..dsl.diagnostics import fail
from ..dsl.source import Span


@dataclass(frozen=True)
class Clip:
    """Gradient clipping: every element to ±`value`, and the norm of all gradients to `norm`."""

    norm: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class Rule:
    """An optimizer with its settings, for the parameters whose name matches `pattern`."""

    optimizer: s.Expr  # Name or Call
    pattern: str = "*"


@dataclass(frozen=True)
class Minimize:
    """One step: which loss, over which parameters, by which rules (the last that matches)."""

    rules: tuple[Rule, ...]
    loss: str | None = None
    over: tuple[str, ...] = ("*",)
    clip: Clip | None = None
    schedules: tuple[str, ...] = ()  # whose `lr` each line multiplies, by the scalar `rate_of` it
    span: Span | None = None
    places: tuple[Span | None, ...] = (None,)  # where each of `over` was written
    freezes: tuple[s.Expr, ...] = ()  # what `freeze` names in the same `train`
    checkpointing: int | None = None  # see Graph.checkpointing
    repeated: Span | None = None  # where the number of turns is written


def matches(name: str, pattern: str) -> bool:
    """Is a parameter meant by a pattern? `head.*` and `head` both mean all that is in `head`."""
    return fnmatchcase(name, pattern) or name.startswith(pattern + ".")


def rate_of(line: int) -> str:
    """The runtime scalar that the `schedule` line of that number, from 0, sets for each step."""
    return f"rate_{line + 1}" if line else "rate"


def grouped(train: s.Train, word: str) -> list[tuple[str, Span]]:
    """Which parameters each line that begins with `word` is for, and where that is written."""
    return [
        (d.target.span.text, d.target.span) if d.target is not None else ("*", d.span)
        for d in train.body
        if d.keyword.id == word
    ]


def minimized(train: s.Train) -> tuple[tuple[Minimize, int], ...]:
    """What a `train` declaration asks for: steps in the order written, each with its turns.

    Raises Failure E264 where there is no optimizer, E266 for a wrong `clip` or `checkpointing`.
    """
    rules: list[Rule] = []
    clip: Clip | None = None
    checkpointing: int | None = None
    schedules = tuple(pattern for pattern, _ in grouped(train, "schedule"))
    asked: list[s.Minimize] = []
    freezes = frozen_by(train)
    for d in train.body:
        if isinstance(d, s.Minimize):
            asked.append(d)
        elif d.keyword.id == "optimizer" and d.arguments:
            pattern = d.target.span.text if d.target is not None else "*"
            rules.append(Rule(d.arguments[0], pattern))
        elif d.keyword.id == "clip":
            clip = _clip(d)
        elif d.keyword.id == "checkpointing":
            checkpointing = _checkpointing(d)
    if not asked:
        if not rules:
            raise fail(
                "E264",
                f"`train {train.name.id}` names no optimizer",
                train.name.span,
                help="add a line `optimizer adam(lr = 1e-3)`",
            )
        place = train.name.span
        one = Minimize(
            tuple(rules), None, ("*",), clip, schedules, place, (None,), freezes, checkpointing
        )
        return ((one, 1),)
    steps = []
    for m in asked:
        own = (*rules, Rule(m.optimizer)) if m.optimizer is not None else tuple(rules)
        over = tuple(e.span.text for e in m.over) or ("*",)
        turns = _turns(m)
        loss = m.loss.id if m.loss else None
        place = m.loss.span if m.loss else m.span
        places = tuple(e.span for e in m.over) or (None,)
        one = Minimize(
            own, loss, over, clip, schedules, place, places, freezes, checkpointing,
            m.turns.span if m.turns is not None else None,
        )  # fmt: skip
        steps.append((one, turns))
    return tuple(steps)


def frozen_by(train: s.Train) -> tuple[s.Expr, ...]:
    """What the lines `freeze features, head.dense_1` name. Raises Failure E266."""
    named: list[s.Expr] = []
    for d in train.body:
        if d.keyword.id != "freeze":
            continue
        items = tuple(a.value for a in d.called.arguments) if d.called else d.arguments
        if not items:
            raise fail("E266", "`freeze` needs a layer", d.span, help="write `freeze features`")
        for e in items:
            if not isinstance(e, s.Name | s.Attribute):
                raise fail("E266", f"`freeze` takes names of layers, and `{e.span.text}` is none",
                           e.span, help="write `freeze features, head.dense_1`")  # fmt: skip
        named += items
    return tuple(named)


def _turns(m: s.Minimize) -> int:
    if m.turns is None:
        return 1
    value = m.turns.value if isinstance(m.turns, s.Number) else None
    if not isinstance(value, int) or value < 1:
        raise fail(
            "E266",
            "`repeat` takes a whole number from 1",
            m.turns.span,
            help="write `repeat 5 minimize …`",
        )
    return value


def _checkpointing(d: s.Directive) -> int:
    """`checkpointing auto` or a number of segments; also written as a call."""
    values: tuple[s.Expr, ...] = d.arguments
    if len(values) == 1 and isinstance(values[0], s.Call):
        values = tuple(a.value for a in values[0].arguments)
    if len(values) == 1:
        (given,) = values
        if isinstance(given, s.Name) and given.id == "auto":
            return 0
        if isinstance(given, s.Number) and isinstance(given.value, int) and given.value >= 2:
            return given.value
    raise fail(
        "E266",
        "`checkpointing` takes `auto` or a number of segments from 2",
        values[0].span if values else d.span,
        help="write `checkpointing auto`",
    )


def _clip(d: s.Directive) -> Clip:
    """`clip 1.0` (norm), `clip(norm = 1.0)`, `clip(value = 0.5)`."""
    given: dict[str, float] = {}
    for e in d.arguments:
        pairs: list[tuple[str, s.Expr, Span]] = (
            [(a.name or "norm", a.value, a.span) for a in e.arguments]
            if isinstance(e, s.Call)
            else [("norm", e, e.span)]
        )
        for name, value, span in pairs:
            if name not in ("norm", "value") or not isinstance(value, s.Number) or value.value <= 0:
                raise fail(
                    "E266",
                    "`clip` takes `norm` or `value`, a number above 0",
                    span,
                    help="`clip 1.0` or `clip(value = 0.5)`",
                )
            given[name] = float(value.value)
    if not given:
        raise fail("E266", "`clip` needs a limit", d.span, help="`clip 1.0`")
    return Clip(given.get("norm"), given.get("value"))
