"""Where an image lies among simulated ones, by their fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.data.image_fingerprint import (
    ASPECTS,
    LAGS,
    LEVELS,
    NAMES,
    Scale,
    nearest,
    nearest_of_another_group,
)
from exitwave.data.likeness import RINGS
from exitwave.errors import DatasetError

FloatArray = NDArray[np.float64]

LEAST = 50
"""Simulated images without which nothing can be said of one in a hundred."""
OUTSIDE = 0.99
"""Share of the simulated images that lie nearer to another one, above which an image lies outside."""


@dataclass(frozen=True)
class Surroundings:
    """Simulated images by which others are placed.

    Attributes
    ----------
    rows : DataFrame
        Where they stand, ``image_id`` and ``structure_id``.
    pixel_size : float
        [Å]
    found : ndarray [n, NAMES]
        Their fingerprints.
    scale : Scale
    points : ndarray [n, NAMES]
    apart : ndarray [n]
        Distance of each to the nearest one of another structure, in ascending order.
    """

    rows: pd.DataFrame
    pixel_size: float
    found: FloatArray
    scale: Scale
    points: FloatArray
    apart: FloatArray

    @classmethod
    def of(cls, rows: pd.DataFrame, found: FloatArray, pixel_size: float) -> Surroundings:
        """Of simulated images and their fingerprints; those without one are left out.

        Raises
        ------
        DatasetError
            If they are too few.
        """
        seen = ~np.isnan(found).all(axis=1)
        rows, found = rows.iloc[np.flatnonzero(seen)].reset_index(drop=True), found[seen]
        if len(found) < LEAST or rows["structure_id"].nunique() < 2:
            raise DatasetError(
                f"found {len(found)} training images with contrast, of {rows['structure_id'].nunique()} structures; "
                f"allowed: {LEAST} or more, of several"
            )
        scale = Scale.of(found)
        points = scale.points(found)
        return cls(
            rows,
            pixel_size,
            found,
            scale,
            points,
            np.sort(nearest_of_another_group(points, list(rows["structure_id"]))),
        )


@dataclass(frozen=True)
class Placed:
    """Where an image lies.

    Attributes
    ----------
    values : ndarray [NAMES]
        Its fingerprint; of several fields the median of each number.
    shares : ndarray [NAMES]
        Share of the simulated images that have less; a half of those that have the same. NaN of what it is too small
        for.
    distance : float
        To the nearest simulated image; of several fields the median.
    nearer : float
        Share of the simulated images that lie nearer to another one than that.
    place : int
        Which simulated image is nearest to that field.
    told : tuple of str
        In what it lies beyond all but one in a hundred of them, the farthest number of each aspect.
    """

    values: FloatArray
    shares: FloatArray
    distance: float
    nearer: float
    place: int
    told: tuple[str, ...]

    @property
    def outside(self) -> bool:
        """Whether it lies farther out than all but one in a hundred simulated images."""
        return self.nearer > OUTSIDE


def placed(found: FloatArray, among: Surroundings) -> Placed:
    """Place an image among simulated ones.

    Parameters
    ----------
    found : ndarray [m, NAMES]
        Fingerprints of its fields.
    among : Surroundings
    """
    places, away = nearest(among.scale.points(found), among.points)
    middle = int(np.argsort(away)[len(away) // 2])
    # Of what it is too small for, no field has a value.
    values = np.array([np.nan if np.isnan(column).all() else np.nanmedian(column) for column in found.T])
    shares = np.array(
        [
            np.nan if np.isnan(value) else (np.nanmean(column < value) + np.nanmean(column <= value)) / 2
            for value, column in zip(values, among.found.T, strict=True)
        ]
    )
    return Placed(
        values,
        shares,
        float(away[middle]),
        float(np.searchsorted(among.apart, away[middle]) / len(among.apart)),
        int(places[middle]),
        tuple(_told(values, shares, among)),
    )


def meanings(pixel_size: float) -> list[str]:
    """What each number of a fingerprint is, in words, on pixels of a size [Å]."""
    periods = [f"power at {period:.2g} Å" for period in 2 * pixel_size / (RINGS[1:] + RINGS[:-1])]
    greys = [f"grey value of the darkest {100 * level:g} %" for level in LEVELS]
    return [*periods, *greys, *(f"autocorrelation at {lag * pixel_size:.2g} Å" for lag in LAGS)]


def _told(values: FloatArray, shares: FloatArray, among: Surroundings) -> list[str]:
    words, scores = meanings(among.pixel_size), np.nan_to_num((values - among.scale.middle) / among.scale.spread)
    told = []
    for names in ASPECTS.values():
        own: Sequence[int] = [NAMES.index(name) for name in names]
        beyond = [place for place in own if shares[place] < 1 - OUTSIDE or shares[place] > OUTSIDE]
        if beyond:
            place = max(beyond, key=lambda place: abs(scores[place]))
            told.append(f"its {words[place]} is {'above' if shares[place] > 0.5 else 'below'} that of 99 %")
    return told
