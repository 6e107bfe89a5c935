"""What an image was taken with, told in words: by a function of its kind, or by the columns that the kind draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exitwave.config.block import Block
from exitwave.report import stm
from exitwave.report.columns import label_of, short
from exitwave.report.diffraction import conditions_told, numbers_told
from exitwave.report.hrtem import describe_conditions, drawn_numbers

Row = Mapping[Any, Any]


def drawn_columns(block: Block, varying: bool = False) -> dict[str, str]:
    """Columns of the conditions that a kind of images draws for every image, with their units.

    They are named as the keys of the block that they are drawn from, nested ones too, which places and what was
    counted are not.

    Parameters
    ----------
    block : Block
        Block of images.
    varying : bool
        Whether those are left out for which the block gives a value instead of a distribution.
    """
    values = dict(_values(block.model_dump()))
    return {
        name: column.unit
        for name, column in block.COLUMNS.items()
        if column.redrawn and name in values and (isinstance(values[name], dict) or not varying)
    }


def in_a_line(kind: str, row: Row, columns: Mapping[str, str]) -> str:
    """The most important conditions of an image, above a small picture.

    Parameters
    ----------
    kind : str
        Kind of the images.
    row : mapping
        Metadata of the image.
    columns : mapping of str
        Columns to tell, with their units, of a kind that has no words of its own.
    """
    match kind:
        case "hrtem":
            return describe_conditions(row)
        case "diffraction":
            return ", ".join(conditions_told(row))
        case "stm":
            return ", ".join(stm.conditions_told(row))
        case _:
            return ", ".join(_told(row, columns))


def in_full(kind: str, row: Row, columns: Mapping[str, str]) -> list[str]:
    """All conditions of an image, one a text; parameters as of :func:`in_a_line`."""
    match kind:
        case "hrtem":
            return drawn_numbers(row)
        case "diffraction":
            return numbers_told(row)
        case _:
            return _told(row, columns)


def _told(row: Row, columns: Mapping[str, str]) -> list[str]:
    """Columns of a row with names and units."""
    told = ((label_of(name), row[name], unit) for name, unit in columns.items())
    texts = (f"{label} {value if isinstance(value, str) else short(value)} {unit}" for label, value, unit in told)
    return [text.rstrip().replace("-", "−") for text in texts]


def _values(block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys at every depth with their values."""
    for key, value in block.items():
        yield key, value
        if isinstance(value, dict):
            yield from _values(value)
