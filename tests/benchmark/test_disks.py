"""How lists of disks and images of structure factors are judged."""

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.disks import RADIUS, disks_of, metric, rules, similarity
from exitwave.benchmark.summary import summarise
from exitwave.config.disks import Disks
from exitwave.labels.reflections import structure_factor_image, weights
from exitwave.training.disks import DisksTask

SIZE, PIXEL = 64, 0.0217
TASK = DisksTask(Disks(kind="disks"))
METRIC = metric(TASK, 0.2)
FACTORS = (40.0, 9.0, 8.0, 6.0, 5.0, 4.0, 3.0, 0.5)


def reflections(factors=FACTORS):
    """The direct beam and seven others, the last of them weak."""
    places = [(32, 32), (44.2, 32.3), (19.8, 31.7), (32.4, 45), (31.6, 19), (44.6, 45.3), (19.4, 18.7), (12.2, 50)]
    rows = np.zeros((len(places), 9))
    rows[:, :2] = places
    rows[:, 2] = np.arange(len(places))
    rows[:, 5] = factors
    return rows


def found(truth=None, keep=slice(None)):
    truth = reflections() if truth is None else truth
    return np.column_stack([truth[:, :2], weights(truth, "ewald")])[keep]


def judged(prediction, truth=None):
    return METRIC.of_image(prediction, reflections() if truth is None else truth, PIXEL)


def test_a_perfect_list_is_without_fault():
    scores = judged(found())
    assert (scores["tp"], scores["fp"], scores["fn"]) == (6, 0, 0)
    assert scores["f1"] == scores["precision"] == scores["recall"] == scores["accuracy"] == 1
    assert scores["position_error"] == pytest.approx(0, abs=1e-6)
    assert scores["strain_error"] == pytest.approx(0, abs=1e-4)
    assert scores["undefined"] == 0
    assert np.isnan(scores["ssim"])  # of a list there is no image


def test_the_image_that_is_learned_has_all_its_disks():
    """Heights are brought back to structure factors, so that they weigh as in the list."""
    aim = TASK.model.target
    image = structure_factor_image(reflections(), SIZE, aim.weight, aim.gamma, aim.sigma)
    scores = judged(image.astype(np.float16))
    assert (scores["tp"], scores["fp"], scores["fn"]) == (6, 0, 0)
    assert scores["ssim"] == pytest.approx(1, abs=1e-3)
    assert scores["position_error"] < 0.05
    disks = disks_of(image, 0.2, aim.gamma)
    strong = disks[np.hypot(*(disks[:, :2] - 32).T) > 5]
    np.testing.assert_allclose(strong[:, 2] / strong[0, 2], np.array(FACTORS[1:8])[: len(strong)] / 9, rtol=0.03)


def test_what_a_network_says_of_its_places_changes_no_score_of_its_image():
    image = structure_factor_image(reflections(), SIZE)
    alone, both = judged(image), judged(np.stack([image, np.full_like(image, 0.1)]))
    assert {name: both[name] for name in ("tp", "fp", "fn", "ssim", "strain_error")} == {
        name: alone[name] for name in ("tp", "fp", "fn", "ssim", "strain_error")
    }


def test_peaks_below_the_threshold_of_a_network_are_no_disks():
    image = structure_factor_image(reflections(), SIZE)
    heights = np.sqrt(np.array(FACTORS[1:]) / FACTORS[1])
    for threshold in (0.1, 0.6, 0.8):
        expected = 1 + (heights >= threshold).sum()  # and the direct beam
        assert len(disks_of(image, threshold)) == expected
        counted = metric(TASK, threshold).of_image(image, reflections(), PIXEL)
        assert counted["tp"] == expected - 1 - (threshold == 0.1)  # which includes the weak one


@pytest.mark.parametrize(("off", "hit"), [(0.9, True), (1.1, False)])
def test_a_disk_counts_within_a_twentieth_of_an_inverse_angstrom(off, hit):
    moved = found()
    moved[3, 0] += off * RADIUS / PIXEL
    scores = judged(moved)
    assert scores["tp"] == 6 - (not hit)
    assert scores["fp"] == scores["fn"] == (not hit)
    if hit:
        assert scores["position_error"] == pytest.approx(off * RADIUS / PIXEL / 6, rel=1e-3)


def test_with_fewer_than_five_disks_the_strain_is_undefined_and_counted():
    scores = judged(found(keep=slice(1, 4)))
    assert np.isnan(scores["strain_error"])
    assert scores["undefined"] == 1
    assert scores["fn"] == 3


def test_the_strain_error_is_the_root_of_the_mean_square_of_its_components():
    """All places stretched along x by a hundredth about the middle: e_xx of the crystal is as much the other way."""
    stretched = found()
    stretched[:, 0] = 32 + 1.01 * (stretched[:, 0] - 32)
    assert judged(stretched)["strain_error"] == pytest.approx(100 * (1 - 1 / 1.01) / np.sqrt(3), rel=0.02)


def test_a_blank_map_finds_nothing_and_is_still_similar():
    truth = reflections()
    (rule,) = rules(TASK).values()

    class Pattern:
        image = np.ones((SIZE, SIZE), np.float32)

    blank = rule(Pattern)
    scores = judged(blank)
    assert (scores["f1"], scores["fn"]) == (0, 6)
    assert scores["accuracy"] == 0
    assert 0.3 < scores["ssim"] == similarity(blank, truth, TASK) < 0.95


def test_patterns_are_summed_up_by_counts_means_and_medians():
    rows = [judged(found()), judged(found(keep=slice(0, 3))), judged(np.empty((0, 3)))]
    table = pd.DataFrame(rows).assign(seed=0, group=["a", "b", "c"])
    row = summarise(table, METRIC, 100, np.random.default_rng(0))
    assert row["f1"] == pytest.approx(2 * 8 / (2 * 8 + 10))
    assert row["accuracy"] == pytest.approx(table["accuracy"].mean())
    assert row["strain_error"] == pytest.approx(rows[0]["strain_error"])
    assert row["strain_undefined"] == 2
    assert np.isnan(row["ssim"])
