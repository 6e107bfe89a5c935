"""Where images lie among simulated ones: their spectra, grey values and autocorrelations, and the nearest ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exitwave.data.image_fingerprint import ASPECTS, LAGS, LEVELS, NAMES
from exitwave.data.likeness import RINGS
from exitwave.data.placed import OUTSIDE, Placed, Surroundings
from exitwave.data.shards import open_shard
from exitwave.report.style import BLUE, GREEN, MUTED, SKY, VERMILLION, decimal_ticks, figure, grey_range, picture

FloatArray = NDArray[np.float64]
Image = tuple[str, NDArray[Any], Placed]

PAIRS = 6
"""Images that are shown beside the simulated one that is nearest to them."""
MOST = 40
"""Lines at most in a panel."""
_QUANTILES = (0.01, 0.16, 0.5, 0.84, 0.99)


def draw_fingerprints(images: Sequence[Image], among: Surroundings, path: str | Path, title: str = "") -> None:
    """Draw images among the simulated ones.

    Parameters
    ----------
    images : sequence of (str, array [H, W], Placed)
        Name, image on the pixels of the simulated ones, and where it lies. The farthest ones are shown.
    among : Surroundings
    path : path
        PNG to write.
    title : str
        Name of the dataset.
    """
    images = sorted(images, key=lambda image: -image[2].distance)
    pixel = among.pixel_size
    with figure(path, 10.5, 8.4) as drawing:
        top, middle, bottom = np.asarray(drawing.subfigures(3, 1, height_ratios=[3, 3, 3.3]))
        spectrum, grey, correlation = top.subplots(1, 3)
        _curves(spectrum, images, among, "spectrum", (RINGS[1:] + RINGS[:-1]) / 2 / pixel)
        spectrum.set(xlabel="spatial frequency [1/Å]", ylabel="log₁₀ of power, 0: white noise", xscale="log")
        decimal_ticks(spectrum.xaxis)
        _curves(grey, images, among, "grey values", 100 * np.array(LEVELS))
        grey.set(xlabel="share of darker pixels [%]", ylabel="grey value, 0 to 1")
        _curves(correlation, images, among, "autocorrelation", np.array(LAGS) * pixel)
        correlation.set(xlabel="distance of pixels [Å]", ylabel="autocorrelation", xscale="log")
        decimal_ticks(correlation.xaxis)
        plane, distances = middle.subplots(1, 2)
        _map(plane, images, among)
        _distances(distances, images, among)
        shown = images[:PAIRS]
        rows = bottom.subplots(2, PAIRS)
        bottom.suptitle("the farthest images (above), and the simulated image nearest to each (below)", fontsize=9)
        for number, axes in enumerate(rows.T):
            _pair(axes, shown[number] if number < len(shown) else None, among)
        drawing.suptitle(
            f"{len(images)} images among {len(among.found)} simulated ones" + (f" of {title}" * bool(title))
        )
        handles = [
            Patch(color=SKY, alpha=0.35, label="98 % and 68 % of the simulated images"),
            Line2D([], [], color=GREEN, label="an image among them"),
            Line2D([], [], color=VERMILLION, label="an image outside of them"),
        ]
        drawing.legend(handles=handles, loc="outside lower center", ncols=3)


def _colour(place: Placed) -> str:
    return VERMILLION if place.outside else GREEN


def _curves(axes: Axes, images: Sequence[Image], among: Surroundings, aspect: str, x: FloatArray) -> None:
    """Bands of the simulated images, and a line an image."""
    own = [NAMES.index(name) for name in ASPECTS[aspect]]
    there = ~np.isnan(among.found[:, own]).all(axis=0)
    low, lower, middle, upper, high = np.nanquantile(among.found[:, own][:, there], _QUANTILES, axis=0)
    axes.fill_between(x[there], low, high, color=SKY, alpha=0.25, lw=0)
    axes.fill_between(x[there], lower, upper, color=SKY, alpha=0.4, lw=0)
    axes.plot(x[there], middle, color=BLUE, lw=1)
    for _, _, place in images[:MOST]:
        axes.plot(x, place.values[own], color=_colour(place), lw=0.9, alpha=0.8)
    axes.set_title(aspect)
    axes.grid(True)


def _map(axes: Axes, images: Sequence[Image], among: Surroundings) -> None:
    """Fingerprints on the plane on which the simulated ones differ most."""
    centre = among.points.mean(axis=0)
    along = np.linalg.svd(among.points - centre, full_matrices=False)[2][:2]
    simulated = (among.points - centre) @ along.T
    axes.scatter(simulated[:, 0], simulated[:, 1], s=6, color=SKY, lw=0, alpha=0.7)
    for _, _, place in images:
        x, y = (among.scale.points(place.values[None])[0] - centre) @ along.T
        axes.scatter(x, y, s=22, color=_colour(place))
    axes.set(xlabel="first principal component", ylabel="second", title="fingerprints")
    axes.grid(True)


def _distances(axes: Axes, images: Sequence[Image], among: Surroundings) -> None:
    """How far simulated images lie from each other, and images from these."""
    away = [place.distance for _, _, place in images]
    finite = among.apart[np.isfinite(among.apart)]
    axes.hist(finite, bins=np.linspace(0, 1.05 * max(*away, finite.max()), 50).tolist(), color=SKY, alpha=0.7, lw=0)
    limit = float(np.quantile(finite, OUTSIDE))
    axes.axvline(limit, color=MUTED, lw=1, ls="--")
    axes.annotate("99 %", (limit, 1), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points")
    for _, _, place in images:
        axes.plot([place.distance], [0], marker="^", ms=7, color=_colour(place), clip_on=False, lw=0, zorder=3)
    axes.set(
        xlabel="distance to the nearest simulated image of another structure",
        ylabel="simulated images",
        title="distances",
        ylim=(0, None),
    )


def _pair(axes: Sequence[Axes], image: Image | None, among: Surroundings) -> None:
    """An image, and the simulated one that is nearest to it."""
    for one in axes:
        picture(one)
    if image is None:
        return
    name, pixels, place = image
    row = among.rows.iloc[place.place]
    simulated = open_shard(str(row["shard"])).read("counts", int(row["row"]))
    edge = simulated.shape[-1]
    top, left = (max(0, length - edge) // 2 for length in pixels.shape)
    for one, shown in zip(axes, (pixels[top : top + edge, left : left + edge], simulated), strict=True):
        low, high = grey_range(shown)
        one.imshow(shown, cmap="gray", vmin=low, vmax=high)
    short = name if len(name) <= 30 else f"{name[:14]} … {name[-13:]}"
    axes[0].set_title(f"{short}, {place.distance:.2f}", fontsize=8, color=_colour(place))
