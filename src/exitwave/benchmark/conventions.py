"""Masks that follow from a thickness, by what experts count as particle: docs/conventions.md.

Experts do not agree on where a particle ends. Whoever knows its thickness in every pixel can draw either mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum

from exitwave.benchmark.instances import find_instances
from exitwave.config.benchmarks import Convention

OUTLINE = 5.0
"""Thickness from which an outline counts [Å]: gold that turns the phase of electrons of 300 keV by 0.1 rad, as its mean
inner potential of about 30 V does at 0.0065 rad/(V nm). Networks that segment learn the outline from that phase on."""
HALF = 0.5
"""Share of its largest thickness from which a particle counts."""


def mask_of_thickness(
    thickness: NDArray[np.floating], pixel_size: float, convention: Convention, least: float = OUTLINE
) -> NDArray[np.bool_]:
    """Mask by a convention.

    Parameters
    ----------
    thickness : float array [H, W]
        Of the particles, along the beam [Å].
    pixel_size : float
        [Å]
    convention : str
        ``outline``: where they are at least ``least`` thick. ``half``: where each of the particles that
        `exitwave.benchmark.instances.find_instances` finds in that mask has half of its own largest thickness too.
    least : float
        [Å]

    Returns
    -------
    bool array [H, W]
    """
    outline = np.asarray(thickness >= least)
    if convention == "outline" or not outline.any():
        return outline
    particles = find_instances(outline, pixel_size)
    number = int(particles.max())
    # In place of the background no thickness is enough.
    largest = np.concatenate([[np.inf], maximum(thickness, particles, np.arange(1, number + 1))])
    return np.asarray(outline & (thickness >= HALF * largest[particles]))
