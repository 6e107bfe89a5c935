"""Haider's names of aberrations become Krivanek's, so that the phase is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from exitwave.config.distributions import Choice, LogUniform, Normal, Uniform
from exitwave.config.haider import to_krivanek
from exitwave.config.images import Aberrations, Hrtem
from exitwave.config.problems import sentence
from exitwave.waves.aberrations import chi, reciprocal_grid, transfer_function, wavelength

ENERGY = 300e3

EXPANSION = {
    "A1": lambda w, v: v**2 / 2,
    "B2": lambda w, v: w**2 * v,
    "A2": lambda w, v: v**3 / 3,
    "C3": lambda w, v: (w * v) ** 2 / 4,
    "S3": lambda w, v: w**3 * v,
    "A3": lambda w, v: v**4 / 4,
    "B4": lambda w, v: w**3 * v**2,
    "D4": lambda w, v: w**4 * v,
    "A4": lambda w, v: v**5 / 5,
    "C5": lambda w, v: (w * v) ** 3 / 6,
    "S5": lambda w, v: w**4 * v**2,
    "R5": lambda w, v: w**5 * v,
    "A5": lambda w, v: v**6 / 6,
}
"""Uhlemann and Haider 1998, term by term: w is the complex angle, v its conjugate."""

ARCHIVED = {
    "A1": (16.02, -68.5),
    "A2": (179.8, -170.7),
    "B2": (239, 29.2),
    "C3": (-19130, None),
    "A3": (1583, 89.2),
    "S3": (426.4, -34.5),
    "A4": (31170, -6.3),
    "D4": (5287, -12.7),
    "B4": (16780, 104.5),
    "C5": (1.048e7, None),
    "A5": (48210, 60.2),
}
"""Residual aberrations of the archived scripts of Rangel DaCosta et al. 2024 [Å, °]."""


def keys(name: str, size: float, angle: float | None) -> dict[str, float]:
    return {name: size} if angle is None else {name: size, f"{name}_angle": angle}


def explicit(name: str, size: float, angle: float | None, w: np.ndarray) -> np.ndarray:
    coefficient = size * np.exp(1j * math.radians(angle or 0.0))
    return 2 * np.pi / wavelength(ENERGY) * np.real(coefficient * EXPANSION[name](w, w.conj()))


def ours(values: dict[str, float], w: np.ndarray) -> np.ndarray:
    return chi(np.abs(w) / wavelength(ENERGY), np.angle(w), to_krivanek(values), ENERGY)


ANGLES = np.linspace(0.001, 0.03, 9)[:, None] * np.exp(1j * np.linspace(-np.pi, np.pi, 37))


@pytest.mark.parametrize("name", EXPANSION)
@pytest.mark.parametrize("angle", [0.0, 33.0, -170.7])
def test_each_term_has_the_phase_of_its_term_in_the_complex_expansion(name, angle):
    angle = None if name in ("C3", "C5") else angle
    size = 5 / np.abs(explicit(name, 1.0, None, np.array([0.03 + 0j])))[0]
    np.testing.assert_allclose(ours(keys(name, size, angle), ANGLES), explicit(name, size, angle, ANGLES), atol=1e-9)


def test_all_archived_residual_aberrations_together_have_the_phase_of_the_complex_expansion():
    values = {key: value for name, given in ARCHIVED.items() for key, value in keys(name, *given).items()}
    expected = sum(explicit(name, *given, ANGLES) for name, given in ARCHIVED.items())
    np.testing.assert_allclose(ours(values, ANGLES), expected, atol=1e-9)
    assert np.abs(expected).max() > 1


def test_archived_residual_aberrations_convert_with_the_factors_and_angles_of_the_derivation():
    values = {key: value for name, given in ARCHIVED.items() for key, value in keys(name, *given).items()}
    krivanek = to_krivanek(values)
    assert krivanek["C12"] == 16.02
    assert krivanek["phi12"] == pytest.approx(math.radians(-34.25))
    assert krivanek["C21"] == pytest.approx(3 * 239)
    assert krivanek["phi21"] == pytest.approx(math.radians(-29.2))
    assert krivanek["C23"] == 179.8
    assert krivanek["phi23"] == pytest.approx(math.radians(-56.9))
    assert krivanek["C30"] == -19130
    assert krivanek["C32"] == pytest.approx(4 * 426.4)
    assert krivanek["phi32"] == pytest.approx(math.radians(17.25))
    assert krivanek["phi34"] == pytest.approx(math.radians(22.3))
    assert krivanek["C41"] == pytest.approx(5 * 16780)
    assert krivanek["phi41"] == pytest.approx(math.radians(-104.5))
    assert krivanek["C43"] == pytest.approx(5 * 5287)
    assert krivanek["phi43"] == pytest.approx(math.radians(12.7 / 3))
    assert krivanek["phi45"] == pytest.approx(math.radians(-1.26))
    assert krivanek["C50"] == 1.048e7
    assert krivanek["phi56"] == pytest.approx(math.radians(60.2 / 6))
    assert Aberrations.model_validate(values).model_dump() == Aberrations.model_validate(krivanek).model_dump()


def test_turning_the_microscope_turns_the_image():
    wave = np.exp(0.3j * np.random.default_rng(2).normal(size=(63, 63)))

    def image(values: dict[str, float], wave: np.ndarray) -> np.ndarray:
        grid = reciprocal_grid((63, 63), 0.5, ENERGY)
        return np.abs(np.fft.ifft2(np.fft.fft2(wave) * transfer_function(grid, to_krivanek(values)))) ** 2

    def quarter(field: np.ndarray) -> np.ndarray:
        """Turn by 90° from x to y about the first pixel: what was at (x, y) is then at (-y, x)."""
        return np.roll(field[::-1], 1, axis=0).T

    # A lens turned by 90° has w exp(-i 90°) for w: coefficients of w'^m gain m times 90°, those of w^m lose them.
    symmetry = {"A1": 2, "B2": -1, "A2": 3, "S3": -2, "A3": 4, "B4": -1, "D4": -3, "A4": 5, "A5": 6}
    straight, turned = {}, {}
    for name, (size, angle) in ARCHIVED.items():
        straight |= keys(name, size, angle)
        turned |= keys(name, size, None if angle is None else angle + 90 * symmetry[name])
    expected = quarter(image(straight, wave))
    np.testing.assert_allclose(image(turned, quarter(wave)), expected, atol=1e-5)
    assert np.abs(image(straight, quarter(wave)) - expected).max() > 0.02


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, 6.0),
        ({"uniform": [-1, 2]}, Uniform(uniform=(-3, 6))),
        ({"normal": [1, 2], "clip": [-1, 4]}, Normal(normal=(3, 6), clip=(-3, 12))),
        ({"normal": [1, 2]}, Normal(normal=(3, 6))),
        ({"loguniform": [1, 2]}, LogUniform(loguniform=(3, 6))),
        ({"choice": [1, -2], "weights": [1, 3]}, Choice[float](choice=[3, -6], weights=[1, 3])),
        (Uniform(uniform=(1, 2)), Uniform(uniform=(3, 6))),
    ],
)
def test_distribution_is_scaled_as_a_whole(value, expected):
    assert to_krivanek({"B2": value}) == {"C21": expected}


def test_interval_of_an_angle_that_changes_its_sign_stays_in_order():
    converted = to_krivanek({"S3": 1, "S3_angle": {"normal": [30, 10], "clip": [0, 60]}})["phi32"]
    assert converted.normal == pytest.approx((math.radians(-15), math.radians(5)))
    assert converted.clip == pytest.approx((math.radians(-30), 0))


def test_krivanek_names_stay_as_they_are_and_may_stand_beside_others():
    values = {"C12": {"uniform": [0, 5]}, "phi12": 0.3, "B2": 2}
    assert to_krivanek(values) == {"C12": {"uniform": [0, 5]}, "phi12": 0.3, "C21": 6.0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"A1": 3, "C12": 4}, [".A1: found 3; the same coefficient as C12", "one of the two"]),
        ({"A1": 3, "phi12": 4}, [".A1: found 3; the same coefficient as phi12"]),
        ({"C21": 3, "B2_angle": 4}, [".B2_angle: found 4; the same coefficient as C21"]),
        ({"A1_angle": 3}, [".A1_angle: found 3; an angle without a magnitude", "A1"]),
        ({"C3": 3, "C3_angle": 3}, [".C3_angle: found 3; unknown key; allowed: C12, phi12", "A1_angle"]),
        ({"B3": 3}, [".B3: found 3; unknown key; allowed: C12, phi12", "A1, B2, A2"]),
        ({"C10": 3}, [".C10: found 3; defocus is no part of aberrations", "the key defocus"]),
        ({"C1": 3}, [".C1: found 3; defocus is no part of aberrations"]),
        ({"A1": "much"}, [".A1: found 'much'"]),
        ({"A1": {"unifrom": [1, 2]}}, [".A1: found {'unifrom': [1, 2]}; not a value", "{uniform: [low, high]}"]),
        ({"A1": {"uniform": [2, 1]}}, [".A1: found {'uniform': [2, 1]}; the lower bound is above"]),
        ({"A1": float("nan")}, [".A1: found nan"]),
        ({"B2": 1, "B2_angle": {"loguniform": [1, 2]}}, [".B2_angle: found {'loguniform': [1, 2]}; ", "loguniform"]),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_sentence(values, words):
    with pytest.raises(ValidationError) as caught:
        Hrtem.model_validate(
            {"kind": "hrtem", "exit_waves": "a", "pixel_size": 1, "size": 16, "dose": 1, "aberrations": values}
        )
    text = sentence(caught.value)
    assert text.startswith(".aberrations.")
    assert "\n" not in text
    for word in words:
        assert word in text
