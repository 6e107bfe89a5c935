"""Probes of a scan: images of the beam without a specimen, from a file, from the scan itself, or made of an angle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.reading import failures_told, in_words
from exitwave.benchmark.scan_files import arrays_of
from exitwave.benchmark.scan_parts import Box
from exitwave.benchmark.scans import Scan, scan_from
from exitwave.electron import wavelength
from exitwave.errors import ScanError

HELD = 64_000_000
"""Bytes of patterns that are averaged at once."""
SMALLEST_RADIUS = 1.0
"""Below this radius [px] of its disk an image of a probe is a hot pixel."""
LARGEST_SHARE = 0.4
"""Of the pattern's edge that the radius of its disk may be, so that it is one."""
BEYOND = 1.5
"""Radii from its middle up to which a probe is kept; what is outside is camera and halo."""


@dataclass(frozen=True)
class Probe:
    """The disk of the beam without a specimen.

    Attributes
    ----------
    image : float32 array [H, W]
        In the middle (pixel H // 2, W // 2), without what is around it.
    radius : float
        [px], of the disk of the area that is brighter than half of the disk.
    told : str
        Where it is from, in words.
    """

    image: NDArray[np.float32]
    radius: float
    told: str


def probe_of(
    scan: Scan,
    probe: PurePath | None,
    vacuum: Box | None,
    semiangle: float | None,
    energy: float | None,
    prefix: str = "",
) -> Probe:
    """The probe of a scan, from the one place that is named.

    Parameters
    ----------
    scan : Scan
    probe : path, optional
        Image of the probe in vacuum.
    vacuum : Box, optional
        Part of the scan without specimen, whose mean is the probe.
    semiangle : float, optional
        Of an even disk that is the probe [mrad].
    energy : float, optional
        Of the electrons [eV], where the scan does not say it.
    prefix : str
        What a person writes before the names of these keys.

    Raises
    ------
    ScanError
        If it cannot be read, shows no disk, or its semiangle cannot be told in pixels.
    """
    if vacuum is not None:
        image = mean_pattern(scan, *vacuum.within(scan.shape, f"{prefix}vacuum"))
        return centred_probe(image, f"the part {vacuum.told} of {scan.path.name}")
    if semiangle is not None:
        energy = energy or scan.energy
        if energy is None or scan.reciprocal_sampling is None:
            lacking = "energy" if energy is None else "reciprocal-sampling" if prefix else "reciprocal_sampling"
            raise ScanError(f"{scan.path} does not say what {prefix}semiangle needs besides; give {prefix}{lacking}")
        return disk_probe(scan.shape[2:], semiangle, energy, scan.reciprocal_sampling)
    assert probe is not None  # the only one left
    return centred_probe(read_probe(probe, scan.shape[2:]), str(probe))


