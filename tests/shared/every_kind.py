"""A tiny study with every kind of every stage; a new kind is added here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from strained_scan import strained_scan

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = """
seed: 3
structures:
  particles:
    kind: nanoparticles_on_substrate
    count: 4
    field_of_view: 51.2
    particles: {material: Au, number: {uniform: [1, 2]}, radius: {uniform: [6, 8]}}
    substrate: {thickness: {uniform: [6, 9]}}
  crystals:
    kind: files
    path: ROOT/resources/crystals/fcc
    count: 4
    field_of_view: 40
    thickness: {uniform: [20, 30]}
    zone_axes: [[1, 1, 0], [1, 0, 0]]
  prototypes:
    kind: crystals
    count: 4
    prototypes: [NaCl, Fluorite, A_cF8_227_a]
    orientations: {zone_axes: 2, random: 1, mistilt: {uniform: [0, 10]}}
  multilayer:
    kind: multilayer
    count: 4
    field_of_view: 24
    layers: [{width: 30, strain: 0.01, alloy: {Si: {Ge: 0.5}}}, {width: 40, strain: -0.01}]
    substrate: {Si: {Ge: 0.25}}
    thickness: 40
    scan: {start: -5, columns: 3, step: 20}
    mistilt: {}
  monolayers:
    kind: monolayer
    count: 4
    field_of_view: 40
    layers: {uniform: [1, 2]}
    stacking: random
    strain: {normal: [0, 0.001]}
    tilt: {uniform: [0, 20]}
    ripple: 0.2
    vacancies: {uniform: [0, 0.02]}
    contamination: {choice: [0, 5]}
  perfect: {kind: monolayer, count: 4, field_of_view: 40, layers: {uniform: [1, 2]}, stacking: random}
  mapped: {kind: monolayer, source: maps, count: 4, field_of_view: 40}
exit_waves:
  densities: {structures: mapped, kind: ldos, bias: {uniform: [0.3, 0.5]}}
  waves: {structures: particles, kind: plane_wave, sampling: 0.4, frozen_phonons: 2, thickness_series: 10}
  matrices:
    structures: prototypes
    kind: scattering_matrix
    semiangle: 2
    thickness: 80
    g_max: 1.2
    rms_displacement_of_others: 0.08
  probes:
    structures: particles
    kind: probe
    sampling: 0.4
    semiangle: [2, 6]
    positions: 2
    defocus: {uniform: [-100, 100]}
    thickness_step: 10
    largest_angle: 15
    frozen_phonons: 1
    storage_error: 1.0e-3
  layers: {structures: multilayer, kind: probe, semiangle: 2, sampling: 0.4, largest_angle: 15, frozen_phonons: 1}
  scans:
    structures: perfect
    kind: scan
    energy: 80.0e+3
    sampling: 0.2
    semiangle: {uniform: [18, 22]}
    defocus: {uniform: [-20, 20]}
    aberrations: {C12: {uniform: [0, 20]}}
    margin: 8
images:
  cbed:
    exit_waves: matrices
    kind: diffraction
    per_structure: 2
    size: 96
    semiangle: {choice: [1, 2]}
    shift: {uniform: [-2, 2]}
    background: {weight: {uniform: [0, 0.3]}}
    dose: {loguniform: [1.0e+5, 1.0e+7]}
  scan: {exit_waves: layers, kind: diffraction, size: 32, reciprocal_sampling: 0.05, semiangle: 2, dose: 1.0e+6}
  disks: {like: cbed, size: 32, reciprocal_sampling: 0.05}
  hrtem:
    exit_waves: waves
    kind: hrtem
    per_structure: 2
    pixel_size: 0.8
    size: 64
    defocus: {uniform: [-100, 100]}
    focal_spread: {uniform: [5, 20]}
    dose: {loguniform: [200, 2000]}
    labels: [instances, thickness, atoms, atomic_columns, boundary, orientation, domains]
  stem:
    structures: crystals
    kind: stem_convolution
    per_structure: 2
    pixel_size: 0.3
    size: 64
    dose: {uniform: [1.0e+4, 5.0e+4]}
  sheets:
    structures: monolayers
    kind: stem_convolution
    per_structure: 2
    pixel_size: 0.25
    size: 96
    exponent: {uniform: [1.5, 1.9]}
    optics: {energy: 80.0e+3, semiangle: {uniform: [25, 35]}, defocus: {normal: [0, 20], clip: [-50, 50]}}
    displacement: {uniform: [0.05, 0.1]}
    scan: {jitter: {uniform: [0, 0.3]}, flyback: {uniform: [0, 1]}, drift: {uniform: [0, 1]}}
    background: 0.005
    uneven: {uniform: [0, 0.3]}
    dose: {loguniform: [1.0e+4, 1.0e+6]}
    fine: 2
    labels: [columns]
  haadf:
    exit_waves: scans
    kind: stem
    per_structure: 2
    pixel_size: 0.25
    size: 96
    inner_angle: {uniform: [40, 50]}
    outer_angle: {uniform: [90, 100]}
    source_size: {uniform: [0.6, 1.2]}
    scan: {jitter: {uniform: [0, 0.3]}, drift: {uniform: [0, 1]}}
    background: 0.002
    dose: {loguniform: [1.0e+4, 1.0e+6]}
    labels: [columns]
  tunnelling:
    exit_waves: densities
    kind: stm
    per_structure: 2
    pixel_size: 0.25
    size: 96
    height: {uniform: [3.5, 5]}
    tip_radius: {uniform: [0, 1]}
    scan: {jitter: {uniform: [0, 0.3]}, drift: {uniform: [0, 1]}}
    relief: {noise: {uniform: [0, 0.02]}, slow_noise: 0.01, line_noise: 0.01, slope: {uniform: [0, 5]}}
    labels: [columns]
  real: {kind: micrographs, path: MICROGRAPHS, per_structure: 2, pixel_size: 0.8, size: 64}
