"""Autoencoders and networks that make images finer: what they learn, and a training against a critic that is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from exitwave.benchmark.super_resolution import interpolated
from exitwave.config.models import Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.errors import TrainingError
from exitwave.training.adversary import adversary_of
from exitwave.training.architectures import build_network
from exitwave.training.examples import HeldExamples
from exitwave.training.features import equipped, feature_errors
from exitwave.training.image_sums import decibels
from exitwave.training.kinds import task_of
from exitwave.training.loop import TrainingResult, train
from exitwave.training.networks import save_network
from exitwave.training.super_resolution import SuperResolutionTask

Array = NDArray[np.float32]
Data = tuple[tuple[Array, Array], tuple[Array, Array]]
BUNDLED = "resources/models/atoms.safetensors"


class Killed(BaseException):
    """Stands for a kill between two epochs."""


def finer(**keys: Any) -> SuperResolution:
    small = {"factor": 2, "width": 8, "blocks": 1, "epochs": 3, "batch_size": 4, "warm_up": 1, "learning_rate": 3e-3}
    return SuperResolution.model_validate({"kind": "super_resolution", **small, **keys})


def against_a_critic(**keys: Any) -> SuperResolution:
    return finer(**{"adversarial_weight": 0.05, "feature_weight": 0.1, "features": "random", **keys})


def few(**keys: Any) -> Autoencoder:
    small = {"latent": 4, "width": 4, "depth": 2, "epochs": 3, "batch_size": 8, "learning_rate": 5e-3}
    return Autoencoder.model_validate({"kind": "autoencoder", **small, **keys})


def spots(number: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Blurred points on 32 x 32 places, and every second place with noise."""
    points = (rng.random((number, 32, 32)) < 0.02).astype(np.float32)
    true = 30 * gaussian_filter(points, (0, 1.6, 1.6)).astype(np.float32)
    coarse = true[:, :, :].reshape(number, 16, 2, 16, 2).mean(axis=(2, 4)) + rng.normal(0, 0.3, (number, 16, 16))
    return coarse.astype(np.float32), true


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(0)
    return spots(24, rng), spots(8, rng)


@pytest.fixture(scope="module")
def discs() -> Data:
    """Discs on 16 x 16 pixels, which three numbers describe."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]

    def drawn(number: int) -> tuple[Array, Array]:
        places, radii = rng.uniform(5, 10, (number, 2)), rng.uniform(2, 5, number)
        far = np.hypot(y - places[:, 0, None, None], x - places[:, 1, None, None])
        images = (1 / (1 + np.exp(2 * (far - radii[:, None, None])))).astype(np.float32)
        return images, images

    return drawn(160), drawn(40)


def run(data: Data, task: Any, folder: Path, kill_after: int | None = None, **changes: Any) -> TrainingResult:
    def progress(line: str) -> None:
        if kill_after is not None and line.startswith(f"epoch {kill_after}/"):
            raise Killed

    settings = {"seed": 1, "device": "cpu", "precision": "32", "threads": 1, **changes}
    examples = [HeldExamples.of([str(place) for place in range(len(part[0]))], *part) for part in data]
    return train(examples[0], examples[1], task, checkpoint=folder / "checkpoint.pt", progress=progress, **settings)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    states = [result.network.state_dict() for result in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    pd.testing.assert_frame_equal(one.history.drop(columns="seconds"), other.history.drop(columns="seconds"))
    assert one.best_epoch == other.best_epoch


# --- exactly the same -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_killed_training_against_a_critic_continues_to_the_identical_result(
    data: Data, tmp_path: Path, precision: str
) -> None:
    """Killed before the critic joins, and after."""
    task = task_of(against_a_critic(weight_average=0.9), {})
    undisturbed = run(data, task, tmp_path / "a", precision=precision)
    for epoch in (1, 2):
        with pytest.raises(Killed):
            run(data, task, tmp_path / "b", kill_after=epoch, precision=precision)
    assert_same(undisturbed, run(data, task, tmp_path / "b", precision=precision))


def test_a_checkpoint_without_the_state_of_the_critic_would_be_noticed(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: what the critic has learned decides what comes after."""
    task = task_of(against_a_critic(), {})
    undisturbed = run(data, task, tmp_path / "a")
    with pytest.raises(Killed):
        run(data, task, tmp_path / "b", kill_after=2)
    monkeypatch.setattr("exitwave.training.adversary.Adversary.load_state_dict", lambda self, state: None)
    other = run(data, task, tmp_path / "b")
    assert not torch.equal(undisturbed.network.last.weight, other.network.last.weight)


