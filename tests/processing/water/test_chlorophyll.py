"""Chlorophyll: against the reference table, against the formulas written a second time, and against stations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import chlorophyll, evidence
from terracube.processing.water.retrievals.base import Bands, registered
from terracube.processing.water.sensors import WaterSensor, load_water_sensor

Array = NDArray[np.float64]

NAMES = sorted(name for name in registered() if name.startswith("chl_") and name not in ("chl_mph", "chl_blend"))
NAMES = [name for name in NAMES if registered()[name].formula.__module__ == chlorophyll.__name__]


def _get(name: str, bands: Mapping[str, Any], sensor: WaterSensor) -> Any:
    """Run a formula on numbers of its own quantity."""
    one = registered()[name]
    with np.errstate(all="ignore"):
        return one.formula(Bands(bands, sensor), one.coefficient_set(sensor).values)


def _values(name: str, bands: Mapping[str, Any], sensor: WaterSensor) -> Array:
    """Values with NaN where the formula says that the spectrum is outside."""
    found = _get(name, bands, sensor)
    value = np.asarray(found.value, dtype=float)
    return value if found.outside is None else np.where(found.outside, np.nan, value)


@pytest.fixture(scope="module")
def table(data_dir: Path) -> pd.DataFrame:
    """Spectra of Sentinel-2A as rho_w and what ACOLITE makes of them."""
    return pd.read_csv(data_dir / "water" / "acolite" / "l2w_s2a_reference.csv")


_COLUMNS = {
    "coastal": 443,
    "blue": 492,
    "green": 560,
    "red": 665,
    "rededge1": 704,
    "rededge2": 740,
    "rededge3": 783,
    "nir": 833,
    "nir08": 865,
    "swir16": 1614,
}


def _bands(table: pd.DataFrame, factor: float = 1.0) -> dict[str, Array]:
    return {role: table[f"rhos_{nm}"].to_numpy() * factor for role, nm in _COLUMNS.items()}


def _factor(name: str) -> float:
    return 1.0 if registered()[name].quantity == "rhow" else 1 / np.pi


# Name, column, spectra that have both values, spectra of the table with a value and without one of ours.
_TABLE = [
    ("chl_oc2", "chl_oc2", 72, 0),
    ("chl_oc3", "chl_oc3", 72, 0),
    ("chl_gons2002", "chl_re_gons", 50, 0),
    ("chl_bramich2021", "chl_re_bramich", 62, 0),
    ("chl_moses3b_rededge3", "chl_re_moses3b", 56, 0),
    # Left of its turning point at NDCI = -0.22 the parabola of Mishra and Mishra rises again: 11 clear spectra have a
    # value of up to 49 mg m-3 in the table and none here.
    ("chl_ndci", "chl_re_mishra", 61, 11),
]


@pytest.mark.parametrize(("name", "column", "n", "lost"), _TABLE)
def test_reference_table(table: pd.DataFrame, name: str, column: str, n: int, lost: int) -> None:
    """Where both have a value it is the same; where only the table has one, the reason is known."""
    ours = _values(name, _bands(table, _factor(name)), load_water_sensor("S2A_MSI"))
    theirs = table[column].to_numpy()
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert int(both.sum()) == n
    assert int((np.isfinite(theirs) & ~np.isfinite(ours)).sum()) == lost
    assert not (np.isfinite(ours) & ~np.isfinite(theirs)).any()
    # Reflectance has seven digits: near zero, as a difference of numbers near one, a value keeps fewer than five.
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-5, atol=5e-5 if "3b" in name else 5e-6)


def _poly(numbers: list[float], x: Array) -> Array:
    return np.polynomial.Polynomial(numbers)(x)


_MSI, _OLCI, _MODIS, _MERIS, _OLI = "S2A_MSI", "S3A_OLCI", "AQUA_MODIS", "ENVISAT_MERIS", "L8_OLI"


def _oc(numbers: list[float], *blues: str) -> Callable[[Mapping[str, Array]], Array]:
    return lambda b: _limited(numbers, np.max([b[blue] for blue in blues], axis=0) / b["green"])


def _limited(numbers: list[float], ratio: Array) -> Array:
    """No spectrum of water has a ratio below 0.21 or above 30."""
    return np.where((ratio >= 0.21) & (ratio <= 30), 10 ** _poly(numbers, np.log10(ratio)), np.nan)


def _ci(a: float, b: float, cut: float) -> Callable[[Mapping[str, Array]], Array]:
    def run(x: Mapping[str, Array]) -> Array:
        green = x["green"]
        moved = np.where(green < 0.001148, 10 ** (1.023 * np.log10(green) + 0.103624), 0.979 * green + 0.000121)
        index = moved - (x["coastal"] + (555 - 443) / (665 - 443) * (x["red"] - x["coastal"]))
        chl = 10 ** (a + b * index)
        return np.where(chl <= cut, chl, np.nan)

    return run


def _oci(x: Mapping[str, Array]) -> Array:
    clear = _ci(-0.4287, 230.47, np.inf)(x)
    wide = _oc([0.3308, -2.6684, 1.599, 0.5525, -1.4876], "coastal", "blue")(x)
    share = np.clip((clear - 0.25) / 0.1, 0, 1)
    return np.where(share == 0, clear, np.where(share == 1, wide, (1 - share) * clear + share * wide))


def _bluest(bands: Mapping[str, Array]) -> Array:
    return np.asarray(np.max([bands[role] for role in ("oa02", "coastal", "blue", "oa05")], axis=0))


def _two(function: Callable[[Array], Array]) -> Callable[[Mapping[str, Array]], Array]:
    return lambda b: _risen(function(b["rededge1"] / b["red"]))


def _three(function: Callable[[Array], Array], third: str = "rededge2") -> Callable[[Mapping[str, Array]], Array]:
    return lambda b: _risen(function((1 / b["red"] - 1 / b["rededge1"]) * b[third]))


def _nd(function: Callable[[Array], Array], turn: float) -> Callable[[Mapping[str, Array]], Array]:
    def run(b: Mapping[str, Array]) -> Array:
        index = (b["rededge1"] - b["red"]) / (b["rededge1"] + b["red"])
        return np.where(index >= turn, _risen(function(index)), np.nan)

    return run


def _risen(value: Array) -> Array:
    return np.where(value > 0, value, np.nan)


def _gons(p: float, star: float, red: float, power: float = 1.0) -> Callable[[Mapping[str, Array]], Array]:
    def run(b: Mapping[str, Array]) -> Array:
        bb = 1.61 * b["rededge3"] / (0.082 - 0.6 * b["rededge3"])
        ratio = b["rededge1"] / b["red"]
        chl = _risen(ratio * (0.70 + bb) - 0.40 - bb**p) ** power / star
        return np.where((ratio > 0.63) & (b["red"] > red), chl, np.nan) if power == 1 else chl

    return run


def _tc2(b: Mapping[str, Array]) -> Array:
    aw = dict(zip((443, 560, 665, 709, 754), (0.006963, 0.06209, 0.4285, 0.8013, 2.8666), strict=True))
    bw = dict(zip((443, 560, 665, 709, 754), (0.002178, 0.0008057, 0.0003937, 0.0003023, 0.0002343), strict=True))
    role = dict(zip((443, 560, 665, 709, 754), ("coastal", "green", "red", "rededge1", "rededge2"), strict=True))
    rrs = {nm: b[name] / (0.52 + 1.7 * b[name]) for nm, name in role.items()}
    u = {nm: (-0.089 + np.sqrt(0.089**2 + 4 * 0.125 * x)) / (2 * 0.125) for nm, x in rrs.items()}
    y = 2.0 * (1 - 1.2 * np.exp(-0.9 * rrs[443] / rrs[560]))
    mci = b["rededge1"] - b["red"] - (b["rededge2"] - b["red"]) * (709 - 665) / (754 - 665)

    def chl(nm0: int) -> Array:
        bbp0 = u[nm0] * aw[nm0] / (1 - u[nm0]) - bw[nm0]
        a = {nm: (1 - u[nm]) * (bbp0 * (nm0 / nm) ** y + bw[nm]) / u[nm] - aw[nm] for nm in (560, 665, 709)}
        return np.asarray((a[665] - 0.17 * a[560] - 0.83 * a[709]) / 0.017)

    return _risen(np.where(mci > 0.0016, chl(754), chl(709)))


_OC6 = [0.95039, -3.05404, 2.17992, -1.12097, 0.15262]
_OC3M = [0.26294, -2.64669, 1.28364, 1.08209, -1.76828]
_FRANZ2, _FRANZ3 = [0.1977, -1.8117, 1.9743, -2.5635, -0.7218], [0.2412, -2.0546, 1.1776, -0.5538, -0.4570]
_SECOND: dict[str, tuple[str, Callable[[Mapping[str, Array]], Array]]] = {
    "chl_oc2": (_OLCI, _oc([0.2389, -1.9369, 1.7627, -3.0777, -0.1054], "blue")),
    "chl_oc2_franz2015": (_OLI, _oc(_FRANZ2, "blue")),
    "chl_oc3": (_MODIS, _oc(_OC3M, "coastal", "blue")),
    "chl_oc3_franz2015": (_OLI, _oc(_FRANZ3, "coastal", "blue")),
    "chl_oc4": (_OLCI, _oc([0.42540, -3.21679, 2.86907, -0.62628, -1.09333], "coastal", "blue", "oa05")),
    "chl_oc4_v6": (_MERIS, _oc([0.3255, -2.7677, 2.4409, -1.1288, -0.4990], "coastal", "blue", "oa05")),
    "chl_oc5": (_OLCI, _oc([0.43213, -3.13001, 3.05479, -1.45176, -0.24947], "oa02", "coastal", "blue", "oa05")),
    "chl_oc6": (_OLCI, lambda b: _limited(_OC6, _bluest(b) * 2 / (b["green"] + b["red"]))),
    "chl_ci": (_MSI, _ci(-0.4287, 230.47, 0.35)),
    "chl_ci_hu2012": (_MSI, _ci(-0.4909, 191.659, 0.3)),
    "chl_oci": (_MSI, _oci),
    "chl_moses2b": (_OLCI, _two(lambda r: 61.324 * r - 37.94)),
    "chl_gitelson2b": (_OLCI, _two(lambda r: 72.66 * r - 46.535)),
    "chl_gilerson2b": (_OLCI, _two(lambda r: _risen(35.75 * r - 19.30) ** 1.124)),
    "chl_gurlin2b": (_OLCI, _two(lambda r: 25.28 * r**2 + 14.85 * r - 15.18)),
    "chl_ndci": (_OLCI, _nd(lambda n: 14.039 + 86.115 * n + 194.325 * n**2, -86.115 / 2 / 194.325)),
    "chl_ndci_simulated": (_OLCI, _nd(lambda n: 42.197 + 236.5 * n + 314.97 * n**2, -236.5 / 2 / 314.97)),
    "chl_moses3b": (_OLCI, _three(lambda t: 232.29 * t + 23.173)),
    "chl_moses3b_rededge3": (_MSI, _three(lambda t: 232.29 * t + 23.173, "rededge3")),
    "chl_gitelson3b": (_OLCI, _three(lambda t: 243.86 * t + 23.17)),
    "chl_gilerson3b": (_OLCI, _three(lambda t: _risen(113.36 * t + 16.45) ** 1.124)),
    "chl_gurlin3b": (
        _OLCI,
        _three(lambda t: np.where(t >= -215.95 / 2 / 315.5, 315.5 * t**2 + 215.95 * t + 25.66, np.nan)),
    ),
    "chl_gons": (_OLCI, _gons(1.063, 0.016, 0.0)),
    "chl_gons2002": (_OLCI, _gons(1.05, 0.015, 0.005)),
    "chl_bramich2021": (_OLCI, _gons(1.05, 0.0109, 0.0, 1.1675)),
    "chl_tc2": (_OLCI, _tc2),
}


def _spectra(sensor: str, n: int = 500) -> dict[str, Array]:
    """Waters from clear to dense: Rrs of a model with absorption and backscattering, the same for every sensor."""
    rng = np.random.default_rng(6)
    spans = ((-2, 2.2), (-3, 2), (-3.5, 0.5))
    chl, sediment, dissolved = (10 ** rng.uniform(low, high, n) for low, high in spans)
    found = {}
    for role, band in load_water_sensor(sensor).bands.items():
        if not np.isfinite(band.aw):
            continue
        nm = band.wavelength
        peaks = 0.04 * np.exp(-(((nm - 440) / 40) ** 2)) + 0.018 * np.exp(-(((nm - 670) / 14) ** 2))
        absorbed = band.aw + peaks * chl**0.9 + (dissolved + 0.03 * sediment) * np.exp(-0.014 * (nm - 443))
        scattered = band.bbw + (0.002 * chl**0.6 + 0.012 * sediment) * (560 / nm)
        u = scattered / (absorbed + scattered)
        found[role] = 0.52 * (0.089 + 0.125 * u) * u / (1 - 1.7 * (0.089 + 0.125 * u) * u)
    return found


@pytest.mark.parametrize("name", sorted(_SECOND))
def test_formula_written_twice(name: str) -> None:
    """Over all waters the value is that of the paper's formula, and missing where that has no meaning."""
    sensor, formula = _SECOND[name]
    rrs = _spectra(sensor)
    bands = {role: value * np.pi * _factor(name) for role, value in rrs.items()}
    with np.errstate(all="ignore"):
        expected = formula(bands)
    found = _values(name, bands, load_water_sensor(sensor))
    assert int(np.isfinite(found).sum()) >= 25
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_every_formula_is_written_twice() -> None:
    """No formula of this family goes unchecked."""
    assert set(NAMES) == set(_SECOND)


