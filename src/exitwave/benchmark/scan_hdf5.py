"""Scans in HDF5, and signals of HyperSpy in HDF5 or Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import check_hdf5
from exitwave.benchmark.stored_arrays import Axis, Part, StoredArray

if TYPE_CHECKING:
    import h5py


def hdf5_arrays(path: Path) -> list[StoredArray] | None:
    """Arrays of an HDF5 file of HyperSpy, py4DSTEM, or any other; None of an EMD file, which RosettaSciIO reads."""
    import h5py

    check_hdf5(path)
    with h5py.File(path, "r") as file:
        kinds = {type(group.attrs.get("emd_group_type")) for group in file.values()}
        if "Experiments" in file:
            signals = file["Experiments"].values()
            return [hyperspy_array(group, _dataset(path, group["data"], ())) for group in signals if "data" in group]
        if "4DSTEM_experiment" in file or str in kinds or not kinds - {type(None)}:
            # EMD 1.0, which has words for its groups, or none of these.
            return [*_py4dstem(path, file)] or [*_any_hdf5(path, file)]
    return None


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


def hyperspy_array(group: Any, array: StoredArray) -> StoredArray:
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
