"""Files of scans and of probes: the arrays that each holds, to be read in parts, whatever the format."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import CHECKS, check_hdf5
from exitwave.benchmark.pages import PICTURE_SUFFIXES, in_words, pages_of
from exitwave.errors import ExitwaveError, MicrographError, ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py

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

Part = tuple[slice, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of an array, as its file tells it.

    Attributes
    ----------
    scale : float
        Step, in the unit.
    unit : str
    scanned : bool, optional
        Whether it is one of the scan and not one of the detector; None where the file does not say.
    """

    scale: float = 1.0
    unit: str = ""
    scanned: bool | None = None


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    axes : tuple of Axis
    read : callable
        From a slice of each axis to these values.
    chunks : tuple of int
        How many values along each axis are stored together; ones where any part can be read alone.
    energy : float, optional
        Of the electrons [eV], where the file says it.
    told : tuple of str
        What is wrong with it, in words that go on after its name.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[Axis, ...]
    read: Callable[[Part], NDArray[Any]]
    chunks: tuple[int, ...]
    energy: float | None = None
    told: tuple[str, ...] = ()


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
    with reading(path):
        if suffix in HDF5_SUFFIXES:
            found = _hdf5(path)
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


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Failures of the body become a `ScanError` of one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ScanError:
        raise
    except MicrographError as error:
        raise ScanError(str(error)) from error
    except ExitwaveError:
        raise
    except MemoryError as error:
        raise ScanError(f"{path} cannot be read: there is not enough memory for it") from error
    except ImportError as error:
        raise ScanError(
            f"{path} cannot be read: the format {path.suffix.lower()} needs the package {error.name}"
        ) from error
    except Exception as error:
        # Damaged files make the readers fail in as many ways as there are readers.
        reason = " ".join(str(error).split())
        raise ScanError(f"{path} cannot be read: {type(error).__name__}: {reason}") from error


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
        return [_hyperspy(group, _zarr_array(group["data"])) for _, group in top["Experiments"].groups()]
    return [_zarr_array(array) for _, array in top.arrays()]


def _hyperspy(group: Any, array: StoredArray) -> StoredArray:
    """A signal of HyperSpy, in HDF5 or Zarr, with what its group tells of its array."""
    axes, energy = [], None
    for place in range(len(array.shape)):
        told = dict(group[f"axis-{place}"].attrs) if f"axis-{place}" in group else {}
        unit, scanned = told.get("units"), told.get("navigate")
        scale = float(told.get("scale", 1.0))
        axes.append(Axis(scale, unit if isinstance(unit, str) else "", None if scanned is None else bool(scanned)))
    if "metadata/Acquisition_instrument/TEM" in group:
        energy = group["metadata/Acquisition_instrument/TEM"].attrs.get("beam_energy")
    return replace(array, axes=tuple(axes), energy=1e3 * float(energy) if energy else None)


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


def _hdf5(path: Path) -> list[StoredArray]:
    """Arrays of an HDF5 file: of HyperSpy, py4DSTEM, EMD, or any other."""
    import h5py

    check_hdf5(path)
    with h5py.File(path, "r") as file:
        kinds = {type(group.attrs.get("emd_group_type")) for group in file.values()}
        if "Experiments" in file:
            signals = file["Experiments"].values()
            return [_hyperspy(group, _dataset(path, group["data"], ())) for group in signals if "data" in group]
        if "4DSTEM_experiment" in file or str in kinds or not kinds - {type(None)}:
            # EMD 1.0, which has words for its groups, or none of these.
            return [*_py4dstem(path, file)] or [*_any_hdf5(path, file)]
    return _rosetta(path, "emd", {})


def _py4dstem(path: Path, file: h5py.File) -> Iterator[StoredArray]:
    """Arrays with their axes, in the order of the file, as py4DSTEM writes them in any of its versions."""
    import h5py

    found: list[h5py.Dataset] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim > 1 and name.rpartition("/")[2] in ("data", "datacube"):
            found.append(item)

    file.visititems(visit)
    sizes = _calibration(file)
    for dataset in found:
        group = dataset.parent
        first = 0 if "dim0" in group else 1
        axes = []
        for place in range(dataset.ndim):
            dim = group.get(f"dim{place + first}")
            scanned = None if dataset.ndim != 4 else place < 2
            scale, unit = _dim(dim)
            if dataset.ndim == 4 and (told := sizes.get("R" if scanned else "Q")):
                scale, unit = told
            axes.append(Axis(scale, unit, scanned))
        array = _dataset(path, dataset, tuple(axes))
        if group.attrs.get("python_class") == "Probe":  # and beside it the kernel that was made from it
            yield StoredArray(
                array.shape[1:],
                array.dtype,
                array.axes[1:],
                partial(_first_of, array),
                array.chunks[1:],
            )
        else:
            yield array


def _first_of(array: StoredArray, region: Part) -> NDArray[Any]:
    return np.asarray(array.read((slice(0, 1), *region))[0])


def _any_hdf5(path: Path, file: h5py.File) -> Iterator[StoredArray]:
    import h5py

    found: list[h5py.Dataset] = []
    file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    for dataset in found:
        if dataset.ndim > 1:
            yield _dataset(path, dataset, (Axis(),) * dataset.ndim)


def _dataset(path: Path, dataset: h5py.Dataset, axes: tuple[Axis, ...]) -> StoredArray:
    import h5py

    name = dataset.name

    def read(region: Part) -> NDArray[Any]:
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][region])

    return StoredArray(dataset.shape, dataset.dtype, axes, read, dataset.chunks or (1,) * dataset.ndim)


def _dim(dim: h5py.Dataset | None) -> tuple[float, str]:
    """Step and unit of an axis of EMD, which has its first two values or all of them."""
    if dim is None or dim.size < 2 or dim.dtype.kind not in "iuf":
        return 1.0, ""
    values = dim[:2]
    return float(values[1] - values[0]), _text(dim.attrs.get("units", ""))


def _calibration(file: h5py.File) -> dict[str, tuple[float, str]]:
    """Pixel and unit of patterns (Q) and scan (R), which py4DSTEM keeps for all arrays of a file."""
    found: dict[str, tuple[float, str]] = {}

    def visit(name: str, item: Any) -> None:
        if name.rpartition("/")[2] == "calibration" and "Q_pixel_size" in item:
            for letter in "QR":
                if f"{letter}_pixel_size" in item and f"{letter}_pixel_units" in item:
                    size, unit = item[f"{letter}_pixel_size"][()], _text(item[f"{letter}_pixel_units"][()])
                    if isinstance(size, np.number):
                        found[letter] = (float(size), unit)

    file.visititems(visit)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
