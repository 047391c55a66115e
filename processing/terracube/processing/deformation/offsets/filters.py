"""Points that disagree with their neighbours."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.sides import companions, outlying

RADIUS, ROUNDS = 2, 3
HALO = (ROUNDS + 1) * RADIUS
"""Points around a block that matter."""
LONELY = 32
_LEAST, _SHARE, _SPREADS = 8, 0.2, 4.0
_FLOOR = 0.05


def disagreeing(dy: NDArray[np.float32], dx: NDArray[np.float32], *, coarse: float, fine: float) -> NDArray[np.bool_]:
    """Find the points that move otherwise than those around them.

    Three times the points go that have fewer than 8 of the 25 around (themselves among them; at the edge of the image
    as many in proportion) within ``coarse`` pixels (normalised displacement coherence; Lei et al. 2021,
    doi:10.3390/rs13040749). Then those go that lie more than four median absolute deviations from the median of what
    is left, unless 8 around lie within ``fine`` pixels: beside a break a small group is no outlier.

    Parameters
    ----------
    dy, dx : float32 (row, column)
        NaN is no point.
    coarse, fine : float
        Pixels.

    Returns
    -------
    bool (row, column)
        False where there is no point.

    Examples
    --------
    >>> field = np.zeros((9, 9), "float32")
    >>> field[4, 4] = 3
    >>> np.argwhere(disagreeing(field, field, coarse=5.0, fine=0.1)).tolist()
    [[4, 4]]
    """
    field = np.ascontiguousarray(dy, np.float32), np.ascontiguousarray(dx, np.float32)
    there = np.isfinite(field[0]) & np.isfinite(field[1])
    good, out = there.astype(np.uint8), np.empty(dy.shape, np.uint8)
    for _ in range(ROUNDS):
        companions(field, good, (RADIUS, _LEAST, float(coarse)), out)
        good, out = out, good
    companions(field, good, (RADIUS, _LEAST, float(fine)), out)
    far = np.zeros(dy.shape, bool)
    for component in field:
        off = np.empty(dy.shape, np.float32)
        outlying(component, good, (RADIUS, _FLOOR), off)
        far |= off > _SPREADS
    return np.asarray(there & ((good == 0) | (far & (out == 0))), bool)


def neighbour_filter(
    offsets: xr.Dataset, *, search: float | None = None, fine: float = 0.2, keep: bool = False
) -> xr.Dataset:
    """Flag the points that disagree with their neighbours, and make their motion NaN.

    Parameters
    ----------
    offsets : xarray.Dataset
        As :func:`~terracube.processing.deformation.offsets.track` gives them.
    search : float, optional
        Largest motion looked for, pixels; what the offsets say of themselves by default. A fifth of it is the
        tolerance of the first test.
    fine : float
        Tolerance of the second, pixels.
    keep : bool
        Only flag them.

    Returns
    -------
    xarray.Dataset
        With bit 32 set in ``flags``; all but correlation and SNR NaN there, unless kept.

    Raises
    ------
    InputError
        If the search is not told.
    """
    widest = offsets.attrs.get("search") if search is None else search
    if widest is None:
        raise InputError("how far was searched is not told", where="search", expected="pixels")
    lonely = over_lattice(offsets["dy"].data, offsets["dx"].data, coarse=_SHARE * float(widest), fine=fine)
    return rejected(offsets, xr.DataArray(lonely, dims=offsets["dy"].dims), LONELY, keep=keep)


def rejected(offsets: xr.Dataset, bad: xr.DataArray, bit: int, *, keep: bool) -> xr.Dataset:
    """Set a bit of the flags where points are bad, and make their numbers NaN unless they are kept."""
    flags = offsets["flags"] | bad.astype("uint16") * np.uint16(bit)
    if keep:
        return offsets.assign({"flags": flags.assign_attrs(offsets["flags"].attrs)})
    names = [name for name in offsets.data_vars if name not in ("flags", "correlation", "snr")]
    changed = {name: offsets[name].where(~bad) for name in names}
    return offsets.assign(changed | {"flags": flags.assign_attrs(offsets["flags"].attrs)})


def over_lattice(dy: Any, dx: Any, *, coarse: float, fine: float) -> Any:
    """Find disagreeing points, block by block if the arrays are Dask's."""
    if not isinstance(dy, da.Array):
        return disagreeing(dy, dx, coarse=coarse, fine=fine)
    wide = [array.rechunk(tuple(_at_least(side) for side in dy.chunks)) for array in (dy, dx)]
    depth = {axis: HALO if wide[0].numblocks[axis] > 1 else 0 for axis in (0, 1)}
    found = da.map_overlap(
        disagreeing, *wide, depth=depth, boundary="none", dtype=bool, meta=np.empty((0, 0), bool),
        allow_rechunk=False, coarse=coarse, fine=fine,
    )  # fmt: skip
    return found.rechunk(dy.chunks)


def _at_least(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Join pieces of a length to their neighbours until none is shorter than the halo."""
    kept: list[int] = []
    for size in sizes:
        if kept and min(kept[-1], size) < HALO:
            kept[-1] += size
        else:
            kept.append(size)
    return tuple(kept)
