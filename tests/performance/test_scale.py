"""Scale: what Snakemake, tables and the start of jobs cost, up to 10^5 structures and 10^6 images.

Processor time and peak memory of a process of its own for each step, since its memory must not be that of another. Rows
are those of real images of the demo, repeated with identities of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from exitwave.data import shards
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.jobs import simulate
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.member import Study
from exitwave.study.plan import SIMULATION, sources_of
from exitwave.study.sharding import shardings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IMAGES, OF_A_STRUCTURE, OF_A_SHARD = 10**6, 3, 256
AddRow = Callable[[str, tuple[str, ...], tuple[str, ...]], None]
PROCESS = ("step", "processor time [s]", "by the clock [s]", "memory [GB]", "goal")
SHARE = (
    "block",
    "one job: start [s]",
    "compute [s]",
    "reading and writing [s]",
    "jobs",
    "start",
    "reading and writing",
)
JOB = "import snakemake.iocontainers, snakemake.logging, exitwave.jobs.simulate"
"""What the process of a job imports before it knows what it is to make."""


def demo(count: int, size: int | None = None) -> dict[str, Any]:
    """The demo with so many structures, in shards of the proposed size if none is given."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    raw["structures"]["au_on_carbon"] |= {"count": count, "shard_size": size or 1}
    if size is None:
        (one,) = shardings(study_from(raw, "demo.yaml", ROOT))
        raw["structures"]["au_on_carbon"]["shard_size"] = one.proposed
    return raw


def cost(command: list[str], folder: Path) -> tuple[float, float, float, str]:
    """Processor time [s], time by the clock [s] and peak memory [GB] of a process, and what it says."""
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    assert process.returncode == 0, text
    return used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss / 1e6, text


def told(step: str, measured: tuple[float, float, float, str], goal: str) -> tuple[str, ...]:
    processor, clock, memory, _ = measured
    return step, f"{processor:.1f}", f"{clock:.1f}", f"{memory:.2f}", goal


@pytest.mark.parametrize(("count", "goal"), [(10**3, "5 s"), (10**4, "10 s"), (10**5, "60 s")])
def test_plan_of_a_study(count: int, goal: str, tmp_path: Path, table: AddRow) -> None:
    """A dry run where nothing is there yet, and a run where everything is."""
    for part in ("Snakefile", "rules", "scripts", "captions", "profiles", "envs", "resources", "config"):
        (tmp_path / part).symlink_to(ROOT / part)
    raw = demo(count)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    snakemake = [sys.executable, "-m", "snakemake", "--nocolor", "--configfile", "study.yaml"]
    planned = cost([*snakemake, "-n"], tmp_path)
    total = next(line.split()[1] for line in planned[3].splitlines() if line.startswith("total"))
    size = raw["structures"]["au_on_carbon"]["shard_size"]
    name = f"10^{len(str(count)) - 1} structures, {size} in a shard, {total} jobs"
    table("scale", PROCESS, told(f"{name}: dry run", planned, goal))
    listed = cost([*snakemake, "--summary"], tmp_path)[3].splitlines()
    for line in listed[listed.index(next(line for line in listed if line.startswith("output_file"))) + 1 :]:
        path = tmp_path / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # With the records that a run leaves, of which the next one looks through the params.
    cost([*snakemake, "--touch", "--forceall", "--quiet", "all", "--cores", "1"], tmp_path)
    again = cost([*snakemake, "--cores", "1"], tmp_path)
    assert "Nothing to be done" in again[3]
    table("scale", PROCESS, told(f"{name}: nothing to do", again, goal))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """A shard of a few structures of the demo in each block of the simulation."""
    folder, study = tmp_path_factory.mktemp("made"), study_from(demo(16, 16), "demo.yaml", ROOT)
    for stage in SIMULATION:
        for member in study.stage(stage):
            sources = {name: _shard(folder, source) for name, source in sources_of(member).items()}
            simulate.make_shard(Description.parse(describe(member)), range(16), sources, _shard(folder, member))
    return folder, study


def _shard(folder: Path, member: Any) -> Path:
    return folder / member.folder / "shard-000000-000016.zarr.zip"


