"""STEM images with a lens, a scan that errs, a detector, and columns: against abTEM, and against what is known."""

from __future__ import annotations

import abtem
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import center_of_mass

from exitwave.errors import ConfigError
from exitwave.images import stem_convolution
from exitwave.imaging.scanned import draw_shifts
from exitwave.imaging.stem import Lens
from stem_fields import EDGE, block, counts, node, square, structure, taken

OPTICS = {"energy": 80e3, "semiangle": 30, "source_size": 0.0}


def row_of(*places):
    return structure(list(places), periodic=False)


# --- the lens ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lens", [{}, {"defocus": 60, "aberrations": {"C30": 1e4, "C12": 20, "phi12": 0.7, "C21": 300, "phi21": -0.4}}]
)
def test_the_image_of_an_atom_is_the_probe_of_abtem(lens):
    # The atom is off the centres of the pixels, at a place that nothing is sampled at.
    held = row_of([15.37, 16.91])
    wanted = block(pixel_size=0.125, size=128, dose=1e12, optics={**OPTICS, **lens}, cross_section=1e-6)
    (item,) = taken(wanted, held, 5)
    image = counts(item) / counts(item).sum()
    aberrations = {"C10": -lens.get("defocus", 0), **lens.get("aberrations", {})}
    probe = abtem.Probe(
        energy=80e3, semiangle_cutoff=30, extent=4 * EDGE, gpts=1024, soft=True, aberrations=aberrations
    )
    spread = probe.build(scan=[0, 0], lazy=False).intensity().array
    ky, kx = np.fft.fftfreq(1024), np.fft.rfftfreq(1024)
    # Where the first pixel of ours lies against the atom, on the grid of abTEM, whose first axis is x.
    move = [(15.37 - item.row["place_x"]) / 0.125 - 0.5, (16.91 - item.row["place_y"]) / 0.125 - 0.5]
    shift = np.exp(-2j * np.pi * (ky[:, None] * move[0] + kx * move[1]))
    expected = np.fft.irfft2(np.fft.rfft2(spread) * shift, s=(1024, 1024)).T[:128, :128]
    expected = expected / expected.sum()
    assert np.abs(image - expected).max() < 3e-3 * expected.max()


def test_source_and_motion_of_atoms_widen_the_probe_as_gaussians():
    lens = Lens(80e3, 30.0, {}, 0.0)
    sharp, blurred = lens.width(0.0), lens.width(0.6)
    # The half maximum of an Airy pattern is 0.51 lambda / alpha wide; its rings make the sum more than that of squares.
    assert sharp == pytest.approx(0.51 * 0.0418 / 0.030, rel=0.1)
    assert blurred == pytest.approx(np.hypot(sharp, 2.3548 * 0.6), rel=0.07)
    assert Lens(80e3, 30.0, {}, 0.6).width(0.0) == pytest.approx(blurred)


def test_the_width_that_is_told_is_that_of_the_gaussian():
    (item,) = taken(block(probe_sigma=0.4, displacement=0.3), row_of([16, 16]))
    assert item.row["probe_fwhm"] == pytest.approx(2.3548 * 0.5, rel=1e-4)


def test_a_lens_and_a_width_are_not_both_given():
    with pytest.raises(ValidationError, match="probe_sigma is given with optics"):
        block(optics=OPTICS, probe_sigma=0.4)


# --- the scan ---------------------------------------------------------------------------------

SCANS = {
    "drift": {"drift": 3.0, "drift_angle": 0.6},
    "skew": {"skew": 3.0},
    "flyback": {"flyback": 4.0, "flyback_length": 8.0},
    "hum": {"hum": 1.0, "hum_period": 25},
    "jitter": {"jitter": 0.7, "jitter_correlation": 0.8},
    "far": {"flyback": 38, "flyback_length": 1e6},
}


@pytest.mark.parametrize("lens", [None, {**OPTICS, "source_size": 1.0}])
@pytest.mark.parametrize("name", SCANS)
def test_columns_are_where_a_distorted_image_shows_them(name, lens):
    size, pixel = 80, 0.2
    keys = {"optics": lens} if lens else {"probe_sigma": 0.5}
    wanted = block(
        pixel_size=pixel, size=size, dose=1e10, cross_section=1e-7, scan=SCANS[name], labels=["columns"], **keys
    )
    held = structure(square(4.0), periodic=name == "far")
    (item,) = taken(wanted, held, 2)
    image, found = counts(item), item.arrays["columns"].values
    inner = found[((found[:, :2] > 8) & (found[:, :2] < size - 9)).all(axis=1)]
    assert len(inner) >= 4
    off = []
    for x, y in inner[:, :2]:
        row, column = round(float(y)), round(float(x))
        spot = image[row - 6 : row + 7, column - 6 : column + 7]
        spot = np.where(spot > 0.2 * spot.max(), spot, 0)
        middle = center_of_mass(spot)
        off.append([middle[1] + column - 6 - x, middle[0] + row - 6 - y])
    # Rows of jitter are not seen alike by a centre of mass and by the label.
    assert np.sqrt(np.mean(np.square(off))) < (0.25 if name == "jitter" else 0.08)
    plain = taken(wanted.model_copy(update={"scan": type(wanted.scan)()}), held, 2)[0]
    assert np.abs(image - counts(plain)).max() > 0.1 * image.max()


def test_jitter_is_a_series_of_the_width_and_correlation_that_are_given():
    scan = block(scan={"jitter": 0.6, "jitter_correlation": 0.7}).scan
    rows = np.stack([draw_shifts(scan, 256, 0.2, np.random.default_rng(seed)).along[:, 0] for seed in range(40)])
    assert rows.std() == pytest.approx(0.6, rel=0.05)
    assert np.corrcoef(rows[:, 1:].ravel(), rows[:, :-1].ravel())[0, 1] == pytest.approx(0.7, abs=0.03)
    assert draw_shifts(block().scan, 64, 0.2, np.random.default_rng(0)) is None


