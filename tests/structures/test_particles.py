"""One particle from its block: shape, orientation, defects and what is recorded of them."""

from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from ase.data import covalent_radii
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from exitwave.config.particles import FORMS, Particles
from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole
from exitwave.structures.materials import layered_material_names, load_material
from exitwave.structures.particles import check_shape, make_particle

ENERGIES = {"111": 1.0, "100": 1.15}
SHAPES: list[Any] = [
    *(form for form in FORMS if form not in ("decahedron", "icosahedron")),
    {"kind": "ellipsoid", "axes": [1, 1.5, 2.5]},
    {"kind": "wulff", "energies": ENERGIES},
    {"kind": "winterbottom", "energies": ENERGIES, "interface_energy": -0.3},
    {"kind": "decahedron", "energies": {**ENERGIES, "110": 1.3}},
    {"kind": "rod", "aspect": 3, "ends": "round"},
    {"kind": "rod", "aspect": 2, "axis": [1, 1, 0], "ends": "flat"},
    *({"kind": "platelet", "aspect": 3, "outline": o} for o in ("circle", "hexagon", "triangle", "square")),
]
GOLD = load_material("Au")


def block(**keys):
    return Particles.model_validate({"radius": 9.0, **keys})


def make(seed=0, **keys):
    return make_particle(block(**keys), np.random.default_rng(seed))


def matrix(body):
    """From the frame of the crystal to that of the scene."""
    return Rotation.from_quat(body.quaternion).as_matrix()


def off_lattice(body, crystal):
    """Largest distance [Å] of an atom, turned back by the recorded quaternion, to a site of its element."""
    fractional = body.positions @ matrix(body) @ np.linalg.inv(crystal.cell)
    shift = fractional[0] - crystal.fractional[np.flatnonzero(crystal.numbers == body.numbers[0])]
    worst = []
    for candidate in shift:  # the first atom may be on any site of its element
        from_sites = (fractional - candidate)[:, None] - crystal.fractional
        from_sites = (from_sites - np.round(from_sites)) @ crystal.cell
        distance = np.linalg.norm(from_sites, axis=2)
        distance[body.numbers[:, None] != crystal.numbers] = np.inf
        worst.append(distance.min(axis=1).max())
    return min(worst)


def angle(first, second):
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def has(body, role):
    return (body.role & role) > 0


# Shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_holds_the_atoms_of_a_sphere_of_its_radius(shape):
    # The lattice lies at random in the shape, so that the mean number is that of the volume; a decahedron's does not.
    if isinstance(shape, dict) and shape["kind"] == "decahedron":
        assert len(make(shape=shape, radius=20.0)) == pytest.approx(4 / 3 * np.pi * 20**3 * 4 / 4.07825**3, rel=0.05)
        return
    counts = [len(make(seed, shape=shape)) for seed in range(120)]
    error = np.std(counts) / np.sqrt(len(counts))
    expected = 4 / 3 * np.pi * 9**3 * 4 / 4.07825**3
    assert error < 0.03 * expected
    assert abs(np.mean(counts) - expected) < 3 * error + 0.003 * expected


@pytest.mark.parametrize("shape", [*SHAPES, "icosahedron", "decahedron"], ids=str)
def test_every_shape_is_recorded_and_its_atoms_lie_in_its_solid(shape):
    body = make(1, shape=shape)
    assert body.details["shape"] == (shape if isinstance(shape, str) else shape["kind"])
    assert body.details["material"] == "Au"
    assert body.details["radius"] == 9
    # Atoms exactly on a face may come to lie outside by rounding.
    assert body.solid.contains(body.positions * (1 - 1e-9)).all()
    assert np.linalg.norm(body.positions.mean(axis=0)) < 1.5
    np.testing.assert_array_equal(body.origin, 0)


def test_an_icosahedron_has_the_whole_shells_that_fit_into_its_size():
    magic = np.array([10 / 3 * n**3 + 5 * n**2 + 11 / 3 * n + 1 for n in range(1, 9)]).round().astype(int)
    radii = np.linspace(6, 16, 8)
    counts = [len(make(shape="icosahedron", radius=float(radius))) for radius in radii]
    assert set(counts) <= set(magic)
    assert counts == sorted(counts)


