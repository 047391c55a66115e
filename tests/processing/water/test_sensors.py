"""Sensors: responses, averages, pure-water optics, noise, and which sensor an item names."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.core.sensors import load_sensor
from terracube.processing.water.sensors import (
    band_average,
    load_water_sensor,
    response_of,
    sensor_of_item_properties,
    simulate_bands,
    water_sensor_names,
)

NAMES = [
    "S2A_MSI",
    "S2B_MSI",
    "S2C_MSI",
    "L5_TM",
    "L7_ETM",
    "L8_OLI",
    "L9_OLI",
    "S3A_OLCI",
    "S3B_OLCI",
    "AQUA_MODIS",
    "TERRA_MODIS",
    "ENVISAT_MERIS",
]
FINE = np.arange(340.0, 2501.0)

# Mean wavelengths that the agencies give, nm.
CENTRES = {
    "S2A_MSI": {"coastal": 442.7, "blue": 492.4, "green": 559.8, "red": 664.6, "rededge1": 704.1, "nir08": 864.7},
    "S2B_MSI": {"coastal": 442.2, "blue": 492.1, "green": 559.0, "rededge3": 779.7, "swir22": 2185.7},
    "L8_OLI": {"coastal": 443.0, "blue": 482.0, "green": 561.4, "red": 654.6, "nir08": 864.7, "swir16": 1608.9},
    "L9_OLI": {"coastal": 442.8, "green": 561.0, "red": 654.3, "nir08": 864.6},
    "ENVISAT_MERIS": {"oa02": 412.5, "oa05": 510.0, "green": 560.0, "rededge1": 708.75, "nir08": 865.0},
    "S3A_OLCI": {"yellow": 620.0, "oa10": 681.25, "rededge2": 753.75, "oa18": 885.0},
    "AQUA_MODIS": {"oa02": 412.0, "modis11": 531.0, "green": 547.0, "red": 667.0, "nir08": 869.0},
}


def test_all_promised_sensors_are_there() -> None:
    """The list of sensors is the promised one."""
    assert sorted(water_sensor_names()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_bands_are_in_order_and_sane(name: str) -> None:
    """Every band has a response with a maximum of 1, a positive width and a noise of a credible size."""
    sensor = load_water_sensor(name)
    wavelengths = [one.wavelength for one in sensor.bands.values()]
    assert wavelengths == sorted(wavelengths)
    for role, one in sensor.bands.items():
        response = response_of(name, role)
        assert one.role == role
        assert response.value.max() == 1.0
        assert (np.diff(response.wavelength) > 0).all()
        assert 5.0 < one.width < 300.0
        assert 1e-5 < one.noise < 5e-3


@pytest.mark.parametrize("name", sorted(CENTRES))
def test_mean_wavelengths_are_those_of_the_agencies(name: str) -> None:
    """Mean wavelengths lie within 3 nm of the published ones (MODIS and blue bands of OLI are skewed by that much)."""
    for role, centre in CENTRES[name].items():
        assert load_water_sensor(name).bands[role].wavelength == pytest.approx(centre, abs=3.0)


def test_measured_and_moved_bands_of_sentinel2_hit_the_centre() -> None:
    """The units of Sentinel-2 have the centre and width that ESA gives to a tenth of a nanometre and a nanometre."""
    for unit, centre, width in (("S2A_MSI", 492.4, 66.0), ("S2B_MSI", 492.1, 66.0), ("S2C_MSI", 489.0, 66.0)):
        blue = load_water_sensor(unit).bands["blue"]
        assert blue.wavelength == pytest.approx(centre, abs=0.1)
        assert blue.width == pytest.approx(width, abs=1.0)


def test_roles_are_those_of_the_sensor_descriptions() -> None:
    """Bands of MSI and OLI carry the role names that cubes of these sensors have."""
    assert set(load_water_sensor("S2A_MSI").bands) <= set(load_sensor("sentinel-2-l2a").bands)
    assert set(load_water_sensor("L8_OLI").bands) <= set(load_sensor("landsat-c2-l2").bands)


def test_pure_water_of_narrow_bands() -> None:
    """Averages over narrow bands are the table's values: Pope and Fry at 510 nm, and backscattering falling."""
    bands = load_water_sensor("ENVISAT_MERIS").bands
    assert bands["oa05"].aw == pytest.approx(0.0325, rel=0.02)
    assert bands["red"].aw == pytest.approx(0.429, rel=0.02)
    assert bands["coastal"].bbw == pytest.approx(0.0019, rel=0.05)
    backward = [one.bbw for one in bands.values()]
    assert backward == sorted(backward, reverse=True)


def test_pure_water_is_missing_beyond_the_table() -> None:
    """Beyond 900 nm there is no number for pure water, rather than an invented one."""
    band = load_water_sensor("S2A_MSI").bands["swir16"]
    assert math.isnan(band.aw)
    assert math.isnan(band.bbw)


def test_band_by_role_and_wavelength() -> None:
    """A band is found by role or within 8 nm of a wavelength, and not beyond."""
    olci = load_water_sensor("S3A_OLCI")
    assert olci.band("red").role == "red"
    assert olci.band(681).role == "oa10"
    assert olci.band(709).role == "rededge1"
    assert olci.find(600) is None
    assert olci.find("nir09") is None
    with pytest.raises(InputError, match="no such band"):
        olci.band(600)
    with pytest.raises(InputError, match="no such band"):
        load_water_sensor("L8_OLI").band("rededge1")
    assert load_water_sensor("L8_OLI").band(700, within=50.0).role == "red"


