"""Sources fitted to maps of motion: bounded least squares from many starts, with the covariance of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.sources.mogi import Motion, check_poisson, mogi
from terracube.processing.deformation.sources.okada import okada
from terracube.processing.deformation.sources.points import sample_points, true_north, turned
from terracube.processing.deformation.sources.search import LINEAR, Problem, search
from terracube.processing.deformation.views import check_looks, looks_of

type Doubles = NDArray[np.float64]
type Bounds = Mapping[str, tuple[float, float] | float]

_NAMES = {
    "mogi": ("east", "north", "depth", "volume"),
    "okada": ("east", "north", "depth", "length", "width", "strike", "dip", "strike_slip", "dip_slip", "opening"),
}
_MOST_POINTS, _MOST_STARTS = 5_000, 10_000


@dataclass(frozen=True, slots=True, eq=False)
class SourceFit:
    """A source that was fitted to maps.

    Parameters
    ----------
    source : str
        ``"mogi"`` or ``"okada"``.
    names : tuple of str
        The parameters that were fitted; ``offset_1`` and so on are the constants of the looks.
    values : float64 (parameters,)
        m, degrees, m3 (or per year, if the maps are velocities); ``east`` and ``north`` are coordinates of the map.
    covariance : float64 (parameters, parameters)
        From the standard deviations of the maps; NaN if the data cannot tell the parameters apart. Of parameters at
        their bounds it tells nothing.
    held : mapping
        What was given and not fitted.
    chi2 : float
        Sum of the squares of the residuals over their standard deviations.
    points : int
        Number of points.
    at_bound : tuple of str
        Parameters that ended at a bound.
    agreeing : (int, int)
        How many of the refined starts ended in the same place, and how many there were.
    """

    source: str
    names: tuple[str, ...]
    values: Doubles
    covariance: Doubles
    held: Mapping[str, float]
    chi2: float
    points: int
    at_bound: tuple[str, ...]
    agreeing: tuple[int, int]

    @property
    def parameters(self) -> dict[str, float]:
        """All parameters, fitted and held."""
        return {**self.held, **dict(zip(self.names, self.values.tolist(), strict=True))}

    @property
    def std(self) -> dict[str, float]:
        """Standard deviations of the fitted parameters."""
        return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    @property
    def reduced_chi2(self) -> float:
        """``chi2`` over the number of points less that of the parameters: about 1 if model and weights are right."""
        return self.chi2 / (self.points - len(self.names)) if self.points > len(self.names) else float("nan")

    def motion(self, east: Any, north: Any) -> Motion:
        """Give motion at points this far east and north of the source, m, constants left out."""
        return _motion(self.source, self.parameters, east, north)


def fit_source(
    maps: xr.Dataset | Sequence[xr.Dataset],
    *,
    source: str,
    bounds: Bounds,
    variable: str | None = None,
    offsets: bool = True,
    correlation_length: float | None = None,
    most_points: int = 1_000,
    starts: tuple[int, int] = (200, 5),
) -> SourceFit:
    """Fit a source below the ground to maps of motion.

    Points are taken on a lattice of pixels, the same each time; the first search tries places spread evenly over the
    bounds (Halton's sequence), the best of which are refined by bounded least squares. Nothing is drawn at random.

    Parameters
    ----------
    maps : Dataset or sequence of Dataset
        Velocity, step or displacement maps (y, x), each as :func:`looks_of` takes it, on one grid in metres. They are
        read here. Looks are independent of each other: of motion that was decomposed, give the looks rather than it.
    source : {"mogi", "okada"}
        As :func:`mogi` and :func:`okada`.
    bounds : mapping
        ``(low, high)`` of each parameter, or a number that it is held at: ``east``, ``north`` (coordinates of the map),
        ``depth``, and ``volume``; or ``length``, ``width``, ``strike``, ``dip`` and at least one of ``strike_slip``,
        ``dip_slip`` and ``opening`` (those left out are 0). ``poisson`` is 0.25 unless a number is given.
    variable : str, optional
        Which variable of each dataset is the motion.
    offsets : bool
        Whether each look has a constant of its own, as motion relative to a reference has.
    correlation_length : float, optional
        m: the correlation of a look's errors at two points is ``exp(-distance / length)``; independent unless given,
        which makes the standard deviations of the parameters too small where errors (the atmosphere) are smooth.
    most_points : int
        Points of all looks together, at most 5000.
    starts : (tried, refined)
        How many places are tried, and how many of them refined.

    Returns
    -------
    SourceFit

    Raises
    ------
    InputError
        If a bound is missing, wrong or unknown, or a map is none.
    MetadataError
        If coordinates or units are not told.
    EmptyResultError
        If there are fewer points than parameters.

    Examples
    --------
    >>> x, y = np.arange(-4e3, 4e3, 500.0), np.arange(-4e3, 4e3, 500.0)
    >>> up = mogi(x[None, :] - 300, y[:, None], depth=2000.0, volume=1e6).up
    >>> metres = {axis: (axis, at, {"units": "m"}) for axis, at in (("y", y), ("x", x))}
    >>> step = xr.DataArray(up, dims=("y", "x"), coords=metres, attrs={"units": "m"})
    >>> maps = xr.Dataset({"step": step, "std_step": 0.001 + 0 * step}).assign(los_east=0.0, los_north=0.0, los_up=1.0)
    >>> around = {"east": (-2e3, 2e3), "north": (-2e3, 2e3), "depth": (500, 5000), "volume": (-1e7, 1e7)}
    >>> found = fit_source(maps, source="mogi", bounds=around, starts=(20, 2))
    >>> [round(found.parameters[name]) for name in ("east", "depth", "volume")]
    [300, 2000, 1000000]
    """
    given = [maps] if isinstance(maps, xr.Dataset) else list(maps)
    looks = [look for each in given for look in looks_of(each, variable=variable)]
    if not looks:
        raise InputError("there is no map to fit a source to", where="maps", expected="one or more")
    check_looks(looks, given)
    free, held = _settled(source, bounds)
    _check_numbers(most_points, starts, correlation_length)
    points = sample_points(looks, given[0], most=most_points, correlation_length=correlation_length)
    problem = Problem(partial(_motion, source), free, held, points, offsets)
    if points.value.size < len(problem.names):
        got = str(points.value.size)
        raise EmptyResultError("fewer points than parameters", expected=f">= {len(problem.names)}", got=got)
    found = search(problem, starts)
    return SourceFit(
        source=source,
        names=problem.names,
        values=found.values,
        covariance=found.covariance,
        held=MappingProxyType(dict(held)),
        chi2=found.chi2,
        points=points.value.size,
        at_bound=found.at_bound,
        agreeing=found.agreeing,
    )


def model_map(fit: SourceFit, data: xr.Dataset, *, variable: str | None = None) -> xr.Dataset:
    """Give what a fitted source makes of a map, and what is left.

    Parameters
    ----------
    fit : SourceFit
    data : Dataset (y, x)
        One of the maps of the fit, or another one.
    variable : str, optional
        Which variable is the motion.

    Returns
    -------
    Dataset (y, x), float32
        ``model`` and ``residual`` (for several looks of a dataset with the name of each after it), in the unit of the
        map; constants of the looks are in neither. Lazy where the map is.

    Raises
    ------
    InputError, MetadataError
        As :func:`fit_source`.
    """
    looks = looks_of(data, variable=variable)
    north = true_north(data)
    place = fit.parameters
    found: dict[str, xr.DataArray] = {}
    for look in looks:
        end = "" if len(looks) == 1 else f"_{look.name.split()[-1]}"
        model = xr.apply_ufunc(
            _line, data["x"], data["y"], look.value, *look.vector,
            kwargs={"fit": fit, "place": (place["east"], place["north"]), "north": north},
            dask="parallelized", output_dtypes=[np.dtype("float32")], join="override", keep_attrs=False,
        ).transpose("y", "x")  # fmt: skip
        found[f"model{end}"] = model.assign_attrs(units=look.unit, long_name=f"motion by the {fit.source} source")
        found[f"residual{end}"] = (look.value - model).astype("float32").assign_attrs(units=look.unit)
    kept = {name: each for name, each in data.coords.items() if set(each.dims) <= {"y", "x"}}
    return xr.Dataset(found).assign_coords(kept)


def _line(
    x: Doubles, y: Doubles, like: Doubles, *vector: Any, fit: SourceFit, place: tuple[float, float], north: Any
) -> NDArray[np.float32]:
    shape = np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(like))
    far, high = (np.broadcast_to(np.asarray(each, "float64"), shape) for each in (x - place[0], y - place[1]))
    east, up_north = turned(far, high, north)
    motion = fit.motion(east, up_north)
    return np.asarray(sum(np.asarray(vector[axis]) * motion[axis] for axis in range(3)), "float32")


def _motion(source: str, known: Mapping[str, float], east: Any, north: Any) -> Motion:
    if source == "mogi":
        return mogi(east, north, depth=known["depth"], volume=known["volume"], poisson=known["poisson"])
    shape = {name: known[name] for name in ("depth", "strike", "dip", "poisson")}
    slip = (known["strike_slip"], known["dip_slip"], known["opening"])
    return okada(east, north, size=(known["length"], known["width"]), slip=slip, **shape)


def _settled(source: str, bounds: Bounds) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Part parameters into those to fit, with their bounds, and those that are held."""
    if source not in _NAMES:
        raise InputError("unknown source", where="source", expected=" or ".join(_NAMES), got=str(source)[:80])
    names = _NAMES[source]
    strange = sorted(set(map(str, bounds)) - {*names, "poisson"})
    slips = [name for name in names if name in LINEAR]
    missing = [name for name in names if name not in bounds and not (source == "okada" and name in slips)]
    if strange or missing or not set(slips) & set(bounds):
        got = f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(strange) or 'none'}"[:500]
        raise InputError("the bounds are not those of the source", where="bounds", expected=", ".join(names), got=got)
    free: dict[str, tuple[float, float]] = {}
    held = {"poisson": 0.25, **(dict.fromkeys(slips, 0.0) if source == "okada" else {})}
    for name, bound in bounds.items():
        if isinstance(bound, int | float):
            held[name] = float(bound)
        elif len(bound) == 2 and np.isfinite(bound).all() and bound[0] < bound[1] and name != "poisson":
            free[name] = (float(bound[0]), float(bound[1]))
            held.pop(name, None)
        else:
            raise InputError("no bounds", where=name, expected="a number, or (low, high)", got=str(bound)[:80])
    _check_range(free, held)
    return {name: free[name] for name in names if name in free}, held


