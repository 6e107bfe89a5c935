"""STEM images from scans of a cell: against abTEM, against the convolution, and what they say of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize

from exitwave.config.stem import Stem
from exitwave.errors import ConfigError, StructureError
from exitwave.images import stem
from exitwave.images.stem import detected
from exitwave.imaging.fourier_series import at_places
from exitwave.imaging.stem import Lens, render_by_lens
from exitwave.items import Item
from perfect_layers import FloatArray, images, layer, nodes, scanned


@pytest.fixture(scope="module")
def made() -> tuple[Any, Item]:
    structure = layer().over(40.0)
    return structure, scanned(structure)


def counts(item: Item) -> FloatArray:
    found: FloatArray = item.arrays["counts"].values.astype(np.float64)
    return found


# --- electrons --------------------------------------------------------------------------------


def test_angles_add_up_and_a_cut_ring_counts_in_part() -> None:
    rings = np.random.default_rng(0).random((3, 4, 20))
    np.testing.assert_allclose(detected(rings, 5.0, 0, 100), rings.sum(axis=-1))
    parts = [detected(rings, 5.0, *angles) for angles in ((0, 12.5), (12.5, 61), (61, 100))]
    np.testing.assert_allclose(sum(parts), rings.sum(axis=-1))
    np.testing.assert_allclose(detected(rings, 5.0, 12, 14), 0.4 * rings[..., 2])


def test_the_mean_count_is_that_of_the_cell(made: tuple[Any, Item]) -> None:
    structure, scan = made
    (item,) = images(structure, scan, size=96, dose=1e8)
    share = detected(scan.arrays["rings"].values.astype(float), 5.0, 50, 130).mean()
    assert counts(item).mean() == pytest.approx(1e8 * 0.25**2 * share, rel=0.03)
    assert item.row["mean_counts"] == counts(item).mean()
    assert counts(item).mean() > 1e3


def test_counts_are_poisson_numbers_and_rows_are_whole(made: tuple[Any, Item]) -> None:
    structure, scan = made
    (noisy,) = images(structure, scan, dose=1e4, source_size=60, background=0.01)
    mean = counts(noisy).mean()  # so wide a source leaves nothing but noise
    assert counts(noisy).var() == pytest.approx(mean, rel=0.15)
    assert set(noisy.row) == set(Stem.COLUMNS)
    array = noisy.arrays["counts"]
    assert [(axis.name, axis.spacing, axis.unit) for axis in array.axes] == [("y", 0.25, "Å"), ("x", 0.25, "Å")]


def test_more_electrons_than_there_are_are_refused(made: tuple[Any, Item]) -> None:
    with pytest.raises(StructureError, match=r"^item 0: background: found 1, .*allowed: up to 1 in all"):
        images(*made, background=1.0)


# --- places and labels ------------------------------------------------------------------------


@pytest.mark.parametrize("scan_errors", [{}, {"drift": 2.0, "skew": 2.0}])
def test_columns_are_where_maxima_are(made: tuple[Any, Item], scan_errors: dict[str, float]) -> None:
    structure, scan = made
    keys = {"pixel_size": 0.2, "size": 96, "dose": 1e11, "source_size": 0.9, "labels": ["columns"]}
    (item,) = images(structure, scan, scan=scan_errors, **keys)
    found = item.arrays["columns"].values
    heavy = found[(found[:, 4] == 22) & ((found[:, :2] > 4) & (found[:, :2] < 91)).all(axis=1)]
    assert len(heavy) > 12
    image = counts(item)
    peaks = np.argwhere((maximum_filter(image, 9) == image) & (image > 0.6 * image.max()))[:, ::-1]
    distances = np.linalg.norm(heavy[:, None, :2] - peaks, axis=2).min(axis=1)
    assert distances.max() < 0.9  # of whole pixels
    assert (found[found[:, 4] == 22, 2] == 1).all()


def test_an_image_moves_with_its_place_and_shows_no_cell(made: tuple[Any, Item]) -> None:
    """Two images at different places are one pattern; across borders of cells it is as smooth as within."""
    structure, scan = made
    first, second = images(structure, scan, (1, 2), dose=1e12)
    cell = scan.arrays["cell"].values
    shares = detected(scan.arrays["rings"].values.astype(float), 5.0, 50, 130)
    for item in (first, second):
        y, x = (np.mgrid[:64, :64] + 0.5) * 0.25
        places = np.stack([x + item.row["place_x"], y + item.row["place_y"]], -1)
        expected = at_places(shares, cell[0], cell[1:], places, 0.8 / 2.3548) * 1e12 * 0.25**2
        assert np.abs(counts(item) - expected).max() < 1e-3 * expected.max()
    assert first.row["place_x"] != second.row["place_x"]


def test_a_scan_takes_pixels_where_it_says(made: tuple[Any, Item]) -> None:
    structure, scan = made
    (moved,) = images(structure, scan, dose=1e11, scan={"drift": 4.0, "drift_angle": 0.0})
    cell = scan.arrays["cell"].values
    shares = detected(scan.arrays["rings"].values.astype(float), 5.0, 50, 130)
    for row, column in ((32, 32), (5, 60), (60, 3)):
        time = (row + column / 64) / 64 - 0.5
        corner = np.array([moved.row["place_x"], moved.row["place_y"]])
        place = corner + np.array([(column + 0.5) * 0.25 + 4.0 * time, (row + 0.5) * 0.25])
        there = float(at_places(shares, cell[0], cell[1:], place, 0.8 / 2.3548)) * 1e11 * 0.25**2
        assert counts(moved)[row, column] == pytest.approx(there, rel=5e-3)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"outer_angle": 200}, r"^outer_angle: reaches up to 200 mrad; allowed: up to 16\d.* 'scans', 0\.125 Å"),
        (
            {"inner_angle": {"uniform": [50, 90]}, "outer_angle": {"uniform": [80, 120]}},
            "^inner_angle: reaches up to 90",
        ),
        ({"size": 129}, r"^size: found 129 px .*field of view of structures 'sheets', 40 Å in all"),
        ({"dose": 1e13}, "^dose: reaches up to"),
    ],
)
def test_images_that_cannot_be_taken_are_refused(keys: dict[str, Any], said: str) -> None:
    stem.check(nodes()[1])
    with pytest.raises(ConfigError, match=said):
        stem.check(nodes(**keys)[1])


def test_the_cost_is_about_what_is_stored(made: tuple[Any, Item]) -> None:
    (item,) = images(*made, size=96, dose=1e5)
    _, numbers = np.unique(counts(item), return_counts=True)
    share = numbers / numbers.sum()
    entropy = -(share * np.log2(share)).sum() / 8 * 96**2 + 4000
    assert entropy / 2 < stem.cost(nodes(size=96, dose=1e5)[1]).stored < entropy * 2


# --- physics ----------------------------------------------------------------------------------


def test_an_image_is_that_of_a_whole_field_in_abtem() -> None:
    """An oblique lattice, turned, and a lens that is not round, at random places of a field of 25.6 Å."""
    import abtem

    whole = layer(turn=52.0)
    lens = {"C12": 15.0, "phi12": 0.4, "C21": 200.0, "phi21": 1.1}
    scan = scanned(whole.over(36.0), aberrations=lens, defocus=20, scheme="conventional", sampling=0.08)
    cell = scan.arrays["cell"].values
    edge = 25.6
    specimen = whole.over(edge)
    atoms = specimen.to_ase()
    atoms.set_cell([edge, edge, 6.0])
    potential = abtem.Potential(atoms, gpts=480, slice_thickness=2.0, parametrization="lobato")
    probe = abtem.Probe(energy=80e3, semiangle_cutoff=24, aberrations={"C10": -20, **lens})
    probe.grid.match(potential)
    places = edge / 2 + np.random.default_rng(1).uniform(-3, 3, (24, 2))
    angles = ((50, 130), (70, 150))
    detectors = [abtem.AnnularDetector(inner=inner, outer=outer) for inner, outer in angles]
    measured = probe.scan(potential, abtem.CustomScan(places), detectors=detectors, lazy=False)
    rings = scan.arrays["rings"].values.astype(float)
    for (inner, outer), one in zip(angles, measured, strict=True):
        found = at_places(detected(rings, 5.0, inner, outer), cell[0], cell[1:], places - edge / 2 + 18.0, 0.0)
        assert np.corrcoef(found, one.array)[0, 1] > 0.999
        assert np.sqrt(((found - one.array) ** 2).mean()) < 0.02 * np.ptp(one.array)
        assert found.mean() == pytest.approx(one.array.mean(), rel=0.04)


def against_convolution(name: str, angles: tuple[float, float], **keys: Any) -> tuple[float, float, float]:
    """Correlation of an image with a convolution, and the source and exponent that make it largest."""
    structure = layer(name, 10.0).over(30.0)
    scan = scanned(structure, semiangle=30.0, **keys)
    cell, pixel, size, begin = scan.arrays["cell"].values, 0.2, 40, np.array([11.0, 11.0])
    y, x = (np.mgrid[:size, :size] + 0.5) * pixel
    share = detected(scan.arrays["rings"].values.astype(float), 5.0, *angles)
    image = at_places(share, cell[0], cell[1:], np.stack([x, y], -1) + begin, 0.8 / 2.3548)

    def unlike(values: FloatArray) -> float:
        source, exponent = values
        weights = structure.numbers.astype(float) ** exponent
        lens = Lens(80e3, 30.0, {}, abs(source) / 2.3548)
        fine, step, first = render_by_lens(structure.positions[:, :2], weights, lens, 0.0, pixel, size, tuple(begin))
        seen = fine[first : first + step * size : step, first : first + step * size : step]
        return -float(np.corrcoef(seen.ravel(), image.ravel())[0, 1])

    best = minimize(unlike, [0.8, 1.7], method="Nelder-Mead", options={"xatol": 1e-2, "fatol": 1e-6, "maxfev": 60})
    return -best.fun, abs(best.x[0]), best.x[1]


def test_a_layer_looks_as_in_the_convolution() -> None:
    correlation, source, exponent = against_convolution("MoS2", (80, 140))
    assert correlation > 0.999
    assert source == pytest.approx(0.8, abs=0.1)
    assert 1.2 < exponent < 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lowest", "highest"), [("graphene", 1, 2.2), ("MoS2", 1.5, 1.9), ("WSe2", 1, 1.5)])
def test_layers_look_as_in_the_convolution_by_the_multislice_of_abtem(name: str, lowest: float, highest: float) -> None:
    """Atoms at rest, 80 kV, 30 mrad, a detector from 80 to 180 mrad (docs/sheets.md has the numbers)."""
    keys: dict[str, Any] = {"engine": "abtem", "sampling": 0.08, "margin": 12.0}
    correlation, source, exponent = against_convolution(name, (80, 180), **keys)
    assert correlation > 0.99
    assert source == pytest.approx(0.8, abs=0.1)
    assert lowest < exponent < highest
