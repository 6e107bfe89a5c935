"""Correlation tuned for the places of disks."""

import numpy as np
import pytest

from exitwave.benchmark.correlation import Correlation, find_disks
from exitwave.benchmark.matching import match_disks
from exitwave.benchmark.strain import Strain
from exitwave.benchmark.strain_tuning import strain_error, tuned_for_strain

SIZE, MIDDLE, RADIUS = 64, 32, 5.0
START = Correlation(power=1.0, sigma=1.7, least=0.1, spacing=1.0, scale="sqrt", trench=0.0)


def disk(x, y):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.clip(RADIUS + 0.5 - np.hypot(columns - x, rows - y), 0, 1)


def pattern(rng, slope):
    """A pattern whose disks are brighter towards the direct beam, and its reflections."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    places = MIDDLE + np.array([(h * 15.3, k * 15.7) for h in (-1, 0, 1) for k in (-1, 0, 1)])
    image = np.zeros((SIZE, SIZE))
    for x, y in places:
        inwards = -((columns - x) * (x - MIDDLE) + (rows - y) * (y - MIDDLE)) / max(np.hypot(x - 32, y - 32), 1)
        image += disk(x, y) * np.clip(1 + slope * inwards / RADIUS, 0, None)
    truth = np.zeros((len(places), 9))
    truth[:, :2], truth[:, 2], truth[:, 5] = places, np.arange(len(places)) - 4, 1.0
    return rng.poisson(300 * image).astype(np.float32), truth


def test_disks_brighter_on_one_side_are_placed_better_than_before():
    """Both axes look stretched: the tuned correlation sees less of it in patterns that it was not tuned on."""
    rng = np.random.default_rng(4)
    made = [pattern(rng, 0.6) for _ in range(6)]
    probe = disk(MIDDLE, MIDDLE).astype(np.float32)

    def errors(how, number):
        return [
            strain_error(match_disks(find_disks(image, probe, how), truth, 4.0).strain)
            for image, truth in made[:number] or made
        ]

    how = tuned_for_strain([image for image, _ in made[:3]], [probe] * 3, [truth for _, truth in made[:3]], START)
    before, after = (np.median([errors(each, len(made))[place] for place in (3, 4, 5)]) for each in (START, how))
    assert after < 0.7 * before
    assert how != START


def test_what_cannot_be_improved_is_left_as_it_is():
    empty = np.zeros((SIZE, SIZE), np.float32)
    _, truth = pattern(np.random.default_rng(0), 0.0)
    assert tuned_for_strain([empty], [disk(MIDDLE, MIDDLE)], [truth], START) == START


def test_reflections_that_are_no_plane_lattice_say_nothing():
    rng = np.random.default_rng(1)
    image, truth = pattern(rng, 0.6)
    truth[:, :2] += rng.normal(0, 1.0, (len(truth), 2))
    assert tuned_for_strain([image], [disk(MIDDLE, MIDDLE)], [truth], START) == START


@pytest.mark.parametrize(("strain", "error"), [((3e-3, 0, 0), 3e-3 / np.sqrt(3)), ((1e-3, 1e-3, 1e-3), 1e-3)])
def test_the_error_of_strain_is_the_root_of_its_mean_square(strain, error):
    assert strain_error(Strain(*strain, 0.5)) == pytest.approx(error)
