"""Networks that a benchmark names, and that no training of its study makes: those of others, of other studies, bundled.

A name is a path: of a file of networks, with a convention behind ``#`` or without one, or of the folder of a training
or a network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exitwave.config.models import Network, Regression, Segmentation
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.bundle import find_convention, is_bundle, load_networks, read_bundle
from exitwave.training.record import DESCRIPTION, WEIGHTS, network_folders, read_record

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork


THICKNESS = "thickness"
"""Map of which masks follow (:mod:`exitwave.benchmark.conventions`)."""


def gives_masks(model: Network) -> bool:
    """Whether masks can be had from the networks of a model."""
    return isinstance(model, Segmentation) or (isinstance(model, Regression) and model.target.map == THICKNESS)


def parted(where: str) -> tuple[Path, str | None]:
    """Path and convention of a name."""
    if Path(where).exists():
        return Path(where), None
    path, mark, convention = where.rpartition("#")
    return (Path(path), convention) if mark else (Path(where), None)


def conventions_of(where: str) -> list[str]:
    """Conventions among which a name leaves a choice; none where it leaves none.

    Raises
    ------
    TrainingError
        If there is no such network.
    """
    path, convention = parted(where)
    if convention is not None or not is_bundle(path):
        return []
    known = list(read_bundle(path))
    return known if len(known) > 1 else []


def load_named(where: str, conventions: Collection[str]) -> dict[str, list[LoadedNetwork]]:
    """Networks of a name for each of some conventions.

    Raises
    ------
    TrainingError
        If there is no network, or it is damaged.
    """
    path, convention = parted(where)
    if conventions_of(where):
        return {name: load_networks(path, name) for name in conventions}
    return dict.fromkeys(conventions, load_networks(path, convention))


def files_of_named(where: str) -> list[Path]:
    """Files of the networks of a name; none where there is no network."""
    path, _ = parted(where)
    if path.is_file():
        return [path]
    try:
        return [folder / name for folder in network_folders(path) for name in (WEIGHTS, DESCRIPTION)]
    except TrainingError:
        return []


def check_named(networks: Mapping[str, str], conventions: Collection[str], trainings: Collection[str]) -> None:
    """Refuse networks that cannot be had, give no masks, or have the name of a training.

    Parameters
    ----------
    networks : mapping
        Paths by name.
    conventions : collection of str
        Those of the images; empty where nobody says what an expert has marked.
    trainings : collection of str
        Names that are taken.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    for name, where in networks.items():
        if name in trainings:
            raise ConfigError(f"networks: found the name '{name}', which is that of a training; allowed: another one")
        try:
            model, choice = _model_of(where), conventions_of(where)
        except TrainingError as error:
            raise ConfigError(f"networks: '{name}': {error}") from error
        if not gives_masks(model):
            raise ConfigError(
                f"networks: '{name}' are of kind {model.kind}; allowed: networks that segment or measure the thickness"
            )
        if isinstance(model, Regression) and "" in conventions:
            raise ConfigError(
                f"networks: '{name}' measures the thickness, and index.csv does not say for every image what its "
                "expert has marked; needed: outline or half, as convention or in its column of that name"
            )
        if choice and (missing := sorted(set(conventions) - set(choice))):
            found = " and ".join(missing) if all(missing) else "none for some images"
            raise ConfigError(
                f"networks: '{name}' are of the conventions {', '.join(choice)}, and the images of {found}; allowed: "
                f"one of theirs, as in {where}#{choice[0]}"
            )


def _model_of(where: str) -> Network:
    """Model of the networks of a name."""
    path, convention = parted(where)
    if is_bundle(path):
        return find_convention(path, convention).task().model
    if convention is not None:
        raise TrainingError(f"{where} does not exist; allowed: a file of networks, or a folder of them")
    return read_record(network_folders(path)[0]).model
