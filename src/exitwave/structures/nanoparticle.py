"""Nanoparticles: spheres cut from a crystal, with planar defects through them, in a random orientation.

Planar defects are described by the stacking of the close-packed layers, {111} in fcc and (0001) in wurtzite, as the
sequence of steps from each layer to the next, +s or -s (the Nabarro-Frank notation: triangles up and down; J. P. Hirth
and J. Lothe, Theory of Dislocations (1982), ch. 10). A step is never zero, so no two neighbouring layers lie atop each
other. With a defect at layer k,

* ``twin`` inverts every step from k on: the crystal above is rotated by 180° about the normal. In fcc that is the
  coherent mirror twin about layer k, ABCABACBA. In wurtzite, whose polarity forbids a basal mirror twin, it is the
  growth fault I1, ABABCBCB.
* ``stacking_fault`` inverts the one step from k to k + 1: the crystal above is displaced by one Shockley partial. In
  fcc that is the intrinsic fault, ABCABABCA with a displacement of a/6 <112>; in wurtzite the deformation fault I2,
  ABABCACA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.materials import ClosePackedStacking, Crystal
from exitwave.structures.transforms import random_quaternion, rotation_matrix

FloatArray = NDArray[np.float64]

_DEEPEST_DEFECT = 0.8
"""Defects lie within this fraction of the radius from the centre, so that both sides are more than a cap."""


@dataclass(frozen=True)
class PlanarDefect:
    """A planar defect: its kind, the unit normal [3] of its plane and the point [3] of it nearest to the centre [Å]."""

    kind: str
    normal: FloatArray
    point: FloatArray


@dataclass(frozen=True)
class Nanoparticle:
    """A particle about the origin.

    Attributes
    ----------
    positions : ndarray [n, 3]
        Positions [Å] relative to the centre of the sphere.
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    material : str
        Name of the crystal.
    radius : float
        Radius of the sphere that holds the centres of the atoms [Å].
    quaternion : ndarray [4]
        Rotation (x, y, z, w) from the frame of the crystal to that of the particle.
    defects : tuple of PlanarDefect
        Planar defects, in the frame of the particle.
    """

    positions: FloatArray
    numbers: NDArray[np.uint8]
    material: str
    radius: float
    quaternion: FloatArray
    defects: tuple[PlanarDefect, ...]


def make_nanoparticle(
    crystal: Crystal, radius: float, defect_kinds: Sequence[str], rng: np.random.Generator
) -> Nanoparticle:
    """Cut a sphere about a random point of the unit cell, with planar defects, and rotate it at random.

    Parameters
    ----------
    crystal : Crystal
        What it is cut from.
    radius : float
        Radius [Å].
    defect_kinds : sequence of {'twin', 'stacking_fault'}
        Planar defects wanted. They are parallel, on distinct layers at least two apart; as many as fit are made,
        the first ones of the sequence.
    rng : Generator
        Source of all randomness.

    Raises
    ------
    StructureError
        If the sphere holds no atom, or defects are wanted in a crystal without known planes.
    """
    centre = rng.random(3) @ crystal.cell
    defects: tuple[PlanarDefect, ...] = ()
    if not defect_kinds:
        positions, numbers = cut_sphere(crystal, centre, radius)
    elif crystal.stacking is None:
        raise StructureError(
            f"particles.planar_defects.number is {len(defect_kinds)} for '{crystal.name}', but the planes of defects "
            "are known only for materials of the library; allowed: 0"
        )
    else:
        layers = _draw_defect_layers(crystal.stacking, centre, radius, len(defect_kinds), rng)
        faults = dict(zip((int(k) for k in rng.permutation(layers)), defect_kinds, strict=False))
        positions, numbers = cut_stack(crystal.stacking, faults, centre, radius)
        defects = _describe(crystal.stacking, faults, centre)
    if len(positions) == 0:
        raise StructureError(
            f"particles.radius is {radius:g} Å, but a sphere of that radius cut from '{crystal.name}' holds no atom; "
            "allowed: a radius of at least the distance of nearest neighbours, "
            f"{crystal.nearest_neighbour_distance():.3g} Å"
        )
    quaternion = random_quaternion(rng)
    rotation = rotation_matrix(quaternion)
    return Nanoparticle(
        positions @ rotation.T,
        numbers,
        crystal.name,
        radius,
        quaternion,
        tuple(PlanarDefect(d.kind, rotation @ d.normal, rotation @ d.point) for d in defects),
    )


def cut_sphere(crystal: Crystal, centre: FloatArray, radius: float) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Atoms of a perfect crystal within a sphere.

    Parameters
    ----------
    crystal : Crystal
        A crystal with a cell of any shape.
    centre : ndarray [3]
        Centre of the sphere in the Cartesian frame of the crystal [Å].
    radius : float
        Radius [Å].

    Returns
    -------
    positions : ndarray [n, 3]
        Positions relative to the centre [Å].
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    """
    inverse = np.linalg.inv(crystal.cell)
    middle = centre @ inverse
    # Column i of the inverse is the reciprocal vector whose length is one over the spacing of the planes of cells.
    reach = radius * np.linalg.norm(inverse, axis=0)
    low = np.floor(middle - reach).astype(int) - 1
    high = np.ceil(middle + reach).astype(int) + 1
    cells = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), -1)
    positions = ((cells.reshape(-1, 1, 3) + crystal.fractional) @ crystal.cell - centre).reshape(-1, 3)
    inside = np.einsum("ij,ij->i", positions, positions) <= radius**2
    return positions[inside], np.tile(crystal.numbers, len(positions) // len(crystal.numbers))[inside]


def cut_stack(
    stacking: ClosePackedStacking, faults: dict[int, str], centre: FloatArray, radius: float
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Atoms of a stack of layers with faults, within a sphere.

    Parameters
    ----------
    stacking : ClosePackedStacking
        The perfect crystal.
    faults : dict
        Kind of defect by the index of its layer, counted from the one through ``stacking.origin``.
    centre, radius
        As in `cut_sphere`, with equal returns.
    """
    height = (centre - stacking.origin) @ stacking.normal
    first = int(np.floor((height - radius - stacking.heights.max()) / stacking.spacing))
    last = int(np.ceil((height + radius) / stacking.spacing))
    net = stacking.in_plane
    to_net = np.linalg.pinv(net)  # [3, 2]: in-plane Cartesian vectors to coordinates of the net
    reach = np.ceil(radius * np.linalg.norm(to_net, axis=0)).astype(int) + 2
    points = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1).reshape(-1, 2)
    steps = stacking_steps(stacking, faults, first, last)
    positions, numbers = [], []
    for layer, step in zip(range(first, last + 1), steps, strict=True):
        corner = stacking.origin + layer * stacking.spacing * stacking.normal + step * stacking.shift - centre
        # Bring the point of the net nearest to the axis of the sphere into its middle.
        offset = corner - np.round(corner @ to_net) @ net
        sites = points @ net + offset
        for above, number in zip(stacking.heights, stacking.numbers, strict=True):
            atoms = sites + above * stacking.normal
            atoms = atoms[np.einsum("ij,ij->i", atoms, atoms) <= radius**2]
            positions.append(atoms)
            numbers.append(np.full(len(atoms), number, dtype=np.uint8))
    return np.concatenate(positions), np.concatenate(numbers)


def stacking_steps(stacking: ClosePackedStacking, faults: dict[int, str], first: int, last: int) -> NDArray[np.int64]:
    """Sums of stacking signs below the layers from ``first`` to ``last``, from layer 0 of the perfect crystal on."""
    gaps = np.arange(first, last)
    signs = np.array(stacking.signs)[gaps % len(stacking.signs)]
    for layer, kind in faults.items():
        signs = np.where(gaps >= layer if kind == "twin" else gaps == layer, -signs, signs)
    # The layers below the lowest fault stay in their perfect places.
    below = np.array(stacking.signs)[np.arange(min(first, 0), max(first, 0)) % len(stacking.signs)].sum()
    start = below if first >= 0 else -below
    return np.asarray(start + np.concatenate([[0], np.cumsum(signs)]), dtype=np.int64)


def _draw_defect_layers(
    stacking: ClosePackedStacking, centre: FloatArray, radius: float, wanted: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Layers of up to ``wanted`` defects, at least two apart and clear of the poles of the sphere."""
    height = (centre - stacking.origin) @ stacking.normal / stacking.spacing
    reach = min(_DEEPEST_DEFECT * radius, radius - 1.5 * stacking.spacing) / stacking.spacing
    if reach < 0:
        return np.empty(0, dtype=np.int64)
    # The middle of the step lies inside too, half a layer above: a stacking fault is there.
    low, high = int(np.ceil(height - reach)), int(np.floor(height + reach - 0.5))
    candidates = max(0, high - low + 1)
    number = min(wanted, (candidates + 1) // 2)
    if number == 0:
        return np.empty(0, dtype=np.int64)
    # Every set of layers at least two apart is one choice out of fewer candidates, spread by one each.
    chosen = np.sort(rng.choice(candidates - number + 1, size=number, replace=False))
    return np.asarray(low + chosen + np.arange(number), dtype=np.int64)


def _describe(stacking: ClosePackedStacking, faults: dict[int, str], centre: FloatArray) -> tuple[PlanarDefect, ...]:
    height = (centre - stacking.origin) @ stacking.normal
    described = []
    for layer, kind in sorted(faults.items()):
        plane = (layer if kind == "twin" else layer + 0.5) * stacking.spacing
        described.append(PlanarDefect(kind, stacking.normal, (plane - height) * stacking.normal))
    return tuple(described)
