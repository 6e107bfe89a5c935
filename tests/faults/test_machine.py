"""A folder that cannot be written to, memory that is short, and clocks that differ."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exitwave.data.shards import table_path

SHORT = """
import resource, sys
from exitwave.jobs.run import job
import numpy, torch
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**26
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
with job("large", sys.argv[1]):
    {statement}
"""


def read_only(folder: Path) -> list[str]:
    """What a command is begun with so that a folder is read-only to it, for root too."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    if not shutil.which("unshare") or subprocess.run([*alone, "sh", "-c", mount], check=False).returncode:
        pytest.skip("this system lets no user mount a file system")
    return [*alone, "sh", "-c", f'{mount} && exec "$@"', "sh"]


def test_results_that_cannot_be_written_to_end_a_run_with_one_sentence(workflow: Any) -> None:
    target = workflow.one("images/sharp-*/shard-000004-000008.zarr.zip")
    name = str(target.relative_to(workflow.folder))
    target.unlink()
    table_path(target).unlink()
    before = workflow.files("**/*.*")
    sentence = "results: cannot be written to (Read-only file system); allowed: a folder that can, or a link to one"
    made = workflow.call([*read_only(workflow.results), *workflow.as_made("--cores", "1", name)])
    assert (made.returncode, made.stderr) == (1, f"error: {sentence}\n")
    plain = workflow.call([*read_only(workflow.results), *workflow.command("--cores", "1", name)])
    assert plain.returncode != 0
    assert sentence in plain.stderr
    assert "Traceback" not in plain.stdout + plain.stderr
    assert workflow.files("**/*.*") == before


def test_a_log_that_cannot_be_written_ends_the_job_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "job.log").mkdir()
    command = [sys.executable, "-c", "from exitwave.jobs.run import job\nwith job('images 0-4', 'job.log'): pass"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "images 0-4: error: job.log: cannot be written (Is a directory); allowed: a folder that can\n"


@pytest.mark.parametrize("statement", ["numpy.ones(2**30)", "torch.ones(2**30)"], ids=["numpy", "torch"])
def test_a_job_without_enough_memory_says_what_helps(tmp_path: Path, statement: str) -> None:
    command = [sys.executable, "-c", SHORT.format(statement=statement), str(tmp_path / "job.log")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1
    for text in (done.stderr, (tmp_path / "job.log").read_text(encoding="utf-8")):
        assert "error: there is not enough memory for this job; run fewer jobs at once (make run CORES=1" in text
        assert "Traceback" not in text


@pytest.mark.slow
def test_a_job_that_the_system_kills_for_memory_is_told_and_made_again(workflow: Any) -> None:
    target = workflow.one("exit_waves/*/shard-000000-000004.zarr.zip")
    before, name = target.read_bytes(), str(target.relative_to(workflow.folder))
    target.unlink()
    hook = workflow.folder / "hook"
    hook.mkdir()
    # What the system's killer does to the largest process, here to a job with half of its shard on the disk.
    (hook / "sitecustomize.py").write_text(
        "import os, signal, zipfile\n"
        "written = zipfile.ZipFile.writestr\n"
        "def writestr(archive, info, content):\n"
        "    if 'exit_waves' in archive.filename and info.filename.startswith('whole/c/2'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    written(archive, info, content)\n"
        "zipfile.ZipFile.writestr = writestr\n"
    )
    paths = os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])])
    killed = workflow.call(["env", f"PYTHONPATH={paths}", *workflow.command("--cores", "1", name)])
    assert killed.returncode != 0
    assert f"{signal.SIGKILL.name}" in killed.stderr
    assert "A job was killed, as the system does where memory is short; run fewer jobs at once" in killed.stderr
    assert not target.exists()
    done = workflow.make_run("--cores", "1", name)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == before
    assert not list(workflow.results.rglob("*.part"))


@pytest.mark.slow
def test_results_from_a_clock_that_is_ahead_or_behind_are_made_again_at_most_once(workflow: Any) -> None:
    structures = workflow.one("structures/*/shard-000000-000004.zarr.zip")
    waves = workflow.one("exit_waves/*/shard-000000-000004.zarr.zip")
    # Of small files Snakemake sees by their checksums that nothing has changed; most shards are large.
    target = (str(waves.relative_to(workflow.folder)), "--max-checksum-file-size", "0")
    before = waves.read_bytes()
    # Made where the clock is an hour ahead: newer than what is made from them, now and for an hour.
    ahead = time.time() + 3600
    for file in (structures, table_path(structures)):
        os.utime(file, (ahead, ahead))
    assert workflow.planned(*target) == {"exit_waves": 1}
    done = workflow.make_run("--cores", "1", *target)
    assert done.returncode == 0, done.stderr
    assert "results: 2 files were dated in the future and are dated now; check the clock" in done.stderr
    assert waves.read_bytes() == before
    assert workflow.planned(*target) == {}
