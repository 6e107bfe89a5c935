"""What every block of a config is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exitwave.config.distributions import Real, within


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("allowed: a whole number, not a truth value")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveReal = Annotated[Real, within(above=0)]
NonNegativeReal = Annotated[Real, within(low=0)]
UnitReal = Annotated[Real, within(low=0, high=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Column:
    """A column of the metadata tables.

    Attributes
    ----------
    unit : str
        Unit; none for names and pure numbers.
    text : bool
        Whether it holds text; else numbers.
    redrawn : bool
        Of images: whether another draw of the same item, as in streaming, has another value.
    """

    unit: str = ""
    text: bool = False
    redrawn: bool = False


class Block(BaseModel):
    """Base of every block: immutable, and an unknown key is an error.

    The class variables are what a block knows of itself, so that no table elsewhere has to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    VERSION: ClassVar[int] = 1
    """Raise when the output of the kind changes for the same config, or a default does."""
    COUNTS: ClassVar[frozenset[str]] = frozenset()
    """Keys that say how much is made or with which resources, not what: left out of the identity."""
    MADE_FROM: ClassVar[Mapping[str, str]] = {}
    """Keys that name blocks of an earlier stage, each with that stage."""
    TAKES: ClassVar[Mapping[str, tuple[type[Block], ...]]] = {}
    """Of these keys the kinds of blocks that will do; of others all kinds of their stage."""
    COLUMNS: ClassVar[Mapping[str, Column]] = {}
    """Columns that its items add to the metadata table."""
    LAPTOP: ClassVar[Mapping[str, int]] = {}
    """Keys with the largest whole number that they have at scale laptop."""
    MOVED: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, with where to look for them now."""

    def may_be_files(self) -> list[str]:
        """Paths of files whose content is part of what is made; values that may be names in a library too."""
        return []

    def file_names(self) -> list[str]:
        """Names of those files that are part of what is made as their content is, such as folders that are labels."""
        return []
