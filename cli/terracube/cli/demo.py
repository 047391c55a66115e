"""`terracube demo`: the whole path on one screen, offline, with the truth to compare with."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import click
import numpy as np
import pystac
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from terracube.cli.exits import EXPLAINED, told_errors
from terracube.cli.ingest import tell_counts, tell_refusals
from terracube.cli.run import told
from terracube.core.errors import EmptyResultError
from terracube.core.files import write_text
from terracube.core.progress import bar
from terracube.cubes.readers import open_raster
from terracube.cubes.reduce import geomedian
from terracube.cubes.sources import local_path
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes
from terracube.production import RunRequest, RunResult, run
from terracube.production.records import write_record
from terracube.stac import Catalog, to_query

_SOURCE = "sentinel-2-l2a"
_SEASON = ("2023-06-04", "2023-08-31")
_EVERY = 5
_BANDS: tuple[str, ...] = ("blue", "green", "red", "rededge1", "nir", "swir16")
_NEAR = 0.01
_COMPARED = "comparison.json"


@click.command(epilog=EXPLAINED, short_help="Walk the whole path on simulated scenes, or on your own.")
@click.option(
    "--into", required=True, type=click.Path(path_type=Path, file_okay=False), help="All is written below this."
)
@click.option("--scenes", type=click.Path(path_type=Path, exists=True), help="Real scenes instead of simulated ones.")
@click.option("--jobs", type=int, default=2, show_default=True, help="Scenes worked on at once.")
def demo(into: Path, scenes: Path | None, jobs: int) -> None:
    """Walk the whole path: scenes, catalogue, composite, report.

    Without --scenes a small region is simulated first, so that its truth is known and the product can be compared
    with it. A second call finds everything done.
    """
    with told_errors(as_json=False):
        start, steps = time.perf_counter(), count(1)
        region = Region() if scenes is None else None
        delivered = scenes or into / "scenes"
        if region is not None:
            _title(steps, "Simulate scenes of a region whose truth is known")
            _simulate(region, delivered, jobs)
        root = into / ("catalog" if region is not None else "catalog-real")
        _title(
            steps,
            "Take the scenes in: checked, written as COG, registered in a catalogue",
            ("init", root),
            ("ingest", _SOURCE, delivered, "--into", root, "--jobs", jobs),
        )
        catalog = _ingest(delivered, root, jobs)
        result = _run(steps, catalog, root, region)
        if region is not None and result.item is not None:
            _title(steps, "Compare with the truth (reflectance, 0 to 1)")
            _compare(region, result.item, into / _COMPARED)
        _look(root, result)
        click.echo(f"\nall done in {time.perf_counter() - start:.1f} s")
        sys.exit(0)


def _title(steps: Iterator[int], text: str, *commands: tuple[object, ...]) -> None:
    """Write the header of a step, and the commands that do the same."""
    click.echo(click.style(f"\n== {next(steps)}  {text}", bold=True))
    for words in commands:
        click.echo(f"   $ {_command(*words)}")


def _command(*words: object) -> str:
    """Write a command as it can be typed here: with the path of `terracube`, where it is not on the user's."""
    called = Path(sys.argv[0])
    there = shutil.which("terracube") is None and called.name == "terracube"
    return shlex.join([str(called) if there else "terracube", *map(str, words)])


def _dates() -> list[date]:
    return acquisition_dates(*_SEASON, every=_EVERY)


def _simulate(region: Region, folder: Path, jobs: int) -> None:
    place, covers, *_ = region.describe().splitlines()
    click.echo(f"{place}\n{covers}")
    for group in (region.noise, region.clouds):
        values = ", ".join(f"{item.name} {getattr(group, item.name):g}" for item in fields(group))
        click.echo(f"{type(group).__name__}: {values}")
    click.echo("These are realistic, and milder ones are refused; units and sources: docs/simulator.md")
    paths = write_scenes(region, folder, dates=_dates(), jobs=jobs)
    click.echo(f"{len(paths)} scenes on {len(_dates())} dates in {folder}")


def _ingest(scenes: Path, root: Path, jobs: int) -> Catalog:
    catalog = Catalog.create(root)
    with bar("ingest") as progress:
        report = ingest(_SOURCE, [scenes], catalog, jobs=jobs, progress=progress)
    write_record(root, "ingest", {"source": _SOURCE, **report.as_dict()})
    tell_refusals(report)
    tell_counts(report)
    return catalog


