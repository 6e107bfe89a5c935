"""Planar defects: crystals as stacks of close-packed layers, and solids cut from stacks with faults.

The layers are {111} of face-centred cubic metals, diamond and zinc blende, and (0001) of hexagonal close-packed metals
and wurtzite; in a compound or diamond a layer is the pair of planes joined by the bonds along the normal. The stacking
is a sequence of steps from each layer to the next, +s or -s (the Nabarro-Frank notation: triangles up and down;
J. P. Hirth and J. Lothe, Theory of Dislocations (1982), ch. 10): always + is ABC, + and - in turn is AB. A step is
never zero, so no two neighbouring layers lie atop each other and every bond keeps its length. With a defect at layer k,

* ``twin`` inverts every step from k on: the crystal above is turned by 180° about the normal. In fcc and diamond that
  is the coherent twin, a mirror through the middle of layer k, ABCABACBA; in zinc blende, whose polarity forbids the
  mirror, the rotation twin of the same sequence. In hcp and wurtzite it is the growth fault I1, ABABCBCB.
* ``stacking_fault`` inverts the one step from k to k + 1: the crystal above is displaced by one Shockley partial. In
  fcc, diamond and zinc blende that is the intrinsic fault, ABCABABCA with a displacement of a/6 <112> (of the glide
  set, between the planes that share one bond an atom and those that share three); in hcp and wurtzite the deformation
  fault I2, ABABCACA.

Twins with one layer between them are the extrinsic fault of fcc, ABCACBCAB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body, PlanarDefect, SiteRole, make_body
from exitwave.structures.close_packed import ClosePackedStacking
from exitwave.structures.crystal import Crystal, bounded_sphere, cut, require_atoms
from exitwave.structures.volumes import Volume

FloatArray = NDArray[np.float64]

DEFECT_KINDS = ("twin", "stacking_fault")
"""Planar defects that can be made."""
_SMALLEST_SIDE = 0.03
"""Least share of the atoms on either side of a defect; in a sphere, the cap beyond 0.79 of the radius."""
_MARGIN = 1e-4
"""How much further than its bounding sphere a solid is looked into [Å], so that rounding loses no atom."""


def fill_stack(
    stacking: ClosePackedStacking, faults: Mapping[int, str], solid: Volume, origin: ArrayLike | None = None
) -> tuple[FloatArray, NDArray[np.uint8], NDArray[np.int64]]:
    """Atoms of a stack of layers with faults inside a solid.

    Parameters
    ----------
    stacking : ClosePackedStacking
        The perfect crystal.
    faults : mapping
        Kind of defect by the index of its layer, counted from the one through ``stacking.origin``. The layers below
        the lowest stay in their perfect places.
    solid : Volume
        A bounded volume in the Cartesian frame of the crystal.
    origin : array_like [3], optional
        Where the origin of the cell is put [Å]; (0, 0, 0) if left out.

    Returns
    -------
    positions : ndarray [n, 3]
        Positions in the frame of the solid [Å].
    numbers : ndarray, uint8 [n]
        Atomic numbers.
    layers : ndarray, int [n]
        Index of the layer of each atom.

    Raises
    ------
    StructureError
        If the solid is unbounded.
    """
    centre, radius = bounded_sphere(solid)
    radius += _MARGIN
    corner = stacking.origin - centre + (0.0 if origin is None else np.asarray(origin, dtype=np.float64))
    bottom = float(corner @ stacking.normal)
    first = int(np.floor((-radius - bottom - stacking.heights.max()) / stacking.spacing))
    last = int(np.ceil((radius - bottom) / stacking.spacing))
    net = stacking.in_plane
    to_net = np.linalg.pinv(net)  # [3, 2]: in-plane Cartesian vectors to coordinates of the net
    edge = float(np.linalg.norm(net, axis=1).sum())
    reach = np.ceil((radius + edge) * np.linalg.norm(to_net, axis=0)).astype(int)
    points = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1).reshape(-1, 2) @ net
    points = points[np.einsum("ij,ij->i", points, points) <= (radius + edge) ** 2]
    positions, numbers, layers = [np.empty((0, 3))], [np.empty(0, dtype=np.uint8)], [np.empty(0, dtype=np.int64)]
    for layer, step in zip(range(first, last + 1), stacking_steps(stacking, faults, first, last), strict=True):
        offset = corner + layer * stacking.spacing * stacking.normal + step * stacking.shift
        # Bring the point of the net nearest to the axis of the sphere into its middle.
        sites = points + (offset - np.round(offset @ to_net) @ net)
        for height, number in zip(stacking.heights, stacking.numbers, strict=True):
            atoms = sites + (centre + height * stacking.normal)
            atoms = atoms[solid.contains(atoms)]
            positions.append(atoms)
            numbers.append(np.full(len(atoms), number, dtype=np.uint8))
            layers.append(np.full(len(atoms), layer, dtype=np.int64))
    return np.concatenate(positions), np.concatenate(numbers), np.concatenate(layers)


def stacking_steps(
    stacking: ClosePackedStacking, faults: Mapping[int, str], first: int, last: int
) -> NDArray[np.int64]:
    """Sums of stacking signs below the layers from ``first`` to ``last``, from layer 0 of the perfect crystal on.

    Equal remainders of division by 3 are equal positions A, B or C.
    """
    gaps = np.arange(first, last)
    signs = np.array(stacking.signs)[gaps % len(stacking.signs)]
    for layer, kind in faults.items():
        signs = np.where(gaps >= layer if kind == "twin" else gaps == layer, -signs, signs)
    # The layers below the lowest fault stay in their perfect places.
    below = np.array(stacking.signs)[np.arange(min(first, 0), max(first, 0)) % len(stacking.signs)].sum()
    start = below if first >= 0 else -below
    return np.asarray(start + np.concatenate([[0], np.cumsum(signs)]), dtype=np.int64)


def cut_with_defects(crystal: Crystal, solid: Volume, kinds: Sequence[str], rng: np.random.Generator) -> Body:
    """A body cut from a crystal about a random point of its cell, with parallel planar defects.

    Parameters
    ----------
    crystal : Crystal
        What it is cut from. The defects lie on its one set of known planes: those across [111] or [0001].
    solid : Volume
        A bounded volume in the Cartesian frame of the crystal.
    kinds : sequence of {'twin', 'stacking_fault'}
        Planar defects wanted, on distinct layers at least two apart; as many as fit are made, the first ones of the
        sequence. A defect fits where at least one layer and 3 % of the atoms are on either side of it.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        With its ``defects`` from the lowest to the highest, each at the point of its plane that is nearest to the
        centre of the solid's bounding sphere; atoms of the layer of a twin, or of the two layers of a fault, have the
        role PLANAR_DEFECT.

    Raises
    ------
    StructureError
        If a kind or the planes of defects are not known, or the solid is unbounded or holds no atom.
    """
    if not kinds:
        return cut(crystal, solid, rng)
    if unknown := sorted(set(kinds) - set(DEFECT_KINDS)):
        raise StructureError(f"a planar defect is of kind '{unknown[0]}'; allowed: {', '.join(DEFECT_KINDS)}")
    stacking = crystal.stacking
    if stacking is None:
        raise StructureError(
            f"particles.planar_defects.number is {len(kinds)} for '{crystal.name}', but the planes of defects are "
            "known only for close-packed materials of the library; allowed: 0"
        )
    origin = rng.random(3) @ crystal.cell
    _, _, layers = fill_stack(stacking, {}, solid, origin)
    require_atoms(len(layers), crystal, solid)
    chosen = rng.permutation(_draw_layers(layers, len(kinds), rng))
    faults = {int(layer): kind for layer, kind in zip(chosen, kinds, strict=False)}
    positions, numbers, layers = fill_stack(stacking, faults, solid, origin)
    body = make_body(positions, numbers, solid, crystal.name)
    beside = [layer + k for layer, kind in faults.items() for k in range(1 if kind == "twin" else 2)]
    role = np.where(np.isin(layers, beside), SiteRole.PLANAR_DEFECT, 0).astype(np.uint8)
    return replace(body, role=role, defects=_planes(stacking, faults, solid.bounding_sphere()[0], origin))


def _draw_layers(layers: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Layers of up to ``wanted`` defects, at least two apart and clear of the ends of the solid, in order."""
    indices, counts = np.unique(layers, return_counts=True)
    least = max(1.0, _SMALLEST_SIDE * counts.sum())
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])  # atoms below each layer
    # Above a stacking fault are the layers beyond the second one of it.
    above = counts.sum() - below - counts - np.append(counts[1:], 0)
    places = indices[(below >= least) & (above >= least)]
    number = min(wanted, (len(places) + 1) // 2)
    if number == 0:
        return np.empty(0, dtype=np.int64)
    # Every set of places at least two apart is one choice out of fewer, spread by one each.
    chosen = np.sort(rng.choice(len(places) - number + 1, size=number, replace=False))
    return np.asarray(places[chosen + np.arange(number)], dtype=np.int64)


def _planes(
    stacking: ClosePackedStacking, faults: Mapping[int, str], centre: FloatArray, origin: FloatArray
) -> tuple[PlanarDefect, ...]:
    """The defects, each in the middle of its layer or two layers."""
    middle = (stacking.origin + origin - centre) @ stacking.normal + (
        stacking.heights.min() + stacking.heights.max()
    ) / 2
    return tuple(
        PlanarDefect(
            kind,
            stacking.normal,
            centre + (middle + (layer if kind == "twin" else layer + 0.5) * stacking.spacing) * stacking.normal,
        )
        for layer, kind in sorted(faults.items())
    )
