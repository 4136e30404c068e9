"""Which array of a file becomes which array of a net, and what is said where none does."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse
from chainrule.dsl.source import Source
from chainrule.dsl.syntax import Train
from chainrule.runtime.train.load_line import read_load
from chainrule.runtime.train.loading import Array, Load, Rename, Report, load_into


def arrays(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Arrays whose numbers tell them apart; `__` stands for a dot."""
    return {
        name.replace("__", "."): np.full(shape, at + 1.0, np.float32)
        for at, (name, shape) in enumerate(shapes.items())
    }


OURS = arrays(
    features__conv__W=(4, 1, 3, 3), features__conv__b=(4,), head__W=(10, 36), head__b=(10,)
)


def line(text: str) -> Load:
    (train,) = parse(Source("t.net", f"train n on d {{\n{text}\n}}\n")).declarations
    assert isinstance(train, Train)
    return read_load(train.body[0])


def loaded(theirs: dict[str, Array], text: str) -> tuple[dict[str, Array], Report]:
    return load_into(theirs, OURS, line(text), "w.safetensors")


def mistake(theirs: dict[str, Array], text: str) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        loaded(theirs, text)
    (found,) = caught.value.diagnostics
    assert found.span is not None and found.help
    return found


def pairs(theirs: dict[str, Array], text: str) -> dict[str, str]:
    return {ours: their for their, ours in loaded(theirs, text)[1].matched}


# ---------------------------------------------------------------- names


def test_equal_names_match_and_the_rest_is_told() -> None:
    theirs = arrays(head__W=(10, 36), head__c=(10,), tail__W=(2, 2))
    values, report = loaded(theirs, 'load "w"')
    assert list(values) == ["head.W"] and (values["head.W"] == theirs["head.W"]).all()
    assert report.unused == ("head.c", "tail.W")
    assert [name for name, _ in report.kept] == ["features.conv.W", "features.conv.b", "head.b"]
    text = str(report)
    assert "loaded 1 array from w.safetensors: head.W" in text
    assert "not used of the file: head.c, tail.W" in text
    assert "head.b (no such name, the nearest is `head.c`)" in text


def test_what_is_loaded_is_a_copy_of_the_nets_element_type() -> None:
    theirs = {"head.b": np.arange(10, dtype=np.float64)}
    values, _ = loaded(theirs, 'load "w"')
    assert values["head.b"].dtype == np.float32
    values["head.b"][:] = 0
    assert theirs["head.b"].any()


def test_into_is_a_part_of_ours() -> None:
    theirs = arrays(conv__W=(4, 1, 3, 3), conv__b=(4,))
    expected = {"features.conv.W": "conv.W", "features.conv.b": "conv.b"}
    assert pairs(theirs, 'load "w" into features') == expected
    assert pairs(theirs, 'load "w" into features.*') == expected
    _, report = loaded(theirs, 'load "w" into features')
    assert report.kept == ()  # the head is not meant


def test_a_dotted_source_is_a_part_of_theirs() -> None:
    theirs = arrays(a__conv__W=(4, 1, 3, 3), b__conv__W=(4, 1, 3, 3))
    assert pairs(theirs, "load other.b into features") == {"features.conv.W": "b.conv.W"}


def test_the_one_part_of_theirs_that_holds_all_of_ours_is_found() -> None:
    theirs = arrays(body__conv__W=(4, 1, 3, 3), body__conv__b=(4,), out__W=(3, 3))
    assert pairs(theirs, 'load "w" into features') == {
        "features.conv.W": "body.conv.W", "features.conv.b": "body.conv.b",
    }  # fmt: skip


def test_of_two_such_parts_the_one_of_our_name_counts_and_else_none() -> None:
    both = arrays(
        features__conv__W=(4, 1, 3, 3), features__conv__b=(4,),
        other__conv__W=(4, 1, 3, 3), other__conv__b=(4,),
    )  # fmt: skip
    assert pairs(both, 'load "w" into features')["features.conv.W"] == "features.conv.W"
    renamed = {name.replace("features", "first"): a for name, a in both.items()}
    found = mistake(renamed, "load net into features")
    assert found.code == "E548"
    assert found.help == "several parts fit, name one: `load net.first` or `load net.other`"


def test_of_two_such_parts_the_one_whose_shapes_fit_counts() -> None:
    theirs = arrays(
        a__conv__W=(8, 1, 3, 3), a__conv__b=(8,), b__conv__W=(4, 1, 3, 3), b__conv__b=(4,)
    )
    assert pairs(theirs, "load net into features")["features.conv.b"] == "b.conv.b"


def test_a_map_renames_and_what_it_does_not_speak_of_matches_by_name() -> None:
    theirs = arrays(conv1__weight=(4, 1, 3, 3), conv1__bias=(4,), head__W=(10, 36))
    found = pairs(theirs, 'load "w" map "conv1.weight" = "features.conv.W"')
    assert found == {"features.conv.W": "conv1.weight", "head.W": "head.W"}


