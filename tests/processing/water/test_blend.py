"""The blend of chlorophyll: its members, its switch, and what it must never do."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import NotFoundError
from terracube.processing import water
from terracube.processing.water.retrievals import Bands, get_retrieval
from terracube.processing.water.sensors import load_water_sensor, water_sensor_names

Array = NDArray[np.float64]

MERIS = {
    "oa02": "X412.5",
    "coastal": "X442.5",
    "blue": "X490",
    "oa05": "X510",
    "green": "X560",
    "yellow": "X620",
    "red": "X665",
    "oa10": "X681.25",
    "rededge1": "X708.75",
}
VALENTE = {
    "oa02": "X412nm",
    "coastal": "X443nm",
    "blue": "X490nm",
    "oa05": "X510nm",
    "green": "X560nm",
    "yellow": "X620nm",
    "red": "X665nm",
    "oa10": "X681nm",
}


def blend(bands: Mapping[str, Any], sensor: str = "ENVISAT_MERIS", name: str = "chl_blend") -> Array:
    """Compute in float64, NaN where the spectrum is not valid."""
    retrieval, known = get_retrieval(name), load_water_sensor(sensor)
    values = {role: np.asarray(value, np.float64) for role, value in bands.items()}
    with np.errstate(all="ignore"):
        got: Any = retrieval.formula(Bands(values, known), retrieval.coefficient_set(known).values)
        return np.where(got.outside, np.nan, got.value)


def columns(path: Path, names: dict[str, str], truth: tuple[str, ...]) -> tuple[dict[str, Array], Array, Array]:
    """Read bands, the first measurement that is there, and the place (site or region), missing as NaN."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> Array:
        values = np.array([float(row[name] or "nan") for row in rows])
        return np.where(values > 999, np.nan, values)

    measured = np.full(len(rows), np.nan)
    for name in truth:
        measured = np.where(np.isfinite(measured), measured, column(name))
    places = [row.get("CC_SITE") or f"{round(float(row['Lat']) / 20)} {round(float(row['Lon']) / 30)}" for row in rows]
    return {role: column(name) for role, name in names.items()}, measured, np.array(places)


def rmsle(estimate: Array, truth: Array) -> float:
    """Root mean square of the difference of logarithms to the base ten."""
    return float(np.sqrt(np.mean(np.log10(estimate / truth) ** 2)))


def spectra(count: int, seed: int = 1) -> dict[str, Array]:
    """Draw random spectra above zero."""
    rng = np.random.default_rng(seed)
    return {role: 10 ** rng.uniform(-3.5, -1.2, count) for role in MERIS}


def test_blend_is_its_members_written_a_second_time() -> None:
    """The blue-green polynomial, its correction, the red-edge formula and the switch, in plain numpy."""
    b = spectra(500)
    x = np.clip(np.log10(np.maximum.reduce([b["coastal"], b["blue"], b["oa05"]]) / b["green"]), -0.3, 1.2)
    turn = 0.1265 + 0.152 * x + 0.470 * np.log10(b["oa02"] / b["coastal"])
    turn += 0.5045 * np.log10(b["oa10"] / b["red"]) + 0.264 * np.log10(b["red"] / b["green"])
    clear = 10 ** (np.polyval([-0.4990, -1.1288, 2.4409, -2.7677, 0.3255], x) + np.clip(turn, -0.35, 0.35))
    r = np.minimum(b["rededge1"] / b["red"], 8) * load_water_sensor("ENVISAT_MERIS").band("rededge1").aw / 0.8449
    dense = (35.74545 * np.maximum(r, 0.75) - 19.29545) ** (1 / 0.8897)
    s = np.clip((r - 0.75) / 0.4, 0, 1)
    blue = np.clip(np.log10(np.maximum.reduce([b["coastal"], b["blue"], b["oa05"]]) / b["green"]) / 0.1, 0, 1)
    share = (3 * s**2 - 2 * s**3) * (1 - 3 * blue**2 + 2 * blue**3)
    assert blend(b) == pytest.approx(share * dense + (1 - share) * clear, rel=1e-4)


def test_share_is_the_published_switch_at_its_ends() -> None:
    """Below 0.75 only blue-green, above 1.15 only red edge, half and half between, as Smith et al. 2018 have it."""
    ratio = np.array([-1.0, 0.75, 0.95, 1.15, 50.0])
    sensor = load_water_sensor("ENVISAT_MERIS")
    same = 0.8449 / sensor.band("rededge1").aw
    bands = {"blue": 0.02, "green": 0.02, "red": np.full(5, 0.01), "rededge1": 0.01 * ratio * same}
    assert blend(bands, name="chl_blend_share") == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1e-6, 0.5), min_size=8, max_size=8),
    st.floats(-0.01, 0.5),
    st.sampled_from(water_sensor_names()),
)
def test_every_valid_spectrum_gets_a_positive_value(values: list[float], edge: float, sensor: str) -> None:
    """Whatever the shape, noise or sensor: a finite value above zero, and not an absurd one."""
    roles = [role for role in MERIS if role != "rededge1"]
    bands = dict(zip(roles, values, strict=True)) | {"rededge1": edge}
    there = load_water_sensor(sensor).bands
    got = blend({role: value for role, value in bands.items() if role in there}, sensor)
    assert 0 < float(got) < 1000


