"""Scattering matrices: how beams exchange intensity with thickness, and how good the choice of beams is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table
from exitwave.electron import wavelength
from exitwave.imaging.aperture import aperture_table
from exitwave.imaging.patterns import Geometry, Optics, disks_of, render
from exitwave.report.diffraction import conventional_indices, indices_told, named, power_told
from exitwave.report.images import spread_rows
from exitwave.report.patterns import SHOWN_AS, draw_pattern
from exitwave.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    VERMILLION,
    decimal_ticks,
    figure,
    picture,
)

PLANES = 4
"""Thicknesses of which patterns are shown."""
CURVES = 5
"""Groups of beams whose intensities are shown, beside the direct one."""
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE)
FAINTEST = 3e-5
"""Share of the electrons in a disk below which a pattern need not reach it."""
_ALIKE = 0.02
"""Part of the largest intensity by which those of equivalent beams may differ."""
LEAST_ERROR = 1e-6
"""Errors below this are drawn here, on a logarithmic axis."""


@dataclass(frozen=True)
class _Matrix:
    """What a shard holds of an item."""

    amplitudes: NDArray[np.complex64]
    beams: NDArray[np.float64]
    tilts: NDArray[np.int16]
    planes: NDArray[np.float64]
    step: float
    length: float
    radius: float

    def intensities(self) -> NDArray[np.float64]:
        """Share of the electrons in the disk of each beam [plane, beam]."""
        inside = np.hypot(*self.tilts.T.astype(float)) <= self.radius
        return np.asarray((np.abs(self.amplitudes[:, :, inside]) ** 2).mean(axis=2, dtype=np.float64))

    def pattern(self, plane: int, size: int) -> NDArray[np.float32]:
        """Pattern of the largest aperture, its disks added as intensities."""
        thickness = float(self.planes[plane])
        disks = disks_of(self.amplitudes[plane], self.tilts, self.beams[:, 3:], self.step, thickness, self.length)
        return render(
            disks, Geometry(size, self.step), Optics(aperture_table("disk", self.radius), self.length, position=None)
        )


def _matrix(shard: Shard, place: int, row: dict[Any, Any]) -> _Matrix:
    length, step = wavelength(float(row["energy"])), float(row["tilt_step"])
    radius = float(row["largest_semiangle"]) * 1e-3 / length / step
    amplitudes, beams, tilts, planes = (shard.read(name, place) for name in ("amplitudes", "beams", "tilts", "planes"))
    return _Matrix(amplitudes, beams, tilts, planes, step, length, radius)


def draw_thickness_series(shard: str | Path, path: str | Path, n: int = 3, title: str = "") -> None:
    """Draw intensities of the strongest beams against thickness, and patterns at some thicknesses, of a few crystals.

    Parameters
    ----------
    shard : path
        Shard of scattering matrices.
    path : path
        PNG to write.
    n : int
        Crystals shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), {place: row for _, place, row in spread_rows([shard], n)}
    with figure(path, 13.0, 2.75 * len(rows) + 1.0) as drawing:
        layout = drawing.add_gridspec(len(rows), 2, width_ratios=[1.0, 1.55])
        for line, (place, row) in enumerate(rows.items()):
            matrix = _matrix(opened, place, row)
            intensities = matrix.intensities()
            _draw_curves(drawing.add_subplot(layout[line, 0]), matrix, intensities, row, line == len(rows) - 1)
            panels = layout[line, 1].subgridspec(1, PLANES).subplots(squeeze=False)[0]
            size = _size(matrix, intensities)
            shown = np.unique(np.geomspace(1, len(matrix.planes), PLANES).round().astype(int)) - 1
            for axis in panels[len(shown) :]:
                axis.set_visible(False)
            for axis, plane in zip(panels, shown, strict=False):
                draw_pattern(axis, matrix.pattern(int(plane), size), matrix.step)
                picture(axis)
                axis.set_title(f"{matrix.planes[plane] / 10:g} nm")
        first = next(iter(rows.values()))
        drawing.suptitle(
            f"Simulated scattering matrices{f': {title}' if title else ''}\n{first['energy'] / 1e3:g} kV, "
            f"{first['largest_semiangle']:g} mrad; patterns without interference of disks, "
            f"{SHOWN_AS.replace('counts', 'intensity')}",
            fontsize=11,
        )


def _size(matrix: _Matrix, intensities: NDArray[np.float64]) -> int:
    """Edge of a pattern that holds all disks that are not faint [px]."""
    bright = intensities.max(axis=0) >= FAINTEST
    farthest = np.abs(matrix.beams[bright, 3:5]).max(initial=0.0) / matrix.step
    return 2 * int(np.ceil(farthest + matrix.radius)) + 4


