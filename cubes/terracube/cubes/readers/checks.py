"""What may be asked of a raster: its bands, windows inside it, and numbers that its type can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from terracube.core.errors import InputError
from terracube.cubes.readers.header import Header
from terracube.cubes.window import Window


def check_band(header: Header, band: int, *, where: str) -> None:
    """Refuse a band that is not there.

    Raises
    ------
    InputError
        If it is not.
    """
    if not 1 <= band <= header.count:
        raise InputError("no such band", where=where, expected=f"1 to {header.count}", got=str(band))


def check_inside(header: Header, window: Window, level: int, *, where: str) -> None:
    """Refuse a window that is empty, or not inside a level.

    Raises
    ------
    InputError
        If it is.
    """
    height, width = header.level_shape(level)
    if not (0 <= window.row < window.stop[0] <= height and 0 <= window.col < window.stop[1] <= width):
        raise InputError(
            "the window is not inside the raster", where=where, expected=f"{height} x {width}", got=str(window)
        )


def check_missing(missing: float | None, dtype: np.dtype[Any]) -> None:
    """Refuse a number that the raster's type cannot hold, and none.

    Raises
    ------
    InputError
        If it cannot.
    """
    if missing is not None and (dtype.kind in "fc" or (float(missing).is_integer() and _fits(missing, dtype))):
        return
    raise InputError(
        "no number for pixels that cannot be decoded", where="missing", expected=str(dtype), got=str(missing)
    )


def _fits(number: float, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= number <= limits.max)


def as_stored(window: Window, header: Header, level: int = 0) -> Window:
    """Give the rows as the file counts them."""
    height = header.level_shape(level)[0]
    return replace(window, row=height - window.stop[0]) if header.flipped else window
