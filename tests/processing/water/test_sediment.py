"""Suspended matter and turbidity: against a table of another implementation, formulas written twice, a round robin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings

from terracube.core.errors import NotFoundError
from terracube.processing.formula import band, compile_program, where
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import sediment
from terracube.processing.water.retrievals.base import Bands, Retrieval, evidence, registered
from terracube.processing.water.sensors import WaterSensor, load_water_sensor

Spectra = Mapping[str, np.ndarray]
COLUMNS = {
    "coastal": "rhos_443",
    "blue": "rhos_492",
    "green": "rhos_560",
    "red": "rhos_665",
    "rededge1": "rhos_704",
    "rededge2": "rhos_740",
    "rededge3": "rhos_783",
    "nir": "rhos_833",
    "nir08": "rhos_865",
}
MERIS_COLUMNS = {
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
NAMES = tuple(name for name, one in registered().items() if one.formula.__module__ == sediment.__name__) + tuple(
    name for name, one in registered().items() if isinstance(one, sediment._SingleBand)
)
SINGLE = tuple(name for name, one in registered().items() if isinstance(one, sediment._SingleBand))
MSI = "S2A_MSI"


@pytest.fixture(scope="module")
def table(data_dir: Path) -> pd.DataFrame:
    """72 spectra of Sentinel-2A with what another implementation makes of them."""
    path = data_dir / "water" / "acolite" / "l2w_s2a_reference.csv"
    if not path.exists():
        pytest.skip(f"no table of spectra at {path}")
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def spectra(table: pd.DataFrame) -> Spectra:
    """Water reflectance of the table by role."""
    return {role: table[column].to_numpy() for role, column in COLUMNS.items()}


@pytest.fixture(scope="module")
def robin(data_dir: Path) -> pd.DataFrame:
    """Samples of the round robin that have a load."""
    path = data_dir / "water" / "ccrr" / "ccrr_rhow_chl_tsm.csv"
    if not path.exists():
        pytest.skip(f"no round robin at {path}")
    rows = pd.read_csv(path)
    return rows[rows["X.TSM..mg.l."] < 999].reset_index(drop=True)


def _bands(retrieval: Retrieval, rhow: Mapping[str, Any], sensor: WaterSensor) -> Bands:
    factor = 1 / math.pi if retrieval.quantity == "rrs" else 1.0
    return Bands({role: value * factor for role, value in rhow.items()}, sensor)


def _run(name: str, rhow: Mapping[str, Any], sensor: str = MSI, **changed: Any) -> np.ndarray:
    """Give values as the engine would: NaN outside of the domain and where saturated."""
    retrieval, known = registered()[name], load_water_sensor(sensor)
    values = retrieval.coefficient_set(known).values | changed
    with np.errstate(all="ignore"):
        got = retrieval.formula(_bands(retrieval, rhow, known), values)
    value = np.array(got.value, dtype=np.float64, ndmin=1)
    for mask in (got.outside, got.saturated):
        if mask is not None:
            value[np.broadcast_to(np.asarray(mask, dtype=bool), value.shape)] = np.nan
    return value


def _one(name: str, sensor: str = MSI, /, **bands: float) -> float:
    return float(_run(name, {role: np.array([value]) for role, value in bands.items()}, sensor)[0])


def _hyperbola(x: np.ndarray, a: float, c: float) -> np.ndarray:
    return np.where(x < 0.5 * c, c * a * x / (c - x), np.nan)


def _score(estimate: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Median symmetric accuracy and signed bias, percent (Morley et al. 2018, doi:10.1002/2017SW001669)."""
    ratio = np.log(estimate / truth)
    middle = np.median(ratio)
    return 100 * np.expm1(np.median(np.abs(ratio))), 100 * np.sign(middle) * np.expm1(np.abs(middle))


