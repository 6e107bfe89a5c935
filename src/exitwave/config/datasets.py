"""The block of the datasets stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Fraction, Positive, Whole


class Dataset(Block):
    """A draw of images for training: a query on their metadata, a size, a split by structure."""

    VERSION = 2
    MADE_FROM = {"images": "images"}
    MOVED = {"label_threshold": "target.minimum of the models block that learns masks"}

    images: str | dict[str, Positive] = Field(
        description="images block; several with the share of each, {au: 0.5, cdse: 0.5}; or a list: one pool, in which "
        "every image is as likely"
    )
    size: Whole | None = Field(None, ge=1, description="training and validation images drawn; all if left out")
    where: str | None = Field(
        None, description="condition on metadata columns, such as 'defocus > 0 and dose < 500'; all if left out"
    )
    limit: dict[str, Whole] = Field(
        {},
        description="at most so many different values of a column among the images for training and validation, drawn "
        "at random: {structure: 128, defocus: 3}; structure stands for structure_id; fewer than that are an error",
    )
    draw: Literal["random", "stratified"] = Field(
        "random", description="random: independent of each other; stratified: equally many of each stratum"
    )
    strata: dict[str, Whole] = Field(
        {},
        description="columns that strata are made of, with the number of bins of equal counts, or of text the "
        "number of different values: {defocus: 5, dose: 4}",
    )
    draw_per_seed: bool = Field(
        False, description="whether each network of a training gets a draw of its own, instead of one for all"
    )
    validation: Fraction = Field(0.2, description="share of the structures kept for validation")
    test: Fraction = Field(0.1, description="share of the structures kept for the held-out benchmark")

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Dataset:
        if not self.images:
            raise ValueError("images names no block; allowed: one images block or more")
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation ({self.validation:g}) and test ({self.test:g}) leave no structures for training; "
                "allowed: a sum below 1"
            )
        if bool(self.strata) != (self.draw == "stratified"):
            raise ValueError("strata go with draw: stratified, and the other way round; allowed: both or neither")
        if self.validation == 0:
            raise ValueError("validation is 0; allowed: above 0, since the best network is chosen by validation loss")
        return self

    def shares(self) -> dict[str, float]:
        """Share of each images block."""
        return self.images if isinstance(self.images, dict) else {self.images: 1.0}
