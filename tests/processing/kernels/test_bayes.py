"""Naive Bayes against that of scikit-learn."""

import numpy as np
from sklearn.naive_bayes import GaussianNB

from terracube.processing.kernels.bayes import likeliest


def test_as_scikit_learn():
    """Classes are those of a fitted GaussianNB."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 4, 600)
    x = rng.normal(rng.normal(0, 2, (4, 3))[labels], rng.uniform(0.5, 2, (4, 3))[labels])
    peer = GaussianNB().fit(x, labels)
    new = rng.normal(0, 3, (3, 5000)).astype(np.float32)
    out = np.empty(5000, np.uint8)
    offsets = np.log(peer.class_prior_) - np.log(peer.var_).sum(axis=1) / 2
    likeliest(new, peer.theta_, 1 / (2 * peer.var_), offsets, out)
    assert (out != peer.predict(new.T.astype(np.float64))).sum() <= 1


def test_missing_values_and_ties():
    """A missing value makes class 0; of equals the lowest is taken; no pixel at all is fine."""
    out = np.full(2, 9, np.uint8)
    likeliest(np.array([[np.nan, 0.0]], np.float32), np.array([[-1.0], [1.0]]), np.ones((2, 1)), np.zeros(2), out)
    assert out.tolist() == [0, 0]
    likeliest(np.empty((1, 0), np.float32), np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1), np.empty(0, np.uint8))
