"""Series of samples from a cube or from scenes: each chunk that holds a sample is read once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, LeftOut, MetadataError
from terracube.cubes.crs import transform_points
from terracube.cubes.grid import Grid
from terracube.cubes.sampling.pixels import Held, find_pixels, read_pixels
from terracube.processing.landcover.samples.align import blank, common_days, days_since, to_times
from terracube.processing.landcover.samples.draw import draws, pixel_draws, seed_of
from terracube.processing.landcover.samples.places import Samples
from terracube.processing.landcover.samples.series import Series, make_series

_WGS84 = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which pixels of a polygon are taken."""

    most: int | None = 50
    """Pixels of one polygon at most; ``None`` for all."""
    seed: int = 0
    """Another seed draws others."""
    all_touched: bool = False
    """Take the pixels that a polygon touches, not only those whose centre lies inside."""

    def __post_init__(self) -> None:
        """Refuse what is no number of pixels."""
        if self.most is not None and (isinstance(self.most, bool) or not isinstance(self.most, int) or self.most < 1):
            raise InputError("this is no number of pixels", where="most", expected=">= 1 or None", got=repr(self.most))


@dataclass(frozen=True, eq=False, slots=True)
class _Seasons:
    """Seasons of samples, and which dates of the cube are in each."""

    spans: NDArray[np.datetime64]
    """(seasons, 2) first and last day, NaT where there is no end."""
    kind: NDArray[np.int64]
    """(n,) season of each sample."""
    inside: NDArray[np.bool_]
    """(seasons, T) whether a date of the cube counts."""


@dataclass(frozen=True, eq=False, slots=True)
class _Chosen:
    """Pixels that are read: whose they are, and where."""

    owner: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


def extract(
    samples: Samples,
    source: Any,
    *,
    start: str | np.datetime64 | None = None,
    bands: Collection[str] | None = None,
    drawing: Drawing | None = None,
    **load_options: Any,
) -> Series:
    """Read the series of every sample from a cube, or from scenes.

    The values at a sample do not depend on the chunks of the cube, on what part of its grid it covers, on the order of
    the samples, or on the other samples (but for pixels that two claim).

    Parameters
    ----------
    samples : Samples
        Points (the pixel that holds each) or polygons (pixels whose centre lies inside), in any CRS.
    source : xarray.Dataset or STAC items
        Bands (time, y, x), clouds masked to NaN; variables (y, x) become ``static``. Items go through
        :func:`terracube.cubes.load`.
    start : date, optional
        First day of the season, day 0, of samples that tell none. Samples that do are read from their first to their
        last day, each included; the others at all dates.
    bands : collection of str, optional
        Variables with dates that are read, in that order; of items, bands by any name that
        :func:`terracube.cubes.load` takes. All if left out.
    drawing : Drawing, optional
        Which pixels of a polygon are taken; 50 at most if left out.
    **load_options
        For items: what :func:`terracube.cubes.load` takes.

    Returns
    -------
    Series
        One sample per pixel, sorted by sample, row and column: named ``sample`` for a point, ``sample:row:column`` in a
        polygon (counted from the origin of the CRS); ``groups`` are those of the samples, ``weight`` is the sample's
        own. ``left_out`` tells of samples outside the cube or in a season it has no date of, polygons without a
        pixel, and pixels that polygons of different classes claim in one season (taken by none; where they are of the
        same class, by the first by name).

    Raises
    ------
    MetadataError
        If the first day of a sample's season is not known, or the CRS of the cube is missing.
    InputError
        If a band is unknown, or options are for items only.
    EmptyResultError
        If no sample has a pixel, or the cube no date in their seasons.
    BudgetError
        If the pixels or values are too many for the memory; take fewer of each polygon.
    """
    how = drawing or Drawing()
    cube = _cube(source, bands, load_options)
    samples, seasons, late = _with_dates(samples, _seasons(samples, start, cube))
    held = find_pixels(cube, samples.frame.geometry, all_touched=how.all_touched)
    chosen, reports = _choose(samples, held, how, seasons.kind)
    if not len(chosen.owner):
        raise EmptyResultError(
            "no sample lies on a pixel of the cube",
            where="samples",
            expected=f"samples within {held.grid.crs[:60]} {tuple(held.grid.bounds)}",
            got="; ".join(f"{one.id}: {one.reason}" for one in reports[:3]),
        )
    values, days, static = _read(cube, chosen, seasons)
    return make_series(
        values, days, [str(name) for name, array in cube.data_vars.items() if "time" in array.dims],
        samples.labels[chosen.owner], nomenclature=samples.nomenclature, left_out=(*samples.left_out, *late, *reports),
        static=static, start=seasons.spans[seasons.kind[chosen.owner], 0], **_facts(samples, held, chosen),
    )  # fmt: skip


