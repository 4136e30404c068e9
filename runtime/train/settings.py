"""How to learn: the lines of a `train` block that the loop obeys.

In: a `Train` declaration and what the command line overrides. Out: `Settings`, or a `Failure` with
every mistake found: E275 an unknown line, E276 a wrong argument, E277 lines that disagree. The
lines that shape the step itself (`optimizer`, `minimize`, `clip`) are the compiler's to read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...dsl import syntax as ast
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..data import Augment
from ..schedules import Cosine, Exponential, Linear, Plateau, Schedule, Step, Warmup
from .augmenting import read_augment
from .directives import Signature, Taken, call_of, checked, literal
from .load_line import read_load
from .loading import Load

DEFAULT_BATCH = 32
# Read where the step graph is built.
STEP_LINES = ("optimizer", "minimize", "clip", "checkpointing", "freeze")


@dataclass(frozen=True)
class StopEarly:
    """End when the watched number has not improved by `min_delta` for `patience` epochs."""

    patience: int = 5
    monitor: str = ""
    min_delta: float = 0.0
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Sample:
    """Show after every so many epochs, and after the last, `count` examples of what the net makes
    (None: as many as a sheet holds): of the output `of`, or of all that can be shown."""

    every: int = 5
    count: int | None = None
    of: str = ""
    span: Span | None = field(default=None, compare=False)

    def due(self, epoch: int, last: bool) -> bool:
        return last or epoch % self.every == 0


@dataclass(frozen=True)
class Settings:
    """`batch` None is the full batch; exactly one of `epochs` and `steps` is set."""

    batch: int | None = DEFAULT_BATCH
    epochs: float | None = None
    steps: int | None = None
    stop: StopEarly | None = None
    schedules: tuple[tuple[Schedule, ...], ...] = ()  # of each `schedule` line
    seed: int = 0
    threads: int | None = None
    shuffle: bool = True
    checkpoint: int = 1  # save after every so many epochs
    augment: Augment | None = None  # random changes of the pictures that training sees
    loads: tuple[Load, ...] = ()  # weights to start from, in the order written
    sample: Sample | None = None  # what to show of the net while it learns

    @property
    def plateau(self) -> Plateau | None:
        every = (s for line in self.schedules for s in line)
        return next((s for s in every if isinstance(s, Plateau)), None)


_SCHEDULES: dict[str, tuple[type[Schedule], Signature]] = {
    word: (kind, Signature(word, taken))
    for word, kind, taken in (
        ("constant", Schedule, ()),
        ("step", Step, (Taken("every", "number", low=1e-9), Taken("factor", "number", 0.1))),
        ("exponential", Exponential, (Taken("factor", "number", 0.95),)),
        ("warmup", Warmup, (Taken("epochs", "number"),)),
        ("linear", Linear, (Taken("warmup", "number", 0.0), Taken("floor", "share", 0.0))),
        ("cosine", Cosine, (Taken("warmup", "number", 0.0), Taken("floor", "share", 0.0))),
        (
            "plateau",
            Plateau,
            (
                Taken("factor", "number", 0.1),
                Taken("patience", "count", 5, low=1),
                Taken("min_delta", "number", 1e-4),
                Taken("floor", "share", 0.0),
                Taken("monitor", "word", ""),
            ),
        ),
    )
}
_STOP = Signature(
    "stop_early",
    (
        Taken("patience", "count", 5, low=1),
        Taken("monitor", "word", ""),
        Taken("min_delta", "number", 0.0),
    ),
)
_SAMPLE = Signature(
    "sample",
    (
        Taken("every", "count", 5, low=1),
        Taken("count", "count", None, low=1, high=4096),
        Taken("of", "word", ""),
    ),
)
_SINGLE = {  # lines of one value: what it is, and the setting it fills
    "epochs": Taken("epochs", "number", low=1e-9),
    "steps": Taken("steps", "count", low=1),
    "seed": Taken("seed", "count"),
    "threads": Taken("threads", "count", low=1),
    "shuffle": Taken("shuffle", "flag"),
    "checkpoint": Taken("checkpoint", "count", low=1),
}
_GROUPED = ("optimizer", "schedule")  # may be `for` some parameters
_SEVERAL = (*_GROUPED, "minimize", "load", "freeze")
KNOWN = (*STEP_LINES, *_SINGLE, "batch", "schedule", "stop_early", "augment", "sample", "load")


def read_settings(train: ast.Train, consts: Mapping[str, object] | None = None) -> Settings:
    """The settings that the lines of `train` give."""
    settings = Settings()
    seen: dict[str, ast.Directive] = {}
    wrong: Failure = Failure()
    for line in train.body:
        word = line.keyword.id
        try:
            if word in seen and word not in _SEVERAL:
                raise fail("E277", f"`{word}` is given twice", line.span,
                           labels=(Label(seen[word].span, "first given here"),),
                           help="remove one of them")  # fmt: skip
            seen.setdefault(word, line)
            settings = replace(settings, **_line(line, consts or {}, settings))
        except Failure as failure:
            wrong.diagnostics += failure.diagnostics
    if settings.epochs is not None and settings.steps is not None:
        wrong.diagnostics += fail(
            "E277", "`epochs` and `steps` both say when to end", seen["steps"].span,
            labels=(Label(seen["epochs"].span, "the other one"),), help="keep one of them",
        ).diagnostics  # fmt: skip
    if wrong.diagnostics:
        raise Failure(wrong.diagnostics)
    return settings


def with_overrides(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """What the command line or the API says goes before what the file says."""
    given = {name: value for name, value in given.items() if value is not None}
    if "epochs" in given and "steps" in given:
        raise fail("E277", "`epochs` and `steps` both say when to end", help="keep one of them")
    for word in ("epochs", "steps"):
        if word in given:
            settings = replace(settings, epochs=None, steps=None)
    for name, value in given.items():
        low = 0 if name == "seed" else 1 if name != "epochs" else 1e-9
        if value != "all" and (not math.isfinite(value) or value < low):
            raise fail("E276", f"`{name}` must be at least {low:g}, got {value:g}")
    if given.get("batch") == "all":
        given["batch"] = None
    return replace(settings, **given)


def require_end(settings: Settings, train: ast.Train) -> None:
    """Raise E278 unless something says when to end."""
    if settings.epochs is None and settings.steps is None:
        message = "nothing says how long to train"
        raise fail("E278", message, train.name.span, help="add a line such as `epochs 10`")


def _line(line: ast.Directive, consts: Mapping[str, object], before: Settings) -> dict[str, Any]:
    word = line.keyword.id
    if line.target is not None and word not in _GROUPED and word in KNOWN:
        message = f"`{word}` is for all parameters"
        raise fail("E276", message, line.target.span, help="remove `for`, which only `optimizer` "
                   "and `schedule` take")  # fmt: skip
    if word in STEP_LINES:
        return {}
    if word == "load":
        return {"loads": (*before.loads, read_load(line))}
    if word in _SINGLE:
        return {word: checked(_SINGLE[word], _only(line), consts)}
    if word == "batch":
        return {"batch": _batch(_only(line), consts)}
    if word == "schedule":
        return {"schedules": (*before.schedules, _schedules(line, consts, before))}
    if word == "augment":
        return {"augment": read_augment(line, consts)}
    if word == "stop_early":
        return {"stop": _called(line, StopEarly, _STOP, consts)}
    if word == "sample":
        return {"sample": _called(line, Sample, _SAMPLE, consts)}
    near = did_you_mean(word, KNOWN)
    shown = near or f"lines of a `train` block are {', '.join(f'`{k}`' for k in KNOWN)}"
    raise fail("E275", f"`{word}` is no line of a `train` block", line.keyword.span, help=shown)


def _only(line: ast.Directive) -> ast.Expr:
    """The one value of `epochs 5`, also written `epochs(5)`."""
    values: tuple[ast.Expr, ...] = line.arguments
    if len(values) == 1 and isinstance(values[0], ast.Call):
        name, _, arguments = call_of(values[0])
        if name == line.keyword.id:
            values = tuple(a.value for a in arguments)
    if len(values) != 1:
        word = line.keyword.id
        raise fail("E276", f"`{word}` takes one value, got {len(values)}", line.span)
    return values[0]


def _batch(expr: ast.Expr, consts: Mapping[str, object]) -> int | None:
    value = literal(expr, consts)
    if value == "all":
        return None
    if isinstance(value, str):
        message = f"`batch` is a number of examples or `all`, not `{value}`"
        raise fail("E276", message, expr.span, help="write `batch all` for the full batch")
    size: int = checked(Taken("batch", "count", low=1), expr, consts)
    return size


def _schedules(
    line: ast.Directive, consts: Mapping[str, object], before: Settings
) -> tuple[Schedule, ...]:
    if not line.arguments:
        raise fail("E276", "`schedule` needs one", line.span, help="write `schedule cosine`")
    found: list[Schedule] = []
    for expr in line.arguments:
        word, span, arguments = call_of(expr)
        if word not in _SCHEDULES:
            known = ", ".join(f"`{s}`" for s in _SCHEDULES)
            help = did_you_mean(word, _SCHEDULES) or f"schedules are {known}"
            raise fail("E276", f"no schedule is called `{word}`", span, help=help)
        kind, signature = _SCHEDULES[word]
        found.append(kind(**signature.bind(span, arguments, consts)))
    if sum(isinstance(s, Plateau) for s in found) + (before.plateau is not None) > 1:
        raise fail("E277", "`plateau` is given twice", line.span, help="remove one of them")
    return tuple(found)


def _called(
    line: ast.Directive, kind: type[Any], signature: Signature, consts: Mapping[str, object]
) -> Any:
    """A line that may stand alone, or take its settings in parentheses."""
    if not line.arguments:
        return kind(span=line.span)
    word, span, arguments = call_of(line.arguments[0], f"`{signature}`")
    if word != signature.name or len(line.arguments) > 1:
        message = f"`{signature.name}` takes its settings in parentheses"
        raise fail("E276", message, line.span, help=f"write `{signature}`")
    return kind(**signature.bind(span, arguments, consts), span=span)
