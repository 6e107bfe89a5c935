"""Crystals as the beam sees them: a few unit cells of each, along the beam."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from exitwave.data.shards import Shard, open_shard
from exitwave.report.diffraction import describe_crystal
from exitwave.report.images import spread_rows
from exitwave.report.structures import ball, element_colour, render
from exitwave.report.style import INK, figure, picture, scale_bar
from exitwave.structures.unit_cell import UnitCell

FIELD = 20.0
"""Edge of what is seen [Å]; of larger cells a cell and a half."""
SIZE = 0.55
"""Of an atom over its covalent radius, so that columns can be told apart."""
PIXELS = 360
COLUMNS = 4


def draw_unit_cells(shard: str | Path, path: str | Path, n: int = 8, title: str = "") -> None:
    """Draw crystals of a shard along the beam, x to the right and y down, as patterns are.

    Parameters
    ----------
    shard : path
        Shard of crystals.
    path : path
        PNG to write.
    n : int
        Crystals shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), {place: row for _, place, row in spread_rows([shard], n)}
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    with figure(path, max(5.5, 2.85 * columns), 3.35 * lines + 0.95) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        numbers: set[int] = set()
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        for axis, (place, row) in zip(axes.flat, rows.items(), strict=False):
            cell = read_cell(opened, place)
            axis.set_visible(True)
            draw_cell(axis, cell)
            axis.set_title(describe_crystal(row), fontsize=7.5, linespacing=1.3, loc="left", pad=4)
            numbers |= set(cell.numbers.tolist())
        handles = [ball(element_colour(number), chemical_symbols[number]) for number in sorted(numbers)]
        drawing.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(16, len(handles)),
            handletextpad=0.1,
            columnspacing=1.0,
        )
        drawing.suptitle(f"Simulated crystals along the beam{f': {title}' if title else ''}")


def read_cell(shard: Shard, place: int) -> UnitCell:
    """The unit cell of an item of a shard."""
    return UnitCell(
        *(shard.read(name, place) for name in ("unit_cell", "fractional", "unit_cell_numbers", "orientation"))
    )


def draw_cell(axes: Axes, cell: UnitCell) -> None:
    """Draw the atoms around a unit cell, one cell deep, with its outline: edges behind it are dashed."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    places = corners @ cell.vectors
    middle = places.mean(axis=0)
    edge = max(FIELD, 1.5 * float(np.ptp(places[:, :2], axis=0).max()))
    positions, numbers = atoms_around(cell, middle, (edge, edge, float(np.ptp(places[:, 2]))))
    # (right, up, towards the eye), of one who looks along the beam with y down.
    view = (positions - middle) * [1, -1, -1] + [edge / 2, edge / 2, 0]
    colours = np.array([element_colour(int(number)) for number in numbers]).reshape(-1, 3)
    shown = render(view, SIZE * covalent_radii[numbers], colours, (edge, edge), PIXELS)
    axes.imshow(shown[::-1], interpolation="antialiased")
    scale = PIXELS / edge
    at = (places[:, :2] - middle[:2]) * scale + PIXELS / 2 - 0.5
    last = int(np.argmax(places[:, 2]))
    for one, other in itertools.combinations(range(8), 2):
        if np.abs(corners[one] - corners[other]).sum() == 1:
            hidden = last in (one, other)
            style = (0, (2.5, 1.8)) if hidden else "solid"
            axes.plot(*at[[one, other]].T, color=INK, lw=0.8 if hidden else 1.3, ls=style, zorder=3)
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, ec="#c5ccd3", lw=1.0, zorder=3))
    axes.set(xlim=(-0.5, PIXELS - 0.5), ylim=(PIXELS - 0.5, -0.5))
    scale_bar(axes, edge / PIXELS, (PIXELS, PIXELS), dark=True)


def atoms_around(
    cell: UnitCell, middle: NDArray[np.float64], box: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Positions [n, 3] [Å] and atomic numbers [n] of a crystal in a box around a point, and a little beyond."""
    half = np.array(box) / 2 + [2.0, 2.0, 1e-3]
    # A box lies in a parallelepiped of as many cells as its corners are apart.
    reach = np.abs(np.linalg.inv(cell.vectors)).T @ half
    at = middle @ np.linalg.inv(cell.vectors)
    ranges = [np.arange(np.floor(a - r) - 1, np.ceil(a + r) + 1) for a, r in zip(at, reach, strict=True)]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    positions = ((shifts + cell.fractional) @ cell.vectors).reshape(-1, 3)
    inside = (np.abs(positions - middle) <= half).all(axis=1)
    return positions[inside], np.tile(cell.numbers, len(shifts))[inside]