# -- the table of another implementation


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("spm_nechad2010", "SPM_Nechad2010_665"),
        ("spm_nechad2010_nir08", "SPM_Nechad2010_865"),
        ("spm_nechad2010_srf", "SPM_Nechad2010Ave_665"),
        ("spm_nechad2016", "SPM_Nechad2016_665"),
        ("turbidity_nechad2009", "TUR_Nechad2009_665"),
        ("turbidity_nechad2009_nir08", "TUR_Nechad2009_865"),
        ("turbidity_nechad2009_srf", "TUR_Nechad2009Ave_665"),
        ("turbidity_nechad2016", "TUR_Nechad2016_665"),
    ],
)
def test_single_band_laws_match_the_table(name: str, column: str, table: pd.DataFrame, spectra: Spectra) -> None:
    """72 of 72: equal to 1e-6, and no value where the table has none."""
    np.testing.assert_allclose(_run(name, spectra), table[column], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "column"), [("turbidity_dogliotti2015", "TUR_Dogliotti2015"), ("spm_jiang2021", "TSS_Jiang2023")]
)
def test_switching_laws_match_the_table(name: str, column: str, table: pd.DataFrame, spectra: Spectra) -> None:
    """72 of 72 through all branches."""
    np.testing.assert_allclose(_run(name, spectra), table[column], rtol=1e-5)


def test_novoa_is_the_paper_and_the_table_is_another_law(table: pd.DataFrame, spectra: Spectra) -> None:
    """72 of 72 as the paper has it; the table's column of that name mixes Nechad's laws and has no green branch."""
    green, red, nir = (spectra[role] for role in ("green", "red", "nir08"))
    alpha = np.log(0.016 / red) / np.log(0.016 / 0.007)
    beta = np.log(red / 0.08) / np.log(0.12 / 0.08)
    laws = [130.1 * green, 531.5 * red, 37150 * nir**2 + 1751 * nir]
    cases = [red <= 0.007, red < 0.016, red <= 0.08, red < 0.12]
    mixed = [laws[0], alpha * laws[0] + (1 - alpha) * laws[1], laws[1], (1 - beta) * laws[1] + beta * laws[2]]
    np.testing.assert_allclose(_run("spm_novoa2017", spectra), np.select(cases, mixed, laws[2]), rtol=1e-12)
    for column, a_red, a_nir in (("SPM_Novoa2017", 355.85, 2971.93), ("TUR_Novoa2017", 282.95, 2109.35)):
        single = [a_red * red / (1 - red / 0.1728), a_nir * nir / (1 - nir / 0.2115)]
        weight = np.clip(beta, 0, 1)
        np.testing.assert_allclose((1 - weight) * single[0] + weight * single[1], table[column], rtol=1e-5)


@pytest.mark.parametrize("name", SINGLE)
def test_single_band_laws_are_the_hyperbola_of_their_numbers(name: str, spectra: Spectra) -> None:
    """72 of 72 for every band, with the numbers read from the table once more."""
    retrieval = registered()[name]
    role = str(retrieval.needs[0])
    numbers = load_coefficients(retrieval.coefficients).find(MSI)
    assert numbers is not None
    law: Any = numbers.values[role]
    expected = _hyperbola(spectra[role], law["a"], law["c"])
    np.testing.assert_allclose(_run(name, spectra), expected, rtol=1e-12)


