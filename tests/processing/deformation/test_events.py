"""Steps at an event, and alerts on new acquisitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.events import AWAY, MISSING, QUIET, TOWARDS, alert, step_map
from terracube.processing.deformation.model import fit

DAY = np.timedelta64(86_400, "s")
TIMES = np.datetime64("2018-01-06", "ns") + np.arange(40) * 12 * DAY
EVENT = "2018-10-01"
AFTER = np.datetime64(EVENT, "ns") <= TIMES
SHAPE = (40, 30)


def series(noise: float = 0.003, seed: int = 0, **attrs: Any) -> tuple[xr.Dataset, NDArray[np.float64]]:
    """Draw a trend, a step at the event, and noise; the series and the step."""
    rng = np.random.default_rng(seed)
    rate, step = 0.02 * rng.normal(size=SHAPE), 0.03 * rng.normal(size=SHAPE)
    years = (TIMES - TIMES[0]) / DAY / 365.25
    values = years[:, None, None] * rate + AFTER[:, None, None] * step + noise * rng.normal(size=(40, *SHAPE))
    found = {"displacement": (("time", "y", "x"), values.astype("float32"))}
    return xr.Dataset(found, {"time": TIMES, "y": np.arange(40.0), "x": np.arange(30.0)}, attrs), step


def test_step_is_recovered_with_its_error() -> None:
    """The step comes back; 68 % of its errors lie within one standard deviation; the scatter is that of the noise."""
    made, step = series()
    found = step_map(made, EVENT)
    assert abs(float((abs(found.step - step) < found.step_std).mean()) - 0.683) < 0.04
    for name in ("std_before", "std_after"):
        assert abs(float(found[name].mean()) - 0.003) < 2e-4
    np.testing.assert_array_equal(found.n_before + found.n_after, 40)
    assert int(found.n_after[0, 0]) == AFTER.sum()
    assert found.attrs["model"] == f"linear + step({EVENT})"


def test_window_and_means() -> None:
    """A window leaves dates out; means compare both sides; the step of a pair of dates has no error to tell."""
    made, step = series(noise=0.001)
    found = step_map(made, EVENT, model="constant", before=60, after=48)
    np.testing.assert_array_equal(found.n_before, 5)
    np.testing.assert_array_equal(found.n_after, 4)
    np.testing.assert_allclose(found.step, step, atol=0.02)
    for how in ({"before": -3}, {"after": 0}, {"after": 1e-3}):
        with pytest.raises(InputError):
            step_map(made, EVENT, **how)
    with pytest.raises(InputError, match="side"):
        step_map(made, "2030-01-01")


def test_steps_of_gappy_pixels() -> None:
    """A pixel without a date on a side has no step; others do not care. Lazily it is the same, to the bit."""
    made, _ = series()
    made.displacement[AFTER, 0] = np.nan
    made.displacement[3:9, 5] = np.nan
    made["std_network"] = xr.full_like(made.displacement, 0.001)
    for weights in ("none", "std"):
        found = step_map(made, EVENT, weights=weights)
        assert np.isnan(found.step[0]).all()
        assert np.isnan(found.std_before[0]).all()
        assert np.isfinite(found.step[1:]).all()
        assert (found.n_after[0] == 0).all()
        lazy = step_map(made.chunk({"time": 7, "y": 9}), EVENT, weights=weights)
        assert lazy.step.chunks is not None
        xr.testing.assert_identical(lazy.compute(), found)
    with pytest.raises(InputError, match="weights"):
        step_map(made, EVENT, weights="best")
    with pytest.raises(InputError, match="deviations"):
        step_map(made.drop_vars("std_network"), EVENT, weights="std")


def kept_and_new(**attrs: Any) -> tuple[xr.Dataset, xr.Dataset]:
    """Make a model of the first 30 dates without a step, and the other dates with one of 3 cm in two corners."""
    rng = np.random.default_rng(4)
    values = 0.003 * rng.normal(size=(40, *SHAPE))
    values[30:, :10, :10] += 0.03
    values[30:, 20:, 20:] -= 0.03
    values[33, 15, 15] = np.nan
    whole, _ = series(**attrs)
    whole["displacement"] = whole.displacement.dims, values.astype("float32")
    return fit(whole.isel(time=slice(0, 30)), covariance=True), whole.isel(time=slice(30, 40))


def test_alerts() -> None:
    """What moved is told, with its direction; of the rest 0.3 % are beyond 3 sigma by chance; gaps are missing."""
    kept, new = kept_and_new()
    found = alert(kept, new)
    assert (found.alert[:, :10, :10] == TOWARDS).mean() > 0.99
    assert (found.alert[:, 20:, 20:] == AWAY).mean() > 0.99
    assert int(found.alert[3, 15, 15]) == MISSING
    quiet = found.alert.values[:, :, 10:20]
    assert 0.0005 < ((quiet == TOWARDS) | (quiet == AWAY)).mean() < 0.012
    assert (quiet == QUIET).mean() > 0.98
    score = found.score.values[:, :, 10:20]
    assert abs(np.nanstd(score) - 1) < 0.06
    assert found.alert.dtype == "uint8"
    assert found.attrs["sigmas"] == 3.0


@pytest.mark.parametrize("lazy", [False, True])
def test_alert_of_another_reference_is_refused(lazy: bool) -> None:
    """References that were found in two places are no one reference, though both are called found."""
    kept, new = kept_and_new(reference="auto")
    same = kept.assign(reference_y=3.5, reference_x=4.0), new.assign(reference_y=4.0, reference_x=4.0)
    xr.testing.assert_identical(alert(*same), alert(kept, new))
    away = new.assign(reference_y=20.0, reference_x=4.0)
    if lazy:
        away = away.chunk({"time": 3, "y": 7, "x": 30})
        found = alert(same[0].chunk({"y": 7}), away)
        with pytest.raises(InputError, match="another reference"):
            found.compute()
    else:
        with pytest.raises(InputError, match="another reference"):
            alert(same[0], away)


def test_reference_of_the_series_is_kept() -> None:
    """Where the reference was found goes with the model."""
    whole, _ = series()
    found = fit(whole.assign(reference_y=3.5, reference_x=4.0), covariance=True)
    assert (float(found.reference_y), float(found.reference_x)) == (3.5, 4.0)


@pytest.mark.parametrize(
    ("name", "told"),
    [("parameters", "{"), ("parameters", "3"), ("parameters", None), ("parameters", '["offset", "velocity"]'),
     ("epoch", "yesterday"), ("epoch", "2019-13-01"), ("epoch", "now"), ("model", "linear + rain")],
)  # fmt: skip
def test_kept_models_from_outside(name: str, told: Any) -> None:
    """Attributes that were damaged are named, whatever they hold."""
    kept, new = kept_and_new()
    with pytest.raises(InputError):
        alert(kept.assign_attrs({name: told}), new)


def test_alert_uses_what_the_new_dates_tell() -> None:
    """A larger standard deviation of a new date quietens it; a smaller one does not make the model better."""
    kept, new = kept_and_new()
    new["std_network"] = xr.full_like(new.displacement, 0.05)
    assert (alert(kept, new).alert.values[:, :10, :10] == QUIET).all()
    new["std_network"] = xr.full_like(new.displacement, 1e-6)
    xr.testing.assert_allclose(alert(kept, new).score, alert(kept, new.drop_vars("std_network")).score)


def test_alerts_of_blocks() -> None:
    """Lazily, in blocks, alerts are the same to the bit."""
    kept, new = kept_and_new()
    lazy = alert(kept.chunk({"y": 7, "x": 30}), new.chunk({"time": 3, "y": 7, "x": 30}))
    assert lazy.alert.chunks is not None
    xr.testing.assert_identical(lazy.compute(), alert(kept, new))


def test_wrong_models_and_series_are_refused() -> None:
    """A model without covariance, another reference date, other pixels and no threshold: each is named."""
    kept, new = kept_and_new(reference_date="2018-01-06")
    with pytest.raises(InputError, match="go on with"):
        alert(kept.drop_vars(["covariance"]), new)
    with pytest.raises(InputError, match="another series"):
        alert(kept, new.assign_attrs(reference_date="2018-01-18"))
    with pytest.raises(InputError, match="different pixels"):
        alert(kept, new.isel(x=slice(1, None)))
    with pytest.raises(InputError, match="different pixels"):
        alert(kept, new.assign_coords(x=new.x + 1))
    with pytest.raises(InputError, match="threshold"):
        alert(kept, new, sigmas=0)
    with pytest.raises(InputError, match="differ"):
        alert(kept.assign_attrs(model="linear + annual"), new)
    with pytest.raises(InputError):
        alert(kept.assign_attrs(model="linear + rain"), new)
