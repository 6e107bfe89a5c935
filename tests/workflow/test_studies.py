"""The studies in ``config/studies``: they plan at both scales, and what several of them need is made once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exitwave.config.distributions import draw
from exitwave.config.yaml_files import read_yaml
from exitwave.data.selection import draw_dataset, draw_of_network
from exitwave.images.kinds import groups_of
from exitwave.study.link import load_study, study_from
from exitwave.study.member import Member, Study, pool_size
from exitwave.study.plan import plan, shard_ranges

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "studies"
LIBRARY = "paper_base"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != LIBRARY)
PAPER = [name for name in STUDIES if name.startswith("paper_")] + ["label_threshold", "detector"]
PAPER.remove("paper_coarse")  # which has blocks of its own under the names of the library
DRY_RUN = ("paper_table1", "bundled", "real_patches", "fine_tune", "diffraction_fig3", "diffraction_table1")
"""Studies of which Snakemake is asked too, which takes seconds: of every technique."""
SIMULATION = ("structures", "exit_waves", "images")
NAMES = {"structures", "exit_waves", "images", "datasets", "model", "trainings"}
"""Keys that hold names of other blocks."""


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # paths of micrographs are relative to it


def at_scale(name: str, scale: str) -> Study:
    path = FOLDER / f"{name}.yaml"
    return study_from({**read_yaml(path), "scale": scale}, str(path), FOLDER)


# --- plans ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_at_laptop_scale_a_study_can_be_planned_and_stays_below_2000_jobs(name):
    assert sum(row.jobs for row in plan(at_scale(name, "laptop"))) < 2000


@pytest.mark.parametrize("name", DRY_RUN)
def test_snakemake_runs_the_jobs_of_the_plan(unrun, name):
    planned = unrun.planned("--config", "scale=laptop", study=f"config/studies/{name}.yaml")
    rows = plan(at_scale(name, "laptop"))
    for rule, stage in (("structures", "structures"), ("exit_waves", "exit_waves"), ("images", "images")):
        assert planned.get(rule, 0) == sum(row.jobs for row in rows if row.stage == stage)
    assert planned.get("training", 0) == sum(row.jobs for row in rows if row.stage == "trainings")


@pytest.mark.parametrize("name", STUDIES)
def test_at_paper_scale_a_study_is_what_its_file_says(name):
    written, scaled = load_study(FOLDER / f"{name}.yaml"), at_scale(name, "paper")
    assert plan(written) == plan(scaled)
    # Jobs with a row of the plan; figures and scores of each network come on top.
    assert sum(row.jobs for row in plan(written) if row.stage != "benchmarks") < 500
    assert all(row.gigabytes < 100 for row in plan(written))


@pytest.mark.parametrize("name", STUDIES)
def test_a_laptop_makes_the_same_conditions_with_fewer_and_smaller_items(name):
    paper, laptop = at_scale(name, "paper"), at_scale(name, "laptop")
    for stage, members in paper.members.items():
        assert [m.name.partition("[")[0] for m in laptop.stage(stage)] == [
            m.name.partition("[")[0] for m in members.values()
        ]
    for large, small in zip(plan(paper), plan(laptop), strict=True):
        assert small.items <= large.items
        # The cells of the first crystals of a library may be larger than those of all.
        assert small.bytes_per_item <= 1.5 * large.bytes_per_item
    for large, small in zip(paper.stage("datasets"), laptop.stage("datasets"), strict=True):
        assert (small.block.size is None) == (large.block.size is None)
        assert (small.block.size or 8) >= 8


@pytest.mark.parametrize("name", PAPER)
def test_what_has_one_size_in_the_paper_has_one_size_on_a_laptop(name):
    pairs = zip(at_scale(name, "paper").stage("datasets"), at_scale(name, "laptop").stage("datasets"), strict=True)
    sizes = {(large.block.size, small.block.size) for large, small in pairs}
    assert len(sizes) == len({large for large, _ in sizes}) == len({small for _, small in sizes})


@pytest.mark.parametrize("name", [name for name in STUDIES if at_scale(name, "laptop").stage("datasets")])
def test_every_dataset_can_be_drawn_on_a_laptop(name):
    for member in at_scale(name, "laptop").stage("datasets"):
        tables = {images.name: metadata(images) for images in member.upstream["images"]}
        rng = np.random.default_rng(0)
        manifest = draw_dataset(tables, member.block, rng)
        for _ in range(3 if member.block.draw_per_seed else 0):
            drawn = draw_of_network(manifest, member.block, rng)
            assert (drawn["split"] != "test").sum() == member.block.size
            assert set(drawn["split"]) == {"train", "validation", "test"}


def metadata(images: Member) -> pd.DataFrame:
    """What a draw needs to know of the images of a block, without making them."""
    structures = images.origin()
    block = structures.block
    count = pool_size(images) // images.block.per_structure
    groups = groups_of(block, structures.hash, 0, count)
    rng = np.random.default_rng(int(images.hash, 16))
    rows = [
        {
            "image_id": f"{images.name}/{item:06d}/{number:02d}",
            "structure_id": f"{structures.name}/{item:06d}",
            "split_position": groups.positions[item],
            "formula": groups.names[item].partition(",")[0],
            "defocus": float(draw(getattr(images.block, "defocus", 0.0), rng)),
            "bravais_margin": 0.1,
            "images": images.name,
            "shard": "",
            "row": item,
        }
        for item in range(count)
        for number in range(images.block.per_structure)
    ]
    assert len(rows) == pool_size(images)
    return pd.DataFrame(rows)


# --- sharing ----------------------------------------------------------------------------------


def recipe(member: Member) -> str:
    """All that decides what a member of the simulation is, names of blocks left out."""
    skip = {*NAMES, *member.block.COUNTS}
    own: dict[str, Any] = member.block.model_dump(mode="json", exclude=skip)
    sources = [recipe(source) for key in sorted(member.upstream) for source in member.upstream[key]]
    return json.dumps([member.stage, member.seed, own, sources], sort_keys=True)


def jobs(studies: Iterable[Study], stage: str, key: Any) -> list[tuple[str, int, int]]:
    """Shards of a stage that studies need, one study after another."""
    members = [member for study in studies for member in study.stage(stage)]
    return [(key(member), *part) for member in members for part in shard_ranges(member)]


@pytest.fixture(scope="module")
def papers() -> list[Study]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return [load_study(FOLDER / f"{name}.yaml") for name in PAPER]


@pytest.mark.parametrize("stage", SIMULATION)
def test_a_recipe_has_one_folder_in_all_studies(papers, stage):
    folders = {(recipe(member), member.folder) for study in papers for member in study.stage(stage)}
    assert len(folders) == len({recipe for recipe, _ in folders}) == len({folder for _, folder in folders})


@pytest.mark.parametrize("stage", ["datasets", "trainings"])
def test_datasets_and_networks_of_one_recipe_have_one_folder_too(papers, stage):
    folders = {(member.hash, member.folder) for study in papers for member in study.stage(stage)}
    assert len(folders) == len({made for made, _ in folders})


@pytest.mark.parametrize("stage", SIMULATION)
def test_the_union_has_as_many_jobs_as_there_are_recipes_and_far_fewer_than_the_sum(papers, stage):
    union = set(jobs(papers, stage, lambda member: member.folder))
    distinct = set(jobs(papers, stage, recipe))
    total = len(jobs(papers, stage, lambda member: member.folder))
    print(f"{stage}: {len(union)} jobs for {len(distinct)} distinct, {total} if no study shared with another")
    assert len(union) == len(distinct)
    assert len(union) < 0.5 * total


def test_snakemake_plans_the_union_of_all_studies_as_one_graph(unrun, papers):
    files = [f"config/studies/{name}.yaml" for name in PAPER]
    planned = unrun.planned("simulate", "--configfile", *files, study=None)
    for stage in SIMULATION:
        assert planned[stage] == len(set(jobs(papers, stage, recipe)))


def test_a_recipe_under_a_second_name_would_be_noticed(papers):
    raw = read_yaml(FOLDER / "paper_fig4b_dose.yaml")
    raw["exit_waves"] = {"again": {"like": "thermal"}}
    raw["images"] = {"dose_variation": {"exit_waves": "again"}}
    studies = [*papers, study_from(raw, "again.yaml", FOLDER)]
    union = set(jobs(studies, "exit_waves", lambda member: member.folder))
    assert len(union) > len(set(jobs(studies, "exit_waves", recipe)))
