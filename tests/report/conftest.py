"""Small shards and tables in the formats of the pipeline, for the figures to draw from."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.calibration import count_calibration
from exitwave.data.shards import shard_writer
from exitwave.items import Array, Axis, Item, lateral

EDGE = 32.0
PIXELS = 32
SEGMENTATION = {"model": {"kind": "segmentation"}, "facts": {}}


def write_shard(
    path: Path, arrays: dict[str, np.ndarray], table: pd.DataFrame, attributes: dict[str, Any] | None = None
) -> None:
    """Write a shard from stacks by name, and ragged arrays by ``NAME/PLACE``."""

    def described(values: np.ndarray, ragged: bool) -> Array:
        maps = values.ndim >= 2 and not ragged
        axes = [Axis(f"axis{number}") for number in range(values.ndim - 2 * maps)] + list(lateral(1.0) * maps)
        return Array(values, tuple(axes), ragged=ragged)

    with shard_writer(path, len(table), attributes or {}) as writer:
        for place, row in enumerate(table.to_dict("records")):
            item = {name: described(values[place], False) for name, values in arrays.items() if "/" not in name}
            item |= {
                name.partition("/")[0]: described(values, True)
                for name, values in arrays.items()
                if name.endswith(f"/{place}")
            }
            writer.add(Item(item, {str(key): value for key, value in row.items()}))


def structure_rows(particles: list[int]) -> pd.DataFrame:
    """Metadata of structures with so many particles each."""
    return pd.DataFrame(
        [
            {
                "structure_id": f"abcdef01-{item:06d}",
                "structures": "metal",
                "item": item,
                "seed": 0,
                "split_position": 0.1 * item,
                "material": "Au" if number else "",
                "particles_drawn": number,
                "particles_placed": number,
                "radius_mean": 6.0 + item if number else np.nan,
                "radius_min": 5.0 + item if number else np.nan,
                "radius_max": 7.0 + item if number else np.nan,
                "planar_defects": item,
                "shape": "sphere" if number else "",
                "substrate": "a-C",
                "substrate_thickness": 10.0 + item,
                "cell_height": 40.0,
                "n_atoms_substrate": 300,
                "n_atoms_particles": 60 * number,
                "particles": json.dumps([{"material": "Au", "radius": 6.0 + item + k} for k in range(number)]),
            }
            for item, number in enumerate(particles)
        ]
    )


def write_structures(path: Path, particles: list[int], rng: np.random.Generator) -> Path:
    arrays: dict[str, np.ndarray] = {"cell": np.array([[EDGE, EDGE, 40.0]] * len(particles))}
    for place, number in enumerate(particles):
        carbon = rng.random((300, 3)) * [EDGE, EDGE, 10] + [0, 0, 4]
        gold = rng.normal([EDGE / 2, EDGE / 2, 22], 2.5, (60 * number, 3))
        arrays[f"positions/{place}"] = np.concatenate([carbon, gold]).astype(np.float32)
        arrays[f"numbers/{place}"] = np.repeat(np.array([6, 79], dtype=np.uint8), [300, 60 * number])
        arrays[f"object_id/{place}"] = np.repeat(np.array([0, 1], dtype=np.uint8), [300, 60 * number])
    write_shard(path, arrays, structure_rows(particles))
    return path


def crystal_rows(count: int) -> pd.DataFrame:
    """Metadata of crystals from files."""
    return pd.DataFrame(
        {
            "structure_id": [f"abcdef01-{item:06d}" for item in range(count)],
            "item": range(count),
            "file": [f"fcc/{item}.cif" for item in range(count)],
            "formula": [("Au", "NaCl")[item % 2] for item in range(count)],
            "zone_axis": "1 1 0",
            "zone_axis_tilt": [0.0, 1.25][:count] + [0.5] * (count - 2),
            "thickness": 20.0 + np.arange(count),
        }
    )


def write_crystals(path: Path, count: int) -> Path:
    """Cubes of atoms that fill the field, none of them of a substrate."""
    y, x, z = np.mgrid[0:EDGE:4, 0:EDGE:4, 2:22:4]
    positions = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1).astype(np.float32)
    arrays: dict[str, np.ndarray] = {"cell": np.array([[EDGE, EDGE, 24.0]] * count)}
    for place in range(count):
        arrays[f"positions/{place}"] = positions
        arrays[f"numbers/{place}"] = np.full(len(positions), 79, dtype=np.uint8)
        arrays[f"object_id/{place}"] = np.ones(len(positions), dtype=np.uint8)
    write_shard(path, arrays, crystal_rows(count))
    return path


def write_waves(path: Path, rows: pd.DataFrame, rng: np.random.Generator, planes: int = 0) -> Path:
    """Exit waves of structures, with a series of so many depths."""
    phase = 0.2 * rng.random((2, len(rows), 2, PIXELS, PIXELS))
    whole, particles = np.exp(1j * phase).astype(np.complex64)
    rows = rows.assign(energy=300e3, wave_sampling=EDGE / PIXELS)
    arrays = {"whole": whole, "particles": particles}
    if planes:
        rows = rows.assign(series_step=4.0)
        arrays |= {f"series/{place}": np.stack([wave] * planes) for place, wave in enumerate(whole)}
    write_shard(path, arrays, rows)
    return path


def write_images(path: Path, particles: list[int], rng: np.random.Generator) -> Path:
    table = structure_rows(particles)
    table["image_id"] = [f"12345678-{item:06d}-000" for item in table["item"]]
    table["pixel_size"] = 1.0
    table["defocus"] = rng.uniform(-300, 300, len(table))
    table["dose"] = np.geomspace(20, 2000, len(table))
    table["C30"] = 1e7
    y, x = np.mgrid[:PIXELS, :PIXELS]
    disc = np.hypot(y - 12, x - 18) < 8
    phase = np.stack([disc * min(number, 1) * 0.5 for number in particles]).astype(np.float16)
    counts = rng.poisson(50 - 20 * phase.astype(float)).astype(np.uint32)
    arrays = {"counts": counts, "phase": phase, "atoms": (phase > 0).astype(np.uint8)}
    write_shard(path, arrays, table)
    return path


def write_scanned(path: Path, count: int, rng: np.random.Generator) -> Path:
    """Images of crystals, without any map."""
    table = crystal_rows(count)
    table["image_id"] = [f"12345678-{item:06d}-000" for item in table["item"]]
    table["pixel_size"], table["place_x"] = 1.0, rng.random(count)
    table["probe_sigma"], table["dose"] = rng.uniform(0.4, 0.8, count), np.geomspace(20, 2000, count)
    counts = rng.poisson(5, (count, PIXELS, PIXELS)).astype(np.uint32)
    write_shard(path, {"counts": counts}, table)
    return path


def write_predictions(folder: Path, seeds: int, images: int, rng: np.random.Generator) -> list[Path]:
    """Predictions on images of which the second has no particle."""
    y, x = np.mgrid[:40, :48]
    paths = []
    for seed in range(seeds):
        arrays: dict[str, np.ndarray] = {}
        for i in range(images):
            mask = (np.hypot(y - 18, x - 22) < 10) & (i != 1)
            arrays[f"prediction/{i}"] = np.clip(mask + rng.normal(0, 0.3, mask.shape), 0, 1).astype(np.float16)
            arrays[f"image/{i}"] = rng.normal(100, 10, mask.shape).astype(np.float32)
            arrays[f"truth/{i}"] = mask.astype(np.uint8)
        table = pd.DataFrame({"image": [f"Au2.2nm_{i}" for i in range(images)], "pixel_size": 0.8, "f1": 0.5})
        paths.append(folder / f"seed-{seed}.zarr.zip")
        write_shard(paths[-1], arrays, table, {"task": SEGMENTATION})
    return paths


def summary(seeds: int = 3) -> pd.DataFrame:
    """Summary of a benchmark with known numbers; there is no mean F1 for the last baseline."""
    rows = []
    for method, kind, value in [
        ("otsu", "baseline", 0.611),
        ("thermal[dose=100]", "network", 0.823),
        ("thermal[dose=100]", "ensemble", 0.847),
        ("everything", "baseline", np.nan),
    ]:
        row: dict[str, object] = {"benchmark": "patches", "method": method, "kind": kind, "images": 8}
        row |= {"seeds": seeds if kind == "network" else 1, "diverged": 0, "task": json.dumps(SEGMENTATION)}
        for name in ("f1_pooled", "f1_mean", "iou_pooled", "f1_soft_pooled", "f1_soft_two_class"):
            row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
            row |= {f"{name}_seed_min": value - 0.03, f"{name}_seed_max": value + 0.02}
        row["f1_pooled"] = 0.402 if method == "everything" else value
        told = {"particles_true": 322.0, "particles_found": 1327.0, "particle_f1": value, "particle_precision": 0.911}
        told |= {"particle_recall": 0.932, "diameter_error": 0.051, "diameter_bias": -0.012, "size_distance": 4.56}
        for name, number in told.items():
            row |= {name: number, f"{name}_low": 0.9 * number, f"{name}_high": 1.1 * number}
            row |= {f"{name}_seed_min": 0.95 * number, f"{name}_seed_max": 1.05 * number}
        rows.append(row)
    return pd.DataFrame(rows)


def per_image(rng: np.random.Generator) -> pd.DataFrame:
    """Scores of images, with sums of the probabilities of two networks, of their mean and of a rule."""
    y, x = np.mgrid[:64, :64]
    true, rows = np.hypot(y - 30, x - 32) < 14, []
    for kind, method, seed in (
        ("network", "unet", 0),
        ("network", "unet", 1),
        ("ensemble", "unet", -1),
        ("baseline", "otsu", 0),
    ):
        for _ in range(2):
            probability = (
                true.astype(float) if kind == "baseline" else np.clip(0.8 * true + 0.2 * rng.random(true.shape), 0, 1)
            )
            rows.append({"kind": kind, "method": method, "seed": seed, **count_calibration(probability, true, 0.8)})
    return pd.DataFrame(rows)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def samples() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(
        shard=write_shard,
        structure_rows=structure_rows,
        crystal_rows=crystal_rows,
        crystals=write_crystals,
        scanned=write_scanned,
        structures=write_structures,
        waves=write_waves,
        images=write_images,
        predictions=write_predictions,
        summary=summary,
        per_image=per_image,
    )
