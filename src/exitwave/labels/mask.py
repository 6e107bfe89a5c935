"""What a mask is: in one place and one precision, for training, figures and benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mask_of(values: NDArray[Any], above: float = 0.1) -> NDArray[np.bool_]:
    return np.asarray(values, np.float32) > np.float32(above)
