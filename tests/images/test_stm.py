"""STM images: against the density that they are taken of, in both modes; labels, noise, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from exitwave.config.graph import Node
from exitwave.config.monolayers import Monolayers
from exitwave.config.stm import LocalDensity, Stm
from exitwave.errors import ConfigError, StructureError
from exitwave.images import stm
from exitwave.items import Asked, Item
from exitwave.structures import monolayers
from exitwave.study.link import study_from
from exitwave.waves import ldos
from surface_states import write_cube, write_parchg

FloatArray = NDArray[np.float64]
LAYER = {"kind": "monolayer", "source": "maps", "count": 1, "field_of_view": 40, "in_plane": 0}
STATES = {"kind": "ldos", "structures": "own", "bias": -0.5}
IMAGE = {"kind": "stm", "exit_waves": "own", "pixel_size": 0.2, "size": 128, "height": 3.5}


def made(layer: dict[str, Any], waves: dict[str, Any], image: dict[str, Any], seed: int = 0) -> tuple[Item, Item, Item]:
    """A structure, its density and an image."""
    rngs = [np.random.default_rng([seed, stage]) for stage in range(3)]
    (structure,) = monolayers.make(Monolayers.model_validate({**LAYER, **layer}), [Asked(0, (rngs[0],))])
    row, sources = dict(structure.row), {"structures": structure.arrays}
    block = LocalDensity.model_validate({**STATES, **waves})
    (density,) = ldos.make(block, [Asked(0, (rngs[1],), row, sources)])
    row, sources = {**row, **density.row}, {**sources, "exit_waves": density.arrays}
    (picture,) = stm.make(Stm.model_validate({**IMAGE, **image}), [Asked(0, (rngs[2],), row, sources)])
    return structure, density, picture


def heights(item: Item) -> FloatArray:
    return np.asarray(item.row["lowest_height"] + item.row["height_step"] * item.arrays["counts"].values, np.float64)


def currents(item: Item) -> FloatArray:
    return np.asarray(item.row["lowest_density"] + item.row["density_step"] * item.arrays["counts"].values, np.float64)


def checked(layer: dict[str, Any], waves: dict[str, Any], image: dict[str, Any]) -> None:
    structures = Node("structures", "own", Monolayers.model_validate({**LAYER, **layer}), {})
    of_states = LocalDensity.model_validate({**STATES, **waves})
    density = Node("exit_waves", "own", of_states, {"structures": (structures,)})
    picture = Node("images", "own", Stm.model_validate({**IMAGE, **image}), {"exit_waves": (density,)})
    ldos.check(density)
    stm.check(picture)


# --- images -----------------------------------------------------------------------------------


def test_bright_spots_lie_on_the_topmost_atoms_however_the_layer_is_turned() -> None:
    for turn in (0, 37):
        _, _, item = made({"maps": ["MoS2"], "in_plane": turn}, {}, {"labels": ["columns"]})
        atoms = item.arrays["columns"].values
        assert set(atoms[:, 4]) == {16.0}
        image = heights(item)
        x, y = np.rint(atoms[:, :2]).astype(int).clip(0, 127).T
        assert image[y, x].min() > np.quantile(image, 0.85)
        # One sulphur atom above for each cell.
        assert len(atoms) == pytest.approx(128**2 * 0.2**2 / (3.16**2 * 0.75**0.5), rel=0.15)


def test_a_layer_that_is_turned_gives_the_image_turned() -> None:
    _, density, item = made({"maps": ["black_P"], "in_plane": 0}, {}, {})
    _, turned, other = made({"maps": ["black_P"], "in_plane": 90}, {}, {})
    np.testing.assert_array_equal(density.arrays["density"].values, turned.arrays["density"].values)

    def at(one: Item, held: Item, fractions: FloatArray) -> FloatArray:
        corner, vectors = held.arrays["cell"].values[0], held.arrays["cell"].values[1:]
        place = fractions @ vectors + corner - np.array([one.row["place_x"], one.row["place_y"]])
        pixels = np.rint(place / 0.2 - 0.5).astype(int) % 128
        return heights(one)[pixels[:, 1], pixels[:, 0]]

    whole = np.random.default_rng(0).uniform(0, 1, (200, 2))
    # To the nearest pixel only; a mirrored or transposed image is nowhere near.
    found, expected = at(item, density, whole), at(other, turned, whole)
    inside = np.abs(found - found.mean()) < 10
    assert np.corrcoef(found[inside], expected[inside])[0, 1] > 0.9


def test_heights_and_currents_are_those_of_the_same_density() -> None:
    held = {"maps": ["MoS2"]}
    _, density, topograph = made(held, {}, {})
    _, _, current = made(held, {}, {"mode": "constant_height"})
    mean = density.arrays["density"].values[6].astype(np.float64).mean()  # 3.5 Å
    assert topograph.row["setpoint"] == pytest.approx(mean, rel=1e-4)
    assert currents(current).mean() == pytest.approx(mean, rel=0.02)
    # Where the current is higher, the tip goes up; the logarithm of one is twice the decay times the other.
    slope = np.polyfit(heights(topograph).ravel(), np.log(currents(current)).ravel(), 1)[0]
    assert slope == pytest.approx(2 * density.row["decay"], rel=0.2)
    assert topograph.row["corrugation"] == pytest.approx(np.ptp(heights(topograph)), rel=0.05)


def test_noise_and_inclination_are_what_they_are_asked_to_be() -> None:
    held = {"maps": ["MoS2"]}
    _, _, plain = made(held, {}, {})
    relief = {"noise": 0.02, "line_noise": 0.03}
    _, _, noisy = made(held, {}, {"relief": relief})
    added = heights(noisy) - heights(plain)
    assert np.std(added - added.mean(axis=1, keepdims=True)) == pytest.approx(0.02, rel=0.05)
    assert np.std(added.mean(axis=1)) == pytest.approx(0.03, rel=0.3)
    _, _, inclined = made(held, {}, {"relief": {"slope": 10}})
    plane = heights(inclined) - heights(plain)
    gradient = np.hypot(np.diff(plane, axis=0).mean(), np.diff(plane, axis=1).mean()) / 0.2
    assert gradient == pytest.approx(0.01, rel=0.01)
    # At constant height the same changes the current as much as it changes the height.
    _, density, current = made(held, {}, {"mode": "constant_height"})
    _, _, wild = made(held, {}, {"mode": "constant_height", "relief": {"noise": 0.02}})
    ratio = np.log(currents(wild) / currents(current))
    assert ratio.std() == pytest.approx(2 * density.row["decay"] * 0.02, rel=0.15)


def test_a_blunt_tip_flattens_the_image_and_setpoints_are_kept() -> None:
    held = {"maps": ["MoS2"]}
    _, _, sharp = made(held, {}, {})
    _, _, blunt = made(held, {}, {"tip_radius": 1.2})
    assert blunt.row["corrugation"] < 0.8 * sharp.row["corrugation"]
    _, _, same = made(held, {}, {"height": None, "setpoint": sharp.row["setpoint"]})
    np.testing.assert_allclose(heights(same), heights(sharp), atol=1e-4)


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_parchg, write_cube])
def test_files_of_others_give_images_of_their_density(tmp_path: Path, write: Any) -> None:
    name = "PARCHG_0.5" if write is write_parchg else "ldos.cube"
    write(tmp_path / name)
    held, waves = {"path": str(tmp_path)}, {"path": str(tmp_path), "bias": None}
    checked(held, waves, {})
    _, density, item = made(held, waves, {"labels": ["columns"]})
    assert density.row["map"] == name
    assert np.isnan(density.row["bias"])
    # The state is highest along lines through the origin of the cell.
    corner, vectors = density.arrays["cell"].values[0], density.arrays["cell"].values[1:]
    y, x = np.mgrid[:128, :128]
    places = np.stack([item.row["place_x"] + (x + 0.5) * 0.2, item.row["place_y"] + (y + 0.5) * 0.2], -1)
    phase = np.cos(2 * np.pi * ((places - corner) @ np.linalg.inv(vectors))[..., 0])
    assert np.corrcoef(phase.ravel(), heights(item).ravel())[0, 1] > 0.98


# --- what is refused --------------------------------------------------------------------------


def test_what_cannot_be_made_is_refused_in_a_sentence() -> None:
    mos2 = {"maps": ["MoS2"]}
    for layer, waves, image, said in (
        (mos2, {"bias": 0.5, "reference": "fermi"}, {}, "bias: found 0.5 V with reference fermi.*gap reaches from"),
        (mos2, {"bias": 0.0}, {}, "bias: found 0 V .*no states"),
        (mos2, {"bias": 1.5}, {}, "bias: found 1.5 V .*holds states up to 0.6 eV"),
        (mos2, {"bias": None}, {}, "bias: left out"),
        (mos2, {"path": "elsewhere"}, {}, "path: found elsewhere"),
        ({"source": "prototypes"}, {}, {}, "structures: 'own' has source prototypes"),
        ({**mos2, "strain": 0.01}, {}, {}, "structures: 'own' has strain"),
        ({**mos2, "layers": 2}, {}, {}, "structures: 'own' has layers"),
        (mos2, {}, {"size": 256}, "size: found 256 px"),
        (mos2, {}, {"mode": "constant_height", "height": 2, "relief": {"noise": 0.1}}, "height: from 2 to 2 Å"),
    ):
        with pytest.raises((ConfigError, StructureError), match=said):
            checked(layer, waves, image)
    checked(mos2, {"bias": 0.5}, {})


def test_a_file_that_is_integrated_takes_no_bias(tmp_path: Path) -> None:
    write_parchg(tmp_path / "PARCHG")
    with pytest.raises(ConfigError, match=r"bias: given, but .*PARCHG' holds a density that is integrated"):
        checked({"path": str(tmp_path)}, {"path": str(tmp_path)}, {})


def test_a_setpoint_that_is_nowhere_ends_in_a_sentence() -> None:
    with pytest.raises(StructureError, match=r"item 0: setpoint: found 1e\+06 1/Å³; allowed: from"):
        made({"maps": ["MoS2"]}, {}, {"height": None, "setpoint": 1e6})


def test_one_of_height_and_setpoint_is_given() -> None:
    for wrong in ({"height": None}, {"setpoint": 1e-5}, {"height": None, "setpoint": 1e-5, "mode": "constant_height"}):
        with pytest.raises(ValidationError, match="allowed: "):
            Stm.model_validate({**IMAGE, **wrong})


def test_the_examples_of_the_page_are_what_they_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "stm.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert len(study_from(yaml.safe_load(first), "stm.md").stage("images")) == 1
    monkeypatch.chdir(tmp_path)
    Path("my_densities").mkdir()
    write_parchg(Path("my_densities/PARCHG_-0.5"))
    write_cube(Path("my_densities/plus.cube"))
    own = {**yaml.safe_load(second), "images": {"taken": {**IMAGE, "exit_waves": "densities"}}}
    assert len(study_from(own, "stm.md").stage("exit_waves")) == 1
