"""The lock, the conda file and the front door agree with ``pyproject.toml``."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "envs" / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]


@pytest.fixture(scope="module")
def make_conda() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_conda", ROOT / "envs" / "make_conda.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins() -> list[tuple[Requirement, str]]:
    """Every entry of the lock with the text of its hashes."""
    entries = re.findall(r"^([A-Za-z0-9][^\\\n]*)((?:\\\n +--hash=\S+ *)*)", LOCK, flags=re.MULTILINE)
    return [(Requirement(text.strip()), hashes) for text, hashes in entries]


def test_every_entry_of_the_lock_is_pinned_and_hashed() -> None:
    assert len(pins()) > 100
    for pin, hashes in pins():
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin.name
        assert "--hash=sha256:" in hashes, pin.name


def test_the_lock_names_no_package_index_and_no_path() -> None:
    assert "://" not in LOCK
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)", LOCK)
    assert not re.search(r"(^|\s)/\w+/", LOCK)


def test_the_lock_holds_every_direct_dependency_in_an_allowed_version() -> None:
    for dependency in DIRECT:
        versions = [p for p, _ in pins() if canonicalize_name(p.name) == canonicalize_name(dependency.name)]
        assert versions, f"{dependency.name} is not in the lock: run `make lock`"
        for pin in versions:
            assert dependency.specifier.contains(str(pin.specifier).removeprefix("==")), dependency.name


def test_the_lock_holds_what_builds_the_project() -> None:
    # The project is installed without build isolation, so that nothing unlocked is ever fetched.
    assert "setuptools" in {canonicalize_name(pin.name) for pin, _ in pins()}


def test_what_is_installed_is_what_is_locked() -> None:
    for pin, _ in pins():
        if pin.marker is None or pin.marker.evaluate():
            assert importlib.metadata.version(pin.name) == str(pin.specifier).removeprefix("=="), pin.name


def test_the_conda_file_is_up_to_date(make_conda: ModuleType) -> None:
    assert (ROOT / "envs" / "exitwave.yaml").read_text(encoding="utf-8") == make_conda.conda_file(), (
        "run `make docs-keys`"
    )


def test_the_conda_file_pins_every_direct_dependency() -> None:
    content = yaml.safe_load((ROOT / "envs" / "exitwave.yaml").read_text(encoding="utf-8"))
    *conda, pip = content["dependencies"]
    assert [entry.partition("=")[0] for entry in conda] == ["python", "pip"]
    pinned = {canonicalize_name(Requirement(entry).name) for entry in pip["pip"]}
    assert pinned == {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert re.search(r"^make test$", text, flags=re.MULTILINE)


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments]
    environment = {**os.environ, "MAKEFLAGS": "", **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_target_is_explained() -> None:
    shown = make(ROOT, "help").stdout
    for target in ("run", "test", "lint", "bench", "docs-keys", "lock", "clean"):
        assert re.search(rf"^make {target} +\S", shown, flags=re.MULTILINE), target


def test_a_study_of_ones_own_gets_a_report_of_its_own() -> None:
    commands = make(ROOT, "-n", "run", "STUDY=config/studies/mine.yaml", "CORES=3").stdout
    assert "snakemake --cores 3 --configfile config/studies/mine.yaml" in commands
    assert "results/report/mine.html" in commands
    assert "results/report/report.html" in make(ROOT, "-n", "run").stdout


def test_without_a_suitable_python_there_is_one_clear_sentence(tmp_path: Path) -> None:
    for file in ("pyproject.toml", "envs/requirements.lock"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    done = make(tmp_path, ".venv/.installed", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no Python 3.11 to 3.14" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_installation_that_fails_leaves_no_stamp_and_a_later_one_mends_it(tmp_path: Path) -> None:
    for file in ("pyproject.toml", "envs/requirements.lock"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    # A stand-in for the environment, whose pip fails while a file says so.
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "pip"):
        (binaries / name).write_text(f"#!/bin/sh\n# {binaries}/python\n[ ! -e {tmp_path}/broken ]\n", encoding="utf-8")
        (binaries / name).chmod(0o755)
    stamp = tmp_path / ".venv" / ".installed"
    stamp.write_text("/another/folder\n", encoding="utf-8")
    (tmp_path / "broken").touch()
    assert make(tmp_path, ".venv/.installed", "PYTHON=false").returncode != 0
    assert not stamp.exists()
    (tmp_path / "broken").unlink()
    assert make(tmp_path, ".venv/.installed", "PYTHON=false").returncode == 0
    assert stamp.read_text(encoding="utf-8") == f"{tmp_path}\n"
    assert "up to date" in make(tmp_path, ".venv/.installed").stdout


def project(folder: Path) -> Path:
    """A folder with what the installation reads, and an environment whose pip does nothing but note its arguments."""
    for file in ("pyproject.toml", "envs/requirements.lock", "envs/lean.py"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes((ROOT / file).read_bytes())
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    script = f'#!/bin/sh\n# {binaries}/python\ncase "$1" in *.py) exec {sys.executable} "$@";; esac\n'
    for name in ("python", "pip"):
        (binaries / name).write_text(f'{script}echo "$@" >> {folder}/called\n', encoding="utf-8")
        (binaries / name).chmod(0o755)
    return folder


def with_free_space(folder: Path, gigabytes: int) -> str:
    """A ``PATH`` on which ``df`` finds so much."""
    (folder / "tools").mkdir(exist_ok=True)
    df = folder / "tools" / "df"
    df.write_text(f"#!/bin/sh\necho Filesystem\necho disk 0 0 {gigabytes * 10**6} 0% /\n", encoding="utf-8")
    df.chmod(0o755)
    return f"{folder / 'tools'}:{os.environ['PATH']}"


def test_a_disk_that_is_too_small_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = make(folder, ".venv/.installed", "PYTHON=false", PATH=with_free_space(folder, 8))
    assert done.returncode != 0
    assert "found 8 GB free on this disk; the installation takes 7 GB" in done.stderr
    assert "pip install" not in (folder / "called").read_text(encoding="utf-8")
    done = make(folder, ".venv/.installed", "PYTHON=false", PATH=with_free_space(folder, 50))
    assert done.returncode == 0
    assert "installing 7 GB into .venv; 50 GB are free" in done.stdout


def test_an_environment_that_is_whole_but_for_a_package_needs_no_room_for_all(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / ".venv" / "lib" / "python3.12" / "site-packages" / "torch").mkdir(parents=True)
    assert make(folder, ".venv/.installed", "PYTHON=false", PATH=with_free_space(folder, 1)).returncode == 0


def test_a_lean_installation_takes_all_but_pytorch_and_the_libraries_for_gpus(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = make(folder, ".venv/.installed", "PYTHON=false", "LEAN=1", PATH=with_free_space(folder, 5))
    assert done.returncode != 0
    assert "found no torch in .venv" in done.stderr
    (folder / ".venv" / "lib" / "python3.12" / "site-packages" / "torch").mkdir(parents=True)
    done = make(folder, ".venv/.installed", "PYTHON=false", "LEAN=1", PATH=with_free_space(folder, 5))
    assert done.returncode == 0, done.stderr
    called = (folder / "called").read_text(encoding="utf-8")
    assert "pip install --disable-pip-version-check --no-deps --require-hashes -r .venv/lean.lock" in called
    lean = (folder / ".venv" / "lean.lock").read_text(encoding="utf-8")
    kept = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9][^=\s]*)==", lean, flags=re.MULTILINE)}
    assert 100 < len(kept) < len(pins())
    assert not [name for name in kept if re.match(r"torch$|torchvision|triton|nvidia|cuda", name)]
    # Whatever a package that is kept needs is kept too, or is what was installed before.
    for pin, _ in pins():
        if canonicalize_name(pin.name) in kept and (pin.marker is None or pin.marker.evaluate()):
            for text in importlib.metadata.requires(pin.name) or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                    assert canonicalize_name(needed.name) in kept | {"torch", "torchvision"}, f"{pin.name}: {needed}"


def copyleft() -> dict[str, str]:
    """Packages of the lock under licences that ask something of whoever passes them on, with the licence."""
    found = {}
    installed = {canonicalize_name(distribution.name) for distribution in importlib.metadata.distributions()}
    for pin, _ in pins():
        if canonicalize_name(pin.name) in installed:  # those for GPUs are not in a lean environment
            metadata = importlib.metadata.metadata(pin.name)
            classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License")]
            # Some packages have the whole text of their licence in place of its name.
            name = (metadata.get("License-Expression") or metadata.get("License") or "").partition("\n")[0]
            text = " ".join([name, *classifiers])
            licence = re.search(r"\b(A?L?GPL|MPL|Mozilla|General Public|Proprietary)", text)
            if licence:
                found[pin.name] = licence.group(1)
    return found


def test_the_page_on_installation_names_every_package_that_asks_something_of_whoever_passes_it_on() -> None:
    text = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    assert {"abtem", "rosettasciio", "ase"} <= set(copyleft())
    for name in copyleft():
        assert f"`{'nvidia-*' if name.startswith('nvidia-') else name}`" in text, f"docs/installation.md: {name}"


def test_the_citation_names_the_papers() -> None:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {reference["doi"] for reference in content["references"]} == {
        "10.1038/s41524-024-01336-0",
        "10.1038/s41524-022-00939-9",
        "10.1021/acs.jcim.2c01533",
    }
    assert content["version"] == PROJECT["version"]
    assert content["license"] == PROJECT["license"]


def test_numpy_computes_as_on_a_processor_without_avx512():
    """The names of features change with NumPy's releases; one that is unknown is ignored without a word."""
    code = (
        "import warnings; warnings.simplefilter('error'); import exitwave, numpy._core._multiarray_umath as core;"
        "print([name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NPY_DISABLE_CPU_FEATURES"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert set(ast.literal_eval(done.stdout)) <= {"X86_V3"}


def test_who_sets_the_features_of_numpy_is_left_alone():
    code = "import os, exitwave; print(os.environ['NPY_DISABLE_CPU_FEATURES'])"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "AVX512_SPR"
