"""Habits from other languages, and what to write instead in a `.net` file.

In: a word. Out: what it is taken for and the way out. Tables only; `mistakes` tells the user.
"""

from __future__ import annotations

# Word at the start of a statement -> what to write.
STATEMENTS: dict[str, str] = {
    "def": "write `block name(settings) { … }` for a reusable piece",
    "class": "write `block name(settings) { … }`, or `net name { … }` for what is trained",
    "function": "write `block name(settings) { … }`",
    "fn": "write `block name(settings) { … }`",
    "layer": "write `block name(settings) { … }`",
    "module": "write `block name(settings) { … }`",
    "model": "write `net name(settings) { … }`",
    "network": "write `net name(settings) { … }`",
    "dataset": "write `data name = …`",
    "fit": "write `train net on data { … }`",
    "from": 'write `import "other.net"`; everything in it can then be used by name',
    "include": 'write `import "other.net"`',
    "use": 'write `import "other.net"`',
    "let": "write the equation alone: `name = expression`",
    "var": "write the equation alone: `name = expression`",
    "return": "write `output expression`",
    "if": "write `when condition { … }`, or `when condition` at the end of a statement",
    "else": "write `otherwise { … }`, or `otherwise` at the end of a statement",
    "elif": "write `otherwise when condition { … }`",
    "elseif": "write `otherwise when condition { … }`",
    "while": "write `repeat n { … }` for a fixed count, or `scan x in xs … { … }` over a sequence",
    "weight": "write `param name: [sizes] ~ initialiser`",
    "weights": "write `param name: [sizes] ~ initialiser`",
    "parameter": "write `param name: [sizes] ~ initialiser`",
    "bias": "write `param name: [sizes] = 0`",
    "print": "remove it; name a value in an equation, and look at it with `chainrule draw`",
    "pass": "remove it: an empty body is `{ }`",
}

# Operator of another language -> (what it looks like, what to write).
OPERATORS: dict[str, tuple[str, str]] = {
    "**": ("a power is written `^`", "write `^` instead of `**`"),
    "//": (
        "`//` means nothing here",
        "a comment begins with `#`; whole division is `floor(a / b)`",
    ),
    "%": ("there is no `%`", "write `a - b * floor(a / b)` for the remainder"),
    "&&": ("`and` is written out", "write `and` instead of `&&`"),
    "||": ("`or` is written out", "write `or` instead of `||`"),
    ":=": ("an equation is written with `=`", "write `=` instead of `:=`"),
    "=>": ("`=>` means nothing here", "write `->` to pipe a value, `>=` to compare"),
    "+=": ("a name has one value", "give the sum a name of its own: `y = x + …`"),
    "-=": ("a name has one value", "give the difference a name of its own: `y = x - …`"),
    "*=": ("a name has one value", "give the product a name of its own: `y = x * …`"),
    "/=": ("a name has one value", "give the quotient a name of its own: `y = x / …`"),
    "@=": ("a name has one value", "give the product a name of its own: `y = W @ x`"),
    "%=": ("a name has one value", "give the result a name of its own"),
}

# Characters that look like ours.
CHARACTERS: dict[str, str] = {
    "→": "->",
    "⟶": "->",
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "*",
    "·": "*",
    "⊙": "*",
    "⋅": "*",
    "÷": "/",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "“": '"',
    "”": '"',
    "„": '"',
    "‘": "'",
    "’": "'",
    "′": "'",
    "…": "...",
    "，": ",",
    "：": ":",
    "（": "(",
    "）": ")",
    "²": "^2",
    "³": "^3",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "!": "not",
    "&": "and",
    "|": "or",
    "∼": "~",
    "⁻": "^-",
    "ᵀ": "'",
    "`": '"',
}
