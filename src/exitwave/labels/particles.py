"""The particles in an image, each with its own thickness: what masks of overlapping particles are made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exitwave.config.images import PARTICLE_FIELDS
from exitwave.labels.projection import ProjectedParticle


def largest_values(
    particles: Sequence[ProjectedParticle], phase: NDArray[np.float32], instances: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Largest values of each particle, of all of it and not only of what an image shows.

    Parameters
    ----------
    particles : sequence of ProjectedParticle
    phase : float32 [y, x]
        Smoothed phase of the exit wave of all particles [rad], on the grid of the particles.
    instances : uint8 [y, x]
        Object id of the particle at each pixel, of overlapping ones the thicker.

    Returns
    -------
    float32 [particle, 3]
        ``object_id``; largest ``thickness`` [Å]; largest ``phase`` [rad] where the particle is the thickest, or where
        that is nowhere, of all it covers.
    """
    found = np.zeros((len(particles), len(PARTICLE_FIELDS)), np.float32)
    for row, particle in zip(found, particles, strict=True):
        covered = particle.window.places(particle.silhouette)
        values, own = phase[covered], instances[covered] == particle.object_id
        row[:] = particle.object_id, particle.thickness.max(), values[own].max() if own.any() else values.max()
    return found


def particles_in_image(
    particles: Sequence[ProjectedParticle], offset: tuple[int, int], binning: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Which particles an image shows, and the thickness of each.

    Parameters
    ----------
    particles : sequence of ProjectedParticle
    offset : tuple of int
        Row and column of the grid where the image begins; it may run over the edge.
    binning : int
        Pixels of the grid along an image pixel.
    size : int
        Edge of the image [image px].

    Returns
    -------
    places : int64 [n]
        Places in ``particles`` of those with a pixel in the image.
    thickness : float16 [n, size, size]
        Projected thickness [Å], the mean over each image pixel; 0 where the particle is not.
    """
    places, maps = [], []
    for place, particle in enumerate(particles):
        (rows, columns), (ny, nx) = particle.window.places(particle.silhouette), particle.window.grid
        rows, columns = (rows - offset[0]) % ny // binning, (columns - offset[1]) % nx // binning
        inside = (rows < size) & (columns < size)
        if inside.any():
            total = np.bincount(
                rows[inside] * size + columns[inside],
                weights=particle.thickness[particle.silhouette][inside],
                minlength=size**2,
            )
            places.append(place)
            maps.append((total / binning**2).reshape(size, size).astype(np.float16))
    return np.array(places, np.int64), np.array(maps, np.float16).reshape(-1, size, size)
