"""A classifier of scaled features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.landcover.models.checks import demand
from terracube.processing.landcover.models.protocol import Classifier


@dataclass(frozen=True)
class Scaled:
    """A classifier of (x - mean) / scale."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    inner: Classifier

    kind = "scaled"

    def __post_init__(self) -> None:
        good = self.mean.shape == self.scale.shape == (self.inner.n_features,)
        demand(good, "there is not one mean and scale per feature", where="mean")
        good = bool(np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all())
        demand(good, "a mean is not finite or a scale not positive", where="scale")

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        return self.inner.n_features

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        return self.inner.n_classes

    @property
    def takes_missing(self) -> bool:
        """Whether NaN in X has a meaning."""
        return self.inner.takes_missing

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from C-contiguous ``x`` (n, features); scaled in the precision of x."""
        moved = x.copy()
        moved -= self.mean
        moved /= self.scale
        self.inner.probabilities(moved, out)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the classifier again."""
        inner = {f"inner/{name}": values for name, values in self.inner.arrays().items()}
        return {"mean": self.mean, "scale": self.scale, **inner}

    def facts(self) -> dict[str, Any]:
        """Give the facts that make the classifier again."""
        return {"inner": {"kind": self.inner.kind, "facts": self.inner.facts()}}
