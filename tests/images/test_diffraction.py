"""Diffraction patterns as a kind of images: what is drawn, counted, listed and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from exitwave.config.crystals import Crystals, Multilayer
from exitwave.config.exit_waves import Probe, ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.config.patterns import Diffraction
from exitwave.errors import ConfigError
from exitwave.images.diffraction import check, make
from exitwave.items import Asked, Item
from exitwave.labels.reflections import FIELDS
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves import scattering_matrix
from known_crystals import DISPLACEMENT, strontium_titanate, tilted

MATRIX = {
    "kind": "scattering_matrix",
    "structures": "any",
    "semiangle": 2,
    "thickness": 200,
    "thickness_step": 40,
    "g_max": 1.6,
    "rms_displacements": dict.fromkeys(("Sr", "Ti", "O", "Au"), DISPLACEMENT),
}


def block_of(**keys: Any) -> Diffraction:
    given = {"kind": "diffraction", "exit_waves": "any", "size": 64, "semiangle": 2, "dose": 1e5}
    return Diffraction(**(given | keys))


@pytest.fixture(scope="module")
def matrix() -> tuple[UnitCell, Item]:
    cell = strontium_titanate(tilted(4, 0.5))
    block = ScatteringMatrix(**MATRIX)
    (item,) = scattering_matrix.make(block, [Asked(0, (np.random.default_rng(0),), {}, {"structures": cell.arrays()})])
    return cell, item


def patterns(matrix: tuple[UnitCell, Item], number: int = 1, seed: int = 0, **keys: Any) -> list[Item]:
    cell, item = matrix
    rngs = tuple(np.random.default_rng([seed, draw]) for draw in range(number))
    asked = Asked(0, rngs, item.row, {"structures": cell.arrays(), "exit_waves": item.arrays})
    return list(make(block_of(**keys), [asked]))


def test_electrons_are_counted(matrix: tuple[UnitCell, Item]) -> None:
    """The mean number is the dose times what falls on the pattern, within five standard deviations."""
    for item in patterns(matrix, 5, dose={"loguniform": [1e4, 1e6]}):
        expected = item.row["electrons"] * item.row["recorded"]
        counts = item.arrays["counts"].values
        assert counts.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))
        assert 0.6 < item.row["recorded"] <= 1.001
        assert item.row["mean_counts"] == pytest.approx(counts.mean())


def test_what_is_drawn_is_recorded(matrix: tuple[UnitCell, Item]) -> None:
    items = patterns(
        matrix,
        40,
        semiangle={"choice": [1, 2]},
        shift={"uniform": [-2, 2]},
        ellipticity={"uniform": [0, 0.02]},
        background={"weight": {"uniform": [0, 0.3]}},
        dose={"loguniform": [1e4, 1e6]},
        detector={"kind": "counting", "quantum_efficiency": {"uniform": [0.7, 0.9]}},
    )
    rows = [item.row for item in items]
    assert {row["semiangle"] for row in rows} == {1.0, 2.0}
    assert {row["specimen_thickness"] for row in rows} == {40.0, 80.0, 120.0, 160.0, 200.0}
    for column in (
        "shift_x",
        "shift_y",
        "ellipticity",
        "background_weight",
        "electrons",
        "detector_quantum_efficiency",
    ):
        assert len({row[column] for row in rows}) == 40
    assert all(row.keys() == Diffraction.COLUMNS.keys() for row in rows)


def test_listed_reflections_lie_on_the_disks(matrix: tuple[UnitCell, Item]) -> None:
    """Around each listed place as many electrons are counted as the list says, where no other disk is near."""
    (item,) = patterns(
        matrix, semiangle=1, position="incoherent", dose=1e9, shift={"uniform": [-2, 2]}, ellipticity=0.03, size=96
    )
    counts, listed = item.arrays["counts"].values, item.arrays["reflections"].values
    y, x = np.mgrid[:96, :96]
    seen = 0
    for row in listed[listed[:, FIELDS.index("intensity")] > 1e-4]:
        inside = np.hypot(x - row[0], y - row[1]) < 4.0
        if not (4 < row[0] < 92 and 4 < row[1] < 92):
            continue
        assert counts[inside].sum() / 1e9 == pytest.approx(row[FIELDS.index("intensity")], rel=0.03, abs=2e-5)
        seen += 1
    assert seen > 8


def test_probe_goes_with_the_pattern(matrix: tuple[UnitCell, Item]) -> None:
    """The vacuum probe has the aperture and the lenses of its pattern, and no shift: in the middle, size // 2."""
    (item,) = patterns(matrix, shift=3, ellipticity=0.1)
    probe = item.arrays["probe"].values
    y, x = np.mgrid[:64, :64]
    assert probe.sum() == pytest.approx(1, abs=3e-3)
    assert [(probe * axis).sum() / probe.sum() for axis in (x, y)] == pytest.approx([32, 32], abs=0.02)
    moments = [[(probe * (a - 32) * (b - 32)).sum() for b in (x, y)] for a in (x, y)]
    axes = np.sqrt(np.linalg.eigvalsh(np.array(moments)))
    assert 2 * (axes[1] - axes[0]) / axes.sum() == pytest.approx(0.1, abs=0.01)


