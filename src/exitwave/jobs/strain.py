"""Strain maps of a person's own scans of diffraction patterns."""

from __future__ import annotations

import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from exitwave.benchmark.correlation import Correlation
from exitwave.benchmark.disk_finders import CORRELATION, Finder, bins_for, frame_of
from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.probes import Probe, parts, probe_of
from exitwave.benchmark.scan_lattices import start_lattice
from exitwave.benchmark.scan_parts import Box
from exitwave.benchmark.scan_strain import (
    Reference,
    given_reference,
    reference_of,
    strain_maps,
)
from exitwave.benchmark.scan_survey import Survey, look_at
from exitwave.benchmark.scans import Scan, calibrated, open_scan
from exitwave.config.disks import Disks
from exitwave.config.yaml_files import sidecar_of
from exitwave.errors import ScanError
from exitwave.hardware import resolve_device, resolve_precision
from exitwave.jobs.strain_folder import Lattices, Place, StrainFolder
from exitwave.jobs.strain_how import Axis, Given, Measuring
from exitwave.jobs.strain_results import Results, write_results
from exitwave.jobs.strain_worker import (
    Networks,
    Setup,
    Worker,
    finder_of,
    load_disk_networks,
    measure_part,
    start_worker,
)
from exitwave.training.bundle import weights_told
from exitwave.training.disks import multiple_of

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
"""Told how many positions are done, and of how many."""

PART = 256
"""Patterns of a part: what a call that is killed may lose."""
HELD = 64_000_000
"""Bytes of the patterns of a part in single precision, at most."""
KNOWN_RADII = (2.0, 9.5)
"""Radii of disks [px] that networks know which do not say it themselves."""
MOST_WORKERS = 8
"""Processes at the same time, unless more are asked for: each takes some 0.7 GB with networks."""
SMALL_SHARE = 0.5
"""Of the least radius that networks know, below which results are doubtful."""


def measure_strain(path: Path, output: Path, how: Measuring, progress: Progress | None = None) -> list[str]:
    """Measure the strain of a scan, and write what is found; see `exitwave.jobs.strain_folder`.

    Parameters
    ----------
    path : path
        Of the scan.
    output : path
        Folder of results. What a call before has measured there with the same settings is not measured again.
    how : Measuring
    progress : callable, optional

    Returns
    -------
    list of str
        What was found, in sentences.

    Raises
    ------
    ScanError
        If scan, probe, reference or folder cannot be used.
    TrainingError
        If there is no network, it is damaged, or does not find disks.
    ConfigError
        If the device is not there.
    WriteError
        If results cannot be written.
    """
    begun = time.monotonic()
    scan = calibrated(open_scan(path, how.energy, how.scan_shape), how.reciprocal_sampling, how.step)
    box = how.reference.within(scan.shape, "--reference") if isinstance(how.reference, Box) else None
    probe = _probe(scan, how)
    survey = look_at(scan, probe)
    warnings = (*scan.told, *_uncalibrated(scan), *survey.told)
    for told in warnings:
        log.warning("%s %s", path, told)
    method = _method(how, scan, probe, survey)
    folder = StrainFolder(output, _settings(scan, probe, survey, how, method), how.overwrite)
    places = list(parts(scan, slice(None), slice(None), min(HELD, 4 * PART * math.prod(scan.shape[2:]))))
    measured = 0
    if not folder.joined:
        finder = finder_of(probe, method)
        setup = Setup(path, how.scan_shape, probe, method, _start(finder, survey), how.fit, survey.full)
        measured = _measure(setup, scan, finder, folder, places, how, progress)
        folder.join(places, scan.shape, scan.reciprocal_sampling)
    lattices = folder.lattices()
    reference = _reference(lattices, scan, how, box)
    maps = strain_maps(lattices.values, lattices.read, reference, _axis(reference, how.axis))
    seconds = time.monotonic() - begun
    results = Results(
        scan=scan,
        probe=probe,
        mean=survey.mean,
        lattices=lattices,
        maps=maps,
        settings=folder.settings,
        axis_told=how.axis if isinstance(how.axis, str) else "",
        warnings=warnings,
        pace=(measured, seconds),
    )
    return write_results(output, results)


def _uncalibrated(scan: Scan) -> tuple[str, ...]:
    """What a scan without reciprocal pixel lacks, and what can be done."""
    if not scan.uncalibrated:
        return ()
    remedy = "--energy or --reciprocal-sampling" if "energy" in scan.uncalibrated else "--reciprocal-sampling"
    return (f"{scan.uncalibrated}: strain needs none, but lattices are told in px; give {remedy}",)


def _positions(place: tuple[slice, slice]) -> int:
    return math.prod(line.stop - line.start for line in place)


def _probe(scan: Scan, how: Measuring) -> Probe:
    """The probe, from the one place that is named; else an even disk, if a sidecar has its convergence."""
    semiangle = how.semiangle
    named: dict[str, Any] = {
        name: value
        for name, value in (("--probe", how.probe), ("--vacuum", how.vacuum), ("--semiangle", how.semiangle))
        if value is not None
    }
    if not named and scan.semiangle is not None:
        named["--semiangle"] = semiangle = scan.semiangle
    if len(named) != 1:
        found = " and ".join(named) or "none"
        raise ScanError(
            f"{scan.path}: found {found} for its probe; allowed: one of --probe FILE with an image in vacuum, --vacuum "
            "X0:X1,Y0:Y1 with a part of the scan beside the specimen, or --semiangle with its convergence in mrad; or "
            f"optics.semiangle_mrad in {sidecar_of(scan.path).name}"
        )
    return probe_of(scan, how.probe, how.vacuum, semiangle, how.energy, "--")


