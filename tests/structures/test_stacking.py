"""Planar defects: layer sequences, bonds, planes and roles, in any solid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole
from exitwave.structures.crystal import fill
from exitwave.structures.materials import load_material, stacked_material_names
from exitwave.structures.stacking import cut_with_defects, fill_stack
from exitwave.structures.volumes import box, half_space, miller_half_space, sphere

ONE_OF_EACH = ["Au", "Co", "Si", "GaAs", "CdSe"]


def letters(crystal, positions, heights, count=9):
    """Sequence of A, B, C of the lowest layers by the places of their atoms over the net; B is one shift from A."""
    stacking = crystal.stacking
    levels = np.round((heights - heights.min()) / stacking.spacing, 6)
    found = ""
    for level in range(count):
        atom = positions[np.argmin(np.abs(levels - level))]
        if level == 0:
            reference = atom
        assert abs((atom - reference) @ stacking.normal - level * stacking.spacing) < 1e-6
        for letter, shift in zip("ABC", (0, 1, 2), strict=True):
            offset = (atom - reference - shift * stacking.shift) @ np.linalg.pinv(stacking.in_plane)
            if np.abs(offset - np.round(offset)).max() < 1e-6:
                found += letter
    return found


def sequence(material, faults, first):
    """Letters of nine layers from the given one on, by the atoms of the first element."""
    crystal = load_material(material)
    stacking = crystal.stacking
    low = (stacking.origin + (first - 0.5) * stacking.spacing * stacking.normal) @ stacking.normal
    slab = half_space(-stacking.normal, -low) & half_space(stacking.normal, low + 9 * stacking.spacing)
    middle = (low + 4.5 * stacking.spacing) * stacking.normal
    positions, numbers, layers = fill_stack(stacking, faults, sphere(20.0, middle) & slab)
    chosen = (numbers == stacking.numbers[0]) & (layers >= first)
    if len(stacking.heights) == 2:  # of diamond too, the lower plane of each layer
        above = (positions - stacking.origin) @ stacking.normal - layers * stacking.spacing
        chosen &= np.abs(above) < 0.1
    return letters(crystal, positions[chosen], positions[chosen] @ stacking.normal)


@pytest.mark.parametrize("first", [-4, 0, 3])
@pytest.mark.parametrize("material", ["Au", "Si", "GaAs"])
def test_layer_sequences_of_cubic_crystals(material, first):
    assert sequence(material, {}, first) == "ABCABCABC"
    assert sequence(material, {first + 4: "twin"}, first) == "ABCABACBA"
    assert sequence(material, {first + 4: "stacking_fault"}, first) == "ABCABABCA"
    # Twins with one layer between them are the extrinsic fault, which has a layer put in.
    assert sequence(material, {first + 3: "twin", first + 5: "twin"}, first) == "ABCACBCAB"


@pytest.mark.parametrize("first", [-4, 0, 2])
@pytest.mark.parametrize("material", ["Co", "CdSe"])
def test_layer_sequences_of_hexagonal_crystals(material, first):
    assert sequence(material, {}, first) == "ABABABABA"
    assert sequence(material, {first + 4: "twin"}, first) == "ABABACACA"  # I1: one cubic layer
    assert sequence(material, {first + 4: "stacking_fault"}, first) == "ABABACBCB"  # I2: two


@pytest.mark.parametrize("material", stacked_material_names())
def test_stack_without_faults_is_the_crystal(material):
    crystal = load_material(material)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        origin = (rng.random(3) * 9 - 4) @ crystal.cell
        solid = sphere(9.0, rng.uniform(-30, 30, 3)) & miller_half_space(crystal.cell, (1, 2, 0), 20.0)
        by_cell, cell_numbers = fill(crystal, solid, origin)
        by_layer, layer_numbers, _ = fill_stack(crystal.stacking, {}, solid, origin)
        assert len(by_cell) == len(by_layer)
        if len(by_cell):
            distances, match = cKDTree(by_cell).query(by_layer)
            assert distances.max() < 1e-8
            assert np.array_equal(cell_numbers[match], layer_numbers)


def close_packed_environment(positions, cutoff):
    """Common neighbour analysis (Honeycutt and Andersen 1987): 'fcc', 'hcp' or '' for each atom."""
    tree = cKDTree(positions)
    neighbours = [set(found) - {i} for i, found in enumerate(tree.query_ball_point(positions, cutoff))]
    kinds = []
    for mine in neighbours:
        bonds_between = []
        for other in mine:
            common = mine & neighbours[other]
            bonds_between.append(tuple(sorted(len(common & neighbours[c]) for c in common)))
        # 421: two separate bonds; 422: two bonds that share an atom.
        n421, n422 = bonds_between.count((1, 1, 1, 1)), bonds_between.count((0, 1, 1, 2))
        kinds.append({(12, 0): "fcc", (6, 6): "hcp"}.get((n421, n422), "") if len(mine) == 12 else "")
    return np.array(kinds)


@pytest.mark.parametrize(("material", "cutoff"), [("Au", 3.4), ("Si", 4.5), ("GaAs", 4.7), ("Co", 3.0), ("CdSe", 5.1)])
@pytest.mark.parametrize(("kind", "changed"), [("twin", 1), ("stacking_fault", 2)])
def test_mistake_05_defect_changes_the_layers_that_its_record_says(material, cutoff, kind, changed):
    crystal = load_material(material)
    perfect, other = ("hcp", "fcc") if material in ("Co", "CdSe") else ("fcc", "hcp")
    body = cut_with_defects(crystal, sphere(17.0, (4.0, -50.0, 9.0)), [kind], np.random.default_rng(3))
    (defect,) = body.defects
    heights = (body.positions - defect.point) @ defect.normal
    stacking = crystal.stacking
    # One plane of each layer of a compound or diamond is fcc or hcp by itself.
    half = np.ptp(stacking.heights) / 2
    # They are half a pair above the plane, give or take whole layers (a twin) or half ones (a fault).
    plane = np.abs(np.mod((heights - half) / stacking.spacing + 0.25, 0.5) - 0.25) < 0.01
    positions, role, heights = body.positions[plane], body.role[plane], heights[plane] - half
    kinds = close_packed_environment(positions, cutoff)
    assert (kinds == perfect).sum() > 20
    hit = np.unique(np.round(heights[kinds == other] / stacking.spacing, 3))
    # The plane of a twin runs through its layer, that of a fault midway between its two layers.
    np.testing.assert_allclose(hit, [0.0] if changed == 1 else [-0.5, 0.5], atol=2e-3)
    marked = np.unique(np.round(heights[role == SiteRole.PLANAR_DEFECT] / stacking.spacing, 3))
    np.testing.assert_allclose(marked, hit, atol=2e-3)
    # Every atom with all its neighbours inside the solid is one or the other: nothing is stacked AA.
    whole = np.linalg.norm(positions - [4.0, -50.0, 9.0], axis=1) < 17.0 - cutoff
    assert np.all(kinds[whole] != "")


@pytest.mark.parametrize("material", ["Au", "Si"])
def test_twin_of_an_element_is_a_mirror(material):
    twin = cut_with_defects(load_material(material), sphere(15.0), ["twin"], np.random.default_rng(11))
    (defect,) = twin.defects
    mirrored = twin.positions - 2 * ((twin.positions - defect.point) @ defect.normal)[:, None] * defect.normal
    inside = np.linalg.norm(mirrored, axis=1) < 15.0 - 1e-6
    assert inside.sum() > 100
    assert cKDTree(twin.positions).query(mirrored[inside])[0].max() < 1e-9


@pytest.mark.parametrize("material", ["GaAs", "CdSe-zb"])
def test_twin_of_zinc_blende_is_a_half_turn_about_the_normal(material):
    crystal = load_material(material)
    twin = cut_with_defects(crystal, sphere(15.0), ["twin"], np.random.default_rng(11))
    (defect,) = twin.defects
    height = (twin.positions - defect.point) @ defect.normal
    axis = twin.positions[np.argmin(np.abs(height))]
    offset = twin.positions - axis
    turned = 2 * (offset @ defect.normal)[:, None] * defect.normal - offset + axis
    above, below = height > crystal.stacking.spacing / 2, height < -crystal.stacking.spacing / 2

    def on_the_lattice_below(positions, number):
        """Which are at sites of the lower crystal's element: integers of even sum, in units of a/2."""
        site = twin.positions[below & (twin.numbers == number)][0]
        steps = (positions - site) @ np.linalg.inv(crystal.cell) * 2
        return (np.abs(steps - np.round(steps)).max(axis=1) < 1e-8) & (np.round(steps).sum(axis=1) % 2 == 0)

    for number in np.unique(twin.numbers):
        mine = above & (twin.numbers == number)
        assert mine.sum() > 50
        assert np.all(on_the_lattice_below(turned[mine], number))
        assert np.mean(on_the_lattice_below(twin.positions[mine], number)) < 0.5


