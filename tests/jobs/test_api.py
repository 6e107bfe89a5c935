import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Octahedron

import exitwave
from exitwave.errors import ExitwaveError

GOLD = {
    "kind": "nanoparticles_on_substrate",
    "field_of_view": 25.6,
    "particles": {"material": "Au", "radius": 6},
    "substrate": {"thickness": 5},
}


def test_a_cluster_becomes_an_image_with_its_mask():
    atoms = Octahedron("Au", 4, 1)
    made = exitwave.simulate(atoms, dose=2000, defocus=50, frozen_phonons=0, seed=1)
    assert made.image.shape == made.mask.shape == made.labels["phase"].shape
    assert made.pixel_size == 0.4
    # Vacuum of 8 Å on every side, and an even number of pixels.
    assert made.image.shape[0] * 0.4 == pytest.approx(np.ptp(atoms.positions[:, :2], axis=0).max() + 16, abs=0.8)
    assert made.image.mean() == pytest.approx(2000 * 0.4**2, rel=0.02)
    # The mask is about as large as the cluster, and the image scatters there.
    area = made.mask.sum() * 0.4**2
    assert 0.7 < area / np.prod(np.ptp(atoms.positions[:, :2], axis=0)) < 1.3
    assert made.image[made.mask].std() > 1.2 * made.image[~made.mask].std()
    assert len(made.atoms) == len(atoms)
    assert made.conditions["defocus"] == 50


def test_it_is_the_same_again_and_another_with_another_seed():
    atoms = Octahedron("Au", 3, 1)
    one, same, other = (exitwave.simulate(atoms, dose=500, seed=seed).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_block_of_structures_with_labels_and_another_mask():
    masks = [
        exitwave.simulate(GOLD, dose=500, pixel_size=0.8, target={"by": "thickness", "fraction": fraction}).mask.sum()
        for fraction in (0.5, 0.9)
    ]
    assert 0 < masks[1] < masks[0]
    made = exitwave.simulate(GOLD, dose=500, pixel_size=0.8, labels=["instances"])
    assert made.image.shape == (32, 32)
    assert set(made.labels) >= {"phase", "instances"}
    assert set(made.atoms.get_array("object_id")) == {0, 1}


def test_a_periodic_cell_is_taken_as_it_is():
    atoms = bulk("Au", "fcc", a=4.0, cubic=True) * (4, 4, 2)
    made = exitwave.simulate(atoms, dose=500, pixel_size=0.4, frozen_phonons=0)
    assert made.image.shape == (40, 40)
    assert made.mask.mean() > 0.5


def test_elements_of_the_substrate_are_no_particle():
    atoms = Octahedron("Au", 3, 1)
    assert not exitwave.simulate(atoms, dose=500, substrate_elements=["Au"], frozen_phonons=0).mask.any()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"dose": 1, "defocuss": 3}, "found the key 'defocuss'; allowed: aberrations, "),
        ({"dose": 1, "pixel_size": -1}, "images.image.pixel_size: found -1"),
        ({}, "images.image.dose: is missing"),
        ({"dose": 1, "labels": ["x"]}, "labels"),
        ({"dose": 1, "target": {"by": "x"}}, "target.by: found 'x'"),
    ],
)
def test_what_cannot_be_is_one_sentence(keys, told):
    with pytest.raises(ExitwaveError, match=told) as caught:
        exitwave.simulate(Octahedron("Au", 3, 1), **keys)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("simulate: ")


def test_no_atoms_are_refused():
    with pytest.raises(ExitwaveError, match="found no atoms"):
        exitwave.simulate(Octahedron("Au", 3, 1)[:0], dose=1)
