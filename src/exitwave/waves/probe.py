"""Exit waves of the kind ``probe``."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version

import numpy as np

from exitwave.config.exit_waves import Probe
from exitwave.config.graph import Node
from exitwave.config.structures import Fields
from exitwave.data.rounding import round_waves
from exitwave.errors import ConfigError
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.structures.kinds import kind_of
from exitwave.structures.structure import structure_from
from exitwave.waves.grid import ANTIALIASING, TAPER, output_grid, simulation_grid
from exitwave.waves.plane_wave import PHONONS_OF_A_SKETCH
from exitwave.waves.probes import aperture_disk, frequency
from exitwave.waves.specimen import check_specimen, number_of_slices

SMALLEST_RADIUS = 1.5
"""Of the disk of a probe, in pixels of its spectrum."""
_SECONDS = {"exitwave": (4e-9, 2.7e-9), "abtem": (3e-8, 4.1e-8)}
"""Of one core, for a pixel of the simulation grid in one slice: once for all probes, and for each."""
_SECONDS_TO_STORE = 7e-8
"""Of one core, for a pixel of a spectrum that is rounded, compressed and written."""
_LOSSLESS = 7.0
"""Bytes a pixel of a stored spectrum, where the band reaches."""


def check(node: Node) -> None:
    """Check grid, angles, depths, elements and thermal motion; see :class:`exitwave.items.Simulation`."""
    block, structures = node.of(Probe), node.source("structures").of(Fields)
    check_specimen(block, structures)
    edge = structures.field_of_view
    # Half a pixel of the spectrum is the soft edge of the disk.
    highest = _angle(ANTIALIASING / block.sampling * (0.5 / ANTIALIASING - TAPER) - 0.5 / edge, block.energy)
    for semiangle in block.semiangles:
        if semiangle > highest:
            raise ConfigError(
                f"semiangle: found {semiangle:g} mrad; allowed: up to {highest:.4g} mrad, what a sampling of "
                f"{block.sampling:g} Å holds"
            )
        lowest = _angle(SMALLEST_RADIUS / edge, block.energy)
        if semiangle < lowest:
            raise ConfigError(
                f"semiangle: found {semiangle:g} mrad; allowed: from {lowest:.4g} mrad, which is {SMALLEST_RADIUS:g} "
                f"pixels of the spectrum of a field of {edge:g} Å"
            )
    if block.largest_angle is not None:
        low = max(block.semiangles)
        high = _angle((output_grid(edge, block.sampling) / 2 - 1) / edge, block.energy)
        if not low <= block.largest_angle <= high + 1e-9:
            raise ConfigError(
                f"largest_angle: found {block.largest_angle:g} mrad; allowed: from the largest semiangle, {low:g}, "
                f"to {high:.4g} mrad, what a sampling of {block.sampling:g} Å holds"
            )
    height = kind_of(structures).height(structures)
    if block.thickness_step is not None and block.thickness_step > height:
        raise ConfigError(
            f"thickness_step: found {block.thickness_step:g} Å; allowed: up to {height:g} Å, the height of the "
            "structures"
        )


def make(block: Probe, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Simulate waves of probes; see :class:`exitwave.items.Simulation`."""
    from exitwave.waves.probe_waves import simulate_probes

    items = ((structure_from(one.sources["structures"], one.row), one.rngs[0]) for one in asked)
    for result in simulate_probes(items, block):
        spacing = float(result.metadata["spectrum_sampling"])
        of_probe, of_wave = (Axis("semiangle"), Axis("position")), (Axis("plane"), Axis("phonon"))
        spectrum = (Axis("ky", spacing, "1/Å"), Axis("kx", spacing, "1/Å"))
        for semiangle, amplitudes in zip(result.semiangles, result.amplitudes, strict=True):
            scale = amplitude_in_disk(1 / spacing, float(semiangle), block)
            amplitudes[:] = round_waves(amplitudes, block.storage_error * scale)
        arrays = {
            "amplitudes": Array(result.amplitudes, (*of_probe, *of_wave, *spectrum), ragged=True),
            "planes": Array(result.planes, (Axis("plane"),), "Å", ragged=True),
            "semiangles": Array(result.semiangles, (Axis("semiangle"),), "mrad"),
            "positions": Array(result.positions, (Axis("position"), Axis("direction", labels=("x", "y"))), "Å"),
        }
        yield Item(arrays, {**result.metadata, "abtem_version": version("abtem")})


