"""Files and tables of a folder of results: what they are called, what their columns are, and how rows are added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from exitwave.data.whole import replace_file
from exitwave.errors import MicrographError

FILES = {
    "overlay": "_overlay.png",
    "mask": "_mask.tif",
    "instances": "_instances.tif",
    "probability": "_probability.tif",
    "uncertainty": "_uncertainty.tif",
    "outlines": "_outlines.geojson",
    "sizes": "_sizes.png",
}
"""What the names of the files written for an image end in."""
RESULTS = tuple(FILES.values())
COLUMNS_PICTURE = "_columns.png"
"""What the picture ends in that `exitwave atoms` draws of an image."""
IMAGES, PARTICLES = "images.csv", "particles.csv"
"""Tables of a folder of results."""
HISTOGRAMS, ALL_IMAGES, ALL_SIZES, SUMMARY = "histograms.csv", "all_images.csv", "all_sizes.png", "summary.html"
"""What is made of all images together."""
PANELS = ".summary"
"""Folder in the folder of results with the pictures that the summary shows."""
KEY = ["path", "page"]
"""Columns that say which image a row of these tables is of."""
PARTICLE_COLUMNS = {
    "number": ("number", 1.0),
    "x": ("x [nm]", 0.1),
    "y": ("y [nm]", 0.1),
    "area": ("area [nm^2]", 0.01),
    "equivalent_diameter": ("equivalent diameter [nm]", 0.1),
    "feret_max": ("Feret diameter max [nm]", 0.1),
    "feret_min": ("Feret diameter min [nm]", 0.1),
    "major_axis": ("major axis [nm]", 0.1),
    "minor_axis": ("minor axis [nm]", 0.1),
    "circularity": ("circularity", 1.0),
    "mean_probability": ("mean probability", 1.0),
    "uncertainty": ("uncertainty", 1.0),
    "touches_edge": ("touches edge", 1.0),
}
"""Columns of a table of particles as they are headed in the file, and what its numbers [Å] are multiplied by."""
DIAMETER, EDGE = "equivalent diameter [nm]", "touches edge"
OF_IMAGE = (
    "name",
    "width [px]",
    "height [px]",
    "pixel size [nm]",
    "pixel size from",
    "particles",
    "particles cut by edge",
    *(f"D{percent}{end} [nm]" for percent in (10, 50, 90) for end in ("", " low", " high")),
    "area fraction",
    "number density [um^-2]",
    "left out",
    "unlikeness",
    "warnings",
)
"""Columns of the table of images between what says which it is and its settings."""
CHECKSUM = "image checksum"
"""Column that says which image it was, whatever its file is called."""


class ResultsTable:
    """A table in a CSV file with some rows an image; cells are kept as they are written."""

    def __init__(self, path: Path, needed: list[str]) -> None:
        self.path, self.needed = path, needed
        self._check()
        self.columns = list(self.rows().columns)

    def rows(self) -> pd.DataFrame:
        """All that has been written, as text; names of files that would lie in another folder are refused."""
        if not self.path.exists():
            return pd.DataFrame(columns=self.needed, dtype=str)
        rows = self._read()
        for name in rows["name"] if "name" in self.needed else ():
            if not is_file_name(name):
                raise MicrographError(f"{self.path} has the name {name!r}; allowed: that of a file in its own folder")
        return rows

    def _read(self, **how: Any) -> pd.DataFrame:
        try:
            rows: pd.DataFrame = pd.read_csv(self.path, dtype=str, keep_default_na=False, **how)
            return rows
        except (OSError, ValueError) as error:
            raise MicrographError(f"{self.path} cannot be read as a table; allowed: another output folder") from error

    def _check(self) -> None:
        """Refuse another table, and take off a last line that a killed call has not written to its end."""
        if not self.path.exists():
            return
        columns = self._read(nrows=0).columns
        if missing := [column for column in self.needed if column not in columns]:
            raise MicrographError(
                f"{self.path} has no column {missing[0]}: it is another table, or one of an earlier version; allowed: "
                "another output folder"
            )
        if not (content := self.path.read_bytes()).endswith(b"\n"):
            lines = content[: content.rfind(b"\n") + 1]
            replace_file(self.path, lambda path: path.write_bytes(lines))

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows of text at the end; a column that the table has not yet is empty in the rows before."""
        if not self.path.exists() or not set(rows.columns) <= set(self.columns):
            columns = list(dict.fromkeys([*self.columns, *rows.columns]))
            self._replace(pd.concat([self.rows(), rows], ignore_index=True)[columns].fillna(""))
            return
        text = rows.reindex(columns=self.columns).to_csv(header=False, index=False, lineterminator="\n")
        with self.path.open("ab") as file:
            size = file.tell()
            try:
                file.write(text.encode())
                file.flush()
            except OSError:
                # A full disk is not to leave half a line, to which the next one would be glued.
                file.truncate(size)
                raise

    def drop(self, gone: Callable[[str, str], bool]) -> None:
        """Take out the rows of images of which, by path and page, that is said."""
        if not self.path.exists():
            return
        rows = self.rows()
        dropped = [gone(path, page) for path, page in zip(rows["path"], rows["page"], strict=True)]
        if any(dropped):
            self._replace(rows[~np.array(dropped)])

    def _replace(self, rows: pd.DataFrame) -> None:
        """Write the table anew, whole or not at all."""
        replace_file(self.path, lambda path: rows.to_csv(path, index=False, lineterminator="\n"))
        self.columns = list(rows.columns)


def records(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Rows of a table as cells by heading."""
    return [dict(zip(map(str, rows.columns), map(str, cells), strict=True)) for cells in rows.to_numpy()]


def is_file_name(name: str) -> bool:
    """Whether files of this name lie in the folder in which they are looked for."""
    return PurePath(name).name == name and "\0" not in name


def panel_file(folder: Path, name: str) -> Path:
    """Where the picture of an image for the summary is kept."""
    return folder / PANELS / f"{name}.json"


def as_text(value: Any) -> str:
    """A cell of a table; six digits are more than any of these numbers is good for."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(value) for name, value in values.items()}
