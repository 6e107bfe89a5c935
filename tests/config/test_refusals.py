"""What is wrong in a config is said in one sentence: file, key, value, what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

PARTICLES = "structures.gold.particles"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        # unknown keys, at every depth
        ("structures.gold.cuont", 3, ["structures.gold.cuont: unknown key (value 3)", "'count'", "field_of_view"]),
        (f"{PARTICLES}.raduis", 3, [f"{PARTICLES}.raduis: unknown key", "meant as 'radius'", "minimum_gap"]),
        (f"{PARTICLES}.radius", {"uniform": [8, 9], "clip": [8, 9]}, [".radius.clip: unknown key", "allowed: uniform"]),
        ("images.noisy.aberrations.C10", 3, ["images.noisy.aberrations.C10: unknown key", "C12, phi12"]),
        ("pictures", {}, ["pictures: unknown key", "allowed: seed, base, structures"]),
        # wrong types
        ("structures.gold.count", 2.5, ["structures.gold.count: found 2.5", "integer"]),
        ("structures.gold.count", 0, ["structures.gold.count: found 0", "greater than or equal to 1"]),
        ("structures.gold.count", "many", ["found 'many'", "integer"]),
        (f"{PARTICLES}.number", 1.5, [f"{PARTICLES}.number: found 1.5"]),
        (f"{PARTICLES}.number", {"normal": [2, 1]}, ["found {'normal': [2, 1]}", "allowed: a whole number, {uniform"]),
        (f"{PARTICLES}.radius", True, ["found True", "allowed: a number, {uniform: [low, high]}"]),
        (f"{PARTICLES}.radius", {"unifrom": [1, 2]}, ["found {'unifrom': [1, 2]}", "{normal: [mean, sd]"]),
        (f"{PARTICLES}.radius", {"uniform": [9, 8]}, ["found {'uniform': [9, 8]}", "lower bound is above"]),
        (f"{PARTICLES}.radius", {"uniform": [9]}, [f"{PARTICLES}.radius.uniform[1]: is missing"]),
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
        ("datasets.gold.images", {"noisy": -1}, ["datasets.gold.images.noisy: found -1", "greater than 0"]),
        ("trainings.gold.device", "tpu", ["trainings.gold.device: found 'tpu'", "'auto', 'cpu' or 'cuda'"]),
        ("seed", -1, ["seed: found -1", "0 or more"]),
        ("seed", "lucky", ["seed: found 'lucky'"]),
        ("structures.gold.count", True, ["structures.gold.count: found True", "whole number"]),
        (f"{PARTICLES}.radius", float("nan"), [f"{PARTICLES}.radius: found nan", "finite"]),
        ("structures.gold.kind", ["a"], ["structures.gold: found kind"]),
        ("datasets.gold.images", {}, ["datasets.gold: images names no block"]),
        ("benchmarks.held_out.trainings", [], ["benchmarks.held_out.trainings: found []", "at least 1"]),
        ("benchmarks.held_out.datasets", [{"a": 1}], ["benchmarks.held_out.datasets[0]: found {'a': 1}"]),
        ("datasets.gold.where", "1/0 > 2", ["datasets.gold.where", "cannot be evaluated (division by zero)"]),
        ("datasets.gold.where", "dose > 'a'", ["datasets.gold.where", "cannot be evaluated"]),
        ("datasets.gold.test", 0, ["benchmarks.held_out.datasets", "[0.0]", "one share for all, above 0"]),
        # missing keys and blocks
        (f"{PARTICLES}.radius", ..., [f"{PARTICLES}.radius: is missing"]),
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
        ("exit_waves.thermal.energy", 300, ["exit_waves.thermal.energy: found 300", "20000"]),
        ("exit_waves.thermal.sampling", 0.3, ["exit_waves.thermal.sampling", "0.3 Å", "whole number"]),
        ("exit_waves.thermal.rms_displacements", {"Xx": 0.1}, ["rms_displacements: found 'Xx'", "symbols of elements"]),
        ("exit_waves.thermal.rms_displacements", {"Au": -1}, ["rms_displacements.Au: found -1", "greater than 0"]),
        ("images.noisy.dose", -5, ["images.noisy.dose: found -5", "above 0"]),
        ("images.noisy.dose", {"uniform": [-5, 5]}, ["found {'uniform': [-5, 5]}; reaches down to -5", "above 0"]),
        ("images.noisy.plasmon_weight", 2, ["reaches up to 2; allowed: 1 or less"]),
        ("images.noisy.objective_aperture", 100, ["reaches up to 100 mrad", "band limit"]),
        ("images.noisy.pixel_size", 0.7, ["pixel_size: found 0.7 Å", "whole multiple", "0.4 Å"]),
        ("images.noisy.size", 65, ["size: found 65 px", "field of view, 51.2 Å"]),
        ("datasets.gold.size", 99, ["datasets.gold.size: found 99", "16 images"]),
        ("datasets.gold.validation", 0.95, ["no structures for training", "sum below 1"]),
        ("models.unet.preprocessing", {"median": 4}, ["median is 4", "odd"]),
    ],
)
def test_refuses_in_one_sentence(refusal: Any, key: str, value: Any, words: list[str]) -> None:
    sentence = refusal((key, value))
    for word in words:
        assert word in sentence


def test_a_circle_of_three_blocks_is_named(refusal: Any, raw: Any) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        raw["structures"][name] = {"like": other}
    assert "circular reference a -> b -> c -> a" in refusal()


def test_a_missing_micrograph_folder_is_found_before_the_first_job(refusal: Any) -> None:
    sentence = refusal(("benchmarks.real", {"kind": "micrographs", "path": "nowhere/at/all"}))
    assert sentence.startswith("benchmarks.real.")
    assert "nowhere/at/all" in sentence


def test_thickness_beyond_the_cell_is_refused(refusal: Any) -> None:
    sentence = refusal(("structures.gold.cell_height", 60), ("structures.gold.substrate.thickness", 200))
    assert "cell_height is 60 Å" in sentence
    assert "substrate (200 Å)" in sentence
