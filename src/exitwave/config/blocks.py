"""The blocks of a config, one model a stage and kind. A new technique is a new ``kind`` here.

Fields carry their unit in the description; the key table in ``config/README.md`` is made from them.
``COUNTS`` of a block are left out of its identity (see ``identity.py``).
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exitwave.config.block import (
    Block,
    Fraction,
    NonNegative,
    Positive,
    Whole,
)
from exitwave.config.distributions import Real, within
from exitwave.config.imaging import Hrtem
from exitwave.config.specimen import NanoparticlesOnSubstrate

# --- exit waves -------------------------------------------------------------------------------


class PlaneWave(Block):
    """Plane-wave multislice: exit waves of the whole structure and of the particles alone."""

    VERSION = 2
    COUNTS = frozenset({"device"})
    kind: Literal["plane_wave"]
    structures: str = Field(description="structures block")
    energy: Positive = Field(300e3, ge=20e3, le=1e6, description="beam energy [eV]")
    sampling: Positive = Field(
        description="pixel of the stored wave [Å]; the simulation grid is 1.5 times finer, so that its band limit of "
        "2/3 is the Nyquist frequency of the stored wave"
    )
    oversampling: Annotated[float, Field(ge=1, le=8)] = Field(
        1.0,
        description="simulation on a grid finer by this factor, for atoms that scatter beyond what the stored wave "
        "holds; time grows with its square, storage does not",
    )
    slice_thickness: Positive = Field(2.0, description="slice thickness [Å]")
    frozen_phonons: Whole = Field(0, ge=0, description="thermal configurations averaged; 0: atoms at rest")
    temperature: Positive = Field(300.0, description="temperature of the thermal motion [K]")
    rms_displacements: dict[str, Positive] = Field(
        {},
        description="root-mean-square displacement along one axis by element, such as {Ce: 0.06, O: 0.08} [Å], at that "
        "temperature; in place of, or beside, those of the table of Debye-Waller factors",
    )
    engine: Literal["exitwave", "abtem"] = Field(
        "exitwave", description="what simulates: our multislice, or abTEM, the reference that it is tested against"
    )
    scheme: Literal["conventional", "accurate"] = Field(
        "accurate",
        description="conventional: atoms put on the grid by bilinear interpolation, transmission functions limited to "
        "2/3 of the band, wave for wave as abTEM does; accurate: neither, which is nearer to the wave of a fine grid "
        "and faster (docs/physics.md). Engine abtem has conventional only, which is then the default",
    )
    projection: Literal["infinite", "finite"] = Field(
        "infinite",
        description="infinite: the whole potential of an atom lies in its slice; finite: in each slice what is "
        "between its faces",
    )
    parametrization: Literal["lobato", "kirkland", "peng"] = Field("lobato", description="scattering factors")
    tilt_x: Annotated[Real, within(low=-100, high=100)] = Field(
        0.0, description="tilt of the beam towards x [mrad], drawn once a structure"
    )
    tilt_y: Annotated[Real, within(low=-100, high=100)] = Field(0.0, description="tilt of the beam towards y [mrad]")
    thickness_series: Positive | None = Field(
        None,
        description="depths at which the wave of the whole structure is stored as well, every so many Å rounded to "
        "slices; none if left out",
    )
    storage_error: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0,
        description="largest rounding error of the real and the imaginary part of a stored wave, whose incoming "
        "amplitude is 1; 0: stored without loss, 1e-3: a third of the size, no harm to images (docs/artifacts.md)",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to simulate; auto: a GPU if there is one; no part of the block's identity"
    )

    @model_validator(mode="before")
    @classmethod
    def _scheme_of_abtem(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("engine") == "abtem":
            return {"scheme": "conventional", **values}
        return values

    @property
    def simulated_sampling(self) -> float:
        """Pixel of a wave that would hold the whole band of the simulation [Å]."""
        return self.sampling / self.oversampling

    @model_validator(mode="after")
    def _engine_can(self) -> PlaneWave:
        if self.engine == "abtem" and self.scheme == "accurate":
            raise ValueError("scheme is accurate, with engine abtem; allowed: conventional, or engine exitwave")
        if self.engine == "abtem" and self.device == "cuda":
            raise ValueError("device is cuda, with engine abtem; allowed: cpu or auto, or engine exitwave")
        return self


# --- datasets ---------------------------------------------------------------------------------


class Dataset(Block):
    """A draw of images for training: a query on their metadata, a size, a split by structure."""

    VERSION = 2

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
    label_threshold: Positive = Field(
        0.1, description="phase of the in-focus particle wave above which a pixel is particle [rad]"
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


# --- models and trainings ---------------------------------------------------------------------


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


class Training(Block):
    """A model trained on a dataset, several times over."""

    COUNTS = frozenset({"seeds", "device", "precision", "threads"})
    datasets: str = Field(description="datasets block")
    model: str = Field(description="models block")
    streaming: bool = Field(
        False,
        description="whether every epoch after the first sees newly drawn images of the same exit waves, made while "
        "training, instead of the stored ones; validation images stay the stored ones",
    )
    seeds: Whole = Field(5, ge=1, description="networks trained, differing in initial weights and order of images")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train; auto: a GPU if there is one")
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="arithmetic; auto: bf16 where the processor has it in hardware"
    )
    threads: Whole = Field(1, ge=1, description="processor cores for one network")


# --- benchmarks -------------------------------------------------------------------------------


class _Benchmark(Block):
    COUNTS = frozenset({"threads", "trainings"})
    trainings: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="trainings blocks scored; all if left out"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="probability from which a pixel is particle"
    )
    bootstrap: Whole = Field(2000, ge=100, description="resamples over images for the intervals")
    threads: Whole = Field(1, ge=1, description="processor cores")


class SimulatedBenchmark(_Benchmark):
    """Held-out simulated structures: the test split of datasets."""

    kind: Literal["simulated"]
    datasets: list[str] = Field(min_length=1, description="datasets blocks whose held-out images are scored together")
    size: Whole = Field(128, ge=1, description="images scored at the most")


class MicrographBenchmark(_Benchmark):
    """Real micrographs with expert masks."""

    kind: Literal["micrographs"]
    path: PurePath = Field(
        description="folder with an index.csv of the columns image, mask, and optionally pixel_size [Å]; "
        "relative to the working directory"
    )
    pixel_size: Positive | None = Field(None, description="pixel [Å]; overrides index.csv and what the files say")
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="overlap of neighbouring tiles, of their edge"
    )
    symmetry_average: bool = Field(
        False, description="average the prediction over the eight quarter turns and flips of each tile"
    )


STAGES: dict[str, dict[str, type[Block]]] = {
    "structures": {"nanoparticles_on_substrate": NanoparticlesOnSubstrate},
    "exit_waves": {"plane_wave": PlaneWave},
    "images": {"hrtem": Hrtem},
    "datasets": {"": Dataset},
    "models": {"segmentation": Segmentation},
    "trainings": {"": Training},
    "benchmarks": {"simulated": SimulatedBenchmark, "micrographs": MicrographBenchmark},
}
"""Registry of the stages in pipeline order: kind -> model ('' where a stage has one kind only)."""
