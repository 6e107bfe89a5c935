"""The blocks of the models that give images: the same one from a few numbers, or a finer one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exitwave.config.block import NonNegative, Whole
from exitwave.config.models import ImageNetwork, Network


class Autoencoder(ImageNetwork):
    """A network that writes an image as a few numbers, and makes the image of them again.

    Convolutions halve the image ``depth`` times, a dense layer gives ``latent`` numbers, and the same backwards;
    nothing goes past these numbers.
    """

    COUNTS = frozenset({"principal_components"})
    LAPTOP = {**ImageNetwork.LAPTOP, "width": 8}
    kind: Literal["autoencoder"]
    latent: Whole = Field(448, ge=1, description="numbers that an image is written as")
    width: Whole = Field(16, ge=1, description="channels after the first convolution; twice as many after each other")
    depth: Whole = Field(3, ge=1, le=6, description="convolutions that halve the image, on either side")
    principal_components: tuple[Annotated[Whole, Field(ge=1)], ...] = Field(
        (),
        description="benchmarks make images of so many principal components, too, such as [64, 448], fewer than there "
        "are training images; another choice trains nothing anew",
    )

    def parts(self) -> dict[str, Any]:
        """See :meth:`Network.parts`."""
        return {"latent": self.latent, "width": self.width, "depth": self.depth}

    def aim(self) -> dict[str, Any]:
        """Kind, what is done to the image that is made again, and what else is scored: of any number of numbers."""
        return self.model_dump(
            mode="json", include={"kind", "preprocessing", "principal_components"}, exclude_defaults=True
        )


RANDOM = "random"
"""In place of networks whose features are compared: one that has learned nothing."""


class SuperResolution(Network):
    """A network that makes a finer image, without noise, of a coarse and noisy one.

    The loss is the squared error of the pixels, in units of the standard deviation of the coarse image. To it come, if
    asked for, the relative squared error of features, which are what an early layer of another network gives of both
    images, and what a critic says: a network that learns at the same time to tell outputs from true images (C. Ledig
    et al., CVPR 2017, 4681).
    """

    LAPTOP = {**Network.LAPTOP, "warm_up": 1, "blocks": 2}
    kind: Literal["super_resolution"]
    factor: Whole = Field(4, ge=2, le=8, description="how many times finer; `fine` of the images")
    width: Whole = Field(32, ge=1, description="channels")
    blocks: Whole = Field(6, ge=1, description="residual blocks of two convolutions")
    feature_weight: NonNegative = Field(0.0, description="weight of the error of features in the loss")
    features: str | None = Field(
        None,
        description="networks whose encoder gives the features: a file such as resources/models/atoms.safetensors, or "
        "the folder of a network or training, relative to the working directory, of which the first is taken; random: "
        "an encoder that has learned nothing; goes with feature_weight",
    )
    adversarial_weight: NonNegative = Field(0.0, description="weight of what the critic says in the loss; 0: no critic")
    warm_up: Whole = Field(
        2,
        ge=0,
        description="epochs before the critic joins; the network that is kept is the best of those after them",
    )

    @model_validator(mode="after")
    def _whole(self) -> SuperResolution:
        if (self.features is None) != (self.feature_weight == 0):
            raise ValueError(
                f"features is {self.features} with feature_weight {self.feature_weight:g}; allowed: both or neither"
            )
        if self.adversarial_weight and 0 < self.epochs <= self.warm_up:
            raise ValueError(f"warm_up is {self.warm_up} with epochs {self.epochs}; allowed: fewer than epochs")
        return self

    def parts(self) -> dict[str, Any]:
        """See :meth:`Network.parts`."""
        return {"factor": self.factor, "width": self.width, "blocks": self.blocks}

    def aim(self) -> dict[str, Any]:
        """Kind and factor."""
        return self.model_dump(mode="json", include={"kind", "factor"}, exclude_defaults=True)

    def may_be_files(self) -> list[str]:
        """Weights of the networks that give features."""
        if self.features in (None, RANDOM):
            return []
        folder = Path(str(self.features))
        if not os.path.isdir(folder):
            return [str(folder)]
        one = folder / "weights.safetensors"
        found = sorted(folder.glob("seed-*/weights.safetensors"), key=lambda file: (len(str(file)), str(file)))
        return [str(file) for file in ([one] if os.path.isfile(one) else found)]
