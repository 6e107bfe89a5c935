"""Reading micrographs and their calibration, as grey images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.masks import read_mask
from exitwave.benchmark.pages import Page, chosen_page, guarded, pages_of
from exitwave.benchmark.reading import in_words
from exitwave.benchmark.remedies import IN_BENCHMARK, Remedies
from exitwave.benchmark.sidecars import FILE, GIVEN, SIDECAR, Sidecar, sidecar_beside
from exitwave.data.strips import strips
from exitwave.errors import MicrographError

SMALLEST_EDGE = 32
"""Below this edge [px] a micrograph gives a network of five downsampling stages less than one pixel to decide on."""

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Share of red, green and blue in the brightness: ITU-R BT.601, as Pillow has it."""

PLAUSIBLE_PIXEL = (1e-2, 1e4)
"""Pixel sizes outside this range [Å] are no calibration of a transmission electron micrograph."""

LARGEST_VALUE = 1e12
"""No camera counts beyond; sums of the squares of larger numbers leave single precision."""


@dataclass(frozen=True)
class Micrograph:
    """A micrograph, calibrated, with the expert's mask where there is one."""

    name: str
    image: NDArray[np.float32]
    """[H, W], in the units of the file."""
    mask: NDArray[np.bool_] | None
    """[H, W], true on particles."""
    pixel_size: float
    """[Å]"""
    group: str
    """Those of one group, such as images of one file, are not independent of each other."""
    page: int
    """Which image of its file it is, counted from 1."""
    warnings: tuple[str, ...] = ()
    """What makes it doubtful, each in words that go on after its name."""
    pixel_from: str = GIVEN
    """Where the pixel is from: given, sidecar or file."""
    convention: str = ""
    """What the expert has marked; empty where nobody says so."""


@dataclass(frozen=True)
class MicrographFile:
    """A file with one micrograph or several, of which each is read when it is asked for."""

    path: Path
    pages: Sequence[Page]

    def read(
        self, pixel_size: float | None = None, page: int | None = None, remedies: Remedies = IN_BENCHMARK
    ) -> Micrograph:
        """Read one; see :func:`read_micrograph`."""
        path, found = self.path, chosen_page(self.pages, page, self.path, remedies)
        # A copy, lest a file of many images is kept in memory image by image.
        pixels, told = guarded(path, lambda: _gray(replace(found), path))
        name = str(path) if len(self.pages) == 1 else f"{path}, image {page},"
        finite = all(np.isfinite(pixels[rows]).all() for rows in strips(pixels.shape))
        if not finite:
            number = np.count_nonzero(~np.isfinite(pixels))
            raise MicrographError(f"{name} has {number} pixels that are NaN or infinite; allowed: none")
        if min(pixels.shape) < SMALLEST_EDGE:
            raise MicrographError(f"{name} is {found.size} px; allowed: {SMALLEST_EDGE} px or more along both edges")
        if (largest := max(float(pixels.max()), -float(pixels.min()))) > LARGEST_VALUE:
            raise MicrographError(f"{name} has values as large as {largest:g}; allowed: up to {LARGEST_VALUE:g}")
        size, source, doubts = self._pixel(found, pixel_size)
        if size is None:
            raise MicrographError(f"{name} {found.doubt or 'has no pixel size'}; {remedies.pixel_size}")
        if not PLAUSIBLE_PIXEL[0] <= size <= PLAUSIBLE_PIXEL[1]:
            raise MicrographError(
                f"{name} has the pixel size {size:g} Å; allowed: {PLAUSIBLE_PIXEL[0]:g} to {PLAUSIBLE_PIXEL[1]:g} Å; "
                f"{remedies.pixel_size}"
            )
        image = np.asarray(pixels, np.float32)
        return Micrograph(path.stem, image, None, float(size), str(path), page or 1, (*told, *doubts), source)

    def _pixel(self, page: Page, given: float | None) -> tuple[float | None, str, tuple[str, ...]]:
        """Pixel of an image [Å], where it is from, and what contradicts it."""
        if given is not None:
            return given, GIVEN, ()
        if self.sidecar is not None:
            size, doubts = self.sidecar.pixel(page.shape, [each.shape for each in self.pages], page.pixel_size)
            if size is not None:
                return size, SIDECAR, doubts
        return page.pixel_size, FILE, ()

    @cached_property
    def sidecar(self) -> Sidecar | None:
        """What stands beside it, read when it is first needed."""
        return sidecar_beside(self.path)


def open_micrographs(path: str | PurePath) -> MicrographFile:
    """Find out what images a file holds, without reading more of them than has to be.

    Raises
    ------
    MicrographError
        If the file cannot be read.
    """
    path = Path(path)
    return MicrographFile(path, pages_of(path))


def read_micrograph(
    path: str | PurePath,
    pixel_size: float | None = None,
    mask_path: str | PurePath | None = None,
    page: int | None = None,
) -> Micrograph:
    """Read one micrograph.

    Colours become grey, with a warning unless they are equal; transparency is ignored.

    Parameters
    ----------
    path : path
        DM3, DM4, EMD, SER, EMI, MRC, HSPY, HDF5 of HyperSpy, TIFF, PNG, JPEG, BMP or NPY file.
    pixel_size : float, optional
        Pixel [Å]; goes before what a sidecar says, which goes before the file.
    mask_path : path, optional
        Image of the same shape with two values, of which the higher is particle.
    page : int, optional
        Which image of the file, counted from 1; needed where it holds several.

    Raises
    ------
    MicrographError
        If the file cannot be read, does not hold the one image meant, this is not finite and of sufficient size, has
        no pixel size, or does not fit its mask.
    """
    micrograph = open_micrographs(path).read(pixel_size, page)
    if mask_path is None:
        return micrograph
    return replace(micrograph, mask=read_mask(mask_path, Path(path), micrograph.image.shape))


def _gray(page: Page, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Two-dimensional real image, and warnings."""
    pixels, told = page.seen(), []
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 3, 4):
        count = pixels.shape[-1]
        # An even number of channels ends with transparency, which is no part of the image.
        if count % 2 == 0 and (pixels[..., -1] != pixels[0, 0, -1]).any():
            told.append("parts of it are transparent, which is ignored")
        colors = pixels[..., : count - (count % 2 == 0)]
        if all((colors[rows] == colors[rows, :, :1]).all() for rows in strips(colors.shape)):
            pixels = colors[..., 0]
        else:
            told.append("it is a colour image, of which the brightness is taken; false colours have none that counts")
            pixels = np.empty(colors.shape[:2], np.float32)
            for rows in strips(pixels.shape):
                pixels[rows] = colors[rows] @ LUMINANCE
    if pixels.ndim != 2:
        raise MicrographError(f"{path} has {pixels.ndim} dimensions ({in_words(pixels.shape)}); allowed: 2")
    if pixels.dtype.kind not in "buif":
        raise MicrographError(f"{path} has values of type {pixels.dtype}; allowed: real numbers")
    return pixels, tuple(told)
