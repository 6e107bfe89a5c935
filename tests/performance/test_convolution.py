"""Images by convolution: against spread points and a Fourier transform, the dense matrix product, and jarvis-tools."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from ase.build import graphene
from numpy.typing import NDArray
from scipy import fft

from exitwave.config.stem import StemConvolution
from exitwave.images import stem_convolution
from exitwave.imaging.convolution import render
from exitwave.items import Asked
from exitwave.structures.structure import Structure, item_arrays

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SIGMA, PIXEL, SIZE, ATOMS, ROUNDS, IMAGES = 0.5, 0.2, 256, 1046, 9, 50
FloatArray = NDArray[np.float64]


def spread(positions: FloatArray, weights: FloatArray) -> FloatArray:
    """Each atom on the four pixels around it, convolved with the Gaussian by FFT; periodic."""
    x, y = positions.T / PIXEL - 0.5
    left, low = np.floor(x).astype(int), np.floor(y).astype(int)
    image = np.zeros((SIZE, SIZE))
    for i, share_y in ((low, low + 1 - y), (low + 1, y - low)):
        for j, share_x in ((left, left + 1 - x), (left + 1, x - left)):
            np.add.at(image, (i % SIZE, j % SIZE), weights * share_y * share_x / PIXEL**2)
    ky, kx = fft.fftfreq(SIZE, PIXEL), fft.rfftfreq(SIZE, PIXEL)
    blur = np.exp(-2 * np.pi**2 * SIGMA**2 * (ky[:, None] ** 2 + kx**2))
    return np.asarray(fft.irfft2(fft.rfft2(image) * blur, image.shape))


def dense(positions: FloatArray, weights: FloatArray) -> FloatArray:
    """All atoms at all pixels, as a product of matrices."""
    centres = (np.arange(SIZE) + 0.5) * PIXEL
    x, y = (np.exp(-0.5 * ((centres[:, None] - line) / SIGMA) ** 2) for line in positions.T)
    return np.asarray((y * (weights / (2 * np.pi * SIGMA**2))) @ x.T)


def many(image: Callable[[], FloatArray]) -> Callable[[], FloatArray]:
    """As many images as a clock of processor time needs; the last one."""
    return lambda: deque((image() for _ in range(IMAGES)), maxlen=1)[0]


def test_a_stem_image_costs_what_a_convolution_by_fft_does(
    side_by_side: Callable[..., dict[str, Any]],
) -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(3, SIZE * PIXEL - 3, (ATOMS, 2))
    weights = rng.integers(1, 80, ATOMS) ** 1.7
    images = side_by_side(
        f"{IMAGES} STEM images of {SIZE}², {ATOMS} columns",
        many(lambda: render(positions, weights, SIGMA, PIXEL, SIZE)),
        {
            "points on four pixels and FFT": many(lambda: spread(positions, weights)),
            "dense product": many(lambda: dense(positions, weights)),
        },
        rounds=ROUNDS,
    )
    exact = images["dense product"]
    errors = {name: np.abs(image - exact).max() / exact.max() for name, image in images.items()}
    assert errors["ours"] <= 1e-5
    assert errors["points on four pixels and FFT"] > 1e-2


def sheet() -> Structure:
    """Graphene over the image and what reaches into it: about a thousand columns in view."""
    edge = SIZE * PIXEL + 8
    cell = graphene(vacuum=8)
    wide = cell.repeat((60, 60, 1))
    flat = wide.positions[:, :2] - wide.positions[:, :2].mean(axis=0) + edge / 2
    inside = ((flat >= 0) & (flat < edge)).all(axis=1)
    positions = np.column_stack([flat[inside], np.full(inside.sum(), 8.0)])
    number, cell_edges = len(positions), np.array([edge, edge, 16.0])
    atoms = np.full(number, 6, np.uint8)
    return Structure(positions, atoms, np.ones(number, np.uint8), cell_edges, *np.zeros((2, number), np.uint8), False)


def with_jarvis() -> Callable[[], FloatArray]:
    """The same sheet by jarvis-tools, which repeats the cell itself."""
    from jarvis.analysis.stem.convolution_apprx import STEMConv
    from jarvis.core.atoms import Atoms

    cell = graphene(vacuum=8)
    held = Atoms(
        lattice_mat=cell.cell.array, coords=cell.get_scaled_positions(), elements=["C"] * len(cell), cartesian=False
    )
    microscope = STEMConv(output_size=[SIZE, SIZE], gaussian_width=SIGMA)
    return lambda: np.asarray(microscope.simulate_surface(held, px_scale=PIXEL)[0])


@pytest.mark.skipif(find_spec("jarvis") is None, reason="jarvis-tools is not installed")
def test_an_image_of_a_sheet_beside_jarvis_tools(
    side_by_side: Callable[..., dict[str, Any]],
) -> None:
    structure = sheet()
    positions, weights = structure.positions[:, :2], structure.numbers**1.7
    in_view = ((positions >= 4) & (positions < 4 + SIZE * PIXEL)).all(axis=1).sum()
    block = StemConvolution(
        kind="stem_convolution", structures="sheet", pixel_size=PIXEL, size=SIZE, probe_sigma=SIGMA, dose=1e5
    )
    row = {"periodic": 0, "cell_height": 16.0}
    asked = Asked(0, (np.random.default_rng(0),), row, {"structures": item_arrays(structure)})

    def counted() -> FloatArray:
        (item,) = stem_convolution.make(block, [asked])
        return np.asarray(item.arrays["counts"].values)

    images = side_by_side(
        f"{IMAGES} STEM images of {SIZE}², {in_view} columns of graphene",
        many(lambda: render(positions, weights, SIGMA, PIXEL, SIZE, [4.0, 4.0])),
        {"ours, with Poisson counts and a row": many(counted), "jarvis-tools": many(with_jarvis())},
        rounds=3,
    )
    exact = dense(positions - 4, weights)
    assert np.abs(images["ours"] - exact).max() <= 1e-5 * exact.max()
    assert images["jarvis-tools"].shape == exact.shape