def test_empirical_laws_written_a_second_time(spectra: Spectra) -> None:
    """72 of 72 each, from the formulas as they are printed."""
    blue, green, red, edge, nir = (spectra[role] for role in ("blue", "green", "red", "rededge2", "nir08"))
    rrs, x = red / np.pi, red / green
    total = red + edge + nir
    index = 0.04 * green / blue + (1.17 * red**2 + 0.4 * edge**2 + 14.86 * nir**2) / (green * total)
    linear = 1140.25 * rrs - 1.91
    clipped = np.minimum(x, 1.5)
    expected = {
        "spm_qiu2013": 10 ** (2.26 * clipped**3 - 5.42 * clipped**2 + 5.58 * clipped - 0.72),
        "spm_gaa2019": 20.43 * index**2.15,
        "spm_petus2010": 12450 * rrs**2 + 666.1 * rrs + 0.48,
        "spm_miller2004": np.where(linear < 0, np.nan, linear),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(_run(name, spectra), values, rtol=1e-12, err_msg=name)
    for sensor, factor, exponent in (("L8_OLI", 3957, 1.6436), ("L7_ETM", 3983, 1.6246)):
        bands = {"green": green, "red": red}
        got = _run("spm_lymburner2016", bands, sensor)
        np.testing.assert_allclose(got, factor * ((green + red) / 2) ** exponent, rtol=1e-12)


def test_blend_is_the_geometric_mean_of_its_laws(spectra: Spectra) -> None:
    """72 of 72: the ratio law to the power of the weight times the switching law to that of the rest."""
    weight = 1 / (1 + (spectra["red"] / 0.015) ** 1.5)
    expected = _run("spm_qiu2013", spectra) ** weight * _run("spm_novoa2017", spectra) ** (1 - weight)
    np.testing.assert_allclose(_run("spm_blend", spectra), expected, rtol=1e-12)


def test_blend_holds_the_numbers_of_the_laws_it_blends() -> None:
    """The two copies of the published numbers cannot part."""
    blend, novoa, qiu = (load_coefficients(f"spm_{name}").sets[0].values for name in ("blend", "novoa2017", "qiu2013"))
    assert blend["bands"] == novoa
    assert blend["ratio"] == qiu


# -- the round robin


def _fit_centre(bands: Spectra, truth: np.ndarray) -> float:
    centres = np.geomspace(0.003, 0.1, 141)
    errors = [np.mean(np.abs(np.log(_run("spm_blend", bands, "ENVISAT_MERIS", centre=c) / truth))) for c in centres]
    return float(centres[int(np.argmin(errors))])


def test_blend_across_the_sites_of_the_round_robin(robin: pd.DataFrame) -> None:
    """Fitted on one site and scored on the other, both ways: every sample, 48 % and 10 % are kept."""
    truth, site = robin["X.TSM..mg.l."].to_numpy(), robin["CC_SITE"].to_numpy()
    estimate, centres = np.full(truth.shape, np.nan), {}
    for held_out in (1, 14):
        there, elsewhere = site == held_out, site != held_out
        bands = {role: robin[column].to_numpy() for role, column in MERIS_COLUMNS.items()}
        centre = _fit_centre({role: value[elsewhere] for role, value in bands.items()}, truth[elsewhere])
        centres[held_out] = centre
        held = {role: value[there] for role, value in bands.items()}
        estimate[there] = _run("spm_blend", held, "ENVISAT_MERIS", centre=centre)
    assert np.isfinite(estimate).all()
    assert len(estimate) == 179
    accuracy, bias = _score(estimate, truth)
    assert accuracy == pytest.approx(45.3, abs=0.1)
    assert bias == pytest.approx(-8.3, abs=0.1)
    assert centres == {1: pytest.approx(0.0201, abs=2e-4), 14: pytest.approx(0.0100, abs=2e-4)}


@pytest.mark.parametrize(
    ("name", "accuracy", "bias"),
    [("spm_blend", 44.7, -2.8), ("spm_novoa2017", 54.0, -19.5), ("spm_qiu2013", 61.3, 12.8)],
)
def test_scores_of_the_round_robin(name: str, accuracy: float, bias: float, robin: pd.DataFrame) -> None:
    """The numbers as they are shipped, all 179 samples, on bands of MERIS."""
    bands = {role: robin[column].to_numpy() for role, column in MERIS_COLUMNS.items()}
    got = _score(_run(name, bands, "ENVISAT_MERIS"), robin["X.TSM..mg.l."].to_numpy())
    assert got == pytest.approx((accuracy, bias), abs=0.1)


@pytest.mark.parametrize("sensor", ["S2A_MSI", "L8_OLI", "L5_TM", "S3A_OLCI", "AQUA_MODIS"])
def test_blend_takes_the_bands_of_every_sensor(sensor: str, robin: pd.DataFrame) -> None:
    """Green and red are enough: every sample has a value on every sensor."""
    bands = {role: robin[MERIS_COLUMNS[role]].to_numpy() for role in ("green", "red")}
    assert np.isfinite(_run("spm_blend", bands, sensor)).all()


def test_stated_uncertainty_of_the_blend_covers_two_thirds(robin: pd.DataFrame) -> None:
    """The algorithm part holds the truth for 60 to 76 % of the samples."""
    bands = {role: robin[column].to_numpy() for role, column in MERIS_COLUMNS.items()}
    estimate, truth = _run("spm_blend", bands, "ENVISAT_MERIS"), robin["X.TSM..mg.l."].to_numpy()
    sigma = load_coefficients("spm_blend").sets[0].error.relative * estimate
    assert 0.60 <= np.mean(np.abs(truth - estimate) <= sigma) <= 0.76


# -- domain, saturation, missing bands


@pytest.mark.parametrize("name", sorted({*NAMES} - {"spm_jiang2021", "turbidity_dogliotti2015"}))
def test_missing_is_missing(name: str) -> None:
    """A band that is needed and NaN gives no value, whichever it is (of laws that take all their bands everywhere)."""
    sensor = "L8_OLI" if name == "spm_lymburner2016" else MSI
    roles = registered()[name].roles(load_water_sensor(sensor))
    for gone in roles:
        bands = {role: 0.02 if role != gone else math.nan for role in roles}
        assert math.isnan(_one(name, sensor, **bands)), gone


@pytest.mark.parametrize("name", NAMES)
def test_below_zero_is_outside(name: str) -> None:
    """Reflectances below zero give no value, never a load below zero."""
    sensor = "L8_OLI" if name == "spm_lymburner2016" else MSI
    bands = dict.fromkeys(registered()[name].roles(load_water_sensor(sensor)), -0.01)
    assert math.isnan(_one(name, sensor, **bands))


@pytest.mark.parametrize("name", SINGLE)
def test_saturation_is_half_of_the_asymptote(name: str) -> None:
    """Just below there is a value of twice the linear one, from there on none."""
    retrieval = registered()[name]
    role = str(retrieval.needs[0])
    law: Any = retrieval.coefficient_set(load_water_sensor(MSI)).values[role]
    half = law["c"] / 2
    assert _one(name, **{role: half * (1 - 1e-9)}) == pytest.approx(2 * law["a"] * half, rel=1e-6)
    assert math.isnan(_one(name, **{role: half}))
    assert math.isnan(_one(name, **{role: law["c"]}))


def test_dogliotti_beyond_the_asymptote_of_the_red() -> None:
    """At the very asymptote of the red law the infrared one alone decides; at its own there is no value."""
    expected = 3078.9 * 0.1 / (1 - 0.1 / 0.2112)
    assert _one("turbidity_dogliotti2015", red=0.1641, nir08=0.1) == pytest.approx(expected)
    assert math.isnan(_one("turbidity_dogliotti2015", red=0.1641, nir08=0.2112))


def test_novoa_without_infrared_keeps_the_red_law() -> None:
    """A sensor without the band at 865 nm stays with the red; a pixel without it, in turbid water, has no value."""
    assert _one("spm_novoa2017", green=0.1, red=0.1) == pytest.approx(53.15)
    assert math.isnan(_one("spm_novoa2017", green=0.1, red=0.1, nir08=math.nan))
    assert math.isnan(_one("spm_novoa2017", green=0.1, red=0.1, nir08=-0.01))
    assert _one("spm_novoa2017", green=0.07, red=0.07, nir08=math.nan) == pytest.approx(37.205)
    assert _one("spm_novoa2017", "L5_TM", green=0.1, red=0.1, nir08=0.05) == pytest.approx(53.15)
    assert _one("spm_novoa2017", green=0.15, red=0.15, nir08=0.1) == pytest.approx(371.5 + 175.1)


def test_modis_takes_its_land_bands_where_they_are_given() -> None:
    """645 and 859 nm, for which the law was made, before 667 and 869 nm."""
    near = _one("turbidity_dogliotti2015", "AQUA_MODIS", red=0.02, nir08=0.001, modis01=0.04, modis02=0.001)
    assert near == pytest.approx(_one("turbidity_dogliotti2015", "AQUA_MODIS", red=0.04, nir08=0.001))


def test_olci_takes_its_own_band_at_620() -> None:
    """The type of water is decided with the measured band, and without it with that estimated from the red."""
    bands = {"coastal": 0.03, "blue": 0.05, "green": 0.06, "red": 0.04, "rededge2": 0.01, "nir08": 0.005}
    of_red = _one("spm_jiang2021", "S3A_OLCI", **bands, yellow=0.045)
    of_edge = _one("spm_jiang2021", "S3A_OLCI", **bands, yellow=0.055)
    assert of_red != pytest.approx(of_edge, rel=0.01)
    assert _one("spm_jiang2021", "S3A_OLCI", **bands) in (of_red, of_edge)


@pytest.mark.parametrize(
    ("name", "sensor"), [("spm_nechad2010_rededge1", "S3A_OLCI"), ("turbidity_nechad2009_srf_nir08", "L9_OLI")]
)
def test_a_band_without_numbers_is_refused(name: str, sensor: str) -> None:
    """The sensor has the band, the table does not: the message names the bands that it has."""
    with pytest.raises(NotFoundError, match="no coefficients for this band") as caught:
        registered()[name].coefficient_set(load_water_sensor(sensor))
    assert "red" in str(caught.value)


def test_a_sensor_without_numbers_is_refused() -> None:
    """The averaged numbers are those of a sensor, not of its twin."""
    with pytest.raises(NotFoundError, match="no coefficients for this sensor"):
        registered()["spm_nechad2010_srf"].coefficient_set(load_water_sensor("S2C_MSI"))


# -- properties

REFLECTANCE = st.floats(1e-4, 0.25)


@settings(max_examples=25, deadline=None)
@given(green=REFLECTANCE, red=REFLECTANCE, nir=st.floats(-0.02, 0.25))
def test_blend_retrieves_every_valid_spectrum(green: float, red: float, nir: float) -> None:
    """A load above zero wherever green and red are, and above the red law's end the infrared too."""
    value = _one("spm_blend", green=green, red=red, nir08=nir)
    if red > 0.08 and not nir > 0:
        assert math.isnan(value)
    else:
        assert 0 < value < 1e5


@settings(max_examples=25, deadline=None)
@given(red=st.floats(1e-4, 0.2), name=st.sampled_from(["spm_blend", "spm_novoa2017", "turbidity_dogliotti2015"]))
def test_switching_is_continuous(red: float, name: str) -> None:
    """A small step of the reflectance makes a small step of the load, also at the ends of the switches."""
    bands = {"green": 0.05, "nir08": 0.02}
    near, far = _one(name, red=red, **bands), _one(name, red=red * (1 + 1e-7), **bands)
    assert near == pytest.approx(far, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(low=st.floats(1e-4, 0.07), step=st.floats(1e-4, 0.01), name=st.sampled_from(SINGLE))
def test_single_band_laws_grow(low: float, step: float, name: str) -> None:
    """More reflectance is more load, up to saturation."""
    role = str(registered()[name].needs[0])
    few, more = _one(name, **{role: low}), _one(name, **{role: low + step})
    assert math.isnan(more) or few < more


@pytest.mark.parametrize("name", NAMES)
def test_symbols_and_numbers_agree(name: str, spectra: Spectra) -> None:
    """One formula: compiled to one pass it gives what it gives on arrays."""
    sensor = load_water_sensor("L8_OLI" if name == "spm_lymburner2016" else MSI)
    retrieval = registered()[name]
    rhow = {role: value for role, value in spectra.items() if role in sensor.bands}
    symbols: dict[str, Any] = dict(zip(rhow, map(band, rhow), strict=True))
    got = retrieval.formula(_bands(retrieval, symbols, sensor), retrieval.coefficient_set(sensor).values)
    value: Any = got.value
    for mask in (got.outside, got.saturated):
        value = value if mask is None else where(mask, math.nan, value)
    program = compile_program({name: value})
    values, _ = program.run(np.stack([rhow[role] for role in program.bands]))
    np.testing.assert_allclose(values[0], _run(name, rhow, sensor.name), rtol=1e-9)


# -- the engine


def _cube(bands: Mapping[str, Any], dtype: str = "float64") -> xr.Dataset:
    values = {role: ("sample", np.atleast_1d(value).astype(dtype)) for role, value in bands.items()}
    return xr.Dataset(values, attrs={"quantity": "rhow", "sensor": MSI})


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 5e-4)])
def test_one_pass_of_all_matches_the_formulas(dtype: str, rtol: float, spectra: Spectra) -> None:
    """All retrievals together, in both precisions, against each formula on its own."""
    names = [name for name in NAMES if name != "spm_lymburner2016"]
    got = retrieve(names, _cube(spectra, dtype))
    bands = {role: value.astype(dtype).astype(np.float64) for role, value in spectra.items()}
    for name in names:
        np.testing.assert_allclose(got[name], _run(name, bands), rtol=rtol, atol=1e-3, err_msg=name)


