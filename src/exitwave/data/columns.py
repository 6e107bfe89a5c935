"""Columns of the metadata tables, with their units: the vocabulary of queries."""

from __future__ import annotations

from exitwave.config.blocks import Aberrations

STRUCTURES = {
    "structure_id": "",
    "structures": "",
    "structures_hash": "",
    "item": "",
    "seed": "",
    "split_position": "",
    "material": "",
    "particles_drawn": "",
    "particles_placed": "",
    "radius_mean": "Å",
    "radius_min": "Å",
    "radius_max": "Å",
    "planar_defects": "",
    "substrate_thickness": "Å",
    "substrate_density": "g/cm³",
    "cell_height": "Å",
    "n_atoms_substrate": "",
    "n_atoms_particles": "",
    "particles": "JSON",
    "exitwave_version": "",
}
EXIT_WAVES = {
    "exit_waves": "",
    "exit_waves_hash": "",
    "energy": "eV",
    "wave_sampling": "Å",
    "slice_thickness": "Å",
    "frozen_phonons": "",
    "temperature": "K",
    "parametrization": "",
    "simulation_grid": "px",
    "n_slices": "",
    "intensity_lost": "",
    "abtem_version": "",
}
IMAGES = {
    "image_id": "",
    "images": "",
    "images_hash": "",
    "draw": "",
    "pixel_size": "Å",
    "offset_y": "wave px",
    "offset_x": "wave px",
    "defocus": "Å",
    **{name: "rad" if name.startswith("phi") else "Å" for name in Aberrations.model_fields},
    "focal_spread": "Å",
    "objective_aperture": "mrad",
    "plasmon_weight": "",
    "dose": "e⁻/Å²",
    "detector_blur": "px",
    "label_smoothing": "Å",
    "mean_counts": "e⁻/px",
    "particle_fraction": "",
}
UNITS = {**STRUCTURES, **EXIT_WAVES, **IMAGES}
"""Every column that a query on images may name, with its unit."""

TEXT = {
    "structure_id",
    "structures",
    "structures_hash",
    "material",
    "particles",
    "exitwave_version",
    "exit_waves",
    "exit_waves_hash",
    "parametrization",
    "abtem_version",
    "image_id",
    "images",
    "images_hash",
}
"""Columns of text; all others are numbers."""
