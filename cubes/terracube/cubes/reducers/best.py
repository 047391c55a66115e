"""Best-pixel composites: each pixel takes all its bands from the date with the highest score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.reducers.overtime import check_values, to_missing


@dataclass(frozen=True, eq=False, slots=True)
class BestPixel:
    """What the best date of every pixel saw, and which date that was."""

    values: NDArray[Any]
    """(band, y, x), in the type of the cube; ``nodata`` (NaN for floats) where no date can be taken."""
    index: NDArray[np.int32]
    """(y, x), position of the date that was taken; -1 where none can be."""
    count: NDArray[np.uint16]
    """(y, x), number of dates that could have been taken."""


def best_pixel(cube: NDArray[Any], score: NDArray[Any], *, nodata: float | None) -> BestPixel:
    """Take each pixel from the date with the highest score; of equal scores the earliest.

    A date can be taken where its score is not NaN and all its bands are there. The result of a pixel depends on its
    own dates only.

    Parameters
    ----------
    cube : numpy.ndarray, shape (time, band, y, x)
        uint8, uint16, int16, int32 or float32; 1 to 65535 dates, at least one band.
    score : numpy.ndarray, shape (time, y, x)
        Numbers of any type; NaN = never take this date here.
    nodata : number or None
        The number that stands for a missing value; integers need one. NaN is always missing.

    Returns
    -------
    BestPixel
        All arrays are new.

    Raises
    ------
    InputError
        If an array has the wrong type or shape, or the type cannot hold ``nodata``.
    MetadataError
        If integers have no ``nodata``, so that a missing result could not be written.

    Examples
    --------
    >>> cube = np.array([10, 20, 30], "uint16").reshape(3, 1, 1, 1)
    >>> best = best_pixel(cube, np.array([0.5, 0.9, 0.9]).reshape(3, 1, 1), nodata=0)
    >>> best.values.item(), best.index.item(), best.count.item()
    (20, 1, 3)
    """
    check_values(cube, "cube", 4)
    missing = to_missing(cube.dtype, nodata)
    _check(cube, score, missing)
    whole = cube.dtype.kind == "f"
    values = np.full(cube.shape[1:], np.nan if whole else missing, cube.dtype)
    index, count = np.full(score.shape[1:], -1, np.int32), np.zeros(score.shape[1:], np.uint16)
    highest = np.empty(score.shape[1:], score.dtype)
    for date, (bands, told) in enumerate(zip(cube, score, strict=True)):
        usable = _usable(bands, missing) & (told == told)
        better = usable & ((index < 0) | (told > highest))
        for band, place in zip(bands, values, strict=True):
            np.copyto(place, band, where=better)
        np.copyto(highest, told, where=better)
        index[better] = date
        count += usable
    return BestPixel(values, index, count)


def _usable(bands: NDArray[Any], missing: float | None) -> NDArray[np.bool_]:
    """Tell where all bands (band, y, x) of a date are there."""
    seen = np.ones(bands.shape[1:], np.bool_)
    for band in bands:
        if missing is not None:
            seen &= band != bands.dtype.type(missing)
        if bands.dtype.kind == "f":
            seen &= ~np.isnan(band)
    return seen


def _check(cube: NDArray[Any], score: NDArray[Any], missing: float | None) -> None:
    if cube.shape[1] == 0:
        raise InputError("the cube has no band", where="cube", expected="at least one band", got=str(cube.shape))
    plain = isinstance(score, np.ndarray) and not isinstance(score, np.ma.MaskedArray)
    if not plain or score.dtype.kind not in "biuf" or score.shape != (cube.shape[0], *cube.shape[2:]):
        got = f"{score.dtype} {score.shape}" if isinstance(score, np.ndarray) else type(score).__name__
        expected = f"numbers {(cube.shape[0], *cube.shape[2:])}"
        raise InputError("the score does not fit the cube", where="score", expected=expected, got=got)
    if cube.dtype.kind != "f" and missing is None:
        raise MetadataError(
            "nothing says how a missing result is written", where="nodata", expected=f"a number of {cube.dtype}"
        )
