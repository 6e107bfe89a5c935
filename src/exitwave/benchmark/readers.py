"""Reading micrographs, their calibration and expert masks."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import CHECKS, check_claim, check_images
from exitwave.benchmark.mrc import read_mrc
from exitwave.benchmark.remedies import IN_BENCHMARK, Remedies
from exitwave.benchmark.tiff import TiffFacts, tiff_facts, tiff_plane
from exitwave.benchmark.units import NO_UNITS, length_of
from exitwave.data.strips import strips
from exitwave.errors import MicrographError

T = TypeVar("T")

SMALLEST_EDGE = 32
"""Below this edge [px] a micrograph gives a network of five downsampling stages less than one pixel to decide on."""

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

PLAIN = ("1", "L", "LA", "RGB", "RGBA", "I", "F", "P")
"""Modes of Pillow whose values are taken as they are."""

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


@dataclass(frozen=True)
class _Page:
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
    """

    load: Callable[[], NDArray[Any]]
    shape: tuple[int, ...]
    pixel_size: float | None = None
    doubt: str = ""
    shown: NDArray[Any] | None = None

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
        return _shape(self.shape[:2])


@dataclass(frozen=True)
class MicrographFile:
    """A file with one micrograph or several, of which each is read when it is asked for."""

    path: Path
    pages: Sequence[_Page]

    def read(
        self, pixel_size: float | None = None, page: int | None = None, remedies: Remedies = IN_BENCHMARK
    ) -> Micrograph:
        """Read one; see :func:`read_micrograph`."""
        path, found = self.path, _chosen(self.pages, page, self.path, remedies)
        # A copy, lest a file of many images is kept in memory image by image.
        pixels, told = _read(path, lambda: _gray(replace(found), path))
        name = str(path) if len(self.pages) == 1 else f"{path}, image {page},"
        finite = all(np.isfinite(pixels[rows]).all() for rows in strips(pixels.shape))
        if not finite:
            number = np.count_nonzero(~np.isfinite(pixels))
            raise MicrographError(f"{name} has {number} pixels that are NaN or infinite; allowed: none")
        if min(pixels.shape) < SMALLEST_EDGE:
            raise MicrographError(f"{name} is {found.size} px; allowed: {SMALLEST_EDGE} px or more along both edges")
        if (largest := max(float(pixels.max()), -float(pixels.min()))) > LARGEST_VALUE:
            raise MicrographError(f"{name} has values as large as {largest:g}; allowed: up to {LARGEST_VALUE:g}")
        size = found.pixel_size if pixel_size is None else pixel_size
        if size is None:
            raise MicrographError(f"{name} {found.doubt or 'has no pixel size'}; {remedies.pixel_size}")
        if not PLAUSIBLE_PIXEL[0] <= size <= PLAUSIBLE_PIXEL[1]:
            raise MicrographError(
                f"{name} has the pixel size {size:g} Å; allowed: {PLAUSIBLE_PIXEL[0]:g} to {PLAUSIBLE_PIXEL[1]:g} Å; "
                f"{remedies.pixel_size}"
            )
        image = np.asarray(pixels, np.float32)
        return Micrograph(path.stem, image, None, float(size), str(path), page or 1, told)


def open_micrographs(path: str | PurePath) -> MicrographFile:
    """Find out what images a file holds, without reading more of them than has to be.

    Raises
    ------
    MicrographError
        If the file cannot be read.
    """
    path = Path(path)
    return MicrographFile(path, _pages(path))


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
        Pixel [Å]; goes before what the file says.
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
    page = _chosen(_pages(path), None, path, IN_BENCHMARK)
    if page.shape[:2] != tuple(shape):
        raise MicrographError(
            f"mask {path} is {page.size} px, but its micrograph {image_path} is {shape[0]} x {shape[1]} px; "
            "allowed: the same shape"
        )
    channels = _read(path, lambda: _channels(page))
    for values in channels.values():
        if values.dtype.kind not in "buif":
            raise MicrographError(f"mask {path} has values of type {values.dtype}; allowed: real numbers")
        if not np.isfinite(values).all():
            raise MicrographError(
                f"mask {path} has {np.count_nonzero(~np.isfinite(values))} pixels that are NaN or infinite; "
                "allowed: none"
            )
    levels = {name: np.unique(values) for name, values in channels.items()}
    varying = [name for name, found in levels.items() if found.size > 1]
    if not varying:
        return _constant_mask({name: float(found[0]) for name, found in levels.items()}, path, shape)
    for name in varying:
        if (found := levels[name]).size > 2:
            listed = ", ".join(f"{v:g}" for v in found[:6]) + (", ..." if found.size > 6 else "")
            raise MicrographError(
                f"mask {path} has {found.size} different values ({listed}); allowed: two, such as 0 and 1 or 0 and 255"
            )
    marks = {name: np.asarray(channels[name] == levels[name][1]) for name in varying}
    first = varying[0]
    for name in varying[1:]:
        if not np.array_equal(marks[name], marks[first]):
            raise MicrographError(
                f"mask {path} is another one by its {name} than by its {first}; allowed: one mask, of higher values, "
                "brighter and opaque where there are particles"
            )
    return marks[first]


