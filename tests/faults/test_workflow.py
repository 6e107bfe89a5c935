"""A full disk and a damaged shard, as the user of the workflow meets them, and how they are mended."""

import resource
import subprocess
import zipfile

SIMULATED = ("structures/*/*", "exit_waves/*/*", "images/*/*")


def test_a_disk_full_at_the_exit_waves_is_named_and_with_room_the_run_goes_on(finished, empty):
    sizes = [path.stat().st_size for path in finished.results.glob("exit_waves/*/*.zarr.zip")]
    limit = min(sizes) - 1000
    others = [path for stage in ("structures", "images") for path in finished.results.glob(f"{stage}/*/*.zarr.zip")]
    assert limit > max(path.stat().st_size for path in others), "the exit waves must be the largest files"
    done = subprocess.run(
        empty.command("--cores", "2", "simulate"),
        cwd=empty.folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    shown = done.stdout + done.stderr
    for path in finished.results.glob("exit_waves/*/*.zarr.zip"):
        shard = path.relative_to(finished.folder)
        assert f"error: {shard}: cannot be written (File too large): " in shown
    assert "Traceback" not in shown
    assert not [path for path in empty.results.glob("exit_waves/*/*") if path.is_file()]
    structures = empty.files("structures/*/*")

    done = empty.snakemake("--cores", "2", "simulate")
    assert done.returncode == 0, done.stdout + done.stderr
    for pattern in SIMULATED:
        assert empty.files(pattern) == finished.files(pattern)
    assert structures == empty.files("structures/*/*")


def test_a_damaged_structure_is_named_and_the_shard_made_again_when_forced(finished, workflow):
    structures = workflow.one("structures/*/shard-000004-000008.zarr.zip")
    with zipfile.ZipFile(structures) as archive:
        positions = archive.getinfo("positions/1/c/0/0")
    content = bytearray(structures.read_bytes())
    content[positions.header_offset + positions.file_size // 2] ^= 0xFF
    structures.write_bytes(content)
    waves = workflow.one("exit_waves/*/shard-000004-000008.zarr.zip").relative_to(workflow.folder)
    done = workflow.snakemake("--cores", "1", str(waves))
    assert done.returncode != 0
    shown = done.stdout + done.stderr
    name = structures.relative_to(workflow.folder)
    assert f"{name}: array '" in shown
    assert " is damaged (" in shown
    assert "Traceback" not in shown
    assert not (workflow.folder / waves).exists()

    done = workflow.snakemake("--cores", "1", str(waves), "--forcerun", str(name))
    assert done.returncode == 0, done.stdout + done.stderr
    for pattern in SIMULATED[:2]:
        assert workflow.files(pattern) == finished.files(pattern)


def test_a_training_that_diverges_stops_nothing_else(workflow):
    workflow.write(
        models__wild={"like": "small", "learning_rate": 1e36},
        trainings__wild={"like": "sharp", "model": "wild"},
        benchmarks__held_out__trainings=["sharp", "wild"],
    )
    done = workflow.snakemake("--cores", "2")
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert "trainings.wild: seed 0 has diverged and is left out: the " in shown
    scores = next(path for path in workflow.results.glob("report/tiny/benchmarks/held_out-*/scores.html"))
    text = scores.read_text(encoding="utf-8")
    assert "2 diverged" in text
    assert "Otsu after blur" in text
    assert len(list(workflow.results.glob("report/tiny/trainings/wild-*/learning_curves.png"))) == 1
    assert workflow.planned() == {}
