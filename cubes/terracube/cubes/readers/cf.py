"""Where the pixels of an array lie: from coordinates, transforms and CRS in attributes (CF, GeoZarr, EOPF)."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from terracube.core.errors import MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.readers.attributes import Attributes, contradiction, crs_of
from terracube.cubes.readers.header import Header

# Pixels by which coordinates may lie off a regular grid, and off a transform.
_TOLERANCE = 1e-3
# Pixels by which the last coordinate may move when a step is taken for a round number.
_ROUND = 1e-6

Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Variable:
    """What an array says of itself, whatever its format."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    tile: tuple[int, int]
    """Height and width of a chunk."""
    attributes: Attributes
    groups: tuple[Attributes, ...]
    """Attributes of the groups that it lies in, its own first."""
    mapping: Attributes | None
    """Attributes of its grid mapping."""
    y: NDArray[np.float64] | None
    x: NDArray[np.float64] | None
    """Coordinates of its last two dimensions."""
    fill: Any = None
    """What its format itself declares as nodata, as it stands there: chunks that were never written of Zarr 2."""

    def get(self, name: str) -> Any:
        """Give an attribute; EOPF products repeat some in a group of their own."""
        eopf = self.attributes.get("_eopf_attrs")
        spare = {"_FillValue": "fill_value"}.get(name, name)
        return self.attributes.get(name, eopf.get(spare) if isinstance(eopf, dict) else None)


def header_of(variable: Variable, *, driver: str, decoder: str, where: str) -> Header:
    """Make the header of an array.

    Raises
    ------
    MetadataError
        If CRS or place are missing or contradictory, or it has more than one dimension beside y and x.
    """
    count = band_count(variable, where)
    grid, flipped = _grid_of(variable, where)
    nodata = _nodata_of(variable, where)
    scale, offset = (_number(variable.get(name), name, where) for name in ("scale_factor", "add_offset"))
    return Header(
        driver=driver,
        grid=grid,
        count=count,
        dtypes=(variable.dtype,) * count,
        nodata=(nodata,) * count,
        overviews=(),
        tile=variable.tile,
        decoder=decoder,
        flipped=flipped,
        scale=(scale,) * count,
        offset=(offset,) * count,
        descriptions=(None,) * count,
    )


def band_count(variable: Variable, where: str) -> int:
    """Give the length of the one dimension beside y and x that is longer than 1.

    Raises
    ------
    MetadataError
        If there are more of them, or fewer than two dimensions in all.
    """
    leading = [f"{name}: {size}" for name, size in zip(variable.dims, variable.shape[:-2], strict=False) if size != 1]
    if len(variable.shape) < 2 or len(leading) > 1 or 0 in variable.shape:
        raise MetadataError(
            "the array is no raster of bands",
            where=where,
            expected="(y, x), or (band, y, x), and others of length 1",
            got=f"{variable.shape}",
            todo="select what is wanted first",
        )
    return math.prod(variable.shape[:-2])


def _grid_of(variable: Variable, where: str) -> tuple[Grid, bool]:
    crs = crs_of(variable.attributes, variable.groups, variable.mapping, where)
    rows, cols = variable.shape[-2:]
    a, b, c, d, e, f = _transform_of(variable, where)
    flipped = e > 0 and not b and not d
    if flipped:
        e, f = -e, f + e * rows
    try:
        return Grid.from_affine(crs, Affine(a, b, c, d, e, f), (rows, cols)), flipped
    except MetadataError as error:
        told = error
    raise MetadataError(told.what, where=where, expected=told.expected, got=told.got, todo=told.todo)


def _transform_of(variable: Variable, where: str) -> Six:
    """Take the transform from attributes, and see that all of them and the coordinates agree."""
    told = list(_transforms(variable, where))
    rows, cols = variable.shape[-2:]
    steps = _axis(variable.y, rows, "y", where), _axis(variable.x, cols, "x", where)
    if not told:
        (y, dy), (x, dx) = steps
        if dy is None or dx is None:
            raise MetadataError(
                "nothing says where the pixels lie",
                where=where,
                expected=f"coordinates of {' and '.join(variable.dims[-2:])}, or a transform",
                got="none, or a single pixel without its size",
            )
        return dx, 0.0, x - dx / 2, 0.0, dy, y - dy / 2
    name, first = told[0]
    for other, six in told[1:]:
        if _apart(first, six, rows, cols) > _TOLERANCE:
            raise contradiction(where, f"{name} = {first}", f"{other} = {six}")
    _check_axes(name, first, variable, where)
    return first


def _transforms(variable: Variable, where: str) -> Iterator[tuple[str, Six]]:
    attributes, mapping = variable.attributes, variable.mapping or {}
    group = variable.groups[0] if variable.groups else {}
    shaped = list(variable.shape[-2:]) == group.get("spatial:shape")
    source = attributes if "spatial:transform" in attributes else group if shaped else {}
    if "spatial:transform" in source:
        a, b, c, d, e, f = _six(source["spatial:transform"], "spatial:transform", where)
        if attributes.get("spatial:registration", group.get("spatial:registration")) == "node":
            c, f = c - (a + b) / 2, f - (d + e) / 2
        yield "spatial:transform", (a, b, c, d, e, f)
    if "proj:transform" in attributes:
        yield "proj:transform", _six(attributes["proj:transform"], "proj:transform", where)
    if "GeoTransform" in mapping:
        c, a, b, f, d, e = _six(mapping["GeoTransform"], "GeoTransform", where)
        yield "GeoTransform", (a, b, c, d, e, f)


