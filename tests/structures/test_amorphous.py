"""Amorphous slabs of atoms at random places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition
from scipy.spatial import cKDTree

from exitwave.config.structures import AmorphousSubstrate
from exitwave.errors import StructureError
from exitwave.structures.amorphous import AMORPHOUS_MATERIALS, amorphous_slab, rough_profile
from exitwave.structures.body import SiteRole
from exitwave.structures.packing import random_packing

AVOGADRO = 6.02214076e23
CARBON = {"C": 1}


def carbon(edge, thickness, density=2.0, distance=1.4, seed=0):
    return random_packing(CARBON, density, {"C-C": distance}, edge, thickness, np.random.default_rng(seed))[0]


def slab(seed=0, edge=30.0, **keys):
    block = AmorphousSubstrate.model_validate({"thickness": 20, **keys})
    return amorphous_slab(block, edge, np.random.default_rng(seed))


def nearest(positions, others, edge, own=False):
    """Distances to the nearest of others, or of their lateral images; to another than itself if they are the same."""
    images = np.concatenate([others + np.array([i * edge, j * edge, 0]) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    return cKDTree(images).query(positions, k=1 + own)[0].reshape(len(positions), -1)[:, -1]


def test_mistake_03_blocks_differ_by_seed():
    first, second = (carbon(30, 20, seed=seed) for seed in (1, 2))
    assert first.shape == second.shape
    assert np.median(cKDTree(first).query(second)[0]) > 0.5


def test_the_same_seed_gives_the_same_bytes():
    first, second = (slab(seed=5, roughness=2, material="a-SiNx") for _ in range(2))
    assert first.positions.tobytes() == second.positions.tobytes()
    assert first.numbers.tobytes() == second.numbers.tobytes()


@settings(max_examples=25)
@given(
    edge=st.floats(4, 30),
    thickness=st.floats(0.1, 25),
    density=st.floats(0.2, 2.2),
    distance=st.floats(0.8, 1.7),
    seed=st.integers(0, 99),
)
def test_mistake_03_minimum_distance_holds_across_the_periodic_seam(edge, thickness, density, distance, seed):
    positions = carbon(edge, thickness, density, distance, seed)
    assert (positions >= 0).all()
    assert (positions[:, :2] < edge).all()
    assert (positions[:, 2] <= thickness).all()
    if len(positions) > 1:
        assert nearest(positions, positions, edge, own=True).min() >= distance * (1 - 1e-12)


def test_atoms_meet_across_the_seam_as_often_as_inside():
    edge, distance = 60.0, 1.4
    positions = carbon(edge, 20, distance=distance)
    across = cKDTree(positions, boxsize=[edge, edge, 0]).count_neighbors(
        cKDTree(positions, boxsize=[edge, edge, 0]), 2.0
    )
    shifted = (positions + np.array([edge / 2, edge / 2, 0])) % [edge, edge, np.inf]
    inside = cKDTree(positions).count_neighbors(cKDTree(positions), 2.0)
    moved = cKDTree(shifted).count_neighbors(cKDTree(shifted), 2.0)
    # Pairs lost when the slab is cut open at its seam, and in its middle, where nothing was special.
    assert across - inside == pytest.approx(across - moved, rel=0.15)


@pytest.mark.parametrize("material", list(AMORPHOUS_MATERIALS))
def test_defaults_are_reached_with_the_composition_of_the_formula(material):
    body = slab(material=material, edge=40.0)
    defaults = AMORPHOUS_MATERIALS[material]
    formula = Composition({"a-C": "C", "a-SiNx": "Si3N4", "a-SiO2": "SiO2"}[material])
    grams = len(body) * formula.weight / formula.num_atoms / AVOGADRO
    assert grams / (40 * 40 * 20 * 1e-24) == pytest.approx(defaults.density, rel=1e-3)
    assert body.details == {
        "material": material,
        "structure": "random",
        "thickness": 20.0,
        "density": defaults.density,
        "roughness": 0.0,
    }
    assert (body.role == SiteRole.AMORPHOUS).all()
    assert body.solid.contains(body.positions).all()
    for element in formula.elements:
        share = (body.numbers == element.Z).mean()
        assert share == pytest.approx(formula.get_atomic_fraction(element), abs=1 / len(body))
    for pair, distance in defaults.minimum_distances.items():
        first, second = (body.positions[body.numbers == Composition(s).elements[0].Z] for s in pair.split("-"))
        found = nearest(first, second, 40.0, own=pair.split("-")[0] == pair.split("-")[1]).min()
        assert distance <= found < 1.1 * distance


def test_elements_come_in_random_order():
    body = slab(material="a-SiO2", edge=40.0)
    silicon = body.positions[body.numbers == 14]
    np.testing.assert_allclose(silicon.mean(axis=0), [20, 20, 10], atol=1.0)
    assert (body.numbers[: len(body) // 2] == 14).mean() == pytest.approx(1 / 3, abs=0.05)


def test_mistake_03_density_is_within_two_percent_also_inside():
    edge, thickness, density = 60.0, 40.0, 2.0
    positions = carbon(edge, thickness, density, seed=4)

    def grams_per_cm3(atoms, height):
        return atoms * 12.011 / AVOGADRO / (edge**2 * height * 1e-24)

    assert grams_per_cm3(len(positions), thickness) == pytest.approx(density, rel=0.001)
    inside = np.abs(positions[:, 2] - thickness / 2) < thickness / 4
    assert grams_per_cm3(inside.sum(), thickness / 2) == pytest.approx(density, rel=0.02)


def test_first_neighbours_are_isotropic():
    positions = carbon(40, 40, seed=5)
    inner = positions[np.all(np.abs(positions - 20) < 17, axis=1)]
    tree = cKDTree(positions)
    bonds = np.concatenate([positions[tree.query_ball_point(p, 2.0)] - p for p in inner])
    bonds = bonds[np.linalg.norm(bonds, axis=1) > 0]
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    np.testing.assert_allclose(np.mean(bonds**2, axis=0), 1 / 3, atol=0.01)


def test_random_packing_saturates_where_hard_spheres_do():
    # 0.384 (G. Zhang and S. Torquato, Phys. Rev. E 88 (2013) 053312); a film this thick sees little of its faces.
    edge, thickness, distance = 12.0, 60.0, 1.4
    with pytest.raises(StructureError, match="stops at about") as error:
        carbon(edge, thickness, 6.0, distance)
    reached = float(str(error.value).split("about ")[1].split(" ")[0])
    spheres = reached / 12.011 * AVOGADRO * 1e-24
    assert spheres * np.pi / 6 * distance**3 == pytest.approx(0.384, rel=0.07)


@pytest.mark.parametrize("rms", [0.5, 3.0])
def test_a_rough_face_has_the_mean_rms_and_correlation_asked_for(rms):
    edge, length = 200.0, 12.0
    profile = rough_profile(edge, rms, length, np.random.default_rng(1))
    places = np.random.default_rng(2).random((40000, 2)) * edge
    heights = profile(places)
    assert heights.mean() == pytest.approx(0, abs=0.03 * rms)
    assert np.sqrt(np.mean(heights**2)) == pytest.approx(rms, rel=0.03)
    for distance in (3.0, 6.0, 12.0):
        correlation = np.mean(heights * profile(places + np.array([distance, 0]))) / np.mean(heights**2)
        assert correlation == pytest.approx(np.exp(-((distance / length) ** 2)), abs=0.12)
    np.testing.assert_allclose(profile(places + np.array([edge, -edge])), heights, atol=1e-9)


def test_a_rough_face_may_be_smoother_than_the_cell_is_wide():
    profile = rough_profile(30.0, 2.0, 1000.0, np.random.default_rng(1))
    assert np.sqrt(np.mean(profile.heights**2)) == pytest.approx(2.0)


def test_both_faces_are_rough_and_the_mean_thickness_is_kept():
    body = slab(edge=80.0, roughness=3.0, roughness_length=20.0, thickness=40)
    smooth = slab(edge=80.0, thickness=40)
    assert len(body) == pytest.approx(len(smooth), rel=0.01)
    columns = np.floor(body.positions[:, :2] / 4).astype(int)
    column = columns[:, 0] * 20 + columns[:, 1]
    tops = np.array([body.positions[column == c, 2].max() for c in range(400)])
    bottoms = np.array([body.positions[column == c, 2].min() for c in range(400)])
    assert tops.std() == pytest.approx(3.0, rel=0.2)
    assert bottoms.std() == pytest.approx(3.0, rel=0.2)
    assert abs(np.corrcoef(tops, bottoms)[0, 1]) < 0.5
    assert np.mean(tops - bottoms) == pytest.approx(40, abs=1.5)
    assert body.details["roughness"] == 3.0


def test_a_distance_may_be_changed_in_either_order_of_the_elements():
    body = slab(material="a-SiO2", minimum_distances={"O-Si": 1.3})
    silicon, oxygen = (body.positions[body.numbers == z] for z in (14, 8))
    assert 1.3 <= nearest(silicon, oxygen, 30.0).min() < 1.5


def test_drawn_values_are_recorded():
    body = slab(thickness={"uniform": [10, 30]}, roughness={"uniform": [0.5, 1]}, density=1.5)
    assert 10 <= body.details["thickness"] <= 30
    assert 0.5 <= body.details["roughness"] <= 1
    assert body.details["density"] == 1.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: carbon(15, 10, 6.0), r"density is 6 g/cm³.*C-C 1\.4 Å stops at about [45]\.\d+ g/cm³"),
        (lambda: carbon(2, 10), "field_of_view is 2 Å.*needs 2.8 Å or more"),
        (lambda: slab(minimum_distances={"C-Si": 1.0}), "'C-Si', not a pair of elements of a-C; allowed: C-C"),
        (lambda: slab(thickness=0.001), r"thickness is 0\.001 Å and a slab of a-C.* no atom"),
        (
            lambda: rough_profile(30.0, 1.0, 0.5, np.random.default_rng(0)),
            r"roughness_length is 0\.5 Å.*allowed: 2 Å or more",
        ),
        (
            lambda: random_packing({"Si": 1, "O": 2}, 2.2, {"Si-O": 1.5}, 30, 20, np.random.default_rng(0)),
            "has Si-O; allowed: a distance of every pair, also of Si-Si",
        ),
        (lambda: random_packing({"Xx": 1}, 2.2, {}, 30, 20, np.random.default_rng(0)), "elements has Xx: 1"),
    ],
    ids=["too dense", "too narrow", "unknown pair", "too thin", "too fine", "missing pair", "unknown element"],
)
def test_what_cannot_be_built_is_an_error(make, message):
    with pytest.raises(StructureError, match=message):
        make()
