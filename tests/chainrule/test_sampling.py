"""Samples, ways through latent space, reconstructions and the numbers of nodes, from Python."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import Failure, Model
from chainrule.latent import between, codes, decoder, interpolate, manifold
from chainrule.predicting import principal
from chainrule.sampling import Sampler, each_class, examples, reconstructions, samples
from chainrule.sheets import Look, in_rows, in_units, look_of, sheet
from tests.chainrule.generativenets import AUTOENCODER, CONDITIONAL, GAN, PLAIN, VAE


def learned(text: str, **options: Any) -> Model:
    """The net after its two steps of training."""
    model = chainrule.loads(text, **options)
    model.fit()
    return model


@pytest.fixture(scope="module")
def vae() -> Model:
    return learned(VAE)


@pytest.fixture(scope="module")
def gan() -> Model:
    return learned(GAN)


@pytest.fixture(scope="module")
def conditional() -> Model:
    return learned(CONDITIONAL)


def again(model: Model, text: str, **options: Any) -> Model:
    """Another model with the same numbers."""
    other = chainrule.loads(text, **options)
    other.session.values = dict(model.session.values)
    return other


# ---------------------------------------------------------------- samples


def test_samples_have_the_outputs_shape_and_differ_over_all_batches(vae: Model) -> None:
    found = vae.sample(1100)
    assert found.shape == (1100, 64)
    assert len({row.tobytes() for row in found}) == 1100


def test_the_first_samples_are_the_same_however_many_are_asked_for(vae: Model) -> None:
    np.testing.assert_array_equal(vae.sample(7), vae.sample(600)[:7])


def test_a_seed_gives_the_same_samples_again_and_another_seed_others(vae: Model) -> None:
    np.testing.assert_array_equal(vae.sample(5, seed=3), vae.sample(5, seed=3))
    assert not np.array_equal(vae.sample(5, seed=3), vae.sample(5, seed=4))


def test_samples_do_not_depend_on_threads(vae: Model) -> None:
    found = [again(vae, VAE, threads=n).sample(600, seed=1) for n in (1, 2)]
    np.testing.assert_array_equal(found[0], found[1])


def test_samples_are_what_the_plain_interpreter_computes(vae: Model) -> None:
    plain = again(vae, VAE, device="plain").sample(600, seed=1)
    np.testing.assert_allclose(vae.sample(600, seed=1), plain, atol=1e-5)


def test_a_gan_is_sampled_without_its_data(gan: Model) -> None:
    assert gan.sample(9).shape == (9, 2)
    assert Sampler(gan).look is None  # a point is no picture


def test_an_inner_node_of_draws_alone_can_be_sampled_too(gan: Model) -> None:
    np.testing.assert_array_equal(gan.sample(4, node="make"), gan.sample(4))


def test_a_net_without_a_generative_output_says_how_to_add_one() -> None:
    with pytest.raises(Failure, match="E614") as caught:
        samples(chainrule.loads(PLAIN))
    assert "output sampled = decode(normal([20]))" in str(caught.value)


def test_a_node_that_is_computed_from_an_input_is_no_sample(vae: Model) -> None:
    with pytest.raises(Failure, match="E614") as caught:
        vae.sample(node="reconstruction")
    assert "computed from `image`" in str(caught.value)


def test_no_samples_at_all_are_refused(vae: Model) -> None:
    with pytest.raises(Failure, match="E619"):
        vae.sample(0)


def test_more_samples_than_memory_holds_are_refused_at_once(vae: Model) -> None:
    with pytest.raises(Failure, match=r"E410.*10,000,000,000,000 examples"):
        vae.sample(10**13)


def test_a_picture_that_memory_does_not_hold_is_refused_at_once(vae: Model) -> None:
    with pytest.raises(Failure, match=r"E410.*pixels"):
        sheet([vae.sample(2)], Look((1, 8, 8), (0.0, 1.0)), scale=1_000_000)


def test_ways_of_too_many_points_are_refused_at_once(vae: Model) -> None:
    with pytest.raises(Failure, match="E619"):
        vae.interpolate(rows=8, steps=10**9)
    with pytest.raises(Failure, match="E619"):
        manifold(Sampler(vae), 10**5)


def test_samples_decode_from_their_own_draws(vae: Model) -> None:
    sampler = Sampler(vae)
    (draws,) = sampler.draws(600, seed=2)
    np.testing.assert_array_equal(sampler.decoded([draws]), sampler.samples(600, seed=2))


# ---------------------------------------------------------------- labels


def test_a_label_must_be_given(conditional: Model) -> None:
    with pytest.raises(Failure, match="E616") as caught:
        conditional.sample(3)
    assert "--set-input digit=3" in str(caught.value)


def test_a_class_is_given_by_its_number(conditional: Model) -> None:
    three, four = (conditional.sample(5, given={"digit": k}) for k in (3, 4))
    assert three.shape == (5, 64)
    assert not np.array_equal(three, four)


@pytest.mark.parametrize("word", [10, -1, "three"])
def test_a_class_that_there_is_not_is_refused(conditional: Model, word: Any) -> None:
    with pytest.raises(Failure, match="E616"):
        conditional.sample(3, given={"digit": word})


def test_a_label_that_there_is_not_suggests_the_nearest(conditional: Model) -> None:
    with pytest.raises(Failure, match="E616") as caught:
        conditional.sample(3, given={"digits": 3})
    assert "did you mean `digit`" in str(caught.value)


def test_each_class_has_a_row_from_the_same_draws(conditional: Model) -> None:
    found = each_class(Sampler(conditional), "digit", columns=4, seed=5)
    assert found.shape == (10, 4, 64)
    alone = conditional.sample(4, seed=5, given={"digit": 7})
    np.testing.assert_allclose(found[7], alone, rtol=1e-6)


# ---------------------------------------------------------------- ways through latent space


def test_an_interpolation_begins_and_ends_with_samples(vae: Model) -> None:
    found = vae.interpolate(3, 5, seed=6)
    assert found.shape == (3, 5, 64)
    ends = vae.sample(6, seed=6)
    np.testing.assert_allclose(found[:, 0], ends[0::2], atol=1e-6)
    np.testing.assert_allclose(found[:, -1], ends[1::2], atol=1e-6)


def test_a_circle_keeps_the_length_and_a_line_does_not() -> None:
    a, b = np.eye(2, 6, dtype=np.float32)[:, None] * 3
    shares = np.linspace(0, 1, 5)
    lengths = np.linalg.norm(between(a, b, shares, True), axis=2)
    np.testing.assert_allclose(lengths, 3, rtol=1e-6)
    middle = np.linalg.norm(between(a, b, shares, False)[0, 2])
    np.testing.assert_allclose(middle, 3 / np.sqrt(2), rtol=1e-6)


def test_a_circle_between_parallel_points_is_a_line() -> None:
    a = np.array([[1.0, 2.0]], np.float32)
    found = between(a, -2 * a, np.linspace(0, 1, 4), True)
    np.testing.assert_allclose(found, between(a, -2 * a, np.linspace(0, 1, 4), False))
    assert np.isfinite(between(a, a * 0, np.linspace(0, 1, 4), True)).all()


def test_uniform_draws_are_joined_by_lines(gan: Model) -> None:
    sampler = Sampler(gan)
    found = interpolate(sampler, 2, 3, seed=1)
    (draws,) = sampler.draws(4, seed=1)
    middle = sampler.decoded([(draws[0::2] + draws[1::2]) / 2])
    np.testing.assert_allclose(found[:, 1], middle, atol=1e-6)


def test_an_interpolation_between_examples_decodes_their_codes(vae: Model) -> None:
    sampler = Sampler(vae)
    points = codes(sampler, [3, 11])
    fields = examples(vae, [3, 11])
    np.testing.assert_array_equal(points, vae.predict(fields, nodes=["mean"]))
    found = interpolate(sampler, 1, 4, ends=(points[:1], points[1:]))
    np.testing.assert_allclose(found[0, [0, -1]], sampler.decoded([points]), atol=1e-6)


def test_an_autoencoder_is_cut_at_its_code() -> None:
    model = learned(AUTOENCODER)
    sampler, name = decoder(model)
    assert name == "code"
    points = codes(sampler, [4, 9], name)
    found = interpolate(sampler, 1, 3, ends=(points[:1], points[1:]))
    images = examples(model, [4, 9])["image"]
    np.testing.assert_allclose(found[0, [0, 2]], model.predict(images), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], sampler.decoded([points.mean(0, keepdims=True)]))


def test_a_decoder_that_sees_more_than_the_code_is_refused() -> None:
    model = chainrule.loads(AUTOENCODER.replace("code -> dense(64)", "(code -> dense(64)) + image"))
    with pytest.raises(Failure, match="E618") as caught:
        decoder(model)
    assert "`image` beside `code`" in str(caught.value)


def test_a_node_that_is_no_code_is_refused() -> None:
    with pytest.raises(Failure, match="E618"):
        decoder(chainrule.loads(AUTOENCODER), latent="loss")
    with pytest.raises(Failure, match="E614"):
        decoder(chainrule.loads(PLAIN))


def test_a_code_of_another_shape_is_refused(vae: Model) -> None:
    with pytest.raises(Failure, match="E618"):
        codes(Sampler(vae), [0, 1], latent="encode.h")


def test_an_example_that_there_is_not_is_refused(vae: Model) -> None:
    with pytest.raises(Failure, match="E618") as caught:
        codes(Sampler(vae), [0, 10**6])
    assert "examples: 0 to" in str(caught.value)


def test_a_net_that_encodes_nothing_is_told_so(gan: Model) -> None:
    with pytest.raises(Failure, match="E618"):
        codes(Sampler(gan), [0, 1])


def test_the_plane_of_two_numbers_is_even_in_probability(vae: Model) -> None:
    sampler = Sampler(vae)
    found = manifold(sampler, 4)
    assert found.shape == (4, 4, 64)
    low, high = (NormalDist().inv_cdf(p) for p in (0.125, 0.875))
    corner = sampler.decoded([np.array([[low, high], [high, low]], np.float32)])
    np.testing.assert_allclose(found[[0, 3], [0, 3]], corner, atol=1e-6)


def test_a_plane_needs_two_latent_numbers(gan: Model) -> None:
    with pytest.raises(Failure, match="E618"):
        manifold(Sampler(gan))


# ---------------------------------------------------------------- reconstructions and nodes


def test_reconstructions_stand_beside_their_examples(vae: Model) -> None:
    (pair,) = reconstructions(vae, 5)
    assert (pair.input, pair.output) == ("image", "reconstruction")
    assert pair.examples.shape == pair.found.shape == (5, 64)
    np.testing.assert_array_equal(pair.examples, examples(vae, range(5))["image"])


def test_a_net_that_gives_nothing_back_says_how_it_could(gan: Model) -> None:
    with pytest.raises(Failure, match="E614"):
        reconstructions(gan)


def test_embedding_a_part_and_predicting_its_arrays_are_the_same(vae: Model) -> None:
    found = vae.embed(None, "encode.h", part="valid")
    arrays = vae.feeder("valid").arrays
    np.testing.assert_array_equal(found, vae.predict(arrays["image"], nodes=["encode.h"]))
    assert found.shape == (len(arrays["image"]), 12)


def test_a_loss_is_a_node_with_a_number_for_each_example(vae: Model) -> None:
    assert vae.embed(None, "loss", part="valid").shape == (len(vae.feeder("valid")),)


def test_nodes_of_one_example_have_no_batch(vae: Model) -> None:
    found = vae.predict(np.zeros(64), nodes=["mean", "spread"])
    assert {name: array.shape for name, array in found.items()} == {"mean": (2,), "spread": (2,)}


def test_draws_are_fresh_for_every_example_of_a_prediction(vae: Model) -> None:
    found = vae.predict(np.zeros((1100, 64)), nodes=["z"])
    assert len({row.tobytes() for row in found}) == 1100


def test_principal_directions_are_those_of_the_singular_value_decomposition() -> None:
    rng = np.random.default_rng(3)
    for shape in ((60, 5), (7, 2100)):
        x = rng.normal(size=shape) * np.geomspace(8, 1, shape[1])
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        np.testing.assert_allclose(np.abs(principal(x)), np.abs((u * s)[:, :2]), atol=1e-3)
    assert principal(rng.normal(size=(4, 1))).shape == (4, 2)


# ---------------------------------------------------------------- pictures


def test_a_vector_is_the_picture_that_its_data_say(vae: Model) -> None:
    assert look_of(vae, Sampler(vae).value) == Look((1, 8, 8), (0.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "picture"),
    [("[1, 7, 5]", (1, 7, 5)), ("[6, 4]", (1, 6, 4)), ("[49]", (1, 7, 7)), ("[75]", (3, 5, 5)),
     ("[13]", None), ("[3]", None), ("[9]", None)],
)  # fmt: skip
def test_an_output_is_a_picture_by_its_shape(shape: str, picture: Any) -> None:
    model = chainrule.loads(f"net n {{\n  output y = normal({shape})\n}}\n")
    look = Sampler(model).look
    assert (look.shape if look else None) == picture


@pytest.mark.parametrize(
    ("last", "bounds"), [("sigmoid", (0.0, 1.0)), ("tanh", (-1.0, 1.0)), ("exp", None)]
)
def test_black_and_white_are_the_ends_of_the_last_function(last: str, bounds: Any) -> None:
    text = f"net n {{\n  output y = reshape({last}(normal([16])), [1, 4, 4])\n}}\n"
    look = Sampler(chainrule.loads(text)).look
    assert look is not None and look.bounds == bounds


def test_a_sheet_shows_each_number_where_it_stands() -> None:
    look = Look((1, 2, 2), (0.0, 1.0))
    rows = in_rows(np.array([[0, 1, 0.5, 2]] * 3), 2)
    image = sheet(rows, look, scale=3)
    assert image.shape == (4 + 2 * 10, 4 + 2 * 10, 3)
    assert image[4, 4, 0] == 0 and image[4, 9, 0] == 255  # the first row of the first picture
    assert image[9, 4, 0] == 128 and image[9, 9, 0] == 255  # the second: half, and more than white
    assert (image[14:, 14:] == 255).all()  # the fourth place stays empty


def test_normalised_images_are_shown_in_the_units_of_the_data() -> None:
    text = VAE.replace("-> take(200)", "-> take(200) -> normalize(image)").replace(
        "dense(64) -> sigmoid", "dense(64)"
    )
    model = chainrule.loads(text)
    arrays = model.feeder("train").arrays
    leaf = model.evaluation.leaves["image"].value
    found = in_units(model, leaf, arrays["image"])
    assert found.min() == pytest.approx(0, abs=1e-5) and found.max() == pytest.approx(1, abs=1e-5)
    assert look_of(model, leaf) == Look((1, 8, 8), (0.0, 1.0))
    raw = Sampler(model)
    assert not np.array_equal(raw.samples(2), in_units(model, raw.value, raw.samples(2)))
