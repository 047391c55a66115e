"""`terracube init, search, show, verify, rm, gc`: the catalogue."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pystac
from rich.console import Console
from rich.table import Table

from terracube.cli.exits import DONE, EXPLAINED, FAILED, NOTHING, plain, told_errors
from terracube.cli.options import Box, catalog_option, json_option
from terracube.core.files import is_remote
from terracube.stac import Catalog, to_query


@click.command(epilog=EXPLAINED, short_help="Make a catalogue: a folder, no server.")
@click.argument("root", metavar="CATALOG", type=click.Path(path_type=Path, file_okay=False))
@click.option("--title", default="TerraCube catalogue", show_default=True, help="What people read.")
def init(root: Path, title: str) -> None:
    """Make a catalogue in the folder CATALOG: an embedded database and plain files, no server."""
    with told_errors(as_json=False):
        there = (root / "catalog.sqlite").exists()
        catalog = Catalog.create(root, title=title)
        click.echo(f"{'there already' if there else 'made'}: {catalog.root}")
        sys.exit(NOTHING if there else DONE)


@click.command(epilog=EXPLAINED, short_help="Find items by place, time and property.")
@catalog_option
@click.option("--collection", "collections", multiple=True, help="Only of this collection; may be given again.")
@click.option("--bbox", type=Box(), help="Only what meets this box, in degrees; west > east crosses the antimeridian.")
@click.option("--datetime", "period", help="Only of this time: 2023-08, 2023-08-01/2023-08-20, ../2023.")
@click.option("--query", "filters", multiple=True, help="Only with this property, like eo:cloud_cover<60.")
@click.option("--id", "ids", multiple=True, help="Only this item; may be given again.")
@click.option("--limit", type=int, help="At most so many.")
@click.option("--count", is_flag=True, help="Only say how many there are.")
@json_option
def search(
    catalog_path: Path,
    collections: tuple[str, ...],
    bbox: tuple[float, ...] | None,
    period: str | None,
    filters: tuple[str, ...],
    ids: tuple[str, ...],
    limit: int | None,
    count: bool,
    as_json: bool,
) -> None:
    """Find items: a table, or with --json an item collection."""
    with told_errors(as_json=as_json):
        catalog = Catalog.open(catalog_path)
        query = to_query(collections=collections, bbox=bbox, datetime=period, filters=filters, ids=ids, limit=limit)
        if count:
            found = catalog.count(query)
            click.echo(json.dumps({"count": found}) if as_json else str(found))
            return
        items = catalog.search(query)
        if as_json:
            features = [item.to_dict(transform_hrefs=False) for item in items]
            click.echo(json.dumps({"type": "FeatureCollection", "features": features}, indent=2))
        else:
            _table(items)


def _table(items: list[pystac.Item]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("item", "collection", "time (UTC)", "cloud", "files"):
        number = name in ("cloud", "files")
        table.add_column(name, overflow="fold", no_wrap=name == "item", justify="right" if number else "left")
    for item in items:
        cloud = item.properties.get("eo:cloud_cover")
        table.add_row(
            item.id,
            item.collection_id or "",
            _time(item),
            f"{cloud:.1f} %" if isinstance(cloud, int | float) else "",
            str(len(_local_assets(item))),
        )
    console = Console(
        markup=False, highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200
    )
    if items:
        console.print(table)
    console.print("1 item" if len(items) == 1 else f"{len(items)} items")


def _local_assets(item: pystac.Item) -> dict[str, pystac.Asset]:
    """Give the assets whose files lie in the catalogue, by key."""
    return {key: asset for key, asset in sorted(item.assets.items()) if not is_remote(asset.href)}


def _time(item: pystac.Item) -> str:
    if item.datetime is not None:
        return f"{item.datetime:%Y-%m-%d %H:%M}"
    start, end = item.properties.get("start_datetime", ""), item.properties.get("end_datetime", "")
    return f"{start[:10]} to {end[:10]}"


@click.command(epilog=EXPLAINED, short_help="Show what an item is and how it was made.")
@click.argument("item_id", metavar="ITEM")
@catalog_option
@click.option("--collection", help="Needed only if two collections have an item of this id.")
@json_option
def show(item_id: str, catalog_path: Path, collection: str | None, as_json: bool) -> None:
    """Show an item: what it is, how it was made, where its files are."""
    with told_errors(as_json=as_json):
        item = Catalog.open(catalog_path).get(item_id, collection)
        if as_json:
            click.echo(json.dumps(item.to_dict(transform_hrefs=False), indent=2))
        else:
            _tell_item(item)


def _tell_item(item: pystac.Item) -> None:
    said: dict[str, Any] = item.properties
    folder = Path(item.get_self_href() or "").parent
    click.echo(f"{item.id}  ({item.collection_id})")
    facts = {
        "title": said.get("title"),
        "time": _time(item),
        "bbox": item.bbox and ", ".join(f"{value:.4f}" for value in item.bbox),
        "version": said.get("version") and f"{said['version']}{' (superseded)' if said.get('deprecated') else ''}",
        "chain": said.get("terracube:chain")
        and f"{said['terracube:chain']['name']} {said['terracube:chain']['version']}",
        "key": said.get("terracube:key"),
        "folder": str(folder),
    }
    for name, value in facts.items():
        if value:
            click.echo(f"  {name + ':':<10}{plain(value)}")
    for source in said.get("terracube:inputs", ()):
        click.echo(f"  from      {plain(source['id'])}  sha256 {plain(source['checksum'][:16])}")
    for left in said.get("terracube:left_out", ()):
        click.echo(f"  left out  {plain(left['id'])}: {plain(left['reason'])}")
    for note in said.get("terracube:notes", ()):
        click.echo(f"  note      {plain(note)}")
    here = _local_assets(item)
    width = max(map(len, here), default=0) + 2
    for key, asset in here.items():
        click.echo(f"  {key:<{width}}{_size(asset.extra_fields.get('file:size')):>9}  {plain(asset.href)}")
    if elsewhere := len(item.assets) - len(here):
        click.echo(f"  and {elsewhere} links to files elsewhere, which were not taken (--json lists them)")


def _size(count: Any) -> str:
    if not isinstance(count, int):
        return ""
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"


@click.command(epilog=EXPLAINED, short_help="Compare an item's files with their checksums.")
@click.argument("item_id", metavar="ITEM")
@catalog_option
@click.option("--collection", help="Needed only if two collections have an item of this id.")
@json_option
def verify(item_id: str, catalog_path: Path, collection: str | None, as_json: bool) -> None:
    """Recompute the checksums of an item's files and compare them with those recorded."""
    with told_errors(as_json=as_json):
        catalog = Catalog.open(catalog_path)
        item = catalog.get(item_id, collection)
        problems = catalog.verify(item)
        if as_json:
            click.echo(json.dumps({"item": item.id, "good": not problems, "problems": problems}, indent=2))
        else:
            for problem in problems:
                click.echo(f"wrong  {plain(problem)}")
            told = {0: "every file is what it was", 1: "1 problem"}.get(len(problems), f"{len(problems)} problems")
            click.echo(f"{item.id}: {told}")
        sys.exit(FAILED if problems else DONE)


@click.command(epilog=EXPLAINED)
@click.argument("item_id", metavar="ITEM")
@catalog_option
@click.option("--collection", help="Needed only if two collections have an item of this id.")
@click.option("--force", is_flag=True, help="Also if products were made from it; they can then not be reproduced.")
def rm(item_id: str, catalog_path: Path, collection: str | None, force: bool) -> None:
    """Remove an item and its files."""
    with told_errors(as_json=False):
        Catalog.open(catalog_path).remove(item_id, collection, force=force)
        click.echo(f"removed {item_id}")


@click.command(epilog=EXPLAINED, short_help="Remove what interrupted work left behind.")
@catalog_option
def gc(catalog_path: Path) -> None:
    """Remove what interrupted work left behind; never anything that is registered."""
    with told_errors(as_json=False):
        gone = Catalog.open(catalog_path).gc()
        for path in gone:
            click.echo(f"removed {path}")
        click.echo(f"{len(gone)} left-overs removed")
        sys.exit(DONE if gone else NOTHING)
