"""From finished blocks to a published product: COGs, Zarr, quick-look, report, item; verified, then registered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray

from terracube.core.digest import tree_manifest
from terracube.core.memory import give_back
from terracube.core.sensors import Band, sensor_of
from terracube.cubes import Grid
from terracube.cubes.preview import classes_png, map_png, rgb_png, thin, thin_step
from terracube.cubes.storage import Layer, Scratch, Statistics, write_cog, write_group
from terracube.cubes.storage.layers import strips
from terracube.cubes.warp import pipeline
from terracube.processing import Chain
from terracube.production.prepare import Job
from terracube.production.report import ClassShare, Picture, told_period, write_report
from terracube.stac import (
    ChainRef,
    InputRef,
    Provenance,
    band,
    derived_from,
    describe_collection,
    file_asset,
    footprint,
    projection_fields,
    raster_asset,
    set_extensions,
    zarr_asset,
)

_TRUE_COLOUR = ("red", "green", "blue")
_MOST_PICTURES = 12


def product_collection(chain: Chain) -> pystac.Collection:
    """Describe the collection of a chain's products."""
    told = f"{chain.title}: products of the chain {chain.name}"
    return describe_collection(chain.name, title=chain.title, description=told)


def write_product(
    job: Job,
    scratch: Scratch,
    folder: Path,
    *,
    item_id: str,
    seconds: Mapping[str, float],
    threads: int,
    found: Mapping[str, Any],
) -> pystac.Item:
    """Write all files of a product into a staging folder, and its item.

    Parameters
    ----------
    job, scratch
        What was computed, and where its pixels lie.
    folder : Path
        Staging folder.
    item_id : str
    seconds : dict
        Time per stage so far, for the report.
    threads : int
        Layers written at once.
    found : dict
        What surveys of the whole grid found.
    """
    layers = job.layers
    grid = job.plan.grid
    statistics = _write_cogs(scratch, folder, layers, grid, threads)
    give_back()
    write_group(folder / "cube.zarr", scratch, grid, layers, title=job.chain.title)
    (folder / "cube.sha256").write_text(tree_manifest(folder / "cube.zarr"), encoding="utf-8")
    histogram = _histogram(scratch, layers)
    pictures = _pictures(job, scratch, len(histogram) - 1)
    shares = class_shares(scratch, layers)
    (folder / "preview.png").write_bytes(pictures[0].png)
    facts = {} if job.chain.intake is None else job.chain.intake.facts(job.parameters, found)
    write_report(
        folder / "report.html", job, item_id,
        pictures=pictures, histogram=histogram, shares=shares, seconds=seconds, facts=facts,
    )  # fmt: skip
    item = _item(job, folder, item_id, layers, statistics)
    item.properties |= facts | ({"terracube:found": dict(found)} if found else {})
    return item


def _write_cogs(scratch: Scratch, folder: Path, layers: Sequence[Layer], grid: Grid, threads: int) -> list[Statistics]:
    def write(number: int) -> Statistics:
        rows = partial(scratch.rows, number)
        return write_cog(folder / f"{layers[number].name}.tif", rows, grid, layers[number])

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cog") as pool:
        return list(pool.map(write, range(len(layers))))


def _histogram(scratch: Scratch, layers: Sequence[Layer]) -> tuple[int, ...]:
    """Count pixels by number of clear observations: integers, so the order of adding does not matter."""
    validity = next(number for number, layer in enumerate(layers) if layer.role == "validity")
    total = np.zeros(1, "int64")
    for start, stop in strips(scratch.shape.y, 512):
        counts = np.bincount(scratch.rows(validity, start, stop).astype("int64").ravel(), minlength=total.size)
        counts[: total.size] += total
        total = counts
    return tuple(int(value) for value in total)


def class_shares(scratch: Scratch, layers: Sequence[Layer]) -> list[ClassShare]:
    """Count the pixels of each class of the first layer that has classes."""
    number = next((number for number, layer in enumerate(layers) if layer.classes), None)
    if number is None:
        return []
    counted: Counter[int] = Counter()
    for start, stop in strips(scratch.shape.y, 512):
        rows = scratch.rows(number, start, stop)
        values, counts = np.unique(rows[np.isfinite(rows)].astype("int64"), return_counts=True)
        counted.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    whole = max(1, sum(counted.values()))
    return [ClassShare(told, counted[told.value], counted[told.value] / whole) for told in layers[number].classes]


