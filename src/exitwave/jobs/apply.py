"""Applying trained networks to a person's own micrographs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from exitwave.benchmark.particles import particle_table, save_overlay
from exitwave.benchmark.prediction import Prediction, likeness_of, predict_ensemble
from exitwave.benchmark.readers import SUFFIXES, Micrograph, MicrographFile, open_micrographs
from exitwave.benchmark.remedies import ON_COMMAND_LINE
from exitwave.benchmark.tiling import Progress
from exitwave.config.models import Segmentation
from exitwave.errors import ConfigError, MicrographError, TrainingError
from exitwave.hardware import resolve_device
from exitwave.training.record import network_folders

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
RESULTS = ("_mask.png", "_probability.npy", "_overlay.png")
"""What the names of the files written for an image end in."""
LONGEST_NAME = 200
"""Of these files without that end [bytes]; file systems allow 255 with it."""
IMAGES, PARTICLES = "images.csv", "particles.csv"
"""Tables of a folder of results."""
FileProgress = Callable[[int, str, int, int], None]
"""Told the number of a file, the name of its image, and how many tiles of it are done, and of how many."""
KEY = ["path", "page"]
"""Columns that say which image a row of these tables is of."""


@dataclass(frozen=True)
class Applying:
    """How micrographs are segmented.

    Attributes
    ----------
    pixel_size : float, optional
        Pixel [Å], where the files do not say or are wrong.
    frame : int or "all", optional
        Which image of files that hold several, counted from 1, or each.
    threshold : float
        Probability from which a pixel is particle.
    overlap : float
        Overlap of neighbouring tiles, of their edge.
    symmetry_average : bool
        Average over the eight quarter turns and flips of each tile.
    any_pixel_size : bool
        Whether a pixel far from that of the network is meant so.
    convention : str, optional
        What counts as particle, where a file of networks has several conventions.
    any_image : bool
        Whether an image far from those that the network was trained on is meant so.
    device : {"auto", "cpu", "cuda"}
        Where the networks run.
    """

    pixel_size: float | None = None
    frame: int | Literal["all"] | None = None
    threshold: float = 0.5
    overlap: float = 0.5
    symmetry_average: bool = False
    any_pixel_size: bool = False
    convention: str | None = None
    any_image: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class Outcome:
    """What came of one image.

    Attributes
    ----------
    image : path
        As it was given.
    done : bool
        Whether it was segmented.
    told : str
        One sentence: what was found, or why it could not be used.
    """

    image: Path
    done: bool
    told: str


def find_images(given: Sequence[Path]) -> list[Path]:
    """Images that were given, and of folders the images in and below them; each file once, however often it is named.

    In folders hidden files and folders, results of earlier calls and headers of TIA beside their images are left out. A
    folder without an image stays in the list, where it is refused like a file that cannot be used. Images come in the
    order in which they were given, those of a folder by name, before those of its subfolders.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for image in (_images_below(path) or [path]) if os.path.isdir(path) else [path]:
            found.setdefault(_absolute(image), image)
    return list(found.values())


def _images_below(top: Path) -> list[Path]:
    images = []
    for folder, below, names in os.walk(top):
        below[:] = sorted(name for name in below if not name.startswith(".") and not _is_results(Path(folder, name)))
        images += _images_of(Path(folder), sorted(names))
    return images


def _is_results(folder: Path) -> bool:
    """Whether a folder holds results of earlier calls."""
    try:
        with (folder / IMAGES).open(encoding="utf-8") as file:
            return set(KEY) <= set(file.readline().strip().split(","))
    except (OSError, ValueError):
        return False


def _images_of(folder: Path, names: Sequence[str]) -> list[Path]:
    files = [folder / name for name in names if PurePath(name).suffix.lower() in SUFFIXES]
    series = {path.stem.rsplit("_", 1)[0] for path in files if path.suffix.lower() == ".ser"}
    return [
        path
        for path in files
        if not path.name.startswith(".")
        and os.path.isfile(path)
        and not path.name.endswith(RESULTS)
        # The header of a series reads the very images beside it.
        and not (path.suffix.lower() == ".emi" and path.stem in series)
    ]


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))


