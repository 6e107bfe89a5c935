import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.images import LABELS
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description, describe
from exitwave.study.plan import (
    SECONDS_OF_A_JOB,
    SIMULATION,
    memory_of_shard,
    memory_of_table,
    memory_of_training,
    plan,
    runtime_of_dataset,
    runtime_of_shard,
    runtime_of_table,
    runtime_of_training,
    sources_of,
)
from exitwave.waves.plane_wave import bytes_per_pixel

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
                    # Constants, since the plan takes the middle of what can be drawn.
                    "particles": {"radius": 11},
                    "substrate": {"thickness": 25},
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
    members = [member for stage in SIMULATION for member in study.stage(stage)]
    paths = {member.name: folder / f"{member.name}.zarr.zip" for member in members}
    for member in members:
        sources = {stage: paths[source.name] for stage, source in sources_of(member).items()}
        make_shard(Description.parse(describe(member)), range(ITEMS), sources, paths[member.name])
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


def test_a_job_reads_what_its_block_names_and_the_atoms_that_labels_are_made_of(changed):
    study = changed()
    read = {stage: list(sources_of(study.stage(stage)[0])) for stage in SIMULATION}
    # The first is the one whose table goes on.
    assert read == {"structures": [], "exit_waves": ["structures"], "images": ["exit_waves", "structures"]}
    assert sources_of(study.stage("images")[0])["structures"] is study.stage("structures")[0]


@pytest.mark.parametrize("stage", SIMULATION)
def test_memory_of_a_job_does_not_grow_with_its_items_and_its_time_does(changed, stage):
    few, many = (
        changed(("structures.gold.count", count), ("structures.gold.shard_size", count)).stage(stage)[0]
        for count in (8, 240)
    )
    assert memory_of_shard(few) == memory_of_shard(many) > 0
    times = [runtime_of_shard(many, items) for items in (8, 80, 80_000)]
    assert times == sorted(times)
    assert times[0] >= 10
    assert times[2] > 2 * times[1]


def test_time_of_a_job_counts_every_image_of_a_structure(changed):
    one, ten = (changed(("images.noisy.per_structure", number)).stage("images")[0] for number in (1, 10))
    assert runtime_of_shard(one, 80_000) == pytest.approx(runtime_of_shard(ten, 8_000), abs=1)


@pytest.mark.parametrize("streaming", [False, True])
def test_memory_of_a_training_grows_with_its_images_up_to_what_is_held(changed, streaming):
    small, larger, large, largest = (
        memory_of_training(
            changed(
                ("structures.gold.count", count),
                ("images.noisy.per_structure", 20),
                ("trainings.gold.streaming", streaming),
            ).stage("trainings")[0]
        )
        for count in (8, 80, 8_000, 16_000)
    )
    assert small < larger < large == largest
    # In MB: what is held, and in streaming two more epochs of it.
    assert large - small == pytest.approx((3 if streaming else 1) * 2 * 2**30 / 1e6, rel=0.01)


def test_a_training_on_several_devices_is_given_memory_for_each(changed):
    one = changed().stage("trainings")[0]
    both = changed(("trainings.gold", {"datasets": "gold", "model": "unet", "devices": 2, "threads": 2}))
    assert memory_of_training(both.stage("trainings")[0]) == 2 * memory_of_training(one)
    # Together they take the time of a core that one takes.
    assert runtime_of_training(both.stage("trainings")[0]) == runtime_of_training(one)


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


def hours(study, stage):
    return sum(row.core_hours for row in plan(study) if row.stage == stage)


def test_time_of_trainings_grows_with_images_epochs_and_networks(changed):
    base = changed()
    assert hours(base, "trainings") > 0
    start = SECONDS_OF_A_JOB / 3600
    one = hours(base, "trainings") / 2 - start
    assert hours(changed(("trainings.gold.seeds", 6)), "trainings") == pytest.approx(6 * (one + start))
    longer = hours(changed(("trainings.gold.seeds", 1), ("models.unet.epochs", 100)), "trainings") - start
    assert longer == pytest.approx(4 * one, rel=0.02)
    more = hours(changed(("models.unet.epochs", 25), ("structures.gold.count", 80)), "trainings") - start
    assert more == pytest.approx(10 * one, rel=0.15)


