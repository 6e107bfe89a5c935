"""Commands that fetch what is public, by hand and never in a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="Fetch public databases; needs a network.")


@app.callback()
def fetch() -> None:
    """Fetch public databases; needs a network."""


@app.command("2d")
def layers(
    source: Annotated[Literal["dft_2d", "c2db", "twod_matpd"], typer.Option("--from", help="database")],
    folder: Annotated[Path, typer.Option("--to", help="folder to write it into")],
) -> None:
    """Fetch a database of two-dimensional materials, for structures of kind monolayer with source: files."""
    from exitwave.jobs.fetch import fetch_layers

    file, about = fetch_layers(source, folder)
    typer.echo(f"{file}: {about['structures']:,} structures of {about['database']}; cite {about['cite']}")
