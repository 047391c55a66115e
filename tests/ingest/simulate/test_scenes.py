"""Scenes as files: what can be recovered from them, and how they are written."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
import referencing
from referencing.jsonschema import DRAFT7
from shapely.geometry import box, shape

from terracube.core.errors import InputError
from terracube.core.sensors import resolve_radiometry
from terracube.ingest.simulate import BANDS, Region, acquisition_dates, seen_reflectance, sky_of, swath_of, write_scenes
from terracube.ingest.simulate.fields import block_mean
from terracube.ingest.simulate.sensor import SENSOR, noise_std

REGION = Region(seed=31, size=180)
ALL = acquisition_dates(every=2)


def _first(test) -> date:
    return next(day for day in ALL if test(day))


CLEAR = _first(
    lambda d: (
        sky_of(REGION, d).cloud.mean() < 0.02
        and not sky_of(REGION, d).cirrus.any()
        and swath_of(REGION, d).edge is None
    )
)
MIXED = _first(
    lambda d: (
        0.2 < sky_of(REGION, d).cloud.mean() < 0.5
        and sky_of(REGION, d).shift[0] > -60
        and not sky_of(REGION, d).cirrus.any()
        and swath_of(REGION, d).edge is None
    )
)
CUT = _first(lambda d: swath_of(REGION, d).edge is not None and sky_of(REGION, d).cloud.mean() < 0.6)
DATES = (CLEAR, MIXED, CUT)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[date, str], Path]:
    """Three dates of two tiles, by date and tile."""
    paths = write_scenes(REGION, tmp_path_factory.mktemp("scenes"), dates=DATES)
    keys = [(day, tile.name) for day in DATES for tile in REGION.tiles]
    return dict(zip(keys, paths, strict=True))


def read(item: Path, key: str) -> tuple[np.ndarray, dict]:
    """Read an asset as the item describes it."""
    with rasterio.open(item.parent / load(item)["assets"][key]["href"]) as source:
        return source.read(1), source.profile


def load(item: Path) -> dict:
    """Read an item."""
    return json.loads(item.read_text(encoding="utf-8"))


def reflectance(item: Path, band: str) -> np.ndarray:
    """Scale numbers as for a real scene: by the sensor's rules and the item's words; NaN where there is no data."""
    content = load(item)
    told = content["assets"][band]["raster:bands"][0]
    rule = resolve_radiometry(SENSOR, content["properties"], scale=told["scale"], offset=told["offset"], where="test")
    numbers, _ = read(item, band)
    return np.where(numbers == 0, np.nan, numbers * rule.scale + rule.offset)


def clear_share(tile: int, band: str) -> np.ndarray:
    """Pixels of a band that nothing hides on the clear day."""
    sky, factor = sky_of(REGION, CLEAR), BANDS[band].resolution // 10
    hidden = block_mean(sky.cloud + sky.shadow + sky.cirrus, factor)
    rows = REGION.tiles[tile].slice
    return hidden[rows.start // factor : rows.stop // factor] == 0


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("tile", [0, 1])
def test_clear_pixels_carry_the_truth(items: dict, band: str, tile: int) -> None:
    """Numbers give back the true reflectance: unbiased but for the date's haze, spread as the noise says."""
    known, where = BANDS[band], REGION.tiles[tile]
    factor = known.resolution // 10
    truth = block_mean(REGION.reflectance(band, CLEAR), factor)[
        where.slice.start // factor : where.slice.stop // factor
    ]
    haze = sky_of(REGION, CLEAR).haze * (known.centre / 550) ** -1.3
    clear = clear_share(tile, band)
    error = (reflectance(items[CLEAR, where.name], band) - truth - haze) / noise_std(truth, REGION.noise)
    count = clear.sum()
    assert count > 200
    assert abs(error[clear].mean()) < 4.5 / np.sqrt(count)
    assert error[clear].std() == pytest.approx(1.0, abs=0.01 + 4 / np.sqrt(2 * count))


def test_haze_averages_out() -> None:
    """Over many dates the haze left in has no bias, and its spread is the one stated."""
    haze = np.array([sky_of(Region(seed=1, size=90), day).haze for day in acquisition_dates(every=4)])
    assert abs(haze.mean()) < 3 * REGION.noise.aerosol / np.sqrt(len(haze))


