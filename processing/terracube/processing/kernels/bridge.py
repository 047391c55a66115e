"""Bridge what is undefined at some dates of a filled series: an index whose denominator is zero there."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def bridge(values: NDArray[np.float32], days: NDArray[np.float64]) -> None:
    """Interpolate each variable of each pixel linearly over the dates on which it is NaN; repeat it at the ends.

    Parameters
    ----------
    values : float32 (dates, variables, pixels)
        Changed in place. A variable that is NaN at every date of a pixel stays so.
    days : float64 (dates,)
        Strictly increasing.
    """
    dates, variables, pixels = values.shape
    for variable in range(variables):
        for pixel in range(pixels):
            before = -1
            for date in range(dates):
                here = values[date, variable, pixel]
                if here != here:
                    continue
                for gap in range(before + 1, date):
                    if before < 0:
                        values[gap, variable, pixel] = here
                    else:
                        start = values[before, variable, pixel]
                        share = (days[gap] - days[before]) / (days[date] - days[before])
                        values[gap, variable, pixel] = np.float32(start + share * (np.float64(here) - start))
                before = date
            if before >= 0:
                for gap in range(before + 1, dates):
                    values[gap, variable, pixel] = values[before, variable, pixel]
