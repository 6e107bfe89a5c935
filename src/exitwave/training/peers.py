"""Networks of others: the residual U-Nets that K. Sytwu, L. Rangel DaCosta and M. C. Scott have published.

They were trained on experimental HRTEM images with masks drawn by hand (arXiv:2306.11853, 2023), five networks a
dataset. A folder has one ``.npz`` a network, its arrays named as its layers are, and the authors' table
``model_details.csv``, which says what each was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch

from exitwave.config.models import Preprocessing, Segmentation
from exitwave.errors import TrainingError
from exitwave.training.kinds import task_of
from exitwave.training.networks import rebuilt, save_network
from exitwave.training.residual import ResidualUnet

DETAILS = "model_details.csv"
NEEDED = ("Model Name", "Fold", "Dataset Trained On", "Np Diameter (nm)", "Np Material", "Pixel Scale (nm)")
"""Columns of the table."""
DEPTH, CLASSES = 4, 2
"""Of all their networks: stages, and outputs, of which the second is particle."""
EDGE = 512
"""Edge of the images that they were trained on [px]."""
MODEL = Segmentation(
    kind="segmentation",
    architecture="residual",
    encoder_depth=DEPTH,
    preprocessing=Preprocessing(median=1, normalization="standard", resampling="cubic"),
)
"""What they are and see: standardised images, no median filter. Images of larger pixels are interpolated, which suits
them better than what a camera would have taken: docs/peers.md."""
_NAME = re.compile(r"unet_(?P<set>.+)_fold(?P<fold>\d+)_seed\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Peer:
    """A network of others, and what is known of it.

    Attributes
    ----------
    path : Path
        Its file.
    dataset : str
        What networks of one dataset have in common in their names, such as 5nmAu330kX423eUTC.
    told : str
        The dataset in words.
    fold : int
        Part of the dataset on which it was not trained.
    pixel_size : float
        [Å]
    source : str
        The authors' name for the dataset.
    """

    path: Path
    dataset: str
    told: str
    fold: int
    pixel_size: float
    source: str


def find_peers(folder: Path) -> list[Peer]:
    """Networks of a folder, those of one dataset together, in the order of the authors' table.

    Raises
    ------
    TrainingError
        If there is no table, a column is missing, or a file is not in it.
    """
    table, files = folder / DETAILS, sorted(folder.glob("*.npz"))
    if not files:
        raise TrainingError(f"{folder}: holds no network; allowed: a folder with files .npz and {DETAILS}")
    try:
        details = pd.read_csv(table)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{table} cannot be read as a table: {error}") from error
    if missing := [column for column in NEEDED if column not in details.columns]:
        raise TrainingError(f"{table} lacks the columns {', '.join(missing)}; needed: {', '.join(NEEDED)}")
    models: list[dict[str, Any]] = [
        {str(key): value for key, value in row.items()} for row in details.to_dict("records")
    ]
    rows = {str(row["Model Name"]).removesuffix("_model.h5").lower(): row for row in models}
    places = {name: place for place, name in enumerate(rows)}
    unknown = [file.name for file in files if file.stem.lower() not in rows or not _NAME.fullmatch(file.stem)]
    if unknown:
        raise TrainingError(f"{folder / unknown[0]} is not in {DETAILS}; allowed: files named as the models there")
    files.sort(key=lambda file: places[file.stem.lower()])
    return [_described(file, rows[file.stem.lower()]) for file in files]


def _described(file: Path, row: Mapping[str, Any]) -> Peer:
    named = _NAME.fullmatch(file.stem)
    assert named is not None
    try:
        pixel, fold, diameter = float(row["Pixel Scale (nm)"]), int(row["Fold"]), float(row["Np Diameter (nm)"])
        if not 0 < pixel < np.inf:
            raise ValueError(pixel)
    except ValueError as error:
        raise TrainingError(
            f"{DETAILS} has no numbers for {file.name}; needed: fold, diameter and a pixel scale above 0 nm"
        ) from error
    told = f"outline that was drawn by hand on experimental images of {diameter:g} nm {row['Np Material']} particles"
    return Peer(file, named["set"], told, fold, round(10 * pixel, 6), str(row["Dataset Trained On"]))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a network of others, for the one output of :class:`exitwave.training.residual.ResidualUnet`.

    The probability of the second of two classes with the outputs a and b is exp b / (exp a + exp b), which is the
    logistic function of b - a: so the last layer is that of the second class less that of the first.

    Raises
    ------
    TrainingError
        If the file cannot be read, or does not hold just the arrays of such a network, in their shapes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise TrainingError(f"{path} cannot be read as an archive of arrays (.npz): {error}") from error
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in ResidualUnet(DEPTH, CLASSES).state_dict().items()}
    for name in [*expected, *arrays]:
        found = arrays[name].shape if name in arrays else "none"
        if found != expected.get(name, "none"):
            raise TrainingError(
                f"{path}: found the array {name} of shape {found}; allowed: {expected.get(name, 'none')}, as a "
                f"residual U-Net of {DEPTH} stages has"
            )
        if arrays[name].dtype.kind not in "iuf" or not np.isfinite(arrays[name]).all():
            raise TrainingError(f"{path}: found values of {name} that are no finite numbers; allowed: none")
    state = {name: torch.from_numpy(values) for name, values in arrays.items()}
    for name in ("final_conv.weight", "final_conv.bias"):
        state[name] = state[name][1:] - state[name][:1]
    return state


def unpack_peers(peers: Sequence[Peer], output: Path) -> dict[str, list[Path]]:
    """Write networks of others as those of a training, which everything takes that takes networks.

    Parameters
    ----------
    peers : sequence of Peer
    output : path
        Folder to write: a folder for each dataset, with a folder ``seed-*`` for each network.

    Returns
    -------
    dict of list of path
        Folders of the networks, by dataset.

    Raises
    ------
    TrainingError
        If one cannot be read.
    """
    task, folders = task_of(MODEL, {}), dict[str, list[Path]]()
    for peer in peers:
        of_set = folders.setdefault(peer.dataset, [])
        of_set.append(output / peer.dataset / f"seed-{len(of_set)}")
        info = {"image_size": EDGE, "file": peer.path.name, "fold": peer.fold, "trained_on": peer.source}
        network = rebuilt(task, read_weights(peer.path))
        save_network(of_set[-1], network, task, pixel_size=peer.pixel_size, info=info)
    return folders
