"""Texts from a trained net: what is asked for in words, to numbers and back.

In: a model, a `generate` declaration or options, texts or arrays for its other inputs. Out: the
texts. Raises Failure E570 to E575 where words cannot be turned into numbers, or are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import project
from .compiler.generate.choice import generated_net
from .compiler.generate.split import Stepwise, stepwise
from .dsl import syntax as ast
from .dsl.diagnostics import did_you_mean, fail
from .runtime.data.vocabulary import END, PAD, START, UNKNOWN, Vocabulary
from .runtime.generate.generator import Generator, Said
from .runtime.generate.measure import bleu, exact, require_bleu
from .runtime.generate.settings import Generation, read_generation, with_overrides

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .model import Model

LENGTH = 400  # tokens, where no token ends a text
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Generated:
    """One text. `tokens` are its numbers without the start; `log_probability` is the natural
    logarithm of theirs; `example` and `sample` say which it is."""

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    example: int = 0
    sample: int = 0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Measured:
    """What was generated for a part of the data, and how near it is to what it should be."""

    texts: list[str]
    wanted: list[str]
    exact: float
    bleu: float | None = None
    signature: str = ""


def choose_generate(module: Module, name: str | None) -> ast.Generate | None:
    """The declaration of that name; without a name the only one, or None. Raises Failure E612."""
    known = {g.name.id: g for g in module.generates}
    if name is not None and name not in known:
        shown = ", ".join(f"`{n}`" for n in known)
        raise fail(
            "E612", f"there is no `generate {name}` in {module.source.name}",
            help=did_you_mean(name, known) or (f"there are {shown}" if known else
            f"write `generate {name} from net {{ … }}`, or leave out the name"),
        )  # fmt: skip
    if name is None and len(known) > 1:
        shown = ", ".join(f"`{n}`" for n in known)
        raise fail("E612", f"{module.source.name} has several generate declarations: {shown}",
                   module.generates[1].name.span,
                   help=f"choose one: `--name {next(iter(known))}`")  # fmt: skip
    return known[name] if name is not None else next(iter(known.values()), None)


class Writer:
    """A model, taken apart for one way of generating."""

    def __init__(
        self, model: Model, declared: ast.Generate | None, given: Mapping[str, Any]
    ) -> None:
        self.model = model
        settings = Generation()
        if declared is not None:
            settings = read_generation(declared, project.plain_consts(model.module))
        self.settings = with_overrides(settings, given)
        self.span = declared.name.span if declared is not None else model.net.name.span
        self.generator = self._generator()
        self.net: Stepwise = self.generator.net
        self.words: Vocabulary | None = model.vocabularies.get(self.net.feed)
        self.end = self.words.special(END) if self.words else None

    def _generator(self) -> Generator:
        """One for each way of feeding back, kept by the model."""
        feed, scores = self.settings.feed, self.settings.scores
        kept = self.model.generators
        if (feed, scores) not in kept:
            model = self.model
            net = stepwise(
                model.module, model.name, dtype=model.dtype, sizes=model.sizes, feed=feed,
                scores=scores, span=self.span,
            )  # fmt: skip
            kept[feed, scores] = Generator(net, model.device)
        return kept[feed, scores]

    def write(
        self, inputs: Mapping[str, Any], start: str | Sequence[int] | None = None
    ) -> list[Generated]:
        """The texts for some examples: `inputs` by name, as `predict` takes them."""
        ready = self.model.examples(self._inputs(inputs))
        if len({len(a) for a in ready.values()}) > 1:
            raise fail("E610", "the inputs hold different numbers of examples")
        begin, shown = self._start(self.settings.start if start is None else start)
        return [
            Generated(self._text([*shown, *s.tokens]), s.tokens, s.log_probability, s.example,
                      s.sample)
            for s in self._said(ready, begin)
        ]  # fmt: skip

    def measure(self, part: str | None, with_bleu: bool, told: Told | None = None) -> Measured:
        """A text for each example of a part, against the target of the same tokens."""
        if with_bleu:
            require_bleu()
        if self.settings.samples > 1:
            raise fail("E289", "one text for each example is measured, not several samples",
                       help="leave out `samples`")  # fmt: skip
        target = self._target()
        feeder = self.model.feeder(part)
        arrays = feeder.arrays
        names = {leaf.name for leaf in self.net.inputs}
        names |= {f"{n}.length" for n in names}
        ready = {n: a for n, a in arrays.items() if n in names}
        if not ready:
            raise fail("E575", f"`{self.model.name}` is given nothing to generate from, so that "
                       "there is nothing to compare with", self.span,
                       help="measure it by its loss: `chainrule eval`")  # fmt: skip
        begin, _ = self._start(self.settings.start)
        said = self._said(ready, begin, told)
        texts = [self._text(s.tokens) for s in said]
        wanted = [self._text(row) for row in arrays[target].tolist()]
        score, signature = bleu(texts, wanted) if with_bleu else (None, "")
        return Measured(texts, wanted, exact(texts, wanted), score, signature)

    def sources(self, part: str | None) -> list[str]:
        """The texts that a part gives to the net, where it is given a text."""
        names = [leaf.name for leaf in self.net.inputs]
        words = self.model.vocabularies
        known = next((n for n in names if n in words), None)
        if known is None:
            return []
        return [words[known].text(row) for row in self.model.feeder(part).arrays[known].tolist()]

    # ------------------------------------------------------------ words and numbers

    def _said(
        self, ready: Mapping[str, Any], start: Sequence[int], told: Told | None = None
    ) -> list[Said]:
        unsaid = (PAD, UNKNOWN, START)
        special = [self.words.special(w) for w in unsaid] if self.words else []
        return self.generator.generate(
            self.model.session.values, ready, self.settings, start=start, length=self._length(),
            end=self.end, never=[n for n in special if n is not None], told=told,
        )  # fmt: skip

    def _length(self) -> int:
        """As long as asked for, else as the longest text that the net was trained on."""
        if self.settings.length is not None:
            return self.settings.length
        if self.end is None:
            return LENGTH
        return self.model.sizes.get(self.net.clock, LENGTH)

    def _text(self, tokens: Sequence[int]) -> str:
        if self.words is None:
            return " ".join(map(str, tokens))
        return self.words.text(tokens)

    def _start(self, given: str | Sequence[int]) -> tuple[list[int], list[int]]:
        """The tokens that are fed first, and those of them that belong to the text: what is given,
        after `<start>` where there is one; else a new line begins."""
        shown = self._numbers(given)
        first = self.words.special(START) if self.words is not None else None
        if first is not None or shown:
            return ([] if first is None else [first]) + shown, shown
        if self.words is not None and "\n" in self.words.numbers:
            return [self.words.numbers["\n"]], []
        raise fail("E573", f"`{self.model.name}` needs something to begin with", self.span,
                   help='give a start: `start "The"`, or `--start "The"`')  # fmt: skip

    def _numbers(self, given: str | Sequence[int]) -> list[int]:
        if not isinstance(given, str):
            wrong = [n for n in given if not 0 <= int(n) < self.net.classes]
            if wrong:
                raise fail("E571", f"a token is a number from 0 to {self.net.classes - 1}, "
                           f"not {wrong[0]}")  # fmt: skip
            return [int(n) for n in given]
        if not given:
            return []
        if self.words is None:
            raise fail(
                "E570", f"`{self.net.feed}` has no vocabulary to read the start with",
                self.span, help="train it on a text, or give the numbers of tokens in Python: "
                "`model.generate(start=[4, 2])`",
            )  # fmt: skip
        return self._known(self.words, given)

    def _known(self, words: Vocabulary, text: str) -> list[int]:
        """A start must be of known tokens: the net cannot go on from what it never saw."""
        unknown = words.special(UNKNOWN)
        try:
            numbers = words.encode(text).tolist()
        except KeyError as error:
            raise _unknown(str(error.args[0]), self.net.feed) from error
        if unknown is not None and unknown in numbers:
            from .runtime.data.vocabulary import cleaned, split_tokens

            tokens = split_tokens(cleaned(text, words.lower), words.unit)
            raise _unknown(tokens[numbers.index(unknown)], self.net.feed)
        return [int(n) for n in numbers]

    # ------------------------------------------------------------ the other inputs

    def _inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is given, and the `source` of the settings; all that is needed, and no more."""
        needed = {leaf.name: leaf for leaf in self.net.inputs}
        found = dict(given)
        for name in found:
            if name not in needed:
                shown = ", ".join(f"`{n}`" for n in needed) or "no input but what is fed back"
                raise fail("E572", f"`{self.model.name}` does not generate from an input `{name}`",
                           help=f"it generates from {shown}")  # fmt: skip
        source = self.settings.source
        if source is not None and not given:
            tokens = [n for n, f in needed.items() if f.value.type.classes is not None]
            if len(tokens) != 1:
                shown = " and ".join(f"`{n}`" for n in tokens) or "no text"
                raise fail("E572", f"`source` is for a net that reads one text; this reads {shown}",
                           self.span)  # fmt: skip
            found[tokens[0]] = [source]
        missing = [n for n in needed if n not in found]
        if missing:
            word = "`source`" if needed[missing[0]].value.type.classes is not None else "an array"
            raise fail(
                "E572", f"the input `{missing[0]}` is not given", self.span,
                help=f"it takes {word}: `--source TEXT`, or `--part test` for a part of the data",
            )  # fmt: skip
        return found

    def _target(self) -> str:
        """The labels that the net learns to say: tokens of the same number of classes."""
        leaves = self.model.evaluation.leaves
        for name in self.model.session.targets:
            t = leaves[name].value.type
            if t.classes == self.net.classes and len(t.shape) == 1 and self.end is not None:
                return name
        raise fail(
            "E575", f"`{self.model.name}` has no target of whole texts to compare with", self.span,
            help="a net that learns from `pairs(…)` has: `input next: tokens[T, k]`",
        )  # fmt: skip


