"""Strained multilayers: the atoms around the probe as the beam sees them, and the true strain along the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols, covalent_radii
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table
from exitwave.report.columns import Told, label_of
from exitwave.report.images import spread_rows
from exitwave.report.structures import ball, element_colour, render
from exitwave.report.style import BLUE, GREEN, VERMILLION, figure, picture, scale_bar

TOLD = Told(
    left_out=frozenset({"scan_x", "scan_y", "scan_column", "scan_row", "layer", "interface_distance", "periodic"})
    | {f"{kind}_{of}" for kind in ("strain", "projected") for of in ("xx", "yy", "xy")}
    | {"rotation", "projected_rotation", "mistilt_x", "mistilt_y"},
    labels={"n_atoms": "atoms of the box"},
)
"""Places along the scan are no property of the material, and strain has a figure of its own."""
SIZE = 0.55
"""Of an atom over its covalent radius, so that columns can be told apart."""
PIXELS = 440
COLUMNS = 4
COLOURS = (BLUE, VERMILLION, GREEN)
_NOTHING = 1e-7
"""Strains and tilts [mrad] below this are none."""


def describe(row: Mapping[Any, Any]) -> str:
    """Place of a probe along the scan and what it stands on, in a few lines."""
    # A negative zero would be told as such.
    strains = [f"{_symbol(name)} {round(100 * row[name], 2) + 0.0:+.2f} %" for name in _strains(row)[:2]]
    return "\n".join(
        [
            f"item {row['item']}: layer {row['layer']}, at {row['scan_x'] / 10:.3g}, {row['scan_y'] / 10:.3g} nm",
            ", ".join(strains),
            f"mistilt {np.hypot(row['mistilt_x'], row['mistilt_y']):.1f} mrad",
        ]
    ).replace("-", "−")


def draw_boxes(shard: str | Path, path: str | Path, n: int = 4, title: str = "") -> None:
    """Draw the atoms around some probes along the beam, x to the right and y down, as patterns are.

    Parameters
    ----------
    shard : path
        Shard of a multilayer.
    path : path
        PNG to write.
    n : int
        Probe positions shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), {place: row for _, place, row in spread_rows([shard], n)}
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    with figure(path, max(5.5, 2.9 * columns), 3.3 * lines + 0.95) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        elements: set[int] = set()
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        for axis, (place, row) in zip(axes.flat, rows.items(), strict=False):
            positions, cell = opened.read("positions", place).astype(np.float64), opened.read("cell", place)
            numbers = opened.read("numbers", place)
            elements |= set(numbers.tolist())
            axis.set_visible(True)
            _draw_box(axis, positions, numbers, float(cell[0]))
            axis.set_title(describe(row), fontsize=7.5, linespacing=1.3, loc="left", pad=4)
        handles = [ball(element_colour(number), chemical_symbols[number]) for number in sorted(elements)]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.1)
        drawing.suptitle(f"Simulated multilayer along the beam{f': {title}' if title else ''}")


def _draw_box(axes: Axes, positions: NDArray[np.float64], numbers: NDArray[np.uint8], edge: float) -> None:
    # (right, up, towards the eye), of one who looks along the beam with y down.
    view = positions * [1, -1, -1] + [0, edge, 0]
    colours = np.array([element_colour(int(number)) for number in numbers]).reshape(-1, 3)
    shown = render(view, SIZE * covalent_radii[numbers], colours, (edge, edge), PIXELS)
    axes.imshow(shown[::-1], interpolation="antialiased")
    axes.plot(PIXELS / 2 - 0.5, PIXELS / 2 - 0.5, marker="+", ms=9, mew=1.4, color=VERMILLION)
    scale_bar(axes, edge / PIXELS, (PIXELS, PIXELS), dark=True)


