"""Thermal motion of the atoms: root-mean-square displacements and frozen-phonon configurations.

Every atom is displaced independently along each axis by a Gaussian of variance ``<u²> = B / (8 π²)``, with the
Debye-Waller factor B of its element. B is scaled with temperature as in the classical limit, ``B ∝ T``; that is good
above about half the Debye temperature, and leaves out zero-point motion below it. The value of diamond taken for
carbon is nearly all zero-point motion and a lower bound for amorphous carbon, which vibrates more softly.

The values were read in public transcriptions of the tables cited, not in the papers; those of the elements that are
also in Sears & Shelley, Acta Cryst. A47 (1991) 441, agree with them within 7 %. The Debye temperature of CdSe is quoted
from the handbook at second hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import ConfigError

PENG = "Peng, Ren, Dudarev & Whelan, Acta Cryst. A52 (1996) 456, table 1"
GAO = "Gao & Peng, Acta Cryst. A55 (1999) 926"
DEBYE_CDSE = (
    "Debye model, <u²> = 3 ħ² T / (M k Θ²) (Φ(Θ/T) + Θ/4T), Θ = 181 K and mean atomic mass 95.7 u of CdSe "
    "(Madelung, Semiconductors: Data Handbook, Springer 2004)"
)

DEBYE_WALLER: dict[str, tuple[float, float, str]] = {
    "C": (0.1420, 280.0, f"{PENG}; diamond"),
    "Al": (0.7460, 280.0, PENG),
    "Si": (0.4630, 280.0, PENG),
    "S": (0.7463, 300.0, f"{GAO}; ZnS"),
    "Ti": (0.4910, 280.0, PENG),
    "Cr": (0.2390, 280.0, PENG),
    "Fe": (0.3100, 280.0, f"{PENG}; bcc"),
    "Ni": (0.3400, 280.0, PENG),
    "Cu": (0.5260, 280.0, PENG),
    "Zn": (1.0910, 280.0, PENG),
    "Ge": (0.5730, 280.0, PENG),
    "Se": (1.108, 300.0, DEBYE_CDSE),
    "Mo": (0.2050, 280.0, PENG),
    "Pd": (0.4250, 280.0, PENG),
    "Ag": (0.7017, 280.0, PENG),
    "Cd": (1.108, 300.0, DEBYE_CDSE),
    "W": (0.1526, 280.0, PENG),
    "Pt": (0.3557, 280.0, PENG),
    "Au": (0.5925, 280.0, PENG),
    "Pb": (2.0341, 280.0, PENG),
}
"""Debye-Waller factor B [Å²], the temperature it holds for [K], and its source."""


def check_elements(symbols: Iterable[str], given: Iterable[str] = ()) -> None:
    """Raise a ConfigError naming the elements whose thermal motion is neither known nor given."""
    unknown = sorted(set(symbols) - DEBYE_WALLER.keys() - set(given))
    if unknown:
        raise ConfigError(
            f"thermal motion needs a Debye-Waller factor, and there is none for {', '.join(unknown)}; allowed: "
            f"{', '.join(sorted(DEBYE_WALLER))}, those given as rms_displacements, or frozen_phonons: 0"
        )


def rms_displacement(symbol: str, temperature: float = 300.0) -> float:
    """Root-mean-square displacement of an atom along one axis [Å].

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    temperature : float
        Temperature [K].

    Raises
    ------
    ConfigError
        If the element is not in the table.
    """
    check_elements([symbol])
    debye_waller, reference, _ = DEBYE_WALLER[symbol]
    return float(np.sqrt(debye_waller * temperature / reference / (8 * np.pi**2)))


def displacements(
    numbers: NDArray[np.uint8],
    temperature: float,
    rng: np.random.Generator,
    given: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Draw the displacement of every atom in one frozen-phonon configuration.

    Parameters
    ----------
    numbers : uint8 array [n]
        Atomic numbers.
    temperature : float
        Temperature [K].
    rng : numpy.random.Generator
    given : mapping of str to float, optional
        Root-mean-square displacements along one axis by element [Å], whatever the table and the temperature say.

    Returns
    -------
    float64 array [n, 3]
        Displacements [Å], independent along every axis.
    """
    from ase.data import chemical_symbols

    rms, known = np.zeros(256), given or {}
    for number in np.unique(numbers):
        symbol = chemical_symbols[number]
        rms[number] = known[symbol] if symbol in known else rms_displacement(symbol, temperature)
    return rng.standard_normal((len(numbers), 3)) * rms[numbers, None]
