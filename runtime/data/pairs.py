"""The source `pairs`: sentences and what they become, for an encoder and a decoder.

In: two files, line by line, or one with a tab between the two. Out: `source`, `target` (what the
decoder is given, from `<start>` on) and `next` (what it is to say, up to `<end>`), padded with
zeros, with the length of each. Made tasks of pairs are laid out by the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Column, Columns, Dataset, Field, Part
from .places import find_file
from .registry import source
from .text_files import read_lines
from .texts import LOWER, unit_of
from .vocabulary import END, SPECIAL, START, Ids, Lexicon, Numbering, Vocabulary, split_tokens

Tokens = Sequence[int]
Meaning = Lexicon | Vocabulary
_START, _END = SPECIAL.index(START), SPECIAL.index(END)


@dataclass(frozen=True)
class Spoken:
    """The pairs of one part, as numbers of tokens."""

    sources: list[Tokens]
    targets: list[Tokens]

    def __len__(self) -> int:
        return len(self.sources)

    def widths(self) -> tuple[int, int]:
        """The longest source, and the longest target with its `<start>` or `<end>`."""
        return max(map(len, self.sources), default=1), 1 + max(map(len, self.targets), default=1)


def padded(rows: Sequence[Tokens], width: int) -> tuple[Ids, NDArray[np.int32]]:
    """Rows of numbers side by side, zeros after each, and how long each is."""
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    out = np.zeros((len(rows), width), np.int32)
    flat = np.fromiter((n for row in rows for n in row), np.int32, int(lengths.sum()))
    out[np.arange(width) < lengths[:, None]] = flat
    return out, lengths


def spoken_columns(
    said: Spoken, widths: tuple[int, int], source: Meaning, target: Meaning
) -> Columns:
    """`source`, `target` and `next` of the pairs of a part."""
    begun = [(_START, *row) for row in said.targets]
    ended = [(*row, _END) for row in said.targets]
    return {
        "source": token_column("source", said.sources, widths[0], source),
        "target": token_column("target", begun, widths[1], target),
        "next": token_column("next", ended, widths[1], target, is_target=True),
    }


def token_column(
    name: str, rows: Sequence[Tokens], width: int, meaning: Meaning, is_target: bool = False
) -> Column:
    """Sequences of tokens as a column."""
    raw, lengths = padded(rows, width)
    field = Field(name, (width,), "i32", target=is_target, sequence=True)
    if isinstance(meaning, Lexicon):
        return Column(field, raw, lengths=lengths, lexicon=meaning)
    known = replace(field, classes=len(meaning), vocabulary=meaning)
    return Column(known, raw, lengths=lengths)


def spoken_dataset(
    name: str, parts: dict[str, Spoken], source: Meaning, target: Meaning, note: str = ""
) -> Dataset:
    """The parts `train`, `valid` and `test` of one layout."""
    widths = [said.widths() for said in parts.values()]
    widest = max(w[0] for w in widths), max(w[1] for w in widths)
    pools = {n: spoken_columns(said, widest, source, target) for n, said in parts.items()}

    def part(which: str) -> Part:
        count = len(parts[which]) if which in parts else 0
        return Part(pools.get(which, pools["train"]), np.arange(count, dtype=np.int64))

    own = "test" in parts
    return Dataset(name, part("train"), part("valid"), part("test"), own_test=own, note=note)


# ---------------------------------------------------------------- the source


@source(
    "pairs",
    Parameter("source", "text"),
    Parameter("target", "text", None),
    Parameter("valid", "names", None),
    Parameter("test", "names", None),
    Parameter("vocabulary", "sizes", None),
    Parameter("max_length", "integer", 40, 1, 100_000),
    Parameter("unit", "word", "word"),
    LOWER,
)
def pairs(given: Given) -> Dataset:
    """Sentence pairs from two files, or one with tabs: `source`, `target` and `next`.

    `valid` and `test` name the files of those parts, such as `test = ["test.en", "test.fr"]`.
    `vocabulary` is the most words for both sides, or `[8000, 9000]`; longer sentences than
    `max_length` are left out. `target` begins with `<start>`, `next` ends with `<end>`.
    """
    unit, lower = unit_of(given), given.flag("lower")
    limits = _limits(given)
    files = {"train": _files(given, "source")}
    files |= {at: _files(given, at) for at in ("valid", "test") if given.values[at] is not None}
    numberings = Numbering(SPECIAL), Numbering(SPECIAL)
    parts: dict[str, Spoken] = {}
    notes: list[str] = []
    for part, names in files.items():
        at = "source" if part == "train" else part
        lines = _lines(given, at, names, lower)
        parts[part], left = _spoken(lines, numberings, unit, given.integer("max_length"))
        notes += [f"{left:,} of {len(lines[0]):,} pairs of {part} left out"] if left else []
    if not len(parts["train"]):
        message = "no pair is left: every one is longer than `max_length`, or has an empty side"
        raise given.fail("E412", message, "max_length")
    source, target = (n.lexicon(unit, lower, k) for n, k in zip(numberings, limits, strict=True))
    more = "; ".join(notes)
    note = f"{more} (empty, or longer than {given.integer('max_length')})" if more else ""
    return spoken_dataset("pairs", parts, source, target, note)


def _limits(given: Given) -> tuple[int | None, int | None]:
    if given.values["vocabulary"] is None:
        return None, None
    sizes = given.sizes("vocabulary")
    if len(sizes) > 2 or min(sizes) <= len(SPECIAL):
        message = f"`vocabulary` is one size or two, above the {len(SPECIAL)} special tokens"
        raise given.fail("E409", message, "vocabulary", help="`vocabulary = [8000, 9000]`")
    return sizes[0], sizes[-1]


def _files(given: Given, at: str) -> tuple[str, ...]:
    """One name (two columns) or two (two files)."""
    if at == "source":
        second = given.optional_text("target")
        return (given.text("source"),) if second is None else (given.text("source"), second)
    names = given.names(at) or ()
    if len(names) not in (1, 2):
        message = f"`{at}` names two files, or one with a tab in each line"
        raise given.fail("E409", message, at, help=f'`{at} = ["{at}.en", "{at}.fr"]`')
    return names


def _lines(
    given: Given, at: str, names: tuple[str, ...], lower: bool
) -> tuple[list[str], list[str]]:
    """The two sides, line by line. Raises E427 to E429."""
    paths = [find_file(given, at, name) for name in names]
    if len(paths) == 1:
        return _columns(given, at, names[0], read_lines(paths[0], given, at, lower))
    first, second = (read_lines(path, given, at, lower) for path in paths)
    if len(first) != len(second):
        raise given.fail(
            "E429",
            f"`{names[0]}` has {len(first):,} lines, and `{names[1]}` has {len(second):,}",
            at,
            help="line i of one file is the translation of line i of the other",
        )
    return first, second


def _columns(given: Given, at: str, name: str, lines: list[str]) -> tuple[list[str], list[str]]:
    first, second = [], []
    for number, line in enumerate(lines, 1):
        cells = line.split("\t")
        if len(cells) < 2:
            raise given.fail(
                "E429",
                f"`{name}`, line {number}: no tab between a source and its target",
                at,
                help="give a second file, or put a tab between the two sides of each line",
            )
        first.append(cells[0])
        second.append(cells[1])
    return first, second


def _spoken(
    lines: tuple[list[str], list[str]],
    numberings: tuple[Numbering, Numbering],
    unit: str,
    longest: int,
) -> tuple[Spoken, int]:
    """The pairs that are kept, and how many are not."""
    sources: list[Tokens] = []
    targets: list[Tokens] = []
    for first, second in zip(*lines, strict=True):
        said, meant = (split_tokens(line.strip(), unit) for line in (first, second))
        if said and meant and max(len(said), len(meant)) <= longest:
            sources.append(numberings[0](said))
            targets.append(numberings[1](meant))
    return Spoken(sources, targets), len(lines[0]) - len(sources)
