"""What is counted of one layer while its rows pass by: whole numbers, so that neither strips nor threads matter."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.core.sensors import MaskRule, clear_of
from terracube.ingest.quality.judge import Span
from terracube.ingest.quality.registration import Windows

_SHARES = (0.02, 0.5, 0.98)
# A limit like -0.1 and a number like 0 * 0.0001 - 0.1 need not agree in the last bit.
_ROUNDING = 1e-9
# Numbers that are counted one by one; wider ones by the first 16 bits of their order.
_TABLE = 1 << 16
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """What is known of a layer before its pixels are."""

    key: str
    shape: tuple[int, int]
    """Rows and columns."""
    dtype: str
    nodata: float | None = None
    """The number that means nothing was seen; infinities and NaN never count as values."""
    scale: float = 1.0
    offset: float = 0.0
    """value = number * scale + offset."""
    plausible: Span | None = None
    """Lowest and highest plausible value; ``None`` = not told."""
    saturated: float | None = None
    """Numbers from this one on are saturated; ``None`` = not told."""
    rules: Mapping[str, MaskRule] = field(default_factory=dict)
    """What a layer of flags tells of its pixels: for each name the rule that keeps those it holds for."""


@dataclass(frozen=True)
class LayerFacts:
    """What was counted of a layer; shares are of 1, and NaN-free: ``None`` = not measured."""

    valid_fraction: float | None
    """Pixels that hold a value, of all."""
    saturated_fraction: float | None = None
    """Saturated pixels, of those that hold a value."""
    out_of_range_fraction: float | None = None
    """Values out of the plausible range, of all values."""
    percentiles: tuple[float, float, float] | None = None
    """Values below which 2, 50 and 98 % of the values lie; for types wider than 16 bits to within 1 %."""
    shares: Mapping[str, float | None] = field(default_factory=dict)
    """By name of the rule: pixels for which it holds, of those that were seen (see :func:`holds`)."""


class BandQuality:
    """Counts the pixels of one layer; several threads may add rows of it."""

    def __init__(self, layer: Layer, windows: Windows | None = None) -> None:
        kind = np.dtype(layer.dtype)
        self.layer = layer
        self.windows = windows
        self._lock = threading.Lock()
        self._rows = 0
        self._counts: _Table | _Wide = (
            _Table(layer, kind) if kind.kind in "uib" and kind.itemsize <= 2 else _Wide(layer)
        )

    def add(self, start: int, rows: NDArray[Any]) -> None:
        """Count rows, each of which is added once.

        Parameters
        ----------
        start : int
            Number of the first row.
        rows : array (row, column)
            Numbers as they are stored, of the layer's type.

        Raises
        ------
        InputError
            If they are not rows of the layer.
        """
        height, width = self.layer.shape
        if rows.ndim != 2 or rows.shape[1] != width or not 0 <= start <= start + len(rows) <= height:
            raise InputError(
                "these are no rows of the layer",
                where=self.layer.key,
                expected=f"rows of {width} pixels within {height}",
                got=f"{' x '.join(map(str, rows.shape))} from row {start}",
            )
        numbers = rows.astype(self.layer.dtype, copy=False)
        with self._lock:
            self._rows += len(rows)
            self._counts.add(numbers)
            if self.windows is not None:
                self.windows.add(start, numbers)

    @property
    def whole(self) -> bool:
        """Whether as many rows were added as the layer has."""
        return self._rows == self.layer.shape[0] > 0

    def facts(self) -> LayerFacts:
        """Give what was counted; nothing is measured of a layer of which rows are missing."""
        return self._counts.facts(math.prod(self.layer.shape)) if self.whole else LayerFacts(None)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def seen_in(layer: Layer, numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which numbers stand for a value.

    Examples
    --------
    >>> seen_in(Layer("a", (1, 3), "uint8", nodata=0), np.array([0, 1, 255], "uint8"))
    array([False,  True,  True])
    """
    seen = np.isfinite(numbers)
    if layer.nodata is not None and not math.isnan(layer.nodata):
        seen &= numbers != layer.nodata
    return seen


