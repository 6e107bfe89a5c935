"""Label maps: what is where on the periodic grid of an exit wave, from the atoms that made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from exitwave.config.images import LABELS, LISTS
from exitwave.errors import ConfigError
from exitwave.labels.projection import ProjectedParticle, project_particles
from exitwave.structures.body import SiteRole
from exitwave.structures.structure import Structure

Map = NDArray[Any]

MAPS = tuple(name for name in LABELS if name not in LISTS)
"""Labels that are maps."""

BOUNDARY_WIDTH = 2.0
"""Width [Å] of the boundary of a particle, half on either side of its edge."""
CLASS_SMOOTHING = 1.0
"""Standard deviation [Å] of the Gaussian that spreads atoms where those of grains, shells and defects are counted."""
BACKGROUND, PARTICLE, DEFECT, SHELL = range(4)
"""Classes of the map ``domains``."""


def label_maps(
    structure: Structure, particle_waves: NDArray[np.complex64], sampling: float, names: Sequence[str]
) -> dict[str, Map]:
    """Label maps of a structure on the periodic grid of its exit waves.

    They are made from the atoms at rest and the direction of the beam alone: no optics can reach them. Molecules on
    particles are no part of them.

    Parameters
    ----------
    structure : Structure
        The structure, with the metadata of the recipes.
    particle_waves : complex64 [phonon, y, x]
        Exit waves of its particles, whose grid is that of the maps.
    sampling : float
        Pixel of the waves [Å].
    names : sequence of str
        Maps wanted. Lists are not among them: see `exitwave.labels.atomic_columns.atomic_columns` and
        `exitwave.labels.particles.particles_in_image`.

    Returns
    -------
    dict of arrays [y, x]
        ``atoms`` bool, ``instances`` uint8, ``thickness`` float32 [Å], ``boundary`` uint8, ``orientation`` float32 [°],
        ``domains`` uint8; docs/labels.md describes each.

    Raises
    ------
    ConfigError
        If there is no such map.
    StructureError
        If the waves are not of the cell of the structure, or the metadata do not describe its particles.
    """
    for name in names:
        if name not in LABELS:
            raise ConfigError(f"labels names '{name}'; allowed: {', '.join(LABELS)}")
    grid = particle_waves.shape[-2:]
    return maps_of(project_particles(structure, (grid[0], grid[1]), sampling), (grid[0], grid[1]), sampling, names)


def maps_of(
    particles: Sequence[ProjectedParticle], grid: tuple[int, int], sampling: float, names: Sequence[str]
) -> dict[str, Map]:
    """The same of particles that have been projected on a grid; lists are passed over."""
    # Which of overlapping particles is the thicker is asked only where it matters: it takes their crystals.
    instances = cache(lambda: instance_map(particles, grid))
    makers: dict[str, Callable[[], Map]] = {
        "atoms": lambda: covered(particles, grid),
        "instances": instances,
        "thickness": lambda: thickness_map(particles, grid),
        "boundary": lambda: boundary_map(instances(), sampling),
        "orientation": lambda: orientation_map(particles, instances()),
        "domains": lambda: domain_map(particles, instances()),
    }
    return {name: makers[name]() for name in names if name in makers}


def covered(particles: Sequence[ProjectedParticle], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels that some particle covers."""
    mask = np.zeros(grid, dtype=bool)
    for particle in particles:
        mask[particle.window.places(particle.silhouette)] = True
    return mask


def instance_map(particles: Sequence[ProjectedParticle], grid: tuple[int, ...]) -> NDArray[np.uint8]:
    """Object id of the particle at each pixel, 0 where there is none; of overlapping ones the thicker there."""
    instances, thickest = np.zeros(grid, dtype=np.uint8), np.zeros(grid, dtype=np.float32)
    overlapping = _overlapping(particles, grid)
    for particle in particles:
        places = particle.window.places(particle.silhouette)
        if particle.object_id not in overlapping:
            instances[places] = particle.object_id
            continue
        thickness = particle.thickness[particle.silhouette]
        ahead = (thickness > thickest[places]) | (instances[places] == 0)
        places = (places[0][ahead], places[1][ahead])
        instances[places], thickest[places] = particle.object_id, thickness[ahead]
    return instances


