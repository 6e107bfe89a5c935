"""Correlation tuned for places instead of numbers of disks.

The settings by which most disks are found are not those that say best where they are: strong smoothing finds weak
disks, and shifts all of them towards the brighter side. Who measures strain chooses others; so must who compares with
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.correlation import Correlation, find_disks
from exitwave.benchmark.matching import match_disks
from exitwave.benchmark.strain import Strain

Images = Sequence[NDArray[np.floating]]
_ROUNDS = 2
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
    patterns: Images, probes: Images, reflections: Sequence[NDArray[Any]], match_px: float, start: Correlation
) -> Correlation:
    """Correlation whose disks show the smallest strain of unstrained crystals.

    Parameters
    ----------
    patterns, probes : sequence of float [H, W]
        Examples.
    reflections : sequence of float [n, 9]
        Of each example, see :data:`exitwave.labels.reflections.FIELDS`.
    match_px : float
        Largest distance of a disk from its reflection [px].
    start : Correlation
        From which one setting after another is changed, twice.

    Returns
    -------
    Correlation
        With the smallest median of the error of strain; one that is undefined counts as infinite.
    """
    known: dict[Correlation, float] = {}

    def error(how: Correlation) -> float:
        if how not in known:
            errors = [
                strain_error(match_disks(find_disks(pattern, probe, how), truth, match_px).strain)
                for pattern, probe, truth in zip(patterns, probes, reflections, strict=True)
            ]
            known[how] = float(np.median(np.where(np.isfinite(errors), errors, np.inf)))
        return known[how]

    how = start
    for _ in range(_ROUNDS):
        for name, values in _GRID.items():
            # The first of equal ones stays, so that nothing is changed for nothing.
            how = min([how, *(replace(how, **{name: value}) for value in values)], key=error)
    return how
