"""Correlation tuned for places instead of numbers of disks.

The settings by which most disks are found are not those that say best where they are: strong smoothing finds weak
disks, and shifts all of them towards the brighter side. Who measures strain chooses others; so must who compares with
it. What counts is the lattice that is fitted to all disks found, false ones among them, as in a scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.correlation import Correlation, find_disks
from exitwave.benchmark.lattice import Lattice, find_lattice, fit_lattice
from exitwave.benchmark.strain import Strain, strain_of
from exitwave.errors import LatticeError
from exitwave.labels.reflections import FIELDS

Images = Sequence[NDArray[np.floating]]
_ROUNDS = 2
_TINY = 1e-9
_PLANE = 0.05
"""Distance of places from a lattice [px] up to which they are one."""
_GRID: dict[str, tuple[Any, ...]] = {
    "power": (0.9, 0.75, 0.6, 0.45, 0.3),
    "sigma": (0.5, 0.8, 1.2),
    "trench": (0.0, 1.4),
    "scale": ("sqrt", "log"),
    "least": (0.04, 0.075, 0.14),
}


def strain_error(strain: Strain) -> float:
    """Root of the mean square of the components of a strain that should be 0; NaN where it is undefined."""
    return float(np.sqrt((strain.xx**2 + strain.yy**2 + strain.xy**2) / 3))


def tuned_for_strain(
    patterns: Images, probes: Images, reflections: Sequence[NDArray[Any]], start: Correlation
) -> Correlation:
    """Correlation whose disks show the smallest strain of unstrained crystals.

    Parameters
    ----------
    patterns, probes : sequence of float [H, W]
        Examples.
    reflections : sequence of float [n, 9]
        Of each example, see :data:`exitwave.labels.reflections.FIELDS`.
    start : Correlation
        From which one setting after another is changed, twice.

    Returns
    -------
    Correlation
        With the smallest median of the error of strain; one that is undefined counts as infinite. Examples whose
        reflections are no plane lattice, such as those of most random orientations, say nothing.
    """
    told = [
        (pattern, probe, lattice)
        for pattern, probe, truth in zip(patterns, probes, reflections, strict=True)
        if (lattice := _lattice_of(truth)) is not None
    ]
    if not told:
        return start
    known: dict[Correlation, float] = {}

    def error(how: Correlation) -> float:
        if how not in known:
            errors = [_error(find_disks(pattern, probe, how), lattice) for pattern, probe, lattice in told]
            known[how] = float(np.median(np.where(np.isfinite(errors), errors, np.inf)))
        return known[how]

    how = start
    for _ in range(_ROUNDS):
        for name, values in _GRID.items():
            # The first of equal ones stays, so that nothing is changed for nothing.
            how = min([how, *(replace(how, **{name: value}) for value in values)], key=error)
    return how


def _lattice_of(reflections: NDArray[Any]) -> Lattice | None:
    """Lattice of the true places of disks; none where they have no common one."""
    places = np.column_stack([reflections[:, :2], reflections[:, FIELDS.index("structure_factor")] + _TINY])
    try:
        lattice = fit_lattice(places, find_lattice(places))
    except LatticeError:
        return None
    return lattice if lattice.residual < _PLANE else None


def _error(disks: NDArray[np.float64], true: Lattice) -> float:
    """Error of the strain of the lattice of some disks; infinite where none fits."""
    try:
        return strain_error(strain_of(fit_lattice(disks, true).vectors, true.vectors))
    except LatticeError:
        return float("inf")
