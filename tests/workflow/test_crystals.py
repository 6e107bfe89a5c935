"""The second technique through the whole workflow: crystals from files, STEM images, a network that tells types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from exitwave.data.tables import read_table


def test_the_study_ends_with_every_figure(crystals: Any) -> None:
    report = crystals.results / "report" / "crystal_types-laptop"
    names = {path.name.rsplit("-", 1)[0] for path in report.rglob("*.*")}
    assert {"atoms.png", "contact_sheet.png", "parameters.png", "learning_curves.png", "scores.html"} <= names
    assert len(list(report.glob("benchmarks/*/predictions/*.png"))) == 1


def test_no_exit_wave_is_simulated(crystals: Any) -> None:
    assert not (crystals.results / "exit_waves").exists()


def test_a_crystal_is_on_one_side_and_scored_by_its_type(crystals: Any) -> None:
    manifest = read_table(crystals.one("datasets/*/manifest.parquet"))
    assert (manifest.groupby("group")["split"].nunique() == 1).all()
    scores = read_table(crystals.one("report/*/benchmarks/*/per_image.parquet"))
    held_out = manifest.loc[manifest["split"] == "test"].set_index("image_id")["folder"]
    assert (held_out[scores["image"]].to_numpy() == scores["truth"].to_numpy()).all()
    summary = read_table(crystals.one("report/*/benchmarks/*/summary.parquet")).set_index("method")
    assert summary["accuracy"].between(0, 1).all()
    assert np.isfinite(summary["macro_f1"]).all()
    assert {"types", "most frequent class", "nearest power spectrum"} <= set(summary.index)


def test_files_are_named_below_their_folder(crystals: Any) -> None:
    table = read_table(crystals.one("structures/*/shard-*.parquet"))
    assert all((Path(crystals.folder) / "resources" / "crystals" / file).is_file() for file in table["file"])