@pytest.fixture(scope="module")
def million(made: tuple[Path, Study], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of shards with a million rows, like those of the images of the demo; half a gigabyte."""
    folder, (where, study) = tmp_path_factory.mktemp("million"), made
    images = study.members["images"]["realistic"]
    rows = read_table(table_path(_shard(where, images)))
    rng, together = np.random.default_rng(0), OF_A_SHARD * OF_A_STRUCTURE
    drawn = [name for name in rows if rows[name].dtype == float and rows[name].nunique() > 8]
    for start in range(0, IMAGES, together):
        number = np.arange(start, min(start + together, IMAGES))
        item, draw = number // OF_A_STRUCTURE, number % OF_A_STRUCTURE
        part = rows.iloc[number % len(rows)].reset_index(drop=True)
        part[drawn] *= rng.uniform(0.95, 1.05, (len(part), len(drawn)))
        structure = [f"{images.origin().hash}-{i:06d}" for i in item]
        own = {"item": item, "draw": draw, "structure_id": structure, "group": structure}
        own["image_id"] = [f"{images.hash}-{i:06d}-{d:03d}" for i, d in zip(item, draw, strict=True)]
        write_table(
            folder / f"shard-{item[0]:06d}-{item[-1] + 1:06d}.parquet",
            part.assign(**own, split_position=(item * 0.6180339887) % 1),
        )
    return folder


DRAW = """
import json, sys
from pathlib import Path
from exitwave.config.datasets import Dataset
from exitwave.data import fingerprint
from exitwave.jobs.learn import make_dataset
from exitwave.study.description import Description
if sys.argv[1] == "draw":
    import exitwave.jobs.learn as learn
    learn.write_rows = learn.StoredTable = lambda *given: None
    learn.fingerprint = lambda table: {"images": {}, "structures": {}, "warnings": []}
fingerprint._of_images = lambda sample: {"images": len(sample)}  # there are no images behind the rows
block = Dataset(images="realistic", size=None if sys.argv[2] == "all" else int(sys.argv[2]), validation=0.15, test=0.1)
shards = [str(path).replace(".parquet", ".zarr.zip") for path in sorted(Path().glob("shard-*.parquet"))]
described = Description("datasets", "d", "0badcafe", 7, block)
make_dataset(described, {"realistic": shards}, Path("m.parquet"), Path("f.json"))
"""
CATALOG = """
from pathlib import Path
from exitwave.jobs.learn import make_catalog
shards = [str(path).replace(".parquet", ".zarr.zip") for path in sorted(Path().glob("shard-*.parquet"))]
make_catalog(shards, Path("catalog/catalog.parquet"))
"""
HISTOGRAMS = """
from pathlib import Path
from exitwave.report import nanoparticles, waves
from exitwave.report.parameters import parameter_histograms
parameter_histograms(sorted(Path().glob("shard-*.parquet")), "parameters.png", [nanoparticles.TOLD, waves.TOLD])
"""


def test_a_million_images(million: Path, table: AddRow) -> None:
    def run(step: str, goal: str, *arguments: str) -> str:
        measured = cost([sys.executable, *arguments], million)
        table("scale", PROCESS, told(step, measured, goal))
        return measured[3]

    run("10^6 images: catalog written", "", "-c", CATALOG)
    command = ("-c", "from exitwave.cli import main; main()", "catalog", "catalog/catalog.parquet")
    found = run("10^6 images: catalog queried", "2 s", *command, "dose < 500 and material == 'Au'")
    assert f"of {IMAGES} images" in found
    run("10^6 images: 400 drawn", "5 s, 1 GB", "-c", DRAW, "draw", "400")
    run("10^6 images: all drawn", "5 s, 1 GB", "-c", DRAW, "draw", "all")
    run("10^6 images: manifest of all drawn, written, described", "1 GB", "-c", DRAW, "write", "all")
    assert len(pd.read_parquet(million / "m.parquet", columns=["image_id"])) == IMAGES
    run("10^6 images: histograms of all parameters", "", "-c", HISTOGRAMS)


def test_share_of_what_is_no_computing(
    made: tuple[Path, Study], tmp_path: Path, table: AddRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1,000 structures of the demo: what starts a job, and what reads and writes shards, beside what computes."""
    folder, study = made
    (one,) = shardings(study_from(demo(1000), "demo.yaml", ROOT))
    spent = 0.0

    def timed(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal spent
            start = time.process_time()
            try:
                return original(*arguments, **options)
            finally:
                spent += time.process_time() - start

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((shards.Shard, "read"), (shards.ShardWriter, "add"), (shards.ShardWriter, "finish")):
        timed(owner, name)
    for name in ("open_shard", "read_table"):
        timed(simulate, name)
    imports = min(cost([sys.executable, "-c", JOB], tmp_path)[0] for _ in range(3))
    sums = np.zeros(3)
    for stage in SIMULATION:
        for member in study.stage(stage):
            sources = {name: _shard(folder, source) for name, source in sources_of(member).items()}
            arguments = Description.parse(describe(member)), range(16), sources, tmp_path / "shard-0-16.zarr.zip"
            # The first call of a process, in one of its own, has the kernels to load.
            first = _first_call(folder, member, tmp_path)
            spent, start = 0.0, time.process_time()
            simulate.make_shard(*arguments)
            whole = time.process_time() - start
            starting = imports + max(0.0, first - whole)
            jobs, scale = one.jobs(one.size) // one.stages, one.count / 16
            row = starting * jobs, (whole - spent) * scale, spent * scale
            sums += row
            shares = (f"{part / sum(row):.1%}" for part in (row[0], row[2]))
            numbers = (starting, (whole - spent) * one.size / 16, spent * one.size / 16)
            name = f"{stage}.{member.name}"
            table(
                "overhead, simulation of 1,000 structures",
                SHARE,
                (name, *(f"{n:.2g}" for n in numbers), str(jobs), *shares),
            )
    total = sums.sum()
    row = ("all", "", "", "", str(one.jobs(one.size)), f"{sums[0] / total:.1%}", f"{sums[2] / total:.1%}")
    table("overhead, simulation of 1,000 structures", SHARE, row)


def _first_call(folder: Path, member: Any, output: Path) -> float:
    """Processor time of the first call of a job's function in a new process [s]."""
    sources = {name: str(_shard(folder, source)) for name, source in sources_of(member).items()}
    code = (
        "import time\nfrom pathlib import Path\nfrom exitwave.jobs.simulate import make_shard\n"
        "from exitwave.study.description import Description\nstart = time.process_time()\n"
        f"make_shard(Description.parse({describe(member)!r}), range(16), "
        f"{{k: Path(v) for k, v in {sources!r}.items()}}, Path('shard-1-16.zarr.zip'))\n"
        "print('took', time.process_time() - start)"
    )
    said = cost([sys.executable, "-c", code], output)[3]
    return float(said.rpartition("took")[2])
