"""Inversion, attenuation and Secchi depth, against a reference table, their papers' formulas and simulated waters."""

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

from terracube.core.errors import InputError
from terracube.processing.water import retrieve
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.retrievals.base import Bands
from terracube.processing.water.retrievals.optics import (
    QAA_ROLES,
    euphotic_depth,
    invert,
    kd_lee2005,
    kd_lee2013,
    kpar_terms,
    polynomial,
    secchi_lee2015,
)
from terracube.processing.water.sensors import load_water_sensor, simulate_bands
from terracube.processing.water.sensors._registry import pure_water

COLUMNS = {"coastal": 443, "blue": 490, "green": 560, "red": 665}
THREE = (492, 560, 665)


@pytest.fixture(scope="module")
def table(data_dir: Path) -> pd.DataFrame:
    """72 spectra of Sentinel-2A (rho_w) and what another processor makes of them."""
    return pd.read_csv(data_dir / "water/acolite/l2w_s2a_reference.csv")


@pytest.fixture(scope="module")
def cube(table: pd.DataFrame) -> xr.Dataset:
    """The spectra as a spectral dataset, float64."""
    bands = zip(QAA_ROLES, (443, 492, 560, 665), strict=True)
    return xr.Dataset(
        {role: ("sample", table[f"rhos_{column}"].to_numpy()) for role, column in bands},
        attrs={"quantity": "rhow", "sensor": "S2A_MSI"},
    )


def numbers(name: str, sensor: str = "S2A_MSI") -> dict[str, Any]:
    """Coefficients of a formula for a sensor."""
    found = load_coefficients(name).find(sensor)
    if found is None:
        raise AssertionError(f"{name} has no set for {sensor}")
    return dict(found.values)


def rrs_bands(cube: xr.Dataset) -> Bands:
    """The spectra as a formula gets them, in sr-1."""
    return Bands({role: cube[role].to_numpy() / np.pi for role in QAA_ROLES}, load_water_sensor("S2A_MSI"))


def close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    """Relative agreement of every value, none missing."""
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=rtol)


# The inversion


@pytest.mark.parametrize("version", [5, 6])
def test_inversion_agrees_with_the_reference_table(table: pd.DataFrame, cube: xr.Dataset, version: int) -> None:
    """Reflectance below the surface, u, absorption and backscattering of all 72 spectra at four bands, to 1e-5."""
    found = invert(rrs_bands(cube), numbers("qaa"), version)
    for role, column in COLUMNS.items():
        close(found.rrs[role], table[f"qaa_rrs_{column}"])
        close(found.u[role], table[f"qaa_u_{column}"])
        close(found.a(role), table[f"qaa_v{version}_a_{column}"])
        close(found.bbp[role], table[f"qaa_v{version}_bbp_{column}"])


def test_products_of_the_inversion_agree_with_the_reference_table(table: pd.DataFrame, cube: xr.Dataset) -> None:
    """The sixteen products give the same through the whole engine: 72 of 72 spectra, none left out."""
    names = {
        f"{short}{band}_qaa{version}": f"qaa_v{version}_{short}_{band}"
        for short in ("a", "bbp")
        for band in COLUMNS.values()
        for version in (5, 6)
    }
    out = retrieve(list(names), cube)
    for name, column in names.items():
        close(out[name], table[column])


def test_switches_to_the_red_band_where_the_water_is_not_clear() -> None:
    """Version 6 is version 5 below the switch and leaves it above."""
    spectra = {"coastal": [0.004, 0.004], "blue": [0.005, 0.006], "green": [0.004, 0.008], "red": [0.0014, 0.0016]}
    bands = Bands({role: np.array(value) for role, value in spectra.items()}, load_water_sensor("S2A_MSI"))
    known = numbers("qaa")
    old, new = (invert(bands, known, version).a("blue") for version in (5, 6))
    assert old[0] == new[0]
    assert abs(new[1] / old[1] - 1) > 0.01


