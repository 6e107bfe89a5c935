"""Methods compared on the same images."""

from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from exitwave.benchmark import paired
from exitwave.benchmark.metrics import Metric, Score, Selection, ratio
from exitwave.benchmark.paired import BETTER, IMAGES, SEEDS, UNKNOWN, WORSE, chance, compare

METRIC = Metric(
    counts=("hits", "all"),
    count=lambda prediction, truth, pixel_size: {},
    scores=lambda counts: {"share": ratio(counts[..., 0], counts[..., 1])},
    describe=lambda prediction, truth: {},
    summary=(Score("share_mean", "share", "share", mean=True), Score("share_pooled", "share", "share")),
    note="",
    selection=Selection("selected", "weight", 1),
)
IMAGES_SHOWN = 60


@pytest.fixture
def hard():
    """How hard each image is, whoever looks at it."""
    return np.random.default_rng(4).uniform(0.2, 0.8, IMAGES_SHOWN)


def table(shares, kind="network", method="one", seed=0, per_group=1):
    images = len(shares)
    groups = [f"g{place // per_group}" for place in range(images)]
    columns = {"image": [f"i{place:03d}" for place in range(images)], "group": groups, "weight": 1.0}
    return pd.DataFrame({**columns, "share": shares, "hits": 100 * np.asarray(shares), "all": 100.0}).assign(
        kind=kind, method=method, seed=seed
    )


def compared(*tables, metric=METRIC, resamples=4000):
    return compare(pd.concat(tables, ignore_index=True), metric, resamples, "0" * 8)


def test_the_interval_is_that_of_the_paired_bootstrap_of_scipy_and_of_the_t_test(hard):
    rng = np.random.default_rng(1)
    one, other = hard + rng.normal(0.02, 0.03, IMAGES_SHOWN), hard + rng.normal(0, 0.03, IMAGES_SHOWN)
    (row,) = compared(table(one), table(other, method="other")).to_dict("records")
    assert row["difference"] == pytest.approx(np.mean(one - other))
    (expected,) = [
        stats.bootstrap(
            (one, other), lambda a, b, axis: (a - b).mean(axis), paired=True, n_resamples=20000, rng=rng,
            method="percentile",
        ).confidence_interval
    ]  # fmt: skip
    width = expected.high - expected.low
    np.testing.assert_allclose([row["low"], row["high"]], expected, atol=0.05 * width)
    np.testing.assert_allclose(expected, stats.ttest_rel(one, other).confidence_interval(), atol=0.05 * width)
    # Images differ by far more than the methods do: unpaired, nothing would be seen.
    unpaired = stats.ttest_ind(one, other).confidence_interval()
    assert unpaired.high - unpaired.low > 3 * width
    assert row["verdict"] == BETTER
    assert row["higher"] == (one > other).sum()
    assert row["lower"] == (one < other).sum()


def test_of_equal_methods_one_in_twenty_looks_different():
    rng = np.random.default_rng(2)
    said = []
    for _ in range(300):
        hard = rng.uniform(0.3, 0.7, 40)
        one, other = (hard + rng.normal(0, 0.05, 40) for _ in range(2))
        found = compared(table(one), table(other, method="other"), resamples=300)
        said.append(found["verdict"].iloc[0])
    share = np.mean([word != IMAGES for word in said])
    assert 0.02 < share < 0.11


