"""Draw docs/studies/sheets_fig7.jpg: simulated images of three hexagonal layers with the graphs of their atoms.

.venv/bin/python docs/graphs_picture.py
"""

from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from PIL import Image

from exitwave.config.graphs import ATOMS
from exitwave.config.monolayers import Monolayers
from exitwave.config.stem import StemConvolution
from exitwave.data.atom_graphs import atom_graph, find_atoms
from exitwave.images import stem_convolution
from exitwave.items import Asked
from exitwave.report.style import ORANGE, SKY, figure, picture, scale_bar
from exitwave.structures import monolayers

PIXEL, SIZE, BONDS = 0.2, 256, 12
SHOWN = slice(58, 198)
"""Middle of the images, along both axes [px]."""
LAYERS = ("silicene", "MoS2, 2H", "BiI3")
"""Prototypes; of each its first compound."""


def taken(prototype: str) -> tuple[str, np.ndarray]:
    """Formula and image of a layer, as `realistic` of config/studies/sheets.yaml has them at a high dose."""
    rngs = [np.random.default_rng([5, stage]) for stage in range(2)]
    layer = {"kind": "monolayer", "prototypes": [prototype], "count": 1, "field_of_view": 64, "in_plane": 8}
    optics = {"energy": 80e3, "semiangle": 30, "source_size": 0.8}
    image = {"kind": "stem_convolution", "structures": "own", "pixel_size": PIXEL, "size": SIZE, "exponent": 1.7}
    more = {"optics": optics, "displacement": 0.07, "background": 0.002, "dose": 1e5, "scan": {"jitter": 0.1}}
    (structure,) = monolayers.make(Monolayers.model_validate(layer), [Asked(0, (rngs[0],))])
    asked = Asked(0, (rngs[1],), dict(structure.row), {"structures": structure.arrays})
    (made,) = stem_convolution.make(StemConvolution.model_validate({**image, **more}), [asked])
    return str(structure.row["formula"]), made.arrays["counts"].values


def bonds_of(image: np.ndarray, alike: bool) -> tuple[np.ndarray, np.ndarray]:
    """Atoms [n, 2] and bonds [m, 2, 2] of an image [px]."""
    found, table = find_atoms(image), atom_graph(image, BONDS, alike)
    assert found is not None
    bonds = table[ATOMS:].reshape(-1, BONDS, table.shape[1])
    starts, places = np.nonzero(bonds[..., 0] >= 0)
    ends = bonds[starts, places, 0].astype(int)
    return found.places[:ATOMS], np.stack([found.places[starts], found.places[ends]], axis=1)


def main() -> None:
    path = Path(__file__).parent / "studies/sheets_fig7.png"
    with figure(path, 9.6, 6.8) as drawing:
        axes = drawing.subplots(2, len(LAYERS))
        for column, prototype in zip(axes.T, LAYERS, strict=True):
            formula, image = taken(prototype)
            for axis, alike in zip(column, (False, True), strict=True):
                atoms, bonds = (places - SHOWN.start for places in bonds_of(image, alike))
                picture(axis)
                low, high = np.percentile(image, [0.5, 99.8])
                axis.imshow(image[SHOWN, SHOWN], cmap="gray", vmin=low, vmax=high)
                axis.add_collection(LineCollection(bonds, colors=ORANGE, linewidths=0.9))
                axis.plot(*atoms.T, "o", ms=2.5, mew=0, color=SKY)
                edge = SHOWN.stop - SHOWN.start
                axis.set(xlim=(-0.5, edge - 0.5), ylim=(edge - 0.5, -0.5))
                axis.set_title(f"{formula}: bonds {'between alike atoms' if alike else 'to the nearest'}", fontsize=9)
                scale_bar(axis, PIXEL, (edge, edge), "Å")
    Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=75)
    path.unlink()


if __name__ == "__main__":
    main()
