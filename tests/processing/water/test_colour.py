"""Hue angle and the scale of Forel and Ule: reference tables, the authors' examples, and whole simulated spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError, NotFoundError
from terracube.processing.water import retrieve
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.retrievals.base import Bands
from terracube.processing.water.retrievals.colour import class_of, hue_of, index_of, wavelength_of
from terracube.processing.water.sensors import load_water_sensor, simulate_bands
from terracube.processing.water.sensors._registry import pure_water

COLOURS = ("hue_angle", "forel_ule", "forel_ule_index", "dominant_wavelength")
LIMITS: Any = load_coefficients("forel_ule").sets[0].values["limits"]


def cube_of(bands: dict[str, Any], sensor: str) -> xr.Dataset:
    """One spectrum, or a column of them, as a spectral dataset."""
    variables = {role: ("n", np.atleast_1d(np.asarray(value, float))) for role, value in bands.items()}
    return xr.Dataset(variables, attrs={"quantity": "rhow", "sensor": sensor})


# Reference tables and examples


def test_hue_agrees_with_the_reference_table(data_dir: Path) -> None:
    """72 spectra of Sentinel-2A with the violet band: to 1e-5 and to 0.01 degree."""
    table = pd.read_csv(data_dir / "water/acolite/l2w_s2a_reference.csv")
    roles = {"coastal": 443, "blue": 492, "green": 560, "red": 665, "rededge1": 704}
    out = retrieve("hue_angle", cube_of({role: table[f"rhos_{nm}"] for role, nm in roles.items()}, "S2A_MSI"))
    np.testing.assert_allclose(out.hue_angle, table["hue_angle"], rtol=1e-5)
    np.testing.assert_allclose(out.hue_angle, table["hue_angle"], atol=0.01)


def test_hue_agrees_with_a_real_cube(data_dir: Path) -> None:
    """Two years of a Sentinel-2 composite without the violet band: 1528 of 1568 pixels, each within 0.01 degree.

    Pixels that the origin corrected to zero in a band are compared as well: there is a hue as long as there is light.
    The other 40 lie where the polynomial runs away (hues of -6700 to 336 degrees in the file, which its authors cut to
    25 to 100 afterwards; none of them between these) and have no value, flagged as outside.
    """
    stage = "water/deafrica_wq/wq_agm_mutli_sensor_dataset_hue_calc.nc"
    with xr.open_dataset(data_dir / stage) as opened:
        bands = {"blue": "02", "green": "03", "red": "04", "rededge1": "05"}
        cube = xr.Dataset({role: opened[f"msi{number}_agmr"] / 10000 for role, number in bands.items()}).load()
        expected = opened.hue.load()
    out = retrieve("hue_angle", cube.assign_attrs(quantity="rhos", sensor="S2A_MSI"))
    found, theirs = out.hue_angle.to_numpy(), expected.to_numpy()
    both = np.isfinite(theirs) & np.isfinite(found)
    assert (np.isfinite(theirs).sum(), both.sum()) == (1568, 1528)
    np.testing.assert_allclose(found[both], theirs[both], atol=0.01)
    lost = np.isfinite(theirs) & ~both
    assert (out.hue_angle_flags.to_numpy()[lost] == 4).all()
    assert not ((theirs[lost] > 25) & (theirs[lost] < 100)).any()


MERIS = ("oa02", "coastal", "blue", "oa05", "green", "yellow", "red", "oa10", "rededge1")
OLCI = ("oa01", *MERIS[:7], "oa09", *MERIS[7:])
MODIS = ("oa02", "coastal", "blue", "modis11", "modis04", "red", "modis14")
# Spectra and results of the processor that the authors of the method wrote with its makers.
EXAMPLES = (
    ("ENVISAT_MERIS", MERIS, (0.222, 0.219, 0.277, 0.219, 0.235, 0.260, 0.281, 0.287, 0.273), 25.92721922205948, 20),
    (
        "ENVISAT_MERIS",
        MERIS,
        (0.00798, 0.01494, 0.027, 0.03116, 0.04357, 0.0281, 0.01942, 0.01863, 0.01472),
        68.6217957373861,
        11,
    ),
    ("S3A_OLCI", OLCI, tuple(range(1, 12)), 39.07673192537948, 17),
    ("AQUA_MODIS", MODIS, tuple(range(1, 8)), 34.596036004742274, 18),
)


@pytest.mark.parametrize(("sensor", "roles", "spectrum", "hue", "number"), EXAMPLES)
def test_agrees_with_the_authors_examples(
    sensor: str, roles: tuple[str, ...], spectrum: tuple[float, ...], hue: float, number: int
) -> None:
    """Hue to 1e-3 degree (they write white as 0.333333) and the number on the scale."""
    out = retrieve(["hue_angle", "forel_ule"], cube_of(dict(zip(roles, spectrum, strict=True)), sensor))
    assert out.hue_angle.item() == pytest.approx(hue, abs=1e-3)
    assert out.forel_ule.item() == number


ANGLES = (
    (232, 1), (227, 2), (210.4, 3), (200.89, 4), (180.8, 5), (150, 6), (131, 7), (105, 8), (93.9, 9), (80.9, 10),
    (73.4, 11), (62.89, 12), (56.8, 13), (51, 14), (46.89, 15), (39.90, 16), (35.09, 17), (30.987, 18), (27.987, 19),
    (23.987, 20), (20.987, 21), (10, 21),
)  # fmt: skip


def test_numbers_of_the_scale_are_those_of_the_authors() -> None:
    """All 21 numbers by 22 angles of their own tests; above the scale, where they give 0, number 1."""
    angles, numbers = np.array(ANGLES).T
    np.testing.assert_array_equal(class_of(angles, LIMITS), numbers)
    assert class_of(np.array([233.0]), LIMITS).item() == 1
    assert np.isnan(class_of(np.array([np.nan]), LIMITS)).all()


@settings(max_examples=30)
@given(st.floats(0, 300), st.floats(0, 300))
def test_index_falls_with_the_angle_and_rounds_to_the_number(one: float, other: float) -> None:
    """Bluer is never a higher place; away from the limits the place rounded is the number."""
    hue = np.array([one, other])
    place, number = index_of(hue, LIMITS), class_of(hue, LIMITS)
    assert (place[0] - place[1]) * (one - other) <= 1e-9
    off = np.abs(place - number)
    assert (off <= 0.5 + 1e-9).all()


@settings(max_examples=30)
@given(st.floats(0, 359.9))
def test_hue_of_a_direction_is_its_angle(angle: float) -> None:
    """Around the circle: a point in a direction from white has its angle."""
    away = np.radians(angle)
    found = float(hue_of(1 / 3 + 0.1 * np.cos(away), 1 / 3 + 0.1 * np.sin(away)))
    assert min(abs(found - angle), 360 - abs(found - angle)) < 1e-9


# The hue of the whole spectrum


def observer(nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colour matching functions of CIE 1931 as sums of lobes (Wyman, Sloan, Shirley 2013, JCGT 2(2), 1-11)."""

    def lobe(at: float, left: float, right: float) -> NDArray[np.float64]:
        return np.exp(-0.5 * ((nm - at) / np.where(nm < at, left, right)) ** 2)

    x = 1.056 * lobe(599.8, 37.9, 31.0) + 0.362 * lobe(442.0, 16.0, 26.7) - 0.065 * lobe(501.1, 20.4, 26.2)
    y = 0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1)
    z = 1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8)
    return np.array([x, y, z])


