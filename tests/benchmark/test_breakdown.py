"""Scores in bins of conditions."""

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.breakdown import NONE, binned, break_down
from exitwave.benchmark.metrics import Metric, Score, ratio
from exitwave.benchmark.summary import summarise

METRIC = Metric(
    counts=("hits", "all"),
    count=lambda prediction, truth, pixel_size: {},
    scores=lambda counts: {"share": ratio(counts[..., 0], counts[..., 1])},
    describe=lambda prediction, truth: {},
    summary=(Score("share", "share", "share"), Score("error", "error", "error", median=True)),
    note="",
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def table(rng, images=40, seeds=2):
    """Images of twenty groups, scored by one training and a baseline."""
    one = pd.DataFrame({"image": [f"i{i}" for i in range(images)], "group": [f"g{i // 2}" for i in range(images)]})
    one = one.assign(dose=np.arange(images) / 10, shape=np.where(np.arange(images) % 2, "disk", "ring"), all=4)
    tables = []
    for kind, method, numbers in (("network", "net", range(seeds)), ("baseline", "rule", (0,))):
        for seed in numbers:
            hits = rng.integers(0, 5, images)
            tables.append(one.assign(kind=kind, method=method, seed=seed, hits=hits, error=rng.random(images)))
    return pd.concat(tables, ignore_index=True)


def test_bins_of_many_numbers_have_equal_counts_and_hold_their_values():
    values = pd.Series(np.random.default_rng(3).permutation(np.arange(100.0) ** 2))
    numbers, told = binned(values, 4)
    assert numbers.value_counts().tolist() == [25] * 4
    for number, (_, low, high) in enumerate(told):
        assert values[numbers == number].between(low, high).all()


@pytest.mark.parametrize(
    ("values", "labels", "numbers"),
    [
        ([4.0, 1.0, 2.0, 1.0], ["1", "2", "4"], [2, 0, 1, 0]),
        (["zone", "random", "zone"], ["random", "zone"], [1, 0, 1]),
        ([2.0, np.nan, 1.0], ["1", "2", NONE], [1, 2, 0]),
        ([5.0] * 3, ["5"], [0, 0, 0]),
    ],
)
def test_few_different_values_are_bins_of_their_own(values, labels, numbers):
    found, told = binned(pd.Series(values), 4)
    assert [label for label, _, _ in told] == labels
    assert found.tolist() == numbers


def test_scores_of_a_bin_are_those_of_its_images_alone(rng):
    scores = table(rng)
    found = break_down(scores, METRIC, ["dose", "shape"], 4, 100, "0" * 8)
    assert len(found) == 2 * 4 + 2 * 2
    row = found.query("by == 'shape' and label == 'ring' and method == 'net'").iloc[0]
    own = scores.query("shape == 'ring' and method == 'net'")
    by_seed = own.groupby("seed")
    assert row["share"] == pytest.approx((by_seed["hits"].sum() / by_seed["all"].sum()).median())
    assert row["error"] == pytest.approx(by_seed["error"].median().median())
    assert (row["images"], row["groups"], row["seeds"]) == (20, 20, 2)
    assert row["share_low"] <= row["share"] <= row["share_high"]


def test_without_conditions_there_are_no_bins(rng):
    assert break_down(table(rng), METRIC, [], 4, 100, "0" * 8).empty


@pytest.mark.parametrize("images", [1, 4, 5])
def test_a_median_leaves_out_what_is_undefined(rng, images):
    scores = table(rng, images, 1).query("kind == 'network'")
    scores.loc[scores.index[: images // 3], "error"] = np.nan
    row = summarise(scores, METRIC, 100, rng)
    assert row["error"] == pytest.approx(scores["error"].median())


def test_the_interval_of_a_median_is_that_of_resampled_medians(rng):
    """Against medians of resamples that are drawn here, image by image."""
    scores = table(rng, 60, 1).query("kind == 'network'").assign(group=[f"g{i}" for i in range(60)])
    row = summarise(scores, METRIC, 2000, np.random.default_rng(1))
    own = np.median(rng.choice(scores["error"], (4000, 60)), axis=1)
    np.testing.assert_allclose([row["error_low"], row["error_high"]], np.percentile(own, [2.5, 97.5]), atol=0.03)
