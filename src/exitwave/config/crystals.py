"""The blocks of structures that are perfect or layered crystals: what diffraction patterns are simulated from."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Column, NonNegativeReal, Positive, Whole
from exitwave.config.distributions import Real
from exitwave.config.structures import Structures, structure_files


def prototypes_file() -> str:
    """Path of the prototypes that pymatgen ships with."""
    found = find_spec("pymatgen.analysis.prototypes")  # importing it takes seconds
    assert found is not None
    assert found.submodule_search_locations is not None
    return str(Path(found.submodule_search_locations[0]) / "aflow_prototypes.json.gz")


class Orientations(Block):
    """Directions from which each crystal is seen, in turn."""

    zone_axes: Whole = Field(
        5, ge=0, description="zone axes, those of the shortest periods along the beam, of equivalent ones one"
    )
    random: Whole = Field(5, ge=0, description="random orientations, uniform over SO(3)")
    mistilt: NonNegativeReal = Field(0.0, description="angle off the zone axis, towards a random side [mrad]")
    in_plane: Real | None = Field(None, description="angle about the beam [°]; random if left out")

    @model_validator(mode="after")
    def _some(self) -> Orientations:
        if self.zone_axes + self.random == 0:
            raise ValueError("zone_axes and random are both 0; allowed: one of them above 0")
        return self

    @property
    def number(self) -> int:
        """Orientations after which they are drawn anew."""
        return self.zone_axes + self.random


class Crystals(Structures):
    """Perfect crystals without end, each in several orientations: a library from prototypes, files or a database.

    An item is a crystal in an orientation. Item i is of crystal ``i % n``, n being the number of crystals; so a larger
    ``count`` sees every crystal from more directions. Cells are stored as primitive ones, in the setting of spglib;
    ``zone_axis`` is in indices of the conventional cell, ``zone_axis_primitive`` the same in those of the stored one,
    and of random orientations the nearest one with indices up to 3, with the angle to it as ``mistilt``.
    """

    COLUMNS = {
        "crystal": Column(),
        "source": Column(text=True),
        "formula": Column(text=True),
        "prototype": Column(text=True),
        "space_group": Column(),
        "crystal_system": Column(text=True),
        "volume": Column("Å³"),
        "n_atoms": Column(),
        "orientation_kind": Column(text=True),
        "zone_axis": Column(text=True),
        "zone_axis_primitive": Column(text=True),
        "mistilt": Column("mrad"),
        "content_hash": Column(text=True),
    }
    kind: Literal["crystals"]
    source: Literal["prototypes", "files", "materials_project"] = Field(
        "prototypes",
        description="prototypes: compounds of the AFLOW prototypes that pymatgen ships with, and others made of them "
        "by substitution; files: those of `path`; materials_project: those of `materials`",
    )
    crystals: Whole | None = Field(
        None, ge=1, description="crystals in the library; all that there are if left out, of prototypes each once"
    )
    prototypes: list[str] = Field(
        [], description="names of prototypes, such as NaCl or A_cF4_225_a, to which a library is limited; all if empty"
    )
    substitutions: Whole = Field(
        6, ge=0, le=50, description="compounds tried of each prototype by substitution, beside the one it is named for"
    )
    path: PurePath | None = Field(
        None,
        description="a file that ASE can read, or a folder of them, as of kind files; relative to the working folder",
    )
    materials: list[str] = Field(
        [], description="identifiers of the Materials Project, such as mp-149; the key is read from MP_API_KEY"
    )
    largest_volume: Positive = Field(
        600.0,
        description="largest volume of the primitive cell [Å³]: larger ones are left out of a library, others refused",
    )
    orientations: Orientations = Field(Orientations(), description="directions from which crystals are seen")

    @model_validator(mode="after")
    def _one_source(self) -> Crystals:
        for key, source in (("path", "files"), ("materials", "materials_project"), ("prototypes", "prototypes")):
            given = getattr(self, key) not in (None, [])
            if given and self.source != source:
                raise ValueError(f"{key} is given with source {self.source}; allowed: source: {source}")
            if not given and self.source == source != "prototypes":
                raise ValueError(f"{key} is left out with source {source}; allowed: one or more")
        if self.source != "prototypes" and self.substitutions != type(self).model_fields["substitutions"].default:
            raise ValueError(f"substitutions is given with source {self.source}; allowed: leave it out")
        for name in self.materials:
            if not re.fullmatch(r"[a-z]+-[a-z0-9]+", name):
                raise ValueError(f"materials holds '{name}'; allowed: identifiers such as mp-149")
        return self

    def may_be_files(self) -> list[str]:
        """The files, in the order of their paths, or the path itself if it is no folder; that of the prototypes."""
        if self.source == "prototypes":
            return [prototypes_file()]  # another version of pymatgen may have others
        return [] if self.path is None else structure_files(self.path)

    def file_names(self) -> list[str]:
        """The files below the folder: their names are recorded."""
        if self.path is None or not os.path.isdir(self.path):
            return []
        return [Path(file).relative_to(self.path).as_posix() for file in self.may_be_files()]
