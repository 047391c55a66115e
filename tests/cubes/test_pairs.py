"""Stacks of interferograms: the cube (pair, y, x) is what the files hold, in the order of the dates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from terracube.core.errors import InputError, MetadataError, NotFoundError
from terracube.cubes.pairs import SIGN, load_pairs

PLACE = Affine(80.0, 0.0, 600000.0, 0.0, -80.0, 4100000.0)
FIRST = datetime(2018, 1, 6, 0, 40, 21, tzinfo=UTC)
SHAPE = (5, 7)
PAIRS = ((0, 12), (0, 24), (12, 24), (24, 36))


def write(path, values, *, nodata=np.nan, transform=PLACE):
    """Write a small GeoTIFF."""
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1]}
    kind = {"dtype": values.dtype.name, "crs": "EPSG:32633", "transform": transform, "nodata": nodata}
    with rasterio.open(path, "w", **profile, **kind) as out:
        out.write(values, 1)


def moment(days):
    """A moment as STAC writes it."""
    return (FIRST + timedelta(days=days)).isoformat().replace("+00:00", "Z")


def phase(first, second):
    """Phases that tell which pair they are of; one is missing, one is zero."""
    values = np.full(SHAPE, 100.0 * first + second, "float32") + np.arange(7, dtype="float32")
    values[0, 0] = np.nan
    values[1, 1] = 0
    return values


@pytest.fixture
def make(tmp_path):
    """Make the item of a pair, or of a geometry."""

    def item(name, layers, **properties):
        folder = tmp_path / name
        folder.mkdir()
        assets = {}
        for key, (values, nodata) in layers.items():
            write(folder / f"{key}.tif", values, nodata=nodata)
            assets[key] = {"href": f"./{key}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
            if values.dtype == "uint8":
                assets[key]["raster:bands"] = [{"scale": 1 / 255, "offset": 0, "nodata": 0}]
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": "stack",
            "geometry": None,
            "bbox": [16, 37, 17, 38],
            "properties": properties,
            "links": [{"rel": "self", "href": str(folder / f"{name}.json")}],
            "assets": assets,
        }

    return item


@pytest.fixture
def pair(make):
    """Make the item of a pair of days, counted from the first date."""

    def item(first, second, *, name=None, **told):
        coherence = np.full(SHAPE, 51 * (1 + second // 12), "uint8")
        coherence[0, 0] = 0
        properties = {
            "datetime": moment(second),
            "terracube:insar": "pair",
            "terracube:phase_sign": SIGN,
            "terracube:wavelength": 0.0555,
            "insar:reference_datetime": moment(first),
            "insar:secondary_datetime": moment(second),
            "insar:perpendicular_baseline": 1.5 * first - second,
            "sar:looks_range": 8,
            "sar:looks_azimuth": 2,
        } | told
        kept = {key: value for key, value in properties.items() if value is not None}
        layers = {"unwrapped_phase": (phase(first, second), np.nan), "coherence": (coherence, 0)}
        return make(name or f"p{first:02d}-{second:02d}", layers, **kept)

    return item


@pytest.fixture
def geometry(make):
    """Make the item of the geometry of the stack."""

    def item(name="geometry", **told):
        layers = {"dem": (np.full(SHAPE, 300, "int16"), 0), "los_up": (np.full(SHAPE, 0.75, "float32"), np.nan)}
        properties = {"datetime": moment(36), "terracube:insar": "geometry"} | told
        return make(name, layers, **properties)

    return item


@pytest.fixture
def stack(pair):
    """Four pairs of four dates."""
    return [pair(*days) for days in PAIRS]


def test_cube(stack):
    """Phases, scaled coherence, dates and baselines, ordered by reference and secondary date, whatever came first."""
    cube = load_pairs(reversed(stack))
    assert dict(cube.sizes) == {"pair": 4, "y": 5, "x": 7}
    assert cube.unwrapped_phase.chunks is not None
    assert cube.unwrapped_phase.dims == ("pair", "y", "x")
    expected = np.stack([phase(*days) for days in PAIRS])
    np.testing.assert_array_equal(cube.unwrapped_phase.values, expected)
    assert cube.unwrapped_phase.dtype == "float32"
    np.testing.assert_allclose(cube.coherence.values[:, 2, 2], [0.4, 0.6, 0.6, 0.8], rtol=1e-6)
    assert np.isnan(cube.coherence.values[:, 0, 0]).all()
    dates = [[moment(day)[:-1] for day in days] for days in PAIRS]
    np.testing.assert_array_equal(cube.reference_time.values, np.array([d[0] for d in dates], "datetime64[ns]"))
    np.testing.assert_array_equal(cube.secondary_time.values, np.array([d[1] for d in dates], "datetime64[ns]"))
    assert cube.perpendicular_baseline.values.tolist() == [-12, -24, -6, 0]
    assert cube.perpendicular_baseline.attrs["units"] == "m"
    assert cube.pair.values[0] == "20180106_20180118"
    assert cube.attrs["wavelength"] == 0.0555
    assert cube.attrs["phase_sign"] == SIGN
    assert (cube.attrs["looks_range"], cube.attrs["looks_azimuth"], cube.attrs["looks"]) == (8, 2, 16)
    assert json.loads(cube.attrs["terracube:cube"])["items"] == [[f"p{a:02d}-{b:02d}"] for a, b in PAIRS]
    assert cube.rio.crs.to_epsg() == 32633


def test_blocks_do_not_matter(stack):
    """Values do not depend on blocks, nor on whether they are read at once."""
    whole = load_pairs(stack, chunks=None)
    pieces = load_pairs(stack, chunks={"pair": 1, "y": 2, "x": 3})
    assert pieces.unwrapped_phase.chunksizes["pair"] == (1, 1, 1, 1)
    xr.testing.assert_identical(whole, pieces.compute())


def test_part_of_it(stack):
    """A box of the stack: other options of loading hold."""
    box = (600080, 4099840, 600240, 4100000)
    cube = load_pairs(stack, ["unwrapped_phase"], bbox=box, bbox_crs="EPSG:32633", crs="EPSG:32633", resolution=80)
    np.testing.assert_array_equal(cube.unwrapped_phase.values[1], phase(0, 24)[:2, 1:3])
    assert "coherence" not in cube


def test_static_layers(stack, geometry):
    """What does not change has no pair axis; it is taken from the geometry among the items."""
    cube = load_pairs([geometry(), *stack], static=["dem", "los_up"], chunks={"pair": 2, "x": 4, "y": 4})
    assert cube.dem.dims == ("y", "x")
    np.testing.assert_array_equal(cube.dem.values, 300)
    np.testing.assert_array_equal(cube.los_up.values, np.float32(0.75))
    assert cube.sizes["pair"] == 4
    with pytest.raises(NotFoundError, match="'los_east'"):
        load_pairs(stack, static=["los_east"])
    with pytest.raises(NotFoundError, match="'dem'"):
        load_pairs([*stack, geometry("g1"), geometry("g2")], static=["dem"])


def test_static_layers_of_the_pairs(stack):
    """Pairs that carry their geometry give it: that of the first."""
    cube = load_pairs(stack, ["unwrapped_phase"], static=["coherence"])
    assert cube.coherence.dims == ("y", "x")
    assert cube.coherence.values[2, 2] == pytest.approx(0.4)


def test_one_pair(pair):
    """A stack of one; a baseline that is not told is NaN, and looks that are not told are not there."""
    told = {"insar:perpendicular_baseline": None, "sar:looks_range": None, "terracube:wavelength": None}
    cube = load_pairs([pair(0, 12, **told, **{"sar:center_frequency": 5.405})])
    assert np.isnan(cube.perpendicular_baseline.values).all()
    assert "looks" not in cube.attrs
    assert cube.attrs["looks_azimuth"] == 2
    assert cube.attrs["wavelength"] == pytest.approx(299792458 / 5.405e9)


def test_looks(pair):
    """An equivalent number of looks is taken before the product; looks that differ are not told."""
    same = [pair(0, 12, **{"sar:looks_equivalent_number": 9.5}), pair(12, 24, **{"sar:looks_equivalent_number": 9.5})]
    assert load_pairs(same).attrs["looks"] == 9.5
    assert "looks" not in load_pairs([same[0], pair(24, 36)]).attrs


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"insar:reference_datetime": None, "terracube:insar": None}, InputError, "no interferogram"),
        ({"insar:reference_datetime": None}, MetadataError, "date of the pair"),
        ({"insar:reference_datetime": "2018-01-06"}, MetadataError, "date of the pair"),
        ({"insar:reference_datetime": moment(12)}, MetadataError, "equal or reversed"),
        ({"insar:reference_datetime": moment(24)}, MetadataError, "equal or reversed"),
        ({"terracube:phase_sign": None}, MetadataError, "sign of the phase"),
        ({"terracube:phase_sign": "up"}, MetadataError, "sign of the phase"),
        ({"terracube:wavelength": None}, MetadataError, "wavelength is not told"),
        ({"terracube:wavelength": "5.5 cm"}, MetadataError, "no number"),
        ({"terracube:wavelength": 0.24}, MetadataError, "several wavelengths"),
        ({"insar:perpendicular_baseline": "far"}, MetadataError, "no number"),
    ],
)
def test_bad_items(pair, change, error, what):
    """What is missing or contradicts the rest is told with the item."""
    with pytest.raises(error, match=what) as told:
        load_pairs([pair(0, 24, **{"sat:relative_orbit": 5}), pair(0, 12, name="bad", **change)])
    assert "bad" in str(told.value)


def test_no_stack(pair, geometry):
    """Two tracks, a pair that comes twice, equal ids, and no pair at all are refused."""
    one = pair(0, 12, **{"sat:relative_orbit": 5, "sat:orbit_state": "ascending"})
    with pytest.raises(MetadataError, match="several tracks"):
        load_pairs([one, pair(12, 24, **{"sat:relative_orbit": 7})])
    with pytest.raises(MetadataError, match="several tracks"):
        load_pairs([one, pair(24, 36, **{"sat:orbit_state": "descending"})])
    with pytest.raises(InputError, match="comes twice"):
        load_pairs([one, pair(0, 12, name="again")])
    with pytest.raises(InputError, match="one id"):
        load_pairs([one, one])
    with pytest.raises(InputError, match="no pair"):
        load_pairs([geometry()])
    with pytest.raises(InputError, match="no pair"):
        load_pairs([])


@pytest.mark.parametrize("option", [{"groupby": "time"}, {"mask": "clear"}, {"radiometry": "dn"}])
def test_settled_options(stack, option):
    """What makes a cube of pairs cannot be asked for otherwise."""
    with pytest.raises(InputError, match="settled"):
        load_pairs(stack, **option)


def test_skipped(stack):
    """A pair whose file is gone is left out where that is asked for, and told."""
    Path(stack[1]["links"][0]["href"]).with_name("unwrapped_phase.tif").unlink()
    cube = load_pairs(stack, on_error="skip")
    assert cube.pair.values.tolist() == ["20180106_20180118", "20180118_20180130", "20180130_20180211"]
    np.testing.assert_array_equal(cube.unwrapped_phase.values[1], phase(12, 24))
    assert json.loads(cube.attrs["terracube:cube"])["left_out"][0]["id"] == "p00-24"


def test_mixed_grids(stack, pair):
    """Pairs on other pixels need a grid that is told; then they come onto it."""
    other = pair(36, 48)
    folder = Path(other["links"][0]["href"]).parent
    for key in ("unwrapped_phase", "coherence"):
        write(folder / f"{key}.tif", np.ones((3, 3), "float32"), transform=PLACE @ Affine.translation(0.5, 0.5))
    with pytest.raises((InputError, MetadataError)):
        load_pairs([*stack, other], ["unwrapped_phase"])
