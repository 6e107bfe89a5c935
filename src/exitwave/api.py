"""What a person does in Python with a few lines: ``exitwave.simulate`` and ``exitwave.segment``.

Both are the jobs of the workflow on one item: what they check, and what comes out, is the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.images import Hrtem
from exitwave.config.models import MaskTarget, Segmentation
from exitwave.errors import ConfigError, MicrographError

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

MARGIN = 8.0
"""Vacuum [Å] around a structure that has no cell, on every side."""
LARGEST_SAMPLING = 0.4
"""Of the exit wave [Å], unless told otherwise."""
IDENTITY = "0"
"""Of every block, in place of a hash of what it is made from."""
_CHOSEN = {"kind", "structures", "exit_waves", "per_structure", "shard_size"}
"""Keys of the blocks that follow from what is asked."""


@dataclass(frozen=True)
class Simulated:
    """A simulated micrograph with its labels.

    Attributes
    ----------
    image : ndarray [H, W]
        Counts of the camera.
    mask : bool ndarray [H, W]
        What is particle.
    pixel_size : float
        [Å]
    labels : dict of ndarray
        Phase of the particles' exit wave [rad], and the labels asked for (docs/labels.md).
    conditions : dict
        All that was drawn and chosen, such as ``defocus`` [Å] and ``dose`` [e⁻/Å²].
    atoms : ase.Atoms
        The structure, the beam along z; its array ``object_id`` is 0 for the substrate.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_]
    pixel_size: float
    labels: Mapping[str, NDArray[Any]]
    conditions: Mapping[str, Any]
    atoms: Atoms


@dataclass(frozen=True)
class Segmented:
    """What was found in a micrograph.

    Attributes
    ----------
    labels : int32 ndarray [H, W]
        Number of the particle at each pixel, from 1; 0 is background.
    particles : DataFrame
        One row a particle, lengths in Å; see :func:`exitwave.benchmark.particles.particle_table`.
    probability : float32 ndarray [H, W]
        That a pixel is particle; mean of the networks.
    spread : float32 ndarray [H, W], optional
        Standard deviation over the networks; None of a single one.
    pixel_size : float
        [Å]
    warnings : tuple of str
        What makes the result doubtful, in words.
    distance : float, optional
        How unlike the training images the image is; None where that cannot be told.
    """

    labels: NDArray[np.int32]
    particles: pd.DataFrame
    probability: NDArray[np.float32]
    spread: NDArray[np.float32] | None
    pixel_size: float
    warnings: tuple[str, ...]
    distance: float | None


