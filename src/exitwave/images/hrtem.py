"""Images of the kind ``hrtem``: conditions and place drawn, image formed, labels cut out beside it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds
from exitwave.config.exit_waves import PlaneWave
from exitwave.config.graph import Node
from exitwave.config.images import LABELS, PARTICLE_FIELDS, Hrtem
from exitwave.config.microscopes import energy_of
from exitwave.config.models import MaskTarget
from exitwave.config.structures import Fields, NanoparticlesOnSubstrate
from exitwave.electron import wavelength
from exitwave.errors import ConfigError
from exitwave.hardware import resolve_device
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item, lateral
from exitwave.labels.mask import target_mask
from exitwave.structures.structure import structure_from

PHASE = "phase"
"""The map that is always stored beside the counts, and that masks are made from."""
UNITS = {"counts": "counts/px", PHASE: "rad", "thickness": "Å", "orientation": "°"}
"""Units of the arrays that have one."""
SHOWN = MaskTarget()
"""Mask behind the columns ``particle_fraction`` and ``labelled_outline``; models may have another."""
OF_DESCRIBED_PARTICLES = ("thickness", "particle_thickness", "atomic_columns", "orientation", "domains")
"""Labels for which the material and the orientation of every particle must be known."""
_BYTES_OF_A_LABEL = {"thickness": 0.25, "particle_thickness": 0.3}
"""Measured, an image pixel; of maps of classes and angles, which are even, about a tenth of that."""
_BYTES_OF_COLUMNS = 1.5
"""Measured, an Å² of the image, a third of which is particles."""


def check(node: Node) -> None:
    """Check pixels, optics, camera and labels; see :class:`exitwave.items.Simulation`."""
    from exitwave.imaging.background import check_background
    from exitwave.imaging.detector import check_camera

    block, waves = node.of(Hrtem), node.source("exit_waves").of(PlaneWave)
    field = node.origin().of(Fields).field_of_view
    binning = block.pixel_size / waves.sampling
    if abs(binning - round(binning)) > 1e-6 or binning < 1 - 1e-6:
        raise ConfigError(
            f"pixel_size: found {block.pixel_size:g} Å; allowed: a whole multiple of the exit wave's sampling, "
            f"{waves.sampling:g} Å"
        )
    if block.size * block.pixel_size > field * (1 + 1e-9):
        raise ConfigError(
            f"size: found {block.size} px of {block.pixel_size:g} Å, which is {block.size * block.pixel_size:g} Å; "
            f"allowed: at most the field of view, {field:g} Å"
        )
    _check_optics(node)
    check_camera(block.detector, bounds(block.dose), block.pixel_size)
    check_background(block.background, block.pixel_size)
    _check_labels(node)


def make(block: Hrtem, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Take images of structures; see :class:`exitwave.items.Simulation`.

    Every image has the arrays ``counts`` and ``phase``, the smoothed phase of the particles' exit wave at the same
    place, and the labels that the block asks for (docs/labels.md): maps, and the lists ``atomic_columns`` and
    ``particle_thickness``, the latter with its table ``particles``.
    """
    from exitwave.imaging.conditions import draw_conditions
    from exitwave.imaging.hrtem import binning_of, crop_periodic, form_images
    from exitwave.labels.atomic_columns import atomic_columns, columns_in_image
    from exitwave.labels.maps import crop, maps_of
    from exitwave.labels.particles import largest_values, particles_in_image
    from exitwave.labels.phase import phase_map
    from exitwave.labels.projection import project_particles, seen_along

    labels = [name for name in block.labels if wanted is None or name in wanted]
    device = resolve_device(block.device)
    for one in asked:
        waves = one.sources["exit_waves"]
        particles, sampling = waves["particles"].values, float(one.row["wave_sampling"])
        binning = binning_of(block.pixel_size, sampling)
        phase = phase_map(particles, sampling, block.label_smoothing)
        grid = phase.shape[0], phase.shape[1]
        conditions = [draw_conditions(block, rng) for rng in one.rngs]
        offsets = [(int(rng.integers(phase.shape[0])), int(rng.integers(phase.shape[1]))) for rng in one.rngs]
        images = form_images(
            waves["whole"].values,
            conditions,
            block=block,
            energy=float(one.row["energy"]),
            sampling=sampling,
            offsets=offsets,
            rngs=one.rngs,
            device=device,
        )
        structure, seen = None, []
        # Newly drawn images of a training without labels do not need what takes as long as an image.
        if wanted is None or labels:
            tilt = float(one.row["specimen_tilt_x"]), float(one.row["specimen_tilt_y"])
            structure = seen_along(structure_from(one.sources["structures"], one.row), tilt)
            seen = project_particles(structure, grid, sampling)
        needed = ["atoms", *(["instances"] if "particle_thickness" in labels else [])]
        maps = maps_of(seen, grid, sampling, list(dict.fromkeys([*labels, *needed])))
        largest = largest_values(seen, phase, maps["instances"]) if "particle_thickness" in labels else None
        columns = atomic_columns(structure) if structure is not None and "atomic_columns" in labels else None
        for drawn, offset, image in zip(conditions, offsets, images, strict=True):
            cut: dict[str, NDArray[Any]] = {
                "counts": image.counts,
                PHASE: crop_periodic(phase, offset, binning, block.size).astype(np.float16),
            }
            cut |= {name: crop(name, field, offset, binning, block.size) for name, field in maps.items()}
            mask, outline = target_mask(SHOWN, cut), cut["atoms"] > 0
            row = {
                "pixel_size": block.pixel_size,
                "microscope": block.microscope or "",
                "offset_y": offset[0],
                "offset_x": offset[1],
                **drawn.as_row(),
                "temporal_coherence": block.temporal_coherence,
                "focal_nodes": image.focal_nodes,
                "label_smoothing": block.label_smoothing,
                "mean_counts": float(image.counts.mean()),
                "saturated": image.saturated,
                "particle_fraction": float(mask.mean()),
                "labelled_outline": float(mask[outline].mean()) if outline.any() else math.nan,
            }
            arrays = {
                name: Array(values, lateral(block.pixel_size), UNITS.get(name, ""))
                for name, values in cut.items()
                if name in ("counts", PHASE, *labels)
            }
            if structure is not None and columns is not None:
                shown = columns_in_image(columns, structure.cell, sampling, offset, binning, block.size)
                fields = Axis("field", labels=tuple(map(str, shown.columns)))
                arrays["atomic_columns"] = Array(shown.to_numpy(np.float32), (Axis("column"), fields), ragged=True)
            if largest is not None:
                places, thickness = particles_in_image(seen, offset, binning, block.size)
                particle, fields = Axis("particle"), Axis("field", labels=PARTICLE_FIELDS)
                arrays["particles"] = Array(largest[places], (particle, fields), ragged=True)
                arrays["particle_thickness"] = Array(
                    thickness, (particle, *lateral(block.pixel_size)), UNITS["thickness"], ragged=True
                )
            yield Item(arrays, row)


