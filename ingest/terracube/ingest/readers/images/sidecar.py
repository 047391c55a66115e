"""What a user tells of a raster that does not tell it itself: a small YAML or JSON file beside it, of the same name.

# ortho_2021.yaml, beside ortho_2021.tif
datetime: 2021-07-14T10:32:00Z     # or start_datetime and end_datetime
licence: CC-BY-4.0                 # SPDX, or "proprietary" or "other" with licence_url
access: open                       # open, registered, licensed:<who may use it>
platform: aerial
nodata: 0                          # or "none", where every pixel has a value
bands:
  - {role: red}
  - {role: green}
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from terracube.core.errors import MetadataError
from terracube.cubes.items.headers import settle_nodata
from terracube.ingest.scene import utc
from terracube.ingest.sources import Source
from terracube.ingest.text import read_mapping

_SUFFIXES = (".yaml", ".yml", ".json")
_MAX_BYTES = 1 << 16
_ACCESS = re.compile(r"open|registered|licensed:[A-Za-z0-9._-]{1,60}")

Moment = tuple[dt.datetime, tuple[dt.datetime, dt.datetime] | None]
"""When something was acquired, and from when to when."""
Text = Annotated[str, Field(min_length=1, max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Angle = Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BandTold(_Told):
    """What is told of one band."""

    role: Text
    title: str = ""
    unit: str = ""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    offset: Number | None = None
    center_wavelength: Annotated[float, Field(gt=0, lt=1000)] | None = None
    """Micrometres."""


class Sidecar(_Told):
    """What is told of a raster."""

    datetime: Text | None = None
    start_datetime: Text | None = None
    end_datetime: Text | None = None
    id: Text | None = None
    licence: Text | None = Field(default=None, validation_alias=AliasChoices("licence", "license"))
    licence_url: str = ""
    attribution: str = ""
    access: Text | None = None
    doi: str = ""
    platform: Text | None = None
    instruments: tuple[Text, ...] = ()
    gsd: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    """Metres."""
    nodata: str | Number | None = None
    """A number, ``nan``, or ``none`` where every pixel has a value."""
    bands: tuple[BandTold, ...] = ()
    incidence_angle: Angle | None = None
    azimuth: Angle | None = None
    sun_elevation: Angle | None = None
    sun_azimuth: Angle | None = None
    vertical_datum: Text | None = None
    """Of heights: code of a vertical CRS; of a geographic one of three dimensions for heights above the ellipsoid."""
    unit: Text | None = None
    """Of heights: ``m``, ``ft`` or ``us-ft``."""

    @field_validator("access")
    @classmethod
    def _known_access(cls, value: str | None) -> str | None:
        if value is not None and not _ACCESS.fullmatch(value):
            raise ValueError("open, registered or licensed:<who may use it>")
        return value

    @field_validator("nodata")
    @classmethod
    def _number(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, str) and value.lower() != "none":
            return float(value)
        return value

    @property
    def properties(self) -> dict[str, Any]:
        """STAC properties of what was told."""
        told = {
            "platform": self.platform,
            "instruments": list(self.instruments) or None,
            "gsd": self.gsd,
            "license": self.licence,
            "view:incidence_angle": self.incidence_angle,
            "view:azimuth": self.azimuth,
            "view:sun_elevation": self.sun_elevation,
            "view:sun_azimuth": self.sun_azimuth,
        }
        return {key: value for key, value in told.items() if value is not None}

    def missing(self) -> tuple[bool, float | None]:
        """Give whether the number for missing is told, and the number; ``None``: every pixel has a value."""
        return self.nodata is not None, None if isinstance(self.nodata, str | None) else float(self.nodata)

    def moment(self, where: str) -> Moment | None:
        """Give the time of acquisition and its interval; ``None`` where none is told.

        Raises
        ------
        MetadataError
            If a time has no zone, or ends before it begins.
        """
        ends = [one for one in (self.start_datetime, self.end_datetime) if one is not None]
        if len(ends) == 1:
            raise MetadataError("an interval needs both ends", where=where, expected="start_datetime and end_datetime")
        if not ends:
            return None if self.datetime is None else (utc(self.datetime, where=f"{where}, datetime"), None)
        start, end = (utc(one, where=f"{where}, interval") for one in ends)
        if end < start:
            raise MetadataError("the interval ends before it begins", where=where, got=f"{start} to {end}")
        return (start if self.datetime is None else utc(self.datetime, where=where)), (start, end)


def licensed(source: Source, told: Sidecar) -> Source:
    """Give a source as one delivery is licensed."""
    return replace(
        source,
        licence=told.licence or source.licence,
        licence_url=told.licence_url or source.licence_url,
        attribution=told.attribution or source.attribution,
        access=told.access or source.access,
        doi=told.doi or source.doi,
    )


def missing_number(header: float | None, told: tuple[bool, float | None], *, dtype: str, where: str) -> float | None:
    """Give the number that means missing, on which raster and side-car agree; ``None``: every pixel has a value.

    Parameters
    ----------
    header : float or None
        What the raster declares.
    told : (bool, float or None)
        Whether anything else tells it, and the number.
    dtype, where : str

    Raises
    ------
    MetadataError
        If neither tells it, or they disagree.
    """
    given, value = told
    if header is None and not given:
        raise MetadataError(
            "nothing tells which number means missing",
            where=f"{where}, nodata",
            expected="a number, or none where every pixel has a value",
            got="nothing in raster and side-car",
            todo="write a side-car, a YAML file of the same name, with nodata",
        )
    if given and value is None and header is not None:
        raise MetadataError(
            "raster and side-car disagree on the number for missing", where=where, expected=f"{header:g}", got="none"
        )
    return settle_nodata(header, value, given=False, dtype=dtype, where=where)


def sidecar_of(path: Path) -> Path | None:
    """Give the file beside a raster that tells of it; ``None`` where there is none.

    Raises
    ------
    MetadataError
        If there are several.
    """
    names = [path.with_suffix(suffix) for suffix in _SUFFIXES] + [Path(f"{path}{suffix}") for suffix in _SUFFIXES]
    there = [one for one in names if one.is_file() and one != path]
    if len(there) > 1:
        raise MetadataError(
            "several files tell of one raster", where=str(path), expected="one", got=", ".join(p.name for p in there)
        )
    return there[0] if there else None


def read_sidecar(path: Path) -> Sidecar:
    """Read what a user tells of a raster.

    Raises
    ------
    MetadataError
        Naming the field that is missing or wrong.
    HostileInputError
        If it is too large or too deep, or holds references.
    """
    told = read_mapping(path, limit=_MAX_BYTES, expected="datetime: ..., licence: ...")
    try:
        return Sidecar.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise MetadataError(
            "a field is missing or wrong",
            where=f"{path}, {field[:80]}",
            expected=str(first["msg"])[:120],
            got=repr(first.get("input"))[:80],
            todo=f"fields that can be told: {', '.join(Sidecar.model_fields)}",
        ) from error
