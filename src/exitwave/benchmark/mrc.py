"""Reading MRC files: MRC2014 and its forerunners, of either byte order.

A. Cheng et al., J. Struct. Biol. 192, 146 (2015); the flags of IMOD and the extended header of FEI as their
documentations have them.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import MicrographError

HEADER = 1024
"""Length of the header [bytes]."""
TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
"""Type of the values by the mode of the file; complex and packed modes are no micrographs."""
BYTE_ORDERS = {b"\x44": "<", b"\x11": ">"}
"""Byte order by the first byte of the machine stamp."""
IMOD = 1146047817
"""Stamp of IMOD, after which a flag says whether bytes have a sign."""
FEI_HEADER = 131072
"""Length of the extended header of FEI [bytes], whose pixel size goes before that of the header."""
FEI_PIXEL, FEI_VOLTAGE = 44, 52
"""Where the first record of that header has the pixel size [m] and the high tension [V]."""


@dataclass(frozen=True)
class MRCFile:
    """Images of an MRC file.

    Attributes
    ----------
    images : array [n, H, W]
        In the file, and read when asked for.
    pixel : tuple of float
        Height and width of a pixel [Å]; 0 where the file does not say it.
    voltage : float, optional
        High tension [V], where the file says it.
    """

    images: NDArray[Any]
    pixel: tuple[float, float]
    voltage: float | None = None


@dataclass(frozen=True)
class _Header:
    order: str
    shape: tuple[int, int, int]
    """Columns, rows and sections."""
    mode: int
    grid: tuple[int, int, int]
    """Intervals along the axes of the cell; 0 where they are not said."""
    cell: tuple[float, float, float]
    """Edges of the cell [Å]."""
    axes: tuple[int, int, int]
    """Axis of the cell, 1 to 3, along columns, rows and sections."""
    extremes: tuple[float, float]
    extended: int
    """Length of the extended header [bytes]."""
    flags: int | None
    """Flags of IMOD, where it has written the file."""

    @property
    def plausible(self) -> bool:
        """Whether it was read in its byte order: in the other one small numbers are huge."""
        return all(0 < edge < 2**24 for edge in self.shape) and 0 <= self.mode < 2**10 and 0 <= self.extended < 2**31


def read_mrc(path: Path) -> MRCFile:
    """Open an MRC file.

    A header that does not say the grid of its cell (MX, MY) means that of its pixels. Values of mode 0 have a sign, as
    MRC2014 has it, unless IMOD's flag or the extremes in the header say that they have none.

    Raises
    ------
    MicrographError
        If the file is no MRC file, cut short, or of a mode without real numbers.
    """
    with path.open("rb") as file:
        raw = file.read(HEADER)
        fei = file.read(FEI_VOLTAGE + 4)
    if len(raw) < HEADER:
        raise MicrographError(f"{path} cannot be read: it has {len(raw)} bytes; allowed: {HEADER}, a header, and more")
    first = BYTE_ORDERS.get(raw[212:213], "<")
    found = [header for order in dict.fromkeys((first, *"<>")) if (header := _header(raw, order)).plausible]
    if not found:
        raise MicrographError(f"{path} cannot be read: its header has no meaning; allowed: that of an MRC file")
    header = found[0]
    if header.mode not in TYPES:
        raise MicrographError(
            f"{path} has the mode {header.mode}; allowed: {', '.join(map(str, TYPES))}, which are real numbers"
        )
    kind = "u1" if header.mode == 0 and not _signed(header) else TYPES[header.mode]
    values, shape = np.dtype(header.order + kind), header.shape[::-1]
    start, length = HEADER + header.extended, values.itemsize * math.prod(shape)
    if path.stat().st_size < start + length:
        raise MicrographError(
            f"{path} cannot be read: it has {path.stat().st_size} bytes; needed: {start + length} for "
            f"{' x '.join(map(str, shape))} values"
        )
    images = np.memmap(path, values, "r", start, shape)
    return MRCFile(images, _pixel(header, fei), _of_fei(header, fei, FEI_VOLTAGE))


def _header(raw: bytes, order: str) -> _Header:
    whole, real = struct.Struct(f"{order}56i").unpack_from(raw), struct.Struct(f"{order}56f").unpack_from(raw)
    return _Header(
        order=order,
        shape=(whole[0], whole[1], whole[2]),
        mode=whole[3],
        grid=(whole[7], whole[8], whole[9]),
        cell=(real[10], real[11], real[12]),
        axes=(whole[16], whole[17], whole[18]),
        extremes=(real[19], real[20]),
        extended=whole[23],
        flags=whole[39] if whole[38] == IMOD else None,
    )


def _signed(header: _Header) -> bool:
    """Whether bytes have a sign."""
    if header.flags is not None:
        return bool(header.flags & 1)
    low, high = header.extremes
    # Extremes that are not said are equal, or the wrong way round.
    return not (0 <= low < high and 127 < high <= 255)


def _pixel(header: _Header, fei: bytes) -> tuple[float, float]:
    """Height and width of a pixel [Å]."""
    if (metres := _of_fei(header, fei, FEI_PIXEL)) is not None:
        return metres * 1e10, metres * 1e10
    axes = header.axes if sorted(header.axes) == [1, 2, 3] else (1, 2, 3)
    width, height = (
        header.cell[axis - 1] / (header.grid[axis - 1] if header.grid[axis - 1] > 0 else edge)
        for axis, edge in zip(axes[:2], header.shape[:2], strict=True)
    )
    return height, width


def _of_fei(header: _Header, fei: bytes, place: int) -> float | None:
    """A number above 0 of the first record of FEI's extended header; None where there is none."""
    if header.extended != FEI_HEADER or len(fei) < place + 4:
        return None
    value = float(struct.unpack_from(f"{header.order}f", fei, place)[0])
    return value if value > 0 else None
