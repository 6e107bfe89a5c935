"""Exit waves of the kind ``ldos``: local densities of states above layers, on planes up to 12 Å, for STM."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.monolayers import MAPS, Monolayers, map_kind
from exitwave.config.stm import HIGHEST, LOWEST, LocalDensity
from exitwave.errors import ConfigError, StructureError
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.structures import monolayers
from exitwave.structures.ldos_maps import cube_map, layer_of_map, vasp_map
from exitwave.structures.monolayer_library import Monolayer
from exitwave.structures.reading import Stamp, stamp_of
from exitwave.structures.structure import Structure, structure_from
from exitwave.waves import vacuum_states
from exitwave.waves.local_density import continued
from exitwave.waves.scan import CELL_ROWS
from exitwave.waves.vacuum_states import VacuumStates

FloatArray = NDArray[np.float64]

STEP = 0.25
"""Between the planes [Å]; the logarithm of a density is nearly a straight line between them."""
HEIGHTS = np.arange(LOWEST, HIGHEST + STEP / 2, STEP)
"""Of the planes above the topmost atom [Å]."""
FITS = 0.02
"""How far the atoms of a structure may be off those of the map [Å]."""
_FAR = 6.0
"""Height [Å] at which the decay is told."""
_ROOM = 2.0
"""Vacuum above the join that a cell must have [Å]: in its middle densities of both faces meet."""
_INTEGRATED = ("vasp", "cube")
"""Maps whose density is integrated already."""


def check(node: Node) -> None:
    """Check that layers are perfect and of maps, and that these hold states for the bias.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    block, source = node.of(LocalDensity), node.source("structures")
    structures = source.of(Monolayers)
    if structures.source != "maps":
        raise ConfigError(
            f"structures: '{source.name}' has source {structures.source}, whose densities nobody knows; allowed: "
            "source: maps"
        )
    if structures.path != block.path:
        raise ConfigError(
            f"path: found {block.path}, and {structures.path} in structures '{source.name}'; allowed: the same in both"
        )
    _check_perfect(structures, source.name)
    for file in structures.may_be_files():
        _check_bias(block, file)


