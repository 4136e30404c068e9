"""What to say where the grammar has no use for a word.

In: a `Situation`: the words, the one in the way, what the parser could use instead. Out: the
`Diagnostic`, worded for the person who wrote it. The rules are tried in order, the particular
before the general; the last one always speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .diagnostics import Diagnostic, Label, did_you_mean
from .foreign import CHARACTERS, OPERATORS, STATEMENTS
from .layout import VALUE_ENDS
from .lexer import Lexeme
from .source import Span

DECLARATIONS = ("block", "net", "optimizer", "data", "const", "import", "train", "generate")
BODY = (
    *("input", "output", "param", "state", "update", "loss", "metric"),
    *("when", "repeat", "for", "scan", "yield"),
)
DIRECTIVES = ("minimize", "load", "repeat")
STARTS = {"file": DECLARATIONS, "body": BODY, "directives": DIRECTIVES, "expression": ()}
VALUE_STARTS = {"NAME", "NUMBER", "STRING", "LPAR", "LSQB"}
TRAINING = ("batch", "epochs", "steps", "stop_early", "minimize", "augment", "clip", "seed")


@dataclass(slots=True)
class Situation:
    """Where the parser stands when it meets a word that it cannot use."""

    words: list[Lexeme]
    at: int
    useful: set[str]  # terminals that would have been accepted
    where: str  # file, body, directives or expression
    begin: int  # where the statement begins
    word: Lexeme = field(init=False)
    first: Lexeme = field(init=False)

    def __post_init__(self) -> None:
        self.word = self.words[self.at]
        self.first = self.words[self.begin]

    def near(self, offset: int) -> Lexeme:
        """The word `offset` places on; an empty one beyond either end."""
        place = self.at + offset
        if 0 <= place < len(self.words):
            return self.words[place]
        return Lexeme("$END", "", self.word.span)

    @property
    def before(self) -> Lexeme:
        return self.near(-1)

    @property
    def wants_value(self) -> bool:
        return {"NUMBER", "LPAR", "STRING"} <= self.useful

    @property
    def place(self) -> Span:
        """The word to underline; at the end of a line, the place just after the last word."""
        if self.word.type not in ("NEWLINE", "$END") or self.at == 0:
            return self.word.span
        end = self.before.span.end
        return Span(self.word.span.source, end, end)


Rule = Callable[[Situation], Diagnostic | None]


def explain(s: Situation) -> Diagnostic:
    """The most particular thing that can be said."""
    for rule in RULES:
        diagnostic = rule(s)
        if diagnostic is not None:
            return diagnostic
    return _unexpected(s)


def repair(s: Situation) -> str | None:
    """The keyword that the statement's first word was meant to be, where the parser may go on."""
    if not _first_word_is_wrong(s) or s.first.text in STATEMENTS:
        return None
    return _nearest(s) or None


def _first_word_is_wrong(s: Situation) -> bool:
    if s.first.type != "NAME":
        return False
    return s.at - s.begin <= 1 or (s.where == "directives" and s.word.text in ("over", "with"))


def _nearest(s: Situation) -> str:
    if s.first.text in STARTS[s.where]:
        return ""
    return did_you_mean(s.first.text.lower(), STARTS[s.where]).partition("`")[2].partition("`")[0]


# ---------------------------------------------------------------- words that are no words


def _open_string(s: Situation) -> Diagnostic | None:
    if s.word.type != "OPEN_STRING":
        return None
    return _say("E103", "this text never ends", s, 'no closing `"` on this line', 'add the `"`')


def _single_quotes(s: Situation) -> Diagnostic | None:
    if s.word.type != "TICK" or not (s.wants_value or "STRING" in s.useful):
        return None
    source = s.word.span.source
    line_end = source.text.find("\n", s.word.span.end)
    stop = line_end if line_end >= 0 else len(source.text)
    close = source.text.find("'", s.word.span.end, stop)
    end = close + 1 if close >= 0 else s.word.span.end
    text = source.text[s.word.span.end : max(end - 1, s.word.span.end)]
    return Diagnostic(
        "E104",
        "text stands in double quotes",
        Span(source, s.word.span.start, end),
        "`'` means transpose, as in `W'`",
        help=f'write `"{text}"`',
    )


