"""What is wrong in a config is said in one sentence: file, key, value, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PARTICLES = "structures.gold.particles"
FCC = str(Path(__file__).resolve().parents[2] / "resources" / "crystals" / "fcc")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        # unknown keys, at every depth
        ("structures.gold.cuont", 3, ["structures.gold.cuont: unknown key (value 3)", "'count'", "field_of_view"]),
        (f"{PARTICLES}.raduis", 3, [f"{PARTICLES}.raduis: unknown key", "meant as 'radius'", "minimum_gap"]),
        (f"{PARTICLES}.radius", {"uniform": [8, 9], "clip": [8, 9]}, [".radius.clip: unknown key", "allowed: uniform"]),
        ("images.noisy.aberrations.C10", 3, ["images.noisy.aberrations.C10: found 3", "key defocus"]),
        ("pictures", {}, ["pictures: unknown key", "allowed: seed, base, structures"]),
        # wrong types
        ("structures.gold.count", 2.5, ["structures.gold.count: found 2.5; allowed: a whole number"]),
        ("structures.gold.count", 0, ["structures.gold.count: found 0; allowed: 1 or more"]),
        ("structures.gold.count", "many", ["found 'many'; allowed: a whole number"]),
        (f"{PARTICLES}.number", 1.5, [f"{PARTICLES}.number: found 1.5"]),
        (f"{PARTICLES}.number", {"normal": [2, 1]}, ["found {'normal': [2, 1]}", "allowed: a whole number, {uniform"]),
        (f"{PARTICLES}.radius", True, ["found True", "allowed: a number, {uniform: [low, high]}"]),
        (f"{PARTICLES}.radius", {"unifrom": [1, 2]}, ["found {'unifrom': [1, 2]}", "{normal: [mean, sd]"]),
        (f"{PARTICLES}.radius", {"uniform": [9, 8]}, ["found {'uniform': [9, 8]}", "lower bound is above"]),
        (f"{PARTICLES}.radius", {"uniform": [9]}, [f"{PARTICLES}.radius.uniform[1]: is missing; allowed: a value [Å]"]),
        (f"{PARTICLES}.planar_defects.kinds", ["twinn"], ["kinds[0]: found 'twinn'", "'twin' or 'stacking_fault'"]),
        ("structures.gold.substrate", "a-C", ["found 'a-C'", "a block of kind amorphous (the default)"]),
        (
            "structures.gold.substrate.kind",
            "quartz",
            ["structures.gold.substrate: found", "'quartz'", "crystal or layers"],
        ),
        ("structures.gold.substrate", {"kind": "crystal"}, ["substrate.material: is missing"]),
        ("structures.gold.substrate", {"kind": "layers", "material": "MoS2", "layer": 1}, ["'layers'", "unknown key"]),
        (f"{PARTICLES}.shape", "ball", [f"{PARTICLES}.shape: found 'ball'", "allowed: sphere, cube"]),
        (f"{PARTICLES}.shape", {"choice": ["sphere", "ball"]}, [f"{PARTICLES}.shape: found", "'ball' is not a shape"]),
        (
            f"{PARTICLES}.shape",
            {"kind": "ball"},
            [f"{PARTICLES}.shape: found {{'kind': 'ball'}}", "wulff, winterbottom"],
        ),
        (f"{PARTICLES}.shape", {"kind": "rod"}, [f"{PARTICLES}.shape.aspect: is missing"]),
        (f"{PARTICLES}.shape", {"kind": "rod", "aspect": 0.5}, ["shape.aspect: found 0.5", "allowed: 1 or more"]),
        (
            f"{PARTICLES}.shape",
            {"kind": "wulff", "energies": {1: 1}},
            ["shape.energies", "'1' is not a plane", "quotes"],
        ),
        (f"{PARTICLES}.shape", {"kind": "wulff", "energies": {}}, ["shape.energies: found {}"]),
        (f"{PARTICLES}.orientation", "up", [f"{PARTICLES}.orientation: found 'up'", "random"]),
        (f"{PARTICLES}.orientation", {"zone_axis": [0, 1]}, ["zone_axis[2]: is missing; allowed: a value"]),
        (f"{PARTICLES}.orientation", {"tilt": 3}, [f"{PARTICLES}.orientation: zone_axis and facet"]),
        (
            f"{PARTICLES}.orientation",
            {"zone_axis": [0, 0, 0]},
            ["orientation.zone_axis: found", "at least one that is not"],
        ),
        (f"{PARTICLES}.shell", {"material": "Ag", "thickness": 8}, ["shell.thickness reaches up to 8 Å", "8 Å"]),
        (f"{PARTICLES}.minimum_gap", 0, ["minimum_gap: found 0", "1.5"]),
        ("structures.gold.substrate.roughness_length", 1, ["roughness_length: found 1", "2"]),
        ("structures.gold.substrate.minimum_distances", {"Au-C": 1}, ["minimum_distances names 'Au-C'", "C-C"]),
        (f"{PARTICLES}.grains", 3, ["grains reaches above 1 and planar_defects.number above 0"]),
        (f"{PARTICLES}.shape", "icosahedron", ["planar_defects.number reaches up to 2", "icosahedron"]),
        (f"{PARTICLES}.dopants", [{"element": "Ag", "fraction": 2}], ["dopants[0].fraction: found 2", "1 or less"]),
        ("structures.gold", None, ["structures.gold: found None", "a mapping"]),
        ("structures", [1], ["structures: found [1]", "a mapping"]),
        ("exit_waves.thermal.structures", ["gold"], ["exit_waves.thermal.structures: found ['gold']"]),
        ("datasets.gold.images", 5, ["datasets.gold.images: found 5"]),
        ("datasets.gold.images", {"noisy": -1}, ["datasets.gold.images.noisy: found -1; allowed: above 0"]),
        ("trainings.gold.device", "tpu", ["trainings.gold.device: found 'tpu'", "'auto', 'cpu' or 'cuda'"]),
        ("seed", -1, ["seed: found -1", "0 or more"]),
        ("seed", "lucky", ["seed: found 'lucky'"]),
        ("structures.gold.count", True, ["structures.gold.count: found True", "whole number"]),
        (f"{PARTICLES}.radius", float("nan"), [f"{PARTICLES}.radius: found nan", "finite"]),
        ("structures.gold.kind", ["a"], ["structures.gold: found kind"]),
        ("datasets.gold.images", {}, ["datasets.gold: images names no block"]),
        ("benchmarks.held_out.trainings", [], ["benchmarks.held_out.trainings: found []", "at least 1"]),
        ("benchmarks.held_out.datasets", [{"a": 1}], ["benchmarks.held_out.datasets[0]: found {'a': 1}"]),
        ("datasets.gold.where", "1/0 > 2", ["datasets.gold.where", "cannot be evaluated", "division by zero"]),
        ("datasets.gold.where", "dose > 'a'", ["datasets.gold.where", "compares text with a number"]),
        ("datasets.gold.test", 0, ["benchmarks.held_out.datasets", "[0.0]", "one share for all, above 0"]),
        # missing keys and blocks
        (f"{PARTICLES}.radius", ..., [f"{PARTICLES}.radius: is missing; allowed: a value [Å]"]),
        ("structures.gold.kind", ..., ["structures.gold: found no kind", "nanoparticles_on_substrate"]),
        ("structures.gold.kind", "rods", ["found kind 'rods'", "nanoparticles_on_substrate"]),
        ("exit_waves.thermal.structures", "silver", ["'silver' is no block of structures; allowed: gold"]),
        ("datasets.gold.images", {"noise": 1}, ["'noise' is no block of images; allowed: noisy"]),
        ("trainings.gold.model", "vit", ["'vit' is no block of models; allowed: unet"]),
        ("benchmarks.held_out.datasets", ["silver"], ["'silver' is no block of datasets; allowed: gold"]),
        ("structures.gold.like", "silver", ["structures.gold.like: found 'silver'", "allowed: gold"]),
        ("structures.gold.like", "gold", ["structures.gold: circular reference gold -> gold"]),
        # impossible physics
        (f"{PARTICLES}.radius", -3, [f"{PARTICLES}.radius: found -3", "above 0"]),
        (f"{PARTICLES}.radius", {"normal": [10, 2]}, ["reaches down to -inf; allowed: above 0"]),
        (f"{PARTICLES}.radius", 40, ["reaches up to 40 Å", "field_of_view 51.2 Å", "allowed:"]),
        ("structures.gold.particles.minimum_gap", 30, ["minimum_gap must fit into", "allowed: 10.6 Å or less"]),
        ("structures.gold.cell_height", 40, ["cell_height is 40 Å", "substrate (20 Å)", "or more"]),
        (f"{PARTICLES}.material", "Unobtainium", ["material", "'Unobtainium'", "Au", "CIF"]),
        (f"{PARTICLES}.material", {"choice": ["Au", "Unobtainium"]}, ["'Unobtainium'"]),
        ("exit_waves.thermal.energy", 300, ["energy: found 300; allowed: 20000 or more [eV]; 300 keV is 300000"]),
        ("exit_waves.thermal.energy", "high", ["energy: found 'high'; allowed: a number [eV]"]),
        ("exit_waves.thermal.sampling", 0.3, ["exit_waves.thermal.sampling", "0.3 Å", "whole number"]),
        ("exit_waves.thermal.rms_displacements", {"Xx": 0.1}, ["rms_displacements: found 'Xx'", "symbols of elements"]),
        ("exit_waves.thermal.rms_displacements", {"Au": -1}, ["rms_displacements.Au: found -1; allowed: above 0 [Å]"]),
        ("images.noisy.dose", -5, ["images.noisy.dose: found -5", "above 0 [e⁻/Å²]"]),
        ("images.noisy.dose", {"uniform": [-5, 5]}, ["found {'uniform': [-5, 5]}; reaches down to -5", "above 0"]),
        ("images.noisy.plasmon_weight", 2, ["reaches up to 2; allowed: 1 or less"]),
        ("images.noisy.objective_aperture", 100, ["reaches up to 100 mrad", "band limit"]),
        ("images.noisy.pixel_size", 0.7, ["pixel_size: found 0.7 Å", "whole multiple", "0.4 Å"]),
        ("images.noisy.size", 65, ["size: found 65 px", "field of view, 51.2 Å"]),
        ("images.noisy.objective_aperture", float("inf"), ["objective_aperture: found inf", "finite"]),
        ("images.noisy.aberrations", {"C31": 3}, ["aberrations.C31: found 3; unknown key; allowed: C12"]),
        ("images.noisy.aberrations", {"Q3": 3}, ["aberrations.Q3"]),
        ("images.noisy.focal_nodes", 0, ["images.noisy.focal_nodes: found 0; allowed: 1 or more"]),
        (
            "images.noisy.illumination_tilt_x",
            80,
            ["illumination_tilt_x: found 80", "reaches up to 80; allowed: 50 or less"],
        ),
        ("images.noisy.microscope", "team_1", ["images.noisy", "team_1", "team_0_5", "uncorrected_300kv"]),
        ("images.noisy.microscope", "corrected_80kv", ["microscope: found 'corrected_80kv'", "80 kV", "300 kV"]),
        ("images.noisy.labels", ["maske"], ["labels[0]: found 'maske'", "'instances'"]),
        ("images.noisy.background", {"gradient": 3}, ["images.noisy.background.gradient: reaches up to 3", "below 2"]),
        # cameras
        ("images.noisy.detector", {"kind": "film"}, ["images.noisy.detector: found", "'film'", "'ideal'"]),
        ("images.noisy.detector", {"kind": "ideal", "gain": 3}, ["detector.gain: unknown key", "blur"]),
        ("images.noisy.dose", 1e12, ["images.noisy.dose: reaches up to 1e+12", "32 bits"]),
        (
            "images.noisy.detector",
            {"kind": "scintillator", "gain": 2000},
            ["images.noisy.dose: reaches up to 100", "65535", "16 bits"],
        ),
        (
            "images.noisy.detector",
            {"kind": "scintillator", "readout_noise": 10},
            ["images.noisy.detector.offset: found 0", "60 or more"],
        ),
        (
            "images.noisy.detector",
            {"kind": "counting", "electrons_per_frame": 9},
            ["images.noisy.detector.electrons_per_frame: reaches up to 9", "coincidence"],
        ),
        (
            "images.noisy.detector",
            {"kind": "counting", "mtf": {"file": "nowhere.csv"}},
            ["images.noisy.detector.mtf.file: found 'nowhere.csv'", "cannot be read", "frequency and mtf"],
        ),
        # targets
        (
            "datasets.gold.label_threshold",
            0.2,
            ["datasets.gold.label_threshold: the key has moved (value 0.2)", "allowed: target.minimum"],
        ),
        (
            "models.unet.target",
            {"by": "thickness"},
            ["trainings.gold.model: ", "'particle_thickness'", "'noisy'", "phase"],
        ),
        ("models.unet.target", {"by": "boundary", "minimum": 1}, ["trainings.gold.model: ", "'boundary'", "'noisy'"]),
        ("models.unet.target", {"by": "height"}, ["models.unet.target.by: found 'height'", "'thickness'"]),
        ("models.unet.target", {"map": "thickness"}, ["target.map: the key has moved", "allowed: by"]),
        ("models.unet.target", {"by": "outline", "minimum": 1}, ["minimum is 1 with by: outline", "leave it out"]),
        ("models.unet.target", {"minimum": 0}, ["minimum is 0 with by: phase", "above 0"]),
        ("models.unet.target", {"by": "boundary"}, ["minimum is missing with by: boundary", "a value of that map"]),
        ("models.unet.target", {"by": "outline", "fraction": 0.5}, ["fraction is 0.5", "by: phase or thickness"]),
        ("models.unet.target", 0.2, ["models.unet.target: found 0.2", "allowed: a block with the keys by, fraction"]),
        ("models.unet.preprocessing", {"outliers": -1}, ["preprocessing.outliers: found -1; allowed: 0 or more"]),
        # networks
        ("models.unet.encoder", "resnet19", ["trainings.gold.model: encoder is 'resnet19'", "allowed: ", "resnet18"]),
        (
            "models.unet",
            {"kind": "segmentation", "encoder": "mit_b0", "architecture": "linknet"},
            ["trainings.gold.model: encoder mit_b0 cannot be used with architecture linknet", "allowed: unet"],
        ),
        (
            "models.unet",
            {"kind": "classification", "target": {"column": "material"}, "encoder": "vit_tiny"},
            ["trainings.gold.model: encoder is 'vit_tiny'", "convit_tiny"],
        ),
        ("images.noisy.size", 48, ["trainings.gold.model: images have 48 x 48 pixels", "a multiple of 32"]),
        # datasets
        ("datasets.gold.size", 99, ["datasets.gold.size: 99 images of 'noisy'", "16 images of 8 structures"]),
        ("datasets.gold.where", "dosage > 3", ["datasets.gold.where", "'dosage'", "dose"]),
        ("datasets.gold.where", "__import__('os')", ["datasets.gold.where"]),
        ("datasets.gold.where", "dose.__class__ == 3", ["datasets.gold.where"]),
        ("datasets.gold.where", "(lambda: 1)() > 0", ["datasets.gold.where"]),
        ("datasets.gold.where", "[dose for dose in (1, 2)] == 3", ["datasets.gold.where"]),
        ("datasets.gold.where", "(" * 400 + "dose" + ")" * 400 + " > 3", ["datasets.gold.where"]),
        ("images.noisy", {"matrix": [1, 2]}, ["images.noisy.matrix: found in the place of a block; allowed: "]),
        ("datasets.gold.limit", {"roughness": 3}, ["limit: found unknown column 'roughness'", "substrate_roughness"]),
        ("datasets.gold.limit", {"structure": 40}, ["limit.structure: found 40"]),
        ("datasets.gold.limit", {"structure": 0}, ["limit.structure: found 0"]),
        ("structures.gold.count", 2, ["datasets.gold", "structure of the 2 there are", "more structures"]),
        ("datasets.gold.validation", 0.95, ["no structures for training", "sum below 1"]),
        ("models.unet.preprocessing", {"median": 4}, ["median is 4", "odd"]),
    ],
)
def test_refuses_in_one_sentence(refusal: Any, key: str, value: Any, words: list[str]) -> None:
    sentence = refusal((key, value))
    for word in words:
        assert word in sentence
    assert any(mark in sentence for mark in ("allowed:", "circular reference")), sentence


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", ["lacks frequency and mtf"]),
        ("frequency,modulation\n0,1\n0.5,0.3\n", ["names the columns 'frequency, modulation' and lacks mtf"]),
        ("frequency,mtf\n0,1\n0.5,low\n", ["has '0.5, low' in row 3", "two numbers"]),
        ("frequency,mtf\n0,1\n0.4,0.5\n0.2,0.7\n0.5,0.4\n", ["frequency 0.2 after 0.4", "ascending"]),
        ("frequency,mtf\n0,1\n0.25,0.6\n", ["ends at frequency 0.25", "0.5"]),
        ("frequency,mtf\n0,1\n0.5,60\n", ["mtf 60 at frequency 0.5", "between 0 and"]),
        ("frequency,mtf\n0,0.6\n0.5,0.2\n", ["mtf 0.6 at frequency 0", "1 within"]),
    ],
)
@pytest.mark.parametrize("key", ["mtf", "noise_transfer"])
def test_a_malformed_table_of_a_camera_is_found_before_the_first_job(
    refusal: Any, tmp_path: Path, key: str, table: str, words: list[str]
) -> None:
    file = tmp_path / "camera.csv"
    file.write_text(table, encoding="utf-8")
    sentence = refusal(("images.noisy.detector", {"kind": "scintillator", key: {"file": str(file)}}))
    assert sentence.startswith(f"images.noisy.detector.{key}.file: '{file}'")
    for word in words:
        assert word in sentence


def test_an_aperture_that_a_tilted_beam_moves_beyond_the_band_is_refused(refusal: Any, changed: Any) -> None:
    aperture = ("images.noisy.objective_aperture", {"uniform": [10, 22]})
    changed(aperture)
    sentence = refusal(
        aperture, ("images.noisy.illumination_tilt_x", {"uniform": [-4, 3]}), ("images.noisy.illumination_tilt_y", 3)
    )
    assert "objective_aperture: reaches up to 22 mrad and the beam is tilted by up to 5 mrad" in sentence


def test_a_microscope_works_at_the_voltage_of_the_exit_waves(changed: Any, refusal: Any) -> None:
    preset = ("images.noisy.microscope", "corrected_80kv")
    assert changed(("exit_waves.thermal.energy", 80e3), preset).stage("images")[0].block.microscope == preset[1]


@pytest.mark.parametrize("label", ["atomic_columns", "orientation"])
def test_labels_of_crystals_need_particles(refusal: Any, label: str) -> None:
    sentence = refusal(("structures.gold.particles.number", 0), ("images.noisy.labels", ["atoms", label]))
    assert f"images.noisy.labels: found '{label}', but structures 'gold' has no particles" in sentence


def crystals() -> list[tuple[str, Any]]:
    """Changes that add crystals and images of them to the study."""
    structures = {"kind": "files", "path": FCC, "count": 40, "field_of_view": 40, "thickness": 20}
    images = {"kind": "stem_convolution", "structures": "crystals", "pixel_size": 0.3, "size": 64, "dose": 1e4}
    return [
        ("structures.crystals", structures),
        ("images.stem", images),
        ("datasets.crystals", {"images": "stem", "validation": 0.3, "test": 0.3}),
    ]


def test_columns_of_other_kinds_are_no_columns_of_a_dataset(changed: Any, refusal: Any) -> None:
    changed(*crystals(), ("datasets.crystals.where", "thickness > 3"))
    for name, column in (("crystals", "focal_spread"), ("gold", "crystal_system")):
        sentence = refusal(*crystals(), (f"datasets.{name}.where", f"{column} == {column}"))
        assert sentence.startswith(f"datasets.{name}.where: found unknown column '{column}'")
        sentence = refusal(*crystals(), (f"datasets.{name}.where", None), (f"datasets.{name}.limit", {column: 3}))
        assert sentence.startswith(f"datasets.{name}.limit: found unknown column '{column}'")


def test_a_benchmark_without_networks_needs_what_baselines_are_scored_against(refusal: Any) -> None:
    benchmarks = {"held_out": {"kind": "simulated", "datasets": ["crystals"]}}
    nothing = [("trainings", {}), ("models", {}), ("benchmarks", benchmarks)]
    sentence = refusal(*crystals(), *nothing)
    assert sentence.startswith("benchmarks.held_out.datasets: found a model that learns from 'phase', which is not ")


def test_what_streaming_draws_anew_cannot_choose_its_images(changed: Any, refusal: Any) -> None:
    streaming = ("trainings.gold.streaming", True)
    changed(streaming, ("datasets.gold.where", "substrate_thickness > 0"))
    sentence = refusal(streaming, ("datasets.gold.where", "dose > 20"))
    assert sentence.startswith("trainings.gold.streaming: found true with a dataset whose where names dose")


def test_a_circle_of_three_blocks_is_named(refusal: Any, raw: Any) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        raw["structures"][name] = {"like": other}
    assert "circular reference a -> b -> c -> a" in refusal()


@pytest.mark.parametrize("pixel_size", [0.1, 12.5])
def test_micrographs_of_pixels_far_from_the_networks_are_found_before_the_first_job(
    changed: Any, refusal: Any, tmp_path: Any, pixel_size: float
) -> None:
    (tmp_path / "index.csv").write_text(f"image,mask,pixel_size\na.png,b.png,{pixel_size}\n")
    block = {"kind": "micrographs", "path": str(tmp_path)}
    sentence = refusal(("benchmarks.real", block))
    assert f"a.png of index.csv has pixels of {pixel_size:g} Å, and 'gold' is trained on pixels of 0.8 Å" in sentence
    changed(("benchmarks.real", {**block, "any_pixel_size": True}))


def test_a_missing_micrograph_folder_is_found_before_the_first_job(refusal: Any) -> None:
    sentence = refusal(("benchmarks.real", {"kind": "micrographs", "path": "nowhere/at/all"}))
    assert sentence.startswith("benchmarks.real.")
    assert "nowhere/at/all" in sentence


def test_thickness_beyond_the_cell_is_refused(refusal: Any) -> None:
    sentence = refusal(("structures.gold.cell_height", 60), ("structures.gold.substrate.thickness", 200))
    assert "cell_height is 60 Å" in sentence
    assert "substrate (200 Å)" in sentence


@pytest.mark.parametrize("label", ["atomic_columns", "orientation"])
def test_labels_along_the_beam_are_refused_for_a_tilted_one(refusal: Any, label: str) -> None:
    sentence = refusal(("exit_waves.thermal.specimen_tilt_x", {"uniform": [0, 20]}), ("images.noisy.labels", [label]))
    assert f"images.noisy.labels: found '{label}', which is made for a beam along z" in sentence


def fine(start: object, **values: Any) -> tuple[str, Any]:
    return "trainings.fine", {"datasets": "gold", "model": "unet", "seeds": 2, "start_from": str(start), **values}


def test_networks_to_start_from_have_to_be_there(changed: Any, refusal: Any, networks: Any, tmp_path: Any) -> None:
    changed(fine(networks), fine("gold"))
    assert refusal(fine("nowhere")).startswith("trainings.fine.start_from: 'nowhere' is no folder, and no block of ")
    assert "fine" not in refusal(fine("fine")).partition("or one of")[2]
    (tmp_path / "empty").mkdir()
    assert "which holds no network" in refusal(fine(tmp_path / "empty"))
    sentence = refusal(fine(networks, seeds=3))
    assert sentence.startswith("trainings.fine.seeds: found 3, each of which starts from a network of")
    assert sentence.endswith("allowed: up to 2, as many as that has")
    changed(fine(networks / "seed-0", seeds=3))


def test_devices_need_a_core_and_a_part_of_a_batch_each(changed: Any, refusal: Any) -> None:
    training = {"datasets": "gold", "model": "unet", "devices": 4}
    sentence = refusal(("trainings.gold", training))
    assert sentence.startswith("trainings.gold: devices is 4 with threads: 1; allowed: threads of 4 or more")
    changed(("trainings.gold", training | {"threads": 4}))
    sentence = refusal(("models.unet.batch_size", 3))
    assert sentence.startswith("trainings.gold.devices: found 4, and a model with a batch_size of 3; allowed: up to 3")


def test_networks_without_an_epoch_need_a_start(changed: Any, refusal: Any, networks: Any) -> None:
    sentence = refusal(("models.unet.epochs", 0))
    assert sentence.startswith("trainings.gold.model: found epochs 0, which leaves random weights")
    changed(("trainings.gold.start_from", str(networks)))


@pytest.mark.parametrize("own", [True, False])
def test_networks_of_another_architecture_are_no_start(refusal: Any, networks: Any, own: bool) -> None:
    other = ("models.other", {"kind": "segmentation", "encoder": "resnet34"})
    sentence = refusal(other, fine("gold" if own else networks, model="other"))
    assert sentence == (
        "trainings.fine.start_from: found networks of architecture unet, encoder resnet18, encoder_depth 5, and the "
        "model has architecture unet, encoder resnet34, encoder_depth 5; allowed: networks of the same parts"
    )


def test_nothing_is_trained_on_micrographs_that_it_is_scored_on(changed: Any, refusal: Any, micrographs: Any) -> None:
    fields = {"kind": "micrographs", "path": str(micrographs), "pixel_size": 0.8, "size": 64}
    changes = [
        ("images.mine", fields),
        ("datasets.mine", {"images": "mine", "validation": 0.3, "test": 0}),
        fine("gold", datasets="mine"),
        ("trainings.finer", {**fine("fine")[1]}),
        ("benchmarks.real", {"kind": "micrographs", "path": str(micrographs), "trainings": ["finer"]}),
    ]
    sentence = refusal(*changes)
    assert sentence.startswith("benchmarks.real.path: image0.png of index.csv is a micrograph that a network has been ")
    changed(("benchmarks.real.split", "test"))
    sentence = refusal(("benchmarks.real.split", "other"))
    assert sentence.endswith("has no micrograph whose split is other; allowed: train or test")
    sentence = refusal(("benchmarks.real.split", "test"), ("trainings.fine.streaming", True))
    assert sentence.startswith("trainings.fine.streaming: found true with the images 'mine', which are no simulation")


def test_an_index_that_cannot_be_trained_on_is_found_before_the_first_job(refusal: Any, micrographs: Any) -> None:
    block = ("images.mine", {"kind": "micrographs", "path": str(micrographs), "pixel_size": 0.8, "size": 64})
    (micrographs / "mask0.png").unlink()
    assert "mask0.png, which does not exist" in refusal(block)
    index = micrographs / "index.csv"
    text = index.read_text()
    index.write_text(text.replace("mask0.png", ""))
    assert "index.csv has a row without image or mask" in refusal(block)
    index.write_text(text.replace(",train", ",test"))
    assert "lists no micrograph to train on" in refusal(block)
    index.unlink()
    assert "has no index.csv" in refusal(block)


def test_held_out_structures_have_been_kept_from_the_networks_that_a_training_starts_from(
    changed: Any, refusal: Any, micrographs: Any
) -> None:
    fields = {"kind": "micrographs", "path": str(micrographs), "pixel_size": 0.8, "size": 64}
    changed(
        ("images.mine", fields),
        ("datasets.mine", {"images": "mine", "validation": 0.3, "test": 0}),
        fine("gold", datasets="mine"),
    )
    greedy = {"datasets": "greedy", "model": "unet", "seeds": 2}
    sentence = refusal(
        ("datasets.greedy", {"images": "noisy", "validation": 0.2, "test": 0}),
        ("trainings", {"greedy": greedy, "fine": fine("greedy", datasets="mine")[1]}),
    )
    assert "keep shares [0.0, 0.2] of their structures for the test" in sentence
