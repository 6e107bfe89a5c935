"""Disks by correlation: against places that are known, against py4DSTEM, and tuned on examples."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from exitwave.benchmark import blobfinder
from exitwave.benchmark.blobfinder import Blobs, find_blobs
from exitwave.benchmark.correlation import Correlation, correlate, disk_radius, find_disks
from exitwave.benchmark.lattice import on_lattice
from exitwave.benchmark.matching import match_disks
from exitwave.benchmark.tuning import THRESHOLDS, tuned, tuned_blobs, tuned_on_lattice
from known_disks import CASES, SIZE, disk, pattern

BY_PEER = {
    "flat": (1.0, [(34.9729, 25.9323), (52.2317, 28.5053), (69.5798, 31.0944), (31.0457, 44.9947), (48.3481, 47.6366),
                   (65.6891, 50.1952), (27.1491, 64.1002), (44.4647, 66.7347), (61.7949, 69.274)]),
    "uneven": (0.8, [(35.1189, 26.0106), (52.373, 28.5878), (69.7526, 31.1698), (31.1816, 45.0593), (48.5117, 47.7404),
                     (65.8547, 50.2428), (27.2757, 64.1533), (44.6435, 66.861), (61.9773, 69.337)]),
    "large": (1.0, [(35.1414, 25.9996), (52.4338, 28.5989), (69.7371, 31.1962), (31.2354, 45.101), (48.5397, 47.7074),
                    (65.8203, 50.2912), (27.3515, 64.2042), (44.6406, 66.8035), (61.9528, 69.393)]),
}  # fmt: skip
"""Power, and what py4dstem-lite 0.14.16 found: no smoothing, Fourier interpolation ("multicorr"), 16 points a pixel."""


def nearest(found: np.ndarray, places: Any) -> np.ndarray:
    """Distance of each place from the nearest disk [px]."""
    return np.linalg.norm(found[:, None, :2] - np.array(places), axis=-1).min(axis=0)


@pytest.mark.parametrize("name", CASES)
def test_places_of_disks_are_those_that_py4dstem_found(name: str) -> None:
    image, probe, _ = pattern(name)
    power, places = BY_PEER[name]
    found = find_disks(image, probe, Correlation(power, 0.0, 0.2, 1.0, "linear"))
    assert len(found) == len(places)
    assert nearest(found, places).max() < 0.002


@pytest.mark.skipif(find_spec("py4DSTEM") is None, reason="py4dstem-lite is not installed")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("power", "scale"), [(1.0, "linear"), (0.8, "linear"), (1.0, "sqrt"), (0.6, "sqrt")])
def test_places_of_disks_are_those_that_py4dstem_finds(name: str, power: float, scale: Any) -> None:
    from py4DSTEM.braggvectors.diskdetection import _find_Bragg_disks_single

    image, probe, _ = pattern(name)
    taken = np.sqrt if scale == "sqrt" else np.asarray
    peer = _find_Bragg_disks_single(
        taken(image), np.fft.ifftshift(taken(probe)), corrPower=power, sigma_cc=0, subpixel="multicorr",
        upsample_factor=16, minRelativeIntensity=0.2, relativeToPeak=1, minPeakSpacing=disk_radius(probe),
    ).data  # fmt: skip
    found = find_disks(image, probe, Correlation(power, 0.0, 0.1, 1.0, scale))
    assert nearest(found, np.column_stack([peer["qy"], peer["qx"]])).max() < 0.02


@pytest.mark.parametrize("scale", ["linear", "sqrt", "log"])
@pytest.mark.parametrize("trench", [0.0, 1.4])
def test_flat_disks_are_found_where_they_are(scale: Any, trench: float) -> None:
    image, probe, places = pattern("flat")
    found = find_disks(image, probe, Correlation(1.0, 1.0, 0.15, 1.0, scale, trench))
    assert len(found) == len(places)
    assert nearest(found, places).max() < 0.1
    # Whether the probe is in counts or shares changes nothing.
    np.testing.assert_allclose(
        find_disks(image, 1e5 * probe, Correlation(1.0, 1.0, 0.15, 1.0, scale, trench)), found, atol=1e-5, rtol=1e-5
    )


def test_background_shows_no_disks_through_a_trench() -> None:
    _, probe, _ = pattern("large")
    down, along = np.mgrid[:SIZE, :SIZE] - 48.0
    background = 1000 / (1 + (down**2 + along**2) / 1500)
    image = background + 100 * disk(70, 48, 6.2)
    for trench, within in ((0.0, False), (1.4, True)):
        found = find_disks(image, probe, Correlation(1.0, 1.0, 0.0, 1.0, "linear", trench))
        assert (np.hypot(*(found[0, :2] - [70, 48])) < 1) == within


def test_middle_of_odd_and_oblong_patterns_of_disks() -> None:
    for height, width in ((95, 96), (64, 81)):
        image, probe = np.zeros((height, width)), np.zeros((height, width))
        image[20:25, 30:35] = 1
        probe[height // 2 - 2 : height // 2 + 3, width // 2 - 2 : width // 2 + 3] = 1
        found = find_disks(image, probe, Correlation(1.0, 0.0, 0.5, 1.0, "linear"))
        np.testing.assert_allclose(found[0, :2], [32, 22], atol=1e-3)
        correlation = correlate(image, probe, Correlation(1.0, 0.0, 0.5, 1.0, "linear"))
        assert np.unravel_index(correlation.argmax(), correlation.shape) == (22, 32)


def test_no_disks_in_an_empty_pattern() -> None:
    _, probe, _ = pattern("flat")
    for power in (1.0, 0.5):
        assert len(find_disks(np.zeros((SIZE, SIZE)), probe, Correlation(power, 1.0, 0.1, 1.0, "sqrt", 1.4))) == 0


def test_disks_beside_their_lattice_are_left_out_and_the_others_put_on_it() -> None:
    image, probe, places = pattern("flat")
    found = find_disks(image, probe, Correlation(1.0, 1.0, 0.15, 1.0, "sqrt"))
    stray = np.array([[57.0, 40.0, found[-1, 2]]])
    put = on_lattice(np.concatenate([found, stray]))
    assert len(put) == len(places)
    assert nearest(put, places).max() < 0.05
    two = found[:2]
    assert on_lattice(two) is two


def examples(number: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Patterns of disks with electrons, background, and weak disks; places are true."""
    rng = np.random.default_rng(0)
    patterns, probes, lists = [], [], []
    for _ in range(number):
        angle, length = rng.uniform(0, np.pi), rng.uniform(11, 18)
        first = length * np.array([np.cos(angle), np.sin(angle)])
        second = rng.uniform(1, 1.5) * length * np.array([-np.sin(angle), np.cos(angle)])
        index = np.array([[0, 0], *((h, k) for h in range(-3, 4) for k in range(-3, 4) if h or k)])
        places = 48 + rng.uniform(-1, 1, 2) + index @ np.array([first, second])
        kept = ((places > 6) & (places < SIZE - 7)).all(axis=1)
        places, index = places[kept], index[kept]
        strengths = rng.lognormal(0, 1, len(places)) * np.exp(-np.hypot(*(places - 48).T) / 20)
        strengths[0] = 10
        image = sum(s * disk(x, y, 3.4, rng.uniform(0, 0.4)) for s, (x, y) in zip(strengths, places, strict=True))
        down, along = np.mgrid[:SIZE, :SIZE] - 48.0
        image = 18 * image + 9 / (1 + (down**2 + along**2) / 100)
        listed = np.zeros((len(places), 9))
        listed[:, :2], listed[:, 2:4], listed[:, 5] = places, index, strengths
        patterns.append(rng.poisson(image).astype(np.float32))
        probes.append(disk(48, 48, 3.4))
        lists.append(listed)
    return patterns, probes, lists


