"""What a study will make and cost, known before the first job: shards, their sources, memory, time, disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from exitwave.benchmark.kinds import cases_of
from exitwave.benchmark.known_lattices import check_lattice_folder
from exitwave.benchmark.micrographs import check_benchmark_folder
from exitwave.benchmark.scans import open_scan
from exitwave.benchmark.stacked import is_stacked, open_pair
from exitwave.config.benchmarks import (
    Benchmark,
    DatacubeBenchmark,
    LatticeBenchmark,
    MicrographBenchmark,
    SimulatedBenchmark,
    StrainBenchmark,
)
from exitwave.config.datasets import Dataset
from exitwave.config.images import Images
from exitwave.config.models import Classifier, Network
from exitwave.config.trainings import Training
from exitwave.errors import MicrographError, ScanError
from exitwave.images.kinds import simulation_of
from exitwave.items import BYTES_OF_A_ROW
from exitwave.study.member import Member, Study, pool_size
from exitwave.training.costs import OF_A_STEP, WITHOUT_BF16, Work, known_work, work_of
from exitwave.training.task import HELD_BYTES

SIMULATION = ("structures", "exit_waves", "images")
"""Stages whose kinds make items in shards."""
_LONGER = 10.0
"""A job is given so many times the time that is estimated: for slower processors, and the first call of each kernel."""
_MEMORY_OF_SNAKEMAKE = 600
"""Of the two processes of Snakemake that start a job on the node of a cluster [MB]."""
_MEMORY_OF_A_ROW = 0.002
"""Of the tables of images while they are joined, for each image [MB]."""
_LONGER_TRAINING = 5.0
"""A training is given so many times the time that is estimated: for processors that are slower or have no bf16."""
_MOST_OF_A_TRAINING = 720
"""A training is given no more at a time [min]: another attempt goes on from its checkpoint."""

SECONDS_OF_A_JOB = 4.0
"""Time of one core for what a job that trains, scores or draws does at its start and end, whatever its block [s]."""
_SECONDS_OF_A_PIXEL = 1e-7
"""To read an image and make it ready for a network [s]."""
_SECONDS_OF_AN_IMAGE = 0.002
"""To look at an image of a dataset for its fingerprint [s]."""
_SECONDS_TO_MATCH = 0.006
"""To take the fingerprint of an image that may be drawn towards micrographs [s]."""
_SECONDS_OF_A_BASELINE = 2e-6
"""For all baselines, a pixel of the cases [s]."""
_PARAMETERS = 2e7
"""Of networks that cannot be measured."""


def shard_ranges(member: Member) -> list[tuple[int, int]]:
    """Item ranges of the shards of a block of the simulation: [start, stop) for each job."""
    count, size = member.first().count, member.first().shard_size
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def sources_of(member: Member) -> dict[str, Member]:
    """Blocks of earlier stages whose shards a job of the simulation reads, the one whose table goes on first."""
    named = [source for sources in member.upstream.values() for source in sources]
    chain, further = {}, member
    while further.upstream:
        further = further.source(next(iter(further.block.MADE_FROM)))
        chain[further.stage] = further
    needed = simulation_of(member.block).needs(member.block)
    return {**{source.stage: source for source in named}, **{stage: chain[stage] for stage in needed}}


def items_of(member: Member) -> int:
    """Items that a block of the simulation gives."""
    return pool_size(member) if member.stage == "images" else member.first().count


def memory_of_shard(member: Member) -> int:
    """Memory of a job of the simulation [MB], however many items it makes."""
    return _MEMORY_OF_SNAKEMAKE + math.ceil(member.cost.memory)


def runtime_of_shard(member: Member, structures: int) -> int:
    """Time that a job of the simulation is given [min]."""
    items = structures * (member.of(Images).per_structure if member.stage == "images" else 1)
    return math.ceil(10 + _LONGER * items * member.cost.seconds / 60)


def memory_of_training(training: Member) -> int:
    """Memory of a training [MB]: inputs and targets, as far as they are held; what is streamed, and two more epochs.

    Each of several devices has a process that holds all of that.
    """
    dataset = training.source("datasets")
    families = dataset.upstream["images"]
    images = dataset.of(Dataset).size or sum(map(pool_size, families))
    # Input and target of a pixel in single precision, at the most; targets may be finer.
    finer = getattr(training.source("model").block, "factor", 1)
    held = 1e-6 * min(4 * (1 + finer**2) * images * families[0].of(Images).size ** 2, HELD_BYTES)
    streamed = 2200 + 2 * held if training.of(Training).streaming else 0
    return training.of(Training).devices * int(4000 + held + streamed)


def runtime_of_training(training: Member) -> int:
    """Time that an attempt of a training is given [min]: for one core, which is more than a GPU takes."""
    work = known_work(training.source("model").of(Network))
    if work is None:
        return _MOST_OF_A_TRAINING
    return min(_MOST_OF_A_TRAINING, math.ceil(10 + _LONGER_TRAINING * _seconds_on_a_core(training, work) / 60))


def memory_of_table(images: int) -> int:
    """Memory of a job that joins the tables of so many images [MB]."""
    return math.ceil(2000 + _MEMORY_OF_A_ROW * images)


def runtime_of_table(images: int) -> int:
    """Time that a job is given that joins the tables of so many images, and looks at each image [min]."""
    return math.ceil(10 + _LONGER * _SECONDS_OF_AN_IMAGE * images / 60)


def runtime_of_dataset(dataset: Member) -> int:
    """Time that a job is given that draws a dataset [min]."""
    return math.ceil(10 + _LONGER * _seconds_of_dataset(dataset) / 60)


def _seconds_of_dataset(dataset: Member) -> float:
    """Time of one core to look at the images that are drawn, and to compare all that may be with micrographs [s]."""
    compared = sum(map(pool_size, dataset.upstream["images"])) if dataset.of(Dataset).match else 0
    return _SECONDS_OF_AN_IMAGE * images_of(dataset) + _SECONDS_TO_MATCH * compared


def how_to_train(training: Member) -> dict[str, Any]:
    """What says how a training runs, and is no part of what it is."""
    how = {"device", "precision", "devices", "threads", "tensorboard"}
    return training.of(Training).model_dump(include=how)


def aim_of_benchmark(benchmark: Member) -> dict[str, Any]:
    """Kind and target of the networks that a benchmark scores, in plain values."""
    return cases_of(benchmark.of(Benchmark)).aim(benchmark.upstream["trainings"])


@dataclass(frozen=True)
class StagePlan:
    """Jobs, items, disk and time of one block."""

    stage: str
    name: str
    folder: str
    jobs: int
    items: int
    bytes_per_item: float
    seconds_per_item: float | None = None
    """Time of one core [s]; none where no estimate can be made."""

    @property
    def core_hours(self) -> float:
        """Estimated time of one core for all items [h]; 0 where none is made."""
        return self.items * (self.seconds_per_item or 0.0) / 3600

    @property
    def gigabytes(self) -> float:
        """Estimated disk of all items."""
        return self.items * self.bytes_per_item / 1e9


def plan(study: Study) -> list[StagePlan]:
    """Jobs, items, estimated disk and time of every block of a study; imports PyTorch for unusual networks."""
    rows = []
    for stage in SIMULATION:
        for member in study.stage(stage):
            cost = member.cost
            jobs, items = len(shard_ranges(member)), items_of(member)
            rows.append(StagePlan(stage, member.name, member.folder, jobs, items, cost.stored, cost.seconds))
    for member in study.stage("datasets"):
        drawn = images_of(member)
        seconds = (SECONDS_OF_A_JOB + _seconds_of_dataset(member)) / drawn
        rows.append(StagePlan("datasets", member.name, member.folder, 1, drawn, BYTES_OF_A_ROW, seconds))
    for member in study.stage("trainings"):
        seeds, work = member.of(Training).seeds, work_of(member.source("model").of(Network))
        # Weights in single precision; the checkpoint has four such sets.
        stored = 4 * 5 * (work.parameters if work else _PARAMETERS)
        time = _seconds_of_training(member, work)
        rows.append(StagePlan("trainings", member.name, member.folder, seeds, seeds, stored, time))
    for member in study.stage("benchmarks"):
        networks = sum(m.of(Training).seeds for m in member.upstream["trainings"])
        time = _seconds_of_scoring(member)
        rows.append(StagePlan("benchmarks", member.name, member.folder, networks + 2, networks, 20e6, time))
    return rows


def images_of_study(study: Study) -> int:
    """Images of all blocks of a study."""
    return sum(map(pool_size, study.stage("images")))


def images_of(dataset: Member) -> int:
    """Images for training and validation that a dataset draws at the most."""
    block = dataset.of(Dataset)
    return block.size or math.ceil((1 - block.test) * sum(map(pool_size, dataset.upstream["images"])))


def _seconds_of_training(training: Member, work: Work | None) -> float | None:
    """Time of one core for a network [s]; none on a GPU, or of a network that cannot be measured."""
    if work is None or training.of(Training).device == "cuda":
        return None
    return _seconds_on_a_core(training, work)


def _seconds_on_a_core(training: Member, work: Work) -> float:
    block, dataset = training.of(Training), training.source("datasets")
    model, drawn = training.source("model").of(Network), dataset.of(Dataset)
    images = images_of(dataset)
    validation = images * drawn.validation / (1 - drawn.test)
    edge = dataset.upstream["images"][0].of(Images).size
    pixels, seen = edge**2, _edge_seen(model, edge) ** 2
    slower = WITHOUT_BF16 if block.precision == "32" else 1.0
    epoch = slower * work.seconds * seen * (images - validation + OF_A_STEP * validation)
    prepared = _SECONDS_OF_A_PIXEL * pixels * images
    seconds = SECONDS_OF_A_JOB + prepared + model.epochs * epoch
    if block.streaming:
        sources = dataset.upstream["images"]
        drawing = sum(m.cost.seconds for m in sources) / len(sources)
        seconds += (model.epochs - 1) * (images - validation) * (drawing + _SECONDS_OF_A_PIXEL * pixels)
    return seconds


def _edge_seen(model: Network, size: int) -> int:
    """Edge of what a network sees of images with an edge of so many pixels."""
    return model.seen(size)[1] if isinstance(model, Classifier) else size


def _seconds_of_scoring(benchmark: Member) -> float | None:
    """Time of one core for each network that a benchmark scores [s]; none if a network cannot be measured."""
    seconds, networks = [], 0
    for training in benchmark.upstream["trainings"]:
        work, seeds = work_of(training.source("model").of(Network)), training.of(Training).seeds
        if work is None:
            return None
        model, images = (
            training.source("model").of(Network),
            training.source("datasets").upstream["images"][0].of(Images),
        )
        pixels, seen = _pixels_scored(benchmark, images)
        seen *= (_edge_seen(model, images.size) / images.size) ** 2
        if not networks:
            seconds.append(2 * SECONDS_OF_A_JOB + _SECONDS_OF_A_BASELINE * pixels)  # of baselines and summary
        # Networks predict in single precision.
        predicted = WITHOUT_BF16 * OF_A_STEP * work.seconds * seen
        seconds.append(seeds * (SECONDS_OF_A_JOB + _SECONDS_OF_A_PIXEL * pixels + predicted))
        networks += seeds
    return sum(seconds) / networks if networks else None


def _pixels_scored(benchmark: Member, images: Images) -> tuple[float, float]:
    """Pixels of the cases of a benchmark, on the pixels of a network, and those of all tiles that it sees."""
    block = benchmark.block
    if isinstance(block, SimulatedBenchmark):
        pools = [
            (m, dataset.of(Dataset).test)
            for dataset in benchmark.upstream["datasets"]
            for m in dataset.upstream["images"]
        ]
        held = sum(test * pool_size(member) for member, test in pools)
        pixels = min(block.size, held) * images.size**2
        return pixels, pixels
    if isinstance(block, StrainBenchmark):
        scan = benchmark.source("images")
        pixels = float(pool_size(scan) * scan.of(Images).size ** 2)
        return pixels, pixels
    if isinstance(block, DatacubeBenchmark):
        pixels = _pixels_of_scan(block)
        return pixels, pixels
    if isinstance(block, LatticeBenchmark):
        pixels = sum(_pixels_of(path) * (size / images.pixel()[0]) ** 2 for path, size in _lattices(block, images))
        return pixels, pixels
    assert isinstance(block, MicrographBenchmark)
    if is_stacked(block):
        pixels = _pixels_of_stack(block, images)
    else:
        pixels = sum(_pixels_of(path) * (size / images.pixel()[0]) ** 2 for path, size in _micrographs(block, images))
    return pixels, pixels * (8 if block.symmetry_average else 1) / (1 - block.overlap) ** 2


def _pixels_of_scan(block: DatacubeBenchmark) -> float:
    """Pixels of all patterns that are measured; none of a scan that is no longer there."""
    try:
        rows, columns, height, width = open_scan(block.path, block.energy).shape
    except ScanError:
        return 0.0
    return min(block.size, rows * columns) * height * width / block.binning**2


def _pixels_of_stack(block: MicrographBenchmark, images: Images) -> float:
    """Pixels of all its images, once they are those of the network; none of a file that is no longer there."""
    try:
        pair = open_pair(block)
    except MicrographError:
        return 0.0
    return math.prod(pair.images.shape) * ((pair.pixel_size or images.pixel()[0]) / images.pixel()[0]) ** 2


def _micrographs(block: MicrographBenchmark, images: Images) -> Iterator[tuple[Path, float]]:
    """Micrographs that are there, each with its pixel [Å]: that of the network where only the file says it."""
    yield from _listed(check_benchmark_folder(block.path, block.pixel_size), block.path, images)


def _lattices(block: LatticeBenchmark, images: Images) -> Iterator[tuple[Path, float]]:
    """The same of images of known lattices."""
    yield from _listed(check_lattice_folder(block.path, block.pixel_size), block.path, images)


def _listed(index: pd.DataFrame, folder: PurePath, images: Images) -> Iterator[tuple[Path, float]]:
    for _, row in index.iterrows():
        path = Path(folder) / str(row["image"])
        if path.is_file():
            yield path, row["pixel_size"] if row["pixel_size"] > 0 else images.pixel()[0]


def _pixels_of(path: Path) -> float:
    """Pixels of a picture; of other formats as many as there would be with two bytes each."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return float(picture.width * picture.height)
    except (OSError, ValueError, Image.DecompressionBombError):
        return path.stat().st_size / 2
