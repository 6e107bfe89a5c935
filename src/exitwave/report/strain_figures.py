"""Pictures of a scan: strain with histograms, how far it is to be trusted, and patterns with their disks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from exitwave.benchmark.scan_strain import (
    EMPTY,
    FEW,
    GOOD,
    LOOSE,
    NO_FIT,
    NOT_READ,
    OTHER,
    SATURATED,
    STRAY,
    TRUST,
    StrainMaps,
)
from exitwave.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    figure,
    picture,
    scale_bar,
)

COMPONENTS = ("xx", "yy", "xy", "rotation")
NAMES = {"xx": "e_xx [%]", "yy": "e_yy [%]", "xy": "e_xy [%]", "rotation": "rotation [°]"}
FACTORS = {"xx": 100.0, "yy": 100.0, "xy": 100.0, "rotation": math.degrees(1)}
"""From what is stored to what is shown."""
UNTRUSTED = "#c9ced3"
"""Colour of positions that are not trusted."""
CODES = {
    GOOD: "#e8f1e9",
    NOT_READ: "black",
    EMPTY: INK,
    FEW: MUTED,
    NO_FIT: VERMILLION,
    OTHER: PURPLE,
    SATURATED: ORANGE,
    STRAY: BLUE,
    LOOSE: SKY,
}
"""Colours of the trust map."""
WIDTH = 12.0
"""Of a picture [inch]."""
BINS = 60
LEGEND_COLUMNS = 4
LINE = 4
"""Rows, or columns, of a scan from which it is a map; fewer are drawn as lines."""


@dataclass(frozen=True)
class Example:
    """A pattern with the disks found in it.

    Attributes
    ----------
    pattern : float32 array [H, W]
    disks : float array [n, 2]
        Places x, y [px].
    near : bool array [n]
        Which of them are on the lattice.
    title : str
    """

    pattern: NDArray[np.float32]
    disks: NDArray[Any]
    near: NDArray[np.bool_]
    title: str


def shown(maps: StrainMaps, name: str) -> NDArray[np.float64]:
    """A component in the unit in which it is shown, NaN where it is not trusted."""
    values: NDArray[np.float64] = np.where(maps.good, getattr(maps, name) * FACTORS[name], np.nan)
    return values


def draw_strain(maps: StrainMaps, step: float | None, path: Path) -> None:
    """Draw the four components, each with its histogram below.

    Parameters
    ----------
    maps : StrainMaps
    step : float, optional
        Of the scan [Å].
    path : path
        PNG to write.
    """
    values = {name: shown(maps, name) for name in COMPONENTS}
    strains = np.concatenate([values[name].ravel() for name in ("xx", "yy", "xy")])
    # The same colours for all strains, so that they can be compared.
    limits = {**dict.fromkeys(("xx", "yy", "xy"), _limit(strains)), "rotation": _limit(values["rotation"])}
    flat = _is_line(maps.trust.shape)
    height = 2.2 if flat else _map_height(maps.trust.shape, 4)
    with figure(path, WIDTH, height + 2.4) as drawing:
        axes = drawing.subplots(2, 4, height_ratios=[height, 1.9], squeeze=False)
        for name, above, below in zip(COMPONENTS, *axes, strict=True):
            if flat:
                _line(above, values[name], maps.errors[name] * FACTORS[name], step)
            else:
                _map(drawing, above, values[name], limits[name], "RdBu_r", symmetric=True)
                if name == "xx" and step is not None:
                    scale_bar(above, step, maps.trust.shape, dark=True)
                if name == "xx":
                    _outline(above, maps.reference.mask)
            above.set_title(NAMES[name])
            _histogram(below, values[name], limits[name], NAMES[name])


def draw_quality(maps: StrainMaps, disks: NDArray[Any], residual: NDArray[Any], step: float | None, path: Path) -> None:
    """Draw how many disks are on the lattice, how far they are off, the error of the strain, and the trust map.

    Parameters
    ----------
    maps : StrainMaps
    disks : array [rows, columns]
        Disks on the lattice.
    residual : array [rows, columns]
        How far these are off [px].
    step : float, optional
        Of the scan [Å].
    path : path
        PNG to write.
    """
    error = 100 * np.max([maps.errors[name] for name in ("xx", "yy", "xy")], axis=0)
    shape = maps.trust.shape
    thin = _is_line(shape)
    height = 1.6 if thin else _map_height(shape, 4)
    there = [code for code in TRUST if (maps.trust == code).any()]
    with figure(path, WIDTH, height + 0.6 + 0.2 * math.ceil(len(there) / LEGEND_COLUMNS)) as drawing:
        axes = drawing.subplots(1, 4)
        for axis, values, title in (
            (axes[0], disks, "disks on the lattice"),
            (axes[1], residual, "distance from it, rms [px]"),
            (axes[2], error, "standard error of strain [%]"),
        ):
            if thin:
                _line(axis, values, None, step)
            else:
                # What is not trusted would rule the colours.
                known = values[maps.good] if maps.good.any() else values
                _map(drawing, axis, values, _top(known), "viridis", symmetric=False)
            axis.set_title(title)
        colours = ListedColormap([CODES[code] for code in TRUST])
        axes[3].imshow(
            maps.trust,
            cmap=colours,
            vmin=-0.5,
            vmax=len(TRUST) - 0.5,
            interpolation="nearest",
            aspect="auto" if thin else "equal",
        )
        picture(axes[3])
        axes[3].set_title("trust")
        legend = [
            Patch(
                facecolor=CODES[code],
                edgecolor=MUTED,
                label=f"{TRUST[code]}: {100 * (maps.trust == code).mean():.3g} %",
            )
            for code in there
        ]
        drawing.legend(handles=legend, loc="outside lower center", fontsize=8, ncols=LEGEND_COLUMNS)


def draw_lattice(
    mean: NDArray[np.float32],
    probe: NDArray[np.float32],
    maps: StrainMaps,
    origin: tuple[float, float],
    examples: Sequence[Example],
    sampling: float | None,
    radius: float,
    path: Path,
) -> None:
    """Draw the mean pattern with lattice and axes, the probe, and patterns with their disks.

    Parameters
    ----------
    mean : float32 array [H, W]
    probe : float32 array [H, W]
    maps : StrainMaps
    origin : (float, float)
        Place x, y of the direct beam [px].
    examples : sequence of Example
    sampling : float, optional
        Pixel of the patterns [1/Å].
    radius : float
        Of the disks [px].
    path : path
        PNG to write.
    """
    number = 2 + len(examples)
    edge = WIDTH / number
    with figure(path, WIDTH, edge * mean.shape[0] / mean.shape[1] + 0.5) as drawing:
        axes = drawing.subplots(1, number)
        _pattern(axes[0], mean, sampling)
        axes[0].set_title("mean, lattice, axes")
        _draw_vectors(axes[0], maps, origin, mean.shape)
        _pattern(axes[1], probe, None)
        axes[1].set_title(f"probe, radius {radius:.3g} px")
        for axis, example in zip(axes[2:], examples, strict=True):
            _pattern(axis, example.pattern, None)
            axis.set_title(example.title)
            for (x, y), near in zip(example.disks, example.near, strict=True):
                colour = GREEN if near else VERMILLION
                axis.add_patch(Circle((float(x), float(y)), radius, fill=False, edgecolor=colour, lw=0.9))


def _pattern(axes: Axes, pattern: NDArray[np.float32], sampling: float | None) -> None:
    amplitudes = np.sqrt(np.maximum(np.nan_to_num(pattern), 0))
    axes.imshow(amplitudes, cmap="gray", vmin=0, vmax=_top(np.where(amplitudes > 0, amplitudes, np.nan))[1])
    picture(axes)
    if sampling is not None:
        scale_bar(axes, sampling, pattern.shape, "1/Å")


def _draw_vectors(axes: Axes, maps: StrainMaps, origin: tuple[float, float], shape: tuple[int, ...]) -> None:
    height, width = shape
    vectors = maps.reference.vectors
    reach = math.ceil(math.hypot(height, width) / np.linalg.norm(vectors, axis=0).min())
    index = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
    points = np.array(origin) + index @ vectors.T
    inside = ((points >= 0) & (points <= [width - 1, height - 1])).all(axis=1)
    axes.plot(*points[inside].T, ".", color=SKY, ms=2.5)
    x, y = origin
    for name, (along_x, along_y) in zip(("g1", "g2"), vectors.T.tolist(), strict=True):
        _arrow(axes, origin, (x + along_x, y + along_y), name, ORANGE, 1.25)
    long = 0.38 * min(height, width)
    for name, angle in (("e_xx", maps.axis), ("e_yy", maps.axis + math.pi / 2)):
        _arrow(axes, origin, (x + long * math.cos(angle), y + long * math.sin(angle)), name, "white", 1.12)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], name: str, colour: str, further: float
) -> None:
    """An arrow with its name beyond its end."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 1.3, "color": colour})
    x, y = (one + further * (other - one) for one, other in zip(start, end, strict=True))
    rim = [withStroke(linewidth=2, foreground="black")]
    axes.text(x, y, name, color=colour, fontsize=8, ha="center", va="center", path_effects=rim)


