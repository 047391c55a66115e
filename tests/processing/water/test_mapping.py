"""The chain ``water``: the same from items, cubes and arrays, in any blocks; a period against plain numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pystac
import pytest
import xarray as xr
from hypothesis import given, settings
from scipy.ndimage import distance_transform_edt

from terracube import cubes
from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.ingest.simulate import Region, write_scenes
from terracube.processing.water.assembly import REASONS
from terracube.processing.water.correction import correct
from terracube.processing.water.mapping import WATER
from terracube.processing.water.masks import mask
from terracube.processing.water.products import retrieve
from terracube.processing.water.retrievals import get_retrieval

REGION = Region(seed=3, size=90)
SOME = ("spm_nechad2010", "chl_ndci", "hue_angle")
TOLD: dict[str, Any] = {"products": SOME}
LAKE = {"coastal": 0.022, "blue": 0.028, "green": 0.047, "red": 0.027, "rededge1": 0.026, "nir": 0.011, "nir08": 0.010,
        "swir16": 0.005, "swir22": 0.003}  # fmt: skip
LAND = {"coastal": 0.03, "blue": 0.04, "green": 0.07, "red": 0.06, "rededge1": 0.12, "nir": 0.30, "nir08": 0.31,
        "swir16": 0.22, "swir22": 0.12}  # fmt: skip
PLATFORMS = ("sentinel-2a", "sentinel-2b", "sentinel-2a", "sentinel-2a", "sentinel-2b")


def cube_of(
    wet: np.ndarray, *, platforms: tuple[str, ...] = PLATFORMS, cloudy: float = 0.3, seed: int = 1
) -> xr.Dataset:
    """Make surface reflectance of dates (time, y, x): water where ``wet``, land elsewhere, gaps where it is cloudy."""
    rng = np.random.default_rng(seed)
    shape = (len(platforms), *wet.shape)
    gaps = rng.random(shape) < cloudy
    times = np.array([f"2023-06-{day + 1:02d}" for day in range(len(platforms))], "datetime64[ns]")
    bands = {}
    for role, level in LAKE.items():
        values = np.where(wet, level, LAND[role]) * np.exp(rng.normal(0, 0.15, shape))
        bands[role] = (("time", "y", "x"), np.where(gaps, np.nan, values).astype("float32"))
    facts = {"platforms": [[one] for one in platforms], "times": [str(one) for one in times], "instruments": ["msi"]}
    attrs = {"quantity": "rhos", "terracube:cube": json.dumps(facts)}
    coords = {"time": times, "y": np.arange(wet.shape[0])[::-1] * 10.0 + 5, "x": np.arange(wet.shape[1]) * 10.0 + 5}
    return xr.Dataset(bands, coords, attrs=attrs)


def pond(rows: int = 21, cols: int = 18) -> np.ndarray:
    """Draw a round lake and a ditch."""
    y, x = np.mgrid[:rows, :cols]
    wet: np.ndarray = (y - rows * 0.5) ** 2 + (x - cols * 0.45) ** 2 < (min(rows, cols) * 0.35) ** 2
    wet[:, -2] = True
    return wet


def by_hand(cube: xr.Dataset, name: str) -> tuple[xr.Dataset, np.ndarray]:
    """Make a product of each date with the functions that users have, and tell where each date was wet, dry, unseen."""
    dates, water = [], []
    for step in range(cube.sizes["time"]):
        one = cube.isel(time=step).drop_vars("time")
        told = json.loads(cube.attrs["terracube:cube"])["platforms"][step][0]
        sensor = {"sentinel-2a": "S2A_MSI", "sentinel-2b": "S2B_MSI"}[told]
        found = mask(one, "wofs")["water"]
        clean = correct(one.assign_attrs(sensor=sensor), "swir")
        dates.append(retrieve(name, clean.where(found == 1), sensor=sensor, uncertainty=True))
        water.append(found.values)
    return xr.concat(dates, "time", combine_attrs="drop"), np.stack(water)


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Demand equal bits in every layer."""
    assert list(one.data_vars) == list(other.data_vars)
    for name in one.data_vars:
        first, second = (np.ascontiguousarray(values[name].values) for values in (one, other))
        assert first.dtype == second.dtype
        assert first.tobytes() == second.tobytes(), name


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[pystac.Item]:
    """Six small simulated scenes of three dates, seen by two platforms."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = write_scenes(REGION, folder, dates=["2023-06-09", "2023-06-24", "2023-07-09"])
    return [pystac.Item.from_file(str(path)) for path in paths]


@pytest.fixture(scope="module")
def grid(items: list[pystac.Item]) -> cubes.Grid:
    """The grid of the scenes."""
    scenes = cubes.read_scenes(items, ("red",)).scenes
    return cubes.Grid.covering([s.bands["red"].grid for s in scenes], like=scenes[0].bands["red"].grid)


@pytest.fixture(scope="module")
def whole(items: list[pystac.Item], grid: cubes.Grid) -> xr.Dataset:
    """The product of the scenes in one block."""
    return WATER(items, grid=grid, parameters=TOLD, block=128).compute()


class TestScenes:
    """From items: whatever the blocks, the order, and the way in."""

    @pytest.mark.parametrize("block", [23, 40])
    def test_blocks(self, items: list[pystac.Item], grid: cubes.Grid, whole: xr.Dataset, block: int) -> None:
        """Smaller blocks give the same bits, the shore flag over their edges too."""
        found = WATER(items, grid=grid, parameters=TOLD, block=block)
        assert found.chunks["y"][0] == block
        same(found.compute(), whole)

    def test_order(self, items: list[pystac.Item], grid: cubes.Grid, whole: xr.Dataset) -> None:
        """Items in another order give the same bits."""
        same(WATER(items[::-1], grid=grid, parameters=TOLD).compute(), whole)

    def test_cubes_are_the_same_as_items(self, items: list[pystac.Item], grid: cubes.Grid, whole: xr.Dataset) -> None:
        """`chain(items)` equals `chain(cubes.load(items))`, lazy in any chunks and in memory, bands in any order."""
        bands = WATER.observed(WATER.settled(TOLD), items).bands
        loaded = cubes.load(items, bands=bands[::-1], grid=grid, mask="clear", chunks=37)
        lazy = WATER(loaded, parameters=TOLD)
        assert lazy.chunks
        same(lazy.compute(), whole)
        same(WATER(loaded.compute(), parameters=TOLD), whole)

    def test_a_loaded_cube_is_retrieved_date_by_date(self, items: list[pystac.Item], grid: cubes.Grid) -> None:
        """A cube of two platforms says itself which saw what: each date has the numbers of its sensor."""
        loaded = cubes.load(items, bands=("blue", "green", "red", "rededge1", "coastal"), grid=grid, mask="clear")
        assert loaded.attrs["quantity"] == "rhos"
        found = retrieve("hue_angle", loaded)
        assert found.attrs["sensor"] == "S2A_MSI, S2B_MSI"
        values = found.hue_angle.compute()
        for step, sensor in enumerate(("S2A_MSI", "S2B_MSI", "S2A_MSI")):
            alone = retrieve("hue_angle", loaded.isel(time=step), sensor=sensor).hue_angle.compute()
            assert values.values[step].tobytes() == alone.values.tobytes()

    def test_the_lake_is_found(self, whole: xr.Dataset) -> None:
        """Where the truth has water unmixed with land it is wet, and elsewhere dry; products lie where it is wet."""
        truth = np.isfinite(REGION.chlorophyll("2023-06-24"))
        deep = distance_transform_edt(truth) > 2
        far = distance_transform_edt(~truth) > 2
        found = whole.water.values
        assert (found[deep & (found != 255)] == 1).all()
        assert (found[far & (found != 255)] == 0).mean() > 0.99
        np.testing.assert_array_equal(np.isfinite(whole.hue_angle.values), (found == 1) & (whole.hue_angle_flags == 0))

    def test_no_scene(self, grid: cubes.Grid) -> None:
        """Without a scene there is no product."""
        with pytest.raises(EmptyResultError, match="no scene"):
            WATER([], grid=grid, parameters=TOLD)


class TestPeriod:
    """What the dates say together, against the same by hand."""

    def test_middle_and_uncertainty(self) -> None:
        """Median of the wet dates, and of their errors of the formula; noise as that of medians drawn at random."""
        cube = cube_of(pond())
        found = WATER(cube, parameters=TOLD)
        for name in SOME:
            dates, _ = by_hand(cube, name)
            wet = found.water.values == 1
            seen = wet & np.isfinite(dates[name].values)
            there = seen.any(axis=0)
            values, noise, error = (
                np.where(seen, dates[f"{name}{part}"].values, np.nan)[:, there] for part in ("", "_noise", "_algorithm")
            )
            assert len(np.unique(seen.sum(axis=0)[there])) >= 4
            drawn = np.random.default_rng(1).standard_normal((4000, *noise.shape)).astype("float32") * noise
            expected = np.nanmedian(drawn, axis=1).std(axis=0)
            np.testing.assert_array_equal(np.isfinite(found[name].values), there)
            np.testing.assert_allclose(found[name].values[there], np.nanmedian(values, axis=0), rtol=1e-5)
            np.testing.assert_allclose(found[f"{name}_algorithm"].values[there], np.nanmedian(error, axis=0), rtol=1e-5)
            ratio, few = found[f"{name}_noise"].values[there] / expected, seen.sum(axis=0)[there] <= 2
            assert np.abs(ratio[few] - 1).max() < 0.06, "one, or the mean of two"
            assert 0.85 < np.median(ratio[~few]) < 1.05, "of more with unequal noise a rule of thumb"

    def test_water_frequency_and_validity(self) -> None:
        """Clear dates are counted, wet ones among them; the share decides."""
        cube = cube_of(pond(), cloudy=0.5)
        _, water = by_hand(cube, "hue_angle")
        clear, wet = (water != 255).sum(axis=0), (water == 1).sum(axis=0)
        with np.errstate(invalid="ignore"):
            share = wet / clear
        for least in (0.5, 1.0):
            found = WATER(cube, parameters={**TOLD, "min_wet": least})
            np.testing.assert_array_equal(found.validity, clear)
            np.testing.assert_allclose(found.frequency, share, rtol=1e-6)
            np.testing.assert_array_equal(found.water, np.where(clear == 0, 255, share >= least))

    def test_one_date(self) -> None:
        """A period of one date is that date's map, with its uncertainty and flags."""
        cube = cube_of(pond(), platforms=("sentinel-2b",))
        found = WATER(cube, parameters=TOLD)
        for name in SOME:
            dates, water = by_hand(cube, name)
            for variable in (name, f"{name}_noise", f"{name}_algorithm"):
                np.testing.assert_allclose(found[variable], dates[variable][0], rtol=1e-5, err_msg=variable)
            flags = np.where(water[0] == 0, REASONS["not_water"], dates[f"{name}_flags"].values[0])
            np.testing.assert_array_equal(found[f"{name}_flags"], flags)

    def test_order_of_dates(self) -> None:
        """Dates in another order say the same, each with its own sensor."""
        cube = cube_of(pond())
        same(WATER(cube.isel(time=[3, 1, 0, 4, 2]), parameters=TOLD), WATER(cube, parameters=TOLD))

    def test_two_platforms_differ(self) -> None:
        """Were all dates of one platform, the hue would be another."""
        cube = cube_of(pond())
        alike = cube.assign_attrs(cube_of(pond(), platforms=("sentinel-2a",) * 5).attrs)
        one, other = (WATER(given_, parameters=TOLD).hue_angle for given_ in (cube, alike))
        assert float(abs(one - other).max()) > 0.01

    def test_no_clear_date(self) -> None:
        """Where nothing was clear there is no water, no land and no value, and the reason is that."""
        cube = cube_of(pond(), cloudy=0.0)
        cube = cube.where((cube.y > 100) | (cube.x > 60))
        found = WATER(cube, parameters=TOLD)
        blind = np.isnan(cube.red.values).all(axis=0)
        assert 0 < blind.sum() < blind.size
        assert (found.water.values[blind] == 255).all()
        assert (found.near_land.values[blind] == 255).all()
        assert (found.validity.values[blind] == 0).all()
        assert np.isnan(found.frequency.values[blind]).all()
        for name in SOME:
            assert np.isnan(found[name].values[blind]).all()
            assert (found[f"{name}_flags"].values[blind] == REASONS["missing"]).all()
        nothing = WATER(cube.where(cube.y < 0), parameters=TOLD)
        assert (nothing.water == 255).all()

    def test_no_water_is_an_answer(self) -> None:
        """A scene of land: dry everywhere, no value, and bits that say it is no water."""
        found = WATER(cube_of(np.zeros((7, 9), bool), cloudy=0.0), parameters=TOLD)
        assert (found.water == 0).all()
        assert (found.frequency == 0).all()
        assert (found.near_land == 255).all()
        for name in SOME:
            assert found[name].isnull().all()
            assert (found[f"{name}_flags"] == REASONS["not_water"]).all()

    def test_all_water(self) -> None:
        """A scene of water: wet everywhere, far from land, with values everywhere."""
        found = WATER(cube_of(np.ones((7, 9), bool), cloudy=0.0), parameters=TOLD)
        assert (found.water == 1).all()
        assert (found.near_land == 0).all()
        assert all(found[name].notnull().all() for name in SOME)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
    def test_small(self, shape: tuple[int, int]) -> None:
        """One pixel, one row, one column."""
        found = WATER(cube_of(np.ones(shape, bool), cloudy=0.0), parameters=TOLD)
        assert found.spm_nechad2010.shape == shape
        assert found.spm_nechad2010.notnull().all()

    def test_reasons_of_several_dates(self) -> None:
        """With a value, only what is beyond the range is told; without one, all reasons but that of unseen dates."""
        cube = cube_of(np.ones((1, 4), bool), platforms=("sentinel-2a",) * 3, cloudy=0.0)
        red = np.array([[-0.01, 1e-5, -0.01], [-0.01, -0.02, -0.01], [-0.01, np.nan, np.nan], [0.03, 0.03, 1e-5]]).T
        cube = cube.assign(red=cube.red.copy(data=red[:, None].astype("float32")), swir22=xr.zeros_like(cube.red))
        found = WATER(cube, parameters={"products": ("spm_nechad2010",), "water_mask": "all"})
        low, negative = REASONS["below_range"], REASONS["negative"]
        assert found.spm_nechad2010_flags.values[0].tolist() == [low, negative, negative, low]
        assert found.spm_nechad2010.notnull().values[0].tolist() == [True, False, False, True]

    def test_classes_have_no_middle(self) -> None:
        """Of types of water the most frequent one is given, never a number between two."""
        wet = np.ones((12, 12), bool)
        cube = cube_of(wet, platforms=("sentinel-2a",) * 4, cloudy=0.2)
        rng = np.random.default_rng(5)
        shape = cube.green.shape
        cube = cube.assign(rededge2=cube.nir * 1.1, rededge3=cube.nir * 1.05)
        cube = cube.assign({name: band * rng.uniform(0.5, 2, shape).astype("float32")
                            for name, band in cube.items() if not str(name).startswith(("nir", "swir"))})  # fmt: skip
        found = WATER(cube, parameters={"products": ("owt_spyrakos",), "water_mask": "all"})
        clean = correct(cube.assign_attrs(sensor="S2A_MSI"), "swir")
        dates = retrieve("owt_spyrakos", clean, sensor="S2A_MSI").owt_spyrakos.values
        codes = list(get_retrieval("owt_spyrakos").classes or ())
        counts = np.stack([(dates == code).sum(axis=0) for code in codes])
        values = found.owt_spyrakos.values
        there = np.isfinite(values)
        np.testing.assert_array_equal(there, counts.any(axis=0))
        assert len(np.unique(values[there])) > 1
        chosen = np.searchsorted(codes, values[there])
        np.testing.assert_array_equal(counts[:, there][chosen, np.arange(there.sum())], counts[:, there].max(axis=0))


