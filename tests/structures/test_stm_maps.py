"""Layers of maps of densities: bundled ones, PARCHG, cube files in Bohr and Å, files of GPAW, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from exitwave.config.monolayers import MAPS, map_files, map_kind
from exitwave.errors import StructureError
from exitwave.structures.ldos_maps import cube_map, layer_of_map, layers_of_maps, vasp_map
from exitwave.structures.reading import stamp_of
from surface_states import CELL, NUMBERS, on_grid, write_cube, write_parchg


def test_names_say_what_a_map_is() -> None:
    names = ("a.npz", "PARCHG", "PARCHG_+0.5", "x.PARCHG.gz", "ldos.cube", "x.gpw", "CHGCAR", "README.md")
    kinds = ["states", "vasp", "vasp", "vasp", "cube", "gpaw", None, None]
    assert [map_kind(name) for name in names] == kinds


def test_the_bundled_maps_are_layers_and_can_be_chosen() -> None:
    layers = layers_of_maps(None, [])
    assert len(layers) == len(map_files(None)) == len(list(MAPS.glob("*.npz")))
    (graphene,) = layers_of_maps(None, ["graphene"])
    assert (graphene.formula, graphene.bravais, graphene.source) == ("C", "hexagonal", "graphene.npz")
    with pytest.raises(StructureError, match=r"maps: found 'grapheme', which is not in .*; allowed: .*graphene"):
        layers_of_maps(None, ["grapheme"])


def test_a_folder_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match="maps: found none in"):
        layers_of_maps(tmp_path, [])


@pytest.mark.parametrize("kind", ["vasp", "cube in Bohr", "cube in Å"])
def test_files_give_their_layer_and_their_density(tmp_path: Path, kind: str) -> None:
    expected, cell, positions = on_grid()
    if kind == "vasp":
        file = write_parchg(tmp_path / "PARCHG")
        atoms, density = vasp_map(str(file), stamp_of(str(file)))
    else:
        file = write_cube(tmp_path / "ldos.cube", kind.split()[-1])
        atoms, density = cube_map(str(file), stamp_of(str(file)))
    np.testing.assert_allclose(atoms.cell, cell, atol=1e-5)
    np.testing.assert_allclose(atoms.positions, positions, atol=1e-5)
    assert atoms.numbers.tolist() == NUMBERS.tolist()
    np.testing.assert_allclose(density, expected, rtol=1e-6)
    layer = layer_of_map(str(file), tmp_path)
    np.testing.assert_allclose(layer.cell, CELL, atol=1e-5)
    assert layer.source == file.name
    assert np.ptp(layer.heights) == pytest.approx(0.9)


def test_a_cube_file_without_a_unit_is_refused(tmp_path: Path) -> None:
    file = write_cube(tmp_path / "a.cube", "Bohr", (1, -1, 1))
    with pytest.raises(StructureError, match=r"says no unit of its lengths.*allowed: three positive numbers"):
        layer_of_map(str(file), tmp_path)


def test_a_cell_whose_third_vector_is_tilted_is_refused(tmp_path: Path) -> None:
    file = write_parchg(tmp_path / "PARCHG", tilt=1.5)
    with pytest.raises(StructureError, match=r"PARCHG' has a third vector of 1.500, 0.000, 16.000 Å.*allowed"):
        layer_of_map(str(file), tmp_path)


@pytest.mark.parametrize("name", ["PARCHG", "a.cube", "a.gpw"])
def test_half_a_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = write_cube(tmp_path / "whole.txt") if name.endswith("cube") else write_parchg(tmp_path / "whole.txt")
    text = whole.read_text()
    (tmp_path / name).write_text(text[: len(text) // 2])
    with pytest.raises(StructureError, match=f"{name}' cannot be read as"):
        layer_of_map(str(tmp_path / name), tmp_path)


def test_a_file_of_gpaw_gives_its_layer_but_no_states_without_gpaw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ase.io import ulm
    from ase.io.trajectory import write_atoms

    from exitwave.waves.gpaw_states import of_file

    atoms = Atoms("C2", [[0, 1.42, 5], [0, 2.84, 5]], cell=[[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, 15]], pbc=True)
    with ulm.open(tmp_path / "a.gpw", "w") as writer:
        write_atoms(writer.child("atoms"), atoms)
    layer = layer_of_map(str(tmp_path / "a.gpw"), tmp_path)
    assert layer.formula == "C"
    assert len(layer.numbers) == 2
    monkeypatch.setitem(sys.modules, "gpaw", None)
    with pytest.raises(StructureError, match="GPAW, which is not installed; allowed: pip install gpaw"):
        of_file(str(tmp_path / "a.gpw"))
