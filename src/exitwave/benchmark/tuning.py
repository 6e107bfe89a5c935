"""Classical ways to find disks, tuned on examples: a network is to be held against the best of them.

All are tuned by the F1 of their disks, see :mod:`exitwave.benchmark.matching`, over all examples together: by turns one
setting is changed and the others stay, twice. The threshold is chosen for each of these anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.blobfinder import Blobs, find_blobs
from exitwave.benchmark.correlation import Correlation, correlate, disk_radius, find_disks, peaks_of
from exitwave.benchmark.lattice import on_lattice
from exitwave.benchmark.matching import Truth, pairs

FloatArray = NDArray[np.float64]
Images = Sequence[NDArray[np.floating]]
How = TypeVar("How", Correlation, Blobs)

THRESHOLDS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.055, 0.075, 0.1, 0.14, 0.2, 0.28, 0.4)
"""Heights over the second highest that are tried."""
_ROUNDS = 2
_OF_CORRELATION: dict[str, tuple[Any, ...]] = {
    "scale": ("log", "sqrt", "linear"),
    "trench": (1.4, 0.0, 1.2, 1.7, 2.5),
    "sigma": (1.2, 0.7, 1.7, 2.4),
    "power": (1.0, 0.9, 0.75, 0.5, 0.2),
    "spacing": (1.0, 0.7, 1.4, 1.8),
}
_OF_BLOBS: dict[str, tuple[Any, ...]] = {
    "template": ("BackgroundSubtraction", "RadialGradient"),
    "scale": (1.0, 0.9, 1.1, 1.25),
    "spacing": (1.0, 0.7, 1.4, 1.8),
}


def tuned(patterns: Images, probes: Images, reflections: Sequence[NDArray[Any]], match_px: float) -> Correlation:
    """Correlation that finds disks best.

    Parameters
    ----------
    patterns, probes : sequence of float [H, W]
        Examples; a hundred are enough.
    reflections : sequence of float [n, 9]
        Of each example, see :data:`exitwave.labels.reflections.FIELDS`.
    match_px : float
        Largest distance of a disk from its reflection [px].

    Returns
    -------
    Correlation
    """
    radii = [disk_radius(probe) for probe in probes]

    def disks(number: int, how: Correlation) -> FloatArray:
        # Finer places change no match; they are left to those who measure them.
        return peaks_of(correlate(patterns[number], probes[number], how), how, radii[number])

    return _best(_first(Correlation, _OF_CORRELATION), _OF_CORRELATION, disks, reflections, match_px)


def tuned_on_lattice(
    patterns: Images, probes: Images, reflections: Sequence[NDArray[Any]], match_px: float, start: Correlation
) -> Correlation:
    """Correlation, like ``start`` but for its threshold, whose disks put on a lattice are the best; see `tuned`.

    Of many weak disks a lattice takes those that are some, so that a lower threshold is the best one.
    """
    truths = [Truth.of(one) for one in reflections]
    lowest = replace(start, least=THRESHOLDS[0])
    found = [find_disks(pattern, probe, lowest) for pattern, probe in zip(patterns, probes, strict=True)]
    scores = []
    # Above the threshold of peaks alone a lattice has nothing to choose from.
    thresholds = [least for least in THRESHOLDS if least <= start.least]
    for least in thresholds:
        counts = np.zeros(3)
        for peaks, truth in zip(found, truths, strict=True):
            counts += _counts(on_lattice(_above(peaks, least)), truth, match_px)
        scores.append(_f1(counts))
    return replace(start, least=thresholds[int(np.argmax(scores))])


def tuned_blobs(patterns: Images, probes: Images, reflections: Sequence[NDArray[Any]], match_px: float) -> Blobs:
    """LiberTEM-blobfinder at its best, if it is installed; see `tuned`."""

    def disks(number: int, how: Blobs) -> FloatArray:
        return find_blobs(patterns[number], probes[number], how)

    return _best(_first(Blobs, _OF_BLOBS), _OF_BLOBS, disks, reflections, match_px)


def _first(kind: type[How], grid: dict[str, tuple[Any, ...]]) -> How:
    """The first of all settings, and the lowest threshold."""
    return kind(least=THRESHOLDS[0], **{name: values[0] for name, values in grid.items()})


def _best(
    how: How,
    grid: dict[str, tuple[Any, ...]],
    disks: Callable[[int, How], FloatArray],
    reflections: Sequence[NDArray[Any]],
    match_px: float,
) -> How:
    """Settings by turns."""
    truths = [Truth.of(one) for one in reflections]
    known: dict[How, tuple[float, float]] = {}

    def score(one: How) -> tuple[float, float]:
        """F1 and its threshold."""
        if one not in known:
            counts = np.zeros((len(THRESHOLDS), 3))
            for number, truth in enumerate(truths):
                found = disks(number, one)
                counts += [_counts(_above(found, least), truth, match_px) for least in THRESHOLDS]
            values = _f1(counts)
            known[one] = float(values.max()), THRESHOLDS[int(values.argmax())]
        return known[one]

    for _ in range(_ROUNDS):
        for name, values in grid.items():
            how = max((replace(how, **{name: value}) for value in values), key=lambda one: score(one)[0])
    return replace(how, least=score(how)[1])


def _above(found: FloatArray, least: float) -> FloatArray:
    """Disks [n, 3] not lower than a share of the second highest."""
    return found[found[:, 2] >= least * found[min(1, len(found) - 1), 2]] if len(found) else found


def _counts(found: FloatArray, truth: Truth, radius: float) -> tuple[int, int, int]:
    """Reflections found, false disks, and reflections missed."""
    _, seen, false, missed = pairs(found[:, :2], truth, radius)
    return int((~truth.centre[seen]).sum()), len(false), len(missed)


def _f1(counts: FloatArray) -> Any:
    """F1 of counts [..., 3]."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)
