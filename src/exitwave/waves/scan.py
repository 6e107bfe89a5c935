"""Exit waves of the kind ``scan``: electrons by scattering angle, for places of a probe over one cell of a layer."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.images import Aberrations
from exitwave.config.monolayers import Monolayers
from exitwave.config.scans import ProbeScan
from exitwave.errors import ConfigError, StructureError
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.structures import monolayers
from exitwave.structures.repeating import RepeatingLayer, extent_of, repeating_layer
from exitwave.structures.structure import structure_from
from exitwave.waves.exit_waves import LOSS_LIMIT, intensity_lost
from exitwave.waves.grid import MINIMUM_GRID, simulation_grid
from exitwave.waves.multislice import Configuration
from exitwave.waves.plane_wave import PHONONS_OF_A_SKETCH
from exitwave.waves.probe_waves import ProbeEngine, intensities
from exitwave.waves.probes import Probes, beyond, frequency
from exitwave.waves.rings import electrons_in_rings, largest_angle, number_of_rings, ring_weights
from exitwave.waves.specimen import check_atoms, frozen_phonons, multislice_as_row, named, number_of_slices

FloatArray = NDArray[np.float64]

CELL_ROWS = ("corner", "first vector", "second vector")
"""Rows of the array ``cell``: where the scanned cell begins in the structure, and the vectors in which it repeats."""
MOST_BEYOND = 0.05
"""Share of a probe that may lie farther out than the margin."""
_BYTES_OF_CONDITIONS = 4000.0
"""Stored, compressed: what the table says of the lens and the simulation beyond a usual row."""
_AT_ONCE = 16
"""Probes that are passed at once."""
_SECONDS = {"exitwave": 6.5e-9, "abtem": 8.5e-8}
"""Of one core, for a pixel of the simulation grid in one slice and place."""
_SECONDS_OF_RINGS = 1.5e-8
"""Of one core, for a pixel of a stored spectrum and place."""


def check(node: Node) -> None:
    """Check the layer, angles and margin, elements and thermal motion; see :class:`exitwave.items.Simulation`."""
    block, source = node.of(ProbeScan), node.source("structures")
    _check_perfect(source)
    check_atoms(block, source.of(Monolayers))
    highest = largest_angle(block.sampling, block.energy)
    least, most = (float(edge) for edge in bounds(block.semiangle))
    if most > highest:
        raise ConfigError(
            f"semiangle: found {most:g} mrad; allowed: up to {highest:.4g} mrad, what a sampling of "
            f"{block.sampling:g} Å holds"
        )
    if block.ring_width > highest:
        raise ConfigError(
            f"ring_width: found {block.ring_width:g} mrad; allowed: up to {highest:.4g} mrad, what a sampling of "
            f"{block.sampling:g} Å holds"
        )
    # The widest probe that can be drawn: by diffraction, or by the lens.
    widest = {name: _largest(getattr(block.aberrations, name)) for name in Aberrations.model_fields}
    for semiangle in {least, most}:
        _check_margin(block, semiangle, _largest(block.defocus), widest)


def make(block: ProbeScan, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Scan layers; see :class:`exitwave.items.Simulation`.

    The generator of one draws, in this order: semiangle, defocus, the aberrations, the thermal displacements.

    Raises
    ------
    StructureError
        If a layer does not repeat, or a wave is not a finite number.
    """
    for one in asked:
        structure, rng = structure_from(one.sources["structures"], one.row), one.rngs[0]
        optics = _Optics(
            float(draw(block.semiangle, rng)),
            float(draw(block.defocus, rng)),
            {name: float(draw(getattr(block.aberrations, name), rng)) for name in Aberrations.model_fields},
        )
        try:
            outside = _check_margin(block, optics.semiangle, optics.defocus, optics.aberrations)
            layer = repeating_layer(structure)
        except (ConfigError, StructureError) as error:
            raise type(error)(f"item {one.item}: {error}") from error
        yield _scanned(block, layer, optics, outside, named(structure), rng)


