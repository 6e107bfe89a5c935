"""Atomic columns and lattices of a person's own STEM images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from exitwave.benchmark.atoms import places_of
from exitwave.benchmark.columns import FoundColumns, find_columns, fitted
from exitwave.benchmark.plane_lattices import PlaneLattice, find_plane_lattice
from exitwave.benchmark.prediction import predict_ensemble
from exitwave.benchmark.readers import Micrograph, open_micrographs
from exitwave.benchmark.remedies import ON_COMMAND_LINE
from exitwave.config.atoms import Atoms
from exitwave.data.whole import replace_file
from exitwave.errors import ExitwaveError, LatticeError, MicrographError, TrainingError
from exitwave.jobs.apply import Outcome
from exitwave.jobs.results_table import COLUMNS_PICTURE, IMAGES, KEY
from exitwave.structures.lattice2d import measured
from exitwave.training.bundle import load_networks

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
USUAL = 0.5
"""Standard deviation of columns that networks find, about [Å]: where fits begin."""
COARSEST = 0.6
"""Pixel [Å] above which columns are hardly resolved."""


@dataclass(frozen=True)
class Looking:
    """How columns are looked for.

    Attributes
    ----------
    model : path, optional
        File of networks, or folder of a training or a network; without networks if None.
    pixel_size : float, optional
        [Å], where the files do not say or are wrong.
    frame : int or 'all', optional
        Which image of files that hold several, counted from 1, or each.
    tolerance : float
        Strain below which a lattice is of a more symmetric class.
    any_pixel_size : bool
        Whether a pixel far from that of the networks is meant so.
    any_image : bool
        Whether an image far from those that the networks were trained on is meant so.
    """

    model: Path | None = None
    pixel_size: float | None = None
    frame: int | Literal["all"] | None = None
    tolerance: float = 0.02
    any_pixel_size: bool = False
    any_image: bool = False


@dataclass(frozen=True)
class Seen:
    """What was found in an image.

    Attributes
    ----------
    micrograph : Micrograph
    columns : FoundColumns
    lattice : PlaneLattice, optional
        None where the image shows none.
    warnings : tuple of str
        What is doubtful, in words that go on after the name of the image.
    """

    micrograph: Micrograph
    columns: FoundColumns
    lattice: PlaneLattice | None
    warnings: tuple[str, ...]


def atoms_of_files(images: Sequence[Path], output: Path, how: Looking) -> Iterator[Outcome]:
    """Find columns and lattices of images, one after another, and write what is found.

    Each image has a table ``NAME_columns.csv`` and a picture ``NAME_columns.png``; ``images.csv`` has a row for each.
    What other images have in the folder stays.

    Parameters
    ----------
    images : sequence of path
        As of :func:`exitwave.jobs.apply.find_images`.
    output : path
        Folder of results.
    how : Looking

    Yields
    ------
    Outcome
        Of each image. One that cannot be used costs none of the others.

    Raises
    ------
    TrainingError
        If there is no network, it is damaged, or does not find columns.
    """
    networks = _networks(how.model) if how.model is not None else []
    for path in images:
        try:
            file = open_micrographs(path)
            frames = range(1, len(file.pages) + 1) if how.frame == "all" else [how.frame]
        except MicrographError as error:
            yield Outcome(path, False, str(error))
            continue
        for frame in frames:
            try:
                seen = look(file.read(how.pixel_size, frame, ON_COMMAND_LINE), networks, how)
                yield Outcome(path, True, _write(seen, output, how))
            except ExitwaveError as error:
                told = str(error)
                yield Outcome(path, False, told if str(path) in told else f"{path}: {told}")


def _networks(model: Path) -> list[LoadedNetwork]:
    networks = load_networks(model)
    if not isinstance(networks[0].model, Atoms):
        raise TrainingError(
            f"{model}: holds networks of kind {networks[0].model.kind}; allowed: networks of kind atoms"
        )
    return networks


def look(micrograph: Micrograph, networks: Sequence[LoadedNetwork], how: Looking) -> Seen:
    """Columns and lattice of an image.

    Raises
    ------
    MicrographError
        If there is no column, or pixel or image are too far from those that the networks know.
    """
    image, pixel, warnings = micrograph.image, micrograph.pixel_size, micrograph.warnings
    if pixel > COARSEST:
        log.warning("%s: pixels of %.2g Å hardly resolve columns", micrograph.name, pixel)
    if networks:
        prediction = predict_ensemble(
            networks,
            image,
            pixel,
            overlap=0.25,
            any_pixel_size=how.any_pixel_size,
            any_image=how.any_image,
            remedies=ON_COMMAND_LINE,
        )
        warnings += prediction.warnings
        threshold = float(np.mean([one.threshold for one in networks]))
        places = places_of(prediction.values, threshold, pixel)
        if not len(places):
            raise MicrographError("the networks find no column; allowed: an image of columns with its pixel size")
        columns = fitted(image, places, USUAL, pixel)
    else:
        columns = find_columns(image, pixel)
    try:
        lattice = find_plane_lattice(image, pixel)
    except LatticeError:
        lattice = None
    return Seen(micrograph, columns, lattice, warnings)


def _write(seen: Seen, output: Path, how: Looking) -> str:
    """Write tables and picture of an image; what was found, in a sentence."""
    from exitwave.report.columns_found import draw_columns

    micrograph = seen.micrograph
    known = _known(output)
    key = dict(zip(KEY, (micrograph.group, micrograph.page), strict=True))
    name = _free_name(known, key, micrograph.name)
    table, row = column_table(seen), {**key, "results": name, **facts(seen, how.tolerance)}
    replace_file(output / f"{name}_columns.csv", lambda path: table.to_csv(path, index=False, float_format="%.6g"))
    draw_columns(seen.micrograph, seen.columns, seen.lattice, told(row), output / f"{name}{COLUMNS_PICTURE}")
    others = known[~_is_of(known, key)]
    rows = pd.concat([others, pd.DataFrame([row])], ignore_index=True) if len(others) else pd.DataFrame([row])
    replace_file(output / IMAGES, lambda path: rows.to_csv(path, index=False, float_format="%.6g"))
    for warning in seen.warnings:
        log.warning("%s: %s", micrograph.name, warning)
    return f"{micrograph.group}: {told(row)}"


def _known(output: Path) -> pd.DataFrame:
    """Rows of images that are in the folder already, as text: a name such as 001 is no number."""
    path = output / IMAGES
    if not path.is_file():
        return pd.DataFrame(columns=[*KEY, "results"])
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise MicrographError(f"{path} cannot be read ({error}); allowed: another --output") from error
    if not {*KEY, "results", "columns"} <= set(table):
        raise MicrographError(f"{path} is no table of exitwave atoms; allowed: another --output")
    return table


def _is_of(known: pd.DataFrame, key: dict[str, Any]) -> pd.Series[bool]:
    return (known[KEY] == [str(key[name]) for name in KEY]).all(axis=1)


def _free_name(known: pd.DataFrame, key: dict[str, Any], stem: str) -> str:
    """Name of the results of an image: that which it has, or one that no other has."""
    own = known[_is_of(known, key)]
    if len(own):
        return str(own["results"].iloc[0])
    stem = stem if key["page"] == 1 else f"{stem}_{key['page']}"
    taken, number, name = set(known["results"]), 1, stem
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name


def column_table(seen: Seen) -> pd.DataFrame:
    """Columns with their places in px and Å, what was fitted, and where they lie in the cell of the lattice."""
    found, pixel = seen.columns, seen.micrograph.pixel_size
    table = pd.DataFrame(
        {
            "x_px": found.places[:, 0],
            "y_px": found.places[:, 1],
            "x": pixel * found.places[:, 0],
            "y": pixel * found.places[:, 1],
            "height": found.heights,
            "background": found.backgrounds,
            "sigma": pixel * found.sigmas,
            "error": pixel * found.errors,
        }
    )
    if seen.lattice is not None:
        cells = table[["x", "y"]].to_numpy() @ np.linalg.inv(seen.lattice.vectors)
        table[["cell_a", "cell_b"]] = cells
    return table


def facts(seen: Seen, tolerance: float) -> dict[str, Any]:
    """What is said of an image in the table of all."""
    found, pixel = seen.columns, seen.micrograph.pixel_size
    nearest = cKDTree(found.places).query(found.places, k=2)[0][:, 1] if len(found.places) > 1 else np.array([np.nan])
    row: dict[str, Any] = {
        "pixel_size": pixel,
        "pixel_size_from": seen.micrograph.pixel_from,
        "columns": len(found.places),
        "nearest": pixel * float(np.median(nearest)),
        "sigma": pixel * float(np.nanmedian(found.sigmas)) if np.isfinite(found.sigmas).any() else np.nan,
        "error": pixel * float(np.nanmedian(found.errors)) if np.isfinite(found.errors).any() else np.nan,
    }
    lattice = seen.lattice
    if lattice is None:
        return row | {"bravais": "none"}
    first = min(lattice.vectors, key=lambda vector: float(np.hypot(*vector)))
    bravais = lattice.bravais(tolerance)
    return row | {
        "bravais": bravais.name,
        "margin": bravais.margin,
        **{f"lattice_{name}": value for name, value in measured(lattice.vectors).items()},
        "direction_a": np.degrees(np.arctan2(first[1], first[0])) % 180,
        "lattice_error": lattice.error,
        **{f"strain_{name}": strain for name, strain in bravais.strains.items()},
    }


def told(row: dict[str, Any]) -> str:
    """What was found in an image, in a sentence."""
    columns = f"{row['columns']:,} columns, {row['nearest']:.2f} Å apart"
    if row["bravais"] == "none":
        return f"{columns}; no lattice"
    strain = row.get(f"strain_{row['bravais']}")
    off = "" if strain is None else f", {100 * strain:.1f} % off"
    return (
        f"{columns}; {row['bravais']}{off}: {row['lattice_a']:.3f} x {row['lattice_b']:.3f} Å, "
        f"{row['lattice_gamma']:.1f}°; {100 * row['margin']:.1f} % to the next class"
    )
