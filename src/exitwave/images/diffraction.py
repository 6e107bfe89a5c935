"""Images of the kind ``diffraction``: conditions drawn, a pattern rendered from what is stored, reflections listed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.block import Block
from exitwave.config.cameras import Camera
from exitwave.config.crystals import Crystals
from exitwave.config.distributions import Choice, bounds, draw
from exitwave.config.exit_waves import Probe, ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.config.patterns import REFLECTIONS, Diffraction, MeasuredAperture
from exitwave.config.structures import Fields
from exitwave.electron import wavelength
from exitwave.errors import ConfigError
from exitwave.images.specimens import Exposure, Specimen, specimen_of
from exitwave.imaging.aperture import aperture_table, radius_of
from exitwave.imaging.conditions import camera_as_row, drawn
from exitwave.imaging.detector import check_counts, record_electrons, saturated
from exitwave.imaging.patterns import Geometry, Optics
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.labels.reflections import FIELDS
from exitwave.structures import kinds as structures_kinds
from exitwave.structures.crystals import volumes
from exitwave.waves.specimen import number_of_slices

_SAME = 1e-3
"""Thicknesses that differ by less than this [Å] are the same."""
_BYTES = 1500.0
"""Of what is said of a list, which may differ from item to item, in each place of its own."""
_VOLUME = 100.0
"""Of a primitive cell [Å³], where it is not known before."""
_BRIGHTEST = 1.5
"""Of the mean in the direct beam, what interference may add to a pixel."""


def check(node: Node) -> None:
    """Check aperture, thicknesses, pixels and camera; see :class:`exitwave.items.Simulation`."""
    block, source = node.of(Diffraction), node.source("exit_waves")
    if isinstance(source.block, Probe):
        _check_probe(block, source)
    else:
        _check_matrix(block, source)
    assert isinstance(source.block, ScatteringMatrix | Probe)
    length = wavelength(source.block.energy)
    _check_size(block, length)
    peak = bounds(block.dose)[1] * _BRIGHTEST / max(1.0, math.pi * _radii(block, length)[0] ** 2)
    check_counts(block.detector, peak, f"dose: reaches up to {bounds(block.dose)[1]:g} e⁻ a pattern")


def _check_size(block: Diffraction, length: float) -> None:
    """Refuse disks smaller than a pixel, which have no shape, and a direct beam beside the pattern."""
    if not isinstance(block.aperture, MeasuredAperture) and (radius := _radii(block, length)[0]) < 1 - 1e-9:
        low = bounds(block.semiangle)[0]
        raise ConfigError(
            f"semiangle: reaches down to {low:g} mrad, a radius of {radius:.2g} pixels of "
            f"{block.reciprocal_sampling:g} 1/Å; allowed: 1 pixel or more, {low / radius:.3g} mrad"
        )
    furthest = max(map(abs, bounds(block.shift)))
    if furthest > block.size / 2:
        raise ConfigError(
            f"shift: reaches up to {furthest:g} px, which puts the direct beam beside the pattern; allowed: up to "
            f"{block.size / 2:g} px, half of size"
        )


def _check_matrix(block: Diffraction, source: Node) -> None:
    """Check what a scattering matrix can give."""
    waves = source.of(ScatteringMatrix)
    length = wavelength(waves.energy)
    if block.reciprocal_sampling < waves.tilt_step * (1 - 1e-9):
        raise ConfigError(
            f"reciprocal_sampling: found {block.reciprocal_sampling:g} 1/Å; allowed: the tilt_step of exit_waves "
            f"'{source.name}', {waves.tilt_step:g} 1/Å, or more"
        )
    if isinstance(block.aperture, MeasuredAperture):
        radius = radius_of(block.aperture) * block.reciprocal_sampling
        if radius * length * 1e3 > waves.semiangle + 0.5e3 * length * block.reciprocal_sampling:
            raise ConfigError(
                f"aperture.file: the probe in '{block.aperture.file}' reaches {radius * length * 1e3:.3g} mrad; "
                f"allowed: the semiangle of exit_waves '{source.name}', {waves.semiangle:g} mrad"
            )
    elif bounds(block.semiangle)[1] > waves.semiangle * (1 + 1e-9):
        raise ConfigError(
            f"semiangle: reaches up to {bounds(block.semiangle)[1]:g} mrad; allowed: the semiangle of exit_waves "
            f"'{source.name}', {waves.semiangle:g} mrad, or less"
        )
    _check_thickness(block, waves.planes(), source)


def _check_probe(block: Diffraction, source: Node) -> None:
    """Check what waves of probes can give: what they were simulated with."""
    from exitwave.waves.probe_waves import depths

    waves = source.of(Probe)
    simulated = f"of exit_waves '{source.name}', which are waves of probes"
    if block.aperture != "disk":
        raise ConfigError(f"aperture: found another than that {simulated}; allowed: disk")
    if block.position != "random":
        raise ConfigError(f"position: found {block.position}; allowed: random, one of the positions {simulated}")
    if bounds(block.defocus) != (0, 0):
        raise ConfigError(f"defocus: found one beside that {simulated}; allowed: leave it out")
    known = ", ".join(f"{one:g}" for one in waves.semiangles)
    low, high = bounds(block.semiangle)
    if low != high and not isinstance(block.semiangle, Choice):
        raise ConfigError(f"semiangle: found a range; allowed: a choice of {known} mrad {simulated}")
    for semiangle in block.semiangle.choice if isinstance(block.semiangle, Choice) else (low,):
        if min(abs(semiangle - one) for one in waves.semiangles) > _SAME:
            raise ConfigError(f"semiangle: found {semiangle:g} mrad; allowed: a choice of {known} mrad {simulated}")
    structures = source.source("structures").of(Fields)
    slices = number_of_slices(structures_kinds.kind_of(structures).height(structures), waves.slice_thickness)
    _check_thickness(block, [depth * waves.slice_thickness for depth in depths(waves, slices)], source)


def _check_thickness(block: Diffraction, planes: Sequence[float], source: Node) -> None:
    """Refuse thicknesses that are not stored."""
    told = f"planes, or a choice of the {len(planes)} thicknesses {planes[0]:g} ... {planes[-1]:g} Å of exit_waves "
    told += f"'{source.name}'"
    try:
        thicknesses = block.thicknesses()
    except ValueError as error:
        raise ConfigError(f"thickness: found a range; allowed: {told}") from error
    for thickness in thicknesses or ():
        if min(abs(thickness - plane) for plane in planes) > _SAME:
            raise ConfigError(f"thickness: found {thickness:g} Å; allowed: {told}")


@dataclass(frozen=True)
class _Conditions:
    """What one pattern is taken with beside its exposure, as plain numbers; see the columns of the block."""

    exposure: Exposure
    weight: float
    width: float
    dose: float
    camera: Camera


def make(block: Diffraction, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Render patterns; see :class:`exitwave.items.Simulation`.

    Every pattern has the arrays ``counts``, ``probe``, the vacuum probe as shares of the electrons in each pixel, and
    ``reflections``, the list of :mod:`exitwave.labels.reflections`.
    """
    shift = max(abs(float(edge)) for edge in bounds(block.shift))
    stretch = 1 - bounds(block.ellipticity)[1] / 2
    reach = math.sqrt(2) * (block.size / 2 + shift) * block.reciprocal_sampling / stretch
    for one in asked:
        specimen = specimen_of(one, reach)
        for rng in one.rngs:
            yield _expose(block, specimen, _draw(block, specimen, rng), rng)


