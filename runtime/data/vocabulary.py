"""Vocabularies: the characters or words that a net knows, and texts as their numbers and back.

In: texts. Out: numbers 0…k−1 of tokens. A source numbers every different token that it meets, in a
`Lexicon`; which of them make the `Vocabulary` is decided when the train part is known, so that
nothing of the held-out examples leaks in. Checkpoints carry vocabularies as JSON.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
SPECIAL = (PAD, UNKNOWN, START, END)  # numbers 0 to 3 where sequences have beginning and end
UNITS = ("char", "word")
HYPHEN = "@-@"  # inside a word, as Moses' tokeniser writes it; a dash between words is `-`

# A number with its separators; an elided article (`l'` of `l'homme`); a word, with the `'t` of
# `don't`; a hyphen inside a word; the end of a line; any other sign.
_WORDS = re.compile(
    r"\d+(?:[.,]\d+)+"
    r"|[^\W\d_]+['’](?=[^\W\d_]{2})"
    r"|\w+(?:['’]\w\b)?"
    r"|(?<=\w)-(?=\w)"
    r"|\n"
    r"|[^\w\s]"
)
_LEFT = frozenset(".,;:!?)]}%…»”'’")  # stand at the word before them
_RIGHT = frozenset("([{«“$£#¿¡")  # stand at the word after them


def cleaned(text: str, lower: bool) -> str:
    """One form of each letter (NFC), of each line end, and of small and capital letters."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return text.lower() if lower else text


def split_tokens(text: str, unit: str) -> list[str]:
    """The tokens of a cleaned text: its characters, or its words and signs."""
    if unit == "char":
        return list(text)
    return [HYPHEN if found == "-" and _is_inside(text, at) else found
            for found, at in ((m.group(), m.start()) for m in _WORDS.finditer(text))]  # fmt: skip


def _is_inside(text: str, at: int) -> bool:
    """Does a hyphen stand between two letters or digits?"""
    return 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()


def join_tokens(tokens: Iterable[str], unit: str) -> str:
    """A text from its tokens: what `split_tokens` does, undone as far as it can be."""
    if unit == "char":
        return "".join(tokens)
    pieces: list[str] = []
    glued, quoted = True, False  # no space before the next token; inside double quotes
    for token in tokens:
        closes = token == '"' and quoted
        joins = token in (HYPHEN, "\n", "/")
        if not (glued or joins or closes or token in _LEFT):
            pieces.append(" ")
        pieces.append("-" if token == HYPHEN else token)
        opens = token == '"' and not quoted
        quoted = opens or (quoted and not closes)
        elided = len(token) > 1 and token[-1] in "'’"
        glued = joins or opens or elided or token in _RIGHT
    return "".join(pieces)


@dataclass(frozen=True)
class Vocabulary:
    """Token number i is `words[i]`. Words in angle brackets at the beginning are special."""

    words: tuple[str, ...]
    unit: str = "word"
    lower: bool = False

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def _silent(self) -> frozenset[int]:
        """What does not appear in a text."""
        return frozenset(n for w in (PAD, START) if (n := self.special(w)) is not None)

    def special(self, word: str) -> int | None:
        """The number of `<start>`, `<end>`, `<pad>` or `<unk>`, if the vocabulary has it."""
        number = self.numbers.get(word)
        return number if word in SPECIAL and number is not None and number < len(SPECIAL) else None

    def encode(self, text: str) -> Ids:
        """The numbers of a text's tokens. What is not known becomes `<unk>`; KeyError without."""
        tokens = split_tokens(cleaned(text, self.lower), self.unit)
        unknown = self.special(UNKNOWN)
        known = self.numbers
        if unknown is None:
            return np.array([known[token] for token in tokens], np.int32)
        return np.array([known.get(token, unknown) for token in tokens], np.int32)

    def text(self, numbers: Iterable[int]) -> str:
        """What the numbers say, up to `<end>`; unknown characters show as �."""
        end, unknown = self.special(END), self.special(UNKNOWN)
        tokens: list[str] = []
        for number in map(int, numbers):
            if number == end:
                break
            if number in self._silent:
                continue
            hidden = number == unknown and self.unit == "char"
            inside = 0 <= number < len(self.words)
            tokens.append("�" if hidden or not inside else self.words[number])
        return join_tokens(tokens, self.unit)

    def as_json(self) -> dict[str, Any]:
        return {"words": list(self.words), "unit": self.unit, "lower": self.lower}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Vocabulary:
        """Raises KeyError, TypeError or ValueError where the facts are none."""
        words = tuple(str(word) for word in facts["words"])
        if facts["unit"] not in UNITS or len(set(words)) != len(words) or not words:
            raise ValueError("this is no vocabulary")
        return cls(words, str(facts["unit"]), facts["lower"] is True)


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Every token that a source met, by number; `special` tokens come first. Fields with the same
    lexicon (the very same object) get the same vocabulary. `limit` is for the vocabulary."""

    words: tuple[str, ...]
    special: tuple[str, ...]
    unit: str
    lower: bool
    limit: int | None

    def vocabulary(self, counts: NDArray[np.int64]) -> Vocabulary:
        """The special tokens, then those that were counted: characters in their order, words from
        the most frequent on, equally frequent ones in the order of the alphabet."""
        first = len(self.special)
        seen = [number for number in range(first, len(self.words)) if counts[number]]
        seen.sort(key=lambda number: (-int(counts[number]), self.words[number]))
        room = len(seen) if self.limit is None else max(0, self.limit - first)
        kept = [self.words[number] for number in seen[:room]]
        if self.unit == "char":
            kept.sort()
        return Vocabulary((*self.special, *kept), self.unit, self.lower)

    def table(self, vocabulary: Vocabulary) -> Ids:
        """For each number of the lexicon, the number in a vocabulary."""
        unknown = vocabulary.special(UNKNOWN)
        known = vocabulary.numbers
        other = -1 if unknown is None else unknown
        return np.array([known.get(word, other) for word in self.words], np.int32)


class Numbering:
    """Numbers for tokens in the order in which they are met, to make a `Lexicon` of."""

    def __init__(self, special: Sequence[str]) -> None:
        self.special = tuple(special)
        self._numbers = {word: number for number, word in enumerate(special)}

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        """Tokens as numbers. None is spelled like a special one: `<` is a token by itself."""
        numbers = self._numbers
        return [numbers.setdefault(token, len(numbers)) for token in tokens]

    def lexicon(self, unit: str, lower: bool, limit: int | None) -> Lexicon:
        return Lexicon(tuple(self._numbers), self.special, unit, lower, limit)