class TestChunks:
    """A lazy cube in any chunks."""

    @settings(max_examples=6, deadline=None)
    @given(st.integers(5, 21), st.integers(5, 18), st.sampled_from([0, 1, 3]))
    def test_any_chunks(self, rows: int, cols: int, shore: int) -> None:
        """The same bits as in memory, flags near land over edges of chunks included."""
        cube = cube_of(pond())
        told = {"products": ("hue_angle",), "shore": shore}
        found = WATER(cube.chunk(time=2, y=rows, x=cols), parameters=told)
        same(found.compute(scheduler="sync"), WATER(cube, parameters=told))

    @pytest.mark.parametrize("shore", [0, 1, 2, 5])
    def test_near_land(self, shore: int) -> None:
        """Water within so many pixels of dry land, centre to centre, is near it; what was not seen is no land."""
        cube = cube_of(pond(), cloudy=0.0).where(lambda one: one.x < 120)
        found = WATER(cube, parameters={"products": ("hue_angle",), "shore": shore}, block=5)
        dry, wet = found.water.values == 0, found.water.values == 1
        near = distance_transform_edt(~dry) <= shore
        np.testing.assert_array_equal(found.near_land.values, np.where(wet, near, 255))


class TestOcean:
    """Water-leaving reflectance of another sensor."""

    def cube(self) -> xr.Dataset:
        """Three dates of OLCI, land missing, as its water product is."""
        rng = np.random.default_rng(2)
        levels = {"oa02": 0.012, "coastal": 0.014, "blue": 0.018, "oa05": 0.017, "green": 0.015, "red": 0.004}
        shape = (3, 8, 7)
        gaps = rng.random(shape) < 0.3
        gaps[:, :, :2] = True
        bands = {role: (("time", "y", "x"),
                        np.where(gaps, np.nan, level * np.exp(rng.normal(0, 0.2, shape))).astype("float32"))
                 for role, level in levels.items()}  # fmt: skip
        times = np.array(["2023-06-01", "2023-06-02", "2023-06-03"], "datetime64[ns]")
        facts = {"platforms": [["sentinel-3a"]] * 3, "times": [str(one) for one in times], "instruments": ["olci"]}
        return xr.Dataset(bands, {"time": times}, {"quantity": "rhow", "terracube:cube": json.dumps(facts)})

    def test_all_that_is_seen_is_water(self) -> None:
        """What was told from land before needs no mask and no correction: products are the medians of the dates."""
        cube = self.cube()
        found = WATER(cube, parameters={"products": ("chl_oc4", "kd490_kd2")})
        seen = np.isfinite(cube.red.values)
        np.testing.assert_array_equal(found.water, np.where(seen.any(axis=0), 1, 255))
        np.testing.assert_array_equal(found.validity, seen.sum(axis=0))
        for name in ("chl_oc4", "kd490_kd2"):
            dates = retrieve(name, cube, sensor="S3A_OLCI")[name].values
            there = np.isfinite(dates).any(axis=0)
            expected = np.nanmedian(dates[:, there], axis=0)
            np.testing.assert_allclose(found[name].values[there], expected, rtol=1e-6)
            assert np.isnan(found[name].values[~there]).all()

    def test_rrs_is_the_same(self) -> None:
        """The cube in the other quantity gives the same water and the same products."""
        cube = self.cube()
        told = {"products": ("chl_oc4",), "uncertainty": False}
        one = WATER(cube, parameters=told)
        other = WATER((cube / np.float32(math.pi)).assign_attrs(cube.attrs | {"quantity": "rrs"}), parameters=told)
        np.testing.assert_allclose(other.chl_oc4, one.chl_oc4, rtol=1e-5)
        np.testing.assert_array_equal(other.water, one.water)
        assert "chl_oc4_noise" not in one

    def test_a_mask_that_it_has_no_bands_for(self) -> None:
        """A mask that needs bands that the sensor has not is refused, with what to do."""
        with pytest.raises(InputError, match='water_mask="all"'):
            WATER(self.cube(), parameters={"products": ("chl_oc4",), "water_mask": "mndwi"})


