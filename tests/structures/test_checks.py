"""What a structures block may ask for, told before anything is made."""

import pytest

from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.errors import StructureError
from exitwave.structures.checks import check_block, elements_of

AU = {"radius": 10.0}


def block(particles=None, substrate=None):
    return NanoparticlesOnSubstrate.model_validate(
        {
            "kind": "nanoparticles_on_substrate",
            "count": 1,
            "field_of_view": 60.0,
            "particles": {**AU, **(particles or {})},
            "substrate": substrate,
        }
    )


def crystal_of(material):
    return {"kind": "crystal", "material": material, "thickness": 10}


UNKNOWN = [
    ({"material": "Xy"}, None, "particles", "Xy"),
    ({"material": {"choice": ["Au", "unobtainium"]}}, None, "particles", "unobtainium"),
    ({"material": "missing.cif"}, None, "particles", "missing.cif"),
    ({"shell": {"material": "Xy", "thickness": 3}}, None, "particles.shell", "Xy"),
    ({"shell": {"material": {"choice": ["Ag", "Xy"]}, "thickness": 3}}, None, "particles.shell", "Xy"),
    ({}, crystal_of("Xy"), "substrate", "Xy"),
    ({}, crystal_of({"choice": ["CeO2", "gone.cif"]}), "substrate", "gone.cif"),
    ({}, {"kind": "layers", "material": "Xy"}, "substrate", "Xy"),
    ({"material": "Xy", "shape": {"kind": "island"}}, None, "particles", "Xy"),
]
IMPOSSIBLE = [
    ({"material": "CdSe", "shape": "octahedron"}, None, "particles.shape", "octahedron.*'CdSe'"),
    (
        {"material": {"choice": ["Au", "CdSe"]}, "shape": {"choice": ["sphere", "cube"]}},
        None,
        "particles.shape",
        "cube.*'CdSe'",
    ),
    ({"material": "CdSe", "shape": "icosahedron"}, None, "particles.shape", "icosahedron.*CdSe|CdSe.*icosahedron"),
    (
        {"material": "Au", "shape": {"kind": "wulff", "energies": {"111": 1, "-111": 2}}},
        None,
        "particles.shape",
        "equivalent",
    ),
    (
        {"material": "CdSe", "shape": {"kind": "wulff", "energies": {"001": 1}}},
        None,
        "particles.shape",
        "shape.energies",
    ),
    (
        {
            "material": "Pt",
            "shape": {"kind": "winterbottom", "energies": {"111": 1}, "interface_energy": {"uniform": [-1.5, 0.5]}},
        },
        None,
        "particles.shape",
        "interface_energy is -1.5",
    ),
    (
        {"material": "Au", "shape": "octahedron", "radius": 10, "shell": {"material": "Ag", "thickness": 9}},
        None,
        "particles.shape",
        "shell.thickness is 9",
    ),
    ({"material": "Au", "shape": {"kind": "island"}}, None, "particles", "'Au'.*not a layered material.*MoS2"),
    ({}, {"kind": "layers", "material": "CeO2"}, "substrate", "'CeO2'.*not a layered material.*MoS2"),
    (
        {"material": "CdSe", "dopants": [{"element": "Zn", "host": "Te", "fraction": 0.1}]},
        None,
        "particles.dopants",
        "host is 'Te'.*'CdSe'.*Cd, Se",
    ),
    (
        {"material": {"choice": ["CdSe", "Au"]}, "dopants": [{"element": "Zn", "host": "Cd", "fraction": 0.1}]},
        None,
        "particles.dopants",
        "host is 'Cd'.*'Au'",
    ),
    ({"dopants": [{"element": "Qq", "fraction": 0.1}]}, None, "particles.dopants", "element is 'Qq'"),
    (
        {"dopants": [{"element": "X", "fraction": 0.1}]},
        None,
        "particles.dopants",
        "element is 'X'",
    ),
    (
        {"dopants": [{"element": "Ag", "host": "Qq", "fraction": 0.1}]},
        None,
        "particles.dopants",
        "host is 'Qq'",
    ),
    (
        {"dopants": [{"element": "Au", "host": "Au", "fraction": 0.1}]},
        None,
        "particles.dopants",
        "'Au'",
    ),
    ({"antisites": 0.05}, None, "particles.antisites", "'Au'.*one element.*allowed: 0"),
    (
        {"material": {"choice": ["CdSe", "Si"]}, "antisites": {"uniform": [0, 0.1]}},
        None,
        "particles.antisites",
        "'Si'.*one element",
    ),
    (
        {"ligands": {"molecule": "phlogiston", "anchor": "S", "density": 1}},
        None,
        "particles.ligands",
        "'phlogiston'",
    ),
    (
        {"ligands": {"molecule": "gone.xyz", "anchor": "S", "density": 1}},
        None,
        "particles.ligands",
        "'gone.xyz'",
    ),
    (
        {"ligands": {"molecule": "CH3SH", "anchor": "N", "density": 1}},
        None,
        "particles.ligands",
        "anchor is 'N'.*'CH3SH'.*C, H, S",
    ),
    (
        {"material": "PbS", "planar_defects": {"number": {"uniform": [0, 1]}}},
        None,
        "particles",
        "planar_defects.number.*'PbS'.*allowed: 0, or",
    ),
]


