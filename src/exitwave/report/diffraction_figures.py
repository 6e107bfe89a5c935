"""Figures of the kinds of diffraction; part of the table in :mod:`exitwave.report.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exitwave.report.figure import About, Figure, made_by


def _unit_cells(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.unit_cells import draw_unit_cells

    draw_unit_cells(files[0], path, about.get("number", 8), about["title"])


def _library(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.library import draw_library

    draw_library(files, path, about["title"])


def _boxes(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.multilayers import draw_boxes

    draw_boxes(files[0], path, about.get("number", 4), about["title"])


def _strain(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.multilayers import draw_strain

    draw_strain(files, path, about["title"])


def _thickness_series(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.matrices import draw_thickness_series

    draw_thickness_series(files[0], path, about.get("number", 3), about["title"])


def _beams(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.matrices import draw_beams

    draw_beams(files, path, about["title"])


def _probes(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report import crystals, multilayers, nanoparticles
    from exitwave.report.probes import draw_probes

    own = {
        "structures/multilayer": multilayers.describe,
        "structures/nanoparticles_on_substrate": nanoparticles.describe_beside,
    }
    describe = next((words for kind, words in own.items() if kind in about["made_by"]), crystals.describe)
    draw_probes(files[0], path, describe, about.get("number", 2), about["title"])


def _pattern_sheet(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.patterns import pattern_sheet

    pattern_sheet(files, path, title=about["title"])


def _structure_factors(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.patterns import draw_structure_factors

    draw_structure_factors(files[0], path, title=about["title"])


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("structures", "crystals"): (
        Figure(
            "atoms.png",
            "1 Structures",
            "crystals along the beam",
            "Simulated: crystals of the first shard as the beam sees them, x to the right and y down as in their "
            "patterns, one primitive cell deep; far atoms are paler. The primitive cell is outlined, its edges at the "
            "far corner dashed. Above each: space group, prototype, and zone axis with the angle to it.",
            reads="shard",
            draw=_unit_cells,
        ),
        Figure(
            "library.png",
            "1 Structures",
            "statistics",
            "Simulated: elements, prototypes, crystal systems and cells of all crystals, each counted once, and the "
            "directions from which they are seen.",
            reads="tables",
            draw=_library,
        ),
    ),
    ("structures", "multilayer"): (
        Figure(
            "atoms.png",
            "1 Structures",
            "atoms around the probe",
            "Simulated: atoms around some probe positions of the first shard as the beam sees them, x to the right and "
            "y down as in their patterns; far atoms are paler. The cross is the probe.",
            reads="shard",
            draw=_boxes,
        ),
        Figure(
            "strain.png",
            "1 Structures",
            "strain along the scan",
            "Simulated: true strain of the lattice and its tilt off the zone axis at every probe position. Dashed, "
            "where the two differ: the projected strain, which is what disks can show of a tilted crystal.",
            reads="tables",
            draw=_strain,
        ),
    ),
    ("exit_waves", "scattering_matrix"): (
        Figure(
            "thickness_series.png",
            "2 Exit waves",
            "thickness series",
            "Simulated: share of the electrons in the disks of the strongest beams against thickness, means over the "
            "largest aperture, beams of the same intensity added; beside them patterns of that aperture, whose disks "
            "do not interfere, each in its own range. Indices are those of the conventional cell.",
            reads="shard",
            draw=_thickness_series,
        ),
        Figure(
            "beams.png",
            "2 Exit waves",
            "number of beams and errors",
            "Simulated: number of beams against the volume of the cell; how much all intensities at the largest "
            "thickness change when beams of twice the excitation error are taken, as a share of the electrons; and "
            "the intensity of beams too weak to be stored. Where max_beams ends the choice circles are open.",
            reads="tables",
            draw=_beams,
        ),
    ),
    ("exit_waves", "probe"): (
        Figure(
            "waves.png",
            "2 Exit waves",
            "patterns of probes",
            "Simulated: patterns of convergent probes at some depths, for every semiangle: of the first position in "
            "the structure, means over thermal configurations, each in its own range.",
            reads="shard",
            draw=_probes,
            about=made_by,
        ),
    ),
    ("images", "diffraction"): (
        Figure(
            "contact_sheet.png",
            "3 Images and labels",
            "contact sheet",
            "Simulated: diffraction patterns as they are counted, evenly spread over the block, as the fourth root of "
            "their counts. Above each: crystal and zone axis, semiangle, thickness and electrons of the pattern. "
            "Circles are the reflections of the label; their area goes with the structure factor, weighted by the "
            "distance to the Ewald sphere.",
            reads="shards",
            draw=_pattern_sheet,
        ),
        Figure(
            "labels.png",
            "3 Images and labels",
            "structure factors",
            "Simulated: patterns beside images of their structure factors, one weighted by the distance of a "
            "reflection to the Ewald sphere, one by that to the plane across the beam. The two differ far from the "
            "direct beam, where the sphere has left the plane.",
            reads="shard",
            draw=_structure_factors,
        ),
    ),
}
"""Figures by stage and kind."""
