"""Applying trained networks to a person's own micrographs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.instances import ParticleRules, find_instances
from exitwave.benchmark.pages import SUFFIXES
from exitwave.benchmark.prediction import Prediction, likeness_of, predict_ensemble
from exitwave.benchmark.readers import Micrograph, MicrographFile, open_micrographs
from exitwave.benchmark.remedies import ON_COMMAND_LINE, Remedies
from exitwave.benchmark.tiling import Progress
from exitwave.config.models import Segmentation
from exitwave.data.strips import strips
from exitwave.errors import ConfigError, MicrographError, TrainingError
from exitwave.hardware import resolve_device
from exitwave.jobs.results_folder import ResultsFolder, Segmented
from exitwave.jobs.results_table import COLUMNS_PICTURE, IMAGES, KEY, RESULTS
from exitwave.training.bundle import find_convention, is_bundle, load_networks, weights_told

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
FileProgress = Callable[[int, str, int, int], None]
"""Told the number of a file, the name of its image, and how many tiles of it are done, and of how many."""


@dataclass(frozen=True)
class Applying:
    """How micrographs are segmented.

    Attributes
    ----------
    pixel_size : float, optional
        Pixel [Å], where the files do not say or are wrong.
    frame : int or "all", optional
        Which image of files that hold several, counted from 1, or each.
    convention : str, optional
        What counts as particle, where a file of networks has several conventions.
    threshold : float
        Probability from which a pixel is particle.
    overlap : float
        Overlap of neighbouring tiles, of their edge.
    symmetry_average : bool
        Average over the eight quarter turns and flips of each tile.
    any_pixel_size : bool
        Whether a pixel far from that of the network is meant so.
    any_image : bool
        Whether an image far from those that the network was trained on is meant so.
    device : {"auto", "cpu", "cuda"}
        Where the networks run.
    particles : ParticleRules
        What counts as one particle.
    overwrite : bool
        Whether an image that is in the folder of results already is segmented again and replaced.
    """

    pixel_size: float | None = None
    frame: int | Literal["all"] | None = None
    convention: str | None = None
    threshold: float = 0.5
    overlap: float = 0.5
    symmetry_average: bool = False
    any_pixel_size: bool = False
    any_image: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
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


def find_images(given: Sequence[Path]) -> list[Path]:
    """Images that were given, and of folders the images in and below them; each file once, however often it is named.

    In folders hidden files and folders, results of earlier calls and headers of TIA beside their images are left out. A
    folder without an image stays in the list, where it is refused like a file that cannot be used. Images come in the
    order in which they were given, those of a folder by name, before those of its subfolders.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for image in (_images_below(path) or [path]) if os.path.isdir(path) else [path]:
            found.setdefault(_absolute(image), image)
    return list(found.values())


def _images_below(top: Path) -> list[Path]:
    images = []
    for folder, below, names in os.walk(top):
        below[:] = sorted(name for name in below if not name.startswith(".") and not _is_results(Path(folder, name)))
        images += _images_of(Path(folder), sorted(names))
    return images


def _is_results(folder: Path) -> bool:
    """Whether a folder holds results of earlier calls."""
    try:
        with (folder / IMAGES).open(encoding="utf-8") as file:
            return set(KEY) <= set(file.readline().strip().split(","))
    except (OSError, ValueError):
        return False


def _images_of(folder: Path, names: Sequence[str]) -> list[Path]:
    files = [folder / name for name in names if PurePath(name).suffix.lower() in SUFFIXES]
    series = {path.stem.rsplit("_", 1)[0] for path in files if path.suffix.lower() == ".ser"}
    return [
        path
        for path in files
        if not path.name.startswith(".")
        and os.path.isfile(path)
        and not path.name.endswith((*RESULTS, COLUMNS_PICTURE))
        # The header of a series reads the very images beside it.
        and not (path.suffix.lower() == ".emi" and path.stem in series)
    ]


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))


def segment_files(
    images: Sequence[Path], model: Path, output: Path, how: Applying, progress: FileProgress | None = None
) -> Iterator[Outcome]:
    """Segment micrographs, one after another, and write what is found; see `exitwave.jobs.results_folder`.

    Networks are loaded once there is an image to see.

    Parameters
    ----------
    images : sequence of path
        As of :func:`find_images`.
    model : path
        File of networks, or folder of a training or a network; several are averaged.
    output : path
        Folder of results. What other images have there stays. An image that is there already is passed over if the
        settings are the same, and refused else, unless it is to be overwritten.
    how : Applying
    progress : callable, optional
        Told which image it is at, from 1, with its name, and how many of its tiles are done, and of how many.

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
    ConfigError
        If the device is not there.
    """
    settings = _settings(model, how)
    results = ResultsFolder(output, how.overwrite)
    segmenter = _Segmenter(model, results, how, settings)
    try:
        for number, path in enumerate(images, 1):
            yield from segmenter.segment(path, partial(progress, number) if progress else None)
    finally:
        results.finish()


def _settings(model: Path, how: Applying) -> dict[str, Any]:
    """What results depend on beside the image, by heading of the tables."""
    return {
        "model": str(_absolute(model)),
        "convention": find_convention(model, how.convention).name if is_bundle(model) else "",
        "weights": weights_told(model, how.convention),
        "exitwave": version("exitwave"),
        "threshold": how.threshold,
        "smallest [nm]": how.particles.smallest / 10,
        "split": how.particles.split,
        "tile overlap": how.overlap,
        "symmetry average": how.symmetry_average,
    }


