import io

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import exitwave.training.event_files as event_files
import exitwave.training.loop as loop
from exitwave.config.models import Regression, Segmentation
from exitwave.errors import ConfigError
from exitwave.study.link import study_from
from exitwave.study.plan import how_to_train
from exitwave.training.event_files import watched
from exitwave.training.examples import HeldExamples
from exitwave.training.kinds import task_of
from exitwave.training.loop import train
from job_study import TINY

pytest.importorskip("tensorboard")

SMALL = {"encoder_depth": 3, "epochs": 4, "batch_size": 4}
MODEL = Segmentation(kind="segmentation", **SMALL)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.1, (12, 32, 32)).astype(np.float32)
    masks = np.zeros((12, 32, 32), bool)
    masks[:, 8:20, 10:24] = True
    images[masks] += 1
    names = [f"image-{place}" for place in range(12)]
    return HeldExamples.of(names[:8], images[:8], masks[:8]), HeldExamples.of(names[8:], images[8:], masks[8:])


def run(data, folder, watch=None, model=MODEL):
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lambda line: None}
    facts = {"unit": "Å"} if model.kind == "regression" else {}
    return train(*data, task_of(model, facts), seed=1, checkpoint=folder / "checkpoint.pt", watch=watch, **settings)


def events_of(folder):
    """All event files of a folder, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def pictures(events):
    found = events.Images("image, target, prediction")
    return {one.step: np.asarray(Image.open(io.BytesIO(one.encoded_image_string))) for one in found}


class Killed(BaseException):
    """Stands for a kill: nothing of the package catches it."""


def killing_in(epoch, monkeypatch):
    """Kills after the events of an epoch are written and before its state is kept."""
    kept = loop.save_checkpoint

    def save(path, state):
        if len(state["history"]) == epoch:
            raise Killed
        kept(path, state)

    monkeypatch.setattr(loop, "save_checkpoint", save)


def test_every_epoch_is_there_once_with_the_values_of_the_history_however_often_it_was_killed(
    data, tmp_path, monkeypatch
):
    undisturbed = run(data, tmp_path / "a")
    folder, task = tmp_path / "events", task_of(MODEL, {})
    for epoch in (1, 3):
        with monkeypatch.context() as patch, watched(folder, task, data[1]) as watch:
            killing_in(epoch, patch)
            with pytest.raises(Killed):
                run(data, tmp_path / "b", watch)
    with watched(folder, task, data[1]) as watch:
        result = run(data, tmp_path / "b", watch)

    assert len(list(folder.iterdir())) == 3
    events = events_of(folder)
    assert set(events.Tags()["scalars"]) == set(result.history.columns) - {"epoch"}
    for name in set(result.history.columns) - {"epoch", "seconds"}:
        told = events.Scalars(name)
        assert [one.step for one in told] == [1, 2, 3, 4]
        np.testing.assert_allclose([one.value for one in told], result.history[name], rtol=1e-6)
    assert sorted(pictures(events)) == [1, 2, 3, 4]
    # Being watched changes nothing.
    for name, tensor in undisturbed.network.state_dict().items():
        assert torch.equal(tensor, result.network.state_dict()[name]), name


def test_pictures_show_images_their_masks_and_predictions_side_by_side(data, tmp_path):
    model = MODEL.model_copy(update={"epochs": 1})
    for weight in (0.0, 1.0):  # what is aimed at are masks, or distances to their outlines
        task = task_of(model.model_copy(update={"boundary_weight": weight}), {})
        masks = data[1].targets
        aims = torch.where(masks, -0.5, 0.5).half() if weight else masks
        validation = HeldExamples(data[1].names, data[1].inputs, aims)
        network = task.build().eval()
        with watched(tmp_path / str(weight), task, validation) as watch:
            watch({"epoch": 1, "train_loss": 0.5}, network)
        (shown,) = pictures(events_of(tmp_path / str(weight))).values()
        assert shown.shape[:2] == (3 * 32, 3 * 32)
        gray = (shown if shown.ndim == 2 else shown[..., 0]).reshape(3, 32, 3, 32)
        places = [0, 1, 3]
        with torch.no_grad():
            expected = network(data[1].inputs[places][:, None])[:, 0].sigmoid().numpy()
        np.testing.assert_array_equal(gray[:, :, 1] > 127, masks[places].numpy())
        np.testing.assert_allclose(gray[:, :, 2] / 255, expected, atol=1 / 255)
        for image, one in zip(data[1].inputs[places].numpy(), gray[:, :, 0], strict=True):
            np.testing.assert_allclose(one / 255, (image - image.min()) / np.ptp(image), atol=1 / 255)


def test_large_images_and_long_trainings_take_few_pixels_and_few_pictures(tmp_path):
    model = Regression(kind="regression", target={"map": "thickness"}, epochs=50, encoder_depth=3)
    task = task_of(model, {"unit": "Å"})
    field = np.linspace(0, 7, 320 * 320, dtype=np.float32).reshape(1, 320, 320)
    validation = HeldExamples.of(["image"], field, field)
    network = task.build().eval()
    with watched(tmp_path, task, validation) as watch:
        for epoch in range(1, 51):
            watch({"epoch": epoch, "train_loss": 1 / epoch}, network)
    found = pictures(events_of(tmp_path))
    assert sorted(found) == list(range(5, 51, 5))
    assert {picture.shape[:2] for picture in found.values()} == {(160, 3 * 160)}


def test_a_folder_that_cannot_be_written_is_told_once_and_the_training_goes_on(data, tmp_path, caplog):
    (tmp_path / "events").write_text("no folder")
    with watched(tmp_path / "events", task_of(MODEL, {}), data[1]) as watch:
        result = run(data, tmp_path, watch)
    assert len(result.history) == 4
    (told,) = [record.message for record in caplog.records if "TensorBoard" in record.message]
    assert told.startswith(f"{tmp_path / 'events'}: no more is written for TensorBoard (")


def study(watched):
    raw = yaml.safe_load(TINY)
    raw["trainings"]["gold"]["tensorboard"] = watched
    return study_from(raw, "study.yaml")


def test_a_training_that_is_watched_is_no_other_training():
    (plain,), (seen,) = (study(watched).stage("trainings") for watched in (False, True))
    assert plain.folder == seen.folder
    assert how_to_train(seen) == {**how_to_train(plain), "tensorboard": True}


def test_without_the_package_a_study_that_asks_for_it_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(event_files, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"^study.yaml: trainings.gold.tensorboard: found true, .* not installed; allowed: false, or"
    ):
        study(True)
    study(False)