def f1(find: Any, patterns: Any, probes: Any, lists: Any) -> float:
    matched = [match_disks(find(*pair), true, 2.3) for *pair, true in zip(patterns, probes, lists, strict=True)]
    tp, fp, fn = (sum(getattr(one, name) for one in matched) for name in ("tp", "fp", "fn"))
    return float(2 * tp / (2 * tp + fp + fn))


def test_tuned_ways_to_find_disks_are_better_than_what_is_usual_on_other_patterns() -> None:
    made = examples(14)
    taught, asked = tuple(one[:6] for one in made), tuple(one[6:] for one in made)
    how = tuned(*taught, 2.3)
    assert how.least in THRESHOLDS
    usual = f1(lambda *pair: find_disks(*pair, Correlation(1.0, 2.0, 0.005, 0.8, "linear")), *asked)
    found = f1(lambda *pair: find_disks(*pair, how), *asked)
    assert found > usual + 0.1
    lower = tuned_on_lattice(*(one[:3] for one in taught), 2.3, how)
    assert lower.least <= how.least
    assert f1(lambda *pair: on_lattice(find_disks(*pair, lower)), *asked) > found - 0.02


@pytest.mark.skipif(not blobfinder.installed(), reason="libertem-blobfinder is not installed")
def test_disks_by_blobfinder_are_near_and_tuned() -> None:
    image, probe, places = pattern("flat")
    found = find_blobs(image, probe, Blobs("BackgroundSubtraction", 1.0, 0.2, 1.0))
    assert nearest(found, places).max() < 0.3
    assert len(find_blobs(np.zeros((SIZE, SIZE)), probe, Blobs("RadialGradient", 1.0, 0.2, 1.0))) == 0
    taught = examples(4)
    how = tuned_blobs(*taught, 2.3)
    assert f1(lambda *pair: find_blobs(*pair, how), *taught) > 0.6