def _stray_character(s: Situation) -> Diagnostic | None:
    if s.word.type != "JUNK":
        return None
    text = s.word.text
    instead = CHARACTERS.get(text)
    if instead:
        return _say("E105", f"`{text}` is not read here", s, "", f"write `{instead}`")
    shown = f"`{text}`" if text.isprintable() else f"the character U+{ord(text):04X}"
    return _say("E105", f"{shown} has no meaning here", s, "stray character", "remove it")


def _foreign_operator(s: Situation) -> Diagnostic | None:
    if s.word.type != "FOREIGN":
        return None
    if s.word.text == ";":
        hint = "start a new line instead of `;`"
        return _say("E126", "statements are separated by new lines", s, "", hint)
    message, hint = OPERATORS[s.word.text]
    return _say("E106", message, s, "", hint)


# ---------------------------------------------------------------- the first word


def _foreign_statement(s: Situation) -> Diagnostic | None:
    if s.at - s.begin > 1 or s.first.type != "NAME":
        return None
    if s.first.text == "import" and s.word.type == "NAME":
        hint = 'write `import "other.net"` for another file; the standard library is always there'
        return _say("E109", "`import` takes the path of a `.net` file", s, "not a path", hint)
    hint = STATEMENTS.get(s.first.text, "")
    if not hint or s.word.type in ("EQ", "COMMA") or s.where == "expression":
        return None
    message = f"there is no `{s.first.text}` in this language"
    return Diagnostic("E109", message, s.first.span, "from another language", help=hint)


def _lambda(s: Situation) -> Diagnostic | None:
    if s.before.text != "lambda" or s.before.type != "NAME":
        return None
    hint = "write a `block` with an `input` and an `output`, and use its name"
    message = "there is no `lambda` in this language"
    return Diagnostic("E109", message, s.before.span, "from another language", help=hint)


def _reserved_target(s: Situation) -> Diagnostic | None:
    first = s.first
    if s.at != s.begin + 1 or first.text not in BODY + DECLARATIONS or first.type != "NAME":
        return None
    if s.word.type not in ("EQ", "COMMA", "COLON") or s.where != "body":
        return None
    hints = {
        "input": "write `input name: [sizes]`; to name a value, choose another word",
        "output": "write `output expression`, or `output name = expression`",
        "loss": "write `loss expression`, or `loss name = expression`",
        "metric": "write `metric expression`, or `metric name = expression`",
    }
    hint = hints.get(first.text, "choose another name")
    message = f"`{first.text}` begins a statement and cannot be a name here"
    return Diagnostic("E110", message, first.span, "a keyword", help=hint)


def _misplaced_statement(s: Situation) -> Diagnostic | None:
    first = s.first
    if s.at - s.begin > 1 or first.type != "NAME":
        return None
    text = first.text
    if s.where == "file":
        if text in BODY:
            hint = "put it inside `net name { … }` or `block name { … }`"
            return _misplaced(first, f"`{text}` stands inside a net or block", hint)
        if s.at == s.begin and s.near(1).type == "EQ":
            hint = f"write `const {text} = …` for a constant, or move it into a net or block"
            return _misplaced(first, "an equation stands inside a net or block", hint)
    if s.where == "body" and s.at > s.begin and s.word.type in VALUE_STARTS:
        if text == "optimizer" and s.near(1).type == "LPAR" and _last(s).type != "LBRACE":
            return _misplaced(first, f"`{text}` is chosen inside `train`", _TRAIN)
        if text in DECLARATIONS:
            hint = f"close the braces above it, and write `{text}` after them"
            return _misplaced(first, f"`{text}` stands at the top of a file, in no braces", hint)
        if text in TRAINING:
            return _misplaced(first, f"`{text}` stands inside `train`", _TRAIN)
    return None


_TRAIN = "move it into `train net on data { … }`"