def test_refuses_an_unknown_version() -> None:
    """There are versions 5 and 6."""
    bands = Bands(dict.fromkeys(QAA_ROLES, 0.01), load_water_sensor("S2A_MSI"))
    with pytest.raises(InputError, match="version"):
        invert(bands, numbers("qaa"), 4)


# Attenuation and clarity, on the table's own absorption and backscattering


def test_kd_lee2005_agrees_with_the_reference_table(table: pd.DataFrame) -> None:
    """At four bands of both versions, given what the table gives it: the backscattering of particles alone.

    The paper takes that of water and particles together, and so do the products here.
    """
    known = numbers("kd490_lee2005")
    for version in (5, 6):
        for column in COLUMNS.values():
            a, bbp = (table[f"qaa_v{version}_{short}_{column}"].to_numpy() for short in ("a", "bbp"))
            close(kd_lee2005(a, bbp, known), table[f"qaa_v{version}_Kd_{column}"])


def test_kdpar_of_kd490_agrees_with_the_reference_table(table: pd.DataFrame) -> None:
    """The relation of Kd(PAR) and Kd(490), on the table's Kd."""
    factor, shift = numbers("kdpar_nechad")["par"]
    for version in (5, 6):
        kd = table[f"qaa_v{version}_Kd_490"].to_numpy()
        close(factor * np.log(1 + kd) + shift, table[f"qaa_v{version}_KdPAR_Nechad"])


def test_kd_lee2013_agrees_with_the_reference_table(table: pd.DataFrame) -> None:
    """At three bands, sun in the zenith, with the pure-water backscattering that the table implies."""
    known = numbers("kd490_lee2013") | {"sun_zenith": 0.0}
    for column, bbw in zip(THREE, (0.00140740, 0.00081696, 0.00039927), strict=True):
        a, bb = (table[f"p3qaa_{short}_{column}"].to_numpy() for short in ("a", "bb"))
        close(kd_lee2013(a, bb, bbw, known), table[f"p3qaa_Kd_{column}"])


def test_attenuation_terms_agree_with_the_reference_table(table: pd.DataFrame) -> None:
    """K_PAR at one metre under a sun at 35 degrees, of particles alone, and the depth as 4.6 over it: as there."""
    known = numbers("kdpar_lee2007") | {"sun_zenith": 35.0}
    k1, k2 = kpar_terms(table["qaa_v6_a_490"].to_numpy(), table["qaa_v6_bbp_490"].to_numpy(), known)
    kpar = k1 + k2 / np.sqrt(2.0)
    close(kpar, table["qaa_v6_KPAR_Lee"])
    close(4.6 / kpar, table["qaa_v6_Zeu_Lee"])


def test_secchi_agrees_with_the_reference_table(table: pd.DataFrame) -> None:
    """Depth from attenuation and the reflectance that absorption and backscattering stand for; then its polynomial."""
    known = numbers("secchi_lee2015")
    kd = [table[f"p3qaa_Kd_{column}"].to_numpy() for column in THREE]
    depth, _ = secchi_lee2015(kd, [_reflectance(table, column) for column in THREE], known)
    close(depth, table["p3qaa_zSD_biased"])
    sensor = numbers("secchi_pitarch2021")["sensor"]
    close(polynomial(sensor, table["p3qaa_zSD_biased"].to_numpy()), table["p3qaa_zSD"])


def _reflectance(table: pd.DataFrame, column: int) -> NDArray[np.float64]:
    """Reflectance above the surface of the table's three-band inversion (its g are 0.089 and 0.1245)."""
    a, bb = (table[f"p3qaa_{short}_{column}"].to_numpy() for short in ("a", "bb"))
    u = bb / (a + bb)
    below = 0.089 * u + 0.1245 * u**2
    return np.asarray(0.52 * below / (1 - 1.7 * below))


# The products, against the papers' formulas written a second time


