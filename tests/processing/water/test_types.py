"""Optical water types: tables, distances, memberships."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing import water
from terracube.processing.water.owt import load_water_types, sensor_centroids, water_type_names
from terracube.processing.water.retrievals import Bands, get_retrieval
from terracube.processing.water.sensors import load_water_sensor, simulate_bands, water_sensor_names

Array = NDArray[np.float64]

OLCI = load_water_sensor("S3A_OLCI")
ANGLE = ["coastal", "oa05", "yellow", "oa10", "rededge1", "rededge2", "rededge3", "blue", "green", "red"]
OCEAN = ["oa02", "coastal", "blue", "oa05", "green", "red"]
INLAND = [
    *("oa01", "oa02", "coastal", "blue", "oa05", "green", "yellow", "red", "oa09", "oa10"),
    *("rededge1", "rededge2", "rededge3", "nir08", "oa18"),
]


def computed(name: str, bands: dict[str, Array], sensor: str = "S3A_OLCI") -> Array:
    """Compute in float64, NaN where there is no type."""
    retrieval, known = get_retrieval(name), load_water_sensor(sensor)
    with np.errstate(all="ignore"):
        got: Any = retrieval.formula(Bands(bands, known), retrieval.coefficient_set(known).values)
        outside = ~np.isfinite(got.value) if got.outside is None else got.outside
        return np.where(outside, np.nan, got.value)


def spectra(count: int = 200) -> dict[str, Array]:
    """Draw random spectra in sr-1."""
    rng = np.random.default_rng(7)
    return {role: rng.uniform(1e-4, 0.02, count) for role in OLCI.bands}


def seen(sensor: str, table: str) -> dict[str, Array]:
    """Give the mean spectra of a table as a sensor sees them, all bands within the table."""
    types = load_water_types(table)
    found = simulate_bands(sensor, types.wavelength, types.centroids)
    return {role: values for role, values in found.items() if np.isfinite(values).all()}


@pytest.mark.parametrize("name", water_type_names())
def test_tables_are_whole(name: str) -> None:
    """Ascending wavelengths, a finite spectrum (above zero to 600 nm) per type, a label per number."""
    table = load_water_types(name)
    assert (np.diff(table.wavelength) > 0).all()
    assert np.isfinite(table.centroids).all()
    assert (table.centroids[:, table.wavelength < 600] > 0).all()
    assert list(table.labels) == list(range(1, len(table.centroids) + 1))
    assert "doi" in table.source or "FCMm" in table.source


@pytest.mark.parametrize("name", ["spyrakos18", "spyrakos18-all"])
def test_standardised_spectra_have_unit_area(name: str) -> None:
    """From 400 to 800 nm, within a percent: no digit was lost on the way."""
    table = load_water_types(name)
    assert np.trapezoid(table.centroids, table.wavelength, axis=1) * 1e-5 == pytest.approx(1.0, abs=0.01)


def test_tables_are_protected_and_known() -> None:
    """They cannot be written to; unknown names are refused with the known ones."""
    with pytest.raises(ValueError, match="read-only"):
        load_water_types("bi21").centroids[0, 0] = 1
    with pytest.raises(InputError, match="spyrakos18"):
        load_water_types("moore")


def test_centroids_are_refused_beyond_the_table() -> None:
    """A band of the near infrared has no place among spectra to 800 nm."""
    with pytest.raises(InputError, match="nir08"):
        sensor_centroids("spyrakos18", "S2A_MSI", ["blue", "nir08"])


def test_two_clusterings_number_differently() -> None:
    """Each inland type has a near twin among the 21 of all waters, under another number."""
    inland, everywhere = (load_water_types(name).centroids for name in ("spyrakos18", "spyrakos18-all"))
    lengths = np.linalg.norm(inland, axis=1)[:, None] * np.linalg.norm(everywhere, axis=1)
    angles = np.degrees(np.arccos(np.clip(inland @ everywhere.T / lengths, -1, 1)))
    assert angles.min(axis=1).max() < 4.3
    assert np.diag(angles).min() > 8
    assert (angles.argmin(axis=1) != np.arange(13)).all()


@pytest.mark.parametrize("sensor", water_sensor_names())
@pytest.mark.parametrize("scale", [1e-5, 1e-2])
def test_each_mean_spectrum_is_of_its_own_type(sensor: str, scale: float) -> None:
    """On every sensor, however bright: number, score 1 and full membership."""
    bands = {role: values * scale for role, values in seen(sensor, "spyrakos18").items()}
    assert computed("owt_spyrakos", bands, sensor).tolist() == list(range(1, 14))
    assert computed("owt_spyrakos_score", bands, sensor) == pytest.approx(1.0)
    assert computed("owt_spyrakos_membership", bands, sensor).min() > 0.99


@pytest.mark.parametrize(
    ("sensor", "file", "roles"),
    [
        ("S2A_MSI", "msi", ["coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"]),
        ("L8_OLI", "oli", ["coastal", "blue", "green", "red"]),
    ],
)
def test_resampled_spectra_are_those_of_the_reference(data_dir: Path, sensor: str, file: str, roles: list[str]) -> None:
    """The same 21 types averaged over plain boxes by others: within 1.2 degrees for MSI, 1.6 for OLI."""
    with (data_dir / f"water/owt/{file}_OWT_vectors.csv").open(encoding="utf-8") as lines:
        reference = np.array([[float(value) for value in row[2:]] for row in list(csv.reader(lines))[1:]])
    reference = reference[:, : len(roles)]
    ours = sensor_centroids("spyrakos18-all", sensor, roles)[: len(reference)]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(reference, axis=1)
    angles = np.degrees(np.arccos((ours * reference).sum(axis=1) / lengths))
    assert angles.shape == (13,)
    assert angles.max() < (1.2 if file == "msi" else 1.6)


def watery(table: str, count: int = 200) -> dict[str, Array]:
    """Draw mean spectra of a table with noise of half their size, some of them unlike all types."""
    rng = np.random.default_rng(7)
    means = sensor_centroids(table, "S3A_OLCI", ANGLE)
    drawn = means[rng.integers(0, len(means), count)] * (1 + 0.5 * rng.normal(size=(count, len(ANGLE))))
    return dict(zip(ANGLE, drawn.T * 1e-4, strict=True))


def cosines(bands: dict[str, Array], table: str) -> Array:
    """Give the cosine of each spectrum to each type, shape (spectra, types)."""
    x, c = np.stack([bands[role] for role in ANGLE], axis=1), sensor_centroids(table, "S3A_OLCI", ANGLE)
    return (x @ c.T) / (np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(c, axis=1))


@pytest.mark.parametrize(("name", "table"), [("owt_spyrakos", "spyrakos18"), ("owt_spyrakos_all", "spyrakos18-all")])
def test_score_is_the_cosine_of_the_angle(name: str, table: str) -> None:
    """Written a second time; the number is that of the largest cosine, and none if that is below 0.8."""
    bands = watery(table)
    cosine = cosines(bands, table)
    np.testing.assert_allclose(computed(f"{name}_score", bands), cosine.max(axis=1), rtol=1e-12)
    like = cosine.max(axis=1) >= 0.8
    assert 100 < like.sum() < 200
    expected = np.where(like, cosine.argmax(axis=1) + 1.0, np.nan)
    np.testing.assert_array_equal(computed(name, bands), expected)


@pytest.mark.parametrize(("name", "table"), [("owt_spyrakos", "spyrakos18"), ("owt_spyrakos_all", "spyrakos18-all")])
def test_membership_is_that_of_fuzzy_c_means(name: str, table: str) -> None:
    """Largest of the memberships, fuzzifier 1.5, squared chords; between 1/n and 1, for what has a type."""
    bands = watery(table)
    cosine = cosines(bands, table)
    weight = (2 - 2 * cosine) ** (-1 / 0.5)
    expected = (weight / weight.sum(axis=1, keepdims=True)).max(axis=1)
    assert expected.min() >= 1 / cosine.shape[1]
    expected[cosine.max(axis=1) < 0.8] = np.nan
    np.testing.assert_allclose(computed(f"{name}_membership", bands), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["owt_spyrakos", "owt_spyrakos_all"])
def test_spectrum_unlike_all_types_has_none(name: str) -> None:
    """Almost all below zero, or shaped like nothing that was measured: outside, and the score says how far."""
    values = {"coastal": [-0.02, 1e-4], "blue": [-0.01, 1e-4], "green": [0.001, 1e-4], "red": [-0.002, 0.02]}
    edges = {role: [-0.01, 1e-4] for role in ("rededge1", "rededge2", "rededge3")}
    bands = {role: ("n", np.array(value)) for role, value in (values | edges).items()}
    cube = xr.Dataset(bands, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})
    got = water.retrieve([name, f"{name}_score", f"{name}_membership"], cube)
    for product in (name, f"{name}_membership"):
        assert np.isnan(got[product]).all()
        assert got[f"{product}_flags"].values.tolist() == [2, 4]
    assert (got[f"{name}_score"] < 0.8).all()


def test_ocean_means_are_of_their_own_type() -> None:
    """Every mean spectrum has its own number and full membership."""
    means = load_water_types("jackson17").centroids
    bands = dict(zip(OCEAN, means.T, strict=True))
    assert computed("owt_jackson17", bands).tolist() == list(range(1, 15))
    assert computed("owt_jackson17_membership", bands) == pytest.approx(1.0)


def test_ocean_membership_is_the_chi_square_probability() -> None:
    """Against scipy: survival function of six degrees of freedom at the least distance."""
    from scipy.stats import chi2

    table, rng = load_water_types("jackson17"), np.random.default_rng(3)
    assert table.spread is not None
    pick = rng.integers(0, 14, 200)
    x = table.centroids[pick] + table.spread[pick] * rng.normal(size=(200, 6))
    squares = (((x[:, None] - table.centroids) / table.spread) ** 2).sum(axis=2)
    got = computed("owt_jackson17_membership", dict(zip(OCEAN, x.T, strict=True)))
    np.testing.assert_allclose(got, chi2.sf(squares.min(axis=1), 6), rtol=1e-9, atol=1e-12)


def test_what_is_no_ocean_has_no_membership() -> None:
    """A bright flat spectrum is nearest to some type and belongs to none."""
    bands = {role: np.full(1, 0.1) for role in OCEAN}
    assert computed("owt_jackson17_membership", bands)[0] < 1e-6
    assert 1 <= computed("owt_jackson17", bands)[0] <= 14


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_inland_means_are_of_their_own_type(scale: float) -> None:
    """However bright: spectra are compared at unit area."""
    bands = dict(zip(INLAND, load_water_types("bi21").centroids.T * scale, strict=True))
    assert computed("owt_bi21", bands).tolist() == list(range(1, 15))
    assert computed("owt_bi21_membership", bands) == pytest.approx(1.0)


def test_inland_means_are_told_apart_without_two_bands() -> None:
    """MERIS has no 400 and 674 nm; areas are taken over the bands there are."""
    bands = dict(zip(INLAND, load_water_types("bi21").centroids.T, strict=True))
    there = {role: values for role, values in bands.items() if role not in ("oa01", "oa09")}
    assert computed("owt_bi21", there, "ENVISAT_MERIS").tolist() == list(range(1, 15))


def test_inland_membership_is_that_of_fuzzy_c_means() -> None:
    """Written a second time for spectra of unit area (trapezoids over the nominal wavelengths)."""
    bands, table = spectra(), load_water_types("bi21")
    x = np.stack([bands[role] for role in INLAND], axis=1)
    x = x / np.asarray(np.trapezoid(x, table.wavelength, axis=1))[:, None]
    c = table.centroids / np.asarray(np.trapezoid(table.centroids, table.wavelength, axis=1))[:, None]
    weight = ((x[:, None] - c) ** 2).sum(axis=2) ** -2
    expected = (weight / weight.sum(axis=1, keepdims=True)).max(axis=1)
    np.testing.assert_allclose(computed("owt_bi21_membership", bands), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["owt_spyrakos", "owt_jackson17", "owt_bi21"])
def test_missing_band_has_no_type(name: str) -> None:
    """NaN in one of the bands is no type 1."""
    bands = {role: np.repeat(values[3:4], 3) for role, values in seen("S3A_OLCI", "spyrakos18").items()}
    bands |= {role: np.full(3, 0.5 * bands["rededge3"][0]) for role in OLCI.bands if role not in bands}
    bands["coastal"][1] = np.nan
    for product in (name, f"{name}_membership"):
        assert np.isfinite(computed(product, bands)).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["owt_spyrakos", "owt_bi21"])
def test_black_spectrum_has_no_type(name: str) -> None:
    """Nothing but zeros has no shape."""
    assert np.isnan(computed(name, {role: np.zeros(2) for role in OLCI.bands})).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1e-4, 0.1), min_size=4, max_size=4), st.floats(0.1, 10))
def test_brightness_changes_no_type(values: list[float], factor: float) -> None:
    """Score, type and membership of the angle are those of the shape."""
    bands = {role: np.array([value]) for role, value in zip(["coastal", "blue", "green", "red"], values, strict=True)}
    bright = {role: value * factor for role, value in bands.items()}
    expected = {name: computed(name, bands, "L8_OLI") for name in ("owt_spyrakos_score", "owt_spyrakos_membership")}
    # At the very limit of being like any type, rounding decides.
    assume(abs(expected["owt_spyrakos_score"][0] - 0.8) > 1e-6)
    for name, value in expected.items():
        assert computed(name, bright, "L8_OLI") == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_engine_gives_classes_with_names() -> None:
    """Through the fused pass in float32: numbers of the types, their names, and why there is none."""
    bands = {
        role: ("type", (values * 1e-5).astype("float32")) for role, values in seen("S2A_MSI", "spyrakos18").items()
    }
    cube = xr.Dataset(bands, attrs={"quantity": "rhow", "sensor": "S2A_MSI"})
    cube["red"][4] = np.nan
    got = water.retrieve(["owt_spyrakos", "owt_spyrakos_membership"], cube)
    expected = np.arange(1.0, 14)
    expected[4] = np.nan
    np.testing.assert_array_equal(got.owt_spyrakos, expected)
    assert got.owt_spyrakos.attrs["flag_meanings"].split()[12] == "very_clear_and_blue"
    assert got.owt_spyrakos_flags.values.tolist() == [0] * 4 + [1] + [0] * 8
