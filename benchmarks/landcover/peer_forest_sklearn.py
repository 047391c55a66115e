"""Probabilities of a forest as scikit-learn computes them, on one thread."""

from __future__ import annotations

from typing import Any

from forest_contestant import Predict, contest


def prepare(forest: Any) -> Predict:
    """Use one thread."""
    forest.n_jobs = 1
    return forest.predict_proba


if __name__ == "__main__":
    contest("scikit-learn", prepare, ("scikit-learn", "numpy"))
