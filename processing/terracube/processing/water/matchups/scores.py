"""How well estimates agree with measurements: scores on logarithms, always with how many of how many were compared.

Concentrations span orders of magnitude and their errors grow with them, so ratios are scored, not differences (Morley,
Brito and Welling 2018, doi:10.1002/2017SW001669; Seegers et al. 2018, doi:10.1364/OE.26.007404). An estimate that is
missing, zero or negative has no logarithm: it is not scored, and it is counted among those that failed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.water.matchups.filters import FAULTS

_COLUMNS = ("product", "variable", "sample", "used", "truth", "estimate")


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement of estimates with measurements; NaN where there is nothing to say."""

    n: int
    """Pairs that are scored: both values above zero."""
    of: int
    """Measurements that could have been compared."""
    mdsa: float
    """Median symmetric accuracy, percent: 100 (exp(median |ln q|) - 1), q = estimate / measurement; 0 is best."""
    sspb: float
    """Symmetric signed percentage bias: the same of the median of ln q, with its sign."""
    rmsle: float
    """Root mean square of log10 q."""
    mae: float
    """10^(mean |log10 q|): 1 is best, 1.5 is off by half on average."""
    bias: float
    """10^(mean log10 q): above 1 is too high."""
    slope: float
    """Slope of log10 estimate over log10 measurement by least squares; NaN if all measurements are equal."""
    r2: float
    """Squared correlation of the logarithms; NaN if either does not vary."""

    def __str__(self) -> str:
        return (
            f"n = {self.n} of {self.of}, MdSA {self.mdsa:.1f} %, SSPB {self.sspb:+.1f} %, RMSLE {self.rmsle:.3f}, "
            f"MAE {self.mae:.2f}, bias {self.bias:.2f}, slope {self.slope:.2f}, R2 {self.r2:.2f}"
        )

    def as_dict(self) -> dict[str, float]:
        """Give the scores by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line by least squares, without logarithms: for indices, which may be negative."""

    n: int
    of: int
    slope: float
    intercept: float
    r2: float
    """Squared correlation."""


def score(found: pd.DataFrame | ArrayLike, truth: ArrayLike | None = None) -> Scores:
    """Score a table of match-ups, or estimates against measurements.

    Parameters
    ----------
    found : pandas.DataFrame or array
        From `matchup`, with one product compared with one variable; or estimates.
    truth : array, optional
        Measurements of the same shape, if estimates are given.

    Returns
    -------
    Scores
        ``of`` counts, for a table, the different measurements without a fault of their own that had a scene, whatever
        became of them: clouds, land and failed retrievals count. For arrays, the finite measurements.

    Raises
    ------
    InputError
        If shapes differ, or the table holds several products: see `score_table`.

    Examples
    --------
    >>> told = score([2.0, 4.0, -1.0], [1.0, 2.0, 5.0])
    >>> told.n, told.of, round(told.mdsa), round(told.sspb), told.bias
    (2, 3, 100, 100, 2.0)
    """
    estimate, measured, of = _pairs(found, truth)
    good = np.isfinite(estimate) & np.isfinite(measured) & (estimate > 0) & (measured > 0)
    return _score(np.log10(estimate[good]), np.log10(measured[good]), of)


def score_table(found: pd.DataFrame) -> pd.DataFrame:
    """Score every product of a table of match-ups: one row each, with the fields of `Scores` as columns.

    Raises
    ------
    InputError
        If it is no table of match-ups.
    """
    _check(found)
    rows = [
        {"product": product, "variable": variable, **score(part).as_dict()}
        for (product, variable), part in found.groupby(["product", "variable"], sort=True)
    ]
    names = ["product", "variable", *Scores.__slots__]
    return pd.DataFrame(rows, columns=pd.Index(names))


