"""Lattices of disks with known vectors: lists of peaks and maps, with what goes wrong in patterns."""

from __future__ import annotations

import numpy as np

from exitwave.benchmark.lattice import Lattice, reduced

SIZE = 128


def any_vectors(rng: np.random.Generator) -> np.ndarray:
    """Reduced vectors as columns [px]: 5-30 px, the longer one up to five times the shorter, at 40-140 degrees."""
    while True:
        short, angle, turn = rng.uniform(5, 30), np.radians(rng.uniform(40, 140)), rng.uniform(0, 2 * np.pi)
        long = short * np.exp(rng.uniform(0, np.log(5)))
        vectors, _ = reduced(
            np.array([
                [short * np.cos(turn), long * np.cos(turn + angle)],
                [short * np.sin(turn), long * np.sin(turn + angle)],
            ])
        )  # fmt: skip
        if np.linalg.norm(vectors[:, 1]) < 50 and np.linalg.det(vectors) > 60:
            return vectors


def points(origin: np.ndarray, vectors: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Indices [n, 2] of all lattice points on a pattern; 0, 0 first."""
    edge = int(1.5 * size / np.linalg.norm(vectors, axis=0).min() / np.sin(np.pi / 6))
    index = np.stack(np.meshgrid(*2 * [np.arange(-edge, edge + 1)], indexing="ij"), axis=-1).reshape(-1, 2)
    places = origin + index @ vectors.T
    index = index[((places >= 1) & (places <= size - 2)).all(axis=1)]
    return index[np.argsort(np.linalg.norm(index @ vectors.T, axis=1))]


def any_peaks(
    rng: np.random.Generator, vectors: np.ndarray, noise: float, missing: float, stray: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Peaks of a pattern: places off by ``noise`` [px], a share missing, and stray ones; the direct beam is strongest.

    Returns
    -------
    origin : float64 [2]
    index : float64 [m, 2]
        Of the disks, which are the first of the peaks.
    peaks : float64 [n, 3]
    """
    origin = SIZE / 2 + rng.uniform(-3, 3, 2)
    index = points(origin, vectors).astype(np.float64)
    distance = np.linalg.norm(index @ vectors.T, axis=1)
    index = index[((rng.random(len(index)) > missing) & (distance < rng.uniform(35, 70))) | (distance == 0)]
    distance = np.linalg.norm(index @ vectors.T, axis=1)
    heights = np.exp(-distance / 40) * rng.lognormal(0, 0.7, len(index))
    heights[0] = 10 * heights.max()
    places = origin + index @ vectors.T + rng.normal(0, noise, index.shape)
    number = rng.poisson(stray * len(index))
    others = np.column_stack([rng.uniform(0, SIZE, (number, 2)), rng.uniform(0.02, 0.5, number) * np.median(heights)])
    return origin, index, np.concatenate([np.column_stack([places, heights]), others])


def spots(peaks: np.ndarray, sigma: float = 1.0, size: int = SIZE) -> np.ndarray:
    """Map of Gaussians; where they overlap, the highest."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for px, py, height in peaks:
        np.maximum(image, height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)), out=image)
    return image.astype(np.float32)


def strained(rng: np.random.Generator, vectors: np.ndarray, strain: float, turn: float) -> Lattice:
    """A start that is wrong by a random strain and a rotation [rad], with its origin in the middle."""
    c, s = np.cos(turn), np.sin(turn)
    change = np.array([[c, -s], [s, c]]) @ (np.eye(2) + rng.normal(0, strain, (2, 2)))
    return Lattice(np.array([SIZE / 2, SIZE / 2]), change @ vectors, 0.0, 0)


def same_lattice(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether vectors make the same lattice, to three per cent."""
    change = np.rint(np.linalg.solve(other, one))
    off = np.abs(other @ change - one).max()
    return bool(abs(abs(np.linalg.det(change)) - 1) < 0.01 and off < 0.03 * np.linalg.norm(one, axis=0).max())
