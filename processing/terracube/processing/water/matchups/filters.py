"""What makes a box of pixels fit to be compared with a measurement: pure functions on arrays.

The defaults are those in use for lakes and rivers (3 x 3 pixels, three hours); ``BAILEY_WERDELL`` are those of the open
ocean (Bailey and Werdell 2006, doi:10.1016/j.rse.2006.01.015): 5 x 5 pixels, three hours, at least half of the pixels,
values within 1.5 standard deviations, coefficient of variation below 0.15, sun and sensor not too low. What a satellite
saw is compared once, with the measurement nearest in time, as the validation of SeaBASS does: boxes of one scene that
share pixels are not both used, unless ``overlap="allow"`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.water.masks.flags import BITS

STATISTICS = ("filtered_mean", "mean", "median", "centre")
OVERLAPS = ("refuse", "allow")
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "no_value": "the measurement has no value",
        "no_position": "the measurement has no position",
        "no_time": "the measurement has no time",
        "quality": "the measurement is marked as suspect, failed or missing",
        "censored": "the measurement is a limit of detection, not a value",
        "time_of_day": "only the day or period of the measurement is known, and the window is shorter",
        "depth": "the measurement was taken deeper than the filter allows",
        "copy": "the same measurement stands in the table twice",
        "outside": "the measurement lies outside the pixels",
        "no_scene": "no scene lies within the window",
        "on_land": "the middle pixel is not water",
        "few_valid": "too few pixels of the box are valid",
        "scatter": "the pixels of the box differ too much",
        "low_sun": "the sun stands too low",
        "low_sensor": "the sensor looks too far aside",
        "sample_used": "the measurement is compared with a scene nearer in time",
        "pixel_used": "the middle pixel is compared with a measurement nearer in time",
        "box_used": "pixels of the box are compared with a measurement nearer in time",
    }
)
"""Why a candidate is not used, in the order in which it is told."""


FAULTS = frozenset(list(REASONS)[: list(REASONS).index("on_land")])
"""Reasons that lie with the measurement, or that there was no scene; the others lie with the pixels."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a candidate must fulfil; a limit that is ``None`` is not asked for."""

    min_valid: float = 0.5
    """Share of the pixels of the box that must be valid (more than half of an odd number, so 5 of 9)."""
    max_scatter: float | None = 0.4
    """Largest coefficient of variation, standard deviation over mean, of the filtered pixels."""
    scatter_bands: tuple[str, ...] = ()
    """Variables whose median coefficient of variation is asked, instead of that of the product: reflectances between
    412 and 555 nm for Bailey and Werdell."""
    sigma: float = 1.5
    """Pixels farther from the mean than so many standard deviations are left out of the filtered mean."""
    statistic: Literal["filtered_mean", "mean", "median", "centre"] = "filtered_mean"
    """What is compared."""
    max_sun_zenith: float | None = 75.0
    """Degrees; asked only where the cube tells ``sun_zenith``."""
    max_view_zenith: float | None = 60.0
    """Degrees; asked only where the cube tells ``view_zenith``."""
    max_depth: float | None = 5.0
    """Deepest measurement, m; one without a depth passes."""
    refused_flags: tuple[str, ...] = (
        "nodata", "contiguity", "low_sun", "terrain_shadow", "cloud_shadow", "cloud", "haze", "ice", "glint",
    )  # fmt: skip
    """Flags of the pixel that make it invalid."""
    refused_reasons: int = 79
    """Reason bits of the product that make a pixel invalid: missing, negative, outside, saturated, not water."""
    refused_quality: tuple[int, ...] = field(default=(3, 4, 9))
    """QARTOD flags of the measurement that are not used: suspect, fail, missing."""
    overlap: Literal["refuse", "allow"] = "refuse"
    """Boxes of one scene that share pixels: ``refuse`` uses that nearest in time, so that no pixel is compared twice;
    ``allow`` uses all, unless the middle pixel is the same. The column ``shared`` counts in any case."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0 < self.min_valid <= 1:
            raise InputError("not a share", where="min_valid", expected="above 0, at most 1", got=f"{self.min_valid:g}")
        if self.statistic not in STATISTICS:
            raise InputError("no such statistic", where="statistic", expected=", ".join(STATISTICS),
                             got=repr(self.statistic))  # fmt: skip
        if self.overlap not in OVERLAPS:
            raise InputError("no such choice", where="overlap", expected=", ".join(OVERLAPS), got=repr(self.overlap))
        unknown = sorted(set(self.refused_flags) - set(BITS))
        if unknown:
            raise InputError("no such flag", where="refused_flags", expected=", ".join(BITS), got=", ".join(unknown))


BAILEY_WERDELL = Filters(max_scatter=0.15)
"""The protocol of the open ocean; with ``box=5``."""


@dataclass(frozen=True, slots=True)
class BoxStatistics:
    """What the pixels of each box say; all (box,)."""

    valid: NDArray[np.int64]
    """Number of valid pixels."""
    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    std: NDArray[np.float64]
    """Standard deviation of the sample (n - 1); NaN with fewer than two pixels."""
    filtered: NDArray[np.int64]
    """Number of pixels within the filter."""
    filtered_mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    """Coefficient of variation of the filtered pixels; NaN with fewer than two."""
    centre: NDArray[np.float64]
    """The middle pixel; NaN where it is not valid."""


def box_statistics(values: NDArray[Any], valid: NDArray[np.bool_], sigma: float = 1.5) -> BoxStatistics:
    """Describe the valid pixels of each box.

    Parameters
    ----------
    values : array (box, y, x)
    valid : bool array (box, y, x)
        Pixels to use; those without a finite value are not used in any case.
    sigma : float
        Filter: pixels within so many standard deviations of the mean (Bailey and Werdell 2006).

    Examples
    --------
    >>> found = box_statistics(np.array([[[1.0, 1, 1], [1, 2, 1], [1, 1, 9]]]), np.ones((1, 3, 3), bool))
    >>> float(found.mean[0]), float(found.filtered_mean[0]), int(found.filtered[0])
    (2.0, 1.125, 8)
    """
    wide = np.where(valid & np.isfinite(values), values, np.nan).astype("float64")
    wide = wide.reshape(len(values), values.shape[1] * values.shape[2])
    count, mean, std = _moments(wide)
    away = np.abs(wide - mean[:, None])
    # A box without scatter has a deviation of the size of a rounding error, which must not exclude its pixels.
    inner = np.where(
        away <= np.where(count > 1, sigma * std, np.inf)[:, None] + 1e-12 * np.abs(mean)[:, None], wide, np.nan
    )
    kept, filtered_mean, filtered_std = _moments(inner)
    with np.errstate(divide="ignore", invalid="ignore"):
        scatter = filtered_std / np.abs(filtered_mean)
    return BoxStatistics(
        count, mean, _median(wide, count), std, kept, filtered_mean, scatter, wide[:, wide.shape[1] // 2]
    )


def valid_pixels(
    values: NDArray[Any],
    *,
    flags: NDArray[Any] | None = None,
    reasons: NDArray[Any] | None = None,
    water: NDArray[Any] | None = None,
    filters: Filters,
) -> NDArray[np.bool_]:
    """Tell which pixels may be compared: finite, water, without a flag or reason that is refused.

    Parameters
    ----------
    values : float array
    flags : uint16 array, optional
        Flags of the pixel, by the bits of ``terracube.processing.water.masks.flags.BITS``.
    reasons : uint8 array, optional
        Reason bits of the product.
    water : uint8 array, optional
        1 = water.
    filters : Filters
        What is refused.
    """
    valid = np.isfinite(values)
    if flags is not None:
        valid &= (flags & np.uint16(sum(1 << BITS[name] for name in filters.refused_flags))) == 0
    if reasons is not None:
        valid &= (reasons & np.uint8(filters.refused_reasons)) == 0
    if water is not None:
        valid &= water == 1
    return valid


def enough(valid: NDArray[np.int64], pixels: int, share: float) -> NDArray[np.bool_]:
    """Tell which boxes have enough valid pixels.

    Examples
    --------
    >>> enough(np.array([4, 5]), 9, 0.5).tolist()
    [False, True]
    """
    found: NDArray[np.bool_] = valid >= share * pixels
    return found


def within(values: NDArray[np.float64], limit: float | None) -> NDArray[np.bool_]:
    """Tell which values do not exceed a limit; what is not known passes, and so does everything without a limit."""
    found: NDArray[np.bool_] = np.ones(values.shape, bool) if limit is None else ~(values > limit)
    return found


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Give number, mean and standard deviation of the values of each row that are not NaN."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(seen, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan)
        away = np.where(seen, values - mean[:, None], 0.0)
        std = np.sqrt((away * away).sum(axis=1) / np.where(count > 1, count - 1, np.nan))
    return count, mean, std


def _median(values: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the median of each row, NaN where there is nothing, without the warning of numpy."""
    ordered = np.sort(values, axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    middle: NDArray[np.float64] = (ordered[rows, low] + ordered[rows, np.minimum(high, ordered.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan)
