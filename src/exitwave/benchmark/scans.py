"""Scans of diffraction patterns, read in parts, with what their files tell of their pixels."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.reading import failures_told, in_words
from exitwave.benchmark.scan_files import arrays_of
from exitwave.benchmark.sidecars import FILE, GIVEN, SIDECAR, sidecar_beside
from exitwave.benchmark.stored_arrays import Axis, Part, StoredArray
from exitwave.benchmark.units import NO_UNITS, length_of
from exitwave.electron import wavelength
from exitwave.errors import ScanError

SMALLEST_PATTERN = 16
"""Edge [px] below which there is no room for disks."""
PLAUSIBLE_RECIPROCAL = (1e-5, 1.0)
"""Reciprocal pixels outside this range [1/Å] are no calibration of a pattern of disks."""
_ANGLES = {"mrad": 1e-3, "rad": 1.0, "milliradian": 1e-3, "millirad": 1e-3}
_RECIPROCAL = re.compile(r"^(?:1/(?P<below>.+)|(?P<unit>.+?)(?:\^|\*\*)?-1)$")


@dataclass(frozen=True)
class Scan:
    """A scan of diffraction patterns, of which parts are read when they are asked for.

    Attributes
    ----------
    path : path
    shape : (int, int, int, int)
        Rows and columns of the scan, height and width of a pattern.
    dtype : dtype
        Of the stored values.
    reciprocal_sampling : float, optional
        Pixel of the patterns [1/Å]; None where the file does not tell.
    step : float, optional
        Step of the scan [Å]; None where the file does not tell.
    chunks : (int, int)
        How many rows and columns of the scan are stored together.
    told : tuple of str
        What is doubtful about it, in words that go on after its name.
    uncalibrated : str
        Why its reciprocal pixel is not known, in such words; empty where it is.
    semiangle : float, optional
        Of the probe [mrad], where a sidecar says it.
    sampling_from, step_from : str
        Where the pixel of the patterns and the step are from: given, sidecar or file.
    """

    path: Path
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    reciprocal_sampling: float | None
    step: float | None
    chunks: tuple[int, int]
    told: tuple[str, ...]
    stored: StoredArray
    order: tuple[int, ...]
    """Axes of the stored array, those of the scan first."""
    uncalibrated: str = ""
    semiangle: float | None = None
    sampling_from: str = FILE
    step_from: str = FILE

    @property
    def energy(self) -> float | None:
        """Of the electrons [eV], where sidecar or file say it."""
        return self.stored.energy

    def patterns(self, rows: slice, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Patterns of a part of the scan, row by row, float32 [n, H, W], as they are stored.

        Raises
        ------
        ScanError
            If this part cannot be read.
        """
        height, width = self.shape[2:]
        tops = range(*rows.indices(self.shape[0]))
        lefts = range(*columns.indices(self.shape[1]))
        with failures_told(self.path, ScanError):
            if len(self.order) == 4:
                asked: Part = (slice(tops.start, tops.stop), slice(lefts.start, lefts.stop), slice(None), slice(None))
                region = tuple(asked[self.order.index(axis)] for axis in range(4))
                values = np.transpose(self.stored.read(region), self.order)
            else:
                lines = [self._line(row, lefts.start, lefts.stop) for row in tops]
                values = np.concatenate(lines) if lines else np.zeros((0, height, width), np.float32)
            return np.ascontiguousarray(values.reshape(-1, height, width), np.float32)

    def _line(self, row: int, start: int, stop: int) -> NDArray[Any]:
        """Part of a row of a scan that is stored as a stack of patterns."""
        first = row * self.shape[1]
        asked: Part = (slice(first + start, first + stop), slice(None), slice(None))
        if first + stop > self.stored.shape[0]:
            raise ScanError(f"{self.path} ends before pattern {first + stop} of {self.shape[0] * self.shape[1]}")
        region = tuple(asked[self.order.index(axis)] for axis in range(3))
        return np.transpose(self.stored.read(region), self.order)


