import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import huber_loss

from exitwave.benchmark.cases import Case
from exitwave.benchmark.regression import constant, line
from exitwave.config.models import Regression
from exitwave.errors import TrainingError
from exitwave.training.examples import HeldExamples
from exitwave.training.kinds import task_of
from exitwave.training.loop import train
from exitwave.training.losses import map_sums

SCALE = 40.0


def model(**changes):
    settings = {"encoder_depth": 3, "epochs": 15, "batch_size": 4, "learning_rate": 3e-3, "learning_rate_decay": 0.95}
    return Regression(kind="regression", target={"map": "thickness"}, scale=SCALE, **settings | changes)


def task(**changes):
    return task_of(model(**changes), {"unit": "Å"})


def domes(n, rng):
    """Domes up to 60 high on bright or dark ground; what shows their height is a texture, not the brightness."""
    y, x = np.mgrid[:32, :32]
    images, heights = [], []
    for _ in range(n):
        centre, radius = rng.uniform(8, 24, 2), rng.uniform(8, 14)
        height = 60 * np.sqrt(np.clip(1 - np.hypot(y - centre[0], x - centre[1]) ** 2 / radius**2, 0, None))
        texture = np.where((y + x) % 2, 1, -1) * height / 60
        images.append(texture + rng.normal(0, 0.1, (32, 32)))
        heights.append(height)
    return np.array(images, np.float32), np.array(heights, np.float32)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return domes(24, rng), domes(8, rng)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lambda line: None}
    checkpoint = tmp_path_factory.mktemp("regression") / "checkpoint.pt"
    examples = (HeldExamples.of([str(i) for i in range(len(inputs))], inputs, targets) for inputs, targets in data)
    return train(*examples, task(), seed=1, checkpoint=checkpoint, **settings)


def errors(prediction, truth):
    return np.abs(prediction - truth).mean()


def test_a_map_is_learned_in_its_unit_and_better_than_by_any_baseline(data, trained):
    (images, heights), (held, truths) = data
    with torch.no_grad():
        predicted = task().predict(trained.network(torch.as_tensor(held)[:, None])).numpy()
    error = errors(predicted, truths)
    assert error == pytest.approx(trained.history["validation_mae"].min(), rel=0.05)
    assert trained.history["validation_mae"].iloc[-1] < trained.history["validation_mae"].iloc[0]
    for fit in (constant, line):
        rule = fit([Case("a", i, h, 1.0, "a") for i, h in zip(images, heights, strict=True)])
        baseline = [rule(Case("a", image, truth, 1.0, "a")) for image, truth in zip(held, truths, strict=True)]
        assert error < 0.5 * errors(np.stack(baseline), truths)


def test_history_has_the_error_of_the_map(trained):
    expected = ["epoch", "learning_rate", "train_loss", "validation_loss", "validation_mae", "seconds"]
    assert list(trained.history) == expected
    # The l1 loss is the mean absolute error in the scale of the outputs.
    np.testing.assert_allclose(SCALE * trained.history["validation_loss"], trained.history["validation_mae"])


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_sums_over_batches_are_those_of_the_whole(loss):
    rng = torch.Generator().manual_seed(0)
    outputs, targets = (torch.randn((6, 5, 5), generator=rng, dtype=torch.float64) * 3 for _ in range(2))
    whole = map_sums(outputs, targets, loss)
    parts = map_sums(outputs[:2], targets[:2], loss) + map_sums(outputs[2:], targets[2:], loss)
    torch.testing.assert_close(parts.mean_loss, whole.mean_loss)
    expected = (outputs - targets).abs().mean() if loss == "l1" else huber_loss(outputs, targets)
    torch.testing.assert_close(whole.mean_loss, expected)
    torch.testing.assert_close(whole.absolute, (outputs - targets).abs().sum())


def test_pixels_without_a_value_are_left_out_of_loss_and_gradient():
    outputs = torch.ones((1, 1, 2, 2), requires_grad=True)
    targets = torch.tensor([[[0.0, torch.nan], [torch.inf, 3 * SCALE]]])
    loss = task().objective(outputs, targets)
    assert loss.item() == pytest.approx((1 + 2) / 2)
    loss.backward()
    torch.testing.assert_close(outputs.grad, torch.tensor([[[[0.5, 0.0], [0.0, -0.5]]]]))
    empty = task().objective(outputs, torch.full((1, 2, 2), torch.nan))
    assert empty.item() == 0


def test_validation_images_without_a_value_are_refused_and_no_perfect_score():
    outputs, targets = torch.ones((1, 1, 2, 2)), torch.full((1, 2, 2), torch.nan)
    with pytest.raises(TrainingError, match=r"target\.map: found no value of 'thickness' in any pixel"):
        task().scores(task().sums(outputs, targets))


def test_statistics_are_quantiles_of_the_values():
    values = np.linspace(0, 100, 10_001, dtype=np.float32).reshape(1, 73, 137)
    values[0, 0, 0] = np.nan
    found = task().statistics(values, pd.DataFrame())
    assert found["unit"] == "Å"
    assert found["median"] == pytest.approx(50, abs=0.1)
    assert found["max"] == 100
