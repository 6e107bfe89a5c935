"""Files: YAML, base files and ``like``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.config.merge import merge
from exitwave.errors import ConfigError
from exitwave.study.link import load_study


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2\n", ["'seed' is given twice", "line"]),
        ("structures:\n  a: {count: 1, count: 2}\n", ["'count' is given twice"]),
        ("seed: [1\n", ["not valid YAML"]),
        ("- a\n- b\n", ["found list", "mapping"]),
        ("", ["found NoneType", "mapping"]),
    ],
)
def test_a_bad_file_is_named_in_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path / "bad.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    for word in words:
        assert word in sentence


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_study(tmp_path / "nowhere.yaml")


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path, raw: Any) -> None:
    # YAML 1.1 reads 300e3 as text.
    text = yaml.safe_dump(raw).replace("sampling: 0.4", "sampling: 0.4\n    energy: 200e3")
    assert load_study(write(tmp_path / "a.yaml", text)).members["exit_waves"]["thermal"].block.energy == 200e3


def test_a_study_is_laid_over_its_base(tmp_path: Path, raw: Any) -> None:
    write(tmp_path / "base.yaml", raw)
    path = write(tmp_path / "a.yaml", {"base": "base.yaml", "images": {"noisy": {"dose": 300}}})
    block = load_study(path).members["images"]["noisy"].block
    assert block.dose == 300
    assert block.size == 64


def test_a_base_does_not_change_through_the_studies_that_stand_on_it(tmp_path: Path, raw: Any) -> None:
    base = write(tmp_path / "base.yaml", raw)
    before = load_study(base)
    change = {"images": {"noisy": {"aberrations": {"C30": 1}}, "extra": {"like": "noisy", "dose": 7}}}
    load_study(write(tmp_path / "a.yaml", {"base": "base.yaml", **change}))
    other = load_study(write(tmp_path / "b.yaml", {"base": "base.yaml"}))
    for study in (load_study(base), other):
        assert {s: {n: m.hash for n, m in ms.items()} for s, ms in study.members.items()} == {
            s: {n: m.hash for n, m in ms.items()} for s, ms in before.members.items()
        }


def test_without_a_base_nothing_of_another_file_is_in_a_study(tmp_path: Path, raw: Any) -> None:
    write(tmp_path / "config.yaml", raw)
    study = load_study(write(tmp_path / "a.yaml", {"seed": 1, "structures": raw["structures"]}))
    assert {stage for stage, members in study.members.items() if members} == {"structures"}


def test_a_base_with_a_base_is_refused(tmp_path: Path, raw: Any) -> None:
    write(tmp_path / "first.yaml", raw)
    write(tmp_path / "second.yaml", {"base": "first.yaml"})
    with pytest.raises(ConfigError, match=r"third\.yaml: base .*second\.yaml has a base itself; allowed: one"):
        load_study(write(tmp_path / "third.yaml", {"base": "second.yaml"}))


def test_a_missing_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        load_study(write(tmp_path / "a.yaml", {"base": "gone.yaml"}))


def test_like_lays_a_block_over_another(changed: Any) -> None:
    study = changed(("images.sharp", {"like": "noisy", "aberrations": {"C12": 5}, "dose": 900}))
    block, origin = study.members["images"]["sharp"].block, study.members["images"]["noisy"].block
    assert (block.dose, block.aberrations.C12, block.aberrations.C30) == (900, 5, 1000)
    assert (origin.dose, origin.aberrations.C12) == (100, 0)
    assert block.size == origin.size


def test_a_block_of_another_kind_is_replaced_as_a_whole() -> None:
    film = {"material": "a-C", "thickness": 30}
    slab = {"kind": "crystal", "material": "CeO2"}
    assert merge({"substrate": film}, {"substrate": slab}) == {"substrate": slab}
    assert merge({"substrate": slab}, {"substrate": {"material": "MgO"}}) == {"substrate": {**slab, "material": "MgO"}}
    named = {"kind": "amorphous", "thickness": 10}
    assert merge({"substrate": film}, {"substrate": named}) == {"substrate": {**film, **named}}


def test_a_distribution_is_replaced_as_a_whole() -> None:
    assert merge({"radius": {"uniform": [1, 2]}}, {"radius": {"normal": [3, 1]}}) == {"radius": {"normal": [3, 1]}}
    assert merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}}
