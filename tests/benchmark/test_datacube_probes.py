"""Probes, and the first look at a scan."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from exitwave.benchmark.probes import centred_probe, disk_probe, mean_pattern, read_probe
from exitwave.benchmark.scan_survey import clean, is_full, is_usable, look_at
from exitwave.benchmark.scans import open_scan
from exitwave.electron import wavelength
from exitwave.errors import ScanError
from scan_writers import write_rosetta
from strained_scan import RADIUS, SIZE, disk, strained_scan


def centre_of_mass(image):
    rows, columns = np.indices(image.shape)
    return (image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()


@pytest.fixture
def scan(tmp_path):
    return scan_of(tmp_path, strained_scan().patterns.astype(np.uint16))


def scan_of(folder, patterns):
    np.save(folder / "scan.npy", patterns)
    return open_scan(folder / "scan.npy")


def probe():
    return centred_probe(100 * disk(SIZE // 2, SIZE // 2), "probe")


@pytest.mark.parametrize(("x", "y"), [(20, 40), (30.4, 25.7), (32, 32)])
def test_a_probe_anywhere_comes_to_the_middle_without_halo_and_hot_pixels(x, y):
    rng = np.random.default_rng(0)
    image = 1000 * disk(x, y) + rng.normal(20, 2, (SIZE, SIZE))
    image[5, 7] = 1e5
    found = centred_probe(image, "vacuum.tif")
    assert centre_of_mass(found.image) == pytest.approx((SIZE // 2, SIZE // 2), abs=0.02)
    assert found.radius == pytest.approx(RADIUS, abs=0.2)
    assert found.image[5:20, 5:20].max() == 0
    assert found.image.max() == pytest.approx(1000, rel=0.02)


def test_a_disk_of_a_semiangle_has_the_radius_that_follows_from_the_energy():
    found = disk_probe((64, 70), 2.0, 300e3, 0.0217)
    assert found.radius == pytest.approx(2e-3 / wavelength(300e3) / 0.0217)
    assert found.image.sum() == pytest.approx(np.pi * found.radius**2, rel=0.05)
    assert centre_of_mass(found.image) == pytest.approx((35, 32))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((64, 64)), "shows no disk: it is the same everywhere"),
        (disk(1, 30), "shows a disk that the edge cuts"),
        (np.pad(np.ones((1, 1)), 31), "shows no disk|radius"),
        (np.pad(np.ones((50, 50)), 7), "radius .* px in patterns of 64 x 64 px; allowed: 1 to 26 px"),
    ],
)
def test_images_that_are_no_probe_are_refused(image, told):
    with pytest.raises(ScanError, match=f"vacuum.tif .*({told})"):
        centred_probe(image, "vacuum.tif")


def test_a_disk_that_does_not_fit_is_refused():
    with pytest.raises(ScanError, match="a semiangle of 20 mrad gives a disk of the radius 47 px"):
        disk_probe((64, 64), 20, 300e3, 0.0217)


def test_a_probe_is_read_from_an_image_or_as_the_mean_of_a_scan(tmp_path):
    images = np.random.default_rng(0).poisson(50 * disk(30, 33), (2, 3, SIZE, SIZE)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "one.tif", images[0, 0])
    np.testing.assert_array_equal(read_probe(tmp_path / "one.tif", (SIZE, SIZE)), images[0, 0])
    tifffile.imwrite(tmp_path / "stack.tif", images[0], photometric="minisblack")
    np.testing.assert_allclose(read_probe(tmp_path / "stack.tif", (SIZE, SIZE)), images[0].mean(axis=0), rtol=1e-6)
    write_rosetta(tmp_path / "scan.hspy", images, "hspy")
    np.testing.assert_allclose(read_probe(tmp_path / "scan.hspy", (SIZE, SIZE)), images.mean(axis=(0, 1)), rtol=1e-6)
    np.save(tmp_path / "line.npy", np.zeros(5))
    with pytest.raises(ScanError, match=r"line.npy holds no image"):
        read_probe(tmp_path / "line.npy", (SIZE, SIZE))


def test_the_probe_of_py4dstem_is_taken_without_its_kernel(tmp_path):
    import h5py

    with h5py.File(tmp_path / "probe.h5", "w") as file:
        root = file.create_group("probe_root")
        root.attrs.update(emd_group_type="root", python_class="Root")
        group = root.create_group("probe")
        group.attrs.update(emd_group_type="array", python_class="Probe")
        group["data"] = np.stack([disk(32, 32), -disk(0, 0)])
    np.testing.assert_allclose(read_probe(tmp_path / "probe.h5", disk(32, 32).shape), disk(32, 32), rtol=1e-6)


def test_the_mean_of_a_part_of_a_scan_is_that_of_its_patterns(scan):
    patterns = strained_scan().patterns
    found = mean_pattern(scan, slice(1, 4), slice(0, 3))
    np.testing.assert_allclose(found, patterns[1:4, 0:3].mean(axis=(0, 1)), rtol=1e-6)


def test_a_good_scan_gives_no_doubt_and_its_direct_beam(scan):
    found = look_at(scan, probe())
    assert found.told == ()
    assert found.full == np.inf
    assert found.centre == pytest.approx((SIZE // 2 + 0.6, SIZE // 2 - 0.4), abs=1)
    assert len(found.patterns) == 48


def test_patterns_that_are_empty_or_not_finite_are_passed_over(tmp_path):
    patterns = strained_scan().patterns.astype(np.float32)
    patterns[0, 0] = np.nan
    patterns[1] = 0
    patterns[2, :, :2, 0] = np.nan
    found = look_at(scan_of(tmp_path, patterns), probe())
    assert len(found.patterns) == 48 - 1 - 8
    assert np.isfinite(found.patterns).all()
    with pytest.raises(ScanError, match=r"scan.npy has nothing but patterns that are empty or not finite"):
        look_at(scan_of(tmp_path, np.full((2, 2, SIZE, SIZE), np.nan)), probe())


def test_what_is_usable():
    good = disk(30, 30).astype(np.float32)
    few = good.copy()
    few[:1, :40] = np.nan
    many = good.copy()
    many[:2] = np.inf
    assert [is_usable(one) for one in (good, few, many, 0 * good, good + np.nan)] == [True, True, False, False, False]


def test_cleaned_patterns_have_neither_hot_pixels_nor_values_below_nothing(scan):
    raw = scan.patterns(slice(0, 1))
    dirty = raw.copy()
    dirty[:, 3, 3] = 1e6
    dirty[:, 40, 10] = -50
    dirty[0, 41, 10] = np.nan
    found = clean(dirty)
    assert np.isfinite(found).all()
    assert found.min() == 0
    assert (found[:, 3, 3] <= raw[:, 2:5, 2:5].max(axis=(1, 2))).all()
    # The direct beam stands, and what is beside the changed pixels.
    changed = np.zeros((SIZE, SIZE), bool)
    changed[[3, 40, 41], [3, 10, 10]] = True
    np.testing.assert_array_equal(found[:, ~changed], raw[:, ~changed])


@pytest.mark.parametrize(("dtype", "full"), [(np.uint16, 4095), (np.uint8, 255)])
def test_a_saturated_camera_is_told_with_its_value(tmp_path, dtype, full):
    patterns = np.minimum(strained_scan(counts=2.0 * full).patterns, full).astype(dtype)
    found = look_at(scan_of(tmp_path, patterns), probe())
    assert found.full == full
    assert f"is saturated in some patterns, at {full} counts" in found.told[0]
    assert is_full(patterns[0, 0], found.full, RADIUS)
    assert not is_full(patterns[0, 0] // 2, found.full, RADIUS)


def test_counted_and_corrected_data_are_not_taken_for_saturated(tmp_path):
    counted = strained_scan(counts=3.0).patterns.astype(np.uint16)
    found = look_at(scan_of(tmp_path, counted), probe())
    assert found.full == np.inf
    assert "counts in a pattern, in the median: strain from so few is noisy" in found.told[0]
    assert look_at(scan_of(tmp_path, np.minimum(strained_scan().patterns, 255.0)), probe()).full == np.inf


def test_a_dark_level_is_told(tmp_path):
    found = look_at(scan_of(tmp_path, (strained_scan().patterns + 900).astype(np.uint16)), probe())
    assert any("subtract the dark image" in told for told in found.told)


def test_a_beam_stop_is_told_and_where_the_direct_beam_must_be(tmp_path):
    patterns = strained_scan(counts=20000.0).patterns.copy()
    rows, columns = np.ogrid[:SIZE, :SIZE]
    patterns[..., np.hypot(rows - 32, columns - 32) < 6] = 0
    patterns[..., 30:34, 32:] *= np.where(np.arange(32) < 6, 0, 1)
    found = look_at(scan_of(tmp_path, patterns.astype(np.uint16)), probe())
    assert found.centre == pytest.approx((SIZE // 2 + 0.6, SIZE // 2 - 0.4), abs=1.5)
    assert "shows no direct beam at (3" in found.told[0]
