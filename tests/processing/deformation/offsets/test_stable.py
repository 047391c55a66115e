"""Stable ground: a shift and jitter put into offsets are taken out again, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.deformation.offsets import remove_jitter, remove_shift

SHAPE = (60, 80)


def offsets(dx: np.ndarray, dy: np.ndarray) -> xr.Dataset:
    """Offsets of one pair on a grid of metres."""
    dims = ("y", "x")
    found = xr.Dataset({"dx": (dims, dx.astype("float32")), "dy": (dims, dy.astype("float32"))})
    return found.assign(
        east=(10 * found.dx).assign_attrs(metres_per_pixel=10.0, units="m"),
        north=(-10 * found.dy).assign_attrs(metres_per_pixel=-10.0, units="m"),
    )


def scene(seed: int = 0) -> tuple[xr.Dataset, xr.DataArray, np.ndarray]:
    """A landslide of half a pixel on still ground, noise of 0.05 pixels; the mask of still ground; the slide."""
    rng = np.random.default_rng(seed)
    slide = np.zeros(SHAPE)
    slide[20:35, 30:50] = 0.5
    stable = xr.DataArray(slide == 0, dims=["y", "x"])
    return offsets(slide + rng.normal(0, 0.05, SHAPE), rng.normal(0, 0.05, SHAPE)), stable, slide


def test_shift_is_taken_out() -> None:
    """The median of still ground goes from pixels and metres; the slide stays."""
    given, stable, slide = scene()
    moved = given.assign(dx=given.dx + np.float32(0.8), east=given.east + 8).assign(dy=given.dy - np.float32(0.3))
    moved["east"].attrs = given.east.attrs
    found = remove_shift(moved, stable)
    assert float(found.shift_dx) == pytest.approx(0.8, abs=0.01)
    assert float(found.shift_dy) == pytest.approx(-0.3, abs=0.01)
    assert float(found.stable_std_dx) == pytest.approx(0.05, rel=0.1)
    assert int(found.n_stable) == int(stable.sum())
    assert np.abs(found.dx.values - slide).mean() < 0.06
    np.testing.assert_allclose(found.east, 10 * found.dx, rtol=1e-5, atol=1e-6)


def test_too_little_stable_ground_gives_nothing() -> None:
    """A pair without reference is NaN, and says how many points there were."""
    given, stable, _ = scene()
    few = xr.zeros_like(stable)
    few[0, :10] = True
    found = remove_shift(given, few)
    assert np.isnan(found.dx.values).all()
    assert int(found.n_stable) == 10


def test_shift_of_several_pairs_and_lazily() -> None:
    """Each pair has its own shift; chunks change no bit."""
    given, stable, _ = scene()
    both = xr.concat([given, given.assign(dx=given.dx + 1)], "pair", combine_attrs="drop_conflicts")
    both["east"].attrs, both["north"].attrs = given.east.attrs, given.north.attrs
    found = remove_shift(both, stable)
    assert np.diff(found.shift_dx.values) == pytest.approx(1, abs=1e-6)
    lazy = remove_shift(both.chunk({"y": 17, "x": 33}), stable)
    assert lazy.shift_dx.chunks is not None
    xr.testing.assert_identical(lazy.compute(), found)


@pytest.mark.parametrize("heading", [None, 180.0, 90.0, 193.0])
def test_jitter_is_taken_out(heading: float | None) -> None:
    """Waves along the track go, whatever its direction; the slide and a common shift stay."""
    given, stable, slide = scene(1)
    angle = np.deg2rad(180.0 if heading is None else heading)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = 0.3 * np.sin((-np.cos(angle) * rows + np.sin(angle) * columns) / 6)
    moved = given.assign(dx=given.dx + (wave + 0.7).astype("float32"))
    found = remove_jitter(moved, stable, heading=heading, width=1.0)
    left = found.dx.values - slide
    inner = left[8:-8, 16:-16]
    assert np.std(inner) < 0.07
    assert np.std((moved.dx.values - slide)[8:-8, 16:-16]) > 0.15
    assert np.median(left) == pytest.approx(0.7, abs=0.1)
    assert np.std(found.jitter_dy.values) < 0.03


def test_jitter_lazily_and_without_stable_ground() -> None:
    """Chunks change no bit; with nothing to go by nothing is taken away."""
    given, stable, _ = scene(2)
    found = remove_jitter(given, stable)
    lazy = remove_jitter(given.chunk({"y": 13, "x": 29}), stable)
    assert lazy.dx.chunks is not None
    xr.testing.assert_identical(lazy.compute(), found)
    nothing = remove_jitter(given, xr.zeros_like(stable))
    xr.testing.assert_equal(nothing.dx, given.dx)


def test_other_points_are_refused() -> None:
    """A mask of another shape, several pairs, and lines without width are told."""
    given, stable, _ = scene()
    with pytest.raises(InputError, match="other points"):
        remove_shift(given, stable[:-1])
    with pytest.raises(InputError, match="one pair"):
        remove_jitter(given.expand_dims("pair"), stable)
    with pytest.raises(InputError, match="lines"):
        remove_jitter(given, stable, width=0)
