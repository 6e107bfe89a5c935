"""Thermal motion of the atoms: root-mean-square displacements and frozen-phonon configurations.

Every atom is displaced independently along each axis by a Gaussian of variance ``<u²> = B / (8 π²)``, with a
Debye-Waller factor B. B is scaled with temperature as in the classical limit, ``B ∝ T``; that is good above about half
the Debye temperature, and leaves out zero-point motion below it. The value of diamond taken for carbon is nearly all
zero-point motion and a lower bound for amorphous carbon, which vibrates more softly.

B belongs to a crystal, not to an element: that of Mo is 0.2 Å² in the metal and 0.45 Å² in MoS2, that of Mg 1.7 Å² and
0.3 Å² in MgO. An atom has the value of a compound of the table if all elements of that compound are in its part of the
structure (the substrate, a particle, the core or the shell of one), else that of its element. Stoichiometry is not
asked for, so that vacancies, dopants and other phases of the same elements have those values too.

The values were read in public transcriptions of the tables and papers cited, not in the originals, or were quoted from
memory where it says so; those of the elements that are also in Sears & Shelley, Acta Cryst. A47 (1991) 441, agree with
them within 7 %. The Debye temperatures are quoted from handbooks at second hand. Debye's model with such a calorimetric
temperature gives too little, 10 to 15 % in Ni, Cu and Fe and 25 % in GaAs and ZnS: it stands in for Cd, Se and Co, for
which nothing else was found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from exitwave.errors import ConfigError
from exitwave.structures.body import SiteRole
from exitwave.structures.structure import Structure

PENG = "Peng, Ren, Dudarev & Whelan, Acta Cryst. A52 (1996) 456, table 1"
GAO = "Gao & Peng, Acta Cryst. A55 (1999) 926"
DEBYE = "Debye model, <u²> = 3 ħ² T / (M k Θ²) (Φ(Θ/T) + Θ/4T)"
DEBYE_CDSE = (
    f"{DEBYE}, Θ = 181 K and mean atomic mass 95.7 u of CdSe (Madelung, Semiconductors: Data Handbook, Springer 2004)"
)
SCHONFELD = (
    "(2 U11 + U33) / 3 of 3R-MoS2, U = 0.0048 and 0.0075 Å² of Mo, 0.0038 and 0.0051 Å² of S; Schönfeld, Huang & Moss, "
    "Acta Cryst. B39 (1983) 404, as in entry 9007661 of the Crystallography Open Database"
)
LIKE_MOS2 = f"MoS2 stands in, which has the same structure and nearly the same bonds: {SCHONFELD}"
STEVENSON = "Stevenson, Acta Cryst. A50 (1994), doi:10.1107/s0108767393013947, abstract"
SCHOWALTER = (
    "Schowalter, Rosenauer, Titantah & Lamoen, Acta Cryst. A65 (2009) 227, mean over directions; the transcription "
    "has no temperature, and 300 K is assumed"
)
ABRAMOV = "Abramov, Tsirelson, Zavodnik, Ivanov & Brown, Acta Cryst. B51 (1995) 942, quoted from memory"
NODA = "Noda et al., Acta Cryst. C43 (1987) 1443, quoted from memory, good to about 20 %"
REFINED = "about what refinements at room temperature agree on, quoted from memory, good to about 20 %"

COMPOUNDS: dict[str, dict[str, tuple[float, float, str]]] = {
    "MoS2": {"Mo": (0.450, 295.0, SCHONFELD), "S": (0.334, 295.0, SCHONFELD)},
    "WS2": {"W": (0.450, 295.0, LIKE_MOS2), "S": (0.334, 295.0, LIKE_MOS2)},
    "MoSe2": {"Mo": (0.450, 295.0, LIKE_MOS2), "Se": (0.334, 295.0, f"a lower bound; {LIKE_MOS2}")},
    "WSe2": {"W": (0.450, 295.0, LIKE_MOS2), "Se": (0.334, 295.0, f"a lower bound; {LIKE_MOS2}")},
    "GaAs": {"Ga": (0.622, 295.0, STEVENSON), "As": (0.483, 295.0, STEVENSON)},
    "GaN": {"Ga": (0.266, 300.0, SCHOWALTER), "N": (0.295, 300.0, SCHOWALTER)},
    "AlN": {"Al": (0.253, 300.0, SCHOWALTER), "N": (0.279, 300.0, SCHOWALTER)},
    "ZnS": {"Zn": (0.8674, 300.0, GAO), "S": (0.7463, 300.0, GAO)},
    "ZnTe": {"Zn": (1.3545, 300.0, GAO), "Te": (0.9672, 300.0, GAO)},
    "PbS": {"Pb": (1.28, 295.0, NODA), "S": (1.25, 295.0, NODA)},
    "ZnO": {"Zn": (0.62, 295.0, REFINED), "O": (0.65, 295.0, REFINED)},
    "MgO": {"Mg": (0.31, 295.0, REFINED), "O": (0.34, 295.0, REFINED)},
    "Al2O3": {"Al": (0.23, 295.0, REFINED), "O": (0.27, 295.0, REFINED)},
    "TiO2": {"Ti": (0.45, 295.0, REFINED), "O": (0.43, 295.0, REFINED)},
    "ZrO2": {"Zr": (0.40, 295.0, REFINED), "O": (0.50, 295.0, REFINED)},
    "CeO2": {"Ce": (0.24, 295.0, REFINED), "O": (0.45, 295.0, REFINED)},
    "Fe3O4": {"Fe": (0.44, 295.0, REFINED), "O": (0.51, 295.0, REFINED)},
    "SiO2": {"Si": (0.52, 295.0, f"quartz: {REFINED}"), "O": (1.05, 295.0, f"quartz: {REFINED}")},
    "Si3N4": {"Si": (0.27, 295.0, REFINED), "N": (0.32, 295.0, REFINED)},
    "SrTiO3": {"Sr": (0.62, 295.0, ABRAMOV), "Ti": (0.44, 295.0, ABRAMOV), "O": (0.73, 295.0, ABRAMOV)},
}
"""Debye-Waller factor B [Å²] of the elements of a compound, the temperature it holds for [K], and its source."""

DEBYE_WALLER: dict[str, tuple[float, float, str]] = {
    "C": (0.1420, 280.0, f"{PENG}; diamond"),
    "N": COMPOUNDS["GaN"]["N"],
    "O": (0.45, 295.0, f"oxides: {REFINED}"),
    "Mg": (1.7310, 280.0, PENG),
    "Al": (0.7460, 280.0, PENG),
    "Si": (0.4630, 280.0, PENG),
    "S": (0.7463, 300.0, f"{GAO}; ZnS"),
    "Ti": (0.4910, 280.0, PENG),
    "V": (0.5460, 280.0, PENG),
    "Cr": (0.2390, 280.0, PENG),
    "Fe": (0.3100, 280.0, f"{PENG}; bcc"),
    "Co": (0.313, 300.0, f"{DEBYE}, Θ = 445 K (Kittel, Introduction to Solid State Physics)"),
    "Ni": (0.3400, 280.0, PENG),
    "Cu": (0.5260, 280.0, PENG),
    "Zn": (1.0910, 280.0, PENG),
    "Ga": COMPOUNDS["GaAs"]["Ga"],
    "Ge": (0.5730, 280.0, PENG),
    "As": COMPOUNDS["GaAs"]["As"],
    "Se": (1.108, 300.0, DEBYE_CDSE),
    "Sr": COMPOUNDS["SrTiO3"]["Sr"],
    "Zr": (0.5430, 280.0, PENG),
    "Nb": (0.4290, 280.0, PENG),
    "Mo": (0.2050, 280.0, PENG),
    "Pd": (0.4250, 280.0, PENG),
    "Ag": (0.7017, 280.0, PENG),
    "Cd": (1.108, 300.0, DEBYE_CDSE),
    "Sn": (1.0825, 280.0, PENG),
    "Te": COMPOUNDS["ZnTe"]["Te"],
    "Ce": COMPOUNDS["CeO2"]["Ce"],
    "Ta": (0.3078, 280.0, PENG),
    "W": (0.1526, 280.0, PENG),
    "Pt": (0.3557, 280.0, PENG),
    "Au": (0.5925, 280.0, PENG),
    "Pb": (2.0341, 280.0, PENG),
}
"""The same of elements, for atoms in no compound of the table: of the pure crystal, or of what the source names."""


@dataclass(frozen=True)
class ThermalMotion:
    """How far the atoms of a structure move.

    Attributes
    ----------
    rms : float64 array [n]
        Root-mean-square displacement of every atom along one axis [Å].
    used : str
        What was taken [Å], such as ``MoS2: Mo 0.0761, S 0.0656; elements: C 0.0439``; ``given``: from the config.
    """

    rms: NDArray[np.float64]
    used: str

    def displacements(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the displacement of every atom in one frozen-phonon configuration.

        Returns
        -------
        float64 array [n, 3]
            Displacements [Å], independent along every axis.
        """
        return rng.standard_normal((len(self.rms), 3)) * self.rms[:, None]


