"""Values: the nodes of every graph, immutable and shared between stages.

A `Value` is the result of one operation on other values. Building a new graph from an old one keeps
every value that did not change, so a pass costs what it changes. Arithmetic on values builds
values, which lets derivatives be written as formulas. `Origin` remembers where a value comes from:
the place in the source, the block instance, the user's name for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..dsl.source import Span
from .types import Type

if TYPE_CHECKING:
    from .op import Op


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    `instance` is the path of the block instance (`encoder.dense_2`, "" at the top), `block` the
    name of the block it instantiates, `name` the user's own name of the value, `role` "forward",
    "backward" or "update", `of` the forward value whose derivative rule made this one. `paths` are
    the names that equations gave it, each with the instance of the equation: `encoder.h`.
    """

    span: Span | None = None
    instance: str = ""
    block: str = ""
    name: str = ""
    role: str = "forward"
    of: Value | None = None
    paths: tuple[str, ...] = ()


_NOWHERE = Origin()
_ORIGIN: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def current_origin() -> Origin:
    return _ORIGIN.get()


@contextmanager
def origin(value: Origin) -> Iterator[None]:
    """Every value built inside comes from there."""
    token = _ORIGIN.set(value)
    try:
        yield
    finally:
        _ORIGIN.reset(token)


class Value:
    """The result of `op` on `args`. Compared and hashed by identity; never changed.

    `attrs` are the operation's compile-time arguments (axes, shapes, names): str -> hashable.
    """

    __slots__ = ("args", "attrs", "op", "origin", "type")

    def __init__(
        self,
        op: Op,
        args: tuple[Value, ...],
        attrs: Mapping[str, Any],
        type: Type,
        origin: Origin,
    ) -> None:
        self.op, self.args, self.attrs, self.type, self.origin = op, args, attrs, type, origin

    def __repr__(self) -> str:
        name = f" {self.origin.name}" if self.origin.name else ""
        return f"<{self.op.name}{name} {self.type}{' per example' if self.type.batched else ''}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def is_constant(self) -> bool:
        return self.op.name == "constant"

    def named(self, name: str, path: str = "") -> Value:
        """The same value under a user's name; `path` is the name with its instance."""
        paths = (*self.origin.paths, path) if path else self.origin.paths
        where = replace(self.origin, name=name, paths=paths)
        return Value(self.op, self.args, self.attrs, self.type, where)

    def with_args(self, args: tuple[Value, ...]) -> Value:
        """The same operation on other operands; its type is inferred anew."""
        return Value(self.op, args, self.attrs, self.op.type_of(args, self.attrs), self.origin)

    def on(self, args: tuple[Value, ...]) -> Value:
        """The same operation on other operands of the same types."""
        if all(a is b for a, b in zip(args, self.args, strict=True)):
            return self
        return Value(self.op, args, self.attrs, self.type, self.origin)

    def key(self) -> tuple[Any, ...]:
        """Equal for two values that compute the same from the same operands."""
        attrs = tuple(sorted(self.attrs.items())) if self.attrs else ()
        return (self.op.name, *map(id, self.args), attrs, self.type.dtype)

    # Arithmetic builds graph nodes, so that a derivative reads like its formula.
    def __add__(self, other: Value | float) -> Value:
        return _call("add", self, other)

    def __radd__(self, other: float) -> Value:
        return _call("add", other, self)

    def __sub__(self, other: Value | float) -> Value:
        return _call("sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return _call("sub", other, self)

    def __mul__(self, other: Value | float) -> Value:
        return _call("mul", self, other)

    def __rmul__(self, other: float) -> Value:
        return _call("mul", other, self)

    def __truediv__(self, other: Value | float) -> Value:
        return _call("div", self, other)

    def __rtruediv__(self, other: float) -> Value:
        return _call("div", other, self)

    def __pow__(self, other: Value | float) -> Value:
        return _call("pow", self, other)

    def __rpow__(self, other: float) -> Value:
        return _call("pow", other, self)

    def __matmul__(self, other: Value) -> Value:
        return _call("matmul", self, other)

    def __neg__(self) -> Value:
        return _call("neg", self)


def _call(name: str, *args: Value | float) -> Value:
    from .op import apply  # op.py needs Value; the operators need the registry

    return apply(name, *args)
