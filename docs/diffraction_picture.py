"""Draw docs/images/diffraction.png: patterns of one scattering matrix, and their structure factors.

.venv/bin/python docs/diffraction_picture.py
"""

from pathlib import Path

import numpy as np

from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.patterns import Diffraction
from exitwave.images import diffraction
from exitwave.items import Asked
from exitwave.labels.reflections import structure_factor_image, weights
from exitwave.report.style import ORANGE, figure, picture, scale_bar
from exitwave.structures.materials import load_material
from exitwave.structures.transforms import orient
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves import scattering_matrix

SIZE, PIXEL = 128, 0.0217
COMMON = {"kind": "diffraction", "exit_waves": "any", "size": SIZE, "semiangle": 2, "thickness": 200, "dose": 1e6}
PATTERNS = [
    ("6 nm", {"thickness": 60}),
    ("20 nm", {}),
    ("50 nm", {"thickness": 500}),
    ("1 mrad", {"semiangle": 1}),
    ("4 mrad", {"semiangle": 4}),
    ("4 mrad, bullseye", {"semiangle": 4, "aperture": {"kind": "bullseye"}}),
    ("10⁴ e⁻, background", {"dose": 1e4, "background": {"weight": 0.3}}),
]


def main() -> None:
    crystal = load_material("GaAs")
    rotation = orient(crystal.cell, zone_axis=(1, 1, 0), in_plane=20, tilt=0.2, tilt_towards=30)
    cell = UnitCell(crystal.cell, crystal.fractional, crystal.numbers, rotation)
    block = ScatteringMatrix(kind="scattering_matrix", structures="any", tolerance=0.05)
    rngs = (np.random.default_rng(3),)
    (matrix,) = scattering_matrix.make(block, [Asked(0, rngs, {}, {"structures": cell.arrays()})])
    sources = {"structures": cell.arrays(), "exit_waves": matrix.arrays}
    with figure(Path(__file__).parent / "images/diffraction.png", 10.4, 5.9) as drawing:
        axes = drawing.subplots(2, 4).ravel()
        for axis, (title, keys) in zip(axes, PATTERNS, strict=False):
            images = Diffraction.model_validate({**COMMON, **keys})
            (item,) = diffraction.make(images, [Asked(0, (np.random.default_rng(3),), matrix.row, sources)])
            counts, listed = item.arrays["counts"].values, item.arrays["reflections"].values
            picture(axis)
            axis.set_title(title, fontsize=9)
            axis.imshow(counts**0.25, cmap="gray", vmax=np.quantile(counts, 0.999) ** 0.25)
            if title == "20 nm":
                weight = weights(listed, "ewald")
                area = 40 * weight / weight[1:].max()
                size = np.minimum(area, 40)
                axis.scatter(*listed[:, :2].T, s=size, facecolors="none", edgecolors=ORANGE, linewidths=0.7)
                label = structure_factor_image(listed, SIZE)
            axis.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
        scale_bar(axes[0], PIXEL, (SIZE, SIZE), "1/Å")
        picture(axes[-1])
        axes[-1].set_title("structure factors", fontsize=9)
        axes[-1].imshow(label, cmap="gray")
        drawing.suptitle("GaAs near [110], 300 kV: patterns of one scattering matrix", fontsize=11)


if __name__ == "__main__":
    main()
