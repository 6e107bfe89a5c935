"""Draw docs/images/convergence_*.png, how far exit waves and images are from converged ones, and print the numbers.

.venv/bin/python docs/convergence.py [slices] [sampling] [phonons] [padding]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.hrtem import intensity
from exitwave.report import style
from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SKY, VERMILLION
from exitwave.structures.recipes import build_structure
from exitwave.structures.structure import Structure
from exitwave.waves.exit_waves import simulate_exit_waves

IMAGES = Path(__file__).parent / "images"
FIELD, RADIUS, CARBON = 32.0, 15.0, 20.0
"""Edge of the field, radius of the particle and thickness of its carbon film [Å]."""
ALIGNED = "Au [110]"
PARTICLES: dict[str, dict[str, Any]] = {
    "Au": {"material": "Au"},
    ALIGNED: {"material": "Au", "orientation": {"zone_axis": [1, 1, 0], "in_plane": 20}},
    "CdSe": {"material": "CdSe"},
}
"""Turned at random but for the second, whose rows of atoms, along the beam, scatter most."""
COLOURS = {"Au": BLUE, ALIGNED: VERMILLION, "CdSe": ORANGE, "111": GREEN, "220": PURPLE, "300 kV": BLUE, "80 kV": SKY}
APERTURE, DEFOCUS = 20.0, 50.0
"""Objective aperture [mrad] and defocus [Å] of the images."""
IMAGE_PIXEL = 0.2
"""Points of the images [Å]; fine enough for all frequencies of the intensity behind that aperture at 300 kV."""
ERRORS = ("error of the scattered wave [%]", "error of the image contrast [%]")
FRINGES = {"111": 2.355, "220": 1.442}
"""Lattice spacings of gold [Å]."""


class Lines(dict[str, dict[float, float]]):
    """By the name of a line, its values by the abscissa."""

    def add(self, name: str, place: float, value: float) -> None:
        self.setdefault(name, {})[round(place, 3)] = value


@cache
def particle_on_carbon(name: str, film: bool = True) -> Structure:
    """A particle of 15 Å radius on 20 Å of carbon, or in vacuum."""
    block: Any = {
        "kind": "nanoparticles_on_substrate",
        "count": 1,
        "field_of_view": FIELD,
        "particles": {"number": 1, "radius": RADIUS, "minimum_gap": 2.0, **PARTICLES[name]},
        "substrate": {"thickness": CARBON} if film else None,
    }
    return build_structure(NanoparticlesOnSubstrate(**block), np.random.default_rng(0))


def waves(structure: Structure, **options: Any) -> NDArray[np.complex64]:
    """Exit waves [2, phonon, y, x] of a structure, of one thermal configuration if not said otherwise."""
    options = {"sampling": 0.4, "scheme": "accurate", "frozen_phonons": 1, "device": "cpu", **options}
    block = PlaneWave(kind="plane_wave", structures="s", **options)
    found = simulate_exit_waves(structure, block, np.random.default_rng(0))
    return np.stack([found.whole, found.particles])


def resampled(given: NDArray[np.complex64], size: int) -> NDArray[np.complex64]:
    """The same wave on ``size`` points along an edge: its spectrum cut, or padded with zeros."""
    kept = min(size, given.shape[-1])
    low = np.r_[: kept // 2, -(kept // 2) : 0]
    spectrum = np.zeros((*given.shape[:-2], size, size), np.complex64)
    spectrum[..., low[:, None], low] = scipy.fft.fft2(given, norm="forward")[..., low[:, None], low]
    wave = scipy.fft.ifft2(spectrum, norm="forward")
    return np.asarray(wave, np.complex64)


def image(wave: NDArray[np.complex64], edge: float, energy: float, defocus: float) -> NDArray[np.float32]:
    """Noise-free image on a grid of its own."""
    conditions = ImagingConditions(defocus=defocus, objective_aperture=APERTURE)
    on_grid = resampled(wave, round(edge / IMAGE_PIXEL))
    return intensity(on_grid, conditions, energy, IMAGE_PIXEL, 1)


def scattered_error(wave: NDArray[np.complex64], truth: NDArray[np.complex64]) -> float:
    """Relative error of the scattered wave, within the band of the coarser one [%]."""
    size = min(wave.shape[-1], truth.shape[-1])
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    # The multislice keeps a circle with a soft edge of 1 % of the frequencies.
    spectra = [scipy.fft.fft2(resampled(each, size)) * (k < 0.48) for each in (wave, truth)]
    spectra[1][..., 0, 0], mean = 0, spectra[1][..., 0, 0].copy()
    error = np.linalg.norm(spectra[0] - spectra[1] - mean[..., None, None] * (k == 0))
    return float(100 * error / np.linalg.norm(spectra[1]))


def contrast_error(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Root-mean-square error of an image over the contrast, the standard deviation, of the true one [%]."""
    return float(100 * np.sqrt(np.mean((found - truth) ** 2)) / truth.std())


