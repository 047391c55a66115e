"""From a stack to series of motion in one call: referenced in space and time, solved, with both parts of the error."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.atmosphere import atmosphere_std
from terracube.processing.deformation.cycles import repair as mend
from terracube.processing.deformation.inversion import Weights, invert_stack
from terracube.processing.deformation.inversion.given import given_weights
from terracube.processing.deformation.reference import AUTO, Reference, ReferenceLike, apply_reference, to_reference
from terracube.processing.deformation.stack import to_stack

type Repair = Literal["none", "pixel", "neighbours"]
REPAIRED = ("repair_flags", "n_repaired")
"""Layers that a repair brings."""
_GIVEN = "given_weights"
LEAST_DATES = 5
"""Fewer tell nothing of the air."""


def invert(
    stack: xr.Dataset,
    *,
    weights: Weights = "variance",
    reference: ReferenceLike = AUTO,
    robust: bool = False,
    disconnected: Literal["nan", "minimum_velocity", "linear"] = "nan",
    reference_date: Any = None,
    repair: Repair = "none",
    atmosphere: str | None = "auto",
) -> xr.Dataset:
    """Turn a stack of unwrapped interferograms into the series of displacement of each pixel.

    Parameters
    ----------
    stack : xarray.Dataset
        ``unwrapped_phase`` (pair, y, x) and what :func:`~terracube.processing.deformation.to_stack` asks for; lazy in,
        lazy out.
    weights, robust, disconnected, reference_date
        As :func:`~terracube.processing.deformation.invert_stack`.
    reference : "auto", (y, x), (left, bottom, right, top), None
        Ground against which motion is told, as :func:`~terracube.processing.deformation.apply_reference`; ``None``:
        the phase is referenced already. The noise of ground that was named is added to ``std_network`` of all pixels,
        taken as independent of theirs: of that ground's own pixels, from whose phase it is taken away, this is too
        much. The noise of ground that was found is not added: of a whole area of 64 pixels it is less than one in a
        hundred; ``reference_pixels`` tells of how many it was.
    repair : "none", "pixel" or "neighbours"
        Mend errors of whole cycles first, each pixel by itself or with those around, as
        :func:`~terracube.processing.deformation.repair`; the result has ``repair_flags`` and ``n_repaired`` (y, x).
    atmosphere : str or None
        Model of motion whose residuals tell how far the air moves the series, as
        :func:`~terracube.processing.deformation.atmosphere_std`; ``auto``: linear, and annual where the dates hold it;
        ``None``: ``std_atmosphere`` is left out. It is left out, too, where there are fewer than five dates.

    Returns
    -------
    xarray.Dataset
        As :func:`~terracube.processing.deformation.invert_stack`, with ``std_atmosphere`` (time, y, x), m, and where
        the reference is: ``reference_y``, ``reference_x``, ``reference_phase``.

    Raises
    ------
    InputError, MetadataError, EmptyResultError
        If the stack, an option or the reference is unusable; of what depends on pixels, lazy stacks tell when computed.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.array(["2020-01-01", "2020-01-13", "2020-01-25"], "M8[ns]")
    >>> sinking = np.zeros((3, 1, 2), "float32")
    >>> sinking[:, 0, 1] = [1, 1, 2]  # away from the satellite; the other pixel stands still
    >>> stack = xr.Dataset(
    ...     {"unwrapped_phase": (("pair", "y", "x"), sinking)},
    ...     coords={"reference_time": ("pair", times[[0, 1, 0]]), "secondary_time": ("pair", times[[1, 2, 2]])},
    ...     attrs={"wavelength": 0.0554, "phase_sign": "range_increase"},
    ... )
    >>> stack.unwrapped_phase.attrs["units"] = "rad"
    >>> series = invert(stack, weights=None, reference=(0, 0))
    >>> (1000.0 * series.displacement[:, 0, 1].values.astype("float64")).round(2).tolist()
    [0.0, -4.41, -8.82]
    """
    known, own = _with_weights(stack, weights)
    placed = mended(apply_reference(known, reference), repair)
    series = invert_stack(placed, weights=own, robust=robust, disconnected=disconnected, reference_date=reference_date)
    place = ("reference_y", "reference_x", "reference_quality", "reference_pixels")
    series = series.assign({name: placed[name] for name in (*place, *REPAIRED) if name in placed})
    told = {name: placed.attrs[name] for name in ("reference_place", "reference_statistic") if name in placed.attrs}
    told |= {"repair": repair, "reference_noise": int(isinstance(to_reference(placed, reference), Reference))}
    series = _with_reference_noise(series, reference).assign_attrs(told)
    if atmosphere is None or series.sizes["time"] < LEAST_DATES:
        return series
    return series.assign(std_atmosphere=atmosphere_std(series, model=None if atmosphere == "auto" else atmosphere))


def _with_weights(stack: xr.Dataset, weights: Weights) -> tuple[xr.Dataset, Weights]:
    """Make a stack canonical; given weights are sorted and turned with its pairs and rows."""
    if not isinstance(weights, xr.DataArray):
        return to_stack(stack), weights
    known = to_stack(stack.assign({_GIVEN: given_weights(stack, weights)}))
    return known.drop_vars(_GIVEN), known[_GIVEN]


def mended(stack: xr.Dataset, how: Repair) -> xr.Dataset:
    """Mend a referenced stack, and count the pairs that were changed; as it is, if nothing is to be mended.

    Raises
    ------
    InputError
        If the way is none.
    """
    if how not in ("none", "pixel", "neighbours"):
        raise InputError("no such repair", where="repair", expected="none, pixel, neighbours", got=repr(how)[:60])
    if how == "none":
        return stack
    found = mend(stack, neighbours=how == "neighbours")
    changed = (found["cycles"] != 0).sum("pair").astype("float32")
    return found.drop_vars(["cycles", "undecided", "slack"]).assign(n_repaired=changed)


def _with_reference_noise(series: xr.Dataset, reference: ReferenceLike) -> xr.Dataset:
    """Add the noise of a reference that was named: motion is told against it, so its noise is in every pixel."""
    place = to_reference(series, reference)
    if not isinstance(place, Reference):
        return series
    own = noise_of(series["std_network"].isel(y=slice(*place.rows), x=slice(*place.cols)))
    return series.assign(std_network=with_noise(series["std_network"], own))


def noise_of(deviations: xr.DataArray) -> xr.DataArray:
    """Give the standard deviation of the mean of the pixels (time, y, x) of a reference, (time,)."""
    there = deviations.drop_vars(["y", "x"], errors="ignore")
    whole = there.chunk({"time": -1, "y": -1, "x": -1}) if there.chunks else there
    found: xr.DataArray = xr.apply_ufunc(
        mean_noise, whole, input_core_dims=[["time", "y", "x"]], output_core_dims=[["time"]], dask="parallelized",
        output_dtypes=["float64"],
    )  # fmt: skip
    return found


def with_noise(deviations: xr.DataArray, own: xr.DataArray) -> xr.DataArray:
    """Add the noise of a reference (time,) to deviations (time, y, x)."""
    joined: xr.DataArray = xr.apply_ufunc(
        joined_noise, deviations, own, dask="parallelized", output_dtypes=["float32"], keep_attrs=True
    )
    return joined.transpose(*deviations.dims)


def mean_noise(deviations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the standard deviation of the mean of the pixels (time, ...) of a reference, taken as independent."""
    rows = deviations.reshape(len(deviations), -1).astype("float64")
    found = [[value * value for value in row if math.isfinite(value)] for row in rows.tolist()]
    return np.array([math.sqrt(math.fsum(row)) / len(row) if row else 0.0 for row in found])


def joined_noise(deviations: NDArray[np.floating], own: NDArray[np.floating]) -> NDArray[np.float32]:
    """Add variances, and give the standard deviation."""
    return np.sqrt(np.square(deviations, dtype="float64") + np.square(own, dtype="float64")).astype("float32")
