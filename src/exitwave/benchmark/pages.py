"""Files of micrographs: the images that each holds, with the pixel that it tells, whatever the format."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import CHECKS, check_claim, check_images
from exitwave.benchmark.mrc import read_mrc
from exitwave.benchmark.reading import failures_told, in_words
from exitwave.benchmark.remedies import Remedies
from exitwave.benchmark.stacks import IMAGES, Stack, open_stack
from exitwave.benchmark.tiff import TiffFacts, tiff_facts, tiff_plane
from exitwave.benchmark.units import NO_UNITS, length_of
from exitwave.errors import MicrographError

T = TypeVar("T")

MICROSCOPE_READERS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".ser": "tia",
    ".emi": "tia",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".hspy": "hspy",
    ".hdf5": "hspy",
}
"""Suffix -> module of RosettaSciIO; these formats can carry a calibration."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
"""Read by Pillow; these formats carry no calibration."""

PICTURE_FORMATS = ("PNG", "JPEG", "BMP")
"""Of Pillow, which tells formats by their content; others, such as EPS, would start programs."""

SUFFIXES = frozenset({*MICROSCOPE_READERS, *PICTURE_SUFFIXES, ".mrc", ".npy"})
"""Of all files that can be read."""

STACK_SUFFIX = ".h5"
"""Of files that are read too, but never looked for in folders: most of this name hold scans."""

PLAIN = ("1", "L", "LA", "RGB", "RGBA", "I", "F", "P")
"""Modes of Pillow whose values are taken as they are."""


@dataclass(frozen=True)
class Page:
    """One image of a file.

    Attributes
    ----------
    load : callable
        Gives the values as the file has them, [H, W] or [H, W, channels].
    shape : tuple of int
        Their shape.
    pixel_size : float, optional
        [Å]; None where the file does not tell.
    doubt : str
        Why what the file tells about its pixel cannot be used, in words that go on after its name.
    shown : array [n] or [n, 4], optional
        What stored values, 0 to n - 1, stand for where a palette or a white of 0 says that they are not what is seen.
    original : mapping
        What else the file says, by names of its format in groups; for `exitwave.benchmark.facts`.
    """

    load: Callable[[], NDArray[Any]]
    shape: tuple[int, ...]
    pixel_size: float | None = None
    doubt: str = ""
    shown: NDArray[Any] | None = None
    original: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def stored(self) -> NDArray[Any]:
        """Values as the file has them."""
        return np.asarray(self.load())

    def seen(self) -> NDArray[Any]:
        """Values as a viewer of the file shows them, [H, W] or [H, W, channels]."""
        return self.stored if self.shown is None else self.shown[self.stored.astype(np.uint16)]

    @property
    def size(self) -> str:
        """Its shape, in words."""
        return in_words(self.shape[:2])


def chosen_page(pages: Sequence[Page], page: int | None, path: Path, remedies: Remedies) -> Page:
    """The image meant; a file of several does not say which.

    Raises
    ------
    MicrographError
        If it holds several and none is named, or none of that number.
    """
    if page is None and len(pages) == 1:
        return pages[0]
    held = f"{path} holds {len(pages)} image{'s' if len(pages) > 1 else ''} ({_listed(pages)})"
    if page is None:
        raise MicrographError(f"{held}; {remedies.page}")
    if not 1 <= page <= len(pages):
        raise MicrographError(f"{held}, but number {page} is asked for; allowed: 1 to {len(pages)}; {remedies.page}")
    return pages[page - 1]


def _listed(pages: Sequence[Page]) -> str:
    """Numbers and shapes of images, those of one shape that follow each other together."""
    runs: list[tuple[int, int]] = []
    for place, page in enumerate(pages):
        if runs and pages[runs[-1][0]].size == page.size:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    told = [
        f"{first + 1}{f' to {last + 1}' if last > first else ''}: {pages[first].size} px" for first, last in runs[:6]
    ]
    return ", ".join(told) + (", ..." if len(runs) > 6 else "")


