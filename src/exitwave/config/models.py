"""The blocks of the models stage: networks, what they aim at, and how they are optimised."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from exitwave.config.block import Block, Fraction, NonNegative, Positive, Whole


class Preprocessing(Block):
    """What is done to every image, simulated or experimental, before the network sees it."""

    outliers: NonNegative = Field(
        6.0,
        description="pixels that stand alone by more than so many robust standard deviations, such as hot and dead "
        "ones, are replaced by the median around them, on the pixels of the camera; 0: they stay",
    )
    median: Whole = Field(
        3, ge=1, description="edge of the median filter, on the pixels of the network [px], odd; 1: none"
    )
    normalization: Literal["percentile", "root", "minmax", "standard"] = Field(
        "percentile",
        description="per image: the percentiles 0.1 and 99.9 to 0 and 1, cut off there; the square root of that, which "
        "shows what is faint beside what is bright; the extremes to 0 and 1; or to mean 0 and standard deviation 1",
    )

    resampling: Literal["camera", "cubic"] = Field(
        "camera",
        description="how a micrograph is brought to the pixels of the network. camera: as a camera with such pixels "
        "would have taken it; cubic: by cubic interpolation, as for networks that know enlarged images",
    )

    @model_validator(mode="after")
    def _odd(self) -> Preprocessing:
        if self.median % 2 == 0:
            raise ValueError(f"median is {self.median}; allowed: an odd number")
        return self


class MaskTarget(Block):
    """A mask: what counts as particle. Or, by one of the other maps, where that is high."""

    LEAST: ClassVar[Mapping[str, float]] = {"phase": 0.1, "thickness": 2.0}
    MOVED = {"map": "by", "above": "minimum"}
    by: Literal["phase", "thickness", "outline", "boundary", "domains", "orientation"] = Field(
        "phase",
        description="what is measured (docs/labels.md). phase: of the particles' exit wave; thickness: of each "
        "particle along the beam; outline: whatever its atoms cover; or another map that is stored with the images",
    )
    fraction: Fraction = Field(
        0.0, description="smallest share of the largest phase or thickness of each particle that is still particle"
    )
    minimum: NonNegative | None = Field(
        None,
        description="smallest value that is still particle, in the unit of what is measured; none: 0.1 rad or 2 Å",
    )

    @model_validator(mode="after")
    def _consistent(self) -> MaskTarget:
        if self.fraction > 0 and self.by not in self.LEAST:
            raise ValueError(f"fraction is {self.fraction:g} with by: {self.by}; allowed: by: phase or thickness")
        if self.by == "outline" and self.minimum is not None:
            raise ValueError(
                f"minimum is {self.minimum:g} with by: outline, which has no values; allowed: leave it out"
            )
        if self.minimum == 0 and self.fraction == 0 and self.by in ("phase", "boundary", "domains"):
            raise ValueError(f"minimum is 0 with by: {self.by}, which every pixel has; allowed: above 0")
        if self.by not in (*self.LEAST, "outline") and self.minimum is None:
            raise ValueError(f"minimum is missing with by: {self.by}; allowed: a value of that map")
        return self

    @property
    def least(self) -> float:
        """Smallest value that is still particle."""
        return self.LEAST.get(self.by, 0.0) if self.minimum is None else self.minimum

    @property
    def arrays(self) -> tuple[str, ...]:
        """Stored arrays that the mask is made from."""
        if self.by == "outline":
            return ("atoms",)
        if self.by == "thickness":
            return "particle_thickness", "particles"
        return (self.by, "particle_thickness", "particles") if self.fraction > 0 else (self.by,)

    def told(self) -> str:
        """The mask in words."""
        words, unit = {
            "phase": ("phase of the particles' exit wave", " rad"),
            "thickness": ("thickness of a particle", " Å"),
            "orientation": ("orientation", "°"),
            "outline": ("outline of the projected atoms", ""),
        }.get(self.by, (self.by, ""))
        if self.by == "outline":
            return words
        share = f" and {self.fraction:.0%} of its largest" if self.fraction > 0 else ""
        return f"{words} of at least {self.least:g}{unit}{share}"


class MapTarget(Block):
    """A map as it is stored."""

    map: str = Field(description="map stored with the images (docs/labels.md); pixels without a value are left out")


class ColumnTarget(Block):
    """A class: the value of a column."""

    column: str = Field(description="column of text of the metadata, whose values are the classes")


class Network(Block):
    """What all kinds of models have: how the network is optimised."""

    VERSION = 2
    LAPTOP = {"epochs": 2}
    ROUNDED: ClassVar[bool] = True
    """Whether what goes in may be rounded to bf16, which tells no two whole numbers above 256 apart for sure."""
    kind: str
    epochs: Whole = Field(
        25,
        ge=0,
        description="passes over the training images; 0: networks stay as they start, to be scored beside others",
    )
    batch_size: Whole = Field(16, ge=1, description="images in a step")
    learning_rate: Positive = Field(1e-3, description="initial learning rate of Adam")
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)] = Field(0.8, description="factor after every epoch")
    learning_rate_schedule: Literal["decay", "cosine"] = Field(
        "decay",
        description="decay: by learning_rate_decay; cosine: half a wave over all epochs, from the initial rate towards "
        "0, whatever the decay",
    )
    gradient_clip: NonNegative = Field(
        0.0, description="largest norm of the gradients in a step, to which longer ones are cut; 0: none is cut"
    )
    augmentation: bool = Field(True, description="random quarter turns and flips of training images")
    weight_average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay per step of an exponential moving average of the weights, which is then validated and "
        "kept in their place; 0: none",
    )

    def rate_of(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        if self.learning_rate_schedule == "cosine":
            # Loshchilov and Hutter, SGDR, ICLR 2017, without restarts, a step an epoch.
            return self.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2
        return self.learning_rate * self.learning_rate_decay ** (epoch - 1)

    def parts(self) -> dict[str, Any]:
        """Keys that say what the network is built of, with their values: weights fit networks of the same parts."""
        keys = ("architecture", "encoder", "encoder_depth")
        return {key: getattr(self, key) for key in keys if key in type(self).model_fields}

    def columns(self) -> tuple[str, ...]:
        """Columns of the metadata of the images that it learns."""
        return ()

    def aim(self) -> dict[str, Any]:
        """Kind and target in plain values: networks of one aim can be scored against the same truth.

        Together they are a block of the same kind, whose other keys have their defaults. Values equal to their defaults
        are left out, so that a new key does not make another aim.
        """
        return self.model_dump(mode="json", include={"kind", "target"}, exclude_defaults=True)


class ImageNetwork(Network):
    """What the kinds of models have that see an image alone: what it goes through first."""

    preprocessing: Preprocessing = Field(Preprocessing(), description="image preprocessing")


class PixelNetwork(ImageNetwork):
    """What the kinds of models have that give a value for every pixel."""

    LAPTOP = {**ImageNetwork.LAPTOP, "encoder_depth": 3}
    architecture: Literal["unet", "unetplusplus", "fpn", "linknet", "residual"] = Field(
        "unet",
        description="architecture, from segmentation-models-pytorch; or residual: the small U-Net of residual blocks "
        "of Sytwu et al. (docs/peers.md), which has no other encoder",
    )
    encoder: str = Field("resnet18", description="encoder, from segmentation-models-pytorch; random weights")
    encoder_depth: Whole = Field(5, ge=3, le=5, description="downsampling stages of the encoder")

    @model_validator(mode="after")
    def _own_encoder(self) -> Self:
        if self.architecture == "residual" and self.encoder != "resnet18":
            raise ValueError(
                f"encoder is {self.encoder} with architecture: residual, which has its own; allowed: leave it out"
            )
        return self

    def parts(self) -> dict[str, Any]:
        """See :meth:`Network.parts`; the encoder only of architectures that can have several."""
        parts = super().parts()
        return {key: parts[key] for key in parts if key != "encoder" or self.architecture != "residual"}


class Segmentation(PixelNetwork):
    """A network that segments: for every pixel the probability that it is particle."""

    kind: Literal["segmentation"]
    target: MaskTarget = Field(MaskTarget(), description="mask that is learned")
    cross_entropy_weight: NonNegative = Field(1.0, description="weight of the cross-entropy in the loss")
    dice_weight: NonNegative = Field(1.0, description="weight of the Dice (F1) term in the loss")
    focal_weight: NonNegative = Field(
        0.0, description="weight of the focal loss in the loss: cross-entropy in which pixels that are right count less"
    )
    focal_gamma: Annotated[float, Field(ge=1)] = Field(
        2.0, description="how much less: by the probability of being wrong to this power"
    )
    boundary_weight: NonNegative = Field(
        0.0,
        description="weight of the boundary loss in the loss: wrong pixels count by their distance to the outline of "
        "the mask [nm]",
    )

    @model_validator(mode="after")
    def _some_loss(self) -> Segmentation:
        if self.cross_entropy_weight + self.dice_weight + self.focal_weight == 0:
            raise ValueError(
                "cross_entropy_weight, dice_weight and focal_weight are all 0; allowed: at least one above 0"
            )
        return self


class Regression(PixelNetwork):
    """A network that measures: for every pixel the value of a map."""

    COUNTS = frozenset({"masks"})
    kind: Literal["regression"]
    target: MapTarget = Field(description="map that is learned")
    loss: Literal["l1", "huber"] = Field(
        "l1", description="l1: mean absolute error; huber: squared below an error of `scale`, absolute above"
    )
    scale: Positive = Field(
        1.0,
        description="value of the map that is an output of 1, in the map's unit: about its spread, so that the network "
        "works with numbers of order one",
    )
    masks: list[Positive] = Field(
        [],
        description="thresholds of the map, in its unit, for which benchmarks score the mask of what is above; "
        "another choice trains nothing anew",
    )

    def aim(self) -> dict[str, Any]:
        """Kind, target and the masks that are scored."""
        return self.model_dump(mode="json", include={"kind", "target", "masks"}, exclude_defaults=True)


class Classifier(ImageNetwork):
    """What the kinds of models have that tell classes of images apart."""

    target: ColumnTarget = Field(description="classes that are learned")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the probability that the loss spreads evenly over all classes"
    )

    @abstractmethod
    def seen(self, size: int) -> tuple[int, int]:
        """Channels and edge [px] of what the network sees of images with an edge of so many pixels."""

    def columns(self) -> tuple[str, ...]:
        """The column whose values are the classes."""
        return (self.target.column,)

    def aim(self) -> dict[str, Any]:
        """Kind and target; the kind is that of networks that see images, since all are held against the same truth."""
        return {"kind": "classification", **self.model_dump(mode="json", include={"target"}, exclude_defaults=True)}


QUARTER = 96
"""Edge of the quarter of an autocorrelation that networks see [px]."""


class Classification(Classifier):
    """A network that tells classes of images apart."""

    kind: Literal["classification"]
    encoder: str = Field(
        "resnet18", description="network, from timm, or encoder from segmentation-models-pytorch; random weights"
    )
    representation: Literal["image", "autocorrelation"] = Field(
        "image",
        description="what the network sees: the image; or a quarter of its autocorrelation, turned to a mirror line, "
        "which shows the lattice wherever and however it lies",
    )

    def seen(self, size: int) -> tuple[int, int]:
        """See :meth:`Classifier.seen`."""
        return (1, size) if self.representation == "image" else (2, QUARTER)

    def parts(self) -> dict[str, Any]:
        """See :meth:`Network.parts`; the representation, unless it is the image."""
        seen = {} if self.representation == "image" else {"representation": self.representation}
        return {**super().parts(), **seen}


DEFAULT_AIM = Segmentation(kind="segmentation").aim()
"""What networks are taken to learn where nothing else is known."""
