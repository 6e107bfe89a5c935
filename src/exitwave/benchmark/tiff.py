"""What RosettaSciIO does not read of a TIFF: units of ImageJ, pixels of OME-XML, what values stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.units import length_of
from exitwave.errors import MicrographError

if TYPE_CHECKING:
    from tifffile import TiffFile


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
    """

    unit: str = ""
    edges: tuple[float | None, float | None] | None = None
    shown: NDArray[Any] | None = None


def tiff_facts(path: Path) -> list[TiffFacts]:
    """Facts of each series of a TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        unit = str((file.imagej_metadata or {}).get("unit", ""))
        edges = _ome_edges(file)
        return [
            TiffFacts(unit, edges[place] if place < len(edges) else None, _shown(series.keyframe, path))
            for place, series in enumerate(file.series)
        ]


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
