"""Calibration: whether a model that says 80 % is right 80 times of a hundred."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy.scores import as_codes, number

_SUM = 1e-3
_BIN = ("confidence", "accuracy", "low", "high")
# The logarithm of a probability that is none is as large as single precision can tell it from none.
_LEAST = float(np.finfo("float32").eps)

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """How the probabilities of a model compare with how often it is right."""

    edges: Floats
    """(bin + 1,): limits of the bins of the highest probability."""
    counts: NDArray[np.int64]
    """(bin,): samples."""
    confidence: Floats
    """(bin,): mean of the highest probability; NaN in an empty bin."""
    accuracy: Floats
    """(bin,): share that is right; NaN in an empty bin."""
    low: Floats
    """(bin,): lower end of Wilson's 95 % interval of the accuracy."""
    high: Floats
    """(bin,): upper end of it."""
    ece: float
    """Expected calibration error: mean of |accuracy - confidence| over the bins, weighed by their samples."""
    worst: float
    """Largest such difference."""
    bias: float
    """Mean confidence less accuracy: above 0 the model is too sure of itself."""
    by_class: Floats
    """(class,): the same error for the probability of each class, of all samples."""
    brier: float
    """Mean of the squared differences from certainty, summed over classes: 0 to 2."""
    log_loss: float
    """Mean of -ln p of the true class."""
    left_out: int
    """Samples without probabilities."""

    @property
    def samples(self) -> int:
        """Samples that were used."""
        return int(self.counts.sum())

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; NaN becomes null."""
        rows = zip(self.counts, self.confidence, self.accuracy, self.low, self.high, strict=True)
        return {
            "ece": number(self.ece),
            "worst": number(self.worst),
            "bias": number(self.bias),
            "brier": number(self.brier),
            "log_loss": number(self.log_loss),
            "by_class": [number(value) for value in self.by_class],
            "samples": self.samples,
            "left_out": self.left_out,
            "edges": self.edges.tolist(),
            "bins": [
                {"count": int(n)} | {name: number(one) for name, one in zip(_BIN, values, strict=True)}
                for n, *values in rows
            ],
        }


def calibration(
    probabilities: ArrayLike, labels: ArrayLike, codes: Sequence[int], *, bins: int = 10, equal: str = "width"
) -> Calibration:
    """Compare the probabilities of a model with the truth.

    Parameters
    ----------
    probabilities : array of float (n, class)
        Of samples that the model did not learn from; each row sums to 1. Rows with NaN are left out and counted.
    labels : array of int (n,)
        True class of each; one that is not among ``codes`` makes the model wrong.
    codes : sequence of int
        Class of each column.
    bins : int
        Number of bins.
    equal : str
        ``"width"``: bins as wide as each other from 0 to 1; ``"count"``: with as many samples as each other.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If the shapes do not fit, rows do not sum to 1, or no row is left.

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, Obtaining well calibrated probabilities using Bayesian binning,
    doi:10.1609/aaai.v29i1.9602; Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Wilson 1927,
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> found = calibration([[0.75, 0.25]] * 4, [1, 1, 1, 2], [1, 2])
    >>> found.ece, found.bias
    (0.0, 0.0)
    """
    chances, truth = np.asarray(probabilities, "float64"), as_codes(labels, "labels")
    columns = as_codes(list(codes), "codes")
    if equal not in ("width", "count") or bins < 1:
        raise InputError("unknown bins", where="bins, equal", expected="'width' or 'count'", got=f"{bins}, {equal!r}")
    if chances.shape != (truth.size, columns.size) or np.unique(columns).size != columns.size or not columns.size:
        raise InputError(
            "the probabilities need a row for each label and a column for each class",
            where="probabilities",
            expected=str((truth.size, columns.size)),
            got=str(chances.shape),
        )
    kept = np.isfinite(chances).all(axis=1)
    chances, truth = chances[kept], truth[kept]
    _check_sums(chances)
    right = chances.argmax(axis=1)
    hit = (truth[:, None] == columns).astype("float64")
    top = chances.max(axis=1)
    edges = _edges(top, bins, equal)
    counts, confidence, agreed = _binned(top, hit[np.arange(truth.size), right], edges)
    accuracy, filled = agreed / np.maximum(counts, 1), counts > 0
    gaps = np.abs(accuracy - confidence)[filled]
    low, high = _wilson(agreed, counts)
    return Calibration(
        edges=edges,
        counts=counts,
        confidence=np.where(filled, confidence, np.nan),
        accuracy=np.where(filled, accuracy, np.nan),
        low=low,
        high=high,
        ece=float(gaps @ counts[filled] / truth.size),
        worst=float(gaps.max()),
        bias=float(top.mean() - agreed.sum() / truth.size),
        by_class=np.array([_class_error(p, h, bins, equal) for p, h in zip(chances.T, hit.T, strict=True)]),
        brier=float(((chances - hit) ** 2).sum(axis=1).mean() + (1 - hit.sum(axis=1)).mean()),
        log_loss=float(-np.log(np.maximum((chances * hit).sum(axis=1), _LEAST)).mean()),
        left_out=int((~kept).sum()),
    )


def _check_sums(chances: Floats) -> None:
    if not len(chances):
        raise InputError("no sample has probabilities", where="probabilities", got="NaN in every row, or no row")
    off = np.abs(chances.sum(axis=1) - 1)
    if (chances < 0).any() or off.max() > _SUM:
        row = int(off.argmax())
        raise InputError(
            "probabilities of a sample sum to 1", where=f"row {row}", got=f"{chances[row].sum():.6g}", expected="1"
        )


def _edges(values: Floats, bins: int, equal: str) -> Floats:
    if equal == "width":
        return np.linspace(0.0, 1.0, bins + 1)
    inner = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.concatenate([[0.0], inner, [1.0]])


def _binned(values: Floats, hit: Floats, edges: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Give the number of each bin, the mean of its values, and how many of them are right; limits belong below."""
    bins = edges.size - 1
    place = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    means = np.bincount(place, values, bins) / np.maximum(counts, 1)
    return counts, means, np.bincount(place, hit, bins)