def segment(
    image: NDArray[Any] | str | Path,
    pixel_size: float | None = None,
    *,
    model: str | Path | None = None,
    convention: str | None = None,
    threshold: float = 0.5,
    smallest: float = 10.0,
    split: bool = True,
    any_pixel_size: bool = False,
    any_image: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> Segmented:
    """Find the particles of a micrograph.

    Parameters
    ----------
    image : array [H, W] or path
        Grey values of any scale, or a file that `exitwave segment` reads.
    pixel_size : float, optional
        Pixel [Å]; needed where no file says it.
    model : path, optional
        File of networks, or folder of a training or a network; by default the networks that come with exitwave.
    convention : str, optional
        What counts as particle, where a file of networks has several conventions; the first by default.
    threshold : float
        Probability from which a pixel is particle.
    smallest : float
        Diameter [Å] below which a region is no particle.
    split : bool
        Whether particles that touch are split.
    any_pixel_size, any_image : bool
        Whether a pixel, or an image, far from those that the networks were trained on is meant so.
    device : {"auto", "cpu", "cuda"}
        Where the networks run.

    Returns
    -------
    Segmented

    Raises
    ------
    ExitwaveError
        One sentence that says what was found and what is allowed.
    """
    from exitwave.benchmark.instances import ParticleRules
    from exitwave.benchmark.particles import particle_table
    from exitwave.benchmark.readers import Micrograph, open_micrographs
    from exitwave.benchmark.remedies import IN_PYTHON
    from exitwave.jobs.apply import Applying, load_segmenters, segment_micrograph
    from exitwave.training.bundle import BUNDLED

    how = Applying(
        pixel_size=pixel_size,
        convention=convention,
        threshold=threshold,
        any_pixel_size=any_pixel_size,
        any_image=any_image,
        device=device,
        particles=ParticleRules(smallest, split),
    )
    if isinstance(image, str | Path):
        micrograph = open_micrographs(Path(image)).read(pixel_size, None, IN_PYTHON)
    else:
        micrograph = Micrograph("image", _checked(image), None, _positive(pixel_size), "image", 1)
    networks = load_segmenters(BUNDLED if model is None else Path(model), how)
    found, labels = segment_micrograph(networks, micrograph, how, IN_PYTHON)
    probability, spread = found.values, found.spread
    table = particle_table(labels, micrograph.pixel_size, probability, spread, found.left_out)
    return Segmented(labels, table, probability, spread, micrograph.pixel_size, found.warnings, found.distance)


def _checked(image: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values of an image, all of them numbers."""
    values = np.asarray(image)
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "biuf":
        raise MicrographError(
            f"segment: found an image of the shape {values.shape} and type {values.dtype}; allowed: real numbers [H, W]"
        )
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise MicrographError("segment: found an image with values that are not finite; allowed: finite numbers")
    return values


def _positive(pixel_size: float | None) -> float:
    if pixel_size is None or not 0 < pixel_size < math.inf:
        raise MicrographError(f"segment: found the pixel_size {pixel_size}; allowed: a length above 0, in Å")
    return float(pixel_size)


def simulate(
    structure: Atoms | Mapping[str, Any],
    *,
    substrate_elements: Collection[str] = (),
    target: Mapping[str, Any] | None = None,
    seed: int = 0,
    **keys: Any,
) -> Simulated:
    """Simulate an HRTEM image of a structure, and what a network is to find in it.

    Parameters
    ----------
    structure : ase.Atoms or mapping
        Atoms, the beam along z: with an orthogonal cell that is periodic along x and y, or without a cell, around which
        8 Å of vacuum are put. Or a block of structures as in a config file, such as
        ``{"kind": "nanoparticles_on_substrate", "field_of_view": 51.2, "particles": {"radius": 12}, ...}``.
    substrate_elements : collection of str
        Elements of the atoms that are substrate; all others are one particle. Not with a mapping.
    target : mapping, optional
        What is particle, as the key ``target`` of a model that segments: by default where the phase of the particles'
        exit wave is 0.1 rad or more.
    seed : int
        Everything random follows from it: thermal motion, place, conditions that are distributions, noise.
    **keys
        Keys of the exit waves (``energy`` [eV], ``frozen_phonons``, ...) and of the image (``pixel_size`` [Å],
        ``size`` [px], ``defocus`` [Å], ``dose`` [e⁻/Å²], ``aberrations``, ``detector``, ``labels``, ...), each a value
        or a distribution, as in `config/README.md`.

    Returns
    -------
    Simulated

    Raises
    ------
    ExitwaveError
        One sentence that names key, value and what is allowed.
    """
    from exitwave.data.shards import open_shard
    from exitwave.data.tables import read_table, table_path
    from exitwave.jobs.simulate import make_shard, read_structure
    from exitwave.labels.mask import target_mask
    from exitwave.study.description import Description, describe
    from exitwave.study.link import study_from
    from exitwave.study.plan import SIMULATION, sources_of

    aim = _target(target)
    waves, image = _sorted(keys)
    image.setdefault("pixel_size", LARGEST_SAMPLING)
    waves.setdefault("sampling", image["pixel_size"] / math.ceil(image["pixel_size"] / LARGEST_SAMPLING - 1e-9))
    needed = [name for name in aim.arrays if name not in ("phase", "particles")]
    image["labels"] = list(dict.fromkeys([*image.get("labels", []), *needed]))
    with TemporaryDirectory(prefix="exitwave-") as folder:
        if isinstance(structure, Mapping):
            block = {**structure, "count": 1}
        else:
            block = _from_atoms(structure, float(image["pixel_size"]), substrate_elements, Path(folder))
        # A pixel below 0 is refused as that, and not for the size that follows from it.
        image.setdefault("size", int(abs(float(block["field_of_view"]) / float(image["pixel_size"])) + 1e-6))
        raw = {
            "seed": seed,
            "structures": {"structure": block},
            "exit_waves": {"wave": {"kind": "plane_wave", "structures": "structure", **waves}},
            "images": {"image": {"kind": "hrtem", "exit_waves": "wave", **image}},
        }
        study = study_from(raw, "simulate")
        shards: dict[str, Path] = {}
        for stage in SIMULATION:
            member = study.stage(stage)[0]
            shards[stage] = Path(folder) / f"{stage}.zarr.zip"
            sources = {source: shards[source] for source in sources_of(member)}
            device = getattr(member.block, "device", "cpu")
            # What is random follows from the seed alone, and not from the name of a temporary file.
            description = replace(Description.parse(describe(member)), hash=IDENTITY)
            make_shard(description, range(1), sources, shards[stage], device)
        arrays = {name: array.values for name, array in open_shard(shards["images"]).item(0).items()}
        row = {str(key): value for key, value in read_table(table_path(shards["images"])).iloc[0].items()}
        atoms = read_structure(open_shard(shards["structures"]), 0).to_ase()
    labels = {name: values for name, values in arrays.items() if name != "counts"}
    return Simulated(arrays["counts"], target_mask(aim, arrays), float(row["pixel_size"]), labels, row, atoms)


def _target(target: Mapping[str, Any] | None) -> MaskTarget:
    """What is particle, checked as in a config file."""
    from exitwave.study.link import study_from

    models = {"model": {"kind": "segmentation", **({} if target is None else {"target": dict(target)})}}
    return study_from({"models": models}, "simulate").stage("models")[0].of(Segmentation).target


def _sorted(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys of exit waves and of images; those that both have go to both."""
    parts = tuple(
        {key: value for key, value in keys.items() if key in kind.model_fields} for kind in (PlaneWave, Hrtem)
    )
    known = (set(PlaneWave.model_fields) | set(Hrtem.model_fields)) - _CHOSEN
    for key in keys:
        if key not in known:
            raise ConfigError(f"simulate: found the key '{key}'; allowed: {', '.join(sorted(known))}")
    return parts[0], parts[1]


def _from_atoms(atoms: Atoms, pixel_size: float, substrate: Collection[str], folder: Path) -> dict[str, Any]:
    """Block of structures of one whole structure, which is written to a file."""
    from ase import Atoms
    from ase.io import write

    atoms = Atoms(atoms)
    if not len(atoms):
        raise ConfigError("simulate: found no atoms; allowed: one or more")
    if not atoms.pbc[:2].any():
        low, high = atoms.positions.min(axis=0), atoms.positions.max(axis=0)
        # An even number of pixels, as the grid of the exit wave needs.
        edge = 2 * pixel_size * math.ceil(max((high - low)[:2] + 2 * MARGIN) / (2 * pixel_size))
        cell = np.array([edge, edge, (high - low)[2] + 2 * MARGIN])
        atoms.positions += cell / 2 - (low + high) / 2
        atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    path = folder / "structure.extxyz"
    write(path, atoms, format="extxyz", columns=["symbols", "positions"])
    return {
        "kind": "files",
        "path": str(path),
        "field_of_view": float(atoms.cell[0, 0]),
        "fill": False,
        "count": 1,
        "substrate_elements": list(substrate),
    }
