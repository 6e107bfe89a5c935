"""Folders of micrographs with expert masks that make a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.cases import Case, N
from exitwave.benchmark.readers import PICTURE_SUFFIXES, Micrograph, read_micrograph
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.graph import Node
from exitwave.config.models import DEFAULT_AIM, Network, Segmentation
from exitwave.errors import ConfigError, MicrographError
from exitwave.training.kinds import task_of
from exitwave.training.task import Task


@dataclass(frozen=True)
class Micrographs:
    """Micrographs of a folder; see :class:`exitwave.benchmark.cases.Cases`."""

    task: Task
    micrographs: Sequence[Micrograph]
    unusable: pd.DataFrame

    def __iter__(self) -> Iterator[Case]:
        for micrograph in self.micrographs:
            assert micrograph.mask is not None  # those without one were skipped
            yield Case(micrograph.name, micrograph.image, micrograph.mask, micrograph.pixel_size)

    def skipped(self) -> pd.DataFrame:
        """Files that cannot be used."""
        return self.unusable

    def examples(self) -> None:
        """None: all micrographs are scored."""
        return None


def check(node: Node) -> None:
    """Refuse a folder that cannot be used, and networks that do not segment."""
    block = node.of(MicrographBenchmark)
    for training in node.upstream["trainings"]:
        model = training.source("model").of(Network)
        if not isinstance(model, Segmentation):
            raise ConfigError(
                f"trainings: found '{training.name}', whose model is of kind {model.kind}; allowed: trainings that "
                "segment, since masks are what the experts have drawn"
            )
    try:
        check_benchmark_folder(block.path, block.pixel_size)
    except ConfigError as error:
        raise ConfigError(f"path: {error}") from error


def scorable(trainings: Sequence[N]) -> list[N]:
    """Those that segment."""
    return [training for training in trainings if isinstance(training.source("model").block, Segmentation)]


def aim(trainings: Sequence[Node]) -> dict[str, Any]:
    """Experts have drawn masks, whatever the networks were trained to take for one."""
    return DEFAULT_AIM


def files(block: MicrographBenchmark) -> list[str]:
    """Index, images and masks that are there."""
    folder = Path(block.path)
    index = check_benchmark_folder(folder, block.pixel_size)
    named = [folder / name for column in ("image", "mask") for name in index[column] if isinstance(name, str)]
    return [str(folder / "index.csv"), *(str(file) for file in named if file.exists())]


def cases(block: MicrographBenchmark, model: Network, manifests: Sequence[Path]) -> Micrographs:
    """Micrographs of the folder that have a mask."""
    return Micrographs(task_of(model, {}), *read_benchmark(block.path, block.pixel_size))


def check_benchmark_folder(path: str | PurePath, pixel_size: float | None = None) -> pd.DataFrame:
    """Check the index of a benchmark folder without opening an image.

    Parameters
    ----------
    path : path
        Folder with an ``index.csv``.
    pixel_size : float, optional
        Pixel [Å] that holds for all files.

    Returns
    -------
    DataFrame
        The index: columns ``image`` and ``mask`` (paths relative to the folder) and ``pixel_size`` [Å] (NaN where the
        files have to tell), and whatever else it has.

    Raises
    ------
    ConfigError
        If folder, index or a column is missing, or no row can have a pixel size.
    """
    path = Path(path)
    if not path.is_dir():
        raise ConfigError(f"benchmark path {path} is no folder; needed: a folder with images, masks and an index.csv")
    if not (path / "index.csv").is_file():
        raise ConfigError(f"benchmark path {path} has no index.csv; needed: one with the columns image and mask")
    try:
        index = pd.read_csv(path / "index.csv", dtype={"image": str, "mask": str})
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path / 'index.csv'} cannot be read as a table: {error}") from error
    missing = [column for column in ("image", "mask") if column not in index.columns]
    if missing:
        raise ConfigError(
            f"{path / 'index.csv'} has the columns {', '.join(index.columns)}, but lacks {' and '.join(missing)}; "
            "needed: image and mask"
        )
    if index.empty:
        raise ConfigError(f"{path / 'index.csv'} lists no micrograph; needed: one row for each")
    if "pixel_size" not in index.columns:
        index["pixel_size"] = np.nan
    numbers = pd.to_numeric(index["pixel_size"], errors="coerce")
    wrong = (numbers.isna() & index["pixel_size"].notna()) | (numbers <= 0)
    if wrong.any():
        raise ConfigError(
            f"{path / 'index.csv'} has the pixel_size {index.loc[wrong, 'pixel_size'].iloc[0]}; "
            "allowed: a number above 0, in Å"
        )
    index["pixel_size"] = numbers.astype(float) if pixel_size is None else float(pixel_size)
    calibrated = index["pixel_size"].notna() | ~index["image"].map(lambda name: _carries_no_calibration(str(name)))
    if not calibrated.any():
        raise ConfigError(
            f"{path / 'index.csv'} has no pixel_size, and its image files cannot carry one; "
            "give the column pixel_size or the key pixel_size, in Å"
        )
    return index


def read_benchmark(path: str | PurePath, pixel_size: float | None = None) -> tuple[list[Micrograph], pd.DataFrame]:
    """Read a benchmark folder; a file that cannot be used is skipped and the others go on.

    Parameters
    ----------
    path : path
        Folder with an ``index.csv`` of the columns image, mask and optionally pixel_size [Å].
    pixel_size : float, optional
        Pixel [Å] that holds for all files, whatever index and files say.

    Returns
    -------
    micrographs : list of Micrograph
        Those that can be scored, each with a mask.
    skipped : DataFrame
        Columns ``file`` and ``reason``.

    Raises
    ------
    ConfigError
        If the index cannot be used.
    MicrographError
        If nothing is left to score.
    """
    index = check_benchmark_folder(path, pixel_size)
    names = _distinct_names([str(image) for image in index["image"]])
    micrographs, skipped = [], []
    for name, (_, row) in zip(names, index.iterrows(), strict=True):
        try:
            for column in ("image", "mask"):
                if pd.isna(row[column]):
                    raise MicrographError(f"index.csv names no {column} for {name}; needed: a file")
            size = None if pd.isna(row["pixel_size"]) else float(row["pixel_size"])
            found = read_micrograph(Path(path) / row["image"], size, Path(path) / row["mask"])
            micrographs.append(Micrograph(name, found.image, found.mask, found.pixel_size))
        except MicrographError as error:
            skipped.append({"file": str(row["image"]), "reason": str(error)})
    if not micrographs:
        raise MicrographError(
            f"none of the {len(index)} micrographs of {path} can be used; the first: {skipped[0]['reason']}"
        )
    return micrographs, pd.DataFrame(skipped, columns=["file", "reason"])


def _carries_no_calibration(name: str) -> bool:
    return PurePath(name).suffix.lower() in PICTURE_SUFFIXES | {".npy"}


def _distinct_names(images: Sequence[str]) -> list[str]:
    """File names without folder and suffix; the whole path for those that would be the same."""
    stems = [PurePath(image).stem for image in images]
    return [
        stem if stems.count(stem) == 1 else str(PurePath(image).with_suffix(""))
        for stem, image in zip(stems, images, strict=True)
    ]
