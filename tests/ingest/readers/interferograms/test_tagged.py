"""GeoTIFFs with tags: the real stacks of Mexico City and Sydney, and their signs."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import rasterio

from terracube.core.errors import MetadataError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import gamma, gammatif, roipactif

GAMMA, ROIPAC = load_source("gamma-insar"), load_source("roipac-insar")
TAGS = {
    "DATA_TYPE": "ORIGINAL_IFG",
    "DATA_UNITS": "RADIANS",
    "INSAR_PROCESSOR": "GAMMA",
    "FIRST_DATE": "2018-01-06",
    "FIRST_TIME": "00:40:21",
    "SECOND_DATE": "2018-01-30",
    "SECOND_TIME": "00:40:21",
    "WAVELENGTH_METRES": "0.0554657595",
    "INCIDENCE_DEGREES": "39.7",
}
NAME = "a_20180106-20180130_VV_eqa_unw.tif"


@pytest.fixture(scope="module")
def mexico(data_dir):
    """30 real pairs, and the peer's time series."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    found = gammatif.find(folder)
    pairs = [gammatif.read(path, GAMMA) for path in found if path.name.endswith("_unw.tif")]
    return folder, pairs, np.load(folder / "mintpy_reference.npz")


def test_mexico(mexico, values):
    """30 pairs: phases and coherences are those of the files; dates, baselines and looks those of the network."""
    folder, pairs, _ = mexico
    network = json.loads((folder / "network.json").read_text())
    assert [pair.properties["terracube:pair"].split("_") for pair in pairs] == network["pairs"]
    assert [pair.properties["insar:perpendicular_baseline"] for pair in pairs] == network["bperp_m"]
    for pair in pairs:
        with rasterio.open(pair.path) as dataset:
            plain = dataset.read(1, masked=True).filled(np.nan)
        np.testing.assert_array_equal(values(pair, "unwrapped_phase", strip=17), plain)
        with rasterio.open(pair.path.with_name(pair.path.name.replace("_eqa_unw", "_flat_eqa_cc"))) as dataset:
            plain = dataset.read(1, masked=True).filled(np.nan)
        np.testing.assert_array_equal(values(pair, "coherence"), plain)
    told = pairs[0].properties
    assert told["insar:reference_datetime"] == "2018-01-06T00:40:21Z"
    assert (told["sar:looks_range"], told["sar:looks_azimuth"], told["sar:looks_equivalent_number"]) == (8, 2, 8)
    assert (told["sat:orbit_state"], told["terracube:wavelength"]) == ("ascending", network["wavelength_m"])
    assert told["view:incidence_angle"] == pytest.approx(39.7, abs=0.01)


def test_mexico_subsides(mexico, displacement):
    """The sign on real ground: the city sinks, so that it moves away from the satellite, by up to 0.3 m a year."""
    _, pairs, _ = mexico
    rates = []
    for pair in pairs:
        moved = displacement(pair)
        years = pair.properties["insar:temporal_baseline"] / 365.25
        rates.append((moved - np.nanmedian(moved[5:14, 4:13])) / years)
    stacked = np.stack(rates)
    rate = np.median(stacked[:, np.isfinite(stacked).all(axis=0)], axis=0)
    assert -0.5 < rate.min() < -0.2
    assert abs(rate.max()) < 0.1


def test_mexico_like_the_peer(mexico, displacement):
    """A plain least-squares inversion of our displacements is the peer's time series: same sign, same size."""
    folder, pairs, peer = mexico
    network = json.loads((folder / "network.json").read_text())
    row, col = network["ref_yx"]
    days = [str(day) for day in peer["dates"]]
    design = np.zeros((len(pairs), len(days)))
    for number, pair in enumerate(pairs):
        first, second = pair.properties["terracube:pair"].split("_")
        design[number, days.index(first)], design[number, days.index(second)] = -1, 1
    moved = np.stack([displacement(pair) for pair in pairs])
    moved -= moved[:, row : row + 1, col : col + 1]
    whole = np.isfinite(moved).all(axis=0)
    series = np.zeros((len(days), int(whole.sum())))
    series[1:] = np.linalg.lstsq(design[:, 1:], moved[:, whole], rcond=None)[0]
    assert whole.sum() > 4000
    np.testing.assert_allclose(series, peer["ts_no_vel"][:, whole], atol=1e-6)
    assert peer["ts_no_vel"][-1].min() < -0.1


def test_mexico_terrain(data_dir, values):
    """The terrain is an item of its own, for all dates of the stack."""
    folder = data_dir / "insar" / "mexico-sentinel1" / "geotiffs"
    (path,) = (each for each in gammatif.find(folder) if each.name.endswith("_dem.tif"))
    terrain = gammatif.read(path, GAMMA)
    assert terrain.id == "cropA_T005A_dem-geometry"
    assert [f"{moment:%Y%m%d}" for moment in terrain.interval] == ["20180106", "20180717"]
    assert np.nanmin(values(terrain, "dem")) == 2217
    assert gammatif.find(path) == [path]
    assert roipactif.find(folder) == []


