"""Atoms of sample structures, drawn as spheres from the side and from above."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.report import crystals
from exitwave.report.style import INK, figure, spread

SUBSTRATE = "#5b6a7a"
"""Colour of substrate atoms whatever their element, so that the particles stand out."""

LIGHT = np.array([-0.45, 0.55, 0.70])
"""Direction the light comes from: right, up and out of the picture [unit vector]."""


def draw_structures(
    shard: str | Path,
    path: str | Path,
    describe: Callable[[Mapping[Any, Any]], str] = crystals.describe,
    order: Sequence[str] = ("item",),
    n: int = 4,
    title: str = "",
) -> None:
    """Draw sample structures of a shard.

    Parameters
    ----------
    shard : path
        Shard of structures.
    path : path
        PNG to write.
    describe : function
        What is written above a structure, from its row of the table.
    order : sequence of str
        Columns by which structures are sorted; those shown are evenly spread.
    n : int
        Structures shown.
    title : str
        Name of the block.
    """
    opened, table = open_shard(shard), read_table(table_path(shard)).reset_index(drop=True)
    table = table.sort_values(list(order), na_position="first")
    table = table.iloc[spread(len(table), n)]
    rows = dict(zip(table.index.tolist(), table.to_dict("records"), strict=True))
    cells = [opened.read("cell", place) for place in rows]
    edge, height = max(float(cell[0]) for cell in cells), max(float(cell[2]) for cell in cells)

    width = max(5.0, 2.9 * len(rows) + 0.5)
    panel = (width - 0.5) / max(len(rows), 1)
    with figure(path, width, min(panel, 3.6) * (1 + height / edge) + 1.35) as drawing:
        axes = drawing.subplots(2, len(rows), squeeze=False, height_ratios=[height, edge])
        elements: dict[int, str] = {}
        substrates: set[str] = set()
        for column, (place, row) in enumerate(rows.items()):
            numbers, particle = opened.read("numbers", place), opened.read("object_id", place) > 0
            positions, cell = opened.read("positions", place).astype(np.float64), cells[column]
            colours, radii = _appearance(numbers, particle)
            elements |= {int(number): chemical_symbols[number] for number in np.unique(numbers[particle])}
            if not particle.all():
                substrates.add(str(row.get("substrate", "")))
            # (right, up, towards the eye): from the side along +y, from above along -z.
            for line, turned in ((0, [0, 2, 1]), (1, [0, 1, 2])):
                view = positions[:, turned] * ([1, 1, -1] if line == 0 else [1, 1, 1])
                extent = (float(cell[turned[0]]), float(cell[turned[1]]))
                picture = render(view, radii, colours, extent)
                axes[line, column].imshow(
                    picture, origin="lower", extent=(0, extent[0], 0, extent[1]), interpolation="antialiased"
                )
                axes[line, column].set(xlim=(0, edge), ylim=(0, height if line == 0 else edge), aspect="equal")
                axes[line, column].spines[["top", "right"]].set_visible(line == 1)
                axes[line, column].tick_params(labelleft=column == 0)
            axes[0, column].set_title(describe(row), fontsize=8.5, linespacing=1.35, loc="left")
            axes[1, column].set_xlabel("x [Å]")
        # Turned with the label, the arrow points up.
        axes[0, 0].set_ylabel("side view, z [Å], beam →")
        axes[1, 0].set_ylabel("from above, y [Å]")
        handles = [ball(element_colour(number), symbol) for number, symbol in elements.items()]
        if substrates:
            names = ", ".join(sorted(substrates - {""}))
            handles.append(ball(np.array(to_rgb(SUBSTRATE)), f"substrate ({names})" if names else "substrate"))
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.2)
        drawing.suptitle(f"Simulated structures: {title}" if title else "Simulated structures", ha="center")


def render(
    view: NDArray[np.float64],
    radii: NDArray[np.float64],
    colours: NDArray[np.float64],
    extent: tuple[float, float],
    pixels: int = 440,
) -> NDArray[np.float64]:
    """Draw atoms as shaded spheres with a depth buffer, in parallel projection.

    Parameters
    ----------
    view : ndarray, float [n, 3]
        Positions [Å]: to the right, up, and towards the eye.
    radii : ndarray, float [n]
        Radii of the spheres [Å].
    colours : ndarray, float [n, 3]
        RGB in [0, 1].
    extent : tuple of float
        Width and height of what is seen [Å].
    pixels : int
        Pixels along the width.

    Returns
    -------
    ndarray, float [height, width, 3]
        RGB, first row at the bottom, white where there is nothing.
    """
    scale = pixels / extent[0]
    shape = (max(1, round(extent[1] * scale)), pixels)
    depth = np.full(shape[0] * shape[1], -np.inf)
    owner = np.full(depth.size, -1)
    reach = int(np.ceil(radii.max(initial=0.0) * scale))
    column, row = view[:, 0] * scale - 0.5, view[:, 1] * scale - 0.5
    offsets = [
        (dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1) if np.hypot(dy, dx) < reach + 1
    ]

    def covered(dy: int, dx: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Atoms that cover the pixel at an offset from their centre, that pixel, and the depth of their surface."""
        y, x = np.rint(row).astype(np.int64) + dy, np.rint(column).astype(np.int64) + dx
        rise = radii**2 - ((y - row) ** 2 + (x - column) ** 2) / scale**2
        atoms = np.flatnonzero((rise > 0) & (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1]))
        return atoms, y[atoms] * shape[1] + x[atoms], view[atoms, 2] + np.sqrt(rise[atoms])

    for dy, dx in offsets:
        _, pixel, surface = covered(dy, dx)
        np.maximum.at(depth, pixel, surface)
    for dy, dx in offsets:
        atoms, pixel, surface = covered(dy, dx)
        front = surface == depth[pixel]
        owner[pixel[front]] = atoms[front]
    return _shade(view, radii, colours, depth.reshape(shape), owner.reshape(shape), scale)