def _last(s: Situation) -> Lexeme:
    """The last word of the statement's line."""
    place = s.at
    while place < len(s.words) and s.words[place].type != "NEWLINE":
        if s.words[place].type == "LBRACE":
            return s.words[place]
        place += 1
    return s.words[place - 1]


def _misplaced(first: Lexeme, message: str, hint: str) -> Diagnostic:
    return Diagnostic("E116", message, first.span, "not here", help=hint)


def _misspelt(s: Situation) -> Diagnostic | None:
    if not _first_word_is_wrong(s) or s.where == "expression":
        return None
    if s.word.type in ("EQ", "COMMA", "COLON", "TILDE") or s.first.text in STARTS[s.where]:
        return None
    named = s.at == s.begin or s.word.type in {*VALUE_STARTS, "LBRACE"}
    if not named or (s.word.type == "LPAR" and not s.word.spaced and not _nearest(s)):
        return None
    near = _nearest(s)
    if s.where == "file":
        known = ", ".join(f"`{word}`" for word in DECLARATIONS)
        hint = f"did you mean `{near}`?" if near else f"a declaration is one of {known}"
        message = f"no declaration is called `{s.first.text}`"
        return Diagnostic("E107", message, s.first.span, "unknown word", help=hint)
    if s.where == "directives" and not near:
        return None
    known = ", ".join(f"`{word}`" for word in BODY)
    hint = f"did you mean `{near}`?" if near else f"an equation is `name = …`; else one of {known}"
    message = f"no statement begins with `{s.first.text}`"
    return Diagnostic("E108", message, s.first.span, "unknown word", help=hint)


# ---------------------------------------------------------------- inside a statement


def _double_equals(s: Situation) -> Diagnostic | None:
    if s.word.text != "==" or "_EQ" not in s.useful:
        return None
    return _say("E111", "`==` compares two values", s, "defines nothing", "write `=` to define")


def _bare_declaration(s: Situation) -> Diagnostic | None:
    if s.where != "body" or s.at != s.begin + 1 or s.first.type != "NAME":
        return None
    name = s.first.text
    if s.word.type == "COLON":
        hint = f"write `input {name}: …` or `param {name}: …`"
        return _say("E113", "what kind of value this is must be said first", s, "", hint)
    if s.word.type == "TILDE":
        hint = f"write `param {name}: [sizes] ~ …`"
        return _say("E113", "`~` initialises a parameter", s, "no parameter is declared here", hint)
    if s.word.type in ("LPAR", "OPERATOR", "NEWLINE", "MINUS", "STAR", "TICK", "DOT", "LSQB"):
        hint = "write `name = …` to use it below, or `output …`"
        span = s.first.span.to(_last(s).span)
        return Diagnostic("E112", "this value goes nowhere", span, "it has no name", help=hint)
    return None


def _directive_sign(s: Situation) -> Diagnostic | None:
    if s.where != "directives" or s.at != s.begin + 1 or s.word.type not in ("EQ", "COLON"):
        return None
    following = s.near(1).text if s.near(1).type in VALUE_STARTS else "…"
    message = "a line of `train` or `generate` is a word and its values"
    hint = f"write `{s.first.text} {following}`"
    return _say("E128", message, s, f"no `{s.word.text}` here", hint)


def _missing_type(s: Situation) -> Diagnostic | None:
    keyword = s.first.text
    if keyword not in ("input", "param", "state", "scan") or s.before.type not in (
        *("NAME", "COLON"),
    ):
        return None
    if s.before.type == "COLON" and "LSQB" in s.useful and not s.wants_value:
        if s.word.type == "NUMBER":
            hint = f"write `[{s.word.text}]`"
        elif s.word.type == "NAME":
            hint = f"write `[{s.word.text}]` for a size, `[] {s.word.text}` for a scalar's type"
        else:
            hint = "write the sizes in brackets: `[784]`, or `[]` for a scalar"
        return _say("E113", "a type is written `[sizes]`", s, "expected `[`", hint)
    if "_COLON" not in s.useful:
        return None
    if s.word.type in ("LSQB", "LPAR") or (s.word.text in ("class", "tokens")):
        hint = f"write `{s.before.text}: {s.word.text}…`"
        return _say("E113", "a name and its type are separated by `:`", s, "expected `:`", hint)
    if keyword == "input" and s.word.type in ("NEWLINE", "EQ"):
        hint = f"write `input {s.before.text}: [784]`, with the sizes that it has"
        return _say("E113", f"the shape of `{s.before.text}` is missing", s, "expected `:`", hint)
    return None