datasets:
  images: {images: hrtem, validation: 0.3, test: 0.3}
  patterns: {images: disks, validation: 0.3, test: 0.3}
  layers: {images: sheets, validation: 0.2, test: 0.1}
models:
  masks: {kind: segmentation, encoder_depth: 3, preprocessing: {median: 1}}
  thickness: {kind: regression, target: {map: thickness}, scale: 20, masks: [5], encoder_depth: 3}
  shapes: {kind: classification, target: {column: shape}}
  disks: {kind: disks, width: 4, depth: 2}
  atoms: {kind: atoms, encoder_depth: 3, preprocessing: {median: 1}}
  bravais: {kind: classification, target: {column: bravais}}
  graphs: {kind: graphs, target: {column: bravais}, hidden: 16, preprocessing: {median: 1}}
  few: {kind: autoencoder, latent: 12, width: 4, preprocessing: {median: 1}}
  finer: {kind: super_resolution, factor: 2, width: 8, blocks: 1}
trainings:
  masks: {datasets: images, model: masks, seeds: 2}
  thickness: {datasets: images, model: thickness, streaming: true}
  shapes: {datasets: images, model: shapes}
  disks: {datasets: patterns, model: disks}
  atoms: {datasets: layers, model: atoms}
  bravais: {datasets: layers, model: bravais}
  graphs: {datasets: layers, model: graphs}
  few: {datasets: layers, model: few}
  finer: {datasets: layers, model: finer, streaming: true}
benchmarks:
  masks: {kind: simulated, datasets: [images], trainings: [masks]}
  thickness: {kind: simulated, datasets: [images], trainings: [thickness]}
  shapes: {kind: simulated, datasets: [images], trainings: [shapes]}
  disks: {kind: simulated, datasets: [patterns], trainings: [disks], by: [semiangle, specimen_thickness, prototype]}
  atoms: {kind: simulated, datasets: [layers], trainings: [atoms], by: [dose, bravais]}
  few: {kind: simulated, datasets: [layers], trainings: [few]}
  finer: {kind: simulated, datasets: [layers], trainings: [finer], by: [dose]}
  strain: {kind: strain, images: scan, tuned_on: patterns, trainings: [disks]}
  real: {kind: micrographs, path: ROOT/resources/micrographs/scottlab_hrtem_patches, trainings: [masks]}
  scanned:
    kind: datacube
    path: MICROGRAPHS/scan.npy
    probe: MICROGRAPHS/probe.npy
    reciprocal_sampling: 0.03
    tuned_on: patterns
    trainings: [disks]
    reference: {columns: [0, 3], rows: [0, 6]}
    known: [{columns: [5, 8], rows: [0, 6], xx: 0.012, yy: -0.008, xy: 0.004, rotation: 26.18}]
  lattices: {kind: lattices, path: ROOT/resources/lattices, trainings: [bravais, graphs]}
"""


def every_kind(folder: Path) -> dict[str, Any]:
    """The study, with a folder of labelled micrographs and a scan that is written for it."""
    folder.mkdir(parents=True, exist_ok=True)
    patches = ROOT / "resources/micrographs/scottlab_hrtem_patches"
    names = ("Au2.2nm_0", "Au5nm_0", "Au10nm_0", "Ag5nm_patch")
    rows = [f"{patches}/images/{name}.png,{patches}/masks/{name}.png,0.7" for name in names]
    (folder / "index.csv").write_text("\n".join(["image,mask,pixel_size", *rows]))
    np.save(folder / "scan.npy", strained_scan().patterns)
    np.save(folder / "probe.npy", strained_scan().probe)
    study: dict[str, Any] = yaml.safe_load(EXAMPLES.replace("ROOT", str(ROOT)).replace("MICROGRAPHS", str(folder)))
    return study