def _seasons(samples: Samples, start: Any, cube: xr.Dataset) -> _Seasons:
    """Find the season of each sample, and its dates in the cube."""
    told = np.stack([samples.frame[name].to_numpy("datetime64[D]") for name in ("start", "end")], axis=1)
    unknown = np.isnat(told[:, 0])
    if start is None and unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise MetadataError(
            "the first day of a season is not known",
            where=f"sample {samples.sample[row]}",
            expected="a column start, or start=",
            got="neither",
            todo="give start='2018-01-01', the first day of the season that the samples are of",
        )
    if start is not None:
        first = to_times([start], "start")
        if np.isnat(first[0]):
            raise InputError("this is no day", where="start", expected="YYYY-MM-DD", got=str(start)[:40])
        told[unknown, 0] = first.astype("datetime64[D]")[0]
    spans, kind = np.unique(told.astype(np.int64), axis=0, return_inverse=True)
    days = spans.astype("datetime64[D]")
    times = cube["time"].values.astype("datetime64[D]")
    inside = (np.isnat(days[:, 1:]) | (times >= days[:, :1])) & (np.isnat(days[:, 1:]) | (times <= days[:, 1:]))
    return _Seasons(days, kind.reshape(-1).astype(np.int64), inside)


def _with_dates(samples: Samples, seasons: _Seasons) -> tuple[Samples, _Seasons, list[LeftOut]]:
    """Leave out samples whose season the cube does not have."""
    seen = seasons.inside.any(axis=1)
    kept = seen[seasons.kind]
    if not kept.any():
        raise EmptyResultError(
            "the cube has no date in the season of any sample",
            expected=", ".join(f"{first} to {last}" for first, last in seasons.spans[:3].tolist()),
        )
    reports = [LeftOut(str(name), "the cube has no date in its season") for name in samples.sample[~kept]]
    number = np.cumsum(seen) - 1
    fewer = _Seasons(seasons.spans[seen], number[seasons.kind[kept]], seasons.inside[seen])
    return samples.take(kept), fewer, reports


def _cube(source: Any, bands: Collection[str] | None, load_options: dict[str, Any]) -> xr.Dataset:
    """Give the cube with the bands that are wanted, in their order."""
    if isinstance(source, xr.Dataset):
        if load_options:
            raise InputError("these options are for items only", where="extract", got=", ".join(load_options)[:200])
        cube = source
    else:
        from terracube.cubes.load import load  # here, because loading is not needed for what is loaded already

        cube = load(source, bands=None if bands is None else list(bands), **load_options)
        bands = None  # they have come, by the names they have in the cube
    timed = [str(name) for name, array in cube.data_vars.items() if "time" in array.dims]
    wanted = timed if bands is None else list(bands)
    if not wanted or not set(wanted) <= set(timed) or len(set(wanted)) < len(wanted):
        expected = ", ".join(timed) or "variables with dates"
        raise InputError("the cube lacks a band", where="bands", expected=expected, got=", ".join(wanted)[:200])
    still = [str(name) for name, array in cube.data_vars.items() if array.ndim == 2]
    return cube[[*wanted, *still]]


def _choose(samples: Samples, held: Held, how: Drawing, season: NDArray[np.int64]) -> tuple[_Chosen, list[LeftOut]]:
    """Take of all pixels those that one sample alone has, and of these not too many of a polygon."""
    names, row, col = samples.sample, held.rows + held.grid.offset.y, held.cols + held.grid.offset.x
    rank = np.empty(len(samples), np.int64)
    rank[np.argsort(names, kind="stable")] = np.arange(len(samples))
    kept, reports = _unclaimed(samples, held, rank, season[held.place])
    if how.most is not None and not samples.points:
        kept = _thinned(held.place, row, col, kept, names, how)
    order = np.flatnonzero(kept)
    order = order[np.lexsort((col[order], row[order], rank[held.place[order]]))]
    absent = np.ones(len(samples), np.bool_)
    absent[held.place] = False
    gone = [
        LeftOut(str(names[at]), "outside the cube" if held.outside[at] else "no pixel centre inside")
        for at in np.flatnonzero(absent)
    ]
    cut = held.outside & ~absent
    gone += [LeftOut(str(names[at]), "the part outside the cube") for at in np.flatnonzero(cut)]
    return _Chosen(held.place[order], held.rows[order], held.cols[order]), [*gone, *reports]