@pytest.mark.parametrize("outline", ["circle", "hexagon", "triangle"])
def test_islands_of_every_layered_material_lie_flat(outline):
    for material in layered_material_names():
        crystal = load_material(material)
        body = make(3, material=material, shape={"kind": "island", "layers": 3, "outline": outline}, radius=14.0)
        assert off_lattice(body, crystal) < 1e-6
        np.testing.assert_allclose(matrix(body) @ [0, 0, 1], [0, 0, 1], atol=1e-9)
        for layer in range(3):
            for element in np.unique(body.numbers):
                heights = body.positions[(body.grain == layer) & (body.numbers == element), 2]
                assert len(np.unique(heights.round(6))) <= 2
        means = [body.positions[body.grain == layer, 2].mean() for layer in range(3)]
        np.testing.assert_allclose(np.diff(means), crystal.cell[2, 2] / 2, atol=1e-6)
        assert body.details["layers"] == 3
        assert (body.details["zone_axis"], body.details["zone_axis_tilt"]) == ([0, 0, 1], pytest.approx(0, abs=1e-6))


def test_island_and_winterbottom_are_turned_about_the_beam_at_random():
    island = {"kind": "island"}
    winterbottom = {"kind": "winterbottom", "energies": ENERGIES}
    for material, shape, direction in (("MoS2", island, [1, 0, 0]), ("Au", winterbottom, [1, -1, 0])):
        turned = [matrix(make(seed, material=material, shape=shape, radius=7.0)) @ direction for seed in range(100)]
        turns = np.degrees([np.arctan2(y, x) for x, y, _ in turned]) % 360 / 360
        assert kstest(turns, "uniform").pvalue > 0.01


@pytest.mark.parametrize("interface", [(1, 1, 1), (1, 0, 0), (-1, 1, 1)])
def test_a_winterbottom_particle_lies_on_its_interface(interface):
    shape = {"kind": "winterbottom", "energies": ENERGIES, "interface": interface, "interface_energy": -0.2}
    body = make(0, shape=shape, radius=14.0)
    np.testing.assert_allclose(matrix(body) @ interface / np.linalg.norm(interface), [0, 0, -1], atol=1e-9)
    heights, counts = np.unique(body.positions[:, 2].round(6), return_counts=True)
    # Whole atomic planes across the beam, the lowest near its widest and the highest near its narrowest.
    spacing = GOLD.cell[0, 0] / (np.sqrt(3) if abs(interface[1]) else 2)
    np.testing.assert_allclose(np.diff(heights), spacing, atol=1e-5)
    assert counts[0] > 0.7 * counts.max()
    assert counts[0] > 1.5 * counts[-1]
    # The interface is nearer to the centre of the free shape than the facet opposite: the particle is cut off below.
    assert np.ptp(heights) < 2 * np.hypot(body.positions[:, 0], body.positions[:, 1]).max()
    assert body.details["zone_axis"] == [-i for i in interface]


# Orientation


@pytest.mark.parametrize(
    ("material", "keys"),
    [
        ("Au", {}),
        ("Fe", {"shape": "cube"}),
        ("CdSe", {"shape": {"kind": "rod", "aspect": 2}}),
        ("TiO2", {"shape": {"kind": "ellipsoid", "axes": [1, 1, 2]}}),
        ("CeO2", {"shape": "octahedron", "orientation": {"zone_axis": [1, 1, 0], "tilt": 5}}),
        ("CdSe", {"orientation": {"facet": [1, 0, 1]}}),
        ("Si", {"shape": {"kind": "winterbottom", "energies": ENERGIES}}),
    ],
)
def test_the_recorded_quaternion_takes_every_atom_back_to_a_site_of_the_crystal(material, keys):
    for seed in range(3):
        assert off_lattice(make(seed, material=material, **keys), load_material(material)) < 1e-6
    # The test tells a wrong rotation from the right one.
    body, wrong = make(0, material=material, **keys), np.array([0.1, 0, 0, 1]) / np.hypot(0.1, 1)
    assert off_lattice(body.__class__(**{**vars(body), "quaternion": wrong}), load_material(material)) > 0.1


