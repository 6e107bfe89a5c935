"""Public databases of two-dimensional materials, fetched once by hand; no rule of a study ever does.

The addresses are those of the JARVIS project on figshare: K. Choudhary et al., npj Comput. Mater. 6, 173 (2020). This
has been run on a server of a test, never against the real ones.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from exitwave.data.whole import replace_file, whole_file
from exitwave.errors import FetchError

PATIENCE = 60.0
"""Seconds without an answer after which there is no network."""
LARGEST = 2**32
"""Bytes of the largest file that is unpacked."""
_CHUNK = 2**20


@dataclass(frozen=True)
class Database:
    """A public database.

    Attributes
    ----------
    title : str
    address : str
        Of a zipped JSON file, as the reader of monolayers knows it.
    by_hand : str
        Where a person finds it.
    cite : str
        DOI of what describes it.
    terms : str
        Of its use, as far as they are known.
    """

    title: str
    address: str
    by_hand: str
    cite: str
    terms: str


DATABASES = {
    "dft_2d": Database(
        "JARVIS-DFT, two-dimensional materials",
        "https://ndownloader.figshare.com/files/38521268",
        "https://doi.org/10.6084/m9.figshare.6815705",
        "https://doi.org/10.1038/s41524-020-00440-1",
        "NIST; see the page of the file",
    ),
    "c2db": Database(
        "Computational 2D Materials Database, structures as of JARVIS",
        "https://ndownloader.figshare.com/files/28682010",
        "https://ndownloader.figshare.com/files/28682010",
        "https://doi.org/10.1088/2053-1583/aacfc1",
        "see https://doi.org/10.1088/2053-1583/aacfc1",
    ),
    "twod_matpd": Database(
        "2DMatPedia, structures as of JARVIS",
        "https://ndownloader.figshare.com/files/26789006",
        "https://doi.org/10.6084/m9.figshare.14205083",
        "https://doi.org/10.1038/s41597-019-0097-3",
        "see the page of the file",
    ),
}


def fetch_layers(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Fetch a database of two-dimensional materials, unless it is there whole.

    Parameters
    ----------
    name : str
        One of ``DATABASES``.
    folder : path
        Where ``NAME.json`` and, beside it, ``NAME.provenance.txt`` are written: where it is from, how to cite it, and
        its SHA-256.

    Returns
    -------
    path : path
        The JSON file: ``path`` of structures of kind ``monolayer`` with ``source: files``.
    about : dict
        What is said of it.

    Raises
    ------
    FetchError
        If there is no network, or what comes is not the database. Then nothing is left of it.
    """
    database = DATABASES[name]
    file, beside = folder / f"{name}.json", folder / f"{name}.provenance.txt"
    known = _known(file, beside)
    if known is not None:
        return file, known
    archive = folder / f".{name}.zip"
    try:
        with whole_file(archive) as unfinished, unfinished.open("wb") as stream:
            stream.writelines(_chunks(name, database))
        with whole_file(file) as unfinished:
            _unpack(name, database, archive, unfinished)
            number = _count(name, database, unfinished)
        about = {
            "database": database.title,
            "from": database.address,
            "page": database.by_hand,
            "cite": database.cite,
            "terms": database.terms,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "structures": number,
            "archive_sha256": _sha256(archive),
            "sha256": _sha256(file),
        }
    finally:
        archive.unlink(missing_ok=True)
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    replace_file(beside, lambda path: path.write_text(text, encoding="utf-8"))
    return file, about


def _known(file: Path, beside: Path) -> dict[str, Any] | None:
    """What is said of a file that is whole."""
    try:
        about: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        return about if about["sha256"] == _sha256(file) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _chunks(name: str, database: Database) -> Iterator[bytes]:
    """What an address gives, in pieces."""
    request = Request(database.address, headers={"User-Agent": "exitwave"})  # without one some servers refuse
    received = 0
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            expected = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                received += len(chunk)
                yield chunk
    except HTTPError as error:
        raise FetchError(
            f"{name}: {database.address} answers {error.code} {error.reason}; {_by_hand(database)}"
        ) from error
    except (OSError, HTTPException) as error:
        said = getattr(error, "reason", "") or error
        raise FetchError(f"no network: {name} cannot be fetched ({said}); {_by_hand(database)}") from error
    if received < expected:
        raise FetchError(f"{name}: {received:,} of {expected:,} bytes came; run again, or {_by_hand(database)}")


def _unpack(name: str, database: Database, archive: Path, path: Path) -> None:
    """Write the one JSON file of an archive."""
    try:
        with zipfile.ZipFile(archive) as held:
            names = [one for one in held.infolist() if not one.filename.startswith("__MACOSX")]
            members = [one for one in names if one.filename.lower().endswith(".json")]
            if len(members) != 1 or members[0].file_size > LARGEST:
                told = ", ".join(f"{one.filename} ({one.file_size:,} bytes)" for one in names[:5])
                raise FetchError(
                    f"{name}: the archive holds {told or 'nothing'}; needed: one JSON file below {LARGEST:,} bytes; "
                    f"{_by_hand(database)}"
                )
            with held.open(members[0]) as packed, path.open("wb") as stream:
                shutil.copyfileobj(packed, stream, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last for ways of packing
        raise FetchError(f"{name}: what came is no archive ({error}); {_by_hand(database)}") from error


def _count(name: str, database: Database, path: Path) -> int:
    """Number of structures of a file."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not entries or not all("atoms" in entry for entry in entries):
            raise ValueError("no list of entries with atoms")
    except (ValueError, TypeError) as error:
        raise FetchError(f"{name}: what came is no database of JARVIS ({error}); {_by_hand(database)}") from error
    return len(entries)


def _by_hand(database: Database) -> str:
    return (
        f"download it by hand from {database.by_hand}, unpack it, and give structures of kind monolayer source: files "
        "and its path"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