@pytest.mark.parametrize("name", NAMES)
def test_evidence_names_a_test(name: str) -> None:
    """Each formula has a row that names a test of this file."""
    told = evidence()[name]
    path, _, test = told.test.partition("::")
    assert path == "tests/processing/water/test_chlorophyll.py"
    assert test in globals()
    assert 0 < told.n <= told.of


def _nominal(sensor: WaterSensor, **wavelengths: float) -> WaterSensor:
    moved = {
        role: replace(band, wavelength=wavelengths.get(role, band.wavelength)) for role, band in sensor.bands.items()
    }
    return replace(sensor, bands=MappingProxyType(moved))


# One pixel of MODIS, worked through with the description of chlor_a of NASA on the Earthdata forum
# (forum.earthdata.nasa.gov, "chlor_a"): Rrs at 443, 488, 547, 555 and 667 nm.
_PIXEL = {"coastal": 0.006004000856137, "blue": 0.004496000859945, "green": 0.003296000862974, "red": 0.000502000870028}
_AT_555 = 0.002744000864368


def test_worked_example_of_oc3() -> None:
    """The band ratio gives what the producer's example gives."""
    value = _values("chl_oc3", {k: np.array([v]) for k, v in _PIXEL.items()}, load_water_sensor("AQUA_MODIS"))
    assert value[0] == pytest.approx(0.469525, rel=2e-4)


