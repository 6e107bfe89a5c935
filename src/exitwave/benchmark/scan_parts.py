"""Parts of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exitwave.errors import ScanError


@dataclass(frozen=True)
class Box:
    """A part of a scan: columns x0 to x1 and rows y0 to y1, the last ones not in it."""

    x: tuple[int, int]
    y: tuple[int, int]

    def within(self, shape: Sequence[int], key: str) -> tuple[slice, slice]:
        """Rows and columns of a scan.

        Raises
        ------
        ScanError
            If it is empty or not within the scan.
        """
        rows, columns = shape[:2]
        if not (0 <= self.x[0] < self.x[1] <= columns and 0 <= self.y[0] < self.y[1] <= rows):
            raise ScanError(
                f"{key}: found {self.told}; allowed: x from 0 to {columns} and y from 0 to {rows}, the first "
                "below the last"
            )
        return slice(*self.y), slice(*self.x)

    @property
    def told(self) -> str:
        """As it is given."""
        return f"{self.x[0]}:{self.x[1]},{self.y[0]}:{self.y[1]}"
