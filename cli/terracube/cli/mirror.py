"""`terracube mirror`: a part of a remote catalogue, with its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from terracube.cli.exits import EXPLAINED, told_errors
from terracube.cli.ingest import finish
from terracube.cli.options import Box, json_option
from terracube.core.errors import InputError
from terracube.core.progress import bar
from terracube.ingest.mirror import Search
from terracube.ingest.mirror import mirror as mirror_items
from terracube.stac import Catalog, parse_filter

_OPERATORS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "=": "eq", "!=": "neq"}


@click.command(epilog=EXPLAINED, short_help="Copy a part of a remote catalogue, with its files.")
@click.argument("api")
@click.option("--collection", required=True, help="Collection of the remote catalogue.")
@click.option("--bbox", type=Box(), help="Box in degrees: west,south,east,north.")
@click.option("--datetime", "period", help="Moment or period: 2023-08, 2023-08-01/2023-08-31.")
@click.option("--query", "filters", multiple=True, help="Only with this property, like eo:cloud_cover<60.")
@click.option("--assets", help="Role names or asset keys, comma separated: red,nir,scl [default: all that are known].")
@click.option("--limit", type=int, help="Items at most.")
@click.option("--into", "root", required=True, type=click.Path(path_type=Path, file_okay=False), help="The catalogue.")
@click.option("--jobs", type=int, default=4, show_default=True, help="Files copied at once.")
@click.option("--dry-run", is_flag=True, help="Search, and say what would be copied.")
@click.option("--replace", is_flag=True, help="Let a corrected item take the place of the one with its id.")
@json_option
def mirror(api: str, collection: str, root: Path, jobs: int, as_json: bool, **given: Any) -> None:
    """Copy items of a STAC API, with their files, into a catalogue.

    API is the address of its landing page. What was copied before an interruption is continued; files are compared
    with the sizes and checksums that their items tell, and every pixel is decoded once. The same call again copies
    only what is new or corrected.
    """
    with told_errors(as_json=as_json):
        catalog = Catalog.open(root)
        search = Search(api, collection, given["bbox"], given["period"], _query(given["filters"]), given["limit"])
        assets = [name.strip() for name in given["assets"].split(",")] if given["assets"] else None
        with bar("mirror") as progress:
            report = mirror_items(
                search,
                catalog,
                assets=assets,
                jobs=jobs,
                replacing=given["replace"],
                dry_run=given["dry_run"],
                progress=progress,
            )
        facts = {"source": collection, "api": api.partition("?")[0]}
        finish(report, catalog, facts, dry_run=given["dry_run"], as_json=as_json)


def _query(filters: tuple[str, ...]) -> dict[str, Any] | None:
    """Turn comparisons into what the query extension of STAC APIs takes."""
    query: dict[str, dict[str, Any]] = {}
    for text in filters:
        told = parse_filter(text)
        operators = query.setdefault(told.property, {})
        if _OPERATORS[told.operator] in operators:
            raise InputError("a comparison comes twice", where="--query", got=text)
        operators[_OPERATORS[told.operator]] = told.value
    return query or None
