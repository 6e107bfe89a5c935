"""The blocks of the benchmarks stage."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

from exitwave.config.block import Block, NonNegative, Positive, Whole
from exitwave.config.patterns import Diffraction

FARTHEST_PIXEL = 4.0
"""Ratio of an image's pixel to a network's, either way, beyond which an image is refused unless it is meant so."""


BY = (
    "columns of the metadata that scores are broken down by, such as [semiangle, specimen_thickness]; none: only those "
    "of all images"
)
BINS = "bins of equal counts of each of these columns; of text and of few different numbers each value is one"


class Benchmark(Block):
    """What all kinds of benchmarks have."""

    VERSION = 4
    COUNTS = frozenset({"threads", "trainings"})
    MADE_FROM = {"trainings": "trainings"}
    LAPTOP = {"bootstrap": 200}
    trainings: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="trainings blocks scored; if left out all that can be: on micrographs those that segment, of "
        "strain those that find disks, on others those that learn what the first of them learns",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="probability from which a pixel is particle"
    )
    any_pixel_size: bool = Field(
        False, description="whether pixels more than 4 times coarser or finer than those of a network are meant so"
    )
    bootstrap: Whole = Field(2000, ge=100, description="resamples for the intervals")
    threads: Whole = Field(1, ge=1, description="processor cores")


class SimulatedBenchmark(Benchmark):
    """Held-out simulated structures: the test split of datasets."""

    MADE_FROM = {**Benchmark.MADE_FROM, "datasets": "datasets"}
    LAPTOP = {**Benchmark.LAPTOP, "size": 16}
    kind: Literal["simulated"]
    datasets: list[str] = Field(min_length=1, description="datasets blocks whose held-out images are scored together")
    size: Whole = Field(128, ge=1, description="images scored at the most")
    by: list[str] = Field([], description=BY)
    bins: Whole = Field(4, ge=1, le=20, description=BINS)


class StrainBenchmark(Benchmark):
    """Strain of a simulated multilayer, whose every place is known."""

    MADE_FROM = {**Benchmark.MADE_FROM, "images": "images", "tuned_on": "datasets"}
    TAKES = {"images": (Diffraction,)}
    kind: Literal["strain"]
    images: str = Field(
        description="images block of a multilayer: the patterns of a scan across it, all of them scored"
    )
    tuned_on: str = Field(
        description="datasets block of diffraction patterns, on whose training images the classical methods are tuned"
    )
    reference: str = Field(
        "layer == 0",
        description="condition on metadata columns: places whose median lattice counts as unstrained, by default those "
        "in the substrate; they are not scored",
    )
    interface: NonNegative = Field(
        0.0, description="places nearer than this to an interface are shown, but not scored [Å]"
    )
    by: list[str] = Field(["layer"], description=BY)
    bins: Whole = Field(4, ge=1, le=20, description=BINS)


class MicrographBenchmark(Benchmark):
    """Real micrographs with expert masks."""

    kind: Literal["micrographs"]
    path: PurePath = Field(
        description="folder with an index.csv of the columns image, mask, and optionally pixel_size [Å], page, of "
        "files of several images, and group, of images that are not independent; relative to the working directory"
    )
    split: str | None = Field(
        None, description="value of the column split of index.csv: only those are scored, such as test; none: all"
    )
    pixel_size: Positive | None = Field(None, description="pixel [Å]; overrides index.csv and what the files say")
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="overlap of neighbouring tiles, of their edge"
    )
    symmetry_average: bool = Field(
        False, description="average the prediction over the eight quarter turns and flips of each tile"
    )
