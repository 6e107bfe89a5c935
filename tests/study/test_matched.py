"""Networks scored on the micrographs that their dataset was drawn towards: allowed, and told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from every_kind import every_kind
from exitwave.errors import ConfigError
from exitwave.study.doubts import scored_on_matched
from exitwave.study.link import study_from

PATCHES = Path(__file__).resolve().parents[2] / "resources/micrographs/scottlab_hrtem_patches"


@pytest.fixture
def told(changed: Any) -> Any:
    """What is told of a study that scores on the patches, and is drawn towards a folder."""

    def of(match: Any) -> list[str]:
        patches = ("benchmarks.patches", {"kind": "micrographs", "path": str(PATCHES)})
        study = changed(patches, ("datasets.gold.size", 4), ("datasets.gold.match", match))
        return scored_on_matched(study)

    return of


def test_nothing_is_told_without_a_match(told: Any) -> None:
    assert told(None) == []


def test_micrographs_of_both_are_counted(told: Any) -> None:
    (sentence,) = told(str(PATCHES))
    assert sentence.startswith("benchmarks.patches: 8 of its micrographs")
    assert "the dataset 'gold'" in sentence


def test_those_kept_back_are_not(told: Any, tmp_path: Path) -> None:
    index = pd.read_csv(PATCHES / "index.csv")
    index["image"] = [str(PATCHES / name) for name in index["image"]]
    folder = tmp_path / "match"
    folder.mkdir()
    index.assign(split=["train"] * 2 + ["test"] * 6).to_csv(folder / "index.csv", index=False)
    (sentence,) = told(str(folder))
    assert "2 of its micrographs" in sentence
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.copy(PATCHES / "images" / "Au5nm_0.png", folder / "other.png")
    assert told({"path": str(folder), "pixel_size": 0.8}) == []


def test_an_index_without_a_pixel_size_and_images_of_other_space_are_refused(told: Any, tmp_path: Path) -> None:
    shutil.copy(PATCHES / "images" / "Au5nm_0.png", tmp_path / "one.png")
    (tmp_path / "index.csv").write_text("image\none.png\n")
    with pytest.raises(ConfigError, match=r"datasets\.gold\.match\.path: .* has no pixel_size"):
        told(str(tmp_path))
    study = every_kind(tmp_path / "study")
    study["datasets"]["patterns"] |= {"match": str(PATCHES), "size": 4}
    with pytest.raises(ConfigError, match=r"datasets\.patterns\.match: found the images 'disks'"):
        study_from(study, "study.yaml", tmp_path)
