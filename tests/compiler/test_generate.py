"""Nets taken apart: the steps, one after another, are the whole net; what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.elaborate import parse_module
from chainrule.compiler.generate.split import SCORES, stepwise
from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Device
from chainrule.runtime.generate.choose import log_softmax
from chainrule.runtime.generate.stepper import Stepper
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plain_device import PlainDevice
from tests.generatenets import CHAR, CLASSES, NETS, STEPS, TRANSLATE, Array, Case

SIZES = {"T": 6, "k": 9, "S": 5, "m": 7}


def whole(case: Case) -> Array:
    """The logarithms of the probabilities [n, T, k] that the net itself gives."""
    output = case.graph.of_kind("output")[0]
    found = run_graph(case.graph, {**case.values, **case.told(case.tokens)}, batch=case.count)
    scores = found["output", output.name]
    return np.log(scores) if case.name == "translate" else scores


@pytest.mark.parametrize("device", [PlainDevice(), CpuDevice(2)], ids=lambda d: d.name)
@pytest.mark.parametrize("name", NETS)
def test_steps_give_the_scores_of_the_whole_net(name: str, device: Device) -> None:
    case = Case(name)
    stepper = Stepper(case.net, case.count, device)
    stepper.push(case.values)
    expected = whole(case)
    for _ in range(2):  # begun again, it is as at first
        stepper.begin(case.inputs, case.count)
        for t in range(STEPS):
            found = log_softmax(stepper.step(case.tokens[:, t]))
            np.testing.assert_allclose(found, log_softmax(expected[:, t]), atol=2e-5)


def test_what_no_step_changes_is_computed_before() -> None:
    net = Case("translate").net
    assert net.before is not None
    assert {leaf.name for leaf in net.inputs} == {"source"}
    learned = {leaf.name for leaf in net.step.params}
    assert not any(name.startswith("enc") for name in learned) and "look.v" in learned
    assert not any(v.op.family == "scan" for v in net.step.nodes)
    assert Case("char").net.before is None


def test_the_step_has_one_state_for_each_carried_value() -> None:
    net = Case("char").net
    assert [c.type.shape for c in net.carried] == [(7,), (7,), (6,), (6,)]
    assert {o.kind for o in net.step.outputs if o.name != SCORES} == {"update"}


def test_a_softmax_at_the_end_is_taken_off() -> None:
    step = Case("translate").net.step
    assert step.outputs[0].value.shape == (CLASSES,)
    last = step.outputs[0].value
    while last.op.family == "view":
        last = last.args[0]
    assert last.op.name != "div"


def mistake(text: str, **asked: str) -> Diagnostic:
    module = parse_module(Source("wrong.net", text))
    with pytest.raises(Failure) as caught:
        stepwise(module, sizes=SIZES, **asked)
    return caught.value.diagnostics[0]


READING = "  h = text -> embedding(5) -> stacked(lstm, [7, 6], mask = mask(text), dropout = 0.3)\n"


def changed(line: str) -> str:
    return CHAR.replace("  scores = h.hs -> dense(k)\n", line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  scores = h.hs * sum(h.hs, axis = 0) -> dense(k)\n", "several steps at once"),
        ("  scores = h.hs + h.last -> dense(k)\n", "when all steps are done"),
        ("  scores = h.hs -> back -> dense(k)\n", "reads ahead"),
        ("  scores = softmax(h.hs @ h.hs') @ h.hs -> dense(k)\n", "several steps at once"),
        ("  scores = concat(h.hs[1:T], h.hs[0:1]) -> dense(k)\n", "several steps at once"),
        ("  scores = h.hs / length(text) -> dense(k)\n", "how long the text is"),
        ("  param p: [T, 6] = 0\n  scores = h.hs + p -> dense(k)\n", "weights for every step"),
        ("  scores = h.hs + embedding(6)(next) -> dense(k)\n", "will not be known"),
        ("  scan x in h.hs with g: [6] = h.last { g = g + x\n yield g }\n"
         "  scores = yielded -> dense(k)\n", "when all steps are done"),
        ("  scan x in h.hs { yield sum(h.hs * x, axis = 0) }\n"
         "  scores = yielded -> dense(k)\n", "several steps at once"),
        ("  t = reshape(h.hs, [6, T])'\n  scores = t -> dense(k)\n", "several steps at once"),
    ],
)  # fmt: skip
def test_a_net_that_needs_later_steps_is_refused(line: str, said: str) -> None:
    back = "block back {\n input xs: [T, n]\n r = xs -> gru(4, reverse = true)\n output r.hs\n}\n"
    found = mistake(back + changed(line), feed="text")
    assert found.code == "E287" and said in found.message, found.message


def test_a_mistake_in_a_layer_of_the_library_is_told_at_the_users_line() -> None:
    cell = "lstm, [7, 6], mask = mask(text), dropout = 0.3"
    found = mistake(CHAR.replace(cell, "gru, [7], reverse = true"))
    assert found.span is not None and found.span.source.name == "wrong.net"
    assert found.span.text.startswith("stacked(")


def test_what_is_fed_back_must_be_clear() -> None:
    twice = CHAR.replace("  output scores\n", "  output scores = scores, wide = 2 * scores\n")
    found = mistake(twice)
    assert found.code == "E286" and "scores scores" in (found.help or "")
    net = stepwise(parse_module(Source("a.net", twice)), sizes=SIZES, scores="wide")
    assert net.classes == 9
    assert "no output `wid`" in mistake(twice, scores="wid").message
    assert "no input `txt`" in mistake(twice, feed="txt").message
    assert mistake(CHAR.replace("output scores", "output h.last")).code == "E286"
    fixed = CHAR.replace("tokens[T, k]", "tokens[6, k]")
    for asked in (", mask = mask(text)", ", mask = mask(next)"):
        fixed = fixed.replace(asked, "")
    assert mistake(fixed).code == "E286"


def test_a_length_of_one_is_as_good_as_any() -> None:
    net = stepwise(parse_module(Source("a.net", TRANSLATE)), sizes={**SIZES, "T": 1, "S": 1})
    assert len(net.carried) == 1 and net.before is not None


def test_sequences_that_happen_to_be_equally_long_are_told_apart() -> None:
    same = {"T": 6, "k": 9, "S": 6, "m": 9}
    net = stepwise(parse_module(Source("a.net", TRANSLATE)), sizes=same)
    assert net.feed == "target" and [leaf.name for leaf in net.inputs] == ["source"]
