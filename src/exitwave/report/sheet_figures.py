"""Figures of the kinds of monolayers; part of the table in :mod:`exitwave.report.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exitwave.report.figure import About, Figure


def _monolayers(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.monolayers import describe
    from exitwave.report.structures import draw_structures

    draw_structures(files[0], path, describe, ("item",), about.get("number", 5), about["title"])


def _lattices(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.monolayers import draw_lattices

    draw_lattices(files, path, about["title"])


def _scans(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.probe_scans import draw_scans

    draw_scans(files[0], path, about.get("number", 4), about["title"])


def _densities(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.densities import draw_densities

    draw_densities(files[0], path, about.get("number", 4), about["title"])


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("structures", "monolayer"): (
        Figure(
            "atoms.png",
            "1 Structures",
            "atoms",
            "Simulated: atoms of sample monolayers of the first shard, seen from the side and from above; far atoms "
            "are paler. What lies above is amorphous carbon.",
            reads="shard",
            draw=_monolayers,
        ),
        Figure(
            "lattices.png",
            "1 Structures",
            "lattices",
            "Simulated: the lattices of all monolayers. Left: ratio and angle of their two shortest vectors; lines are "
            "lattices with symmetry, the square and the hexagon are marked. Middle: strain that would make a lattice "
            "one of another class; in the grey part real images leave that open. Right: classes of the columns that a "
            "beam sees, of those that a lens resolves, of the layer itself, and of the symmetry of its columns.",
            reads="tables",
            draw=_lattices,
        ),
    ),
    ("exit_waves", "ldos"): (
        Figure(
            "densities.png",
            "2 Exit waves",
            "surfaces of constant density",
            "Simulated: surfaces of constant density of states above layers, which the tip of an STM follows, at three "
            "mean heights above the topmost atom. Above each its range of heights. Right: mean density against height.",
            reads="shard",
            draw=_densities,
        ),
    ),
    ("exit_waves", "scan"): (
        Figure(
            "scans.png",
            "2 Exit waves",
            "images and angles",
            "Simulated: layers as detectors of three angles would see them, without source and noise, each image in "
            "its own range, which is told above it as a share of the electrons. Right: electrons by scattering angle, "
            "over the whole cell and where most of them go to high angles.",
            reads="shard",
            draw=_scans,
        ),
    ),
}
