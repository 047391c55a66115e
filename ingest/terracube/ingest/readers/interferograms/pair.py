"""One interferogram, whoever made it: its dates, geometry and sign, and the item that it becomes.

The convention, the same for every producer:

* ``unwrapped_phase`` is in radians and belongs to the pair (reference, secondary), reference being the earlier date. It
  grows when the distance between satellite and ground grows from the reference to the secondary date, so that
  displacement along the line of sight, positive towards the satellite, is ``-wavelength / (4 pi) * phase``.
* The line of sight is a unit vector from the ground to the satellite: ``los_east``, ``los_north``, ``los_up``, the last
  one positive. Displacement along the line of sight is its scalar product with the displacement (east, north, up).
* What was not unwrapped is NaN; zero is a phase.
* ``perpendicular_baseline`` is that of the secondary orbit against the reference orbit, in metres, with the sign of the
  producer; it changes sign with the order of the dates.

Producers that write a pair with its dates reversed get both dates, the phase and the baseline turned round.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terracube.core.errors import MetadataError
from terracube.cubes.pairs import SIGN
from terracube.ingest.scene import Delivered, Document, Raster, utc
from terracube.ingest.sources import Source

SPEED_OF_LIGHT = 299_792_458.0
"""m/s."""
SENTINEL_1 = SPEED_OF_LIGHT / 5_405_000_454.33435
"""Wavelength of Sentinel-1, m: of the radar frequency that the annotations of its products give."""
DAY, MINUTE, SECOND = "day", "minute", "second"

# IEEE 521 letters of the bands in which civil radars work, GHz.
_BANDS = (("P", 0.23, 1.0), ("L", 1.0, 2.0), ("S", 2.0, 4.0), ("C", 4.0, 8.0), ("X", 8.0, 12.0), ("Ku", 12.0, 18.0))
_SHORTEST, _LONGEST = 0.015, 1.5
_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})\Z")
_SHORT_DAY = re.compile(r"(\d{2})(\d{2})(\d{2})\Z")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z?\Z")
_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def read_date(text: object, *, where: str) -> tuple[datetime, str]:
    """Read a date, or a moment, as the makers of interferograms write it; a time without a zone is UTC.

    Parameters
    ----------
    text
        ``20180106``, ``2018-01-06``, ``180106`` (years from 70 are of the last century: there is no radar in orbit
        before), ``20180106T004021``, or a moment of ISO 8601.
    where : str
        File and field, for messages.

    Returns
    -------
    moment : datetime
        UTC.
    precision : str
        ``day`` where no time is told (it is midnight then), else ``second``.

    Raises
    ------
    MetadataError
        If it is none.

    Examples
    --------
    >>> read_date("060619", where="x")
    (datetime.datetime(2006, 6, 19, 0, 0, tzinfo=datetime.timezone.utc), 'day')
    """
    told = str(text).strip()
    try:
        if compact := _COMPACT.match(told):
            year, month, number, hour, minute, second = map(int, compact.groups())
            return _usual(datetime(year, month, number, hour, minute, second, tzinfo=UTC), where), SECOND
        if day := _DAY.match(told):
            year, month, number = map(int, day.groups())
            return _usual(datetime(year, month, number, tzinfo=UTC), where), DAY
        if short := _SHORT_DAY.match(told):
            year, month, number = map(int, short.groups())
            return datetime(year + (1900 if year >= 70 else 2000), month, number, tzinfo=UTC), DAY
        moment = datetime.fromisoformat(told)
        return _usual(moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC), where), SECOND
    except (ValueError, OverflowError):
        pass
    return utc(text, where=where), SECOND


def _usual(moment: datetime, where: str) -> datetime:
    if _FIRST_YEAR <= moment.year < _LAST_YEAR:
        return moment
    raise MetadataError(
        "no radar flew then", where=where, expected=f"{_FIRST_YEAR} to {_LAST_YEAR}", got=moment.isoformat()
    )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is known of a pair beside its pixels."""

    reference: datetime
    secondary: datetime
    """UTC."""
    wavelength: float
    """m."""
    where: str
    """File, for messages."""
    precision: str = SECOND
    """Of both dates: ``second``, ``minute`` or ``day``."""
    baseline: float | None = None
    """Perpendicular, m; ``None`` = not told."""
    looks: tuple[int | None, int | None] = (None, None)
    """In range and in azimuth."""
    heading: float | None = None
    """Of the flight, degrees clockwise from north."""
    incidence: float | None = None
    """At the centre, degrees from the vertical."""
    orbit: str | None = None
    """``ascending`` or ``descending``."""
    relative_orbit: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further STAC properties: platform, instruments, polarisations."""

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.wavelength <= _LONGEST:
            raise MetadataError(
                "this is no wavelength of a radar",
                where=f"{self.where}, wavelength",
                expected=f"{_SHORTEST} to {_LONGEST} m",
                got=str(self.wavelength),
                todo="give it in metres",
            )
        if self.reference == self.secondary:
            raise MetadataError(
                "both dates of the pair are equal",
                where=self.where,
                expected="two dates",
                got=self.reference.isoformat(),
            )
        numbers = (self.baseline, self.heading, self.incidence)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise MetadataError("a number of the pair is not finite", where=self.where, got=str(numbers))

    @property
    def reversed(self) -> bool:
        """Whether the reference is later than the secondary date."""
        return self.reference > self.secondary

    def ordered(self) -> Pair:
        """Give the pair with the earlier date first; the baseline changes its sign with the order."""
        if not self.reversed:
            return self
        turned = None if self.baseline is None else -self.baseline
        return replace(self, reference=self.secondary, secondary=self.reference, baseline=turned)

    @property
    def name(self) -> str:
        """Both days: ``20180106_20180130``."""
        return f"{self.reference:%Y%m%d}_{self.secondary:%Y%m%d}"

    def properties(self) -> dict[str, Any]:
        """Give the STAC properties of the pair; see the SAR, satellite, view and InSAR extensions."""
        days = (self.secondary - self.reference).total_seconds() / 86400
        told = {
            "insar:reference_datetime": iso(self.reference),
            "insar:secondary_datetime": iso(self.secondary),
            "insar:temporal_baseline": round(days, 6),
            "insar:perpendicular_baseline": self.baseline,
            "terracube:insar": "pair",
            "terracube:pair": self.name,
            "terracube:time_precision": self.precision,
            "terracube:phase_sign": SIGN,
        }
        return {key: value for key, value in (told | self.geometry()).items() if value is not None}

    def geometry(self) -> dict[str, Any]:
        """Give the properties that all pairs of a stack share; ``None`` where nothing is told."""
        gigahertz = SPEED_OF_LIGHT / self.wavelength / 1e9
        heading = None if self.heading is None else (self.heading + 180) % 360 - 180
        orbit = self.orbit or (None if heading is None else "ascending" if abs(heading) < 90 else "descending")
        return {
            "terracube:wavelength": self.wavelength,
            "terracube:heading": heading,
            "sar:center_frequency": round(gigahertz, 9),
            "sar:frequency_band": next((name for name, low, high in _BANDS if low <= gigahertz < high), None),
            "sar:looks_range": self.looks[0],
            "sar:looks_azimuth": self.looks[1],
            "sat:orbit_state": orbit,
            "sat:relative_orbit": self.relative_orbit,
            "view:incidence_angle": self.incidence,
            **self.more,
        }


def iso(moment: datetime) -> str:
    """Write a moment as STAC does."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def pair_item(
    pair: Pair,
    rasters: Sequence[Raster],
    *,
    name: str,
    source: Source,
    path: Path,
    documents: Sequence[Document] = (),
    notes: Sequence[str] = (),
) -> Delivered:
    """Make the delivery of a pair whose dates are in order; its rasters are in the convention already."""
    properties = pair.properties()
    return Delivered(
        id=name,
        source=source,
        path=path,
        acquired=pair.secondary,
        rasters=tuple(rasters),
        properties=properties,
        interval=(pair.reference, pair.secondary),
        documents=tuple(documents),
        facts={"pair": properties},
        notes=tuple(notes),
    )


def geometry_item(
    rasters: Sequence[Raster],
    span: tuple[datetime, datetime],
    *,
    name: str,
    source: Source,
    path: Path,
    properties: Mapping[str, Any] | None = None,
    documents: Sequence[Document] = (),
    notes: Sequence[str] = (),
) -> Delivered:
    """Make the delivery of what all pairs of a stack share: terrain and line of sight.

    Parameters
    ----------
    span : two datetimes
        First and last date of the pairs that it belongs to.
    properties : mapping, optional
        As :meth:`Pair.geometry` gives them.
    """
    told = {key: value for key, value in (properties or {}).items() if value is not None}
    told |= {"terracube:insar": "geometry"}
    return Delivered(
        id=name,
        source=source,
        path=path,
        acquired=span[1],
        rasters=tuple(rasters),
        properties=told,
        interval=span,
        documents=tuple(documents),
        facts={"geometry": told, "span": [iso(moment) for moment in span]},
        notes=tuple(notes),
    )