def test_background_adds_up(matrix: tuple[UnitCell, Item]) -> None:
    """Between the disks there is nothing without it; with it as many electrons as before."""
    (bare,) = patterns(matrix, thickness=40, semiangle=1, dose=1e8)
    (foggy,) = patterns(matrix, thickness=40, semiangle=1, dose=1e8, background={"weight": 0.2, "width": 0.15})
    assert foggy.row["recorded"] == pytest.approx(0.8 * bare.row["recorded"] + 0.2, abs=1e-4)
    dark = bare.arrays["counts"].values == 0
    assert dark.mean() > 0.3
    assert (foggy.arrays["counts"].values[dark] > 0).all()


def test_hot_and_dead_pixels(matrix: tuple[UnitCell, Item]) -> None:
    detector = {"kind": "ideal", "hot_pixels": 0.01, "dead_pixels": 0.02}
    (clean,), (marred,) = patterns(matrix, dose=1e7), patterns(matrix, dose=1e7, detector=detector)
    changed = clean.arrays["counts"].values != marred.arrays["counts"].values
    assert 0.005 < changed.mean() < 0.06


def test_apertures(matrix: tuple[UnitCell, Item], tmp_path: Path) -> None:
    y, x = np.mgrid[:48, :48]
    Image.fromarray((900 * np.clip(4.5 - np.hypot(y - 23, x - 24), 0, 1)).astype(np.uint16)).save(tmp_path / "v.tif")
    measured = {"kind": "measured", "file": str(tmp_path / "v.tif"), "reciprocal_sampling": 0.0217}
    (disk,), (rings,), (found,) = (
        patterns(matrix, aperture=aperture) for aperture in ("disk", {"kind": "bullseye", "rings": 1}, measured)
    )
    assert [item.row["aperture"] for item in (disk, rings, found)] == ["disk", "bullseye", "measured"]
    areas = [1 / float(item.arrays["probe"].values.max()) for item in (disk, rings, found)]
    assert areas[0] == pytest.approx(np.pi * 4.68**2, rel=0.01)
    assert areas[1] < 0.8 * areas[0]
    assert areas[2] == pytest.approx(np.pi * 4.0**2, rel=0.06)
    assert np.isnan(found.row["semiangle"])


def test_each_pattern_is_its_own(matrix: tuple[UnitCell, Item]) -> None:
    alone, together = patterns(matrix, 1, dose=1e4), patterns(matrix, 4, dose=1e4)
    assert (alone[0].arrays["counts"].values == together[0].arrays["counts"].values).all()
    assert len({item.arrays["counts"].values.tobytes() for item in together}) == 4


def node_of(waves: dict[str, Any] | None = None, **keys: Any) -> Node:
    crystals = Node("structures", "library", Crystals(kind="crystals", count=1), {})
    matrices = Node("exit_waves", "bloch", ScatteringMatrix(**(MATRIX | (waves or {}))), {"structures": [crystals]})
    return Node("images", "cbed", block_of(**keys), {"exit_waves": [matrices]})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"semiangle": {"choice": [1, 4]}}, r"semiangle: reaches up to 4 mrad; allowed: .*'bloch', 2 mrad"),
        ({"thickness": 50}, r"thickness: found 50 Å; allowed: planes, .* 40 \.\.\. 200 Å of .*'bloch'"),
        ({"thickness": {"choice": [40, 220]}}, r"thickness: found 220 Å"),
        ({"thickness": {"uniform": [40, 80]}}, r"thickness: found a range; allowed: planes, or a choice of the 5"),
        ({"reciprocal_sampling": 0.01}, r"reciprocal_sampling: found 0.01 1/Å; allowed: the tilt_step"),
        (
            {"semiangle": 0.002},
            r"semiangle: reaches down to 0.002 mrad, a radius of 0.0047 pixels .*; allowed: .* more, 0.427 mrad$",
        ),
        ({"shift": {"uniform": [-40, 3]}}, r"shift: reaches up to 40 px, which puts .*; allowed: up to 32 px"),
        ({"dose": 1e12}, r"dose: reaches up to 1e\+12 e⁻ a pattern, which gives .* counts"),
        (
            {"detector": {"kind": "counting", "bit_depth": 8}, "dose": 1e6},
            r"dose: reaches up to 1e\+06 e⁻ a pattern, which gives .* 8 bits",
        ),
        (
            {"aperture": {"kind": "measured", "file": "missing.tif", "reciprocal_sampling": 0.0217}},
            r"aperture.file: 'missing.tif' cannot be read",
        ),
    ],
)
def test_what_cannot_be_made_of_diffraction_is_refused(keys: dict[str, Any], said: str) -> None:
    check(node_of())
    with pytest.raises(ConfigError, match=said):
        check(node_of(**keys))


