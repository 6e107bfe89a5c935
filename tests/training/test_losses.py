import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

from exitwave.training.losses import f1, segmentation_loss, soft_sums


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    logits = torch.as_tensor(rng.normal(size=(6, 20, 20)))
    labels = torch.as_tensor((rng.random((6, 20, 20)) < 0.3).astype(np.float64))
    return logits, labels


def test_cross_entropy_equals_that_of_scikit_learn(predictions):
    logits, labels = predictions
    loss = segmentation_loss(soft_sums(logits, labels), cross_entropy_weight=1, dice_weight=0)
    expected = log_loss(labels.flatten().numpy(), torch.sigmoid(logits).flatten().numpy())
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_dice_of_certain_predictions_is_one_minus_hard_f1(predictions):
    logits, labels = predictions
    certain = torch.where(logits > 0, 50.0, -50.0).double()
    loss = segmentation_loss(soft_sums(certain, labels), cross_entropy_weight=0, dice_weight=1)
    expected = f1_score(labels.flatten().numpy(), (logits > 0).flatten().numpy())
    assert 1 - float(loss) == pytest.approx(expected, abs=1e-3)  # one pixel of smoothing


def test_weights_of_the_two_terms_are_linear(predictions):
    sums = soft_sums(*predictions)
    both = segmentation_loss(sums, 2.0, 3.0)
    assert float(both) == pytest.approx(
        2 * float(segmentation_loss(sums, 1, 0)) + 3 * float(segmentation_loss(sums, 0, 1))
    )


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_focal_loss_equals_that_of_segmentation_models_pytorch(predictions, gamma):
    from segmentation_models_pytorch.losses import FocalLoss

    logits, labels = predictions
    loss = segmentation_loss(soft_sums(3 * logits, labels, gamma), 0, 0, focal_weight=2)
    expected = 2 * FocalLoss("binary", gamma=gamma)(3 * logits[:, None], labels[:, None])
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_focal_loss_has_finite_gradients_however_certain_a_prediction_is(logit):
    for label in (0.0, 1.0):
        logits = torch.full((2, 2), logit, requires_grad=True)
        segmentation_loss(soft_sums(logits, torch.full((2, 2), label), 1.0), 0, 0, 1).backward()
        assert torch.isfinite(logits.grad).all()


def test_loss_of_a_set_does_not_depend_on_its_batches(predictions):
    logits, labels = predictions
    parts = soft_sums(logits[:2], labels[:2], 2) + soft_sums(logits[2:], labels[2:], 2)
    whole = soft_sums(logits, labels, 2)
    loss, expected = (float(segmentation_loss(sums, 1, 1, 1)) for sums in (parts, whole))
    assert loss == pytest.approx(expected, rel=1e-12)


def test_loss_is_finite_where_nothing_is_labelled_and_predictions_are_certain():
    logits = torch.full((1, 8, 8), -1e4, requires_grad=True)
    loss = segmentation_loss(soft_sums(logits, torch.zeros(1, 8, 8)), 1, 1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(logits.grad).all()


def test_f1_is_not_a_number_without_particle_and_prediction():
    assert np.isnan(f1(0, 0, 0))
    assert f1(3, 4, 5) == pytest.approx(6 / 9)
