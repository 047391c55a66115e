"""Probabilities of a forest as TerraCube computes them."""

from __future__ import annotations

from typing import Any

from forest_contestant import FEATURES, Predict, contest

from terracube.processing.landcover.models import Model


def prepare(forest: Any) -> Predict:
    """Take the forest over."""
    return Model.from_sklearn(forest, features=[f"f{k}" for k in range(FEATURES)]).predict_proba


if __name__ == "__main__":
    contest("terracube", prepare, ("terracube", "numba", "numpy"))