def read_corrected(path: str | PurePath, image_path: PurePath, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a mask as an editor leaves it: as :func:`read_mask` does, or numbered particles on a background of 0.

    Parameters and errors are those of :func:`read_mask`. Edges that were smoothed, and what JPEG makes of a mask, are
    no numbers of particles.
    """
    path = Path(path)
    page = _chosen(_pages(path), None, path, IN_BENCHMARK)
    stored = _read(path, lambda: page.stored)
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


def _constant_mask(values: Mapping[str, float], path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask of one value everywhere: all or nothing is particle."""
    colours = {value for name, value in values.items() if name != "transparency"}
    if colours == {0.0} or (colours and colours <= {1.0, 255.0, 65535.0}):
        return np.full(shape, colours != {0.0})
    raise MicrographError(
        f"mask {path} has one value ({', '.join(f'{v:g}' for v in sorted(colours))}); allowed: two, such as 0 and 1, "
        "or 0, 1 or 255 everywhere"
    )


def _channels(page: _Page) -> dict[str, NDArray[Any]]:
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


def _chosen(pages: Sequence[_Page], page: int | None, path: Path, remedies: Remedies) -> _Page:
    """The image meant; a file of several does not say which."""
    if page is None and len(pages) == 1:
        return pages[0]
    held = f"{path} holds {len(pages)} image{'s' if len(pages) > 1 else ''} ({_listed(pages)})"
    if page is None:
        raise MicrographError(f"{held}; {remedies.page}")
    if not 1 <= page <= len(pages):
        raise MicrographError(f"{held}, but number {page} is asked for; allowed: 1 to {len(pages)}; {remedies.page}")
    return pages[page - 1]


def _listed(pages: Sequence[_Page]) -> str:
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


def _pages(path: Path) -> list[_Page]:
    """The images of a file, one or more."""
    suffix = path.suffix.lower()

    def found() -> list[_Page]:
        if path.is_dir():
            raise MicrographError(f"{path} is a folder; allowed: a file")
        if not path.is_file():
            raise MicrographError(f"{path} does not exist")
        if suffix not in SUFFIXES:
            raise MicrographError(f"{path} has the unknown format '{suffix}'; allowed: {', '.join(sorted(SUFFIXES))}")
        if suffix in PICTURE_SUFFIXES:
            return _read_picture(path)
        if suffix == ".mrc":
            return _read_sections(path)
        if suffix == ".npy":
            return _read_array(path)
        return _read_microscope_file(path, MICROSCOPE_READERS[suffix])

    return _read(path, found)


def _read(path: Path, reader: Callable[[], T]) -> T:
    """What a reader gives, whose failures become one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reader()
    except MicrographError:
        raise
    except MemoryError as error:
        raise MicrographError(f"{path} cannot be read: there is not enough memory for it") from error
    except ImportError as error:
        raise MicrographError(
            f"{path} cannot be read: the format {path.suffix.lower()} needs the package {error.name}"
        ) from error
    except Exception as error:
        # Damaged files make the readers fail in as many ways as there are readers.
        reason = " ".join(str(error).split())
        raise MicrographError(f"{path} cannot be read: {type(error).__name__}: {reason}") from error


def _read_sections(path: Path) -> list[_Page]:
    """Images of an MRC file."""
    file = read_mrc(path)
    height, width = (edge if edge > 0 else None for edge in file.pixel)
    size, doubt = _square(height, width)
    return [_Page(load, shape, size, doubt) for load, shape in _planes(path, file.images, (1, 2))]


def _read_array(path: Path) -> list[_Page]:
    """Images of an array that NumPy has saved."""
    # Mapped, so that of many images only the one that is asked for is read.
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return [_Page(load, shape) for load, shape in _planes(path, pixels)]


def _read_microscope_file(path: Path, module: str) -> list[_Page]:
    """Images in a file of a microscope, with their pixel size [Å]."""
    if module in CHECKS:
        CHECKS[module](path)
    facts = tiff_facts(path) if module == "tiff" else None
    signals = importlib.import_module(f"rsciio.{module}").file_reader(str(path), lazy=True)
    facts = [TiffFacts()] * len(signals) if facts is None else facts
    pages: list[_Page] = []
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
        for number, (load, shape) in enumerate(_planes(path, signal["data"], axes)):
            load = partial(tiff_plane, path, place, number) if fact.separate else load
            pages.append(_Page(load, shape, size, doubt, fact.shown))
    if not pages:
        shapes = ", ".join(_shape(np.shape(signal["data"])) for signal in signals)
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
        raise MicrographError(f"{path} holds an array of {_shape(pixels.shape)}, without a pixel; allowed: an image")
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


def _read_picture(path: Path) -> list[_Page]:
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
            pages.append(_Page(partial(_picture_pixels, path, number), shape, shown=shown))
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


def _gray(page: _Page, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
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
        raise MicrographError(f"{path} has {pixels.ndim} dimensions ({_shape(pixels.shape)}); allowed: 2")
    if pixels.dtype.kind not in "buif":
        raise MicrographError(f"{path} has values of type {pixels.dtype}; allowed: real numbers")
    return pixels, tuple(told)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
