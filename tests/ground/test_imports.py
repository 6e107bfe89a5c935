"""The order of the house: imports point downwards, and there is no circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
FLOORS = (
    ("errors", "electron", "hardware"),
    ("config",),
    ("items",),
    ("structures",),
    ("waves", "labels", "data", "literature"),
    ("imaging",),
    ("images",),
    ("training",),
    ("benchmark",),
    ("study",),
    ("report",),
    ("jobs",),
    ("api",),
    ("cli",),
)
"""Packages and modules of ``exitwave``, from the ground up: each may import its own floor and those below."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports(code: str) -> set[str]:
    """Modules that a module imports: anywhere in it, for types and inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("exitwave.")}


def house(source: Path) -> dict[str, set[str]]:
    """Every module of the package with those that it imports."""
    files = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (source / "exitwave").rglob("*.py")
    }
    return {name: imports(file.read_text("utf-8")) & files.keys() - {name} for name, file in files.items()}


def upwards(modules: dict[str, set[str]]) -> list[str]:
    """Imports that point upwards."""

    def floor(module: str) -> int:
        return FLOOR[module.split(".")[1]] if "." in module else len(FLOORS)

    return sorted(f"{a} -> {b}" for a, targets in modules.items() for b in targets if floor(b) > floor(a))


@pytest.fixture(scope="module")
def modules() -> dict[str, set[str]]:
    found = house(SOURCE)
    assert len(found) > 100
    return found


def test_every_package_has_its_floor(modules: dict[str, set[str]]) -> None:
    assert {module.split(".")[1] for module in modules if "." in module} == set(FLOOR)


def test_imports_point_downwards(modules: dict[str, set[str]]) -> None:
    assert upwards(modules) == []


def test_there_is_no_circle(modules: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(modules).prepare()
    except CycleError as error:
        pytest.fail(f"circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "code",
    [
        "from exitwave.study.member import Member",
        "import exitwave.jobs.run",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from exitwave.report import style",
        "def late():\n    from exitwave.training import loop",
    ],
)
def test_an_import_upwards_is_found_wherever_it_stands(modules: dict[str, set[str]], code: str) -> None:
    extended = {**modules, "exitwave.data.new": imports(code) & modules.keys()}
    assert upwards(extended)
