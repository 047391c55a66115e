"""`terracube model`: what a trained model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from terracube.cli.exits import EXPLAINED, plain, told_errors
from terracube.cli.options import json_option
from terracube.core.errors import InputError
from terracube.cubes.sources import local_path
from terracube.processing.landcover.models import Model, describe, overall_accuracy
from terracube.production.models import ASSET, to_model
from terracube.stac import Catalog


@click.group(epilog=EXPLAINED, short_help="Trained models: what they are.")
def model() -> None:
    """Trained models of the catalogue, or in files."""


@model.command(epilog=EXPLAINED, short_help="Show what a model is and how good it is.")
@click.argument("name", metavar="MODEL")
@click.option(
    "--catalog",
    "catalog_path",
    envvar="TERRACUBE_CATALOG",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the catalogue, if MODEL is an id or a sha256.",
)
@json_option
def show(name: str, catalog_path: Path | None, as_json: bool) -> None:
    """Show the card of MODEL: an item id, its sha256, or a file. Nothing in the file is ever run."""
    with told_errors(as_json=as_json):
        path = Path(name)
        if not path.is_file():
            if catalog_path is None:
                raise InputError("there is no such file", got=repr(name), todo="give --catalog for a model by its id")
            path = local_path(to_model(Catalog.open(catalog_path), name), ASSET)
        found = Model.load(path)
        facts = describe(found)
        click.echo(json.dumps(facts, indent=2) if as_json else told(facts))


def told(facts: dict[str, Any]) -> str:
    """Tell the facts of a model in a page."""
    card, features = facts["card"], facts["features"]
    counts = {one["code"]: one["samples"] for one in card.get("classes") or ()}
    kind = facts["classifier"] + (f" of {facts['trees']} trees" if facts["trees"] else "")
    lines = [
        plain(str(card.get("title") or "A model of land cover")),
        f"  sha256    {facts['digest']}",
        f"  kind      {kind}, {facts['bytes'] / 1e6:.1f} MB",
        f"  features  {len(features)}: {plain(', '.join([*features[:3], '...', *features[-2:]]))}",
        f"  trained   on {card.get('samples', '?')} samples"
        + plain("".join(f", {name} {card[name]}" for name in ("sensor", "collection") if card.get(name)))
        + plain("".join(f", {one['start']} to {one['end']}" for one in [card.get("period")] if one)),
    ]
    lines += [f"  licence   {plain(str(card['licence']))}"] if card.get("licence") else []
    for name in ("blocked", "random"):
        overall = overall_accuracy(card, name)
        lines += [f"  accuracy  {100 * overall:.1f} % by {name} folds"] if overall is not None else []
    if facts["temperature"] != 1:
        error = (card.get("calibration") or {}).get("ece")
        known = f", error {error:.3f} on the samples it was found on" if isinstance(error, int | float) else ""
        lines += [f"  certainty calibrated, temperature {facts['temperature']:g}{known}"]
    lines += ["  classes"]
    lines += [
        f"    {one['code']:>5}  {plain(one['name']):<30}{counts.get(one['code'], ''):>8}" for one in facts["classes"]
    ]
    made = card.get("software") or {}
    return "\n".join([*lines, f"  made by   {plain(', '.join(f'{name} {made[name]}' for name in made))}"])
