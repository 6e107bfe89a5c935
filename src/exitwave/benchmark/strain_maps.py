"""How networks that find disks are judged by the strain that they show of a scan.

The disks of each place are fitted by a lattice, those that are placed more surely with more weight. Where networks say
how sure that is, the rims of the disks on that lattice are measured (:mod:`exitwave.benchmark.rims`), and it is fitted
again, as `exitwave strain` does. The strain is taken relative to the median lattice of a reference, as of a real scan.
What is true is the projected strain, relative to that of the same places. So errors that are the same everywhere do not
count, as they do not in an experiment. Beside that a lattice is fitted straight to the map that a network gives,
without disks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark import disks
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.classical_disks import scan_methods
from exitwave.benchmark.disk_maps import image_of, placed_disks, weighted
from exitwave.benchmark.disks import BESIDE, KEPT, MAPS, RADIUS, is_map, threshold, truths
from exitwave.benchmark.lattice import Lattice, find_lattice, fit_lattice, refine_lattice
from exitwave.benchmark.metrics import Metric, Score, ratio
from exitwave.benchmark.rims import rims_of, sharpened
from exitwave.benchmark.scan_columns import REFERENCE, SCORED, STRAINS
from exitwave.benchmark.strain import Strain, mean_lattice, strain_of
from exitwave.config.benchmarks import LARGEST_KNOWN, Benchmark
from exitwave.data.patterns import without_hot_pixels
from exitwave.errors import LatticeError
from exitwave.items import Axis
from exitwave.training.disks import PROBE, DisksTask

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

__all__ = ["BESIDE", "KEPT", "axes", "fitted", "metric", "predict", "rules", "threshold", "truths"]

COMPONENTS = ("xx", "yy", "xy", "rotation")
UNITS = {"xx": 100.0, "yy": 100.0, "xy": 100.0, "rotation": float(np.degrees(1.0))}
"""From strain to % and from radians to degrees."""
WAYS = {"fit": "lattice fitted to disks", "map": "lattice fitted to the map"}
"""Ways from a prediction to a lattice, with the heading of their table."""
ROWS = "rows"
"""What begins the names of scores of means over the rows of a scan."""
TRIED = 8
"""Places of the reference, those with most disks first, in which a first lattice is looked for."""
FARTHEST = LARGEST_KNOWN + 0.01
"""Strain, and rotation [rad], against the reference beyond which a fit has failed: what can be true, and an error."""
_LEAST = 1e-6
"""Value of a map below which there is nothing."""
_WIDTHS = (0.7, 6.0)
"""Standard deviations that spots may have [px]."""
SEEN = ("pattern", "probe")
"""Amplitudes that are kept beside the maps of a network, over the largest: the rims of disks are measured in them."""
FloatArray = NDArray[np.float64]
NOTE = (
    "Root of the mean square of measured minus true strain over all scored places in which a lattice was found, "
    "relative to the median lattice of the reference; places in which none was found are counted as failed. Of a scan "
    "of several rows also that of the profile: of the mean error of each column. Growth is along x. Brackets: 95 % "
    "bootstrap interval over layers. Of networks the median over seeds is given, with the smallest and the largest "
    "seed; an ensemble is the mean prediction of all seeds. Correlation is tuned on training patterns. Munshi et al., "
    "npj Comput. Mater. 8 (2022) 254, fig. 3: e_yy of an aligned multilayer 0.2 % by correlation and at most 0.02 % by "
    "FCU-Net, of a twisted one 0.6 % and less than 0.1 %, both of the profile; of another specimen, with "
    "other thickness, dose and places."
)


def metric(task: DisksTask, threshold: float) -> Metric:
    """Metric of all places of a scan together; disks of maps are peaks from ``threshold`` on."""
    squares = tuple(f"square_{component}" for component in COMPONENTS)
    per_way = ("places", "failed", *squares)
    counts = dict.fromkeys(WAYS, per_way) | {ROWS: ("places", *squares)}

    def together(predictions: Sequence[NDArray[Any]], table: pd.DataFrame) -> list[dict[str, Any]]:
        reference = table[REFERENCE].to_numpy(bool)
        placed = [_disks_of(prediction, threshold) for prediction in predictions]
        roughly = lattices_of([weighted(disks) for disks in placed], reference)
        lists = [
            weighted(_with_rims(disks, prediction, lattice))
            for disks, prediction, lattice in zip(placed, predictions, roughly, strict=True)
        ]
        fits = lattices_of(lists, reference) if any(map(_is_of_network, predictions)) else roughly
        counted = {f"true_{name}": values for name, values in true_strain(table).items()}
        counted |= _counted("fit", fits, table, counted)
        if all(map(is_map, predictions)):
            there: list[int] = np.flatnonzero(reference).tolist()
            images = [image_of(prediction) for prediction in predictions]
            spread = spot_width([images[at] for at in there], [lists[at] for at in there])
            counted |= _counted("map", refined(images, fits, reference, spread), table, counted)
        else:  # of lists there is no map, which is no failure
            counted |= dict.fromkeys((f"map_{name}" for name in (*per_way, *COMPONENTS)), np.zeros(len(table)))
            counted |= dict.fromkeys((f"map_{name}" for name in COMPONENTS), np.full(len(table), np.nan))
        counted |= _mean_of_rows(counted, table)
        return [{str(k): v for k, v in row.items()} for row in pd.DataFrame(counted).to_dict("records")]

    names = tuple(f"{way}_{name}" for way, each in counts.items() for name in each)

    def scores(values: FloatArray) -> dict[str, FloatArray]:
        sums = dict(zip(names, np.moveaxis(np.asarray(values, np.float64), -1, 0), strict=True))
        found: dict[str, FloatArray] = {}
        for way, each in counts.items():
            for component in COMPONENTS:
                found[f"{way}_rms_{component}"] = np.sqrt(
                    ratio(sums[f"{way}_square_{component}"], sums[f"{way}_places"])
                )
            if "failed" in each:
                found[f"{way}_failures"] = sums[f"{way}_failed"]
        return found

    return Metric(
        counts=names,
        count=lambda prediction, truth, pixel_size: {},
        scores=scores,
        describe=lambda prediction, truth: {},
        summary=(
            *(score for way, heading in WAYS.items() for score in _summary(way, heading)),
            *_summary(ROWS, "mean over the rows of the scan")[:-1],
        ),
        note=NOTE,
        unit="%",
        higher_is_better=False,
        same_shape=False,
        together=together,
    )


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of a pattern, of the maps of a network with what it has seen, or of the list of reflections."""
    found = disks.axes(name, values, pixel_size)
    if values.ndim < 3:
        return found
    return Axis("map", labels=(*MAPS[: len(values) - len(SEEN)], *SEEN)), *found[1:]


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: DisksTask) -> NDArray[Any]:
    """Maps of a pattern, and below them amplitudes of pattern and probe: [k + 2, H, W], see ``SEEN``."""
    maps = disks.predict(network, case, block, task)
    pattern = without_hot_pixels(case.image[None])[0]
    seen = [np.sqrt(np.maximum(image, 0) / max(image.max(), _LEAST)) for image in (pattern, case.beside[PROBE])]
    return np.concatenate([maps, np.stack(seen).astype(KEPT)])


