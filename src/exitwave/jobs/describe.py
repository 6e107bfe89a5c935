"""Sidecars of a person's own images and scans: filled from the files, written, and checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from exitwave.benchmark.facts import Fact
from exitwave.benchmark.sidecars import TOLERANCE, parsed_sidecar, sidecar_beside
from exitwave.benchmark.subjects import Subject, subject_of
from exitwave.config.experiment import REQUIRED, Experiment, nested
from exitwave.config.yaml_files import SIDECAR, parse_yaml, sidecar_of
from exitwave.data.whole import replace_file
from exitwave.errors import ExitwaveError, MicrographError
from exitwave.jobs.apply import find_images

SHA256 = "provenance.sha256"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./()+-]*[A-Za-z0-9)]")
"""Text that YAML needs in no quotation marks."""
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
"""Of which these are taken for something else."""


@dataclass(frozen=True)
class Description:
    """What is known of a file.

    Attributes
    ----------
    path : path
    values : mapping of Fact
        By key, in the order of the template; what a sidecar has goes before what the file holds.
    added : tuple of str
        Keys of which the sidecar has none, if there is one.
    told : tuple of str
        Contradictions, and what cannot be used, in words that go on after the name of the file.
    changed : bool
        Whether the file is another one than that of which the sidecar has recorded the SHA-256.
    """

    path: Path
    values: Mapping[str, Fact]
    added: tuple[str, ...]
    told: tuple[str, ...]
    changed: bool = False

    @property
    def missing(self) -> list[str]:
        """Keys that a whole sidecar has and this one has not, each with what is to be given."""
        return [f"{key} ({what})" for key, what in REQUIRED.items() if key not in self.values]

    @property
    def unknown(self) -> list[str]:
        """Other keys of its technique that nothing is known of."""
        mode = self.values.get("optics.mode")
        of_others = {"STM": "electron_source.", "TEM": "stm.", "STEM": "stm."}.get(mode.value, " ") if mode else " "
        left_out = {*REQUIRED, *self.values}
        return [key for key in _order() if key not in left_out and not key.startswith(of_others)]


@dataclass(frozen=True)
class Checked:
    """What a check says of a file.

    Attributes
    ----------
    path : path
        The image or scan, or a sidecar without one.
    described : bool
        Whether it has a sidecar.
    wrong : str
        What is wrong with it, in one sentence; none if all is right.
    told : tuple of str
        Warnings, in sentences.
    """

    path: Path
    described: bool = True
    wrong: str = ""
    told: tuple[str, ...] = ()


def describe_file(path: Path) -> Description:
    """Find out what a file and its sidecar say.

    Raises
    ------
    MicrographError, ScanError
        If the file cannot be read, or its sidecar is not one or of another image.
    """
    place, subject = sidecar_of(path), subject_of(path)
    sidecar = sidecar_beside(path)
    if sidecar is not None:
        sidecar.check_size(subject.shapes)
    given = {} if sidecar is None else sidecar.experiment.given()
    found = {key: fact for key, fact in subject.facts.items() if key not in given}
    known = {key: Fact(value, place.name) for key, value in given.items()}
    values = {key: value for key in _order() if (value := known.get(key) or found.get(key)) is not None}
    _checked(values, path)
    told = (*subject.told, *_differences(given, subject, place))
    added = tuple(key for key in values if key in found) if sidecar is not None else ()
    digest = subject.facts.get(SHA256)
    changed = digest is not None and given.get(SHA256, digest.value) != digest.value
    return Description(path, values, added, told, changed)


def _order() -> list[str]:
    """All keys, in the order of the template."""
    keys: list[str] = []
    for name, field in Experiment.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        keys += [name] if fields is None else [f"{name}.{key}" for key in fields]
    return keys


def _checked(values: Mapping[str, Fact], path: Path) -> Experiment:
    """The values together, which may contradict each other."""
    return parsed_sidecar(nested({key: fact.value for key, fact in values.items()}), sidecar_of(path))


def _differences(given: Mapping[str, Any], subject: Subject, place: Path) -> Iterator[str]:
    """Where a sidecar says otherwise than the file, in words that go on after the file's name."""
    for key, value in given.items():
        fact = subject.facts.get(key)
        if fact is None or key == SHA256 or _same(value, fact.value):
            continue
        yield f"has {key} {_scalar(fact.value)} ({fact.origin}), but {place.name} says {_scalar(value)}, which is used"


def _same(given: Any, found: Any) -> bool:
    if isinstance(given, datetime):
        return given == datetime.fromisoformat(found)
    if isinstance(given, float):
        return bool(abs(given - found) <= TOLERANCE * abs(found))
    if isinstance(given, tuple):  # the size, which is checked by itself
        return True
    return bool(given == found)


def template(description: Description) -> str:
    """Text of a sidecar: what is known with where it is from, and as comments what is needed besides."""
    head = [f"# {_comment(description.path.name)}: what is known of it, and where each value is from."]
    return "\n".join([*head, *_lines(description.values, set(description.values) | set(REQUIRED))]) + "\n"


