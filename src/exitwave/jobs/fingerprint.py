"""Where a person's own images lie among the images of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from exitwave.benchmark.remedies import ON_COMMAND_LINE
from exitwave.data.columns import PIXELS, pixel_column
from exitwave.data.fingerprint import training_sample
from exitwave.data.image_fingerprint import NAMES, of_stored
from exitwave.data.placed import Placed, Surroundings, placed
from exitwave.data.shards import open_shard
from exitwave.data.tables import StoredTable
from exitwave.data.whole import replace_file
from exitwave.errors import DatasetError, ExitwaveError
from exitwave.jobs.match import Asked, Fingerprinted, fingerprinted

DATASETS = Path("results/datasets")
MANIFEST = "manifest.parquet"
TABLE, PICTURE = "fingerprint.csv", "fingerprint.png"


@dataclass(frozen=True)
class Seen:
    """An image that was placed."""

    path: Path
    image: Fingerprinted
    place: Placed

    @property
    def told(self) -> str:
        """One sentence."""
        place = self.place
        where = "outside of the simulated images" if place.outside else "among the simulated images"
        differs = f"; {', '.join(place.told)} of them" if place.told else ""
        nearer = f"{100 * place.nearer:.0f} % of them lie nearer to another"
        return f"{self.image.name}: {where}, {place.distance:.2f} from the nearest; {nearer}{differs}"


def find_dataset(named: str | None) -> Path:
    """Manifest of a dataset.

    Parameters
    ----------
    named : str, optional
        Its name in a study, its folder or its manifest; the only one that there is if left out.

    Raises
    ------
    DatasetError
        If there is none, or several.
    """
    if named is not None and Path(named).is_file():
        return Path(named)
    if named is not None and (Path(named) / MANIFEST).is_file():
        return Path(named) / MANIFEST
    there = sorted(DATASETS.glob(f"*/{MANIFEST}"))
    found = [path for path in there if named in (None, path.parent.name, path.parent.name.rpartition("-")[0])]
    if len(found) == 1:
        return found[0]
    known = ", ".join(path.parent.name for path in there) or f"none, since {DATASETS} holds none; run a study first"
    what = "no dataset is named" if named is None else f"{named} is {'several' if found else 'no'} datasets"
    raise DatasetError(f"--dataset: {what}; allowed: {known}")


def surroundings_of(manifest: Path) -> Surroundings:
    """Training images of a dataset by which others are placed: always the same of the same dataset.

    Raises
    ------
    DatasetError
        If they are too few, or no images in real space.
    ShardError
        If the manifest or a shard is missing or damaged.
    """
    table = StoredTable(manifest)
    if missing := {"split", "shard", "image_id"} - set(table.columns):
        raise DatasetError(
            f"{manifest}: has no column {min(missing)}, so that it is no manifest of a dataset; allowed: one"
        )
    rows = training_sample(table)
    column = pixel_column(map(str, rows.columns))
    if PIXELS[column] != "Å":
        raise DatasetError(f"{manifest}: its images are none in real space; allowed: those whose pixel is in Å")
    try:
        return Surroundings.of(rows, of_stored(rows), float(rows[column].iloc[0]) if len(rows) else 1.0)
    except DatasetError as error:
        raise DatasetError(f"{manifest}: {error}") from error


def place_files(
    images: Sequence[Path], among: Surroundings, pixel_size: float | None = None
) -> Iterator[Seen | tuple[Path, str]]:
    """Place images of files.

    Parameters
    ----------
    images : sequence of path
        As of :func:`exitwave.jobs.apply.find_images`.
    among : Surroundings
    pixel_size : float, optional
        Pixel [Å], where the files do not say or are wrong.

    Yields
    ------
    Seen or (path, str)
        Each image; or why a file cannot be used, which costs none of the others.
    """
    first = among.rows.iloc[0]
    edge = open_shard(str(first["shard"])).read("counts", int(first["row"])).shape[-1]
    for path in images:
        try:
            for found in fingerprinted(Asked(path, None, pixel_size), among.pixel_size, edge, ON_COMMAND_LINE):
                yield Seen(path, found, placed(found.found, among))
        except ExitwaveError as error:
            told = str(error)
            yield path, told if str(path) in told else f"{path}: {told}"


def table_of(seen: Sequence[Seen]) -> pd.DataFrame:
    """Images and where they lie, one a row."""
    return pd.DataFrame(
        [
            {
                "file": str(one.path),
                "image": one.image.name,
                "fields": len(one.image.found),
                "distance": one.place.distance,
                "nearer [%]": 100 * one.place.nearer,
                "outside": one.place.outside,
                "differs": "; ".join(one.place.told),
                **{f"{name} [%]": 100 * share for name, share in zip(NAMES, one.place.shares, strict=True)},
                **dict(zip(NAMES, one.place.values, strict=True)),
            }
            for one in seen
        ]
    )


def write_results(seen: Sequence[Seen], among: Surroundings, output: Path, title: str) -> None:
    """Write table and picture into a folder."""
    from exitwave.report.fingerprint_figure import draw_fingerprints

    output.mkdir(parents=True, exist_ok=True)
    table = table_of(seen)
    replace_file(output / TABLE, lambda unfinished: table.to_csv(unfinished, index=False))
    draw_fingerprints([(one.image.name, one.image.image, one.place) for one in seen], among, output / PICTURE, title)
