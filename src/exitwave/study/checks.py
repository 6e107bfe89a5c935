"""Checks across blocks that can be made before the first job."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exitwave.config.distributions import bounds
from exitwave.electron import wavelength
from exitwave.errors import ConfigError, ExitwaveError

if TYPE_CHECKING:
    from exitwave.study.member import Member, Study


def check_study(study: Study) -> None:
    """Check every block against those it is made from.

    Raises
    ------
    ConfigError
        One sentence naming the file, the key, the value and what is allowed.
    """
    checks = {
        "structures": _check_structures,
        "exit_waves": _check_exit_waves,
        "images": _check_images,
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


def _check_structures(member: Member) -> None:
    from exitwave.structures.checks import check_block

    check_block(member.block)


def _check_exit_waves(member: Member) -> None:
    from exitwave.structures.checks import elements_of
    from exitwave.waves.grid import output_grid
    from exitwave.waves.scattering import check_parametrization
    from exitwave.waves.thermal import check_elements

    structures = member.source("structures").block
    try:
        output_grid(structures.field_of_view, member.block.sampling)
    except ExitwaveError as error:
        raise ConfigError(f"sampling: {error}") from error
    try:
        output_grid(structures.field_of_view, member.block.simulated_sampling)
    except ExitwaveError as error:
        raise ConfigError(f"oversampling: found {member.block.oversampling:g}, with which {error}") from error
    from ase.data import atomic_numbers

    for symbol in member.block.rms_displacements:
        if not atomic_numbers.get(symbol, 0):
            raise ConfigError(f"rms_displacements: found '{symbol}'; allowed: symbols of elements")
    try:
        check_parametrization(elements_of(structures), member.block.parametrization)
    except ExitwaveError as error:
        raise ConfigError(f"parametrization: {error}") from error
    if member.block.frozen_phonons:
        try:
            check_elements(elements_of(structures), member.block.rms_displacements)
        except ExitwaveError as error:
            raise ConfigError(f"frozen_phonons: {error}") from error


def _check_images(member: Member) -> None:
    from exitwave.imaging.background import check_background
    from exitwave.imaging.detector import check_camera

    block, waves = member.block, member.source("exit_waves")
    structures = waves.source("structures")
    field, sampling = structures.block.field_of_view, waves.block.sampling
    binning = block.pixel_size / sampling
    if abs(binning - round(binning)) > 1e-6 or binning < 1 - 1e-6:
        raise ConfigError(
            f"pixel_size: found {block.pixel_size:g} Å; allowed: a whole multiple of the exit wave's sampling, "
            f"{sampling:g} Å"
        )
    if block.size * block.pixel_size > field * (1 + 1e-9):
        raise ConfigError(
            f"size: found {block.size} px of {block.pixel_size:g} Å, which is {block.size * block.pixel_size:g} Å; "
            f"allowed: at most the field of view, {field:g} Å"
        )
    _check_optics(member)
    check_camera(block.detector, bounds(block.dose), block.pixel_size)
    check_background(block.background, block.pixel_size)
    of_crystals = sorted({"columns", "orientation"} & set(block.labels))
    if of_crystals and bounds(structures.block.particles.number)[1] == 0:
        raise ConfigError(
            f"labels: found '{of_crystals[0]}', but structures '{structures.name}' has no particles; "
            "allowed: leave it out"
        )
    waves = member.source("exit_waves")
    if of_crystals and any(bounds(tilt) != (0, 0) for tilt in (waves.block.tilt_x, waves.block.tilt_y)):
        raise ConfigError(
            f"labels: found '{of_crystals[0]}', which is made for a beam along z, but exit_waves '{waves.name}' tilts "
            "it; allowed: no tilt, or turn the particles (particles.orientation)"
        )


def _check_optics(member: Member) -> None:
    from exitwave.config.microscopes import energy_of

    block, waves = member.block, member.source("exit_waves")
    if block.microscope is not None and abs(energy_of(block.microscope) / waves.block.energy - 1) > 1e-6:
        raise ConfigError(
            f"microscope: found '{block.microscope}', which works at {energy_of(block.microscope) / 1e3:g} kV, but "
            f"exit_waves '{waves.name}' has {waves.block.energy / 1e3:g} kV; allowed: the same voltage"
        )
    if block.objective_aperture is None:
        return
    limit = 1e3 * wavelength(waves.block.energy) / (2 * waves.block.sampling)
    largest = bounds(block.objective_aperture)[1]
    # The aperture is centred on the optic axis, from which a tilted beam is displaced.
    tilt = math.hypot(*(max(abs(edge) for edge in bounds(value)) for value in (block.tilt_x, block.tilt_y)))
    if largest + tilt > limit * (1 + 1e-9):
        moved = f" and the beam is tilted by up to {tilt:g} mrad" if tilt > 0 else ""
        raise ConfigError(
            f"objective_aperture: reaches up to {largest:g} mrad{moved}; allowed: at most the band limit of the exit "
            f"wave, {limit:.1f} mrad{' in all' if tilt > 0 else ''}"
        )


def _check_dataset(member: Member) -> None:
    from exitwave.config.datasets import Dataset
    from exitwave.config.images import Images
    from exitwave.config.structures import Structures
    from exitwave.data.query import check_condition
    from exitwave.data.selection import check_dataset

    block, sources = member.of(Dataset), member.upstream["images"]
    sizes = {(images.of(Images).size, images.of(Images).pixel_size) for images in sources}
    if len(sizes) > 1:
        raise ConfigError(f"images: the blocks differ in size or pixel_size, {sorted(sizes)}; allowed: equal ones")
    if block.where is not None:
        try:
            check_condition(block.where)
        except ExitwaveError as error:
            raise ConfigError(f"where: {error}") from error
    pools = {}
    for images in sources:
        structures = images.origin()
        pools[images.name] = (structures.hash, structures.of(Structures).count, images.of(Images).per_structure)
    check_dataset(block, pools)


def _check_training(member: Member) -> None:
    from exitwave.config.datasets import Dataset
    from exitwave.config.models import Network
    from exitwave.config.trainings import Training
    from exitwave.training.kinds import kind_of
    from exitwave.training.streaming import check_streaming

    dataset, model = member.source("datasets"), member.source("model").of(Network)
    try:
        kind_of(model).check(model, dataset.upstream["images"])
    except ConfigError as error:
        raise ConfigError(f"model: {error}") from error
    if member.of(Training).streaming:
        check_streaming(dataset.of(Dataset), kind_of(model).maps(model))


def _check_benchmark(member: Member) -> None:
    from exitwave.benchmark.kinds import cases_of
    from exitwave.config.benchmarks import Benchmark

    cases_of(member.of(Benchmark)).check(member)
