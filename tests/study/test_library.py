"""``library: FILE``: blocks are taken from it as they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.errors import ConfigError
from exitwave.study.link import load_study
from exitwave.study.member import Study


@pytest.fixture
def library(tmp_path: Path, raw: Any) -> Path:
    """The small study with more than one way through it."""
    raw["structures"]["silver"] = {"like": "gold", "particles": {"material": "Ag"}}
    raw["exit_waves"]["silver"] = {"like": "thermal", "structures": "silver"}
    raw["images"]["silver"] = {"like": "noisy", "exit_waves": "silver"}
    raw["images"]["doses"] = {"like": "noisy", "dose": {"matrix": [1, 2, 3]}}
    raw["benchmarks"]["second"] = {"like": "held_out", "size": 5}
    (tmp_path / "library.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return tmp_path


def study_of(folder: Path, **content: Any) -> Study:
    (folder / "study.yaml").write_text(yaml.safe_dump({"library": "library.yaml", **content}), encoding="utf-8")
    return load_study(folder / "study.yaml")


def names(study: Study) -> dict[str, list[str]]:
    return {stage: list(members) for stage, members in study.members.items() if members}


def test_only_what_the_study_speaks_of_is_there_and_what_that_is_made_from(library: Path) -> None:
    study = study_of(library, datasets={"silver": {"like": "gold", "images": "silver"}})
    assert names(study) == {
        "structures": ["silver"],
        "exit_waves": ["silver"],
        "images": ["silver"],
        "datasets": ["silver"],
    }


def test_a_block_of_the_library_is_asked_for_by_its_name(library: Path) -> None:
    assert names(study_of(library, images={"noisy": {}})) == {
        "structures": ["gold"],
        "exit_waves": ["thermal"],
        "images": ["noisy"],
    }


def test_of_a_family_only_the_members_that_are_needed_are_there(library: Path) -> None:
    study = study_of(library, datasets={"two": {"like": "gold", "images": ["doses[dose=1]", "doses[dose=3]"]}})
    assert names(study)["images"] == ["doses[dose=1]", "doses[dose=3]"]


def test_blocks_are_those_of_the_library_in_the_same_folders(library: Path) -> None:
    whole, part = load_study(library / "library.yaml"), study_of(library, trainings={"gold": {}})
    for stage in part.members:
        for member in part.stage(stage):
            assert whole.members[stage][member.name].folder == member.folder
    assert names(part)["trainings"] == ["gold"]
    assert part.seed == 7


def test_a_benchmark_scores_the_networks_of_the_study_not_those_of_the_library(library: Path) -> None:
    second = {
        "datasets": {"silver": {"like": "gold", "images": "silver"}},
        "trainings": {"silver": {"datasets": "silver", "model": "unet"}},
    }
    study = study_of(library, **second, benchmarks={"held_out": {}})
    assert names(study)["benchmarks"] == ["held_out"]
    assert [m.name for m in study.stage("benchmarks")[0].upstream["trainings"]] == ["silver"]
    # The benchmark's own dataset is there, as it is made from it.
    assert names(study)["datasets"] == ["gold", "silver"]
    assert names(study)["trainings"] == ["silver"]


def test_a_study_may_change_a_block_of_its_library(library: Path) -> None:
    study = study_of(library, images={"silver": {"dose": 7}})
    block = study.members["images"]["silver"].block
    assert (block.dose, block.size) == (7, 64)


@pytest.mark.parametrize("key", ["base", "library"])
def test_a_library_with_a_base_or_library_is_refused(library: Path, key: str) -> None:
    (library / "library.yaml").write_text(f"{key}: other.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"library\.yaml has a {key} itself; allowed: none") as caught:
        study_of(library)
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"library\.yaml: cannot be read"):
        study_of(tmp_path)


def test_an_unknown_block_is_found_as_ever(library: Path) -> None:
    with pytest.raises(ConfigError, match=r"datasets\.a\.images: 'copper' is no block of images; allowed: .*noisy"):
        study_of(library, datasets={"a": {"images": "copper"}})
