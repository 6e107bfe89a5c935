"""The blocks of particles: their shapes, orientations, defects and coats."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from exitwave.config.block import Block, NonNegative, NonNegativeReal, Positive, PositiveReal, Whole
from exitwave.config.distributions import Integer, Name, Real, bounds, names, within


def _not_zero(indices: tuple[int, int, int]) -> tuple[int, int, int]:
    if indices == (0, 0, 0):
        raise ValueError("all three indices are 0; allowed: at least one that is not")
    return indices


def _miller_text(text: str) -> str:
    if not re.fullmatch(r"(-?\d){3}|-?\d+(\s*,\s*-?\d+){2}", text):
        raise ValueError(f"'{text}' is not a plane; allowed: three indices in quotes, such as '111', '00-1', '1,0,12'")
    return text


Miller = Annotated[tuple[Whole, Whole, Whole], AfterValidator(_not_zero)]
Energies = Annotated[
    dict[
        Annotated[
            str, BeforeValidator(lambda key: str(key) if isinstance(key, int) else key), AfterValidator(_miller_text)
        ],
        Positive,
    ],
    Field(min_length=1),
]
SmallFraction = Annotated[Real, within(low=0, high=0.5)]

FORMS = (
    "sphere",
    "cube",
    "truncated_cube",
    "cuboctahedron",
    "truncated_octahedron",
    "octahedron",
    "tetrahedron",
    "rhombic_dodecahedron",
    "decahedron",
    "icosahedron",
)
"""Shapes that need nothing but a name."""
FLAT = ("winterbottom", "island")
"""Shapes that lie on the substrate with one face."""


def _known_form(value: Any) -> Any:
    unknown = [name for name in names(value) if name not in FORMS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not a shape; allowed: {', '.join(FORMS)}, or a block with a kind")
    return value


class Ellipsoid(Block):
    """An ellipsoid."""

    kind: Literal["ellipsoid"]
    axes: tuple[Positive, Positive, Positive] = Field(
        description="relative lengths of the axes along x, y, z of the crystal"
    )


class Wulff(Block):
    """The shape of least surface energy of a free particle."""

    kind: Literal["wulff"]
    energies: Energies = Field(description="relative surface energies by plane, such as {111: 1, 100: 1.15}")


class Winterbottom(Block):
    """The shape of least surface energy of a particle on a flat substrate; it lies on its interface."""

    kind: Literal["winterbottom"]
    energies: Energies = Field(description="relative surface energies by plane, such as {111: 1, 100: 1.15}")
    interface: Miller = Field((1, 1, 1), description="plane that lies on the substrate")
    interface_energy: Real = Field(
        0.0, description="energy of the interface less that of the bare substrate, on the scale of energies"
    )


class Decahedron(Block):
    """Five twins about one axis, with the shape that surface energies give."""

    kind: Literal["decahedron"]
    energies: Energies = Field(description="relative surface energies by plane, such as {111: 1, 100: 1.15, 110: 1.3}")
    twin_energy: NonNegative = Field(0.02, description="energy of a twin boundary, on the scale of energies")


class Rod(Block):
    """A rod."""

    kind: Literal["rod"]
    aspect: Annotated[Real, within(low=1)] = Field(description="length over diameter")
    axis: Miller = Field((0, 0, 1), description="crystal direction of the rod")
    ends: Literal["round", "flat"] = Field("round", description="hemispherical or flat ends")


class Platelet(Block):
    """A flat prism."""

    kind: Literal["platelet"]
    aspect: Annotated[Real, within(low=1)] = Field(description="diameter over thickness; of a circle of the same area")
    normal: Miller = Field((1, 1, 1), description="plane that is its large face")
    outline: Literal["circle", "hexagon", "triangle", "square"] = Field("hexagon", description="outline of that face")


class Island(Block):
    """A few layers of a layered material; it lies flat. Its radius is that of a circle of the same area."""

    kind: Literal["island"]
    layers: Annotated[Integer, within(low=1)] = Field(1, description="number of layers")
    outline: Literal["circle", "hexagon", "triangle"] = Field("triangle", description="outline")


def alternatives(tag: Callable[[Any], str | None], allowed: str) -> Discriminator:
    """Tell alternatives apart, so that an error speaks of the one that is meant."""
    return Discriminator(tag, custom_error_type="alternatives", custom_error_message=f"allowed: {allowed}")


def _shape_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else "form"


Shape = Annotated[
    Annotated[Name, AfterValidator(_known_form), Tag("form")]
    | Annotated[Ellipsoid, Tag("ellipsoid")]
    | Annotated[Wulff, Tag("wulff")]
    | Annotated[Winterbottom, Tag("winterbottom")]
    | Annotated[Decahedron, Tag("decahedron")]
    | Annotated[Rod, Tag("rod")]
    | Annotated[Platelet, Tag("platelet")]
    | Annotated[Island, Tag("island")],
    alternatives(
        _shape_tag, "a name or a block of kind ellipsoid, wulff, winterbottom, decahedron, rod, platelet, island"
    ),
]


class Orientation(Block):
    """A crystal direction or plane normal along the beam."""

    zone_axis: Miller | None = Field(None, description="crystal direction [uvw] along the beam; or else give facet")
    facet: Miller | None = Field(None, description="crystal plane (hkl) across the beam")
    tilt: NonNegativeReal = Field(0.0, description="angle off that direction, towards a random side [°]")
    in_plane: Real | None = Field(None, description="angle about the beam [°]; random if left out")

    @model_validator(mode="after")
    def _one_of_two(self) -> Orientation:
        if (self.zone_axis is None) == (self.facet is None):
            raise ValueError("zone_axis and facet are both given or both left out; allowed: one of the two")
        return self


def _orientation_tag(value: Any) -> str | None:
    return "Orientation" if isinstance(value, (dict, Orientation)) else "random"


class PlanarDefects(Block):
    """Planar defects through the particle."""

    number: Annotated[Integer, within(low=0)] = Field(0, description="planar defects in a particle")
    kinds: list[Literal["twin", "stacking_fault"]] = Field(
        ["twin", "stacking_fault"], min_length=1, description="kinds, each equally likely"
    )


class Shell(Block):
    """Another material around the core."""

    material: Name = Field(description="name in the library of materials, or path of a CIF file")
    thickness: PositiveReal = Field(description="thickness [Å]; the radius of the particle includes it")
    orientation: Literal["aligned", "random"] = Field("aligned", description="axes along those of the core, or not")
    grains: Annotated[Integer, within(low=1, high=200)] = Field(
        1, description="grains of the shell; above 1 all but the first are turned at random"
    )


class Strain(Block):
    """Homogeneous strain in the frame of the crystal."""

    xx: Real = Field(0.0, description="strain along x")
    yy: Real = Field(0.0, description="strain along y")
    zz: Real = Field(0.0, description="strain along z")
    yz: Real = Field(0.0, description="engineering shear strain, twice the tensor component")
    xz: Real = Field(0.0, description="engineering shear strain")
    xy: Real = Field(0.0, description="engineering shear strain")


class Dopant(Block):
    """Atoms of another element in the places of some."""

    element: str = Field(description="chemical symbol of the dopant")
    host: str | None = Field(None, description="element replaced; any if left out")
    fraction: Annotated[Real, within(low=0, high=1)] = Field(description="fraction of the host's atoms replaced")


class Ligands(Block):
    """Molecules bound to the surface of the particle; not part of its label."""

    molecule: str = Field(description="name of a molecule in ASE's g2 set, such as CH3S, or path of an .xyz file")
    anchor: str = Field(description="element of the molecule that binds to the surface")
    density: NonNegativeReal = Field(description="molecules aimed at for each nm² of surface")


class Particles(Block):
    """Nanoparticles cut from a crystal."""

    material: Name = Field("Au", description="name in the library of materials, or path of a CIF file")
    shape: Shape = Field("sphere", description="outer shape: " + ", ".join(FORMS) + ", or a block with a kind")
    number: Annotated[Integer, within(low=0, high=255)] = Field(
        1, description="particles aimed at in a field; one that finds no free place is left out, and recorded so"
    )
    radius: PositiveReal = Field(description="radius of a sphere of the same volume [Å]")
    planar_defects: PlanarDefects = Field(PlanarDefects(), description="twins and stacking faults")
    grains: Annotated[Integer, within(low=1, high=200)] = Field(
        1, description="grains (Voronoi cells); above 1 all but the first are turned at random"
    )
    shell: Shell | None = Field(None, description="shell around the particle's core; none: one material")
    strain: Strain = Field(Strain(), description="homogeneous strain")
    surface_relaxation: Annotated[Real, within(low=-0.1, high=0.1)] = Field(
        0.0, description="radial strain at the surface, decaying inwards; negative: contraction"
    )
    dopants: list[Dopant] = Field([], description="substituted atoms")
    vacancies: SmallFraction = Field(0.0, description="fraction of the atoms taken out")
    antisites: SmallFraction = Field(0.0, description="fraction of the atoms of a compound that trade places")
    ligands: Ligands | None = Field(None, description="molecules on the surface; none: bare")
    orientation: Annotated[
        Annotated[Literal["random"], Tag("random")] | Annotated[Orientation, Tag("Orientation")],
        alternatives(_orientation_tag, "random, or a block with zone_axis or facet"),
    ] = Field("random", description="random: uniform over SO(3), and for winterbottom and island about the beam")
    arrangement: Literal["dispersed", "agglomerate"] = Field(
        "dispersed",
        description="dispersed: side by side, never overlapping in projection; agglomerate: dropped onto each other, "
        "so that they may overlap in projection",
    )
    embedding: Annotated[Real, within(low=0, high=1)] | None = Field(
        None,
        description="depth sunk into the substrate below first contact, as a fraction of the radius; if left out "
        "0.2 in an amorphous substrate, and 0 on others and for winterbottom and island",
    )
    contact: Annotated[float, Field(ge=1.5, le=5)] = Field(
        2.5,
        description="distance aimed at between the nearest atoms of a particle and of what it rests on [Å]; "
        "it is kept within ± 0.5",
    )
    minimum_gap: Annotated[float, Field(ge=1.5)] = Field(
        2.5, description="smallest distance between atoms of two particles [Å]"
    )

    @model_validator(mode="after")
    def _possible(self) -> Particles:
        shapes = names(self.shape) if not isinstance(self.shape, Block) else [self.shape.kind]
        twinned = sorted({"decahedron", "icosahedron", "island"} & set(shapes))
        for key, value, most in (
            ("planar_defects.number", bounds(self.planar_defects.number)[1], 0),
            ("grains", bounds(self.grains)[1], 1),
        ):
            if twinned and value > most:
                raise ValueError(f"{key} reaches up to {value} for the shape {twinned[0]}; allowed: {most}")
        if twinned and self.shell is not None:
            raise ValueError(f"shell is given for the shape {twinned[0]}; allowed: none")
        if bounds(self.grains)[1] > 1 and bounds(self.planar_defects.number)[1] > 0:
            raise ValueError("grains reaches above 1 and planar_defects.number above 0; allowed: one of the two")
        if self.shell is not None and bounds(self.shell.thickness)[1] >= bounds(self.radius)[0]:
            raise ValueError(
                f"shell.thickness reaches up to {bounds(self.shell.thickness)[1]:g} Å, but radius reaches down to "
                f"{bounds(self.radius)[0]:g} Å; allowed: a thickness below every radius"
            )
        if shapes[0] in FLAT and self.orientation != "random":
            raise ValueError(f"orientation is given, but a particle of shape {shapes[0]} lies flat; allowed: random")
        if shapes[0] in FLAT and self.ligands is not None:
            raise ValueError(f"ligands are given, but a particle of shape {shapes[0]} lies flat; allowed: none")
        if self.shell is not None and bounds(self.antisites)[1] > 0:
            raise ValueError("antisites reaches above 0 and there is a shell; allowed: one of the two")
        return self