@pytest.mark.parametrize(
    ("pattern", "name", "texts"),
    [
        ("a", "a", ()),
        ("a.*", "a.b.c", ("b.c",)),
        ("*.*", "a.b.c", ("a.b", "c")),
        ("*.W.*", "a.W.b.W.c", ("a.W.b", "c")),
        ("a.*", "a.", None),  # a star stands for one character or more
        ("a*a", "aa", None),
        ("**", "abc", ("ab", "c")),
        ("a.*", "a", None),
    ],
)
def test_stars_stand_for_texts_the_first_as_long_as_can_be(
    pattern: str, name: str, texts: tuple[str, ...] | None
) -> None:
    assert Rename(pattern, None).found(name) == texts


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    assert Rename("a*" * 500 + "b", None).found("a" * 5_000) is None


def test_line_breaks_and_escapes_in_the_names_of_a_file_are_written_out() -> None:
    theirs = {"head.W": OURS["head.W"], "a\nb\x1b[31m": OURS["head.b"]}
    assert "not used of the file: a\\nb\\x1b[31m" in str(loaded(theirs, 'load "w"')[1])
    found = mistake({"a\nb": OURS["head.b"]}, 'load "w"')
    assert "\n" not in found.message


def test_a_star_stands_for_the_same_text_on_both_sides() -> None:
    theirs = arrays(enc__c__W=(4, 1, 3, 3), enc__c__b=(4,), x__head__y__b=(10,))
    found = pairs(theirs, 'load "w" map "enc.c.*" = "features.conv.*", "x.*.y.*" = "*.*"')
    assert found == {"features.conv.W": "enc.c.W", "features.conv.b": "enc.c.b",
                     "head.b": "x.head.y.b"}  # fmt: skip


def test_a_map_to_none_leaves_out_and_says_so() -> None:
    theirs = arrays(features__conv__b=(4,), head__W=(26, 36), head__b=(26,))
    values, report = loaded(theirs, 'load "w" map "head.*" = none')
    assert list(values) == ["features.conv.b"]
    assert report.left_out == ("head.W", "head.b") and report.unused == ()
    assert "left out by the map: head.W, head.b" in str(report)


def test_the_last_pair_that_matches_counts() -> None:
    theirs = arrays(a__W=(10, 36), a__b=(10,))
    found = pairs(theirs, 'load "w" into head map "a.*" = "*", "a.b" = none')
    assert found == {"head.W": "a.W"}


def test_a_long_list_of_names_is_cut() -> None:
    theirs = {f"n{k}.x": np.zeros(1, np.float32) for k in range(40)} | arrays(head__b=(10,))
    assert "n11.x and 28 more" in str(loaded(theirs, 'load "w"')[1])


# ---------------------------------------------------------------- what does not match


def test_nothing_in_common_is_refused_with_both_lists() -> None:
    found = mistake(arrays(a=(1,)), 'load "w"')
    assert found.code == "E548"
    assert "it holds `a`; the net has `features.conv.W`, `features.conv.b`" in found.message
    assert found.help == 'say which is which: `map "their name" = "our name"`'


def test_a_part_with_some_of_our_names_is_proposed() -> None:
    found = mistake(arrays(old__conv__W=(4, 1, 3, 3)), 'load "w" into features')
    assert found.help == 'the part `old` of it has 1 of our names: `map "old.*" = "*"`'
    found = mistake(arrays(old__conv__W=(4, 1, 3, 3)), "load net into features")
    assert found.help.endswith("`load net.old`")


def test_a_file_of_one_part_is_told_to_go_into_it() -> None:
    found = mistake(arrays(conv__W=(4, 1, 3, 3)), 'load "w"')
    assert found.help == "all of it fits into one part: `into features`"


def test_an_unknown_part_of_ours_suggests_the_nearest() -> None:
    found = mistake(arrays(a=(1,)), 'load "w" into featurs')
    assert (found.code, found.help) == ("E291", "did you mean `features`?")
    assert found.span is not None and found.span.text == "featurs"
    assert mistake(arrays(a=(1,)), 'load "w" into q').help == "it has `features`, `head`"


def test_an_unknown_part_of_theirs_suggests_the_nearest() -> None:
    found = mistake(arrays(encoder__W=(1,)), "load net.encodr into head")
    assert (found.code, found.help) == ("E548", "did you mean `encoder`?")


@pytest.mark.parametrize(
    ("map_", "said", "advice"),
    [
        ('"hed.W" = none', "holds no `hed.W`", "did you mean `head.W`?"),
        ('"head" = none', "holds no `head`", 'for all of it write `"head.*" = none`'),
        ('"head" = "q"', "holds no `head`", 'for all of it write `"head.*" = "q.*"`'),
        ('"head.W" = "haed.W"', "the net has no `haed.W`", "did you mean `head.W`?"),
        ('"head.*" = "q.*"', "the net has no `q.W`", "there are `features.conv.W`"),
        ('"head.*" = none, "*" = "*"', "later pairs take all", "the last pair"),
    ],
)
def test_a_pair_without_effect_is_refused(map_: str, said: str, advice: str) -> None:
    found = mistake(arrays(head__W=(10, 36), head__b=(10,)), f'load "w" map {map_}')
    assert found.code == "E548" and said in found.message and found.help.startswith(advice)
    assert found.span is not None and found.span.text in map_