@pytest.mark.parametrize(("particles", "substrate", "key", "named"), UNKNOWN)
def test_an_unknown_material_is_an_error_wherever_it_is_named(particles, substrate, key, named):
    with pytest.raises(StructureError) as error:
        check_block(block(particles, substrate))
    message = str(error.value)
    assert message.startswith(f"{key}: material is '{named}'")
    assert "allowed: " in message
    assert "\n" not in message


@pytest.mark.parametrize(("particles", "substrate", "key", "pattern"), IMPOSSIBLE)
def test_what_cannot_be_made_is_one_sentence_that_begins_with_its_key(particles, substrate, key, pattern):
    with pytest.raises(StructureError, match=pattern) as error:
        check_block(block(particles, substrate))
    message = str(error.value)
    assert message.startswith((f"{key}: ", f"{key} "))
    assert "\n" not in message
    assert not message.rstrip().endswith(".")
    assert message.count(key) == 1


@pytest.mark.parametrize(
    ("particles", "substrate"),
    [
        ({}, None),
        ({"material": "CdSe", "planar_defects": {"number": 2}, "antisites": 0.05}, {"thickness": 10}),
        ({"shape": {"choice": ["sphere", "icosahedron", "decahedron", "tetrahedron"]}}, crystal_of("CeO2")),
        ({"material": "MoS2", "shape": {"kind": "island"}}, {"kind": "layers", "material": "graphene"}),
        ({"shell": {"material": {"choice": ["Ag", "Pd"]}, "thickness": 3}}, {"thickness": 5, "material": "a-SiO2"}),
        ({"ligands": {"molecule": "CH3S", "anchor": "S", "density": 1}}, None),
        ({"material": "CdSe", "shape": {"kind": "rod", "aspect": {"uniform": [1, 3]}}}, None),
        ({"material": "CdSe", "dopants": [{"element": "Zn", "host": "Cd", "fraction": 0.1}]}, None),
        ({"antisites": {"uniform": [0, 0]}}, None),
    ],
)
def test_what_can_be_made_passes(particles, substrate):
    check_block(block(particles, substrate))


@pytest.mark.parametrize(
    ("particles", "substrate", "expected"),
    [
        ({}, None, "Au"),
        ({"material": {"choice": ["CdSe", "Pt"]}}, {"thickness": 10}, "C Cd Pt Se"),
        ({}, {"thickness": 10, "material": "a-SiNx"}, "Au N Si"),
        ({}, {"thickness": 10, "material": "a-SiO2"}, "Au O Si"),
        ({}, crystal_of({"choice": ["CeO2", "MgO"]}), "Au Ce Mg O"),
        ({"material": "WS2", "shape": {"kind": "island"}}, {"kind": "layers", "material": "hBN"}, "B N S W"),
        ({"shell": {"material": {"choice": ["Ag", "CdS"]}, "thickness": 3}}, None, "Ag Au Cd S"),
        ({"dopants": [{"element": "Cu", "fraction": 0.1}, {"element": "Ni", "fraction": 0.1}]}, None, "Au Cu Ni"),
        ({"ligands": {"molecule": "CH3SH", "anchor": "S", "density": 1}}, None, "Au C H S"),
    ],
)
def test_the_elements_are_all_that_may_come_into_a_structure(particles, substrate, expected):
    assert elements_of(block(particles, substrate)) == set(expected.split())


def test_materials_and_molecules_of_files_are_read(tmp_path):
    from ase.build import bulk, molecule
    from ase.io import write

    cif, xyz = tmp_path / "rocksalt.cif", tmp_path / "thiol.xyz"
    write(cif, bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    write(xyz, molecule("CH3SH"))
    given = block(
        {"material": str(cif), "antisites": 0.1, "ligands": {"molecule": str(xyz), "anchor": "S", "density": 1}}
    )
    check_block(given)
    assert elements_of(given) == {"Na", "Cl", "C", "H", "S"}
    xyz.write_text("not a molecule")
    given = block({"ligands": {"molecule": str(tmp_path / "broken.xyz"), "anchor": "S", "density": 1}})
    (tmp_path / "broken.xyz").write_text("not a molecule\n")
    with pytest.raises(StructureError, match=r"^particles.ligands: molecule is .* cannot be read"):
        check_block(given)
