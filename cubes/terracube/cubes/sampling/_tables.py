"""Results of sampling as a tidy table or as a cube with a geometry axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError

FORMS = ("frame", "xvec")


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Columns by geometry and date."""

    ids: pd.Index[Any]
    geometries: Any
    """GeoSeries with CRS, one per id."""
    times: NDArray[Any] | None
    series: Mapping[str, NDArray[Any]]
    """(geometry, time), or (geometry,) where there are no dates."""
    facts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """(geometry,)."""


def check_form(form: str) -> None:
    """Refuse a form of result that is unknown or not installed, before anything is read.

    Raises
    ------
    InputError
        Naming the extra to install.
    """
    if form not in FORMS:
        raise InputError("unknown form of result", where="as_", expected=" or ".join(FORMS), got=repr(form))
    if form == "xvec" and find_spec("xvec") is None:
        raise InputError("xvec is not installed", where="as_", todo="install terracube[xvec], or ask for as_='frame'")


def to_frame(table: Table) -> pd.DataFrame:
    """Give one row per geometry and date, geometries in their order, dates within."""
    dates = 1 if table.times is None else len(table.times)
    frame: dict[str, Any] = {"id": table.ids.repeat(dates)}
    if table.times is not None:
        frame["time"] = np.tile(table.times, len(table.ids))
    frame |= {name: values.reshape(-1) for name, values in table.series.items()}
    frame |= {name: np.repeat(values, dates) for name, values in table.facts.items()}
    return pd.DataFrame(frame)


def to_xvec(table: Table) -> xr.Dataset:
    """Give a dataset (geometry, time) whose geometry axis can be queried through the accessor ``.xvec``."""
    import xvec  # noqa: F401  registers the accessor; an extra, so not imported before it is asked for

    dims = ("geometry",) if table.times is None else ("geometry", "time")
    coords: dict[str, Any] = {"geometry": np.asarray(table.geometries.values, dtype=object)}
    coords["id"] = ("geometry", table.ids.to_numpy())
    if table.times is not None:
        coords["time"] = table.times
    coords |= {name: ("geometry", values) for name, values in table.facts.items()}
    cube = xr.Dataset({name: (dims, values) for name, values in table.series.items()}, coords=coords)
    indexed: xr.Dataset = cube.xvec.set_geom_indexes("geometry", crs=table.geometries.crs)
    return indexed