def _missing_comma(s: Situation) -> Diagnostic | None:
    if s.before.type not in VALUE_ENDS or s.word.type not in VALUE_STARTS - {"LPAR", "LSQB"}:
        return None
    in_brackets = s.word.depth > s.first.depth
    names = s.first.text in ("input", "param", "state") and "_COLON" in s.useful
    if "_COMMA" not in s.useful or not (in_brackets or names):
        return None
    if s.before.type == "NUMBER" and not s.word.spaced:
        return None
    hint = f"write `{s.before.text}, {s.word.text}`"
    return _say("E114", "a comma is missing", s, "expected `,` before this", hint)


def _missing_operator(s: Situation) -> Diagnostic | None:
    if s.before.type not in VALUE_ENDS or s.word.type not in VALUE_STARTS:
        return None
    if "OPERATOR" not in s.useful:
        return None
    if s.near(1).type == "EQ" or (s.word.text in BODY and s.near(1).type in VALUE_STARTS):
        hint = f"start a new line before `{s.word.text}`"
        return _say("E126", "statements are separated by new lines", s, "a second one", hint)
    hint = f"write `{s.before.text} * {s.word.text}` for a product"
    return _say("E125", "an operator is missing", s, "expected an operator before this", hint)


def _number_dot(s: Situation) -> Diagnostic | None:
    if s.before.type != "DOT" or s.near(-2).type != "NUMBER":
        return None
    span = s.near(-2).span.to(s.before.span)
    hint = f"write `{s.near(-2).text}.0`"
    return Diagnostic("E122", "digits follow the point", span, "none here", help=hint)


def _missing_value(s: Situation) -> Diagnostic | None:
    if not s.wants_value or s.word.type in ("NAME", "NUMBER", "STRING"):
        return None
    after = f" after `{s.before.text}`" if s.before.text.strip() and s.at > s.begin else ""
    if s.word.type in ("OPERATOR", "STAR", "SLASH", "EQ", "TILDE", "COLON", "TICK", "ELLIPSIS"):
        note = "this needs a value before it"
    else:
        note = "expected a value"
    hint = "write the value: a number, a name, a call or a `( … )`"
    if s.before.type == "TILDE":
        hint = "write an initialiser: `~ glorot`, `~ normal(std = 0.1)`"
    return _say("E112", f"a value is missing{after}", s, note, hint)


def _missing_name(s: Situation) -> Diagnostic | None:
    keyword = s.first.text
    if s.at != s.begin + 1 or "NAME" not in s.useful or s.wants_value:
        return None
    if keyword in ("block", "net", "optimizer", "data", "const", "train", "generate"):
        hint = f"write `{keyword} name …`"
        return _say("E117", f"`{keyword}` needs a name", s, "expected a name", hint)
    if keyword in ("input", "param", "state", "update", "for", "scan", "minimize"):
        hint = f"write `{keyword} name …`"
        return _say("E112", f"`{keyword}` needs a name", s, "expected a name", hint)
    return None


def _misspelled_link(s: Situation) -> Diagnostic | None:
    """`ovr` for `over`, after a whole value."""
    links = [k[1:].lower() for k in s.useful if k in ("_OVER", "_INTO", "_MAP", "_WITH", "_ON")]
    near = did_you_mean(s.word.text, links) if s.word.type == "NAME" and s.near(1).text else ""
    if not near or s.near(1).type in ("EQ", "LPAR", "NEWLINE"):
        return None
    return _say("E100", f"`{s.word.text}` cannot stand here", s, "not a word of this line", near)


