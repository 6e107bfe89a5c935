"""Amorphous slabs between flat or rough faces: atoms at random places, or pieces of a bonded network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy import ndimage

from exitwave.config.distributions import draw
from exitwave.config.structures import AmorphousSubstrate
from exitwave.errors import StructureError
from exitwave.structures.body import Body, SiteRole, make_body
from exitwave.structures.network import NETWORK_DENSITY, carbon_network
from exitwave.structures.packing import random_packing
from exitwave.structures.volumes import Polyhedron

FloatArray = NDArray[np.float64]

_SHORTEST_ROUGHNESS = 2.0
"""Shortest correlation length of a rough face [Å]: below it the distances of atoms are the roughness."""


@dataclass(frozen=True)
class AmorphousMaterial:
    """Atoms per formula unit, mass density [g/cm³] and smallest distances of pairs of elements [Å]."""

    elements: Mapping[str, float]
    density: float
    minimum_distances: Mapping[str, float]


# Densities: evaporated carbon is at 1.9-2.0 (J. Robertson, Mater. Sci. Eng. R 37 (2002) 129, at second hand), fused
# silica at 2.20, stoichiometric films of nitride from the gas phase at 2.9-3.1 g/cm³.
# Distances: bonds are 1.62 Å long in silica (R. L. Mozzi, B. E. Warren, J. Appl. Cryst. 2 (1969) 164), about 1.73 Å in
# amorphous Si3N4 (M. Misawa et al., J. Non-Cryst. Solids 34 (1979) 313, at second hand), with like atoms at 2.6-3.1 Å;
# 1.42 Å in graphite. The smallest ones allowed stay below, those of like atoms most: atoms placed at random
# could not reach the density otherwise.
AMORPHOUS_MATERIALS = {
    "a-C": AmorphousMaterial({"C": 1}, 2.0, {"C-C": 1.4}),
    "a-SiNx": AmorphousMaterial({"Si": 3, "N": 4}, 3.0, {"Si-N": 1.6, "N-N": 2.0, "Si-Si": 2.2}),
    "a-SiO2": AmorphousMaterial({"Si": 1, "O": 2}, 2.2, {"Si-O": 1.5, "O-O": 2.2, "Si-Si": 2.6}),
}
"""Materials that a substrate can be of, each with its defaults."""


@dataclass(frozen=True)
class RoughProfile:
    """Heights of a rough face that is periodic in a square cell.

    Attributes
    ----------
    edge : float
        Edge of the cell [Å].
    heights : ndarray [m, m]
        Heights [Å] on a regular grid over the cell, x along the first axis; their mean is 0.
    coefficients : ndarray [m, m]
        Coefficients of the periodic cubic spline through them.
    """

    edge: float
    heights: FloatArray
    coefficients: FloatArray

    def __call__(self, places: FloatArray) -> FloatArray:
        """Heights [n] at places (x, y) [n, 2] [Å]."""
        steps = places.T / self.edge * len(self.heights)
        found = ndimage.map_coordinates(self.coefficients, steps, order=3, mode="grid-wrap", prefilter=False)
        return np.asarray(found, dtype=np.float64)


def rough_profile(edge: float, rms: float, length: float, rng: np.random.Generator) -> RoughProfile:
    """Draw the heights of a rough face: a Gaussian random field, periodic in a square cell.

    Two heights at a distance r are correlated by exp(-r²/length²), the usual model of a rough surface (e.g. Y. Zhao,
    G.-C. Wang, T.-M. Lu, Characterization of Amorphous and Crystalline Rough Surface, Academic Press 2001). Over the
    cell the mean is 0 and the root mean square is ``rms``, whatever the draw; waves longer than the cell are left out.

    Parameters
    ----------
    edge : float
        Edge of the cell [Å].
    rms : float
        Root mean square of the heights [Å].
    length : float
        Correlation length [Å].
    rng : Generator
        Source of all randomness.

    Returns
    -------
    RoughProfile
        Called with places (x, y) [n, 2] [Å] it gives the heights [n] [Å].

    Raises
    ------
    StructureError
        If the correlation length is below the distances of atoms.
    """
    if length < _SHORTEST_ROUGHNESS:
        raise StructureError(
            f"roughness_length is {length:g} Å, below the distances of atoms; "
            f"allowed: {_SHORTEST_ROUGHNESS:g} Å or more"
        )
    # At the edge of the band of such a grid the amplitude has fallen to e^-20 of that of the longest waves.
    size = max(8, 2 * int(np.ceil(2 * edge / length)))
    k = 2 * np.pi * np.fft.fftfreq(size, edge / size)
    squared = k[:, None] ** 2 + k[None, : size // 2 + 1] ** 2
    squared[0, 0] = np.inf
    # The longest waves that fit are the unit of amplitude, lest all vanish in a cell far below the correlation length.
    amplitude = np.exp((k[1] ** 2 - squared) * length**2 / 8)
    heights = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * amplitude, s=(size, size))
    heights *= rms / np.sqrt(np.mean(heights**2))
    return RoughProfile(edge, heights, ndimage.spline_filter(heights, order=3, mode="grid-wrap"))


def amorphous_slab(block: AmorphousSubstrate, edge: float, rng: np.random.Generator) -> Body:
    """Amorphous slab, laterally periodic: z from 0 to the thickness, each face with its own roughness about that.

    Both faces keep their mean height. Where the lower one would come to lie above the upper one there is a hole.

    Parameters
    ----------
    block : AmorphousSubstrate
        The substrate block of the config; thickness and roughness are drawn here.
    edge : float
        Lateral edge of the cell [Å].
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        Its solid is the smooth slab, laterally everywhere; every atom has the role AMORPHOUS.

    Raises
    ------
    StructureError
        If the slab holds no atom, is too small for its minimum distances, or its density cannot be reached.
    """
    thickness = float(draw(block.thickness, rng))
    roughness = float(draw(block.roughness, rng))
    low, high = 0.0, thickness
    faces = None
    if roughness > 0:
        faces = [rough_profile(edge, roughness, block.roughness_length, rng) for _ in range(2)]
        low, high = float(faces[0].heights.min()), thickness + float(faces[1].heights.max())
    if block.structure == "network":
        density = NETWORK_DENSITY
        positions = carbon_network(edge, high - low, rng)
        numbers = np.full(len(positions), atomic_numbers["C"], dtype=np.uint8)
    else:
        material = AMORPHOUS_MATERIALS[block.material]
        density = block.density or material.density
        distances = pair_distances(material.minimum_distances, block.minimum_distances, block.material)
        positions, numbers = random_packing(material.elements, density, distances, edge, high - low, rng)
    positions[:, 2] += low
    if faces is not None:
        bottom, top = (face(positions[:, :2]) for face in faces)
        inside = (positions[:, 2] >= bottom) & (positions[:, 2] <= thickness + top)
        positions, numbers = positions[inside], numbers[inside]
    if len(positions) == 0:
        raise StructureError(
            f"substrate.thickness is {thickness:g} Å and a slab of {block.material} of that thickness holds no atom; "
            "allowed: a thicker one"
        )
    slab = Polyhedron(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), np.array([thickness, 0.0]))
    body = make_body(
        positions,
        numbers,
        slab,
        block.material,
        structure=block.structure,
        thickness=thickness,
        density=density,
        roughness=roughness,
    )
    return replace(body, role=np.full(len(body), SiteRole.AMORPHOUS, dtype=np.uint8))


def pair_distances(defaults: Mapping[str, float], changes: Mapping[str, float], material: str) -> dict[str, float]:
    """Minimum distances with some of them changed, the elements of a pair in either order."""
    distances = dict(defaults)
    for pair, distance in changes.items():
        known = [name for name in (pair, "-".join(reversed(pair.split("-")))) if name in defaults]
        if not known:
            raise StructureError(
                f"substrate.minimum_distances names '{pair}', not a pair of elements of {material}; "
                f"allowed: {', '.join(defaults)}"
            )
        distances[known[0]] = distance
    return distances
