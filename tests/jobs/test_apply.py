from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from exitwave.benchmark.instances import ParticleRules
from exitwave.benchmark.prediction import Prediction
from exitwave.cli import app
from exitwave.errors import MicrographError, TrainingError
from exitwave.jobs import apply
from exitwave.jobs.apply import Applying, find_images, segment_files
from exitwave.training.bundle import load_networks

HOW = Applying(pixel_size=0.8, particles=ParticleRules(smallest=0, split=False))


def picture(path, seed=0, shape=(40, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def micrograph(tmp_path):
    return picture(tmp_path / "good.png")


@pytest.fixture
def striped(monkeypatch):
    """Instead of what a network of one epoch gives: columns as wide as the mean of the image says, so that there are
    particles in every image and others in every other image."""

    def predict(networks, image, *rest):
        width = 2 + int(image.mean()) % 7
        values = np.broadcast_to((np.arange(image.shape[1]) // width % 2).astype(np.float32), image.shape)
        return Prediction(values, np.zeros(image.shape, bool), ())

    monkeypatch.setattr(apply, "predict_ensemble", predict)


def segment(images, model, output, how=HOW):
    return list(segment_files(images, model, output, how))


def tables(output):
    return [pd.read_csv(output / name) for name in ("images.csv", "particles.csv")]


def test_a_micrograph_that_cannot_be_used_is_named_and_the_others_go_on(learned, micrograph, tmp_path):
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((40, 40), np.nan, np.float32))
    garbage = tmp_path / "garbage.png"
    garbage.write_bytes(b"this is no picture")
    (tmp_path / "empty").mkdir()
    output = tmp_path / "segmented"
    images = [nan, garbage, tmp_path / "missing.tif", tmp_path / "empty", tmp_path / ("n" * 300 + ".tif"), micrograph]
    outcomes = segment(images, learned.folder / "model", output)
    assert [outcome.done for outcome in outcomes] == [False] * 5 + [True]
    for path, outcome in zip(images, outcomes[:-1], strict=False):
        assert str(path) in outcome.told
        assert "\n" not in outcome.told
    assert outcomes[-1].told.startswith("good.png: ")
    assert sorted(path.name for path in output.glob("good*")) == [
        "good_instances.tif",
        "good_mask.tif",
        "good_outlines.geojson",
        "good_overlay.png",
        "good_probability.tif",
        "good_sizes.png",
        "good_uncertainty.tif",
    ]


def test_mask_probability_and_table_agree(learned, micrograph, tmp_path):
    segment([micrograph], learned.folder / "model", tmp_path / "out")
    probability = tifffile.imread(tmp_path / "out" / "good_probability.tif")
    mask = tifffile.imread(tmp_path / "out" / "good_mask.tif") > 0
    # Holes are filled.
    assert mask[probability >= 0.5].all()
    assert (mask != (probability >= 0.5)).mean() < 0.02
    assert probability.shape == (40, 48)
    images, particles = tables(tmp_path / "out")
    assert images["file"].tolist() == ["good.png"]
    assert images["area fraction"][0] == pytest.approx(mask.mean(), rel=1e-5)
    assert images["particles"][0] == len(particles)
    assert particles["area [nm^2]"].sum() == pytest.approx(mask.sum() * 0.08**2, rel=1e-5)


def test_the_networks_of_a_training_are_averaged(learned, micrograph, tmp_path):
    maps, output = [], tmp_path / "all"
    for number, folder in enumerate(learned.networks):
        segment([micrograph], folder, tmp_path / str(number))
        maps.append(tifffile.imread(tmp_path / str(number) / "good_probability.tif"))
        assert not (tmp_path / str(number) / "good_uncertainty.tif").exists()
    segment([micrograph], learned.folder / "model", output)
    # Each map was rounded down to 1/1024.
    for end, expected in (("probability", np.mean(maps, axis=0)), ("uncertainty", np.std(maps, axis=0))):
        np.testing.assert_allclose(tifffile.imread(output / f"good_{end}.tif"), expected, atol=2 / 1024)


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"holds no network; allowed: "):
        load_networks(tmp_path)


def test_rows_of_other_images_stay_and_those_of_the_same_image_are_replaced(learned, striped, tmp_path):
    one, two, output = picture(tmp_path / "one.png", 1), picture(tmp_path / "two.png", 2), tmp_path / "out"
    segment([one], learned.networks[0], output)
    segment([two], learned.networks[0], output)
    images, first = tables(output)
    assert images["file"].tolist() == ["one.png", "two.png"]
    assert set(first["file"]) == {"one.png", "two.png"}
    picture(two, 3, (60, 48))
    segment([two], learned.networks[0], output, replace(HOW, overwrite=True))
    images, second = tables(output)
    assert images["file"].tolist() == ["one.png", "two.png"]
    pd.testing.assert_frame_equal(second.query("file == 'one.png'"), first.query("file == 'one.png'"))
    heights = second.query("file == 'two.png'").groupby("file")["y [nm]"].max()
    assert heights.tolist() == [pytest.approx(30 * 0.08)]
    assert sorted(path.name for path in output.glob("*mask.tif")) == ["one_mask.tif", "two_mask.tif"]


def test_an_image_that_has_lost_its_particles_loses_its_rows(learned, striped, tmp_path, monkeypatch):
    one, two, output = picture(tmp_path / "one.png", 1), picture(tmp_path / "two.png", 2), tmp_path / "out"
    segment([one, two], learned.networks[0], output)
    nothing = Prediction(np.zeros((40, 48), np.float32), np.zeros((40, 48), bool), ())
    monkeypatch.setattr(apply, "predict_ensemble", lambda networks, image, *rest: nothing)
    segment([two], learned.networks[0], output, replace(HOW, overwrite=True))
    images, particles = tables(output)
    assert set(particles["file"]) == {"one.png"}
    assert images.set_index("file")["particles"]["two.png"] == 0


def test_tables_grow_as_it_goes(learned, striped, tmp_path):
    images = [picture(tmp_path / f"{number}.png", number) for number in range(3)]
    output = tmp_path / "out"
    for number, _ in enumerate(segment_files(images, learned.networks[0], output, HOW), 1):
        assert pd.read_csv(output / "particles.csv")["file"].nunique() == number


@pytest.mark.parametrize("wrong", [MemoryError(), RuntimeError("not enough\nmemory"), OSError(28, "No space left")])
def test_whatever_goes_wrong_with_one_image_costs_that_image(learned, striped, tmp_path, monkeypatch, wrong):
    images = [picture(tmp_path / f"{number}.png", number) for number in range(3)]
    predict = apply.predict_ensemble

    def fails(networks, image, *rest):
        if (image == np.asarray(Image.open(images[1]))).all():
            raise wrong
        return predict(networks, image, *rest)

    monkeypatch.setattr(apply, "predict_ensemble", fails)
    outcomes = segment(images, learned.networks[0], tmp_path / "out")
    assert [outcome.done for outcome in outcomes] == [True, False, True]
    assert outcomes[1].told.startswith(f"{images[1]} cannot be segmented: ")
    assert "\n" not in outcomes[1].told
    assert tables(tmp_path / "out")[0]["file"].tolist() == ["0.png", "2.png"]


def test_an_image_of_an_absurd_pixel_size_is_refused_by_name(learned, tmp_path):
    image = picture(tmp_path / "one.png")
    (outcome,) = segment_files([image], learned.networks[0], tmp_path / "out", Applying(pixel_size=1000))
    assert outcome.told.startswith(f"{image}: its pixel of 1000 Å is 1,250.0 times coarser than the network's, 0.8 Å")


def test_what_makes_a_result_doubtful_is_told_and_kept(learned, tmp_path):
    plain, barred, flat = (picture(tmp_path / f"{name}.png", shape=(80, 90)) for name in ("plain", "barred", "flat"))
    pixels = np.asarray(Image.open(barred)).copy()
    pixels[60:] = 0
    Image.fromarray(pixels).save(barred)
    Image.fromarray(np.full((80, 90), 100, np.uint8)).save(flat)
    outcomes = segment([plain, barred, flat], learned.networks[0], tmp_path / "out")
    assert "warning" not in outcomes[0].told
    bar, nothing = "25.0% of it is left out: a data bar, an annotation or saturation", "it has no contrast"
    assert f"; warning: {bar}" in outcomes[1].told
    assert outcomes[2].told.startswith(f"flat.png: 0 particles, 0.0 % of the area; warning: {nothing}")
    images = pd.read_csv(tmp_path / "out" / "images.csv").set_index("file")
    assert images["left out"].tolist() == [0, 0.25, 1]
    assert images.loc["barred.png", "warnings"] == bar
    everything = Applying(pixel_size=0.8, threshold=0)
    segment([barred], learned.networks[0], tmp_path / "all", everything)
    mask = tifffile.imread(tmp_path / "all" / "barred_mask.tif") > 0
    assert mask[:60].all()
    assert not mask[60:].any()


def test_a_pixel_that_is_meant_so_is_taken(learned, tmp_path):
    image = picture(tmp_path / "one.png")
    for any_pixel_size in (False, True):
        how = Applying(pixel_size=4, any_pixel_size=any_pixel_size)
        (outcome,) = segment([image], learned.networks[0], tmp_path / "out", how)
        assert outcome.done is any_pixel_size
        assert "5.0 times coarser" in outcome.told


def test_guard_keeps_how_far_an_image_is_from_the_training_images(learned, micrograph, tmp_path, monkeypatch):
    meant = []

    def predict(networks, image, pixel_size, overlap, symmetry_average, any_pixel_size, any_image, *rest):
        meant.append(any_image)
        if not any_image:
            raise MicrographError("it is unlike the training images (unlikeness 7.5): it is noise")
        nothing = np.zeros(image.shape)
        return Prediction(nothing.astype(np.float32), nothing.astype(bool), ("it is unlike",), 7.5)

    monkeypatch.setattr(apply, "predict_ensemble", predict)
    options = ["--model", str(learned.networks[0]), "--output", str(tmp_path / "out"), "--pixel-size", "0.8"]
    refused = CliRunner().invoke(app, ["segment", str(micrograph), *options])
    assert refused.exit_code == 1
    assert f"skipped: {micrograph}: it is unlike the training images" in refused.stderr
    assert CliRunner().invoke(app, ["segment", str(micrograph), *options, "--any-image"]).exit_code == 0
    assert meant == [False, True]
    assert tables(tmp_path / "out")[0][["unlikeness", "warnings"]].to_numpy().tolist() == [[7.5, "it is unlike"]]


def test_guard_says_once_that_a_network_of_few_images_cannot_tell(learned, tmp_path, caplog):
    images = [picture(tmp_path / f"{number}.png", number) for number in range(2)]
    segment(images, learned.networks[0], tmp_path / "out")
    assert caplog.text.count("does not say what its training images are like") == 1
    assert tables(tmp_path / "out")[0]["unlikeness"].isna().all()


def test_a_long_name_is_shortened_where_its_results_would_not_fit(learned, striped, tmp_path):
    images = [picture(tmp_path / ("é" * 118 + f"{number}.png"), number) for number in range(2)]
    assert all(outcome.done for outcome in segment(images, learned.networks[0], tmp_path / "out"))
    assert len(list((tmp_path / "out").glob("*_mask.tif"))) == 2
    assert tables(tmp_path / "out")[0]["file"].tolist() == [path.name for path in images]


def test_micrographs_of_the_same_name_do_not_overwrite_each_other(learned, striped, tmp_path):
    images = [picture(tmp_path / folder / "good.png", seed) for seed, folder in enumerate("abc")]
    output = tmp_path / "out"
    segment(images[:2], learned.networks[0], output)
    segment(images[2:], learned.networks[0], output)
    segment(images[:1], learned.networks[0], output)
    table = tables(output)[0].set_index("path")["name"]
    assert [table[str(path.resolve())] for path in images] == ["good", "good-2", "good-3"]
    assert len(list(output.glob("*_mask.tif"))) == 3


def test_masks_that_are_no_results_are_not_overwritten(learned, striped, micrograph, tmp_path):
    expert = picture(tmp_path / "good_mask.tif", 5)
    before = expert.read_bytes()
    for _ in range(2):
        segment([micrograph], learned.networks[0], tmp_path)
    assert expert.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*_mask.tif")) == ["good-2_mask.tif", "good_mask.tif"]


@pytest.mark.parametrize("name", ["images.csv", "particles.csv"])
def test_another_table_of_the_same_name_is_refused_before_anything_is_done(learned, micrograph, tmp_path, name):
    (tmp_path / name).write_text("image,area\ngood.png,7\n")
    with pytest.raises(MicrographError, match=rf"{name} has no column file.*allowed: another output folder"):
        segment([micrograph], learned.networks[0], tmp_path)
    assert (tmp_path / name).read_text() == "image,area\ngood.png,7\n"


def test_an_output_that_is_a_file_is_refused(learned, micrograph, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(MicrographError, match="out cannot be made"):
        segment([micrograph], learned.networks[0], tmp_path / "out")


def test_pages_of_a_file_are_images_of_their_own(learned, striped, tmp_path):
    stack = np.random.default_rng(0).integers(0, 255, (2, 40, 48), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "two.tif", stack, photometric="minisblack")
    file, output = tmp_path / "two.tif", tmp_path / "out"
    (outcome,) = segment([file], learned.networks[0], output)
    assert "holds 2 images (1 to 2: 40 x 48 px); choose one with --frame" in outcome.told
    for page in (1, 2, 2):
        segment([file], learned.networks[0], output, Applying(pixel_size=0.8, frame=page))
    assert tables(output)[0][["page", "name"]].to_numpy().tolist() == [[1, "two"], [2, "two_page2"]]


def test_folders_give_their_images_and_each_file_counts_once(tmp_path):
    one, two = picture(tmp_path / "day" / "one.png"), picture(tmp_path / "day" / "two.tif")
    for name in ("one_mask.tif", "one_overlay.png", "all_sizes.png", ".hidden.png"):
        picture(tmp_path / "day" / name)
    for name in ("notes.txt", "series.emi", "series_1.ser", "alone.emi"):
        (tmp_path / "day" / name).write_text("")
    picture(tmp_path / "day" / "deeper" / "three.png")
    picture(tmp_path / "day" / ".trash" / "four.png")
    picture(tmp_path / "day" / "segmented" / "five.png")
    (tmp_path / "day" / "segmented" / "images.csv").write_text("image,path,page,name\n")
    (tmp_path / "link.png").symlink_to(one)
    (tmp_path / "empty").mkdir()
    given = [two, tmp_path / "day", tmp_path / "day" / ".." / "day" / "one.png", tmp_path / "link.png"]
    found = find_images([*given, tmp_path / "empty", tmp_path / "gone.tif"])
    day = tmp_path / "day"
    files = [two, day / "alone.emi", one, day / "series_1.ser", day / "deeper" / "three.png"]
    assert found == [*files, tmp_path / "empty", tmp_path / "gone.tif"]


def test_command_tells_every_image_as_it_goes_and_fails_if_one_did(learned, micrograph, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no picture")
    options = ["--model", str(learned.networks[0]), "--output", str(tmp_path / "out"), "--pixel-size", "0.8"]
    done = CliRunner().invoke(app, ["segment", str(micrograph), str(micrograph), *options])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("1/1 good.png: ")
    assert done.stdout.splitlines()[1].startswith("1 of 1 segmented")
    failed = CliRunner().invoke(app, ["segment", str(tmp_path / "bad.tif"), str(micrograph), *options])
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"1/2 skipped: {tmp_path / 'bad.tif'} cannot be read: ")
    assert "1 of 2 segmented" in failed.stdout