def test_worked_example_of_the_colour_index() -> None:
    """With the band at 555 nm itself, index and chlorophyll are those of the producer's example."""
    sensor = _nominal(load_water_sensor("AQUA_MODIS"), coastal=443.0, red=667.0)
    bands = Bands({k: np.array([v]) for k, v in (_PIXEL | {"green": _AT_555}).items()}, sensor)
    index = chlorophyll.colour_index(bands, {})
    assert index[0] == pytest.approx(-5.09e-4, abs=5e-8)
    assert 10 ** (-0.4287 + 230.47 * index[0]) == pytest.approx(0.28444, rel=1e-4)


@pytest.mark.parametrize("sensor", ["S2A_MSI", "AQUA_MODIS"])
def test_both_branches_of_the_green_shift_meet(sensor: str) -> None:
    """Dark and bright water are moved to 555 nm by formulas that agree at the limit between them."""
    known: Any = registered()["chl_ci"].coefficient_set(load_water_sensor(sensor)).values
    limit = known["shift"]["limit"]
    below, above = chlorophyll.green_at_555(np.array([limit * (1 - 1e-9), limit]), known)
    assert below == pytest.approx(above, rel=2e-3)
    # From 560 nm to 555 nm clear water gains, from 547 nm it loses.
    assert (above > limit) == (sensor == "S2A_MSI")


