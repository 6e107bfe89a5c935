"""What a mask is: where a map of an image is above a value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mask_of(values: NDArray[Any], above: float) -> NDArray[np.bool_]:
    """Pixels that belong to the mask.

    Parameters
    ----------
    values : array [..., y, x]
        Map of an image, in half precision too.
    above : float
        Value above which a pixel belongs to it, in the unit of the map.

    Returns
    -------
    bool [..., y, x]
    """
    # In single precision, in which both a stored map and a computed one have a value of their own.
    return np.asarray(np.asarray(values, np.float32) > np.float32(above))
