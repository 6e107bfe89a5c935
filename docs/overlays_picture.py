"""Draw docs/images/overlays.png: a micrograph that the bundled networks segment well, and one that they do not.

.venv/bin/python docs/overlays_picture.py
"""

from pathlib import Path

import numpy as np

import exitwave
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.report.style import ORANGE, SKY, figure, grey_range, outline, picture, scale_bar

MICROGRAPHS = Path(__file__).parents[1] / "resources/micrographs"
SHOWN = (
    ("good: all but three cut particles are found", "seg_track_tem", "image_15", "half"),
    ("bad: grain is added, outlines are displaced", "scottlab_hrtem_patches", "Au2.2nm_0", "outline"),
)


def main() -> None:
    with figure(Path(__file__).parent / "images/overlays.png", 9.0, 4.9) as drawing:
        for axis, (title, folder, name, convention) in zip(drawing.subplots(1, 2), SHOWN, strict=True):
            micrograph = next(found for found in read_benchmark(MICROGRAPHS / folder)[0] if found.name == name)
            assert micrograph.mask is not None
            found = exitwave.segment(micrograph.image, micrograph.pixel_size, convention=convention)
            low, high = grey_range(micrograph.image)
            axis.imshow(micrograph.image, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
            outline(axis, micrograph.mask, SKY)
            outline(axis, np.asarray(found.labels > 0), ORANGE)
            scale_bar(axis, micrograph.pixel_size, micrograph.image.shape)
            axis.set_title(title, fontsize=9)
            picture(axis)
        drawing.suptitle("prediction (orange) and expert (blue)", fontsize=10)


if __name__ == "__main__":
    main()
