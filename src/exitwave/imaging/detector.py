"""Cameras: from the expected intensity to counts, with the noise transferred as the camera transfers it."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from exitwave.config.cameras import Camera, CountingCamera, IdealCamera, ScintillatorCamera
from exitwave.config.distributions import bounds
from exitwave.errors import ConfigError
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.mtf import check_mtf, modulation, modulation_grid

LARGEST_COUNT = int(np.iinfo(np.uint32).max)
ROOM = 6
"""Standard deviations kept free above the mean, and below the offset."""
MARGIN = 16
"""Pixels around the image that are simulated too, so that what is scattered in and out of it is."""
HOT = (2.0, 100.0)
"""Range of the counts of a hot pixel of an ideal camera, in multiples of the mean count of the image."""
LEAST_LEFT = 0.01
"""Smallest share of the DQE that coincidence loss may leave."""


def record(
    intensity: NDArray[np.float32], conditions: ImagingConditions, pixel_size: float, rng: np.random.Generator
) -> NDArray[np.uint32]:
    """Record an image with the camera of the conditions.

    Parameters
    ----------
    intensity : float32 [y, x]
        Expected intensity averaged over the area of each image pixel; 1 in the incoming beam.
    conditions : ImagingConditions
        Dose [e⁻/Å²] and camera.
    pixel_size : float
        Image pixel [Å].
    rng : numpy.random.Generator
        Randomness. Fixed patterns (gain and dark residues, dead and hot pixels) are drawn for every image, as if each
        lay elsewhere on the camera.

    Returns
    -------
    uint32 [y, x]
        Counts: electrons, or what the camera makes of them. They are cut off at the largest count of the bit depth
        only, see `saturated`, and at 0.

    Raises
    ------
    ConfigError
        If the camera cannot hold the mean count, or its MTF cannot be used.

    Notes
    -----
    *Ideal*: Poisson counts, blurred by a Gaussian that is reflected at the edges and so keeps their sum. What it
    leaves behind the decimal point is rounded up with that probability: rounding to the nearest number would take most
    electrons from an image with less than half an electron in a pixel.

    *Scintillator*: of n expected electrons a pixel, ``q n`` are detected in the mean, each as g/q counts of light,
    where q is the quantum efficiency and g the gain. The signal is transferred by the MTF and the shot noise by
    the noise transfer function NTF,

        counts = NTF * (g/q) Poisson(q (MTF / NTF) * n),        * meaning multiplication of the spectrum.

    The mean is then ``g n``, the noise power spectrum of a flat field ``g² n NTF² / q``, and so
    ``DQE(f) = n g² MTF² / NPS = q MTF² / NTF²`` (Meyer & Kirkland, Microsc. Res. Tech. 49 (2000) 269; Niermann, Lubk
    & Röder, Ultramicroscopy 115 (2012) 68; Vulović et al., J. Struct. Biol. 183 (2013) 19). Residues of the
    references, offset and readout noise follow, which have no transfer function. Residues of the dark reference and
    readout noise are both independent from pixel to pixel and image to image, so that one draw is their sum. Counts
    are rounded up or down at random, with the right mean.

    *Counting*: the MTF spreads the place where an electron is counted, that is the expected number; each electron is
    counted once and in one pixel, so that the noise stays white and ``DQE(f) = q MTF²``. Where electrons are lost by
    coincidence, the exposure has ``F = dose pixel_size² / electrons_per_frame`` frames, rounded to a whole number, and
    a pixel that expects x detected electrons in a frame counts 1 with probability ``1 - exp(-x)``: binomial numbers of
    mean ``F (1 - exp(-x))``, with a DQE lower by ``x / (exp(x) - 1)``.

    What lies beyond the edges of the image is taken to be its mirror image, within 16 pixels, with shot noise of its
    own. Electrons scattered across an edge leave the image as others enter it: the mean is kept, the sum is not.
    """
    beam = conditions.dose * pixel_size**2
    electrons = intensity.astype(np.float64) * beam
    told = f"dose {conditions.dose:g} e⁻/Å² on pixels of {pixel_size:g} Å"
    _check_room(electrons, told)
    if not isinstance(conditions.camera, IdealCamera):
        check_camera(conditions.camera, (conditions.dose, conditions.dose), pixel_size)
    return record_electrons(electrons, conditions.camera, beam, rng, told)


def record_electrons(
    electrons: NDArray[np.float64], camera: Camera, beam: float, rng: np.random.Generator, told: str
) -> NDArray[np.uint32]:
    """Record what is told in electrons; see :func:`record`.

    Parameters
    ----------
    electrons : float64 [y, x]
        Electrons expected in each pixel.
    camera : Camera
        The camera, every value a constant.
    beam : float
        Electrons of a pixel by which the frames of the exposure are counted, for a counting camera with loss.
    rng : numpy.random.Generator
    told : str
        What gives so many electrons, to begin an error with.

    Returns
    -------
    uint32 [y, x]

    Raises
    ------
    ConfigError
        If there are more electrons than can be counted.
    """
    _check_room(electrons, told)
    if isinstance(camera, IdealCamera):
        return _ideal(electrons, camera, rng)
    if isinstance(camera, CountingCamera):
        counts = _counting(electrons, camera, beam, rng)
    else:
        counts = _scintillator(electrons, camera, rng)
    largest = _largest_count(camera)
    stored: NDArray[np.uint32] = np.clip(counts, 0, largest).astype(np.uint32)
    if camera.dead_pixels > 0 or camera.hot_pixels > 0:
        place = rng.random(stored.shape)
        stored[place < camera.dead_pixels] = 0
        stored[place >= 1 - camera.hot_pixels] = largest
    return stored


def _check_room(electrons: NDArray[np.float64], told: str) -> None:
    # Also false for NaN. Six standard deviations of room for the shot noise.
    highest = float(electrons.max())
    if not highest + ROOM * np.sqrt(highest) < LARGEST_COUNT:
        raise ConfigError(f"{told} gives up to {highest:g} electrons in one; allowed: less than {LARGEST_COUNT}")


def saturated(counts: NDArray[np.uint32], camera: Camera) -> float:
    """Share of pixels at the largest count that the camera can store, hot pixels included.

    Parameters
    ----------
    counts : uint32 [y, x]
        What `record` gave.
    camera : Camera
        The camera.

    Returns
    -------
    float
        Always 0 for an ideal camera, which refuses what it cannot hold.
    """
    return float((counts == _largest_count(camera)).mean())


def check_camera(camera: Camera, dose: tuple[float, float], pixel_size: float) -> None:
    """Check before the first job that a camera can record an evenly lit field, whatever is drawn.

    Pixels brighter than the incoming beam may still saturate; `saturated` tells how many did.

    Parameters
    ----------
    camera : Camera
        The camera; its values may be distributions.
    dose : tuple of float
        Smallest and largest dose [e⁻/Å²].
    pixel_size : float
        Image pixel [Å].

    Raises
    ------
    ConfigError
        If mean and six standard deviations of the counts go beyond the bit depth, noise goes below 0, nothing would
        be left to see, or an MTF cannot be used: one sentence that begins with the key.
    """
    told = f"dose: reaches up to {dose[1]:g} e⁻/Å²"
    check_counts(camera, dose[1] * pixel_size**2, told)


def check_counts(camera: Camera, electrons: float, told: str) -> None:
    """Check as :func:`check_camera` that a camera can record so many electrons in a pixel.

    Parameters
    ----------
    camera : Camera
        The camera; its values may be distributions.
    electrons : float
        Largest number that is expected in a pixel.
    told : str
        What gives so many, to begin an error with.

    Raises
    ------
    ConfigError
        As :func:`check_camera`.
    """
    mean, deviation = electrons, math.sqrt(electrons)
    if camera.dead_pixels + camera.hot_pixels > 1:
        raise ConfigError(
            f"detector.hot_pixels: found {camera.hot_pixels:g} with {camera.dead_pixels:g} dead ones; allowed: a "
            "sum of 1 or less"
        )
    if not isinstance(camera, IdealCamera):
        _check_transfer(camera)
        lowest, highest = bounds(camera.quantum_efficiency)
        if not lowest > 0:
            raise ConfigError(f"detector.quantum_efficiency: reaches down to {lowest:g}; allowed: above 0")
        if isinstance(camera, CountingCamera):
            mean, deviation = _check_counting(camera, electrons, highest)
        else:
            mean, deviation = _check_scintillator(camera, electrons, lowest)
    largest = _largest_count(camera)
    if not mean + ROOM * deviation <= largest:
        depth = 32 if isinstance(camera, IdealCamera) else camera.bit_depth
        raise ConfigError(
            f"{told}, which gives {mean:.4g} counts a pixel with a standard deviation "
            f"of {deviation:.4g}; allowed: mean and {ROOM} standard deviations up to {largest}, the largest count of "
            f"{depth} bits"
        )


def _check_transfer(camera: ScintillatorCamera | CountingCamera) -> None:
    noise = camera.noise_transfer if isinstance(camera, ScintillatorCamera) else None
    for key, function in (("mtf", camera.mtf), ("noise_transfer", noise)):
        try:
            check_mtf(function)
        except ConfigError as error:
            raise ConfigError(f"detector.{key}.{error}") from error
    if noise is not None:
        frequency = np.linspace(0, math.sqrt(0.5), 100)
        signal, transferred = modulation(camera.mtf, frequency), modulation(noise, frequency)
        worst = int(np.argmax(signal - transferred))
        if signal[worst] > transferred[worst] + 0.05:
            raise ConfigError(
                f"detector.noise_transfer: {transferred[worst]:.3f} at frequency {frequency[worst]:.3f}, where mtf is "
                f"{signal[worst]:.3f}; allowed: mtf or more, since the DQE does not rise above its value at frequency 0"
            )


def _check_counting(camera: CountingCamera, electrons: float, efficiency: float) -> tuple[float, float]:
    """Largest mean count of a pixel and its standard deviation."""
    per_frame = float(bounds(camera.electrons_per_frame)[1])
    loss = efficiency * per_frame
    # exp(-x) in place of 1 / (exp(x) - 1), which overflows.
    left = 1.0 if loss == 0 else loss * math.exp(-loss) / -math.expm1(-loss)
    if left < LEAST_LEFT:
        raise ConfigError(
            f"detector.electrons_per_frame: reaches up to {per_frame:g}, where coincidence loss leaves {left:.2g} of "
            f"the DQE; allowed: what leaves {LEAST_LEFT:g} or more"
        )
    return efficiency * electrons, math.sqrt(efficiency * electrons)


def _check_scintillator(camera: ScintillatorCamera, electrons: float, efficiency: float) -> tuple[float, float]:
    """Largest mean count of a pixel and its standard deviation."""
    electronic = math.hypot(bounds(camera.dark_residue)[1], bounds(camera.readout_noise)[1])
    if camera.offset < ROOM * electronic:
        raise ConfigError(
            f"detector.offset: found {camera.offset:g} counts; allowed: {ROOM * electronic:g} or more, {ROOM} standard "
            "deviations of readout noise and dark residue, so that no pixel is cut off at 0"
        )
    light = bounds(camera.gain)[1] * electrons
    grid = modulation_grid(camera.noise_transfer or camera.mtf, (64, 64))
    # The half-plane stands for the whole: good enough for a mean.
    shot = bounds(camera.gain)[1] * math.sqrt(electrons / efficiency * float((grid**2).mean()))
    residue = bounds(camera.gain_residue)[1] * light
    return light + camera.offset, math.hypot(shot, residue, electronic)


def _largest_count(camera: Camera) -> int:
    return LARGEST_COUNT if isinstance(camera, IdealCamera) else int(2**camera.bit_depth - 1)


def _ideal(electrons: NDArray[np.float64], camera: IdealCamera, rng: np.random.Generator) -> NDArray[np.uint32]:
    counts, blur = rng.poisson(electrons), cast("float", camera.blur)
    if blur > 0:
        blurred = gaussian_filter(counts.astype(np.float64), blur, mode="reflect")
        counts = np.floor(blurred + rng.random(blurred.shape))
    if camera.dead_pixels > 0 or camera.hot_pixels > 0:
        place = rng.random(counts.shape)
        hot = place >= 1 - camera.hot_pixels
        # Twice the mean at the least, and a whole count: also where there is hardly an electron in a pixel.
        factor = np.exp(rng.uniform(math.log(HOT[0]), math.log(HOT[1]), int(hot.sum())))
        counts[place < camera.dead_pixels] = 0
        counts[hot] = np.minimum(np.ceil(max(float(electrons.mean()), 1.0) * factor), LARGEST_COUNT)
    return counts.astype(np.uint32)


def _counting(
    electrons: NDArray[np.float64], camera: CountingCamera, beam: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Counts of a pixel that gets ``beam`` electrons where the intensity is 1."""
    spread: NDArray[np.floating] = electrons
    if camera.mtf is not None:
        surrounded, inside = _surrounded(electrons)
        spread = _filtered(surrounded, modulation_grid(camera.mtf, _shape(surrounded)))[inside]
    detected = np.maximum(spread, 0).astype(np.float64) * cast("float", camera.quantum_efficiency)
    per_frame = cast("float", camera.electrons_per_frame)
    if per_frame == 0:
        counts: NDArray[np.float64] = rng.poisson(detected).astype(np.float64)
        return counts
    # Beyond 10^12 frames no two electrons meet, and double precision would end.
    frames = max(1, round(min(beam / per_frame, 1e12)))
    counts = rng.binomial(frames, -np.expm1(-detected / frames)).astype(np.float64)
    return counts