@dataclass(frozen=True)
class _Shown:
    """A product that is looked at."""

    job: Job
    scratch: Scratch

    @property
    def grid(self) -> Grid:
        return self.job.plan.grid

    def _number(self, name: str) -> int:
        return [layer.name for layer in self.job.layers].index(name)

    def thin(self, name: str) -> NDArray[np.float32]:
        return thin(self.scratch, self._number(name))

    def pixel(self, name: str, row: int, col: int) -> float:
        step = thin_step(self.scratch.shape)
        return float(self.scratch.rows(self._number(name), row * step, row * step + 1)[0, col * step])


def _pictures(job: Job, scratch: Scratch, most: int) -> list[Picture]:
    layers = job.layers
    if job.chain.intake is not None:
        drawn = job.chain.intake.pictures(_Shown(job, scratch), job.parameters)
        return [_values(scratch, 0, layers[0]), *(Picture(title, png, drawn=True) for title, png in drawn)]
    names = [layer.name for layer in layers]
    validity = next(layer for layer in layers if layer.role == "validity")
    counts = map_png(thin(scratch, names.index(validity.name)), low=0, high=max(most, 1))
    told = f"Number of {validity.title} (0 to {most})"
    return [*_first(scratch, layers), Picture(told, counts, ("0", str(most)))]


def _first(scratch: Scratch, layers: Sequence[Layer]) -> list[Picture]:
    """Show what the product is: a map of classes and how sure it is, true colours, or the layers of values."""
    names = [layer.name for layer in layers]
    if all(name in names for name in _TRUE_COLOUR):
        shown = [thin(scratch, names.index(name)) for name in _TRUE_COLOUR]
        return [Picture("True colour (red, green, blue)", rgb_png(shown))]
    first = layers[0]
    if not first.classes:
        return [_values(scratch, 0, first)]
    found = [Picture(first.title, classes_png(thin(scratch, 0), first))]
    if "margin" in names:
        sure = map_png(thin(scratch, names.index("margin")), low=0.0, high=1.0)
        number = names.index("outside")
        strange = classes_png(thin(scratch, number), layers[number])
        return [
            *found,
            Picture("Margin to the next class", sure, ("0", "1")),
            Picture("Unlike the training samples (red)", strange),
        ]
    measured = [number for number, layer in enumerate(layers) if layer.role == "data" and not layer.classes]
    return [*found, *(_values(scratch, number, layers[number]) for number in measured[:_MOST_PICTURES])]


def _values(scratch: Scratch, number: int, layer: Layer) -> Picture:
    """Show a layer of values, from its second to its 98th percentile, and say which these are."""
    values = thin(scratch, number)
    seen = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(seen, (2, 98))) if seen.size else (0.0, 1.0)
    scale = "viridis"
    if layer.centred:
        high = float(np.percentile(np.abs(seen), 98)) if seen.size else 1.0
        low, scale = -high, "RdBu"
    unit = "" if layer.unit == "1" else f" {layer.unit}"
    title = layer.title[:1].upper() + layer.title[1:]
    png = map_png(values, colours=scale, low=low, high=high)
    return Picture(title, png, (f"{low:.3g}{unit}", f"{high:.3g}{unit}"), layer.centred)


def _item(
    job: Job, folder: Path, item_id: str, layers: Sequence[Layer], statistics: Sequence[Statistics]
) -> pystac.Item:
    grid = job.plan.grid
    geometry, bbox = footprint(grid.bounds, grid.crs)
    moments = [scene.acquired for group in job.plan.groups for scene in group]
    item = pystac.Item(
        item_id,
        geometry,
        bbox,
        None,
        {"created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")},
        start_datetime=min(moments),
        end_datetime=max(moments),
        collection=job.chain.name,
    )
    item.common_metadata.title = f"{job.chain.title}, {told_period(job.request)}"
    item.common_metadata.gsd = float(grid.resolution.x) if grid.crs.startswith("EPSG:32") else None
    # What is made of pairs has no bands of a sensor.
    bands = {} if job.chain.intake is not None else sensor_of(job.request.collection).bands
    for layer, found in zip(layers, statistics, strict=True):
        item.add_asset(layer.name, _layer_asset(layer, found, folder, grid, bands))
    _add_others(item, folder, job)
    item.properties["terracube:slot"] = job.request.slot
    item.properties["terracube:grid"] = grid.as_dict()
    item.properties.update(provenance_of(job).properties())
    item.add_links(derived_from(job.items))
    if job.model is not None:
        item.properties["terracube:model"] = {"id": job.model.item.id, "sha256": job.model.file.digest}
        item.add_links(derived_from([job.model.item]))
    return set_extensions(item)


