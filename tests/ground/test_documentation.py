"""The documentation says what is true: snippets run, commands exist as they are written, links lead somewhere.

A page that is added is looked at as all others are. Languages of its blocks are those of ``LANGUAGES``, so that nothing
passes by unseen.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.experiment import REQUIRED, Experiment
from exitwave.config.kinds import STAGES
from exitwave.study.docs import json_schema
from exitwave.study.link import study_from

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "config" / "README.md", ROOT / "results" / "README.md", *ROOT.glob("docs/*.md")]
LANGUAGES = {"", "python", "sh", "yaml", "csv", "json"}
RUN_ELSEWHERE = {
    "docs/structures.md": "tests/structures/test_page.py",
    "docs/add_a_kind.md": "tests/contract/test_add_a_kind.py",
    "docs/diffraction.md": "tests/images/test_page.py",
    "docs/strain.md": "tests/jobs/test_strain_page.py",
}
"""Pages whose snippets are run by tests of their own."""
EACH_BY_ITSELF = {"docs/artifacts.md"}
"""Pages that say that each of their snippets can be run by itself; those of others run one after another."""
READERS_OWN = re.compile(r"\bmine\b|\bmy_|\bmysite\b|[A-Z]{3,}|^https?:|=|[*$~]|\.\.\.")
"""In a path: files of the reader's own, and placeholders."""
PARTS = ("config", "docs", "envs", "profiles", "resources", "rules", "scripts", "src", "tests", "captions")

STUDY = """
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 2
    field_of_view: 25.6
    particles: {radius: 6}
    substrate: {thickness: 5}
exit_waves:
  still: {structures: gold, kind: plane_wave, sampling: 0.4}
images:
  noisy: {exit_waves: still, kind: hrtem, pixel_size: 0.8, size: 32, dose: {uniform: [100, 300]}, per_structure: 2}
"""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def all_blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block of a page."""
    return re.findall(r"^```([a-zA-Z]*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in all_blocks(page) if found == language]


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=name_of(page)) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_in_a_language_that_is_checked(page: Path) -> None:
    unknown = {language for language, _ in all_blocks(page)} - LANGUAGES
    assert not unknown, f"{name_of(page)}: blocks of {unknown} are not checked; allowed: {LANGUAGES}"


# --- Python -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the root of the project, with the results of a tiny study and files that a reader may have."""
    from exitwave.benchmark.paired import compare
    from exitwave.benchmark.segmentation import metric
    from exitwave.config.models import Segmentation
    from exitwave.data.tables import join_tables, write_table
    from exitwave.jobs.learn import make_catalog
    from exitwave.jobs.simulate import make_shard
    from exitwave.study.description import Description, describe
    from exitwave.study.plan import SIMULATION, sources_of
    from exitwave.training.kinds import task_of
    from exitwave.training.networks import save_network

    folder = tmp_path_factory.mktemp("run")
    for part in ("config", "docs", "resources"):
        (folder / part).symlink_to(ROOT / part)
    study = study_from(yaml.safe_load(STUDY), "study.yaml")

    def shard_of(member: Any) -> Path:
        return folder / "results" / member.folder / "shard-000000-000002.zarr.zip"

    for stage in SIMULATION:
        member = study.stage(stage)[0]
        sources = {name: shard_of(source) for name, source in sources_of(member).items()}
        make_shard(Description.parse(describe(member)), range(2), sources, shard_of(member))
    images = [str(shard_of(study.stage("images")[0]))]
    for name in ("demo", "core_shell"):
        make_catalog(images, folder / "results" / "report" / name / "catalog.parquet")
    write_table(folder / "results" / "datasets" / "d-1" / "manifest.parquet", join_tables(images).assign(split="train"))
    model = Segmentation(kind="segmentation", encoder_depth=3)
    task = task_of(model, {})
    judged, discs = metric(task, 0.5), np.hypot(*np.ogrid[-20:20, -20:20]) < 9
    row = {"kind": "ensemble", **judged.of_image(discs.astype(np.float64), discs, 0.8)}
    write_table(folder / "results/report/demo/benchmarks/scottlab-1/per_image.parquet", pd.DataFrame([row]))
    rows = [{**row, "kind": "network", "method": m, "seed": 0, "image": i, "group": i} for m in "ab" for i in range(3)]
    differences = compare(pd.DataFrame(rows), judged, 100, "0" * 8)
    write_table(folder / "results/report/demo/benchmarks/scottlab-1/differences.parquet", differences)
    save_network(folder / "results/trainings/t-1/seed-0", task.build(), task, pixel_size=0.8, info={})
    (folder / "crystals").mkdir()
    shutil.copy(ROOT / "resources/crystals/fcc/Au.cif", folder / "crystals/my_phase.cif")
    return folder


