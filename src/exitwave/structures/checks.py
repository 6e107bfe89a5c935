"""What can be said about a structures block before anything is made: is it possible, and of which elements."""

from __future__ import annotations

from typing import Any

from exitwave.config.block import Block
from exitwave.config.distributions import bounds, names
from exitwave.config.particles import Dopant, Island, Ligands, Particles
from exitwave.config.structures import (
    AmorphousSubstrate,
    CrystallineSubstrate,
    LayeredSubstrate,
    NanoparticlesOnSubstrate,
)
from exitwave.errors import StructureError
from exitwave.structures.amorphous import AMORPHOUS_MATERIALS, pair_distances
from exitwave.structures.materials import check_material, load_material


def check_block(block: NanoparticlesOnSubstrate) -> None:
    """Check the materials, shapes, dopants and molecules of a block.

    Raises
    ------
    StructureError
        A sentence that begins with the key.
    """
    particles = block.particles
    planar_defects = bounds(particles.planar_defects.number)[1] > 0
    if particles.shell is not None:
        for material in names(particles.shell.material):
            _at("particles.shell", load_material, material)
    for material in names(particles.material):
        layered = isinstance(particles.shape, Island)
        _at("particles", check_material, material, planar_defects, layered)
        _at("particles", load_material, material)
        for shape in [particles.shape] if isinstance(particles.shape, Block) else names(particles.shape):
            _at("particles.shape", _check_shape, particles, shape, material)
        shells = [] if particles.shell is None else names(particles.shell.material)
        held = _elements(material).union(*(_elements(shell) for shell in shells))
        for dopant in particles.dopants:
            _at("particles.dopants", _check_dopant, dopant, material, held)
        if bounds(particles.antisites)[1] > 0 and len(_elements(material)) < 2:
            raise StructureError(
                f"particles.antisites: reaches above 0 for '{material}', which has one element; allowed: 0"
            )
    if particles.ligands is not None:
        _at("particles.ligands", _check_ligands, particles.ligands)
    if isinstance(block.substrate, AmorphousSubstrate):
        defaults = AMORPHOUS_MATERIALS[block.substrate.material].minimum_distances
        pair_distances(defaults, block.substrate.minimum_distances, block.substrate.material)
    if isinstance(block.substrate, CrystallineSubstrate | LayeredSubstrate):
        for material in names(block.substrate.material):
            layered = isinstance(block.substrate, LayeredSubstrate)
            _at("substrate", check_material, material, False, layered)
            _at("substrate", load_material, material)


def elements_of(block: NanoparticlesOnSubstrate) -> set[str]:
    """Chemical symbols of all that a block can put into a structure."""
    particles, substrate = block.particles, block.substrate
    found = {dopant.element for dopant in particles.dopants}
    if particles.ligands is not None:
        from exitwave.structures.surface import read_molecule

        found |= set(read_molecule(particles.ligands.molecule).get_chemical_symbols())
    if isinstance(substrate, AmorphousSubstrate):
        found |= set(AMORPHOUS_MATERIALS[substrate.material].elements)
    return found.union(*(_elements(material) for material in materials_of(block)))


def materials_of(block: NanoparticlesOnSubstrate) -> set[str]:
    """Crystals that a block can put into a structure: names in the library, and paths."""
    particles, substrate = block.particles, block.substrate
    found = {*names(particles.material), *([] if particles.shell is None else names(particles.shell.material))}
    if substrate is not None and not isinstance(substrate, AmorphousSubstrate):
        found |= set(names(substrate.material))
    return found


def _at(key: str, check: Any, *arguments: Any) -> None:
    """Run a check; its error begins with the key, once."""
    try:
        check(*arguments)
    except StructureError as error:
        raise StructureError(str(error) if str(error).startswith(f"{key} ") else f"{key}: {error}") from error


def _elements(material: str) -> set[str]:
    from ase.data import chemical_symbols

    return {chemical_symbols[number] for number in load_material(material).numbers}


def _check_shape(particles: Particles, shape: Any, material: str) -> None:
    from exitwave.structures.particles import check_shape

    check_shape(particles, shape, load_material(material))


def _check_dopant(dopant: Dopant, material: str, elements: set[str]) -> None:
    from ase.data import atomic_numbers

    for key, symbol in (("element", dopant.element), ("host", dopant.host)):
        if symbol is not None and not atomic_numbers.get(symbol, 0):
            raise StructureError(f"{key} is '{symbol}'; allowed: the symbol of an element")
    if dopant.element == dopant.host:
        raise StructureError(f"element and host are both '{dopant.host}'; allowed: two elements")
    if dopant.host is not None and dopant.host not in elements:
        raise StructureError(
            f"host is '{dopant.host}', which a particle of '{material}' does not hold; allowed: "
            f"{', '.join(sorted(elements))}"
        )


def _check_ligands(ligands: Ligands) -> None:
    from exitwave.structures.surface import read_molecule

    symbols = read_molecule(ligands.molecule).get_chemical_symbols()
    if ligands.anchor not in symbols:
        raise StructureError(
            f"anchor is '{ligands.anchor}', which '{ligands.molecule}' does not hold; allowed: "
            f"{', '.join(sorted(set(symbols)))}"
        )
