"""How predicted classes are judged: which class was taken for which.

Classes are those of the benchmark, in the order of its task. Networks may know others: what they take for one of those
is wrong, as is every image of a class that they do not know.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark import plane_lattices
from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.metrics import SHARE, Metric, Score
from exitwave.benchmark.tiling import check_pixel, resample, resampled_shape
from exitwave.config.benchmarks import Benchmark
from exitwave.config.models import Preprocessing
from exitwave.data.fingerprint import power_spectrum
from exitwave.data.preprocess import filter_median, normalize
from exitwave.errors import LatticeError
from exitwave.items import Axis, lateral
from exitwave.structures.lattice2d import CLASSES as BRAVAIS
from exitwave.training.classification import ClassTask
from exitwave.training.confusion import accuracy, macro_f1

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
KEPT = np.float32
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
FINDER = "lattice of the autocorrelation"
"""Name of the method that finds lattices without learning."""
ANOTHER = "another"
"""Stands for all classes that the benchmark does not have."""
NOTE = (
    "Accuracy: share of the images whose class was found. Macro F1: mean over classes of the F1 score of each. "
    "Brackets: 95 % bootstrap interval over images, of which those of one structure or group are drawn together. Of "
    "networks the median over seeds is given, with the smallest and the largest seed; an ensemble is the mean "
    "prediction of all seeds. Baselines are fitted to training images."
)


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of an image, or one number for each class."""
    return lateral(pixel_size) if name == "image" else (Axis("class"),)


