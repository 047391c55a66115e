"""GeoTIFFs with a side-car: nothing is guessed, and each sign and unit comes out the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import HostileInputError, MetadataError, TerraCubeError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import sidecar as reader
from terracube.ingest.simulate import Region, write_interferograms

SOURCE = load_source("interferograms")


@pytest.fixture
def stack(tmp_path, scene, write_tif):
    """Write a pair with coherence, labels and geometry, and a side-car that a test can change."""

    def make(*, phase=None, change=None, pair=None, nodata=None, suffix=".pairs.yaml"):
        unwrapped = scene.grown.copy() if phase is None else phase
        coherence = np.full(scene.shape, 0.6, "float32")
        coherence[0] = 0
        unwrapped[0] = 0
        write_tif(tmp_path / "a_unw.tif", unwrapped.astype("float32"), nodata=nodata)
        write_tif(tmp_path / "a_cc.tif", coherence)
        write_tif(tmp_path / "a_lab.tif", np.ones(scene.shape, "uint8"))
        write_tif(tmp_path / "dem.tif", np.full(scene.shape, 3, "int16"))
        for name, part in zip(("e", "n", "u"), scene.los, strict=True):
            write_tif(tmp_path / f"{name}.tif", np.full(scene.shape, part, "float32"))
        files = {"unwrapped_phase": "a_unw.tif", "coherence": "a_cc.tif", "connected_components": "a_lab.tif"}
        entry = {"reference": "2018-01-06", "secondary": "2018-01-30T00:40:21Z", "perpendicular_baseline": 40.1}
        told = {
            "stack": "mine",
            "sign": "range_increase",
            "wavelength": scene.wavelength,
            "unit": "radian",
            "zero": "missing",
            "looks_range": 8,
            "orbit": "ascending",
            "pairs": [entry | {"files": files} | (pair or {})],
            "geometry": {"dem": "dem.tif", "los_east": "e.tif", "los_north": "n.tif", "los_up": "u.tif"},
        }
        told |= change or {}
        path = tmp_path / f"mine{suffix}"
        path.write_text(json.dumps(told) if suffix.endswith("json") else yaml.safe_dump(told))
        return path

    return make


@pytest.mark.parametrize("sign", ["range_increase", "range_decrease"])
@pytest.mark.parametrize("unit", ["radian", "cycle", "metre", "millimetre"])
def test_sign_of_an_uplift(stack, scene, displacement, sign, unit):
    """Whatever sign and unit the files have, ground that rises comes nearer, by the same length."""
    size = {"radian": 1.0, "cycle": 1 / (2 * math.pi), "metre": scene.wavelength / (4 * math.pi)}
    size["millimetre"] = 1000 * size["metre"]
    turn = 1 if sign == "range_increase" else -1
    path = stack(phase=turn * size[unit] * scene.grown, change={"sign": sign, "unit": unit})
    pair, _ = reader.read_all(path, SOURCE)
    np.testing.assert_allclose(displacement(pair)[1:], scene.towards[1:], atol=1e-7)
    assert sign in pair.notes[0]


@pytest.mark.parametrize("suffix", [".pairs.yaml", ".pairs.yml", ".pairs.json"])
def test_items(stack, scene, values, suffix):
    """One item per pair, and one of the geometry; YAML and JSON alike."""
    path = stack(suffix=suffix)
    assert reader.find(path.parent) == [path]
    assert reader.find(path) == [path]
    pair, geometry = reader.read_all(path, SOURCE)
    assert (pair.id, geometry.id) == ("mine_20180106_20180130", "mine-geometry")
    assert pair.properties["terracube:time_precision"] == "day"
    assert pair.properties["insar:perpendicular_baseline"] == 40.1
    assert (pair.properties["sar:looks_range"], pair.properties["sat:orbit_state"]) == (8, "ascending")
    assert values(pair, "connected_components")[0, 0] == 1
    assert values(geometry, "dem")[0, 0] == 3
    np.testing.assert_allclose(values(geometry, "los_up"), scene.los[2], rtol=1e-6)
    assert geometry.interval == pair.interval
    with pytest.raises(MetadataError, match="several items"):
        reader.read(path, SOURCE)


@pytest.mark.parametrize(("zero", "gone"), [("missing", (0, 5)), ("value", ()), ("missing_without_coherence", (0,))])
def test_zero(stack, scene, values, zero, gone):
    """Zero is missing, a value, or missing where there is no coherence: as the side-car says."""
    phase = scene.grown.copy()
    phase[5] = 0
    path = stack(phase=phase, change={"zero": zero})
    pair, _ = reader.read_all(path, SOURCE)
    rows = np.isnan(values(pair, "unwrapped_phase")).all(axis=1)
    assert tuple(np.flatnonzero(rows)) == gone


def test_zero_and_nodata(stack):
    """Side-car and header must not contradict each other on what is missing."""
    with pytest.raises(MetadataError, match="disagree on zero"):
        reader.read_all(stack(nodata=0, change={"zero": "value"}), SOURCE)
    with pytest.raises(MetadataError, match="disagree on what is missing"):
        reader.read_all(stack(nodata=-9999, change={"zero": "missing"}), SOURCE)
    reader.read_all(stack(nodata=-9999, change={"zero": "value"}), SOURCE)
    bare = {"files": {"unwrapped_phase": "a_unw.tif"}}
    with pytest.raises(MetadataError, match="needs a coherence"):
        reader.read_all(stack(change={"zero": "missing_without_coherence"}, pair=bare), SOURCE)


def test_forms_of_the_line_of_sight(stack, scene, values, write_tif):
    """Angles of GAMMA and of ISCE give the same vector as its components."""
    path = stack()
    east, north, _ = scene.los
    write_tif(path.parent / "t.tif", np.full(scene.shape, math.radians(90 - scene.incidence), "float32"))
    write_tif(path.parent / "p.tif", np.full(scene.shape, math.atan2(north, east), "float32"))
    # Azimuth of the vector to the satellite, anticlockwise from north.
    azimuth = math.degrees(math.atan2(-east, north))
    both = np.stack([np.full(scene.shape, scene.incidence), np.full(scene.shape, azimuth)]).astype("float32")
    write_tif(path.parent / "los.tif", both)
    for files in ({"lv_theta": "t.tif", "lv_phi": "p.tif"}, {"los": "los.tif"}):
        *_, geometry = reader.read_all(stack(change={"geometry": files}), SOURCE)
        for key, part in zip(("los_east", "los_north", "los_up"), scene.los, strict=True):
            np.testing.assert_allclose(values(geometry, key), part, atol=1e-6)
    for files in (
        {"lv_theta": "t.tif"},
        {"los": "los.tif", "lv_theta": "t.tif", "lv_phi": "p.tif"},
        {"los_up": "u.tif"},
    ):
        with pytest.raises(MetadataError, match="not told in one form"):
            reader.read_all(stack(change={"geometry": files}), SOURCE)
    with pytest.raises(MetadataError, match="lists no file"):
        reader.read_all(stack(change={"geometry": {}}), SOURCE)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sign": None}, "sign"),
        ({"sign": "up"}, "sign"),
        ({"unit": "degrees"}, "unit"),
        ({"zero": "gone"}, "zero"),
        ({"wavelength": 55.0}, "no wavelength of a radar"),
        ({"wavelength": "five"}, "wavelength"),
        ({"pairs": []}, "pairs"),
        ({"pairs": "all"}, "pairs"),
        ({"stack": "../out"}, "stack"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_bad_fields(stack, change, what):
    """A field that is missing, wrong or unknown is named with its file."""
    with pytest.raises(TerraCubeError) as error:
        reader.read_all(stack(change=change, suffix=".pairs.json"), SOURCE)
    assert what in str(error.value)


def test_bad_pairs(stack):
    """Equal dates, a date that is none, a pair listed twice, and files outside the folder are refused."""
    with pytest.raises(MetadataError, match="both dates"):
        reader.read_all(stack(pair={"secondary": "2018-01-06"}), SOURCE)
    with pytest.raises(MetadataError, match="no date"):
        reader.read_all(stack(pair={"secondary": "2018-02-30"}), SOURCE)
    for name in ("../a_unw.tif", "/etc/passwd", "https://example.org/a.tif"):
        with pytest.raises(HostileInputError):
            reader.read_all(stack(pair={"files": {"unwrapped_phase": name}}), SOURCE)
    entry = {"reference": "2018-01-06", "secondary": "2018-01-30", "files": {"unwrapped_phase": "a_unw.tif"}}
    with pytest.raises(MetadataError, match="listed twice"):
        reader.read_all(stack(change={"pairs": [entry, entry]}, suffix=".pairs.json"), SOURCE)


def test_alias_bomb(stack):
    """A few lines of aliases could make millions of values: they are not read."""
    path = stack()
    path.write_text("a: &a [x, x]\nb: &b [*a, *a]\n")
    with pytest.raises(HostileInputError, match="aliases"):
        reader.read_all(path, SOURCE)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.binary(max_size=200), st.text(alphabet="{}[]:-&*! \npairssign,'\"0", max_size=80).map(str.encode))
)
def test_any_bytes(tmp_path, text):
    """A side-car of any bytes gives one of our errors."""
    for name in ("a.pairs.yaml", "a.pairs.json", "network.json"):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(TerraCubeError):
            reader.read_all(tmp_path / name, SOURCE)


def test_simulated_stack(tmp_path, displacement):
    """The stack of the project's own simulator is a side-car form: its truth comes back with its sign."""
    folder = tmp_path / "stack"
    path = write_interferograms(
        Region(seed=5, size=90), folder, dates=["2022-01-03", "2022-01-27", "2022-02-20"], size=24
    )
    assert reader.find(folder) == [path]
    *pairs, geometry = reader.read_all(path, SOURCE)
    assert [pair.id for pair in pairs] == [
        "stack_20220103_20220127",
        "stack_20220103_20220220",
        "stack_20220127_20220220",
    ]
    first, whole, second = (displacement(pair) for pair in pairs)
    np.testing.assert_allclose(np.nanmedian(first + second - whole), 0, atol=2e-3)
    assert geometry.id == "stack-geometry"
    network = json.loads(path.read_text())
    assert [pair.properties["insar:perpendicular_baseline"] for pair in pairs] == network["bperp_m"]
    for change, what in (
        ({"sign": "up"}, "growing phase"),
        ({"wavelength_m": None}, "wavelength"),
        ({"nodata": -1}, "nodata"),
    ):
        path.write_text(json.dumps(network | change))
        with pytest.raises(MetadataError, match=what):
            reader.read_all(path, SOURCE)
    path.write_text(json.dumps(network | {"pairs": [["20200101", "20200113"]], "bperp_m": [0]}))
    with pytest.raises(MetadataError, match="not one file"):
        reader.read_all(path, SOURCE)


def test_ingested(stack, scene, recovered):
    """From the side-car to the cube."""
    found, cube = recovered("interferograms", stack(phase=-scene.grown, change={"sign": "range_decrease"}))
    np.testing.assert_allclose(found[0, 1:], scene.towards[1:], atol=1e-7)
    np.testing.assert_allclose(cube.los_up.values[1:] * scene.uplift[1:], found[0, 1:], atol=1e-7)
