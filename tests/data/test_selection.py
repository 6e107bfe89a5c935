import itertools
import logging
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exitwave.config.datasets import Dataset
from exitwave.data.selection import Pool, check_dataset, draw_dataset, draw_of_network
from exitwave.data.strata import bins_of
from exitwave.errors import DatasetError
from exitwave.items import item_rng
from exitwave.structures.groups import groups_by_content, items_as_groups


def images(name, structures=60, draws=3, identity="0badcafe", groups=None):
    """Metadata of the images of so many structures."""
    rng = np.random.default_rng(1)
    groups = groups or items_as_groups(identity, 0, structures)
    rows = [
        {
            "image_id": f"{name}-{item:06d}-{draw:03d}",
            "structure_id": f"{identity}-{item:06d}",
            "group": groups.names[item],
            "split_position": groups.positions[item],
            "images": name,
            "dose": float(rng.uniform(50, 1000)),
            "defocus": float(rng.choice([-100, -50, 0, 50, 100], p=[0.3, 0.3, 0.2, 0.1, 0.1])),
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


def crystals(structures, number=20):
    """So many structures, several of each of a number of crystals."""
    return groups_by_content([f"crystal {item % number}" for item in range(structures)])


@pytest.mark.parametrize("options", [{}, {"size": 40, "limit": {"structure": 60}}, {"where": "dose > 300"}])
def test_mistake_08_structures_of_one_crystal_are_on_the_same_side_of_every_block_and_dataset(options):
    """Else a network would know the crystal of a structure that it is scored on."""
    tables = {
        "many": images("many", structures=90, identity="000000aa", groups=crystals(90)),
        "few": images("few", structures=45, identity="000000bb", groups=crystals(45)),
    }
    mixed = drawn(Dataset(images={"many": 1, "few": 1}, **options), tables=tables)
    alone = drawn(Dataset(images="few", size=20), seed=1, tables={"few": tables["few"]})
    for manifest in (mixed, alone):
        assert set(manifest["split"]) == {"train", "validation", "test"}
        assert (manifest.groupby("group")["split"].nunique() == 1).all()
    side, again = (manifest.groupby("group")["split"].first() for manifest in (mixed, alone))
    both = side.index.intersection(again.index)
    assert len(both) > 10
    assert (side[both] == again[both]).all()
    assert (mixed.groupby("group")["structure_id"].nunique() > 1).any()


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


def limited(column, limit, seed=0, **changes):
    """Values of a column in training and validation, of a dataset whose limit is drawn from this seed."""
    tables = changes.pop("tables", {"noisy": images("noisy")})
    block = Dataset(**{"images": "noisy", "limit": {column: limit}, **changes})
    manifest = draw_dataset(tables, block, item_rng(limit, "datasets", "1"), item_rng(seed, "limit", "0"))
    return set(manifest.loc[manifest["split"] != "test", {"structure": "structure_id"}.get(column, column)])


@pytest.mark.parametrize(("column", "limits"), [("structure", [2, 3, 10, 25, 54]), ("defocus", [1, 2, 3, 5])])
def test_a_limit_keeps_so_many_values_and_a_larger_one_keeps_these_and_more(column, limits):
    chosen = [limited(column, limit) for limit in limits]
    assert [len(values) for values in chosen] == limits
    for few, many in itertools.pairwise(chosen):
        assert few < many


def test_another_seed_keeps_other_values_and_every_value_has_its_chance():
    tables = {"noisy": images("noisy")}
    kept = [limited("structure", 10, seed, tables=tables) for seed in range(20)]
    assert len(set.union(*kept)) > 45
    values = [value for seed in range(40) for value in limited("defocus", 1, seed, tables=tables)]
    # Five values, whatever the number of images of each: 8 times each, with a standard deviation of 2.5.
    assert all(0 < values.count(value) < 18 for value in (-100, -50, 0, 50, 100))


def test_what_a_limit_keeps_depends_neither_on_other_values_nor_on_the_order_of_rows():
    many = images("noisy", structures=90)
    few = many[many["structure_id"].isin(many["structure_id"].unique()[:60])]
    chosen = limited("structure", 20, tables={"noisy": many})
    assert limited("structure", 20, tables={"noisy": many.sample(frac=1, random_state=0)}) == chosen
    assert chosen & set(few["structure_id"]) <= limited("structure", 20, tables={"noisy": few})


def test_a_limit_to_structures_is_met_after_the_other_limits_and_keeps_the_share_for_validation():
    manifest = drawn(limit={"structure": 18, "defocus": 2}, validation=0.3)
    rest = manifest[manifest["split"] != "test"]
    assert rest["defocus"].nunique() == 2
    assert rest.groupby("split")["structure_id"].nunique().to_dict() == {"train": 12, "validation": 6}


def test_structures_of_two_sources_are_limited_together():
    tables = {"still": images("still"), "thermal": images("thermal")}
    manifest = drawn(Dataset(images={"still": 1, "thermal": 1}, limit={"structure": 7}), tables=tables)
    rest = manifest[manifest["split"] != "test"]
    assert rest["structure_id"].nunique() == 7
    assert (rest.groupby("structure_id")["images"].nunique() == 2).all()


def test_a_stratified_draw_takes_equally_many_of_each_stratum():
    tables = {"noisy": images("noisy", structures=200)}
    manifest = drawn(size=80, draw="stratified", strata={"dose": 4, "material": 2}, tables=tables)
    rest = manifest[manifest["split"] != "test"]
    pool = drawn(tables=tables)
    pool = pool[pool["split"] != "test"]
    edges = np.quantile(pool["dose"], [0, 0.25, 0.5, 0.75, 1])
    counts = rest.groupby([pd.cut(rest["dose"], edges, include_lowest=True), "material"], observed=False).size()
    assert counts.tolist() == [10] * 8


@given(st.integers(5, 60), st.integers(0, 10))
@settings(max_examples=20, deadline=None)
def test_strata_of_a_size_that_they_do_not_divide_differ_by_one_image(size, seed):
    rest = drawn(seed=seed, size=size, draw="stratified", strata={"dose": 5})
    rest = rest[rest["split"] != "test"]
    pool = drawn()
    edges = np.quantile(pool.loc[pool["split"] != "test", "dose"], np.linspace(0, 1, 6))
    counts = pd.cut(rest["dose"], edges, include_lowest=True).value_counts()
    assert counts.sum() == size
    assert counts.max() - counts.min() <= 1


def test_a_stratum_that_runs_out_is_made_up_for_and_that_is_said_in_a_sentence(caplog):
    table = images("noisy")
    table["planar_defects"] = np.where(table["row"] < 175, 0, 1)
    with caplog.at_level(logging.WARNING, "exitwave"):
        manifest = drawn(size=60, draw="stratified", strata={"planar_defects": 2}, tables={"noisy": table})
    counts = manifest[manifest["split"] != "test"]["planar_defects"].value_counts()
    available = (drawn(tables={"noisy": table})[lambda m: m["split"] != "test"]["planar_defects"] == 1).sum()
    assert counts.sum() == 60
    assert 0 < counts[1] <= available <= 5
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("strata: of 2 strata 1 hold too few")
    assert "\n" not in caplog.messages[0]


def test_an_even_draw_says_nothing(caplog):
    with caplog.at_level(logging.WARNING, "exitwave"):
        drawn(size=60, draw="stratified", strata={"dose": 3})
        drawn(size=60)
    assert not caplog.messages


def test_shares_without_a_size_are_said_not_to_be_met(caplog):
    tables = {"au": images("au"), "cdse": images("cdse", structures=20, identity="000000bb")}
    drawn(Dataset(images={"au": 1, "cdse": 1}), tables=tables)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("images: without a size all images are taken")


@given(st.lists(st.integers(-1000, 1000), min_size=8, max_size=80, unique=True), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_bins_hold_equally_many_different_values_as_those_of_pandas_do(values, bins):
    found = bins_of(pd.Series(values), bins)
    counts = np.bincount(found, minlength=bins)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    whole = pd.Series(values[: len(values) // bins * bins])
    np.testing.assert_array_equal(bins_of(whole, bins), pd.qcut(whole, bins, labels=False))


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(1, 4))
def test_equal_values_share_a_bin_and_bins_ascend(values, bins):
    assume(len(set(values)) >= bins)
    found = pd.Series(bins_of(pd.Series(values), bins))
    by_value = found.groupby(values).agg(["min", "max"])
    assert (by_value["min"] == by_value["max"]).all()
    assert by_value["min"].is_monotonic_increasing
    assert found.between(0, bins - 1).all()


def test_missing_numbers_are_a_bin_of_their_own_and_each_text_is_one():
    assert bins_of(pd.Series([1.0, np.nan, 2.0, np.nan]), 2).tolist() == [0, 2, 1, 2]
    assert bins_of(pd.Series(["b", "a", "b"]), 2).tolist() == [1, 0, 1]


def test_each_network_draws_from_the_pool_what_a_dataset_of_its_own_would():
    options = {"images": "noisy", "size": 40, "where": "dose > 200", "limit": {"structure": 30}}
    tables = {"noisy": images("noisy")}
    pool = draw_dataset(
        tables, Dataset(**options, draw_per_seed=True), item_rng(0, "datasets", "1"), item_rng(0, "limit", "0")
    )
    assert pool["pool"].all()
    assert (pool["split"] != "test").sum() > 40
    seen = []
    for seed in range(3):
        network = draw_of_network(pool, Dataset(**options, draw_per_seed=True), item_rng(seed, "draws", "1"))
        own = draw_dataset(tables, Dataset(**options), item_rng(seed, "draws", "1"), item_rng(0, "limit", "0"))
        pd.testing.assert_frame_equal(network, own)
        assert not network["pool"].any()
        seen.append(set(network["image_id"]))
    assert seen[0] != seen[1] != seen[2]


OPTIONS = st.fixed_dictionaries(
    {"images": st.sampled_from(["noisy", {"noisy": 1, "still": 2}])},
    optional={
        "size": st.integers(2, 120),
        "where": st.sampled_from(["dose > 300", "material == 'Au'", "defocus in [0, 50] or dose < 400"]),
        "limit": st.dictionaries(st.sampled_from(["structure", "defocus", "material"]), st.integers(1, 30)),
        "strata": st.dictionaries(
            st.sampled_from(["dose", "defocus", "split_position"]), st.integers(1, 4), min_size=1
        ),
        "validation": st.floats(0.05, 0.6),
        "test": st.sampled_from([0.0, 0.1, 0.3]),
        "draw_per_seed": st.booleans(),
    },
)
TABLES = {"noisy": images("noisy", 40), "still": images("still", 30)}


@given(OPTIONS, st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_mistake_08_no_structure_stands_on_two_sides_with_any_options(options, seed):
    """And the test images depend on the condition and the share alone; or the refusal is one sentence."""
    if "size" not in options:  # else refused
        options = {key: value for key, value in options.items() if key not in ("strata", "draw_per_seed")}
    block = Dataset(**options, draw="stratified" if "strata" in options else "random")
    try:
        manifest = drawn(block, seed, TABLES)
    except DatasetError as refused:
        sentence = str(refused)
        assume(not re.fullmatch(r"[a-z_.]+: [^\n]+; allowed: [^\n]+", sentence))
        pytest.fail(sentence)
    networks = [draw_of_network(manifest, block, item_rng(seed, "draws", "1"))] if block.draw_per_seed else []
    for found in (manifest, *networks):
        assert (found.groupby("structure_id")["split"].nunique() == 1).all()
        assert not found.duplicated(["images", "image_id"]).any()
        plain = Dataset(**{key: options[key] for key in ("images", "where", "validation", "test") if key in options})
        everything = drawn(plain, 99, TABLES)
        assert held_out(found) == held_out(everything)
        side = everything.set_index(["images", "image_id"])["split"].to_dict()
        for key, split in found.set_index(["images", "image_id"])["split"].items():
            assert side[key] == split
        if block.size is not None and not found["pool"].any():
            assert (found["split"] != "test").sum() == block.size


def held_out(manifest):
    return set(manifest.loc[manifest["split"] == "test", ["images", "image_id"]].itertuples(index=False, name=None))


def refusal(**changes):
    with pytest.raises(DatasetError) as caught:
        drawn(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_empty_query_is_refused_with_the_condition():
    assert refusal(where="dose > 5000").startswith("where: 'dose > 5000' leaves no image of 'noisy', of 180 images")


def test_more_images_than_there_are_is_refused_with_what_each_step_leaves():
    table = images("noisy")
    where = table["dose"] > 300
    outside = where & table["structure_id"].isin(drawn()[lambda m: m["split"] != "test"]["structure_id"])
    sentence = refusal(size=170, where="dose > 300", limit={"defocus": 1})
    account = (
        f"there are 180 images of 60 structures, {where.sum()} after where, {outside.sum()} without the test share"
    )
    assert sentence.startswith(f"size: 170 images of 'noisy' are asked for, but {account}, ")
    assert " after limit; allowed: a smaller size" in sentence


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"limit": {"defocus": 6}}, "limit.defocus: 6 different values of defocus are asked for, but only 5 are there"),
        ({"limit": {"structure": 56}}, "limit.structure: 56 different values of structure_id are asked for"),
        ({"limit": {"defocuss": 3}}, "limit.defocuss: found unknown column 'defocuss'; allowed: perhaps defocus"),
        ({"limit": {"structure": 1}}, "validation: no image falls into this split"),
        ({"size": 1}, "validation: no image falls into this split"),
        ({"draw": "stratified", "strata": {"dose": 3}}, "draw: found stratified without a size"),
        ({"draw_per_seed": True}, "draw_per_seed: found true without a size"),
        ({"draw": "stratified", "strata": {"dos": 3}, "size": 20}, "strata.dos: found unknown column 'dos'"),
        ({"draw": "stratified", "strata": {"defocus": 6}, "size": 20}, "strata.defocus: found 6; allowed: at most 5"),
        ({"draw": "stratified", "strata": {"material": 3}, "size": 20}, "strata.material: found 3; allowed: 2, as"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_key_and_what_is_there(changes, start):
    assert refusal(**changes).startswith(start)


def test_a_split_without_a_structure_is_refused():
    tables = {"noisy": images("noisy", structures=2)}
    assert refusal(tables=tables, validation=0.01).startswith(
        "validation: no image falls into this split, of 6 images of 2 structures"
    )
    assert refusal(tables=tables, validation=0.6, test=0.001).startswith("test: no image falls into this split")


def test_no_test_split_is_needed_where_none_is_asked_for():
    assert set(drawn(test=0.0)["split"]) == {"train", "validation"}


def foreseen(structures=60, draws=3, identity="0badcafe", groups=None):
    """What is known of the images of so many structures before there are any."""
    groups = groups or items_as_groups(identity, 0, structures)
    return Pool([f"{identity}-{item:06d}" for item in range(structures)], groups.positions, draws)


def checked(structures=60, draws=3, identity="0badcafe", groups=None, **changes):
    block = Dataset(**{"images": "noisy", **changes})
    check_dataset(block, {"noisy": foreseen(structures, draws, identity, groups)})


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"limit": {"defocuss": 3}}, "limit: found unknown column 'defocuss'; allowed: perhaps defocus"),
        ({"limit": {"structure": 56}}, "limit.structure: found 56; allowed: from 2, "),
        ({"limit": {"structure": 1}}, "limit.structure: found 1; allowed: from 2, "),
        ({"draw": "stratified", "strata": {"dos": 3}, "size": 9}, "strata: found unknown column 'dos'; allowed: "),
        ({"draw": "stratified", "strata": {"dose": 3}}, "draw: found stratified without a size"),
        ({"draw_per_seed": True}, "draw_per_seed: found true without a size"),
        ({"size": 1}, "size: found 1; allowed: 2 or more"),
        ({"size": 170}, "size: 170 images of 'noisy' are asked for, but there are 180 images of 60 structures, 165 wi"),
        ({"size": 40, "limit": {"structure": 10}}, "size: 40 images of 'noisy' are asked for, but there are 180 ima"),
        ({"structures": 2, "validation": 0.01}, "validation: no structure of the 2 there are falls into this split"),
        ({"structures": 2, "validation": 0.6, "test": 0.001}, "test: no structure of the 2 there are falls into"),
    ],
)
def test_what_can_never_be_drawn_is_refused_before_there_are_images(changes, start):
    with pytest.raises(DatasetError) as caught:
        checked(**changes)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


def test_structures_of_one_group_cannot_be_split_and_the_refusal_speaks_of_groups():
    one = groups_by_content(["Au fcc"] * 60)
    with pytest.raises(DatasetError) as caught:
        checked(groups=one)
    assert re.fullmatch(
        "(train|validation): no structure of the 60 there are, which are 1 groups that stay together, falls into this "
        "split; allowed: more groups, or a larger share",
        str(caught.value),
    )
    assert refusal(tables={"noisy": images("noisy", groups=one)}).startswith(
        f"{str(caught.value).partition(':')[0]}: no image falls into this split, of 180 images of 60 structures"
    )
    checked(groups=crystals(60))


@given(
    st.integers(1, 12),
    st.integers(1, 3),
    st.floats(0.05, 0.6),
    st.sampled_from([0.0, 0.1, 0.35]),
    st.none() | st.integers(2, 30),
    st.none() | st.integers(1, 12),
    st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}"),
    st.none() | st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_what_is_refused_beforehand_is_what_the_draw_refuses(
    structures, draws, validation, test, size, limit, identity, number
):
    """Without a condition everything but values of columns is known before the first job."""
    block = Dataset(
        images="noisy", validation=validation, test=test, size=size, limit={} if limit is None else {"structure": limit}
    )
    groups = None if number is None else crystals(structures, number)
    try:
        draw_dataset(
            {"noisy": images("noisy", structures, draws, identity, groups)}, block, item_rng(0, "datasets", "1")
        )
        possible = True
    except DatasetError:
        possible = False
    try:
        check_dataset(block, {"noisy": foreseen(structures, draws, identity, groups)})
        accepted = True
    except DatasetError:
        accepted = False
    assert accepted == possible
