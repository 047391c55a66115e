"""The air's part of a series: its size is found, with the network's it covers the truth, however arrays are cut."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.ingest.simulate import Frame, Region, interferogram, pairs_of, radar_dates
from terracube.ingest.simulate.interferograms import reference_pixel
from terracube.processing.deformation.atmosphere import atmosphere_std

DAY = np.timedelta64(86_400, "s")
SIGMA = 0.683
METRES = -0.05546576 / (4 * np.pi)


@cache
def solved(seed: int, size: int) -> tuple[xr.Dataset, NDArray[np.float64], NDArray[np.int64]]:
    """Simulate a stack and solve it densely: the series, its errors (time, y, x), the quartile of coherence or -1."""
    frame, days = Frame(Region(seed=seed), size), radar_dates()
    pairs = pairs_of(days)
    made = [interferogram(frame, *pair) for pair in pairs]
    row, column = reference_pixel(frame)
    phase = np.stack([one.unwrapped for one in made]).astype("float64")
    phase -= phase[:, row, column][:, None, None]
    coherence = np.stack([one.coherence for one in made]).astype("float64")
    weight = np.where(np.isnan(phase), 0.0, 2 * 30 * coherence**2 / (1 - coherence**2)).reshape(len(pairs), -1)
    joined = np.zeros((len(pairs), len(days)))
    for at, (first, second) in enumerate(pairs):
        joined[at, days.index(first)], joined[at, days.index(second)] = -1, 1
    normal = np.einsum("mi,mp,mj->pij", joined[:, 1:], weight, joined[:, 1:], optimize=True)
    right = np.einsum("mi,mp->pi", joined[:, 1:], weight * np.nan_to_num(phase).reshape(len(pairs), -1))
    good = np.linalg.eigvalsh(normal)[:, 0] > 1e-3
    normal[~good] = np.eye(len(days) - 1)
    inverse = np.linalg.inv(normal)
    found, spread = np.zeros((2, len(days), size * size))
    found[1:] = METRES * np.einsum("pij,pj->ip", inverse, right)
    spread[1:] = abs(METRES) * np.sqrt(np.einsum("pii->ip", inverse))
    found[:, ~good], spread[:, ~good] = np.nan, np.nan
    truth = frame.motion.displacement(days)
    errors = found.reshape(-1, size, size) - (truth - truth[:, row, column][:, None, None])
    return (
        series_of(found.reshape(-1, size, size), spread.reshape(-1, size, size), days),
        errors,
        quartiles(coherence.mean(axis=0), good.reshape(size, size)),
    )


def quartiles(coherence: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the quartiles of the pixels that are solved; -1 for others."""
    return np.where(good, np.digitize(coherence, np.quantile(coherence[good], [0.25, 0.5, 0.75])), -1)


def series_of(values: NDArray[Any], spread: NDArray[Any], days: list[date] | NDArray[np.datetime64]) -> xr.Dataset:
    """Make a series with its network's part, since the first date."""
    times = np.array(days, "datetime64[ns]")
    dims = ("time", "y", "x")
    found = {"displacement": (dims, values.astype("float32")), "std_network": (dims, spread.astype("float32"))}
    return xr.Dataset(found, {"time": times}, {"reference_date": str(times[0])[:10]})


def air(strengths: NDArray[np.float64], network: float, side: int = 50, seed: int = 0) -> xr.Dataset:
    """Draw white air of given strengths, and the noise of a chain of pairs, since the first date."""
    rng = np.random.default_rng(seed)
    count = len(strengths)
    moved = strengths[:, None, None] * rng.normal(size=(count, side, side))
    steps = network * rng.normal(size=(count, side, side))
    steps[0] = 0
    spread = np.sqrt(np.arange(count))[:, None, None] * np.full((1, side, side), network)
    days = np.datetime64("2018-01-06", "ns") + np.arange(count) * 24 * DAY
    return series_of(moved - moved[0] + np.cumsum(steps, axis=0), spread, days)