@pytest.mark.parametrize("role", ["blue", "green"])
def test_dark_needed_band_is_no_valid_spectrum(role: str) -> None:
    """Zero in green gives no value; a dark blue where no other blue band is lit."""
    bands = {"blue": 0.01, "green": 0.01, "red": 0.005, "rededge1": 0.004} | {role: 0.0}
    assert np.isnan(blend(bands, "S2A_MSI"))


@pytest.mark.parametrize("role", ["oa02", "coastal", "oa10", "oa05", "red", "rededge1"])
@pytest.mark.parametrize("bad", [np.nan, -0.001])
def test_bad_extra_band_costs_nothing_but_its_help(role: str, bad: float) -> None:
    """A band that only helps may be missing or negative in a pixel; but red and red edge that are missing decide.

    Below zero they say that there is no red edge; without them nobody knows which formula is to be taken.
    """
    bands = {name: float(value[0]) for name, value in spectra(1, seed=3).items()}
    bands |= {"blue": 0.02, "green": 0.02, "red": 0.01, "rededge1": 0.005}
    whole, without = float(blend(bands)), float(blend(bands | {role: bad}))
    if role in ("red", "rededge1") and np.isnan(bad):
        assert np.isnan(without)
    else:
        assert 0.2 < without / whole < 5


def test_missing_red_edge_is_flagged_as_missing() -> None:
    """In a bloom the blue-green formula would be four times too low: no value, and why."""
    bands = {"coastal": 0.005, "blue": 0.008, "green": 0.02, "red": 0.01, "rededge1": 0.03}
    rows = [bands, bands | {"rededge1": np.nan}, bands | {"red": np.nan}]
    values = {role: ("n", np.array([row[role] for row in rows])) for role in bands}
    cube = xr.Dataset(values, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})
    for name in ("chl_blend", "chl_blend_share"):
        got = water.retrieve(name, cube)
        assert np.isfinite(got[name].to_numpy()).tolist() == [True, False, False]
        assert got[f"{name}_flags"].values.tolist() == [0, 1, 1]


def test_switch_leaves_no_seam() -> None:
    """Along a rising red edge the value moves in small steps."""
    edge = np.linspace(0.5, 1.4, 2000) * 0.01
    got = blend({"blue": 0.01, "coastal": 0.009, "green": 0.015, "red": np.full(2000, 0.01), "rededge1": edge})
    assert np.abs(np.diff(np.log10(got))).max() < 0.01


def test_noise_of_blue_water_is_no_bloom() -> None:
    """Where blue is brighter than green, a red edge as bright as red is noise, and changes nothing."""
    ocean = {"coastal": 0.006, "blue": 0.005, "oa05": 0.003, "green": 0.0015, "red": 1e-5}
    quiet, noisy = (float(blend(ocean | {"rededge1": edge})) for edge in (0.0, 3e-5))
    assert noisy == quiet < 0.5


def test_red_edge_is_seen_alike_by_bands_of_different_wavelength() -> None:
    """Of the same water, whose red edge follows the absorption of water, both sensors tell the same share."""
    shares = []
    for name in ("S2A_MSI", "S3A_OLCI"):
        band = load_water_sensor(name).band("rededge1")
        bands = {"blue": 0.02, "green": 0.02, "red": 0.01, "rededge1": 0.0095 * 0.8449 / band.aw}
        shares.append(float(blend(bands, name, "chl_blend_share")))
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] == pytest.approx(0.5, abs=0.01)


def test_share_needs_a_red_edge() -> None:
    """Sensors without one have no share, and say so."""
    with pytest.raises(NotFoundError):
        get_retrieval("chl_blend_share").coefficient_set(load_water_sensor("L8_OLI"))


def test_engine_computes_the_same_and_gives_both_uncertainties() -> None:
    """Through the fused pass, in float32: same values, noise above zero, reasons for what has none."""
    bands = {role: ("sample", values.astype("float32")) for role, values in spectra(64).items()}
    cube = xr.Dataset(bands, attrs={"quantity": "rrs", "sensor": "ENVISAT_MERIS"})
    cube["green"][0], cube["green"][1] = np.nan, -0.001
    got = water.retrieve("chl_blend", cube, uncertainty=True)
    expected = blend({role: cube[role].values for role in map(str, cube)})
    np.testing.assert_allclose(got.chl_blend[2:], expected[2:], rtol=2e-4)
    assert np.isnan(got.chl_blend[:2]).all()
    assert got.chl_blend_flags[:2].values.tolist() == [1, 2]
    assert (got.chl_blend_noise[2:] >= 0).all()
    np.testing.assert_allclose(got.chl_blend_algorithm[2:], 0.5 * got.chl_blend[2:], rtol=1e-5)


