"""The first day, cell by cell: simulate a micrograph, segment it, compare, and segment a real one.

Run it from the root of the repository: whole (`python docs/first_day.py`), or cell by cell in an editor.
"""

# %% A gold particle, and what a microscope makes of it
import matplotlib.pyplot as plt
import numpy as np
from ase.cluster import Octahedron
from PIL import Image

import exitwave

particle = Octahedron("Au", length=9, cutoff=3)
made = exitwave.simulate(particle, defocus=100, dose=1000, pixel_size=0.8, seed=1)
print(f"{len(particle)} atoms, {len(made.image)} px of {made.pixel_size} Å, {made.image.mean():.0f} electrons a pixel")

# %% The label: where the phase of the particle's exit wave is 0.1 rad or more
diameter = 2 * np.sqrt(made.mask.sum() / np.pi) * made.pixel_size
print(f"the particle has a diameter of {diameter:.1f} Å")

# %% Particles on carbon, as in a config file; every key of a block works here, and distributions too
field = {
    "kind": "nanoparticles_on_substrate",
    "field_of_view": 102.4,
    "particles": {"material": "Au", "number": 3, "radius": {"uniform": [10, 18]}},
    "substrate": {"thickness": 30},
}
made = exitwave.simulate(field, defocus={"uniform": [100, 400]}, dose=800, pixel_size=0.8, labels=["instances"], seed=3)
print(f"defocus {made.conditions['defocus']:.0f} Å, {len(np.unique(made.labels['instances'])) - 1} particles in view")

# %% Find them with the networks that come with exitwave
found = exitwave.segment(made.image, made.pixel_size)
agreement = 2 * ((found.labels > 0) & made.mask).sum() / ((found.labels > 0).sum() + made.mask.sum())
print(found.particles[["equivalent_diameter", "touches_edge", "mean_probability", "uncertainty"]].round(2))
print(f"F1 {agreement:.2f}; warnings: {found.warnings or 'none'}")

# %% A real micrograph
tile = "resources/micrographs/seg_track_tem/images/image_15.png"
found = exitwave.segment(tile, pixel_size=0.59, convention="half")
sizes = found.particles.loc[~found.particles["touches_edge"], "equivalent_diameter"] / 10
print(f"{len(found.particles)} particles, median diameter {sizes.median():.1f} nm")

# %% A picture of it
figure, axes = plt.subplots()
axes.imshow(np.asarray(Image.open(tile)), cmap="gray")
axes.contour(found.labels > 0, levels=[0.5], colors="orange")
figure.savefig("first_day.png", dpi=150)