def _lines(values: Mapping[str, Fact], keys: set[str]) -> Iterator[str]:
    """Lines of the keys in the order of the template, those without a value as comments."""
    before = ""
    for key in _order():
        if key not in keys:
            continue
        group, _, name = key.rpartition(".")
        if group and group != before:
            commented = not any(other in values for other in keys if other.startswith(f"{group}."))
            yield f"{'# ' if commented else ''}{group}:"
        before, indent = group, "  " if group else ""
        if key in values:
            yield f"{indent}{name}: {_scalar(values[key].value)}  # {_comment(values[key].origin)}"
        else:
            yield f"# {indent}{name}:  # needed: {REQUIRED[key]}"


def _comment(text: str) -> str:
    """Text on one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _scalar(value: Any) -> str:
    """A value in YAML, on one line."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def write_sidecar(description: Description) -> Path | None:
    """Write the sidecar of a file, or add to it what the file holds and it has not; None if there is nothing to add.

    What is written there already stays as it is, comments and all.

    Raises
    ------
    MicrographError
        If it is written in a way that nothing can be added to.
    WriteError
        If it cannot be written.
    """
    place = sidecar_of(description.path)
    if not os.path.lexists(place):
        text = template(description)
    elif description.added:
        text = _with_added(place.read_text(encoding="utf-8"), description)
    else:
        return None
    try:
        written = parsed_sidecar(parse_yaml(text, str(place)), place)
    except ExitwaveError:
        written = Experiment()
    if written != _checked(description.values, description.path):
        raise MicrographError(
            f"{place}: is written in a way that {', '.join(description.added)} cannot be added to; allowed: each group "
            "on a line of its own, and its keys indented below it"
        )
    replace_file(place, lambda path: path.write_text(text, encoding="utf-8"))
    return place


def _with_added(text: str, description: Description) -> str:
    """A sidecar with lines that were added to the groups that it has, or behind them."""
    lines = text.rstrip("\n").split("\n")
    for group in dict.fromkeys(key.rpartition(".")[0] for key in description.added):
        keys = {key for key in description.added if key.rpartition(".")[0] == group}
        new = list(_lines({key: description.values[key] for key in keys}, keys))
        place = next((n for n, line in enumerate(lines) if re.match(rf"{group}:\s*(?:#.*)?$", line)), None)
        if group and place is not None:
            inner = next((line for line in lines[place + 1 :] if line.strip() and not line.strip().startswith("#")), "")
            indent = inner[: len(inner) - len(inner.lstrip())] or "  "
            lines[place + 1 : place + 1] = [indent + line.strip() for line in new[1:]]
        else:
            lines += new
    return "\n".join(lines) + "\n"


def check_folder(folder: Path) -> Iterator[Checked]:
    """Check the sidecars of all images and scans in a folder and below it, one after another.

    Parameters
    ----------
    folder : path

    Yields
    ------
    Checked
        Of each image, with a sidecar or without one, then of other sidecars; what is wrong costs none of the others.

    Raises
    ------
    MicrographError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise MicrographError(f"{folder} is no folder; allowed: a folder of images")
    images = [path for path in find_images([folder]) if path != folder]
    for path in dict.fromkeys([*images, *_described_below(folder)]):
        try:
            yield _check(path)
        except ExitwaveError as error:
            told = str(error)
            yield Checked(path, wrong=told if str(path) in told else f"{path}: {told}")
        except Exception as error:
            # A folder is not to be left unchecked for one file, whatever is wrong with it.
            yield Checked(path, wrong=f"{path} cannot be described: {type(error).__name__}: {_comment(str(error))}")


def _described_below(folder: Path) -> Iterator[Path]:
    """Files of which there are sidecars, whether they are there or not."""
    for top, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SIDECAR) and not name.startswith("."):
                yield Path(top, name.removesuffix(SIDECAR))


def _check(path: Path) -> Checked:
    place = sidecar_of(path)
    if not os.path.lexists(place):
        return Checked(path, described=False)
    if not os.path.lexists(path):
        beside = sorted(name for name in os.listdir(path.parent) if Path(name).stem == path.name and name != place.name)
        meant = f", perhaps meant as {beside[0]}{SIDECAR}" if beside else ""
        return Checked(path, wrong=f"{place} describes {path.name}, which is not there{meant}; allowed: a file")
    description = describe_file(path)
    told = tuple(f"{path} {each}" for each in description.told)
    wrong = ""
    if description.changed:
        wrong = f"{place}: {changed_told(path)}"
    elif lacking := [key for key in REQUIRED if key not in description.values or key in description.added]:
        needed = ", ".join(f"{key} ({REQUIRED[key]})" for key in lacking)
        wrong = f"{place} lacks {needed}; allowed: a value"
    return Checked(path, wrong=wrong, told=told)


def changed_told(path: Path) -> str:
    """What to do where a file has changed since it was described."""
    return (
        f"{SHA256} is not that of {path.name}, which has changed since it was described; allowed: that of the file, or "
        "none"
    )
