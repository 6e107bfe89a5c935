"""The kinds of every stage. A new kind is a block in the file of its stage and a line here.

Fields carry their unit in the description; the key table in ``config/README.md`` is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exitwave.config.atoms import Atoms
from exitwave.config.benchmarks import (
    DatacubeBenchmark,
    LatticeBenchmark,
    MicrographBenchmark,
    SimulatedBenchmark,
    StrainBenchmark,
)
from exitwave.config.block import Block
from exitwave.config.crystals import Crystals, Multilayer
from exitwave.config.datasets import Dataset
from exitwave.config.disks import Disks
from exitwave.config.exit_waves import PlaneWave, Probe, ScatteringMatrix
from exitwave.config.graphs import Graphs
from exitwave.config.images import Hrtem, MicrographFields
from exitwave.config.models import Classification, Regression, Segmentation
from exitwave.config.monolayers import Monolayers
from exitwave.config.patterns import Diffraction
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.config.scans import ProbeScan
from exitwave.config.stem import Stem, StemConvolution
from exitwave.config.stm import LocalDensity, Stm
from exitwave.config.structures import NanoparticlesOnSubstrate, StructureFiles
from exitwave.config.trainings import Training

STAGES: dict[str, dict[str, type[Block]]] = {
    "structures": {
        "nanoparticles_on_substrate": NanoparticlesOnSubstrate,
        "files": StructureFiles,
        "crystals": Crystals,
        "multilayer": Multilayer,
        "monolayer": Monolayers,
    },
    "exit_waves": {
        "plane_wave": PlaneWave,
        "scattering_matrix": ScatteringMatrix,
        "probe": Probe,
        "scan": ProbeScan,
        "ldos": LocalDensity,
    },
    "images": {
        "hrtem": Hrtem,
        "stem_convolution": StemConvolution,
        "stem": Stem,
        "stm": Stm,
        "diffraction": Diffraction,
        "micrographs": MicrographFields,
    },
    "datasets": {"": Dataset},
    "models": {
        "segmentation": Segmentation,
        "regression": Regression,
        "classification": Classification,
        "disks": Disks,
        "atoms": Atoms,
        "graphs": Graphs,
        "autoencoder": Autoencoder,
        "super_resolution": SuperResolution,
    },
    "trainings": {"": Training},
    "benchmarks": {
        "simulated": SimulatedBenchmark,
        "micrographs": MicrographBenchmark,
        "strain": StrainBenchmark,
        "datacube": DatacubeBenchmark,
        "lattices": LatticeBenchmark,
    },
}
"""Registry of the stages in pipeline order: kind -> model ('' where a stage has one kind only)."""


def model_of(stage: str, raw: Mapping[str, Any]) -> type[Block] | None:
    """Model of a block by its key ``kind``; none if the stage has no such kind."""
    kinds = STAGES[stage]
    return kinds.get("" if "" in kinds else str(raw.get("kind")))


def made_from(stage: str, raw: Mapping[str, Any]) -> dict[str, str]:
    """Keys of a block, not yet validated, that name blocks of an earlier stage, each with that stage."""
    model = model_of(stage, raw)
    return {
        key: target for kind in ([model] if model else STAGES[stage].values()) for key, target in kind.MADE_FROM.items()
    }
