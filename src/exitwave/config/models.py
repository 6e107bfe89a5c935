"""The blocks of the models stage: networks and how they are optimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, NonNegative, Positive, Whole


class Preprocessing(Block):
    """What is done to every image, simulated or experimental, before the network sees it."""

    median: Whole = Field(3, ge=1, description="edge of the median filter [px], odd; 1: none")
    normalization: Literal["minmax", "standard"] = Field(
        "minmax", description="per image: to [0, 1], or to mean 0 and standard deviation 1"
    )

    @model_validator(mode="after")
    def _odd(self) -> Preprocessing:
        if self.median % 2 == 0:
            raise ValueError(f"median is {self.median}; allowed: an odd number")
        return self


class Segmentation(Block):
    """A segmentation network and how it is optimised."""

    LAPTOP = {"epochs": 2, "encoder_depth": 3}
    kind: Literal["segmentation"]
    architecture: Literal["unet", "unetplusplus", "fpn", "linknet"] = Field(
        "unet", description="architecture, from segmentation-models-pytorch"
    )
    encoder: str = Field("resnet18", description="encoder, from segmentation-models-pytorch; random weights")
    encoder_depth: Whole = Field(5, ge=3, le=5, description="downsampling stages of the encoder")
    preprocessing: Preprocessing = Field(Preprocessing(), description="image preprocessing")
    epochs: Whole = Field(25, ge=1, description="passes over the training images")
    batch_size: Whole = Field(16, ge=1, description="images in a step")
    learning_rate: Positive = Field(1e-3, description="initial learning rate of Adam")
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)] = Field(0.8, description="factor after every epoch")
    cross_entropy_weight: NonNegative = Field(1.0, description="weight of the cross-entropy in the loss")
    dice_weight: NonNegative = Field(1.0, description="weight of the Dice (F1) term in the loss")
    augmentation: bool = Field(True, description="random quarter turns and flips of training images")
    weight_average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay per step of an exponential moving average of the weights, which is then validated and "
        "kept in their place; 0: none",
    )

    @model_validator(mode="after")
    def _some_loss(self) -> Segmentation:
        if self.cross_entropy_weight + self.dice_weight == 0:
            raise ValueError("cross_entropy_weight and dice_weight are both 0; allowed: at least one above 0")
        return self
