"""Write Sentinel-2-like scenes of a region: twelve bands on three grids, the classification, and a STAC item."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon

from terracube.core.errors import InputError
from terracube.core.files import remove
from terracube.ingest.simulate.classification import FACTOR, classify
from terracube.ingest.simulate.clouds import Sky, draw_sky
from terracube.ingest.simulate.fields import block_mean, generator
from terracube.ingest.simulate.items import (
    COLLECTION_FILE,
    DIGEST_PROPERTY,
    item_id,
    scene_collection,
    scene_digest,
    scene_item,
)
from terracube.ingest.simulate.output import read_json, write_geotiff, write_json
from terracube.ingest.simulate.region import PIXEL, Region, Tile
from terracube.ingest.simulate.sensor import BANDS, acquisition_dates, band_of, digital_numbers, noise_std, to_date
from terracube.ingest.simulate.surface import Cover

_SWATH_SLOPE = 0.2
"""Columns by which the edge of the swath moves west per row: the orbit runs south-south-west."""


def sky_of(region: Region, day: date | str) -> Sky:
    """Give what hides the region on a day: opacities of cloud, shadow and cirrus, and the haze; the masks' truth."""
    return _sky(region, to_date(day))


@lru_cache(maxsize=4)
def _sky(region: Region, day: date) -> Sky:
    return draw_sky(region.seed, region.size, day, sun=region.sun(day), clouds=region.clouds, noise=region.noise)


def seen_reflectance(region: Region, band: str, day: date | str) -> NDArray[np.float32]:
    """Give the reflectance that reaches the satellite on a day, before noise: float32 ``(y, x)`` on the 10 m grid."""
    known = band_of(band)
    return sky_of(region, day).veil(region.reflectance(band, day), known)


@dataclass(frozen=True)
class Swath:
    """What part of the region the satellite saw: all of it, or what lies west of a slanting line."""

    edge: float | None
    """Column (10 m grid) where the line crosses the region's first row; ``None`` if all was seen."""

    def mask(self, size: int) -> NDArray[np.bool_]:
        """Give the seen pixels, ``(y, x)`` on the 10 m grid."""
        rows, columns = np.mgrid[:size, :size] + 0.5
        return np.ones((size, size), np.bool_) if self.edge is None else columns < self.edge - _SWATH_SLOPE * rows

    def footprint(self, region: Region, tile: Tile) -> Polygon:
        """Outline what was seen of a tile, in the region's coordinates."""
        left, _, _, top = region.bounds
        rows = (tile.first_row, tile.first_row + tile.rows)
        west = [(left, top - PIXEL * row) for row in rows]
        east = [(left + PIXEL * self._width(region.size, row), top - PIXEL * row) for row in rows]
        return Polygon([west[0], west[1], east[1], east[0]])

    def _width(self, size: int, row: int) -> float:
        return size if self.edge is None else self.edge - _SWATH_SLOPE * row


def swath_of(region: Region, day: date | str) -> Swath:
    """Tell what part of the region is seen on a day."""
    rng = generator(region.seed, "swath", to_date(day).isoformat())
    crossed = rng.uniform() < region.clouds.swath_edges
    return Swath(float(rng.uniform(0.6, 0.9)) * region.size if crossed else None)


def write_scenes(
    region: Region, folder: Path, *, dates: Sequence[date | str] | None = None, jobs: int = 1
) -> list[Path]:
    """Write the scenes of a region, each in a folder of its own with its STAC item beside the files.

    A scene depends on the region, the tile and the date alone: any choice of dates in any order gives the same bits.
    A scene that is already there is left alone.

    Parameters
    ----------
    folder : Path
        Made if needed; ``folder/ID/ID.json``, ``folder/ID/B02.tif`` ... and ``folder/collection.json`` are written.
    dates : sequence of dates, optional
        Default: every fifteen days of 2023. Each date gives two scenes, one per tile.
    jobs : int
        Dates worked on at once.

    Returns
    -------
    Paths of the items, by date, north before south.

    Raises
    ------
    InputError
        If ``jobs`` is below 1 or a date is none.
    StorageError
        If the disk refuses.
    """
    if jobs < 1:
        raise InputError("no workers", where="jobs", expected=">= 1", got=str(jobs))
    days = [to_date(day) for day in dates] if dates is not None else acquisition_dates()
    write_json(folder / COLLECTION_FILE, scene_collection(region))
    with ThreadPoolExecutor(jobs) as pool:
        return [path for paths in pool.map(lambda day: _write_date(region, folder, day), days) for path in paths]


def item_path(folder: Path, tile: Tile, day: date) -> Path:
    """Tell where the item of a scene lies."""
    return folder / item_id(tile, day) / f"{item_id(tile, day)}.json"


def _write_date(region: Region, folder: Path, day: date) -> list[Path]:
    paths = {tile: item_path(folder, tile, day) for tile in region.tiles}
    missing = [tile for tile, path in paths.items() if not _is_done(path, scene_digest(region, tile, day))]
    if missing:
        swath, scl = swath_of(region, day), _classification(region, day)
        for path in (paths[tile] for tile in missing):
            remove(path)  # no item while its files change
        for band in BANDS:
            _write_band(region, band, day, {tile: paths[tile].parent for tile in missing}, swath)
        for tile in missing:
            _write_item(region, tile, day, paths[tile], scl, swath)
    return list(paths.values())


def _is_done(path: Path, digest: str) -> bool:
    item = read_json(path)
    if item.get("properties", {}).get(DIGEST_PROPERTY) != digest:
        return False
    return all((path.parent / asset["href"]).is_file() for asset in item["assets"].values())


def _classification(region: Region, day: date) -> NDArray[np.uint8]:
    scl = classify(
        sky_of(region, day),
        seed=region.seed,
        day=day,
        clouds=region.clouds,
        water_share=region.land.share(Cover.WATER),
        red=seen_reflectance(region, "red", day),
        nir=seen_reflectance(region, "nir", day),
    )
    return np.where(_seen(swath_of(region, day).mask(region.size), FACTOR), scl, 0).astype(np.uint8)


def _seen(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Give the coarse pixels of which every part was seen."""
    return np.asarray(block_mean(mask.astype(np.float32), factor) == 1)


def _write_band(region: Region, band: str, day: date, folders: dict[Tile, Path], swath: Swath) -> None:
    known = band_of(band)
    factor = known.resolution // PIXEL
    signal = block_mean(seen_reflectance(region, band, day), factor)
    seen = _seen(swath.mask(region.size), factor)
    for tile, folder in folders.items():
        rows = slice(tile.slice.start // factor, tile.slice.stop // factor)
        rng = generator(region.seed, "noise", day.isoformat(), tile.name, band)
        clean = signal[rows]
        noisy = clean + noise_std(clean, region.noise) * rng.standard_normal(clean.shape)
        write_geotiff(
            folder / f"{known.file}.tif",
            digital_numbers(noisy, valid=seen[rows]),
            transform=region.transform(known.resolution, first_row=tile.first_row),
            epsg=region.epsg,
            nodata=0,
        )


def _write_item(region: Region, tile: Tile, day: date, path: Path, scl: NDArray[np.uint8], swath: Swath) -> None:
    part = scl[tile.slice.start // FACTOR : tile.slice.stop // FACTOR]
    grid = region.transform(PIXEL * FACTOR, first_row=tile.first_row)
    write_geotiff(path.parent / "SCL.tif", part, transform=grid, epsg=region.epsg, nodata=0)
    write_json(path, scene_item(region, tile, day, scl=part, footprint=swath.footprint(region, tile)))
