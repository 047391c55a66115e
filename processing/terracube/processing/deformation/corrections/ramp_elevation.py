"""Ramps and delays that follow the terrain, estimated together with the motion that they must not take away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes import reduce_blocks
from terracube.cubes.gridlike import to_grid
from terracube.processing.deformation.corrections._columns import ModelLike, columns_of, told_of
from terracube.processing.deformation.corrections._decide import GROUPS, Decide, kept_of
from terracube.processing.deformation.corrections._record import (
    DISPLACEMENT,
    check_series,
    needed,
    recorded,
    reference_index,
    since_reference,
    zip_point,
)
from terracube.processing.deformation.corrections._rules import RampRules
from terracube.processing.deformation.corrections._tile_sums import (
    HEIGHT,
    KEPT,
    VALUES,
    WHERE,
    CountTile,
    Doubles,
    Frame,
    SumTile,
    combine,
)

_DEGREES: Mapping[str | None, int] = {None: 0, "linear": 1, "quadratic": 2}
NAME = "ramp_elevation"
# What is in memory is summed in blocks of so many pixels a side.
_SIDE = 1024
_MEANINGS = {
    "coefficient": "what a term is worth, per half of the grid, or per km of height",
    "std": "standard deviation of the coefficient",
    "partial_r2": "share of the variance that these terms explain of what the others leave",
    "p_value": "probability that noise explains as much",
    "removed": "whether these terms were removed",
    "r2": "share of the variance that all terms explain",
    "pixels": "pixels used",
    "independent_pixels": "how many independent pixels they are worth",
}


def correct_ramp_elevation(
    series: xr.Dataset,
    *,
    ramp: str | None = "linear",
    elevation: bool = True,
    model: ModelLike | None = "linear",
    where: xr.DataArray | None = None,
    reference: tuple[float, float] | None = None,
    rules: RampRules | None = None,
) -> xr.Dataset:
    """Remove ramps and the delay that grows with elevation, date by date, where they are significant.

    Each date is ``a + b x + c y (+ quadratic terms) + k h + motion(pixel, date) + noise``. The motion of every pixel is
    the temporal model, estimated in the same least squares; what of the coefficients' own time series the temporal
    model explains (robustly, so that one bad date does not lend the others a share of it) could as well be motion and
    stays. A group (ramp, elevation) is removed on a date only if an F-test with the number of spatially independent
    pixels, and the partial correlation, say so; elevation is not touched where there is too little relief.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) m with a CRS, ``attrs["reference_date"]``, and ``dem`` (y, x) m for the
        elevation. Lazy in, lazy out; the time axis is taken whole.
    ramp : "linear", "quadratic" or None
    elevation : bool
        Also estimate the delay per metre of height.
    model : str, Model, array (time, column), or None
        Motion that is protected, in the words of :func:`~terracube.processing.deformation.model.fit`, such as
        ``"linear + annual"``, or as columns of any course in time. ``None`` estimates every date by itself: motion that
        looks like a ramp or like the terrain **is removed** then.
    where : DataArray, bool (y, x)
        Pixels to estimate from: reliable ones, without motion that the model does not hold. By default those with
        ``temporal_coherence`` of 0.7 or more where the series has it, else all. Of them only those count that have all
        dates; dates that fewer than half as many pixels have as the best date are left as they are.
    reference : (y, x)
        Point, in units of the CRS, whose displacement stays as it is. By default the mean displacement of the pixels
        used stays.
    rules : RampRules
        When something is removed.

    Returns
    -------
    Dataset
        The series with corrected ``displacement``, zero at the reference date as before, and per date what was found
        and done: ``ramp_elevation_coefficient`` and ``..._std`` (time, ramp_elevation_term), m per unit, where places
        run from -1 to 1 over the grid and heights are in km, less what stays as motion; ``..._removed`` (bool),
        ``..._partial_r2``, ``..._p_value``, ``..._independent_pixels`` (time, ramp_elevation_group); ``..._r2``,
        ``..._pixels`` (time). NaN means not estimated. The attribute ``corrections`` tells the rest.

    Raises
    ------
    InputError, MetadataError
        If the series, a parameter or a layer is unusable, or the correction was made before.

    References
    ----------
    Doin et al. 2009, doi:10.1016/j.jappgeo.2009.03.010 (phase and elevation); Dutilleul 1993, doi:10.2307/2532625
    (tests with spatially correlated noise).
    """
    rules = rules or RampRules()
    own = check_series(series)
    at = reference_index(series)
    layers = _Layers(own, _where(series, where, rules), needed(series, "dem") if elevation else None)
    design = None if model is None else columns_of(series, model)
    told = _described(ramp, elevation, model, rules)
    table = _estimated(layers, _frame(series, ramp, elevation), rules, design)
    field = _field(series, layers, table, reference)
    fixed = (own - since_reference(field, series)).transpose(*own.dims).astype(own.dtype).assign_attrs(own.attrs)
    told |= {"reference_date": np.datetime_as_string(series["time"].values[at], unit="s")}
    told |= {"reference": "mean of the pixels used" if reference is None else list(reference)}
    return recorded(series.assign({DISPLACEMENT: fixed, **_report(table, "time")}), NAME, **told)


def correct_pair_ramps(
    stack: xr.Dataset,
    *,
    ramp: str = "linear",
    where: xr.DataArray | None = None,
    rules: RampRules | None = None,
) -> xr.Dataset:
    """Remove a ramp from each pair by itself, where it is significant.

    Each pair is regressed on the pixels that it has. Motion is not known yet: what looks like a ramp is removed, and
    the pairs do not close any more to the extent that their pixels differ. Prefer :func:`correct_ramp_elevation` on the
    series; this one is for stacks whose orbits are so poor that pairs cannot be compared.

    Parameters
    ----------
    stack : Dataset
        ``unwrapped_phase`` (pair, y, x) rad with a CRS.
    ramp : "linear" or "quadratic"
    where : DataArray, bool (y, x)
        Pixels to estimate from; all by default.
    rules : RampRules
        When something is removed.

    Returns
    -------
    Dataset
        The stack with corrected phase (the mean of each pair's pixels stays) and the same report as
        :func:`correct_ramp_elevation`, along ``pair``, in rad.

    Raises
    ------
    InputError, MetadataError
        If the stack or a parameter is unusable, or the correction was made before.
    """
    rules = rules or RampRules()
    own = stack.get("unwrapped_phase")
    if own is None or own.dims != ("pair", "y", "x"):
        raise InputError("this is no stack", where="unwrapped_phase", expected="(pair, y, x)", got=str(stack.sizes))
    if ramp is None:
        raise InputError("nothing to remove", where="ramp", expected="'linear' or 'quadratic'", got="None")
    layers = _Layers(own.rename(pair="time").drop_vars(_along(own)), _where(stack, where, rules), None)
    table = _estimated(layers, _frame(stack, ramp, False), rules, None)
    field = _field(stack, layers, table, None).rename(time="pair")
    fixed = (own - field).transpose(*own.dims).astype(own.dtype).assign_attrs(own.attrs)
    report = _report(table, "pair")
    return recorded(
        stack.assign({"unwrapped_phase": fixed, **report}), "pair_ramps", **_described(ramp, False, None, rules)
    )


@dataclass(frozen=True, slots=True)
class _Layers:
    """What is regressed: values (time, y, x), where to look, and heights."""

    values: xr.DataArray
    where: xr.DataArray | None
    height: xr.DataArray | None

    @property
    def lazy(self) -> bool:
        return self.values.chunks is not None

    def cube(self, kept: Any | None) -> xr.Dataset:
        """Give the dataset whose tiles are summed."""
        shape = self.values.shape[1:]
        where = np.ones(shape, "uint8") if self.where is None else self.where.transpose("y", "x").astype("uint8").data
        made = {VALUES: self.values.data, WHERE: where}
        if self.height is not None:
            made[HEIGHT] = self.height.data
        if kept is not None:
            sizes = ((len(kept),), *self._sides())
            made[KEPT] = da.broadcast_to(kept[:, None, None], self.values.shape, chunks=sizes)
        dims = ("time", "y", "x")
        places = {name: self.values.coords[name] for name in ("y", "x", "spatial_ref") if name in self.values.coords}
        cube = xr.Dataset({name: (dims[-data.ndim :], data) for name, data in made.items()}, coords=places)
        return cube.chunk(time=-1, **dict(zip("yx", self._sides(), strict=True)))

    def _sides(self) -> tuple[Any, Any]:
        if self.values.chunks is None:
            return _SIDE, _SIDE
        return self.values.chunks[1], self.values.chunks[2]


def _estimated(layers: _Layers, frame: Frame, rules: RampRules, design: Doubles | None) -> xr.Dataset:
    """Gather the sums and decide, lazily where the layers are lazy."""
    shape = (layers.values.sizes["time"],)
    counted = reduce_blocks(layers.cube(None), None, CountTile(), _total)
    plan = None if design is None else tuple(tuple(row) for row in design.tolist())
    kept = None if plan is None else da.from_delayed(delayed(_kept, pure=True)(counted, rules.share), shape, "uint8")
    sums = reduce_blocks(layers.cube(kept), None, SumTile(frame, plan), combine)
    terms, groups = len(frame.terms), len(GROUPS)
    width = 3 * terms + 4 * groups + 2
    made = delayed(Decide(frame, rules, plan), pure=True)(sums, counted)
    table = da.from_delayed(made, (*shape, width), "float64") if layers.lazy else np.asarray(made.compute())
    return _parted(table, frame)


def _total(tiles: list[Doubles]) -> Doubles:
    return np.asarray(np.sum(tiles, axis=0), "float64")


def _kept(counts: Doubles, share: float) -> NDArray[np.uint8]:
    return kept_of(counts, share).astype("uint8")


def _parted(table: Any, frame: Frame) -> xr.Dataset:
    """Name the columns of the table."""
    terms, groups = len(frame.terms), len(GROUPS)
    names = ("coefficient", "std", "middle", "partial_r2", "p_value", "removed", "independent_pixels")
    made: dict[str, Any] = {}
    start = 0
    for name, size, axis in zip(names, (terms,) * 3 + (groups,) * 4, ("term",) * 3 + ("group",) * 4, strict=True):
        made[name] = (("time", f"{NAME}_{axis}"), table[:, start : start + size])
        start += size
    for place, name in enumerate(("r2", "pixels")):
        made[name] = ("time", table[:, start + place])
    coords = {f"{NAME}_term": list(frame.terms), f"{NAME}_group": list(GROUPS)}
    return xr.Dataset(made, coords=coords, attrs={"frame": frame})


def _field(data: xr.Dataset, layers: _Layers, table: xr.Dataset, reference: tuple[float, float] | None) -> xr.DataArray:
    """Give what is removed, (time, y, x), without shifting it to the reference date."""
    frame: Frame = table.attrs["frame"]
    grounds = _grounds(layers, frame)
    total = xr.zeros_like(layers.values, dtype="float64").drop_vars([*layers.values.coords])
    for place, name in enumerate(frame.terms[1:], start=1):
        group = 1 if name == "height" else 0
        removed = table["removed"].isel({f"{NAME}_group": group}, drop=True) > 0
        amount = table["coefficient"].isel({f"{NAME}_term": place}, drop=True).where(removed, 0.0)
        if reference is None:
            middle = table["middle"].isel({f"{NAME}_term": place}, drop=True)
        else:
            middle = grounds[name].isel(zip_point(data, reference), drop=True)
        # A pixel without a height is untouched by what is not removed, and missing where height is removed.
        ground = grounds[name] - middle
        total = total + (amount * ground).where(removed, 0.0)
    return total.transpose("time", "y", "x")


def _grounds(layers: _Layers, frame: Frame) -> dict[str, xr.DataArray]:
    """Evaluate the terms (y, x) as arrays that are lazy where the layers are."""
    y, x = (layers.values[name].values.astype("float64") for name in "yx")
    v = xr.DataArray((y - frame.y[0]) / frame.y[1], dims="y")
    u = xr.DataArray((x - frame.x[0]) / frame.x[1], dims="x")
    made = {"x": u, "y": v, "xx": u * u, "xy": u * v, "yy": v * v}
    if layers.lazy:
        sides = dict(zip("yx", layers.values.chunks[1:], strict=True))  # type: ignore[index]
        made = {name: ground.chunk({str(dim): sides[str(dim)] for dim in ground.dims}) for name, ground in made.items()}
    if layers.height is not None:
        made["height"] = (layers.height.astype("float64") / 1000.0).drop_vars([*layers.height.coords])
    return {
        name: ground.broadcast_like(xr.DataArray(np.empty((y.size, x.size)), dims=("y", "x")))
        for name, ground in made.items()
    }


def _report(table: xr.Dataset, dim: str) -> dict[str, xr.DataArray]:
    """Name what was found so that it can stand in the series."""
    found = {str(name): table[name] for name in table.data_vars if name != "middle"}
    found["removed"] = found["removed"] > 0
    return {
        f"{NAME}_{name}": values.rename(time=dim).assign_attrs(long_name=_MEANINGS[name])
        for name, values in found.items()
    }


def _frame(data: xr.Dataset, ramp: str | None, elevation: bool) -> Frame:
    if ramp not in _DEGREES:
        raise InputError("unknown ramp", where="ramp", expected="'linear', 'quadratic' or None", got=repr(ramp))
    if ramp is None and not elevation:
        raise InputError("nothing to remove", where="ramp, elevation", expected="at least one of the two")
    to_grid(data)
    sides = []
    for name in "yx":
        values = np.asarray(data[name].values, "float64")
        half = float(np.ptp(values)) / 2
        sides.append((float(values.min()) + half, half or 1.0))
    return Frame(sides[0], sides[1], _DEGREES[ramp], elevation)


def _where(data: xr.Dataset, where: xr.DataArray | None, rules: RampRules) -> xr.DataArray | None:
    if where is not None:
        if where.dtype.kind != "b":
            raise InputError("a mask is true or false", where="where", expected="bool (y, x)", got=str(where.dtype))
        return needed(data, "where", where)
    if "temporal_coherence" in data and data["temporal_coherence"].dims == ("y", "x"):
        return data["temporal_coherence"] >= rules.coherence
    return None


def _described(ramp: str | None, elevation: bool, model: ModelLike | None, rules: RampRules) -> dict[str, Any]:
    """Say in plain values what was asked for."""
    limits = {name: getattr(rules, name) for name in ("significance", "correlation", "relief", "share", "coherence")}
    return {"ramp": ramp, "elevation": elevation, "model": told_of(model), **limits}


def _along(own: xr.DataArray) -> list[str]:
    return [str(name) for name, values in own.coords.items() if "pair" in values.dims]
