"""Size distributions of segmented particles as figures and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from exitwave.benchmark.sizes import PERCENTS, Percentiles
from exitwave.report.style import INK, MUTED, ORANGE, SKY, figure, round_length

MOST_BINS = 60


def size_histogram(diameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Numbers of particles in bins of a round width, after D. Freedman, P. Diaconis, Z. Wahrsch. 57, 453 (1981).

    Parameters
    ----------
    diameters : float array [n]
        In any unit.

    Returns
    -------
    edges : float array [bins + 1]
        Multiples of 1, 2 or 5 x 10^k.
    numbers : int array [bins]
    """
    if not diameters.size:
        return np.zeros(1), np.zeros(0, np.int64)
    low, high = float(diameters.min()), float(diameters.max())
    quarter, three = np.percentile(diameters, [25, 75])
    wanted = max(2 * (three - quarter) / diameters.size ** (1 / 3), (high - low) / MOST_BINS, 0.01 * high)
    width = round_length(wanted)
    if (high - low) / width > MOST_BINS:
        width = round_length(2.5 * wanted)
    first, last = np.floor(low / width + 1e-9), np.floor(high / width + 1e-9) + 1
    edges = np.arange(first, last + 1) * width
    return edges, np.histogram(diameters, edges)[0]


def told_percentiles(found: Percentiles) -> str:
    """D10, D50 and D90 in words, with their intervals where there are any."""
    told = []
    for percent, value, low, high in zip(PERCENTS, found.values, found.low, found.high, strict=True):
        if np.isfinite(value):
            interval = f" ({low:.3g} to {high:.3g})" if np.isfinite(low) else ""
            told.append(f"D{percent} {value:.3g} nm{interval}")
    return ", ".join(told)


def draw_sizes(diameters: NDArray[np.float64], found: Percentiles, cut: int, title: str, path: Path) -> None:
    """Draw the distribution of diameters.

    Parameters
    ----------
    diameters : float array [n]
        Of particles that are not cut [nm].
    found : Percentiles
        Of these [nm].
    cut : int
        Particles left out since the edge cuts them.
    title : str
    path : path
        PNG to write.
    """
    edges, numbers = size_histogram(diameters)
    with figure(path, 6.4, 3.9) as drawing:
        axes = drawing.subplots()
        axes.set(xlabel="area-equivalent diameter [nm]", ylabel="particles")
        axes.set_title(_short(title), loc="left", fontsize=10, fontweight="bold", pad=38, parse_math=False)
        told = [f"{diameters.size} particles, {cut} cut by an edge left out", told_percentiles(found)]
        axes.text(0, 1.04, "\n".join(told), transform=axes.transAxes, color=MUTED, fontsize=8, va="bottom")
        if diameters.size:
            widths = np.diff(edges)
            axes.bar(edges[:-1], numbers, widths, align="edge", color=SKY, edgecolor="white", linewidth=0.8)
            axes.set(xlim=(edges[0] - widths[0], edges[-1] + widths[0]), ylim=(0, 1.3 * numbers.max()))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            along = blended_transform_factory(axes.transData, axes.transAxes)
            marks = zip(PERCENTS, found.values, found.low, found.high, strict=True)
            for place, (percent, value, low, high) in enumerate(marks):
                # Intervals stand above the bars, each on a line of its own.
                height = 0.96 - 0.07 * place
                axes.plot([value, value], [0, height], color=INK, lw=0.8, ls=(0, (3, 2)), transform=along)
                if np.isfinite(low):
                    axes.plot([low, high], [height, height], color=ORANGE, lw=3, transform=along)
                axes.plot(value, height, "o", color=INK, ms=4, transform=along)
                axes.annotate(
                    f"D{percent}",
                    (high if np.isfinite(high) else value, height),
                    (5, 0),
                    xycoords=along,
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        else:
            axes.set(xticks=[], yticks=[])
            axes.text(0.5, 0.5, "no whole particle", transform=axes.transAxes, ha="center", color=MUTED)


def _short(title: str) -> str:
    return title if len(title) <= 70 else f"{title[:40]} ... {title[-24:]}"
