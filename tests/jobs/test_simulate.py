import shutil
from importlib.metadata import version

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from exitwave.config.images import LABELS, LISTS, PARTICLE_FIELDS
from exitwave.data.columns import IDENTITIES
from exitwave.data.shards import open_shard
from exitwave.data.tables import table_path
from exitwave.errors import ConfigError, ShardError, StructureError
from exitwave.items import Axis, item_rng, lateral
from exitwave.jobs.simulate import make_shard, read_structure

STAGES = ("structures", "exit_waves", "images")


@pytest.fixture(scope="module")
def in_pairs(jobs, tmp_path_factory):
    """Items 0 to 5 once more, in shards of two, the last first."""
    folder = tmp_path_factory.mktemp("pairs")
    return [jobs.simulate(folder, start, start + 2) for start in (4, 2, 0)][::-1]


@pytest.mark.parametrize("stage", STAGES)
def test_items_are_the_same_in_shards_of_another_size_and_order(jobs, simulated, in_pairs, stage):
    whole = jobs.items(getattr(simulated, stage))
    parts = [item for shard in in_pairs for item in jobs.items(getattr(shard, stage))]
    assert len(parts) == len(whole)
    for one, other in zip(whole, parts, strict=True):
        assert set(one) == set(other)
        for name, array in one.items():
            assert other[name].values.tobytes() == array.values.tobytes(), name
            assert (other[name].axes, other[name].unit) == (array.axes, array.unit), name


@pytest.mark.parametrize("stage", STAGES)
def test_metadata_are_the_same_in_shards_of_another_size_and_order(jobs, simulated, in_pairs, stage):
    whole = jobs.table(getattr(simulated, stage))
    joined = pd.concat([jobs.table(getattr(shard, stage)) for shard in in_pairs], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole, check_exact=True)


def test_a_job_run_again_gives_the_same_bytes(jobs, in_pairs, tmp_path):
    again = jobs.simulate(tmp_path, 2, 4)
    for stage in STAGES:
        path, other = getattr(again, stage), getattr(in_pairs[1], stage)
        assert path.read_bytes() == other.read_bytes(), stage
        assert table_path(path).read_bytes() == table_path(other).read_bytes(), stage


def test_items_differ_from_each_other(jobs, simulated):
    waves = jobs.arrays(simulated.exit_waves)
    counts = jobs.arrays(simulated.images)["counts"]
    for name in ("whole", "particles"):
        assert len({wave.tobytes() for wave in waves[name]}) == 6
    assert len({image.tobytes() for image in counts}) == 18
    assert jobs.table(simulated.structures)["substrate_thickness"].nunique() == 6


def test_every_draw_of_an_exit_wave_has_conditions_and_a_place_of_its_own(jobs, simulated):
    table = jobs.table(simulated.images)
    for name in ("defocus", "C12", "phi12", "focal_spread", "plasmon_weight", "dose"):
        assert table[name].nunique() == 18, name
    places = table.groupby("structure_id")[["offset_y", "offset_x"]].agg(lambda values: values.nunique())
    assert (places.max(axis=1) > 1).all()


@pytest.mark.parametrize("number", range(len(STAGES)), ids=STAGES)
def test_metadata_hold_the_full_history_and_no_column_unknown_to_queries(jobs, simulated, number):
    path = getattr(simulated, STAGES[number])
    columns = {}
    for stage in STAGES[: number + 1]:
        columns |= {**IDENTITIES[stage], **getattr(jobs.members, stage).block.COLUMNS}
    assert set(jobs.table(path).columns) == set(columns)
    schema = pq.read_schema(table_path(path))
    for name, column in columns.items():
        assert (schema.field(name).metadata or {}).get(b"unit", b"").decode() == column.unit


@pytest.mark.parametrize("stage", STAGES)
def test_a_shard_says_what_made_it(jobs, simulated, stage):
    description = jobs.describe(stage)
    assert open_shard(getattr(simulated, stage)).attributes == {
        "stage": stage,
        "name": description.name,
        "exitwave_version": version("exitwave"),
        "block": description.plain()["block"],
        "of": {f"{stage}_hash": [description.hash], "item": list(range(6))},
    }


ATOM, DIRECTION = Axis("atom"), Axis("direction", labels=("x", "y", "z"))
WAVE = (Axis("phonon"), *lateral(0.4))
ARRAYS = {
    "structures": {
        "positions": ((ATOM, DIRECTION), "Å", True),
        **dict.fromkeys(("numbers", "object_id", "role", "grain"), ((ATOM,), "", True)),
        "cell": ((DIRECTION,), "Å", False),
    },
    "exit_waves": {"whole": (WAVE, "", False), "particles": (WAVE, "", False)},
    "images": {"counts": (lateral(0.8), "counts/px", False), "phase": (lateral(0.8), "rad", False)},
}