def test_a_training_is_given_several_times_what_a_core_takes_and_at_most_half_a_day(changed):
    def given(*changes):
        return runtime_of_training(changed(*changes).stage("trainings")[0])

    many = ("models.unet.epochs", 5000)
    assert 10 + 4 * 60 * hours(changed(many), "trainings") / 2 < given(many) < 720
    assert 10 < given(("models.unet.epochs", 1)) < given(many)
    assert given(("models.unet.epochs", 1_000_000)) == 720
    # Of such a network it is not known without building it.
    assert given(("models.unet.encoder", "vgg11")) == 720


def test_a_training_on_a_gpu_is_given_the_time_of_a_core(changed):
    given = {
        device: runtime_of_training(changed(("trainings.gold.device", device)).stage("trainings")[0])
        for device in ("cpu", "auto", "cuda")
    }
    assert len(set(given.values())) == 1


def test_memory_and_time_of_joined_tables_grow_with_the_images():
    # A manifest of a million images was written with 1.0 GB.
    assert 2000 < memory_of_table(1000) < memory_of_table(1_000_000) < 5000
    # Two milliseconds an image.
    assert 34 < runtime_of_table(1_000_000) < 1000


def test_a_dataset_that_is_matched_takes_the_time_to_look_at_all_that_may_be_drawn(changed, tmp_path):
    (tmp_path / "micrograph.png").write_bytes(b"looked at by the job alone")
    many = ("structures.gold.count", 100_000)
    drawn, matched = (
        changed(many, ("datasets.gold.size", 100), ("datasets.gold.match", match)) for match in (None, str(tmp_path))
    )
    assert runtime_of_dataset(drawn.stage("datasets")[0]) < 12
    assert runtime_of_dataset(matched.stage("datasets")[0]) > 100


def test_smaller_networks_take_less_time_and_disk(changed):
    large, small = changed(("structures.gold.count", 800)), changed(("models.unet.encoder_depth", 3))
    assert hours(small, "trainings") < 0.8 * hours(large, "trainings")
    disk = [next(row.gigabytes for row in plan(study) if row.stage == "trainings") for study in (large, small)]
    assert disk[1] < 0.1 * disk[0]


def test_streaming_costs_the_images_that_are_drawn_anew(changed):
    stored = changed()
    assert hours(changed(("trainings.gold.streaming", True)), "trainings") > hours(stored, "trainings")


def test_no_time_of_a_core_is_told_for_what_a_gpu_does(changed):
    (row,) = [row for row in plan(changed(("trainings.gold.device", "cuda"))) if row.stage == "trainings"]
    assert row.seconds_per_item is None


def test_time_of_benchmarks_follows_tiles_and_symmetry(changed, tmp_path):
    from PIL import Image

    Image.new("L", (1000, 500)).save(tmp_path / "a.png")
    (tmp_path / "index.csv").write_text("image,mask,pixel_size\na.png,a.png,0.8\nmissing.png,a.png,0.8\n")
    block = {"kind": "micrographs", "path": str(tmp_path), "overlap": 0.0}

    def seconds(**keys):
        study = changed(("benchmarks", {"real": {**block, **keys}}))
        (row,) = [row for row in plan(study) if row.stage == "benchmarks"]
        return row.seconds_per_item

    # Two networks, the baselines and the summary, each a job.
    once, finer = (seconds(pixel_size=pixel) - 2 * SECONDS_OF_A_JOB for pixel in (0.8, 0.4))
    assert once == pytest.approx(4 * finer, rel=0.01)
    # Preparing and baselines are done once.
    turned, overlapping = (
        seconds(**keys) - 2 * SECONDS_OF_A_JOB for keys in ({"symmetry_average": True}, {"overlap": 0.5})
    )
    assert turned - once == pytest.approx(7 / 3 * (overlapping - once))
    assert 4 * once < turned < 8 * once
