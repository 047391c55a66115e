"""How far one band lies from another: phase correlation of the gradients in windows spread over the scene.

The normalised cross-power spectrum of two pictures that differ by a shift is a wave whose direction and length tell
the shift; its inverse transform peaks there (Kuglin and Hines, 1975, Proc. IEEE Conf. Cybernetics and Society,
163-165). Gradient magnitudes are compared, so that land which is bright in one band and dark in the other does not
matter. High frequencies, which are noise, are damped by a Gaussian: the peak is then a Gaussian too, and its place
between the pixels follows from the logarithms of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float64]

SIZE = 256
_SMALLEST = 64
_LATTICE = 8
_MOST_WINDOWS = 16
# Of the peak over the deviation of the surface around; pairs of noise of 64 to 256 pixels reach 9.0 (1500 tried).
_SIGNIFICANT = 9.0
# Standard deviation of the damping, cycles per pixel: the peak has one of about 1.1 pixels.
_DAMPING = 0.15
_NEAR = 5
_WIDEST_SPREAD = 2.0


@dataclass(frozen=True)
class Shift:
    """Where the second band lies, as seen from the first."""

    y: float
    """Pixels downwards."""
    x: float
    """Pixels to the right."""
    windows: int
    """Windows on which it was found."""

    @property
    def length(self) -> float:
        """How far, in pixels."""
        return math.hypot(self.y, self.x)


@dataclass(frozen=True)
class Lattice:
    """Windows at fixed places of a grid: the same however the rows arrive."""

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    size: int
    """Pixels along each side."""

    @classmethod
    def over(cls, height: int, width: int, ratio: int = 1) -> Lattice | None:
        """Spread up to 8 x 8 windows over a grid; ``None`` if it is too small for one.

        Parameters
        ----------
        height, width : int
        ratio : int
            Sides and places of the windows are multiples of it.
        """
        size = SIZE
        while size > min(height, width):
            size //= 2
        size = size // ratio * ratio
        if size < _SMALLEST * ratio:
            return None
        return cls(_spread(height // size, size), _spread(width // size, size), size)


def _spread(count: int, size: int) -> tuple[int, ...]:
    chosen = np.unique(np.rint(np.linspace(0, count - 1, min(count, _LATTICE))).astype(int))
    return tuple(int(number) * size for number in chosen)


class Windows:
    """The pixels of one layer in the windows of a lattice, gathered as its rows pass by."""

    def __init__(self, lattice: Lattice, ratio: int, dtype: str) -> None:
        self._size = lattice.size // ratio
        self._rows = [row // ratio for row in lattice.rows]
        self._cols = [col // ratio for col in lattice.cols]
        shape = (len(self._rows), len(self._cols), self._size, self._size)
        self.pixels = np.zeros(shape, dtype)

    def add(self, start: int, values: NDArray[np.generic]) -> None:
        """Keep what lies in windows."""
        for number, row in enumerate(self._rows):
            first, last = max(start, row), min(start + len(values), row + self._size)
            if first >= last:
                continue
            for place, col in enumerate(self._cols):
                part = values[first - start : last - start, col : col + self._size]
                self.pixels[number, place, first - row : last - row] = part

    def each(self) -> NDArray[np.generic]:
        """Give the windows one after another: (window, y, x)."""
        return self.pixels.reshape(-1, self._size, self._size)


def find_shift(pairs: Sequence[tuple[Picture, Picture]]) -> Shift | None:
    """Find the shift on which windows agree.

    Parameters
    ----------
    pairs : sequence of two float64 arrays (y, x) of one shape
        The same window of both bands, NaN where nothing was seen; windows with NaN are not used. Of the others the 16
        with the most gradient energy are.

    Returns
    -------
    Shift or None
        Median over the windows whose peak stands out, in pixels of the arrays; ``None`` where less than a quarter of
        them do, or these disagree by more than two pixels.
    """
    edges = [(_edges(first), _edges(second)) for first, second in pairs if np.isfinite(first + second).all()]
    energy = np.array([first.var() * second.var() for first, second in edges])
    order = np.argsort(-energy, kind="stable")[:_MOST_WINDOWS]
    tried = [edges[number] for number in order if energy[number] > 0]
    found = np.array([shift for first, second in tried if (shift := _shift(first, second)) is not None])
    if not len(found) or 4 * len(found) < len(tried):
        return None
    middle = np.median(found, axis=0)
    spread = float(np.median(np.hypot(*(found - middle).T)))
    return None if spread > _WIDEST_SPREAD else Shift(float(middle[0]), float(middle[1]), len(found))


def coarser(picture: Picture, ratio: int) -> Picture:
    """Average squares of pixels; NaN where one of them is.

    Examples
    --------
    >>> coarser(np.arange(16.0).reshape(4, 4), 2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    height, width = (side // ratio for side in picture.shape)
    averaged: Picture = picture.reshape(height, ratio, width, ratio).mean(axis=(1, 3))
    return averaged


def _edges(picture: Picture) -> Picture:
    """Give the magnitude of the gradient by central differences, one pixel narrower on each side."""
    down = picture[2:, 1:-1] - picture[:-2, 1:-1]
    right = picture[1:-1, 2:] - picture[1:-1, :-2]
    return np.hypot(down, right)


def _shift(first: Picture, second: Picture) -> tuple[float, float] | None:
    """Find the shift of a window; ``None`` if no peak stands out."""
    size = len(first)
    taper = np.hanning(size)
    window = taper[:, None] * taper
    one, two = (np.fft.rfft2((edges - edges.mean()) * window) for edges in (first, second))
    cross = two * np.conj(one)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    damped = cross / np.maximum(np.abs(cross), np.finfo("float64").tiny) * np.exp(-0.5 * (frequency / _DAMPING) ** 2)
    surface = np.fft.fftshift(np.fft.irfft2(damped, s=first.shape))
    centre, reach = size // 2, size // 8
    near = surface[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]
    row, col = (int(index) for index in np.unravel_index(np.argmax(near), near.shape))
    if not (0 < row < 2 * reach and 0 < col < 2 * reach) or not _stands_out(surface, centre - reach, row, col):
        return None
    peak = near[row - 1 : row + 2, col - 1 : col + 2]
    return row - reach + _between(peak[:, 1]), col - reach + _between(peak[1])


def _stands_out(surface: Picture, corner: int, row: int, col: int) -> bool:
    top, left = corner + row, corner + col
    rest = surface.copy()
    rest[max(0, top - _NEAR) : top + _NEAR + 1, max(0, left - _NEAR) : left + _NEAR + 1] = 0
    return bool(surface[top, left] > _SIGNIFICANT * rest.std())


def _between(three: Picture) -> float:
    """Give where a Gaussian through three numbers has its top, as seen from the middle one."""
    if three.min() <= 0:
        return 0.0
    before, at, after = np.log(three)
    return float(0.5 * (before - after) / (before - 2 * at + after))
