"""Fingerprints of images beside those of simulated ones, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from exitwave.data.placed import OUTSIDE, Placed, Surroundings, meanings


def print_fingerprints(images: Sequence[Placed], among: Surroundings) -> None:
    """Print a line for each number of a fingerprint."""
    table = Table(
        title=f"{len(images)} images among {len(among.found)} simulated ones",
        caption="percent: share of the simulated images that have less; outside: images beyond 1 % or 99 %",
    )
    table.add_column("number")
    for heading in ("simulated 1 %", "50 %", "99 %", "images, median", "lowest", "median", "highest", "outside"):
        table.add_column(heading, justify="right")
    values, shares = (np.stack([getattr(one, name) for one in images]) for name in ("values", "shares"))
    for number, words in enumerate(meanings(among.pixel_size)):
        own, share, simulated = values[:, number], shares[:, number], among.found[:, number]
        if np.isnan(own).all() or np.isnan(simulated).all():
            continue
        quantiles = np.nanquantile(simulated, (1 - OUTSIDE, 0.5, OUTSIDE))
        places = [f"{100 * at(share):.0f} %" for at in (np.nanmin, np.nanmedian, np.nanmax)]
        beyond = int(((share < 1 - OUTSIDE) | (share > OUTSIDE)).sum())
        table.add_row(
            words,
            *(f"{value:.2f}" for value in (*quantiles, np.nanmedian(own))),
            *places,
            str(beyond) if beyond else "",
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
