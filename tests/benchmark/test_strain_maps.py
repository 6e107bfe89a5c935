"""Strain benchmark: what is true, what lattices show, and what is counted of it."""

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.scan_columns import REFERENCE, SCORED, STRAINS
from exitwave.benchmark.strain_maps import COMPONENTS, lattices_of, metric, spot_width, true_strain
from exitwave.benchmark.summary import summarise
from exitwave.config.disks import Disks
from exitwave.training.disks import DisksTask

SIZE, MIDDLE = 96, 48.0
VECTORS = np.array([[11.0, 2.0], [1.0, 13.0]])
TASK = DisksTask(Disks(kind="disks"))
METRIC = metric(TASK, 0.1)
INDICES = np.stack(np.meshgrid(np.arange(-3, 4), np.arange(-3, 4)), -1).reshape(-1, 2)


def deformation(xx=0.0, yy=0.0, xy=0.0, rotation=0.0):
    return np.array([[1 + xx, xy - rotation], [xy + rotation, 1 + yy]])


def places(matrix, shift=(0.0, 0.0)):
    """Places [n, 2] of the disks of a crystal that is deformed: by the inverse transpose."""
    found = INDICES @ (np.linalg.inv(matrix).T @ VECTORS).T + MIDDLE + shift
    return found[((found > 4) & (found < SIZE - 5)).all(axis=1)]


def disks(matrix, shift=(0.0, 0.0)):
    found = places(matrix, shift)
    return np.column_stack([found, np.linspace(1, 0.5, len(found))])


def image(matrix, shift=(0.0, 0.0), dtype=np.float16):
    y, x = np.mgrid[:SIZE, :SIZE]
    spots = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2) * w for a, b, w in disks(matrix, shift)]
    return np.sum(spots, axis=0).astype(dtype)


def scan(strains, substrate=3):
    """Rows of a scan: places in the substrate first, whose strain may differ from 0 too."""
    columns = pd.DataFrame(strains, columns=STRAINS)
    reference = np.arange(len(columns)) < substrate
    return columns.assign(**{REFERENCE: reference, SCORED: ~reference}, seed=0, group=np.arange(len(columns)))


STRAINED = [
    (0.001, 0, 0, 0),
    (0.001, 0, 0, 0),
    (0.001, 0, 0, 0),
    (0.01, 0, 0, 0),
    (-0.01, 0.002, 0.001, 0.004),
    (0.02, -0.003, -0.002, -0.01),
]


def summed_up(predictions, table):
    rows = METRIC.of_images(predictions, table)
    return rows, summarise(rows, METRIC, 100, np.random.default_rng(0))


def test_true_strain_is_that_relative_to_the_reference():
    """Against deformations multiplied by hand: F F0⁻¹."""
    found = true_strain(scan(STRAINED))
    for place, strain in enumerate(STRAINED):
        relative = deformation(*strain) @ np.linalg.inv(deformation(*STRAINED[0]))
        assert found["xx"][place] == pytest.approx(100 * (relative[0, 0] - 1), abs=0.02)
        assert found["yy"][place] == pytest.approx(100 * (relative[1, 1] - 1), abs=0.02)
        assert found["xy"][place] == pytest.approx(50 * (relative[0, 1] + relative[1, 0]), abs=0.02)
        angle = np.degrees((relative[1, 0] - relative[0, 1]) / 2)
        assert found["rotation"][place] == pytest.approx(angle, abs=0.02)


@pytest.mark.parametrize("made", [disks, image], ids=["lists", "maps"])
def test_strain_of_perfect_predictions_has_next_to_no_error(made):
    """Patterns are shifted, and the whole lattice is that of a strained substrate."""
    shifts = np.random.default_rng(1).uniform(-2, 2, (len(STRAINED), 2))
    predictions = [made(deformation(*s), shift) for s, shift in zip(STRAINED, shifts, strict=True)]
    table, row = summed_up(predictions, scan(STRAINED))
    for name in COMPONENTS:
        assert row[f"fit_rms_{name}"] < 0.02, name
    assert row["fit_failures"] == 0
    if made is image:
        assert all(row[f"map_rms_{name}"] < 0.02 for name in COMPONENTS)
    else:
        assert table["map_xx"].isna().all()
        assert np.isnan(row["map_rms_xx"])
        assert row["map_failures"] == 0