def generate(
    model: Model,
    name: str | None,
    start: str | Sequence[int] | None,
    inputs: Any,
    options: Mapping[str, Any],
) -> list[Generated]:
    """`Model.generate`."""
    declared = choose_generate(model.module, name)
    if declared is not None and generated_net(model.module, declared) != model.name:
        declared = None
    writer = Writer(model, declared, options)
    return writer.write(_by_name(writer.net, inputs), start)


def _by_name(net: Stepwise, inputs: Any) -> dict[str, Any]:
    if inputs is None:
        return {}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    names = [leaf.name for leaf in net.inputs]
    if len(names) != 1:
        shown = ", ".join(f"`{n}`" for n in names) or "none"
        raise fail("E572", "give a dictionary by input name", help=f"the net's inputs are {shown}")
    return {names[0]: inputs if isinstance(inputs, str) else _listed(inputs)}


def _listed(inputs: Any) -> Any:
    return inputs if isinstance(inputs, np.ndarray | list) else list(inputs)


def _unknown(token: str, feed: str) -> Exception:
    return fail("E571", f"the net does not know `{token}`: its training text had none",
                help=f"begin with what the vocabulary of `{feed}` holds")  # fmt: skip


__all__ = ["Generated", "Measured", "Writer", "choose_generate", "generate"]
