"""What is about to be appended: looked at from all sides before the cube is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS
from rioxarray.exceptions import RioXarrayError

from terracube.core.digest import canonical_json, sha256_of
from terracube.core.errors import InputError, MetadataError
from terracube.cubes.access.redact import redact
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import Grid
from terracube.cubes.storage.describe import grid_of
from terracube.cubes.storage.versioned.layout import Layout
from terracube.cubes.storage.versioned.variable import CubeVariable, to_variable
from terracube.cubes.window import Window

# Coordinates may be off by this share of a pixel (float32 in a file, say), which no reader can tell from none.
_SLACK = 1e-4
_MAX_ATTRIBUTES = 16 << 10
_MAX_NOTES, _MAX_REASON = 50, 300
_KEY = re.compile("[0-9a-f]{64}")
_DIMS = ("time", "y", "x")
Variables = Mapping[str, CubeVariable | Mapping[str, Any] | str] | xr.Dataset


@dataclass(frozen=True, slots=True)
class Incoming:
    """A dataset that fits a cube."""

    dataset: xr.Dataset
    """The cube's variables (time, y, x), north-up, without coordinates."""
    times: NDArray[np.int64]
    """Nanoseconds since 1970, all different."""
    window: Window
    """Where its pixels lie in the cube."""
    attributes: dict[str, Any]
    """What its attributes tell about where it comes from."""
    items: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Ids of the items of each date, where it was loaded for this append."""

    def only(self, keep: NDArray[np.bool_]) -> Incoming:
        """Give some of the dates."""
        return replace(self, dataset=self.dataset.isel(time=np.flatnonzero(keep)), times=self.times[keep])


def to_incoming(dataset: xr.Dataset, layout: Layout, items: Sequence[Sequence[str]] | None = None) -> Incoming:
    """Check a dataset against the cube it is to enter.

    Parameters
    ----------
    dataset : Dataset
    layout : Layout
    items : sequence of sequences of str, optional
        Ids of the items of each time of the dataset.

    Raises
    ------
    InputError
        If variables, CRS, pixels or types are other ones, or it reaches beyond the grid.
    MetadataError
        If it lacks times, coordinates or CRS, or what they say contradicts the cube.
    """
    _check_names(dataset, layout)
    dated = with_time(dataset)
    times = _times(dated)
    upright = north_up(_with_dims(dated))
    _check_crs(upright, layout.grid)
    window = _window(upright, layout.grid)
    for name, variable in layout.variables.items():
        _check_variable(name, variable_of(name, upright[name]), variable)
        if variable.nodata is None and window.shape != tuple(layout.grid.shape):
            raise InputError(
                "a variable without nodata needs a value in every pixel",
                where=name,
                expected=f"the whole grid {tuple(layout.grid.shape)}",
                got=str(window.shape),
                todo="create the cube with a nodata value",
            )
    bare = upright[list(layout.variables)].reset_coords(drop=True).drop_vars(_DIMS, errors="ignore")
    if items is not None and len(items) != times.size:
        raise InputError("items are told for other dates", expected=f"{times.size} dates", got=str(len(items)))
    told = {} if items is None else dict(zip(times.tolist(), map(tuple, items), strict=True))
    return Incoming(bare, times, window, _attributes(dataset), told)


def _check_names(dataset: xr.Dataset, layout: Layout) -> None:
    found = {str(name) for name in dataset.data_vars if name != "spatial_ref"}
    if found != set(layout.variables):
        raise InputError(
            "other variables than those of the cube",
            where="append",
            expected=", ".join(layout.variables),
            got=", ".join(sorted(found))[:200] or "none",
        )


def with_time(dataset: xr.Dataset) -> xr.Dataset:
    """Give a dataset with a time axis; one with a single time, told beside it, gets an axis of length 1."""
    if "time" not in dataset.coords:
        raise MetadataError(
            "the dataset tells no time", expected="a coordinate time", todo="ds.assign_coords(time=...)"
        )
    if dataset["time"].ndim > 1 or dataset["time"].dims not in ((), ("time",)):
        raise MetadataError("unusable time", expected="one axis time", got=str(dataset["time"].dims))
    return dataset.expand_dims("time") if dataset["time"].ndim == 0 else dataset


def _times(dataset: xr.Dataset) -> NDArray[np.int64]:
    given = dataset["time"].values
    if given.dtype.kind != "M":
        raise MetadataError("times are not dates", where="time", expected="datetime64 (UTC)", got=str(given.dtype))
    if np.isnat(given).any():
        raise MetadataError(
            "a time is missing", where="time", expected="no NaT", got=f"{int(np.isnat(given).sum())} NaT"
        )
    try:
        exact = given.astype("datetime64[ns]")
        kept = np.array_equal(exact.astype(given.dtype), given)
    except OverflowError:  # numpy 2.5; before, such times became others without a word
        kept = False
    if not kept:
        raise MetadataError("a time is beyond what nanoseconds can count", where="time", expected="1678 to 2262")
    if np.unique(exact).size < exact.size:
        raise InputError(
            "a time is told twice",
            where="time",
            expected="different times",
            got=f"{exact.size - np.unique(exact).size} repeated",
            todo="mosaic the scenes of one date first",
        )
    return exact.astype("int64")


def _with_dims(dataset: xr.Dataset) -> xr.Dataset:
    wrong = [str(name) for name, v in dataset.data_vars.items() if v.ndim and set(v.dims) != set(_DIMS)]
    if wrong or not {"y", "x"} <= set(dataset.coords):
        raise MetadataError(
            "not a cube",
            where=", ".join(wrong),
            expected="dimensions time, y, x, with coordinates",
            got=str(dataset.sizes),
        )
    if min(dataset.sizes[name] for name in _DIMS) < 1:
        raise InputError(
            "the dataset is empty", expected="one date and one pixel or more", got=str(dict(dataset.sizes))
        )
    return dataset.transpose(*_DIMS, ...)


def north_up(dataset: xr.Dataset) -> xr.Dataset:
    """Give the same pixels with rows running south."""
    y = dataset["y"].values
    return dataset.isel(y=slice(None, None, -1)) if y.size > 1 and y[0] < y[-1] else dataset


def crs_of(dataset: xr.Dataset) -> str:
    """Give the CRS of a dataset in canonical text.

    Raises
    ------
    MetadataError
        If there is none.
    """
    try:
        found = dataset.rio.crs
    except RioXarrayError as error:
        raise MetadataError("the CRS of the dataset cannot be read", where="spatial_ref", got=str(error)) from error
    if found is None:
        raise MetadataError("the dataset tells no CRS", where="spatial_ref", todo="ds.rio.write_crs(...)")
    return to_crs_text(found.to_wkt())


def _check_crs(dataset: xr.Dataset, grid: Grid) -> None:
    found = crs_of(dataset)
    if found != grid.crs and CRS.from_user_input(found) != CRS.from_user_input(grid.crs):
        raise InputError("another CRS than the cube's", where="append", expected=grid.crs[:200], got=found[:200])


def _window(dataset: xr.Dataset, grid: Grid) -> Window:
    _check_transform(dataset, grid)
    first, count = {}, {}
    for axis, (name, resolution) in enumerate(zip(("y", "x"), grid.resolution, strict=True)):
        given = np.asarray(dataset[name].values, "float64")
        place = given / resolution - grid.phase[axis] - 0.5 - grid.offset[axis]
        if not np.isfinite(place).all():
            raise MetadataError("coordinates are not finite", where=name)
        start = round(float(place[0]))
        if np.abs(place - start - np.arange(given.size)).max() > _SLACK:
            raise _misplaced(name, given, float(place[0]) - start, resolution)
        first[name], count[name] = start, given.size
    window = Window(first["y"], first["x"], count["y"], count["x"])
    if min(window.row, window.col) < 0 or window.stop[0] > grid.shape.y or window.stop[1] > grid.shape.x:
        raise InputError(
            "the dataset reaches beyond the cube",
            where="append",
            expected=f"pixels within {tuple(grid.shape)}",
            got=f"rows {window.row} to {window.stop[0]}, columns {window.col} to {window.stop[1]}",
            todo="cut it, or create a cube with a larger grid",
        )
    return window


def _misplaced(name: str, given: NDArray[np.float64], off: float, resolution: float) -> InputError:
    step = (given[-1] - given[0]) / (given.size - 1) if given.size > 1 else resolution
    if abs(step - resolution) * given.size > _SLACK * abs(resolution):
        return InputError("another resolution than the cube's", where=name, expected=f"{resolution:g}", got=f"{step:g}")
    if abs(off) > _SLACK:
        return InputError(
            "pixels lie between those of the cube",
            where=name,
            expected="the same phase",
            got=f"off by {off:.4f} pixels",
        )
    return InputError("coordinates are not evenly spaced", where=name, expected=f"steps of {resolution:g}")


def _check_transform(dataset: xr.Dataset, grid: Grid) -> None:
    """Compare the resolution that the dataset tells; a single row or column has no other way to tell it."""
    told = transform_of(dataset)
    if told is None:
        if min(dataset.sizes["y"], dataset.sizes["x"]) < 2:
            raise MetadataError(
                "the resolution of a single row or column is not told",
                where="spatial_ref",
                expected="GeoTransform",
                todo="ds.rio.write_transform(...)",
            )
        return
    for name, size, wanted in (("y", told[5], grid.resolution.y), ("x", told[1], grid.resolution.x)):
        if abs(abs(size) - abs(wanted)) * dataset.sizes[name] > _SLACK * abs(wanted):
            raise InputError(
                "another resolution than the cube's",
                where=name,
                expected=f"{wanted:g}",
                got=f"{size:g}, told beside the CRS",
            )
    if told[2] or told[4]:
        raise InputError("the dataset is rotated", where="spatial_ref", expected="north-up", got=str(told))


def transform_of(dataset: xr.Dataset) -> tuple[float, ...] | None:
    """Give the GeoTransform that a dataset tells beside its CRS, in GDAL's order."""
    name = dataset.rio.grid_mapping
    text = dataset[name].attrs.get("GeoTransform") if name in dataset.coords else None
    if text is None:
        return None
    try:
        numbers = tuple(map(float, str(text).split()))
    except ValueError:
        numbers = ()
    if len(numbers) != 6 or not np.isfinite(numbers).all():
        raise MetadataError("malformed GeoTransform", where="spatial_ref", expected="six numbers", got=str(text)[:80])
    return numbers


