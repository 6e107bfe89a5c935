"""What every kind of models and of benchmarks keeps to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from exitwave.benchmark.cases import Case
from exitwave.benchmark.kinds import cases_of
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.scoring import metric_of, scoring_of
from exitwave.benchmark.summary import summarise
from exitwave.config.kinds import STAGES
from exitwave.data.batches import load_arrays
from exitwave.data.columns import COLUMNS
from exitwave.data.shards import open_shard
from exitwave.data.tables import join_tables, write_table
from exitwave.labels.reflections import weights
from exitwave.labels.spots import spot_map
from exitwave.report.figures import figures
from exitwave.study.artifacts import before_the_report
from exitwave.training.examples import StoredImages
from exitwave.training.kinds import described, model_from, task_from, task_on


@pytest.fixture(params=STAGES["models"])
def model(made: Any, request: pytest.FixtureRequest) -> Any:
    found = [m for m in made.study.stage("models") if m.block.kind == request.param]
    assert found, f"EXAMPLES in tests/shared/every_kind.py has no models of kind {request.param}"
    return found[0].block


@pytest.fixture
def images(made: Any, model: Any) -> Any:
    """Images that the model of the examples is trained on."""
    training = next(m for m in made.study.stage("trainings") if m.source("model").block.kind == model.kind)
    (images,) = training.source("datasets").upstream["images"]
    return images


@pytest.fixture
def rows(made: Any, images: Any) -> pd.DataFrame:
    """Images of a dataset of the examples, with a text column of two values."""
    table = join_tables([str(made.shard(images))])
    return table.assign(split=["train", "validation", "test", "train"] * 2, shape=["sphere", "cube"] * 4)


@pytest.fixture
def task(model: Any, rows: pd.DataFrame) -> Any:
    return task_on(model, rows)


@pytest.fixture
def examples(task: Any, rows: pd.DataFrame) -> tuple[Any, Any]:
    arrays = load_arrays(rows, task.arrays)
    return task.inputs(arrays), task.targets(arrays, rows)


@pytest.fixture
def outputs(task: Any, examples: tuple[Any, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of a network with random weights, and the targets."""
    torch.manual_seed(0)
    network = task.build().eval()
    task.check(network, examples[0].shape)
    with torch.inference_mode():
        return network(with_channels(torch.as_tensor(examples[0]))), torch.as_tensor(examples[1])


def with_channels(inputs: torch.Tensor) -> torch.Tensor:
    return inputs[:, None] if inputs.ndim == 3 else inputs


def metric(task: Any) -> Metric:
    return metric_of(task, 0.5)


def test_a_task_is_described_in_plain_values_and_comes_back(task: Any) -> None:
    text = json.dumps(described(task))
    again = task_from(json.loads(text))
    assert json.dumps(described(again)) == text
    assert again.arrays == task.arrays
    assert model_from(task.model.aim()).aim() == task.model.aim()


def test_a_task_reads_what_is_there(made: Any, task: Any, images: Any, rows: pd.DataFrame) -> None:
    assert set(task.model.columns()) <= set(rows) & set(COLUMNS)
    assert set(task.arrays) <= set(made.open(images).names())


def test_targets_are_one_an_image_and_the_statistics_of_them_plain(
    task: Any, rows: pd.DataFrame, examples: tuple[Any, Any]
) -> None:
    inputs, targets = examples
    assert inputs.dtype in (np.float16, np.float32)
    assert len(inputs) == len(targets) == 8
    assert json.loads(json.dumps(task.statistics(targets, rows)))


def test_examples_made_batch_by_batch_are_those_made_together(
    task: Any, rows: pd.DataFrame, examples: tuple[Any, Any]
) -> None:
    images = StoredImages(rows, task, open_shard)
    for places in (np.array([5, 0, 7]), np.array([3]), np.arange(8)):
        for made, expected in zip(images.make(places), examples, strict=True):
            assert made.dtype == expected.dtype
            np.testing.assert_array_equal(made, expected[places])


def test_sums_of_batches_add_up_to_those_of_all(task: Any, outputs: tuple[torch.Tensor, torch.Tensor]) -> None:
    given, targets = outputs
    whole = task.scores(task.sums(given, targets))
    parts = task.scores(task.sums(given[:3], targets[:3]) + task.sums(given[3:], targets[3:]))
    assert whole.keys() == parts.keys() >= {"validation_loss", *task.curves.columns}
    np.testing.assert_allclose(list(parts.values()), list(whole.values()), rtol=1e-6)


