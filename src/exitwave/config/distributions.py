"""Distributions: what a physical number in the config may be besides a constant.

A number is written as a constant or as one of ``{uniform: [low, high]}``,
``{normal: [mean, sd], clip: [low, high]}``, ``{loguniform: [low, high]}`` and
``{choice: [...], weights: [...]}``. What was drawn is recorded with the item.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

T = TypeVar("T", float, int, str)


class _Distribution(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @abstractmethod
    def bounds(self) -> tuple[Any, Any]:
        """Smallest and largest value."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Any:
        """One value."""


class Uniform(_Distribution):
    """Uniform between two bounds; of integers, both bounds included."""

    uniform: tuple[float, float] = Field(description="lower and upper bound")

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.uniform[0] > self.uniform[1]:
            raise ValueError("the lower bound is above the upper bound; allowed: the lower one first")
        return self

    def bounds(self) -> tuple[float, float]:
        return self.uniform

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(*self.uniform))


class LogUniform(_Distribution):
    """Uniform in the logarithm between two positive bounds."""

    loguniform: tuple[float, float] = Field(description="lower and upper bound, both above 0")

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        if not 0 < self.loguniform[0] <= self.loguniform[1]:
            raise ValueError("allowed: two bounds above 0, the lower one first")
        return self

    def bounds(self) -> tuple[float, float]:
        return self.loguniform

    def draw(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(*np.log(self.loguniform))))


class Normal(_Distribution):
    """Normal, optionally truncated (redrawn, not clamped) to an interval."""

    normal: tuple[float, float] = Field(description="mean and standard deviation")
    clip: tuple[float, float] | None = Field(None, description="interval outside which values are drawn again")

    @model_validator(mode="after")
    def _possible(self) -> Normal:
        mean, sd = self.normal
        if sd < 0:
            raise ValueError("the standard deviation is below 0; allowed: 0 or more")
        if self.clip is not None:
            low, high = self.clip
            if not low < high or (high < mean - 5 * sd) or (low > mean + 5 * sd):
                raise ValueError("clip leaves nothing of the distribution; allowed: an interval near the mean")
        return self

    def bounds(self) -> tuple[float, float]:
        if self.clip is not None:
            return self.clip
        return (-np.inf, np.inf) if self.normal[1] > 0 else (self.normal[0], self.normal[0])

    def draw(self, rng: np.random.Generator) -> float:
        if self.clip is None:
            return float(rng.normal(*self.normal))
        from scipy.stats import truncnorm

        mean, sd = self.normal
        if sd == 0:
            return mean
        low, high = ((c - mean) / sd for c in self.clip)
        return float(mean + sd * truncnorm.ppf(rng.uniform(), low, high))


class Choice(_Distribution, Generic[T]):
    """One of a list, with optional weights."""

    choice: list[T] = Field(min_length=1, description="values to choose from")
    weights: list[float] | None = Field(None, description="relative weight of each value; equal if left out")

    @model_validator(mode="after")
    def _weights_fit(self) -> Choice[T]:
        if self.weights is not None:
            if len(self.weights) != len(self.choice):
                raise ValueError(f"{len(self.weights)} weights for {len(self.choice)} values; allowed: one for each")
            if min(self.weights) < 0 or sum(self.weights) <= 0:
                raise ValueError("allowed: weights of 0 or more, not all 0")
        return self

    def bounds(self) -> tuple[T, T]:
        return min(self.choice), max(self.choice)

    def draw(self, rng: np.random.Generator) -> T:
        p = None if self.weights is None else np.asarray(self.weights) / sum(self.weights)
        return self.choice[int(rng.choice(len(self.choice), p=p))]


class IntegerUniform(_Distribution):
    """Uniform over the integers between two bounds, both included."""

    uniform: tuple[int, int] = Field(description="lowest and highest integer, both included")

    @model_validator(mode="after")
    def _ordered(self) -> IntegerUniform:
        if self.uniform[0] > self.uniform[1]:
            raise ValueError("the lower bound is above the upper bound; allowed: the lower one first")
        return self

    def bounds(self) -> tuple[int, int]:
        return self.uniform

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.uniform[0], self.uniform[1] + 1))


def draw(value: Any, rng: np.random.Generator) -> Any:
    """Draw from a distribution, or return a constant as it is."""
    return value.draw(rng) if isinstance(value, _Distribution) else value


def bounds(value: Any) -> tuple[Any, Any]:
    """Smallest and largest value that a distribution (or a constant) can give."""
    return value.bounds() if isinstance(value, _Distribution) else (value, value)


def names(value: Any) -> list[str]:
    """All names that a name or a choice of names can give."""
    return list(value.choice) if isinstance(value, Choice) else [value]


_TAGS = {
    "uniform": (Uniform, IntegerUniform),
    "normal": (Normal,),
    "loguniform": (LogUniform,),
    "choice": (Choice,),
}


def _tag(value: Any) -> str | None:
    """Tell which form a value has, so that an error speaks of that form only."""
    if isinstance(value, dict):
        keys = set(_TAGS) & set(value)
        return keys.pop() if len(keys) == 1 else None
    for tag, kinds in _TAGS.items():
        if isinstance(value, kinds):
            return tag
    return "constant" if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None


def _discriminator(allowed: str) -> Discriminator:
    return Discriminator(
        _tag,
        custom_error_type="distribution",
        custom_error_message=f"not a value or a distribution; allowed: {allowed}",
    )


Real = Annotated[
    Annotated[float, Tag("constant")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("loguniform")]
    | Annotated[Normal, Tag("normal")]
    | Annotated[Choice[float], Tag("choice")],
    _discriminator(
        "a number, {uniform: [low, high]}, {loguniform: [low, high]}, {normal: [mean, sd], clip: [low, high]} "
        "or {choice: [...], weights: [...]}"
    ),
]
Integer = Annotated[
    Annotated[int, Tag("constant")] | Annotated[IntegerUniform, Tag("uniform")] | Annotated[Choice[int], Tag("choice")],
    _discriminator("a whole number, {uniform: [low, high]} or {choice: [...], weights: [...]}"),
]
Name = Annotated[
    Annotated[str, Tag("constant")] | Annotated[Choice[str], Tag("choice")],
    _discriminator("a name or {choice: [...], weights: [...]}"),
]


def or_word(word: str, allowed: str) -> Any:
    """Validator for a number or a word: of another word says what is allowed, and not only that of numbers."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value != word:
            try:
                float(value)
            except ValueError:
                raise ValueError(f"allowed: {allowed}") from None
        return value

    return BeforeValidator(check)


def within(low: float | None = None, high: float | None = None, above: float | None = None) -> Any:
    """Validator for a distribution: every value it can give lies in [low, high], or above ``above``."""

    def check(value: Any) -> Any:
        lowest, highest = bounds(value)
        if low is not None and lowest < low:
            raise ValueError(f"reaches down to {lowest:g}; allowed: {low:g} or more")
        if above is not None and lowest <= above:
            raise ValueError(f"reaches down to {lowest:g}; allowed: above {above:g}")
        if high is not None and highest > high:
            raise ValueError(f"reaches up to {highest:g}; allowed: {high:g} or less")
        return value

    return AfterValidator(check)
