"""Jobs of the benchmark stage: scoring networks and baselines, and the table that sums them up."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.breakdown import break_down
from exitwave.benchmark.cases import Case, Cases, Rule
from exitwave.benchmark.ensemble import Predictions, open_predictions
from exitwave.benchmark.kinds import cases_of
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.paired import compare
from exitwave.benchmark.scoring import Scoring, kind_of_benchmark, scoring_of
from exitwave.benchmark.summary import summarise
from exitwave.config.benchmarks import Benchmark, BrokenDown, MicrographBenchmark
from exitwave.config.models import Network
from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.data.whole import replace_file, sealed, unsealed
from exitwave.errors import MicrographError, ShardError
from exitwave.items import Array, Item, item_rng
from exitwave.study.description import Description
from exitwave.training.kinds import described, task_from
from exitwave.training.record import read_record

log = logging.getLogger(__name__)


def _row(
    description: Description, case: Case, metric: Metric, prediction: NDArray[Any], columns: Mapping[str, Any]
) -> dict[str, Any]:
    """Row of the table of images."""
    return {
        "image": case.name,
        "group": case.group,
        "pixel_size": case.pixel_size,
        **case.columns,
        **metric.of_image(prediction, case.truth, case.pixel_size),
        "benchmark": description.name,
        "benchmark_hash": description.hash,
        **columns,
    }


def score_network(
    description: Description,
    model: Network,
    manifests: Sequence[Path],
    network: Path,
    training: str,
    seed: int,
    threads: int,
    output: Path,
) -> None:
    """Score one network on a benchmark; write predictions and one row of scores an image, none if it has diverged.

    Parameters
    ----------
    description : Description
        The benchmark's block.
    model : Network
        A models block with the aim of the networks scored.
    manifests : sequence of path
        Manifests of its datasets, if it has any.
    network : path
        Weights, or their folder.
    training : str
        Name under which it is scored.
    seed : int
        Number of the network within the training.
    threads : int
        Processor cores used.
    output : path
        Shard to write, with image, truth and prediction of each case.
    """
    import torch

    from exitwave.training.networks import load_network

    record = read_record(network)
    attributes: dict[str, Any] = {"stage": "predictions", "benchmark": description.name, "method": training}
    attributes["of"] = {"benchmark_hash": [description.hash], "seed": [seed]}
    if record.diverged:
        log.warning("no scores: the training has diverged: %s", record.diverged)
        with shard_writer(output, 0, {**attributes, "diverged": record.diverged}):
            return
    torch.set_num_threads(threads)
    block = description.of(Benchmark)
    loaded = load_network(network)
    cases = cases_of(block).cases(block, model, manifests)
    scoring = scoring_of(cases.task.model, kind_of_benchmark(block))
    threshold = scoring.threshold(loaded, block)
    metric = scoring.metric(cases.task, threshold)
    columns = {"method": training, "kind": "network", "seed": seed}
    predicted: list[Mapping[str, Array]] = []
    rows: list[dict[str, Any]] = []
    refused: MicrographError | None = None
    for case in cases:
        try:
            prediction = scoring.predict(loaded, case, block, cases.task)
        except MicrographError as error:
            log.warning("skipped: %s", error)
            refused = error
            continue
        truth = case.truth.astype(np.uint8) if case.truth.dtype == bool else case.truth
        arrays = {"prediction": prediction.astype(scoring.KEPT), "image": case.image, "truth": truth}
        rows.append(_row(description, case, metric, prediction, columns))
        predicted.append({name: _array(scoring, name, values, case.pixel_size) for name, values in arrays.items()})
    for file in cases.skipped().itertuples():
        log.warning("skipped: %s", file.reason)
    if refused is not None and not rows:
        raise refused
    table = metric.of_images([arrays["prediction"].values for arrays in predicted], pd.DataFrame(rows))
    attributes |= {"task": described(cases.task), "threshold": threshold}
    with shard_writer(output, len(rows), attributes) as writer:
        for item, row in zip(predicted, table.to_dict("records"), strict=True):
            writer.add(Item(item, {str(name): value for name, value in row.items()}))


def _array(scoring: Scoring, name: str, values: NDArray[Any], pixel_size: float) -> Array:
    """Image, truth or prediction of a case, as it is kept."""
    return Array(values, scoring.axes(name, values, pixel_size), ragged=True)


def score_baselines(
    description: Description,
    model: Network,
    manifests: Sequence[Path],
    output: Path,
    skipped_files: Path,
    task_file: Path,
) -> None:
    """Score every baseline on a benchmark, and the networks that it names.

    Parameters
    ----------
    description : Description
        The benchmark's block.
    model : Network
        A models block with the aim of the networks scored.
    manifests : sequence of path
        Manifests of its datasets, if it has any.
    output, skipped_files, task_file : path
        Table of one row an image and method, table of the files that cannot be used, and JSON that describes the task.
    """
    block = description.of(Benchmark)
    cases = cases_of(block).cases(block, model, manifests)
    scoring = scoring_of(cases.task.model, kind_of_benchmark(block))
    metric = scoring.metric(cases.task, scoring.threshold(None, block))
    rules: dict[str, Rule] = dict(scoring.rules(cases.task))
    fitted = scoring.fitted(cases.task)
    examples = cases.examples() if fitted else None
    if examples is not None:
        rules |= {name: fit(examples) for name, fit in fitted.items()}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in rules}
    predictions: dict[str, list[NDArray[Any]]] = {name: [] for name in rules}
    for case in cases:
        for name, rule in rules.items():
            columns = {"method": name, "kind": "baseline", "seed": 0}
            prediction = np.asarray(rule(case))
            rows[name].append(_row(description, case, metric, prediction, columns))
            if metric.together is not None:  # else masks of many large images would be held for nothing
                predictions[name].append(prediction)
    for file in cases.skipped().itertuples():
        log.warning("skipped: %s", file.reason)
    skipped = cases.skipped()
    replace_file(skipped_files, lambda unfinished: skipped.to_csv(unfinished, index=False))
    methods = [metric.of_images(predictions[name], pd.DataFrame(found)) for name, found in rows.items()]
    if isinstance(block, MicrographBenchmark):
        for name, where in block.networks.items():
            methods.append(_score_named(description, name, where, cases, scoring, metric))
    write_table(output, pd.concat(methods, ignore_index=True) if methods else pd.DataFrame())
    text = json.dumps(sealed(described(cases.task)), sort_keys=True, ensure_ascii=False) + "\n"
    replace_file(task_file, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def _score_named(
    description: Description, name: str, where: str, cases: Cases, scoring: Scoring, metric: Metric
) -> pd.DataFrame:
    """Scores of networks that a benchmark names, and of their mean prediction.

    Where images follow several conventions, of which one has more networks, only so many are scored as each has.
    """
    from exitwave.benchmark.named import load_named

    block = description.of(Benchmark)
    of_convention = load_named(where, {str(case.columns.get("convention", "")) for case in cases})
    least = min(map(len, of_convention.values()))
    rows: list[dict[str, Any]] = []
    refused: MicrographError | None = None
    for case in cases:
        networks = of_convention[str(case.columns.get("convention", ""))]
        try:
            found = [scoring.predict(network, case, block, cases.task) for network in networks]
        except MicrographError as error:
            log.warning("skipped by %s: %s", name, error)
            refused = error
            continue
        made = [("network", seed, prediction) for seed, prediction in enumerate(found[:least])]
        if least > 1:
            made.append(("ensemble", -1, np.mean(found, axis=0)))
        for kind, seed, prediction in made:
            columns = {"method": name, "kind": kind, "seed": seed}
            rows.append(_row(description, case, metric, prediction, columns))
    if refused is not None and not rows:
        raise refused
    return pd.DataFrame(rows)


def summarise_benchmark(
    description: Description,
    task_file: Path,
    baselines: Path,
    networks: list[Path],
    summary: Path,
    per_image: Path,
    by: Path,
    differences: Path,
) -> None:
    """Sum up a benchmark: for each method the scores with intervals over groups of images and the range over seeds.

    A training with several seeds is given by the median over its networks, and once more by the mean of their
    predictions ("ensemble"), which is one predictor that anyone can use, and not the best of several. Networks that
    have diverged are counted in the column ``diverged``; a training of which all have is a row without scores.

    The same scores are broken down by the conditions that the benchmark names; see
    :func:`exitwave.benchmark.breakdown.break_down`. Differences between methods on the same images are compared with
    the spread of images and seeds; see :func:`exitwave.benchmark.paired.compare`.

    Parameters
    ----------
    description : Description
        The benchmark's block.
    task_file, baselines : path
        Description of the task, and scores of the baselines.
    networks : list of path
        Predictions of all networks.
    summary, per_image, by, differences : path
        Tables to write: one row a method; one row an image and method; one row a bin and method, none where the
        benchmark names no conditions; one row a pair of methods.
    """
    block = description.of(Benchmark)
    trainings = _by_training(networks)
    told = _read_task(task_file, trainings)
    task = task_from(told)
    kind = kind_of_benchmark(block)
    scoring = scoring_of(task.model, kind)
    metric = scoring.metric(task, block.threshold)
    tables = [read_table(baselines)]
    for predictions in trainings.values():
        tables += [read_table(table_path(shard.path)) for shard in predictions.shards]
    for predictions in trainings.values():
        if len(predictions.shards) > 1:
            tables.append(_ensemble(scoring.metric(task, predictions.threshold(block.threshold)), predictions))
    scores = pd.concat(tables, ignore_index=True)
    rows = []
    for (made, method), group in scores.groupby(["kind", "method"], sort=False):
        rng = item_rng(0, "bootstrap", description.hash)
        names = {"benchmark": description.name, "method": method, "kind": made, "benchmark_hash": description.hash}
        lost = trainings[str(method)].diverged if made == "network" and method in trainings else 0
        rows.append({**names, **summarise(group, metric, block.bootstrap, rng), "diverged": lost})
    for name, predictions in trainings.items():
        if not predictions.shards:
            log.warning("all networks of %s have diverged", name)
            names = {"benchmark": description.name, "method": name, "kind": "network"}
            names |= {"benchmark_hash": description.hash}
            rows.append({**names, "seeds": 0, "images": 0, "groups": 0, "diverged": predictions.diverged})
    table = pd.DataFrame(rows)
    counted = dict.fromkeys(("images", "groups", *([metric.selection.name] if metric.selection else [])), int)
    table = table.fillna(dict.fromkeys(counted, 0)).astype(counted)
    task_told = json.dumps(told, sort_keys=True, ensure_ascii=False)
    write_table(summary, table.assign(task=task_told, benchmark_kind=kind))
    conditions, bins = (block.by, block.bins) if isinstance(block, BrokenDown) else ([], 1)
    binned = break_down(scores, metric, conditions, bins, block.bootstrap, description.hash)
    told_of = {"benchmark": description.name, "benchmark_hash": description.hash, "benchmark_kind": kind}
    write_table(by, binned.assign(**told_of))
    write_table(differences, compare(scores, metric, block.bootstrap, description.hash).assign(**told_of))
    write_table(per_image, scores)


def _read_task(path: Path, trainings: Mapping[str, Predictions]) -> dict[str, Any]:
    """Task of a benchmark in plain values, which is that of the predictions."""
    try:
        told = unsealed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError) as error:
        raise ShardError(f"{path}: cannot be read ({error}); delete it and run again") from error
    for predictions in trainings.values():
        for shard in predictions.shards:
            if shard.attributes["task"] != told:
                raise ShardError(
                    f"{path}: describes another task than {shard.path}; delete the one that is wrong and run again"
                )
    return told


def _by_training(networks: Sequence[Path]) -> dict[str, Predictions]:
    """Predictions by the name of their training; of those that differ in their folder, together."""
    folders: dict[Path, list[Path]] = {}
    for path in networks:
        folders.setdefault(path.parent, []).append(path)
    return {open_shard(paths[0]).attributes["method"]: open_predictions(paths) for paths in folders.values()}


def _ensemble(metric: Metric, predictions: Predictions) -> pd.DataFrame:
    """Scores of the mean prediction of several networks."""
    table = predictions.table
    rows, means = [], []
    for place, pixel in enumerate(table["pixel_size"].tolist()):
        mean = predictions.mean(place)
        rows.append(metric.of_image(mean, predictions.truth(place), pixel))
        if metric.together is not None:
            means.append(mean)
    return metric.of_images(means, table.assign(**pd.DataFrame(rows))).assign(kind="ensemble", seed=-1)
