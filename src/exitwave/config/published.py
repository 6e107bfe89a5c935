"""Published sets of experimental micrographs with masks that a benchmark can name: which files, and what is known."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter

from exitwave.config.benchmarks import Convention
from exitwave.config.block import Block, Positive
from exitwave.errors import ConfigError


class PublishedFile(Block):
    """A file of HDF5 of a set."""

    file: str = Field(description="its name, as published")
    key: str = Field(description="of the dataset in it")
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$", description="as published; none where it is not known")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="as published; none where it is not known")


class PublishedSet(Block):
    """A set of micrographs, or of patches of them, with masks drawn by hand."""

    title: str
    doi: str
    licence: str
    cite: str
    images: PublishedFile
    masks: PublishedFile
    pixel_size: Positive | None = Field(None, description="pixel [Å]; none where no source says it")
    convention: Convention | None = Field(
        None, description="what the experts have marked; none where nobody has looked"
    )
    whole: bool = Field(False, description="whether each image is a whole micrograph, not one of several patches of it")
    assumed: dict[Literal["files", "pixel_size", "convention"], str] = Field(
        {}, description="what no source confirms, and what it is taken from; one sentence each"
    )


@cache
def published_sets() -> dict[str, PublishedSet]:
    """All sets by name."""
    text = (files(__package__) / "published.yaml").read_text("utf-8")
    return TypeAdapter(dict[str, PublishedSet]).validate_python(yaml.safe_load(text))


def published_set(name: str) -> PublishedSet:
    """A set.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in published_sets():
        raise ConfigError(f"published: found '{name}'; allowed: {', '.join(published_sets())}")
    return published_sets()[name]