def open_scan(path: str | PurePath, energy: float | None = None, scan_shape: tuple[int, int] | None = None) -> Scan:
    """Find out what scan a file holds, without reading its patterns.

    What a sidecar says of it goes before what the file says, and what is given here before both.

    Parameters
    ----------
    path : path
        HSPY, ZSPY, EMD, HDF5 of py4DSTEM or others, MIB, BLO, DM3, DM4, NPY file or Zarr array.
    energy : float, optional
        Of the electrons [eV]: needed where pixels are calibrated as angles, and neither file nor sidecar says it.
    scan_shape : (int, int), optional
        Rows and columns, where the file has a stack of patterns.

    Raises
    ------
    ScanError
        If the file cannot be read or does not hold one scan, or its sidecar cannot be used or is of another scan.
    """
    path = Path(path)
    with failures_told(path, ScanError):
        sidecar = sidecar_beside(path)
    if sidecar is None:
        return scan_of_file(path, energy, scan_shape)
    said, shape = sidecar.experiment, scan_shape or sidecar.shape
    stored = _chosen(path, arrays_of(path, shape))
    if scan_shape is None and shape is not None and len(stored.shape) == 3:
        number = stored.shape[_order(stored.axes, 3)[0]]
        if math.prod(shape) != number:
            raise ScanError(
                f"{sidecar.path}: scan.size_px is {shape[1]} x {shape[0]}, but the file has {number} patterns; "
                "allowed: columns and rows of the scan"
            )
    own, voltage = stored.energy, said.electron_source.voltage_V
    scan = scan_from(path, replace(stored, energy=voltage or own), energy, shape if len(stored.shape) == 3 else None)
    if scan_shape is None:
        with failures_told(path, ScanError):
            sidecar.check_size([scan.shape[:2]])
    sampling, step = said.detector.reciprocal_pixel_per_A, said.scan.pixel_size_A
    doubts = (
        *sidecar.contradiction("electrons", voltage, own, "eV"),
        *sidecar.contradiction("a reciprocal pixel", sampling, scan.reciprocal_sampling, "1/Å"),
        *sidecar.contradiction("a step", step, scan.step, "Å"),
    )
    scan = replace(scan, told=(*scan.told, *doubts), semiangle=said.optics.semiangle_mrad)
    return calibrated(scan, sampling, step, SIDECAR)


def scan_of_file(path: Path, energy: float | None = None, scan_shape: tuple[int, int] | None = None) -> Scan:
    """As :func:`open_scan`, of what the file alone says."""
    return scan_from(path, _chosen(path, arrays_of(path, scan_shape)), energy, scan_shape)


def scan_from(
    path: Path, stored: StoredArray, energy: float | None = None, scan_shape: tuple[int, int] | None = None
) -> Scan:
    """The scan that an array of a file is; see :func:`open_scan`."""
    order = _order(stored.axes, len(stored.shape))
    sizes = [stored.shape[axis] for axis in order]
    told = list(stored.told)
    if len(sizes) == 3:
        rows, columns = scan_shape or (1, sizes[0])
        if rows * columns < sizes[0]:
            raise ScanError(
                f"{path} holds {sizes[0]} patterns, which are not the {rows} x {columns} that were asked for; allowed: "
                "a scan shape that holds them all"
            )
        if rows * columns > sizes[0]:
            told.append(f"has {sizes[0]} patterns of the {rows} x {columns} that were asked for")
        shape = (rows, columns, sizes[1], sizes[2])
        chunks = (1, stored.chunks[order[0]])
    else:
        if scan_shape is not None and tuple(sizes[:2]) != scan_shape:
            raise ScanError(
                f"{path} holds a scan of {sizes[0]} rows and {sizes[1]} columns; allowed: this scan shape, or none"
            )
        shape = (sizes[0], sizes[1], sizes[2], sizes[3])
        chunks = (stored.chunks[order[0]], stored.chunks[order[1]])
    if min(shape[2:]) < SMALLEST_PATTERN:
        raise ScanError(
            f"{path} has patterns of {in_words(shape[2:])} px; allowed: {SMALLEST_PATTERN} px or more along both edges"
        )
    if stored.dtype.kind not in "buif":
        raise ScanError(f"{path} has values of type {stored.dtype}; allowed: real numbers")
    sampling, uncalibrated = _reciprocal(stored, order, energy)
    step, doubts = _step(stored, order)
    return Scan(path, shape, stored.dtype, sampling, step, chunks, (*told, *doubts), stored, order, uncalibrated)


def calibrated(scan: Scan, reciprocal_sampling: float | None, step: float | None, source: str = GIVEN) -> Scan:
    """A scan with pixels from another source in place of what its file says.

    Raises
    ------
    ScanError
        If one of them is not plausible.
    """
    low, high = PLAUSIBLE_RECIPROCAL
    if reciprocal_sampling is not None and not low <= reciprocal_sampling <= high:
        raise ScanError(f"reciprocal sampling: found {reciprocal_sampling:g} 1/Å; allowed: {low:g} to {high:g} 1/Å")
    if step is not None and not 0 < step < math.inf:
        raise ScanError(f"scan step: found {step:g} Å; allowed: a length above 0")
    if reciprocal_sampling is not None:
        scan = replace(scan, reciprocal_sampling=reciprocal_sampling, uncalibrated="", sampling_from=source)
    return scan if step is None else replace(scan, step=step, step_from=source)


