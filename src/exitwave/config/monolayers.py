"""The block of monolayers: two-dimensional materials, of prototypes or of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Column, NonNegative, NonNegativeReal, Positive
from exitwave.config.distributions import Integer, Real, Uniform, bounds, within
from exitwave.config.particles import Dopant, SmallFraction
from exitwave.config.structures import Fields, Length, is_structure, structure_files

COLLECTIONS = (".json", ".db")
"""Files that hold many structures: of JARVIS, and databases of ASE."""
MAPS = Path(__file__).parents[3] / "resources" / "stm"
"""Folder of the maps of local densities of states that exitwave comes with."""


def map_kind(name: str) -> str | None:
    """What a map of a local density of states is, by the name of its file; none if it is no map."""
    lower = PurePath(name).name.lower()
    if "parchg" in lower:
        return "vasp"
    endings = {".npz": "states", ".cube": "cube", ".cub": "cube", ".gpw": "gpaw"}
    return endings.get(PurePath(lower).suffix)


class Monolayers(Fields):
    """Two-dimensional materials that fill a square and go on beyond it; seen along their normal.

    Item i is of monolayer ``i % n``, n being the number of monolayers; with ``balanced`` those of rare lattices come
    several times in n. ``bravais`` is the class of the lattice of translations of the columns, as a beam along the
    normal sees them: a lattice is of a class if a strain below 0.5 % makes it so. ``bravais_margin`` is the least
    strain that would make it of another class, ``strain_*`` that which would make it of this one;
    ``bravais_resolved`` is the class where columns closer than 0.5 Å are one, ``bravais_3d`` that of the translations
    of the layer itself, which glide planes make coarser, and ``motif`` the class that the symmetry of the columns
    demands. ``bravais_published`` is what the rule of published labels says of the cell as its source gives it.
    """

    COLUMNS = {
        "file": Column(text=True),
        "formula": Column(text=True),
        "prototype": Column(text=True),
        "bravais": Column(text=True),
        "bravais_resolved": Column(text=True),
        "bravais_3d": Column(text=True),
        "motif": Column(text=True),
        "bravais_published": Column(text=True),
        "bravais_margin": Column(),
        "strain_hexagonal": Column(),
        "strain_square": Column(),
        "strain_rectangular": Column(),
        "strain_rhombus": Column(),
        "lattice_a": Column("Å"),
        "lattice_b": Column("Å"),
        "lattice_gamma": Column("°"),
        "column_distance": Column("Å"),
        "in_plane": Column("°"),
        "strain_first": Column(),
        "strain_second": Column(),
        "strain_direction": Column("°"),
        "tilt": Column("mrad"),
        "tilt_towards": Column("°"),
        "layers": Column(),
        "ripple": Column("Å"),
        "vacancies": Column(),
        "dopants": Column(),
        "contamination_thickness": Column("Å"),
        "cell_height": Column("Å"),
        "n_atoms": Column(),
        "periodic": Column(),
        "content_hash": Column(text=True),
    }
    kind: Literal["monolayer"]
    source: Literal["prototypes", "files", "maps"] = Field(
        "prototypes",
        description="prototypes: some two thousand compounds of the monolayers that exitwave comes with; files: those "
        "of `path`; maps: those of the maps of local densities of states that exitwave comes with, or of `path`, for "
        "STM",
    )
    prototypes: list[str] = Field(
        [], description="names of prototypes to which the compounds are limited, such as 'MoS2, 2H'; all if empty"
    )
    maps: list[str] = Field(
        [], description="names of maps to which the layers are limited, such as graphene; all if empty"
    )
    path: PurePath | None = Field(
        None,
        description="a file or a folder of them: CIF, POSCAR, extended XYZ, JARVIS JSON, a database of ASE; the widest "
        "empty slab of a cell says which way the layer lies; of maps PARCHG of VASP, Gaussian cube, .gpw of GPAW and "
        "maps like those that exitwave comes with; relative to the working folder",
    )
    balanced: bool = Field(True, description="whether the five Bravais classes come equally often")
    field_of_view: Positive = Field(description="edge of the square that the layer fills [Å]; it does not repeat")
    in_plane: Real = Field(Uniform(uniform=(0, 360)), description="angle of the layer about the beam [°]")
    origin: Literal["random", "middle"] = Field(
        "random",
        description="where the origin of the lattice lies: at random; or in the middle of the square, so that images "
        "of different compounds can be compared pixel by pixel",
    )
    strain: Real = Field(
        0.0, description="each of two principal strains of the layer, along a random direction and across it"
    )
    tilt: Annotated[Real, within(low=0, high=500)] = Field(
        0.0, description="angle of the normal to the beam, towards a random side [mrad]; labels are those without"
    )
    layers: Annotated[Integer, within(low=1, high=20)] = Field(1, description="layers on each other")
    stacking: Literal["aligned", "shifted", "random"] = Field(
        "aligned",
        description="of each layer on the one below: aligned: straight above; shifted: by a third of both vectors of "
        "its cell; random: by a random part of them",
    )
    interlayer_gap: Positive = Field(3.2, description="height between the outer atoms of two layers [Å]")
    ripple: NonNegativeReal = Field(0.0, description="rms height of ripples, which move atoms along the normal [Å]")
    ripple_length: Length = Field(60.0, description="correlation length of the ripples [Å]")
    vacancies: SmallFraction = Field(0.0, description="fraction of the atoms taken out")
    dopants: list[Dopant] = Field([], description="substituted atoms")
    contamination: NonNegativeReal = Field(
        0.0, description="thickness of amorphous carbon above the layer [Å]; below 2 Å there is none"
    )
    vacuum: NonNegative = Field(2.0, description="empty space above and below the atoms [Å]")

    @model_validator(mode="after")
    def _one_source(self) -> Monolayers:
        for key, sources in (("path", ("files", "maps")), ("prototypes", ("prototypes",)), ("maps", ("maps",))):
            given = getattr(self, key) not in (None, [])
            if given and self.source not in sources:
                raise ValueError(f"{key} is given with source {self.source}; allowed: source: {' or '.join(sources)}")
        if self.source == "files" and self.path is None:
            raise ValueError("path is left out with source files; allowed: a file or a folder")
        if self.stacking != "aligned" and bounds(self.layers)[1] == 1:
            raise ValueError(f"stacking is {self.stacking} with layers 1; allowed: layers of 2 or more")
        return self

    def periodic(self) -> bool:
        return False

    def may_be_files(self) -> list[str]:
        """The files, in the order of their paths, or the path itself if it is no folder."""
        if self.source == "maps":
            return map_files(self.path, self.maps)
        if self.path is None:
            return []
        root = Path(self.path)
        if not os.path.isdir(root):
            return structure_files(self.path)
        found = [(file.relative_to(root).parts, file) for file in root.rglob("*") if file.is_file()]
        return [str(file) for parts, file in sorted(found) if _is_taken(parts)]

    def file_names(self) -> list[str]:
        """The files below the folder: their names are recorded."""
        if self.path is None or not os.path.isdir(self.path):
            return []
        if self.source == "maps":
            return [Path(file).name for file in self.may_be_files()]
        return [Path(file).relative_to(self.path).as_posix() for file in self.may_be_files()]


def map_files(path: PurePath | None, names: Sequence[str] = ()) -> list[str]:
    """Maps of a folder, of a file or of exitwave, in the order of their names; of some those that are named.

    A name is that of the file, with or without its ending. Names that are not there are not said here.
    """
    root = Path(path or MAPS)
    found = [root] if root.is_file() else sorted(root.iterdir()) if root.is_dir() else []
    files = [file for file in found if file.is_file() and not file.name.startswith(".") and map_kind(file.name)]
    return [str(file) for file in files if not names or file.name in names or file.stem in names]


def _is_taken(parts: tuple[str, ...]) -> bool:
    """Whether a file of a folder is taken for one of monolayers; nothing hidden is."""
    hidden = any(part.startswith(".") for part in parts)
    return is_structure(parts) or (parts[-1].lower().endswith(COLLECTIONS) and not hidden)
