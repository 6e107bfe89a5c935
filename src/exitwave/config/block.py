"""What every block of a config is made of."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exitwave.config.distributions import Real, within


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a whole number is needed, not a truth value")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveReal = Annotated[Real, within(above=0)]
NonNegativeReal = Annotated[Real, within(low=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Block(BaseModel):
    """Base of every block: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    VERSION: ClassVar[int] = 1
    """Raise when the output of the stage changes for the same config."""
    COUNTS: ClassVar[frozenset[str]] = frozenset()
    """Keys that say how much is made or with which resources, not what: left out of the identity."""
