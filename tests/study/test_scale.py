"""``scale: laptop``: the same study, fewer and smaller; never an invalid one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exitwave.errors import ConfigError
from exitwave.study.link import study_from
from exitwave.study.member import Study
from exitwave.study.plan import plan

Raw = dict[str, Any]
CRYSTALS = str(Path(__file__).resolve().parents[2] / "resources" / "crystals")

LARGE = """
seed: 7
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 512
    shard_size: 128
    field_of_view: 128
    particles: {material: Au, radius: {uniform: [8, 12]}}
    substrate: {thickness: {uniform: [10, 20]}}
  silver: {like: gold, count: 160, particles: {material: Ag}}
exit_waves:
  gold: {structures: gold, kind: plane_wave, sampling: 0.2, frozen_phonons: {matrix: [0, 8]}}
  silver: {structures: silver, kind: plane_wave, sampling: 0.2, frozen_phonons: 4}
images:
  gold: {exit_waves: gold, kind: hrtem, per_structure: 30, pixel_size: 0.2, size: 512, dose: 100}
  silver: {like: gold, exit_waves: silver, per_structure: 2}
datasets:
  gold: {images: "gold[frozen_phonons=8]", size: {matrix: [64, 100, 2000, 8000]}}
  silver: {images: silver, size: 100}
models:
  unet: {kind: segmentation}
trainings:
  gold: {datasets: "gold[size=8000,frozen_phonons=8]", model: unet}
benchmarks:
  held_out: {kind: simulated, datasets: ["gold[size=64,frozen_phonons=8]", silver]}