def cost(node: Node) -> Cost:
    """Cost of a scan: a mean over the layers that are seen, by places, slices and thermal configurations."""
    block, structures = node.of(ProbeScan), node.source("structures").of(Monolayers)
    semiangle = sum(bounds(block.semiangle)) / 2
    height = monolayers.height(structures)
    # The vacuum is crossed at once.
    slices = number_of_slices(height - 2 * structures.vacuum, block.slice_thickness) + 2
    phonons = max(1, block.frozen_phonons)
    cells = monolayers.cells(structures)
    # Turned by any angle, a cell is on average half way between its edges and its diagonals.
    edges = [_edge(block, 1.1 * extent_of(cell)) for cell in cells]
    places = np.array(
        [math.prod(_places(cell, semiangle, block.energy, edge)) for cell, edge in zip(cells, edges, strict=True)]
    )
    grids = np.array([simulation_grid(edge, block.sampling) ** 2 for edge in edges])
    rings = number_of_rings(block.ring_width, block.sampling, block.energy)
    of_place = phonons * grids * (_SECONDS[block.engine] * slices + _SECONDS_OF_RINGS / 2.25)
    return Cost(
        stored=float(3.7 * rings * places.mean()) + BYTES_OF_A_ROW + _BYTES_OF_CONDITIONS,
        memory=600 + 1e-6 * float(grids.max()) * (40 * _AT_ONCE + 200),
        seconds=0.1 + float((places * of_place).mean()),
    )


def needs(block: ProbeScan) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: ProbeScan) -> ProbeScan:
    """Few thermal configurations."""
    return block.model_copy(update={"frozen_phonons": min(PHONONS_OF_A_SKETCH, block.frozen_phonons)})


@dataclass(frozen=True)
class _Optics:
    """What is drawn of the lens: semiangle [mrad], defocus [Å], Krivanek coefficients."""

    semiangle: float
    defocus: float
    aberrations: Mapping[str, float]


def _check_perfect(source: Node) -> None:
    """Refuse layers that are not the same in every cell."""
    structures = source.of(Monolayers)
    unlike = ("tilt", "ripple", "vacancies", "contamination")
    found = [(name, bounds(getattr(structures, name))[1]) for name in unlike]
    least = {"contamination": monolayers.THINNEST}
    there = [(name, f"up to {most:g}") for name, most in found if most > 0 and most >= least.get(name, 0)]
    if structures.dopants:
        there.append(("dopants", f"{structures.dopants[0].element}"))
    if there:
        name, value = there[0]
        raise ConfigError(
            f"structures: '{source.name}' has {name}, {value}, but one cell is scanned for all, which must be alike; "
            f"allowed: structures without {', '.join((*unlike[:-1], 'dopants'))} and {unlike[-1]}, or images of kind "
            "stem_convolution"
        )


def _check_margin(block: ProbeScan, semiangle: float, defocus: float, aberrations: Mapping[str, float]) -> float:
    """Share of a probe beyond the margin, once that is known to be small."""
    outside = beyond(block.margin, semiangle, block.energy, defocus, aberrations)
    if outside > MOST_BEYOND:
        raise ConfigError(
            f"margin: found {block.margin:g} Å, beyond which {outside:.0%} of a probe of {semiangle:g} mrad can lie "
            f"with its defocus and aberrations; allowed: a margin that leaves out up to {MOST_BEYOND:.0%}, or a probe "
            "that is better focused"
        )
    return outside


def _largest(value: Any) -> float:
    """The value of a distribution that is farthest from 0; of one without bounds 0, and its draws are checked."""
    edges = [float(edge) for edge in bounds(value)]
    finite = [edge for edge in edges if math.isfinite(edge)]
    return max(finite, key=abs, default=0.0)


def _edge(block: ProbeScan, extent: float) -> float:
    """Edge of the field for a cell that a square of some extent [Å] holds, fast to transform [Å].

    A whole number of four pixels: so the simulation grid has a pixel in its middle, whatever the margin, and atoms have
    the same places between pixels.
    """
    quarter = math.ceil(max((extent + 2 * block.margin) / block.sampling, MINIMUM_GRID) / 4)
    return 4 * int(next_fast_len(quarter, real=False)) * block.sampling


