import re

import numpy as np
import pandas as pd
import pytest
import torch

import exitwave.training.loop as loop
from exitwave.config.models import Segmentation
from exitwave.errors import ConfigError, TrainingError
from exitwave.hardware import resolve_device, resolve_precision
from exitwave.labels.mask import signed_distance
from exitwave.training.architectures import build_network
from exitwave.training.checkpoint import load_checkpoint, save_checkpoint
from exitwave.training.examples import HeldExamples, MadeExamples
from exitwave.training.kinds import task_of
from exitwave.training.loop import train, update_average, validate
from exitwave.training.pixels import PixelTask
from exitwave.training.segmentation import SegmentationTask


def held(images, masks):
    return HeldExamples.of([f"image-{i}" for i in range(len(images))], images, masks)


def made(images, masks):
    """The same, made whenever they are needed."""
    return MadeExamples(held(images, masks).names, lambda places: (images[places], masks[places]), 2)


def tiny(**changes):
    return Segmentation(kind="segmentation", encoder_depth=3, **{"epochs": 3, "batch_size": 4, **changes})


def bright_squares(n, rng):
    """A square brighter than its noisy surroundings, which is the particle."""
    images = rng.normal(0, 0.1, (n, 32, 32)).astype(np.float32)
    masks = np.zeros((n, 32, 32), bool)
    for image, mask in zip(images, masks, strict=True):
        y, x = rng.integers(2, 18, 2)
        mask[y : y + 12, x : x + 12] = True
        image[mask] += 1
    return images, masks


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return bright_squares(10, rng), bright_squares(6, rng)


def run(data, model, folder, *, seed=1, way=held, **changes):
    lines = []
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lines.append, **changes}
    examples = (way(*part) for part in data)
    result = train(*examples, task_of(model, {}), seed=seed, checkpoint=folder / "checkpoint.pt", **settings)
    return result, lines


def assert_same(a, b):
    for name, tensor in a.network.state_dict().items():
        assert torch.equal(tensor, b.network.state_dict()[name]), name
    pd.testing.assert_frame_equal(a.history.drop(columns="seconds"), b.history.drop(columns="seconds"))
    assert a.best_epoch == b.best_epoch


class Killed(BaseException):
    """Stands for a kill between two epochs: nothing of the package catches it."""


def killing_after(epoch):
    def progress(line):
        if line.startswith(f"epoch {epoch}/"):
            raise Killed

    return progress


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_learns_to_find_bright_squares(data, tmp_path, precision):
    result, lines = run(
        data, tiny(epochs=12, learning_rate=3e-3, learning_rate_decay=0.95), tmp_path, precision=precision
    )
    history = result.history
    assert history.validation_f1.iloc[result.best_epoch - 1] > 0.9
    assert history.validation_f1_soft.iloc[-1] > history.validation_f1_soft.iloc[0]
    assert history.validation_loss.idxmin() == result.best_epoch - 1
    assert history.epoch.tolist() == list(range(1, 13))
    np.testing.assert_allclose(history.learning_rate, 3e-3 * 0.95 ** np.arange(12))
    assert len(lines) == 12


def test_kept_network_gives_the_recorded_best_validation_loss(data, tmp_path):
    model = tiny(epochs=5, weight_average=0.9)
    result, _ = run(data, model, tmp_path)
    scores = validate(lambda: torch.autocast("cpu", enabled=False), result.network, held(*data[1]), task_of(model, {}))
    best = result.history.iloc[result.best_epoch - 1]
    for name, value in scores.items():
        assert value == pytest.approx(best[name], rel=1e-5)


def test_same_seed_gives_the_same_weights_and_another_seed_does_not(data, tmp_path):
    results = [run(data, tiny(epochs=2), tmp_path / str(i), seed=seed)[0] for i, seed in enumerate([1, 1, 2])]
    assert_same(results[0], results[1])
    weights = [result.network.state_dict()["encoder.conv1.weight"] for result in results]
    assert not torch.equal(weights[0], weights[2])


