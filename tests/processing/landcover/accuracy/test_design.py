"""Designing a sample: the published numbers, allocations that sum up, pixels that hang on seed and place alone."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import allocate, design_sample, sample_size
from terracube.processing.landcover.accuracy.design import pixel_keys

PAPER = {1: 0.02, 2: 0.015, 3: 0.32, 4: 0.645}
EXPECTED = {1: 0.7, 2: 0.6, 3: 0.9, 4: 0.95}


def a_map(rows: int = 90, columns: int = 70, seed: int = 0) -> xr.DataArray:
    """Make a map of four classes, one of them rare, with missing pixels."""
    rng = np.random.default_rng(seed)
    codes = rng.choice([0, 1, 2, 3, 4], (rows, columns), p=[0.1, 0.02, 0.08, 0.3, 0.5]).astype("uint8")
    y, x = 5_100_000 - 20.0 * (np.arange(rows) + 0.5), 500_000 + 20.0 * (np.arange(columns) + 0.5)
    placed = xr.DataArray(codes, dims=("y", "x"), coords={"y": y, "x": x}, name="class", attrs={"nodata": 0})
    return placed.rio.write_crs("EPSG:32633")


def test_sample_size_of_the_paper() -> None:
    """Olofsson et al. 2014, 5.1.1: a standard error of 0.01 needs 641 points."""
    assert sample_size(PAPER, EXPECTED, error=0.01) == 641


def test_sample_size_reaches_its_error() -> None:
    """With Neyman's allocation of that many points the standard error is what was asked for."""
    points = sample_size(PAPER, EXPECTED, error=0.02)
    counts = allocate(points, PAPER, method="neyman", users=EXPECTED)
    variance = sum(PAPER[code] ** 2 * EXPECTED[code] * (1 - EXPECTED[code]) / counts[code] for code in PAPER)
    assert np.sqrt(variance) == pytest.approx(0.02, rel=0.02)


def test_allocations() -> None:
    """Rare classes get the minimum and the rest goes by area; equal is equal; proportional is proportional."""
    assert allocate(640, PAPER, minimum=75) == {1: 75, 2: 75, 3: 162, 4: 328}
    assert allocate(640, PAPER, method="equal") == dict.fromkeys(PAPER, 160)
    assert allocate(1000, PAPER, method="proportional") == {1: 20, 2: 15, 3: 320, 4: 645}
    assert allocate(100, {1: 1.0, 2: 0.0}, minimum=10) == {1: 100}
    assert allocate(100, dict.fromkeys(range(20), 1.0), minimum=5) == dict.fromkeys(range(20), 5)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.integers(0, 30), st.floats(1e-6, 10), min_size=1, max_size=8),
    st.integers(0, 500),
    st.sampled_from(["rare", "proportional", "equal", "neyman"]),
)
def test_allocations_sum_up(weights: dict[int, float], extra: int, method: str) -> None:
    """Whatever the method, all points are shared out and each class has its least number."""
    least = 10 if method == "rare" else 2
    points = least * len(weights) + extra
    found = allocate(points, weights, method=method, minimum=10)
    assert sum(found.values()) == points
    assert min(found.values()) >= least
    assert set(found) == set(weights)


def test_allocations_that_cannot_be() -> None:
    """Too few points, unknown methods, accuracies that are none are refused."""
    for call in (
        lambda: allocate(10, PAPER),
        lambda: allocate(640, PAPER, method="best"),
        lambda: allocate(640, PAPER, minimum=1),
        lambda: allocate(640, {}),
        lambda: allocate(640, {1: -1.0}),
        lambda: allocate(640, PAPER, method="neyman", users={1: 0.5}),
        lambda: sample_size(PAPER, 1.5),
        lambda: sample_size(PAPER, error=0),
    ):
        with pytest.raises(InputError):
            call()


