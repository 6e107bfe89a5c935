"""Distributions draw within their bounds, with the moments they state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exitwave.config.distributions import Integer, Name, Real, bounds, draw

REAL: TypeAdapter[Any] = TypeAdapter(Real)
INTEGER: TypeAdapter[Any] = TypeAdapter(Integer)
NAME: TypeAdapter[Any] = TypeAdapter(Name)
numbers = st.floats(-1e6, 1e6, allow_nan=False)
seeds = st.integers(0, 2**32)


def sample(adapter: Any, value: Any, size: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    distribution = adapter.validate_python(value)
    return np.array([draw(distribution, rng) for _ in range(size)])


@given(st.lists(numbers, min_size=2, max_size=2).map(sorted), seeds)
def test_uniform_stays_within_its_bounds(limits: list[float], seed: int) -> None:
    value = REAL.validate_python({"uniform": limits})
    assert limits[0] <= draw(value, np.random.default_rng(seed)) <= limits[1]


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2).map(sorted), seeds)
def test_loguniform_stays_within_its_bounds(limits: list[float], seed: int) -> None:
    value = draw(REAL.validate_python({"loguniform": limits}), np.random.default_rng(seed))
    assert limits[0] * (1 - 1e-12) <= value <= limits[1] * (1 + 1e-12)


@given(numbers, st.floats(1e-3, 1e3), st.floats(-4, 3.9), st.floats(0.01, 4), seeds)
def test_a_truncated_normal_stays_within_its_clip(mean: float, sd: float, low: float, width: float, seed: int) -> None:
    clip = [mean + low * sd, mean + (low + width) * sd]
    value = draw(REAL.validate_python({"normal": [mean, sd], "clip": clip}), np.random.default_rng(seed))
    tolerance = 1e-9 * (abs(mean) + sd)
    assert clip[0] - tolerance <= value <= clip[1] + tolerance


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=2).map(sorted), seeds)
def test_uniform_of_integers_stays_within_and_is_whole(limits: list[int], seed: int) -> None:
    value = draw(INTEGER.validate_python({"uniform": limits}), np.random.default_rng(seed))
    assert isinstance(value, int)
    assert limits[0] <= value <= limits[1]


@given(st.lists(numbers, min_size=1, max_size=5), seeds)
@settings(max_examples=30)
def test_choice_gives_one_of_its_values(values: list[float], seed: int) -> None:
    distribution = REAL.validate_python({"choice": values})
    assert draw(distribution, np.random.default_rng(seed)) in values
    assert bounds(distribution) == (min(values), max(values))


def test_uniform_has_the_moments_of_a_uniform() -> None:
    drawn = sample(REAL, {"uniform": [2, 8]})
    assert drawn.mean() == pytest.approx(5, abs=4 * 6 / np.sqrt(12 * 4000))
    assert drawn.std() == pytest.approx(6 / np.sqrt(12), rel=0.04)


def test_normal_has_its_mean_and_standard_deviation() -> None:
    drawn = sample(REAL, {"normal": [30, 20]})
    assert drawn.mean() == pytest.approx(30, abs=4 * 20 / np.sqrt(4000))
    assert drawn.std() == pytest.approx(20, rel=0.05)


def test_a_half_normal_is_drawn_again_and_not_clamped() -> None:
    drawn = sample(REAL, {"normal": [0, 1], "clip": [0, 50]})
    # Mean of the half-normal distribution; clamping would give half of it and a heap at 0.
    assert drawn.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.04)
    assert (drawn == 0).sum() == 0


def test_loguniform_is_uniform_in_the_logarithm() -> None:
    drawn = np.log10(sample(REAL, {"loguniform": [1, 1000]}))
    assert drawn.mean() == pytest.approx(1.5, abs=0.06)
    assert np.histogram(drawn, bins=3, range=(0, 3))[0] == pytest.approx([4000 / 3] * 3, rel=0.1)


def test_integers_reach_both_bounds_equally_often() -> None:
    values, counts = np.unique(sample(INTEGER, {"uniform": [0, 3]}), return_counts=True)
    assert list(values) == [0, 1, 2, 3]
    assert counts == pytest.approx([1000] * 4, rel=0.15)


def test_weights_of_a_choice_are_relative() -> None:
    drawn = sample(NAME, {"choice": ["Au", "CdSe"], "weights": [3, 1]})
    assert (drawn == "Au").mean() == pytest.approx(0.75, abs=0.03)


def test_a_constant_takes_nothing_from_the_generator() -> None:
    rng = np.random.default_rng(3)
    assert draw(REAL.validate_python(4.5), rng) == 4.5
    assert rng.uniform() == np.random.default_rng(3).uniform()


@pytest.mark.parametrize(
    "value",
    [
        {"uniform": [2, 1]},
        {"loguniform": [0, 1]},
        {"normal": [0, -1]},
        {"normal": [0, 1], "clip": [2, 1]},
        {"normal": [0, 1], "clip": [90, 100]},
        {"choice": []},
        {"choice": [1, 2], "weights": [0, 0]},
        {"choice": [1, 2], "weights": [1]},
        {"uniform": [1, 2], "normal": [1, 2]},
        {"poisson": 3},
        [1, 2],
        True,
        None,
    ],
)
def test_an_impossible_distribution_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        REAL.validate_python(value)
