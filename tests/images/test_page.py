"""The page on diffraction says what is true: its snippet runs on results of a study, and its example is a study."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.plan import SIMULATION, sources_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "diffraction.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_snippet_runs_on_results_of_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example as it stands, but for the number of items and beams."""
    raw = yaml.safe_load(EXAMPLE)
    raw["structures"]["library"] |= {"crystals": 2, "count": 2}
    raw["exit_waves"]["bloch"] |= {"max_beams": 120, "tolerance": None}
    raw["images"]["cbed"] |= {"per_structure": 1}
    study = study_from(raw, "diffraction.md")
    paths: dict[str, Path] = {}
    for stage in SIMULATION:
        (member,) = study.stage(stage)
        sources = {name: paths[source.stage] for name, source in sources_of(member).items()}
        paths[stage] = tmp_path / "results" / member.folder / "shard-000000-000002.zarr.zip"
        make_shard(Description.parse(describe(member)), range(2), sources, paths[stage])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "diffraction.md", "exec"), names)
    label, strong = names["label"], names["strong"]
    assert isinstance(label, np.ndarray)
    assert isinstance(strong, np.ndarray)
    assert label.shape == (128, 128)
    assert label.max() == pytest.approx(1, abs=0.1)
    assert 0 < len(strong) < len(names["reflections"])