def _class_error(values: Floats, hit: Floats, bins: int, equal: str) -> float:
    counts, means, agreed = _binned(values, hit, _edges(values, bins, equal))
    return float(np.abs(agreed - means * counts).sum() / values.size)


def _wilson(right: Floats, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    z = NormalDist().inv_cdf(0.975)
    n = np.where(counts > 0, counts, np.nan)
    share = right / n
    middle, width = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low: Floats = np.maximum(0.0, (middle - width) / (1 + z**2 / n))
    high: Floats = np.minimum(1.0, (middle + width) / (1 + z**2 / n))
    return low, high


def temperature(probabilities: ArrayLike, labels: ArrayLike, codes: Sequence[int], *, score: str = "log_loss") -> float:
    """Give the T of the exponent 1/T by which probabilities become calibrated: ``p**(1/T)``, scaled to sum 1.

    Parameters
    ----------
    probabilities, labels, codes
        As for :func:`calibration`.
    score : str
        What is made least: ``"log_loss"``, or ``"brier"``, the mean of the squared differences from certainty, which
        is to be taken where a model may give the true class no chance at all, as the votes of a forest do: the
        logarithm would see nothing else.

    Returns
    -------
    float
        T: above 1 the model was too sure. Between 1/20 and 20.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar

    chances, truth = np.asarray(probabilities, "float64"), as_codes(labels, "labels")
    kept = np.isfinite(chances).all(axis=1) & np.isin(truth, list(codes))
    _check_sums(chances[kept])
    place = np.argsort(np.asarray(codes))[np.searchsorted(np.sort(np.asarray(codes)), truth[kept])]
    logs = np.log(np.maximum(chances[kept], _LEAST))

    if score not in ("log_loss", "brier"):
        raise InputError("unknown score", where="score", expected="'log_loss' or 'brier'", got=repr(score)[:40])
    rows = np.arange(place.size)

    def loss(log_t: float) -> float:
        scaled = logs / math.exp(log_t)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        sums = np.exp(scaled).sum(axis=1)
        if score == "log_loss":
            return float((np.log(sums) - scaled[rows, place]).mean())
        again = np.exp(scaled) / sums[:, None]
        return float(((again**2).sum(axis=1) - 2 * again[rows, place] + 1).mean())

    found = minimize_scalar(loss, bounds=(-math.log(20), math.log(20)), method="bounded")
    return float(math.exp(found.x))