def test_green_without_shift_is_left_alone() -> None:
    """A band that lies at 555 nm is taken as it is."""
    green = np.array([0.001, 0.01])
    assert chlorophyll.green_at_555(green, {}) is green


def test_gilerson_as_printed_with_specific_absorption() -> None:
    """The power law equals the paper's form with water absorption and the absorption per chlorophyll, to 2 %."""
    ratio = np.linspace(0.7, 3.0, 24)
    printed = ((0.7864 * ratio - 0.4245) / 0.022) ** (1 / 0.8897)
    bands = {"red": np.full(24, 0.01), "rededge1": 0.01 * ratio}
    np.testing.assert_allclose(_values("chl_gilerson2b", bands, load_water_sensor("S3A_OLCI")), printed, rtol=0.02)


def _stations(data_dir: Path) -> tuple[dict[str, Array], Array]:
    table = pd.read_csv(data_dir / "water" / "valente" / "valente2019_rrs_chl.csv")
    columns = {"oa02": 412, "coastal": 443, "blue": 490, "oa05": 510, "green": 560, "yellow": 620, "red": 665}
    chl = table["Chla.2"].fillna(table["Chla.1"]).to_numpy()
    return {role: table[f"X{nm}nm"].to_numpy() for role, nm in columns.items()}, chl


