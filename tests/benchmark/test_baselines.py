from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.baselines import BASELINES, everything, otsu_intensity, otsu_lattice_energy
from exitwave.benchmark.cases import Case
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.benchmark.segmentation import metric, rules
from exitwave.benchmark.summary import summarise
from exitwave.config.models import Segmentation
from exitwave.training.kinds import task_of

MICROGRAPHS = Path(__file__).parents[2] / "resources" / "micrographs"


def f1(baseline, micrographs):
    masks = metric(task_of(Segmentation(kind="segmentation"), {}), 0.5)
    rows = [masks.of_image(baseline(m.image, m.pixel_size), m.mask, m.pixel_size) for m in micrographs]
    table = pd.DataFrame(rows).assign(seed=0, group=[m.group for m in micrographs])
    summary = summarise(table, masks, 100, np.random.default_rng(0))
    return {"pooled": summary["f1_pooled"], "mean": summary["f1_mean"]}


@pytest.fixture(scope="module")
def patches():
    return read_benchmark(MICROGRAPHS / "scottlab_hrtem_patches")[0]


def test_otsu_after_blur_reaches_its_known_score_on_the_patches(patches):
    assert len(patches) == 8
    score = f1(otsu_intensity, patches)
    assert score["pooled"] == pytest.approx(0.61, abs=0.01)
    assert score["mean"] == pytest.approx(0.68, abs=0.01)


def test_otsu_after_blur_reaches_its_known_score_on_the_tiles():
    tiles, skipped = read_benchmark(MICROGRAPHS / "seg_track_tem")
    assert len(tiles) == 20
    assert skipped.empty
    assert f1(otsu_intensity, tiles)["pooled"] == pytest.approx(0.97, abs=0.01)


def test_everything_is_particle_scores_what_the_marked_fraction_says(patches):
    pixels = sum(m.mask.size for m in patches)
    fraction = sum(m.mask.sum() for m in patches) / pixels
    assert f1(everything, patches)["pooled"] == pytest.approx(2 * fraction / (1 + fraction))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_gives_a_mask_even_of_a_constant_image(name):
    mask = BASELINES[name](np.full((40, 50), 7.0, np.float32), 0.8)
    assert mask.shape == (40, 50)
    assert mask.dtype == bool
    assert mask.all() == (name == "everything is particle")


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "everything is particle"])
def test_every_baseline_finds_a_dark_disc_with_fringes(name):
    rng = np.random.default_rng(8)
    y, x = np.indices((160, 160)) * 0.6
    disc = np.hypot(y - 45, x - 50) < 20
    image = 100 + rng.normal(0, 4, disc.shape) + disc * (15 * np.sin(2 * np.pi * x / 2.2) - 8)
    mask = BASELINES[name](image.astype(np.float32), 0.6)
    assert 2 * (mask & disc).sum() / (mask.sum() + disc.sum()) > 0.75


def test_lattice_energy_ignores_contrast_outside_the_band():
    rng = np.random.default_rng(9)
    y, x = np.indices((160, 160)) * 0.6
    fringed, smooth = np.hypot(y - 25, x - 25) < 15, np.hypot(y - 65, x - 65) < 15
    image = rng.normal(0, 1, y.shape) + 8 * fringed * np.sin(2 * np.pi * y / 2.35) - 30 * smooth
    mask = otsu_lattice_energy(image.astype(np.float32), 0.6)
    assert mask[fringed].mean() > 0.8
    assert mask[smooth].mean() < 0.1


def test_baselines_are_spared_what_networks_are():
    """A hot pixel and a data bar decide no threshold."""
    y, x = np.indices((200, 240))
    disc = np.hypot(y - 70, x - 60) < 30
    image = (np.where(disc, 60.0, 100.0) + np.random.default_rng(0).normal(0, 5, disc.shape)).astype(np.float32)
    faulty = image.copy()
    faulty[100, 200] = 60000
    faulty[170:] = 0
    for name, rule in rules(task_of(Segmentation(kind="segmentation"), {})).items():
        clean, found = (rule(Case("a", pixels, disc, 0.8, "a")) for pixels in (image, faulty))
        assert not found[170:].any(), name
        assert (clean[:150] & found[:150]).sum() > 0.9 * (clean[:150] | found[:150]).sum(), name


def test_baselines_do_not_depend_on_gain_and_offset(patches):
    image, pixel_size = patches[0].image, patches[0].pixel_size
    for baseline in BASELINES.values():
        changed = baseline(image * 40 + 1000, pixel_size) != baseline(image, pixel_size)
        assert changed.mean() < 0.01