@pytest.mark.parametrize("shape", ["decahedron", "icosahedron"])
def test_the_quaternion_of_a_twinned_particle_is_that_of_its_first_grain(shape):
    body = make(2, shape=shape, radius=16.0)
    first = body.positions[body.grain == 0]
    bonds = (first[:, None] - first).reshape(-1, 3)
    lengths = np.linalg.norm(bonds, axis=1)
    bonds = bonds[(lengths > 0.1) & (lengths < 3.2)] @ matrix(body)
    ideal = np.array([v for v in np.ndindex(3, 3, 3) if np.abs(np.array(v) - 1).sum() == 2]) - 1.0
    # Of the strain of the twins (at most a few %) and no rotation.
    assert cdist(bonds / np.linalg.norm(bonds, axis=1)[:, None], ideal / np.sqrt(2)).min(axis=1).max() < 0.1
    assert len(body.defects) == {"decahedron": 5, "icosahedron": 30}[shape]
    assert len(np.unique(body.grain)) == {"decahedron": 5, "icosahedron": 20}[shape]


@pytest.mark.parametrize("material", ["Au", "CdSe", "TiO2"])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 0), (1, 2, 1)])
def test_a_zone_axis_is_along_the_beam_and_a_facet_across(material, axis):
    crystal = load_material(material)
    along = make(1, material=material, orientation={"zone_axis": axis})
    np.testing.assert_allclose(angle(matrix(along) @ (axis @ crystal.cell), np.array([0, 0, 1])), 0, atol=1e-5)
    assert along.details["zone_axis"] == list(axis)
    assert along.details["zone_axis_tilt"] == pytest.approx(0, abs=1e-6)
    across = make(1, material=material, orientation={"facet": axis})
    # Directions [uvw] of the plane obey the zone law hu + kv + lw = 0, and lie across the beam.
    zone = np.array([v for v in np.ndindex(5, 5, 5) if np.dot(np.array(v) - 2, axis) == 0]) - 2
    assert np.abs((zone @ crystal.cell @ matrix(across).T)[:, 2]).max() < 1e-9
    # Its atoms lie in few planes across the beam, or stand in columns along it.
    shadow = along.positions[:, :2]
    in_column = cKDTree(shadow).query_ball_point(shadow, 1e-4, return_length=True)
    assert in_column.max() >= 2
    assert np.mean(in_column) > 1.3
    planes = np.unique(across.positions[:, 2].round(5))
    assert len(planes) < len(across) / 2


def test_the_facet_of_a_low_symmetry_crystal_points_to_the_exit_side():
    polar = make(0, material="CdSe", orientation={"facet": [0, 0, 1]})
    # In CdSe (0001) points from Cd to the Se that is right above it.
    cadmium, selenium = (polar.positions[polar.numbers == number] for number in (48, 34))
    bonds = (selenium[:, None] - cadmium).reshape(-1, 3)
    bonds = bonds[np.linalg.norm(bonds, axis=1) < 2.8]
    upright = bonds[np.abs(bonds[:, 2]) > 2.5, 2]
    assert len(upright) > 20
    assert (upright > 0).all()


def test_the_angle_in_the_plane_is_that_asked_for():
    for wanted in (0.0, 25.0, 200.0):
        a = matrix(make(4, orientation={"zone_axis": [0, 0, 1], "in_plane": wanted})) @ [1, 0, 0]
        assert np.degrees(np.arctan2(a[1], a[0])) % 360 == pytest.approx(wanted, abs=1e-6)


