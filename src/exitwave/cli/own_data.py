"""The commands for images and scans of one's own: segment, strain, atoms, describe, fingerprint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from exitwave.jobs.describe import Checked

Frame = Annotated[str | None, typer.Option(help="which image of files that hold several, counted from 1, or all")]
Model = Annotated[
    Path | None,
    typer.Option(
        help="file of networks, or folder of a training or a network; several are averaged. If left out, the networks "
        "that come with exitwave"
    ),
]
AnyPixelSize = Annotated[
    bool, typer.Option(help="go on where pixels are more than 4 times coarser or finer than the networks'")
]
AnyImage = Annotated[bool, typer.Option(help="go on where images are far from those the networks were trained on")]
PixelSize = Annotated[
    float | None, typer.Option(help="pixel [Å], where the files do not say, or in place of what they say")
]


def segment(
    images: Annotated[
        list[Path], typer.Argument(help="micrographs: DM3, DM4, EMD, SER, MRC, TIFF, PNG ..., or folders of them")
    ],
    model: Model = None,
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
    pixel_size: PixelSize = None,
    frame: Frame = None,
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
    any_pixel_size: AnyPixelSize = False,
    any_image: AnyImage = False,
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


def atoms(
    images: Annotated[
        list[Path], typer.Argument(help="STEM images: DM3, DM4, EMD, SER, MRC, TIFF, PNG ..., or folders of them")
    ],
    model: Model = None,
    without_networks: Annotated[
        bool, typer.Option("--without-networks", help="find columns by their shape alone, whatever the pixel")
    ] = False,
    output: Annotated[
        Path, typer.Option(help="folder for tables and pictures; what it has of other images stays")
    ] = Path("atoms"),
    pixel_size: PixelSize = None,
    frame: Frame = None,
    tolerance: Annotated[
        float, typer.Option(min=0.001, max=0.1, help="strain below which a lattice is of a more symmetric class")
    ] = 0.02,
    any_pixel_size: AnyPixelSize = False,
    any_image: AnyImage = False,
) -> None:
    """Find atomic columns in STEM images, their places to a fraction of a pixel, and the lattice with its class."""
    from exitwave.errors import ConfigError
    from exitwave.jobs.apply import find_images
    from exitwave.jobs.atoms import Looking, atoms_of_files
    from exitwave.training.bundle import BUNDLED_ATOMS

    if without_networks and model is not None:
        raise ConfigError("--model is given with --without-networks; allowed: one of the two")
    found, failed, done = find_images(images), [], 0
    networks = None if without_networks else model or BUNDLED_ATOMS
    how = Looking(networks, pixel_size, _frame(frame), tolerance, any_pixel_size, any_image)
    for outcome in atoms_of_files(found, output, how):
        typer.echo(outcome.told if outcome.done else f"skipped: {outcome.told}", err=not outcome.done)
        done += outcome.done
        failed += [] if outcome.done else [outcome.told]
    typer.echo(f"{done} of {done + len(failed)} images; results in {output}")
    if failed:
        raise typer.Exit(1)


def describe(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="images or 4D scans, or folders of them"),
    ],
    write: Annotated[
        bool,
        typer.Option("--write", help="write FILE.meta.yaml, or add to it what it lacks; what is in it already stays"),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="check all sidecars in a folder, and list images that have none")
    ] = False,
) -> None:
    """Say what is known of an image, in YAML with units, for a sidecar that segment, strain and atoms read."""
    from exitwave.errors import ConfigError, ExitwaveError
    from exitwave.jobs.apply import find_images
    from exitwave.jobs.describe import changed_told, check_folder, describe_file, template, write_sidecar

    if check:
        if write:
            raise ConfigError("found --check and --write; allowed: one of the two")
        _check([one for folder in files for one in check_folder(folder)])
        return
    failed = 0
    for path in find_images(files):
        try:
            found = describe_file(path)
            for told in found.told:
                typer.echo(f"warning: {path} {told}", err=True)
            if found.changed:
                typer.echo(f"warning: {path}: {changed_told(path)}", err=True)
            if write:
                place = write_sidecar(found)
                typer.echo(f"{path}: {'nothing to add to its sidecar' if place is None else f'written to {place}'}")
            else:
                typer.echo(template(found), nl=False)
            if found.missing:
                typer.echo(f"{path}: missing, and needed: {', '.join(found.missing)}", err=True)
            typer.echo(f"{path}: not known: {', '.join(found.unknown)}", err=True)
        except ExitwaveError as error:
            told = str(error)
            typer.echo(f"skipped: {told if str(path) in told else f'{path}: {told}'}", err=True)
            failed += 1
    if failed:
        raise typer.Exit(1)


def _check(checked: Sequence[Checked]) -> None:
    """Tell what a check has found."""
    for one in checked:
        for told in one.told:
            typer.echo(f"warning: {told}", err=True)
        if one.wrong:
            typer.echo(f"wrong: {one.wrong}", err=True)
        elif not one.described:
            typer.echo(f"{one.path}: no sidecar")
    wrong, without = sum(bool(one.wrong) for one in checked), sum(not one.described for one in checked)
    typer.echo(f"{len(checked) - wrong - without} sidecars are right, {wrong} wrong; {without} images have none")
    if wrong:
        raise typer.Exit(1)


def fingerprint(
    images: Annotated[
        list[Path], typer.Argument(help="micrographs: DM3, DM4, EMD, SER, MRC, TIFF, PNG ..., or folders of them")
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="name of a dataset in results/datasets, its folder, or its manifest; the only one if left out"
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="folder for a table and a picture")] = Path("fingerprint"),
    pixel_size: PixelSize = None,
) -> None:
    """Show where images lie among the simulated images of a dataset: spectrum, grey values, autocorrelation."""
    from exitwave.jobs.apply import find_images
    from exitwave.jobs.fingerprint import Seen, find_dataset, place_files, surroundings_of, write_results
    from exitwave.report.fingerprint_table import print_fingerprints

    manifest = find_dataset(dataset)
    among, seen, skipped = surroundings_of(manifest), [], 0
    for one in place_files(find_images(images), among, pixel_size):
        if isinstance(one, Seen):
            warned = "warning: " if one.place.outside else ""
            typer.echo(f"{warned}{one.told}", err=one.place.outside)
            for told in one.image.warnings:
                typer.echo(f"warning: {one.image.name}: {told}", err=True)
            seen.append(one)
        else:
            typer.echo(f"skipped: {one[1]}", err=True)
            skipped += 1
    if seen:
        write_results(seen, among, output, manifest.parent.name)
        print_fingerprints([one.place for one in seen], among)
        outside = sum(one.place.outside for one in seen)
        typer.echo(f"{outside} of {len(seen)} images lie outside of {manifest.parent.name}; results in {output}")
    if skipped:
        raise typer.Exit(1)
