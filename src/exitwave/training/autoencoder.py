"""The task of an autoencoder: the image that it sees, made again of a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.reconstruction import Autoencoder
from exitwave.data.preprocess import preprocess_stack
from exitwave.data.shards import open_shard
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.image_sums import SquaredSums

GREY = 255.0
"""Grey levels from 0 to 1 of an image as it is normalised, as published errors count them."""


@dataclass(frozen=True)
class AutoencoderTask:
    """Images as they are seen, preprocessed; see :class:`exitwave.training.task.Task`."""

    model: Autoencoder
    edge: int
    """Of the images [px]: a dense layer fits one size."""
    arrays: ClassVar[tuple[str, ...]] = (INPUT,)
    curves: ClassVar[Curves] = Curves(
        "error of a pixel [grey levels] (validation)", {"validation_rms": "root mean square error"}
    )

    @property
    def facts(self) -> dict[str, Any]:
        """The size of the images."""
        return {"edge": self.edge}

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all images."""
        return self.arrays

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Preprocessed images [n, H, H]."""
        return preprocess_stack(arrays[INPUT], self.model.preprocessing)

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.float32]:
        """The same."""
        return self.inputs(arrays)

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Mean of the pixels, and their variance about the mean image: the error of who always says that."""
        about = targets - targets.mean(axis=0, dtype=np.float64)
        return {"mean": float(targets.mean(dtype=np.float64)), "variance": float((about**2).mean())}

    def build(self) -> torch.nn.Module:
        """Network for images of this size."""
        from exitwave.training.reconstruction_networks import DenseAutoencoder

        return DenseAutoencoder(self.model, self.edge)

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse images of another size, or that cannot be halved so often."""
        number, height, width = shape
        if (height, width) != (self.edge, self.edge):
            raise TrainingError(
                f"images have {height} x {width} pixels; allowed: {self.edge} x {self.edge}, as the first one has"
            )
        if self.edge % 2**self.model.depth:
            raise TrainingError(
                f"images have an edge of {self.edge} px; allowed: a multiple of {2**self.model.depth}, as depth is "
                f"{self.model.depth}"
            )
        if min(number, self.model.batch_size) == 1 and self.edge == 2**self.model.depth:
            raise TrainingError(
                "one image at a time leaves a single value for batch normalisation; allowed: a larger batch_size or "
                "more images, or a smaller depth"
            )

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn and flip images and targets alike."""
        from exitwave.training.symmetry import augment

        return augment(images, targets, rng)

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs[:, 0].float(), targets)

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> SquaredSums:
        """Squared errors of the images."""
        from exitwave.training.image_sums import SquaredSums

        return SquaredSums.of(outputs[:, 0].double(), targets.double())

    def scores(self, sums: SquaredSums) -> dict[str, float]:
        """Mean squared error, and its root in grey levels of which 255 lie between 0 and 1."""
        loss = float(sums.loss) / sums.images
        return {"validation_loss": loss, "validation_rms": GREY * loss**0.5}

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Images [n, H, H]."""
        return outputs[:, 0].float()

    def truth(self, targets: Any) -> Any:
        """Images [n, H, H]."""
        return targets


def check(model: Autoencoder, images: Sequence[Node]) -> None:
    """Refuse images of several sizes."""
    sizes = {node.name: node.of(Images).size for node in images}
    if len(set(sizes.values())) > 1:
        told = " and ".join(f"'{name}' of {size} px" for name, size in sizes.items())
        raise ConfigError(f"found an autoencoder on images {told}; allowed: images of one size")


def facts(model: Autoencoder, manifest: pd.DataFrame) -> dict[str, Any]:
    """The size of the images, which is that of the first."""
    first = manifest.iloc[0]
    return {"edge": int(open_shard(str(first["shard"])).read(INPUT, int(first["row"])).shape[-1])}


def task(model: Autoencoder, facts: Mapping[str, Any]) -> AutoencoderTask:
    """The task of a block."""
    return AutoencoderTask(model, int(facts["edge"]))