def second_writing(cube: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Version 6, Kd and Secchi depth in plain numpy, as the notes and papers write them."""
    above = [cube[role].to_numpy() / np.pi for role in QAA_ROLES]
    rrs = [r / (0.52 + 1.7 * r) for r in above]
    u = [(-0.08945 + np.sqrt(0.08945**2 + 4 * 0.1247 * r)) / (2 * 0.1247) for r in rrs]
    chi = np.log10((rrs[0] + rrs[1]) / (rrs[2] + 5 * rrs[3] / rrs[1] * rrs[3]))
    green = 0.0596 + 10 ** (-1.14590292783408 - 1.36582826429176 * chi - 0.469266027944581 * chi**2)
    red = 0.439 + 0.39 * (above[3] / (above[0] + above[1])) ** 1.14
    clear = above[3] < 0.0015
    start = np.where(clear, u[2] * green / (1 - u[2]) - 0.0009, u[3] * red / (1 - u[3]) - 0.00034)
    eta = 2 * (1 - 1.2 * np.exp(-0.9 * rrs[0] / rrs[2]))
    at = zip((443, 490, 560, 665), (0.0025, 0.00158, 0.0009, 0.00034), u, strict=True)
    kd, a490, bb490 = [], rrs[0], rrs[0]
    for wavelength, bbw, share in at:
        ratio = np.where(
            clear, 1 if wavelength == 560 else 555 / wavelength, 1 if wavelength == 665 else 670 / wavelength
        )
        bb = bbw + start * ratio**eta
        a = (1 - share) * bb / share
        kd.append((1 + 0.005 * 30) * a + (1 - 0.265 * bbw / bb) * 4.259 * (1 - 0.52 * np.exp(-10.8 * a)) * bb)
        a490, bb490 = (a, bb) if wavelength == 490 else (a490, bb490)
    least = np.argmin(kd, axis=0)
    there = np.take_along_axis(np.array(above), least[None], 0)[0]
    kd2005 = 1.118 * a490 + 4.373 * (1 - 0.657 * np.exp(-1.489 * a490)) * bb490
    secchi = np.log(np.abs(0.14 - there) / 0.013) / (2.5 * np.min(kd, axis=0))
    return {
        "kd490_lee2013": kd[1],
        "kd490_lee2005": kd2005,
        "kdpar_nechad": 1.2529 * np.log(1 + kd2005) + 0.1127,
        "secchi_lee2015": secchi,
        "secchi_pitarch2021": 0.0025322 * secchi**2 + 1.023179 * secchi,
    }


def test_products_agree_with_the_papers_formulas(cube: xr.Dataset) -> None:
    """Attenuation and Secchi depth of all 72 spectra, through the engine, against the formulas written again."""
    expected = second_writing(cube)
    out = retrieve(list(expected), cube)
    for name, values in expected.items():
        close(out[name], values, rtol=1e-9)


def test_euphotic_zone_ends_at_one_per_cent(cube: xr.Dataset) -> None:
    """The depth of all 72 spectra solves the light equation; the mean attenuation is 4.605 over it."""
    out = retrieve(["zeu_lee2007", "kdpar_lee2007", "a490_qaa6", "bbp490_qaa6"], cube)
    a, bb = out.a490_qaa6.to_numpy(), out.bbp490_qaa6.to_numpy() + 0.00158
    sun = np.radians(30)
    k1 = (-0.057 + 0.482 * np.sqrt(a) + 4.221 * bb) * (1 + 0.09 * np.sin(sun))
    k2 = (0.183 + 0.702 * a - 2.567 * bb) * (1.465 - 0.667 * np.cos(sun))
    z = out.zeu_lee2007.to_numpy()
    close((k1 + k2 / np.sqrt(1 + z)) * z, np.full(72, 4.605), rtol=1e-9)
    close(out.kdpar_lee2007 * z, np.full(72, 4.605), rtol=1e-12)


@settings(max_examples=30)
@given(st.floats(0.002, 20.0), st.floats(-0.4, 10.0))
def test_euphotic_depth_solves_its_equation(k1: float, k2: float) -> None:
    """For any attenuation: clear or turbid, and a second term that is negative where much is scattered."""
    if k2 < 0:
        k1 = max(k1, -2.0 * k2)
    z = float(euphotic_depth(k1, k2, 4.605))
    assert z > 0
    assert (k1 + k2 / np.sqrt(1 + z)) * z == pytest.approx(4.605, rel=1e-6)


@pytest.mark.parametrize(
    ("sensor", "a"),
    [
        ("AQUA_MODIS", (-0.8813, -2.0584, 2.5878, -3.4885, -1.5061)),
        ("ENVISAT_MERIS", (-0.8641, -1.6549, 2.0112, -2.5174, -1.1035)),
        ("L8_OLI", (-0.9054, -1.5245, 2.2392, -2.4777, -1.1099)),
    ],
)
def test_kd2_agrees_with_its_published_form(table: pd.DataFrame, sensor: str, a: tuple[float, ...]) -> None:
    """Kd(490) = 0.0166 + 10 to a polynomial of the log ratio, for 72 ratios and each sensor's coefficients."""
    blue, green = table["rhos_492"].to_numpy(), table["rhos_560"].to_numpy()
    attrs = {"quantity": "rhow", "sensor": sensor}
    out = retrieve("kd490_kd2", xr.Dataset({"blue": ("n", blue), "green": ("n", green)}, attrs=attrs))
    x = np.log10(blue / green)
    close(out.kd490_kd2, 0.0166 + 10 ** np.polyval(a[::-1], x), rtol=1e-9)


# Simulated waters


def simulated(count: int = 300) -> tuple[NDArray[np.float64], ...]:
    """Absorption, backscattering, that of water, and reflectance of made-up lakes and coasts, 400 to 720 nm."""
    rng = np.random.default_rng(20)
    nm = np.arange(400.0, 721.0)

    def peak(at: float, width: float) -> NDArray[np.float64]:
        return np.exp(-0.5 * ((nm - at) / width) ** 2)

    chlorophyll = 10 ** rng.uniform(-1.3, 1.8, count)[:, None]
    solids = 0.6 * chlorophyll**0.6 * 10 ** rng.uniform(-0.7, 0.7, count)[:, None]
    pigment = 0.95 * peak(437, 32) + 0.35 * peak(490, 22) + 0.16 * peak(550, 45) + 0.15 * peak(625, 22)
    pigment = (pigment + 0.45 * peak(675, 11)) / 1.0
    dissolved = 0.04 * chlorophyll**0.5 * 10 ** rng.uniform(-0.5, 0.5, count)[:, None]
    wavelength, aw, bbw = pure_water()
    water = np.interp(nm, wavelength, bbw)
    a = np.interp(nm, wavelength, aw) + 0.05 * chlorophyll**0.65 * pigment
    a = a + dissolved * np.exp(-0.0155 * (nm - 443)) + 0.03 * solids * np.exp(-0.011 * (nm - 443))
    bb = water + 0.012 * solids * (555 / nm) ** rng.uniform(0, 1.5, count)[:, None]
    u = bb / (a + bb)
    below = 0.08945 * u + 0.1247 * u**2
    return nm, a, bb, water, 0.52 * below / (1 - 1.7 * below)


@pytest.mark.parametrize(
    ("sensor", "share"), [("S2A_MSI", 0.2), ("L8_OLI", 0.27), ("S3A_OLCI", 0.16), ("AQUA_MODIS", 0.16)]
)
def test_retrieves_simulated_waters(sensor: str, share: float) -> None:
    """Absorption, attenuation and Secchi depth (of the whole spectrum) within a fifth of the truth in the median.

    Every one of 300 waters has a value. Landsat 8 is worse: its blue band lies at 482 nm.
    """
    nm, a, bb, bbw, rrs = simulated()
    known = numbers("secchi_lee2015", sensor)
    kd = np.array([kd_lee2013(a[:, i], bb[:, i], water, known) for i, water in enumerate(bbw)]).T
    visible = (nm >= 410) & (nm <= 690)
    secchi, _ = secchi_lee2015(list(kd.T[visible]), list(rrs.T[visible]), known)
    at = dict(zip(nm.astype(int).tolist(), range(nm.size), strict=True))
    truth = {
        "a443_qaa6": a[:, at[443]],
        "a560_qaa6": a[:, at[560]],
        "bbp560_qaa6": (bb - bbw)[:, at[560]],
        "kd490_lee2013": kd[:, at[490]],
        "secchi_lee2015": secchi,
    }
    bands = simulate_bands(sensor, nm, rrs)
    attrs = {"quantity": "rrs", "sensor": sensor}
    out = retrieve(list(truth), xr.Dataset({role: ("n", bands[role]) for role in QAA_ROLES}, attrs=attrs))
    for name, true in truth.items():
        off = np.abs(np.log(out[name].to_numpy() / true))
        assert np.isfinite(off).all(), name
        assert np.median(off) < share, name


# Bad input


def one_pixel(**changed: float) -> xr.Dataset:
    """A pixel of good water, with some bands changed."""
    values = {"coastal": 0.01, "blue": 0.015, "green": 0.02, "red": 0.008} | changed
    return xr.Dataset({role: ("n", [value]) for role, value in values.items()}, attrs={"quantity": "rhow"})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({}, 0), ({"blue": np.nan}, 1), ({"coastal": -0.001}, 2), ({"green": 0.9}, 4), ({"green": 0.0}, 4)],
)
def test_says_why_there_is_no_value(changed: dict[str, float], reason: int) -> None:
    """Missing, negative, brighter than water can be, and black: NaN with its reason; a good pixel has none."""
    out = retrieve("kd490_lee2013", one_pixel(**changed), sensor="S2A_MSI")
    assert out.kd490_lee2013_flags.item() == reason
    assert np.isnan(out.kd490_lee2013.item()) == (reason > 0)


