"""A preview shows what the workflow would make, without making it."""

import json
import logging

import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError
from exitwave.images.kinds import simulation_of
from exitwave.jobs.preview import make_preview, make_samples, members_called
from exitwave.report.hrtem import drawn_numbers
from exitwave.report.preview import log_power
from exitwave.study.link import study_from


@pytest.fixture
def study(jobs):
    return jobs.study


@pytest.fixture
def changed(jobs):
    """The tiny study with some keys changed."""

    def build(**changes):
        raw = yaml.safe_load(jobs.text)
        for stage, blocks in changes.items():
            for name, keys in blocks.items():
                raw[stage][name] = {**raw[stage].get(name, {}), **keys}
        return study_from(raw, "tiny.yaml")

    return build


def named(study, name):
    return [f"{member.stage}.{member.name}" for member in members_called(study, name)]


def test_a_name_is_that_of_a_block_or_of_a_family(changed):
    study = changed(
        images={"noisy": {"dose": {"matrix": [100, 200]}}, "gold": {"like": "noisy", "dose": 300}},
        exit_waves={"thermal": {}},
    )
    assert named(study, "noisy") == ["images.noisy[dose=100]", "images.noisy[dose=200]"]
    assert named(study, "noisy[dose=200]") == ["images.noisy[dose=200]"]
    assert named(study, "thermal") == ["exit_waves.thermal"]
    # The name of a structures block too.
    assert named(study, "gold") == ["images.gold"]
    assert named(study, "structures.gold") == ["structures.gold"]


@pytest.mark.parametrize("name", ["nothing", "trainings.gold", "small", "noisy[dose=1]", "images.thermal"])
def test_what_cannot_be_shown_is_refused_with_what_can(study, name):
    with pytest.raises(ConfigError) as caught:
        members_called(study, name)
    sentence = f"no block '{name}' that can be shown; allowed: images.noisy, exit_waves.thermal, structures.gold"
    assert str(caught.value).endswith(sentence)


def test_the_images_shown_are_those_that_the_workflow_makes(jobs, study, simulated, tmp_path):
    """The tiny study has no more thermal configurations than a preview, so that nothing differs."""
    (sample,) = make_samples(study.stage("images"), 8, None, tmp_path)
    shown, made = read_table(table_path(sample.shard)), jobs.table(simulated.images)
    counts = {row["image_id"]: open_shard(simulated.images).read("counts", i) for i, row in made.iterrows()}
    assert len(shown) == 8
    assert sample.structures == 4
    for place, image_id in enumerate(shown["image_id"]):
        np.testing.assert_array_equal(open_shard(sample.shard).read("counts", place), counts[image_id])


def test_a_preview_simulates_two_thermal_configurations_at_the_most(changed, tmp_path):
    study = changed(exit_waves={"thermal": {"frozen_phonons": 8}})
    (sample,) = make_samples(study.stage("exit_waves"), 2, None, tmp_path)
    waves = open_shard(sample.shard).read("whole")
    assert waves.shape[:2] == (2, 2)
    assert set(read_table(table_path(sample.shard))["frozen_phonons"]) == {2}


def test_what_takes_long_is_made_for_fewer_structures(study, tmp_path, monkeypatch):
    members = [study.stage(stage)[0] for stage in ("structures", "exit_waves", "images")]
    seconds = sum(simulation_of(member.block).cost(member).seconds for member in members)
    monkeypatch.setattr("exitwave.jobs.preview.SECONDS", 2.5 * seconds)
    (sample,) = make_samples(study.stage("images"), 5, None, tmp_path)
    assert sample.structures == 2
    assert len(read_table(table_path(sample.shard))) == 6


def test_members_of_a_family_share_their_exit_waves(changed, tmp_path, caplog):
    study = changed(images={"noisy": {"dose": {"matrix": [100, 200, 400]}}})
    with caplog.at_level(logging.INFO, logger="exitwave.jobs.preview"):
        samples = make_samples(study.stage("images"), 2, None, tmp_path)
    assert sum("exit waves" in message for message in caplog.messages) == 1
    assert [int(read_table(table_path(sample.shard))["dose"].iloc[0]) for sample in samples] == [100, 200, 400]


def test_another_seed_gives_other_draws(study, tmp_path):
    tables = []
    for seed in (None, 3, 4):
        (sample,) = make_samples(study.stage("images"), 2, seed, tmp_path / str(seed))
        tables.append(read_table(table_path(sample.shard)))
    assert tables[0].equals(tables[1])  # the study's own
    assert not set(tables[0]["defocus"]) & set(tables[2]["defocus"])


