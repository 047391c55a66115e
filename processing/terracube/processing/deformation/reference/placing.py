"""The reference of a stack: the ground against which all motion is told, given or found, and always stated.

The phase of an interferogram is known up to a constant. It is taken from the mean phase of an area, over pixels that
have a phase in every pair: then what is taken away is one number for each date, and closure stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.grid import Grid
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.reference.given import MOST_PIXELS, common_phase
from terracube.processing.deformation.reference.search import AREA, ReferenceSearch
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, PHASE, has_place
from terracube.processing.deformation.stack.gathering import counted_grid, gather, lazy_part

type ReferenceLike = str | Sequence[float] | None
"""``"auto"``; ``(y, x)`` of a point or ``(left, bottom, right, top)`` of an area, in the CRS of the stack; ``None``."""
Statistic = Literal["mean", "median"]
AUTO = "auto"
NONE = "as delivered"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the reference is."""

    rows: tuple[int, int]
    """First row, and the first after the last."""
    cols: tuple[int, int]
    y: float
    """Of its centre, in the CRS of the stack; the number of the row where there are no coordinates."""
    x: float
    text: str
    """What the attributes say."""
    place: tuple[float, ...]
    """As it was given: ``(y, x)``, or ``(left, bottom, right, top)``."""


def choose_reference(stack: xr.Dataset, *, statistic: Statistic = "mean") -> xr.Dataset:
    """Find the calmest and most coherent area of a stack; the same whatever the blocks.

    Parameters
    ----------
    stack : Dataset
        As :func:`~terracube.processing.deformation.stack.to_stack` gives it. See :class:`ReferenceSearch` for the rule.
    statistic : "mean" or "median"
        What of the area's phases.

    Returns
    -------
    xarray.Dataset
        ``reference_phase`` (pair), rad; ``reference_y``, ``reference_x`` of the centre of the area, in the CRS of the
        stack; ``reference_quality``, 0 to 1; ``reference_pixels``. Lazy if the stack is; then the stack is read for
        this by itself, so that no block waits in memory.

    Raises
    ------
    EmptyResultError
        If no pixel has a phase in every pair: when computed, of lazy stacks.
    """
    grid = counted_grid(stack)
    search = ReferenceSearch.of(stack, grid, median=known_statistic(statistic) == "median")
    names = [name for name in (PHASE, COHERENCE, COMPONENTS) if name in stack]
    answer = gather(stack, names, search.partial, search.combine)
    parts = {name: lazy_part(answer, name) for name in ("row", "col", "pixels", "quality")}
    parts["phase"] = lazy_part(answer, "phase", stack.sizes["pair"])
    y, x = (_coordinate(stack, grid, name, parts[key]) for name, key in (("y", "row"), ("x", "col")))
    return xr.Dataset(
        {
            "reference_phase": ("pair", parts["phase"], {"units": "rad"}),
            "reference_y": ((), y),
            "reference_x": ((), x),
            "reference_quality": ((), parts["quality"]),
            "reference_pixels": ((), parts["pixels"]),
        }
    )


def known_statistic(statistic: str) -> Statistic:
    """Accept ``mean`` or ``median``.

    Raises
    ------
    InputError
        If it is another word.
    """
    if statistic == "mean":
        return "mean"
    if statistic == "median":
        return "median"
    raise InputError("unknown statistic", where="statistic", expected="mean, median", got=repr(statistic)[:60])


def _coordinate(stack: xr.Dataset, grid: Grid, name: str, index: Any) -> Any:
    axis = "yx".index(name)
    if has_place(stack):
        return (index + grid.phase[axis]) * grid.resolution[axis]
    # Of the pixel's centre, as an index; the first or only coordinates there are decide what it means.
    ours = index - 0.5
    if name not in stack.coords:
        return ours
    values = np.asarray(stack[name].values, "float64")
    return values[0] + ours * (values[1] - values[0] if values.size > 1 else 0.0)


def to_reference(stack: xr.Dataset, reference: ReferenceLike) -> Reference | str:
    """Make of what a user says where the reference is.

    Parameters
    ----------
    stack : Dataset
    reference : "auto", (y, x), (left, bottom, right, top), None
        To be found; a point; an area; or the phases are referenced already.

    Returns
    -------
    Reference, or ``"auto"``, or ``"as delivered"`` for ``None``

    Raises
    ------
    InputError
        If it is none of these, lies outside the stack, or the area holds no pixel, or too many.
    """
    if reference is None:
        return NONE
    if isinstance(reference, str):
        if reference == AUTO:
            return AUTO
        raise _unknown(reference)
    try:
        numbers = [float(value) for value in reference]
    except (TypeError, ValueError) as error:
        raise _unknown(reference) from error
    if len(numbers) not in (2, 4) or not np.isfinite(numbers).all():
        raise _unknown(reference)
    if len(numbers) == 2:
        (row, y), (col, x) = (_nearest(stack, name, at) for name, at in zip("yx", numbers, strict=True))
        return Reference((row, row + 1), (col, col + 1), y, x, f"point y={y!r}, x={x!r}", (y, x))
    left, bottom, right, top = numbers
    rows, cols = _within(stack, "y", bottom, top), _within(stack, "x", left, right)
    if (rows[1] - rows[0]) * (cols[1] - cols[0]) > MOST_PIXELS:
        raise InputError("the reference area is too large", where="reference", expected=f"<= {MOST_PIXELS} pixels")
    y, x = (
        (axis[span[0]] + axis[span[1] - 1]) / 2 for axis, span in ((_axis(stack, "y"), rows), (_axis(stack, "x"), cols))
    )
    return Reference(
        rows,
        cols,
        float(y),
        float(x),
        f"area left={left!r}, bottom={bottom!r}, right={right!r}, top={top!r}",
        (left, bottom, right, top),
    )