def test_a_disk_cannot_be_seen_in_water_as_bright_as_itself() -> None:
    """Reflectance of the disk in all bands: saturated, no value."""
    bright = one_pixel(coastal=0.41, blue=0.41, green=0.41, red=0.41)
    assert retrieve("secchi_lee2015", bright, sensor="S2A_MSI").secchi_lee2015_flags.item() == 8


def test_empty_and_lazy_cubes() -> None:
    """No pixels give no pixels; chunks change nothing and nothing is computed before it is asked for."""
    empty = one_pixel().isel(n=slice(0, 0))
    assert retrieve("kd490_lee2013", empty, sensor="S2A_MSI").kd490_lee2013.size == 0
    row = xr.concat([one_pixel(red=0.001 * i) for i in range(1, 8)], dim="n", combine_attrs="override")
    whole = retrieve(["kd490_lee2013", "zeu_lee2007"], row, sensor="S2A_MSI")
    pieces = retrieve(["kd490_lee2013", "zeu_lee2007"], row.chunk(n=3), sensor="S2A_MSI")
    assert pieces.kd490_lee2013.chunks == ((3, 3, 1),)
    xr.testing.assert_identical(pieces.compute(), whole)


def test_single_precision_is_near_double(cube: xr.Dataset) -> None:
    """float32 gives the same depth to 2e-4."""
    double, single = (retrieve("secchi_lee2015", one).secchi_lee2015 for one in (cube, cube.astype(np.float32)))
    assert single.dtype == np.float32
    close(single, double, rtol=2e-4)


def test_refuses_sensors_without_the_violet_band() -> None:
    """Landsat 5 and 7 have no band near 443 nm; the error says so before anything is computed."""
    with pytest.raises(InputError, match="a443_qaa6"):
        retrieve("a443_qaa6", one_pixel(), sensor="L7_ETM")
