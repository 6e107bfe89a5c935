"""Make the crystals of this folder from published lattice constants; run from the root of the repository:

python resources/crystals/make_crystals.py
"""

from __future__ import annotations

from pathlib import Path

from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from ase.io import write

HERE = Path(__file__).parent
ELEMENTS = {
    "fcc": ("Ca", "Ni", "Cu", "Sr", "Pd", "Au"),
    "bcc": ("V", "Cr", "Fe", "Nb", "Mo", "W"),
    "hcp": ("Mg", "Sc", "Ti", "Co", "Ru", "Os"),
}
"""Their constants are those of Ashcroft and Mermin, as ASE has them."""
ZINCBLENDE = {"AlP": 5.4510, "ZnS": 5.420, "GaAs": 5.6533, "InP": 5.8686, "CdSe": 6.050, "InAs": 6.0584}
"""Lattice constants [Å] of Sze."""


def main() -> None:
    for folder, symbols in ELEMENTS.items():
        for symbol in symbols:
            state = reference_states[atomic_numbers[symbol]]
            cell = {"a": state["a"], "cubic": True}
            if folder == "hcp":
                cell = {"a": state["a"], "c": state["a"] * state["c/a"]}
            _write(folder, symbol, cell)
    for name, a in ZINCBLENDE.items():
        _write("zincblende", name, {"a": a, "cubic": True})


def _write(folder: str, name: str, cell: dict[str, float]) -> None:
    path = HERE / folder / f"{name}.cif"
    path.parent.mkdir(exist_ok=True)
    write(path, bulk(name, folder, **cell), format="cif")
    print(path, *(f"{key}={value:g}" for key, value in cell.items() if key != "cubic"))


if __name__ == "__main__":
    main()