def test_a_measured_aperture_beyond_what_was_simulated_is_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    Image.fromarray((900 * (np.hypot(y - 30, x - 30) < 12)).astype(np.uint16)).save(tmp_path / "v.tif")
    aperture = {"kind": "measured", "file": str(tmp_path / "v.tif"), "reciprocal_sampling": 0.0217}
    with pytest.raises(ConfigError, match=r"reaches 5.* mrad; allowed: the semiangle of exit_waves 'bloch', 2 mrad"):
        check(node_of(aperture=aperture))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((64, 64), np.uint16), r"shows nothing brighter than 0; allowed: a picture of a probe"),
        (
            np.pad(np.full((20, 20), np.nan, np.float32), 9),
            r"has pixels that are no finite numbers; allowed: a picture",
        ),
        (np.pad(np.full((900, 900), 7, np.uint16), 9), r"reaches \d+ pixels from its centre; allowed: up to 300"),
    ],
)
def test_pictures_that_are_no_probe_are_refused(picture: np.ndarray, said: str, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "v.tif")
    aperture = {"kind": "measured", "file": str(tmp_path / "v.tif"), "reciprocal_sampling": 0.0217}
    with pytest.raises(ConfigError, match=said):
        check(node_of(aperture=aperture))


def test_a_picture_that_claims_to_be_larger_than_memory_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "v.bmp")
    content = bytearray((tmp_path / "v.bmp").read_bytes())
    content[18:26] = np.array([60000, 60000], "<i4").tobytes()  # its width and height
    (tmp_path / "v.bmp").write_bytes(content)
    aperture = {"kind": "measured", "file": str(tmp_path / "v.bmp"), "reciprocal_sampling": 0.0217}
    with pytest.raises(ConfigError, match=r"aperture\.file: '.*v\.bmp' cannot be read \(Image size .*; allowed: a"):
        check(node_of(aperture=aperture))


def test_waves_of_probes_have_the_semiangles_that_were_simulated() -> None:
    layers = [{"width": 60}]
    stack = Multilayer(kind="multilayer", count=1, field_of_view=32, layers=layers, thickness=20, scan={"columns": 1})
    structures = Node("structures", "stack", stack, {})
    probes = Probe(kind="probe", structures="stack", semiangle=[2, 4], sampling=0.4)
    waves = Node("exit_waves", "probes", probes, {"structures": [structures]})
    check(Node("images", "scan", block_of(semiangle={"choice": [2, 4]}), {"exit_waves": [waves]}))
    for semiangle, said in (({"uniform": [2, 4]}, "a range"), ({"choice": [2, 3]}, "3 mrad"), (3, "3 mrad")):
        node = Node("images", "scan", block_of(semiangle=semiangle), {"exit_waves": [waves]})
        with pytest.raises(
            ConfigError, match=f"^semiangle: found {said}; allowed: a choice of 2, 4 mrad of .*'probes'"
        ):
            check(node)


def test_an_aperture_of_another_pixel_is_refused() -> None:
    aperture = {"kind": "measured", "file": "v.tif", "reciprocal_sampling": 0.03}
    with pytest.raises(ValidationError, match=r"aperture\.reciprocal_sampling is 0\.03 1/Å; allowed: that of"):
        block_of(aperture=aperture)


def test_patterns_with_pixels_of_their_own(matrix: tuple[UnitCell, Item]) -> None:
    """A coarser pattern of the same matrix has its reflections at the same directions."""
    (fine,) = patterns(matrix, thickness=80, size=64)
    (coarse,) = patterns(matrix, thickness=80, size=64, reciprocal_sampling=0.0434)
    one, other = (item.arrays["reflections"].values for item in (fine, coarse))
    at = {tuple(row[2:5]): row[:2] - 32 for row in other}
    for row in one:
        assert at[tuple(row[2:5])] * 2 == pytest.approx(row[:2] - 32, abs=1e-3)


def test_counting_loss_goes_by_the_mean_of_the_pattern(matrix: tuple[UnitCell, Item]) -> None:
    lossy = {"kind": "counting", "quantum_efficiency": 1.0, "electrons_per_frame": 0.02}
    (exact,), (lost,) = (
        patterns(matrix, dose=1e6, detector=detector)
        for detector in ({"kind": "counting", "quantum_efficiency": 1.0}, lossy)
    )
    before, after = (item.arrays["counts"].values.astype(float) for item in (exact, lost))
    bright = before > 0.5 * before.max()
    assert 0.3 < after[bright].mean() / before[bright].mean() < 0.9
    faint = (before < 2 * before.mean()) & (before > 0)
    assert after[faint].mean() / before[faint].mean() > 0.9
