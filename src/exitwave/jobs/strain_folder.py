"""The folder of results of a scan, which grows part by part and can be gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.scan_lattices import FIELDS
from exitwave.data.whole import replace_file, sealed, unsealed, whole_file
from exitwave.errors import ScanError
from exitwave.jobs.strain_worker import Measured

if TYPE_CHECKING:
    import h5py

STATE = "strain.json"
"""What the results are of, and made with."""
PARTS = ".parts"
"""Hidden folder of what is measured, until all is."""
DISKS, LATTICES, POINTS = "disks.parquet", ".lattices.npz", "disks.h5"
PAGE, ARRAYS = "summary.html", "strain.npz"
PICTURES = {"strain": "strain.png", "quality": "quality.png", "patterns": "patterns.png"}
MAPS = ("e_xx.tif", "e_yy.tif", "e_xy.tif", "rotation.tif", "error.tif", "residual.tif", "disks.tif", "trust.tif")
Place = tuple[slice, slice]


@dataclass(frozen=True)
class Lattices:
    """What was measured at every position of a scan.

    Attributes
    ----------
    values : float64 array [rows, columns, 13]
        As `exitwave.benchmark.scan_lattices.FIELDS`.
    read : uint8 array [rows, columns]
        As `exitwave.benchmark.scan_strain.TRUST`.
    """

    values: NDArray[np.float64]
    read: NDArray[np.uint8]


class StrainFolder:
    """A folder of results of one scan.

    Each part of the scan is a file, whole or not there. When all are there they are joined, so that a call that is
    killed at any moment is gone on with, and disks that are found need not be found again for another reference.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    settings : mapping
        What the disks depend on, by name; plain values.
    overwrite : bool
        Whether what is there is removed, whatever its settings.

    Raises
    ------
    ScanError
        If it cannot be made, holds results of another scan or other settings, or files of other origin.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        self.folder, self.parts = folder, folder / PARTS
        self.settings = json.loads(json.dumps(settings))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScanError(f"{folder} cannot be made: {error.strerror}; allowed: a folder for the results") from error
        there = self._there()
        if there is not None and (changed := _differences(there, self.settings)):
            if not overwrite:
                raise ScanError(
                    f"{folder} holds results made otherwise ({'; '.join(changed)}); allowed: another --output, or "
                    "--overwrite"
                )
            there = None
        if there is None or overwrite:
            self._clear()
            replace_file(folder / STATE, lambda path: path.write_text(json.dumps(sealed(self.settings), indent=2)))
        self.parts.mkdir(exist_ok=True)

    def _there(self) -> dict[str, Any] | None:
        """Settings of what is there."""
        state = self.folder / STATE
        if not state.exists():
            found = next((path.name for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")), None)
            if found is not None:
                raise ScanError(
                    f"{self.folder} holds other files, such as {found}; allowed: a new folder, or an empty one"
                )
            return None
        try:
            return unsealed(json.loads(state.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ScanError(f"{state} is damaged ({error}); allowed: another --output, or delete the folder") from error

    def _clear(self) -> None:
        shutil.rmtree(self.parts, ignore_errors=True)
        for name in (LATTICES, DISKS, POINTS, PAGE, ARRAYS, *PICTURES.values(), *MAPS):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def joined(self) -> bool:
        """Whether all parts are there, and joined."""
        return (self.folder / LATTICES).exists()

    def is_there(self, part: Place) -> bool:
        """Whether a part is measured."""
        return self._file(part).exists()

    def add(self, part: Place, measured: Measured) -> None:
        """Write what was measured in a part.

        Raises
        ------
        WriteError
        """
        values = {field.name: getattr(measured, field.name) for field in fields(measured)}

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **values)

        replace_file(self._file(part), write)

    def _file(self, part: Place) -> Path:
        rows, columns = part
        return self.parts / f"{rows.start}-{rows.stop}_{columns.start}-{columns.stop}.npz"

    def _read(self, part: Place) -> Measured:
        with np.load(self._file(part)) as file:
            return Measured(**{name: file[name] for name in file.files})

    def join(self, parts: Sequence[Place], shape: tuple[int, int, int, int], sampling: float | None) -> None:
        """Join all parts: disks as a table and as points of py4DSTEM, and lattices as maps.

        Parameters
        ----------
        parts : sequence of (slice, slice)
        shape : (int, int, int, int)
            Of the scan.
        sampling : float, optional
            Pixel of the patterns [1/Å].

        Raises
        ------
        WriteError
        """
        values = np.full((*shape[:2], len(FIELDS)), np.nan)
        read = np.zeros(shape[:2], np.uint8)
        with (
            whole_file(self.folder / DISKS) as table,
            whole_file(self.folder / POINTS) as points,
            _DiskTable(table, sampling) as disks,
            _BraggVectors(points, shape, sampling) as bragg,
        ):
            for part in parts:
                measured = self._read(part)
                size = tuple(line.stop - line.start for line in part)
                values[part] = measured.values.reshape(*size, -1)
                read[part] = measured.read.reshape(size)
                disks.add(part, measured)
                bragg.add(part, measured)
            bragg.set_origins(values)
        replace_file(
            self.folder / LATTICES, lambda path: _save(path, values=values, read=read, fields=np.array(FIELDS))
        )
        shutil.rmtree(self.parts, ignore_errors=True)

    def lattices(self) -> Lattices:
        """Lattices of all positions, after they have been joined.

        Raises
        ------
        ScanError
            If the file is damaged.
        """
        try:
            with np.load(self.folder / LATTICES) as file:
                return Lattices(file["values"], file["read"])
        except Exception as error:
            raise ScanError(f"{self.folder / LATTICES} is damaged ({error}); give --overwrite") from error


def _save(path: Path, **arrays: Any) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {there.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in {**there, **now}
        if there.get(name) != now.get(name)
    ]


class _DiskTable:
    """Disks as Parquet, one part after another."""

    def __init__(self, path: Path, sampling: float | None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole, real = pa.int32(), pa.float32()
        names = ("x", "y", "weight", "deviation")
        kinds = {"row": whole, "column": whole, **dict.fromkeys(names, real), "h": pa.int16(), "k": pa.int16()}
        told = {
            b"places": b"x, y in px from the middle of the first pixel; row, column of the scan, from 0",
            b"deviation": b"standard deviation of x and of y in px, where network or rim says it",
        }
        if sampling is not None:
            told[b"reciprocal_sampling [1/A]"] = str(sampling).encode()
        self.schema = pa.schema(list(kinds.items()), metadata=told)
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def __enter__(self) -> _DiskTable:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def add(self, part: Place, measured: Measured) -> None:
        import pyarrow as pa

        row, column = _positions(part, measured)
        off = ~measured.near
        x, y, weight, deviation = np.ascontiguousarray(measured.disks.T)
        h, k = (pa.array(index, mask=off) for index in np.ascontiguousarray(measured.indices.T))
        columns = [row, column, x, y, weight, pa.array(deviation, from_pandas=True), h, k]
        self.writer.write_table(pa.table(columns, schema=self.schema))


def _positions(part: Place, measured: Measured) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row and column of each disk."""
    rows, columns = part
    row, column = np.divmod(measured.owners, columns.stop - columns.start)
    return (row + rows.start).astype(np.int32), (column + columns.start).astype(np.int32)


class _BraggVectors:
    """Disks as the ``BraggVectors`` of py4DSTEM 0.14, in EMD 1.0. Its x runs along rows of pixels, that is down."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int], sampling: float | None) -> None:
        import h5py

        self.kind = np.dtype([("qx", "<f8"), ("qy", "<f8"), ("intensity", "<f8")])
        self.file = h5py.File(path, "w")
        self.file.attrs.update(
            emd_group_type="file", version_major=1, version_minor=0, authoring_program="exitwave", authoring_user=""
        )
        root = _group(self.file, "braggvectors_root", "root", "Root")
        bragg = _group(root, "braggvectors", "custom", "BraggVectors")
        points = _group(bragg, "_v_uncal", "custom_pointlistarray", "PointListArray")
        self.points = points.create_dataset("data", shape[:2], dtype=h5py.vlen_dtype(self.kind))
        sizes = _group(_bundle(bragg), "_braggvectors_shape", "metadata", "Metadata")
        for name, size in (("Rshape", shape[:2]), ("Qshape", shape[2:])):
            sizes.create_dataset(name, data=np.array(size)).attrs["type"] = "tuple"
        self.calibration = _group(_bundle(root), "calibration", "metadata", "Calibration")
        self._set("Q_pixel_size", 1 if sampling is None else sampling)
        self._set("Q_pixel_units", "pixels" if sampling is None else "A^-1")
        self._set("R_pixel_size", 1)
        self._set("R_pixel_units", "pixels")
        self._set("QR_flip", np.False_)
        self._set("_root_treepath", "")
        paths = self.calibration.create_group("_target_paths")
        paths.attrs.update(length=1, type="list_of_strings")
        paths.create_dataset("0", data="/braggvectors")

    def __enter__(self) -> _BraggVectors:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def add(self, part: Place, measured: Measured) -> None:
        rows, columns = part
        size = (rows.stop - rows.start, columns.stop - columns.start)
        x, y, weight = measured.disks.T[:3]
        points = np.zeros(len(measured.disks), self.kind)
        points["qx"], points["qy"], points["intensity"] = y, x, weight
        ends = np.searchsorted(measured.owners, np.arange(size[0] * size[1] + 1))
        lists = np.empty(size[0] * size[1], object)
        for place, (start, stop) in enumerate(pairwise(ends)):
            lists[place] = points[start:stop]
        self.points[part] = lists.reshape(size)

    def set_origins(self, values: NDArray[np.float64]) -> None:
        """Origin of each position; where there is none, the median one."""
        for name, field in (("qx0", "origin_y"), ("qy0", "origin_x")):
            origins = values[..., FIELDS.index(field)]
            if np.isfinite(origins).any():
                middle = float(np.nanmedian(origins))
                filled = np.where(np.isfinite(origins), origins, middle)
                self._set(name, filled)
                self._set(f"{name}_mean", float(filled.mean()))
                self._set(f"{name}_shift", filled - filled.mean())

    def _set(self, name: str, value: Any) -> None:
        kind = {bool: "bool", str: "string", np.ndarray: "array"}.get(type(value), "number")
        kind = "bool" if isinstance(value, np.bool_) else kind
        self.calibration.create_dataset(name, data=value).attrs["type"] = kind


def _group(parent: h5py.Group, name: str, kind: str, python_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(emd_group_type=kind, python_class=python_class)
    return group


def _bundle(parent: h5py.Group) -> h5py.Group:
    bundle = parent.create_group("metadatabundle")
    bundle.attrs["emd_group_type"] = "metadatabundle"
    return bundle
