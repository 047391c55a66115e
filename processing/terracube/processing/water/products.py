"""From the reflectance of water to products: typed bands in, one variable per product out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.core.logging import get_logger
from terracube.processing.origins import cube_origins
from terracube.processing.water.assembly import MISSING, PARTS, REASONS, Assembly, Product, assembled, costs
from terracube.processing.water.noise import band_noise
from terracube.processing.water.quantities import quantity_of, seen
from terracube.processing.water.retrievals import evidence, get_retrieval, retrieval_names
from terracube.processing.water.sensors import (
    WaterSensor,
    load_water_sensor,
    sensor_of_item_properties,
    water_sensor_names,
)

if TYPE_CHECKING:
    import pandas as pd

_log = get_logger(__name__)


def retrieve(
    names: Sequence[str] | str,
    cube: xr.Dataset,
    *,
    sensor: str | None = None,
    uncertainty: bool | Sequence[str] = False,
    noise: Mapping[str, float] | None = None,
    flags: bool = True,
    on_missing: Literal["raise", "skip"] = "raise",
) -> xr.Dataset:
    """Make water-quality products of a spectral dataset, all in one pass; lazy in, lazy out.

    Parameters
    ----------
    names : sequence of str, or str
        Products: :func:`retrieval_names` lists them.
    cube : xarray.Dataset
        Bands by role names, any dimensions, NaN = missing; ``attrs["quantity"]`` says what they hold: ``rhow``
        (pi Rrs), ``rrs`` (sr-1) or ``rhos`` (surface reflectance, which only formulas of ratios take). float64 is
        computed in float64, all else in float32.
    sensor : str
        Name of the sensor, like ``S2A_MSI``; ``attrs["sensor"]`` of the cube unless given.
    uncertainty : bool or sequence
        Give the parts ``noise`` (that of the bands, carried through the formula to first order) and ``algorithm`` (how
        far the formula is from the truth, as its coefficients say), one standard deviation each.
    noise : mapping of role to float
        Noise of bands in their quantity; else ``attrs["noise"]`` of the band, else that of the sensor.
    flags : bool
        Give ``<name>_flags``, whose bits say why there is no value, or why it is beyond the range of calibration.
    on_missing : {"raise", "skip"}
        What becomes of products whose bands, coefficients or quantity are not there; those left out are in
        ``attrs["left_out"]``.

    Returns
    -------
    xarray.Dataset
        On the dimensions and coordinates of the cube; NaN where a product has no value. Attributes hold the
        coefficients that were used, with their source.

    Raises
    ------
    InputError
        If a product is unknown or cannot be made; all of them are named before anything is computed.
    MetadataError
        If the quantity is not declared.

    Examples
    --------
    >>> bands = {"red": ("sample", [0.01, 0.04]), "nir08": ("sample", [0.001, 0.01])}
    >>> cube = xr.Dataset(bands, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})
    >>> retrieve("turbidity_dogliotti2015", cube).turbidity_dogliotti2015.values.round(2).tolist()
    [2.43, 12.06]
    """
    asked = (names,) if isinstance(names, str) else tuple(names)
    quantity_of(cube)
    if on_missing not in ("raise", "skip"):
        raise InputError("no such choice", where="on_missing", expected="raise, skip", got=repr(on_missing)[:80])
    for name in asked if on_missing == "skip" else ():
        get_retrieval(name)  # a name that nobody knows is a mistake, not a band that is missing
    uncertainty = (uncertainty,) if isinstance(uncertainty, str) else uncertainty
    parts = (PARTS if uncertainty else ()) if isinstance(uncertainty, bool) else tuple(uncertainty)
    task = _Task(asked, parts, dict(noise or {}), flags, on_missing)
    sensors = sensors_of(cube, sensor)
    if len(set(sensors)) <= 1:
        return _retrieved(task, cube, load_water_sensor(sensors[0]))
    # Each date with the numbers of its own sensor, and then in order again.
    steps = {name: [step for step, one in enumerate(sensors) if one == name] for name in dict.fromkeys(sensors)}
    made = [_retrieved(task, cube.isel(time=one), load_water_sensor(name)) for name, one in steps.items()]
    order = np.argsort(np.concatenate(list(steps.values())), kind="stable")
    every = {str(name): one[name] for one in made for name in one.data_vars}
    made = [_completed(one, every) for one in made]
    result = xr.concat(made, dim="time", combine_attrs=_joined, join="exact", data_vars="minimal", coords="minimal",
                       compat="override").isel(time=order)  # fmt: skip
    result.attrs |= {"quantity": quantity_of(cube), "sensor": ", ".join(sorted(steps))}
    lost = {key: why for one in made for key, why in json.loads(one.attrs.get("left_out", "{}")).items()}
    return result.assign_attrs({"left_out": json.dumps(lost)} if lost else {})


def _completed(made: xr.Dataset, every: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Add what this sensor cannot make and another one can: missing, and flagged so."""
    like = next(iter(made.data_vars.values()))
    for name, other in every.items():
        if name not in made:
            nothing = xr.full_like(like, MISSING if other.dtype.kind == "u" else np.nan, dtype=other.dtype)
            nothing.attrs = dict(other.attrs)
            made = made.assign({name: nothing})
    return made