def test_stacking_fault_is_a_shockley_partial():
    crystal = load_material("Au")
    fault = cut_with_defects(crystal, sphere(16.0), ["stacking_fault"], np.random.default_rng(2))
    (defect,) = fault.defects
    above = (fault.positions - defect.point) @ defect.normal > 0
    lattice = (fault.positions - fault.positions[~above][0]) @ np.linalg.inv(crystal.cell) * 2
    np.testing.assert_allclose(lattice[~above], np.round(lattice[~above]), atol=1e-9)
    # Undoing a/6 [1 1 -2] brings the upper crystal onto the lower lattice: integers of even sum, in units of a/2.
    restored = lattice[above] - np.array([1, 1, -2]) / 3
    np.testing.assert_allclose(restored, np.round(restored), atol=1e-9)
    assert np.all(np.round(restored).sum(axis=1) % 2 == 0)


@pytest.mark.parametrize("material", ONE_OF_EACH)
@pytest.mark.parametrize("radius", [5.0, 7.5, 12.0, 20.0])
def test_several_defects_are_parallel_and_apart_and_keep_bonds(material, radius):
    crystal = load_material(material)
    nearest = crystal.nearest_neighbour_distance()
    spacing = crystal.stacking.spacing
    rng = np.random.default_rng(int(radius))
    for _ in range(3):
        body = cut_with_defects(crystal, sphere(radius), ["twin", "stacking_fault", "twin"], rng)
        distances = cKDTree(body.positions).query(body.positions, k=2)[0][:, 1]
        assert distances.min() > 0.999 * nearest
        made = len(body.defects)
        assert made == 3 if radius / spacing > 5 else made >= min(1, radius / spacing // 2)
        heights = body.positions @ crystal.stacking.normal
        planes = np.array([d.point @ crystal.stacking.normal for d in body.defects])
        assert np.all(np.diff(planes) > 1.49 * spacing)
        for defect, plane in zip(body.defects, planes, strict=True):
            np.testing.assert_allclose(defect.normal, crystal.stacking.normal)
            np.testing.assert_allclose(np.cross(defect.normal, defect.point), 0, atol=1e-9)
            assert np.mean(heights > plane + 0.1) > 0.02
            assert np.mean(heights < plane - 0.1) > 0.02
        assert np.any(body.role) == (made > 0)


@pytest.mark.parametrize("material", ["Si", "GaAs", "CdSe", "ZnO"])
@pytest.mark.parametrize("kind", ["twin", "stacking_fault"])
def test_tetrahedral_crystals_keep_four_bonds_across_a_defect(material, kind):
    crystal = load_material(material)
    body = cut_with_defects(crystal, sphere(14.0), [kind], np.random.default_rng(2))
    inner = np.linalg.norm(body.positions, axis=1) < 10.0
    assert np.any(body.role[inner] == SiteRole.PLANAR_DEFECT)
    distances, match = cKDTree(body.positions).query(body.positions[inner], k=6)
    nearest = crystal.nearest_neighbour_distance()
    np.testing.assert_allclose(distances[:, 1:5], nearest, rtol=0.01)
    assert np.all(distances[:, 5] > 1.3 * nearest)
    if material != "Si":
        assert np.all(body.numbers[match[:, 1:5]] != body.numbers[inner][:, None])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(ONE_OF_EACH),
    st.tuples(*[st.floats(4, 25)] * 3),
    st.lists(st.sampled_from(["twin", "stacking_fault"]), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_any_box_holds_its_faulted_atoms_and_no_pair_too_close(material, edges, kinds, seed):
    crystal = load_material(material)
    solid = box(edges, (10.0, 0.0, -5.0))
    body = cut_with_defects(crystal, solid, kinds, np.random.default_rng(seed))
    assert np.all(solid.contains(body.positions))
    assert len(body.defects) <= len(kinds)
    assert crystal.nearest_neighbour_distance() > 1
    if len(body) > 1:
        distances = cKDTree(body.positions).query(body.positions, k=2)[0][:, 1]
        assert distances.min() > 0.999 * crystal.nearest_neighbour_distance()
    again = cut_with_defects(crystal, solid, kinds, np.random.default_rng(seed))
    np.testing.assert_array_equal(again.positions, body.positions)


def test_defects_move_with_the_body():
    body = cut_with_defects(load_material("Au"), sphere(12.0), ["twin"], np.random.default_rng(0))
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = body.moved(turn, np.array([5.0, 6.0, 7.0]))
    for before, after in ((body, body.defects[0]), (moved, moved.defects[0])):
        marked = before.positions[before.role == SiteRole.PLANAR_DEFECT]
        np.testing.assert_allclose((marked - after.point) @ after.normal, 0, atol=1e-9)


def test_defect_layers_are_anywhere_in_the_solid():
    crystal = load_material("Au")
    rng = np.random.default_rng(4)
    depths = [
        cut_with_defects(crystal, sphere(20.0), ["twin"], rng).defects[0].point @ crystal.stacking.normal
        for _ in range(150)
    ]
    # Uniform between the caps of 3 % of the volume, at 0.79 of the radius.
    assert 14 < np.max(np.abs(depths)) < 0.8 * 20.0
    assert abs(np.mean(depths)) < 3
    assert np.std(depths) == pytest.approx(2 * 15.0 / np.sqrt(12), rel=0.15)


def test_solid_too_small_for_defects_is_made_without():
    body = cut_with_defects(load_material("Au"), sphere(3.2), ["twin"] * 3, np.random.default_rng(0))
    assert body.defects == ()
    assert len(body) > 1
    assert not body.role.any()


def test_errors_name_what_is_wrong():
    rng = np.random.default_rng(0)
    with pytest.raises(StructureError, match=r"number is 2 for 'Fe', but the planes of defects.*allowed: 0"):
        cut_with_defects(load_material("Fe"), sphere(9.0), ["twin", "twin"], rng)
    with pytest.raises(StructureError, match=r"kind 'kink'; allowed: twin, stacking_fault"):
        cut_with_defects(load_material("Au"), sphere(9.0), ["twin", "kink"], rng)
    with pytest.raises(StructureError, match="holds no atom"):
        cut_with_defects(load_material("Au"), sphere(0.2), ["twin"], rng)
    with pytest.raises(StructureError, match="without bounds"):
        cut_with_defects(load_material("Au"), half_space((0, 0, 1)), ["twin"], rng)
