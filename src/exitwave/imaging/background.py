"""Uneven illumination and contamination: slowly varying factors of the expected intensity."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds
from exitwave.config.images import Background
from exitwave.errors import ConfigError

STEEPEST = 2.0
"""Gradient at which the dark edge gets no electrons."""
FINEST = 2.0
"""Smallest correlation length [px]: what varies faster is no background."""


def apply_background(
    intensity: NDArray[np.floating], background: Background, pixel_size: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Multiply the expected intensity by the illumination and the contamination, before the shot noise.

    Parameters
    ----------
    intensity : array [y, x]
        Expected intensity.
    background : Background
        Every value a constant.
    pixel_size : float
        Image pixel [Å].
    rng : numpy.random.Generator
        Randomness of the contamination; not touched where there is none.

    Returns
    -------
    float32 [y, x]
        The mean over the image of each of the two factors is 1, so that the dose is that of the conditions.

    Raises
    ------
    ConfigError
        As `check_background`.
    """
    image: NDArray[np.float32] = intensity.astype(np.float32, copy=False)
    shape = (image.shape[0], image.shape[1])
    check_background(background, pixel_size)
    gradient, contamination = cast("float", background.gradient), cast("float", background.contamination)
    if gradient > 0:
        image = image * illumination(shape, gradient, cast("float", background.gradient_angle))
    if contamination > 0:
        length = cast("float", background.contamination_length) / pixel_size
        image = image * contamination_factor(shape, contamination, length, rng)
    return image


def check_background(background: Background, pixel_size: float) -> None:
    """Check that the factors stay positive and are slow, whatever is drawn.

    Raises
    ------
    ConfigError
        If the gradient would darken an edge to nothing, or the correlation length is that of pixels.
    """
    gradient = bounds(background.gradient)[1]
    if not gradient < STEEPEST:
        raise ConfigError(
            f"background.gradient: reaches up to {gradient:g}; allowed: below {STEEPEST:g}, where one edge gets dark"
        )
    length = bounds(background.contamination_length)[0]
    if bounds(background.contamination)[1] > 0 and length < FINEST * pixel_size:
        raise ConfigError(
            f"background.contamination_length: reaches down to {length:g} Å; allowed: {FINEST:g} pixels or more, "
            f"{FINEST * pixel_size:g} Å"
        )


def illumination(shape: tuple[int, int], gradient: float, angle: float) -> NDArray[np.float32]:
    """Linear factor ``1 + gradient t``, where t runs from -1/2 to 1/2 across the image.

    Parameters
    ----------
    shape : tuple of int
        Pixels along y and x.
    gradient : float
        Relative change from edge to edge; along a diagonal from corner to corner.
    angle : float
        Direction in which it grows, from x towards y [rad].

    Returns
    -------
    float32 [y, x]
        Mean 1.
    """
    ny, nx = shape
    y, x = ((np.arange(n) + 0.5) - n / 2 for n in shape)
    across = nx * abs(math.cos(angle)) + ny * abs(math.sin(angle))
    t = (x * math.cos(angle) + y[:, None] * math.sin(angle)) / across
    factor: NDArray[np.float32] = (1 + gradient * t).astype(np.float32)
    return factor


def contamination_factor(
    shape: tuple[int, int], deviation: float, length: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Smooth, positive random factor: the exponential of a Gaussian random field.

    The field g has the correlation ``exp(-(r / length)²)`` and the variance ``s² = ln(1 + deviation²)``; ``exp(g)``,
    divided by its mean over the image, is log-normal with that relative standard deviation. Where the length
    is not small against the image, some of it goes into the mean: then an image varies less within itself.

    Parameters
    ----------
    shape : tuple of int
        Pixels along y and x.
    deviation : float
        Relative standard deviation.
    length : float
        Correlation length [px], at which the correlation of g has fallen to 1/e.
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    float32 [y, x]
        Mean 1; not periodic.
    """
    # White noise on coarse nodes, spread by a Gaussian of standard deviation length / 2, whose autocorrelation is the
    # one wanted. The kernel is separable, so that two small matrices do it. At 4 nodes a length the sum over nodes
    # equals the integral to 1e-17, and each row is normalised to a variance of 1.
    rows, columns = (_kernel(n, length) for n in shape)
    noise = rng.standard_normal((rows.shape[1], columns.shape[1]))
    field = rows @ noise @ columns.T
    factor = np.exp(math.sqrt(math.log1p(deviation**2)) * field)
    normalised: NDArray[np.float32] = (factor / factor.mean()).astype(np.float32)
    return normalised


def _kernel(n: int, length: float) -> NDArray[np.float64]:
    width, step = length / 2, length / 4
    # Nodes from 5 standard deviations before the first pixel to 5 after the last.
    nodes = step * np.arange(-10, math.ceil((n - 1) / step) + 11)
    kernel = np.exp(-0.5 * ((np.arange(n)[:, None] - nodes) / width) ** 2)
    unit: NDArray[np.float64] = kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))
    return unit