def _map(
    drawing: Figure, axes: Axes, values: NDArray[Any], limits: tuple[float, float], colours: str, symmetric: bool
) -> None:
    axes.set_facecolor(UNTRUSTED)
    shown_map = axes.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    picture(axes)
    extend: Any = "both" if symmetric else "max"
    bar: Any = drawing.colorbar(shown_map, ax=axes, shrink=0.85, aspect=18, pad=0.02, extend=extend)
    bar.outline.set_visible(False)


def _line(axes: Axes, values: NDArray[Any], errors: NDArray[Any] | None, step: float | None) -> None:
    """The rows, or columns, of a scan that is a line."""
    lines = values if values.shape[0] <= values.shape[1] else values.T
    across = np.arange(lines.shape[1]) * (1.0 if step is None else step / 10)
    for number, line in enumerate(lines):
        axes.plot(across, line, ".-", lw=0.9, ms=3, color=(BLUE, ORANGE, GREEN)[number % 3])
        if errors is not None:
            error = (errors if values.shape[0] <= values.shape[1] else errors.T)[number]
            axes.fill_between(
                across, line - error, line + error, color=(BLUE, ORANGE, GREEN)[number % 3], alpha=0.2, lw=0
            )
    axes.grid(True)
    axes.set_xlabel("position" if step is None else "position [nm]")


