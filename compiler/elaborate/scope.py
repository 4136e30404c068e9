"""What a name can mean while a block is being elaborated, and the scopes that hold the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic, Failure
from ...dsl.source import Span
from ..graph import Leaf, Output
from ..minimize import matches
from ..value import Value
from .limits import MAX_MISTAKES, Budget, OutOfWork

if TYPE_CHECKING:
    from .module import Module
    from .recurrence import Recurring
    from .unfinished import Unfinished


LIBRARY = "<chainrule>"  # how the names of the standard library's sources begin


@dataclass(frozen=True)
class BlockRef:
    """A block by name, not yet given settings: `relu`."""

    block: s.Block
    library: bool  # from the standard library: its lines are not the user's


@dataclass
class Layer:
    """An instance of a block with its settings: `dense(128)`. Its parameters are made when it is
    first applied, because that fixes their sizes; applying it again shares them."""

    ref: BlockRef
    settings: dict[str, Meaning]
    path: str
    span: Span
    sizes: dict[str, int] = field(default_factory=dict)
    names: dict[str, Meaning] = field(default_factory=dict)  # params, states, inner layers
    inner: list[Layer] = field(default_factory=list)  # made by the body, in order
    applied_at: Span | None = None


@dataclass(frozen=True)
class Record:
    """Several named outputs of one application: `encoder(x).mean`."""

    fields: Mapping[str, Value]


@dataclass(frozen=True)
class Function:
    """A word of the language that is neither block nor operation: `mean`, `grad`."""

    name: str


class Poison:
    """What a name means after the statement that should define it failed: using it is not a second
    mistake, so it is not reported."""


class Poisoned(Exception):
    """A poisoned name was used; the statement gives up silently."""


POISON = Poison()

Meaning = (
    int
    | float
    | bool
    | str
    | tuple["Meaning", ...]
    | Value
    | Layer
    | BlockRef
    | Record
    | Function
    | Poison
)


class Named(dict[str, Meaning]):
    """Arguments by name, and where each of them was written."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Span] = {}

    def split(self, words: Collection[str]) -> tuple[Named, Named]:
        """Those called so, and the rest."""
        chosen, rest = Named(), Named()
        for name, meaning in self.items():
            part = chosen if name in words else rest
            part[name] = meaning
            part.places[name] = self.places[name]
        return chosen, rest


def written_at(named: Mapping[str, Meaning], name: str, otherwise: Span) -> Span:
    """Where an argument stands, if that is known."""
    return named.places.get(name, otherwise) if isinstance(named, Named) else otherwise


@dataclass
class Collected:
    """What the whole net gathers while its blocks run."""

    module: Module
    training: bool
    dtype: str
    leaves: dict[str, Leaf] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    streams: int = 0
    instances: dict[str, int] = field(default_factory=dict)  # path: instances called so
    places: dict[str, Span] = field(default_factory=dict)  # path: where the instance was written
    budget: Budget = field(default_factory=Budget)
    words: dict[int, frozenset[str]] = field(default_factory=dict)  # of each block, by identity
    initialising: bool = False  # an initial value is being made: no batch, no parameters
    recurrences: list[Recurring] = field(default_factory=list)  # scans whose bodies are running
    frozen: tuple[str, ...] = ()  # patterns of instances and parameters that learn nothing

    def next_stream(self) -> int:
        """The number of a source of random draws: each draw in the file has its own."""
        self.streams += 1
        return self.streams


@dataclass
class Scope:
    """Names of one block instance. Turns of `repeat` and branches of `when` share it."""

    net: Collected
    path: str  # of the instance, "" for the net
    block: str  # name of the block
    names: dict[str, Meaning]
    sizes: dict[str, int]
    library: bool = False
    layer: Layer | None = None
    defined: dict[str, Span] = field(default_factory=dict)
    turn: int = 0  # in a new turn of `repeat` a name may be bound again
    bound_in: dict[str, int] = field(default_factory=dict)
    target: str = ""  # name of the equation being evaluated
    depth: int = 0  # of block instances
    layers_made: int = 0  # in this application, so that the next one finds them again
    results: dict[str, Value] = field(default_factory=dict)
    given_at: dict[str, Span] = field(default_factory=dict)  # of the results
    # The guarded statements just above: what each is about, and whether it was run.
    chain: list[tuple[frozenset[str], bool]] = field(default_factory=list)
    skipped: dict[str, Span] = field(default_factory=dict)  # names whose condition did not hold
    of_steps: dict[str, Span] = field(default_factory=dict)  # names inside the scans above
    recurrence: Recurring | None = None  # the scan whose body this is

    @property
    def training(self) -> bool:
        """Does this instance run as in training? What is frozen runs as in use."""
        return self.net.training and not self.is_frozen(self.path)

    def is_frozen(self, path: str) -> bool:
        """Is an instance or a parameter frozen by a line of `train`?"""
        return any(matches(path, w) or path == w.removesuffix(".*") for w in self.net.frozen)

    def lookup(self, name: str) -> Meaning | None:
        if name in self.names:
            return self.names[name]
        if name in self.sizes:
            return self.sizes[name]
        return self.net.module.lookup(name, self.library)

    def known(self) -> Iterator[str]:
        """Every name that could have been meant here."""
        yield from self.names
        yield from self.sizes
        yield from self.net.module.known()

    def instance_path(self, word: str) -> str:
        """A path for a new instance, unique in the net: `hidden`, `hidden_2`, …"""
        base = f"{self.path}.{word}" if self.path else word
        taken = self.net.instances
        path = base
        while path in taken:
            taken[base] += 1
            path = f"{base}_{taken[base]}"
        taken[path] = 1
        return path

    def report(self, failure: Failure) -> None:
        self.net.diagnostics.extend(failure.diagnostics)
        if len(self.net.diagnostics) >= MAX_MISTAKES:
            raise OutOfWork
