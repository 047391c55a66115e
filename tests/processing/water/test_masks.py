"""Water masks as a whole: real and simulated scenes, cuts, dates, and what is refused."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.ingest.simulate import Region, seen_reflectance, sky_of
from terracube.ingest.simulate.surface import Cover
from terracube.processing.water.masks import BITS, UNCLEAR, bitmask, mask

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
WATER = dict(zip(BANDS, (0.03, 0.05, 0.03, 0.01, 0.004, 0.003), strict=True))
LAND = dict(zip(BANDS, (0.05, 0.08, 0.10, 0.25, 0.25, 0.15), strict=True))
METHODS = [("wofs", {}), ("indices", {}), ("indices", {"index": "awei_sh"}), ("cluster", {})]


def placed(cube):
    """Put a cube on a grid of 10 m."""
    shape = (cube.sizes["y"], cube.sizes["x"])
    return georeference(cube, Grid.from_affine("EPSG:32633", Region().transform(), shape))


def scene(wet, *, seed=0, spread=0.2):
    """Make a cube (y, x) of water where ``wet`` is true and land elsewhere, with some spread."""
    rng = np.random.default_rng(seed)
    bands = {
        name: np.where(wet, WATER[name], LAND[name]) * rng.uniform(1 - spread, 1 + spread, wet.shape) for name in BANDS
    }
    return placed(xr.Dataset({name: (("y", "x"), values.astype("float32")) for name, values in bands.items()}))


def lake(rows=60, cols=70):
    """Give a round lake."""
    y, x = np.mgrid[:rows, :cols]
    return (y - rows // 2) ** 2 + (x - cols // 2) ** 2 < (min(rows, cols) // 4) ** 2


def raising(*_args, **_kwargs):
    """Stand in for a scheduler that must not be asked."""
    raise AssertionError("computed")


def overlap(found, truth):
    """Give the intersection over the union of water."""
    wet = found["water"].values == 1
    return (wet & truth).sum() / (wet | truth).sum()


def wofs_tile(data_dir):
    """Give the tile as reflectance, its clouds and shadows, and its published flags."""
    folder = data_dir / "water" / "wofs"
    with xr.open_dataset(folder / "sample_c3_sr.nc") as stored, xr.open_dataset(folder / "sample_wofl.nc") as flags:
        names = {"blue": "blue", "green": "green", "red": "red", "nir": "nir08", "swir_1": "swir16", "swir_2": "swir22"}
        bands = {role: (stored[f"nbart_{name}"].where(stored[f"nbart_{name}"] != -999) / 10_000).load()
                 for name, role in names.items()}  # fmt: skip
        return xr.Dataset(bands), stored["oa_fmask"].load(), flags["water"].values.astype(np.uint8)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_published_tile(data_dir, kind):
    """All 5505 pixels without the nodata bit agree on water; of those with values, all eight bits."""
    cube, fmask, published = wofs_tile(data_dir)
    found = mask(cube.astype(kind), cloud=fmask == 2, cloud_shadow=fmask == 3, grow=0)
    own = (found["flags"].values & 255).astype(np.uint8)
    observed = (published & 1) == 0
    assert observed.sum() == 5505
    np.testing.assert_array_equal((own & 128)[observed], (published & 128)[observed])
    with_values = np.isfinite(cube["blue"].values)
    assert (with_values & observed).sum() == 1020
    np.testing.assert_array_equal(own[with_values & observed], published[with_values & observed])
    clear = with_values & (published & 127 == 0)
    np.testing.assert_array_equal(found["water"].values[clear], (published[clear] == 128).astype(np.uint8))


def test_published_tile_with_grown_clouds(data_dir):
    """Clouds and shadows grow by 3.5 pixels unless told otherwise; what stays clear agrees with the published tile."""
    cube, fmask, published = wofs_tile(data_dir)
    found = mask(cube, cloud=fmask == 2, cloud_shadow=fmask == 3)
    flags, observed = found["flags"].values, (published & 1) == 0
    np.testing.assert_array_equal((flags & 128)[observed], (published & 128)[observed])
    rows, cols = np.mgrid[-4:5, -4:5]
    disc = rows**2 + cols**2 <= 3.5**2
    for name, value in (("cloud", 2), ("cloud_shadow", 3)):
        grown = binary_dilation((fmask == value).values.squeeze(), disc).reshape(flags.shape)
        np.testing.assert_array_equal((flags & bitmask([name])) > 0, grown)
    clear = np.isfinite(cube["blue"].values) & (published & 127 == 0)
    seen = found["water"].values != 255
    assert 0 < (clear & seen).sum() < clear.sum()
    assert not (seen & ~clear & observed & np.isfinite(cube["blue"].values)).any()
    np.testing.assert_array_equal(found["water"].values[clear & seen], (published[clear & seen] == 128).astype("uint8"))


@pytest.mark.parametrize("method", ["indices", "cluster"])
def test_other_methods_on_the_published_tile(data_dir, method):
    """Where the tree is sure, the other methods find nine tenths of its water, and little else."""
    cube, fmask, published = wofs_tile(data_dir)
    found = mask(cube, method, cloud=fmask == 2, cloud_shadow=fmask == 3, grow=0)
    clear = np.isfinite(cube["blue"].values) & (published & 127 == 0)
    truth, wet = published[clear] == 128, found["water"].values[clear] == 1
    assert (truth & wet).sum() >= 0.9 * truth.sum()
    assert (truth & wet).sum() > 0.9 * (truth | wet).sum()


@pytest.mark.parametrize(
    ("method", "options"),
    [("wofs", {}), ("cluster", {}), *(("indices", {"index": name}) for name in
     ("ndwi", "mndwi", "awei_nsh", "awei_sh", "wi2015", "mbwi"))],
)  # fmt: skip
def test_simulated_lake(method, options):
    """Of a simulated lake on two dates, water is found with an intersection over union of at least 0.95."""
    region = Region(seed=4, size=120)
    truth = region.land.share(Cover.WATER) > 0.5
    for day in ("2023-05-10", "2023-09-02"):
        bands = {name: (("y", "x"), region.reflectance(name, day)) for name in BANDS}
        assert overlap(mask(placed(xr.Dataset(bands)), method, **options), truth) >= 0.95


@pytest.mark.parametrize(("seed", "day"), [(2, "2023-09-02"), (4, "2023-05-10"), (6, "2023-07-14")])
def test_simulated_lake_under_clouds(seed, day):
    """As a satellite sees it, with clouds masked by their truth, what is clear keeps 0.95."""
    region = Region(seed=seed, size=120)
    sky = sky_of(region, day)
    hidden = {"cloud": sky.cloud + sky.cirrus > 0.05, "cloud_shadow": sky.shadow > 0.05}
    cube = placed(xr.Dataset({name: (("y", "x"), seen_reflectance(region, name, day)) for name in BANDS}))
    arrays = {name: xr.DataArray(values, dims=("y", "x")) for name, values in hidden.items()}
    found = mask(cube, "wofs", grow=1.0, tests=(), **arrays)
    clear = found["water"].values != 255
    truth = region.land.share(Cover.WATER) > 0.5
    assert (truth & clear).sum() > 500
    assert (truth & ~clear).sum() > 300
    assert overlap(found, truth & clear) >= 0.95


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_lazy_stays_lazy_and_equal(method, options):
    """Nothing is computed early, chunks stay, and any cut gives the same bits, threshold included."""
    cube = scene(lake(), seed=1)
    whole = mask(cube, method, near_land=60.0, **options)
    with dask.config.set(scheduler=raising):
        lazy = mask(cube.chunk(y=17, x=23), method, near_land=60.0, **options)
    assert lazy["flags"].chunks == cube.chunk(y=17, x=23)["red"].chunks
    again = mask(cube.chunk(y=17, x=23), method, near_land=60.0, **options)
    assert dict(lazy["flags"].data.dask).keys() == dict(again["flags"].data.dask).keys()
    xr.testing.assert_identical(lazy.compute(), whole)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(METHODS), st.integers(8, 40), st.integers(8, 40), st.integers(0, 9))
def test_cuts_never_matter(how, rows, cols, seed):
    """Whatever the chunks: the same flags, with clouds grown over their borders."""
    method, options = how
    cube = scene(lake(31, 37), seed=seed)
    cloud = xr.DataArray(np.random.default_rng(seed).random((31, 37)) < 0.01, dims=("y", "x"))
    whole = mask(cube, method, cloud=cloud, **options)
    parts = mask(cube.chunk(y=rows, x=cols), method, cloud=cloud.chunk(y=rows, x=cols), **options)
    np.testing.assert_array_equal(parts["flags"].values, whole["flags"].values)


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize("lazy", [False, True])
def test_dates_are_masked_apart(method, options, lazy):
    """A cube over time gives for each date what that date gives alone."""
    dates = [scene(lake(), seed=2), scene(~lake(), seed=3), scene(np.zeros((60, 70), bool), seed=4)]
    cube = xr.concat(dates, xr.DataArray(np.array(["2023-01-01", "2023-02-01", "2023-03-01"], "M8[ns]"), dims="time"))
    cloud = xr.DataArray(np.random.default_rng(0).random((3, 60, 70)) < 0.005, dims=("time", "y", "x"))
    facts = {"sun_elevation": [40.0, 5.0, 40.0], "cloud": cloud, **options}
    found = mask(cube.chunk(time=2, y=25) if lazy else cube, method, **facts)
    assert found["water"].dims == ("time", "y", "x")
    for number, date in enumerate(dates):
        alone = mask(
            date, method, **(facts | {"sun_elevation": facts["sun_elevation"][number], "cloud": cloud[number]})
        )
        np.testing.assert_array_equal(found["flags"][number].values, alone["flags"].values)
        if "threshold" in alone:
            assert float(found["threshold"][number]) == float(alone["threshold"])


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_no_water_and_nothing_else(method, options):
    """A scene of land alone is dry, one of water alone is wet: both are answers."""
    assert (mask(scene(np.zeros((40, 40), bool)), method, **options)["water"] == 0).all()
    assert (mask(scene(np.ones((40, 40), bool)), method, **options)["water"] == 1).all()


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_nothing_seen(method, options):
    """A scene without a value has no data anywhere, and one pixel is enough for a scene."""
    empty = mask(scene(lake()) * np.nan, method, **options)
    assert (empty["water"] == 255).all()
    assert (empty["flags"] == 1 << BITS["nodata"]).all()
    assert mask(scene(np.ones((1, 2), bool)), method, **options)["water"].values.tolist() == [[1, 1]]


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_absurd_values(method, options, kind):
    """Infinite and huge values, and zeros, spoil their pixels alone, without a warning."""
    cube = scene(lake(), seed=7).astype(kind)
    absurd = np.zeros((60, 70), bool)
    absurd[3, :5] = absurd[30, 33:38] = True
    for value in (np.inf, -np.inf, 1e30, -1e30, 0.0):
        found = mask(cube.where(~absurd, value), method, **options)
        np.testing.assert_array_equal(found["water"].values[~absurd], lake()[~absurd])


@pytest.mark.parametrize("index", ["mndwi", "ndwi", "awei_sh"])
def test_little_water_is_found(index):
    """Water of 2 % of the scene is found whole, and so is land of 2 %."""
    wet = np.zeros((100, 100), bool)
    wet[40:50, 40:60] = True
    for truth in (wet, ~wet):
        assert overlap(mask(scene(truth), "indices", index=index), truth) == 1.0


def test_flags_of_pixels():
    """Each spoilt pixel has its flag; what says nothing about water leaves its class."""
    cube = scene(np.ones((1, 8), bool), spread=0)
    changed = {name: cube[name].values.copy() for name in BANDS}
    changed["red"][0, 1] = np.nan
    changed["green"][0, 2] = 1.7
    for name in BANDS:
        changed[name][0, 3] = np.nan
    changed["blue"][0, 4] = -0.002
    for name, value in zip(BANDS, (0.7, 0.7, 0.7, 0.6, 0.1, 0.1), strict=True):
        changed[name][0, 5] = value
    for name, value in zip(BANDS, (0.14, 0.10, 0.08, 0.06, 0.05, 0.05), strict=True):
        changed[name][0, 6] = value
    cloud = xr.DataArray(np.arange(8)[None] == 7, dims=("y", "x"))
    found = mask(cube.assign({name: (("y", "x"), values) for name, values in changed.items()}), cloud=cloud, grow=0)
    names = [{name for name, bit in BITS.items() if int(value) >> bit & 1} for value in found["flags"].values[0]]
    expected = [
        {"wet"}, {"contiguity"}, {"contiguity"}, {"nodata"}, {"wet", "negative"}, {"ice"}, {"wet", "haze"},
        {"wet", "cloud"},
    ]  # fmt: skip
    assert [one - {"wet"} for one in names] == [one - {"wet"} for one in expected]
    assert [number for number in (0, 4, 7) if "wet" not in names[number]] == []
    assert found["water"].values[0].tolist()[:6] == [1, 255, 255, 255, 1, 255]
    assert found["water"].values[0, 7] == 255


def test_tests_can_be_left_out():
    """Without the test for ice, snow has no flag for it."""
    cube = placed(xr.Dataset({name: (("y", "x"), np.full((1, 1), value)) for name, value in
                              zip(BANDS, (0.7, 0.7, 0.7, 0.6, 0.1, 0.1), strict=True)}).expand_dims({}))  # fmt: skip
    cube = cube.isel(x=[0, 0], y=[0, 0]).drop_vars(["x", "y"]).pipe(placed)
    assert (mask(cube)["flags"] & bitmask(["ice"])).all()
    assert not (mask(cube, tests=())["flags"] & bitmask(["ice"])).any()


def test_turbid_water_is_no_ice():
    """Water full of sediment, bright in the near infrared, is not taken for ice."""
    values = dict(zip(BANDS, (0.10, 0.16, 0.20, 0.15, 0.01, 0.005), strict=True))
    cube = placed(xr.Dataset({name: (("y", "x"), np.full((2, 2), value)) for name, value in values.items()}))
    assert (mask(cube, "indices")["water"] == 1).all()


def test_cirrus_band():
    """Where there is a cirrus band, it tells haze."""
    cube = scene(np.ones((2, 2), bool)).assign(cirrus=(("y", "x"), np.array([[0.0, 0.01], [0.002, np.nan]])))
    hazy = mask(cube)["flags"].values & bitmask(["haze"]) > 0
    assert hazy.tolist() == [[False, True], [False, False]]


def test_clouds_grow_by_a_disc():
    """A cloud of one pixel hides the pixels whose centres lie within 3.5 pixels of it."""
    cloud = np.zeros((11, 11), np.uint8)
    cloud[5, 5] = 1
    cube = scene(np.ones((11, 11), bool)).assign(cloud=(("y", "x"), cloud))
    y, x = np.mgrid[-5:6, -5:6]
    found = mask(cube, cloud="cloud", cloud_shadow=xr.DataArray(cloud[::-1] * 0, dims=("y", "x")))
    np.testing.assert_array_equal(found["water"].values == 255, y**2 + x**2 <= 3.5**2)


def test_near_land():
    """Water closer to the shore than given is flagged, and stays water."""
    wet = np.ones((20, 20), bool)
    wet[:, 0] = False
    found = mask(scene(wet), near_land=35.0)
    near = found["flags"].values & bitmask(["near_land"]) > 0
    np.testing.assert_array_equal(near, np.isin(np.arange(20), [1, 2, 3]) & np.ones((20, 1), bool))
    assert (found["water"].values == wet).all()


def test_near_infrared_of_either_name():
    """A sensor with nir08 alone gives what nir gives, and declared nodata is missing."""
    cube = scene(lake())
    other = mask(cube.rename(nir="nir08"))
    xr.testing.assert_identical(other, mask(cube))
    with_nodata = cube.assign(red=cube["red"].where(lake(), -1.0).assign_attrs(nodata=-1.0))
    assert ((mask(with_nodata)["water"] == 255) == ~lake()).all()


def test_given_and_published_thresholds():
    """A threshold may be given or taken from the literature; the result says which it was."""
    cube = scene(lake())
    given = mask(cube, "indices", index="ndwi", threshold=2.0)
    assert (given["water"] == 0).all()
    assert (float(given["threshold"]), given["threshold"].attrs["method"]) == (2.0, "given")
    published = mask(cube.chunk(y=20), "indices", index="wi2015", threshold="published")
    assert float(published["threshold"]) == 0.63
    assert published["threshold"].attrs["method"] == "published"
    assert mask(cube, "indices")["threshold"].attrs["method"] == "balanced Otsu"


def test_bad_input_is_refused():
    """What is missing or wrong is named before anything is computed."""
    cube = scene(lake())
    with pytest.raises(InputError, match="swir22") as caught:
        mask(cube.drop_vars("swir22"))
    assert caught.value.where == "swir22"
    for options in (
        {"method": "magic"}, {"index": "magic"}, {"threshold": "magic"}, {"threshold": float("nan")}, {"grow": -1.0},
        {"tests": ("magic",)}, {"tests": "ice"}, {"seed": -1}, {"sun_azimuth": 10.0}, {"cloud": "magic"},
        {"cloud": cube["red"][:3]}, {"sun_elevation": 100.0}, {"sun_elevation": [10.0, 20.0]}, {"near_land": 1e9},
    ):  # fmt: skip
        with pytest.raises(InputError):
            mask(cube, **options)
    with pytest.raises(InputError, match="no such option") as caught:
        mask(cube, "wofs", indx="ndwi")
    assert (caught.value.where, "near_land" in caught.value.expected) == ("indx", True)
    none = cube.expand_dims(time=1).isel(time=slice(0))
    for wrong in (cube.assign_attrs(quantity="rrs"), cube * 10_000, cube.astype(int), cube.isel(y=0), none):
        with pytest.raises(InputError):
            mask(wrong)
    with pytest.raises(MetadataError):
        mask(cube, dem=placed(cube[["red"]].isel(y=slice(10)).drop_vars(["x", "y"]))["red"].assign_attrs(units="m"))
    assert mask(cube.assign_attrs(quantity="rhow"))["water"].attrs["flag_meanings"] == "dry wet no_data"


def test_water_follows_from_flags():
    """The class of a pixel is what its flags say: no data under any that hides it, else the bit for water."""
    cube = scene(lake(), seed=6)
    cloud = xr.DataArray(np.random.default_rng(1).random((60, 70)) < 0.02, dims=("y", "x"))
    found = mask(cube.where(np.random.default_rng(2).random((60, 70)) < 0.9), cloud=cloud)
    flags = found["flags"].values
    unclear = flags & bitmask(UNCLEAR) > 0
    np.testing.assert_array_equal(found["water"].values, np.where(unclear, 255, flags >> 7 & 1))