def test_training_leaves_the_global_random_states_alone(data, tmp_path):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(data, tiny(epochs=1), tmp_path)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "model",
    [
        tiny(weight_average=0.9),
        tiny(architecture="fpn"),
        tiny(learning_rate_schedule="cosine", gradient_clip=0.1, focal_weight=1, weight_average=0.5),
    ],
    ids=["weight average", "network with dropout", "cosine, clipping and focal loss"],
)
def test_killed_training_continues_to_the_identical_result(data, tmp_path, model):
    undisturbed, _ = run(data, model, tmp_path / "a")
    for epoch in (1, 2):
        with pytest.raises(Killed):
            run(data, model, tmp_path / "b", progress=killing_after(epoch))
    continued, lines = run(data, model, tmp_path / "b")
    assert lines[0] == "continues after epoch 2 of 3"
    assert len(lines) == 2
    assert_same(undisturbed, continued)


def test_a_cosine_falls_from_the_initial_rate_as_that_of_pytorch(data, tmp_path):
    model = tiny(epochs=4, learning_rate_schedule="cosine", learning_rate=2e-3)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=model.learning_rate)
    schedule, expected = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=4), []
    for _ in range(4):
        expected.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    result, _ = run(data, model, tmp_path)
    np.testing.assert_allclose(result.history.learning_rate, expected)


def test_no_step_has_gradients_longer_than_the_clip(data, tmp_path, monkeypatch):
    norms = []
    step = torch.optim.Adam.step

    def spy(optimiser, *arguments, **named):
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))
        return step(optimiser, *arguments, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    run(data, tiny(epochs=1), tmp_path / "free")
    free = max(norms)
    norms.clear()
    run(data, tiny(epochs=1, gradient_clip=free / 10), tmp_path / "cut")
    assert max(norms) == pytest.approx(free / 10, rel=1e-3)


def with_distances(data):
    """The same images with distances to the outlines of their masks [nm], of pixels of 0.8 Å."""
    each = [np.stack([signed_distance(mask, 0.08) for mask in masks]).astype(np.float16) for _, masks in data]
    return [(images, distances) for (images, _), distances in zip(data, each, strict=True)]


def test_the_boundary_loss_is_learned_with_turned_images_and_the_same_after_a_kill(data, tmp_path):
    model = tiny(epochs=12, learning_rate=3e-3, boundary_weight=1, dice_weight=0)
    undisturbed, _ = run(with_distances(data), model, tmp_path / "a")
    assert undisturbed.history.validation_f1.max() > 0.9
    assert (undisturbed.history.validation_loss > 0).all()
    with pytest.raises(Killed):
        run(with_distances(data), model, tmp_path / "b", progress=killing_after(2))
    continued, _ = run(with_distances(data), model, tmp_path / "b")
    assert_same(undisturbed, continued)


def test_a_long_epoch_says_how_far_it_is(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "TOLD_EVERY", 0.0)
    _, lines = run(data, tiny(epochs=2), tmp_path)
    told = [line.split(", training")[0] for line in lines]
    # Ten images in batches of four: of the last batch of an epoch its own line tells.
    assert told[:2] + told[3:5] == [f"epoch {epoch}/2: {done} of 10 images" for epoch in (1, 2) for done in (4, 7)]
    assert [line.startswith(f"epoch {epoch}/2: training loss") for epoch, line in ((1, lines[2]), (2, lines[5]))]
    assert len(lines) == 6
    assert re.fullmatch(r"epoch 1/2: 4 of 10 images, training loss \d\.\d+, validation in about \d+ s", lines[0])


def redrawn(data, epoch):
    """Other bright squares in every epoch, which follow from its number."""
    return bright_squares(len(data[0][0]), np.random.default_rng([7, epoch]))


def test_redrawn_images_replace_those_of_the_first_epoch(data, tmp_path, monkeypatch):
    seen, asked = [], []
    augment = SegmentationTask.augment

    def spy(task, inputs, labels, rng):
        seen.append((inputs.clone(), labels.clone()))
        return augment(task, inputs, labels, rng)

    def redraw(epoch):
        asked.append(epoch)
        return held(*redrawn(data, epoch))

    monkeypatch.setattr(SegmentationTask, "augment", spy)
    run(data, tiny(), tmp_path, redraw=redraw)
    assert asked == [2, 3]
    steps = len(seen) // 3
    for number, expected in enumerate([data[0], redrawn(data, 2), redrawn(data, 3)]):
        batches = seen[number * steps : (number + 1) * steps]
        pairs = {
            (image.numpy().tobytes(), label.numpy().tobytes())
            for inputs, labels in batches
            for image, label in zip(inputs, labels, strict=True)
        }
        assert pairs == {(image.tobytes(), mask.tobytes()) for image, mask in zip(*expected, strict=True)}


def test_killed_training_on_redrawn_images_continues_to_the_identical_result(data, tmp_path):
    def redraw(epoch):
        return held(*redrawn(data, epoch))

    undisturbed, _ = run(data, tiny(), tmp_path / "a", redraw=redraw)
    with pytest.raises(Killed):
        run(data, tiny(), tmp_path / "b", redraw=redraw, progress=killing_after(2))
    continued, lines = run(data, tiny(), tmp_path / "b", redraw=redraw)
    assert lines[0] == "continues after epoch 2 of 3"
    assert_same(undisturbed, continued)


@pytest.mark.parametrize("new", [False, True], ids=["the same images", "new ones in every epoch"])
def test_examples_made_when_they_are_needed_give_the_identical_network(data, tmp_path, new):
    def redraw(way):
        return {"redraw": lambda epoch: way(*redrawn(data, epoch))} if new else {}

    model = tiny(weight_average=0.9)
    undisturbed, _ = run(data, model, tmp_path / "a", **redraw(held))
    with pytest.raises(Killed):
        run(data, model, tmp_path / "b", way=made, progress=killing_after(2), **redraw(made))
    continued, lines = run(data, model, tmp_path / "b", way=made, **redraw(made))
    assert lines[0] == "continues after epoch 2 of 3"
    assert_same(undisturbed, continued)


def test_checkpoint_of_a_training_on_stored_images_is_not_taken_for_one_on_redrawn_images(data, tmp_path):
    run(data, tiny(epochs=2), tmp_path)
    _, lines = run(data, tiny(epochs=2), tmp_path, redraw=lambda epoch: held(*redrawn(data, epoch)))
    assert "starts anew" in lines[0]


def test_finished_training_is_not_repeated(data, tmp_path):
    first, _ = run(data, tiny(), tmp_path)
    again, lines = run(data, tiny(), tmp_path)
    assert len(lines) == 1
    pd.testing.assert_frame_equal(first.history, again.history)
    assert_same(first, again)


def test_checkpoint_of_other_data_is_ignored(data, tmp_path):
    run(data, tiny(epochs=1), tmp_path)
    (images, masks), validation = data
    changed = images.copy()
    changed[0, 0, 0] += 1
    _, lines = run(((changed, masks), validation), tiny(epochs=1), tmp_path)
    assert "is of another model, data set or seed: the training starts anew" in lines[0]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_damaged_checkpoint_is_reported_and_training_starts_anew(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"digest": "x", "network": torch.arange(1000.0)})
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(torch.arange(1000.0).numpy().tobytes()) + 400] ^= 1
    path.write_bytes({"truncated": content[:2000], "flipped": content, "text": b"no checkpoint"}[damage])
    lines = []
    assert load_checkpoint(path, "x", lines.append) is None
    assert "is damaged" in lines[0]
    assert "starts anew" in lines[0]


