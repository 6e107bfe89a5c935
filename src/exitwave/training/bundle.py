"""Several networks in one file, in half precision: what comes with exitwave, and can be given to others.

A bundle has the networks of one or more conventions. A convention says what is found, such as what counts as particle,
since experts do not agree on that: the same study gives each of them a training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from exitwave.data.whole import replace_file
from exitwave.errors import TrainingError
from exitwave.training.kinds import task_from
from exitwave.training.record import DESCRIPTION, MALFORMED, network_folders, read_record, record_from
from exitwave.training.task import Task

if TYPE_CHECKING:
    import torch

    from exitwave.training.networks import LoadedNetwork

_MODELS = Path(__file__).parents[3] / "resources" / "models"
BUNDLED = _MODELS / "particles.safetensors"
"""The networks that come with exitwave to segment, and are used where no others are named."""
BUNDLED_DISKS = _MODELS / "disks.safetensors"
"""Those that find Bragg disks."""
BUNDLED_ATOMS = _MODELS / "atoms.safetensors"
"""Those that find atomic columns."""
BUNDLES = (BUNDLED, BUNDLED_DISKS, BUNDLED_ATOMS)
KEY = "bundle"
"""Of the metadata of the file."""
OF_THE_DATASET = ("dataset", "data", "image_size")
"""What the networks of a training have in common, in what was recorded about them."""


@dataclass(frozen=True)
class Convention:
    """The networks of one convention.

    Attributes
    ----------
    name : str
    told : str
        What is found, in words.
    networks : tuple of dict
        Description of each network, as in its ``network.json``.
    weights_sha256 : str
        Digest of all weights of the bundle.
    scores : dict
        For each benchmark the scores of their mean prediction, by name; plain values.
    """

    name: str
    told: str
    networks: tuple[Mapping[str, Any], ...]
    weights_sha256: str
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def task(self) -> Task:
        """What they have learned."""
        return task_from(self.networks[0])

    @property
    def pixel_size(self) -> float:
        """Pixel of the images that they were trained on [Å]."""
        return float(self.networks[0]["pixel_size"])

    @property
    def image_size(self) -> int:
        """Edge of these images [px]."""
        return int(self.networks[0]["info"]["image_size"])


def save_bundle(path: Path, conventions: Mapping[str, tuple[str, Sequence[Path], Mapping[str, Any]]]) -> None:
    """Write networks of trainings as one file.

    Weights are kept in half precision, but those of normalisations, which are few, in single.

    Parameters
    ----------
    path : path
        File to write, ``.safetensors``.
    conventions : mapping
        By name: what is found in words, folders of the networks, and scores by benchmark and name. The first is used
        where none is asked for.

    Raises
    ------
    TrainingError
        If a folder holds no network.
    """
    from safetensors.torch import save

    from exitwave.training.networks import load_network

    tensors: dict[str, torch.Tensor] = {}
    told: dict[str, Any] = {}
    for name, (words, folders, scores) in conventions.items():
        descriptions = []
        for number, folder in enumerate(folders):
            for key, tensor in load_network(folder).module.state_dict().items():
                half = tensor.is_floating_point() and tensor.ndim > 1
                tensors[f"{name}/{number}/{key}"] = (tensor.half() if half else tensor).contiguous()
            description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            # Of weights that are kept another way here, and of the file.
            del description["weights_sha256"]
            description.pop("sha256", None)
            descriptions.append(description)
        shared = {key: descriptions[0]["info"][key] for key in OF_THE_DATASET if key in descriptions[0]["info"]}
        for description in descriptions:
            for key in OF_THE_DATASET:
                description["info"].pop(key, None)
        told[name] = {"told": words, "shared": shared, "networks": descriptions, "scores": scores}
    content = {"exitwave": version("exitwave"), "sha256": _digest(tensors), "conventions": told}
    metadata = {KEY: json.dumps(content, ensure_ascii=False, separators=(",", ":"))}
    replace_file(path, lambda unfinished: unfinished.write_bytes(save(tensors, metadata=metadata)))


def read_bundle(path: Path) -> dict[str, Convention]:
    """Read what a bundle holds, without its weights.

    Raises
    ------
    TrainingError
        If there is no such file, or it is no bundle.
    """
    if not path.is_file():
        raise TrainingError(f"{path} does not exist; allowed: a file of networks, or the folder of a training")
    try:
        with safe_open(path, "np") as file:
            content = json.loads((file.metadata() or {})[KEY])
        conventions = {
            name: Convention(name, str(found["told"]), tuple(_described(found)), str(content["sha256"]), _scores(found))
            for name, found in content["conventions"].items()
        }
        if not conventions:
            raise ValueError("it has no convention")
        return conventions
    except (SafetensorError, OSError, *MALFORMED) as error:
        raise TrainingError(
            f"{path} is no file of networks of this version; allowed: one that exitwave has written"
        ) from error


def _described(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    described = [{**one, "info": {**found["shared"], **one["info"]}} for one in found["networks"]]
    if not described:
        raise ValueError("a convention has no networks")
    for one in described:
        record_from(one)
    return described


def _scores(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        str(benchmark): {str(name): float(score) for name, score in scores.items()}
        for benchmark, scores in found["scores"].items()
    }


def find_convention(path: Path, name: str | None = None) -> Convention:
    """One convention of a bundle, the first if none is named.

    Raises
    ------
    TrainingError
        If the file is no bundle, or has no such convention.
    """
    conventions = read_bundle(path)
    if name is None:
        return next(iter(conventions.values()))
    if name not in conventions:
        raise TrainingError(f"{path.name} has no convention '{name}'; allowed: {', '.join(conventions)}")
    return conventions[name]


def bundle_with(name: str) -> Path:
    """The file that comes with exitwave and has a convention.

    Raises
    ------
    TrainingError
        If none has.
    """
    known: list[str] = []
    for path in BUNDLES:
        conventions = read_bundle(path)
        if name in conventions:
            return path
        known += conventions
    raise TrainingError(f"there is no convention '{name}'; allowed: {', '.join(known)}")


def load_bundle(path: Path, convention: str | None = None) -> list[LoadedNetwork]:
    """Load the networks of one convention of a bundle, the first if none is named.

    Raises
    ------
    TrainingError
        If the file is no bundle, is damaged, or has no such convention.
    """
    import torch

    from exitwave.training.networks import LoadedNetwork, rebuilt

    found = find_convention(path, convention)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise TrainingError(f"{path} is damaged: {error}") from error
    if _digest(tensors) != found.weights_sha256:
        raise TrainingError(f"{path} is damaged: its SHA-256 differs")
    loaded = []
    for number, description in enumerate(found.networks):
        prefix = f"{found.name}/{number}/"
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        record = record_from(description)
        try:
            # Copied into the single precision of a new network.
            network = rebuilt(record.task, state)
        except ValueError as error:
            raise TrainingError(f"{path}: convention '{found.name}' does not fit this version of exitwave") from error
        module = network.eval().to(memory_format=torch.channels_last)
        loaded.append(LoadedNetwork(module, record.task, record.pixel_size, record.info))
    return loaded


def unpack_bundle(path: Path, output: Path, convention: str | None = None) -> list[Path]:
    """Write the networks of one convention of a bundle as those of a training, to go on from them.

    Parameters
    ----------
    path : path
        The bundle.
    output : path
        Folder to write, with a folder ``seed-*`` a network; must not exist, or be empty.
    convention : str, optional
        The first one if left out.

    Returns
    -------
    list of path
        Folder of each network.

    Raises
    ------
    TrainingError
        If the file is no bundle or is damaged, has no such convention, or the folder holds something.
    """
    from exitwave.training.networks import save_network

    networks = load_bundle(path, convention)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TrainingError(f"{output} is there already; allowed: a new folder")
    folders = [output / f"seed-{number}" for number in range(len(networks))]
    for folder, network in zip(folders, networks, strict=True):
        save_network(folder, network.module, network.task, pixel_size=network.pixel_size, info=network.info)
    return folders


def is_bundle(path: Path) -> bool:
    """Whether a path is that of a file of several networks, and not of the weights of one."""
    return path.is_file() and not (path.parent / DESCRIPTION).exists()


def load_networks(path: Path, convention: str | None = None) -> list[LoadedNetwork]:
    """Load networks that belong together: of a file of networks, of a training, or a single one.

    Parameters
    ----------
    path : path
        File of networks; folder of a training, of whose networks (``seed-*``) those that have diverged are left out; or
        folder of a network.
    convention : str, optional
        Of a file that has several.

    Raises
    ------
    TrainingError
        If there is no network, it is damaged, or there is no such convention.
    """
    if is_bundle(path):
        return load_bundle(path, convention)
    if convention is not None:
        raise TrainingError(
            f"{path} is no file of several conventions, of which '{convention}' could be one; allowed: leave it out"
        )
    from exitwave.training.networks import load_network

    return [load_network(folder) for folder in network_folders(path)]


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def weights_told(path: Path, convention: str | None = None) -> str:
    """Digest of the weights of networks that belong together, short enough for a table.

    Raises
    ------
    TrainingError
        If there is no network, or it is damaged.
    """
    if is_bundle(path):
        digests = find_convention(path, convention).weights_sha256
    else:
        digests = "".join(read_record(folder).weights_sha256 for folder in network_folders(path))
    return f"sha256:{hashlib.sha256(digests.encode()).hexdigest()[:12]}"