def installed(code: str) -> bool:
    """Whether all that a snippet imports is there."""
    tree = list(ast.walk(ast.parse(code)))
    names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in tree if isinstance(node, ast.ImportFrom) and node.module}
    return all(importlib.util.find_spec(name.partition(".")[0]) for name in names)


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_snippets_of_a_page_run(page: Path, results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name_of(page) in RUN_ELSEWHERE:
        assert page.name in (ROOT / RUN_ELSEWHERE[name_of(page)]).read_text(encoding="utf-8")
        return
    folder = tmp_path / "run"
    shutil.copytree(results, folder, symlinks=True)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for number, code in enumerate(blocks(page, "python"), 1):
        if not installed(code):
            continue
        if name_of(page) in EACH_BY_ITSELF:
            names = {}
        try:
            exec(compile(code, f"{name_of(page)}, snippet {number}", "exec"), names)
        except Exception as error:
            pytest.fail(f"{name_of(page)}, snippet {number}: {type(error).__name__}: {error}\n{code}")


def test_what_the_snippets_for_other_tools_give_is_what_was_stored(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    names: dict[str, Any] = {}
    for code in blocks(ROOT / "docs" / "artifacts.md", "python"):
        if installed(code):
            exec(compile(code, "artifacts.md", "exec"), names)
    assert names["counts"].shape == names["mask"].shape == (32, 32)
    assert names["axes"]["y"] == names["axes"]["x"] == (0.8, "Å")
    assert len(names["atoms"]) > len(names["particles"]) > 0
    assert names["image"].array.mean() == pytest.approx(1, abs=0.1)
    assert names["network"].pixel_size == 0.8


# --- commands ---------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of the ``sh`` blocks of a page, in words, without what only the shell needs."""
    for text in blocks(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:&&|\||;)\s", f" {line} "):
                words = shlex.split(
                    part.replace("[--", "--").replace("]", "") if " [--" in part else part, comments=True
                )
                while words and re.fullmatch(r"[A-Za-z_]+=.*", words[0]):  # variables of the environment
                    words = words[1:]
                if words:
                    yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def inline(page: Path, program: str) -> Iterator[list[str]]:
    """Mentions of a program with arguments in the text of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(rf"`(?:\.venv/bin/)?{program} ([^`]+)`", text):
        yield found.split()


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command of ``exitwave`` that is named, and the words after its name."""
    command: Any = get_command(app)
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def wrong_with_exitwave(arguments: list[str]) -> str:
    """What ``exitwave`` would find wrong with its arguments."""
    command, rest = command_of(arguments)
    if "--help" in rest:
        return ""
    if isinstance(command, TyperGroup):
        return f"exitwave has no command {' '.join(arguments)}; allowed here: {', '.join(command.commands)}"
    try:
        command.make_context("exitwave", list(rest))
    except TyperException as error:
        return str(error.format_message())
    return ""


def targets_of_make() -> tuple[set[str], set[str]]:
    """Targets of the Makefile, and variables that may be given."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)), {
        *re.findall(r"^([A-Z]+) \?=", text, re.MULTILINE),
        "UPGRADE",
    }


def wrong(words: list[str]) -> str:
    """What is wrong with a command; nothing if it is right."""
    program, *arguments = words
    match program:
        case "exitwave":
            if problem := wrong_with_exitwave(arguments):
                return problem
        case "make":
            targets, variables = targets_of_make()
            for word in arguments:
                if word.partition("=")[0] not in (variables if "=" in word else targets):
                    return f"the Makefile has no {word}"
        case "snakemake":
            known = snakemake_options()
            unknown = [word for word in arguments if word.startswith("-") and word.partition("=")[0] not in known]
            if unknown:
                return f"snakemake has no option {unknown[0]}"
        case "python" | "python3":
            if arguments[0] == "-m" and importlib.util.find_spec(arguments[1]) is None:
                return f"there is no module {arguments[1]}"
        case "pip" | "git" | "cd" | "cp" | "source" | "tensorboard":
            pass
        case _:
            return f"the tests of the documentation do not know '{program}'"
    for word in arguments:
        path = word.partition("#")[0].rstrip("/")
        if path.partition("/")[0] in PARTS and not list(ROOT.glob(path)) and not READERS_OWN.search(word):
            return f"there is no {word}"
    return ""


def snakemake_options() -> set[str]:
    from snakemake.cli import get_argument_parser

    return set(get_argument_parser()._option_string_actions)


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_are_as_they_are_written(page: Path) -> None:
    problems = [f"{' '.join(words)}: {problem}" for words in commands(page) if (problem := wrong(words))]
    assert not problems, f"{name_of(page)}: " + "; ".join(problems)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_named_in_the_text_exist(page: Path) -> None:
    targets, _ = targets_of_make()
    for words in inline(page, "make"):
        assert words[0] in targets or "=" in words[0], f"{name_of(page)}: make {words[0]}"
    for words in inline(page, "exitwave"):
        command, rest = command_of(words)
        assert not isinstance(command, TyperGroup), f"{name_of(page)}: exitwave {' '.join(words)}"
        known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
        options = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help"}
        assert options <= known, f"{name_of(page)}: exitwave {' '.join(words)}"


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_every_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


CHEAP = (["catalog"], ["export"], ["config", "show"])
"""Beginnings of commands that are run as they are written, on the results of a tiny study."""


def test_cheap_commands_run_as_they_are_written(results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(results, folder, symlinks=True)
    monkeypatch.chdir(folder)
    run = 0
    for page in PAGES:
        for program, *words in commands(page):
            cheap = program == "exitwave" and any(words[: len(start)] == start for start in CHEAP)
            if not cheap or any(READERS_OWN.search(word) for word in words if word.startswith("config/")):
                continue
            # The shard and the folder of the tiny study in the place of those of a real one.
            there = [filled(word, folder) for word in words]
            shown = CliRunner().invoke(app, there)
            assert shown.exit_code == 0, (
                f"{name_of(page)}: exitwave {' '.join(words)}: {shown.output} {shown.exception}"
            )
            run += 1
    assert run >= 6


def filled(word: str, folder: Path) -> str:
    """A path with placeholders as it is in a folder."""
    if "NAME-HASH" not in word:
        return word
    pattern = re.sub(r"shard-\d+-\d+", "shard-*", word.replace("NAME-HASH", "*"))
    return str(min(folder.glob(pattern)).relative_to(folder))


# --- config and tables ------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_what_is_shown_of_the_config_is_what_it_accepts(page: Path) -> None:
    if name_of(page) == "docs/add_a_kind.md":
        return  # of a kind that is added there
    schema = json_schema()
    for text in blocks(page, "yaml"):
        content = yaml.safe_load(text)
        assert isinstance(content, dict), f"{name_of(page)}: {text}"
        if set(content) <= set(schema["properties"]):
            problem = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(content)), None)
            assert problem is None, f"{name_of(page)}: {problem.message if problem else ''}: {text}"
        else:
            fits = fits_a_block(content, schema) or fits_snakemake(content) or fits_a_sidecar(content)
            assert fits, f"{name_of(page)}: {text}"


def fits_a_block(content: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether these can be keys of a block of some stage."""
    for kinds in STAGES.values():
        for model in kinds.values():
            block = {"$defs": schema["$defs"], "$ref": f"#/$defs/{model.__name__}"}
            if jsonschema.Draft202012Validator(block).is_valid(content):
                return True
    return False


def fits_a_sidecar(content: dict[str, Any]) -> bool:
    """Whether this can be what is said of an image."""
    try:
        return set(REQUIRED) <= set(Experiment.model_validate(content).given())
    except ValidationError:
        return False


def fits_snakemake(content: dict[str, Any]) -> bool:
    """Whether these can be keys of a profile."""
    return {f"--{key}" for key in content} <= snakemake_options() | {"--executor"}


def test_a_whole_study_that_is_shown_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    loaded = 0
    for page in PAGES:
        for text in blocks(page, "yaml"):
            content = yaml.safe_load(text)
            whole = "base" in content or {"structures", "images"} <= set(content)
            if whole and "# ..." not in text and name_of(page) != "docs/add_a_kind.md":
                study_from(content, f"a study of {name_of(page)}", ROOT / "config" / "studies")
                loaded += 1
    assert loaded >= 2


@pytest.mark.parametrize("page", pages_with("csv"))
def test_tables_that_are_shown_are_tables(page: Path) -> None:
    for text in blocks(page, "csv"):
        table = pd.read_csv(io.StringIO(text))
        assert len(table) > 0
        assert not any(str(column).startswith("Unnamed") for column in table.columns), text


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("docs/images/"):  # pictures are made by the pipeline
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_list_of_pages() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "README.md" or f"({page.name})" in text, page.name


def test_how_to_activate_the_environment_is_said() -> None:
    for page in ("docs/README.md", "docs/tutorial.md", "docs/installation.md"):
        assert "source .venv/bin/activate" in (ROOT / page).read_text(encoding="utf-8"), page


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("exitwave segmnt a.png", "no command"),
        ("exitwave export shard.zarr.zip --itm 0 --output a.xyz", "No such option"),
        ("exitwave export shard.zarr.zip --output a.xyz", "Missing option"),
        ("make rnu", "no rnu"),
        ("make run STDUY=a.yaml", "no STDUY"),
        ("snakemake --coers 3", "no option --coers"),
        ("snakemake --configfile config/studies/gone.yaml", "there is no config/studies/gone.yaml"),
        ("python docs/gone.py", "there is no docs/gone.py"),
        ("frobnicate now", "do not know"),
    ],
)
def test_what_is_wrong_with_a_command_is_seen(command: str, problem: str) -> None:
    assert problem in wrong(command.split())
