import json

import numpy as np
import pandas as pd
import pytest

from exitwave.data import fingerprint as module
from exitwave.data.fingerprint import RINGS, fingerprint, power_spectrum
from exitwave.errors import ShardError

SIZE = 64
PIXEL = 0.4


def dataset(folder, write_images, structures=30, draws=4, electrons=50.0):
    """Images of nothing but shot noise."""
    rng = np.random.default_rng(2)
    number = structures * draws
    counts = rng.poisson(electrons, (number, SIZE, SIZE)).astype(np.uint32)
    item = np.repeat(np.arange(structures), draws)
    table = pd.DataFrame(
        {
            "image_id": [f"0badcafe-{number:06d}" for number in range(number)],
            "structure_id": [f"0badcafe-{number:06d}" for number in item],
            "split": np.select([item % 10 == 0, item % 10 == 1], ["test", "validation"], "train"),
            "dose": rng.uniform(100, 900, number),
            "objective_aperture": np.where(item % 2 == 0, 15.0, np.nan),
            "C30": 1e4,
            "material": np.where(item % 3 == 0, "Au", "CdSe"),
            "pixel_size": PIXEL,
        }
    )
    parts = []
    for start in range(0, number, 40):
        path = folder / f"shard-{start}.zarr.zip"
        part = table.iloc[start : start + 40]
        write_images(path, {"counts": counts[start : start + 40]}, part)
        parts.append(part.assign(shard=str(path), row=range(len(part))))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory, write_images):
    return dataset(tmp_path_factory.mktemp("images"), write_images)


@pytest.fixture(scope="module")
def content(manifest):
    return fingerprint(manifest)


def test_it_is_plain_json_without_numbers_that_json_has_not(content):
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_images_and_structures_are_counted_by_split(manifest, content):
    assert (
        content["images"] == manifest["split"].value_counts().to_dict() == {"train": 96, "validation": 12, "test": 12}
    )
    assert content["structures"] == {"train": 24, "validation": 3, "test": 3}


def test_every_column_of_numbers_has_quantiles_a_histogram_and_the_number_missing(manifest, content):
    dose = content["columns"]["dose"]
    assert dose["unit"] == "e⁻/Å²"
    assert dose["median"] == pytest.approx(manifest["dose"].median())
    assert dose["q05"] == pytest.approx(manifest["dose"].quantile(0.05))
    edges = dose["histogram"]["edges"]
    expected = pd.cut(manifest["dose"], edges, include_lowest=True).value_counts(sort=False)
    assert dose["histogram"]["counts"] == expected.tolist()
    assert content["columns"]["objective_aperture"]["missing"] == manifest["objective_aperture"].isna().sum()
    assert "histogram" not in content["columns"]["C30"]


def test_texts_are_counted_and_many_different_ones_only_numbered(manifest, content):
    assert content["columns"]["material"] == manifest["material"].value_counts().to_dict()
    assert content["columns"]["structure_id"] == {"different": 30}


def test_where_images_stand_is_no_part_of_it(content):
    assert not {"shard", "row"} & set(content["columns"])


def test_intensities_are_those_of_the_images(content):
    """Poisson counts of 50 a pixel, divided by their mean, have the standard deviation 1 / sqrt(50)."""
    intensity = content["sample"]["intensity"]
    middle = (np.array(intensity["edges"][1:]) + intensity["edges"][:-1]) / 2
    share = np.array(intensity["share"])
    assert share.sum() + intensity["above"] == pytest.approx(1)
    mean = (share * middle).sum()
    assert mean == pytest.approx(1, abs=0.03)
    assert np.sqrt((share * (middle - mean) ** 2).sum()) == pytest.approx(50**-0.5, rel=0.02)
    assert content["sample"]["mean_counts"]["mean"] == pytest.approx(50, rel=0.01)


def test_shot_noise_has_a_flat_spectrum_at_the_inverse_of_its_counts(content):
    spectrum = content["sample"]["power_spectrum"]
    assert spectrum["unit"] == "1/Å"
    assert spectrum["frequency"][-1] == pytest.approx(0.5 / PIXEL, rel=1 / RINGS)
    # The innermost rings, one pixel wide here, lack what the mean takes away.
    np.testing.assert_allclose(spectrum["power"][2:], 1 / 50, rtol=0.1)


@pytest.mark.parametrize("period", [4, 5.3, 8])
def test_a_lattice_fringe_makes_a_peak_at_its_frequency(period):
    y, x = np.mgrid[:96, :96]
    image = 100 * (1 + 0.3 * np.cos(2 * np.pi * (0.6 * x + 0.8 * y) / period))
    frequencies = (np.arange(RINGS) + 0.5) / (2 * RINGS)
    assert frequencies[np.argmax(power_spectrum(image))] == pytest.approx(1 / period, abs=0.5 / RINGS)


def test_an_image_of_one_value_or_of_no_count_has_no_power():
    assert power_spectrum(np.full((16, 16), 7, np.uint32)).max() < 1e-12
    assert np.isfinite(power_spectrum(np.zeros((16, 16), np.uint32))).all()


def test_the_sample_is_of_training_images_and_the_same_whatever_their_order(manifest, content, monkeypatch):
    assert content["sample"]["images"] == (manifest["split"] == "train").sum()
    monkeypatch.setattr(module, "SAMPLE", 64)
    content = fingerprint(manifest)
    assert content["sample"]["images"] == 64
    again = fingerprint(manifest.sample(frac=1, random_state=3))
    for name in ("mean_counts", "intensity"):
        np.testing.assert_allclose(list(content["sample"][name].values())[-1], list(again["sample"][name].values())[-1])
    few = manifest[(manifest["split"] != "train") | (manifest["dose"] < 300)]
    assert fingerprint(few)["sample"]["images"] == (few["split"] == "train").sum() < 64


def test_likeness_is_learned_from_training_images_where_they_are_enough(tmp_path, write_images, content):
    assert content["sample"]["likeness"] is None
    likeness = fingerprint(dataset(tmp_path, write_images, structures=40))["sample"]["likeness"]
    assert (likeness["images"], likeness["edge"]) == (128, SIZE)
    # A network that has seen nothing but noise does not warn of it.
    assert likeness["noise"]["limit"] < 0


def test_a_damaged_shard_is_named(tmp_path, write_images):
    manifest = dataset(tmp_path, write_images, structures=4)
    (tmp_path / "shard-0.zarr.zip").write_bytes(b"half")
    with pytest.raises(ShardError, match=r"shard-0\.zarr\.zip: is damaged"):
        fingerprint(manifest)


@pytest.mark.parametrize(("lost", "warned"), [(0.0, False), (0.04, False), (0.5, True), (1.0, True)])
def test_particles_that_the_phase_does_not_label_are_warned_of(manifest, lost, warned):
    share = np.where(np.arange(len(manifest)) < lost * len(manifest), 0.4, 0.9)
    share[-1] = np.nan  # an image without particles
    warnings = fingerprint(manifest.assign(images="flakes", labelled_outline=share))["warnings"]
    assert len(warnings) == warned
    assert all("'flakes'" in text and "by thickness" in text for text in warnings)


def test_values_that_differ_by_rounding_alone_have_no_histogram():
    values = pd.Series(60 + np.spacing(60.0) * np.arange(5))
    assert "histogram" not in module._of_column(values, "°")
    assert sum(module._of_column(values + np.linspace(0, 1e-6, 5), "°")["histogram"]["counts"]) == 5
