"""The North Sea as OLCI saw it: a whole cube and a granule of C2RCC, from the delivery to products and scores."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pystac
import pytest
import xarray as xr

from terracube import cubes
from terracube.core.errors import InputError, TerraCubeError
from terracube.ingest import ingest
from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.store import ingest_insitu
from terracube.processing import water
from terracube.processing.water.matchups import gates
from terracube.stac import Catalog, Query

PRODUCTS = ["chl_oc4", "spm_blend", "kd490_lee2013", "hue_angle"]
CRUISE = {
    "kind": "csv",
    "station": {"column": "Name"},
    "time": {"column": "DateTime", "zone": "UTC"},
    "position": {"lon": "longitude", "lat": "latitude", "crs": "EPSG:4326"},
    "columns": [{"column": "Chlorophyll-a_Jeff_Humphr", "variable": "chlorophyll_a", "unit": "ug/L"}],
}
# Bits that a rule wants clear; Valid_PE (31) must be set for all.
RULES = {"valid": (), "clear": (0, 3, 15), "in_range": (0, 1, 2, 3, 4, 15)}


@pytest.fixture(scope="module")
def delivered(data_dir: Path) -> Path:
    """The data as delivered; tests skip, saying so, where they are absent."""
    folder = data_dir / "water" / "olci-northsea"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture(scope="module")
def catalog(delivered: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Everything ingested."""
    found = Catalog.create(tmp_path_factory.mktemp("northsea") / "catalogue")
    report = ingest("olci-c2rcc", [delivered], found)
    assert len(report.taken) == 6
    ingest_insitu([next(delivered.rglob("summercruise*.txt"))], Mapping.model_validate(CRUISE), found, dataset="cruise")
    return found


def scenes(catalog: Catalog, first: str) -> list[pystac.Item]:
    """The five times of the cube, or the granule."""
    return [item for item in catalog.search(Query(collections=("olci-c2rcc",))) if item.id.startswith(first)]


@pytest.fixture(scope="module")
def raw(delivered: Path) -> xr.Dataset:
    """The cube as xarray reads it, the whole of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a layer that the metadata list is not there
        stored: xr.Dataset = xr.open_zarr(delivered / "serve/demo/cube-1-250-250.zarr", drop_variables=["kd489"])
        return stored.load()


@pytest.fixture(scope="module")
def granule(delivered: Path) -> dict[str, Any]:
    """Samples of the granule on which C2RCC ran, as netCDF4 reads them."""
    with netCDF4.Dataset(delivered / "notebooks/inputdata/O_L2_0001_SNS_2017104102450_v1.0.nc") as file:
        file.set_auto_mask(False)
        valid = file["c2rcc_flags"][:].astype("int64") >> 31 & 1 > 0
        assert valid.sum() == 9
        return {name: file[name][:][valid] for name in ("conc_chl", "c2rcc_flags", *(f"rrs_{n}" for n in (3, 4, 5, 6)))}


@pytest.mark.parametrize("rule", RULES)
def test_the_whole_cube_with_its_flags(catalog: Catalog, raw: xr.Dataset, rule: str) -> None:
    """All five times open lazily; what a rule leaves is to the pixel what the bits say in plain numpy."""
    cube = cubes.load(scenes(catalog, "cube"), bands=["conc_chl", "conc_tsm"], mask=rule, groupby="time")
    assert dict(cube.sizes) == {"time": 5, "y": 1000, "x": 2000}
    assert cube.conc_chl.chunks is not None
    assert [str(time)[:16] for time in cube.time.values] == [str(time)[:16] for time in raw.time.values]
    known = np.isfinite(raw.c2rcc_flags.values)
    flags = np.where(known, raw.c2rcc_flags.values, 0).astype("int64")
    good = known & (flags >> 31 & 1 > 0)
    for bit in RULES[rule]:
        good &= flags >> bit & 1 == 0
    for name in ("conc_chl", "conc_tsm"):
        expected = np.where(good, raw[name].values, np.nan)
        assert np.array_equal(cube[name].values, expected, equal_nan=True)


def test_flags_decide_what_a_statistic_says(catalog: Catalog) -> None:
    """Cloud and scope flags leave 24 538 of 1 158 658 values, and lower the median from 8.1 to 4.9 mg m-3."""
    medians = {}
    for rule in ("valid", "clear"):
        cube = cubes.load(scenes(catalog, "cube"), bands=["conc_chl", "conc_tsm"], mask=rule, groupby="time")
        there = np.isfinite(cube.conc_chl.values) & np.isfinite(cube.conc_tsm.values)
        medians[rule] = int(there.sum()), round(float(np.median(cube.conc_chl.values[there])), 1)
    assert medians == {"valid": (1158658, 8.1), "clear": (24538, 4.9)}


def test_the_granule_says_what_it_holds(catalog: Catalog, granule: dict[str, Any]) -> None:
    """Sensor and quantity come with the item; OC4 of its spectra is the polynomial in plain numpy."""
    cube = cubes.load(scenes(catalog, "O_L2"), mask="valid")
    assert cube.attrs["quantity"] == "rrs"
    made = water.retrieve(PRODUCTS, cube).compute()
    assert (made.attrs["sensor"], made.attrs["quantity"]) == ("S3A_OLCI", "rrs")
    ratio = np.max([granule[f"rrs_{n}"] for n in (3, 4, 5)], axis=0) / granule["rrs_6"]
    a = [0.42540, -3.21679, 2.86907, -0.62628, -1.09333]
    expected = 10 ** np.polyval(a[::-1], np.log10(ratio.astype("float64")))
    found = made.chl_oc4.values[np.isfinite(made.chl_oc4.values)]
    assert found.size == 13  # nine samples, of which some are nearest to several pixels
    assert all(np.isclose(expected, one, rtol=1e-4).any() for one in found)
    assert all(np.isclose(found, one, rtol=1e-4).any() for one in expected)
    assert all(np.isfinite(made[name].values).sum() == 13 for name in PRODUCTS)


def test_the_granule_without_what_its_flags_doubt(catalog: Catalog, granule: dict[str, Any]) -> None:
    """C2RCC calls all of its nine spectra out of scope: nothing is left, and each pixel says that it is missing."""
    assert (granule["c2rcc_flags"] & 1 > 0).all()
    made = water.retrieve(PRODUCTS, cubes.load(scenes(catalog, "O_L2"))).compute()
    assert not any(np.isfinite(made[name].values).any() for name in PRODUCTS)
    assert (made.chl_oc4_flags.values == 1).all()


def test_scores_tell_how_many(catalog: Catalog) -> None:
    """Our OC4 against C2RCC's own chlorophyll: 13 of 13, or none of none; it is a number, not a proof."""
    items = scenes(catalog, "O_L2")
    made = water.retrieve("chl_oc4", cubes.load(items, mask="valid")).chl_oc4.values.ravel()
    other = cubes.load(items, bands=["conc_chl"], mask="valid").conc_chl.values.ravel()
    told = water.score(made, other)
    assert (told.n, told.of) == (13, 13)
    assert 0.5 < told.rmsle < 0.65
    assert told.bias > 2


