"""Layers of two-dimensional materials: as substrates, periodic in a square cell, and as islands."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import draw
from exitwave.config.structures import LayeredSubstrate
from exitwave.errors import StructureError
from exitwave.structures.amorphous import rough_profile
from exitwave.structures.body import Body, make_body
from exitwave.structures.crystal import Crystal
from exitwave.structures.faces import CrystalFace, bonds, crystal_face
from exitwave.structures.materials import layered_material_names, load_material
from exitwave.structures.shapes import platelet
from exitwave.structures.slabs import commensurate, commensurate_at_random, tiled
from exitwave.structures.transforms import axis_rotation, matrix_quaternion
from exitwave.structures.volumes import Polyhedron, Volume

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_MOST_LAYERS = 255
"""Layers are told apart by a number of one byte."""


def layered_slab(block: LayeredSubstrate, edge: float, rng: np.random.Generator) -> Body:
    """Layers of the config, laterally periodic: see `stacked_layers`.

    Parameters
    ----------
    block : LayeredSubstrate
        The substrate block of the config; what it leaves to chance is drawn here.
    edge : float
        Edge of the cell [Å].
    rng : Generator
        Source of all randomness.

    Raises
    ------
    StructureError
        If the material is not known or not layered, or no strain within the limit makes the layers periodic.
    """
    material = str(draw(block.material, rng))
    layers, twist, ripple = (draw(value, rng) for value in (block.layers, block.twist, block.ripple))
    return stacked_layers(
        load_material(material),
        int(layers),
        edge,
        rng,
        twist=float(twist),
        in_plane=None if block.in_plane is None else float(draw(block.in_plane, rng)),
        in_plane_search=block.in_plane_search,
        largest_strain=block.largest_strain,
        ripple=float(ripple),
        ripple_length=block.ripple_length,
    )


def stacked_layers(
    crystal: Crystal,
    layers: int,
    edge: float,
    rng: np.random.Generator,
    *,
    twist: float = 0.0,
    in_plane: float | None = None,
    in_plane_search: float = 3.0,
    largest_strain: float = 0.02,
    ripple: float = 0.0,
    ripple_length: float = 60.0,
) -> Body:
    """Layers of a crystal, exactly periodic in a square cell.

    Without a twist all layers share one strain and are stacked as in the crystal. With one, each layer is made
    periodic on its own, at the angle nearest to that aimed at which the strain allows; the angles made are in the
    details. Layers are as far apart as in the crystal, whatever the twist. Ripples lift all layers alike, straight
    upwards.

    Parameters
    ----------
    crystal : Crystal
        A layered crystal.
    layers : int
        Number of layers, from 1 to 255.
    edge : float
        Edge of the cell [Å].
    rng : Generator
        Source of all randomness: place, lowest layer, angle if none is given, ripples.
    twist : float
        Angle of each layer to the one below, over the crystal's own stacking [°].
    in_plane : float or None
        Angle of the shortest in-plane lattice vector of the lowest layer to x [°].
    in_plane_search : float
        How far an angle may be off [°]: the lowest layer is turned to lower the strain, the others as little as needed.
    largest_strain : float
        Largest principal strain allowed.
    ripple, ripple_length : float
        Root mean square and correlation length of the ripples [Å].

    Returns
    -------
    Body
        x and y in [0, edge), z from 0 up, by the ripples more or less; its grains are the layers, from below, its solid
        is the slab without ripples, laterally everywhere. Its details hold the ``thickness``, the ``strain`` (largest
        principal strain of any layer), ``in_plane`` (angle of the lowest layer [°]), ``twist`` (mean of those made [°])
        and ``angles`` (of all layers [°]).

    Raises
    ------
    StructureError
        If the crystal is not layered, the layers are too many, or no strain within the limit makes them periodic.
    """
    face = _layered_face(crystal, layers)
    lowest = commensurate_at_random(face.vectors, edge, in_plane, in_plane_search, largest_strain, rng)
    aims = lowest[2] + twist * np.arange(layers)
    # The least strain may be that of the layer below, and then there would be no twist.
    found = [lowest] + [
        commensurate(face.vectors, edge, aim, in_plane_search, largest_strain, prefer="angle") if twist else lowest
        for aim in aims[1:]
    ]
    angles = [float(aim + (angle - aim + 180) % 360 - 180) for aim, (_, _, angle, _) in zip(aims, found, strict=True)]

    sites, heights, numbers, layer = face.stack(int(rng.integers(face.layers)), layers)
    heights = heights - heights.min()
    shift = rng.random(2)
    parts, kinds = [], []
    for i, (supercell, _, _, _) in enumerate(found):
        places = tiled(sites[layer == i] + shift, supercell, edge)
        height = np.broadcast_to(heights[layer == i], places.shape[:2])
        parts.append(np.concatenate([places, height[..., None]], axis=2).reshape(-1, 3))
        kinds.append(np.tile(numbers[layer == i], len(places)))
    positions = np.concatenate(parts)
    if ripple > 0:
        positions[:, 2] += rough_profile(edge, ripple, ripple_length, rng)(positions[:, :2])
    thickness = float(heights.max())
    body = make_body(
        positions,
        np.concatenate(kinds),
        Polyhedron(np.array([[0.0, 0, 1], [0, 0, -1]]), np.array([thickness, 0.0])),
        crystal.name,
        layers=layers,
        thickness=thickness,
        twist=(angles[-1] - angles[0]) / max(layers - 1, 1),
        strain=max(strain for _, _, _, strain in found),
        in_plane=angles[0],
        angles=angles,
        ripple=ripple,
    )
    return replace(
        body,
        quaternion=matrix_quaternion(axis_rotation([0, 0, 1], angles[0]) @ face.rotation),
        grain=np.repeat(np.arange(layers, dtype=np.uint8), [len(part) for part in parts]),
    )


def island(crystal: Crystal, layers: int, outline: Literal["circle", "hexagon", "triangle"], radius: float) -> Body:
    """A few layers of a crystal within an outline.

    The edges of a hexagon and a triangle are along the zigzag direction, the shortest lattice vectors. Atoms that the
    outline leaves with less than half of their bonds are taken off, as they would not stay.

    Parameters
    ----------
    crystal : Crystal
        A layered crystal.
    layers : int
        Number of layers, from 1 to 255, stacked as in the crystal.
    outline : {'circle', 'hexagon', 'triangle'}
        Outline.
    radius : float
        Radius of a circle of the same area [Å].

    Returns
    -------
    Body
        Layers across z and about it, half of the height at the origin, the shortest lattice vector along x; grains are
        the layers, from below. Its solid is the prism, as high as the layers with half the gap to the next on either
        side. Its details hold ``layers``, ``outline`` and ``radius``.

    Raises
    ------
    StructureError
        If the crystal is not layered, the layers are too many, or no atom is left.
    """
    face = _layered_face(crystal, layers)
    sites, heights, numbers, layer = face.stack(0, layers)
    height = layers * face.repeat / face.layers
    heights = heights - (heights.min() + heights.max()) / 2
    solid = _prism(outline, radius, height)
    # Atoms around the outline too, to know which bonds it cuts: of a triangle this radius moves the edges by 0.78.
    wider = _prism(outline, radius + 3 * float(np.linalg.norm(face.vectors, axis=1).max()), height)

    reach = wider.bounding_sphere()[1]
    span = np.ceil(reach * np.linalg.norm(np.linalg.inv(face.vectors), axis=0)).astype(int) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in span], indexing="ij"), -1).reshape(-1, 1, 2)
    # Threefold axes of a layer go through its atoms: about one the outline cuts alike in three directions.
    places = (cells + (sites - sites[0]) % 1) @ face.vectors
    positions = np.concatenate([places, np.broadcast_to(heights[:, None], (*places.shape[:2], 1))], axis=2)
    around = wider.contains(positions)
    positions, (_, atoms) = positions[around], np.nonzero(around)
    kept = _without_loose_atoms(positions, layer[atoms], solid.contains(positions), crystal)
    if not kept.any():
        raise StructureError(
            f"particles.radius is {radius:g} Å for an island of {crystal.name}, which leaves no atom two bonds; "
            "allowed: a larger one"
        )
    body = make_body(
        positions[kept],
        numbers[atoms[kept]],
        solid,
        crystal.name,
        layers=layers,
        outline=outline,
        radius=float(radius),
    )
    return replace(body, quaternion=matrix_quaternion(face.rotation), grain=layer[atoms[kept]].astype(np.uint8))


def _prism(outline: Literal["circle", "hexagon", "triangle"], radius: float, height: float) -> Volume:
    """A prism about the origin, an edge along x, of the area of a circle of a radius and a height [Å]."""
    same_volume = float(np.cbrt(3 / 4 * radius**2 * height))
    return platelet([0, 0, 1], [1, 0, 0], same_volume, 2 * radius / height, outline)


def _without_loose_atoms(positions: FloatArray, layer: IntArray, inside: BoolArray, crystal: Crystal) -> BoolArray:
    """Which of the atoms [n] inside an outline stay, once all with less than half of their bonds are off."""
    first, second, _ = bonds(positions, crystal.nearest_neighbour_distance())
    within = layer[first] == layer[second]
    first, second = first[within], second[within]
    whole, kept = np.bincount(first, minlength=len(positions)), inside
    while True:
        left = np.bincount(first, weights=kept[second], minlength=len(positions))
        loose = kept & (2 * left < whole)
        if not loose.any():
            return kept
        kept = kept & ~loose


def _layered_face(crystal: Crystal, layers: int) -> CrystalFace:
    """The layers of a crystal, if it has any and not too many are wanted."""
    if crystal.layers == 0:
        raise StructureError(
            f"the material '{crystal.name}' does not consist of layers; allowed: {', '.join(layered_material_names())}"
        )
    if not 1 <= layers <= _MOST_LAYERS:
        raise StructureError(f"layers is {layers}; allowed: 1 to {_MOST_LAYERS}")
    return crystal_face(crystal, (0, 0, 1))