def test_round_robin_is_reached_without_being_fitted_on(data_dir: Path) -> None:
    """All 167 samples of the part at hand: RMSLE <= .34 and MdSA <= 60 %; nothing was fitted on them."""
    bands, truth, sites = columns(data_dir / "water/ccrr/ccrr_rhow_chl_tsm.csv", MERIS, ("X.Chl_a..ug.L.",))
    measured = np.isfinite(truth)
    got = blend(bands)[measured]
    assert np.isfinite(got).sum() == measured.sum() == 167
    assert rmsle(got, truth[measured]) <= 0.24
    assert np.exp(np.median(np.abs(np.log(got / truth[measured])))) - 1 <= 0.34
    by_site = {site: rmsle(got[sites[measured] == site], truth[measured][sites[measured] == site]) for site in "17"}
    assert by_site["1"] <= 0.15


def test_ocean_and_coast_are_reached(data_dir: Path) -> None:
    """All 1134 stations of Valente et al. 2019 with chlorophyll: RMSLE <= .30, of OLI's bands as well."""
    bands, truth, _ = columns(data_dir / "water/valente/valente2019_rrs_chl.csv", VALENTE, ("Chla.1", "Chla.2"))
    measured = np.isfinite(truth)
    got = blend(bands)[measured]
    assert np.isfinite(got).sum() == measured.sum() == 1134
    assert rmsle(got, truth[measured]) <= 0.265
    landsat = blend(
        {role: values for role, values in bands.items() if role in load_water_sensor("L8_OLI").bands}, "L8_OLI"
    )
    assert rmsle(landsat[measured], truth[measured]) <= 0.295


def test_correction_holds_where_it_was_not_fitted(data_dir: Path) -> None:
    """Fitted anew without a region, halved, and used there: RMSLE <= .27 over all regions, against .30 without."""
    bands, truth, regions = columns(data_dir / "water/valente/valente2019_rrs_chl.csv", VALENTE, ("Chla.1", "Chla.2"))
    good = np.isfinite(truth)
    b, log_truth, regions = {k: v[good] for k, v in bands.items()}, np.log10(truth[good]), regions[good]
    x = np.clip(np.log10(np.maximum.reduce([b["coastal"], b["blue"], b["oa05"]]) / b["green"]), -0.3, 1.2)
    plain = np.polyval([-0.4990, -1.1288, 2.4409, -2.7677, 0.3255], x)
    ratios = [("oa02", "coastal"), ("oa10", "red"), ("red", "green")]
    terms = np.stack([np.ones_like(x), x, *(np.log10(b[i] / b[j]) for i, j in ratios)], axis=1)
    turn = np.empty_like(x)
    for region in np.unique(regions):
        out = regions == region
        fitted = np.linalg.lstsq(terms[~out], (log_truth - plain)[~out])[0]
        turn[out] = np.clip(0.5 * (terms[out] @ fitted) - 0.0275, -0.35, 0.35)
    assert rmsle(10**plain, 10**log_truth) >= 0.295
    assert rmsle(10 ** (plain + turn), 10**log_truth) <= 0.27
    shipped: Any = get_retrieval("chl_blend").coefficient_set(load_water_sensor("S3A_OLCI")).values["turn"]
    whole = 0.5 * np.linalg.lstsq(terms, log_truth - plain)[0] - np.array([0.0275, 0, 0, 0, 0])
    keys = ("constant", "max_ratio", "violet", "fluorescence", "red")
    assert [shipped[key] for key in keys] == pytest.approx(whole.tolist(), abs=0.001)


def test_correction_of_three_bands_is_as_fitted() -> None:
    """That of MSI and OLI, written a second time, on a spectrum without a red edge."""
    b = spectra(100, seed=5)
    x = np.clip(np.log10(np.maximum(b["coastal"], b["blue"]) / b["green"]), -0.35, 1.2)
    turn = np.clip(0.0745 - 0.3615 * x + 0.928 * np.log10(b["coastal"] / b["blue"]), -0.35, 0.35)
    expected = 10 ** (np.polyval([-0.4570, -0.5538, 1.1776, -2.0546, 0.2412], x) + turn)
    three = {role: b[role] for role in ("coastal", "blue", "green", "red")}
    assert blend(three, "L8_OLI") == pytest.approx(expected)
    assert blend(three | {"rededge1": np.zeros(100)}, "S2A_MSI") == pytest.approx(expected)
