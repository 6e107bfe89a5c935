"""``exitwave ...``: what a person does by hand around the workflow.

Heavy packages are imported by the command that needs them, so that ``--help`` is instant.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from exitwave.errors import ExitwaveError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="Look at a config before anything runs.")
app.add_typer(config_app, name="config")

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
    from exitwave.study.doubts import doubts
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
    for doubt in [*doubts(study), *sharding_doubts(study)]:
        typer.echo(f"warning: {doubt}", err=True)


@app.command()
def segment(
    images: Annotated[
        list[Path], typer.Argument(help="micrographs: DM3, DM4, EMD, SER, MRC, TIFF, PNG ..., or folders of them")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="file of networks, or folder of a training or a network; several are averaged. If left out, the "
            "networks that come with exitwave"
        ),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            help="what counts as particle, where a file of networks has several conventions: outline (the default) or "
            "half, where the contrast is half of its largest; `exitwave models` lists them"
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="folder for masks, overlays, tables and a page; what it has of other images stays")
    ] = Path("segmented"),
    pixel_size: Annotated[
        float | None, typer.Option(help="pixel [Å], where the files do not say, or in place of what they say")
    ] = None,
    frame: Annotated[
        str | None, typer.Option(help="which image of files that hold several, counted from 1, or all")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="probability from which a pixel is particle")
    ] = 0.5,
    smallest: Annotated[
        float, typer.Option(min=0.0, help="diameter [Å] of the disc of equal area, below which nothing is a particle")
    ] = 10.0,
    split: Annotated[bool, typer.Option(help="split particles that touch")] = True,
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="overlap of tiles, of their edge")] = 0.5,
    symmetry_average: Annotated[
        bool, typer.Option(help="average over quarter turns and flips; 8 times slower")
    ] = False,
    any_pixel_size: Annotated[
        bool, typer.Option(help="go on where pixels are more than 4 times coarser or finer than the network's")
    ] = False,
    any_image: Annotated[
        bool, typer.Option(help="go on where an image is far from those the network was trained on")
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="where the networks run; auto: on a GPU if there is one")
    ] = "auto",
    overwrite: Annotated[bool, typer.Option(help="replace results of images that are in the folder already")] = False,
) -> None:
    """Segment micrographs: masks, overlays and measured particles of each, and a page to look through them."""
    from exitwave.benchmark.instances import ParticleRules
    from exitwave.jobs.apply import Applying, find_images, segment_files
    from exitwave.jobs.progress import progress_told
    from exitwave.training.bundle import BUNDLED

    found = find_images(images)
    if any(path.is_dir() for path in images):
        typer.echo(f"{len(found)} images found", err=True)
    how = Applying(
        pixel_size=pixel_size,
        frame=_frame(frame),
        threshold=threshold,
        overlap=overlap,
        symmetry_average=symmetry_average,
        any_pixel_size=any_pixel_size,
        convention=convention,
        any_image=any_image,
        device=device,
        particles=ParticleRules(smallest, split),
        overwrite=overwrite,
    )
    places, done, failed = {path: number for number, path in enumerate(found, 1)}, 0, []
    with progress_told("tiles") as progress:

        def of_image(number: int, name: str, tiles: int, total: int) -> None:
            progress(f"{number}/{len(found)} {name}", tiles, total)

        for outcome in segment_files(found, model or BUNDLED, output, how, of_image):
            told = outcome.told if outcome.done else f"skipped: {outcome.told}"
            typer.echo(f"{places[outcome.image]}/{len(found)} {told}", err=not outcome.done)
            done += outcome.done
            failed += [] if outcome.done else [outcome.told]
    typer.echo(f"{done} of {done + len(failed)} segmented; results in {output}")
    if failed:
        typer.echo("\n".join([f"{len(failed)} skipped:", *(f"  {told}" for told in failed)]), err=True)
        raise typer.Exit(1)


def _frame(text: str | None) -> int | Literal["all"] | None:
    """Number of a frame, or all."""
    if text is None or text == "all":
        return "all" if text else None
    if not (text.isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"'{text}'; allowed: a number from 1, or all", param_hint="--frame")
    return int(text)


@app.command()
def strain(
    scan: Annotated[Path, typer.Argument(help="4D scan: HSPY, ZSPY, EMD, H5 of py4DSTEM, MIB, BLO, DM4, NPY, Zarr")],
    probe: Annotated[
        Path | None, typer.Option(help="image of the probe in vacuum, or a scan of vacuum; as the scan, or TIFF")
    ] = None,
    vacuum: Annotated[
        str | None,
        typer.Option(metavar="X0:X1,Y0:Y1", help="columns and rows of the scan beside the specimen, for the probe"),
    ] = None,
    semiangle: Annotated[
        float | None, typer.Option(help="convergence [mrad], where there is no image of the probe: an even disk")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="what finds disks: file of networks, or folder of a training or a network; several are averaged. If "
            "left out, those that come with exitwave"
        ),
    ] = None,
    correlation: Annotated[
        bool, typer.Option("--correlation", help="find disks by correlation with the probe, without networks")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="folder for maps, disks and a page; NAME_strain if left out")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="X0:X1,Y0:Y1",
            help="unstrained columns and rows of the scan; or a known lattice, LENGTH,LENGTH,ANGLE of g1 and g2 in 1/Å "
            "and degrees. If left out, the median of the scan",
        ),
    ] = None,
    axis: Annotated[
        str, typer.Option(help="direction of e_xx: degrees from x of the patterns (right) to y (down), or g1, or g2")
    ] = "0",
    fit: Annotated[
        Literal["disks", "map"],
        typer.Option(help="disks: fit lattices to the places of disks; map: and then straight to the map of disks"),
    ] = "disks",
    threshold: Annotated[
        float | None, typer.Option(min=0.0, help="least height of a disk, in place of the method's own")
    ] = None,
    energy: Annotated[
        float | None, typer.Option(min=1.0, help="of the electrons [keV], where pixels are in mrad or with --semiangle")
    ] = None,
    reciprocal_sampling: Annotated[
        float | None, typer.Option(help="pixel of the patterns [1/Å], in place of what the file says")
    ] = None,
    step: Annotated[float | None, typer.Option(help="step of the scan [Å], in place of what the file says")] = None,
    scan_shape: Annotated[
        str | None, typer.Option(metavar="COLUMNSxROWS", help="of the scan, where the file has a stack of patterns")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="where the networks run; auto: on a GPU if there is one")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes at the same time; if left out, one a core, up to 8")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="replace results that were made otherwise")] = False,
) -> None:
    """Measure the strain of a 4D scan: disks, strain maps, where to trust them, and a page to look at."""
    import logging

    from exitwave.errors import ScanError
    from exitwave.jobs.progress import progress_told
    from exitwave.jobs.strain import measure_strain
    from exitwave.jobs.strain_how import Measuring, parsed_axis, parsed_box, parsed_reference, parsed_shape
    from exitwave.training.bundle import BUNDLED_DISKS

    if correlation and model is not None:
        raise ScanError(f"found --model {model} and --correlation; allowed: one of the two")
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING, stream=sys.stderr)
    how = Measuring(
        model=None if correlation else model or BUNDLED_DISKS,
        probe=probe,
        vacuum=None if vacuum is None else parsed_box(vacuum, "--vacuum"),
        semiangle=semiangle,
        energy=None if energy is None else 1e3 * energy,
        reciprocal_sampling=reciprocal_sampling,
        step=step,
        scan_shape=None if scan_shape is None else parsed_shape(scan_shape),
        threshold=threshold,
        fit=fit,
        reference=None if reference is None else parsed_reference(reference),
        axis=parsed_axis(axis),
        device=device,
        workers=workers,
        overwrite=overwrite,
    )
    folder = output or Path(f"{scan.stem}_strain")
    with progress_told("positions") as progress:
        found = measure_strain(scan, folder, how, lambda done, total: progress(scan.name, done, total))
    for told in found:
        typer.echo(told)
    typer.echo(f"results in {folder}; look at {folder / 'summary.html'}")


@app.command()
def atoms(
    images: Annotated[
        list[Path], typer.Argument(help="STEM images: DM3, DM4, EMD, SER, MRC, TIFF, PNG ..., or folders of them")
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="file of networks, or folder of a training or a network; without networks if left out"),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="folder for tables and pictures; what it has of other images stays")
    ] = Path("atoms"),
    pixel_size: Annotated[
        float | None, typer.Option(help="pixel [Å], where the files do not say, or in place of what they say")
    ] = None,
    frame: Annotated[
        str | None, typer.Option(help="which image of files that hold several, counted from 1, or all")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.001, max=0.1, help="strain below which a lattice is of a more symmetric class")
    ] = 0.02,
    any_pixel_size: Annotated[
        bool, typer.Option(help="go on where pixels are more than 4 times coarser or finer than the networks'")
    ] = False,
) -> None:
    """Find atomic columns in STEM images, their places to a fraction of a pixel, and the lattice with its class."""
    from exitwave.jobs.apply import find_images
    from exitwave.jobs.atoms import Looking, atoms_of_files

    found, failed, done = find_images(images), [], 0
    how = Looking(model, pixel_size, _frame(frame), tolerance, any_pixel_size)
    for outcome in atoms_of_files(found, output, how):
        typer.echo(outcome.told if outcome.done else f"skipped: {outcome.told}", err=not outcome.done)
        done += outcome.done
        failed += [] if outcome.done else [outcome.told]
    typer.echo(f"{done} of {done + len(failed)} images; results in {output}")
    if failed:
        raise typer.Exit(1)


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
    from exitwave.training.bundle import BUNDLED, BUNDLED_DISKS, bundle_with, unpack_bundle

    if unpack is not None:
        folder = output or Path(unpack)
        folders = unpack_bundle(bundle_with(unpack), folder, unpack)
        typer.echo(f"{len(folders)} networks written to {folder}")
        return
    from rich.console import Console

    from exitwave.report.networks import known_networks, print_networks

    listed = known_networks((BUNDLED, BUNDLED_DISKS), Path("results/trainings"))
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

    files = sorted(Path("results/report", study, "benchmarks").glob("*/summary.parquet"))
    if not files:
        raise ShardError(f"results/report/{study}: holds no benchmark; run the workflow for this study first")
    print_table([read_table(file) for file in files])


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