def variable_of(name: str, array: xr.DataArray) -> CubeVariable:
    """Read what an array tells about its pixels.

    Raises
    ------
    MetadataError
        If it tells nodata twice, and not the same.
    """
    told = {repr(float(array.attrs[key])): array.attrs[key] for key in _NODATA if array.attrs.get(key) is not None}
    if len(told) > 1:
        raise MetadataError("nodata is told twice", where=name, expected="one number", got=", ".join(told))
    nodata = next(iter(told.values()), None)
    plain = nodata.item() if isinstance(nodata, np.generic) else nodata
    texts = [str(array.attrs.get(key, "")) for key in ("units", "long_name")]
    return CubeVariable(str(array.dtype), plain, texts[0], texts[1])


_NODATA = ("nodata", "_FillValue", "missing_value")


def _check_variable(name: str, found: CubeVariable, wanted: CubeVariable) -> None:
    for what, one, other in (
        ("type", found.dtype, wanted.dtype),
        ("nodata", repr(found.nodata), repr(wanted.nodata)),
        ("unit", found.units or wanted.units, wanted.units or found.units),
    ):
        if one != other:
            raise InputError(f"another {what} than the cube's", where=name, expected=other, got=one)


def _attributes(dataset: xr.Dataset) -> dict[str, Any]:
    """Keep the attributes that are JSON, without anything that grants access; of too many only the digest."""
    kept: dict[str, Any] = {}
    for name, value in dataset.attrs.items():
        try:
            kept[str(name)] = _clean(json.loads(canonical_json(value)))
        except (TypeError, ValueError):
            kept[str(name)] = redact(value)[:200]
    size = len(canonical_json(kept))
    return kept if size <= _MAX_ATTRIBUTES else {"sha256": sha256_of(kept), "bytes": size}


