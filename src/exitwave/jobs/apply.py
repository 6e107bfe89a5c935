"""Applying trained networks to a person's own micrographs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave import __version__
from exitwave.benchmark.instances import ParticleRules, find_instances
from exitwave.benchmark.prediction import Prediction, predict_image
from exitwave.benchmark.readers import SUFFIXES, Micrograph, read_micrograph
from exitwave.config.models import Segmentation
from exitwave.errors import MicrographError, TrainingError
from exitwave.jobs.results_folder import ResultsFolder, Segmented
from exitwave.jobs.results_table import RESULTS
from exitwave.training.networks import LoadedNetwork, load_network
from exitwave.training.record import read_record


@dataclass(frozen=True)
class Applying:
    """How micrographs are segmented.

    Attributes
    ----------
    pixel_size : float, optional
        Pixel [Å], where the files do not say or are wrong.
    page : int, optional
        Which image of files that hold several, counted from 1.
    threshold : float
        Probability from which a pixel is particle.
    overlap : float
        Overlap of neighbouring tiles, of their edge.
    symmetry_average : bool
        Average over the eight quarter turns and flips of each tile.
    any_pixel_size : bool
        Whether a pixel far from that of the network is meant so.
    particles : ParticleRules
        What counts as one particle.
    overwrite : bool
        Whether an image that is in the folder of results already is segmented again and replaced.
    """

    pixel_size: float | None = None
    page: int | None = None
    threshold: float = 0.5
    overlap: float = 0.5
    symmetry_average: bool = False
    any_pixel_size: bool = False
    particles: ParticleRules = field(default_factory=ParticleRules)
    overwrite: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one image.

    Attributes
    ----------
    image : path
        As it was given.
    done : bool
        Whether it was segmented.
    told : str
        One sentence: what was found, or why it could not be used.
    """

    image: Path
    done: bool
    told: str


def load_networks(path: Path) -> list[LoadedNetwork]:
    """Load one network, or all networks (``seed-*``) of a training but those that have diverged."""
    return [load_network(folder) for folder in _network_folders(path)]


def _network_folders(path: Path) -> list[Path]:
    if (path / "network.json").exists() or path.is_file():
        return [path]
    folders = sorted(folder for folder in path.glob("seed-*") if (folder / "network.json").exists())
    if not folders:
        raise TrainingError(f"{path}: holds no network; allowed: a folder with network.json, or with folders seed-*")
    usable = [folder for folder in folders if not read_record(folder).diverged]
    if not usable:
        raise TrainingError(
            f"{path}: all {len(folders)} networks have diverged; allowed: a training with one that has not"
        )
    return usable


