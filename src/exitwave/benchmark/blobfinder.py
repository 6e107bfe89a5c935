"""Disks found by LiberTEM-blobfinder, where it is installed: `pip install exitwave[diffraction-peers]`.

D. Weber et al., Microsc. Microanal. 26 (2020) 1906. Templates are made from a radius, not from the probe; patterns are
taken to their logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.correlation import disk_radius
from exitwave.data.peaks import apart

FloatArray = NDArray[np.float64]
_NUMBER = 100
"""Of peaks that are looked at in a pattern."""


@dataclass(frozen=True)
class Blobs:
    """How disks are looked for.

    Attributes
    ----------
    template : {'BackgroundSubtraction', 'RadialGradient'}
        Class of :mod:`libertem_blobfinder.common.patterns`. Another one, with both, is off by a pixel in 0.6.1.
    scale : float
        Radius of the template over that of the probe.
    least : float
        Smallest height of a peak over that of the second highest.
    spacing : float
        Of two peaks closer than so many radii of a disk the higher stays.
    """

    template: Literal["BackgroundSubtraction", "RadialGradient"]
    scale: float
    least: float
    spacing: float


def installed() -> bool:
    """Whether LiberTEM-blobfinder is there."""
    return find_spec("libertem_blobfinder") is not None


def find_blobs(pattern: NDArray[np.floating], probe: NDArray[np.floating], how: Blobs) -> FloatArray:
    """Disks of a pattern, as :func:`exitwave.benchmark.correlation.find_disks` gives them."""
    from libertem_blobfinder.common import correlation, patterns

    radius = disk_radius(probe)
    template = getattr(patterns, how.template)(radius=how.scale * radius)
    frame = np.maximum(pattern, 0).astype(np.float32)
    peaks = correlation.get_peaks(np.log1p(frame), template, _NUMBER)
    if not len(peaks):
        return np.empty((0, 3))
    _, refined, heights, _ = correlation.process_frames_full(template, frame[None], peaks, upsample=True)
    found = np.column_stack([refined[0, :, ::-1], heights[0]]).astype(np.float64)
    found = apart(found[np.argsort(-found[:, 2], kind="stable")], how.spacing * radius)
    return np.asarray(found[(found[:, 2] > 0) & (found[:, 2] >= how.least * found[min(1, len(found) - 1), 2])])