@dataclass(frozen=True, slots=True)
class _Task:
    """What was asked for."""

    names: tuple[str, ...]
    parts: tuple[str, ...]
    noise: Mapping[str, float]
    flags: bool
    on_missing: str


def _retrieved(task: _Task, cube: xr.Dataset, sensor: WaterSensor) -> xr.Dataset:
    """Make the products of a cube that one sensor saw."""
    quantity = quantity_of(cube)
    bands = [str(name) for name in cube.data_vars if name in sensor.bands]
    left_out = costs(task.names, sensor, bands, quantity) if task.on_missing == "skip" else {}
    for name, reason in left_out.items():
        _log.warning("left out %s: %s", name, reason)
    _check(cube, bands)
    cube = seen(cube)
    own, shared = band_noise(cube, sensor)
    # Where nothing is left, each is refused with its reason.
    possible = [name for name in task.names if name not in left_out] or task.names
    noise = own | dict(task.noise)
    numbers = tuple(sorted(noise.items())), tuple(sorted(shared.items()))
    assembly = assembled(tuple(possible), sensor.name, tuple(bands), quantity, task.parts, numbers)
    result = _run(assembly, cube, flags=task.flags)
    result.attrs |= {"quantity": quantity, "sensor": sensor.name}
    if left_out:
        result.attrs["left_out"] = json.dumps(left_out)
    return result


def _check(cube: xr.Dataset, bands: Sequence[str]) -> None:
    whole = [role for role in bands if cube[role].dtype.kind != "f"]
    if whole:
        raise InputError(
            "bands hold no floating numbers, and whole ones are no reflectance",
            where=", ".join(whole),
            expected="reflectance as float32 or float64, scaled as the product says, NaN = missing",
            got=", ".join(sorted({str(cube[role].dtype) for role in whole})),
        )


def sensors_of(cube: xr.Dataset, sensor: str | None) -> list[str]:
    """Give the name of the sensor of each step of time: as told, as the cube says, or as its scenes said.

    Raises
    ------
    InputError
        If nobody says.
    """
    steps = cube.sizes.get("time", 1)
    name = sensor or cube.attrs.get("sensor")
    if isinstance(name, str):
        return [load_water_sensor(name).name] * steps
    seen = [sensor_of_item_properties(one.platform, one.instruments) for one in cube_origins(cube)]
    if None in seen or not seen:
        raise InputError(
            "it is not said which sensor saw this",
            where='attrs["sensor"]',
            expected=", ".join(water_sensor_names()),
            todo='give sensor="S2A_MSI"',
        )
    return [str(one) for one in seen]


