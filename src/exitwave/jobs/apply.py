"""Applying trained networks to a person's own micrographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from exitwave.benchmark.particles import particle_table, save_overlay
from exitwave.benchmark.prediction import segment_image
from exitwave.benchmark.readers import read_micrograph
from exitwave.errors import MicrographError, TrainingError
from exitwave.training.networks import LoadedNetwork, load_network


def load_networks(path: Path) -> list[LoadedNetwork]:
    """Load one network, or all networks (``seed-*``) of a training."""
    if (path / "network.json").exists() or path.is_file():
        return [load_network(path)]
    folders = sorted(folder for folder in path.glob("seed-*") if (folder / "network.json").exists())
    if not folders:
        raise TrainingError(f"{path}: holds no network; allowed: a folder with network.json, or with folders seed-*")
    return [load_network(folder) for folder in folders]


def segment_files(
    images: Sequence[Path],
    model: Path,
    output: Path,
    pixel_size: float | None,
    threshold: float,
    overlap: float,
    symmetry_average: bool,
    progress: Callable[[str], None],
) -> tuple[int, list[str]]:
    """Segment micrographs and write mask, probability, overlay and particle table of each.

    Returns
    -------
    done : int
        Micrographs segmented.
    failed : list of str
        One sentence for each micrograph that could not be used; the others go on.

    Raises
    ------
    TrainingError
        If there is no network, or it is damaged.
    MicrographError
        If two micrographs have the same name.
    """
    from PIL import Image

    stems: dict[str, Path] = {}
    for path in images:
        if stems.setdefault(path.stem, path) != path:
            raise MicrographError(
                f"{path} and {stems[path.stem]} would be written to the same files; allowed: names that differ, or "
                "another call with another output folder"
            )
    networks = load_networks(model)
    output.mkdir(parents=True, exist_ok=True)
    tables: list[pd.DataFrame] = []
    failed: list[str] = []
    done = 0
    for path in images:
        try:
            micrograph = read_micrograph(path, pixel_size)
        except MicrographError as error:
            failed.append(str(error))
            continue
        maps = [segment_image(network, micrograph, overlap, symmetry_average).probability for network in networks]
        probability = np.mean(maps, axis=0)
        mask = probability >= threshold
        Image.fromarray(mask.astype(np.uint8) * 255).save(output / f"{path.stem}_mask.png")
        np.save(output / f"{path.stem}_probability.npy", probability.astype(np.float32))
        save_overlay(micrograph.image, mask, output / f"{path.stem}_overlay.png")
        particles = particle_table(mask, micrograph.pixel_size)
        tables.append(particles.assign(image=path.name))
        done += 1
        progress(f"{path.name}: {len(particles)} particles, {100 * mask.mean():.1f} % of the area")
    if tables:
        pd.concat(tables, ignore_index=True).to_csv(output / "particles.csv", index=False)
    return done, failed
