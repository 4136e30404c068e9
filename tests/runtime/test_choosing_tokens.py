"""Choosing tokens: against exhaustive search, against frequencies, alone and in company."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from chainrule.compiler.random import uniform
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Device
from chainrule.runtime.generate import generator as module
from chainrule.runtime.generate.beam import beam_search
from chainrule.runtime.generate.choose import STREAM, ByChance, Likeliest, log_softmax
from chainrule.runtime.generate.generator import Generator, Said
from chainrule.runtime.generate.measure import bleu, exact
from chainrule.runtime.generate.settings import Generation, with_overrides
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plain_device import PlainDevice
from tests.generatenets import CLASSES, STEPS, Array, Case

START, END = 2, 3
CPU = CpuDevice(2)


def said(case: Case, device: Device | None = None, **how: Any) -> list[Said]:
    length = how.pop("length", STEPS - 1)
    end = how.pop("end", END)
    never = how.pop("never", (0, START))
    return Generator(case.net, device or CPU).generate(
        case.values, case.inputs, Generation(**how), start=[START], length=length, end=end,
        never=never,
    )  # fmt: skip


def every_text(case: Case, example: int, length: int, never: tuple[int, ...]) -> dict[Any, float]:
    """log p of every text of at most `length` tokens, the net run on each as a whole."""
    known = [k for k in range(CLASSES) if k not in never]
    bodies = list(product(known, repeat=length))
    tokens = np.zeros((len(bodies), STEPS), np.int32)
    tokens[:, 0] = START
    tokens[:, 1 : length + 1] = bodies
    given = {n: np.repeat(x[example : example + 1], len(tokens), axis=0)
             for n, x in case.inputs.items()}  # fmt: skip
    full = np.full(len(tokens), STEPS, np.int32)
    feed = case.net.feed
    given |= {feed: tokens, "next": tokens, f"{feed}.length": full, "next.length": full}
    output = case.graph.of_kind("output")[0]
    ran = run_graph(case.graph, {**case.values, **given}, batch=len(tokens))
    scores = ran["output", output.name]
    scores = np.log(scores) if case.name == "translate" else scores
    logs = log_softmax(scores.reshape(-1, CLASSES), never).reshape(scores.shape)
    found: dict[Any, float] = {}
    for body, log in zip(bodies, logs, strict=True):
        total, text = 0.0, []
        for t, token in enumerate(body):
            total += log[t, token]
            text.append(token)
            if token == END:
                break
        found[tuple(text)] = float(total)
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_texts(alpha: float) -> None:
    case = Case("translate", count=2, seed=4)
    never, length = (0, 1, START, 6, 7, 8), 3  # three tokens are left: 2³ that go on, at most
    found = said(case, beam=12, length_penalty=alpha, length=length, never=never)
    for example, one in enumerate(found):
        texts = every_text(case, example, length, never)
        ended = {t: p / ((5 + len(t)) / 6) ** alpha for t, p in texts.items() if t[-1] == END}
        best = max(ended, key=lambda t: ended[t])
        assert one.tokens == best[:-1]
        np.testing.assert_allclose(one.log_probability, texts[best], atol=1e-4)


def test_unlikely_ends_do_not_stop_a_likely_text() -> None:
    class Sure:
        """Goes on with near certainty five times, then ends; an early end is the next likely."""

        rows, turn = 0, 0

        def step(self, tokens: Array) -> Array:
            scores = np.zeros((self.rows, CLASSES), np.float32)
            scores[:, END] = 1.0
            scores[:, 5 if self.turn < 5 else END] = 20.0
            self.turn += 1
            return scores

        def reorder(self, source: Array) -> None:
            pass

        def keep(self, chosen: Array) -> None:
            self.rows = len(chosen)

    sure = Sure()
    sure.rows = 4
    found = beam_search(sure, 4, [START], 20, end=END)  # type: ignore[arg-type]
    assert found[0][0] == [5] * 5


def test_a_wide_beam_without_an_end_finds_the_likeliest_text() -> None:
    case = Case("char", count=1)
    found = said(case, beam=81, length=3, end=None, never=(0, 1, 2, 3, 4, 5))[0]
    best = max(product((6, 7, 8), repeat=3), key=lambda t: total(case, t))
    assert found.tokens == best


def total(case: Case, text: tuple[int, ...]) -> float:
    tokens = np.zeros((case.count, STEPS), np.int32)
    tokens[:, : len(text) + 1] = [START, *text]
    output = case.graph.of_kind("output")[0]
    scores = run_graph(case.graph, {**case.values, **case.told(tokens)}, batch=case.count)
    logs = log_softmax(scores["output", output.name][0], (0, 1, 2, 3, 4, 5))
    return float(sum(logs[t, token] for t, token in enumerate(text)))


@pytest.mark.parametrize("name", ["char", "translate", "caption"])
def test_a_beam_of_one_the_likeliest_of_one_and_greedy_are_the_same(name: str) -> None:
    case = Case(name, seed=1)
    greedy = said(case)
    assert [s.tokens for s in said(case, beam=1)] == [s.tokens for s in greedy]
    assert [s.tokens for s in said(case, top_k=1)] == [s.tokens for s in greedy]
    assert [s.tokens for s in said(case, temperature=1e-6)] == [s.tokens for s in greedy]


@pytest.mark.parametrize("how", [{}, {"temperature": 0.9, "samples": 3, "seed": 5}, {"beam": 3}])
@pytest.mark.parametrize("name", ["char", "translate", "caption"])
def test_compiled_steps_say_what_interpreted_ones_say(name: str, how: dict[str, Any]) -> None:
    case = Case(name, seed=2)
    compiled, plain = said(case, CPU, **how), said(case, PlainDevice(), **how)
    assert [s.tokens for s in compiled] == [s.tokens for s in plain]
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one.log_probability, other.log_probability, rtol=1e-4)


@pytest.mark.parametrize("how", [{}, {"temperature": 1.0, "samples": 2}, {"beam": 3}])
def test_a_text_does_not_depend_on_its_company(
    how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("translate", count=12, seed=3)
    together = said(case, PlainDevice(), **how)
    assert len({len(s.tokens) for s in together}) > 1  # some end early, others go on
    monkeypatch.setattr(module, "ROWS", 6)
    assert [s.tokens for s in said(case, PlainDevice(), **how)] == [s.tokens for s in together]


def test_a_seed_gives_its_text_again_and_another_seed_another() -> None:
    case = Case("char", count=1)
    how = {"temperature": 1.5, "samples": 4, "end": None, "length": 20}
    first = [s.tokens for s in said(case, seed=1, **how)]
    assert first == [s.tokens for s in said(case, seed=1, **how)]
    assert first != [s.tokens for s in said(case, seed=2, **how)]
    assert len(set(first)) == 4
    assert [s.sample for s in said(case, seed=1, **how)] == [0, 1, 2, 3]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    scores = np.log(np.array([[0.5, 0.25, 0.15, 0.1]], np.float32))
    draws = 4000
    choose = ByChance([0], draws, seed=7, temperature=2.0)
    found = [int(choose(scores, t, np.zeros(1, int))[0][0]) for t in range(draws)]
    wanted = np.sqrt([0.5, 0.25, 0.15, 0.1])
    share = np.bincount(found, minlength=4) / draws
    np.testing.assert_allclose(share, wanted / wanted.sum(), atol=0.025)
    few = ByChance([0], draws, seed=7, top_k=2, never=(0,))
    assert {int(few(scores, t, np.zeros(1, int))[0][0]) for t in range(50)} == {1, 2}


def test_draws_are_counted_by_sample_and_place() -> None:
    choose = ByChance([3], 9, seed=11)
    u = uniform((9,), STREAM, "f64", 11, 3)
    even = np.zeros((1, 10), np.float32)
    for place in range(9):
        assert choose(even, place, np.zeros(1, int))[0][0] == int(u[place] * 10)


def test_the_greatest_draw_stays_among_what_can_be() -> None:
    choose = ByChance([0], 1, seed=0)
    choose._drawn = np.full((1, 1), (1 - 2.0**-53) * (1 - 2.0**-52))
    scores = np.array([[0.0, 1.0, -np.inf, -np.inf]], np.float32)
    assert choose(scores, 0, np.zeros(1, int))[0][0] == 1


def test_the_first_of_equal_scores_is_the_likeliest() -> None:
    tokens, logs = Likeliest((0,))(np.zeros((2, 4), np.float32), 0, np.arange(2))
    assert tokens.tolist() == [1, 1]
    np.testing.assert_allclose(logs, np.log(1 / 3))


def test_other_parameters_are_taken_over() -> None:
    case = Case("char", count=1)
    speaker = Generator(case.net, PlainDevice())

    def speak(values: dict[str, Array]) -> tuple[int, ...]:
        return speaker.generate(values, {}, Generation(), start=[START], length=8)[0].tokens

    before = speak(case.values)
    seventh = 99 * np.eye(CLASSES, dtype=np.float32)[7]
    changed = {**case.values, "scores.b": case.values["scores.b"] + seventh}
    assert speak(changed) == (7,) * 8
    assert speak(case.values) == before


def test_a_method_given_from_outside_takes_the_place_of_the_declared_one() -> None:
    declared = Generation(temperature=0.8, samples=3, start="A")
    given = {"beam": 4, "temperature": None, "greedy": False}
    assert with_overrides(declared, given) == Generation(beam=4, start="A")
    searched = Generation(beam=4, length_penalty=1.0)
    assert with_overrides(searched, {"temperature": 2.0}) == Generation(temperature=2.0)
    assert with_overrides(declared, {"length": 7}).temperature == 0.8


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"temperature": 0.0}, "E288"), ({"temperature": float("nan")}, "E288"),
        ({"length": 0}, "E288"), ({"beam": 2.5}, "E288"), ({"tempreture": 1.0}, "E288"),
        ({"beam": 3, "top_k": 2}, "E289"), ({"greedy": True, "samples": 2}, "E289"),
        ({"length_penalty": 0.5}, "E289"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused(given: dict[str, Any], code: str) -> None:
    with pytest.raises(Failure) as caught:
        with_overrides(Generation(), given)
    assert caught.value.diagnostics[0].code == code


def test_exact_matches_and_bleu() -> None:
    wanted = ["a man in a blue shirt is standing on a ladder", "two dogs run"]
    assert exact(wanted, wanted) == 1.0 and exact([wanted[0], "one dog runs"], wanted) == 0.5
    pytest.importorskip("sacrebleu")
    assert bleu(wanted, wanted)[0] == pytest.approx(100)
    texts = ["a man in a red shirt is standing on a ladder", "two dogs run"]
    score, signature = bleu(texts, wanted)
    assert "tok:13a" in signature
    assert score == pytest.approx(score_of(texts, wanted), abs=1e-6)


def score_of(texts: list[str], wanted: list[str]) -> float:
    """BLEU (Papineni et al., 2002), counted by hand; the texts are as long as what is wanted."""
    logs = []
    for n in range(1, 5):
        right = many = 0
        for text, reference in zip(texts, wanted, strict=True):
            ours, theirs = (
                [tuple(s.split()[i : i + n]) for i in range(len(s.split()) - n + 1)]
                for s in (text, reference)
            )
            many += len(ours)
            right += sum(min(ours.count(g), theirs.count(g)) for g in set(ours))
        logs.append(np.log(right / many))
    return float(100 * np.exp(np.mean(logs)))
