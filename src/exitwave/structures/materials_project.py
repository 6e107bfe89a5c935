"""Crystals of the Materials Project, by identifier; each answer is kept, so that a second run needs no network.

A. Jain et al., APL Mater. 1 (2013) 011002. Asked is the summary endpoint of the REST API, through the client that
pymatgen has. This has been run on answers written by hand after its documentation, never against the server itself.
The identity of a block has the identifiers only: what a machine has kept is what it works with, even where the database
has changed since.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from exitwave.errors import ConfigError, StructureError
from exitwave.structures.crystal import crystal_from_pymatgen
from exitwave.structures.kept import keep, kept, place_of
from exitwave.structures.standard import StandardCrystal, standardised

KEY = "MP_API_KEY"
"""Environment variable that the key of a user is in."""
_AT_ONCE = 100
"""Materials asked for in one request, whose address must not grow too long."""


def materials(identifiers: Sequence[str]) -> list[StandardCrystal]:
    """Crystals of identifiers such as ``mp-149``, in their order.

    Raises
    ------
    ConfigError
        If one is not kept and there is no key, no network, or no such material.
    StructureError
        If sites of one are partially occupied, or atoms coincide.
    """
    answers = {one: kept(place_of("materials_project", f"{one}.json")) for one in identifiers}
    missing = [one for one, answer in answers.items() if "structure" not in answer]
    for start in range(0, len(missing), _AT_ONCE):
        answers |= _asked(missing[start : start + _AT_ONCE])
    return [_crystal(one, answers[one]) for one in identifiers]


def _asked(identifiers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Answers of the server, which are kept from now on."""
    key, told = os.environ.get(KEY, ""), ", ".join(identifiers[:3]) + (", ..." if len(identifiers) > 3 else "")
    if not key:
        raise ConfigError(
            f"materials: found {told} and no key for the Materials Project in {KEY}; allowed: a key, or materials "
            "that have been fetched before"
        )
    from pymatgen.ext.matproj import MPRester, MPRestError

    try:
        with MPRester(key) as client:
            found = client.summary_search(material_ids=list(identifiers), _fields=["material_id", "structure"])
    except (MPRestError, ValueError) as error:  # a key of the wrong length is a ValueError
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"materials: {told} cannot be fetched from the Materials Project ({said}); allowed: a network and a valid "
            f"key in {KEY}, or materials that have been fetched before"
        ) from error
    answers = {str(one["material_id"]): {"structure": one["structure"].as_dict()} for one in found}
    for one, answer in answers.items():
        keep(place_of("materials_project", f"{one}.json"), answer)
    for one in identifiers:
        if one not in answers:
            raise ConfigError(
                f"materials: found '{one}', which the Materials Project does not have; allowed: identifiers such as "
                "mp-149"
            )
    return answers


def _crystal(identifier: str, answer: dict[str, Any]) -> StandardCrystal:
    from pymatgen.core import Structure

    try:
        structure = Structure.from_dict(answer["structure"])
    except (KeyError, TypeError, ValueError) as error:
        raise StructureError(
            f"materials: the answer for '{identifier}' is no structure; allowed: delete "
            f"{place_of('materials_project', f'{identifier}.json')} and fetch it again"
        ) from error
    return standardised(crystal_from_pymatgen(structure, identifier), identifier)
