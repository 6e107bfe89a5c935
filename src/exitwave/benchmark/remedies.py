"""What a person can do about an image that cannot be used as it is, in the words of where she does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remedies:
    """Half sentences of errors and warnings about an image.

    Attributes
    ----------
    pixel_size : str
        How a pixel size that is missing or wrong is given.
    any_pixel_size : str
        What says that a far pixel is meant so.
    any_image : str
        What says that an image unlike the training images is meant so.
    page : str
        How one image of a file of several is chosen.
    """

    pixel_size: str
    any_pixel_size: str
    any_image: str
    page: str


IN_BENCHMARK = Remedies(
    "give one in Å, in the column pixel_size of index.csv or as pixel_size",
    "any_pixel_size",
    "any_image",
    "choose one in the column page of index.csv",
)
"""Of a folder of micrographs."""
ON_COMMAND_LINE = Remedies(
    "give --pixel-size (Å)", "--any-pixel-size", "--any-image", "choose one with --frame and its number, or --frame all"
)
"""Of ``exitwave segment``."""
IN_PYTHON = Remedies(
    "give pixel_size (Å)", "any_pixel_size=True", "any_image=True", "read it with another library and give the array"
)
"""Of ``exitwave.segment``."""