def _unknown(given: object) -> InputError:
    expected = '"auto", (y, x), (left, bottom, right, top) in the CRS of the stack, or None'
    return InputError("this is no reference", where="reference", expected=expected, got=repr(given)[:80])


def _axis(stack: xr.Dataset, name: str) -> NDArray[np.float64]:
    given = stack[name].values if name in stack.coords else np.arange(stack.sizes[name])
    return np.asarray(given, "float64")


def _nearest(stack: xr.Dataset, name: str, place: float) -> tuple[int, float]:
    axis = _axis(stack, name)
    index = int(np.argmin(np.abs(axis - place)))
    if has_place(stack):
        half = abs(grid_like(stack).resolution["yx".index(name)]) / 2
    else:
        half = abs(axis[1] - axis[0]) / 2 if axis.size > 1 else 0.5
    if abs(axis[index] - place) > half * (1 + 1e-9):
        raise InputError(
            "the reference lies outside the stack",
            where=f"reference, {name}",
            expected=f"{axis.min() - half} to {axis.max() + half}",
            got=str(place),
        )
    return index, float(axis[index])


def _within(stack: xr.Dataset, name: str, low: float, high: float) -> tuple[int, int]:
    axis = _axis(stack, name)
    inside = np.flatnonzero((axis >= low) & (axis <= high))
    if not inside.size:
        raise InputError(
            "the reference area holds no pixel",
            where=f"reference, {name}",
            expected=f"within {axis.min()} to {axis.max()}",
            got=f"{low} to {high}",
        )
    return int(inside[0]), int(inside[-1]) + 1


def apply_reference(stack: xr.Dataset, reference: ReferenceLike = AUTO, *, statistic: Statistic = "mean") -> xr.Dataset:
    """Take the phase of the reference from every pair.

    Parameters
    ----------
    stack : Dataset
        As :func:`~terracube.processing.deformation.stack.to_stack` gives it.
    reference : "auto", (y, x), (left, bottom, right, top), None
        As :func:`to_reference`. ``None``: nothing is taken away.
    statistic : "mean" or "median"
        Of the pixels of the area that have a phase in every pair. The mean leaves closure as it is; the median
        withstands errors of whole cycles in less than half of the area.

    Returns
    -------
    xarray.Dataset
        The stack, with ``reference_phase`` (pair), what was taken away, and ``reference_y``, ``reference_x``; those and
        ``reference_quality``, ``reference_pixels`` are lazy where it was found in a lazy stack. The attribute
        ``reference`` tells in words what was done.

    Raises
    ------
    InputError
        If the reference is unusable, or has no pixel with a phase in every pair: the pairs are named, when computed if
        the stack is lazy.
    EmptyResultError
        As :func:`choose_reference`.
    """
    place = to_reference(stack, reference)
    known_statistic(statistic)
    if place == NONE:
        return stack.assign_attrs(reference=stack.attrs.get("reference", NONE))
    if isinstance(place, Reference):
        facts = _phase_of(stack, place, statistic)
        text = place.text
    else:
        facts = choose_reference(stack, statistic=statistic)
        text = f"auto: {statistic} of an area of {AREA} x {AREA} pixels around reference_y, reference_x"
    phase = stack[PHASE]
    less = xr.apply_ufunc(
        _less, phase, facts["reference_phase"], dask="parallelized", output_dtypes=["float32"], keep_attrs=True
    ).transpose(*phase.dims)  # fmt: skip
    told: dict[str, Any] = {"reference": text, "reference_statistic": statistic}
    if isinstance(place, Reference):
        told["reference_place"] = list(place.place)
    return stack.assign({PHASE: less.assign_attrs(phase.attrs), **facts}).assign_attrs(told)


def _less(phase: NDArray[np.float32], taken: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.subtract(phase, taken, dtype="float64").astype("float32")


def _phase_of(stack: xr.Dataset, place: Reference, statistic: Statistic) -> xr.Dataset:
    window = stack[PHASE].isel(y=slice(*place.rows), x=slice(*place.cols)).drop_vars(["y", "x"], errors="ignore")
    if window.chunks is not None:
        window = window.chunk({"pair": -1, "y": -1, "x": -1})
    ends = [stack[name].values.astype("datetime64[D]") for name in ("reference_time", "secondary_time")]
    names = tuple(f"{one} to {other}" for one, other in zip(*ends, strict=True))
    taken = xr.apply_ufunc(
        partial(_common, names=names, text=place.text, median=statistic == "median"),
        window,
        input_core_dims=[["pair", "y", "x"]],
        output_core_dims=[["pair"]],
        dask="parallelized",
        output_dtypes=["float64"],
    )
    facts = {"reference_phase": ("pair", taken.data, {"units": "rad"})}
    return xr.Dataset(facts | {"reference_y": ((), place.y), "reference_x": ((), place.x)})


def _common(values: NDArray[np.float32], names: tuple[str, ...], text: str, *, median: bool) -> NDArray[np.float64]:
    return common_phase(values.reshape(len(values), -1), names, text, median=median)