def _method(how: Measuring, scan: Scan, probe: Probe, survey: Survey) -> Networks | Correlation:
    """What finds disks."""
    if how.model is None:
        return CORRELATION if how.threshold is None else replace(CORRELATION, least=how.threshold)
    model, device = how.model, resolve_device(how.device)
    networks = load_disk_networks(model, device)
    low, high = _known_radii(networks[0].info)
    multiple = math.lcm(*(multiple_of(network.model) for network in networks if isinstance(network.model, Disks)))
    frame = frame_of(scan.shape[2:], survey.centre, bins_for(probe.radius, high), multiple)
    if probe.radius < SMALL_SHARE * low or probe.radius < 1.5:
        log.warning(
            "%s has disks of a radius of %.2g px; the networks know %.2g to %.2g px, so that results are doubtful",
            scan.path,
            probe.radius,
            low,
            high,
        )
    if frame.binned > 1:
        log.warning(
            "%s has disks of a radius of %.3g px, larger than the networks know (up to %.3g px): blocks of %d x %d "
            "pixels are added up",
            scan.path,
            probe.radius,
            high,
            frame.binned,
            frame.binned,
        )
    threshold = float(np.mean([network.threshold for network in networks])) if how.threshold is None else how.threshold
    return Networks(model, device, frame, threshold, resolve_precision("auto", device))


def _known_radii(info: dict[str, Any]) -> tuple[float, float]:
    """Radii of disks that a network has seen [px]."""
    known = info.get("data", {}).get("target", {}).get("disk_radius")
    return (float(known["min"]), float(known["max"])) if known else KNOWN_RADII


def _settings(
    scan: Scan, probe: Probe, survey: Survey, how: Measuring, method: Networks | Correlation
) -> dict[str, Any]:
    """What disks and lattices depend on, by name."""
    settings: dict[str, Any] = {
        "scan": os.path.realpath(scan.path),
        "scan checksum": f"crc32:{zlib.crc32(survey.patterns.tobytes()):08x}",
        "scan shape": list(scan.shape),
        "reciprocal sampling [1/Å]": scan.reciprocal_sampling,
        "probe": probe.told,
        "probe checksum": f"crc32:{zlib.crc32(probe.image.tobytes()):08x}",
        "method": "correlation" if how.model is None else "network",
        "fit": how.fit,
    }
    if isinstance(method, Networks):
        settings |= {
            "model": os.path.realpath(method.model),
            "weights": weights_told(method.model),
            "threshold": method.threshold,
            "precision": method.precision,
            "binned": method.frame.binned,
        }
    else:
        settings |= {"correlation": asdict(method)}
    return {**settings, "exitwave": version("exitwave")}


def _start(finder: Finder, survey: Survey) -> Lattice:
    """Lattice of the scan, whose origin is the direct beam."""
    lattice = start_lattice([found.weighted for found in finder.find(survey.patterns)])
    centre = np.array(survey.centre)
    steps = np.rint(np.linalg.solve(lattice.vectors, centre - lattice.origin))
    return Lattice(lattice.origin + lattice.vectors @ steps, lattice.vectors, lattice.residual, lattice.used)


def _measure(
    setup: Setup,
    scan: Scan,
    finder: Finder,
    folder: StrainFolder,
    places: Sequence[Place],
    how: Measuring,
    progress: Progress | None,
) -> int:
    """Measure the parts that are not there, and give the number of their positions."""
    todo = [place for place in places if not folder.is_there(place)]
    total = sum(map(_positions, places))
    number = sum(map(_positions, todo))
    done = total - number
    if progress is not None and todo:
        progress(done, total)

    def report(positions: int) -> None:
        nonlocal done
        done += positions
        if progress is not None:
            progress(done, total)

    workers = min(how.workers or min(MOST_WORKERS, _cores()), len(todo) // 2)
    on_gpu = isinstance(setup.finder, Networks) and setup.finder.device == "cuda"
    if workers < 2 or on_gpu:
        worker = Worker(setup, scan, finder)
        for place in todo:
            folder.add(place, worker.measure(*place, report))
        return number
    # Started anew, since threads of PyTorch do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (setup,)) as pool:
        running = {pool.submit(measure_part, *place): place for place in todo}
        try:
            for future in as_completed(running):
                folder.add(running[future], future.result())
                report(_positions(running[future]))
        except BrokenProcessPool as error:
            raise ScanError(
                f"{scan.path}: one of {workers} processes has ended, for want of memory as a rule; what is measured is "
                f"in {folder.folder}, and the next call goes on from there; give fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return number


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reference(lattices: Lattices, scan: Scan, how: Measuring, box: Place | None) -> Reference:
    """What strain is relative to."""
    if isinstance(how.reference, Given):
        given = how.reference
        told = "the lattice of {:g} 1/Å, {:g} 1/Å and {:g}°".format(*given.lengths, given.angle)
        if scan.reciprocal_sampling is None:
            raise ScanError(
                f"--reference: {told} needs the reciprocal pixel, which {scan.path} does not say; give "
                "--reciprocal-sampling"
            )
        lengths = given.lengths[0] / scan.reciprocal_sampling, given.lengths[1] / scan.reciprocal_sampling
        return given_reference(lattices.values, lengths, math.radians(given.angle), told)
    told = "the whole scan" if box is None else f"the part {how.reference.told}"  # type: ignore[union-attr]
    return reference_of(lattices.values, lattices.read, box, told)


def _axis(reference: Reference, axis: Axis) -> float:
    """Angle of the first axis of the strain [rad]."""
    if isinstance(axis, str):
        x, y = reference.vectors[:, int(axis[1]) - 1]
        return math.atan2(y, x)
    return math.radians(axis)