def test_tilts_have_the_distribution_asked_for_towards_every_side():
    tilts, azimuths, spins = [], [], []
    for seed in range(300):
        body = make(seed, material="Cu", radius=3.0, orientation={"zone_axis": [1, 1, 0], "tilt": {"uniform": [1, 5]}})
        axis = matrix(body) @ [1, 1, 0] / np.sqrt(2)
        tilts.append(angle(axis, np.array([0, 0, 1])))
        azimuths.append(np.degrees(np.arctan2(axis[1], axis[0])) % 360)
        spin = matrix(body) @ [0, 0, 1]
        spins.append(np.degrees(np.arctan2(spin[1], spin[0])) % 360)
        assert body.details["zone_axis"] == [1, 1, 0]
        assert body.details["zone_axis_tilt"] == pytest.approx(tilts[-1], abs=1e-5)
    assert kstest(tilts, "uniform", (1, 4)).pvalue > 0.01
    assert kstest(azimuths, "uniform", (0, 360)).pvalue > 0.01
    assert kstest(spins, "uniform", (0, 360)).pvalue > 0.01


def test_random_orientations_are_uniform_over_so3():
    bodies = [make(seed, material="Cu", radius=3.0) for seed in range(500)]
    matrices = np.array([matrix(body) for body in bodies])
    # Haar measure: the angle of rotation has the density (1 - cos w) / pi, and every direction goes everywhere.
    angles = np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert kstest(angles, lambda w: (w - np.sin(w)) / np.pi).pvalue > 0.01
    for axis in range(3):
        upwards = matrices[:, :, axis]
        assert kstest(upwards[:, 2], "uniform", (-1, 2)).pvalue > 0.01
        assert kstest(np.arctan2(upwards[:, 1], upwards[:, 0]), "uniform", (-np.pi, 2 * np.pi)).pvalue > 0.01


def test_the_zone_axis_recorded_is_the_nearest_of_all_to_the_beam():
    for seed in range(10):
        body = make(seed, material="CdSe")
        directions = np.array([v for v in np.ndindex(7, 7, 7) if v != (3, 3, 3)]) - 3.0
        angles = [angle(matrix(body) @ row, np.array([0, 0, 1])) for row in directions @ load_material("CdSe").cell]
        assert body.details["zone_axis_tilt"] == pytest.approx(min(angles), abs=1e-5)
        named = matrix(body) @ (body.details["zone_axis"] @ load_material("CdSe").cell)
        assert angle(named, np.array([0, 0, 1])) == pytest.approx(min(angles), abs=1e-5)


# Defects


@pytest.mark.parametrize(
    ("material", "normal", "spacing"),
    [("Au", [1, 1, 1], 4.07825 / 3**0.5), ("CdSe", [0, 0, 1], 7.0152 / 2), ("Si", [1, 1, 1], 5.43102 / 3**0.5)],
)
def test_planar_defects_lie_in_the_particle_across_their_axis(material, normal, spacing):
    kinds = []
    for seed in range(8):
        body = make(seed, material=material, radius=12.0, planar_defects={"number": 2})
        assert len(body.defects) == 2
        marked = np.zeros(len(body), dtype=bool)
        for defect in body.defects:
            kinds.append(defect.kind)
            np.testing.assert_allclose(defect.normal, matrix(body) @ normal / np.linalg.norm(normal), atol=1e-9)
            heights = (body.positions - defect.point) @ defect.normal
            assert min((heights > 0.5).sum(), (heights < -0.5).sum()) >= 0.03 * len(body)
            assert np.linalg.norm(defect.point) < 12
            near = np.abs(heights) < spacing
            assert (near & has(body, SiteRole.PLANAR_DEFECT)).sum() >= 1
            marked |= near
        assert not (has(body, SiteRole.PLANAR_DEFECT) & ~marked).any()
    assert set(kinds) == {"twin", "stacking_fault"}