_LINKS = {"_ON": "on", "_FROM": "from", "_IN": "in", "_TO": "to", "MINIMIZE": "minimize"}


def _missing_link(s: Situation) -> Diagnostic | None:
    if s.useful == {"_EQ"} and s.word.type not in ("NEWLINE", "$END"):
        hint = f"write `{s.before.text} = …`"
        return _say("E127", "`=` is missing", s, "expected `=` before this", hint)
    if s.first.text == "repeat" and s.before.text == "minimize":
        hint = "write how often: `repeat 5 minimize …`"
        return _say("E127", "the number of turns is missing", s, "expected a number first", hint)
    links = [text for kind, text in _LINKS.items() if kind in s.useful]
    if len(links) != 1 or s.word.type not in VALUE_STARTS or s.wants_value:
        return None
    hint = f"write `{s.before.text} {links[0]} {s.word.text}`"
    return _say("E127", f"`{links[0]}` is missing", s, f"expected `{links[0]}` before this", hint)


def _missing_body(s: Situation) -> Diagnostic | None:
    if "LBRACE" not in s.useful or s.word.type not in ("NEWLINE", "$END", "COLON", "RBRACE"):
        return None
    hint = "write `{` at the end of this line, and `}` after the last statement"
    message = f"`{s.first.text}` needs a body in braces"
    return _say("E117", message, s, "expected `{`", hint)


# ---------------------------------------------------------------- whatever remains

_NAMES = {
    "_NL": "a new line",
    "NAME": "a name",
    "STRING": "text in double quotes",
    "NUMBER": "a number",
    "_COMMA": "`,`",
    "_EQ": "`=`",
    "TILDE": "`~`",
    "COLON": "`:`",
    "_COLON": "`:`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "_ON": "`on`",
    "_WITH": "`with`",
    "_FROM": "`from`",
    "_IN": "`in`",
    "_TO": "`to`",
    "_MAP": "`map`",
    "_INTO": "`into`",
    "_OVER": "`over`",
    "MINIMIZE": "`minimize`",
    "CLASS": "`class`",
    "TOKENS": "`tokens`",
}


def _unexpected(s: Situation) -> Diagnostic:
    useful = set(s.useful)
    expected = []
    if s.wants_value:
        expected.append("a value")
        useful -= {"NAME", "NUMBER", "STRING", "LPAR", "LSQB"}
    if "OPERATOR" in useful:
        expected.append("an operator")
        useful -= {"LPAR", "LSQB", "RBRACE"}
    expected += [name for kind, name in _NAMES.items() if kind in useful and name not in expected]
    wanted = ", ".join(expected[:-1]) + (" or " if expected[:-1] else "") + "".join(expected[-1:])
    note = f"expected {wanted}" if expected else "nothing can follow here"
    if s.word.type in ("NEWLINE", "$END"):
        hint = f"write {wanted} before the line ends" if expected else "remove the line"
        return _say("E100", "this line ends too early", s, note, hint)
    hint = f"write {wanted} instead, or remove it" if expected else "remove it"
    return _say("E100", f"`{s.word.text}` cannot stand here", s, note, hint)


def _say(code: str, message: str, s: Situation, note: str, hint: str) -> Diagnostic:
    labels: tuple[Label, ...] = ()
    if s.place.line != s.first.span.line:
        labels = (Label(s.first.span, "in the statement that begins here"),)
    return Diagnostic(code, message, s.place, note, labels, hint)


RULES: tuple[Rule, ...] = (
    _open_string,
    _single_quotes,
    _stray_character,
    _foreign_operator,
    _foreign_statement,
    _lambda,
    _double_equals,
    _reserved_target,
    _misplaced_statement,
    _misspelt,
    _bare_declaration,
    _directive_sign,
    _missing_type,
    _number_dot,
    _missing_link,
    _missing_comma,
    _misspelled_link,
    _missing_operator,
    _missing_name,
    _missing_body,
    _missing_value,
)
