"""Designing a validation campaign: how many points, how many in each class, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes import Grid, reduce_blocks
from terracube.cubes.gridlike import to_grid
from terracube.processing.landcover._mixing import mix
from terracube.processing.landcover.accuracy.mapped import MapAreas, map_areas, seen_codes, to_layer

if TYPE_CHECKING:
    import geopandas

_METHODS = ("proportional", "equal", "neyman", "rare")
_RARE = 0.1
_MOST_POINTS = 1_000_000
_MASK = (1 << 64) - 1


def sample_size(weights: Mapping[int, float], users: Mapping[int, float] | float = 0.8, *, error: float = 0.01) -> int:
    """Give the number of points that estimates overall accuracy with a wanted standard error.

    Parameters
    ----------
    weights : mapping from codes to float
        Area of each class on the map, in any unit.
    users : mapping from codes to float, or float
        User's accuracies that are expected, 0 to 1.
    error : float
        Standard error that is wanted; half the width of a 95 % interval is 1.96 times it.

    Returns
    -------
    int
        ``(sum W_i S_i / error)^2`` with S_i = sqrt(U_i (1 - U_i)), rounded up.

    References
    ----------
    Cochran 1977, Sampling techniques, equation 5.25; Olofsson et al. 2014, equation 13,
    doi:10.1016/j.rse.2014.02.015.

    Examples
    --------
    >>> sample_size({1: 0.02, 2: 0.015, 3: 0.32, 4: 0.645}, {1: 0.7, 2: 0.6, 3: 0.9, 4: 0.95})
    641
    """
    if not 0 < error < 1:
        raise InputError("the standard error lies between 0 and 1", where="error", got=str(error))
    shares, spreads = _shares(weights), _spreads(weights, users)
    return max(2 * len(shares), math.ceil(sum(shares[code] * spreads[code] for code in shares) ** 2 / error**2))


def allocate(
    points: int,
    weights: Mapping[int, float],
    *,
    method: str = "rare",
    users: Mapping[int, float] | float = 0.8,
    minimum: int = 50,
) -> dict[int, int]:
    """Share out points among the classes of a map.

    Parameters
    ----------
    points : int
        How many there are.
    weights : mapping from codes to float
        Area of each class on the map, in any unit.
    method : str
        ``"rare"``: classes with less than a tenth of the area, and those whose share is less, get ``minimum``, the
        others the rest by area (Olofsson et al. 2014, 5.1). ``"proportional"``: by area. ``"equal"``: alike.
        ``"neyman"``: by area times sqrt(U (1 - U)), which makes the error of overall accuracy least.
    users : mapping or float
        User's accuracies that are expected, for ``"neyman"``.
    minimum : int
        Least number of points of a class for ``"rare"``. Two for the other methods: with fewer there is no error.

    Returns
    -------
    dict from codes to int
        Sums to ``points``.

    Raises
    ------
    InputError
        If there are too few points to give each class its least number.

    Examples
    --------
    >>> allocate(640, {1: 0.02, 2: 0.015, 3: 0.32, 4: 0.645}, minimum=75)
    {1: 75, 2: 75, 3: 162, 4: 328}
    """
    if method not in _METHODS:
        raise InputError("unknown allocation", where="method", expected=", ".join(_METHODS), got=repr(method))
    shares = _shares(weights)
    least = minimum if method == "rare" else 2
    if least < 2 or points < least * len(shares) or points > _MOST_POINTS:
        raise InputError(
            "the points cannot be shared out",
            where="points",
            expected=f"from {max(least, 2) * len(shares)} ({max(least, 2)} for each class) to {_MOST_POINTS}",
            got=str(points),
        )
    if method == "equal":
        wanted = dict.fromkeys(shares, 1.0)
    elif method == "neyman":
        spreads = _spreads(weights, users)
        wanted = {code: share * spreads[code] for code, share in shares.items()}
    else:
        wanted = shares
    fixed = {code for code, share in shares.items() if share < _RARE} if method == "rare" else set()
    return _shared(points, wanted, least, fixed if len(fixed) < len(shares) else set())


def design_sample(
    class_map: xr.DataArray,
    points: int | Mapping[int, int],
    seed: int,
    *,
    method: str = "rare",
    users: Mapping[int, float] | float = 0.8,
    minimum: int = 50,
) -> geopandas.GeoDataFrame:
    """Draw a stratified random sample of pixels of a map, to be labelled by an interpreter.

    Every pixel of a class has the same chance. Which ones are drawn hangs on the seed and on where a pixel lies on its
    grid, on nothing else: not on chunks, and not on threads. A larger sample with the same seed holds the smaller one,
    so that a campaign can be extended.

    Parameters
    ----------
    class_map : xarray.DataArray (y, x)
        Class codes, lazy or not; each chunk is read twice, or once if ``points`` is a mapping.
    points : int or mapping from codes to int
        How many in all, shared out by :func:`allocate` with ``method``, ``users`` and ``minimum``; or how many in each
        class.
    seed : int

    Returns
    -------
    geopandas.GeoDataFrame
        In the CRS of the map, points at pixel centres, in random order: ``id`` (1, 2, ...), ``stratum`` (class on the
        map: do not show it to the interpreter), ``probability`` that the pixel is drawn, ``weight`` (pixels that the
        point stands for). Add the column ``label`` and hand it to :func:`validate`.

    Raises
    ------
    InputError
        If a class is not on the map, or has fewer pixels than points asked for.
    """
    layer = to_layer(class_map)
    if isinstance(points, Mapping):
        wanted = {int(code): int(count) for code, count in points.items()}
    else:
        found = map_areas(class_map)
        wanted = _capped(allocate(points, found.by_code, method=method, users=users, minimum=minimum), found)
    if not wanted or min(wanted.values()) < 1 or sum(wanted.values()) > _MOST_POINTS:
        raise InputError("each class needs a point or more", where="points", expected=f"1 to {_MOST_POINTS}")
    grid = to_grid(layer)
    draw = _Draw(grid, tuple(sorted(wanted.items())), int(seed))
    drawn: dict[int, _Drawn] = reduce_blocks(layer, None, draw, draw.combine).compute()
    _refuse_small(wanted, drawn)
    return _as_frame(grid, drawn)


def _shares(weights: Mapping[int, float]) -> dict[int, float]:
    values = {int(code): float(weight) for code, weight in weights.items() if float(weight) != 0}
    total = math.fsum(values.values())
    if not values or not all(math.isfinite(v) and v > 0 for v in values.values()):
        raise InputError("areas of classes are numbers from 0, with one above it", where="weights")
    return {code: weight / total for code, weight in sorted(values.items())}


def _spreads(weights: Mapping[int, float], users: Mapping[int, float] | float) -> dict[int, float]:
    """Give sqrt(U (1 - U)) of each class."""
    found = {}
    for code in _shares(weights):
        told = users.get(code) if isinstance(users, Mapping) else users
        if told is None or not 0 <= told <= 1:
            raise InputError(
                "a user's accuracy lies between 0 and 1", where=f"users, class {code}", got=repr(told), todo="give one"
            )
        found[code] = math.sqrt(told * (1 - told))
    return found


def _shared(points: int, wanted: dict[int, float], least: int, fixed: set[int]) -> dict[int, int]:
    """Share out by weight; those that would get less than the least number get that, until none would."""
    held = set(fixed)
    while True:
        free = {code: weight for code, weight in wanted.items() if code not in held}
        rest, total = points - least * len(held), math.fsum(free.values())
        ideal = {code: rest * (weight / total if total else 1 / len(free)) for code, weight in free.items()}
        poor = {code for code, share in ideal.items() if share < least}
        if not poor:
            break
        held |= poor
        if held == set(wanted):
            held, ideal = set(), dict.fromkeys(wanted, points / len(wanted))
            break
    counts = dict.fromkeys(held, least) | {code: math.floor(share) for code, share in ideal.items()}
    # Those with the largest remainder first, then by code.
    order = sorted(ideal, key=lambda code: (math.floor(ideal[code]) - ideal[code], code))
    for code in order[: points - sum(counts.values())]:
        counts[code] += 1
    return {code: counts[code] for code in sorted(counts)}


def _capped(wanted: dict[int, int], found: MapAreas) -> dict[int, int]:
    """Ask of a tiny class for no more pixels than it has."""
    held = dict(zip(found.codes, found.pixels, strict=True))
    return {code: min(count, held[code]) for code, count in wanted.items()}


@dataclass(frozen=True, eq=False, slots=True)
class _Drawn:
    """Pixels of a class with the lowest numbers, ascending."""

    held: int
    """Pixels of the class."""
    keys: NDArray[np.uint64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    def lowest(self, count: int) -> _Drawn:
        """Keep the lowest; of two with one number the one further north and west."""
        order = np.lexsort((self.cols, self.rows, self.keys))[:count]
        return _Drawn(self.held, self.keys[order], self.rows[order], self.cols[order])


@dataclass(frozen=True, slots=True)
class _Draw:
    """Gives each pixel a number by its place, and keeps those of each class with the lowest."""

    grid: Grid
    wanted: tuple[tuple[int, int], ...]
    seed: int

    def __call__(self, tile: xr.Dataset) -> dict[int, _Drawn]:
        """Draw in a tile; rows and columns count from the first pixel of the map."""
        values = next(iter(tile.data_vars.values()))
        codes, seen = seen_codes(values.values, values.attrs.get("nodata"))
        y, x = self.grid.centres()
        top = round(float(tile["y"].values[0] - y[0]) / self.grid.resolution.y)
        left = round(float(tile["x"].values[0] - x[0]) / self.grid.resolution.x)
        found = {}
        for code, count in self.wanted:
            rows, cols = (index.astype(np.int64) for index in np.nonzero(seen & (codes == code)))
            rows, cols = rows + top, cols + left
            keys = pixel_keys(rows + self.grid.offset.y, cols + self.grid.offset.x, self.seed)
            found[code] = _Drawn(keys.size, keys, rows, cols).lowest(count)
        return found

    def combine(self, parts: list[dict[int, _Drawn]]) -> dict[int, _Drawn]:
        """Draw among what was drawn in the tiles."""
        merged = {}
        for code, count in self.wanted:
            drawn = [part[code] for part in parts]
            keys, rows, cols = (
                np.concatenate([getattr(one, name) for one in drawn]) for name in ("keys", "rows", "cols")
            )
            merged[code] = _Drawn(sum(one.held for one in drawn), keys, rows, cols).lowest(count)
        return merged


def pixel_keys(rows: NDArray[np.int64], cols: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Give each pixel a number that looks random and hangs on its absolute row and column and on the seed alone.

    Three rounds of the finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195), over seed, row
    and column.
    """
    state = mix(np.full(rows.shape, seed & _MASK, np.uint64))
    return mix(mix(state ^ rows.view(np.uint64)) ^ cols.view(np.uint64))


