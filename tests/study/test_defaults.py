"""Defaults and identity: a new key changes no artifact, and no default changes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from exitwave.config.kinds import STAGES
from exitwave.config.models import MaskTarget, Segmentation
from exitwave.errors import ConfigError
from exitwave.study.description import describe
from exitwave.study.docs import changed_defaults, defaults, defaults_text, write
from exitwave.study.plan import aim_of_benchmark

CONFIG = Path(__file__).resolve().parents[2] / "config"


def hashes(study: Any) -> dict[str, str]:
    return {f"{m.stage}.{m.name}": m.hash for stage in STAGES for m in study.stage(stage)}


def test_a_new_key_with_a_neutral_default_changes_no_hash(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashes(changed())
    for kinds in STAGES.values():
        for kind, model in list(kinds.items()):
            wider = create_model(model.__name__, __base__=model, new_key=(float, 0.5))
            monkeypatch.setitem(kinds, kind, wider)
    assert hashes(changed()) == before
    assert hashes(changed(("images.noisy.new_key", 0.6))) != before


def test_a_new_key_with_a_neutral_default_is_not_told_to_jobs(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake makes again what was made with other params, whatever the name of its folder."""

    def told() -> dict[str, str]:
        members = [member for stage in STAGES for member in changed().stage(stage)]
        return {f"{member.stage}.{member.name}": describe(member) for member in members}

    before = told()
    for kinds in STAGES.values():
        for kind, model in list(kinds.items()):
            monkeypatch.setitem(kinds, kind, create_model(model.__name__, __base__=model, new_key=(float, 0.5)))
    assert told() == before


def test_a_new_key_of_a_target_makes_no_other_benchmark(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target = ("models.unet.target", {"minimum": 0.3})
    before = changed(target).stage("benchmarks")[0]
    wider = create_model("MaskTarget", __base__=MaskTarget, new_key=(float, 0.5))
    model = create_model("Segmentation", __base__=Segmentation, target=(wider, wider()))
    monkeypatch.setitem(STAGES["models"], "segmentation", model)
    after = changed(target).stage("benchmarks")[0]
    assert after.hash == before.hash
    assert aim_of_benchmark(after) == aim_of_benchmark(before) == {"kind": "segmentation", "target": {"minimum": 0.3}}


def test_no_default_has_changed_without_a_new_version() -> None:
    recorded = json.loads((CONFIG / "defaults.json").read_text(encoding="utf-8"))
    assert not changed_defaults(recorded)


def test_the_record_of_defaults_is_up_to_date() -> None:
    assert (CONFIG / "defaults.json").read_text(encoding="utf-8") == defaults_text(), "run `make docs-keys`"


@pytest.mark.parametrize("key", ["slice_thickness", "temperature"])
def test_a_changed_default_needs_a_new_version(key: str) -> None:
    recorded = defaults()
    recorded["exit_waves/plane_wave"]["defaults"][key] = 1e3
    (sentence,) = changed_defaults(recorded)
    assert f"exit_waves/plane_wave: the default of {key} has changed from 1000.0 to " in sentence
    recorded["exit_waves/plane_wave"]["version"] -= 1
    assert not changed_defaults(recorded)


def test_a_new_key_of_a_nested_block_needs_no_new_version_and_another_value_does() -> None:
    recorded = defaults()
    nested = recorded["models/segmentation"]["defaults"]["preprocessing"]
    del nested["resampling"]
    assert not changed_defaults(recorded)
    nested["median"] = 5
    (sentence,) = changed_defaults(recorded)
    assert sentence.startswith("models/segmentation: the default of preprocessing has changed from ")
    assert "'median': 5" in sentence


def test_defaults_of_nested_blocks_are_recorded() -> None:
    assert defaults()["images/hrtem"]["defaults"]["detector[scintillator].gain"] == 20.0
    assert defaults()["structures/nanoparticles_on_substrate"]["defaults"]["particles.grains"] == 1


def test_a_changed_default_is_not_recorded_over_the_old_one(tmp_path: Path) -> None:
    recorded = defaults()
    recorded["models/segmentation"]["defaults"]["epochs"] = 99
    text = json.dumps(recorded)
    (tmp_path / "defaults.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="models/segmentation: the default of epochs has changed from 99 to 25"):
        write(tmp_path)
    assert (tmp_path / "defaults.json").read_text(encoding="utf-8") == text