def _overlapping(particles: Sequence[ProjectedParticle], grid: tuple[int, ...]) -> set[int]:
    """Object ids of particles that share pixels with others."""
    count = np.zeros(grid, dtype=np.uint8)
    covered = [particle.window.places(particle.silhouette) for particle in particles]
    for places in covered:
        count[places] += 1
    return {p.object_id for p, places in zip(particles, covered, strict=True) if (count[places] > 1).any()}


def thickness_map(particles: Sequence[ProjectedParticle], grid: tuple[int, ...]) -> NDArray[np.float32]:
    """Projected thickness of all particles together [Å]: see `ProjectedParticle.thickness`."""
    total = np.zeros(grid, dtype=np.float32)
    for particle in particles:
        total[particle.window.places(particle.silhouette)] += particle.thickness[particle.silhouette]
    return total


def boundary_map(instances: NDArray[np.uint8], sampling: float, width: float = BOUNDARY_WIDTH) -> NDArray[np.uint8]:
    """Pixels whose centres are within half a ``width`` [Å] of an edge of a particle, and at least those beside it.

    1: of the edge against the background; 2: of the edge between two particles, where both are near.
    """
    margin = int(np.ceil(width / sampling)) + 1
    padded = np.pad(instances, margin, mode="wrap").astype(np.int16)
    boundary = np.zeros(instances.shape, dtype=np.uint8)
    for value in (1, 2):
        beside = np.zeros(padded.shape, dtype=bool)
        for axis in (0, 1):
            one, other = np.moveaxis(padded, axis, 0)[:-1], np.moveaxis(padded, axis, 0)[1:]
            edge = (one != other) & ((np.minimum(one, other) == 0) == (value == 1))
            np.moveaxis(beside, axis, 0)[:-1] |= edge
            np.moveaxis(beside, axis, 0)[1:] |= edge
        # The edge runs half a pixel from the centres on either side of it.
        near = (distance_transform_edt(~beside) + 0.5) * sampling <= width / 2 if beside.any() else beside
        boundary[(near | beside)[margin:-margin, margin:-margin]] = value
    return boundary