LABELLED = {"labels": ["atoms", "instances"], "dose": {"matrix": [200, 900]}}
CAMERA = {
    "detector": {"kind": "scintillator", "hot_pixels": 0.01, "offset": 30, "readout_noise": 5},
    "microscope": "uncorrected_300kv",
    "illumination_tilt_x": 1,
    "background": {"gradient": 0.2, "contamination": 0.1},
}


@pytest.mark.parametrize(
    ("name", "changes", "number"),
    [
        ("noisy", {}, 5),
        ("noisy", {}, 1),
        ("noisy", {"images": {"noisy": LABELLED}}, 3),
        ("noisy", {"images": {"noisy": CAMERA}}, 3),
        ("thermal", {}, 1),
        ("thermal", {"exit_waves": {"thermal": {"frozen_phonons": 0, "sampling": {"matrix": [0.4, 0.8]}}}}, 2),
        ("gold", {}, 2),
        ("gold", {"structures": {"gold": {"vacuum": {"matrix": [3, 4]}}}}, 1),
    ],
    ids=["images", "one image", "family", "camera", "waves", "waves of a family", "structures", "family of structures"],
)
def test_a_sheet_is_drawn_of_every_stage(changed, tmp_path, name, changes, number):
    path = tmp_path / "new" / "sheet.png"
    make_preview(changed(**changes), name, path, number)
    picture = imread(path)[..., :3]
    assert picture.shape[0] > 250
    assert picture.shape[1] > 300
    assert (picture.min(axis=2) < 0.9).mean() > 0.05


def test_numbers_are_told_in_the_units_of_the_field(jobs, simulated):
    row = {
        **jobs.table(simulated.images).iloc[0].to_dict(),
        **{"defocus": -123.0, "dose": 345.6, "C30": 1.2e7, "C21": 0.0, "C12": -25.0, "focal_spread": 17.3},
        **{
            "illumination_tilt_x": 3.0,
            "illumination_tilt_y": -4.0,
            "objective_aperture": np.nan,
            "plasmon_weight": 0.125,
        },
        **{"detector_blur": 0.0, "saturated": 0.002, "detector_gain": 6.6, "detector_readout_noise": 3.0},
    }
    told = drawn_numbers(row)
    assert told[0] == "Δf −12 nm, 346 e⁻/Å²"
    assert {"focal spread 17 Å", "tilt 5 mrad", "plasmons 12 %", "0.2 % saturated", "C12 −2.5 nm", "C30 1.2 mm"} < set(
        told
    )
    assert {"gain 6.6 counts/e⁻", "readout noise 3 counts"} < set(told)
    assert not any(part in " ".join(told) for part in ("C21", "aperture", "blur", "nan"))


def test_the_power_spectrum_shows_a_lattice_where_it_is_whatever_hot_pixels_there_are():
    y, x = np.mgrid[:64, :64]
    image = 100 + 10 * np.cos(2 * np.pi * (8 * x + 12 * y) / 64)
    image[5, 7] = 65535
    power = log_power(image)
    peak = np.unravel_index(np.argmax(power), power.shape)
    assert sorted([peak, (64 - peak[0], 64 - peak[1])]) == [(20, 24), (44, 40)]


@pytest.fixture
def study_file(jobs, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(jobs.text, encoding="utf-8")
    return path


def test_the_command_tells_what_it_shows(study_file, tmp_path):
    output = tmp_path / "sheet.png"
    arguments = ["preview", "noisy", "--study", str(study_file), "--output", str(output), "--number", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert output.exists()
    assert result.stdout.strip() == f"{output}: the first 2 of 6 structures"


def test_the_command_warns_of_what_looks_like_another_unit(study_file, tmp_path):
    text = study_file.read_text(encoding="utf-8").replace("defocus: {uniform: [0, 300]}", "defocus: 3")
    study_file.write_text(text, encoding="utf-8")
    arguments = ["preview", "gold", "--study", str(study_file), "--output", str(tmp_path / "a.png"), "--number", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "warning: images.noisy.defocus: 3 is read as 3 Å" in result.stderr


def test_what_a_preview_leaves_out_is_told(changed, tmp_path):
    study = changed(exit_waves={"thermal": {"frozen_phonons": 8}}, images={"noisy": {"dose": {"matrix": [1, 2]}}})
    note = make_preview(study, "noisy[dose=2]", tmp_path / "sheet.png", 2)
    assert note == "the first 2 of 6 structures, frozen_phonons 2 in place of 8"


def test_the_description_of_a_block_is_left_as_it_is(study, tmp_path):
    before = json.dumps([member.block.model_dump(mode="json") for member in study.stage("images")])
    make_samples(study.stage("images"), 2, None, tmp_path)
    assert json.dumps([member.block.model_dump(mode="json") for member in study.stage("images")]) == before
