"""Counts: statistics, transfer of signal and noise, bit depth, defects of the camera, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.ndimage import gaussian_filter

from exitwave.config.cameras import Camera, CountingCamera, IdealCamera, MeasuredMtf, ParametricMtf, ScintillatorCamera
from exitwave.config.images import Hrtem
from exitwave.errors import ConfigError
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.detector import check_camera, record, saturated
from exitwave.imaging.hrtem import form_image
from exitwave.imaging.mtf import modulation

CONDITIONS = ImagingConditions(dose=500.0)
VACUUM = np.ones((256, 256), np.float32)
MTF = ParametricMtf(half=0.15, power=2.0, floor=0.05)
NTF = ParametricMtf(half=0.3, power=2.0, floor=0.2)


def ideal(blur):
    return IdealCamera(kind="ideal", blur=blur)


def scintillator(**keys):
    return ScintillatorCamera(kind="scintillator", bit_depth=32, **keys)


def counting(**keys):
    return CountingCamera(kind="counting", bit_depth=32, **keys)


def flat(camera, dose=500.0, n=256, seed=0, pixel_size=1.0):
    field = np.ones((n, n), np.float32)
    return record(field, replace(CONDITIONS, dose=dose, camera=camera), pixel_size, np.random.default_rng(seed))


def rings(n, count=8):
    """Ring of each frequency of an n x n transform, -1 for what no ring holds, and the frequencies [1/px]."""
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
    ring = np.minimum((f / 0.5 * count).astype(int), count)
    ring[(f == 0) | (ring == count)] = -1
    return ring, f


# --- ideal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dose", [0.5, 30.0, 5e3, 1e7])
@pytest.mark.parametrize("blur", [0.0, 1.3])
def test_mistake_11_mean_counts_are_dose_times_area_within_three_sigma(dose, blur):
    counts = record(VACUUM, replace(CONDITIONS, dose=dose, camera=ideal(blur)), 0.8, np.random.default_rng(4))
    expected = dose * 0.8**2
    # The random rounding after the blur adds a variance of 1/4 at the most.
    sigma = np.sqrt((expected + (blur > 0) / 4) / counts.size)
    assert counts.mean() == pytest.approx(expected, abs=3 * sigma)


def test_mistake_11_counts_above_8_and_16_bits_are_neither_wrapped_nor_clipped():
    counts = record(VACUUM, replace(CONDITIONS, dose=1e6), 1.0, np.random.default_rng(0))
    assert counts.dtype == np.uint32
    assert counts.min() > 65535
    assert counts.max() > 1e6
    assert len(np.unique(counts)) > 1000


@pytest.mark.parametrize("camera", [ideal(0), scintillator(), counting()])
def test_mistake_11_dose_beyond_32_bits_is_refused(camera):
    with pytest.raises(ConfigError, match="dose 5e\\+09 e⁻/Å² on pixels of 1 Å"):
        record(VACUUM, replace(CONDITIONS, dose=5e9, camera=camera), 1.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="dose inf"):
        record(VACUUM, replace(CONDITIONS, dose=np.inf, camera=camera), 1.0, np.random.default_rng(0))


def test_mistake_11_dose_is_that_of_the_image_pixel_in_the_whole_chain():
    vacuum = np.ones((1, 128, 128), np.complex64)
    for pixel_size, size in ((0.2, 128), (0.8, 32)):
        block = Hrtem(kind="hrtem", exit_waves="vacuum", pixel_size=pixel_size, size=size, dose=500.0)
        counts = form_image(
            vacuum, CONDITIONS, block=block, energy=300e3, sampling=0.2, offset=(3, 5), rng=np.random.default_rng(1)
        )
        electrons = 500.0 * (128 * 0.2) ** 2
        assert counts.sum() == pytest.approx(electrons, abs=3 * np.sqrt(electrons))


def test_variance_without_point_spread_is_the_mean():
    counts = record(VACUUM, CONDITIONS, 0.4, np.random.default_rng(7))
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / counts.size))


def test_point_spread_acts_on_the_noise():
    counts = flat(ideal(1.5), dose=1e5, seed=7)
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1
    noise_left = (gaussian_filter(impulse, 1.5) ** 2).sum()
    assert counts.var() / counts.mean() == pytest.approx(noise_left, rel=0.05)


def test_point_spread_keeps_the_electrons_at_the_edge():
    edge = np.zeros((64, 64), np.float32)
    edge[0] = edge[:, 63] = 1
    conditions = replace(CONDITIONS, dose=1e6)
    sharp = record(edge, conditions, 1.0, np.random.default_rng(2))
    blurred = record(edge, replace(conditions, camera=ideal(2.0)), 1.0, np.random.default_rng(2))
    assert float(blurred.sum()) == pytest.approx(float(sharp.sum()), abs=blurred.size / 2)


@pytest.mark.parametrize("blur", [0.0, 0.7])
def test_ideal_counts_are_the_generators_own_numbers_in_a_fixed_order(blur):
    rng = np.random.default_rng(11)
    expected = rng.poisson(np.full((40, 50), 30.0 * 0.4**2))
    if blur:
        expected = np.floor(gaussian_filter(expected.astype(float), blur) + rng.random((40, 50)))
    field = np.ones((40, 50), np.float32)
    counts = record(field, replace(CONDITIONS, dose=30.0, camera=ideal(blur)), 0.4, np.random.default_rng(11))
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("camera", [ideal(0), scintillator(mtf=MTF), counting(mtf=MTF, electrons_per_frame=0.1)])
def test_dark_pixels_get_no_electrons(camera):
    dark = np.zeros((16, 16), np.float32)
    assert record(dark, replace(CONDITIONS, camera=camera), 1.0, np.random.default_rng(0)).sum() == 0


# --- scintillator ------------------------------------------------------------------------------


@pytest.mark.parametrize("dose", [0.3, 20.0, 5e3])
@pytest.mark.parametrize("keys", [{}, {"mtf": MTF}, {"mtf": MTF, "noise_transfer": NTF}])
def test_mean_is_gain_times_electrons_plus_offset(dose, keys):
    counts = flat(scintillator(quantum_efficiency=0.7, gain=8.0, offset=40.0, readout_noise=3.0, **keys), dose)
    sigma = np.sqrt(8.0**2 * dose / 0.7 + 9 + 0.25) / counts.shape[0]
    assert counts.mean() == pytest.approx(8.0 * dose + 40.0, abs=3.5 * sigma)


def test_variance_of_unfiltered_light_is_that_of_the_detected_electrons_and_the_electronics():
    camera = scintillator(
        quantum_efficiency=0.6, gain=5.0, offset=100.0, readout_noise=8.0, dark_residue=6.0, gain_residue=0.05
    )
    counts = flat(camera, dose=200.0)
    shot, electronic = 25.0 * 200.0 / 0.6, 64.0 + 36.0
    residue = 0.05**2 * ((5.0 * 200.0) ** 2 + shot)
    # Rounding at random adds 1/6 to noise that is spread over many counts.
    assert counts.var() == pytest.approx(shot + electronic + residue + 1 / 6, rel=4 * np.sqrt(2 / counts.size))


def test_counts_fewer_than_one_are_right_in_the_mean():
    counts = flat(scintillator(gain=0.2, mtf=MTF), dose=0.5)
    assert counts.mean() == pytest.approx(0.1, abs=3 * np.sqrt(0.1) / 256)


@pytest.mark.parametrize("frequency", [0.0625, 0.125, 0.25, 0.4375])
def test_a_sine_is_transferred_by_the_mtf(frequency):
    x = np.arange(128)
    wave = np.cos(2 * np.pi * frequency * x)
    field = np.broadcast_to(1 + 0.5 * wave, (128, 128)).astype(np.float32)
    conditions = replace(CONDITIONS, dose=1e5, camera=scintillator(mtf=MTF, noise_transfer=NTF, gain=10.0))
    counts = record(field, conditions, 1.0, np.random.default_rng(3)).astype(float)
    # Away from the two ends, where the mirror image of the wave has another phase.
    inner = slice(16, 112)
    amplitude = 2 * (counts[:, inner] * wave[inner]).mean() / 1e6
    assert amplitude == pytest.approx(0.5 * modulation(MTF, np.array([frequency]))[0], abs=2e-3)


def test_an_edge_is_spread_by_the_kernel_whose_transform_is_the_mtf():
    n = 128
    field = np.full((n, n), 0.2, np.float32)
    field[:, n // 2 :] = 1
    conditions = replace(CONDITIONS, dose=1e6, camera=counting(mtf=MTF, quantum_efficiency=1.0))
    profile = record(field, conditions, 1.0, np.random.default_rng(5)).mean(axis=0) / 1e6
    line_spread = np.diff(profile)[n // 2 - 32 : n // 2 + 31] / 0.8
    position = np.arange(-31, 32)
    for f in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        measured = (line_spread * np.cos(2 * np.pi * f * position)).sum()
        assert measured == pytest.approx(modulation(MTF, np.array([f]))[0], abs=5e-3)


def dqe(camera, n=128, dose=200.0, images=24):
    """DQE and noise power spectrum in rings of frequency, measured on flat fields and on a weak random object."""
    ring, f = rings(n)
    rng = np.random.default_rng(8)
    conditions = replace(CONDITIONS, dose=dose, camera=camera)
    field = np.ones((n, n), np.float32)
    flats = np.array([record(field, conditions, 1.0, rng).astype(float) for _ in range(images)])
    mean = flats.mean()
    power = (np.abs(np.fft.fft2(flats - mean)) ** 2).mean(axis=0) / n**2
    nps = np.array([power[ring == i].mean() for i in range(8)])
    # Response to many weak sines at once, by correlation with what went in.
    signal = rng.standard_normal((n, n)) * 0.15
    shown = np.array([record((1 + signal).astype(np.float32), conditions, 1.0, rng) for _ in range(images)]).mean(
        axis=0
    )
    spectrum = np.fft.fft2(signal)
    cross, own = (np.fft.fft2(shown - mean) * spectrum.conj()).real, np.abs(spectrum) ** 2
    response = np.array([cross[ring == i].sum() / own[ring == i].sum() for i in range(8)])
    truth = [f[ring == i] for i in range(8)]
    return response**2 / (dose * nps), nps, response / mean, truth


def test_dqe_measured_on_images_is_quantum_efficiency_times_mtf_over_ntf_squared():
    camera = scintillator(mtf=MTF, noise_transfer=NTF, quantum_efficiency=0.7, gain=12.0)
    measured, nps, response, frequencies = dqe(camera)
    mtf = np.array([modulation(MTF, f).mean() for f in frequencies])
    ntf2 = np.array([(modulation(NTF, f) ** 2).mean() for f in frequencies])
    np.testing.assert_allclose(nps, 12.0**2 * 200.0 / 0.7 * ntf2, rtol=0.04)
    np.testing.assert_allclose(response, mtf, atol=0.02)
    np.testing.assert_allclose(measured, 0.7 * mtf**2 / ntf2, rtol=0.08)


def test_dqe_at_frequency_zero_is_the_quantum_efficiency():
    # The counts of blocks much larger than the point spread have its noise at frequency 0.
    for camera in (
        scintillator(mtf=MTF, noise_transfer=NTF, quantum_efficiency=0.5, gain=9.0),
        scintillator(mtf=MTF, quantum_efficiency=0.5, gain=9.0),
        counting(mtf=MTF, quantum_efficiency=0.5),
    ):
        gain = 9.0 if camera.kind == "scintillator" else 0.5
        fields = np.array([flat(camera, dose=100.0, n=384, seed=i) for i in range(6)]).astype(float)
        sums = fields.reshape(6, 12, 32, 12, 32).sum(axis=(2, 4))
        electrons = 100.0 * 32**2
        measured = (gain * electrons) ** 2 / sums.var() / electrons
        # Light spread across the borders of a block takes a few percent of its variance away.
        assert measured == pytest.approx(0.5, rel=0.12)


def test_without_a_noise_transfer_function_the_dqe_does_not_fall():
    measured, _, _, _ = dqe(scintillator(mtf=MTF, quantum_efficiency=0.8, gain=10.0))
    np.testing.assert_allclose(measured, 0.8, rtol=0.1)


def test_noise_is_the_same_at_the_edges_and_in_the_corners_as_inside():
    fields = np.array([flat(scintillator(mtf=MTF, gain=10.0), n=64, seed=i) for i in range(150)]).astype(float)
    variance = fields.var(axis=0)
    inside = variance[16:48, 16:48].mean()
    for part in (variance[0], variance[-1], variance[:, 0], variance[:, -1]):
        assert part.mean() == pytest.approx(inside, rel=0.08)


@pytest.mark.parametrize("camera", [scintillator(mtf=MTF, noise_transfer=NTF), counting(mtf=MTF)])
def test_light_at_one_edge_does_not_come_in_at_the_other(camera):
    field = np.zeros((48, 48), np.float32)
    field[:, :4] = field[:4] = 1
    counts = record(field, replace(CONDITIONS, camera=camera), 1.0, np.random.default_rng(0)).astype(float)
    assert counts[-8:, -8:].mean() < 1e-3 * counts[:4, :4].mean()


def test_a_measured_table_does_what_the_function_it_was_taken_from_does(tmp_path):
    f = np.linspace(0, 0.75, 301)
    path = tmp_path / "mtf.csv"
    np.savetxt(path, np.transpose([f, modulation(MTF, f)]), delimiter=",", header="frequency,mtf", comments="")
    one, other = (flat(scintillator(mtf=m), n=64).astype(float) for m in (MTF, MeasuredMtf(file=path)))
    assert np.abs(one - other).max() <= 1e-3 * one.mean() + 1


# --- counting ----------------------------------------------------------------------------------


def test_counted_electrons_are_a_share_of_those_that_come_and_their_noise_is_white():
    counts = flat(counting(mtf=MTF, quantum_efficiency=0.8), dose=50.0).astype(float)
    assert counts.mean() == pytest.approx(40.0, abs=3 * np.sqrt(40.0) / 256)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / counts.size))
    ring, _ = rings(256)
    power = np.abs(np.fft.fft2(counts - counts.mean())) ** 2 / counts.size / counts.mean()
    assert [power[ring == i].mean() for i in range(8)] == pytest.approx([1] * 8, rel=0.1)


def test_dqe_of_counting_falls_with_the_mtf_squared():
    measured, _, _, frequencies = dqe(counting(mtf=MTF, quantum_efficiency=0.9))
    expected = np.array([0.9 * modulation(MTF, f).mean() ** 2 for f in frequencies])
    np.testing.assert_allclose(measured, expected, rtol=0.08)


@pytest.mark.parametrize("per_frame", [0.05, 0.5, 2.0])
def test_coincidence_loses_electrons_and_noise(per_frame):
    dose, q = 400.0, 0.9
    counts = flat(counting(quantum_efficiency=q, electrons_per_frame=per_frame), dose).astype(float)
    frames, hit = dose / per_frame, 1 - np.exp(-q * per_frame)
    assert counts.mean() == pytest.approx(frames * hit, abs=4 * np.sqrt(frames * hit) / 256)
    assert counts.var() == pytest.approx(frames * hit * (1 - hit), rel=4 * np.sqrt(2 / counts.size))
    assert counts.max() <= frames


def test_coincidence_lowers_the_dqe_as_derived():
    dose, q, per_frame, step = 400.0, 0.9, 1.0, 0.02
    camera = counting(quantum_efficiency=q, electrons_per_frame=per_frame)

    def taken(intensity, seed):
        field = np.full((512, 512), intensity, np.float32)
        return record(field, replace(CONDITIONS, dose=dose, camera=camera), 1.0, np.random.default_rng(seed))

    slope = (taken(1 + step, 1).mean() - taken(1 - step, 2).mean()) / (2 * step * dose)
    x = q * per_frame
    assert dose * slope**2 / taken(1, 3).var() == pytest.approx(q * x / np.expm1(x), rel=0.03)


def test_very_many_frames_lose_nothing():
    counts = flat(counting(quantum_efficiency=1.0, electrons_per_frame=1e-300), dose=50.0)
    assert counts.mean() == pytest.approx(50.0, abs=3 * np.sqrt(50.0) / 256)


# --- range, dead and hot pixels ----------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_mistake_11_what_a_camera_cannot_hold_is_cut_off_at_the_top_and_counted(bits):
    largest = 2**bits - 1
    camera = ScintillatorCamera(kind="scintillator", bit_depth=bits, gain=1.0, quantum_efficiency=1.0)
    field = np.full((64, 64), 0.2, np.float32)
    field[:16] = 4.0
    conditions = replace(CONDITIONS, dose=largest / 2, camera=camera)
    counts = record(field, conditions, 1.0, np.random.default_rng(0))
    assert counts.max() == largest
    assert saturated(counts, camera) == 0.25
    assert counts[16:].mean() == pytest.approx(0.2 * largest / 2, rel=0.02)


def test_nothing_is_saturated_where_all_is_held():
    for camera in (ideal(1.0), scintillator(mtf=MTF), counting(mtf=MTF)):
        assert saturated(flat(camera), camera) == 0


@pytest.mark.parametrize("camera", [scintillator(dead_pixels=0.01, hot_pixels=0.004), counting(hot_pixels=0.02)])
def test_shares_of_dead_and_hot_pixels(camera):
    counts = flat(camera, n=512)
    sigma = np.sqrt(camera.hot_pixels / counts.size)
    assert saturated(counts, camera) == pytest.approx(camera.hot_pixels, abs=4 * sigma)
    assert (counts == 0).mean() == pytest.approx(camera.dead_pixels, abs=4 * np.sqrt(camera.dead_pixels / counts.size))


def test_hot_pixels_of_an_ideal_camera_are_brighter_than_its_mean_and_dead_ones_empty():
    camera = IdealCamera(kind="ideal", dead_pixels=0.01, hot_pixels=0.02)
    counts, plain = flat(camera, dose=400.0), flat(ideal(0.0), dose=400.0)
    dead, hot = counts == 0, counts >= 800
    assert dead.mean() == pytest.approx(0.01, abs=4 * np.sqrt(0.01 / counts.size))
    assert hot.mean() == pytest.approx(0.02, abs=4 * np.sqrt(0.02 / counts.size))
    # From 2 to 100 times the mean, even in the logarithm: half of them up to 14 times.
    assert 800 <= counts[hot].min() < 900
    assert 36_000 < counts[hot].max() <= 40_000
    assert np.median(counts[hot]) == pytest.approx(400 * np.sqrt(200), rel=0.1)
    np.testing.assert_array_equal(counts[~(dead | hot)], plain[~(dead | hot)])


def test_dead_and_hot_pixels_lie_elsewhere_in_every_image():
    camera = scintillator(dead_pixels=0.01)
    assert ((flat(camera, seed=1) == 0) != (flat(camera, seed=2) == 0)).any()


def test_the_same_generator_gives_the_same_counts():
    camera = scintillator(mtf=MTF, noise_transfer=NTF, readout_noise=2.0, offset=20.0, gain_residue=0.01)
    np.testing.assert_array_equal(flat(camera, n=48, seed=3), flat(camera, n=48, seed=3))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dose=st.floats(1e-3, 1e3),
    gain=st.floats(0.01, 30),
    power=st.floats(0.5, 8),
    kind=st.sampled_from(["scintillator", "counting"]),
)
def test_counts_are_whole_and_in_range_for_any_camera(seed, shape, dose, gain, power, kind):
    mtf = ParametricMtf(half=0.2, power=power)
    camera = (
        ScintillatorCamera(kind=kind, mtf=mtf, gain=gain, offset=20, readout_noise=3)
        if kind == "scintillator"
        else CountingCamera(kind=kind, mtf=mtf, electrons_per_frame=gain / 30)
    )
    rng = np.random.default_rng(seed)
    intensity = rng.random(shape).astype(np.float32) * 2
    counts = record(intensity, replace(CONDITIONS, dose=dose, camera=camera), 1.0, rng)
    assert counts.dtype == np.uint32
    assert counts.shape == shape
    assert counts.max() <= 65535


# --- cameras as described ----------------------------------------------------------------------

CAMERAS = """
ultrascan:
  kind: scintillator
  quantum_efficiency: 0.6
  mtf: {half: 0.099, power: 1.75, floor: 0.041}
  noise_transfer: {half: 0.15, power: 1.75, floor: 0.25}
  gain: 6.6
  readout_noise: 3.0
  offset: 50
  gain_residue: 0.0027
  dark_residue: 0.5
  dead_pixels: 1.0e-5
  hot_pixels: 1.0e-5
  bit_depth: 16
