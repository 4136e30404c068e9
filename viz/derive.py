"""The derivation of every parameter's gradient, as data that the writers print.

In: a forward graph (before simplification) and a loss. Out: `Derivation`: the equations given,
the local derivative of each, then for each δ and each parameter the chain of partial
derivatives, every simplification with its name and reason, and the closed form. If the caller
can evaluate graphs, the closed forms are compared with the gradient the compiler makes, and the
greatest relative difference is part of the result (`derive_check`), as the shapes are
(`derive_shapes`). Text, Markdown, LaTeX and HTML are left to `derive_text`, `derive_markdown`,
`derive_latex` and `derive_html`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ..compiler.graph import Graph, Output
from ..compiler.value import Value
from ..dsl.diagnostics import did_you_mean, fail
from . import terms as t
from .backprop import Backprop, Derivative, backprop
from .derivation import Derivation, Fact, Passage, Rewrite
from .derive_check import Evaluate, Nudge, barred, difference, numbers, slopes
from .derive_remarks import remarks
from .derive_shapes import products, shapes
from .derive_steps import chains_of, given_steps, local_steps, passages, result_fact
from .draws import distribution, drawn
from .equations import equations, is_bar
from .formula import formulas, right_hand_side
from .geometry import described
from .indices import elements
from .local import local_derivatives
from .names import Names, names
from .terms import Term
from .unicode import unicode, unicode_name
from .wholes import Inner

PATHS, FACTORS = 6, 48  # beyond, a chain is written by its last step only
SEVERAL = 16  # factors of several paths together

# Rules that tidy up and teach nothing: their effect is in the next line.
TIDYING = frozenset({
    "moving equal numbers", "one view of another", "differentiation is over",
    "the whole is no part", "the only element", "a part that is the whole",
    "an operation on the only element",
})  # fmt: skip


def derive(
    graph: Graph,
    loss: str | None = None,
    params: Iterable[str] | None = None,
    *,
    index: bool = False,
    check: Evaluate | None = None,
    nudge: Nudge | None = None,
    title: str = "",
) -> Derivation:
    """Derive the gradients of the parameters named (all trainable ones unless told otherwise);
    `title` says which line of `train` that belongs to. With `check` the closed forms are compared
    with the compiler's gradients, with `nudge` also with finite differences."""
    output = _loss(graph, loss)
    found = equations(graph, [output])
    output = _loss(found.graph, loss)
    chosen = _chosen(found.graph, params)
    textbook = names(found).textbook
    called = names(found, batch=textbook)
    b = backprop(found, called, output, chosen, batch=textbook)
    facts = tuple(Fact(e.left, e.right) for e in elements(b)) if index else ()
    told = tuple(_passages(b))
    found_numbers = numbers(b, graph, output, check) if check is not None else {}
    moved = nudge if found_numbers else None
    return Derivation(
        graph.name,
        textbook,
        tuple(_given(b, called)),
        tuple(_local(b)),
        told,
        facts,
        difference(b, found_numbers) if check is not None else None,
        output.value.type.batched,
        title,
        tuple(remarks(b)),
        tuple(shapes(b)),
        tuple(products(b, told)),
        slopes(b, graph, output, found_numbers, moved) if moved is not None else (),
        barred(b),
    )


def _loss(graph: Graph, name: str | None) -> Output:
    losses = graph.of_kind("loss")
    if not losses:
        raise fail("E564", f"`{graph.name}` has no loss, so there is nothing to derive",
                   help="add a line `loss …` to the net")  # fmt: skip
    known = [o.name for o in losses]
    if name is not None and name not in known:
        hint = did_you_mean(name, known) or f"losses: {', '.join(known)}"
        raise fail("E564", f"`{graph.name}` has no loss `{name}`", help=hint)
    return graph.loss(name)


def _chosen(graph: Graph, params: Iterable[str] | None) -> list[Value]:
    known = {leaf.name: leaf for leaf in graph.params}
    if params is None:
        return [leaf.value for leaf in graph.params if not leaf.frozen]
    found = []
    for name in params:
        if name not in known:
            hint = did_you_mean(name, known) or f"parameters: {', '.join(known)}"
            raise fail("E565", f"`{graph.name}` has no parameter `{name}`", help=hint)
        found.append(known[name].value)
    return found


def _given(b: Backprop, called: Names) -> Iterable[Fact]:
    """The equations on the way to the loss, in order."""
    scans: set[Value] = set()
    seen: set[Value] = set()  # draws
    for v, step in b.equations.steps.items():
        if v.op.family == "part":
            if v.args[0] not in scans:
                scans.add(v.args[0])
                yield from given_steps(v.args[0], called.terms)
            found = result_fact(v, called[v])
            if found.right != found.left:
                yield found
            continue
        if v in b.equations.inner:
            yield from _given_inside(b.equations.inner[v], called)
        for x in step.operands:
            if drawn(x) and x not in b.equations.steps and x not in seen:
                seen.add(x)
                yield Fact(called[x], distribution(x, called.terms), sign="∼")
        yield from (Fact(s.sigma, s.defined) for s in b.samples if s.value is v and s.defined)
        if step.kind == "draw":
            yield Fact(called[v], distribution(v, called.terms), sign="∼")
            continue
        right = right_hand_side(v, called.terms, b.batch, b.spreads)
        names_ = [x.origin.name for x in (v,) if x.origin.name and unicode_name(x.origin.name)
                  != unicode(called[v])]  # fmt: skip
        words = names_[0] if names_ and called.layers and step.kind != "loss" else ""
        shape = described(step.inside)
        shape += ["no gradient goes past"] if is_bar(v) else []
        block = step.block if shape or step.kind in ("elementwise", "loss", "function") else ""
        told = (words, block if v.origin.instance else "", *shape)
        yield Fact(called[v], right, ", ".join(dict.fromkeys(w for w in told if w)))


