"""Columns found against columns that are there: matching, scores, classical methods."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from exitwave.benchmark import atoms
from exitwave.benchmark.cases import Case
from exitwave.config.atoms import Atoms
from exitwave.config.stem import COLUMN_FIELDS
from exitwave.imaging.convolution import render
from exitwave.labels.spots import spot_map
from exitwave.training.atoms import AtomsTask

PIXEL, SIZE = 0.2, 128
TASK = AtomsTask(Atoms(kind="atoms"))
SIGMA = TASK.model.target.sigma / PIXEL


def columns(places, visibility=50.0):
    fields = np.ones((len(places), len(COLUMN_FIELDS) - 3))
    return np.column_stack([places, fields, np.full(len(places), visibility)]).astype(np.float32)


def scores(found, true, threshold=0.5):
    judged = atoms.metric(TASK, threshold)
    return judged.of_image(spot_map(np.array(found, float).reshape(-1, 2), SIZE, SIGMA), columns(true), PIXEL)


def brute(found, true, reach):
    """The best of all ways to pair few columns."""
    best = (0, 0.0)
    short, long = (found, true) if len(found) <= len(true) else (true, found)
    for chosen in itertools.permutations(range(len(long)), len(short)):
        away = np.linalg.norm(short - long[list(chosen)], axis=1)
        near = away[away <= reach]
        best = min(best, (-len(near), float(near.sum())))
    return best


def test_matching_is_the_best_of_all_ways():
    rng = np.random.default_rng(0)
    for _ in range(60):
        found, true = (rng.uniform(0, 8, (rng.integers(1, 6), 2)) for _ in range(2))
        matched = atoms.match(found, true, 2.5)
        pairs, total = brute(found, true, 2.5)
        assert len(matched.found) == -pairs
        assert matched.distances.sum() == pytest.approx(total)
        assert len(set(matched.found)) == len(matched.found)
        assert len(set(matched.true)) == len(matched.true)
        assert np.linalg.norm(found[matched.found] - true[matched.true], axis=1) == pytest.approx(matched.distances)


def test_nothing_matches_nothing():
    assert len(atoms.match(np.zeros((0, 2)), np.ones((3, 2)), 2).found) == 0
    assert len(atoms.match(np.ones((1, 2)), np.full((3, 2), 9.0), 2).found) == 0


def grid(spacing=15.0, start=10.3):
    line = np.arange(start, SIZE - 8, spacing)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def test_scores_say_what_was_done_to_the_truth():
    true = grid()
    number = len(true)
    assert scores(true, true)["f1"] == 1
    assert scores(true, true)["rms"] < 1
    moved = scores(true + np.array([0.3, -0.4]), true)
    assert moved["rms"] == pytest.approx(100 * PIXEL * 0.5, rel=0.02)
    fewer = scores(true[2:], true)
    assert (fewer["recall"], fewer["precision"]) == (pytest.approx((number - 2) / number), 1)
    assert fewer["count_error"] == pytest.approx(200 / number)
    more = scores([*true, true[0] + 7.5], true)
    assert (more["recall"], more["precision"]) == (1, pytest.approx(number / (number + 1)))
    # Further than half an ångström is another place.
    assert scores(true + np.array([2.6, 0.0]), true)["f1"] == 0
    assert scores([], true)["f1"] == 0
    empty = scores([], true)
    covered = (spot_map(true, SIZE, SIGMA) > 0.5).mean()
    assert empty["pixel_accuracy"] == pytest.approx(1 - covered)


def test_x_is_not_y():
    true = np.array([[30.0, 80.0]])
    assert scores([[30.0, 80.0]], true)["f1"] == 1
    assert scores([[80.0, 30.0]], true)["f1"] == 0


def test_columns_at_the_edge_are_neither_asked_for_nor_wrong():
    true = np.array([[60.0, 60.0], [0.5, 60.0], [60.0, 126.9]])
    assert scores(true[:1], true)["f1"] == 1
    assert scores(true, true[:1])["f1"] == 1


def test_columns_that_noise_hides_are_neither_asked_for_nor_wrong():
    true, judged = grid(), atoms.metric(TASK, 0.5)
    listed = np.concatenate([columns(true[2:]), columns(true[:2], visibility=4.9)])
    number = len(true)
    for found, all_found in ((true, number), (true[1:], number - 1), (true[2:], number - 2)):
        told = judged.of_image(spot_map(found, SIZE, SIGMA), listed, PIXEL)
        assert (told["f1"], told["precision"], told["count_error"]) == (1, 1, 0)
        assert told["f1_all"] == pytest.approx(2 * all_found / (number + all_found))
        assert (told["mask_f1"], told["pixel_accuracy"]) == (1, 1)
    # What is near none is false all the same.
    false = judged.of_image(spot_map([*true, true[0] + 7.5], SIZE, SIGMA), listed, PIXEL)
    assert false["precision"] == pytest.approx((number - 2) / (number - 1))


def test_networks_are_asked_how_well_a_column_can_be_seen():
    listed = columns(grid())
    listed[:3, -1] = 0, 2, 7
    image = np.zeros((1, SIZE, SIZE), np.float32)
    target, marks = TASK.targets({"counts": image, "columns": [listed]}, pd.DataFrame({"pixel_size": [PIXEL]}))[0]
    faint, rest = spot_map(listed[1:2, :2], SIZE, SIGMA), spot_map(listed[2:, :2], SIZE, SIGMA)
    np.testing.assert_allclose(target, np.maximum(0.4 * faint, rest), atol=1e-3)
    x, y = np.rint(listed[:, :2]).astype(int).T
    assert set(marks[y[2:], x[2:]]) == {1.0}
    assert set(marks[y[:2], x[:2]]) == {0.5}
    assert (marks > 0).sum() == len(listed)


def noisy(seed, counts=4000.0):
    rng = np.random.default_rng(seed)
    true = grid(12.0 + seed % 3, 8 + rng.uniform(0, 3)) + rng.normal(0, 0.3, 2)
    weights = rng.choice([0.5, 1.0], len(true))
    density = render((true + 0.5) * PIXEL, weights, 0.45, PIXEL, SIZE)
    image = rng.poisson(counts * PIXEL**2 * (density + 0.05)).astype(np.float32)
    return Case(str(seed), image, columns(true), PIXEL, str(seed))


@pytest.mark.parametrize("name", ["Laplacian of Gaussian", "local maxima"])
def test_classical_methods_find_columns_that_stand_apart(name):
    rule = atoms.fitted(TASK)[name]([noisy(seed) for seed in range(6)])
    judged = atoms.metric(TASK, atoms.threshold(None, None))
    for seed in range(10, 14):
        case = noisy(seed)
        found = judged.of_image(rule(case), case.truth, PIXEL)
        assert found["f1"] > 0.97
        # As well as counting allows: 0.45 Å over the root of the electrons of the faint columns, and of those beside.
        assert 1 < found["rms"] < 6 * 45 / np.sqrt(2000)


def test_what_exitwave_atoms_finds_is_a_baseline_that_needs_no_examples():
    rule = atoms.rules(TASK)["columns, fitted"]
    judged = atoms.metric(TASK, atoms.threshold(None, None))
    case = noisy(10)
    found = judged.of_image(rule(case), case.truth, PIXEL)
    assert found["f1"] > 0.97
    # A fit places columns as well as counting allows, and better than a peak.
    assert found["rms"] < 3 * 45 / np.sqrt(2000)
    nothing = Case("even", np.full((64, 64), 3.0, np.float32), columns(np.zeros((0, 2))), PIXEL, "even")
    assert not rule(nothing).any()


def test_spots_keep_places_between_pixels():
    true = np.array([[20.37, 31.81], [60.0, 44.5], [90.25, 90.75]])
    found = atoms.places_of(spot_map(true, SIZE, SIGMA), 0.5, PIXEL)
    assert found[np.argsort(found[:, 0])] == pytest.approx(true, abs=0.01)
    # Where two overlap both are seen, down to about 0.6 Å.
    near = np.array([[40.2, 40.1], [43.3, 40.4]])
    found = atoms.places_of(spot_map(near, SIZE, SIGMA), 0.5, PIXEL)
    assert found[np.argsort(found[:, 0])] == pytest.approx(near, abs=0.3)


def validated(shown, places, visibility=50.0, pixel=PIXEL):
    """Scores of validation of an answer [H, W] to an image of columns."""
    arrays = {"counts": np.zeros((1, SIZE, SIZE), np.float32), "columns": [columns(places, visibility)]}
    targets = torch.as_tensor(TASK.targets(arrays, pd.DataFrame({"pixel_size": [pixel]})))
    return TASK.scores(TASK.sums(torch.as_tensor(np.asarray(shown, np.float32))[None, None], targets))


def test_validation_counts_what_lies_between_columns_as_false():
    true = spot_map(grid(9.0), SIZE, SIGMA)
    between = 0.3 * spot_map(grid(9.0) + 4.5, SIZE, SIGMA)
    wrong = validated(true + between, grid(9.0))
    assert validated(true, grid(9.0))["validation_f1"] == 1
    # Found at a height at which the false ones are left out.
    assert wrong["validation_threshold"] >= 0.3
    assert wrong["validation_f1"] == 1


def test_validation_lets_faint_columns_be_found_or_not_and_nothing_beside_them():
    places = grid(9.0)
    visibility = np.where(np.arange(len(places)) % 2, 50.0, 2.5)
    # As high as any, so that no threshold leaves them out.
    for found in (places, places[1::2]):
        assert validated(spot_map(found, SIZE, SIGMA), places, visibility)["validation_f1"] == 1
    beside = spot_map([*places, *(places[::2] + 4.5)], SIZE, SIGMA)
    assert validated(beside, places, visibility)["validation_f1"] < 0.7


@pytest.mark.parametrize("pixel", [0.2, 0.4, 0.6])
def test_validation_asks_for_every_column_wherever_between_pixels_it_lies(pixel):
    places = grid(9.0) + np.random.default_rng(0).uniform(-0.5, 0.5, (len(grid(9.0)), 2))
    sigma = TASK.model.target.sigma / pixel
    half = spot_map(places[::2], SIZE, sigma)
    assert validated(spot_map(places, SIZE, sigma), places, pixel=pixel)["validation_f1"] == 1
    assert validated(half, places, pixel=pixel)["validation_f1"] == pytest.approx(2 / 3, abs=0.02)
