"""The workflow on a SLURM that ``start-cluster`` has brought up."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = Path("/etc/slurm/slurm.conf")
PROFILE = ["--profile", str(REPOSITORY / "profiles" / "slurm")]
OTHER_EACH_TIME = {".csv", ".tsv", ".html", ".png", ".log", ".lock"}
"""Files with times in them, or made from such files."""


class Run:
    """A study in a folder of its own."""

    def __init__(self, folder: Path, study: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "resources").symlink_to(REPOSITORY / "resources")
        self.folder, self.study, self.results = folder, study, folder / "results"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake as ``make run`` does; all that it says goes to one stream."""
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--nocolor"]
        study = ["--configfile", str(self.study)]
        return subprocess.Popen(
            [sys.executable, "-m", "exitwave.jobs.coordinator", *snakemake, *study, *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Run Snakemake to its end: its status and all that it said."""
        process = self.start(*arguments)
        shown, _ = process.communicate(timeout=1800)
        return process.returncode, shown

    def on_the_cluster(self, *arguments: str) -> tuple[int, str]:
        """As the documentation says it, with the profile of the project as it is."""
        return self.snakemake(*PROFILE, *arguments)

    def finished(self, *arguments: str) -> Run:
        """The study, run on this machine."""
        status, shown = self.snakemake("--cores", "2", *arguments)
        assert status == 0, shown
        return self

    def jobs(self) -> list[str]:
        """Jobs of this folder that wait or run in SLURM, with their states."""
        lines = [line.split(" ", 1) for line in said("squeue", "--noheader", "--format=%Z %A %T")]
        return [rest for folder, rest in lines if folder == str(self.folder)]

    def is_running(self) -> bool:
        """Whether a job of this folder runs in SLURM."""
        return any("RUNNING" in job for job in self.jobs())

    def gpus(self) -> dict[str, str | None]:
        """GPUs that jobs of this folder have asked for, by the name of their block."""
        lines = said("scontrol", "--oneliner", "show", "jobs")
        known = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {
            job["Comment"].split("_wildcards_")[1].split("-")[0]: job.get("TresPerJob")
            for job in known
            if job["WorkDir"] == str(self.folder)
        }

    def files(self) -> dict[str, str]:
        """Digest of every file of the results that is the same in every run, by its path."""
        return {
            str(path.relative_to(self.results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.results.rglob("*"))
            if path.is_file() and path.suffix not in OTHER_EACH_TIME
        }


WAVES = """
seed: 5
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 2
    field_of_view: 25.6
    particles: {radius: {uniform: [4, 6]}}
    substrate: {thickness: 5}
exit_waves:
  still: {structures: gold, kind: plane_wave, sampling: 0.4}
images:
  images: {exit_waves: still, kind: hrtem, pixel_size: 0.8, size: 32, dose: 500}
"""


def said(*command: str) -> list[str]:
    """Lines that a command of SLURM gives."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def until(done: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Only the cluster of ``start-cluster`` is tested on, never a real one."""
    if shutil.which("sbatch") is None:
        pytest.skip("no sbatch: make test-slurm brings up a SLURM")
    if not CONFIGURATION.is_file() or "exitwave/tests/slurm/start-cluster" not in CONFIGURATION.read_text():
        pytest.skip(f"{CONFIGURATION} is not that of tests/slurm/start-cluster: make test-slurm brings it up")


@pytest.fixture(scope="session")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Exit waves of two structures, made on this machine; not to be changed."""
    folder = tmp_path_factory.mktemp("waves")
    (folder / "waves.yaml").write_text(WAVES, encoding="utf-8")
    return Run(folder / "here", folder / "waves.yaml").finished("--until", "exit_waves")


@pytest.fixture
def empty(waves: Run, tmp_path: Path) -> Run:
    """The same study, of which nothing has been made."""
    return Run(tmp_path / "cluster", waves.study)