def fringe(wave: NDArray[np.complex64], spacing: float) -> float:
    """Amplitude of the waves diffracted by lattice planes of a spacing [Å]."""
    k = np.fft.fftfreq(wave.shape[-1], FIELD / wave.shape[-1])
    near = np.abs(np.hypot(k[:, None], k) - 1 / spacing) < 1 / (2 * RADIUS)
    return float(np.linalg.norm(scipy.fft.fft2(wave, norm="forward") * near))


# --- figures ------------------------------------------------------------------------------------


def slices(path: Path) -> None:
    """Slice thickness, for infinite and finite projection: with fine pixels, and with such as are simulated with."""
    thicknesses, fine, coarse = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), FIELD / 480, 0.2
    cases = ((300e3, fine), (80e3, fine), (300e3, coarse))
    truth: dict[tuple[str, float], NDArray[np.complex64]] = {}
    with style.figure(path, 7.5, 5.6) as drawing:
        panels = drawing.subplots(2, 3, sharex=True, sharey="row")
        for column, (energy, pixel) in zip(panels.T, cases, strict=True):
            title = f"{energy / 1e3:g} kV, pixel {pixel:.2g} Å"
            of_wave, of_image = Lines(), Lines()
            for particle in PARTICLES:
                simulate = partial(waves, particle_on_carbon(particle), energy=energy)
                if (particle, energy) not in truth:
                    finest = simulate(sampling=fine, slice_thickness=thicknesses[0] / 4, projection="finite")
                    truth[particle, energy] = finest[0]
                true_wave = truth[particle, energy]
                true_image = image(true_wave, FIELD, energy, DEFOCUS)
                for projection in ("infinite", "finite"):
                    name = f"{particle}, {projection}"
                    for thickness in thicknesses:
                        wave = simulate(sampling=pixel, slice_thickness=thickness, projection=projection)[0]
                        of_wave.add(name, thickness, scattered_error(wave, true_wave))
                        seen = image(wave, FIELD, energy, DEFOCUS)
                        of_image.add(name, thickness, contrast_error(seen, true_image))
            for axes, lines, what in zip(column, (of_wave, of_image), ERRORS, strict=True):
                plot(axes, lines, second="finite")
                table(f"{what}, {title}", "slice thickness [Å]", lines)
            column[0].set_title(title)
            column[1].set_xlabel("slice thickness [Å]")
        for axes, what in zip(panels[:, 0], ERRORS, strict=True):
            axes.set_ylabel(what)
        legend(drawing, panels[0, 0])
        plain_ticks(panels.flat, thicknesses)