def test_the_error_is_the_root_of_the_mean_square_over_scored_places():
    table = scan(STRAINED)
    wrong = [deformation(*s) @ deformation(e) for s, e in zip(STRAINED, (0, 0, 0, 0.004, 0, 0.001), strict=True)]
    rows, row = summed_up([disks(matrix) for matrix in wrong], table)
    errors = rows["fit_xx"] - rows["true_xx"]
    assert errors[3] == pytest.approx(0.4, abs=0.02)
    assert row["fit_rms_xx"] == pytest.approx(np.sqrt((errors[3:] ** 2).mean()))


def test_of_several_rows_the_mean_error_of_each_column_is_scored_too():
    """Three rows of columns 3 to 5 in a strained layer; the third is not scored, and one place shows no lattice."""
    strains = [(0.0, 0, 0, 0)] * 3 + [(0.01, 0, 0, 0)] * 9
    errors = [0, 0, 0, 0.004, 0.002, 0.006, -0.002, -0.002, 0, 0.01, 0.01, 0.01]
    table = scan(strains).assign(scan_column=[0, 1, 2, *[3, 4, 5] * 3], scan_row=[0] * 6 + [1] * 3 + [2] * 3)
    table.loc[9:, SCORED] = False
    wrong = [disks(deformation(*s) @ deformation(e)) for s, e in zip(strains, errors, strict=True)]
    wrong[8] = wrong[8][:0]
    rows, row = summed_up(wrong, table)
    assert rows["rows_places"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert row["rows_rms_xx"] == pytest.approx(np.sqrt((0.1**2 + 0**2 + 0.6**2) / 3), abs=0.02)
    assert row["fit_rms_xx"] == pytest.approx(np.sqrt((0.4**2 + 3 * 0.2**2 + 0.6**2) / 5), abs=0.02)
    assert row["fit_failures"] == 1
    for without in (table.assign(scan_row=0), table.drop(columns="scan_row")):
        _, row = summed_up(wrong, without)
        assert np.isnan(row["rows_rms_xx"])


def test_places_without_a_lattice_are_failures_and_no_strain():
    predictions = [image(deformation(*strain)) for strain in STRAINED]
    predictions[4] = np.zeros((SIZE, SIZE), np.float16)
    rows, row = summed_up(predictions, scan(STRAINED))
    assert (row["fit_failures"], row["map_failures"]) == (1, 1)
    assert np.isnan(rows["fit_xx"][4])
    assert row["fit_rms_xx"] < 0.02


def test_without_a_reference_everything_has_failed():
    predictions = [np.zeros((SIZE, SIZE), np.float16)] * len(STRAINED)
    _, row = summed_up(predictions, scan(STRAINED))
    assert row["fit_failures"] == row["map_failures"] == 3
    assert np.isnan(row["fit_rms_yy"])


@pytest.mark.parametrize("width", [0.8, 1.0, 2.5])
def test_the_width_of_spots_is_that_of_their_gaussians(width):
    y, x = np.mgrid[:SIZE, :SIZE]
    spots = disks(np.eye(2), (0.3, -0.2))
    spots = spots[np.hypot(*(spots[:, :2] - MIDDLE).T) < 30]
    drawn = np.max([w * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2)) for a, b, w in spots], axis=0)
    assert spot_width([drawn.astype(np.float32)], [spots]) == pytest.approx(width, rel=0.05)


def test_the_lattice_is_looked_for_where_there_are_most_disks():
    lists = [np.empty((0, 3)), disks(np.eye(2))[:2], disks(np.eye(2)), disks(deformation(0.01))]
    found = lattices_of(lists, np.array([True, True, True, False]))
    assert [lattice is not None for lattice in found] == [False, False, True, True]
    change = found[3].vectors @ np.linalg.inv(found[2].vectors)
    np.testing.assert_allclose(change, np.linalg.inv(deformation(0.01)).T, atol=1e-4)
