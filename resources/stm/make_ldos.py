"""Make the bundled maps of local densities of states: ``python make_ldos.py [NAME ...]``.

Needs exitwave, GPAW 25.7 and gpaw-data 1.2. Maps that are there are left alone; each is written whole or not at all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ase
import gpaw
import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from gpaw import GPAW, PW, FermiDirac

from exitwave.waves.gpaw_states import states_of
from exitwave.waves.vacuum_states import write

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Layer:
    """A layer, and how it is calculated.

    Attributes
    ----------
    atoms : Atoms
    source : str
        Of the lattice and the coordinates.
    mesh, fine : tuple of int
        k-points of the density, and of the states.
    cutoff : float
        [eV]
    relax : bool
        Whether the atoms are relaxed in the given cell.
    corner : float, optional
        States are those of the mesh within so far of the corner K of the Brillouin zone [1/Å], and of the opposite
        one: all that a layer with a Dirac cone has near its Fermi level.
    """

    atoms: Atoms
    source: str
    mesh: tuple[int, int]
    fine: tuple[int, int]
    cutoff: float = 300.0
    relax: bool = False
    corner: float | None = None


def hexagonal(a: float, symbols: str, places: list[tuple[float, float, float]]) -> Atoms:
    """A hexagonal layer: fractions of the vectors, heights [Å]."""
    cell = np.array([[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, 20]])
    return _layer(cell, symbols, places)


def rectangular(a: float, b: float, symbols: str, places: list[tuple[float, float, float]]) -> Atoms:
    """A rectangular layer."""
    return _layer(np.diag([a, b, 20]), symbols, places)


def _layer(cell: np.ndarray, symbols: str, places: list[tuple[float, float, float]]) -> Atoms:
    flat = np.array(places)
    positions = flat[:, :2] @ cell[:2, :2]
    atoms = Atoms(symbols, np.column_stack([positions, flat[:, 2]]), cell=cell, pbc=True)
    # Not in the middle of the cell: then all symmetries that GPAW finds leave top and bottom apart.
    height = np.ptp(atoms.positions[:, 2])
    atoms.cell[2, 2] = height + 11.5
    atoms.positions[:, 2] += 5.0 - atoms.positions[:, 2].min()
    return atoms


def trigonal_prism(a: float, thickness: float, metal: str, other: str) -> Atoms:
    """A layer of 2H-MX2."""
    h, t, u = thickness / 2, 1 / 3, 2 / 3
    return hexagonal(a, f"{metal}{other}2", [(0, 0, 0), (t, u, h), (t, u, -h)])


def octahedron(a: float, thickness: float, metal: str, other: str) -> Atoms:
    """A layer of 1T-MX2."""
    h, t, u = thickness / 2, 1 / 3, 2 / 3
    return hexagonal(a, f"{metal}{other}2", [(0, 0, 0), (t, u, h), (u, t, -h)])


def puckered(a: float, b: float, top: str, bottom: str, half: float, shift: float = 0.0806) -> Atoms:
    """A layer like black phosphorus: zigzag rows along the first vector, two heights."""
    z = shift
    places = [(0, z, half), (0.5, 0.5 - z, half), (0, -z, -half), (0.5, 0.5 + z, -half)]
    return rectangular(a, b, top + bottom, places)


def square(a: float, height: float, flat: str, outer: str) -> Atoms:
    """A layer like FeSe or PbO: a flat square lattice between two outer ones."""
    return rectangular(a, a, f"{flat}2{outer}2", [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, height), (0, 0.5, -height)])


def buckled(a: float, buckling: float, symbol: str) -> Atoms:
    """A honeycomb whose atoms have two heights."""
    return hexagonal(a, f"{symbol}2", [(T, U, 0), (U, T, buckling)])


def double(a: float, pair: float, outer: float, metal: str, other: str) -> Atoms:
    """A layer of GaS: X, M, M, X straight above each other, M and X on the two lattices of a honeycomb."""
    h, z = pair / 2, outer / 2
    return hexagonal(a, f"{metal}2{other}2", [(T, U, h), (T, U, -h), (U, T, z), (U, T, -z)])


T, U = 1 / 3, 2 / 3
QUOTED = "lattice constant of the bulk crystal, as usually quoted"
BRONSEMA = "bulk crystal, K. D. Bronsema et al., Z. Anorg. Allg. Chem. 540/541 (1986) 15"
SCHUTTE = "bulk crystal, W. J. Schutte et al., J. Solid State Chem. 70 (1987) 207"
BROWN = "bulk crystal, A. Brown, S. Rundqvist, Acta Cryst. 19 (1965) 684"
CAHANGIROV = (
    "lattice constant as computed by PBE; first by S. Cahangirov et al., Phys. Rev. Lett. 102 (2009) 236804, by LDA"
)
COMPUTED = "lattice constant as computed by PBE"
SEMI, METAL = ((6, 6), (12, 12)), ((9, 9), (18, 18))
LAYERS = {
    "graphene": Layer(hexagonal(2.461, "C2", [(T, U, 0), (U, T, 0)]), QUOTED, (12, 12), (75, 75), 350, corner=0.12),
    "hBN": Layer(hexagonal(2.504, "BN", [(T, U, 0), (U, T, 0)]), QUOTED, (6, 6), (12, 12), 350),
    "MoS2": Layer(trigonal_prism(3.160, 3.172, "Mo", "S"), BRONSEMA, *SEMI),
    "silicene": Layer(buckled(3.87, 0.45, "Si"), CAHANGIROV, (9, 9), (48, 48), relax=True, corner=0.15),
    "black_P": Layer(puckered(3.3136, 4.3763, "P2", "P2", 1.065), BROWN, (8, 6), (16, 12)),
    "FeSe": Layer(
        square(3.77, 1.47, "Fe", "Se"),
        "bulk crystal, T. M. McQueen et al., Phys. Rev. B 79 (2009) 014522",
        (8, 8),
        (10, 10),
    ),
    "WS2": Layer(trigonal_prism(3.153, 3.142, "W", "S"), SCHUTTE, *SEMI),
    "MoSe2": Layer(trigonal_prism(3.289, 3.335, "Mo", "Se"), BRONSEMA, *SEMI),
    "WSe2": Layer(trigonal_prism(3.282, 3.341, "W", "Se"), SCHUTTE, *SEMI),
    "NbSe2": Layer(trigonal_prism(3.445, 3.36, "Nb", "Se"), QUOTED, *METAL, relax=True),
    "TiS2": Layer(octahedron(3.407, 2.85, "Ti", "S"), QUOTED, *METAL, relax=True),
    "SnS2": Layer(octahedron(3.648, 2.95, "Sn", "S"), QUOTED, *SEMI, relax=True),
    "ZrS2": Layer(octahedron(3.662, 2.90, "Zr", "S"), QUOTED, *SEMI, relax=True),
    "PtS2": Layer(octahedron(3.543, 2.46, "Pt", "S"), QUOTED, *SEMI, relax=True),
    "GaSe": Layer(double(3.755, 2.46, 4.78, "Ga", "Se"), QUOTED, *SEMI, relax=True),
    "SnS": Layer(puckered(3.98, 4.33, "SnS", "SSn", 1.35), QUOTED, (6, 6), (12, 12), relax=True),
    "PbO": Layer(square(3.975, 1.18, "O", "Pb"), QUOTED, *SEMI, 350, relax=True),
    "Ti2C": Layer(hexagonal(3.04, "CTi2", [(0, 0, 0), (T, U, 1.15), (U, T, -1.15)]), COMPUTED, *METAL, relax=True),
    "MoTe2": Layer(trigonal_prism(3.519, 3.60, "Mo", "Te"), QUOTED, *SEMI, relax=True),
    "TaS2": Layer(trigonal_prism(3.314, 3.13, "Ta", "S"), QUOTED, *METAL, relax=True),
    "TiSe2": Layer(octahedron(3.540, 3.07, "Ti", "Se"), QUOTED, *METAL, relax=True),
    "PtSe2": Layer(octahedron(3.728, 2.60, "Pt", "Se"), QUOTED, *SEMI, relax=True),
    "SnSe2": Layer(octahedron(3.811, 3.15, "Sn", "Se"), QUOTED, *SEMI, relax=True),
    "HfS2": Layer(octahedron(3.635, 2.90, "Hf", "S"), QUOTED, *SEMI, relax=True),
    "GaS": Layer(double(3.587, 2.46, 4.62, "Ga", "S"), QUOTED, *SEMI, relax=True),
    "InSe": Layer(double(4.005, 2.80, 5.35, "In", "Se"), QUOTED, *SEMI, relax=True),
    "germanene": Layer(buckled(4.06, 0.69, "Ge"), CAHANGIROV, (9, 9), (48, 48), relax=True, corner=0.15),
    "antimonene": Layer(buckled(4.12, 1.64, "Sb"), COMPUTED, *SEMI, relax=True),
    "GeS": Layer(puckered(3.641, 4.30, "GeS", "SGe", 1.25), QUOTED, (6, 6), (12, 12), relax=True),
    "Ti2CO2": Layer(
        hexagonal(3.03, "CTi2O2", [(0, 0, 0), (T, U, 1.13), (U, T, -1.13), (U, T, 2.1), (T, U, -2.1)]),
        COMPUTED,
        (6, 6),
        (12, 12),
        350,
        relax=True,
    ),
}


def about_corner(atoms: Atoms, mesh: tuple[int, int], radius: float) -> tuple[np.ndarray, float]:
    """Points of a mesh near K, and the share of the mesh that they and those near the opposite corner are."""
    reciprocal = 2 * np.pi * np.linalg.inv(np.asarray(atoms.cell)[:2, :2]).T
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in mesh), indexing="ij"), -1).reshape(-1, 2)
    near = np.linalg.norm((points - np.array([T, T])) @ reciprocal, axis=1) < radius
    chosen = np.column_stack([points[near], np.zeros(near.sum())])
    return chosen, 2 * len(chosen) / len(points)


def make(name: str, layer: Layer, logs: Path) -> None:
    """Calculate a layer and write its map."""
    began = time.process_time()
    atoms = layer.atoms.copy()
    common = {"mode": PW(layer.cutoff), "xc": "PBE", "occupations": FermiDirac(0.05)}
    count = GPAW(mode=PW(layer.cutoff), txt=None)
    count.initialize(atoms)
    bands = int(count.get_number_of_electrons() / 2 + 0.5) + 8
    ground = GPAW(
        kpts={"size": (*layer.mesh, 1), "gamma": True},
        nbands=bands,
        convergence={"density": 1e-4, "energy": 1e-3, "eigenstates": 1e-5},
        txt=str(logs / f"{name}.txt"),
        **common,
    )
    atoms.calc = ground
    if layer.relax:
        BFGS(atoms, logfile=str(logs / f"{name}.log")).run(fmax=0.05, steps=10)
    atoms.get_potential_energy()
    mesh, share = ({"size": (*layer.fine, 1), "gamma": True}, 1.0)
    if layer.corner is not None:
        mesh, share = about_corner(atoms, layer.fine, layer.corner)
    fine = ground.fixed_density(
        kpts=mesh,
        symmetry={} if layer.corner is None else "off",
        nbands=bands,
        convergence={"bands": bands - 4, "eigenstates": 1e-8},
        txt=str(logs / f"{name}-fine.txt"),
    )
    force = float(np.linalg.norm(ground.get_forces(), axis=1).max())
    facts = {
        "name": name,
        "structure": layer.source,
        "relaxed": layer.relax,
        "force": round(force, 3),
        "functional": "PBE",
        "cutoff": layer.cutoff,
        "mesh": list(layer.mesh),
        "mesh_of_states": list(layer.fine),
        "about_corner": layer.corner,
        "engine": f"GPAW {gpaw.__version__}",
        "setups": f"gpaw-data {version('gpaw-data')}",
        "ase": ase.__version__,
    }
    states = states_of(fine, facts=facts, share=share)
    write(states, HERE / f"{name}.npz")
    print(
        f"{name}: {time.process_time() - began:.0f} s, {len(states.energies)} states, "
        f"gap {np.diff(states.edges)[0]:.2f} eV, Fermi level {states.fermi:.2f} eV, largest force {force:.3f} eV/A, "
        f"heights {np.round(np.sort(states.positions[:, 2]), 3).tolist()}, "
        f"{(HERE / f'{name}.npz').stat().st_size} B",
        flush=True,
    )


def main() -> None:
    """Make the maps that are not there; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(LAYERS), help="layers; all if left out")
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()), help="folder of GPAW's logs")
    arguments = parser.parse_args()
    for name in arguments.names:
        if not (HERE / f"{name}.npz").exists():
            try:
                make(name, LAYERS[name], arguments.logs)
            except Exception as error:  # a layer that does not converge is told, and the next one is made
                print(f"{name}: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