def test_sydney_in_both_forms(data_dir, tmp_path, values):
    """The same 17 pairs as GeoTIFFs of ROI_PAC and as binaries of GAMMA give the same phases, in our sign."""
    real = data_dir / "insar" / "sydney-envisat"
    found = [roipactif.read(path, ROIPAC) for path in roipactif.find(real / "tif")]
    assert len(found) == 17
    folder = tmp_path / "gamma"
    shutil.copytree(real / "gamma_obs", folder)
    others = {}
    for path in gamma.find(folder):
        if path.suffix == ".unw":
            pair = gamma.read(path, GAMMA)
            others[pair.properties["terracube:pair"]] = pair
    for pair in found:
        other = others[pair.properties["terracube:pair"]]
        np.testing.assert_array_equal(values(pair, "unwrapped_phase"), values(other, "unwrapped_phase"))
        with rasterio.open(pair.path) as dataset:
            np.testing.assert_array_equal(values(pair, "unwrapped_phase"), dataset.read(1, masked=True).filled(np.nan))
        # GAMMA tells the centre of the first pixel, ROI_PAC its corner, of headers with the same numbers.
        apart = pair.rasters[0].grid.bounds.left - other.rasters[0].grid.bounds.left
        assert apart == pytest.approx(0.000833333 / 2, rel=1e-4)
        assert pair.properties["terracube:time_precision"] == "day"
        assert pair.properties["terracube:wavelength"] == 0.0562356424


def test_sign_of_an_uplift(tmp_path, scene, write_tif, displacement):
    """Ground that rises comes nearer, also where the dates are reversed."""
    path = write_tif(tmp_path / NAME, scene.grown, tags=TAGS)
    np.testing.assert_allclose(displacement(gammatif.read(path, GAMMA)), scene.towards, atol=1e-7)
    turned = TAGS | {"FIRST_DATE": "2018-01-30", "SECOND_DATE": "2018-01-06"}
    path = write_tif(tmp_path / NAME, -scene.grown, tags=turned)
    pair = gammatif.read(path, GAMMA)
    np.testing.assert_allclose(displacement(pair), scene.towards, atol=1e-7)
    assert pair.properties["terracube:pair"] == "20180106_20180130"
    assert pair.properties["insar:temporal_baseline"] == 24


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"DATA_UNITS": "MILLIMETRES"}, "another unit"),
        ({"FIRST_DATE": "soon"}, "there is no date"),
        ({"WAVELENGTH_METRES": "long"}, "no number"),
        ({"WAVELENGTH_METRES": "nan"}, "no wavelength"),
        ({"SECOND_DATE": "2018-01-06"}, "both dates"),
    ],
)
def test_bad_tags(tmp_path, scene, write_tif, change, what):
    """What is wrong with the tags is told with the file."""
    path = write_tif(tmp_path / NAME, scene.grown, tags=TAGS | change)
    with pytest.raises(MetadataError, match=what) as error:
        gammatif.read(path, GAMMA)
    assert NAME in str(error.value)


def test_network_that_does_not_fit(tmp_path, scene, write_tif):
    """A network whose lists do not fit each other, or of another wavelength, is refused or passed over."""
    path = write_tif(tmp_path / NAME, scene.grown, tags=TAGS)
    network = tmp_path / "network.json"
    network.write_text(json.dumps({"pairs": [["20180130", "20180106"]], "bperp_m": [7.0], "wavelength_m": 0.2}))
    told = gammatif.read(path, GAMMA).properties
    assert told["insar:perpendicular_baseline"] == -7.0
    assert math.isclose(told["terracube:wavelength"], 0.0554657595)
    network.write_text(json.dumps({"pairs": [["20180130", "20180106"]], "bperp_m": []}))
    with pytest.raises(MetadataError, match="do not fit"):
        gammatif.read(path, GAMMA)
    network.write_text(json.dumps({"pairs": "all"}))
    with pytest.raises(MetadataError, match="pairs"):
        gammatif.read(path, GAMMA)


def test_find(tmp_path, scene, write_tif):
    """Each processor's files are found by its own form; other rasters are passed over."""
    path = write_tif(tmp_path / NAME, scene.grown, tags=TAGS)
    write_tif(tmp_path / "b_20180106-20180130_unw.tif", scene.grown)
    (tmp_path / "c_20180106-20180130_unw.tif").write_bytes(b"II*\0nothing")
    write_tif(tmp_path / "d_unw.tif", scene.grown, tags=TAGS)
    assert gammatif.find(tmp_path) == [path]
    assert gammatif.find(path) == [path]
    assert roipactif.find(tmp_path) == []


def test_two_coherences(tmp_path, scene, write_tif):
    """Two coherences of the same dates leave open which one holds; one of other pixels is refused."""
    path = write_tif(tmp_path / NAME, scene.grown, tags=TAGS)
    write_tif(tmp_path / "a_20180106-20180130_cc.tif", np.ones((2, 2), "float32"))
    with pytest.raises(MetadataError, match="same pixels"):
        gammatif.read(path, GAMMA)
    write_tif(tmp_path / "b_20180106-20180130_cc.tif", np.ones((2, 2), "float32"))
    with pytest.raises(MetadataError, match="several coherences"):
        gammatif.read(path, GAMMA)
