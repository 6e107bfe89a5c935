"""Figures of datasets; part of the table in :mod:`exitwave.report.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exitwave.config.models import Classifier
from exitwave.report.figure import About, Figure
from exitwave.study.member import Member, Study


def _classes(study: Study, dataset: Member) -> dict[str, Any]:
    """Columns whose values networks of the study learn from the dataset as classes."""
    trainings = [t for t in study.stage("trainings") if dataset in t.upstream["datasets"]]
    models = [training.source("model").block for training in trainings]
    return {"columns": sorted({m.target.column for m in models if isinstance(m, Classifier)})}


def _maps(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.dataset_maps import draw_dataset_maps

    draw_dataset_maps(files[0], path, about["columns"], about["title"])


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("datasets", ""): (
        Figure(
            "maps.png",
            "4 Parameters and maps",
            "maps",
            "Simulated, but for fields of micrographs: images as points, by t-SNE. Images whose pixels are alike lie "
            "beside each other on one map; those whose labelled columns have neighbours under like angles on the "
            "other. What is near on a map is alike. Distances between clumps, and their sizes and shapes, mean "
            "nothing.\n\n"
            "Numbers are of the features and not of the map, and compare an image with images of other groups alone, "
            "such as other materials: those of its own group are nearly the same. Accuracy is the share of the images "
            "whose class their five nearest neighbours name; always naming the most frequent class reaches the share "
            "beside it. Silhouette is 1 where classes are clumps far apart, and 0 where they overlap. R² is 1 where "
            "neighbours know a number; the mean of all has 0, and neighbours by chance about -0.2. Pixels know nothing "
            "of shifts and turns, so that low numbers do not say that a network cannot learn the classes.",
            reads="dataset",
            draw=_maps,
            about=_classes,
        ),
    ),
}
"""Figures by stage and kind."""
