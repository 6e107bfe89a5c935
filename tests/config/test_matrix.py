"""``{matrix: [...]}`` makes families, and families go through the stages."""

from __future__ import annotations

from typing import Any


def names(study: Any, stage: str) -> list[str]:
    return [member.name for member in study.stage(stage)]


def test_a_matrix_names_its_members_by_key_and_value(changed: Any) -> None:
    study = changed(("images.noisy.dose", {"matrix": [100, 400.5]}))
    assert names(study, "images") == ["noisy[dose=100]", "noisy[dose=400.5]"]
    assert [member.block.dose for member in study.stage("images")] == [100, 400.5]


def test_two_matrices_give_all_combinations(changed: Any) -> None:
    study = changed(("images.noisy.dose", {"matrix": [1, 2]}), ("images.noisy.defocus", {"matrix": [0, 10, 20]}))
    assert len(names(study, "images")) == 6
    assert len(set(names(study, "images"))) == 6
    assert all("dose=" in name and "defocus=" in name for name in names(study, "images"))


def test_a_family_goes_through_every_later_stage(changed: Any) -> None:
    study = changed(("structures.gold.substrate.thickness", {"matrix": [10, 20]}))
    members = ["[thickness=10]", "[thickness=20]"]
    assert names(study, "exit_waves") == [f"thermal{label}" for label in members]
    assert names(study, "images") == [f"noisy{label}" for label in members]
    assert names(study, "datasets") == [f"gold{label}" for label in members]
    assert names(study, "trainings") == [f"gold{label}" for label in members]
    # A benchmark scores them all.
    assert names(study, "benchmarks") == ["held_out"]
    benchmark = study.stage("benchmarks")[0]
    assert [member.name for member in benchmark.upstream["datasets"]] == names(study, "datasets")
    assert [member.name for member in benchmark.upstream["trainings"]] == names(study, "trainings")


def test_members_are_made_from_their_own_branch(changed: Any) -> None:
    study = changed(("structures.gold.substrate.thickness", {"matrix": [10, 20]}))
    for member in study.stage("images"):
        structures = member.source("exit_waves").source("structures")
        assert f"thickness={structures.block.substrate.thickness:g}" in member.name


def test_matrices_of_two_stages_multiply(changed: Any) -> None:
    study = changed(
        ("structures.gold.substrate.thickness", {"matrix": [10, 20]}), ("images.noisy.dose", {"matrix": [1, 2]})
    )
    assert len(names(study, "images")) == len(set(names(study, "images"))) == 4
    assert len({member.folder for member in study.stage("trainings")}) == 4


def test_one_member_of_a_family_can_be_named(changed: Any) -> None:
    study = changed(("images.noisy.dose", {"matrix": [1, 2]}), ("datasets.gold.images", "noisy[dose=2]"))
    assert names(study, "datasets") == ["gold[dose=2]"]
    assert study.stage("datasets")[0].source("images").block.dose == 2


def test_a_matrix_of_distributions_and_of_blocks(changed: Any) -> None:
    study = changed(
        ("images.noisy.defocus", {"matrix": [0, {"uniform": [-5, 5]}]}),
        ("images.noisy.aberrations", {"matrix": [{"C30": 1}, {"C30": 2, "C12": 3}]}),
    )
    assert len(set(names(study, "images"))) == 4
    assert {member.block.aberrations.C30 for member in study.stage("images")} == {1, 2}


def test_a_dataset_can_mix_sources(changed: Any) -> None:
    study = changed(
        ("images.other", {"like": "noisy", "dose": 5}), ("datasets.gold.images", {"noisy": 0.5, "other": 0.5})
    )
    assert [member.name for member in study.stage("datasets")[0].upstream["images"]] == ["noisy", "other"]


def test_folders_hold_no_signs_that_a_shell_minds(changed: Any) -> None:
    study = changed(("images.noisy.defocus", {"matrix": [-10, {"uniform": [-5, 5]}]}))
    for member in study.stage("images"):
        assert set(member.folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")


def test_an_empty_matrix_is_refused(refusal: Any) -> None:
    assert "images.noisy.dose.matrix: found []" in refusal(("images.noisy.dose", {"matrix": []}))
