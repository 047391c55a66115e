"""A small sphere that changes its volume in an elastic half space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError

type Doubles = NDArray[np.float64]


class Motion(NamedTuple):
    """Displacement of the surface, m, arrays of one shape."""

    east: Doubles
    north: Doubles
    up: Doubles


def mogi(x: ArrayLike, y: ArrayLike, *, depth: float, volume: float, poisson: float = 0.25) -> Motion:
    """Give the displacement of the surface by a point source of volume.

    ``u = (1 - nu) dV / pi * (x, y, d) / R^3``, ``R^2 = x^2 + y^2 + d^2``. The integral of the uplift over the plane is
    ``2 (1 - nu) dV``.

    Parameters
    ----------
    x, y : array
        East and north of the source, m.
    depth : float
        Of its centre, m, > 0.
    volume : float
        Change of volume, m3; positive lifts.
    poisson : float
        Poisson's ratio, -1 to 0.5.

    Returns
    -------
    Motion
        m, positive east, north and up; NaN where a coordinate is.

    Raises
    ------
    InputError
        If the depth is not above zero, or Poisson's ratio is none.

    Examples
    --------
    >>> [round(float(each), 4) for each in mogi(1000.0, 0.0, depth=1000.0, volume=1e6)]
    [0.0844, 0.0, 0.0844]

    References
    ----------
    Mogi 1958, Relations between the eruptions of various volcanoes and the deformations of the ground surfaces around
    them, Bulletin of the Earthquake Research Institute 36, 99-134.
    """
    if not 0 < depth < np.inf:
        raise InputError("the source is not below the ground", where="depth", expected="> 0", got=str(depth))
    check_poisson(poisson)
    east, north = np.broadcast_arrays(np.asarray(x, "float64"), np.asarray(y, "float64"))
    strength = (1 - poisson) * volume / np.pi / (east**2 + north**2 + depth**2) ** 1.5
    along, across, up = (np.asarray(strength * each) for each in (east, north, depth))
    return Motion(along, across, up)


def check_poisson(poisson: float) -> None:
    """Refuse what is no Poisson's ratio."""
    if not -1 < poisson <= 0.5:
        raise InputError("no Poisson's ratio", where="poisson", expected="> -1, <= 0.5", got=str(poisson))
