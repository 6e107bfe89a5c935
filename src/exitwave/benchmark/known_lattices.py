"""Folders of real images whose lattice is known, which make a benchmark."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, N, check_pixel_sizes
from exitwave.benchmark.micrographs import check_benchmark_folder, distinct_names, numbers_of
from exitwave.benchmark.readers import read_micrograph
from exitwave.config.benchmarks import LatticeBenchmark
from exitwave.config.graph import Node
from exitwave.config.models import Classifier, Network
from exitwave.errors import ConfigError, MicrographError
from exitwave.structures.lattice2d import CLASSES, bravais_class, reduced
from exitwave.training.kinds import task_of
from exitwave.training.task import Task

log = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

AIM: dict[str, Any] = {"kind": "classification", "target": {"column": "bravais"}}
"""What is known is the class of the lattice, whichever column networks have learned it from."""
LEARNED = ("bravais", "bravais_resolved", "bravais_3d", "bravais_published")
"""Columns of Bravais classes that networks may have learned."""
NEEDED = ("image", "a", "b", "gamma")


@dataclass(frozen=True)
class KnownLattices:
    """Images of a folder; see :class:`exitwave.benchmark.cases.Cases`."""

    task: Task
    images: Sequence[Case]
    unusable: pd.DataFrame

    def __iter__(self) -> Iterator[Case]:
        return iter(self.images)

    def skipped(self) -> pd.DataFrame:
        """Files that cannot be used."""
        return self.unusable

    def examples(self) -> None:
        """None: all images are scored."""
        return None


def check(node: Node) -> None:
    """Refuse a folder that cannot be used, and networks that do not name the class of a lattice."""
    block, trainings = node.of(LatticeBenchmark), node.upstream["trainings"]
    for training in trainings:
        if not _names_lattices(training):
            model = training.source("model").of(Network)
            told = f"column {model.target.column}" if isinstance(model, Classifier) else f"kind {model.kind}"
            raise ConfigError(
                f"trainings: found '{training.name}', whose model is of {told}; allowed: classification or graphs, "
                f"with the target column {', '.join(LEARNED[:-1])} or {LEARNED[-1]}"
            )
    try:
        index = check_lattice_folder(block.path, block.pixel_size)
    except ConfigError as error:
        raise ConfigError(f"path: {error}") from error
    if not block.any_pixel_size:
        known = index[index["pixel_size"].notna()]
        sizes = {f"path: {row['image']} of index.csv": float(row["pixel_size"]) for _, row in known.iterrows()}
        check_pixel_sizes(sizes, trainings)


def _names_lattices(training: Node) -> bool:
    model = training.source("model").block
    return isinstance(model, Classifier) and model.target.column in LEARNED


def scorable(trainings: Sequence[N]) -> list[N]:
    """Those that name the class of a lattice."""
    return [training for training in trainings if _names_lattices(training)]


def aim(trainings: Sequence[Node]) -> dict[str, Any]:
    """The class of the lattice."""
    return AIM


def files(block: LatticeBenchmark) -> list[str]:
    """Index, and images that are there."""
    folder = Path(block.path)
    named = [folder / name for name in check_lattice_folder(folder, block.pixel_size)["image"] if isinstance(name, str)]
    return [str(folder / "index.csv"), *(str(file) for file in named if os.path.exists(file))]


def cases(block: LatticeBenchmark, model: Network, manifests: Sequence[Path]) -> KnownLattices:
    """Images of the folder; one that cannot be used is skipped, and the others go on.

    Raises
    ------
    MicrographError
        If none can be used.
    """
    index = check_lattice_folder(block.path, block.pixel_size)
    found, skipped = list[Case](), list[dict[str, str]]()
    for name, (_, row) in zip(distinct_names(index), index.iterrows(), strict=True):
        try:
            if pd.isna(row["image"]):
                raise MicrographError(f"index.csv names no image for {name}; needed: a file")
            size = None if pd.isna(row["pixel_size"]) else float(row["pixel_size"])
            page = None if pd.isna(row["page"]) else int(row["page"])
            seen = read_micrograph(Path(block.path) / row["image"], size, page=page)
        except MicrographError as error:
            skipped.append({"file": str(row["image"]), "reason": str(error)})
            continue
        for warning in seen.warnings:
            log.warning("%s: %s", name, warning)
        truth = truth_of(lattice_from(row["a"], row["b"], row["gamma"]))
        found.append(Case(name, seen.image, truth, seen.pixel_size, str(row["group"])))
    if not found:
        raise MicrographError(
            f"none of the {len(index)} images of {block.path} can be used; the first: {skipped[0]['reason']}"
        )
    task = task_of(model, {"classes": list(CLASSES)})
    return KnownLattices(task, found, pd.DataFrame(skipped, columns=["file", "reason"]))


def check_lattice_folder(path: PurePath, pixel_size: float | None = None) -> pd.DataFrame:
    """Check the index of a folder of known lattices without opening an image.

    Returns
    -------
    DataFrame
        As of :func:`exitwave.benchmark.micrographs.check_benchmark_folder`, with the numbers ``a``, ``b`` [Å] and
        ``gamma`` [°] of the shortest vectors.

    Raises
    ------
    ConfigError
        If folder, index or a column is missing, or a value is impossible.
    """
    index = check_benchmark_folder(path, pixel_size, needed=NEEDED)
    for key in ("a", "b"):
        index[key] = numbers_of(index, key, Path(path), lambda length: (length > 0) & np.isfinite(length), "Å above 0")
    index["gamma"] = numbers_of(
        index, "gamma", Path(path), lambda angle: (angle >= 30) & (angle <= 150), "degrees from 30 to 150"
    )
    for _, row in index.iterrows():
        lattice = f"{row['a']:g}, {row['b']:g}, {row['gamma']:g}"
        told = f"{Path(path) / 'index.csv'} has for {row['image']} the lattice {lattice}"
        if row[["a", "b", "gamma"]].isna().any():
            raise ConfigError(f"{told}; needed: a, b and gamma")
        given = lattice_from(row["a"], row["b"], row["gamma"])
        shortest = np.sort(np.linalg.norm(reduced(given), axis=1))
        if not np.allclose(shortest, sorted([row["a"], row["b"]]), rtol=2e-3):
            raise ConfigError(
                f"{told}, whose shortest vectors have {shortest[0]:.4g} and {shortest[1]:.4g} Å; allowed: these"
            )
    return index


def lattice_from(a: float, b: float, gamma: float) -> FloatArray:
    """Vectors, rows [2, 2] [Å], of two lengths [Å] and an angle [°]."""
    angle = np.radians(gamma)
    return np.array([[a, 0.0], [b * np.cos(angle), b * np.sin(angle)]], np.float64)


def truth_of(vectors: FloatArray) -> FloatArray:
    """What is known of a lattice [5]: the place of its class, and its two vectors, x and y [Å]."""
    return np.concatenate([[CLASSES.index(bravais_class(vectors).name)], vectors.ravel()])