def provenance_of(job: Job) -> Provenance:
    """Tell what a product of a job is made from, and how."""
    inputs = zip(job.items, job.inputs, strict=True)
    return Provenance(
        key=job.key,
        chain=ChainRef(job.chain.name, job.chain.version, job.chain.digest(job.parameters)),
        parameters=job.parameters.model_dump(mode="json"),
        request=job.request.model_dump(mode="json"),
        inputs=tuple(InputRef(item.id, item.collection_id or "", checksum) for item, (_, checksum) in inputs),
        left_out=job.left_out,
        lineage=_lineage(job),
    )


def _lineage(job: Job) -> str:
    dates, scenes = len(job.plan.groups), len(job.items)
    spec = job.plan.spec
    if job.chain.intake is not None:
        return f"{job.chain.title} of {scenes} items{_operations(job)}. Resampling: nearest neighbour."
    classes = ", ".join(map(str, spec.masked)) if isinstance(spec.masked, tuple) else f"by the rule {spec.masked!r}"
    masked = "" if spec.masked is None else classes
    return (
        f"{job.chain.title} of {scenes} scenes on {dates} dates. Scenes of one solar day are placed in order of time "
        "and id; a pixel of a band takes the first that is clear there and has a value. "
        f"Classes left out: {masked or 'none'}. Resampling: nearest neighbour{_operations(job)}."
    )


def _operations(job: Job) -> str:
    """Name the PROJ operations by which pixels were placed; none where the scenes have the CRS of the product."""
    grids = {scene.bands[name].grid for group in job.plan.groups for scene in group for name in scene.bands}
    told = {(grid.crs, pipeline(grid, job.plan.grid)) for grid in grids if grid.crs != job.plan.grid.crs}
    return "".join(f"; from {crs[:40]} by {operation}" for crs, operation in sorted(told))


def _layer_asset(layer: Layer, found: Statistics, folder: Path, grid: Grid, bands: Mapping[str, Band]) -> pystac.Asset:
    known = bands.get(layer.name)
    fields = band(
        layer.name,
        description=layer.title,
        common_name=known.common_name if known else None,
        center_wavelength=known.center_wavelength if known else None,
        full_width_half_max=known.full_width_half_max if known else None,
        unit=layer.unit,
    ) | {"raster:sampling": "area", "raster:spatial_resolution": grid.resolution.x}
    asset = raster_asset(
        folder / f"{layer.name}.tif",
        href=f"./{layer.name}.tif",
        title=layer.title,
        roles=["data"] if layer.role == "data" else ["data", layer.role],
        bands=[fields],
        code=grid.crs,
        shape=grid.shape,
        transform=tuple(grid.transform),
        nodata=layer.missing,
        data_type=layer.dtype,
        statistics=found.as_dict(),
    )
    if layer.classes:
        asset.extra_fields["classification:classes"] = [
            {
                "value": told.value,
                "name": told.name,
                "title": told.title,
                "description": told.title,
                "color_hint": told.colour.removeprefix("#").upper(),
            }
            for told in layer.classes
        ]
    return asset


def _add_others(item: pystac.Item, folder: Path, job: Job) -> None:
    grid = job.plan.grid
    item.add_asset(
        "zarr",
        zarr_asset(
            folder / "cube.zarr",
            href="./cube.zarr",
            title="The same layers as one Zarr v3 group",
            roles=["data"],
            grid=projection_fields(grid.crs, shape=grid.shape, transform=tuple(grid.transform)),
        ),
    )
    others = {
        "zarr-manifest": ("cube.sha256", "sha256 of every file of the Zarr group", "text/plain", ["metadata"]),
        "thumbnail": ("preview.png", "Quick-look", "image/png", ["thumbnail", "overview"]),
        "report": ("report.html", "Report", "text/html", ["metadata"]),
    }
    for key, (name, title, kind, roles) in others.items():
        item.add_asset(key, file_asset(folder / name, href=f"./{name}", title=title, media_type=kind, roles=roles))
