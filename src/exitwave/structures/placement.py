"""Where bodies go: beside each other in the plane, and down onto what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body
from exitwave.structures.contacts import box_around, distances_to, first_contact, in_box, in_solid
from exitwave.structures.transforms import lateral_distances

FloatArray = NDArray[np.float64]

CONTACT_TOLERANCE = 0.5
"""The nearest atoms of a body and of what it rests on are within this [Å] of the contact distance aimed at."""
_ATTEMPTS = 200
_PILE_TRIES = 6


def place_discs(
    radii: Sequence[float], field_of_view: float, gap: float, rng: np.random.Generator
) -> list[FloatArray | None]:
    """Uniformly random places of discs in the periodic plane, none of them overlapping.

    Each disc in turn is tried at up to 200 places. Bodies whose projections lie in discs that are apart by a gap are
    apart by at least that gap at any height.

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
        check_fits(radius, field_of_view, gap)
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


def check_fits(reach: float, field_of_view: float, gap: float) -> None:
    """Raise a StructureError if a body of lateral reach [Å] would come closer than a gap to its periodic image."""
    if 2 * reach + gap > field_of_view:
        raise StructureError(
            f"a particle reaches {reach:.4g} Å from its centre, but with particles.minimum_gap {gap:g} Å to its "
            f"periodic image it does not fit into field_of_view {field_of_view:g} Å; allowed: a smaller "
            f"particles.radius, or a field_of_view of {2 * reach + gap:.4g} Å or more"
        )


def place_pile(
    radii: Sequence[float], field_of_view: float, gap: float, rng: np.random.Generator
) -> list[FloatArray | None]:
    """Lateral places of an agglomerate: each ball touches or overlaps, in projection, one that was there before.

    Of six places, uniform over the disc in which a ball dropped from above meets a random earlier one, the
    one is taken at which it comes to lie lowest: a stand-in for rolling, without which piles become towers.

    Parameters and errors are those of `place_discs`; every ball finds a place.
    """
    places: list[FloatArray | None] = []
    taken, heights = np.empty((0, 2)), np.empty(0)
    for number, radius in enumerate(radii):
        check_fits(radius, field_of_view, gap)
        before = np.asarray(radii[:number])
        if number == 0:
            tried = rng.random((1, 2)) * field_of_view
        else:
            chosen = rng.integers(number, size=_PILE_TRIES)
            distance = (radius + before[chosen] + gap) * np.sqrt(rng.random(_PILE_TRIES))
            angle = rng.random(_PILE_TRIES) * 2 * np.pi
            tried = taken[chosen] + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        beside = lateral_distances(tried[:, None], taken, field_of_view)
        rise = (radius + before + gap) ** 2 - beside**2
        # On the ground, or on the highest of those that it meets.
        lies = np.where(rise > 0, heights + np.sqrt(np.maximum(rise, 0)), 0).max(axis=1, initial=radius)
        lowest = int(np.argmin(lies))
        taken = np.concatenate([taken, tried[lowest : lowest + 1] % field_of_view])
        heights = np.append(heights, lies[lowest])
        places.append(taken[-1])
    return places


def settle(
    body: Body,
    substrate: FloatArray,
    others: FloatArray,
    *,
    sink: float,
    contact: float,
    gap: float,
    field_of_view: float,
) -> tuple[float, NDArray[np.bool_]]:
    """Lower a body onto its substrate and other bodies, sink it into the substrate and clear its room there.

    The body comes down until it touches. It then sinks on, but not below the lowest atom of the substrate nor closer
    to other bodies. Substrate atoms in its way are taken out. If the nearest atom that is left is
    further than the contact distance and `CONTACT_TOLERANCE`, the body is lowered again.

    Parameters
    ----------
    body : Body
        Anywhere above the others.
    substrate : ndarray [m, 3]
        Substrate atoms [Å]; there may be none.
    others : ndarray [k, 3]
        Atoms of bodies that are settled already [Å].
    sink : float
        How far it sinks into the substrate below first contact [Å].
    contact : float
        Distance of atoms at contact with the substrate [Å].
    gap : float
        Smallest distance to atoms of other bodies [Å].
    field_of_view : float
        Edge of the periodic plane [Å].

    Returns
    -------
    drop : float
        How far the body is lowered [Å].
    keep : ndarray, bool [m]
        The substrate atoms that stay.

    Raises
    ------
    StructureError
        If the body finds nothing to rest on.
    """
    furthest = contact + CONTACT_TOLERANCE
    floor = substrate[:, 2].min() if len(substrate) else -np.inf
    # Only the substrate below and beside the body matters, and it stays there while the body is lowered.
    centre, half = box_around(body.positions, furthest)
    solid_centre, reach = body.solid.bounding_sphere()
    half[:2] = np.maximum(half[:2], np.abs(solid_centre - centre)[:2] + reach)
    half[2] = np.inf
    column = in_box(substrate, centre, half, field_of_view)
    substrate = substrate[column]
    stays = np.ones(len(substrate), dtype=bool)
    onto_others = first_contact(body.positions, others, gap, field_of_view)
    onto_substrate = first_contact(body.positions, substrate, contact, field_of_view)
    lowest = body.positions[:, 2].min() - floor
    drop = min(onto_others, min(onto_substrate + sink, max(lowest, onto_substrate)))
    while np.isfinite(drop):
        lowered = body.moved(translation=np.array([0.0, 0.0, -drop]))
        distances = distances_to(lowered, substrate, furthest, field_of_view)
        stays &= (distances >= contact - CONTACT_TOLERANCE) & ~in_solid(substrate, lowered, field_of_view)
        if drop >= onto_others or np.isfinite(distances[stays]).any():
            keep = ~column
            keep[column] = stays
            return drop, keep
        again = first_contact(lowered.positions, substrate[stays], contact, field_of_view)
        room = min(lowest, onto_others) - drop
        if room <= 1e-6 or again <= 1e-6:
            break
        drop += min(again, room)
    raise StructureError(
        f"a particle finds no atom within {furthest:g} Å to rest on; allowed: a smaller particles.embedding, or "
        "a larger substrate.thickness or substrate.density"
    )
