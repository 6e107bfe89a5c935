"""How particles are judged: how many are found, and how well their sizes are met.

Truth and prediction are both masks, and the particles of both are those of
`exitwave.benchmark.instances.find_instances`, by the same rules. A true and a found particle are matched where their
intersection over union is at least ``OVERLAP``, as in the evaluation of instances by J. C. Caicedo et al.,
Nat. Methods 16, 1247 (2019). Diameters are those of discs of the same area, and are compared of particles that the edge
of the image does not cut, since of the others nobody knows the size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.instances import Labels, find_instances
from exitwave.benchmark.metrics import SHARE, Distance, Score, f1_of, ratio

OVERLAP = 0.5
"""Intersection over union from which a true and a found particle are the same."""
OBJECT_COUNTS = (
    "particles_true",
    "particles_found",
    "particles_matched",
    "diameters_compared",
    "diameter_deviations",
    "diameter_differences",
)
"""What is counted of an image: particles of the truth, of the prediction, matched pairs, pairs of which neither is cut,
and over these the sums of \\|d_found / d_true - 1\\| and of d_found / d_true - 1."""
SIZES = Distance("size_distance", "diameters_true", "diameters_found")
"""Distance of the distributions of diameters [Å] of particles that are not cut."""
NOTE = (
    "Particles: regions with holes filled, touching ones split where the neck is narrow, none below 10 Å; one is found "
    "where the intersection over union with a true one is at least 0.5. Diameters are those of discs of the same area, "
    "of particles that the edge does not cut: error and bias are means of |d/d0 - 1| and d/d0 - 1 over matched ones, "
    "Wasserstein is the distance between all found and all true diameters."
)
SUMMARY = (
    Score("particle_f1", "particle_f1", "F1", "F1 of particles", "particles", foremost=True, limits=SHARE),
    Score("particles_true", "particles_true", "true", group="particles", whole=True),
    Score("particles_found", "particles_found", "found", group="particles", whole=True),
    Score("particle_precision", "particle_precision", "precision", group="particles"),
    Score("particle_recall", "particle_recall", "recall", group="particles"),
    Score(
        "size_distance",
        SIZES.name,
        "Wasserstein [Å]",
        "Wasserstein distance of diameters [Å]",
        "diameters",
        foremost=True,
    ),
    Score("diameter_error", "diameter_error", "error", group="diameters"),
    Score("diameter_bias", "diameter_bias", "bias", group="diameters"),
)


def count_objects(found: NDArray[np.bool_], true: NDArray[np.bool_], pixel_size: float) -> dict[str, Any]:
    """Counts of the particles of one image, and their diameters.

    Parameters
    ----------
    found, true : bool array [H, W]
        Predicted and true mask.
    pixel_size : float
        Pixel [Å].

    Returns
    -------
    dict
        The names of ``OBJECT_COUNTS``, and as lists the diameters [Å] of ``SIZES``.
    """
    found_labels, true_labels = find_instances(found, pixel_size), find_instances(true, pixel_size)
    diameters_found, diameters_true = diameters(found_labels, pixel_size), diameters(true_labels, pixel_size)
    whole_found, whole_true = ~cut(found_labels), ~cut(true_labels)
    pairs = match(found_labels, true_labels)
    pairs_whole = pairs[whole_found[pairs[:, 0]] & whole_true[pairs[:, 1]]]
    errors = diameters_found[pairs_whole[:, 0]] / diameters_true[pairs_whole[:, 1]] - 1
    values = (len(diameters_true), len(diameters_found), len(pairs), errors.size, np.abs(errors).sum(), errors.sum())
    return {
        **dict(zip(OBJECT_COUNTS, map(float, values), strict=True)),
        SIZES.first: diameters_true[whole_true].tolist(),
        SIZES.second: diameters_found[whole_found].tolist(),
    }


def scores_from_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores from counts, of single images or of sums over images.

    Parameters
    ----------
    counts : float array [..., 6]
        Counts in the order of ``OBJECT_COUNTS``.

    Returns
    -------
    dict of float arrays [...]
        ``particle_f1`` (1 where there is nothing and nothing was found), ``particle_precision`` and
        ``particle_recall`` (NaN where nothing was found, and where nothing was to be found), ``diameter_error`` and
        ``diameter_bias`` (relative; NaN without matched particles that are whole), and the two numbers of particles.
    """
    true, found, matched, compared, deviations, differences = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return {
        "particle_f1": f1_of(matched, found - matched, true - matched),
        "particle_precision": ratio(matched, found),
        "particle_recall": ratio(matched, true),
        "diameter_error": ratio(deviations, compared),
        "diameter_bias": ratio(differences, compared),
        "particles_true": true,
        "particles_found": found,
    }


def match(found: Labels, true: Labels) -> NDArray[np.intp]:
    """Pairs of particles whose intersection over union is at least ``OVERLAP``.

    Above one half a particle has one partner at the most. At exactly one half it may have two, which share it evenly:
    then the first of them is taken.

    Parameters
    ----------
    found, true : int32 array [H, W]
        Particles from 1 on, as `find_instances` gives them.

    Returns
    -------
    int array [pairs, 2]
        Places of both, counted from 0; in the order of the true ones.
    """
    n_true = int(true.max()) + 1
    both = (found > 0) & (true > 0)
    names, shared = np.unique(found[both].astype(np.int64) * n_true + true[both], return_counts=True)
    ours, theirs = names // n_true, names % n_true
    union = np.bincount(found.ravel())[ours] + np.bincount(true.ravel())[theirs] - shared
    enough = shared >= OVERLAP * union
    ours, theirs, overlap = ours[enough], theirs[enough], (shared / union)[enough]
    order = np.lexsort((ours, theirs, -overlap))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for one, other in zip(ours[order].tolist(), theirs[order].tolist(), strict=True):
        if one not in taken and other not in pairs:
            pairs[other] = one
            taken.add(one)
    return np.array([(pairs[other] - 1, other - 1) for other in sorted(pairs)], np.intp).reshape(-1, 2)


def diameters(labels: Labels, pixel_size: float) -> NDArray[np.float64]:
    """Diameter of the disc of the same area [Å] of each particle."""
    return np.asarray(np.sqrt(4 / np.pi * np.bincount(labels.ravel())[1:]) * pixel_size)


def cut(labels: Labels) -> NDArray[np.bool_]:
    """Which particles the edge of the image cuts."""
    result = np.zeros(int(labels.max()) + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        result[edge] = True
    return result[1:]
