"""A tiny study run by the real workflow, once for all tests; each test changes a copy of its own. Plugin of pytest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "scripts", "captions", "profiles", "envs", "config")

TINY = """
seed: 5
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 8
    shard_size: 4
    field_of_view: 25.6
    particles: {material: Au, radius: {uniform: [4, 6]}, planar_defects: {number: {choice: [0, 1]}}}
    substrate: {thickness: {uniform: [4, 6]}}
exit_waves:
  thermal: {structures: gold, kind: plane_wave, sampling: 0.4, frozen_phonons: 2}
images:
  sharp:
    exit_waves: thermal
    kind: hrtem
    per_structure: 2
    pixel_size: 0.8
    size: 32
    defocus: {uniform: [0, 200]}
    dose: {loguniform: [200, 2000]}
  blurred: {like: sharp, focal_spread: 20, focal_nodes: 3}
datasets:
  sharp: {images: sharp, validation: 0.25, test: 0.25}
  blurred: {like: sharp, images: blurred}
models:
  small: {kind: segmentation, encoder_depth: 3, epochs: 1, batch_size: 4}
trainings:
  sharp: {datasets: sharp, model: small, seeds: 2, device: cpu, precision: "32"}
  blurred: {like: sharp, datasets: blurred, seeds: 1}
benchmarks:
  held_out: {kind: simulated, datasets: [sharp], trainings: [sharp], bootstrap: 100}
  micrographs: {kind: micrographs, path: micrographs, bootstrap: 100}
"""


class Workflow:
    """The workflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"

    @classmethod
    def new(cls, folder: Path) -> Workflow:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = REPOSITORY / part
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
        (folder / "resources").symlink_to(REPOSITORY / "resources")
        made = cls(folder)
        made.write()
        write_micrographs(folder / "micrographs")
        return made

    def write(self, name: str = "tiny.yaml", **changes: Any) -> None:
        """Write the tiny study, dotted keys changed (``__`` for the dot)."""
        study = yaml.safe_load(TINY)
        for key, value in changes.items():
            *path, last = key.split("__")
            block = study
            for part in path:
                block = block.setdefault(part, {})
            block[last] = value
        (self.folder / name).write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")

    def command(self, *arguments: str, study: str | None = "tiny.yaml") -> list[str]:
        config = ["--configfile", study] if study else []
        return [sys.executable, "-m", "snakemake", "--nocolor", *config, *arguments]

    def snakemake(self, *arguments: str, study: str | None = "tiny.yaml") -> subprocess.CompletedProcess[str]:
        return self.call(self.command(*arguments, study=study))

    def make_run(self, *arguments: str, study: str | None = "tiny.yaml") -> subprocess.CompletedProcess[str]:
        """Snakemake as ``make run`` calls it."""
        return self.call(self.as_made(*arguments, study=study))

    def as_made(self, *arguments: str, study: str | None = "tiny.yaml") -> list[str]:
        """The command with which ``make run`` calls Snakemake."""
        return [sys.executable, "-m", "exitwave.jobs.coordinator", *self.command(*arguments, study=study)]

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=1800)

    def planned(self, *arguments: str, study: str | None = "tiny.yaml") -> dict[str, int]:
        """Rules that a dry run plans, with the number of their jobs."""
        done = self.snakemake("-n", *arguments, study=study)
        assert done.returncode == 0, done.stdout + done.stderr
        text = done.stdout + done.stderr
        if "Nothing to be done" in text:
            return {}
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal +\d+", text, re.DOTALL)
        assert table, text
        rows = (line.split() for line in table.group(1).splitlines())
        return {rule: int(count) for rule, count in rows if rule != "all"}

    def files(self, pattern: str) -> dict[str, str]:
        """Digest of every file that matches, by its path below ``results``."""
        return {
            str(path.relative_to(self.results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.results.glob(pattern))
        }

    def one(self, pattern: str) -> Path:
        return sorted(self.results.glob(pattern))[0]


def write_micrographs(folder: Path) -> None:
    """Two pictures of a bright disc with their masks."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    lines = ["image,mask,pixel_size"]
    for number in range(2):
        mask = np.hypot(y - 24, x - 20 - 4 * number) < 10
        Image.fromarray(rng.poisson(100 - 40 * mask).astype(np.uint8)).save(folder / f"{number}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{number}_mask.png")
        lines.append(f"{number}.png,{number}_mask.png,0.8")
    (folder / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny study from nothing to the figures of the report; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    # Processes that run tests side by side share it: the first to come makes it, and has all cores for that.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with (folder.parent / ".finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            done = Workflow.new(folder / "study").snakemake("--cores", "2")
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "whole").touch()
    return Workflow(folder / "study")


@pytest.fixture(scope="session")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The study of crystal types at scale laptop, from nothing to the figures of the report; not to be changed."""
    workflow = Workflow.new(tmp_path_factory.mktemp("crystals") / "study")
    study = "config/studies/crystal_types.yaml"
    done = workflow.snakemake("--cores", "2", "--config", "scale=laptop", study=study)
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow


@pytest.fixture
def workflow(finished: Workflow, tmp_path: Path) -> Iterator[Workflow]:
    """A copy of the finished study, with the times of its files; a hundred megabytes, so not kept."""
    shutil.copytree(finished.folder, tmp_path / "study", symlinks=True)
    yield Workflow(tmp_path / "study")
    shutil.rmtree(tmp_path / "study")


@pytest.fixture
def empty(tmp_path: Path) -> Workflow:
    """The workflow with the tiny study, of which nothing has been run."""
    return Workflow.new(tmp_path / "study")


@pytest.fixture(scope="session")
def unrun(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """As ``empty``, shared by tests that run no job."""
    return Workflow.new(tmp_path_factory.mktemp("unrun") / "study")
