"""What a model is fed with: a description of features as JSON, and the names of the features in their fixed order.

A description holds names and numbers only, so that it can be stored with a model, hashed and compared: the features of
another year or sensor are the same features if, and only if, their descriptions are equal.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.processing.landcover._series import checked_smooth
from terracube.processing.landcover.features.functions import get_function
from terracube.processing.landcover.features.variables import Derived, derived

SPREADS = ("emad", "smad", "bcmad")
PHENOLOGY = ("start", "peak", "end", "length", "integral", "amplitude", "base")
STATISTICS = ("min", "max", "mean", "std", "median", "range", "sum", "slope")
TERRAIN = ("elevation", "slope", "aspect_sin", "aspect_cos")
MAX_FEATURES = 16384

_YEAR = 365
_PERCENTILE = re.compile(r"p([1-9]?[0-9]|100)")
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}$")]
Names = Annotated[tuple[Name, ...], Field(max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Season(_Strict):
    """The regular dates of a year: the first, the days between two, and how many.

    Examples
    --------
    >>> Season(start="01-01", step=10, count=37).targets()[[0, 1, -1]].tolist()
    [0.0, 10.0, 360.0]
    """

    start: str = Field(default="01-01", pattern=r"^\d{2}-\d{2}$", description="month and day of the first date")
    step: int = Field(default=10, ge=1, le=366, description="days from one date to the next")
    count: int = Field(default=37, ge=1, le=400, description="number of dates")

    @model_validator(mode="after")
    def _exists_every_year(self) -> Self:
        try:
            date.fromisoformat(f"2001-{self.start}")
        except ValueError as error:
            raise InputError(
                "no such day in every year", where="season.start", expected="MM-DD", got=self.start
            ) from error
        return self

    def targets(self) -> NDArray[np.float64]:
        """Give the regular dates as days since the season's start, (count,)."""
        return np.arange(self.count, dtype=np.float64) * self.step

    @property
    def length(self) -> int:
        """Days of the season: from its first date to a step after its last.

        A season whose dates lie within a year ends before that of the next year begins, after 365 days (so the last
        day of a leap year is in none).
        """
        whole = self.count * self.step
        return whole if whole - self.step > _YEAR else min(whole, _YEAR)

    def holds(self, days: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which days, since the season's start, lie in it.

        Examples
        --------
        >>> Season(step=10, count=37).holds(np.array([-1.0, 0, 365, 366])).tolist()
        [False, True, False, False]
        """
        return np.asarray((days >= 0) & (days < self.length), np.bool_)

    def first(self, year: int) -> np.datetime64:
        """Give the day on which the season of a year starts."""
        return np.datetime64(f"{year:04d}-{self.start}", "D")

    def days(self, times: NDArray[Any], year: int) -> NDArray[np.float64]:
        """Turn dates (datetime64, UTC) into days, with fractions, since the season of a year started.

        Examples
        --------
        >>> Season(start="09-01").days(np.array(["2018-09-03T12:00"], "datetime64[ns]"), 2018).tolist()
        [2.5]
        """
        since = np.asarray(times, "datetime64[ns]") - self.first(year).astype("datetime64[ns]")
        return np.asarray(since / np.timedelta64(1, "D"), np.float64)


class Whittaker(_Strict):
    """Smooth the regular series by penalised least squares (second differences)."""

    kind: Literal["whittaker"] = "whittaker"
    lam: float = Field(default=10.0, ge=1e-9, le=1e9, description="weight of roughness against distance")

    @property
    def how(self) -> tuple[str, float]:
        """The smoother, as :func:`terracube.processing.landcover.series.smooth_series` takes it."""
        return self.kind, self.lam


class Savgol(_Strict):
    """Smooth the regular series by local polynomials (Savitzky and Golay)."""

    kind: Literal["savgol"] = "savgol"
    window: int = Field(default=5, ge=3, le=101, description="dates in the window, odd")
    order: int = Field(default=2, ge=1, le=5, description="degree of the polynomial, below the window")

    @property
    def how(self) -> tuple[str, int, int]:
        """The smoother, as :func:`terracube.processing.landcover.series.smooth_series` takes it."""
        return self.kind, self.window, self.order

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window % 2 == 0 or self.order >= self.window:
            raise InputError(
                "the window does not fit",
                where="smooth",
                expected="an odd window above the order",
                got=f"window {self.window}, order {self.order}",
            )
        return self


class FeatureSpec(_Strict):
    """Which features are made of a series of observations, and in which order.

    The features come in this order: kept bands at each regular date (date by date), kept indices at each regular date,
    statistics, phenology, harmonics, geometric median and its three deviations, terrain, user functions; within each
    in the order of the description, and the variables of statistics and harmonics by their names, since the members
    of a JSON object have no order. A name that is no band is a spectral index of the catalogue, or ``brightness``,
    the length of the spectrum.

    Examples
    --------
    >>> spec = FeatureSpec(bands=("red", "nir"), season=Season(step=180, count=2), series=("red",), geomedian=True)
    >>> spec.names()
    ('red_d000', 'red_d180', 'red_gm', 'nir_gm', 'emad', 'smad', 'bcmad')
    """

    bands: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)] = Field(
        description="role names of the bands that are needed, in order"
    )
    season: Season = Field(default_factory=Season)
    fill: Literal["linear", "akima"] = Field(default="linear", description="how gaps between clear dates are filled")
    smooth: Annotated[Whittaker | Savgol, Field(discriminator="kind")] | None = None
    series: Names = Field(default=(), description="bands and indices kept at each regular date")
    statistics: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="over the regular dates: min, max, mean, std, median, range, sum, slope, p0..p100",
    )
    parameters: dict[Name, float] = Field(
        default_factory=dict, description="numbers of index formulas instead of the catalogue's, such as L"
    )
    phenology: Names = Field(default=(), description="bands and indices whose season is measured")
    threshold: float = Field(default=0.2, gt=0, lt=1, description="share of the rise at which a season starts and ends")
    harmonics: dict[Name, Annotated[int, Field(ge=1, le=3)]] = Field(
        default_factory=dict, description="number of yearly harmonics fitted to the observations"
    )
    geomedian: bool = Field(default=False, description="geometric median of the observations, and its deviations")
    terrain: Annotated[tuple[Literal["elevation", "slope", "aspect_sin", "aspect_cos"], ...], Field(max_length=4)] = ()
    functions: Annotated[tuple[str, ...], Field(max_length=32)] = Field(
        default=(), description="registered functions, as name@version"
    )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FeatureSpec:
        """Make a description of plain JSON values.

        Raises
        ------
        InputError
            Naming each field that is wrong.
        """
        return validated(cls, values, what="the description of features is wrong")

    def to_json(self) -> dict[str, Any]:
        """Give the description as plain JSON values."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """The sha256 of the description."""
        return sha256_of(self.to_json())

    @property
    def derive_regular(self) -> Derived:
        """How the indices at the regular dates are made of the bands."""
        return derived(self.regular, self.bands, tuple(self.parameters.items()))

    @property
    def derive_observed(self) -> Derived:
        """How the indices at the observations are made of the bands."""
        return derived(self.observed, self.bands, tuple(self.parameters.items()))

    def names(self) -> tuple[str, ...]:
        """Give the names of the features, in their fixed order."""
        return tuple(name for group in self.groups.values() for name in group)

    @property
    def kept(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The bands and the indices kept at each regular date."""
        bands = tuple(name for name in self.series if name in self.bands)
        return bands, tuple(name for name in self.series if name not in self.bands)

    @property
    def regular(self) -> tuple[str, ...]:
        """The indices needed at the regular dates, those that are kept first."""
        needs = [name for key in self.functions for name in get_function(key).needs]
        wanted = (*self.kept[1], *self.statistics, *self.phenology, *needs)
        return tuple(dict.fromkeys(name for name in wanted if name not in self.bands))

    @property
    def observed(self) -> tuple[str, ...]:
        """The indices needed at the observations themselves."""
        return tuple(name for name in self.harmonics if name not in self.bands)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The names of the features, group by group, in their fixed order."""
        days = [f"d{step * self.season.step:03d}" for step in range(self.season.count)]
        bands, indices = (tuple(f"{name}_{day}" for day in days for name in kept) for kept in self.kept)
        return {
            "bands": bands,
            "indices": indices,
            "statistics": tuple(f"{name}_{one}" for name, wanted in self.statistics.items() for one in wanted),
            "phenology": tuple(f"{name}_{one}" for name in self.phenology for one in PHENOLOGY),
            "harmonics": tuple(f"{name}_{one}" for name, order in self.harmonics.items() for one in _harmonic(order)),
            "geomedian": (*(f"{name}_gm" for name in self.bands), *SPREADS) if self.geomedian else (),
            "terrain": self.terrain,
            "functions": tuple(name for key in self.functions for name in get_function(key).outputs),
        }

    @field_validator("statistics", "harmonics", "parameters")
    @classmethod
    def _by_name[Value](cls, given: dict[str, Value]) -> dict[str, Value]:
        return dict(sorted(given.items()))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.bands)) < len(self.bands):
            raise InputError("a band is named twice", where="bands", got=", ".join(self.bands))
        for name, wanted in self.statistics.items():
            unknown = [one for one in wanted if one not in STATISTICS and not _PERCENTILE.fullmatch(one)]
            if unknown or not wanted:
                expected = ", ".join(STATISTICS) + ", p0 to p100"
                got = ", ".join(map(repr, unknown)) or "none"
                raise InputError("unknown statistic", where=f"statistics.{name}", expected=expected, got=got[:200])
        if self.smooth is not None:
            checked_smooth(self.smooth.how, self.season.targets())
        for names in (self.regular, self.observed):
            derived(names, self.bands, tuple(self.parameters.items()))
        self._check_names()
        return self

    def _check_names(self) -> None:
        names = self.names()
        if not 0 < len(names) <= MAX_FEATURES:
            raise InputError("wrong number of features", expected=f"1 to {MAX_FEATURES}", got=str(len(names)))
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise InputError("features have the same name", expected="each name once", got=", ".join(twice)[:200])


def _harmonic(order: int) -> tuple[str, ...]:
    return ("h0", *(f"h{k}_{part}" for k in range(1, order + 1) for part in ("cos", "sin")), "h_rmse")


def percentile_of(statistic: str) -> float | None:
    """Give the quantile, 0 to 1, that a statistic asks for; None if it is no percentile.

    Examples
    --------
    >>> percentile_of("p90"), percentile_of("median"), percentile_of("mean")
    (0.9, 0.5, None)
    """
    if statistic == "median":
        return 0.5
    found = _PERCENTILE.fullmatch(statistic)
    return int(found.group(1)) / 100 if found else None
