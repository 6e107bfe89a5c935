"""Reading masks of micrographs, as experts and editors leave them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.pages import Page, chosen_page, guarded, pages_of
from exitwave.benchmark.remedies import IN_BENCHMARK
from exitwave.errors import MicrographError


def read_mask(path: str | PurePath, image_path: PurePath, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read the expert's mask of a micrograph: two values, the higher one is particle.

    A mask may lie in grey values, in colours, in transparency, where opaque is particle, or in a palette; where more
    than one of these vary, they have to mark the same pixels. The inverting palette of ImageJ, which shows particles
    black, is for the eye alone.

    Parameters
    ----------
    path : path
        The mask.
    image_path : path
        The micrograph it belongs to, named in errors.
    shape : (H, W)
        Shape of the micrograph.

    Raises
    ------
    MicrographError
        If the shapes differ or the mask is not binary, or not one mask.
    """
    path = Path(path)
    page = chosen_page(pages_of(path), None, path, IN_BENCHMARK)
    if page.shape[:2] != tuple(shape):
        raise MicrographError(
            f"mask {path} is {page.size} px, but its micrograph {image_path} is {shape[0]} x {shape[1]} px; "
            "allowed: the same shape"
        )
    return binary(guarded(path, lambda: _channels(page)), str(path))


def binary(channels: Mapping[str, NDArray[Any]], which: str) -> NDArray[np.bool_]:
    """The mask that channels hold: those that vary have two values, and mark the same pixels.

    Parameters
    ----------
    channels : mapping of array [H, W]
        By what is said of them.
    which : str
        Name of the mask, for errors.

    Raises
    ------
    MicrographError
        If they are not binary, or not one mask.
    """
    for values in channels.values():
        if values.dtype.kind not in "buif":
            raise MicrographError(f"mask {which} has values of type {values.dtype}; allowed: real numbers")
        if not np.isfinite(values).all():
            raise MicrographError(
                f"mask {which} has {np.count_nonzero(~np.isfinite(values))} pixels that are NaN or infinite; "
                "allowed: none"
            )
    levels = {name: np.unique(values) for name, values in channels.items()}
    varying = [name for name, found in levels.items() if found.size > 1]
    if not varying:
        shape = next(iter(channels.values())).shape
        return _constant_mask({name: float(found[0]) for name, found in levels.items()}, which, shape)
    for name in varying:
        if (found := levels[name]).size > 2:
            listed = ", ".join(f"{v:g}" for v in found[:6]) + (", ..." if found.size > 6 else "")
            raise MicrographError(
                f"mask {which} has {found.size} different values ({listed}); allowed: two, such as 0 and 1 or 0 and 255"
            )
    marks = {name: np.asarray(channels[name] == levels[name][1]) for name in varying}
    first = varying[0]
    for name in varying[1:]:
        if not np.array_equal(marks[name], marks[first]):
            raise MicrographError(
                f"mask {which} is another one by its {name} than by its {first}; allowed: one mask, of higher values, "
                "brighter and opaque where there are particles"
            )
    return marks[first]


def read_corrected(path: str | PurePath, image_path: PurePath, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a mask as an editor leaves it: as :func:`read_mask` does, or numbered particles on a background of 0.

    Parameters and errors are those of :func:`read_mask`. Edges that were smoothed, and what JPEG makes of a mask, are
    no numbers of particles.
    """
    path = Path(path)
    page = chosen_page(pages_of(path), None, path, IN_BENCHMARK)
    stored = guarded(path, lambda: page.stored)
    if stored.shape == tuple(shape) and path.suffix.lower() not in (".jpg", ".jpeg") and _are_numbers(stored):
        return np.asarray(stored > 0)
    return read_mask(path, image_path, shape)


def _are_numbers(pixels: NDArray[Any]) -> bool:
    """Whether pixels [H, W] are whole numbers, 0 and several others, as of labelled particles."""
    if pixels.dtype.kind not in "uif" or not np.isfinite(pixels).all() or (pixels != np.floor(pixels)).any():
        return False
    values, counts = np.unique(pixels, return_counts=True)
    # The grey edge of a white particle is no other particle.
    smoothed = values[-1] in (255, 65535) and 2 * counts[-1] > counts[1:].sum()
    return len(values) > 2 and values[0] == 0 and not smoothed


def _constant_mask(values: Mapping[str, float], which: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask of one value everywhere: all or nothing is particle."""
    colours = {value for name, value in values.items() if name != "transparency"}
    if colours == {0.0} or (colours and colours <= {1.0, 255.0, 65535.0}):
        return np.full(shape, colours != {0.0})
    raise MicrographError(
        f"mask {which} has one value ({', '.join(f'{v:g}' for v in sorted(colours))}); allowed: two, such as 0 and 1, "
        "or 0, 1 or 255 everywhere"
    )


def _channels(page: Page) -> dict[str, NDArray[Any]]:
    """All that a mask may lie in, by its name, [H, W] each."""
    if page.shown is None:
        return _named_channels(page.stored)
    # ImageJ saves masks with a palette that shows 255, which is particle, black.
    if page.shown.ndim == 1 and np.array_equal(page.shown, np.arange(256)[::-1]):
        return {"values": page.stored}
    return {"values": page.stored, **_named_channels(page.seen())}


def _named_channels(pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if pixels.ndim == 2:
        return {"brightness": pixels}
    colours = ("brightness",) if pixels.shape[-1] < 3 else ("red", "green", "blue")
    return {name: pixels[..., place] for place, name in enumerate((*colours, "transparency")[: pixels.shape[-1]])}
