"""What a person takes away of a scan: maps as TIFF and arrays, pictures, and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.probes import Probe
from exitwave.benchmark.scan_lattices import FIELDS
from exitwave.benchmark.scan_strain import GOOD, TRUST, StrainMaps
from exitwave.benchmark.scans import Scan
from exitwave.data.whole import replace_file
from exitwave.errors import ScanError
from exitwave.jobs.strain_folder import ARRAYS, DISKS, MAPS, PAGE, PICTURES, POINTS, STATE, Lattices
from exitwave.report.strain_figures import COMPONENTS, Example, draw_lattice, draw_quality, draw_strain, shown
from exitwave.report.strain_page import write_strain_page
from exitwave.report.strain_words import (
    axis_told,
    components_told,
    number_told,
    pace_told,
    pixels_told,
    reference_told,
    trust_told,
)


@dataclass(frozen=True)
class Results:
    """A scan and what was found in it.

    Attributes
    ----------
    scan : Scan
    probe : Probe
    mean : float32 array [H, W]
        Of some of its patterns.
    lattices : Lattices
    maps : StrainMaps
    settings : mapping
        What the disks were found with, by name.
    axis_told : str
        Vector that the first axis is along; empty where it is an angle.
    warnings : sequence of str
        In words that go on after the name of the scan.
    pace : (int, float)
        Positions that were measured now, and in how many seconds.
    """

    scan: Scan
    probe: Probe
    mean: NDArray[np.float32]
    lattices: Lattices
    maps: StrainMaps
    settings: Mapping[str, Any]
    axis_told: str
    warnings: Sequence[str]
    pace: tuple[int, float]

    def of(self, name: str) -> NDArray[np.float64]:
        """A map of `exitwave.benchmark.scan_lattices.FIELDS`."""
        return self.lattices.values[..., FIELDS.index(name)]


def write_results(folder: Path, results: Results) -> list[str]:
    """Write maps, pictures and page of a scan, and tell what was found.

    Raises
    ------
    WriteError
        If a file cannot be written.
    """
    maps, scan = results.maps, results.scan
    _write_maps(folder, results)
    paths = {name: folder / file for name, file in PICTURES.items()}
    draw_strain(maps, scan.step, paths["strain"])
    draw_quality(maps, results.of("on_lattice"), results.of("residual"), scan.step, paths["quality"])
    origin = tuple(
        _middle(results.of(name), size / 2)
        for name, size in zip(("origin_x", "origin_y"), scan.shape[:1:-1], strict=True)
    )
    draw_lattice(
        results.mean,
        results.probe.image,
        maps,
        (origin[0], origin[1]),
        list(_examples(folder, results)),
        scan.reciprocal_sampling,
        results.probe.radius,
        paths["patterns"],
    )
    found = [
        pace_told(*results.pace, maps.trust.size),
        trust_told(maps),
        reference_told(maps, scan.reciprocal_sampling),
        axis_told(maps, results.axis_told),
        *components_told(maps),
        pixels_told(scan),
    ]
    _write_page(folder, results, found, paths)
    return found


def _middle(values: NDArray[np.float64], otherwise: float) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else otherwise


def _write_maps(folder: Path, results: Results) -> None:
    """Maps as TIFF, which Fiji opens with the step of the scan, and as arrays."""
    import tifffile

    maps, step = results.maps, results.scan.step
    error = np.max([maps.errors[name] for name in ("xx", "yy", "xy")], axis=0)
    of_fit = (error, results.of("residual"), results.of("on_lattice"), maps.trust)
    values_of = (*(getattr(maps, name) for name in COMPONENTS), *of_fit)
    sizes: dict[str, Any] = {} if step is None else {"metadata": {"unit": "nm"}, "resolution": (10 / step, 10 / step)}
    for name, values in zip(MAPS, values_of, strict=True):
        kind = np.uint8 if values.dtype == np.uint8 else np.float32

        def write(path: Path, values: NDArray[Any] = values, kind: type = kind) -> None:
            tifffile.imwrite(path, values.astype(kind), imagej=True, **sizes)

        replace_file(folder / name, write)
    arrays: dict[str, Any] = {
        **{f"e_{name}" if name != "rotation" else name: getattr(maps, name) for name in COMPONENTS},
        **{f"error_{name}": maps.errors[name] for name in COMPONENTS},
        **{name: results.of(name) for name in FIELDS},
        "trust": maps.trust,
        "reference": maps.reference.vectors,
        "reference_positions": maps.reference.mask,
        "axis": np.array(maps.axis),
    }

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    replace_file(folder / ARRAYS, save)


def _examples(folder: Path, results: Results) -> Iterator[Example]:
    """Patterns that are typical, doubtful and not trusted, with the disks found in them."""
    import pyarrow.parquet as pq

    for title, (row, column) in _chosen(results):
        try:
            (pattern,) = results.scan.patterns(slice(row, row + 1), slice(column, column + 1))
        except ScanError:
            continue
        table = pq.read_table(folder / DISKS, filters=[("row", "=", row), ("column", "=", column)])
        disks = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()])
        near = ~np.isnan(table["h"].to_numpy().astype(float))
        yield Example(pattern, disks, near, f"{title}\nx {column}, y {row}")


def _chosen(results: Results) -> Iterator[tuple[str, tuple[int, int]]]:
    maps = results.maps
    error = np.where(maps.good, maps.errors["xx"] + maps.errors["yy"], np.nan)
    if maps.good.any():
        flat = error.ravel()
        ordered = np.argsort(flat)[: np.count_nonzero(maps.good)]
        width = error.shape[1]
        yield "typical", divmod(int(ordered[len(ordered) // 2]), width)
        if len(ordered) > 2:
            yield "least certain", divmod(int(ordered[-1]), width)
    others = [code for code in TRUST if code != GOOD and (maps.trust == code).any()]
    if others:
        code = max(others, key=lambda code: int(np.count_nonzero(maps.trust == code)))
        row, column = np.argwhere(maps.trust == code)[np.count_nonzero(maps.trust == code) // 2]
        yield TRUST[code].partition(",")[0], (int(row), int(column))


def _write_page(folder: Path, results: Results, found: Sequence[str], paths: Mapping[str, Path]) -> None:
    maps, scan = results.maps, results.scan
    headline = {"of the positions trusted": f"{100 * maps.good.mean():.3g} %"}
    for name, told in (
        ("xx", "e_xx, median"),
        ("yy", "e_yy, median"),
        ("xy", "e_xy, median"),
        ("rotation", "rotation, median"),
    ):
        values = shown(maps, name)
        unit = "°" if name == "rotation" else " %"
        headline[told] = f"{number_told(np.nanmedian(values))}{unit}" if maps.good.any() else "none"
    error = np.where(maps.good, maps.errors["xx"], np.nan)
    headline["standard error of e_xx, median"] = f"{100 * np.nanmedian(error):.3f} %" if maps.good.any() else "none"
    pictures = {
        "Strain": (
            paths["strain"],
            "Grey positions are not trusted. The dashed box is the reference, where it is a part of the scan. "
            "Histograms are of the trusted positions, with the median as a line.",
        ),
        "How far to trust it": (
            paths["quality"],
            "The standard error follows from the scatter of the disks about the lattice; it knows nothing of what "
            "moves all disks alike.",
        ),
        "Patterns": (
            paths["patterns"],
            "Square roots of the intensities. Disks on the lattice are green, others red.",
        ),
    }
    names = {
        "strain maps, arrays": ARRAYS,
        "e_xx": "e_xx.tif",
        "e_yy": "e_yy.tif",
        "e_xy": "e_xy.tif",
        "rotation": "rotation.tif",
        "error": "error.tif",
        "trust": "trust.tif",
        "disks, table": DISKS,
        "disks, py4DSTEM": POINTS,
        "settings": STATE,
    }
    settings = {name: str(value) for name, value in results.settings.items() if value is not None}
    warnings = [f"The scan {told}." for told in results.warnings]

    def write(path: Path) -> None:
        write_strain_page(path, scan.path.name, headline, found, warnings, pictures, settings, names)

    replace_file(folder / PAGE, write)
