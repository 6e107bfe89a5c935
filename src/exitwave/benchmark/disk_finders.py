"""Disks of patterns, by networks or by correlation with the probe.

Either way the rims of disks that stand alone are measured as well, once the lattice of the pattern is known roughly;
see :mod:`exitwave.benchmark.rims`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.correlation import Correlation, correlate, find_disks
from exitwave.benchmark.disk_maps import disk_maps, placed_disks, weighted
from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.probes import Probe, centred_probe
from exitwave.benchmark.rims import DOUBT, FEWEST, Rims, rims_of, sharpened
from exitwave.hardware import Precision

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
AT_ONCE = 2**18
"""Pixels that a network sees at once: enough to be fast, few enough for any memory."""
CENTRED = 2.0
"""Distance [px] of the direct beam from the middle that networks have seen."""
FAINT = 1e-3
"""Of the highest peak of a correlation, below which nothing is a disk."""
MOST_DISKS = 300
"""Of a pattern."""
CORRELATION = Correlation(power=1.0, sigma=1.0, least=0.14, spacing=1.0, scale="log", trench=1.4)
"""What needs no examples to be tuned on; smaller powers move disks near the edge of a pattern."""
LARGEST_RIM = 24.0
"""Radius of disks [px] beyond which rims are not measured: their trial places would fill hundreds of MB."""
MOVED_BY_SCATTERING = 0.8
"""How far correlation alone misplaces a disk of a crystal of tens of nm, along an axis [px]; see docs/disks.md."""
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Disks of a pattern.

    Attributes
    ----------
    peaks : float64 array [n, 4]
        Place x, y [px of the pattern], weight, and standard deviation of the place along an axis [px], NaN where that
        is not known; the strongest first.
    image : float32 array [h, w]
        Map that is high where disks are.
    scale : float
        Pixel of the map in pixels of the pattern.
    corner : float64 array [2]
        Place x, y of the first pixel of the map in the pattern.
    """

    peaks: FloatArray
    image: NDArray[np.float32]
    scale: float
    corner: FloatArray

    @property
    def weighted(self) -> FloatArray:
        """Disks [n, 3] with weights for a fit, see :func:`exitwave.benchmark.disk_maps.weighted`."""
        return weighted(self.peaks)


class Finder(Protocol):
    """Finds disks in the patterns of a scan."""

    def find(self, patterns: NDArray[np.float32]) -> list[Found]:
        """Disks of patterns [n, H, W], which are clean."""
        ...

    def sharpened(self, pattern: NDArray[np.float32], found: Found, lattice: Lattice | None) -> Found:
        """Disks that were found in a pattern [H, W], placed by the rims of those on its lattice, or of all of them."""
        ...


@dataclass(frozen=True)
class CorrelationFinder:
    """By correlation with the probe, and by the rims of disks that are not too large."""

    probe: Probe
    how: Correlation

    def find(self, patterns: NDArray[np.float32]) -> list[Found]:
        """See :class:`Finder`."""
        corner, radius = np.zeros(2), self.probe.radius
        last = np.array(patterns.shape[:0:-1]) - 1
        found = []
        for pattern in patterns:
            peaks = find_disks(pattern, self.probe.image, self.how)[:MOST_DISKS]
            # A disk that the edge cuts has its peak elsewhere; and the direct beam has ripples.
            whole = ((peaks[:, :2] >= radius) & (peaks[:, :2] <= last - radius)).all(axis=1)
            peaks = peaks[whole & (peaks[:, 2] >= FAINT * peaks[:1, 2].max(initial=0.0))]
            image = correlate(pattern, self.probe.image, self.how)
            placed = np.column_stack([peaks, np.full(len(peaks), np.nan)])
            found.append(Found(placed, image, 1.0, corner))
        return found

    def sharpened(self, pattern: NDArray[np.float32], found: Found, lattice: Lattice | None) -> Found:
        """See :class:`Finder`; where few rims are seen the disks stay as they are."""
        if self.probe.radius > LARGEST_RIM:
            return found
        measured = rims_of(self.probe.image).measure_on(pattern, found.peaks[:, :2], lattice)
        seen = np.isfinite(measured[:, 2])
        if np.count_nonzero(seen) < FEWEST:
            return found
        placed = found.peaks.copy()
        placed[:, 3] = MOVED_BY_SCATTERING
        placed[seen, :2], placed[seen, 3] = measured[seen, :2], DOUBT * measured[seen, 2]
        return replace(found, peaks=placed)


