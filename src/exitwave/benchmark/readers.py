"""Reading micrographs, their calibration and expert masks."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import MicrographError

SMALLEST_EDGE = 32
"""Below this edge [px] a micrograph gives a network of five downsampling stages less than one pixel to decide on."""

MICROSCOPE_READERS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".ser": "tia",
    ".emi": "tia",
    ".mrc": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".hspy": "hspy",
}
"""Suffix -> module of RosettaSciIO; these formats can carry a calibration."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
"""Read by Pillow; these formats carry no calibration."""

LENGTH_UNITS = {
    "pm": 1e-2,
    "a": 1.0,
    "å": 1.0,
    "ang": 1.0,
    "angstrom": 1.0,
    "angstroms": 1.0,
    "nm": 1e1,
    "nanometer": 1e1,
    "um": 1e4,
    "µm": 1e4,
    "micron": 1e4,
    "mm": 1e7,
    "m": 1e10,
}
"""Length units [Å]. Centimetre and inch are left out: in image files they are the resolution of a printer."""

PLAUSIBLE_PIXEL = (1e-2, 1e4)
"""Pixel sizes outside this range [Å] are no calibration of a transmission electron micrograph."""


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


def read_micrograph(
    path: str | PurePath, pixel_size: float | None = None, mask_path: str | PurePath | None = None
) -> Micrograph:
    """Read one micrograph.

    Parameters
    ----------
    path : path
        DM3, DM4, EMD, SER, EMI, MRC, HSPY, TIFF, PNG, JPEG, BMP or NPY file holding one two-dimensional image.
    pixel_size : float, optional
        Pixel [Å]; goes before what the file says.
    mask_path : path, optional
        Image of the same shape with two values, of which the higher is particle.

    Raises
    ------
    MicrographError
        If the file cannot be read, holds no single finite image of sufficient size, has no pixel size, or does not
        fit its mask.
    """
    path = Path(path)
    pixels, calibration = _read_image(path)
    if not np.isfinite(pixels).all():
        raise MicrographError(
            f"{path} has {np.count_nonzero(~np.isfinite(pixels))} pixels that are NaN or infinite; allowed: none"
        )
    if min(pixels.shape) < SMALLEST_EDGE:
        raise MicrographError(f"{path} is {_shape(pixels)} px; allowed: {SMALLEST_EDGE} px or more along both edges")
    size = calibration if pixel_size is None else pixel_size
    if size is None:
        raise MicrographError(
            f"{path} has no pixel size; give one in Å, in the column pixel_size of index.csv or as pixel_size"
        )
    if not PLAUSIBLE_PIXEL[0] <= size <= PLAUSIBLE_PIXEL[1]:
        raise MicrographError(
            f"{path} has the pixel size {size:g} Å; allowed: {PLAUSIBLE_PIXEL[0]:g} to {PLAUSIBLE_PIXEL[1]:g} Å"
        )
    mask = None if mask_path is None else read_mask(mask_path, path, pixels.shape)
    return Micrograph(name=path.stem, image=pixels.astype(np.float32), mask=mask, pixel_size=float(size))


