"""The blocks of the images stage: microscope, exposure, camera, labels."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from exitwave.config.block import (
    Block,
    Column,
    NonNegative,
    NonNegativeReal,
    Positive,
    PositiveReal,
    UnitReal,
    Whole,
)
from exitwave.config.cameras import CAMERA_COLUMNS, Camera, IdealCamera, files_of_camera
from exitwave.config.distributions import Real, within
from exitwave.config.exit_waves import PlaneWave
from exitwave.config.yaml_files import sidecar_of


class Aberrations(Block):
    """Residual aberrations in Krivanek's polar notation, as in abTEM: coefficients [Å], angles [rad].

    The coefficients of Haider's notation may be given in their place: A1, B2, A2, S3, A3, B4, D4, A4, C3, C5, A5, R5
    and S5 [Å], with the angles ``A1_angle``, ... [°]. Defocus has a key of its own; ``C10`` and ``C1`` are not
    accepted here.
    """

    C12: Real = Field(0.0, description="twofold astigmatism [Å]")
    phi12: Real = Field(0.0, description="its angle [rad]")
    C21: Real = Field(0.0, description="axial coma [Å]")
    phi21: Real = Field(0.0, description="its angle [rad]")
    C23: Real = Field(0.0, description="threefold astigmatism [Å]")
    phi23: Real = Field(0.0, description="its angle [rad]")
    C30: Real = Field(0.0, description="spherical aberration [Å]")
    C32: Real = Field(0.0, description="star aberration [Å]")
    phi32: Real = Field(0.0, description="its angle [rad]")
    C34: Real = Field(0.0, description="fourfold astigmatism [Å]")
    phi34: Real = Field(0.0, description="its angle [rad]")
    C41: Real = Field(0.0, description="fourth-order coma [Å]")
    phi41: Real = Field(0.0, description="its angle [rad]")
    C43: Real = Field(0.0, description="three-lobe aberration [Å]")
    phi43: Real = Field(0.0, description="its angle [rad]")
    C45: Real = Field(0.0, description="fivefold astigmatism [Å]")
    phi45: Real = Field(0.0, description="its angle [rad]")
    C50: Real = Field(0.0, description="fifth-order spherical aberration [Å]")
    C52: Real = Field(0.0, description="fifth-order star aberration [Å]")
    phi52: Real = Field(0.0, description="its angle [rad]")
    C54: Real = Field(0.0, description="fifth-order rosette aberration [Å]")
    phi54: Real = Field(0.0, description="its angle [rad]")
    C56: Real = Field(0.0, description="sixfold astigmatism [Å]")
    phi56: Real = Field(0.0, description="its angle [rad]")

    @model_validator(mode="before")
    @classmethod
    def _from_haider(cls, values: Any) -> Any:
        from exitwave.config.haider import to_krivanek

        return to_krivanek(values) if isinstance(values, dict) else values


class Background(Block):
    """Uneven illumination and contamination, as slowly varying factors of the intensity."""

    gradient: NonNegativeReal = Field(
        0.0, description="relative change of the illumination from one edge of the image to the other"
    )
    gradient_angle: Real = Field(0.0, description="direction in which it grows, from x towards y [rad]")
    contamination: NonNegativeReal = Field(
        0.0, description="relative standard deviation of a smooth random factor of the intensity"
    )
    contamination_length: PositiveReal = Field(50.0, description="its correlation length [Å]")


# --- images -----------------------------------------------------------------------------------

Label = Literal[
    "instances", "thickness", "particle_thickness", "atoms", "atomic_columns", "boundary", "orientation", "domains"
]
LABELS: tuple[Label, ...] = get_args(Label)
LISTS = ("particle_thickness", "atomic_columns")
"""Labels that are lists of what is in an image, and not one map."""
PARTICLE_FIELDS = ("object_id", "thickness", "phase")
"""Fields of the array ``particles``: of which particle a map of ``particle_thickness`` is, and its largest values."""


class Images(Block):
    """What all kinds of images have."""

    LAPTOP = {"per_structure": 16}
    PIXEL: ClassVar[tuple[str, str]]
    """Key that gives the pixel of the image, and its unit."""
    per_structure: Whole = Field(1, ge=1, description="images of each structure")
    size: Whole = Field(ge=16, description="edge of the square image [px]")

    def pixel(self) -> tuple[float, str]:
        """Pixel of the image and its unit."""
        key, unit = self.PIXEL
        return float(getattr(self, key)), unit

    def maps(self) -> list[str]:
        """Maps [size, size] stored with every image, which a network can aim at."""
        return []

    def lists(self) -> list[str]:
        """Lists of what is in an image, stored with it."""
        return []


class RealSpaceImages(Images):
    """What all kinds of images of the specimen itself have: their pixels are lengths."""

    PIXEL = ("pixel_size", "Å")
    pixel_size: Positive = Field(description="image pixel [Å]")
    size: Whole = Field(ge=16, description="edge of the square image [px]")


class Hrtem(RealSpaceImages):
    """HRTEM images: several draws of optics, dose and position for each exit wave."""

    VERSION = 3
    COUNTS = frozenset({"device"})
    MADE_FROM = {"exit_waves": "exit_waves"}
    TAKES = {"exit_waves": (PlaneWave,)}
    MOVED = {"tilt_x": "illumination_tilt_x", "tilt_y": "illumination_tilt_y"}
    COLUMNS = {
        "pixel_size": Column("Å"),
        "microscope": Column(text=True),
        "offset_y": Column("wave px", redrawn=True),
        "offset_x": Column("wave px", redrawn=True),
        "defocus": Column("Å", redrawn=True),
        **{name: Column("rad" if name.startswith("phi") else "Å", redrawn=True) for name in Aberrations.model_fields},
        "illumination_tilt_x": Column("mrad", redrawn=True),
        "illumination_tilt_y": Column("mrad", redrawn=True),
        "focal_spread": Column("Å", redrawn=True),
        "temporal_coherence": Column(text=True, redrawn=True),
        "focal_nodes": Column(redrawn=True),
        "angular_spread": Column("mrad", redrawn=True),
        "vibration": Column("Å", redrawn=True),
        "drift_x": Column("Å", redrawn=True),
        "drift_y": Column("Å", redrawn=True),
        "objective_aperture": Column("mrad", redrawn=True),
        "plasmon_weight": Column(redrawn=True),
        "dose": Column("e⁻/Å²", redrawn=True),
        "illumination_gradient": Column(redrawn=True),
        "contamination": Column(redrawn=True),
        **CAMERA_COLUMNS,
        "label_smoothing": Column("Å"),
        "mean_counts": Column("counts/px", redrawn=True),
        "saturated": Column(redrawn=True),
        "particle_fraction": Column(redrawn=True),
        "labelled_outline": Column(redrawn=True),
    }
    kind: Literal["hrtem"]
    exit_waves: str = Field(description="exit_waves block")
    pixel_size: Positive = Field(description="image pixel [Å]; a whole multiple of the sampling of the exit wave")
    size: Whole = Field(ge=16, description="edge of the square image [px]; cut at a random place of the periodic field")
    microscope: str | None = Field(
        None,
        description="preset that gives aberrations, coherence and defocus where they are left out here: team_0_5, "
        "uncorrected_300kv or corrected_80kv (src/exitwave/config/microscopes.yaml)",
    )
    defocus: Real = Field(0.0, description="defocus [Å]; positive is underfocus")
    aberrations: Aberrations = Field(Aberrations(), description="residual aberrations")
    illumination_tilt_x: Annotated[Real, within(low=-50, high=50)] = Field(
        0.0, description="tilt of the illumination against the optic axis, towards x [mrad]: coma and more follow"
    )
    illumination_tilt_y: Annotated[Real, within(low=-50, high=50)] = Field(0.0, description="the same towards y [mrad]")
    focal_spread: Annotated[Real, within(low=0, high=1000)] = Field(
        0.0, description="standard deviation of the focal spread [Å]"
    )
    temporal_coherence: Literal["quadrature", "envelope"] = Field(
        "quadrature",
        description="quadrature: intensities averaged over defocus, exact; envelope: the wave's transfer damped, "
        "right for weak objects",
    )
    focal_nodes: Annotated[Whole, Field(ge=1, le=200)] | Literal["auto"] = Field(
        "auto",
        description="Gauss-Hermite nodes of the quadrature; auto: the fewest fitted nodes that keep the error of the "
        "transmission cross-coefficient below 10⁻³, from band, aperture and spread",
    )
    angular_spread: NonNegativeReal = Field(
        0.0, description="standard deviation of the angles of illumination [mrad]: spatial coherence, by its envelope"
    )
    vibration: NonNegativeReal = Field(0.0, description="standard deviation of random shifts during the exposure [Å]")
    drift: NonNegativeReal = Field(0.0, description="length of a steady drift during the exposure [Å]")
    drift_angle: Real = Field(0.0, description="its direction, from x towards y [rad]")
    objective_aperture: PositiveReal | None = Field(
        None, description="semi-angle of the objective aperture [mrad]; none: open"
    )
    plasmon_weight: UnitReal = Field(
        0.0, description="weight of the constant background that stands for plasmon losses; 0: zero-loss filtered"
    )
    dose: PositiveReal = Field(description="electron dose [e⁻/Å²]")
    background: Background = Field(Background(), description="uneven illumination and contamination")
    detector: Camera = Field(IdealCamera(kind="ideal"), description="camera")
    label_smoothing: NonNegative = Field(
        1.0, description="standard deviation of the Gaussian laid over the phase that labels are made from [Å]"
    )
    labels: list[Label] = Field(
        [],
        description="label maps stored beside the phase (docs/labels.md): particle instances, projected thickness of "
        "all particles and of each, mask by projected atoms, atomic columns, boundaries, local orientation, "
        "multi-class domains",
    )

    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu",
        description="where intensities are computed; auto: a GPU if there is one; all else is done on a core anyway",
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        from exitwave.config.microscopes import with_microscope

        return with_microscope(values) if isinstance(values, dict) else values

    def maps(self) -> list[str]:
        """The phase and the label maps."""
        return ["phase", *(name for name in self.labels if name not in LISTS)]

    def lists(self) -> list[str]:
        """Those of the labels that are lists."""
        return [name for name in self.labels if name in LISTS]

    def may_be_files(self) -> list[str]:
        """Files whose content is part of what is made: tables of transfer functions."""
        return files_of_camera(self.detector)


# --- real images ------------------------------------------------------------------------------

DRAWN = "drawn"
"""Array of the masks that were drawn by hand; it stands for what the images of simulations have for a mask."""
KEPT_BACK = "test"
"""Value of the column ``split`` of an index whose micrographs nothing is trained on."""


@dataclass(frozen=True)
class Listed:
    """A micrograph of an index, as it is written there.

    Attributes
    ----------
    image, mask : path
    pixel_size, page : str
        [Å], and counted from 1; empty where the file has to tell.
    group : str
        What is not independent of other micrographs of the same group; the image where the index does not say.
    """

    image: Path
    mask: Path
    pixel_size: str
    page: str
    group: str


class MicrographFields(RealSpaceImages):
    """Fields cut from micrographs whose masks were drawn by hand, at random places.

    A micrograph takes the way that it takes to a network that is applied to it: outliers are replaced, what does not
    show the specimen is left out, and it is brought to pixels of ``pixel_size``. Its mask goes along, and is learned
    whatever the ``target`` of a model says for simulated images. Micrographs smaller than a field are continued by
    their mirror image. All fields of the micrographs of one group are on one side of a split.
    """

    LAPTOP = {}
    COLUMNS = {
        "pixel_size": Column("Å"),
        "micrograph": Column(text=True),
        "micrograph_pixel_size": Column("Å"),
        "place_y": Column("Å", redrawn=True),
        "place_x": Column("Å", redrawn=True),
        "particle_fraction": Column(redrawn=True),
    }
    kind: Literal["micrographs"]
    path: PurePath = Field(
        description="folder with an index.csv, as of a benchmark of micrographs; those whose `split` is test are left "
        "out; relative to the working directory"
    )
    per_structure: Whole = Field(1, ge=1, description="fields of each micrograph")
    pixel_size: Positive = Field(description="pixel of the network [Å], to which micrographs are brought")
    size: Whole = Field(ge=16, description="edge of the square field [px]")
    outliers: NonNegative = Field(6.0, description="as `preprocessing.outliers` of models, on the pixels of the camera")

    @model_validator(mode="after")
    def _listed(self) -> MicrographFields:
        if not self.listed():
            raise ValueError(f"path {self.path}: index.csv lists no micrograph to train on; allowed: one or more")
        return self

    @property
    def count(self) -> int:
        """Number of micrographs."""
        return len(self.listed())

    @property
    def shard_size(self) -> int:
        """Micrographs in a shard, which is one job."""
        return 8

    def listed(self) -> list[Listed]:
        """Micrographs of the index that are not kept back, in its order.

        Raises
        ------
        ValueError
            If there is no such table.
        """
        folder, index = Path(self.path), Path(self.path) / "index.csv"
        if not os.path.isfile(index):
            raise ValueError(
                f"path {folder} has no index.csv; allowed: a folder with one of the columns image and mask"
            )
        with index.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        if any(not row.get(column) for row in rows for column in ("image", "mask")):
            raise ValueError(f"path {folder}: index.csv has a row without image or mask; allowed: both in every row")
        return [
            Listed(
                folder / row["image"],
                folder / row["mask"],
                row.get("pixel_size") or "",
                row.get("page") or "",
                row.get("group") or row["image"],
            )
            for row in rows
            if row.get("split") != KEPT_BACK
        ]

    def maps(self) -> list[str]:
        """The mask that was drawn."""
        return [DRAWN]

    def may_be_files(self) -> list[str]:
        """Images with their sidecars, and masks."""
        files = [(listed.image, listed.mask, sidecar_of(listed.image)) for listed in self.listed()]
        return [str(file) for named in files for file in named]

    def file_names(self) -> list[str]:
        """What else the index says of them, without which no two micrographs are told apart."""
        return [f"{listed.pixel_size}|{listed.page}|{listed.group}" for listed in self.listed()]
