"""Training on diffraction patterns, stored and drawn anew: crystal systems told from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from exitwave.config.models import Classification
from exitwave.data.batches import load_arrays
from exitwave.data.tables import join_tables
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.plan import SIMULATION, sources_of
from exitwave.training.kinds import task_on
from exitwave.training.streaming import ImagesSource, Stream

STUDY = """
seed: 4
structures: {library: {kind: crystals, count: 3, orientations: {mistilt: 3}}}
exit_waves:
  bloch: {structures: library, kind: scattering_matrix, semiangle: 2, thickness: 60, g_max: 1.0,
          rms_displacement_of_others: 0.08}
images:
  cbed: {exit_waves: bloch, kind: diffraction, size: 48, semiangle: {choice: [1, 2]}, dose: {loguniform: [1e4, 1e5]},
         shift: {uniform: [-2, 2]}, per_structure: 2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Path]]:
    folder, study = tmp_path_factory.mktemp("patterns"), study_from(yaml.safe_load(STUDY), "patterns.yaml")
    paths: dict[str, Path] = {}
    for stage in SIMULATION:
        (member,) = study.stage(stage)
        sources = {name: paths[source.stage] for name, source in sources_of(member).items()}
        paths[stage] = folder / stage / "shard-000000-000003.zarr.zip"
        make_shard(Description.parse(describe(member)), range(3), sources, paths[stage])
    return study, paths


def test_patterns_are_drawn_anew_for_every_epoch(made: tuple[Any, dict[str, Path]]) -> None:
    """The stored ones come first, as they are; then others of the same crystals, with the same labels."""
    study, paths = made
    (images,), rows = study.stage("images"), join_tables([str(paths["images"])])
    task = task_on(Classification(kind="classification", target={"column": "orientation_kind"}), rows)
    folders = {stage: paths[stage].parent for stage in ("exit_waves", "structures")}
    stream = Stream(rows, {images.hash: ImagesSource(images.block, images.seed, folders)}, task)
    epochs = [stream.draw(epoch) for epoch in (0, 1, 2)]
    stored = load_arrays(rows, ("counts",))
    np.testing.assert_array_equal(epochs[0][0], task.inputs(stored))
    assert len({pattern.tobytes() for patterns, _ in epochs for pattern in patterns}) == 3 * len(rows)
    for _, targets in epochs[1:]:
        np.testing.assert_array_equal(targets, epochs[0][1])