def _places(vectors: FloatArray, semiangle: float, energy: float, edge: float) -> tuple[int, int]:
    """Places along the two vectors of a cell: odd numbers, so that waves and their complex conjugates both fit.

    A frequency of the lattice has indices h·a and h·b, which are up to |h| |a| and |h| |b|; an image has none beyond
    twice the radius of the aperture, whose edge is a pixel of the spectrum wide.
    """
    highest = 2 * (frequency(semiangle, energy) + 0.5 / edge)
    first, second = (2 * int(highest * float(length)) + 1 for length in np.linalg.norm(vectors, axis=1))
    return first, second


def _scanned(
    block: ProbeScan, layer: RepeatingLayer, optics: _Optics, outside: float, name: str, rng: np.random.Generator
) -> Item:
    """Scan one cell of a layer."""
    edge = _edge(block, layer.extent)
    number = _places(layer.vectors, optics.semiangle, block.energy, edge)
    specimen = layer.over(edge)
    configurations, motion = frozen_phonons(specimen, block, rng)
    configurations = _about_rest(configurations, specimen.positions)
    n_slices = number_of_slices(layer.height, block.slice_thickness)
    fractions = [np.arange(count) / count for count in number]
    # The second vector runs over rows, the first over columns.
    grid = fractions[0][None, :, None] * layer.vectors[0] + fractions[1][:, None, None] * layer.vectors[1]
    positions = grid.reshape(-1, 2) + layer.corner - layer.middle + edge / 2
    probes = Probes.at_all([optics.semiangle], positions, optics.defocus, optics.aberrations)
    engine, weights = (
        ProbeEngine(block, edge, _AT_ONCE),
        ring_weights(edge, block.sampling, block.energy, block.ring_width),
    )
    electrons, left = np.zeros((len(positions), weights.shape[0])), []
    for configuration in configurations:
        of_configuration = np.zeros_like(electrons)
        for which, _, spectra in engine.passed(configuration, probes, n_slices, (n_slices,)):
            of_configuration[which] = electrons_in_rings(spectra, weights)
            left += intensities(spectra)
        electrons += of_configuration / len(configurations)
    lost = intensity_lost(left, name, block.sampling, "a smaller one")
    rings = electrons.reshape(number[1], number[0], -1).astype(np.float32)
    along = (Axis("second"), Axis("first"), Axis("ring", block.ring_width, "mrad"))
    cell = np.vstack([layer.corner, layer.vectors])
    arrays = {
        "rings": Array(rings, along, ragged=True),
        "cell": Array(cell, (Axis("vector", labels=CELL_ROWS), Axis("direction", labels=("x", "y"))), "Å"),
    }
    row = {
        "energy": block.energy,
        "wave_sampling": block.sampling,
        **multislice_as_row(block, motion),
        "semiangle": optics.semiangle,
        "defocus": optics.defocus,
        **optics.aberrations,
        "scanned_area": float(abs(np.linalg.det(layer.vectors))),
        "places": len(positions),
        "beyond_margin": outside,
        "simulation_grid": simulation_grid(edge, block.sampling),
        "n_slices": n_slices,
        "intensity_lost": lost,
        "loss_alarm": lost > LOSS_LIMIT,
        "abtem_version": version("abtem"),
    }
    return Item(arrays, row)


def _about_rest(configurations: Sequence[Configuration], rest: FloatArray) -> list[Configuration]:
    """Thermal configurations whose atoms are on average where they are at rest, and move as far as before.

    All places see the same few configurations. Without this, columns would be off their labels, and what the cell shows
    at one edge would not go on at the other, by the displacement over the root of the number of configurations.
    """
    number = len(configurations)
    if number == 1:
        return list(configurations)
    mean = np.mean([configuration.positions for configuration in configurations], axis=0)
    scale = math.sqrt(number / (number - 1))
    return [replace(one, positions=rest + scale * (one.positions - mean)) for one in configurations]
