"""Made pairs of sequences whose answer is known: dates in many forms, and sums.

In: a count and a seed. Out: pairs like those of `pairs`, of characters; a tenth as many again are
the test part, none of whose days or sums is in the train part. Counter-based: the same seed gives
the same examples everywhere.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Dataset
from .pairs import Spoken, Tokens, spoken_dataset
from .registry import source
from .vocabulary import SPECIAL, Vocabulary

Words = NDArray[np.uint64]

_N = Parameter("n", "integer", 10_000, 1, 10_000_000)
_SEED = Parameter("seed", "integer", 0, 0, 2**63 - 1)
TESTED = 10  # one in so many is kept for the test part

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIRST, LAST = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()

# Every form says day, month and year without doubt: days of the month come before months in
# numbers with dots or slashes.
_FORMS: tuple[Callable[[datetime.date], str], ...] = (
    lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{d.day} {MONTHS[d.month - 1][:3]} {d.year}",
    lambda d: f"{MONTHS[d.month - 1][:3]} {d.day} {d.year}",
    lambda d: f"{DAYS[d.weekday()]}, {d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{DAYS[d.weekday()]}, {MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{d.day}{_ordinal(d.day)} of {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{d.day:02}/{d.month:02}/{d.year}",
    lambda d: f"{d.day}.{d.month}.{d.year}",
    lambda d: f"{d.year}, {MONTHS[d.month - 1]} {d.day}",
)


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def alphabet(characters: str) -> Vocabulary:
    """The special tokens and these characters, in order."""
    return Vocabulary((*SPECIAL, *sorted(set(characters))), "char")


DATE_LETTERS = alphabet("".join((*MONTHS, *DAYS, "of", "stndrdth", "0123456789", " ,./")))
DATE_DIGITS, SUM_DIGITS = alphabet("0123456789-"), alphabet("0123456789")
SUMS = alphabet("0123456789+")


def random_words(n: int, seed: int, stream: int) -> Words:
    """64 bits for each example, by Philox, keyed by the seed and the number of a stream."""
    words: Words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(n)
    return words


def held_out(keys: Words) -> NDArray[np.bool_]:
    """Is it kept for the test part? One in ten, by the mixing function of SplitMix64."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((z ^ (z >> np.uint64(31))) % np.uint64(TESTED) == 0)


def drawn(n: int, seed: int, stream: int, kinds: int, test: bool) -> NDArray[np.int64]:
    """n numbers below `kinds`, of those that are held out, or of the others."""
    found: list[NDArray[np.int64]] = []
    missing, turn = n, 0
    while missing > 0:
        words = random_words(max(64, 2 * missing * (TESTED if test else 1)), seed,
                             stream + 1000 * turn)  # fmt: skip
        keys = words % np.uint64(kinds)
        fitting = keys[held_out(keys) == test][:missing]
        found.append(fitting.astype(np.int64))
        missing, turn = missing - len(fitting), turn + 1
    return np.concatenate(found) if found else np.zeros(0, np.int64)


@source("dates", _N, _SEED)
def dates(given: Given) -> Dataset:
    """Dates as people write them, and as ISO 8601 has them: `3 May 1979` → `1979-05-03`.

    Characters; ten forms, days from 1900 to 2099. The test part has days of its own.
    """
    n, seed = given.integer("n"), given.integer("seed")

    def said(count: int, test: bool) -> Spoken:
        days = drawn(count, seed, 1 + test, LAST - FIRST + 1, test)
        forms = random_words(count, seed, 3 + test) % np.uint64(len(_FORMS))
        known = [datetime.date.fromordinal(FIRST + int(day)) for day in days]
        spoken = [_FORMS[int(f)](day) for f, day in zip(forms, known, strict=True)]
        return _spelled(spoken, [d.isoformat() for d in known], DATE_LETTERS, DATE_DIGITS)

    return _made("dates", n, said, DATE_LETTERS, DATE_DIGITS)


@source("addition", _N, Parameter("digits", "integer", 3, 1, 9), _SEED)
def addition(given: Given) -> Dataset:
    """Sums of two numbers of up to so many digits: `12+345` → `357`, as characters.

    The test part has sums of its own.
    """
    n, seed, top = given.integer("n"), given.integer("seed"), 10 ** given.integer("digits")

    def said(count: int, test: bool) -> Spoken:
        both = drawn(count, seed, 1 + test, top * top, test)
        first, second = both // top, both % top
        asked = [f"{a}+{b}" for a, b in zip(first, second, strict=True)]
        return _spelled(asked, [str(total) for total in first + second], SUMS, SUM_DIGITS)

    return _made("addition", n, said, SUMS, SUM_DIGITS)


def _made(
    name: str, n: int, said: Callable[[int, bool], Spoken], source: Vocabulary, target: Vocabulary
) -> Dataset:
    parts = {"train": said(n, False), "test": said(max(1, n // TESTED), True)}
    return spoken_dataset(name, parts, source, target)


def _spelled(
    sources: list[str], targets: list[str], first: Vocabulary, second: Vocabulary
) -> Spoken:
    def numbers(texts: list[str], known: Vocabulary) -> list[Tokens]:
        return [[known.numbers[letter] for letter in text] for text in texts]

    return Spoken(numbers(sources, first), numbers(targets, second))
