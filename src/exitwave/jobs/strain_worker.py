"""Measuring parts of a scan: patterns in, disks and lattices out, each part by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.correlation import Correlation
from exitwave.benchmark.disk_finders import CorrelationFinder, Finder, Frame, NetworkFinder
from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.probes import Probe
from exitwave.benchmark.scan_lattices import FIELDS, Fit, fit_position, nearest_lattice
from exitwave.benchmark.scan_strain import EMPTY, GOOD, NOT_READ, SATURATED
from exitwave.benchmark.scan_survey import clean, is_full, is_usable
from exitwave.benchmark.scans import Scan, open_scan
from exitwave.config.disks import Disks
from exitwave.errors import ScanError, TrainingError
from exitwave.hardware import Device, Precision
from exitwave.training.bundle import load_networks

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

AT_ONCE = 16
"""Patterns between two reports."""


@dataclass(frozen=True)
class Networks:
    """Networks that find disks.

    Attributes
    ----------
    model : path
    device : {'cpu', 'cuda'}
    frame : Frame
    threshold : float
    precision : {'32', 'bf16'}
        Arithmetic.
    """

    model: Path
    device: Device
    frame: Frame
    threshold: float
    precision: Precision


@dataclass(frozen=True)
class Setup:
    """All that a part of a scan is measured with, which other processes can be given.

    Attributes
    ----------
    path : path
        Of the scan.
    scan_shape : (int, int), optional
        As of `exitwave.benchmark.scans.open_scan`.
    probe : Probe
    finder : Networks or Correlation
    start : Lattice
        Of the scan.
    fit : {'disks', 'map'}
    full : float
        Value at which the camera is full.
    """

    path: Path
    scan_shape: tuple[int, int] | None
    probe: Probe
    finder: Networks | Correlation
    start: Lattice
    fit: Fit
    full: float


@dataclass(frozen=True)
class Measured:
    """What was measured in a part of a scan, position by position.

    Attributes
    ----------
    values : float64 array [n, 13]
        As `exitwave.benchmark.scan_lattices.FIELDS`.
    read : uint8 array [n]
        As `exitwave.benchmark.scan_strain.TRUST`.
    owners : int32 array [m]
        Position of each disk in this part.
    disks : float32 array [m, 4]
        As the peaks of `exitwave.benchmark.disk_finders.Found`.
    indices : int16 array [m, 2]
        h and k.
    near : bool array [m]
        Which disks are near their lattice point.
    """

    values: NDArray[np.float64]
    read: NDArray[np.uint8]
    owners: NDArray[np.int32]
    disks: NDArray[np.float32]
    indices: NDArray[np.int16]
    near: NDArray[np.bool_]


def load_disk_networks(model: Path, device: Device) -> list[LoadedNetwork]:
    """Networks that find disks, on a device.

    Raises
    ------
    TrainingError
        If there is none, it is damaged, or does something else.
    """
    networks = load_networks(model)
    if not isinstance(networks[0].model, Disks):
        raise TrainingError(
            f"{model}: holds networks of kind {networks[0].model.kind}; allowed: networks of kind disks"
        )
    return [replace(network, module=network.module.to(device)) for network in networks]


def finder_of(probe: Probe, finder: Networks | Correlation) -> Finder:
    """What finds disks."""
    if isinstance(finder, Correlation):
        return CorrelationFinder(probe, finder)
    networks = load_disk_networks(finder.model, finder.device)
    return NetworkFinder(networks, probe, finder.frame, finder.threshold, finder.precision)


class Worker:
    """Measures parts of a scan."""

    def __init__(self, setup: Setup, scan: Scan | None = None, finder: Finder | None = None) -> None:
        self.setup = setup
        self.scan = scan or open_scan(setup.path, scan_shape=setup.scan_shape)
        self.finder = finder or finder_of(setup.probe, setup.finder)

    def measure(self, rows: slice, columns: slice, progress: Callable[[int], None] | None = None) -> Measured:
        """Measure a part of the scan.

        Parameters
        ----------
        rows, columns : slice
        progress : callable, optional
            Told how many positions have been done since the last time.
        """
        patterns, read = self._read(rows, columns)
        values = np.full((len(read), len(FIELDS)), np.nan)
        owners, disks, indices, near = [], [], [], []
        good = np.flatnonzero(read == GOOD)
        done = 0
        for first in range(0, len(good), AT_ONCE):
            places = good[first : first + AT_ONCE]
            batch = patterns[places]
            read[places] = [
                SATURATED if is_full(one, self.setup.full, self.setup.probe.radius) else GOOD for one in batch
            ]
            cleaned = clean(batch)
            for place, pattern, roughly in zip(places, cleaned, self.finder.find(cleaned), strict=True):
                lattice = nearest_lattice(roughly.weighted, self.setup.start)
                found = self.finder.sharpened(pattern, roughly, lattice)
                fitted = fit_position(found, self.setup.start, self.setup.fit)
                values[place] = fitted.values
                owners.append(np.full(len(found.peaks), place, np.int32))
                disks.append(found.peaks.astype(np.float32))
                indices.append(fitted.indices.astype(np.int16))
                near.append(fitted.near)
            if progress is not None:
                progress(len(places))
                done += len(places)
        if progress is not None:
            progress(len(read) - done)
        return Measured(
            values,
            read,
            np.concatenate([*owners, np.zeros(0, np.int32)]),
            np.concatenate([*disks, np.zeros((0, 4), np.float32)]),
            np.concatenate([*indices, np.zeros((0, 2), np.int16)]),
            np.concatenate([*near, np.zeros(0, bool)]),
        )

    def _read(self, rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Patterns of a part, and which of them cannot be used; a damaged place costs no other one."""
        try:
            patterns = self.scan.patterns(rows, columns)
            return patterns, np.array([GOOD if is_usable(one) else EMPTY for one in patterns], np.uint8)
        except ScanError:
            number = (rows.stop - rows.start) * (columns.stop - columns.start)
            if number == 1:
                return np.zeros((1, *self.scan.shape[2:]), np.float32), np.array([NOT_READ], np.uint8)
        if rows.stop - rows.start > 1:
            parts = [self._read(one, columns) for one in _halves(rows)]
        else:
            parts = [self._read(rows, one) for one in _halves(columns)]
        return np.concatenate([part for part, _ in parts]), np.concatenate([read for _, read in parts])


_WORKER: Worker | None = None
"""Of this process, where it is one of several."""


def start_worker(setup: Setup) -> None:
    """Make the worker of a process that shares its machine with others like it."""
    global _WORKER
    if isinstance(setup.finder, Networks):
        import torch

        torch.set_num_threads(1)
    _WORKER = Worker(setup)


def measure_part(rows: slice, columns: slice) -> Measured:
    """Measure a part with the worker of this process."""
    assert _WORKER is not None  # it has been started
    return _WORKER.measure(rows, columns)


def _halves(line: slice) -> tuple[slice, slice]:
    middle = (line.start + line.stop) // 2
    return slice(line.start, middle), slice(middle, line.stop)
