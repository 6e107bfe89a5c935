import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exitwave.data.rounding import quantum, round_waves
from exitwave.data.shards import open_shard
from exitwave.errors import ConfigError

ERRORS = st.floats(1e-7, 0.5)
PARTS = hnp.arrays(np.float32, (2, 3, 8), elements=st.floats(-8, 8, width=32))


def parts_of(waves):
    return waves.view(np.float32).astype(np.float64)


@given(parts=PARTS, error=ERRORS)
def test_no_part_is_off_by_more_than_the_error_asked_for(parts, error):
    waves = parts.view(np.complex64)
    rounded = round_waves(waves, error)
    assert rounded.dtype == np.complex64
    assert rounded.shape == waves.shape
    # Single precision adds half a unit in the last place of the number itself.
    assert np.abs(parts_of(rounded) - parts_of(waves)).max() <= error + 8 * 2.0**-25


@given(parts=PARTS, error=ERRORS)
def test_every_part_is_the_nearest_multiple_as_decimal_arithmetic_has_it(parts, error):
    step = quantum(error)
    expected = [round(value / step) * step for value in parts.astype(float).ravel()]
    np.testing.assert_array_equal(parts_of(round_waves(parts.view(np.complex64), error)).ravel(), expected)


@given(parts=PARTS, error=ERRORS)
def test_rounding_twice_is_rounding_once(parts, error):
    once = round_waves(parts.view(np.complex64), error)
    assert round_waves(once, error).tobytes() == once.tobytes()


@given(error=ERRORS)
def test_the_step_is_the_largest_power_of_two_that_keeps_the_error(error):
    step = quantum(error)
    assert math.frexp(step)[0] == 0.5
    assert step / 2 <= error < step


def test_an_error_of_zero_changes_nothing():
    waves = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32).view(np.complex64)
    for error in (0, 0.0, 1e-30):
        assert round_waves(waves, error) is waves


def test_the_waves_given_are_left_as_they_are_and_need_not_lie_in_one_piece():
    waves = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32).view(np.complex64)
    before = waves.copy()
    across = round_waves(waves.T, 1e-3)
    np.testing.assert_array_equal(waves, before)
    np.testing.assert_array_equal(across, round_waves(waves, 1e-3).T)


def test_the_vacuum_stays_exactly_one_and_zeros_have_no_sign():
    rounded = round_waves(np.array([1, -1e-9 - 1e-9j, 1 + 1e-6j], np.complex64), 1e-3)
    assert rounded.tobytes() == np.array([1, 0, 1], np.complex64).tobytes()


def test_what_is_not_a_number_does_not_become_one():
    waves = np.array([np.nan, np.inf, 1], np.complex64)
    assert np.isfinite(round_waves(waves, 1e-3)).tolist() == [False, False, True]


@pytest.mark.parametrize("error", [-1e-3, math.nan, math.inf])
def test_an_impossible_error_is_refused(error):
    with pytest.raises(ConfigError, match=r"storage_error is .*; allowed: 0 or more"):
        round_waves(np.ones(2, np.complex64), error)


def test_errors_have_no_bias_and_the_spread_of_rounding():
    """Uniform over one step, so that images see noise and no shift: mean 0, standard deviation step / sqrt(12)."""
    rng = np.random.default_rng(1)
    waves = (1 + rng.normal(size=400_000).astype(np.float32)).view(np.complex64)
    step = quantum(1e-3)
    differences = parts_of(round_waves(waves, 1e-3)) - parts_of(waves)
    assert abs(differences.mean()) < 5 * step / math.sqrt(12 * differences.size)
    assert differences.std() == pytest.approx(step / math.sqrt(12), rel=0.01)


def test_stored_bytes_come_near_the_entropy_of_the_rounded_numbers(tmp_path, write_images):
    """Shannon's bound for a coder that knows the frequency of every number and no neighbours."""
    rng = np.random.default_rng(2)
    parts = rng.normal([1, 0], 0.2, (2, 256, 256, 2)).astype(np.float32)
    waves = round_waves(parts.view(np.complex64)[..., 0], 1e-3)
    write_images(tmp_path / "shard.zarr.zip", {"whole": waves}, pd.DataFrame({"item": [0, 1]}))
    np.testing.assert_array_equal(open_shard(tmp_path / "shard.zarr.zip").read("whole"), waves)
    bound = 0.0
    for part in (waves.real, waves.imag):
        share = np.unique(part, return_counts=True)[1] / part.size
        bound -= (share * np.log2(share)).sum() / 8
    assert bound < (tmp_path / "shard.zarr.zip").stat().st_size / waves.size < 1.3 * bound
