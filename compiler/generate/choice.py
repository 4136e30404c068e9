"""What a net that generates feeds back to itself: which input, and which output are its scores.

In: the forward graph of a net. Out: the input of tokens, and the output whose classes are the
tokens of the next step. Raises Failure E286 where there is none, or more than one and no choice
was made (`feed`, `scores`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...dsl import syntax as s
from ...dsl.diagnostics import Failure, did_you_mean, fail
from ...dsl.source import Span
from ..elaborate import Module
from ..graph import Graph, Leaf, Output, topological

EXAMPLE = "`input text: tokens[T, k]` and `output scores`, [T, k]"


@dataclass(frozen=True)
class Loop:
    """`feed` takes at a step what was chosen by `scores` at the step before."""

    feed: Leaf
    scores: Output

    @property
    def clock(self) -> str:
        return str(self.feed.value.attrs["clock"])

    def within(self, graph: Graph) -> Loop:
        """The same input and output of the same net, elaborated for other sizes."""
        outputs = {o.name: o for o in graph.of_kind("output")}
        return Loop(graph.leaves[self.feed.name], outputs[self.scores.name])


def find_loop(
    graph: Graph,
    longer: Callable[[str], Graph],
    feed: str = "",
    scores: str = "",
    span: Span | None = None,
) -> Loop:
    """The only pair that fits, among those called so. `longer` gives the net with one step more of
    a clock: sequences that happen to be equally long are told apart by it. Raises Failure E286."""
    inputs = {leaf.name: leaf for leaf in graph.inputs}
    outputs = {o.name: o for o in graph.of_kind("output")}
    _check_name("input", feed, inputs, span)
    _check_name("output", scores, outputs, span)
    used = set(topological(o.value for o in outputs.values()))
    tokens = [leaf for leaf in inputs.values() if _is_tokens(leaf) and leaf.value in used
              and feed in ("", leaf.name)]  # fmt: skip
    found = [
        Loop(leaf, o) for o in outputs.values() if scores in ("", o.name)
        for leaf in tokens if _fits(leaf, o)
    ]  # fmt: skip
    clocks = {x.clock for x in found}
    if len(clocks) > 1:
        walks = {(c, o.name): o.value.shape for c in clocks for o in longer(c).of_kind("output")}
        found = [x for x in found if walks[x.clock, x.scores.name] != x.scores.value.shape]
    if len(found) == 1:
        return found[0]
    raise _several(graph, found, span) if found else _none(graph, tokens, feed, scores, span)


def _is_tokens(leaf: Leaf) -> bool:
    t = leaf.value.type
    return t.classes is not None and len(t.shape) == 1 and bool(leaf.value.attrs.get("clock"))


def _fits(leaf: Leaf, o: Output) -> bool:
    t = leaf.value.type
    same = o.value.type.is_float and o.value.shape == (*t.shape, t.classes)
    return same and leaf.value in topological([o.value])


def _check_name(kind: str, name: str, known: Iterable[str], span: Span | None) -> None:
    if not name or name in known:
        return
    shown = ", ".join(f"`{n}`" for n in known) or "none"
    message = f"the net has no {kind} `{name}` to generate with"
    raise fail("E286", message, span, help=did_you_mean(name, known) or f"it has {shown}")


def _several(graph: Graph, found: list[Loop], span: Span | None) -> Failure:
    inputs = list(dict.fromkeys(x.feed.name for x in found))
    outputs = list(dict.fromkeys(x.scores.name for x in found))
    word, names = ("feed", inputs) if len(inputs) > 1 else ("scores", outputs)
    shown = " or ".join(f"`{n}`" for n in names)
    what = "input is fed back" if word == "feed" else "output says what comes next"
    return fail(
        "E286", f"`{graph.name}` could generate in several ways: which {what}, {shown}?",
        span, help=f"say it in the `generate` block: `{word} {names[0]}`",
    )  # fmt: skip


def _none(graph: Graph, tokens: list[Leaf], feed: str, scores: str, span: Span | None) -> Failure:
    if not tokens:
        what = f"its input `{feed}` is no sequence of tokens" if feed else "no input is a sequence"
        return fail(
            "E286", f"`{graph.name}` cannot generate: {what} whose length the data decide",
            span, help=f"a net that generates has {EXAMPLE}",
        )  # fmt: skip
    sizes = dict.fromkeys(f"[{x.value.shape[0]}, {x.value.type.classes}]" for x in tokens)
    shown = " or ".join(sizes)
    fed = " or ".join(f"`{x.name}`" for x in tokens)
    what = f"its output `{scores}` is not {shown}" if scores else f"no output is {shown}"
    return fail(
        "E286", f"`{graph.name}` cannot generate: {what}, the scores of what comes after each "
        f"step of {fed}", span, help=f"give the scores of every step away: {EXAMPLE}",
    )  # fmt: skip


def generated_net(module: Module, declared: s.Generate) -> str:
    """The name of the net that a `generate` declaration is about. Raises Failure E210, E288."""
    if not isinstance(declared.net, s.Name):
        raise fail(
            "E288", "`generate` is from a net, by its name", declared.net.span,
            help=f"write `generate {declared.name.id} from net`: its settings are those that it "
            "was trained with",
        )  # fmt: skip
    name = declared.net.id
    if name not in module.nets:
        raise fail("E210", f"there is no net `{name}`", declared.net.span,
                   help=did_you_mean(name, module.nets))  # fmt: skip
    return name