def test_two_arrays_for_one_place_are_refused() -> None:
    found = mistake(arrays(a=(10,), c=(10,)), 'load "w" into head map "a" = "b", "c" = "b"')
    assert found.code == "E548" and "would both become `head.b`" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "load(3)",
        'load ""',
        "load a.*.b",
        'load "w" map "a" = b',
        'load "w" map "" = "b"',
        'load "w" map "a.*" = "b"',
        'load "w" map "a" = "b.*"',
        'load "w" map "a**" = none',
        'load "w" map "a." = "b"',
        'load "w" map "a" = "b", "a" = none',
    ],
)
def test_a_line_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(Failure) as caught:
        line(text)
    (found,) = caught.value.diagnostics
    assert found.code == "E291" and found.span is not None and found.help


# ---------------------------------------------------------------- shapes and element types


def test_another_shape_is_refused_with_both_facts_and_the_way_out() -> None:
    theirs = arrays(features__conv__b=(4,), head__W=(26, 36), head__b=(26,))
    found = mistake(theirs, 'load "w"')
    assert found.code == "E549"
    assert "`head.W` is [26, 36] in the file, and `head.W` is [10, 36] in the net" in found.message
    assert "`head.b` is [26]" in found.message
    assert found.help == 'leave out what is different here: `map "head.*" = none`'
    loaded(theirs, f'load "w" {found.help.split("`")[1]}')  # the advice works


def test_a_matrix_that_is_turned_round_is_called_so() -> None:
    found = mistake(arrays(head__W=(36, 10)), 'load "w"')
    assert found.code == "E549" and "`head.W` is turned round" in found.help


def test_whole_numbers_are_no_weights() -> None:
    found = mistake({"head.b": np.zeros(10, np.int32)}, 'load "w"')
    assert found.code == "E549" and "holds int32" in found.message


# ---------------------------------------------------------------- PyTorch's names


def test_names_of_pytorch_get_a_proposed_map_that_works() -> None:
    theirs = {
        "0.weight": np.ones((4, 1, 3, 3), np.float32), "0.bias": np.ones(4, np.float32),
        "10.weight": np.ones((10, 36), np.float32), "10.bias": np.ones(10, np.float32),
    }  # fmt: skip
    found = mistake(theirs, 'load "w"')
    assert found.code == "E548" and "names of PyTorch" in found.help
    proposed = found.help.partition("map ")[2]
    assert '"10.weight" = "head.W"' in proposed
    values, report = loaded(theirs, f'load "w" map {proposed}')
    assert len(values) == 4 and report.kept == () and report.unused == ()


def test_layers_of_equal_shape_are_proposed_in_their_order() -> None:
    ours = arrays(a__W=(3, 3), a__b=(3,), b__W=(3, 3), b__b=(3,))
    theirs = arrays(l10__weight=(3, 3), l10__bias=(3,), l2__weight=(3, 3), l2__bias=(3,))
    with pytest.raises(Failure) as caught:
        load_into(theirs, ours, Load(), "w")
    assert '"l2.weight" = "a.W"' in caught.value.diagnostics[0].help


def test_batch_normalisation_is_proposed_with_its_running_statistics() -> None:
    ours = arrays(n__gamma=(5,), n__beta=(5,), n__running_mean=(5,), n__running_variance=(5,))
    theirs = arrays(
        bn1__weight=(5,), bn1__bias=(5,), bn1__running_mean=(5,), bn1__running_var=(5,),
        bn1__num_batches_tracked=(),
    )  # fmt: skip
    with pytest.raises(Failure) as caught:
        load_into(theirs, ours, Load(), "w")
    pairs = caught.value.diagnostics[0].help
    for text in ('"bn1.weight" = "n.gamma"', '"bn1.bias" = "n.beta"',
                 '"bn1.running_var" = "n.running_variance"'):  # fmt: skip
        assert text in pairs


def test_a_linear_layer_of_pytorchs_names_that_is_turned_round_is_called_so() -> None:
    theirs = arrays(fc__weight=(36, 10), fc__bias=(10,))
    with pytest.raises(Failure) as caught:
        load_into(theirs, arrays(head__W=(10, 36), head__b=(10,)), Load(), "w")
    assert "`fc.weight` is turned round" in caught.value.diagnostics[0].help


def test_a_rename_of_many_stars_keeps_their_order() -> None:
    rename = Rename("*.layer*.w", "x.*_*.W")
    match = rename.found("enc.layer3.w")
    assert match is not None and rename.renamed(match) == "x.enc_3.W"
