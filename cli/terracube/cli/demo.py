"""`terracube demo`: the whole path on one screen, offline, with the truth to compare with."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click
import numpy as np
import pystac
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from terracube.cli.exits import EXPLAINED, told_errors
from terracube.cli.ingest import tell_report
from terracube.cli.run import told
from terracube.core.errors import EmptyResultError
from terracube.core.progress import bar
from terracube.cubes.readers import open_raster
from terracube.cubes.reduce import geomedian
from terracube.cubes.sources import local_path
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes
from terracube.production import RunRequest, RunResult, run
from terracube.stac import Catalog, to_query

_SOURCE = "sentinel-2-l2a"
_SEASON = ("2023-06-04", "2023-08-31")
_EVERY = 5
_BANDS = ("blue", "green", "red", "rededge1", "nir", "swir16")


@click.command(epilog=EXPLAINED)
@click.option(
    "--into", required=True, type=click.Path(path_type=Path, file_okay=False), help="All is written below this."
)
@click.option("--scenes", type=click.Path(path_type=Path, exists=True), help="Real scenes instead of simulated ones.")
@click.option("--jobs", type=int, default=2, show_default=True, help="Scenes worked on at once.")
def demo(into: Path, scenes: Path | None, jobs: int) -> None:
    """Walk the whole path: scenes, catalogue, search, composite, report.

    Without --scenes a small region is simulated first, so that its truth is known and the product can be compared
    with it. A second call finds everything done.
    """
    with told_errors(as_json=False):
        start = time.perf_counter()
        region = Region() if scenes is None else None
        delivered = _simulate(region, into / "scenes", jobs) if region is not None else scenes
        catalog = _ingest(delivered or into, into / ("catalog" if scenes is None else "catalog-real"), jobs)
        result = _run(catalog, region)
        if region is not None and result.item is not None:
            _compare(region, result)
        _look(catalog, result)
        click.echo(f"\nall done in {time.perf_counter() - start:.1f} s")
        sys.exit(0)


def _title(text: str) -> None:
    click.echo(click.style(f"\n== {text}", bold=True))


def _dates() -> list[date]:
    return acquisition_dates(*_SEASON, every=_EVERY)


def _simulate(region: Region, folder: Path, jobs: int) -> Path:
    _title("1 Simulate a region: land covers with their seasons, a lake, clouds and their shadows")
    click.echo(region.describe())
    paths = write_scenes(region, folder, dates=_dates(), jobs=jobs)
    click.echo(f"{len(paths)} scenes on {len(_dates())} dates in {folder}")
    return folder


def _ingest(scenes: Path, root: Path, jobs: int) -> Catalog:
    _title(f"2 Ingest: terracube init {root}; terracube ingest {_SOURCE} {scenes} --into {root} --jobs {jobs}")
    catalog = Catalog.create(root)
    with bar("ingest") as progress:
        report = ingest(_SOURCE, [scenes], catalog, jobs=jobs, progress=progress)
    tell_report(report)
    return catalog


def _run(catalog: Catalog, region: Region | None) -> RunResult:
    period, bands = (
        ("/".join(_SEASON), _BANDS) if region is not None else (_busiest_month(catalog), (*_BANDS[:3], "nir"))
    )
    _title(f"3 Run: terracube run composite --catalog {catalog.root} --collection {_SOURCE} --datetime {period}")
    request = RunRequest(chain="composite", collection=_SOURCE, datetime=period, parameters={"bands": list(bands)})
    with bar("run") as progress:
        result = run(catalog, request, progress=progress)
    click.echo(told(result), nl=False)
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
        within = float((np.abs(gap) <= 0.01).mean())
        found.append(Closeness(name, float(gap.mean()), float(np.sqrt(np.square(gap).mean())), within))
    return found


def _read(item: pystac.Item, name: str) -> NDArray[np.float32]:
    with open_raster(local_path(item, name)) as raster:
        values: NDArray[np.float32] = raster.read(1)
    return values


def _compare(region: Region, result: RunResult) -> None:
    _title("4 Compare with the truth (reflectance, 0 to 1)")
    if result.item is None:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("band", "bias", "RMSE", "within 0.01"):
        table.add_column(column, justify="left" if column == "band" else "right")
    for found in closeness(region, result.item, _BANDS, _dates()):
        table.add_row(found.band, f"{found.bias:+.4f}", f"{found.rmse:.4f}", f"{100 * found.within:.1f} %")
    Console(width=80).print(table)
    missing = 100 * float(np.isnan(_read(result.item, _BANDS[0])).mean())
    click.echo(f"pixels never seen clearly: {missing:.2f} %")


def _look(catalog: Catalog, result: RunResult) -> None:
    if result.item is None:
        return
    _title("Where to look")
    folder = Path(result.item.get_self_href() or "").parent
    click.echo(f"  report     {folder / 'report.html'}")
    click.echo(f"  picture    {folder / 'preview.png'}")
    click.echo(f"  layers     {folder}/*.tif, {folder / 'cube.zarr'}")
    click.echo(f"  catalogue  {catalog.root / 'catalog.json'}")
    click.echo(f"  try        terracube show {result.item.id} --catalog {catalog.root}")