def test_unknown_sensor_is_refused() -> None:
    """An unknown name, or one that would leave the folder, is an error that lists the sensors."""
    for name in ("S2D_MSI", "../noise", ""):
        with pytest.raises(InputError, match="no such sensor"):
            load_water_sensor(name)
        with pytest.raises(InputError, match="no such sensor"):
            band_average(name, "red", [500, 600], [0, 0])


@pytest.mark.parametrize(
    ("platform", "instruments", "name"),
    [
        ("sentinel-2a", ["msi"], "S2A_MSI"),
        ("Sentinel-2C", None, "S2C_MSI"),
        ("landsat-5", ["tm"], "L5_TM"),
        ("landsat-5", ["mss"], None),
        ("landsat-7", ["etm+"], "L7_ETM"),
        ("LANDSAT_9", ["oli-2", "tirs-2"], "L9_OLI"),
        ("landsat-8", None, None),
        ("sentinel-3b", ["olci"], "S3B_OLCI"),
        ("Aqua", ["modis"], "AQUA_MODIS"),
        ("envisat", ["meris"], "ENVISAT_MERIS"),
        ("sentinel-1a", ["c-sar"], None),
        (None, None, None),
    ],
)
def test_sensor_of_item_properties(platform: str | None, instruments: list[str] | None, name: str | None) -> None:
    """Platform and instruments of an item lead to the sensor, and to none where they do not tell."""
    assert sensor_of_item_properties(platform, instruments) == name


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    level=st.floats(-1.0, 1.0),
    slope=st.floats(-1e-3, 1e-3),
    step=st.sampled_from([0.7, 1.0, 2.5]),
)
def test_average_of_a_straight_line_is_its_value_at_the_mean(
    name: str, level: float, slope: float, step: float
) -> None:
    """A linear spectrum averages to its value at the mean wavelength, whatever the sampling."""
    wavelength = np.arange(340.0, 2600.0, step)
    for role, got in simulate_bands(name, wavelength, (level + slope * (wavelength - 500.0))[None]).items():
        response = response_of(name, role)
        mass = np.trapezoid(response.value, response.wavelength)
        mean = np.trapezoid(response.value * response.wavelength, response.wavelength) / mass
        # Between its nodes the response is linear too, so that the integral bends by less than the step allows.
        assert got[0] == pytest.approx(level + slope * (mean - 500.0), abs=abs(slope) * 0.6 + 1e-12)


def test_average_agrees_with_an_integral_on_a_fine_grid() -> None:
    """The average is the integral of spectrum times response, done a second time by brute force."""
    wavelength = np.arange(400.0, 1000.0, 3.0)
    spectrum = 0.02 + 0.01 * np.sin(wavelength / 30.0)
    fine = np.arange(400.0, 997.0, 0.01)
    response = response_of("S2A_MSI", "green")
    weight = np.interp(fine, response.wavelength, response.value, left=0.0, right=0.0)
    truth = (weight * np.interp(fine, wavelength, spectrum)).sum() / weight.sum()
    assert float(band_average("S2A_MSI", "green", wavelength, spectrum)) == pytest.approx(truth, rel=1e-4)


def test_missing_values_count_only_within_the_band() -> None:
    """NaN outside of a band does no harm; inside, or where the spectrum ends, the average is NaN."""
    wavelength = np.arange(400.0, 901.0)
    spectrum = np.where((wavelength > 640) & (wavelength < 700), np.nan, 0.01)
    got = simulate_bands("S2A_MSI", wavelength, np.stack([spectrum, np.full(501, 0.01)]))
    assert got["green"] == pytest.approx([0.01, 0.01])
    assert np.isnan(got["red"][0])
    assert got["red"][1] == pytest.approx(0.01)
    assert np.isnan(got["swir16"]).all()


def test_bands_of_water_types(data_dir: Path) -> None:
    """Mean spectra of water types, averaged over the bands, lie near boxes of the nominal edges of MSI and OLI."""
    folder = data_dir / "water/owt"
    types = pd.read_csv(folder / "Vagelis_OWT_allwaters_mean_standardised.csv", index_col=0)
    roles = {"green": "03", "red": "04", "coastal": "01"}
    for sensor, short in (("S2A_MSI", "msi"), ("L8_OLI", "oli")):
        boxes = pd.read_csv(folder / f"{short}_OWT_vectors.csv")
        got = simulate_bands(sensor, types.columns.astype(float), types.to_numpy()[: len(boxes)])
        assert len(boxes) == 13
        for role, number in roles.items():
            np.testing.assert_allclose(got[role], boxes[short + number], rtol=0.06)


def test_no_spectra_is_a_valid_answer() -> None:
    """No rows in, no rows out."""
    assert simulate_bands("L8_OLI", FINE, np.empty((0, FINE.size)))["red"].shape == (0,)


@pytest.mark.parametrize(
    ("wavelength", "spectrum", "what"),
    [
        ([500, 400], [1, 1], "ascend"),
        ([500], [1], "ascend"),
        ([500, np.nan], [1, 1], "ascend"),
        ([400, 500], [1, 1, 1], "fit"),
        ([400, 500], 1.0, "fit"),
    ],
)
def test_spectra_that_do_not_fit_are_refused(wavelength: list[float], spectrum: object, what: str) -> None:
    """Wavelengths must ascend and fit the spectrum."""
    with pytest.raises(InputError, match=what):
        band_average("L8_OLI", "red", wavelength, np.asarray(spectrum, float))