def test_the_chain_on_the_granule(catalog: Catalog) -> None:
    """Without a word on sensor, mask or products: what is retrieved is water, as its own quantity tells."""
    made = water.WATER(cubes.load(scenes(catalog, "O_L2"), mask="valid")).compute()
    assert (made.water.values == 1).sum() == np.isfinite(made.chl_blend.values).sum() == 13
    assert {"spm_blend", "turbidity_dogliotti2015", "secchi_lee2015", "hue_angle"} <= set(made.data_vars)


@pytest.mark.parametrize("told", [{"correction": "swir"}, {"water_mask": "ndwi"}])
def test_masks_and_corrections_of_land_are_refused(catalog: Catalog, told: dict[str, Any]) -> None:
    """Rrs is of water already, and OLCI has no short-wave infrared: refused before a pixel is read."""
    cube = cubes.load(scenes(catalog, "O_L2"), mask="valid")
    with pytest.raises(InputError, match="reflectance"):
        water.WATER(cube, parameters=told)


def test_a_cube_without_reflectance_is_refused(catalog: Catalog) -> None:
    """The Zarr cube holds concentrations alone: products of reflectance are refused with the bands they need."""
    cube = cubes.load(scenes(catalog, "cube"), bands=["conc_chl", "conc_tsm"], groupby="time")
    with pytest.raises(TerraCubeError, match="green"):
        water.retrieve("chl_oc4", cube, sensor="S3A_OLCI")


def test_the_cruise_meets_no_scene(catalog: Catalog) -> None:
    """It sailed seven months later, mostly elsewhere: no pair, and every sample says why."""
    table = open_table(catalog, variables=["chlorophyll_a"])
    cube = cubes.load(scenes(catalog, "cube"), bands=["conc_chl"], groupby="time")
    found = water.matchup(cube, table, variables={"conc_chl": "chlorophyll_a"}, units="convert")
    assert len(found) == len(table) == 36
    assert not found["used"].any()
    counts = gates(found).set_index("reason")["candidates"]
    assert counts["outside"] == 33
    assert counts["no_scene"] == 3
    assert water.score(found).n == 0
