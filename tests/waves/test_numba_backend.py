"""The numba backend against the same operations written out in NumPy, in double precision and on the whole grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exitwave.errors import ConfigError
from exitwave.waves import panels
from exitwave.waves.backend import Deposit
from exitwave.waves.numba_backend import NumbaBackend

TRANSFORM_ERROR = 5e-7
TERM = tuple[NDArray[np.float32], list[Deposit]]


class Reference:
    """The operations on whole grids [batch, N, N] in double precision."""

    def __init__(self, size: int, support: int, aperture: NDArray[np.float32]) -> None:
        half = size // 3
        self.size, self.support = size, support
        self.kept = np.ix_(np.r_[:half, size - half : size], np.r_[:half, size - half : size])
        self.aperture = aperture.astype(float)

    def potentials(self, terms: Sequence[TERM]) -> NDArray[np.complex128]:
        total = np.zeros((len(terms[0][1]), self.size, self.size), complex)
        for factor, deposits in terms:
            for grid, atoms in zip(total, deposits, strict=True):
                grid += np.fft.fft2(self.deposited(atoms)) * factor
        return np.fft.ifft2(total)

    def deposited(self, atoms: Deposit) -> NDArray[np.complex128]:
        grid = np.zeros((self.size, self.size), complex)
        points = np.arange(self.size)
        for (x, y), weight in zip(atoms.pixels, atoms.weights, strict=True):
            grid += weight * np.outer(self.share(points - y), self.share(points - x))
        return grid

    def share(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        nearest = (distance + self.size / 2) % self.size - self.size / 2
        if self.support == 2:
            return np.maximum(0, 1 - abs(nearest))
        beta, z = 0.97 * np.pi * 4 * (1 - 1 / 3), nearest / 2
        return np.where(abs(z) <= 1, np.exp(beta * (np.sqrt(np.maximum(0, 1 - z**2)) - 1)), 0)

    def band(self, grid: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return np.fft.fft2(grid, norm="forward")[..., self.kept[0], self.kept[1]]

    def grid(self, band: NDArray[np.complex64]) -> NDArray[np.complex128]:
        spectrum = np.zeros((*band.shape[:-2], self.size, self.size), complex)
        spectrum[..., self.kept[0], self.kept[1]] = band
        return np.fft.ifft2(spectrum, norm="forward")

    def transmission(self, potentials: NDArray[np.complex128], second: bool, limited: bool) -> NDArray[np.complex128]:
        transmission = np.exp(1j * (potentials.imag if second else potentials.real))
        return self.grid(self.band(transmission) * self.aperture) if limited else transmission


def relative_error(found: NDArray[np.complex64], expected: NDArray[np.complex128]) -> float:
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def complex_noise(rng: np.random.Generator, *shape: int) -> NDArray[np.complex64]:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def soft_aperture(size: int) -> NDArray[np.float32]:
    k = np.fft.fftfreq(2 * size // 3)
    return np.clip(5 - 10 * np.hypot(k[:, None], k), 0, 1).astype(np.float32)


def some_terms(rng: np.random.Generator, size: int, batch: int = 1, atoms: int = 50) -> list[TERM]:
    k = np.fft.fftfreq(size)
    return [
        (
            np.exp(-width * (k[:, None] ** 2 + k**2)).astype(np.float32),
            # Some of them beyond the edges of the periodic grid.
            [Deposit(rng.uniform(-size, 2 * size, (atoms, 2)), complex_noise(rng, atoms)) for _ in range(batch)],
        )
        for width in (10.0, 30.0)
    ]


def both(size: int, support: int = 2) -> tuple[NumbaBackend, Reference]:
    aperture = soft_aperture(size)
    return NumbaBackend(size, support, aperture), Reference(size, support, aperture)  # type: ignore[arg-type]


def on_host(backend: NumbaBackend, size: int, grid: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """A grid of the backend as [batch, y, x]."""
    places = panels.plan(size).places
    columns = panels.unpanelled(grid, size)  # [batch, x, y], both in the order of the transforms
    return columns.swapaxes(-1, -2)[..., places[:, None], places]


def plane_wave(backend: NumbaBackend, transmission: NDArray[np.complex64], size: int) -> NDArray[np.complex64]:
    everything = backend.propagator(np.ones((2 * size // 3,) * 2, np.complex64))
    return backend.transmit(None, transmission, everything)


@pytest.mark.parametrize("support", [2, 4])
@pytest.mark.parametrize("size", [48, 75, 150, 384])
def test_potentials_are_those_of_a_direct_sum_over_the_atoms(size: int, support: int) -> None:
    backend, reference = both(size, support)
    terms = some_terms(np.random.default_rng(size), size, batch=2)
    expected = reference.potentials(terms)
    found = backend.potentials([(backend.factor(factor), deposits) for factor, deposits in terms])
    assert relative_error(on_host(backend, size, found), expected) < TRANSFORM_ERROR
    assert found.shape[0] == 2


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("size", [96, 231])
def test_transmission_is_the_exponential_of_one_of_two_slices(size: int, second: bool, limited: bool) -> None:
    backend, reference = both(size)
    terms = some_terms(np.random.default_rng(size), size)
    potentials = backend.potentials([(backend.factor(factor * 20), deposits) for factor, deposits in terms])
    expected = reference.transmission(on_host(backend, size, potentials).astype(complex), second, limited)
    found = on_host(backend, size, backend.transmission(potentials, second, limited))
    assert relative_error(found, expected) < TRANSFORM_ERROR


def test_transmission_is_as_exact_as_single_precision_for_strong_potentials() -> None:
    size = 48
    backend, _ = both(size)
    phases = np.linspace(-300, 300, size * size, dtype=np.float32).reshape(size, size)
    potentials = panels.panelled(phases.astype(np.complex64))[None]
    found = panels.unpanelled(backend.transmission(potentials, second=False, limited=False), size)[0]
    assert np.max(abs(found - np.exp(1j * phases.astype(float)))) < 2e-7


@settings(max_examples=25, deadline=None)
@given(size=st.integers(16, 134).map(lambda n: 3 * n).filter(NumbaBackend.supports), seed=st.integers(0, 2**32 - 1))
def test_a_wave_passes_a_slice_as_through_whole_transforms_of_any_size(size: int, seed: int) -> None:
    backend, reference = both(size)
    rng = np.random.default_rng(seed)
    band = 2 * (size // 3)
    terms = some_terms(rng, size, atoms=5)
    grid = backend.transmission(
        backend.potentials([(backend.factor(f), deposits) for f, deposits in terms]), second=False, limited=False
    )
    transmission = on_host(backend, size, grid)
    first, then = (np.exp(1j * rng.uniform(0, 6, (band, band))).astype(np.complex64) for _ in range(2))
    wave = backend.transmit(None, grid, backend.propagator(first))
    expected = reference.band(transmission) * first
    assert relative_error(backend.to_host(wave), expected) < TRANSFORM_ERROR
    wave = backend.transmit(wave, grid, backend.propagator(then))
    expected = reference.band(reference.grid(expected) * transmission) * then
    assert relative_error(backend.to_host(wave), expected) < 2 * TRANSFORM_ERROR


@pytest.mark.parametrize("size", [48, 75, 96, 99, 150, 192, 231, 384, 390, 480, 768])
def test_a_band_returns_from_the_empty_grid_unchanged(size: int) -> None:
    backend, _ = both(size)
    band = (2 * size // 3,) * 2
    values = complex_noise(np.random.default_rng(0), 1, *band)
    nothing = Deposit(np.empty((0, 2)), np.empty(0, np.complex64))
    empty = backend.potentials([(backend.factor(np.ones((size, size), np.float32)), [nothing])])
    vacuum = backend.transmission(empty, second=False, limited=False)
    wave = backend.transmit(panels.panelled(values), vacuum, backend.propagator(np.ones(band, np.complex64)))
    assert relative_error(backend.to_host(wave), values.astype(complex)) < TRANSFORM_ERROR


def test_the_plane_wave_is_one_at_frequency_zero() -> None:
    backend, _ = both(96)
    grid = np.ones((1, -(-96 // panels.LANES), 96, panels.LANES), np.complex64)
    found = backend.to_host(plane_wave(backend, grid, 96))
    expected = np.zeros((1, 64, 64))
    expected[0, 0, 0] = 1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_space_is_crossed_by_a_product_with_the_propagator() -> None:
    backend, _ = both(96)
    rng = np.random.default_rng(2)
    values, propagator = complex_noise(rng, 2, 64, 64), complex_noise(rng, 64, 64)
    found = backend.to_host(backend.propagate(panels.panelled(values), backend.propagator(propagator)))
    np.testing.assert_allclose(found, values * propagator, rtol=1e-5, atol=1e-6)


def test_members_of_a_batch_do_not_know_of_each_other() -> None:
    size = 96
    backend, _ = both(size, 4)
    rng = np.random.default_rng(3)
    terms = [(backend.factor(factor), deposits) for factor, deposits in some_terms(rng, size, batch=3)]

    def waves(chosen: slice) -> NDArray[np.complex64]:
        potentials = backend.potentials([(factor, deposits[chosen]) for factor, deposits in terms])
        transmission = backend.transmission(potentials, second=True, limited=True)
        everything = backend.propagator(np.ones((64, 64), np.complex64))
        return backend.to_host(backend.transmit(plane_wave(backend, transmission, size), transmission, everything))

    together = waves(slice(3))
    for member in range(3):
        np.testing.assert_array_equal(together[member], waves(slice(member, member + 1))[0])


def test_the_same_input_gives_the_same_bits_whatever_was_done_before() -> None:
    size = 150
    rng = np.random.default_rng(4)
    terms = some_terms(rng, size)

    def wave(backend: NumbaBackend) -> NDArray[np.complex64]:
        potentials = backend.potentials([(backend.factor(factor), deposits) for factor, deposits in terms])
        transmission = backend.transmission(potentials, second=False, limited=True)
        everything = backend.propagator(np.ones((100, 100), np.complex64))
        return backend.to_host(backend.transmit(plane_wave(backend, transmission, size), transmission, everything))

    used = both(size)[0]
    other = [(used.factor(f * np.float32(np.nan)), deposits) for f, deposits in some_terms(rng, size)]
    plane_wave(used, used.transmission(used.potentials(other), second=True, limited=True), size)
    np.testing.assert_array_equal(wave(used), wave(both(size)[0]))


@pytest.mark.parametrize("support", [2, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_atom_that_is_nowhere_spoils_the_wave(support: int, bad: float) -> None:
    size = 96
    backend, _ = both(size, support)
    factor, deposits = some_terms(np.random.default_rng(5), size)[0]
    deposits[0].pixels[7, 1] = bad
    potentials = backend.potentials([(backend.factor(factor), deposits)])
    transmission = backend.transmission(potentials, second=False, limited=False)
    assert not np.isfinite(backend.to_host(plane_wave(backend, transmission, size))).any()


@pytest.mark.parametrize("size", [51, 100])
def test_a_grid_that_there_are_no_transforms_for_is_refused(size: int) -> None:
    assert not NumbaBackend.supports(size)
    with pytest.raises(ConfigError, match=f"simulation grid is {size} px; allowed: multiples of 3"):
        NumbaBackend(size, 2, np.ones((2 * size // 3,) * 2, np.float32))


def test_compiled_code_is_not_kept_when_the_modules_that_write_it_change() -> None:
    """numba keys its cache on what a function takes from around it, beside its own module."""
    for function in (panels.along_x, panels.along_y, panels.exponential, panels.deposit):
        assert panels._text_of_kernels() in [cell.cell_contents for cell in function.py_func.__closure__]