def test_only_the_kinds_asked_for_are_made():
    for kind in ("twin", "stacking_fault"):
        bodies = [make(seed, radius=10.0, planar_defects={"number": 2, "kinds": [kind]}) for seed in range(5)]
        assert {defect.kind for body in bodies for defect in body.defects} == {kind}


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 1.0])
def test_dopants_are_the_fraction_asked_for_of_their_host(fraction):
    plain = make(5, material="CdSe")
    body = make(5, material="CdSe", dopants=[{"element": "Zn", "host": "Cd", "fraction": fraction}])
    count = round(fraction * (plain.numbers == 48).sum())
    assert (body.numbers == 30).sum() == count == has(body, SiteRole.DOPANT).sum()
    assert (body.numbers == 34).sum() == (plain.numbers == 34).sum()
    assert body.details["dopants"] == [{"element": "Zn", "host": "Cd", "fraction": fraction}]


def test_dopants_on_the_surface_are_marked_as_such():
    for seed in range(20):
        plain, doped = (make(seed, dopants=d) for d in ([], [{"element": "Ag", "fraction": 0.02}]))
        np.testing.assert_array_equal(has(plain, SiteRole.SURFACE), has(doped, SiteRole.SURFACE))


def test_vacancies_and_antisites_are_the_fractions_asked_for():
    plain = make(5, material="CdSe")
    vacant = make(5, material="CdSe", vacancies=0.05)
    assert len(vacant) == len(plain) - round(0.05 * len(plain))
    assert vacant.details["vacancies"] == 0.05
    mixed = make(5, material="CdSe", antisites=0.2)
    assert has(mixed, SiteRole.ANTISITE).sum() == 2 * round(0.1 * len(plain))
    assert mixed.details["antisites"] == 0.2
    np.testing.assert_array_equal(np.sort(mixed.numbers), np.sort(plain.numbers))
    np.testing.assert_allclose(mixed.positions @ matrix(mixed), plain.positions @ matrix(plain), atol=1e-9)
    changed = mixed.numbers != plain.numbers
    np.testing.assert_array_equal(changed, has(mixed, SiteRole.ANTISITE))


def test_fractions_are_drawn_from_their_distributions_and_recorded():
    drawn = [make(seed, radius=6.0, vacancies={"uniform": [0, 0.5]}) for seed in range(60)]
    assert kstest([body.details["vacancies"] for body in drawn], "uniform", (0, 0.5)).pvalue > 0.01
    assert "vacancies" not in make(radius=6.0).details


def test_strain_is_measured_back_from_the_vectors_of_nearest_neighbours():
    strain = {"xx": 0.03, "yy": -0.02, "zz": 0.01, "yz": 0.02, "xz": -0.01, "xy": 0.015}
    for seed in range(3):
        body = make(seed, radius=8.0, strain=strain)
        bonds = (body.positions[:, None] - body.positions).reshape(-1, 3)
        lengths = np.linalg.norm(bonds, axis=1)
        bonds = bonds[(lengths > 0.1) & (lengths < 3.2)] @ matrix(body)
        ideal = (np.array([v for v in np.ndindex(3, 3, 3) if np.abs(np.array(v) - 1).sum() == 2]) - 1) * 4.07825 / 2
        of = ideal[cdist(bonds, ideal).argmin(axis=1)]
        gradient = np.linalg.lstsq(of, bonds, rcond=None)[0].T
        voigt = [gradient[i, i] - 1 for i in range(3)]
        voigt += [gradient[i, j] + gradient[j, i] for i, j in ((1, 2), (0, 2), (0, 1))]
        np.testing.assert_allclose(voigt, list(strain.values()), atol=1e-9)
        assert body.details["strain"] == list(strain.values())


def test_surface_relaxation_shortens_bonds_at_the_surface_and_not_in_the_middle():
    plain, relaxed = make(1, radius=14.0), make(1, radius=14.0, surface_relaxation=-0.05)
    depth = np.linalg.norm(plain.positions, axis=1)
    change = np.linalg.norm(relaxed.positions, axis=1) / depth - 1
    assert (change[depth > 13] < -0.005).all()
    assert np.abs(change[depth < 4]).max() < 0.005
    assert relaxed.details["surface_relaxation"] == -0.05


# Composites


