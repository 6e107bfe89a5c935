"""Checks across blocks that can be made before the first job."""

from __future__ import annotations

from collections.abc import Sequence

from exitwave.benchmark.kinds import cases_of
from exitwave.benchmark.micrographs import check_benchmark_folder
from exitwave.config.benchmarks import Benchmark
from exitwave.config.datasets import Dataset, Match
from exitwave.config.disks import Disks
from exitwave.config.images import Images
from exitwave.config.models import Network, PixelNetwork
from exitwave.config.trainings import Training
from exitwave.data.columns import columns_made
from exitwave.data.query import check_condition
from exitwave.data.selection import Pool, check_dataset
from exitwave.errors import ConfigError, ExitwaveError
from exitwave.images.kinds import groups_of, simulation_of
from exitwave.study.member import Member, Study
from exitwave.study.plan import SIMULATION
from exitwave.training import kinds as task_kinds
from exitwave.training.disks import check_size
from exitwave.training.event_files import check_tensorboard
from exitwave.training.known import check_network
from exitwave.training.pixels import check_edges
from exitwave.training.record import read_record
from exitwave.training.streaming import check_streaming


def check_study(study: Study) -> None:
    """Check every block against those it is made from.

    Raises
    ------
    ConfigError
        One sentence naming the file, the key, the value and what is allowed.
    """
    checks = {
        **dict.fromkeys(SIMULATION, _check_simulation),
        "datasets": _check_dataset,
        "trainings": _check_training,
        "benchmarks": _check_benchmark,
    }
    for stage, check in checks.items():
        for member in study.stage(stage):
            try:
                check(member)
            except ExitwaveError as error:
                raise ConfigError(f"{study.source}: {stage}.{member.name}.{error}") from error


def _check_simulation(member: Member) -> None:
    simulation_of(member.block).check(member)


def _check_dataset(member: Member) -> None:
    block, images = member.of(Dataset), member.upstream["images"]
    sizes = {(m.of(Images).size, *m.of(Images).pixel()) for m in images}
    if len(sizes) > 1:
        raise ConfigError(f"images: the blocks differ in size or pixel_size, {sorted(sizes)}; allowed: equal ones")
    if block.match is not None:
        _check_match(block.match, images)
    columns = {m.name: columns_made(m) for m in images}
    for made in columns.values() if block.where is not None else ():
        try:
            check_condition(str(block.where), made)
        except ExitwaveError as error:
            raise ConfigError(f"where: {error}") from error
    known = dict.fromkeys(name for made in columns.values() for name in made)
    check_dataset(block, {m.name: _pool(m) for m in images}, known)


def _check_match(match: Match, images: Sequence[Member]) -> None:
    """Refuse images that are no images of a specimen, and an index that cannot be used."""
    if others := [m.name for m in images if m.of(Images).pixel()[1] != "Å"]:
        raise ConfigError(
            f"match: found the images '{others[0]}', which are no images in real space; allowed: those whose pixel is "
            "in Å"
        )
    if match.index is not None:
        try:
            check_benchmark_folder(match.path, match.pixel_size, needed=("image",))
        except ConfigError as error:
            raise ConfigError(f"match.path: {error}") from error


def _pool(images: Member) -> Pool:
    """What a dataset is drawn from, as far as it is known before there is any image."""
    origin, count = images.origin(), images.first().count
    groups = groups_of(origin.block, origin.hash, 0, count)
    identities = [f"{origin.hash}-{item:06d}" for item in range(count)]
    return Pool(identities, groups.positions, images.of(Images).per_structure)


def _check_training(member: Member) -> None:
    dataset, model = member.source("datasets"), member.source("model").of(Network)
    images = dataset.upstream["images"]
    try:
        task_kinds.kind_of(model).check(model, images)
        check_network(model)
        if isinstance(model, PixelNetwork):
            edge = images[0].of(Images).size
            check_edges(model, edge, edge)
        if isinstance(model, Disks):
            check_size(model, images[0].of(Images).size)
    except ExitwaveError as error:
        raise ConfigError(f"model: {error}") from error
    if member.of(Training).tensorboard:
        check_tensorboard()
    if (devices := member.of(Training).devices) > model.batch_size:
        raise ConfigError(
            f"devices: found {devices}, and a model with a batch_size of {model.batch_size}; allowed: up to "
            f"{model.batch_size}, since each device takes its part of a batch"
        )
    if member.of(Training).streaming:
        check_streaming(dataset.of(Dataset))
        if real := [images.name for images in dataset.upstream["images"] if not images.upstream]:
            raise ConfigError(
                f"streaming: found true with the images '{real[0]}', which are no simulation; allowed: false, and a "
                "larger per_structure"
            )
    if member.of(Training).start_from is not None:
        _check_start(member, model)
    elif model.epochs == 0:
        raise ConfigError("model: found epochs 0, which leaves random weights; allowed: 1 or more, or start_from")


def _check_start(member: Member, model: Network) -> None:
    """Refuse networks to start from that are too few, or whose weights do not fit."""
    training = member.of(Training)
    if "start_from" in member.upstream:
        source = member.source("start_from")
        before, there = source.source("model").of(Network), source.of(Training).seeds
    else:
        files = training.started_from()
        if not files:
            raise ConfigError(
                f"start_from: found the folder {training.start_from}, which holds no network; allowed: one with "
                "weights.safetensors and network.json, or with folders seed-* of these"
            )
        before, there = read_record(files[0]).model, training.seeds if len(files) == 1 else len(files)
    if training.seeds > there:
        raise ConfigError(
            f"seeds: found {training.seeds}, each of which starts from a network of '{training.start_from}'; allowed: "
            f"up to {there}, as many as that has"
        )
    if before.parts() != model.parts():
        told = [", ".join(f"{key} {value}" for key, value in one.parts().items()) for one in (before, model)]
        raise ConfigError(
            f"start_from: found networks of {told[0]}, and the model has {told[1]}; allowed: networks of the same parts"
        )


def _check_benchmark(member: Member) -> None:
    cases_of(member.of(Benchmark)).check(member)
