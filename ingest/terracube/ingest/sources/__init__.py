"""What can be ingested: one YAML file per source, which names the readers of its forms.

A distribution of its own may add sources: a package of YAML files, named by an entry point of the group
``terracube.sources``, and readers anywhere that can be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import (
    Band,
    Mask,
    Sensor,
    band_from,
    described_in,
    load_sensor,
    plugin_packages,
    read_yaml,
    sensor_from,
)

if TYPE_CHECKING:
    from terracube.ingest.scene import Delivered

_ACCESS = ("open", "registered", "licensed")


@dataclass(frozen=True)
class Form:
    """One way in which a source is delivered, and the module that reads it.

    The module offers ``find(path) -> list[Path]`` (which deliveries of this form lie at or below a file or folder;
    cheap, and silent about all else) and ``read(path, source) -> Delivered`` (headers and metadata alone; raises a
    :class:`terracube.core.errors.TerraCubeError` for what cannot be trusted).
    """

    name: str
    """What a person reads: ``SAFE (folder, zip)``."""
    reader: str
    """Name of the module."""
    verified: str = ""
    """On which real data it was checked; empty = unverified on real data."""
    reference: str = ""
    """The producer's description of the format."""

    @property
    def find(self) -> Callable[[Path], list[Path]]:
        """What looks for deliveries of this form."""
        found: Callable[[Path], list[Path]] = import_module(self.reader).find
        return found

    @property
    def read(self) -> Callable[[Path, Source], Delivered]:
        """What reads one."""
        found: Callable[[Path, Source], Delivered] = import_module(self.reader).read
        return found


@dataclass(frozen=True)
class Source:
    """What is known of a kind of delivery: its bands, masks, licence, forms, and when one is doubtful."""

    name: str
    """Also the id of the collection into which its items go."""
    title: str
    level: str
    """Processing level: ``L2A``, ``L2``, ``InSAR``, ``ortho``."""
    summary: str
    platforms: tuple[str, ...]
    instruments: tuple[str, ...]
    licence: str
    """SPDX expression, or ``proprietary`` or ``other`` with an address in ``licence_url``."""
    licence_url: str
    attribution: str
    access: str
    """``open``, ``registered``, or ``licensed`` (``licensed:<class>`` names who may use it)."""
    doi: str
    """Of the product, where it has one."""
    example: str
    """A command that a user can adapt."""
    forms: tuple[Form, ...]
    bands: Mapping[str, Band]
    """Every layer that may come out, by role name."""
    sensor: Sensor | None = None
    """Its sensor, for sources with a mask layer that says what is clear."""
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    """By measure of quality: from where an item is suspect, or rejected."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only its own readers understand."""

    @property
    def mask(self) -> Mask | None:
        """The layer that says what is clear, if there is one."""
        return self.sensor.mask if self.sensor else None

    @property
    def largest_side(self) -> int:
        """Pixels along each side beyond which a header is not believed."""
        told = self.sensor.largest_side if self.sensor else self.options.get("largest_side", 100_000)
        return int(told)

    @property
    def access_class(self) -> str:
        """The access class without who may use it."""
        return self.access.partition(":")[0]


@cache
def source_names() -> tuple[str, ...]:
    """List the sources that can be ingested."""
    return tuple(sorted(_files()))


@cache
def load_source(name: str) -> Source:
    """Read the description of a source.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    InputError
        If its description lacks something.

    Examples
    --------
    >>> load_source("sentinel-2-l2a").bands["red"].file
    'B04'
    """
    if name not in _files():
        raise NotFoundError(
            "unknown source",
            where="SOURCE",
            expected=", ".join(source_names()),
            got=repr(name)[:200],
            todo="list them with `terracube sources`",
        )
    raw = read_yaml(_files()[name])
    try:
        return _source(raw)
    except (KeyError, TypeError) as error:
        raise InputError("the description of a source lacks something", where=name, got=repr(error)[:200]) from error


@cache
def _files() -> dict[str, Any]:
    packages = {__name__, *plugin_packages()}
    return {name: file for package in sorted(packages) for name, file in described_in(package).items()}


def _source(raw: Mapping[str, Any]) -> Source:
    sensor = load_sensor(raw["sensor"]) if "sensor" in raw else sensor_from(raw) if "mask" in raw else None
    access = str(raw.get("access", "open"))
    if access.partition(":")[0] not in _ACCESS:
        raise InputError("unknown class of access", where=raw["name"], expected=", ".join(_ACCESS), got=access)
    return Source(
        name=raw["name"],
        title=raw["title"],
        level=raw["level"],
        summary=raw["summary"],
        platforms=tuple(raw.get("platforms", sensor.platforms if sensor else ())),
        instruments=tuple(raw.get("instruments", sensor.instruments if sensor else ())),
        licence=raw.get("licence", sensor.licence if sensor else None) or "other",
        licence_url=raw.get("licence_url", sensor.licence_url if sensor else ""),
        attribution=raw.get("attribution", sensor.attribution if sensor else ""),
        access=access,
        doi=raw.get("doi", ""),
        example=raw["example"],
        forms=tuple(Form(**form) for form in raw["forms"]),
        bands=_bands(raw, sensor),
        sensor=sensor,
        thresholds=raw.get("quality", {}),
        options=raw.get("options", {}),
    )


def _bands(raw: Mapping[str, Any], sensor: Sensor | None) -> dict[str, Band]:
    own = {name: band_from(name, told, measured=False) for name, told in raw.get("extras", {}).items()}
    if sensor is not None:
        return {**sensor.bands, **sensor.extras, **own}
    return {name: band_from(name, told, measured=True) for name, told in raw.get("bands", {}).items()} | own
