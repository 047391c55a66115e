"""`terracube run, reproduce`: products."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pyproj import CRS

from terracube.cli.exits import DONE, EXPLAINED, FAILED, NOTHING, PARTLY, plain, told_errors
from terracube.cli.options import Box, catalog_option, compute_options, json_option
from terracube.core.errors import InputError, NotFoundError
from terracube.core.progress import ProgressCallback, bar
from terracube.core.sensors import sensor_of
from terracube.cubes.engine import to_scheduler
from terracube.processing import get_chain
from terracube.production import RunOptions, RunRequest, RunResult, read_request, to_request
from terracube.production import reproduce as reproduce_item
from terracube.production import run as run_request
from terracube.production.prepare import Job
from terracube.production.request import ALL
from terracube.stac import Catalog, to_query

if TYPE_CHECKING:
    from terracube.production.lakes import LakeRequest, LakeResult

_CODES = {"done": DONE, "planned": DONE, "partly": PARTLY, "nothing to do": NOTHING}


@click.command(epilog=EXPLAINED, short_help="Make a product from the scenes of a catalogue.")
@click.argument("chain", required=False)
@catalog_option
@click.option(
    "--request", "request_path", type=click.Path(path_type=Path), help="Take the whole request from a JSON file."
)
@click.option("--collection", help="Collection of the scenes [default: the only one there is].")
@click.option("--bbox", type=Box(), help="Region in degrees [default: all that the scenes cover].")
@click.option("--datetime", "period", help="Period: 2023-08, 2023-08-01/2023-08-20 [default for interferograms: all].")
@click.option("--query", "filters", multiple=True, help="Only scenes with this property, like eo:cloud_cover<60.")
@click.option("--crs", help="CRS of the product, like EPSG:3035 [default: that of the scenes].")
@click.option("--resolution", type=float, help="Pixel size in units of the CRS [default: that of the scenes].")
@click.option("--align", help="Scene whose pixel edges are taken [default: the first by time and id].")
@click.option("--bands", help="Bands by role, like blue,green,red,nir.")
@click.option("--model", help="Trained model, for chains that need one: an item id, its sha256, or a file.")
@click.option("--mask-classes", help="Classes of the mask layer that are left out, like 0,1,3,8,9,10.")
@click.option("--products", help="Products of the chain water, like chl_blend,spm_blend; docs/water-retrievals.md.")
@click.option(
    "--lakes", "lakes_path", type=click.Path(path_type=Path), help="Water: also a series for each polygon of this file."
)
@click.option("--lake-id", help="Column that names the polygons of --lakes.")
@click.option("--param", "given", multiple=True, help="Another parameter of the chain, as NAME=JSON.")
@compute_options
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it needs; read no pixel.")
@json_option
def run(chain: str | None, catalog_path: Path, as_json: bool, dry_run: bool, **given: Any) -> None:
    """Make the product of CHAIN from the scenes of a catalogue, and publish it there.

    \b
    terracube run composite --catalog CATALOG --collection sentinel-2-l2a --datetime 2023-08 \\
        --bbox 15.0,45.9,16.5,47.0 --crs EPSG:3035 --resolution 120
    terracube run landcover --catalog CATALOG --model MODEL --datetime 2018 --bbox 15.0,45.9,16.5,47.0
    terracube run water --catalog CATALOG --collection sentinel-2-l2a --datetime 2023-08 \\
        --products chl_blend,spm_blend --lakes lakes.gpkg --lake-id name
    terracube run deformation --catalog CATALOG --collection hyp3-insar --param model='"linear + annual"'
    terracube run offsets --catalog CATALOG --collection sentinel-2-l2a --datetime 2023 --bbox 15.6,46.5,15.7,46.6
    terracube run --catalog CATALOG --request FILE.json

    Without --crs and --resolution the product lies on the scenes' own pixels. The product is made once for each set
    of inputs: a late or corrected scene gives a new version, linked with the old one; without a change there is
    nothing to do.
    """
    with told_errors(as_json=as_json):
        catalog = Catalog.open(catalog_path)
        request = _request(chain, given, catalog)
        lakes = _lake_request(request, given)
        options = _options(given, dry_run=dry_run)
        with bar("run") as progress:
            result = run_request(catalog, request, options, progress=progress)
        facts, lines, code = result.as_dict(), told(result), _CODES[result.status]
        if lakes is not None and not dry_run:
            with bar("lakes") as progress:
                made = _lakes(catalog, lakes, options, progress)
            facts, lines = facts | {"lakes": made.as_dict()}, lines + _told_lakes(made)
            code = DONE if (code, made.status) == (NOTHING, "done") else code
        click.echo(json.dumps(facts, indent=2) if as_json else lines, nl=as_json)
        sys.exit(code)


def _lake_request(request: RunRequest, given: dict[str, Any]) -> LakeRequest | None:
    """Give the request of the lakes, if one is made; what cannot be meant is refused before anything is computed."""
    if request.chain != "water" and (given["lakes_path"] is not None or given["products"] is not None):
        raise InputError("--lakes and --products belong to the chain water", got=request.chain)
    if given["lakes_path"] is None:
        if given["lake_id"] is not None:
            raise InputError("--lake-id names a column of the file of --lakes", expected="--lakes FILE")
        return None
    from terracube.production.lakes import LakeRequest, read_polygons  # brings all of water along

    if not given["lakes_path"].is_file():
        raise InputError("there is no such file", where="--lakes", got=str(given["lakes_path"]))
    asked = LakeRequest(run=request, polygons=str(given["lakes_path"]), id=given["lake_id"])
    read_polygons(asked)
    return asked


def _lakes(catalog: Catalog, asked: LakeRequest, options: RunOptions, progress: ProgressCallback) -> LakeResult:
    from terracube.production.lakes import lake_series

    return lake_series(catalog, asked, options, progress=progress)


def _told_lakes(lakes: LakeResult) -> str:
    folder = Path(lakes.item.get_self_href() or "").parent
    rows = ", ".join(f"{count} {status}" for status, count in lakes.rows.items())
    return f"  lakes     {lakes.status}: {lakes.item.id} ({rows})\n  look at   {folder / 'lakes.html'}\n"


def _request(chain: str | None, given: dict[str, Any], catalog: Catalog) -> RunRequest:
    """Make the request of what was given, either as a file or as options."""
    names = ("collection", "bbox", "period", "crs", "resolution", "align", "bands", "mask_classes", "model", "products")
    if given["request_path"] is not None:
        if chain or given["filters"] or given["given"] or any(given[name] is not None for name in names):
            raise InputError(
                "a request file holds the whole request", where="--request", todo="leave out the other options"
            )
        return read_request(given["request_path"])
    parameters = _parameters(given)
    if given["products"] is not None:
        parameters["products"] = [name.strip() for name in given["products"].split(",") if name.strip()]
        if not parameters["products"]:
            raise InputError("no product is named", where="--products", expected="names with commas between them")
    if given["model"] is not None:
        from terracube.production.models import to_model  # brings all of land cover along

        model = to_model(catalog, given["model"])
        parameters["model"] = model.properties["terracube:model_digest"]
        trained_on = model.properties["terracube:model_card"].get("collection")
        given = given | {"collection": given["collection"] or trained_on}
    if given["collection"] is None:
        given = given | {"collection": _only_scenes(catalog, chain)}
    if chain and not given["period"] and get_chain(chain).intake is not None:
        given = given | {"period": ALL}
    missing = [
        name
        for name, value in (("CHAIN", chain), ("--collection", given["collection"]), ("--datetime", given["period"]))
        if not value
    ]
    if missing:
        raise InputError("the request is incomplete", expected=", ".join(missing), todo="see `terracube run --help`")
    values = {key: given[key] for key in ("collection", "bbox", "crs", "resolution", "align", "filters")}
    return to_request({**values, "chain": chain, "datetime": given["period"], "parameters": parameters})


def _only_scenes(catalog: Catalog, chain: str | None) -> str | None:
    """Give the collection a chain is made for, if there is only one: of a sensor that is described, or of pairs."""
    intake = get_chain(chain).intake if chain else None
    names = [collection.id for collection in catalog.collections()]
    if intake is None or intake.found_by is None:
        found = [name for name in names if _described(name)]
    else:
        found = [name for name in names if catalog.count(to_query(collections=name, filters=intake.found_by))]
    return found[0] if len(found) == 1 else None


def _described(collection: str) -> bool:
    try:
        return bool(sensor_of(collection).bands)
    except NotFoundError:  # products, models, measurements
        return False


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if given["bands"]:
        values["bands"] = [name.strip() for name in given["bands"].split(",")]
    try:
        if given["mask_classes"] is not None:
            values["mask"] = [int(number) for number in given["mask_classes"].split(",") if number.strip()]
        for text in given["given"]:
            name, _, value = text.partition("=")
            values[name] = json.loads(value)
    except ValueError as error:
        raise InputError(
            "a parameter cannot be read", expected="--param NAME=JSON, --mask-classes 0,1,3", got=str(error)
        ) from error
    return values


def _options(given: dict[str, Any], *, dry_run: bool = False) -> RunOptions:
    scheduler = to_scheduler(given["scheduler"], workers=given["workers"])
    return RunOptions(scheduler, memory=given["memory"], block=given["block"], dry_run=dry_run)


def told(result: RunResult, *, places: bool = True) -> str:
    """Tell a result in a few lines.

    Parameters
    ----------
    result : RunResult
    places : bool
        Whether to say where the files are.
    """
    job, estimate = result.job, result.estimate
    grid = job.plan.grid
    crs = grid.crs if len(grid.crs) < 20 else "WKT"
    lines = [
        f"{result.status}: {_outcome(result)}",
        _inputs(job),
        f"  grid      {crs}, {grid.shape.y} x {grid.shape.x} pixels of {grid.resolution.x:g} {_unit(grid.crs)}",
        f"  blocks    {estimate.tasks} of {estimate.block} x {estimate.block}, {estimate.memory / 1e6:.0f} MB in work, "
        f"up to {estimate.disk / 1e6:.0f} MB on disk",
    ]
    lines += [f"  left out  {left.id}: {plain(left.reason)}" for left in job.left_out]
    if places and result.item is not None and result.status != "planned":
        folder = Path(result.item.get_self_href() or "").parent
        lines += [f"  look at   {folder / 'report.html'}", f"  files in  {folder}"]
    times = ", ".join(f"{stage} {value:.1f} s" for stage, value in result.seconds.items())
    return "\n".join([*lines, f"  time      {times}"]) + "\n"


def _inputs(job: Job) -> str:
    steps, left = len(job.plan.groups), f"{len(job.left_out)} left out"
    if job.chain.intake is not None:
        dates = len(getattr(job.parameters, "dates", ()))
        return f"  pairs     {steps} of {dates} dates, {left}"
    return f"  scenes    {len(job.items)} on {steps} dates, {left}"


def _outcome(result: RunResult) -> str:
    """Name the product; for a plan, say whether a run would make one."""
    if result.item is None:
        return "a first version"
    if result.status != "planned":
        return result.item.id
    if result.item.properties.get("terracube:key") == result.job.key:
        return f"nothing to do, {result.item.id} is there"
    return f"a new version after {result.item.id}"


def _unit(crs: str) -> str:
    name = str(CRS.from_user_input(crs).axis_info[0].unit_name)
    return {"metre": "m", "degree": "degrees"}.get(name, name)


@click.command(epilog=EXPLAINED, short_help="Compute a product again and compare every pixel.")
@click.argument("item_id", metavar="ITEM")
@catalog_option
@compute_options
@json_option
def reproduce(item_id: str, catalog_path: Path, as_json: bool, **given: Any) -> None:
    """Compute a product again from its item alone, and compare every pixel with the files."""
    with told_errors(as_json=as_json):
        catalog = Catalog.open(catalog_path)
        with bar("reproduce") as progress:
            found = reproduce_item(catalog, catalog.get(item_id), _options(given), progress=progress)
        if as_json:
            click.echo(json.dumps(found.as_dict(), indent=2))
        else:
            width = max((len(layer.layer) for layer in found.comparisons), default=0) + 2
            for layer in found.comparisons:
                told_ = (
                    "equal to the bit"
                    if not layer.different
                    else f"{layer.different} differ, by up to {layer.largest:g}"
                )
                unit = "rows" if layer.stored == "table" else "pixels"
                click.echo(f"{layer.layer:<{width}}{layer.stored:<6}{layer.pixels:>12,} {unit}  {told_}")
            click.echo(f"{item_id}: {'reproduced' if found.equal else 'NOT reproduced'}")
        sys.exit(DONE if found.equal else FAILED)
