"""The region: truth as a pure function of its parameters."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terracube.core.errors import InputError
from terracube.ingest.simulate import BANDS, Cover, Deformation, Region, acquisition_dates, write_truth
from terracube.ingest.simulate.fields import block_mean

SIZE = 90
DAY = date(2023, 7, 14)


@pytest.fixture(scope="module")
def region() -> Region:
    """A small region."""
    return Region(seed=11, size=SIZE)


def test_equal_regions_equal_bits(region: Region) -> None:
    """Truth depends on the parameters alone; the seed is one of them."""
    again, other = Region(seed=11, size=SIZE), Region(seed=12, size=SIZE)
    assert again == region
    assert again.digest == region.digest != other.digest
    assert np.array_equal(again.reflectance("nir", DAY), region.reflectance("nir", DAY))
    assert not np.array_equal(other.reflectance("nir", DAY), region.reflectance("nir", DAY))


def test_digest_sees_every_parameter(region: Region) -> None:
    """A change in a nested parameter changes the fingerprint."""
    assert replace(region, deformation=Deformation(depth=900.0)).digest != region.digest


def test_survives_pickling(region: Region) -> None:
    """A region can be sent to another process."""
    assert pickle.loads(pickle.dumps(region)) == region


@pytest.mark.parametrize("band", BANDS)
def test_reflectance_is_physical(region: Region, band: str) -> None:
    """All pixels are there, between 0 and 1, as float32."""
    values = region.reflectance(band, DAY)
    assert values.shape == (SIZE, SIZE)
    assert values.dtype == np.float32
    assert values.min() > 0
    assert values.max() < 0.8


def test_truth_reflectance_stacks(region: Region) -> None:
    """The stack holds date by date, band by band, what the single calls give; dates may be text."""
    stack = region.truth_reflectance(["red", "nir"], [DAY, "2023-01-05"])
    assert stack.shape == (2, 2, SIZE, SIZE)
    assert np.array_equal(stack[1, 0], region.reflectance("red", date(2023, 1, 5)))


def test_seasons_show(region: Region) -> None:
    """Broadleaf woods are greener in July than in January, water hardly changes in the near infrared."""
    summer, winter = region.truth_reflectance(["red", "nir"], [DAY, "2023-01-15"])
    woods = region.land.share(Cover.BROADLEAF) == 1
    lake = region.land.share(Cover.WATER) == 1
    ndvi = [(nir - red) / (nir + red) for red, nir in (summer, winter)]
    assert ndvi[0][woods].min() > 0.6 > 0.5 > ndvi[1][woods].max()
    assert np.abs(summer[1] - winter[1])[lake].max() < 0.01


def test_water_truth(region: Region) -> None:
    """Chlorophyll and suspended matter are known where there is water, NaN elsewhere, and have a season."""
    wet = region.land.share(Cover.WATER) > 0
    for content in (region.chlorophyll, region.suspended_matter):
        assert np.array_equal(np.isfinite(content(DAY)), wet)
        assert content(DAY)[wet].min() > 0
    assert np.nanmean(region.chlorophyll("2023-08-23")) > 1.8 * np.nanmean(region.chlorophyll("2023-01-15"))
    assert np.nanmean(region.suspended_matter("2023-05-10")) > 1.5 * np.nanmean(region.suspended_matter("2023-01-15"))


def test_tiles_cover_the_region_and_overlap() -> None:
    """Two tiles, a fifth of the rows in common, all edges on the 60 m grid of the origin rule."""
    for size in (90, 120, 360):
        region = Region(size=size)
        north, south = region.tiles
        assert north.first_row == 0
        assert south.slice.stop == size
        assert north.slice.stop - south.first_row == size // 5
        for tile in (north, south):
            assert tile.rows % 6 == tile.first_row % 6 == 0
            origin = region.transform(60, first_row=tile.first_row)
            assert origin.c % 60 == origin.f % 60 == 0


def test_land_cover_is_the_largest_share(region: Region) -> None:
    """The map names the cover that fills most of a pixel."""
    share = np.take_along_axis(region.land.fractions, region.land_cover[None].astype(int) - 1, axis=0)
    assert np.array_equal(share[0], region.land.fractions.max(axis=0))


@pytest.mark.parametrize("size", [60, 100, 0, -30])
def test_size_that_does_not_nest(size: int) -> None:
    """Sizes on which the grids of 10, 20 and 60 m do not nest are refused."""
    with pytest.raises(InputError, match="nest"):
        Region(size=size)


def test_bad_values_are_refused(region: Region) -> None:
    """A negative seed, an unknown band, a date that is none, dates that do not exist."""
    with pytest.raises(InputError, match="seed"):
        Region(seed=-1)
    with pytest.raises(InputError, match="unknown band"):
        region.reflectance("B04", DAY)
    with pytest.raises(InputError, match="not a date"):
        region.reflectance("red", "summer")
    with pytest.raises(InputError, match="no dates"):
        acquisition_dates("2023-02-01", "2023-01-01")


def test_a_moment_is_its_date(region: Region) -> None:
    """A datetime is taken for the day it lies on."""
    moment = datetime(2023, 7, 14, 9, 57)
    assert np.array_equal(region.reflectance("red", moment), region.reflectance("red", DAY))


def test_write_truth(region: Region, tmp_path: Path) -> None:
    """Files hold what the methods give, on the region's grid; a second call writes nothing."""
    path = write_truth(region, tmp_path, dates=[DAY, "2023-08-15"])
    times = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    with rasterio.open(tmp_path / "land-cover.tif") as cover:
        assert np.array_equal(cover.read(1), region.land_cover)
        assert cover.bounds == region.bounds
        assert cover.crs.to_epsg() == region.epsg
    with rasterio.open(tmp_path / "fractions.tif") as shares:
        assert shares.descriptions[-1] == "water"
        assert np.array_equal(shares.read(), region.land.fractions)
    with rasterio.open(tmp_path / "chlorophyll.tif") as lake:
        assert lake.descriptions == ("2023-07-14", "2023-08-15")
        assert np.array_equal(lake.read(1), region.chlorophyll(DAY), equal_nan=True)
    with rasterio.open(tmp_path / "reflectance-2023-08-15.tif") as truth:
        assert truth.descriptions == tuple(BANDS)
        assert np.array_equal(truth.read(4), region.reflectance("red", "2023-08-15"))
    assert write_truth(region, tmp_path, dates=[DAY, "2023-08-15"]) == path
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == times


def test_coarse_truth_is_the_mean(region: Region) -> None:
    """The 60 m pixel of the truth is the mean of its 36 small ones, also across an edge."""
    fine = region.reflectance("nir09", DAY)
    assert block_mean(fine, 6)[4, 7] == pytest.approx(fine[24:30, 42:48].mean(), rel=1e-6)
