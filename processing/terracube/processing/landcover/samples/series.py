"""Labelled series: what was observed at each sample, and what is known to be there."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import ConflictError, InputError, LeftOut
from terracube.processing.landcover.nomenclature import Nomenclature

# Fields with one entry per sample.
_PER_SAMPLE = ("labels", "sample", "groups", "region", "x", "y", "lon", "lat", "weight", "start")
# Days that the dates of two sets may be apart and still be the same.
_SAME_DAY = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """Series of n labelled samples: T dates, B bands. Arrays are not to be written to."""

    values: NDArray[np.float32]
    """(n, T, B) observations in the unit of the source, NaN where missing; a date that misses a band is not cleaned."""
    days: NDArray[np.float64]
    """(T,) days since the start of each sample's season, strictly increasing."""
    bands: tuple[str, ...]
    """Names of the B bands, in the order of ``values``."""
    labels: NDArray[np.int32]
    """(n,) codes of the nomenclature."""
    sample: NDArray[np.str_]
    """(n,) name of each sample, all different."""
    groups: NDArray[np.int64]
    """(n,) samples that belong together (one polygon, one plot) have one number: never split them."""
    region: NDArray[np.str_]
    """(n,) region of each sample, empty where there is none."""
    x: NDArray[np.float64]
    """(n,) easting of each sample in ``crs``; NaN where unknown."""
    y: NDArray[np.float64]
    """(n,) northing of each sample in ``crs``; NaN where unknown."""
    lon: NDArray[np.float64]
    """(n,) longitude on WGS 84, degrees; NaN where unknown."""
    lat: NDArray[np.float64]
    """(n,) latitude on WGS 84, degrees; NaN where unknown."""
    weight: NDArray[np.float64]
    """(n,) weight of each sample, above 0."""
    start: NDArray[np.datetime64]
    """(n,) start of each sample's season (day 0), to the day; NaT where unknown."""
    crs: str = ""
    """CRS of ``x`` and ``y``; empty if they are unknown."""
    static: tuple[tuple[str, NDArray[np.float32]], ...] = ()
    """What does not change with time (elevation, ...): names and (n,) values."""
    nomenclature: Nomenclature | None = None
    """What the codes mean; ``None`` if nobody said."""
    left_out: tuple[LeftOut, ...] = ()
    """What was asked for and is not here, and why."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises
        ------
        InputError
            Naming the field.
        """
        shape = (len(self.labels), len(self.days), len(self.bands))
        _need(self.values.shape == shape, "values", f"{shape} (samples, days, bands)", self.values.shape)
        _need(self.values.dtype == np.float32, "values", "float32", self.values.dtype)
        rising = bool(np.isfinite(self.days).all() and (np.diff(self.days) > 0).all())
        _need(rising, "days", "finite, strictly increasing", self.days[:5].tolist())
        _need(len(set(self.bands)) == len(self.bands), "bands", "different names", self.bands)
        for name in _PER_SAMPLE:
            _need(getattr(self, name).shape == shape[:1], name, f"({shape[0]},)", getattr(self, name).shape)
        for name, values in self.static:
            _need(values.shape == shape[:1], f"static {name}", f"({shape[0]},)", values.shape)
        _need(len(np.unique(self.sample)) == shape[0], "sample", "different names", "the same name twice")
        _need(bool((np.isfinite(self.weight) & (self.weight > 0)).all()), "weight", "finite, above 0", "others")

    def __len__(self) -> int:
        """Tell how many samples there are."""
        return len(self.labels)

    @property
    def classes(self) -> dict[int, int]:
        """Number of samples of each code that there is."""
        codes, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))

    @property
    def series(self) -> NDArray[np.float32]:
        """The observations with pixels innermost: (T, B, n), contiguous, as kernels take them."""
        return np.ascontiguousarray(self.values.transpose(1, 2, 0))

    def take(self, index: ArrayLike) -> Series:
        """Give some samples, by number or by a boolean per sample, in that order.

        Raises
        ------
        InputError
            If one is taken twice.
        """
        chosen = np.asarray(index)
        changed: dict[str, Any] = {name: getattr(self, name)[chosen] for name in ("values", *_PER_SAMPLE)}
        changed["static"] = tuple((name, values[chosen]) for name, values in self.static)
        return replace(self, **changed)

    def select(self, bands: tuple[str, ...] | list[str]) -> Series:
        """Give some bands, in that order.

        Raises
        ------
        InputError
            If there is no such band.
        """
        missing = [name for name in bands if name not in self.bands]
        if missing:
            raise InputError(
                "the series lack a band", where="bands", expected=", ".join(self.bands), got=", ".join(missing)
            )
        return replace(self, bands=tuple(bands), values=self.values[..., [self.bands.index(name) for name in bands]])

    def with_weight(self, weight: NDArray[np.float64]) -> Series:
        """Give the same samples with other weights."""
        return replace(self, weight=weight)

    def table(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Give the plain values as features: (n, T x B), date-major, with names such as ``NDVI_d016``.

        Examples
        --------
        >>> found = make_series(np.ones((1, 2, 1)), [0, 16], ["NDVI"], [3])
        >>> found.table()[1]
        ('NDVI_d000', 'NDVI_d016')
        """
        names = tuple(f"{band}_d{day:03.0f}" for day in self.days for band in self.bands)
        if len(set(names)) < len(names):
            names = tuple(f"{band}_d{day:07.3f}" for day in self.days for band in self.bands)
        return self.values.reshape(len(self), -1), names


def make_series(
    values: ArrayLike, days: ArrayLike, bands: tuple[str, ...] | list[str], labels: ArrayLike, **known: Any
) -> Series:
    """Make labelled series of plain arrays; what is not known gets its neutral value.

    Parameters
    ----------
    values : array_like
        (n, T, B), NaN where missing.
    days : array_like
        (T,) days since the start of the season, strictly increasing.
    bands : sequence of str
        Names of the B bands.
    labels : array_like
        (n,) codes.
    **known
        Other fields of :class:`Series`. Without ``sample`` they are numbered, without ``groups`` each sample is its own
        group, without ``weight`` each weighs 1.

    Raises
    ------
    InputError
        If the arrays do not fit together, or a code is no whole number.

    Examples
    --------
    >>> found = make_series([[[0.2], [0.8]], [[0.1], [0.1]]], [0, 30], ["NDVI"], [13, 23])
    >>> len(found), found.classes, found.groups.tolist()
    (2, {13: 1, 23: 1}, [0, 1])
    """
    unknown = set(known) - {field.name for field in fields(Series)}
    if unknown:
        raise InputError("series have no such field", where="make_series", got=", ".join(sorted(unknown)))
    codes = _codes(labels)
    n = len(codes)
    defaults: dict[str, Any] = {
        "sample": np.arange(n),
        "groups": np.arange(n),
        "region": np.full(n, ""),
        "weight": np.ones(n),
        "start": np.full(n, "NaT"),
        **{name: np.full(n, np.nan) for name in ("x", "y", "lon", "lat")},
    }
    told = defaults | {name: value for name, value in known.items() if value is not None}
    types: dict[str, Any] = {"sample": np.str_, "region": np.str_, "groups": np.int64, "start": "datetime64[D]"}
    per_sample: dict[str, Any] = {
        name: np.asarray(told.pop(name)).astype(types.get(name, np.float64)) for name in defaults
    }
    return Series(
        np.ascontiguousarray(values, dtype=np.float32),
        np.asarray(days, dtype=np.float64),
        tuple(bands),
        codes,
        **per_sample,
        **told,
    )


def concatenate(*parts: Series) -> Series:
    """Put sets of series with the same dates and bands one after the other.

    Groups of different sets stay different; samples must differ in name.

    Raises
    ------
    InputError
        If there is no set, or two samples have one name.
    ConflictError
        If the bands, dates or CRS of two sets differ.
    """
    if not parts:
        raise InputError("there are no series to put together", expected="at least one set", got="none")
    first = parts[0]
    for part in parts[1:]:
        _same(first, part)
    shift, groups = 0, []
    for part in parts:
        codes, numbers = np.unique(part.groups, return_inverse=True)
        groups.append(numbers.astype(np.int64) + shift)
        shift += len(codes)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("values", *_PER_SAMPLE)
    }
    joined["groups"] = np.concatenate(groups)
    static = tuple(
        (name, np.concatenate([part.static[at][1] for part in parts])) for at, (name, _) in enumerate(first.static)
    )
    left_out = tuple(one for part in parts for one in part.left_out)
    return replace(first, **joined, static=static, left_out=left_out)


def _same(first: Series, other: Series) -> None:
    days = first.days.shape == other.days.shape and bool(np.allclose(first.days, other.days, rtol=0, atol=_SAME_DAY))
    facts = {
        "bands": (first.bands, other.bands),
        "days": (first.days.tolist(), first.days.tolist() if days else other.days.tolist()),
        "crs": (first.crs, other.crs),
        "nomenclature": tuple(one.nomenclature and one.nomenclature.name for one in (first, other)),
        "static": (tuple(name for name, _ in first.static), tuple(name for name, _ in other.static)),
    }
    for name, (one, two) in facts.items():
        if one != two:
            raise ConflictError("these sets of series differ", where=name, expected=str(one)[:300], got=str(two)[:300])


def _codes(labels: ArrayLike) -> NDArray[np.int32]:
    """Accept whole numbers that fit 32 bits."""
    given = np.asarray(labels)
    whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and bool((np.trunc(given) == given).all()))
    fits = whole and (not given.size or (given.min() >= -(2**31) and given.max() < 2**31))
    _need(bool(fits and given.ndim == 1), "labels", "(n,) whole numbers: codes of the nomenclature", given.dtype)
    return given.astype(np.int32)


def _need(fits: bool, where: str, expected: str, got: object) -> None:
    if not fits:
        raise InputError("these are no labelled series", where=where, expected=expected, got=str(got)[:200])
