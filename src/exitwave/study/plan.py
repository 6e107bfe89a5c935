"""What a study will cost and make, known before the first job."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from exitwave.config.distributions import bounds
from exitwave.config.exit_waves import PlaneWave
from exitwave.config.models import MaskTarget, Segmentation
from exitwave.config.structures import AmorphousSubstrate, LayeredSubstrate, NanoparticlesOnSubstrate
from exitwave.study.member import Member, Study, pool_size


def shard_ranges(structures: Member) -> list[tuple[int, int]]:
    """Item ranges of the shards of a structures block: [start, stop) for each job."""
    count, size = structures.block.count, structures.block.shard_size
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def describe(member: Member) -> str:
    """A block as a job sees it, as canonical JSON: no counts, so that raising one reruns nothing."""
    block = member.block.model_dump(mode="json", exclude=set(member.block.COUNTS))
    content = {"stage": member.stage, "name": member.name, "hash": member.hash, "seed": member.seed, "block": block}
    return json.dumps(content, sort_keys=True)


def label_threshold(study: Study, images: Member) -> float:
    """Threshold [rad] of the phase that labels of an images block are shown with: of the first training on it."""
    models = [
        training.source("model").block
        for training in study.stage("trainings")
        if images in training.source("datasets").upstream["images"]
    ]
    targets = [model.target for model in models if isinstance(model, Segmentation) and model.target.map == "phase"]
    return (targets[0] if targets else MaskTarget()).above


@dataclass(frozen=True)
class StagePlan:
    """Jobs, items and disk of one block."""

    stage: str
    name: str
    folder: str
    jobs: int
    items: int
    bytes_per_item: float

    @property
    def gigabytes(self) -> float:
        """Estimated disk of all items."""
        return self.items * self.bytes_per_item / 1e9


def plan(study: Study) -> list[StagePlan]:
    """Jobs, items and estimated disk of every block of a study."""
    rows = []
    for stage in ("structures", "exit_waves", "images"):
        for member in study.stage(stage):
            structures = member.origin()
            items = pool_size(member) if stage == "images" else structures.block.count
            jobs = len(shard_ranges(structures))
            rows.append(StagePlan(stage, member.name, member.folder, jobs, items, _bytes_per_item(member)))
    for member in study.stage("datasets"):
        pool = sum(pool_size(m) for m in member.upstream["images"])
        rows.append(StagePlan("datasets", member.name, member.folder, 1, member.block.size or pool, _BYTES_OF_A_ROW))
    for member in study.stage("trainings"):
        seeds = member.block.seeds
        # Weights of about 14 million parameters in single precision; the checkpoint has four such sets.
        rows.append(StagePlan("trainings", member.name, member.folder, seeds, seeds, 14.3e6 * 4 * 5))
    for member in study.stage("benchmarks"):
        networks = sum(m.block.seeds for m in member.upstream["trainings"])
        rows.append(StagePlan("benchmarks", member.name, member.folder, networks + 2, networks, 20e6))
    return rows


def bytes_per_pixel(storage_error: float) -> tuple[float, float]:
    """Measured size of a stored exit wave.

    Parameters
    ----------
    storage_error : float
        Key of an exit_waves block; 0: lossless.

    Returns
    -------
    tuple of float
        Bytes a complex pixel of the wave of the whole structure, and of that of the particles alone, after
        compression. Lossless 5.9 and 5.6. With rounding to multiples of 2^-n (`exitwave.data.rounding`) n/4 and
        n/4 - 1: real and imaginary part cost one bit more each time that the step is halved. For errors of
        1e-3 ... 3e-5 the sum of the two was within 15 % of that for nine of eleven sets of exit waves (metals,
        CdSe and MoS2 on carbon, oxides and MoS2, 80 and 300 kV); up to a third less where particles are thin
        flakes, more where they cover most of the field.
    """
    if storage_error == 0:
        return _LOSSLESS
    whole = math.ceil(-math.log2(2 * storage_error)) / 4
    return min(max(whole, 0.5), _LOSSLESS[0]), min(max(whole - 1, 0.1), _LOSSLESS[1])


_LOSSLESS = (5.9, 5.6)
_LAYER_THICKNESS = 6.5
"""Thickness [Å] of a layer, about that of MX2."""
_BYTES_OF_A_LABEL = {"thickness": 0.25}
"""Measured, an image pixel; of maps of classes and angles, which are even, about a tenth."""
_BYTES_OF_COLUMNS = 1.5
"""Measured, an Å² of the image, a third of which is particles."""
_BYTES_OF_A_ROW = 1500.0
"""Of a table, an item or image."""


def _bytes_per_item(member: Member) -> float:
    structures = member.origin().block
    if member.stage == "structures":
        # About 0.1 atoms an Å³ of amorphous carbon and nitride, 0.065 of oxides, crystals and metals; of the 20 bytes
        # of an atom ten remain.
        radius, number = _middle(structures.particles.radius), _middle(structures.particles.number)
        dense = isinstance(structures.substrate, AmorphousSubstrate) and structures.substrate.material != "a-SiO2"
        density = 0.1 if dense else 0.065
        substrate = density * structures.field_of_view**2 * _substrate_thickness(structures)
        return float(10 * (substrate + 0.065 * number * 4 / 3 * math.pi * radius**3) + _BYTES_OF_A_ROW)
    if member.stage == "exit_waves":
        return _bytes_of_waves(structures, member.block)
    # Counts of mostly one byte and a half-precision phase that is smooth.
    pixels = 2.2 + sum(_BYTES_OF_A_LABEL.get(name, 0.03) for name in member.block.labels if name != "columns")
    columns = _BYTES_OF_COLUMNS * member.block.pixel_size**2 if "columns" in member.block.labels else 0.0
    return float((pixels + columns) * member.block.size**2 + _BYTES_OF_A_ROW)


def _bytes_of_waves(structures: NanoparticlesOnSubstrate, block: PlaneWave) -> float:
    pixels = max(1, block.frozen_phonons) * (structures.field_of_view / block.sampling) ** 2
    whole, particles = bytes_per_pixel(block.storage_error)
    planes = 0.0
    if block.thickness_series is not None:
        height = structures.cell_height
        if height is None:
            sunk = _middle(structures.embedding()) * _middle(structures.particles.radius)
            above = 2 * _middle(structures.particles.radius) - (sunk if structures.substrate is not None else 0.0)
            height = 2 * structures.vacuum + _substrate_thickness(structures) + above
        step = block.slice_thickness * max(1, round(block.thickness_series / block.slice_thickness))
        planes = height // step
    return float(pixels * (whole * (1 + planes) + particles) + _BYTES_OF_A_ROW)


def _substrate_thickness(structures: NanoparticlesOnSubstrate) -> float:
    """Thickness [Å], the middle of what can be drawn; 0 without a substrate."""
    if isinstance(structures.substrate, LayeredSubstrate):
        return _LAYER_THICKNESS * _middle(structures.substrate.layers)
    return 0.0 if structures.substrate is None else _middle(structures.substrate.thickness)


def _middle(value: Any) -> float:
    low, high = bounds(value)
    return float(low + high) / 2
