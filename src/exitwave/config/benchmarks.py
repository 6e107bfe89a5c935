"""The blocks of the benchmarks stage."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exitwave.config.block import Block, NonNegative, Positive, Whole
from exitwave.config.patterns import Diffraction

BY = (
    "columns of the metadata that scores are broken down by, such as [semiangle, specimen_thickness]; none: only those "
    "of all images"
)
Convention = Literal["outline", "half"]
"""What counts as particle (docs/conventions.md)."""
FARTHEST_PIXEL = 4.0
"""Ratio of an image's pixel to a network's, either way, beyond which an image is refused unless it is meant so."""


class Benchmark(Block):
    """What all kinds of benchmarks have."""

    VERSION = 4
    COUNTS = frozenset({"threads", "trainings"})
    MADE_FROM = {"trainings": "trainings"}
    LAPTOP = {"bootstrap": 200}
    trainings: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="trainings blocks scored; if left out all that can be: on micrographs those that segment, of "
        "strain those that find disks, of lattices those that name their class, on others those that learn what the "
        "first of them learns",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="probability from which a pixel is particle"
    )
    any_pixel_size: bool = Field(
        False, description="whether pixels more than 4 times coarser or finer than those of a network are meant so"
    )
    bootstrap: Whole = Field(2000, ge=100, description="resamples for the intervals")
    threads: Whole = Field(1, ge=1, description="processor cores")


class BrokenDown(Benchmark):
    """Benchmarks whose scores are broken down by conditions."""

    by: list[str] = Field([], description=BY)
    bins: Whole = Field(
        4,
        ge=1,
        le=20,
        description="bins of equal counts of each of these columns; of text and of few different numbers each value is "
        "one",
    )


class SimulatedBenchmark(BrokenDown):
    """Held-out simulated structures: the test split of datasets."""

    VERSION = 5
    MADE_FROM = {**Benchmark.MADE_FROM, "datasets": "datasets"}
    LAPTOP = {**Benchmark.LAPTOP, "size": 16}
    kind: Literal["simulated"]
    datasets: list[str] = Field(min_length=1, description="datasets blocks whose held-out images are scored together")
    size: Whole = Field(128, ge=1, description="images scored at the most")


class StrainBenchmark(BrokenDown):
    """Strain of a simulated multilayer, whose every place is known."""

    VERSION = 8
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


class ScanPart(Block):
    """A part of a scan."""

    columns: tuple[Annotated[Whole, Field(ge=0)], Whole] = Field(
        description="first column of the part, and the first one after it"
    )
    rows: tuple[Annotated[Whole, Field(ge=0)], Whole] = Field(
        description="first row of the part, and the first one after it"
    )


LARGEST_KNOWN = 0.09
"""Largest strain, and rotation [rad], against the reference that can be scored."""
KnownComponent = Annotated[float, Field(ge=-LARGEST_KNOWN, le=LARGEST_KNOWN)]


class KnownStrain(ScanPart):
    """A part of a scan whose strain is known, relative to the reference, along x and y of the patterns."""

    xx: KnownComponent = Field(0.0, description="strain along x")
    yy: KnownComponent = Field(0.0, description="strain along y")
    xy: KnownComponent = Field(0.0, description="shear, half of the change of the angle between x and y [rad]")
    rotation: float = Field(
        0.0, ge=-1e3 * LARGEST_KNOWN, le=1e3 * LARGEST_KNOWN, description="rotation, from x towards y [mrad]"
    )


class DatacubeBenchmark(BrokenDown):
    """A real scan of diffraction patterns with its probe, of which parts have a known strain."""

    VERSION = 6
    MADE_FROM = {**Benchmark.MADE_FROM, "tuned_on": "datasets"}
    LAPTOP = {**Benchmark.LAPTOP, "size": 100}
    kind: Literal["datacube"]
    path: PurePath = Field(
        description="scan of four dimensions, or a stack of patterns, in any format that `exitwave strain` reads"
    )
    probe: PurePath | None = Field(
        None, description="image of the probe in vacuum; one of probe, vacuum and semiangle is needed"
    )
    vacuum: ScanPart | None = Field(None, description="part of the scan beside the specimen, whose mean is the probe")
    semiangle: Positive | None = Field(None, description="semiangle of an even disk that is the probe [mrad]")
    energy: Positive | None = Field(None, description="of the electrons [eV], where the file does not say it")
    reciprocal_sampling: Positive | None = Field(
        None, description="pixel of the patterns [1/Å]; overrides what the file says"
    )
    scan_shape: tuple[Whole, Whole] | None = Field(
        None, description="columns and rows of the scan, where the file has a stack of patterns"
    )
    binning: Whole = Field(
        1, ge=1, description="edge of the blocks of pixels that are added up, where disks are larger than networks know"
    )
    tuned_on: str = Field(
        description="datasets block of diffraction patterns, on whose training images the classical methods are tuned"
    )
    reference: ScanPart = Field(description="part of the scan whose median lattice counts as unstrained; not scored")
    known: list[KnownStrain] = Field(
        [], description="parts whose strain is known, which are scored; none: all outside the reference, as unstrained"
    )
    size: Whole = Field(1000, ge=4, description="places of the scan that are measured at the most, evenly spread")
    by: list[str] = Field(["part"], description="what scores are broken down by: part, scan_row, scan_column; or none")

    @model_validator(mode="after")
    def _one_probe(self) -> Self:
        named = [name for name in ("probe", "vacuum", "semiangle") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"found {' and '.join(named) or 'no probe'}; allowed: one of probe, vacuum and semiangle")
        return self


class Hdf5(Block):
    """Where images and masks lie in files of HDF5."""

    images: str | None = Field(
        None, description="dataset of the images; none: the one named images or image, or the only one there is"
    )
    mask_file: PurePath | None = Field(None, description="file of the masks; none: that of the images")
    masks: str | None = Field(
        None, description="dataset of the masks; none: the one named maps, masks or labels, or the only one there is"
    )
    groups: str | None = Field(
        None,
        description="dataset, in the file of the images, of one value for each image, the same for images that are not "
        "independent, such as patches of one micrograph; none: each image counts as independent",
    )


class MicrographBenchmark(Benchmark):
    """Real micrographs with expert masks."""

    VERSION = 5
    kind: Literal["micrographs"]
    path: PurePath = Field(
        description="folder with an index.csv of the columns image, mask, and optionally pixel_size [Å], page, of "
        "files of several images, group, of images that are not independent, and convention; or a file of HDF5 that "
        "holds a stack of images; or, of a published set, the folder of its files; relative to the working directory"
    )
    published: str | None = Field(
        None,
        description="published set that is scored, of those in docs/published.md, such as zenodo_3755011_au: files, "
        "pixel size and convention are known then",
    )
    hdf5: Hdf5 = Field(Hdf5(), description="where images and masks lie, if path is a file of HDF5")
    networks: dict[str, str] = Field(
        {},
        description="further networks that are scored, which no training of the study makes, by the name that they "
        "get in tables: a file of networks, or the folder of a training or of a network. Of a file with several "
        "conventions one is chosen by its name, as in particles.safetensors#half; else each image gets those of its "
        "own",
    )
    convention: Convention | None = Field(
        None,
        description="what the experts have marked. outline: around fringes and rims; half: where a particle has half "
        "of its own contrast, or thickness. none: what the column convention of index.csv says, which may stay empty",
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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.published is not None and (self.hdf5 != Hdf5() or self.split is not None):
            raise ValueError("found published with hdf5 or split; allowed: published alone, which says where all is")
        return self


class LatticeBenchmark(Benchmark):
    """Real images of known lattices: which Bravais class is named, and how far the lattice that is found is off.

    Classes are told with a tolerance of 2 %, since scans strain what they see.
    """

    kind: Literal["lattices"]
    path: PurePath = Field(
        description="folder with an index.csv of the columns image, a, b and gamma, of the two shortest vectors of the "
        "known lattice [Å, °], and optionally pixel_size [Å], page, of files of several images, and group, of images "
        "that are not independent; relative to the working directory"
    )
    pixel_size: Positive | None = Field(None, description="pixel [Å]; overrides index.csv and what the files say")
