"""The command for papers that one has: mine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mine(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="metadata of arXiv (JSON lines), LaTeX (folder, .tex, .tar.gz), HTML, JATS, PDF, or folders of them"
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="folder for tables and images; what it has of other sources stays")
    ] = Path("mined"),
    links: Annotated[
        bool, typer.Option("--links", help="also write the arXiv addresses of the papers that name a technique")
    ] = False,
) -> None:
    """Find figures and captions in papers: technique, simulated or not, formulas, elements. Nothing is downloaded."""
    from exitwave.jobs.mine import counted, mine_sources
    from exitwave.jobs.progress import progress_told
    from exitwave.literature.sources import find_sources

    found = find_sources(sources)
    if any(path.is_dir() for path in sources):
        typer.echo(f"{len(found)} sources found", err=True)
    mined = []
    with progress_told("MB") as progress:

        def done(place: int, total: int) -> None:
            progress("mining", round(place / 1e6), round(total / 1e6))

        for outcome in mine_sources(found, output, links, done):
            mined.append(outcome)
            told = outcome.told if outcome.done else f"skipped: {outcome.told}"
            typer.echo(f"{len(mined)}/{len(found)} {told}", err=not outcome.done)
            for one in outcome.left_out:
                typer.echo(f"warning: {one}", err=True)
    read = sum(one.done for one in mined)
    papers, rows, images = (sum(getattr(one, name) for one in mined) for name in ("papers", "rows", "images"))
    told = f"{counted(papers, 'paper')}, {counted(rows, 'new row')}, {counted(images, 'image')}"
    typer.echo(f"{read} of {len(mined)} sources read: {told}; results in {output}")
    if read < len(mined):
        raise typer.Exit(1)