def test_checkpoint_with_code_in_it_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harmed"), "w"))

    torch.save({"digest": "x", "network": Harmful()}, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "checkpoint.pt", "x", lambda line: None) is None
    assert not (tmp_path / "harmed").exists()


def test_mistake_09_validation_images_are_never_augmented(data, tmp_path, monkeypatch):
    (images, _), (validation_images, validation_masks) = data
    augmented, validated = [], []
    augment, original = SegmentationTask.augment, loop.validate

    def spy_augment(task, inputs, labels, rng):
        augmented.append(inputs.clone())
        return augment(task, inputs, labels, rng)

    def spy_validate(autocast, network, examples, task, ranks):
        validated.append((examples.inputs, examples.targets))
        return original(autocast, network, examples, task, ranks)

    monkeypatch.setattr(SegmentationTask, "augment", spy_augment)
    monkeypatch.setattr(loop, "validate", spy_validate)
    run(data, tiny(epochs=2), tmp_path)
    seen = torch.cat(augmented).numpy()
    assert len(seen) == 2 * len(images)
    assert {image.tobytes() for image in seen} == {image.tobytes() for image in images}
    for inputs, labels in validated:
        np.testing.assert_array_equal(inputs.numpy(), validation_images)
        np.testing.assert_array_equal(labels.numpy(), validation_masks)


