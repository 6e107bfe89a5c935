from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from exitwave.benchmark.intervals import bootstrap
from exitwave.benchmark.metrics import Score
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.segmentation import COUNTS, SUMMARY, count_pixels, scores_from_counts
from exitwave.benchmark.summary import summarise
from exitwave.config.models import Segmentation
from exitwave.errors import MicrographError
from exitwave.training.kinds import task_of

MASKS = metric_of(task_of(Segmentation(kind="segmentation"), {}), 0.5)


def scores(probability, expert, threshold=0.5):
    counts = count_pixels(probability, expert, threshold)
    return scores_from_counts(np.array([counts[name] for name in COUNTS]))


@pytest.fixture
def example():
    rng = np.random.default_rng(3)
    expert = rng.random((40, 50)) < 0.3
    return np.clip(0.35 * expert + 0.6 * rng.random((40, 50)), 0, 1), expert


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_hard_scores_equal_scikit_learn(example, threshold):
    probability, expert = example
    result = scores(probability, expert, threshold)
    truth, guess = expert.ravel(), (probability >= threshold).ravel()
    assert result["f1"] == pytest.approx(f1_score(truth, guess))
    assert result["iou"] == pytest.approx(jaccard_score(truth, guess))
    assert result["precision"] == pytest.approx(precision_score(truth, guess))
    assert result["recall"] == pytest.approx(recall_score(truth, guess))


def test_hand_counted_pixels():
    expert = np.array([[1, 1, 0, 0]], dtype=bool)
    counts = count_pixels(np.array([[0.9, 0.4, 0.6, 0.1]]), expert)
    assert [counts[k] for k in ("tp", "fp", "fn", "tn")] == [1, 1, 1, 1]
    assert counts["soft_tp"] == pytest.approx(1.3)
    assert counts["soft_fp"] == pytest.approx(0.7)
    assert counts["soft_fn"] == pytest.approx(0.7)
    assert counts["soft_tn"] == pytest.approx(1.3)


def test_soft_f1_is_equation_6(example):
    probability, expert = example
    expected = 2 * (probability * expert).sum() / (probability.sum() + expert.sum())
    assert scores(probability, expert)["f1_soft"] == pytest.approx(expected)


def test_soft_and_hard_scores_of_a_mask_agree(example):
    probability, expert = example
    result = scores(probability > 0.5, expert)
    assert result["f1_soft"] == pytest.approx(result["f1"])


def test_two_class_score_is_the_mean_over_particle_and_background(example):
    probability, expert = example
    particle = scores(probability, expert)["f1_soft"]
    background = scores(1 - probability, ~expert)["f1_soft"]
    assert scores(probability, expert)["f1_soft_two_class"] == pytest.approx((particle + background) / 2)


@pytest.mark.parametrize(
    ("found", "there", "expected"),
    [
        # f1 and iou say whether both agree; precision and recall are shares, and a share of nothing is no number.
        (0, 0, {"f1": 1, "iou": 1, "precision": np.nan, "recall": np.nan}),
        (5, 0, {"f1": 0, "iou": 0, "precision": 0, "recall": np.nan}),
        (0, 5, {"f1": 0, "iou": 0, "precision": np.nan, "recall": 0}),
        (5, 5, {"f1": 1, "iou": 1, "precision": 1, "recall": 1}),
    ],
)
def test_shares_of_nothing_are_no_numbers(found, there, expected):
    prediction, expert = np.zeros((8, 8)), np.zeros((8, 8), bool)
    prediction[0, :found], expert[0, :there] = 1, True
    result = scores(prediction, expert)
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, nan_ok=True), name


def table(predictions, masks, seed=0, groups=None):
    rows = [MASKS.of_image(prediction, mask, 1.0) for prediction, mask in zip(predictions, masks, strict=True)]
    return pd.DataFrame(rows).assign(seed=seed, group=groups or [str(place) for place in range(len(rows))])


def test_pooled_score_sums_pixels_and_mean_leaves_out_empty_micrographs():
    masks = [np.zeros((40, 40), bool) for _ in range(3)]
    masks[0][:20], masks[1][:4, :10] = True, True
    masks[2][0, 0] = True  # 0.06 %: counts as empty
    predictions = [masks[0].copy(), np.zeros((40, 40), bool), np.zeros((40, 40), bool)]
    predictions[2][5:15] = True
    summary = summarise(table(predictions, masks), MASKS, 200, np.random.default_rng(0))
    assert summary["f1_pooled"] == pytest.approx(2 * 800 / (2 * 800 + 400 + 41))
    assert summary["f1_mean"] == pytest.approx((1 + 0) / 2)
    assert (summary["images"], summary["groups"]) == (3, 3)
    assert summary["images_with_particles"] == 2
    for name in (score.name for score in SUMMARY if score.group == "pixels"):
        assert summary[f"{name}_low"] <= summary[name] + 1e-12
        assert summary[f"{name}_high"] >= summary[name] - 1e-12


def test_mean_is_undefined_without_particles_but_pooled_is_not():
    masks = [np.zeros((40, 40), bool)] * 2
    summary = summarise(table(masks, masks), MASKS, 100, np.random.default_rng(0))
    assert np.isnan(summary["f1_mean"])
    assert summary["f1_pooled"] == 1