@dataclass(frozen=True)
class Frame:
    """How patterns are brought into the square that a network sees.

    Attributes
    ----------
    binned : int
        Edge of the pixels that are added up.
    size : int
        Edge of the square [px of it].
    corner : (int, int)
        Place x, y of the first binned pixel in the square; below 0 where the square is the smaller one.
    """

    binned: int
    size: int
    corner: tuple[int, int]

    def fit(self, patterns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patterns [n, H, W] in the square [n, size, size], with nothing beside them."""
        small = binned(patterns, self.binned)
        framed = np.zeros((len(small), self.size, self.size), np.float32)
        (to_x, from_x), (to_y, from_y) = (
            _overlap(corner, edge, self.size) for corner, edge in zip(self.corner, small.shape[:0:-1], strict=True)
        )
        framed[:, to_y, to_x] = small[:, from_y, from_x]
        return framed

    def fit_probe(self, probe: Probe) -> NDArray[np.float32]:
        """A probe in the middle of the square [size, size]."""
        small = centred_probe(binned(probe.image[None], self.binned)[0], probe.told)
        middle = tuple(self.size // 2 - edge // 2 for edge in small.image.shape[::-1])
        return np.asarray(Frame(1, self.size, (middle[0], middle[1])).fit(small.image[None])[0])

    @property
    def origin(self) -> FloatArray:
        """Place x, y of the first pixel of the square in the pattern [px of it]."""
        return (self.binned - 1) / 2 - self.binned * np.array(self.corner, np.float64)


def bins_for(radius: float, largest: float) -> int:
    """Edge of the blocks of pixels to add up, so that disks are no larger than the largest that networks know [px]."""
    return max(1, math.ceil(radius / largest - 0.05))


def frame_of(shape: tuple[int, int], centre: tuple[float, float], bins: int, multiple: int) -> Frame:
    """The frame for patterns of a scan.

    Parameters
    ----------
    shape : (int, int)
        Of the patterns, (H, W).
    centre : (float, float)
        Place of the direct beam, x and y [px].
    bins : int
        Edge of the blocks of pixels that are added up.
    multiple : int
        What the edge of the square must be a multiple of.
    """
    size = max(1, math.ceil(max(shape) / bins / multiple)) * multiple
    corner = []
    for place, edge in zip(centre, shape[::-1], strict=True):
        at, small = (place - (bins - 1) / 2) / bins, edge // bins
        resting = size // 2 - small // 2
        off = at + resting - size // 2
        corner.append(resting - round(off) if abs(off) > CENTRED else resting)
    return Frame(bins, size, (corner[0], corner[1]))


def binned(patterns: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """Patterns [n, H, W] with blocks of pixels added up; what is left at the right and below is cut."""
    if edge == 1:
        return patterns
    number, height, width = patterns.shape
    rows, columns = height // edge, width // edge
    blocks = patterns[:, : rows * edge, : columns * edge].reshape(number, rows, edge, columns, edge)
    return np.asarray(blocks.sum(axis=(2, 4)), np.float32)


class NetworkFinder:
    """By networks, of whose maps the mean is taken.

    Parameters
    ----------
    networks : sequence of LoadedNetwork
        Of kind ``disks``, on the device where they are to run.
    probe : Probe
    frame : Frame
        As of :func:`frame_of`.
    threshold : float
        Least height of a disk in the mean map.
    precision : {'32', 'bf16'}
        Arithmetic of the networks.
    """

    def __init__(
        self,
        networks: Sequence[LoadedNetwork],
        probe: Probe,
        frame: Frame,
        threshold: float,
        precision: Precision = "32",
    ) -> None:
        self.networks, self.frame, self.threshold, self.precision = networks, frame, threshold, precision
        self.probe = frame.fit_probe(probe)[None]
        self._rims = Rims(self.probe[0])

    def find(self, patterns: NDArray[np.float32]) -> list[Found]:
        """See :class:`Finder`."""
        frame, (height, width) = self.frame, patterns.shape[1:]
        framed = frame.fit(patterns)
        found = []
        for maps in self._maps(framed):
            image, peaks = maps[0], placed_disks(maps, self.threshold, most=MOST_DISKS)
            peaks[:, :2] = frame.origin + frame.binned * peaks[:, :2]
            peaks[:, 3] *= frame.binned
            inside = (peaks[:, :2] >= 0).all(axis=1) & (peaks[:, 0] <= width - 1) & (peaks[:, 1] <= height - 1)
            found.append(Found(peaks[inside], image, float(frame.binned), frame.origin))
        return found

    def sharpened(self, pattern: NDArray[np.float32], found: Found, lattice: Lattice | None) -> Found:
        """See :class:`Finder`."""
        scale, corner = found.scale, found.corner
        disks = found.peaks / [scale, scale, 1, scale]
        disks[:, :2] -= corner / scale
        seen = None if lattice is None else lattice.in_pixels(corner, scale)
        (framed,) = self.frame.fit(pattern[None])
        sharp = sharpened(disks, self._rims.measure_on(framed, disks[:, :2], seen))
        sharp[:, :2] += corner / scale
        return replace(found, peaks=sharp * [scale, scale, 1, scale])

    def _maps(self, framed: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean maps [n, k, size, size]; how surely disks are placed is there where all networks say it."""
        total: list[NDArray[np.float32]] = []
        step = max(1, AT_ONCE // framed[0].size) if len(framed) else 1
        for first in range(0, len(framed), step):
            part = framed[first : first + step]
            each = [disk_maps(network, part, self.probe, self.precision) for network in self.networks]
            fewest = min(maps.shape[1] for maps in each)
            total.append(np.mean([maps[:, :fewest] for maps in each], axis=0, dtype=np.float32))
        return np.concatenate(total) if total else framed[:, None]


def _overlap(corner: int, edge: int, size: int) -> tuple[slice, slice]:
    """Pixels of a square that a line of pixels covers, and pixels of this line there."""
    start, stop = max(0, corner), min(size, corner + edge)
    return slice(start, stop), slice(start - corner, stop - corner)