def test_a_killed_autoencoder_continues_to_the_identical_result(discs: Data, tmp_path: Path) -> None:
    task = task_of(few(), {"edge": 16})
    undisturbed = run(discs, task, tmp_path / "a")
    with pytest.raises(Killed):
        run(discs, task, tmp_path / "b", kill_after=2)
    assert_same(undisturbed, run(discs, task, tmp_path / "b"))


# --- the critic -------------------------------------------------------------------------------


def test_the_critic_changes_nothing_before_it_joins(data: Data, tmp_path: Path) -> None:
    alone = run(data, task_of(finer(), {}), tmp_path / "a")
    opposed = run(data, task_of(finer(adversarial_weight=0.05, warm_up=2), {}), tmp_path / "b")
    for name in ("train_loss", "validation_loss"):
        pd.testing.assert_series_equal(alone.history[name][:2], opposed.history[name][:2])
        assert alone.history[name][2] != opposed.history[name][2]
    # Whatever their loss, networks of the warm-up are not kept.
    assert opposed.best_epoch == 3


def test_models_without_a_critic_have_none() -> None:
    for model in (finer(), few(), Segmentation(kind="segmentation")):
        assert adversary_of(None, model) is None


def test_a_critic_tells_noise_from_true_images(data: Data) -> None:
    import lightning_fabric

    torch.manual_seed(0)
    fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1)
    adversary = adversary_of(fabric, against_a_critic(learning_rate=1e-2))
    assert adversary is not None
    true = torch.as_tensor(data[0][1])
    noise = torch.randn(len(true), 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def told_apart() -> float:
        with torch.inference_mode():
            return float(adversary.objection(noise) - adversary.objection(true[:, None]))

    before = told_apart()
    for _ in range(20):
        adversary.learn(noise, true)
    assert told_apart() > before + 0.05


# --- what is learned --------------------------------------------------------------------------


def test_finer_images_are_learned_better_than_interpolated(data: Data, tmp_path: Path) -> None:
    result = run(data, task_of(finer(epochs=25, width=16, blocks=2, learning_rate_decay=0.95), {}), tmp_path)
    coarse, true = data[1]
    with torch.inference_mode():
        made = result.network(torch.as_tensor(coarse)[:, None])[:, 0].numpy()
    cubic = np.stack([interpolated(image, 2, "BICUBIC") for image in coarse])
    assert ((made - true) ** 2).mean() < 0.75 * ((cubic - true) ** 2).mean()
    assert result.history["validation_psnr"].iloc[-1] > result.history["validation_psnr"].iloc[0]


def test_what_a_network_adds_to_lies_on_the_same_field_as_the_image() -> None:
    network = task_of(finer(factor=4), {}).build()
    torch.nn.init.zeros_(network.last.weight)
    torch.nn.init.zeros_(network.last.bias)
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    with torch.inference_mode():
        made = network((2 * x + y)[None, None])[0, 0].numpy()
    fine = (np.arange(48) + 0.5) / 4 - 0.5
    # A plane stays a plane; at the edge it is not known how it goes on.
    np.testing.assert_allclose(made[2:-2, 2:-2], (2 * fine[None] + fine[:, None])[2:-2, 2:-2], atol=1e-4)


def test_an_autoencoder_learns_discs(discs: Data, tmp_path: Path) -> None:
    result = run(discs, task_of(few(epochs=40, augmentation=False, learning_rate_decay=0.95), {"edge": 16}), tmp_path)
    variance = ((discs[1][0] - discs[0][0].mean(axis=0)) ** 2).mean()
    assert result.history["validation_loss"].min() < 0.2 * variance


@pytest.mark.parametrize("latent", [1, 7, 64])
def test_nothing_goes_past_the_numbers_that_are_kept(latent: int) -> None:
    network = task_of(few(latent=latent), {"edge": 16}).build().eval()
    seen = torch.randn(3, 1, 16, 16)
    with torch.inference_mode():
        numbers = network.encoder(seen)
        assert numbers.shape == (3, latent)
        torch.testing.assert_close(network.decoder(numbers), network(seen))
        # As many directions as numbers: small changes of the image have no others.
        changes = network.decoder(numbers[:1] + 1e-2 * torch.randn(100, latent))[:, 0].flatten(1).double()
    assert np.linalg.matrix_rank((changes - changes.mean(0)).numpy(), tol=1e-3) <= min(3 * latent, 99)


# --- losses and scores ------------------------------------------------------------------------


def test_decibels_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    true, made = rng.random((2, 3, 20, 24))
    found = decibels(torch.as_tensor(made), torch.as_tensor(true))
    expected = [peak_signal_noise_ratio(t, m, data_range=np.ptp(t)) for t, m in zip(true, made, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert float(decibels(torch.as_tensor(true), torch.as_tensor(true))[0]) == pytest.approx(100)


def test_an_image_counts_the_same_at_any_dose() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (2, 16, 16)).astype(np.uint32)
    task, rows = task_of(finer(), {}), pd.DataFrame()
    fine = rng.random((2, 32, 32)).astype(np.float32)
    one = task.inputs({"counts": counts}), task.targets({"counts": counts, "fine": fine}, rows)
    more = task.inputs({"counts": 7 * counts}), task.targets({"counts": 7 * counts, "fine": 7 * fine}, rows)
    for few_electrons, many in zip(one, more, strict=True):
        np.testing.assert_allclose(few_electrons, many, rtol=1e-4, atol=1e-5)
    empty = {"counts": np.zeros_like(counts), "fine": fine}
    assert np.isfinite(task.targets(empty, rows)).all()


@pytest.mark.parametrize("name", ["random", BUNDLED])
def test_errors_of_features_are_of_their_image_and_have_a_slope(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(3, 64, 64, generator=generator)
    made = (true + 0.2 * torch.randn(3, 64, 64, generator=generator)).requires_grad_()
    errors = feature_errors(name, made, true)
    torch.testing.assert_close(feature_errors(name, made[1:2], true[1:2])[0], errors[1], rtol=1e-4, atol=1e-6)
    assert float(feature_errors(name, true, true).abs().max()) == 0
    # Of an image in other units they are the same.
    torch.testing.assert_close(feature_errors(name, 5 * made + 2, 5 * true + 2), errors, rtol=1e-3, atol=1e-5)
    errors.sum().backward()
    assert made.grad is not None
    assert torch.isfinite(made.grad).all()
    assert made.grad.abs().sum() > 0


def test_features_are_in_the_loss_with_their_weight() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.rand(2, 1, 32, 32), torch.rand(2, 32, 32)
    models = finer(), finer(features="random", feature_weight=0.3)
    plain, with_them = (equipped(task_of(model, {})) for model in models)
    expected = plain.objective(outputs, targets) + 0.3 * feature_errors("random", outputs[:, 0], targets).mean()
    torch.testing.assert_close(with_them.objective(outputs, targets), expected)


def test_features_come_from_networks_that_one_has_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Segmentation(kind="segmentation", encoder_depth=3)
    network = build_network(model)
    save_network(tmp_path / "own", network, task_of(model, {}), pixel_size=0.2, info={})
    made, true = torch.rand(2, 1, 32, 32)
    errors = feature_errors(str(tmp_path / "own"), made, true)
    assert errors[0] != feature_errors("random", made, true)[0]
    assert finer(features=str(tmp_path / "own"), feature_weight=1).may_be_files() == [
        str(tmp_path / "own" / "weights.safetensors")
    ]


def test_networks_without_an_encoder_have_no_features(tmp_path: Path) -> None:
    task = task_of(finer(), {})
    assert isinstance(task, SuperResolutionTask)
    save_network(tmp_path / "own", task.build(), task, pixel_size=0.2, info={})
    with pytest.raises(TrainingError, match="holds networks of kind super_resolution; allowed: networks with an enco"):
        feature_errors(str(tmp_path / "own"), torch.rand(1, 32, 32), torch.rand(1, 32, 32))


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"features": "random"}, "features is random with feature_weight 0; allowed: both or neither"),
        ({"feature_weight": 1}, "features is None with feature_weight 1; allowed: both or neither"),
        ({"adversarial_weight": 1, "warm_up": 3}, "warm_up is 3 with epochs 3; allowed: fewer than epochs"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        finer(**keys)


@pytest.mark.parametrize(
    ("edge", "shape", "told"),
    [
        (16, (4, 18, 18), "images have 18 x 18 pixels; allowed: 16 x 16, as the first one has"),
        (18, (4, 18, 18), "images have an edge of 18 px; allowed: a multiple of 4, as depth is 2"),
        (4, (1, 4, 4), "one image at a time leaves a single value for batch normalisation"),
    ],
)
def test_images_that_an_autoencoder_cannot_take_are_refused(edge: int, shape: tuple[int, ...], told: str) -> None:
    task = task_of(few(), {"edge": edge})
    with pytest.raises(TrainingError, match=told):
        task.check(torch.nn.Identity(), shape)