def waters(count: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reflectance of made-up waters from blue to brown, 400 to 720 nm."""
    rng = np.random.default_rng(4)
    nm = np.arange(400.0, 721.0)
    wavelength, aw, bbw = pure_water()
    pigment = np.exp(-0.5 * ((nm - 437) / 40) ** 2) + 0.45 * np.exp(-0.5 * ((nm - 675) / 11) ** 2) + 0.15
    chlorophyll, solids, dissolved = (
        10 ** rng.uniform(e[0], e[1], count)[:, None] for e in ((-1.3, 1.5), (-1.5, 1.3), (-2, 0))
    )
    a = np.interp(nm, wavelength, aw) + 0.04 * chlorophyll**0.65 * pigment
    a = a + dissolved * np.exp(-0.0155 * (nm - 443)) + 0.03 * solids * np.exp(-0.011 * (nm - 443))
    bb = np.interp(nm, wavelength, bbw) + 0.012 * solids * (555 / nm)
    return nm, 0.05 * bb / (a + bb)


def test_spectral_colours_have_their_wavelength() -> None:
    """Every nanometre from 472 to 600 is found again within 1.5 nm, diluted with white or not."""
    nm = np.arange(472.0, 601.0)
    x, y, z = observer(nm)
    known: Any = load_coefficients("dominant_wavelength").sets[0].values
    for purity in (1.0, 0.2):
        at = 1 / 3 + purity * (x / (x + y + z) - 1 / 3), 1 / 3 + purity * (y / (x + y + z) - 1 / 3)
        found = wavelength_of(hue_of(*at), known["angles"], known["wavelengths"])
        np.testing.assert_allclose(found, nm, atol=1.5)


SENSORS = {
    "S2A_MSI": 2,
    "S2C_MSI": 3,
    "L8_OLI": 3,
    "L9_OLI": 3,
    "L7_ETM": 6,
    "S3B_OLCI": 2,
    "ENVISAT_MERIS": 2,
    "TERRA_MODIS": 3,
}


@pytest.mark.parametrize(("sensor", "off"), SENSORS.items())
def test_few_bands_give_the_hue_of_the_whole_spectrum(sensor: str, off: float) -> None:
    """Through the sensor's responses: the median is off by no more degrees than told, for 200 waters."""
    nm, rrs = waters()
    x, y, z = (rrs * one[None] for one in observer(nm))
    x, y, z = (one.sum(axis=1) for one in (x, y, z))
    true = hue_of(x / (x + y + z), y / (x + y + z))
    bands = {role: values for role, values in simulate_bands(sensor, nm, rrs).items() if np.isfinite(values).all()}
    found = retrieve("hue_angle", cube_of(bands, sensor)).hue_angle.to_numpy()
    assert np.isfinite(found).all()
    assert np.median(np.abs(found - true)) < off


# Which bands it takes


def test_takes_the_largest_set_whose_bands_are_there() -> None:
    """Sentinel-2 without the violet band uses the weights for four bands; another answer, and said."""
    spectrum = {"coastal": 0.02, "blue": 0.025, "green": 0.03, "red": 0.01, "rededge1": 0.005}
    five = retrieve("hue_angle", cube_of(spectrum, "S2B_MSI")).hue_angle.item()
    four = retrieve("hue_angle", cube_of({k: v for k, v in spectrum.items() if k != "coastal"}, "S2B_MSI"))
    assert four.hue_angle.item() != five
    assert four.hue_angle.attrs["bands"] == "blue, green, red, rededge1"


def test_says_which_bands_it_lacks() -> None:
    """Landsat 8 without its violet band, and Sentinel-2 with three bands: told before anything is computed."""
    with pytest.raises(InputError, match="coastal"):
        retrieve("hue_angle", cube_of({"blue": 0.02, "green": 0.03, "red": 0.01}, "L8_OLI"))
    with pytest.raises(InputError, match="rededge1"):
        retrieve("forel_ule", cube_of({"blue": 0.02, "green": 0.03, "red": 0.01}, "S2A_MSI"))
    retrieval, sensor = get_retrieval("hue_angle"), load_water_sensor("S2A_MSI")
    with pytest.raises(InputError, match="not enough"):
        retrieval.formula(Bands({"green": 0.1}, sensor), {})


def test_refuses_a_sensor_without_weights() -> None:
    """No weights, no guess."""
    unknown = type(load_water_sensor("S2A_MSI"))
    sensor = load_water_sensor("S2A_MSI")
    values = {one: getattr(sensor, one) for one in sensor.__dataclass_fields__} | {"name": "NO_SENSOR"}
    with pytest.raises(NotFoundError, match="NO_SENSOR"):
        get_retrieval("hue_angle").roles(unknown(**values))


def test_bad_spectra_have_no_colour() -> None:
    """Missing, negative and black: a reason each; so for the violet band, which is optional, once it is there."""
    good = {"coastal": 0.02, "blue": 0.02, "green": 0.03, "red": 0.01, "rededge1": 0.0}
    changes: tuple[dict[str, float], ...] = (
        {}, {"green": np.nan}, {"red": -0.01}, {"coastal": -0.01}, {"coastal": np.nan}, dict.fromkeys(good, 0.0)
    )  # fmt: skip
    rows = [good | change for change in changes]
    cube = cube_of({role: [row[role] for row in rows] for role in good}, "S2A_MSI")
    out = retrieve(list(COLOURS), cube)
    for name in COLOURS:
        assert out[f"{name}_flags"].values.tolist() == [0, 1, 2, 2, 1, 4]
        assert np.isnan(out[name].values).tolist() == [False, True, True, True, True, True]


@pytest.mark.parametrize("sensor", SENSORS)
def test_no_hue_lies_beyond_the_fit(sensor: str) -> None:
    """Whatever the spectrum: a value between the ends of the scale and a little beyond, or none; for all four."""
    rng = np.random.default_rng(11)
    bands = {role: rng.uniform(0.001, 0.08, 2000) for role in load_water_sensor(sensor).bands}
    out = retrieve(list(COLOURS), cube_of(bands, sensor))
    hue = out.hue_angle.to_numpy()
    there = np.isfinite(hue)
    assert 0.1 < there.mean() < 1
    assert 15 < hue[there].min() < hue[there].max() < 262
    for name in COLOURS:
        np.testing.assert_array_equal(np.isfinite(out[name].to_numpy()), there)
        assert (out[f"{name}_flags"].to_numpy()[~there] == 4).all()
