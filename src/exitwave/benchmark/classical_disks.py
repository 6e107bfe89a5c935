"""Classical methods of finding disks, tuned on training patterns: what a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.correlation import Correlation, correlate, disk_radius, find_disks, peaks_of
from exitwave.benchmark.lattice import find_lattice, fit_lattice
from exitwave.benchmark.tuning import tuned
from exitwave.data.patterns import without_hot_pixels
from exitwave.errors import LatticeError
from exitwave.training.disks import PROBE

MOST = 128
"""Patterns that a method is tuned on, at the most."""
NEAR = 0.25
"""Distance from its lattice point at which a disk is on a lattice, of the shortest vector."""
FloatArray = NDArray[np.float64]


def disk_methods(radius: float) -> dict[str, Fit]:
    """Methods that give lists of disks; they are right within ``radius`` [1/Å]."""
    return {"correlation": correlation(radius), "correlation + lattice": on_lattice(radius)}


def scan_methods(radius: float) -> dict[str, Fit]:
    """Methods for the strain of a scan: lists of disks, and the correlation itself, to fit a lattice to."""
    return {"correlation": correlation(radius), "correlation map": correlation_map(radius)}


def correlation(radius: float) -> Fit:
    """Peaks of the correlation with the probe."""

    def fit(examples: Sequence[Case]) -> Rule:
        how = _tuned(examples, radius)
        return lambda case: find_disks(*_seen(case), how)

    return fit


def correlation_map(radius: float) -> Fit:
    """Correlation with the probe [H, W], in units of the smallest peak that counts."""

    def fit(examples: Sequence[Case]) -> Rule:
        how = _tuned(examples, radius)

        def rule(case: Case) -> NDArray[Any]:
            pattern, probe = _seen(case)
            image = correlate(pattern, probe, how)
            peaks = peaks_of(image, how, disk_radius(probe))
            return np.asarray(image / peaks[-1, 2] if len(peaks) else np.zeros_like(image))

        return rule

    return fit


def on_lattice(radius: float) -> Fit:
    """Peaks of the correlation on one lattice, each moved to its lattice point; as they are where there is none."""

    def fit(examples: Sequence[Case]) -> Rule:
        how = _tuned(examples, radius)
        return lambda case: moved_to_lattice(find_disks(*_seen(case), how))

    return fit


def moved_to_lattice(disks: FloatArray) -> FloatArray:
    """Disks [n, 3] that lie on one lattice, at its points; all as they are if no lattice is found."""
    try:
        lattice = fit_lattice(disks, find_lattice(disks))
    except LatticeError:
        return disks
    index = np.linalg.solve(lattice.vectors, (disks[:, :2] - lattice.origin).T).T
    places = lattice.origin + np.rint(index) @ lattice.vectors.T
    near = np.linalg.norm(places - disks[:, :2], axis=1) <= NEAR * np.linalg.norm(lattice.vectors, axis=0).min()
    return np.column_stack([places, disks[:, 2]])[near]


def _seen(case: Case) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Pattern and probe as networks see them, without hot pixels."""
    return without_hot_pixels(case.image[None])[0], case.beside[PROBE]


def _tuned(examples: Sequence[Case], radius: float) -> Correlation:
    chosen = examples[:: -(-len(examples) // MOST)]
    patterns, probes = zip(*map(_seen, chosen), strict=True)
    return tuned(patterns, probes, [case.truth for case in chosen], radius / chosen[0].pixel_size)