def _scintillator(
    electrons: NDArray[np.float64], camera: ScintillatorCamera, rng: np.random.Generator
) -> NDArray[np.float64]:
    efficiency, gain = cast("float", camera.quantum_efficiency), cast("float", camera.gain)
    noise_transfer = camera.noise_transfer or camera.mtf
    surrounded, inside = _surrounded(electrons)
    expected: NDArray[np.floating] = electrons if noise_transfer is None else surrounded
    shape = _shape(expected)
    if camera.noise_transfer is not None:
        noise = modulation_grid(camera.noise_transfer, shape)
        ratio = np.divide(modulation_grid(camera.mtf, shape), noise, out=np.zeros_like(noise), where=noise > 0)
        expected = _filtered(expected, ratio)
    detected = rng.poisson(np.maximum(expected, 0).astype(np.float64) * efficiency)
    light: NDArray[np.floating] = detected * (gain / efficiency)
    if noise_transfer is not None:
        light = _filtered(light, modulation_grid(noise_transfer, shape))[inside]
    residue = cast("float", camera.gain_residue)
    if residue > 0:
        light = light * (1 + residue * rng.standard_normal(light.shape))
    electronic = math.hypot(cast("float", camera.dark_residue), cast("float", camera.readout_noise))
    if electronic > 0:
        light = light + electronic * rng.standard_normal(light.shape)
    counts: NDArray[np.float64] = np.floor(light + camera.offset + rng.random(light.shape))
    return counts


def _surrounded(image: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[slice, slice]]:
    """Image within a margin of its mirror image, on a grid quick to transform, and where the image is in it."""
    more = [fft.next_fast_len(n + 2 * MARGIN, real=True) - n for n in image.shape]
    widths = [(MARGIN, extra - MARGIN) for extra in more]
    ny, nx = image.shape
    return np.pad(image, widths, mode="symmetric"), (slice(MARGIN, MARGIN + ny), slice(MARGIN, MARGIN + nx))


def _shape(image: NDArray[np.floating]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _filtered(image: NDArray[np.floating], transfer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Periodic image with its spectrum multiplied by a function of ``rfft2``'s half-plane."""
    spectrum = fft.rfft2(image.astype(np.float32))
    spectrum *= transfer
    result: NDArray[np.float32] = fft.irfft2(spectrum, s=image.shape, overwrite_x=True)
    return result
