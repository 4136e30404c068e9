"""The syntax tree of a `.net` file: frozen dataclasses, each with its span.

In: nothing. Out: the types that `parse` makes, `format` prints and `compiler.elaborate` reads.
No names are resolved and no shapes are known here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .source import Source, Span

# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Expr:
    span: Span


@dataclass(frozen=True, slots=True)
class Number(Expr):
    value: int | float
    text: str  # as written: `1e-3` stays `1e-3`


@dataclass(frozen=True, slots=True)
class String(Expr):
    value: str


@dataclass(frozen=True, slots=True)
class Bool(Expr):
    value: bool


@dataclass(frozen=True, slots=True)
class Name(Expr):
    id: str


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    op: str  # "-" or "not"
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    op: str  # + - * / ^ @ == != < <= > >= and or
    left: Expr
    right: Expr
    op_span: Span


@dataclass(frozen=True, slots=True)
class Transpose(Expr):
    operand: Expr


@dataclass(frozen=True, slots=True)
class Slice(Expr):
    """`a:b` inside an index."""

    start: Expr | None
    stop: Expr | None


@dataclass(frozen=True, slots=True)
class Ellipsis_(Expr):
    """`...` inside an index or a shape."""


@dataclass(frozen=True, slots=True)
class Index(Expr):
    base: Expr
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Argument:
    span: Span
    name: str | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    function: Expr  # Name or Attribute, or a Call giving a layer: dense(3)(x)
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Attribute(Expr):
    base: Expr
    name: str  # "*" in a pattern: head.*


@dataclass(frozen=True, slots=True)
class Tuple(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class List(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Pipe(Expr):
    """`value -> stage`."""

    value: Expr
    stage: Expr  # Name, Attribute or Call


# ---------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class TensorType:
    """`[784] f64`: the shape of one example. A size may be `Ellipsis_`."""

    span: Span
    sizes: tuple[Expr, ...]
    dtype: str | None


@dataclass(frozen=True, slots=True)
class ClassType:
    """`class[k]`: an integer label in 0…k−1."""

    span: Span
    count: Expr


@dataclass(frozen=True, slots=True)
class TokensType:
    """`tokens[T, k]`: T labels in 0…k−1."""

    span: Span
    length: Expr
    count: Expr


TypeExpr = TensorType | ClassType | TokensType

# ---------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Guard:
    """A trailing `when condition`, or `otherwise` (condition is None)."""

    span: Span
    condition: Expr | None


@dataclass(frozen=True, slots=True)
class Statement:
    span: Span
    guard: Guard | None


@dataclass(frozen=True, slots=True)
class Ident:
    """A name being defined, with its place."""

    span: Span
    id: str


@dataclass(frozen=True, slots=True)
class Input(Statement):
    names: tuple[Ident, ...]
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class OutputItem:
    span: Span
    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Output(Statement):
    """`output e`, `output a = e, b = f`."""

    items: tuple[OutputItem, ...]


@dataclass(frozen=True, slots=True)
class Param(Statement):
    names: tuple[Ident, ...]
    type: TensorType | None  # None where `tied to` gives the shape
    initialiser: Expr | None  # after `~`: Name or Call
    value: Expr | None  # after `=`
    frozen: bool
    tied_to: Expr | None
    decay: Expr | None
    from_file: Expr | None  # `from "file.safetensors"`


@dataclass(frozen=True, slots=True)
class State(Statement):
    names: tuple[Ident, ...]
    type: TensorType | None  # None inside an optimizer: the shape of `param`
    value: Expr | None
    initialiser: Expr | None


@dataclass(frozen=True, slots=True)
class Update(Statement):
    name: Ident
    value: Expr


@dataclass(frozen=True, slots=True)
class Equation(Statement):
    """`a = e`, or `a, b = e` for several outputs."""

    targets: tuple[Ident, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Loss(Statement):
    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Metric(Statement):
    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class When(Statement):
    """`when c { … } otherwise { … }`; the guard is always None."""

    condition: Expr
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Repeat(Statement):
    count: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class For(Statement):
    variable: Ident
    items: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class ScanInput:
    span: Span
    name: Ident
    sequence: Expr


@dataclass(frozen=True, slots=True)
class Carry:
    span: Span
    name: Ident
    type: TensorType | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Scan(Statement):
    """`scan x in xs, y in ys with h: [n] = 0 (reverse = true) { … }`."""

    inputs: tuple[ScanInput, ...]
    carries: tuple[Carry, ...]
    options: tuple[Argument, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Yield(Statement):
    items: tuple[OutputItem, ...]


# ---------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Setting:
    span: Span
    name: Ident
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Declaration:
    span: Span
    name: Ident
    doc: str  # the comment block directly above, without `#`


@dataclass(frozen=True, slots=True)
class Block(Declaration):
    settings: tuple[Setting, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Net(Block):
    pass


@dataclass(frozen=True, slots=True)
class Optimizer(Block):
    pass


@dataclass(frozen=True, slots=True)
class Data(Declaration):
    value: Expr


@dataclass(frozen=True, slots=True)
class Const(Declaration):
    value: Expr


@dataclass(frozen=True, slots=True)
class Import(Declaration):
    """`import "other.net"`; `name` holds the path as its id."""

    path: String


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of `train` or `generate`: `batch 64`, `augment rotate(10), shift(2)`.

    The call form, `stop_early(patience = 3)` with no space before its bracket, has the whole call
    as its one argument: keyword `stop_early`, arguments `(Call(stop_early, …),)`; see `called`.
    """

    span: Span
    keyword: Ident
    arguments: tuple[Expr, ...]
    target: Expr | None = None  # `optimizer adam(…) for head.*`

    @property
    def called(self) -> Call | None:
        """The call of a directive in call form."""
        only = self.arguments[0] if len(self.arguments) == 1 else None
        if isinstance(only, Call) and self.target is None:
            function = only.function
            if isinstance(function, Name) and function.id == self.keyword.id:
                return only
        return None


@dataclass(frozen=True, slots=True)
class Minimize(Directive):
    """`minimize loss over a, b with adam(…)`, `repeat 5 minimize …`."""

    loss: Ident | None = None
    over: tuple[Expr, ...] = ()
    optimizer: Expr | None = None
    turns: Expr | None = None


@dataclass(frozen=True, slots=True)
class LoadInto(Directive):
    """`load "weights.safetensors" into encoder` with `map "a.*" = "b.*"` pairs as arguments.

    `source` is a file, or the name of a trained net and perhaps a part of it (`lenet.features`).
    The second of a pair is a text, or the name `none`: left out.
    """

    source: Expr | None = None
    into: Expr | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """`with image = pixels`: input name = field name."""

    span: Span
    input: Ident
    field: Ident


@dataclass(frozen=True, slots=True)
class Train(Declaration):
    """`train net on data with image = pixels { … }`; `name` is the net's."""

    settings: tuple[Argument, ...]
    data: Expr
    bindings: tuple[Binding, ...]
    body: tuple[Directive, ...]


@dataclass(frozen=True, slots=True)
class Generate(Declaration):
    """`generate name from net(…) { … }`."""

    net: Expr
    body: tuple[Directive, ...]


@dataclass(frozen=True, slots=True)
class Comment:
    span: Span
    text: str  # without `#`, stripped
    own_line: bool


@dataclass(frozen=True)
class File:
    source: Source
    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...]
