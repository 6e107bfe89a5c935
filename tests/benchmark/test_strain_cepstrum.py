"""Lattices from the cepstrum, of patterns whose disks are uneven by known amounts."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.benchmark.cepstrum import cepstral_lattice, cepstrum
from exitwave.benchmark.classical_disks import cepstral_disks
from exitwave.benchmark.correlation import Correlation, find_disks
from exitwave.benchmark.lattice import Lattice, fit_lattice
from exitwave.benchmark.strain import strain_of
from exitwave.errors import LatticeError

VECTORS = np.array([[14.2, -3.1], [2.3, 15.8]])


def tilted_pattern(height: int, width: int, vectors: np.ndarray) -> np.ndarray:
    """Disks of 4.7 px, each brighter on the side of an envelope that is off the middle, as off a zone axis."""
    down, along = np.mgrid[:height, :width].astype(np.float64)
    middle = np.array([width // 2, height // 2])
    envelope = np.exp(-((along - middle[0] - 14) ** 2 + (down - middle[1] - 6) ** 2) / (2 * 16**2))
    image = np.zeros((height, width))
    for h in range(-6, 7):
        for k in range(-6, 7):
            x, y = middle + [0.3, -0.2] + vectors @ [h, k]
            image += np.clip(5.2 - np.hypot(along - x, down - y), 0, 1)
    return np.random.default_rng(0).poisson(2000 * image * envelope + 1).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (120, 150)])
def test_strain_by_the_cepstrum_does_not_follow_uneven_disks(height: int, width: int) -> None:
    pattern = tilted_pattern(height, width, VECTORS)
    start = Lattice(np.array([width // 2, height // 2], float), VECTORS @ np.diag([1.01, 0.99]), 0.0, 0)
    found = strain_of(cepstral_lattice(pattern, start).vectors, VECTORS)
    assert max(abs(found.xx), abs(found.yy), abs(found.xy), abs(found.rotation)) < 1.5e-3
    down, along = np.mgrid[:height, :width].astype(np.float64)
    probe = np.clip(5.2 - np.hypot(along - width // 2, down - height // 2), 0, 1)
    disks = find_disks(pattern, probe, Correlation(1.0, 1.0, 0.05, 1.0, "linear"))
    by_disks = strain_of(fit_lattice(disks, start).vectors, VECTORS)
    assert max(abs(by_disks.xx), abs(by_disks.yy)) > 4e-3


def test_strain_by_the_cepstrum_keeps_indices_and_origin_and_fails_where_nothing_repeats() -> None:
    pattern = tilted_pattern(128, 128, VECTORS)
    pattern[3, 5] = np.nan
    change = np.array([[1.0, 1.0], [0.0, 1.0]])
    start = Lattice(np.array([63.0, 65.0]), VECTORS @ change, 0.0, 0)
    found = cepstral_lattice(pattern, start)
    np.testing.assert_allclose(found.vectors, VECTORS @ change, atol=0.02)
    np.testing.assert_array_equal(found.origin, start.origin)
    assert cepstrum(pattern).shape == (256, 256)
    with pytest.raises(LatticeError):
        cepstral_lattice(np.zeros((128, 128)), start)


def test_the_lattice_of_a_cepstrum_goes_on_as_a_list_of_disks() -> None:
    pattern = tilted_pattern(128, 128, VECTORS)
    down, along = np.mgrid[:128, :128].astype(np.float64)
    probe = np.clip(5.2 - np.hypot(along - 64, down - 64), 0, 1)
    disks = find_disks(pattern, probe, Correlation(1.0, 1.0, 0.05, 1.0, "linear"))
    found = fit_lattice(cepstral_disks(pattern, disks), Lattice(np.array([64.0, 64.0]), VECTORS, 0.0, 0))
    np.testing.assert_allclose(found.vectors, cepstral_lattice(pattern, found).vectors, atol=1e-2)
    np.testing.assert_allclose(found.vectors, VECTORS, atol=0.02)
    assert cepstral_disks(pattern, disks[:2]).shape == (0, 3)