def pages_of(path: Path) -> list[Page]:
    """The images of a file, one or more.

    Raises
    ------
    MicrographError
        If the file is missing, of an unknown format, or cannot be read.
    """
    suffix = path.suffix.lower()

    def found() -> list[Page]:
        if path.is_dir():
            raise MicrographError(f"{path} is a folder; allowed: a file")
        if not path.is_file():
            raise MicrographError(f"{path} does not exist")
        if suffix == STACK_SUFFIX:
            return stack_pages(open_stack(path, None, IMAGES))
        if suffix not in SUFFIXES:
            allowed = ", ".join(sorted({*SUFFIXES, STACK_SUFFIX}))
            raise MicrographError(f"{path} has the unknown format '{suffix}'; allowed: {allowed}")
        if suffix in PICTURE_SUFFIXES:
            return _read_picture(path)
        if suffix == ".mrc":
            return _read_sections(path)
        if suffix == ".npy":
            return _read_array(path)
        return _read_microscope_file(path, MICROSCOPE_READERS[suffix])

    return guarded(path, found)


def stack_pages(stack: Stack) -> list[Page]:
    """The images of a stack, each read when it is asked for."""
    return [Page(partial(stack.read, place), stack.shape[1:]) for place in range(len(stack))]


def guarded(path: Path, reader: Callable[[], T]) -> T:
    """What a reader gives, whose failures become a `MicrographError` of one sentence."""
    with failures_told(path, MicrographError):
        return reader()


def _read_sections(path: Path) -> list[Page]:
    """Images of an MRC file."""
    file = read_mrc(path)
    height, width = (edge if edge > 0 else None for edge in file.pixel)
    size, doubt = _square(height, width)
    original = {} if file.voltage is None else {"FEI": {"HT": file.voltage}}
    planes = _planes(path, file.images, (1, 2))
    return [Page(load, shape, size, doubt, original=original) for load, shape in planes]


def _read_array(path: Path) -> list[Page]:
    """Images of an array that NumPy has saved."""
    # Mapped, so that of many images only the one that is asked for is read.
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return [Page(load, shape) for load, shape in _planes(path, pixels)]


def _read_microscope_file(path: Path, module: str) -> list[Page]:
    """Images in a file of a microscope, with their pixel size [Å]."""
    if module in CHECKS:
        CHECKS[module](path)
    facts = tiff_facts(path) if module == "tiff" else None
    signals = importlib.import_module(f"rsciio.{module}").file_reader(str(path), lazy=True)
    facts = [TiffFacts()] * len(signals) if facts is None else facts
    pages: list[Page] = []
    for place, (signal, fact) in enumerate(zip(signals, facts, strict=True)):
        axes = _image_axes(signal["axes"])
        # Line plots and spectra may lie beside the image.
        if axes is None:
            continue
        sizes, units = zip(*(_pixel_edge(signal["axes"][axis], fact.unit) for axis in axes), strict=True)
        height, width = fact.edges or sizes
        size, doubt = _square(height, width)
        unit = next(filter(None, units), "")
        if size is None and not doubt and unit:
            doubt = f"has no pixel size in a known unit of length, but '{unit}'"
        if fact.doubt:
            size, doubt = None, fact.doubt
        original = {"metadata": signal["metadata"], **signal["original_metadata"]}
        for number, (load, shape) in enumerate(_planes(path, signal["data"], axes)):
            load = partial(tiff_plane, path, place, number) if fact.separate else load
            pages.append(Page(load, shape, size, doubt, fact.shown, original))
    if not pages:
        shapes = ", ".join(in_words(np.shape(signal["data"])) for signal in signals)
        raise MicrographError(f"{path} holds no image (arrays: {shapes}); allowed: one, two-dimensional")
    return pages


def _plane(pixels: Any, number: int) -> NDArray[Any]:
    """One image of a stack; colours that lie inside the pixel get an axis of their own."""
    array: NDArray[Any] = np.asarray(pixels[number])
    return np.stack([array[name] for name in array.dtype.names], axis=-1) if array.dtype.names else array


