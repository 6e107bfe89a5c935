"""Arrays in files, of which parts are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Part = tuple[slice, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of an array, as its file tells it.

    Attributes
    ----------
    scale : float
        Step, in the unit.
    unit : str
    scanned : bool, optional
        Whether it is one of the scan and not one of the detector; None where the file does not say.
    """

    scale: float = 1.0
    unit: str = ""
    scanned: bool | None = None


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    axes : tuple of Axis
    read : callable
        From a slice of each axis to these values.
    chunks : tuple of int
        How many values along each axis are stored together; ones where any part can be read alone.
    energy : float, optional
        Of the electrons [eV], where the file says it.
    told : tuple of str
        What is wrong with it, in words that go on after its name.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[Axis, ...]
    read: Callable[[Part], NDArray[Any]]
    chunks: tuple[int, ...]
    energy: float | None = None
    told: tuple[str, ...] = ()
