"""Draw docs/images/gallery.png: every kind of particle, substrate and scene, from the side and along the beam.

.venv/bin/python docs/gallery.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.colors import to_rgb
from matplotlib.figure import SubFigure
from numpy.typing import NDArray
from PIL import Image

from exitwave.config.particles import FORMS, Particles
from exitwave.config.structures import AmorphousSubstrate, NanoparticlesOnSubstrate
from exitwave.report import style
from exitwave.report.structures import SUBSTRATE, render
from exitwave.structures.amorphous import amorphous_slab
from exitwave.structures.body import Body, SiteRole
from exitwave.structures.composites import grain_boundary
from exitwave.structures.crystal import cut
from exitwave.structures.layers import stacked_layers
from exitwave.structures.materials import load_material
from exitwave.structures.neighbours import neighbours
from exitwave.structures.particles import make_particle
from exitwave.structures.recipes import build_structure
from exitwave.structures.shapes import rod
from exitwave.structures.slabs import cut_slab
from exitwave.structures.strain import bent
from exitwave.structures.transforms import axis_rotation
from exitwave.structures.volumes import box

COLUMNS, INCHES, PIXELS = 5, 1.55, 300
GRAINS = (style.ORANGE, style.SKY, style.GREEN, style.PURPLE, style.BLUE, "#f0e442", "#999999", "#8c564b")
ENERGIES = {"energies": {"111": 1.0, "100": 1.23}}
ON_110 = {"zone_axis": [1, -1, 0], "in_plane": 54.7356}
"""Beam along <110>, with a set of {111} planes edge-on and upright."""


@dataclass(frozen=True)
class Panel:
    """Title and remark, and spheres about the origin in a field of an edge [Å]; ``half``: those nearer are left out."""

    title: str
    remark: str
    positions: NDArray[np.float64]
    colours: NDArray[np.float64]
    radii: NDArray[np.float64]
    edge: float
    half: bool = False


def of_body(
    title: str, remark: str, body: Body, by_grain: bool = False, half: bool = False, bonds: float = 0.0
) -> Panel:
    """A body, coloured by element or by grain; sticks join atoms nearer than ``bonds`` [Å]."""
    colours = np.asarray(jmol_colors)[body.numbers]
    colours[body.role & SiteRole.PLANAR_DEFECT > 0] = to_rgb(style.VERMILLION)
    if by_grain:
        colours = np.array([to_rgb(colour) for colour in GRAINS])[body.grain % len(GRAINS)]
    positions, radii = body.positions, covalent_radii[body.numbers]
    if bonds:
        first, _, vectors = neighbours(positions, bonds)
        # Half a stick from either end, of beads that overlap.
        beads = (positions[first, None] + vectors[:, None] * np.linspace(0.1, 0.5, 6)[:, None]).reshape(-1, 3)
        positions, colours = np.concatenate([positions, beads]), np.concatenate([colours, colours[first].repeat(6, 0)])
        radii = np.concatenate([0.5 * radii, np.full(len(beads), 0.22)])
    low, high = positions.min(axis=0) - radii.max(), positions.max(axis=0) + radii.max()
    return Panel(title, remark, positions - (low + high) / 2, colours, radii, 1.03 * float((high - low).max()), half)


def particle(title: str, remark: str, by_grain: bool = False, half: bool = False, **block: Any) -> Panel:
    """A particle described as in the config."""
    options = {"radius": 15, "orientation": {"zone_axis": [0, 0, 1], "in_plane": 45}, **block}
    body = make_particle(Particles.model_validate(options), np.random.default_rng(1))
    return of_body(title, remark, body, by_grain, half)


def scene(title: str, remark: str, edge: float, particles: dict[str, Any], substrate: dict[str, Any] | None) -> Panel:
    """A field of view described as in the config, moved so that its largest particle is in the middle."""
    fixed = {"kind": "nanoparticles_on_substrate", "count": 1, "field_of_view": edge}
    block = NanoparticlesOnSubstrate.model_validate({**fixed, "particles": particles, "substrate": substrate})
    structure = build_structure(block, np.random.default_rng(3))
    colours, positions = np.asarray(jmol_colors)[structure.numbers], structure.positions - structure.cell / 2
    colours[structure.object_id == 0] = to_rgb(SUBSTRATE)
    phases = np.exp(2j * np.pi * positions[structure.object_id == 1, :2] / edge).mean(axis=0)
    positions[:, :2] -= np.angle(phases) / (2 * np.pi) * edge
    positions[:, :2] -= edge * np.round(positions[:, :2] / edge)
    return Panel(title, remark, positions, colours, covalent_radii[structure.numbers], edge)


def shapes() -> Iterator[Panel]:
    """Outer shapes of one crystal."""
    for name in FORMS[:8]:
        yield particle(name.replace("_", " "), "Au, beam [001]", shape=name)
    yield particle("ellipsoid", "Au, axes 1 : 1 : 1.6", shape={"kind": "ellipsoid", "axes": [1, 1, 1.6]})
    yield particle("Wulff", "Pt, beam [1-10]", material="Pt", shape={"kind": "wulff", **ENERGIES}, orientation=ON_110)
    lying = {"kind": "winterbottom", **ENERGIES, "interface": [1, 1, 1], "interface_energy": -0.2}
    yield particle("Winterbottom", "Pt, (111) below", material="Pt", shape=lying, orientation="random")
    upright = {"kind": "rod", "aspect": 2}
    yield particle("rod, round ends", "Au, [001] along beam", shape=upright)
    flat_ends = {**upright, "ends": "flat"}
    yield particle("rod, flat ends", "CdSe, [0001] along beam", material="CdSe", shape=flat_ends)
    thin, on_111 = {"kind": "platelet", "aspect": 3}, {"facet": [1, 1, 1], "in_plane": 0}
    for outline in ("hexagon", "triangle"):
        shape = {**thin, "outline": outline}
        yield particle(f"platelet, {outline}", "Ag, beam [111]", material="Ag", shape=shape, orientation=on_111)


def defects() -> Iterator[Panel]:
    """Twins, faults and grains."""
    fivefold = {"zone_axis": [1, 1, 0], "in_plane": 0}
    yield particle("decahedron", "Au, five twins, beam [110]", True, shape="decahedron", orientation=fivefold)
    yield particle("icosahedron", "Au, twenty twins; half", True, True, shape="icosahedron", orientation=fivefold)
    twins, faults = ({"number": 2, "kinds": [kind]} for kind in ("twin", "stacking_fault"))
    yield particle("twins", "Au, beam [1-10]", planar_defects=twins, orientation=ON_110)
    yield particle("stacking faults", "Au, beam [1-10]", planar_defects=faults, orientation=ON_110)
    basal = {"zone_axis": [1, 0, 0], "in_plane": 0}
    yield particle("growth faults I1", "CdSe, beam [100]", material="CdSe", planar_defects=twins, orientation=basal)
    yield particle("twins", "ZnS, beam [1-10]", material="ZnS-zb", planar_defects=twins, orientation=ON_110)
    yield particle("grains", "Au, 6 Voronoi cells; half", True, True, radius=18, grains=6)
    gold, turns = load_material("Au"), (axis_rotation([0, 0, 1], 18.435), axis_rotation([0, 0, 1], -18.435))
    boundary = grain_boundary(gold, box([36, 36, 20]), [1, 0, 0], turns)
    yield of_body("grain boundary", "Au, tilt Σ5, beam [001]", boundary, by_grain=True)
    bow = bent(cut(gold, rod([1, 0, 0], 14, 4)), 60.0, [1, 0, 0], [0, 1, 0])
    yield of_body("bent rod", "Au, beam [001]", bow)
    yield particle("strain", "Au, 10 % along z, surface −3 %", strain={"zz": 0.1}, surface_relaxation=-0.03)


def compositions() -> Iterator[Panel]:
    """Particles of several elements, and molecules on them."""
    shell = {"material": "Ag", "thickness": 5}
    yield particle("core-shell", "Au in Ag, one axis; half", half=True, shape="cuboctahedron", shell=shell, radius=18)
    shell = {"material": "Pd", "thickness": 6, "orientation": "random", "grains": 8}
    yield particle("core-shell, grains", "Au in 8 grains of Pd; half", True, True, shell=shell, radius=18)
    yield particle("dopants", "Si with 5 % Ge", material="Si", dopants=[{"element": "Ge", "fraction": 0.05}])
    options = {"shape": "cube", "vacancies": 0.1, "antisites": 0.1}
    yield particle("vacancies, antisites", "PbS, 10 % each", material="PbS", **options)
    ligands = {"molecule": "CH3S", "anchor": "S", "density": 4}
    yield particle("ligands", "Au with CH3S", shape="cuboctahedron", radius=12, ligands=ligands)


def layers() -> Iterator[Panel]:
    """Two-dimensional materials: islands and slabs."""
    for count, outline in ((1, "triangle"), (2, "hexagon")):
        shape = {"kind": "island", "layers": count, "outline": outline}
        yield particle(
            f"island, {outline}",
            f"MoS2, layers: {count}",
            count > 1,
            material="MoS2",
            shape=shape,
            orientation="random",
        )
    for name, twist in (("graphene", 7.34), ("hBN", 0.0), ("WSe2", 0.0)):
        slab = stacked_layers(load_material(name), 2, 40.0, np.random.default_rng(2), twist=twist)
        remark = f"2 layers, twist {slab.details['twist']:.1f}°"
        yield of_body(name, remark, slab, by_grain=twist > 0, bonds=0 if name == "WSe2" else 1.8)


def slabs() -> Iterator[Panel]:
    """Substrates."""
    sets: list[tuple[dict[str, Any], str, float]] = [
        ({"material": "a-C", "thickness": 8}, "random, 2.0 g/cm³", 24.0),
        ({"material": "a-C", "thickness": 8, "structure": "network"}, "bonded network", 24.0),
        ({"material": "a-SiNx", "thickness": 20}, "random, 3.0 g/cm³", 40.0),
        ({"material": "a-SiO2", "thickness": 20, "roughness": 2.5, "roughness_length": 15}, "rough, 2.5 Å rms", 40.0),
    ]
    for options, remark, edge in sets:
        body = amorphous_slab(AmorphousSubstrate.model_validate(options), edge, np.random.default_rng(5))
        yield of_body(str(options["material"]), remark, body, bonds=1.85 if edge < 30 else 0)
    slab = cut_slab(load_material("CeO2"), (1, 1, 1), 20, 40.0, np.random.default_rng(4))
    yield of_body("CeO2 (111)", f"periodic, strain {100 * slab.details['strain']:.1f} %", slab)


def scenes() -> Iterator[Panel]:
    """Fields of view; substrates are grey."""
    carbon = {"material": "a-C", "thickness": 25}
    yield scene("dispersed", "Au on a-C", 100, {"number": 4, "radius": {"uniform": [8, 14]}}, carbon)
    heap = {"material": "CdSe", "number": 5, "radius": 13, "arrangement": "agglomerate"}
    yield scene("agglomerate", "CdSe on a-C", 100, heap, carbon)
    lying = {"kind": "winterbottom", **ENERGIES, "interface": [1, 1, 1], "interface_energy": 0.1}
    ceria = {"kind": "crystal", "material": "CeO2", "surface": [1, 1, 1], "thickness": 16}
    yield scene("Winterbottom", "Pt (111) on CeO2 (111)", 70, {"material": "Pt", "radius": 14, "shape": lying}, ceria)
    island = {"material": "WS2", "radius": 17, "contact": 3.2, "shape": {"kind": "island"}}
    yield scene("island", "WS2 on MoS2", 70, island, {"kind": "layers", "material": "MoS2"})
    ligands = {"molecule": "CH3S", "anchor": "S", "density": 3}
    coated = {"radius": 13, "material": "CdSe", "ligands": ligands}
    yield scene("in vacuum", "CdSe with CH3S", 45, coated, None)


def draw(part: SubFigure, panel: Panel) -> None:
    """Both views of a panel, side by side."""
    part.suptitle(panel.title, fontsize=9, weight="bold", x=0.03, ha="left")
    views = part.subplots(1, 2)
    for axes, order, eye in zip(views, ([0, 2, 1], [0, 1, 2]), (-1, 1), strict=True):
        view = panel.positions[:, order] * [1, 1, eye]
        kept = view[:, 2] <= 0.3 if panel.half else np.ones(len(view), dtype=bool)
        shifted = view[kept] + [panel.edge / 2, panel.edge / 2, 0]
        image = render(shifted, panel.radii[kept], panel.colours[kept], (panel.edge, panel.edge), PIXELS)
        axes.imshow(image, origin="lower", interpolation="antialiased")
        style.picture(axes)
    views[0].set_title(panel.remark, fontsize=8, loc="left")
    bar = style.round_length(0.4 * panel.edge)
    width = PIXELS * bar / panel.edge
    views[1].plot([PIXELS - width, PIXELS], [-8, -8], color=style.INK, lw=1.5, solid_capstyle="butt", clip_on=False)
    views[1].set_xlabel(f"{bar / 10:g} nm", fontsize=7, loc="right", labelpad=4)


def main(path: Path) -> None:
    panels = [panel for group in (shapes, defects, compositions, layers, slabs, scenes) for panel in group()]
    rows = -(-len(panels) // COLUMNS)
    with style.figure(path, 2 * INCHES * COLUMNS, (INCHES + 0.55) * rows + 0.5) as drawing:
        drawing.suptitle(
            "Left: from the side, beam upwards. Right: along the beam, where it leaves. Red: planar defects."
        )
        for part, panel in zip(drawing.subfigures(rows, COLUMNS).ravel(), panels, strict=False):
            draw(part, panel)
    # A palette of 256 colours holds what is seen in a fifth of the size.
    with Image.open(path) as sheet:
        small = sheet.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(__file__).parent / "images/gallery.png")
