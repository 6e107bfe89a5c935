"""Micrographs with expert masks that make a benchmark: folders of them, and stacks in HDF5."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, get_args

import numpy as np
import pandas as pd

from exitwave.benchmark.cases import Case, Cases, N, check_pixel_sizes, datasets_learned
from exitwave.benchmark.named import check_named, files_of_named, gives_masks
from exitwave.benchmark.pages import PICTURE_SUFFIXES
from exitwave.benchmark.readers import Micrograph, read_micrograph
from exitwave.benchmark.stacked import is_stacked, open_pair, stack_files, stacked_cases
from exitwave.config.benchmarks import Convention, Hdf5, MicrographBenchmark
from exitwave.config.graph import Node
from exitwave.config.images import DRAWN, Listed, MicrographFields
from exitwave.config.models import DEFAULT_AIM, Network, Regression, Segmentation
from exitwave.config.yaml_files import sidecar_of
from exitwave.errors import ConfigError, MicrographError
from exitwave.items import Array, lateral
from exitwave.training.kinds import task_of
from exitwave.training.task import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Micrographs:
    """Micrographs of a folder; see :class:`exitwave.benchmark.cases.Cases`."""

    task: Task
    micrographs: Sequence[Micrograph]
    unusable: pd.DataFrame

    def __iter__(self) -> Iterator[Case]:
        for micrograph in self.micrographs:
            assert micrograph.mask is not None  # those without one were skipped
            told = {"convention": micrograph.convention}
            yield Case(
                micrograph.name,
                micrograph.image,
                micrograph.mask,
                micrograph.pixel_size,
                micrograph.group,
                columns=told,
            )

    def skipped(self) -> pd.DataFrame:
        """Files that cannot be used."""
        return self.unusable

    def examples(self) -> None:
        """None: all micrographs are scored."""
        return None


def check(node: Node) -> None:
    """Refuse a folder that cannot be used, and networks that give no masks."""
    block = node.of(MicrographBenchmark)
    for training in node.upstream["trainings"]:
        model = training.source("model").of(Network)
        if not gives_masks(model):
            raise ConfigError(
                f"trainings: found '{training.name}', whose model is of kind {model.kind}; allowed: trainings that "
                "segment or measure the thickness, since masks are what the experts have drawn"
            )
    found = _found_in_stack(block) if is_stacked(block) else _found_in_folder(block)
    if "" in found.conventions:
        for training in node.upstream["trainings"]:
            if isinstance(training.source("model").block, Regression):
                raise ConfigError(
                    f"convention: '{training.name}' measures the thickness, and {found.told} does not say for every "
                    "image what its expert has marked; needed: outline or half, here or in its column convention"
                )
    check_named(block.networks, found.conventions, {training.name for training in node.upstream["trainings"]})
    seen = {
        os.path.realpath(listed.image) for training in node.upstream["trainings"] for listed in trained_on(training)
    }
    for name, path in found.images.items():
        if os.path.realpath(path) in seen:
            raise ConfigError(
                f"path: {name} of {found.told} is a micrograph that a network has been trained on; allowed: those that "
                "were kept back, which split: test singles out"
            )
    if not block.any_pixel_size:
        check_pixel_sizes(found.pixel_sizes, node.upstream["trainings"])


@dataclass(frozen=True)
class _Found:
    """What is known of the micrographs of a benchmark before one is read.

    Attributes
    ----------
    told : str
        What says it.
    conventions : set of str
        Of its images; empty where it is not said.
    images : mapping of path
        Files by name.
    pixel_sizes : mapping of float
        [Å], those that are known, by what is to be said of them.
    """

    told: str
    conventions: set[str]
    images: Mapping[str, Path]
    pixel_sizes: Mapping[str, float]


def _found_in_folder(block: MicrographBenchmark) -> _Found:
    if block.hdf5 != Hdf5():
        raise ConfigError(f"hdf5: found with the path {block.path}, which is no file; allowed: with a file of HDF5")
    try:
        index = check_benchmark_folder(block.path, block.pixel_size, block.split)
    except ConfigError as error:
        raise ConfigError(f"path: {error}") from error
    known = index[index["pixel_size"].notna()]
    return _Found(
        "index.csv",
        {block.convention or str(told) for told in index["convention"]},
        {name: Path(block.path) / name for name in index["image"].dropna()},
        {f"path: {row['image']} of index.csv": float(row["pixel_size"]) for _, row in known.iterrows()},
    )


def _found_in_stack(block: MicrographBenchmark) -> _Found:
    if block.split is not None:
        raise ConfigError("split: found with a file of HDF5; allowed: with a folder that has an index.csv")
    try:
        pair = open_pair(block)
    except MicrographError as error:
        raise ConfigError(f"path: {error}") from error
    path, told = pair.images.path, block.published or str(block.path)
    sizes = {} if pair.pixel_size is None else {f"path: {path.name}": pair.pixel_size}
    return _Found(told, {pair.convention}, {path.name: path}, sizes)


def trained_on(training: Node) -> Iterator[Listed]:
    """Micrographs that the networks of a training have seen."""
    for dataset in datasets_learned(training):
        for images in dataset.upstream["images"]:
            if isinstance(images.block, MicrographFields):
                yield from images.block.listed()


def scorable(trainings: Sequence[N]) -> list[N]:
    """Those that segment."""
    return [training for training in trainings if isinstance(training.source("model").block, Segmentation)]


def aim(trainings: Sequence[Node]) -> dict[str, Any]:
    """Experts have drawn masks, whatever the networks were trained to take for one."""
    return DEFAULT_AIM


def files(block: MicrographBenchmark) -> list[str]:
    """Index, images, masks and sidecars that are there."""
    networks = [file for where in block.networks.values() for file in files_of_named(where)]
    if is_stacked(block):
        images, masks = stack_files(block)
        there = [file for file in (images, masks, sidecar_of(images), *networks) if os.path.exists(file)]
        return list(dict.fromkeys(map(str, there)))
    folder = Path(block.path)
    index = check_benchmark_folder(folder, block.pixel_size, block.split)
    named = [folder / name for column in ("image", "mask") for name in index[column] if isinstance(name, str)]
    beside = [sidecar_of(folder / name) for name in index["image"] if isinstance(name, str)]
    return [str(folder / "index.csv"), *(str(file) for file in [*named, *networks, *beside] if os.path.exists(file))]


def cases(block: MicrographBenchmark, model: Network, manifests: Sequence[Path]) -> Cases:
    """Micrographs that have a mask."""
    if is_stacked(block):
        return stacked_cases(block, task_of(model, {}))
    micrographs, skipped = read_benchmark(block.path, block.pixel_size, block.split)
    if block.convention is not None:
        micrographs = [replace(found, convention=block.convention) for found in micrographs]
    return Micrographs(task_of(model, {}), micrographs, skipped)


def check_benchmark_folder(
    path: str | PurePath,
    pixel_size: float | None = None,
    split: str | None = None,
    needed: Sequence[str] = ("image", "mask"),
) -> pd.DataFrame:
    """Check the index of a benchmark folder without opening an image.

    Parameters
    ----------
    path : path
        Folder with an ``index.csv``.
    pixel_size : float, optional
        Pixel [Å] that holds for all files.
    split : str, optional
        Value of the column ``split`` of the rows that are kept; all of them if left out.
    needed : sequence of str
        Columns that the index must have, the first of them ``image``.

    Returns
    -------
    DataFrame
        The index: columns ``image`` and ``mask`` (paths relative to the folder), ``pixel_size`` [Å] (NaN where the
        files have to tell), ``page`` (NaN where a file has to hold one image), ``group`` (the image file where the
        index does not say), ``convention`` (empty where it does not say), and whatever else it has.

    Raises
    ------
    ConfigError
        If folder, index or a column is missing, a value is impossible, or no row can have a pixel size.
    """
    path = Path(path)
    if not os.path.isdir(path):
        raise ConfigError(f"benchmark path {path} is no folder; needed: a folder with images and an index.csv")
    told = " and ".join(filter(None, (", ".join(needed[:-1]), needed[-1])))
    if not os.path.isfile(path / "index.csv"):
        raise ConfigError(f"benchmark path {path} has no index.csv; needed: one with the columns {told}")
    try:
        text = dict.fromkeys(("image", "mask", "group", "split", "convention"), str)
        index = pd.read_csv(path / "index.csv", dtype=text)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path / 'index.csv'} cannot be read as a table: {error}") from error
    missing = [column for column in needed if column not in index.columns]
    if missing:
        raise ConfigError(
            f"{path / 'index.csv'} has the columns {', '.join(index.columns)}, but lacks {' and '.join(missing)}; "
            f"needed: {told}"
        )
    if index.empty:
        raise ConfigError(f"{path / 'index.csv'} lists no micrograph; needed: one row for each")
    if split is not None:
        found = list(index["split"].dropna().unique()) if "split" in index.columns else []
        if split not in found:
            known = f"allowed: {' or '.join(map(str, found))}" if found else "it has no such column; allowed: no split"
            raise ConfigError(f"{path / 'index.csv'} has no micrograph whose split is {split}; {known}")
        index = index[index["split"] == split].reset_index(drop=True)
    sizes = numbers_of(index, "pixel_size", path, lambda size: (size > 0) & np.isfinite(size), "a number above 0, in Å")
    index["pixel_size"] = sizes if pixel_size is None else float(pixel_size)
    index["page"] = numbers_of(index, "page", path, lambda page: (page >= 1) & (page % 1 == 0), "a whole number from 1")
    index["group"] = index["group"].fillna(index["image"]) if "group" in index.columns else index["image"]
    index["convention"] = index["convention"].fillna("") if "convention" in index.columns else ""
    for told in index["convention"]:
        if told not in ("", *get_args(Convention)):
            allowed = " or ".join(get_args(Convention))
            raise ConfigError(f"{path / 'index.csv'} has the convention {told}; allowed: {allowed}, or empty")
    uncalibrated = index["image"].map(lambda name: _carries_no_calibration(path, str(name)))
    calibrated = index["pixel_size"].notna() | ~uncalibrated.astype(bool)
    if not calibrated.any():
        raise ConfigError(
            f"{path / 'index.csv'} has no pixel_size, its image files cannot carry one, and none has a sidecar; "
            "give the column pixel_size or the key pixel_size, in Å"
        )
    return index


def numbers_of(
    index: pd.DataFrame, column: str, path: Path, possible: Callable[[pd.Series], pd.Series], allowed: str
) -> pd.Series:
    """A column of numbers, NaN where it is empty or missing."""
    if column not in index.columns:
        return pd.Series(np.nan, index.index)
    numbers = pd.to_numeric(index[column], errors="coerce").astype(float)
    wrong = index[column].notna() & ~possible(numbers)
    if wrong.any():
        found = index.loc[wrong, column].iloc[0]
        raise ConfigError(f"{path / 'index.csv'} has the {column} {found}; allowed: {allowed}")
    return numbers


def read_benchmark(
    path: str | PurePath, pixel_size: float | None = None, split: str | None = None
) -> tuple[list[Micrograph], pd.DataFrame]:
    """Read a benchmark folder; a file that cannot be used is skipped and the others go on.

    Parameters
    ----------
    path : path
        Folder with an ``index.csv`` of the columns image, mask and optionally pixel_size [Å], page, group and
        convention.
    pixel_size : float, optional
        Pixel [Å] that holds for all files, whatever index and files say.
    split : str, optional
        Value of the column ``split`` of the rows that are read; all of them if left out.

    Returns
    -------
    micrographs : list of Micrograph
        Those that can be scored, each with a mask; one that is listed twice with the same mask counts once.
    skipped : DataFrame
        Columns ``file`` and ``reason``.

    Raises
    ------
    ConfigError
        If the index cannot be used.
    MicrographError
        If nothing is left to score.
    """
    index = check_benchmark_folder(path, pixel_size, split)
    names = distinct_names(index)
    micrographs, skipped = [], []
    listed: set[tuple[Any, ...]] = set()
    for name, (_, row) in zip(names, index.iterrows(), strict=True):
        try:
            for column in ("image", "mask"):
                if pd.isna(row[column]):
                    raise MicrographError(f"index.csv names no {column} for {name}; needed: a file")
            image, mask = Path(path) / row["image"], Path(path) / row["mask"]
            page = None if pd.isna(row["page"]) else int(row["page"])
            key = (image.resolve(), page or 1, mask.resolve())
            size = None if pd.isna(row["pixel_size"]) else float(row["pixel_size"])
            found = read_micrograph(image, size, mask, page)
            if key in listed:
                raise MicrographError(f"index.csv lists {row['image']} with {row['mask']} twice; it counts once")
            for warning in found.warnings:
                log.warning("%s: %s", name, warning)
            found = replace(found, name=name, group=str(row["group"]), convention=str(row["convention"]))
            micrographs.append(found)
            listed.add(key)
        except MicrographError as error:
            skipped.append({"file": str(row["image"]), "reason": str(error)})
    if not micrographs:
        raise MicrographError(
            f"none of the {len(index)} micrographs of {path} can be used; the first: {skipped[0]['reason']}"
        )
    return micrographs, pd.DataFrame(skipped, columns=["file", "reason"])


def read_for_training(block: MicrographFields, item: int) -> tuple[dict[str, Any], Mapping[str, Array]]:
    """Read a micrograph and its mask, and bring them to the pixels of a network as `predict_image` does.

    Parameters
    ----------
    block : MicrographFields
    item : int
        Which of the micrographs of the block.

    Returns
    -------
    row : dict
        Columns of its fields.
    arrays : mapping of Array
        ``counts`` float32 and ``drawn`` uint8 [y, x], on pixels of the block. In areas that show no specimen both are
        the mirror image of what is beside them.

    Raises
    ------
    MicrographError
        If one of them cannot be used.
    """
    from exitwave.benchmark.areas import continued, without_artifacts
    from exitwave.benchmark.tiling import check_pixel, interpolate, resample, resampled_shape

    listed = block.listed()[item]
    try:
        given = float(listed.pixel_size) if listed.pixel_size else None
        page = int(float(listed.page)) if listed.page else None
    except ValueError as error:
        raise MicrographError(
            f"index.csv has the pixel_size {listed.pixel_size} and the page {listed.page} for {listed.image}; allowed: "
            "numbers"
        ) from error
    found = read_micrograph(listed.image, given, listed.mask, page)
    assert found.mask is not None  # it was asked for
    shape = (found.image.shape[0], found.image.shape[1])
    try:
        warning = check_pixel(shape, found.pixel_size, block.pixel_size, block.size, 0.0)
    except MicrographError as error:
        raise MicrographError(f"{listed.image}: {error}") from error
    if warning:
        log.warning("%s: %s", listed.image, warning)
    cleaned, left_out = without_artifacts(found.image, block.outliers)
    if left_out.all():
        raise MicrographError(f"{listed.image} has no contrast, so that there is nothing to learn from; allowed: some")
    there = resampled_shape(shape, found.pixel_size, block.pixel_size)
    mask = interpolate(continued(found.mask.astype(np.float32), left_out), there) >= 0.5
    axes = lateral(block.pixel_size)
    row = {"micrograph": str(listed.image), "micrograph_pixel_size": found.pixel_size}
    return row, {"counts": Array(resample(cleaned, there), axes), DRAWN: Array(mask.astype(np.uint8), axes)}


def _carries_no_calibration(folder: Path, name: str) -> bool:
    """Whether an image is of a format without calibration, and has no sidecar."""
    return PurePath(name).suffix.lower() in PICTURE_SUFFIXES | {".npy"} and not sidecar_of(folder / name).exists()


def distinct_names(index: pd.DataFrame) -> list[str]:
    """File names without folder and suffix; the whole path, and the page, for those that would be the same."""
    paths = [PurePath(str(image)) for image in index["image"]]
    stems = [path.stem for path in paths]
    return [
        path.stem
        if stems.count(path.stem) == 1
        else str(path.with_suffix("")) + ("" if pd.isna(page) else f", page {page:.0f}")
        for path, page in zip(paths, index["page"], strict=True)
    ]
