"""Make a product again from its item alone, and compare every pixel with what is stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import zarr
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from terracube.core.errors import IntegrityError, NotFoundError
from terracube.core.progress import ProgressCallback, silent
from terracube.cubes import Grid
from terracube.cubes.readers import open_raster
from terracube.cubes.sources import local_folder, local_path
from terracube.cubes.storage import Layer, Scratch
from terracube.cubes.storage.layers import strips
from terracube.production.prepare import Job, choose_block, prepare
from terracube.production.request import to_request
from terracube.production.run import RunOptions, compute, scratch_for
from terracube.stac import Catalog

if TYPE_CHECKING:
    import pandas as pd

_STRIP = 512


@dataclass(frozen=True)
class Comparison:
    """One stored layer against the one made again."""

    layer: str
    stored: str
    """``cog``, ``zarr``, or ``table``: then a layer is a column, and its rows stand for pixels."""
    pixels: int
    different: int
    largest: float
    """Largest difference; NaN against a value counts as infinite."""


@dataclass(frozen=True)
class Reproduction:
    """The outcome: equal to the bit, or not, layer by layer."""

    item_id: str
    comparisons: tuple[Comparison, ...]

    @property
    def equal(self) -> bool:
        """Whether every pixel of every layer is the same to the bit."""
        return not any(found.different for found in self.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        rows = [{**vars(c), "largest": c.largest if np.isfinite(c.largest) else None} for c in self.comparisons]
        return {"item": self.item_id, "equal": self.equal, "layers": rows}


def reproduce(
    catalog: Catalog, item: pystac.Item, options: RunOptions | None = None, *, progress: ProgressCallback = silent
) -> Reproduction:
    """Compute a product again from what its item says, and compare.

    Chain, parameters, grid and inputs come from the item; the inputs are found by its ``terracube:inputs`` and must
    have the checksums recorded there. Nothing in the catalogue is changed.

    Raises
    ------
    NotFoundError
        If the item is no product, or an input is gone.
    IntegrityError
        If an input is not what it was.
    """
    chosen = options or RunOptions()
    job = recorded_job(catalog, item)
    if "terracube:polygons" in item.properties:
        return Reproduction(item.id, tuple(_compare_table(item, job, chosen, progress)))
    block = choose_block(
        job, workers=chosen.scheduler.concurrency, memory=chosen.memory, block=chosen.block, folder=catalog.root
    ).block
    with catalog.stage(f"{item.id}.reproduce") as folder, scratch_for(job, folder, block) as scratch:
        compute(job, scratch, chosen.scheduler, progress)
        try:
            return Reproduction(item.id, tuple(_compare(item, job, scratch)))
        except (RasterioError, RuntimeError, ValueError, KeyError, OSError) as error:
            raise IntegrityError(
                "a file of the product is damaged or gone",
                where=item.id,
                got=str(error)[:200],
                todo="terracube verify tells which; remove the product and run again",
            ) from error


def recorded_job(catalog: Catalog, item: pystac.Item) -> Job:
    """Settle the job that made a product, from its item."""
    said = item.properties
    if "terracube:request" not in said:
        raise NotFoundError("the item is no product of a chain", where=item.id, expected="terracube:request")
    request = to_request({**said["terracube:request"], "parameters": said["terracube:parameters"]})
    inputs = [catalog.get(source["id"], source["collection"]) for source in said["terracube:inputs"]]
    job = prepare(catalog, request, inputs, grid=Grid.from_dict(said["terracube:grid"]))
    recorded = {source["id"]: source["checksum"] for source in said["terracube:inputs"]}
    now = dict(job.inputs)
    changed = sorted(name for name in recorded if recorded[name] != now.get(name))
    # A table of lakes has a key of its own beside that of the products it was made of.
    key = said.get("terracube:product_key", said["terracube:key"])
    if changed or job.key != key:
        raise IntegrityError(
            "the inputs or the chain are no longer those that made the product",
            where=item.id,
            expected=key,
            got=f"{job.key}; changed or gone: {', '.join(changed) or 'none, so the chain has another version'}",
        )
    return job


def _compare_table(
    item: pystac.Item, job: Job, options: RunOptions, progress: ProgressCallback
) -> Iterator[Comparison]:
    """Summarise the polygons of a table again, and compare it column by column."""
    from terracube.production.lakes import recorded_polygons, table_of  # brings all of water along

    polygons, stored = recorded_polygons(item)
    least = item.properties["terracube:polygons"]["min_valid"]
    made = table_of(job, polygons, least, options, progress=progress)
    for column in stored.columns:
        old, new = stored[column], made[column] if column in made else stored[column].iloc[:0]
        if len(old) != len(new):
            yield Comparison(str(column), "table", len(old), len(old), math.inf)
            continue
        other = ~((old.to_numpy() == new.to_numpy()) | (old.isna().to_numpy() & new.isna().to_numpy()))
        yield Comparison(str(column), "table", len(old), int(other.sum()), _gap(old[other], new[other]))


def _gap(old: pd.Series, new: pd.Series) -> float:
    """Give the largest difference of numbers; infinite where one is missing, or they are no numbers."""
    if old.empty:
        return 0.0
    if old.dtype.kind != "f":
        return math.inf
    gap = np.abs(old.to_numpy() - new.to_numpy())
    return math.inf if np.isnan(gap).any() else float(gap.max())


def _compare(item: pystac.Item, job: Job, scratch: Scratch) -> Iterator[Comparison]:
    group = zarr.open_group(str(local_folder(item, "zarr")), mode="r")
    for number, layer in enumerate(job.layers):
        with open_raster(local_path(item, layer.name)) as cog:

            def read(start: int, stop: int, cog: DatasetReader = cog) -> NDArray[Any]:
                values: NDArray[Any] = cog.read(1, window=Window(0, start, cog.width, stop - start))
                return values

            yield _difference(layer, "cog", read, scratch, number)
        yield _difference(layer, "zarr", _zarr_rows(group, layer), scratch, number)


def _zarr_rows(group: zarr.Group, layer: Layer) -> Callable[[int, int], NDArray[Any]]:
    """Read rows of a layer, which may be one date of a variable."""
    if layer.step is None:
        array: Any = group[layer.name]
        return lambda start, stop: np.asarray(array[start:stop])
    name, moment = layer.step
    series, times = group[name], group["time"]
    seconds = np.asarray(times[...]) if isinstance(times, zarr.Array) else np.zeros(0)
    at = int(np.flatnonzero(seconds == np.datetime64(moment, "s").astype("int64"))[0])
    return partial(_zarr_step, series, at)


def _zarr_step(series: Any, at: int, start: int, stop: int) -> NDArray[Any]:
    return np.asarray(series[at, start:stop])


def _difference(
    layer: Layer, stored: str, read: Callable[[int, int], NDArray[Any]], scratch: Scratch, number: int
) -> Comparison:
    pixels = different = 0
    largest = 0.0
    for start, stop in strips(scratch.shape.y, _STRIP):
        old = read(start, stop)
        new = layer.encode(scratch.rows(number, start, stop))
        same = (old == new) | ((old != old) & (new != new))
        pixels += old.size
        different += int((~same).sum())
        if not same.all():
            gap = np.abs(old[~same].astype("float64") - new[~same].astype("float64"))
            largest = max(largest, float(np.where(np.isnan(gap), np.inf, gap).max()))
    return Comparison(layer.name, stored, pixels, different, largest)