def test_reasons_are_told() -> None:
    """Missing, below zero, saturated, above the range: each has its bit, and only the last its value."""
    red = [0.02, math.nan, -0.001, 0.09, 0.08]
    got = retrieve("spm_nechad2010", _cube({"red": red}))
    assert got.spm_nechad2010_flags.values.tolist() == [0, 1, 2, 8, 0]
    assert np.isfinite(got.spm_nechad2010.values).tolist() == [True, False, False, False, True]
    beyond = retrieve("spm_blend", _cube({"green": 0.16, "red": 0.2, "nir08": 0.12}))
    assert beyond.spm_blend_flags.item() == 32
    assert beyond.spm_blend.item() > 330


@pytest.mark.parametrize("gone", ["coastal", "rededge2", "nir08", "red"])
@pytest.mark.parametrize("name", ["spm_jiang2021", "turbidity_dogliotti2015"])
def test_a_missing_band_of_any_branch_is_missing(name: str, gone: str) -> None:
    """A law that switches needs all its bands, also those that the water at hand does not ask for."""
    roles = registered()[name].roles(load_water_sensor(MSI))
    got = retrieve(name, _cube({role: math.nan if role == gone else 0.02 for role in roles}))
    assert got[f"{name}_flags"].item() == (1 if gone in roles else 0)
    assert math.isnan(got[name].item()) == (gone in roles)


