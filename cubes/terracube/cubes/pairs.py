"""Interferograms as a cube (pair, y, x): items of pairs in, phases in one sign with their dates and baselines out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import xarray as xr

from terracube.core.errors import InputError, MetadataError, NotFoundError
from terracube.cubes.grid import Grid
from terracube.cubes.items.view import ItemView, to_items
from terracube.cubes.load import load

SIGN = (
    "displacement along the line of sight, positive towards the satellite, = -wavelength / (4 pi) * phase; "
    "the phase is that from the reference to the secondary date and grows with the distance"
)
"""What every phase that TerraCube keeps means; items tell it as ``terracube:phase_sign``."""
_SPEED_OF_LIGHT = 299_792_458.0
_SAME = 1e-6
_SETTLED: Mapping[str, Any] = {"groupby": "scene", "mask": None, "radiometry": "physical"}


@dataclass(frozen=True, slots=True)
class _Pair:
    """What an item tells of its pair."""

    id: str
    reference: datetime
    secondary: datetime
    baseline: float
    """m; NaN = not told."""
    wavelength: float
    """m."""
    looks: tuple[Any, Any, Any]
    """In range, in azimuth, and the equivalent number; ``None`` where not told."""
    track: tuple[Any, Any]
    """Relative orbit and orbit state."""

    @property
    def key(self) -> tuple[datetime, datetime]:
        """What pairs are ordered by."""
        return self.reference, self.secondary


def load_pairs(
    items: Iterable[Any],
    bands: Sequence[str] = ("unwrapped_phase", "coherence"),
    *,
    static: Sequence[str] = (),
    **options: Any,
) -> xr.Dataset:
    """Load interferograms into a cube.

    Parameters
    ----------
    items : iterable
        Items of pairs, as ingested, of one stack: one wavelength, one track. Items of its geometry may be among them.
    bands : sequence of str
        Layers of the pairs: ``unwrapped_phase`` (rad), ``coherence`` (0 to 1), ``connected_components``, ...
    static : sequence of str
        Layers that do not change, (y, x): ``dem`` (m), ``los_east``, ``los_north``, ``los_up`` (a unit vector from the
        ground to the satellite), ``incidence_angle`` (degrees); from the item of the geometry, else from the first
        pair, on the pixels of the cube.
    **options
        As :func:`terracube.cubes.load`: grid, bbox, resolution, chunks (with ``pair`` for ``time``), resampling,
        overviews, on_error, signer and so on; not groupby, mask and radiometry.

    Returns
    -------
    xarray.Dataset
        Lazy, dimensions (pair, y, x), ordered by reference and secondary time; NaN where there is no value.
        Coordinates along ``pair``: its name (``20180106_20180130``), ``reference_time`` and ``secondary_time``
        (datetime64[ns], UTC), ``perpendicular_baseline`` (m, NaN where not told). Attributes: ``wavelength`` (m),
        ``phase_sign``; ``looks_range``, ``looks_azimuth`` and ``looks`` (their product, or the equivalent number) where
        all pairs tell the same.

    Raises
    ------
    InputError
        If an item is no pair, a pair comes twice, or an option is one that is settled.
    MetadataError
        If dates, wavelength or sign of a pair are missing, or the pairs are of several wavelengths or tracks.
    NotFoundError
        If no item has a static layer that is asked for, or several have.
    TerraCubeError
        As :func:`terracube.cubes.load`.
    """
    settled = sorted(set(options) & set(_SETTLED))
    if settled:
        raise InputError("this option is settled for pairs", where=", ".join(settled), expected=str(dict(_SETTLED)))
    if isinstance(options.get("chunks"), Mapping):
        options["chunks"] = {("time" if name == "pair" else name): size for name, size in options["chunks"].items()}
    pairs, shared = part_pairs(items)
    known = {pair.id: pair for pair in map(_pair_of, pairs)}
    if len(known) < len(pairs):
        raise InputError("several items have one id", where="items", got=", ".join(_twice(view.id for view in pairs)))
    _check_stack(list(known.values()))
    cube = load(pairs, bands=bands, **_SETTLED, **options)
    found, ordered = _arranged(cube, known)
    for name in static:
        found[name] = _static(name, shared, [view for view in pairs if view.id == ordered[0].id], found, options)
    return found.assign_attrs(_attributes(ordered))


class Told(Protocol):
    """What has an id and properties: an item, a view of one, a scene."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """As its item has them."""


@dataclass(frozen=True, slots=True)
class PairFacts:
    """What items tell of the pairs of a stack."""

    pairs: Mapping[str, tuple[str, str, float]]
    """By id: reference and secondary time (UTC, ISO 8601), and the perpendicular baseline, m, NaN where not told."""
    attributes: Mapping[str, Any]
    """What all have in common, as :func:`load_pairs` tells it."""


def pair_facts(items: Iterable[Any]) -> PairFacts:
    """Tell what the items of the pairs of a stack say, without reading a pixel.

    Raises
    ------
    InputError, MetadataError
        As :func:`load_pairs`.
    """
    found = sorted((_pair_of(view) for view in to_items(items)), key=lambda pair: (pair.key, pair.id))
    if not found:
        raise InputError("there is no pair", where="items", got="none")
    _check_stack(found)
    told = {pair.id: (_iso(pair.reference), _iso(pair.secondary), pair.baseline) for pair in found}
    return PairFacts(told, _attributes(found))


def pair_times(scenes: Iterable[Told]) -> tuple[tuple[str, str, float], ...]:
    """Give reference and secondary time, and baseline, of scenes or items of pairs, in the order in which they are."""
    return tuple((_iso(pair.reference), _iso(pair.secondary), pair.baseline) for pair in map(_pair_of, scenes))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def part_pairs(items: Iterable[Any]) -> tuple[list[ItemView], list[ItemView]]:
    """Part the items of a stack into its pairs, and those of its geometry.

    Raises
    ------
    InputError
        If an item is neither, or there is no pair.
    """
    pairs, shared = [], []
    for view in to_items(items):
        kind = view.properties.get("terracube:insar")
        if kind == "geometry":
            shared.append(view)
        elif kind == "pair" or "insar:reference_datetime" in view.properties:
            pairs.append(view)
        else:
            raise InputError(
                "the item is no interferogram",
                where=view.id,
                expected="insar:reference_datetime",
                got="no such property",
            )
    if not pairs:
        raise InputError("there is no pair to load", where="items", got=f"{len(shared)} items of geometry")
    return pairs, shared


def _pair_of(view: Told) -> _Pair:
    told = view.properties
    reference, secondary = (_moment(view, f"insar:{which}_datetime") for which in ("reference", "secondary"))
    if reference >= secondary:
        raise MetadataError(
            "the dates of the pair are equal or reversed",
            where=view.id,
            expected="reference before secondary",
            got=f"{reference.isoformat()}, {secondary.isoformat()}",
            todo="ingest it anew: dates and phase are put in order together",
        )
    if told.get("terracube:phase_sign") != SIGN:
        raise MetadataError(
            "the sign of the phase is not that of this library",
            where=f"{view.id}, terracube:phase_sign",
            expected=SIGN,
            got=repr(told.get("terracube:phase_sign"))[:200],
            todo="ingest the interferogram, which settles its sign",
        )
    baseline = _number(view, "insar:perpendicular_baseline")
    looks = [told.get(f"sar:looks_{name}") for name in ("range", "azimuth", "equivalent_number")]
    return _Pair(
        view.id,
        reference,
        secondary,
        math.nan if baseline is None else baseline,
        _wavelength(view),
        (looks[0], looks[1], looks[2]),
        (told.get("sat:relative_orbit"), told.get("sat:orbit_state")),
    )


def _moment(view: Told, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(view.properties.get(name)).upper())
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MetadataError(
        "a date of the pair is missing",
        where=f"{view.id}, {name}",
        expected="a time with its zone, like 2018-01-06T00:40:21Z",
        got=repr(view.properties.get(name))[:60],
    )


def _number(view: Told, name: str) -> float | None:
    value = view.properties.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MetadataError("a property is no number", where=f"{view.id}, {name}", got=repr(value)[:60])
    return float(value)


def _wavelength(view: Told) -> float:
    told, gigahertz = _number(view, "terracube:wavelength"), _number(view, "sar:center_frequency")
    found = told if told is not None else _SPEED_OF_LIGHT / (gigahertz * 1e9) if gigahertz else None
    if found is None or not 0 < found < math.inf:
        raise MetadataError(
            "the wavelength is not told", where=view.id, expected="terracube:wavelength or sar:center_frequency"
        )
    return found


def _check_stack(pairs: list[_Pair]) -> None:
    """Refuse pairs that are no stack."""
    first = pairs[0]
    for pair in pairs[1:]:
        if not math.isclose(pair.wavelength, first.wavelength, rel_tol=_SAME):
            _mixed("wavelengths", first, pair, f"{first.wavelength} m", f"{pair.wavelength} m")
        for one, other in zip(first.track, pair.track, strict=True):
            if None not in (one, other) and one != other:
                _mixed("tracks", first, pair, str(first.track), str(pair.track))
    keys = _twice(f"{pair.reference:%Y-%m-%dT%H:%M:%S} to {pair.secondary:%Y-%m-%dT%H:%M:%S}" for pair in pairs)
    if keys:
        raise InputError("a pair comes twice", where="items", expected="each pair once", got="; ".join(keys[:5]))


def _mixed(what: str, one: _Pair, other: _Pair, expected: str, got: str) -> None:
    raise MetadataError(
        f"the pairs are of several {what}",
        where=f"{one.id}, {other.id}",
        expected=expected,
        got=got,
        todo="load each stack by itself",
    )


def _twice(names: Iterable[str]) -> list[str]:
    told = list(names)
    return sorted({name for name in told if told.count(name) > 1})


def _arranged(cube: xr.Dataset, known: Mapping[str, _Pair]) -> tuple[xr.Dataset, list[_Pair]]:
    """Put the steps of a cube in the order of the pairs, and tell of each what is known."""
    facts = json.loads(cube.attrs["terracube:cube"])
    loaded = [known[group[0]] for group in facts["items"]]
    order = sorted(range(len(loaded)), key=lambda step: (loaded[step].key, loaded[step].id))
    ordered = [loaded[step] for step in order]
    facts["items"] = [[pair.id] for pair in ordered]
    found = cube.isel(time=order) if order != list(range(len(order))) else cube
    found = found.drop_vars("time").rename_dims(time="pair")
    coords = {
        "pair": [f"{pair.reference:%Y%m%d}_{pair.secondary:%Y%m%d}" for pair in ordered],
        "reference_time": ("pair", _times(pair.reference for pair in ordered)),
        "secondary_time": ("pair", _times(pair.secondary for pair in ordered)),
        "perpendicular_baseline": ("pair", np.array([pair.baseline for pair in ordered]), {"units": "m"}),
    }
    return found.assign_coords(coords).assign_attrs({"terracube:cube": json.dumps(facts)}), ordered


def _times(moments: Iterable[datetime]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    return np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]").astype("datetime64[ns]")


def _static(
    name: str, shared: list[ItemView], first: list[ItemView], cube: xr.Dataset, options: Mapping[str, Any]
) -> xr.DataArray:
    """Load a layer that does not change onto the pixels of the cube."""
    holders = [view for view in shared if name in view.assets] or [view for view in first if name in view.assets]
    if len(holders) != 1:
        raise NotFoundError(
            f"not one item has the layer {name!r}",
            where="static",
            expected="one item of geometry, or the first pair",
            got=", ".join(view.id for view in holders) or "none",
        )
    kept = {key: options[key] for key in ("chunks", "engine", "headers", "roots", "signer") if key in options}
    if isinstance(kept.get("chunks"), Mapping):
        kept["chunks"] = {axis: size for axis, size in kept["chunks"].items() if axis != "time"}
    method = options.get("resampling", "nearest")
    found = load(
        holders,
        bands=[name],
        grid=Grid.like(cube),
        resampling=method if isinstance(method, str) else "nearest",
        **_SETTLED,
        **kept,
    )
    return found[name].isel(time=0, drop=True)


def _attributes(pairs: Sequence[_Pair]) -> dict[str, Any]:
    """Give what all pairs have in common."""
    told: dict[str, Any] = {"wavelength": pairs[0].wavelength, "phase_sign": SIGN}
    if len({pair.looks for pair in pairs}) == 1:
        in_range, in_azimuth, equivalent = pairs[0].looks
        product = in_range * in_azimuth if in_range and in_azimuth else None
        numbers = {"looks_range": in_range, "looks_azimuth": in_azimuth, "looks": equivalent or product}
        told |= {name: number for name, number in numbers.items() if number is not None}
    return told