def _disks_of(prediction: NDArray[Any], threshold: float) -> FloatArray:
    """Disks of a prediction, [n, 4] as of :func:`exitwave.benchmark.disk_maps.placed_disks`."""
    if not is_map(prediction):
        return np.column_stack([np.asarray(prediction, np.float64), np.full(len(prediction), np.nan)])
    return placed_disks(prediction[: -len(SEEN)] if _is_of_network(prediction) else prediction, threshold)


def _with_rims(disks: FloatArray, prediction: NDArray[Any], lattice: Lattice | None) -> FloatArray:
    """The same with the rims of those on a lattice, where a network has found them."""
    if not _is_of_network(prediction):
        return disks
    pattern, probe = np.asarray(prediction[-len(SEEN) :], np.float32) ** 2
    return sharpened(disks, rims_of(probe).measure_on(pattern, disks[:, :2], lattice))


def _is_of_network(prediction: NDArray[Any]) -> bool:
    """Whether a prediction has what a network has seen, which is of no classical method."""
    return prediction.ndim == 3


def _summary(way: str, heading: str) -> list[Score]:
    """Scores of a way, first what a method makes of the direction without strain, as in the paper."""
    shown = []
    for name in ("yy", "xx", "xy", "rotation"):
        label, score = ("rotation [°]" if name == "rotation" else f"e_{name} [%]"), f"{way}_rms_{name}"
        foremost = name in ("yy", "xx")
        group = f"{'strain' if foremost else 'shear and rotation'}, {heading}"
        shown.append(Score(score, score, label, f"RMS error of {label}, {heading}", group, foremost))
    return [*shown, Score(f"{way}_failures", f"{way}_failures", "failed", group=shown[-1].group, whole=True)]


