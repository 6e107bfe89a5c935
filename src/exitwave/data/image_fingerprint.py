"""The fingerprint of an image: what its spectrum, grey values and autocorrelation are like.

Images of one pixel size are compared by it, whatever their grey scale begins at and goes to, and no label is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.spatial.distance import cdist

from exitwave.config.models import Preprocessing
from exitwave.data.likeness import FAR_SCORE, LARGEST_FIELD, RINGS, SMALLEST_FIELD, power_in_rings, standardised
from exitwave.data.preprocess import has_contrast, normalize, replace_outliers
from exitwave.data.shards import open_shard

FloatArray = NDArray[np.float64]

LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Shares of the pixels that are darker than each of the grey values: the histogram, without bins."""
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Distances of pixels of which the autocorrelation is taken [px]."""
ASPECTS: dict[str, tuple[str, ...]] = {
    "spectrum": tuple(f"power_{number}" for number in range(len(RINGS) - 1)),
    "grey values": tuple(f"grey_{100 * level:g}" for level in LEVELS),
    "autocorrelation": tuple(f"lag_{lag}" for lag in LAGS),
}
"""In what images are compared, and by which numbers. Each aspect weighs the same."""
NAMES = tuple(name for names in ASPECTS.values() for name in names)
"""Numbers of a fingerprint, in their order."""
_LEAST_SPREAD = 0.01
"""Of a number among the images: what hardly differs is not to decide."""


def image_fingerprint(field: NDArray[Any]) -> FloatArray | None:
    """Fingerprint of a field.

    Parameters
    ----------
    field : array [H, W]
        On the pixels of the images that it is compared with, outliers replaced.

    Returns
    -------
    ndarray [NAMES], optional
        ``power_*``: log10 of the mean power in each of ``RINGS``, 0 where it is that of white noise. ``grey_*``:
        quantiles of the grey values, normalised by percentiles as for a network. ``lag_*``: autocorrelation under a
        Hann window at each of ``LAGS``, mean over all directions, 1 for no shift. NaN where the field is too small;
        None without contrast, and below ``SMALLEST_FIELD``.
    """
    if min(field.shape) < SMALLEST_FIELD or not has_contrast(field):
        return None
    power, _, rings = power_in_rings(standardised(np.asarray(field, np.float64)))
    grey = np.quantile(normalize(field, "percentile"), LEVELS)
    return np.concatenate([np.log10(rings), grey, _autocorrelation(power, field.shape)])


def of_field(image: NDArray[Any]) -> FloatArray | None:
    """Fingerprint of the middle of an image as a camera has recorded it, of ``LARGEST_FIELD`` at the most."""
    top, left = (max(0, length - LARGEST_FIELD) // 2 for length in image.shape)
    field = image[top : top + LARGEST_FIELD, left : left + LARGEST_FIELD]
    return image_fingerprint(replace_outliers(field, Preprocessing().outliers))


def of_stored(rows: pd.DataFrame) -> FloatArray:
    """Fingerprints of stored images.

    Parameters
    ----------
    rows : DataFrame
        Columns ``shard`` and ``row``.

    Returns
    -------
    ndarray [n, NAMES]
        In the order of the rows; all NaN where an image has no fingerprint.

    Raises
    ------
    ShardError
        If a shard is missing or damaged.
    """
    result = np.full((len(rows), len(NAMES)), np.nan)
    for path, places in rows.reset_index(drop=True).groupby("shard").groups.items():
        shard = open_shard(str(path))
        for place in places:
            found = of_field(shard.read("counts", int(rows["row"].iloc[place])))
            if found is not None:
                result[place] = found
    return result


@dataclass(frozen=True)
class Scale:
    """How the numbers of fingerprints are spread among images, by which others are measured.

    Attributes
    ----------
    middle, spread : ndarray [NAMES]
        Median, and half of the range from the 16th to the 84th percentile.
    """

    middle: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, found: FloatArray) -> Scale:
        """Of fingerprints [n, NAMES]; a number that none of them has does not count."""
        low, middle, high = np.nanquantile(np.where(np.isnan(found).all(axis=0), 0, found), (0.16, 0.5, 0.84), axis=0)
        return cls(middle, np.maximum((high - low) / 2, _LEAST_SPREAD))

    def points(self, found: FloatArray) -> FloatArray:
        """Points [n, NAMES] whose distance is that of their images: 1 if all numbers differ by the usual spread.

        Of what is far out only the logarithm counts, lest one number alone decides; what is NaN does not tell.
        """
        scores = np.nan_to_num((found - self.middle) / self.spread)
        beyond = np.maximum(np.abs(scores) - FAR_SCORE, 0)
        scores = np.sign(scores) * (np.minimum(np.abs(scores), FAR_SCORE) + np.log1p(beyond))
        weight = [1 / (len(ASPECTS) * len(names)) for names in ASPECTS.values() for _ in names]
        return np.asarray(scores * np.sqrt(weight))


def nearest(points: FloatArray, others: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Which of the others is nearest to each point [n, NAMES], and its distance; one at a time, for memory."""
    found = [cdist(point[None], others)[0] for point in points]
    places = np.array([int(row.argmin()) for row in found], np.intp)
    return places, np.array([row.min() for row in found])


def nearest_of_another_group(points: FloatArray, groups: Sequence[str]) -> FloatArray:
    """Distance of each point [n, NAMES] to the nearest that is of no structure of its group."""
    group = np.asarray(groups, object)
    found = []
    for point, own in zip(points, group, strict=True):
        away = cdist(point[None], points)[0]
        found.append(float(np.min(away[group != own], initial=np.inf)))
    return np.array(found)


def usable(found: Iterable[FloatArray | None]) -> FloatArray:
    """Fingerprints [n, NAMES] of those that have one."""
    there = [one for one in found if one is not None]
    return np.stack(there) if there else np.zeros((0, len(NAMES)))


def _autocorrelation(power: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Autocorrelation at ``LAGS``, from a power spectrum under the window."""
    ring, overlap = _lags(shape[0], shape[1])
    products = irfft2(power, s=shape) / overlap
    means = np.array([products[at].mean() if at.any() else np.nan for at in ring])
    return np.asarray(means / products[0, 0])


@lru_cache(maxsize=4)
def _lags(height: int, width: int) -> tuple[list[NDArray[np.bool_]], FloatArray]:
    """Shifts of each of ``LAGS``, to half a pixel, and how much of the window overlaps with itself after each shift."""
    window = np.outer(*(np.hanning(edge + 2)[1:-1] for edge in (height, width)))
    overlap = irfft2(np.abs(rfft2(window)) ** 2, s=(height, width)) / (window**2).sum()
    away = np.hypot(*np.meshgrid(*(np.fft.fftfreq(edge, 1 / edge) for edge in (height, width)), indexing="ij"))
    # Beyond half of the field nothing but the rims of the window overlaps.
    rings = [(np.abs(away - lag) <= 0.5) & (lag <= min(height, width) / 2) for lag in LAGS]
    return rings, overlap
