import numpy as np
import pandas as pd
import pytest
from PIL import Image

from exitwave.errors import MicrographError, TrainingError
from exitwave.jobs.apply import load_networks, segment_files


@pytest.fixture
def micrograph(tmp_path):
    path = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48), dtype=np.uint8)).save(path)
    return path


def segment(images, model, output):
    lines = []
    done, failed = segment_files(images, model, output, 0.8, 0.5, 0.5, False, lines.append)
    return done, failed, lines


def test_a_micrograph_that_cannot_be_used_is_named_and_the_others_go_on(learned, micrograph, tmp_path):
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((40, 40), np.nan, np.float32))
    garbage = tmp_path / "garbage.png"
    garbage.write_bytes(b"this is no picture")
    output = tmp_path / "segmented"
    images = [nan, garbage, tmp_path / "missing.tif", micrograph]
    done, failed, lines = segment(images, learned.folder / "model", output)
    assert done == 1
    assert len(failed) == 3
    for path, sentence in zip(images, failed, strict=False):
        assert str(path) in sentence
        assert "\n" not in sentence
    assert lines[0].startswith("good.png: ")
    assert sorted(path.name for path in output.glob("good*")) == [
        "good_mask.png",
        "good_overlay.png",
        "good_probability.npy",
    ]


def test_mask_probability_and_table_agree(learned, micrograph, tmp_path):
    segment([micrograph], learned.folder / "model", tmp_path)
    probability = np.load(tmp_path / "good_probability.npy")
    mask = np.asarray(Image.open(tmp_path / "good_mask.png")) > 0
    np.testing.assert_array_equal(mask, probability >= 0.5)
    assert probability.shape == (40, 48)
    table = pd.read_csv(tmp_path / "particles.csv")
    assert (table["image"] == "good.png").all()


def test_the_networks_of_a_training_are_averaged(learned, micrograph, tmp_path):
    maps = []
    for number, folder in enumerate(learned.networks):
        segment([micrograph], folder, tmp_path / str(number))
        maps.append(np.load(tmp_path / str(number) / "good_probability.npy"))
    segment([micrograph], learned.folder / "model", tmp_path / "all")
    np.testing.assert_allclose(np.load(tmp_path / "all" / "good_probability.npy"), np.mean(maps, axis=0), atol=1e-6)


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"holds no network; allowed: "):
        load_networks(tmp_path)


def test_micrographs_of_the_same_name_do_not_overwrite_each_other(micrograph, tmp_path):
    other = tmp_path / "elsewhere" / "good.tif"
    with pytest.raises(MicrographError, match=r"elsewhere.good\.tif and .*good\.png would be written to the same"):
        segment([micrograph, other], tmp_path, tmp_path / "segmented")
