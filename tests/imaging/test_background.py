"""Uneven illumination and contamination: mean, direction, statistics, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exitwave.config.images import Background
from exitwave.errors import ConfigError
from exitwave.imaging.background import apply_background, check_background, contamination_factor, illumination

FLAT = np.ones((96, 128), np.float32)


def test_no_background_leaves_image_and_generator_alone():
    rng = np.random.default_rng(0)
    image = np.random.default_rng(1).random((20, 30), dtype=np.float32)
    np.testing.assert_array_equal(apply_background(image, Background(), 0.5, rng), image)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("angle", "darkest", "brightest"),
    [
        (0.0, (slice(None), 0), (slice(None), -1)),
        (np.pi / 2, (0, slice(None)), (-1, slice(None))),
        (np.pi, (slice(None), -1), (slice(None), 0)),
        (-np.pi / 2, (-1, slice(None)), (0, slice(None))),
        (np.pi / 4, (0, 0), (-1, -1)),
        (3 * np.pi / 4, (0, -1), (-1, 0)),
    ],
)
def test_illumination_grows_along_its_direction_from_x_towards_y(angle, darkest, brightest):
    factor = illumination((96, 128), 0.3, angle)
    assert factor[darkest] == pytest.approx(factor.min(), abs=1e-6)
    assert factor[brightest] == pytest.approx(factor.max(), abs=1e-6)
    # From centre to centre of the outermost pixels; a pixel less than from edge to edge.
    assert factor.max() - factor.min() == pytest.approx(0.3, rel=0.012)


@given(angle=st.floats(-10, 10), gradient=st.floats(0, 1.99), ny=st.integers(1, 50), nx=st.integers(1, 50))
def test_illumination_is_linear_positive_and_one_in_the_mean(angle, gradient, ny, nx):
    factor = illumination((ny, nx), gradient, angle)
    assert factor.mean(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert factor.min() > 0
    assert np.abs(np.diff(factor, n=2, axis=0)).max(initial=0) < 1e-5
    assert np.abs(np.diff(factor, n=2, axis=1)).max(initial=0) < 1e-5


def log_fields(deviation, length, number, n=192):
    rng = np.random.default_rng(5)
    return np.array([contamination_factor((n, n), deviation, length, rng) for _ in range(number)], float)


def test_contamination_has_the_mean_and_standard_deviation_asked_for():
    factor = log_fields(0.2, 6.0, 20)
    np.testing.assert_allclose(factor.mean(axis=(1, 2)), 1, atol=1e-6)
    # Some 20 x 1,000 independent patches: 1 % is three standard deviations.
    assert factor.std() == pytest.approx(0.2, rel=0.015)


def test_contamination_is_log_normal():
    from scipy.stats import kurtosis, skew

    logarithm = np.log(log_fields(0.5, 6.0, 20)).ravel()
    assert logarithm.var() == pytest.approx(np.log(1.25), rel=0.03)
    assert skew(logarithm) == pytest.approx(0, abs=0.05)
    assert kurtosis(logarithm) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_contamination_has_its_correlation_length(axis):
    length = 10.0
    logarithm = np.log(log_fields(0.1, length, 30))
    logarithm -= logarithm.mean()
    moved = np.moveaxis(logarithm, axis + 1, 1)
    for lag in (0, 3, 5, 10, 15, 30):
        correlation = (moved[:, : 192 - lag] * moved[:, lag:]).mean() / logarithm.var()
        assert correlation == pytest.approx(np.exp(-((lag / length) ** 2)), abs=0.03)


def test_contamination_varies_as_much_at_the_edges_and_is_not_periodic():
    logarithm = np.log(log_fields(0.1, 5.0, 60, n=96))
    inside = logarithm[:, 24:72, 24:72].std()
    assert logarithm[:, 0].std() == pytest.approx(inside, rel=0.1)
    assert logarithm[:, :, -1].std() == pytest.approx(inside, rel=0.1)
    assert np.corrcoef(logarithm[:, 0].ravel(), logarithm[:, -1].ravel())[0, 1] == pytest.approx(0, abs=0.15)


def test_contamination_longer_than_the_image_is_a_slope_of_mean_one():
    factor = log_fields(0.5, 2000.0, 3, n=64)
    np.testing.assert_allclose(factor.mean(axis=(1, 2)), 1, atol=1e-6)
    assert factor.std() < 0.1


def test_contamination_length_is_in_angstrom():
    background = Background(contamination=0.1, contamination_length=10.0)
    image = apply_background(FLAT, background, 0.5, np.random.default_rng(3))
    np.testing.assert_array_equal(image, contamination_factor((96, 128), 0.1, 20.0, np.random.default_rng(3)))


@settings(max_examples=40, deadline=None)
@given(
    gradient=st.floats(0, 1.9),
    angle=st.floats(-4, 4),
    contamination=st.floats(0, 2),
    length=st.floats(1, 500),
    seed=st.integers(0, 1000),
)
def test_what_comes_out_is_positive_and_single_precision(gradient, angle, contamination, length, seed):
    background = Background(
        gradient=gradient, gradient_angle=angle, contamination=contamination, contamination_length=length
    )
    image = apply_background(np.full((24, 40), 0.7), background, 0.5, np.random.default_rng(seed))
    assert image.dtype == np.float32
    assert image.shape == (24, 40)
    assert np.isfinite(image).all()
    assert image.min() > 0


def test_the_same_generator_gives_the_same_contamination():
    background = Background(contamination=0.2)
    one, other = (apply_background(FLAT, background, 0.5, np.random.default_rng(s)) for s in (3, 3))
    np.testing.assert_array_equal(one, other)
    assert (one != apply_background(FLAT, background, 0.5, np.random.default_rng(4))).any()


@pytest.mark.parametrize(
    ("background", "sentence"),
    [
        (Background(gradient=2.0), "background.gradient: reaches up to 2; allowed: below 2"),
        (Background(gradient={"uniform": [0, 3]}), "background.gradient: reaches up to 3"),
        (
            Background(contamination=0.1, contamination_length={"uniform": [0.5, 50]}),
            "background.contamination_length: reaches down to 0.5 Å; allowed: 2 pixels or more, 1 Å",
        ),
    ],
)
def test_what_is_no_background_is_refused(background, sentence):
    with pytest.raises(ConfigError) as error:
        check_background(background, 0.5)
    assert str(error.value).startswith(sentence)


def test_a_length_that_is_not_used_is_not_refused():
    check_background(Background(contamination_length=0.1), 0.5)