def make(block: LocalDensity, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Make densities. The generator of one draws the bias.

    Raises
    ------
    StructureError
        If a map has no states for a bias, or is not that of the structure.
    """
    for one in asked:
        structure, row = structure_from(one.sources["structures"], one.row), one.row
        bias = None if block.bias is None else float(draw(block.bias, one.rngs[0]))
        root = PurePath(block.path or MAPS)
        file = str(root) if Path(root).is_file() else str(root / str(row["file"]))
        try:
            yield _item(block, structure, float(row["in_plane"]), file, root, bias)
        except StructureError as error:
            raise StructureError(f"item {one.item}: {error}") from error


def cost(node: Node) -> Cost:
    """Estimate for one layer."""
    cells = monolayers.cells(node.source("structures").of(Monolayers))
    # Frequencies of a density along an edge, of waves that a map holds.
    values = np.mean([(0.55 * _edge(cell)) ** 2 for cell in cells]) * 16
    return Cost(stored=float(3.6 * len(HEIGHTS) * values + BYTES_OF_A_ROW + 1000), memory=500, seconds=0.5)


def needs(block: LocalDensity) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: LocalDensity) -> LocalDensity:
    """The block itself: it takes a second."""
    return block


def _edge(cell: FloatArray) -> float:
    return float(np.linalg.norm(cell, axis=1).max())


def _check_perfect(structures: Monolayers, name: str) -> None:
    """Refuse layers that are not those of the map."""
    wrong = [
        key
        for key in ("strain", "tilt", "ripple", "vacancies", "contamination")
        if max(map(abs, bounds(getattr(structures, key)))) > 0
    ]
    wrong += ["dopants"] if structures.dopants else []
    wrong += ["layers"] if bounds(structures.layers)[1] > 1 else []
    if wrong:
        raise ConfigError(
            f"structures: '{name}' has {wrong[0]}, which the maps do not know; allowed: single perfect layers, without "
            "strain, tilt, ripple, vacancies, dopants and contamination"
        )


def _check_bias(block: LocalDensity, file: str) -> None:
    """Refuse a bias that a map cannot have, whatever is drawn."""
    integrated = map_kind(file) in _INTEGRATED
    if integrated and block.bias is not None:
        raise ConfigError(
            f"bias: given, but '{file}' holds a density that is integrated over a bias already; allowed: leave it out"
        )
    if not integrated and block.bias is None:
        raise ConfigError(f"bias: left out, but '{file}' holds states of all energies; allowed: a bias, such as 0.5")
    if integrated or map_kind(file) != "states":
        return
    states = _states(file, stamp_of(file))
    for bias in bounds(block.bias):
        try:
            _shares(block, states, float(bias), file)
        except StructureError as error:
            raise ConfigError(str(error)) from error


@lru_cache(maxsize=8)
def _states(file: str, stamp: Stamp) -> VacuumStates:
    """States of a map, or of a file of GPAW."""
    if map_kind(file) == "gpaw":
        from exitwave.waves.gpaw_states import of_file

        return of_file(file)
    try:
        return vacuum_states.read(Path(file))
    except Exception as error:  # a file that is no such map fails in any of many ways
        raise StructureError(
            f"'{file}' cannot be read as a map of states ({type(error).__name__}: {error}); allowed: a file that "
            "resources/stm/make_ldos.py has written"
        ) from error


def _shares(block: LocalDensity, states: VacuumStates, bias: float, file: str) -> FloatArray:
    """Share with which each state adds to the current."""
    edge = states.edges[1 if bias > 0 else 0]
    beyond = abs(bias) - (abs(edge) if block.reference == "fermi" else 0.0)
    if beyond <= 0:
        gap = f"the gap reaches from {states.edges[0]:.2f} to {states.edges[1]:.2f} eV, and" if edge else "at 0 V"
        raise StructureError(
            f"bias: found {bias:g} V with reference {block.reference}, where '{Path(file).name}' has no states: {gap} "
            "no current flows; allowed: a bias beyond the gap, or reference: band_edge and a bias other than 0"
        )
    window = float(states.facts["window"])
    if beyond + 2 * block.broadening > window + 1e-9:
        raise StructureError(
            f"bias: found {bias:g} V with broadening {block.broadening:g} eV, which reaches {beyond:g} eV beyond the "
            f"edge, but '{Path(file).name}' holds states up to {window:g} eV from it; allowed: up to "
            f"{window - 2 * block.broadening:g} eV beyond"
        )
    shares = vacuum_states.occupations(states, bias, block.reference, block.broadening)
    if shares.sum() < 1e-3:
        raise StructureError(
            f"bias: found {bias:g} V, for which '{Path(file).name}' has no states on its mesh of k-points; allowed: "
            "another bias, or more broadening"
        )
    return shares


@dataclass(frozen=True)
class _Found:
    """A density on all planes, and what the table says of it."""

    density: FloatArray
    row: dict[str, Any]


def _item(
    block: LocalDensity, structure: Structure, in_plane: float, file: str, root: PurePath, bias: float | None
) -> Item:
    """One layer."""
    layer = layer_of_map(file, root)
    vectors, places = monolayers.turned(layer, in_plane)
    corner = _corner(structure, layer, vectors, places, file)
    found = _of_density(block, file) if bias is None else _of_states(block, file, bias)
    mean = np.log(found.density.mean(axis=(1, 2)))
    at = int(np.searchsorted(HEIGHTS, _FAR))
    cell = np.vstack([corner, vectors])
    arrays = {
        "density": Array(
            found.density.astype(np.float32),
            (Axis("height", STEP, "Å"), Axis("second"), Axis("first")),
            "1/Å³",
            ragged=True,
        ),
        "cell": Array(cell, (Axis("vector", labels=CELL_ROWS), Axis("direction", labels=("x", "y"))), "Å"),
    }
    row = {"map": Path(file).name, **found.row, "decay": float(mean[at - 1] - mean[at + 1]) / (4 * STEP)}
    return Item(arrays, row)


def _of_states(block: LocalDensity, file: str, bias: float) -> _Found:
    """Density of the states of a map."""
    states = _states(file, stamp_of(file))
    shares = _shares(block, states, bias, file)
    low, high = states.edges
    row = {
        "map_engine": str(states.facts.get("engine", "")),
        "bias": bias,
        "reference": block.reference,
        "broadening": block.broadening,
        "band_gap": high - low,
        "work_function": -states.fermi,
        "states": int((shares > 0.01).sum()),
    }
    return _Found(vacuum_states.density_above(states, shares, HEIGHTS), row)


def _of_density(block: LocalDensity, file: str) -> _Found:
    """Density of a PARCHG or a cube file."""
    kind = map_kind(file)
    read = vasp_map if kind == "vasp" else cube_map
    atoms, density = read(file, stamp_of(file))
    cell = np.asarray(atoms.cell)
    top, room = vacuum_states.topmost(atoms.positions[:, 2], float(cell[2, 2]))
    if room < block.join + _ROOM:
        raise StructureError(
            f"'{file}' has {room:.2f} Å of vacuum above its topmost atom; allowed: the join, {block.join:g} Å, and "
            f"{_ROOM:g} Å more"
        )
    row = {
        "map_engine": "VASP" if kind == "vasp" else "cube file",
        "bias": math.nan,
        "reference": "",
        "broadening": math.nan,
        "band_gap": math.nan,
        "work_function": math.nan,
        "states": math.nan,
    }
    return _Found(continued(density, cell, top, HEIGHTS, block.join, file), row)


def _corner(structure: Structure, layer: Monolayer, vectors: FloatArray, places: FloatArray, file: str) -> FloatArray:
    """Where a cell of the map begins in a structure [Å], so that all its atoms are there."""
    heights = layer.heights - layer.heights.max()
    levels = structure.positions[:, 2] - structure.positions[:, 2].max()
    tree = cKDTree(np.column_stack([structure.positions[:, :2], levels]))
    middle = np.linalg.norm(structure.positions[:, :2] - structure.cell[:2] / 2, axis=1)
    alike = (structure.numbers == layer.numbers[0]) & (np.abs(levels - heights[0]) < FITS)
    for atom in np.flatnonzero(alike)[np.argsort(middle[alike], kind="stable")][:16]:
        corner = structure.positions[atom, :2] - places[0]
        distances, nearest = tree.query(np.column_stack([places + corner, heights]))
        if (distances < FITS).all() and (structure.numbers[nearest] == layer.numbers).all():
            return np.asarray(corner)
    raise StructureError(
        f"the atoms of '{Path(file).name}' are not those of its structure; allowed: structures of the same maps, large "
        "enough to hold a cell"
    )
