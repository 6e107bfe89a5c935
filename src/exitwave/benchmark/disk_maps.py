"""What a network that finds disks makes of patterns of any size, and the disks in that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.data.patterns import scaled
from exitwave.data.peaks import find_peaks
from exitwave.hardware import Precision
from exitwave.training.disks import DisksTask, multiple_of

SURE = 0.03
"""Uncertainty of a place [px] below which none is better: what is left where a network errs for all disks alike."""

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork


def disk_maps(
    network: LoadedNetwork,
    patterns: NDArray[np.floating],
    probes: NDArray[np.floating],
    precision: Precision = "32",
) -> NDArray[np.float32]:
    """Images of structure factors, and how surely disks are placed where the network says that.

    Parameters
    ----------
    network : LoadedNetwork
        Network that finds disks, on the device where it is to run.
    patterns : array [n, H, W]
        Intensities of patterns.
    probes : array [n, H, W] or [1, H, W]
        Their vacuum probes, in the middle.
    precision : {'32', 'bf16'}
        Arithmetic of the network; bf16 moves disks by 0.01 px (median).

    Returns
    -------
    float32 [n, 1 or 2, H, W]
        See :meth:`exitwave.training.disks.DisksTask.maps`.
    """
    import torch

    task = network.task
    assert isinstance(task, DisksTask)
    inputs = scaled(patterns, probes)
    height, width = inputs.shape[-2:]
    # A rim without electrons makes edges that the network can halve; the middle, edge // 2, stays the middle.
    rims = [_rim(edge, multiple_of(task.model)) for edge in (height, width)]
    padded = np.pad(inputs, ((0, 0), (0, 0), *rims)) if any(map(any, rims)) else inputs
    device = next(network.module.parameters()).device
    with torch.inference_mode():
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            output = network.module(torch.from_numpy(padded).to(device).float())
        found = task.maps(output.float()).cpu().numpy()
    (top, _), (left, _) = rims
    return np.asarray(found[..., top : top + height, left : left + width], np.float32)


def image_of(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Image of structure factors [H, W] of the maps [k, H, W] of a pattern, or of an image alone."""
    return maps[0] if maps.ndim == 3 else maps


def placed_disks(maps: NDArray[np.floating], threshold: float, most: int | None = None) -> NDArray[np.float64]:
    """Disks of the maps of a pattern.

    Parameters
    ----------
    maps : float [k, H, W] or [H, W]
    threshold : float
        Least height of a peak.
    most : int, optional
        Disks at the most.

    Returns
    -------
    float64 [n, 4]
        Place x, y [px], height, and standard deviation of the place along an axis [px], NaN where that is not known;
        the highest first.
    """
    found = find_peaks(np.asarray(image_of(maps), np.float32), threshold, most=most)
    deviation = np.full(len(found), np.nan)
    if maps.ndim == 3 and len(maps) == 2:
        columns, rows = np.rint(found[:, :2]).astype(int).T
        deviation = maps[1][rows.clip(0, maps.shape[1] - 1), columns.clip(0, maps.shape[2] - 1)].astype(np.float64)
    return np.column_stack([found, deviation])


def weighted(disks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Disks with weights for what is fitted to their places.

    Parameters
    ----------
    disks : float64 [n, 4]
        As of :func:`placed_disks`.

    Returns
    -------
    float64 [n, 3]
        Place x, y [px] and weight: one over the variance of the place [1/px²], or the height where that is not known.
    """
    sure = 1 / (disks[:, 3] ** 2 + SURE**2)
    return np.column_stack([disks[:, :2], np.where(np.isnan(disks[:, 3]), disks[:, 2], sure)])


def _rim(edge: int, multiple: int) -> tuple[int, int]:
    """Pixels before and after."""
    whole = -(-edge // multiple) * multiple
    before = whole // 2 - edge // 2
    return before, whole - edge - before
