"""The identity of a block: what is made again when something changes, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase.build import bulk
from ase.io import write

from exitwave.config.images import Hrtem
from exitwave.config.kinds import STAGES
from exitwave.config.models import Segmentation
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.plan import plan, shard_ranges

COUNTS = [
    ("structures.gold.count", 16),
    ("structures.gold.shard_size", 2),
    ("trainings.gold.seeds", 9),
    ("trainings.gold.device", "cpu"),
    ("trainings.gold.precision", "32"),
    ("trainings.gold.threads", 2),
    ("trainings.gold", {"datasets": "gold", "model": "unet", "seeds": 2, "devices": 2, "threads": 2}),
    ("benchmarks.held_out.threads", 2),
    ("benchmarks.held_out.trainings", ["gold"]),
]
SIMULATION = ("structures", "exit_waves", "images")


def hashes(study: Any) -> dict[str, str]:
    return {f"{m.stage}.{m.name}": m.hash for stage in STAGES for m in study.stage(stage)}


@pytest.mark.parametrize(("key", "value"), COUNTS)
def test_counts_are_not_part_of_the_identity(changed: Any, key: str, value: Any) -> None:
    before, after = hashes(changed()), hashes(changed((key, value)))
    # Datasets are drawn from a pool whose size counts; see the next test.
    drawn = {"datasets.gold", "trainings.gold", "benchmarks.held_out"} if key == "structures.gold.count" else set()
    assert {name for name in before if before[name] != after[name]} <= drawn


def test_a_larger_pool_gives_another_dataset_but_the_same_images(changed: Any) -> None:
    before, after = hashes(changed()), hashes(changed(("structures.gold.count", 16)))
    assert before["images.noisy"] == after["images.noisy"]
    assert before["datasets.gold"] != after["datasets.gold"]


def test_order_and_share_of_mixed_images(changed: Any) -> None:
    other = ("images.other", {"like": "noisy", "dose": 50})
    mixed = hashes(changed(other, ("datasets.gold.images", {"noisy": 1, "other": 2})))
    turned = hashes(changed(other, ("datasets.gold.images", {"other": 2, "noisy": 1})))
    shared = hashes(changed(other, ("datasets.gold.images", {"noisy": 2, "other": 1})))
    assert mixed["datasets.gold"] == turned["datasets.gold"]
    assert mixed["datasets.gold"] != shared["datasets.gold"]


def test_a_raised_count_only_adds_shards(changed: Any) -> None:
    few = shard_ranges(changed().stage("structures")[0])
    many = shard_ranges(changed(("structures.gold.count", 20)).stage("structures")[0])
    assert few == [(0, 4), (4, 8)]
    assert many[: len(few)] == few
    assert many[-1] == (16, 20)


@pytest.mark.parametrize(
    ("key", "value", "first"),
    [
        ("seed", 8, "structures"),
        ("structures.gold.particles.radius", {"uniform": [8, 12.5]}, "structures"),
        ("structures.gold.particles.embedding", 0.21, "structures"),
        ("structures.gold.substrate", None, "structures"),
        ("exit_waves.thermal.frozen_phonons", 3, "exit_waves"),
        ("exit_waves.thermal.energy", 200e3, "exit_waves"),
        ("images.noisy.aberrations.phi12", 0.1, "images"),
        ("images.noisy.per_structure", 3, "images"),
        ("datasets.gold.where", "dose > 5", "datasets"),
        ("models.unet.target", {"minimum": 0.2}, "models"),
        ("models.unet.learning_rate", 2e-3, "models"),
    ],
)
def test_any_other_value_gives_a_new_identity_from_its_stage_on(changed: Any, key: str, value: Any, first: str) -> None:
    before, after = hashes(changed()), hashes(changed((key, value)))
    differing = {name.partition(".")[0] for name in before if before[name] != after[name]}
    chain = ["structures", "exit_waves", "images", "datasets", "trainings"]
    expected = {"models", "trainings"} if first == "models" else set(chain[chain.index(first) :])
    assert expected <= differing
    assert differing <= expected | {"benchmarks"}


def test_another_block_of_carbon_makes_other_structures_of_it_and_of_nothing_else(
    changed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def of(structure: str) -> str:
        substrate = {"material": "a-C", "structure": structure, "thickness": 10}
        return hashes(changed(("structures.gold.substrate", substrate)))["structures.gold"]

    random, network = of("random"), of("network")
    (tmp_path / "block.npz").write_bytes(b"another one")
    monkeypatch.setattr("exitwave.config.structures.NETWORK", tmp_path / "block.npz")
    assert of("random") == random
    assert of("network") != network


def test_a_benchmark_is_another_for_networks_of_another_target(changed: Any) -> None:
    before = hashes(changed())
    assert before["benchmarks.held_out"] == hashes(changed(("models.unet.epochs", 3)))["benchmarks.held_out"]
    assert (
        before["benchmarks.held_out"]
        != hashes(changed(("models.unet.target", {"minimum": 0.2})))["benchmarks.held_out"]
    )


def test_a_benchmark_is_another_for_another_version_of_what_is_learned(
    changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(changed())["benchmarks.held_out"]
    monkeypatch.setattr(Segmentation, "VERSION", Segmentation.VERSION + 1)
    assert hashes(changed())["benchmarks.held_out"] != before


def test_masks_that_are_scored_make_another_benchmark_but_train_nothing_anew(changed: Any) -> None:
    model = {"kind": "regression", "target": {"map": "phase"}}
    before, after = (hashes(changed(("models.unet", {**model, "masks": masks}))) for masks in ([], [0.1]))
    assert before["trainings.gold"] == after["trainings.gold"]
    assert before["benchmarks.held_out"] != after["benchmarks.held_out"]


def test_a_benchmark_of_a_library_is_that_of_the_trainings_left(tmp_path: Path, raw: Any) -> None:
    """The first training of the library is no part of the study, and learns something else."""
    regression = {"kind": "regression", "target": {"map": "phase"}}
    library = {
        **raw,
        "models": {**raw["models"], "map": regression},
        "trainings": {"map": {"datasets": "gold", "model": "map"}, **raw["trainings"]},
    }
    (tmp_path / "library.yaml").write_text(yaml.safe_dump(library, sort_keys=False), encoding="utf-8")
    study = {"library": "library.yaml", "trainings": {"gold": {}}, "benchmarks": {"held_out": {}}}
    alone = hashes(study_from(raw, "study.yaml"))
    assert hashes(study_from(study, "study.yaml", tmp_path))["benchmarks.held_out"] == alone["benchmarks.held_out"]


def test_the_order_of_keys_and_the_spelling_of_numbers_do_not_matter(raw: Any) -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(inner) for key, inner in reversed(value.items())}
        return float(value) if isinstance(value, int) and value == 100 else value

    assert hashes(study_from(raw, "a.yaml")) == hashes(study_from(reverse(raw), "b.yaml"))


def test_a_default_written_out_is_the_same(changed: Any) -> None:
    assert hashes(changed()) == hashes(changed(("exit_waves.thermal.slice_thickness", 2)))


def test_the_content_of_a_crystal_file_is_part_of_the_identity(changed: Any, tmp_path: Path) -> None:
    file = tmp_path / "metals.cif"
    write(file, [bulk("Au", a=4.078), bulk("Cu", a=3.615)])

    def identity(block: str) -> str:
        particles = {"material": f"{file}#{block}", "radius": 15}
        return hashes(changed(("structures.gold.particles", particles)))["structures.gold"]

    first = identity("image0")
    assert identity("image1") != first
    file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert identity("image0") != first


def test_another_name_is_the_same_content_in_another_folder(changed: Any) -> None:
    study = changed(("images.twin", {"like": "noisy"}))
    one, two = study.members["images"]["noisy"], study.members["images"]["twin"]
    assert one.hash == two.hash
    assert one.folder != two.folder


def test_a_version_bump_changes_its_stage_and_all_after_it(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes(changed())
    monkeypatch.setattr(Hrtem, "VERSION", Hrtem.VERSION + 1)
    after = hashes(changed())
    differing = {name for name in before if before[name] != after[name]}
    assert {"images.noisy", "datasets.gold", "trainings.gold"} <= differing
    assert not {"structures.gold", "exit_waves.thermal", "models.unet"} & differing


def test_a_folder_is_the_name_and_the_hash(changed: Any) -> None:
    member = changed().members["images"]["noisy"]
    assert member.folder == f"images/noisy-{member.hash}"
    assert len(member.hash) == 8
    int(member.hash, 16)


def test_a_member_is_found_by_its_folder(changed: Any) -> None:
    study = changed(("images.noisy.dose", {"matrix": [1, 2]}))
    for stage in STAGES:
        for member in study.stage(stage):
            assert study.member(member.folder) is member


def test_a_job_is_told_nothing_of_counts(changed: Any) -> None:
    few, many = changed(), changed(("structures.gold.count", 16), ("structures.gold.shard_size", 2))
    for stage in SIMULATION:
        text = describe(few.stage(stage)[0])
        assert text == describe(many.stage(stage)[0])
        assert not {"count", "shard_size"} & set(json.loads(text)["block"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_description_is_canonical_and_leaves_out_the_counts(changed: Any, stage: str) -> None:
    for member in changed().stage(stage):
        content = json.loads(describe(member))
        assert not set(member.block.COUNTS) & set(content["block"])
        assert describe(member) == json.dumps(content, sort_keys=True)
        assert content["hash"] == member.hash


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_reads_back_what_it_is_told(changed: Any, stage: str) -> None:
    for member in changed().stage(stage):
        read = Description.parse(describe(member))
        assert read.plain(defaults=False) == json.loads(describe(member))
        assert (read.stage, read.name, read.hash, read.seed) == (stage, member.name, member.hash, 7)
        assert type(read.block) is type(member.block)
        known = set(type(member.block).model_fields) - member.block.COUNTS
        assert read.block.model_dump(include=known) == member.block.model_dump(include=known)


def test_a_job_is_told_of_a_default_that_stands_against_a_preset(changed: Any) -> None:
    optics = (("exit_waves.thermal.energy", 80e3), ("images.noisy.microscope", "corrected_80kv"))
    for spread in (0.0, 7.0):
        (member,) = changed(*optics, ("images.noisy.focal_spread", spread)).stage("images")
        assert Description.parse(describe(member)).block == member.block
        assert member.block.focal_spread == spread


def test_a_description_with_other_values_is_that_of_the_same_block(changed: Any) -> None:
    told = Description.parse(describe(changed().stage("images")[0]))
    other = told.with_values(per_structure=5, device="cuda", frozen_phonons=8)
    assert (other.block.per_structure, other.block.device) == (5, "cuda")
    assert not hasattr(other.block, "frozen_phonons")
    assert other.with_values(per_structure=2, device="cpu") == told


def test_a_description_of_a_kind_that_there_is_not_is_a_bug(changed: Any) -> None:
    content = json.loads(describe(changed().stage("images")[0]))
    content["block"]["kind"] = "daguerreotype"
    with pytest.raises(ValueError, match="images has no kind daguerreotype"):
        Description.parse(json.dumps(content))


def test_the_plan_counts_jobs_and_items(changed: Any) -> None:
    rows = {(row.stage, row.name): row for row in plan(changed())}
    assert (rows["structures", "gold"].jobs, rows["structures", "gold"].items) == (2, 8)
    assert (rows["images", "noisy"].jobs, rows["images", "noisy"].items) == (2, 16)
    assert rows["trainings", "gold"].jobs == 2
    assert all(row.gigabytes > 0 for row in rows.values())


def test_networks_to_start_from_are_known_by_their_weights(changed: Any, networks: Path) -> None:
    before = hashes(changed())
    fine = hashes(changed(("trainings.gold.start_from", str(networks))))
    assert {name for name in before if before[name] != fine[name]} == {"trainings.gold"}
    moved = networks.rename(networks.with_name("elsewhere"))
    assert hashes(changed(("trainings.gold.start_from", str(moved)))) == fine
    (moved / "seed-1" / "weights.safetensors").write_text("other weights")
    assert hashes(changed()) != fine


def test_networks_of_the_study_to_start_from_are_known_by_their_training(changed: Any) -> None:
    fine = {"datasets": "gold", "model": "unet", "seeds": 2, "start_from": "gold"}
    before = hashes(changed(("trainings.fine", fine)))
    after = hashes(changed(("models.unet.epochs", 3)))
    assert before["trainings.fine"] != before["trainings.gold"]
    # The model of both has changed; that of the first alone changes the second as well.
    gentle = hashes(changed(("models.gentle", {"like": "unet"}), ("trainings.fine", {**fine, "model": "gentle"})))
    changed(("models.gentle", {"kind": "segmentation", "epochs": 3}), ("models.unet.epochs", 5))
    again = hashes(changed())
    assert gentle["models.gentle"] == again["models.gentle"] == after["models.unet"]
    assert gentle["trainings.fine"] != again["trainings.fine"]


def fields(folder: Path) -> dict[str, Any]:
    return {"kind": "micrographs", "path": str(folder), "pixel_size": 0.8, "size": 64, "per_structure": 4}


@pytest.mark.parametrize(("file", "content"), [("image0.png", "another"), ("mask1.png", "another")])
def test_fields_of_micrographs_are_known_by_images_and_masks(
    changed: Any, micrographs: Path, file: str, content: str
) -> None:
    before = hashes(changed(("images.mine", fields(micrographs))))
    (micrographs / "mask4.png").write_text("another mask of what is kept back")
    assert hashes(changed()) == before
    (micrographs / file).write_text(content)
    assert hashes(changed())["images.mine"] != before["images.mine"]


def test_a_pixel_size_of_the_index_is_part_of_the_fields(changed: Any, micrographs: Path) -> None:
    before = hashes(changed(("images.mine", fields(micrographs))))
    index = micrographs / "index.csv"
    index.write_text(index.read_text().replace("mask2.png,0.5", "mask2.png,0.6"))
    assert hashes(changed())["images.mine"] != before["images.mine"]


def test_micrographs_are_the_items_of_their_fields(changed: Any, micrographs: Path) -> None:
    study = changed(
        ("images.mine", fields(micrographs)), ("datasets.mine", {"images": "mine", "validation": 0.3, "test": 0})
    )
    member = study.members["images"]["mine"]
    (row,) = [row for row in plan(study) if row.name == "mine" and row.stage == "images"]
    assert (row.jobs, row.items, shard_ranges(member)) == (1, 16, [(0, 4)])