def line(found: pd.DataFrame | ArrayLike, truth: ArrayLike | None = None) -> Line:
    """Fit measurement = slope x estimate + intercept by least squares, without logarithms.

    Parameters and errors are those of `score`; negative values count.

    Examples
    --------
    >>> fit = line([-1.0, 0.0, 1.0], [1.0, 3.0, 5.0])
    >>> fit.n, round(fit.slope, 6), round(fit.intercept, 6), round(fit.r2, 6)
    (3, 2.0, 3.0, 1.0)
    """
    estimate, measured, of = _pairs(found, truth)
    good = np.isfinite(estimate) & np.isfinite(measured)
    slope, intercept, r2 = _least_squares(estimate[good], measured[good])
    return Line(int(good.sum()), of, slope, intercept, r2)


def _pairs(found: Any, truth: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Give estimates and measurements, and how many measurements there were."""
    if isinstance(found, pd.DataFrame):
        if truth is not None:
            raise InputError("a table of match-ups holds the measurements", where="truth", expected="nothing",
                             got=type(truth).__name__)  # fmt: skip
        return _of_table(found)
    estimate, measured = np.asarray(found, "float64"), np.asarray(np.nan if truth is None else truth, "float64")
    if truth is None or estimate.shape != measured.shape:
        got = "no measurements" if truth is None else f"{estimate.shape} and {measured.shape}"
        raise InputError("estimates and measurements do not belong together", where="truth",
                         expected="arrays of one shape", got=got)  # fmt: skip
    return estimate.ravel(), measured.ravel(), int(np.isfinite(measured).sum())


def _of_table(found: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    _check(found)
    kinds = found[["product", "variable"]].drop_duplicates()
    if len(kinds) > 1:
        got = ", ".join(f"{row.product} with {row.variable}" for row in kinds.itertuples())
        raise InputError("several products cannot be scored together", where="found", expected="one product",
                         got=got[:200], todo="score_table(found), or select one")  # fmt: skip
    used = found[found["used"].astype(bool)]
    could = found["truth"].notna().to_numpy(bool)
    if "reasons" in found.columns:
        told = found["reasons"].astype(object)
        could &= np.array([FAULTS.isdisjoint(words.split(";")) for words in told], bool)
    of = int(found.loc[could, "sample"].nunique())
    return used["estimate"].to_numpy("float64"), used["truth"].to_numpy("float64"), of


def _check(found: pd.DataFrame) -> None:
    missing = [name for name in _COLUMNS if name not in found.columns]
    if missing:
        raise InputError("this is no table of match-ups", where="found", expected=", ".join(_COLUMNS),
                         got=f"no {', '.join(missing)}")  # fmt: skip


def _score(estimate: NDArray[np.float64], measured: NDArray[np.float64], of: int) -> Scores:
    """Score logarithms to base 10."""
    if not estimate.size:
        return Scores(0, of, *(float("nan"),) * 7)
    ratio = estimate - measured
    middle = float(np.median(ratio))
    slope, _, r2 = _least_squares(measured, estimate)
    return Scores(
        n=int(estimate.size),
        of=of,
        mdsa=100 * (10 ** float(np.median(np.abs(ratio))) - 1),
        sspb=100 * float(np.sign(middle)) * (10 ** abs(middle) - 1),
        rmsle=float(np.sqrt(np.mean(ratio**2))),
        mae=10 ** float(np.mean(np.abs(ratio))),
        bias=10 ** float(np.mean(ratio)),
        slope=slope,
        r2=r2,
    )


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Give slope, intercept and squared correlation; NaN where x or y does not vary."""
    if x.size < 2 or np.ptp(x) == 0:
        return float("nan"), float("nan"), float("nan")
    across, along = x - x.mean(), y - y.mean()
    spread, other, cross = float(across @ across), float(along @ along), float(across @ along)
    slope = cross / spread
    r2 = cross**2 / (spread * other) if other > 0 else float("nan")
    return slope, float(y.mean() - slope * x.mean()), r2
