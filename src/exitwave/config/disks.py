"""The block of the models that find Bragg disks: a pattern and its probe in, structure factors out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from exitwave.config.block import Block, Positive, Whole
from exitwave.config.models import Network

Channel = Literal["pattern", "probe", "correlation", "contrast", "hybrid", "edges"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
"""What a network may see of a pattern."""


class ReflectionTarget(Block):
    """An image of structure factors: a Gaussian at the place of each reflection."""

    weight: Literal["ewald", "flat"] = Field(
        "ewald",
        description="what weakens a reflection: its distance to the Ewald sphere, or to the plane across the beam "
        "(docs/diffraction.md)",
    )
    gamma: Positive = Field(
        0.5, description="exponent of the weight over the largest; below 1 weak reflections are learned as well"
    )
    sigma: Positive = Field(1.0, description="standard deviation of the Gaussians [px]")


class Disks(Network):
    """A network that finds Bragg disks: from a pattern and its vacuum probe an image of the structure factors."""

    LAPTOP = {**Network.LAPTOP, "width": 8, "depth": 3}
    kind: Literal["disks"]
    target: ReflectionTarget = Field(ReflectionTarget(), description="image of structure factors that is learned")
    architecture: Literal["unet", "fcunet"] = Field(
        "unet",
        description="unet: a U-Net on what `inputs` names; fcunet: a complex U-Net on the Fourier transform of the "
        "pattern times the conjugate one of the probe (Munshi et al. 2022)",
    )
    inputs: tuple[Channel, ...] | None = Field(
        None,
        description="what a unet sees, all if left out: pattern, probe, their correlation; contrast: the pattern over "
        "its mean around; hybrid and edges: the correlation with its spectrum evened out halfway or further, so that "
        "rims of disks count. [correlation] is the published rival. Of a fcunet what its last layers see beside the "
        "complex maps: nothing if left out, as published",
    )
    power: Annotated[float, Field(gt=0, le=1)] = Field(
        0.25, description="exponent of the intensities that are seen; 0.5: amplitudes; lower: weak disks show as well"
    )
    places: bool = Field(
        True,
        description="whether the network also says how far every pixel is from the middle of its disk, and how surely",
    )
    width: Whole = Field(16, ge=2, le=256, description="filters of the first stage, doubled in each further one")
    depth: Whole = Field(4, ge=1, le=6, description="downsampling stages")
    pooling: Literal["max", "spectral"] | None = Field(
        None,
        description="how stages are made smaller: largest of 2 x 2 values, or cut in Fourier space; if left out max in "
        "a unet and spectral in a fcunet, which has no other",
    )
    merge: Literal[1, 2] = Field(
        1,
        description="edge of the blocks of pixels that a unet takes for one pixel of so many more channels; 2 is about "
        "three times as fast",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the values dropped in each stage while training"
    )
    loss: Literal["weighted_mse", "l1", "ssim_l1"] = Field(
        "weighted_mse",
        description="weighted_mse: squared error times 1 + 5 times the truth; l1: absolute error; ssim_l1: absolute "
        "error plus one minus the structural similarity",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Disks:
        if len(set(self.seen)) < len(self.seen):
            raise ValueError(f"inputs is {list(self.seen)}; allowed: each once")
        if self.architecture == "unet" and not self.seen:
            raise ValueError("inputs is empty with architecture: unet; allowed: one at least")
        if self.architecture == "fcunet":
            if self.pooling == "max":
                raise ValueError("pooling is max with architecture: fcunet; allowed: spectral")
            if self.merge != 1:
                raise ValueError(f"merge is {self.merge} with architecture: fcunet; allowed: 1")
        return self

    @property
    def seen(self) -> list[Channel]:
        """What the network sees, or its last layers."""
        if self.inputs is None:
            return list(CHANNELS) if self.architecture == "unet" else []
        return list(self.inputs)

    def parts(self) -> dict[str, Any]:
        """See :meth:`exitwave.config.models.Network.parts`."""
        keys = {"architecture", "width", "depth", "pooling", "merge", "power", "places"}
        return {**self.model_dump(include=keys), "inputs": "+".join(self.seen)}

    def columns(self) -> tuple[str, ...]:
        """From which the radius of the disks follows."""
        return "semiangle", "energy"
