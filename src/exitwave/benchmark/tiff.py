"""What RosettaSciIO does not read of a TIFF: units of ImageJ, pixels of OME-XML, what values stand for, and whether the
calibration of a microscope (FEI, Zeiss) still holds for the image that the file has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.claims import check_claim, check_images
from exitwave.benchmark.units import length_of
from exitwave.errors import MicrographError

if TYPE_CHECKING:
    from tifffile import TiffFile

_STEPS = ("Start", "End", "Step"), (0, 0, 1)
"""Attributes of OME-XML that say where images are along a further axis, with what stands for one that is left out."""


@dataclass(frozen=True)
class TiffFacts:
    """What RosettaSciIO does not read of a series of a TIFF.

    Attributes
    ----------
    unit : str
        Unit that ImageJ wrote; RosettaSciIO knows microns only.
    edges : tuple of float, optional
        Height and width of a pixel [Å] in OME-XML; None each where it is not said.
    shown : array, optional
        As of a page.
    doubt : str
        Why the calibration that the microscope wrote is not that of this image, in words that go on after its name.
    separate : bool
        Whether each image of the series can be read alone, by :func:`tiff_plane`.
    """

    unit: str = ""
    edges: tuple[float | None, float | None] | None = None
    shown: NDArray[Any] | None = None
    doubt: str = ""
    separate: bool = False


def tiff_facts(path: Path) -> list[TiffFacts]:
    """Facts of each series of a TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        _check_ome(file, path)
        for series in file.series:
            check_claim(path, series.shape, 1 if series.dtype is None else series.dtype.itemsize)
        unit = str((file.imagej_metadata or {}).get("unit", ""))
        edges = _ome_edges(file)
        return [
            TiffFacts(
                unit,
                edges[place] if place < len(edges) else None,
                _shown(series.keyframe, path),
                _doubt(file, series.keyframe),
                series.axes.endswith("YX") and (_mapped(series) or len(series.pages) == _number(series)),
            )
            for place, series in enumerate(file.series)
        ]


def tiff_plane(path: Path, place: int, number: int) -> NDArray[Any]:
    """One image [H, W] of a series that has them separate, counted from 0."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        series: Any = file.series[place]
        if _mapped(series):
            pixels = tifffile.memmap(path, series=place, mode="r")
            return np.array(pixels.reshape(_number(series), *series.shape[-2:])[number])
        return np.asarray(series.pages[number].asarray())


def _number(series: Any) -> int:
    """Images of a series."""
    return int(np.prod(series.shape[:-2], dtype=np.int64))


def _mapped(series: Any) -> bool:
    """Whether its values lie in the file as they are in memory."""
    return series.dataoffset is not None and bool(series.keyframe.is_memmappable)


def _doubt(file: TiffFile, page: Any) -> str:
    """Why what FEI or Zeiss wrote about the pixel does not hold: the image was cut or resampled since."""
    fei: dict[str, Any] = file.fei_metadata or {}
    recorded = fei.get("Image", {}).get("ResolutionX")
    if recorded is not None and int(recorded) != page.imagewidth:
        return f"was recorded {int(recorded)} px wide, but is {page.imagewidth} px wide, so that its pixel is not known"
    zeiss: dict[str, Any] = file.sem_metadata or {}
    said = [
        float(entry[1]) * (length_of(str(entry[2])) or 0)
        for key in ("ap_image_pixel_size", "ap_pixel_size")
        if len(entry := zeiss.get(key, ())) > 2
    ]
    if len(zeiss.get("", ())) > 3 and said:
        # The unnamed entry is of a display of 1024 px; see the reader of RosettaSciIO.
        used = float(zeiss[""][3]) * 1024 / page.imagewidth * 1e10
        if not any(abs(used - size) <= 0.02 * used for size in said):
            return f"has a pixel of {used:.4g} Å by one entry of its header, but {said[0]:.4g} Å by another"
    return ""


def _check_ome(file: TiffFile, path: Path) -> None:
    """Refuse OME-XML that lists more images, or places of them, than a file holds."""
    if not file.ome_metadata:
        return
    from xml.etree import ElementTree

    for element in ElementTree.fromstring(file.ome_metadata).iter():
        name = element.tag.split("}")[-1]
        if name == "Pixels":
            check_images(path, math.prod(int(element.get(f"Size{axis}", 1)) for axis in "ZCT"))
        if name == "TiffData":
            check_images(path, int(element.get("PlaneCount", 1)))
        if name.startswith("ModuloAlong"):
            start, end, step = (float(element.get(key, default)) for key, default in zip(*_STEPS, strict=True))
            check_images(path, round((end - start) / step))


def _ome_edges(file: TiffFile) -> list[tuple[float | None, float | None]]:
    """Height and width of the pixels of each image in OME-XML [Å]; a unit that is left out is the micrometre."""
    if not file.ome_metadata:
        return []
    from xml.etree import ElementTree

    def edge(pixels: ElementTree.Element, axis: str) -> float | None:
        size, length = pixels.get(f"PhysicalSize{axis}"), length_of(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        return float(size) * length if size and length and float(size) > 0 else None

    root = ElementTree.fromstring(file.ome_metadata)
    return [(edge(pixels, "Y"), edge(pixels, "X")) for pixels in root.iter() if pixels.tag.split("}")[-1] == "Pixels"]


def _shown(page: Any, path: Path) -> NDArray[Any] | None:
    """What the stored values of a TIFF stand for, where it is not themselves."""
    import tifffile

    photometric = page.photometric
    if photometric == tifffile.PHOTOMETRIC.SEPARATED:
        raise MicrographError(f"{path} holds amounts of ink (CMYK); allowed: gray, or colour channels that are equal")
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        if page.dtype is None or page.dtype.kind not in "bu" or page.bitspersample > 16:
            raise MicrographError(
                f"{path} has 0 for white in values of type {page.dtype}; allowed: whole numbers of up to 16 bits"
            )
        return np.arange(2**page.bitspersample)[::-1]
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        colours = np.asarray(page.colormap).T >> 8
        # Colours beside grey are for the eye: programs such as ImageJ lay them over values that were measured.
        return colours[:, 0] if (colours == colours[:, :1]).all() else None
    return None
