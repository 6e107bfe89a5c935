"""Maps of datasets: which images, what they are compared by, what they are coloured by, and what is said of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from exitwave.data.selection import always_same
from exitwave.data.tables import join_tables, write_table
from exitwave.errors import ShardError
from exitwave.report.dataset_maps import chosen_column, draw_dataset_maps, sample, spaces_of, told_of

SIZE = 80


@pytest.fixture
def dataset(tmp_path, rng, samples):
    """Writes a manifest of squares and hexagons of columns, two images of each of its groups."""

    def make(count: int = 24, columns: bool = True, pixel: str = "pixel_size", **more: object) -> Path:
        item = np.arange(count) // 2
        table = pd.DataFrame(
            {
                "image_id": [f"12345678-{number:06d}" for number in range(count)],
                "structure_id": [f"abcdef01-{number:06d}" for number in item],
                "group": [f"material {number}" for number in item],
                "bravais": np.where(item % 2, "square", "hexagonal"),
                "dose": np.geomspace(10, 1000, count),
                pixel: 0.2,
                **more,
            }
        )
        arrays: dict[str, np.ndarray] = {"counts": rng.poisson(20, (count, SIZE, SIZE)).astype(np.uint32)}
        index = np.array([(i, j) for i in range(-12, 13) for j in range(-12, 13)])
        for place in range(count) if columns else ():
            cell = np.array([[9.0, 0], [0, 9]] if item[place] % 2 else [[9.0, 0], [4.5, 4.5 * np.sqrt(3)]])
            places = index @ cell + rng.uniform(35, 45, 2)
            arrays[f"columns/{place}"] = np.pad(places[(abs(places - 39.5) < 40).all(axis=1)], ((0, 0), (0, 3)))
            x, y = places.T.round().astype(int)
            inside = (abs(places - 39.5) < 39).all(axis=1)
            arrays["counts"][place, y[inside], x[inside]] += 400
        half, shards = count // 2, []
        for number, rows in enumerate((slice(0, half), slice(half, count))):
            shards.append(tmp_path / f"{number}.zarr.zip")
            part = {name: values[rows] for name, values in arrays.items() if "/" not in name}
            lists = {
                f"columns/{place - rows.start}": arrays[f"columns/{place}"]
                for place in range(rows.start, rows.stop)
                if columns
            }
            samples.shard(shards[-1], {**part, **lists}, table.iloc[rows])
        write_table(tmp_path / "manifest.parquet", join_tables(shards))
        return tmp_path / "manifest.parquet"

    return make


@pytest.fixture
def said(monkeypatch):
    """Titles, and what stands below the maps."""
    found: list[str] = []
    for name, owner in (("set_title", Axes), ("set_xlabel", Axes), ("suptitle", Figure), ("text", Axes)):
        of = getattr(owner, name)

        def kept(self, *words, of=of, **how):
            found.append(str(words[-1]))
            return of(self, *words, **how)

        monkeypatch.setattr(owner, name, kept)
    return found


def test_classes_that_angles_tell_apart_are_all_named(dataset, tmp_path, said):
    draw_dataset_maps(dataset(), tmp_path / "maps.png", ["bravais"], "lattices")
    assert said[0] == "by pixels"
    assert "by angles between columns" in said
    assert "5 neighbours: accuracy 100%, most frequent class 50%\nsilhouette 1.00" in said
    assert "Maps of images: lattices   (24 of 24 images, 12 groups)" in said
    picture = imread(tmp_path / "maps.png")[..., :3]
    assert (picture.min(axis=2) < 0.9).mean() > 0.01


def test_the_same_dataset_gives_the_same_picture(dataset, tmp_path):
    manifest = dataset()
    for name in ("a", "b"):
        draw_dataset_maps(manifest, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_images_without_lists_of_columns_have_the_map_of_pixels_alone(dataset):
    spaces = spaces_of(sample(dataset(columns=False)))
    assert [space.name for space in spaces] == ["pixels"]
    assert spaces[0].features.shape == (24, 23)


def test_images_with_too_few_columns_are_not_on_the_map_of_angles(dataset, samples, tmp_path):
    rows = sample(dataset())
    few = tmp_path / "few.zarr.zip"
    arrays = {"counts": np.ones((2, SIZE, SIZE), np.uint32)}
    lists = {f"columns/{place}": np.zeros((place, 5), np.float32) for place in range(2)}
    samples.shard(few, {**arrays, **lists}, pd.DataFrame({"item": range(2)}))
    rows.loc[[3, 17], "shard"], rows.loc[[3, 17], "row"] = str(few), [0, 1]
    pixels, angles = spaces_of(rows)
    assert angles.name == "angles between columns, 22 of the images"
    assert angles.of.tolist() == [place for place in range(24) if place not in (3, 17)]
    assert len(pixels.of) == 24
    assert told_of(angles.features, rows["bravais"].iloc[angles.of], rows["group"].iloc[angles.of]).startswith(
        "5 neighbours: accuracy 100%"
    )


def test_patterns_are_compared_as_they_are_shown(dataset, monkeypatch):
    rows = sample(dataset(pixel="reciprocal_sampling", columns=False))
    monkeypatch.setattr("exitwave.report.dataset_maps.preprocess", lambda *how: pytest.fail("patterns are filtered"))
    assert len(spaces_of(rows)[0].of) == 24


def test_which_images_are_shown_depends_on_their_names_alone(dataset):
    manifest = dataset()
    some, names = sample(manifest, most=7), sample(manifest)["image_id"].to_numpy()
    assert len(some) == 7
    turned = names[::-1]
    assert set(turned[always_same(turned, 7)]) == set(some["image_id"])
    assert set(names[always_same(names, 6)]) < set(some["image_id"])
    assert always_same(names, 100).tolist() == list(range(24))


def rows(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"group": list("aabbccdd"), **columns})


def test_a_column_is_chosen_that_tells_groups_apart():
    dose = np.arange(8.0)
    assert chosen_column(rows(material=list("xxyyxxyy"), dose=dose)) == ["material"]
    # Each value in one group alone, one value, and none: no other group could tell.
    assert chosen_column(rows(material=list("wwxxyyzz"), dose=dose)) == ["dose"]
    assert chosen_column(rows(material=[""] * 4 + ["x"] * 4, dose=dose)) == ["dose"]
    assert chosen_column(rows(material="x", dose=5.0)) == []


def test_numbers_are_told_by_the_share_of_the_variance_that_neighbours_know():
    rng = np.random.default_rng(0)
    values = np.geomspace(1, 1000, 60)
    features = np.log(values)[:, None] + 0.7 * rng.normal(size=(60, 1))
    groups = np.arange(60).astype(str)
    assert told_of(features, pd.Series(values, name="dose"), groups).startswith("5 neighbours: R² 0.9")
    missing = pd.Series([*values[:50], *[np.nan] * 10], name="dose")
    assert told_of(features, missing, groups).startswith("5 neighbours: R² 0.9")
    assert told_of(features, pd.Series(np.ones(60), name="dose"), groups) == "neighbours have nothing to tell"


def test_images_without_a_class_are_not_asked():
    features = np.repeat(np.eye(2), 10, axis=0)
    values = pd.Series([*["a"] * 8, "", None, *["b"] * 10], name="material")
    assert "accuracy 100% of 18 images" in told_of(features, values, np.arange(20))
    none = pd.Series([""] * 20, name="material")
    assert told_of(features, none, np.arange(20)) == "no two classes have images of several groups"
    assert told_of(features, values, ["same"] * 20) == "no two classes have images of several groups"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"count": 8}, "8 images are too few for a map"),
        ({"bravais": "square", "dose": np.geomspace(1, 900, 24)}, "5 neighbours: R² "),
        ({"bravais": "", "dose": 5.0}, "by pixels"),
    ],
    ids=["few images", "numbers", "nothing varies"],
)
def test_maps_are_drawn_of_whatever_there_is(dataset, tmp_path, said, more, words):
    draw_dataset_maps(dataset(**more), tmp_path / "maps.png")
    assert any(text.startswith(words) for text in said)
    assert imread(tmp_path / "maps.png").shape[0] > 300


def test_many_classes_have_colours_and_the_rest_is_told(dataset, tmp_path, said):
    prototypes = [f"type {number % 13}" for number in range(24)]
    draw_dataset_maps(dataset(prototype=prototypes, bravais="square"), tmp_path / "maps.png")
    assert any(text.startswith("5 neighbours: accuracy") for text in said)


def test_a_damaged_shard_is_an_error_that_names_it(dataset, tmp_path):
    manifest = dataset()
    (tmp_path / "1.zarr.zip").write_bytes(b"nothing")
    with pytest.raises(ShardError, match=r"1\.zarr\.zip"):
        draw_dataset_maps(manifest, tmp_path / "maps.png")
    assert not (tmp_path / "maps.png").exists()
