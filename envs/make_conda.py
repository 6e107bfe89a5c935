"""Make ``envs/exitwave.yaml``, the conda file, from ``pyproject.toml`` and the lock.

Python comes from conda-forge, the direct dependencies from the package index in the versions of the
lock: the same builds that the lock installs and the tests have run with.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "envs" / "requirements.lock"
CONDA = ROOT / "envs" / "exitwave.yaml"
PYTHON = "3.11"
"""Oldest Python that the lock is resolved for."""


def locked_versions(python: str = PYTHON) -> dict[str, str]:
    """Version of each package in the lock that applies to a Python version on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    versions = {}
    for line in re.findall(r"^[A-Za-z0-9][^\\\n]*", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE):
        pin = Requirement(line.strip())
        if pin.marker is None or pin.marker.evaluate(environment):
            versions[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return versions


def conda_file() -> str:
    """Text of the conda file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked_versions()
    lines = [
        "# Made by `make docs-keys` from pyproject.toml and requirements.lock; do not edit.",
        "name: exitwave",
        "channels: [conda-forge, nodefaults]",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
    ]
    for text in sorted(project["dependencies"], key=str.lower):
        dependency = Requirement(text)
        extras = f"[{','.join(sorted(dependency.extras))}]" if dependency.extras else ""
        lines.append(f"      - {dependency.name}{extras}=={versions[canonicalize_name(dependency.name)]}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    CONDA.write_text(conda_file(), encoding="utf-8")
