"""What every classifier of a model offers, and the bounds that hold for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

BLOCK = 16384
MAX_FEATURES = 4096
MAX_CLASSES = 1024
MAX_NAME = 200


class Classifier(Protocol):
    """Turns features into probabilities; made of plain arrays only."""

    @property
    def kind(self) -> str:
        """Name of the kind in model files."""
        ...

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        ...

    @property
    def n_classes(self) -> int:
        """Number of columns of the probabilities."""
        ...

    @property
    def takes_missing(self) -> bool:
        """Whether NaN in X has a meaning."""
        ...

    def probabilities(self, x: NDArray[np.floating[Any]], out: NDArray[np.float32]) -> None:
        """Fill ``out`` (n, classes) from C-contiguous ``x`` (n, features) of float32 or float64."""
        ...

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays that make the classifier again."""
        ...

    def facts(self) -> dict[str, Any]:
        """Give the numbers and words that make the classifier again, as plain JSON."""
        ...


@runtime_checkable
class ByColumns(Protocol):
    """A classifier that takes features as blocks of a cube come: feature after feature, pixels side by side."""

    def by_columns(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> NDArray[np.int32]:
        """Fill ``out`` (n, classes) from ``x`` (features, n); count the finite features of each pixel, (n,)."""
        ...
