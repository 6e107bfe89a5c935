"""The jobs of a study, each called as its script calls it, with what it reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from exitwave.data.tables import table_path
from exitwave.jobs.evaluate import score_baselines, score_network, summarise_benchmark
from exitwave.jobs.learn import make_catalog, make_dataset, train_network
from exitwave.jobs.simulate import make_shard
from exitwave.report.figure import kind_of
from exitwave.report.figures import draw_figure, figures
from exitwave.study import artifacts
from exitwave.study.description import Description, describe
from exitwave.study.member import Member, Study
from exitwave.study.plan import SIMULATION, aim_of_benchmark, shard_ranges, sources_of
from exitwave.training.kinds import model_from
from exitwave.training.streaming import ImagesSource

HOW = {"device": "cpu", "precision": "32", "threads": 1}


@dataclass(frozen=True)
class Job:
    """A job of a study: paths are below the folder of its run."""

    cell: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[], None]


def jobs_of(study: Study, name: str, every_block: bool = False) -> list[Job]:
    """The first job of every kind of every stage, or of every block, its figures, and the catalog of a study."""
    jobs: dict[str, Job] = {}
    for stage in SIMULATION:
        for member in study.stage(stage):
            which = member.name if every_block else kind_of(member)
            jobs.setdefault(f"{stage}/{which}", _simulation(member))
    for member in study.stage("datasets"):
        jobs.setdefault("datasets", _dataset(member))
    for member in study.stage("trainings"):
        jobs.setdefault(f"trainings/{kind_of(member)}", _training(member))
    for member in study.stage("benchmarks"):
        which = member.name if every_block else kind_of(member)
        for job in _benchmark(member, name):
            jobs.setdefault(f"benchmarks/{which}/{job.cell}", job)
    for path, figure in figures(study).items():
        cell = f"figures/{figure.member.stage}/{kind_of(figure.member)}/{figure.figure.file}"
        if cell not in jobs:
            jobs[cell] = _figure(cell, figure.about(), figure.inputs(name), f"results/report/{name}/{path}")
    shards = [path for member in study.stage("images") for path in artifacts.shards(member)]
    table = f"results/report/{name}/catalog.parquet"
    if shards:
        jobs["catalog"] = Job("catalog", _with_tables(*shards), (table,), lambda: make_catalog(shards, Path(table)))
    return [Job(cell, job.reads, job.writes, job.run) for cell, job in jobs.items()]


def _described(member: Member) -> Description:
    description = Description.parse(describe(member))
    return description.with_values(**HOW) if member.stage == "trainings" else description


def _with_tables(*shards: str) -> tuple[str, ...]:
    return tuple(path for shard in shards for path in (shard, str(table_path(shard))))


def _simulation(member: Member) -> Job:
    start, stop = shard_ranges(member)[0]
    sources = {stage: artifacts.shard(source, start, stop) for stage, source in sources_of(member).items()}
    output = artifacts.shard(member, start, stop)

    def run() -> None:
        made_of = {stage: Path(path) for stage, path in sources.items()}
        make_shard(_described(member), range(start, stop), made_of, Path(output), "cpu")

    return Job("", _with_tables(*sources.values()), _with_tables(output), run)


def _dataset(member: Member) -> Job:
    shards, manifest = artifacts.shards_of_dataset(member), Path(artifacts.manifest(member))
    fingerprint = manifest.with_name("fingerprint.json")
    return Job(
        "",
        _with_tables(*chain(*shards.values())),
        (str(manifest), str(fingerprint)),
        lambda: make_dataset(_described(member), shards, manifest, fingerprint),
    )


def _training(member: Member) -> Job:
    dataset = member.source("datasets")
    manifest, weights = Path(artifacts.manifest(dataset)), Path(artifacts.weights(member)[0])
    streams = {}
    for identity, stream in artifacts.streams(member).items():
        images = Description.parse(stream["images"])
        streams[identity] = ImagesSource(images.block, images.seed, {s: Path(p) for s, p in stream["folders"]})
    shards = [*chain(*artifacts.shards_of_dataset(dataset).values()), *artifacts.streamed_shards(member)]
    files = ("weights.safetensors", "network.json", "history.csv")

    def run() -> None:
        model, data = _described(member.source("model")), _described(dataset)
        train_network(_described(member), data, model, manifest, 0, weights.parent, streams)

    return Job(
        "",
        (str(manifest), str(manifest.with_name("fingerprint.json")), *_with_tables(*shards)),
        tuple(str(weights.with_name(file)) for file in files),
        run,
    )


def _benchmark(member: Member, name: str) -> list[Job]:
    description, model = _described(member), model_from(aim_of_benchmark(member))
    manifests = [Path(path) for path in artifacts.manifests_of_benchmark(member)]
    read = (*map(str, manifests), *_with_tables(*artifacts.shards_of_benchmark(member)))
    folder = Path("results", member.folder)
    scores, skipped, task = folder / "baselines.parquet", folder / "skipped.csv", folder / "task.json"
    summary = Path(artifacts.summary(member, name))
    predicted = [Path(path) for path in artifacts.predictions_of_benchmark(member)]
    tables = [summary, *(summary.with_name(f"{table}.parquet") for table in ("per_image", "by", "differences"))]
    networks = []
    for training in member.upstream["trainings"][:1]:  # a benchmark may have none
        weights, shard = Path(artifacts.weights(training)[0]), Path(artifacts.predictions(member, training)[0])
        networks.append(
            Job(
                "network",
                (*read, str(weights), str(weights.with_name("network.json"))),
                _with_tables(str(shard)),
                partial(score_network, description, model, manifests, weights, training.name, 0, 1, shard),
            )
        )
    return [
        *networks,
        Job(
            "baselines",
            read,
            (str(scores), str(skipped), str(task)),
            lambda: score_baselines(description, model, manifests, scores, skipped, task),
        ),
        Job(
            "summary",
            (str(scores), str(task), *_with_tables(*map(str, predicted))),
            tuple(map(str, tables)),
            lambda: summarise_benchmark(description, task, scores, predicted, *tables),
        ),
    ]


def _figure(cell: str, about: str, reads: list[str], path: str) -> Job:
    files = [Path(file) for file in reads]
    shards = [file for file in reads if file.endswith(".zarr.zip")]
    read = dict.fromkeys([*reads, *_with_tables(*shards)])
    return Job(cell, tuple(read), (path,), lambda: draw_figure(about, files, Path(path)))
