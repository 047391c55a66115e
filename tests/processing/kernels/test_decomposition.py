"""Motion from several directions: the closed form against plain least squares, and pixels that stand alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels.decomposition import ROWS, TILE, decompose


def _vectors(rng: np.random.Generator, looks: int, pixels: int) -> NDArray[np.float32]:
    found = rng.standard_normal((looks, 3, pixels))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("float32")


def _scene(looks: int = 5, pixels: int = 300, seed: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((looks, pixels)).astype("float32")
    stds = rng.uniform(0.5, 2.0, (looks, pixels)).astype("float32")
    return values, stds, _vectors(rng, looks, pixels)


def _run(values: Any, stds: Any, vectors: Any, north_std: float = np.inf, limit: float = 1e3, north: Any = 0.0) -> Any:
    out = np.full((ROWS, values.shape[1]), 7.0, np.float32)
    prior = np.full(values.shape[1], north, np.float32)
    decompose(*(np.ascontiguousarray(each) for each in (values, stds, vectors)), prior, north_std, limit, out)
    return out


def _plain(values: Any, stds: Any, vectors: Any, pixel: int, north_std: float, north: float) -> tuple[Any, Any, float]:
    """Least squares with numpy in float64, the prior as one more observation."""
    there = np.isfinite(values[:, pixel])
    design = vectors[there, :, pixel].astype("float64")
    right, spread = values[there, pixel].astype("float64"), stds[there, pixel].astype("float64")
    if np.isfinite(north_std):
        design = np.vstack([design, [0, 1, 0]])
        right, spread = np.append(right, north), np.append(spread, north_std)
    white = design / spread[:, None]
    motion = np.linalg.lstsq(white, right / spread, rcond=None)[0]
    left = float(np.sum((white @ motion - right / spread) ** 2))
    return motion, np.linalg.inv(white.T @ white), left


@pytest.mark.parametrize("north_std", [np.inf, 0.3])
def test_equals_plain_least_squares(north_std: float) -> None:
    """Motion, covariance and misfit are those of numpy's least squares, with missing looks and with a prior."""
    values, stds, vectors = _scene()
    values[np.random.default_rng(2).uniform(size=values.shape) < 0.2] = np.nan
    out = _run(values, stds, vectors, north_std, north=0.4)
    solved = 0
    for pixel in range(values.shape[1]):
        if np.isfinite(out[0, pixel]):
            motion, covariance, left = _plain(values, stds, vectors, pixel, north_std, np.float32(0.4))
            scale = np.sqrt(np.diag(covariance).max())
            np.testing.assert_allclose(out[:3, pixel], motion, rtol=2e-6, atol=3e-6 * scale)
            np.testing.assert_allclose(out[3:9, pixel], covariance[np.triu_indices(3)], atol=2e-6 * scale**2)
            np.testing.assert_allclose(out[10, pixel], left, rtol=1e-4, atol=1e-4)
            solved += 1
    assert solved > 250


@pytest.mark.parametrize("prior", [False, True])
def test_condition_is_the_ratio_of_singular_values(prior: bool) -> None:
    """The condition number is that of the matrix of directions, without the column that a prior takes care of."""
    values, stds, vectors = _scene(pixels=100)
    out = _run(values, stds, vectors, 0.1 if prior else np.inf)
    columns = [0, 2] if prior else [0, 1, 2]
    truth = [np.linalg.cond(vectors[:, columns, pixel].astype("float64")) for pixel in range(100)]
    assert np.isfinite(out[9]).all()
    np.testing.assert_allclose(out[9], truth, rtol=1e-5)


def test_orthogonal_directions_have_condition_one() -> None:
    """Where all directions count alike the cubic equation has no angle; the ratio is one."""
    out = _run(np.ones((3, 1), "float32"), np.ones((3, 1), "float32"), np.eye(3, dtype="float32")[:, :, None])
    assert out[9, 0] == 1.0


@pytest.mark.parametrize("north_std", [np.inf, 0.1])
def test_parallel_directions_are_not_solved(north_std: float) -> None:
    """However many looks along one direction, or in one plane, they do not make three components."""
    one = np.float32([0.6, 0.0, 0.8]).reshape(1, 3, 1)
    values, stds = np.ones((4, 1), "float32"), np.ones((4, 1), "float32")
    out = _run(values, stds, np.repeat(one, 4, axis=0), north_std)
    assert np.isnan(out[:9]).all()
    assert out[9, 0] > 1e3
    assert out[11, 0] == 4
    plane = np.float32([[0.6, 0, 0.8], [-0.6, 0, 0.8], [0.0, 0.0, 1.0]])[:, :, None]
    assert np.isnan(_run(values[:3], stds[:3], plane)[:9]).all()
    assert np.isfinite(_run(values[:3], stds[:3], plane, 0.1)[:9]).all()


def test_what_makes_a_look_missing() -> None:
    """NaN and infinity anywhere, standard deviations that are none, and vectors of zeros take a look out."""
    values, stds, vectors = (np.tile(each, 8) for each in _scene(looks=4, pixels=1))
    values[0, 1], values[0, 2], stds[0, 3], stds[0, 4], stds[0, 5] = np.nan, np.inf, np.nan, 0.0, -1.0
    vectors[0, :, 6], vectors[0, 1, 7] = 0.0, np.nan
    out = _run(values, stds, vectors)
    assert out[11].tolist() == [4.0] + [3.0] * 7
    without = _run(values[1:, :1], stds[1:, :1], vectors[1:, :, :1])
    for pixel in range(1, 8):
        np.testing.assert_array_equal(out[:, pixel], without[:, 0])


def test_no_look_and_no_pixel() -> None:
    """A pixel without a look is NaN with a count of zero; no pixels are no error."""
    values, stds, vectors = _scene(pixels=3)
    out = _run(np.full_like(values, np.nan), stds, vectors)
    assert np.isnan(out[:11]).all()
    assert out[11].tolist() == [0.0] * 3
    assert _run(values[:, :0], stds[:, :0], vectors[:, :, :0]).shape == (ROWS, 0)


def test_missing_prior_is_missing() -> None:
    """Where the prior is a map with a hole, there is no answer rather than one without it."""
    values, stds, vectors = _scene(pixels=2)
    out = _run(values, stds, vectors, 0.1, north=np.float32([0.0, np.nan]))
    assert np.isfinite(out[:9, 0]).all()
    assert np.isnan(out[:3, 1]).all()


@settings(deadline=None, max_examples=15)
@given(shift=st.integers(0, TILE + 5), seed=st.integers(0, 100))
def test_pixels_do_not_depend_on_neighbours(shift: int, seed: int) -> None:
    """The bits of a pixel stay when other pixels go before it, whatever the tile."""
    values, stds, vectors = _scene(pixels=TILE + 60, seed=seed)
    values[seed % 5, ::7] = np.nan
    whole = _run(values, stds, vectors, 0.5)
    cut = _run(values[:, shift:], stds[:, shift:], vectors[:, :, shift:], 0.5)
    np.testing.assert_array_equal(whole[:, shift:], cut)