def sampling(path: Path) -> None:
    """Pixel of the stored wave, for both schemes."""
    sizes = (40, 50, 60, 80, 100, 120, 160, 240, 320, 480, 640)
    of_wave, of_image, of_fringes = Lines(), Lines(), Lines()
    for particle in PARTICLES:
        structure = particle_on_carbon(particle)
        finest = waves(structure, sampling=FIELD / sizes[-1])
        true_image = image(finest[0], FIELD, 300e3, DEFOCUS)
        for scheme in ("conventional", "accurate"):
            for size in sizes if scheme == "conventional" else sizes[:-1]:
                pixel, name = FIELD / size, f"{particle}, {scheme}"
                whole, alone = waves(structure, sampling=pixel, scheme=scheme)
                of_wave.add(name, pixel, scattered_error(whole, finest[0]))
                of_image.add(name, pixel, contrast_error(image(whole, FIELD, 300e3, DEFOCUS), true_image))
                for planes, spacing in FRINGES.items() if particle == ALIGNED else ():
                    if spacing > 2.2 * pixel:
                        ratio = 100 * fringe(alone, spacing) / fringe(finest[1], spacing)
                        of_fringes.add(f"{planes}, {scheme}", pixel, ratio)
    with style.figure(path, 7.5, 3.6) as drawing:
        panels = drawing.subplots(1, 3)
        labels = (*ERRORS, f"amplitude of fringes, {ALIGNED} [% of true]")
        for axes, lines, label in zip(panels, (of_wave, of_image, of_fringes), labels, strict=True):
            plot(axes, lines, second="accurate")
            axes.set_xlabel("pixel of the stored wave [Å]")
            axes.set_ylabel(label)
            table(label, "pixel [Å]", lines)
        panels[2].axhline(100, color=MUTED, lw=1, zorder=0)
        panels[2].set_yscale("linear")
        panels[2].legend(panels[2].lines[: len(FRINGES)], list(FRINGES))  # dashes are told above
        legend(drawing, panels[0])
        plain_ticks(panels, (0.05, 0.1, 0.2, 0.4, 0.8))


def phonons(path: Path) -> None:
    """Frozen phonons averaged."""
    total, counts = 256, (1, 2, 4, 8, 16, 32, 64)
    results = {0.0: Lines(), 200.0: Lines()}
    for particle in PARTICLES:
        structure = particle_on_carbon(particle)
        at_rest, moving = waves(structure, frozen_phonons=0)[0], waves(structure, frozen_phonons=total)[0]
        for defocus, lines in results.items():
            images = np.stack([image(wave[None], FIELD, 300e3, defocus) for wave in moving])
            mean = images.mean(axis=0)
            for count in counts:
                groups = images.reshape(-1, count, *mean.shape).mean(axis=1)
                squares = np.mean([contrast_error(group, mean) ** 2 for group in groups])
                # Each group is part of the mean over all, to which the error would otherwise fall.
                lines.add(particle, count, float(np.sqrt(squares / (1 - count / total))))
            lines.add(f"{particle}, at rest", 0, contrast_error(image(at_rest, FIELD, 300e3, defocus), mean))
    with style.figure(path, 7.5, 3.4) as drawing:
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, (defocus, lines) in zip(panels, results.items(), strict=True):
            for particle in PARTICLES:
                (rest,) = lines[f"{particle}, at rest"].values()
                axes.axhline(rest, color=COLOURS[particle], lw=1, ls=":")
            plot(axes, Lines({particle: lines[particle] for particle in PARTICLES}))
            steepest = max(lines[particle][1] for particle in PARTICLES) * 1.3
            axes.plot(counts, steepest / np.sqrt(counts), color=MUTED, lw=1, zorder=0, label="∝ 1/√n")
            axes.plot([], [], color=MUTED, lw=1, ls=":", label="atoms at rest")
            axes.set_title(in_words(defocus))
            axes.set_xlabel("frozen phonons n")
            table(f"{ERRORS[1]}, {in_words(defocus)}", "frozen phonons", lines)
        panels[0].set_ylabel(ERRORS[1])
        panels[0].legend()
        plain_ticks(panels, counts)