def _check_range(free: Mapping[str, tuple[float, float]], held: Mapping[str, float]) -> None:
    check_poisson(held["poisson"])
    spans = {**{name: (value, value) for name, value in held.items()}, **free}
    for name in ("depth", "length", "width"):
        if name in spans and not spans[name][0] > (0 if name != "depth" or "dip" not in spans else -1e-12):
            raise InputError("a size below the ground is positive", where=name, expected="> 0", got=str(spans[name]))
    if "dip" in spans and not (spans["dip"][0] >= 0 and spans["dip"][1] <= 90):
        raise InputError("no dip", where="dip", expected="0 to 90", got=str(spans["dip"]))
    if not free:
        raise InputError("no parameter is free", where="bounds", expected="(low, high) of one or more")


def _check_numbers(most_points: int, starts: tuple[int, int], correlation_length: float | None) -> None:
    if not 1 <= most_points <= _MOST_POINTS:
        raise InputError(
            "no number of points", where="most_points", expected=f"1 to {_MOST_POINTS}", got=str(most_points)
        )
    if not (1 <= starts[1] <= starts[0] <= _MOST_STARTS):
        raise InputError("no numbers of starts", where="starts", expected="tried >= refined >= 1", got=str(starts))
    if correlation_length is not None and not 0 < correlation_length < np.inf:
        raise InputError("no length", where="correlation_length", expected="> 0 m", got=str(correlation_length))
