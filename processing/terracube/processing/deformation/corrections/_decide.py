"""From sums over tiles to a decision per layer: coefficients, their errors, tests, and what is removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.processing.deformation.corrections._rules import RampRules
from terracube.processing.deformation.corrections._tile_sums import KILOMETRE, LAGS, Doubles, Frame, Sums, basis_of

GROUPS = ("ramp", "elevation")
# Huber's constant, in robust standard deviations, and rounds enough for the weights to settle.
_HUBER, _ROUNDS = 1.345, 50
_MAD = 0.6744897501960817


@dataclass(frozen=True, slots=True)
class Decided:
    """What is known of each layer, in arrays of rows (layer,)."""

    coefficients: Doubles
    """(layer, term), m (or rad) per scaled unit; NaN where not estimated."""
    std: Doubles
    """(layer, term)"""
    middle: Doubles
    """(layer, term): mean of the field over the pixels used."""
    r2: Doubles
    """(layer,): share of the variance that all terms explain."""
    partial: Doubles
    """(layer, group): share that the group explains of what the others leave."""
    chance: Doubles
    """(layer, group): probability of at least that much by noise."""
    removed: Doubles
    """(layer, group): 1 or 0."""
    pixels: Doubles
    """(layer,)"""
    independent: Doubles
    """(layer, group): how many independent pixels they are worth for its terms."""

    def table(self) -> Doubles:
        """Give all in one array (layer, column)."""
        wide = (self.coefficients, self.std, self.middle, self.partial, self.chance, self.removed, self.independent)
        return np.concatenate([*wide, np.stack((self.r2, self.pixels), axis=1)], axis=1)


@dataclass(frozen=True, slots=True)
class Decide:
    """Makes the table of decisions from the sums of all tiles."""

    frame: Frame
    rules: RampRules
    design: tuple[tuple[float, ...], ...] | None

    def __call__(self, sums: Sums, counts: Doubles) -> Doubles:
        """Decide for all layers; ``counts`` (layer,) says how many pixels each has by itself."""
        return self.decided(sums, counts).table()

    def decided(self, sums: Sums, counts: Doubles) -> Decided:
        """Decide for all layers."""
        kept = kept_of(counts, self.rules.share) if self.design is not None else counts > 0
        layers, terms = sums.gx.shape
        chosen = self._chosen(sums)
        solved = kept & self._enough(kept, sums, chosen)
        found = _empty(layers, terms, sums, np.where(kept, sums.count, 0.0))
        for layer in np.flatnonzero(solved):
            _solve(found, sums, int(layer), chosen)
        self._settle(found, sums, chosen, solved)
        return found

    def _chosen(self, sums: Sums) -> NDArray[np.bool_]:
        """Tell the terms that are estimated: without the height where there is no relief."""
        chosen = np.ones(len(self.frame.terms), bool)
        if self.frame.height:
            # Layers that stand alone share the verdict of the one with most pixels.
            best = int(np.argmax(sums.count)) if len(sums.gg) > 1 else 0
            count = max(float(sums.count.max()), 1.0)
            spread = sums.gg[best, -1, -1] / count - (sums.gg[best, 0, -1] / count) ** 2
            chosen[-1] = np.sqrt(max(spread, 0.0)) * KILOMETRE >= max(self.rules.relief, 1e-6)
        return chosen

    def _enough(self, kept: NDArray[np.bool_], sums: Sums, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell the layers that can be estimated at all."""
        enough = sums.count > chosen.sum()
        if self.design is not None:
            rank = basis_of(np.array(self.design), kept).shape[1]
            enough &= bool(kept.sum() >= rank + 2)
        return np.asarray(enough)

    def _settle(self, found: Decided, sums: Sums, chosen: NDArray[np.bool_], solved: NDArray[np.bool_]) -> None:
        """Free the coefficients of the temporal model and test each group."""
        groups = _groups(self.frame, chosen)
        inverse = _inverses(sums, chosen, solved)
        noise = _unexplained(sums, found.coefficients)
        worth = _worth(sums, found.coefficients, inverse)
        for number, places in enumerate(groups):
            if not len(places) or not solved.any():
                continue
            form = np.array([_pseudo(one[np.ix_(places, places)]) for one in inverse])
            if self.design is not None:
                own = found.coefficients[:, places]
                own[solved] = _untrended(own[solved], form[solved], np.array(self.design)[solved])
                found.coefficients[:, places] = own
            strength = np.einsum("kp,kpq,kq->k", *(found.coefficients[:, places], form, found.coefficients[:, places]))
            found.independent[solved, number] = worth[solved][:, places].min(axis=1)
            self._test(found, number, len(places), strength, noise)
        spare = worth - chosen.sum()
        scale = np.divide(noise[:, None], spare, out=np.full_like(spare, np.nan), where=spare > 0)
        found.std[:] = np.sqrt(scale * np.where(chosen, np.diagonal(inverse, axis1=1, axis2=2), np.nan))
        found.std[~solved] = np.nan

    def _test(self, found: Decided, number: int, size: int, strength: Doubles, noise: Doubles) -> None:
        """Test a group by the F ratio with the number of independent pixels, and by its partial correlation."""
        from scipy.special import fdtrc

        spare = found.independent[:, number] - self._terms(found)
        whole = strength + noise
        with np.errstate(divide="ignore", invalid="ignore"):
            found.partial[:, number] = np.where(whole > 0, strength / whole, np.nan)
            ratio = (strength / size) / (noise / spare)
            found.chance[:, number] = np.where(spare > 0, fdtrc(size, np.maximum(spare, 1e-9), ratio), np.nan)
        if self.rules.significance is None:
            found.removed[:, number] = strength > 0
            return
        # Many dates are tested at once: Bonferroni's limit holds for all of them together.
        limit = self.rules.significance / max(int(np.isfinite(found.coefficients[:, 0]).sum()), 1)
        certain = (noise <= 1e-24 * whole) & (strength > 0)
        good = (found.chance[:, number] <= limit) & (found.partial[:, number] >= self.rules.correlation**2)
        found.removed[:, number] = good | certain

    def _terms(self, found: Decided) -> int:
        return int(np.isfinite(found.coefficients).any(axis=0).sum())


