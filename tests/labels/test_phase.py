"""Phase maps of known scenes."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from exitwave.config.images import Hrtem
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.hrtem import crop_periodic, form_image
from exitwave.labels.phase import phase_map

SAMPLING = 0.4
BLOCK = Hrtem(kind="hrtem", exit_waves="", pixel_size=0.8, size=48, dose=1.0)


def disc_wave(phase: float, centre: tuple[float, float], radius: float, edge: int = 96) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    inside = (
        np.hypot(*(np.minimum(abs(a - c), edge - abs(a - c)) for a, c in zip((y, x), centre, strict=True))) < radius
    )
    return np.exp(1j * phase * inside)[None].astype(np.complex64)


def image_of(wave: np.ndarray, conditions: ImagingConditions, offset: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return form_image(wave, conditions, block=BLOCK, energy=300e3, sampling=SAMPLING, offset=offset, rng=rng)


def test_label_of_a_disc_of_known_phase_is_that_disc_to_a_pixel():
    label = phase_map(disc_wave(0.8, (40, 50), 20), SAMPLING, smoothing=1.0) > 0.4
    y, x = np.mgrid[:96, :96]
    distance = np.hypot(y - 40, x - 50)
    assert label[distance < 19].all()
    assert not label[distance > 21].any()


def test_phase_inside_a_large_disc_is_its_phase():
    smoothed = phase_map(disc_wave(-0.8, (48, 48), 30), SAMPLING, smoothing=1.0)
    assert smoothed.dtype == np.float32
    assert smoothed[48, 48] == pytest.approx(0.8, abs=1e-4)
    assert smoothed[0, 0] == pytest.approx(0, abs=1e-4)


def test_smoothing_is_periodic_as_the_wave_is():
    corner = phase_map(disc_wave(0.8, (0, 0), 12), SAMPLING, smoothing=1.2)
    middle = phase_map(disc_wave(0.8, (48, 48), 12), SAMPLING, smoothing=1.2)
    np.testing.assert_allclose(np.roll(corner, (48, 48), (0, 1)), middle, atol=1e-6)


def test_phase_is_averaged_over_phonons():
    waves = np.concatenate([disc_wave(phase, (48, 48), 30) for phase in (0.2, 0.6)])
    assert phase_map(waves, SAMPLING, smoothing=0)[48, 48] == pytest.approx(0.4, abs=1e-6)


def test_mistake_06_label_is_made_from_the_wave_alone():
    # No argument through which defocus, aberrations or dose could reach the label.
    assert list(inspect.signature(phase_map).parameters) == ["particle_waves", "sampling", "smoothing"]


def test_mistake_06_label_is_the_same_for_every_image_of_a_structure_up_to_its_position():
    wave = disc_wave(0.5, (30, 60), 14)
    first = ImagingConditions(defocus=50.0, dose=300.0)
    conditions = [first, replace(first, defocus=-400.0, aberrations={"C12": 80.0}), replace(first, focal_spread=40.0)]
    images, labels = [], []
    for item in conditions:
        images.append(image_of(wave, item, (20, 70)))
        labels.append(crop_periodic(phase_map(wave, SAMPLING, 1.0), (20, 70), 2, 48))
    for image, label in zip(images[1:], labels[1:], strict=True):
        assert (image != images[0]).any()
        np.testing.assert_array_equal(label, labels[0])
    moved = crop_periodic(phase_map(wave, SAMPLING, 1.0), (24, 66), 2, 48)
    np.testing.assert_allclose(np.roll(moved, (2, -2), (0, 1)), labels[0], atol=1e-6)


def test_label_and_image_of_a_scene_lie_on_top_of_each_other():
    # Absorbing instead of phase-shifting: the disc is dark in focus, and the label of the same disc must cover it.
    wave = disc_wave(0.8, (30, 60), 14)
    dark = np.where(np.angle(wave) > 0.4, 0.3, 1.0).astype(np.complex64)
    image = image_of(dark, ImagingConditions(dose=1e6), (10, 33)) / (1e6 * 0.64)
    label = crop_periodic(phase_map(wave, SAMPLING, 0.0), (10, 33), 2, 48)
    pixels = np.arange(48)
    for axis in (0, 1):
        centres = [
            (pixels * weight.sum(axis=1 - axis)).sum() / weight.sum()
            for weight in ((1 - image).clip(0.05) - 0.05, label)
        ]
        assert centres[0] == pytest.approx(centres[1], abs=0.05)
