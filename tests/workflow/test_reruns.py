"""What a changed config, a touched file or a lost artifact makes the workflow do again."""

import re

import pytest
import yaml

SIMULATION = ("structures", "exit_waves", "images")


def simulation_jobs(planned):
    return {rule: count for rule, count in planned.items() if rule in SIMULATION}


def test_the_workflow_runs_from_nothing_to_the_figures(finished):
    figures = list(finished.results.glob("report/tiny/**/*.png"))
    names = {path.name for path in figures}
    assert {
        "atoms.png",
        "waves.png",
        "contact_sheet.png",
        "parameters.png",
        "learning_curves.png",
        "scores.png",
    } <= names
    assert all(path.stat().st_size > 5000 for path in figures)
    assert len(list(finished.results.glob("trainings/*/seed-*/weights.safetensors"))) == 3
    assert len(list(finished.results.glob("report/tiny/benchmarks/*/summary.parquet"))) == 2


def test_every_job_leaves_a_log_and_its_cost(finished):
    logs = list(finished.results.glob("logs/**/*.log"))
    costs = list(finished.results.glob("benchmarks_of_jobs/**/*.tsv"))
    assert len(logs) == len(costs) > 20
    assert all("done in" in path.read_text(encoding="utf-8") for path in logs)


def test_a_second_run_does_nothing(workflow):
    before = workflow.files("**/*.*")
    done = workflow.snakemake("--cores", "2")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert workflow.files("**/*.*") == before


def test_touched_and_edited_scripts_rules_and_configs_make_nothing_run(workflow):
    for part in ("Snakefile", "rules", "scripts", "captions", "profiles", "config", "tiny.yaml"):
        path = workflow.folder / part
        for file in [path, *path.rglob("*")]:
            if file.is_file():
                file.write_bytes(file.read_bytes())
    for script in (workflow.folder / "scripts").glob("*.py"):
        script.write_text(script.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert workflow.planned() == {}


def test_the_order_of_keys_makes_nothing_run(workflow):
    path = workflow.folder / "tiny.yaml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(dict(reversed(study.items())), sort_keys=True), encoding="utf-8")
    assert workflow.planned() == {}


def test_other_resources_make_nothing_run(workflow):
    workflow.write(
        trainings__sharp__threads=2,
        trainings__sharp__devices=2,
        trainings__sharp__device="auto",
        trainings__sharp__precision="auto",
        trainings__sharp__tensorboard=True,
        benchmarks__held_out__threads=2,
    )
    assert workflow.planned() == {}


@pytest.mark.parametrize(
    "changes",
    [{"where": "dose > 250"}, {"validation": 0.3, "size": 8}],
    ids=["where", "split and size"],
)
def test_a_changed_dataset_is_drawn_and_trained_anew_without_one_simulation_job(workflow, changes):
    workflow.write(**{f"datasets__blurred__{key}": value for key, value in changes.items()})
    planned = workflow.planned()
    assert simulation_jobs(planned) == {}
    assert planned["dataset"] == 1
    assert planned["training"] == 1


def test_raising_the_count_adds_only_the_new_shards(workflow):
    workflow.write(structures__gold__count=12)
    planned = workflow.planned()
    assert simulation_jobs(planned) == {"structures": 1, "exit_waves": 1, "images": 2}
    assert planned["dataset"] == 2
    assert planned["training"] == 3


def test_raising_the_seeds_adds_only_the_new_networks(workflow):
    workflow.write(trainings__sharp__seeds=3)
    planned = workflow.planned()
    assert simulation_jobs(planned) == {}
    assert "dataset" not in planned
    assert planned["training"] == 1
    assert planned["benchmark_network"] == 2


def test_changed_optics_form_images_anew_from_the_waves_there_are(workflow):
    workflow.write(images__blurred={"like": "sharp", "focal_spread": 30, "focal_nodes": 3})
    planned = workflow.planned()
    assert simulation_jobs(planned) == {"images": 2}
    assert planned["training"] == 1


def test_another_study_finds_what_it_shares(workflow):
    workflow.write("other.yaml", trainings__sharp__seeds=1)
    planned = workflow.planned(study="other.yaml")
    assert simulation_jobs(planned) == {}
    for rule in ("dataset", "training", "benchmark_network", "benchmark_baselines"):
        assert rule not in planned


def test_choosing_other_networks_for_a_benchmark_scores_only_the_new_ones(workflow):
    workflow.write(benchmarks__held_out__trainings=["sharp", "blurred"])
    planned = workflow.planned()
    assert planned["benchmark_network"] == 1
    assert "benchmark_baselines" not in planned


def test_a_lost_shard_of_images_is_made_again_alone(workflow):
    lost = workflow.one("images/sharp-*/shard-000004-000008.zarr.zip")
    before = lost.read_bytes()
    lost.unlink()
    assert simulation_jobs(workflow.planned("simulate")) == {"images": 1}
    done = workflow.snakemake("--cores", "1", str(lost.relative_to(workflow.folder)))
    assert done.returncode == 0, done.stderr
    assert lost.read_bytes() == before


def test_a_damaged_shard_is_named_by_the_job_that_reads_it(workflow):
    waves = workflow.one("exit_waves/*/shard-000000-000004.zarr.zip")
    content = bytearray(waves.read_bytes())
    content[len(content) // 2] ^= 0xFF
    waves.write_bytes(content)
    images = workflow.one("images/sharp-*/shard-000000-000004.zarr.zip").relative_to(workflow.folder)
    done = workflow.snakemake("--cores", "1", str(images))
    assert done.returncode != 0
    shown = done.stdout + done.stderr
    name = re.escape(str(waves.relative_to(workflow.folder)))
    assert re.search(rf"error: images\.sharp: {name}: array '(whole|particles)', item \d is damaged", shown)
    assert "Traceback" not in shown
    assert not (workflow.folder / images).exists()


def test_a_changed_micrograph_is_scored_again_and_nothing_else_is_done(workflow):
    picture = workflow.folder / "micrographs" / "1.png"
    picture.write_bytes((workflow.folder / "micrographs" / "0.png").read_bytes())
    planned = workflow.planned()
    assert simulation_jobs(planned) == {}
    assert "training" not in planned
    assert planned["benchmark_network"] == 3
    assert planned["benchmark_baselines"] == 1