def test_predictions_and_truth_are_of_one_kind(task: Any, outputs: tuple[torch.Tensor, torch.Tensor]) -> None:
    given, targets = outputs
    predictions, truth = task.predict(given), task.truth(targets)
    assert len(predictions) == len(truth)
    if predictions.ndim == 3:
        # A target may be coarser than the map that a network gives.
        assert truth.ndim == 3
        assert predictions.shape[-1] % truth.shape[-1] == 0
    else:
        assert int(truth.max()) < predictions.shape[1]


def test_a_few_steps_make_the_objective_smaller(task: Any, examples: tuple[Any, Any]) -> None:
    torch.manual_seed(0)
    network = task.build().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    inputs, targets = (torch.as_tensor(array) for array in examples)
    losses = []
    for _ in range(6):
        loss = task.objective(network(with_channels(inputs)), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_an_augmented_example_is_another_view_of_the_same(task: Any, examples: tuple[Any, Any]) -> None:
    inputs, targets = (torch.as_tensor(array) for array in examples)
    seen, aimed = task.augment(inputs, targets, np.random.default_rng(1))
    assert seen.shape == inputs.shape
    assert aimed.shape == targets.shape
    np.testing.assert_allclose(np.sort(seen.flatten(1).numpy()), np.sort(inputs.flatten(1).numpy()))
    assert not torch.equal(seen, inputs)


def test_counts_add_up_and_a_perfect_prediction_is_the_best(
    made: Any, task: Any, rows: pd.DataFrame, tmp_path: Any
) -> None:
    scoring, judged = scoring_of(task.model), metric(task)
    write_table(tmp_path / "manifest.parquet", rows.assign(split="test"))
    block = next(b.block for b in made.study.stage("benchmarks") if b.block.kind == "simulated")
    cases = cases_of(block).cases(block, task.model, [tmp_path / "manifest.parquet"])
    found = list(cases)
    assert len(found) == 8
    rules = dict(scoring.rules(task))
    assert rules or scoring.fitted(task)
    best = pd.DataFrame([judged.of_image(perfect(task, case), case.truth, case.pixel_size) for case in found])
    others = {"seed": 0, "group": [case.group for case in found]}
    row = summarise(best.assign(**others), judged, 100, np.random.default_rng(0))
    first = judged.summary[0]
    assert row[first.name] == pytest.approx(1.0 if judged.higher_is_better else 0.0)
    for name, rule in rules.items():
        table = pd.DataFrame([judged.of_image(np.asarray(rule(case)), case.truth, case.pixel_size) for case in found])
        worse = summarise(table.assign(**others), judged, 100, np.random.default_rng(0))[first.name]
        assert worse <= row[first.name] if judged.higher_is_better else worse >= row[first.name], name


def perfect(task: Any, case: Case) -> Any:
    """The prediction that says what is true."""
    truth = case.truth
    if task.model.kind == "atoms":
        return spot_map(truth[:, :2], len(case.image), task.model.target.sigma / case.pixel_size)
    if task.model.kind == "disks":
        return np.column_stack([truth[:, :2], weights(truth, task.model.target.weight)])
    if truth.ndim == 2:
        return truth.astype(np.float64)
    given = np.zeros(len(task.facts["classes"]) + 1)
    given[int(truth[0])] = 1.0
    return given


@pytest.mark.parametrize("kind", STAGES["benchmarks"])
def test_a_benchmark_says_which_files_it_reads_and_has_figures(made: Any, kind: str) -> None:
    found = [m for m in made.study.stage("benchmarks") if m.block.kind == kind]
    assert found, f"EXAMPLES in tests/shared/every_kind.py has no benchmarks of kind {kind}"
    member = found[0]
    cases_of(member.block).check(member)
    assert all((made.root / path).exists() for path in cases_of(member.block).files(member.block))
    shown = [path for path in figures(made.study) if path.startswith(member.folder)]
    assert any(path.endswith("scores.html") for path in shown)
    assert sum("/predictions/" in path for path in shown) == len(member.upstream["trainings"])


def test_every_kind_of_every_stage_has_figures_of_what_is_made_before(made: Any) -> None:
    there = set(before_the_report(made.study, "examples"))
    for path, figure in figures(made.study).items():
        read = [name for name in figure.inputs("examples") if name.endswith((".zarr.zip", "summary.parquet"))]
        simulated = [name for name in read if "/benchmarks/" not in name]
        assert set(simulated) <= there, path
    drawn = {path.split("/")[0] for path in figures(made.study)}
    assert drawn == set(made.study.members) - {"models"}
