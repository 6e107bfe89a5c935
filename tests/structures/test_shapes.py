"""Shapes of particles against closed forms and the magic numbers of clusters."""

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from exitwave.config.specimen import FORMS
from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal, crystal_from_ase, fill
from exitwave.structures.shapes import (
    EllipsoidForm,
    PlateletForm,
    RodForm,
    WinterbottomForm,
    WulffForm,
    make_solid,
    shortest_in_plane,
)
from exitwave.structures.volumes import Polyhedron
from exitwave.structures.wulff import volume_and_centre

GOLD = crystal_from_ase(bulk("Au", a=4.078, cubic=True), "Au")
CDSE = crystal_from_ase(bulk("CdSe", "wurtzite", a=4.299, c=7.011, u=0.3762), "CdSe")
NEIGHBOURS = 4.078 / np.sqrt(2)
BONDS = (("111", 1.0), ("100", 1.15))
POLYHEDRA = [name for name in FORMS if name not in ("sphere", "decahedron", "icosahedron")]
FORMS_WITH_NUMBERS = [
    EllipsoidForm((1.0, 2.0, 3.0)),
    RodForm(1.0),
    RodForm(3.5, (1, 1, 0)),
    RodForm(2.0, (1, 1, 1), "flat"),
    *[PlateletForm(3.0, (1, 1, 1), outline) for outline in ("circle", "hexagon", "triangle", "square")],
]