def padding(path: Path) -> None:
    """Vacuum around a particle without substrate, for a cell that repeats."""
    pixel = 0.4
    # The widest cell first; steps of four pixels keep the atoms at the same places between the points of the grid.
    sizes = (576, 80, 84, 88, 96, 104, 112, 120, 128, 140, 160, 180, 200, 224)
    results = {0.0: Lines(), 500.0: Lines()}
    body = centred(particle_on_carbon("Au", film=False))
    extent = float(np.ptp(body.positions[:, :2], axis=0).max())
    for energy in (300e3, 80e3):
        truth: dict[float, NDArray[np.float32]] = {}
        for size in sizes:
            edge = pixel * size
            positions = body.positions + np.array([edge, edge, 0]) / 2
            cell = np.array([edge, edge, body.cell[2]])
            wave = waves(replace(body, positions=positions, cell=cell), energy=energy, sampling=pixel)[1]
            margin = round((size - min(sizes)) / 2 * pixel / IMAGE_PIXEL)
            for defocus, lines in results.items():
                seen = image(wave, edge, energy, defocus)
                seen = seen[margin : len(seen) - margin, margin : len(seen) - margin]
                if size == sizes[0]:
                    truth[defocus] = seen
                else:
                    lines.add(f"{energy / 1e3:g} kV", (edge - extent) / 2, contrast_error(seen, truth[defocus]))
    with style.figure(path, 7.5, 3.4) as drawing:
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, (defocus, lines) in zip(panels, results.items(), strict=True):
            plot(axes, lines)
            if defocus:
                # Beams at the edge of the aperture, from either side of the gap, meet in its middle.
                axes.axvline(APERTURE * 1e-3 * defocus / 2, color=MUTED, lw=1, ls=":", label="aperture × defocus / 2")
            axes.set_xscale("linear")
            axes.set_title(in_words(defocus))
            axes.set_xlabel("vacuum on each side [Å]")
            table(f"{ERRORS[1]}, {in_words(defocus)}", "vacuum [Å]", lines)
        panels[0].set_ylabel(ERRORS[1])
        panels[1].legend()
        plain_ticks(panels, (0, 5, 10, 15, 20, 25, 30))


def centred(body: Structure) -> Structure:
    """A particle put about x = y = 0, in one piece where the edge of the periodic cell had cut it."""
    edge = body.cell[:2]
    middle = np.angle(np.exp(2j * np.pi * body.positions[:, :2] / edge).mean(axis=0)) / (2 * np.pi) * edge
    positions = body.positions.copy()
    positions[:, :2] = (positions[:, :2] - middle + edge / 2) % edge
    positions[:, :2] -= (positions[:, :2].min(axis=0) + positions[:, :2].max(axis=0)) / 2
    return replace(body, positions=positions)


# --- lines and numbers --------------------------------------------------------------------------


def in_words(defocus: float) -> str:
    return f"{defocus / 10:g} nm defocus" if defocus else "in focus"


def plot(axes: Axes, lines: Lines, second: str = "") -> None:
    """Draw lines over logarithmic axes; those with ``second`` in their name with dashes and open marks."""
    for name, line in lines.items():
        first, _, rest = name.partition(", ")
        is_second = rest == second != ""
        axes.plot(
            list(line),
            list(line.values()),
            color=COLOURS[first],
            marker="o",
            ms=4,
            lw=1.4,
            ls="--" if is_second else "-",
            markerfacecolor="white" if is_second else COLOURS[first],
            label=name,
        )
    axes.set(xscale="log", yscale="log")
    axes.grid(axis="both")


def legend(drawing: Figure, axes: Axes) -> None:
    """The lines of some axes, above all axes."""
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(PARTICLES))


def plain_ticks(panels: Iterable[Axes], places: tuple[float, ...]) -> None:
    """Label the places on the abscissa, and round numbers on a logarithmic ordinate."""
    for axes in panels:
        axes.set_xticks(places, [f"{place:g}" for place in places])
        ordinates = [axes.yaxis] if axes.get_yscale() == "log" else []
        for ordinate in ordinates:
            ordinate.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ordinate.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axis in (axes.xaxis, *ordinates):
            axis.set_minor_locator(NullLocator())


def table(title: str, abscissa: str, lines: Lines) -> None:
    """Print lines as a Markdown table."""
    places = sorted({place for line in lines.values() for place in line})
    print(f"\n{title[0].upper()}{title[1:]}\n\n| {abscissa} | {' | '.join(lines)} |\n|{'---|' * (len(lines) + 1)}")
    for place in places:
        cells = (f"{line[place]:.3g}" if place in line else "" for line in lines.values())
        print(f"| {place:g} | {' | '.join(cells)} |")


FIGURES = {"slices": slices, "sampling": sampling, "phonons": phonons, "padding": padding}


def main(names: list[str]) -> None:
    for name in names or FIGURES:
        FIGURES[name](IMAGES / f"convergence_{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
