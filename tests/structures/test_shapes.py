"""Shapes of particles against closed forms and the magic numbers of clusters."""

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from exitwave.config.particles import FORMS
from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal, crystal_from_ase, fill
from exitwave.structures.shapes import (
    EllipsoidForm,
    PlateletForm,
    RodForm,
    WinterbottomForm,
    WulffForm,
    inset,
    make_solid,
    shortest_in_plane,
)
from exitwave.structures.volumes import Complement, Polyhedron, sphere
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


def reach(solid, direction):
    """Distance [Å] from the origin to the surface."""
    steps = np.linspace(0, 60, 60001)
    return steps[solid.contains(steps[:, None] * direction)].max()


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
    length, diameter = reach(solid, axis) + reach(solid, -axis), 2 * reach(solid, across / np.linalg.norm(across))
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


# Insets


@pytest.mark.parametrize(
    "form",
    [
        *POLYHEDRA,
        WulffForm(BONDS),
        WinterbottomForm(BONDS, (1, 1, 1), 0.2),
        *[PlateletForm(3.0, (1, 1, 1), outline) for outline in ("hexagon", "triangle", "square")],
    ],
    ids=str,
)
@pytest.mark.parametrize("thickness", [0.0, 2.0, 4.0])
def test_every_face_of_an_inset_is_as_deep_as_the_thickness(form, thickness):
    outer = make_solid(form, GOLD, 20.0)
    inner = inset(outer, thickness)
    depths = (outer.vertices() @ outer.normals.T).max(axis=0) - (inner.vertices() @ outer.normals.T).max(axis=0)
    np.testing.assert_allclose(depths, thickness, atol=1e-9)


@given(st.floats(0.1, 6.0), st.sampled_from(["cube", "octahedron", WulffForm(BONDS)]), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_an_inset_is_all_that_is_further_than_the_thickness_from_the_outside(thickness, form, seed):
    outer = make_solid(form, GOLD, 15.0)
    inner = inset(outer, thickness)
    rng = np.random.default_rng(seed)
    points, directions = rng.uniform(-15, 15, (500, 3)), rng.standard_normal((4000, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    # Of the ball about a point inside, all is in the solid; of that about another, the part beyond a face is not.
    for point, inside in zip(points, inner.contains(points), strict=True):
        if inside:
            assert outer.contains(point + thickness * directions).all()
        else:
            assert not outer.contains(point + (thickness + 1e-4) * outer.normals).all()


@pytest.mark.parametrize("interface", [(1, 1, 1), (1, 0, 0), (-1, 1, 1)])
def test_the_interface_of_an_inset_can_stay(interface):
    outer = make_solid(WinterbottomForm(BONDS, interface, 0.2), GOLD, 20.0)
    normal = np.array(interface) / np.linalg.norm(interface)
    inner = inset(outer, 4.0, kept=normal)
    depths = (outer.vertices() @ outer.normals.T).max(axis=0) - (inner.vertices() @ outer.normals.T).max(axis=0)
    np.testing.assert_allclose(depths, np.where(outer.normals @ normal > 1 - 1e-6, 0.0, 4.0), atol=1e-9)
    assert (depths < 1).sum() == 1


@pytest.mark.parametrize(
    "form",
    [
        "sphere",
        EllipsoidForm((1.0, 2.0, 3.0)),
        RodForm(1.0),
        RodForm(3.5, (1, 1, 0)),
        RodForm(2.0, (1, 1, 1), "flat"),
        PlateletForm(3.0, (1, 1, 1), "circle"),
    ],
    ids=str,
)
def test_insets_of_round_bodies_are_as_deep_along_and_across_their_axis(form):
    outer = make_solid(form, GOLD, 20.0)
    inner = inset(outer, 4.0)
    axis = np.array(getattr(form, "axis", getattr(form, "normal", (0, 0, 1)))) / 1.0
    axis /= np.linalg.norm(axis)
    across = np.eye(3)[:2] if isinstance(form, EllipsoidForm) else np.cross(axis, [[0.3, -0.5, 0.8], [0.9, 0.1, -0.2]])
    for direction in (axis, -axis, *across):
        direction = direction / np.linalg.norm(direction)
        assert reach(outer, direction) - reach(inner, direction) == pytest.approx(4.0, abs=3e-3)


@given(st.floats(0.1, 5.0), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_inset_of_a_round_rod_is_as_deep_everywhere(thickness, seed):
    outer = make_solid(RodForm(3.0), GOLD, 12.0)
    inner = inset(outer, thickness)
    # A rod with hemispheres is all that is within its radius of a segment.
    radius = 12 * np.cbrt(2 / 8)
    points = np.random.default_rng(seed).uniform(-20, 20, (2000, 3))
    beyond = np.maximum(np.abs(points[:, 2]) - 2 * radius, 0)
    depth = radius - np.hypot(np.hypot(points[:, 0], points[:, 1]), beyond)
    np.testing.assert_array_equal(outer.contains(points), depth >= 0)
    np.testing.assert_array_equal(inner.contains(points), depth >= thickness)


@given(st.floats(0.0, 7.0), st.tuples(*[st.floats(1, 3)] * 3))
@settings(max_examples=20)
def test_the_inset_of_an_ellipsoid_is_off_by_a_sixth_at_most(thickness, axes):
    outer = make_solid(EllipsoidForm(axes), GOLD, 20.0)
    lengths = np.diag(outer.axes)
    thickness = min(thickness, lengths.min() / 3)
    inner = inset(outer, thickness)
    np.testing.assert_allclose(np.diag(inner.axes), lengths - thickness)
    # Distance of the planes that touch the two across every direction.
    directions = np.random.default_rng(0).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    depth = np.linalg.norm(directions @ outer.axes, axis=1) - np.linalg.norm(directions @ inner.axes, axis=1)
    assert depth.max() <= thickness + 1e-9
    assert depth.min() >= thickness * 5 / 6 - 1e-9


@pytest.mark.parametrize(
    ("form", "largest"),
    [
        ("sphere", 12.0),
        ("cube", 12.0 * np.cbrt(np.pi / 6)),
        (EllipsoidForm((1.0, 1.0, 8.0)), 6.0),
        (RodForm(3.0), 12.0 * np.cbrt(2 / 8)),
        (RodForm(3.0, (0, 0, 1), "flat"), 12.0 * np.cbrt(2 / 9)),
        (PlateletForm(4.0, (1, 1, 1), "circle"), 12.0 * np.cbrt(2 / 3 * 4) / 4),
        (PlateletForm(4.0), 12.0 * np.cbrt(2 / 3 * 4) / 4),
    ],
    ids=str,
)
def test_a_thickness_that_leaves_nothing_is_refused(form, largest):
    solid = make_solid(form, GOLD, 12.0)
    inset(solid, largest - 0.01)
    for thickness in (largest + 0.01, 30.0):
        with pytest.raises(StructureError, match=rf"shell.thickness is {thickness:g} Å, which leaves nothing"):
            inset(solid, thickness)


def test_insets_of_nothing_known_are_refused():
    with pytest.raises(StructureError, match="type Complement"):
        inset(Complement(sphere(1.0)), 0.1)
    for thickness in (-1.0, float("nan")):
        with pytest.raises(StructureError, match=r"shell\.thickness is"):
            inset(sphere(10.0), thickness)
