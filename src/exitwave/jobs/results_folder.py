"""The folder that a person takes away: masks, instances, overlays, tables and a page of her segmented micrographs."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.outlines import feature_collection, find_outlines
from exitwave.benchmark.particles import particle_table
from exitwave.benchmark.sidecars import GIVEN
from exitwave.benchmark.sizes import PERCENTS, Percentiles, percentiles
from exitwave.data.strips import Rows, strips
from exitwave.errors import MicrographError
from exitwave.jobs.results_summary import write_summary
from exitwave.jobs.results_table import (
    CHECKSUM,
    DIAMETER,
    EDGE,
    FILES,
    IMAGES,
    KEY,
    OF_IMAGE,
    PANELS,
    PARTICLE_COLUMNS,
    PARTICLES,
    RESULTS,
    ResultsTable,
    as_text,
    as_texts,
    panel_file,
    records,
)
from exitwave.report.segmented_overlay import distinct_colours, draw_overlay, grey_levels, number_places
from exitwave.report.segmented_page import make_panel
from exitwave.report.segmented_sizes import draw_sizes

UNFINISHED, FINISHED = ".unfinished", ".finished"
"""What hidden folders end in that hold files of an image, until all are written and until they are moved."""
LONGEST_NAME = 200
"""Of these files without that end [bytes]; file systems allow 255 with it."""
LARGEST_SHORT = 2**16 - 1
"""Most particles that numbers of 16 bits can count."""
TIFF_ROWS = 64
"""Rows of a strip of a TIFF."""
STEPS = 1024
"""Probabilities are rounded down to one of so many parts, which pack well."""


@dataclass(frozen=True)
class Segmented:
    """An image and what was found in it.

    Attributes
    ----------
    path : path
        The image as it was given.
    page : int
        Which image of its file, counted from 1.
    image : float32 array [H, W]
    pixel_size : float
        Pixel [Å].
    labels : int32 array [H, W]
        Number of the particle at each pixel, 1 to n; 0 is background.
    probability : Rows [H, W]
        Mean of the networks.
    spread : Rows [H, W], optional
        Standard deviation over the networks; None of one.
    left_out : bool array [H, W]
        Where the image shows no specimen.
    warnings : tuple of str
        What makes it doubtful.
    distance : float, optional
        How unlike the training images it is; None where that is not known.
    settings : mapping
        What it was made with, by heading: written to every row.
    pixel_from : str
        Where the pixel is from: given, sidecar or file.
    """

    path: Path
    page: int
    image: NDArray[np.float32]
    pixel_size: float
    labels: NDArray[np.int32]
    probability: Rows
    spread: Rows | None
    left_out: NDArray[np.bool_]
    warnings: tuple[str, ...]
    distance: float | None
    settings: Mapping[str, Any]
    pixel_from: str = GIVEN


class ResultsFolder:
    """A folder of results, which grows image by image.

    An image is there when its row of the table of images is. Its files are written to a hidden folder before, and moved
    after, so that a call that is killed at any moment leaves files and tables that the next one can put in order.

    Parameters
    ----------
    folder : path
        Made if it does not exist. What other images have there stays.
    overwrite : bool
        Whether an image that is there is replaced.

    Raises
    ------
    MicrographError
        If the folder cannot be written to, or has other tables of these names.
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self.folder, self.overwrite = folder, overwrite
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MicrographError(
                f"{folder} cannot be made: {error.strerror}; allowed: a folder for the results"
            ) from error
        self._images = ResultsTable(folder / IMAGES, ["file", *KEY, *OF_IMAGE])
        self._particles = ResultsTable(
            folder / PARTICLES, ["file", *KEY, *(head for head, _ in PARTICLE_COLUMNS.values())]
        )
        self._rows = {(row["path"], row["page"]): row for row in records(self._images.rows())}
        """Row of each image that is there."""
        self._mend()

    def is_there(
        self, path: Path, page: int, image: NDArray[np.float32], pixel_size: float, settings: Mapping[str, Any]
    ) -> bool:
        """Whether an image has been segmented with these settings already.

        Parameters
        ----------
        path, page, image, pixel_size, settings
            As of :class:`Segmented`.

        Raises
        ------
        MicrographError
            If it was segmented with other settings, or has changed since; unless it is to be replaced.
        """
        row = self._rows.get(_key(path, page))
        if row is None or self.overwrite:
            return False
        now = {"pixel size [nm]": as_text(pixel_size / 10), **as_texts(settings)}
        told = [
            f"{name}: {row.get(name) or 'none'}, now {text or 'none'}"
            for name, text in now.items()
            if row.get(name, "") != text
        ]
        if row[CHECKSUM] != _checksum(image):
            told.append("the image itself is another one")
        if not told:
            return True
        raise MicrographError(
            f"{path} is in {self.folder} already and was segmented otherwise ({'; '.join(told)}); allowed: another "
            "--output, or --overwrite"
        )

    def add(self, found: Segmented) -> str:
        """Write what was found in an image, and tell it.

        Raises
        ------
        MicrographError
            As of :meth:`is_there`.
        OSError
            If a file cannot be written; nothing of the image is there then. What it had before is lost only where that
            was to be replaced and all new files were written.
        """
        key = _key(found.path, found.page)
        if self.is_there(found.path, found.page, found.image, found.pixel_size, found.settings):
            return f"{found.path.name}: already there"
        before = self._rows.get(key)
        name = before["name"] if before else self._free_name(found.path.stem, _page_end(found.page))
        table = particle_table(found.labels, found.pixel_size, found.probability, found.spread, found.left_out)
        particles = _in_nanometres(table)
        sizes = percentiles([_whole(particles)], np.random.default_rng(0))
        facts = _facts(found, particles, sizes)
        identity = {"file": found.path.name, "path": key[0], "page": key[1]}
        settings = as_texts(found.settings)
        row = {**identity, **as_texts({"name": name, **facts}), CHECKSUM: _checksum(found.image), **settings}
        unfinished, finished = (self.folder / f".{name}{end}" for end in (UNFINISHED, FINISHED))
        try:
            unfinished.mkdir()
            _write_files(found, table, particles, sizes, unfinished, name)
            self._forget(key)
            unfinished.replace(finished)
            self._particles.append(particles.apply(lambda column: column.map(as_text)).assign(**identity, **settings))
            self._images.append(pd.DataFrame([row]))
        except Exception:
            self._discard(name, files=key not in self._rows)
            raise
        self._rows[key] = row
        self._move(name)
        number, share = facts["particles"], 100 * facts["area fraction"]
        median = f", median diameter {facts['D50 [nm]']:.3g} nm" if np.isfinite(facts["D50 [nm]"]) else ""
        told = f"{found.path.name}: {number} particles, {share:.1f} % of the area{median}"
        return "; ".join([told, *(f"warning: {text}" for text in found.warnings)])

    def finish(self) -> None:
        """Write what is made of all images together: histograms, sizes and the page.

        Raises
        ------
        MicrographError
            If these cannot be written.
        """
        try:
            write_summary(self.folder, self._images.rows(), self._particles.rows())
        except OSError as error:
            raise MicrographError(
                f"{self.folder}: the summary cannot be written: {error.strerror}; the images are there, and the next "
                "call writes it"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise MicrographError(
                f"{self.folder}: the summary cannot be written, since its tables have been changed ({error}); allowed: "
                "another output folder"
            ) from error

    def _forget(self, key: tuple[str, str]) -> None:
        """Take the rows of an image out of the tables, of the one that says that it is there first."""
        if key in self._rows:
            self._images.drop(lambda path, page: (path, page) == key)
            name = self._rows.pop(key)["name"]
            for target in self._targets(name):
                target.unlink(missing_ok=True)
            self._particles.drop(lambda path, page: (path, page) == key)

    def _mend(self) -> None:
        """Put in order what a call that was killed has left."""
        self._particles.drop(lambda path, page: (path, page) not in self._rows)
        names = {row["name"] for row in self._rows.values()}
        for end in (FINISHED, UNFINISHED):
            for folder in self.folder.glob(f".*{end}"):
                name = folder.name[1 : -len(end)]
                if end == FINISHED and name in names:
                    self._move(name)
                else:
                    self._discard(name, files=name not in names)

    def _discard(self, name: str, files: bool) -> None:
        """Remove what is not finished of an image and, where it has no row, files of this name that it had."""
        for end in (UNFINISHED, FINISHED):
            shutil.rmtree(self.folder / f".{name}{end}", ignore_errors=True)
        for target in self._targets(name) if files else ():
            target.unlink(missing_ok=True)

    def _move(self, name: str) -> None:
        """Move files of an image to where they belong."""
        finished = self.folder / f".{name}{FINISHED}"
        (self.folder / PANELS).mkdir(exist_ok=True)
        for target in self._targets(name):
            if (file := finished / target.name).exists():
                file.replace(target)
        finished.rmdir()

    def _targets(self, name: str) -> list[Path]:
        """All files that an image of this name can have."""
        return [*(self.folder / f"{name}{end}" for end in RESULTS), panel_file(self.folder, name)]

    def _free_name(self, stem: str, end: str) -> str:
        """A name that neither another image has nor a file that lies there for another reason, such as a mask."""
        stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore") + end
        # Some file systems take upper and lower case for the same; ``all`` is that of all images together.
        taken = {"all", *(row["name"].casefold() for row in self._rows.values())}
        name, number = stem, 1
        while name.casefold() in taken or any((self.folder / f"{name}{end}").exists() for end in RESULTS):
            number += 1
            name = f"{stem}-{number}"
        return name


def _key(path: Path, page: int) -> tuple[str, str]:
    return os.path.realpath(path), str(page)


def _page_end(page: int) -> str:
    return f"_page{page}" if page > 1 else ""


def _checksum(image: NDArray[np.float32]) -> str:
    value = 0
    for rows in strips(image.shape):
        value = zlib.crc32(np.ascontiguousarray(image[rows]).data, value)
    return f"crc32:{value:08x}"


def _in_nanometres(table: pd.DataFrame) -> pd.DataFrame:
    """A table of particles as it is headed in the file."""
    columns = {
        heading: table[name] if factor == 1 else table[name] * factor
        for name, (heading, factor) in PARTICLE_COLUMNS.items()
    }
    return pd.DataFrame(columns)


def _facts(found: Segmented, particles: pd.DataFrame, sizes: Percentiles) -> dict[str, Any]:
    """What the table of images says of an image."""
    spans = {
        f"D{percent}{end} [nm]": values[place]
        for place, percent in enumerate(PERCENTS)
        for end, values in (("", sizes.values), (" low", sizes.low), (" high", sizes.high))
    }
    shown = found.image.size - int(np.count_nonzero(found.left_out))
    area = shown * (found.pixel_size / 1e4) ** 2
    return {
        "width [px]": found.image.shape[1],
        "height [px]": found.image.shape[0],
        "pixel size [nm]": found.pixel_size / 10,
        "pixel size from": found.pixel_from,
        "particles": len(particles),
        "particles cut by edge": int(particles[EDGE].sum()),
        **spans,
        "area fraction": np.count_nonzero(found.labels) / shown if shown else 0.0,
        "number density [um^-2]": len(particles) / area if shown else 0.0,
        "left out": float(found.left_out.mean()),
        "unlikeness": found.distance,
        "warnings": "; ".join(found.warnings),
    }


def _write_files(
    found: Segmented, table: pd.DataFrame, particles: pd.DataFrame, sizes: Percentiles, folder: Path, name: str
) -> None:
    """Write the files of an image."""
    paths = {what: folder / f"{name}{end}" for what, end in FILES.items()}
    pixel_size, numbers = found.pixel_size, table["number"].tolist()
    labels = found.labels
    kind = np.uint16 if max(numbers, default=0) <= LARGEST_SHORT else np.uint32
    write_tiff(paths["mask"], lambda rows: (labels[rows] > 0) * np.uint8(255), labels.shape, np.uint8, pixel_size)
    write_tiff(paths["instances"], lambda rows: labels[rows].astype(kind), labels.shape, kind, pixel_size)
    for what, values in (("probability", found.probability), ("uncertainty", found.spread)):
        if values is not None:
            write_tiff(paths[what], partial(_rounded, values), labels.shape, np.float32, pixel_size)

    outlines = find_outlines(found.labels)
    measured = particles.drop(columns=["number", "x [nm]", "y [nm]", EDGE]).dropna(axis=1)
    rows = measured.apply(lambda column: column.map(lambda value: float(f"{value:.6g}"))).to_dict("records")
    text = feature_collection(outlines, dict(zip(numbers, rows, strict=True)))
    paths["outlines"].write_text(text, encoding="utf-8")

    centres = table[["x", "y"]].to_numpy(float) / pixel_size
    diameters = table["equivalent_diameter"].to_numpy(float) / pixel_size
    spots = number_places(found.labels, numbers, centres)
    places = {
        number: (float(x), float(y), float(diameter))
        for number, (x, y), diameter in zip(numbers, spots, diameters, strict=True)
    }
    grey, colours = grey_levels(found.image, found.left_out), distinct_colours(found.labels, centres)
    seen = np.flatnonzero(found.left_out.mean(axis=1) < 0.5)
    ground = int(seen[-1]) + 1 if seen.size else len(grey)
    overlay = draw_overlay(grey, found.labels, colours, places, pixel_size, ground, found.warnings)
    # Little compression: grey noise does not pack, and a large image would take half a minute.
    overlay.save(paths["overlay"], compress_level=1)
    del overlay
    panel = make_panel(grey, found.spread, outlines, colours, places, pixel_size)
    (folder / f"{name}.json").write_text(json.dumps(asdict(panel)), encoding="utf-8")
    draw_sizes(_whole(particles), sizes, int(particles[EDGE].sum()), found.path.name, paths["sizes"])


def _whole(particles: pd.DataFrame) -> NDArray[np.float64]:
    """Diameters of the particles that nothing cuts [nm]."""
    return particles.loc[~particles[EDGE].astype(bool), DIAMETER].to_numpy(float)


def write_tiff(
    path: Path, pixels: Callable[[slice], NDArray[Any]], shape: tuple[int, ...], kind: type, pixel_size: float
) -> None:
    """Write an image as a TIFF that Fiji, napari and QuPath open with its pixel.

    Parameters
    ----------
    path : path
    pixels : callable
        From a slice of rows to these rows [n, W].
    shape : tuple of int
        (H, W)
    kind : type
        Of the pixels: 8, 16 or 32 bit unsigned, or single precision.
    pixel_size : float
        Pixel [Å]; the file has it in nm.
    """
    import tifffile

    per_nanometre = 10 / pixel_size
    tifffile.imwrite(
        path,
        # Packed here: tifffile takes arrays of whole images only, and ImageJ reads no tiles.
        (
            zlib.compress(np.ascontiguousarray(pixels(slice(top, min(top + TIFF_ROWS, shape[0])))).data, 1)
            for top in range(0, shape[0], TIFF_ROWS)
        ),
        shape=shape,
        dtype=kind,
        rowsperstrip=TIFF_ROWS,
        photometric="minisblack",
        resolution=(per_nanometre, per_nanometre),
        resolutionunit="NONE",
        compression="zlib",
        # Written by hand since tifffile refuses 32-bit integers, which ImageJ reads.
        description="ImageJ=1.54f\nimages=1\nunit=nm\n",
        metadata=None,
    )


def _rounded(values: Rows, rows: slice) -> NDArray[np.float32]:
    rounded: NDArray[np.float32] = np.floor(values[rows] * np.float32(STEPS)) / np.float32(STEPS)
    return rounded