oneview:
  kind: scintillator
  quantum_efficiency: 0.7
  mtf: {half: 0.22, power: 1.8, floor: 0.05}
  noise_transfer: {half: 0.32, power: 1.8, floor: 0.25}
  gain: 20.0
  readout_noise: 5.0
  offset: 100
  gain_residue: 0.003
  dark_residue: 2.0
  dead_pixels: 1.0e-5
  hot_pixels: 1.0e-5
  bit_depth: 16
counting:
  kind: counting
  quantum_efficiency: 0.95
  mtf: {half: 3.1, power: 1.28}
  electrons_per_frame: 0.35
  bit_depth: 16
"""


def described(name):
    return TypeAdapter(Camera).validate_python(yaml.safe_load(CAMERAS)[name])


@pytest.mark.parametrize("name", ["ultrascan", "oneview", "counting"])
def test_described_cameras_record_low_and_high_doses(name):
    camera = described(name)
    check_camera(camera, (20.0, 2000.0), 0.4)
    for dose in (20.0, 200.0, 2000.0):
        assert saturated(flat(camera, dose, pixel_size=0.4), camera) < 1e-3


def test_mtf_of_the_ccd_and_its_pixel_is_the_published_fit_for_an_ultrascan_4000_at_200_kv():
    f = np.linspace(0, 0.5, 51)
    published = (1 + (f / 0.2250) ** 2) / ((1 + (f / 0.0857) ** 2) * (1 + (f / 0.3874) ** 3))
    np.testing.assert_allclose(modulation(described("ultrascan").mtf, f) * np.sinc(f), published, atol=0.015)


def test_dqe_of_the_counting_camera_and_its_pixel_is_the_published_one_at_300_kv():
    camera = described("counting")
    f = np.array([0, 1 / 8, 1 / 4, 3 / 8, 1 / 2])
    transferred = (modulation(camera.mtf, f) * np.sinc(f)) ** 2
    # Table of Parakeet (Parkhurst et al., Open Biol. 11 (2021) 210160) at 1.5 electrons a pixel and second, and at 5.
    np.testing.assert_allclose(0.95 * transferred, [0.95, 0.868, 0.713, 0.519, 0.322], atol=0.02)
    x = 0.95 * camera.electrons_per_frame
    assert 0.95 * x / np.expm1(x) == pytest.approx(0.80, abs=0.01)


# --- refused before the first job --------------------------------------------------------------


@pytest.mark.parametrize(
    ("camera", "dose", "sentence"),
    [
        (ideal(0), 5e9, "dose: reaches up to 5e+09 e⁻/Å²"),
        (
            ScintillatorCamera(kind="scintillator", gain=20.0),
            4e3,
            "dose: reaches up to 4000 e⁻/Å², which gives 8e+04 counts a pixel",
        ),
        (CountingCamera(kind="counting", bit_depth=8), 300.0, "up to 255, the largest count of 8 bits"),
        (ScintillatorCamera(kind="scintillator", gain={"uniform": [1, 700]}), 100.0, "dose: reaches up to 100"),
        (scintillator(readout_noise=5.0, offset=20.0), 10.0, "detector.offset: found 20 counts; allowed: 30 or more"),
        (scintillator(quantum_efficiency=0.0), 10.0, "detector.quantum_efficiency: reaches down to 0; allowed: above"),
        (counting(electrons_per_frame=50.0), 10.0, "detector.electrons_per_frame: reaches up to 50"),
        (counting(dead_pixels=0.7, hot_pixels=0.4), 10.0, "detector.hot_pixels: found 0.4 with 0.7 dead ones"),
        (scintillator(mtf=NTF, noise_transfer=MTF), 10.0, "detector.noise_transfer: 0."),
        (scintillator(mtf=MeasuredMtf(file="nowhere.csv")), 10.0, "detector.mtf.file: found 'nowhere.csv'"),
        (
            scintillator(noise_transfer=MeasuredMtf(file="nowhere.csv")),
            10.0,
            "detector.noise_transfer.file: found 'nowhere.csv'",
        ),
    ],
)
def test_a_camera_that_cannot_record_is_refused_in_one_sentence(camera, dose, sentence):
    with pytest.raises(ConfigError) as error:
        check_camera(camera, (1.0, dose), 1.0)
    text = str(error.value)
    assert sentence in text
    assert "allowed" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "camera",
    [
        ideal(2.0),
        ScintillatorCamera(kind="scintillator", mtf=MTF, noise_transfer=NTF, offset=30, readout_noise=5.0),
        ScintillatorCamera(kind="scintillator", mtf=MTF, gain={"uniform": [5, 30]}),
        CountingCamera(kind="counting", mtf=MTF, electrons_per_frame={"uniform": [0, 1.0]}),
    ],
)
def test_an_ordinary_camera_passes(camera):
    check_camera(camera, (100.0, 1200.0), 0.8)


def test_the_bit_depth_is_checked_with_six_standard_deviations_of_the_amplified_shot_noise():
    camera = ScintillatorCamera(kind="scintillator", gain=20.0, quantum_efficiency=0.05)
    root = -3 / np.sqrt(0.05) + np.sqrt(9 / 0.05 + 65535 / 20.0)  # of n + 6 sqrt(n / q) = 65535 / g
    check_camera(camera, (1.0, root**2 * 0.9999), 1.0)
    with pytest.raises(ConfigError, match="up to 65535, the largest count of 16 bits"):
        check_camera(camera, (1.0, root**2 * 1.0001), 1.0)


def test_the_largest_dose_that_passes_saturates_no_pixel_of_a_flat_field():
    camera = ScintillatorCamera(kind="scintillator", gain=20.0, quantum_efficiency=0.7, mtf=MTF)
    low, high = 1.0, 1e5
    for _ in range(40):
        dose = (low + high) / 2
        try:
            check_camera(camera, (1.0, dose), 1.0)
        except ConfigError:
            high = dose
        else:
            low = dose
    counts = flat(camera, dose=low, n=512)
    assert saturated(counts, camera) == 0
    # and the bound is not idle: a tenth more light would go beyond
    assert counts.mean() * 1.1 > 65535