def sphere_volume(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3


def radius_of(volume: float) -> float:
    return float(np.cbrt(3 * volume / (4 * np.pi)))


@pytest.mark.parametrize(
    ("name", "corners", "edges"),
    [
        ("cube", 8, 12),
        ("truncated_cube", 24, 36),
        ("cuboctahedron", 12, 24),
        ("truncated_octahedron", 24, 36),
        ("octahedron", 6, 12),
        ("tetrahedron", 4, 6),
        ("rhombic_dodecahedron", 14, 24),
    ],
)
def test_forms_are_the_bodies_with_equal_edges(name, corners, edges):
    found = np.unique(make_solid(name, GOLD, 10.0).vertices().round(7), axis=0)
    assert len(found) == corners
    distances = pdist(found)
    assert (distances < distances.min() * (1 + 1e-6)).sum() == edges


@pytest.mark.parametrize(
    ("name", "edge", "volume", "number"),
    [
        # Edge of the smallest in distances of neighbours, volume for an edge of 1, and the closed form of the numbers
        # of complete clusters: 13, 55, 147; 6, 19, 44; 38, 201, 586; 14, 63, 172.
        ("cuboctahedron", 1, 5 * np.sqrt(2) / 3, lambda n: (10 * n**3 + 15 * n**2 + 11 * n + 3) / 3),
        ("octahedron", 1, np.sqrt(2) / 3, lambda n: (n + 1) * (2 * (n + 1) ** 2 + 1) / 3),
        ("truncated_octahedron", 1, 8 * np.sqrt(2), lambda n: 16 * n**3 + 15 * n**2 + 6 * n + 1),
        ("cube", np.sqrt(2), 1.0, lambda n: 4 * n**3 + 6 * n**2 + 3 * n + 1),
    ],
)
def test_forms_of_the_right_size_hold_magic_numbers_of_atoms(name, edge, volume, number):
    for n in (1, 2, 3, 4):
        solid = make_solid(name, GOLD, radius_of(volume * (n * edge * NEIGHBOURS) ** 3))
        # Of an even edge, and of every cuboctahedron, the middle is an atom, and of the others an octahedral site.
        middle = 0.0 if n % 2 == 0 or name == "cuboctahedron" else 0.5
        assert len(fill(GOLD, solid, middle * GOLD.cell[0])[0]) == number(n)


def test_a_tetrahedron_holds_a_tetrahedral_number_of_atoms():
    for edge, number in ((1, 4), (2, 10), (3, 20), (4, 35)):
        solid = make_solid("tetrahedron", GOLD, radius_of((edge * NEIGHBOURS) ** 3 / (6 * np.sqrt(2))))
        corner = np.unique(solid.vertices().round(7), axis=0)[0]
        assert len(fill(GOLD, solid, corner)[0]) == number


@given(
    st.sampled_from(
        [*POLYHEDRA, "sphere", *FORMS_WITH_NUMBERS, WulffForm(BONDS), WinterbottomForm(BONDS, (1, 1, 1), 0.2)]
    ),
    st.floats(1, 100),
)
@settings(deadline=None, max_examples=60)
def test_shapes_have_the_volume_of_the_sphere_about_the_origin(form, radius):
    solid = make_solid(form, GOLD, radius)
    centre, reach = solid.bounding_sphere()
    if isinstance(solid, Polyhedron):
        volume, middle = volume_and_centre(solid.vertices())
        assert volume == pytest.approx(sphere_volume(radius), rel=1e-6)
        np.testing.assert_allclose(middle, 0, atol=1e-6 * radius)
    else:
        points = centre + reach * (2 * qmc.Sobol(3, rng=1).random(2**14) - 1)
        inside = points[solid.contains(points)]
        assert len(inside) / 2**14 * (2 * reach) ** 3 == pytest.approx(sphere_volume(radius), rel=0.03)
        np.testing.assert_allclose(inside.mean(axis=0), 0, atol=0.03 * reach)


@pytest.mark.parametrize("form", [form for form in FORMS_WITH_NUMBERS if isinstance(form, RodForm)])
def test_rods_have_their_aspect_along_their_axis(form):
    solid = make_solid(form, GOLD, 20.0)
    axis = np.array(form.axis) / np.linalg.norm(form.axis)
    across = np.cross(axis, [0.3, -0.5, 0.8])
    steps = np.linspace(0, 60, 60001)

    def reach(direction):
        return steps[solid.contains(steps[:, None] * direction)].max()

    length, diameter = reach(axis) + reach(-axis), 2 * reach(across / np.linalg.norm(across))
    assert length / diameter == pytest.approx(form.aspect, abs=1e-3)
    parts = {"round": length * diameter**2 / 4 - diameter**3 / 12, "flat": length * diameter**2 / 4}
    assert np.pi * parts[form.ends] == pytest.approx(sphere_volume(20.0), rel=1e-3)


@pytest.mark.parametrize(("outline", "sides"), [("hexagon", 6), ("triangle", 3), ("square", 4)])
def test_platelets_are_prisms_of_their_aspect(outline, sides):
    solid = make_solid(PlateletForm(4.0, (1, 1, 1), outline), GOLD, 20.0)
    corners = np.unique(solid.vertices().round(7), axis=0)
    heights = corners @ np.ones(3) / np.sqrt(3)
    thickness, area = np.ptp(heights), sphere_volume(20.0) / np.ptp(heights)
    assert len(corners) == 2 * sides
    assert 2 * np.sqrt(area / np.pi) / thickness == pytest.approx(4.0)
    top = corners[heights > 0]
    edge = np.sort(pdist(top))[:sides]
    np.testing.assert_allclose(edge, edge[0])
    # A regular polygon of n sides has the area n / 4 cot(pi / n) times the square of its edge.
    assert sides / 4 / np.tan(np.pi / sides) * edge[0] ** 2 == pytest.approx(area)


def test_platelets_have_edges_along_close_packed_rows():
    np.testing.assert_allclose(np.abs(np.sort(shortest_in_plane(GOLD, (1, 1, 1)))), [4.078, 0, 4.078])
    assert np.linalg.norm(shortest_in_plane(CDSE, (0, 0, 1))) == pytest.approx(4.299)
    for crystal, indices in ((GOLD, (1, 1, 1)), (CDSE, (0, 0, 1))):
        solid = make_solid(PlateletForm(5.0, indices, "hexagon"), crystal, 15.0)
        # The prism planes {10-10} of wurtzite and {112} of gold lie across the edges.
        assert np.abs(solid.normals @ shortest_in_plane(crystal, indices)).min() < 1e-9


@given(st.tuples(*[st.integers(-4, 4)] * 3).filter(any), st.sampled_from([GOLD, CDSE]))
@settings(deadline=None, max_examples=60)
def test_the_edge_of_a_platelet_lies_in_its_plane(indices, crystal):
    normal = np.linalg.inv(crystal.cell) @ indices
    edge = shortest_in_plane(crystal, indices)
    assert abs(edge @ normal) < 1e-9
    np.testing.assert_allclose(np.linalg.solve(crystal.cell.T, edge), np.linalg.solve(crystal.cell.T, edge).round())


@pytest.mark.parametrize("form", ["sphere", *FORMS_WITH_NUMBERS, *POLYHEDRA])
def test_particles_hold_about_the_atoms_of_their_volume(form):
    positions, _ = fill(GOLD, make_solid(form, GOLD, 30.0), np.array([0.31, 0.17, 0.23]) * 4.078)
    assert len(positions) == pytest.approx(sphere_volume(30.0) * 4 / 4.078**3, rel=0.12)


def test_forms_follow_the_axes_of_a_turned_cell():
    turn = Rotation.from_euler("ZXZ", [20, 40, 70], degrees=True).as_matrix()
    turned = Crystal("turned", GOLD.cell @ turn.T, GOLD.fractional, GOLD.numbers)
    for form in (*POLYHEDRA, *FORMS_WITH_NUMBERS[1:], WulffForm(BONDS), WinterbottomForm(BONDS, (1, 1, 1), 0.2)):
        solid = make_solid(form, GOLD, 12.0)
        points = qmc.Sobol(3, rng=2).random(2**10) * 40 - 20
        if isinstance(form, PlateletForm) and form.outline == "circle":
            continue
        inside = make_solid(form, turned, 12.0).contains(points @ turn.T)
        np.testing.assert_array_equal(inside, solid.contains(points), err_msg=str(form))


@pytest.mark.parametrize("name", POLYHEDRA)
def test_forms_of_cubic_crystals_are_refused_for_others(name):
    with pytest.raises(StructureError, match=f"'{name}' for 'CdSe', whose cell is not cubic"):
        make_solid(name, CDSE, 10.0)


@pytest.mark.parametrize(
    "form",
    ["sphere", *FORMS_WITH_NUMBERS, WulffForm((("100", 1.0), ("001", 1.2), ("00-1", 1.2)))],
)
def test_other_shapes_are_made_of_any_crystal(form):
    assert len(fill(CDSE, make_solid(form, CDSE, 15.0))[0]) == pytest.approx(
        sphere_volume(15.0) * 4 / abs(np.linalg.det(CDSE.cell)), rel=0.12
    )


@pytest.mark.parametrize(
    ("form", "radius", "message"),
    [
        ("decahedron", 10.0, "which is no form; allowed: sphere, cube"),
        ("ball", 10.0, "which is no form"),
        ("sphere", 0.0, "radius is 0 Å"),
        ("cube", float("nan"), "radius is nan Å"),
        (RodForm(0.9), 10.0, "aspect of a rod is 0.9"),
        (RodForm(2.0, (0, 0, 0)), 10.0, "shape.axis"),
        (PlateletForm(0.0), 10.0, "aspect of a platelet is 0"),
        (PlateletForm(2.0, (0, 0, 0)), 10.0, "shape.normal"),
        (EllipsoidForm((1.0, 0.0, 1.0)), 10.0, "shape.axes"),
    ],
)
def test_impossible_shapes_are_refused(form, radius, message):
    with pytest.raises(StructureError, match=message):
        make_solid(form, GOLD, radius)
