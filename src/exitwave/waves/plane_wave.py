"""Exit waves of the kind ``plane_wave``."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.graph import Node
from exitwave.config.structures import Fields
from exitwave.data.rounding import round_waves
from exitwave.errors import ConfigError, ExitwaveError
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item, lateral
from exitwave.structures.kinds import kind_of
from exitwave.structures.structure import structure_from
from exitwave.waves.grid import output_grid, simulation_grid
from exitwave.waves.specimen import check_specimen, slices_of

PHONONS_OF_A_SKETCH = 2
"""Thermal configurations of a preview, at the most."""
_LOSSLESS = (5.9, 5.6)
"""Bytes a pixel of the wave of the whole structure, and of that of the particles alone."""
_SECONDS = 6.5e-9
"""Of one core, for a pixel of the simulation grid in one slice, both waves together."""


def check(node: Node) -> None:
    """Check grid, elements and thermal motion; see :class:`exitwave.items.Simulation`."""
    block = node.of(PlaneWave)
    structures = node.source("structures").of(Fields)
    if not structures.periodic():
        raise ConfigError(
            f"structures: found '{node.source('structures').name}', which ends at the edges of its field; allowed: "
            "laterally periodic structures, since a wave is"
        )
    check_specimen(block, structures)
    try:
        output_grid(structures.field_of_view, block.simulated_sampling)
    except ExitwaveError as error:
        raise ConfigError(f"oversampling: found {block.oversampling:g}, with which {error}") from error


def make(block: PlaneWave, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Simulate exit waves, several at once on a GPU; see :class:`exitwave.items.Simulation`."""
    from exitwave.waves.exit_waves import simulate_each

    items = ((structure_from(one.sources["structures"], one.row), one.rngs[0]) for one in asked)
    for result in simulate_each(items, block):
        axes = (Axis("phonon"), *lateral(block.sampling))
        arrays = {
            name: Array(round_waves(waves, block.storage_error), axes)
            for name, waves in (("whole", result.whole), ("particles", result.particles))
        }
        if block.thickness_series is not None:
            planes = Axis("plane", float(result.metadata["series_step"]), "Å")
            arrays["series"] = Array(round_waves(result.series, block.storage_error), (planes, *axes), ragged=True)
        yield Item(arrays, {**result.metadata, "abtem_version": version("abtem")})


def cost(node: Node) -> Cost:
    """Cost of the exit waves of a structure, by pixels, slices and thermal configurations."""
    block, structures = node.of(PlaneWave), node.source("structures")
    edge, height = structures.of(Fields).field_of_view, kind_of(structures.of(Fields)).height(structures.block)
    phonons = max(1, block.frozen_phonons)
    pixels = phonons * (edge / block.sampling) ** 2
    whole, particles = bytes_per_pixel(block.storage_error)
    planes = 0.0
    if block.thickness_series is not None:
        planes = height // (block.slice_thickness * slices_of(block.thickness_series, block.slice_thickness))
    grid = simulation_grid(edge, block.simulated_sampling) ** 2
    return Cost(
        stored=pixels * (whole * (1 + planes) + particles) + BYTES_OF_A_ROW,
        # Waves of an item before and after compression, and about twenty arrays of the simulation grid.
        memory=1200 + 1e-6 * (24 * pixels * (2 + planes) + 160 * grid),
        seconds=0.05 + _SECONDS * phonons * grid * height / block.slice_thickness,
    )


def needs(block: PlaneWave) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: PlaneWave) -> PlaneWave:
    """Few thermal configurations."""
    return block.model_copy(update={"frozen_phonons": min(PHONONS_OF_A_SKETCH, block.frozen_phonons)})


def bytes_per_pixel(storage_error: float) -> tuple[float, float]:
    """Measured size of a stored exit wave.

    Parameters
    ----------
    storage_error : float
        Key of an exit_waves block; 0: lossless.

    Returns
    -------
    tuple of float
        Bytes a complex pixel of the wave of the whole structure, and of that of the particles alone, after
        compression. Lossless 5.9 and 5.6. With rounding to multiples of 2^-n (`exitwave.data.rounding`) n/4 and
        n/4 - 1: real and imaginary part cost one bit more each time that the step is halved. For errors of
        1e-3 ... 3e-5 the sum of the two was within 15 % of that for nine of eleven sets of exit waves (metals,
        CdSe and MoS2 on carbon, oxides and MoS2, 80 and 300 kV); up to a third less where particles are thin
        flakes, more where they cover most of the field.
    """
    if storage_error == 0:
        return _LOSSLESS
    whole = math.ceil(-math.log2(2 * storage_error)) / 4
    return min(max(whole, 0.5), _LOSSLESS[0]), min(max(whole - 1, 0.1), _LOSSLESS[1])