def cost(node: Node) -> Cost:
    """Estimate for one pattern: mostly dark counts, a small probe and a list of reflections."""
    block, source = node.of(Diffraction), node.source("exit_waves")
    pixels, electrons = block.size**2, float(np.exp(np.log(np.maximum(bounds(block.dose), 1.0)).mean()))
    # Most pixels are dark; what is bright has the entropy of Poisson numbers.
    counts = pixels * (0.05 + 0.11 * math.log2(1 + electrons / pixels))
    reach = block.size / 2 * block.reciprocal_sampling
    if isinstance(waves := source.block, ScatteringMatrix):
        length, of_cells = wavelength(waves.energy), volumes(node.origin().of(Crystals))
        listed = 0.3 * math.pi * min(reach, waves.g_max) ** 2 * float(of_cells.mean())
        tilts = math.pi * (waves.semiangle * 1e-3 / length / waves.tilt_step + 3) ** 2
        held = 2.4e-5 * float(of_cells.max()) * tilts * len(waves.planes())
        seconds = 2e-7 * pixels + 4e-8 * listed * tilts
    else:
        from exitwave.waves.probe_waves import depths, stored_size

        waves, structures = source.of(Probe), node.origin().of(Fields)
        length, phonons = wavelength(waves.energy), max(1, waves.frozen_phonons)
        listed = 0.3 * math.pi * reach**2 * _VOLUME
        frequencies = stored_size(structures.field_of_view, waves) ** 2
        slices = number_of_slices(structures_kinds.kind_of(structures).height(structures), waves.slice_thickness)
        probes = len(waves.semiangles) * waves.n_positions * len(depths(waves, slices))
        held = 1e-6 * (16 * probes * phonons + 400) * frequencies
        # Spectra and the probe in vacuum are refined, and read off in the pixels of the pattern.
        seconds = 3.5e-7 * (1 + phonons) * frequencies + 9e-7 * pixels
    probe = 2 * math.pi * (_radii(block, length)[1] + 1) ** 2
    return Cost(
        stored=counts + probe + 20 * listed + _BYTES + BYTES_OF_A_ROW,
        memory=600 + 1e-4 * pixels + held,
        seconds=0.003 + seconds,
    )


