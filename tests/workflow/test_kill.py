"""Killed in the middle of a shard, and run again."""

import os
import signal
import subprocess

SIMULATED = ("structures/*/*", "exit_waves/*/*", "images/*/*")
KILL = """
import os, signal, zipfile
written = zipfile.ZipFile.writestr
def writestr(archive, info, content):
    if "exit_waves" in archive.filename and info.filename.startswith("whole/c/2"):
        archive.fp.write(content[:100])
        archive.fp.flush()
        os.killpg(0, signal.SIGKILL)
    written(archive, info, content)
zipfile.ZipFile.writestr = writestr
"""
"""Run by every interpreter at its start. The first job of exit waves that has half of its shard on the disk takes the
whole run down with it: the other job, still simulating, and Snakemake."""


def test_after_sigkill_in_the_middle_of_a_shard_the_rerun_is_bit_identical(finished, empty):
    hook = empty.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(KILL, encoding="utf-8")
    paths = [str(hook), *filter(None, [os.environ.get("PYTHONPATH")])]
    killed = subprocess.Popen(
        empty.command("--cores", "2", "simulate"),
        cwd=empty.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert killed.wait(timeout=300) == -signal.SIGKILL
    assert list(empty.results.glob("exit_waves/*/.shard-*.part"))
    assert len(list(empty.results.glob("exit_waves/*/*.zarr.zip"))) < 2
    structures = empty.files("structures/*/*.zarr.zip")
    assert structures

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