def truths(task: ClassTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Places of classes that networks learn."""
    return task.targets(arrays, rows)


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """That of the benchmark: the class with the largest probability is found, whatever it is."""
    return block.threshold


def metric(task: ClassTask, threshold: float) -> Metric:
    """Metric of probabilities [classes + 1], of which the last is that of any other class."""
    number = len(task.classes)
    pairs = [(truth, predicted) for truth in range(number) for predicted in range(number + 1)]
    names = (*task.classes, ANOTHER)

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, float]:
        found = int(truth[0]), int(np.argmax(prediction))
        return {f"c_{pair[0]}_{pair[1]}": float(pair == found) for pair in pairs}

    def scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        confusion = np.reshape(counts, (*np.shape(counts)[:-1], number, number + 1))
        return {"accuracy": accuracy(confusion), "macro_f1": macro_f1(confusion)}

    return Metric(
        counts=tuple(f"c_{truth}_{predicted}" for truth, predicted in pairs),
        count=count,
        scores=scores,
        describe=lambda prediction, truth: {
            "truth": names[int(truth[0])],
            "prediction": names[int(np.argmax(prediction))],
        },
        summary=(
            Score("accuracy", "accuracy", "accuracy", foremost=True, limits=SHARE),
            Score("macro_f1", "macro_f1", "macro F1", "F1, mean over classes", foremost=True, limits=SHARE),
        ),
        note=NOTE,
    )


def rules(task: ClassTask) -> Mapping[str, Rule]:
    """None: what a class looks like has to be learned."""
    return {}


def fitted(task: ClassTask) -> Mapping[str, Fit]:
    """What is reached without a look at the image, and by its power spectrum alone."""
    number = len(task.classes)
    methods: dict[str, Fit] = {
        "most frequent class": lambda examples: most_frequent(examples, number),
        "nearest power spectrum": lambda examples: nearest_spectrum(examples, number),
    }
    if set(task.classes) <= set(BRAVAIS):
        methods[FINDER] = lambda examples: plane_lattice(examples, task.classes)
    return methods


def most_frequent(examples: Sequence[Case], classes: int) -> Rule:
    """The class with most training images, always."""
    place = int(np.bincount(_places(examples), minlength=classes).argmax())
    return lambda case: _certain(place, classes)


def nearest_spectrum(examples: Sequence[Case], classes: int) -> Rule:
    """The class whose mean logarithmic radial power spectrum is nearest, each ring in units of its spread."""
    spectra = np.stack([_spectrum(example.image) for example in examples])
    spread = spectra.std(axis=0)
    spread[spread == 0] = 1
    true = _places(examples)
    places = np.unique(true)
    centres = np.stack([spectra[true == place].mean(axis=0) for place in places])

    def rule(case: Case) -> NDArray[Any]:
        distance = (((centres - _spectrum(case.image)) / spread) ** 2).sum(axis=1)
        return _certain(int(places[distance.argmin()]), classes)

    return rule


def plane_lattice(examples: Sequence[Case], classes: Sequence[str]) -> Rule:
    """The Bravais class of the lattice that the autocorrelation shows; where it shows none, no class is right."""
    true = [classes[place] for place in _places(examples)]
    how = plane_lattices.tuned([one.image for one in examples], [one.pixel_size for one in examples], true)
    log.info("lattice of the autocorrelation: points alike to %g, tolerance %g", how.alike, how.tolerance)

    def rule(case: Case) -> NDArray[Any]:
        try:
            found = plane_lattices.find_plane_lattice(case.image, case.pixel_size, how.alike)
        except LatticeError:
            return _certain(len(classes), len(classes))
        name = found.bravais(how.tolerance).name
        return _certain(classes.index(name) if name in classes else len(classes), len(classes))

    return rule


def _places(examples: Sequence[Case]) -> NDArray[np.int64]:
    return np.concatenate([example.truth for example in examples]).astype(np.int64)


def _spectrum(image: NDArray[np.float32]) -> NDArray[np.float64]:
    image, _ = without_artifacts(image, Preprocessing().outliers)
    # A constant image has no power, and no logarithm of it.
    return np.log(power_spectrum(image.astype(np.float64)) + 1e-12)


def _certain(place: int, classes: int) -> NDArray[np.float32]:
    probability = np.zeros(classes + 1, np.float32)
    probability[place] = 1
    return probability


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: ClassTask) -> NDArray[Any]:
    """Probabilities of the classes of the benchmark, and the largest of those of other classes [classes + 1].

    The image is given to the network as a whole.

    Raises
    ------
    MicrographError
        If its pixel is too far from that of the network.
    """
    return np.asarray(classified(network, seen_by(network, case, block)[None], task.classes)[0])


def seen_by(network: LoadedNetwork, case: Case, block: Benchmark) -> NDArray[np.float32]:
    """The image of a case on the pixels of a network, filtered, without what the specimen did not make.

    Raises
    ------
    MicrographError
        If its pixel is too far from that of the network.
    """
    preprocessing = network.preprocessing
    image, _ = without_artifacts(case.image, preprocessing.outliers)
    shape = (image.shape[0], image.shape[1])
    told = check_pixel(shape, case.pixel_size, network.pixel_size, max(shape), 0.0, block.any_pixel_size)
    if told:
        log.warning("%s: %s", case.name, told)
    image = resample(image, resampled_shape(shape, case.pixel_size, network.pixel_size))
    return filter_median(image, preprocessing.median)


def classified(network: LoadedNetwork, images: NDArray[np.float32], classes: Sequence[str]) -> NDArray[np.float32]:
    """Probabilities [n, classes + 1] of classes for images [n, H, W]; the last is the largest of those of others."""
    import torch

    normalized = np.stack([normalize(image, network.preprocessing.normalization) for image in images])
    own = network.task
    assert isinstance(own, ClassTask)
    represented = own.represented(normalized)
    seen = torch.from_numpy(represented)
    with torch.inference_mode():
        known = own.predict(network.module(seen if seen.ndim == 4 else seen[:, None])).numpy()
    probability = np.zeros((len(images), len(classes) + 1), np.float32)
    places = {name: place for place, name in enumerate(classes)}
    for name, values in zip(own.classes, known.T, strict=True):
        place = places.get(name, len(classes))
        probability[:, place] = np.maximum(probability[:, place], values)
    # Where there is nothing to name a class by, none is right.
    probability[~own.answered(represented)] = _certain(len(classes), len(classes))
    return probability
