"""A rectangle that slips or opens in an elastic half space: displacement of the surface.

Okada 1985, Surface deformation due to shear and tensile faults in a half-space, Bulletin of the Seismological Society
of America 75, 1135-1154, doi:10.1785/BSSA0750041135. Numbers of equations are those of this paper.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.sources.mogi import Motion, check_poisson

type Doubles = NDArray[np.float64]

# Equations 28 lose the digits of the cosine's square. Nearer than this to the vertical (radians), they are interpolated
# between the limit and two dips this far from it.
_NEAR, _NODE = 1e-3, 2e-3
# Squares below this have lost their digits.
_NOTHING = 1e-280


class _Dip(NamedTuple):
    sin: float
    cos: float
    medium: float
    """mu / (lambda + mu) = 1 - 2 nu."""


def _dip_of(angle: float, poisson: float) -> _Dip:
    """Take sine and cosine of a dip in radians; the cosine of the vertical is exactly zero."""
    vertical = abs(abs(angle) - math.pi / 2) < 1e-12
    return _Dip(math.sin(angle), 0.0 if vertical else math.cos(angle), 1 - 2 * poisson)


def okada(
    x: ArrayLike,
    y: ArrayLike,
    *,
    depth: float,
    size: tuple[float, float],
    strike: float,
    dip: float,
    slip: tuple[float, float, float],
    poisson: float = 0.25,
) -> Motion:
    """Give the displacement of the surface by a rectangle that slips or opens.

    Parameters
    ----------
    x, y : array
        East and north of the middle of the rectangle's upper edge, m.
    depth : float
        Of the upper edge, m, 0 or more.
    size : (length, width)
        Along the strike and down the dip, m, > 0.
    strike : float
        Degrees clockwise from north; the rectangle dips to the right of it.
    dip : float
        Degrees from the horizontal, 0 to 90.
    slip : (float, float, float)
        Of the upper side against the lower, m: along the strike (positive left-lateral: rake 0), up the dip (positive
        thrust: rake 90), and opening.
    poisson : float
        Poisson's ratio, -1 to 0.5.

    Returns
    -------
    Motion
        m, positive east, north and up; NaN where a coordinate is. Exactly on the trace of a rectangle that reaches the
        surface motion jumps, and at its ends it grows without bound: there, what the paper's rules give.

    Raises
    ------
    InputError
        If the rectangle has no size or leaves the ground, or Poisson's ratio is none.

    Examples
    --------
    >>> found = okada(2000.0, 0.0, depth=1000.0, size=(4e3, 3e3), strike=0.0, dip=45.0, slip=(0, 1, 0))
    >>> [round(float(each), 4) for each in found]
    [0.0238, 0.0, 0.1721]
    """
    length, width = size
    if not (depth >= 0 and length > 0 and width > 0 and math.isfinite(depth + length + width)):
        got = f"depth {depth}, length {length}, width {width}"
        raise InputError("no rectangle below the ground", expected="depth >= 0, length and width > 0", got=got)
    if not (0 <= dip <= 90 and math.isfinite(strike)):
        raise InputError("no plane", where="strike, dip", expected="dip 0 to 90", got=f"{strike}, {dip}")
    east, north = np.broadcast_arrays(np.asarray(x, "float64"), np.asarray(y, "float64"))
    sine, cosine = math.sin(math.radians(strike)), math.cos(math.radians(strike))
    # From the middle of the upper edge to the paper's origin, the end of the lower edge where the strike starts.
    along = east * sine + north * cosine + length / 2
    left = north * sine - east * cosine + width * math.cos(math.radians(dip))
    bottom = depth + width * math.sin(math.radians(dip))
    ux, uy, uz = okada_plane(along, left, depth=bottom, dip=dip, size=size, slip=slip, poisson=poisson)
    east, north = ux * sine - uy * cosine, ux * cosine + uy * sine
    return Motion(np.asarray(east), np.asarray(north), np.asarray(uz))


def okada_plane(
    x: ArrayLike,
    y: ArrayLike,
    *,
    depth: float,
    dip: float,
    size: tuple[float, float],
    slip: tuple[float, float, float],
    poisson: float = 0.25,
) -> tuple[Doubles, Doubles, Doubles]:
    """Give the displacement in the coordinates of the paper, equations 25 to 30.

    Parameters
    ----------
    x, y : array
        Along the strike and to the left of it, from the end of the edge that lies at ``depth``.
    depth : float
        Of that edge, > 0; it is the lower one if the dip is positive.
    dip : float
        Degrees, -90 to 90.
    size : (length, width)
        In the unit of the coordinates; ``slip`` has the unit of the result.
    slip : (strike, dip, tensile)
    poisson : float
        Poisson's ratio.

    Returns
    -------
    ux, uy, uz : arrays
        Along the strike, to the left of it, up.

    Raises
    ------
    InputError
        If Poisson's ratio is none.

    Examples
    --------
    The first row of case 2 of the paper's table 2:

    >>> case = okada_plane(2, 3, depth=4, dip=70, size=(3, 2), slip=(1, 0, 0))
    >>> [f"{float(each):.3e}" for each in case]
    ['-8.689e-03', '-4.298e-03', '-2.747e-03']
    """
    check_poisson(poisson)
    plane = _dip_of(math.radians(dip), poisson)
    along, left = np.broadcast_arrays(np.asarray(x, "float64"), np.asarray(y, "float64"))
    p = left * plane.cos + depth * plane.sin
    q = left * plane.sin - depth * plane.cos
    length, width = size
    total = [np.zeros(along.shape) for _ in range(3)]
    # Chinnery's notation, equation 24.
    for sign, xi, eta in (
        (1, along, p),
        (-1, along, p - width),
        (-1, along - length, p),
        (1, along - length, p - width),
    ):
        for axis, part in enumerate(_corner(xi, eta, q, plane, slip)):
            total[axis] += sign * part
    ux, uy, uz = (np.asarray(each) for each in total)
    return ux, uy, uz


def _corner(
    xi: Doubles, eta: Doubles, q: Doubles, plane: _Dip, slip: tuple[float, float, float]
) -> tuple[Doubles, Doubles, Doubles]:
    """Give the terms of one corner, equations 25 to 27, all kinds of slip together.

    Two terms of equation 25 are joined, ``y~ q / (R (R + eta)) + q cos / (R + eta) = q cos / R + q^2 sin / (R (R +
    eta))`` and likewise with d~: near the edges both are large and cancel.
    """
    sin, cos = plane.sin, plane.cos
    r = np.sqrt(xi**2 + eta**2 + q**2)
    across, down = eta * cos + q * sin, eta * sin - q * cos
    by_eta, log_eta = _along_edge(eta, xi**2 + q**2, r)
    by_xi, _ = _along_edge(xi, eta**2 + q**2, r)
    angle = _ratio_angle(xi * eta, q * r)
    i1, i2, i3, i4, i5 = _integrals(xi, eta, q, log_eta, plane)
    per_r_eta, per_r_xi = _safe(by_eta, r), _safe(by_xi, r)
    strike, thrust, opening = (each / (2 * math.pi) for each in slip)
    bulk = xi * q * per_r_eta - angle
    ux = -strike * (xi * q * per_r_eta + angle + i1 * sin) - thrust * (_safe(q, r) - i3 * sin * cos)
    ux = ux + opening * (q**2 * per_r_eta - i3 * sin**2)
    uy = -strike * (_safe(q, r) * cos + q**2 * per_r_eta * sin + i2 * sin)
    uy = uy - thrust * (across * q * per_r_xi + cos * angle - i1 * sin * cos)
    uy = uy + opening * (-down * q * per_r_xi - sin * bulk - i1 * sin**2)
    uz = -strike * (_safe(q, r) * sin - q**2 * per_r_eta * cos + i4 * sin)
    uz = uz - thrust * (down * q * per_r_xi + sin * angle - i5 * sin * cos)
    uz = uz + opening * (across * q * per_r_xi + cos * bulk - i5 * sin**2)
    return ux, uy, uz


def _integrals(xi: Doubles, eta: Doubles, q: Doubles, log_eta: Doubles, plane: _Dip) -> tuple[Doubles, ...]:
    """Give I1 to I5, equations 28, and for a vertical fault 29."""
    if plane.cos == 0:
        return _vertical(xi, eta, q, log_eta, plane)
    if abs(plane.cos) > _NEAR:
        return _inclined(xi, eta, q, log_eta, plane)
    vertical = math.copysign(math.pi / 2, plane.sin)
    away = math.atan2(plane.sin, plane.cos) - vertical
    nodes = (
        (away * (away - _NODE) / (2 * _NODE**2), vertical - _NODE, _inclined),
        (1 - away**2 / _NODE**2, vertical, _vertical),
        (away * (away + _NODE) / (2 * _NODE**2), vertical + _NODE, _inclined),
    )
    total: list[Doubles] = [np.zeros(xi.shape)] * 5
    for share, angle, formula in nodes:
        parts = formula(xi, eta, q, log_eta, _dip_of(angle, (1 - plane.medium) / 2))
        total = [kept + share * part for kept, part in zip(total, parts, strict=True)]
    return tuple(total)


def _vertical(xi: Doubles, eta: Doubles, q: Doubles, log_eta: Doubles, plane: _Dip) -> tuple[Doubles, ...]:
    """Equations 29."""
    sin, half = plane.sin, plane.medium / 2
    beyond = np.sqrt(xi**2 + eta**2 + q**2) + eta * sin
    i1 = -half * _safe(xi * q, beyond**2)
    i3 = half * (_safe(eta, beyond) + _safe(q * sin * q, beyond**2) - log_eta)
    i4 = -plane.medium * _safe(q, beyond)
    i5 = -plane.medium * _safe(xi * sin, beyond)
    return i1, -plane.medium * log_eta - i3, i3, i4, i5


def _inclined(xi: Doubles, eta: Doubles, q: Doubles, log_eta: Doubles, plane: _Dip) -> tuple[Doubles, ...]:
    """Equations 28."""
    sin, cos, medium = plane.sin, plane.cos, plane.medium
    r, flat = np.sqrt(xi**2 + eta**2 + q**2), np.sqrt(xi**2 + q**2)
    beyond = r + eta * sin - q * cos
    above = eta * (flat + q * cos) + flat * (r + flat) * sin
    i5 = medium * 2 / cos * _ratio_angle(above, xi * (r + flat) * cos)
    i4 = medium / cos * (_safe_log(beyond) - sin * log_eta)
    i3 = medium * (_safe(eta * cos + q * sin, cos * beyond) - log_eta) + sin / cos * i4
    i1 = -medium * _safe(xi, cos * beyond) - sin / cos * i5
    return i1, -medium * log_eta - i3, i3, i4, i5


def _along_edge(value: Doubles, others: Doubles, r: Doubles) -> tuple[Doubles, Doubles]:
    """Give 1 / (R + v) and ln(R + v); where R + v is zero, what the paper says: 0 and -ln(R - v).

    For negative v the sum is that of the other squares over R - v, which keeps its digits.
    """
    other = r - value
    total = np.where(value < 0, _safe(others, other), r + value)
    singular = np.where(value < 0, others, total**2) < _NOTHING
    inverse = np.where(singular, 0.0, 1 / np.where(singular, 1.0, total))
    logarithm = np.where(singular, -_safe_log(other), _safe_log(total))
    return inverse, logarithm


def _safe(above: Doubles, below: Doubles) -> Doubles:
    """Divide; zero where there is nothing to divide by."""
    empty = below == 0
    return np.asarray(np.where(empty, 0.0, above / np.where(empty, 1.0, below)))


def _safe_log(value: Doubles) -> Doubles:
    return np.asarray(np.log(np.where(value > 0, value, np.where(np.isnan(value), np.nan, 1.0))))


def _ratio_angle(above: Doubles, below: Doubles) -> Doubles:
    """Give the arctangent of a ratio; zero where its denominator is, as the paper sets both of its arctangents."""
    empty = below == 0
    return np.asarray(np.where(empty, 0.0, np.arctan2(np.where(below < 0, -above, above), np.abs(below))))