def _chosen(path: Path, arrays: Sequence[StoredArray]) -> StoredArray:
    """The array of a file that is a scan."""
    for dimensions in (4, 3):
        found = [array for array in arrays if len(array.shape) == dimensions and 0 not in array.shape]
        if len(found) == 1:
            return found[0]
        if found:
            shapes = ", ".join(in_words(array.shape) for array in found)
            raise ScanError(
                f"{path} holds {len(found)} arrays of {dimensions} dimensions ({shapes}); allowed: one scan"
            )
    shapes = ", ".join(in_words(array.shape) for array in arrays) or "none"
    raise ScanError(f"{path} holds no scan (arrays: {shapes}); allowed: one of 4 dimensions, or a stack of patterns")


def _order(axes: Sequence[Axis], dimensions: int) -> tuple[int, ...]:
    """Axes of the scan, then those of the patterns: by their units, else by what the file says, else as they come."""
    places = range(dimensions)
    for detector in (
        [place for place in places if _is_reciprocal(axes[place].unit)],
        [place for place in places if axes[place].scanned is False],
    ):
        if len(detector) == 2:
            return (*(place for place in places if place not in detector), *detector)
    return tuple(places)


def _plain(unit: str) -> str:
    """A unit in small letters, without what programs put around it."""
    text = unicodedata.normalize("NFKC", unit).replace("\N{MINUS SIGN}", "-").replace("\N{FRACTION SLASH}", "/")
    return re.sub(r"[\s{}$()\[\]]|\\(?:math)?(?:rm|AA)?", "", text).lower()


def _reciprocal_length(unit: str) -> float | None:
    """A unit of reciprocal length [1/Å]; None of another one."""
    found = _RECIPROCAL.match(_plain(unit))
    length = length_of(found["below"] or found["unit"]) if found else None
    return None if length is None else 1 / length


def _is_reciprocal(unit: str) -> bool:
    return _reciprocal_length(unit) is not None or _plain(unit) in _ANGLES


def _reciprocal(stored: StoredArray, order: Sequence[int], energy: float | None) -> tuple[float | None, str]:
    """Pixel of the patterns [1/Å], or why it is not known."""
    rows, columns = (stored.axes[axis] for axis in order[-2:])
    unit, energy = columns.unit, energy or stored.energy
    scales = [abs(axis.scale) for axis in (rows, columns)]
    angle, length = _ANGLES.get(_plain(unit)), _reciprocal_length(unit)
    if _plain(unit) in NO_UNITS:
        return None, "has no calibration of its patterns"
    if angle is not None and energy is None:
        return None, f"has patterns calibrated in {unit}, which says nothing without the energy of the electrons"
    if angle is not None and energy is not None:
        factor = angle / wavelength(energy)
    elif length is not None:
        factor = length
    else:
        return None, f"has patterns calibrated in '{unit}', which is no reciprocal length"
    if rows.unit != columns.unit or abs(scales[0] - scales[1]) > 0.01 * scales[1]:
        told = f"{scales[1]:g} {columns.unit} x {scales[0]:g} {rows.unit}"
        return None, f"has pixels of {told} in its patterns, which are not square: shear is wrong by as much"
    size = scales[1] * factor
    low, high = PLAUSIBLE_RECIPROCAL
    if not low <= size < high:  # one of 1, such as programs write that know nothing, is none
        return None, f"has a reciprocal pixel of {size:g} 1/Å, which is no calibration of patterns"
    return size, ""


def _step(stored: StoredArray, order: Sequence[int]) -> tuple[float | None, tuple[str, ...]]:
    """Step of the scan [Å], and what is doubtful about it."""
    axes = [stored.axes[axis] for axis in order[:-2]]
    steps = [
        abs(axis.scale) * length
        for axis in axes
        if (unit := _plain(axis.unit)) not in NO_UNITS and (length := length_of(unit)) is not None and axis.scale
    ]
    if len(steps) < len(axes):
        return None, ()
    if max(steps) - min(steps) > 0.01 * max(steps):
        return None, (f"has steps of {steps[1]:g} x {steps[0]:g} Å, which maps cannot show",)
    return steps[-1], ()
