"""The bio-optical inversion: its model, its solution, and what it finds in measured spectra."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import NotFoundError
from terracube.processing import water
from terracube.processing.water.retrievals import Bands, get_retrieval
from terracube.processing.water.retrievals.inversion import forward, invert, solve, spectral_properties
from terracube.processing.water.sensors import band_average, load_water_sensor

Array = NDArray[np.float64]

NAMES = ("chl_inversion", "chl_inversion_lee1998")
MSI = ("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir08")
MERIS = {"oa02": "X412.5", "coastal": "X442.5", "blue": "X490", "oa05": "X510", "green": "X560", "yellow": "X620"}
MERIS |= {"red": "X665", "rededge1": "X708.75"}
VALENTE = {"oa02": "X412nm", "coastal": "X443nm", "blue": "X490nm", "oa05": "X510nm", "green": "X560nm"}
VALENTE |= {"yellow": "X620nm", "red": "X665nm"}


def numbers(name: str, **changed: Any) -> dict[str, Any]:
    """Give the coefficients of a retrieval, some of them changed."""
    return dict(get_retrieval(name).coefficient_set(load_water_sensor("S2A_MSI")).values) | changed


def colour(states: Array, nm: Array, known: Mapping[str, Any]) -> Array:
    """Write the model a second time: water reflectance of states (n, 4) at wavelengths (w,)."""
    fixed = spectral_properties(nm, known)
    chl, dissolved, load, dark = (np.exp(states[:, i : i + 1]) for i in range(4))
    law = known["pigment"]
    linear = "linear_below" in law
    p = law["scale"] * np.where((chl < 1) & linear, chl, chl ** law["exponent"])
    pigment = p * np.maximum(fixed.a0 + fixed.a1 * np.log(p), 0.05 * fixed.a0)
    a = fixed.aw + pigment + dissolved * np.exp(-0.0174 * (nm - 440)) + dark * load * np.exp(-0.0123 * (nm - 443))
    bbp = load * (555 / nm) ** 0.65
    k = a + bbp + fixed.bbw
    rrs = 0.113 * fixed.bbw / k + 0.197 * (1 - 0.636 * np.exp(-2.552 * bbp / k)) * bbp / k
    return np.asarray(math.pi * 0.52 * rrs / (1 - 1.7 * rrs))


def waters(count: int, seed: int = 3) -> Array:
    """Draw waters from clear to turbid, as logarithms."""
    rng = np.random.default_rng(seed)
    low, high = np.log([0.5, 0.05, 0.005, 3.0]), np.log([50.0, 1.5, 0.2, 7.0])
    return np.asarray(rng.uniform(low, high, (count, 4)))


def seen(states: Array, known: Mapping[str, Any], sensor: str = "S2A_MSI") -> dict[str, Array]:
    """Give the reflectance that a sensor has of waters."""
    nm = np.arange(400.0, 900.5, 1.0)
    spectra = colour(states, nm, known)
    return {role: np.asarray(band_average(sensor, role, nm, spectra)) for role in MSI}


def table(path: Path, columns: Mapping[str, str], truth: tuple[str, ...]) -> tuple[dict[str, Array], Array]:
    """Read the spectra that have chlorophyll."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = [next((float(row[name]) for name in truth if row[name]), math.nan) for row in rows]
    measured = np.array([one if one < 999 else math.nan for one in first])
    there = np.isfinite(measured)
    bands = {role: np.array([float(row[name] or "nan") for row in rows])[there] for role, name in columns.items()}
    return bands, measured[there]


def spectra(bands: Mapping[str, Any], sensor: str = "S2A_MSI") -> xr.Dataset:
    """Make a spectral dataset of water reflectance."""
    ds = xr.Dataset({role: ("sample", value) for role, value in bands.items()})
    return ds.assign_attrs(quantity="rhow", sensor=sensor)


def found(name: str, bands: Mapping[str, Any], sensor: str = "ENVISAT_MERIS") -> Array:
    """Run a formula on numbers of float64."""
    retrieval, known = get_retrieval(name), load_water_sensor(sensor)
    values = {role: np.asarray(value, np.float64) for role, value in bands.items()}
    got: Any = retrieval.formula(Bands(values, known), retrieval.coefficient_set(known).values)
    return np.asarray(got.value)


