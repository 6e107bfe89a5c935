"""What is allowed but is hardly meant, or should be said with a score."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from exitwave.benchmark.cases import datasets_learned
from exitwave.benchmark.kinds import cases_of
from exitwave.benchmark.stacked import is_stacked, open_pair
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.block import Block
from exitwave.config.datasets import Dataset
from exitwave.config.distributions import Normal, bounds
from exitwave.config.patterns import Diffraction
from exitwave.study.member import Study


@dataclass(frozen=True)
class _Scale:
    """Of which size the values of a key are.

    Attributes
    ----------
    keys : tuple of str
        Dotted keys of blocks.
    unit : str
        Unit that they are read in.
    least, most : float
        The largest value that can be drawn is doubted below the one and above the other, unless it is 0.
    others : tuple
        Units that may have been meant, each with its size in ours.
    stages : tuple of str
    but : tuple of type
        Kinds of blocks of these stages whose key of that name is in another unit.
    """

    keys: tuple[str, ...]
    unit: str
    least: float
    most: float
    others: tuple[tuple[str, float], ...]
    stages: tuple[str, ...]
    but: tuple[type[Block], ...] = ()


_NM, _UM, _MM = ("nm", 10.0), ("µm", 1e4), ("mm", 1e7)
_PER_NM = ("1/nm", 0.1)
_ANY = float("inf")
_SCALES = (
    _Scale(("particles.radius", "particles.shell.thickness"), "Å", 2.0, _ANY, (_NM,), ("structures",)),
    _Scale(("field_of_view", "cell_height"), "Å", 15.0, _ANY, (_NM,), ("structures",)),
    # A layer of atoms is 2 to 3 Å thick.
    _Scale(("substrate.thickness", "thickness"), "Å", 2.0, _ANY, (_NM,), ("structures",)),
    _Scale(("sampling",), "Å", 0.04, _ANY, (_NM,), ("exit_waves",)),
    _Scale(("slice_thickness",), "Å", 0.25, _ANY, (_NM,), ("exit_waves",)),
    _Scale(("thickness_series",), "Å", 2.0, _ANY, (_NM,), ("exit_waves",)),
    _Scale(("pixel_size",), "Å", 0.04, _ANY, (_NM,), ("images", "benchmarks")),
    _Scale(("defocus",), "Å", 10.0, _ANY, (_NM, _UM), ("exit_waves", "images")),
    _Scale(("focal_spread",), "Å", 2.0, _ANY, (_NM,), ("images",)),
    _Scale(("background.contamination_length",), "Å", 5.0, _ANY, (_NM,), ("images",)),
    _Scale(("probe_sigma",), "Å", 0.1, _ANY, (_NM,), ("images",)),
    _Scale(("aberrations.C12",), "Å", 1.0, _ANY, (_NM,), ("images",)),
    _Scale(("aberrations.C21", "aberrations.C23"), "Å", 10.0, _ANY, (_NM, _UM), ("images",)),
    _Scale(tuple(f"aberrations.C{name}" for name in ("30", "32", "34")), "Å", 100.0, _ANY, (_UM, _MM), ("images",)),
    _Scale(
        tuple(f"aberrations.C{name}" for name in ("41", "43", "45", "50", "52", "54", "56")),
        "Å",
        100.0,
        _ANY,
        (_UM, _MM),
        ("images",),
    ),
    _Scale(
        tuple(f"aberrations.phi{name}" for name in ("12", "21", "23", "32", "34", "41", "43", "45", "52", "54", "56")),
        "rad",
        0.0,
        7.0,
        (("°", 0.0174533),),
        ("images",),
    ),
    _Scale(("drift_angle", "background.gradient_angle"), "rad", 0.0, 7.0, (("°", 0.0174533),), ("images",)),
    _Scale(("objective_aperture",), "mrad", 1.0, _ANY, (("rad", 1000.0),), ("images",)),
    _Scale(("dose",), "e⁻/Å²", 0.0, 1e6, (("e⁻/nm²", 0.01),), ("images",), but=(Diffraction,)),
    # Of diffraction, whose thicknesses are given in nm: 2 to 50 nm in steps of 2 nm.
    _Scale(("thickness",), "Å", 60.0, _ANY, (_NM,), ("exit_waves",)),
    _Scale(("thickness_step",), "Å", 3.0, _ANY, (_NM,), ("exit_waves",)),
    _Scale(("lattice_constant",), "Å", 1.5, _ANY, (_NM,), ("structures",)),
    _Scale(("rms_displacements", "rms_displacement_of_others"), "Å", 0.01, 0.5, (("pm", 0.01),), ("exit_waves",)),
    # Pixels and steps in reciprocal space are hundredths of 1/Å, and tenths of 1/nm.
    _Scale(("tilt_step",), "1/Å", 0.0, 0.1, (_PER_NM,), ("exit_waves",)),
    _Scale(("reciprocal_sampling",), "1/Å", 0.0, 0.1, (_PER_NM,), ("images",)),
    _Scale(("g_max",), "1/Å", 0.0, 4.0, (_PER_NM,), ("exit_waves",)),
    _Scale(("s_max",), "1/Å", 0.0, 0.2, (_PER_NM,), ("exit_waves",)),
    _Scale(("background.width",), "1/Å", 0.0, 1.0, (_PER_NM,), ("images",)),
    _Scale(("orientations.mistilt", "mistilt.magnitude"), "mrad", 0.2, _ANY, (("rad", 1000.0),), ("structures",)),
)


def doubts(study: Study) -> list[str]:
    """A sentence for each value of a study that is hardly meant in the unit it is read in, with its other readings."""
    told: dict[str, None] = {}
    for scale in _SCALES:
        for stage in scale.stages:
            for member in study.stage(stage):
                if isinstance(member.block, scale.but):
                    continue
                name = member.name.partition("[")[0]
                for key in scale.keys:
                    value = _largest(_at(member.block, key))
                    if value and not scale.least <= abs(value) <= scale.most:
                        told[f"{stage}.{name}.{key}: {_in_words(value, scale)}"] = None
    return list(told)


def scored_on_matched(study: Study) -> list[str]:
    """A sentence for each benchmark of micrographs that the dataset of a network it scores was drawn towards.

    No label of theirs was used, and on development data that may be meant; but the score is to say so.
    """
    told: dict[str, None] = {}
    for benchmark in study.stage("benchmarks"):
        if not isinstance(benchmark.block, MicrographBenchmark):
            continue
        scored = {os.path.realpath(file) for file in cases_of(benchmark.block).files(benchmark.block)}
        for training in benchmark.upstream["trainings"]:
            for dataset in datasets_learned(training):
                match = dataset.of(Dataset).match
                seen = 0 if match is None else len({os.path.realpath(file) for file in match.micrographs()} & scored)
                if seen:
                    told[
                        f"benchmarks.{benchmark.name}: {seen} of its micrographs are those that the dataset "
                        f"'{dataset.name}' of '{training.name}' is drawn towards; say so with the score, or keep them "
                        "back (split: test in the index.csv of match)"
                    ] = None
    return list(told)


def doubtful_stacks(study: Study) -> list[str]:
    """A sentence for each thing that is not known of a stack of micrographs that is scored."""
    return [
        f"benchmarks.{benchmark.name}: {doubt}"
        for benchmark in study.stage("benchmarks")
        if isinstance(benchmark.block, MicrographBenchmark) and is_stacked(benchmark.block)
        for doubt in open_pair(benchmark.block).doubts
    ]


def _in_words(value: float, scale: _Scale) -> str:
    small = abs(value) < scale.least
    limit = f"less than {scale.least:g}" if small else f"more than {scale.most:g}"
    others = " and ".join(f"{value:g} {unit} as {value * factor:.4g}" for unit, factor in scale.others)
    return f"{value:g} is read as {value:g} {scale.unit}, {limit} {scale.unit}; write {others} if that is meant"


def _at(block: Any, key: str) -> Any:
    """Value at a dotted key; none where there is no such key."""
    for part in key.split("."):
        block = getattr(block, part, None)
    return block


def _largest(value: Any) -> float | None:
    """The value that is farthest from 0 of those that can be drawn; of a normal distribution one of the farther."""
    if value is None:
        return None
    if isinstance(value, Normal) and value.clip is None:
        mean, deviation = value.normal
        return math.copysign(abs(mean) + deviation, mean)
    if isinstance(value, dict | tuple):
        return max(map(float, value.values() if isinstance(value, dict) else value), key=abs, default=None)
    return float(max(bounds(value), key=abs))
