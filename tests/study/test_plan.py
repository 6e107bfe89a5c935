import json

import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.images import LABELS
from exitwave.jobs.simulate import make_exit_waves, make_images, make_structures
from exitwave.study.plan import bytes_per_pixel, describe, plan

ITEMS = 4
WRITTEN = {
    "lossless": {},
    "rounded": {"storage_error": 1e-3},
    "phonons": {"storage_error": 1e-4, "frozen_phonons": 2},
    "series": {"thickness_series": 10.0},
    "rounded_series": {"thickness_series": 10.0, "storage_error": 1e-3},
}
"""Exit waves of the small study, differing in these keys."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Shards of structures and images, and of every way to store exit waves, really written, with their plan."""
    from exitwave.study.link import study_from

    study = study_from(
        {
            "seed": 7,
            "structures": {
                "gold": {
                    "kind": "nanoparticles_on_substrate",
                    "count": ITEMS,
                    "field_of_view": 51.2,
                    "particles": {"radius": {"uniform": [8, 14]}},
                    "substrate": {"thickness": {"uniform": [10, 40]}},
                }
            },
            "exit_waves": {
                name: {"structures": "gold", "kind": "plane_wave", "sampling": 0.4, **keys}
                for name, keys in WRITTEN.items()
            },
            "images": {
                "images": {
                    "exit_waves": "lossless",
                    "kind": "hrtem",
                    "pixel_size": 0.4,
                    "size": 128,
                    "dose": {"loguniform": [100, 1200]},
                },
                "labelled": {"like": "images", "labels": list(LABELS)},
            },
        },
        "study.yaml",
    )
    folder = tmp_path_factory.mktemp("written")
    jobs = {m.name: json.loads(describe(m)) for stage in study.members for m in study.stage(stage)}
    paths = {name: folder / f"{name}.zarr.zip" for name in jobs}
    make_structures(jobs["gold"], 0, ITEMS, paths["gold"])
    for name in WRITTEN:
        make_exit_waves(jobs[name], paths["gold"], paths[name])
    for name in ("images", "labelled"):
        make_images(jobs[name], paths["lossless"], paths[name], paths["gold"])
    planned = {row.name: row.bytes_per_item for row in plan(study)}
    # Tables are left out: one of a few items is nearly all schema.
    return {name: (planned[name], path.stat().st_size / ITEMS) for name, path in paths.items()}


@pytest.mark.parametrize("name", WRITTEN)
def test_planned_bytes_of_an_exit_wave_are_those_of_a_written_shard(shards, name):
    planned, written = shards[name]
    assert planned == pytest.approx(written, rel=0.15)


@pytest.mark.parametrize("name", ["gold", "images", "labelled"])
def test_planned_bytes_of_structures_and_images_are_near_those_of_a_written_shard(shards, name):
    planned, written = shards[name]
    assert planned == pytest.approx(written, rel=0.3)


def test_each_halving_of_the_storage_error_costs_a_bit_for_the_real_and_the_imaginary_part():
    coarse, fine = (sum(bytes_per_pixel(error)) for error in (1e-3, 1e-3 / 16))
    assert fine - coarse == pytest.approx(2 * 4 * 2 / 8)


def test_rounding_never_makes_a_wave_larger_in_the_plan():
    sizes = [bytes_per_pixel(error) for error in (0.5, 1e-1, 1e-2, 1e-4, 1e-6, 1e-9, 1e-30, 0.0)]
    assert sizes == sorted(sizes)
    assert sizes[0][0] > 0
    assert sizes[0][1] > 0


def test_disk_is_items_times_bytes(changed):
    few, many = (plan(changed(("structures.gold.count", count))) for count in (8, 16))
    for one, twice in zip(few, many, strict=True):
        assert one.bytes_per_item == twice.bytes_per_item
        assert twice.gigabytes == pytest.approx(one.gigabytes * twice.items / one.items)
    assert few[0].gigabytes == pytest.approx(8e-9 * few[0].bytes_per_item)


def test_planes_of_a_thickness_series_are_counted(changed):
    def planned(**keys):
        changes = [(f"exit_waves.thermal.{key}", value) for key, value in keys.items()]
        study = changed(("structures.gold.cell_height", 61.0), *changes)
        return {row.name: row.bytes_per_item for row in plan(study)}["thermal"]

    none, every_ten, every_twenty = planned(), planned(thickness_series=10), planned(thickness_series=20.5)
    assert (every_ten - none) / (every_twenty - none) == pytest.approx(6 / 3)


def test_config_show_has_the_size_of_an_item_and_the_total_disk():
    shown = CliRunner().invoke(app, ["config", "show", "config/config.yaml"])
    assert shown.exit_code == 0, shown.output
    assert "item [MB]" in shown.output
    assert "disk [GB]" in shown.output