def rmsle(estimate: Array, truth: Array) -> float:
    """Root mean square of the difference of logarithms to the base ten."""
    return float(np.sqrt(np.mean(np.log10(estimate / truth) ** 2)))


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_the_one_written_a_second_time(name: str) -> None:
    """Reflectance at single wavelengths agrees to rounding."""
    known, states = numbers(name), waters(50)
    for nm in (443.0, 560.0, 670.0, 705.0, 865.0):
        at = np.array([nm])
        rrs = np.exp(forward(list(states.T), spectral_properties(at, known), known)[0])
        assert math.pi * 0.52 * rrs / (1 - 1.7 * rrs) == pytest.approx(colour(states, at, known)[:, 0], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_its_derivatives_are_those_of_small_steps(name: str) -> None:
    """Each of the four slopes, at three wavelengths."""
    known, states = numbers(name), waters(50)
    for nm in (443.0, 560.0, 670.0):
        fixed = spectral_properties(np.array([nm]), known)
        slopes = forward(list(states.T), fixed, known)[1]
        for i in range(4):
            step = 1e-5 * np.eye(4)[i]
            up, down = (forward(list((states + sign * step).T), fixed, known)[0] for sign in (1, -1))
            assert slopes[i] == pytest.approx((up - down) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_model_was_given_is_found_again(name: str) -> None:
    """Spectra of the model itself on the bands of OLCI, without noise and trusted: chlorophyll within 10 % in all."""
    known, states = numbers(name, closure=0.002), waters(200)
    sensor = load_water_sensor("S3A_OLCI")
    silent = {role: replace(band, noise=1e-7) for role, band in sensor.bands.items()}
    bands = Bands(seen(states, known, "S3A_OLCI"), replace(sensor, bands=silent))
    far = np.abs(np.expm1(invert(bands, known, steps=12)[0] - states[:, 0]))
    assert int((far < 0.1).sum()) == 200
    assert np.median(far) < 0.01


def test_a_system_is_solved_as_by_numpy() -> None:
    """Random symmetric positive definite matrices."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(30, 4, 6))
    matrix, right = half @ half.transpose(0, 2, 1), rng.normal(size=(30, 4))
    got = solve([[matrix[:, i, j] for j in range(i + 1)] for i in range(4)], [right[:, i] for i in range(4)])
    assert np.stack(got, 1) == pytest.approx(np.linalg.solve(matrix, right[..., None])[..., 0], rel=1e-8)


def test_steps_suffice() -> None:
    """Four steps are as good as forty: to one per cent in half of the waters, to ten in nine of ten."""
    known, bands = (
        numbers("chl_inversion"),
        Bands(seen(waters(200), numbers("chl_inversion")), load_water_sensor("S2A_MSI")),
    )
    far = np.abs(invert(bands, known)[0] - invert(bands, known, steps=40)[0])
    assert np.median(far) < 0.01
    assert np.quantile(far, 0.9) < 0.1


def test_measured_spectra_of_coasts(data_dir: Path) -> None:
    """Nothing is fitted to the round robin: all get a value, and the bands that MSI has are enough."""
    path = data_dir / "water" / "ccrr" / "ccrr_rhow_chl_tsm.csv"
    bands, truth = table(path, MERIS, ("X.Chl_a..ug.L.",))
    few = {role: bands[role] for role in ("coastal", "blue", "green", "red", "rededge1")}
    whole, part = found("chl_inversion", bands), found("chl_inversion", few, "S2A_MSI")
    assert len(truth) == 167
    assert rmsle(whole, truth) == pytest.approx(0.281, abs=0.005)
    assert rmsle(part, truth) == pytest.approx(0.260, abs=0.005)
    assert np.expm1(np.median(np.abs(np.log(part / truth)))) < 0.5
    # Pigments of the open ocean absorb less: for the same spectrum more chlorophyll, far too much on coasts.
    ocean = found("chl_inversion_lee1998", bands)
    assert rmsle(ocean, truth) == pytest.approx(0.558, abs=0.005)
    assert np.median(ocean / truth) > 2


def test_measured_spectra_of_the_ocean(data_dir: Path) -> None:
    """Stations of Valente et al.: no red edge, Chl over four orders of magnitude, nothing fitted."""
    path = data_dir / "water" / "valente" / "valente2019_rrs_chl.csv"
    bands, truth = table(path, VALENTE, ("Chla.1", "Chla.2"))
    got = found("chl_inversion", {role: value * math.pi for role, value in bands.items()})
    assert len(truth) == 1134
    assert np.isfinite(got).all()
    assert rmsle(got, truth) == pytest.approx(0.375, abs=0.005)


def test_an_optional_band_that_is_missing_is_as_if_it_were_not_there() -> None:
    """NaN in the near infrared takes its weight away; NaN in a needed band takes the value."""
    bands = seen(waters(20), numbers("chl_inversion"))
    without = {role: value for role, value in bands.items() if role != "nir08"}
    empty = np.full(20, math.nan)
    assert found("chl_inversion", bands | {"nir08": empty}, "S2A_MSI") == pytest.approx(
        found("chl_inversion", without, "S2A_MSI"), rel=1e-9
    )
    none = spectra({role: value.astype("float32") for role, value in (bands | {"red": empty}).items()})
    assert np.isnan(water.retrieve("chl_inversion", none)["chl_inversion"]).all()


def test_less_light_than_noise_counts_as_no_more_than_noise() -> None:
    """Near infrared at or below zero is clear water, not an error; what is as bright as snow has no value."""
    bands = seen(waters(20), numbers("chl_inversion"))
    dark = {role: np.full(20, 1e-9) for role in ("rededge2", "rededge3", "nir08")}
    below = {role: np.full(20, -0.002) for role in dark}
    assert found("chl_inversion", bands | below, "S2A_MSI") == pytest.approx(
        found("chl_inversion", bands | dark, "S2A_MSI"), rel=1e-9
    )
    white = {role: np.full(1, 0.5, np.float32) for role in bands}
    out = water.retrieve("chl_inversion", spectra(white))
    assert np.isnan(out["chl_inversion"].values).all()
    assert int(out["chl_inversion_flags"].values[0]) & 8


def test_single_precision_is_enough() -> None:
    """float32, as maps are computed, differs by less than a hundred thousandth in the median."""
    bands = seen(waters(100), numbers("chl_inversion"))
    out = water.retrieve("chl_inversion", spectra({role: value.astype("float32") for role, value in bands.items()}))
    single = out["chl_inversion"].values
    assert single.dtype == np.float32
    far = np.abs(single / found("chl_inversion", bands, "S2A_MSI") - 1)
    assert np.median(far) < 1e-5
    assert far.max() < 1e-3


def test_only_sensors_with_a_red_edge_have_it() -> None:
    """Without one the errors are those of the blue-green formulas, and larger."""
    with pytest.raises(NotFoundError):
        get_retrieval("chl_inversion").coefficient_set(load_water_sensor("L8_OLI"))
