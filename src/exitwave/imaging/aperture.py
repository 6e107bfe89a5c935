"""Apertures of convergent beams, as their transmission on a fine grid of directions."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, convolve, convolve1d, map_coordinates, median_filter

from exitwave.config.patterns import Aperture, Bullseye, MeasuredAperture
from exitwave.errors import ConfigError

FINE = 8
"""Points of the grid along a pixel of the pattern."""
LARGEST = 300
"""Pixels that a measured probe may reach from its centre."""
_EMPTY = 0.05
"""Share of the brightest of a measured probe below which there is no aperture."""
_HOT = 1.5
"""Share of it above which a pixel is a hot one, and the median of those around it is taken."""


def aperture_table(aperture: Aperture, radius: float) -> NDArray[np.float32]:
    """Intensity that an aperture lets through into a pixel of the pattern.

    Parameters
    ----------
    aperture : Aperture
        Disk, bullseye or measured.
    radius : float
        Radius of the aperture [px]; a measured one has its own.

    Returns
    -------
    float32 [2 n + 1, 2 n + 1]
        Share of the area of a pixel that is open, in 0 ... 1, for pixels whose centre is at (i - n) / `FINE` px from
        that of the aperture; 0 at the rim. A measured one has the noise of its picture and may exceed 1 by it.

    Raises
    ------
    ConfigError
        If the image of a measured aperture cannot be read or shows none.
    """
    if isinstance(aperture, MeasuredAperture):
        return _measured(str(aperture.file))
    return _open_area(aperture, radius)


def radius_of(aperture: Aperture) -> float:
    """Radius of the smallest circle about a measured aperture, to half of its height [px]."""
    table = aperture_table(aperture, 0.0)
    y, x = np.nonzero(table > 0.5)
    centre = (len(table) - 1) / 2
    return float(np.hypot(y - centre, x - centre).max(initial=0.0) / FINE)


@lru_cache(maxsize=64)
def _open_area(aperture: Bullseye | str, radius: float) -> NDArray[np.float32]:
    edge = math.ceil((radius + 1) * FINE)
    y, x = np.mgrid[-edge : edge + 1, -edge : edge + 1] / FINE
    r = np.hypot(y, x)
    # Soft over a point of the fine grid, so that the area is right to a small part of one.
    transmission = np.clip((radius - r) * FINE + 0.5, 0, 1)
    if isinstance(aperture, Bullseye):
        width = radius / (2 * aperture.rings + 1)
        for ring in range(aperture.rings):
            inner, outer = (2 * ring + 1) * width, (2 * ring + 2) * width
            opaque = np.clip((r - inner) * FINE + 0.5, 0, 1) * np.clip((outer - r) * FINE + 0.5, 0, 1)
            transmission *= 1 - opaque
        for spoke in range(aperture.spokes):
            angle = 2 * math.pi * spoke / aperture.spokes
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            # The innermost disk is whole.
            opaque = np.clip((aperture.spoke_width * radius / 2 - np.abs(across)) * FINE + 0.5, 0, 1)
            transmission *= 1 - opaque * (along > 0) * (r > width)
    # Over the area of a pixel, of FINE points with half of one at either side.
    ends = np.array([0.5, *np.ones(FINE - 1), 0.5]) / FINE
    area = convolve1d(convolve1d(transmission, ends, axis=0), ends, axis=1)
    table = np.where(area > 1e-6, area, 0).astype(np.float32)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=4)
def _measured(path: str) -> NDArray[np.float32]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            image = np.asarray(picture, np.float64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(
            f"aperture.file: '{path}' cannot be read ({getattr(error, 'strerror', None) or error}); allowed: a picture"
        ) from error
    if image.ndim != 2 or min(image.shape) < 3:
        raise ConfigError(f"aperture.file: '{path}' has the shape {image.shape}; allowed: a grey picture of a probe")
    if not np.isfinite(image).all():
        raise ConfigError(
            f"aperture.file: '{path}' has pixels that are no finite numbers; allowed: a picture of a probe"
        )
    if not image.max() > 0:
        raise ConfigError(f"aperture.file: '{path}' shows nothing brighter than 0; allowed: a picture of a probe")
    # The median of the bright part and not the largest value, which may be a hot pixel.
    smooth = median_filter(image, 3)
    plateau = np.median(image[image > 0.5 * smooth.max()])
    values = np.where(image > _HOT * plateau, smooth, image) / plateau
    values[values < _EMPTY] = 0
    # A pixel by itself is no part of a probe.
    values[convolve((values > 0).astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant") == 1] = 0
    if values[0].any() or values[-1].any() or values[:, 0].any() or values[:, -1].any():
        raise ConfigError(
            f"aperture.file: the probe in '{path}' reaches the edge; allowed: a whole one, its background taken off"
        )
    y, x = center_of_mass(values)
    rows, columns = np.nonzero(values.any(axis=1))[0], np.nonzero(values.any(axis=0))[0]
    edge = math.ceil(max(y - rows[0], rows[-1] - y, x - columns[0], columns[-1] - x)) + 2
    if edge > LARGEST:
        raise ConfigError(
            f"aperture.file: the probe in '{path}' reaches {edge} pixels from its centre; allowed: up to {LARGEST}, "
            "its background taken off"
        )
    places = np.arange(-edge * FINE, edge * FINE + 1) / FINE
    table = map_coordinates(values, np.meshgrid(y + places, x + places, indexing="ij"), order=1, cval=0.0)
    return np.asarray(table, np.float32)
