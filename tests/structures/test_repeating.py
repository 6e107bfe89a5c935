"""The cell in which a layer repeats, found from its atoms alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.config.monolayers import Monolayers
from exitwave.errors import StructureError
from exitwave.items import Asked, Item
from exitwave.structures import monolayers
from exitwave.structures.lattice2d import bravais_class
from exitwave.structures.repeating import RepeatingLayer, extent_of, repeating_layer
from exitwave.structures.structure import Structure, structure_from


def made(item: int, **keys: Any) -> tuple[Item, Structure]:
    block = Monolayers(**{"kind": "monolayer", "count": 2000, "field_of_view": 40, **keys})
    (found,) = monolayers.make(block, [Asked(item, (np.random.default_rng(item),))])
    return found, structure_from(found.arrays, found.row)


@pytest.mark.parametrize("number", range(0, 60, 4))
def test_the_cell_is_that_of_the_layer_however_it_is_turned_strained_and_stacked(number: int) -> None:
    keys = {"strain": {"normal": [0, 0.003]}, "layers": {"choice": [1, 2]}, "stacking": "random"}
    item, structure = made(number, **keys)
    found = repeating_layer(structure)
    assert bravais_class(found.vectors).name == item.row["bravais_3d"]
    own = monolayers.cells(Monolayers(kind="monolayer", count=2000, field_of_view=40))[number]
    area = abs(np.linalg.det(own)) * (1 + item.row["strain_first"]) * (1 + item.row["strain_second"])
    # Of a cell that is not primitive a whole part.
    cells = area / abs(np.linalg.det(found.vectors))
    assert cells == pytest.approx(round(cells), rel=1e-5)
    assert len(found.numbers) * structure.cell[0] ** 2 / abs(np.linalg.det(found.vectors)) == pytest.approx(
        len(structure.numbers), rel=0.15
    )


def test_the_layer_over_a_square_is_the_structure_and_goes_on_beyond_it() -> None:
    _, structure = made(7)
    layer = repeating_layer(structure)
    wide = layer.over(60.0)
    assert wide.cell.tolist() == [60.0, 60.0, structure.cell[2]]
    moved = structure.positions + np.append(30.0 - layer.middle, 0.0)
    distances, nearest = cKDTree(wide.positions).query(moved)
    assert distances.max() < 2e-3
    assert (wide.numbers[nearest] == structure.numbers).all()
    # An atom for every one of it, and as dense outside.
    assert len(set(nearest.tolist())) == len(structure.numbers)
    assert len(wide.numbers) == pytest.approx(len(structure.numbers) * 60**2 / 40**2, rel=0.05)


def test_the_cell_lies_in_the_middle_and_its_extent_holds_it() -> None:
    _, structure = made(4)
    layer = repeating_layer(structure)
    assert np.linalg.norm(layer.middle - 20) < np.linalg.norm(layer.vectors, axis=1).max()
    corners = layer.corner + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ layer.vectors
    assert np.ptp(corners, axis=0).max() == pytest.approx(layer.extent)
    assert extent_of(np.array([[3.0, 1.0], [-1.0, 2.0]])) == 4.0


@pytest.mark.parametrize(
    "keys", [{"vacancies": 0.01}, {"dopants": [{"element": "W", "fraction": 0.02}]}, {"ripple": 0.3}, {"tilt": 100}]
)
def test_a_layer_that_is_not_the_same_everywhere_is_refused(keys: dict[str, Any]) -> None:
    _, structure = made(0, prototypes=["MoS2, 2H"], **keys)
    with pytest.raises(StructureError, match=r"the layer .*does not repeat.*allowed: a perfect layer"):
        repeating_layer(structure)


def test_one_atom_in_a_wrong_place_is_told_with_its_place() -> None:
    _, structure = made(0, prototypes=["MoS2, 2H"])
    positions = structure.positions.copy()
    away = int(np.linalg.norm(positions[:, :2] - 12, axis=1).argmin())
    positions[away, 0] += 0.05
    found = r"[12] of \d+ atoms are not where its cell of 3\.\d\d x 3\.\d\d Å has them"
    with pytest.raises(StructureError, match=rf"does not repeat(: {found}| within)"):
        repeating_layer(replace(structure, positions=positions))


def test_a_field_of_less_than_two_cells_is_refused() -> None:
    wide = RepeatingLayer(np.diag([14.0, 15.0]), np.zeros(2), np.array([[1.0, 2.0, 2.0]]), np.array([6], np.uint8), 4.0)
    with pytest.raises(StructureError, match="does not repeat within its field of 20 Å"):
        repeating_layer(wide.over(20.0))