def _histogram(axes: Axes, values: NDArray[Any], limits: tuple[float, float], name: str) -> None:
    there = values[np.isfinite(values)]
    axes.grid(True, axis="y")
    axes.set(xlim=limits, xlabel=name, yticklabels=[])
    if not there.size:
        return
    axes.hist(np.clip(there, *limits), bins=BINS, range=limits, color=BLUE)
    low, middle, high = np.percentile(there, [5, 50, 95])
    axes.axvline(middle, color=VERMILLION, lw=1.2)
    axes.set_title(f"median {middle:.3f}, 90 % within {low:.2f} to {high:.2f}", fontsize=8, color=INK)


def _outline(axes: Axes, mask: NDArray[np.bool_]) -> None:
    """The box of the positions of the reference, where that is a part of the scan."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size and (len(rows), len(columns)) != mask.shape:
        corner = float(columns[0]) - 0.5, float(rows[0]) - 0.5
        width, height = float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=INK, lw=1.2, linestyle="--"))


def _limit(values: NDArray[Any]) -> tuple[float, float]:
    there = np.abs(values[np.isfinite(values)])
    most = float(np.percentile(there, 99)) if there.size else 0.0
    most = max(1.05 * most, 1e-3)
    return -most, most


def _top(values: NDArray[Any]) -> tuple[float, float]:
    there = values[np.isfinite(values)]
    return 0.0, max(float(np.percentile(there, 99.5)) if there.size else 0.0, 1e-6)


def _is_line(shape: tuple[int, ...]) -> bool:
    return min(shape) < LINE


def _map_height(shape: tuple[int, ...], number: int) -> float:
    return float(np.clip(0.82 * WIDTH / number * shape[0] / shape[1], 0.7, 4.5))