def test_several_seeds_are_given_by_their_median_and_range():
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    none, half = np.zeros_like(mask), mask.copy()
    half[:10] = False
    tables = [table([prediction], [mask], seed) for seed, prediction in enumerate([none, half, mask])]
    summary = summarise(pd.concat(tables), MASKS, 100, np.random.default_rng(0))
    assert (summary["seeds"], summary["images"]) == (3, 1)
    assert summary["f1_pooled"] == pytest.approx(2 / 3)
    assert (summary["f1_pooled_seed_min"], summary["f1_pooled_seed_max"]) == (0, 1)


def test_same_generator_gives_same_intervals(example):
    probability, expert = example
    per_image = table([probability, expert, probability.T.reshape(expert.shape)], [expert] * 3)
    one, other = (summarise(per_image, MASKS, 100, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_equal(one, other)


def test_prediction_of_another_shape_is_refused():
    with pytest.raises(MicrographError, match=r"\(8, 9\).*\(8, 8\)"):
        MASKS.of_image(np.zeros((8, 9)), np.zeros((8, 8), bool), 1.0)


def test_bootstrap_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(300):
        values = rng.normal(2.0, 1.0, 40)
        low, high = bootstrap(lambda w, v=values: (w @ v / len(v))[:, None], np.arange(40), 400, rng)
        hits += low[0] <= 2.0 <= high[0]
    # Percentile intervals of 40 normal values cover a little less than 95 %; +- 3 sd of 300 trials is 4 %.
    assert 0.89 <= hits / 300 <= 0.98


def test_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    values = np.random.default_rng(0).normal(size=200)
    low, high = bootstrap(lambda w: (w @ values / 200)[:, None], np.arange(200), 4000, np.random.default_rng(1))
    assert (high - low)[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.05)


def test_interval_over_groups_covers_the_true_mean_where_one_over_images_does_not():
    """32 structures with 6 images each, of which most of the spread is that of the structures."""
    rng = np.random.default_rng(7)
    groups, between, within = np.repeat(np.arange(32), 6), 1.0, 0.7
    hits = np.zeros(2)
    widths = np.zeros(2)
    for _ in range(300):
        values = 2.0 + rng.normal(0, between, 32)[groups] + rng.normal(0, within, groups.size)
        for place, drawn in enumerate((groups, np.arange(groups.size))):
            low, high = bootstrap(lambda w, v=values: (w @ v / w.sum(axis=1))[:, None], drawn, 300, rng)
            hits[place] += low[0] <= 2.0 <= high[0]
            widths[place] += (high - low)[0] / 300
    # The standard error of a mean over groups is that of its between and within parts.
    right = np.sqrt(between**2 / 32 + within**2 / groups.size)
    assert widths[0] == pytest.approx(2 * 1.96 * right, rel=0.06)
    assert widths[1] == pytest.approx(2 * 1.96 * np.sqrt((between**2 + within**2) / groups.size), rel=0.06)
    # Percentile intervals of 32 groups cover a little less than 95 %; +- 3 sd of 300 trials is 4 %.
    assert 0.89 <= hits[0] / 300 <= 0.98
    assert hits[1] / 300 < 0.75


def test_summary_draws_images_of_one_group_together():
    """Two structures, one found and one missed, in three images each: what another would give is quite open."""
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    predictions = [mask] * 3 + [np.zeros_like(mask)] * 3
    apart = summarise(table(predictions, [mask] * 6), MASKS, 2000, np.random.default_rng(0))
    together = table(predictions, [mask] * 6, groups=["a"] * 3 + ["b"] * 3)
    summary = summarise(together, MASKS, 2000, np.random.default_rng(0))
    assert (summary["images"], summary["groups"]) == (6, 2)
    assert summary["f1_mean"] == apart["f1_mean"] == 0.5
    # Of two groups both are drawn, or one of them twice: 0, 1/2 and 1 with the probabilities 1/4, 1/2 and 1/4.
    assert (summary["f1_mean_low"], summary["f1_mean_high"]) == (0, 1)
    assert 0 < apart["f1_mean_low"] < apart["f1_mean_high"] < 1


def test_one_group_has_no_interval():
    mask = np.eye(40, dtype=bool)
    summary = summarise(table([mask, mask], [mask, mask], groups=["a", "a"]), MASKS, 100, np.random.default_rng(0))
    assert summary["f1_pooled"] == 1
    assert np.isnan([summary["f1_pooled_low"], summary["f1_pooled_high"]]).all()


def test_means_leave_out_images_without_a_score():
    judged = replace(MASKS, summary=(Score("precision_mean", "precision", "precision", mean=True),))
    masks = [np.eye(40, dtype=bool)] * 3
    predictions = [masks[0], np.zeros((40, 40)), np.ones((40, 40))]
    summary = summarise(table(predictions, masks), judged, 200, np.random.default_rng(0))
    assert summary["precision_mean"] == pytest.approx((1 + 40 / 1600) / 2)
    assert 0 < summary["precision_mean_low"] < summary["precision_mean_high"] <= 1
