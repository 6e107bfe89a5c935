"""Recipes: from a structures block of the config to the atoms of one item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from exitwave.config.distributions import draw
from exitwave.config.structures import (
    AmorphousSubstrate,
    CrystallineSubstrate,
    LayeredSubstrate,
    NanoparticlesOnSubstrate,
)
from exitwave.errors import StructureError
from exitwave.structures.amorphous import amorphous_slab
from exitwave.structures.body import Body
from exitwave.structures.contacts import contact_along, distances_to, first_contact
from exitwave.structures.layers import layered_slab
from exitwave.structures.particles import make_particle
from exitwave.structures.placement import (
    CONTACT_TOLERANCE,
    place_discs,
    place_pile,
    settle,
)
from exitwave.structures.scene import Scene
from exitwave.structures.slabs import crystal_slab
from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]

_SHADOW_RADIUS = 1.5
"""Radius [Å] of the disc that an atom covers in the projected area, about half a distance of neighbours in a metal."""
_SHADOW_PIXEL = 0.5


def build_structure(block: NanoparticlesOnSubstrate, rng: np.random.Generator) -> Structure:
    """Nanoparticles at random places on a substrate that is different in every structure.

    The largest particle is placed first. Dispersed particles lie side by side: one for which 200 random places are all
    taken is left out. Of an agglomerate each particle is dropped beside or onto the ones before. A particle comes
    down until it touches, sinks into the substrate by ``particles.embedding`` of its radius, and substrate atoms in its
    way are taken out (`exitwave.structures.placement.settle`). The lowest atom of the substrate is at the height
    ``block.vacuum``. Without a substrate dispersed particles have their centres at one height.

    Parameters
    ----------
    block : NanoparticlesOnSubstrate
        The structures block of the config.
    rng : Generator
        Source of all randomness: the same state gives the same bytes.

    Returns
    -------
    Structure
        Its metadata are what was drawn and made, described in `exitwave.data.columns`; ``particles`` is a JSON list
        with all that was drawn of every particle, its centre [Å], quaternion (x, y, z, w; crystal to cell) and planar
        defects (kind, unit normal, point of the plane, in cell coordinates).

    Raises
    ------
    StructureError
        If the structure cannot be built as described.
    """
    number = int(draw(block.particles.number, rng))
    drawn = [make_particle(block.particles, rng) for _ in range(number)]
    drawn.sort(key=_reach, reverse=True)
    places = _places(block, drawn, rng)
    particles = [body for body, place in zip(drawn, places, strict=True) if place is not None]
    placed = [place for place in places if place is not None]
    substrate = None if block.substrate is None else _substrate(block.substrate, block.field_of_view, rng)
    if substrate is not None:
        low = substrate.positions[:, 2].min()
        substrate = substrate.moved(translation=np.array([0.0, 0.0, block.vacuum - low]))
        particles, substrate = _rest_on_substrate(block, particles, placed, substrate, rng)
    else:
        particles = _in_vacuum(block, particles, placed)
    return _assemble(block, particles, substrate, number)


def _reach(body: Body) -> float:
    """Lateral reach of a body about its origin [Å]."""
    return float(np.hypot(body.positions[:, 0], body.positions[:, 1]).max())


def _substrate(
    block: AmorphousSubstrate | CrystallineSubstrate | LayeredSubstrate, edge: float, rng: np.random.Generator
) -> Body:
    """A slab, laterally periodic."""
    if isinstance(block, AmorphousSubstrate):
        return amorphous_slab(block, edge, rng)
    if isinstance(block, CrystallineSubstrate):
        return crystal_slab(block, edge, rng)
    return layered_slab(block, edge, rng)


def _places(block: NanoparticlesOnSubstrate, bodies: list[Body], rng: np.random.Generator) -> list[FloatArray | None]:
    """Lateral places [2] of the bodies; None for one that finds none."""
    place = place_discs if block.particles.arrangement == "dispersed" else place_pile
    return place([_reach(body) for body in bodies], block.field_of_view, block.particles.minimum_gap, rng)


def _in_vacuum(block: NanoparticlesOnSubstrate, bodies: list[Body], places: list[FloatArray]) -> list[Body]:
    """Particles beside each other at one height, or dropped onto each other."""
    gap = block.particles.minimum_gap
    settled: list[Body] = []
    obstacles = np.empty((0, 3))
    for body, place in zip(bodies, places, strict=True):
        moved = body.moved(translation=np.array([place[0], place[1], 0.0]))
        if block.particles.arrangement == "agglomerate" and settled:
            above = obstacles[:, 2].max() - moved.positions[:, 2].min() + gap
            moved = moved.moved(translation=np.array([0.0, 0.0, above]))
            drop = first_contact(moved.positions, obstacles, gap, block.field_of_view)
            # One that would fall past all others comes to lie beside them.
            moved = moved.moved(translation=np.array([0.0, 0.0, -min(drop, above)]))
            moved = _drawn_near(moved, settled, obstacles, gap, block.field_of_view)
        settled.append(moved)
        obstacles = np.concatenate([obstacles, moved.positions])
    lowest = obstacles[:, 2].min(initial=np.inf)
    return [body.moved(translation=np.array([0.0, 0.0, block.vacuum - lowest])) for body in settled]


def _drawn_near(body: Body, others: list[Body], obstacles: FloatArray, gap: float, field_of_view: float) -> Body:
    """A body that touches nothing, moved up to others, whose atoms are the obstacles, towards the nearest of them."""
    if np.isfinite(distances_to(body, obstacles, gap + CONTACT_TOLERANCE, field_of_view)).any():
        return body
    ways = np.array([other.origin - body.origin for other in others])
    ways[:, :2] -= field_of_view * np.round(ways[:, :2] / field_of_view)
    lengths = np.linalg.norm(ways, axis=1)
    nearest = int(np.argmin(lengths - [_reach(other) for other in others]))
    direction = ways[nearest] / lengths[nearest]
    way = contact_along(body.positions, obstacles, direction, gap, field_of_view)
    return body.moved(translation=way * direction) if np.isfinite(way) else body


def _rest_on_substrate(
    block: NanoparticlesOnSubstrate,
    bodies: list[Body],
    places: list[FloatArray],
    substrate: Body,
    rng: np.random.Generator,
) -> tuple[list[Body], Body]:
    """Set the height of every particle; returns them and the substrate that is left."""
    gap = block.particles.minimum_gap
    top = substrate.positions[:, 2].max()
    settled: list[Body] = []
    for body, place in zip(bodies, places, strict=True):
        highest = max([top, *[other.positions[:, 2].max() for other in settled]])
        height = highest - body.positions[:, 2].min() + gap + block.particles.contact
        settled.append(body.moved(translation=np.array([place[0], place[1], height])))
        embedding = float(draw(block.embedding(), rng))
        settled[-1] = settled[-1].with_details(embedding=embedding)
        sink = embedding * body.details["radius"]
        settled[-1], substrate = _settled(block, settled[-1], settled[:-1], substrate, sink)
    # A particle may take away what another rested on, so all but the one that came last are looked at again.
    latest, unchecked = len(settled) - 1, set(range(len(settled)))
    while unchecked := unchecked - {latest}:
        number = min(unchecked)
        unchecked.discard(number)
        others = settled[:number] + settled[number + 1 :]
        if not _rests(block, settled[number], others, substrate):
            settled[number], substrate = _settled(block, settled[number], others, substrate, 0.0)
            latest, unchecked = number, set(range(len(settled)))
    return settled, substrate


def _settled(
    block: NanoparticlesOnSubstrate, body: Body, others: list[Body], substrate: Body, sink: float
) -> tuple[Body, Body]:
    """One particle lowered to rest, and the substrate that is left."""
    drop, keep = settle(
        body,
        substrate.positions,
        np.concatenate([np.empty((0, 3)), *[other.positions for other in others]]),
        sink=sink,
        contact=block.particles.contact,
        gap=block.particles.minimum_gap,
        field_of_view=block.field_of_view,
    )
    return body.moved(translation=np.array([0.0, 0.0, -drop])), substrate.kept(keep)


def _rests(block: NanoparticlesOnSubstrate, body: Body, others: list[Body], substrate: Body) -> bool:
    gap = block.particles.minimum_gap
    within = block.particles.contact + CONTACT_TOLERANCE
    touched = [(substrate, within), *[(other, gap + CONTACT_TOLERANCE) for other in others]]
    return any(
        np.isfinite(distances_to(body, other.positions, reach, block.field_of_view)).any() for other, reach in touched
    )


def _assemble(block: NanoparticlesOnSubstrate, particles: list[Body], substrate: Body | None, drawn: int) -> Structure:
    """The scene of particles and substrate, with its metadata."""
    bodies = [*particles, *([] if substrate is None else [substrate])]
    # Without any, vacuum alone: an image of the illumination and the camera.
    top = max((body.positions[:, 2].max() for body in bodies), default=block.vacuum)
    height = float(top) + block.vacuum if block.cell_height is None else block.cell_height
    if height < top + block.vacuum - 1e-6:
        raise StructureError(
            f"cell_height is {height:g} Å, but this structure reaches {top:.4g} Å and needs vacuum above; "
            f"allowed: {top + block.vacuum:.4g} Å or more"
        )
    edge = block.field_of_view
    closest = min(block.particles.contact - CONTACT_TOLERANCE, block.particles.minimum_gap)
    scene = Scene(np.array([edge, edge, height]))
    if substrate is not None:
        scene.add(substrate, minimum_distance=closest, object_id=0)
    for number, body in enumerate(particles, start=1):
        # Room in the substrate is made already. With one precedence for all, the scene checks that it is.
        scene.add(body, minimum_distance=closest, object_id=number)
    structure = scene.structure()
    return replace(
        structure,
        metadata={
            **_particle_metadata(particles, drawn),
            **_substrate_metadata(substrate),
            "cell_height": float(height),
            "n_atoms_substrate": int((structure.object_id == 0).sum()) if substrate is not None else 0,
            "n_atoms_particles": len(structure.only_particles().numbers),
            "projected_area": _projected_area(structure),
            "content_hash": structure.content_hash(),
        },
    )


def _substrate_metadata(substrate: Body | None) -> dict[str, Any]:
    details: Mapping[str, Any] = {"material": "", "thickness": 0.0} if substrate is None else substrate.details
    missing = float("nan")
    return {
        "substrate": details["material"],
        "substrate_thickness": float(details["thickness"]),
        **{
            f"substrate_{key}": float(details.get(key, missing))
            for key in ("density", "roughness", "strain", "in_plane", "layers", "twist")
        },
    }


def _particle_metadata(particles: list[Body], drawn: int) -> dict[str, Any]:
    details = [body.details for body in particles]
    radii = [detail["radius"] for detail in details] or [float("nan")]
    largest: Mapping[str, Any] = details[int(np.argmax(radii))] if details else {}

    def mean(key: str) -> float:
        return float(np.mean([detail.get(key, 0.0) for detail in details])) if details else float("nan")

    return {
        "material": ",".join(sorted({detail["material"] for detail in details})),
        "shape": ",".join(sorted({detail["shape"] for detail in details})),
        "particles_drawn": drawn,
        "particles_placed": len(particles),
        "radius_mean": float(np.mean(radii)),
        "radius_min": float(min(radii)),
        "radius_max": float(max(radii)),
        "planar_defects": sum(len(body.defects) for body in particles),
        "domains": max([_domains(body) for body in particles], default=0),
        "shell_thickness": mean("shell_thickness"),
        "vacancies": mean("vacancies"),
        "ligands": sum(detail.get("ligands", 0) for detail in details),
        "zone_axis": " ".join(str(index) for index in largest.get("zone_axis", [])),
        "zone_axis_tilt": float(largest.get("zone_axis_tilt", float("nan"))),
        "particles": json.dumps([_described(body) for body in particles]),
    }


def _domains(body: Body) -> int:
    """Domains of a particle: grains, twins, layers, core and shell."""
    return len(np.unique(body.grain))


def _described(body: Body) -> dict[str, Any]:
    """All that is known of a particle, in the coordinates of the cell."""
    return {
        **body.details,
        "n_atoms": len(body),
        "domains": _domains(body),
        "center": body.origin.tolist(),
        "quaternion": body.quaternion.tolist(),
        "defects": [
            {"kind": defect.kind, "normal": defect.normal.tolist(), "point": defect.point.tolist()}
            for defect in body.defects
        ],
    }


def _projected_area(structure: Structure) -> float:
    """Area [Å²] that the particles cover as seen along the beam, counted once where they overlap."""
    particles = structure.only_particles().positions[:, :2]
    pixels = max(1, round(structure.cell[0] / _SHADOW_PIXEL))
    pixel = structure.cell[0] / pixels
    free = np.ones((pixels, pixels), dtype=bool)
    index = (particles / pixel).astype(int) % pixels
    free[index[:, 0], index[:, 1]] = False
    if free.all():
        return 0.0
    margin = int(np.ceil(_SHADOW_RADIUS / pixel)) + 1
    distance = ndimage.distance_transform_edt(np.pad(free, margin, mode="wrap"))
    inner = distance[margin:-margin, margin:-margin]
    return float((inner * pixel <= _SHADOW_RADIUS).sum() * pixel**2)
