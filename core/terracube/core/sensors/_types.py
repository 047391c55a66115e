"""What is known of a sensor, as values: its bands, its mask layer with named rules, and how numbers become values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from terracube.core.errors import InputError, NotFoundError

# A sensor that has only one of the two answers to both names: who asks for near infrared gets the one there is.
_STAND_INS = {"nir": "nir08", "nir08": "nir"}
_KINDS = ("measured", "classes", "bits", "other")


@dataclass(frozen=True)
class Band:
    """One measured band of a sensor, or another layer."""

    name: str
    """Role name, the same for every sensor: ``red``, ``nir``, ``swir16``."""
    title: str
    """What a person reads."""
    keys: tuple[str, ...]
    """Asset keys under which providers deliver it, the best first."""
    file: str
    """The agency's own name, used in file names: ``B04``."""
    common_name: str | None = None
    """Common name of the STAC eo extension, where there is one."""
    center_wavelength: float | None = None
    """Micrometres."""
    full_width_half_max: float | None = None
    """Micrometres."""
    kind: str = "measured"
    """``measured``; ``classes`` or ``bits``, which are never scaled or blended; or ``other``."""
    dtype: str | None = None
    """Type of the numbers as the agency delivers them."""
    scale: float | None = None
    offset: float | None = None
    """The band's own, where they are not those of the sensor."""
    nodata: float | None = None
    """The band's own, where it is not that of the sensor."""
    unit: str | None = None
    """Unit of the physical values, as UDUNITS writes it; ``1`` for reflectance."""

    @property
    def categorical(self) -> bool:
        """Whether its numbers are names: classes or bits."""
        return self.kind in ("classes", "bits")


@dataclass(frozen=True)
class MaskRule:
    """Which pixels of a mask layer are kept: by class, by bits, or below a threshold. One of the three is given.

    Examples
    --------
    >>> MaskRule("qa_pixel", bits=0b11111).bits
    31
    """

    asset: str
    """Role name, or asset key, of the layer."""
    masked: tuple[int, ...] | None = None
    """Classes left out."""
    known: tuple[int, ...] = ()
    """Classes that have a meaning; others are left out. Empty: every number of a byte has one."""
    bits: int | None = None
    """A pixel with any of these bits is left out."""
    any_bits: int = 0
    """If given, a pixel with none of these bits is left out too."""
    threshold: float | None = None
    """A pixel at or above it is left out."""
    nodata: int | None = None
    """The number that means nothing was seen; never kept."""
    dilate_m: float = 0.0
    """What is left out grows by this, in metres."""

    def __post_init__(self) -> None:
        given = [name for name in ("masked", "bits", "threshold") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                "a mask rule needs one kind of test",
                expected="masked, bits or threshold",
                got=", ".join(given) or "none",
            )
        if not 0 <= self.dilate_m < float("inf"):
            raise InputError("a mask cannot grow by that", where="dilate_m", expected=">= 0 m", got=str(self.dilate_m))
        if not all(0 <= value < 256 for value in self.masked or ()):
            raise InputError("mask classes are numbers of a byte", expected="0..255", got=str(self.masked))
        if (self.bits or 0) < 0 or self.any_bits < 0:
            raise InputError("bits are no negative number", got=f"{self.bits}, {self.any_bits}")


@dataclass(frozen=True)
class Mask:
    """The layer that says which pixels are clear, and the rules that can be asked of it by name.

    A rule's name says what it keeps: ``clear`` (the default), ``cloud``, ``water``, ``land``, ``snow_free``; and
    ``cloud_probability``, which keeps what is clear by the probability layer.
    """

    asset: str
    """Role name of the layer."""
    nodata: int
    """The number that means nothing was seen."""
    classes: Mapping[int, str]
    """Meaning of every class; empty for a layer of bits."""
    masked: tuple[int, ...]
    """Classes left out unless the user says otherwise."""
    bits: Mapping[int, str] = field(default_factory=dict)
    """Meaning of each bit, counted from 0; empty for a layer of classes."""
    rules: Mapping[str, MaskRule] = field(default_factory=dict)

    def rule(self, name: str) -> MaskRule:
        """Give a rule by name.

        Raises
        ------
        InputError
            If there is none of that name; the message lists those there are.
        """
        if name in self.rules:
            return self.rules[name]
        raise InputError("unknown mask rule", where="mask", expected=", ".join(self.rules), got=repr(name)[:80])

    def without(self, classes: Iterable[int]) -> MaskRule:
        """Give the rule that leaves out these classes, and the one that means nothing was seen.

        Raises
        ------
        InputError
            If the layer holds bits, or a number is no class.
        """
        if not self.classes:
            raise InputError(
                "the mask layer holds bits, not classes",
                where=self.asset,
                expected="a rule by name: " + ", ".join(self.rules),
                todo="give a name, or MaskRule(asset, bits=...)",
            )
        known = tuple(sorted(self.classes))
        return MaskRule(self.asset, masked=tuple(sorted({*classes, self.nodata})), known=known, nodata=self.nodata)


@dataclass(frozen=True)
class Radiometry:
    """How numbers become physical values: ``value = number * scale + offset``."""

    scale: float
    offset: float
    reason: str
    """Which rule decided, for the record."""


@dataclass(frozen=True)
class Sensor:
    """A sensor at a processing level."""

    name: str
    title: str
    platforms: tuple[str, ...]
    instruments: tuple[str, ...]
    collections: tuple[str, ...]
    """Collection ids under which providers deliver it."""
    licence: str
    licence_url: str
    attribution: str
    bands: Mapping[str, Band]
    """Measured bands by role name, in order of wavelength."""
    extras: Mapping[str, Band]
    """Other layers by role name."""
    reflectance: Mapping[str, Any]
    """Scale, offset, nodata and type of the measured bands, and where items tell of the offset."""
    mask: Mask
    largest_side: int
    """Pixels along each side of the finest band."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By platform: the agency's name of each band, where one name means different bands on different platforms."""

    def layer(self, name: str) -> Band:
        """Give a band or layer by role name, asset key, the agency's name, or the common name where only one has it.

        A sensor with one near-infrared band answers to ``nir`` and ``nir08`` alike; a sensor with both keeps them
        apart.

        Raises
        ------
        NotFoundError
            If the sensor has no such band; the message lists those it has.
        """
        layers = (*self.bands.values(), *self.extras.values())
        for band in layers:
            if name in (band.name, *band.keys):
                return band
        alike = [band for band in layers if name in (band.common_name, band.file)]
        stand_in = self.bands.get(_STAND_INS.get(name, ""))
        found = alike[0] if len(alike) == 1 else stand_in
        if found is not None:
            return found
        raise NotFoundError(
            f"unknown band {name!r}",
            where=self.name,
            expected=", ".join([*self.bands, *self.extras]),
            got=repr(name),
            todo="use one of these names",
        )

    def aboard(self, platform: object) -> Sensor:
        """Give this sensor as one platform carries it, with the agency's band names of that platform.

        A platform that the description does not tell apart gives the sensor unchanged.

        Parameters
        ----------
        platform
            As an item says it: ``landsat-8`` or ``LANDSAT_8``.
        """
        files = self.files.get(platform.lower().replace("_", "-"), {}) if isinstance(platform, str) else {}
        if not files:
            return self
        bands = {
            name: replace(band, file=files[name], keys=(*band.keys, files[name], f"{files[name]}.TIF"))
            for name, band in self.bands.items()
            if name in files
        }
        return replace(self, bands=bands, files={})
