import numpy as np
import pandas as pd
import pytest

from exitwave.config.blocks import Dataset
from exitwave.data.random import item_rng, split_position
from exitwave.data.selection import draw_dataset, fingerprint
from exitwave.errors import DatasetError


def images(name, structures=60, draws=3, identity="0badcafe"):
    """Metadata of the images of so many structures."""
    rng = np.random.default_rng(1)
    rows = [
        {
            "image_id": f"{name}-{item:06d}-{draw:03d}",
            "structure_id": f"{identity}-{item:06d}",
            "split_position": split_position(identity, item),
            "images": name,
            "dose": float(rng.uniform(50, 1000)),
            "material": ["Au", "CdSe"][item % 2],
            "shard": f"{name}.zarr.zip",
            "row": item * draws + draw,
        }
        for item in range(structures)
        for draw in range(draws)
    ]
    return pd.DataFrame(rows)


def drawn(block=None, seed=0, tables=None, **changes):
    block = block or Dataset(**{"images": "noisy", **changes})
    return draw_dataset(tables or {"noisy": images("noisy")}, block, item_rng(seed, "datasets", "12345678"))


@pytest.mark.parametrize("size", [None, 40, 100])
def test_mistake_08_split_is_by_structure(size):
    """Images of one structure must never stand on both sides of a split."""
    manifest = drawn(size=size)
    assert (manifest.groupby("structure_id")["split"].nunique() == 1).all()
    sides = {split: set(group["structure_id"]) for split, group in manifest.groupby("split")}
    assert set(sides) == {"train", "validation", "test"}
    assert not sides["train"] & sides["validation"]
    assert not sides["train"] & sides["test"]
    assert not sides["validation"] & sides["test"]


def test_mistake_08_a_structure_is_on_the_same_side_of_every_dataset():
    """Else a network would be scored on structures that it, or its rival, was trained on."""
    first = drawn(size=100)
    other = drawn(seed=1, size=80, where="dose > 300")
    other_optics = draw_dataset({"b": images("b")}, Dataset(images="b"), item_rng(3, "datasets", "1"))
    side = first.groupby("structure_id")["split"].first()
    for manifest in (other, other_optics):
        again = manifest.groupby("structure_id")["split"].first()
        both = side.index.intersection(again.index)
        assert len(both) > 30
        assert (side[both] == again[both]).all()


def test_a_structure_keeps_its_split_when_the_count_is_raised():
    few = drawn(tables={"noisy": images("noisy", structures=30)}).groupby("structure_id")["split"].first()
    many = drawn(tables={"noisy": images("noisy", structures=200)}).groupby("structure_id")["split"].first()
    assert (many[few.index] == few).all()


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.1), (0.25, 0.25), (0.5, 0.0)])
def test_splits_have_the_shares_of_structures_asked_for(validation, test):
    manifest = drawn(validation=validation, test=test)
    share = manifest.groupby("structure_id")["split"].first().value_counts(normalize=True)
    for name, wanted in {"validation": validation, "test": test, "train": 1 - validation - test}.items():
        assert share.get(name, 0) == pytest.approx(wanted, abs=2 / 60)


def test_size_counts_images_for_training_and_validation_and_all_test_images_are_kept():
    manifest = drawn(size=50)
    assert (manifest["split"] != "test").sum() == 50
    assert (manifest["split"] == "test").sum() == (drawn()["split"] == "test").sum()
    assert manifest["image_id"].is_unique


def test_only_images_that_fulfil_the_condition_are_drawn():
    manifest = drawn(where="dose < 500 and material == 'Au'")
    assert (manifest["dose"] < 500).all()
    assert set(manifest["material"]) == {"Au"}
    table = images("noisy")
    assert len(manifest) == ((table["dose"] < 500) & (table["material"] == "Au")).sum()


def test_the_same_seed_draws_the_same_images_and_another_seed_others():
    pd.testing.assert_frame_equal(drawn(size=50), drawn(size=50))
    assert set(drawn(size=50)["image_id"]) != set(drawn(seed=1, size=50)["image_id"])


def test_shards_written_anew_or_the_order_of_columns_do_not_change_the_draw():
    table = images("noisy")
    shuffled = table[sorted(table.columns, reverse=True)].set_index(np.arange(7, 7 + len(table)))
    again = drawn(size=50, tables={"noisy": shuffled})
    assert drawn(size=50)["image_id"].tolist() == again["image_id"].tolist()


def test_sources_are_mixed_with_their_shares():
    tables = {"au": images("au", identity="000000aa"), "cdse": images("cdse", identity="000000bb")}
    manifest = drawn(Dataset(images={"au": 3, "cdse": 1}, size=80), tables=tables)
    drawn_from = manifest[manifest["split"] != "test"]["images"].value_counts()
    assert drawn_from.to_dict() == {"au": 60, "cdse": 20}


def test_sources_of_the_same_structures_are_split_alike():
    tables = {"still": images("still"), "thermal": images("thermal")}
    manifest = drawn(Dataset(images={"still": 1, "thermal": 1}), tables=tables)
    assert (manifest.groupby("structure_id")["split"].nunique() == 1).all()
    assert (manifest.groupby("structure_id")["images"].nunique() == 2).all()


def refusal(**changes):
    with pytest.raises(DatasetError) as caught:
        drawn(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_empty_query_is_refused_with_the_condition():
    assert refusal(where="dose > 5000").startswith("where: 'dose > 5000' leaves no image of 'noisy'; allowed: ")


def test_more_images_than_there_are_is_refused_with_both_numbers():
    pool = (drawn()["split"] != "test").sum()
    sentence = refusal(size=170)
    assert sentence.startswith("size: 170 images of 'noisy' are asked for")
    assert f"only {pool} of 180" in sentence


def test_a_split_without_a_structure_is_refused():
    tables = {"noisy": images("noisy", structures=2)}
    assert refusal(tables=tables, validation=0.01).startswith("validation: no image falls into this split with only 2")
    assert refusal(tables=tables, validation=0.6, test=0.001).startswith("test: no image falls into this split")


def test_no_test_split_is_needed_where_none_is_asked_for():
    assert set(drawn(test=0.0)["split"]) == {"train", "validation"}


def test_fingerprint_counts_images_and_structures_and_gives_the_spread_of_every_column():
    manifest = drawn(size=50)
    content = fingerprint(manifest)
    assert content["images"]["train"] + content["images"]["validation"] == 50
    assert sum(content["structures"].values()) == manifest["structure_id"].nunique()
    assert content["columns"]["dose"]["median"] == pytest.approx(manifest["dose"].median())
    assert content["columns"]["material"] == manifest["material"].value_counts().to_dict()