def check_elements(symbols: Iterable[str], given: Iterable[str] = ()) -> None:
    """Raise a ConfigError naming the elements whose thermal motion is neither known nor given."""
    unknown = sorted(set(symbols) - DEBYE_WALLER.keys() - set(given))
    if unknown:
        raise ConfigError(
            f"thermal motion needs a Debye-Waller factor, and there is none for {', '.join(unknown)}; allowed: "
            f"{', '.join(sorted(DEBYE_WALLER))}, those given as rms_displacements, or frozen_phonons: 0"
        )


def compound_of(symbol: str, together: Collection[str]) -> str | None:
    """The compound of the table whose value an atom has among atoms of other elements.

    Parameters
    ----------
    symbol : str
        Chemical symbol of the atom.
    together : collection of str
        Symbols of all elements of its part of the structure.

    Returns
    -------
    str or None
        Of the compounds that have the element, and no element that is not there, the one with most elements; of several
        the first in the table. None if there is none.
    """
    possible = [name for name, of in COMPOUNDS.items() if symbol in of and of.keys() <= set(together)]
    return max(possible, key=lambda name: len(COMPOUNDS[name]), default=None)


def rms_displacement(symbol: str, temperature: float = 300.0, compound: str | None = None) -> float:
    """Root-mean-square displacement of an atom along one axis [Å].

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    temperature : float
        Temperature [K].
    compound : str, optional
        Key of `COMPOUNDS` that the atom is in; none: the value of the element.

    Raises
    ------
    ConfigError
        If the element is not in the table.
    """
    if compound is None:
        check_elements([symbol])
    table = DEBYE_WALLER if compound is None else COMPOUNDS[compound]
    debye_waller, reference, _ = table[symbol]
    return float(np.sqrt(debye_waller * temperature / reference / (8 * np.pi**2)))


