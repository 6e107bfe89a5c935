"""Draw docs/images/stm.jpg from the bundled maps: graphene and MoS2 at both signs of the bias, and with noise.

.venv/bin/python docs/stm_picture.py
"""

from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from PIL import Image

from exitwave.config.monolayers import Monolayers
from exitwave.config.stm import LocalDensity, Stm
from exitwave.images import stm
from exitwave.items import Array, Asked, Item
from exitwave.report.style import BLUE, ORANGE, figure, picture, scale_bar
from exitwave.structures import monolayers
from exitwave.waves import ldos

PIXEL, SIZE, ATOMS = 0.125, 160, 56
"""Of the images [Å], [px]; the corner in which atoms are drawn [px]."""
NOISY = {
    "relief": {"noise": 0.01, "slow_noise": 0.01, "line_noise": 0.004, "slope": 1},
    "scan": {"jitter": 0.5, "drift": 1.5},
}
PANELS = (
    ("graphene", 0.5, 5.0, {}),
    ("graphene", -0.5, 5.0, {}),
    ("graphene", -0.5, 5.0, NOISY),
    ("MoS2", 0.5, 3.5, {}),
    ("MoS2", -0.5, 3.5, {}),
    ("MoS2", -0.5, 3.5, NOISY),
)


def taken(name: str, bias: float, height: float, more: dict[str, object]) -> tuple[Item, Item]:
    """The structure, which does not depend on the bias, and its image."""
    rngs = [np.random.default_rng([7, stage]) for stage in range(3)]
    layer = {"kind": "monolayer", "source": "maps", "maps": [name], "count": 1, "field_of_view": 30, "in_plane": 8}
    waves = {"kind": "ldos", "structures": "own", "bias": bias}
    image = {"kind": "stm", "exit_waves": "own", "pixel_size": PIXEL, "size": SIZE, "height": height, **more}
    (structure,) = monolayers.make(Monolayers.model_validate(layer), [Asked(0, (rngs[0],))])
    row, sources = dict(structure.row), {"structures": structure.arrays}
    (density,) = ldos.make(LocalDensity.model_validate(waves), [Asked(0, (rngs[1],), row, sources)])
    row, sources = {**row, **density.row}, {**sources, "exit_waves": density.arrays}
    (made,) = stm.make(Stm.model_validate(image), [Asked(0, (rngs[2],), row, sources)])
    return structure, made


def main() -> None:
    path = Path(__file__).parent / "images/stm.png"
    with figure(path, 9.0, 6.4) as drawing:
        axes = drawing.subplots(2, 3)
        for place, (axis, panel) in enumerate(zip(axes.flat, PANELS, strict=True)):
            structure, image = taken(*panel)
            counts = image.arrays["counts"].values
            picture(axis)
            axis.imshow(counts, cmap="gray", interpolation="bilinear")
            if not panel[3]:
                _draw_atoms(axis, structure.arrays, image)
            scale_bar(axis, PIXEL, counts.shape)
            noise = ", with noise" if panel[3] else f", {100 * image.row['corrugation']:.0f} pm"
            title = f"{chr(97 + place)}  {panel[0]}, {panel[1]:+.1f} V, {panel[2]:g} Å{noise}".replace("-", "−")
            axis.set_title(title, fontsize=9)
    with Image.open(path) as drawn:
        drawn.convert("RGB").resize((1080, 768)).save(path.with_suffix(".jpg"), quality=85)
    path.unlink()


def _draw_atoms(axis: object, structure: dict[str, Array], image: Item) -> None:
    """Atoms in one corner: topmost ones large."""
    places = structure["positions"].values.astype(float)
    at = (places[:, :2] - [image.row["place_x"], image.row["place_y"]]) / PIXEL - 0.5
    shown = ((at > 0) & (at < ATOMS)).all(axis=1)
    top = places[:, 2] > places[:, 2].max() - 0.5
    for chosen, size, colour in ((shown & ~top, 9, BLUE), (shown & top, 22, ORANGE)):
        kinds = {chemical_symbols[number] for number in structure["numbers"].values[chosen]}
        axis.scatter(*at[chosen].T, s=size, color=colour, label=", ".join(sorted(kinds)), linewidths=0)


if __name__ == "__main__":
    main()
