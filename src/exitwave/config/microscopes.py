"""Microscopes that an images block can name in place of writing out their optics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from exitwave.config.haider import ANGLES, TERMS, to_krivanek
from exitwave.config.merge import merge
from exitwave.electron import REST_ENERGY
from exitwave.errors import ConfigError

_WIDTH = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a normal distribution over its standard deviation."""


@cache
def _library() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = yaml.safe_load((files(__package__) / "microscopes.yaml").read_text("utf-8"))
    return entries


def microscope_names() -> list[str]:
    """Names of the microscopes."""
    return list(_library())


def energy_of(microscope: str) -> float:
    """Beam energy of a microscope [eV].

    Raises
    ------
    ConfigError
        If there is no microscope of that name.
    """
    if microscope not in _library():
        raise ConfigError(f"microscope: found '{microscope}'; allowed: {', '.join(microscope_names())}")
    return float(_library()[microscope]["energy"])


def focal_spread(Cc: float, energy: float, energy_width: float, voltage: float, current: float) -> float:
    """Standard deviation of the defocus that chromatic aberration makes of the instabilities.

    ``Cc sqrt((f s/E)² + (f v)² + (2 i)²)`` with ``f = (1 + E/mc²) / (1 + E/2mc²)``, where E is the beam energy and s, v
    and i are standard deviations: of the electrons' energies, of the high voltage and of the current of the lens
    (Reimer and Kohl, Transmission Electron Microscopy, 5th ed., section 2.3).

    Parameters
    ----------
    Cc : float
        Coefficient of chromatic aberration [Å].
    energy : float
        Beam energy [eV].
    energy_width : float
        Full width at half maximum of the electrons' energies [eV].
    voltage, current : float
        Relative standard deviation of the high voltage and of the lens current.

    Returns
    -------
    float
        [Å]
    """
    relativistic = (1 + energy / REST_ENERGY) / (1 + energy / (2 * REST_ENERGY))
    return Cc * math.hypot(relativistic * energy_width / _WIDTH / energy, relativistic * voltage, 2 * current)


def with_microscope(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the keys of an images block over the optics of the microscope that it names.

    A coefficient that the block gives in Haider's notation replaces the microscope's with its angle.

    Parameters
    ----------
    values : mapping
        Raw keys of an images block.

    Returns
    -------
    dict
        The block with the microscope's defocus, aberrations, focal spread, ... where it gives none; as it is if it
        names no microscope.

    Raises
    ------
    pydantic.ValidationError
        If there is no microscope of that name.
    """
    name = values.get("microscope")
    if not isinstance(name, str):
        return dict(values)
    if name not in _library():
        problem = PydanticCustomError("microscope", "allowed: {names}", {"names": ", ".join(microscope_names())})
        raise ValidationError.from_exception_data("Hrtem", [{"type": problem, "loc": ("microscope",), "input": name}])
    entry = _library()[name]
    own = values.get("aberrations")
    aberrations = to_krivanek(entry["optics"]["aberrations"])
    for key in own if isinstance(own, dict) else ():
        term = TERMS.get(key) or ANGLES.get(key)
        if term is not None:
            aberrations.pop(f"C{term.name}", None)
            aberrations.pop(f"phi{term.name}", None)
    optics = {
        **entry["optics"],
        "aberrations": aberrations,
        "focal_spread": round(focal_spread(energy=entry["energy"], **entry["chromatic"]), 2),
    }
    if "kind" in values:
        optics["kind"] = values["kind"]  # or `merge` would take the two for different things
    merged: dict[str, Any] = merge(optics, dict(values))
    return merged
