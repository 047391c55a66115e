"""Make features of a block of pixels: each array is written where it is needed, and nothing is kept between blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.reduce import geomedian
from terracube.processing.kernels import gapfill, harmonics, phenology, temporal
from terracube.processing.kernels.bridge import bridge
from terracube.processing.landcover._series import smooth_series
from terracube.processing.landcover.features.functions import get_function
from terracube.processing.landcover.features.spec import FeatureSpec, percentile_of

type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]

_CODES = {
    "min": temporal.MIN,
    "max": temporal.MAX,
    "mean": temporal.MEAN,
    "std": temporal.STD,
    "range": temporal.RANGE,
    "sum": temporal.SUM,
    "slope": temporal.SLOPE,
}


@dataclass(frozen=True, eq=False, slots=True)
class Computed:
    """Features of N pixels."""

    values: Floats
    """(F, N), in the order of the description's names; NaN where a feature cannot be known."""
    count: NDArray[np.uint16]
    """(N,) clear dates of the season: those on which all bands are there. What lies outside of it does not count, even
    where it fills the season's ends."""


@dataclass(frozen=True, eq=False, slots=True)
class _Variables:
    """Bands and what is derived of them, at the same dates."""

    days: Doubles
    arrays: tuple[Floats, ...]
    """Each (dates, variables, pixels)."""
    names: tuple[tuple[str, ...], ...]
    """Of each array."""

    def find(self, name: str) -> tuple[Floats, int]:
        """Tell where a variable lies."""
        for array, names in zip(self.arrays, self.names, strict=True):
            if name in names:
                return array, names.index(name)
        raise InputError("no such variable", where=name, expected=", ".join(sum(self.names, ())))


def compute(
    series: Floats, days: Doubles, spec: FeatureSpec, static: Mapping[str, NDArray[np.float32]] | None = None
) -> Computed:
    """Make the features of a block of pixels.

    A pixel's features are the same to the bit whatever the other pixels of the block are, and however many.

    Parameters
    ----------
    series : float32 (T, B, N), C-contiguous
        Observations of the description's bands, in their order; NaN = missing.
    days : float64 (T,)
        Days since the season's start, strictly increasing. What lies outside the season is used too: to fill its
        ends, and by harmonics and the geometric median.
    spec : FeatureSpec
    static : mapping of names to float32 (N,)
        The terrain that the description names.

    Returns
    -------
    Computed
        NaN in a feature means that it cannot be known: a pixel without any clear date, an index that is undefined at
        every date (at some, it is interpolated between the others), phenology of a series without a rise, harmonics of
        too few dates.

    Raises
    ------
    InputError
        If an array has another shape or type than the description asks for.

    Examples
    --------
    >>> spec = FeatureSpec(bands=("red",), series=("red",), season={"step": 10, "count": 3})
    >>> found = compute(np.float32([1, np.nan, 3]).reshape(3, 1, 1), np.array([0.0, 9, 20]), spec)
    >>> found.values.ravel().tolist(), found.count.item()
    ([1.0, 2.0, 3.0], 2)
    """
    _check(series, days, spec, static or {})
    groups = spec.groups
    ends = np.cumsum([0, *map(len, groups.values())])
    values = np.empty((int(ends[-1]), series.shape[2]), np.float32)
    count = np.empty(series.shape[2], np.uint16)
    rows = {name: values[first:last] for name, (first, last) in zip(groups, pairwise(ends), strict=True)}
    filled = bool(spec.series or spec.regular or spec.statistics or spec.phenology or spec.functions)
    if filled:
        regular = _regular(series, days, spec, rows, count)
        _statistics(regular, spec, rows["statistics"])
        _phenology(regular, spec, rows["phenology"])
        _functions(regular, spec, rows["functions"])
    inside = spec.season.holds(days)
    if not inside.all() or not filled:
        harmonics.clear_dates(series[inside]).sum(axis=0, out=count)
    _harmonics(series, days, spec, rows["harmonics"])
    if spec.geomedian:
        _geomedian(series, rows["geomedian"])
    for name, row in zip(spec.terrain, rows["terrain"], strict=True):
        row[...] = (static or {})[name]
    return Computed(values, count)