def _run(steps: Iterator[int], catalog: Catalog, root: Path, region: Region | None) -> RunResult:
    if region is not None:
        period, bands = "/".join(_SEASON), _BANDS
    else:
        period, bands = _busiest_month(catalog), ("blue", "green", "red", "nir")
    where = ("--catalog", root, "--collection", _SOURCE, "--datetime", period, "--bands", ",".join(bands))
    _title(steps, "Make the composite: the geometric median of the period", ("run", "composite", *where))
    request = RunRequest(chain="composite", collection=_SOURCE, datetime=period, parameters={"bands": list(bands)})
    with bar("run") as progress:
        result = run(catalog, request, progress=progress)
    click.echo(told(result, places=False), nl=False)
    return result


def _busiest_month(catalog: Catalog) -> str:
    """Give the month with the most scenes, the earlier one of two."""
    months = Counter(
        f"{item.datetime:%Y-%m}" for item in catalog.search(to_query(collections=_SOURCE)) if item.datetime
    )
    if not months:
        raise EmptyResultError("no scene came in", where=str(catalog.root), todo="look at the reasons above")
    return min(months, key=lambda month: (-months[month], month))


@dataclass(frozen=True)
class Closeness:
    """How close one band of a product is to the truth, in reflectance."""

    band: str
    bias: float
    rmse: float
    within: float
    """Share of pixels within 0.01."""


def closeness(region: Region, item: pystac.Item, bands: tuple[str, ...], dates: list[date]) -> list[Closeness]:
    """Compare a composite with the geometric median of the region's true reflectance on the same dates.

    The truth is free of clouds and noise, and complete: part of the difference is that a cloudy pixel was seen on
    fewer of the dates.
    """
    truth = geomedian(np.ascontiguousarray(region.truth_reflectance(bands, dates), "float32")).median
    found = []
    for number, name in enumerate(bands):
        gap = _read(item, name).astype("float64") - truth[number]
        gap = gap[np.isfinite(gap)]
        within = float((np.abs(gap) <= _NEAR).mean())
        found.append(Closeness(name, float(gap.mean()), float(np.sqrt(np.square(gap).mean())), within))
    return found


def _read(item: pystac.Item, name: str) -> NDArray[np.float32]:
    with open_raster(local_path(item, name)) as raster:
        values: NDArray[np.float32] = raster.read(1)
    return values


def _compare(region: Region, item: pystac.Item, kept: Path) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("band", "bias", "RMSE", f"within {_NEAR}"):
        table.add_column(column, justify="left" if column == "band" else "right")
    for found in _remembered(region, item, kept):
        table.add_row(found.band, f"{found.bias:+.4f}", f"{found.rmse:.4f}", f"{100 * found.within:.1f} %")
    Console(width=80).print(table)
    click.echo("rededge1 and swir16 are measured in pixels of 20 m: one that holds two fields is close to neither.")
    missing = 100 * float(np.isnan(_read(item, _BANDS[0])).mean())
    click.echo(f"pixels never seen clearly: {missing:.2f} %")


def _remembered(region: Region, item: pystac.Item, kept: Path) -> list[Closeness]:
    """Give the comparison of a product, kept in a file: the truth takes longer to reduce than all else to be found."""
    facts = {
        "key": item.properties["terracube:key"],
        "region": region.digest,
        "bands": list(_BANDS),
        "dates": [str(day) for day in _dates()],
    }
    known = _read_kept(kept)
    if known.get("facts") == facts:
        return [Closeness(**row) for row in known["closeness"]]
    found = closeness(region, item, _BANDS, _dates())
    write_text(kept, json.dumps({"facts": facts, "closeness": [asdict(row) for row in found]}, indent=2) + "\n")
    return found


def _read_kept(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _look(root: Path, result: RunResult) -> None:
    if result.item is None:
        return
    item = result.item
    click.echo(click.style("\n== Where to look", bold=True))
    folder = root / (item.collection_id or "") / Path(item.get_self_href() or "").parent.name
    places = {
        "report": folder / "report.html",
        "picture": folder / "preview.png",
        "layers": folder / "*.tif",
        "cube": folder / "cube.zarr",
        "catalogue": root / "catalog.json",
    }
    for name, path in places.items():
        click.echo(f"  {name:<11}{path}")
    click.echo("\n  and then:")
    for verb in ("show", "verify", "reproduce"):
        click.echo(f"   $ {_command(verb, item.id, '--catalog', root)}")