def segment_files(
    images: Sequence[Path], model: Path, output: Path, how: Applying, progress: FileProgress | None = None
) -> Iterator[Outcome]:
    """Segment micrographs, one after another, and write mask, probability and overlay of each and two tables of all.

    Networks are loaded once there is an image to see.

    Parameters
    ----------
    images : sequence of path
        As of :func:`find_images`.
    model : path
        File of networks, or folder of a training or a network; several are averaged.
    output : path
        Folder of results. What other images have there stays; an image that has been segmented before is replaced.
    how : Applying
    progress : callable, optional
        Told which image it is at, from 1, with its name, and how many of its tiles are done, and of how many.

    Yields
    ------
    Outcome
        Of each image, as soon as its files and rows are written. One that cannot be used costs none of the others.

    Raises
    ------
    TrainingError
        If there is no network, it is damaged, or does not segment.
    MicrographError
        If the folder of results cannot be written to, or has other tables of these names.
    ConfigError
        If the device is not there.
    """
    network_folders(model)
    segmenter = _Segmenter(model, _Results(output), how)
    for number, path in enumerate(images, 1):
        yield from segmenter.segment(path, partial(progress, number) if progress else None)


@dataclass(frozen=True)
class _Segmenter:
    """What is the same for all files."""

    model: Path
    results: _Results
    how: Applying

    @cached_property
    def networks(self) -> list[LoadedNetwork]:
        """Loaded when they are first asked for: an image that cannot be read is told at once."""
        from exitwave.training.bundle import load_networks

        networks = load_networks(self.model, self.how.convention)
        if not isinstance(networks[0].model, Segmentation):
            raise TrainingError(
                f"{self.model}: holds networks of kind {networks[0].model.kind}; allowed: networks that segment"
            )
        if likeness_of(networks[0]) is None:
            log.warning("%s does not say what its training images are like: others are not warned of", self.model)
        device = resolve_device(self.how.device)
        return [replace(network, module=network.module.to(device)) for network in networks]

    def segment(self, path: Path, progress: Callable[[str, int, int], None] | None) -> Iterator[Outcome]:
        """The images of a file that are meant."""
        try:
            if os.path.isdir(path):
                raise MicrographError(
                    f"{path} is a folder without a micrograph; allowed: files that end in {', '.join(sorted(SUFFIXES))}"
                )
            file = open_micrographs(path)
        except MicrographError as error:
            yield Outcome(path, False, str(error))
            return
        every = self.how.frame == "all" and len(file.pages) > 1
        for frame in range(1, len(file.pages) + 1) if every else [None if self.how.frame == "all" else self.how.frame]:
            name = path.name if frame is None else f"{path.name}, frame {frame}"
            yield self._segment_frame(path, file, frame, name, partial(progress, name) if progress else None)

    def _segment_frame(
        self, path: Path, file: MicrographFile, frame: int | None, name: str, progress: Progress | None
    ) -> Outcome:
        place = path if frame is None else f"{path}, frame {frame},"
        try:
            micrograph = file.read(self.how.pixel_size, frame, ON_COMMAND_LINE)
            prediction = _predict(self.networks, micrograph, self.how, progress)
            return Outcome(path, True, self.results.add(path, micrograph, prediction, self.model, self.how))
        except (ConfigError, TrainingError):
            raise
        except MicrographError as error:
            told = str(error)
            return Outcome(path, False, told if str(path) in told else f"{path}: {told}")
        except MemoryError:
            return Outcome(path, False, f"{place} cannot be segmented: there is not enough memory for it")
        except Exception as error:
            # A night's batch is not to end at one file, whatever is wrong with it.
            reason = " ".join(str(error).split())
            return Outcome(path, False, f"{place} cannot be segmented: {type(error).__name__}: {reason}")


def _predict(
    networks: Sequence[LoadedNetwork], micrograph: Micrograph, how: Applying, progress: Progress | None
) -> Prediction:
    """Mean probability of the networks."""
    prediction = predict_ensemble(
        networks,
        micrograph.image,
        micrograph.pixel_size,
        how.overlap,
        how.symmetry_average,
        how.any_pixel_size,
        how.any_image,
        progress,
        ON_COMMAND_LINE,
    )
    return replace(prediction, warnings=(*micrograph.warnings, *prediction.warnings))