def test_last_coefficient_of_oc6_is_positive(data_dir: Path) -> None:
    """The two signs in circulation part in the clearest waters, where stations decide."""
    bands, chl = _stations(data_dir)
    x = np.log10(_bluest(bands) * 2 / (bands["green"] + bands["red"]))
    clear = (x > 1.0) & np.isfinite(chl)
    known: Any = registered()["chl_oc6"].coefficient_set(load_water_sensor("S3A_OLCI")).values["a"]
    assert known[-1] > 0
    errors = [
        np.sqrt(np.mean((_poly([*known[:4], sign * known[4]], x[clear]) - np.log10(chl[clear])) ** 2))
        for sign in (1, -1)
    ]
    assert int(clear.sum()) == 72
    assert errors[0] < 0.11
    assert errors[1] > 0.5


@pytest.mark.parametrize(
    ("name", "rmsle"),
    [("chl_oc2", 0.324), ("chl_oc3", 0.315), ("chl_oc4_v6", 0.302), ("chl_oc4", 0.344), ("chl_oc6", 0.318)],
)
def test_scores_on_stations(data_dir: Path, name: str, rmsle: float) -> None:
    """All stations have a value; the score and the share within the told error stay as they are."""
    bands, chl = _stations(data_dir)
    sensor = load_water_sensor("ENVISAT_MERIS")
    value = _values(name, bands, sensor)
    measured = np.isfinite(chl)
    assert int((np.isfinite(value) & measured).sum()) == int(measured.sum()) == 1134
    ratio = np.log10(value[measured] / chl[measured])
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(rmsle, abs=2e-3)
    error = registered()[name].coefficient_set(sensor).error
    within = np.abs(value - chl)[measured] <= np.hypot(error.absolute, error.relative * value[measured])
    assert 0.6 < within.mean() < 0.76


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("chl_moses2b", 125),
        ("chl_gitelson2b", 109),
        ("chl_gilerson2b", 152),
        ("chl_gurlin2b", 153),
        ("chl_ndci", 111),
        ("chl_ndci_simulated", 151),
    ],
)
def test_told_error_covers_the_round_robin(data_dir: Path, name: str, n: int) -> None:
    """One standard deviation of the red-edge formulas holds for two thirds of the stations that have a value."""
    table = pd.read_csv(data_dir / "water" / "ccrr" / "ccrr_rhow_chl_tsm.csv").replace(999.99, np.nan)
    bands = {"red": table["X665"].to_numpy() / np.pi, "rededge1": table["X708.75"].to_numpy() / np.pi}
    chl, sensor = table["X.Chl_a..ug.L."].to_numpy(), load_water_sensor("ENVISAT_MERIS")
    value, error = _values(name, bands, sensor), registered()[name].coefficient_set(sensor).error
    both = np.isfinite(value) & np.isfinite(chl)
    assert (int(both.sum()), int(np.isfinite(chl).sum())) == (n, 167)
    within = np.abs(value - chl)[both] <= np.hypot(error.absolute, error.relative * value[both])
    assert 0.66 < within.mean() < 0.70


