"""Scenes: bodies in one cell, the higher precedence taking the place of the lower."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body
from exitwave.structures.contacts import distances_to, in_the_way
from exitwave.structures.structure import Structure
from exitwave.structures.transforms import wrap_laterally

FloatArray = NDArray[np.float64]

_ROUNDING = 1e-9
"""By how much [Å] rounding may bring atoms at exactly the smallest distance closer."""


@dataclass(frozen=True)
class _Entry:
    body: Body
    precedence: int
    minimum_distance: float
    object_id: int


@dataclass
class Scene:
    """Bodies in an orthogonal cell; the beam runs along +z.

    Parameters
    ----------
    cell : ndarray [3]
        Edges [Å]. The lateral edges are equal if the scene is periodic.
    periodic : bool
        Whether x and y are periodic. If not, atoms outside the cell laterally are cut off.

    Examples
    --------
    >>> scene = Scene([60, 60, 50])
    >>> scene.add(film)                                       # object 0, precedence 0
    >>> scene.add(particle.moved(translation=[30, 30, 34]), precedence=1)
    >>> structure = scene.structure()
    """

    cell: FloatArray
    periodic: bool = True
    _entries: list[_Entry] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.cell = np.asarray(self.cell, dtype=np.float64)
        if self.cell.shape != (3,) or not (np.isfinite(self.cell).all() and (self.cell > 0).all()):
            raise StructureError(f"the cell is {self.cell.tolist()} Å; allowed: three edges above 0")
        if self.periodic and self.cell[0] != self.cell[1]:
            raise StructureError(
                f"the cell is {self.cell[0]:g} by {self.cell[1]:g} Å; allowed: square, or periodic=False"
            )

    def add(self, body: Body, precedence: int = 0, minimum_distance: float = 2.0, object_id: int | None = None) -> int:
        """Put a body into the scene, where it is.

        Parameters
        ----------
        body : Body
            In the coordinates of the cell.
        precedence : int
            Atoms of bodies of lower precedence give way to it.
        minimum_distance : float
            Smallest distance [Å] of its atoms to those of bodies of lower or equal precedence.
        object_id : int or None
            Recorded with its atoms; the number of bodies added before if None. 0 is the substrate.

        Returns
        -------
        int
            The object id.
        """
        number = len(self._entries) if object_id is None else object_id
        if not 0 <= number <= 255:
            raise StructureError(f"object_id is {number}; allowed: 0 to 255")
        self._entries.append(_Entry(body, precedence, minimum_distance, number))
        return number

    def structure(self, **metadata: Any) -> Structure:
        """The atoms that are left once every body has given way to those of higher precedence.

        Raises
        ------
        StructureError
            If two bodies of the same precedence overlap or come too close, one is wider than a periodic cell, or atoms
            lie above or below the cell.
        """
        bodies: list[Body] = []
        for number, entry in enumerate(self._entries):
            keep = np.ones(len(entry.body), dtype=bool)
            for other in self._entries:
                if other.precedence > entry.precedence:
                    keep &= ~in_the_way(entry.body.positions, other.body, other.minimum_distance, self._edge())
            self._check_width(entry)
            for earlier in self._entries[:number]:
                if earlier.precedence == entry.precedence:
                    self._check_apart(earlier, entry)
            bodies.append(self._clipped(entry.body.kept(keep)))
        positions = np.concatenate([np.empty((0, 3)), *[body.positions for body in bodies]])
        edge = self._edge()
        ids = [np.full(len(body), entry.object_id) for body, entry in zip(bodies, self._entries, strict=True)]
        empty = np.empty(0, dtype=np.uint8)
        return Structure(
            positions=positions if edge is None else wrap_laterally(positions, edge),
            numbers=np.concatenate([empty, *[body.numbers for body in bodies]]),
            object_id=np.concatenate([empty, *ids]).astype(np.uint8),
            role=np.concatenate([empty, *[body.role for body in bodies]]),
            grain=np.concatenate([empty, *[body.grain for body in bodies]]),
            cell=self.cell,
            periodic=self.periodic,
            metadata=metadata,
        )

    def _edge(self) -> float | None:
        return float(self.cell[0]) if self.periodic else None

    def _check_apart(self, first: _Entry, second: _Entry) -> None:
        distance = max(first.minimum_distance, second.minimum_distance)
        small, large = sorted((first.body, second.body), key=len)
        found = distances_to(small, large.positions, distance, self._edge()).min(initial=np.inf)
        if found < distance - _ROUNDING:
            raise StructureError(
                f"objects {first.object_id} and {second.object_id} have the same precedence, {first.precedence}, and "
                f"atoms {found:.3g} Å apart; allowed: {distance:g} Å or more, or different precedences"
            )

    def _check_width(self, entry: _Entry) -> None:
        """A body wider than the cell would lie over its own periodic images."""
        edge = self._edge()
        width = np.ptp(entry.body.positions[:, :2], axis=0).max() if len(entry.body) else 0.0
        if edge is not None and width > edge + _ROUNDING:
            raise StructureError(
                f"object {entry.object_id} is {width:.4g} Å wide and would meet its periodic images; allowed: "
                f"the edge of the cell, {edge:g} Å, or less"
            )

    def _clipped(self, body: Body) -> Body:
        height = body.positions[:, 2]
        if len(body) and not (height.min() >= 0 and height.max() <= self.cell[2]):
            raise StructureError(
                f"atoms of '{body.details.get('material')}' lie between {height.min():.4g} and {height.max():.4g} Å; "
                f"allowed: 0 to the height of the cell, {self.cell[2]:g} Å"
            )
        if self.periodic:
            return body
        lateral = body.positions[:, :2]
        return body.kept(np.all((lateral >= 0) & (lateral < self.cell[:2]), axis=1))
