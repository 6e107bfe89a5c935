"""The block of the datasets stage."""

from __future__ import annotations

import csv
import os
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Fraction, Positive, Whole
from exitwave.config.images import KEPT_BACK
from exitwave.config.yaml_files import sidecar_of

_Share = Annotated[float, Field(gt=0, le=1)]


class Match(Block):
    """Micrographs without labels that a dataset is drawn towards."""

    path: PurePath = Field(
        description="folder of micrographs; those that its index.csv names, if it has one (columns image, and "
        "optionally pixel_size [Å], page and split, of which test is left out), else all in and below it; relative to "
        "the working directory"
    )
    pixel_size: Positive | None = Field(None, description="pixel [Å]; overrides index.csv and what the files say")
    nearest: _Share = Field(
        0.1, description="share of the images that the weight of a micrograph goes to, in effect: those nearest to it"
    )
    evenly: _Share = Field(
        0.1, description="share of all weight that goes to every image alike, so that each can be drawn"
    )

    @model_validator(mode="after")
    def _there(self) -> Match:
        if not os.path.isdir(self.path):
            raise ValueError(f"path {self.path} is no folder; allowed: a folder of micrographs")
        if not self.may_be_files():
            raise ValueError(f"path {self.path} holds no micrograph; allowed: one or more")
        return self

    @property
    def index(self) -> Path | None:
        """Table that names the micrographs, if there is one."""
        path = Path(self.path) / "index.csv"
        return path if os.path.isfile(path) else None

    def micrographs(self) -> list[Path]:
        """Images that the index names; without one all files of the folder but hidden ones, in the order of paths."""
        root = Path(self.path)
        if self.index is not None:
            return [root / row["image"] for row in self._rows() if row.get("image")]
        parts = [(file.relative_to(root).parts, file) for file in root.rglob("*") if file.is_file()]
        return [file for names, file in sorted(parts) if not any(name.startswith(".") for name in names)]

    def may_be_files(self) -> list[str]:
        """The micrographs, and their sidecars."""
        found = dict.fromkeys(file for image in self.micrographs() for file in (image, sidecar_of(image)))
        return [str(file) for file in found]

    def file_names(self) -> list[str]:
        """Their names, which are recorded, and what else the index says of them."""
        if self.index is None:
            return [file.relative_to(self.path).as_posix() for file in self.micrographs()]
        return ["|".join(row.get(name) or "" for name in ("image", "pixel_size", "page")) for row in self._rows()]

    def _rows(self) -> list[dict[str, str]]:
        if self.index is None:
            return []
        with self.index.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.DictReader(file) if row.get("split") != KEPT_BACK]


def _or_text(schema: dict[str, Any]) -> None:
    """A folder alone will do."""
    schema["anyOf"].insert(0, {"type": "string"})


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
    match: Match | None = Field(
        None,
        description="micrographs that the draw is to be nearer to, a folder or a block: images are the likelier the "
        "nearer their spectrum, grey values and autocorrelation are; no label is used; none: all are as likely",
        json_schema_extra=_or_text,
    )
    draw_per_seed: bool = Field(
        False, description="whether each network of a training gets a draw of its own, instead of one for all"
    )
    validation: Fraction = Field(0.2, description="share of the structures kept for validation")
    test: Fraction = Field(0.1, description="share of the structures kept for the held-out benchmark")

    @model_validator(mode="before")
    @classmethod
    def _folder_alone(cls, raw: Any) -> Any:
        folder = raw.get("match") if isinstance(raw, dict) else None
        return {**raw, "match": {"path": folder}} if isinstance(folder, str) else raw

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
        if self.match is not None and (self.size is None or self.draw != "random"):
            raise ValueError(
                "match is given without a size, or with draw: stratified; allowed: a size below the number of images, "
                "and draw: random"
            )
        return self

    def may_be_files(self) -> list[str]:
        """The micrographs that it is drawn towards."""
        return self.match.may_be_files() if self.match else []

    def file_names(self) -> list[str]:
        """What the index of their folder says of them."""
        return self.match.file_names() if self.match else []

    def shares(self) -> dict[str, float]:
        """Share of each images block."""
        return self.images if isinstance(self.images, dict) else {self.images: 1.0}
