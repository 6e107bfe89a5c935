"""Figures of the kinds of diffraction; part of the table in :mod:`exitwave.report.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exitwave.report.figure import About, Figure


def _unit_cells(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.unit_cells import draw_unit_cells

    draw_unit_cells(files[0], path, about.get("number", 8), about["title"])


def _library(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.library import draw_library

    draw_library(files, path, about["title"])


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