def cost(node: Node) -> Cost:
    """Cost of the waves of a structure, by probes, planes, slices and thermal configurations."""
    from exitwave.waves.probe_waves import depths, stored_size

    block, structures = node.of(Probe), node.source("structures").of(Fields)
    edge, height = structures.field_of_view, kind_of(structures).height(structures)
    n_slices = number_of_slices(height, block.slice_thickness)
    planes, phonons = depths(block, n_slices), max(1, block.frozen_phonons)
    probes = len(block.semiangles) * block.n_positions
    size = stored_size(edge, block)
    of_each = block.n_positions * len(planes) * phonons * size**2
    pixels = of_each * len(block.semiangles)
    grid = simulation_grid(edge, block.sampling) ** 2
    of_slice, of_probe = _SECONDS[block.engine]
    return Cost(
        stored=sum(of_each * bytes_per_pixel(block, edge, size, each) for each in block.semiangles) + BYTES_OF_A_ROW,
        # Spectra of an item before and after rounding and compression, a slice, and the bands of all probes.
        memory=1200 + 1e-6 * (24 * pixels + 160 * grid + 16 * probes * grid),
        seconds=0.05 + (of_slice + of_probe * probes) * phonons * grid * planes[-1] + _SECONDS_TO_STORE * pixels,
    )


def needs(block: Probe) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: Probe) -> Probe:
    """Few thermal configurations, and one position."""
    positions = block.positions if block.positions == "centre" else 1
    phonons = min(PHONONS_OF_A_SKETCH, block.frozen_phonons)
    return block.model_copy(update={"frozen_phonons": phonons, "positions": positions})


def bytes_per_pixel(block: Probe, edge: float, size: int, semiangle: float) -> float:
    """Measured size of a stored spectrum.

    Parameters
    ----------
    block : Probe
    edge : float
        Edge of the field [Å].
    size : int
        Frequencies along an edge of the stored spectrum.
    semiangle : float
        Of the probe [mrad].

    Returns
    -------
    float
        Bytes a complex pixel after compression. Lossless 7.0 where the band reaches. Rounded, a quarter of a byte for
        each bit in the ratio of the mean amplitude, which grows with the disk, to the step of rounding. For 1.5 to
        10 mrad and errors of 1e-4 ... 3e-3 that was within a third for amorphous carbon, thermal configurations of Si
        and MgO and crystals of broken periods, all of 100 to 220 Å. What scatters less needs less: gold on 40 Å of
        carbon half as much, and perfect crystals at rest, whose disks leave pixels between them empty, a fifth to two
        thirds.
    """
    of_band = min(1.0, math.pi / 4 * (output_grid(edge, block.sampling) / size) ** 2)
    if block.storage_error == 0:
        return of_band * _LOSSLESS
    radius = frequency(semiangle, block.energy) * edge
    bits = math.log2(12.5 * radius / size) + 1.12 * math.log2(1e-3 / block.storage_error)
    return of_band * min(_LOSSLESS, max(0.1, 1.53 + 0.25 * bits))


def amplitude_in_disk(edge: float, semiangle: float, block: Probe) -> float:
    """Amplitude in the disk of a probe in vacuum, whose sum of intensities is 1."""
    disk = aperture_disk(output_grid(edge, block.sampling), edge, semiangle, block.energy)
    return float(1 / np.linalg.norm(disk))


def _angle(spatial_frequency: float, energy: float) -> float:
    """Scattering angle [mrad] of a spatial frequency [1/Å]."""
    return spatial_frequency / frequency(1.0, energy)
