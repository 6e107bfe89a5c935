"""Modulation transfer functions of cameras, as functions of spatial frequency in cycles per image pixel."""

from __future__ import annotations

import csv
import math
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from exitwave.config.cameras import MeasuredMtf, Mtf, ParametricMtf
from exitwave.errors import ConfigError

NYQUIST = 0.5
"""Nyquist frequency of the image [1/px]."""
LARGEST = 1.05
"""Largest value in a table: above 1 by what noise and oscillations of a measured edge can add."""
AT_ZERO = 0.01
"""Largest difference of the first value in a table from 1 that is taken for noise and normalised away."""


def modulation(mtf: Mtf | None, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Modulation transfer function at given spatial frequencies; it depends on their magnitude alone.

    The intensity that a camera gets here is already averaged over the area of each pixel. The function is what comes
    on top of that: a curve measured with a knife edge holds the pixel's own ``sinc(frequency)`` as well, which must be
    divided out of it.

    Parameters
    ----------
    mtf : ParametricMtf or MeasuredMtf, optional
        The function. A table is interpolated by monotone cubic pieces (Fritsch & Carlson, SIAM J. Numer. Anal. 17
        (1980) 238), which do not overshoot, divided by its value at 0, and constant beyond its last point.
    frequency : array [...]
        Magnitude of the spatial frequency [1/px]; the Nyquist frequency is 0.5, and 0.707 in the corners.

    Returns
    -------
    array [...]
        1 at frequency 0, and everywhere if there is no function.

    Raises
    ------
    ConfigError
        If a table cannot be read or used.
    """
    if mtf is None:
        return np.ones_like(frequency)
    if isinstance(mtf, ParametricMtf):
        with np.errstate(over="ignore"):  # a steep function far above ``half``: 1 / (1 + inf) = 0 is right
            return (1 - mtf.floor) / (1 + (frequency / mtf.half) ** mtf.power) + mtf.floor
    path, changed = _version(mtf)
    table = _table(path, changed)
    values: NDArray[np.float64] = table(np.minimum(frequency, table.x[-1]))
    return values


def modulation_grid(mtf: Mtf | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Modulation transfer function on the half-plane of frequencies of a real Fourier transform.

    Parameters
    ----------
    mtf : ParametricMtf or MeasuredMtf, optional
        The function.
    shape : tuple of int
        Pixels along y and x.

    Returns
    -------
    float32 [y, x // 2 + 1]
        In the order of ``rfft2``; read-only, kept for the next image.
    """
    return _grid(mtf, shape, _version(mtf)[1] if isinstance(mtf, MeasuredMtf) else 0)


def check_mtf(mtf: Mtf | None) -> None:
    """Check before the first job that a function can be used.

    Raises
    ------
    ConfigError
        If the table is missing or malformed: one sentence with file, line, value and what is allowed.
    """
    modulation(mtf, np.zeros(1))


@lru_cache(maxsize=8)
def _grid(mtf: Mtf | None, shape: tuple[int, int], changed: int) -> NDArray[np.float32]:
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    grid = modulation(mtf, frequency).astype(np.float32)
    grid.setflags(write=False)  # shared between all callers
    return grid


def _version(mtf: MeasuredMtf) -> tuple[Path, int]:
    """Path of a table and the time [ns] of its last change, so that a table changed meanwhile is read again."""
    path = Path(mtf.file)
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError as error:
        raise ConfigError(
            f"file: found '{path}', which cannot be read ({error.strerror}); allowed: a CSV file with the columns "
            "frequency and mtf"
        ) from error


@lru_cache(maxsize=8)
def _table(path: Path, changed: int) -> PchipInterpolator:
    frequency, mtf = _read(path)
    if frequency[0] != 0:
        raise ConfigError(f"file: '{path}' begins at frequency {frequency[0]:g}; allowed: 0")
    steps = np.diff(frequency)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        raise ConfigError(
            f"file: '{path}' has frequency {frequency[i + 1]:g} after {frequency[i]:g}; allowed: ascending frequencies"
        )
    if frequency[-1] < NYQUIST:
        raise ConfigError(
            f"file: '{path}' ends at frequency {frequency[-1]:g}; allowed: up to the Nyquist frequency, {NYQUIST}, or "
            "beyond, in cycles per pixel"
        )
    outside = (mtf < 0) | (mtf > LARGEST)
    if outside.any():
        i = int(np.argmax(outside))
        raise ConfigError(
            f"file: '{path}' has mtf {mtf[i]:g} at frequency {frequency[i]:g}; allowed: between 0 and {LARGEST}"
        )
    if abs(mtf[0] - 1) > AT_ZERO:
        raise ConfigError(f"file: '{path}' has mtf {mtf[0]:g} at frequency 0; allowed: 1 within {AT_ZERO:.0%}")
    return PchipInterpolator(frequency, mtf / mtf[0])


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns ``frequency`` and ``mtf`` of a CSV file; other columns are left alone."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(field.strip() for field in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"file: '{path}' cannot be read as text ({error}); allowed: a CSV file") from error
    header = [name.strip() for name in lines[0]] if lines else []
    missing = [name for name in ("frequency", "mtf") if name not in header]
    if missing:
        raise ConfigError(
            f"file: '{path}' names the columns '{', '.join(header)}' and lacks {' and '.join(missing)}; allowed: a "
            "first line with frequency and mtf"
        )
    columns = [header.index("frequency"), header.index("mtf")]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = [line[i] if i < len(line) else "" for i in columns]
        try:
            row = [float(field) for field in fields]
        except ValueError:
            row = [math.nan]
        if not all(math.isfinite(value) for value in row):
            raise ConfigError(f"file: '{path}' has '{', '.join(fields)}' in row {number}; allowed: two numbers")
        rows.append(row)
    if len(rows) < 2:
        raise ConfigError(f"file: '{path}' has {len(rows)} rows of numbers; allowed: two or more")
    frequency, mtf = np.array(rows).T
    return frequency, mtf
