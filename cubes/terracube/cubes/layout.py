"""How a cube looks as an xarray object: dimensions, coordinates, CRS, and attributes that tell its origin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import MaskRule, sensor_of
from terracube.cubes.grid import Grid
from terracube.cubes.plan import BandPlan, CubePlan, MaskChoice
from terracube.cubes.warp import pipeline

PREFIX = "terracube:"


def georeference[Pixels: (xr.DataArray, xr.Dataset)](array: Pixels, grid: Grid) -> Pixels:
    """Give pixels (..., y, x) their coordinates and CRS, as CF, rioxarray and odc-geo read them."""
    y, x = grid.centres()
    placed = array.assign_coords(y=("y", y), x=("x", x))
    with_crs: Pixels = placed.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    located: Pixels = with_crs.rio.write_coordinate_system()
    return located


def to_dataset(plan: CubePlan, arrays: Mapping[str, Any], left_out: list[dict[str, str]]) -> xr.Dataset:
    """Put the arrays (time, y, x) of a plan's bands into a dataset that says what it is made of."""
    # Without pixels: a grid may be far larger than memory.
    frame = georeference(xr.Dataset(), plan.grid)
    coords: dict[str, xr.DataArray] = {name: frame.coords[name] for name in ("y", "x", "spatial_ref")}
    coords["time"] = xr.DataArray(_times(plan), dims="time")
    coords["time"].attrs["standard_name"] = "time"
    if plan.spec.groupby not in (None, "scene", "time", "solar_day"):
        name = str(plan.spec.groupby)
        values = [group[0].properties[name] for group in plan.groups]
        # Names with a colon, as most properties have, are no names of variables in a store.
        coords[re.sub(r"\W", "_", name)] = xr.DataArray(values, dims="time", attrs={"long_name": name})
    variables = {
        band.name: xr.Variable(("time", "y", "x"), arrays[band.name], _band_attributes(plan, band))
        for band in plan.bands
    }
    cube = xr.Dataset(variables, coords, attrs=attributes_of(plan, left_out))
    for variable in cube.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"
    return cube


def attributes_of(plan: CubePlan, left_out: list[dict[str, str]], *, engine: str = "terracube") -> dict[str, Any]:
    """Give the attribute that tells what a dataset is made of, as JSON text."""
    spec = plan.spec
    sources = {source.grid for group in plan.groups for scene in group for source in scene.bands.values()}
    facts: dict[str, Any] = {
        "key": plan.digest,
        "engine": engine,
        "items": [[scene.id for scene in group] for group in plan.groups],
        "groupby": spec.groupby,
        "mosaic": spec.mosaic if isinstance(spec.mosaic, str) else "function",
        "mask": _told(spec.masked),
        "overviews": spec.overviews,
        "left_out": left_out,
        "pipelines": sorted({(grid.crs, pipeline(grid, plan.grid)) for grid in sources if grid.crs != plan.grid.crs}),
    }
    facts |= _seen_by(plan)
    return {f"{PREFIX}cube": json.dumps(facts)} | _quantity(plan)


def _seen_by(plan: CubePlan) -> dict[str, Any]:
    """Name the platforms of each step of time, with its time, and all instruments, as the items do."""
    platforms = [
        sorted({str(told) for scene in group if (told := scene.properties.get("platform"))}) for group in plan.groups
    ]
    scenes = [scene for group in plan.groups for scene in group]
    aboard = {str(name) for scene in scenes for name in scene.properties.get("instruments") or ()}
    if not any(platforms):
        return {}
    return {"platforms": platforms, "times": [str(time) for time in _times(plan)], "instruments": sorted(aboard)}


def _times(plan: CubePlan) -> NDArray[np.datetime64]:
    """Give the time of each step as the coordinate has it."""
    return pd.to_datetime(list(plan.dates)).to_numpy("datetime64[ns]")


def _quantity(plan: CubePlan) -> dict[str, str]:
    """Tell which reflectance the measured bands hold, where the sensor's description does and all bands hold it."""
    told = set()
    for group in plan.groups:
        for scene in group:
            try:
                told.add(sensor_of(scene.collection).reflectance.get("quantity"))
            except NotFoundError:  # a collection without a description here
                told.add(None)
    if len(told) != 1 or None in told:
        return {}
    measured = sensor_of(plan.groups[0][0].collection).bands
    plain = [band.name for band in plan.bands if band.name in measured and not band.scaled]
    return {} if plain else {"quantity": str(told.pop())}


def _told(masked: MaskChoice) -> Any:
    if isinstance(masked, MaskRule):
        return repr(masked)
    return "function" if callable(masked) else masked


def _band_attributes(plan: CubePlan, band: BandPlan) -> dict[str, Any]:
    told: dict[str, Any] = {"resampling": band.method}
    if band.nodata is not None:
        told["nodata"] = np.dtype(band.dtype).type(band.nodata).item()
    if band.scaled:
        told[f"{PREFIX}radiometry"] = json.dumps(_radiometry(plan, band.name))
    return told | _meaning(plan.groups[0][0].collection, band)


def unit_of(plan: CubePlan, band: BandPlan) -> dict[str, Any]:
    """Give the unit of a band's physical values, where its sensor's description tells it."""
    told = _meaning(plan.groups[0][0].collection, band)
    return {"units": told["units"]} if "units" in told else {}


def _meaning(collection: str, band: BandPlan) -> dict[str, Any]:
    """Give what the sensor's description says of a band: its name, and the meaning of its classes."""
    try:
        sensor = sensor_of(collection)
        layer = sensor.layer(band.name)
    except NotFoundError:  # a collection without a description here, or an asset that it does not know
        return {}
    told: dict[str, Any] = {"long_name": layer.title}
    if band.scaled and layer.unit is not None:
        told["units"] = layer.unit
    if layer.name == sensor.mask.asset and sensor.mask.classes:
        told["flag_values"] = np.array(list(sensor.mask.classes), band.dtype)
        told["flag_meanings"] = " ".join(
            text.replace(" ", "_").replace(",", "") for text in sensor.mask.classes.values()
        )
    return told


def _radiometry(plan: CubePlan, name: str) -> dict[str, Any]:
    """Give the rules by which numbers became values, and which of them each step of time followed."""
    rules: list[list[Any]] = []
    steps = []
    for group in plan.groups:
        used = []
        for scene in group:
            source = scene.bands[name]
            rule = [source.scale, source.offset, source.radiometry]
            if rule not in rules:
                rules.append(rule)
            if rules.index(rule) not in used:
                used.append(rules.index(rule))
        steps.append(used)
    return {"rules": [dict(zip(("scale", "offset", "reason"), rule, strict=True)) for rule in rules], "steps": steps}


def cube_facts(cube: xr.Dataset) -> dict[str, Any]:
    """Give what a dataset says of how it was loaded.

    Raises
    ------
    InputError
        If it was not loaded by :func:`terracube.cubes.load`.
    """
    try:
        facts: dict[str, Any] = json.loads(cube.attrs[f"{PREFIX}cube"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "the dataset does not say how it was loaded", expected="a dataset of cubes.load", got=repr(error)[:120]
        ) from error
    return facts
