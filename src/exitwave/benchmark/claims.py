"""What a file of images claims to hold, before room is made for it: a kilobyte can claim any number of terabytes.

Files of microscopes and of strangers go through readers that believe their headers. What is refused here is a header
that no file of this size can keep, or that would not end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from exitwave.errors import MicrographError

LEAST = 2**26
"""Bytes that any file may hold; 8192 x 8192 pixels of 8 bits."""
PACKED = 2000
"""A file may hold so many times its own size; a constant image is packed to a thousandth."""
MOST_IMAGES = 100_000
"""Images of a file."""
MOST_CHUNKS = 1_000_000
"""Chunks of an array of HDF5, each of which takes room in memory when the array is opened."""


def check_claim(path: Path, shape: Sequence[int], itemsize: int) -> None:
    """Refuse an array that is larger than what a file can hold.

    Parameters
    ----------
    path : path
    shape : sequence of int
    itemsize : int
        Of a value [bytes].

    Raises
    ------
    MicrographError
    """
    held, size = math.prod(map(int, shape)) * itemsize, path.stat().st_size
    if held > max(LEAST, PACKED * size):
        raise MicrographError(
            f"{path} says that it holds {' x '.join(map(str, shape))} values of {itemsize} bytes, and has "
            f"{size:,} bytes; allowed: {PACKED} times as much, packed"
        )


def check_images(path: Path, number: int) -> None:
    """Refuse more images than can be listed."""
    if number > MOST_IMAGES:
        raise MicrographError(f"{path} holds {number:,} images; allowed: up to {MOST_IMAGES:,}")


def check_hdf5(path: Path) -> None:
    """Refuse a file of HDF5 with arrays that it cannot hold, or that lie in other files."""
    import h5py

    def elsewhere(name: str) -> MicrographError:
        return MicrographError(f"{path} takes '{name}' from another file; allowed: a file with all that it shows")

    def leads_elsewhere(name: str, link: Any) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) else None

    def check(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return
        if item.external or item.is_virtual:
            raise elsewhere(name)
        check_claim(path, item.shape, item.dtype.itemsize)
        if item.chunks is not None:
            check_claim(path, item.chunks, item.dtype.itemsize)
            chunks = math.prod(-(-edge // chunk) for edge, chunk in zip(item.shape, item.chunks, strict=True))
            if chunks > MOST_CHUNKS:
                raise MicrographError(f"{path} has '{name}' in {chunks:,} chunks; allowed: up to {MOST_CHUNKS:,}")

    with h5py.File(path, "r") as file:
        if (name := file.visititems_links(leads_elsewhere)) is not None:
            raise elsewhere(name)
        file.visititems(check)


def check_tiff(path: Path) -> None:
    """Refuse a TIFF whose chain of images has no end, or is too long."""
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return  # and no TIFF, which its reader says
        big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        number, offset, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
        place = struct.unpack_from(f"{order}{offset}", head, 8 if big else 4)[0]
        seen: set[int] = set()
        while place and len(seen) <= MOST_IMAGES:
            if place in seen:
                raise MicrographError(f"{path} cannot be read: its images refer to each other in a circle")
            seen.add(place)
            file.seek(place)
            (tags,) = struct.unpack(f"{order}{number}", file.read(struct.calcsize(number)))
            file.seek(tags * entry, 1)
            (place,) = struct.unpack(f"{order}{offset}", file.read(struct.calcsize(f"={offset}")))
    check_images(path, len(seen))


def check_dm(path: Path) -> None:
    """Refuse a file of DigitalMicrograph with lists longer than itself, whose elements may be of no length."""
    from rsciio.digitalmicrograph._api import DigitalMicrographReader

    most = path.stat().st_size

    class Reader(DigitalMicrographReader):  # type: ignore[misc]
        def read_array(self, size: int, *arguments: Any, **named: Any) -> Any:
            if size > most:
                raise MicrographError(f"{path} has a list of {size:,} elements in {most:,} bytes; allowed: fewer")
            return super().read_array(size, *arguments, **named)

    with path.open("rb") as file:
        reader = Reader(file)
        reader.parse_file()
        for image in reader.get_image_dictionaries():
            check_claim(path, list(image["ImageData"]["Dimensions"].values()), 1)


CHECKS: dict[str, Callable[[Path], None]] = {
    "digitalmicrograph": check_dm,
    "emd": check_hdf5,
    "hspy": check_hdf5,
    "tiff": check_tiff,
}
"""By the module of RosettaSciIO what its files go through first."""
