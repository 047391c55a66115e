"""Blooms: line heights and flags against the reference table, their definitions written again, and made spectra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import blooms, evidence
from terracube.processing.water.retrievals.base import Bands, registered
from terracube.processing.water.sensors import load_water_sensor

Array = NDArray[np.float64]
NAMES = sorted(name for name in registered() if registered()[name].formula.__module__ == blooms.__name__)


def _get(name: str, bands: Mapping[str, Any], sensor: str) -> Any:
    one, known = registered()[name], load_water_sensor(sensor)
    with np.errstate(all="ignore"):
        return one.formula(Bands(bands, known), one.coefficient_set(known).values)


def _values(name: str, bands: Mapping[str, Any], sensor: str) -> Array:
    found = _get(name, bands, sensor)
    value = np.asarray(found.value, dtype=float)
    return value if found.outside is None else np.where(found.outside, np.nan, value)


@pytest.fixture(scope="module")
def table(data_dir: Path) -> pd.DataFrame:
    """Spectra of Sentinel-2A as rho_w and what ACOLITE makes of them."""
    return pd.read_csv(data_dir / "water" / "acolite" / "l2w_s2a_reference.csv")


def _bands(table: pd.DataFrame) -> dict[str, Array]:
    columns = {"red": 665, "rededge1": 704, "rededge2": 740, "rededge3": 783, "nir08": 865, "swir16": 1614}
    return {role: table[f"rhos_{nm}"].to_numpy() for role, nm in columns.items()}


@pytest.mark.parametrize("name", ["ndci", "fai"])
def test_reference_table(table: pd.DataFrame, name: str) -> None:
    """All 72 spectra have the index of the table."""
    np.testing.assert_allclose(_values(name, _bands(table), "S2A_MSI"), table[name], rtol=1e-5)


def test_scattering_line_height_differs_from_the_table(table: pd.DataFrame) -> None:
    """The table takes 0.9454 of the way from 665 to 783 nm; a straight line to 740 nm has 0.52 at 704 nm."""
    bands = _bands(table)
    theirs = bands["rededge1"] - (bands["red"] + 0.945442 * (bands["rededge3"] - bands["red"]))
    np.testing.assert_allclose(theirs, table["slh"], rtol=1e-4, atol=1e-7)
    ours = bands["rededge1"] - (bands["red"] + (704 - 665) / (740 - 665) * (bands["rededge2"] - bands["red"]))
    # The mean wavelength of the band is 740.5 nm.
    found = _values("slh", bands, "S2A_MSI")
    assert np.abs(found - ours).max() < 0.01 * np.abs(bands["rededge2"] - bands["red"]).max()


def _line(b: Mapping[str, Array], *points: tuple[str, int]) -> Array:
    (left, start), (peak, top), (right, end) = points
    base = [np.interp(top, [start, end], pair) for pair in zip(b[left], b[right], strict=True)]
    height: Array = b[peak] - np.array(base)
    return height


def _ci_cyano(b: Mapping[str, Array]) -> Array:
    index = -_line(b, ("red", 665), ("oa10", 681), ("rededge1", 709))
    shape = b["red"] - b["yellow"] - (b["oa10"] - b["yellow"]) * (665 - 620) / (681 - 620)
    return np.where((shape > 0) & (index > 0), index, 0.0)


def _mph_pixel(b: Mapping[str, float]) -> tuple[float, float, float]:
    """Peak height, cyanobacteria and chlorophyll of one pixel, decided step by step as in the paper's flow chart."""
    r620, r665, r681, r709, r754, r885 = (b[x] for x in ("yellow", "red", "oa10", "rededge1", "rededge2", "oa18"))

    def above(value: float, nm: int) -> float:
        return value - r665 - (r885 - r665) * (nm - 665) / (885 - 665)

    inner = above(r709, 709) if r709 >= r681 else above(r681, 681)
    sicf = r681 - r665 - (r709 - r665) * (681 - 665) / (709 - 665)
    sipf = r665 - r620 - (r681 - r620) * (665 - 620) / (681 - 620)
    algae = 5.24e9 * inner**4 - 1.95e8 * inner**3 + 2.46e6 * inner**2 + 4.02e3 * inner + 1.97
    algae = algae if inner >= -0.00075 else float("nan")
    if r754 <= max(r681, r709):
        if sicf < 0 and sipf > 0 and above(r709, 709) > 0.002:
            return inner, 1.0, 22.44 * float(np.exp(35.79 * inner))
        return inner, 0.0, algae
    height = above(r754, 754)
    if height >= 0.02 or (r885 - r665) / (r885 + r665) >= 0.2:
        if sicf < 0 and sipf > 0:
            return height, 1.0, 22.44 * float(np.exp(35.79 * height))
        return height, 0.0, float("nan")
    return height, 0.0, algae


