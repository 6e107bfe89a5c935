"""The studies that come along: the first structure of every block is made and its exit waves are simulated."""

from pathlib import Path

import numpy as np
import pytest

from exitwave.config.exit_waves import PlaneWave
from exitwave.structures.recipes import build_structure
from exitwave.study.link import load_study
from exitwave.waves.exit_waves import simulate_exit_waves

ROOT = Path(__file__).resolve().parents[2]
STUDIES = sorted((ROOT / "config" / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_first_structure_of_every_block_gives_exit_waves_that_show_its_particles(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for member in load_study(path).stage("exit_waves"):
        if not isinstance(member.block, PlaneWave):
            continue
        rng = np.random.default_rng(3)
        structure = build_structure(member.source("structures").block, rng)
        block = member.block.model_copy(update={"frozen_phonons": min(member.block.frozen_phonons, 1)})
        result = simulate_exit_waves(structure, block, rng)
        whole, alone = result.whole[0], result.particles[0]
        assert np.std(np.abs(whole)) > 0.01
        assert (np.abs(np.angle(alone)) > 0.1).any() == (structure.metadata["particles_placed"] > 0)
        assert result.metadata["intensity_lost"] < 0.03
