"""Draw docs/images/series.png: one gold particle on carbon at several defoci, and at several doses.

.venv/bin/python docs/series_picture.py
"""

from pathlib import Path

import exitwave
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar

STRUCTURE = {
    "kind": "nanoparticles_on_substrate",
    "field_of_view": 64.0,
    "particles": {"material": "Au", "radius": 12},
    "substrate": {"thickness": 30},
}
DEFOCUS = (-600, -200, 0, 200, 600)
DOSE = (30, 100, 300, 1000, 10000)


def main() -> None:
    common = {"pixel_size": 0.4, "focal_spread": 15, "detector": {"kind": "ideal", "blur": 0.5}, "seed": 5}
    rows = [
        [(f"defocus {value / 10:g} nm", {"defocus": value, "dose": 3000}) for value in DEFOCUS],
        [(f"dose {value:g} e⁻/Å²", {"defocus": 100, "dose": value}) for value in DOSE],
    ]
    with figure(Path(__file__).parent / "images/series.png", 2.0 * len(DEFOCUS), 4.8) as drawing:
        axes = drawing.subplots(2, len(DEFOCUS))
        for line, row in zip(axes, rows, strict=True):
            for axis, (title, keys) in zip(line, row, strict=True):
                made = exitwave.simulate(STRUCTURE, **common, **keys)
                low, high = grey_range(made.image)
                axis.imshow(made.image, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
                outline(axis, made.mask, ORANGE)
                scale_bar(axis, made.pixel_size, made.image.shape)
                axis.set_title(title, fontsize=9)
                picture(axis)


if __name__ == "__main__":
    main()