def test_images_of_one_structure_are_drawn_together(hard):
    structures = np.repeat(np.random.default_rng(3).normal(0.01, 0.05, IMAGES_SHOWN // 6), 6)
    apart = compared(table(hard + structures), table(hard, method="other"))
    together = compared(table(hard + structures, per_group=6), table(hard, method="other", per_group=6))
    widths = [(found["high"] - found["low"]).iloc[0] for found in (apart, together)]
    # The mean of ten structures is known by the square root of six worse than that of sixty images.
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(6), rel=0.25)
    assert together["groups"].iloc[0] == 10


@pytest.mark.parametrize(
    ("shifts", "others", "said"),
    [
        ((0.03, 0.05), (0.0, 0.01), BETTER),
        ((0.05, 0.0), (0.01, 0.0), SEEDS),
        ((0.0, 0.0), (0.0, 0.0), IMAGES),
        ((0.03,), (0.0,), BETTER),
    ],
)
def test_networks_that_differ_by_their_seeds_as_much_are_no_different(hard, shifts, others, said):
    tables = [
        table(hard + shift, method=method, seed=seed)
        for method, given in (("one", shifts), ("other", others))
        for seed, shift in enumerate(given)
    ]
    (row,) = compared(*tables).to_dict("records")
    assert row["verdict"] == said
    assert row["difference"] == pytest.approx(np.median(shifts) - np.median(others))
    assert row["seed_min"] == pytest.approx(min(shifts) - max(others))
    assert row["seed_max"] == pytest.approx(max(shifts) - min(others))
    assert row["chance"] == 2 / comb(len(shifts) + len(others), len(shifts))


def test_ranges_of_equal_trainings_lie_apart_as_often_as_is_said():
    rng = np.random.default_rng(5)
    for first, second in ((2, 2), (3, 3), (3, 5)):
        one, other = rng.normal(size=(40_000, first)), rng.normal(size=(40_000, second))
        apart = (one.min(1) > other.max(1)) | (one.max(1) < other.min(1))
        assert apart.mean() == pytest.approx(chance(first, second, "network"), rel=0.06)
    on_one_side = (rng.normal(size=(40_000, 4)) > 0).sum(1)
    assert np.isin(on_one_side, [0, 4]).mean() == pytest.approx(chance(4, 1, "baseline"), rel=0.06)


def test_trainings_are_compared_with_each_other_and_with_the_best_baseline(hard):
    tables = [table(hard + 0.01 * place, method=name) for place, name in enumerate("abc")]
    rules = [table(hard + shift, "baseline", name) for name, shift in (("poor", -0.2), ("fair", 0.015))]
    mean = table(hard + 0.5, "ensemble", "a", seed=-1)
    found = compared(*tables, *rules, mean)
    pairs = list(zip(found["first"], found["second"], found["verdict"], strict=True))
    assert pairs == [
        ("c", "b", BETTER), ("c", "a", BETTER), ("b", "a", BETTER),
        ("c", "fair", BETTER), ("b", "fair", WORSE), ("a", "fair", WORSE),
    ]  # fmt: skip


def test_of_many_trainings_each_is_compared_with_the_best(hard, monkeypatch):
    monkeypatch.setattr(paired, "MOST", 2)
    found = compared(*(table(hard + 0.01 * place, method=name) for place, name in enumerate("abc")))
    assert list(zip(found["first"], found["second"], strict=True)) == [("c", "b"), ("c", "a")]


def test_of_errors_the_smaller_is_better(hard):
    found = compared(table(hard), table(hard + 0.1, method="other"), metric=replace(METRIC, higher_is_better=False))
    assert found[["first", "second", "verdict"]].iloc[0].tolist() == ["one", "other", BETTER]


def test_only_images_that_all_have_and_that_count_are_compared(hard):
    one, other = table(hard + 0.1), table(hard, method="other").iloc[::-1]
    other = other[other["image"] != "i007"]
    (row,) = compared(one, other).to_dict("records")
    assert row["images"] == IMAGES_SHOWN - 1
    assert row["difference"] == pytest.approx(0.1)
    one.loc[one["image"] == "i003", ["weight", "share"]] = 0
    other.loc[other["image"] == "i003", "weight"] = 0
    (row,) = compared(one, other).to_dict("records")
    assert row["difference"] == pytest.approx(0.1)
    assert (row["higher"], row["lower"]) == (IMAGES_SHOWN - 2, 0)


def test_an_image_with_masks_of_two_experts_counts_twice(hard):
    tables = []
    for shift, method in ((0.1, "one"), (0.0, "other")):
        experts = [table(hard + shift + 0.02 * expert, method=method) for expert in range(2)]
        tables.append(pd.concat(experts, ignore_index=True))
    (row,) = compared(*tables).to_dict("records")
    assert (row["images"], row["groups"]) == (2 * IMAGES_SHOWN, IMAGES_SHOWN)
    assert (row["higher"], row["lower"]) == (2 * IMAGES_SHOWN, 0)
    assert row["difference"] == pytest.approx(0.1)


def test_nothing_is_said_of_one_group_or_without_scores(hard):
    one, other = table(hard, per_group=100), table(hard + 0.1, method="other", per_group=100)
    assert compared(one, other)["verdict"].tolist() == [UNKNOWN]
    assert compared(one).empty
    assert compare(pd.DataFrame({"kind": [], "method": []}), METRIC, 100, "0" * 8).empty
