"""Scans of a probe over cells of layers: what detectors of a few angles would see, and where electrons go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from exitwave.data.shards import open_shard
from exitwave.imaging.fourier_series import at_places
from exitwave.report.columns import Told
from exitwave.report.images import spread_rows
from exitwave.report.monolayers import describe
from exitwave.report.style import BLUE, ORANGE, figure, picture, scale_bar

TOLD = Told(
    left_out=frozenset(
        {"simulation_grid", "slice_thickness", "n_slices", "loss_alarm", "rms_displacements", "beyond_margin"}
    ),
    labels={"scanned_area": "area of the cell", "places": "places of the probe"},
)
"""How a scan is simulated follows from the layer."""
SHOWN, PIXELS = 12.0, 96
"""Edge of the pictures [Å], and their pixels along it."""
DETECTORS = (("bright field", 0.0, 0.5), ("annular, 1 to 2", 1.0, 2.0), ("annular, 2.5 to 5", 2.5, 5.0))
"""Names, and inner and outer angles in units of the semiangle."""


def draw_scans(shard: str | Path, path: str | Path, n: int = 4, title: str = "") -> None:
    """Draw scans of a few layers: images without source and noise, and electrons by scattering angle.

    Parameters
    ----------
    shard : path
        Shard of exit waves of kind scan.
    path : path
        PNG to write.
    n : int
        Layers shown, evenly spread over the shard.
    title : str
        Name of the block.
    """
    opened, rows = open_shard(shard), spread_rows([shard], n)
    with figure(path, 11.0, 2.5 * len(rows) + 0.9) as drawing:
        axes = drawing.subplots(len(rows), len(DETECTORS) + 1, squeeze=False, width_ratios=[1, 1, 1, 1.4])
        for line, (_, place, row) in zip(axes, rows, strict=True):
            item = opened.item(place)
            rings, cell = item["rings"].values.astype(np.float64), item["cell"].values
            width = float(item["rings"].axes[2].spacing or 0)
            for axis, detector in zip(line, DETECTORS, strict=False):
                _draw_detector(axis, rings, cell, width, float(row["semiangle"]), detector)
            line[0].set_ylabel(_described(row), fontsize=8)
            _draw_angles(line[-1], rings, width, float(row["semiangle"]))
        axes[-1, -1].set_xlabel("scattering angle [mrad]")
        axes[0, -1].legend(fontsize=8)
        first = rows[0][2]
        drawing.suptitle(
            f"Simulated scans at {first['energy'] / 1e3:g} kV{f': {title}' if title else ''}\n"
            "without source and noise; angles of detectors in semiangles of the probe",
            fontsize=11,
        )


def _described(row: Mapping[Any, Any]) -> str:
    return f"{describe(row)}\n{row['semiangle']:.3g} mrad, {row['places']:.0f} places"


def _draw_detector(
    axes: Axes,
    rings: NDArray[np.float64],
    cell: NDArray[np.float64],
    width: float,
    semiangle: float,
    detector: tuple[str, float, float],
) -> None:
    from exitwave.images.stem import detected

    name, inner, outer = detector
    share = detected(rings, width, inner * semiangle, outer * semiangle)
    row, column = np.mgrid[:PIXELS, :PIXELS] * SHOWN / PIXELS
    image = at_places(share, cell[0], cell[1:], np.stack([column, row], -1), 0.0)
    picture(axes)
    axes.imshow(image, cmap="gray", interpolation="bilinear")
    scale_bar(axes, SHOWN / PIXELS, image.shape)
    axes.set_title(f"{name}: {image.min():.2g} to {image.max():.2g}", fontsize=8, pad=3)


def _draw_angles(axes: Axes, rings: NDArray[np.float64], width: float, semiangle: float) -> None:
    """Electrons for each mrad: over the cell on average, and where most go to high angles."""
    angles = width * (np.arange(rings.shape[-1]) + 0.5)
    outside = rings[..., angles > 2 * semiangle].sum(axis=-1)
    brightest = rings[np.unravel_index(outside.argmax(), outside.shape)]
    for values, colour, label in ((brightest, ORANGE, "at the brightest place"), (rings.mean((0, 1)), BLUE, "mean")):
        axes.plot(angles, values / width, color=colour, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("electrons, 1/mrad")
    axes.set_ylim(1e-6, None)