def _shade(
    view: NDArray[np.float64],
    radii: NDArray[np.float64],
    colours: NDArray[np.float64],
    depth: NDArray[np.float64],
    owner: NDArray[np.int64],
    scale: float,
) -> NDArray[np.float64]:
    """Lambert's light on every sphere, and a fog that pales what is far from the eye."""
    picture = np.ones((*depth.shape, 3))
    seen = owner >= 0
    atom = owner[seen]
    y, x = np.nonzero(seen)
    surface = np.stack([(x + 0.5) / scale, (y + 0.5) / scale, depth[seen]], axis=1)
    normal = (surface - view[atom]) / radii[atom, None]
    light = 0.52 + 0.48 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    # A thin dark rim keeps neighbours of the same colour apart.
    light *= np.clip(0.45 + 1.6 * normal[:, 2], 0, 1)
    if seen.any():
        near, far = depth[seen].max(), np.percentile(depth[seen], 1)
        fog = 0.45 * np.clip((near - depth[seen]) / max(near - far, 20.0), 0, 1)
        picture[seen] = (1 - fog[:, None]) * light[:, None] * colours[atom] + fog[:, None]
    return picture


def _appearance(
    numbers: NDArray[np.uint8], particle: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    colours = np.array([element_colour(number) for number in range(len(jmol_colors))])[numbers]
    colours[~particle] = to_rgb(SUBSTRATE)
    return colours, np.where(particle, 1.0, 0.95) * covalent_radii[numbers]


def element_colour(number: int) -> NDArray[np.float64]:
    """Colour of an element, that of Jmol."""
    return np.asarray(jmol_colors[number], dtype=np.float64)


def ball(colour: NDArray[np.float64], label: str) -> Line2D:
    """Entry of a legend for atoms."""
    return Line2D([], [], ls="", marker="o", ms=8, mfc=tuple(colour), mec=INK, mew=0.4, label=label)