def thermal_motion(structure: Structure, temperature: float, given: Mapping[str, float] | None = None) -> ThermalMotion:
    """How far the atoms of a structure move at a temperature.

    Parameters
    ----------
    structure : Structure
        Compounds are looked for in each grain of each object by itself, without the molecules on it.
    temperature : float
        Temperature [K].
    given : mapping of str to float, optional
        Root-mean-square displacements along one axis by element [Å], whatever the tables and the temperature say.

    Raises
    ------
    ConfigError
        If an element is neither in the table nor given.
    """
    known = given or {}
    adsorbed = (structure.role & SiteRole.ADSORBATE != 0).astype(np.uint32)
    part = structure.object_id.astype(np.uint32) << 16 | structure.grain.astype(np.uint32) << 8 | adsorbed
    rms = np.zeros(len(structure.numbers))
    used: dict[str, dict[str, float]] = {}
    for each in np.unique(part):
        inside = part == each
        rms[inside] = _of_part(structure.numbers[inside], temperature, known, None, used)
    return ThermalMotion(rms, _told(used))


def motion_of_crystal(
    numbers: NDArray[np.uint8], temperature: float, given: Mapping[str, float], others: float | None = None
) -> ThermalMotion:
    """How far the atoms of a crystal move at a temperature.

    Parameters
    ----------
    numbers : uint8 array [n]
        Atomic numbers of the atoms of its cell.
    temperature : float
        Temperature [K].
    given : mapping of str to float
        Root-mean-square displacements along one axis by element [Å], whatever the tables and the temperature say.
    others : float, optional
        The same of elements that are neither in the tables nor given; they are refused if it is left out.

    Raises
    ------
    ConfigError
        If an element is neither in the table nor given.
    """
    used: dict[str, dict[str, float]] = {}
    rms = _of_part(numbers, temperature, given, others, used)
    return ThermalMotion(rms, _told(used))


def _of_part(
    numbers: NDArray[np.uint8],
    temperature: float,
    given: Mapping[str, float],
    others: float | None,
    used: dict[str, dict[str, float]],
) -> NDArray[np.float64]:
    """Displacements of atoms that may be one compound; what was taken goes into ``used``, by its table."""
    by_number = np.zeros(256)
    present = np.unique(numbers)
    together = {chemical_symbols[number] for number in present}
    for number in present:
        symbol = chemical_symbols[number]
        if symbol in given:
            table, by_number[number] = "given", given[symbol]
        elif others is not None and symbol not in DEBYE_WALLER:
            table, by_number[number] = "others", others
        else:
            compound = compound_of(symbol, together)
            table, by_number[number] = compound or "elements", rms_displacement(symbol, temperature, compound)
        used.setdefault(table, {})[symbol] = by_number[number]
    return by_number[numbers]


def _told(used: Mapping[str, Mapping[str, float]]) -> str:
    said = (
        f"{table}: {', '.join(f'{s} {r:.4f}' for s, r in sorted(of.items()))}" for table, of in sorted(used.items())
    )
    return "; ".join(said)


def displacements_told(numbers: NDArray[np.uint8], told: str) -> NDArray[np.float64]:
    """Root-mean-square displacements [n] [Å] of atoms from what is told of them in a table; 0 of those at rest.

    Parameters
    ----------
    numbers : uint8 array [n]
        Atomic numbers.
    told : str
        As :attr:`ThermalMotion.used`; empty for atoms at rest. Of an element in several tables the first.
    """
    by_number = np.zeros(256)
    for entry in reversed([entry for table in told.split("; ") if table for entry in table.split(": ")[1].split(", ")]):
        symbol, value = entry.split(" ")
        by_number[chemical_symbols.index(symbol)] = float(value)
    return by_number[numbers]
