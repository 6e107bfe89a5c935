"""Figures of the kinds of benchmarks; part of the table in :mod:`exitwave.report.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exitwave.config.benchmarks import Benchmark, BrokenDown, MicrographBenchmark
from exitwave.config.models import Segmentation
from exitwave.config.reconstruction import Autoencoder
from exitwave.report.figure import About, Figure
from exitwave.study.member import Member, Study

SCORED = {
    "micrographs": "Real micrographs with expert masks.",
    "simulated": "Held-out simulated images.",
    "strain": "Strain of a simulated multilayer.",
    "datacube": "Strain of a real scan, where it is known.",
    "lattices": "Real images of known lattices.",
}
"""What each kind of benchmark scores."""
BROWSE = "browse/{training}.html"
"""File of the page to browse the images of a benchmark."""


def _threshold(study: Study, benchmark: Member) -> dict[str, Any]:
    return {"threshold": benchmark.of(Benchmark).threshold}


def _told_to_browse(study: Study, benchmark: Member) -> dict[str, Any]:
    return {**_threshold(study, benchmark), "conditions": list(getattr(benchmark.block, "by", []))}


def _is_broken_down(study: Study, benchmark: Member) -> bool:
    block = benchmark.block
    assert isinstance(block, BrokenDown)
    return bool(block.by)


def _of_two_conditions(study: Study, benchmark: Member) -> bool:
    return len(benchmark.of(BrokenDown).by) > 1


def _binned(study: Study, benchmark: Member) -> dict[str, Any]:
    block = benchmark.of(BrokenDown)
    return {"by": list(block.by), "bins": block.bins}


def _of_two_trainings(study: Study, benchmark: Member) -> bool:
    return len(benchmark.upstream["trainings"]) > 1


def _has_probabilities(study: Study, benchmark: Member) -> bool:
    block = benchmark.block
    named = isinstance(block, MicrographBenchmark) and bool(block.networks)
    trainings = benchmark.upstream["trainings"]
    return named or any(isinstance(training.source("model").block, Segmentation) for training in trainings)


def _score_page(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.benchmarks import score_page

    score_page(read_table(files[0]), path, SCORED[about["kind"]], title=about["title"])


def _forest_plot(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.benchmarks import forest_plot

    forest_plot(read_table(files[0]), path, SCORED[about["kind"]], title=about["title"])


def _predictions(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.predictions import draw_predictions

    *shards, baselines = files
    real = about["kind"] == "micrographs"
    draw_predictions(shards, path, about["threshold"], real=real, title=about["title"], baselines=baselines)


def _browse(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.browse import browse_page

    real = about["kind"] == "micrographs"
    browse_page(files[:-1], path, about["threshold"], real, about["title"], about["conditions"])


def _numbers(study: Study, benchmark: Member) -> dict[str, Any]:
    """How many numbers the autoencoders of each training keep."""
    models = {training.name: training.source("model").block for training in benchmark.upstream["trainings"]}
    return {"latent": {name: model.latent for name, model in models.items() if isinstance(model, Autoencoder)}}


def _has_several_numbers(study: Study, benchmark: Member) -> bool:
    return len(set(_numbers(study, benchmark)["latent"].values())) > 1


def _latent(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.reconstruction import draw_latent

    draw_latent(read_table(files[0]), about["latent"], path, about["title"])


def _calibration(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.calibration import draw_calibration

    draw_calibration(read_table(files[0]), path, SCORED[about["kind"]], title=about["title"])


def _breakdown(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.breakdown import draw_breakdown

    draw_breakdown(read_table(files[0]), read_table(files[1]), path, about["title"])


def _difference_page(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.differences import difference_page

    difference_page(read_table(files[0]), read_table(files[1]), path, about["title"])


def _differences(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.differences import draw_differences

    draw_differences(read_table(files[0]), read_table(files[1]), path, about["title"])


def _failure_maps(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.data.tables import read_table
    from exitwave.report.failure_maps import draw_failure_maps

    draw_failure_maps(read_table(files[0]), read_table(files[1]), about["by"], about["bins"], path, about["title"])


def _strain_profiles(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.strain_profiles import draw_strain_profiles

    draw_strain_profiles(files[:-1], files[-1], path, about["title"])


def _scan_maps(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.scan_maps import draw_scan_maps

    draw_scan_maps(files[:-1], files[-1], path, about["title"])


def _known_lattices(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.known_lattices import draw_known_lattices

    draw_known_lattices(files[:-1], files[-1], path, about["title"])


def _scores(data: str) -> tuple[Figure, ...]:
    """Page and forest plot of the scores on a benchmark, of which ``data`` is said."""
    caption = (
        f"{data} Intervals cover 95 % of resamples of the images. Networks are given by the median over their seeds, "
        "and none was chosen by its score here."
    )
    compared = (
        f"{data} Differences between trainings, and between each training and the best baseline, on the same images: a "
        "difference counts if it is larger than the spread of the images and that of the networks of one training."
    )
    more: dict[str, Any] = {"reads": "summary", "memory": 1000}
    pairs: dict[str, Any] = {"reads": "differences", "memory": 1000}
    return (
        Figure("scores.html", "6 Benchmarks", "table of scores", caption, draw=_score_page, **more),
        Figure("scores.png", "6 Benchmarks", "scores with intervals", caption, draw=_forest_plot, **more),
        Figure("differences.html", "6 Benchmarks", "table of differences", compared, draw=_difference_page, **pairs),
        Figure(
            "differences.png",
            "6 Benchmarks",
            "differences with intervals",
            compared,
            draw=_differences,
            needed=_of_two_trainings,
            **pairs,
        ),
    )


def _predicted(shown: str) -> tuple[Figure, ...]:
    """Predictions on a benchmark, of which ``shown`` is said, as a figure and to browse."""
    figure = Figure(
        "predictions/{training}.png",
        "6 Benchmarks",
        "predictions of {training}",
        f"{shown} The prediction is the mean over the networks that differ in their seed; masks are cut at the "
        "threshold of the benchmark.",
        reads="predictions",
        draw=_predictions,
        about=_threshold,
        each_training=True,
        memory=2000,
        minutes=20,
    )
    page = Figure(
        BROWSE,
        "6 Benchmarks",
        "images and predictions of {training}",
        f"{shown} To browse, the worst first, with prediction, truth, errors and uncertainty by toggles.",
        reads="predictions",
        draw=_browse,
        about=_told_to_browse,
        each_training=True,
        # As large as all figures together.
        in_report=False,
        memory=2000,
        minutes=20,
    )
    return figure, page


def _conditions(data: str) -> tuple[Figure, ...]:
    """Scores on ``data``, simulated or experimental, against the conditions that a benchmark names."""
    one = Figure(
        "conditions.png",
        "6 Benchmarks",
        "scores against conditions",
        f"{data}: the foremost scores in bins of the conditions that the benchmark names, of the best methods of each "
        "kind. Networks are given by the median over their seeds; bars cover 95 % of resamples of the images.",
        reads="breakdown",
        draw=_breakdown,
        needed=_is_broken_down,
    )
    two = Figure(
        "failure_maps.png",
        "6 Benchmarks",
        "scores against two conditions",
        f"{data}: the first score of the best training against every two of the conditions that the benchmark names; "
        "dark is where it fails. Cells with few images are grey, since their scores say little.",
        reads="per_image",
        draw=_failure_maps,
        about=_binned,
        needed=_of_two_conditions,
    )
    return one, two


def _calibrated(data: str) -> Figure:
    """Shares of particle against probabilities on ``data``, simulated or experimental."""
    return Figure(
        "calibration.png",
        "6 Benchmarks",
        "probabilities against shares",
        f"{data}: how far predicted probabilities can be taken at their word. Shown is the share of particle among "
        "pixels of about the same probability, in the whole image and within 4 Å of the true outlines. On the diagonal "
        "both are the same; above it there is more particle than a network says. Where there are several networks, of "
        "their mean prediction.",
        reads="per_image",
        draw=_calibration,
        needed=_has_probabilities,
    )


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("benchmarks", "micrographs"): (
        *_scores(
            "Experimental micrographs, scored against an expert's masks; the networks have learned from simulated "
            "images alone."
        ),
        *_predicted(
            "Experimental: every micrograph of the benchmark, with the outlines that the expert drew and that networks "
            "trained on simulated images predict."
        ),
        _calibrated("Experimental"),
    ),
    ("benchmarks", "simulated"): (
        *_scores("Simulated images of structures kept out of training and validation, scored against their labels."),
        *_predicted(
            "Simulated: images of structures kept out of training and validation, with their labels and what was "
            "predicted."
        ),
        _calibrated("Simulated"),
        *_conditions("Simulated"),
        Figure(
            "latent.png",
            "6 Benchmarks",
            "error against numbers kept",
            "Simulated: squared error of images that were made again of a few numbers, against how many, by "
            "autoencoders and by principal components of the training images. Networks are given by the median over "
            "their seeds; bars cover 95 % of resamples of the images.",
            reads="summary",
            draw=_latent,
            about=_numbers,
            needed=_has_several_numbers,
        ),
    ),
    ("benchmarks", "strain"): (
        *_scores(
            "Simulated patterns of a multilayer that no network has learned from, scored against its projected strain."
        ),
        Figure(
            "predictions/{training}.png",
            "6 Benchmarks",
            "strain by {training}",
            "Simulated: strain along the growth (e_xx) and across it (e_yy), shear and rotation at every place of the "
            "scan, relative to the median of the reference: what is true, what the networks show, with the range of "
            "their seeds, and what template matching shows. Of a scan of several rows means over rows, and maps below.",
            reads="predictions",
            draw=_strain_profiles,
            each_training=True,
        ),
        *_conditions("Simulated"),
    ),
    ("benchmarks", "datacube"): (
        *_scores("Experimental scan of diffraction patterns, scored where its strain is known."),
        Figure(
            "predictions/{training}.png",
            "6 Benchmarks",
            "strain by {training}",
            "Experimental: strain along x and y of the patterns, shear and rotation at every place that was measured, "
            "relative to the median of the reference, as networks (median over their seeds) and template matching show "
            "it.",
            reads="predictions",
            draw=_scan_maps,
            each_training=True,
        ),
        *_conditions("Experimental"),
    ),
    ("benchmarks", "lattices"): (
        *_scores("Experimental images of known lattices: which class is named, and how far off a found lattice is."),
        Figure(
            "predictions/{training}.png",
            "6 Benchmarks",
            "lattices by {training}",
            "Experimental: each image with the lattice that its autocorrelation shows, what is known of it, and the "
            "class that the networks name.",
            reads="predictions",
            draw=_known_lattices,
            each_training=True,
        ),
    ),
}
"""Figures by stage and kind."""
