"""Bayesian smoothing of probabilities: what it is for, its formula, chunks that never show."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.landcover.post import smooth, smooth_array

Placer = Callable[..., xr.DataArray]
FEW = settings(max_examples=20, deadline=None)


def odds(shape: tuple[int, int, int], seed: int, missing: float = 0.1) -> np.ndarray:
    """Random probabilities with ties, zeros and missing pixels."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, shape).astype("float32") + 1e-6
    found = (counts / counts.sum(axis=0)).astype("float32")
    found[:, rng.random(shape[1:]) < missing] = np.nan
    return found


@FEW
@given(
    st.integers(1, 3), st.integers(1, 11), st.integers(1, 11), st.integers(1, 6), st.integers(1, 6),
    st.sampled_from([1, 3, 5, 9]),
)  # fmt: skip
def test_chunks_do_not_show(placed: Placer, bands: int, rows: int, cols: int, y: int, x: int, window: int) -> None:
    """Any chunks, even narrower than the window or one per class, give the same bits."""
    values = odds((bands, rows, cols), rows * 100 + cols)
    whole = smooth(placed(values, nodata=None), window=window)
    cut = smooth(placed(values, (y, x), nodata=None), window=window).compute(scheduler="synchronous")
    xr.testing.assert_identical(cut, whole)


def test_a_lonely_pixel_gives_in() -> None:
    """A doubtful pixel in a sure region takes its class; a sure region keeps its border."""
    sure = np.full((11, 11), 0.9, "float32")
    sure[:, 6:] = 0.1
    sure[5, 2] = 0.35
    found = smooth_array(np.stack([sure, 1 - sure]), window=5)
    assert ((found[0] > 0.5) == (np.arange(11) < 6)).all()


def test_the_formula() -> None:
    """With a window of one pixel the prior is the pixel itself; with all of the window it is its mean."""
    values = odds((3, 6, 7), 1, missing=0)
    np.testing.assert_allclose(smooth_array(values, window=1), np.clip(values, 1e-4, None), atol=2e-4)
    two = odds((2, 1, 3), 2, missing=0)
    logits = np.log(np.clip(two, 1e-4, 1 - 1e-4) / (1 - np.clip(two, 1e-4, 1 - 1e-4))).astype("float64")
    padded = np.pad(logits, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    mean, spread = padded[:, :, :3].mean(axis=(1, 2)), padded[:, :, :3].var(axis=(1, 2), ddof=1)
    wanted = (spread * logits[:, 0, 0] + 20 * mean) / (spread + 20)
    wanted = 1 / (1 + np.exp(-wanted))
    np.testing.assert_allclose(smooth_array(two, window=3, fraction=1.0)[:, 0, 0], wanted / wanted.sum(), rtol=1e-5)


def test_sums_of_one_and_missing_pixels() -> None:
    """Probabilities add up to 1; a pixel missing in one class is missing in all, and nobody's neighbour."""
    values = odds((4, 9, 9), 3)
    values[2, 4, 4] = np.nan
    found = smooth_array(values, window=3)
    missing = np.isnan(values).any(axis=0)
    assert (np.isnan(found) == missing).all()
    np.testing.assert_allclose(found.sum(axis=0)[~missing], 1, atol=1e-6)
    other = values.copy()
    other[:, missing] = np.nan
    np.testing.assert_array_equal(smooth_array(other, window=3), found)


def test_nothing_one_pixel_and_one_class(untouchable: Placer) -> None:
    """All missing stays so, one class is certain, an empty array stays empty, a lazy one lazy."""
    assert np.isnan(smooth_array(np.full((2, 3, 3), np.nan, "float32"))).all()
    assert smooth_array(np.ones((1, 1, 1), "float32")).tolist() == [[[1.0]]]
    assert smooth_array(np.ones((2, 0, 3), "float64")).shape == (2, 0, 3)
    assert smooth(untouchable((2, 9, 9), "float64")).dtype == "float32"


def test_a_variance_per_class() -> None:
    """Classes may be smoothed each by its own variance."""
    values = odds((2, 7, 7), 5)
    one, two = (smooth_array(values, variance=spread) for spread in (20.0, (20.0, 20.0)))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, smooth_array(values, variance=(20.0, 1.0)), equal_nan=True)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"window": 4}, "window"),
        ({"window": 103}, "window"),
        ({"variance": 0.0}, "variance"),
        ({"variance": (1.0, 2.0, 3.0)}, "variance"),
        ({"variance": np.nan}, "variance"),
        ({"fraction": 0.0}, "fraction"),
    ],
)
def test_wrong_parameters_are_refused(options: dict, where: str) -> None:
    """Parameters without meaning are named."""
    with pytest.raises(InputError) as caught:
        smooth_array(np.ones((2, 3, 3), "float32"), **options)
    assert caught.value.where == where


def test_other_arrays_are_refused(placed: Placer) -> None:
    """Whole numbers and maps are no probabilities."""
    for wrong in (np.ones((2, 3, 3), "uint8"), np.ones((3, 3), "float32")):
        with pytest.raises(InputError, match="no probabilities"):
            smooth(placed(wrong))
