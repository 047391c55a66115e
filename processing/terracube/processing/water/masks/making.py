"""The water mask of a cube: flags for what hides the ground, one of three methods for water, classes from the flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import Delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.gridlike import to_grid
from terracube.processing.kernels.wofs import wet_pixels
from terracube.processing.water.masks import clusters, otsu
from terracube.processing.water.masks._blocks import gather, over_blocks, stacked
from terracube.processing.water.masks.clear import (
    SATURATED,
    TESTED,
    VISIBLE,
    Screen,
    classes,
    grown,
    is_clear,
    with_water,
)
from terracube.processing.water.masks.flags import bitmask, flag_attrs, water_attrs
from terracube.processing.water.masks.ground import low_sun_flag, terrain_flags
from terracube.processing.water.masks.indices import water_index
from terracube.processing.water.masks.settings import MaskOptions, MaskSettings, at_date, settings_of
from terracube.processing.water.masks.shore import distance_array, near_land_flags

_WOFS = ("blue", "green", "red", "nir", "swir16", "swir22")
# Roles that stand in where a sensor has no band of the other.
_INSTEAD = {"nir": ("nir08",), "nir08": ("nir",)}
_QUANTITIES = ("rhos", "rhow")

type Bands = dict[str, Any]


def mask(cube: xr.Dataset, method: str = "wofs", **options: Unpack[MaskOptions]) -> xr.Dataset:
    """Find water, and say for each pixel why it may not be trusted.

    Parameters
    ----------
    cube : Dataset
        Role-named bands (``blue``, ``green``, ...) of reflectance without unit, float (y, x) or (time, y, x), NaN or
        ``attrs["nodata"]`` = missing; numpy or Dask.
    method : str
        ``"wofs"``: the decision tree of Water Observations from Space, made for Landsat's surface reflectance.
        ``"indices"``: an index above a threshold, which is found from the whole scene unless it is given.
        ``"cluster"``: clusters of a seeded sample, and naive Bayes for all pixels.
    **options
        As the fields of :class:`MaskSettings`: ``index``, ``threshold``, ``dem``, ``sun_azimuth``, ``sun_elevation``,
        ``cloud``, ``cloud_shadow``, ``grow``, ``tests``, ``near_land``, ...

    Returns
    -------
    Dataset
        ``water``, uint8: 0 dry, 1 wet, 255 where a flag says that nothing can be told (``flags.UNCLEAR``). ``flags``,
        uint16: bits as ``flags.BITS``; ``wet`` is set whatever the others say. For method ``indices`` also
        ``threshold``, float64, 0-d or one for each date. Lazy if the cube is, and the same to the bit however it is
        cut.

    Raises
    ------
    InputError
        If a band is missing, which is named; if an option is wrong; if numbers are no reflectance.
    MetadataError
        If the grid of the elevation is another, or a distance is asked for and there is no CRS.

    Notes
    -----
    ``glint`` is set by :func:`correct`, not here.

    A threshold or clusters of a lazy scene are found from all its blocks before the first is masked. Blocks that are
    read from files are read twice for that, not held. Where Dask cannot join the steps of a block into one task, as
    with clouds that are grown over its edges, bands are held in memory for a date: there, compute ``threshold`` first
    and give it as a number.

    Examples
    --------
    >>> bands = {"blue": 0.03, "green": 0.05, "red": 0.03, "nir": 0.01, "swir16": 0.004, "swir22": 0.003}
    >>> cube = xr.Dataset({name: (("y", "x"), np.full((1, 2), value)) for name, value in bands.items()})
    >>> cube["red"].values[0, 1] = np.nan
    >>> found = mask(cube)
    >>> found["water"].values.tolist(), found["flags"].values.tolist()
    ([[1, 255]], [[128, 2]])
    """
    settings = settings_of(method, options)
    needed, bands = _bands(cube, settings)
    like = bands[needed[0]]
    dates = like.sizes.get("time", 1)
    extras = {name: _extra(cube, getattr(settings, name), name, like) for name in ("cloud", "cloud_shadow")}
    made = [_one(_of_date({**bands, **extras}, number), needed, _ground(cube, settings, number, dates), settings, cube)
            for number in range(dates)]  # fmt: skip
    flags = stacked([one for one, _ in made], like=like.data)
    water = over_all(classes, flags, "uint8")
    told = {"method": method} | ({"index": settings.index} if method == "indices" else {})
    found = xr.Dataset(
        {
            "water": _placed(water, like, water_attrs(**told)),
            "flags": _placed(flags, like, flag_attrs(**told)),
        }
    )
    if method == "indices":
        found["threshold"] = _thresholds([threshold for _, threshold in made], like, settings)
    return found


def over_all(core: Callable[..., Any], array: Any, dtype: str) -> Any:
    """Call a function of single pixels on an array of any dimensions."""
    if isinstance(array, da.Array):
        return da.map_blocks(core, array, dtype=dtype, meta=np.empty((0,) * array.ndim, dtype))
    return core(array)


def _one(
    arrays: Bands, needed: tuple[str, ...], ground: list[Any], settings: MaskSettings, cube: xr.Dataset
) -> tuple[Any, Any]:
    """Give the flags of one date, and its threshold if it has one."""
    more = [
        over_blocks(partial(grown, radius=settings.grow, bits=bitmask([name])), [arrays.pop(name)], "uint16",
                    halo=int(np.ceil(settings.grow)))
        for name in ("cloud", "cloud_shadow") if name in arrays
    ]  # fmt: skip
    screen = Screen(tuple(arrays), needed, tuple(settings.tests))
    flags = over_blocks(screen, [*arrays.values(), *more, *ground], "uint16")
    threshold: Any = None
    if settings.method == "wofs":
        flags = over_blocks(_by_tree, [flags, *(arrays[name] for name in needed)], "uint16")
    elif settings.method == "indices":
        flags, threshold = _by_index(flags, arrays, settings)
    else:
        flags = _by_clusters(flags, arrays, settings, cube)
    if settings.near_land is not None:
        away = distance_array(over_blocks(classes, [flags], "uint8"), to_grid(cube), settings.near_land)
        flags = over_blocks(partial(near_land_flags, metres=settings.near_land), [flags, away], "uint16")
    return flags, threshold


def _by_tree(flags: NDArray[np.uint16], *bands: NDArray[Any]) -> NDArray[np.uint16]:
    wet = np.empty(flags.shape, np.bool_)
    kind = np.result_type(*bands)
    wet_pixels(*(np.ascontiguousarray(band, kind).ravel() for band in bands), wet.ravel())
    return with_water(flags, wet)


def _by_index(flags: Any, arrays: Bands, settings: MaskSettings) -> tuple[Any, Any]:
    index = water_index(settings.index)
    values = over_blocks(_Index(settings.index), [arrays[name] for name in index.bands], "float64")
    threshold: Any = settings.threshold
    if threshold == "published":
        threshold = index.threshold
    elif threshold is None:
        threshold = gather(
            _Counting(settings.index), _Cutting(settings.index), [flags, *(arrays[name] for name in index.bands)]
        )
    return over_blocks(_above, [flags, values], "uint16", threshold=threshold), threshold


def _by_clusters(flags: Any, arrays: Bands, settings: MaskSettings, cube: xr.Dataset) -> Any:
    bands = [arrays[name] for name in clusters.BANDS]
    rows, cols = _places(cube, flags.shape)
    drawn = partial(clusters.draw, seed=settings.seed)
    found = gather(drawn, clusters.together, [flags, rows[:, None], cols[None, :], *bands])
    return over_blocks(_by_bayes, [flags, *bands], "uint16", found=found)


@dataclass(frozen=True, slots=True)
class _Index:
    """A function of bands: an index by name, in double precision so that it is the same for every type of band."""

    name: str

    def __call__(self, *bands: NDArray[Any]) -> NDArray[np.float64]:
        index = water_index(self.name)
        given = {name: band.astype(np.float64) for name, band in zip(index.bands, bands, strict=True)}
        return index.values(given)


@dataclass(frozen=True, slots=True)
class _Counting:
    """A function of flags and bands: the histogram of an index over the clear pixels."""

    name: str

    def __call__(self, flags: NDArray[np.uint16], *bands: NDArray[Any]) -> NDArray[np.int64]:
        return otsu.histogram(_Index(self.name)(*bands), is_clear(flags), water_index(self.name))


@dataclass(frozen=True, slots=True)
class _Cutting:
    """A function of the histograms of all blocks: the threshold."""

    name: str

    def __call__(self, parts: list[Any]) -> np.float64:
        return np.float64(otsu.balanced_threshold(otsu.added(parts), water_index(self.name)))


def _above(flags: NDArray[np.uint16], values: NDArray[np.float64], *, threshold: float) -> NDArray[np.uint16]:
    return with_water(flags, values > threshold)


def _by_bayes(flags: NDArray[np.uint16], *bands: NDArray[Any], found: clusters.Clusters) -> NDArray[np.uint16]:
    x = clusters.features(dict(zip(clusters.BANDS, bands, strict=True)))
    return with_water(flags, clusters.classify(x, found))


def _needed(settings: MaskSettings) -> tuple[str, ...]:
    if settings.method == "wofs":
        return _WOFS
    return clusters.BANDS if settings.method == "cluster" else water_index(settings.index).bands


def _bands(cube: xr.Dataset, settings: MaskSettings) -> tuple[tuple[str, ...], dict[str, xr.DataArray]]:
    """Give the roles that are needed, and all bands that are looked at, by role."""
    quantity = cube.attrs.get("quantity", "rhos")
    if quantity not in _QUANTITIES:
        raise InputError("masks take reflectance", where="quantity", expected=", ".join(_QUANTITIES), got=str(quantity))
    needed = _needed(settings)
    found = {name: _role(cube, name) for name in dict.fromkeys((*needed, *VISIBLE, *TESTED))}
    missing = [name for name in needed if found[name] is None]
    if missing:
        raise InputError(
            f"method {settings.method!r} needs bands that are not there",
            where=", ".join(missing),
            expected=", ".join(needed),
            got=", ".join(map(str, cube.data_vars))[:200],
        )
    bands = {name: band for name, band in found.items() if band is not None}
    first = bands[needed[0]]
    if not first.size:
        raise InputError("the cube is empty", where=needed[0], got=str(dict(first.sizes)))
    for name, band in bands.items():
        if band.dims not in (("y", "x"), ("time", "y", "x")) or band.shape != first.shape or band.dtype.kind != "f":
            expected = "float (y, x) or (time, y, x), all of one shape"
            raise InputError("not a band", where=name, expected=expected, got=f"{band.dtype} {dict(band.sizes)}")
    _check_scale({name: bands[name] for name in needed})
    return needed, bands


def _role(cube: xr.Dataset, name: str) -> xr.DataArray | None:
    """Give a band by role, or that of one which stands in, with NaN for missing."""
    for role in (name, *_INSTEAD.get(name, ())):
        if role in cube.data_vars:
            band, nodata = cube[role], cube[role].attrs.get("nodata")
            seen: xr.DataArray = band if nodata is None or np.isnan(nodata) else band.where(band != nodata)
            return seen
    return None


def _check_scale(bands: Mapping[str, xr.DataArray]) -> None:
    """Refuse numbers in memory of which most are too large for reflectance: they are as stored, not scaled."""
    for name, band in bands.items():
        if isinstance(band.data, np.ndarray):
            large, seen = int((band.data > SATURATED).sum()), int(np.isfinite(band.data).sum())
            if seen and large * 2 > seen:
                raise InputError(
                    "this is no reflectance",
                    where=name,
                    expected=f"most values up to {SATURATED}",
                    got=f"{large} of {seen} above",
                    todo="scale the numbers as their product says",
                )


def _extra(cube: xr.Dataset, given: Any, name: str, like: xr.DataArray) -> xr.DataArray | None:
    if given is None:
        return None
    if isinstance(given, str) and given not in cube:
        raise InputError("the cube has no such variable", where=name, got=repr(given)[:80])
    found: xr.DataArray = cube[given] if isinstance(given, str) else given
    if not isinstance(found, xr.DataArray) or found.shape not in (like.shape, like.shape[-2:]):
        got = str(getattr(found, "shape", type(found).__name__))
        raise InputError("not an array like the bands", where=name, expected=str(like.shape), got=got)
    return found


def _of_date(bands: Mapping[str, xr.DataArray | None], number: int) -> Bands:
    """Give the pixels (y, x) of one date."""
    return {
        name: band.data if band.ndim == 2 else band.data[number] for name, band in bands.items() if band is not None
    }


def _ground(cube: xr.Dataset, settings: MaskSettings, number: int, dates: int) -> list[Any]:
    """Give the flags of sun and terrain on one date: none, or an array (y, x)."""
    azimuth = at_date(settings.sun_azimuth, number, dates, "sun_azimuth")
    elevation = at_date(settings.sun_elevation, number, dates, "sun_elevation")
    low = low_sun_flag(elevation, settings.low_sun)
    found = []
    if settings.dem is not None:
        if not to_grid(settings.dem).same_pixels(to_grid(cube)) or settings.dem.shape != _shape(cube):
            raise MetadataError("the elevation lies on another grid", where="dem", todo="bring it to that of the cube")
        facts = {"sun_azimuth": azimuth, "sun_elevation": elevation}
        found.append(terrain_flags(settings.dem, steep=settings.steep, reach=settings.shade_reach, **facts))
    if low:
        found.append(np.full(_shape(cube), low, np.uint16))
    return found


def _shape(cube: xr.Dataset) -> tuple[int, int]:
    return cube.sizes["y"], cube.sizes["x"]


def _places(cube: xr.Dataset, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the row and column of pixels, counted from the origin of the CRS where there is one."""
    try:
        offset = to_grid(cube).offset
    except MetadataError:
        return np.arange(shape[0]), np.arange(shape[1])
    return np.arange(shape[0]) + offset.y, np.arange(shape[1]) + offset.x


def _placed(data: Any, like: xr.DataArray, attrs: dict[str, Any]) -> xr.DataArray:
    found = xr.DataArray(data, dims=like.dims, coords=like.coords, attrs=attrs)
    if "grid_mapping" in like.encoding:
        found.encoding["grid_mapping"] = like.encoding["grid_mapping"]
    return found


def _thresholds(values: list[Any], like: xr.DataArray, settings: MaskSettings) -> xr.DataArray:
    """Give the threshold of each date, lazy where it is."""
    index = water_index(settings.index)
    given: list[Any] = [
        da.from_delayed(value, (), "float64") if isinstance(value, Delayed) else np.float64(value) for value in values
    ]
    lazy = any(isinstance(value, da.Array) for value in given)
    dims = ("time",) if like.ndim == 3 else ()
    data = (da.stack(given) if lazy else np.array(given)) if dims else given[0]
    coords = {"time": like.coords["time"]} if dims and "time" in like.coords else {}
    how = "given" if isinstance(settings.threshold, int | float) else settings.threshold or "balanced Otsu"
    attrs = {"long_name": f"threshold of {index.title}", "method": how, "published": index.threshold}
    return xr.DataArray(data, dims=dims, coords=coords, attrs=attrs | {"source": index.source})
