"""Particles: from the particles of a structures block to one body, drawn, cut, faulted, dressed and turned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config import particles as specimen
from exitwave.config.block import Block
from exitwave.config.distributions import bounds, draw
from exitwave.structures.body import Body
from exitwave.structures.composites import core_shell, polycrystal
from exitwave.structures.crystal import Crystal, cut
from exitwave.structures.layers import island
from exitwave.structures.materials import load_material
from exitwave.structures.point_defects import substituted, with_antisites, with_vacancies
from exitwave.structures.shapes import (
    EllipsoidForm,
    Form,
    PlateletForm,
    RodForm,
    WinterbottomForm,
    WulffForm,
    inset,
    make_solid,
)
from exitwave.structures.stacking import cut_with_defects
from exitwave.structures.strain import strain_tensor, strained, surface_relaxation
from exitwave.structures.surface import marked_surface, with_ligands
from exitwave.structures.transforms import nearest_zone_axis, orient, random_quaternion, rotation_matrix
from exitwave.structures.twinned import decahedron, icosahedron
from exitwave.structures.volumes import Volume, miller_half_space

FloatArray = NDArray[np.float64]

DECAHEDRON = specimen.Decahedron(kind="decahedron", energies={"111": 1.0, "100": 1.15, "110": 1.3})
"""What the bare name stands for."""
_TRIAL_RADIUS = 10.0
"""Radius [Å] at which a multiply twinned particle is tried."""


def make_particle(block: specimen.Particles, rng: np.random.Generator) -> Body:
    """Draw one particle, about the origin, in its orientation to the beam.

    Parameters
    ----------
    block : Particles
        The particles of a structures block of the config.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    Body
        Its details are what was drawn: ``material`` (``core@shell``), ``shape``, ``radius`` [Å], and those of
        ``shell_thickness`` [Å], ``grains``, ``strain``, ``surface_relaxation``, ``dopants``, ``vacancies``,
        ``antisites`` and ``ligands`` that the block asks for; then ``zone_axis``, the low-index direction of the
        crystal nearest to the beam, and ``zone_axis_tilt``, its angle to the beam [°].

    Raises
    ------
    StructureError
        If the particle cannot be made as described, such as one that holds no atom.
    """
    material, radius = str(draw(block.material, rng)), float(draw(block.radius, rng))
    crystal = load_material(material)
    shape = block.shape if isinstance(block.shape, Block) else str(draw(block.shape, rng))
    body = _cut(block, shape, crystal, radius, rng)
    body = body.with_details(shape=shape if isinstance(shape, str) else shape.kind, radius=radius)
    # Marked before any substitution: too few dopants tell nothing of their coordination in the bulk.
    body = _with_defects(block, marked_surface(body), rng)
    if block.ligands is not None:
        density = float(draw(block.ligands.density, rng))
        body = with_ligands(body, block.ligands.molecule, block.ligands.anchor, density, rng)
    body = body.moved(_rotation(block, shape, crystal, rng))
    # Of the first grain that holds an atom, which need not be the one along the axes of the body.
    zone_axis, tilt = nearest_zone_axis(crystal.cell, rotation_matrix(body.quaternion))
    return body.with_details(zone_axis=list(zone_axis), zone_axis_tilt=tilt)


def check_shape(block: specimen.Particles, shape: Any, crystal: Crystal) -> None:
    """Raise a StructureError if a crystal cannot have a shape, or no core is left under a shell.

    What is drawn is tried at both ends of its distribution, with the smallest radius and the thickest shell.
    """
    radius = float(bounds(block.radius)[0])
    if isinstance(shape, specimen.Island) or _twinned(shape, crystal, _TRIAL_RADIUS) is not None:
        return
    for form in (_form(shape, lambda value: bounds(value)[0]), _form(shape, lambda value: bounds(value)[1])):
        outer = make_solid(form, crystal, radius)
        if block.shell is not None:
            inset(outer, float(bounds(block.shell.thickness)[1]), _kept(form, crystal))


def _kept(form: Form, crystal: Crystal) -> FloatArray | None:
    """Normal of the face that a shell leaves bare: a core of a particle on a substrate stands on it too."""
    return miller_half_space(crystal.cell, form.interface).normals[0] if isinstance(form, WinterbottomForm) else None


def _twinned(shape: Any, crystal: Crystal, radius: float) -> Body | None:
    """The multiply twinned particle, if the shape is one."""
    if shape == "icosahedron":
        return icosahedron(crystal, radius)
    if shape == "decahedron" or isinstance(shape, specimen.Decahedron):
        chosen = DECAHEDRON if isinstance(shape, str) else shape
        return decahedron(crystal, radius, chosen.energies, chosen.twin_energy)
    return None


def _cut(block: specimen.Particles, shape: Any, crystal: Crystal, radius: float, rng: np.random.Generator) -> Body:
    """The particle of its crystals, with planar defects, grains or shell."""
    if isinstance(shape, specimen.Island):
        return island(crystal, int(draw(shape.layers, rng)), shape.outline, radius)
    twinned = _twinned(shape, crystal, radius)
    if twinned is not None:
        return twinned
    form = _form(shape, lambda value: draw(value, rng))
    outer = make_solid(form, crystal, radius)
    if block.shell is None:
        return _core(block, outer, crystal, rng)
    thickness = float(draw(block.shell.thickness, rng))
    core = _core(block, inset(outer, thickness, _kept(form, crystal)), crystal, rng)
    shell = load_material(str(draw(block.shell.material, rng)))
    body = core_shell(
        core,
        shell,
        outer,
        aligned=block.shell.orientation == "aligned",
        grains=int(draw(block.shell.grains, rng)),
        rng=rng,
    )
    return body.with_details(material=f"{crystal.name}@{shell.name}", shell_thickness=thickness)


def _core(block: specimen.Particles, solid: Volume, crystal: Crystal, rng: np.random.Generator) -> Body:
    grains = int(draw(block.grains, rng))
    kinds = block.planar_defects.kinds
    wanted = [kinds[int(rng.integers(len(kinds)))] for _ in range(int(draw(block.planar_defects.number, rng)))]
    if grains > 1:
        return polycrystal(crystal, solid, grains, rng)
    return cut_with_defects(crystal, solid, wanted, rng) if wanted else cut(crystal, solid, rng)


def _form(shape: Any, value: Callable[[Any], Any]) -> Form:
    """The shape with plain numbers, each of which ``value`` takes from a number or distribution."""
    if isinstance(shape, specimen.Ellipsoid):
        return EllipsoidForm(shape.axes)
    if isinstance(shape, specimen.Wulff):
        return WulffForm(tuple(shape.energies.items()))
    if isinstance(shape, specimen.Winterbottom):
        energy = float(value(shape.interface_energy))
        return WinterbottomForm(tuple(shape.energies.items()), shape.interface, energy)
    if isinstance(shape, specimen.Rod):
        return RodForm(float(value(shape.aspect)), shape.axis, shape.ends)
    if isinstance(shape, specimen.Platelet):
        return PlateletForm(float(value(shape.aspect)), shape.normal, shape.outline)
    return str(shape)


def _with_defects(block: specimen.Particles, body: Body, rng: np.random.Generator) -> Body:
    """Strain, relaxation and point defects, each recorded when the block asks for it."""
    strain = [float(draw(getattr(block.strain, name), rng)) for name in ("xx", "yy", "zz", "yz", "xz", "xy")]
    if any(strain):
        body = strained(body, strain_tensor(*strain), frame="crystal").with_details(strain=strain)
    relaxation = float(draw(block.surface_relaxation, rng))
    if relaxation:
        body = surface_relaxation(body, relaxation).with_details(surface_relaxation=relaxation)
    dopants = []
    for dopant in block.dopants:
        fraction = float(draw(dopant.fraction, rng))
        body = substituted(body, dopant.element, fraction, rng, host=dopant.host)
        dopants.append({"element": dopant.element, "host": dopant.host, "fraction": fraction})
    if dopants:
        body = body.with_details(dopants=dopants)
    if bounds(block.antisites)[1] > 0:
        fraction = float(draw(block.antisites, rng))
        body = with_antisites(body, fraction, rng).with_details(antisites=fraction)
    if bounds(block.vacancies)[1] > 0:
        fraction = float(draw(block.vacancies, rng))
        body = with_vacancies(body, fraction, rng).with_details(vacancies=fraction)
    return body


def _rotation(block: specimen.Particles, shape: Any, crystal: Crystal, rng: np.random.Generator) -> FloatArray:
    """Matrix [3, 3] from the frame of the crystal to that of the scene."""
    if isinstance(shape, specimen.Winterbottom):
        below = (-shape.interface[0], -shape.interface[1], -shape.interface[2])
        return orient(crystal.cell, facet=below, in_plane=rng.uniform(0, 360))
    if isinstance(shape, specimen.Island):
        return orient(crystal.cell, facet=(0, 0, 1), in_plane=rng.uniform(0, 360))
    wanted = block.orientation
    if isinstance(wanted, str):
        return rotation_matrix(random_quaternion(rng))
    return orient(
        crystal.cell,
        zone_axis=wanted.zone_axis,
        facet=wanted.facet,
        in_plane=rng.uniform(0, 360) if wanted.in_plane is None else float(draw(wanted.in_plane, rng)),
        tilt=float(draw(wanted.tilt, rng)),
        tilt_towards=rng.uniform(0, 360),
    )
