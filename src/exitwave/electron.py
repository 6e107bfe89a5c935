"""The fast electron: wavelength and interaction with a potential."""

from __future__ import annotations

import math

PLANCK = 6.62607015e-34
"""Planck constant [J s], exact in the SI of 2019."""
LIGHT_SPEED = 299792458.0
"""Speed of light [m/s], exact."""
ELEMENTARY_CHARGE = 1.602176634e-19
"""Elementary charge [C], exact in the SI of 2019."""
ELECTRON_MASS = 9.1093837139e-31
"""Electron rest mass [kg], CODATA 2022."""
REST_ENERGY = ELECTRON_MASS * LIGHT_SPEED**2 / ELEMENTARY_CHARGE
"""Rest energy of the electron [eV]."""


def wavelength(energy: float) -> float:
    """Relativistic de Broglie wavelength.

    Parameters
    ----------
    energy : float
        Beam energy [eV].

    Returns
    -------
    float
        Wavelength [Å]: ``h c / sqrt(E (2 m c² + E))`` (Kirkland, Advanced Computing in Electron Microscopy, eq. 2.5).
    """
    return PLANCK * LIGHT_SPEED / ELEMENTARY_CHARGE / math.sqrt(energy * (2 * REST_ENERGY + energy)) * 1e10


def interaction_parameter(energy: float) -> float:
    """Phase that a projected potential adds.

    Parameters
    ----------
    energy : float
        Beam energy [eV].

    Returns
    -------
    float
        ``σ = 2π m e λ / h²`` with the relativistic mass [rad / (V Å)] (Kirkland, eq. 5.6).
    """
    mass = ELECTRON_MASS * (1 + energy / REST_ENERGY)
    return 2 * math.pi * mass * ELEMENTARY_CHARGE * wavelength(energy) * 1e-10 / PLANCK**2 * 1e-10
