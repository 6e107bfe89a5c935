"""A tiny study, its jobs run by hand on small shards. Plugin of pytest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from exitwave.config.models import Network
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.items import Array
from exitwave.jobs.evaluate import score_baselines, score_network
from exitwave.jobs.learn import make_dataset, train_network
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.plan import sources_of

TINY = """
seed: 3
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 6
    shard_size: 2
    field_of_view: 25.6
    particles: {material: Au, radius: {uniform: [4, 6]}, planar_defects: {number: {choice: [0, 1]}}}
    substrate: {thickness: {uniform: [4, 6]}}
exit_waves:
  thermal: {structures: gold, kind: plane_wave, sampling: 0.4, frozen_phonons: 2}
images:
  noisy:
    exit_waves: thermal
    kind: hrtem
    per_structure: 3
    pixel_size: 0.8
    size: 32
    defocus: {uniform: [0, 300]}
    aberrations: {C12: {uniform: [0, 50]}, phi12: {uniform: [0, 3.1]}}
    focal_spread: {uniform: [5, 20]}
    focal_nodes: 3
    plasmon_weight: {uniform: [0, 0.3]}
    dose: {loguniform: [200, 2000]}
    detector: {kind: ideal, blur: 0.5}
datasets:
  gold: {images: noisy, validation: 0.3, test: 0.3}
models:
  small: {kind: segmentation, encoder_depth: 3, epochs: 1, batch_size: 4}
trainings:
  gold: {datasets: gold, model: small, seeds: 2}
benchmarks:
  held_out: {kind: simulated, datasets: [gold], bootstrap: 100}
"""
HOW = {"device": "cpu", "precision": "32", "threads": 1}
"""How networks are trained, so that they are the same on every machine."""


class Jobs:
    """The jobs of the study, each into a folder of choice."""

    def __init__(self, text: str = TINY) -> None:
        self.text = text
        self.study = study_from(yaml.safe_load(text), "tiny.yaml")
        self.members = SimpleNamespace(
            **{stage: found[0] for stage in self.study.members if (found := self.study.stage(stage))}
        )

    def describe(self, stage: str, name: str | None = None, **values: Any) -> Description:
        """A block as its job sees it, with other values of some keys: the first of a stage, or by its name."""
        member = getattr(self.members, stage) if name is None else self.study.members[stage][name]
        content = json.loads(describe(member))
        content["block"] |= values
        return Description.parse(json.dumps(content)).with_values(**(HOW if stage == "trainings" else {}))

    def simulate(self, folder: Path, start: int, stop: int) -> SimpleNamespace:
        """One shard through the three stages of the simulation."""
        name = f"shard-{start}-{stop}.zarr.zip"
        paths = {stage: folder / stage / name for stage in ("structures", "exit_waves", "images")}
        for stage, path in paths.items():
            sources = {source: paths[source] for source in sources_of(getattr(self.members, stage))}
            make_shard(self.describe(stage), range(start, stop), sources, path)
        return SimpleNamespace(**paths)

    def arrays(self, path: Path) -> dict[str, np.ndarray]:
        """Every array of a shard by name, the ragged ones by ``NAME/PLACE``."""
        shard = open_shard(path)
        members = shard.group.members(max_depth=None)
        return {name: np.asarray(node[...]) for name, node in members if hasattr(node, "shape")}

    def items(self, path: Path) -> list[Mapping[str, Array]]:
        """The items of a shard, in the order of its table."""
        shard = open_shard(path)
        return [shard.item(place) for place in range(len(self.table(path)))]

    def table(self, path: Path) -> Any:
        return read_table(table_path(path))


@pytest.fixture(scope="session")
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def new_jobs() -> type[Jobs]:
    """Jobs of a study of one's own."""
    return Jobs


@pytest.fixture(scope="session")
def simulated(jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Items 0 to 5 in one shard; not to be written to."""
    return jobs.simulate(tmp_path_factory.mktemp("simulated"), 0, 6)


@pytest.fixture(scope="session")
def learned(jobs: Jobs, simulated: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A dataset, two networks trained on it, and their scores and those of the baselines; not to be written to."""
    folder = tmp_path_factory.mktemp("learned")
    dataset, model = jobs.describe("datasets"), jobs.describe("models")
    manifest = folder / "dataset" / "manifest.parquet"
    manifest.parent.mkdir()
    make_dataset(dataset, {"noisy": [str(simulated.images)]}, manifest, manifest.with_name("fingerprint.json"))
    networks, scores = [], []
    for seed in range(2):
        networks.append(folder / "model" / f"seed-{seed}")
        train_network(jobs.describe("trainings"), dataset, model, manifest, seed, networks[-1])
        scores.append(folder / "scores" / "gold" / f"seed-{seed}.zarr.zip")
        weights = networks[-1] / "weights.safetensors"
        score_network(jobs.describe("benchmarks"), model.of(Network), [manifest], weights, "gold", seed, 1, scores[-1])
    baselines = folder / "scores" / "baselines.parquet"
    task = folder / "scores" / "task.json"
    skipped = folder / "scores" / "skipped.csv"
    score_baselines(jobs.describe("benchmarks"), model.of(Network), [manifest], baselines, skipped, task)
    made = {"manifest": manifest, "networks": networks, "scores": scores, "baselines": baselines, "task": task}
    return SimpleNamespace(**made, folder=folder)
