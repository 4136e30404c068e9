"""Images: channels last in memory, convolutions as products over windows.

The user's image is [channels, height, width]. Kernels want the channels side by side: a vector of
them is loaded at once, a product's columns are contiguous, and statistics of a channel are sums of
whole vectors. So every value that meets a convolution is computed with its axes in another order,
and a convolution kernel [results, channels, height, width] is stored [height, width, channels,
results], with the optimizer's states beside it. The order spreads along the graph; where something
asks for the user's order, one transposition stands at the border.

A convolution becomes what it is: a product of windows with the kernel. The windows are a view of
the padded image (strides, no copy), so no im2col matrix is ever written. By weights it is the
product of the windows with ∂L/∂y, summed over examples and places. By data it is a convolution of
∂L/∂y, padded, with the kernel turned round; with stride s, the results of each remainder modulo s
are a convolution with every s-th element of the kernel, and they are written interleaved.

In: a graph of readable operations. Out: the same mathematics without the family `convolution`;
values with another order in memory have permuted shapes, and leaves say so in `order`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

from .convolutions import (
    SPATIAL,
    TAPS,
    Remainders,
    joined,
    kernel_letters,
    padded,
    phase_results,
    product_of,
    split,
    spread,
    windows,
)
from .graph import Graph, Leaf, Output
from .op import apply, constant
from .ops.convolution import Geometry
from .padding import share_padding
from .rewrite import is_elementwise
from .types import Type
from .value import Value, origin

Order = tuple[int, ...]  # axis k of memory is axis order[k] of the user's value; () as it is


def channels_last(graph: Graph) -> Graph:
    """Lower the convolutions of a graph, and lay out what meets them."""
    if not any(v.op.family == "convolution" or _is_ordered_draw(v) for v in graph.nodes):
        return graph
    return share_padding(_Walk(graph).result())


def last(rank: int) -> Order:
    """Channels behind the spatial axes."""
    return (*range(1, rank), 0)


def kernel_order(rank: int) -> Order:
    """[results, channels, …spatial] as […spatial, channels, results]."""
    return (*range(2, rank), 1, 0)


def ordered(order: Sequence[int]) -> Order:
    """() for the order in which the axes are anyway."""
    return () if list(order) == sorted(order) else tuple(order)


class _Walk:
    """One walk over the graph. `new` has each value as it will lie in memory, `order` how."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.new: dict[Value, Value] = {}
        self.order: dict[Value, Order] = {}
        self._turned: dict[tuple[Value, Order], Value] = {}
        self._leaf_orders = _orders_of_leaves(graph)
        self._handlers: dict[str, Callable[[Value], tuple[Value, Order]]] = {
            "convolve": self._convolve,
            "convolve_transposed": self._convolve_transposed,
            "convolve_weights": self._convolve_weights,
            "one_hot": self._one_hot,
            "transpose": self._transpose,
            "reshape": self._reshape,
            "slice": self._slice,
            "broadcast": self._broadcast,
            "windows": self._windows,
            "overlap_add": self._overlap_add,
            "pad": self._pad,
            "concat": self._concat,
        }

    def result(self) -> Graph:
        for v in self.graph.nodes:
            with origin(v.origin):
                self.new[v], self.order[v] = self._lowered(v)
        outputs = tuple(self._output(o) for o in self.graph.outputs)
        leaves = {name: self._leaf_of(f) for name, f in self.graph.leaves.items()}
        return replace(self.graph, outputs=outputs, leaves=leaves)

    def _lowered(self, v: Value) -> tuple[Value, Order]:
        if v.op.family == "leaf":
            return self._leaf(v)
        handler = self._handlers.get(v.op.name)
        concerned = v.op.family == "convolution" or any(self.order[a] for a in v.args)
        if _is_ordered_draw(v):
            return self._draw(v)
        if not concerned:
            return v.on(tuple(self.new[a] for a in v.args)), ()
        if handler is not None:
            return handler(v)
        if v.op.family == "reduction":
            return self._reduction(v)
        if v.op.family == "contraction":
            return self._contraction(v)
        if is_elementwise(v.op):
            return self._elementwise(v)
        return v.on(tuple(self.plain(a) for a in v.args)), ()

    # ------------------------------------------------------------ orders

    def plain(self, v: Value) -> Value:
        """`v` in the user's order."""
        return self.turned(v, ())

    def turned(self, v: Value, order: Order) -> Value:
        """`v` in that order."""
        own = self.order[v]
        if own == order:
            return self.new[v]
        key = v, order
        if key not in self._turned:
            rank = len(v.shape)
            held, wanted = own or tuple(range(rank)), order or tuple(range(rank))
            perm = tuple(held.index(k) for k in wanted)
            self._turned[key] = _permuted(self.new[v], perm)
        return self._turned[key]

    def image(self, v: Value) -> Value:
        return self.turned(v, last(len(v.shape)))

    def _output(self, o: Output) -> Output:
        if o.kind != "update" or o.target is None:
            return replace(o, value=self.plain(o.value))
        target = self.new.get(o.target) or self._leaf(o.target)[0]
        order = self._leaf_orders.get(str(target.attrs["name"]), ())
        return replace(o, value=self.turned(o.value, order), target=target)

    def _leaf_of(self, f: Leaf) -> Leaf:
        return replace(f, value=self.new.get(f.value) or self._leaf(f.value)[0])

    # ------------------------------------------------------------ what stays what it is

    def _leaf(self, v: Value) -> tuple[Value, Order]:
        order = self._leaf_orders.get(str(v.attrs.get("name")), ())
        if not order:
            return v, ()
        t: Type = v.type.with_(shape=tuple(v.shape[k] for k in order))
        attrs = {"name": v.attrs["name"], "type": t, "order": order}
        return Value(v.op, (), attrs, t, v.origin), order

    def _draw(self, v: Value) -> tuple[Value, Order]:
        """Draws count in the order in which images lie in memory."""
        order: Order = v.attrs["order"]
        shape = tuple(v.shape[k] for k in order)
        attrs = {**v.attrs, "shape": shape, "order": ()}
        return Value(v.op, (), attrs, v.type.with_(shape=shape), v.origin), order

    def _elementwise(self, v: Value) -> tuple[Value, Order]:
        whole = [a for a in v.args if a.shape == v.shape and self.order[a]]
        if not whole:
            return v.on(tuple(self.plain(a) for a in v.args)), ()
        order = self.order[whole[0]]
        return v.with_args(tuple(self._beside(a, v, order) for a in v.args)), order

    def _beside(self, a: Value, v: Value, order: Order) -> Value:
        """An operand of v, broadcast along axes that lie in that order."""
        if len(a.shape) == len(v.shape):
            return self.turned(a, order)
        x = self.plain(a)
        if x.type.size == 1:
            return x
        shape = (1,) * (len(v.shape) - len(a.shape)) + a.shape
        return _permuted(apply("reshape", x, shape=shape), order)

    def _reduction(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        order = self.order[x]
        axes: tuple[int, ...] = v.attrs["axes"]
        places = tuple(order.index(k) for k in axes)
        if v.op.name == "argmax" and list(places) != sorted(places):
            return v.on((self.plain(x),)), ()  # its result counts the axes in the user's order
        attrs = {**v.attrs, "axes": tuple(sorted(places))}
        args = (self.new[x],)
        made = Value(v.op, args, attrs, v.op.type_of(args, attrs), v.origin)
        if v.attrs["keep"]:
            return made, order
        kept = [k for k in order if k not in axes]
        return made, ordered([sorted(kept).index(k) for k in kept])

    def _contraction(self, v: Value) -> tuple[Value, Order]:
        spec: str = v.op.spec(tuple(a.type for a in v.args), v.attrs)  # type: ignore[attr-defined]
        operands, result = spec.split("->")
        parts = [
            self._letters(a, letters)
            for a, letters in zip(v.args, operands.split(","), strict=True)
        ]
        args = [self.new[a] for a in v.args]
        return apply("einsum", *args, spec=f"{','.join(parts)}->{result}"), ()

    def _letters(self, a: Value, letters: str) -> str:
        batch, own = ("b", letters[1:]) if a.type.batched else ("", letters)
        return batch + "".join(own[k] for k in self.order[a] or range(len(own)))

    def _one_hot(self, v: Value) -> tuple[Value, Order]:
        """Classes count along the last axis, in memory as for the user."""
        (x,) = v.args
        end = len(v.shape) - 1
        order = (*(k for k in self.order[x] if k != end), end)
        return v.with_args((self.turned(x, order),)), order

    # ------------------------------------------------------------ views and pieces

    def _transpose(self, v: Value) -> tuple[Value, Order]:
        """Nothing moves: the same memory is read in another order."""
        (x,) = v.args
        perm: tuple[int, ...] = v.attrs["perm"]
        return self.new[x], ordered([perm.index(k) for k in self.order[x]])

    def _reshape(self, v: Value) -> tuple[Value, Order]:
        """Axes are split, or joined where they are neighbours; else the user's order returns."""
        (x,) = v.args
        order = _regrouped(x.shape, v.shape, self.order[x])
        if order is None:
            return v.on((self.plain(x),)), ()
        shape = tuple(v.shape[k] for k in order)
        return apply("reshape", self.new[x], shape=shape), ordered(order)

    def _slice(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        order = self.order[x]
        attrs = {k: tuple(v.attrs[k][n] for n in order) for k in ("start", "size")}
        return apply("slice", self.new[x], **attrs), order

    def _broadcast(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        order = self.order[x]
        if len(x.shape) != len(v.shape):
            return v.on((self.plain(x),)), ()
        shape = tuple(v.shape[k] for k in order)
        return apply("broadcast", self.new[x], shape=shape, batch=v.attrs["batch"]), order

    def _windows(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        order = self.order[x]
        attrs = {**v.attrs, "axes": tuple(order.index(a) for a in v.attrs["axes"])}
        inside = range(len(x.shape), len(v.shape))
        return apply("windows", self.new[x], **attrs), (*order, *inside)

    def _overlap_add(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        rank = len(v.shape)
        outside, inside = self.order[x][:rank], self.order[x][rank:]
        if sorted(outside) != list(range(rank)) or list(inside) != sorted(inside):
            return v.on((self.plain(x),)), ()
        attrs = {
            **v.attrs,
            "axes": tuple(outside.index(a) for a in v.attrs["axes"]),
            "shape": tuple(v.shape[k] for k in outside),
        }
        return apply("overlap_add", self.new[x], **attrs), ordered(outside)

    def _pad(self, v: Value) -> tuple[Value, Order]:
        (x,) = v.args
        order = self.order[x]
        attrs = {k: tuple(v.attrs[k][n] for n in order) for k in ("start", "shape")}
        return apply("pad", self.new[x], **{**v.attrs, **attrs}), order

    def _concat(self, v: Value) -> tuple[Value, Order]:
        order = next(self.order[a] for a in v.args if self.order[a])
        args = [self.turned(a, order) for a in v.args]
        return apply("concat", *args, axis=order.index(v.attrs["axis"])), order

    # ------------------------------------------------------------ convolutions

    def _convolve(self, v: Value) -> tuple[Value, Order]:
        x, w = v.args
        g = Geometry.of(v.attrs)
        seen, letters = windows(self.image(x), g, w.shape[2:], v.shape[1:])
        kernel, own = kernel_letters(self._kernel(w), g.groups)
        y = product_of(seen, letters, kernel, own, SPATIAL[: len(g.stride)] + "go", g.groups)
        order = last(len(v.shape))
        return joined(y, v, order), order

    def _convolve_weights(self, v: Value) -> tuple[Value, Order]:
        x, w = v.args
        g = Geometry.of(v.attrs)
        seen, letters = windows(self.image(x), g, v.attrs["kernel"], w.shape[1:])
        other, own = split(self.image(w), g.groups, SPATIAL[: len(g.stride)], "o")
        y = product_of(seen, letters, other, own, TAPS[: len(g.stride)] + "cgo", g.groups)
        order = kernel_order(len(v.shape))
        return joined(y, v, order), order

    def _convolve_transposed(self, v: Value) -> tuple[Value, Order]:
        x, w = v.args
        g = Geometry.of(v.attrs)
        image, stride = spread(self.image(x), g)
        order = last(len(v.shape))
        kernel = self._kernel(w)
        axes = [
            Remainders(n, k, size, before, s, d)
            for n, k, size, (before, _), s, d in zip(
                image.shape, w.shape[2:], v.attrs["size"], g.padding, stride, g.dilation,
                strict=False,
            )
        ]  # fmt: skip
        inside = padded(image, [(a.before, a.after) for a in axes])
        parts, starts = [], []
        for phases in product(*(a.phases for a in axes)):
            parts.append(phase_results(inside, kernel, phases, g.groups))
            starts.append((*(p.start for p in phases), 0))
        shape = tuple(v.shape[k] for k in order)
        if len(parts) == 1 and parts[0].shape == shape:
            return parts[0], order
        if not parts:
            zero = constant(0.0, v.type.dtype)
            return apply("broadcast", zero, shape=shape, batch=v.type.batched), order
        steps = (*stride, 1)
        return apply("interleave", *parts, shape=shape, starts=tuple(starts), steps=steps), order

    def _kernel(self, w: Value) -> Value:
        return self.turned(w, kernel_order(len(w.shape)))


# ---------------------------------------------------------------- layout


def _orders_of_leaves(graph: Graph) -> dict[str, Order]:
    """Kernels of convolutions, and the states that meet them element by element."""
    found: dict[str, Order] = {}
    seen: set[Value] = set()
    for v in graph.nodes:
        if v.op.family != "convolution":
            continue
        stack = [v if v.op.name == "convolve_weights" else v.args[1]]
        while stack:
            w = stack.pop()
            if w in seen:
                continue
            seen.add(w)
            if w.op.name in ("param", "state"):
                found[str(w.attrs["name"])] = kernel_order(len(w.shape))
            near = [u for u, _ in graph.users[w] if _follows(u)]
            near += w.args if _follows(w) else []
            stack += [n for n in near if n.shape == w.shape and n.type.batched <= w.type.batched]
    return found


def _is_ordered_draw(v: Value) -> bool:
    return v.op.family != "leaf" and bool(v.attrs.get("order"))


def _follows(v: Value) -> bool:
    return (is_elementwise(v.op) and v.op.name != "one_hot") or (
        v.op.family == "reduction" and not v.attrs["axes"]
    )


def _permuted(x: Value, perm: tuple[int, ...]) -> Value:
    """x with its axes in that order; nothing moves if all but one have size 1 or keep order."""
    shape = tuple(x.shape[k] for k in perm)
    moving = [k for k in perm if x.shape[k] != 1]
    if moving == sorted(moving):
        return apply("reshape", x, shape=shape) if shape != x.shape else x
    return apply("transpose", x, perm=perm)


def _regrouped(old: tuple[int, ...], new: tuple[int, ...], order: Order) -> list[int] | None:
    """The order of a reshaped value whose memory stays as it is; None if it cannot."""
    groups = _groups(old, new)
    of = {k: n for n, (axes, _) in enumerate(groups) for k in axes}
    moving = [k for k in order if old[k] != 1]
    result: list[int] = []
    while moving:
        axes, into = groups[of[moving[0]]]
        if moving[: len(axes)] != axes:
            return None
        result += into
        moving = moving[len(axes) :]
    return result if groups else list(range(len(new)))


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The fewest axes of both shapes that have as many elements, in order. Axes of one element are
    left out on the old side; on the new side they go with what stands before them."""
    left = [k for k, n in enumerate(old) if n != 1]
    right = [k for k, n in enumerate(new) if n != 1]
    found: list[tuple[list[int], list[int]]] = []
    while left:
        axes: list[int] = [left.pop(0)]
        into: list[int] = [right.pop(0)]
        m, n = old[axes[0]], new[into[0]]
        while m != n:
            if m < n:
                axes.append(left.pop(0))
                m *= old[axes[-1]]
            else:
                into.append(right.pop(0))
                n *= new[into[-1]]
        found.append((axes, into))
    for k, n in enumerate(new):
        if n == 1 and found:
            before = [g for g in found if g[1][0] < k]
            (before or found)[-1 if before else 0][1].append(k)
    for _, into in found:
        into.sort()
    return found