def test_overlap_agrees_within_noise(items: dict) -> None:
    """Both tiles of a date show the same ground in their overlap: equal but for independent noise."""
    north, south = REGION.tiles
    common = north.slice.stop - south.first_row
    a = reflectance(items[CLEAR, north.name], "red")[-common:]
    b = reflectance(items[CLEAR, south.name], "red")[:common]
    spread = noise_std(REGION.reflectance("red", CLEAR)[south.first_row : north.slice.stop], REGION.noise)
    ratio = (a - b) / spread
    clear = clear_share(0, "red")[-common:]
    assert ratio[clear].std() == pytest.approx(np.sqrt(2), rel=0.03)
    assert abs(ratio[clear].mean()) < 4.5 * np.sqrt(2 / clear.sum())
    assert not np.array_equal(a, b)
    assert np.array_equal(
        read(items[MIXED, north.name], "scl")[0][-common // 2 :],
        read(items[MIXED, south.name], "scl")[0][: common // 2],
    )


@pytest.mark.parametrize("day", DATES)
def test_cloud_cover_is_counted_from_the_classification(items: dict, day: date) -> None:
    """``eo:cloud_cover`` is the percentage of seen pixels in the three cloud classes; all shares agree with SCL."""
    for tile in REGION.tiles:
        content, scl = load(items[day, tile.name])["properties"], read(items[day, tile.name], "scl")[0]
        seen = (scl > 0).sum()
        assert content["eo:cloud_cover"] == pytest.approx(100 * np.isin(scl, [8, 9, 10]).sum() / seen, abs=1e-5)
        assert content["s2:water_percentage"] == pytest.approx(100 * (scl == 6).sum() / seen, abs=1e-5)
        assert content["s2:nodata_pixel_percentage"] == pytest.approx(100 * (scl == 0).mean(), abs=1e-5)


def test_shadows_in_the_files_lie_away_from_the_sun(items: dict) -> None:
    """The shadow map of the files fits the cloud map moved away from the sun, by the item's angle."""
    scl = read(items[MIXED, "33TSM"], "scl")[0]
    cloud, shadow = np.isin(scl, [8, 9]), scl == 3
    azimuth = np.radians(load(items[MIXED, "33TSM"])["properties"]["view:sun_azimuth"])

    def match(length: int, bearing: float) -> float:
        move = round(-length * np.cos(bearing)), round(length * np.sin(bearing))
        outside = np.ones_like(cloud)
        outside[tuple(slice(max(n, 0), n + min(-n, 0) or None) for n in move)] = False
        open_ground = ~cloud & ~outside
        return float(np.corrcoef(np.roll(cloud, move, (0, 1))[open_ground], shadow[open_ground])[0, 1])

    lengths = range(8, 40)
    away, towards = (max(match(n, azimuth + turn) for n in lengths) for turn in (np.pi, 0.0))
    best = max(lengths, key=lambda n: match(n, azimuth + np.pi))
    assert away > 0.7 > 0.4 > towards
    assert best == pytest.approx(np.hypot(*sky_of(REGION, MIXED).shift) / 2, abs=2)


def test_grids_nest(items: dict) -> None:
    """All thirteen files of a scene cover the same ground on 10, 20 and 60 m, as the item says."""
    for (_, name), item in items.items():
        tile = next(t for t in REGION.tiles if t.name == name)
        content = load(item)
        for key in [*BANDS, "scl"]:
            asset, (numbers, profile) = content["assets"][key], read(item, key)
            size = 20 if key == "scl" else BANDS[key].resolution
            grid = REGION.transform(size, first_row=tile.first_row)
            assert profile["transform"] == grid
            assert list(grid)[:6] == asset["proj:transform"]
            assert numbers.shape == tuple(asset["proj:shape"]) == (tile.rows * 10 // size, REGION.size * 10 // size)
            assert profile["crs"].to_epsg() == content["properties"]["proj:epsg"]


def test_edge_of_the_swath(items: dict) -> None:
    """Beyond the edge all files say no data, at every resolution; the footprint is the part that was seen."""
    for tile in REGION.tiles:
        item = items[CUT, tile.name]
        seen = swath_of(REGION, CUT).mask(REGION.size)[tile.slice]
        assert 0 < seen.mean() < 1
        for key, factor in (("red", 1), ("nir08", 2), ("scl", 2), ("coastal", 6)):
            whole = block_mean(seen.astype(float), factor) == 1
            assert np.array_equal(read(item, key)[0] > 0, whole)
        content = load(item)
        full = shape(load(items[CLEAR, tile.name])["geometry"])
        part = shape(content["geometry"])
        assert part.area / full.area == pytest.approx(seen.mean(), abs=0.01)
        assert content["properties"]["s2:nodata_pixel_percentage"] == pytest.approx(100 * (1 - seen.mean()), abs=3)


def test_files_are_cloud_optimised(items: dict) -> None:
    """Tiled, deflated, with nodata 0, and with overviews on the finer grids."""
    item = items[CLEAR, "33TSM"]
    for key in ("red", "scl"):
        with rasterio.open(item.parent / load(item)["assets"][key]["href"]) as source:
            assert source.profile["tiled"]
            assert source.profile["blockxsize"] == 512
            assert source.compression.name == "deflate"
            assert source.nodata == 0
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert bool(source.overviews(1)) == (key == "red")
            assert source.dtypes[0] == ("uint16" if key == "red" else "uint8")


def test_items_are_stac(items: dict) -> None:
    """pystac reads the items; the id names satellite, tile and date; the geometry lies where the grid does."""
    for (day, name), path in items.items():
        item = pystac.Item.from_file(path)
        satellite = item.properties["platform"][-1].upper()
        assert item.id == path.stem == f"S2{satellite}_{name}_{day:%Y%m%d}_0_L2A"
        assert item.collection_id == "sentinel-2-l2a"
        assert item.datetime is not None
        assert item.datetime.date() == day
        assert set(item.assets) == {*BANDS, "scl"}
        assert "not a measurement" in item.properties["title"]
        longitude, latitude = REGION.lonlat
        assert box(*item.bbox).buffer(0.02).contains(shape(item.geometry))
        assert box(*item.bbox).distance(shape({"type": "Point", "coordinates": [longitude, latitude]})) < 0.01
        assert item.properties["view:sun_elevation"] == pytest.approx(REGION.sun(day).elevation, abs=1e-3)


def test_items_are_valid(items: dict, schema_dir: Path) -> None:
    """Items satisfy the schemas of STAC and of the extensions they name."""

    def retrieve(address: str) -> referencing.Resource:
        file = schema_dir / address.removeprefix("https://").removeprefix("http://").rstrip("#")
        return referencing.Resource.from_contents(json.loads(file.read_text()), default_specification=DRAFT7)

    content = load(items[CUT, "33TSL"])
    core = "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json"
    registry = referencing.Registry(retrieve=retrieve)
    for address in [core, *content["stac_extensions"]]:
        jsonschema.Draft7Validator({"$ref": address}, registry=registry).validate(content)
    collection = json.loads((items[CUT, "33TSL"].parent.parent / "collection.json").read_text())
    pystac.Collection.from_dict(collection)
    schema = {"$ref": core.replace("item", "collection")}
    jsonschema.Draft7Validator(schema, registry=registry).validate(collection)


def test_same_form_as_real_items(items: dict, data_dir: Path) -> None:
    """Every word of a simulated band stands in a real item too, with a value of the same kind."""
    real = json.loads(next((data_dir / "sentinel2-l2a/33TWM").rglob("S2*.json")).read_text())
    mine = load(items[CLEAR, "33TSM"])
    for key in [*BANDS, "scl"]:
        assert set(mine["assets"][key]) <= set(real["assets"][key]), key
    for word in ("common_name", "center_wavelength", "full_width_half_max"):
        told = [item["assets"]["swir16"]["eo:bands"][0][word] for item in (mine, real)]
        assert told[0] == told[1]
    ours = {"title", "terracube:simulation"}
    assert set(mine["properties"]) - ours <= set(real["properties"])


def test_any_choice_and_order_gives_the_same_bits(items: dict, tmp_path: Path) -> None:
    """One date alone, with several workers, gives the files that the whole series gave."""
    again = write_scenes(Region(seed=31, size=180), tmp_path, dates=[MIXED.isoformat(), CLEAR], jobs=2)
    assert [p.stem for p in again] == [items[d, t.name].stem for d in (MIXED, CLEAR) for t in REGION.tiles]
    for path in again:
        first = items[MIXED if f"{MIXED:%Y%m%d}" in path.stem else CLEAR, path.stem.split("_")[1]]
        for file in path.parent.iterdir():
            assert file.read_bytes() == (first.parent / file.name).read_bytes()


def test_written_once(tmp_path: Path) -> None:
    """What is there is left alone; what is missing is made again to the bit; another region replaces it."""
    region = Region(seed=1, size=90)
    path = write_scenes(region, tmp_path, dates=["2023-06-05"])[0]
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in path.parent.iterdir()}
    write_scenes(region, tmp_path, dates=["2023-06-05"])
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in path.parent.iterdir()} == before
    (path.parent / "B08.tif").unlink()
    write_scenes(region, tmp_path, dates=["2023-06-05"])
    assert {p: p.read_bytes() for p in path.parent.iterdir()} == {p: b for p, (_, b) in before.items()}
    write_scenes(Region(seed=2, size=90), tmp_path, dates=["2023-06-05"])
    assert path.read_bytes() != before[path][1]
    assert not list(tmp_path.rglob(".writing-*"))


def test_no_workers_is_refused(tmp_path: Path) -> None:
    """At least one worker is needed."""
    with pytest.raises(InputError, match="no workers"):
        write_scenes(REGION, tmp_path, jobs=0)


def test_seen_through_noise_free_sky() -> None:
    """What reaches the satellite is float32 on the 10 m grid, for every band."""
    for band in ("blue", "swir22"):
        assert seen_reflectance(REGION, band, CLEAR).dtype == np.float32
        assert seen_reflectance(REGION, band, CLEAR).shape == (REGION.size, REGION.size)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"properties": {}}', "\ufffd{"])
def test_a_broken_item_is_written_again(tmp_path: Path, content: str) -> None:
    """An item file that holds something else does not pass for a finished scene."""
    region = Region(seed=1, size=90)
    path = write_scenes(region, tmp_path, dates=["2023-06-05"])[0]
    whole = path.read_bytes()
    path.write_text(content)
    write_scenes(region, tmp_path, dates=["2023-06-05"])
    assert path.read_bytes() == whole


def test_every_fifteen_days_by_default() -> None:
    """Without dates a year is simulated: 25 dates, at least one cut by the swath and some nearly clear."""
    days = acquisition_dates()
    region = Region()
    assert len(days) == 25
    assert any(swath_of(region, day).edge is not None for day in days)
    assert sum(sky_of(region, day).cloud.mean() < 0.1 for day in days) >= 3
