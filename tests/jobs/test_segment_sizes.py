"""``exitwave segment`` on large images, many files and stacks."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from exitwave import cli
from exitwave.errors import ConfigError, TrainingError
from exitwave.jobs import apply, progress
from exitwave.jobs.apply import Applying, segment_files


def picture(path, seed=0, shape=(40, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path


def test_each_frame_of_a_stack_is_an_image_of_its_own_and_one_that_is_bad_costs_no_other(learned, tmp_path):
    stack = np.random.default_rng(0).normal(100, 10, (3, 40, 48)).astype(np.float32)
    stack[1, 3, 4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    how = Applying(pixel_size=0.8, frame="all")
    files = [tmp_path / "a.tif", picture(tmp_path / "b.png")]
    outcomes = list(segment_files(files, learned.networks[0], tmp_path / "out", how))
    assert [outcome.done for outcome in outcomes] == [True, False, True, True]
    assert "a.tif, image 2, has 1 pixels that are NaN" in outcomes[1].told


def test_networks_are_loaded_when_there_is_an_image_to_see(learned, tmp_path, monkeypatch):
    """A folder of files without a calibration is told at once."""
    loaded = []
    load = apply.load_networks
    monkeypatch.setattr(apply, "load_networks", lambda *given: loaded.append(given) or load(*given))
    image = picture(tmp_path / "a.png")
    (outcome,) = segment_files([image], learned.networks[0], tmp_path / "out", Applying())
    assert outcome.told == f"{image} has no pixel size; give --pixel-size (Å)"
    assert not loaded
    outcomes = list(segment_files([image, image], learned.networks[0], tmp_path / "out", Applying(pixel_size=0.8)))
    assert all(outcome.done for outcome in outcomes)
    assert len(loaded) == 1
    with pytest.raises(TrainingError, match="holds no network"):
        list(segment_files([tmp_path / "gone.tif"], tmp_path / "empty", tmp_path / "out", Applying()))


def test_no_network_means_no_pytorch(tmp_path, learned):
    code = (
        "import sys; from pathlib import Path; from exitwave.jobs.apply import Applying, segment_files; "
        f"print([o.done for o in segment_files([Path('gone.tif')], Path({str(learned.networks[0])!r}), "
        f"Path({str(tmp_path / 'out')!r}), Applying())], 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[False] False"


def test_a_device_that_is_not_there_ends_the_call(learned, tmp_path, monkeypatch):
    monkeypatch.setattr("exitwave.hardware._DRIVERS", ())
    how = Applying(pixel_size=0.8, device="cuda")
    with pytest.raises(ConfigError, match="device is cuda"):
        list(segment_files([picture(tmp_path / "a.png")], learned.networks[0], tmp_path / "out", how))


def test_colours_are_told_in_the_table(learned, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (outcome,) = segment_files([tmp_path / "a.png"], learned.networks[0], tmp_path / "out", Applying(pixel_size=0.8))
    assert "; warning: it is a colour image" in outcome.told


def test_long_images_are_told_now_and_then_and_not_in_the_output(learned, tmp_path, monkeypatch):
    image = picture(tmp_path / "a.png", shape=(300, 300))
    options = ["segment", str(image), "--model", str(learned.networks[0]), "--pixel-size", "0.8", "--output"]
    monkeypatch.setattr(progress, "TOLD_EVERY", 1e9)
    assert " tiles" not in CliRunner().invoke(cli.app, [*options, str(tmp_path / "quiet")]).stderr
    monkeypatch.setattr(progress, "TOLD_EVERY", 0.0)
    told = CliRunner().invoke(cli.app, [*options, str(tmp_path / "told")])
    assert " tiles" not in told.stdout
    lines = [line for line in told.stderr.splitlines() if " tiles, about " in line]
    assert len(lines) > 3
    assert all(line.startswith("1/1 a.png: ") for line in lines)


def test_what_was_skipped_is_listed_at_the_end(learned, tmp_path):
    picture(tmp_path / "day" / "good.png")
    for name in ("bad.tif", "worse.tif"):
        (tmp_path / "day" / name).write_bytes(b"no picture")
    options = ["--model", str(learned.networks[0]), "--output", str(tmp_path / "out"), "--pixel-size", "0.8"]
    done = CliRunner().invoke(cli.app, ["segment", str(tmp_path / "day"), *options])
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "3 images found"
    assert lines[-3] == "2 skipped:"
    assert [name in line for name, line in zip(("bad.tif", "worse.tif"), lines[-2:], strict=True)] == [True, True]


@pytest.mark.parametrize("frame", ["0", "first", "-1"])
def test_a_frame_is_a_number_or_all(tmp_path, frame):
    done = CliRunner().invoke(cli.app, ["segment", "a.tif", "--model", "m", "--frame", frame])
    assert done.exit_code == 2
    assert "allowed: a number from 1, or" in done.stderr
