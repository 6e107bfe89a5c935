"""The task of classification: for every image its class, the value of a column of the metadata."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.models import Classification, Classifier
from exitwave.data.autocorrelation import mirror_quarter
from exitwave.data.columns import columns_made
from exitwave.data.preprocess import preprocess_stack
from exitwave.data.query import unknown_column
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.confusion import accuracy, macro_f1
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.class_sums import ClassSums

log = logging.getLogger(__name__)

MOST_CLASSES = 100
"""The table of a benchmark has a column for each pair of classes."""


@dataclass(frozen=True)
class ClassTask(ABC):
    """Classes of images, whatever the network sees of them; see :class:`exitwave.training.task.Task`."""

    model: Classifier
    classes: tuple[str, ...]
    """Values of the column, sorted."""
    arrays: ClassVar[tuple[str, ...]] = (INPUT,)
    curves: ClassVar[Curves] = Curves(
        "accuracy and F1 (validation)", {"validation_accuracy": "accuracy", "validation_f1": "macro F1"}, (0.0, 1.0)
    )

    @property
    def facts(self) -> dict[str, Any]:
        """The classes."""
        return {"classes": list(self.classes)}

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """What the network sees of stored images [n, H, H]."""
        return self.represented(preprocess_stack(arrays[INPUT], self.model.preprocessing))

    @abstractmethod
    def represented(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network sees of preprocessed images [n, H, W]."""

    def answered(self, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Of what networks see of images [n, ...], whether there is anything to name a class by."""
        return np.ones(len(seen), dtype=bool)

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all images."""
        return self.arrays

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.int64]:
        """Place of the class of each image among the classes [n]."""
        places = {name: place for place, name in enumerate(self.classes)}
        values = _texts(rows, self.model.target.column)
        unknown = sorted(set(values) - set(places))
        if unknown:
            raise TrainingError(
                f"target.column: found an image whose {self.model.target.column} is '{unknown[0]}', which no image of "
                f"the dataset has; allowed: {', '.join(self.classes)}"
            )
        return np.array([places[value] for value in values], dtype=np.int64)

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Images of each class; a class without any is warned of, since no network can learn it."""
        found = self.targets({}, rows)
        counts = {name: int((found == place).sum()) for place, name in enumerate(self.classes)}
        unseen = [repr(name) for name, count in counts.items() if not count]
        if unseen:
            log.warning("no image for training shows the class %s; a larger dataset has more", ", ".join(unseen))
        return counts

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.float(), targets, label_smoothing=self.model.label_smoothing)

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> ClassSums:
        """Sums over images."""
        from exitwave.training.class_sums import ClassSums

        return ClassSums.of(outputs.double(), targets, self.model.label_smoothing)

    def scores(self, sums: ClassSums) -> dict[str, float]:
        """Loss, accuracy and macro F1."""
        confusion = sums.confusion.cpu().numpy()
        return {
            "validation_loss": float(sums.loss) / sums.images,
            "validation_accuracy": float(accuracy(confusion)),
            "validation_f1": float(macro_f1(confusion)),
        }

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Probability of each class [n, classes]."""
        return outputs.float().softmax(1)

    def truth(self, targets: Any) -> Any:
        """Places of the classes [n]."""
        return targets


@dataclass(frozen=True)
class ClassificationTask(ClassTask):
    """Classes of images that a network sees as they are, or by their autocorrelation."""

    model: Classification

    def represented(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocessed images [n, H, H] as they are, or quarters of their autocorrelations [n, 2, h, h]."""
        if self.model.representation == "image":
            return images
        return np.stack([mirror_quarter(image) for image in images])

    def build(self) -> torch.nn.Module:
        """Network with one logit a class."""
        from exitwave.training.encoders import build_classifier

        return build_classifier(self.model, len(self.classes), self.model.seen(0)[0])

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse images that the network cannot take, or not one at a time."""
        from exitwave.training.encoders import check_size

        number, *channels, height, width = shape
        if height != width:
            raise TrainingError(f"images have {height} x {width} pixels; allowed: squares")
        if min(number, self.model.batch_size) == 1:
            raise TrainingError(
                "one image at a time may leave a single value for batch normalisation; allowed: batches of 2 images or "
                "more"
            )
        check_size(network, self.model.encoder, height, *channels)

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn and flip images; exchange the axes of quarters, and the sides of the mirror. Classes stay."""
        from exitwave.training.symmetry import draw_symmetries, exchanged, transform_each

        if self.model.representation == "autocorrelation":
            return exchanged(images, rng), targets
        return transform_each(images, draw_symmetries(len(images), rng)), targets


def _texts(rows: pd.DataFrame, column: str) -> list[str]:
    """Values of a column as text; images of blocks without the column have none."""
    return [str(value) for value in rows[column].fillna("")]


def check(model: Classifier, images: Sequence[Node]) -> None:
    """Refuse a column that the images do not have, or that holds numbers."""
    column = model.target.column
    made = {name: its for node in images for name, its in columns_made(node).items()}
    if column not in made:
        texts = [name for name, its in made.items() if its.text]
        raise ConfigError(
            f"found a model whose target is the column '{column}', which the images do not have; allowed: "
            f"{unknown_column(column, texts)}"
        )
    if not made[column].text:
        raise ConfigError(
            f"found a model whose target is the column '{column}', which holds numbers; allowed: a column of text, "
            "such as material"
        )


def facts(model: Classifier, manifest: pd.DataFrame) -> dict[str, Any]:
    """The classes: the different values of the column in the whole manifest."""
    column = model.target.column
    if column not in manifest.columns:
        raise TrainingError(
            f"target.column: found '{column}', which the images of the dataset do not have; allowed: "
            f"{unknown_column(column, manifest.columns)}"
        )
    classes = sorted(set(_texts(manifest, column)))
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise TrainingError(
            f"target.column: found {len(classes)} different values of '{column}' in the dataset; allowed: 2 to "
            f"{MOST_CLASSES}"
        )
    return {"classes": classes}


def task(model: Classification, facts: Mapping[str, Any]) -> ClassificationTask:
    """The task of a block."""
    return ClassificationTask(model, tuple(facts["classes"]))
