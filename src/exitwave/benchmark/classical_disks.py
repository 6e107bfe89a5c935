"""Classical methods of finding disks, tuned on training patterns: what a network has to beat."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.blobfinder import find_blobs, installed
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.cepstrum import cepstral_lattice
from exitwave.benchmark.correlation import Correlation, correlate, disk_radius, find_disks, peaks_of
from exitwave.benchmark.lattice import find_lattice, on_lattice
from exitwave.benchmark.rims import FEWEST, rims_of, weights_of
from exitwave.benchmark.strain_tuning import tuned_for_strain
from exitwave.benchmark.tuning import tuned, tuned_blobs, tuned_on_lattice
from exitwave.data.patterns import without_hot_pixels
from exitwave.errors import LatticeError
from exitwave.training.disks import PROBE

log = logging.getLogger(__name__)
MOST = 128
"""Patterns that a method is tuned on, at the most."""
MOST_FOR_STRAIN = 48
"""The same where places are measured, which takes longer than to find peaks."""
FloatArray = NDArray[np.float64]
_ABOUT = np.array([(h, k) for h in range(-2, 3) for k in range(-2, 3)])
"""Indices of lattice points about the origin."""


def disk_methods(radius: float) -> dict[str, Fit]:
    """Methods that give lists of disks, which are right within ``radius`` [1/Å]."""
    peaks = _Tuned(radius)

    def correlation(examples: Sequence[Case]) -> Rule:
        how = peaks.of(examples)
        return lambda case: find_disks(*_seen(case), how)

    def lattice(examples: Sequence[Case]) -> Rule:
        how = peaks.on_lattice(examples)
        return lambda case: on_lattice(find_disks(*_seen(case), how))

    def places(examples: Sequence[Case]) -> Rule:
        how = peaks.for_strain(examples)
        return lambda case: find_disks(*_seen(case), how)

    methods = {"correlation": correlation, "correlation + lattice": lattice, "correlation for strain": places}
    return methods | _blobfinder(radius)


def scan_methods(radius: float) -> dict[str, Fit]:
    """Methods for the strain of a scan: lists of disks, and the correlation itself, for a lattice to be fitted to."""
    peaks = _Tuned(radius)

    def correlation(examples: Sequence[Case]) -> Rule:
        how = peaks.for_strain(examples)
        return lambda case: find_disks(*_seen(case), how)

    def correlation_map(examples: Sequence[Case]) -> Rule:
        how = peaks.for_strain(examples)
        return lambda case: _in_units_of_the_least(*_seen(case), how)

    def rims(examples: Sequence[Case]) -> Rule:
        # Peaks that are no disks have no rims, and hide those of disks beside them.
        how = peaks.of(examples)
        return lambda case: disks_by_rims(*_seen(case), how)

    def cepstrum(examples: Sequence[Case]) -> Rule:
        how = peaks.for_strain(examples)
        return lambda case: cepstral_disks(case.image, find_disks(*_seen(case), how))

    methods = {"correlation": correlation, "correlation + rims": rims, "correlation map": correlation_map}
    return {**methods, "cepstrum": cepstrum, **_blobfinder(radius)}


def disks_by_rims(pattern: NDArray[np.float32], probe: NDArray[np.floating], how: Correlation) -> FloatArray:
    """Disks [n, 3] that a correlation finds, placed by their rims, and with the weights of these.

    Those off their common lattice, and those whose rims are not seen, are left out, unless too few would stay.
    """
    disks = find_disks(pattern, probe, how)
    try:
        lattice = find_lattice(disks)
    except LatticeError:
        lattice = None
    measured = rims_of(probe).measure_on(pattern, disks[:, :2], lattice)
    seen = np.isfinite(measured[:, 2])
    if np.count_nonzero(seen) < FEWEST:
        return disks
    return np.column_stack([measured[seen, :2], weights_of(measured[seen, 2])])


def cepstral_disks(pattern: NDArray[np.float32], disks: FloatArray) -> FloatArray:
    """Points of the lattice of a cepstrum, as a list of disks [n, 3] about the origin; none where there is no lattice.

    Parameters
    ----------
    pattern : float32 [H, W]
    disks : float64 [n, 3]
        Of the same pattern, whose lattice is that which the fit to the cepstrum starts from.
    """
    try:
        lattice = cepstral_lattice(pattern, find_lattice(disks))
    except LatticeError:
        return np.zeros((0, 3))
    return np.column_stack([lattice.origin + _ABOUT @ lattice.vectors.T, np.ones(len(_ABOUT))])


def _blobfinder(radius: float) -> dict[str, Fit]:
    """LiberTEM-blobfinder, where it is installed."""

    def blobs(examples: Sequence[Case]) -> Rule:
        how = _told("LiberTEM-blobfinder", tuned_blobs(*_examples(examples, radius)))
        return lambda case: find_blobs(*_seen(case), how)

    return {"LiberTEM-blobfinder": blobs} if installed() else {}


def _in_units_of_the_least(
    pattern: NDArray[np.float32], probe: NDArray[np.floating], how: Correlation
) -> NDArray[np.float32]:
    """Correlation of a pattern with its probe, in units of the lowest peak that counts."""
    image = correlate(pattern, probe, how)
    peaks = peaks_of(image, how, disk_radius(probe))
    return np.asarray(image / peaks[-1, 2] if len(peaks) else np.zeros_like(image), np.float32)


class _Tuned:
    """Correlations that are tuned once for all methods that need them."""

    def __init__(self, radius: float) -> None:
        self._radius = radius
        self._known: dict[str, tuple[Sequence[Case], Correlation]] = {}

    def of(self, examples: Sequence[Case]) -> Correlation:
        """With the best disks."""
        return self._once("correlation", examples, lambda: tuned(*_examples(examples, self._radius)))

    def on_lattice(self, examples: Sequence[Case]) -> Correlation:
        """With the best disks once they are put on a lattice."""
        start = self.of(examples)
        return self._once(
            "correlation + lattice", examples, lambda: tuned_on_lattice(*_examples(examples, self._radius), start)
        )

    def for_strain(self, examples: Sequence[Case]) -> Correlation:
        """With the best places."""
        start = self.of(examples)
        return self._once(
            "correlation for strain",
            examples,
            lambda: tuned_for_strain(*_examples(examples, self._radius, MOST_FOR_STRAIN)[:3], start),
        )

    def _once(self, name: str, examples: Sequence[Case], tune: Callable[[], Correlation]) -> Correlation:
        if name not in self._known or self._known[name][0] is not examples:
            self._known[name] = examples, _told(name, tune())
        return self._known[name][1]


def _told(name: str, how: Any) -> Any:
    log.info("%s tuned: %s", name, how)
    return how


def _seen(case: Case) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Pattern without hot pixels, as networks see it, and its probe."""
    return without_hot_pixels(case.image[None])[0], case.beside[PROBE]


def _examples(
    examples: Sequence[Case], radius: float, most: int = MOST
) -> tuple[list[NDArray[np.floating]], list[NDArray[np.floating]], list[NDArray[Any]], float]:
    """Patterns, probes, reflections and the radius of a match [px] of some examples, evenly spaced."""
    chosen = [examples[place] for place in np.unique(np.linspace(0, len(examples) - 1, most).astype(int)).tolist()]
    seen = [_seen(case) for case in chosen]
    patterns, probes = [pattern for pattern, _ in seen], [probe for _, probe in seen]
    return [*patterns], probes, [case.truth for case in chosen], radius / chosen[0].pixel_size
