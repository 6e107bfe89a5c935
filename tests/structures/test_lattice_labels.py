"""docs/lattice_labels.py counts how often labels of monolayers agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from ase.io import write


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "docs/lattice_labels.py"
    spec = importlib.util.spec_from_file_location("lattice_labels", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_labels_of_a_folder_are_counted(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = mx2("MoS2", kind="2H", a=3.18, thickness=3.19, vacuum=8)
    write(tmp_path / "1.vasp", sheet, format="vasp")
    # The same lattice by a longer vector: the published rule takes it for another.
    skew = sheet.copy()
    skew.set_cell(np.array([[1, 0, 0], [2, 1, 0], [0, 0, 1]]) @ sheet.cell.array)
    write(tmp_path / "2.vasp", skew, format="vasp")
    # One atom in a square cell that is 1 % off: the layer group says rectangular, as the lattice is.
    write(tmp_path / "3.vasp", Atoms("Cu", [[1, 1, 8]], cell=[2.9, 2.96, 16], pbc=True), format="vasp")
    monkeypatch.setattr("sys.argv", ["lattice_labels.py", str(tmp_path)])
    script.main()
    first, *_, groups, against = capsys.readouterr().out.strip().split("\n\n")
    assert "| hexagonal | 1 | 0 | 0 | 0 | 1 | 50.0% |" in first
    assert "| rectangular | 0 | 0 | 1 | 0 | 0 | 100.0% |" in first
    assert first.endswith("same: 2 of 3, 66.7%")
    assert groups.endswith("same: 3 of 3, 100.0%")
    assert against == "lattices that their layer group does not allow: none"
