"""Where particles go: beside each other in the plane, and down onto their substrate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.transforms import lateral_distances, wrap_laterally

FloatArray = NDArray[np.float64]

CLOSEST_CONTACT = 2.0
"""Smallest distance of a particle atom to a substrate atom [Å], about the length of an Au-C bond."""
WIDEST_CONTACT = 3.0
"""A particle rests when its nearest substrate atom is at most this far [Å]; below a van der Waals contact."""
_LOWERED_CONTACT = 2.5
"""Distance [Å] at which lowering a particle stops, between the two."""
_ATTEMPTS = 200
_SEARCH_DEPTH = 12.0
"""Substrate atoms further [Å] than this from the sphere cannot be the nearest of a particle near contact."""


def place_discs(
    radii: Sequence[float], field_of_view: float, gap: float, rng: np.random.Generator
) -> list[FloatArray | None]:
    """Uniformly random places of discs in the periodic plane, none of them overlapping.

    Each disc in turn is tried at up to 200 places. Discs apart by a gap are the projections of spheres that are apart
    by at least that gap at any height.

    Parameters
    ----------
    radii : sequence of float
        Radii [Å], placed in this order: the largest should come first.
    field_of_view : float
        Edge of the periodic plane [Å].
    gap : float
        Smallest gap between two discs [Å], also between a disc and its own periodic image.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    list of ndarray [2] or None
        Centres [Å] in [0, field_of_view); None for a disc without a free place.

    Raises
    ------
    StructureError
        If a disc is too large for the field however empty that is.
    """
    taken: list[FloatArray] = []
    clearances: list[float] = []
    places: list[FloatArray | None] = []
    for radius in radii:
        if 2 * radius + gap > field_of_view:
            raise StructureError(
                f"particles.radius is {radius:g} Å, but with particles.minimum_gap {gap:g} Å to its periodic image the "
                f"particle does not fit into field_of_view {field_of_view:g} Å; allowed: "
                f"{(field_of_view - gap) / 2:g} Å or less"
            )
        candidates = rng.random((_ATTEMPTS, 2)) * field_of_view
        free = np.ones(_ATTEMPTS, dtype=bool)
        for centre, clearance in zip(taken, clearances, strict=True):
            free &= lateral_distances(candidates, centre, field_of_view) >= clearance + radius
        if free.any():
            place = candidates[np.argmax(free)]
            taken.append(place)
            clearances.append(radius + gap)
            places.append(place)
        else:
            places.append(None)
    return places


def settle(
    particle: FloatArray, centre: FloatArray, radius: float, substrate: FloatArray, floor: float, field_of_view: float
) -> tuple[float, NDArray[np.bool_]]:
    """Clear a particle's room in the substrate and lower the particle until it rests.

    Substrate atoms inside the sphere, or closer than `CLOSEST_CONTACT` to a particle atom, are taken away. If the
    nearest one left is further than `WIDEST_CONTACT` the particle is lowered.

    Parameters
    ----------
    particle : ndarray [n, 3]
        Particle atoms relative to the centre of the sphere [Å].
    centre : ndarray [3]
        Where that is [Å].
    radius : float
        Radius of the sphere [Å].
    substrate : ndarray [m, 3]
        Substrate atoms [Å].
    floor : float
        Height of the lower face of the substrate [Å], below which no particle atom may go.
    field_of_view : float
        Edge of the periodic plane [Å].

    Returns
    -------
    drop : float
        How far the particle is lowered [Å].
    keep : ndarray, bool [m]
        The substrate atoms that stay.

    Raises
    ------
    StructureError
        If the particle finds nothing to rest on.
    """
    # The lateral positions stay the same while the particle is lowered, so one tree serves all heights.
    resting = wrap_laterally(particle + np.array([centre[0], centre[1], 0.0]), field_of_view)
    tree = cKDTree(resting, boxsize=[field_of_view, field_of_view, 0.0])
    keep = np.ones(len(substrate), dtype=bool)
    lateral = lateral_distances(substrate[:, :2], centre[:2], field_of_view)
    lowest = particle[:, 2].min()
    drop = 0.0
    while True:
        height = centre[2] - drop
        beside = np.hypot(lateral, substrate[:, 2] - height)
        near = np.flatnonzero(keep & (beside < radius + _SEARCH_DEPTH))
        distances = tree.query(substrate[near] - np.array([0.0, 0.0, height]))[0]
        stays = (beside[near] > radius) & (distances >= CLOSEST_CONTACT)
        keep[near[~stays]] = False
        gap = distances[stays].min() if stays.any() else np.inf
        if gap <= WIDEST_CONTACT:
            return drop, keep
        # Lowering by less than the excess cannot bring any pair closer than the contact aimed at.
        step = min(gap, _SEARCH_DEPTH) - _LOWERED_CONTACT
        room = height + lowest - floor
        if room < 1e-6:
            raise StructureError(
                f"a particle of radius {radius:g} Å finds no substrate atom within {WIDEST_CONTACT:g} Å to rest on; "
                "allowed: a larger substrate.thickness or substrate.density"
            )
        drop += min(step, room)