def read_mask(path: str | PurePath, image_path: PurePath, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read the expert's mask of a micrograph: two values, the higher one is particle.

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
        If the shapes differ or the mask is not binary.
    """
    values, _ = _read_image(Path(path))
    if values.shape != tuple(shape):
        raise MicrographError(
            f"mask {path} is {_shape(values)} px, but its micrograph {image_path} is {shape[0]} x {shape[1]} px; "
            "allowed: the same shape"
        )
    found = np.unique(values)
    if found.size == 1 and found[0] in (0, 1, 255):
        return np.asarray(values > 0)
    if found.size != 2:
        listed = ", ".join(f"{v:g}" for v in found[:6]) + (", ..." if found.size > 6 else "")
        raise MicrographError(
            f"mask {path} has {found.size} different values ({listed}); allowed: two, such as 0 and 1 or 0 and 255"
        )
    return np.asarray(values == found[1])


def _read_image(path: Path) -> tuple[NDArray[Any], float | None]:
    """Two-dimensional real image of a file and its pixel size [Å], None where the file does not tell."""
    if not path.is_file():
        raise MicrographError(f"{path} does not exist")
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix in MICROSCOPE_READERS:
                pixels, calibration = _read_microscope_file(path, MICROSCOPE_READERS[suffix])
            elif suffix in PICTURE_SUFFIXES:
                pixels, calibration = _read_picture(path), None
            elif suffix == ".npy":
                pixels, calibration = np.load(path, allow_pickle=False), None
            else:
                allowed = sorted({*MICROSCOPE_READERS, *PICTURE_SUFFIXES, ".npy"})
                raise MicrographError(f"{path} has the unknown format '{suffix}'; allowed: {', '.join(allowed)}")
    except MicrographError:
        raise
    except ImportError as error:
        raise MicrographError(f"{path} cannot be read: the format {suffix} needs the package {error.name}") from error
    except Exception as error:
        # Damaged files make the readers fail in as many ways as there are readers.
        raise MicrographError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    return _gray(pixels, path), calibration


def _read_microscope_file(path: Path, module: str) -> tuple[NDArray[Any], float | None]:
    """The one image in a file of a microscope, and its pixel size [Å]."""
    signals = importlib.import_module(f"rsciio.{module}").file_reader(str(path))
    # Line plots and spectra may lie beside the image.
    images = [signal for signal in signals if len(_image_axes(signal)) == 2]
    if len(images) != 1:
        shapes = ", ".join(" x ".join(map(str, np.shape(signal["data"]))) for signal in signals)
        raise MicrographError(f"{path} holds {len(images)} images (arrays: {shapes}); allowed: one, two-dimensional")
    pixels, axes = np.asarray(images[0]["data"]), _image_axes(images[0])
    sizes = [_pixel_edge(axis, _imagej_unit(path) if module == "tiff" else None) for axis in axes]
    if sizes[0] is None or sizes[1] is None:
        return pixels, None
    if abs(sizes[0] - sizes[1]) > 0.01 * sizes[0]:
        raise MicrographError(f"{path} has pixels of {sizes[0]:g} x {sizes[1]:g} Å; allowed: square ones")
    return pixels, sizes[0]


def _image_axes(signal: dict[str, Any]) -> list[dict[str, Any]]:
    """Axes longer than one; an RGB image has its channels inside the pixel, not on an axis."""
    return [axis for axis in signal["axes"] if axis["size"] > 1]


def _pixel_edge(axis: dict[str, Any], imagej_unit: str | None) -> float | None:
    """Pixel edge [Å] along an axis; None without a length unit."""
    unit = (axis.get("units") or imagej_unit or "").strip().lower()
    # Berkeley EMD writes n_m; micro and ångström each have two code points.
    for variant, plain in (("_", ""), ("\u03bc", "µ"), ("\u212b", "å")):
        unit = unit.replace(variant, plain)
    scale = float(axis["scale"])
    return scale * LENGTH_UNITS[unit] if unit in LENGTH_UNITS and scale > 0 else None


def _imagej_unit(path: Path) -> str | None:
    """Unit that ImageJ wrote into a TIFF; RosettaSciIO knows microns only."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        unit = (file.imagej_metadata or {}).get("unit")
    return None if unit is None else str(unit).replace("\\u00B5", "µ").replace("\\u00C5", "å")


def _read_picture(path: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode == "P":
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)


def _gray(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Two-dimensional real image; colour channels are accepted where they are equal."""
    if pixels.dtype.names:
        pixels = np.stack([pixels[name] for name in pixels.dtype.names], axis=-1)
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 3, 4):
        # An even number of channels ends with transparency, which is no part of the image.
        colors = pixels[..., : pixels.shape[-1] - (pixels.shape[-1] % 2 == 0)]
        if (colors != colors[..., :1]).any():
            raise MicrographError(f"{path} is a colour image; allowed: gray, or colour channels that are equal")
        pixels = colors[..., 0]
    pixels = pixels.squeeze() if pixels.ndim > 2 else pixels
    if pixels.ndim != 2:
        raise MicrographError(f"{path} has {pixels.ndim} dimensions ({_shape(pixels)}); allowed: 2")
    if pixels.dtype.kind not in "buif":
        raise MicrographError(f"{path} has values of type {pixels.dtype}; allowed: real numbers")
    return pixels


def _shape(pixels: NDArray[Any]) -> str:
    return " x ".join(map(str, pixels.shape))