class _Results:
    """A folder of results, whose tables grow image by image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MicrographError(
                f"{folder} cannot be made: {error.strerror}; allowed: a folder for the results"
            ) from error
        self.images = _Table(folder / IMAGES, [*KEY, "name"])
        self.particles = _Table(folder / PARTICLES, KEY)
        rows = self.images.rows().to_dict("records")
        self.names = {(str(row["path"]), str(row["page"])): str(row["name"]) for row in rows}
        """Name of the files of each image."""

    def add(self, path: Path, micrograph: Micrograph, prediction: Prediction, model: Path, how: Applying) -> str:
        """Write what was found in an image, and tell it."""
        from PIL import Image

        key = (str(_absolute(path)), str(micrograph.page))
        if key not in self.names:
            self.names[key] = self._free_name(path.stem, f"_page{key[1]}" if micrograph.page > 1 else "")
        name = self.names[key]
        probability = prediction.values
        # Where nothing was recorded is no particle, whatever the threshold.
        mask = (probability >= how.threshold) & ~prediction.left_out
        mask_file, probability_file, overlay_file = (self.folder / f"{name}{end}" for end in RESULTS)
        Image.fromarray(mask.astype(np.uint8) * 255).save(mask_file)
        np.save(probability_file, probability)
        save_overlay(micrograph.image, mask, overlay_file)
        particles = particle_table(mask, micrograph.pixel_size)
        columns: dict[str, Any] = {"image": path.name, "path": key[0], "page": key[1]}
        self.particles.put(key, particles.assign(**columns))
        facts = {
            "pixel_size": micrograph.pixel_size,
            "particles": len(particles),
            "area_fraction": mask.mean(),
            "left_out": prediction.left_out.mean(),
            "distance": prediction.distance,
            "warnings": "; ".join(prediction.warnings),
        }
        settings = {"model": str(_absolute(model)), "threshold": how.threshold}
        self.images.put(key, pd.DataFrame([{**columns, "name": name, **facts, **settings}]))
        found = f"{path.name}: {len(particles)} particles, {100 * mask.mean():.1f} % of the area"
        return "; ".join([found, *(f"warning: {text}" for text in prediction.warnings)])

    def _free_name(self, stem: str, end: str) -> str:
        """A name that neither another image has nor a file that lies there for another reason, such as a mask."""
        stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore") + end
        # Some file systems take upper and lower case for the same.
        taken = {name.casefold() for name in self.names.values()}
        name, number = stem, 1
        while name.casefold() in taken or any((self.folder / f"{name}{end}").exists() for end in RESULTS):
            number += 1
            name = f"{stem}-{number}"
        return name


class _Table:
    """A table in a CSV file with some rows an image; cells are kept as they are written."""

    def __init__(self, path: Path, needed: list[str]) -> None:
        self.path, self.needed = path, needed
        rows = self.rows()
        self.columns = list(rows.columns)
        self.known = set(zip(*(rows[column] for column in KEY), strict=True))

    def rows(self) -> pd.DataFrame:
        """All that has been written, as text.

        Raises
        ------
        MicrographError
            If the file is another table.
        """
        if not self.path.exists():
            return pd.DataFrame(columns=self.needed)
        try:
            rows = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise MicrographError(f"{self.path} cannot be read as a table; allowed: another output folder") from error
        if missing := [column for column in self.needed if column not in rows.columns]:
            raise MicrographError(
                f"{self.path} has no column {missing[0]}: it is another table, or one of an earlier version; allowed: "
                "another output folder"
            )
        return rows

    def put(self, key: tuple[str, str], rows: pd.DataFrame) -> None:
        """Add the rows of an image, in place of those that it had."""
        if key not in self.known and self.columns == list(rows.columns) and self.path.exists():
            rows.to_csv(self.path, mode="a", header=False, index=False)
            self.known.add(key)
            return
        before = self.rows()
        if len(before):
            others = before[(before[KEY[0]] != key[0]) | (before[KEY[1]] != key[1])]
            rows = pd.concat([others, rows], ignore_index=True)
        # Whole or not at all: a full disk is not to take the rows of other images along.
        temporary = self.path.with_name(f".{self.path.name}.part")
        rows.to_csv(temporary, index=False)
        temporary.replace(self.path)
        self.known.add(key)
        self.columns = list(rows.columns)
