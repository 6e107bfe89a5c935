"""Images of one structure: conditions and place drawn, image formed, and the phase that labels are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.images import Hrtem
from exitwave.config.models import MaskTarget
from exitwave.errors import StructureError
from exitwave.hardware import resolve_device
from exitwave.imaging.conditions import draw_conditions
from exitwave.imaging.hrtem import binning_of, crop_periodic, form_images
from exitwave.labels.columns import atomic_columns, columns_in_image
from exitwave.labels.maps import crop, label_maps
from exitwave.labels.phase import phase_map
from exitwave.structures.structure import Structure

LABEL_THRESHOLD = MaskTarget().above
"""Threshold [rad] behind the column ``particle_fraction``; models may use another."""


@dataclass(frozen=True)
class Exposure:
    """One image.

    Attributes
    ----------
    counts : uint32 [size, size]
        The image.
    phase : float32 [size, size]
        Smoothed phase of the particles' exit wave at the same place [rad].
    labels : dict of arrays [size, size]
        The label maps that the block asks for, by name (docs/labels.md).
    columns : DataFrame, optional
        The atomic columns in the image, if the block asks for them: see `exitwave.labels.columns.columns_in_image`.
    row : dict
        Columns of the metadata table.
    """

    counts: NDArray[np.uint32]
    phase: NDArray[np.float32]
    labels: dict[str, NDArray[Any]]
    columns: pd.DataFrame | None
    row: dict[str, Any]


def expose(
    block: Hrtem,
    waves: NDArray[np.complex64],
    energy: float,
    sampling: float,
    rngs: Sequence[np.random.Generator],
    structure: Structure | None = None,
) -> list[Exposure]:
    """Take images of one structure.

    Parameters
    ----------
    block : Hrtem
        What conditions are drawn from.
    waves : complex64 [variant, phonon, y, x]
        Exit waves of the whole structure and of the particles alone.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å].
    rngs : sequence of numpy.random.Generator
        One for each image: draws its conditions, its place and its noise.
    structure : Structure, optional
        The atoms; needed if the block asks for ``labels``.

    Returns
    -------
    list of Exposure
        One for each generator, the same whichever others are beside it.

    Raises
    ------
    StructureError
        If the block asks for labels and there is no structure, or it does not fit the waves.
    """
    if block.labels and structure is None:
        raise StructureError(f"labels: {', '.join(block.labels)} are made from atoms, and no structure is given")
    binning = binning_of(block.pixel_size, sampling)
    phase = phase_map(waves[1], sampling, block.label_smoothing)
    conditions = [draw_conditions(block, rng) for rng in rngs]
    offsets = [(int(rng.integers(phase.shape[0])), int(rng.integers(phase.shape[1]))) for rng in rngs]
    images = form_images(
        waves[0],
        conditions,
        block=block,
        energy=energy,
        sampling=sampling,
        offsets=offsets,
        rngs=rngs,
        device=resolve_device(block.device),
    )
    maps = label_maps(structure, waves[1], sampling, block.labels) if structure is not None else {}
    columns = atomic_columns(structure) if structure is not None and "columns" in block.labels else None
    exposures = []
    for drawn, offset, image in zip(conditions, offsets, images, strict=True):
        label = crop_periodic(phase, offset, binning, block.size)
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
            "particle_fraction": float((label > LABEL_THRESHOLD).mean()),
        }
        labels = {name: crop(name, field, offset, binning, block.size) for name, field in maps.items()}
        shown = None
        if structure is not None and columns is not None:
            shown = columns_in_image(columns, structure.cell, sampling, offset, binning, block.size)
        exposures.append(Exposure(image.counts, label, labels, shown, row))
    return exposures
