"""Applying trained networks to a person's own micrographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from exitwave.benchmark.particles import particle_table, save_overlay
from exitwave.benchmark.prediction import predict_image
from exitwave.benchmark.readers import read_micrograph
from exitwave.config.models import Segmentation
from exitwave.errors import MicrographError, TrainingError
from exitwave.training.networks import LoadedNetwork, load_network
from exitwave.training.record import read_record


def load_networks(path: Path) -> list[LoadedNetwork]:
    """Load one network, or all networks (``seed-*``) of a training but those that have diverged."""
    if (path / "network.json").exists() or path.is_file():
        return [load_network(path)]
    folders = sorted(folder for folder in path.glob("seed-*") if (folder / "network.json").exists())
    if not folders:
        raise TrainingError(f"{path}: holds no network; allowed: a folder with network.json, or with folders seed-*")
    networks = [load_network(folder) for folder in folders if not read_record(folder).diverged]
    if not networks:
        raise TrainingError(
            f"{path}: all {len(folders)} networks have diverged; allowed: a training with one that has not"
        )
    return networks


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
        If there is no network, it is damaged, or does not segment.
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
    if not isinstance(networks[0].model, Segmentation):
        raise TrainingError(f"{model}: holds networks of kind {networks[0].model.kind}; allowed: networks that segment")
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
        maps = [
            predict_image(network, micrograph.image, micrograph.pixel_size, overlap, symmetry_average)
            for network in networks
        ]
        probability = np.mean(np.clip(maps, 0, 1), axis=0)
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