def _check(series: Floats, days: Doubles, spec: FeatureSpec, static: Mapping[str, NDArray[np.float32]]) -> None:
    """Refuse what does not fit the description."""
    fits = series.ndim == 3 and series.dtype == np.float32 and series.flags.c_contiguous
    if not fits or series.shape[1] != len(spec.bands) or not 1 <= len(series) <= 65535:
        raise InputError(
            "the series do not fit the description",
            where="series",
            expected=f"contiguous float32 (dates, {len(spec.bands)} bands, pixels), 1 to 65535 dates",
            got=f"{series.dtype} {series.shape}",
        )
    rising = days.shape == series.shape[:1] and days.dtype == np.float64 and np.isfinite(days).all()
    if not rising or not (np.diff(days) > 0).all():
        raise InputError(
            "the days do not fit the series",
            where="days",
            expected=f"float64 ({len(series)},), finite, strictly increasing",
            got=f"{days.dtype} {days.shape}: {days[:5].tolist()}",
        )
    for name in spec.terrain:
        found = static.get(name)
        if found is None or found.shape != series.shape[2:]:
            raise InputError(
                "a feature of the terrain is missing",
                where=f"static {name}",
                expected=f"float32 {series.shape[2:]}",
                got="none" if found is None else str(found.shape),
            )


def _regular(
    series: Floats, days: Doubles, spec: FeatureSpec, rows: Mapping[str, Floats], count: NDArray[np.uint16]
) -> _Variables:
    """Fill the gaps, derive the indices at the regular dates, and write what is kept of both."""
    targets, pixels = spec.season.targets(), series.shape[2]
    kept, kept_indices = spec.kept
    shape = (targets.size, len(spec.bands), pixels)
    # What is kept whole is made where it is kept.
    filled = rows["bands"].reshape(shape) if kept == spec.bands else np.empty(shape, np.float32)
    gapfill.fill(series, days, targets, filled, count, gapfill.METHODS[spec.fill])
    if spec.smooth is not None:
        filled[...] = smooth_series(filled, targets, spec.smooth.how)
    if kept != spec.bands:
        _keep(filled, spec.bands, kept, rows["bands"])
    shape = (targets.size, len(spec.regular), pixels)
    whole = kept_indices == spec.regular
    made = rows["indices"].reshape(shape) if whole else np.empty(shape, np.float32)
    if spec.regular:
        for values, out in zip(filled, made, strict=True):
            spec.derive_regular.run(values, out)
        if np.isnan(made).any():  # rare: the index of black water, where both bands are zero
            bridge(made, targets)
    if not whole:
        _keep(made, spec.regular, kept_indices, rows["indices"])
    return _Variables(targets, (filled, made), (spec.bands, spec.regular))


def _keep(made: Floats, names: tuple[str, ...], kept: tuple[str, ...], rows: Floats) -> None:
    """Copy the variables that are kept at each date."""
    out = rows.reshape(len(made), len(kept), made.shape[2])
    for place, name in enumerate(kept):
        out[:, place] = made[:, names.index(name)]


def _statistics(regular: _Variables, spec: FeatureSpec, rows: Floats) -> None:
    first = 0
    for name, wanted in spec.statistics.items():
        array, place = regular.find(name)
        fractions = [percentile_of(one) for one in wanted]
        codes = [_CODES.get(one, temporal.QUANTILE) for one in wanted]
        out = rows[first : first + len(wanted)]
        numbers = np.array([fraction or 0.0 for fraction in fractions])
        temporal.statistics(array, place, regular.days, np.array(codes), numbers, out)
        first += len(wanted)


def _phenology(regular: _Variables, spec: FeatureSpec, rows: Floats) -> None:
    for number, name in enumerate(spec.phenology):
        array, place = regular.find(name)
        out = rows[number * phenology.METRICS : (number + 1) * phenology.METRICS]
        phenology.seasons(array, place, regular.days, spec.threshold, out)


def _harmonics(series: Floats, days: Doubles, spec: FeatureSpec, rows: Floats) -> None:
    if not spec.harmonics:
        return
    shape = (len(series), len(spec.observed), series.shape[2])
    made = np.empty(shape, np.float32)
    if spec.observed:
        for values, out in zip(series, made, strict=True):
            spec.derive_observed.run(values, out)
    clear = harmonics.clear_dates(series)
    observed = _Variables(days, (series, made), (spec.bands, spec.observed))
    first = 0
    for name, order in spec.harmonics.items():
        array, place = observed.find(name)
        last = first + 2 * order + 2
        harmonics.fit(array, place, clear, days, order, rows[first:last])
        first = last


def _geomedian(series: Floats, rows: Floats) -> None:
    found = geomedian(series.reshape(*series.shape[:2], 1, -1))
    rows[:-3] = found.median[:, 0]
    for row, spread in zip(rows[-3:], (found.emad, found.smad, found.bcmad), strict=True):
        row[...] = spread[0]


def _functions(regular: _Variables, spec: FeatureSpec, rows: Floats) -> None:
    first = 0
    for function in map(get_function, spec.functions):
        found = [regular.find(name) for name in function.needs]
        handed = np.stack([array[:, place] for array, place in found], axis=1)
        rows[first : first + len(function.outputs)] = function(handed, regular.days.copy())
        first += len(function.outputs)
