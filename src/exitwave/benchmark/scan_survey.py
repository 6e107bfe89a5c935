"""A first look at a scan: what its camera and a beam stop do to all patterns, from some of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.probes import Probe
from exitwave.benchmark.scans import Scan
from exitwave.data.patterns import without_hot_pixels
from exitwave.errors import ScanError

LOOKED_AT = 64
"""Patterns that are looked at, evenly spread."""
FEW_COUNTS = 3000
"""Counts of a whole pattern, in the median, below which strain is mostly noise."""
FULL = 0.05
"""Share of the area of a disk that is at the largest value where the camera is full."""
LEAST_FULL = 127
"""Counts below which no camera is full."""
UNUSABLE = 0.02
"""Share of the pixels of a pattern that may be no numbers."""
SHADED = 0.3
"""A direct beam is no weaker than this share of the strongest disk, unless something covers it."""


@dataclass(frozen=True)
class Survey:
    """What some patterns of a scan say of all.

    Attributes
    ----------
    patterns : float32 array [n, H, W]
        Those that were looked at and could be used, cleaned.
    mean : float32 array [H, W]
        Of these.
    centre : (float, float)
        Place of the direct beam in the mean, x and y [px].
    full : float
        Value at which the camera is full; infinite where none was seen.
    told : tuple of str
        What is doubtful, in words that go on after the name of the scan.
    """

    patterns: NDArray[np.float32]
    mean: NDArray[np.float32]
    centre: tuple[float, float]
    full: float
    told: tuple[str, ...]


def look_at(scan: Scan, probe: Probe) -> Survey:
    """Look at some patterns of a scan.

    Raises
    ------
    ScanError
        If none of them can be used.
    """
    raw: list[NDArray[np.float32]] = []
    failure = ""
    for row, column in _spread(scan.shape[:2]):
        try:
            patterns = scan.patterns(slice(row, row + 1), slice(column, column + 1))
        except ScanError as error:
            failure = str(error)
            continue
        raw += [pattern for pattern in patterns if is_usable(pattern)]
    if not raw:
        raise ScanError(failure or f"{scan.path} has nothing but patterns that are empty or not finite")
    patterns = np.stack(raw)
    full = _full_value(patterns, scan.dtype, probe.radius)
    cleaned = clean(patterns)
    mean = cleaned.mean(axis=0)
    centre, covered = _direct_beam(mean, probe)
    told = list(_doubts(scan, cleaned))
    if full < math.inf:
        told.append(f"is saturated in some patterns, at {full:g} counts: the trust map says where")
    if covered:
        told.append(
            f"shows no direct beam at ({centre[0]:.0f}, {centre[1]:.0f}) px, the middle of its patterns, as behind a "
            "beam stop: lattices are fitted to the other disks"
        )
    return Survey(cleaned, mean, centre, full, tuple(told))


def clean(patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Patterns [n, H, W] without hot pixels; what is negative or no number counts as nothing."""
    return without_hot_pixels(np.maximum(np.nan_to_num(patterns, posinf=0.0, neginf=0.0), 0.0))


def is_usable(pattern: NDArray[np.float32]) -> bool:
    """Whether something is recorded in a pattern [H, W], in numbers but for a few pixels."""
    finite = np.isfinite(pattern)
    return bool(finite.mean() >= 1 - UNUSABLE and np.ptp(pattern[finite]) > 0)


def is_full(pattern: NDArray[np.float32], full: float, radius: float) -> bool:
    """Whether a part of a disk, or more, is at the value where the camera is full."""
    return bool(full < math.inf and np.count_nonzero(pattern >= full) >= max(4.0, FULL * math.pi * radius**2))


def strongest_disk(pattern: NDArray[np.float32], probe: Probe) -> tuple[float, float]:
    """Place x, y [px] at which a pattern [H, W] is most like the probe."""
    from scipy import fft

    like = fft.irfft2(fft.rfft2(pattern) * np.conj(fft.rfft2(fft.ifftshift(probe.image))), s=pattern.shape)
    y, x = np.unravel_index(like.argmax(), like.shape)
    return float(x), float(y)


def _direct_beam(mean: NDArray[np.float32], probe: Probe) -> tuple[tuple[float, float], bool]:
    """Place of the direct beam in a mean pattern, and whether it is covered.

    A mean pattern has a centre of inversion, roughly. Where the strongest disk is elsewhere and nothing at the centre,
    something is in the way.
    """
    from scipy import fft

    x, y = strongest_disk(mean, probe)
    height, width = mean.shape
    spectrum = fft.rfft2(np.sqrt(mean), (2 * height, 2 * width))
    folded = fft.irfft2(spectrum**2, (2 * height, 2 * width))
    y_twice, x_twice = np.unravel_index(folded.argmax(), folded.shape)
    middle = (x_twice / 2, y_twice / 2)
    if math.hypot(middle[0] - x, middle[1] - y) < 2 * probe.radius:
        return (x, y), False
    rows, columns = np.ogrid[:height, :width]

    def brightness(at: tuple[float, float]) -> float:
        return float(mean[np.hypot(columns - at[0], rows - at[1]) <= max(1.0, 0.7 * probe.radius)].mean())

    covered = brightness(middle) < SHADED * brightness((x, y))
    return (middle, True) if covered else ((x, y), False)


def _spread(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Places evenly spread over a scan, at most `LOOKED_AT`."""
    rows, columns = shape[:2]
    down = min(rows, max(1, round(math.sqrt(LOOKED_AT * rows / columns))))
    across = min(columns, max(1, LOOKED_AT // down))
    for row in range(down):
        for column in range(across):
            yield (2 * row + 1) * rows // (2 * down), (2 * column + 1) * columns // (2 * across)


def _full_value(patterns: NDArray[np.float32], dtype: np.dtype[Any], radius: float) -> float:
    """Largest number of the camera's bits, where much of a disk has it; infinite if there is none.

    Of values that are not whole numbers it cannot be told: they have been corrected.
    """
    largest = float(np.nan_to_num(patterns, posinf=0.0).max())
    bits = math.log2(max(largest, 0) + 1)
    if dtype.kind not in "iu" or largest < LEAST_FULL or abs(bits - round(bits)) > 1e-6:
        return math.inf
    return largest if any(is_full(pattern, largest, radius) for pattern in patterns) else math.inf


def _doubts(scan: Scan, patterns: NDArray[np.float32]) -> Iterator[str]:
    total = float(np.median(patterns.sum(axis=(1, 2), dtype=np.float64)))
    if scan.dtype.kind in "iu" and total < FEW_COUNTS:
        yield f"has {total:.0f} counts in a pattern, in the median: strain from so few is noisy"
    mean = patterns.mean(axis=0)
    level = float(np.percentile(mean, 5))
    if level > 0.1 * float(np.percentile(mean, 99.9)):
        yield f"has a level of {level:.3g} all over its patterns: subtract the dark image of the camera first"
