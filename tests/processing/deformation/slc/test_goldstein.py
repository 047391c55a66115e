"""The adaptive filter, against a plain writing of it, and what it must keep and take away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing.deformation.slc import goldstein


def noisy(shape: tuple[int, int], noise: float = 0.8, seed: int = 0) -> Any:
    """Draw fringes with noise and a hole."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape)) * noise
    found = np.exp(1j * (0.2 * x + 0.001 * y**2)) + real + 1j * imaginary
    found[5:9, 11:30] = np.nan
    return found.astype("complex64")


def plainly(values: Any, alpha: float, *, patch: int, step: int, radius: int, known: Any = None) -> Any:
    """Filter patch by patch with numpy's transform, in double precision."""
    shape = values.shape
    size = [2 * patch + -(-side // step) * step for side in shape]
    wide, seen = np.zeros(size, complex), np.full(size, np.nan)
    inside = tuple(slice(patch, patch + side) for side in shape)
    wide[inside] = np.nan_to_num(values)
    if known is not None:
        seen[inside] = np.where(np.isfinite(values), known, np.nan)
    out = np.zeros(size, complex)
    triangle = 1 - np.abs(2 * np.arange(patch) + 1 - patch) / patch
    weight = np.outer(triangle, triangle) * (2 * step / patch) ** 2
    turns = range(-radius, radius + 1)
    for top in range(step, size[0] - patch + 1, step):
        for left in range(step, size[1] - patch + 1, step):
            here = (slice(top, top + patch), slice(left, left + patch))
            spectrum = np.fft.fft2(wide[here])
            smooth = sum(np.roll(np.abs(spectrum), (a, b), (0, 1)) for a in turns for b in turns)
            if known is not None:
                alpha = 1 - np.nanmean(seen[here]) if np.isfinite(seen[here]).any() else 0.0
            strength = (smooth / max(smooth.max(), 1e-30)) ** alpha
            out[here] += weight * np.fft.ifft2(spectrum * strength)
    return np.where(np.isfinite(values), out[inside], np.nan)


@pytest.mark.parametrize(
    ("patch", "step", "smoothing", "alpha"), [(32, 16, 3, 0.6), (16, 4, 1, 1.0), (8, 1, 5, 0.3), (64, 16, 3, 0.5)]
)
def test_same_as_a_plain_writing(patch: int, step: int, smoothing: int, alpha: float) -> None:
    """Own transform and own powers agree with numpy's, for all sizes of patches, steps and averages."""
    values = noisy((45, 70))
    found = goldstein(values, alpha, patch=patch, step=step, smoothing=smoothing)
    expected = plainly(values, alpha, patch=patch, step=step, radius=smoothing // 2)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_allclose(found, expected, atol=3e-6)
    assert found.dtype == "complex64"


def test_strength_from_coherence() -> None:
    """A patch takes one minus its mean coherence; where there is none it stays as it is."""
    values, known = noisy((50, 40)), np.random.default_rng(1).random((50, 40)).astype("float32")
    known[20:] = np.nan
    found = goldstein(values, known, patch=16)
    np.testing.assert_allclose(found, plainly(values, 0.0, patch=16, step=8, radius=1, known=known), atol=3e-6)
    np.testing.assert_allclose(found[36:], values[36:], atol=2e-6)
    assert "Baran" in found.attrs["filter"]


def test_nothing_is_done_without_strength() -> None:
    """With alpha 0, or full coherence, the image comes back, edges and all."""
    values = noisy((37, 53))
    np.testing.assert_allclose(goldstein(values, 0), values, atol=2e-6)
    np.testing.assert_allclose(goldstein(values, np.ones((37, 53))), values, atol=2e-6)


def test_noise_goes_and_fringes_stay() -> None:
    """The phase comes closer to the truth; more so with more strength."""
    truth = np.angle(noisy((128, 128), noise=0))
    errors = [np.angle(goldstein(noisy((128, 128)), alpha) * np.exp(-1j * truth)) for alpha in (0.0, 0.5, 0.9)]
    spread = [float(np.sqrt(np.nanmean(error**2))) for error in errors]
    assert spread[0] > 1.6 * spread[1] > 1.6 * 1.2 * spread[2]


def test_scale_changes_nothing_but_the_scale() -> None:
    """Amplitudes of raw images, up to billions, are no trouble."""
    values = noisy((40, 40))
    found = goldstein(values, 0.7)
    for scale in (2.0**-30, 2.0**40):
        np.testing.assert_array_equal(goldstein(values * np.complex64(scale), 0.7), found * np.complex64(scale))


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(6, 90), columns=st.integers(6, 110), lazy=st.booleans())
def test_blocks_leave_no_trace(rows: int, columns: int, lazy: bool) -> None:
    """Bits are the same however the image and the coherence are cut."""
    values, known = noisy((90, 110)), np.random.default_rng(1).random((90, 110)).astype("float32")
    cut = xr.DataArray(values, dims=("y", "x")).chunk(y=rows, x=columns)
    found = goldstein(cut, xr.DataArray(known, dims=("y", "x")).chunk(y=7) if lazy else known, patch=16)
    assert found.chunks == cut.chunks
    xr.testing.assert_identical(found.compute(), goldstein(values, known, patch=16))


def test_patches_lie_on_the_grid() -> None:
    """A part of a grid is filtered as the whole is, to the bit, a patch away from its edges."""
    grid = Grid.from_affine("EPSG:32633", Affine(20, 0, 400_140, 0, -20, 5_000_060), (80, 90))
    whole = georeference(xr.DataArray(noisy((80, 90)), dims=("y", "x")), grid)
    part = whole[13:, 7:]
    expected = goldstein(whole, 0.6, patch=16)[13:, 7:][16:, 16:]
    xr.testing.assert_identical(goldstein(part, 0.6, patch=16)[16:, 16:], expected)
    xr.testing.assert_identical(goldstein(part.chunk(y=30, x=17), 0.6, patch=16).compute()[16:, 16:], expected)
    plain = part.drop_vars(["spatial_ref", "y", "x"])
    assert not np.array_equal(goldstein(plain, 0.6, patch=16)[16:, 16:], expected, equal_nan=True)


def test_pairs_are_filtered_one_by_one() -> None:
    """A stack of interferograms keeps its pairs, coordinates and attributes."""
    stack = xr.DataArray(
        np.stack([noisy((20, 30)), noisy((20, 30), seed=5)]),
        {"pair": ["a", "b"]},
        ("pair", "y", "x"),
        attrs={"looks": 9.0},
    )
    found = goldstein(stack, 0.5, patch=16)
    assert (found.dims, found["pair"].values.tolist(), found.attrs["looks"]) == (stack.dims, ["a", "b"], 9.0)
    np.testing.assert_array_equal(found[1], goldstein(stack[1], 0.5, patch=16))
    known = xr.DataArray(np.full((2, 20, 30), 0.5), dims=stack.dims)
    np.testing.assert_array_equal(goldstein(stack.chunk(pair=1), known, patch=16), found)


def test_empty_and_missing() -> None:
    """One pixel, an image without pixels, and one where all is missing."""
    assert goldstein(np.ones((1, 1), complex), 0.5).shape == (1, 1)
    assert goldstein(np.ones((0, 4), complex), 0.5).shape == (0, 4)
    assert np.isnan(goldstein(np.full((9, 9), np.nan + 0j), 0.5)).all()
    assert (goldstein(np.zeros((9, 9), complex), 0.5) == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.1}, "no such strength"),
        ({"alpha": float("nan")}, "no such strength"),
        ({"alpha": np.ones((3, 3))}, "does not fit"),
        ({"patch": 31}, "no such patch"),
        ({"step": 5}, "not add up"),
        ({"smoothing": 2}, "moving average"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    """What cannot be is refused with a word."""
    with pytest.raises(InputError, match=message):
        goldstein(np.ones((9, 9), complex), **options)
    with pytest.raises(InputError, match="no image"):
        goldstein(np.ones((9, 9)), 0.5)
    with pytest.raises(InputError, match="no pair"):
        goldstein(np.ones((0, 9, 9), complex), 0.5)