def _local(b: Backprop) -> Iterable[Fact]:
    """The local derivatives, those of the steps of scans behind those of the net."""
    for left, right, note in local_derivatives(b):
        yield Fact(left, right, note)
    for s in b.scans.values():
        yield from local_steps(s)


def _given_inside(whole: Inner, called: Names) -> Iterable[Fact]:
    """Mean, variance and x̂ of a normalisation."""
    for x in whole.steps:
        epsilon = f", ε = {whole.epsilon:g}" if x is whole.normal else ""
        yield Fact(called[x], right_hand_side(x, called.terms), x.origin.block + epsilon)


# ---------------------------------------------------------------- one passage a derivative


def _passages(b: Backprop) -> Iterable[Passage]:
    """From the loss backwards: each δ, then the parameters whose last use it completes."""
    done: set[Value] = set()
    for v, derivative in b.deltas.items():
        if v not in b.kept:
            continue
        yield from _through(b, v, done)
        yield _passage(b, derivative)
        done.add(v)
        for p in b.equations.steps[v].params:
            if p in b.params and all(w in done or w not in b.kept for w in b.users[p]):
                done.add(p)
                yield from _through(b, p, done)
                yield _passage(b, b.params[p])
    for p, derivative in b.params.items():
        if p not in done:
            yield from _through(b, p, done)
            yield _passage(b, derivative)


def _through(b: Backprop, v: Value, done: set[Value]) -> Iterable[Passage]:
    """The steps of the scans that send something back to v, before the first thing they send."""
    for scan in dict.fromkeys(w.args[0] for w in b.users[v] if w.op.family == "part"):
        if scan in b.scans and scan not in done:
            done.add(scan)
            yield from passages(b.scans[scan])


def _passage(b: Backprop, d: Derivative) -> Passage:
    return Passage(
        t.partial(b.names[b.loss], b.names[d.of]),
        chain_to(b, d.of),
        d.unreduced,
        tuple(_rewrites(b, d)),
        d.closed,
        d.of.op.name == "param",
        str(list(d.of.shape)) if d.of.shape else "",
    )


def chain_to(b: Backprop, v: Value) -> Term:
    """∂L/∂v as products of local derivatives, added over every path from the loss to `v`."""
    scans = dict.fromkeys(w.args[0] for w in b.users[v] if w.op.family == "part")
    shared = [found for s in scans if s in b.scans for found in chains_of(b.scans[s], v)]
    paths = _paths(b, v) if not shared else []
    if shared:
        parts = shared + [
            t.chain(t.partial(b.names[b.loss], b.names[w]), t.partial(b.names[w], b.names[v]))
            for w in b.users[v] if w.op.family != "part"
        ]  # fmt: skip
    elif paths is None:
        parts = [t.chain(t.partial(b.names[b.loss], b.names[w]), t.partial(b.names[w], b.names[v]))
                 for w in b.users[v]]  # fmt: skip
    else:
        parts = [
            t.chain(*(t.partial(b.names[w], b.names[u]) for w, u in itertools.pairwise(p)))
            for p in paths
        ]
    total = parts[0]
    for part in parts[1:]:
        total = t.add(total, part)
    return total


def _paths(b: Backprop, v: Value) -> list[list[Value]] | None:
    """Every path from the loss down to `v`; None when there are too many to write."""
    found: list[list[Value]] = []
    stack = [[v]]
    while stack:
        path = stack.pop()
        if path[0] is b.loss:
            found.append(path)
            if len(found) > PATHS or sum(map(len, found)) > FACTORS:
                return None
            continue
        if len(path) > FACTORS or len(stack) > FACTORS:
            return None
        stack += [[w, *path] for w in b.users[path[0]]]
    return None if len(found) > 1 and sum(len(p) - 1 for p in found) > SEVERAL else found


def _rewrites(b: Backprop, d: Derivative) -> Iterable[Rewrite]:
    """The changes a reader can see, each once."""
    seen: set[tuple[str, str, str]] = set()
    for c in d.changes:
        if c.rule in TIDYING:
            continue
        written = formulas([c.before, c.after], d.known, b.batch, b.aliases)
        before, after = written[c.before], written[c.after]
        key = (c.rule, unicode(before), unicode(after))
        if before == after or key[1] == key[2] or key in seen:
            continue
        if t.is_number(before) or t.hidden(before) or t.hidden(after):
            continue
        seen.add(key)
        yield Rewrite(c.rule, c.reason, before, after)
