"""`terracube train`: models from samples and scenes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from terracube.cli.exits import DONE, EXPLAINED, PARTLY, told_errors
from terracube.cli.options import catalog_option, json_option
from terracube.core.errors import InputError
from terracube.core.files import atomic_path
from terracube.cubes.sources import local_path
from terracube.production.models import ASSET
from terracube.production.training import TrainResult, train_model
from terracube.stac import Catalog

_MOST = 1 << 20


@click.group(epilog=EXPLAINED, short_help="Train a model from samples and scenes.")
def train() -> None:
    """Train a model from samples and scenes, and publish it in the catalogue."""


@train.command(epilog=EXPLAINED, short_help="A model of land cover.")
@click.option(
    "--samples",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Polygons or points (GeoPackage, GeoParquet, GeoJSON, CSV), or labelled series (CSV with dates).",
)
@click.option("--label", default="label", show_default=True, help="Column of the class: codes, names or titles.")
@click.option("--column", "columns", multiple=True, help="Column of a role, like group=parcel_id or region=zone.")
@click.option("--nomenclature", help="Name (oso-23, oso-17) or file [default: made of the labels].")
@catalog_option
@click.option("--collection", help="Collection of the scenes.")
@click.option("--datetime", "period", help="Period of the scenes: 2018, 2018-01/2018-12.")
@click.option("--query", "filters", multiple=True, help="Only scenes with this property, like eo:cloud_cover<60.")
@click.option("--crs", help="CRS in which pixels are read [default: that of the scenes].")
@click.option("--resolution", type=float, help="Pixel size in units of the CRS [default: that of the scenes].")
@click.option("--bands", help="Bands by role, like blue,green,red,nir [default: the usual ones of the sensor].")
@click.option("--features", type=click.Path(path_type=Path, exists=True), help="Description of the features, JSON.")
@click.option("--year", type=int, help="In which the season begins [default: that of most dates].")
@click.option("--algorithm", help="forest, extra_trees, lightgbm, xgboost, svm, linear, ensemble [default: forest].")
@click.option("--param", "given", multiple=True, help="Another parameter of the training, as NAME=JSON.")
@click.option("--pixels", type=int, default=50, show_default=True, help="Pixels of one polygon at most.")
@click.option("--block", type=float, help="Degrees; blocks that validation never splits [default: a tenth].")
@click.option("--title", default="", help="Title of the model.")
@click.option("--licence", default="", help="Licence of the model, as the samples allow (SPDX).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the model to this file, too.")
@json_option
def landcover(catalog_path: Path, as_json: bool, out: Path | None, **given: Any) -> None:
    """Train a model of land cover, tell how good it is, and publish it.

    \b
    terracube train landcover --samples samples.gpkg --label class --nomenclature oso-23 \\
        --catalog CATALOG --collection sentinel-2-l2a --datetime 2018
    terracube run landcover --catalog CATALOG --model MODEL --datetime 2018

    The accuracy that is told is that of blocks which the model never saw; the one of random folds, which flatters, is
    given beside it.
    """
    with told_errors(as_json=as_json):
        result = train_model(Catalog.open(catalog_path), _request(given))
        if out is not None:
            with atomic_path(out) as temporary:
                shutil.copyfile(local_path(result.item, ASSET), temporary)
        click.echo(json.dumps(result.as_dict(), indent=2) if as_json else told(result), nl=as_json)
        sys.exit(PARTLY if result.as_dict()["status"] == "partly" else DONE)


def _request(given: dict[str, Any]) -> dict[str, Any]:
    """Make the request of the options."""
    pairs = [text.partition("=") for text in given["columns"]]
    if not all(sign and role and name for role, sign, name in pairs):
        raise InputError("a role and its column go together", where="--column", expected="ROLE=COLUMN")
    values: dict[str, Any] = {
        "samples": str(given["samples"]),
        "label": given["label"],
        "columns": {role: name for role, _, name in pairs},
        "datetime": given["period"],
        "learn": _learn(given),
        **{name: given[name] for name in ("nomenclature", "collection", "filters", "crs", "resolution", "year")},
        **{name: given[name] for name in ("pixels", "block", "title", "licence")},
    }
    if given["bands"]:
        values["bands"] = [name.strip() for name in given["bands"].split(",")]
    if given["features"] is not None:
        values["features"] = _json(given["features"])
    return values


def _learn(given: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {} if given["algorithm"] is None else {"algorithm": given["algorithm"]}
    for text in given["given"]:
        name, _, value = text.partition("=")
        try:
            values[name] = json.loads(value)
        except ValueError as error:
            raise InputError(
                "a parameter cannot be read", where=name, expected="--param NAME=JSON", got=text
            ) from error
    return values


def _json(path: Path) -> Any:
    if path.stat().st_size > _MOST:
        raise InputError("the description is too large", where=str(path), expected=f"<= {_MOST} bytes")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError("the description is not JSON", where=str(path), got=str(error)[:120]) from error


def told(result: TrainResult) -> str:
    """Tell a training in a few lines."""
    card, found = result.model.card, result.training
    lines = [
        f"{result.as_dict()['status']}: {result.item.id}",
        f"  samples   {card['samples']} of {len(card['classes'])} classes, {len(found.left_out)} left out",
        f"  features  {len(result.model.features)}: {result.model.features[0]} ... {result.model.features[-1]}",
    ]
    if found.report is not None and (cross := found.report.cross) is not None:
        lines += [f"  accuracy  {_score(cross.headline)} ({'blocks' if cross.blocked is not None else 'random folds'})"]
        if cross.blocked is not None:
            lines += [f"            {_score(cross.random)} (random folds: neighbours help)"]
    lines += [f"  left out  {one.id}: {one.reason}" for one in (*result.scenes_left_out, *found.left_out)[:10]]
    folder = Path(result.item.get_self_href() or "").parent
    lines += [f"  look at   {folder / 'report.html'}"] if found.report is not None else []
    lines += [f"  next      terracube run landcover --model {result.item.id} --datetime ..."]
    times = ", ".join(f"{stage} {value:.1f} s" for stage, value in result.seconds.items())
    return "\n".join([*lines, f"  time      {times}"]) + "\n"


def _score(one: Any) -> str:
    return f"{100 * one.overall:.1f} % [{100 * one.places.low:.1f}, {100 * one.places.high:.1f}]"
