"""Lines of `train` for a group of parameters: do they change anything?

In: the forward graph, a `train` declaration. Out: nothing, or a `Failure` E292 with every line of
`optimizer … for head.*` or `schedule … for head.*` that no parameter obeys.
"""

from __future__ import annotations

from ..dsl import syntax as s
from ..dsl.diagnostics import Failure, Label, did_you_mean, fail
from ..dsl.source import Span
from .graph import Graph
from .minimize import grouped, matches


def check_groups(graph: Graph, train: s.Train) -> None:
    """Raise E292 for lines that mean no parameter, and for those whose parameters all obey a later
    line."""
    wrong = Failure()
    for word in ("optimizer", "schedule"):
        lines = grouped(train, word)
        for number, (pattern, span) in enumerate(lines):
            meant = {p.name for p in graph.params if matches(p.name, pattern)}
            later = [(p, place) for p, place in lines[number + 1 :]
                     if any(matches(name, p) for name in meant)]  # fmt: skip
            if not meant and graph.params:
                wrong.diagnostics += _nothing(graph, word, pattern, span).diagnostics
            elif _covered(meant, pattern, [p for p, _ in later]):
                wrong.diagnostics += fail(
                    "E292",
                    f"this `{word}` changes nothing: lines below it are for the same parameters",
                    span,
                    labels=tuple(Label(place, "the last line that matches counts")
                                 for _, place in later[-1:]),
                    help="write what is for all parameters first, what is for some after it",
                ).diagnostics  # fmt: skip
    if wrong.diagnostics:
        raise wrong


def _covered(meant: set[str], pattern: str, later: list[str]) -> bool:
    """Do later lines take every parameter? What is for all may be a default that nothing needs."""
    if pattern == "*":
        return "*" in later
    return bool(meant) and all(any(matches(n, p) for p in later) for n in meant)


def _nothing(graph: Graph, word: str, pattern: str, span: Span) -> Failure:
    parts = {p.name.rpartition(".")[0] for p in graph.params} - {""}
    layers = sorted(parts | {part.partition(".")[0] for part in parts})
    near = did_you_mean(pattern.removesuffix(".*"), [*layers, *(p.name for p in graph.params)])
    message = f"this `{word}` is for `{pattern}`, and no parameter belongs to it"
    known = ", ".join(f"`{n}`" for n in layers)
    return fail("E292", message, span, help=near or f"the layers with parameters are {known}")