"""


def at(raw: Raw, scale: str) -> Study:
    return study_from({**copy.deepcopy(raw), "scale": scale}, "study.yaml")


@pytest.fixture
def large() -> Raw:
    content: Raw = yaml.safe_load(LARGE)
    return content


def blocks(study: Study, stage: str) -> dict[str, Any]:
    return {member.name: member.block for member in study.stage(stage)}


def test_without_a_scale_a_study_is_as_written(large: Raw) -> None:
    assert plan(study_from(copy.deepcopy(large), "study.yaml")) == plan(at(large, "paper"))


@pytest.mark.parametrize("scale", ["tiny", 0.5, None, ["laptop"]])
def test_an_unknown_scale_is_refused(large: Raw, scale: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        at(large, scale)
    assert str(caught.value) == f"study.yaml: scale: found {scale!r}; allowed: paper or laptop"


def test_a_study_knows_its_scale(large: Raw) -> None:
    assert at(large, "laptop").scale == "laptop"


def test_a_laptop_makes_a_sixteenth_of_the_structures_within_bounds(large: Raw) -> None:
    large["structures"]["few"] = {"like": "gold", "count": 5}
    large["structures"]["many"] = {"like": "gold", "count": 100000}
    structures = blocks(at(large, "laptop"), "structures")
    counts = {name: block.count for name, block in structures.items()}
    # So many that a tenth of them, the share of the test, is not without any.
    assert counts == {"gold": 32, "silver": 19, "few": 5, "many": 64}
    assert all(block.field_of_view == 128 for block in structures.values())


def test_so_many_crystals_are_left_that_no_split_is_without_a_prototype(large: Raw) -> None:
    """Their groups are prototypes, which do not follow the sequence that spreads other structures evenly."""
    large["structures"] = {"library": {"kind": "crystals", "crystals": 100, "count": 200}}
    large["exit_waves"] = {"bloch": {"structures": "library", "kind": "scattering_matrix"}}
    large["exit_waves"]["bloch"]["rms_displacement_of_others"] = 0.08
    large["images"] = {"cbed": {"exit_waves": "bloch", "kind": "diffraction", "dose": 1e5, "per_structure": 2}}
    large["datasets"] = {"disks": {"images": "cbed", "validation": 0.1, "test": 0.1}}
    for stage in ("models", "trainings", "benchmarks"):
        large[stage] = {}
    study = at(large, "laptop")
    assert blocks(study, "structures")["library"].count == 46
    assert blocks(study, "exit_waves")["bloch"].max_beams == 500


def test_a_laptop_repeats_nothing_more_than_twice_defaults_included(large: Raw) -> None:
    study = at(large, "laptop")
    assert [b.frozen_phonons for b in blocks(study, "exit_waves").values()] == [0, 2, 2]
    assert {b.seeds for b in blocks(study, "trainings").values()} == {2}
    assert {(b.epochs, b.encoder_depth) for b in blocks(study, "models").values()} == {(2, 3)}
    assert {b.bootstrap for b in blocks(study, "benchmarks").values()} == {200}
    assert [b.per_structure for b in blocks(study, "images").values()] == [16, 16, 2]


def test_sizes_keep_their_proportion_and_stay_different(large: Raw) -> None:
    sizes = {name: block.size for name, block in blocks(at(large, "laptop"), "datasets").items()}
    # 32 of 512 structures with 16 of 30 images each: a thirtieth.
    assert sizes == {
        "gold[size=8,frozen_phonons=2]": 8,
        "gold[size=9,frozen_phonons=2]": 9,
        "gold[size=66,frozen_phonons=2]": 66,
        "gold[size=266,frozen_phonons=2]": 266,
        "silver": 8,
    }


def test_references_to_single_members_follow_the_values(large: Raw) -> None:
    study = at(large, "laptop")
    assert {m.source("images").name for m in study.stage("datasets")} == {"gold[frozen_phonons=2]", "silver"}
    assert [m.source("datasets").name for m in study.stage("trainings")] == ["gold[size=266,frozen_phonons=2]"]
    assert [m.name for m in study.stage("benchmarks")[0].upstream["datasets"]] == [
        "gold[size=8,frozen_phonons=2]",
        "silver",
    ]


def test_pixels_are_doubled_where_every_block_allows_it(large: Raw) -> None:
    def pixels(raw: Raw) -> set[tuple[int, float, float]]:
        images = at(raw, "laptop").stage("images")
        return {(m.block.size, m.block.pixel_size, m.source("exit_waves").block.sampling) for m in images}

    assert pixels(large) == {(256, 0.4, 0.4)}
    large["images"]["silver"]["objective_aperture"] = 40
    assert pixels(large) == {(512, 0.2, 0.2)}


@pytest.mark.parametrize(("pixel", "doubled"), [(0.2, (64, 0.4)), (0.25, (128, 0.25))])
def test_pixels_of_images_without_waves_are_doubled_up_to_the_coarsest(
    pixel: float, doubled: tuple[int, float]
) -> None:
    raw = {
        "structures": {
            "crystals": {"kind": "files", "path": CRYSTALS, "count": 24, "field_of_view": 60, "thickness": 20}
        },
        "images": {
            "stem": {
                "kind": "stem_convolution",
                "structures": "crystals",
                "pixel_size": pixel,
                "size": 128,
                "dose": 1e4,
            }
        },
    }
    (block,) = blocks(at(raw, "laptop"), "images").values()
    assert (block.size, block.pixel_size) == doubled


def test_a_camera_that_may_overflow_keeps_its_pixels(large: Raw) -> None:
    large["images"]["gold"]["detector"] = {"kind": "scintillator", "gain": 20, "offset": 10}
    assert {m.block.pixel_size for m in at(large, "laptop").stage("images")} == {0.2}


def test_limits_of_structures_leave_enough_to_split(large: Raw) -> None:
    large["datasets"]["gold"] |= {"size": 500, "limit": {"structure": {"matrix": [20, 200, 400]}, "defocus": 3}}
    large["trainings"]["gold"]["datasets"] = "gold"
    large["benchmarks"]["held_out"]["datasets"] = ["gold"]
    limits = [m.block.limit for m in at(large, "laptop").stage("datasets") if m.name.startswith("gold")]
    assert limits == [{"structure": number, "defocus": 3} for number in (12, 13, 25)]


@st.composite
def studies(draw: st.DrawFn) -> Raw:
    raw: Raw = yaml.safe_load(LARGE)
    del raw["trainings"], raw["benchmarks"], raw["models"]
    for metal in ("gold", "silver"):
        raw["structures"][metal]["count"] = draw(st.integers(1, 700))
        raw["images"][metal]["per_structure"] = draw(st.integers(1, 40))
    raw["structures"]["gold"]["field_of_view"] = draw(st.sampled_from([12.8, 25.6, 102.4, 128]))
    for metal in ("gold", "silver"):
        raw["images"][metal]["size"] = draw(st.sampled_from([32, 64, 128, 96]))
    raw["images"]["silver"]["size"] = raw["images"]["gold"]["size"]
    sources = ["gold", {"gold": 1, "silver": 3}, ["gold", "silver"], {"matrix": ["silver", ["gold", "silver"]]}]
    dataset: Raw = {
        "images": draw(st.sampled_from(sources)),
        "validation": draw(st.sampled_from([0.05, 0.2, 0.45])),
        "test": draw(st.sampled_from([0.0, 0.02, 0.1, 0.5])),
    }
    if draw(st.booleans()):
        dataset["size"] = draw(st.integers(2, 9000) | st.just({"matrix": [8, 9, 300]}))
    if draw(st.booleans()):
        dataset["limit"] = {"structure": draw(st.integers(2, 600))}
    raw["datasets"] = {"drawn": dataset}
    return raw


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(studies())
def test_what_is_valid_as_written_is_valid_on_a_laptop(raw: Raw) -> None:
    try:
        written = at(raw, "paper")
    except ConfigError:
        assume(False)
    laptop = at(raw, "laptop")
    assert sum(row.items for row in plan(laptop)) <= sum(row.items for row in plan(written))


@pytest.mark.parametrize("detector", ["ideal", None, [1]])
def test_a_camera_that_is_none_is_left_to_validation(large: Raw, detector: Any) -> None:
    large["images"][next(iter(large["images"]))]["detector"] = detector
    with pytest.raises(ConfigError, match="detector"):
        study_from({**large, "scale": "laptop"}, "study.yaml")
