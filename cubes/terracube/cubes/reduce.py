"""Reducers over time: many dates of a cube to one spectrum per pixel, with what says how much to trust it.

The geometric median m of a pixel is the spectrum with the least sum of distances to its clear dates x_t. It is found by
Weiszfeld's iteration from the mean, with Vardi and Zhang's rule where the iterate meets samples (2000,
doi:10.1073/pnas.97.4.1423), sped up by the secant through the last two steps. Pixels that have not arrived after
a fixed number of steps, or lie close to a sample, are finished by damped Newton steps in float64.

The deviations are those of Roberts et al. (2017, doi:10.1109/TGRS.2017.2723896; 2018, doi:10.1109/IGARSS.2018.8518312).
The median of an even number of terms is the mean of the two middle ones. A term whose denominator is 0 (a zero spectrum
has no angle; x_t = -m has no ratio) or whose value overflows is undefined and left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes._geomedian.kernel import kernel
from terracube.cubes._geomedian.lanes import LANES, MAX_DATES, work_size
from terracube.cubes._geomedian.newton import scratch_shape

_FINEST, _COARSEST = 1e-12, 1e12
_COMPILING = Lock()


@dataclass(frozen=True, eq=False)
class GeomedianResult:
    """Geometric median m of a cube over time, and the spread of the dates x_t around it."""

    median: NDArray[np.float32]
    """Geometric median, (band, y, x), in the unit of the cube; NaN where no date is clear."""
    emad: NDArray[np.float32]
    """EMAD = med |x_t - m|, (y, x), in the unit of the cube; NaN where no date is clear."""
    smad: NDArray[np.float32]
    """SMAD = med (1 - cos(x_t, m)), (y, x), 0 to 2; NaN where no date has an angle to the median."""
    bcmad: NDArray[np.float32]
    """BCMAD = med (sum |x_t - m| / sum |x_t + m|), sums over bands, (y, x); above 1 only with negative values; NaN
    where no date has a ratio."""
    count: NDArray[np.uint16]
    """Number of clear dates, (y, x)."""


def geomedian(cube: NDArray[np.float32], *, eps: float = 1e-6, max_iter: int = 20) -> GeomedianResult:
    """Reduce the dates of a cube to their geometric median, with the number of clear dates and three deviations.

    The result of a pixel is the same to the bit whatever the shape of the block, the other pixels in it and the
    number of threads that call at once, and does not change when dates missing in this pixel are added or removed.
    The order of the clear dates changes it within the tolerance only. One clear date is its own median, with
    deviations of 0; two give their mean (to rounding). Where the least sum is reached in more than one point (an even
    number of dates on one line) the result is one of them.

    Parameters
    ----------
    cube : numpy.ndarray of float32, shape (time, band, y, x)
        Values of any unit, negative ones too. NaN, infinite values and values of 1e15 and more in magnitude count as
        missing; a date is clear in a pixel when all its bands are there. Up to 65535 dates, any number of bands (fast
        to 16). Copied when not contiguous. Other types are refused, since converting doubles the memory unseen.
    eps : float
        Tolerance, in the unit of the cube: a pixel stops when the distance left to the median, estimated from the
        last steps and the slowest progress seen, is below it; not finer than 2**-22 of the length of the mean
        spectrum. Where the sum is nearly flat (few dates almost on a line) the place may be off by more; the mean
        distance to the dates is still within 2 ``eps`` of the least possible.
    max_iter : int
        Number of accelerated steps before Newton's method takes over; changes speed, not accuracy.

    Returns
    -------
    GeomedianResult
        All arrays are new.

    Raises
    ------
    InputError
        If the cube is not a 4-dimensional float32 array with at least one band and at most 65535 dates, ``eps`` is
        not between 1e-12 and 1e12, or ``max_iter`` is not positive.

    Notes
    -----
    Needs 256 (bands + 3) + 8 bands bytes per date beyond the results, for each calling thread. The first call for a
    number of bands compiles the kernel, which takes some seconds. The global interpreter lock is released.

    Examples
    --------
    The Fermat point of a triangle with sides of equal length is its centre; a fourth, cloudy date does not count.

    >>> dates = np.array([[0, 0], [1, 0], [0.5, 0.75**0.5], [np.nan, 9]], "float32")
    >>> result = geomedian(dates.reshape(4, 2, 1, 1))
    >>> np.round(result.median.ravel().astype(float), 4).tolist(), result.count.item()
    ([0.5, 0.2887], 3)
    """
    _check(cube, eps, max_iter)
    shape = cube.shape[2:]
    pixels = math.prod(shape)
    flat = np.require(np.asarray(cube), requirements=["C", "A"]).reshape(*cube.shape[:2], pixels)
    if 0 < pixels < LANES:
        flat = np.pad(flat, ((0, 0), (0, 0), (0, LANES - pixels)), constant_values=np.nan)
    maps, count = _reduce(flat, eps, max_iter)
    maps = maps[:, :pixels].reshape(len(maps), *shape)
    return GeomedianResult(maps[:-3], maps[-3], maps[-2], maps[-1], count[:pixels].reshape(shape))


def _reduce(flat: NDArray[np.float32], eps: float, steps: int) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Run the kernel on (time, band, pixel), at least 64 pixels or none: maps (band and three deviations), count."""
    dates, bands, pixels = flat.shape
    with _COMPILING:
        run = kernel(bands)
    maps, count = np.empty((bands + 3, pixels), np.float32), np.empty(pixels, np.uint16)
    work, scratch = np.empty(work_size(dates, bands), np.float32), np.empty(scratch_shape(dates, bands))
    run(flat.reshape(-1), work, scratch, np.float32(eps), steps, maps.reshape(-1), count)
    return maps, count


def _check(cube: NDArray[np.float32], eps: float, max_iter: int) -> None:
    """Refuse what the kernel cannot reduce."""
    kind = type(cube).__name__ if not isinstance(cube, np.ndarray) else f"{type(cube).__name__} of {cube.dtype}"
    if not isinstance(cube, np.ndarray) or isinstance(cube, np.ma.MaskedArray) or cube.dtype != np.float32:
        todo = "convert it: .filled(numpy.nan) for a masked array, .astype(numpy.float32) for another type"
        raise InputError(
            "the cube has the wrong type", where="cube", expected="ndarray of float32", got=kind, todo=todo
        )
    if cube.ndim != 4 or cube.shape[1] == 0:
        expected = "(time, band, y, x) with at least one band"
        raise InputError("the cube has the wrong shape", where="cube", expected=expected, got=str(cube.shape))
    if cube.shape[0] > MAX_DATES:
        got, todo = str(cube.shape[0]), "reduce shorter periods"
        raise InputError(
            "the cube has too many dates", where="cube", expected=f"at most {MAX_DATES}", got=got, todo=todo
        )
    if not _FINEST <= eps <= _COARSEST:
        raise InputError("eps is no tolerance", where="eps", expected=f"{_FINEST} to {_COARSEST}", got=str(eps))
    if max_iter < 1:
        raise InputError("max_iter is not positive", where="max_iter", expected="1 or more", got=str(max_iter))