def lattices_of(lists: Sequence[FloatArray], reference: NDArray[np.bool_]) -> list[Lattice | None]:
    """Lattices of the disks of all places, with the same indices.

    Parameters
    ----------
    lists : sequence of float64 [n, 3]
        Disks of each place: x, y [px], weight.
    reference : bool [places]
        Places of the reference. A lattice is looked for there, and followed to all others.

    Returns
    -------
    list of Lattice or None
        None where no lattice was found.
    """
    places: list[int] = np.flatnonzero(reference).tolist()
    best: list[Lattice | None] = []
    for place in sorted(places, key=lambda place: -len(lists[place]))[:TRIED]:
        try:
            first = find_lattice(lists[place])
        except LatticeError:
            continue
        fits = [_fitted(lists[at], first) for at in places]
        if _disks(fits) > _disks(best):
            best = fits
    found = [lattice for lattice in best if lattice is not None]
    if not found:
        return [None] * len(lists)
    start = mean_lattice(found)
    return [_fitted(disks, start) for disks in lists]


def refined(
    maps: Sequence[NDArray[Any]], fits: Sequence[Lattice | None], reference: NDArray[np.bool_], spread: float
) -> list[Lattice | None]:
    """Lattices fitted to maps.

    Parameters
    ----------
    maps : sequence of float [H, W]
    fits : sequence of Lattice or None
        Of the disks of the maps, where each fit starts; where there is none it starts from the mean of the reference.
    reference : bool [places]
    spread : float
        Standard deviation of the spots of the maps [px].
    """
    there = [fit for fit, of_reference in zip(fits, reference, strict=True) if of_reference and fit is not None]
    if not there:
        return [None] * len(maps)
    start, found = mean_lattice(there), list[Lattice | None]()
    for image, fit in zip(maps, fits, strict=True):
        try:
            lattice = refine_lattice(image.astype(np.float32), fit or start, spread)
        except LatticeError:
            found.append(None)
        else:
            found.append(lattice if _is_near(lattice, start) else None)
    return found


def spot_width(maps: Sequence[NDArray[Any]], lists: Sequence[FloatArray]) -> float:
    """Standard deviation [px] of the spots of maps, the median of what their curvature says at their tops.

    Parameters
    ----------
    maps : sequence of float [H, W]
    lists : sequence of float64 [n, 3]
        Places of their spots.
    """
    curvatures: list[float] = []
    for image, spots in zip(maps, lists, strict=True):
        logarithm = np.log(np.maximum(image.astype(np.float64), _LEAST))
        last = np.array(image.shape[::-1]) - 2
        for x, y in np.clip(np.rint(spots[:, :2]).astype(int), 1, last).tolist():
            beside = logarithm[y, x - 1] + logarithm[y, x + 1] + logarithm[y - 1, x] + logarithm[y + 1, x]
            curvatures.append((4 * logarithm[y, x] - beside) / 2)
    bent = [curvature for curvature in curvatures if curvature > 0]
    return float(np.clip(1 / np.sqrt(np.median(bent)), *_WIDTHS)) if bent else 1.0


