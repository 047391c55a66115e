"""Place parts of a series that no pair joins: so that velocities are least, or on one straight line.

Both are assumptions, not measurements.

References
----------
Berardino et al. 2002 (doi:10.1109/TGRS.2002.803792) for the least velocities; Lopez-Quiroz et al. 2009
(doi:10.1016/j.jappgeo.2009.02.010) for the link by a model of the whole series.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner

type Doubles = NDArray[np.float64]


@inner
def straighten(x: Doubles, labels: Doubles, days: Doubles, means: NDArray[np.float64]) -> None:
    """Move parts, but that of the reference date (label 0), onto the line that fits all of them best."""
    dates = x.size
    moment, square = 0.0, 0.0
    for part in range(dates):
        count, day, value = 0, 0.0, 0.0
        for k in range(dates):
            if labels[k] == part:
                count, day, value = count + 1, day + days[k], value + x[k]
        if count == 0:
            continue
        day, value = day / count, value / count
        means[0, part], means[1, part] = day, value
        for k in range(dates):
            if labels[k] == part:
                moment += (days[k] - day) * (x[k] - value)
                square += (days[k] - day) ** 2
    slope = moment / square if square > 0 else np.nan
    for k in range(dates):
        part = int(labels[k])
        if part != 0:
            x[k] += means[1, 0] + slope * (means[0, part] - means[0, 0]) - means[1, part]


@inner
def slow_down(x: Doubles, labels: Doubles, days: Doubles, square: Doubles, right: Doubles) -> None:
    """Move parts so that the sum of the squares of the velocities from date to date is least."""
    dates = x.size
    square[:, :] = 0.0
    right[:] = 0.0
    for k in range(dates - 1):
        a, b = int(labels[k]), int(labels[k + 1])
        if a != b:
            weight = 1.0 / (days[k + 1] - days[k]) ** 2
            step = weight * (x[k + 1] - x[k])
            square[a, a] += weight
            square[b, b] += weight
            square[a, b] -= weight
            square[b, a] -= weight
            right[a] += step
            right[b] -= step
    # Label 0 stays where it is; labels that no date has leave a row of zeros, which is passed over.
    for p in range(1, dates):
        if square[p, p] > 0:
            for row in range(p + 1, dates):
                share = square[row, p] / square[p, p]
                if share != 0:
                    right[row] -= share * right[p]
                    for column in range(p, dates):
                        square[row, column] -= share * square[p, column]
    for p in range(dates - 1, 0, -1):
        total = right[p]
        for column in range(p + 1, dates):
            total -= square[p, column] * right[column]
        right[p] = total / square[p, p] if square[p, p] > 0 else 0.0
    right[0] = 0.0
    for k in range(dates):
        x[k] += right[int(labels[k])]
