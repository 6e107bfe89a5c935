"""How like the training images an image is: what tells whether a network knows what it is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2, rfftfreq
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from exitwave.data.preprocess import PERCENTILES, has_contrast

FloatArray = NDArray[np.float64]

WARNED, REFUSED = 2.6, 6.0
"""Distances beyond which an image is told, and refused: one in 400 and in a million training images lie so far out."""
LARGEST_FIELD, SMALLEST_FIELD = 256, 32
"""Edges [px] to which fields are cut, and below which they tell too little."""
ALONG = 8
"""Fields along each edge of an image at most."""
LEAST_IMAGES = 100
"""Training images without which limits would be guesses."""
RINGS = np.array([0.007, 1 / 48, 1 / 32, 1 / 24, 1 / 16, 1 / 12, 1 / 8, 0.17, 0.21, 0.25, 0.3, 0.35, 0.42, 0.5])
"""Edges of the rings of the power spectrum [1/px]."""
COARSE = 5
"""Rings of wide areas: periods above 12 px."""
BANDS = {"mid": (1 / 12, 0.21), "fine": (0.21, 0.5)}
"""Frequencies in which peaks and streaks are looked for [1/px]."""
BLOCK = 8
"""Edge [px] of the squares whose brightness and roughness are compared."""
NOISE = 0.3
"""Whiteness (see `features`) above which 1 in 100 fields of nothing but white noise lies."""
SHRINKAGE = 0.1
"""Weight of the diagonal in a covariance."""
FOLDS, TAIL = 10, 0.1
"""Parts of the sample of which each is measured by the others, and the share of it that tells how distances end."""
LEVELS = (0.005, 0.02, 0.05, 0.16, 0.5, 0.84, 0.95, 0.98, 0.995)
"""Quantiles by which a feature is turned into a normal score."""
FAR_SCORE = 6.0
"""Normal score above which only its logarithm counts, lest one feature alone makes an image unlike all others."""

_RING_NAMES = tuple(f"ring_{number}" for number in range(len(RINGS) - 1))
ODD = ("skewness", "skewness_coarse", "dark_or_bright_rough")
"""Features whose sign turns when bright and dark are exchanged; all others stay."""
ASPECTS: dict[str, tuple[str, ...]] = {
    "contrast": (*ODD, "coarse"),
    "spectrum": _RING_NAMES,
    "pattern": ("peak_mid", "peak_fine", "streaks", "patchiness"),
    "tails": ("tails", "tails_coarse", "tails_edges"),
}
"""In what an image may differ, and by which features; ``sign`` and ``noise`` are made from these."""
NAMES = (*ASPECTS["contrast"], *ASPECTS["spectrum"], *ASPECTS["pattern"], *ASPECTS["tails"], "whiteness")
"""Features of a field, in their order."""
_WORDS = {
    ("skewness", True): "few pixels are bright and most are dark, as in dark-field images and diffraction",
    ("skewness", False): "few pixels are dark and most are bright",
    ("skewness_coarse", True): "what stands out is bright on dark, as in dark-field images",
    ("skewness_coarse", False): "what stands out is dark on bright",
    ("dark_or_bright_rough", True): "its bright areas are the rough ones",
    ("dark_or_bright_rough", False): "its dark areas are the rough ones",
    ("coarse", True): "wide areas differ more in brightness",
    ("coarse", False): "wide areas hardly differ in brightness",
    ("peak_mid", True): "fringes or spots are far stronger",
    ("peak_mid", False): "it has fewer fringes and spots",
    ("peak_fine", True): "fringes or spots are far stronger",
    ("peak_fine", False): "it has fewer fringes and spots",
    ("streaks", True): "it is streaked in one direction",
    ("streaks", False): "it has no fringe in any direction",
    ("patchiness", True): "smooth and rough areas lie side by side, as in dark-field images, drawings and photographs",
    ("patchiness", False): "it is the same everywhere, as a crystal or a film that fills the field",
    ("tails", True): "few pixels are far from all others",
    ("tails", False): "it has few levels of grey",
    ("tails_coarse", True): "small areas are far from all others in brightness",
    ("tails_coarse", False): "its areas have few levels of grey",
    ("tails_edges", True): "it has sharp edges, as text and drawings have",
    ("tails_edges", False): "it has a regular pattern, down to single pixels",
}
"""What a feature above or below that of the training images means."""


@dataclass(frozen=True)
class Likeness:
    """How an image compares to the training images.

    Attributes
    ----------
    distance : float
        One in ``10**distance`` training images is expected to lie as far out, in the aspect in which it is farthest.
    told : tuple of str
        In what it differs more than ``WARNED`` allows, the farthest first, three at most.
    """

    distance: float
    told: tuple[str, ...]


def fields(image: NDArray[Any], edge: int) -> Iterator[NDArray[Any]]:
    """Evenly spread squares of an image, at most ``ALONG`` along each edge; all of it where it is smaller than they.

    Parameters
    ----------
    image : array [H, W]
    edge : int
        [px]
    """
    heights, widths = (min(edge, length) for length in image.shape)
    tops, lefts = (
        np.linspace(0, length - part, min(ALONG, -(-length // part))).round().astype(int)
        for length, part in zip(image.shape, (heights, widths), strict=True)
    )
    for top in tops:
        for left in lefts:
            yield image[top : top + heights, left : left + widths]


def features(field: NDArray[Any]) -> FloatArray | None:
    """What the grey values, spectrum and noise of a field are like, whatever its grey scale begins at and goes to.

    Parameters
    ----------
    field : array [H, W]
        On the pixels of the network, outliers replaced.

    Returns
    -------
    ndarray [NAMES], optional
        The field is brought to mean 0 and variance 1, and but for its spectrum cut off at ``PERCENTILES``.
        ``ring_*``: log10 of the mean power in each ring, 0 where it is that of white noise; NaN in a ring that the
        field is too small for. ``coarse``: log10 of the power of the ``COARSE`` rings. ``skewness``, ``tails``: inverse
        hyperbolic sine of the third and log10 of the fourth moment, of pixels and, ``_coarse``, of means over about
        7 px; ``tails_edges`` of what pixels differ from their neighbours. ``dark_or_bright_rough``: correlation of
        brightness and roughness of squares of ``BLOCK`` px; ``patchiness``: log10 of how much that roughness varies.
        ``peak_*``: log10 of the power of the frequency that stands out most from the geometric mean of those of its
        length; ``streaks``: root of the second angular moment of the power. ``whiteness``: log10 of the
        Kullback-Leibler divergence of the rings from white noise, over what chance gives in a field of that size. None
        without contrast, and below ``SMALLEST_FIELD``.
    """
    if min(field.shape) < SMALLEST_FIELD or not has_contrast(field):
        return None
    values = standardised(np.asarray(field, np.float64))
    height, width = values.shape
    window, frequency, angle, _, circle = _grid(height, width)
    power, sizes, rings = power_in_rings(values)
    # What stands out of next to nothing is no pattern.
    logarithm = np.log10(power + 1e-3)
    above = logarithm - (np.bincount(circle.ravel(), logarithm.ravel()) / np.bincount(circle.ravel()))[circle]
    share, there = sizes / sizes.sum(), sizes > 0
    of_white = rings[there] / (rings[there] @ share[there])
    divergence = float((of_white - 1 - np.log(of_white)) @ share[there])
    # Variance of the mean power of a ring, by the window: pixels at its edge hardly count.
    correlated = height * width * (window**4).sum() / (window**2).sum() ** 2
    by_chance = int(there.sum()) * correlated / (height * width)
    # Cut off as for a network, lest hot pixels that are left weigh more than all others.
    values = standardised(np.clip(values, *np.percentile(values, PERCENTILES)))
    coarse, rough = gaussian_filter(values, 3), _squares((values - gaussian_filter(values, 1.5)) ** 2)
    brightness, roughness = _squares(values), np.log10(rough + 1e-6)
    edges = values[1:-1, 1:-1] - (values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]) / 4
    inside = {name: (frequency >= low) & (frequency < high) for name, (low, high) in BANDS.items()}
    fine = power[inside["fine"]]
    found = {
        **dict(zip(_RING_NAMES, np.log10(rings), strict=True)),
        "coarse": math.log10(np.nansum((rings * share)[:COARSE])),
        "skewness": _skewness(values),
        "skewness_coarse": _skewness(coarse),
        "tails": _tails(values),
        "tails_coarse": _tails(coarse),
        "tails_edges": _tails(edges),
        "dark_or_bright_rough": _correlation(brightness, roughness),
        "patchiness": math.log10(roughness.std() + 1e-3),
        **{f"peak_{name}": float(above[band].max()) for name, band in inside.items()},
        "streaks": math.sqrt(abs((fine * np.exp(2j * angle[inside["fine"]])).sum()) / fine.sum()),
        "whiteness": math.log10(max(divergence, 1e-12) / by_chance),
    }
    return np.array([found[name] for name in NAMES])


def power_in_rings(values: FloatArray) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """Power spectrum of a field under a Hann window, and its means over ``RINGS``.

    Parameters
    ----------
    values : ndarray [H, W]
        With variance 1, so that white noise has the power 1 in every ring.

    Returns
    -------
    power : ndarray [H, W // 2 + 1]
    sizes : int array [len(RINGS) - 1]
        Frequencies in each ring.
    means : ndarray [len(RINGS) - 1]
        NaN in a ring that the field is too small for.
    """
    window, _, _, ring, _ = _grid(*values.shape)
    seen = window * (values - (window * values).sum() / window.sum())
    # Below it is rounding.
    power = np.maximum(np.abs(rfft2(seen)) ** 2 / (window**2).sum(), 1e-8)
    sizes, sums = (np.bincount(ring.ravel(), weights, len(RINGS) + 1) for weights in (None, power.ravel()))
    means = np.divide(sums, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
    return power, sizes[1:-1], means[1:-1]


def learn_likeness(found: FloatArray, groups: Sequence[str], edge: int) -> dict[str, Any] | None:
    """What the training images are like, and how far out the farthest of them lie.

    Parameters
    ----------
    found : ndarray [n, NAMES]
        Features of fields of training images.
    groups : sequence of str [n]
        What each is an image of. Distances are those of the images of a tenth of these by the others, lest a small
        sample looks as if it held all there is.
    edge : int
        Of the fields [px].

    Returns
    -------
    dict, optional
        For JSON, of some 10 kB. ``quantiles`` of each feature at ``LEVELS``; of each aspect its features' mean and
        precision as normal scores, and ``onset`` and ``scale`` of the exponential to which the farthest ``TAIL``
        of the distances are fitted. None of fewer than ``LEAST_IMAGES`` of ``FOLDS`` groups.
    """
    if len(found) < LEAST_IMAGES or len(set(groups)) < FOLDS:
        return None
    fold = np.unique(np.asarray(groups), return_inverse=True)[1] % FOLDS
    apart: dict[str, list[FloatArray]] = {}
    for number in range(FOLDS):
        for name, values in _distances(found[fold == number], _fitted(found[fold != number])).items():
            apart.setdefault(name, []).append(values)
    reference = _fitted(found)
    for name, parts in apart.items():
        distances = np.concatenate(parts)
        onset = float(np.quantile(distances, 1 - TAIL))
        scale = max(float(np.maximum(distances - onset, 0).mean()) / TAIL, 1e-6)
        reference["aspects"].setdefault(name, {}).update(onset=_short(onset), scale=_short(scale))
    whiteness = found[:, NAMES.index("whiteness")]
    # A network that has seen images of little else than noise knows it.
    limit = min(NOISE, float(np.quantile(whiteness, 0.01)))
    noise = {"median": _short(max(float(np.median(whiteness)), limit + 0.1)), "limit": _short(limit)}
    return {**reference, "images": len(found), "edge": edge, "noise": noise}


def compare(seen: Iterable[NDArray[Any]], reference: Mapping[str, Any], pixel_size: float) -> Likeness | None:
    """Compare the fields of an image with the training images.

    Parameters
    ----------
    seen : iterable of array [H, W]
        Of :func:`fields`.
    reference : mapping
        Of :func:`learn_likeness`.
    pixel_size : float
        Of the network [Å], for words.

    Returns
    -------
    Likeness, optional
        In each aspect that of the median field; None if no field has contrast and ``SMALLEST_FIELD``.
    """
    measured = [(one, min(field.shape)) for field in seen if (one := features(field)) is not None]
    if not measured:
        return None
    found = np.stack([one for one, _ in measured])
    # A smaller field scatters more than those of the reference.
    weight = np.minimum(1, np.array([edge for _, edge in measured]) / reference["edge"])
    distances = {}
    for name, values in _distances(found, reference).items():
        aspect = reference["aspects"][name]
        beyond = (values - aspect["onset"]) / aspect["scale"]
        distances[name] = float(np.median(np.maximum((beyond - math.log(TAIL)) / math.log(10), 0) * weight))
    noise = reference["noise"]
    whiter = (noise["median"] - found[:, NAMES.index("whiteness")]) / (noise["median"] - noise["limit"])
    distances["noise"] = WARNED * max(float(np.median(whiter)), 0)
    scores = np.median(np.nan_to_num(_scores(found, reference["quantiles"])), axis=0)
    unlike = sorted((name for name in distances if distances[name] > WARNED), key=lambda name: -distances[name])
    if {"contrast", "sign"} <= set(unlike):
        unlike.remove("contrast")
    told = dict.fromkeys(_words(name, scores, pixel_size) for name in unlike)
    return Likeness(max(distances.values()), tuple(told)[:3])


def _words(aspect: str, scores: FloatArray, pixel_size: float) -> str:
    """In what an image differs, by the normal scores [NAMES] of its features."""
    if aspect == "noise":
        return "it is almost nothing but white noise"
    if aspect == "sign":
        bright = scores[NAMES.index("skewness_coarse")] > 0
        return f"bright and dark seem exchanged: particles would be {'bright on dark' if bright else 'dark on bright'}"
    farthest = max(ASPECTS[aspect], key=lambda name: abs(scores[NAMES.index(name)]))
    more = bool(scores[NAMES.index(farthest)] > 0)
    if farthest in _RING_NAMES:
        number = _RING_NAMES.index(farthest)
        period = 2 * pixel_size / (RINGS[number] + RINGS[number + 1])
        return f"details of about {period:.2g} Å are far {'stronger' if more else 'weaker'} (is the pixel size right?)"
    return _WORDS[farthest, more]


def _fitted(found: FloatArray) -> dict[str, Any]:
    """Quantiles of features, and mean and precision of the normal scores of each aspect."""
    found = np.where(np.isnan(found).all(axis=0), 0, found)
    quantiles = np.nanquantile(found, LEVELS, axis=0)
    # Features that take few values, or one.
    quantiles += 1e-6 * np.arange(len(LEVELS))[:, None]
    scores, aspects = _scores(found, quantiles), {}
    for name, features_of in ASPECTS.items():
        part = scores[:, [NAMES.index(feature) for feature in features_of]]
        mean = np.nanmean(part, axis=0)
        covariance = np.cov(np.where(np.isnan(part), mean, part), rowvar=False)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance)) + 1e-6 * np.eye(len(mean))
        aspects[name] = {"mean": _short(mean), "precision": _short(np.linalg.inv(shrunk))}
    return {"quantiles": _short(quantiles), "aspects": aspects}


def _distances(found: FloatArray, reference: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Mahalanobis distances of features [n, NAMES] in each aspect, over the root of the number of its features.

    Of ``sign`` it is that in contrast less twice that which the same image has with bright and dark exchanged: what is
    unlike either way is not exchanged.
    """
    exchanged = found * np.where(np.isin(NAMES, ODD), -1, 1)
    away, away_exchanged = (
        {name: _mahalanobis(scores, name, aspect) for name, aspect in reference["aspects"].items() if name in ASPECTS}
        for scores in (_scores(values, reference["quantiles"]) for values in (found, exchanged))
    )
    return {**away, "sign": away["contrast"] - 2 * away_exchanged["contrast"]}


def _mahalanobis(scores: FloatArray, name: str, aspect: Mapping[str, Any]) -> FloatArray:
    apart = scores[:, [NAMES.index(feature) for feature in ASPECTS[name]]] - np.asarray(aspect["mean"])
    # What a field is too small for does not tell.
    apart = np.nan_to_num(apart)
    squares = np.einsum("ni,ij,nj->n", apart, np.asarray(aspect["precision"]), apart)
    return np.asarray(np.sqrt(np.maximum(squares, 0) / apart.shape[1]))


def _scores(found: FloatArray, quantiles: Any) -> FloatArray:
    """Normal scores of features [n, NAMES]; beyond the quantiles they go on in proportion, up to ``FAR_SCORE``."""
    quantiles, normal = np.asarray(quantiles), ndtri(LEVELS)
    middle = len(LEVELS) // 2
    scores = np.empty_like(found)
    for number, values in enumerate(found.T):
        at = quantiles[:, number]
        inside = np.interp(values, at, normal)
        below, above = (
            normal[end] + (values - at[end]) * (normal[end] - normal[middle]) / (at[end] - at[middle])
            for end in (0, -1)
        )
        scores[:, number] = np.where(values < at[0], below, np.where(values > at[-1], above, inside))
    beyond = np.maximum(np.abs(scores) - FAR_SCORE, 0)
    return np.asarray(np.sign(scores) * (np.minimum(np.abs(scores), FAR_SCORE) + np.log1p(beyond)))


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Hann window, and of each frequency its length, angle, ring, and number among circles as close as can be told."""
    window = np.outer(*(np.hanning(edge + 2)[1:-1] for edge in (height, width)))
    along_y, along_x = np.meshgrid(np.fft.fftfreq(height), rfftfreq(width), indexing="ij")
    frequency = np.hypot(along_y, along_x)
    circle = np.floor(frequency * min(height, width)).astype(np.intp)
    return window, frequency, np.arctan2(along_y, along_x), np.digitize(frequency, RINGS), circle


def _squares(values: FloatArray) -> FloatArray:
    """Means over squares of ``BLOCK`` px."""
    height, width = (edge // BLOCK for edge in values.shape)
    cut = values[: height * BLOCK, : width * BLOCK]
    return np.asarray(cut.reshape(height, BLOCK, width, BLOCK).mean(axis=(1, 3)).ravel())


def _skewness(values: FloatArray) -> float:
    return math.asinh(float((standardised(values) ** 3).mean()))


def _tails(values: FloatArray) -> float:
    return math.log10(max(float((standardised(values) ** 4).mean()), 1.0))


def standardised(values: FloatArray) -> FloatArray:
    """Values with mean 0 and variance 1."""
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def _correlation(one: FloatArray, other: FloatArray) -> float:
    return float((standardised(one) * standardised(other)).mean())


def _short(values: Any) -> Any:
    """Numbers of six digits, as lists: they stand in a text file."""
    values = np.asarray(values, np.float64)
    rounded = np.array([float(f"{value:.6g}") for value in values.ravel()]).reshape(values.shape)
    return rounded.tolist()
