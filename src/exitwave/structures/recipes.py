"""Recipes: from a structures block of the config to the atoms of one item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.blocks import NanoparticlesOnSubstrate, Particles
from exitwave.config.distributions import draw
from exitwave.errors import StructureError
from exitwave.structures.amorphous import CARBON_NUMBER, amorphous_carbon
from exitwave.structures.materials import load_material
from exitwave.structures.nanoparticle import Nanoparticle, make_nanoparticle
from exitwave.structures.placement import place_discs, settle
from exitwave.structures.structure import Structure
from exitwave.structures.transforms import wrap_laterally

FloatArray = NDArray[np.float64]

_MOST_PARTICLES = 255


@dataclass
class _Placed:
    particle: Nanoparticle
    centre: FloatArray


def build_structure(block: NanoparticlesOnSubstrate, rng: np.random.Generator) -> Structure:
    """Nanoparticles at random places on an amorphous slab that is different in every structure.

    The largest particle is placed first. A particle for which 200 random places are all taken is left out. The slab
    begins at the height ``block.vacuum``; a particle is sunk into its upper face by ``particles.embedding`` of its
    radius, at most to the lower face of the slab, substrate atoms in its way are taken out, and it is lowered until it
    touches the substrate (`exitwave.structures.placement.settle`). Without a substrate all centres are at one height.

    Parameters
    ----------
    block : NanoparticlesOnSubstrate
        The structures block of the config.
    rng : Generator
        Source of all randomness: the same state gives the same bytes.

    Returns
    -------
    Structure
        Its metadata are what was drawn: ``material`` (distinct names, comma-joined), ``particles_drawn``,
        ``particles_placed``, ``radius_mean``, ``radius_min``, ``radius_max`` (of the placed ones; nan if none),
        ``planar_defects`` (made, in all particles), ``substrate_thickness``, ``substrate_density`` (0 and nan without
        substrate), ``cell_height``, ``n_atoms_substrate``, ``n_atoms_particles`` and ``particles``, a JSON list with
        the material, radius, centre, quaternion (x, y, z, w; crystal to cell) and planar defects (kind, unit normal,
        point of the plane nearest to the centre, in cell coordinates) of every particle.

    Raises
    ------
    StructureError
        If the structure cannot be built as described.
    """
    drawn, placed = _draw_particles(block, rng)
    thickness, density, substrate = 0.0, float("nan"), np.empty((0, 3))
    if block.substrate is not None:
        thickness, density = float(draw(block.substrate.thickness, rng)), block.substrate.density
        substrate = amorphous_carbon(block.field_of_view, thickness, density, block.substrate.minimum_distance, rng)
        substrate[:, 2] += block.vacuum
        substrate = _rest_on_substrate(block, placed, substrate, thickness, rng)
    else:
        for item in placed:
            item.centre[2] = block.vacuum + max(other.particle.radius for other in placed)

    atoms = [item.particle.positions + item.centre for item in placed]
    positions = wrap_laterally(np.concatenate([substrate, *atoms]), block.field_of_view)
    numbers = np.concatenate(
        [np.full(len(substrate), CARBON_NUMBER, dtype=np.uint8), *[item.particle.numbers for item in placed]]
    )
    counts = [len(substrate), *[len(part) for part in atoms]]
    tops = [block.vacuum + thickness, *[item.centre[2] + item.particle.radius for item in placed]]
    height = max(tops) + block.vacuum if block.cell_height is None else block.cell_height
    if height < max(tops) + block.vacuum - 1e-6:
        raise StructureError(
            f"cell_height is {height:g} Å, but this structure reaches {max(tops):g} Å and needs vacuum above; "
            f"allowed: {max(tops) + block.vacuum:g} Å or more"
        )
    return Structure(
        positions=positions,
        numbers=numbers,
        object_id=np.repeat(np.arange(len(counts), dtype=np.uint8), counts),
        cell=np.array([block.field_of_view, block.field_of_view, height]),
        metadata={
            **_particle_metadata(placed, drawn),
            "substrate_thickness": thickness,
            "substrate_density": density,
            "cell_height": float(height),
            "n_atoms_substrate": counts[0],
            "n_atoms_particles": sum(counts[1:]),
        },
    )


def _draw_particles(block: NanoparticlesOnSubstrate, rng: np.random.Generator) -> tuple[int, list[_Placed]]:
    """Number drawn, and the particles that found a place, the largest first, with their height left open."""
    particles = block.particles
    number = int(draw(particles.number, rng))
    if number > _MOST_PARTICLES:
        raise StructureError(f"particles.number is {number}; allowed: {_MOST_PARTICLES} or less")
    sizes = [(float(draw(particles.radius, rng)), str(draw(particles.material, rng))) for _ in range(number)]
    sizes.sort(key=lambda size: -size[0])
    places = place_discs([radius for radius, _ in sizes], block.field_of_view, particles.minimum_gap, rng)
    crystals = {material: load_material(material) for _, material in sizes}
    return number, [
        _Placed(
            make_nanoparticle(crystals[material], radius, _draw_defects(particles, rng), rng),
            np.array([place[0], place[1], 0.0]),
        )
        for (radius, material), place in zip(sizes, places, strict=True)
        if place is not None
    ]


def _draw_defects(particles: Particles, rng: np.random.Generator) -> list[str]:
    kinds = particles.planar_defects.kinds
    return [kinds[int(rng.integers(len(kinds)))] for _ in range(int(draw(particles.planar_defects.number, rng)))]


def _rest_on_substrate(
    block: NanoparticlesOnSubstrate,
    placed: list[_Placed],
    substrate: FloatArray,
    thickness: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Set the height of every particle; returns the substrate atoms that are left."""
    upper_face = block.vacuum + thickness
    for item in placed:
        radius = item.particle.radius
        depth = min(float(draw(block.particles.embedding, rng)) * radius, thickness)
        item.centre[2] = upper_face + radius - depth
    # A particle may take away what its neighbour rested on, so all are looked at until none moves.
    moved = True
    while moved:
        moved = False
        for item in placed:
            drop, keep = settle(
                item.particle.positions,
                item.centre,
                item.particle.radius,
                substrate,
                block.vacuum,
                block.field_of_view,
            )
            item.centre[2] -= drop
            moved |= drop > 0 or not keep.all()
            substrate = substrate[keep]
    return substrate


def _particle_metadata(placed: list[_Placed], drawn: int) -> dict[str, Any]:
    radii = [item.particle.radius for item in placed] or [float("nan")]
    return {
        "material": ",".join(sorted({item.particle.material for item in placed})),
        "particles_drawn": drawn,
        "particles_placed": len(placed),
        "radius_mean": float(np.mean(radii)),
        "radius_min": float(min(radii)),
        "radius_max": float(max(radii)),
        "planar_defects": sum(len(item.particle.defects) for item in placed),
        "particles": json.dumps(
            [
                {
                    "material": item.particle.material,
                    "radius": item.particle.radius,
                    "center": item.centre.tolist(),
                    "quaternion": item.particle.quaternion.tolist(),
                    "defects": [
                        {
                            "kind": defect.kind,
                            "normal": defect.normal.tolist(),
                            "point": (defect.point + item.centre).tolist(),
                        }
                        for defect in item.particle.defects
                    ],
                }
                for item in placed
            ]
        ),
    }