def _joined(attributes: Sequence[dict[str, Any]], **_: Any) -> dict[str, Any]:
    """Join what several sensors say: what is the same once, what differs side by side."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for one in attributes for key in one):
        values = list(dict.fromkeys(json.dumps(one[key]) for one in attributes if key in one))
        found[key] = json.loads(values[0]) if len(values) == 1 else "; ".join(str(json.loads(one)) for one in values)
    return found


def describe(names: Sequence[str] | str | None = None, *, sensor: str | None = None) -> pd.DataFrame:
    """List retrievals: what each gives, what it needs, where its numbers are from and what shows that it is right.

    Parameters
    ----------
    names : sequence of str, or str
        All unless given.
    sensor : str
        Only those that can be made of this sensor's bands, with the coefficients that it would take.

    Returns
    -------
    pandas.DataFrame
        One row per retrieval, by name.

    Examples
    --------
    >>> describe("turbidity_dogliotti2015", sensor="S2A_MSI").loc["turbidity_dogliotti2015", "unit"]
    'FNU'
    """
    import pandas as pd

    asked = (names,) if isinstance(names, str) else tuple(names or retrieval_names())
    known = None if sensor is None else load_water_sensor(sensor)
    rows = []
    for name in asked:
        one = get_retrieval(name)
        if known is not None and costs([name], known, list(known.bands), _plain(one.quantity)):
            continue
        proof = evidence()[name]
        row: dict[str, Any] = {"name": name, "title": one.title, "unit": one.unit, "quantity": one.quantity}
        row |= {"needs": ", ".join(map(str, one.needs)), "evidence": f"{proof.kind}: {proof.n} of {proof.of}"}
        if known is not None:
            found = one.coefficient_set(known)
            row |= {"needs": ", ".join(one.roles(known)), "coefficients": found.name, "range": found.range,
                    "relative_error": found.error.relative, "source": found.source}  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["name"]).set_index("name")


def _plain(quantity: str) -> str:
    return "rhow" if quantity in ("any", "ratio") else quantity


def _run(assembly: Assembly, cube: xr.Dataset, *, flags: bool) -> xr.Dataset:
    program = assembly.program
    wide = np.result_type(*(cube[role].dtype for role in program.bands))
    dtype = np.dtype("float64" if wide == np.float64 else "float32")
    arrays: tuple[Any, ...] = xr.broadcast(*(cube[role] for role in program.bands))
    if any(array.chunks for array in arrays):
        arrays = xr.unify_chunks(*arrays)
    dtypes = [dtype] * len(program.products) + [np.dtype("uint8")] * len(program.flags)
    found = xr.apply_ufunc(
        _block,
        *arrays,
        kwargs={"assembly": _Shared(assembly), "dtype": dtype.str},
        output_core_dims=[[] for _ in dtypes],
        dask="parallelized",
        output_dtypes=dtypes,
        keep_attrs=False,
    )
    made = dict(zip((*program.products, *program.flags), found if isinstance(found, tuple) else (found,), strict=True))
    kept = {}
    for product in assembly.products:
        for name, attrs in attributes(product, assembly).items():
            if name in made and (flags or not name.endswith("_flags")):
                kept[name] = made[name].assign_attrs(attrs)
    # All at once: variable by variable each would be compared with all before it.
    result = xr.Dataset(kept)
    return result.assign_coords(
        {name: coord for name, coord in cube.coords.items() if set(coord.dims) <= set(result.dims)}
    )


class _Shared:
    """An assembly as Dask knows it: by what it computes, not by where it lies in memory."""

    def __init__(self, assembly: Assembly) -> None:
        self.program = assembly.program

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        program = self.program
        return (program.bands, program.products, program.flags, program.table.tobytes(), program.numbers.tobytes())


def _block(*bands: NDArray[Any], assembly: _Shared, dtype: str) -> tuple[NDArray[Any], ...]:
    shape = bands[0].shape
    products, flags = assembly.program.run_bands(bands, np.dtype(dtype))
    return tuple(one.reshape(shape) for one in (*products, *flags))


def attributes(product: Product, assembly: Assembly) -> dict[str, dict[str, Any]]:
    """Describe all variables of a product: its own, its uncertainties and its flags."""
    retrieval, known = product.retrieval, product.coefficients
    name, title = retrieval.name, retrieval.title + (" (weak: of little skill)" if retrieval.weak else "")
    beside = [other for other in (*assembly.program.products, *assembly.program.flags) if other.startswith(f"{name}_")]
    own: dict[str, Any] = {
        "long_name": title,
        "units": retrieval.unit,
        "sensor": assembly.sensor.name,
        "bands": ", ".join(product.roles),
        "coefficients": json.dumps(known.facts),
        "references": known.source,
        "ancillary_variables": " ".join(one for one in beside if one in _companions(name)),
    }
    if inner := [one.facts for one in retrieval.inner_sets(assembly.sensor)]:
        own["inner_coefficients"] = json.dumps(inner)
    if retrieval.cf_name:
        own["standard_name"] = retrieval.cf_name
    if retrieval.classes:
        own["flag_values"] = list(retrieval.classes)
        own["flag_meanings"] = " ".join(meaning.replace(" ", "_") for meaning in retrieval.classes.values())
    told = {
        "noise": "noise of the bands, carried to first order",
        "algorithm": f"error of the formula ({known.error.basis})",
    }
    return {
        name: own,
        **{
            f"{name}_{part}": {"long_name": f"{title}: {text}, 1 sigma", "units": retrieval.unit}
            for part, text in told.items()
        },
        f"{name}_flags": {
            "long_name": f"{title}: why there is no value, or beyond the range",
            "flag_masks": list(REASONS.values()),
            "flag_meanings": " ".join(REASONS),
        },
    }


def _companions(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_{part}" for part in (*PARTS, "flags"))