def _image_axes(axes: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Places of the axes of an image, along height and width; none where there is no image."""
    names = [axis["name"] for axis in axes]
    if "height" in names and "width" in names:  # a TIFF
        return names.index("height"), names.index("width")
    long = [place for place, axis in enumerate(axes) if axis["size"] > 1]
    if len(long) > 2:  # a stack of images, which are what is not navigated
        long = [place for place in long if not axes[place].get("navigate", False)]
    return (long[0], long[1]) if len(long) == 2 else None


def _planes(
    path: Path, pixels: NDArray[Any], axes: tuple[int, int] | None = None
) -> Iterator[tuple[Callable[[], NDArray[Any]], tuple[int, ...]]]:
    """What reads the images [H, W] or [H, W, channels] of an array, and their shapes.

    Their axes are the last two, or those before colours, if none are given.
    """
    check_claim(path, pixels.shape, pixels.dtype.itemsize)
    if not all(pixels.shape):
        raise MicrographError(f"{path} holds an array of {in_words(pixels.shape)}, without a pixel; allowed: an image")
    if axes is None and pixels.ndim > 2:
        pixels = pixels.squeeze()
    colours = pixels.ndim > 2 and pixels.shape[-1] in (2, 3, 4)
    height, width = axes or ((pixels.ndim - 3, pixels.ndim - 2) if colours else (pixels.ndim - 2, pixels.ndim - 1))
    channels = [pixels.ndim - 1] if colours and pixels.ndim - 1 not in (height, width) else []
    if height < 0:
        stack = pixels[np.newaxis]
    else:
        last = [height, width, *channels]
        pixels = np.moveaxis(pixels, last, range(-len(last), 0))
        images = math.prod(pixels.shape[: -len(last)])
        check_images(path, images)
        stack = pixels.reshape(images, *pixels.shape[-len(last) :])
    inside = len(pixels.dtype.names or ())
    shape = (*stack.shape[1:], inside) if inside else stack.shape[1:]
    for number in range(stack.shape[0]):
        yield partial(_plane, stack, number), shape


def _square(height: float | None, width: float | None) -> tuple[float | None, str]:
    """Edge of square pixels [Å], and why there is none."""
    if height is None or width is None:
        return None, ""
    if abs(height - width) > 0.01 * height:
        return None, f"has pixels of {height:g} x {width:g} Å; allowed: square ones"
    return height, ""


def _pixel_edge(axis: Mapping[str, Any], other_unit: str) -> tuple[float | None, str]:
    """Pixel edge [Å] along an axis, or None and the unit where that is no known length."""
    unit = str(axis.get("units") or other_unit)
    scale, length = float(axis["scale"]), length_of(unit)
    if length is not None and scale > 0:
        return scale * length, ""
    return None, "" if unit.strip().lower() in NO_UNITS else unit


def _read_picture(path: Path) -> list[Page]:
    """Images of a file that Pillow reads."""
    from PIL import Image

    pages = []
    with Image.open(path, formats=PICTURE_FORMATS) as picture:
        number_of_frames = getattr(picture, "n_frames", 1)
        check_images(path, number_of_frames)
        bytes_of_a_pixel = len(picture.getbands()) * {"I": 4, "F": 4}.get(picture.mode[:1], 1)
        # Each frame of an animation is laid over the one before.
        check_claim(path, (number_of_frames, picture.height, picture.width), bytes_of_a_pixel)
        for number in range(number_of_frames):
            picture.seek(number)
            shown = _palette(picture) if picture.mode == "P" else None
            channels = len(picture.getbands()) if picture.mode in PLAIN else 4 if picture.mode == "PA" else 3
            shape = (picture.height, picture.width, *([channels] if channels > 1 else []))
            pages.append(Page(partial(_picture_pixels, path, number), shape, shown=shown))
    return pages


def _picture_pixels(path: Path, number: int) -> NDArray[Any]:
    """One image of such a file."""
    from PIL import Image

    with Image.open(path, formats=PICTURE_FORMATS) as picture:
        picture.seek(number)
        if picture.mode in PLAIN or picture.mode.startswith("I;"):
            return np.asarray(picture)
        # Inks and the like: 255 of CMYK is black.
        return np.asarray(picture.convert("RGBA" if picture.mode == "PA" else "RGB"))


def _palette(picture: Any) -> NDArray[Any]:
    """Colours by their number, [256] where all are opaque greys, else [256, 4]."""
    picture = picture.copy()
    picture.apply_transparency()
    colours = np.array(picture.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    table[: len(colours)] = colours
    plain = (table[:, :3] == table[:, :1]).all() and (table[:, 3] == 255).all()
    return table[:, 0] if plain else table
