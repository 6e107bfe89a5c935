"""Image formation against abTEM, explicit series and analytic contrast."""

from dataclasses import replace

import abtem
import numpy as np
import pytest

from exitwave.config.imaging import Aberrations, Hrtem
from exitwave.errors import ConfigError
from exitwave.imaging.aberrations import wavelength
from exitwave.imaging.coherence import focal_quadrature, nodes_to_converge
from exitwave.imaging.hrtem import (
    ImagingConditions,
    crop_periodic,
    draw_conditions,
    expected_image,
    form_image,
    intensity,
)

ENERGY = 300e3
SAMPLING = 0.4
IDEAL = ImagingConditions(
    defocus=0.0,
    aberrations={},
    focal_spread=0.0,
    objective_aperture=None,
    plasmon_weight=0.0,
    dose=100.0,
    detector_blur=0.0,
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
        (replace(IDEAL, objective_aperture=12.0), {"semiangle_cutoff": 12.0}),
    ],
    ids=["underfocus", "overfocus", "Cs", "astigmatism", "coma", "aperture"],
)
def test_point_intensity_agrees_with_abtem(waves, conditions, optics):
    image = intensity(waves[:1], conditions, ENERGY, SAMPLING, 1)
    np.testing.assert_allclose(image, abtem_intensity(waves[0], **optics), atol=2e-4)


def test_focal_spread_agrees_with_an_explicit_defocus_series_of_abtem(waves):
    spread = 25.0
    steps = np.linspace(-5 * spread, 5 * spread, 81)
    weights = np.exp(-(steps**2) / (2 * spread**2))
    weights /= weights.sum()
    series = sum(w * abtem_intensity(waves[0], defocus=60.0 + d) for w, d in zip(weights, steps, strict=True))
    image = intensity(waves[:1], replace(IDEAL, defocus=60.0, focal_spread=spread), ENERGY, SAMPLING, 15)
    np.testing.assert_allclose(image, series, atol=1e-3)


def test_focal_spread_of_a_weak_object_damps_as_abtems_temporal_envelope():
    image = _sinusoidal_phase(cycles=12, amplitude=0.005, conditions=replace(IDEAL, defocus=120.0, focal_spread=25.0))
    sharp = _sinusoidal_phase(cycles=12, amplitude=0.005, conditions=replace(IDEAL, defocus=120.0))
    angle = wavelength(ENERGY) * 12 / (64 * SAMPLING)
    # abTEM's focal spread is the 1/e half width, sqrt(2) times the standard deviation.
    envelope = abtem.transfer.TemporalEnvelope(focal_spread=25.0 * np.sqrt(2), energy=ENERGY)
    expected = float(np.asarray(envelope._evaluate_from_angular_grid(np.array([[angle]]), np.zeros((1, 1)))).item())
    assert (image - image.mean()).std() / (sharp - sharp.mean()).std() == pytest.approx(expected, rel=5e-3)


def test_quadrature_has_the_moments_of_a_gaussian():
    offsets, weights = focal_quadrature(15.0, 7)
    moments = [float(weights @ offsets**power) for power in range(5)]
    assert moments == pytest.approx([1, 0, 15.0**2, 0, 3 * 15.0**4], abs=1e-9)


def test_nodes_to_converge_reports_the_smallest_sufficient_number(waves):
    conditions = replace(IDEAL, defocus=60.0, focal_spread=15.0)

    def image(nodes: int) -> np.ndarray:
        return intensity(waves[:1], conditions, ENERGY, SAMPLING, nodes)

    nodes = nodes_to_converge(image, tolerance=1e-3, most=25)
    assert nodes is not None
    assert 3 <= nodes <= 9
    assert np.abs(image(nodes) - image(25)).max() <= 1e-3 * image(25).mean()
    assert np.abs(image(nodes - 1) - image(25)).max() > 1e-3 * image(25).mean()


