"""Stacks of micrographs and expert masks in HDF5 that make a benchmark: published sets, and one's own."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case
from exitwave.benchmark.masks import binary
from exitwave.benchmark.pages import stack_pages
from exitwave.benchmark.readers import MicrographFile
from exitwave.benchmark.reading import failures_told, in_words
from exitwave.benchmark.remedies import IN_BENCHMARK
from exitwave.benchmark.stacks import IMAGES, MASKS, Stack, open_stack, read_names
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.published import PublishedFile, published_set
from exitwave.config.yaml_files import sidecar_of
from exitwave.errors import MicrographError
from exitwave.training.task import Task

log = logging.getLogger(__name__)

REMEDIES = replace(IN_BENCHMARK, pixel_size="give one as pixel_size, in Å")


@dataclass(frozen=True)
class Pair:
    """Images and masks of HDF5 that belong together, one by one.

    Attributes
    ----------
    images, masks : Stack
        As many of one and the other, of one size.
    groups : tuple of str, optional
        Of each image; images of one group are not independent. None where nothing is known of it.
    pixel_size : float, optional
        [Å]; None where a sidecar may say it.
    convention : str
        What the experts have marked; empty where nobody says so.
    doubts : tuple of str
        What scores on it have to be read with, one half sentence each.
    """

    images: Stack
    masks: Stack
    groups: tuple[str, ...] | None
    pixel_size: float | None
    convention: str
    doubts: tuple[str, ...]


def is_stacked(block: MicrographBenchmark) -> bool:
    """Whether the micrographs of a benchmark lie in HDF5, not in a folder with an index."""
    return block.published is not None or os.path.isfile(block.path)


def stack_files(block: MicrographBenchmark) -> tuple[Path, Path]:
    """Files of the images and of the masks.

    Raises
    ------
    ConfigError
        If there is no published set of that name.
    """
    if block.published is None:
        return Path(block.path), Path(block.hdf5.mask_file or block.path)
    known = published_set(block.published)
    return Path(block.path) / known.images.file, Path(block.path) / known.masks.file


def open_pair(block: MicrographBenchmark) -> Pair:
    """What a benchmark scores, as far as shapes and names go; no image is read.

    Raises
    ------
    ConfigError
        If there is no published set of that name.
    MicrographError
        If a file or dataset is missing, or images and masks do not fit each other.
    """
    image_file, mask_file = stack_files(block)
    known = None if block.published is None else published_set(block.published)
    if known is not None:
        for path in (image_file, mask_file):
            if not path.exists():
                raise MicrographError(
                    f"{path} does not exist; needed: this file of {block.published}, from https://doi.org/{known.doi}"
                )
    keys = (block.hdf5.images, block.hdf5.masks) if known is None else (known.images.key, known.masks.key)
    images = open_stack(image_file, keys[0], IMAGES)
    masks = open_stack(mask_file, keys[1], MASKS, classes=(1, 2))
    if (masks.path, masks.key) == (images.path, images.key):
        raise MicrographError(
            f"{images.path} has one array, '{images.key}', for images and masks; give the masks: hdf5.mask_file or "
            "hdf5.masks"
        )
    told = f"{images.path} has in '{images.key}'"
    if len(images) != len(masks):
        raise MicrographError(
            f"{told} {len(images)} images, but {masks.path} in '{masks.key}' {len(masks)} masks; allowed: as many"
        )
    if images.shape != masks.shape:
        raise MicrographError(
            f"{told} images of {in_words(images.shape[1:])} px, but {masks.path} in '{masks.key}' masks of "
            f"{in_words(masks.shape[1:])} px; allowed: the same shape"
        )
    groups = None if block.hdf5.groups is None else tuple(read_names(image_file, block.hdf5.groups))
    if groups is not None and len(groups) != len(images):
        raise MicrographError(
            f"{told} {len(images)} images, but {len(groups)} values in '{block.hdf5.groups}'; allowed: as many"
        )
    pixel_size = block.pixel_size or (known.pixel_size if known is not None else None)
    if pixel_size is None and not sidecar_of(image_file).exists():
        raise MicrographError(
            f"{image_file} has no pixel size{'' if known is None else ', nor is one known of the set'}; "
            "give one as pixel_size, in Å"
        )
    convention = block.convention or (known.convention if known is not None else None) or ""
    doubts = [] if known is None else [told for key, told in known.assumed.items() if not getattr(block, key, None)]
    if groups is None and len(images) > 1 and not (known is not None and known.whole):
        doubts.append(
            f"nothing says which of the {len(images)} images are patches of one micrograph; each counts as "
            "independent, so that intervals are too narrow"
        )
    return Pair(images, masks, groups, pixel_size, convention, tuple(doubts))


@dataclass
class StackedMicrographs:
    """Micrographs of HDF5, read one by one each time they are gone through; see `exitwave.benchmark.cases.Cases`."""

    task: Task
    pair: Pair
    digests: dict[str, str]
    """Columns that say what was read."""
    _unusable: dict[int, str] = field(default_factory=dict)
    _seen: bool = False

    def __iter__(self) -> Iterator[Case]:
        pair, usable = self.pair, 0
        file = MicrographFile(pair.images.path, stack_pages(pair.images))
        for place in range(len(pair.images)):
            name = pair.images.name(place)
            try:
                image = file.read(pair.pixel_size, place + 1, REMEDIES)
                mask = particles(pair.masks.read(place), pair.masks.name(place))
            except MicrographError as error:
                self._unusable[place] = str(error)
                continue
            usable += 1
            group = name if pair.groups is None else pair.groups[place]
            yield Case(
                name, image.image, mask, image.pixel_size, group, columns={"convention": pair.convention} | self.digests
            )
        self._seen = True
        if not usable:
            raise MicrographError(
                f"none of the {len(pair.images)} images of {pair.images.path} can be used; the first: "
                f"{self._unusable[0]}"
            )

    def skipped(self) -> pd.DataFrame:
        """Images that cannot be used; all are read once to know."""
        if not self._seen:
            for _ in self:
                pass
        rows = [
            {"file": self.pair.images.name(place), "reason": reason} for place, reason in sorted(self._unusable.items())
        ]
        return pd.DataFrame(rows, columns=["file", "reason"])

    def examples(self) -> None:
        """None: all micrographs are scored."""
        return None


def stacked_cases(block: MicrographBenchmark, task: Task) -> StackedMicrographs:
    """Cases of a benchmark of HDF5, whose files are those that were published.

    Raises
    ------
    MicrographError
        As of :func:`open_pair`, and if a checksum is not that published.
    """
    pair = open_pair(block)
    for doubt in pair.doubts:
        log.warning("%s: %s", block.published or pair.images.path, doubt)
    known = None if block.published is None else published_set(block.published)
    images = checked_digest(pair.images.path, None if known is None else known.images)
    masks = images
    if pair.masks.path != pair.images.path:
        masks = checked_digest(pair.masks.path, None if known is None else known.masks)
    return StackedMicrographs(task, pair, {"images_sha256": images, "masks_sha256": masks})


def checked_digest(path: Path, known: PublishedFile | None) -> str:
    """SHA-256 of a file.

    Raises
    ------
    MicrographError
        If it, or the MD5, is not the one that was published.
    """
    found = {}
    for algorithm in ("sha256", "md5"):
        expected = None if known is None else getattr(known, algorithm)
        if expected is None and algorithm != "sha256":
            continue
        with failures_told(path, MicrographError), path.open("rb") as file:
            found[algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
        if expected not in (None, found[algorithm]):
            raise MicrographError(
                f"{path} has the {algorithm} {found[algorithm]}, but that published is {expected}; fetch it again"
            )
    return found["sha256"]


def particles(values: NDArray[Any], which: str) -> NDArray[np.bool_]:
    """Mask of particles [H, W] from values of two kinds [H, W], or from two classes [H, W, 2], the second of particles.

    Parameters
    ----------
    values : array
    which : str
        Name of the mask, for errors.

    Raises
    ------
    MicrographError
        If it is not binary, or the classes overlap or leave pixels out.
    """
    if values.ndim == 2:
        return binary({"brightness": values}, which)
    mask = binary({"particles": values[..., 1]}, which)
    wrong = np.count_nonzero(binary({"background": values[..., 0]}, which) == mask)
    if wrong:
        raise MicrographError(
            f"mask {which} has {wrong} pixels that are of both classes or of none; allowed: each pixel of one"
        )
    return mask