def test_validation_does_not_depend_on_the_batch_size(data):
    network = build_network(tiny())
    tasks = [task_of(tiny(batch_size=size), {}) for size in (1, 4, 6)]
    scores = [validate(lambda: torch.autocast("cpu", enabled=False), network, held(*data[1]), task) for task in tasks]
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], rel=1e-5)


def test_without_augmentation_no_image_is_turned(data, tmp_path, monkeypatch):
    monkeypatch.delattr(PixelTask, "augment")
    run(data, tiny(epochs=1, augmentation=False), tmp_path)


def test_batches_cover_every_image_once_and_none_is_left_alone():
    for n in (2, 5, 16, 17, 33):
        batches = loop._shuffled_batches(n, 16, np.random.default_rng(n))
        assert sorted(np.concatenate(batches).tolist()) == list(range(n))
        assert max(map(len, batches)) <= 16
        assert min(map(len, batches)) >= min(n, 8)


def test_weight_average_follows_its_definition_and_copies_statistics():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    expected = 0.75 * average[0].weight.detach() + 0.25 * network[0].weight.detach()
    network[1].running_mean += 3
    network[1].num_batches_tracked += 7
    update_average(average, network, 0.75)
    torch.testing.assert_close(average[0].weight.detach(), expected)
    assert torch.equal(average[1].running_mean, network[1].running_mean)
    assert average[1].num_batches_tracked == 7


@pytest.mark.parametrize("way", [held, made])
def test_image_that_is_not_finite_is_named(data, tmp_path, way):
    (images, masks), validation = data
    broken = images.copy()
    broken[7, 3, 3] = np.nan
    with pytest.raises(TrainingError, match=r"training loss is nan; .* not finite: image-7$"):
        run(((broken, masks), validation), tiny(), tmp_path, way=way)


def test_diverged_training_names_the_images_of_its_batch(data, tmp_path):
    with pytest.raises(TrainingError, match=r"lower learning_rate may help; images: image-\d, image-\d"):
        run(data, tiny(learning_rate=1e36, epochs=20), tmp_path)


@pytest.mark.parametrize("way", [held, made])
def test_validation_loss_that_is_not_finite_is_an_error(data, tmp_path, way):
    training, (images, masks) = data
    broken = images.copy()
    broken[5, 2, 2] = np.nan
    with pytest.raises(TrainingError, match=r"validation loss is nan after epoch 1; .* not finite: image-5$"):
        run((training, (broken, masks)), tiny(), tmp_path, way=way)


def test_images_that_do_not_fit_the_network_are_refused(data, tmp_path):
    (images, masks), _ = data
    cut = (images[:, :30, :30], masks[:, :30, :30])
    with pytest.raises(TrainingError, match=r"30 x 30 pixels; allowed: .* multiple of 8"):
        run((cut, cut), tiny(), tmp_path)


def test_empty_validation_set_is_refused(data, tmp_path):
    (images, masks), _ = data
    with pytest.raises(TrainingError, match="validation set holds 0 images"):
        run(((images, masks), (images[:0], masks[:0])), tiny(), tmp_path)


def test_cuda_asked_for_but_absent_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device is cuda, but PyTorch finds no CUDA device"):
        resolve_device("cuda")
    assert resolve_device("auto") == "cpu"


@pytest.mark.parametrize("granted", ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS", None])
def test_in_a_job_of_slurm_auto_takes_a_gpu_that_was_given_and_no_other(monkeypatch, tmp_path, granted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("exitwave.hardware._DRIVERS", (str(tmp_path),))
    for name in ("SLURM_JOB_ID", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    assert resolve_device("auto") == "cuda"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    if granted:
        monkeypatch.setenv(granted, "0")
    assert resolve_device("auto") == ("cuda" if granted else "cpu")
    assert resolve_device("cuda") == "cuda"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"avx512_bf16": False, "amx_bf16": True}, "bf16"), ({"avx512_f": True}, "32")],
)
def test_auto_precision_on_a_processor_follows_its_instructions(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("32", "cpu") == "32"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_learns_on_a_gpu(data, tmp_path):
    result, _ = run(data, tiny(epochs=12, learning_rate=3e-3), tmp_path, device="cuda", precision="auto")
    assert result.history.validation_f1.max() > 0.9