def test_without_focal_spread_one_node_suffices(waves):
    assert nodes_to_converge(lambda nodes: intensity(waves[:1], IDEAL, ENERGY, SAMPLING, nodes), most=5) == 1


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
    conditions = ImagingConditions(100.0, {"C30": 1e5, "C12": 50.0}, 30.0, 10.0, 0.3, 100.0, 1.0)
    np.testing.assert_allclose(expected_image(vacuum, conditions, ENERGY, SAMPLING, 7), 1, atol=1e-5)


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
def test_pixels_are_the_area_average_without_aliasing(waves, binning):
    conditions = replace(IDEAL, defocus=80.0)
    # Interpolate the wave to 15 times the points, square there, average over the area centred on the wave's points.
    factor = 15
    ny, nx = waves.shape[-2:]
    fine_spectrum = np.zeros((ny * factor, nx * factor), complex)
    rows, columns = (np.fft.fftfreq(n, 1 / n).astype(int) for n in (ny, nx))
    k2 = (rows[:, None] / (ny * SAMPLING)) ** 2 + (columns / (nx * SAMPLING)) ** 2
    transfer = np.exp(1j * np.pi * wavelength(ENERGY) * 80.0 * k2)
    fine_spectrum[np.ix_(rows, columns)] = np.fft.fft2(waves[0]) * transfer * factor**2
    fine = np.abs(np.fft.ifft2(fine_spectrum)) ** 2
    centred = np.roll(fine, (factor // 2, factor // 2), (0, 1))
    size = 64 // binning
    reference = centred[: 64 * factor].reshape(size, binning * factor, size, binning * factor).mean((1, 3))
    image = crop_periodic(expected_image(waves[:1], conditions, ENERGY, SAMPLING, 1), (0, 0), binning, size)
    # The reference sums over 15 points of a pixel instead of integrating: right to (pi / 15)² / 24 at its Nyquist.
    np.testing.assert_allclose(image, reference, atol=2e-3 * 4 * reference.std())


def test_small_aperture_gives_the_same_image_on_the_single_grid(waves):
    # 2 x 12 mrad < 24.6 mrad of the Nyquist frequency: the shortcut; 12.5 mrad: none. No frequency lies between here.
    short = expected_image(waves, replace(IDEAL, defocus=80.0, objective_aperture=12.0), ENERGY, SAMPLING, 1)
    points = intensity(waves, replace(IDEAL, defocus=80.0, objective_aperture=12.0), ENERGY, SAMPLING, 1, 2)
    spectrum = np.fft.fft2(points)
    for axis, n in enumerate(points.shape):
        sinc = np.sinc(SAMPLING * np.fft.fftfreq(n, SAMPLING / 2))
        spectrum *= sinc[:, None] if axis == 0 else sinc
    np.testing.assert_allclose(short, np.fft.ifft2(spectrum).real[::2, ::2], atol=1e-5)


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
        form_image(waves, IDEAL, ENERGY, SAMPLING, 1, 0.5, 16, (0, 0), np.random.default_rng(0))


def test_form_image_depends_on_the_generator_alone(waves):
    images = [
        form_image(waves, IDEAL, ENERGY, SAMPLING, 1, 0.8, 24, (90, 50), np.random.default_rng(seed))
        for seed in (5, 5, 6)
    ]
    assert images[0].shape == (24, 24)
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_drawn_conditions_are_recorded_in_full():
    block = Hrtem(
        kind="hrtem",
        exit_waves="w",
        pixel_size=0.4,
        size=64,
        defocus={"uniform": [100, 200]},
        aberrations={"C30": -1e4, "C12": {"normal": [0, 20]}, "phi12": {"uniform": [-3.1, 3.1]}},
        objective_aperture={"uniform": [10, 20]},
        dose={"loguniform": [100, 1000]},
    )
    conditions = draw_conditions(block, np.random.default_rng(2))
    row = conditions.as_row()
    assert set(row) == {
        *Aberrations.model_fields,
        "defocus",
        "focal_spread",
        "objective_aperture",
        "plasmon_weight",
        "dose",
        "detector_blur",
    }
    assert 100 <= row["defocus"] <= 200
    assert 10 <= row["objective_aperture"] <= 20
    assert row["C30"] == -1e4
    assert row["C12"] == conditions.aberrations["C12"] != 0
    assert draw_conditions(block, np.random.default_rng(2)) == conditions
    assert draw_conditions(block, np.random.default_rng(3)) != conditions


def test_open_aperture_is_recorded_as_nan():
    assert np.isnan(IDEAL.as_row()["objective_aperture"])