def _draw_curves(
    axes: Axes, matrix: _Matrix, intensities: NDArray[np.float64], row: dict[Any, Any], lowest: bool
) -> None:
    """Share of the electrons in the direct beam, in the strongest groups of equivalent beams and in all others."""
    # At the entrance face all electrons are in the direct beam.
    depth = np.concatenate([[0.0], matrix.planes / 10])
    intensities = np.concatenate([np.eye(1, intensities.shape[1]), intensities])
    axes.plot(depth, intensities[:, 0], color=INK, lw=1.6, label="direct beam")
    groups = equivalent_beams(intensities, np.hypot(*matrix.beams[:, 3:5].T))[:CURVES]
    indices = matrix.beams[:, :3].astype(np.int64)
    if "space_group" in row:
        indices = conventional_indices(indices, int(row["space_group"]))
    for colour, group in zip(COLOURS, groups, strict=False):
        # Of equivalent beams the one with the fewest negative indices and the largest first ones is named.
        best = max(group, key=lambda beam: (-(indices[beam] < 0).sum(), *indices[beam].tolist()))
        many = f" ×{len(group)}" if len(group) > 1 else ""
        axes.plot(depth, intensities[:, group].sum(axis=1), color=colour, label=indices_told(indices[best], "") + many)
    named_beams = [0, *(beam for group in groups for beam in group)]
    rest = intensities.sum(axis=1) - intensities[:, named_beams].sum(axis=1)
    axes.plot(depth, rest, color=MUTED, ls=":", label=f"{intensities.shape[1] - len(named_beams)} others")
    axes.set(xlim=(0, None), ylim=(0, None), ylabel="share of the electrons")
    if lowest:
        axes.set_xlabel("thickness [nm]")
    axes.grid(axis="y")
    axes.set_title(named(row), loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, handlelength=1.4)


def equivalent_beams(intensities: NDArray[np.float64], distances: NDArray[np.float64]) -> list[list[int]]:
    """Groups of beams as far from the direct one and of the same intensity at all thicknesses, the strongest first.

    Parameters
    ----------
    intensities : float64 [plane, beam]
        The direct beam is the first.
    distances : float64 [beam]
        Across the beam [1/Å].

    Returns
    -------
    list of list of int
        Numbers of beams, without the direct one.
    """
    groups: list[list[int]] = []
    for beam in np.argsort(-intensities.max(axis=0), kind="stable").tolist():
        if beam == 0:
            continue
        own = intensities[:, beam]
        for group in groups:
            first = intensities[:, group[0]]
            alike = np.abs(own - first).max() <= _ALIKE * first.max()
            if alike and abs(distances[beam] - distances[group[0]]) < 1e-3 * distances[beam]:
                group.append(beam)
                break
        else:
            groups.append([beam])
    return sorted(groups, key=lambda group: -intensities[:, group].sum(axis=1).max())


def draw_beams(tables: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw number of beams, error of their choice and intensity left out against the volume of the cell.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of shards of scattering matrices.
    path : path
        PNG to write.
    title : str
        Name of the block.
    """
    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    capped = (table["beams_left_out"] > 0).to_numpy()
    random = (table["orientation_kind"] == "random").to_numpy()
    volume = table["volume"].to_numpy(dtype=float)
    shown = {
        "beams": "beams",
        "beam_error": "change of the intensities with wider limits of beams",
        "intensity_dropped": "intensity of beams not stored",
    }
    with figure(path, 12.0, 3.9) as drawing:
        for axes, (name, label) in zip(drawing.subplots(1, 3), shown.items(), strict=True):
            values = table[name].to_numpy(dtype=float)
            if name != "beams":
                _mark_least(axes, values)
                values = np.maximum(values, LEAST_ERROR)
            for along, colour in ((~random, BLUE), (random, GREEN)):
                for within, face in ((~capped, colour), (capped, "none")):
                    axes.scatter(volume[along & within], values[along & within], s=16, fc=face, ec=colour, lw=0.8)
            axes.set(xscale="log", yscale="log", xlabel="volume of the cell [Å³]", title=label)
            axes.grid()
            decimal_ticks(axes.xaxis)
            if name == "beams":
                decimal_ticks(axes.yaxis)
            else:
                axes.set_ylim(LEAST_ERROR / 3, max(100 * LEAST_ERROR, 2 * float(values.max())))
        handles = [
            _dot(colour, colour, label)
            for of, colour, label in ((~random, BLUE, "along a zone axis"), (random, GREEN, "at random"))
            if of.any()
        ]
        if capped.any():
            handles.append(_dot("none", INK, f"as many as max_beams allows ({capped.sum()} of {len(table)})"))
        drawing.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.2)
        worst = f"sums of intensities right to {power_told(float(table['intensity_error'].max()))}"
        drawing.suptitle(f"Beams of scattering matrices{f': {title}' if title else ''}   ({worst})", fontsize=11)


def _mark_least(axes: Axes, values: NDArray[np.float64]) -> None:
    """Say how many values lie at the bottom of a logarithmic axis, or below it."""
    number = int((values <= LEAST_ERROR).sum())
    if number:
        axes.axhline(LEAST_ERROR, color=MUTED, lw=0.8, ls=":")
        told = f"{number} of {len(values)} at most {power_told(LEAST_ERROR)}"
        axes.annotate(
            told, (0.98, LEAST_ERROR), xycoords=("axes fraction", "data"), xytext=(0, -5), textcoords="offset points",
            ha="right", va="top", fontsize=7.5, color=MUTED,
        )  # fmt: skip


def _dot(face: str, edge: str, label: str) -> Line2D:
    return Line2D([], [], ls="", marker="o", ms=5, mfc=face, mec=edge, label=label)