def holds(rule: MaskRule, numbers: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell for which numbers of a layer of flags a rule holds, and of which it can be asked.

    A pixel with one of the bits that a rule leaves out, such as that of fill, was not seen.

    Examples
    --------
    >>> held, asked = holds(MaskRule("qa", bits=0b1, any_bits=0b1000), np.array([1, 0, 8, 9]))
    >>> held.tolist(), asked.tolist()
    ([False, False, True, False], [False, True, True, False])
    """
    held = clear_of(rule, numbers)
    asked = np.ones(numbers.shape, "bool") if rule.bits is None else clear_of(replace(rule, any_bits=0), numbers)
    return held, asked


def _outside(layer: Layer, numbers: NDArray[Any]) -> NDArray[np.bool_]:
    low, high = layer.plausible or (-math.inf, math.inf)
    slack = _ROUNDING * max(1.0, *(abs(edge) for edge in (low, high) if math.isfinite(edge)))
    values = numbers.astype("float64") * layer.scale + layer.offset
    return (values < low - slack) | (values > high + slack)


class _Table:
    """How often each number of a narrow integer type occurs, from which all else follows."""

    def __init__(self, layer: Layer, kind: np.dtype[Any]) -> None:
        self._layer = layer
        limits = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        self._lowest = int(limits[0])
        self._unsigned = f"u{kind.itemsize}"
        self._size = 1 << (8 * kind.itemsize)
        self._found = np.zeros(self._size, "int64")

    def add(self, numbers: NDArray[Any]) -> None:
        flat = np.ascontiguousarray(numbers).reshape(-1).view(self._unsigned)
        self._found += np.bincount(flat, minlength=self._size)

    def facts(self, pixels: int) -> LayerFacts:
        layer = self._layer
        # Negative numbers were counted by their two's complement: the upper half comes first.
        counts = np.roll(self._found, self._size // 2) if self._lowest < 0 else self._found
        numbers = np.arange(self._size, dtype="int64") + self._lowest
        counts = np.where(seen_in(layer, numbers), counts, 0)
        seen = int(counts.sum())
        saturated = None if layer.saturated is None else int(counts[numbers >= layer.saturated].sum())
        outside = None if layer.plausible is None else int(counts[_outside(layer, numbers)].sum())
        parts = {name: holds(rule, numbers) for name, rule in layer.rules.items()}
        return LayerFacts(
            _share(seen, pixels),
            None if saturated is None else _share(saturated, seen),
            None if outside is None else _share(outside, seen),
            _percentiles(counts, numbers.astype("float64"), layer),
            {name: _share(int(counts[held].sum()), int(counts[of].sum())) for name, (held, of) in parts.items()},
        )


class _Wide:
    """Counts of a type of which not every number can be counted."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._seen = self._saturated = self._outside = 0
        self._held, self._asked = dict.fromkeys(layer.rules, 0), dict.fromkeys(layer.rules, 0)
        self._found = np.zeros(_TABLE, "int64")

    def add(self, numbers: NDArray[Any]) -> None:
        flat = numbers.reshape(-1)
        for start in range(0, flat.size, _CHUNK):  # the arrays made on the way stay small
            self._add(flat[start : start + _CHUNK])

    def _add(self, numbers: NDArray[Any]) -> None:
        layer = self._layer
        there = numbers[seen_in(layer, numbers)]
        self._seen += there.size
        if there.dtype.kind == "c":
            return
        if layer.saturated is not None:
            self._saturated += int(np.count_nonzero(there >= layer.saturated))
        if layer.plausible is not None:
            self._outside += int(np.count_nonzero(_outside(layer, there)))
        for name, rule in layer.rules.items():
            held, asked = holds(rule, there)
            self._held[name] += int(np.count_nonzero(held))
            self._asked[name] += int(np.count_nonzero(asked))
        self._found += np.bincount(_order(there), minlength=_TABLE)

    def facts(self, pixels: int) -> LayerFacts:
        layer, seen = self._layer, self._seen
        return LayerFacts(
            _share(seen, pixels),
            None if layer.saturated is None else _share(self._saturated, seen),
            None if layer.plausible is None else _share(self._outside, seen),
            _percentiles(self._found, _middles(), layer),
            {name: _share(held, self._asked[name]) for name, held in self._held.items()},
        )


def _order(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Give 16 bits in the order of the numbers: sign, exponent and seven bits of the fraction of a float32."""
    with np.errstate(over="ignore"):
        bits = (numbers.astype("float32") + np.float32(0.0)).view("uint32")  # + 0: negative zero becomes zero
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> 16).astype("uint16")


def _middles() -> NDArray[np.float64]:
    """Give the number in the middle of those that share 16 bits; see :func:`_order`."""
    ordered = (np.arange(_TABLE, dtype="uint32") << np.uint32(16)) | np.uint32(1 << 15)
    bits = np.where(ordered >> 31, ordered & np.uint32((1 << 31) - 1), ~ordered)
    with np.errstate(invalid="ignore"):
        return bits.astype("uint32").view("float32").astype("float64")


def _percentiles(
    counts: NDArray[np.int64], numbers: NDArray[np.float64], layer: Layer
) -> tuple[float, float, float] | None:
    total = int(counts.sum())
    if not total:
        return None
    places = np.searchsorted(np.cumsum(counts), [max(1, math.ceil(share * total)) for share in _SHARES])
    low, middle, high = (float(numbers[place] * layer.scale + layer.offset) for place in places)
    return low, middle, high
