"""Probes scanned over a cell: rings of angles, places enough for every image, against abTEM and against more places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exitwave.config.scans import ProbeScan
from exitwave.electron import wavelength
from exitwave.errors import ConfigError, StructureError
from exitwave.images.stem import detected
from exitwave.imaging.fourier_series import at_places
from exitwave.waves import scan
from exitwave.waves.multislice import Configuration
from exitwave.waves.probe_waves import ProbeEngine
from exitwave.waves.probes import Probes, beyond
from exitwave.waves.rings import electrons_in_rings, ring_weights
from perfect_layers import SCAN, FloatArray, layer, nodes, scanned

ABERRATIONS = {"C12": 15.0, "phi12": 0.4, "C21": 200.0, "phi21": 1.1}


def values(item: Any) -> FloatArray:
    found: FloatArray = item.arrays["rings"].values.astype(np.float64)
    return found


# --- rings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edge", "width"), [(16.0, 5.0), (20.0, 1.0), (24.0, 37.0)])
def test_every_pixel_is_shared_out_whole_and_rings_have_their_areas(edge: float, width: float) -> None:
    weights = ring_weights(edge, 0.1, 80e3, width)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)
    areas = np.asarray(weights.sum(axis=1)).ravel()
    bounds = width * np.arange(len(areas) + 1) * edge / (1e3 * wavelength(80e3))
    expected = np.pi * np.diff(bounds**2)
    inner = slice(1, -1)  # the middle pixel is no ring, and the last ring has the corners
    np.testing.assert_allclose(areas[inner], expected[inner], rtol=0.15 if width == 1 else 0.02)
    assert areas[inner].sum() == pytest.approx(expected[inner].sum(), rel=3e-3)


def test_electrons_in_rings_are_those_of_pixels_within_them() -> None:
    edge, size = 20.0, 200
    spectra = np.random.default_rng(0).normal(size=(3, size, size)).astype(np.complex64)
    found = electrons_in_rings(spectra, ring_weights(edge, 0.1, 80e3, 10.0))
    np.testing.assert_allclose(found.sum(axis=1), (np.abs(spectra) ** 2).sum(axis=(1, 2)), rtol=1e-5)
    k = np.fft.fftfreq(size, 1 / size)
    angle = np.hypot(k[:, None], k) * wavelength(80e3) / edge * 1e3
    annulus = (np.abs(spectra) ** 2)[:, (angle > 60) & (angle < 110)].sum(axis=1)
    np.testing.assert_allclose(found[:, 6:11].sum(axis=1), annulus, rtol=0.03)


# --- electrons --------------------------------------------------------------------------------


def test_electrons_are_conserved() -> None:
    item = scanned(layer().over(36.0))
    total = values(item).sum(axis=-1)
    assert total.min() == pytest.approx(1 - item.row["intensity_lost"], abs=1e-5)
    assert 1 - 5e-3 < total.min() <= total.max() < 1 + 1e-5


def test_what_is_known_of_the_cell_is_what_probes_anywhere_scatter() -> None:
    """Of a turned, oblique layer with a lens that is not round, in a wider field; and against few places."""
    whole = layer(turn=33.0)
    item = scanned(whole.over(36.0), aberrations=ABERRATIONS, defocus=20)
    cell = item.arrays["cell"].values
    block = ProbeScan.model_validate(SCAN)
    edge = 28.0
    specimen = whole.over(edge)
    places = edge / 2 + np.random.default_rng(1).uniform(-4, 4, (24, 2))
    probes = Probes.at_all([24.0], places, 20.0, ABERRATIONS)
    configuration = Configuration(specimen.positions, specimen.numbers, specimen.object_id > 0)
    (passed,) = (s for *_, s in ProbeEngine(block, edge).passed(configuration, probes, 2, (2,)))
    direct = electrons_in_rings(passed, ring_weights(edge, block.sampling, block.energy, block.ring_width))
    # Both structures have their atoms where the layer begins at (0, 0).
    seen = places + whole.middle - edge / 2 - (whole.middle - 18.0)
    for inner, outer, error in ((50, 130, 0.012), (30, 60, 0.02)):
        expected = detected(direct, 5.0, inner, outer)
        found = at_places(detected(values(item), 5.0, inner, outer), cell[0], cell[1:], seen, 0.0)
        assert np.sqrt(((found - expected) ** 2).mean()) < error * np.ptp(expected), (inner, outer)
    # A disk within the aperture: fields of other widths have other shares of its pixels.
    expected, found = detected(direct, 5.0, 0, 12), detected(values(item), 5.0, 0, 12)
    found = at_places(found, cell[0], cell[1:], seen, 0.0)
    np.testing.assert_allclose(found, expected, rtol=0.01)
    assert np.corrcoef(found, expected)[0, 1] > 0.999


def test_abtem_gives_the_same_electrons() -> None:
    keys: dict[str, Any] = {"aberrations": ABERRATIONS, "defocus": -15, "margin": 6, "sampling": 0.16}
    held = layer("graphene").over(20.0)
    ours = scanned(held, scheme="conventional", **keys)
    theirs = scanned(held, engine="abtem", **keys)
    assert values(ours).shape == values(theirs).shape
    np.testing.assert_allclose(values(ours), values(theirs), atol=2e-6, rtol=2e-4)
    assert theirs.row["engine"] == "abtem"


def test_atoms_that_move_are_on_average_where_they_are_at_rest() -> None:
    held = layer("graphene", turn=5).over(20.0)
    keys: dict[str, Any] = {"margin": 6, "sampling": 0.16, "temperature": 1500.0}
    rest = detected(values(scanned(held, **keys)), 5.0, 50, 110)
    moved = [detected(values(scanned(held, seed, frozen_phonons=2, **keys)), 5.0, 50, 110) for seed in range(2)]
    assert not np.allclose(*moved)
    cell = scanned(held, **keys).arrays["cell"].values
    around = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 41)] * 2), -1)
    atom = cell[0] + cell[1:].sum(axis=0) / 2  # the cell is about an atom
    for image in (rest, *moved):
        spot = at_places(image, cell[0], cell[1:], atom + around, 0.0)
        top = around[np.unravel_index(spot.argmax(), spot.shape)]
        assert np.linalg.norm(top) < 0.06


# --- places -----------------------------------------------------------------------------------


def test_an_image_has_no_frequency_beyond_the_probe() -> None:
    """Frequencies that the places hold, but the probe does not, are empty: the places are enough."""
    item = scanned(layer().over(36.0))
    spectrum = np.abs(np.fft.fft2(detected(values(item), 5.0, 50, 130)))
    assert all(number % 2 for number in spectrum.shape)
    second, first = (np.fft.fftfreq(number, 1 / number) for number in spectrum.shape)
    indices = np.stack(np.meshgrid(first, second), -1)
    frequencies = np.linalg.norm(indices @ np.linalg.inv(item.arrays["cell"].values[1:]).T, axis=-1)
    highest = 2 * 0.024 / wavelength(80e3)
    outside = frequencies > highest + 1 / 20
    assert outside.any()
    assert spectrum[outside].max() < 1e-2 * spectrum[~outside].max()
    # Nor are there more than that needs.
    lengths = np.linalg.norm(item.arrays["cell"].values[1:], axis=1)[::-1]
    assert (np.array(spectrum.shape) - 2 < 2 * highest * lengths + 1).all()


def test_the_share_beyond_a_distance_is_that_of_an_airy_pattern() -> None:
    # 1 - J0² - J1² of the encircled intensity at v = 2 pi r alpha / lambda.
    from scipy.special import j0, j1

    for distance in (3.0, 8.0):
        v = 2 * np.pi * distance * 0.02 / wavelength(80e3)
        assert beyond(distance, 20.0, 80e3, 0.0, {}) == pytest.approx(j0(v) ** 2 + j1(v) ** 2, rel=0.25, abs=1e-3)
    assert beyond(8.0, 20.0, 80e3, 600.0, {}) > 0.4


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structures", "said"),
    [
        ({"vacancies": {"uniform": [0, 0.01]}}, "vacancies, up to 0.01"),
        ({"ripple": 0.2}, "ripple, up to 0.2"),
        ({"tilt": 5}, "tilt, up to 5"),
        ({"contamination": {"choice": [0, 5]}}, "contamination, up to 5"),
        ({"prototypes": ["MoS2, 2H"], "dopants": [{"element": "W", "fraction": 0.1}]}, "dopants, W"),
    ],
)
def test_layers_that_are_not_alike_in_every_cell_are_refused(structures: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^structures: 'sheets' has {said}, .*allowed: .*stem_convolution"):
        scan.check(nodes(structures)[0])


def test_perfect_layers_are_taken() -> None:
    scan.check(nodes({"layers": 2, "contamination": 1.0, "strain": 0.01})[0])


@pytest.mark.parametrize(
    ("waves", "said"),
    [
        ({"margin": 4, "defocus": 300}, r"^margin: found 4 Å, beyond which \d\d% .*allowed"),
        ({"aberrations": {"C30": {"uniform": [0, 1e7]}}}, "^margin: found 8 Å"),
        ({"semiangle": 200}, r"^semiangle: found 200 mrad; allowed: up to 16\d"),
        ({"ring_width": 500}, "^ring_width: found 500 mrad"),
        ({"frozen_phonons": 2}, "^frozen_phonons: thermal motion needs"),
    ],
)
def test_probes_that_cannot_be_scanned_are_refused(waves: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scan.check(nodes({"count": 200}, waves)[0])


def test_an_item_whose_layer_does_not_repeat_is_named() -> None:
    held = layer().over(36.0)
    held.positions[40, 0] += 0.1
    with pytest.raises(StructureError, match=r"^item 0: the layer"):
        scanned(held)


def test_a_probe_drawn_wider_than_its_margin_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^item 0: margin: found 8 Å"):
        scanned(layer().over(36.0), defocus={"normal": [0, 20000]})


def test_the_plan_knows_how_many_places_there_are() -> None:
    node = nodes({"count": 1, "prototypes": ["MoS2, 2H"]}, {"semiangle": 24.0})[0]
    assert scan.cost(node).seconds < 5
    more = nodes({"count": 1, "prototypes": ["MoS2, 2H"]}, {"semiangle": 48.0})[0]
    assert 3 < (scan.cost(more).seconds - 0.1) / (scan.cost(node).seconds - 0.1) < 5
