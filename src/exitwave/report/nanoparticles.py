"""Nanoparticles on a substrate as figures tell them: by their particles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exitwave.report.columns import Told

ORDER = ("particles_placed", "radius_mean", "item")
"""Columns by which structures are sorted: from the fewest to the most and largest particles."""
TOLD = Told(
    left_out=frozenset(
        {"radius_mean", "radius_min", "radius_max", "material", "shape", "domains", "shell_thickness", "vacancies"}
        | {"ligands", "zone_axis", "zone_axis_tilt"}
    ),
    labels={
        "radius": "particle radius",
        "n_atoms_substrate": "substrate atoms",
        "n_atoms_particles": "particle atoms",
    },
    parts="particles",
    units={
        "radius": "Å",
        "material": "",
        "shape": "",
        "domains": "",
        "shell_thickness": "Å",
        "surface_relaxation": "",
        "vacancies": "",
        "antisites": "",
        "embedding": "",
        "ligands": "",
        "zone_axis_tilt": "°",
    },
)
"""Parameters of particles are shown of every one, not as what the table says of a structure."""


def describe(row: Mapping[Any, Any]) -> str:
    """Particles and substrate of a structure, in a few lines."""
    particles = int(row["particles_placed"])
    lines = [f"item {row['item']}: {particles or 'no'} particle{'' if particles == 1 else 's'}"]
    if particles:
        low, high = row["radius_min"], row["radius_max"]
        radius = f"{low:.0f} Å" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f} Å"
        lines[0] += f" of {str(row['material']).replace(',', ', ')}"
        defects = int(row["planar_defects"])
        lines.append(f"{str(row['shape']).replace(',', ', ').replace('_', ' ')}, radius {radius}")
        if defects:
            lines[-1] += f", {defects} planar defect{'' if defects == 1 else 's'}"
    substrate = f"{row['substrate']}, {row['substrate_thickness']:.0f} Å"
    lines.append(substrate if row["substrate"] else "no substrate")
    return "\n".join(lines)


def describe_beside(row: Mapping[Any, Any]) -> str:
    """The same in two short lines, beside a picture."""
    particles = int(row["particles_placed"])
    return (
        f"item {row['item']}\n{particles} particle{'' if particles == 1 else 's'}, "
        f"substrate {row['substrate_thickness']:.0f} Å"
    )
