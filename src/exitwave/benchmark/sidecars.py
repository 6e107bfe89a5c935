"""Sidecars beside images and scans: reading them, and which pixel counts where they and the files disagree."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from exitwave.config.experiment import Experiment
from exitwave.config.problems import sentence
from exitwave.config.yaml_files import read_yaml, sidecar_of
from exitwave.errors import ConfigError, MicrographError

GIVEN, SIDECAR, FILE = "given", "sidecar", "file"
"""Where a pixel is from, in the order in which they count: what a person gives with a call goes before all."""
TOLERANCE = 0.01
"""Difference of a number in sidecar and file, of that in the file, above which it is told."""


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that was read.

    Attributes
    ----------
    path : path
    experiment : Experiment
        What it says.
    """

    path: Path
    experiment: Experiment

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width that it gives [px]; of a scan rows and columns."""
        size = self.experiment.scan.size_px
        return None if size is None else (size[1], size[0])

    def pixel(
        self, shape: Sequence[int], shapes: Sequence[Sequence[int]], pixel_size: float | None
    ) -> tuple[float | None, tuple[str, ...]]:
        """Pixel that it gives for an image of its file.

        Parameters
        ----------
        shape : sequence of int
            Height and width of the image [px].
        shapes : sequence of sequence of int
            Those of all images of the file.
        pixel_size : float, optional
            What the file says [Å].

        Returns
        -------
        pixel_size : float, optional
            [Å]; None where it gives none for this image, such as a thumbnail beside the one that it describes.
        warnings : tuple of str
            What contradicts the file, in words that go on after its name.

        Raises
        ------
        MicrographError
            If it gives the size of none of the images, or leaves open of which of several sizes it speaks.
        """
        given, known = self.experiment.scan.pixel_size_A, {(each[0], each[1]) for each in shapes}
        self.check_size(known)
        if given is None or (self.shape is not None and self.shape != tuple(shape[:2])):
            return None, ()
        if self.shape is None and len(known) > 1:
            raise MicrographError(
                f"{self.path}: gives scan.pixel_size_A for a file of images of {len(known)} sizes; allowed: with "
                "scan.size_px, which says for which of them"
            )
        return given, self.contradiction("a pixel", given, pixel_size, "Å")

    def check_size(self, shapes: Collection[tuple[int, int]]) -> None:
        """Refuse a sidecar of an image, or a scan, of another size.

        Parameters
        ----------
        shapes : collection of (int, int)
            Heights and widths of all images of the file [px], or rows and columns of its scan.

        Raises
        ------
        MicrographError
        """
        if self.shape is not None and self.shape not in shapes:
            found = " and ".join(sorted({f"{width} x {height}" for height, width in shapes}))
            raise MicrographError(
                f"{self.path}: scan.size_px is {self.shape[1]} x {self.shape[0]}, but the file has {found}; allowed: "
                "width and height of the image that it describes, or columns and rows of the scan"
            )

    def contradiction(self, what: str, given: float | None, found: float | None, unit: str) -> tuple[str, ...]:
        """Where a number of the sidecar is not that of the file, this in words that go on after the file's name."""
        if given is None or found is None or abs(given - found) <= TOLERANCE * abs(found):
            return ()
        return (f"has {what} of {found:.4g} {unit}, but {self.path.name} says {given:.4g} {unit}, which is used",)


def sidecar_beside(path: Path) -> Sidecar | None:
    """The sidecar of a file; None where it has none.

    Raises
    ------
    MicrographError
        If it cannot be read, or has unknown keys or impossible values. What it lacks is no error here.
    """
    place = sidecar_of(path)
    return Sidecar(place, read_sidecar(place)) if os.path.lexists(place) else None


def read_sidecar(path: Path) -> Experiment:
    """Read a sidecar, whole or not.

    Raises
    ------
    MicrographError
        As of :func:`sidecar_beside`.
    """
    try:
        return parsed_sidecar(read_yaml(path, "keys to values"), path)
    except ConfigError as error:
        raise MicrographError(str(error)) from error


def parsed_sidecar(content: object, path: Path) -> Experiment:
    """What the content of a sidecar says.

    Raises
    ------
    MicrographError
        If it has unknown keys or impossible values.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        told = sentence(error, Experiment).removeprefix(".").removeprefix(": ")
        raise MicrographError(f"{path}: {told}") from error