def needs(block: Diffraction) -> tuple[str, ...]:
    """Structures: reflections follow from the cell."""
    return ("structures",)


def sketch(block: Diffraction) -> Diffraction:
    """Patterns cost little as they are."""
    return block


def _draw(block: Diffraction, specimen: Specimen, rng: np.random.Generator) -> _Conditions:
    """Draw what one pattern is taken with.

    In this order: thickness, semiangle, place of the probe, defocus, shift along x and y, ellipticity and its angle,
    weight and width of the background, dose, and the camera.
    """
    if block.thickness == "planes":
        plane = int(rng.integers(len(specimen.thicknesses)))
    else:
        plane = int(np.abs(specimen.thicknesses - float(draw(block.thickness, rng))).argmin())
    semiangle = float(draw(block.semiangle, rng))
    place, position = specimen.position(block, rng)
    defocus, shift_x, shift_y = (float(draw(value, rng)) for value in (block.defocus, block.shift, block.shift))
    ellipticity, angle = float(draw(block.ellipticity, rng)), float(rng.uniform(0, math.pi))
    weight, width = float(draw(block.background.weight, rng)), float(draw(block.background.width, rng))
    radius = semiangle * 1e-3 / specimen.wavelength / block.reciprocal_sampling
    optics = Optics(aperture_table(block.aperture, radius), specimen.wavelength, defocus, position)
    geometry = Geometry(block.size, block.reciprocal_sampling, (shift_x, shift_y), ellipticity, angle)
    return _Conditions(
        Exposure(plane, semiangle, geometry, optics, place),
        weight,
        width,
        dose=float(draw(block.dose, rng)),
        camera=drawn(block.detector, rng),
    )