def load_segmenters(model: Path, how: Applying) -> list[LoadedNetwork]:
    """Networks on the device where they are to run.

    Raises
    ------
    TrainingError
        If there is none, it is damaged, or does not segment.
    ConfigError
        If the device is not there.
    """
    networks = load_networks(model, how.convention)
    if not isinstance(networks[0].model, Segmentation):
        raise TrainingError(f"{model}: holds networks of kind {networks[0].model.kind}; allowed: networks that segment")
    if likeness_of(networks[0]) is None:
        log.warning("%s does not say what its training images are like: unlike images are not warned of", model)
    device = resolve_device(how.device)
    return [replace(network, module=network.module.to(device)) for network in networks]


@dataclass(frozen=True)
class _Segmenter:
    """What is the same for all files."""

    model: Path
    results: ResultsFolder
    how: Applying
    settings: dict[str, Any]

    @cached_property
    def networks(self) -> list[LoadedNetwork]:
        """Loaded when they are first asked for: an image that cannot be read is told at once."""
        return load_segmenters(self.model, self.how)

    def segment(self, path: Path, progress: Callable[[str, int, int], None] | None) -> Iterator[Outcome]:
        """The images of a file that are meant."""
        try:
            if os.path.isdir(path):
                raise MicrographError(
                    f"{path} is a folder without a micrograph; allowed: files that end in {', '.join(sorted(SUFFIXES))}"
                )
            file = open_micrographs(path)
        except MicrographError as error:
            yield Outcome(path, False, str(error))
            return
        every = self.how.frame == "all" and len(file.pages) > 1
        for frame in range(1, len(file.pages) + 1) if every else [None if self.how.frame == "all" else self.how.frame]:
            name = path.name if frame is None else f"{path.name}, frame {frame}"
            yield self._segment_frame(path, file, frame, name, partial(progress, name) if progress else None)

    def _segment_frame(
        self, path: Path, file: MicrographFile, frame: int | None, name: str, progress: Progress | None
    ) -> Outcome:
        place = path if frame is None else f"{path}, frame {frame},"
        try:
            micrograph = file.read(self.how.pixel_size, frame, ON_COMMAND_LINE)
            image, page, pixel_size = micrograph.image, micrograph.page, micrograph.pixel_size
            if self.results.is_there(path, page, image, pixel_size, self.settings):
                return Outcome(path, True, f"{name}: already there")
            prediction, labels = segment_micrograph(self.networks, micrograph, self.how, ON_COMMAND_LINE, progress)
            found = Segmented(
                path=path,
                page=page,
                image=image,
                pixel_size=pixel_size,
                labels=labels,
                probability=_Computed(prediction.shape, prediction.value_rows),
                spread=None if prediction.deviation is None else _Computed(prediction.shape, prediction.spread_rows),
                left_out=prediction.left_out,
                warnings=prediction.warnings,
                distance=prediction.distance,
                settings=self.settings,
                pixel_from=micrograph.pixel_from,
            )
            return Outcome(path, True, self.results.add(found))
        except (ConfigError, TrainingError):
            raise
        except MicrographError as error:
            told = str(error)
            return Outcome(path, False, told if str(path) in told else f"{path}: {told}")
        except MemoryError:
            return Outcome(path, False, f"{place} cannot be segmented: there is not enough memory for it")
        except Exception as error:
            # A night's batch is not to end at one file, whatever is wrong with it.
            reason = " ".join(str(error).split())
            return Outcome(path, False, f"{place} cannot be segmented: {type(error).__name__}: {reason}")


@dataclass(frozen=True)
class _Computed:
    """A map of an image of which rows are worked out when they are asked for."""

    shape: tuple[int, int]
    rows: Callable[[slice], NDArray[np.float32] | None]

    def __getitem__(self, rows: slice) -> NDArray[np.float32] | None:
        start, stop, _ = rows.indices(self.shape[0])
        return self.rows(slice(start, stop))


def segment_micrograph(
    networks: Sequence[LoadedNetwork],
    micrograph: Micrograph,
    how: Applying,
    remedies: Remedies,
    progress: Progress | None = None,
) -> tuple[Prediction, NDArray[np.int32]]:
    """What networks give for a micrograph, and the particles in it.

    Parameters
    ----------
    networks : sequence of LoadedNetwork
        As of :func:`load_segmenters`.
    micrograph : Micrograph
    how : Applying
    remedies : Remedies
        What errors say can be done.
    progress : callable, optional
        Told how many tiles are done, and of how many.

    Returns
    -------
    prediction : Prediction
        With the warnings of the file.
    labels : int32 array [H, W]
        As of :func:`exitwave.benchmark.instances.find_instances`.

    Raises
    ------
    MicrographError
        If pixel or image are too far from those that the networks know.
    """
    prediction = predict_ensemble(
        networks,
        micrograph.image,
        micrograph.pixel_size,
        how.overlap,
        how.symmetry_average,
        how.any_pixel_size,
        how.any_image,
        progress,
        remedies,
    )
    mask = np.empty(prediction.shape, bool)
    for rows in strips(prediction.shape):
        # Where nothing was recorded is no particle, whatever the threshold.
        mask[rows] = (prediction.value_rows(rows) >= how.threshold) & ~prediction.left_out[rows]
    labels = find_instances(mask, micrograph.pixel_size, how.particles)
    return replace(prediction, warnings=(*micrograph.warnings, *prediction.warnings)), labels
