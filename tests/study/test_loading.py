"""Files: YAML, base files and ``like``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.config.merge import merge
from exitwave.config.yaml_files import read_yaml
from exitwave.errors import ConfigError
from exitwave.study.link import load_study, study_from
from exitwave.study.load import read_run


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2\n", ["line 2: key 'seed' is given twice"]),
        ("structures:\n  a: {count: 1, count: 2}\n", ["'count' is given twice"]),
        ("seed: [1\n", ["not valid YAML"]),
        ("- a\n- b\n", ["found list", "mapping"]),
        ("", ["found nothing", "mapping"]),
        ("structures: {a: &x {<<: {count: 1}, <<: {count: 2}}}\n", ["'<<' is given twice"]),
        ("structures: {a: &x {count: 1, count: 2}, b: {<<: *x}}\n", ["'count' is given twice"]),
        ("structures: {a: {<<: 3}}\n", ["not valid YAML", "expected a mapping"]),
        ("structures: &x {a: *x}\n", ["line 1", "contains itself"]),
        ("? [a, b]\n: 3\n", ["line 1: found a list or a mapping as a key", "allowed: text"]),
        ("common: &x {count: 1}\nstructures: {a: {<<: *x}}\n", ["common: unknown key"]),
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


@pytest.mark.parametrize(
    "written",
    [
        "010",
        "-010",
        "00",
        "007.5",
        "01e3",
        "0o10",
        "0b11",
        "0x1F",
        "1_000",
        "1:30",
        "-1:30",
        "190:20:30.5",
        "!!int 010",
    ],
)
def test_a_number_that_readers_take_for_different_ones_is_refused(tmp_path: Path, written: str) -> None:
    """YAML 1.1 reads 010 as 8 and 1:30 as 90, YAML 1.2 as 10 and as text."""
    path = write(tmp_path / "a.yaml", f"seed: 1\nstructures:\n  a: {{radius: [1, {written}]}}\n")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    sentence = (
        f"{path}: line 3: found {written.removeprefix('!!int ')}, which readers of YAML take for different numbers; "
    )
    assert str(caught.value) == sentence + "allowed: a decimal number without leading zeros, or text in quotation marks"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("10", 10), ("-3", -3), ("+4", 4), ("0", 0), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("-0.25", -0.25)],
        *[("1e3", 1000.0), ("300e3", 300e3), ("1E-3", 1e-3), ("1.048e+7", 1.048e7), ("-1.5e-07", -1.5e-7)],
        *[("'010'", "010"), ('"1:30"', "1:30"), ("1:99", "1:99"), ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3")],
        *[("true", True), ("False", False), ("NO", "NO"), ("on", "on"), ("~", None), ("", None), ("e3", "e3")],
    ],
)
def test_a_value_is_what_it_looks_like(tmp_path: Path, written: str, value: Any) -> None:
    read = read_yaml(write(tmp_path / "a.yaml", f"a: {written}\n"))["a"]
    assert (type(read), read) == (type(value), value)


def test_numbers_with_an_exponent_are_numbers_in_every_place(tmp_path: Path, raw: Any) -> None:
    raw["exit_waves"]["thermal"]["energy"] = {"matrix": ["ENERGY"]}
    text = yaml.safe_dump(raw).replace("- ENERGY", "- 200e3")
    members = load_study(write(tmp_path / "a.yaml", text)).members["exit_waves"]
    assert {name: member.block.energy for name, member in members.items()} == {"thermal[energy=200000]": 200e3}


def test_keys_are_text_as_written(tmp_path: Path) -> None:
    """Faces such as 001 are keys: YAML reads numbers."""
    assert read_yaml(write(tmp_path / "a.yaml", "{111: 1, 001: 2, 0110: 3, 1.0: 4, no: 5}")) == {
        **{"111": 1, "001": 2, "0110": 3, "1.0": 4, "no": 5}
    }


def test_merge_keys_give_what_a_block_does_not_say_itself(tmp_path: Path, raw: Any) -> None:
    images = f"""
images:
  noisy: &noisy {raw.pop("images")["noisy"]}
  both: {{dose: 3, <<: [&fewer {{per_structure: 7, dose: 5}}, *noisy], size: 32}}
  chain: {{<<: &chained {{<<: *fewer, dose: 6}}, exit_waves: thermal, kind: hrtem, pixel_size: 0.8, size: 64}}
"""
    study = load_study(write(tmp_path / "a.yaml", yaml.safe_dump(raw) + images))
    blocks = {name: member.block for name, member in study.members["images"].items()}
    both, chain = blocks["both"], blocks["chain"]
    assert (both.dose, both.size, both.per_structure) == (3, 32, 7)
    assert both.pixel_size == blocks["noisy"].pixel_size == 0.8
    assert (chain.dose, chain.per_structure) == (6, 7)


def test_merge_keys_of_the_whole_file(tmp_path: Path) -> None:
    text = "structures: &x {a: {count: 1}}\nimages: &y {<<: *x, a: {count: 2}}\n<<: *y\n"
    assert read_yaml(write(tmp_path / "a.yaml", text)) == {
        "a": {"count": 2},
        "structures": {"a": {"count": 1}},
        "images": {"a": {"count": 2}},
    }


def test_settings_are_merged_key_by_key_with_files_and_without(tmp_path: Path, raw: Any) -> None:
    """``--config`` on the demo, whose file is read where no other is given, and beside ``--configfile``."""
    path = write(tmp_path / "a.yaml", raw)
    settings = [
        "structures={gold: {particles: {radius: {uniform: [9, 10]}}}}",
        "seed=12",
        "images={noisy: {dose: 1e3}}",
    ]
    changed = read_run([path], settings)
    expected = yaml.safe_load(yaml.safe_dump(raw))
    expected["structures"]["gold"]["particles"]["radius"] = {"uniform": [9, 10]}
    expected["images"]["noisy"]["dose"] = 1000.0
    assert changed == {**expected, "seed": 12}
    assert study_from(changed, str(path)).members["structures"]["gold"].block.particles.material == "Au"
    other = write(tmp_path / "b.yaml", {"images": {"noisy": {"dose": 5, "size": 32}}})
    both = read_run([path, other], settings[2:])["images"]["noisy"]
    assert (both["dose"], both["size"], both["kind"]) == (1000.0, 32, "hrtem")
    assert read_run([path]) == raw


def test_a_bad_setting_is_named(tmp_path: Path, raw: Any) -> None:
    path = write(tmp_path / "a.yaml", raw)
    for setting, words in {
        "images={noisy: {dose: 010}}": "--config images: line 1: found 010, which",
        "images={noisy: {dose: 1, dose: 2}}": "--config images: line 1: key 'dose' is given twice",
        "images={noisy": "--config images: not valid YAML",
    }.items():
        with pytest.raises(ConfigError) as caught:
            read_run([path], [setting])
        assert str(caught.value).startswith(words)


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
