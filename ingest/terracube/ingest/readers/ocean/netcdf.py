"""NetCDF files of a delivery: what their variables say, and rows of them, bounded before anything is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location, open_bytes
from terracube.cubes.readers import netcdf
from terracube.cubes.readers.cf import Variable

_MAX_VARIABLES = 4096
_MAX_TEXT = 1 << 20
# What the library raises for bytes that are not what they should be.
_BROKEN = (
    *(RuntimeError, OSError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError, MemoryError),
    SystemError,
)
_ROWS = 512
_RELATIVE_LOG = re.compile(r"lg\(\s*re\s+(?P<unit>[^)]*)\)")


@dataclass(frozen=True)
class Stored:
    """A raster in a NetCDF file, as it is stored: (y, x), or one position of others before them."""

    path: Path
    name: str
    shape: tuple[int, int]
    dtype: str
    tile: int
    """Rows of a chunk."""
    attributes: Mapping[str, Any] = field(repr=False)
    position: tuple[int, ...] = ()
    """Indices along the dimensions before y and x."""

    @property
    def where(self) -> str:
        """What to call it in messages."""
        return f"{self.path}, {self.name}"

    @property
    def step(self) -> int:
        """Rows that are best read at once, so that no chunk is decoded twice."""
        return self.tile * max(1, _ROWS // self.tile)

    @property
    def fill(self) -> float | None:
        """The number that means missing, as the file declares it."""
        told = [self.number(name) for name in ("_FillValue", "missing_value")]
        return next((value for value in told if value is not None), None)

    @property
    def missing(self) -> float:
        """The number that a pixel holds where there is no sample: as declared; NaN for floats without one.

        Raises
        ------
        MetadataError
            If whole numbers have none: it is never guessed.
        """
        fill = self.fill
        if fill is None and np.dtype(self.dtype).kind != "f":
            raise MetadataError(
                "the file does not say which number means missing",
                where=self.where,
                expected="_FillValue",
                got="nothing",
                todo="ask the producer; it is never guessed",
            )
        return float("nan") if fill is None else fill

    @property
    def scaling(self) -> tuple[float, float]:
        """Scale and offset: value = number * scale + offset."""
        scale, offset = self.number("scale_factor"), self.number("add_offset")
        found = 1.0 if scale is None else scale, offset or 0.0
        if not (np.isfinite(found).all() and found[0]):
            raise MetadataError("scale or offset are no usable numbers", where=self.where, got=str(found))
        return found

    @property
    def unit(self) -> str | None:
        """Unit as the file writes it; ``None`` where it is silent."""
        return self.text("units") or None

    def number(self, name: str) -> float | None:
        """Give an attribute that must be one number.

        Raises
        ------
        MetadataError
            If it is there and is none.
        """
        value = self.attributes.get(name)
        if value is None:
            return None
        try:
            return float(np.asarray(value).reshape(()) if np.size(value) == 1 else value)
        except (TypeError, ValueError, OverflowError) as error:
            raise MetadataError(
                "an attribute is no number", where=self.where, expected=name, got=str(value)[:60]
            ) from error

    def text(self, name: str) -> str:
        """Give an attribute as text; empty where there is none."""
        return str(self.attributes.get(name, ""))[:_MAX_TEXT].strip()

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Read rows as they are stored.

        Raises
        ------
        AssetError
            If they cannot be decoded.
        """
        return self._checked(self._read((*self.position, slice(start, stop))), (stop - start, self.shape[1]))

    def whole(self) -> NDArray[Any]:
        """Read all numbers of a short variable, whatever its dimensions."""
        return self._read((...,))

    def _read(self, index: tuple[Any, ...]) -> NDArray[Any]:
        with _opened(self.path) as data:
            told = ""
            try:
                return netcdf.read(data.variables[self.name], index, self.where)
            except TerraCubeError:
                raise
            except _BROKEN as error:
                told = f"{type(error).__name__}: {error}"[:160]
        raise self._damaged(told)

    def _checked(self, found: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
        if found.shape != shape:
            raise self._damaged(f"{found.shape} in place of {shape}")
        return found

    def _damaged(self, told: str) -> AssetError:
        return AssetError(
            "the file is damaged: its pixels cannot be decoded",
            where=self.where,
            expected=f"{self.shape[0]} x {self.shape[1]} numbers of {self.dtype}",
            got=told,
            todo="download it again",
        )

    def values(self, start: int, stop: int) -> NDArray[np.float64]:
        """Read rows as physical values, NaN where the file says that nothing is there."""
        stored = self.rows(start, stop)
        scale, offset = self.scaling
        out = stored.astype("float64") * scale + offset
        if self.fill is not None:
            out[stored == self.fill] = np.nan
        return out


@dataclass(frozen=True)
class RowPixels:
    """Rows of a raster that lies on its grid already; see :class:`terracube.ingest.pixels.Pixels`."""

    stored: Stored
    flipped: bool = False
    """Whether it is stored from south to north."""
    kept: None = None

    @property
    def step(self) -> int:
        """Rows that are best asked at once."""
        return self.stored.step

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``, north-up."""
        if not self.flipped:
            return self.stored.rows(start, stop)
        height = self.stored.shape[0]
        return self.stored.rows(height - stop, height - start)[::-1]


@dataclass(frozen=True)
class Holding:
    """What a file holds."""

    path: Path
    variables: Mapping[str, Variable] = field(repr=False)
    attributes: Mapping[str, Any] = field(repr=False)

    def stored(self, name: str, *, position: tuple[int, ...] = ()) -> Stored:
        """Give a variable of the file as a raster.

        Raises
        ------
        MetadataError
            If it is not there, or has not two dimensions beside ``position``.
        """
        variable = self.variables.get(name)
        if variable is None or len(variable.shape) != 2 + len(position) or 0 in variable.shape:
            raise MetadataError(
                "the file lacks a variable of two dimensions",
                where=str(self.path),
                expected=name,
                got="nothing" if variable is None else str(variable.shape),
                todo="download the product again",
            )
        rows, cols = variable.shape[-2:]
        return Stored(
            self.path, name, (rows, cols), variable.dtype, min(variable.tile[0], rows), variable.attributes, position
        )

    def text(self, name: str) -> str:
        """Give an attribute of the file as text; empty where there is none."""
        return str(self.attributes.get(name, ""))[:_MAX_TEXT].strip()


def look(path: Path, *, largest: int) -> Holding:
    """Read what a NetCDF file says of its numeric variables.

    Parameters
    ----------
    path : Path
    largest : int
        Length of a dimension beyond which the file is not believed.

    Raises
    ------
    AssetError
        If it cannot be opened or its metadata cannot be read.
    HostileInputError
        If it is no NetCDF, or claims absurd sizes.
    """
    with _opened(path) as data:
        told = ""
        try:
            _check_size(data, path, largest)
            attributes = {name: data.getncattr(name) for name in data.ncattrs()}
            variables = {
                name: netcdf.describe(one, f"{path}, {name}")
                for name, one in data.variables.items()
                if isinstance(one.dtype, np.dtype) and one.dtype.kind in "iuf"
            }
        except TerraCubeError:
            raise
        except _BROKEN as error:
            told = f"{type(error).__name__}: {error}"[:160]
    if told:
        raise AssetError("the metadata of the file cannot be read", where=str(path), got=told, todo="download it again")
    return Holding(path, variables, attributes)


def plain_unit(text: str) -> tuple[str, bool]:
    """Give a unit in one spelling, and whether the numbers are its decimal logarithm.

    Examples
    --------
    >>> plain_unit("lg(re mg.m-3)"), plain_unit("g m^-3"), plain_unit("dl")
    (('mg m-3', True), ('g m-3', False), ('1', False))
    """
    found = _RELATIVE_LOG.fullmatch(text.strip())
    # Some products write the letter l for the digit 1.
    unit = (found["unit"] if found else text).replace("m-l", "m-1")
    words = unit.replace("^", "").replace(".", " ").replace("*", " ").split()
    plain = " ".join(words)
    return ("1" if plain in ("", "dl", "dimensionless", "-") else plain), found is not None


def _check_size(data: Any, path: Path, largest: int) -> None:
    sizes = {name: len(dimension) for name, dimension in data.dimensions.items()}
    worst = max(sizes.values(), default=0)
    if worst > largest or len(data.variables) > _MAX_VARIABLES:
        raise HostileInputError(
            "the file claims more than a product of this source holds",
            where=str(path),
            expected=f"dimensions of at most {largest}, at most {_MAX_VARIABLES} variables",
            got=f"{worst}, {len(data.variables)}",
        )


def _opened(path: Path) -> Any:
    """Open a file of this machine; the library is called by one thread at a time."""
    location = Location(str(path.absolute()))
    return netcdf.dataset(location, open_bytes(location))
