"""Draw docs/images/labels.png: an image and every label map of one scene.

.venv/bin/python docs/labels_picture.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.images import Hrtem
from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.imaging.conditions import draw_conditions
from exitwave.imaging.hrtem import crop_periodic, form_image
from exitwave.labels.atomic_columns import atomic_columns, columns_in_image
from exitwave.labels.maps import MAPS, crop, label_maps
from exitwave.labels.phase import phase_map
from exitwave.report.style import BLUE, GREEN, ORANGE, SKY, VERMILLION, figure, grey_range, picture, scale_bar
from exitwave.structures.recipes import build_structure
from exitwave.waves.exit_waves import simulate_exit_waves

EDGE, SAMPLING, PIXELS = 102.4, 0.4, 256
SEED = 37
THRESHOLD = 0.1
SCENE: dict[str, Any] = {
    "kind": "nanoparticles_on_substrate",
    "count": 1,
    "field_of_view": EDGE,
    "particles": {
        "material": "Au",
        "number": 4,
        "radius": {"uniform": [15, 26]},
        "orientation": {"zone_axis": [1, -1, 0], "tilt": {"uniform": [0, 3]}},
        "planar_defects": {"number": 1},
        "arrangement": "agglomerate",
        "minimum_gap": 2.5,
    },
    "substrate": {"material": "a-C", "thickness": 20},
}
IMAGE: dict[str, Any] = {
    "exit_waves": "",
    "kind": "hrtem",
    "pixel_size": SAMPLING,
    "size": PIXELS,
    "defocus": 80,
    "focal_spread": 15,
    "dose": 2000,
}


def classes(axis: Axes, field: Any, colours: list[str], names: list[str]) -> None:
    """A map of classes, which are told by colours."""
    norm = BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours))
    axis.imshow(field, cmap=ListedColormap(colours), norm=norm, interpolation="nearest")
    if names:
        handles = [Patch(color=colour, label=name) for colour, name in zip(colours[1:], names, strict=True)]
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=7.5)


def measured(axis: Axes, field: Any, colours: str, unit: str) -> None:
    """A map of numbers with a bar of its colours."""
    shown = axis.imshow(field, cmap=colours, interpolation="nearest")
    bar = axis.figure.colorbar(shown, ax=axis, fraction=0.046, pad=0.02, label=unit)
    bar.outline.set_visible(False)


def main() -> None:
    rng = np.random.default_rng(SEED)
    structure = build_structure(NanoparticlesOnSubstrate.model_validate(SCENE), rng)
    waves = simulate_exit_waves(structure, PlaneWave(kind="plane_wave", structures="", sampling=SAMPLING), rng)
    block = Hrtem.model_validate(IMAGE)
    offset = (176, 228)
    counts = form_image(
        waves.whole, draw_conditions(block, rng), block=block, energy=300e3, sampling=SAMPLING, offset=offset, rng=rng
    )
    maps = {
        name: crop(name, field, offset, 1, PIXELS)
        for name, field in label_maps(structure, waves.particles, SAMPLING, MAPS).items()
    }
    phase = crop_periodic(phase_map(waves.particles, SAMPLING, 1.0), offset, 1, PIXELS)
    columns = columns_in_image(atomic_columns(structure), structure.cell, SAMPLING, offset, 1, PIXELS)
    dark = "#1f2933"
    with figure(Path(__file__).parent / "images/labels.png", 12.0, 5.2) as drawing:
        axes = drawing.subplots(2, 5)
        image, by_phase, atoms, instances, thickness, boundary, orientation, domains, close, points = axes.flat
        low, high = grey_range(counts)
        image.imshow(counts, cmap="gray", vmin=low, vmax=high)
        scale_bar(image, SAMPLING, counts.shape)
        measured(by_phase, phase, "viridis", "rad")
        by_phase.contour(phase > THRESHOLD, levels=[0.5], colors=[ORANGE], linewidths=1.2)
        atoms.imshow(maps["atoms"], cmap="gray", interpolation="nearest")
        classes(instances, maps["instances"], [dark, BLUE, ORANGE, GREEN, VERMILLION], [])
        measured(thickness, maps["thickness"].astype(np.float32), "magma", "Å")
        classes(boundary, maps["boundary"], [dark, SKY, ORANGE], ["1 to the background", "2 between particles"])
        measured(orientation, maps["orientation"].astype(np.float32), "cividis", "°")
        classes(domains, maps["domains"], [dark, "#b8bfc6", VERMILLION], ["1 particle", "2 planar defect"])
        middle = columns.loc[columns["tilt"] == columns["tilt"].min(), ["x", "y"]].median()
        for axis in (close, points):
            axis.imshow(counts, cmap="gray", vmin=low, vmax=high)
            axis.set_xlim(middle["x"] - 32, middle["x"] + 32)
            axis.set_ylim(middle["y"] + 32, middle["y"] - 32)
        points.scatter(columns["x"], columns["y"], s=9, c=columns["atoms"], cmap="autumn")
        titles = [
            "image",
            "phase (stored); above threshold",
            "atoms",
            "instances",
            "thickness",
            "boundary",
            "orientation",
            "domains",
            "a part of the image",
            "columns, by number of atoms",
        ]
        for axis, title in zip(axes.flat, titles, strict=True):
            picture(axis)
            axis.set_title(title)


if __name__ == "__main__":
    main()