def test_uncertainty_of_the_blend_has_two_parts() -> None:
    """Noise carried through the formula, and the error of the formula as its coefficients state it."""
    bands = {"green": 0.03, "red": 0.02}
    got = retrieve("spm_blend", _cube(bands), uncertainty=True, noise={"green": 0.0, "red": 1e-4})
    step = (_one("spm_blend", green=0.03, red=0.0201) - _one("spm_blend", green=0.03, red=0.0199)) / 2
    assert got.spm_blend_noise.item() == pytest.approx(step, rel=1e-3)
    assert got.spm_blend_algorithm.item() == pytest.approx(0.59 * got.spm_blend.item())


# -- what is said of them


def test_every_retrieval_has_evidence_that_exists() -> None:
    """Each names a test of this file and how many spectra agree."""
    for name in NAMES:
        told = evidence()[name]
        assert told.test.rpartition("::")[2] in globals(), name
        assert 0 < told.n <= told.of


def test_units_and_sources_are_said() -> None:
    """Loads in g m-3, turbidities in FNU; every set names its paper and its error."""
    for name in NAMES:
        retrieval = registered()[name]
        assert retrieval.unit == ("FNU" if name.startswith("turbidity") else "g m-3")
        for one in load_coefficients(retrieval.coefficients).sets:
            assert "doi:" in one.source or "ESA SP-740" in one.source or "WaterDetect" in one.source
            assert one.error.relative > 0
