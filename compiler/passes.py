"""The passes between elaboration and the plan: each takes a graph and gives a graph.

    stabilise   before differentiation: forms that neither overflow nor take log 0
    optimise    share equal expressions, simplify by the rules (constants, algebra, textbook forms)
    lower       read slopes from results, lay images out channels last, contract products and
                convolutions to einsums, choose the layout of matrices

Every pass is verified before and after, and an observer sees what it changed. Values that nothing
needs any more vanish by themselves: a graph is what its outputs reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..dsl.collector import without_collector
from .channels import channels_last
from .contract import contract
from .graph import Graph
from .layout import layout
from .lookups import looked_up
from .masks import slopes_from_results
from .partial import within_examples
from .rewrite import Trace, rewritten
from .scans.build import within_bodies
from .scans.frames import framed
from .scans.tidy import tidy
from .verify import Verifier

Observer = Callable[["Pass", Graph, Graph], None]


@dataclass(frozen=True)
class Pass:
    """A named change of a graph."""

    name: str
    purpose: str
    run: Callable[[Graph, Trace | None], Graph]


STABILISE = Pass(
    "stabilise",
    "forms that neither overflow nor take the logarithm of 0",
    lambda graph, trace: rewritten(graph, "stabilise", trace),
)
SIMPLIFY = Pass(
    "simplify",
    "equal expressions are one node, and every rule is applied to a fixed point",
    lambda graph, trace: rewritten(graph, "simplify", trace),
)
TIDY = Pass(
    "scans",
    "scans that walk alike are one, and carry, keep and yield only what is asked for",
    lambda graph, trace: tidy(graph),
)
SCANS = Pass(
    "sequences",
    "what is not recurrent is done for all steps at once, step after step in memory",
    lambda graph, trace: framed(graph),
)
LOOKUPS = Pass(
    "lookups",
    "products with the one-hot vectors of all steps are rows of the matrix",
    lambda graph, trace: looked_up(graph),
)
MASKS = Pass(
    "masks",
    "the slope of a ReLU is read from its result",
    lambda graph, trace: slopes_from_results(within_bodies(graph, slopes_from_results)),
)
CHANNELS = Pass(
    "channels",
    "images lie channels last, and convolutions become products over windows",
    lambda graph, trace: channels_last(within_bodies(graph, channels_last)),
)
CONTRACT = Pass(
    "contract",
    "products, with their transpositions and sums over the batch, become einsums",
    lambda graph, trace: contract(within_bodies(graph, contract)),
)
LAYOUT = Pass(
    "layout",
    "matrices are stored the way round in which most products read them in rows",
    lambda graph, trace: layout(graph),
)
PARTIAL = Pass(
    "partial",
    "long sums over the batch are made within each example first",
    lambda graph, trace: within_examples(graph),
)
OPTIMISE = (TIDY, SIMPLIFY, TIDY)
LOWER = (SCANS, LOOKUPS, MASKS, CHANNELS, CONTRACT, LAYOUT, PARTIAL)


def run_passes(
    graph: Graph,
    passes: Sequence[Pass],
    trace: Trace | None = None,
    observer: Observer | None = None,
) -> Graph:
    """Run passes in order, verifying what each has changed. Raises Broken."""
    verifier = Verifier()
    with without_collector():
        verifier.check(graph)
        for one in passes:
            before, graph = graph, one.run(graph, trace)
            if graph is not before:
                verifier.check(graph, one.name)
            if observer is not None:
                observer(one, before, graph)
    return graph


def stabilise(graph: Graph, trace: Trace | None = None, observer: Observer | None = None) -> Graph:
    """To be done before differentiation."""
    return run_passes(graph, (STABILISE,), trace, observer)


def simplify(graph: Graph, trace: Trace | None = None) -> Graph:
    """Apply every rule to a fixed point; `trace` records each application."""
    return run_passes(graph, (SIMPLIFY,), trace)


def optimise(
    graph: Graph,
    target: str = "cpu",
    trace: Trace | None = None,
    observer: Observer | None = None,
) -> Graph:
    """Passes that keep the mathematics readable; the same for every target so far."""
    return run_passes(graph, OPTIMISE, trace, observer)


def lower(graph: Graph, observer: Observer | None = None) -> Graph:
    """Passes that prepare kernels. The result has leaves with an `order` in their attrs."""
    return run_passes(graph, LOWER, None, observer)
