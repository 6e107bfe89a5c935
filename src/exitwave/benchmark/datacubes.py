"""Cases of a real scan of diffraction patterns with its probe: places of which a part has a known strain."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, check_pixel_sizes
from exitwave.benchmark.disk_finders import frame_of
from exitwave.benchmark.held_out import COLUMNS, check_one_aim, training_cases
from exitwave.benchmark.probes import Probe, probe_of
from exitwave.benchmark.scan_checks import aim, check_finders, check_tuned_on, scorable
from exitwave.benchmark.scan_columns import PART, PARTS, REFERENCE, SCORED, STRAINS
from exitwave.benchmark.scan_parts import Box
from exitwave.benchmark.scan_survey import clean, is_usable, look_at
from exitwave.benchmark.scans import Scan, calibrated, open_scan
from exitwave.config.benchmarks import DatacubeBenchmark, ScanPart
from exitwave.config.graph import Node
from exitwave.config.models import Network
from exitwave.config.yaml_files import sidecar_of
from exitwave.data.tables import read_table
from exitwave.errors import ConfigError, DatasetError, ScanError
from exitwave.labels.reflections import FIELDS
from exitwave.training.disks import PROBE
from exitwave.training.kinds import task_on
from exitwave.training.task import Task

__all__ = ["aim", "cases", "check", "files", "scorable"]

log = logging.getLogger(__name__)
MULTIPLE = 16
"""What the edge of the square is a multiple of that patterns are brought into."""
BLOCKS = 8
"""Along each edge of a scan, of neighbouring places that an interval takes together."""


BY = (PART, "scan_row", "scan_column")
"""Columns that scores can be broken down by."""


@dataclass(frozen=True)
class Datacube:
    """Places of a scan; see :class:`exitwave.benchmark.cases.Cases`."""

    task: Task
    places: pd.DataFrame
    patterns: Sequence[NDArray[np.float32]]
    probe: NDArray[np.float32]
    pixel: float
    unusable: pd.DataFrame
    tuned_on: pd.DataFrame

    def __iter__(self) -> Iterator[Case]:
        columns = [PART, *PARTS, *STRAINS, REFERENCE, SCORED]
        nothing = np.zeros((0, len(FIELDS)), np.float32)  # no reflection of a real pattern is known
        for pattern, row in zip(self.patterns, self.places.to_dict("records"), strict=True):
            name = f"column {row['scan_column']}, row {row['scan_row']}"
            told = {column: row[column] for column in columns}
            yield Case(name, pattern, nothing, self.pixel, str(row["group"]), {PROBE: self.probe}, told)

    def skipped(self) -> pd.DataFrame:
        """Places that cannot be used."""
        return self.unusable

    def examples(self) -> list[Case]:
        """Training images of the dataset that classical methods are tuned on."""
        return training_cases(self.task, [self.tuned_on])


def check(node: Node) -> None:
    """Refuse files that are not there or hold no scan, parts that are not in it, and networks that find no disks."""
    block, trainings = node.of(DatacubeBenchmark), node.upstream["trainings"]
    check_finders(trainings)
    check_one_aim(trainings)
    check_tuned_on(node)
    for name in block.by:
        if name not in BY:
            raise ConfigError(f"by: found '{name}'; allowed: {', '.join(BY)}")
    for key, path in _named(block).items():
        if not os.path.exists(path):
            raise ConfigError(f"{key}: there is no file {path}; allowed: one that is there")
    try:
        scan = _opened(block)
        if block.vacuum is not None:
            _box(block.vacuum).within(scan.shape, "vacuum")
        _box(block.reference).within(scan.shape, "reference")
        for known in block.known:
            _box(known).within(scan.shape, "known")
        if block.vacuum is None:  # else it is the mean of many patterns
            _probe(scan, block)
    except ScanError as error:
        raise ConfigError(str(error)) from error
    pixel = _pixel(scan, block)
    if not block.any_pixel_size:
        check_pixel_sizes({f"path: {block.path}": pixel}, trainings)


def files(block: DatacubeBenchmark) -> list[str]:
    """Scan and probe, and the sidecar of the scan if it has one."""
    sidecar = sidecar_of(Path(block.path))
    return [str(path) for path in (*_named(block).values(), *([sidecar] if sidecar.exists() else []))]


def _named(block: DatacubeBenchmark) -> dict[str, Path]:
    named = {"path": block.path, "probe": block.probe}
    return {key: Path(path) for key, path in named.items() if path is not None}


def cases(block: DatacubeBenchmark, model: Network, manifests: Sequence[Path]) -> Datacube:
    """Places of the scan, evenly spread.

    Parameters
    ----------
    block : DatacubeBenchmark
    model : Network
    manifests : sequence of path
        That of the dataset which classical methods are tuned on.

    Raises
    ------
    ScanError
        If scan or probe cannot be used.
    DatasetError
        If there is nothing to measure in the reference, or nothing to score.
    """
    scan = _opened(block)
    probe = _probe(scan, block)
    survey = look_at(scan, probe)
    for told in (*scan.told, *survey.told):
        log.warning("%s %s", scan.path, told)
    places, reasons, patterns = measured_at(scan.shape[:2], block), list[dict[str, str]](), list[NDArray[np.float32]]()
    usable = np.zeros(len(places), bool)
    frame = frame_of(scan.shape[2:], survey.centre, block.binning, MULTIPLE)
    for number, (row, column) in enumerate(zip(places["scan_row"], places["scan_column"], strict=True)):
        try:
            pattern = scan.patterns(slice(row, row + 1), slice(column, column + 1))
            if not is_usable(pattern[0]):
                raise ScanError(f"{scan.path}: column {column}, row {row} is empty, or not finite")
        except ScanError as error:
            reasons.append({"file": str(scan.path), "reason": str(error)})
            continue
        usable[number] = True
        patterns.append(frame.fit(clean(pattern))[0])
    places = places[usable].reset_index(drop=True)
    wanted = {"the reference": places[REFERENCE], "what is scored": places[SCORED]}
    wanted |= {f"known part {number}": places[PART] == f"part {number}" for number in range(1, len(block.known) + 1)}
    for told, there in wanted.items():
        if not there.any():
            raise DatasetError(
                f"{scan.path}: no place of {told} can be used, of {usable.sum()} in all; allowed: one or more, such as "
                f"of a larger part or with a size above {block.size}"
            )
    unusable = pd.DataFrame(reasons, columns=["file", "reason"])
    tuned_on = read_table(manifests[0], COLUMNS | {*model.columns()})
    return Datacube(
        task_on(model, tuned_on),
        places,
        patterns,
        frame.fit_probe(probe),
        _pixel(scan, block),
        unusable,
        tuned_on,
    )


def _opened(block: DatacubeBenchmark) -> Scan:
    shape = None if block.scan_shape is None else block.scan_shape[::-1]
    return calibrated(open_scan(block.path, block.energy, shape), block.reciprocal_sampling, None)


def _probe(scan: Scan, block: DatacubeBenchmark) -> Probe:
    vacuum = None if block.vacuum is None else _box(block.vacuum)
    return probe_of(scan, block.probe, vacuum, block.semiangle, block.energy)


def _pixel(scan: Scan, block: DatacubeBenchmark) -> float:
    """Pixel of what networks see [1/Å]."""
    if scan.reciprocal_sampling is None:
        raise ConfigError(f"path: {scan.path} {scan.uncalibrated}; give the key reciprocal_sampling, in 1/Å")
    return scan.reciprocal_sampling * block.binning


def _box(part: ScanPart) -> Box:
    return Box(part.columns, part.rows)


def measured_at(shape: tuple[int, int], block: DatacubeBenchmark) -> pd.DataFrame:
    """Places on an even grid, with the part that each belongs to and the strain that is known of it.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the scan.
    block : DatacubeBenchmark
    """
    rows, columns = shape
    step = max(1, math.ceil(math.sqrt(rows * columns / block.size)))
    # Of a scan of few rows, such as a line, no more are left out than must be.
    down = min(step, rows)
    across = min(columns, math.ceil(math.ceil(rows / down) * columns / block.size))
    down = max(down, math.ceil(rows * math.ceil(columns / across) / block.size))
    row, column = (grid.ravel() for grid in np.mgrid[0:rows:down, 0:columns:across])
    high, wide = math.ceil(rows / BLOCKS), math.ceil(columns / BLOCKS)
    table = {"scan_column": column, "scan_row": row, "scan_x": column, "scan_y": row}
    parts = np.full(len(row), "elsewhere" if block.known else "scan", object)
    strain = np.full((len(row), len(STRAINS)), np.nan if block.known else 0.0)
    scored = np.full(len(row), not block.known)
    for number, known in enumerate(block.known, start=1):
        inside = _inside(_box(known), row, column)
        parts[inside], scored[inside] = f"part {number}", True
        strain[inside] = known.xx, known.yy, known.xy, 1e-3 * known.rotation
    reference = _inside(_box(block.reference), row, column)
    parts[reference], scored[reference], strain[reference] = "reference", False, 0.0
    places = pd.DataFrame({**table, PART: parts, **dict(zip(STRAINS, strain.T, strict=True))})
    places[REFERENCE], places[SCORED] = reference, scored
    # Neighbours resemble each other.
    blocks = [f"{part}, {y}, {x}" for part, y, x in zip(places[PART], row // high, column // wide, strict=True)]
    return places.assign(group=blocks)


def _inside(box: Box, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (row >= box.y[0]) & (row < box.y[1]) & (column >= box.x[0]) & (column < box.x[1])