def missing_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Give what of a dataset of :func:`terracube.cubes.load` could not be read; ask after its pixels were computed.

    Returns
    -------
    dict
        Empty where nothing is missing, or the dataset is another one; else ``terracube:missing``: how many notes there
        are in all (``count``), and of the first of them (``notes``) item, asset (empty: the whole item) and reason.
    """
    from terracube.cubes.explain import report  # the loader imports storage
    from terracube.cubes.layout import PREFIX, cube_facts

    try:
        # The key becomes a part of file names.
        found = report(dataset) if _KEY.fullmatch(cube_facts(dataset)["key"]) else None
    except (InputError, KeyError, TypeError):  # another dataset, or attributes that somebody else wrote
        found = None
    if found is None:
        return {}
    notes = (*found.left_out, *found.failed)
    told = [
        {"item": redact(one.item), "asset": redact(one.asset), "reason": redact(one.reason)[:_MAX_REASON]}
        for one in notes[:_MAX_NOTES]
    ]
    return {f"{PREFIX}missing": {"count": len(notes), "notes": told}} if notes else {}


def _clean(value: Any) -> Any:
    """Take queries of addresses and known tokens out of all texts of a JSON value."""
    if isinstance(value, dict):
        return {redact(key): _clean(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_clean(held) for held in value]
    return redact(value) if isinstance(value, str) else value


def layout_of(variables: Variables, grid: Grid | None, chunk: int) -> Layout:
    """Settle what a new cube is to be.

    Raises
    ------
    InputError, MetadataError
        If variables, grid or chunks cannot be used, or are not told.
    """
    if isinstance(variables, xr.Dataset):
        found = {str(name): variable_of(str(name), array) for name, array in variables.data_vars.items()}
        return Layout(grid or grid_of(north_up(variables)), chunk, found)
    if grid is None:
        raise InputError("a cube needs a grid", where="grid", todo="give a Grid, or a dataset as variables")
    return Layout(grid, chunk, {name: to_variable(given) for name, given in variables.items()})