def _mph(which: int) -> Callable[[Mapping[str, Array]], Array]:
    def run(b: Mapping[str, Array]) -> Array:
        rows = [dict(zip(b, row, strict=True)) for row in zip(*b.values(), strict=True)]
        return np.array([_mph_pixel(row)[which] for row in rows])

    return run


def _bloom(*points: tuple[str, int]) -> Callable[[Mapping[str, Array]], Array]:
    def run(b: Mapping[str, Array]) -> Array:
        index = (b["rededge1"] - b["red"]) / (b["rededge1"] + b["red"])
        kind = np.where(_line(b, *points) > 0, 2.0, np.where(index > 0.1, 1.0, 0.0))
        return np.where(b["red"] > 0.08, 0.0, kind)

    return run


_SECOND: dict[str, tuple[str, Callable[[Mapping[str, Array]], Array]]] = {
    "ndci": ("S2A_MSI", lambda b: (b["rededge1"] - b["red"]) / (b["rededge1"] + b["red"])),
    "fai": ("L8_OLI", lambda b: _line(b, ("red", 655), ("nir08", 865), ("swir16", 1609))),
    "afai": ("S3A_OLCI", lambda b: _line(b, ("red", 665), ("rededge2", 754), ("nir08", 865))),
    "flh": ("S3A_OLCI", lambda b: _line(b, ("red", 665), ("oa10", 681), ("rededge1", 709))),
    "flh_modis": ("AQUA_MODIS", lambda b: _line(b, ("red", 666), ("modis14", 678), ("modis15", 747))),
    "slh": ("S3A_OLCI", lambda b: _line(b, ("red", 665), ("rededge1", 709), ("rededge2", 754))),
    "ci_cyano": ("S3A_OLCI", _ci_cyano),
    "mph": ("S3A_OLCI", _mph(0)),
    "cyano_mph": ("S3A_OLCI", _mph(1)),
    "chl_mph": ("S3A_OLCI", _mph(2)),
    "bloom": ("S2A_MSI", _bloom(("red", 665), ("nir08", 865), ("swir16", 1614))),
    "bloom_afai": ("S3A_OLCI", _bloom(("red", 665), ("rededge2", 754), ("nir08", 865))),
}


def _random(sensor: str, n: int = 2000) -> dict[str, Array]:
    """Spectra around a bright and a dark level, some below zero, with small and large steps between bands."""
    rng = np.random.default_rng(11)
    level = 10 ** rng.uniform(-3, -0.7, n)
    return {role: level * (1 + rng.normal(0, 0.4, n)) for role in load_water_sensor(sensor).bands}


@pytest.mark.parametrize("name", sorted(_SECOND))
def test_formula_written_twice(name: str) -> None:
    """The value is that of the definition on 2000 random spectra, and every class occurs."""
    sensor, formula = _SECOND[name]
    bands = _random(sensor)
    expected, found = formula(bands), _values(name, bands, sensor)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
    classes = registered()[name].classes
    if classes:
        assert set(found) == {float(one) for one in classes}


def test_every_formula_is_written_twice() -> None:
    """No formula of this family goes unchecked, and each names its test."""
    assert set(NAMES) == set(_SECOND)
    for name in NAMES:
        path, _, test = evidence()[name].test.partition("::")
        assert path == "tests/processing/water/test_blooms.py"
        assert test in globals()


_SIX = ("yellow", "red", "oa10", "rededge1", "rededge2", "oa18")


def _spectrum(*values: float) -> dict[str, Array]:
    return {role: np.array([value]) for role, value in zip(_SIX, values, strict=True)}


