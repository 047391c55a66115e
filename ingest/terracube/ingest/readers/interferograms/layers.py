"""Layers of interferograms as rasters: phases in the one sign, vectors to the satellite, labels as whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.core.sensors import Radiometry
from terracube.cubes.grid import Grid
from terracube.ingest.pixels import BinaryPixels, MadePixels, Pixels
from terracube.ingest.rasters import head
from terracube.ingest.readers.interferograms.places import inside
from terracube.ingest.scene import Raster
from terracube.ingest.sources import Source

LOS = ("los_east", "los_north", "los_up")
Rows = NDArray[Any]
_SLACK = 1e-3
_LABELS = 65535
DEGREES = Radiometry(180 / math.pi, 0.0, "delivered in radians")


@dataclass(frozen=True)
class Layer:
    """A band of a delivered file, of which the header is known."""

    pixels: Pixels
    grid: Grid
    dtype: str
    nodata: float | None
    files: tuple[Path, ...]

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.files[0])


def tiff(path: Path, source: Source, *, band: int = 1, most: int = 1) -> Layer:
    """Read the header of a GeoTIFF.

    Parameters
    ----------
    band : int
        From 1.
    most : int
        Bands that the file may have.

    Raises
    ------
    AssetError, MetadataError, HostileInputError
    """
    found = head(inside(path), largest=source.largest_side, where=str(path))
    if not band <= found.count <= most:
        raise AssetError(
            "the file has another number of bands",
            where=str(path),
            expected=f"{band}" if band == most else f"{band} to {most}",
            got=str(found.count),
        )
    return Layer(found.pixels(band), found.grid, _number(found.dtypes[band - 1], path), found.nodata[band - 1], (path,))


def _number(dtype: str, path: Path) -> str:
    if dtype.startswith("complex"):
        raise AssetError("the band holds complex numbers", where=str(path), expected="real numbers", got=dtype)
    return dtype


def binary(
    path: Path, source: Source, dtype: str, grid: Grid, *, header: Path, offset: int = 0, row_bytes: int = 0
) -> Layer:
    """Describe a layer of a plain binary file, whose size must be what its header says.

    Parameters
    ----------
    dtype : str
        With byte order.
    header : Path
        The file that told the grid.
    offset, row_bytes
        As :class:`terracube.ingest.pixels.BinaryPixels`.

    Raises
    ------
    AssetError, HostileInputError
    """
    rows, cols = grid.shape
    if max(rows, cols) > source.largest_side:
        raise HostileInputError(
            "the header claims more pixels than an interferogram has",
            where=str(header),
            expected=f"at most {source.largest_side} along each side",
            got=f"{rows} x {cols}",
        )
    pixels = BinaryPixels(inside(path), dtype, (rows, cols), offset, row_bytes).check()
    return Layer(pixels, grid, np.dtype(dtype).newbyteorder("=").name, None, (path, header))


def same_grid(one: Layer, other: Layer) -> None:
    """Refuse layers that should lie on each other and do not.

    Raises
    ------
    MetadataError
    """
    apart = max(abs(a - b) for a, b in zip(one.grid.bounds, other.grid.bounds, strict=True))
    alike = one.grid.shape == other.grid.shape and one.grid.crs == other.grid.crs
    if alike and apart <= _SLACK * one.grid.resolution.x:
        return
    raise MetadataError(
        "two layers of one pair do not lie on the same pixels",
        where=other.where,
        expected=f"{one.grid.shape} at {tuple(one.grid.bounds)}",
        got=f"{other.grid.shape} at {tuple(other.grid.bounds)}",
    )


@dataclass(frozen=True)
class PhasePixels:
    """Phases in radians, NaN where there is none."""

    source: Pixels
    factor: float = 1.0
    """From the delivered numbers to radians in our sign."""
    missing: float | None = None
    """The number that means that nothing was unwrapped; NaN always does."""
    coherence: Pixels | None = None
    """Where given, ``missing`` is a phase wherever the coherence is above zero."""
    kept_at: tuple[int, int] | None = None
    """Row and column of a pixel at which ``missing`` is a phase: the reference point, where a producer sets it to 0."""
    kept: None = None

    @property
    def step(self) -> int:
        """As many rows as the file likes to be asked."""
        return self.source.step

    def rows(self, start: int, stop: int) -> Rows:
        """Give rows ``start`` to ``stop``; see :class:`terracube.ingest.pixels.Pixels`."""
        values = self.source.rows(start, stop)
        bad = ~np.isfinite(values)
        if self.missing is not None:
            gone = values == self.missing
            if self.coherence is not None:
                gone &= ~(self.coherence.rows(start, stop) > 0)
            if self.kept_at is not None and start <= self.kept_at[0] < stop:
                gone[self.kept_at[0] - start, self.kept_at[1]] = False
            bad |= gone
        # Only the sign changes in most products: then no digit of a float32 does.
        exact = abs(self.factor) == 1 and values.dtype == np.float32
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for a phase is no phase
            out: Rows = np.multiply(values, self.factor, dtype="float32" if exact else "float64").astype(
                "float32", copy=False
            )
        out[bad | np.isinf(out)] = np.nan
        return out


def raster(key: str, layer: Layer, source: Source, **told: Any) -> Raster:
    """Make the raster of a layer as it was delivered."""
    band = source.bands[key]
    return Raster(
        key=key,
        band=band,
        pixels=layer.pixels,
        grid=layer.grid,
        dtype=layer.dtype,
        nodata=layer.nodata,
        files=layer.files,
        resampling="nearest" if key == "wrapped_phase" else "",
        **told,
    )


def _made(
    key: str, layers: Sequence[Layer], pixels: Pixels, source: Source, dtype: str, nodata: float | None
) -> Raster:
    files = tuple(dict.fromkeys(path for layer in layers for path in layer.files))
    return raster(key, Layer(pixels, layers[0].grid, dtype, nodata, files), source)


def phase(
    layer: Layer,
    source: Source,
    *,
    key: str = "unwrapped_phase",
    factor: float = 1.0,
    missing: float | None = 0.0,
    coherence: Layer | None = None,
    kept_at: tuple[int, int] | None = None,
) -> Raster:
    """Make the raster of a phase: float32 radians, NaN where there is none; parameters as :class:`PhasePixels`.

    Raises
    ------
    AssetError
        If the layer does not hold floats.
    MetadataError
        If the coherence does not lie on the same pixels.
    """
    if np.dtype(layer.dtype).kind != "f":
        raise AssetError("a phase is no whole number", where=layer.where, expected="floats", got=layer.dtype)
    layers = [layer]
    if coherence is not None:
        same_grid(layer, coherence)
        layers.append(coherence)
    pixels = PhasePixels(layer.pixels, factor, missing, coherence.pixels if coherence else None, kept_at)
    return _made(key, layers, pixels, source, "float32", math.nan)


def coherence(layer: Layer, source: Source, *, zero_missing: bool = True) -> Raster:
    """Make the raster of a coherence: floats from 0 to 1, or bytes from 0 to 255, as delivered.

    Raises
    ------
    AssetError
        If it holds neither.
    """
    if zero_missing and layer.nodata is None:
        layer = replace(layer, nodata=0.0)
    if layer.dtype == "uint8":
        return raster("coherence", layer, source, radiometry=Radiometry(1 / 255, 0.0, "delivered as 0 to 255"))
    if np.dtype(layer.dtype).kind != "f":
        raise AssetError("this is no coherence", where=layer.where, expected="floats or bytes", got=layer.dtype)
    return raster("coherence", layer, source)


def labels(layer: Layer, source: Source, *, key: str = "connected_components") -> Raster:
    """Make the raster of labels; floats that hold whole numbers become whole numbers of two bytes."""
    if np.dtype(layer.dtype).kind != "f":
        return raster(key, layer, source)
    pixels = MadePixels((layer.pixels,), partial(_whole, where=layer.where))
    nodata = 0.0 if layer.nodata is None or math.isnan(layer.nodata) else layer.nodata
    return _made(key, [layer], pixels, source, "uint16", nodata)


def _whole(values: Rows, *, where: str) -> Rows:
    found = np.nan_to_num(values, nan=0.0, posinf=-1.0, neginf=-1.0)
    if ((found < 0) | (found > _LABELS) | (found != np.rint(found))).any():
        raise AssetError("a label is no whole number", where=where, expected=f"0 to {_LABELS}")
    return found.astype("uint16")


def los_of_angles(one: Layer, other: Layer, source: Source, *, convention: str = "gamma") -> list[Raster]:
    """Make the unit vector of two angles; a pixel where both are zero, or one is nodata, has none.

    Parameters
    ----------
    one, other : Layer
        ``gamma`` (also HyP3), in radians: the elevation, counted from the horizontal and positive upwards, and the
        orientation, counted from east towards north. ``isce``, in degrees: the incidence, counted from the vertical,
        and the azimuth of the vector from the ground to the satellite, counted anticlockwise from north.
    convention : "gamma" or "isce"

    Raises
    ------
    MetadataError
        If the two do not lie on the same pixels.
    """
    same_grid(one, other)
    numbers = (one.nodata, other.nodata)
    return [
        _made_float(
            key, [one, other], partial(_of_angles, component=number, convention=convention, nodata=numbers), source
        )
        for number, key in enumerate(LOS)
    ]


def _towards(first: Rows, second: Rows, component: int, convention: str) -> Rows:
    """Give east (0), north (1) or up (2) of the vector to the satellite, which is above the ground."""
    if convention == "isce":
        off, turn = np.radians(first), np.radians(second)
        up, flat = np.cos(off), np.sin(off)
        along = (lambda: -np.sin(turn), lambda: np.cos(turn))
    else:
        up, flat = np.sin(first), np.cos(first)
        along = (lambda: np.cos(second), lambda: np.sin(second))
    found: Rows = np.abs(up) if component == 2 else flat * along[component]() * np.sign(up)
    return found


def _of_angles(
    one: Rows, other: Rows, *, component: int, convention: str, nodata: tuple[float | None, float | None]
) -> Rows:
    bad = _is(one, nodata[0]) | _is(other, nodata[1]) | ((one == 0) & (other == 0))
    found = _towards(one.astype("float64"), other.astype("float64"), component, convention)
    return np.where(bad, np.nan, found).astype("float32")


def los_of_vector(east: Layer, north: Layer, up: Layer, source: Source) -> list[Raster]:
    """Make the unit vector of its components, whichever way it points: a satellite is above the ground.

    Raises
    ------
    MetadataError
        If the components do not lie on the same pixels.
    """
    for other in (north, up):
        same_grid(east, other)
    return [
        _made_float(key, [layer, up], partial(_upward, nodata=(layer.nodata, up.nodata)), source)
        for key, layer in zip(LOS, (east, north, up), strict=True)
    ]


def _upward(values: Rows, up: Rows, *, nodata: tuple[float | None, float | None]) -> Rows:
    bad = _is(values, nodata[0]) | _is(up, nodata[1]) | (up == 0)
    return np.where(bad, np.nan, values * np.sign(up)).astype("float32")


def _is(values: Rows, nodata: float | None) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ~np.isfinite(values)
    return found if nodata is None or math.isnan(nodata) else found | (values == nodata)


def _made_float(key: str, layers: list[Layer], function: Callable[..., Rows], source: Source) -> Raster:
    pixels = MadePixels(tuple(layer.pixels for layer in layers), function)
    return _made(key, layers, pixels, source, "float32", math.nan)


def in_radians(layer: Layer) -> bool:
    """Tell by three of its rows whether a layer of angles can be in radians: none is beyond half a turn."""
    height = layer.grid.shape.y
    for row in sorted({0, height // 2, height - 1}):
        values = layer.pixels.rows(row, row + 1)
        seen = values[np.isfinite(values)]
        if seen.size and np.abs(seen).max() > math.pi + _SLACK:
            return False
    return True