def orientation_map(particles: Sequence[ProjectedParticle], instances: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Angle of the beam to the nearest low-index zone axis [°] of the crystal that most atoms are of; NaN outside."""
    orientation = np.full(instances.shape, np.nan, dtype=np.float32)
    for particle in particles:
        tilts = np.array([domain.zone_axis()[1] for domain in particle.domains], dtype=np.float32)
        prevailing = np.zeros(particle.window.shape, dtype=np.int64)
        most = np.zeros(particle.window.shape, dtype=np.float32)
        for number, domain in enumerate(particle.domains if len(tilts) > 1 else []):
            density = particle.density(domain.atoms, width=CLASS_SMOOTHING)
            ahead = density > most
            most[ahead], prevailing[ahead] = density[ahead], number
        _put(orientation, particle, instances, tilts[prevailing])
    return orientation


def domain_map(particles: Sequence[ProjectedParticle], instances: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class of each pixel: `BACKGROUND`, `PARTICLE`, `DEFECT` or `SHELL`.

    A pixel is `SHELL` where more than half of the atoms around it are of the shell of a core-shell particle, and before
    that `DEFECT` where more than half lie on planar defects or grain boundaries: that is so where these are seen
    edge-on, within what two or three layers of atoms are wide, and not where they are seen from above.
    """
    classes = np.full(instances.shape, BACKGROUND, dtype=np.uint8)
    at_defect = SiteRole.PLANAR_DEFECT.value | SiteRole.GRAIN_BOUNDARY.value
    for particle in particles:
        found = np.full(particle.window.shape, PARTICLE, dtype=np.uint8)
        on_defect = (particle.role & at_defect) > 0
        in_shell = np.zeros(len(on_defect), dtype=bool)
        for domain in particle.domains:
            in_shell[domain.atoms] = domain.in_shell
        for atoms, value in ((in_shell, SHELL), (on_defect, DEFECT)):
            if atoms.any():
                found[
                    particle.density(atoms, width=CLASS_SMOOTHING) > particle.density(~atoms, width=CLASS_SMOOTHING)
                ] = value
        _put(classes, particle, instances, found)
    return classes


def _put(target: Map, particle: ProjectedParticle, instances: NDArray[np.uint8], values: Map) -> None:
    """Write values of a particle's window into a map where the particle is the one that counts."""
    rows, columns = particle.window.places(particle.silhouette)
    own = instances[rows, columns] == particle.object_id
    target[rows[own], columns[own]] = values[particle.silhouette][own]


def crop(name: str, field: Map, offset: tuple[int, int], binning: int, size: int) -> Map:
    """Cut a square out of a periodic label map, as `exitwave.imaging.hrtem.crop_periodic` does out of an image.

    Parameters
    ----------
    name : str
        Which map it is.
    field : array [y, x]
        The map, on the grid of the wave.
    offset : tuple of int
        Row and column of ``field`` where the cut begins; it may run over the edge.
    binning : int
        Pixels of the field along an image pixel.
    size : int
        Edge of the cut [image px].

    Returns
    -------
    array [size, size]
        Of what a pixel covers: ``thickness`` the mean, as float16; ``boundary`` the highest class. Of the others a
        pixel is particle if at least half of it is: ``atoms`` then 1; ``instances`` and ``domains`` the id or class,
        other than 0, of most of it; ``orientation`` the angle nearest to its centre, as float16. Integers are uint8.

    Raises
    ------
    ConfigError
        If the cut is larger than the field, or there is no such map.
    """
    ny, nx = field.shape
    edge = size * binning
    if edge > min(ny, nx):
        raise ConfigError(
            f"size {size} px needs {edge} pixels of the exit wave, which has {ny} x {nx}; "
            f"allowed: {min(ny, nx) // binning} px or less"
        )
    rows, columns = (offset[0] + np.arange(edge)) % ny, (offset[1] + np.arange(edge)) % nx
    # [size, size, binning²]: what each image pixel covers.
    parts = field[rows[:, None], columns].reshape(size, binning, size, binning).swapaxes(1, 2).reshape(size, size, -1)
    if name == "thickness":
        return np.asarray(parts.mean(axis=-1), dtype=np.float16)
    if name == "boundary":
        return np.asarray(parts.max(axis=-1), dtype=np.uint8)
    if name == "orientation":
        return _nearest_known(parts, binning).astype(np.float16)
    if name in ("atoms", "instances", "domains"):
        return _majority(parts.astype(np.uint8))
    raise ConfigError(f"'{name}' is not the name of a label map; allowed: {', '.join(MAPS)}")


def _majority(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The most frequent value but 0 of [..., m], the lowest of several; 0 where more than half are 0."""
    values = np.unique(parts[parts > 0])
    result, most = np.zeros(parts.shape[:-1], dtype=np.uint8), np.zeros(parts.shape[:-1], dtype=np.int64)
    for value in values:
        count = (parts == value).sum(axis=-1)
        ahead = count > most
        result[ahead], most[ahead] = value, count[ahead]
    result[2 * (parts > 0).sum(axis=-1) < parts.shape[-1]] = 0
    return result


def _nearest_known(parts: NDArray[np.float32], binning: int) -> NDArray[np.float32]:
    """Of the values [..., binning²] the one nearest to the centre that is known; NaN where more than half are not."""
    from_centre = np.arange(binning) - (binning - 1) / 2
    order = np.hypot(from_centre[:, None], from_centre).ravel().argsort(kind="stable")
    known = np.isfinite(parts)
    first = known[..., order].argmax(axis=-1)
    nearest = np.take_along_axis(parts, order[first][..., None], axis=-1)[..., 0]
    return np.where(2 * known.sum(axis=-1) < parts.shape[-1], np.float32(np.nan), nearest)