@pytest.mark.parametrize(
    ("spectrum", "cyano", "has_value"),
    [
        (_spectrum(0.014, 0.013, 0.0145, 0.013, 0.006, 0.004), 0.0, True),
        (_spectrum(0.014, 0.018, 0.016, 0.035, 0.015, 0.010), 1.0, True),
        (_spectrum(0.030, 0.030, 0.040, 0.080, 0.200, 0.220), 0.0, False),
        (_spectrum(0.030, 0.050, 0.045, 0.100, 0.180, 0.190), 1.0, True),
    ],
    ids=["algae with fluorescence", "cyanobacteria in the water", "floating leaves", "scum of cyanobacteria"],
)
def test_maximum_peak_height_tells_the_kinds(spectrum: dict[str, Array], cyano: float, has_value: bool) -> None:
    """Fluorescence means algae, its absence with a dip at 620 nm cyanobacteria, a rise to 754 nm what floats."""
    assert _values("cyano_mph", spectrum, "S3A_OLCI")[0] == cyano
    assert np.isfinite(_values("chl_mph", spectrum, "S3A_OLCI")[0]) == has_value


def test_cyanobacteria_index_and_fluorescence_are_opposite() -> None:
    """What one sees as a peak at 681 nm the other sees as a dip."""
    peak = _spectrum(0.014, 0.013, 0.0145, 0.013, 0.006, 0.004)
    dip = _spectrum(0.014, 0.018, 0.016, 0.035, 0.015, 0.010)
    assert _values("flh", peak, "S3A_OLCI")[0] > 0
    assert _values("ci_cyano", peak, "S3A_OLCI")[0] == 0
    assert _values("ci_cyano", dip, "S3A_OLCI")[0] == pytest.approx(-_values("flh", dip, "S3A_OLCI")[0])


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.01, 0.1), st.floats(-1e-4, 1e-4))
def test_a_straight_spectrum_has_no_height(level: float, slope: float) -> None:
    """A spectrum that is a line over the wavelength has no line height, whatever its level and slope."""
    for name in ("fai", "afai", "flh", "flh_modis", "slh", "mph"):
        sensor = _SECOND[name][0]
        known = load_water_sensor(sensor)
        bands = {role: np.array([level + slope * (round(one.wavelength) - 600)]) for role, one in known.bands.items()}
        assert _values(name, bands, sensor)[0] == pytest.approx(0.0, abs=1e-12)


def _cube(**bands: list[float]) -> xr.Dataset:
    data = {role: ("sample", np.array(value)) for role, value in bands.items()}
    return xr.Dataset(data, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})


def test_bloom_classes_and_missing_bands() -> None:
    """Clear, green, floating and turbid water; a missing band is missing and not "no bloom"."""
    out = retrieve(
        "bloom",
        _cube(
            red=[0.01, 0.01, 0.02, 0.12, 0.01],
            rededge1=[0.008, 0.02, 0.05, 0.16, np.nan],
            nir08=[0.002, 0.002, 0.15, 0.06, 0.15],
            swir16=[0.001, 0.001, 0.02, 0.001, 0.02],
        ),
    )
    np.testing.assert_array_equal(out["bloom"], [0, 1, 2, 0, np.nan])
    assert out["bloom_flags"].values.tolist() == [0, 0, 0, 0, 1]
    assert out["bloom"].attrs["flag_meanings"] == "not_found bloom_in_the_water floating_algae"


def test_line_heights_take_negative_bands() -> None:
    """A near infrared a little below zero is noise of clear water, and no reason to give nothing."""
    out = retrieve("fai", _cube(red=[0.001], nir08=[-0.0005], swir16=[-0.0002]))
    assert out["fai_flags"].values[0] == 0
    assert out["fai"].values[0] < 0


@pytest.mark.parametrize("name", NAMES)
def test_fused_pass_gives_the_formula(name: str) -> None:
    """Compiled, in float64, a product is what the formula gives on numbers."""
    sensor = _SECOND[name][0]
    bands = {role: value[:300] for role, value in _random(sensor).items()}
    quantity = "rrs" if registered()[name].quantity == "any" else "rhow"
    cube = xr.Dataset({k: ("sample", v) for k, v in bands.items()}, attrs={"quantity": quantity, "sensor": sensor})
    out = retrieve(name, cube)
    kept = (out[f"{name}_flags"].values & 0b1111) == 0
    expected = _values(name, bands, sensor)
    np.testing.assert_allclose(out[name].values[kept], expected[kept], rtol=1e-9, atol=1e-15)
    assert int(kept.sum()) >= 150