def _unread(cube: xr.Dataset) -> xr.Dataset:
    """Give the cube with blocks that must not be read."""

    def never(values: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing is to be read")

    lazy = cube.chunk(y=5)
    return lazy.assign({name: band.copy(data=band.data.map_blocks(never, dtype=band.dtype, meta=band.data._meta))
                        for name, band in lazy.items()})  # fmt: skip


class TestRefused:
    """What is wrong is said before a pixel is read."""

    @pytest.mark.parametrize(
        ("told", "words"),
        [
            ({"products": ["spm_nechat2010"]}, ["spm_nechad2010"]),
            ({"products": ["chl_oc4", "chl_mph", "hue_angle", "spmm"]}, ["chl_oc4", "chl_mph", "510", "681", "spmm"]),
            ({"correction": "none"}, ["rhos", "water.correct"]),
            ({"water_mask": "tree"}, ["mndwi"]),
            ({"water_mask": "wofs", "threshold": 0.1}, ["mndwi"]),
            ({"sensors": ["S2A"]}, ["S2A_MSI"]),
            ({"min_wet": 0}, ["min_wet"]),
            ({"shore": 17}, ["shore"]),
            ({"threshold": math.nan}, ["threshold"]),
            ({"surprise": 1}, ["surprise"]),
            ({"bands": ["ultraviolet"]}, ["ultraviolet"]),
        ],
        ids=lambda value: "_".join(value) if isinstance(value, dict) else "",
    )
    def test_parameters(self, told: dict[str, Any], words: list[str]) -> None:
        """Each with what is wrong in the message."""
        with pytest.raises(InputError) as caught:
            WATER(_unread(cube_of(pond())), parameters={**TOLD, **told})
        assert all(word in str(caught.value) for word in words), str(caught.value)

    @pytest.mark.parametrize("told", [{"water_mask": "wofs"}, {"correction": "swir"}, {"water_mask": "mndwi"}])
    def test_masks_and_corrections_take_reflectance(self, told: dict[str, Any]) -> None:
        """What is no reflectance is refused for them."""
        with pytest.raises(InputError, match="rhos or rhow"):
            WATER(_unread(cube_of(pond()).assign_attrs(quantity="rrs")), parameters={**TOLD, **told})

    def test_quantity_that_contradicts_the_scenes(self) -> None:
        """A factor of pi is not argued with; that surface reflectance is water-leaving may be vouched for."""
        with pytest.raises(MetadataError, match="another reflectance"):
            WATER(_unread(cube_of(pond())), parameters={**TOLD, "quantity": "rrs"})
        found = WATER(cube_of(pond()), parameters={**TOLD, "quantity": "rhow"})
        assert (found.water.values == 1).any()

    def test_quantity_that_nobody_says(self) -> None:
        """It is not guessed; the parameter tells it."""
        cube = cube_of(pond())
        del cube.attrs["quantity"]
        with pytest.raises(MetadataError, match="quantity"):
            WATER(_unread(cube), parameters=TOLD)
        same(WATER(cube, parameters={**TOLD, "quantity": "rhos"}), WATER(cube_of(pond()), parameters=TOLD))

    @pytest.mark.parametrize("platform", [None, "sentinel-9z"])
    def test_platform_that_nobody_says_or_knows(self, platform: str | None) -> None:
        """A sensor is not guessed either; one for all can be told."""
        cube = cube_of(pond(), platforms=("sentinel-2b",) * 5)
        other = cube.assign_attrs(quantity="rhos")
        if platform is None:
            del other.attrs["terracube:cube"]
        else:
            other.attrs["terracube:cube"] = cube.attrs["terracube:cube"].replace("sentinel-2b", platform)
        with pytest.raises(MetadataError, match="which sensor"):
            WATER(_unread(other), parameters=TOLD)
        same(WATER(other, parameters={**TOLD, "sensors": ["S2B_MSI"]}), WATER(cube, parameters=TOLD))

    def test_bands_that_are_named_are_all_there_are(self) -> None:
        """A band that a formula may do without is not asked for beyond the bands that are named."""
        cube = cube_of(pond()).drop_vars(["nir08", "coastal", "rededge1"])
        names = ["blue", "green", "red", "nir", "swir16", "swir22"]
        found = WATER(cube, parameters={"products": ["spm_blend"], "bands": names})
        assert np.isfinite(found["spm_blend"].values).any()
        with pytest.raises(InputError, match="nir08"):
            WATER(cube, parameters={"products": ["spm_blend"]})

    def test_a_band_that_the_cube_lacks(self) -> None:
        """It is named; no other band takes its place."""
        with pytest.raises(InputError, match="rededge1"):
            WATER(_unread(cube_of(pond()).drop_vars("rededge1")), parameters=TOLD)


class TestLayers:
    """What comes out."""

    def test_names_types_and_meanings(self) -> None:
        """Layers in order, each in its type, with unit, nodata and the meaning of classes; products once each."""
        found = WATER(cube_of(pond()), parameters={"products": ("hue_angle", "chl_ndci", "hue_angle")})
        first = ["water", "frequency", "validity", "near_land", "flags"]
        each = [
            f"{name}{part}" for name in ("hue_angle", "chl_ndci") for part in ("", "_flags", "_noise", "_algorithm")
        ]
        assert list(found.data_vars) == first + each
        assert found.water.dtype == found.near_land.dtype == found.hue_angle_flags.dtype == np.uint8
        assert found.validity.dtype == np.uint16
        assert found.chl_ndci.dtype == np.float32
        assert found.chl_ndci.attrs["units"] == "mg m-3"
        assert found.water.attrs["nodata"] == 255
        assert found.water.attrs["flag_meanings"].split() == ["dry", "water"]

    def test_without_uncertainty(self) -> None:
        """Then there are values and flags alone, and they are the same."""
        cube = cube_of(pond())
        whole, few = (WATER(cube, parameters={**TOLD, "uncertainty": told}) for told in (True, False))
        assert not [name for name in few.data_vars if str(name).endswith(("_noise", "_algorithm"))]
        xr.testing.assert_allclose(few, whole[list(few.data_vars)], rtol=1e-6)

    def test_an_index_with_a_threshold(self) -> None:
        """The index that is named, above its published threshold or the one that is told."""
        cube = cube_of(pond(), cloudy=0.0)
        for told, threshold in (({}, "published"), ({"threshold": 0.6}, 0.6)):
            found = WATER(cube, parameters={"products": ("hue_angle",), "water_mask": "mndwi", **told})
            wet = mask(cube, "indices", index="mndwi", threshold=threshold)["water"].values == 1
            np.testing.assert_allclose(found.frequency, wet.mean(axis=0), rtol=1e-6)
        assert 0 < wet.mean() < 1

    def test_the_usual_products(self) -> None:
        """Left out, the products are the usual ones that the sensors allow."""
        found = WATER(cube_of(pond()))
        assert {"spm_blend", "chl_blend", "secchi_lee2015", "hue_angle"} <= set(found.data_vars)

    def test_written_parameters_are_the_same_run(self, items: list[pystac.Item], tmp_path: Path) -> None:
        """Parameters as settled by the scenes, written as JSON and read again, settle to themselves."""
        known = WATER.observed(WATER.settled(TOLD), items)
        (tmp_path / "told.json").write_text(known.model_dump_json())
        again = WATER.observed(WATER.settled(json.loads((tmp_path / "told.json").read_text())), items)
        assert again == known
        assert WATER.digest(again) == WATER.digest(known)
