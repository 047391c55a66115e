"""Pictures of motion: a scale that is white at zero, points with bars and their model."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine

from terracube.core.errors import EmptyResultError, InputError, NotFoundError
from terracube.processing.deformation.model import fit
from terracube.processing.deformation.pictures import motion_map, series_plot

TIMES = np.datetime64("2018-01-06", "ns") + np.arange(30) * np.timedelta64(86_400 * 12, "s")


def series(**places: Any) -> xr.Dataset:
    """Make a series whose left half sinks, with noise."""
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(12) < 6, -0.05, 0.01)[None, :] * np.ones((8, 1))
    values = np.arange(30)[:, None, None] * 12 / 365.25 * rate + 0.002 * rng.normal(size=(30, 8, 12))
    found = {"displacement": (("time", "y", "x"), values.astype("float32"))}
    return xr.Dataset(found, {"time": TIMES, **places})


def drawn(figure: Any) -> bool:
    """Tell whether a figure can be made a picture."""
    out = BytesIO()
    figure.savefig(out, format="png")
    return len(out.getvalue()) > 5000


def test_map_is_white_at_zero() -> None:
    """The scale is symmetric about zero and red for what sinks; missing pixels are masked; both maps have a bar."""
    fitted = fit(series(y=np.arange(8) * -10.0, x=np.arange(12) * 10.0))
    fitted.velocity[0, 0] = np.nan
    figure = motion_map(fitted, uncertainty=True)
    image: Any = figure.axes[0].images[0]
    low, high = image.get_clim()
    assert low == -high
    assert 45 < high < 60
    red, _, blue, _ = image.cmap(image.norm(-50.0))
    assert red > blue
    assert min(image.cmap(0.5)[:3]) > 0.95
    assert image.get_array().mask[0, 0]
    assert tuple(image.get_extent()) == (-5.0, 115.0, -75.0, 5.0)
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == [
        "velocity, positive towards the satellite [mm/year]", "standard deviation of velocity [mm/year]",
    ]  # fmt: skip
    assert figure.axes[1].images[0].get_clim()[0] == 0
    assert drawn(figure)


def test_limits_and_wrong_maps() -> None:
    """A given limit is taken; other units, no value, no such map and a limit of nothing are refused."""
    fitted = fit(series())
    assert motion_map(fitted, limit=20).axes[0].images[0].get_clim() == (-20, 20)
    with pytest.raises(NotFoundError, match="no such map"):
        motion_map(fitted, "annual_amplitude")
    with pytest.raises(InputError, match="metres"):
        motion_map(fitted, "n_dates")
    with pytest.raises(EmptyResultError):
        motion_map(fitted.where(False))
    with pytest.raises(InputError, match="zero"):
        motion_map(fitted, limit=0)


def test_series_plot() -> None:
    """Points, one-sigma bars, the model's curve, its step and its velocity are drawn."""
    made = series(y=np.arange(8) * -10.0, x=np.arange(12) * 10.0)
    made["std_network"] = xr.full_like(made.displacement, 0.003)
    made["std_atmosphere"] = xr.full_like(made.displacement, 0.004)
    figure = series_plot(made, (-20.0, 13.0), fitted=fit(made, "linear + step(2018-06-01)"))
    axes = figure.axes[0]
    assert "row 2, column 1" in axes.get_title(loc="left")
    assert "mm/year" in axes.get_title(loc="left")
    bars = axes.containers[0][2][0].get_segments()
    np.testing.assert_allclose([bar[1, 1] - bar[0, 1] for bar in bars], 10.0, rtol=1e-5)
    assert len(axes.lines) == 4
    assert drawn(figure)
    assert drawn(series_plot(series(), (3, 4)))
    assert "not fitted" in series_plot(made, (0, 0), fitted=fit(made).where(False)).axes[0].get_title(loc="left")


def test_series_plot_of_given_terms() -> None:
    """A model with a course of the caller's has no curve between the dates; its velocity is told."""
    made = series()
    rain = xr.DataArray(np.sin(np.arange(made.sizes["time"]) ** 2.0), {"time": made.time}, "time")
    axes = series_plot(made, (3, 4), fitted=fit(made, "linear + rain", arrays={"rain": rain})).axes[0]
    assert "linear + rain" in axes.get_title(loc="left")
    assert "mm/year" in axes.get_title(loc="left")


def test_one_pixel_is_not_everywhere() -> None:
    """A point far away is not in a series of one pixel, whether its size is known or not."""
    alone = series(y=np.arange(8) * -10.0, x=np.arange(12) * 10.0).isel(y=[3], x=[4])
    assert series_plot(alone, (-30.0, 40.0)).axes
    sized = alone.rio.write_crs("EPSG:32633").rio.write_transform(Affine(10, 0, 35, 0, -10, -25))
    assert series_plot(sized, (-34.0, 44.0)).axes
    for one in (alone, sized):
        with pytest.raises(InputError, match="outside"):
            series_plot(one, (-30.0, 55.0))


def test_points_without_a_series() -> None:
    """A point outside, and a pixel without a value, are refused."""
    made = series()
    with pytest.raises(InputError, match="outside"):
        series_plot(made, (3, 40))
    with pytest.raises(InputError, match="outside"):
        series_plot(made, (float("nan"), 4))
    with pytest.raises(EmptyResultError):
        series_plot(made.where(False), (3, 4))