def covered(series: xr.Dataset, errors: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """Give the share of errors within one standard deviation of network and air, without the reference date."""
    whole = np.hypot(series.std_network, atmosphere_std(series)).values[1:, chosen]
    assert np.isfinite(whole).all()
    return float((np.abs(errors[1:, chosen]) < whole).mean())


def test_simulated_stack_is_covered() -> None:
    """On the stack that is simulated by default 68 +- 3 % lie within, in each quartile of coherence too."""
    series, errors, quarter = solved(1, 128)
    assert abs(covered(series, errors, quarter >= 0) - SIGMA) < 0.03
    for part in range(4):
        assert abs(covered(series, errors, quarter == part) - SIGMA) < 0.03


def test_other_simulated_air_is_covered() -> None:
    """A stack has few independent fields of air, and one date's is in all: stacks differ, their mean is right."""
    found = []
    for seed in range(1, 7):
        frame, days = Frame(Region(seed=seed), 48), radar_dates()
        row, column = reference_pixel(frame)
        moved = -np.stack([frame.delay(day) for day in days])
        errors = moved - moved[0] - (moved - moved[0])[:, row, column][:, None, None]
        series = series_of(frame.motion.displacement(days) + errors, np.zeros_like(errors), days)
        chosen = np.ones((48, 48), "bool")
        chosen[row, column] = False
        found.append(covered(series, errors, chosen))
    assert abs(float(np.mean(found)) - SIGMA) < 0.06


def test_independent_air_is_covered() -> None:
    """Where each pixel has its own air, with gaps and the noise of a chain, 68 +- 2 % lie within."""
    series = air(np.random.default_rng(2).uniform(0.003, 0.01, 40), 0.002)
    series["displacement"] = series.displacement.where(np.random.default_rng(3).random(series.displacement.shape) > 0.1)
    series.displacement[0] = 0.0
    errors = series.displacement.values.astype("float64")
    whole = np.hypot(series.std_network, atmosphere_std(series, model="linear")).values[1:]
    known = np.isfinite(whole)
    assert known.mean() > 0.89
    assert abs(float((np.abs(errors[1:])[known] < whole[known]).mean()) - SIGMA) < 0.02


@pytest.mark.parametrize("network", [0.0, 0.002])
def test_strength_of_each_date_is_found(network: float) -> None:
    """White air of different strengths is found to 15 % beside the noise of a chain, and added to the reference's."""
    strengths = np.full(40, 0.006)
    strengths[7], strengths[20] = 0.015, 0.003
    found = atmosphere_std(air(strengths, network), model="linear").median(("y", "x"))
    truth = np.hypot(strengths, strengths[0])
    truth[0] = 0
    np.testing.assert_allclose(found, truth, rtol=0.15)


def test_reference_date_in_the_middle() -> None:
    """With another reference date the air is as strong, and 0 there."""
    series = air(np.full(40, 0.006), 0.0)
    middle = series - series.isel(time=20)
    middle.attrs = {"reference_date": str(series.time.values[20])[:10]}
    found = atmosphere_std(middle, model="linear").median(("y", "x")).values
    assert found[20] == 0
    np.testing.assert_allclose(np.delete(found, 20), 0.006 * np.sqrt(2), rtol=0.15)


@pytest.mark.parametrize("chunks", [{"y": 7, "x": 50}, {"time": 9, "y": 31, "x": 13}])
def test_blocks_do_not_matter(chunks: dict[str, int]) -> None:
    """A lazy series gives a lazy answer, equal to the bit, by both methods."""
    series = air(np.full(20, 0.006), 0.001)
    series.displacement[4:, :3, :5] = np.nan
    series.displacement[8, 9] = np.nan
    still = xr.DataArray(np.arange(2500).reshape(50, 50) % 3 == 0, dims=("y", "x"))
    for stable in (None, still):
        eager, lazy = atmosphere_std(series, stable=stable), atmosphere_std(series.chunk(chunks), stable=stable)
        assert lazy.chunks is not None
        xr.testing.assert_identical(lazy.compute(), eager)
        assert eager.dtype == "float32"
        assert np.isnan(eager.values[4:, :3, :5]).all()
        assert np.isfinite(eager.values[5, 20:]).all()


def test_stable_ground() -> None:
    """Of stable ground no model is asked: what it seems to do, less the network's part, is the air."""
    series = air(np.full(12, 0.006), 0.001)
    series["displacement"] = series.displacement + 0.5 * (np.arange(50) > 24)[:, None] * np.sin(np.arange(12) ** 2)[
        :, None, None
    ] * xr.ones_like(series.displacement)
    still = xr.DataArray(np.broadcast_to(np.arange(50)[:, None] <= 24, (50, 50)).copy(), dims=("y", "x"))
    found = atmosphere_std(series, stable=still)
    np.testing.assert_allclose(found.values[1:].mean(axis=(1, 2)), 0.006 * np.sqrt(2), rtol=0.08)
    assert (found.values[0] == 0).all()
    assert found.attrs["method"].startswith("stable ground")
    with pytest.raises(EmptyResultError):
        atmosphere_std(series, stable=still & False)
    with pytest.raises(InputError, match="map of stable"):
        atmosphere_std(series, stable=still.astype("uint8"))


def test_what_is_asked_for() -> None:
    """The method and the model are told; a series that lacks something, or has too few dates, is refused."""
    series = air(np.full(20, 0.006), 0.001, side=6)
    assert atmosphere_std(series).attrs["model"] == "linear"
    assert atmosphere_std(air(np.full(40, 0.006), 0.001, side=6)).attrs["model"] == "linear + annual"
    assert atmosphere_std(series).attrs["method"].startswith("model residuals")
    with pytest.raises(InputError, match="network"):
        atmosphere_std(series.drop_vars("std_network"))
    with pytest.raises(InputError, match="reference date"):
        atmosphere_std(series.assign_attrs(reference_date=""))
    with pytest.raises(InputError, match="too few dates"):
        atmosphere_std(series.isel(time=slice(0, 4)))
    assert np.isnan(atmosphere_std(series.where(False))).all()