def read_probe(path: str | PurePath, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Read the image of a probe; the mean where a file has several, such as a scan of vacuum.

    Parameters
    ----------
    path : path
        Any of the formats of a scan, TIFF or a picture.
    shape : (int, int)
        Of the patterns that it belongs to, (H, W).

    Returns
    -------
    float32 array [H, W]
        As it is stored.

    Raises
    ------
    ScanError
        If it cannot be read, does not hold one image or one stack of images, or has another size.
    """
    image = _image_in(Path(path))
    if image.shape != shape:
        raise ScanError(
            f"{path} has {in_words(image.shape)} px, and the patterns of the scan have {in_words(shape)}; allowed: a "
            "probe of the same camera with as many"
        )
    return image


def _image_in(path: Path) -> NDArray[np.float32]:
    arrays = [array for array in arrays_of(path) if array.dtype.kind in "buif" and 0 not in array.shape]
    for dimensions in (2, 3, 4):
        found = [array for array in arrays if len(array.shape) == dimensions]
        if len(found) > 1:
            shapes = ", ".join(in_words(array.shape) for array in found)
            raise ScanError(f"{path} holds {len(found)} arrays ({shapes}); allowed: one image of the probe")
        if found and dimensions == 2:
            with failures_told(path, ScanError):
                return np.ascontiguousarray(found[0].read((slice(None), slice(None))), np.float32)
        if found:
            return mean_pattern(scan_from(path, found[0]), slice(None), slice(None))
    raise ScanError(f"{path} holds no image; allowed: one of the probe, or a scan of vacuum")


def mean_pattern(scan: Scan, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Mean of the patterns of a part of a scan, float32 [H, W], in bounded memory.

    Raises
    ------
    ScanError
        If one of them cannot be read.
    """
    total, number = np.zeros(scan.shape[2:]), 0
    for part in parts(scan, rows, columns, HELD):
        patterns = scan.patterns(*part)
        total += np.nansum(patterns, axis=0, dtype=np.float64)
        number += len(patterns)
    return (total / max(1, number)).astype(np.float32)


def parts(scan: Scan, rows: slice, columns: slice, held: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a scan whose patterns take at most so many bytes each, along the chunks of its file where these fit.

    Parameters
    ----------
    scan : Scan
    rows, columns : slice
        The part of the scan that is parted.
    held : int
        Bytes in single precision; one pattern at least.

    Yields
    ------
    rows, columns : slice
        Line by line.
    """
    most = max(1, held // (4 * math.prod(scan.shape[2:])))
    (top, bottom, _), (left, right, _) = rows.indices(scan.shape[0]), columns.indices(scan.shape[1])
    high, wide = (max(1, min(chunk, edge)) for chunk, edge in zip(scan.chunks, scan.shape[:2], strict=True))
    # A chunk that is too large is cut, across its rows first.
    high = max(1, min(high, most // wide))
    wide = min(wide, most)
    across = min(scan.shape[1], max(1, most // (high * wide)) * wide)
    down = max(1, most // (high * across)) * high if across == scan.shape[1] else high
    for row in range(top - top % down, bottom, down):
        for column in range(left - left % across, right, across):
            yield slice(max(row, top), min(row + down, bottom)), slice(max(column, left), min(column + across, right))


def disk_probe(shape: tuple[int, int], semiangle: float, energy: float, reciprocal_sampling: float) -> Probe:
    """An even disk of a known semiangle.

    Parameters
    ----------
    shape : (int, int)
        Of the patterns, (H, W).
    semiangle : float
        [mrad]
    energy : float
        Of the electrons [eV].
    reciprocal_sampling : float
        Pixel of the patterns [1/Å].

    Raises
    ------
    ScanError
        If such a disk is smaller than a pixel, or does not fit into the pattern.
    """
    radius = semiangle * 1e-3 / wavelength(energy) / reciprocal_sampling
    _check_radius(radius, shape, f"a semiangle of {semiangle:g} mrad")
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot(y - shape[0] // 2, x - shape[1] // 2)
    image = np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)
    return Probe(image, float(radius), f"a disk of {semiangle:g} mrad")


def centred_probe(image: NDArray[np.floating], told: str) -> Probe:
    """A probe as it was recorded, brought to the middle, without what is around it.

    Parameters
    ----------
    image : float array [H, W]
    told : str
        Where it is from, in words.

    Raises
    ------
    ScanError
        If it shows no disk.
    """
    from scipy.ndimage import binary_dilation, center_of_mass, label, median_filter, shift

    values = np.where(np.isfinite(image), image, 0).astype(np.float64)
    smooth = median_filter(values, 3)
    # Below the quarter is no disk that fits into the pattern.
    level = np.percentile(smooth, 25)
    height = np.percentile(smooth[smooth >= level + 0.2 * (smooth.max() - level)], 75) - level
    if not height > 0:
        raise ScanError(f"{told} shows no disk: it is the same everywhere; allowed: an image of the beam in vacuum")
    # Hot pixels are what their neighbours know nothing of, more than at the edge of a disk.
    cleaned = np.where(abs(values - smooth) > 0.6 * height, smooth, values) - level
    regions, _ = label(cleaned > 0.5 * height)
    disk = regions == np.bincount(regions.ravel())[1:].argmax() + 1
    radius = math.sqrt(np.count_nonzero(disk) / math.pi)
    _check_radius(radius, disk.shape, told)
    if disk[0].any() or disk[-1].any() or disk[:, 0].any() or disk[:, -1].any():
        raise ScanError(f"{told} shows a disk that the edge cuts; allowed: a whole one")
    # Its rim counts by how bright it is, so that the middle is found finer than to pixels.
    share = np.clip(cleaned / height, 0, 1) * binary_dilation(disk, iterations=2)
    rows, columns = values.shape
    y, x = center_of_mass(share)
    moved = shift(cleaned, (rows // 2 - y, columns // 2 - x), order=1)
    away = np.hypot(*np.ogrid[-(rows // 2) : rows - rows // 2, -(columns // 2) : columns - columns // 2])
    kept = np.clip(moved, 0, None) * (away <= BEYOND * radius + 2)
    return Probe(kept.astype(np.float32), radius, told)


def _check_radius(radius: float, shape: tuple[int, ...], told: str) -> None:
    most = LARGEST_SHARE * min(shape)
    if not SMALLEST_RADIUS <= radius <= most:
        raise ScanError(
            f"{told} gives a disk of the radius {radius:.2g} px in patterns of {in_words(shape)} px; allowed: "
            f"{SMALLEST_RADIUS:g} to {most:.0f} px"
        )
