"""What the numbers of a spectral dataset are: water-leaving reflectance, remote-sensing reflectance, or surface
reflectance.

The three differ by a factor of pi or by what the surface and the neighbourhood add, and files often do not tell them
apart. Here the attribute ``quantity`` of a dataset tells it, and nothing is ever taken for what it does not say it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.sensors import load_water_sensor, water_sensor_names

if TYPE_CHECKING:
    import pandas as pd

Quantity = Literal["rhow", "rrs", "rhos"]
"""``rhow``: water-leaving reflectance pi * Rrs, no unit; ``rrs``: remote-sensing reflectance above the water, sr-1;
``rhos``: surface reflectance, no unit, which may hold sky and sun glint and light of the neighbourhood."""

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
UNITS: Mapping[str, str] = {"rhow": "1", "rrs": "sr-1", "rhos": "1"}
"""Unit of each quantity."""

_TITLES = {
    "rhow": "water-leaving reflectance (pi * Rrs)",
    "rrs": "remote-sensing reflectance",
    "rhos": "surface reflectance",
}


def quantity_of(ds: xr.Dataset) -> Quantity:
    """Tell which quantity a spectral dataset says that it holds.

    Parameters
    ----------
    ds : xarray.Dataset
        Role-named bands, with the attribute ``quantity``.

    Returns
    -------
    {"rhow", "rrs", "rhos"}

    Raises
    ------
    MetadataError
        The dataset does not say it.
    InputError
        It says something else.

    Examples
    --------
    >>> import xarray as xr
    >>> quantity_of(xr.Dataset(attrs={"quantity": "rrs"}))
    'rrs'
    """
    said = ds.attrs.get("quantity")
    if said is None:
        raise MetadataError(
            "the dataset does not say which reflectance it holds",
            where="attribute quantity",
            expected=_choices(),
            got="nothing",
            todo='say it with declare(ds, "rhow"), "rrs" or "rhos"; factors of pi are never guessed',
        )
    return _known(said)


def declare(ds: xr.Dataset, quantity: str, *, sensor: str | None = None) -> xr.Dataset:
    """Say which quantity a dataset holds, without changing a value.

    Parameters
    ----------
    ds : xarray.Dataset
        Role-named bands.
    quantity : {"rhow", "rrs", "rhos"}
        What the bands are. To declare surface reflectance as ``rhow`` is to vouch for it that glint and the light of
        the neighbourhood are gone; the attribute ``history`` keeps that it was declared.
    sensor : str, optional
        Name of the sensor, put into the attribute ``sensor``.

    Returns
    -------
    xarray.Dataset
        The same arrays with the attributes ``quantity`` and, if given, ``sensor``; the unit of each band in ``units``.

    Raises
    ------
    InputError
        No such quantity or sensor, or bands that are whole numbers, which no reflectance is.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> bands = xr.Dataset({"red": ("sample", np.array([0.01]))})
    >>> declare(bands, "rhow", sensor="S2A_MSI").attrs["quantity"]
    'rhow'
    """
    known = _known(quantity)
    if sensor is not None:
        load_water_sensor(sensor)
    before = ds.attrs.get("quantity")
    out = _labelled(ds, known)
    if sensor is not None:
        out.attrs["sensor"] = sensor
    if before is not None and before != known:
        out.attrs["history"] = _told(ds, f"quantity declared {known} by hand, was {before}")
    return out


def to_quantity(ds: xr.Dataset, quantity: str) -> xr.Dataset:
    """Convert the bands of a spectral dataset: ``rhow = pi * rrs``.

    Parameters
    ----------
    ds : xarray.Dataset
        Role-named bands of floating type with the attribute ``quantity``; numpy- or Dask-backed. NaN is missing.
    quantity : {"rhow", "rrs", "rhos"}
        What is wanted.

    Returns
    -------
    xarray.Dataset
        Bands of the same type, lazy where they were; variables that are no bands stay as they are.

    Raises
    ------
    MetadataError
        The dataset does not say what it holds.
    InputError
        It cannot be converted: between ``rhos`` and the others lies a correction, not a factor.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> bands = xr.Dataset({"red": ("sample", np.array([0.01]))}, attrs={"quantity": "rrs"})
    >>> float(to_quantity(bands, "rhow")["red"][0].round(5))
    0.03142
    """
    have, want = quantity_of(ds), _known(quantity)
    if have == want:
        return _labelled(ds, want)
    if "rhos" in (have, want):
        raise InputError(
            f"{_TITLES[have]} cannot be converted to {_TITLES[want]}",
            where="quantity",
            expected=want,
            got=have,
            todo='correct it with water.correct, or vouch for it with declare(ds, "rhow")',
        )
    factor = math.pi if want == "rhow" else 1.0 / math.pi
    clean = seen(ds)
    return _labelled(clean.assign({name: _scaled(clean[name], factor) for name in band_names(ds)}), want)


def _scaled(band: xr.DataArray, factor: float) -> xr.DataArray:
    """Scale a band, and what it says of its noise."""
    told = {"noise": float(band.attrs["noise"]) * factor} if "noise" in band.attrs else {}
    return band.copy(data=band.data * factor).assign_attrs(told)


def seen(ds: xr.Dataset) -> xr.Dataset:
    """Make NaN of what the bands declare to be missing by ``attrs["nodata"]`` or ``attrs["_FillValue"]``.

    Examples
    --------
    >>> import xarray as xr
    >>> red = xr.DataArray([0.1, -9999.0], dims="x", attrs={"nodata": -9999.0})
    >>> seen(xr.Dataset({"red": red}))["red"].values.tolist()
    [0.1, nan]
    """
    found = {}
    for name in band_names(ds):
        band = ds[name]
        told = [band.attrs[key] for key in ("nodata", "_FillValue") if band.attrs.get(key) is not None]
        for number in told:
            if not math.isnan(float(number)):
                band = band.where(band != number)
        if band is not ds[name] and told:
            found[name] = band
    return ds.assign(found) if found else ds


def band_names(ds: xr.Dataset) -> tuple[str, ...]:
    """Give the names of the variables that are bands: those named by the role of a band of some sensor.

    Examples
    --------
    >>> import xarray as xr
    >>> band_names(xr.Dataset({"red": 0.1, "scl": 4}))
    ('red',)
    """
    return tuple(str(name) for name in ds.data_vars if name in _roles())


def spectra(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    *,
    quantity: str,
    sensor: str | None = None,
    missing: Sequence[float] = (),
    keep: Sequence[str] = (),
) -> xr.Dataset:
    """Make a spectral dataset of the rows of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        One spectrum per row.
    columns : mapping of str to str
        Column of the table to role of the band, like ``{"X442.5": "coastal"}``.
    quantity : {"rhow", "rrs", "rhos"}
        What the columns hold. It is not guessed.
    sensor : str, optional
        Name of the sensor; the roles must then be bands of it.
    missing : sequence of float
        Values that stand for a missing one, like 999.99. They become NaN, as do empty cells and infinities.
    keep : sequence of str
        Further columns to carry along as coordinates of the samples.

    Returns
    -------
    xarray.Dataset
        Bands of float64 along ``sample``, in order of the table, whose index is the coordinate ``sample``.

    Raises
    ------
    InputError
        A column is absent or no number, a role is unknown or given twice, or there is no such quantity or sensor.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"R665": [0.01, 999.99]})
    >>> spectra(table, {"R665": "red"}, quantity="rhow", missing=[999.99])["red"].values
    array([0.01,  nan])
    """
    known = _known(quantity)
    _check_columns(table, [*columns, *keep])
    _check_roles(list(columns.values()), sensor)
    bands = {role: ("sample", _numbers(table[column], missing)) for column, role in columns.items()}
    carried = {name: ("sample", table[name].to_numpy()) for name in keep}
    attrs = {"quantity": known} | ({"sensor": sensor} if sensor else {})
    return _labelled(xr.Dataset(bands, {"sample": table.index.to_numpy(), **carried}, attrs), known)


def _labelled(ds: xr.Dataset, quantity: Quantity) -> xr.Dataset:
    out = ds.copy()
    for name in band_names(ds):
        if not np.issubdtype(ds[name].dtype, np.floating):
            raise InputError(
                "a band holds whole numbers, which no reflectance is",
                where=name,
                expected="floating numbers, scaled and offset as the product says",
                got=str(ds[name].dtype),
            )
        out[name] = ds[name].assign_attrs(units=UNITS[quantity])
    out.attrs["quantity"] = quantity
    return out


def _known(quantity: Any) -> Quantity:
    if quantity not in QUANTITIES:
        raise InputError("no such quantity", where="quantity", expected=_choices(), got=str(quantity))
    return cast(Quantity, quantity)


def _choices() -> str:
    return "; ".join(f"{name}: {title}, unit {UNITS[name]}" for name, title in _TITLES.items())


def _told(ds: xr.Dataset, line: str) -> str:
    before = str(ds.attrs.get("history", ""))
    return f"{before}\n{line}" if before else line


@cache
def _roles() -> frozenset[str]:
    return frozenset(role for name in water_sensor_names() for role in load_water_sensor(name).bands)


def _check_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise InputError(
            "the table lacks columns",
            where=", ".join(absent),
            expected="columns of the table",
            got=", ".join(str(name) for name in table.columns)[:500],
        )


def _check_roles(roles: Sequence[str], sensor: str | None) -> None:
    allowed = frozenset(load_water_sensor(sensor).bands) if sensor else _roles()
    wrong = sorted({role for role in roles if role not in allowed or roles.count(role) > 1})
    if wrong:
        raise InputError(
            "a role is unknown or given twice",
            where="columns",
            expected=f"each once, of: {', '.join(sorted(allowed))}",
            got=", ".join(wrong),
        )


def _numbers(column: pd.Series[Any], missing: Sequence[float]) -> NDArray[np.float64]:
    try:
        values = np.array(column.astype("float64"), np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            "a column holds something else than numbers", where=str(column.name), expected="numbers", got=str(error)
        ) from error
    values[np.isin(values, np.asarray(missing, np.float64)) | ~np.isfinite(values)] = np.nan
    return values
