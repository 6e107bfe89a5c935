"""What single jobs ask a real SLURM for, and what is said of those that fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.slurm
DEVICES = """
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 1
    field_of_view: 25.6
    particles: {radius: 5}
    substrate: {thickness: 5}
exit_waves:
  any: {structures: gold, kind: plane_wave, sampling: 0.4}
  core: {like: any, device: cpu}
  card: {like: any, device: cuda}
"""


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str | None]]:
    """Exit waves that ask for three devices, on a cluster that has no CUDA: what was said, and the GPUs of each job."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "devices.yaml").write_text(DEVICES, encoding="utf-8")
    run = Run(folder / "cluster", folder / "devices.yaml")
    status, shown = run.on_the_cluster("--resources", "gpu=2", "--retries", "0", "--until", "exit_waves")
    assert status != 0, shown
    return shown, run.gpus()


def test_the_log_of_a_job_that_fails_is_named_and_shown(devices):
    shown, _ = devices
    assert "Error in rule exit_waves" in shown
    assert "log: results/logs/exit_waves/card-" in shown
    assert "error: exit_waves.card: device is cuda, but PyTorch finds no CUDA device" in shown
    assert "Traceback" not in shown


def test_a_job_asks_for_a_gpu_by_the_device_of_its_block(devices):
    _, asked = devices
    assert asked == {"gold": None, "any": "gres:gpu:1", "core": None, "card": "gres:gpu:1"}


def test_a_job_that_is_killed_for_memory_says_so_and_succeeds_with_more(empty, waves):
    less = "exit_waves:mem_mb=400 if attempt == 1 else 2000"
    status, shown = empty.on_the_cluster("--set-resources", less, "--until", "exit_waves")
    assert status == 0, shown
    assert "SLURM status is: 'FAILED'" in shown
    named = [Path(name) for name in re.findall(r"log: results/logs/\S+, (\S+/slurm_logs/\S+\.log) ", shown)]
    assert any("xceeded" in log.read_text() and "memory limit" in log.read_text() for log in named)
    assert "Trying to restart job" in shown
    assert empty.files() == waves.files()
    assert empty.gpus() == {"gold": None, "still": None}, "auto asks for no GPU where none are counted"