def kept_of(counts: Doubles, share: float) -> NDArray[np.bool_]:
    """Tell the layers with enough pixels of their own to take part in a joint estimate."""
    return np.asarray((counts > 0) & (counts >= share * counts.max(initial=0.0)))


def _groups(frame: Frame, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the places of the terms of each group."""
    ramp = np.arange(1, 1 + len(frame.ramp))
    height = np.flatnonzero(chosen)[-1:] if frame.height and chosen[-1] else np.empty(0, "int64")
    return ramp, height


def _empty(layers: int, terms: int, sums: Sums, pixels: Doubles) -> Decided:
    count = np.maximum(sums.count, 1.0)[:, None]
    middle = np.broadcast_to(sums.gg[:, 0, :], (layers, terms)) / count
    nothing = np.full((layers, 2), np.nan)
    wide = np.full((layers, terms), np.nan)
    single = np.full(layers, np.nan)
    none = np.zeros((layers, 2))
    return Decided(wide, wide.copy(), middle, single, nothing, nothing.copy(), none, pixels, nothing.copy())


def _gg(sums: Sums, layer: int) -> Doubles:
    own: Doubles = sums.gg[layer if len(sums.gg) > 1 else 0]
    return own


def _solve(found: Decided, sums: Sums, layer: int, chosen: NDArray[np.bool_]) -> None:
    """Solve one layer's normal equations; a term that others already give is left at the smallest solution."""
    places = np.flatnonzero(chosen)
    square = _gg(sums, layer)[np.ix_(places, places)]
    found.coefficients[layer, places] = _pseudo(square) @ sums.gx[layer, places]
    rest = _unexplained_of(sums, layer, found.coefficients[layer])
    total = sums.xx[layer] - sums.gx[layer, 0] ** 2 / sums.count[layer]
    found.r2[layer] = 1.0 - rest / total if total > 0 else np.nan


def _pseudo(square: Doubles) -> Doubles:
    """Invert a matrix of sums of products, scaled to a unit diagonal first."""
    scale = np.sqrt(np.diagonal(square))
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(
        np.linalg.pinv(square / np.outer(scale, scale), rcond=1e-12, hermitian=True) / np.outer(scale, scale)
    )


def _inverses(sums: Sums, chosen: NDArray[np.bool_], solved: NDArray[np.bool_]) -> Doubles:
    """Give the inverse of each layer's matrix, identity where a term or layer is not estimated."""
    layers, terms = sums.gx.shape
    made = np.broadcast_to(np.eye(terms), (layers, terms, terms)).copy()
    places = np.ix_(np.flatnonzero(chosen), np.flatnonzero(chosen))
    for layer in np.flatnonzero(solved):
        made[layer][places] = _pseudo(_gg(sums, int(layer))[places])
    return made


def _unexplained(sums: Sums, coefficients: Doubles) -> Doubles:
    return np.array([_unexplained_of(sums, layer, coefficients[layer]) for layer in range(len(coefficients))])


def _unexplained_of(sums: Sums, layer: int, coefficients: Doubles) -> float:
    """Give the sum of squares that a layer's own fit leaves; what rounding leaves of an exact fit is nothing."""
    own = np.nan_to_num(coefficients)
    total = float(sums.xx[layer])
    rest = total - 2 * float(own @ sums.gx[layer]) + float(own @ _gg(sums, layer) @ own)
    return rest if rest > 1e-13 * total else 0.0


def _worth(sums: Sums, coefficients: Doubles, inverse: Doubles) -> Doubles:
    """Find how many independent pixels a layer is worth for each term, (layer, term).

    The error of a coefficient grows with the correlation of the noise at distances at which the term itself is alike,
    once the other terms are taken out of it: the number of pixels is divided by the sum over all lags of the product of
    both correlations (Clifford et al. 1989, doi:10.2307/2532039; Dutilleul 1993, doi:10.2307/2532625), the noise's as
    far as it is positive, along rows times along columns.
    """
    noise = _correlations(sums, np.nan_to_num(coefficients), _unexplained(sums, coefficients))
    found = np.empty(coefficients.shape)
    for layer, term in np.ndindex(*found.shape):
        own = inverse[layer, term] / (inverse[layer, term, term] or 1.0)
        alike = _likeness(sums, layer, own)
        scales = [_integral(noise[axis, :, layer], alike[axis]) for axis in (0, 1)]
        found[layer, term] = sums.count[layer] / (scales[0] * scales[1])
    return found


def _correlations(sums: Sums, own: Doubles, noise: Doubles) -> Doubles:
    """Give the correlation of the residuals, (2, lag, layer)."""
    near_gg = np.broadcast_to(sums.near_gg, (*sums.near_xx.shape, *sums.gg.shape[1:]))
    crossed = np.einsum("alkp,kp->alk", sums.near_gx, own)
    fitted = np.einsum("kp,alkpq,kq->alk", own, near_gg, own)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (sums.near_xx - 2 * crossed + fitted) / sums.near_count / (noise / sums.count)
    return np.asarray(found, "float64")


def _likeness(sums: Sums, layer: int, own: Doubles) -> Doubles:
    """Give the correlation with itself of a combination of the fields, (2, lag)."""
    at = layer if len(sums.gg) > 1 else 0
    square = float(own @ sums.gg[at] @ own)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.einsum("p,alpq,q->al", own, sums.near_gg[:, :, at], own) / sums.near_count[:, :, layer]
        return np.asarray(near / (square / sums.count[layer]), "float64")


def _integral(noise: Doubles, alike: Doubles) -> float:
    """Sum the product of two correlations over all lags, until the first falls to zero; at least 1."""
    lags, values, others = [0.0], [1.0], [1.0]
    for lag, value, other in zip(LAGS, noise, alike, strict=True):
        if not (np.isfinite(value) and np.isfinite(other)):
            break
        lags.append(float(lag))
        values.append(min(max(float(value), 0.0), 1.0))
        others.append(min(max(float(other), -1.0), 1.0))
        if value <= 0:
            break
    steps = np.arange(1.0, lags[-1] + 1)
    return max(1.0, float(1.0 + 2.0 * (np.interp(steps, lags, values) * np.interp(steps, lags, others)).sum()))


def _untrended(own: Doubles, form: Doubles, design: Doubles) -> Doubles:
    """Subtract from coefficients (layer, term) what the temporal model explains of them, robustly.

    A single date with a large ramp must not lend the others a share of it: dates are weighed by Huber's function of
    the strength of what is left of them, in the metric of the fields, so that the estimate is unique.
    """
    basis = basis_of(design, np.ones(len(own), bool))
    weights, rest = np.ones(len(own)), own
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        fitted = basis @ (np.linalg.pinv(basis * root) @ (own * root))
        rest = own - fitted
        strength = np.sqrt(np.maximum(np.einsum("kp,kpq,kq->k", rest, form, rest), 0.0))
        scale = _HUBER * max(float(np.median(strength)) / _MAD, 1e-6 * float(strength.max(initial=0.0)))
        weights = (
            np.where(strength > scale, scale / np.where(strength > 0, strength, 1.0), 1.0) if scale > 0 else weights
        )
    return np.asarray(rest)
