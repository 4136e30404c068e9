"""The inside of a cell: what one step of a scan computes, as textbooks draw it.

In: a cell. Out: DOT. LSTM, GRU and the simple recurrent network have the form that everybody knows:
carried values run from left to right (c along the top), x comes from below, gates are small boxes,
⊙ and + are circles. Any other body is drawn operation by operation, carried values as a loop. The
equations stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler.value import Value
from . import terms as t
from .body_view import body_view
from .known_cells import Gru, Lstm, Simple, gru, lstm, simple
from .sheet import Sheet
from .steps import Cell, StepNames, facts, step_names
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

LEGEND = (
    ("elementwise", "gate, element by element"),
    ("layer", "one step, the same at every step"),
)


def cell_picture(cell: Cell, theme: str = "light", note: str = "", *, fit: bool = True) -> str:
    """DOT text of one step."""
    found = lstm(cell) or gru(cell) or simple(cell)
    if found is None:
        return body_view(cell, theme, note, fit=fit)
    drawn = _Picture(cell, step_names(cell), theme, note)
    if isinstance(found, Lstm):
        drawn.lstm(found)
    elif isinstance(found, Gru):
        drawn.gru(found)
    else:
        drawn.simple(found)
    return drawn.sheet.text()


@dataclass
class _Picture:
    cell: Cell
    names: StepNames
    theme: str
    note: str

    def __post_init__(self) -> None:
        title = f"{self.cell.title}: one step{self.note}"
        self.sheet = Sheet(title, theme_of(self.theme), LEGEND)

    # -------------------------------------------------------- the three forms

    def lstm(self, f: Lstm) -> None:
        s, top, low = self.sheet, 4.7, 1.5
        s.frame((1.5, 0.85), (9.7, 5.35))
        c0, h0 = self._carried(f.c, (0.7, top)), self._carried(f.h, (0.7, low))
        c1, h1 = self._next(f.c, (10.5, top)), self._next(f.h, (10.5, low))
        x = self._slice((2.0, 0.2))
        gates = {v: self._gate(v, (at, 2.4)) for v, at in
                 ((f.forget, 2.9), (f.input, 4.4), (f.candidate, 5.7),
                  (f.output, 7.0))}  # fmt: skip
        times_f, plus = s.circle((2.9, top), "⊙"), s.circle((5.7, top), "+")
        times_i, times_o = s.circle((5.7, 3.55), "⊙"), s.circle((8.4, 3.0), "⊙")
        squash = s.node((8.4, 3.9), "tanh", "elementwise", 0.72, 0.42)
        meet, branch, tap = s.dot((2.0, low)), s.dot((8.4, top)), s.dot((9.2, low))
        s.wire(c0, times_f)
        s.wire(times_f, plus)
        s.wire(plus, branch, c1)
        s.wire(h0, meet, (2.9, low), (4.4, low), (5.7, low), (7.0, low), gates[f.output])
        s.wire(x, meet, arrow=False)
        for v, at in ((f.forget, 2.9), (f.input, 4.4), (f.candidate, 5.7)):
            s.wire(s.dot((at, low)), gates[v])
        s.wire(gates[f.forget], times_f)
        s.wire(gates[f.input], (4.4, 3.55), times_i)
        s.wire(gates[f.candidate], times_i)
        s.wire(times_i, plus)
        s.wire(gates[f.output], (7.0, 3.0), times_o)
        s.wire(branch, squash)
        s.wire(squash, times_o)
        s.wire(times_o, (8.4, low), tap, h1)
        self._yield(tap, (9.2, 5.95))
        self._tag(f.forget, (3.2, 3.3))
        self._tag(f.input, (4.7, 3.3))
        self._tag(f.candidate, (6.0, 3.0))
        self._tag(f.output, (7.3, 3.25))
        self._equations(11.3, 5.35)

    def gru(self, f: Gru) -> None:
        s, top, low, under = self.sheet, 4.7, 1.6, 0.95
        s.frame((1.5, 0.6), (9.7, 5.35))
        h0, h1 = self._carried(0, (0.7, top)), self._next(0, (10.5, top))
        x = self._slice((2.7, 0.1))
        reset, update = self._gate(f.reset, (3.6, 2.5)), self._gate(f.update, (5.9, 2.5))
        candidate = self._gate(f.candidate, (7.9, 2.3))
        keep, plus = s.circle((5.9, top), "⊙"), s.circle((7.9, top), "+")
        times_r, times_n = s.circle((3.6, 3.6), "⊙"), s.circle((7.9, 3.35), "⊙")
        fork, down = s.dot((5.9, 3.35)), s.dot((2.1, top))
        s.wire(h0, down, keep)
        s.wire(keep, plus)
        tap = s.dot((9.1, top))
        s.wire(plus, tap, h1)
        side = s.dot((2.1, 3.6))
        s.wire(down, side, (2.1, low), (2.7, low), (3.6, low), (5.9, low), update)
        meet, apart = s.dot((2.7, low)), s.dot((2.7, under))
        s.wire(x, apart, meet, arrow=False)
        s.wire(s.dot((3.6, low)), reset)
        s.wire(reset, times_r)
        if f.product is None:
            s.wire(side, times_r)
        else:
            word = self._matrix(f.product)
            inner = s.node((2.85, 3.6), word, "param", 0.25 + 0.13 * max(len(word), 2), 0.42)
            s.wire(side, inner)
            s.wire(inner, times_r)
        joined = s.dot((4.8, under))
        s.wire(times_r, (4.8, 3.6), joined, (7.9, under), candidate)
        s.wire(apart, joined, arrow=False)
        s.wire(candidate, times_n)
        s.wire(times_n, plus)
        one = (6.9, 3.35) if not f.inverse else (5.9, 4.0)
        minus = s.node(one, "1 −", "elementwise", 0.55, 0.42)
        s.wire(update, fork, arrow=False)
        if f.inverse:
            s.wire(fork, minus)
            s.wire(minus, keep)
            s.wire(fork, times_n)
        else:
            s.wire(fork, keep)
            s.wire(fork, minus)
            s.wire(minus, times_n)
        self._yield(tap, (9.1, 5.95))
        self._tag(f.reset, (3.9, 3.1))
        self._tag(f.update, (6.2, 3.0))
        self._tag(f.candidate, (8.2, 2.8))
        self._equations(11.3, 5.35)

    def simple(self, f: Simple) -> None:
        s, mid = self.sheet, 2.3
        s.frame((1.6, 1.2), (6.4, 3.4))
        h0, h1 = self._carried(0, (0.7, mid)), self._next(0, (7.3, mid))
        x = self._slice((2.5, 0.4))
        gate = self._gate(f.activation, (4.1, mid))
        meet, tap = s.dot((2.5, mid)), s.dot((5.6, mid))
        s.wire(h0, meet, gate)
        s.wire(x, meet, arrow=False)
        s.wire(gate, tap, h1)
        self._yield(tap, (5.6, 4.0))
        self._equations(8.2, 3.6)

    # -------------------------------------------------------- parts

    def _text(self, v: Value) -> str:
        return unicode(self.names.terms.get(v, t.symbol("")))

    def _carried(self, k: int, at: tuple[float, float]) -> str:
        return self.sheet.words(at, self._text(self.cell.carried[k]), size=17.0, bold=True)

    def _next(self, k: int, at: tuple[float, float]) -> str:
        return self.sheet.words(at, self._text(self.cell.next[k]), size=17.0, bold=True)

    def _slice(self, at: tuple[float, float]) -> str:
        shown = [self._text(x) for x in self.cell.slices if self.names.plain.get(x)
                 and x.type.dtype != "bool"]  # fmt: skip
        text = ", ".join(shown) or "x"
        return self.sheet.node(at, text, "data", 0.35 + 0.15 * len(text), 0.45, fontsize=17.0)

    def _gate(self, v: Value, at: tuple[float, float]) -> str:
        sign = "σ" if v.op.name == "sigmoid" else v.op.name
        sign = v.origin.block if len(sign) > 7 else sign
        return self.sheet.node(at, sign, "elementwise", max(0.6, 0.2 + 0.13 * len(sign)), 0.5)

    def _tag(self, v: Value, at: tuple[float, float]) -> None:
        """The name of a gate beside what leaves it."""
        if v in self.names.terms:
            self.sheet.words(at, self._text(v))

    def _yield(self, tap: str, at: tuple[float, float]) -> None:
        """What leaves upwards at every step, where that is what is carried."""
        if self.cell.yields:
            y = self.cell.yields[0]
            name = self._text(y) if y in self.names.terms else unicode(t.symbol("y"))
            self.sheet.wire(tap, self.sheet.words(at, name, size=17.0, bold=True))

    def _matrix(self, product: Value) -> str:
        """The name of the matrix in a product with h."""
        stack = [product]
        while stack:
            v = stack.pop()
            if v.op.name == "param" and len(v.shape) == 2:
                return self._text(v)
            stack += reversed(v.args)
        return "W"

    def _equations(self, x: float, y: float) -> None:
        self.sheet.column((x, y), equation_rows(self.cell, self.names), 4.4)


def equation_rows(cell: Cell, names: StepNames) -> list[str]:
    """The equations of a step as lines of text; parameters and masks told below."""
    rows = [f"{unicode(left)} = {unicode(right)}" for _, left, right in facts(cell, names)]
    shapes = [f"{unicode(names[p])} {list(p.shape)}" for p in cell.shared if p.op.name == "param"
              and p in names.terms]  # fmt: skip
    if shapes:
        rows += ["", "shared by all steps:"]
        rows += [", ".join(shapes[k : k + 3]) for k in range(0, len(shapes), 3)]
    if cell.pieces.reverse:
        rows += ["", "from the last step to the first"]
    if cell.pieces.truncate:
        rows += ["", f"truncate = {cell.pieces.truncate}"]
    return rows


__all__ = ["Term", "cell_picture", "equation_rows"]