def _fitted(disks: FloatArray, start: Lattice) -> Lattice | None:
    try:
        lattice = fit_lattice(disks, start)
    except LatticeError:
        return None
    return lattice if _is_near(lattice, start) else None


def _is_near(lattice: Lattice, start: Lattice) -> bool:
    """Whether a fit has not run away to another lattice."""
    strain = strain_of(lattice.vectors, start.vectors)
    return bool(max(abs(strain.xx), abs(strain.yy), abs(strain.xy), abs(strain.rotation)) <= FARTHEST)


def _disks(lattices: Sequence[Lattice | None]) -> int:
    """Disks that lattices explain."""
    return sum(lattice.used for lattice in lattices if lattice is not None)


def true_strain(table: pd.DataFrame) -> dict[str, FloatArray]:
    """Components of the projected strain of each place, relative to that of the reference, in % and degrees.

    Parameters
    ----------
    table : DataFrame
        With the columns ``STRAINS`` and ``REFERENCE`` of :mod:`exitwave.benchmark.scan_columns`.
    """
    xx, yy, xy, rotation = (table[name].to_numpy(np.float64) for name in STRAINS)
    deformation = np.stack([np.stack([1 + xx, xy - rotation], -1), np.stack([xy + rotation, 1 + yy], -1)], -2)
    # Reciprocal vectors go with the inverse transpose.
    vectors = np.linalg.inv(deformation).swapaxes(-1, -2)
    return _in_units(strain_of(vectors, np.median(vectors[table[REFERENCE].to_numpy(bool)], axis=0)))


def _in_units(strain: Strain) -> dict[str, FloatArray]:
    return {name: UNITS[name] * np.asarray(getattr(strain, name)) for name in COMPONENTS}


def _counted(
    way: str, lattices: Sequence[Lattice | None], table: pd.DataFrame, true: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Strain that lattices show of each place, and what is counted of its error."""
    reference, scored = table[REFERENCE].to_numpy(bool), table[SCORED].to_numpy(np.float64)
    there = [lattice for lattice, of_it in zip(lattices, reference, strict=True) if of_it and lattice is not None]
    nothing = np.full((2, 2), np.nan)
    vectors = np.stack([nothing if lattice is None else lattice.vectors for lattice in lattices])
    found = _in_units(strain_of(vectors, mean_lattice(there).vectors if there else nothing))
    measured = np.isfinite(found["xx"])
    counted = {f"{way}_{name}": values for name, values in found.items()}
    counted |= {f"{way}_places": scored * measured, f"{way}_failed": scored * ~measured}
    for name, values in found.items():
        # What is not scored may have no truth.
        counted[f"{way}_square_{name}"] = np.where(measured & (scored > 0), values - true[f"true_{name}"], 0.0) ** 2
    return counted


def _mean_of_rows(counted: Mapping[str, FloatArray], table: pd.DataFrame) -> dict[str, FloatArray]:
    """What is counted of the mean over the rows of a scan: at the first scored place of each column, 0 elsewhere.

    The mean is over the scored places in which a lattice was found. Of a single row nothing is counted.
    """
    several = {"scan_row", "scan_column"} <= set(table) and table["scan_row"].nunique() > 1
    there = pd.Series(counted["fit_places"] > 0) & several
    columns = table["scan_column"].to_numpy() if several else np.arange(len(table))
    first = there & ~pd.Series(columns).where(there).duplicated()
    found: dict[str, FloatArray] = {f"{ROWS}_places": np.asarray(first, np.float64)}
    for name in COMPONENTS:
        errors = pd.Series(counted[f"fit_{name}"] - counted[f"true_{name}"]).where(there)
        means = errors.groupby(columns).transform("mean").where(first, 0.0)
        found[f"{ROWS}_square_{name}"] = means.to_numpy(np.float64) ** 2
    return found


def rules(task: DisksTask) -> Mapping[str, Rule]:
    """None: what finds no disks shows no strain."""
    return {}


def fitted(task: DisksTask) -> Mapping[str, Fit]:
    """Classical methods, tuned on examples."""
    return scan_methods(RADIUS)
