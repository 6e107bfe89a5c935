"""Runs on a real SLURM that are cancelled, or whose Snakemake is killed, and go on."""

from __future__ import annotations

import signal

import pytest

from .conftest import PROFILE, until

pytestmark = pytest.mark.slurm
WAVES = ("--until", "exit_waves")


def test_a_cancelled_run_cancels_its_jobs_and_goes_on(empty, waves):
    process = empty.start(*PROFILE, *WAVES)
    until(empty.is_running)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode != 0, shown
    until(lambda: not empty.jobs())
    assert not list((empty.folder / ".snakemake" / "locks").glob("*"))
    status, shown = empty.on_the_cluster(*WAVES)
    assert status == 0, shown
    assert empty.files() == waves.files()


def test_after_sigkill_of_snakemake_the_same_command_goes_on_while_its_jobs_still_run(empty, waves):
    process = empty.start(*PROFILE, *WAVES)
    until(empty.is_running)
    process.kill()
    process.communicate()
    assert empty.jobs(), "jobs in SLURM live on without Snakemake"
    status, shown = empty.on_the_cluster(*WAVES)
    assert status == 0, shown
    assert "was killed: its lock is taken away" in shown
    until(lambda: not empty.jobs())
    assert empty.files() == waves.files()
