"""Noise that adds up along the network: what it makes of the parameters of a model that is fitted to a series.

The noise of pairs is summed on the way from the reference date to each date, so errors of dates are no more independent
than the steps of a walk. Along a chain of pairs this is exact; a denser network has a little less of it between dates
than told here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.deformation.model.terms import Doubles
from terracube.processing.kernels.regression import Regression
from terracube.processing.kernels.walk import walk_pixels


def increments(deviations: NDArray[Any], reference: int) -> Doubles:
    """Give what each date adds to the variance on the way from the reference date.

    Parameters
    ----------
    deviations : array (time, pixel)
        Standard deviations since the reference date; NaN where not known, which adds nothing.
    reference : int
        Number of dates before the reference date; it need not be one of them.

    Returns
    -------
    array (time, pixel), float64
    """
    variance = np.nan_to_num(np.square(deviations, dtype="float64"), nan=0.0, posinf=0.0)
    out = np.zeros_like(variance)
    out[reference:] = np.diff(np.maximum.accumulate(variance[reference:], axis=0), axis=0, prepend=0.0)
    before = np.maximum.accumulate(variance[:reference][::-1], axis=0)
    out[:reference] = np.diff(before, axis=0, prepend=0.0)[::-1]
    return out


def walked(
    design: Doubles, got: Regression, weights: NDArray[Any], deviations: NDArray[Any], reference: int
) -> tuple[Doubles, Doubles]:
    """Propagate the walk through a fit.

    A parameter is ``A G' V d``, ``A`` the inverse of the normal matrix; an increment is in all dates beyond it, so that
    it moves the parameters by ``A B``, ``B`` the sum of ``G' V`` over these dates, and the residuals by what is left.

    Parameters
    ----------
    design : array (time, parameter)
    got : Regression
    weights : array (time, pixel)
        Of the fit; 0 where a date is missing.
    deviations : array (time, pixel)
        Standard deviations of the network's noise since the reference date.
    reference : int
        As for :func:`increments`.

    Returns
    -------
    array (p (p + 1) / 2, pixel)
        Covariance of the parameters by the walk, triangle by row.
    array (pixel,)
        What the walk brings to ``chi2``, on average.
    """
    covariance, expected = np.empty_like(got.inverse), np.empty_like(got.chi2)
    # In double precision: one compiled form for all types.
    given = (np.ascontiguousarray(one, "float64") for one in (design, weights, deviations))
    walk_pixels(*given, reference, np.ascontiguousarray(got.inverse), (covariance, expected))
    return covariance, expected