@pytest.mark.parametrize("grains", [1, 3])
@pytest.mark.parametrize("orientation", ["aligned", "random"])
def test_a_shell_is_as_thick_as_asked_for_around_its_core(grains, orientation):
    shell = {"material": "Ag", "thickness": 4, "orientation": orientation, "grains": grains}
    body = make(2, radius=13.0, shell=shell)
    distance = np.linalg.norm(body.positions, axis=1)
    core = body.numbers == 79
    np.testing.assert_array_equal(core, body.grain == 0)
    assert distance[core].max() <= 9 + 1e-6
    assert distance[core].max() > 8
    assert distance[~core].min() > 9 - 2.88 / 2
    assert 12.5 < distance.max() <= 13 + 1e-6
    assert sorted(np.unique(body.grain)) == list(range(grains + 1))
    assert body.details["shell_material"] == "Ag"
    assert body.details["shell_thickness"] == 4
    assert cKDTree(body.positions).query(body.positions, k=2)[0][:, 1].min() >= 0.85 * 2.8837 - 1e-6
    if grains == 1:
        # The shell has the axes of the core exactly if aligned.
        alone = body.kept(~core)
        assert (off_lattice(alone, load_material("Ag")) < 1e-6) == (orientation == "aligned")


def test_a_shell_drawn_at_random_keeps_the_radius_of_the_whole():
    for seed in range(5):
        body = make(seed, radius=11.0, shape="cube", shell={"material": "Pd", "thickness": {"uniform": [2, 5]}})
        # Shell atoms may use room that the core's leave within its outline.
        thickness = body.details["shell_thickness"]
        crystal = body.positions @ matrix(body)
        half = 11 * np.cbrt(np.pi / 6)  # of a cube of the volume of the sphere
        inner = half - thickness
        assert 2 <= thickness <= 5
        assert np.abs(crystal).max() <= half + 1e-6
        assert np.abs(crystal[body.numbers == 79]).max() <= inner + 1e-6
        assert np.abs(crystal[body.numbers == 46]).max(axis=1).min() > inner - 2.75 / 2


@pytest.mark.parametrize(
    "shape",
    [
        "octahedron",
        {"kind": "wulff", "energies": ENERGIES},
        {"kind": "winterbottom", "energies": ENERGIES, "interface_energy": -0.2},
        {"kind": "platelet", "aspect": 3, "outline": "hexagon"},
    ],
    ids=str,
)
def test_a_shell_is_as_thick_on_every_facet_and_not_below_an_interface(shape):
    for seed in range(4):
        body = make(seed, radius=16.0, shape=shape, shell={"material": "Ag", "thickness": 4.0})
        outer, core = body.solid, body.positions[body.numbers == 79]
        depth = outer.distances - (core @ outer.normals.T).max(axis=0)
        winterbottom = isinstance(shape, dict) and shape["kind"] == "winterbottom"
        interface = (outer.normals[:, 2] < -1 + 1e-9) & winterbottom
        assert interface.sum() == winterbottom
        # Atoms come as near to the surface of the core as the planes across the facet lie.
        assert (depth >= np.where(interface, 0.0, 4.0) - 1e-6).all()
        assert (depth < np.where(interface, 0.0, 4.0) + 2.4).all()
        assert outer.volume() == pytest.approx(4 / 3 * np.pi * body.details["radius"] ** 3)


def test_a_shell_that_leaves_no_core_is_an_error():
    shell = {"material": "Ag", "thickness": 5.0}
    with pytest.raises(StructureError, match=r"shell\.thickness is 5 Å, which leaves nothing"):
        make(radius=10.0, shape={"kind": "platelet", "aspect": 6}, shell=shell)


def test_grains_are_lattices_turned_as_recorded():
    body = make(7, radius=14.0, grains=4)
    rotations = body.details["grain_rotations"]
    assert body.details["grains"] == 4 == len(np.unique(body.grain)) == len(rotations)
    for grain, relative in enumerate(rotations):
        own = body.kept(body.grain == grain)
        turn = matrix(body) @ Rotation.from_quat(relative).as_matrix()
        turned = Rotation.from_matrix(turn).as_quat()
        assert off_lattice(own.__class__(**{**vars(own), "quaternion": turned}), GOLD) < 1e-6
    nearest = cKDTree(body.positions).query(body.positions, k=2)[0][:, 1]
    assert nearest.min() >= 0.85 * 2.8837 - 1e-6
    assert has(body, SiteRole.GRAIN_BOUNDARY).any()


