"""The blocks of structures that are perfect or layered crystals: what diffraction patterns are simulated from."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from exitwave.config.block import Block, Column, Fraction, NonNegative, NonNegativeReal, Positive, Whole
from exitwave.config.distributions import Real
from exitwave.config.particles import Miller
from exitwave.config.structures import Fields, Structures, structure_files


def prototypes_file() -> str:
    """Path of the prototypes that pymatgen ships with."""
    found = find_spec("pymatgen.analysis.prototypes")  # importing it takes seconds
    assert found is not None
    assert found.submodule_search_locations is not None
    return str(Path(found.submodule_search_locations[0]) / "aflow_prototypes.json.gz")


class Orientations(Block):
    """Directions from which each crystal is seen, in turn."""

    zone_axes: Whole = Field(
        5, ge=0, le=100, description="zone axes, those of the shortest periods along the beam, of equivalent ones one"
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
        None, ge=1, description="crystals that are taken, the first ones; all that there are if left out"
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
            if self.materials.count(name) > 1:
                raise ValueError(f"materials holds '{name}' {self.materials.count(name)} times; allowed: once")
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


Alloy = dict[str, dict[str, Fraction]]
"""Of an element of the material those that take its places, each with the fraction of the places that it takes."""


def _possible(alloy: Alloy) -> Alloy:
    for host, guests in alloy.items():
        if sum(guests.values()) > 1 + 1e-9:
            raise ValueError(f"takes {sum(guests.values()):g} of the places of {host}; allowed: 1 in all, or less")
    return alloy


SiteAlloy = Annotated[Alloy, AfterValidator(_possible)]


class Layer(Block):
    """One layer of a stack."""

    width: Positive = Field(description="width along the direction of growth [Å]")
    strain: Annotated[float, Field(ge=-0.2, le=0.2)] = Field(
        0.0, description="strain along the direction of growth, relative to the substrate; across it there is none"
    )
    alloy: SiteAlloy = Field(
        {}, description="elements in the places of others at random, such as {Si: {Ge: 0.5}}; none: the material itself"
    )


class LayerScan(Block):
    """Places of the probe, row by row; x is along the direction of growth and 0 at the surface of the substrate."""

    start: float = Field(-50.0, description="x of the first column [Å]; below 0 it is in the substrate")
    columns: Whole = Field(32, ge=1, description="places in a row")
    step: Positive = Field(10.0, description="distance of columns [Å]")
    row_step: Positive | None = Field(None, description="distance of rows [Å]; that of columns if left out")

    @property
    def end(self) -> float:
        """x of the last column [Å]."""
        return self.start + (self.columns - 1) * self.step


class HelicalMistilt(Block):
    """Tilt of the crystal off its zone axis, both numbers linear from the first column of the scan to the last."""

    magnitude: tuple[NonNegative, NonNegative] = Field((7.0, 77.0), description="angle off the zone axis [mrad]")
    azimuth: tuple[float, float] = Field(
        (45.0, 315.0), description="direction that the zone axis is tilted towards, from x to y [°]"
    )


class Multilayer(Fields):
    """Layers on a substrate, strained along the direction of growth and scanned by a probe across it.

    An item is one place of the probe: the atoms of a square box of ``field_of_view`` around it, cut from one and the
    same specimen. Item i is of column ``i % columns`` in row ``i // columns``. The layers are epitaxial.
    """

    COLUMNS = {
        "scan_column": Column(),
        "scan_row": Column(),
        "scan_x": Column("Å"),
        "scan_y": Column("Å"),
        "layer": Column(),
        "interface_distance": Column("Å"),
        "strain_xx": Column(),
        "strain_yy": Column(),
        "strain_xy": Column(),
        "rotation": Column("rad"),
        "projected_xx": Column(),
        "projected_yy": Column(),
        "projected_xy": Column(),
        "projected_rotation": Column("rad"),
        "mistilt": Column("mrad"),
        "mistilt_x": Column("mrad"),
        "mistilt_y": Column("mrad"),
        "zone_axis": Column(text=True),
        "thickness": Column("Å"),
        "n_atoms": Column(),
        "periodic": Column(),
        "content_hash": Column(text=True),
    }
    kind: Literal["multilayer"]
    material: str = Field(
        "Si", description="name in the library of materials, or path of a CIF file: that of all layers"
    )
    lattice_constant: Positive | None = Field(
        None, description="length of the first vector of its cell in the substrate [Å]; as it is if left out"
    )
    zone_axis: Miller = Field((0, 1, 1), description="crystal direction [uvw] along the beam")
    growth: Miller = Field((1, 0, 0), description="plane (hkl) of the interfaces, which holds the zone axis")
    substrate: SiteAlloy = Field({}, description="elements in the places of others in the substrate, as in layers")
    layers: list[Layer] = Field(min_length=1, description="the layers, from the substrate on")
    repeats: Whole = Field(1, ge=1, description="times that the layers follow each other")
    thickness: Positive = Field(description="thickness along the beam [Å]")
    scan: LayerScan = Field(LayerScan(), description="places of the probe")
    mistilt: HelicalMistilt | None = Field(None, description="tilt off the zone axis; none: aligned")
    specimen: Whole = Field(0, ge=0, description="number of the specimen: another one has other atoms in its alloys")

    def stack(self) -> dict[str, Any]:
        """What the layers are, in plain values, wherever they are scanned and however cut and tilted."""
        keys = {"material", "lattice_constant", "zone_axis", "growth", "substrate", "layers", "repeats"}
        return self.model_dump(mode="json", include=keys)

    @model_validator(mode="after")
    def _epitaxial(self) -> Multilayer:
        if sum(h * u for h, u in zip(self.growth, self.zone_axis, strict=True)) != 0:
            raise ValueError(
                f"growth is {list(self.growth)} with zone_axis {list(self.zone_axis)}; allowed: a plane that holds the "
                "zone axis, h u + k v + l w = 0"
            )
        if len(self.layers) * self.repeats > 255:
            raise ValueError(f"there are {len(self.layers) * self.repeats} layers in all; allowed: 255 or less")
        return self

    def periodic(self) -> bool:
        return False

    def may_be_files(self) -> list[str]:
        """The material, if it is no name in the library."""
        return [self.material]
