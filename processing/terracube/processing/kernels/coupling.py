"""Class probabilities from the probabilities of pairs of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, error_model="numpy")
def couple(pairs: Any, out: Any) -> None:
    """Find the class probabilities that agree best with those of all pairs of classes.

    The second method of Wu, Lin & Weng (2004), "Probability estimates for multi-class classification by pairwise
    coupling", J. Mach. Learn. Res. 5, 975-1005, algorithm 2: minimise the sum over pairs of
    (r_ji p_i - r_ij p_j)^2, class after class, until no condition of optimality is off by more than 0.005 / classes.

    Parameters
    ----------
    pairs : (n, classes, classes) float64
        ``pairs[s, i, j]``: probability of class i if it is i or j; the diagonal is not read.
    out : (n, classes) float64
        Filled.
    """
    classes = out.shape[1]
    q = np.empty((classes, classes))
    qp = np.empty(classes)
    enough = 0.005 / classes
    for s in range(out.shape[0]):
        r, p = pairs[s], out[s]
        for t in range(classes):
            p[t] = 1.0 / classes
            q[t, t] = 0.0
            for j in range(classes):
                if j != t:
                    q[t, t] += r[j, t] * r[j, t]
                    q[t, j] = -r[j, t] * r[t, j]
        for _ in range(max(100, classes)):
            pqp = 0.0
            for t in range(classes):
                qp[t] = 0.0
                for j in range(classes):
                    qp[t] += q[t, j] * p[j]
                pqp += p[t] * qp[t]
            worst = 0.0
            for t in range(classes):
                worst = max(worst, abs(qp[t] - pqp))
            if worst < enough:
                break
            for t in range(classes):
                step = (pqp - qp[t]) / q[t, t]
                p[t] += step
                total = 1.0 + step
                pqp = (pqp + step * (step * q[t, t] + 2.0 * qp[t])) / (total * total)
                for j in range(classes):
                    qp[j] = (qp[j] + step * q[t, j]) / total
                    p[j] /= total
