"""From a stack to its series in one call: what the parts need of each other reaches them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.deformation.series import invert

WAVELENGTH = 0.0555
METRES = -WAVELENGTH / (4 * np.pi)
ENDS = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))


def stack_of(motion: Any, dates: Any, ends: Any, *, noise: float = 0.0, northward: bool = False) -> xr.Dataset:
    """Make pairs of a motion (time, y, x), m, in the order of ``ends``; rows may run to the north."""
    times, ends = np.array(dates, "datetime64[ns]"), np.array(ends)
    phase = np.asarray(motion, "float64") / METRES
    pairs = phase[ends[:, 1]] - phase[ends[:, 0]]
    pairs = pairs + noise * np.random.default_rng(0).normal(size=pairs.shape)
    rows, cols = pairs.shape[1:]
    stack = xr.Dataset(
        {"unwrapped_phase": (("pair", "y", "x"), pairs.astype("float32"), {"units": "rad"})},
        {
            "reference_time": ("pair", times[ends[:, 0]]),
            "secondary_time": ("pair", times[ends[:, 1]]),
            "y": 4000.0 - 100.0 * np.arange(rows),
            "x": 500.0 + 100.0 * np.arange(cols),
        },
        {"wavelength": WAVELENGTH, "phase_sign": "range_increase"},
    ).rio.write_crs("EPSG:32633")
    return stack.isel(y=slice(None, None, -1)) if northward else stack


def chain(dates: int) -> list[tuple[int, int]]:
    """Join each date with the next two."""
    return [(i, i + step) for i in range(dates) for step in (1, 2) if i + step < dates]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("northward", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 0, 2, 1, 3)])
def test_given_weights_go_with_their_pairs(order: tuple[int, ...], northward: bool, lazy: bool) -> None:
    """Weights stay with the pair and the row that they were given for, however those are sorted and turned."""
    dates = ["2020-01-01", "2020-01-13", "2020-01-25", "2020-02-06"]
    motion = np.zeros((4, 3, 2))
    motion[:, 1:] = (0.01 * np.arange(4))[:, None, None]
    stack = stack_of(motion, dates, [ENDS[k] for k in order], northward=northward)
    wrong, row = order.index(4), int(np.flatnonzero(stack.y.values == 3900.0)[0])
    stack["unwrapped_phase"][wrong, row] += 2 * np.pi
    weights = xr.ones_like(stack["unwrapped_phase"])
    weights[wrong, row] = 1e-8
    if lazy:
        stack, weights = stack.chunk(pair=2, y=1), weights.chunk(pair=3, x=1)
    series = invert(stack, weights=weights, reference=(4000.0, 500.0))
    np.testing.assert_allclose(series["displacement"].sel(y=3900.0)[:, 1], 0.01 * np.arange(4), atol=1e-6)
    bare = invert(stack, weights=xr.DataArray(weights.values, dims=weights.dims), reference=(4000.0, 500.0))
    xr.testing.assert_identical(bare.compute(), series.compute())


def test_weights_of_others_are_refused() -> None:
    """Weights that tell other dates, rows or columns than the stack has are no weights of it."""
    dates = ["2020-01-01", "2020-01-13", "2020-01-25", "2020-02-06"]
    stack = stack_of(np.zeros((4, 2, 2)), dates, ENDS)
    weights = xr.ones_like(stack["unwrapped_phase"])
    for changed in (weights.isel(pair=[1, 0, 2, 3, 4]), weights.isel(y=[1, 0]), weights.assign_coords(x=[0.0, 1.0])):
        with pytest.raises(InputError, match="other pairs or pixels"):
            invert(stack, weights=changed, reference=None)


@pytest.mark.parametrize(
    "dates",
    [
        [f"{year}-01-01" for year in range(2007, 2017)],
        ["2018-01-01", "2018-06-01", "2018-11-01", "2019-04-01", "2019-09-01"],
        ["2018-01-01", "2018-06-01", "2018-11-01", "2019-04-01", "2019-09-01", "2020-01-01"],
    ],
)
def test_few_or_yearly_dates_over_years(dates: list[str]) -> None:
    """Dates that cannot tell a season are solved by default, and their air is seen against a line."""
    motion = 0.01 * np.arange(len(dates))[:, None, None] * np.ones((1, 8, 8))
    series = invert(stack_of(motion, dates, chain(len(dates)), noise=0.1), weights=None, reference=(4000.0, 500.0))
    assert series["std_atmosphere"].attrs["model"] == "linear"
    assert np.isfinite(series["std_atmosphere"]).all()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kept", [0, 2])
def test_stacks_too_thin_for_the_air(kept: int, lazy: bool) -> None:
    """A stack in which no pixel has enough dates to tell of the air is solved; what the air does is missing."""
    dates = [f"2020-{month:02}-01" for month in range(1, 9)]
    stack = stack_of(np.zeros((8, 3, 3)), dates, chain(8), noise=0.1)
    late = stack["secondary_time"].values >= np.datetime64(dates[kept])
    stack["unwrapped_phase"][late] = np.nan
    series = invert(stack.chunk(y=2) if lazy else stack, weights=None, reference=None).compute()
    assert np.isnan(series["std_atmosphere"]).all()
    assert int(np.isfinite(series["displacement"][:, 0, 0]).sum()) == kept
    assert (series["n_pairs"] == (~late).sum()).all()
