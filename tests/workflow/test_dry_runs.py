"""Plans of the workflow that need no job to have run."""

import re
from collections import Counter

import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.report.figures import plan_of_report
from exitwave.study.link import load_study
from exitwave.study.plan import plan


def test_the_default_config_plans_every_stage(unrun):
    planned = unrun.planned(study=None)
    for rule in ("structures", "exit_waves", "images", "dataset", "training", "benchmark_network", "benchmark_summary"):
        assert planned[rule] >= 1, rule


@pytest.mark.parametrize("study", [None, "config/config.yaml"])
def test_config_of_the_command_line_is_laid_over_the_file_key_by_key(unrun, study):
    smaller = "structures={au_on_carbon: {count: 20}}", "datasets={ideal: {size: 40}, realistic: {size: 40}}"
    planned = unrun.planned("--config", *smaller, "seed=3", study=study)
    assert planned["structures"] == planned["exit_waves"] / 2 == 1
    assert planned["training"] == unrun.planned(study=None)["training"]


def test_blocks_made_from_the_same_waves_share_them(unrun):
    planned = unrun.planned()
    assert planned["structures"] == planned["exit_waves"] == 2
    assert planned["images"] == 4
    assert planned["training"] == 3


def test_a_matrix_plans_its_members_and_everything_made_from_them(unrun):
    unrun.write("matrix.yaml", images__sharp__dose={"matrix": [100, 200, 400]}, images__blurred__dose=100)
    planned = unrun.planned("--omit-from", "benchmark_summary", study="matrix.yaml")
    assert planned["exit_waves"] == 2
    assert planned["images"] == 2 * (3 + 1)
    assert planned["dataset"] == 3 + 1
    assert planned["training"] == 2 * 3 + 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"images__blurred__defokus": 3},
            "images.blurred.defokus: unknown key (value 3), perhaps meant as 'defocus'; allowed: ",
        ),
        ({"images__blurred__dose": -100}, "images.blurred.dose: found -100"),
        ({"images__blurred__exit_waves": "cold"}, "images.blurred.exit_waves: 'cold' is no block of exit_waves; "),
        ({"datasets__blurred__where": "doze < 3"}, "datasets.blurred.where: found unknown column 'doze'"),
        ({"structures__gold__count": 2.5}, "structures.gold.count: found 2.5"),
        ({"structures__gold__particles": {"radius": 30}}, "structures.gold: particles.radius reaches up to 30 Å"),
        ({"images__blurred": {"like": "blurred"}}, "images.blurred: circular reference"),
        ({"benchmarks__micrographs__path": "nowhere"}, "benchmarks.micrographs."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_bad_config_ends_with_one_sentence_before_any_job(unrun, changes, sentence):
    unrun.write("bad.yaml", **changes)
    done = unrun.snakemake("--cores", "1", study="bad.yaml")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "bad.yaml: " in line]
    assert len(lines) == 1
    assert f"bad.yaml: {sentence}" in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert not unrun.results.exists()


def test_a_bad_default_config_ends_with_one_sentence_before_any_job(empty):
    (empty.folder / "config" / "config.yaml").write_text("structures: {gold: {kind: cluster}}\n", encoding="utf-8")
    done = empty.snakemake("--cores", "1", study=None)
    assert done.returncode != 0
    assert "config/config.yaml: structures.gold: found kind 'cluster'; allowed: kind nanop" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not empty.results.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("structures: [\n", "Config file is not valid JSON or YAML"),
        ("seed: 1\nstructures: {}\nseed: 2\n", "broken.yaml: line 3: key 'seed' is given twice; allowed: once"),
        ("seed: 010\n", "broken.yaml: line 1: found 010, which readers of YAML take for different numbers; allowed: "),
    ],
)
def test_a_config_that_is_no_yaml_or_not_clear_is_refused(unrun, text, sentence):
    (unrun.folder / "broken.yaml").write_text(text, encoding="utf-8")
    done = unrun.snakemake("--cores", "1", study="broken.yaml")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not unrun.results.exists()


@pytest.mark.parametrize("study", ["config/config.yaml", "config/studies/core_shell.yaml", "tiny.yaml"])
def test_the_plan_counts_the_jobs_that_a_run_counts(unrun, study, monkeypatch):
    monkeypatch.chdir(unrun.folder)
    counted = unrun.planned(study=None if study == "config/config.yaml" else study)
    loaded = load_study(study)
    by_stage = Counter()
    for row in [*plan(loaded), plan_of_report(loaded)]:
        by_stage[row.stage] += row.jobs
    assert sum(by_stage.values()) == sum(counted.values()) + 1  # and the rule all
    for stage in ("structures", "exit_waves", "images"):
        assert by_stage[stage] == counted[stage]
    assert by_stage["datasets"] == counted.get("dataset", 0)
    assert by_stage["trainings"] == counted.get("training", 0)
    assert by_stage["benchmarks"] == sum(number for rule, number in counted.items() if rule.startswith("benchmark_"))
    shown = CliRunner().invoke(app, ["config", "show", "--plan", study])
    assert re.search(rf"│ total +│ +│ +{sum(by_stage.values())} │", shown.output), shown.output
