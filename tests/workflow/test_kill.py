"""Killed in the middle of a shard, and run again."""

import os
import signal
import subprocess
import time

SIMULATED = ("structures/*/*", "exit_waves/*/*", "images/*/*")


def wait_for_the_middle_of_a_shard(running, workflow, limit=300):
    """Until a job of exit waves has done some items of its shard and not all."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        assert running.poll() is None, "the run ended before it could be killed"
        for log in workflow.results.glob("logs/exit_waves/*/*.log"):
            if "exit waves 1 of 4" in log.read_text(encoding="utf-8"):
                return log
        time.sleep(0.01)
    raise AssertionError("no job of exit waves was seen at work")


def test_after_sigkill_in_the_middle_of_a_shard_the_rerun_is_bit_identical(finished, empty):
    running = subprocess.Popen(
        empty.command("--cores", "2", "simulate"),
        cwd=empty.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = wait_for_the_middle_of_a_shard(running, empty)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (empty.results / "exit_waves" / log.parent.name / f"{log.stem}.zarr.zip").exists()
    structures = empty.files("structures/*/*")

    # A killed Snakemake leaves its lock behind: the user is told, and takes it away.
    done = empty.snakemake("--cores", "2", "simulate")
    assert done.returncode != 0
    assert "--unlock" in done.stderr
    assert empty.snakemake("--unlock").returncode == 0

    done = empty.snakemake("--cores", "2", "simulate")
    assert done.returncode == 0, done.stdout + done.stderr
    for pattern in SIMULATED:
        assert empty.files(pattern) == finished.files(pattern)
    assert not list(empty.results.rglob("*.part"))
    assert structures.items() <= empty.files("structures/*/*").items()
    assert empty.planned("simulate") == {}
