"""Weights that draw images towards micrographs."""

import numpy as np
import pandas as pd
import pytest

from exitwave.config.datasets import Dataset
from exitwave.data.match import WEIGHT, effective_number, match_weights
from exitwave.data.selection import draw_dataset, draw_of_network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(1000, 3))


def test_weights_add_up_and_no_image_has_less_than_its_even_share(images):
    weights, _ = match_weights(images, np.array([[2.0, 0, 0]]), [0], 0.05, 0.2)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0.2 / len(images)


def test_weights_follow_the_density_of_the_micrographs_where_they_lie_among_the_images(images):
    """Importance weights shift the mean of the images to that of the micrographs: here a normal one off by one."""
    fields = np.random.default_rng(1).normal(size=(300, 3)) + np.array([1, 0, 0])
    weights, _ = match_weights(images, fields, range(300), 0.02, 0.05)
    np.testing.assert_allclose(weights @ images, [1, 0, 0], atol=0.2)


@pytest.mark.parametrize("away", [0.0, 50.0])
def test_the_weight_of_a_field_goes_to_a_share_of_the_images_however_far_it_is(images, away):
    weights, distance = match_weights(images, np.array([[away, 0, 0]]), [0], 0.1, 1e-9)
    entropy = -(weights * np.log(weights)).sum()
    assert np.exp(entropy) == pytest.approx(100, rel=0.01)
    assert np.argmax(weights) == np.argmin(distance)
    np.testing.assert_allclose(distance, np.linalg.norm(images - [away, 0, 0], axis=1))


def test_a_micrograph_of_many_fields_counts_as_one(images):
    many = np.array([[-2.0, 0, 0]] * 9 + [[2.0, 0, 0]])
    weights, _ = match_weights(images, many, [0] * 9 + [1], 0.05, 1e-9)
    assert weights[images[:, 0] < 0].sum() == pytest.approx(0.5, abs=0.02)


def test_all_images_alike_where_the_weight_goes_to_all(images):
    weights, _ = match_weights(images, np.array([[2.0, 0, 0]]), [0], 1.0, 0.1)
    np.testing.assert_allclose(weights, 1 / len(images))
    assert effective_number(weights) == pytest.approx(len(images))


def test_equal_images_do_not_end_in_a_division_by_zero():
    weights, _ = match_weights(np.zeros((10, 2)), np.ones((1, 2)), [0], 0.1, 0.1)
    np.testing.assert_allclose(weights, 0.1)


def pool(block, weigh):
    table = pd.DataFrame(
        {
            "image_id": [f"{number:04d}" for number in range(600)],
            "structure_id": [f"s{number // 2:03d}" for number in range(600)],
            "split_position": np.repeat(np.random.default_rng(2).random(300), 2),
        }
    )
    return draw_dataset({"noisy": table}, block, np.random.default_rng(3), weigh=weigh)


def towards_the_first(table):
    number = table["image_id"].astype(int)
    return (
        table.assign(**{WEIGHT: np.where(number < 300, 9.0, 1.0)})
        .mask(table["split"] == "test", np.nan)
        .assign(
            split=table["split"], images=table["images"], image_id=table["image_id"], structure_id=table["structure_id"]
        )
    )


@pytest.mark.parametrize("draw_per_seed", [False, True])
def test_a_draw_takes_images_the_more_often_the_heavier_they_are_and_no_other_test_images(draw_per_seed):
    block = Dataset(images="noisy", size=100, draw_per_seed=draw_per_seed)
    plain, drawn = pool(block, None), pool(block, towards_the_first)
    if draw_per_seed:
        assert drawn["pool"].all()
        plain, drawn = (draw_of_network(each, block, np.random.default_rng(1)) for each in (plain, drawn))
    first = drawn["image_id"].astype(int) < 300
    for split in ("train", "validation"):
        assert first[drawn["split"] == split].mean() > 0.75
    assert (drawn["split"] != "test").sum() == 100
    assert not drawn["image_id"].duplicated().any()
    tests = [set(each.loc[each["split"] == "test", "image_id"]) for each in (plain, drawn)]
    assert tests[0] == tests[1]