@settings(max_examples=10, deadline=None)
@given(st.integers(3, 90), st.integers(3, 70), st.integers(0, 5))
def test_chunks_do_not_matter(y: int, x: int, seed: int) -> None:
    """The same points in the same order, in memory and in any chunks."""
    codes = a_map()
    whole, cut = (design_sample(one, {1: 5, 3: 20}, seed) for one in (codes, codes.chunk(y=y, x=x)))
    assert whole.equals(cut)


def test_points_lie_in_their_stratum() -> None:
    """Points lie at centres of pixels of their class, no pixel twice; weights sum up to the pixels of the map."""
    codes = a_map()
    drawn = design_sample(codes, 300, seed=4, minimum=30)
    at = codes.sel(x=xr.DataArray(drawn.geometry.x), y=xr.DataArray(drawn.geometry.y))
    np.testing.assert_array_equal(at.values, drawn["stratum"])
    assert not drawn.geometry.duplicated().any()
    assert drawn.crs.to_epsg() == 32633
    assert drawn["weight"].sum() == pytest.approx(int((codes > 0).sum()))
    assert sorted(drawn["id"]) == list(range(1, len(drawn) + 1))
    assert (drawn["probability"] <= 1).all()


def test_a_larger_sample_holds_the_smaller() -> None:
    """More points with the same seed hold all points of fewer; another seed gives others."""
    codes = a_map()
    few, more, other = (design_sample(codes, {4: count}, seed) for count, seed in ((40, 1), (90, 1), (40, 2)))
    small, large, strange = ({(p.x, p.y) for p in one.geometry} for one in (few, more, other))
    assert small <= large
    assert len(small & strange) < 10


def test_a_part_of_the_map_draws_the_same_pixels() -> None:
    """The order in which pixels are drawn depends on places on the grid, not on where the map begins."""
    codes = a_map()
    part = codes.isel(y=slice(10, 60), x=slice(5, 50))
    inside = {(float(x), float(y)) for y in part.y for x in part.x}
    whole = design_sample(codes, {1: 60}, 3)
    drawn = {(p.x, p.y) for p in whole.geometry} & inside
    assert len(drawn) > 10
    assert drawn == {(p.x, p.y) for p in design_sample(part, {1: len(drawn)}, 3).geometry}


def test_every_pixel_has_the_same_chance() -> None:
    """Over many seeds rows, columns and pixels are drawn evenly (chi-squared of 100 cells below its 1 per mille)."""
    rows, columns = (index.ravel().astype(np.int64) for index in np.indices((10, 10)))
    hits: NDArray[np.int64] = np.zeros(100, np.int64)
    for seed in range(1000):
        hits[np.argsort(pixel_keys(rows + 5000, columns - 77, seed))[:10]] += 1
    expected = 1000 * 10 / 100
    # Ten of a hundred without replacement: the variance of a cell is 0.9 times that of a binomial one.
    assert ((hits - expected) ** 2 / (expected * 0.9)).sum() * 99 / 100 < 149


def test_keys_of_neighbours_are_unlike() -> None:
    """Half of the bits differ between neighbours, and no two of many pixels have one key."""
    rows, columns = (index.ravel().astype(np.int64) for index in np.indices((300, 300)))
    keys = pixel_keys(rows, columns, 0)
    assert np.unique(keys).size == keys.size
    differing = np.bitwise_count(keys[1:] ^ keys[:-1]).mean()
    assert differing == pytest.approx(32, abs=0.1)


def test_tiny_classes() -> None:
    """A class with fewer pixels than its share gives them all; asked for by number, it is refused."""
    codes = a_map()
    codes[:] = np.where(codes == 1, 3, codes)
    codes[0, 0] = 1
    drawn = design_sample(codes, 200, seed=0, minimum=20)
    assert (drawn["stratum"] == 1).sum() == 1
    with pytest.raises(InputError, match="class 1"):
        design_sample(codes, {1: 2}, seed=0)
    with pytest.raises(InputError, match="class 77"):
        design_sample(codes, {77: 1}, seed=0)
    with pytest.raises(InputError, match="a point or more"):
        design_sample(codes, {1: 0}, seed=0)