def cost(node: Node) -> Cost:
    """Cost of an image, by its pixels and those of its wave."""
    block, waves = node.of(Hrtem), node.source("exit_waves").of(PlaneWave)
    # Counts of mostly one byte and a half-precision phase that is smooth.
    pixels = 2.2 + sum(_BYTES_OF_A_LABEL.get(name, 0.03) for name in block.labels if name != "atomic_columns")
    columns = _BYTES_OF_COLUMNS * block.pixel_size**2 if "atomic_columns" in block.labels else 0.0
    grid = max(1, waves.frozen_phonons) * (node.origin().of(Fields).field_of_view / waves.sampling) ** 2
    return Cost(
        stored=(pixels + columns) * block.size**2 + BYTES_OF_A_ROW,
        memory=800 + 1e-6 * (60 * grid + 100 * block.per_structure * block.size**2),
        seconds=0.005 + 5e-8 * grid,
    )


def needs(block: Hrtem) -> tuple[str, ...]:
    """Fields: label maps, and how much of the particles is labelled, follow from atoms."""
    return ("structures",)


def sketch(block: Hrtem) -> Hrtem:
    """Images cost little as they are."""
    return block


def _check_labels(node: Node) -> None:
    block, waves = node.of(Hrtem), node.source("exit_waves")
    of_crystals = sorted({"atomic_columns", "orientation"} & set(block.labels))
    structures = node.origin()
    made = structures.block
    if not isinstance(made, NanoparticlesOnSubstrate):
        undescribed = sorted(set(OF_DESCRIBED_PARTICLES) & set(block.labels))
        if undescribed:
            raise ConfigError(
                f"labels: found '{undescribed[0]}', which needs material and orientation of every particle, and those "
                f"of structures '{structures.name}' are not known; allowed: "
                f"{', '.join(name for name in LABELS if name not in OF_DESCRIBED_PARTICLES)}"
            )
    if of_crystals and isinstance(made, NanoparticlesOnSubstrate) and bounds(made.particles.number)[1] == 0:
        raise ConfigError(
            f"labels: found '{of_crystals[0]}', but structures '{structures.name}' has no particles; "
            "allowed: leave it out"
        )
    beam = waves.of(PlaneWave)
    if of_crystals and any(bounds(tilt) != (0, 0) for tilt in (beam.specimen_tilt_x, beam.specimen_tilt_y)):
        raise ConfigError(
            f"labels: found '{of_crystals[0]}', which is made for a beam along z, but exit_waves '{waves.name}' tilts "
            "it; allowed: no tilt, or turn the particles (particles.orientation)"
        )


def _check_optics(node: Node) -> None:
    block, name, waves = node.of(Hrtem), node.source("exit_waves").name, node.source("exit_waves").of(PlaneWave)
    if block.microscope is not None and abs(energy_of(block.microscope) / waves.energy - 1) > 1e-6:
        raise ConfigError(
            f"microscope: found '{block.microscope}', which works at {energy_of(block.microscope) / 1e3:g} kV, but "
            f"exit_waves '{name}' has {waves.energy / 1e3:g} kV; allowed: the same voltage"
        )
    if block.objective_aperture is None:
        return
    limit = 1e3 * wavelength(waves.energy) / (2 * waves.sampling)
    largest = bounds(block.objective_aperture)[1]
    # The aperture is centred on the optic axis, from which a tilted beam is displaced.
    tilt = math.hypot(
        *(max(abs(edge) for edge in bounds(value)) for value in (block.illumination_tilt_x, block.illumination_tilt_y))
    )
    if largest + tilt > limit * (1 + 1e-9):
        moved = f" and the beam is tilted by up to {tilt:g} mrad" if tilt > 0 else ""
        raise ConfigError(
            f"objective_aperture: reaches up to {largest:g} mrad{moved}; allowed: at most the band limit of the exit "
            f"wave, {limit:.1f} mrad{' in all' if tilt > 0 else ''}"
        )
