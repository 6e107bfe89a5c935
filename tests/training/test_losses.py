import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import f1_score, log_loss

from exitwave.labels.mask import signed_distance
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


@pytest.mark.parametrize("found", [1.6, 1.9, 2.9])
def test_boundary_loss_of_a_disk_that_is_found_too_large_or_too_small_is_that_of_a_ring(found):
    """Wrong is the ring between both radii, whose pixels count by their distance r - R from the true outline."""
    radius, pixel = 2.2, 0.02
    y, x = np.mgrid[:320, :320] * pixel
    from_middle = np.hypot(y - 3.2, x - 3.2)
    masks = [torch.as_tensor(from_middle < edge).double() for edge in (radius, found)]
    distances = torch.as_tensor(signed_distance(masks[0].bool().numpy(), pixel))
    sums = soft_sums(100 * masks[1] - 50, masks[0], distances=distances)
    ring = 2 * np.pi * ((found**3 - radius**3) / 3 - radius * (found**2 - radius**2) / 2)
    # Of an outline in steps the distances are known to a quarter of a pixel.
    known = 0.25 * pixel * np.pi * abs(found**2 - radius**2)
    assert float(sums.boundary) * pixel**2 == pytest.approx(ring, abs=known)
    loss = segmentation_loss(sums, 0, 0, boundary_weight=3)
    assert float(loss) == pytest.approx(3 * ring / (320 * pixel) ** 2, abs=3 * known / (320 * pixel) ** 2)


def test_boundary_loss_is_that_of_kervadec_but_for_a_constant(predictions):
    """Mean of p times the signed distance, here from distances to either side by SciPy."""
    logits, labels = predictions
    inside = labels.numpy().astype(bool)
    distances = np.stack([distance_transform_edt(~one) - distance_transform_edt(one) for one in inside])
    distances -= np.sign(distances) / 2
    ours = [torch.as_tensor(signed_distance(one, 1.0)) for one in inside]
    losses, gradients = [], []
    for first in (lambda p: (p * torch.as_tensor(distances)).mean(), None):
        given = logits.clone().requires_grad_()
        sums = soft_sums(given, labels, distances=torch.stack(ours))
        loss = segmentation_loss(sums, 0, 0, boundary_weight=1) if first is None else first(torch.sigmoid(given))
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(given.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-15)
    assert losses[1] - losses[0] == pytest.approx(-(labels.numpy() * distances).mean())
    assert losses[1] > 0


def test_boundary_loss_of_a_perfect_prediction_is_nothing(predictions):
    labels = predictions[1]
    distances = torch.stack([torch.as_tensor(signed_distance(one.bool().numpy(), 1.0)) for one in labels])
    sums = soft_sums(1e4 * (2 * labels - 1), labels, distances=distances)
    assert float(segmentation_loss(sums, 0, 0, boundary_weight=1)) == 0


@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_focal_loss_has_finite_gradients_however_certain_a_prediction_is(logit):
    for label in (0.0, 1.0):
        logits = torch.full((2, 2), logit, requires_grad=True)
        segmentation_loss(soft_sums(logits, torch.full((2, 2), label), 1.0), 0, 0, 1).backward()
        assert torch.isfinite(logits.grad).all()


def test_loss_of_a_set_does_not_depend_on_its_batches(predictions):
    logits, labels = predictions
    distances = torch.stack([torch.as_tensor(signed_distance(one.bool().numpy(), 1.0)) for one in labels])
    first, last = (soft_sums(logits[part], labels[part], 2, distances[part]) for part in (slice(2), slice(2, None)))
    whole = soft_sums(logits, labels, 2, distances)
    loss, expected = (float(segmentation_loss(sums, 1, 1, 1, 1)) for sums in (first + last, whole))
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