@pytest.mark.parametrize("stage", STAGES)
def test_arrays_have_axes_and_units(jobs, simulated, stage):
    for item in jobs.items(getattr(simulated, stage)):
        assert {name: (array.axes, array.unit, array.ragged) for name, array in item.items()} == ARRAYS[stage]


def test_metadata_name_the_blocks_an_image_was_made_from(jobs, simulated):
    table = jobs.table(simulated.images)
    for stage in STAGES:
        member = getattr(jobs.members, stage)
        assert set(table[stage]) == {member.name}
        assert set(table[f"{stage}_hash"]) == {member.hash}
    assert table["image_id"].is_unique
    assert table["structure_id"].tolist() == np.repeat(jobs.table(simulated.structures)["structure_id"], 3).tolist()


def test_mistake_06_the_label_is_the_same_whatever_the_optics(jobs, simulated):
    """The label comes from the in-focus particle wave: shifted back, the labels of all draws overlap exactly."""
    phase = jobs.arrays(simulated.images)["phase"]
    table = jobs.table(simulated.images)
    # Fields and images are equally large here, so that a crop is a roll; compare draws that share the pixel grid.
    for _, rows in table.groupby("structure_id"):
        rolled = [
            np.roll(phase[place], (row["offset_y"] // 2, row["offset_x"] // 2), axis=(0, 1))
            for place, row in rows.iterrows()
        ]
        parity = [(row["offset_y"] % 2, row["offset_x"] % 2) for _, row in rows.iterrows()]
        for first, second in [(0, 1), (0, 2), (1, 2)]:
            if parity[first] == parity[second]:
                np.testing.assert_array_equal(rolled[first], rolled[second])
            else:
                assert abs(rolled[first].astype(float).mean() - rolled[second].astype(float).mean()) < 1e-3


def test_mistake_11_counts_are_whole_electrons_that_add_up_to_the_dose(jobs, simulated):
    counts = jobs.arrays(simulated.images)["counts"]
    table = jobs.table(simulated.images)
    assert counts.dtype == np.uint32
    np.testing.assert_allclose(table["mean_counts"], counts.mean(axis=(1, 2)))
    expected = table["dose"] * table["pixel_size"] ** 2
    # Thin objects scatter little beyond the band limit, so that nearly all electrons arrive.
    ratio = table["mean_counts"] / expected
    assert ratio.between(0.9, 1 + 5 / np.sqrt(expected * 32**2)).all()


def test_a_structure_read_back_is_the_one_that_was_built(jobs, simulated):
    from exitwave.structures.recipes import build_structure

    description = jobs.describe("structures")
    built = build_structure(
        jobs.members.structures.block, item_rng(description.seed, "structures", description.hash, 4)
    )
    read = read_structure(open_shard(simulated.structures), 4)
    np.testing.assert_allclose(read.positions, built.positions, atol=1e-4)
    np.testing.assert_array_equal(read.numbers, built.numbers)
    np.testing.assert_array_equal(read.object_id, built.object_id)
    np.testing.assert_array_equal(read.cell, built.cell)
    np.testing.assert_array_equal(read.role, built.role)
    np.testing.assert_array_equal(read.grain, built.grain)
    assert read.content_hash() == built.content_hash()
    metadata = pd.Series(read.metadata)[list(built.metadata)]
    pd.testing.assert_series_equal(metadata, pd.Series(built.metadata), check_exact=True)


def test_an_item_that_is_not_there_is_refused_with_those_that_are(in_pairs):
    with pytest.raises(ShardError, match=r"shard-2-4\.zarr\.zip: holds no item 4; it has 2, 3$"):
        read_structure(open_shard(in_pairs[1].structures), 4)


def test_a_structure_that_cannot_be_built_is_named_with_its_block(jobs, tmp_path):
    lost = {"material": "lost.cif", "radius": 6}
    with pytest.raises(StructureError, match=r"^structures\.gold: item 1: ") as caught:
        make_shard(jobs.describe("structures", particles=lost), range(1, 2), {}, tmp_path / "shard.zarr.zip")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def damaged(simulated, tmp_path):
    """Copy of a shard in the middle of which one byte has changed."""

    def copy(stage):
        path = tmp_path / "damaged.zarr.zip"
        shutil.copy(getattr(simulated, stage), path)
        shutil.copy(table_path(getattr(simulated, stage)), table_path(path))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        return path

    return copy


def test_a_damaged_shard_of_exit_waves_stops_the_images_and_is_named(jobs, simulated, damaged, tmp_path):
    sources = {"exit_waves": damaged("exit_waves"), "structures": simulated.structures}
    sentence = r"damaged\.zarr\.zip: array '(whole|particles)', item \d is damaged .*delete the file"
    with pytest.raises(ShardError, match=sentence):
        make_shard(jobs.describe("images"), range(6), sources, tmp_path / "images.zarr.zip")
    assert not (tmp_path / "images.zarr.zip").exists()


def test_a_damaged_shard_of_structures_stops_the_exit_waves_and_is_named(jobs, damaged, tmp_path):
    sources = {"structures": damaged("structures")}
    with pytest.raises(ShardError, match=r"damaged\.zarr\.zip: array '\w+', item \d is damaged .*delete the file"):
        make_shard(jobs.describe("exit_waves"), range(6), sources, tmp_path / "waves.zarr.zip")
    assert not (tmp_path / "waves.zarr.zip").exists()


def test_a_thickness_series_has_the_planes_of_each_structure(jobs, simulated, tmp_path):
    """Here only the thickest reach the first plane; that the others have none is stored as well."""
    path = tmp_path / "waves.zarr.zip"
    slices = jobs.table(simulated.exit_waves)["n_slices"]
    assert slices.nunique() > 1
    step = 2.0 * slices.max()
    description = jobs.describe("exit_waves", thickness_series=step)
    make_shard(description, range(6), {"structures": simulated.structures}, path)
    plain, table = jobs.items(simulated.exit_waves), jobs.table(path)
    planes = []
    for item, still, (_, row) in zip(jobs.items(path), plain, table.iterrows(), strict=True):
        series = item["series"]
        assert (series.axes, series.ragged) == ((Axis("plane", step, "Å"), *WAVE), True)
        assert series.values.shape[1:] == item["whole"].values.shape
        assert len(series.values) == row["n_slices"] * row["slice_thickness"] // step
        planes.append(len(series.values))
        np.testing.assert_allclose(item["whole"].values, still["whole"].values, atol=1e-6)
    assert set(planes) == {0, 1}


@pytest.fixture(scope="module")
def labelled(jobs, simulated, tmp_path_factory):
    """The images once more, with all labels."""
    path = tmp_path_factory.mktemp("labelled") / "images.zarr.zip"
    sources = {"exit_waves": simulated.exit_waves, "structures": simulated.structures}
    make_shard(jobs.describe("images", labels=list(LABELS)), range(6), sources, path)
    return path


def test_labels_stand_beside_the_same_images(jobs, simulated, labelled):
    plain, arrays = jobs.arrays(simulated.images), jobs.arrays(labelled)
    for name in ("counts", "phase"):
        np.testing.assert_array_equal(arrays[name], plain[name])
    kinds = {name: arrays[name].dtype for name in LABELS if name not in LISTS}
    assert kinds == {
        **dict.fromkeys(("instances", "atoms", "boundary", "domains"), np.dtype("uint8")),
        **dict.fromkeys(("thickness", "orientation"), np.dtype("float16")),
    }
    assert {arrays[name].shape for name in kinds} == {plain["counts"].shape}
    item = open_shard(labelled).item(0)
    assert {name: (item[name].axes, item[name].unit) for name in kinds} == {
        **{name: (lateral(0.8), "") for name in kinds},
        "thickness": (lateral(0.8), "Å"),
        "orientation": (lateral(0.8), "°"),
    }
    thickness, particles = item["particle_thickness"], item["particles"]
    assert thickness.ragged
    assert particles.ragged
    assert (thickness.axes, thickness.unit) == ((Axis("particle"), *lateral(0.8)), "Å")
    assert particles.axes == (Axis("particle"), Axis("field", labels=PARTICLE_FIELDS))
    np.testing.assert_allclose(thickness.values.sum(axis=0, dtype=float), item["thickness"].values, atol=0.02)
    assert (thickness.values.max(axis=(1, 2)) <= particles.values[:, 1] + 0.01).all()


def test_labels_of_a_tilted_structure_lie_on_its_image(jobs, tmp_path):
    """On a thick support, where the particle is moved by several pixels."""
    structures, waves, images = (tmp_path / f"{stage}.zarr.zip" for stage in ("structures", "waves", "images"))
    make_shard(jobs.describe("structures", substrate={"material": "a-C", "thickness": 60.0}), range(2), {}, structures)
    make_shard(jobs.describe("exit_waves", specimen_tilt_x=90.0), range(2), {"structures": structures}, waves)
    sources = {"exit_waves": waves, "structures": structures}
    make_shard(jobs.describe("images", labels=["atoms"]), range(2), sources, images)
    arrays = jobs.arrays(images)
    by_phase, by_atoms = arrays["phase"] > 0.03, arrays["atoms"] > 0
    assert 2 * (by_phase & by_atoms).sum() / (by_phase.sum() + by_atoms.sum()) > 0.85


def test_how_much_of_the_particles_is_labelled_is_noted(jobs, labelled):
    arrays, table = jobs.arrays(labelled), jobs.table(labelled)
    for phase, atoms, share in zip(arrays["phase"], arrays["atoms"] > 0, table["labelled_outline"], strict=True):
        expected = (phase >= np.float32(0.1))[atoms].mean() if atoms.any() else np.nan
        assert share == pytest.approx(expected, nan_ok=True)
    assert table["labelled_outline"].between(0.01, 0.99).any()


def test_labels_of_atoms_and_of_phase_lie_on_each_other(jobs, labelled):
    arrays = jobs.arrays(labelled)
    # The particles are a few atoms thick.
    by_phase, by_atoms = arrays["phase"] > 0.03, arrays["atoms"] > 0
    assert 2 * (by_phase & by_atoms).sum() / (by_phase.sum() + by_atoms.sum()) > 0.9
    # A shift by one pixel, as from another convention of the cut, would be seen.
    for shift, axis in ((1, 1), (-1, 1), (1, 2), (-1, 2)):
        moved = np.roll(by_atoms, shift, axis)
        assert (by_phase & moved).sum() < (by_phase & by_atoms).sum()
    np.testing.assert_array_equal(arrays["instances"] > 0, by_atoms)
    np.testing.assert_array_equal(arrays["domains"] > 0, by_atoms)
    np.testing.assert_array_equal(np.isfinite(arrays["orientation"]), by_atoms)
    assert arrays["thickness"][by_atoms].mean() > 2
    assert (arrays["thickness"][~by_atoms & ~(arrays["boundary"] > 0)] == 0).all()


def test_atomic_columns_lie_in_their_image_and_on_its_particles(jobs, simulated, labelled):
    atoms, table = jobs.arrays(labelled)["atoms"], jobs.table(labelled)
    for image, (item, structure_id) in enumerate(zip(jobs.items(labelled), table["structure_id"], strict=True)):
        column, fields = item["atomic_columns"].axes
        assert (column, fields.name) == (Axis("column"), "field")
        columns = dict(zip(fields.labels, item["atomic_columns"].values.T, strict=True))
        x, y = columns["x"].round().astype(int), columns["y"].round().astype(int)
        assert ((x >= 0) & (x < 32) & (y >= 0) & (y < 32)).all()
        assert atoms[image, y, x].mean() > 0.9
        assert set(columns["number"]) == {79}
        # The images are as large as the field, and so show all atoms.
        structure = read_structure(open_shard(simulated.structures), int(table["item"][image]))
        assert columns["atoms"].sum() == (structure.object_id > 0).sum(), structure_id


def test_what_an_image_was_averaged_and_recorded_with_is_noted(jobs, simulated, tmp_path):
    table = jobs.table(simulated.images)
    assert set(table["focal_nodes"]) == {3}
    assert set(table["saturated"]) == {0.0}
    assert set(table["detector"]) == {"ideal"}
    description = jobs.describe(
        "images",
        focal_nodes="auto",
        focal_spread={"choice": [0.0, 60.0]},
        detector={"kind": "counting", "hot_pixels": 0.02, "bit_depth": 12},
    )
    sources = {"exit_waves": simulated.exit_waves, "structures": simulated.structures}
    make_shard(description, range(6), sources, tmp_path / "images.zarr.zip")
    counts, table = jobs.arrays(tmp_path / "images.zarr.zip")["counts"], jobs.table(tmp_path / "images.zarr.zip")
    nodes = table.groupby("focal_spread")["focal_nodes"].unique()
    assert nodes[0.0].tolist() == [1]
    assert min(nodes[60.0]) > 1
    np.testing.assert_allclose(table["saturated"], (counts == 4095).mean(axis=(1, 2)))
    assert 0.005 < table["saturated"].mean() < 0.05


def test_images_on_a_gpu_that_is_not_there_are_refused(jobs, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device is cuda, but PyTorch finds no CUDA device"):
        make_shard(
            jobs.describe("images"),
            range(6),
            {"exit_waves": simulated.exit_waves},
            tmp_path / "images.zarr.zip",
            device="cuda",
        )