def test_a_scan_of_no_length_takes_the_plain_image():
    held = structure(square(2.6), periodic=False)
    tiny = {"drift": 1e-9}
    plain, scanned = (taken(block(dose=1e10, cross_section=1e-8, scan=scan), held, 1)[0] for scan in ({}, tiny))
    assert scanned.row["place_x"] == pytest.approx(plain.row["place_x"])
    noise = np.sqrt(counts(plain).max())
    assert np.abs(counts(scanned) - counts(plain)).max() < 10 * noise + 2e-4 * counts(plain).max()


def test_a_distorted_image_needs_room():
    with pytest.raises(ConfigError, match=r"^size: found 104 px .* \(what probe and scan bring in\)"):
        stem_convolution.check(node(block(size=104, scan={"drift": 2.0})))
    stem_convolution.check(node(block(size=104)))


# --- background, detector, columns ------------------------------------------------------------


def test_an_uneven_background_has_the_mean_and_spread_that_are_given():
    wanted = block(size=128, pixel_size=0.25, dose=1e9, background=0.01, uneven=0.4, uneven_length=2.0)
    image = counts(taken(wanted, structure([]))[0])
    assert image.mean() == pytest.approx(1e9 * 0.25**2 * 0.01, rel=1e-3)
    assert image.std() / image.mean() == pytest.approx(0.4, rel=0.2)


def test_an_annular_detector_has_gain_offset_noise_and_bits():
    detector = {
        "kind": "scintillator",
        "quantum_efficiency": 1,
        "gain": 7,
        "offset": 100,
        "readout_noise": 3,
        "bit_depth": 8,
    }
    quiet = {"size": 64, "dose": 100.0, "background": 0.02}
    (item,) = taken(block(**quiet, detector=detector), structure([]))
    expected = 100.0 * 0.25**2 * 0.02
    assert counts(item).mean() == pytest.approx(100 + 7 * expected, rel=0.01)
    assert counts(item).std() == pytest.approx(np.sqrt(9 + 49 * expected), rel=0.05)
    assert item.row["detector"] == "scintillator"
    assert item.row["detector_gain"] == 7


def test_columns_hold_atoms_weights_and_elements():
    held = structure([[10.0, 10.0], [10.1, 10.0], [14.0, 10.0], [14.0, 18.0]], number=42, periodic=False)
    held.numbers[2:] = [16, 34]
    (item,) = taken(block(size=100, dose=1e6, labels=["columns"]), held, 1)
    found = item.arrays["columns"].values
    offset = [item.row["place_x"], item.row["place_y"]]
    expected = {(10.05, 10.0): (2, 42), (14.0, 18.0): (1, 34), (14.0, 10.0): (1, 16)}
    for (x, y), (atoms, number) in expected.items():
        place = (np.array([x, y]) - offset) / 0.25 - 0.5
        (row,) = found[np.linalg.norm(found[:, :2] - place, axis=1) < 1e-3]
        assert tuple(row[3:5]) == (atoms, number)
    assert found[0, 2] == 1
    assert found[found[:, 4] == 16, 2] == pytest.approx((16 / 42) ** 1.7 / 2, rel=1e-3)


def test_columns_are_as_visible_as_counted_electrons_make_them():
    held = structure([[16.0, 16.0]], number=42, periodic=False)
    keys = {"size": 60, "probe_sigma": 0.5, "background": 0.01, "cross_section": 1e-5, "labels": ["columns"]}
    (item,) = taken(block(dose=1e5, **keys), held)
    # A matched filter sees N electrons above those of a spot's area; at its middle the column itself is in the way.
    electrons = 1e5 * 1e-5 * 42 ** item.row["exponent"]
    inside = 1e5 * 0.01 * 4 * np.pi * 0.5**2
    expected = electrons / np.sqrt(inside + electrons * 4 / 3)
    assert item.arrays["columns"].values[0, 5] == pytest.approx(expected, rel=0.03)


def test_contamination_has_no_columns():
    held = structure([[16.0, 16.0], [12.0, 16.0]], periodic=False)
    held.object_id[1] = 0
    (item,) = taken(block(dose=1e6, labels=["columns"]), held)
    assert len(item.arrays["columns"].values) == 1


@pytest.mark.parametrize("flyback", [-25, 25])
def test_columns_of_a_periodic_field_that_a_scan_reaches_are_found_on_every_side(flyback):
    """The scan is 6 Å off to one side everywhere, so that all is seen that is beside the image there."""
    scan = {"flyback": flyback, "flyback_length": 1e6}
    items = taken(block(size=64, dose=1e6, scan=scan, labels=["columns"]), structure(square(4.0)), *range(8))
    for item in items:
        found = item.arrays["columns"].values
        assert len(found) == 16
        assert found[:, 3] == pytest.approx(1)  # none is split
        assert np.ptp(found[:, 5]) < 0.3 * found[:, 5].max()


def test_columns_of_a_periodic_field_are_found_across_its_edge():
    items = taken(block(size=64, dose=1e6, labels=["columns"]), structure([[0.5, 0.5]]), *range(30))
    held = [item for item in items if len(item.arrays["columns"].values)]
    assert 3 < len(held) < 30
    for item in held:
        x, y = item.arrays["columns"].values[0, :2]
        assert (item.row["place_x"] + (x + 0.5) * 0.25) % EDGE == pytest.approx(0.5, abs=1e-3)
        assert (item.row["place_y"] + (y + 0.5) * 0.25) % EDGE == pytest.approx(0.5, abs=1e-3)