def _six(value: Any, name: str, where: str) -> Six:
    numbers = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        a, b, c, d, e, f = (float(number) for number in list(numbers)[:6])
    except (TypeError, ValueError):
        raise MetadataError("a transform is unreadable", where=where, expected="six numbers", got=f"{name}") from None
    if not all(map(math.isfinite, (a, b, c, d, e, f))) or a * e == b * d:
        raise MetadataError("a transform is no place", where=where, expected="six finite numbers", got=f"{name}")
    return a, b, c, d, e, f


def _apart(one: Six, other: Six, rows: int, cols: int) -> float:
    """Give how far two transforms lie apart at the corners, in pixels of the first."""
    size = max(min(math.hypot(one[0], one[3]), math.hypot(one[1], one[4])), 1e-300)
    first, second = Affine(*one), Affine(*other)
    corners = [(0, 0), (cols, 0), (0, rows), (cols, rows)]
    return max(math.dist(first * corner, second * corner) for corner in corners) / size


def _axis(values: NDArray[np.float64] | None, count: int, name: str, where: str) -> tuple[float, float | None]:
    """Give the first coordinate and the step of an axis; the step is ``None`` for no axis, or a single pixel."""
    if values is None:
        return math.nan, None
    if values.shape != (count,) or not np.isfinite(values).all():
        raise MetadataError(
            f"the coordinates of {name} do not fit",
            where=where,
            expected=f"{count} finite numbers",
            got=f"{values.shape}",
        )
    if count == 1:
        return float(values[0]), None
    step = float(values[-1] - values[0]) / (count - 1)
    off = np.abs(values - (values[0] + np.arange(count) * step)).max()
    if not step or off > _TOLERANCE * abs(step) or (name == "x" and step < 0):
        raise MetadataError(
            f"the coordinates of {name} are not regular",
            where=where,
            expected="equal steps, to a thousandth of a pixel" + ("; to the east" if name == "x" else ""),
            got=f"a step of {step:g}, up to {off:g} off",
            todo="warp it to a regular grid first",
        )
    return float(values[0]), _round_step(step, count)


def _round_step(step: float, count: int) -> float:
    """Give the step with as few digits as the coordinates allow: 0.1 for what was 0.1 before it was added up."""
    for digits in range(1, 16):
        short = float(f"{step:.{digits}g}")
        if abs(short - step) * count <= _ROUND * abs(step):
            return short
    return step


def _check_axes(name: str, six: Six, variable: Variable, where: str) -> None:
    a, b, c, d, e, f = six
    if b or d:
        return
    for axis, values, size, edge in (("y", variable.y, e, f), ("x", variable.x, a, c)):
        if values is None:
            continue
        rows = np.arange(len(values))
        if (
            values.shape != (variable.shape[-2 if axis == "y" else -1],)
            or not (np.abs(values - (edge + (rows + 0.5) * size)) <= _TOLERANCE * abs(size)).all()
        ):
            raise contradiction(where, f"{name} = {six}", f"{axis} from {values[0]:.12g} to {values[-1]:.12g}")


def _nodata_of(variable: Variable, where: str) -> float | None:
    """Take nodata from ``_FillValue`` or ``missing_value``, or from the format itself."""
    told = {name: _fill(variable.get(name), name, variable.dtype, where) for name in ("_FillValue", "missing_value")}
    values = [value for value in told.values() if value is not None]
    if len(values) == 2 and values[0] != values[1] and not all(map(math.isnan, values)):
        raise MetadataError("two numbers mean nodata", where=where, expected="one", got=str(told))
    value = values[0] if values else _number(variable.fill, "fill_value", where)
    if value is not None and not _holds(variable.dtype, value):
        raise MetadataError(
            "no pixel can hold the declared nodata value", where=where, expected=variable.dtype, got=str(value)
        )
    return value


def _fill(value: Any, name: str, dtype: str, where: str) -> float | None:
    if isinstance(value, str) and np.dtype(dtype).kind == "f":
        # xarray packs floats of Zarr v3 as eight bytes in base64.
        try:
            return float(struct.unpack("<d", base64.b64decode(value, validate=True))[0])
        except (binascii.Error, struct.error, ValueError):
            pass
    return _number(value, name, where)


def _number(value: Any, name: str, where: str) -> float | None:
    if value is None:
        return None
    try:
        single = value[0] if isinstance(value, Sequence | np.ndarray) and len(value) == 1 else value
        return float(single)
    except (TypeError, ValueError, IndexError, OverflowError):
        raise MetadataError("an attribute is no number", where=where, expected=name, got=str(value)[:60]) from None


def _holds(dtype: str, value: float) -> bool:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return value.is_integer() and limits.min <= value <= limits.max
