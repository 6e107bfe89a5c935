"""Studies on a real SLURM, from nothing to their reports."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.slurm
STUDIES = sorted((Path(__file__).parent / "studies").glob("*.yaml"))
"""One of each technique; another is another file."""
ON_NODES = {"benchmark_baselines", "benchmark_network", "exit_waves", "images", "structures", "training"}
"""Rules whose jobs are given to SLURM in a small study; all others are run beside Snakemake."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, tuple[Run, Run, tuple[int, str]]]:
    """Every study on the cluster and on this machine, all at once, with what Snakemake said of the first."""
    folders = {study: tmp_path_factory.mktemp(study.stem) for study in STUDIES}
    cluster = {study: Run(folder / "cluster", study) for study, folder in folders.items()}
    here = {study: Run(folder / "here", study) for study, folder in folders.items()}
    with ThreadPoolExecutor() as pool:
        told = {study: pool.submit(run.on_the_cluster) for study, run in cluster.items()}
        made = {study: pool.submit(run.finished) for study, run in here.items()}
    return {study: (cluster[study], made[study].result(), told[study].result()) for study in STUDIES}


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_a_study_finishes_with_the_bytes_of_a_local_run(study, runs):
    cluster, here, (status, shown) = runs[study]
    assert status == 0, shown
    assert cluster.files() == here.files()
    assert [name for name in cluster.files() if name.endswith(".safetensors")]
    drawn = [{path.relative_to(run.results) for path in run.results.rglob("*.png")} for run in (cluster, here)]
    assert drawn[0] == drawn[1] != set()


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_only_jobs_that_compute_are_given_to_slurm(study, runs):
    _, _, (_, shown) = runs[study]
    given = set(re.findall(r"/slurm_logs/rule_(\w+)/", shown))
    assert {"structures", "images", "training"} <= given <= ON_NODES
