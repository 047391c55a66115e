"""What a product layer is, whatever the format it is stored in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import IntegrityError
from terracube.cubes.grid import YX

# Global numbers (statistics) are sums over these tiles in tile order, so that they do not depend on any block size.
TILE = 256


@dataclass(frozen=True)
class LayerClass:
    """What one number of a layer of classes means."""

    value: int
    name: str
    """Short, without blanks: ``broadleaved_forest``."""
    title: str
    """What a person reads."""
    colour: str
    """``#rrggbb``."""


@dataclass(frozen=True)
class Layer:
    """One output band of a chain, and how it is to be stored and read."""

    name: str
    """Name of the variable and of the file: ``red``, ``emad``, ``count``."""
    title: str
    """What a person reads."""
    dtype: str
    """Type on disk."""
    unit: str
    """UDUNITS; ``1`` where there is none."""
    missing: float | None
    """NaN, a number that stands for it, or ``None`` where every pixel has a value (a count of zero is a value)."""
    resampling: str = "average"
    """How overviews are made; ``nearest`` for counts and classes."""
    role: str = "data"
    """STAC asset role: ``data``, ``uncertainty``, ``validity``."""
    scale: float = 1.0
    offset: float = 0.0
    """What the numbers on disk mean: number * scale + offset, in the unit."""
    classes: tuple[LayerClass, ...] = ()
    """What the numbers mean where they are classes."""
    step: tuple[str, str] | None = None
    """The variable along time that it is one date of, and that date as ISO 8601; in Zarr it lies there."""
    centred: bool = False
    """Whether zero is the middle of what is shown: colours go apart from it."""

    @property
    def flags(self) -> dict[str, Any]:
        """The classes as CF attributes, with the colours that our plots take; empty where there are none."""
        if not self.classes:
            return {}
        return {
            "flag_values": [told.value for told in self.classes],
            "flag_meanings": " ".join(told.name for told in self.classes),
            "flag_colors": " ".join(told.colour for told in self.classes),
        }

    def encode(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Turn rows into the layer's type, NaN into the number that stands for missing.

        Raises
        ------
        IntegrityError
            If a value would change: it does not fit the type, or is missing where nothing may be.
        """
        kept = rows
        if rows.dtype.kind == "f" and self.missing is not None and not math.isnan(self.missing):
            kept = np.where(np.isnan(rows), rows.dtype.type(self.missing), rows)
        if kept.dtype == self.dtype:
            return kept
        with np.errstate(invalid="ignore", over="ignore"):  # judged below, not by a warning
            encoded = kept.astype(self.dtype)
        same = np.array_equal(encoded, kept, equal_nan=kept.dtype.kind == "f" and encoded.dtype.kind == "f")
        if not same:
            raise IntegrityError(
                "values do not fit the type of their layer", where=self.name, expected=self.dtype, got=_span(rows)
            )
        return encoded


def _span(rows: NDArray[Any]) -> str:
    gaps = int(np.isnan(rows).sum()) if rows.dtype.kind == "f" else 0
    seen = rows[np.isfinite(rows)]
    return f"{seen.min()} to {seen.max()}, {gaps} missing" if seen.size else f"{gaps} missing"


class RowReader(Protocol):
    """Where finished rows of a layer come from."""

    @property
    def shape(self) -> YX:
        """Rows and columns of every layer."""

    def rows(self, layer: int, start: int, stop: int) -> NDArray[np.float32]:
        """Give rows ``start`` to ``stop`` of a layer."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of the pixels that hold a value; all NaN if none does."""

    minimum: float
    maximum: float
    mean: float
    stddev: float
    count: int
    valid_percent: float

    def as_dict(self) -> dict[str, float]:
        """Give the fields of STAC's ``statistics`` object; empty if no pixel has a value."""
        if self.count == 0:
            return {"valid_percent": 0.0, "count": 0}
        return {key: getattr(self, key) for key in ("minimum", "maximum", "mean", "stddev", "count", "valid_percent")}


class StatisticsSum:
    """Statistics of one layer, gathered tile by tile in row order.

    Mean and squared deviations of the tiles are joined as by Chan, Golub and LeVeque (1983,
    doi:10.1080/00031305.1983.10483115), which stays exact where values are large and vary little.
    """

    def __init__(self, missing: float | None = math.nan) -> None:
        self._missing = missing
        self._count, self._mean, self._squares, self._pixels = 0, 0.0, 0.0, 0
        self._minimum, self._maximum = math.inf, -math.inf

    def add(self, rows: NDArray[Any]) -> None:
        """Add the next rows; all but the last strip have a multiple of 256 rows."""
        for tile in _tiles(rows):
            seen = np.isfinite(tile) if self._missing is None else np.isfinite(tile) & (tile != self._missing)
            self._pixels += tile.size
            if seen.any():
                self._join(tile[seen].astype("float64"))

    def _join(self, values: NDArray[np.float64]) -> None:
        mean, count = float(values.mean()), values.size
        apart, total = mean - self._mean, self._count + count
        self._squares += float(np.square(values - mean).sum()) + apart * apart * self._count * count / total
        self._mean += apart * count / total
        self._count = total
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))

    def result(self) -> Statistics:
        """Give the statistics of all that was added."""
        if not self._count:
            return Statistics(math.nan, math.nan, math.nan, math.nan, 0, 0.0)
        deviation = math.sqrt(self._squares / self._count)
        share = 100.0 * self._count / self._pixels
        return Statistics(self._minimum, self._maximum, self._mean, deviation, self._count, share)


def _tiles(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for y in range(0, rows.shape[0], TILE):
        for x in range(0, rows.shape[1], TILE):
            yield rows[y : y + TILE, x : x + TILE]


def strips(height: int, step: int) -> Iterator[tuple[int, int]]:
    """Give the first row and the row after the last of each strip."""
    for start in range(0, height, step):
        yield start, min(start + step, height)