def _unclaimed(
    samples: Samples, held: Held, rank: NDArray[np.int64], season: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[LeftOut]]:
    """Leave out pixels that samples of different classes claim; of one class the first by name has them."""
    place, labels = held.place, samples.labels
    order = np.lexsort((rank[place], season, held.cols, held.rows))
    codes = labels[place[order]]
    change = [np.diff(key[order]) != 0 for key in (held.rows, held.cols, season)]
    first = np.concatenate([[True], np.any(change, axis=0)])[: len(order)]
    number = np.cumsum(first) - 1
    begin = np.flatnonzero(first)
    if not len(begin):
        return np.ones(0, np.bool_), []
    mixed = (np.minimum.reduceat(codes, begin) != np.maximum.reduceat(codes, begin))[number]
    kept = np.zeros(len(order), np.bool_)
    kept[order] = first & ~mixed
    lost = np.bincount(place[order][mixed], minlength=len(samples))
    told = "{} pixels that a sample of another class claims too"
    return kept, [LeftOut(str(samples.sample[at]), told.format(lost[at])) for at in np.flatnonzero(lost)]


def _thinned(
    place: NDArray[np.int64],
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    kept: NDArray[np.bool_],
    names: NDArray[np.str_],
    how: Drawing,
) -> NDArray[np.bool_]:
    """Keep so many pixels of each polygon: those that draw the lowest numbers."""
    live = np.flatnonzero(kept)
    own = draws(how.seed, names)[place[live]]
    key = pixel_draws(seed_of(how.seed, "extract"), row[live], col[live]) ^ own
    order = live[np.lexsort((key, place[live]))]
    begin = np.searchsorted(place[order], place[order])
    found = np.zeros(len(kept), np.bool_)
    found[order[np.arange(len(order)) - begin < (how.most or len(order))]] = True
    return found


def _read(
    cube: xr.Dataset, chosen: _Chosen, seasons: _Seasons
) -> tuple[NDArray[np.float32], NDArray[np.float64], tuple[tuple[str, NDArray[np.float32]], ...]]:
    """Read the pixels and put each on the days of its own season."""
    dated = [np.flatnonzero(inside) for inside in seasons.inside]
    owner = np.repeat(np.arange(len(dated)), [len(dates) for dates in dated])
    # Whole days, as maps count them: a sample's features are those of its pixel on the map.
    times = cube["time"].values.astype("datetime64[D]")
    told = [days_since(times[dates], first) for dates, (first, _) in zip(dated, seasons.spans, strict=True)]
    axis, place = common_days(owner, np.concatenate(told))
    found = read_pixels(cube, chosen.rows, chosen.cols)
    values = blank(len(chosen.owner), len(axis), len(found.series))
    kind = seasons.kind[chosen.owner]
    for number, dates in enumerate(dated):
        pixels = np.flatnonzero(kind == number)
        where = np.ix_(pixels, place[owner == number])
        for band, series in enumerate(found.series.values()):
            values[..., band][where] = series[np.ix_(dates, pixels)].T
    return values, axis, tuple(found.static.items())


def _facts(samples: Samples, held: Held, chosen: _Chosen) -> dict[str, Any]:
    """Give what is known of each pixel."""
    y, x = held.grid.centres()
    x, y = x[chosen.cols], y[chosen.rows]
    lon, lat = transform_points(held.grid.crs, _WGS84, x, y)
    names = samples.sample[chosen.owner]
    if not samples.points:
        names = _named(names, chosen, held.grid)
    return {
        "sample": names,
        "groups": samples.groups[chosen.owner],
        "region": samples.region[chosen.owner],
        "weight": samples.weight[chosen.owner],
        "x": x,
        "y": y,
        "lon": lon,
        "lat": lat,
        "crs": held.grid.crs,
    }


def _named(names: NDArray[np.str_], chosen: _Chosen, grid: Grid) -> NDArray[np.str_]:
    rows, cols = chosen.rows + grid.offset.y, chosen.cols + grid.offset.x
    told = zip(names.tolist(), rows.tolist(), cols.tolist(), strict=True)
    return np.array([f"{name}:{row}:{col}" for name, row, col in told], dtype=np.str_)
