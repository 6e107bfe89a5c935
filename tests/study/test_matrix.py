"""``{matrix: [...]}`` makes families, and families go through the stages."""

from __future__ import annotations

from typing import Any

import pytest


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


# --- unions -----------------------------------------------------------------------------------


def shares(study: Any, name: str) -> dict[str, float]:
    block = study.members["datasets"][name].block
    assert list(block.images) == [member.name for member in study.members["datasets"][name].upstream["images"]]
    return dict(block.images)


def test_families_in_a_union_go_together_where_they_have_an_axis_in_common(changed: Any) -> None:
    study = changed(
        ("structures.gold.substrate.thickness", {"matrix": [10, 20]}),
        ("images.other", {"like": "noisy", "dose": {"matrix": [5, 6]}}),
        ("datasets.gold.images", {"noisy": 1, "other": 3}),
    )
    # Thickness is common to both, dose is not: 2 x 2, not 2 x 2 x 2.
    assert names(study, "datasets") == [f"gold[thickness={t},dose={d}]" for t in (10, 20) for d in (5, 6)]
    assert shares(study, "gold[thickness=20,dose=5]") == {"noisy[thickness=20]": 1, "other[dose=5,thickness=20]": 3}
    assert names(study, "trainings") == names(study, "datasets")


@pytest.mark.parametrize(
    ("key", "label"), [("structures.gold.substrate.thickness", "thickness"), ("exit_waves.thermal.energy", "energy")]
)
def test_a_matrix_upstream_goes_through_a_union_with_its_weights(changed: Any, key: str, label: str) -> None:
    values = [80000, 300000] if label == "energy" else [10, 20]
    study = changed(
        (key, {"matrix": values}),
        ("images.other", {"like": "noisy", "dose": 5}),
        ("datasets.gold.images", {"noisy": 0.25, "other": 0.75}),
    )
    assert names(study, "datasets") == [f"gold[{label}={value}]" for value in values]
    for value in values:
        expected = {f"noisy[{label}={value}]": 0.25, f"other[{label}={value}]": 0.75}
        assert shares(study, f"gold[{label}={value}]") == expected


def test_families_with_one_axis_of_different_values_are_refused_in_a_union(refusal: Any) -> None:
    sentence = refusal(
        ("images.noisy.dose", {"matrix": [100, 200]}),
        ("images.other", {"like": "noisy", "dose": {"matrix": [100, 300]}}),
        ("datasets.gold.images", {"noisy": 1, "other": 1}),
    )
    assert sentence == (
        "datasets.gold.images: 'noisy' and 'other' are families with different values of dose; "
        "allowed: the same values, or members named in full"
    )


def test_members_named_in_full_make_one_union(changed: Any) -> None:
    study = changed(
        ("images.noisy.dose", {"matrix": [1, 2, 3]}), ("datasets.gold.images", {"noisy[dose=1]": 1, "noisy[dose=3]": 2})
    )
    assert names(study, "datasets") == ["gold"]
    assert shares(study, "gold") == {"noisy[dose=1]": 1, "noisy[dose=3]": 2}


def test_a_member_twice_in_a_union_is_refused(refusal: Any) -> None:
    sentence = refusal(
        ("images.noisy.dose", {"matrix": [1, 2]}), ("datasets.gold.images", {"noisy": 1, "noisy[dose=2]": 2})
    )
    assert (
        sentence == "datasets.gold.images: found a member twice in noisy, noisy[dose=2]; allowed: each with one share"
    )


def test_a_list_of_images_is_one_pool_of_which_every_image_is_as_likely(changed: Any) -> None:
    study = changed(
        ("images.noisy.dose", {"matrix": [1, 2]}),
        ("images.other", {"like": "noisy", "dose": 5, "per_structure": 6}),
        ("datasets.gold.images", ["noisy", "other"]),
    )
    assert names(study, "datasets") == ["gold"]
    assert shares(study, "gold") == {"noisy[dose=1]": 16, "noisy[dose=2]": 16, "other": 48}


@pytest.mark.parametrize("images", [[], ["nothing"], [3], [["noisy"]]])
def test_a_list_of_no_images_blocks_is_refused(refusal: Any, images: Any) -> None:
    sentence = refusal(("datasets.gold.images", images))
    assert sentence.startswith("datasets.gold")
    assert "allowed: " in sentence


def test_own_and_inherited_axes_of_one_name_give_all_members(changed: Any) -> None:
    study = changed(("images.noisy.size", {"matrix": [32, 64]}), ("datasets.gold.size", {"matrix": [4, 8]}))
    assert len(names(study, "datasets")) == len(set(names(study, "datasets"))) == 4


def test_values_that_differ_in_the_last_digit_are_different_members(changed: Any) -> None:
    study = changed(("images.noisy.dose", {"matrix": [123456.71, 123456.72]}))
    assert names(study, "images") == ["noisy[dose=123456.71]", "noisy[dose=123456.72]"]


def test_a_long_name_still_has_a_folder_that_file_systems_take(changed: Any) -> None:
    terms = [f"{sign}{term}" for term in (12, 21, 23, 32, 34, 41, 43, 45, 52, 54, 56) for sign in ("C", "phi")]
    study = changed(("images.noisy.aberrations", {"matrix": [dict.fromkeys(terms, value) for value in (1.25, 2.5)]}))
    folders = {member.folder for member in study.stage("images")}
    assert len(folders) == 2
    assert all(len(folder) < 200 for folder in folders)
