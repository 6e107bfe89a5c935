"""Stacks of images, or of their masks, in HDF5: found by name and shape, and read one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import check_hdf5, check_images
from exitwave.benchmark.reading import failures_told, in_words
from exitwave.errors import MicrographError

IMAGES = ("images", "image")
"""Names of datasets that hold images, in the files that groups publish."""
MASKS = ("maps", "map", "masks", "mask", "labels", "label")
"""Names of datasets that hold their masks."""


@dataclass(frozen=True)
class Stack:
    """A dataset of HDF5 that holds images or masks of one size.

    Attributes
    ----------
    path : path
    key : str
        Of the dataset.
    shape : tuple of int
        (n, H, W), whatever else the dataset has.
    channels : int, optional
        Place of the axis of channels in the dataset; none where it has none.
    classes : int
        Number of channels: 1, or 2 of masks that give background and particle one each.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    channels: int | None
    classes: int

    def __len__(self) -> int:
        return self.shape[0]

    def name(self, place: int) -> str:
        """Of one of them, counted from 0 as h5py does; it stays the same whatever else is read."""
        return f"{self.path.name}[{place}]"

    def read(self, place: int) -> NDArray[Any]:
        """One of them, counted from 0: [H, W], or [H, W, 2] of masks of two classes.

        Raises
        ------
        MicrographError
            If it cannot be read.
        """
        import h5py

        with failures_told(self.path, MicrographError), h5py.File(self.path, "r") as file:
            dataset = file[self.key]
            values = np.asarray(dataset[()] if dataset.ndim == 2 else dataset[place])
        if self.channels is None:
            return values
        last = np.moveaxis(values, self.channels - 1, -1)
        return last if self.classes > 1 else last[..., 0]


def open_stack(path: Path, key: str | None, names: Sequence[str], classes: Sequence[int] = (1,)) -> Stack:
    """Find a stack in a file of HDF5.

    Parameters
    ----------
    path : path
    key : str, optional
        Of the dataset. Else it is the only one of these names, or the only one there is.
    names : sequence of str
        Names that it may have, in any group.
    classes : sequence of int
        Numbers of channels that it may have.

    Returns
    -------
    Stack
        Of a dataset [n, H, W], [n, H, W, c], [n, c, H, W], or [H, W], which is a stack of one.

    Raises
    ------
    MicrographError
        If there is no such file or dataset, several may be meant, or it has no such shape, or no real numbers.
    """
    import h5py

    _check_file(path)
    with failures_told(path, MicrographError):
        check_hdf5(path)
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {}
            file.visititems(lambda name, item: found.update({name: item} if _is_array(item) else {}))
            shapes = {name: tuple(map(int, item.shape)) for name, item in found.items()}
            dtypes = {name: item.dtype for name, item in found.items()}
    chosen = _chosen(path, shapes, key, names)
    if dtypes[chosen].kind not in "buif":
        raise MicrographError(f"{path} has in '{chosen}' values of type {dtypes[chosen]}; allowed: real numbers")
    stack = _laid_out(path, chosen, shapes[chosen], classes)
    check_images(path, len(stack))
    return stack


def read_names(path: Path, key: str) -> list[str]:
    """Values of a dataset of one dimension, as text.

    Raises
    ------
    MicrographError
        If there is no such dataset.
    """
    import h5py

    _check_file(path)
    with failures_told(path, MicrographError), h5py.File(path, "r") as file:
        dataset = file.get(key)
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
            raise MicrographError(f"{path} has no dataset '{key}' of one dimension; needed: one value for each image")
        values = dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]
    return [str(value) for value in values]


def _check_file(path: Path) -> None:
    """Say in words what HDF5 says in its own."""
    import h5py

    if not path.is_file():
        raise MicrographError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; needed: a file of HDF5")
    if not h5py.is_hdf5(path):
        raise MicrographError(f"{path} is no file of HDF5, or its beginning is damaged; allowed: HDF5")
    try:
        h5py.File(path, "r").close()
    except OSError as error:
        if "truncated" in str(error):
            raise MicrographError(
                f"{path} is cut off: it has {path.stat().st_size:,} bytes, fewer than it says; fetch it again"
            ) from error
        raise MicrographError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _is_array(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and item.shape is not None and item.ndim > 1


def _chosen(path: Path, shapes: dict[str, tuple[int, ...]], key: str | None, names: Sequence[str]) -> str:
    """Key of the dataset that is meant."""
    held = ", ".join(f"'{name}' ({in_words(shape)})" for name, shape in list(shapes.items())[:8])
    held = f"it has {held}{', ...' if len(shapes) > 8 else ''}" if held else "it has none of two dimensions or more"
    if key is not None:
        if key.strip("/") not in shapes:
            raise MicrographError(f"{path} has no array '{key}'; {held}")
        return key.strip("/")
    called = [name for name in shapes if name.rpartition("/")[2].lower() in names]
    deep = [name for name, shape in shapes.items() if len(shape) > 2] or list(shapes)
    for candidates in (called, deep):
        if len(candidates) == 1:
            return candidates[0]
    several = "several arrays" if called else "no array"
    raise MicrographError(
        f"{path} has {several} of the name {' or '.join(names)}; {held}; allowed: one, or "
        "in a benchmark the one that its hdf5 names"
    )


def _laid_out(path: Path, key: str, shape: tuple[int, ...], classes: Sequence[int]) -> Stack:
    """The stack that a dataset of a shape is."""
    if 0 in shape:
        raise MicrographError(f"{path} has '{key}' of {in_words(shape)}, without a pixel; allowed: images")
    if len(shape) == 2:
        return Stack(path, key, (1, shape[0], shape[1]), None, 1)
    if len(shape) == 3:
        return Stack(path, key, (shape[0], shape[1], shape[2]), None, 1)
    if len(shape) == 4:
        for channels, (height, width) in ((3, (1, 2)), (1, (2, 3))):
            if shape[channels] in classes:
                return Stack(path, key, (shape[0], shape[height], shape[width]), channels, shape[channels])
    allowed = " or ".join(map(str, classes))
    raise MicrographError(
        f"{path} has '{key}' of {in_words(shape)}; allowed: images x height x width, with one more axis of {allowed} "
        "behind the images or at the end"
    )
