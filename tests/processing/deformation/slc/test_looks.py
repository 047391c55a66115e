"""Interferograms and coherence of simulated images whose phase and coherence are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.slc import coherence, interferogram
from terracube.processing.kernels import multilook


def speckle(shape: tuple[int, ...], seed: int) -> Any:
    """Draw circular Gaussian samples of unit power."""
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape)) / np.sqrt(2)
    return real + 1j * imaginary


def images(shape: tuple[int, int], phase: Any = 0.0, gamma: float = 1.0, seed: int = 1) -> tuple[Any, Any]:
    """Simulate two images with a known phase between them and a known coherence."""
    first, other = speckle(shape, seed), speckle(shape, seed + 1000)
    second = (gamma * first + np.sqrt(1 - gamma**2) * other) * np.exp(-1j * np.asarray(phase))
    return first.astype("complex64"), second.astype("complex64")


def placed(values: Any, time: str, **attrs: Any) -> xr.DataArray:
    """Give an image dates and coordinates."""
    y, x = (np.arange(size) * 10.0 for size in values.shape)
    return xr.DataArray(values, {"y": y, "x": x, "time": np.datetime64(time, "ns")}, ("y", "x"), attrs=attrs)


def test_ground_that_rises_has_a_falling_phase() -> None:
    """The sign of the house comes out of the physics: phase grows with the distance, displacement is towards."""
    wavelength, rise = 0.055, 0.004
    texture, distance = speckle((8, 12), 3), 850_000 + np.random.default_rng(0).random((8, 12))
    before = texture * np.exp(-4j * np.pi / wavelength * distance)
    after = texture * np.exp(-4j * np.pi / wavelength * (distance - rise))
    pair = interferogram(placed(before, "2020-01-01", wavelength=wavelength), placed(after, "2020-01-13"), looks=(4, 4))
    displacement = -pair.attrs["wavelength"] / (4 * np.pi) * np.angle(pair["interferogram"])
    np.testing.assert_allclose(displacement, rise, rtol=1e-4)
    assert pair["reference_time"] < pair["secondary_time"]
    turned = interferogram(before.conj(), after.conj(), looks=(4, 4), range_sign=1)
    np.testing.assert_allclose(np.angle(turned["interferogram"]), np.angle(pair["interferogram"]), atol=1e-5)


def test_cells_are_means_of_their_samples() -> None:
    """Against sums in plain numpy, with a phase to remove of thousands of radians, and a remainder left out."""
    rng = np.random.default_rng(4)
    one, two = images((13, 22), gamma=0.7)
    flat = 5000 * rng.random((13, 22))
    pair = interferogram(placed(one, "2020-01-01"), placed(two, "2020-02-01"), flat=placed(flat, "2021"), looks=(3, 5))
    product = one.astype("complex128") * two.conj() * np.exp(-1j * flat)
    cells = product[:12, :20].reshape(4, 3, 4, 5)
    np.testing.assert_allclose(pair["interferogram"], cells.mean((1, 3)), rtol=0, atol=2e-7)
    power = (np.abs(two[:12, :20].astype("complex128")) ** 2).reshape(4, 3, 4, 5).mean((1, 3))
    np.testing.assert_allclose(pair["secondary_power"], power, rtol=1e-6)
    np.testing.assert_array_equal(pair["y"], [10, 40, 70, 100])
    np.testing.assert_array_equal(pair["x"], [20, 70, 120, 170])
    assert pair["interferogram"].dtype == "complex64"
    assert (pair.attrs["looks"], pair.attrs["flat_phase"]) == (15.0, "removed")


def test_missing_samples_are_left_out() -> None:
    """A cell is the mean of what is there, and missing below half; a declared zero is missing, any other is a value."""
    one, two = images((4, 8))
    one[:2, :2], two[0, 4:6], two[2:, 4:8] = np.nan, np.inf, 0
    flat = np.zeros((4, 8))
    flat[3, 0] = np.nan
    pair = interferogram(one, two, flat=flat, looks=(2, 4))
    np.testing.assert_array_equal(pair["samples"], [[4, 6], [7, 8]])
    np.testing.assert_allclose(pair["interferogram"][0, 0], (one[:2, 2:4] * two[:2, 2:4].conj()).mean(), rtol=1e-5)
    assert pair["interferogram"][1, 1] == 0
    assert np.isnan(coherence(pair)[1, 1])
    declared = interferogram(one, two, looks=(2, 4), nodata=0)
    assert np.isnan(declared["interferogram"][1, 1])
    assert declared["samples"][1, 1] == 0
    one[0, 2] = np.nan
    assert np.isnan(interferogram(one, two, looks=(2, 4))["interferogram"][0, 0])


def test_nothing_there_and_one_pixel() -> None:
    """All missing gives all missing; one sample is an interferogram, without a coherence."""
    nothing = interferogram(np.full((4, 4), np.nan + 0j), np.ones((4, 4), complex), looks=(2, 2))
    assert np.isnan(nothing["interferogram"]).all()
    assert np.isnan(coherence(nothing)).all()
    one = interferogram(np.full((1, 1), 2 + 0j), np.full((1, 1), 1j))
    assert one["interferogram"].item() == -2j
    with pytest.raises(InputError, match="always one"):
        coherence(one)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.6, 0.9])
def test_coherence_is_recovered(gamma: float) -> None:
    """The mean estimate, corrected, is the coherence; as estimated it is what Touzi et al. expect."""
    from terracube.processing.deformation.slc import expected_coherence, unbiased_coherence

    one, two = images((240, 600), phase=0.4, gamma=gamma, seed=7)
    pair = interferogram(one, two, looks=(2, 10))
    raw = float(coherence(pair, unbiased=False).mean())
    assert abs(raw - expected_coherence(gamma, 20)) < 0.006
    assert abs(float(unbiased_coherence(np.array([raw]), 20)[0]) - gamma) < (0.06 if gamma == 0 else 0.015)
    assert abs(float(coherence(pair, window=(3, 3)).mean()) - gamma) < (0.05 if gamma == 0 else 0.01)
    assert coherence(pair, window=(3, 3)).attrs["samples"] == 180


def test_coherence_of_windows_is_that_of_their_samples() -> None:
    """A window of cells equals one cell of the same samples, weighted by what is missing; edges are cut."""
    one, two = images((9, 9), gamma=0.5)
    one[4, 4] = np.nan
    fine = coherence(interferogram(one, two, looks=(1, 3)), window=(9, 3), unbiased=False)
    whole = coherence(interferogram(one, two, looks=(9, 9)), unbiased=False)
    np.testing.assert_allclose(fine[4, 1], whole[0, 0], rtol=2e-6)
    assert np.isfinite(fine).sum() == fine.size
    scaled = coherence(interferogram(one * np.complex64(1e3), two, looks=(9, 9)), unbiased=False)
    np.testing.assert_allclose(scaled, whole, rtol=1e-6)


def test_dependent_samples_count_less() -> None:
    """The number of looks and the correction follow the share of independent samples."""
    one, two = images((40, 40), gamma=0.1)
    half = interferogram(one, two, looks=(4, 4), independence=0.5)
    assert half.attrs["looks"] == 8
    assert (coherence(half) <= coherence(interferogram(one, two, looks=(4, 4)))).all()


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(3, 23), columns=st.integers(3, 31), looks=st.tuples(st.integers(1, 3), st.integers(1, 5)))
def test_blocks_leave_no_trace(rows: int, columns: int, looks: tuple[int, int]) -> None:
    """Bits are the same however the images are cut, with one lazy input or all; nothing is computed before."""
    one, two = images((23, 31), gamma=0.6)
    two[3:9, 4:20] = np.nan
    plain = interferogram(one, two, looks=looks)
    cut = xr.DataArray(one, dims=("y", "x")).chunk(y=rows, x=columns)
    lazy = interferogram(cut, two, looks=looks)
    assert lazy.chunks
    xr.testing.assert_identical(lazy.compute(), plain)
    found = coherence(lazy, window=(5, 3))
    assert found.chunks
    xr.testing.assert_identical(found.compute(), coherence(plain, window=(5, 3)))


def test_geocoded_images_keep_their_place() -> None:
    """The CRS stays, and the transform is that of the cells."""
    one, two = (placed(image, date) for image, date in zip(images((6, 8)), ("2020-01-01", "2020-01-13"), strict=True))
    one, two = (image.assign_coords(y=image["y"][::-1].values).rio.write_crs("EPSG:32633") for image in (one, two))
    pair = interferogram(one, two, looks=(2, 4))
    assert pair.rio.crs == one.rio.crs
    assert pair.rio.transform()[:6] == (40, 0, -5, 0, -20, 55)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"looks": (0, 1)}, "no such cells"),
        ({"looks": (5, 1)}, "no such cells"),
        ({"looks": (1, 1, 1)}, "no such cells"),
        ({"independence": 1.5}, "not a share"),
        ({"range_sign": 0}, "not a sign"),
        ({"flat": np.zeros((4, 5))}, "does not fit"),
        ({"flat": np.zeros((4, 4), complex)}, "no image"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    """What cannot be is refused with a word."""
    one, two = images((4, 4))
    with pytest.raises(InputError, match=message):
        interferogram(one, two, **options)


def test_images_that_do_not_fit() -> None:
    """Real numbers, other pixels, dates that are equal or reversed, and two wavelengths are refused."""
    one, two = images((4, 4))
    early, late = placed(one, "2020-01-01", wavelength=0.055), placed(two, "2020-01-13", wavelength=0.24)
    with pytest.raises(InputError, match="no image"):
        interferogram(np.ones((4, 4)), two)
    with pytest.raises(InputError, match="no image"):
        interferogram(np.ones(4, complex), two)
    with pytest.raises(InputError, match="two images"):
        interferogram(one[None], two[None])
    with pytest.raises(InputError, match="not those"):
        interferogram(early, late.assign_coords(x=late["x"] + 1))
    for reference, secondary in ((late, early), (early, early)):
        with pytest.raises(InputError, match="not the earlier"):
            interferogram(reference, secondary)
    with pytest.raises(MetadataError, match="different wavelengths"):
        interferogram(early, late)
    with pytest.raises(MetadataError, match="no date"):
        interferogram(early.assign_coords(time="2020"), late)


def test_coherence_needs_an_interferogram() -> None:
    """An even window, and a dataset that does not tell its looks, are refused."""
    pair = interferogram(*images((4, 4)), looks=(2, 2))
    with pytest.raises(InputError, match="middle"):
        coherence(pair, window=(2, 3))
    with pytest.raises(MetadataError, match="no interferogram"):
        coherence(pair[["interferogram"]])
    with pytest.raises(MetadataError, match="no interferogram"):
        coherence(pair.drop_attrs())


def test_the_kernel_counts_what_is_finite() -> None:
    """Cells without any sample are NaN with a count of zero, never zero."""
    out = np.empty((5, 1, 2), np.float32)
    image = np.array([[1, np.nan]], "complex64")
    multilook.cells(image, np.ones((1, 2), "complex64"), np.zeros((0, 0)), (1, 1), out)
    np.testing.assert_array_equal(out[:, 0, 0], [1, 0, 1, 1, 1])
    np.testing.assert_array_equal(out[:, 0, 1], [np.nan, np.nan, np.nan, np.nan, 0])
