"""How every figure of the report looks: one type size, one palette, one scale bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from exitwave.data.whole import replace_file

DPI = 120
INK = "#1f2933"
MUTED = "#69737d"
GRID = "#e3e7eb"
BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
"""Okabe and Ito's palette, told apart by colour-blind readers too."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.titlesize": 12,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def figure(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the style of the report that is written to ``path`` when the body is done.

    Parameters
    ----------
    path : path
        PNG to write; its folder is made.
    width, height : float
        Size [inch]; a page of the report has room for about 12 inches.
    """
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, wspace=0.02, hspace=0.02)
        drawing = Figure(figsize=(width, height), dpi=DPI, layout=layout)
        yield drawing
        replace_file(path, lambda unfinished: drawing.savefig(unfinished, dpi=DPI, format="png"))


def picture(axes: Axes) -> None:
    """Take ticks and frame off axes that show a picture."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def scale_bar(
    axes: Axes, pixel_size: float, shape: tuple[int, ...], unit: Literal["Å", "1/Å"] = "Å", dark: bool = False
) -> None:
    """Draw a scale bar of a round length into the lower left corner of an image.

    Parameters
    ----------
    axes : Axes
        Axes that show the image in units of its pixels.
    pixel_size : float
        Pixel of the image, in the unit.
    shape : tuple of int
        Shape of the image, (H, W).
    unit : {'Å', '1/Å'}
        Unit of the pixel: of an image, or of a diffraction pattern.
    dark : bool
        Whether it is dark with a bright rim, as on a bright ground.
    """
    height, width = shape[-2:]
    length = round_length(0.3 * width * pixel_size)
    bar, thick = length / pixel_size, 0.018 * height
    x, y = 0.05 * width - 0.5, 0.95 * height - 0.5 - thick
    # A rim keeps it legible where the image is as bright.
    colour, rim = ("black", "white") if dark else ("white", "black")
    axes.add_patch(Rectangle((x, y), bar, thick, facecolor=colour, edgecolor=rim, lw=0.6, zorder=4))
    label = axes.text(
        x + bar / 2,
        y - 0.01 * height,
        f"{length / 10:g} nm" if unit == "Å" else f"{length:g} Å⁻¹",
        color=colour,
        ha="center",
        va="bottom",
        fontsize=7.5,
        zorder=4,
    )
    label.set_path_effects([withStroke(linewidth=2, foreground=rim)])


def decimal_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def round_length(length: float) -> float:
    """The largest of 1, 2, 5 x 10^n that is not above ``length``."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))


def grey_range(image: NDArray[Any]) -> tuple[float, float]:
    """Grey values [low, high] that cover all but the outermost 0.5 % of the pixels on either side."""
    low, high = np.percentile(image, [0.5, 99.5])
    return float(low), float(max(high, low + 1e-6))


def outline(axes: Axes, mask: NDArray[np.bool_], colour: str, width: float = 1.1, style: str = "solid") -> None:
    """Draw the outline of a mask over its image; where the mask is cut by the edge of the image there is no line."""
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], colors=[colour], linewidths=width, linestyles=style)


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """At most ``wanted`` places among ``count``, evenly spread from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def wrapped(texts: Sequence[str], width: int) -> list[str]:
    """Lines of at most so many letters with texts such as ``dose 300 e⁻/Å²``, none of which is torn apart."""
    joined = ", ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts)
    return wrap(joined, width, break_long_words=False)