def draw_strain(tables: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw strain and mistilt along the scan: maps of a scan over an area, or else profiles.

    Parameters
    ----------
    tables : sequence of paths
        Metadata tables of the shards of a multilayer.
    path : path
        PNG to write.
    title : str
        Name of the block.
    """
    table = pd.concat([read_table(path) for path in tables], ignore_index=True)
    table = table.drop_duplicates(["scan_x", "scan_y"]).sort_values(["scan_y", "scan_x"])
    strains, tilts = (_varying(table, names) for names in (_strains(table), ["mistilt_x", "mistilt_y"]))
    names = [*(strains or ["strain_xx"]), *tilts]
    wide, high = table["scan_x"].nunique(), table["scan_y"].nunique()
    what = f"True strain of the simulated multilayer{f': {title}' if title else ''}   ({len(table)} probe positions)"
    if min(wide, high) > 1 and wide * high == len(table):
        columns = min(3, len(names))
        lines = -(-len(names) // columns)
        tall = min(4.0, 3.4 * float(np.ptp(table["scan_y"]) / np.ptp(table["scan_x"])))
        with figure(path, max(6.0, 4.0 * columns), (max(tall, 0.4) + 1.35) * lines + 0.5) as drawing:
            axes = drawing.subplots(lines, columns, squeeze=False)
            for axis in axes.flat[len(names) :]:
                axis.set_visible(False)
            for axis, name in zip(axes.flat, names, strict=False):
                _draw_map(axis, table, name, names, (high, wide))
            drawing.suptitle(what, fontsize=11)
        return
    along = "scan_x" if np.ptp(table["scan_x"]) >= np.ptp(table["scan_y"]) else "scan_y"
    table = table.sort_values(along)
    with figure(path, 9.0, 3.2 + 2.4 * bool(tilts)) as drawing:
        axes = drawing.subplots(1 + bool(tilts), 1, sharex=True, squeeze=False)[:, 0]
        _draw_profiles(axes[0], table, along, strains or ["strain_xx"], "strain [%]")
        if tilts:
            _draw_profiles(axes[1], table, along, tilts, "mistilt [mrad]")
        axes[-1].set_xlabel(f"{along[-1]} along the scan [nm]")
        drawing.suptitle(what, fontsize=11)


def _varying(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns that are not 0 everywhere."""
    return [name for name in names if float(table[name].abs().max()) > _NOTHING]


def _draw_profiles(axes: Axes, table: pd.DataFrame, along: str, names: Sequence[str], label: str) -> None:
    """Draw columns along a scan; of strains the projected ones too, dashed, where they differ."""
    for colour, name in zip(COLOURS, names, strict=False):
        values = _values(table, name)
        axes.plot(table[along] / 10, values, ".-", color=colour, lw=1.0, ms=4, label=_symbol(name))
        projected = name.replace("strain", "projected")
        if projected != name and projected in table and not np.allclose(table[projected], table[name], atol=_NOTHING):
            told = f"{_symbol(name)}, projected"
            axes.plot(table[along] / 10, _values(table, projected), "--", color=colour, lw=1.2, label=told)
    axes.set_ylabel(label)
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_map(axes: Axes, table: pd.DataFrame, name: str, names: Sequence[str], shape: tuple[int, int]) -> None:
    values = _values(table, name).to_numpy().reshape(shape)
    # All strains have one range, and so have both tilts.
    alike = [other for other in names if other.partition("_")[0] == name.partition("_")[0]]
    limit = max(*(float(np.abs(_values(table, other)).max()) for other in alike), 1e-3)
    x, y = (np.unique(table[of]) / 10 for of in ("scan_x", "scan_y"))
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    extent = (x[0] - half_x, x[-1] + half_x, y[-1] + half_y, y[0] - half_y)
    shown = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent, interpolation="nearest")
    unit = "mrad" if name.startswith("mistilt") else "%"
    label = f"{_symbol(name)} [{unit}]"
    bar = axes.figure.colorbar(shown, ax=axes, label=label, location="bottom", aspect=40, shrink=0.8)
    bar.outline.set_visible(False)
    axes.set(xlabel="x [nm]", ylabel="y [nm]")


def _strains(row: Mapping[Any, Any] | pd.DataFrame) -> list[str]:
    return [str(name) for name in row if str(name).startswith("strain_")]


def _symbol(name: str) -> str:
    kind, _, component = name.rpartition("_")
    return f"ε$_{{{component}}}$" if kind == "strain" else label_of(name)


def _values(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Values of a column in the unit in which they are shown: strain in percent, tilts in mrad."""
    values: pd.Series[Any] = table[name] * (1 if name.startswith("mistilt") else 100)
    return values
