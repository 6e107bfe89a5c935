"""States above a layer that are known in closed form, and densities of them on grids and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.waves.vacuum_states import HBAR2_2M, VacuumStates

FloatArray = NDArray[np.float64]
CELL = np.array([[3.2, 0.0], [-0.4, 4.1]])
POSITIONS = np.array([[0.4, 0.3, 0.0], [1.5, 2.2, -0.9]])
NUMBERS = np.array([16, 22])


def states(**values: Any) -> VacuumStates:
    """One state of three beams at Gamma, 4.5 eV below the vacuum, which begins at once."""
    made: dict[str, Any] = {
        "cell": CELL,
        "numbers": NUMBERS,
        "positions": POSITIONS,
        "plane": 2.0,
        "k_points": np.zeros((1, 2)),
        "weights": np.array([2.0]),
        "energies": np.array([0.1]),
        "beams": np.array([[0, 0], [1, 0], [-1, 0]]),
        "coefficients": np.array([[1.0, 0.2, 0.2]], np.complex128),
        "heights": np.array([1.0, 4.0]),
        "potential": np.zeros(2),
        "operations": np.eye(2, dtype=int)[None],
        "fermi": -4.6,
        "edges": (0.0, 0.0),
        "facts": {"window": 0.6, "engine": "by hand"},
        **values,
    }
    return VacuumStates(**made)


def kappa(energy: float, across: float = 0.0) -> float:
    """Decay [1/Å] of a wave of an energy from the vacuum level [eV], with a wave vector in the plane [1/Å]."""
    return float(np.sqrt(-energy / HBAR2_2M + across**2))


def on_grid(height: float = 16.0, planes: int = 160) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The density of the state on a grid [n, m, planes] as files hold it, the cell [3, 3], and the positions.

    The topmost atom is at z = 4 Å; below it the density is what it is on the atom.
    """
    number = 24
    z = np.arange(planes) * height / planes - 4.0
    reciprocal = 2 * np.pi * np.linalg.inv(CELL).T
    u, _ = np.mgrid[:number, :number] / number
    flat = kappa(-4.5)
    steep = kappa(-4.5, float(np.linalg.norm(reciprocal[0])))
    # The state of `states`, whose coefficients are those at 2 Å.
    above = np.maximum(z, 0)
    wave = np.exp(-flat * (above - 2)) + 0.4 * np.cos(2 * np.pi * u)[..., None] * np.exp(-steep * (above - 2))
    cell = np.zeros((3, 3))
    cell[:2, :2], cell[2, 2] = CELL, height
    return 2 * wave**2, cell, POSITIONS + np.array([0, 0, 4.0])


def write_parchg(path: Path, tilt: float = 0.0, scale: float = 1.0) -> Path:
    """The density as VASP writes it: times the volume, the first index running fastest."""
    density, cell, positions = on_grid()
    cell[2, 0] = tilt
    rows = [" ".join(f"{value:.8f}" for value in vector) for vector in cell]
    places = positions @ np.linalg.inv(cell)
    sites = [" ".join(f"{value:.8f}" for value in place) for place in places]
    values = (scale * density * abs(np.linalg.det(cell))).transpose(2, 1, 0).ravel()
    numbers = "\n".join(" ".join(f"{value:.10E}" for value in part) for part in values.reshape(-1, 5))
    head = ["by hand", "1.0", *rows, "S Ti", "1 1", "Direct", *sites, "", " ".join(map(str, density.shape))]
    path.write_text("\n".join([*head, numbers, ""]))
    return path


def write_cube(path: Path, unit: str = "Bohr", signs: tuple[int, int, int] | None = None) -> Path:
    """The density as a Gaussian cube file, with lengths in Bohr or Å."""
    from ase.units import Bohr

    density, cell, positions = on_grid()
    sign = signs or ((1, 1, 1) if unit == "Bohr" else (-1, -1, -1))
    length = Bohr if unit == "Bohr" else 1.0
    lines = ["by hand", "density", f"{len(NUMBERS)} 0.0 0.0 0.0"]
    for count, vector, one in zip(density.shape, cell, sign, strict=True):
        lines.append(f"{one * count} " + " ".join(f"{value / length / count:.9f}" for value in vector))
    for number, place in zip(NUMBERS, positions, strict=True):
        lines.append(f"{number} {number}.0 " + " ".join(f"{value / length:.9f}" for value in place))
    values = (density * Bohr**3).ravel()
    lines += [" ".join(f"{value:.10E}" for value in part) for part in values.reshape(-1, 6)]
    path.write_text("\n".join([*lines, ""]))
    return path
