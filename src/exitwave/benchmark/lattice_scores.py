"""How networks and the finder without learning are judged on images of known lattices.

A prediction is a probability for each class and any other, and the two vectors of the lattice, x and y [Å]. Networks
name classes alone: their vectors are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark import classification
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.classification import BESIDE, FINDER, KEPT, classified, seen_by, threshold, truths
from exitwave.benchmark.metrics import SHARE, Metric, Score
from exitwave.benchmark.plane_lattices import find_plane_lattice
from exitwave.benchmark.tiling import tile_starts
from exitwave.config.benchmarks import Benchmark
from exitwave.errors import LatticeError
from exitwave.items import Axis, lateral
from exitwave.structures.lattice2d import deviation, measured, reduced
from exitwave.training.classification import ClassTask

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

__all__ = ["BESIDE", "KEPT", "axes", "fitted", "metric", "predict", "rules", "threshold", "truths"]

TOLERANCE = 0.02
"""Strain that real scans may have: below, a lattice is taken for the more symmetric one."""
OVERLAP = 0.25
"""Of neighbouring fields that networks see, at least."""
VECTORS = 4
"""Numbers of a lattice at the end of predictions and truths."""
NOTE = (
    "Accuracy: share of the images whose class was named; that of a found lattice is told with a tolerance of 2 %. "
    "Strain: largest principal strain between the found lattice and the known one, with equal areas; mean over images. "
    "Scale: by how much its lengths differ, mean of the magnitudes; errors of the calibration are in it. Networks name "
    "classes only. Brackets: 95 % bootstrap interval over images or groups of them. Of networks the median over seeds "
    "is given, with the smallest and the largest seed; an ensemble is the mean prediction of all seeds."
)


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of an image, or of what is known or predicted."""
    return lateral(pixel_size) if name == "image" else (Axis("value"),)


def metric(task: ClassTask, threshold: float) -> Metric:
    """That of classes, and how far lattices are off."""
    named = classification.metric(task, threshold)

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, float]:
        return dict(named.count(prediction[:-VECTORS], truth, pixel_size))

    def describe(prediction: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
        found, known = (values[-VECTORS:].reshape(2, 2).astype(np.float64) for values in (prediction, truth))
        return {
            **named.describe(prediction[:-VECTORS], truth),
            **{f"lattice_{name}": value for name, value in _told(found).items()},
            **{f"known_{name}": value for name, value in _told(known).items()},
            **_off(found, known),
        }

    return replace(
        named,
        count=count,
        describe=describe,
        summary=(
            Score("accuracy", "accuracy", "accuracy", foremost=True, limits=SHARE),
            Score("strain", "strain", "strain", "strain of the lattice", mean=True),
            Score("scale_error", "scale_error", "scale", "error of the scale", mean=True),
        ),
        note=NOTE,
    )


def _told(vectors: NDArray[np.float64]) -> dict[str, float]:
    """Lengths [Å] and angle [°] of the shortest vectors, and the vectors themselves; NaN where there are none."""
    names = ("first_x", "first_y", "second_x", "second_y")
    if not np.isfinite(vectors).all():
        return dict.fromkeys(("a", "b", "gamma", *names), float("nan"))
    short = reduced(vectors)
    return {**measured(short), **dict(zip(names, map(float, short.ravel()), strict=True))}


def _off(found: NDArray[np.float64], known: NDArray[np.float64]) -> dict[str, float]:
    if not np.isfinite(found).all():
        return {"strain": float("nan"), "scale_error": float("nan")}
    off = deviation(found, known)
    return {"strain": off.strain, "scale_error": abs(off.scale)}


def rules(task: ClassTask) -> Mapping[str, Rule]:
    """The finder without learning, with nothing tuned."""

    def found(case: Case) -> NDArray[np.float32]:
        named, vectors = len(task.classes), np.full((2, 2), np.nan)
        try:
            lattice = find_plane_lattice(case.image, case.pixel_size)
        except LatticeError:
            pass
        else:
            named, vectors = task.classes.index(lattice.bravais(TOLERANCE).name), lattice.vectors
        probability = np.zeros(len(task.classes) + 1)
        probability[named] = 1
        return np.concatenate([probability, vectors.ravel()]).astype(np.float32)

    return {FINDER: found}


def fitted(task: ClassTask) -> Mapping[str, Fit]:
    """None: there is nothing to learn from."""
    return {}


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: ClassTask) -> NDArray[Any]:
    """Mean of the probabilities over fields as large as the images that a network has learned from; no vectors.

    Raises
    ------
    MicrographError
        If the pixel of the image is too far from that of the network.
    """
    image = seen_by(network, case, block)
    edge = min(*image.shape, int(network.info.get("image_size", min(image.shape))))
    starts = [tile_starts(length, edge, OVERLAP) for length in image.shape]
    fields = np.stack([image[y : y + edge, x : x + edge] for y in starts[0] for x in starts[1]])
    probability = classified(network, fields, task.classes).mean(axis=0)
    return np.concatenate([probability, np.full(VECTORS, np.nan, np.float32)])
