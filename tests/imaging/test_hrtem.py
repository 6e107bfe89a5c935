"""Image formation against abTEM, explicit series and analytic contrast."""

from dataclasses import replace

import abtem
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from exitwave.config.images import Aberrations, Hrtem
from exitwave.errors import ConfigError
from exitwave.imaging.coherence import TOLERANCE, spatial_envelope
from exitwave.imaging.conditions import ImagingConditions, draw_conditions
from exitwave.imaging.hrtem import (
    crop_periodic,
    expected_image,
    form_image,
    form_images,
    intensity,
)
from exitwave.imaging.lens import focal_nodes_of, transfer
from exitwave.waves.aberrations import HARMONICS, chi_gradient, reciprocal_grid, transfer_function, wavelength

ENERGY = 300e3
SAMPLING = 0.4
IDEAL = ImagingConditions(dose=100.0)
RESIDUAL = {"C12": 40.0, "phi12": 0.4, "C21": 2e3, "phi21": 1.9, "C23": 1e3, "phi23": -0.5, "C30": 1e5}


def block(**changes: object) -> Hrtem:
    return Hrtem.model_validate(
        {"kind": "hrtem", "exit_waves": "w", "pixel_size": 0.8, "size": 24, "dose": 100} | changes
    )


def band_limited(waves: np.ndarray) -> np.ndarray:
    ky, kx = (np.fft.fftfreq(n, SAMPLING) for n in waves.shape[-2:])
    return np.fft.ifft2(np.fft.fft2(waves) * (np.hypot(ky[:, None], kx) < 1.2)).astype(np.complex64)


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    """Two exit waves [phonon, y, x] with a strong phase and some absorption, band-limited and not symmetric."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :64]
    disc = (y - 40) ** 2 + (x - 20) ** 2 < 15**2
    found = []
    for _ in range(2):
        phase = 0.6 * disc + 0.3 * rng.normal(size=(96, 64))
        found.append(np.exp(1j * phase - 0.05 * disc))
    return band_limited(np.array(found))


def abtem_intensity(wave: np.ndarray, **optics: object) -> np.ndarray:
    """Coherent image [y, x] of one wave by abTEM, whose axes are (x, y)."""
    held = abtem.Waves(np.ascontiguousarray(wave.T), energy=ENERGY, sampling=SAMPLING)
    lens = abtem.CTF(energy=ENERGY, soft=False, **optics)
    return np.asarray(held.apply_ctf(lens).intensity().array).T


@pytest.mark.parametrize(
    ("conditions", "optics"),
    [
        (replace(IDEAL, defocus=150.0), {"defocus": 150.0}),
        (replace(IDEAL, defocus=-80.0), {"C10": 80.0}),
        (replace(IDEAL, aberrations={"C30": 1e5}), {"Cs": 1e5}),
        (replace(IDEAL, aberrations={"C12": 40.0, "phi12": 0.4}), {"C12": 40.0, "phi12": 0.4}),
        (replace(IDEAL, aberrations={"C21": 2e3, "phi21": 1.9}), {"C21": 2e3, "phi21": 1.9}),
        (replace(IDEAL, defocus=60.0, aberrations=RESIDUAL), {"defocus": 60.0, **RESIDUAL}),
        (replace(IDEAL, objective_aperture=12.0), {"semiangle_cutoff": 12.0}),
        (replace(IDEAL, defocus=60.0, objective_aperture=20.0), {"defocus": 60.0, "semiangle_cutoff": 20.0}),
    ],
    ids=["underfocus", "overfocus", "Cs", "astigmatism", "coma", "all of them", "aperture", "wide aperture"],
)
def test_point_intensity_agrees_with_abtem(waves, conditions, optics):
    image = intensity(waves[:1], conditions, ENERGY, SAMPLING, 1)
    np.testing.assert_allclose(image, abtem_intensity(waves[0], **optics), atol=2e-4)


@pytest.mark.parametrize("focal_nodes", [15, "auto"])
def test_focal_spread_agrees_with_an_explicit_defocus_series_of_abtem(waves, focal_nodes):
    spread = 25.0
    steps = np.linspace(-5 * spread, 5 * spread, 81)
    weights = np.exp(-(steps**2) / (2 * spread**2))
    weights /= weights.sum()
    series = sum(w * abtem_intensity(waves[0], defocus=60.0 + d) for w, d in zip(weights, steps, strict=True))
    conditions = replace(IDEAL, defocus=60.0, focal_spread=spread)
    image = intensity(waves[:1], conditions, ENERGY, SAMPLING, focal_nodes)
    np.testing.assert_allclose(image, series, atol=TOLERANCE)


def test_envelopes_of_focal_spread_and_angles_agree_with_abtem(waves):
    # abTEM's focal and angular spreads are 1/e half widths, sqrt(2) times the standard deviations.
    for spreads, halfwidths in (
        ({"focal_spread": 25.0}, {"focal_spread": 25.0 * np.sqrt(2)}),
        ({"angular_spread": 0.6}, {"angular_spread": 0.6 * np.sqrt(2)}),
    ):
        conditions = replace(IDEAL, defocus=150.0, aberrations=RESIDUAL, **spreads)
        image = intensity(waves[:1], conditions, ENERGY, SAMPLING, "auto", "envelope")
        reference = abtem_intensity(waves[0], defocus=150.0, **RESIDUAL, **halfwidths)
        np.testing.assert_allclose(image, reference, atol=2e-4)
        coherent = abtem_intensity(waves[0], defocus=150.0, **RESIDUAL)
        assert np.abs(coherent - reference).max() > 0.05


def test_envelope_equals_the_quadrature_for_a_weak_object():
    conditions = replace(IDEAL, defocus=120.0, focal_spread=25.0)
    images = [
        intensity(_grating(cycles=16, amplitude=0.003), conditions, ENERGY, SAMPLING, "auto", coherence)
        for coherence in ("quadrature", "envelope")
    ]
    assert np.ptp(images[0]) == pytest.approx(np.ptp(images[1]), rel=1e-3)
    assert np.ptp(images[0]) < 0.9 * np.ptp(
        intensity(_grating(16, 0.003), replace(IDEAL, defocus=120.0), ENERGY, SAMPLING)
    )


def test_spatial_coherence_of_a_weak_object_is_a_mean_over_directions_of_illumination():
    # Waves of a tilted beam through the lens, with what the lens does to the object's two beams and the direct one.
    conditions = replace(IDEAL, defocus=500.0, angular_spread=0.5)
    image = intensity(_grating(cycles=8, amplitude=0.003), conditions, ENERGY, SAMPLING)
    length, k = wavelength(ENERGY), 8 / (64 * SAMPLING)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    total = np.zeros(64)
    for tilt, weight in zip(0.5e-3 * nodes / length, weights / weights.sum(), strict=True):
        phases = [np.pi * length * 500.0 * (tilt + order * k) ** 2 for order in (-1, 0, 1)]
        x = np.arange(64) / 64
        parts = [0.0015j * np.exp(-16j * np.pi * x), np.ones(64), 0.0015j * np.exp(16j * np.pi * x)]
        total += weight * np.abs(sum(a * np.exp(1j * p) for a, p in zip(parts, phases, strict=True))) ** 2
    assert np.ptp(image[0]) == pytest.approx(np.ptp(total), rel=2e-3)
    assert np.ptp(total) < 0.95 * np.ptp(intensity(_grating(8, 0.003), replace(IDEAL, defocus=500.0), ENERGY, SAMPLING))


def test_focal_spread_of_a_tilted_beam_blurs_along_the_tilt(waves):
    # Each defocus of the spread moves the image by defocus times tilt, which the mean shift left out does not undo.
    tilt, spread = np.array([8.0, 0.0]), 30.0
    conditions = replace(IDEAL, focal_spread=spread, tilt=(8.0, 0.0))
    image = intensity(waves[:1], conditions, ENERGY, SAMPLING, 21)
    length = wavelength(ENERGY)
    ky, kx = (np.fft.fftfreq(n, SAMPLING) for n in waves.shape[1:])
    offsets, weights = np.polynomial.hermite_e.hermegauss(21)
    total = np.zeros(waves.shape[1:])
    for offset, weight in zip(spread * offsets, weights / weights.sum(), strict=True):
        through = length * kx + tilt[0] * 1e-3
        phase = np.pi / length * offset * (through**2 + (length * ky[:, None]) ** 2 - (tilt[0] * 1e-3) ** 2)
        total += weight * np.abs(np.fft.ifft2(np.fft.fft2(waves[0]) * np.exp(1j * phase))) ** 2
    np.testing.assert_allclose(image, total, atol=2e-5)


def test_vibration_is_a_mean_over_shifted_images(waves):
    # The aperture keeps the intensity below the pixels' Nyquist frequency: what is beyond does not move with them.
    conditions, sigma = replace(IDEAL, defocus=80.0, objective_aperture=12.0), 0.7
    sharp = expected_image(waves, conditions, ENERGY, SAMPLING)
    blurred = expected_image(waves, replace(conditions, vibration=sigma), ENERGY, SAMPLING)
    # Shifts of whole pixels, [Å]: dense enough for a Gaussian of 1.75 pixels.
    steps = np.arange(-9, 10)
    weights = np.exp(-((steps * SAMPLING) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        sharp = sum(w * np.roll(sharp, step, axis) for w, step in zip(weights, steps, strict=True))
    np.testing.assert_allclose(blurred, sharp, atol=1e-5)


@pytest.mark.parametrize(("drift", "steps"), [((2.0, 0.0), (0, 1)), ((0.0, 2.0), (1, 0)), ((2.0, -2.0), (-1, 1))])
def test_drift_is_a_mean_over_images_along_its_line(waves, drift, steps):
    conditions = replace(IDEAL, defocus=80.0, objective_aperture=12.0)
    sharp = expected_image(waves, conditions, ENERGY, SAMPLING)
    # Shifts by parts of a pixel, through the spectrum.
    moved = expected_image(waves, replace(conditions, drift=drift), ENERGY, SAMPLING)
    line = (np.arange(400) + 0.5) / 400 - 0.5
    ky, kx = (np.fft.fftfreq(n, SAMPLING) for n in sharp.shape)
    phases = sum(np.exp(-2j * np.pi * t * (drift[1] * ky[:, None] + drift[0] * kx)) for t in line) / len(line)
    np.testing.assert_allclose(moved, np.fft.ifft2(np.fft.fft2(sharp) * phases).real, atol=1e-4)
    along = np.abs(moved - np.roll(moved, steps, (0, 1))).mean()
    across = np.abs(moved - np.roll(moved, (steps[1], -steps[0]), (0, 1))).mean()
    assert along < 0.6 * across


def test_focal_nodes_known_before_the_wave_keep_the_image_within_the_tolerance(waves):
    for conditions in (
        replace(IDEAL, defocus=60.0, focal_spread=15.0),
        replace(IDEAL, defocus=60.0, focal_spread=40.0, objective_aperture=18.0),
        replace(IDEAL, defocus=60.0, focal_spread=30.0, tilt=(3.0, 4.0)),
    ):
        offsets, weights = focal_nodes_of(conditions, ENERGY, SAMPLING)
        image = intensity(waves, conditions, ENERGY, SAMPLING)
        reference = intensity(waves, conditions, ENERGY, SAMPLING, 41)
        assert np.abs(image - reference).max() < TOLERANCE * reference.mean()
        assert len(offsets) == len(weights) <= 8
    aperture = replace(IDEAL, focal_spread=15.0, objective_aperture=8.0)
    assert len(focal_nodes_of(aperture, ENERGY, SAMPLING)[0]) < len(
        focal_nodes_of(replace(aperture, objective_aperture=None), ENERGY, SAMPLING)[0]
    )
    assert len(focal_nodes_of(aperture, ENERGY, SAMPLING, 5)[0]) == 5
    assert len(focal_nodes_of(aperture, ENERGY, SAMPLING, "auto", "envelope")[0]) == 1


def _grating(cycles: int, amplitude: float) -> np.ndarray:
    phase = amplitude * np.cos(2 * np.pi * cycles * np.arange(64) / 64)
    return np.exp(1j * np.broadcast_to(phase, (64, 64)))[None].astype(np.complex64)


def _sinusoidal_phase(cycles: int, amplitude: float, conditions: ImagingConditions, along: int = 1) -> np.ndarray:
    phase = amplitude * np.cos(2 * np.pi * cycles * np.arange(64) / 64)
    wave = np.exp(1j * np.broadcast_to(phase, (64, 64)))
    wave = (wave if along == 1 else wave.T)[None].astype(np.complex64)
    return intensity(wave, conditions, ENERGY, SAMPLING, 15)


def test_mistake_07_weak_phase_contrast_is_twice_the_sine_of_chi():
    cycles, amplitude = 10, 1e-3
    k = cycles / (64 * SAMPLING)
    for defocus in (0.0, 30.0, 100.0, -100.0):
        conditions = replace(IDEAL, defocus=defocus, aberrations={"C30": 5e4})
        image = _sinusoidal_phase(cycles, amplitude, conditions)
        phase_error = np.pi * wavelength(ENERGY) * k**2 * (-defocus + 0.5 * 5e4 * (wavelength(ENERGY) * k) ** 2)
        # psi = 1 + i eps cos(qx): I = 1 + 2 eps sin(chi) cos(qx), Kirkland eq. 3.39 with the sign of exp(-i chi).
        expected = 1 + 2 * amplitude * np.sin(phase_error) * np.cos(2 * np.pi * cycles * np.arange(64) / 64)
        np.testing.assert_allclose(image[0], expected, atol=5e-6)


def test_contrast_vanishes_at_the_zero_of_the_transfer_function_and_peaks_between():
    cycles = 16
    k = cycles / (64 * SAMPLING)
    zero = 1 / (wavelength(ENERGY) * k**2)  # chi = -pi
    contrast = [
        np.ptp(_sinusoidal_phase(cycles, 1e-3, replace(IDEAL, defocus=defocus))) for defocus in (zero, zero / 2)
    ]
    assert contrast[0] < 1e-2 * contrast[1]
    assert contrast[1] == pytest.approx(4e-3, rel=1e-2)


@pytest.mark.parametrize(("angle", "along"), [(0.0, 1), (np.pi / 2, 0)])
def test_mistake_07_astigmatism_along_one_axis_moves_the_focus_of_that_axis(angle, along):
    # C12 adds to C10 along phi12 and is taken from it across: with C12 = defocus the waves along phi12 are in focus.
    conditions = replace(IDEAL, defocus=100.0, aberrations={"C12": 100.0, "phi12": angle})
    focused = _sinusoidal_phase(10, 1e-3, conditions, along=along)
    defocused = _sinusoidal_phase(10, 1e-3, conditions, along=1 - along)
    assert np.ptp(focused) < 1e-5
    assert np.ptp(defocused) > 3e-3


@pytest.mark.parametrize("name", ["C12", "C21", "C23", "C34", "C45"])
def test_mistake_07_turning_aberration_and_object_by_a_right_angle_turns_the_image(waves, name):
    wave = band_limited(waves[:1, :64])
    sizes = {"1": 60.0, "2": 2e3, "3": 1e5, "4": 5e6}
    straight = {name: sizes[name[1]], f"phi{name[1:]}": 0.3}
    turned = straight | {f"phi{name[1:]}": 0.3 + np.pi / 2}
    image = intensity(wave, replace(IDEAL, aberrations=straight), ENERGY, SAMPLING, 1)
    # From x towards y is rot90 against the order of rows; roll keeps the pixel 0 of the FFT in place.
    quarter = np.roll(np.rot90(wave[0], -1), 1, axis=1)
    again = intensity(quarter[None], replace(IDEAL, aberrations=turned), ENERGY, SAMPLING, 1)
    np.testing.assert_allclose(again, np.roll(np.rot90(image, -1), 1, axis=1), atol=5e-4)


def test_vacuum_has_intensity_one_under_any_optics():
    vacuum = np.ones((3, 32, 48), np.complex64)
    conditions = ImagingConditions(
        defocus=100.0,
        aberrations=RESIDUAL,
        tilt=(2.0, -1.0),
        focal_spread=30.0,
        angular_spread=0.5,
        vibration=0.5,
        drift=(1.0, 2.0),
        objective_aperture=10.0,
        plasmon_weight=0.3,
    )
    for coherence in ("quadrature", "envelope"):
        image = expected_image(vacuum, conditions, ENERGY, SAMPLING, "auto", coherence)
        np.testing.assert_allclose(image, 1, atol=1e-5)


def test_phonon_average_is_of_intensities_not_of_waves(waves):
    conditions = replace(IDEAL, defocus=80.0)
    image = intensity(waves, conditions, ENERGY, SAMPLING, 1)
    single = [intensity(waves[i : i + 1], conditions, ENERGY, SAMPLING, 1) for i in range(2)]
    np.testing.assert_allclose(image, np.mean(single, axis=0), atol=1e-5)
    of_waves = intensity(waves.mean(axis=0, keepdims=True), conditions, ENERGY, SAMPLING, 1)
    assert np.abs(image - of_waves).max() > 0.05


def test_plasmon_background_keeps_the_mean_and_lowers_the_contrast_by_its_weight(waves):
    sharp = expected_image(waves, replace(IDEAL, defocus=80.0), ENERGY, SAMPLING, 1)
    hazy = expected_image(waves, replace(IDEAL, defocus=80.0, plasmon_weight=0.25), ENERGY, SAMPLING, 1)
    assert hazy.mean() == pytest.approx(sharp.mean(), rel=1e-5)
    np.testing.assert_allclose(hazy - hazy.mean(), 0.75 * (sharp - sharp.mean()), atol=1e-5)


def test_open_optics_keep_every_electron(waves):
    conditions = replace(IDEAL, defocus=80.0, aberrations={"C30": 1e5}, focal_spread=20.0)
    image = expected_image(waves, conditions, ENERGY, SAMPLING, 7)
    assert image.mean() == pytest.approx((np.abs(waves) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("binning", [1, 2, 4])
@pytest.mark.parametrize("aperture", [None, 14.0])
def test_pixels_are_the_area_average_without_aliasing(columns, binning, aperture):
    conditions = replace(IDEAL, defocus=80.0, objective_aperture=aperture)
    # Interpolate the wave to 15 times the points, square there, average over the area centred on the wave's points.
    factor, n = 15, columns.shape[-1]
    fine_spectrum = np.zeros((n * factor, n * factor), complex)
    index = np.fft.fftfreq(n, 1 / n).astype(int)
    k2 = (index[:, None] ** 2 + index**2) / (n * SAMPLING) ** 2
    transfer = np.exp(1j * np.pi * wavelength(ENERGY) * 80.0 * k2)
    if aperture is not None:
        transfer *= wavelength(ENERGY) ** 2 * k2 <= (aperture * 1e-3) ** 2
    fine_spectrum[np.ix_(index, index)] = np.fft.fft2(columns[0]) * transfer * factor**2
    fine = np.abs(np.fft.ifft2(fine_spectrum)) ** 2
    centred = np.roll(fine, (factor // 2, factor // 2), (0, 1))
    size = n // binning
    reference = centred.reshape(size, binning * factor, size, binning * factor).mean((1, 3))
    image = crop_periodic(expected_image(columns, conditions, ENERGY, SAMPLING), (0, 0), binning, size)
    # The reference sums over 15 points of a pixel instead of integrating: right to (pi / 15)² / 24 at its Nyquist.
    assert (image - reference).std() < 2e-3 * reference.std()


@pytest.fixture(scope="module")
def columns() -> np.ndarray:
    """A wave [1, y, x] of narrow columns of atoms, limited to the circle that the multislice leaves."""
    points = np.zeros((64, 64))
    points[tuple(np.random.default_rng(3).integers(0, 64, (2, 40)))] = 1
    phase = 6 * gaussian_filter(points, 0.8, mode="wrap")
    k = np.fft.fftfreq(64)
    return np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * (np.hypot(k[:, None], k) < 0.5))[None].astype(np.complex64)


def test_torch_gives_the_same_images(waves):
    for conditions in (
        replace(IDEAL, defocus=80.0, focal_spread=20.0, aberrations=RESIDUAL),
        replace(IDEAL, defocus=80.0, focal_spread=20.0, objective_aperture=12.0, tilt=(2.0, 1.0)),
    ):
        images = [expected_image(waves, conditions, ENERGY, SAMPLING, device=device) for device in ("cpu", "cpu:0")]
        np.testing.assert_allclose(images[0], images[1], atol=1e-5)


def test_odd_waves_are_refused():
    with pytest.raises(ConfigError, match="exit wave has 31 x 32 pixels; allowed: even"):
        intensity(np.ones((1, 31, 32), np.complex64), IDEAL, ENERGY, SAMPLING)


def test_crop_periodic_equals_rolling_cutting_and_averaging():
    field = np.random.default_rng(0).normal(size=(2, 12, 10)).astype(np.float32)
    cut = crop_periodic(field, (9, 7), 2, 4)
    rolled = np.roll(field, (-9, -7), (1, 2))[:, :8, :8]
    reference = np.array(
        [[[[r[i : i + 2, j : j + 2].mean() for j in range(0, 8, 2)] for i in range(0, 8, 2)]] for r in rolled]
    )
    np.testing.assert_allclose(cut, reference[:, 0], atol=1e-6)


def test_crop_larger_than_the_field_is_refused():
    with pytest.raises(ConfigError, match="size 6 px needs 12"):
        crop_periodic(np.ones((10, 12)), (0, 0), 2, 6)


def test_image_pixel_that_is_no_multiple_of_the_wave_pixel_is_refused(waves):
    with pytest.raises(ConfigError, match=r"pixel_size is 0\.5"):
        form_image(
            waves,
            IDEAL,
            block=block(pixel_size=0.5),
            energy=ENERGY,
            sampling=SAMPLING,
            offset=(0, 0),
            rng=np.random.default_rng(0),
        )


def test_images_depend_on_their_own_generator_and_conditions_alone(waves):
    taken = [IDEAL, replace(IDEAL, defocus=200.0, focal_spread=10.0), IDEAL]
    offsets = [(90, 50), (3, 4), (90, 50)]
    shared = {"block": block(), "energy": ENERGY, "sampling": SAMPLING}
    together = form_images(
        waves, taken, offsets=offsets, rngs=[np.random.default_rng(seed) for seed in (5, 6, 7)], **shared
    )
    alone = [
        form_image(waves, each, offset=offset, rng=np.random.default_rng(seed), **shared)
        for each, offset, seed in zip(taken, offsets, (5, 6, 5), strict=True)
    ]
    assert alone[0].shape == (24, 24)
    np.testing.assert_array_equal(together[0].counts, alone[0])
    np.testing.assert_array_equal(together[1].counts, alone[1])
    np.testing.assert_array_equal(alone[2], alone[0])
    assert (together[2].counts != alone[0]).any()
    assert [image.focal_nodes for image in together] == [1, len(focal_nodes_of(taken[1], ENERGY, SAMPLING)[0]), 1]
    assert together[0].saturated == 0


def test_drawn_conditions_are_recorded_in_full():
    drawn_from = block(
        defocus={"uniform": [100, 200]},
        aberrations={"C30": -1e4, "C12": {"normal": [0, 20]}, "phi12": {"uniform": [-3.1, 3.1]}},
        objective_aperture={"uniform": [10, 20]},
        illumination_tilt_x={"uniform": [1, 2]},
        drift=3.0,
        drift_angle=np.pi / 2,
        dose={"loguniform": [100, 1000]},
        detector={"kind": "ideal", "blur": {"uniform": [0, 1]}},
    )
    conditions = draw_conditions(drawn_from, np.random.default_rng(2))
    row = conditions.as_row()
    assert set(Aberrations.model_fields) < set(row)
    assert 100 <= row["defocus"] <= 200
    assert 10 <= row["objective_aperture"] <= 20
    assert 1 <= row["illumination_tilt_x"] <= 2
    assert (row["drift_x"], row["drift_y"]) == pytest.approx((0, 3))
    assert 0 < row["detector_blur"] < 1
    assert row["C30"] == -1e4
    assert row["C12"] == conditions.aberrations["C12"] != 0
    assert draw_conditions(drawn_from, np.random.default_rng(2)) == conditions
    assert draw_conditions(drawn_from, np.random.default_rng(3)) != conditions


def test_open_aperture_is_recorded_as_nan():
    assert np.isnan(IDEAL.as_row()["objective_aperture"])


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (3.0, -5.0)])
@pytest.mark.parametrize("aperture", [None, 15.0])
def test_lens_on_a_band_is_the_transfer_function_with_its_envelope(tilt, aperture):
    rng = np.random.default_rng(0)
    terms = [(n, m) for n, m in HARMONICS if (n, m) != (1, 0)]
    aberrations = {f"C{n}{m}": 30 * 40 ** (n - 1) * rng.normal() for n, m in terms}
    aberrations |= {f"phi{n}{m}": rng.uniform(-3, 3) for n, m in terms if m}
    conditions = ImagingConditions(
        defocus=80.0, aberrations=aberrations, tilt=tilt, objective_aperture=aperture, angular_spread=0.3
    )
    grid = reciprocal_grid((64, 96), SAMPLING, ENERGY)
    coefficients = {"C10": -80.0, **aberrations}
    expected = transfer_function(grid, coefficients, aperture, tilt)
    expected = expected * spatial_envelope(chi_gradient(grid, coefficients, tilt), 0.3)
    found = transfer(grid.ky, grid.kx, conditions, grid.wavelength, envelope=False)
    np.testing.assert_allclose(found, expected, atol=2e-6)
