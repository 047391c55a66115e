"""`terracube acquire`: products from the portal of a provider."""

from __future__ import annotations

from pathlib import Path

import click

from terracube.cli.exits import EXPLAINED, told_errors
from terracube.cli.options import Box
from terracube.ingest.acquire import acquire as acquire_products
from terracube.stac import parse_interval


@click.command(epilog=EXPLAINED, short_help="Download products from the portal of a provider (eodag).")
@click.argument("provider")
@click.option("--collection", required=True, help="As eodag names it: S2_MSI_L2A (`eodag list`).")
@click.option("--bbox", type=Box(), help="Box in degrees: west,south,east,north.")
@click.option("--datetime", "period", help="Period: 2023-08, 2023-08-01/2023-08-31.")
@click.option("--limit", type=int, default=100, show_default=True, help="Products at most.")
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where to.")
def acquire(
    provider: str,
    collection: str,
    bbox: tuple[float, float, float, float] | None,
    period: str | None,
    limit: int,
    folder: Path,
) -> None:
    """Download products of PROVIDER, to be ingested.

    PROVIDER is a name of eodag (cop_dataspace, geodes, ...), which also knows the accounts: see its documentation. The
    paths of what was downloaded are printed, one a line.
    """
    with told_errors(as_json=False):
        ends = None
        if period is not None:
            start, end = parse_interval(period)
            ends = (start.isoformat() if start else "1970-01-01", end.isoformat() if end else "2100-01-01")
        for path in acquire_products(provider, collection, folder, bbox=bbox, period=ends, limit=limit):
            click.echo(path)
