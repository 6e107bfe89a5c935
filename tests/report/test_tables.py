"""Tables hold the numbers they are made from, and count what belongs to the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exitwave.report.benchmarks import print_table, score_page, sort_methods
from exitwave.report.costs import cost_page, job_files, read_costs


def write_job(path: Path, seconds: float, memory: str = "512.5", cpu: str = "3.0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["s", "h:m:s", "max_rss", "max_vms", "max_uss", "max_pss", "io_in", "io_out", "mean_load", "cpu_time"]
    values = [f"{seconds}", "0:00:02", memory, "1", "1", "1", "0", "0", "90", cpu]
    path.write_text("\t".join(names) + "\n" + "\t".join(values) + "\n")


def test_score_page_holds_scores_intervals_and_seeds(tmp_path, samples):
    score_page(samples.summary(), tmp_path / "scores.html", "Real micrographs with expert masks.", "patches")
    page = (tmp_path / "scores.html").read_text(encoding="utf-8")
    for text in ("0.823", "[0.72, 0.92]", "0.79 to 0.84", "0.847", "thermal[dose=100] (ensemble)", "0.611", "0.402"):
        assert text in page
    assert "nan" not in page.replace("everything", "")
    assert "Real micrographs with expert masks." in page


def test_score_page_stands_alone_and_escapes_names(tmp_path, samples):
    table = samples.summary().assign(method="<b>a & b</b>")
    score_page(table, tmp_path / "scores.html", "Data.")
    page = (tmp_path / "scores.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page
    assert "http" not in page


def test_networks_stand_before_ensembles_and_baselines(samples):
    kinds = [row["kind"] for row in sort_methods(samples.summary())]
    assert kinds == ["network", "ensemble", "baseline", "baseline"]


def test_console_table_shows_names_with_brackets(capsys, samples):
    print_table([samples.summary()])
    printed = capsys.readouterr().out
    for text in ("patches, 8 images", "thermal[dose=100]", "0.823", "[0.72, 0.92]", "0.611"):
        assert text in printed


def test_pixels_particles_and_diameters_have_tables_of_their_own(tmp_path, capsys, samples):
    score_page(samples.summary(), tmp_path / "scores.html", "Real micrographs with expert masks.", "patches")
    page = (tmp_path / "scores.html").read_text(encoding="utf-8")
    assert page.count("<table>") == page.count("</table>") == 3
    pixels, particles, diameters = page.split("<table>")[1:]
    assert "<h2>Pixels</h2>" in page
    assert "IoU pooled" in pixels
    for text in ("<td>322</td>", "<td>1327</td>", "0.911", "0.932"):
        assert text in particles
        assert text not in pixels
    for text in ("Wasserstein [Å]", "4.56 <small>[4.1, 5.02]</small>", "4.33 to 4.79", "-0.012"):
        assert text in diameters
    print_table([samples.summary()])
    printed = capsys.readouterr().out
    assert printed.count("patches, 8 images") == 1
    # All of it fits into a terminal of 80 columns.
    assert all(len(line.rstrip()) <= 80 for line in printed.splitlines())
    for text in ("precision", "recall", "1327", "0.932", "Wasserstein [Å]", "4.56", "-0.012"):
        assert text in printed


def test_a_summary_of_an_older_version_shows_what_it_has(tmp_path, capsys, samples):
    older = samples.summary()
    older = older.drop(columns=[name for name in older if name.startswith(("particle", "diameter", "size"))])
    print_table([older])
    assert "0.823" in capsys.readouterr().out
    score_page(older, tmp_path / "scores.html", "Data.")
    assert (tmp_path / "scores.html").read_text(encoding="utf-8").count("<table>") == 1


def test_only_jobs_of_the_study_are_counted(tmp_path):
    mine, other = "metal-0123abcd", "metal-99999999"
    for block in (mine, other):
        write_job(tmp_path / "structures" / block / "shard-000000-000032.tsv", 2.0)
        write_job(tmp_path / "datasets" / f"{block}.tsv", 1.0)
    write_job(tmp_path / "benchmarks" / mine / other / "seed-0.tsv", 1.0)
    write_job(tmp_path / "benchmarks" / "demo" / mine / "summary.tsv", 1.0)
    write_job(tmp_path / "report" / "demo" / "costs.tsv", 1.0)
    files = job_files(tmp_path, [mine], "demo")
    assert {stage: len(paths) for stage, paths in files.items()} == {"structures": 1, "datasets": 1, "benchmarks": 1}


def test_costs_are_summed_by_stage(tmp_path):
    for start in range(3):
        write_job(tmp_path / "exit_waves" / "still-0123abcd" / f"shard-{start}.tsv", 60.0 + start)
    write_job(tmp_path / "structures" / "metal-0123abcd" / "shard-0.tsv", 0.2, memory="NA", cpu="-")
    costs = read_costs(job_files(tmp_path, ["still-0123abcd", "metal-0123abcd"], "demo"))
    assert costs.groupby("stage")["seconds"].sum().to_dict() == {"structures": 0.2, "exit_waves": 183.0}
    assert costs["memory"].max() == pytest.approx(512.5)
    assert np.isnan(costs.loc[costs["stage"] == "structures", "cpu_seconds"]).all()
    cost_page(costs, tmp_path / "costs.html", "demo")
    page = (tmp_path / "costs.html").read_text(encoding="utf-8")
    for text in ("exit waves", "3.1 min", "61.0", "512"):
        assert text in page


def test_a_study_without_measured_jobs_has_a_page(tmp_path):
    cost_page(read_costs({}), tmp_path / "costs.html")
    assert "</table>" in (tmp_path / "costs.html").read_text(encoding="utf-8")