def _expose(block: Diffraction, specimen: Specimen, conditions: _Conditions, rng: np.random.Generator) -> Item:
    """One pattern."""
    exposure = conditions.exposure
    geometry, optics = exposure.geometry, exposure.optics
    probe, intensity = specimen.vacuum(exposure), specimen.pattern(exposure)
    if conditions.weight > 0:
        scattered = _background(probe, geometry, conditions.width)
        intensity = (1 - conditions.weight) * intensity + conditions.weight * scattered
    electrons = intensity.astype(np.float64) * conditions.dose
    told = f"dose {conditions.dose:g} e⁻ a pattern"
    counts = record_electrons(electrons, conditions.camera, float(electrons.mean()), rng, told)
    reflections = specimen.reflections.copy()
    reflections[:, :2] = geometry.places(reflections[:, :2])
    reflections[:, -1] = specimen.in_disks(exposure, reflections[:, :2])
    on_it = ((reflections[:, :2] >= -0.5) & (reflections[:, :2] < geometry.size - 0.5)).all(axis=1)
    position = (math.nan, math.nan) if optics.position is None else optics.position
    row: dict[str, Any] = {
        "reciprocal_sampling": block.reciprocal_sampling,
        "semiangle": math.nan if isinstance(block.aperture, MeasuredAperture) else exposure.semiangle,
        "specimen_thickness": float(specimen.thicknesses[exposure.plane]),
        "aperture": block.aperture.kind if isinstance(block.aperture, Block) else block.aperture,
        "position": block.position,
        "position_x": position[0],
        "position_y": position[1],
        "defocus": optics.defocus,
        "shift_x": geometry.shift[0],
        "shift_y": geometry.shift[1],
        "ellipticity": geometry.ellipticity,
        "ellipticity_angle": geometry.angle,
        "background_weight": conditions.weight,
        "background_width": conditions.width,
        "electrons": conditions.dose,
        **camera_as_row(conditions.camera),
        "recorded": float(intensity.sum(dtype=np.float64)),
        "mean_counts": float(counts.mean()),
        "saturated": saturated(counts, conditions.camera),
        "reflections": int(on_it.sum()),
    }
    axes = Axis("q_y", block.reciprocal_sampling, "1/Å"), Axis("q_x", block.reciprocal_sampling, "1/Å")
    fields = Axis("field", labels=FIELDS)
    arrays = {
        "counts": Array(counts, axes, "counts/px"),
        "probe": Array(probe, axes),
        REFLECTIONS: Array(reflections[on_it].astype(np.float32), (Axis("reflection"), fields), ragged=True),
    }
    return Item(arrays, row)


def _background(probe: NDArray[np.float32], geometry: Geometry, width: float) -> NDArray[np.float32]:
    """Share of the electrons in each pixel of a Lorentzian folded with the probe; all of it lies on the pattern."""
    from scipy.signal import fftconvolve  # it takes half a second, which no check needs

    size = geometry.size
    y, x = np.mgrid[:size, :size] - float(size // 2)
    # The probe stands in the middle; its Lorentzian where the direct beam is.
    x, y = x - geometry.shift[0], y - geometry.shift[1]
    lorentzian = 1 / (geometry.sampling**2 * (x * x + y * y) + width**2)
    # An odd number of pixels, whose middle is that of the pattern.
    half = min(int(np.ceil(np.sqrt(np.count_nonzero(probe)))) + 1, (size - 1) // 2)
    middle = slice(size // 2 - half, size // 2 + half + 1)
    scattered = np.maximum(fftconvolve(lorentzian, probe[middle, middle], mode="same"), 0)
    return np.asarray(scattered / scattered.sum(), np.float32)


def _radii(block: Diffraction, length: float) -> tuple[float, float]:
    """Radii of the smallest and the largest probe that can be drawn [px]."""
    if isinstance(block.aperture, MeasuredAperture):
        radius = radius_of(block.aperture)
        return radius, radius
    low, high = bounds(block.semiangle)
    pixel = block.reciprocal_sampling * length * 1e3
    return float(low / pixel), float(high / pixel)
