"""What a mask is: in one place and in one precision, for training, benchmark and figures alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