def _refuse_small(wanted: Mapping[int, int], drawn: Mapping[int, _Drawn]) -> None:
    for code, count in wanted.items():
        if drawn[code].held < count:
            raise InputError(
                "a class has fewer pixels than points were asked for",
                where=f"class {code}",
                expected=f"at most {drawn[code].held} points",
                got=str(count),
            )


def _as_frame(grid: Grid, drawn: Mapping[int, _Drawn]) -> geopandas.GeoDataFrame:
    import geopandas

    strata = np.concatenate([np.full(one.keys.size, code) for code, one in drawn.items()])
    chance = np.concatenate([np.full(one.keys.size, one.keys.size / one.held) for one in drawn.values()])
    keys, rows, cols = (
        np.concatenate([getattr(one, name) for one in drawn.values()]) for name in ("keys", "rows", "cols")
    )
    y, x = grid.centres()
    # The next number of the same pixel, so that the order tells nothing of the class.
    order: NDArray[Any] = np.lexsort((cols, rows, mix(keys)))
    table = {
        "id": np.arange(1, order.size + 1),
        "stratum": strata[order],
        "probability": chance[order],
        "weight": 1 / chance[order],
    }
    geometry = geopandas.points_from_xy(x[cols[order]], y[rows[order]])
    return geopandas.GeoDataFrame(table, geometry=geometry, crs=grid.crs)
