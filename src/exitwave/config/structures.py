"""The blocks of the structures stage: what particles rest on; structures of files."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from exitwave.config.block import Block, Column, NonNegative, NonNegativeReal, Positive, PositiveReal, Whole
from exitwave.config.distributions import Integer, Name, Real, bounds, names, within
from exitwave.config.particles import FLAT, Miller, Particles, alternatives

Length = Annotated[float, Field(ge=2)]  # roughness finer than the distances of atoms is none
NETWORK = Path(__file__).parents[1] / "structures" / "carbon_network.npz"
"""The block of bonded carbon that ships with exitwave."""
EMBEDDING = 0.2
"""Depth in amorphous substrates, if not given: in the archived scripts of Rangel DaCosta et al. 2024."""
STRUCTURE_SUFFIXES = (".cif", ".vasp", ".xyz", ".extxyz", ".xsf", ".pdb", ".res", ".gen")
"""Files of a folder that are taken for structures, beside those with POSCAR or CONTCAR in their names."""
LARGEST_SHARD = 256
"""Structures in a shard at the most: what is lost with a killed job is small, and so is a file."""
REFUSED_SUFFIXES = (".traj",)
"""Files of a folder that would be taken for structures by others: they are refused, not passed over."""


class _Substrate(Block):
    roughness: NonNegativeReal = Field(0.0, description="rms roughness of each face [Å]")
    roughness_length: Length = Field(30.0, description="correlation length of the roughness along the face [Å]")


class AmorphousSubstrate(_Substrate):
    """Amorphous slab below the particles, another one in every item."""

    kind: Literal["amorphous"] = Field("amorphous", description="kind of substrate")
    material: Literal["a-C", "a-SiNx", "a-SiO2"] = Field("a-C", description="substrate material")
    structure: Literal["random", "network"] = Field(
        "random",
        description="random: atoms at random, none too close; network: pieces of a bonded network, for a-C",
    )
    thickness: PositiveReal = Field(description="thickness [Å]")
    density: Positive | None = Field(
        None, description="mass density [g/cm³]; if left out 2.0 (a-C), 3.0 (a-SiNx) or 2.2 (a-SiO2)"
    )
    minimum_distances: dict[str, Positive] = Field(
        {}, description="smallest distances of pairs of elements, such as {C-C: 1.4} [Å]; the rest keep their defaults"
    )

    @model_validator(mode="after")
    def _network_as_made(self) -> AmorphousSubstrate:
        if self.structure == "network" and self.material != "a-C":
            raise ValueError(f"structure is network for '{self.material}'; allowed: a-C, or structure: random")
        if self.structure == "network" and (self.density is not None or self.minimum_distances):
            raise ValueError(
                "density or minimum_distances is given for structure: network, whose block has its own; "
                "allowed: leave both out"
            )
        return self


class CrystallineSubstrate(_Substrate):
    """Crystalline slab below the particles, stretched slightly to be periodic in the square cell."""

    kind: Literal["crystal"]
    material: Name = Field(description="name in the library of materials, or path of a CIF file")
    surface: Miller = Field((1, 1, 1), description="plane (hkl) that is its face")
    thickness: PositiveReal = Field(description="thickness [Å]")
    in_plane: Real | None = Field(
        None, description="angle of the first in-plane lattice vector to x [°]; random if left out"
    )
    in_plane_search: NonNegative = Field(3.0, description="how far the angle may be moved to lower the strain [°]")
    largest_strain: Annotated[float, Field(gt=0, le=0.1)] = Field(
        0.02, description="largest principal strain allowed to make it periodic"
    )


class LayeredSubstrate(Block):
    """Layers of a two-dimensional material below the particles, stretched slightly to be periodic in the cell."""

    kind: Literal["layers"]
    material: Name = Field(description="name of a layered material in the library")
    layers: Annotated[Integer, within(low=1)] = Field(1, description="number of layers")
    twist: Real = Field(0.0, description="angle of each layer to the one below, over the crystal's own stacking [°]")
    in_plane: Real | None = Field(
        None, description="angle of the first in-plane lattice vector to x [°]; random if left out"
    )
    in_plane_search: NonNegative = Field(3.0, description="how far an angle may be moved to lower the strain [°]")
    largest_strain: Annotated[float, Field(gt=0, le=0.1)] = Field(
        0.02, description="largest principal strain allowed to make it periodic"
    )
    ripple: NonNegativeReal = Field(0.0, description="rms height of ripples [Å]")
    ripple_length: Length = Field(60.0, description="correlation length of the ripples [Å]")


def _substrate_tag(value: Any) -> str | None:
    kind = value.get("kind", "amorphous") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


Substrate = Annotated[
    Annotated[AmorphousSubstrate, Tag("amorphous")]
    | Annotated[CrystallineSubstrate, Tag("crystal")]
    | Annotated[LayeredSubstrate, Tag("layers")],
    alternatives(_substrate_tag, "a block of kind amorphous (the default), crystal or layers"),
]


class Structures(Block):
    """What all kinds of structures have."""

    COUNTS = frozenset({"count", "shard_size"})
    LAPTOP = {"shard_size": 16}
    count: Whole = Field(ge=1, le=1_000_000, description="number of structures; more only adds to what is there")
    shard_size: Whole = Field(32, ge=1, le=LARGEST_SHARD, description="structures in a shard, which is one job")


class Fields(Structures):
    """What all kinds have whose items are the atoms of a square field of view."""

    field_of_view: Positive = Field(description="lateral edge of the square, periodic cell [Å]")

    def periodic(self) -> bool:
        """Whether what is made is laterally periodic."""
        return True


class NanoparticlesOnSubstrate(Fields):
    """Nanoparticles resting on a substrate; laterally periodic."""

    VERSION = 3
    COLUMNS = {
        "content_hash": Column(text=True),
        "redraws": Column(),
        "material": Column(text=True),
        "shape": Column(text=True),
        "particles_drawn": Column(),
        "particles_placed": Column(),
        "radius_mean": Column("Å"),
        "radius_min": Column("Å"),
        "radius_max": Column("Å"),
        "planar_defects": Column(),
        "domains": Column(),
        "shell_thickness": Column("Å"),
        "vacancies": Column(),
        "ligands": Column(),
        "zone_axis": Column(text=True),
        "zone_axis_tilt": Column("°"),
        "projected_area": Column("Å²"),
        "substrate": Column(text=True),
        "substrate_thickness": Column("Å"),
        "substrate_density": Column("g/cm³"),
        "substrate_roughness": Column("Å"),
        "substrate_strain": Column(),
        "substrate_in_plane": Column("°"),
        "substrate_layers": Column(),
        "substrate_twist": Column("°"),
        "cell_height": Column("Å"),
        "n_atoms_substrate": Column(),
        "n_atoms_particles": Column(),
        "particles": Column("JSON", text=True),
    }
    kind: Literal["nanoparticles_on_substrate"]
    cell_height: Positive | None = Field(
        None, description="height of the cell along the beam [Å]; fitted to each structure if left out"
    )
    vacuum: NonNegative = Field(4.0, description="empty space above and below the atoms [Å]")
    particles: Particles = Field(description="the particles")
    substrate: Substrate | None = Field(None, description="the substrate; none: particles in vacuum")

    @model_validator(mode="after")
    def _fits(self) -> NanoparticlesOnSubstrate:
        radius, gap = bounds(self.particles.radius)[1], self.particles.minimum_gap
        # How far other shapes reach is known when they are made.
        if self.particles.shape == "sphere" and 2 * radius + gap > self.field_of_view:
            raise ValueError(
                f"particles.radius reaches up to {radius:g} Å, but a particle and its minimum_gap must fit into "
                f"field_of_view {self.field_of_view:g} Å; allowed: {(self.field_of_view - gap) / 2:g} Å or less"
            )
        if self.substrate is None and self.particles.embedding is not None:
            raise ValueError("particles.embedding is given and there is no substrate; allowed: leave it out")
        if self.cell_height is not None and self.particles.shape == "sphere":
            thickness = bounds(getattr(self.substrate, "thickness", 0.0))[1]
            sunk = min(thickness, bounds(self.embedding())[1] * radius)
            needed = thickness + 2 * radius - sunk + 2 * self.vacuum
            if needed > self.cell_height:
                raise ValueError(
                    f"cell_height is {self.cell_height:g} Å, but substrate ({thickness:g} Å), particle "
                    f"({2 * radius:g} Å) and vacuum need {needed:g} Å or more"
                )
        return self

    def embedding(self) -> Any:
        """Depth below first contact as a fraction of the radius, number or distribution, given or by default."""
        if self.particles.embedding is not None:
            return self.particles.embedding
        flat = getattr(self.particles.shape, "kind", None) in FLAT
        return EMBEDDING if isinstance(self.substrate, AmorphousSubstrate) and not flat else 0.0

    def may_be_files(self) -> list[str]:
        """Values that are the path of a file, if they are no name in a library."""
        particles, substrate = self.particles, self.substrate
        found = names(particles.material)
        if particles.shell is not None:
            found += names(particles.shell.material)
        if particles.ligands is not None:
            found.append(particles.ligands.molecule)
        if isinstance(substrate, AmorphousSubstrate):
            # What ships with exitwave is part of what is made as well, where another version may have another.
            found += [str(NETWORK)] if substrate.structure == "network" else []
        elif substrate is not None:
            found += names(substrate.material)
        return found


class StructureFiles(Fields):
    """Structures of one's own, from files: each in turn, in an order that mixes them and follows from their names.

    A crystal is repeated to fill the field; what comes out ends at the edges of the field, is not periodic and is not
    strained. With ``fill: false`` a file is a whole structure and is taken as it is.
    """

    COLUMNS = {
        "file": Column(text=True),
        "folder": Column(text=True),
        "formula": Column(text=True),
        "space_group": Column(),
        "crystal_system": Column(text=True),
        "thickness": Column("Å"),
        "zone_axis": Column(text=True),
        "zone_axis_tilt": Column("°"),
        "cell_height": Column("Å"),
        "n_atoms": Column(),
        "periodic": Column(),
        "content_hash": Column(text=True),
        "redraws": Column(),
    }
    kind: Literal["files"]
    path: PurePath = Field(
        description="a file that ASE can read, or a folder: all files in it and its subfolders that end in "
        + ", ".join(STRUCTURE_SUFFIXES)
        + " or have POSCAR or CONTCAR in their names, with their folder recorded as a label; relative to the working "
        "directory; of several frames the first is taken"
    )
    field_of_view: Positive = Field(description="lateral edge of the square cell [Å]; with fill it is not periodic")
    fill: bool = Field(
        True,
        description="true: a file is a crystal, which is repeated to fill field_of_view x field_of_view x thickness; "
        "false: it is a whole structure in an orthogonal, laterally periodic cell with edges field_of_view along x "
        "and y, within 0.01 Å",
    )
    thickness: PositiveReal | None = Field(None, description="thickness that is filled [Å]; needed with fill")
    zone_axes: list[Miller] = Field(
        [],
        description="directions [uvw] of the cell in the file, one of which, drawn at random, is along the beam; if "
        "left out orientations are random, uniform over SO(3)",
    )
    tilt: NonNegativeReal = Field(0.0, description="angle off that direction, towards a random side [°]")
    in_plane: Real | None = Field(None, description="angle about the beam [°]; random if left out")
    vacuum: NonNegative = Field(4.0, description="empty space above and below the atoms that are filled in [Å]")
    substrate_elements: list[str] = Field(
        [],
        description="with fill: false: elements whose atoms are substrate; all others are one particle",
    )

    @model_validator(mode="after")
    def _one_way(self) -> StructureFiles:
        if self.fill and self.thickness is None:
            raise ValueError("thickness is left out, and crystals are to fill it; allowed: a thickness, or fill: false")
        if not self.fill:
            for key in ("thickness", "zone_axes", "tilt", "in_plane", "vacuum"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key} is given, and with fill: false structures are taken as they are; allowed: leave it out"
                    )
        elif self.substrate_elements:
            raise ValueError(
                "substrate_elements are given, and crystals that fill a field have no substrate; allowed: leave them "
                "out, or fill: false"
            )
        if not self.zone_axes:
            for key in ("tilt", "in_plane"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} is given without zone_axes; allowed: leave it out, or give zone_axes")
        return self

    def periodic(self) -> bool:
        return not self.fill

    def may_be_files(self) -> list[str]:
        """The files, in the order of their paths; the path itself if it is no folder."""
        return structure_files(self.path)

    def file_names(self) -> list[str]:
        """The files below the folder: their names and folders are recorded."""
        root = Path(self.path)
        return [Path(path).relative_to(root).as_posix() for path in self.may_be_files()] if os.path.isdir(root) else []


def structure_files(path: PurePath) -> list[str]:
    """Files of a folder that are taken for structures, in the order of their paths; the path if it is no folder."""
    root = Path(path)
    if not os.path.isdir(root):  # no error where it is no possible path
        return [str(root)]
    found = [(file.relative_to(root).parts, file) for file in root.rglob("*") if file.is_file()]
    return [str(file) for parts, file in sorted(found) if is_structure(parts)]


def is_structure(parts: tuple[str, ...]) -> bool:
    """Whether a file in a folder is taken for a structure by its name; nothing hidden is."""
    if any(part.startswith(".") for part in parts):
        return False
    name = parts[-1].lower()
    return name.endswith(STRUCTURE_SUFFIXES + REFUSED_SUFFIXES) or "poscar" in name or "contcar" in name
