"""Distances to marked pixels against those of SciPy."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from terracube.processing.kernels.nearest import distances


def measured(marked, *, size=(1.0, 1.0), limit=1e6):
    """Measure distances of pixels of one size."""
    high, wide = size
    rows = marked.shape[0]
    out = np.empty(marked.shape, np.float32)
    distances(marked, np.full(rows, wide), np.full(rows, high), limit, np.empty(marked.shape, np.int32), out)
    return out


@pytest.mark.parametrize("size", [(1.0, 1.0), (10.0, 10.0), (30.0, 17.5)])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.5])
def test_as_the_exact_transform(size, share):
    """Distances are those of the exact Euclidean transform, also of pixels that are no squares."""
    marked = np.random.default_rng(3).random((61, 83)) < share
    marked[7, 11] = True
    np.testing.assert_allclose(measured(marked, size=size), distance_transform_edt(~marked, sampling=size), rtol=1e-6)


def test_limit():
    """Up to the limit distances are exact; beyond it they are the limit."""
    marked = np.random.default_rng(4).random((50, 60)) < 0.003
    exact = distance_transform_edt(~marked)
    np.testing.assert_allclose(measured(marked, limit=7.5), np.minimum(exact, 7.5), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_nothing_marked(shape):
    """Where nothing is marked, everything is as far as the limit."""
    assert (measured(np.zeros(shape, np.bool_), limit=40.0) == 40.0).all()
    assert (measured(np.ones(shape, np.bool_), limit=40.0) == 0.0).all()


def test_own_row_counts():
    """Sizes may change from row to row; that of the pixel's own row counts."""
    marked = np.zeros((2, 3), np.bool_)
    marked[:, 0] = True
    out = np.empty((2, 3), np.float32)
    distances(marked, np.array([2.0, 5.0]), np.ones(2), 100.0, np.empty((2, 3), np.int32), out)
    np.testing.assert_allclose(out, [[0, 2, 4], [0, np.sqrt(1 + 0) * 5, 10]])
