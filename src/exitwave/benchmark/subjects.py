"""What a sidecar can say of a file before a person adds anything: of an image, or of a scan of diffraction patterns."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitwave.benchmark.facts import Fact, facts_of, usable
from exitwave.benchmark.pages import SUFFIXES, guarded, pages_of
from exitwave.benchmark.reading import failures_told
from exitwave.benchmark.scan_files import SCAN_SUFFIXES, arrays_of
from exitwave.benchmark.scans import scan_of_file
from exitwave.errors import ScanError


@dataclass(frozen=True)
class Subject:
    """A file as a sidecar sees it.

    Attributes
    ----------
    shapes : tuple of (int, int)
        Heights and widths of its images [px]; of a scan its rows and columns.
    facts : mapping of Fact
        What it holds, by key of a sidecar.
    told : tuple of str
        What of it cannot be used, in words that go on after its name.
    """

    shapes: tuple[tuple[int, int], ...]
    facts: Mapping[str, Fact]
    told: tuple[str, ...]


def subject_of(path: Path) -> Subject:
    """What a file holds, whatever its sidecar says.

    Raises
    ------
    MicrographError
        If it is neither an image nor a scan, or cannot be read.
    """
    subject = _scan(path) if _holds_scan(path) else _image(path)
    source = {"provenance.source": Fact(path.name, "the file")}
    if path.is_file():
        with guarded(path, lambda: path.open("rb")) as file:
            source["provenance.sha256"] = Fact(hashlib.file_digest(file, "sha256").hexdigest(), "the file")
    return Subject(subject.shapes, {**subject.facts, **source}, subject.told)


def _holds_scan(path: Path) -> bool:
    """Whether a file holds a scan, which of some formats only its content tells."""
    suffix = path.suffix.lower()
    if suffix not in SCAN_SUFFIXES or not path.exists():
        return False
    if suffix not in SUFFIXES:
        return True
    try:
        return any(len(array.shape) == 4 and min(array.shape) > 1 for array in arrays_of(path))
    except ScanError:
        return False


def _scan(path: Path) -> Subject:
    with failures_told(path, ScanError):
        scan = scan_of_file(path)
    rows, columns = scan.shape[:2]
    facts, told = usable(
        [
            ("optics.mode", "STEM", "a scan of diffraction patterns"),
            ("electron_source.voltage_V", scan.energy, "energy of the electrons"),
            ("scan.pixel_size_A", _rounded(scan.step), "its step"),
            ("scan.size_px", [columns, rows], "its positions"),
            ("detector.reciprocal_pixel_per_A", _rounded(scan.reciprocal_sampling), "pixel of its patterns"),
        ]
    )
    return Subject(((rows, columns),), facts, tuple(each for each in (*scan.told, scan.uncalibrated, *told) if each))


def _image(path: Path) -> Subject:
    pages = pages_of(path)
    shapes = [(page.shape[0], page.shape[1]) for page in pages]
    # Of a file with a thumbnail the image is meant.
    page = max(pages, key=lambda page: math.prod(page.shape[:2]))
    facts, told = facts_of({**page.original, **_companion(path)})
    if page.doubt:
        told = (*told, page.doubt)
    if len(set(shapes)) > 1:
        told = (*told, f"holds images of {len(set(shapes))} sizes, of which the largest is described")
    size, more = usable(
        [
            ("scan.size_px", [page.shape[1], page.shape[0]], "the image"),
            ("scan.pixel_size_A", _rounded(page.pixel_size), "calibration of the file"),
        ]
    )
    return Subject(tuple(shapes), {**facts, **size}, (*told, *more))


def _companion(path: Path) -> dict[str, Any]:
    """What the header of a series says, which TIA writes into a file beside it."""
    header = path.with_name(f"{path.stem.rpartition('_')[0]}.emi")
    if path.suffix.lower() != ".ser" or not header.is_file():
        return {}
    signals = guarded(header, lambda: importlib.import_module("rsciio.tia").file_reader(str(header), lazy=True))
    for signal in signals:
        if signal["metadata"]["General"]["original_filename"] == path.name:
            return dict(signal["original_metadata"])
    return {}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