# Surface and ligands


def test_the_surface_is_marked_on_the_outermost_atoms():
    body = make(radius=14.0)
    depth = np.linalg.norm(body.positions, axis=1)
    assert has(body, SiteRole.SURFACE)[depth > 13.3].all()
    assert not has(body, SiteRole.SURFACE)[depth < 10].any()


def test_ligands_stand_on_the_surface_and_are_recorded():
    ligands = {"molecule": "CH3SH", "anchor": "S", "density": {"uniform": [1, 2]}}
    body, bare = make(3, radius=12.0, ligands=ligands), make(3, radius=12.0)
    own = ~has(body, SiteRole.ADSORBATE)
    np.testing.assert_array_equal(body.numbers[own], bare.numbers)
    number = body.details["ligands"]
    assert body.details["ligand"] == "CH3SH"
    assert (~own).sum() == number * len(molecule("CH3SH"))
    sphere_area = 4 * np.pi * 12**2 / 100
    assert 0.4 * sphere_area < number <= 2 * sphere_area
    sulphur = body.positions[~own & (body.numbers == 16)]
    nearest = cKDTree(body.positions[own]).query(sulphur)[0]
    assert nearest.max() <= covalent_radii[16] + covalent_radii[79] + 1e-6
    assert np.linalg.norm(body.positions[~own], axis=1).min() > 10


# All of it


def test_everything_at_once_is_recorded_and_reproducible():
    keys = {
        "material": {"choice": ["CdSe", "GaAs"]},
        "radius": {"uniform": [9, 12]},
        "shape": {"kind": "rod", "aspect": {"uniform": [1, 2]}},
        "planar_defects": {"number": {"uniform": [0, 2]}},
        "strain": {"zz": {"normal": [0, 0.01], "clip": [-0.02, 0.02]}},
        "surface_relaxation": -0.01,
        "dopants": [{"element": "Te", "fraction": 0.05}, {"element": "Zn", "fraction": 0.01}],
        "vacancies": 0.01,
        "antisites": 0.02,
        "ligands": {"molecule": "H3CNH2", "anchor": "N", "density": 1.0},
    }
    first, again = make(11, **keys), make(11, **keys)
    for name in ("positions", "numbers", "role", "grain", "quaternion"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.details == again.details
    wanted = {"material", "shape", "radius", "strain", "surface_relaxation", "dopants", "vacancies", "antisites"}
    assert wanted | {"ligands", "zone_axis", "zone_axis_tilt"} <= set(first.details)
    assert {30, 52, 7} <= set(first.numbers)


def test_materials_and_shapes_are_drawn_with_their_weights():
    keys = {
        "material": {"choice": ["Au", "Cu"], "weights": [1, 3]},
        "shape": {"choice": ["sphere", "cube"]},
        "radius": 4.0,
    }
    bodies = [make(seed, **keys) for seed in range(200)]
    assert np.mean([body.details["material"] == "Cu" for body in bodies]) == pytest.approx(0.75, abs=0.1)
    assert np.mean([body.details["shape"] == "cube" for body in bodies]) == pytest.approx(0.5, abs=0.12)


def test_a_particle_that_holds_no_atom_is_an_error():
    with pytest.raises(StructureError, match="no atom"):
        make(radius=0.2)


def test_shapes_that_a_crystal_cannot_have_are_refused_before_any_is_made():
    for shape, material in (("octahedron", "CdSe"), ("icosahedron", "CdSe"), ("decahedron", "Fe"), ("cube", "TiO2")):
        with pytest.raises(StructureError, match=f"'{material}'"):
            check_shape(block(), shape, load_material(material))
    for shape in SHAPES:
        check_shape(block(), block(shape=shape).shape, GOLD)
