"""What a user sees when an exit-wave job is killed, its disk is full, or what it reads is damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ExitwaveError
from exitwave.items import Item
from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description

JOB = """
import os, resource, signal, sys, zipfile
from pathlib import Path
from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description
description, structures, output, log = sys.argv[1:]
{fault}
with job("exit_waves", log):
    make_shard(Description.parse(description), range(6), {"structures": Path(structures)}, Path(output))
"""
KILLED_IN_THE_SHARD = """
written, names = zipfile.ZipFile.writestr, []
def writestr(archive, info, content):
    names.append(info.filename)
    if len(names) == 3:
        archive.fp.write(content[:100])
        archive.fp.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    written(archive, info, content)
zipfile.ZipFile.writestr = writestr
"""
KILLED_BEFORE_RENAMING = """
renamed = Path.replace
def replace(path, target):
    if str(target).endswith("{suffix}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return renamed(path, target)
Path.replace = replace
"""


@pytest.fixture
def place(jobs, simulated, tmp_path):
    """A copy of two structures to make exit waves of, and the undisturbed exit waves."""
    folder = tmp_path / "work"
    return SimpleNamespace(
        description=json.dumps(jobs.describe("exit_waves").plain()),
        structures=simulated.structures,
        expected=simulated.exit_waves,
        output=folder / simulated.exit_waves.name,
        log=tmp_path / "job.log",
    )


def run(place: SimpleNamespace, fault: str = "", wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The job in a process of its own."""
    arguments = [place.description, *map(str, (place.structures, place.output, place.log))]
    command = [*wrapper, sys.executable, "-c", JOB.replace("{fault}", fault), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def make(place: SimpleNamespace, structures: Path) -> None:
    """The job in this process."""
    make_shard(Description.parse(place.description), range(6), {"structures": structures}, place.output)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*")]


def rerun_is_as_undisturbed(place: SimpleNamespace) -> None:
    make(place, place.structures)
    assert place.output.read_bytes() == place.expected.read_bytes()
    assert table_path(place.output).read_bytes() == table_path(place.expected).read_bytes()
    assert not leftovers(place.output.parent)


@pytest.mark.parametrize(
    ("moment", "left", "there"),
    [
        (KILLED_IN_THE_SHARD, [".zarr.zip"], []),
        (KILLED_BEFORE_RENAMING.replace("{suffix}", ".parquet"), [".parquet", ".zarr.zip"], []),
        (KILLED_BEFORE_RENAMING.replace("{suffix}", ".zarr.zip"), [".zarr.zip"], [".parquet"]),
    ],
    ids=["in_the_shard", "table_written", "shard_written"],
)
def test_after_sigkill_while_a_shard_is_written_the_rerun_is_bit_identical(place, moment, left, there):
    assert run(place, moment).returncode == -signal.SIGKILL
    folder = place.output.parent
    stem = place.output.name.removesuffix(".zarr.zip")
    found = sorted(leftovers(folder))
    assert len(found) == len(left)
    assert all(name.startswith(f".{stem}{suffix}.") for name, suffix in zip(found, left, strict=True))
    assert [path.name.removeprefix(stem) for path in folder.glob("s*")] == there
    rerun_is_as_undisturbed(place)


def test_a_file_that_cannot_grow_ends_the_job_with_one_sentence_and_a_rerun_with_room_succeeds(place):
    limit = place.expected.stat().st_size - 100
    done = run(place, f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")
    sentence = f"error: {place.output}: cannot be written (File too large): "
    assert_one_sentence(done, place.log, sentence)
    assert not place.output.exists()
    assert not leftovers(place.output.parent)
    rerun_is_as_undisturbed(place)


def test_a_full_disk_ends_the_job_with_one_sentence(place, tmp_path):
    """A disk of memory, in a name space of its own, too small for the shard and its log."""
    disk = tmp_path / "disk"
    disk.mkdir()
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if (
        not shutil.which("unshare")
        or subprocess.run([*alone, "mount", "-t", "tmpfs", "none", disk], check=False).returncode
    ):
        pytest.skip("this system lets no user mount a file system")
    room = place.expected.stat().st_size // 2048
    script = f'mount -t tmpfs -o size={room}k none {disk} && "$@"; status=$?; ls -A {disk}; exit $status'
    place.output, place.log = disk / place.output.name, disk / "job.log"
    done = run(place, wrapper=(*alone, "sh", "-c", script, "sh"))
    assert done.returncode == 1
    assert f"error: {place.output}: cannot be written (No space left on device): " in done.stderr
    assert "make room there" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["job.log"]


def assert_one_sentence(done: subprocess.CompletedProcess[str], log: Path, sentence: str) -> None:
    """Status 1, and the sentence as the last line of both terminal and log, with no traceback above it."""
    assert done.returncode == 1
    for text in (done.stderr, log.read_text(encoding="utf-8")):
        assert sentence in text.splitlines()[-1], text
        assert "Traceback" not in text


@pytest.fixture
def structures(place, tmp_path):
    """A copy of the structures, to be damaged."""
    path = tmp_path / "structures" / "shard-0-6.zarr.zip"
    path.parent.mkdir()
    shutil.copy(place.structures, path)
    shutil.copy(table_path(place.structures), table_path(path))
    return path


def flipped(path: Path, member: str) -> None:
    """Change one byte in the middle of a member's data."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        with archive.open(member) as stream:
            start = stream._orig_compress_start  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    content[start + info.file_size // 2] ^= 0xFF
    path.write_bytes(content)


def rewritten(path: Path, item: int, name: str, change) -> None:
    """Write the shard once more with one array changed."""
    shard, table = open_shard(path), read_table(table_path(path))
    items = [dict(shard.item(place)) for place in range(len(table))]
    items[item][name] = replace(items[item][name], values=change(items[item][name].values))
    with shard_writer(path, len(table), shard.attributes) as writer:
        for arrays, row in zip(items, table.to_dict("records"), strict=True):
            writer.add(Item(arrays, row))


def with_nan(positions):
    positions = positions.copy()
    positions[7, 2] = np.nan
    return positions


DAMAGES = {
    "byte_of_an_item": (
        lambda path, other: flipped(path, "positions/3/c/0/0"),
        r"shard-0-6\.zarr\.zip: array 'positions', item 3 is damaged .*delete the file",
    ),
    "byte_of_the_metadata_of_an_item": (
        lambda path, other: flipped(path, "numbers/3/zarr.json"),
        r"shard-0-6\.zarr\.zip: array 'numbers', item 3 is damaged .*delete the file",
    ),
    "truncated": (
        lambda path, other: path.write_bytes(path.read_bytes()[:-1000]),
        r"shard-0-6\.zarr\.zip: is damaged .*delete the file",
    ),
    "empty": (lambda path, other: path.write_bytes(b""), r"shard-0-6\.zarr\.zip: is damaged .*delete the file"),
    "missing": (lambda path, other: path.unlink(), r"shard-0-6\.zarr\.zip: is missing; run the workflow"),
    "table_missing": (lambda path, other: table_path(path).unlink(), r"shard-0-6\.parquet: is missing; delete"),
    "table_truncated": (
        lambda path, other: table_path(path).write_bytes(table_path(path).read_bytes()[:-1000]),
        r"shard-0-6\.parquet: is damaged, or is not the table .*delete both",
    ),
    "table_of_another_shard": (
        lambda path, other: shutil.copy(table_path(other), table_path(path)),
        r"shard-0-6\.parquet: is damaged, or is not the table .*delete both",
    ),
    "position_not_a_number": (
        lambda path, other: rewritten(path, 3, "positions", with_nan),
        r"(item 3|-000003): .*atom 7 .*nan.*; allowed: finite",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_structures_stop_the_job_with_one_sentence_that_names_them(place, structures, damage):
    harm, sentence = DAMAGES[damage]
    harm(structures, place.expected)
    with pytest.raises(ExitwaveError, match=sentence) as caught:
        make(place, structures)
    assert "\n" not in str(caught.value)
    assert not list(place.output.parent.glob("*"))


def test_the_job_of_a_damaged_shard_ends_with_status_1_and_its_sentence(place, structures):
    flipped(structures, "positions/3/c/0/0")
    place.structures = structures
    assert_one_sentence(run(place), place.log, f"{structures}: array 'positions', item 3 is damaged")


def test_a_bug_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), job("bug", tmp_path / "job.log"):
        raise ZeroDivisionError