@pytest.mark.parametrize("name", NAMES)
def test_every_set_has_its_bands(name: str) -> None:
    """For every sensor that a set names, the bands are there and a value comes out."""
    one = registered()[name]
    from terracube.processing.water.coefficients import load_coefficients

    for known in load_coefficients(one.coefficients).sets:
        for sensor in known.sensors if known.sensors != ("any",) else ("S2A_MSI", "S3A_OLCI", "ENVISAT_MERIS"):
            bands = {role: value * np.pi * _factor(name) for role, value in _spectra(sensor, 200).items()}
            assert one.coefficient_set(load_water_sensor(sensor)).name == known.name
            value = _values(
                name, {role: bands[role] for role in one.roles(load_water_sensor(sensor))}, load_water_sensor(sensor)
            )
            assert np.isfinite(value).any()
            assert (value[np.isfinite(value)] > 0).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-4, 0.05), st.floats(0.55, 4.0), st.floats(1.01, 2.0))
def test_more_red_edge_is_more_chlorophyll(red: float, ratio: float, more: float) -> None:
    """All two-band formulas rise with the ratio wherever they have a value."""
    sensor = load_water_sensor("S2A_MSI")
    for name in ("chl_moses2b", "chl_gitelson2b", "chl_gilerson2b", "chl_gurlin2b", "chl_ndci", "chl_ndci_simulated"):
        bands = {"red": np.array([red, red]), "rededge1": np.array([red * ratio, red * ratio * more])}
        first, second = _values(name, bands, sensor)
        assert not first >= second


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10.0))
def test_ratios_do_not_care_for_brightness(factor: float) -> None:
    """A band ratio of a brighter spectrum of the same shape gives the same chlorophyll."""
    sensor, bands = load_water_sensor("S3A_OLCI"), _spectra("S3A_OLCI", 20)
    bright = {role: value * factor for role, value in bands.items()}
    for name in ("chl_oc2", "chl_oc3", "chl_oc4", "chl_oc5", "chl_oc6", "chl_gilerson2b", "chl_ndci"):
        np.testing.assert_allclose(_values(name, bright, sensor), _values(name, bands, sensor), rtol=1e-9)


