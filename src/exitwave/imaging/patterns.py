"""Diffraction patterns of a convergent beam from the scattering matrix of a crystal.

The wave in the diffraction plane is the sum of the disks of all beams,

    ψ(q) = Σ_g A(k) exp(-i χ(k)) exp(-2 π i k·r₀) S_g(k),     k = q - g,

with the aperture A, the phase χ of the lens and the place r₀ of the probe. Disks lie at any place between pixels, so
that S_g, known for tilts on a grid, is interpolated for each pixel of each disk, with four points along an axis (R. G.
Keys, IEEE Trans. ASSP 29 (1981) 1153). Its phase turns by ``-π λ t g·k`` in the mean of the thickness t, too fast for
that where g is large; so that phase is taken off before and put on again after.

Lenses that distort a pattern act on the places at which the wave is computed: no pattern is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.imaging.aperture import FINE

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """How directions come to be places in a pattern.

    Attributes
    ----------
    size : int
        Edge of the square pattern [px].
    sampling : float
        Pixel [1/Å].
    shift : tuple of float
        Place of the direct beam off the middle, which is at ``size // 2`` (x, y) [px].
    ellipticity : float
        Difference of the axes over their mean.
    angle : float
        Angle of the longer axis to x, towards y [rad].
    """

    size: int
    sampling: float
    shift: tuple[float, float] = (0.0, 0.0)
    ellipticity: float = 0.0
    angle: float = 0.0

    @property
    def distortion(self) -> FloatArray:
        """Symmetric matrix [2, 2] that takes directions (x, y) to places [px Å]."""
        axis = np.array([np.cos(self.angle), np.sin(self.angle)])
        along, across = 1 + self.ellipticity / 2, 1 - self.ellipticity / 2
        return np.asarray((across * np.eye(2) + (along - across) * np.outer(axis, axis)) / self.sampling)

    def places(self, q: FloatArray) -> FloatArray:
        """Places (x, y) [n, 2] [px] of directions [n, 2] [1/Å]."""
        return np.asarray(q @ self.distortion + self.size // 2 + np.array(self.shift))

    def centred(self) -> Geometry:
        """The same without shift, for the vacuum probe."""
        return Geometry(self.size, self.sampling, (0.0, 0.0), self.ellipticity, self.angle)


@dataclass(frozen=True, eq=False)
class Optics:
    """What forms the probe.

    Attributes
    ----------
    table : float32 [2 n + 1, 2 n + 1]
        Aperture, as from :func:`exitwave.imaging.aperture.aperture_table`.
    wavelength : float
        [Å].
    defocus : float
        [Å]; positive is underfocus.
    position : tuple of float, optional
        Place of the probe (x, y) [Å]; none: everywhere, so that beams do not interfere.
    """

    table: NDArray[np.float32]
    wavelength: float
    defocus: float = 0.0
    position: tuple[float, float] | None = (0.0, 0.0)

    @property
    def radius(self) -> float:
        """Radius of a disk of the area of the aperture [px]."""
        return float(np.sqrt(self.table.sum(dtype=np.float64) / np.pi) / FINE)


@dataclass(frozen=True, eq=False)
class Disks:
    """The scattering matrix of a crystal at one thickness.

    Attributes
    ----------
    amplitudes : complex64 [beam, n, n]
        On the grid of tilts (y, x), with the phase ``-π λ t g·k`` taken off; 0 where none is known.
    g : float64 [beam, 3]
        [1/Å].
    step : float
        Step of the grid [1/Å].
    thickness : float
        [Å].
    """

    amplitudes: NDArray[np.complex64]
    g: FloatArray
    step: float
    thickness: float


def disks_of(
    amplitudes: NDArray[np.complex64],
    tilts: NDArray[np.int16],
    g: FloatArray,
    step: float,
    thickness: float,
    wavelength: float,
) -> Disks:
    """Disks of a crystal, ready for :func:`render`.

    Parameters
    ----------
    amplitudes : complex64 [beam, tilt]
        Scattering matrix at one thickness.
    tilts : int16 [tilt, (y, x)]
        In steps.
    g : float64 [beam, 3]
        Reciprocal lattice vectors in the frame of the beam [1/Å].
    step : float
        [1/Å].
    thickness : float
        [Å].
    wavelength : float
        [Å].
    """
    edge = int(np.abs(tilts).max())
    grid = np.zeros((len(g), 2 * edge + 1, 2 * edge + 1), np.complex64)
    # exp(i π λ t g·k) is a product of a factor of k_y and one of k_x.
    turns = np.pi * wavelength * thickness * step * np.arange(-edge, edge + 1)
    along_x, along_y = (np.exp(1j * np.outer(g[:, axis], turns)).astype(np.complex64) for axis in (0, 1))
    y, x = tilts[:, 0] + edge, tilts[:, 1] + edge
    grid[:, y, x] = amplitudes * along_y[:, y] * along_x[:, x]
    return Disks(grid, g, step, thickness)


def render(disks: Disks, geometry: Geometry, optics: Optics) -> NDArray[np.float32]:
    """Share of the electrons in each pixel.

    Parameters
    ----------
    disks : Disks
    geometry : Geometry
    optics : Optics

    Returns
    -------
    float32 [y, x]
        Sums up to 1 less what falls beside the pattern, to a few thousandths where disks interfere.
    """
    wave = np.zeros((geometry.size, geometry.size), np.complex64)
    intensity = np.zeros((geometry.size, geometry.size), np.float32)
    position = (0.0, 0.0) if optics.position is None else optics.position
    _add_disks(
        wave,
        intensity,
        disks.amplitudes,
        disks.g,
        geometry.places(disks.g[:, :2]),
        np.linalg.inv(geometry.distortion),
        optics.table,
        geometry.sampling / FINE,
        len(optics.table) / 2 / FINE * (1 + geometry.ellipticity / 2) + 1,
        disks.step,
        disks.thickness,
        optics.wavelength,
        optics.defocus,
        np.array(position),
        optics.position is not None,
    )
    if optics.position is not None:
        intensity = wave.real**2 + wave.imag**2
    return intensity / np.float32(vacuum_sum(geometry, optics))


def vacuum_probe(geometry: Geometry, optics: Optics) -> NDArray[np.float32]:
    """Share of the electrons in each pixel without a specimen, centred on the pattern [y, x]."""
    one = Disks(np.ones((1, 1, 1), np.complex64), np.zeros((1, 3)), 1.0, 0.0)
    edge = len(optics.table) // FINE
    grid = np.ones((1, 2 * edge + 9, 2 * edge + 9), np.complex64)
    return render(Disks(grid, one.g, geometry.sampling, 0.0), geometry.centred(), optics)


def vacuum_sum(geometry: Geometry, optics: Optics) -> float:
    """Area of the aperture in the pattern [px]."""
    stretched = np.linalg.det(geometry.distortion) * geometry.sampling**2
    return float(optics.table.sum(dtype=np.float64) / FINE**2 * stretched)


def disk_intensities(disks: Disks, table: NDArray[np.float32], sampling: float) -> NDArray[np.float64]:
    """Share of the electrons in the disk of each beam, without the others [beam].

    Parameters
    ----------
    disks : Disks
    table : float32 [2 n + 1, 2 n + 1]
        Aperture.
    sampling : float
        Pixel of the pattern [1/Å], of which the table has `FINE` points.
    """
    edge, half = disks.amplitudes.shape[-1] // 2, len(table) // 2
    places = np.rint(np.arange(-edge, edge + 1) * disks.step / sampling * FINE).astype(int) + half
    inside = (places >= 0) & (places < len(table))
    weight = np.zeros((2 * edge + 1, 2 * edge + 1))
    weight[np.ix_(inside, inside)] = table[np.ix_(places[inside], places[inside])]
    powers = np.abs(disks.amplitudes) ** 2
    return np.asarray(np.einsum("byx,yx->b", powers, weight) / weight.sum())


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_disks(
    wave: NDArray[np.complex64],
    intensity: NDArray[np.float32],
    amplitudes: NDArray[np.complex64],
    g: FloatArray,
    places: FloatArray,
    inverse: FloatArray,
    table: NDArray[np.float32],
    fine: float,
    radius: float,
    step: float,
    thickness: float,
    wavelength: float,
    defocus: float,
    position: FloatArray,
    coherent: bool,
) -> None:
    """Add the disks of all beams to the wave, or their intensities to the intensity."""
    size, n, half = len(wave), amplitudes.shape[-1], len(table) // 2
    middle = n // 2
    for beam in range(len(g)):
        first_x, last_x = max(0, int(places[beam, 0] - radius)), min(size - 1, int(places[beam, 0] + radius) + 1)
        first_y, last_y = max(0, int(places[beam, 1] - radius)), min(size - 1, int(places[beam, 1] + radius) + 1)
        linear_x, linear_y = np.pi * wavelength * thickness * g[beam, 0], np.pi * wavelength * thickness * g[beam, 1]
        constant = 2 * np.pi * g[beam, 2] * thickness
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                px, py = x - places[beam, 0], y - places[beam, 1]
                kx = inverse[0, 0] * px + inverse[0, 1] * py
                ky = inverse[1, 0] * px + inverse[1, 1] * py
                tx, ty = kx / fine + half, ky / fine + half
                ix, iy = int(np.floor(tx)), int(np.floor(ty))
                if ix < 0 or iy < 0 or ix >= 2 * half or iy >= 2 * half:
                    continue
                fx, fy = tx - ix, ty - iy
                opened = (table[iy, ix] * (1 - fx) + table[iy, ix + 1] * fx) * (1 - fy) + (
                    table[iy + 1, ix] * (1 - fx) + table[iy + 1, ix + 1] * fx
                ) * fy
                if opened <= 0:
                    continue
                ux, uy = kx / step + middle, ky / step + middle
                jx, jy = int(np.floor(ux)), int(np.floor(uy))
                fx, fy = ux - jx, uy - jy
                # Keys' cubic convolution with a = -1/2.
                wx = (
                    ((-0.5 * fx + 1.0) * fx - 0.5) * fx,
                    (1.5 * fx - 2.5) * fx * fx + 1.0,
                    ((-1.5 * fx + 2.0) * fx + 0.5) * fx,
                    (0.5 * fx - 0.5) * fx * fx,
                )
                wy = (
                    ((-0.5 * fy + 1.0) * fy - 0.5) * fy,
                    (1.5 * fy - 2.5) * fy * fy + 1.0,
                    ((-1.5 * fy + 2.0) * fy + 0.5) * fy,
                    (0.5 * fy - 0.5) * fy * fy,
                )
                re, im = 0.0, 0.0
                for i in range(4):
                    row = jy + i - 1
                    if row < 0 or row >= n:
                        continue
                    for j in range(4):
                        column = jx + j - 1
                        if column < 0 or column >= n:
                            continue
                        weight = wy[i] * wx[j]
                        value = amplitudes[beam, row, column]
                        re += weight * value.real
                        im += weight * value.imag
                if not coherent:
                    intensity[y, x] += opened * (re * re + im * im)
                    continue
                phase = (
                    constant
                    - linear_x * kx
                    - linear_y * ky
                    - np.pi * wavelength * (thickness - defocus) * (kx * kx + ky * ky)
                    - 2 * np.pi * (kx * position[0] + ky * position[1])
                )
                scale, c, s = np.sqrt(opened), np.cos(phase), np.sin(phase)
                wave[y, x] += np.complex64(complex(scale * (re * c - im * s), scale * (re * s + im * c)))
