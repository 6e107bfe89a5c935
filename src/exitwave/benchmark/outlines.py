"""Outlines of particles as polygons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""Corners [n, 2] of a closed line, x and y [px]; the last corner is the first."""
Polygon = list[Ring]
"""A ring around, and one for each hole."""


def find_outlines(labels: NDArray[np.int32]) -> dict[int, list[Polygon]]:
    """Outlines of labelled particles.

    They pass midway between pixels of the particle and neighbours that are not, so that the centres of its pixels, and
    no others, lie within. Coordinates count from the upper left corner of the image, x to the right and y down, as in
    QuPath: the first pixel is centred at (0.5, 0.5).

    Parameters
    ----------
    labels : int array [H, W]
        Number of the particle at each pixel; 0 is background.

    Returns
    -------
    dict
        From the number of a particle to its polygons: one, or several where it is not connected.
    """
    from scipy.ndimage import find_objects
    from skimage.measure import find_contours

    found: dict[int, list[Polygon]] = {}
    for number, window in enumerate(find_objects(labels), start=1):
        if window is None:
            continue
        # A margin lets the outline close where the image ends.
        region = np.pad(labels[window] == number, 1)
        corner = np.array([window[1].start, window[0].start]) - 0.5
        contours = find_contours(region, 0.5, fully_connected="high", positive_orientation="low")
        rings = [_straightened(contour[:, ::-1]) + corner for contour in contours]
        found[number] = _polygons(rings)
    return found


def feature_collection(
    outlines: Mapping[int, Sequence[Polygon]], measurements: Mapping[int, Mapping[str, float]]
) -> str:
    """Outlines as GeoJSON that QuPath reads: an annotation a particle, with its number for a name.

    Parameters
    ----------
    outlines : mapping
        As of :func:`find_outlines`.
    measurements : mapping
        What was measured of each particle, by heading.
    """
    features = []
    for number, polygons in outlines.items():
        rings = [[np.round(ring, 2).tolist() for ring in polygon] for polygon in polygons]
        geometry: dict[str, Any] = (
            {"type": "Polygon", "coordinates": rings[0]}
            if len(rings) == 1
            else {"type": "MultiPolygon", "coordinates": rings}
        )
        properties = {
            "objectType": "annotation",
            "name": str(number),
            "number": number,
            "measurements": dict(measurements[number]),
        }
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))


def signed_area(ring: Ring) -> float:
    """Area within a ring [px²], positive where it turns from the x axis to the y axis."""
    x, y = ring[:-1].T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _straightened(ring: Ring) -> Ring:
    """A ring without corners at which it goes straight on."""
    corners = ring[:-1]
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] != 0
    corners = corners[turns]
    return np.concatenate([corners, corners[:1]])


def _polygons(rings: Sequence[Ring]) -> list[Polygon]:
    """Rings put together: those that turn the other way are holes of the ring around them."""
    from skimage.measure import points_in_poly

    areas = [signed_area(ring) for ring in rings]
    polygons = [[ring] for ring, area in zip(rings, areas, strict=True) if area > 0]
    for hole, area in zip(rings, areas, strict=True):
        if area < 0:
            around = [polygon for polygon in polygons if points_in_poly(hole[:1], polygon[0])[0]]
            # Of rings within each other the innermost one has the hole.
            min(around, key=lambda polygon: signed_area(polygon[0])).append(hole)
    return polygons
