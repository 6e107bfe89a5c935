"""Drawing a dataset towards micrographs without labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.micrographs import check_benchmark_folder
from exitwave.benchmark.readers import Micrograph, open_micrographs
from exitwave.benchmark.remedies import IN_BENCHMARK, Remedies
from exitwave.benchmark.tiling import LARGEST_AREA, resample, resampled_shape
from exitwave.config.benchmarks import FARTHEST_PIXEL
from exitwave.config.datasets import Match
from exitwave.config.images import KEPT_BACK
from exitwave.config.models import Preprocessing
from exitwave.data.image_fingerprint import Scale, image_fingerprint, of_stored, usable
from exitwave.data.likeness import LARGEST_FIELD, fields
from exitwave.data.match import DISTANCE, WEIGHT, effective_number, match_weights
from exitwave.data.shards import open_shard
from exitwave.errors import DatasetError, MicrographError
from exitwave.jobs.apply import find_images

log = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """An image of a file that is asked for.

    Attributes
    ----------
    path : path
    page : int, optional
        Which image of the file, counted from 1; all of them if left out.
    pixel_size : float, optional
        Pixel [Å], where it is not the file's to say.
    """

    path: Path
    page: int | None
    pixel_size: float | None


@dataclass(frozen=True)
class Fingerprinted:
    """A micrograph on the pixels of stored images, with the fingerprints of its fields.

    Attributes
    ----------
    name : str
    image : float32 array [H, W]
    found : ndarray [n, exitwave.data.image_fingerprint.NAMES]
    warnings : tuple of str
    """

    name: str
    image: NDArray[np.float32]
    found: FloatArray
    warnings: tuple[str, ...]


def asked_of(match: Match) -> list[Asked]:
    """Images of a folder that a dataset is drawn towards, in the order of its index or by their paths.

    Raises
    ------
    ConfigError
        If there is an index that cannot be used.
    """
    if match.index is None:
        return [Asked(path, None, match.pixel_size) for path in find_images([Path(match.path)])]
    index = check_benchmark_folder(match.path, match.pixel_size, needed=("image",))
    if "split" in index:
        index = index[index["split"] != KEPT_BACK]
    return [
        Asked(
            Path(match.path) / str(row["image"]),
            None if pd.isna(row["page"]) else int(row["page"]),
            None if pd.isna(row["pixel_size"]) else float(row["pixel_size"]),
        )
        for _, row in index.iterrows()
    ]


def fingerprinted(
    asked: Asked, pixel_size: float, edge: int, remedies: Remedies = IN_BENCHMARK
) -> Iterator[Fingerprinted]:
    """Fingerprints of the images of a file, on the pixels of stored images.

    Parameters
    ----------
    asked : Asked
    pixel_size : float
        Of the stored images [Å].
    edge : int
        Of the stored images [px].
    remedies : Remedies
        What errors say can be done.

    Raises
    ------
    MicrographError
        If the file cannot be used.
    """
    file = open_micrographs(asked.path)
    several = asked.page is None and len(file.pages) > 1
    for page in range(1, len(file.pages) + 1) if several else [asked.page]:
        name = asked.path.name if page is None else f"{asked.path.name}, image {page}"
        yield _fingerprinted(file.read(asked.pixel_size, page, remedies), name, pixel_size, edge, remedies)


def _fingerprinted(
    micrograph: Micrograph, name: str, pixel_size: float, edge: int, remedies: Remedies
) -> Fingerprinted:
    edge = min(edge, LARGEST_FIELD)
    height, width = micrograph.image.shape
    ratio = max(micrograph.pixel_size / pixel_size, pixel_size / micrograph.pixel_size)
    if ratio > FARTHEST_PIXEL:
        raise MicrographError(
            f"{name} has pixels of {micrograph.pixel_size:g} Å, and the simulated images of {pixel_size:g} Å; allowed: "
            f"up to {FARTHEST_PIXEL:g} times coarser or finer; if it is wrong, {remedies.pixel_size}"
        )
    there = resampled_shape((height, width), micrograph.pixel_size, pixel_size)
    if there[0] * there[1] > LARGEST_AREA:
        raise MicrographError(
            f"{name} would have {there[0]} x {there[1]} px of {pixel_size:g} Å; allowed: {LARGEST_AREA:,} px; if its "
            f"pixel is wrong, {remedies.pixel_size}"
        )
    cleaned, left_out = without_artifacts(micrograph.image, Preprocessing().outliers)
    if left_out.all():
        raise MicrographError(f"{name} has no contrast, so that there is nothing to compare; allowed: some")
    image = resample(cleaned, there)
    found = usable(image_fingerprint(field) for field in fields(image, edge))
    if not len(found):
        raise MicrographError(
            f"{name} has {' x '.join(map(str, image.shape))} px on pixels of {pixel_size:g} Å, which is too small, or "
            "no contrast; allowed: 32 px along both edges, and some contrast"
        )
    return Fingerprinted(name, image, found, micrograph.warnings)


def micrographs_of(match: Match, pixel_size: float, edge: int) -> tuple[list[Fingerprinted], list[str]]:
    """Micrographs of a folder that can be used, and a sentence on each that cannot.

    Raises
    ------
    ConfigError
        If there is an index that cannot be used.
    MicrographError
        If none is left.
    """
    there: list[Fingerprinted] = []
    skipped: list[str] = []
    for asked in asked_of(match):
        try:
            there += fingerprinted(asked, pixel_size, edge)
        except MicrographError as error:
            skipped.append(str(error))
    if not there:
        raise MicrographError(f"none of the micrographs of {match.path} can be used; the first: {skipped[0]}")
    return there, skipped


class Towards:
    """Weights for a draw towards micrographs, and afterwards what they have brought.

    Parameters
    ----------
    match : Match
    size : int
        Images that are to be drawn.
    """

    def __init__(self, match: Match, size: int) -> None:
        self._match = match
        self._size = size
        self._summary: dict[str, Any] = {}

    def __call__(self, pool: pd.DataFrame) -> pd.DataFrame:
        """Give images weights by how near they are to the micrographs.

        Parameters
        ----------
        pool : DataFrame
            Images that may be drawn, and those of the test split, which get none.

        Returns
        -------
        DataFrame
            With the columns ``WEIGHT``, 1 on average, and ``DISTANCE`` to the nearest field; an image without contrast
            has none, and is as likely as the farthest.

        Raises
        ------
        ExitwaveError
            If the folder, or an image, cannot be used.
        """
        rest = pool[pool["split"] != "test"]
        found = of_stored(rest)
        seen = ~np.isnan(found).all(axis=1)
        if not seen.any():
            raise DatasetError("match: none of the images has contrast; allowed: images that have some")
        micrographs, skipped = self._read(rest.iloc[0])
        scale = Scale.of(found[seen])
        of = [number for number, one in enumerate(micrographs) for _ in one.found]
        fields = scale.points(np.concatenate([one.found for one in micrographs]))
        shares, away = match_weights(scale.points(found[seen]), fields, of, self._match.nearest, self._match.evenly)
        weight, distance = np.full(len(rest), self._match.evenly), np.full(len(rest), np.nan)
        weight[seen], distance[seen] = shares * seen.sum(), away
        self._summary = {
            "micrographs": [one.name for one in micrographs],
            "fields": len(of),
            "skipped": skipped,
            "images": len(rest),
            "effective_images": effective_number(weight),
            "median_distance_of_all": float(np.median(away)),
        }
        return pool.assign(**{WEIGHT: pd.Series(weight, rest.index), DISTANCE: pd.Series(distance, rest.index)})

    def _read(self, first: pd.Series) -> tuple[list[Fingerprinted], list[str]]:
        """The micrographs, on pixels of the images, the first of which stands here."""
        edge = open_shard(str(first["shard"])).read("counts", int(first["row"])).shape[-1]
        try:
            micrographs, skipped = micrographs_of(self._match, float(first["pixel_size"]), edge)
        except MicrographError as error:
            raise DatasetError(f"match: {error}") from error
        for told in skipped:
            log.warning("match: skipped: %s", told)
        for micrograph in micrographs:
            for warning in micrograph.warnings:
                log.warning("match: %s: %s", micrograph.name, warning)
        return micrographs, skipped

    def brought(self, drawn: pd.DataFrame) -> dict[str, Any]:
        """What the weights have brought: for JSON, and in the log.

        Parameters
        ----------
        drawn : DataFrame
            What :func:`exitwave.data.selection.draw_dataset` has made of the pool.
        """
        effective = self._summary["effective_images"]
        # With draw_per_seed it is the pool, of which each network draws its own.
        of_drawn = {} if drawn["pool"].any() else {"median_distance_of_drawn": float(drawn[DISTANCE].median())}
        summary = {**self._summary, **of_drawn}
        log.info("match: %s", ", ".join(f"{key} {value}" for key, value in summary.items()))
        if self._size > effective:
            log.warning(
                "match: size %d is more than the %.0f that the weights count as, so that images are drawn that are no "
                "nearer to the micrographs than others; a smaller size, or more images to draw from, would help",
                self._size,
                effective,
            )
        return summary
