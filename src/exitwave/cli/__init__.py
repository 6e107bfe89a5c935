"""``exitwave ...``: what a person does by hand around the workflow.

Heavy packages are imported by the command that needs them, so that ``--help`` is instant.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from exitwave.cli import fetch
from exitwave.cli.literature import mine
from exitwave.cli.own_data import atoms, describe, fingerprint, segment, strain
from exitwave.errors import ExitwaveError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="Look at a config before anything runs.")
app.add_typer(config_app, name="config")
app.add_typer(fetch.app, name="fetch")

for command in (segment, strain, atoms, describe, fingerprint, mine):
    app.command()(command)

DEFAULT_CONFIG = Path("config/config.yaml")


@config_app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="config or study file")] = DEFAULT_CONFIG,
    only_plan: Annotated[bool, typer.Option("--plan", help="only what it will make, not the resolved config")] = False,
) -> None:
    """Print the resolved config, and what it will make: jobs, items, disk, time."""
    import yaml
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from exitwave.config.structures import Structures
    from exitwave.report.figures import plan_of_report
    from exitwave.structures.kinds import crystals_told
    from exitwave.study.doubts import doubtful_stacks, doubts, scored_on_matched
    from exitwave.study.link import load_study
    from exitwave.study.plan import plan
    from exitwave.study.sharding import sharding_doubts, shardings

    study = load_study(file)
    resolved: dict[str, object] = {"seed": study.seed, "scale": study.scale}
    for stage, members in study.members.items():
        if members:
            resolved[stage] = {name: member.block.model_dump(mode="json") for name, member in members.items()}
    if not only_plan:
        typer.echo(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=110))
    table = Table(
        title=escape(f"{file}: what it makes"),
        caption="jobs as snakemake counts them where nothing is there yet; disk and hours of one core are estimates",
    )
    numbers = ("jobs", "items", "item [MB]", "disk [GB]", "core [h]")
    for heading in ("stage", "block", *numbers, "folder below results/"):
        table.add_column(heading, justify="right" if heading in numbers else "left")
    rows = [*plan(study), plan_of_report(study)]
    for row in rows:
        hours = "" if row.seconds_per_item is None else f"{row.core_hours:.2f}"
        disk = (f"{row.bytes_per_item / 1e6:.3g}", f"{row.gigabytes:.2f}")
        cells = (row.stage, row.name, str(row.jobs), str(row.items), *disk, hours, row.folder)
        table.add_row(*(escape(cell) for cell in cells))
    jobs, total = sum(row.jobs for row in rows), sum(row.gigabytes for row in rows)
    table.add_section()
    hours = f"{sum(row.core_hours for row in rows):.2f}"
    table.add_row("total", "", str(jobs), "", "", f"{total:.2f}", hours, "")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for text in crystals_told(member.of(Structures) for member in study.stage("structures")):
        console.print(text, markup=False, highlight=False)
    for one in shardings(study):
        text = f"{one.name}: shard_size {one.size}, {one.told(one.size)}; proposed: {one.proposed}"
        console.print(text, markup=False, highlight=False)
    for doubt in [*doubts(study), *scored_on_matched(study), *doubtful_stacks(study), *sharding_doubts(study)]:
        typer.echo(f"warning: {doubt}", err=True)


@app.command()
def correct(
    results: Annotated[Path, typer.Argument(help="folder of results of exitwave segment, with masks NAME_corrected")],
    output: Annotated[Path, typer.Option(help="folder to make, or to add to: images, masks and an index.csv")],
    test: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="share of the files kept back from training, to score on")
    ] = 0.3,
    all: Annotated[
        bool, typer.Option("--all", help="take masks without a corrected one as they are; look at each of them first")
    ] = False,
) -> None:
    """Collect masks that were corrected by hand, to train and score networks on."""
    from exitwave.jobs.correct import collect

    outcomes, left = collect(results, output, test, all)
    for outcome in outcomes:
        typer.echo(outcome.told if outcome.done else f"skipped: {outcome.told}", err=not outcome.done)
    done = sum(outcome.done for outcome in outcomes)
    left_out = f"; {left} without a corrected mask" if left else ""
    typer.echo(f"{done} of {len(outcomes) + left} images collected in {output}{left_out}")
    if not done or done < len(outcomes):
        raise typer.Exit(1)


@app.command()
def export(
    shard: Annotated[Path, typer.Argument(help="shard of structures (.zarr.zip)")],
    item: Annotated[int, typer.Option(help="item number")],
    output: Annotated[Path, typer.Option(help="file to write; the suffix says the format: .xyz, .extxyz, .cif, .pdb")],
    format: Annotated[
        Literal["extxyz", "cif", "pdb", "prismatic"] | None, typer.Option(help="format, where the suffix is not enough")
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="temperature [K] of the rms displacements in prismatic; 0: atoms at rest")
    ] = 0.0,
) -> None:
    """Write one structure for OVITO, ASE, Prismatic and other tools."""
    from ase.data import chemical_symbols

    from exitwave.data.shards import open_shard
    from exitwave.jobs.simulate import read_structure
    from exitwave.structures.export import write_structure, write_unit_cell
    from exitwave.structures.structure import Structure
    from exitwave.waves.thermal import rms_displacement

    structure = read_structure(open_shard(shard), item)
    if not isinstance(structure, Structure):
        write_unit_cell(structure, output)
        typer.echo(f"unit cell of {len(structure.numbers)} atoms written to {output}")
        return
    elements = {chemical_symbols[number] for number in structure.numbers}
    rms = {symbol: rms_displacement(symbol, temperature) for symbol in elements} if temperature > 0 else None
    write_structure(structure, output, format, rms)
    typer.echo(f"{len(structure.numbers)} atoms written to {output}")


@app.command()
def preview(
    block: Annotated[
        str,
        typer.Argument(help="structures, exit_waves or images block or family; images.NAME where names are shared"),
    ],
    study: Annotated[Path, typer.Option(help="config or study file")] = DEFAULT_CONFIG,
    number: Annotated[int, typer.Option(min=1, max=48, help="images of each member")] = 8,
    output: Annotated[Path, typer.Option(help="PNG to write")] = Path("preview.png"),
    seed: Annotated[int | None, typer.Option(min=0, help="other draws than those of the study")] = None,
) -> None:
    """Draw a sheet of what a block would give, in seconds, before anything is made."""
    import logging

    from exitwave.jobs.preview import make_preview
    from exitwave.study.doubts import doubts
    from exitwave.study.link import load_study

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("exitwave").setLevel(logging.DEBUG)
    loaded = load_study(study)
    for doubt in doubts(loaded):
        typer.echo(f"warning: {doubt}", err=True)
    shown = make_preview(loaded, block, output, number, seed)
    typer.echo(f"{output}: {shown}")


@app.command()
def catalog(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE or STUDY] [QUERY]",
            help="name of a study, or a table such as the manifest of a dataset; and a condition on columns, such as "
            '\'dose < 500 and material in ["Au", "Ag"]\'',
        ),
    ] = None,
    study: Annotated[
        str, typer.Option(help="the study meant where only a QUERY is given: its file's stem, or demo")
    ] = "demo",
    output: Annotated[Path | None, typer.Option(help="file for the rows found, .csv or .parquet")] = None,
) -> None:
    """Count the images of a study that fulfil a condition, and show how their parameters are spread."""
    from rich.console import Console

    from exitwave.data.tables import StoredTable, read_table
    from exitwave.report.catalog import find_catalog, print_catalog, write_rows

    path, condition = find_catalog(what or [], study)
    found = print_catalog(Console(width=None if sys.stdout.isatty() else 140), StoredTable(path), condition)
    if output is not None:
        write_rows(output, read_table(path)[found])


@app.command()
def models(
    unpack: Annotated[
        str | None,
        typer.Option(metavar="CONVENTION", help="write the networks of a convention that comes with exitwave"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="folder for them, to be given as --model, or as start_from of a training")
    ] = None,
) -> None:
    """List the networks that there are: those that come with exitwave, and those trained here. Or unpack some."""
    from exitwave.training.bundle import BUNDLES, bundle_with, unpack_bundle

    if unpack is not None:
        folder = output or Path(unpack)
        folders = unpack_bundle(bundle_with(unpack), folder, unpack)
        typer.echo(f"{len(folders)} networks written to {folder}")
        return
    from rich.console import Console

    from exitwave.report.networks import known_networks, print_networks

    listed = known_networks(BUNDLES, Path("results/trainings"))
    print_networks(Console(width=None if sys.stdout.isatty() else 140), listed)


@app.command()
def scores(
    study: Annotated[
        str, typer.Argument(help="name of the study: its file's stem; demo for the default config")
    ] = "demo",
) -> None:
    """Print the benchmark tables of a study."""
    from exitwave.data.tables import read_table
    from exitwave.errors import ShardError
    from exitwave.report.benchmarks import print_table
    from exitwave.report.differences import lines_told

    files = sorted(Path("results/report", study, "benchmarks").glob("*/summary.parquet"))
    if not files:
        raise ShardError(f"results/report/{study}: holds no benchmark; run the workflow for this study first")
    # Studies that were run by earlier versions have no differences.
    beside = [file.with_name("differences.parquet") for file in files]
    print_table(files, [lines_told(read_table(file)) if file.exists() else [] for file in beside])


@app.command()
def verify(
    results: Annotated[Path, typer.Argument(help="folder of results")] = Path("results"),
    items: Annotated[
        int, typer.Option(min=0, help="structures of each block of which items are made again; 0: only checksums")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="which of them")] = 0,
) -> None:
    """Compare results with their checksums, and a sample of items with what is made again of their metadata."""
    from exitwave.jobs.verify import DIFFERENT, IDENTICAL, ROUNDED, verify

    checked, remade, findings = 0, dict.fromkeys((IDENTICAL, ROUNDED, DIFFERENT), 0), 0
    for one in verify(results, items, seed):
        again = [f"{count} {how}" for how, count in one.remade.items() if count]
        told = ", ".join([f"{one.checked} checked", *([f"made again: {', '.join(again)}"] if again else [])])
        typer.echo(f"{one.folder}: {told}")
        for finding in one.findings:
            typer.echo(f"  {finding}", err=True)
        checked, findings = checked + one.checked, findings + len(one.findings)
        remade = {how: count + one.remade[how] for how, count in remade.items()}
    again = [f"{count} {how}" for how, count in remade.items()]
    typer.echo(f"{checked} checked; items made again: {', '.join(again)}; {findings} findings")
    if findings:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: an ``ExitwaveError`` is one sentence and status 1."""
    try:
        app()
    except ExitwaveError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(f"error: {error.filename}: is too long for the path of a file", err=True)
        sys.exit(1)
