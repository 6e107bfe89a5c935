"""Scores of particles: who is whose, what is counted, and that sums over images are scores of all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from exitwave.benchmark.metrics import wasserstein
from exitwave.benchmark.objects import OBJECT_COUNTS, count_objects, cut, diameters, match, scores_from_counts
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.summary import summarise
from exitwave.config.models import Segmentation
from exitwave.data.tables import read_table, write_table
from exitwave.training.kinds import task_of

MASKS = metric_of(task_of(Segmentation(kind="segmentation"), {}), 0.5)


def discs(size: int, *places: tuple[float, float, float]) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.any([np.hypot(y - a, x - b) <= radius for a, b, radius in places], axis=0)


def squares(*columns: tuple[int, int]) -> np.ndarray:
    """Particles of 10 rows from one column to another, numbered."""
    labels = np.zeros((12, 100), np.int32)
    for number, (left, right) in enumerate(columns, start=1):
        labels[1:11, left:right] = number
    return labels


def scores(found: np.ndarray, true: np.ndarray, pixel_size: float = 1.0) -> dict[str, float]:
    counts = count_objects(found, true, pixel_size)
    values = scores_from_counts(np.array([counts[name] for name in OBJECT_COUNTS]))
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(10, 30)], [(0, 0)]),
        ([(17, 37)], []),  # 13 of 27 columns
        ([(16, 36)], [(0, 0)]),  # 14 of 26
        ([(10, 20)], [(0, 0)]),  # exactly one half
        ([(10, 19)], []),
        ([(10, 20), (20, 30)], [(0, 0)]),  # both exactly one half: the first
        ([(0, 9), (15, 35)], [(1, 0)]),
    ],
)
def test_particles_are_matched_from_an_overlap_of_one_half(found, expected):
    assert match(squares(*found), squares((10, 30))).tolist() == [list(p) for p in expected]
    # Whose is whose does not depend on which of them is called the truth.
    assert len(match(squares((10, 30)), squares(*found))) == len(expected)


def test_one_particle_over_two_matches_one_at_the_most():
    assert match(squares((10, 50)), squares((10, 29), (31, 50))).tolist() == []
    assert match(squares((10, 50)), squares((10, 40), (41, 50))).tolist() == [[0, 0]]
    assert match(squares(), squares((10, 50))).shape == match(squares((10, 50)), squares()).shape == (0, 2)


def test_particles_that_the_edge_cuts_are_known_and_diameters_are_those_of_discs():
    labels = np.zeros((60, 90), np.int32)
    labels[0:20, 5:15], labels[30:50, 5:15], labels[30:50, 80:90] = 1, 2, 3
    assert cut(labels).tolist() == [True, False, True]
    assert diameters(labels, 0.5) == pytest.approx([0.5 * np.sqrt(800 / np.pi)] * 3)


def test_counts_of_a_prediction_worked_out_by_hand():
    """Of three true particles one is met 10 % too large, one is cut and met, one missed; one is found too many."""
    true = discs(400, (100, 100, 40), (0, 300, 40), (300, 100, 30))
    found = discs(400, (100, 100, 44), (0, 300, 40), (300, 300, 20))
    counts = count_objects(found, true, 0.5)
    assert [counts[name] for name in OBJECT_COUNTS[:4]] == [3, 3, 2, 1]
    assert counts["diameter_deviations"] == counts["diameter_differences"] == pytest.approx(0.1, abs=0.003)
    assert counts["diameters_true"] == pytest.approx([40, 30], rel=0.01)
    assert counts["diameters_found"] == pytest.approx([44, 20], rel=0.01)
    result = scores(found, true, 0.5)
    assert result["particle_precision"] == result["particle_recall"] == result["particle_f1"] == pytest.approx(2 / 3)
    assert result["diameter_bias"] == pytest.approx(0.1, abs=0.003)


def test_particles_too_large_and_too_small_have_an_error_and_no_bias():
    true = discs(400, (100, 100, 50), (300, 300, 50))
    found = discs(400, (100, 100, 55), (300, 300, 45))
    result = scores(found, true)
    assert result["diameter_error"] == pytest.approx(0.1, abs=0.003)
    assert result["diameter_bias"] == pytest.approx(0, abs=0.003)


def test_nothing_found_and_nothing_there_have_no_shares():
    empty, one = discs(100, (50, 50, 0)), discs(100, (50, 50, 20))
    for found, true, f1, precision, recall in (
        (empty, empty, 1, np.nan, np.nan),
        (one, empty, 0, 0, np.nan),
        (empty, one, 0, np.nan, 0),
    ):
        result = scores(found, true)
        values = [result[name] for name in ("particle_f1", "particle_precision", "particle_recall")]
        np.testing.assert_equal(values, [f1, precision, recall])
        assert np.isnan(result["diameter_error"])


def test_distance_of_shifted_sizes_is_the_shift_and_that_of_scipy():
    rng = np.random.default_rng(4)
    one, other, number = rng.gamma(9, 4, 50), rng.gamma(9, 4, 80) + 3, rng.integers(0, 4, 50)
    values = np.concatenate([one, other])
    first, second = np.repeat([1.0, 0.0], [50, 80]), np.repeat([0.0, 1.0], [50, 80])
    assert wasserstein(values, first, second) == pytest.approx(wasserstein_distance(one, other))
    shifted = np.concatenate([one, one + 2.5])
    half = np.repeat([1.0, 0.0], 50)
    assert wasserstein(shifted, half, 1 - half) == pytest.approx(2.5)
    weighted = np.concatenate([number, np.zeros(80)])
    assert wasserstein(values, np.stack([first, weighted]), np.stack([second, second])) == pytest.approx(
        [wasserstein_distance(one, other), wasserstein_distance(one, other, number)]
    )
    assert np.isnan(wasserstein(one, np.ones(50), np.zeros(50)))
    assert np.isnan(wasserstein(np.zeros(0), np.zeros(0), np.zeros(0)))


@pytest.fixture
def images() -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Predictions, truths and pixels of images with different numbers of particles."""
    rng = np.random.default_rng(1)
    made = []
    for count, pixel_size in ((1, 0.5), (4, 1.0), (6, 0.8), (0, 0.8)):
        grid = [(60 + 120 * (k // 3), 60 + 120 * (k % 3)) for k in range(count)]
        true = discs(380, (0, 0, 0), *((y, x, rng.uniform(20, 50)) for y, x in grid))
        found = discs(380, (0, 0, 0), *((y + 3, x, rng.uniform(20, 50)) for y, x in grid[: max(count - 1, 1)]))
        made.append((found, true, pixel_size))
    return made


def test_summary_of_images_is_that_of_all_their_particles(images, tmp_path):
    """Read back from a file: lists of sizes stand in a column of it."""
    rows = pd.DataFrame([MASKS.of_image(*image) for image in images])
    write_table(tmp_path / "images.parquet", rows.assign(seed=0, group=["a", "a", "b", "c"]))
    table = read_table(tmp_path / "images.parquet")
    row = summarise(table, MASKS, 200, np.random.default_rng(0))
    counts = [count_objects(*image) for image in images]
    true, found = (np.concatenate([c[name] for c in counts]) for name in ("diameters_true", "diameters_found"))
    assert (row["particles_true"], row["particles_found"]) == (11, 9)
    assert row["size_distance"] == pytest.approx(wasserstein_distance(true, found))
    assert row["size_distance_low"] < row["size_distance_high"]
    matched = sum(c["particles_matched"] for c in counts)
    assert row["particle_recall"] == pytest.approx(matched / 11)
    deviations = sum(c["diameter_deviations"] for c in counts) / sum(c["diameters_compared"] for c in counts)
    assert row["diameter_error"] == pytest.approx(deviations)


def test_a_resample_of_images_has_the_score_of_the_images_drawn(images, monkeypatch):
    """With the first image twice and the third once, scores are those of these three images."""
    table = pd.DataFrame([MASKS.of_image(*image) for image in images]).assign(seed=0, group=list("abcd"))
    drawn: dict[str, np.ndarray] = {}

    def one_resample(statistic, groups, resamples, rng):
        drawn["scores"] = statistic(np.array([[2.0, 0.0, 1.0, 0.0]]))[0]
        return np.zeros(len(MASKS.summary)), np.zeros(len(MASKS.summary))

    monkeypatch.setattr("exitwave.benchmark.summary.bootstrap", one_resample)
    summarise(table, MASKS, 100, np.random.default_rng(0))
    monkeypatch.undo()
    pooled = summarise(table.iloc[[0, 0, 2]], MASKS, 100, np.random.default_rng(0))
    np.testing.assert_allclose(drawn["scores"], [pooled[score.name] for score in MASKS.summary])


def test_sizes_are_lengths_whatever_the_pixel(images):
    found, true, _ = images[2]
    fine, coarse = (MASKS.of_image(found, true, pixel_size) for pixel_size in (1.0, 2.0))
    assert coarse["size_distance"] == pytest.approx(2 * fine["size_distance"])
    assert coarse["diameter_error"] == pytest.approx(fine["diameter_error"])