def _cube(**bands: list[float]) -> xr.Dataset:
    data = {role: ("sample", np.array(value)) for role, value in bands.items()}
    return xr.Dataset(data, attrs={"quantity": "rrs", "sensor": "S2A_MSI"})


def test_reasons_of_bad_spectra() -> None:
    """Missing, negative, zero and clear spectra each get no value and their own reason."""
    cube = _cube(red=[0.01, np.nan, -0.001, 0.0, 0.01], rededge1=[0.012, 0.01, 0.01, 0.01, 0.001])
    out = retrieve(["chl_gilerson2b", "chl_ndci"], cube)
    assert out["chl_gilerson2b_flags"].values.tolist() == [0, 1, 2, 4, 4]
    assert np.isfinite(out["chl_gilerson2b"].values).tolist() == [True, False, False, False, False]
    assert out["chl_ndci_flags"].values[4] == 4


def test_values_beyond_calibration_are_kept_and_flagged() -> None:
    """A very green water has a value, and says that the formula was not fitted to it."""
    out = retrieve("chl_ndci", _cube(red=[0.005], rededge1=[0.03]))
    assert out["chl_ndci"].values[0] > 28.1
    assert out["chl_ndci_flags"].values[0] == 32


@pytest.mark.parametrize("name", NAMES)
def test_fused_pass_gives_the_formula(name: str) -> None:
    """Compiled, in float64 and in float32, a product is what the formula gives on numbers."""
    sensor = _SECOND[name][0]
    rrs = {role: value[:64] for role, value in _spectra(sensor).items()}
    bands = {role: value * np.pi * _factor(name) for role, value in rrs.items()}
    expected = _values(name, bands, load_water_sensor(sensor))
    data = {role: ("sample", value) for role, value in rrs.items()}
    cube = xr.Dataset(data, attrs={"quantity": "rrs", "sensor": sensor})
    np.testing.assert_allclose(retrieve(name, cube)[name], expected, rtol=1e-9)
    single = retrieve(name, cube.astype("float32"))[name].values
    both = np.isfinite(single) & np.isfinite(expected)
    assert int(both.sum()) >= int(np.isfinite(expected).sum()) - 2
    # Differences of large numbers near the zero of a formula keep fewer digits.
    np.testing.assert_allclose(single[both], expected[both], rtol=2e-3, atol=2e-3)


def test_colour_index_bridges_to_the_band_ratio() -> None:
    """Below 0.25 the index alone counts, above 0.35 the ratio alone, and nothing jumps between."""
    sensor = load_water_sensor("S2A_MSI")
    red = np.full(400, 0.0002)
    green = np.linspace(0.0015, 0.0035, 400)
    bands = {"coastal": np.full(400, 0.006), "blue": np.full(400, 0.0045), "green": green, "red": red}
    clear = _get("chl_ci", bands, sensor).value
    mixed, wide = _values("chl_oci", bands, sensor), _values("chl_oc3", bands, sensor)
    np.testing.assert_allclose(mixed[clear < 0.25], clear[clear < 0.25], rtol=1e-12)
    np.testing.assert_allclose(mixed[clear > 0.35], wide[clear > 0.35], rtol=1e-12)
    assert np.abs(np.diff(mixed)).max() < 0.02


def test_oci_of_olci_without_510() -> None:
    """Without the band at 510 nm OLCI falls back from four bands to three."""
    sensor, bands = load_water_sensor("S3A_OLCI"), _spectra("S3A_OLCI", 50)
    without = {role: value for role, value in bands.items() if role != "oa05"}
    four, three = _values("chl_oci", bands, sensor), _values("chl_oci", without, sensor)
    # The blue of a few brown waters is so small that only the band at 510 nm keeps the ratio in its range.
    assert 45 <= int(np.isfinite(three).sum()) <= int(np.isfinite(four).sum())
    assert not np.allclose(four, three, equal_nan=True)
