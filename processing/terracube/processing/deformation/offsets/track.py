"""How far the ground moved between two images: points matched on a lattice, with what is known of each match."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.offsets.filters import neighbour_filter
from terracube.processing.deformation.offsets.places import coordinates, metres_per_pixel
from terracube.processing.deformation.offsets.pyramid import ASTRAY, WEAK, Plan, match_window
from terracube.processing.deformation.offsets.rules import Rules
from terracube.processing.kernels import matching

FLAGS = {
    "too_few_valid_pixels": 1, "no_texture": 2, "at_edge_of_search": 4, "not_refined": 8, "weak_correlation": 16,
    "unlike_neighbours": 32, "undecided_at_break": 64, "missed_way_back": 128, "from_chip_beside": 256,
}  # fmt: skip
"""Bits of ``flags``. A point with a bit other than ``not_refined`` or ``from_chip_beside`` is rejected."""
TOLD = FLAGS["not_refined"] | FLAGS["from_chip_beside"]
_LAYERS = ("dy", "dx", "correlation", "snr", "std_dy", "std_dx", "flags", "round_trip")
_MOST_SIDE, _MOST_CHIP, _MOST_SEARCH = 1 << 24, 256, 512


def track(
    before: xr.DataArray | ArrayLike,
    after: xr.DataArray | ArrayLike,
    *,
    chip: int = 32,
    step: int = 8,
    search: int = 16,
    both_ways: bool = False,
    rules: Rules | None = None,
) -> xr.Dataset:
    """Measure the motion of the ground between two images of the same grid.

    Chips of the first image are searched in the second from coarse to fine by normalised cross-correlation; the peak is
    the top of a quadratic through the logarithms around it, which Gauss-Newton steps refine together with the
    gradient of the motion, gain and bias. Beside a break a point takes the motion that fits the pixels next to it.

    Parameters
    ----------
    before, after : xarray.DataArray or array (y, x)
        Images on the same pixels; NaN (or the declared ``nodata``) is missing. Lazily matched if one is Dask-backed.
    chip : int
        Pixels along each side of what is compared, a multiple of four, 8 to 256.
    step : int
        Pixels from one point to the next.
    search : int
        Largest motion looked for along y and x, pixels.
    both_ways : bool
        Match back too, and reject points that do not return. It takes twice as long.
    rules : Rules, optional
        What a match must fulfil.

    Returns
    -------
    xarray.Dataset (y, x)
        One value per point, at the middle of its chip: ``dx``, ``dy`` float32, pixels moved along columns and rows
        (right and down); ``std_dx``, ``std_dy``, standard deviations that noise of the pixels explains; ``correlation``
        -1 to 1; ``snr``, the peak of the coarse search over the root mean square of what is not beside it; ``flags``
        uint16, bits as of its attributes; ``round_trip``, pixels that the way back misses by, if asked for. On a
        projected grid in metres also ``east``, ``north``, ``std_east``, ``std_north``, m. Motion is NaN where it is
        unknown or rejected.

    Raises
    ------
    InputError
        If the images differ in shape or pixels, or a size makes no sense.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ground = rng.normal(size=(96, 96)).astype("float32")
    >>> found = track(ground, np.roll(ground, (2, -3), (0, 1)), chip=16, step=16, search=4)
    >>> middle = found.isel(y=2, x=2)
    >>> float(middle.dy.round(2)), float(middle.dx.round(2)), int(middle.flags)
    (2.0, -3.0, 0)
    """
    rules = rules or Rules()
    plan = plan_of(chip, step, search, rules, both_ways)
    first, second = _images(before, after)
    like = before if isinstance(before, xr.DataArray) else None
    layers = _layers(first, second, plan)
    coords, dims = coordinates(like, first.shape, plan.chip, plan.step)
    named = dict(zip(_LAYERS, layers, strict=True))
    if not both_ways:
        del named["round_trip"]
    found = xr.Dataset({name: (dims, values) for name, values in named.items()}, coords)
    found = _described(found, plan)
    if rules.neighbours:
        found = neighbour_filter(found, keep=rules.keep)
    size = None if like is None else metres_per_pixel(like)
    return found if size is None else _in_metres(found, size)


def plan_of(chip: int, step: int, search: int, rules: Rules | None = None, both_ways: bool = False) -> Plan:
    """Settle the sizes of a search.

    Raises
    ------
    InputError
        If one makes no sense.
    """
    for name, value, low, high in (
        ("chip", chip, 8, _MOST_CHIP), ("step", step, 1, 4096), ("search", search, 1, _MOST_SEARCH)
    ):  # fmt: skip
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not low <= value <= high:
            raise InputError("no such size", where=name, expected=f"{low} to {high} whole pixels", got=repr(value))
    if chip % 4:
        raise InputError("no such size", where="chip", expected="a multiple of four", got=str(chip))
    return Plan(int(chip), int(step), int(search), rules or Rules(), both_ways)


def _images(before: Any, after: Any) -> tuple[Any, Any]:
    """Give both as arrays (y, x) of float32, NaN where missing."""
    found = [_image(one, name) for one, name in ((before, "before"), (after, "after"))]
    if found[0].shape != found[1].shape:
        raise InputError("the images differ in shape", expected=str(found[0].shape), got=str(found[1].shape))
    if isinstance(before, xr.DataArray) and isinstance(after, xr.DataArray):
        for axis in before.dims:
            told = [one.coords[axis].values for one in (before, after) if axis in one.coords]
            if before.dims != after.dims or (len(told) == 2 and not np.array_equal(*told)):
                raise InputError(
                    "the images lie on different pixels",
                    where=str(axis),
                    expected="one grid for both",
                    todo="load both onto one grid first",
                )
    return found[0], found[1]


def _image(image: Any, name: str) -> Any:
    data = image.data if isinstance(image, xr.DataArray) else image
    data = data if isinstance(data, da.Array) else np.asarray(data)
    if data.ndim != 2 or np.dtype(data.dtype).kind not in "iuf" or max(data.shape, default=0) > _MOST_SIDE:
        raise InputError("this is no image", where=name, expected="numbers (y, x)", got=f"{data.dtype} {data.shape}")
    nodata = image.attrs.get("nodata", image.attrs.get("_FillValue")) if isinstance(image, xr.DataArray) else None
    values = data.astype(np.float32)
    if nodata is None or nodata != nodata:
        return values
    missing = data == nodata
    choose = da.where if isinstance(data, da.Array) else np.where
    return choose(missing, np.float32(np.nan), values)


def _layers(before: Any, after: Any, plan: Plan) -> list[Any]:
    """Match all points; one array (y, x) per layer."""
    count = [max(0, (side - plan.chip) // plan.step + 1) for side in before.shape]
    if not all(count):
        raise InputError("the image is smaller than a chip", expected=f">= {plan.chip} pixels", got=str(before.shape))
    if not isinstance(before, da.Array) and not isinstance(after, da.Array):
        return list(_judged(before, after, (0, 0), (slice(0, count[0]), slice(0, count[1])), plan))
    chunks = next(array.chunks for array in (before, after) if isinstance(array, da.Array))
    parts = [_parts(many, side, plan) for many, side in zip(count, chunks, strict=True)]
    rows = [[_lazy(before, after, (down, right), plan) for right in parts[1]] for down in parts[0]]
    whole = da.concatenate([da.concatenate(row, axis=2) for row in rows], axis=1)
    return [whole[k].astype(np.uint16) if name == "flags" else whole[k] for k, name in enumerate(_LAYERS)]


def _parts(count: int, chunks: tuple[int, ...], plan: Plan) -> list[slice]:
    """Cut a row of points as the image is cut, but not into less than a chip's worth of margin is."""
    each = max(max(chunks) // plan.step, 2 * plan.halo // plan.step, 1)
    return [slice(start, min(start + each, count)) for start in range(0, count, each)]


def _lazy(before: Any, after: Any, points: tuple[slice, slice], plan: Plan) -> da.Array:
    coarsest = 2**plan.levels
    window, corner = [], []
    for part, side in zip(points, before.shape, strict=True):
        start = max(0, part.start * plan.step - plan.halo) // coarsest * coarsest
        stop = -(-((part.stop - 1) * plan.step + plan.chip + plan.halo) // coarsest) * coarsest
        window.append(slice(start, min(stop, side)))
        corner.append(start)
    task = delayed(_judged, pure=True)
    found = task(before[tuple(window)], after[tuple(window)], (corner[0], corner[1]), points, plan)
    shape = len(_LAYERS), points[0].stop - points[0].start, points[1].stop - points[1].start
    lazy: da.Array = da.from_delayed(found, shape, np.float32, meta=np.empty((0, 0, 0), np.float32))
    return lazy


def _judged(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    corner: tuple[int, int],
    points: tuple[slice, slice],
    plan: Plan,
) -> NDArray[np.float32]:
    """Match the points of a window and judge each for itself: (layer, y, x)."""
    found = match_window(before, after, corner, points, plan)
    state = found[matching.STATE].astype(np.uint16)
    correlation, misses = found[matching.NCC], found[-1]
    state |= np.where(correlation < plan.rules.correlation, WEAK, 0).astype(np.uint16)
    if plan.both_ways:
        state |= np.where(misses <= plan.rules.round_trip, 0, ASTRAY).astype(np.uint16)
    numbers = [matching.DY, matching.DX, matching.NCC, matching.SNR, matching.STD_Y, matching.STD_X]
    out = np.concatenate([found[numbers], state[np.newaxis].astype(np.float32), misses[np.newaxis]])
    if not plan.rules.keep:
        out[np.ix_([0, 1, 4, 5])] = np.where((state & ~np.uint16(TOLD)) == 0, out[np.ix_([0, 1, 4, 5])], np.nan)
    return out


def _described(found: xr.Dataset, plan: Plan) -> xr.Dataset:
    texts = {
        "dx": "motion along columns, to the right", "dy": "motion along rows, downwards",
        "std_dx": "standard deviation of dx from noise", "std_dy": "standard deviation of dy from noise",
        "round_trip": "miss of the way there and back",
    }  # fmt: skip
    for name, text in texts.items():
        if name in found:
            found[name].attrs.update(long_name=text, units="pixel")
    found["correlation"].attrs.update(long_name="normalised cross-correlation", units="1")
    found["snr"].attrs.update(long_name="peak over the root mean square of the coarse search", units="1")
    found["flags"] = found["flags"].astype(np.uint16)
    found["flags"].attrs.update(
        long_name="what speaks against a point", flag_masks=list(FLAGS.values()), flag_meanings=" ".join(FLAGS)
    )
    found.attrs.update(chip=plan.chip, step=plan.step, search=plan.search)
    return found


def _in_metres(found: xr.Dataset, size: tuple[float, float]) -> xr.Dataset:
    """Add the motion to the east and the north; ``size`` is signed, along y and x."""
    for name, source, factor in (("east", "dx", size[1]), ("north", "dy", size[0])):
        told = {"long_name": f"motion to the {name}", "units": "m", "metres_per_pixel": factor}
        found[name] = (found[source] * np.float32(factor)).assign_attrs(told)
        spread = found[f"std_{source}"] * np.float32(abs(factor))
        found[f"std_{name}"] = spread.assign_attrs(long_name=f"standard deviation of {name} from noise", units="m")
    return found
