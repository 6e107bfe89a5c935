"""Files of scans and of probes: the arrays that each holds, to be read in parts, whatever the format."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import CHECKS
from exitwave.benchmark.pages import PICTURE_SUFFIXES, pages_of
from exitwave.benchmark.reading import failures_told, in_words
from exitwave.benchmark.scan_hdf5 import hdf5_arrays, hyperspy_array
from exitwave.benchmark.stored_arrays import Axis, Part, StoredArray
from exitwave.errors import ScanError

if TYPE_CHECKING:
    pass

READERS = {
    ".mib": "quantumdetector",
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
}
"""Suffix -> module of RosettaSciIO."""
HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".emd", ".hspy"})
"""Which programs tell apart by their content only."""
SCAN_SUFFIXES = frozenset({*READERS, *HDF5_SUFFIXES, ".zspy", ".blo", ".npy", ".zarr"})
PICTURES = frozenset({".tif", ".tiff", *PICTURE_SUFFIXES})
"""Of images, which a probe may be."""
CHUNK = "16MiB"
"""What is read of a file at once where its format does not say."""


def arrays_of(path: Path, scan_shape: tuple[int, int] | None = None) -> list[StoredArray]:
    """The arrays of two dimensions or more that a file holds.

    Parameters
    ----------
    path : path
        File, or the folder of a Zarr array.
    scan_shape : (int, int), optional
        Rows and columns of the scan, which some formats need to find the frames.

    Raises
    ------
    ScanError
        If it is missing, of an unknown format, or cannot be read.
    """
    suffix = path.suffix.lower()
    allowed = SCAN_SUFFIXES | PICTURES
    if not path.exists():
        raise ScanError(f"{path} does not exist")
    if suffix not in allowed:
        raise ScanError(f"{path} has the unknown format '{suffix}'; allowed: {', '.join(sorted(allowed))}")
    with failures_told(path, ScanError):
        if suffix in HDF5_SUFFIXES:
            arrays = hdf5_arrays(path)
            found = _rosetta(path, "emd", {}) if arrays is None else arrays
        elif suffix == ".blo":
            found = _blockfile(path)
        elif suffix == ".npy":
            found = _npy(path)
        elif suffix in (".zarr", ".zspy"):
            found = _zarr(path)
        elif suffix in PICTURES:
            found = [_picture(path)]
        else:
            found = _rosetta(path, READERS[suffix], _mib_frames(path, scan_shape) if suffix == ".mib" else {})
    return [array for array in found if len(array.shape) > 1]


def _rosetta(path: Path, module: str, options: Mapping[str, Any]) -> list[StoredArray]:
    """Arrays of a file that RosettaSciIO reads."""
    import dask

    if module in CHECKS:
        CHECKS[module](path)
    with dask.config.set({"array.chunk-size": CHUNK}):
        signals = importlib.import_module(f"rsciio.{module}").file_reader(str(path), lazy=True, **options)
    return [_signal(path, signal) for signal in signals]


def _signal(path: Path, signal: Mapping[str, Any]) -> StoredArray:
    data = signal["data"]
    axes = tuple(
        Axis(float(axis.get("scale", 1.0)), str(axis.get("units") or ""), axis.get("navigate"))
        for axis in signal["axes"]
    )
    if len(axes) != data.ndim:
        axes = (Axis(),) * data.ndim

    def read(region: Part) -> NDArray[Any]:
        part = data[region]
        # One chunk after another, so that no more than one is in memory.
        return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)

    chunks = tuple(max(sizes) for sizes in data.chunks) if hasattr(data, "chunks") else (1,) * data.ndim
    microscope = signal.get("metadata", {}).get("Acquisition_instrument", {}).get("TEM", {})
    energy = microscope.get("beam_energy")
    told = _frames_missing(path, data.shape) if path.suffix.lower() == ".mib" else ()
    return StoredArray(data.shape, data.dtype, axes, read, chunks, 1e3 * float(energy) if energy else None, told)


def _mib_frames(path: Path, scan_shape: tuple[int, int] | None) -> dict[str, Any]:
    """How RosettaSciIO is told the shape of the scan, columns first."""
    return {} if scan_shape is None else {"navigation_shape": scan_shape[::-1]}


def _frames_missing(path: Path, shape: Sequence[int]) -> tuple[str, ...]:
    """Whether a file of Quantum Detectors has fewer frames than were to be recorded; its reader says nothing."""
    header = path.with_suffix(".hdr")
    if not header.is_file():
        return ()
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("Frames in Acquisition"):
            wanted, found = int(line.split("\t")[1]), math.prod(shape[:-2])
            if found < wanted:
                return (f"has {found} whole frames in whole lines of {wanted} that were to be recorded",)
    return ()


def _flat(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: tuple[Axis, ...], offset: int, header: int = 0
) -> StoredArray:
    """Patterns that follow one another in a file, of which the last ones may be missing.

    Parameters
    ----------
    path : path
    shape : tuple of int
        (..., H, W)
    dtype : dtype
    axes : tuple of Axis
    offset : int
        Where the first begins [bytes].
    header : int
        What stands before each of them [bytes].
    """
    scan, frame = shape[:-2], shape[-2:]
    record = np.dtype([("header", "V", header), ("data", dtype, frame)])
    there = max(0, path.stat().st_size - offset) // record.itemsize
    number = math.prod(scan)

    def read(region: Part) -> NDArray[Any]:
        places = np.arange(number).reshape(scan)[region[: len(scan)]]
        if places.size and places.max() >= there:
            raise ScanError(f"{path} ends before pattern {places.max() + 1} of {number}")
        records = np.memmap(path, record, "r", offset, (there,))
        height, width = region[len(scan) :]
        return np.asarray(records["data"][places][..., height, width])

    told = (f"is cut off: it has {there} of {number} patterns",) if there < number else ()
    if not there:
        raise ScanError(f"{path} is cut off: it has none of its {number} patterns")
    return StoredArray(shape, dtype, axes, read, (1,) * len(scan) + frame, told=told)


def _blockfile(path: Path) -> list[StoredArray]:
    (signal,) = importlib.import_module("rsciio.blockfile").file_reader(str(path), lazy=True)
    header, found = signal["original_metadata"]["blockfile_header"], _signal(path, signal)
    return [_flat(path, found.shape, np.dtype("u1"), found.axes, int(header["Data_offset_2"]), header=6)]


def _npy(path: Path) -> list[StoredArray]:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ScanError(f"{path} is of version {version} of the format; allowed: 1.0 and 2.0")
        shape, columns_first, dtype = read_header[version](file)
        offset = file.tell()
    if dtype.hasobject:
        raise ScanError(f"{path} has values of type {dtype}; allowed: real numbers")
    axes = (Axis(),) * len(shape)
    if columns_first or len(shape) < 3:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        return [StoredArray(shape, dtype, axes, lambda region: np.asarray(values[region]), (1,) * len(shape))]
    return [_flat(path, shape, dtype, axes, offset)]


def _zarr(path: Path) -> list[StoredArray]:
    """Arrays of Zarr: alone, in a group, or of HyperSpy."""
    import zarr

    # A folder, or all of it in a zip.
    top = zarr.open(zarr.storage.ZipStore(path, mode="r") if path.is_file() else path, mode="r")
    if isinstance(top, zarr.Array):
        return [_zarr_array(top)]
    if "Experiments" in top:
        return [hyperspy_array(group, _zarr_array(group["data"])) for _, group in top["Experiments"].groups()]
    return [_zarr_array(array) for _, array in top.arrays()]


def _zarr_array(array: Any) -> StoredArray:
    def read(region: Part) -> NDArray[Any]:
        return np.asarray(array[region])

    return StoredArray(array.shape, array.dtype, (Axis(),) * array.ndim, read, array.chunks)


def _picture(path: Path) -> StoredArray:
    """The images of a TIFF or a picture, as a stack where there are several."""
    pages = pages_of(path)
    shapes = {page.shape for page in pages}
    if len(shapes) > 1 or len(pages[0].shape) != 2:
        raise ScanError(f"{path} holds images of {' and '.join(map(in_words, shapes))}; allowed: grey ones of one size")
    shape = (len(pages), *pages[0].shape) if len(pages) > 1 else pages[0].shape

    def read(region: Part) -> NDArray[Any]:
        stack = np.stack([page.seen() for page in pages])
        return stack.reshape(shape)[region]

    return StoredArray(shape, np.asarray(pages[0].seen()).dtype, (Axis(),) * len(shape), read, shape)
