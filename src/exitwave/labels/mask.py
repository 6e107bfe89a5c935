"""What a mask is: in one place and in one precision, for training, benchmark and figures alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from exitwave.config.images import DRAWN, PARTICLE_FIELDS
from exitwave.config.models import MaskTarget


def mask_of(values: NDArray[Any], above: float) -> NDArray[np.bool_]:
    """Where a map is above a threshold.

    Compared in single precision. Maps are stored in half precision, to which NumPy would round the threshold: 0.3
    becomes 0.30005, and a stored value that is just that would not be above.

    Parameters
    ----------
    values : ndarray [..., H, W]
        The map as it is stored.
    above : float
        Threshold, in the unit of the map.

    Returns
    -------
    bool array [..., H, W]
        False where the map has no value (NaN).
    """
    return np.asarray(np.asarray(values, np.float32) > np.float32(above))


def target_mask(target: MaskTarget, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The mask of an image, from the arrays that are stored with it.

    Parameters
    ----------
    target : MaskTarget
        What counts as particle.
    arrays : mapping of ndarray
        Those that ``target.arrays`` names, of one image: maps [H, W], ``particle_thickness`` [particle, H, W] and
        ``particles`` [particle, field]; of a micrograph ``drawn`` [H, W] in their place.

    Returns
    -------
    bool array [H, W]
        By phase and by thickness a pixel is in the mask if some particle covers it there and has at least the smallest
        value, and at least the fraction of the largest value of that particle. Without a fraction the phase is compared
        alone. A mask that was drawn stands for all of them.
    """
    if DRAWN in arrays:
        return np.asarray(arrays[DRAWN], bool)
    if target.by == "outline":
        return mask_of(arrays["atoms"], 0)
    if target.fraction == 0 and target.by != "thickness":
        return np.asarray(np.asarray(arrays[target.by], np.float32) >= np.float32(target.least))
    thickness = np.asarray(arrays["particle_thickness"], np.float32)
    largest = np.asarray(arrays["particles"], np.float32)[:, PARTICLE_FIELDS.index(target.by)]
    values = thickness if target.by == "thickness" else np.asarray(arrays[target.by], np.float32)[None]
    least = np.maximum(np.float32(target.least), np.float32(target.fraction) * largest)
    return np.asarray(((values >= least[:, None, None]) & (thickness > 0)).any(axis=0))


def signed_distance(mask: NDArray[np.bool_], pixel_size: float) -> NDArray[np.float64]:
    """Distance of every pixel to the outline of a mask: negative inside, positive outside, and nowhere 0.

    The outline runs halfway between neighbouring pixels of which one is inside, so that both are half a pixel off. The
    edge of the image is no outline.

    Parameters
    ----------
    mask : bool array [H, W]
    pixel_size : float
        In any unit of length, which is that of the distances.

    Returns
    -------
    float64 array [H, W]
        Of a mask that is all or nothing, and has no outline, the sign alone: values of no account, 1e-4 pixels.
    """
    if mask.all() or not mask.any():
        return np.where(mask, -1e-4, 1e-4) * pixel_size
    away = np.where(mask, distance_transform_edt(mask), distance_transform_edt(~mask)) - 0.5
    return np.asarray(np.where(mask, -away, away) * pixel_size)
