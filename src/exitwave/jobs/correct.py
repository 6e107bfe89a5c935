"""From masks that were corrected by hand to a folder that networks are scored on, and trained on."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.masks import read_corrected
from exitwave.benchmark.pages import SUFFIXES
from exitwave.benchmark.readers import read_micrograph
from exitwave.config.images import KEPT_BACK
from exitwave.data.whole import replace_file
from exitwave.errors import MicrographError, WriteError
from exitwave.jobs.apply import Outcome
from exitwave.jobs.results_table import IMAGES

CORRECTED = ("_corrected", "_mask_corrected", "_instances_corrected")
"""What the name of a mask that was corrected ends in, after that of its image."""
SEGMENTED = ("_mask",)
"""The same of a mask as the network gave it, or as it was edited in its place."""
PIXEL_SIZE = "pixel size [nm]"
"""Heading under which a table of results has the pixel size."""
INDEX = "index.csv"
COLUMNS = ["image", "mask", "pixel_size", "page", "group", "split", "source"]
"""Columns of the index; ``source`` is the path of the image when it was segmented."""


@dataclass(frozen=True)
class SegmentedImage:
    """An image in a folder of results.

    Attributes
    ----------
    path : path
        The image.
    page : int
        Which image of its file, counted from 1.
    name : str
        What the names of its results begin with.
    pixel_size : float
        [Å]
    """

    path: Path
    page: int
    name: str
    pixel_size: float


def segmented_images(folder: Path) -> list[SegmentedImage]:
    """Images of a folder of results, in the order of its table.

    Raises
    ------
    MicrographError
        If it has no such table.
    """
    file = folder / IMAGES
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise MicrographError(
            f"{folder} has no table {IMAGES} that can be read; allowed: a folder of results of exitwave segment"
        ) from error
    if missing := [name for name in ("path", "page", "name", PIXEL_SIZE) if name not in table]:
        raise MicrographError(f"{file} has no column {missing[0]}; allowed: the table of exitwave segment")
    try:
        return [
            SegmentedImage(Path(row["path"]), int(row["page"]), row["name"], 10 * float(row[PIXEL_SIZE]))
            for row in table.to_dict("records")
        ]
    except ValueError as error:
        raise MicrographError(
            f"{file} has a page or a pixel size that is no number ({error}); allowed: numbers"
        ) from error


def masks_of(folder: Path, name: str, untouched: bool) -> list[Path]:
    """Masks of an image that count: those that were corrected, or else, if it is meant so, that of the network."""
    for ends in (CORRECTED, SEGMENTED if untouched else ()):
        # Names of formats are written in both cases.
        found = [
            file
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in SUFFIXES and file.stem in [f"{name}{end}" for end in ends]
        ]
        if found:
            return found
    return []


def collect(folder: Path, output: Path, test: float, untouched: bool = False) -> tuple[list[Outcome], int]:
    """Collect images and their corrected masks in a folder with an index, as benchmarks and trainings read it.

    Images are copied, and masks written as 0 and 255. A group is a file, and kept back as a whole (``split`` is test).
    What the folder has already keeps its group and its side, so that nothing kept back is trained on later.

    Parameters
    ----------
    folder : path
        Of results.
    output : path
        Folder to write, or to add to.
    test : float
        Share of the groups that are kept back; of two groups or more at least one, unless it is 0.
    untouched : bool
        Whether the mask of the network counts where there is no corrected one.

    Returns
    -------
    outcomes : list of Outcome
        Of each image with a mask; one that cannot be used costs none of the others.
    left : int
        Images without a mask that counts.

    Raises
    ------
    MicrographError
        If the folder has no results, or the other one another index.
    """
    images = segmented_images(folder)
    rows = _rows(output)
    outcomes, left = [], 0
    for image in images:
        masks = masks_of(folder, image.name, untouched)
        if not masks:
            left += 1
            continue
        try:
            if len(masks) > 1:
                raise MicrographError(
                    f"{image.name} has several corrected masks, {', '.join(mask.name for mask in masks)}; allowed: one"
                )
            told = _add(image, masks[0], output, rows)
            outcomes.append(Outcome(image.path, True, told))
        except (MicrographError, WriteError, OSError) as error:
            outcomes.append(Outcome(image.path, False, str(error)))
    if rows:
        # Columns that were added by hand stay, behind these.
        further = [name for row in rows for name in row if name not in COLUMNS]
        table = pd.DataFrame(rows, columns=[*COLUMNS, *dict.fromkeys(further)]).fillna("").astype(str)
        table["split"] = _splits(table, test)
        replace_file(output / INDEX, lambda path: table.to_csv(path, index=False))
    return outcomes, left


def _rows(output: Path) -> list[dict[str, Any]]:
    """Rows of an index that is there already."""
    if not (output / INDEX).exists():
        return []
    try:
        table = pd.read_csv(output / INDEX, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise MicrographError(f"{output / INDEX} cannot be read as a table; allowed: another output folder") from error
    if missing := [column for column in COLUMNS if column not in table]:
        raise MicrographError(
            f"{output / INDEX} has no column {missing[0]}: it was not made by exitwave correct; allowed: another "
            "output folder"
        )
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    for row in rows:
        for name in ("image", "mask"):
            there = os.path.realpath(output / row[name].replace("\0", ""))
            # An image that stays where it is is not written.
            if not there.startswith(os.path.realpath(output) + os.sep) and (name, there) != ("image", row["source"]):
                raise MicrographError(
                    f"{output / INDEX} has the {name} {row[name]!r}; allowed: a file in its own folder, or below"
                )
    return rows


def _add(image: SegmentedImage, mask_file: Path, output: Path, rows: list[dict[str, Any]]) -> str:
    """Write an image and its mask, put its row in place of the one it had, and tell what is marked."""
    from PIL import Image

    pixels = read_micrograph(image.path, image.pixel_size, page=image.page).image
    mask = read_corrected(mask_file, image.path, pixels.shape)
    source = os.path.realpath(image.path)
    known = [row for row in rows if (row["source"], row["page"]) == (source, str(image.page))]
    row = known[0] if known else {"page": str(image.page), "group": source, "split": "", "source": source}
    if not known:
        row |= _names(image, rows, output)
    row["pixel_size"] = f"{image.pixel_size:.10g}"
    if (copy := output / row["image"]).resolve() != Path(source):
        replace_file(copy, lambda path: shutil.copyfile(source, path))
    replace_file(
        output / row["mask"], lambda path: Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="png")
    )
    if not known:
        rows.append(row)
    marked = "" if 0 < mask.mean() < 1 else f"; warning: {'everything' if mask.all() else 'nothing'} is marked"
    return f"{image.name}: {mask_file.name}, {100 * mask.mean():.1f} % of the area{marked}"


def _names(image: SegmentedImage, rows: Sequence[dict[str, Any]], output: Path) -> dict[str, str]:
    """Where an image and its mask go; the header of a series, which reads the files beside it, stays where it is."""
    taken = {Path(row["mask"]).stem.casefold() for row in rows}
    name, number = image.name, 1
    while name.casefold() in taken:
        number += 1
        name = f"{image.name}-{number}"
    suffix = image.path.suffix
    stays = suffix.lower() == ".emi"
    return {
        "image": os.path.relpath(os.path.realpath(image.path), output) if stays else f"images/{name}{suffix}",
        "mask": f"masks/{name}.png",
    }


def _splits(table: pd.DataFrame, test: float) -> list[str]:
    """Side of each row: that of its group, if it has one; of new groups as many are kept back as the share says."""
    known = table[table["split"] != ""]
    # A group that was made of two, on two sides, has been seen by no network only if all of it is kept back.
    kept_back = set(known.loc[known["split"] == KEPT_BACK, "group"])
    sides = {group: KEPT_BACK if group in kept_back else "train" for group in known["group"]}
    groups = list(dict.fromkeys(table["group"]))
    wanted = round(test * len(groups))
    if test > 0 and len(groups) > 1:
        wanted = min(max(wanted, 1), len(groups) - 1)
    wanted -= sum(side == KEPT_BACK for side in sides.values())
    # In an order that is none of the microscopist's, and always the same.
    new = sorted((g for g in groups if g not in sides), key=lambda g: hashlib.blake2b(Path(g).name.encode()).digest())
    sides |= {group: KEPT_BACK if place < wanted else "train" for place, group in enumerate(new)}
    return [sides[group] for group in table["group"]]