def find_images(given: Sequence[Path]) -> list[Path]:
    """Images that were given, and of folders the images in them; each file once, however often it is named.

    In folders hidden files, results of earlier calls and headers of TIA beside their images are left out. A folder
    without an image stays in the list, where it is refused like a file that cannot be used.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for image in (_images_in(path) or [path]) if os.path.isdir(path) else [path]:
            found.setdefault(_absolute(image), image)
    return list(found.values())


def _images_in(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    files = [folder / name for name in names if PurePath(name).suffix.lower() in SUFFIXES]
    series = {path.stem.rsplit("_", 1)[0] for path in files if path.suffix.lower() == ".ser"}
    return [
        path
        for path in files
        if not path.name.startswith(".")
        and os.path.isfile(path)
        and not path.name.endswith(RESULTS)
        # The header of a series reads the very images beside it.
        and not (path.suffix.lower() == ".emi" and path.stem in series)
    ]


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))


def segment_files(images: Sequence[Path], model: Path, output: Path, how: Applying) -> Iterator[Outcome]:
    """Segment micrographs, one after another, and write what is found; see `exitwave.jobs.results_folder`.

    Parameters
    ----------
    images : sequence of path
        As of :func:`find_images`.
    model : path
        Folder of a network, or of a training, whose networks are averaged.
    output : path
        Folder of results. What other images have there stays. An image that is there already is passed over if the
        settings are the same, and refused else, unless it is to be overwritten.
    how : Applying

    Yields
    ------
    Outcome
        Of each image, as soon as its files and rows are written. One that cannot be used costs none of the others.

    Raises
    ------
    TrainingError
        If there is no network, it is damaged, or does not segment.
    MicrographError
        If the folder of results cannot be written to, or has other tables of these names.
    """
    networks = load_networks(model)
    if not isinstance(networks[0].model, Segmentation):
        raise TrainingError(f"{model}: holds networks of kind {networks[0].model.kind}; allowed: networks that segment")
    results, settings = ResultsFolder(output, how.overwrite), _settings(model, how)
    try:
        for path in images:
            yield _segment(path, networks, results, how, settings)
    finally:
        results.finish()


def _segment(
    path: Path, networks: Sequence[LoadedNetwork], results: ResultsFolder, how: Applying, settings: Mapping[str, Any]
) -> Outcome:
    """Segment an image, and keep what was found; whatever is wrong with it is told."""
    try:
        if os.path.isdir(path):
            raise MicrographError(
                f"{path} is a folder without a micrograph; allowed: files that end in {', '.join(sorted(SUFFIXES))}"
            )
        micrograph = read_micrograph(path, how.pixel_size, page=how.page)
        image, pixel_size = micrograph.image, micrograph.pixel_size
        if results.is_there(path, micrograph.page, image, pixel_size, settings):
            return Outcome(path, True, f"{path.name}: already there")
        prediction, spread = _predict(networks, micrograph, how)
        # Where nothing was recorded is no particle, whatever the threshold.
        mask = (prediction.values >= how.threshold) & ~prediction.left_out
        labels = find_instances(mask, pixel_size, how.particles)
        found = Segmented(
            path,
            micrograph.page,
            image,
            pixel_size,
            labels,
            prediction.values,
            spread,
            prediction.left_out,
            prediction.warnings,
            None,
            settings,
        )
        return Outcome(path, True, results.add(found))
    except MicrographError as error:
        told = str(error)
        return Outcome(path, False, told if str(path) in told else f"{path}: {told}")
    except MemoryError:
        return Outcome(path, False, f"{path} cannot be segmented: there is not enough memory for it")
    except Exception as error:
        # A night's batch is not to end at one file, whatever is wrong with it.
        reason = " ".join(str(error).split())
        return Outcome(path, False, f"{path} cannot be segmented: {type(error).__name__}: {reason}")


def _settings(model: Path, how: Applying) -> dict[str, Any]:
    """What results depend on beside the image, by heading of the tables."""
    digests = "".join(read_record(folder).weights_sha256 for folder in _network_folders(model))
    return {
        "model": str(_absolute(model)),
        "weights": f"sha256:{hashlib.sha256(digests.encode()).hexdigest()[:12]}",
        "exitwave": __version__,
        "threshold": how.threshold,
        "smallest [nm]": how.particles.smallest / 10,
        "split": how.particles.split,
        "tile overlap": how.overlap,
        "symmetry average": how.symmetry_average,
    }


def _predict(
    networks: Sequence[LoadedNetwork], micrograph: Micrograph, how: Applying
) -> tuple[Prediction, NDArray[np.float32] | None]:
    """Mean probability of the networks, which all leave the same out and warn of the same, and its spread over them.

    Mean and squares are updated network by network: B. P. Welford, Technometrics 4, 419 (1962).
    """
    image, pixel_size = micrograph.image, micrograph.pixel_size
    settings = how.overlap, how.symmetry_average, how.any_pixel_size
    first = predict_image(networks[0], image, pixel_size, *settings)
    mean = np.clip(first.values, 0, 1)
    if len(networks) == 1:
        return replace(first, values=mean), None
    squares = np.zeros_like(mean)
    for number, network in enumerate(networks[1:], 2):
        values = np.clip(predict_image(network, image, pixel_size, *settings).values, 0, 1)
        difference = values - mean
        mean += difference / number
        squares += difference * (values - mean)
    return replace(first, values=mean), np.sqrt(squares / len(networks))
